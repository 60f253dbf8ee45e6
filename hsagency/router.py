"""
From a client slug to a verified portal client, and nowhere else.

A slug selects exactly one connection; there is no default client, no ambient credential and
no fallback. No client is handed out until its credential was shown to belong to the portal
it is stored for; the proof is kept with its age, so that inside the age nothing is asked
again. A secret is read when the first call needs it, and checked against the fingerprint
that was proven, so a hundred portals open without reading a hundred secrets.
"""

from __future__ import annotations

import difflib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Event
from hsagency.client import Channel, PortalClient, host_url
from hsagency.credentials import CredentialStore, SecretName
from hsagency.errors import (
    ClientClosed,
    CredentialChanged,
    CredentialRejected,
    PortalForbidden,
    PortalMismatch,
    UnknownClient,
    UsageError,
    VerificationError,
    WorkspaceError,
)
from hsagency.halt import Halt
from hsagency.index import Index
from hsagency.portals import (
    AGENCY,
    ClientSlug,
    Connection,
    ConnectionStatus,
    ConnectionType,
    PortalId,
    Proof,
    binding_of,
    redact,
)
from hsagency.routes import OperationClass
from hsagency.secret import Secret
from hsagency.settings import Workspace
from hsagency.transport import Binding, Identify, is_label, no_hashes
from hsagency.verifier import Identity, answerer, differences, facts_of, verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a router works with; the agency puts it together once."""

    workspace: Workspace
    index: Index
    store: Callable[[], CredentialStore]
    writer: AuditWriter
    halt: Halt
    now: Callable[[], datetime]
    identify: Identify = no_hashes


@dataclass(frozen=True, slots=True)
class _Opened:
    """The channel of one credential of one connection; its lock lets one thread prove it."""

    channel: Channel
    lock: threading.Lock = field(default_factory=threading.Lock)


class Router:
    """Hands out portal clients by slug, one per slug, credential generation and purpose."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._opened: dict[_Bound, _Opened] = {}
        self._clients: dict[tuple[_Bound, str], PortalClient] = {}
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closed = False

    def slugs(self) -> list[ClientSlug]:
        """Return the slugs of all connections, sorted."""
        return sorted(self._parts.index.read().connections)

    def connection(self, slug: str) -> Connection:
        """Return what is stored of one connection; raises `UnknownClient` with near matches."""
        connections = self._parts.index.read().connections
        connection = connections.get(ClientSlug(slug))
        if connection is not None:
            return connection
        # Near matches only: the list of all clients is not for a client's notebook.
        near = difflib.get_close_matches(slug, connections, n=3)
        shown = redact(slug if len(slug) <= 63 else slug[:60] + "...")
        raise UnknownClient(
            f"There is no client {shown!r}. Nothing was sent.",
            hint=(f"Did you mean {' or '.join(near)}? " if near else "")
            + "All clients: hsagency portals, or agency.slugs().",
        )

    def client(self, slug: str, *, purpose: str = "interactive") -> PortalClient:
        """
        Return the portal client for a slug, proven to reach that client's portal.

        `purpose` says why its calls are made, in up to 64 plain characters. Raises
        `UnknownClient`, `Halted`, or what `verify` and the credential store raise.
        """
        if self._closed or os.getpid() != self._pid:
            raise ClientClosed("This agency is closed or belongs to another process.")
        if not is_label(purpose):
            raise UsageError("A purpose is up to 64 letters, digits, spaces or . : / + -.")
        self._parts.halt.check()
        connection = self.connection(slug)
        opened, bound = self._open(connection), _bound(connection)
        self._prove(connection, opened, OperationClass.READ)
        with self._lock:
            known = self._clients.get((bound, purpose))
            if known is None or known.is_closed:
                known = opened.channel.client(
                    binding=_binding(connection, purpose, self._parts.identify),
                    portal=connection.portal,
                    prove=lambda does: self._admit(connection, opened, does),
                )
                self._clients[bound, purpose] = known
            return known

    def prove(self, slug: str) -> Identity:
        """Ask HubSpot now whose credential this is, and record it; raises as `verify` does."""
        self._parts.halt.check()
        connection = self.connection(slug)
        opened = self._open(connection)
        with opened.lock:
            return self._ask(connection, opened, asked_for=True)

    def close(self) -> None:
        """Close every client and every channel."""
        with self._lock:
            self._closed = True
            clients, self._clients = self._clients, {}
            opened, self._opened = self._opened, {}
        for client in clients.values():
            client.close()
        for one in opened.values():
            one.channel.close()

    def _open(self, connection: Connection) -> _Opened:
        # Facts, name and type may change; the channel stays the same.
        key = replace(_bound(connection), connection_type=None)
        with self._lock:
            opened = self._opened.get(key)
            if opened is None:
                channel = Channel(
                    host=host_url(connection.api_base),
                    credential=self._credential(connection),
                    writer=self._parts.writer,
                    halt=self._parts.halt,
                )
                opened = self._opened[key] = _Opened(channel)
            return opened

    def _credential(self, connection: Connection) -> Callable[[], Secret]:
        """Return a function that reads the secret once, when a call first needs it."""
        name = SecretName(
            workspace=self._parts.workspace.settings.workspace,
            slug=connection.client_slug,
            generation=connection.generation,
        )
        lock, kept = threading.Lock(), list[Secret]()

        def read() -> Secret:
            with lock:
                if not kept:
                    secret = self._parts.store().get(name)
                    _refuse_another(connection, secret)
                    kept.append(secret)
                return kept[0]

        return read

    def _admit(self, connection: Connection, opened: _Opened, does: OperationClass) -> None:
        """
        Let a call pass if its client is still what it was handed out for, and proven.

        The index is looked at for every call, so that a rotation, a removal or a rejected
        credential counts at once in every process.
        """
        now = self._stored(connection.client_slug)
        if now is None or _bound(now) != _bound(connection):
            raise ClientClosed(
                f"The connection of {connection.client_slug} was changed or removed after this "
                "client was handed out. Nothing was sent."
            )
        self._prove(now, opened, does)

    def _prove(self, connection: Connection, opened: _Opened, does: OperationClass) -> None:
        """Return if the proof is young enough for what a call does, else ask again."""
        limits = self._parts.workspace.settings.proof
        age = timedelta(hours=limits.read_hours)
        if does is not OperationClass.READ:
            age = timedelta(minutes=limits.write_minutes)
        if self._is_fresh(connection, age):
            return
        with opened.lock:  # whoever comes second finds the proof of the first
            now = self._stored(connection.client_slug)
            if now is None or _bound(now) != _bound(connection) or not self._is_fresh(now, age):
                self._ask(connection, opened)

    def _is_fresh(self, connection: Connection, age: timedelta) -> bool:
        proof = connection.proof
        if proof is None or proof.fingerprint != connection.fingerprint:
            return False
        if (proof.portal_id, proof.api_base) != (connection.portal_id, connection.api_base):
            return False
        # A proof from the future is a clock that was set back: no proof at all.
        return timedelta() <= self._parts.now() - proof.at <= age

    def _stored(self, slug: ClientSlug) -> Connection | None:
        return self._parts.index.read().connections.get(slug)

    def _ask(self, connection: Connection, opened: _Opened, *, asked_for: bool = False) -> Identity:
        who = answerer(connection.api_base)
        binding = _binding(connection, "verification", self._parts.identify)
        with opened.channel.client(binding=binding) as sender:
            try:
                identity = verify(sender, expected=connection.portal_id, who=who)
            except VerificationError as error:
                self._failed(connection, error)
                error.add("Nothing else was sent.")
                raise
        at = self._parts.now()

        def proven(stored: Connection) -> Connection:
            after = _proven(stored, identity, at=at)
            self._note_success(stored, after, asked_for=asked_for)
            return after

        self._parts.index.edit(
            connection.client_slug, generation=connection.generation, change=proven
        )
        return identity

    def _note_success(self, before: Connection, after: Connection, *, asked_for: bool) -> None:
        """Record what a verification found before the index shows it."""
        changed = differences(before.facts, after.facts)
        if changed:
            said = (
                f"{answerer(after.api_base)} now reports for portal {after.portal_id}: {changed}."
            )
            self._note(after, Event.CONNECTION_CHANGED, said[:1].upper() + said[1:])
        again = before.status is not ConnectionStatus.CONNECTED
        if again or asked_for:
            evidence = f" ({before.status_evidence})" if before.status_evidence else ""
            was = f" It works again; it was {before.status}{evidence}." if again else ""
            said = f"Verified {after.portal}: the credential is this portal's.{was}"
            self._note(after, Event.CONNECTION_VERIFIED, said)

    def _failed(self, connection: Connection, error: VerificationError) -> None:
        if isinstance(error, PortalMismatch):
            self._halt_fleet(connection, error)
        elif isinstance(error, CredentialRejected | PortalForbidden):
            self._fail(connection, error)

    def _fail(self, connection: Connection, error: VerificationError) -> None:
        evidence = f"{error.status_code} at {self._parts.now():%Y-%m-%d %H:%M} UTC"
        self._note(connection, Event.CONNECTION_FAILED, f"The credential was rejected: {evidence}.")
        self._parts.index.update(
            connection.client_slug,
            generation=connection.generation,
            status=ConnectionStatus.NEEDS_RECONNECTION,
            status_evidence=evidence,
            proof=None,
        )

    def _halt_fleet(self, connection: Connection, error: PortalMismatch) -> None:
        error.name({**self._owners(), error.expected: connection.client_slug})
        whose = f" ({error.owner})" if error.owner else ""
        reached = f"the credential of {connection.client_slug} reached portal {error.got}"
        instead = f" instead of {error.expected}."
        try:
            self._parts.halt.set(
                f"{reached}{whose}{instead}", at=self._parts.now(), slug=connection.client_slug
            )
        finally:  # neither a full disk nor a broken log keeps the other from being done
            try:
                # A client's own log, which the client may read, names no other client.
                self._note(connection, Event.HALT_SET, f"The fleet was halted: {reached}{instead}")
            finally:  # it is every client's halt: the agency's log has it beside its end
                said = redact(f"The fleet was halted: {reached}{whose}{instead}")
                self._parts.writer.append(AGENCY, {"event": Event.HALT_SET, "message": said})
        self._parts.index.update(
            connection.client_slug, generation=connection.generation, proof=None
        )

    def _owners(self) -> dict[int, str]:
        try:
            return self._parts.index.read().owners()
        except WorkspaceError:  # names are welcome, and no reason not to halt
            return {}

    def _note(self, connection: Connection, event: Event, message: str) -> None:
        said = redact(message)  # names of portals are HubSpot's text
        fields = {"event": event, "portalId": connection.portal_id, "message": said}
        self._parts.writer.append(connection.client_slug, fields)


def _refuse_another(connection: Connection, secret: Secret) -> None:
    """Raise unless this is the secret that was onboarded, for this portal and this address."""
    slug = connection.client_slug
    if secret.fingerprint != connection.fingerprint:
        raise CredentialChanged(
            f"The stored secret of {slug} is not the one that was proven. It was not used.",
            hint="Somebody changed the store: onboard the client again with --replace.",
        )
    if connection.binding != binding_of(connection, secret):
        raise CredentialChanged(
            f"The index was edited: the secret of {slug} was onboarded for another portal or "
            "another address than it names now. Nothing was sent.",
            hint="Put portalId and apiBase back as they were, or restore a backup of the index.",
        )


def _proven(stored: Connection, identity: Identity, *, at: datetime) -> Connection:
    """Return a connection that works, with what is told of its portal now beside the rest."""
    return replace(
        stored,
        proof=Proof(
            at=at,
            portal_id=identity.portal_id,
            fingerprint=stored.fingerprint,
            correlation_id=identity.correlation_id,
            api_base=stored.api_base,
        ),
        status=ConnectionStatus.CONNECTED,
        status_evidence="",
        hublet=identity.hosting or stored.hublet,
        facts={**stored.facts, **facts_of(identity, at=at)},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """What a client is handed out for: if any of it changes, another client is needed."""

    client_slug: ClientSlug
    portal_id: PortalId
    generation: int
    fingerprint: str
    api_base: str
    connection_type: ConnectionType | None  # None where it makes no difference


def _bound(connection: Connection) -> _Bound:
    return _Bound(
        client_slug=connection.client_slug,
        portal_id=connection.portal_id,
        generation=connection.generation,
        fingerprint=connection.fingerprint,
        api_base=connection.api_base,
        connection_type=connection.connection_type,
    )


def _binding(connection: Connection, purpose: str, identify: Identify) -> Binding:
    return Binding(
        client_slug=connection.client_slug,
        portal_id=connection.portal_id,
        connection_type=connection.connection_type,
        host=host_url(connection.api_base),
        fingerprint=connection.fingerprint,
        generation=connection.generation,
        purpose=purpose,
        identify=identify,
    )
