"""A fleet of three portals over a socket, and children that share a workspace with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hsagency.audit.journal.writer import AuditWriter
from tests.core.desks import AUTHOR, Desk
from tests.support import Connected, connected

ROOT = Path(__file__).resolve().parents[2]
Child = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Connected]:
    with connected(tmp_path / "agency", portals=3) as made:
        yield made


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A pacing of its own, with a clock that stands."""
    said: list[str] = []
    with AuditWriter(tmp_path / "audit", author=AUTHOR, tell=said.append) as writer:
        made = Desk(tmp_path, writer, said)
        yield made
        made.pacing.close()


@pytest.fixture
def child() -> Child:
    """Run Python code in a process of its own, with arguments."""

    def run(code: str, *args: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, args)],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
