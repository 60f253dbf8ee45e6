"""What the log says of itself: that it was read, or handed out, and of which time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Event, timestamp
from hsagency.errors import AuditError
from hsagency.portals import AGENCY


def ranged(
    event: Event, message: str, since: datetime | None, until: datetime | None
) -> dict[str, object]:
    """Return the fields of a record about the records of some time."""
    given = {"rangeFrom": since, "rangeUntil": until}
    times = {name: timestamp(at) for name, at in given.items() if at is not None}
    return {"event": event, "message": message, **times}


def note_readings(
    writer: AuditWriter,
    slugs: Iterable[str],
    how: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> None:
    """
    Record in each of some logs, with the agency's among them that of every client, a reading.

    A log that cannot be written is still read, with a word to the person: looking into
    what is broken must never need the broken part.
    """
    read = [*slugs]
    for slug in read:
        whose = "log of every client" if slug == AGENCY and len(read) > 1 else "log"
        fields = ranged(Event.AUDIT_READ, f"The {whose} was {how}.", since, until)
        try:
            writer.append(slug, fields, durable=False)
        except AuditError as error:
            if writer.is_first("a reading that is not on record"):
                writer.tell(f"This reading of the log is not on record. {error.message}")
