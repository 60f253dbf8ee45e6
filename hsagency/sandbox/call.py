"""One call on its way through a portal, with all that answering it needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hsagency.sandbox.contents.definitions import ObjectType
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.faults.armed import Strike
from hsagency.sandbox.portals import Credential
from hsagency.sandbox.wire import JsonObject, Request, decode, invalid, is_number, stamp


@dataclass(frozen=True, slots=True)
class Call:
    """A request that reached its portal, with all that answering it needs."""

    request: Request
    state: PortalState
    credential: Credential
    now: datetime
    version: str
    values: dict[str, str] = field(default_factory=dict, repr=False)
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
