"""What somebody can do who can write the workspace, and has not the key: it shows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hsagency.audit import chain
from hsagency.audit.pack import kept_head
from hsagency.audit.record import encode
from hsagency.audit.register import Head, Kind, Signer, digest, encode_line, parse_line
from hsagency.audit.standalone.verdict import Verdict
from hsagency.audit.verifying import Log, verify
from tests.audit.logs import SLUG, Desk, call, listed, rechained, signer_of, three_days
from tests.audit.machines import forge
from tests.audit.reading import ending, intent

AT = "2026-10-05T00:00:00.000000Z"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return three_days(tmp_path)


def journal(desk: Desk, name: str) -> Path:
    return desk.audit / SLUG / "journal" / f"{name}.jsonl"


def registers(desk: Desk) -> Iterator[Path]:
    """Yield the register and its second copy."""
    yield desk.audit / SLUG / "heads.jsonl"
    yield desk.copies / f"{SLUG}.jsonl"


def checkpoints(desk: Desk, slot: str) -> Iterator[Path]:
    yield desk.audit / SLUG / "heads" / f"{slot}.json"
    yield desk.copies / SLUG / f"{slot}.json"


def places(verdict: Verdict) -> list[tuple[str, str]]:
    return [one[:2] for one in verdict.findings]


def planted(desk: Desk, name: str, *fields: dict[str, Any], at: str = AT) -> bytes:
    """Put a segment there whose chain holds."""
    last, content = chain.genesis(f"{name}.jsonl"), b""
    for number, one in enumerate(fields, start=1):
        said = {"schema": 1, "seq": number, "ts": at, "clientSlug": SLUG, **one}
        line, last = chain.link(last, encode(said))
        content += line
    journal(desk, name).write_bytes(content)
    return content


OPENED = {"event": "audit.opened", "segment": "002-000001"}
CALL = [intent(700), ending(700)]


def end_of(name: str, content: bytes) -> Head:
    lines = content.splitlines()
    return Head(name, len(lines), len(content), json.loads(lines[-1])["hash"])


def add_line(desk: Desk, head: Head, kind: Kind, signer: Signer | None) -> None:
    """Add a line to the register, in both places."""
    lines = next(registers(desk)).read_bytes().splitlines(keepends=True)
    place = {"seq": len(lines) + 1, "previous": digest(lines[-1])}
    line = encode_line(head, kind=kind, slug=SLUG, ts=AT, signer=signer, **place)  # type: ignore[arg-type]
    for path in registers(desk):
        path.write_bytes(b"".join([*lines, line]))


# --- the register, and what it does not name ---


def test_a_register_that_is_gone_in_both_places_is_missing_whatever_checkpoints_say(
    desk: Desk,
) -> None:
    for path in registers(desk):
        path.unlink()
    assert places(verify(desk.log())) == [("missing", "heads.jsonl")]
    for path in [journal(desk, "001-000001"), *checkpoints(desk, "001")]:
        path.unlink()
    assert places(verify(desk.log())) == [("missing", "heads.jsonl")]


def test_a_checkpoint_alone_registers_no_segment(desk: Desk) -> None:
    content = planted(desk, "002-000001", OPENED)
    line = encode_line(
        end_of("002-000001", content), kind=Kind.CHECKPOINT, slug=SLUG, ts=AT, signer=None
    )
    for path in checkpoints(desk, "002"):
        path.write_bytes(line)
    assert places(verify(desk.log())) == [("altered", "journal/002-000001.jsonl")]


@pytest.mark.parametrize(
    "fields",
    [
        CALL,
        [OPENED, *CALL],
        [OPENED, {"event": "audit.merged", "lineage": "0" * 16}],
        [OPENED, {"event": "audit.exported"}],
        [OPENED, {"event": "connection.added"}],
        [{"event": "halt.set"}],
    ],
)
def test_a_planted_segment_is_altered_however_short_it_is_and_older_than_the_register_or_not(
    desk: Desk, fields: list[dict[str, Any]]
) -> None:
    planted(desk, "002-000001", *fields)
    verdict = verify(desk.log())
    assert places(verdict) == [("altered", "journal/002-000001.jsonl")]
    assert "does not name" in verdict.findings[0].cause


def test_what_a_crash_leaves_of_a_segment_that_was_just_opened_accuses_nobody(desk: Desk) -> None:
    events = ("audit.clock", "audit.warning", "audit.warning", "audit.repaired")
    planted(desk, "002-000001", OPENED, *({"event": one} for one in events))
    verdict = verify(desk.log())
    assert (verdict.findings, verdict.unregistered) == ([], ["002-000001"])


def test_a_segment_that_claims_to_be_older_than_the_register_is_named_as_protected_by_nothing(
    desk: Desk,
) -> None:
    planted(desk, "002-000001", *CALL, at="2026-09-01T00:00:00.000000Z")
    verdict = verify(desk.log())
    assert (verdict.findings, verdict.unregistered) == ([], ["002-000001"])
    assert verdict.unsigned == [
        "2 of 31 records are under no signed head: anybody could have written them."
    ]


def test_a_checkpoint_that_is_gone_in_both_places_is_missing(desk: Desk) -> None:
    path = journal(desk, "000-000003")
    lines = path.read_bytes().splitlines(keepends=True)
    changed = [line.replace(b'"statusCode":200', b'"statusCode":418') for line in lines]
    path.write_bytes(rechained(changed, path.name))
    for point in checkpoints(desk, "000"):
        point.unlink()
    desk.clock.at = desk.clock.at.replace(year=2027)
    path.write_bytes(
        rechained([*changed[:-1], changed[-1].replace(b'"ts":"2026', b'"ts":"2027')], path.name)
    )
    assert places(verify(desk.log())) == [("missing", "heads/000.json")]


# --- keys ---


def with_another_key(desk: Desk) -> Signer:
    """Add a key of one's own to keys.json."""
    (_, ours), (other, theirs) = signer_of(), signer_of(b"9")
    (desk.audit / "keys.json").write_bytes(listed(ours, theirs))
    return other


def test_a_log_signed_anew_with_a_key_that_was_added_to_keys_json_is_altered(desk: Desk) -> None:
    ours, desk.signer = desk.signer, with_another_key(desk)
    forge(desk, lambda record: record.update(user="nobody"))
    shutil.rmtree(desk.copies / SLUG)
    verdict = verify(desk.log())
    assert places(verdict)[0] == ("altered", "heads.jsonl")
    assert desk.signer.key in verdict.findings[0].cause
    assert "second copy of keys.json" in verdict.findings[0].cause
    assert [one["key"] for one in verdict.signed_by] == [desk.signer.key]
    assert ours.key not in verdict.signers
    # Without the second copy nobody can tell, and that is said.
    (desk.copies / "keys.json").unlink()
    verdict = verify(desk.log())
    assert verdict.findings == []
    assert "There is no second copy of keys.json to compare with." in verdict.notes


def test_a_removal_must_be_signed_with_a_key_that_signed_more_and_be_on_record(desk: Desk) -> None:
    lines = [parse_line(line) for line in next(registers(desk)).read_bytes().splitlines(True)]
    closed = next(
        one.head for one in lines if one.kind is Kind.CLOSED and one.head.segment == "000-000001"
    )
    for signer, cause in ((desk.signer, "no record tells"), (with_another_key(desk), "no record")):
        before = [path.read_bytes() for path in registers(desk)]
        add_line(desk, closed, Kind.RETIRED, signer)
        content = journal(desk, "000-000001").read_bytes()
        journal(desk, "000-000001").unlink()
        verdict = verify(desk.log())
        assert ("altered", "heads.jsonl") in places(verdict)
        assert any(cause in one.cause for one in verdict.findings)
        if signer is not desk.signer:
            assert any("signed nothing else" in one.cause for one in verdict.findings)
        journal(desk, "000-000001").write_bytes(content)
        for path, said in zip(registers(desk), before, strict=True):
            path.write_bytes(said)


# --- what is not signed ---


def test_an_unsigned_line_after_signed_ones_is_named(desk: Desk) -> None:
    content = planted(desk, "002-000001", OPENED, *CALL)
    add_line(desk, end_of("002-000001", content), Kind.CLOSED, None)
    verdict = verify(desk.log())
    assert verdict.integrity == "intact"  # a store that did not answer leaves such a line too
    number = next(registers(desk)).read_bytes().count(b"\n")
    assert verdict.unsigned == [
        f"After signed ones, line {number} of the register is not signed: "
        "anybody could have written that.",
        "3 of 32 records are under no signed head: anybody could have written them.",
    ]
    assert verdict.report()["unsigned"] == verdict.unsigned


def test_a_log_without_a_signature_says_loudly_that_anybody_could_have_written_it(
    tmp_path: Path,
) -> None:
    verdict = verify(three_days(tmp_path, signed=False).log())
    assert verdict.integrity == "intact"
    assert verdict.unsigned == [
        "29 of 29 records are under no signed head: anybody could have written them."
    ]
    assert verify(three_days(tmp_path / "b").log()).unsigned == []


# --- calls across slots, foreign records, breaks, kept heads ---


def test_a_call_begun_in_one_slot_and_ended_in_another_is_one_call(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    one, other = desk.writer(), desk.writer()
    call(one, 1)
    call(other, 2)
    for writer, number in ((one, 3), (other, 4)):
        writer.append(SLUG, intent(number))
    one.append(SLUG, ending(4), durable=False)
    other.append(SLUG, ending(3), durable=False)
    one.close()
    other.close()
    verdict = verify(desk.log())
    assert (verdict.report()["calls"], verdict.lost) == (4, [])


def test_a_line_that_names_two_clients_does_not_cover_for_one_of_another(desk: Desk) -> None:
    path = journal(desk, "000-000001")
    lines = path.read_bytes().splitlines(keepends=True)
    mine = b'"clientSlug":"acme-corp"'
    lines[2] = lines[2].replace(mine, b'"clientSlug":"beta-inc"')
    lines[3] = lines[3].replace(mine, mine + b"," + mine)
    path.write_bytes(rechained(lines, path.name))
    for paths in (registers(desk), checkpoints(desk, "000"), checkpoints(desk, "001")):
        for one in paths:
            one.unlink()
    found = [one for one in verify(desk.log()).findings if one.file.startswith("journal")]
    assert [(one.line, one.cause) for one in found] == [(3, "it is not a record of this client")]


def test_what_comes_after_a_break_is_not_counted_and_that_is_said(desk: Desk) -> None:
    path = journal(desk, "000-000001")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    verdict = verify(desk.log())
    assert verdict.notes[0].startswith("000-000001 was counted up to what is wrong in it; the 5 ")
    report = verdict.report()
    assert (report["records"], report["linesAfterBreaks"]) == (29 - 6, 5)
    assert (report["completeness"], len(report["incompleteBecause"])) == ("incomplete", 1)


def test_a_head_that_the_log_contains_is_said_to_be_contained(desk: Desk) -> None:
    kept = kept_head(desk.log())
    verdict = verify(desk.log(), head=kept)
    made = json.loads(kept)["made"]
    assert verdict.kept == {"made": made, "contained": True, "segmentsNotCompared": 0}
    assert verdict.remarks() == [f"the head kept at {made} is contained in this log"]
    anew = Desk(desk.audit.parent / "anew")
    with anew.writer() as writer:
        call(writer, 1)
    verdict = verify(anew.log(), head=kept)
    assert verdict.kept is not None
    assert not verdict.kept["contained"]
    assert verify(desk.log()).report()["keptHead"] is None


def test_the_last_record_of_a_log_is_not_the_line_that_closes_it_long_after(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with desk.writer() as writer:
        call(writer, 1)
        desk.clock.next_day(400)
        call(writer, 2)
    first = verify(desk.log()).segments[0]
    assert first.closed is not None
    assert first.last[:10] == "2026-10-01"


def test_a_log_with_only_the_second_copies_left_and_one_without_anything(desk: Desk) -> None:
    shutil.rmtree(desk.audit / SLUG)
    assert verify(desk.log()).integrity == "missing"
    assert verify(Log(folder=desk.audit / "nobody", copy=None)).empty
