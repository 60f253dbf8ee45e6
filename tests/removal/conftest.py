"""Clients to let go of: with static tokens, and over OAuth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import Authorised, Connected, authorised, connected


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Connected]:
    with connected(tmp_path / "agency", portals=2, contacts=2) as made:
        yield made


@pytest.fixture
def consented(tmp_path: Path) -> Iterator[Authorised]:
    with authorised(tmp_path / "agency", portals=1, contacts=2) as made:
        yield made
