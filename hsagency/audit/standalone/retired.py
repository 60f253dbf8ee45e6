"""Segments that were removed under retention, as signed lines of the register say."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any, NamedTuple

from hsagency.audit.standalone.evidence import ALTERED, Finding
from hsagency.audit.standalone.heads import REGISTER, Head
from hsagency.audit.standalone.segments import Segment

RANGE = re.compile(rb"([0-9]{3}-[0-9]{6})(?: to ([0-9]{3}-[0-9]{6}))?")


class Retired(NamedTuple):
    """A segment that was removed: how much was in it, on which day, and of which days it was."""

    segment: str
    records: int
    on: str
    first: str
    last: str


def retirement(heads: list[Head]) -> Head | None:
    """Return the line that excuses that a segment is not there, if one does."""
    return next((head for head in heads if head.kind == "retired"), None)


def removed(line: Head, heads: list[Head]) -> Retired:
    """Return what was removed, by what the register says of one segment."""
    times = sorted(head.ts[:10] for head in heads if head.kind in ("opened", "closed"))
    last = line.until[:10] or times[-1]
    return Retired(line.segment, line.records, line.ts[:10], min(times[0], last), last)


def contradicted(line: Head, heads: list[Head]) -> Finding | None:
    """Return the first statement that says another end of a segment than it was removed with."""
    for head in heads:
        same = head[1:4] == line[1:4]
        if head.records > line.records or (head.records == line.records and not same):
            cause = f"{line.source} says that it was removed, with another end than {head.source}"
            return Finding(ALTERED, f"journal/{line.segment}.jsonl", None, None, cause)
    return None


def unrecorded(
    retired: list[Retired], heads: dict[str, list[Head]], segments: list[Segment], until: str
) -> list[Finding]:
    """
    Return the removals of which no record tells, where that record would be at hand.

    `until` is when the last segment ended that is not.
    """
    records = [line for one in segments for line in one.retirements]
    ranges = [found.groups() for line in records for found in RANGE.finditer(line)]
    if any(b"(cut: it had" in line for line in records):
        return []  # which was too long to name them all
    found = []
    for one in retired:
        line, name = retirement(heads[one.segment]), one.segment.encode()
        told = any(first <= name <= (last or first) for first, last in ranges)
        if line is not None and until < line.ts and not told:
            cause = f"it says that {one.segment} was removed, and no record tells of that"
            number = int(line.source.rpartition(" ")[2])
            found.append(Finding(ALTERED, REGISTER, number, None, cause))
    return found


def as_json(one: Retired) -> dict[str, Any]:
    """Return a removed segment as JSON shows it."""
    days = {"removedOn": one.on, "from": one.first, "to": one.last}
    return {"segment": one.segment, "records": one.records, **days}


def in_words(retired: list[Retired]) -> list[str]:
    """Return one line for each day on which segments were removed."""
    said = []
    for day, on_it in groupby(sorted(retired, key=lambda one: one.on), key=lambda one: one.on):
        some = list(on_it)
        count = f"{len(some)} segment" + ("s" if len(some) > 1 else "")
        first, last = min(one.first for one in some), max(one.last for one in some)
        said.append(f"removed under retention on {day}: {count}, from {first} to {last}")
    return said
