"""Segments: files of records, each chained to the one before."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from itertools import repeat
from operator import contains
from typing import Any, BinaryIO

from hsagency.audit.standalone.calls import Calls
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
    signed_at: str = ""  # when it was signed
    closed: int | None = None  # records when it was closed
    opening: bytes = b""  # its first record
    first: str = ""  # times of its first record, and of the last that was made then and is no end
    last: str = ""
    latest: str = ""  # time of any record, of a segment of versions before the register
    run: bytes = b""  # who wrote the last one
    own: int = 0  # records about itself, as there may be some before it is registered
    unread: int = 0  # lines after the first thing that is wrong
    retirements: list[bytes] = field(default_factory=list)  # records of audit.retired
    imported: list[str] = field(default_factory=list)  # earliest and latest time of imported calls


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
    file: BinaryIO, segment: Segment, heads: list[Head], slug: str, calls: Calls
) -> Finding | None:
    """Read a segment until it ends or something is wrong, and return that."""
    rest, part, found = b"", b"-", None
    while part and found is None:
        part = file.read(STEP)
        end = part.rfind(b"\n") + 1
        block, rest = (rest + part[:end], part[end:]) if end else (b"", rest + part)
        start = segment.size
        found = take(segment, block, heads, slug, calls)
        if found is not None:
            segment.unread = block.count(b"\n", (found.byte or 0) - start) + lines_left(file)
        elif len(rest) > LONGEST:
            found = blame(segment, ALTERED, "a line is longer than any record")
    segment.torn = len(rest)
    if found is None and heads:
        last = heads[-1]
        cause = f"it ends here; at {last.ts} it had {last.records} records ({last.source})"
        found = blame(segment, TRUNCATED, cause)
    if found is None and rest and segment.closed is not None:
        found = blame(segment, ALTERED, AFTER_CLOSING)
    return found


def lines_left(file: BinaryIO) -> int:
    """Return how many lines are left to be read."""
    count, part = 0, file.read(STEP)
    while part:
        count, part = count + part.count(b"\n"), file.read(STEP)
    return count


AFTER_CLOSING = "this was added after the segment was closed"


def blame(segment: Segment, verdict: str, cause: str, lines: list[bytes] | None = None) -> Finding:
    """Return a finding at the line that comes after the good ones."""
    line, byte = segment.records + 1, segment.size
    if lines:
        line, byte = line + len(lines), byte + sum(map(len, lines)) + len(lines)
    return Finding(verdict, f"journal/{segment.name}.jsonl", line, byte, cause)


def take(
    segment: Segment, block: bytes, heads: list[Head], slug: str, calls: Calls
) -> Finding | None:
    """Add whole lines to a segment, as far as nothing is wrong, and return what is."""
    lines = block.split(b"\n")[:-1]
    good, last = follow(segment.head.encode(), lines)
    found = compared(segment, lines, good, heads)
    if found is None and good == len(lines):
        foreign = not_of(slug, block, lines)
        if foreign is not None:
            cause = "it is not a record of this client"
            found = blame(segment, ALTERED, cause, lines[:foreign])
    elif found is None:
        found = blame(segment, ALTERED, "it does not follow from the line before it", lines[:good])
    if found is not None:
        lines = lines[: (found.line or 1) - 1 - segment.records]
    if lines:
        tally(segment, lines, calls)
    segment.records += len(lines)
    segment.size += len(block) if found is None else sum(map(len, lines)) + len(lines)
    segment.head = last.decode()
    return found


def compared(segment: Segment, lines: list[bytes], good: int, heads: list[Head]) -> Finding | None:
    """Compare lines that follow on a segment with what is stated of it."""
    while heads and heads[0].records <= segment.records + good:
        head = heads.pop(0)
        before = lines[: head.records - segment.records]
        size = segment.size + sum(map(len, before)) + len(before)
        if (size, before[-1][-66:-2].decode() if before else segment.head) != head[2:4]:
            cause = f"up to here it is not what {head.source} says"
            return blame(segment, ALTERED, cause, before[:-1])
        if head.signed:
            segment.signed, segment.signed_at = head.records, max(head.ts, segment.signed_at)
        segment.closed = head.records if head.kind == "closed" else segment.closed
    if segment.closed is not None and segment.records + len(lines) > segment.closed:
        return blame(segment, ALTERED, AFTER_CLOSING, lines[: segment.closed - segment.records])
    return None


NAMED = b'"clientSlug":'


def not_of(slug: str, block: bytes, lines: list[bytes]) -> int | None:
    """Return which of some lines is first not of a client, and of this one alone."""
    mine = NAMED + b'"%s"' % slug.encode()
    if block.count(NAMED) == len(lines) and all(map(contains, lines, repeat(mine))):
        return None
    wrong = (n for n, line in enumerate(lines) if mine not in line or line.count(NAMED) > 1)
    return next(wrong, None)


STARTED, FINISHED, DETAIL = b"s", b"f", b"d"  # of call.started and so on; or it was refused
OWN = tuple(b"audit." + one for one in (b"opened", b"repaired", b"idle", b"clock", b"warning"))
EVENT, CLOSED, RETIRED = b'"event":"', b"audit.closed", b"audit.retired"
ELSEWHEN = (b'"origin":"imported"', b'"origin":"simulated"')  # their time is that of the call


def tally(segment: Segment, lines: list[bytes], calls: Calls) -> None:
    """Count the calls of some lines, and keep which of them have no outcome yet."""
    pending, ended, name = calls.pending, calls.ended, segment.name
    for line in lines:
        _, called, rest = line.partition(b',"event":"call.')
        if not called:
            note_other(segment, line)
            continue
        named, _, rest = rest.partition(b'"callId":"')
        kind, call = named[:1], rest[: rest.find(b'"')]
        if kind == STARTED:
            if not ended or ended.pop(call, None) is None:
                pending[call] = word(named, b'"runId":"'), name
                segment.calls += 1
        elif kind != DETAIL and pending.pop(call, None) is None:
            segment.calls += 1  # one that was not counted when it was started
            note_imported(segment, line)
            if kind == FINISHED and not any(one in line for one in ELSEWHEN):
                ended[call] = name
    segment.opening = segment.opening or lines[0]
    segment.first = segment.first or time_of(lines[0])
    made_then = (line for line in reversed(lines) if is_made_then(line))
    segment.last = time_of(next(made_then, b"")) or segment.last or segment.first
    segment.run = word(lines[-1], b'"runId":"')
    if word(segment.opening, EVENT) != OWN[0]:
        segment.latest = max(segment.latest, *map(time_of, lines))


def is_made_then(line: bytes) -> bool:
    """Say whether a record tells of what happened when it was written, and is not the end."""
    return not any(one in line for one in (CLOSED, *ELSEWHEN))


def note_other(segment: Segment, line: bytes) -> None:
    """Note a record that is not about a call."""
    event = word(line, EVENT)
    segment.own += event in OWN
    if event == RETIRED:
        segment.retirements.append(line)


def note_imported(segment: Segment, line: bytes) -> None:
    """Keep the earliest and the latest time of imported calls, which tell of other days."""
    if any(one in line for one in ELSEWHEN):
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


def unlinked(segment: Segment, before: Segment | None) -> Finding | None:
    """Say whether a segment names another end of the one before it than was found."""
    if before is None or word(segment.opening, EVENT) != OWN[0]:
        return None
    named = opening_of(segment)
    if named.get("previousHash") in (None, before.head):
        return None
    cause = f"journal/{segment.name}.jsonl names another last record of it"
    return Finding(
        TRUNCATED, f"journal/{before.name}.jsonl", before.records + 1, before.size, cause
    )


def opening_of(segment: Segment) -> dict[str, Any]:
    """Return the first record of a segment."""
    try:
        said = json.loads(segment.opening or b"{}")
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
