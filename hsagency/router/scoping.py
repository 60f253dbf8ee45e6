"""What HubSpot says of a credential's scopes, once it is connected (features F48)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from hsagency.audit.record import Event
from hsagency.facts import moved
from hsagency.index import Index
from hsagency.portals import Cause, Connection, ConnectionStatus, Fact, Provenance, Stop
from hsagency.scopes import lacking

Note = Callable[[Connection, Event, str], None]


def heed_scopes(index: Index, note: Note, connection: Connection, scopes: tuple[str, ...]) -> None:
    """Store and record scopes that are not what they were; say what is missing of them."""

    def change(stored: Connection) -> Connection:
        after = with_scopes(stored, scopes, at=datetime.now(UTC))
        known = stored.facts.get("scopes")
        before = known.value if known and isinstance(known.value, tuple) else ()
        drift = moved(before, scopes)
        if known is not None and drift:
            note(after, Event.CONNECTION_CHANGED, f"Its scopes changed: {drift}.")
        return after if drift or after.cause is not stored.cause else stored

    index.edit(connection.client_slug, generation=connection.generation, change=change)


def with_scopes(stored: Connection, scopes: tuple[str, ...], *, at: datetime) -> Connection:
    """Return a connection with its scopes as told now: it needs others, or has what it needs."""
    facts = {**stored.facts, "scopes": Fact(scopes, Provenance.FETCHED, at)}
    told = replace(stored, facts=facts)
    if stored.stopped is not None:
        return told
    missing = lacking(stored.connection_type, scopes)
    if missing is not None:
        known = stored.trouble if stored.cause is Cause.SCOPES else None
        return replace(
            told,
            status=ConnectionStatus.NEEDS_RECONNECTION,
            status_evidence=missing,
            cause=Cause.SCOPES,
            trouble=known or Stop(reason=missing, at=at, cause=Cause.SCOPES),
        )
    if stored.cause is Cause.SCOPES:
        connected = ConnectionStatus.CONNECTED
        return replace(told, status=connected, status_evidence="", cause=None, trouble=None)
    return told
