"""
The wire: calls to one host, over connections that stay open between them.

Nothing is ever sent twice. That the host hung up between two calls is noticed before the next
one leaves; what is lost after that is for the caller to know, and for the record. There is no
proxy, no redirect and no retry here, and no host but the one.

Why not httpx.HTTPTransport: a call spends about twice as much time in it as here. And it hands
stray bytes that an answer left on a connection to the next call, as its answer; here such a
connection is never used again.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from typing import Final

import httpx

from hsagency.transport.connection import Connection

_MOST: Final = 16  # connections at once; a call beyond them waits for a place
_IDLE_SECONDS: Final = 5.0  # how long one is kept open; that the host hangs up sooner is noticed


class Wire(httpx.BaseTransport):
    """Sends calls to one host; each has a connection to itself until its answer is closed."""

    def __init__(
        self, host: httpx.URL, *, tls: ssl.SSLContext | None, idle: float = _IDLE_SECONDS
    ) -> None:
        self._host, self._tls, self._idle_seconds = host, tls, idle
        self._places = threading.BoundedSemaphore(_MOST)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []  # that which was used last stands at the end
        self._busy: set[Connection] = set()
        self._closed = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and return its answer, of which the body is yet to be read."""
        seconds = request.extensions.get("timeout", {})
        if not self._places.acquire(timeout=seconds.get("pool")):
            raise httpx.PoolTimeout(f"all {_MOST} connections are in use")
        connection = None
        try:
            connection = self._take(seconds.get("connect"))
            connection.send(request, seconds=seconds.get("write"))
            head = connection.head(seconds=seconds.get("read"))
            return httpx.Response(
                head.status_code,
                headers=head.headers.raw_items(),
                stream=_Body(self, connection, seconds=seconds.get("read")),
                extensions={
                    "http_version": b"HTTP/" + head.http_version,
                    "reason_phrase": head.reason,
                },
            )
        except BaseException:
            self.give_back(connection)
            raise

    def give_back(self, connection: Connection | None) -> None:
        """Make place for the next call, with this connection if it is fit for it."""
        try:
            if connection is not None:
                with self._lock:
                    self._busy.discard(connection)
                    kept = not self._closed and connection.renew(seconds=self._idle_seconds)
                    if kept:
                        self._idle.append(connection)
                if not kept:
                    connection.close()
        finally:
            self._places.release()

    def close(self) -> None:
        """Close what is idle and hang up on what is not; nothing is kept open from now on."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = list(self._busy)
        for one in idle:
            one.close()
        for one in busy:
            one.hang_up()

    def _take(self, seconds: float | None) -> Connection:
        connection = self._open_one() or Connection.to(self._host, tls=self._tls, seconds=seconds)
        with self._lock:
            self._busy.add(connection)
        return connection

    def _open_one(self) -> Connection | None:
        """Return the idle connection that was used last, and close those that are past use."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop(0 if self._idle[0].is_old() else -1)
            if connection.is_open():
                return connection
            connection.close()


class _Body(httpx.SyncByteStream):
    """The body of an answer; its connection is given back when it is closed."""

    def __init__(self, wire: Wire, connection: Connection, *, seconds: float | None) -> None:
        self._wire, self._seconds = wire, seconds
        self._connection: Connection | None = connection

    def __iter__(self) -> Iterator[bytes]:
        if self._connection is None:
            return
        try:
            yield from self._connection.body(seconds=self._seconds)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._wire.give_back(connection)
