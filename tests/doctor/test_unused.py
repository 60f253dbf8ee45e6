"""An authorisation that nobody used for long is named before it may be over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from hsagency import doctor
from hsagency.doctor import Level
from tests.support import authorised, connected


@pytest.mark.parametrize(("days", "level"), [(299, Level.OK), (301, Level.WARNING)])
def test_what_was_not_used_for_300_days_is_named(tmp_path: Path, days: int, level: Level) -> None:
    with authorised(tmp_path / "agency") as one:
        slug, agency = one.slugs[0], one.agency
        stored = agency.connection(slug)
        past = replace(stored.proof, at=stored.proof.at - timedelta(days=days))
        agency.index.update(slug, generation=1, proof=past)
        found = [
            it for it in doctor.examine(agency, offline=True) if it.subject == "authorisations"
        ]
        assert [it.level for it in found] == [level]
        assert (f"hsagency verify {slug}" in found[0].advice) is (level is Level.WARNING)


def test_static_credentials_are_no_authorisations(tmp_path: Path) -> None:
    with connected(tmp_path / "agency") as one:
        found = doctor.examine(one.agency, offline=True)
        said = [it.said for it in found if it.subject == "authorisations"]
        assert said == ["No portal is connected over OAuth."]
