"""
The last station of a call: the credential goes on a copy that no caller ever holds.

It is a token, which goes into a header, or a form of secrets, which is the copy's body.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias, cast
from urllib.parse import urlencode

import httpx

from hsagency.errors import BadToken, HsAgencyError
from hsagency.secret import Secret
from hsagency.transport.wire import MAY_LEAVE, PLACE, Place, Stopped, Wire

_PASSED: Final = ("timeout", PLACE, MAY_LEAVE)
_SENDABLE: Final = re.compile(r"[!-~]+")


USED: Final = "hsagency.credential"
"""The extension that names, by its fingerprint, the token that an attempt was made with."""


@dataclass(frozen=True, slots=True)
class Form:
    """Fields of a form, some of them secrets, as the token endpoints take them."""

    fields: Mapping[str, str | Secret] = field(repr=False)

    def encoded(self) -> bytes:
        """Return the body."""
        plain = {
            name: one.reveal() if isinstance(one, Secret) else one
            for name, one in self.fields.items()
        }
        return urlencode(plain).encode("ascii")


Credential: TypeAlias = Secret | Form


class Bearer(httpx.BaseTransport):
    """Puts the credential on a copy of each request, addressed to the pinned host."""

    def __init__(
        self, wire: httpx.BaseTransport, *, credential: Callable[[], Credential], host: httpx.URL
    ) -> None:
        self._wire, self._credential, self._host = wire, credential, host

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the copy; what comes back leads to no cookie, no wire and no credential."""
        secret = self._credential()
        if not _is_sendable(secret):
            raise BadToken("The credential holds characters that cannot be sent. Nothing was sent.")
        if isinstance(secret, Secret):
            request.extensions[USED] = secret.fingerprint
        stopped = None
        try:
            response = self._wire.handle_request(self._copy(request, secret))
        except Stopped as error:
            stopped = error.cause
        except BaseException as error:
            if isinstance(error, HsAgencyError):  # a body that comes from another of our calls
                error.under_way = True
            _cut(error)
            raise
        if stopped is not None:  # raised here, where no frame of the wire comes with it
            _cut(stopped)
            raise stopped.with_traceback(None)
        # A cookie kept for the next call would be one the guard has to refuse.
        if "set-cookie" in response.headers:
            del response.headers["set-cookie"]
        response.stream = _Body(cast("httpx.SyncByteStream", response.stream))
        # The others are the open connection itself, on which anything could be sent.
        for name in response.extensions.keys() - {"http_version", "reason_phrase"}:
            del response.extensions[name]
        return response

    def place(self) -> Place | None:
        """Return a place on the wire that is yet to be taken, where the wire has places."""
        return self._wire.place() if isinstance(self._wire, Wire) else None

    def retire(self) -> None:
        """Let calls in flight end, and keep no connection open."""
        if isinstance(self._wire, Wire):
            self._wire.retire()

    def close(self) -> None:
        """Close the wire."""
        self._wire.close()

    def _pinned(self, url: httpx.URL) -> httpx.URL:
        """Return the address on the pinned host; the guard has let it through as that already."""
        host = self._host
        if (url.scheme, url.host, url.port) == (host.scheme, host.host, host.port):
            return url  # taking an address apart and together again costs 20 microseconds
        return url.copy_with(scheme=host.scheme, host=host.host, port=host.port)

    def _copy(self, request: httpx.Request, secret: Credential) -> httpx.Request:
        extensions, dropped, stream = request.extensions, {b"host"}, request.stream
        if isinstance(secret, Form):
            body = secret.encoded()
            stream = httpx.ByteStream(body)
            dropped.add(b"content-length")
            own = [
                (b"Content-Type", b"application/x-www-form-urlencoded"),
                (b"Content-Length", b"%d" % len(body)),
            ]
        else:
            own = [(b"Authorization", b"Bearer " + secret.reveal().encode("ascii"))]
        return httpx.Request(
            request.method,
            self._pinned(request.url),
            headers=[
                *((name, one) for name, one in request.headers.raw if name.lower() not in dropped),
                (b"Host", self._host.netloc),
                *own,
            ],
            stream=stream,
            # Other extensions let a caller watch (trace) or redirect (target) what is sent.
            extensions={name: extensions[name] for name in _PASSED if name in extensions},
        )


class _Body(httpx.SyncByteStream):
    """An answer's body; once closed it no longer leads to the request that carried the token."""

    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except BaseException as error:
            _cut(error)
            raise

    def close(self) -> None:
        """Let go of the connection."""
        stream, self._stream = self._stream, httpx.ByteStream(b"")
        stream.close()


def _is_sendable(credential: Credential) -> bool:
    """Say whether a header or a form can hold it; the libraries below would repeat it in errors."""
    if isinstance(credential, Secret):
        return _SENDABLE.fullmatch(credential.reveal()) is not None
    held = (one for one in credential.fields.values() if isinstance(one, Secret))
    return all(map(_is_sendable, held))


def _cut(error: BaseException) -> None:
    """Take from an error the frames below: a verbose traceback shows their locals."""
    error.__cause__ = error.__context__ = None
    error.__traceback__ = None
