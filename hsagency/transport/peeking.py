"""Looking at the beginning of an answer's body, for whoever reads all of it afterwards."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from typing import Final, cast

import httpx

MOST: Final = 1 << 16
"""Bytes looked at, packed and unpacked; an error of HubSpot's is smaller."""
_PATIENCE: Final = 1.0  # seconds; such a body comes with its headers
_UNPACKED: Final = ("gzip", "deflate")
_DIGITS: Final = 15  # more than any limit, and no number that JSON readers round


def may_be_an_error(headers: httpx.Headers) -> bool:
    """Say whether a body can be a small JSON object, as an error of HubSpot's is."""
    return is_small(headers) and may_be_json(headers)


def may_be_json(headers: httpx.Headers) -> bool:
    """Say whether a body can be JSON; what does not say what it is can be anything."""
    said = headers.get("content-type", "").lower()
    return not said or "json" in said


def is_small(headers: httpx.Headers) -> bool:
    """Say whether a body can be looked at as a whole, as far as its headers go."""
    length = whole_number(headers.get("content-length"))
    return (length is None or length <= MOST) and packing(headers) is not None


def packing(headers: httpx.Headers) -> str | None:
    """
    Return how a body is packed, nothing much where it is not, and None where not as we know.

    >>> packing(httpx.Headers({"content-encoding": "GZip, identity"})), packing(httpx.Headers())
    ('gzip', '')
    """
    names = [one.strip() for one in headers.get("content-encoding", "").lower().split(",")]
    steps = [one for one in names if one not in ("", "identity")]
    if not steps:
        return ""
    return steps[0] if len(steps) == 1 and steps[0] in _UNPACKED else None


def peek(response: httpx.Response) -> bytes:
    """
    Return the beginning of the body, unpacked, and leave the response as unread as it was.

    What is longer than `MOST` is there is more of.
    """
    if not isinstance(response.stream, _Peeked):
        response.stream = _Peeked(cast("httpx.SyncByteStream", response.stream))
    raw = response.stream.beginning()
    return unpacked(raw) if packing(response.headers) else raw


def whole_number(header: str | None) -> int | None:
    """Return a header's number; absent or unreadable is not zero."""
    if header and header.isascii() and header.isdigit() and len(header) <= _DIGITS:
        return int(header)
    return None


class _Peeked(httpx.SyncByteStream):
    """A body of which the beginning has been read, for whoever reads all of it."""

    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream, self._rest = stream, iter(stream)
        self._read: list[bytes] = []
        self._beginning: bytes | None = None
        self._error: httpx.TransportError | None = None

    def beginning(self) -> bytes:
        """Read until there is enough, nothing more, or no more patience; once."""
        if self._beginning is None:
            self._beginning = self._look()
        return self._beginning

    def _look(self) -> bytes:
        until = time.monotonic() + _PATIENCE
        size = 0
        try:
            while size <= MOST and time.monotonic() < until:
                self._read.append(next(self._rest))
                size += len(self._read[-1])
        except StopIteration:
            pass
        except httpx.TransportError as error:  # for whoever reads that far
            self._error = error
        return b"".join(self._read)[: MOST + 1]

    def __iter__(self) -> Iterator[bytes]:
        while self._read:
            yield self._read.pop(0)
        if self._error is not None:
            raise self._error
        yield from self._rest

    def close(self) -> None:
        """Let go of the connection."""
        self._stream.close()


def unpacked(raw: bytes) -> bytes:
    """Unpack no more than is looked at, whatever a few bytes claim to hold."""
    for form in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # some send deflate without its head
        try:
            return zlib.decompressobj(form).decompress(raw, MOST + 1)
        except zlib.error:
            continue  # the caller will be told when reading it
    return b""
