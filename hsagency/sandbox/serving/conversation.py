"""
One HTTP/1.1 connection: bytes into requests, replies into bytes.

It reads what HTTP clients send and no more: no pipelining, no upgrades, no trailers, and nothing
that can be read in two ways. An answer is
one packet where it fits, because head and body apart cost 40 ms by Nagle's algorithm and delayed
acknowledgements.
"""

from __future__ import annotations

import io
import re
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
# Seconds until a connection on which nothing comes is closed; HubSpot's own is not known.
IDLE = 75.0
LINE_MAX = 65_536
HEADERS_MAX = 200
_BODY = "Malformed request body"
# A length or a chunk's size with more digits than these is too much, whatever the number.
_LENGTH, _SIZE = re.compile(r"[0-9]{1,8}"), re.compile(rb"[0-9A-Fa-f]{1,8}")
# Headers that say where a request ends and whom it is for: said once, or twice the same.
_ONCE = frozenset({"content-length", "host", "transfer-encoding"})
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
        idle: float = IDLE,
    ) -> None:
        _bound_waits(connection, idle)
        self._connection, self._idle = connection, idle
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
            self._send(complaint(refused.status, refused.message), head_only=False)
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
        words = line.decode("latin-1").rstrip("\r\n").split(" ")
        if len(words) != 3 or words[2] not in {"HTTP/1.1", "HTTP/1.0"}:
            raise _Refused
        method, target, version = words
        headers = _headers(incoming)
        old = version == "HTTP/1.0"
        self._last = old or _has(headers, "connection", "close")
        if not old and _has(headers, "expect", "100-continue"):
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
        body = b"" if head_only or reply.bare else reply.body
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
        if reply.framing == "chunked" and reply.body and not reply.bare:
            lines.append("Transfer-Encoding: chunked")
        elif reply.framing != "none" and not reply.bare:
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
        self._connection.settimeout(min(_DRAIN_SECONDS, self._idle))
        read = 0
        while read < _DRAIN_MAX:
            data = self._connection.recv(65_536)
            read += len(data)
            if not data:
                return


def _bound_waits(connection: socket.socket, seconds: float) -> None:
    """Have the kernel bound each wait, as Python's own time-out costs two more calls for each."""
    if connection.gettimeout() is None:
        span = struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)


def _has(headers: dict[str, str], name: str, word: str) -> bool:
    """Whether a header names a word among others."""
    found = headers.get(name)
    return found is not None and word in (one.strip() for one in found.lower().split(","))


def _headers(incoming: io.BufferedReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(HEADERS_MAX):
        line = incoming.readline(LINE_MAX)
        if line in {b"\r\n", b"\n"}:
            return headers
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or name != name.strip() or not line.endswith(b"\n"):
            raise _Refused
        name, value = name.lower(), value.strip()
        if name in _ONCE and headers.get(name, value) != value:
            raise _Refused
        headers[name] = value
    raise _Refused(431, "Request Header Fields Too Large")


def _body(incoming: io.BufferedReader, headers: dict[str, str]) -> bytes:
    """Read the request body, if its length makes sense."""
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if coding is not None:
        if length is not None or coding.lower() != "chunked":
            raise _Refused(400, _BODY)
        return _chunks(incoming)
    if length is None or length == "0":
        return b""
    if not _LENGTH.fullmatch(length) or int(length) > BODY_MAX:
        raise _Refused(400, _BODY)
    return _exactly(incoming, int(length))


def _chunks(incoming: io.BufferedReader) -> bytes:
    chunks: list[bytes] = []
    total = 0
    while True:
        line = incoming.readline(1024)
        digits = line.partition(b";")[0].strip(b" \t\r\n")
        if not line.endswith(b"\r\n") or not _SIZE.fullmatch(digits):
            raise _Refused(400, _BODY)
        size = int(digits, 16)
        total += size
        if total > BODY_MAX:
            raise _Refused(400, _BODY)
        if size == 0:
            _headers(incoming)  # trailers, of which nothing is kept
            return b"".join(chunks)
        chunks.append(_exactly(incoming, size))
        if incoming.read(2) != b"\r\n":
            raise _Refused(400, _BODY)


def _exactly(incoming: io.BufferedReader, length: int) -> bytes:
    body = incoming.read(length) or b""
    if len(body) != length:
        raise _Refused(400, _BODY)
    return body


def complaint(status: int, message: str) -> Reply:
    """Return an envelope for what never became a request of the sandbox's."""
    body = encode(ApiError(status, message).envelope(""))
    return Reply(status, headers=(("Content-Type", "application/json"),), body=body)
