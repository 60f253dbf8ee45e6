"""HubSpot's own Python client, unmodified, pointed at a sandbox on a socket (facts 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hubspot import HubSpot

from hsagency.sandbox import Sandbox, SandboxServer, serve


@pytest.fixture
def server(sandbox: Sandbox) -> Iterator[SandboxServer]:
    with serve(sandbox) as server:
        yield server


@pytest.fixture
def connect_official(server: SandboxServer) -> Callable[[str], HubSpot]:
    """Open the official client with any token."""

    def connect(token: str) -> HubSpot:
        # `host` drives the generated classes and `base_url` only api_request().
        return HubSpot(access_token=token, host=server.url, base_url=server.url)

    return connect


@pytest.fixture
def hubspot(sandbox: Sandbox, connect_official: Callable[[str], HubSpot]) -> HubSpot:
    """The official client of the first portal, whose tier is professional."""
    return connect_official(sandbox.portals[0].token)


@pytest.fixture
def enterprise(sandbox: Sandbox, connect_official: Callable[[str], HubSpot]) -> HubSpot:
    """The official client of the second portal, which may have custom objects."""
    return connect_official(sandbox.portals[1].token)
