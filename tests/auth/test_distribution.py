"""How our app is distributed decides which limits count (facts 3.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from hsagency.pacing.budgets import Source, known_of
from hsagency.portals import Provenance
from tests.support import authorised


@pytest.mark.parametrize(
    ("distribution", "source"),
    [("marketplace", Source.UNLIMITED), ("private", Source.FACT)],
)
def test_limits_go_by_how_our_app_is_distributed(
    tmp_path: Path, distribution: Literal["private", "marketplace"], source: Source
) -> None:
    with authorised(tmp_path / "w", contacts=1, distribution=distribution) as one:
        agency, slug = one.agency, one.slugs[0]
        fact = agency.connection(slug).facts["distribution"]
        assert (fact.value, fact.provenance) == (distribution, Provenance.FETCHED)
        known = known_of(agency.connection(slug))
    assert known.source is source
    assert (known.daily is None) == (distribution == "marketplace")
