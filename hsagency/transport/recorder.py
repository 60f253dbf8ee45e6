"""The second station of a call: its intent is durable before it leaves, its outcome follows."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final, NoReturn, cast

import httpx
import orjson

from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Event, Outcome, outcome_of
from hsagency.errors import AuditError, HsAgencyError
from hsagency.halt import Halt
from hsagency.portals import plain_word
from hsagency.transport import answers
from hsagency.transport.binding import Binding, reason_of, what
from hsagency.transport.clock import ClockCheck


class Recorder(httpx.BaseTransport):
    """Makes a record durable before each attempt and adds another when its headers arrive."""

    def __init__(
        self, inner: httpx.BaseTransport, *, binding: Binding, writer: AuditWriter, halt: Halt
    ) -> None:
        self._inner, self._binding = inner, binding
        self._writer, self._halt = writer, halt
        slug, portal_id = binding.client_slug, binding.portal_id
        self._clock = ClockCheck(writer, slug=slug, portal_id=portal_id)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request between two records."""
        touched = what(request)
        call = self._binding.describe(request, touched)
        self._append({"event": Event.STARTED, **call}, durable=True)  # raises: nothing is sent
        started = time.perf_counter_ns()
        try:
            self._halt.check()  # somebody may have halted the fleet while the disk was busy
            response = self._inner.handle_request(request)
        # Whatever interrupted it, the call may have reached HubSpot all the same.
        except BaseException as error:
            self._lost(call, started, error)
            raise
        try:
            self._append(_ended(call, started, response=response), durable=False)
            self._clock.look(response.headers)
            self._explain(call, response)
            answers.observe(request, response, touched, note=partial(self._note, call))
        except AuditError as error:
            response.close()
            _outcome_lost(error)
        except BaseException:
            response.close()
            raise
        return response

    def close(self) -> None:
        """Close what is behind."""
        self._inner.close()

    def _lost(self, call: Mapping[str, object], started: int, error: BaseException) -> None:
        """Record that no answer came; if not even that can be written, say so."""
        ended = _ended(call, started, error=error)
        try:
            self._append(ended, durable=False)
        except AuditError as unwritten:
            if ended["outcome"] == Outcome.REFUSED:
                raise
            _outcome_lost(unwritten)

    def _append(self, fields: Mapping[str, object], *, durable: bool) -> None:
        self._writer.append(self._binding.client_slug, fields, durable=durable)

    def _explain(self, call: Mapping[str, object], response: httpx.Response) -> None:
        """Add what HubSpot names as the cause of an error, which only the body says."""
        if response.status_code < 400 or not _is_worth_a_look(response.headers):
            return
        found = _cause(_peek(response))
        if found:
            self._note(call, found)

    def _note(self, call: Mapping[str, object], found: Mapping[str, object]) -> None:
        detail = {"event": Event.DETAIL, "callId": call["callId"], **found}
        self._append(detail, durable=False)


_MOST: Final = 1 << 16  # bytes looked at, packed and unpacked; an error of HubSpot's is smaller
_PATIENCE: Final = 1.0  # seconds; such a body comes with its headers
_PACKINGS: Final = ("", "identity", "gzip", "deflate")


def _is_worth_a_look(headers: httpx.Headers) -> bool:
    """Say whether a body can be a small JSON object, as an error of HubSpot's is."""
    length = _number(headers.get("content-length"))
    packing = headers.get("content-encoding", "").strip().lower()
    small = length is None or length <= _MOST
    return small and packing in _PACKINGS and "json" in headers.get("content-type", "")


def _peek(response: httpx.Response) -> bytes:
    """Return the beginning of the body, unpacked, and leave the response as unread as it was."""
    body = _Peeked(cast("httpx.SyncByteStream", response.stream))
    response.stream = body
    raw = body.beginning()
    return _unpacked(raw) if response.headers.get("content-encoding") else raw


class _Peeked(httpx.SyncByteStream):
    """A body of which the beginning has been read, for whoever reads all of it."""

    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream, self._rest = stream, iter(stream)
        self._read: list[bytes] = []
        self._error: httpx.TransportError | None = None

    def beginning(self) -> bytes:
        """Read until there is enough, nothing more, or no more patience."""
        until = time.monotonic() + _PATIENCE
        size = 0
        try:
            while size <= _MOST and time.monotonic() < until:
                self._read.append(next(self._rest))
                size += len(self._read[-1])
        except StopIteration:
            pass
        except httpx.TransportError as error:  # for whoever reads that far
            self._error = error
        return b"".join(self._read)[: _MOST + 1]

    def __iter__(self) -> Iterator[bytes]:
        while self._read:
            yield self._read.pop(0)
        if self._error is not None:
            raise self._error
        yield from self._rest

    def close(self) -> None:
        """Let go of the connection."""
        self._stream.close()


def _unpacked(raw: bytes) -> bytes:
    """Unpack no more than is looked at, whatever a few bytes claim to hold."""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(raw, _MOST + 1)
    except zlib.error:
        return b""  # the caller will be told when reading it


def _ended(
    call: Mapping[str, object],
    started: int,
    *,
    response: httpx.Response | None = None,
    error: BaseException | None = None,
) -> dict[str, object]:
    ended: dict[str, object] = {
        "event": Event.FINISHED,
        "callId": call["callId"],
        "portalId": call["portalId"],
        "durationMs": round((time.perf_counter_ns() - started) / 1e6),
        "outcome": Outcome.UNKNOWN,
    }
    if isinstance(error, HsAgencyError) and not error.under_way:  # stopped here: nothing left
        return {**ended, "outcome": Outcome.REFUSED, "reason": reason_of(error)}
    if error is not None:
        return {**ended, "error": type(error).__name__}
    if response is not None:
        ended["statusCode"] = response.status_code
        ended["outcome"] = outcome_of(response.status_code)
        headers = response.headers
        ended["rateLimitRemaining"] = _number(headers.get("x-hubspot-ratelimit-daily-remaining"))
        ended["rateLimitDaily"] = _number(headers.get("x-hubspot-ratelimit-daily"))
        ended["correlationId"] = plain_word(headers.get("x-hubspot-correlation-id"))
    return ended


_DIGITS: Final = 15  # more than any limit, and no number that JSON readers round


def _number(header: str | None) -> int | None:
    """Return a header's number; absent or unreadable is not zero."""
    if header and header.isascii() and header.isdigit() and len(header) <= _DIGITS:
        return int(header)
    return None


def _cause(body: bytes) -> dict[str, str]:
    """Return policy and category of an error body; its messages may quote personal data."""
    if len(body) > _MOST:
        return {}
    try:
        answer = orjson.loads(body)
    except ValueError:
        return {}
    if not isinstance(answer, dict):
        return {}
    words = {name: plain_word(answer.get(name)) for name in ("policyName", "category", "errorType")}
    return {name: word for name, word in words.items() if word}


def _outcome_lost(error: AuditError) -> NoReturn:
    raise AuditError(
        "The call was sent, but its outcome could not be recorded; the log says 'unknown'. "
        + error.message,
        hint=error.hint,
    ) from error
