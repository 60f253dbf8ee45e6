"""A served sandbox with a workspace beside it, empty or with everybody connected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleets import Fleet, connected, fleet


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path / "workspace") as one:
        yield one


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Fleet]:
    with connected(tmp_path / "workspace") as one:
        yield one
