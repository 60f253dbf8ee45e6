"""
Carries real HTTP connections on loopback to a sandbox.

The standard library's server is fast enough once it stops sending headers and body as two
packets: a buffered writer that is flushed once avoids the 40 ms that Nagle's algorithm and
delayed acknowledgements otherwise cost every answer.
"""

from __future__ import annotations

import logging
import secrets
import signal
import socket
import socketserver
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Lock, Thread, current_thread
from types import FrameType
from typing import Any

from hsagency.errors import SandboxError
from hsagency.sandbox.clients_csv import write_clients_csv
from hsagency.sandbox.control import KEY_HEADER, PREFIX, Control
from hsagency.sandbox.core import Sandbox
from hsagency.sandbox.wire import ApiError, Reply, Request, encode

BODY_MAX = 10 * 1024 * 1024
_HOSTS = {"127.0.0.1", "localhost"}
_log = logging.getLogger(__name__)


def serve(sandbox: Sandbox, *, host: str = "127.0.0.1", port: int = 0) -> SandboxServer:
    """Serve a sandbox in a background thread until the server is closed; 0 takes a free port."""
    if host not in _HOSTS:
        raise SandboxError(
            f"The sandbox serves this machine only, not {host}; it was not started.",
            hint="Leave the host at 127.0.0.1.",
        )
    return SandboxServer(sandbox, port=port)


class SandboxServer:
    """
    A sandbox on a socket; a context manager.

    `url` is its base address. `control_key` opens the control API and is new for every server.
    """

    def __init__(self, sandbox: Sandbox, *, port: int) -> None:
        self.sandbox = sandbox
        self.control_key = secrets.token_urlsafe(24)
        try:
            self._http = _HTTPServer(sandbox, port=port, key=self.control_key)
        except (OSError, OverflowError) as error:
            raise SandboxError(
                f"Port {port} cannot be used ({error}); the sandbox was not started.",
                hint="Leave the port out to take a free one.",
            ) from error
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> SandboxServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, drop open connections and wait for their threads; twice is fine."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class _HTTPServer(HTTPServer):
    """One thread a connection, all of which can be ended."""

    request_queue_size = 256

    def __init__(self, sandbox: Sandbox, *, port: int, key: str) -> None:
        self.sandbox, self.control = sandbox, Control(sandbox, key=key)
        self.closing = Event()
        self._open: dict[socket.socket, Thread] = {}
        self._lock = Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking the name service for our own name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection its thread."""
        thread = Thread(target=self._converse, args=(request, client_address), daemon=True)
        with self._lock:
            self._open[request] = thread
        thread.start()

    def _converse(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:  # the other side went away, or we are closing
            _log.debug("a connection ended early")
        finally:
            with self._lock:
                del self._open[request]
            self.shutdown_request(request)

    def server_close(self) -> None:
        """Close the listener and every connection."""
        super().server_close()
        self.closing.set()
        with self._lock:
            threads = list(self._open.values())
            for connection in self._open:
                _hang_up(connection)
        for thread in threads:
            if thread is not current_thread():
                thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    """Turns bytes into a Request and a Reply into bytes."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _HTTPServer

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Answer every method alike: what is allowed is the sandbox's to say."""
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        """Say nothing; the ledger knows."""

    def handle_expect_100(self) -> bool:
        """Let a careful client send its body; the base class forgets to flush."""
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what is not HTTP with an envelope, and hang up."""
        del explain
        self.close_connection = True
        envelope = ApiError(code, message or "Bad Request").envelope("")
        body = encode(envelope)
        self._send(Reply(code, headers=(("Content-Type", "application/json"),), body=body))

    def _answer(self) -> None:
        body = self._body()
        if body is None:
            self.send_error(400, "Malformed request body")
            return
        request = Request.parse(self.command, self.path, headers=self.headers.items(), body=body)
        if request.path.startswith(PREFIX):
            self._send(self.server.control.handle(request))
            return
        reply = self.server.sandbox.handle(request)
        if reply.delay > 0:
            self.server.closing.wait(reply.delay)
        if reply.drop is not None:
            self.close_connection = True
            return
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        lines = [f"HTTP/1.1 {reply.status} {self.responses.get(reply.status, ('',))[0]}"]
        lines += [f"{name}: {value}" for name, value in reply.headers]
        lines.append(f"Date: {self.date_time_string()}")
        if reply.status != 204:
            lines.append(f"Content-Length: {len(reply.body)}")
        if self.close_connection:
            lines.append("Connection: close")
        head = "\r\n".join((*lines, "", "")).encode("latin-1")
        self.wfile.write(head if self.command == "HEAD" else head + reply.body)
        self.wfile.flush()

    def _body(self) -> bytes | None:
        """Read the request body; None if its length makes no sense."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._chunks()
        length = self.headers.get("Content-Length", "0").strip()
        if not (length.isascii() and length.isdigit()) or int(length) > BODY_MAX:
            return None
        body = self.rfile.read(int(length))
        return body if len(body) == int(length) else None

    def _chunks(self) -> bytes | None:
        chunks: list[bytes] = []
        total = 0
        while True:
            try:
                size = int(self.rfile.readline(1024).split(b";")[0], 16)
            except ValueError:
                return None
            total += size
            if size < 0 or total > BODY_MAX:
                return None
            if size == 0:
                while self.rfile.readline(65537).strip():  # trailers
                    continue
                return b"".join(chunks)
            chunks.append(self.rfile.read(size))
            self.rfile.readline(3)


def run(
    *,
    portals: int,
    port: int,
    seed: int,
    csv: Path | None,
    announce: Callable[[str], None],
) -> None:
    """Serve a new sandbox until SIGINT or SIGTERM; must run in the main thread."""
    sandbox = Sandbox(portals=portals, seed=seed)
    with _stop_signal() as stopped, serve(sandbox, port=port) as server:
        if csv is not None:
            write_clients_csv(sandbox, csv)
            announce(f"Client list: {csv}")
        announce(f"{portals} simulated portals at {server.url}")
        if csv is not None:
            announce(f"Onboard them: hsagency onboard {csv} --api {server.url}")
        announce(
            f"To come back to this address later: --port {server.url.rpartition(':')[2]} --seed {seed}"
        )
        announce(f"Control API: {server.url}{PREFIX}  {KEY_HEADER}: {server.control_key}")
        announce("Stop it with Ctrl-C.")
        stopped.wait()
    announce("Stopped.")


@contextmanager
def _stop_signal() -> Iterator[Event]:
    stopped = Event()

    def stop(_: int, __: FrameType | None) -> None:
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # already gone
        _log.debug("a connection was gone before it was closed")
