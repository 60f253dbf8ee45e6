"""
What an error of httpx's says to whoever made the call: which portal, what became of it, what next.

Each stays an error of its own kind, so that `except httpx.ReadTimeout` is still true, and is an
`HsAgencyError` as well, which a notebook shows in two lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

import httpx

from hsagency.audit.record import outcome_of
from hsagency.errors import HsAgencyError
from hsagency.transport.answer import Asked, is_read
from hsagency.transport.call import Call
from hsagency.transport.leaving import never_left
from hsagency.transport.wire import MOST
from hsagency.verifier import HUBSPOT, on_the_way

_NETWORK: Final = "Check the network of this machine."
_SANDBOX: Final = "Start the sandbox again with the command it printed."
_LONGER: Final = "Call again, or give it longer: client.get(path, timeout=120)."
_FEWER: Final = (
    "Make fewer calls at once, close the answers that are streamed, or give it longer: "
    "timeout=httpx.Timeout(60, pool=300)."
)


class CallLost(HsAgencyError, httpx.TransportError):
    """A call got no whole answer; it is the error of httpx's that bears its name as well."""

    said = ""
    """What httpx says of it."""
    method = ""
    route = ""
    client_slug: str | None = None
    portal_id: int | None = None
    broke_off = False
    """Whether an answer began, and its body did not come to its end."""


def lost(error: httpx.TransportError, call: Call) -> CallLost:
    """Return what a call raises that certainly never left, or that is a read without an answer."""
    asked, kind = Asked.of(call), type(error).__name__
    tries = "" if call.attempt == 1 else f" in {call.attempt} attempts"
    found = on_the_way(error, who=asked.who)
    if found is not None:
        return _told(error, call, f"{asked.portal}: {found.message}", found.hint)
    if never_left(error):
        said = f"could not be reached{tries} ({kind}), so nothing was sent."
        recorded = "The log calls it 'unknown', as it does every call without an answer."
        hint = _NETWORK if asked.who == HUBSPOT else _SANDBOX
        return _told(error, call, f"{asked.opening} {said} {recorded}", hint)
    said = f"gave no answer{tries} ({kind}). {asked.method} {asked.route} only reads, so nothing"
    hint = _LONGER if isinstance(error, httpx.TimeoutException) else "Call again."
    return _told(error, call, f"{asked.opening} {said} was changed.", hint)


def no_place(call: Call, seconds: float | None) -> CallLost:
    """Return what a call raises for which no connection came free in time."""
    asked = Asked.of(call)
    said = (
        f"{asked.portal}: all {MOST} connections to {asked.who} are in use, and none came free in "
        f"{seconds:g} seconds. Nothing was sent."
    )
    return _told(httpx.PoolTimeout(f"all {MOST} connections are in use"), call, said, _FEWER)


class Told(httpx.SyncByteStream):
    """The body of an answer, which says whose it is if it breaks off."""

    def __init__(self, stream: object, call: Call, status: int) -> None:
        self._stream = cast("httpx.SyncByteStream", stream)
        self._call, self._status = call, status

    def __iter__(self) -> Iterator[bytes]:
        broken = None
        try:
            yield from self._stream
        except httpx.TransportError as error:
            if isinstance(error, HsAgencyError):
                raise
            broken = error
        if broken is not None:
            raise _broken_off(broken, self._call, self._status)

    def close(self) -> None:
        """Let go of the connection."""
        self._stream.close()


def _broken_off(error: httpx.TransportError, call: Call, status: int) -> CallLost:
    asked = Asked.of(call)
    said = (
        f"{asked.opening} answered {asked.method} {asked.route} ({status}), and the answer broke "
        f"off ({type(error).__name__}). It is recorded as {outcome_of(status)}."
    )
    if is_read(call.request.method, call.touched):
        hint = "Call again: it only reads."
    elif status < 400:
        hint = "It was carried out: look in HubSpot for what it did, rather than repeat it."
    else:
        hint = "Look in HubSpot whether it took effect before you repeat it."
    broken = _told(error, call, said, hint)
    broken.under_way = broken.broke_off = True
    return broken


def _told(error: httpx.TransportError, call: Call, message: str, hint: str) -> CallLost:
    told = _both(type(error))(message, hint=hint)
    told.said, told.under_way = str(error), not never_left(error)
    told.method, told.route = call.request.method, call.touched.template
    told.client_slug = call.binding.candidate_slug or call.binding.client_slug
    told.portal_id = call.binding.portal_id
    return told


_BOTH: Final[dict[type[httpx.TransportError], type[CallLost]]] = {}


def _both(kind: type[httpx.TransportError]) -> type[CallLost]:
    """Return a kind of httpx's error that is ours too, under the same name."""
    if kind not in _BOTH:
        _BOTH[kind] = _made(kind)
    return _BOTH[kind]


def _made(kind: type[httpx.TransportError]) -> type[CallLost]:
    def reduced(self: CallLost) -> tuple[object, ...]:
        # The request holds what was submitted, which is nobody's beyond this process.
        return _rebuilt, (kind, {**self.__dict__, "_request": None})

    said = {"__module__": kind.__module__, "__doc__": kind.__doc__, "__reduce__": reduced}
    return cast("type[CallLost]", type(kind.__name__, (kind, CallLost), said))


def _rebuilt(kind: type[httpx.TransportError], kept: dict[str, Any]) -> CallLost:
    error = _both(kind)(kept["message"], hint=kept["hint"])
    error.__dict__.update(kept)
    return error
