"""A pacing with a clock that stands until it is moved, for tests and their children."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Author
from hsagency.pacing import Pacer, Pacing
from hsagency.portals import (
    ClientSlug,
    Connection,
    ConnectionType,
    CredentialKind,
    Fact,
    PortalId,
    Provenance,
)
from hsagency.routes import touched
from hsagency.settings import Priority, Settings

AUTHOR = Author(actor="tests/0", user="tester", host="here", run_id="r1")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
CALL = touched("GET", "/crm/v3/objects/contacts/1")
ASK = touched("GET", "/account-info/v3/details")
SEARCH = touched("POST", "/crm/v3/objects/contacts/search")
LINKS = touched("GET", "/crm/v4/objects/contacts/1/associations/deals")
NORMAL, CRITICAL, LOW = Priority.NORMAL, Priority.CRITICAL, Priority.LOW
HELD = 10.2  # seconds for which a window of ten is held


def connection(**facts: Any) -> Connection:
    """Return what the index would hold of a portal."""
    slug = ClientSlug(facts.pop("slug", "acme-corp"))
    kind = facts.pop("kind", CredentialKind.SERVICE_KEY)
    return Connection(
        client_slug=slug,
        portal_id=PortalId(facts.pop("portal_id", 12345678)),
        connection_type=ConnectionType.CONFIG_AND_AUDIT,
        kind=kind,
        generation=1,
        fingerprint="f",
        added_at=facts.pop("added_at", NOON),
        last_rotated_at=NOON,
        api_base=facts.pop("api_base", ""),
        facts={name: Fact(value, Provenance.FETCHED, NOON) for name, value in facts.items()},
    )


def answer(**told: object) -> httpx.Response:
    """Return an answer with rate limit headers: daily, left, most, room."""
    names = {
        "daily": "X-HubSpot-RateLimit-Daily",
        "left": "X-HubSpot-RateLimit-Daily-Remaining",
        "most": "X-HubSpot-RateLimit-Max",
        "room": "X-HubSpot-RateLimit-Remaining",
        "millis": "X-HubSpot-RateLimit-Interval-Milliseconds",
    }
    return httpx.Response(200, headers={names[name]: str(value) for name, value in told.items()})


@dataclass
class Desk:
    """A pacing of its own, with a clock that stands until it is moved."""

    folder: Path
    writer: AuditWriter
    said: list[str]
    clock: list[datetime] = field(default_factory=lambda: [NOON])
    settings: Settings = field(
        default_factory=lambda: Settings(schema=1, workspace="w", store="age:x")
    )

    def __post_init__(self) -> None:
        self.pacing = Pacing(
            self.folder / "pacing", settings=self.settings, writer=self.writer, now=self.now
        )

    def now(self) -> int:
        return (
            (self.clock[0] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
        )

    def pass_(self, seconds: float) -> None:
        self.clock[0] += timedelta(seconds=seconds)

    def of(self, **facts: Any) -> Pacer:
        """Return the limits of a portal that was connected just now, where nothing else is said."""
        return self.pacing.of(connection(**{"added_at": self.clock[0], **facts}))

    def other(self, **settings: Any) -> Desk:
        """Return another process's view: nothing shared but the folder."""
        made = self.settings.model_copy(update=settings)
        return replace(self, settings=made)

    def burst(self, pacer: Pacer, priority: Priority = NORMAL, **more: Any) -> int:
        """Return how many calls may leave at this moment."""
        count = 0
        while pacer.reserve(more.get("touched", CALL), priority).wait == 0:
            count += 1
        return count
