"""A halt or a cancellation ends what is left of a job, and every portal has its row."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from hsagency.client import PortalClient
from hsagency.errors import Halted
from tests.fleet.jobs import ids, received
from tests.support import Connected


def test_a_halted_fleet_is_not_called(fleet: Connected) -> None:
    fleet.agency.halt.set("a test.", at=datetime.now(UTC))
    with pytest.raises(Halted):
        fleet.agency.map(ids)
    assert received(fleet, fleet.slugs[0]) == []


def test_a_halt_ends_what_is_left_of_a_job(fleet: Connected) -> None:
    def job(portal: PortalClient) -> int:
        found = len(ids(portal))
        fleet.agency.halt.set("a test.", at=datetime.now(UTC))
        return found

    results = fleet.agency.map(job, workers=1)
    first, *others = results.iter_rows(named=True)
    assert first["outcome"] == "done"
    assert {one["error"] for one in others} == {"Halted"}
    assert {tuple(one["reasons"]) for one in others} == {("halted",)}
    assert all("a test." in one["message"] for one in others)


def test_what_is_cancelled_before_it_begins_is_never_begun(fleet: Connected) -> None:
    cancel = threading.Event()
    cancel.set()
    results = fleet.agency.map(ids, cancel=cancel)
    assert set(results["outcome"]) == {"cancelled"}
    assert results["calls"].to_list() == [None] * 6
    assert received(fleet, fleet.slugs[0]) == []


def test_what_is_in_flight_when_a_job_is_cancelled_ends_and_the_rest_is_not_begun(
    fleet: Connected,
) -> None:
    cancel = threading.Event()

    def job(portal: PortalClient) -> int:
        cancel.set()
        return len(ids(portal))

    results = fleet.agency.map(job, workers=1, cancel=cancel)
    assert results["outcome"].to_list() == ["done", *["cancelled"] * 5]
    assert not any(received(fleet, slug) for slug in results["client_slug"][1:])
