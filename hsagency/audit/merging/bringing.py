"""
What of a segment is to be merged: all of it, what it has grown by, or nothing.

Here every record is read for what it says, whose it is and which portal it names: the rules of
the verifier look at bytes alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import orjson

from hsagency.audit.evidence.merged import read_through
from hsagency.audit.merging.sources import Source, refuse
from hsagency.audit.record import SCHEMA, Event
from hsagency.audit.standalone.evidence import Evidence
from hsagency.audit.standalone.heads import MOMENT, Head
from hsagency.audit.standalone.lineages import Lineage
from hsagency.errors import NewerSchema

FORKED: Final = (
    "A register is only ever added to. Ask on the other machine: hsagency audit verify says "
    "whether its log is whole; a copied workspace needs a new one (hsagency init)."
)
"""What to do about a log that does not continue what is here."""

_HASH_END: Final = 67  # bytes from the first digit of a record's hash to its line end
_LAST_YEAR: Final = 9000  # there are days after it that no calendar reckons with
_BEGUN: Final = (Event.STARTED, Event.REFUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """
    A segment, or the rest of one, that is not here yet: up to `head`, from `start` on.

    `restored` is one that was merged before and is not as it was.
    """

    head: Head
    start: int
    records: int
    calls: int
    first: str
    last: str
    portals: frozenset[int]
    restored: bool = False


def part_of(source: Source, head: Head, lineage: Lineage | None, held: Evidence) -> Part | None:
    """Return what a source has of a segment and we have not."""
    known = None if lineage is None else lineage.heads.get(head.segment)
    if known is None:
        return _scanned(source, head)
    if head.records < known.records:
        return None  # an earlier state of what is here
    if hash_at(source.evidence, head.segment, known.size) != known.hash:
        refuse(
            source.path,
            f"has another segment {head.segment} than was merged from that machine before",
            FORKED,
        )
    if head.records > known.records:
        return _scanned(source, head, known)
    same = _equal(source.evidence, held, head)
    return None if same else replace(_scanned(source, head), restored=True)


def hash_at(evidence: Evidence, segment: str, end: int) -> str:
    """Return the hash of the record that ends at a place; raises `EOFError` if none does."""
    name = f"journal/{segment}.jsonl"
    tail = b"".join(read_through(evidence, name, start=end - _HASH_END, end=end))
    return tail[:64].decode("ascii", "replace")


def _equal(ones: Evidence, others: Evidence, head: Head) -> bool:
    """Say whether two places have the same bytes of a segment."""
    name = f"journal/{head.segment}.jsonl"
    digests = []
    for evidence in (ones, others):
        hashed = hashlib.sha256()
        try:
            for part in read_through(evidence, name, end=head.size):
                hashed.update(part)
        except (FileNotFoundError, EOFError):
            return False
        digests.append(hashed.digest())
    return digests[0] == digests[1]


def _scanned(source: Source, head: Head, after: Head | None = None) -> Part:
    """Read what would be brought of a segment, record by record."""
    start = 0 if after is None else after.size
    times: list[str] = []
    calls, records, portals = 0, 0, set[int]()
    for line in _lines(source, head, start):
        try:
            said = orjson.loads(line)
            schema, whose, event = said["schema"], said["clientSlug"], said["event"]
            portal, ts = said.get("portalId"), _time(said["ts"])
        except (ValueError, TypeError, KeyError, AttributeError):
            refuse(source.path, f"has a record in {head.segment} that is none")
        if type(schema) is not int:
            refuse(source.path, f"has a record in {head.segment} that is none")
        if schema != SCHEMA:
            raise NewerSchema(
                f"{source.path} has records of schema {schema}; this hsagency reads {SCHEMA}. "
                "Nothing was merged.",
                hint="Use the later hsagency that wrote them.",
            )
        if whose != source.slug:
            refuse(
                source.path,
                f"has a record of another client in {head.segment}: {str(whose)[:80]!r}",
            )
        records += 1
        calls += event in _BEGUN or (event == Event.FINISHED and "origin" in said)
        portals |= {portal} if isinstance(portal, int) else set()
        times = [min([ts, *times]), max([ts, *times])]
    return Part(
        head=head,
        start=start,
        records=records,
        calls=calls,
        first=times[0],
        last=times[-1],
        portals=frozenset(portals),
    )


def _time(ts: str) -> str:
    """Return the time of a record; raises `ValueError` or `TypeError` if it is none of our days."""
    if not MOMENT.match(ts) or datetime.fromisoformat(ts).year > _LAST_YEAR:
        raise ValueError(ts)
    return ts


def _lines(source: Source, head: Head, start: int) -> Iterator[bytes]:
    rest = b""
    name = f"journal/{head.segment}.jsonl"
    for part in read_through(source.evidence, name, start=start, end=head.size):
        *whole, rest = (rest + part).split(b"\n")
        yield from whole
