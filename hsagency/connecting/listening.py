"""
The callback: what listens on this machine while a person is on HubSpot's page.

On the loopback addresses alone, for one path, one host name and one state. An answer is taken
once; what is forged, repeated or somebody else's is refused and the wait goes on. The browser
is led on to an address without code and state, where the page waits for the outcome.
"""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from hsagency.auth.apps import CALLBACK
from hsagency.connecting import pages
from hsagency.connecting.asking import Brought, Forged
from hsagency.errors import ConnectingError
from hsagency.secret import Secret

_PATIENCE: Final = 10.0  # seconds for a browser to say what it wants
_LINGER: Final = 1.0  # seconds for the page to be told how it ended, when we leave


class PortTaken(ConnectingError):
    """Another program listens where HubSpot's page leads the browser back to."""

    hint = (
        "Is another 'hsagency connect' waiting? End that first. Or register another port: "
        "hsagency connect --setup --port PORT"
    )


@dataclass(frozen=True, slots=True)
class _Outcome:
    title: str
    message: str
    good: bool


class Listener:
    """
    Listens on both loopback addresses from now on, until it is closed.

    Without a port it hears nothing, and has only what `take` is given. `leads_to` is where its
    `door` leads, once.
    """

    def __init__(
        self, port: int | None, *, read: Callable[[Secret], Brought], leads_to: str = ""
    ) -> None:
        self._read, self._leads_to, self._opened = read, leads_to, False
        self._host = f"localhost:{port}"
        self._door = f"/oauth/begin/{secrets.token_urlsafe(12)}"
        self._shown_as = f"/oauth/begin/{secrets.token_urlsafe(12)}"
        self._page = f"/oauth/outcome/{secrets.token_urlsafe(12)}"
        self._taking = threading.Lock()
        self._brought: Brought | None = None
        self._arrived, self._ended = threading.Event(), threading.Event()
        self._led, self._shown = threading.Event(), threading.Event()
        self._outcome = _Outcome("Nothing was connected", "It was given up. Begin again.", False)
        self._servers = [] if port is None else _bind(port, self)
        self._threads = [
            threading.Thread(target=one.serve_forever, args=(0.05,), daemon=True)
            for one in self._servers
        ]
        for thread in self._threads:
            thread.start()

    @property
    def door(self) -> str:
        """An address of this machine that leads on once: for where others may see it."""
        return f"http://{self._host}{self._door}"

    @property
    def address(self) -> str:
        """An address of this machine that leads on as often as it is opened."""
        return f"http://{self._host}{self._shown_as}"

    def came(self, seconds: float) -> bool:
        """Wait at most so long for an answer, and say whether there is one."""
        return self._arrived.wait(seconds)

    @property
    def brought(self) -> Brought | None:
        """What came, if it did."""
        return self._brought

    def take(self, brought: Brought) -> None:
        """Take an answer; raises `Forged` where there was one already."""
        with self._taking:
            if self._brought is not None:
                raise Forged("There was an answer already. This one was not used.", hint="")
            self._brought = brought
        self._arrived.set()

    def say(self, title: str, message: str, *, good: bool) -> None:
        """Tell the page how it ended; the first outcome stays."""
        if not self._ended.is_set():
            self._outcome = _Outcome(title, message, good)
            self._ended.set()

    def close(self) -> None:
        """Stop listening, once a page that waits was told."""
        self._ended.set()
        if self._led.is_set():
            self._shown.wait(_LINGER)
        for one in self._servers:
            one.shutdown()
        for thread in self._threads:
            thread.join()
        for one in self._servers:
            one.server_close()

    def answer(self, handler: _Handler) -> None:
        """Answer one request of a browser."""
        path, query = _split(handler.path)
        if handler.headers.get_all("Host", []) != [self._host]:
            handler.say(HTTPStatus.FORBIDDEN, "Another host", _NOTHING)
        elif path == self._shown_as and not query:
            handler.lead(self._leads_to)
        elif path == self._door and not query:
            self._lead_on(handler)
        elif path == self._page and not query:
            self._wait(handler)
        elif path != CALLBACK:
            handler.say(HTTPStatus.NOT_FOUND, "Nothing is here", _NOTHING)
        else:
            self._called(handler, query)

    def _lead_on(self, handler: _Handler) -> None:
        """Lead the first who comes to HubSpot's page, and nobody after it."""
        with self._taking:
            first, self._opened = not self._opened, True
        if first:
            handler.lead(self._leads_to)
        else:
            handler.say(HTTPStatus.GONE, "This address was opened already", _ONCE)

    def _called(self, handler: _Handler, query: Secret) -> None:
        try:
            self.take(self._read(query))
        except Forged as error:
            used = self._brought is not None
            status = HTTPStatus.CONFLICT if used else HTTPStatus.BAD_REQUEST
            handler.say(status, "This answer was not used", f"{error.message} {_GOES_ON}")
            return
        self._led.set()
        # The address of the page that is left open, and of a reload, tells nothing.
        handler.lead(self._page)

    def _wait(self, handler: _Handler) -> None:
        """Say that it goes on, and then how it ended."""
        try:
            handler.begin()
            handler.write(pages.waiting())
            self._ended.wait()
            one = self._outcome
            handler.write(pages.outcome(one.title, one.message, good=one.good))
        finally:
            self._shown.set()


_NOTHING: Final = "Nothing was connected by it."
_ONCE: Final = (
    "It leads to HubSpot's page once. If that was not you, somebody else on this machine was "
    "quicker: stop where you began (Ctrl-C), and begin again."
)
_GOES_ON: Final = "If you are connecting an account, go back to where you began: it still waits."


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(
        self, family: socket.AddressFamily, host: str, port: int, of: Listener | None
    ) -> None:
        self.address_family, self.of = family, of
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        # Without the look-up of names that http.server makes here.
        self.server_name, self.server_port = "localhost", int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a browser that hung up is no news, and a traceback would hold the code."""
        del request, client_address


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "hsagency", ""
    timeout = _PATIENCE
    server: _Server

    def do_GET(self) -> None:
        if self.server.of is not None:
            self.server.of.answer(self)

    def begin(self, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        for name, value in pages.HEADERS.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def say(self, status: HTTPStatus, title: str, message: str) -> None:
        self.begin(status)
        self.write(pages.whole(title, message))

    def lead(self, where: str) -> None:
        self.send_response(HTTPStatus.SEE_OTHER)
        for name in ("Cache-Control", "Referrer-Policy"):
            self.send_header(name, pages.HEADERS[name])
        self.send_header("Location", where)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def write(self, text: str) -> None:
        self.wfile.write(text.encode(errors="replace"))
        self.wfile.flush()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what makes no sense, without repeating any of it."""
        del message, explain
        with suppress(OSError):
            self.say(HTTPStatus(code), "This cannot be answered", _NOTHING)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Write nothing down: the address holds the code."""


def _split(target: str) -> tuple[str, Secret]:
    """Return the path and the query of what a browser asks for; the query may hold a code."""
    parts = urlsplit(target)
    return parts.path, Secret(parts.query)


def _bind(port: int, of: Listener | None) -> list[_Server]:
    """Listen on both loopback addresses; a machine without IPv6 has one."""
    made: list[_Server] = []
    try:
        made.append(_Server(socket.AF_INET, "127.0.0.1", port, of))
        if socket.has_ipv6 and _has_loopback6():
            made.append(_Server(socket.AF_INET6, "::1", port, of))
    except OSError as error:
        for one in made:
            one.server_close()
        raise PortTaken(
            f"Port {port} of this machine, to which HubSpot's page leads back, cannot be listened "
            f"on ({error.strerror}). Nothing was asked."
        ) from None
    return made


def _has_loopback6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


def check_port(port: int) -> None:
    """Raise `PortTaken` unless this port can be listened on."""
    for one in _bind(port, None):
        one.server_close()
