"""Whoever asks for records in a way that has no answer is told so, and not given none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from hsagency.agency import Agency
from hsagency.errors import HsAgencyError, UsageError
from tests.support import connected, records

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ASKED: dict[str, Callable[[Any, str], object]] = {
    "several clients": lambda agency, slug: agency.calls([slug]),
    "a number of a client": lambda agency, _: agency.audit.read(5),
    "verify several": lambda agency, slug: agency.audit.verify([slug]),
    "a number of a day": lambda agency, slug: agency.calls(slug, since=5),
    "an end before the beginning": lambda agency, slug: agency.calls(
        slug, since="2026-05-02", until="2026-05-01"
    ),
    "no day between": lambda agency, slug: agency.activity(slug, since=NOON, until=NOON),
    "no time of any zone": lambda agency, slug: agency.calls(slug, since=datetime(2026, 5, 1)),  # noqa: DTZ001
    "no such day": lambda agency, slug: agency.audit.verify(slug, first="2026-13-01"),
    "a last day before the first": lambda agency, slug: agency.audit.verify(
        slug, first="2026-05-02", last="2026-05-01"
    ),
    "a time instead of a day": lambda agency, slug: agency.audit.verify(slug, first=NOON),
    "a number instead of a day": lambda agency, slug: agency.audit.verify(slug, last=20260501),
    "compare backwards": lambda agency, slug: agency.completeness(
        slug, since="2026-05-02", until="2026-05-02"
    ),
}


@pytest.fixture(scope="module")
def agency(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("asking") / "workspace"
    with connected(folder) as one:
        one.agency.client(one.slugs[0]).get("/crm/v3/objects/contacts/1")
        yield one.agency


@pytest.mark.parametrize("what", ASKED)
def test_what_cannot_be_meant_is_refused_in_words(agency: Agency, what: str) -> None:
    (slug,) = agency.audit.recorded()
    before = records(agency.workspace.root, slug)
    with pytest.raises(UsageError) as error:
        ASKED[what](agency, slug)
    assert isinstance(error.value, HsAgencyError)
    assert error.value.hint
    assert records(agency.workspace.root, slug) == before


@pytest.mark.parametrize("day", ["2026-05-01", date(2026, 5, 1)])
def test_a_day_is_a_text_or_a_date_wherever_one_is_asked_for(agency: Agency, day: Any) -> None:
    (slug,) = agency.audit.recorded()
    assert agency.calls(slug, since=day).collect().height == 1
    assert agency.activity(slug, since=day).height
    assert agency.audit.verify(slug, first=day, last=date.max).integrity == "intact"
    assert agency.completeness(slug, since=day).height == 1
