"""
Which portals a fleet job is about, and which of them it leaves alone, with the reason.

All of it is decided from what is stored: nothing is asked, and nothing is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from hsagency.fleet.rows import Outcome, Row
from hsagency.index import Snapshot
from hsagency.portals import Connection, ConnectionType, unknown_client
from hsagency.stopping import advice, since

Clients: TypeAlias = str | Iterable[str] | Callable[[Connection], bool] | None
"""A slug or slugs, or a question about each connection; nothing means all."""


def chosen(known: Snapshot, clients: Clients) -> list[Connection]:
    """Return the connections that are meant, sorted by slug; raises `UnknownClient`."""
    everyone = [one for _, one in sorted(known.connections.items())]
    if clients is None:
        return everyone
    if callable(clients):
        return [one for one in everyone if clients(one)]
    named = {clients} if isinstance(clients, str) else set(clients)
    unknown = sorted(str(one) for one in named if one not in known.connections)
    if unknown:
        raise unknown_client(unknown, known.connections, removed=known.tombstones)
    return [one for one in everyone if one.client_slug in named]


def excluded(connection: Connection, *, audit: bool) -> Row | None:
    """Return the row of a portal that a job leaves alone; nothing if it may be called."""
    reasons = _reasons(connection, audit=audit)
    if not reasons:
        return None
    stop = connection.stopped
    words, sentences, hints = zip(*reasons, strict=True)
    return Row(
        connection=connection,
        outcome=Outcome.EXCLUDED,
        message=f"{' '.join(sentences)} Nothing was sent.",
        hint=hints[0],
        reasons=words,
        status_code=stop.status_code if stop else None,
        correlation_id=stop.correlation_id if stop else None,
    )


def _reasons(connection: Connection, *, audit: bool) -> list[tuple[str, str, str]]:
    """Return each reason as a word, a sentence and what to do about it."""
    stop, found = connection.stopped, []
    if stop is not None:  # and nothing else: whether a resumed one works, the job finds out
        said = since(stop)
        found.append(("stopped", f"{said[:1].upper()}{said[1:]}", advice(connection)))
    if audit and connection.connection_type is ConnectionType.CONFIG_ONLY:
        found.append(("connection type", _TYPE, _WIDEN.format(connection.client_slug)))
    return found


_TYPE: Final = "A config_only connection takes no part in audits: it may not read records."
_WIDEN: Final = "Leave it out, or: hsagency set-type {} config_and_audit"
