"""The first station of a call: what must not leave is refused here, and recorded as refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import unquote

import httpx

from hsagency.audit.journal.writer import AuditWriter
from hsagency.errors import AuditError, CallRefused, HsAgencyError
from hsagency.halt import Halt
from hsagency.portals import ConnectionType, looks_like_token
from hsagency.routes import OperationClass, Touched, refusal, secret_in_url
from hsagency.transport.binding import METHODS, Binding, is_label, path_of, what
from hsagency.transport.call import Call, Grant
from hsagency.transport.refusing import record_refusal

Current = Callable[[], Grant]
"""Returns who a client speaks for now; raises where that is nobody any more."""

Prove = Callable[[Grant, OperationClass], Grant]
"""Returns the grant once its credential is proven for what a call does; else raises."""


class Guard:
    """
    Lets a call pass to the pinned host only, with nothing of the caller's that could steer it.

    `current` is asked for every attempt, so that a new credential counts at the next one.
    """

    def __init__(
        self,
        grant: Grant,
        *,
        writer: AuditWriter,
        halt: Halt,
        current: Current | None = None,
        prove: Prove | None = None,
    ) -> None:
        self._grant, self._writer, self._halt = grant, writer, halt
        self._current, self._prove = current, prove

    def admit(self, request: httpx.Request, *, attempt: int = 1) -> Call:
        """
        Return a request as a call that may leave.

        Raises `CallRefused`, or what `current` and `prove` raise, before a byte leaves; the
        refusal is a record of its own.
        """
        copy = _copy(request)
        touched = what(copy)
        try:
            self._halt.check()
            if self._current is not None:
                self._grant = self._current()
            grant = self._grant
            self._refuse_unfit(copy, touched, grant.binding)
            if self._prove is not None:
                grant = self._proven(grant, copy, touched)
        except AuditError as error:  # there is nowhere to record it
            error.under_way = False  # what was sent was a proof, and not this call
            raise
        except HsAgencyError as error:
            error.under_way = False
            self._record(
                Call(request=copy, touched=touched, grant=self._grant, attempt=attempt), error
            )
            raise
        return Call(request=copy, touched=touched, grant=grant, attempt=attempt)

    def _proven(self, grant: Grant, request: httpx.Request, call: Touched) -> Grant:
        """Return the grant that counts once the credential is proven, if it allows the call."""
        assert self._prove is not None  # noqa: S101
        proven = self._prove(grant, call.operation_class)
        if proven is not grant:  # HubSpot was asked, and the connection may be another since
            self._grant = proven
            self._refuse_unfit(request, call, proven.binding)
        return proven

    def _refuse_unfit(self, request: httpx.Request, call: Touched, binding: Binding) -> None:
        """Raise `CallRefused` for the first thing that is wrong with a request."""
        for find in (_misdirected, _steering):
            _refuse_if(find(request, binding.host), binding)
        _refuse_if(_unfit(request.url), binding)
        _refuse_if(_mislabelled(request) or _mistimed(request), binding)
        if not _allows_unclassified(request, call, binding):
            _refuse_if(_not_its_type(binding, call), binding)

    def _record(self, call: Call, error: HsAgencyError) -> None:
        instead: dict[str, object] = {}
        if _mislabelled(call.request):
            instead["purpose"] = call.binding.purpose
        if _misdirected(call.request, call.binding.host):
            # Another host's address is not ours to write down.
            instead |= {"path": "{elsewhere}", "identifiers": None}
            instead |= {"objectType": None, "objectId": None}
        record_refusal(self._writer, call, error, instead=instead)


def _copy(request: httpx.Request) -> httpx.Request:
    """Return a request that nobody else can change once it was looked at."""
    copy = httpx.Request(
        "".join([request.method]),  # the letters, whatever a type of the caller's says they are
        request.url,
        headers=list(request.headers.raw),
        stream=request.stream,
        extensions=dict(request.extensions),
    )
    if isinstance(request.stream, httpx.ByteStream):  # it is at hand: ids are looked up in it
        # a class of the caller's may give other bytes the next time: what was read is what is sent
        copy.stream = httpx.ByteStream(copy.read())
    return copy


def _allows_unclassified(request: httpx.Request, call: Touched, binding: Binding) -> bool:
    return (
        call.operation_class is OperationClass.UNCLASSIFIED
        and binding.connection_type is ConnectionType.CONFIG_AND_AUDIT
        and "purpose" in request.extensions
        and request.extensions.get("allow_unclassified") is True
    )


@dataclass(frozen=True, slots=True)
class _Why:
    """Why a call is refused, and what to do instead."""

    reason: str
    hint: str


def _refuse_if(why: _Why | None, binding: Binding) -> None:
    if why is not None:
        slug = binding.candidate_slug or binding.client_slug
        raise CallRefused(f"Refused for {slug}: {why.reason}. Nothing was sent.", hint=why.hint)


_WIDEN: Final = "If the call is meant: hsagency set-type {} config_and_audit"
_ALLOW: Final = (
    "If the call is meant: extensions={'purpose': NAME, 'allow_unclassified': True}, on a "
    "config_and_audit connection."
)
_LONGEST: Final = 86_400.0  # seconds that a call may wait at any one step
_PATH: Final = "Give a path from the slash on, for example /crm/v3/objects/contacts."
_PUT_ON: Final = "Leave it out: the host and the credential are put on for you."
_PLAIN: Final = "Leave it out, and make the call with the method and the path that are meant."
_FRAMING: Final = "Leave it out: how a request is framed is decided for you."

_IDENTIFYING: Final = frozenset(
    {b"authorization", b"proxy-authorization", b"cookie", b"x-hubspot-portal-id"}
)
# What some servers and proxies take for another method, path or host than the recorded one.
_DISGUISING: Final = frozenset(
    {b"x-http-method-override", b"x-http-method", b"x-method-override"}
    | {b"x-original-url", b"x-rewrite-url", b"x-forwarded-host", b"forwarded"}
)
# These speak to the next machine on the way, which is not what was asked to answer.
_HOP_BY_HOP: Final = frozenset({b"upgrade", b"te", b"trailer"})
_FORBIDDEN: Final = ((_IDENTIFYING, _PUT_ON), (_DISGUISING, _PLAIN), (_HOP_BY_HOP, _FRAMING))
_CONNECTIONS: Final[tuple[list[bytes], ...]] = ([], [b"keep-alive"], [b"close"])
# Empty segments, backslashes, path parameters; the same, controls and escapes once encoded.
_TWO_WAYS: Final = re.compile(
    r"//|[\\;]|%(?:2f|5c|3b|[01][0-9a-f]|7f|25[0-9a-f]{2})", re.ASCII | re.IGNORECASE
)


def _misdirected(request: httpx.Request, host: httpx.URL) -> _Why | None:
    """Return why the address is not one on the pinned host."""
    url = request.url
    if (url.scheme, url.host, url.port) != (host.scheme, host.host, host.port):
        return _Why("the address is on another host than this portal's", _PATH)
    if url.userinfo or "@" in path_of(url).split("/")[1]:
        return _Why("the address carries credentials or an @ where the host ends", _PATH)
    return None


def _steering(request: httpx.Request, host: httpx.URL) -> _Why | None:
    """Return which part of the request would decide where, as whom, or as what it goes."""
    if request.method not in METHODS:
        return _Why("HubSpot has no such method", f"There are {', '.join(sorted(METHODS))}.")
    headers = _by_name(request.headers)
    for names, hint in _FORBIDDEN:
        if not names.isdisjoint(headers):
            named = min(name.decode("ascii") for name in names.intersection(headers))
            return _Why(f"the caller set the {named} header", hint)
    framed = _framing(headers)
    if framed is not None:
        return _Why(framed, _FRAMING)
    if headers.get(b"host", [host.netloc]) != [host.netloc]:
        return _Why("the caller set the host header", _PUT_ON)
    return None


def _by_name(headers: httpx.Headers) -> dict[bytes, list[bytes]]:
    """Return what each header says, by its name in small letters, as the bytes that are sent."""
    named: dict[bytes, list[bytes]] = {}
    for name, value in headers.raw:
        named.setdefault(name.lower(), []).append(value)
    return named


def _framing(headers: dict[bytes, list[bytes]]) -> str | None:
    """Return in which way two readers could disagree where the request ends."""
    coding, length = (headers.get(one, []) for one in (b"transfer-encoding", b"content-length"))
    if coding and (length or coding != [b"chunked"]):
        return "the caller set the transfer-encoding header"
    if len(length) > 1:
        return "the caller set the content-length header twice"
    if [one.lower() for one in headers.get(b"connection", [])] not in _CONNECTIONS:
        return "the caller set the connection header"
    return None


def _unfit(url: httpx.URL) -> _Why | None:
    """Return what is wrong with an address on the right host."""
    path, query = path_of(url), url.query.decode("ascii")
    if _is_ambiguous(path):
        return _Why(
            "the path could be read in two ways",
            "Write it without .., //, ;, backslashes and what stands for one of them.",
        )
    if secret_in_url(path, query):
        return _Why(
            "this endpoint carries a secret in the URL",
            "Use its successor, which takes the secret in the form body.",
        )
    target = unquote(f"{path}?{query}")
    if looks_like_token(target):
        return _Why(
            "the address holds something of a token's shape",
            "Leave it out: addresses are written down along the way, and tokens must not be.",
        )
    return None


def _is_ambiguous(path: str) -> bool:
    """Say whether another reader of this path could arrive at another place."""
    read = unquote(path)  # what is no UTF-8 turns into U+FFFD
    dots = any(one in (".", "..") for one in read.split("/"))
    return dots or "\ufffd" in read or _TWO_WAYS.search(path) is not None


def _mislabelled(request: httpx.Request) -> _Why | None:
    if not is_label(request.extensions.get("purpose", "interactive")):
        return _Why(
            "a purpose is up to 64 letters, digits, spaces or . : / + -",
            "For example: extensions={'purpose': 'weekly review'}.",
        )
    return None


def _mistimed(request: httpx.Request) -> _Why | None:
    """Return that a time-out could not be kept; the wire would fail half-way."""
    limits = request.extensions.get("timeout", {})
    if isinstance(limits, dict) and all(map(_is_a_time, limits.values())):
        return None
    return _Why(
        "a time-out is a number of seconds above 0, or None",
        "For example: client.get(path, timeout=30), or timeout=httpx.Timeout(60, connect=5).",
    )


def _is_a_time(seconds: object) -> bool:
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return seconds is None or (number and 0 < cast("float", seconds) <= _LONGEST)


def _not_its_type(binding: Binding, call: Touched) -> _Why | None:
    reason = refusal(binding.connection_type, call)
    if reason is None:
        return None
    unknown = call.operation_class is OperationClass.UNCLASSIFIED
    return _Why(reason, _ALLOW if unknown else _WIDEN.format(binding.client_slug))
