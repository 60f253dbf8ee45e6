"""Carries real HTTP connections on loopback to a sandbox, plain or with a certificate."""

from __future__ import annotations

import logging
import secrets
import socket
import socketserver
import sys
from pathlib import Path
from ssl import SSLContext, SSLSocket
from threading import Event, Lock, Thread, current_thread
from typing import TYPE_CHECKING, Any

from hsagency.errors import SandboxError
from hsagency.sandbox.control.api import Control, is_control
from hsagency.sandbox.core import Sandbox
from hsagency.sandbox.defects import broken, told
from hsagency.sandbox.hosts import is_here
from hsagency.sandbox.serving.conversation import IDLE, Conversation, complaint
from hsagency.sandbox.wire import Reply, Request

if TYPE_CHECKING:
    from hsagency.sandbox.serving.tls import Identity, Variant

CONNECTIONS_MAX = 400
_HOSTS = {"127.0.0.1", "localhost"}
_log = logging.getLogger(__name__)


def serve(
    sandbox: Sandbox, *, host: str = "127.0.0.1", port: int = 0, tls: bool | Variant = False
) -> SandboxServer:
    """
    Serve a sandbox in a background thread until the server is closed; 0 takes a free port.

    With `tls` it speaks HTTPS with a certificate of its own authority, or with one that a careful
    client refuses: "expired", "not-yet-valid", "wrong-name" or "untrusted".
    """
    if host not in _HOSTS:
        raise SandboxError(
            f"The sandbox serves this machine only, not {host}; it was not started.",
            hint="Leave the host at 127.0.0.1.",
        )
    if tls is False:
        return SandboxServer(sandbox, port=port)
    # imported here: only HTTPS needs the library that makes certificates
    from hsagency.sandbox.serving.tls import make_identity

    return SandboxServer(sandbox, port=port, identity=make_identity("good" if tls is True else tls))


class SandboxServer:
    """
    A sandbox on a socket; a context manager.

    `url` is its base address. `control_key` opens the control API and is new for every server.
    Over HTTPS, `ca_file` is the certificate of the authority to trust, until the server is closed,
    and `ca_pem` the same as text.
    """

    def __init__(self, sandbox: Sandbox, *, port: int, identity: Identity | None = None) -> None:
        self.sandbox, self._identity = sandbox, identity
        self.control_key = secrets.token_urlsafe(24)
        context = identity.context if identity else None
        try:
            self._listener = _Listener(sandbox, port=port, key=self.control_key, context=context)
        except (OSError, OverflowError) as error:
            if identity is not None:
                identity.forget()
            raise SandboxError(
                f"Port {port} cannot be used ({error}); the sandbox was not started.",
                hint="Leave the port out to take a free one.",
            ) from error
        scheme = "https" if identity else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.server_address[1]}"
        self._thread = Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> SandboxServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def ca_file(self) -> Path:
        """Where the authority's certificate is."""
        return self._secured.ca_file

    @property
    def ca_pem(self) -> str:
        """The authority's certificate."""
        return self._secured.ca_pem

    @property
    def _secured(self) -> Identity:
        if self._identity is None:
            raise SandboxError(
                "This server speaks plain HTTP and has no certificate.",
                hint="Start it with tls=True.",
            )
        return self._identity

    def close(self) -> None:
        """Stop listening, drop open connections and wait for their threads; twice is fine."""
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()
        if self._identity is not None:
            self._identity.forget()


class _Listener(socketserver.TCPServer):
    """One thread a connection, all of which can be ended."""

    allow_reuse_address = True
    request_queue_size = 256

    def __init__(
        self, sandbox: Sandbox, *, port: int, key: str, context: SSLContext | None
    ) -> None:
        self._sandbox, self._control = sandbox, Control(sandbox, key=key)
        self._context = context
        self._closing = Event()
        self._open: dict[socket.socket, Thread] = {}
        self._lock = Lock()
        super().__init__(("127.0.0.1", port), socketserver.BaseRequestHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection its thread; a caller who is slow to shake hands holds up nobody."""
        del client_address
        thread = Thread(target=self._converse, args=(request,), daemon=True)
        with self._lock:
            full = len(self._open) >= CONNECTIONS_MAX
            if not full:
                self._open[request] = thread
        if full:
            _log.warning("%d connections are open; another one was closed", CONNECTIONS_MAX)
            request.close()
            return
        thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what went wrong with a connection that got no thread."""
        del client_address
        with self._lock:
            self._open.pop(request, None)
        error = sys.exception()
        if isinstance(error, Exception):
            told(error, "A connection was closed")

    def _converse(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                connection = self._wrapped(connection, self._context)
            if isinstance(connection, SSLSocket) and not self._closing.is_set():
                connection.do_handshake()
            Conversation(
                connection, answer=self._answer, now=self._sandbox.clock.now, closing=self._closing
            ).hold()
        except OSError:  # the other side went away, or we are closing
            _log.debug("a connection ended early")
        except Exception as error:  # noqa: BLE001 - a traceback would show what was sent
            told(error, "A connection was closed")
        finally:
            with self._lock:
                self._open.pop(connection, None)
            connection.close()

    def _wrapped(self, plain: socket.socket, context: SSLContext) -> SSLSocket:
        """Put a socket for HTTPS in the place of a plain one, once something comes."""
        plain.settimeout(IDLE)
        if not plain.recv(1, socket.MSG_PEEK):  # wrapping one that has gone would leave it open
            raise ConnectionAbortedError
        wrapped = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._open[wrapped] = self._open.pop(plain)
        return wrapped

    def _answer(self, request: Request) -> Reply:
        if not is_here(request.headers.get("host", "localhost")):
            return complaint(421, "This server answers for this machine only")
        if not is_control(request.path):
            return self._sandbox.handle(request)
        try:
            return self._control.handle(request)
        except Exception as error:  # noqa: BLE001 - the caller is owed an answer
            return broken(error, id_="")

    def server_close(self) -> None:
        """Close the listener and every connection."""
        super().server_close()
        self._closing.set()
        with self._lock:
            threads = list(self._open.values())
            for connection in self._open:
                _hang_up(connection)
        for thread in threads:
            if thread is not current_thread():
                thread.join(5)


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # already gone
        _log.debug("a connection was gone before it was closed")
