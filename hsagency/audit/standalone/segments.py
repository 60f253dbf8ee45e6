"""Segments: files of records, each chained to the one before."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import BinaryIO, Dict

from hsagency.audit.standalone.evidence import ALTERED, TRUNCATED, Finding
from hsagency.audit.standalone.heads import Head


@dataclass
class Segment:
    """What one file of records holds, up to the first thing that is wrong."""

    name: str
    head: str
    records: int = 0
    size: int = 0
    calls: int = 0
    torn: int = 0  # bytes after the last whole line
    signed: int = 0  # records that a signed head vouches for
    closed: int | None = None  # records when it was closed
    opening: bytes = b""  # its first record
    first: str = ""  # times of its first and its last record
    last: str = ""
    run: bytes = b""  # who wrote the last one
    imported: list[str] = field(default_factory=list)  # earliest and latest time of imported calls


Pending = Dict[bytes, bytes]  # calls without an outcome yet, and the run that made them
STEP, LONGEST = 1 << 18, 1 << 20
TIME = re.compile(rb'"ts":"([0-9TZ:.-]{27})"')


def genesis(segment: str) -> str:
    """Return the hash that the first line of a segment is chained to."""
    return hashlib.sha256(b"hsagency segment\0" + segment.encode() + b".jsonl").hexdigest()


def follow(head: bytes, lines: list[bytes]) -> tuple[int, bytes]:
    """Return how many lines follow one from the other, and the hash of the last that does."""
    sha256 = hashlib.sha256
    for number, line in enumerate(lines):
        digest = sha256(b"".join((head, line[:-75], b"}"))).hexdigest().encode()
        if line[-75:] != b"".join((b',"hash":"', digest, b'"}')):
            return number, head
        head = digest
    return len(lines), head


def scan(
    file: BinaryIO, segment: Segment, heads: list[Head], slug: str, pending: Pending
) -> Finding | None:
    """Read a segment until it ends or something is wrong, and return that."""
    rest, part, found = b"", b"-", None
    while part and found is None:
        part = file.read(STEP)
        end = part.rfind(b"\n") + 1
        block, rest = (rest + part[:end], part[end:]) if end else (b"", rest + part)
        found = take(segment, block, heads, slug, pending)
        if found is None and len(rest) > LONGEST:
            found = blame(segment, ALTERED, "a line is longer than any record")
    segment.torn = len(rest)
    if found is None and heads:
        last = heads[-1]
        cause = f"it ends here; at {last.ts} it had {last.records} records ({last.source})"
        found = blame(segment, TRUNCATED, cause)
    if found is None and rest and segment.closed is not None:
        found = blame(segment, ALTERED, AFTER_CLOSING)
    return found


AFTER_CLOSING = "this was added after the segment was closed"


def blame(segment: Segment, verdict: str, cause: str, lines: list[bytes] | None = None) -> Finding:
    """Return a finding at the line that comes after the good ones."""
    line, byte = segment.records + 1, segment.size
    if lines:
        line, byte = line + len(lines), byte + sum(map(len, lines)) + len(lines)
    return Finding(verdict, f"journal/{segment.name}.jsonl", line, byte, cause)


def take(
    segment: Segment, block: bytes, heads: list[Head], slug: str, pending: Pending
) -> Finding | None:
    """Add whole lines to a segment, compare it with what is stated, return what is wrong."""
    lines = block.split(b"\n")[:-1]
    good, last = follow(segment.head.encode(), lines)
    while heads and heads[0].records <= segment.records + good:
        head = heads.pop(0)
        before = lines[: head.records - segment.records]
        size = segment.size + sum(map(len, before)) + len(before)
        if (size, before[-1][-66:-2].decode() if before else segment.head) != head[2:4]:
            return blame(
                segment, ALTERED, f"up to here it is not what {head.source} says", before[:-1]
            )
        segment.signed = head.records if head.signed else segment.signed
        segment.closed = head.records if head.kind == "closed" else segment.closed
    if segment.closed is not None and segment.records + len(lines) > segment.closed:
        return blame(segment, ALTERED, AFTER_CLOSING, lines[: segment.closed - segment.records])
    mine = b'"clientSlug":"%s"' % slug.encode()
    if good == len(lines) and block.count(mine) < good:
        good = next(number for number, line in enumerate(lines) if mine not in line)
        return blame(segment, ALTERED, "it is not a record of this client", lines[:good])
    if good < len(lines):
        return blame(segment, ALTERED, "it does not follow from the line before it", lines[:good])
    if lines:
        tally(segment, lines, pending)
    segment.records, segment.size = segment.records + good, segment.size + len(block)
    segment.head = last.decode()
    return None


STARTED, DETAIL = b"s", b"d"  # of call.started, call.detail; others end a call


def tally(segment: Segment, lines: list[bytes], pending: Pending) -> None:
    """Count the calls of some lines, and keep which of them have no outcome yet."""
    for line in lines:
        _, called, rest = line.partition(b',"event":"call.')
        if not called:
            continue
        named, _, rest = rest.partition(b'"callId":"')
        kind, call = named[:1], rest[: rest.find(b'"')]
        if kind == STARTED:
            pending[call] = word(named, b'"runId":"')
            segment.calls += 1
        elif kind != DETAIL and pending.pop(call, None) is None:
            segment.calls += 1  # one that was not counted when it was started
            note_imported(segment, line)
    segment.opening = segment.opening or lines[0]
    segment.first = segment.first or time_of(lines[0])
    segment.last, segment.run = time_of(lines[-1]), word(lines[-1], b'"runId":"')


def note_imported(segment: Segment, line: bytes) -> None:
    """Keep the earliest and the latest time of imported calls, which tell of other days."""
    if b'"origin":"imported"' in line:
        times = sorted([*segment.imported, time_of(line)])
        segment.imported = [times[0], times[-1]]


def word(line: bytes, name: bytes) -> bytes:
    """Return the plain value that follows a name in a record."""
    start = line.find(name) + len(name)
    return line[start : line.find(b'"', start)]


def time_of(line: bytes) -> str:
    """Return the time that a record gives."""
    found = TIME.search(line)
    return found[1].decode() if found else ""
