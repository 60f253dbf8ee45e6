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
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hsagency.audit.journal import AuditWriter
from hsagency.audit.record import Event, is_purpose
from hsagency.client import PortalClient, Way, host_url
from hsagency.credentials import CredentialStore, SecretName
from hsagency.errors import (
    ClientClosed,
    CredentialChanged,
    CredentialRejected,
    PortalMismatch,
    UnknownClient,
    UsageError,
)
from hsagency.halt import Halt
from hsagency.index import Index
from hsagency.portals import ClientSlug, Connection, ConnectionStatus, Proof
from hsagency.routes import OperationClass
from hsagency.secret import Secret
from hsagency.settings import Workspace
from hsagency.transport import Binding
from hsagency.verifier import Identity, verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a router works with; the agency puts it together once."""

    workspace: Workspace
    index: Index
    store: Callable[[], CredentialStore]
    writer: AuditWriter
    halt: Halt
    now: Callable[[], datetime]


@dataclass(slots=True)
class _Lane:
    """One credential generation of one connection: its way out and the age of its proof."""

    connection: Connection
    way: Way
    proof: Proof | None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Router:
    """Hands out portal clients by slug, one per slug, credential generation and purpose."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lanes: dict[tuple[str, int, str], _Lane] = {}
        self._clients: dict[tuple[str, str, str, str], PortalClient] = {}
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
        shown = slug if len(slug) <= 63 else slug[:60] + "..."
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
        if not is_purpose(purpose):
            raise UsageError("A purpose is up to 64 letters, digits, spaces or . : / + -.")
        self._parts.halt.check()
        lane = self._lane(self.connection(slug))
        self._prove(lane, OperationClass.READ)
        connection = lane.connection
        key = (slug, connection.fingerprint, connection.connection_type, purpose)
        with self._lock:
            known = self._clients.get(key)
            if known is None or known.is_closed:
                known = lane.way.client(
                    binding=_binding(connection, purpose),
                    portal=connection.portal,
                    prove=lambda does: self._prove(lane, does),
                )
                self._clients[key] = known
            return known

    def prove(self, slug: str) -> Identity:
        """Ask HubSpot now whose credential this is; raises as `verify` does."""
        self._parts.halt.check()
        lane = self._lane(self.connection(slug))
        with lane.lock:
            return self._ask(lane)

    def close(self) -> None:
        """Close every client and every way out."""
        with self._lock:
            self._closed = True
            clients, self._clients = self._clients, {}
            lanes, self._lanes = self._lanes, {}
        for client in clients.values():
            client.close()
        for lane in lanes.values():
            lane.way.close()

    def _lane(self, connection: Connection) -> _Lane:
        key = (connection.client_slug, connection.generation, connection.api_base)
        with self._lock:
            lane = self._lanes.get(key)
            if lane is None or lane.connection.fingerprint != connection.fingerprint:
                lane = self._lanes[key] = _Lane(
                    connection=connection,
                    way=Way(
                        host=host_url(connection.api_base),
                        credential=self._credential(connection),
                        writer=self._parts.writer,
                        halt=self._parts.halt,
                    ),
                    proof=connection.proof,
                )
            # What may be edited meanwhile (type, facts) is taken as it is now.
            lane.connection = connection
            return lane

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
                    if secret.fingerprint != connection.fingerprint:
                        raise CredentialChanged(
                            f"The stored secret of {connection.client_slug} is not the one that "
                            "was proven. It was not used.",
                            hint="Somebody changed the store: onboard the client again "
                            "with --replace.",
                        )
                    kept.append(secret)
                return kept[0]

        return read

    def _prove(self, lane: _Lane, does: OperationClass) -> None:
        """Let a call pass if the proof is young enough for what it does, else ask again."""
        limits = self._parts.workspace.settings.proof
        age = timedelta(hours=limits.read_hours)
        if does is not OperationClass.READ:
            age = timedelta(minutes=limits.write_minutes)
        if self._fresh(lane, age):
            return
        with lane.lock:
            if not self._fresh(lane, age):
                self._ask(lane)

    def _fresh(self, lane: _Lane, age: timedelta) -> bool:
        proof = lane.proof
        if proof is None or proof.fingerprint != lane.connection.fingerprint:
            return False
        # A proof from the future is a clock that was set back: no proof at all.
        return timedelta() <= self._parts.now() - proof.at <= age

    def _ask(self, lane: _Lane) -> Identity:
        connection = lane.connection
        with lane.way.client(binding=_binding(connection, "verification")) as sender:
            try:
                identity = verify(sender, expected=connection.portal_id)
            except PortalMismatch as error:
                self._halt_fleet(connection, error)
                raise
            except CredentialRejected as error:
                self._fail(connection, error)
                raise
        proof = Proof(
            at=self._parts.now(),
            fingerprint=connection.fingerprint,
            correlation_id=identity.correlation_id,
        )
        self._parts.index.update(
            connection.client_slug,
            generation=connection.generation,
            proof=proof,
            status=ConnectionStatus.CONNECTED,
            status_evidence="",
        )
        lane.proof = proof
        return identity

    def _fail(self, connection: Connection, error: CredentialRejected) -> None:
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
        reason = (
            f"the credential of {connection.client_slug} reached portal {error.got} "
            f"instead of {error.expected}."
        )
        self._note(connection, Event.HALT_SET, f"The fleet was halted: {reason}")
        self._parts.halt.set(reason, at=self._parts.now())

    def _note(self, connection: Connection, event: Event, message: str) -> None:
        fields = {"event": event, "portalId": connection.portal_id, "message": message}
        self._parts.writer.append(connection.client_slug, fields)


def _binding(connection: Connection, purpose: str) -> Binding:
    return Binding(
        client_slug=connection.client_slug,
        portal_id=connection.portal_id,
        connection_type=connection.connection_type,
        host=host_url(connection.api_base),
        fingerprint=connection.fingerprint,
        generation=connection.generation,
        purpose=purpose,
    )
