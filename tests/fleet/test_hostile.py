"""No function and no value of one portal costs another its row, or makes a row say what is untrue."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import polars as pl
import pytest

from hsagency.client import PortalClient
from hsagency.errors import CallRefused
from tests.fleet.jobs import CONTACTS, ids, received, row
from tests.support import Connected


class Hostile(Exception):
    """Raises when it is looked at."""

    @property
    def status_code(self) -> int:
        raise RuntimeError("jane@example.com")


def nameless() -> CallRefused:
    error = CallRefused("x")
    error.message = 5  # type: ignore[assignment]
    return error


@pytest.mark.parametrize("make", [Hostile, nameless])
def test_a_row_says_that_a_job_failed_also_where_its_error_cannot_be_told(
    fleet: Connected, capfd: pytest.CaptureFixture[str], make: Callable[[], Exception]
) -> None:
    slug = fleet.slugs[0]

    def job(portal: PortalClient) -> int:
        found = ids(portal)
        if portal.portal.client_slug == slug:
            raise make()
        return len(found)

    results = fleet.agency.map(job)
    assert row(results, slug)["outcome"] == "failed"
    assert row(results, slug)["error"] == type(make()).__name__
    assert row(results, slug)["calls"] == 1
    assert results["outcome"].to_list().count("done") == 5
    assert "jane" not in capfd.readouterr().err


class Items(dict[str, int]):
    """A dict that cannot be looked at."""

    def items(self) -> object:  # type: ignore[override]
        raise ZeroDivisionError


@pytest.mark.parametrize("value", [pl.DataFrame({"a": [object()]}), Items(a=1)])
def test_a_value_that_no_column_holds_costs_the_others_nothing(
    fleet: Connected, value: object
) -> None:
    slug = fleet.slugs[0]
    results = fleet.agency.map(
        lambda portal: value if portal.portal.client_slug == slug else 1, workers=1
    )
    assert set(results["outcome"]) == {"done"}
    assert results["value"].dtype == pl.Object
    assert sum(isinstance(one, int) for one in results["value"]) == 5


def test_pages_are_read_within_the_job(fleet: Connected) -> None:
    results = fleet.agency.map(lambda portal: portal.pages("contacts"))
    assert results["value"].list.len().to_list() == [3] * 6
    assert results.explode("value").unnest("value")["id"].n_unique() == 3
    assert results["calls"].to_list() == [1] * 6
    found = fleet.agency.map(lambda portal: portal.search("contacts"))
    assert found["value"].list.len().to_list() == [3] * 6


async def later(portal: PortalClient) -> httpx.Response:
    return portal.get(CONTACTS)


def unread(portal: PortalClient) -> httpx.Response:
    return portal.send(portal.build_request("GET", CONTACTS), stream=True)


@pytest.mark.parametrize("job", [lambda portal: portal, later, unread])
def test_what_is_of_no_use_later_fails_its_row(
    fleet: Connected, job: Callable[[PortalClient], object]
) -> None:
    results = fleet.agency.map(job, clients=fleet.slugs[0])
    assert results["error"].to_list() == ["UsageError"]
    assert "of no use" in results["message"][0]
    assert "json()" in results["hint"][0]


def test_an_answer_that_was_read_is_a_value(fleet: Connected) -> None:
    (value,) = fleet.agency.map(lambda portal: portal.get(CONTACTS), clients=fleet.slugs[0])[
        "value"
    ]
    assert value.json()["results"]
    assert received(fleet, fleet.slugs[0]) == [CONTACTS]
