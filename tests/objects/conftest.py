"""A real portal client, straight to a sandbox whose clock moves on with every call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from hsagency.client import PortalClient
from hsagency.sandbox import Clock, LedgerEntry, Sandbox
from hsagency.waiting import Waits
from tests.support import lone_client

NOON = datetime(2026, 10, 14, 12, tzinfo=UTC)
V3 = "/crm/v3/objects/contacts"
DATED = "/crm/objects/2026-09/contacts"


class Ticking(httpx.BaseTransport):
    """
    Lets two seconds pass before each call, so that no limit is met; then does what it is told.

    `most` is how many records at most the portal gives on a page of a search.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox, self._inner = sandbox, sandbox.transport()
        self.before: list[Callable[[], object]] = []
        self.most: int | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._sandbox.clock.advance(2)
        for one in self.before:
            one()
        if self.most is not None and request.url.path.endswith("/search"):
            request = _with_fewer(request, self.most)
        return self._inner.handle_request(request)


def _with_fewer(request: httpx.Request, most: int) -> httpx.Request:
    """Return a search that asks for fewer records on a page."""
    body = json.loads(request.read())
    kept = {name: value for name, value in request.headers.items() if name != "content-length"}
    less = body | {"limit": min(most, body["limit"])}
    return httpx.Request(request.method, request.url, headers=kept, json=less)


class Passing(Waits):
    """Waits by moving the sandbox's clock."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__()
        self._sandbox = sandbox
        self.seconds: list[float] = []

    def wait(self, seconds: float, *, why: str) -> None:
        assert why
        self.seconds.append(seconds)
        self._sandbox.clock.advance(seconds)


class Portal:
    """One portal of a sandbox, a client for it, and what it received since last asked."""

    def __init__(self, sandbox: Sandbox, client: PortalClient, wire: Ticking) -> None:
        self.sandbox, self.client, self.wire = sandbox, client, wire
        self.waits = Passing(sandbox)
        self._seen = 0

    def calls(self) -> list[LedgerEntry]:
        """Return what was received since this was last asked."""
        entries = self.sandbox.ledger(self.sandbox.portals[0].portal_id)
        new, self._seen = list(entries[self._seen :]), len(entries)
        return new

    def ids(self) -> list[str]:
        """Return all contacts there are, as the oldest way of reading gives them."""
        found, after = [], "0"
        while after:
            content = self.client.get(V3, params={"limit": 100, "after": after}).json()
            found += [one["id"] for one in content["results"]]
            after = content.get("paging", {}).get("next", {}).get("after")
        self.calls()
        return found


Open = Callable[..., Portal]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Open a portal with so many contacts."""
    with ExitStack() as stack:

        def make(contacts: int = 250) -> Portal:
            sandbox = Sandbox(portals=1, contacts=contacts, clock=Clock(NOON))
            wire = Ticking(sandbox)
            token = sandbox.portals[0].token
            folder = tmp_path / str(contacts)
            client = stack.enter_context(lone_client(folder, token=token, wire=wire))
            return Portal(sandbox, client, wire)

        yield make


@pytest.fixture
def portal(opened: Open) -> Portal:
    return opened()
