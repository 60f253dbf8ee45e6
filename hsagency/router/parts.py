"""What a router works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Event
from hsagency.credentials import CredentialStore
from hsagency.halt import Halt
from hsagency.index import Index
from hsagency.pacing import Pacing
from hsagency.portals import ClientSlug, Connection, redact
from hsagency.settings import Workspace
from hsagency.stopping import Stops
from hsagency.transport import Call, Identify, Network, Pace, Station, no_hashes
from hsagency.waiting import Waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a router works with; the agency puts it together once."""

    workspace: Workspace
    index: Index
    store: Callable[[], CredentialStore]
    writer: AuditWriter
    halt: Halt
    now: Callable[[], datetime]
    network: Network
    pacing: Pacing
    identify: Identify = no_hashes

    @property
    def stops(self) -> Stops:
        """What stops a portal, or the fleet."""
        return Stops(index=self.index, writer=self.writer, halt=self.halt, now=self.now)

    def pace(self, inner: Station, waits: Waits) -> Station:
        """Return the station that lets each call leave in its portal's turn."""
        return Pace(
            inner,
            pacing=self.pacing,
            settings=self.workspace.settings,
            waits=waits,
            writer=self.writer,
        )

    def stored(self, slug: ClientSlug) -> Connection | None:
        """Return what is stored of a connection at this moment, in whatever process."""
        return self.index.read().connections.get(slug)

    def superseded(self, call: Call) -> bool:
        """Say whether another credential took the place of the one that a call was granted."""
        granted = call.connection
        now = self.stored(granted.client_slug) if granted else None
        return now is not None and granted is not None and now.generation > granted.generation

    def note(self, connection: Connection, event: Event, message: str) -> None:
        """Record what happened to a connection, in its client's own log."""
        said = redact(message)  # names of portals are HubSpot's text
        fields = {"event": event, "portalId": connection.portal_id, "message": said}
        self.writer.append(connection.client_slug, fields)
