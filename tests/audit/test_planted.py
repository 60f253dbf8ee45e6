"""What somebody put into a log's folder: no honest start vouches for it, or waits for it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from hsagency.audit import lake
from hsagency.audit.evidence import archive
from hsagency.audit.lake.sealing import refresh
from hsagency.audit.repairing import repair
from hsagency.audit.verifying import verify
from hsagency.errors import AuditError
from tests.audit.logs import SLUG, Desk, call, rechained, sealed, three_days
from tests.audit.reading import register_lines

Record = dict[str, Any]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A log of three days and two slots; the day after, nobody writes it any more."""
    desk = three_days(tmp_path)
    desk.clock.next_day()
    return desk


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    signal.alarm(60)  # waiting for a pipe is a failure, not a wait
    yield
    signal.alarm(0)


def journal(desk: Desk, name: str) -> Path:
    return desk.log().folder / "journal" / f"{name}.jsonl"


def sample(desk: Desk) -> list[Record]:
    return [json.loads(line) for line in journal(desk, "000-000001").read_bytes().splitlines()]


def chained(records: Sequence[Record], name: str) -> bytes:
    """Return records as a forger would write them."""
    numbered = [{**one, "seq": seq} for seq, one in enumerate(records, start=1)]
    lines = [json.dumps(one, separators=(",", ":")).encode() + b"\n" for one in numbered]
    return rechained(lines, f"{name}.jsonl")


def calls(records: list[Record]) -> list[Record]:
    return [one for one in records if one["event"].startswith("call.")]


def only_calls(records: list[Record]) -> list[Record]:
    return calls(records)


def opened_and_a_call(records: list[Record]) -> list[Record]:
    return [records[0], *calls(records)[:1]]


def opened_and_closed(records: list[Record]) -> list[Record]:
    return [records[0], *calls(records), records[-1]]


def later_calls(records: list[Record]) -> list[Record]:
    return [{**one, "ts": "2026-10-03T23:00:00.000000Z"} for one in calls(records)]


def honest_days(desk: Desk) -> list[str]:
    """Write on two more days, repair, and return what a person was told."""
    told: list[str] = []
    for number in range(2):
        with desk.writer(tell=told.append) as writer:
            call(writer, 700 + number)
            repair(desk.log(), writer=writer)
        desk.clock.next_day()
    return told


def named(desk: Desk) -> set[str]:
    return {one["segment"] for one in register_lines(desk.audit)}


@pytest.mark.parametrize("name", ["002-000001", "001-000002", "000-000004", "003-000001"])
@pytest.mark.parametrize("what", [later_calls, opened_and_a_call, opened_and_closed])
def test_nobody_goes_on_with_a_segment_that_the_register_does_not_name(
    desk: Desk, name: str, what: Callable[[list[Record]], list[Record]]
) -> None:
    planted = chained(what(sample(desk)), name)
    journal(desk, name).write_bytes(planted)
    told = honest_days(desk)
    assert journal(desk, name).read_bytes() == planted
    assert name not in named(desk)
    assert any(f"{name} of {SLUG} holds records" in one for one in told)
    content = b"".join(one.read_bytes() for one in journal(desk, name).parent.glob("*.jsonl"))
    assert b"holds records, though the register does not name it" in content


def test_nobody_vouches_for_evidence_that_the_register_does_not_name(desk: Desk) -> None:
    name = "000-000004"
    (desk.log().folder / "evidence").mkdir()
    path = desk.log().folder / "evidence" / f"{name}.jsonl.zst"
    path.write_bytes(zstd.compress(chained(opened_and_closed(sample(desk)), name)))
    told = honest_days(desk)
    assert name not in named(desk)
    assert any(f"{name} of {SLUG} holds records" in one for one in told)
    assert (
        path.name
        not in b"".join(
            one.read_bytes() for one in journal(desk, name).parent.glob("*.jsonl")
        ).decode()
    )


def test_nobody_vouches_for_evidence_that_is_not_what_the_register_says(desk: Desk) -> None:
    """Of a segment that was opened and not closed, nothing but how it began is known."""
    name, folder = "000-000003", desk.log().folder
    path = journal(desk, name)
    records = [json.loads(line) for line in path.read_bytes().splitlines()]
    path.unlink()
    records[0]["user"] = "somebody else"
    (folder / "evidence").mkdir()
    forged = zstd.compress(chained([*records, sample(desk)[-1]], name))
    (folder / "evidence" / f"{name}.jsonl.zst").write_bytes(forged)
    honest_days(desk)
    assert verify(desk.log()).integrity == "altered"


def test_a_segment_that_has_just_begun_is_gone_on_with(desk: Desk) -> None:
    """As a crash leaves it between its first record and the line of the register."""
    name = "002-000001"
    journal(desk, name).write_bytes(chained(sample(desk)[:1], name))
    honest_days(desk)
    assert name in named(desk)
    assert verify(desk.log()).integrity == "intact"


def test_a_segment_from_before_the_register_is_ended_and_named(desk: Desk) -> None:
    name = "002-000001"
    earlier = [{**one, "ts": "2026-09-01T00:00:00.000000Z"} for one in only_calls(sample(desk))]
    content = chained(earlier, name)
    journal(desk, name).write_bytes(content)
    honest_days(desk)
    assert journal(desk, name).read_bytes().startswith(content)
    assert b'"event":"audit.closed"' in journal(desk, name).read_bytes()
    assert name in named(desk)


def test_a_writer_stays_in_its_slot(tmp_path: Path) -> None:
    """So that an intent and its outcome are in one stream, though another slot is free by now."""
    desk = Desk(tmp_path)
    with desk.writer() as one, desk.writer() as other:
        call(one, 1)
        call(other, 2)
        one.close()
        desk.clock.next_day()
        call(other, 3)
    assert journal(desk, "001-000002").exists()
    assert not journal(desk, "000-000002").exists()


PLACES = {
    "segment": "audit/acme-corp/journal/002-000001.jsonl",
    "next segment": "audit/acme-corp/journal/000-000004.jsonl",
    "checkpoint": "audit/acme-corp/heads/000.json",
    "half-written checkpoint": "audit/acme-corp/heads/.000.json.new",
    "register": "audit/acme-corp/heads.jsonl",
    "second copy": "copies/acme-corp.jsonl",
    "second copy of a checkpoint": "copies/acme-corp/000.json",
    "evidence": "audit/acme-corp/evidence/002-000001.jsonl.zst",
    "keys": "audit/keys.json",
}


def tried(act: Callable[[], object]) -> str:
    """Do something; an error of ours that says what to do is an answer too."""
    try:
        act()
    except AuditError as error:
        return "refused" if error.hint else "refused without a word"
    return "done"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
@pytest.mark.parametrize("place", PLACES)
def test_nothing_waits_for_a_pipe_or_crashes_on_a_folder(
    desk: Desk, tmp_path: Path, place: str, make: Callable[[Path], None]
) -> None:
    sealed(desk, "000-000001")
    archive(desk.log().folder, "000-000002")
    path = tmp_path / PLACES[place]
    path.unlink(missing_ok=True)
    make(path)

    def write() -> None:
        with desk.writer() as writer:
            call(writer, 999)

    def mend() -> None:
        with desk.writer() as writer:
            repair(desk.log(), writer=writer)

    def read() -> None:
        assert lake.read(desk.audit, [SLUG]).calls.collect().height >= 11

    assert tried(read) == "done"
    for act in (partial(verify, desk.log()), partial(refresh, desk.audit, SLUG)):
        assert tried(act) in ("done", "refused")
    if path.parent.name in ("journal", "heads", "evidence"):
        said = [str(one) for one in verify(desk.log()).findings]
        assert any(f"{path.parent.name}/{path.name}: it is no file" in one for one in said)
    assert tried(write) == ("refused" if place == "register" else "done")
    mend()
