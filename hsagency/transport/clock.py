"""The clock of this machine beside HubSpot's, as the `Date` of its answers tells it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Event, timestamp

MOST_APART: Final = timedelta(seconds=120)
"""By how much the two clocks may differ: seconds count for little, and a slow answer takes some."""
_EVERY: Final = (
    60.0  # seconds between two looks: reading a date is not free, and clocks drift slowly
)


class ClockCheck:
    """Records, and tells, once for a portal in one process, that the two clocks disagree."""

    def __init__(self, writer: AuditWriter, *, slug: str, portal_id: int | None) -> None:
        self._writer, self._slug, self._portal_id = writer, slug, portal_id
        self._next_look = 0.0

    def look(self, headers: Mapping[str, str]) -> None:
        """Compare the clocks by the headers of an answer that has just arrived."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _EVERY
        theirs, ours = _date(headers.get("date", "")), self._writer.now()
        if theirs is None or abs(theirs - ours) <= MOST_APART:
            return
        if not self._writer.is_first(("clock", self._slug, self._portal_id)):
            return
        apart = round((ours - theirs).total_seconds())
        way = "ahead of" if apart > 0 else "behind"
        message = (
            f"This machine's clock is {abs(apart)} seconds {way} HubSpot's, and the times in the "
            "audit log with it. Have this machine set its clock by a time server."
        )
        fields = {"event": Event.AUDIT_CLOCK, "message": message, "portalId": self._portal_id}
        said = {**fields, "serverTs": timestamp(theirs)}
        self._writer.append(self._slug, said, durable=False)
        with contextlib.suppress(Exception):  # whoever cannot be told does not stop work
            self._writer.tell(message)


def difference(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """Return by how much this machine's clock is ahead; nothing where the answer tells no time."""
    theirs = _date(headers.get("date", ""))
    return None if theirs is None else now - theirs


def _date(header: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
