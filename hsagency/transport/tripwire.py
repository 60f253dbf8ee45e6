"""
The tripwire: an answer to a live connection that names another portal halts the whole fleet.

It is no proof that an answer is the right portal's, and does not replace the one that is asked
for before a call: answers about CRM records carry no portal id at all. It sees what names a
portal as its own: a whole number `portalId` or `hubId` at the top level of a JSON object, the
portal in a 488 or 477 ("Hub 123 is unknown to this Hublet"), and that of the limit in a 429
(`groupName`). It does not see what begins after the first 64 KiB, what is packed other than by
gzip or deflate, what says that it is no JSON, and what a caller never reads. It looks for what
HubSpot sends when answers are mixed up, not for what somebody who forges them could hide.

What is asked about another portal names that one, and is no alarm: what is nested (properties,
lists of portals, of forms), records of partner clients, the owner of a token, the installs of
an app, a file of a theme, and a portal whose id stands in the path or query of the call. While
a credential is being judged there is no portal to compare with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, cast

import httpx
import orjson

from hsagency.errors import ForeignAnswer
from hsagency.portals import Connection, plain_word
from hsagency.routes import Touched
from hsagency.transport.call import Call
from hsagency.transport.peeking import (
    MOST,
    may_be_an_error,
    may_be_json,
    packing,
    peek,
    unpacked,
    whole_number,
)

Alarm = Callable[[Connection, ForeignAnswer], None]
"""Halts the fleet, and puts on record why."""


def observe(response: httpx.Response, call: Call, *, alarm: Alarm) -> None:
    """
    Look whether an answer names another portal: an error at once, else as its bytes pass.

    Raises `ForeignAnswer` after the alarm: here, or to whoever reads the body.
    """
    if call.connection is None or _tells_of_others(call.touched):
        return
    wire = _Tripwire(response, call, call.connection, alarm)
    if response.status_code >= 400:
        if may_be_an_error(response.headers):
            wire.look(peek(response))
    elif may_be_json(response.headers):
        response.stream = _Watched(response, wire)


def named(body: bytes) -> list[int]:
    """
    Return the portals that a body, or the beginning of one, names at its top level.

    >>> named(b'{"results": [{"portalId": 1}], "portalId": 2, "name": "portalId", "hubId": "3"}')
    [2]
    """
    if b'"portalId"' not in body and b'"hubId"' not in body:  # nearly always
        return []
    if not body.lstrip().startswith(b"{"):
        return []
    try:
        answer = orjson.loads(body)
    except ValueError:  # the beginning of one
        return _scanned(body)
    if not isinstance(answer, dict):
        return []
    said = (answer.get(key) for key in ("portalId", "hubId"))
    return [one for one in said if type(one) is int and 0 < one < _MOST_ID]


def named_in_error(body: bytes, *, status: int) -> list[int]:
    """
    Return the portals that the body of an error names.

    >>> said = b'{"message": "Hub 5 is unknown to this Hublet, but it appears to exist in eu1"}'
    >>> named_in_error(said, status=488), named_in_error(said, status=400)
    ([5], [])
    """
    field, form = _IN_ERRORS.get(status, ("", _NOTHING))
    if not field or field.encode() not in body:
        return named(body)
    try:
        answer = orjson.loads(body)
    except ValueError:
        return named(body)
    said = answer.get(field) if isinstance(answer, dict) else None
    match = form.match(said) if isinstance(said, str) else None
    return named(body) + ([int(match[1])] if match else [])


_MOST_ID: Final = 10**12
# Whatever comes before the next bracket or key; matched on from there, so in one pass.
_TOKEN: Final = re.compile(
    rb'(?:[^"{}\[\]]++|"(?!(?:portalId|hubId)")(?:[^"\\]++|\\.)*+")*+'
    rb'("(?:portalId|hubId)"|[{}\[\]])',
    re.DOTALL,
)
_NUMBER: Final = re.compile(rb"\s*:\s*([1-9][0-9]{0,11})(?=\s*[,}])")
_HUB: Final = re.compile(r"Hub ([1-9][0-9]{0,11}) is ", re.ASCII)
_GROUP: Final = re.compile(r"publicapi:private_app-[a-z-]+:([1-9][0-9]{0,11}):[0-9]+$", re.ASCII)
_NOTHING: Final = re.compile(r"(?!)")
_IN_ERRORS: Final = {
    429: ("groupName", _GROUP),
    477: ("message", _HUB),
    488: ("message", _HUB),
}
"""By status, which text names a portal, and how; nobody has written down any other."""


def _scanned(body: bytes) -> list[int]:
    """Return what the beginning of a body names at its top level, as far as it goes."""
    found, depth, at = [], 0, 0
    while token := _TOKEN.match(body, at):
        text, at = token[1], token.end()
        if text in b"{[":
            depth += 1
        elif text in b"}]":
            depth -= 1
        elif depth == 1 and (number := _NUMBER.match(body, at)):
            found.append(int(number[1]))
    return found


def _tells_of_others(touched: Touched) -> bool:
    """Say whether an answer to a call may well name another portal than the one asked."""
    if touched.family == "apps" or touched.object_type == "partner_clients":
        return True
    return touched.template.startswith("/oauth/") or "/source-code/" in touched.template


def _names(asked: bytes, portal: int) -> bool:
    """Say whether a path or query asks about a portal by its id."""
    return re.search(rb"(?<![0-9])%d(?![0-9])" % portal, asked) is not None


class _Tripwire:
    """What one answer may name, and what happens if it names anything else."""

    def __init__(
        self, response: httpx.Response, call: Call, connection: Connection, alarm: Alarm
    ) -> None:
        self._connection, self._alarm = connection, alarm
        self._status, self._headers = response.status_code, response.headers
        self._asked = call.request.url.raw_path

    def look(self, body: bytes) -> None:
        """Raise the alarm if the beginning of a body names another portal."""
        found = named(body) if self._status < 400 else named_in_error(body, status=self._status)
        expected = self._connection.portal_id
        for got in found:
            if got != expected and not _names(self._asked, got):
                error = ForeignAnswer(expected=expected, got=got)
                error.status_code = self._status
                error.correlation_id = plain_word(self._headers.get("x-hubspot-correlation-id"))
                self._alarm(self._connection, error)
                raise error


class _Watched(httpx.SyncByteStream):
    """A body on its way to the caller, whose beginning is looked at before all of it is there."""

    def __init__(self, response: httpx.Response, wire: _Tripwire) -> None:
        self._stream, self._wire = cast("httpx.SyncByteStream", response.stream), wire
        self._packing = packing(response.headers)
        length = whole_number(response.headers.get("content-length"))
        self._enough = MOST if length is None else min(length, MOST)
        self._kept: list[bytes] = []
        self._size = 0
        self._looked = self._packing is None

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            if not self._looked:
                self._kept.append(part)
                self._size += len(part)
                if self._size >= self._enough:
                    self._look()
            yield part
        self._look()

    def close(self) -> None:
        """Let go of the connection."""
        try:
            self._stream.close()
        finally:
            self._look()  # a caller may stop before the end

    def _look(self) -> None:
        if not self._looked:
            self._looked = True
            body = b"".join(self._kept)[: MOST + 1]
            self._wire.look(unpacked(body) if self._packing else body)
            self._kept.clear()
