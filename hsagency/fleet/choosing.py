"""
Which portals a fleet job is about, and which of them it leaves alone, with the reason.

All of it is decided from what is stored: nothing is asked, and nothing is sent.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from hsagency.errors import UnknownClient
from hsagency.fleet.rows import Outcome, Row
from hsagency.portals import (
    ClientSlug,
    Connection,
    ConnectionStatus,
    ConnectionType,
    redact,
)

Clients: TypeAlias = str | Iterable[str] | Callable[[Connection], bool] | None
"""A slug or slugs, or a question about each connection; nothing means all."""


def chosen(connections: Mapping[ClientSlug, Connection], clients: Clients) -> list[Connection]:
    """Return the connections that are meant, sorted by slug; raises `UnknownClient`."""
    everyone = [one for _, one in sorted(connections.items())]
    if clients is None:
        return everyone
    if callable(clients):
        return [one for one in everyone if clients(one)]
    named = {clients} if isinstance(clients, str) else set(clients)
    unknown = sorted(str(one) for one in named if one not in connections)
    if unknown:
        raise _unknown(unknown, connections)
    return [one for one in everyone if one.client_slug in named]


def _unknown(slugs: list[str], connections: Iterable[str]) -> UnknownClient:
    known = list(connections)
    # Near matches only: the list of all clients is not for a client's notebook.
    near = dict.fromkeys(
        match for one in slugs for match in difflib.get_close_matches(one, known, n=3)
    )
    shown = ", ".join(redact(repr(one if len(one) <= 63 else one[:60] + "...")) for one in slugs)
    what = "is no client" if len(slugs) == 1 else "are no clients"
    return UnknownClient(
        f"There {what} {shown}. Nothing was sent.",
        hint=(f"Did you mean {' or '.join(near)}? " if near else "")
        + "All clients: hsagency portals, or agency.slugs().",
    )


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
    slug, stop, found = connection.client_slug, connection.stopped, []
    if stop is not None:
        said = f"Stopped since {stop.at:%Y-%m-%d %H:%M} UTC: {_sentence(stop.reason)}"
        hint = f"Find out why: hsagency verify {slug}. Then: hsagency resume {slug} --reason TEXT."
        found.append(("stopped", said, hint))
    status = connection.status
    if status is not ConnectionStatus.CONNECTED:
        evidence = f" ({connection.status_evidence})" if connection.status_evidence else ""
        found.append((_STATUS[status], f"The portal is {_SAID[status]}{evidence}.", _anew(slug)))
    if audit and connection.connection_type is ConnectionType.CONFIG_ONLY:
        found.append(("connection type", _TYPE, _WIDEN))
    return found


_STATUS: Final = {
    ConnectionStatus.NEEDS_RECONNECTION: "needs reconnection",
    ConnectionStatus.DISCONNECTED: "disconnected",
}
_SAID: Final = {
    ConnectionStatus.NEEDS_RECONNECTION: "to be connected anew",
    ConnectionStatus.DISCONNECTED: "disconnected",
}
_TYPE: Final = "A config_only connection takes no part in audits: it may not read records."
_WIDEN: Final = "Leave it out, or onboard the client with another --type in a new workspace."


def _anew(slug: str) -> str:
    return f"See whether it works again: hsagency verify {slug}. Else onboard it with --replace."


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
