"""Whatever a function raises is the row of its portal, without a secret and without an address."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from hsagency.client import PortalClient
from tests.fleet.jobs import CONTACTS, row
from tests.support import TOKEN, Connected, needles


def raising(error: BaseException) -> Callable[[PortalClient], object]:
    def job(_: PortalClient) -> object:
        raise error

    return job


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), Exception()]
)
def test_whatever_a_function_raises_is_the_row_of_that_portal_alone(
    fleet: Connected, error: BaseException
) -> None:
    dead = fleet.slugs[2]

    def job(portal: PortalClient) -> int:
        if portal.portal.client_slug == dead:
            raise error
        return 1

    results = fleet.agency.map(job)
    assert row(results, dead)["error"] == type(error).__name__
    assert row(results, dead)["message"] == (str(error) or None)
    assert results["outcome"].to_list().count("done") == 5


def test_no_secret_and_no_address_shows_in_the_message_of_a_function(fleet: Connected) -> None:
    (portal,) = (one for one in fleet.sandbox.portals if one.client_slug == fleet.slugs[0])
    told = (
        f"failed with {portal.token} and {TOKEN.removeprefix('pat-na1-')}\n"
        "for jane.doe@example.com (or jane%40example.com, +49 170 1234567) "
        "at https://api.hubapi.com/crm?q=doe"
    )
    said = fleet.agency.map(raising(RuntimeError(told)))["message"][0]
    for token in (portal.token, TOKEN):
        assert not any(needle.decode() in said for needle in needles(token))
    assert said == "failed with … and … for … (or …, …) at …"


def test_an_error_that_cannot_be_told_is_a_row_all_the_same(fleet: Connected) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    results = fleet.agency.map(raising(Mute()))
    assert set(results["error"]) == {"Mute"}
    assert results["message"].to_list() == [None] * 6


def test_the_status_of_an_answer_stands_in_the_row_of_its_error(fleet: Connected) -> None:
    def job(portal: PortalClient) -> None:
        answer = httpx.Response(
            404,
            headers={"X-HubSpot-Correlation-Id": "abc-1"},
            request=httpx.Request("GET", "https://api.hubapi.com/jane@example.com"),
        )
        answer.raise_for_status()
        portal.get(CONTACTS)

    results = fleet.agency.map(job)
    assert set(results["status_code"]) == {404}
    assert set(results["correlation_id"]) == {"abc-1"}
    assert "jane" not in "".join(results["message"])
