"""What one simulated portal remembers: its records, its meters, its ledger and all other parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from hsagency.sandbox.contents.definitions import ObjectType, ObjectTypes
from hsagency.sandbox.contents.locations import own_types
from hsagency.sandbox.contents.records import RecordStore, Seeds
from hsagency.sandbox.ledger import Ledger
from hsagency.sandbox.limits import Meter
from hsagency.sandbox.portals import Credential, Portal

Seeding = Callable[[ObjectType, Portal], Seeds]
Part = TypeVar("Part")


class PortalState(Ledger):
    """
    A portal with its records, meters and ledger; whoever uses it holds its lock.

    What only one family of endpoints knows about (lists, forms, owners) is a part of its own,
    a class that is made with the state when it is first asked for.
    """

    def __init__(self, portal: Portal, *, seed: int, seeding: Seeding, limits: bool = True) -> None:
        super().__init__(f"{seed}/{portal.portal_id}/ids")
        self.seed, self.portal = seed, portal
        self.meter = Meter(portal, enforced=limits)
        self.types = ObjectTypes(portal.portal_id, own=own_types(portal))
        # Access tokens of OAuth apps; what people made in HubSpot's screens is in the portal.
        self.access_tokens: dict[str, Credential] = {}
        self._seeding = seeding
        self._stores: dict[str, RecordStore] = {}
        self._parts: dict[Callable[[PortalState], Any], Any] = {}

    @property
    def zone(self) -> ZoneInfo:
        """Where the portal's day begins."""
        return ZoneInfo(self.portal.time_zone)

    def credential(self, token: str) -> Credential:
        """Return the credential with this token as it is now."""
        found = self.access_tokens.get(token)
        return found or next(
            held for held in reversed(self.portal.credentials) if held.token == token
        )

    def store(self, kind: ObjectType) -> RecordStore:
        """Return the records of one type."""
        found = self._stores.get(kind.name)
        if found is None:
            found = RecordStore(kind, self._seeding(kind, self.portal))
            self._stores[kind.name] = found
        return found

    def drop_store(self, kind: ObjectType) -> None:
        """Forget the records of a type that is no more."""
        self._stores.pop(kind.name, None)

    def part(self, kind: Callable[[PortalState], Part]) -> Part:
        """Return this portal's one part of a kind."""
        if kind not in self._parts:
            self._parts[kind] = kind(self)
        found: Part = self._parts[kind]
        return found
