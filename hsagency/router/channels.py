"""
The ways to HubSpot that are open: one for each credential generation of each portal.

A secret is read when the first call needs it, and checked against the fingerprint that was
proven, so a hundred portals open without reading a hundred secrets.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from hsagency.client import Channel
from hsagency.errors import ClientClosed
from hsagency.hosts import host_of
from hsagency.portals import ClientSlug, Connection, CredentialKind, PortalId
from hsagency.router.parts import Parts, refuse_another, refuse_unless_same
from hsagency.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """What a channel is opened for: if any of it changes, another is needed."""

    client_slug: ClientSlug
    portal_id: PortalId
    generation: int
    fingerprint: str
    api_base: str
    routed_to: str | None


@dataclass(frozen=True, slots=True)
class Opened:
    """The channel of one credential; its lock lets one thread prove it."""

    channel: Channel
    key: _Key
    lock: threading.Lock = field(default_factory=threading.Lock)

    def is_of(self, connection: Connection) -> bool:
        """Say whether this is the way of a connection as it is given."""
        return self.key == _key(connection)


class Channels:
    """Opens a channel for a connection, and retires the one that it replaces."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._opened: dict[_Key, Opened] = {}
        self._lock = threading.Lock()
        self._closed = False

    def open(self, connection: Connection) -> Opened:
        """
        Return the channel of a connection as it is stored now, which may be another than given.

        Raises `ClientClosed` where it was removed, or is another portal's.
        """
        with self._lock:
            if self._closed:
                raise ClientClosed("This agency is closed. Nothing was sent.")
            opened = self._opened.get(_key(connection))
            if opened is None:
                # What the caller read may be past: nobody opens anew what was retired.
                stored = self._parts.stored(connection.client_slug)
                opened = self._open(refuse_unless_same(connection, stored))
            return opened

    def _open(self, stored: Connection) -> Opened:
        key = _key(stored)
        if key not in self._opened:
            self._retire(stored.client_slug)
            self._opened[key] = Opened(self._channel(stored), key)
        return self._opened[key]

    def close(self) -> None:
        """Close every channel."""
        with self._lock:
            self._closed = True
            opened, self._opened = self._opened, {}
        for one in opened.values():
            one.channel.close()

    def _retire(self, slug: ClientSlug) -> None:
        """Let go of what there was: calls in flight end on it, and nothing new begins there."""
        for key in [one for one in self._opened if one.client_slug == slug]:
            self._opened.pop(key).channel.retire()

    def _channel(self, connection: Connection) -> Channel:
        host = host_of(connection.api_base, connection.routed_to)
        return Channel(
            host=host,
            credential=self._credential(connection),
            writer=self._parts.writer,
            halt=self._parts.halt,
            wire=self._parts.network.wire(host),
        )

    def _credential(self, connection: Connection) -> Callable[[], Secret]:
        """Return a function that reads the secret once, when a call first needs it."""
        if connection.kind is CredentialKind.OAUTH:
            return lambda: self._parts.refresher.token(connection)
        lock, kept = threading.Lock(), list[Secret]()

        def read() -> Secret:
            with lock:
                if not kept:
                    secret = self._parts.store().get(self._parts.secret_name(connection))
                    refuse_another(connection, secret)
                    kept.append(secret)
                return kept[0]

        return read


def _key(connection: Connection) -> _Key:
    return _Key(
        client_slug=connection.client_slug,
        portal_id=connection.portal_id,
        generation=connection.generation,
        fingerprint=connection.fingerprint,
        api_base=connection.api_base,
        routed_to=connection.routed_to,
    )
