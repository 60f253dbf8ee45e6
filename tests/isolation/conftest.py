"""A scene for each way: a fresh agency with three portals, and a listener that must stay silent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.isolation.attacking import Scene
from tests.isolation.attacking import scene as made


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with made(tmp_path, monkeypatch) as scene:
        yield scene
