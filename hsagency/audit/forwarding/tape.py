"""
The whole lines of one slot of a log, in order, through its segments, sealed or not.

A place in it is a segment's number and bytes from its beginning as it was written, so it stays
what it is when the segment is sealed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Final, NamedTuple

from hsagency.audit import evidence
from hsagency.audit.record import Event
from hsagency.durable import (
    open_to_read,
    read_regular,
    try_lock,
    unreadable,
)
from hsagency.errors import AuditError

_CLOSED: Final = f'"event":"{Event.AUDIT_CLOSED}"'.encode()
_RETIRED: Final = re.compile(rb'"kind":"retired","segment":"(\d{3})-(\d{6})"')
_STEP: Final = 1 << 18


class Position(NamedTuple):
    """A place in a slot's stream: the number of a segment, and bytes from its beginning."""

    segment: int = 0
    offset: int = 0


def slots(folder: Path) -> dict[str, dict[int, Path]]:
    """Return the segments of a log by slot and number, whether they are sealed or not."""
    found: dict[str, dict[int, Path]] = {}
    for name, path in evidence.segments(folder).items():
        slot, number = name.split("-")
        found.setdefault(slot, {})[int(number)] = path
    return found


def is_written(path: Path | None) -> bool:
    """Say whether a process holds a segment; one that dies lets go of it."""
    if path is None or evidence.is_evidence(path):
        return False
    try:
        with open_to_read(path) as file:
            return not try_lock(file.fileno())
    except FileNotFoundError:
        return False  # sealed meanwhile
    except OSError as error:
        raise unreadable(path, error) from error


def removed(segment: Path) -> set[int]:
    """Return the segments of the same slot that the register says were removed for good."""
    try:
        register = read_regular(segment.parent.parent / "heads.jsonl")
    except FileNotFoundError:
        return set()
    return {int(number) for slot, number in _RETIRED.findall(register) if slot == _slot(segment)}


def _slot(segment: Path) -> bytes:
    return segment.name[:3].encode()


class Tape:
    """The whole lines of one slot from a place on, through its segments up to a gap."""

    def __init__(self, segments: Mapping[int, Path], at: Position) -> None:
        self._segments, self.at = segments, at
        self.last = segments[max(segments)] if segments else None
        later = sorted(number for number in segments if number >= at.segment)
        first = at.segment or (later[0] if later else 0)  # of what was never read, what there is
        self._numbers = [one for place, one in enumerate(later) if one == first + place]
        self.gap = first + len(self._numbers) if len(self._numbers) < len(later) else None
        if not later and at.offset:
            self.gap = first
        if self.gap is not None and self.last is not None:
            gone = removed(self.last)
            wanted = range(self.gap, later[-1] + 1 if later else self.gap + 1)
            absent = [one for one in wanted if one not in segments and one not in gone]
            self.gap = absent[0] if absent else None
            self._numbers = [one for one in later if self.gap is None or one < self.gap]

    def __iter__(self) -> Iterator[tuple[Position, bytes]]:
        for number in self._numbers:
            if number > self.at.segment:
                self.at = Position(number)
            if number == self.at.segment:
                yield from self._lines(number)

    def refuse_gap(self, slug: str) -> None:
        """Raise if what follows is gone, with all that precedes it taken."""
        if self.gap is not None:
            raise AuditError(
                f"Segment {self.gap:06} of {slug} is gone before it was forwarded.",
                hint="Bring it back. hsagency audit verify says what else is missing.",
            )

    def _lines(self, number: int) -> Iterator[tuple[Position, bytes]]:
        path = self._segments[number]
        try:
            with evidence.open_segment(path) as file:
                if not _go_to(self.at.offset, file):
                    raise AuditError(
                        f"The journal {path} is shorter than it was. Nothing of it was forwarded.",
                        hint="Keep the folder as it is: hsagency audit verify says what happened.",
                    )
                line = b""
                for line in file:
                    if not line.endswith(b"\n"):
                        return  # on its way, or torn: the next writer sets it aside
                    at, self.at = self.at, Position(number, self.at.offset + len(line))
                    yield at, line
                if _CLOSED in line[:60] or evidence.is_evidence(path):
                    self.at = Position(number + 1)  # so that it need not be opened again
        except OSError as error:
            raise unreadable(path, error) from error


def _go_to(offset: int, file: BufferedReader) -> bool:
    """Go to a place in a segment, and say whether it reaches that far."""
    if file.seekable():
        return file.seek(0, 2) >= offset and file.seek(offset) == offset
    while offset and (part := file.read1(min(offset, _STEP))):
        offset -= len(part)
    return not offset
