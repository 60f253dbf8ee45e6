"""The record of a call that was refused here: nothing of it was sent."""

from __future__ import annotations

from collections.abc import Mapping

from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Event, Outcome
from hsagency.errors import HsAgencyError
from hsagency.transport.binding import reason_of
from hsagency.transport.call import Call


def record_refusal(
    writer: AuditWriter,
    call: Call,
    error: HsAgencyError,
    *,
    instead: Mapping[str, object] | None = None,
) -> None:
    """Record that a call was refused, and why; `instead` replaces what may not be written."""
    fields = {**call.describe(), **(instead or {}), "event": Event.REFUSED}
    fields |= {"outcome": Outcome.REFUSED, "reason": reason_of(error)}
    writer.append(call.binding.client_slug, fields)
