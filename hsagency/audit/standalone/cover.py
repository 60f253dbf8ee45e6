"""Whose signatures cover a log, and what of it is under none."""

from __future__ import annotations

from typing import Callable, NamedTuple

from hsagency.audit.standalone.evidence import ALTERED, Finding
from hsagency.audit.standalone.heads import REGISTER, Head
from hsagency.audit.standalone.registered import SOON, seconds
from hsagency.audit.standalone.segments import Segment


class Trust(NamedTuple):
    """The keys that are known to be ours, by id, and what the others are to be called."""

    keys: dict[str, bytes]
    otherwise: str


def signers(heads: list[Head]) -> dict[str, int]:
    """Return how many statements each key signed."""
    found: dict[str, int] = {}
    for one in heads:
        if one.signed:
            found[one.key] = found.get(one.key, 0) + 1
    return found


def strangers(heads: list[Head], keys: dict[str, bytes], trust: Trust) -> list[Finding]:
    """Return the keys that signed and are not known, each where it signed first."""
    found: dict[str, Finding] = {}
    for head in heads:
        if head.signed and trust.keys.get(head.key) != keys[head.key] and head.key not in found:
            file, _, line = head.source.partition(", line ")
            cause = f"it is signed with the key {head.key}, which {trust.otherwise}"
            found[head.key] = Finding(ALTERED, file, int(line or 1), None, cause)
    return list(found.values())


def unvouched(heads: list[Head], trust: Trust | None) -> list[Finding]:
    """Return the removals that no key states which is known, or signed anything else here."""
    others = {one.key for one in heads if one.kind != "retired"} | {*(trust.keys if trust else ())}
    cause = "it says that a segment was removed, with a key that signed nothing else of this log"
    return [
        Finding(ALTERED, REGISTER, int(one.source.rpartition(" ")[2]), None, cause)
        for one in heads
        if one.kind == "retired" and one.key not in others
    ]


def unsigned_lines(heads: list[Head]) -> list[str]:
    """Return in words which lines of the register are unsigned though ones before are signed."""
    lines = [one for one in heads if one.source.startswith(REGISTER)]
    begun = next((at for at, one in enumerate(lines) if one.signed), len(lines))
    found = [one.source.rpartition(" ")[2] for one in lines[begun:] if not one.signed]
    if not found:
        return []
    named = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    which = f"line {named} of the register is" if len(found) == 1 else f"lines {named} are"
    return [f"After signed ones, {which} not signed: anybody could have written that."]


def uncovered(segments: list[Segment], live: Callable[[str], bool]) -> list[str]:
    """Say in words how many records no signed head covers, if that is more than a last moment."""
    long_ago = [one for one in segments if is_uncovered(one, live)]
    if not long_ago:
        return []
    whole, signed = sum(one.records for one in segments), sum(one.signed for one in segments)
    count = f"{whole - signed:,} of {whole:,} records are under no signed head"
    return [f"{count}: anybody could have written them."]


def is_uncovered(segment: Segment, live: Callable[[str], bool]) -> bool:
    """Say whether a segment was written for a while after what is signed of it."""
    if segment.signed >= segment.records:
        return False
    if not segment.signed:
        done = segment.closed is not None or not segment.own
        return done or seconds(segment.first, segment.last) > SOON
    return seconds(segment.signed_at, segment.last) > SOON and not live(segment.name)
