"""
The wire: calls to one host, over connections that stay open between them.

Nothing is ever sent twice. That the host hung up between two calls is noticed before the next
one leaves; what is lost after that is for the caller to know, and for the record. There is no
redirect and no retry here, and no host but the one; nothing leaves this machine without TLS.

Why not httpx.HTTPTransport: a call spends about twice as much time in it as here. And it hands
stray bytes that an answer left on a connection to the next call, as its answer; here such a
connection is never used again.
"""

from __future__ import annotations

import os
import ssl
from collections import deque
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import Final

import httpx

from hsagency.errors import ClientClosed, HsAgencyError, UsageError
from hsagency.hosts import is_loopback
from hsagency.transport.connection import Connection
from hsagency.transport.dialling import Proxy

MOST: Final = 16
"""Connections at once; a call beyond them waits for a place."""
PLACE: Final = "place"
"""The extension of a request that holds the place it has already."""
MAY_LEAVE: Final = "may_leave"
"""The extension that is called last of all, and raises where the request may not leave any more."""
_IDLE_SECONDS: Final = 5.0  # how long one is kept open; that the host hangs up sooner is noticed


class Stopped(Exception):
    """A call was stopped at the wire: nothing of it was sent, and `cause` says why."""

    def __init__(self, cause: HsAgencyError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Retired(Exception):
    """A call waited for a place on a wire that another one has replaced; nothing was sent."""


class Place:
    """
    A place on a wire for one call.

    It is given back once, at the latest when it is dropped. Taking and giving back are one step
    of the interpreter's each: whatever interrupts it, a place is never lost, and never two.
    """

    __slots__ = ("__weakref__", "_free", "_held", "_wire")

    def __init__(self, wire: Wire, free: SimpleQueue[None]) -> None:
        self._wire, self._free = wire, free
        self._held: list[None] = []

    def take(self, seconds: float | None) -> bool:
        """
        Wait so many seconds for it at most, and say whether it was there to take.

        Raises `ClientClosed` where the wire is closed; a wait ends with `Retired`, too.
        """
        waits = seconds is None or seconds > 0
        self._wire.refuse_if_closed()
        if waits:
            self._wire.refuse_if_retired()
        try:
            self._held.extend(map(self._free.get, (waits,), (seconds,)))
        except Empty:
            return False
        return True

    def is_on(self, wire: Wire) -> bool:
        """Say whether this is a place on a wire, and taken."""
        return self._wire is wire and bool(self._held)

    def give_back(self) -> None:
        """Make place for another call; once."""
        try:
            deque(map(self._free.put, iter(self._held.pop, self)), 0)
        except IndexError:  # that is all
            return

    __del__ = give_back


class Wire(httpx.BaseTransport):
    """
    Sends calls to one host; each has a connection to itself until its answer is closed.

    With a proxy, TLS goes through it to the host. A request may bring its place along; else it
    waits for one here. There is no lock: an interrupt or the garbage collector may come at any
    point, and every step on the places and connections is one that cannot be cut in two. Raises
    `UsageError` for a host beyond this machine without TLS.
    """

    def __init__(
        self,
        host: httpx.URL,
        *,
        tls: ssl.SSLContext | None,
        proxy: Proxy | None = None,
        idle: float = _IDLE_SECONDS,
    ) -> None:
        if tls is None and not (host.scheme == "http" and is_loopback(host.host)):
            raise UsageError(f"There is no way to {host.host} without TLS. Nothing was sent.")
        self._host, self._tls, self._proxy = host, tls, proxy
        self._idle_seconds = idle
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(MOST):
            self._places.put(None)
        self._idle: deque[Connection] = deque()  # that which was used last stands at the end
        self._busy: set[Connection] = set()
        self._closed = self._retired = False
        self._pid = os.getpid()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and return its answer, of which the body is yet to be read."""
        seconds = request.extensions.get("timeout", {})
        place = request.extensions.get(PLACE)
        if not (isinstance(place, Place) and place.is_on(self)):
            place = self._waited_for(seconds.get("pool"))
        connection = None
        try:
            self._refuse_if_closed()
            connection = self._open_one() or Connection.to(
                self._host, tls=self._tls, proxy=self._proxy, seconds=seconds.get("connect")
            )
            self._busy.add(connection)
            self._refuse_if_closed()  # whoever closes from now on hangs up on this connection
            _look_last(request)
            connection.send(request, seconds=seconds.get("write"))
            head = connection.head(seconds=seconds.get("read"))
            return httpx.Response(
                head.status_code,
                headers=head.headers.raw_items(),
                stream=_Body(self, connection, place, seconds=seconds.get("read")),
                extensions={
                    "http_version": b"HTTP/" + head.http_version,
                    "reason_phrase": head.reason,
                },
            )
        except BaseException:
            self.give_back(connection, place)
            raise

    def place(self) -> Place:
        """Return a place that is yet to be taken."""
        return Place(self, self._places)

    def give_back(self, connection: Connection | None, place: Place) -> None:
        """Make place for the next call, with this connection if it is fit for it."""
        if os.getpid() != self._pid:  # the parent's: it is to go on with it undisturbed
            return
        try:
            if connection is not None:
                self._busy.discard(connection)
                if not self._retired and connection.renew(seconds=self._idle_seconds):
                    self._idle.append(connection)
                else:
                    connection.close()
                if self._retired:
                    self._close_idle()
        finally:
            place.give_back()

    def retire(self) -> None:
        """Close what is idle now, and what is not once its call has ended."""
        self._retired = True
        if os.getpid() == self._pid:
            self._close_idle()

    def close(self) -> None:
        """Close what is idle and hang up on what is not; nothing is sent from now on."""
        self._closed = self._retired = True
        if os.getpid() != self._pid:
            return
        self._close_idle()
        for one in tuple(self._busy):
            one.hang_up()

    def refuse_if_closed(self) -> None:
        """Raise `ClientClosed` where nothing is sent any more."""
        if self._closed:
            raise ClientClosed("This client was closed meanwhile. Nothing was sent.")

    def refuse_if_retired(self) -> None:
        """Raise `Retired` where no call is to wait any more."""
        if self._retired:
            raise Retired

    def _waited_for(self, seconds: float | None) -> Place:
        place = self.place()
        try:
            if place.take(0) or place.take(seconds):
                return place
        except HsAgencyError as error:
            raise Stopped(error) from None
        raise httpx.PoolTimeout(f"all {MOST} connections are in use")

    def _refuse_if_closed(self) -> None:
        try:
            self.refuse_if_closed()
        except ClientClosed as error:
            raise Stopped(error) from None

    def _open_one(self) -> Connection | None:
        """Return the idle connection that was used last, and close those that are past use."""
        try:
            while self._idle and self._idle[0].is_old():
                self._idle.popleft().close()  # a younger one, if another thread was quicker
            while not (connection := self._idle.pop()).is_open():
                connection.close()
        except IndexError:
            return None
        return connection

    def _close_idle(self) -> None:
        try:
            while True:
                self._idle.pop().close()
        except IndexError:
            return


def _look_last(request: httpx.Request) -> None:
    """Stop what was let through, and may not leave after all that it waited for since."""
    may_leave = request.extensions.get(MAY_LEAVE)
    try:
        if may_leave is not None:
            may_leave()
    except HsAgencyError as error:
        raise Stopped(error) from None


class _Body(httpx.SyncByteStream):
    """The body of an answer, read once; its connection is given back when it is closed or lost."""

    def __init__(
        self, wire: Wire, connection: Connection, place: Place, *, seconds: float | None
    ) -> None:
        self._wire, self._place, self._seconds = wire, place, seconds
        self._connection: Connection | None = connection
        self._begun = False

    def __iter__(self) -> Iterator[bytes]:
        connection = self._connection
        if connection is None or self._begun:
            return
        self._begun = True
        try:
            for part in connection.body(seconds=self._seconds):
                yield part
                if self._connection is not connection:  # closed meanwhile: it is another call's
                    return
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._wire.give_back(connection, self._place)

    def __del__(self) -> None:
        self.close()
