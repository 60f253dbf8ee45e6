"""The first station of a call: what must not leave is refused here, and recorded as refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

import httpx

from hsagency.audit.journal import AuditWriter
from hsagency.audit.record import Event, Outcome
from hsagency.errors import CallRefused
from hsagency.halt import Halt
from hsagency.portals import ConnectionType, looks_like_token
from hsagency.routes import OperationClass, Touched, refusal, secret_in_url
from hsagency.transport.binding import METHODS, Binding, is_label, path_of, what

Prove = Callable[[OperationClass], None]


class Guard(httpx.BaseTransport):
    """
    Lets a call pass to the pinned host only, with nothing of the caller's that could steer it.

    Raises `CallRefused` before a byte leaves; the refusal is a record of its own.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport,
        *,
        binding: Binding,
        writer: AuditWriter,
        halt: Halt,
        prove: Prove | None = None,
    ) -> None:
        self._inner, self._binding, self._writer = inner, binding, writer
        self._halt, self._prove = halt, prove

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request that may leave, or refuse it."""
        call = what(request)
        try:
            self._halt.check()
            self._refuse_if(_misdirected(request, self._binding.host))
            self._refuse_if(_steering(request, self._binding.host))
            self._refuse_if(_unfit(request.url))
            self._refuse_if(_mislabelled(request))
            if not self._allows_unclassified(request, call):
                self._refuse_if(refusal(self._binding.connection_type, call), hint=_WIDEN)
            if self._prove is not None:
                self._prove(call.operation_class)
        except CallRefused as error:
            self._record(request, call, error)
            raise
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Close what is behind."""
        self._inner.close()

    def _allows_unclassified(self, request: httpx.Request, call: Touched) -> bool:
        return (
            call.operation_class is OperationClass.UNCLASSIFIED
            and self._binding.connection_type is ConnectionType.CONFIG_AND_AUDIT
            and "purpose" in request.extensions
            and request.extensions.get("allow_unclassified") is True
        )

    def _refuse_if(self, reason: str | None, *, hint: str = "") -> None:
        if reason is not None:
            slug = self._binding.candidate_slug or self._binding.client_slug
            raise CallRefused(f"Refused for {slug}: {reason}. Nothing was sent.", hint=hint)

    def _record(self, request: httpx.Request, call: Touched, error: CallRefused) -> None:
        fields = self._binding.describe(request, call)
        if not is_label(fields["purpose"]):
            fields["purpose"] = self._binding.purpose
        if _misdirected(request, self._binding.host):
            # Another host's address is not ours to write down.
            fields |= {"path": "{elsewhere}", "objectType": None, "objectId": None}
        outcome = {"event": Event.REFUSED, "outcome": Outcome.REFUSED, "reason": error.message}
        self._writer.append(self._binding.client_slug, {**fields, **outcome})


_WIDEN: Final = (
    "If the call is meant, the connection needs another type; an unclassified call also needs "
    "extensions={'purpose': NAME, 'allow_unclassified': True} and a config_and_audit connection."
)

_STEERING: Final = (
    *("authorization", "proxy-authorization", "cookie", "x-hubspot-portal-id"),
    # What some servers and proxies take for another method, path or host than the recorded one.
    *("x-http-method-override", "x-http-method", "x-method-override"),
    *("x-original-url", "x-rewrite-url", "x-forwarded-host", "forwarded"),
)
# Empty segments, backslashes, path parameters; the same, controls and escapes once encoded.
_TWO_WAYS: Final = re.compile(
    r"//|[\\;]|%(?:2f|5c|3b|[01][0-9a-f]|7f|25[0-9a-f]{2})", re.ASCII | re.IGNORECASE
)


def _misdirected(request: httpx.Request, host: httpx.URL) -> str | None:
    """Return why the address is not one on the pinned host."""
    url = request.url
    if (url.scheme, url.host, url.port) != (host.scheme, host.host, host.port):
        return "the address is on another host than this portal's"
    if url.userinfo or "@" in path_of(url).split("/")[1]:
        return "the address carries credentials or an @ where the host ends"
    return None


def _steering(request: httpx.Request, host: httpx.URL) -> str | None:
    """Return which part of the request would decide where, as whom, or as what it goes."""
    if request.method not in METHODS:
        return "HubSpot has no such method"
    for name in _STEERING:
        if name in request.headers:
            return f"the caller set the {name} header"
    given = request.headers.get_list("host")
    if given and given != [host.netloc.decode("ascii")]:
        return "the caller set the host header"
    return None


def _unfit(url: httpx.URL) -> str | None:
    """Return what is wrong with an address on the right host."""
    path, query = path_of(url), url.query.decode("ascii")
    if _is_ambiguous(path):
        return "the path could be read in two ways"
    if secret_in_url(path, query):
        return "this endpoint carries a secret in the URL; use the form body of its successor"
    target = unquote(f"{path}?{query}")
    if looks_like_token(target):
        return "the address holds something of a token's shape"
    return None


def _is_ambiguous(path: str) -> bool:
    """Say whether another reader of this path could arrive at another place."""
    read = unquote(path)  # what is no UTF-8 turns into U+FFFD
    dots = any(one in (".", "..") for one in read.split("/"))
    return dots or "\ufffd" in read or _TWO_WAYS.search(path) is not None


def _mislabelled(request: httpx.Request) -> str | None:
    if not is_label(request.extensions.get("purpose", "interactive")):
        return "a purpose is up to 64 letters, digits, spaces or . : / + -"
    return None
