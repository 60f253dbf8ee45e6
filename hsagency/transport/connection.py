"""
One connection to a host: HTTP/1.1, of which h11 reads and writes the words.

What goes wrong is raised as httpx names it, so that nobody above has to know the sockets.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Final, Self, cast

import h11
import httpx

from hsagency.transport.dialling import Deadline, Proxy, dial

_AT_ONCE: Final = 1 << 16  # bytes read at once
_LONGEST_HEAD: Final = 100 << 10  # bytes of a status line and its headers


class Connection:
    """An open connection, for one call at a time."""

    def __init__(self, wire: socket.socket) -> None:
        self._socket, self._seconds = wire, wire.gettimeout()
        self._talk = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        self._unasked = select.poll()
        self._unasked.register(wire, select.POLLIN)
        self._until = 0.0

    @classmethod
    def to(
        cls,
        host: httpx.URL,
        *,
        tls: ssl.SSLContext | None,
        proxy: Proxy | None = None,
        seconds: float | None,
    ) -> Self:
        """
        Open a connection within so many seconds, with TLS for the host's name if it can be.

        Raises `httpx.ConnectError`, `ConnectTimeout` or `ProxyError`: nothing was sent.
        """
        name, port = host.raw_host.decode("ascii"), host.port or (443 if tls else 80)
        deadline = Deadline(seconds)
        try:
            wire = (proxy.dial if proxy else dial)(name, port, deadline=deadline)
            try:
                wire.settimeout(deadline.left())
                return cls(tls.wrap_socket(wire, server_hostname=name) if tls else wire)
            except BaseException:
                wire.close()
                raise
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error

    def send(self, request: httpx.Request, *, seconds: float | None) -> None:
        """Send a request; where the host hangs up meanwhile, it may have answered already."""
        self._allow(seconds)
        try:
            held = self._talk.send(
                h11.Request(
                    method=request.method, target=request.url.raw_path, headers=request.headers.raw
                )
            )
            for chunk in map(_bytes, cast("httpx.SyncByteStream", request.stream)):
                if chunk and not self._write(held + self._talk.send(h11.Data(data=chunk))):
                    return
                held = b"" if chunk else held
            self._write(held + self._talk.send(h11.EndOfMessage()))
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error

    def head(self, *, seconds: float | None) -> h11.Response:
        """Read status and headers of the answer."""
        self._allow(seconds)
        self._receive()  # nothing of an answer is here yet
        while True:
            event = self._next()
            if isinstance(event, h11.Response):  # others only announce it
                return event

    def body(self, *, seconds: float | None) -> Iterator[bytes]:
        """Read the body of the answer, part by part as it comes."""
        self._allow(seconds)
        while isinstance(event := self._next(), h11.Data):
            yield bytes(event.data)

    def renew(self, *, seconds: float) -> bool:
        """Get ready for a call within so many seconds, and say whether that can be."""
        talk = self._talk
        if talk.our_state is not h11.DONE or talk.their_state is not h11.DONE:
            return False
        if talk.trailing_data[0]:  # nobody asked for it; the next call would take it for its own
            return False
        talk.start_next_cycle()
        self._until = time.monotonic() + seconds
        return True

    def is_open(self) -> bool:
        """Say whether a call can be sent: neither too old, nor hung up, nor spoken on unasked."""
        return not self.is_old() and not self._unasked.poll(0)

    def is_old(self) -> bool:
        """Say whether it was idle for too long."""
        return time.monotonic() > self._until

    def hang_up(self) -> None:
        """End what another thread is doing with this connection; that thread closes it."""
        try:
            # The socket's own: that of TLS takes the encryption away from under a reader.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except OSError:  # the host was quicker
            return

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _allow(self, seconds: float | None) -> None:
        if seconds != self._seconds:
            self._socket.settimeout(seconds)
            self._seconds = seconds

    def _write(self, data: bytes) -> bool:
        """Send bytes; say whether the host was there to take them."""
        try:
            sent = self._socket.send(data) if data else 0
            while sent < len(data):  # each part in its own time, however long the whole takes
                sent += self._socket.send(memoryview(data)[sent:])
        except (TimeoutError, BlockingIOError) as error:
            raise httpx.WriteTimeout(str(error)) from error
        except OSError:
            return False
        return True

    def _next(self) -> h11.Event | type[h11.PAUSED]:
        try:
            while (event := self._talk.next_event()) is h11.NEED_DATA:
                self._receive()
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        return cast("h11.Event | type[h11.PAUSED]", event)

    def _receive(self) -> None:
        data = self._read()
        if not data and self._talk.their_state is h11.SEND_RESPONSE:
            raise httpx.RemoteProtocolError("the server hung up without an answer")
        self._talk.receive_data(data)

    def _read(self) -> bytes:
        try:
            return self._socket.recv(_AT_ONCE)
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpx.ReadError(str(error)) from error


def _bytes(part: object) -> bytes:
    """Return a part of a body as plain bytes: what it says of its length may not be so."""
    try:
        return memoryview(cast("bytes", part)).cast("B").tobytes()
    except TypeError as error:
        raise httpx.LocalProtocolError("A part of the body is not bytes.") from error
