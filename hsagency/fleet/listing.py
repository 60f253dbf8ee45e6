"""
What is connected, one row a portal, and how many slots of the fleet that takes.

From stored facts and the files of this machine alone: nothing is asked of HubSpot, and no
secret is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from hsagency.index import Snapshot
from hsagency.portals import Connection
from hsagency.settings import Settings

PORTALS: Final[Mapping[str, pl.DataType]] = {
    "client_slug": pl.String(),
    "account_name": pl.String(),
    "portal_id": pl.Int64(),
    "connection_type": pl.String(),
    "status": pl.String(),
    "status_evidence": pl.String(),
    "tier": pl.String(),
    "daily_limit": pl.Int64(),
    "kind": pl.String(),
    "generation": pl.Int64(),
    "hublet": pl.String(),
    "added_at": pl.Datetime("us", "UTC"),
    "last_rotated_at": pl.Datetime("us", "UTC"),
    "verified_at": pl.Datetime("us", "UTC"),
    "api": pl.String(),
}
"""Columns and types of the frame of portals."""


@dataclass(frozen=True, slots=True)
class Slots:
    """How many portals are connected, and how many may be; `size` is nothing without a limit."""

    used: int
    size: int | None

    @property
    def free(self) -> int | None:
        """How many more may be connected: never less than none, nothing without a limit."""
        return None if self.size is None else max(0, self.size - self.used)


def slots(settings: Settings, snapshot: Snapshot) -> Slots:
    """
    Return how many slots of the fleet are taken.

    A portal has its slot while it is connected. A removal gives it back as soon as its tombstone
    is written: no client is handed out from then on, even where the removal has yet to be
    finished.
    """
    return Slots(used=len(snapshot.connections), size=settings.fleet.slots)


def portals(connections: Iterable[Connection]) -> pl.DataFrame:
    """Return one row a connection, sorted by slug (columns: `PORTALS`)."""
    rows = [_row(one) for one in sorted(connections, key=lambda one: one.client_slug)]
    return pl.DataFrame(rows, schema=PORTALS)


def _row(connection: Connection) -> dict[str, object]:
    facts = {name: fact.value for name, fact in connection.facts.items()}
    return {
        "client_slug": connection.client_slug,
        "account_name": facts.get("name"),
        "portal_id": connection.portal_id,
        "connection_type": connection.connection_type.value,
        "status": connection.status.value,
        "status_evidence": connection.status_evidence or None,
        "tier": facts.get("tier"),
        "daily_limit": facts.get("daily_limit"),
        "kind": connection.kind.value,
        "generation": connection.generation,
        "hublet": connection.hublet,
        "added_at": connection.added_at,
        "last_rotated_at": connection.last_rotated_at,
        "verified_at": connection.proof.at if connection.proof else None,
        "api": connection.api_base or None,
    }
