"""A portal that let our app in, and children that share its workspace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import Authorised, authorised


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Authorised]:
    with authorised(tmp_path / "agency") as made:
        yield made


@pytest.fixture
def slug(one: Authorised) -> str:
    return one.slugs[0]
