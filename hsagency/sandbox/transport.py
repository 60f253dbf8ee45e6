"""Carries httpx requests to a sandbox in the same process, with its broken connections."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator

import httpx

from hsagency.sandbox.envelopes import JSON
from hsagency.sandbox.hosts import is_here, is_hubspots
from hsagency.sandbox.wire import (
    TARGET_MAX,
    ApiError,
    Reply,
    Request,
    encode,
    pieces,
    target_too_long,
)


class SandboxTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """
    An httpx transport without a socket, for clients of either kind.

    It answers on HubSpot's hosts and on this machine's own; any other is a name that does not
    resolve, and a request that names one in its Host header is refused as over a socket. It
    sleeps for a simulated latency, and raises `ReadTimeout` where the caller's own time-out is
    shorter; the call took effect all the same, as it would have at HubSpot.
    """

    def __init__(self, handle: Callable[[Request], Reply]) -> None:
        self._handle = handle

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, or fail as a socket would."""
        _demand_host(request)
        reply = self._reply(request, request.read())
        if reply.delay > 0:
            _wait(reply.delay, request)
        return _response(reply, request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, or fail as a socket would."""
        _demand_host(request)
        reply = self._reply(request, await request.aread())
        if reply.delay > 0:
            await _wait_async(reply.delay, request)
        return _response(reply, request)

    def _reply(self, request: httpx.Request, body: bytes) -> Reply:
        target = request.url.raw_path.decode("ascii")
        if len(target) > TARGET_MAX:
            return target_too_long()
        if not _is_served(request.headers.get("host", _host(request))):
            return _misdirected()
        headers = request.headers.items()
        return self._handle(Request.parse(request.method, target, headers=headers, body=body))


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes slowly, in chunks, or not to its end."""

    def __init__(self, reply: Reply, request: httpx.Request) -> None:
        self._reply, self._request = reply, request
        self._parts = pieces(reply.body[: reply.cut])
        self._pause = reply.drip / len(self._parts) if reply.drip > 0 else 0.0

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            if self._pause:
                _wait(self._pause, self._request)
            yield part
        self._end()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            if self._pause:
                await _wait_async(self._pause, self._request)
            yield part
        self._end()

    def _end(self) -> None:
        whole, cut = len(self._reply.body), self._reply.cut
        if cut is not None:
            message = (
                "peer closed connection without sending complete message body "
                f"(received {min(cut, whole)} bytes, expected {whole})"
            )
            raise httpx.RemoteProtocolError(message, request=self._request)


def _demand_host(request: httpx.Request) -> None:
    if not _is_served(_host(request)):
        raise httpx.ConnectError("[Errno -2] Name or service not known", request=request)


def _host(request: httpx.Request) -> str:
    """Return where a request goes, as its Host header says it unless somebody set another."""
    return request.url.netloc.decode("ascii")


def _is_served(host: str) -> bool:
    return is_here(host) or is_hubspots(host)


def _misdirected() -> Reply:
    error = ApiError(421, "This sandbox answers for HubSpot and this machine only")
    return Reply(421, headers=(JSON,), body=encode(error.envelope("")))


def _wait(seconds: float, request: httpx.Request) -> None:
    allowed = _allowed(seconds, request)
    time.sleep(min(seconds, allowed))
    _demand_patience(seconds, allowed, request)


async def _wait_async(seconds: float, request: httpx.Request) -> None:
    import anyio  # as httpx does, for asynchronous clients alone

    allowed = _allowed(seconds, request)
    await anyio.sleep(min(seconds, allowed))
    _demand_patience(seconds, allowed, request)


def _allowed(seconds: float, request: httpx.Request) -> float:
    """Return how long a caller waits for the next word, if not as long as it takes."""
    patience: float | None = request.extensions.get("timeout", {}).get("read")
    return seconds if patience is None else patience


def _demand_patience(seconds: float, allowed: float, request: httpx.Request) -> None:
    if allowed < seconds:
        raise httpx.ReadTimeout("timed out", request=request)


def _response(reply: Reply, request: httpx.Request) -> httpx.Response:
    if reply.reset:
        raise httpx.ReadError("[Errno 104] Connection reset by peer", request=request)
    if reply.drop is not None:
        message = "Server disconnected without sending a response."
        raise httpx.RemoteProtocolError(message, request=request)
    headers = list(reply.headers)
    if reply.framing == "chunked" and reply.body and not reply.bare:
        headers.append(("Transfer-Encoding", "chunked"))
    elif reply.framing != "none" and not reply.bare:
        headers.append(("Content-Length", str(len(reply.body))))
    if request.method == "HEAD" or reply.bare or not reply.body:
        return httpx.Response(reply.status, headers=headers, stream=httpx.ByteStream(b""))
    return httpx.Response(reply.status, headers=headers, stream=_Body(reply, request))
