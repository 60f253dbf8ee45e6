"""A scene for each way: a fresh agency with three portals, and a listener that must stay silent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.isolation.attacking import Scene
from tests.isolation.attacking import scene as made
from tests.support import Connected, connected


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with made(tmp_path, monkeypatch) as scene:
        yield scene


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Connected]:
    with connected(tmp_path / "agency", portals=3) as there:
        yield there
