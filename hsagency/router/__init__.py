"""
From a client slug to a verified portal client, and nowhere else.

A slug selects exactly one connection; there is no default client, no ambient credential and
no fallback. No client is handed out until its credential was shown to belong to the portal
it is stored for.

    Router        hands out portal clients (this module)
    Grants        who a client speaks for, from one call to the next
    Prover        whether the credential still belongs to its portal, and what if not
    Consequences  what becomes of a connection after an answer
    Channels      the open ways to HubSpot, one for each credential generation
"""

from __future__ import annotations

import os
import threading
from functools import partial

from hsagency.client import PortalClient, Ways
from hsagency.errors import ClientClosed, UsageError
from hsagency.facts import Verified
from hsagency.portals import ClientSlug, Connection, unknown_client
from hsagency.router.channels import Channels
from hsagency.router.consequences import Consequences
from hsagency.router.granting import Grants
from hsagency.router.parts import Parts
from hsagency.router.proving import Prover
from hsagency.router.renewing import confirm
from hsagency.routes import OperationClass
from hsagency.transport import is_label
from hsagency.waiting import Waits

__all__ = ["Parts", "Router"]


class Router:
    """Hands out portal clients by slug, one per portal and purpose."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._channels = Channels(parts)
        self._prover = Prover(parts, self._channels)
        self._consequences = Consequences(parts, self._prover)
        self._clients: dict[tuple[object, ...], PortalClient] = {}
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._closed = False

    def slugs(self) -> list[ClientSlug]:
        """Return the slugs of all connections, sorted."""
        return sorted(self._parts.index.read().connections)

    def connection(self, slug: str) -> Connection:
        """Return what is stored of one connection; raises `UnknownClient` with near matches."""
        known = self._parts.index.read()
        connections = known.connections
        connection = connections.get(ClientSlug(slug))
        if connection is None:
            raise unknown_client([slug], connections, removed=known.tombstones)
        return connection

    def client(
        self,
        slug: str,
        *,
        purpose: str = "interactive",
        waits: Waits | None = None,
        raising: bool = False,
    ) -> PortalClient:
        """
        Return the portal client for a slug, proven to reach that client's portal.

        `purpose` says why its calls are made, in up to 64 plain characters. With `waits` or
        `raising` the client is the caller's own: it waits in that way, and raises answers that
        are errors. Raises `UnknownClient`, `Halted`, `PortalStopped`, or what `verify` and the
        credential store raise.
        """
        if self._closed or os.getpid() != self._pid:
            raise ClientClosed("This agency is closed or belongs to another process.")
        if not is_label(purpose):
            raise UsageError("A purpose is up to 64 letters, digits, spaces or . : / + -.")
        self._parts.halt.check()
        connection = self.connection(slug)
        grants = Grants(self._parts, self._channels, connection, purpose=purpose)
        self._prover.admit(grants, grants.now(), OperationClass.READ, waits=waits or Waits())
        if raising or waits is not None:
            return self._hand_out(connection, grants, waits=waits, raising=raising)
        key = (connection.client_slug, connection.portal_id, connection.api_base, purpose)
        with self._lock:
            known = self._clients.get(key)
            if known is None or known.is_closed:
                known = self._clients[key] = self._hand_out(connection, grants)
            return known

    def prove(self, slug: str) -> Verified:
        """Ask HubSpot now whose credential this is and what it may do; raises as `verify` does."""
        self._parts.halt.check()
        connection = self.connection(slug)
        confirm(self._parts, connection)
        return self._prover.prove(connection)

    def close(self) -> None:
        """Close every client and every channel."""
        with self._lock:
            self._closed = True
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()
        self._channels.close()
        self._parts.close()

    def _hand_out(
        self,
        connection: Connection,
        grants: Grants,
        *,
        waits: Waits | None = None,
        raising: bool = False,
    ) -> PortalClient:
        waits = waits or Waits()
        ways = Ways(
            current=grants.now,
            prove=partial(self._prover.admit, grants, waits=waits),
            pace=self._parts.pace,
            after=self._consequences.follow,
            superseded=self._parts.superseded,
            alarm=self._parts.stops.halt_fleet,
            waits=waits,
            raising=raising,
        )
        channel = self._channels.open(connection).channel
        return channel.client(binding=grants.binding, portal=connection.portal, ways=ways)
