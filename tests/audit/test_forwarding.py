"""What the journals hold reaches every destination at least once and in order, and delays no call."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsagency.audit import evidence, lake
from hsagency.audit.forwarding import Forwarder, open_forwarder
from hsagency.audit.forwarding.cursors import load
from hsagency.audit.forwarding.destinations import Destination, Function, Logging, SqliteTable
from hsagency.audit.forwarding.standing import standings
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import CALL_FIELDS, DETAIL_FIELDS
from hsagency.errors import CorruptFile, NewerSchema, UsageError
from hsagency.settings import Settings, Workspace
from tests.audit.conftest import Connect
from tests.audit.killing import child
from tests.audit.reading import AUTHOR, CONTACTS, ending, intent, journals, lines
from tests.support import connected

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
Record = Mapping[str, Any]


@dataclass
class Clock:
    at: datetime = NOON

    def __call__(self) -> datetime:
        self.at += timedelta(microseconds=1)
        return self.at

    def move(self, **by: float) -> None:
        self.at += timedelta(**by)


@dataclass
class Taker:
    """A destination of ours: takes, or raises when it is told to."""

    taken: list[Record] = field(default_factory=list)
    settled: int = 0
    fails_at: int | None = None
    durable: bool = True
    events: bool = True
    refuses: Callable[[Record], bool] = lambda _: False
    open: bool = True

    def take(self, record: Record) -> None:
        if self.fails_at == 0 or self.refuses(record):
            raise ConnectionError("the other side is gone")
        self.fails_at = None if self.fails_at is None else self.fails_at - 1
        self.taken.append(dict(record))

    def settle(self) -> None:
        self.settled = len(self.taken)

    def close(self) -> None:
        self.open = False

    def calls(self) -> list[str]:
        return [one["callId"] for one in self.taken if "event" not in one]

    def amendments(self) -> list[str]:
        return [one["event"] for one in self.taken if "callId" in one and "event" in one]


def workspace_in(root: Path, *forward: dict[str, str]) -> Workspace:
    said = {"schema": 1, "workspace": "w", "store": "age:credentials", "forward": forward}
    return Workspace(root, Settings.model_validate(said))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return workspace_in(tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def writer(audit: Path, clock: Clock) -> Iterator[AuditWriter]:
    with AuditWriter(audit, author=AUTHOR, now=clock) as one:
        yield one


def forwarder(workspace: Workspace, to: Destination, clock: Clock, name: str = "one") -> Forwarder:
    return Forwarder(name, to, workspace=workspace, now=clock)


def call(writer: AuditWriter, number: int, slug: str = "acme-corp", **more: object) -> None:
    writer.append(slug, intent(number), durable=False)
    writer.append(slug, ending(number, **more), durable=False)


def on_disk(audit: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for path in journals(audit) for line in lines(path)]


def ids(*numbers: int) -> list[str]:
    return [f"{number:032x}" for number in numbers]


def test_each_call_arrives_as_the_record_that_exports_show(
    workspace: Workspace, connect: Connect, audit: Path, schema: dict[str, Any]
) -> None:
    client = connect(by=None)
    client.get(CONTACTS)
    client.get(f"{CONTACTS}/999999999")
    made = client.post(CONTACTS, json={"properties": {"email": "new@example.com"}}).json()["id"]
    taker = Taker()
    clock = Clock(datetime.now(UTC) + timedelta(hours=1))
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
    calls = [record for record in taker.taken if "event" not in record]
    exported = list(lake.joined_records(lake.read(audit, ["acme-corp"]).calls.collect()))
    assert [_plain(one) for one in calls] == exported
    assert list(calls[0]) == [name for name in CALL_FIELDS if name in calls[0]]
    assert calls[2]["objectIds"] == [made]
    for record in calls:
        jsonschema.validate(record, {**schema["$defs"]["call"], "properties": _resolved(schema)})
    assert calls[1]["category"] == "OBJECT_NOT_FOUND"


def _plain(record: Record) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in DETAIL_FIELDS}


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    names = schema["$defs"]["call"]["properties"]
    return {name: {**schema["properties"][name], "items": {}} for name in names}


def test_a_new_forwarder_begins_at_the_beginning_and_then_goes_on(
    workspace: Workspace, writer: AuditWriter, clock: Clock
) -> None:
    call(writer, 1)
    taker = Taker()
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
        call(writer, 2)
        one.catch_up()
    assert not taker.open
    call(writer, 3)
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
        assert one.catch_up() == 0
    assert taker.calls() == ids(1, 2, 3)
    assert taker.settled == len(taker.taken)


def test_events_arrive_between_the_calls_as_they_are_on_disk(
    workspace: Workspace, writer: AuditWriter, clock: Clock, audit: Path
) -> None:
    call(writer, 1)
    writer.append("acme-corp", {"event": "connection.rotated", "message": "rotated"})
    call(writer, 2)
    taker = Taker()
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
    known = [one for one in on_disk(audit) if not one["event"].startswith("call.")]
    assert [one for one in taker.taken if "event" in one] == known
    kinds = [one.get("event", "a call") for one in taker.taken]
    place = kinds.index("connection.rotated")
    assert (kinds[place - 1], kinds[place + 1]) == ("a call", "a call")


def test_calls_arrive_in_the_order_in_which_they_began(
    workspace: Workspace, writer: AuditWriter, clock: Clock
) -> None:
    for number in (1, 2, 3):
        writer.append("acme-corp", intent(number))
    taker = Taker()
    with forwarder(workspace, taker, clock) as one:
        for number in (3, 2):
            writer.append("acme-corp", ending(number))
        one.catch_up()
        assert taker.calls() == []
        writer.append("acme-corp", ending(1))
        one.catch_up()
    assert taker.calls() == ids(1, 2, 3)


def test_a_call_without_an_outcome_is_unknown_after_two_minutes_and_then_amended(
    workspace: Workspace, writer: AuditWriter, clock: Clock
) -> None:
    writer.append("acme-corp", intent(1))
    call(writer, 2)
    taker = Taker()
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
        assert taker.calls() == []
        clock.move(minutes=2)
        one.catch_up()
        assert taker.calls() == ids(1, 2)
        assert [one["outcome"] for one in taker.taken if "event" not in one] == ["unknown", "ok"]
        writer.append("acme-corp", ending(1))
        one.catch_up()
        one.catch_up()
    assert taker.amendments() == ["call.finished"]
    assert taker.taken[-1]["callId"] == ids(1)[0]


def test_a_call_whose_process_is_gone_is_unknown_at_once(
    workspace: Workspace, audit: Path, clock: Clock
) -> None:
    with AuditWriter(audit, author=AUTHOR, now=clock) as writer:
        writer.append("acme-corp", intent(1))
    taker = Taker()
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
    assert [one["outcome"] for one in taker.taken if "event" not in one] == ["unknown"]


def test_a_call_is_unknown_once_another_process_writes_where_its_own_did(
    workspace: Workspace, audit: Path, clock: Clock
) -> None:
    with AuditWriter(audit, author=AUTHOR, now=clock) as writer:
        writer.append("acme-corp", intent(1))
    taker = Taker()
    with AuditWriter(audit, author=replace(AUTHOR, run_id="f" * 16), now=clock) as writer:
        call(writer, 2)
        with forwarder(workspace, taker, clock) as one:
            one.catch_up()
    assert taker.calls() == ids(1, 2)
    assert taker.taken[-2]["outcome"] == "unknown"


def test_a_detail_has_two_seconds_to_come_with_its_call_and_amends_it_later(
    workspace: Workspace, writer: AuditWriter, clock: Clock
) -> None:
    for number in (1, 2):
        writer.append("acme-corp", intent(number))
        writer.append("acme-corp", ending(number, statusCode=429, outcome="rate_limited"))
    detail = {"event": "call.detail", "policyName": "DAILY"}
    taker = Taker()
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
        assert taker.calls() == []
        writer.append("acme-corp", {**detail, "callId": ids(1)[0]})
        one.catch_up()
        assert [one.get("policyName") for one in taker.taken if "event" not in one] == ["DAILY"]
        clock.move(seconds=3)
        one.catch_up()
        writer.append("acme-corp", {**detail, "callId": ids(2)[0]})
        one.catch_up()
    assert taker.calls() == ids(1, 2)
    assert taker.amendments() == ["call.detail"]


def test_what_was_imported_waits_since_it_was_written_and_not_since_its_calls(
    workspace: Workspace, writer: AuditWriter, clock: Clock
) -> None:
    """Its calls were made half a year ago; nobody could have forwarded them then."""
    with forwarder(workspace, Taker(), clock) as one:
        call(writer, 1)
        one.catch_up()
    imported = {"ts": "2026-05-01T00:00:00.000000Z", "origin": "imported"}
    writer.append("acme-corp", {**intent(2), **ending(2), **imported}, durable=False)
    (standing,) = standings(workspace)
    assert standing.behind_records == 1
    assert (standing.behind_seconds or 0) < 600  # it was written just now, the file says
    call(writer, 3)
    (standing,) = standings(workspace, now=clock.at + timedelta(seconds=30))
    assert 29 < (standing.behind_seconds or 0) < 31


def test_a_destination_that_raises_is_offered_the_same_record_again(
    workspace: Workspace, writer: AuditWriter, clock: Clock
) -> None:
    for number in range(5):
        call(writer, number)
    taker = Taker(refuses=lambda record: record.get("callId") in ids(2))
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
        assert isinstance(one.failure, ConnectionError)
        assert taker.calls() == ids(0, 1)
        (standing,) = standings(workspace, now=clock.at + timedelta(seconds=30))
        assert standing.error is not None
        assert "ConnectionError: the other side is gone" in standing.error
        assert (standing.behind_records, standing.durable) == (3, True)
        assert 29 < (standing.behind_seconds or 0) < 31
        taker.refuses = lambda _: False
        one.catch_up()
        assert one.failure is None
    assert taker.calls() == ids(*range(5))
    (standing,) = standings(workspace)
    assert (standing.error, standing.behind_records, standing.behind_seconds) == (None, 0, 0)


def test_it_waits_longer_from_try_to_try_and_a_minute_at_most(
    workspace: Workspace, writer: AuditWriter, clock: Clock, tmp_path: Path
) -> None:
    call(writer, 1)
    taker = Taker(fails_at=0)
    waits = []
    with forwarder(workspace, taker, clock) as one:
        for _ in range(8):
            one.turn()
            trouble = load(tmp_path / "state" / "forwarders" / "one.json").trouble
            assert trouble is not None
            waits.append(trouble.wait())
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_what_one_client_cannot_get_rid_of_does_not_hold_up_the_others(
    workspace: Workspace, writer: AuditWriter, clock: Clock
) -> None:
    for slug in ("acme-corp", "beta-inc", "zeta-ltd"):
        call(writer, 1, slug)
    taker = Taker(refuses=lambda record: record["clientSlug"] == "beta-inc")
    with forwarder(workspace, taker, clock) as one:
        for _ in range(3):
            one.catch_up()
    assert {one["clientSlug"] for one in taker.taken} == {"acme-corp", "zeta-ltd"}


def test_a_destination_that_hangs_does_not_hold_up_a_call(tmp_path: Path) -> None:
    with connected(tmp_path / "workspace") as fleet:
        agency, (slug,) = fleet.agency, fleet.slugs
        entered, let_go = threading.Event(), threading.Event()
        taken = []

        def hang(record: Record) -> None:
            entered.set()
            assert let_go.wait(60)
            taken.append(record)

        forwarder = agency.audit.forward("slow", hang)
        assert entered.wait(60)
        client = agency.client(slug)
        for _ in range(20):
            assert client.get(CONTACTS).status_code == 200
        (standing,) = agency.audit.forwarders()
        assert (standing.to, standing.error) == ("python", None)
        assert (standing.behind_records or 0) >= 20
        let_go.set()
        agency.close()  # the last calls are taken along
        assert forwarder.failure is None
    (said,) = [
        one for one in taken if one.get("event") == "audit.exported" and one["clientSlug"] == slug
    ]
    assert said["message"].startswith("From now on this log is forwarded as 'slow'")
    calls = [one for one in taken if one.get("path") == CONTACTS]
    assert len(calls) == 20


def test_what_is_left_at_the_end_is_forwarded_the_next_time(
    workspace: Workspace, writer: AuditWriter, clock: Clock
) -> None:
    call(writer, 1)
    blocked = threading.Event()

    def hang(_: Record) -> None:
        blocked.wait(0.5)
        raise TimeoutError

    with open_forwarder(workspace, "one", hang).start() as one:
        assert one.name == "one"
    taker = Taker()
    with forwarder(workspace, taker, clock, "other") as other:
        other.catch_up()
    assert taker.calls() == ids(1)


def test_only_one_at_a_time_forwards_under_a_name(workspace: Workspace, clock: Clock) -> None:
    with (
        forwarder(workspace, Taker(), clock),
        pytest.raises(UsageError, match="already"),
    ):
        forwarder(workspace, Taker(), clock)
    forwarder(workspace, Taker(), clock).close()


@pytest.mark.parametrize("name", ["", "A", "../x", "a b", "x" * 33, "1"])
def test_a_name_is_a_plain_word(workspace: Workspace, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        open_forwarder(workspace, name, Taker())


def test_what_nobody_configured_needs_a_function(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="there: none"):
        open_forwarder(workspace, "archive")


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"{", CorruptFile), (b"[]", CorruptFile), (b'{"schema": 2}', NewerSchema)],
)
def test_a_state_that_cannot_be_read_is_not_an_empty_one(
    workspace: Workspace, clock: Clock, tmp_path: Path, content: bytes, error: type[Exception]
) -> None:
    folder = tmp_path / "state" / "forwarders"
    folder.mkdir(parents=True)
    (folder / "one.json").write_bytes(content)
    with pytest.raises(error):
        forwarder(workspace, Taker(), clock)
    (standing,) = standings(workspace)
    assert standing.error is not None
    assert standing.behind_records is None


def test_a_damaged_line_is_passed_over_and_counted_once(
    workspace: Workspace, writer: AuditWriter, audit: Path, clock: Clock
) -> None:
    call(writer, 1)
    writer.append("acme-corp", intent(2))
    call(writer, 3)
    writer.close()
    (path,) = journals(audit)
    lines = path.read_bytes().splitlines(keepends=True)
    place = next(n for n, line in enumerate(lines) if ids(2)[0].encode() in line)
    lines[place] = b'{"event":"call.started","ts":7}\n'
    path.write_bytes(b"".join(lines))
    taker = Taker()
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
        one.catch_up()
    assert taker.calls() == ids(1, 3)
    (standing,) = standings(workspace)
    assert standing.damaged == 1


def test_a_torn_tail_is_left_for_the_next_writer(
    workspace: Workspace, audit: Path, clock: Clock
) -> None:
    with AuditWriter(audit, author=AUTHOR, now=clock) as writer:
        call(writer, 1)
    (path,) = journals(audit)
    with path.open("ab") as file:
        file.write(b'{"schema":1,"seq":3,"event":"call.sta')
    taker = Taker()
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
        with AuditWriter(audit, author=AUTHOR, now=clock) as writer:
            call(writer, 2)
        one.catch_up()
    assert taker.calls() == ids(1, 2)
    assert "audit.repaired" in [one.get("event") for one in taker.taken]


def test_a_journal_that_became_shorter_is_an_error_and_nothing_is_repeated(
    workspace: Workspace, audit: Path, clock: Clock
) -> None:
    with AuditWriter(audit, author=AUTHOR, now=clock) as writer:
        call(writer, 1)
    taker = Taker()
    (path,) = journals(audit)
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
        os.truncate(path, 10)
        one.turn()
        assert "shorter than it was" in str(one.failure)
        path.unlink()
        one.turn()
        assert "is gone" in str(one.failure)
    assert taker.calls() == ids(1)


def test_segments_of_a_slot_are_one_stream(workspace: Workspace, audit: Path, clock: Clock) -> None:
    """A call may begin in one segment and end in the next."""
    with AuditWriter(audit, author=AUTHOR, now=clock) as writer:
        writer.append("acme-corp", intent(1))
        writer.append("acme-corp", intent(2))
        writer.append("acme-corp", ending(2))
        writer.append("acme-corp", ending(1))
    (first,) = journals(audit)
    lines = first.read_bytes().splitlines(keepends=True)
    second = first.with_name("000-000002.jsonl")
    first.write_bytes(b"".join(lines[:-2]))
    taker = Taker()
    second.write_bytes(b"".join(lines[-2:]))
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
        first.unlink()  # it was forwarded: it may be stored elsewhere
        assert one.catch_up() == 0
        assert one.failure is None
    calls = [one for one in taker.taken if "event" not in one]
    assert [one["outcome"] for one in calls] == ["ok", "ok"]


def test_a_process_between_two_segments_is_not_gone(
    workspace: Workspace, tmp_path: Path, clock: Clock
) -> None:
    elsewhere, clock.at = tmp_path / "elsewhere", NOON.replace(hour=23, minute=59, second=59)
    with AuditWriter(elsewhere, author=AUTHOR, now=clock) as writer:
        writer.append("acme-corp", intent(1))
        clock.move(seconds=2)
        writer.append("acme-corp", ending(1))
    first, second = journals(elsewhere)
    there = tmp_path / "audit" / "acme-corp" / "journal"
    there.mkdir(parents=True)
    (there / first.name).write_bytes(first.read_bytes())
    taker = Taker()
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
        assert taker.calls() == []
        (there / second.name).write_bytes(second.read_bytes())
        one.catch_up()
    assert [one["outcome"] for one in taker.taken if "event" not in one] == ["ok"]


def test_a_segment_that_is_missing_between_two_is_an_error(
    workspace: Workspace, audit: Path, clock: Clock
) -> None:
    with AuditWriter(audit, author=AUTHOR, now=clock) as writer:
        call(writer, 1)
    (first,) = journals(audit)
    (first.with_name("000-000003.jsonl")).write_bytes(first.read_bytes())
    taker = Taker()
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
        assert "000002 of acme-corp is gone" in str(one.failure)


def test_a_later_format_stops_its_client_alone(
    workspace: Workspace, writer: AuditWriter, clock: Clock, audit: Path
) -> None:
    call(writer, 1, "acme-corp")
    call(writer, 1, "beta-inc")
    (path,) = journals(audit, "acme-corp")
    path.write_bytes(path.read_bytes().replace(b'"schema":1', b'"schema":2'))
    taker = Taker()
    with forwarder(workspace, taker, clock) as one:
        for _ in range(2):
            one.catch_up()
        assert "schema 2" in str(one.failure)
    assert {one["clientSlug"] for one in taker.taken} == {"beta-inc"}


def test_processes_that_are_killed_while_they_forward_lose_nothing(
    workspace: Workspace, writer: AuditWriter, clock: Clock, tmp_path: Path
) -> None:
    for number in range(3000):
        call(writer, number)
    out = tmp_path / "out.jsonl"
    for wanted in (1, 400, 1200, 1201):
        order = {"root": str(tmp_path), "out": str(out)}
        with child("forward", order) as process:
            while not out.exists() or out.read_bytes().count(b"\n") < wanted:
                assert process.poll() is None
            process.kill()
            process.wait()
        whole, _, _ = out.read_bytes().rpartition(b"\n")
        out.write_bytes(whole + b"\n")  # a record that was half written was not taken
    taker = Taker(taken=[orjson.loads(line) for line in out.read_bytes().split(b"\n")[:-1]])
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
    assert list(dict.fromkeys(taker.calls())) == ids(*range(3000))


# --- sealed segments


@pytest.fixture
def short(audit: Path, clock: Clock) -> Iterator[AuditWriter]:
    """A writer whose segments hold about ten calls."""
    with AuditWriter(audit, author=AUTHOR, now=clock, limit=8000) as one:
        yield one


def seal(audit: Path, *, most: int = 1000) -> int:
    """Seal every closed segment of acme-corp, at most so many; return how many there were."""
    log, count = audit / "acme-corp", 0
    for name, path in list(evidence.segments(log).items())[:most]:
        if path.suffix == ".jsonl" and b'"audit.closed"' in lines(path)[-1][:60]:
            evidence.archive(log, name)
            evidence.drop_journal(log, name)
            count += 1
    return count


def handed_out(taker: Taker) -> list[str]:
    return [one.get("callId") or one["hash"] for one in taker.taken]


def test_what_was_sealed_before_it_was_forwarded_is_forwarded_from_the_evidence(
    workspace: Workspace, short: AuditWriter, clock: Clock, audit: Path
) -> None:
    for number in range(100):
        call(short, number)
    plain = Taker()
    with forwarder(workspace, plain, clock, "plain") as one:
        one.catch_up()
    assert seal(audit) > 5
    taker = Taker()
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
        assert one.failure is None
    assert taker.taken == plain.taken
    assert taker.calls() == ids(*range(100))


@pytest.mark.parametrize("taken", [0, 1, 7, 33, 34, 35, 36, 37, 38, 39, 40, 70])
def test_sealing_while_a_forwarder_is_behind_loses_nothing_and_doubles_nothing(
    workspace: Workspace, short: AuditWriter, clock: Clock, audit: Path, taken: int
) -> None:
    """Wherever it stands: in the middle of a segment, at its end, at the next one's beginning."""
    for number in range(60):
        call(short, number)
    clock.move(seconds=5)
    taker = Taker(fails_at=taken)
    with forwarder(workspace, taker, clock) as one:
        one.turn()
    assert len(taker.taken) == taken
    assert seal(audit) > 3
    (before,) = standings(workspace, now=clock())
    for number in range(60, 80):
        call(short, number)
    seal(audit)
    taker.fails_at = None
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
        assert one.failure is None
    assert taker.calls() == ids(*range(80))
    assert len(set(handed_out(taker))) == len(taker.taken)
    (after,) = standings(workspace, now=clock())
    assert before.behind_records is not None
    assert before.behind_records >= 60 - taken
    assert (after.behind_records, after.error) == (0, None)


def test_a_forwarder_deep_in_a_long_segment_goes_on_in_the_evidence_where_it_was(
    workspace: Workspace, clock: Clock, audit: Path
) -> None:
    with AuditWriter(audit, author=AUTHOR, now=clock, limit=1_000_000) as writer:
        for number in range(1500):
            call(writer, number)
    taker = Taker(fails_at=1000)
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
    at = load(workspace.state / "forwarders" / "one.json").cursors["acme-corp"]["000"].at
    assert at.segment == 1
    assert at.offset > 600_000
    assert seal(audit) == 1
    taker.fails_at = None
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
    assert taker.calls() == ids(*range(1500))


def test_evidence_that_ends_before_a_forwarder_stands_is_named(
    workspace: Workspace, short: AuditWriter, clock: Clock, audit: Path
) -> None:
    for number in range(30):
        call(short, number)
    taker = Taker(fails_at=8)
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
        seal(audit)
        path = audit / "acme-corp" / "evidence" / "000-000001.jsonl.zst"
        first = zstd.decompress(path.read_bytes()).splitlines(keepends=True)[0]
        path.write_bytes(zstd.compress(first))
        taker.fails_at = None
        one.catch_up()
        assert f"{path} is shorter than it was. Nothing of it was forwarded" in str(one.failure)
    assert len(taker.taken) == 8


def test_sealing_under_the_eyes_of_a_forwarder_loses_nothing_and_doubles_nothing(
    workspace: Workspace, short: AuditWriter, clock: Clock, audit: Path
) -> None:
    for number in range(60):
        call(short, number)
    taker = Taker()

    def take(record: Record) -> None:
        taker.take(record)
        if len(taker.taken) % 9 == 0:
            seal(audit, most=len(taker.taken) // 9)

    with open_forwarder(workspace, "one", take) as one:
        one.catch_up()
        assert one.failure is None
    assert seal(audit) == 0
    assert taker.calls() == ids(*range(60))
    assert len(set(handed_out(taker))) == len(taker.taken)


def test_a_call_over_two_segments_is_joined_though_the_first_is_sealed(
    workspace: Workspace, short: AuditWriter, clock: Clock, audit: Path
) -> None:
    short.append("acme-corp", intent(500), durable=False)
    for number in range(30):
        call(short, number)
    taker = Taker()
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()  # waits for the end of the first call
        assert taker.calls() == []
        assert seal(audit) > 1
        short.append("acme-corp", ending(500), durable=False)
        clock.move(seconds=5)
        call(short, 31)
        one.catch_up()
    assert taker.calls() == ids(500, *range(30), 31)
    assert taker.taken[1]["statusCode"] == 200


def test_evidence_that_is_damaged_or_gone_before_it_was_forwarded_is_named(
    workspace: Workspace, short: AuditWriter, clock: Clock, audit: Path
) -> None:
    for number in range(60):
        call(short, number)
    seal(audit)
    path = audit / "acme-corp" / "evidence" / "000-000002.jsonl.zst"
    content = path.read_bytes()
    taker = Taker()
    path.write_bytes(content[:-5])
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
        assert "000-000002.jsonl.zst is damaged" in str(one.failure)
        path.unlink()
        clock.move(minutes=3)  # so that nothing waits any more for what the next segment says
        one.catch_up()
        assert "Segment 000002 of acme-corp is gone" in str(one.failure)
        path.write_bytes(content)
        one.catch_up()
        assert one.failure is None
    assert taker.calls() == ids(*range(60))


def test_a_segment_that_was_forwarded_to_its_end_may_go(
    workspace: Workspace, short: AuditWriter, clock: Clock, audit: Path
) -> None:
    """Neither unpacked again at every turn, nor missed once retention has removed it."""
    for number in range(30):
        call(short, number)
    short.close()
    clock.move(days=1)
    taker = Taker()
    with AuditWriter(audit, author=AUTHOR, now=clock) as writer:
        call(writer, 30)
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
        seal(audit)
        shutil.rmtree(audit / "acme-corp" / "evidence")
        one.catch_up()
        assert one.failure is None
    with AuditWriter(audit, author=AUTHOR, now=clock) as writer:
        call(writer, 31)
    with forwarder(workspace, taker, clock) as one:
        one.catch_up()
        assert one.failure is None
    assert taker.calls() == ids(*range(32))


# --- destinations


def rows(path: Path, query: str) -> list[Any]:
    with sqlite3.connect(path) as database:
        found = database.execute(query).fetchall()
    database.close()
    return found


def test_a_sqlite_table_has_each_call_once_however_often_it_comes(
    tmp_path: Path, writer: AuditWriter, clock: Clock, audit: Path
) -> None:
    table = {"name": "archive", "to": "sqlite", "path": "calls.sqlite"}
    workspace, path = workspace_in(tmp_path, table), tmp_path / "calls.sqlite"
    for number in range(3):
        call(writer, number)
    for _ in range(2):
        with open_forwarder(workspace, "archive") as one:
            one.catch_up()
        (tmp_path / "state" / "forwarders" / "archive.json").unlink()
    assert rows(path, "SELECT call_id, client_slug, status_code, outcome FROM calls") == [
        (one, "acme-corp", 200, "ok") for one in ids(0, 1, 2)
    ]
    hashes = [one["hash"] for one in on_disk(audit) if not one["event"].startswith("call.")]
    assert [one for (one,) in rows(path, "SELECT hash FROM events ORDER BY rowid")] == hashes
    (plan,) = rows(
        path, "EXPLAIN QUERY PLAN SELECT * FROM calls WHERE client_slug='a' AND ts>'2026'"
    )
    assert "calls_client_slug_ts" in plan[3]
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_amendment_changes_the_row_of_its_call(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    table = SqliteTable(path)
    base = {"schema": 1, "ts": "2026-11-20T12:00:00.000000Z", "clientSlug": "acme-corp"}
    about = {**base, "callId": "a" * 32}
    table.take({**about, "outcome": "unknown", "origin": "witnessed", "portalId": 1})
    finished = {"event": "call.finished", "outcome": "ok", "statusCode": 201, "hash": "1"}
    detail = {"event": "call.detail", "objectId": "51", "objectIds": ["51"], "hash": "2"}
    for _ in range(2):
        table.take({**about, **finished})
        table.take({**about, **detail})
        table.settle()
    table.take({**base, **finished, "callId": "b" * 32, "hash": "3"})  # of no row there
    table.settle()
    table.close()
    ((record, *columns),) = rows(
        path, "SELECT record, outcome, status_code, object_id, portal_id FROM calls"
    )
    assert columns == ["ok", 201, "51", 1]
    assert json.loads(record)["objectIds"] == ["51"]
    assert rows(path, "SELECT count(*) FROM events") == [(3,)]


def test_a_sqlite_file_that_is_locked_gets_everything_later(
    tmp_path: Path, writer: AuditWriter, clock: Clock
) -> None:
    path = tmp_path / "calls.sqlite"
    table = {"name": "archive", "to": "sqlite", "path": "calls.sqlite"}
    call(writer, 1)
    with open_forwarder(workspace_in(tmp_path, table), "archive") as one:
        path.mkdir()
        one.catch_up()
        assert one.failure is not None
        path.rmdir()
        one.catch_up()
        assert one.failure is None
    assert rows(path, "SELECT count(*) FROM calls") == [(1,)]


def test_a_logger_gets_json_lines_and_one_that_nobody_listens_to_is_an_error(
    tmp_path: Path, writer: AuditWriter, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    call(writer, 1)
    table = {"name": "lines", "to": "logging", "logger": "tests.calls"}
    workspace = workspace_in(tmp_path, table)
    logger = logging.getLogger("tests.calls")
    with open_forwarder(workspace, "lines") as one:
        one.catch_up()
        assert "No handler takes" in str(one.failure)
        with caplog.at_level(logging.INFO, logger=logger.name):
            one.catch_up()
    said = [json.loads(record.message) for record in caplog.records]
    assert [one["callId"] for one in said if "event" not in one] == ids(1)
    assert (standings(workspace)[0].to, standings(workspace)[0].durable) == ("logging", False)


def test_a_function_says_itself_whether_it_is_durable() -> None:
    assert not Function(print).durable
    assert Function(print, durable=True).durable
    assert not Logging().durable


# --- the law


@dataclass
class World:
    """Writers that begin, end, die and tear; a forwarder that fails, restarts and forgets."""

    root: Path
    clock: Clock = field(default_factory=Clock)
    taker: Taker = field(default_factory=Taker)
    writers: dict[int, AuditWriter] = field(default_factory=dict)
    begun: dict[int, list[int]] = field(default_factory=dict)
    number: int = 0
    set_back_once: bool = False

    def __post_init__(self) -> None:
        self.audit = self.root / "audit"
        self.audit.mkdir()
        self.workspace = workspace_in(self.root)
        self.state = self.root / "state" / "forwarders" / "one.json"
        self.forwarder = forwarder(self.workspace, self.taker, self.clock)

    def writer(self, who: int) -> AuditWriter:
        if who not in self.writers:
            self.number += 1
            author = replace(AUTHOR, run_id=f"{self.number:016x}")
            self.writers[who] = AuditWriter(self.audit, author=author, now=self.clock)
            self.begun[who] = []
        return self.writers[who]

    def do(self, what: str, who: int, amount: int) -> None:
        getattr(self, what)(who, amount)

    def begin(self, who: int, _: int) -> None:
        self.number += 1
        self.writer(who).append("acme-corp", intent(self.number), durable=False)
        self.begun[who].append(self.number)

    def end(self, who: int, amount: int) -> None:
        if self.begun.get(who):
            number = self.begun[who].pop(amount % len(self.begun[who]))
            failed = {"statusCode": 429, "outcome": "rate_limited"} if amount % 2 else {}
            self.writers[who].append("acme-corp", ending(number, **failed), durable=False)
            if amount % 4 == 3:
                detail = {"event": "call.detail", "callId": f"{number:032x}", "policyName": "DAILY"}
                self.writers[who].append("acme-corp", detail, durable=False)

    def note(self, who: int, _: int) -> None:
        fields = {"event": "connection.verified", "message": "verified"}
        self.writer(who).append("acme-corp", fields, durable=False)

    def die(self, who: int, amount: int) -> None:
        if who not in self.writers:
            return
        self.writers.pop(who).close()
        self.begun.pop(who)
        if amount % 2 and not self.writers:  # it was in the middle of a line
            paths = journals(self.audit)
            with max(paths, key=lambda one: one.stat().st_mtime_ns).open("ab") as file:
                file.write(b'{"schema":1,"seq":'[: 1 + amount % 17])

    def turn(self, _: int, amount: int) -> None:
        self.taker.fails_at = None if amount % 3 else amount // 3
        self.forwarder.turn()
        self.taker.fails_at = None

    def restart(self, _: int, __: int) -> None:
        self.forwarder.close()
        self.forwarder = forwarder(self.workspace, self.taker, self.clock)

    def set_back(self, _: int, __: int) -> None:
        """A crash after the destination took records and before the cursor moved."""
        self.forwarder.close()
        before = self.state.read_bytes() if self.state.exists() else None
        with forwarder(self.workspace, self.taker, self.clock) as one:
            one.turn()
        if before is None:
            self.state.unlink(missing_ok=True)
        else:
            self.state.write_bytes(before)
        self.set_back_once = True
        self.forwarder = forwarder(self.workspace, self.taker, self.clock)

    def wait(self, _: int, amount: int) -> None:
        self.clock.move(seconds=amount * 10)

    def midnight(self, _: int, __: int) -> None:
        """The next record is one of a new segment."""
        self.clock.move(days=1)

    def finish(self) -> None:
        for writer in self.writers.values():
            writer.close()
        self.forwarder.catch_up()
        self.forwarder.close()


WHATS = [
    *("begin", "begin", "begin", "end", "end", "note", "die", "turn", "turn"),
    *("restart", "set_back", "wait", "midnight"),
]
STEPS = st.lists(
    st.tuples(st.sampled_from(WHATS), st.integers(0, 1), st.integers(0, 20)), max_size=60
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_whatever_happens_every_record_arrives_at_least_once_and_in_order(
    steps: list[tuple[str, int, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        for step in steps:
            world.do(*step)
        world.finish()
        taken = world.taker.taken
        for slot in {path.name[:3] for path in journals(world.audit)}:
            begins = [_name(one) for one in _whole(world.audit, slot) if _begins(one)]
            named = set(begins)
            arrived = [_name(one) for one in taken if _name(one) in named and not _amends(one)]
            assert list(dict.fromkeys(arrived)) == begins
        calls = lake.read(world.audit, ["acme-corp"]).calls.collect()
        exported = {one["callId"]: one for one in lake.joined_records(calls)}
        assert _as_told(taken) == exported
        if not world.set_back_once:  # a destination that raised got nothing twice
            assert len(set(world.taker.calls())) == len(world.taker.calls())


def _whole(audit: Path, slot: str) -> list[Record]:
    """Return the records of a slot that are whole, segment by segment."""
    paths = [path for path in journals(audit) if path.name.startswith(slot)]
    return [orjson.loads(one) for path in paths for one in lines(path) if one.endswith(b"\n")]


def _begins(record: Record) -> bool:
    return record["event"] not in ("call.finished", "call.detail")


def _amends(record: Record) -> bool:
    return record.get("event") in ("call.finished", "call.detail")


def _name(record: Record) -> str:
    """Return what a record is known by: its call, or its own hash."""
    return str(record.get("callId") or record["hash"])


def _as_told(taken: list[Record]) -> dict[str, Any]:
    """Return each call as a destination knows it that keeps what it hears."""
    told: dict[str, Any] = {}
    for record in taken:
        call = record.get("callId")
        if call is None:
            continue
        if "event" not in record:
            told[call] = _plain(record)
            continue
        said = {name: value for name, value in record.items() if name in CALL_FIELDS}
        if told[call]["outcome"] == "unknown" and record["event"] == "call.finished":
            told[call].pop("outcome")
        told[call] = {**said, **told[call]}
    return told
