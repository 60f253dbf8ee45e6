"""One fleet for all that only look, one of its own for each test that changes something."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hsagency import onboarding
from hsagency.agency import Agency
from hsagency.sandbox import Sandbox, serve
from tests.fleets import Fleet, client_list, connected, fleet


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path / "workspace") as one:
        yield one


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Fleet]:
    with connected(tmp_path / "workspace") as one:
        yield one


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A connected fleet that no test may change; its identity is found from any home."""
    folder = tmp_path_factory.mktemp("shared")
    store = f"age:credentials?identity={folder / 'identity'}"
    sandbox = Sandbox(portals=3, contacts=2)
    with serve(sandbox) as server, Agency.create(folder / "workspace", store=store) as agency:
        plan = onboarding.plan_file(agency, client_list(sandbox), api=server.url)
        assert onboarding.apply(agency, plan, digest=plan.digest).complete
        yield Fleet(sandbox, server.url, agency)
