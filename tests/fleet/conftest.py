"""A fleet of six portals over a socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import Connected, connected


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Connected]:
    with connected(tmp_path / "agency", portals=6, contacts=3) as made:
        yield made
