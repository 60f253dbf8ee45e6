"""
A journal as a stream: from a cursor on, one item a call, in the order in which they began.

The segments of one slot are one stream, because one process at a time writes there. An item
is a call with its records joined, or an event, or an *amendment*: a record about a call that
was handed over before that record was written. Reading changes nothing and keeps nothing:
what it returns depends on the files, the cursor and the time alone.

A call is ready when its outcome is there, and the detail that may follow had two seconds to
come. Without an outcome it is ready, as `unknown`, when its process is gone or two minutes
have passed. Until then what began later waits too: that is what makes it an order. Between
two processes that write for one client at the same time there is only the clock.

Only whole lines are read. Those that are no records are passed over and counted. What was
merged from other machines is not read: it would come long after, and out of order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson

from hsagency.audit.forwarding.tape import Position, Tape, is_written, slots
from hsagency.audit.record import (
    CALL_EVENTS,
    CALL_FIELDS,
    DETAIL_FIELDS,
    SCHEMA,
    Event,
    Origin,
    Outcome,
    flaw,
)
from hsagency.errors import NewerSchema

PATIENCE: Final = timedelta(minutes=2)
"""How long a call without an outcome holds up those after it."""

SETTLING: Final = timedelta(seconds=2)
"""How long a call with an outcome waits for the detail that may follow."""

_ENDING: Final = (
    *("statusCode", "outcome", "durationMs", "rateLimitRemaining", "rateLimitDaily"),
    *("correlationId", "error", "reason"),
)
_DETAIL: Final = ("policyName", "objectId", *DETAIL_FIELDS)


@dataclass(frozen=True, slots=True)
class Cursor:
    """
    Where a reader stands in one slot's stream.

    Everything before `at` is behind it. `told` are calls that are behind it, of which records
    after `at` were handed over too: up to where.
    """

    at: Position = field(default_factory=Position)
    told: Mapping[str, Position] = field(default_factory=dict)


@dataclass(slots=True)
class Item:
    """One thing to hand over: a joined call, an event or an amendment."""

    record: dict[str, Any]
    at: Position  # of its first record
    told: Position  # of the last record that went into it
    ts: str
    run: str | None = None  # of the process that makes the call; nothing if it is complete
    ended: str | None = None  # when its outcome was recorded
    detailed: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """What lies behind a cursor, as far as it was read."""

    items: tuple[Item, ...]
    ready: int  # how many of them, from the first on, can be handed over
    end: Position  # where reading stopped
    damaged: tuple[Position, ...]
    told: Mapping[str, Position]

    def cursor(self, taken: int) -> Cursor:
        """Return where a reader stands who has taken so many of the items."""
        at = self.items[taken].at if taken < len(self.items) else self.end
        told = {**self.told, **{_call(one): one.told for one in self.items[:taken]}}
        return Cursor(at, {call: upto for call, upto in told.items() if call and upto >= at})

    def damaged_before(self, at: Position) -> int:
        """Return how many damaged lines lie before a place."""
        return sum(one < at for one in self.damaged)


def read(
    segments: Mapping[int, Path], cursor: Cursor, *, slug: str, now: datetime, most: int
) -> Window:
    """
    Read one slot from a cursor on, until `most` items are ready or there is no more.

    Raises `AuditError` where the journal no longer holds what follows the cursor, and
    `NewerSchema` where a later version wrote it.
    """
    tape = Tape(segments, cursor.at)
    joining = _Joining(cursor, slug)
    for at, line in tape:
        joining.add(at, line)
        if joining.ready() >= most:
            break
    else:
        if not joining.items:
            tape.refuse_gap(slug)
        joining.passes(now)
        if joining.ready() < len(joining.items) and _is_abandoned(tape):
            for at, line in tape:  # what it wrote last
                joining.add(at, line)
            joining.abandon()
    return Window(
        tuple(joining.items), joining.ready(), tape.at, tuple(joining.damaged), cursor.told
    )


def backlog(
    segments: Mapping[int, Path], cursor: Cursor, *, events: bool = True
) -> tuple[int, str | None]:
    """
    Return how many items lie behind a cursor, and since when the first of them waits.

    An imported or simulated record says when its call was made, and not when it was written: of
    such, the next other record tells, or else the file.
    """
    count, first, last = 0, None, None
    tape = Tape(segments, cursor.at)
    for at, line in tape:
        count += _begins_something(line, events=events)
        if count and first is None:
            record = None if _tells_another_time(line) else _parse(line)
            first, last = (record["ts"] if record else None), at.segment
    if count and first is None and last is not None:
        changed = datetime.fromtimestamp(segments[last].stat().st_mtime, UTC)
        first = changed.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return count, first


def _tells_another_time(line: bytes) -> bool:
    return b'"origin":"imported"' in line or b'"origin":"simulated"' in line


def _is_abandoned(tape: Tape) -> bool:
    """Say whether no process writes here; one that goes on in another segment does."""
    last = tape.last
    if last is None or is_written(last):
        return False
    return max(slots(last.parent.parent).get(last.name[:3], {}), default=0) == int(last.name[4:10])


class _Joining:
    """Joins the records of calls as they come."""

    def __init__(self, cursor: Cursor, slug: str) -> None:
        self.items: list[Item] = []
        self.damaged: list[Position] = []
        self._told, self._slug = cursor.told, slug
        self._open: dict[str, Item] = {}
        self._run: str | None = None  # of the process that wrote last
        self._closed = False
        self._latest = ""
        self._ready = 0

    def add(self, at: Position, line: bytes) -> None:
        """Take in one line."""
        record = _parse(line, slug=self._slug)
        if record is None:
            self.damaged.append(at)
            return
        event = record["event"]
        self._closed = event == Event.AUDIT_CLOSED
        self._latest = max(self._latest, record["ts"])
        if record.get("origin", Origin.WITNESSED) == Origin.WITNESSED and "runId" in record:
            self._run = record["runId"]
        if event == Event.STARTED:
            self._begin(record, at)
        elif event == Event.DETAIL or (event == Event.FINISHED and "origin" not in record):
            self._go_on(record, at)
        elif event in CALL_EVENTS:
            self.items.append(Item(joined(record), at, at, record["ts"]))
        else:
            self.items.append(Item(record, at, at, record["ts"]))

    def passes(self, now: datetime) -> None:
        """Take note of the time where no later record tells it."""
        text = now.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        self._latest = max(self._latest, text)

    def abandon(self) -> None:
        """Take note that the process which wrote last is gone, unless it is changing segments."""
        if self._closed:
            return
        self._run = None
        for one in self._open.values():
            one.run = None

    def ready(self) -> int:
        """Return how many items, from the first on, can be handed over."""
        while self._ready < len(self.items) and self._is_ready(self.items[self._ready]):
            self._ready += 1
        return self._ready

    def _begin(self, record: dict[str, Any], at: Position) -> None:
        call = record["callId"]
        if call not in self._open:  # a line that was copied tells nothing new
            item = Item(joined(record), at, at, record["ts"], run=record.get("runId"))
            self._open[call] = item
            self.items.append(item)

    def _go_on(self, record: dict[str, Any], at: Position) -> None:
        item = self._open.get(record["callId"])
        if item is not None:
            self._merge(item, record)
            item.told = at
        elif self._told.get(record["callId"], Position()) < at:
            self.items.append(Item(record, at, at, record["ts"]))

    def _merge(self, item: Item, record: dict[str, Any]) -> None:
        """Add to a call what a record says; what was said first stays."""
        if record["event"] == Event.FINISHED and item.ended is None:
            item.ended = record["ts"]
            item.record = _in_order({**item.record, **_some(record, _ENDING)})
        elif record["event"] == Event.DETAIL and not item.detailed:
            item.detailed = True
            item.record = _in_order({**_some(record, _DETAIL), **item.record})

    def _is_ready(self, item: Item) -> bool:
        if item.run is None or item.run != self._run:
            return True
        if item.ended is None:
            return _later(item.ts, PATIENCE) <= self._latest
        if item.detailed or not _may_be_detailed(item.record):
            return True
        return _later(item.ended, SETTLING) <= self._latest


def joined(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first record of a call in the names and the order of joined calls."""
    return _in_order({"outcome": Outcome.UNKNOWN.value, "origin": "witnessed", **record})


def _in_order(record: Mapping[str, Any]) -> dict[str, Any]:
    return _some(record, (*CALL_FIELDS, *DETAIL_FIELDS))


def _some(record: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: record[name] for name in names if name in record}


def _call(item: Item) -> str:
    """Return which call an item is, or is about; nothing for an event."""
    return str(item.record.get("callId", ""))


def _may_be_detailed(record: Mapping[str, Any]) -> bool:
    status = record.get("statusCode", 0)
    changing = record.get("operationClass") in ("write", "delete")
    return bool(status >= 400 or (changing and status >= 200))


def _later(ts: str, by: timedelta) -> str:
    """Return a time of a record, moved; as records write it, which sorts."""
    moved = datetime.fromisoformat(ts) + by
    return moved.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _begins_something(line: bytes, *, events: bool) -> bool:
    head = line[:200]
    if b'"event":"call.' not in head:
        return events
    if b'"event":"call.detail"' in head:
        return False
    return b'"event":"call.finished"' not in head or b'"origin":"' in line


def _parse(line: bytes, *, slug: str | None = None) -> dict[str, Any] | None:
    """Return a line as a record, or nothing if it is none of this client's."""
    try:
        record = orjson.loads(line)
    except ValueError:
        return None
    if flaw(record):
        return None
    if record["schema"] > SCHEMA:
        raise NewerSchema(
            f"The journal has records of schema {record['schema']}; this hsagency reads up to "
            f"{SCHEMA}. Nothing after them was forwarded.",
            hint="Use the later hsagency that wrote them.",
        )
    return record if slug in (None, record["clientSlug"]) else None
