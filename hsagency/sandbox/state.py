"""What one simulated portal remembers, and one call on its way through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from threading import RLock
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from hsagency.sandbox.contents.definitions import ObjectType, ObjectTypes
from hsagency.sandbox.contents.locations import own_types
from hsagency.sandbox.contents.records import RecordStore, Seeds
from hsagency.sandbox.faults.armed import Strike
from hsagency.sandbox.limits import Meter
from hsagency.sandbox.portals import Credential, Portal
from hsagency.sandbox.wire import (
    Drop,
    JsonObject,
    Reply,
    Request,
    decode,
    invalid,
    is_number,
    stamp,
)

Seeding = Callable[[ObjectType, Portal], Seeds]
Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """
    One request as the portal received it.

    `status` is what the portal decided, also when the caller never learned it (`dropped`
    "after", or `sent` is another); it is None when the connection was dropped before anything
    happened. `sent` is the status that went out, and `fault` the kind of what struck the call.
    `route` is the template without its version, `app_id` and `kind` are the credential's, and
    `size` is the length of the body in bytes; what nobody recognised is None.
    """

    at: datetime
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    status: int | None
    dropped: Drop | None
    correlation_id: str
    sent: int | None = None
    fault: str | None = None
    route: str | None = None
    app_id: int | None = None
    kind: str | None = None
    size: int = 0


class Ledger:
    """Everything that one portal, or no known portal, received; with the ids of the answers."""

    def __init__(self, seed: str) -> None:
        self.lock = RLock()
        self.entries: list[LedgerEntry] = []
        self.rng = Random(seed)  # noqa: S311 - repeatable is the point

    def new_id(self) -> str:
        """Return the next correlation id."""
        return str(UUID(int=self.rng.getrandbits(128), version=4))

    def enter(
        self,
        request: Request,
        reply: Reply,
        *,
        at: datetime,
        id_: str,
        decided: int | None = None,
        fault: str | None = None,
        route: str | None = None,
        credential: Credential | None = None,
    ) -> LedgerEntry:
        """Note a request and what became of it; `decided` where another status was sent."""
        entry = LedgerEntry(
            at=at,
            method=request.method,
            path=request.path,
            query=request.query,
            status=None if reply.drop == "before" else decided or reply.status,
            dropped=reply.drop,
            correlation_id=id_,
            sent=None if reply.drop else reply.status,
            fault=fault,
            route=route,
            app_id=credential.app_id if credential else None,
            kind=credential.kind if credential else None,
            size=len(request.body),
        )
        self.entries.append(entry)
        return entry


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

    @property
    def kind(self) -> ObjectType:
        """The object type that the path names."""
        return self.state.types.find(self.values["type"])

    @property
    def at(self) -> str:
        """The time of the call as HubSpot writes it."""
        return stamp(self.now)

    @property
    def as_of(self) -> str | None:
        """The time a read lags behind to; None: it sees all that was written."""
        lag = self.strike.lag
        return stamp(self.now - timedelta(seconds=lag)) if lag else None

    @property
    def content(self) -> JsonObject:
        """The body, which must be a JSON object."""
        return decode(self.request.body)

    @property
    def archived(self) -> bool:
        """Whether the recycling bin was asked for."""
        return self.flag("archived")

    def flag(self, name: str) -> bool:
        """Whether a parameter of the query says yes; HubSpot's Python client writes `True`."""
        return (self.request.param(name) or "").lower() == "true"

    def number(self, name: str, *, default: int, least: int = 0, most: int | None = None) -> int:
        """Return a whole number from the query, or refuse what is none or out of range."""
        text = self.request.param(name)
        if text is None:
            return default
        if not is_number(text):
            raise invalid(f"{name} must be a whole number")
        number = int(text)
        if number < least or (most is not None and number > most):
            raise invalid(f"{name} must be between {least} and {most}, not {number}")
        return number
