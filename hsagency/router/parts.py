"""What a router works with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Event
from hsagency.auth import Apps, Issued, Refresher, TokenDesk, key_of
from hsagency.auth.refreshing import FOLDER
from hsagency.credentials import CredentialStore, SecretName
from hsagency.errors import ClientClosed, CredentialChanged, CredentialMissing
from hsagency.halt import Halt
from hsagency.index import Index
from hsagency.pacing import Pacing
from hsagency.portals import ClientSlug, Connection, binding_of, redact
from hsagency.router.authorising import heed_user
from hsagency.router.scoping import heed_scopes
from hsagency.secret import Secret
from hsagency.settings import Workspace
from hsagency.stopping import Stops
from hsagency.transport import Call, Identify, Network, Pace, Station, no_hashes
from hsagency.waiting import Waits


@dataclass(frozen=True, kw_only=True)
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

    @cached_property
    def stops(self) -> Stops:
        """What stops a portal, or the fleet."""
        return Stops(index=self.index, writer=self.writer, halt=self.halt, now=self.now)

    @cached_property
    def apps(self) -> Apps:
        """Our own OAuth apps."""
        return Apps(store=self.store, workspace=self.workspace.settings.workspace)

    @cached_property
    def refresher(self) -> Refresher:
        """What keeps the access tokens of OAuth fresh."""
        return Refresher(
            self.workspace.state / FOLDER,
            store=self.store,
            name=self.secret_name,
            desk=self.desk,
            stops=self.stops,
            keeping=_Keeping(self),
            now=self.now,
        )

    def close(self) -> None:
        """Let renewals that are under way keep what they bring."""
        if "refresher" in self.__dict__:
            self.refresher.close()

    def desk(self, connection: Connection) -> TokenDesk:
        """Return HubSpot's token endpoints, asked about one connection; raises `NoOAuthApp`."""
        return TokenDesk(
            self.apps.read(connection.api_base),
            writer=self.writer,
            halt=self.halt,
            network=self.network,
            connection=connection,
        )

    def secret_name(self, connection: Connection) -> SecretName:
        """Return what the secret of a connection's generation is called."""
        return SecretName(
            workspace=self.workspace.settings.workspace,
            slug=connection.client_slug,
            generation=connection.generation,
        )

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


class _Keeping:
    """What the refresher asks about the connections that it works for."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def check(self, connection: Connection, kept: Secret) -> None:
        refuse_another(connection, kept)

    def still(self, connection: Connection) -> Connection:
        now = refuse_unless_same(connection, self._parts.stored(connection.client_slug))
        if now.generation != connection.generation:
            raise CredentialMissing(
                f"Another authorisation took the place of this one of {now.client_slug}. Nothing "
                "was sent with it.",
                hint="Make the call again: it goes by the new one.",
            )
        return now

    def told(self, connection: Connection, issued: Issued) -> None:
        parts = self._parts
        if issued.scopes is not None:
            heed_scopes(parts.index, parts.note, connection, issued.scopes)
        if issued.user_id is not None:
            heed_user(parts.index, parts.note, connection, issued.user_id, at=parts.now())

    def warn(self, connection: Connection, message: str) -> None:
        writer = self._parts.writer
        if writer.is_first(("renewal", connection.client_slug, connection.generation)):
            with suppress(Exception):  # whoever cannot be told does not stop work
                writer.tell(message)


def refuse_unless_same(handed: Connection, now: Connection | None) -> Connection:
    """Return what is stored now, if it is the same portal at the same address."""
    if now is None or (now.portal_id, now.api_base) != (handed.portal_id, handed.api_base):
        raise ClientClosed(
            f"The connection of {handed.client_slug} was changed or removed after this "
            "client was handed out. Nothing was sent."
        )
    return now


def refuse_another(connection: Connection, kept: Secret) -> None:
    """Raise unless this is the secret that was onboarded, for this portal and this address."""
    slug, key = connection.client_slug, key_of(kept)
    if key.fingerprint != connection.fingerprint:
        raise CredentialChanged(
            f"The stored secret of {slug} is not the one that was proven. It was not used.",
            hint=f"Somebody changed the store: hsagency reconnect {slug}",
        )
    if connection.binding != binding_of(connection, key):
        raise CredentialChanged(
            f"The index was edited: the secret of {slug} was onboarded for another portal or "
            "another address than it names now. Nothing was sent.",
            hint="Put portalId and apiBase back as they were, or restore a backup of the index.",
        )
