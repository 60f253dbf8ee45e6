"""What the register has to say of a segment, and when it is right that it says nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Callable, Dict, List

from hsagency.audit.standalone.evidence import ALTERED, GAP, MISSING, Finding
from hsagency.audit.standalone.heads import REGISTER, Head
from hsagency.audit.standalone.segments import EVENT, OWN, Segment, word

Heads = Dict[str, List[Head]]  # what is stated, by segment
SOON = 10.0  # seconds within which a program says how far it is: ten times what it takes
NOT_IN_LINES = ("checkpoint", "kept")


def is_registered(heads: list[Head]) -> bool:
    """Say whether a line of the register names a segment; a checkpoint alone does not count."""
    return any(head.kind not in NOT_IN_LINES for head in heads)


def first_line(heads: Heads) -> Head | None:
    """Return the first line of the register, if there is one."""
    lines = [one for some in heads.values() for one in some if one.source.startswith(REGISTER)]
    return min(lines, key=lambda one: int(one.source.rpartition(" ")[2]), default=None)


def is_older(segment: Segment, first: Head | None) -> bool:
    """Say whether a segment may be of versions before the register: all of it was before that."""
    opened = word(segment.opening, EVENT) == OWN[0]
    before = first is None or segment.latest < first.ts
    return segment.name[4:] == "000001" and not opened and before


def unharmed(segments: list[Segment], findings: list[Finding]) -> list[Segment]:
    """Return the segments that could be read to their end, and of which nothing is wrong."""
    wrong = {one.file for one in findings}
    return [one for one in segments if f"journal/{one.name}.jsonl" not in wrong]


def not_named(
    segments: list[Segment], heads: Heads, findings: list[Finding]
) -> tuple[list[str], list[Finding]]:
    """Return the segments that the register does not name, and what is wrong with that."""
    distrusted = any(one.file == REGISTER for one in findings)  # without it there is no telling
    sound = [] if distrusted else unharmed(segments, findings)
    names, wrong, first = [], [], first_line(heads)
    for one in segments:
        said = heads.get(one.name, [])
        if one.records and not is_registered(said):
            names.append(one.name)
            found = unregistered(one, said, first) if one in sound else None
            wrong += [found] if found and found not in wrong else []
    return names, wrong


def unregistered(segment: Segment, said: list[Head], first: Head | None) -> Finding | None:
    """
    Say what is wrong with a segment that the register does not name.

    A crash may come between its first records, which are about itself, and its first line.
    """
    pointed = any(one.kind == "checkpoint" for one in said)
    if is_older(segment, first) or (segment.own == segment.records and not pointed):
        return None
    if first is None:
        cause = "the segments were written by a version that keeps a register"
        return Finding(MISSING, REGISTER, None, None, cause)
    cause = "the register does not name this segment"
    return Finding(ALTERED, f"journal/{segment.name}.jsonl", 1, 0, cause)


def without_checkpoint(
    segments: list[Segment], heads: Heads, live: Callable[[str], bool]
) -> list[Finding]:
    """Return what is wrong with open segments of which no checkpoint says how far they had come."""
    found = []
    for one in segments:
        said = heads.get(one.name, [])
        done = any(head.kind in ("closed", "checkpoint") for head in said)
        if is_registered(said) and not done and seconds(one.first, one.last) > SOON:
            cause = f"it should say how far {one.name} had come, which was written for longer"
            finding = Finding(MISSING, f"heads/{one.name[:3]}.json", None, None, cause)
            found += [] if live(one.name) else [finding]
    return found


def seconds(first: str, last: str) -> float:
    """Return how long it is from one time to another; unknown is no time at all."""
    try:
        begun, ended = (datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%f%z") for at in (first, last))
    except ValueError:
        return 0.0
    return (ended - begun).total_seconds()


def gaps(known: list[str]) -> list[Finding]:
    """Return which segments and slots are skipped: they are numbered without a break."""
    found, before = [], (-1, 0)
    for name in known:
        slot, number = int(name[:3]), int(name[4:])
        wanted = (slot, before[1] + 1) if slot == before[0] else (before[0] + 1, 1)
        if (slot, number) != wanted:
            cause = "neither it nor a word of it is there, but a later one is"
            file = f"journal/{wanted[0]:03}-{wanted[1]:06}.jsonl"
            found.append(Finding(GAP, file, None, None, cause))
        before = (slot, number)
    return found
