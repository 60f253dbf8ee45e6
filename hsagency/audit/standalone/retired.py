"""Segments that were removed under retention, as signed lines of the register say."""

from __future__ import annotations

from itertools import groupby
from typing import Any, NamedTuple

from hsagency.audit.standalone.evidence import ALTERED, Finding
from hsagency.audit.standalone.heads import Head


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
    return Retired(line.segment, line.records, line.ts[:10], times[0], times[-1])


def contradicted(line: Head, heads: list[Head]) -> Finding | None:
    """Return the first statement that says another end of a segment than it was removed with."""
    for head in heads:
        same = head[1:4] == line[1:4]
        if head.records > line.records or (head.records == line.records and not same):
            cause = f"{line.source} says that it was removed, with another end than {head.source}"
            return Finding(ALTERED, f"journal/{line.segment}.jsonl", None, None, cause)
    return None


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
