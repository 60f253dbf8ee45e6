"""Verdicts: what tampering comes to, and that nobody else is accused."""

from __future__ import annotations

import json
import os
import shutil
import string
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hsagency.audit import chain
from hsagency.audit.pack import kept_head
from hsagency.audit.record import encode
from hsagency.audit.register import Head, Kind, Signer, digest, encode_line
from hsagency.audit.standalone.verdict import Verdict
from hsagency.audit.verifying import Log, verify
from hsagency.errors import AuditError, UsageError
from tests.audit.killing import child, hear, tell
from tests.audit.logs import (
    SLUG,
    Desk,
    call,
    listed,
    rechained,
    replaced,
    signer_of,
    three_days,
)
from tests.audit.reading import AUTHOR, ending, intent

FIRST, SECOND, THIRD = (f"000-{number:06}" for number in (1, 2, 3))
SIDE = "001-000001"
AT = "2026-10-05T00:00:00.000000Z"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return three_days(tmp_path)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A log that tests tamper with for a moment."""
    return three_days(tmp_path_factory.mktemp("log"))


def journal(desk: Desk, name: str) -> Path:
    return desk.audit / SLUG / "journal" / f"{name}.jsonl"


def register(desk: Desk) -> Path:
    return desk.audit / SLUG / "heads.jsonl"


def first_of(verdict: Verdict) -> tuple[str, str, int | None]:
    one = verdict.findings[0]
    return one.verdict, one.file, one.line


def test_an_untouched_log_is_intact_and_what_was_looked_at_is_counted(desk: Desk) -> None:
    verdict = verify(desk.log())
    assert (verdict.integrity, verdict.completeness) == ("intact", "not comparable")
    assert (verdict.findings, verdict.lost, verdict.notes) == ([], [], [])
    report = verdict.report()
    counted = ("segments", "records", "calls", "recordsUnderSignedHeads", "unsignedHeads")
    # Three days of three calls and one of two: two records each, and how segments begin and end.
    assert [report[name] for name in counted] == [4, 22 + 4 + 3, 11, 29, 0]
    lines = register(desk).read_bytes().count(b"\n")
    assert report["signedHeads"] == lines + len(list((desk.audit / SLUG / "heads").iterdir()))
    assert report["found"]["from"] < "2026-10-02" < "2026-10-03" < report["found"]["to"]
    assert json.dumps(report)


# --- what each kind of tampering comes to ---


def line_of(path: Path, number: int) -> bytes:
    return path.read_bytes().splitlines(keepends=True)[number - 1]


Change = Callable[[list[bytes]], list[bytes]]
CHANGES: dict[str, tuple[Change, int]] = {
    "a changed byte": (
        lambda some: [*some[:2], some[2].replace(b"tester", b"nobody"), *some[3:]],
        3,
    ),
    "a removed line": (lambda some: [*some[:2], *some[3:]], 3),
    "an inserted line": (lambda some: [*some[:2], chain.link("0" * 64, b"{}")[0], *some[2:]], 3),
    "two swapped lines": (lambda some: [some[0], some[2], some[1], *some[3:]], 2),
    "a duplicated line": (lambda some: [*some[:2], some[1], *some[2:]], 3),
    "an empty line": (lambda some: [*some[:2], b"\n", *some[2:]], 3),
    "a line added after the end": (lambda some: [*some, some[-1]], 9),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_line_that_was_tampered_with_is_named(desk: Desk, what: str) -> None:
    change, number = CHANGES[what]
    path = journal(desk, FIRST)
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 8
    path.write_bytes(b"".join(change(lines)))
    verdict = verify(desk.log())
    assert first_of(verdict) == ("altered", f"journal/{FIRST}.jsonl", number)
    assert verdict.findings[0].byte == sum(map(len, lines[: number - 1]))
    assert verdict.completeness == "incomplete"


@pytest.mark.parametrize("torn", [True, False])
def test_what_is_added_to_a_closed_segment_is_altered_though_it_follows(
    desk: Desk, *, torn: bool
) -> None:
    path = journal(desk, FIRST)
    lines = path.read_bytes().splitlines(keepends=True)
    more = b'{"schema"' if torn else inserted(lines, lambda _: len(lines))[-1]
    path.write_bytes(b"".join([*lines, more]))
    verdict = verify(desk.log())
    assert first_of(verdict) == ("altered", f"journal/{FIRST}.jsonl", len(lines) + 1)
    assert "after the segment was closed" in verdict.findings[0].cause


@pytest.mark.parametrize("name", [FIRST, THIRD, SIDE])
def test_a_cut_tail_is_truncated_by_register_and_checkpoint(desk: Desk, name: str) -> None:
    """A closed segment by the register; one that is open by its checkpoint."""
    path = journal(desk, name)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    verdict = verify(desk.log())
    assert first_of(verdict) == ("truncated", f"journal/{name}.jsonl", len(lines))
    assert f"had {len(lines)} records" in verdict.findings[0].cause
    path.write_bytes(b"".join(lines)[:-10])  # within a line
    assert first_of(verify(desk.log())) == ("truncated", f"journal/{name}.jsonl", len(lines))


@pytest.mark.parametrize("name", [FIRST, SECOND, THIRD, SIDE])
def test_a_removed_segment_is_missing(desk: Desk, name: str) -> None:
    journal(desk, name).unlink()
    verdict = verify(desk.log())
    assert first_of(verdict) == ("missing", f"journal/{name}.jsonl", None)
    assert len(verdict.findings) == 1


def test_a_segment_renamed_is_missing_under_its_name_and_altered_under_the_other(
    desk: Desk,
) -> None:
    journal(desk, SIDE).rename(journal(desk, "002-000001"))
    verdict = verify(desk.log())
    assert {(one.verdict, one.file[8:18]) for one in verdict.findings} == {
        ("missing", SIDE),
        ("altered", "002-000001"),
    }


def test_two_segments_that_changed_names_are_both_altered(desk: Desk) -> None:
    one, other = journal(desk, FIRST).read_bytes(), journal(desk, SECOND).read_bytes()
    journal(desk, FIRST).write_bytes(other)
    journal(desk, SECOND).write_bytes(one)
    assert [one[0] for one in verify(desk.log()).findings] == ["altered", "altered"]


def test_a_segment_rewritten_with_a_chain_of_its_own_is_altered(desk: Desk) -> None:
    path = journal(desk, FIRST)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(
        rechained([*lines[:2], lines[2].replace(b"tester", b"nobody"), *lines[3:]], path.name)
    )
    assert chain.first_break(path.name, path.read_bytes().splitlines(keepends=True)) is None
    verdict = verify(desk.log())
    assert first_of(verdict) == ("altered", f"journal/{FIRST}.jsonl", len(lines))
    assert "heads.jsonl, line" in verdict.findings[0].cause
    # A shorter one cannot be told from one that was cut.
    path.write_bytes(rechained([*lines[:2], *lines[4:]], path.name))
    assert first_of(verify(desk.log())) == ("truncated", f"journal/{FIRST}.jsonl", len(lines) - 1)


def test_a_register_line_that_was_changed_is_altered(desk: Desk) -> None:
    path = register(desk)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(
        b"".join([lines[0], lines[1].replace(b'"records":', b'"records":1'), *lines[2:]])
    )
    verdict = verify(desk.log())
    assert first_of(verdict) == ("altered", "heads.jsonl", 2)
    assert "signature" in verdict.findings[0].cause


def test_a_register_line_that_was_removed_is_a_gap(desk: Desk) -> None:
    path = register(desk)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    verdict = verify(desk.log())
    assert first_of(verdict) == ("gap", "heads.jsonl", 3)
    assert "lines 3 to 3" in verdict.findings[0].cause
    assert verdict.integrity == "altered"  # the second copy has another line there


@pytest.mark.parametrize("left", [0, 3])
def test_a_register_that_was_cut_is_truncated_by_its_second_copy(desk: Desk, left: int) -> None:
    path = register(desk)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:left]))
    verdict = verify(desk.log())
    assert ("truncated", "heads.jsonl", left + 1) in [one[:3] for one in verdict.findings]
    path.unlink()
    assert ("missing", "heads.jsonl", None) in [one[:3] for one in verify(desk.log()).findings]


def test_a_register_that_was_written_anew_differs_from_its_second_copy(tmp_path: Path) -> None:
    """Unsigned, so that nothing else could tell."""
    desk, other = three_days(tmp_path / "a", signed=False), Desk(tmp_path / "b", signed=False)
    other.clock.next_day()
    with other.writer() as writer:
        call(writer, 7)
    for name in ("journal", "heads"):
        for path in sorted((desk.audit / SLUG / name).iterdir()):
            path.unlink()
        for path in sorted((other.audit / SLUG / name).iterdir()):
            (desk.audit / SLUG / name / path.name).write_bytes(path.read_bytes())
    register(desk).write_bytes(register(other).read_bytes())
    verdict = verify(desk.log())
    assert verdict.integrity == "altered"
    assert ("altered", "heads.jsonl") in [
        one[:2] for one in verdict.findings if "second copy" in one.cause
    ]


def test_without_the_second_copy_that_is_said(desk: Desk) -> None:
    copy = desk.copies / f"{SLUG}.jsonl"
    lines = copy.read_bytes().splitlines(keepends=True)
    copy.write_bytes(b"".join(lines[:-2]))
    verdict = verify(desk.log())
    assert (verdict.integrity, verdict.notes) == (
        "intact",
        ["The second copy of the register lacks the last 2 lines."],
    )
    copy.unlink()
    assert "no second copy" in verify(desk.log()).notes[0]
    log = Log(folder=desk.audit / SLUG, copy=None)
    assert "no second copy" in verify(log).notes[0]


def test_a_whole_log_that_is_gone_is_missing_by_the_second_copy(desk: Desk) -> None:
    (desk.audit / SLUG).rename(desk.audit.parent / "elsewhere")
    verdict = verify(desk.log())
    assert first_of(verdict) == ("missing", "heads.jsonl", None)
    assert not verdict.empty


def test_an_older_checkpoint_is_seen_beside_its_second_copy_and_so_is_the_cut_it_was_to_hide(
    desk: Desk,
) -> None:
    """Put back in both places, with the cut, it hides that: only a kept head shows it then."""
    checkpoint = desk.audit / SLUG / "heads" / "000.json"
    copied = desk.copies / SLUG / "000.json"
    old, cut = checkpoint.read_bytes(), journal(desk, THIRD).stat().st_size
    assert copied.read_bytes() == old
    with desk.writer() as writer:
        desk.clock.at -= timedelta(hours=30)  # the same day as the last record
        call(writer, 90)
    kept = json.dumps(head_of(desk)).encode()
    assert verify(desk.log()).integrity == "intact"
    newest = checkpoint.read_bytes()
    checkpoint.write_bytes(old)
    verdict = verify(desk.log(), head=kept)
    assert [one[:3] for one in verdict.findings] == [("altered", "heads/000.json", 1)]
    with replaced(journal(desk, THIRD), journal(desk, THIRD).read_bytes()[:cut]):
        found = [one[:2] for one in verify(desk.log()).findings]
        assert found == [("truncated", f"journal/{THIRD}.jsonl"), ("altered", "heads/000.json")]
    checkpoint.unlink()
    assert [one[:2] for one in verify(desk.log()).findings] == [("missing", "heads/000.json")]
    # The copy may be behind; a copy that somebody changed is named.
    checkpoint.write_bytes(newest)
    copied.write_bytes(old)
    assert verify(desk.log()).integrity == "intact"
    copied.write_bytes(old.replace(b'"records":', b'"records":1'))
    assert first_of(verify(desk.log())) == ("altered", "heads/000.json", 1)
    for path in (checkpoint, copied):
        path.write_bytes(old)
    verdict = verify(desk.log(), head=kept)
    assert verdict.integrity == "intact"  # nothing else was changed
    report = verdict.report()
    assert report["recordsUnderSignedHeads"] < report["records"]
    os.truncate(journal(desk, THIRD), cut)
    assert verify(desk.log()).integrity == "intact"  # the documented limit
    assert first_of(verify(desk.log(), head=kept))[:2] == (
        "truncated",
        f"journal/{THIRD}.jsonl",
    )


def head_of(desk: Desk) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(kept_head(desk.log()))
    return kept


def test_a_checkpoint_of_another_slot_is_altered(desk: Desk) -> None:
    folder = desk.audit / SLUG / "heads"
    (folder / "000.json").write_bytes((folder / "001.json").read_bytes())
    assert first_of(verify(desk.log())) == ("altered", "heads/000.json", 1)


def test_a_file_of_another_client_is_altered(desk: Desk) -> None:
    with desk.writer() as writer:
        call(writer, 1, "beta-inc")
    theirs = desk.audit / "beta-inc"
    journal(desk, FIRST).write_bytes((theirs / "journal" / f"{FIRST}.jsonl").read_bytes())
    register(desk).write_bytes((theirs / "heads.jsonl").read_bytes())
    (desk.copies / f"{SLUG}.jsonl").unlink()
    verdict = verify(desk.log())
    causes = {one.file: one.cause for one in verdict.findings}
    assert causes[f"journal/{FIRST}.jsonl"] == "it is not a record of this client"
    assert causes["heads.jsonl"] == "it is a line of another client"


def test_another_spelling_of_the_same_signature_is_another_line(desk: Desk) -> None:
    """The last letter of base64 has four bits that stand for nothing."""
    line, *more = register(desk).read_bytes().splitlines(keepends=True)
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    other = letters[letters.index(chr(line[-6])) + 1].encode()
    register(desk).write_bytes(b"".join([line[:-6] + other + line[-5:], *more]))
    (desk.copies / f"{SLUG}.jsonl").unlink()
    assert first_of(verify(desk.log())) == ("altered", "heads.jsonl", 1)
    assert "signature" in verify(desk.log()).findings[0].cause


def test_an_unsigned_line_that_was_changed_shows_in_the_next(tmp_path: Path) -> None:
    desk = three_days(tmp_path, signed=False)
    line, *more = register(desk).read_bytes().splitlines(keepends=True)
    register(desk).write_bytes(b"".join([line.replace(b"-10-01T", b"-10-02T"), *more]))
    (desk.copies / f"{SLUG}.jsonl").unlink()
    assert first_of(verify(desk.log())) == ("altered", "heads.jsonl", 2)


def test_without_a_register_that_is_missing_and_segments_still_name_each_other(
    desk: Desk,
) -> None:
    for path in (register(desk), desk.copies / f"{SLUG}.jsonl"):
        path.unlink()
    for folder in (desk.audit / SLUG / "heads", desk.copies / SLUG):
        shutil.rmtree(folder)
    verdict = verify(desk.log())
    assert [one[:2] for one in verdict.findings] == [("missing", "heads.jsonl")]
    path = journal(desk, FIRST)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    verdict = verify(desk.log())
    assert ("truncated", f"journal/{FIRST}.jsonl", 8) in [one[:3] for one in verdict.findings]


def test_a_skipped_segment_or_slot_is_a_gap(tmp_path: Path) -> None:
    folder = tmp_path / "audit" / SLUG / "journal"
    folder.mkdir(parents=True)
    body = encode({"schema": 1, "seq": 1, "event": "audit.opened", "clientSlug": SLUG})
    for name in ("000-000001.jsonl", "000-000003.jsonl", "002-000001.jsonl"):
        (folder / name).write_bytes(chain.link(chain.genesis(name), body)[0])
    verdict = verify(Desk.log(_bare(tmp_path)))
    assert [one[:2] for one in verdict.findings] == [
        ("gap", "journal/000-000002.jsonl"),
        ("gap", "journal/001-000001.jsonl"),
    ]
    assert verdict.integrity == "gap"


def _bare(root: Path) -> Desk:
    desk = Desk.__new__(Desk)
    desk.audit, desk.copies = root / "audit", root / "copies"
    return desk


def test_a_segment_that_the_register_does_not_name_is_altered(desk: Desk) -> None:
    lines = journal(desk, FIRST).read_bytes().splitlines(keepends=True)
    added = journal(desk, "002-000001")
    added.write_bytes(rechained(lines, added.name))
    verdict = verify(desk.log())
    assert first_of(verdict) == ("altered", "journal/002-000001.jsonl", 1)
    assert "does not name" in verdict.findings[0].cause
    # One that is made to look older is named, though it is not accused.
    added.write_bytes(rechained(lines[1:], added.name))
    verdict = verify(desk.log())
    assert verdict.unregistered == ["002-000001"]
    assert "Not registered" in verdict.notes[0]


def test_files_that_are_no_part_of_the_log_are_named(desk: Desk) -> None:
    folder = desk.audit / SLUG
    (folder / "journal" / "notes.txt").write_text("hello")
    (folder / "journal" / f"{FIRST}.jsonl.bak").write_text("hello")
    (folder / "heads" / "x.json").write_text("hello")
    verdict = verify(desk.log())
    assert verdict.integrity == "intact"
    assert [note.partition(": ")[2] for note in verdict.notes] == [
        f"'journal/{FIRST}.jsonl.bak'.",
        "'journal/notes.txt'.",
        "'heads/x.json'.",
    ]


def test_a_key_that_is_not_listed_is_named_and_accuses_no_segment(desk: Desk) -> None:
    _, other = signer_of(b"2")
    (desk.audit / "keys.json").write_bytes(listed(other))
    verdict = verify(desk.log())
    assert verdict.integrity == "altered"
    assert desk.signer.key in verdict.findings[0].cause
    assert {one.file.partition("/")[0] for one in verdict.findings} == {"heads.jsonl", "heads"}
    (desk.audit / "keys.json").unlink()
    assert desk.signer.key in verify(desk.log()).findings[0].cause


def test_a_line_signed_with_another_key_in_the_name_of_ours_is_altered(desk: Desk) -> None:
    forger, _ = signer_of(b"2")
    lines = register(desk).read_bytes().splitlines(keepends=True)
    forged = encode_line(
        Head(FIRST, 0, 0, chain.genesis(f"{FIRST}.jsonl")),
        kind=Kind.IDLE,
        slug=SLUG,
        ts=AT,
        signer=Signer(desk.signer.key, forger.sign),
        seq=len(lines) + 1,
        previous=digest(lines[-1]),
    )
    register(desk).write_bytes(b"".join([*lines, forged]))
    (desk.copies / f"{SLUG}.jsonl").write_bytes(b"".join([*lines, forged]))
    assert first_of(verify(desk.log())) == ("altered", "heads.jsonl", len(lines) + 1)


def test_unsigned_heads_are_counted_apart(tmp_path: Path) -> None:
    report = verify(three_days(tmp_path, signed=False).log()).report()
    assert (report["integrity"], report["signedHeads"]) == ("intact", 0)
    assert report["unsignedHeads"] > 4
    assert report["recordsUnderSignedHeads"] == 0


# --- laws ---

relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
FILES = [*(f"journal/{name}.jsonl" for name in (FIRST, SECOND, THIRD, SIDE)), "heads.jsonl"]


@relaxed
@given(name=st.sampled_from([*FILES, "heads/000.json", "heads/001.json"]), data=st.data())
def test_any_changed_byte_is_seen(standing: Desk, name: str, data: st.DataObject) -> None:
    path = standing.audit / SLUG / name
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda one: one != content[at]))
    with replaced(path, content[:at] + bytes([byte]) + content[at + 1 :]):
        verdict = verify(standing.log())
        assert verdict.integrity != "intact"
        named = [one for one in verdict.findings if one.file == name]
        assert named
        if name.startswith("journal/"):
            assert named[0].line == content[:at].count(b"\n") + 1
    assert verify(standing.log()).integrity == "intact"


@relaxed
@given(slot=st.sampled_from(["000", "001"]), data=st.data())
def test_any_changed_byte_of_a_copied_checkpoint_is_seen(
    standing: Desk, slot: str, data: st.DataObject
) -> None:
    path = standing.copies / SLUG / f"{slot}.json"
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 2))
    byte = data.draw(st.integers(0, 255).filter(lambda one: one != content[at]))
    with replaced(path, content[:at] + bytes([byte]) + content[at + 1 :]):
        assert first_of(verify(standing.log())) == ("altered", f"heads/{slot}.json", 1)


@relaxed
@given(
    slot=st.sampled_from(["000", "001"]),
    garbage=st.one_of(st.none(), st.binary(max_size=300)),
)
def test_any_other_checkpoint_in_its_place_is_seen(
    standing: Desk, slot: str, garbage: bytes | None
) -> None:
    """Dropped, cut, exchanged for any bytes."""
    path = standing.audit / SLUG / "heads" / f"{slot}.json"
    with replaced(path, garbage):
        assert f"heads/{slot}.json" in [one.file for one in verify(standing.log()).findings]


@relaxed
@given(name=st.sampled_from(FILES), data=st.data())
def test_any_cut_is_seen(standing: Desk, name: str, data: st.DataObject) -> None:
    path = standing.audit / SLUG / name
    content = path.read_bytes()
    left = content[: data.draw(st.integers(0, len(content) - 1))]
    with replaced(path, left):
        verdict = verify(standing.log())
    assert ("truncated", name) in [one[:2] for one in verdict.findings]
    assert verdict.segments or name == "heads.jsonl"


def dropped(some: list[bytes], draw: Callable[..., Any]) -> list[bytes]:
    at = draw(st.integers(0, len(some) - 1))
    return some[:at] + some[at + 1 :]


def swapped(some: list[bytes], draw: Callable[..., Any]) -> list[bytes]:
    one, other = draw(st.lists(st.integers(0, len(some) - 1), min_size=2, max_size=2, unique=True))
    some = list(some)
    some[one], some[other] = some[other], some[one]
    return some


def doubled(some: list[bytes], draw: Callable[..., Any]) -> list[bytes]:
    what, at = draw(st.integers(0, len(some) - 1)), draw(st.integers(0, len(some)))
    return [*some[:at], some[what], *some[at:]]


def inserted(some: list[bytes], draw: Callable[..., Any]) -> list[bytes]:
    at = draw(st.integers(0, len(some)))
    before = chain.hash_of(some[at - 1]) if at else chain.genesis(f"{FIRST}.jsonl")
    line, _ = chain.link(before or "0" * 64, encode({"clientSlug": SLUG, "event": "halt.set"}))
    return [*some[:at], line, *some[at:]]


def forged(some: list[bytes], draw: Callable[..., Any]) -> list[bytes]:
    """Leave some lines out, and let the hashes follow again."""
    kept = draw(st.lists(st.sampled_from(some), max_size=len(some), unique=True))
    return rechained(kept, f"{FIRST}.jsonl").splitlines(keepends=True)


@pytest.mark.parametrize("meddle", [dropped, swapped, doubled, inserted, forged])
@relaxed
@given(data=st.data())
def test_any_line_out_of_its_place_is_seen(
    standing: Desk, meddle: Callable[..., list[bytes]], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(FILES if meddle is not forged else FILES[:1]))
    path = standing.audit / SLUG / name
    lines = path.read_bytes().splitlines(keepends=True)
    changed = meddle(lines, data.draw)
    assume(changed != lines)
    assume(changed[: len(lines)] != lines or name in (FILES[0], FILES[1], "heads.jsonl"))
    with replaced(path, b"".join(changed)):
        verdict = verify(standing.log())
    assert name in [one.file for one in verdict.findings]


def test_a_record_added_behind_the_last_head_is_only_seen_not_to_be_under_one(desk: Desk) -> None:
    """The documented limit: a program that was killed leaves just such records."""
    path = journal(desk, THIRD)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(inserted(lines, lambda _: len(lines))))
    report = verify(desk.log()).report()
    assert report["integrity"] == "intact"
    assert report["records"] == report["recordsUnderSignedHeads"] + 1


@relaxed
@given(order=st.permutations([FIRST, SECOND, THIRD, SIDE, None]))
def test_any_segment_dropped_or_out_of_its_place_is_seen(
    standing: Desk, order: list[str | None]
) -> None:
    names = [FIRST, SECOND, THIRD, SIDE]
    assume(order[:4] != names)
    contents = {name: journal(standing, name).read_bytes() for name in names}
    with ExitStack() as back:
        for name, other in zip(names, order, strict=False):
            content = None if other is None else contents[other]
            back.enter_context(replaced(journal(standing, name), content))
        verdict = verify(standing.log())
    wrong = {one.file[8:18] for one in verdict.findings}
    assert {name for name, other in zip(names, order, strict=False) if other != name} == wrong


@relaxed
@given(
    name=st.sampled_from([*FILES, "heads/000.json", "heads/001.json", "../keys.json"]),
    garbage=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.one_of(st.none(), st.integers(), st.text("ab{[", max_size=3)), st.lists
        ).map(lambda some: json.dumps(some).encode() + b"\n"),
        st.dictionaries(
            st.sampled_from(
                ["schema", "seq", "records", "bytes", "head", "segment", "key", "kind"]
            ),
            st.one_of(st.integers(), st.text("0a-", max_size=5), st.none()),
        ).map(lambda some: json.dumps(some).encode() + b"\n"),
    ),
)
def test_whatever_a_file_holds_there_is_a_verdict_and_nothing_is_made_up(
    standing: Desk, name: str, garbage: bytes
) -> None:
    with replaced(standing.audit / SLUG / name, garbage):
        report = verify(standing.log()).report()
    assert report["integrity"] != "intact"
    assert report["records"] <= 29
    assert report["calls"] <= 11
    assert json.dumps(report)


@pytest.mark.parametrize(
    "line",
    [b"[" * 100_000, b'{"records":' + b"9" * 5000 + b"}", b"x" * (3 << 20), b"\xff\xfe{\x00"],
)
def test_lines_made_to_break_readers_are_only_lines_that_do_not_fit(
    desk: Desk, line: bytes
) -> None:
    for path in (register(desk), desk.audit / "keys.json", journal(desk, FIRST)):
        with replaced(path, line + b"\n"):
            assert verify(desk.log()).integrity == "altered"
    with replaced(journal(desk, FIRST), line), replaced(register(desk), None):
        verify(desk.log())


# --- nobody else is accused ---

STEPS = st.lists(
    st.sampled_from(["call", "open", "day", "month", "again", "other", "torn", "back"]),
    min_size=1,
    max_size=12,
)


@settings(relaxed, max_examples=40)
@given(steps=STEPS, signed=st.booleans(), limit=st.sampled_from([2000, 64 << 20]))
def test_no_log_that_was_only_written_is_accused(
    tmp_path_factory: pytest.TempPathFactory, *, steps: list[str], signed: bool, limit: int
) -> None:
    """Looked at after every step, while writers hold it: calls, days, restarts, torn tails."""
    desk, lost = Desk(tmp_path_factory.mktemp("log"), signed=signed), False
    with ExitStack() as stack:
        writer = stack.enter_context(desk.writer(limit=limit))
        for number, step in enumerate(steps):
            if step == "call":
                call(writer, number)
            elif step == "open":
                writer.append(SLUG, intent(number))
            elif step in ("day", "month"):
                desk.clock.next_day(1 if step == "day" else 30)
                call(writer, number)
            elif step == "back":
                desk.clock.at -= timedelta(minutes=5)
                call(writer, number)
            elif step == "other":
                call(stack.enter_context(desk.writer(limit=limit)), number)
            else:
                stack.close()  # everybody lets go
                lost = lost or step == "torn"
                if step == "torn":
                    tear(desk)
                writer = stack.enter_context(desk.writer(limit=limit))
                call(writer, number)
            verdict = verify(desk.log())
            assert (verdict.integrity, verdict.findings) == ("intact", [])
            assert verdict.unregistered == []
    assert (verify(desk.log()).completeness == "incomplete") is (lost or "open" in steps)


def tear(desk: Desk) -> None:
    """Leave half a line at every end, as a power cut may."""
    newest = {
        path.name[:3]: path for path in sorted((desk.audit / SLUG / "journal").glob("*.jsonl"))
    }
    paths = [*newest.values()] if newest else []
    if not paths:
        with desk.writer() as writer:
            call(writer, 999)
        return tear(desk)
    for path in paths:
        if b'"event":"audit.closed"' not in path.read_bytes().splitlines()[-1]:
            with path.open("ab") as file:  # nobody writes into one that is closed
                file.write(b'{"schema":1,"se')
    return None


def test_a_torn_tail_is_a_lost_record_and_no_tampering_before_and_after_its_repair(
    desk: Desk,
) -> None:
    with journal(desk, THIRD).open("ab") as file:
        file.write(b'{"schema":1,"seq":')
    verdict = verify(desk.log())
    assert (verdict.integrity, verdict.completeness) == ("intact", "incomplete")
    assert verdict.lost == [f"{THIRD} ends in a torn line of 18 bytes."]
    with desk.writer() as writer:
        call(writer, 50)
    verdict = verify(desk.log())
    assert (verdict.integrity, verdict.completeness) == ("intact", "incomplete")
    assert "torn by a crash was set aside" in verdict.lost[0]


def test_a_log_of_the_earlier_version_is_not_registered_and_not_accused(tmp_path: Path) -> None:
    desk, folder = Desk(tmp_path), tmp_path / "audit" / SLUG / "journal"
    folder.mkdir(parents=True)
    for name in (f"{FIRST}.jsonl", f"{SIDE}.jsonl"):
        last, written = chain.genesis(name), b""
        for number in (1, 2):
            fields = {"schema": 1, "seq": number, "ts": "2026-09-01T00:00:00.000000Z"}
            line, last = chain.link(last, encode({**intent(number), **fields, "clientSlug": SLUG}))
            written += line
        (folder / name).write_bytes(written)
    verdict = verify(desk.log())
    assert (verdict.integrity, verdict.unregistered) == ("intact", [FIRST, SIDE])
    assert verdict.report()["segmentsNotRegistered"] == 2
    with desk.writer() as writer:  # it is taken up, closed and registered
        call(writer, 3)
    verdict = verify(desk.log())
    assert (verdict.integrity, verdict.unregistered) == ("intact", [])  # both, whoever had them
    # When it was opened nobody knows, so it is of every period before it was closed.
    journal(desk, SIDE).unlink()
    september = verify(desk.log(), first=date(2026, 9, 1), last=date(2026, 9, 30))
    assert [one[:2] for one in september.findings] == [("missing", f"journal/{SIDE}.jsonl")]


def test_a_killed_writer_leaves_nothing_that_is_accused(tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    log = Log(folder=audit / SLUG, copy=None)
    for first in range(0, 50_000, 10_000):
        with child("append", {"audit": str(audit), "first": first, "count": 5000}) as one:
            hear(one)
            tell(one, "go")
            while verify(log).report()["records"] < first // 100 + 30:
                pass  # it is writing
            one.kill()
            one.wait()
        assert verify(log).findings == []


def test_a_log_that_is_being_written_is_judged_meanwhile(tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    log = Log(folder=audit / SLUG, copy=None)
    with ExitStack() as stack:
        order = {"audit": str(audit), "count": 1500}
        children = [
            stack.enter_context(child("append", {**order, "first": 10_000 * number}))
            for number in range(3)
        ]
        for one in children:
            hear(one)
        for one in children:
            tell(one, "go")
        seen = 0
        while seen < 3 * 1500:
            report = verify(log).report()
            assert report["findings"] == []
            seen = report["calls"]
        for one in children:
            assert hear(one) == {"done": True}


# --- completeness ---


def test_calls_without_an_outcome_are_lost_once_nobody_can_still_write_them(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)
    with desk.writer() as writer:
        writer.append(SLUG, intent(1))
        verdict = verify(desk.log())
        assert (verdict.completeness, verdict.lost) == ("not comparable", [])
        assert verdict.notes == [f"{FIRST} is being written; calls on their way: 1."]
    verdict = verify(desk.log())
    assert (verdict.integrity, verdict.completeness) == ("intact", "incomplete")
    assert verdict.lost == [f"{FIRST}: calls whose outcome is not recorded: 1."]


def test_calls_that_a_dead_program_left_open_are_lost_though_another_goes_on(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)
    with desk.writer() as writer:
        writer.append(SLUG, intent(1))
    with desk.writer(author=replace(AUTHOR, run_id="f" * 16)) as writer:
        writer.append(SLUG, intent(2))
        verdict = verify(desk.log())
    assert verdict.lost == [f"{FIRST}: calls whose outcome is not recorded: 1."]
    assert verdict.notes == [f"{FIRST} is being written; calls on their way: 1."]


def test_a_call_over_midnight_ends_in_the_next_segment(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with desk.writer() as writer:
        writer.append(SLUG, intent(1))
        desk.clock.next_day()
        writer.append(SLUG, ending(1))
    verdict = verify(desk.log())
    assert (verdict.completeness, verdict.lost) == ("not comparable", [])
    assert verdict.report()["calls"] == 1
    # Of the first day alone nobody knows how it ended; that does not make it lost.
    journal(desk, SECOND).unlink()
    verdict = verify(desk.log(), last=date(2026, 10, 1))
    assert (verdict.lost, verdict.outside) == ([], 1)


# --- periods, heads, and what cannot be read ---


def test_a_period_excuses_what_was_closed_before_and_opened_after_if_it_is_not_there(
    desk: Desk,
) -> None:
    day = date(2026, 10, 3)
    verdict = verify(desk.log(), first=day, last=day)
    assert (len(verdict.segments), verdict.outside) == (4, 0)
    journal(desk, FIRST).unlink()
    verdict = verify(desk.log(), first=day, last=day)
    assert (verdict.integrity, verdict.outside) == ("intact", 1)
    assert verify(desk.log(), last=day).integrity == "missing"
    journal(desk, SECOND).unlink()
    assert verify(desk.log(), first=day, last=day).integrity == "missing"


def test_days_are_given_as_they_are_everywhere_else_and_the_first_is_not_after_the_last(
    desk: Desk,
) -> None:
    said = verify(desk.log(), first="2026-10-02", last="2026-10-03").report()
    assert said["requested"] == {"from": "2026-10-02", "to": "2026-10-03"}
    for first, last in (("2026-10-03", "2026-10-02"), (date(2026, 10, 3), "2026-10-02")):
        with pytest.raises(UsageError, match="before it begins"):
            verify(desk.log(), first=first, last=last)
    with pytest.raises(UsageError):
        verify(desk.log(), first=datetime(2026, 10, 3, tzinfo=UTC))
    with pytest.raises(UsageError):
        verify(desk.log(), last="2026-13-01")


def test_a_later_log_is_compared_with_a_kept_head(desk: Desk) -> None:
    kept = json.dumps(head_of(desk)).encode()
    assert verify(desk.log(), head=kept).integrity == "intact"
    with desk.writer() as writer:
        call(writer, 70)
    assert verify(desk.log(), head=kept).integrity == "intact"


def test_a_register_with_another_line_than_a_kept_head_names_is_altered(desk: Desk) -> None:
    kept = head_of(desk)
    kept["register"]["digest"] = "0" * 64
    verdict = verify(desk.log(), head=json.dumps(kept).encode())
    assert first_of(verdict) == ("altered", "heads.jsonl", kept["register"]["lines"])


def test_a_log_written_anew_with_the_key_is_seen_by_a_kept_head_alone(tmp_path: Path) -> None:
    desk = three_days(tmp_path / "a")
    kept = json.dumps(head_of(desk)).encode()
    anew = Desk(tmp_path / "b")
    with anew.writer() as writer:
        for day in range(3):
            for number in range(3):
                call(writer, 500 + 10 * day + number)
            anew.clock.next_day()
    assert verify(anew.log()).integrity == "intact"
    verdict = verify(anew.log(), head=kept)
    assert verdict.integrity == "altered"
    assert {one.file for one in verdict.findings} >= {"heads.jsonl", f"journal/{FIRST}.jsonl"}


@pytest.mark.parametrize(
    "kept", [b"", b"[]", b"{}", b"null", b'{"clientSlug":"beta-inc"}', b"\xff"]
)
def test_what_is_no_kept_head_of_this_client_is_refused(desk: Desk, kept: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        verify(desk.log(), head=kept)
    assert "not a kept head of this client" in caught.value.message
    other = {**head_of(desk), "clientSlug": "beta-inc"}
    with pytest.raises(UsageError):
        verify(desk.log(), head=json.dumps(other).encode())


def test_nothing_at_all_is_empty_and_neither_intact_nor_missing_anything(tmp_path: Path) -> None:
    verdict = verify(Log(folder=tmp_path / SLUG, copy=None))
    assert verdict.empty
    assert verdict.report()["found"] == {"from": None, "to": None}


@pytest.fixture
def blocked(desk: Desk) -> Desk:
    """A log whose register is a loop of links, which not even root can read."""
    register(desk).unlink()
    register(desk).symlink_to("heads.jsonl")
    return desk


def test_a_log_that_cannot_be_read_is_an_error_and_not_an_empty_one(blocked: Desk) -> None:
    with pytest.raises(AuditError) as caught:
        verify(blocked.log())
    assert "cannot be read" in caught.value.message


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    folder = tmp_path / SLUG / "journal"
    folder.mkdir(parents=True)
    last = chain.genesis(f"{FIRST}.jsonl")
    with (folder / f"{FIRST}.jsonl").open("wb") as file:
        for number in range(30_000):
            fields = {**intent(number), "clientSlug": SLUG, "event": "call.refused"}
            line, last = chain.link(last, encode({"schema": 1, "seq": number + 1, **fields}))
            file.write(line)
    assert (folder / f"{FIRST}.jsonl").stat().st_size > 12_000_000
    tracemalloc.start()
    try:
        verdict = verify(Log(folder=tmp_path / SLUG, copy=None))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (verdict.integrity, verdict.report()["calls"]) == ("intact", 30_000)
    assert peak < 4_000_000
