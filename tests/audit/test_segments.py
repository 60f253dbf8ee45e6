"""How segments of a journal follow one another, and what the log records of itself."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from hsagency.audit import chain, lake
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Author
from hsagency.audit.verifying import is_live
from hsagency.errors import AuditError, AuditWarning
from tests.audit.killing import child, hear, hear_all, tell
from tests.audit.reading import (
    AUTHOR,
    all_records,
    assert_follows,
    broken_chains,
    events,
    intent,
    journals,
    lines,
    records,
    register_lines,
)

DAY = timedelta(days=1)


class Clock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.at = datetime(2026, 10, 14, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def write(audit: Path, clock: Clock, told: list[str]) -> Callable[..., None]:
    """Write some calls in a process of their own, as far as a writer can tell."""

    def some(*numbers: int, **more: Any) -> None:
        given = {"author": AUTHOR, "now": clock, "tell": told.append, **more}
        with AuditWriter(audit, **given) as writer:
            for number in numbers:
                writer.append("acme-corp", intent(number))

    return some


Write = Callable[..., None]


def names(audit: Path) -> list[str]:
    return [path.stem for path in journals(audit, "acme-corp")]


def kinds(audit: Path) -> list[tuple[str, str]]:
    return [(line["kind"], line["segment"]) for line in register_lines(audit)]


def of(audit: Path, event: str) -> list[dict[str, Any]]:
    return [one for one in all_records(audit) if one["event"] == event]


def test_a_segment_that_has_grown_enough_is_followed_by_the_next(
    write: Write, audit: Path, validator: jsonschema.Draft202012Validator
) -> None:
    write(*range(20), limit=2000)
    assert names(audit) == [f"000-{number:06}" for number in range(1, 8)]
    closed = [one for path in journals(audit) for one in [path.stat().st_size] if one > 2000]
    assert len(closed) == 6
    assert max(closed) < 2000 + 2 * 1000
    assert [int(one["callId"], 16) for one in records(audit)] == list(range(20))
    opened = [("opened", one) for one in names(audit)]
    ended = [("closed", one) for one in names(audit)[:-1]]
    assert sorted(kinds(audit)) == sorted([*opened, *ended])
    assert_follows(audit, validator)
    assert lake.read(audit, ["acme-corp"]).calls.collect().height == 20


def test_a_segment_is_closed_at_midnight_utc_even_if_the_writer_goes_on(
    audit: Path, clock: Clock, validator: jsonschema.Draft202012Validator
) -> None:
    with AuditWriter(audit, author=AUTHOR, now=clock) as writer:
        writer.append("acme-corp", intent(1))
        clock.at = datetime(2026, 10, 14, 23, 59, 59, 999_999, tzinfo=UTC)
        writer.append("acme-corp", intent(2))
        assert names(audit) == ["000-000001"]
        clock.at += timedelta(microseconds=1)
        writer.append("acme-corp", intent(3), durable=False)
    assert names(audit) == ["000-000001", "000-000002"]
    assert {one["ts"][:10] for one in map(orjson.loads, lines(journals(audit)[1]))} == {
        "2026-10-15"
    }
    assert_follows(audit, validator)


def test_short_commands_of_a_day_share_a_segment_and_leave_no_line_each(
    write: Write, audit: Path, clock: Clock
) -> None:
    for number in range(5):
        write(number)
        clock.at += timedelta(minutes=1)
    assert names(audit) == ["000-000001"]
    assert kinds(audit) == [("opened", "000-000001")]
    assert len(of(audit, "audit.opened")) == 1
    point = orjson.loads((audit / "acme-corp" / "heads" / "000.json").read_bytes())
    assert point["records"] == len(all_records(audit)) == 6


def test_what_a_dead_process_left_open_is_closed_by_the_next_on_another_day(
    write: Write, audit: Path, clock: Clock, validator: jsonschema.Draft202012Validator
) -> None:
    write(1)
    clock.at += timedelta(hours=13)
    write(2)
    assert names(audit) == ["000-000001", "000-000002"]
    assert kinds(audit) == [
        *(("opened", "000-000001"), ("closed", "000-000001")),
        ("opened", "000-000002"),
    ]
    assert events(audit) == ["call.started"] * 2  # thirteen hours are no silence
    assert_follows(audit, validator)


def test_what_dead_processes_left_open_in_any_slot_is_closed_by_the_next_on_another_day(
    audit: Path, write: Write, clock: Clock, validator: jsonschema.Draft202012Validator
) -> None:
    with AuditWriter(audit, author=AUTHOR, now=clock) as one:
        one.append("acme-corp", intent(1))
        write(2)
        write(*range(10, 15), limit=1000)  # several in the slot beside
    beside = names(audit)[-1]
    assert beside.startswith("001-")
    with journals(audit)[-1].open("ab") as file:
        file.write(b'{"schema":1,')
    write(3)  # the same day: that one may go on
    assert ("closed", beside) not in kinds(audit)
    clock.at += timedelta(hours=13)
    write(4)
    assert {segment for kind, segment in kinds(audit) if kind == "closed"} == {
        name for name in names(audit) if name != "000-000002"
    }
    assert orjson.loads(lines(journals(audit)[-1])[-2])["event"] == "audit.repaired"
    assert events(audit).count("audit.idle") == 0
    assert_follows(audit, validator)


def test_what_another_process_still_writes_is_not_closed_for_it(
    audit: Path, write: Write, clock: Clock
) -> None:
    with AuditWriter(audit, author=AUTHOR, now=clock) as one:
        one.append("acme-corp", intent(1))
        clock.at += DAY
        write(2)
        assert [orjson.loads(lines(path)[-1])["event"] for path in journals(audit)] == [
            "call.started"
        ] * 2
        one.append("acme-corp", intent(3))
    assert names(audit) == ["000-000001", "000-000002", "001-000001"]


def test_what_cannot_be_closed_for_a_dead_process_does_not_stop_this_one(
    audit: Path, write: Write, clock: Clock, told: list[str]
) -> None:
    with AuditWriter(audit, author=AUTHOR, now=clock) as one:
        one.append("acme-corp", intent(1))
        write(2)
    damaged = journals(audit)[1]
    damaged.write_bytes(damaged.read_bytes() + b"garbage\n")
    clock.at += DAY
    write(3)
    damaged.unlink()
    damaged.mkdir()
    clock.at += DAY
    write(4)
    assert b'"callId":"%032x"' % 4 in journals(audit)[-2].read_bytes()
    assert ["damaged or cut" in told[0], "is no file" in told[1]] == [True, True]


def test_a_reader_that_looks_whether_somebody_writes_costs_no_slot(audit: Path) -> None:
    """It has the lock for an instant; a short command must not take that for another writer."""
    with AuditWriter(audit, author=AUTHOR) as writer:
        writer.append("acme-corp", intent(0))
    (path,) = journals(audit)
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            is_live(path)

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        for number in range(50):
            with AuditWriter(audit, author=AUTHOR, sync=lambda _: None) as writer:
                writer.append("acme-corp", intent(number))
        over.set()
        looking.result()
    assert names(audit) == ["000-000001"]


def test_whoever_is_told_may_write_to_the_log_in_turn(audit: Path) -> None:
    """As a handler of warnings that makes a call of its own would: no lock is held meanwhile."""
    with AuditWriter(audit, author=AUTHOR) as writer:
        writer.append("acme-corp", intent(1))
    (path,) = journals(audit)
    path.write_bytes(path.read_bytes() + b"garbage\n")
    said = hear_all("tell_and_write", {"audit": str(audit)})
    assert said[-1] == {"done": True}
    assert any("is damaged" in str(one.get("told")) for one in said)
    written = [orjson.loads(one) for one in lines(journals(audit)[-1])]
    calls = [one for one in written if one["event"] == "call.started"]
    assert [int(one["callId"], 16) for one in calls] == [8, 9]


def test_a_silence_of_more_than_a_day_is_on_record_and_in_the_register(
    write: Write, audit: Path, clock: Clock, validator: jsonschema.Draft202012Validator
) -> None:
    write(1)
    before = clock.at
    clock.at += 3 * DAY
    write(2)
    (idle,) = of(audit, "audit.idle")
    assert idle["since"] == before.isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert kinds(audit)[-1] == ("idle", "000-000002")
    assert_follows(audit, validator)
    write(3)
    assert len(of(audit, "audit.idle")) == 1


def test_an_imported_call_of_long_ago_is_no_silence(
    audit: Path, clock: Clock, write: Write
) -> None:
    with AuditWriter(audit, author=AUTHOR, now=clock) as writer:
        old = {"ts": "2020-01-01T00:00:00.000000Z", "origin": "imported", "outcome": "ok"}
        writer.append("acme-corp", {**intent(1), **old, "event": "call.finished"}, durable=False)
    clock.at += timedelta(hours=20)
    write(2)
    assert not of(audit, "audit.idle")
    assert not of(audit, "audit.clock")


def test_a_clock_that_goes_back_is_on_record_with_both_times(
    audit: Path, clock: Clock, validator: jsonschema.Draft202012Validator
) -> None:
    with AuditWriter(audit, author=AUTHOR, now=clock) as writer:
        writer.append("acme-corp", intent(1))
        clock.at -= timedelta(hours=2)
        writer.append("acme-corp", intent(2))
        writer.append("acme-corp", intent(3))
    (noted,) = of(audit, "audit.clock")
    assert (noted["previousTs"][11:16], noted["ts"][11:16]) == ("12:00", "10:00")
    assert "set its clock by a time server" in noted["message"]
    assert events(audit) == ["call.started", "audit.clock", "call.started", "call.started"]
    assert_follows(audit, validator)
    clock.at -= timedelta(hours=2)
    with AuditWriter(audit, author=AUTHOR, now=clock) as writer:  # also between two processes
        writer.append("acme-corp", intent(4))
    assert [one["previousTs"][11:16] for one in of(audit, "audit.clock")] == ["12:00", "10:00"]


def test_a_clock_that_goes_back_a_day_begins_a_segment_and_loses_nothing(
    write: Write, audit: Path, clock: Clock, validator: jsonschema.Draft202012Validator
) -> None:
    write(1)
    clock.at -= DAY
    write(2)
    assert names(audit) == ["000-000001", "000-000002"]
    assert len(of(audit, "audit.clock")) == 1
    assert_follows(audit, validator)


def test_threads_write_through_many_segments_without_losing_a_record(
    audit: Path, validator: jsonschema.Draft202012Validator
) -> None:
    with AuditWriter(audit, author=AUTHOR, limit=20_000) as writer:

        def work(thread: int) -> None:
            for number in range(50):
                writer.append("acme-corp", intent(1000 * thread + number), durable=number % 3 == 0)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(work, range(16)))
    assert len(names(audit)) > 10
    written = [int(one["callId"], 16) for one in records(audit)]
    assert sorted(written) == [
        1000 * thread + number for thread in range(16) for number in range(50)
    ]
    assert_follows(audit, validator)


def test_four_processes_of_sixteen_threads_share_a_client(
    audit: Path, validator: jsonschema.Draft202012Validator
) -> None:
    order = {"audit": str(audit), "threads": 16, "count": 25, "limit": 30_000}
    with (
        child("crowd", {**order, "first": 0}) as one,
        child("crowd", {**order, "first": 100_000}) as two,
        child("crowd", {**order, "first": 200_000}) as three,
        child("crowd", {**order, "first": 300_000}) as four,
    ):
        for process in (one, two, three, four):
            assert hear(process) == {"ready": True}
        for process in (one, two, three, four):
            tell(process, "go")
        for process in (one, two, three, four):
            assert hear(process) == {"done": True}
    written = [int(record["callId"], 16) for record in records(audit)]
    assert len(written) == len(set(written)) == 4 * (16 * 25 + 1)
    assert_follows(audit, validator)


def test_a_slot_whose_file_is_gone_does_not_get_its_name_again(write: Write, audit: Path) -> None:
    write(*range(5), limit=1500)
    *_, last = journals(audit)
    hash_of_last = chain.hash_of(lines(last)[-1])
    last.unlink()
    write(9)
    opened = of(audit, "audit.opened")[-1]
    assert int(opened["segment"][4:]) == int(last.stem[4:]) + 1
    # As far as it was known: from its checkpoint.
    assert (opened["previousSegment"], opened["previousHash"]) == (last.stem, hash_of_last)


def test_segments_that_were_sealed_away_are_followed_by_the_next_number(
    write: Write, audit: Path, clock: Clock
) -> None:
    write(1)
    clock.at += timedelta(hours=13)
    write(2)
    journals(audit)[0].unlink()
    write(3)
    assert names(audit) == ["000-000002"]
    clock.at += DAY
    write(4)
    assert names(audit) == ["000-000002", "000-000003"]
    for path in journals(audit):
        path.unlink()
    clock.at += DAY
    write(5)
    assert names(audit) == ["000-000004"]


def test_a_segment_cut_at_a_line_end_is_left_as_it_is_with_its_checkpoint(
    write: Write, audit: Path, told: list[str]
) -> None:
    """To go on in it would write over the only thing that shows the cut."""
    write(1, 2, 3)
    (path,) = journals(audit)
    path.write_bytes(b"".join(lines(path)[:-1]))
    point = audit / "acme-corp" / "heads" / "000.json"
    before = (path.read_bytes(), point.read_bytes())
    write(4)
    assert (path.read_bytes(), point.read_bytes()) == before
    assert names(audit) == ["000-000001", "001-000001"]
    (message,) = told
    assert "000-000001 of acme-corp is damaged or cut" in message
    assert "hsagency audit verify acme-corp" in message
    assert [one["message"] for one in of(audit, "audit.warning")] == [message]
    write(5)  # told again, and on record once
    assert len(told) == 2
    assert len(of(audit, "audit.warning")) == 1


def test_a_record_exchanged_within_a_segment_that_hashes_anew_is_not_gone_on_with(
    write: Write, audit: Path, told: list[str]
) -> None:
    write(1, 2, 3)
    (path,) = journals(audit)
    previous, forged = chain.genesis(path.name), b""
    for line in lines(path):
        body = line.replace(b'"objectId":"2"', b'"objectId":"7"')
        body = body[: body.rfind(b',"hash"')] + b"}"
        whole, previous = chain.link(previous, body)
        forged += whole
    path.write_bytes(forged)
    write(4)
    assert path.read_bytes() == forged
    assert len(told) == 1


def test_a_journal_of_an_earlier_version_is_closed_and_registered_and_followed_by_the_next(
    write: Write, audit: Path, clock: Clock, told: list[str]
) -> None:
    write(1)
    (path,) = journals(audit)
    folder = path.parent.parent
    previous, old = chain.genesis(path.name), b""
    for number in range(1, 4):
        fields = {"schema": 1, "seq": number, **intent(number), "ts": "2026-10-14T11:00:00.000000Z"}
        line, previous = chain.link(previous, orjson.dumps({**fields, "clientSlug": "acme-corp"}))
        old += line
    shutil.rmtree(folder)
    path.parent.mkdir(parents=True)
    path.write_bytes(old)
    write(4)
    assert path.read_bytes().startswith(old)
    assert kinds(audit)[:2] == [("closed", "000-000001"), ("opened", "000-000002")]
    assert not broken_chains(audit)
    assert not told


def test_the_disk_is_told_of_before_it_is_full_once_a_day(
    audit: Path, clock: Clock, told: list[str], validator: jsonschema.Draft202012Validator
) -> None:
    room = [(150_000_000, 1_000_000_000)]
    given = {"author": AUTHOR, "now": clock, "tell": told.append}
    with AuditWriter(audit, room=lambda _: room[0], **given) as writer:
        writer.append("acme-corp", intent(1))
        writer.append("beta-inc", intent(1))
        (message,) = told
        assert "150 MB are left" in message
        assert "no call is sent" in message
        clock.at += DAY
        writer.append("gamma", intent(1))
        assert len(told) == 2
    assert [one["message"] for one in of(audit, "audit.warning")] == [message]
    assert_follows(audit, validator)
    room[0] = (201_000_000, 10_000_000_000)  # enough in bytes, and 2 % of the disk
    with AuditWriter(audit, room=lambda _: room[0], **given) as writer:
        writer.append("acme-corp", intent(2))
    assert len(told) == 2


def test_without_anybody_to_tell_python_warns(audit: Path) -> None:
    full = AuditWriter(audit, author=AUTHOR, room=lambda _: (1, 1))
    with full as writer, pytest.warns(AuditWarning, match="nearly full"):
        writer.append("acme-corp", intent(1))
    assert len(of(audit, "audit.warning")) == 1


def test_whoever_cannot_be_told_does_not_stop_a_call(audit: Path) -> None:
    def dead(_: str) -> None:
        raise BrokenPipeError

    with AuditWriter(audit, author=AUTHOR, tell=dead, room=lambda _: (1, 1)) as writer:
        writer.append("acme-corp", intent(1))
    assert events(audit) == ["audit.warning", "call.started"]


def failing(number: int, moment: list[int]) -> Callable[[int], None]:
    def sync(descriptor: int) -> None:
        moment[0] += 1
        if moment[0] == number:
            raise OSError(errno.ENOSPC, "No space left on device")
        os.fsync(descriptor)

    return sync


@pytest.mark.parametrize("number", range(1, 9))
def test_a_flush_that_fails_anywhere_at_a_turn_of_segments_loses_no_promise(
    audit: Path, number: int, validator: jsonschema.Draft202012Validator, told: list[str]
) -> None:
    moment, promised = [0], []
    for turn in range(3):  # what is broken is broken until the agency is opened again
        writer = AuditWriter(
            audit, author=AUTHOR, limit=1500, sync=failing(number, moment), tell=told.append
        )
        for one in range(10 * turn, 10 * turn + 6):
            with contextlib.suppress(AuditError):
                writer.append("acme-corp", intent(one))
                promised.append(one)
        writer.close()
    assert len(promised) >= 9
    assert set(promised) <= {int(one["callId"], 16) for one in records(audit)}
    assert_follows(audit, validator)
    assert not told


@pytest.fixture
def closed_register(audit: Path, write: Write) -> Iterator[Path]:
    """A register that cannot be written: a folder is where it would be."""
    write(1)
    path = audit / "acme-corp" / "heads.jsonl"
    aside = path.with_suffix(".aside")
    path.rename(aside)
    path.mkdir()
    yield path
    path.rmdir()
    aside.rename(path)


def test_a_register_that_cannot_be_written_refuses_calls_with_its_cause(
    closed_register: Path, write: Write
) -> None:
    del closed_register
    with pytest.raises(AuditError, match=r"heads.jsonl is no regular file"):
        write(2, limit=10)


def test_an_author_is_no_part_of_what_follows(audit: Path, clock: Clock) -> None:
    """Another user, machine or run goes on in the same segment and says who it is."""
    for run in ("a", "b"):
        author = Author(actor="tests/1", user=run, host=run, run_id=run)
        with AuditWriter(audit, author=author, now=clock) as writer:
            writer.append("acme-corp", intent(1))
    assert [one["user"] for one in records(audit)] == ["a", "b"]
    assert len(journals(audit)) == 1
