"""Carries httpx requests to a sandbox in the same process, with its dropped connections."""

from __future__ import annotations

import time

import httpx

from hsagency.sandbox.core import Sandbox
from hsagency.sandbox.wire import Reply, Request


class SandboxTransport(httpx.BaseTransport):
    """
    An httpx transport without a socket.

    It sleeps for a simulated latency, and raises `ReadTimeout` where the caller's own time-out
    is shorter; the call took effect all the same, as it would have at HubSpot.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, or fail as a socket would."""
        reply = self._sandbox.handle(
            Request.parse(
                request.method,
                request.url.raw_path.decode("ascii"),
                headers=request.headers.items(),
                body=request.read(),
            )
        )
        if reply.delay > 0:
            _wait(reply.delay, request)
        if reply.drop is not None:
            message = "Server disconnected without sending a response."
            raise httpx.RemoteProtocolError(message, request=request)
        return _response(reply, request)


def _wait(seconds: float, request: httpx.Request) -> None:
    patience = request.extensions.get("timeout", {}).get("read")
    if patience is not None and patience < seconds:
        time.sleep(patience)
        raise httpx.ReadTimeout("timed out", request=request)
    time.sleep(seconds)


def _response(reply: Reply, request: httpx.Request) -> httpx.Response:
    headers = list(reply.headers)
    if reply.status != 204:
        headers.append(("Content-Length", str(len(reply.body))))
    body = b"" if request.method == "HEAD" else reply.body
    return httpx.Response(reply.status, headers=headers, stream=httpx.ByteStream(body))
