"""
How a connection is doing, in words for a person: its status, why, since when, and what to do.

Everything is told from what is stored; nothing is asked. A connection can need another credential
and still be called: then some of what it is for does not work, and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import polars as pl

from hsagency.halt import RESUME, Halt
from hsagency.portals import Cause, Connection, ConnectionStatus, CredentialKind, Stop
from hsagency.stopping import moment, next_step, works_again
from hsagency.words import span

STOPPED: Final[Mapping[str, pl.DataType]] = {
    "client_slug": pl.String(),
    "account_name": pl.String(),
    "portal_id": pl.Int64(),
    "cause": pl.String(),
    "reason": pl.String(),
    "since": pl.Datetime("us", "UTC"),
    "status_code": pl.Int64(),
    "correlation_id": pl.String(),
    "next_step": pl.String(),
}
"""Columns and types of the frame of what is stopped; the whole fleet's row names no client."""


class HealthStatus(StrEnum):
    """What a person is told of a connection; the fleet's halt comes before anything of its own."""

    CONNECTED = "connected"
    NEEDS_RECONNECTION = "needs_reconnection"
    DISCONNECTED = "disconnected"
    SUSPENDED = "suspended"
    HALTED = "halted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """
    The status of a connection with its evidence.

    `evidence` is a sentence; `next_step` is a command that can be typed, and empty where nothing
    is to be done. The correlation id of one that is connected is its proof's.
    """

    status: HealthStatus
    cause: Cause | None
    since: datetime | None
    evidence: str
    status_code: int | None
    correlation_id: str | None
    next_step: str


def health(connection: Connection, *, halted: str | None = None, now: datetime) -> Health:
    """Return how a connection is doing; `halted` is what the fleet is halted for, if it is."""
    own = _connected(connection, now) if _is_well(connection) else _unwell(connection)
    if halted is None:
        return own
    besides = "" if _is_well(connection) else f" Besides: {own.evidence}"
    return Health(
        status=HealthStatus.HALTED,
        cause=own.cause,
        since=own.since,
        evidence=f"Calls to every portal are halted: {halted.rstrip('.')}.{besides}",
        status_code=own.status_code,
        correlation_id=own.correlation_id,
        next_step=RESUME,
    )


def stopped(connections: Iterable[Connection], halt: Halt) -> pl.DataFrame:
    """Return one row for each portal that is stopped, by slug, after one for the fleet's halt."""
    rows: list[dict[str, object]] = []
    reason = halt.reason()
    if reason is not None:
        rows.append({
            "reason": reason,
            "since": halt.since(),
            "correlation_id": halt.correlation_id(),
            "next_step": RESUME,
        })  # fmt: skip
    for one in sorted(connections, key=lambda one: one.client_slug):
        stop = one.stopped
        if stop is not None:
            rows.append({
                "client_slug": one.client_slug,
                "account_name": one.portal.name,
                "portal_id": one.portal_id,
                "cause": stop.cause,
                "reason": stop.reason,
                "since": stop.at,
                "status_code": stop.status_code,
                "correlation_id": stop.correlation_id,
                "next_step": next_step(one),
            })  # fmt: skip
    return pl.DataFrame(rows, schema=STOPPED)


def named(cause: Cause | None, kind: CredentialKind) -> str:
    """Return what a cause means for a credential of some kind, as the beginning of a sentence."""
    words = _OAUTH if kind is CredentialKind.OAUTH else _STATIC
    return {**_CAUSES, **words}[cause or Cause.UNKNOWN]


_CAUSES: Final[Mapping[Cause, str]] = {
    Cause.SCOPES: "It does not hold all scopes that it needs",
    Cause.ACCOUNT: "The account was merged, downgraded, closed to us or deleted",
    Cause.SUSPENDED: "The account is suspended",
    Cause.DATA_CENTRE: "It was made for another data centre than keeps the portal now",
    Cause.UNKNOWN: "It is no longer let in, and HubSpot does not say why",
}
_OAUTH: Final[Mapping[Cause, str]] = {
    Cause.EXPIRED: "What was authorised has expired",
    Cause.REVOKED: "The app was uninstalled in HubSpot, or its access was revoked there",
    Cause.USER: "Who authorised it was deactivated in HubSpot, or may do less there than it takes",
}
_STATIC: Final[Mapping[Cause, str]] = {
    Cause.EXPIRED: "The token has expired",
    Cause.REVOKED: "The token was revoked, rotated or deleted in HubSpot",
    Cause.USER: "Who made the token was deactivated in HubSpot, or may do less there than it takes",
}


def _is_well(connection: Connection) -> bool:
    return connection.status is ConnectionStatus.CONNECTED and connection.stopped is None


def _connected(connection: Connection, now: datetime) -> Health:
    proof, said = connection.proof, "Not asked since it was last changed."
    if proof is not None:
        ago = span(max(0.0, (now - proof.at).total_seconds()))
        said = f"Shown to be this portal's at {moment(proof.at)}, {ago} ago."
    return Health(
        status=HealthStatus.CONNECTED,
        cause=None,
        since=None,
        evidence=said,
        status_code=None,
        correlation_id=proof.correlation_id if proof else None,
        next_step="",
    )


def _unwell(connection: Connection) -> Health:
    found = _found(connection)
    cause = connection.cause or (found.cause if found else Cause.UNKNOWN)
    status = HealthStatus(connection.status)
    if status is HealthStatus.CONNECTED:  # stopped, whatever the rest of its row says
        status = HealthStatus.DISCONNECTED
    if cause is Cause.SUSPENDED:
        status = HealthStatus.SUSPENDED
    return Health(
        status=status,
        cause=cause,
        since=found.at if found else _told(connection, cause),
        evidence=_evidence(connection, cause, found),
        status_code=found.status_code if found else None,
        correlation_id=found.correlation_id if found else None,
        next_step=next_step(connection),
    )


def _found(connection: Connection) -> Stop | None:
    """Return what was seen to be wrong, unless it was something else than what is wrong now."""
    if connection.stopped is not None:
        return connection.stopped
    trouble = connection.trouble
    return trouble if trouble is not None and trouble.cause is connection.cause else None


def _told(connection: Connection, cause: Cause) -> datetime | None:
    scopes = connection.facts.get("scopes")
    return scopes.at if scopes is not None and cause is Cause.SCOPES else None


def _evidence(connection: Connection, cause: Cause, found: Stop | None) -> str:
    """Name the cause, then what it was seen by, and what was seen since."""
    seen = connection.status_evidence
    if not seen and found is not None:
        seen = f"{found.reason.rstrip('.')} at {moment(found.at)}"
    said = f"{named(cause, connection.kind)}: {seen or 'what showed it was not kept'}."
    proof = connection.proof
    if proof is not None and works_again(connection):
        said += f" It works again, as seen at {moment(proof.at)}: calls wait for a person."
    return said
