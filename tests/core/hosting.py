"""A host that is a bare socket, and says exactly what a test wants it to say."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Script = Callable[[socket.socket, "Host"], object]


@dataclass
class Host:
    """A host, and what it heard: one list of requests for each connection."""

    url: str = ""
    heard: list[list[bytes]] = field(default_factory=list)

    def requests(self) -> list[bytes]:
        return [one for connection in self.heard for one in connection]


def request_from(connection: socket.socket) -> bytes:
    """Read one request with its body; nothing is a hang-up."""
    got = b""
    while b"\r\n\r\n" not in got:
        more = connection.recv(65536)
        if not more:
            return b""
        got += more
    head, _, body = got.partition(b"\r\n\r\n")
    lengths = [one for one in head.lower().split(b"\r\n") if one.startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0].partition(b":")[2]):
        more = connection.recv(65536)
        if not more:
            return b""
        body += more
    return head + b"\r\n\r\n" + body


def saying(*answers: bytes, reset: bool = False) -> Script:
    """Give an answer to each request of a connection, then hang up."""

    def script(connection: socket.socket, host: Host) -> None:
        mine: list[bytes] = []
        host.heard.append(mine)
        for answer in answers:
            request = request_from(connection)
            if not request:
                return
            mine.append(request)
            connection.sendall(answer)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return script


@contextmanager
def hosting(*scripts: Script, tls: ssl.SSLContext | None = None) -> Iterator[Host]:
    """Answer connections with the scripts in turn, the last one again and again."""
    threads: list[threading.Thread] = []
    host = Host()

    def serve(plain: socket.socket, script: Script) -> None:
        with suppress(OSError), plain:
            connection = tls.wrap_socket(plain, server_side=True) if tls else plain
            with connection:
                script(connection, host)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                script = scripts[min(len(threads), len(scripts) - 1)]
                threads.append(
                    threading.Thread(target=serve, args=(connection, script), daemon=True)
                )
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        scheme = "https" if tls else "http"
        host.url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield host
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(10)
            for thread in threads:
                thread.join(10)
            assert not any(one.is_alive() for one in threads)
