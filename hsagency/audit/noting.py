"""What the log says of itself: that it was read, or handed out, and of which time."""

from __future__ import annotations

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


def note_reading(
    writer: AuditWriter,
    slug: str | None,
    message: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> None:
    """
    Record that a log was read: a client's in its own chain, all of them in the agency's.

    A log that cannot be written is still read, with a word to the person: looking into
    what is broken must never need the broken part.
    """
    fields = ranged(Event.AUDIT_READ, message, since, until)
    try:
        writer.append(slug or AGENCY, fields, durable=False)
    except AuditError as error:
        if writer.is_first("a reading that is not on record"):
            writer.tell(f"This reading of the log is not on record. {error.message}")
