"""Clients of a sandbox, in this process or over a socket, so that each claim is made of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TypeAlias

import httpx
import pytest

from hsagency.sandbox import Clock, Sandbox, serve
from tests.sandbox.apps import Developer, planner
from tests.sandbox.asking import Asking

Client: TypeAlias = httpx.Client
Connect: TypeAlias = Callable[[Sandbox, str | None], Client]
NOON = datetime(2026, 10, 14, 12, tzinfo=UTC)


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(portals=3, contacts=12, clock=Clock(NOON))


@pytest.fixture
def inside() -> Iterator[Connect]:
    """Open clients that reach a sandbox in this process."""
    with ExitStack() as stack:

        def to(sandbox: Sandbox, token: str | None) -> Client:
            client = Client(
                base_url="https://api.hubapi.com",
                transport=sandbox.transport(),
                headers=bearer(token),
            )
            return stack.enter_context(client)

        yield to


@pytest.fixture
def over_a_socket() -> Iterator[Connect]:
    """Open clients that reach a sandbox over HTTP; each sandbox gets one server."""
    with ExitStack() as stack:
        urls: dict[int, str] = {}

        def to(sandbox: Sandbox, token: str | None) -> Client:
            if id(sandbox) not in urls:
                urls[id(sandbox)] = stack.enter_context(serve(sandbox)).url
            client = Client(base_url=urls[id(sandbox)], headers=bearer(token), trust_env=False)
            return stack.enter_context(client)

        yield to


@pytest.fixture(params=["inside", "over_a_socket"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Make the claim of both carriers."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def client(sandbox: Sandbox, inside: Connect) -> Client:
    """The first portal, in process."""
    return inside(sandbox, sandbox.portals[0].token)


@pytest.fixture
def ask(sandbox: Sandbox) -> Asking:
    """The first portal, asked for JSON."""
    return Asking(sandbox)


@pytest.fixture
def enterprise(sandbox: Sandbox) -> Asking:
    """The second portal, which may have custom objects, asked for JSON."""
    return Asking(sandbox, index=1)


@pytest.fixture
def developer(sandbox: Sandbox, connect: Connect) -> Developer:
    """An app, whose claims are made of both carriers."""
    return planner(sandbox, connect)


@pytest.fixture
def quick(sandbox: Sandbox, inside: Connect) -> Developer:
    """The same app, in process only: for what the carrier cannot change."""
    return planner(sandbox, inside)


def bearer(token: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}
