"""
What the retrier costs a call that succeeds, beside httpx-retries in the same run.

`python -m tests.benchmarks.retrying FOLDER`, with httpx-retries in it
(`pip install --target FOLDER httpx-retries`): the project itself has no need of it.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx

from hsagency.portals import ClientSlug, ConnectionType, PortalId
from hsagency.routes import touched
from hsagency.transport import Binding, Grant
from hsagency.transport.call import Call
from hsagency.transport.retry import Retrier, see_to_nothing
from hsagency.waiting import Waits
from tests.benchmarks.measuring import line

PATH = "/crm/v3/objects/contacts"
CALLS = 5_000


class _Answers(httpx.BaseTransport):
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b'{"ok":1}')


class _Straight:
    """Admits everything and answers at once: what is left is the retrier."""

    def __init__(self) -> None:
        host, self._way = httpx.URL("https://api.hubapi.com"), _Answers()
        binding = Binding(
            client_slug=ClientSlug("acme-corp"),
            portal_id=PortalId(1),
            connection_type=ConnectionType.CONFIG_AND_AUDIT,
            host=host,
            fingerprint="0",
            generation=1,
            purpose="interactive",
        )
        self._grant = Grant(binding=binding, way=self._way)
        self._touched = touched("GET", PATH)

    def admit(self, request: httpx.Request, *, attempt: int) -> Call:
        return Call(request=request, touched=self._touched, grant=self._grant, attempt=attempt)

    def send(self, call: Call) -> httpx.Response:
        return self._way.handle_request(call.request)


def _microseconds(send: Callable[[httpx.Request], Any]) -> float:
    """Return the best of five rounds, per call."""
    request = httpx.Request("GET", f"https://api.hubapi.com{PATH}")
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(CALLS):
            send(request)
        best = min(best, time.perf_counter() - began)
    return best / CALLS * 1e6


def main() -> None:
    """Print what one successful call costs, by each way."""
    straight = _Straight()
    bare = _microseconds(straight._way.handle_request)
    ours = _microseconds(
        Retrier(straight, straight, waits=Waits(), after=see_to_nothing).handle_request
    )
    line("retrier, a successful call", microseconds=round(ours - bare, 1))
    sys.path.insert(0, sys.argv[1])
    peers = importlib.import_module("httpx_retries")
    peer = _microseconds(
        peers.RetryTransport(transport=_Answers(), retry=peers.Retry()).handle_request
    )
    line("httpx-retries, a successful call", microseconds=round(peer - bare, 1))
    line("retrier beside httpx-retries", ratio=round((ours - bare) / (peer - bare), 2))


if __name__ == "__main__":
    main()
