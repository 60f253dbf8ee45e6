"""What one simulated portal remembers, and one call on its way through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random
from threading import RLock
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from hsagency.sandbox.faults import Strike
from hsagency.sandbox.limits import Meter
from hsagency.sandbox.portals import Credential, Portal
from hsagency.sandbox.records import ObjectType, RecordStore, object_type
from hsagency.sandbox.wire import Drop, Reply, Request

Seeding = Callable[[ObjectType, Portal], RecordStore]


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """
    One request as the portal received it.

    `status` is what the portal decided, also when the caller never learned it (`dropped`
    "after"); it is None when the connection was dropped before anything happened.
    """

    at: datetime
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    status: int | None
    dropped: Drop | None
    correlation_id: str


class Ledger:
    """Everything that one portal, or no known portal, received; with the ids of the answers."""

    def __init__(self, seed: str) -> None:
        self.lock = RLock()
        self.entries: list[LedgerEntry] = []
        self.rng = Random(seed)  # noqa: S311 - repeatable is the point

    def new_id(self) -> str:
        """Return the next correlation id."""
        return str(UUID(int=self.rng.getrandbits(128), version=4))

    def enter(self, request: Request, reply: Reply, *, at: datetime, id_: str) -> None:
        """Note a request and what became of it."""
        self.entries.append(
            LedgerEntry(
                at=at,
                method=request.method,
                path=request.path,
                query=request.query,
                status=None if reply.drop == "before" else reply.status,
                dropped=reply.drop,
                correlation_id=id_,
            )
        )


class PortalState(Ledger):
    """A portal with its records, meters and ledger; whoever uses it holds its lock."""

    def __init__(self, portal: Portal, *, seed: int, seeding: Seeding) -> None:
        super().__init__(f"{seed}/{portal.portal_id}/ids")
        self.portal = portal
        self.zone = ZoneInfo(portal.time_zone)
        self.meter = Meter(portal.portal_id, tier=portal.tier, zone=self.zone)
        self._seeding = seeding
        self._stores: dict[str, RecordStore] = {}

    def credential(self, token: str) -> Credential:
        """Return the credential with this token as it is now."""
        return next(held for held in self.portal.credentials if held.token == token)

    def change(self, **changes: Any) -> None:
        """Change the newest credential."""
        *others, newest = self.portal.credentials
        credentials = (*others, replace(newest, **changes))
        self.portal = replace(self.portal, credentials=credentials)

    def store(self, kind: ObjectType) -> RecordStore:
        """Return the records of one type; they are made at the first use."""
        found = self._stores.get(kind.name)
        if found is None:
            found = self._stores[kind.name] = self._seeding(kind, self.portal)
        return found


@dataclass(frozen=True, slots=True)
class Call:
    """A request that reached its portal, with all that answering it needs."""

    request: Request
    state: PortalState
    credential: Credential
    now: datetime
    version: str
    values: dict[str, str] = field(default_factory=dict)
    strike: Strike = field(default_factory=Strike)
    other_portal: int = 0

    @property
    def kind(self) -> ObjectType:
        """The object type that the path names."""
        return object_type(self.values["type"])
