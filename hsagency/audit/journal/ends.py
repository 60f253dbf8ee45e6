"""What a segment's file holds: where it ends, how it began, and whether it says more than that."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from hsagency.audit import chain, evidence
from hsagency.audit.journal.segment import End
from hsagency.audit.record import Event
from hsagency.audit.register import Head
from hsagency.durable import NotAFile, after_last_line_end, open_regular
from hsagency.errors import AuditError

_LONGEST: Final = 1 << 16  # of a first line, and of what a segment holds when it has just begun
_BEGINNING: Final = frozenset(
    {
        *(Event.AUDIT_OPENED, Event.AUDIT_REPAIRED, Event.AUDIT_IDLE),
        *(Event.AUDIT_CLOCK, Event.AUDIT_WARNING),
    }
)
"""What a segment may hold before the register names it; the verifier has the same rule."""


class Found(NamedTuple):
    """Where a segment ends, what is torn after that, and its first and last record."""

    end: End
    torn: bytes
    first: Mapping[str, Any]
    last: Mapping[str, Any]


def look(descriptor: int, name: str, known: Head | None) -> Found:
    """Return what is in a segment; raises `ValueError` if it is damaged."""
    size = os.fstat(descriptor).st_size
    torn = after_last_line_end(descriptor, size)
    size -= len(torn)
    if known is not None and _hash_at(descriptor, known.bytes, size) != known.hash:
        raise ValueError
    if size == 0:
        return Found(End(0, 0, chain.genesis(name)), torn, {}, {})
    line = after_last_line_end(descriptor, size - 1)
    last, digest = record_of(line), chain.hash_of(line + b"\n")
    if digest is None or type(last.get("seq")) is not int:
        raise ValueError
    first = record_of(os.pread(descriptor, _LONGEST, 0).partition(b"\n")[0])
    closed = last.get("event") == Event.AUDIT_CLOSED
    return Found(End(size, last["seq"], digest, closed), torn, first, last)


def _hash_at(descriptor: int, end: int, size: int) -> str | None:
    """Return the hash of the record that ends at a place, if one does."""
    if not 0 < end <= size:
        return None
    return chain.hash_of(after_last_line_end(descriptor, end - 1) + b"\n")


def written_end(path: Path) -> Mapping[str, Any]:
    """Return the last record of a journal file, as far as it can be read."""
    descriptor = open_regular(path)
    try:
        size = os.fstat(descriptor).st_size
        size -= len(after_last_line_end(descriptor, size))
        return record_of(after_last_line_end(descriptor, size - 1))
    finally:
        os.close(descriptor)


def sealed_end(path: Path, known: Head | None = None) -> tuple[int, bytes]:
    """
    Return how long sealed evidence is when unpacked, and its last line.

    What is damaged, or is not what is known of it, has none.
    """
    size, tail, reached = 0, b"", known is None
    try:
        with evidence.open_segment(path) as file:
            for line in file:
                size, tail = size + len(line), line
                if known is not None and size == known.bytes:
                    reached = chain.hash_of(line) == known.hash
    except (AuditError, NotAFile):
        return 0, b""
    return (size, tail) if reached else (0, b"")


def has_just_begun(descriptor: int, size: int) -> bool:
    """Say whether a segment says nothing yet but how it began."""
    if size > _LONGEST:
        return False
    lines = os.pread(descriptor, size, 0).splitlines()
    return all(record_of(line).get("event") in _BEGINNING for line in lines)


def last_time(descriptor: int, size: int) -> str:
    """Return the time of the last record but for those by which a segment is ended."""
    while size > 0:
        line = after_last_line_end(descriptor, size - 1)
        said = record_of(line)
        if not str(said.get("event")).startswith("audit."):
            return str(said.get("ts", ""))
        size -= len(line) + 1
    return ""


def record_of(line: bytes) -> Mapping[str, Any]:
    """Return what a line says; one that is no record says nothing."""
    try:
        said = orjson.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
