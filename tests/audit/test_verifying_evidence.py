"""Verdicts on logs that are sealed in part: the same as if they were not, and then some."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsagency.audit.pack import kept_head
from hsagency.audit.standalone.evidence import Finding
from hsagency.audit.standalone.verdict import Verdict
from hsagency.audit.verifying import verify
from tests.audit.killing import child, hear, tell
from tests.audit.logs import SLUG, Desk, rechained, replaced, sealed, three_days

FIRST, SECOND, THIRD = (f"000-{number:06}" for number in (1, 2, 3))
SIDE = "001-000001"
ALL = (FIRST, SECOND, THIRD, SIDE)
relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A log of which two segments are sealed."""
    desk = three_days(tmp_path)
    sealed(desk, FIRST, SECOND)
    return desk


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A log that tests tamper with for a moment, in the journal alone."""
    return three_days(tmp_path_factory.mktemp("log"))


def folder(desk: Desk) -> Path:
    return desk.audit / SLUG


def journal(desk: Desk, name: str) -> Path:
    return folder(desk) / "journal" / f"{name}.jsonl"


def packed(desk: Desk, name: str) -> Path:
    return folder(desk) / "evidence" / f"{name}.jsonl.zst"


def repacked(desk: Desk, name: str, change: Callable[[bytes], bytes]) -> None:
    """Change what evidence holds, as somebody would who knows how it is packed."""
    path = packed(desk, name)
    path.write_bytes(zstd.compress(change(zstd.decompress(path.read_bytes()))))


def places(verdict: Verdict) -> list[tuple[str, str, int | None]]:
    return [one[:3] for one in verdict.findings]


def test_an_untouched_log_is_intact_however_much_of_it_is_sealed(tmp_path: Path) -> None:
    desk = three_days(tmp_path)
    before, whole = verify(desk.log()).report(), kept_head(desk.log())
    days = {"first": date(2026, 10, 2), "last": date(2026, 10, 2)}
    for name in (FIRST, SECOND):
        sealed(desk, name)
        assert verify(desk.log()).report() == before
        assert kept_head(desk.log()) == whole
        assert verify(desk.log(), head=whole).integrity == "intact"
        assert verify(desk.log(), **days).report()["segments"] == 4  # what is there is checked


def moved(one: Finding, names: Collection[str]) -> Finding:
    """Return a finding as it is where some segments are sealed."""
    name = one.file[8:18]
    return one._replace(file=f"evidence/{name}.jsonl.zst") if name in names else one


def tampered(content: bytes, data: st.DataObject) -> bytes | None:
    """Return what somebody made of a segment."""
    at = data.draw(st.integers(0, len(content) - 1))
    lines = content.splitlines(keepends=True)
    line = data.draw(st.integers(0, len(lines) - 1))
    how: dict[str, bytes | None] = {
        "nothing": content,
        "removed": None,
        "cut": content[:at],
        "changed": content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :],
        "dropped": b"".join(lines[:line] + lines[line + 1 :]),
        "doubled": b"".join(lines[:line] + lines[line : line + 1] * 2 + lines[line + 1 :]),
        "added": content + lines[line],
        "garbage": data.draw(st.binary(max_size=60)),
    }
    return how[data.draw(st.sampled_from(sorted(how)))]


@relaxed
@given(data=st.data(), names=st.sets(st.sampled_from(ALL), min_size=1), about=st.sampled_from(ALL))
def test_whatever_was_done_the_verdict_is_the_same_wherever_the_segment_is(
    standing: Desk, data: st.DataObject, names: set[str], about: str
) -> None:
    path = journal(standing, about)
    with replaced(path, tampered(path.read_bytes(), data)):
        plain = verify(standing.log())
        files = {name: journal(standing, name) for name in names}
        there = {name: one.read_bytes() for name, one in files.items() if one.exists()}
        packed(standing, FIRST).parent.mkdir(exist_ok=True)
        for name, content in there.items():
            files[name].unlink()
            packed(standing, name).write_bytes(zstd.compress(content))
        try:
            found = verify(standing.log())
        finally:
            for name, content in there.items():
                files[name].write_bytes(content)
                packed(standing, name).unlink()
    # One that is gone is looked for where a later one of its slot is.
    gone = {name for name in ALL if any(one[:3] == name[:3] and one >= name for one in there)}
    really = {*there} | gone
    assert [one._replace(cause="") for one in found.findings] == [
        moved(one, really if one.verdict == "missing" else there)._replace(cause="")
        for one in plain.findings
    ]
    said, expected = found.report(), plain.report()
    for name in ("findings", "notes"):
        del said[name], expected[name]
    assert said == expected


def test_a_removed_evidence_file_is_missing(desk: Desk) -> None:
    packed(desk, FIRST).unlink()
    verdict = verify(desk.log())
    assert places(verdict) == [("missing", f"evidence/{FIRST}.jsonl.zst", None)]
    assert "it had 8 records at" in verdict.findings[0].cause


def test_a_changed_record_is_named_by_its_line_in_the_evidence(desk: Desk) -> None:
    repacked(desk, SECOND, lambda one: one.replace(b'"tester"', b'"Tester"', 3))
    assert places(verify(desk.log())) == [("altered", f"evidence/{SECOND}.jsonl.zst", 1)]
    before = zstd.decompress(packed(desk, FIRST).read_bytes()).splitlines(keepends=True)
    repacked(desk, FIRST, lambda _: rechained([*before[:3], *before[3:]], f"{FIRST}.jsonl"))
    assert places(verify(desk.log()))[0] == ("altered", f"evidence/{SECOND}.jsonl.zst", 1)
    rewritten = [*before[:3], before[3].replace(b'"tester"', b'"Tester"'), *before[4:]]
    repacked(desk, FIRST, lambda _: rechained(rewritten, f"{FIRST}.jsonl"))
    assert places(verify(desk.log()))[0] == ("altered", f"evidence/{FIRST}.jsonl.zst", 8)


def test_evidence_that_was_cut_is_truncated_and_damaged_is_altered(desk: Desk) -> None:
    path = packed(desk, FIRST)
    content = path.read_bytes()
    with replaced(path, content[:-1]):
        verdict = verify(desk.log())
        assert places(verdict)[0][:2] == ("truncated", f"evidence/{FIRST}.jsonl.zst")
        assert verdict.findings[0].cause == "the compressed file ends before its end"
    for other in (b"no frame at all", content + b"x", content[:-4] + bytes(4)):
        with replaced(path, other):
            assert places(verify(desk.log()))[0][:2] == ("altered", f"evidence/{FIRST}.jsonl.zst")
    assert verify(desk.log()).integrity == "intact"


def test_damage_is_named_at_the_line_where_reading_stops(desk: Desk) -> None:
    """What could be unpacked before the damage is judged too."""
    lines = zstd.decompress(packed(desk, FIRST).read_bytes()).splitlines(keepends=True)
    frame = zstd.ZstdCompressor()
    whole = frame.compress(b"".join(lines[:4]), zstd.ZstdCompressor.FLUSH_BLOCK)
    packed(desk, FIRST).write_bytes(whole)
    verdict = verify(desk.log())
    finding = verdict.findings[0]
    assert finding[:4] == (
        *("truncated", f"evidence/{FIRST}.jsonl.zst", 5, len(b"".join(lines[:4]))),
    )
    assert len(verdict.findings) == 1


def test_a_segment_in_both_places_is_compared(desk: Desk) -> None:
    content = zstd.decompress(packed(desk, FIRST).read_bytes())
    journal(desk, FIRST).write_bytes(content)
    assert verify(desk.log()).integrity == "intact"  # a crash came between
    at = content.index(b'"tester"', 2500)
    repacked(desk, FIRST, lambda one: one[:at] + one[at:].replace(b"tester", b"Tester", 1))
    verdict = verify(desk.log())
    assert verdict.findings == [
        Finding(
            "altered",
            f"evidence/{FIRST}.jsonl.zst",
            content[:at].count(b"\n") + 1,
            at + 1,
            f"it is not what journal/{FIRST}.jsonl holds",
        )
    ]
    for other in (content[:-1], content + b"x", b""):
        repacked(desk, FIRST, lambda _, other=other: other)  # type: ignore[misc]
        assert places(verify(desk.log()))[0][:2] == ("altered", f"evidence/{FIRST}.jsonl.zst")
    packed(desk, FIRST).write_bytes(b"damaged")
    assert places(verify(desk.log())) == [("altered", f"evidence/{FIRST}.jsonl.zst", 1)]


def test_a_journal_file_put_back_with_other_bytes_is_altered_beside_good_evidence(
    desk: Desk,
) -> None:
    content = zstd.decompress(packed(desk, FIRST).read_bytes())
    journal(desk, FIRST).write_bytes(content.replace(b'"tester"', b'"Tester"'))
    assert ("altered", f"journal/{FIRST}.jsonl", 1) in places(verify(desk.log()))


def test_files_in_the_evidence_that_are_no_part_of_the_log_are_named(desk: Desk) -> None:
    inside = folder(desk) / "evidence"
    for name in ("notes.txt", "000-000001.jsonl", "000-1.jsonl.zst"):
        (inside / name).write_bytes(b"?")
    (inside / f"{THIRD}.jsonl.zst.new").write_bytes(b"left by a crash")
    verdict = verify(desk.log())
    assert verdict.integrity == "intact"
    assert [one for one in verdict.notes if "No part" in one] == [
        f"No part of the log: 'evidence/{name}'."
        for name in ("000-000001.jsonl", "000-1.jsonl.zst", "notes.txt")
    ]


@relaxed
@given(
    garbage=st.binary(max_size=200),
    kept=st.integers(0, 200),
    name=st.sampled_from([FIRST, SECOND]),
    how=st.sampled_from(["as it is", "packed", "after a part"]),
)
def test_whatever_an_evidence_file_holds_there_is_a_verdict(
    standing: Desk, garbage: bytes, kept: int, name: str, how: str
) -> None:
    content = journal(standing, name).read_bytes()
    frame = zstd.compress(content)
    made = {
        "as it is": garbage,
        "packed": zstd.compress(content[:kept] + garbage),
        "after a part": frame[:kept] + garbage,
    }
    packed(standing, name).parent.mkdir(exist_ok=True)
    with replaced(journal(standing, name), None), replaced(packed(standing, name), made[how]):
        report = verify(standing.log()).report()
    assert report["integrity"] in ("altered", "truncated")
    assert report["findings"][0]["file"] == f"evidence/{name}.jsonl.zst"
    assert report["records"] <= 28
    assert json.dumps(report)


def test_a_log_that_is_written_and_sealed_meanwhile_is_intact_at_every_look(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)
    order = {"audit": str(desk.audit), "limit": 50_000, "first": 0, "count": 600, "threads": 2}
    log = replace(desk.log(), copy=None)
    seen = 0
    with child("crowd", order) as process:
        hear(process)
        tell(process, "go")
        while process.poll() is None:
            names = sorted(one.stem for one in (folder(desk) / "journal").glob("*.jsonl"))
            for name in names[:-1]:
                if journal(desk, name).read_bytes().endswith(b"\n") and closed(desk, name):
                    sealed(desk, name)
                    seen += 1
                    assert not verify(log).findings
    assert seen
    verdict = verify(log)
    assert (verdict.integrity, verdict.report()["calls"]) == ("intact", 1201)


def closed(desk: Desk, name: str) -> bool:
    """Say whether the register has a segment's end, so that its writer has let go of it."""
    register = (folder(desk) / "heads.jsonl").read_bytes()
    return f'"kind":"closed","segment":"{name}"'.encode() in register
