"""What a person is told of a portal that runs out of calls."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import NamedTuple

from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Event, timestamp
from hsagency.errors import AuditError, QuotaSpent
from hsagency.pacing.budgets import DAY_SHARE
from hsagency.pacing.terms import Terms
from hsagency.settings import Priority


class Low(NamedTuple):
    """A portal that has just fallen below its warning threshold."""

    left: int
    threshold: int
    limit: int
    resets_at: datetime


def warn(writer: AuditWriter, terms: Terms, low: Low) -> bool:
    """Make a record in the client's log and tell a person; say whether it is on record."""
    connection = terms.connection
    message = (
        f"{connection.portal}: {low.left:,} of {low.limit:,} calls are left today, fewer than the "
        f"threshold of {low.threshold:,}; the count begins anew at {terms.zone.shown(low.resets_at)}."
    )
    fields = {
        "event": Event.QUOTA_WARNING,
        "message": message,
        "portalId": connection.portal_id,
        "dailyRemaining": low.left,
        "threshold": low.threshold,
        "resetsAt": timestamp(low.resets_at),
    }
    recorded = True
    try:
        writer.append(connection.client_slug, fields, durable=False)
    except AuditError:
        recorded = False  # the answer is there all the same, and so is who wants it
    with contextlib.suppress(Exception):  # whoever cannot be told does not stop work
        writer.tell(message)
    return recorded


def closed(terms: Terms, until: datetime, reason: str) -> QuotaSpent:
    """Return the refusal of a call to a portal that is closed."""
    connection = terms.connection
    return QuotaSpent(
        f"Refused for {connection.client_slug}: calls to portal {connection.portal_id} wait until "
        f"{terms.zone.shown(until)}, because {reason or 'HubSpot said so'}. Nothing was sent.",
        until=until,
        hint="Call again then; hsagency quota shows every portal.",
    )


def spent(
    terms: Terms,
    *,
    limit: int,
    left: int,
    reserve: int,
    priority: Priority,
    purpose: str,
    until: datetime,
) -> QuotaSpent:
    """Return the refusal of a call that the day has no room for."""
    connection = terms.connection
    whose = f"calls of {priority} priority" + (f" (purpose {purpose!r})" if purpose else "")
    if left <= reserve:
        stop = f"the last {reserve:,} are reserved for the client's own apps"
    else:
        stop = f"{whose} stop when {DAY_SHARE[priority]} % are used"
    return QuotaSpent(
        f"Refused for {connection.client_slug}: {left:,} of the {limit:,} calls a day of portal "
        f"{connection.portal_id} are left, and {stop}. This was one {whose.removeprefix('calls ')}; "
        f"the count begins anew at {terms.zone.shown(until)}. Nothing was sent.",
        until=until,
        hint=_instead(connection.client_slug, priority, purpose, of_reserve=left <= reserve),
    )


def _instead(slug: str, priority: Priority, purpose: str, *, of_reserve: bool) -> str:
    if of_reserve:
        return (
            "Wait until then; or set a smaller reserve in hsagency.toml: "
            f'[quota.clients.{slug}] reserve = "0.5%"'
        )
    if priority is Priority.CRITICAL:
        return "Wait until then: no priority goes further."
    return (
        "Wait until then; or, if it cannot wait, give the purpose a higher priority under "
        f'[purposes] in hsagency.toml: "{purpose or "interactive"}" = "critical"'
    )
