"""The reader: one row a call, nothing lost without being named, nothing made up."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.audit import chain, lake
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import CALL_FIELDS, encode, outcome_of, timestamp
from hsagency.errors import AuditError, NewerSchema
from tests.audit.reading import AUTHOR, CONTACTS, ending, intent, journals

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
Fields = dict[str, Any]


def lay_down(folder: Path, some: list[Fields], *, slug: str = "acme-corp", slot: int = 0) -> Path:
    """Write records as they are given, chained, without the writer."""
    path = folder / slug / "journal" / f"{slot:03}-000001.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    written, last = b"", chain.genesis(path.name)
    for number, fields in enumerate(some, start=1):
        stamp = {"schema": 1, "seq": number, "ts": timestamp(NOON + timedelta(seconds=number))}
        line, last = chain.link(last, encode({**stamp, "clientSlug": slug, **fields}))
        written += line
    path.write_bytes(written)
    return path


@contextmanager
def workspace() -> Iterator[Path]:
    """A folder for one example of a law."""
    with TemporaryDirectory() as name:
        yield Path(name)


def rows(folder: Path, slug: str = "acme-corp") -> list[dict[str, Any]]:
    return lake.read(folder, [slug]).calls.collect().to_dicts()


STATUSES = st.sampled_from([None, 200, 204, 404, 429, 503])


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[list[Fields]], dict[str, str]]:
    """Draw interleaved records in up to three segments, and how each call ended."""
    segments: list[list[Fields]] = [[], [], []]
    ends: dict[str, str] = {}
    for number in range(draw(st.integers(0, 8))):
        name = f"{number:032x}"
        place = segments[draw(st.integers(0, 2))]
        kind = draw(st.sampled_from(["call", "call", "call", "refused", "imported", "simulated"]))
        status = draw(STATUSES)
        end = ending(number, statusCode=status, outcome=outcome_of(status))
        if kind == "refused":
            some = [intent(number, event="call.refused", outcome="refused", reason="no")]
            ends[name] = "refused"
        elif kind == "call":
            some = [intent(number)]
            ends[name] = "unknown"
            if draw(st.booleans()):
                some.append(end)
                ends[name] = str(outcome_of(status))
                if draw(st.booleans()):
                    detail = {"event": "call.detail", "callId": name, "policyName": "DAILY"}
                    some.append(detail)
        else:
            some = [intent(number, **end, origin=kind)]
            ends[name] = str(outcome_of(status))
        at = 0
        for one in some:  # in order within the segment, with others' records in between
            at = draw(st.integers(at, len(place)))
            place.insert(at, one)
            at += 1
    return segments, ends


@given(histories(), st.randoms(use_true_random=False))
def test_one_row_a_call_however_records_are_interleaved(drawn: Any, chance: Any) -> None:
    segments, ends = drawn
    with workspace() as folder:
        for slot, some in enumerate(segments):
            repeated = [copy.copy(one) for one in some if chance.random() < 0.3]
            lay_down(folder, some + repeated, slot=slot)  # some of it is told twice
        found = rows(folder)
        assert len(found) == len(ends)
        assert {row["call_id"]: row["outcome"] for row in found} == ends
        for row in found:
            assert row["path"] == f"{CONTACTS}/{int(row['call_id'], 16)}"
            assert row["origin"] in ("witnessed", "imported", "simulated")
            if row["outcome"] == "unknown":
                assert row["status_code"] is None
        assert not lake.read(folder, ["acme-corp"]).damage


def test_an_end_without_its_start_is_still_a_call(tmp_path: Path) -> None:
    lay_down(tmp_path, [ending(1)])
    (row,) = rows(tmp_path)
    assert (row["call_id"], row["outcome"], row["path"]) == (f"{1:032x}", "ok", None)


def test_a_later_end_does_not_improve_on_the_first(tmp_path: Path) -> None:
    lay_down(tmp_path, [intent(1), ending(1, statusCode=None, outcome="unknown"), ending(1)])
    assert [row["outcome"] for row in rows(tmp_path)] == ["unknown"]


def test_an_end_that_says_nothing_of_the_outcome_is_unknown(tmp_path: Path) -> None:
    said = {"outcome": None, "statusCode": None}
    lay_down(tmp_path, [intent(1), ending(1, **said), ending(2, **said, origin="imported")])
    assert [row["outcome"] for row in rows(tmp_path)] == ["unknown", "unknown"]


def test_absent_is_absent(tmp_path: Path) -> None:
    lay_down(tmp_path, [intent(1, objectId=None), ending(1, durationMs=0, rateLimitRemaining=0)])
    (row,) = rows(tmp_path)
    assert (row["object_id"], row["rate_limit_daily"], row["error"]) == (None, None, None)
    assert (row["duration_ms"], row["rate_limit_remaining"]) == (0, 0)
    (record,) = lake.joined_records(lake.read(tmp_path, ["acme-corp"]).calls.collect())
    assert "objectId" not in record
    assert "rateLimitDaily" not in record
    assert record["rateLimitRemaining"] == 0


def test_a_call_is_told_in_the_names_of_the_source_documents(tmp_path: Path) -> None:
    end = ending(1, rateLimitRemaining=9)
    lay_down(tmp_path, [intent(1) | AUTHOR.fields(), end])
    (record,) = lake.joined_records(lake.read(tmp_path, ["acme-corp"]).calls.collect())
    assert {
        name: record[name]
        for name in (
            *("ts", "portalId", "clientSlug", "method", "path", "statusCode", "durationMs"),
            *("objectType", "objectId", "actor", "rateLimitRemaining"),
        )
    } == {
        "ts": "2026-10-01T12:00:01.000000Z",
        "portalId": 12345678,
        "clientSlug": "acme-corp",
        "method": "GET",
        "path": f"{CONTACTS}/1",
        "statusCode": 200,
        "durationMs": 12,
        "objectType": "contacts",
        "objectId": "1",
        "actor": "tests/1",
        "rateLimitRemaining": 9,
    }
    assert list(record) == [name for name in CALL_FIELDS if name in record]


def test_nothing_recorded_is_an_empty_frame_with_its_columns(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        reading = lake.read(folder, ["acme-corp", "_agency"])
        assert dict(reading.calls.collect().schema) == dict(lake.CALLS)
        assert dict(reading.activity.schema) == dict(lake.ACTIVITY)
        assert reading.calls.collect().height == reading.activity.height == len(reading.damage) == 0
        assert lake.clients(folder) == []


def test_since_is_included_and_until_is_not(tmp_path: Path) -> None:
    lay_down(tmp_path, [intent(number) for number in range(1, 5)])
    note = {"event": "connection.added", "message": "hello"}
    lay_down(tmp_path, [note] * 4, slot=1)

    def told(since: int | None, until: int | None) -> list[int]:
        first, last = (
            None if one is None else NOON + timedelta(seconds=one) for one in (since, until)
        )
        reading = lake.read(tmp_path, ["acme-corp"], since=first, until=last)
        calls = [int(one, 16) for one in reading.calls.collect()["call_id"]]
        assert calls == [one.second for one in reading.activity["ts"]]
        return calls

    assert told(None, None) == [1, 2, 3, 4]
    assert told(2, 4) == [2, 3]
    assert told(2, None) == [2, 3, 4]
    assert told(None, 2) == [1]
    assert told(5, 9) == []


def test_a_call_belongs_to_the_time_it_was_started(tmp_path: Path) -> None:
    lay_down(tmp_path, [intent(1), ending(1)])
    until = NOON + timedelta(seconds=2)
    (row,) = lake.read(tmp_path, ["acme-corp"], until=until).calls.collect().to_dicts()
    assert row["outcome"] == "ok"


GARBAGE = {
    "not json": b"this is no record",
    "nothing": b"",
    "blank": b"   ",
    "no object": b"[]",
    "a number": b"17",
    "null": b"null",
    "empty object": b"{}",
    "zeros": b"\x00" * 300,
    "not utf-8": b'{"event":"call.started\xff"}',
    "two on a line": b'{"event":"x"} {"event":"y"}',
    "half": b'{"schema":1,"seq":3,"event":"call.sta',
    "no event": b'{"ts":"2026-10-01T12:00:00.000000Z","clientSlug":"acme-corp"}',
    "no time": b'{"event":"call.started","clientSlug":"acme-corp","callId":"a"}',
    "bad time": b'{"event":"halt.set","ts":"yesterday","clientSlug":"acme-corp","callId":"a"}',
    "local time": b'{"event":"halt.set","ts":"2026-10-01T12:00:00+02:00","clientSlug":"acme-corp"}',
    "short time": b'{"event":"halt.set","ts":"2026-10-01T12:00:00Z","clientSlug":"acme-corp"}',
    "no call": b'{"event":"call.started","ts":"2026-10-01T12:00:00.000000Z","clientSlug":"acme-corp"}',
    "no such event": b'{"event":"call.ended","ts":"2026-10-01T12:00:00.000000Z",'
    b'"clientSlug":"acme-corp","callId":"a"}',
    "another client's": b'{"event":"call.started","ts":"2026-10-01T12:00:00.000000Z",'
    b'"clientSlug":"beta-inc","callId":"a"}',
    "wrong type": b'{"event":"call.started","ts":"2026-10-01T12:00:00.000000Z",'
    b'"clientSlug":"acme-corp","callId":"a","statusCode":"200"}',
    "too great": b'{"event":"call.started","ts":"2026-10-01T12:00:00.000000Z",'
    b'"clientSlug":"acme-corp","callId":"a","statusCode":18446744073709551615}',
}


@pytest.mark.parametrize("what", GARBAGE)
@pytest.mark.parametrize("before", [0, 2])
def test_damage_is_named_by_file_and_line_and_hides_nothing_else(
    tmp_path: Path, what: str, before: int
) -> None:
    path = lay_down(tmp_path, [intent(1), ending(1), {"event": "halt.set", "message": "why"}])
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*whole[:before], GARBAGE[what] + b"\n", *whole[before:]]))
    reading = lake.read(tmp_path, ["acme-corp"])
    assert [(one.client_slug, one.file, one.line) for one in reading.damage] == [
        ("acme-corp", path.name, before + 1)
    ]
    assert reading.damage[0].cause.startswith("not a record")
    assert [row["outcome"] for row in reading.calls.collect().to_dicts()] == ["ok"]
    assert reading.activity["message"].to_list() == ["why"]


def test_a_carriage_return_does_not_shift_the_count_of_lines(tmp_path: Path) -> None:
    path = lay_down(tmp_path, [intent(1)])
    path.write_bytes(b"a\rb\rc\n" + path.read_bytes() + b"d\n")
    assert [one.line for one in lake.read(tmp_path, ["acme-corp"]).damage] == [1, 3]


@given(st.binary(max_size=300), st.integers(0, 500), st.integers(0, 60))
def test_any_bytes_anywhere_are_survived_and_never_pass_unnoticed(
    junk: bytes, at: int, removed: int
) -> None:
    with workspace() as folder:
        path = lay_down(folder, [intent(1), ending(1), intent(2)])
        whole = path.read_bytes()
        path.write_bytes(whole[:at] + junk + whole[at + removed :])
        content = path.read_bytes().split(b"\n")[:-1]
        broken = chain.first_break(path.name, [line + b"\n" for line in content])
        prefix = content == whole.split(b"\n")[: len(content)] and len(content) <= 3
        assert (broken is None) is prefix  # all but a cut tail breaks the chain
        try:
            reading = lake.read(folder, ["acme-corp"])
        except NewerSchema:
            assert broken
            return
        numbers = {one.line for one in reading.damage}
        torn = not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
        assert (len(content) + 1 in numbers) is torn
        assert numbers <= set(range(1, len(content) + 2))
        known = reading.calls.collect().height + reading.activity.height
        assert known <= len(content)
        assert known or numbers or not content or broken


def test_a_file_of_another_client_is_named_and_not_counted(tmp_path: Path) -> None:
    path = lay_down(tmp_path, [intent(1)], slug="beta-inc")
    lay_down(tmp_path, []).write_bytes(path.read_bytes())
    reading = lake.read(tmp_path, ["acme-corp"])
    assert reading.calls.collect().height == 0
    assert [one.cause for one in reading.damage] == ["not a record of this client"]


def test_records_of_a_later_version_are_refused_and_not_half_understood(tmp_path: Path) -> None:
    lay_down(tmp_path, [intent(1), intent(2, schema=2)])
    with pytest.raises(NewerSchema, match=r"schema 2; this hsagency reads up to 1"):
        lake.read(tmp_path, ["acme-corp"])


def test_what_cannot_be_listed_is_not_empty(tmp_path: Path) -> None:
    """A folder that is a file: even root cannot list it, and nobody took it for one."""
    (tmp_path / "acme-corp").mkdir()
    loop = tmp_path / "acme-corp" / "journal"
    loop.symlink_to(loop)
    with pytest.raises(AuditError, match="cannot be read"):
        lake.read(tmp_path, ["acme-corp"])


def test_clients_are_those_with_a_journal_and_the_agency_is_none(tmp_path: Path) -> None:
    for slug in ("beta-inc", "acme-corp", "_agency"):
        lay_down(tmp_path, [], slug=slug)
    (tmp_path / "empty").mkdir()
    (tmp_path / "lake").mkdir()
    (tmp_path / "note.txt").touch()
    assert lake.clients(tmp_path) == ["acme-corp", "beta-inc"]


def test_activity_is_what_is_not_a_call(tmp_path: Path) -> None:
    note = {"event": "connection.added", "message": 'said "event":"call.started"'} | AUTHOR.fields()
    lay_down(tmp_path, [intent(1), note, ending(1)])
    (row,) = lake.read(tmp_path, ["acme-corp"]).activity.to_dicts()
    assert (row["event"], row["message"]) == (note["event"], note["message"])
    assert (row["actor"], row["user"], row["run_id"]) == (AUTHOR.actor, AUTHOR.user, AUTHOR.run_id)
    assert row["ts"] == NOON + timedelta(seconds=2)


def test_a_hundred_thousand_records_are_read_whole(tmp_path: Path) -> None:
    """As the writer writes them; with one damaged line among them, too."""
    with AuditWriter(tmp_path, author=AUTHOR, sync=lambda _: None) as writer:
        for number in range(50_000):
            writer.append("acme-corp", intent(number), durable=False)
            writer.append("acme-corp", ending(number), durable=False)
    assert lake.read(tmp_path, ["acme-corp"]).calls.collect().height == 50_000
    (path,) = journals(tmp_path)
    content = path.read_bytes()
    middle = content.find(b"\n", len(content) // 2) + 1
    path.write_bytes(content[:middle] + b"{" + content[middle:])
    reading = lake.read(tmp_path, ["acme-corp"])
    assert reading.calls.collect().height in (49_999, 50_000)
    (damage,) = reading.damage
    assert damage.line == content[:middle].count(b"\n") + 1
    assert orjson.loads(content[middle:].splitlines()[0])["seq"] == damage.line
