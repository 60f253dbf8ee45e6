"""Carries httpx requests to a sandbox in the same process, with its broken connections."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx

from hsagency.sandbox.wire import TARGET_MAX, Reply, Request, pieces, target_too_long


class SandboxTransport(httpx.BaseTransport):
    """
    An httpx transport without a socket.

    It sleeps for a simulated latency, and raises `ReadTimeout` where the caller's own time-out
    is shorter; the call took effect all the same, as it would have at HubSpot.
    """

    def __init__(self, handle: Callable[[Request], Reply]) -> None:
        self._handle = handle

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, or fail as a socket would."""
        reply = self._reply(request)
        if reply.delay > 0:
            _wait(reply.delay, request)
        if reply.reset:
            message = "[Errno 104] Connection reset by peer"
            raise httpx.ReadError(message, request=request)
        if reply.drop is not None:
            message = "Server disconnected without sending a response."
            raise httpx.RemoteProtocolError(message, request=request)
        return _response(reply, request)

    def _reply(self, request: httpx.Request) -> Reply:
        target = request.url.raw_path.decode("ascii")
        if len(target) > TARGET_MAX:
            return target_too_long()
        headers = request.headers.items()
        body = request.read()
        return self._handle(Request.parse(request.method, target, headers=headers, body=body))


class _Body(httpx.SyncByteStream):
    """A body that comes slowly, in chunks, or not to its end."""

    def __init__(self, reply: Reply, request: httpx.Request) -> None:
        self._reply, self._request = reply, request

    def __iter__(self) -> Iterator[bytes]:
        reply, body = self._reply, self._reply.body[: self._reply.cut]
        parts = pieces(body)
        for part in parts:
            if reply.drip > 0:
                _wait(reply.drip / len(parts), self._request)
            yield part
        if reply.cut is not None:
            message = (
                "peer closed connection without sending complete message body "
                f"(received {len(body)} bytes, expected {len(reply.body)})"
            )
            raise httpx.RemoteProtocolError(message, request=self._request)


def _wait(seconds: float, request: httpx.Request) -> None:
    patience = request.extensions.get("timeout", {}).get("read")
    if patience is not None and patience < seconds:
        time.sleep(patience)
        raise httpx.ReadTimeout("timed out", request=request)
    time.sleep(seconds)


def _response(reply: Reply, request: httpx.Request) -> httpx.Response:
    headers = list(reply.headers)
    if reply.framing == "chunked" and reply.body and not reply.bare:
        headers.append(("Transfer-Encoding", "chunked"))
    elif reply.framing != "none" and not reply.bare:
        headers.append(("Content-Length", str(len(reply.body))))
    if request.method == "HEAD" or reply.bare or not reply.body:
        return httpx.Response(reply.status, headers=headers, stream=httpx.ByteStream(b""))
    return httpx.Response(reply.status, headers=headers, stream=_Body(reply, request))
