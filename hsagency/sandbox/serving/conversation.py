"""
One HTTP/1.1 connection: bytes into requests, replies into bytes.

It reads what HTTP clients send and no more: no pipelining, no upgrades, no trailers. An answer is
one packet where it fits, because head and body apart cost 40 ms by Nagle's algorithm and delayed
acknowledgements.
"""

from __future__ import annotations

import io
import socket
import struct
from collections.abc import Callable
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus
from threading import Event

from hsagency.sandbox.wire import (
    TARGET_MAX,
    ApiError,
    Reply,
    Request,
    encode,
    pieces,
    target_too_long,
)

BODY_MAX = 10 * 1024 * 1024
LINE_MAX = 65_536
HEADERS_MAX = 200
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
# What is read and thrown away, so that a caller who still sends hears why it was refused.
_DRAIN_SECONDS, _DRAIN_MAX = 2.0, 16 * BODY_MAX
_RESET = struct.pack("ii", 1, 0)


class _Refused(Exception):
    """What came is not HTTP, or too much of it."""

    def __init__(self, status: int = 400, message: str = "Bad Request") -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Conversation:
    """Answers the requests of one connection until either side has enough."""

    def __init__(
        self,
        connection: socket.socket,
        *,
        answer: Callable[[Request], Reply],
        now: Callable[[], datetime],
        closing: Event,
    ) -> None:
        self._connection = connection
        self._answer, self._now, self._closing = answer, now, closing
        self._last = False
        self._dated: tuple[datetime | None, str] = (None, "")

    def hold(self) -> None:
        """Answer one request after the other, then close the connection."""
        try:
            with self._connection.makefile("rb") as incoming:
                while not self._last and not self._closing.is_set():
                    self._one(incoming)
        finally:
            self._connection.close()

    def _one(self, incoming: io.BufferedReader) -> None:
        try:
            request, too_long = self._read(incoming)
        except _Refused as refused:
            self._last = True
            self._send(_complaint(refused), head_only=False)
            self._drain()
            return
        if request is not None:
            reply = target_too_long() if too_long else self._answer(request)
            self._deliver(reply, head_only=request.method == "HEAD")

    def _read(self, incoming: io.BufferedReader) -> tuple[Request | None, bool]:
        """Return the next request, and whether its target is too long; None: there is no more."""
        line = incoming.readline(LINE_MAX)
        if line in {b"\r\n", b"\n"}:  # some clients end a body with one
            line = incoming.readline(LINE_MAX)
        if not line:
            self._last = True
            return None, False
        if not line.endswith(b"\n"):
            raise _Refused(414, "URI Too Long") if len(line) == LINE_MAX else _Refused()
        words = line.decode("latin-1").split()
        if len(words) != 3 or words[2] not in {"HTTP/1.1", "HTTP/1.0"}:
            raise _Refused
        method, target, version = words
        headers = _headers(incoming)
        self._last = version == "HTTP/1.0" or headers.get("connection", "").lower() == "close"
        if headers.get("expect", "").lower() == "100-continue":
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = _body(incoming, headers)
        request = Request.parse(method, target, headers=headers.items(), body=body)
        return request, len(target) > TARGET_MAX

    def _deliver(self, reply: Reply, *, head_only: bool) -> None:
        if reply.delay > 0:
            self._closing.wait(reply.delay)
        if reply.drop is None:
            self._send(reply, head_only=head_only)
            return
        self._last = True
        if reply.reset:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def _send(self, reply: Reply, *, head_only: bool) -> None:
        body = b"" if head_only else reply.body
        if reply.framing == "none" or (reply.cut is not None and body):
            self._last = True
        head = self._head(reply)
        if reply.drip > 0 and body:
            self._drip(head, pieces(body), gap=reply.drip)
        elif reply.framing == "chunked" and body:
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces(body))
            self._connection.sendall(head + chunks + b"0\r\n\r\n")
        else:
            self._connection.sendall(head + body[: reply.cut])

    def _drip(self, head: bytes, parts: list[bytes], *, gap: float) -> None:
        self._connection.sendall(head)
        for part in parts:
            if self._closing.wait(gap / len(parts)):
                return
            self._connection.sendall(part)

    def _head(self, reply: Reply) -> bytes:
        lines = [f"HTTP/1.1 {reply.status} {_PHRASES.get(reply.status, '')}"]
        lines += [f"{name}: {value}" for name, value in reply.headers]
        lines.append(f"Date: {self._date()}")
        if reply.framing == "chunked" and reply.body:
            lines.append("Transfer-Encoding: chunked")
        elif reply.framing != "none" and reply.status != 204:
            lines.append(f"Content-Length: {len(reply.body)}")
        if self._last:
            lines.append("Connection: close")
        return "\r\n".join((*lines, "", "")).encode("latin-1")

    def _date(self) -> str:
        """Write the sandbox's own time: a wait until a date is reckoned from it."""
        now = self._now().replace(microsecond=0)
        if self._dated[0] != now:
            self._dated = (now, format_datetime(now, usegmt=True))
        return self._dated[1]

    def _drain(self) -> None:
        self._connection.shutdown(socket.SHUT_WR)
        self._connection.settimeout(_DRAIN_SECONDS)
        read = 0
        while read < _DRAIN_MAX:
            data = self._connection.recv(65_536)
            read += len(data)
            if not data:
                return


def _headers(incoming: io.BufferedReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(HEADERS_MAX):
        line = incoming.readline(LINE_MAX)
        if line in {b"\r\n", b"\n"}:
            return headers
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or name != name.strip() or not line.endswith(b"\n"):
            raise _Refused
        headers[name.lower()] = value.strip()
    raise _Refused(431, "Request Header Fields Too Large")


def _body(incoming: io.BufferedReader, headers: dict[str, str]) -> bytes:
    """Read the request body, if its length makes sense."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return _chunks(incoming)
    length = headers.get("content-length", "0")
    if length == "0":
        return b""
    if not (length.isascii() and length.isdigit()) or int(length) > BODY_MAX:
        raise _Refused(400, "Malformed request body")
    return _exactly(incoming, int(length))


def _chunks(incoming: io.BufferedReader) -> bytes:
    chunks: list[bytes] = []
    total = 0
    while True:
        try:
            size = int(incoming.readline(1024).split(b";")[0], 16)
        except ValueError as error:
            raise _Refused(400, "Malformed request body") from error
        total += size
        if size < 0 or total > BODY_MAX:
            raise _Refused(400, "Malformed request body")
        if size == 0:
            while incoming.readline(LINE_MAX).strip():  # trailers
                continue
            return b"".join(chunks)
        chunks.append(_exactly(incoming, size))
        incoming.readline(3)


def _exactly(incoming: io.BufferedReader, length: int) -> bytes:
    body = incoming.read(length)
    if len(body) != length:
        raise _Refused(400, "Malformed request body")
    return body


def _complaint(refused: _Refused) -> Reply:
    """Return an envelope for what never became a request."""
    body = encode(ApiError(refused.status, refused.message).envelope(""))
    return Reply(refused.status, headers=(("Content-Type", "application/json"),), body=body)
