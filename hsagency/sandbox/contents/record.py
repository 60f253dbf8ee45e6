"""One CRM record, with what its properties were before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from hsagency.sandbox.contents.values import Properties
from hsagency.sandbox.wire import JsonObject

# Of a property's history HubSpot keeps the newest values only; it documents 45 for contacts.
VERSIONS_MAX = 45

Version: TypeAlias = tuple[str, str | None]


@dataclass(slots=True)
class Record:
    """One record, live or archived; `past` holds all values of what has changed, oldest first."""

    record_id: int
    properties: Properties = field(repr=False)
    created_at: str
    updated_at: str
    archived_at: str | None = None
    past: dict[str, list[Version]] | None = field(default=None, repr=False)

    def shown(self, names: Iterable[str], *, as_of: str | None = None) -> JsonObject:
        """Return the record as HubSpot answers it, with these properties."""
        seen = self.seen(as_of)
        answer: JsonObject = {
            "id": str(self.record_id),
            "properties": {name: seen.get(name) for name in names},
            "createdAt": self.created_at,
            "updatedAt": self._updated(as_of),
            "archived": False,
        }
        if self.archived_at is not None and (as_of is None or self.archived_at <= as_of):
            answer |= {"archived": True, "archivedAt": self.archived_at}
        return answer

    def seen(self, as_of: str | None) -> Properties:
        """Return the properties as a reader that lags behind sees them."""
        if as_of is None or self.past is None or self.updated_at <= as_of:
            return self.properties
        return {name: self._versions(name, as_of)[-1][1] for name in self.properties}

    def history(self, name: str, *, as_of: str | None = None) -> list[JsonObject]:
        """Return the values a property has had, newest first, as HubSpot lists them."""
        versions = self._versions(name, as_of)
        if versions[0][1] is None:
            versions = versions[1:]  # it had no value yet
        return [
            {"value": value or "", "timestamp": since, "sourceType": "INTEGRATION"}
            for since, value in reversed(versions)
        ]

    def change(self, changes: Properties, *, at: str) -> None:
        """Take over new values, and keep the old ones as history."""
        if self.past is None:
            self.past = {}
        for name, value in changes.items():
            old = self.properties.get(name)
            if old != value:
                versions = self.past.setdefault(name, [(self.created_at, old)])
                versions.append((at, value))
                del versions[:-VERSIONS_MAX]
        self.properties = {**self.properties, **changes}
        self.updated_at = at

    def _versions(self, name: str, as_of: str | None) -> list[Version]:
        """Return the values up to a time, the oldest one even if it is younger."""
        known = (self.past or {}).get(name) or [(self.created_at, self.properties.get(name))]
        if as_of is None:
            return known
        return [one for one in known if one[0] <= as_of] or known[:1]

    def _updated(self, as_of: str | None) -> str:
        if as_of is None or self.past is None or self.updated_at <= as_of:
            return self.updated_at
        stamps = (since for versions in self.past.values() for since, _ in versions)
        return max((since for since in stamps if since <= as_of), default=self.created_at)
