"""One record as it was written, found by the segment and the line that a row names."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from hsagency.audit import evidence
from hsagency.audit.lake.catalog import sources
from hsagency.audit.standalone.segments import LONGEST
from hsagency.errors import AuditError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A line of the log: its place, and its bytes with the line end."""

    client_slug: str
    segment: str
    seq: int
    raw: bytes

    @property
    def record(self) -> dict[str, Any]:
        """What it says, with the names used on disk; raises `AuditError` where it is damaged."""
        try:
            said = orjson.loads(self.raw)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise AuditError(
                f"Line {self.seq} of segment {self.segment} of {self.client_slug} is damaged.",
                hint=f"See what else is: hsagency audit verify {self.client_slug}",
            )
        return said


def find(audit: Path, slug: str, segment: str, seq: int) -> Written:
    """
    Return line `seq` of a segment, from the journal or the evidence.

    Raises `UsageError` for a place that is not in the log.
    """
    one = sources(audit / slug).get(segment)
    if one is None:
        raise UsageError(
            f"The log of {slug} has no segment of that name. Nothing was read.",
            hint="Rows of calls name it, as 000-000001; see hsagency audit tail --json.",
        )
    with evidence.open_segment(one.path) as file:
        lines = iter(lambda: file.readline(LONGEST), b"")
        raw = next(islice(lines, seq - 1, None), b"") if seq > 0 else b""
    if not raw:
        raise UsageError(
            f"Segment {segment} of {slug} has no line {seq}. Nothing was read.",
            hint="Lines are counted from 1.",
        )
    return Written(client_slug=slug, segment=segment, seq=seq, raw=raw)
