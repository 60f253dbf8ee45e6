"""What a job would take of each portal's quota: arithmetic over what is known, never a guess."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.errors import UnknownClient, UsageError
from hsagency.fleet import COST, batches, pages, searches
from hsagency.fleet.cost import Job, estimates, frame, room_of
from hsagency.pacing import Source, Standing
from hsagency.portals import (
    ClientSlug,
    Connection,
    ConnectionType,
    CredentialKind,
    PortalId,
    Stop,
)
from hsagency.settings import Priority
from tests.fleet.jobs import CONTACTS, change, ids, received, row
from tests.support import Connected

NOW = datetime(2026, 11, 3, 9, tzinfo=UTC)
MIDNIGHT = NOW + timedelta(hours=15)


def connection(slug: str = "acme-corp") -> Connection:
    return Connection(
        client_slug=ClientSlug(slug),
        portal_id=PortalId(12345678),
        connection_type=ConnectionType.CONFIG_AND_AUDIT,
        kind=CredentialKind.STATIC,
        generation=1,
        fingerprint="f",
        added_at=NOW,
        last_rotated_at=NOW,
    )


def standing(**changes: Any) -> Standing:
    said: dict[str, Any] = {
        "client_slug": "acme-corp",
        "portal_id": 12345678,
        "limit": 1000,
        "limit_source": Source.HEADER,
        "limit_as_of": NOW,
        "used": 500,
        "remaining": 500,
        "source": Source.HEADER,
        "as_of": NOW - timedelta(minutes=5),
        "ours": 0,
        "checks": 0,
        "resets_at": MIDNIGHT,
        "time_zone": "UTC",
        "zone_is_known": True,
        "threshold": 100,
        "reserve": 10,
        "is_low": False,
        "burst_limit": 100,
        "burst_source": Source.HEADER,
    }
    return Standing(**{**said, **changes})


def costs(calls: object, stands: Standing, **options: Any) -> dict[str, object]:
    job: dict[str, Any] = {"calls": calls, "priority": Priority.NORMAL, **options}
    found = estimates([connection()], Job(**job), standing=lambda _: stands, now=NOW)
    return frame(found, now=NOW).row(0, named=True)


@given(n=st.integers(0, 10**6), size=st.integers(1, 2000))
def test_the_calls_of_a_batch_hold_all_of_it_and_no_call_is_empty(n: int, size: int) -> None:
    assert (batches(n, size) - 1) * size < n <= batches(n, size) * size or n == 0
    assert pages(n, size) == max(1, batches(n, size))


def test_ten_thousand_records_are_a_hundred_batches_and_fifty_searches() -> None:
    assert (batches(10_000), pages(10_000), searches(10_000)) == (100, 100, 50)
    assert (batches(0), pages(0), searches(0)) == (0, 1, 1)


@pytest.mark.parametrize("numbers", [(-1, 100), (10, 0)])
def test_what_is_no_number_of_records_is_refused(numbers: tuple[int, int]) -> None:
    with pytest.raises(UsageError):
        batches(*numbers)


def test_there_is_room_above_the_reserve_and_within_the_share_of_the_purpose() -> None:
    stands = standing()
    assert [room_of(stands, one, now=NOW) for one in Priority] == [490, 450, 400, 300]
    assert room_of(standing(reserve=450), Priority.LOW, now=NOW) == 50
    assert room_of(standing(remaining=5, used=995), Priority.CRITICAL, now=NOW) == 0


def test_a_job_fits_as_far_as_there_is_room() -> None:
    assert costs(400, standing())["fits"] is True
    assert costs(401, standing())["fits"] is False
    assert costs(250, standing())["share"] == 0.5
    assert costs(1, standing())["age"] == timedelta(minutes=5)
    assert costs(1, standing())["source"] == "header"


def test_what_is_not_known_is_null_and_so_is_what_follows_from_it() -> None:
    unknown = costs(10, standing(used=None, remaining=None, source=None, as_of=None))
    names = ("remaining", "room", "share", "fits", "source", "as_of", "age")
    assert [unknown[name] for name in names] == [None] * len(names)
    assert unknown["calls"] == 10
    assert unknown["limit"] == 1000
    assert costs(lambda _: None, standing())["fits"] is None
    assert costs({}, standing())["calls"] is None


def test_an_app_without_a_daily_limit_has_room_for_anything() -> None:
    free = standing(
        limit=None, limit_source=Source.UNLIMITED, used=None, remaining=None, reserve=None
    )
    assert costs(10**6, free)["fits"] is True
    assert costs(10**6, free)["room"] is None


def test_a_closed_portal_has_no_room_until_it_opens() -> None:
    opens = NOW + timedelta(hours=3)
    closed = costs(1, standing(closed_until=opens, closed_because="a migration"))
    assert (closed["room"], closed["fits"], closed["resets_at"]) == (0, False, opens)
    again = costs(1, standing(closed_until=NOW - timedelta(hours=1)))
    assert (again["fits"], again["resets_at"]) == (True, MIDNIGHT)


@pytest.mark.parametrize(
    ("calls", "changes", "because"),
    [
        (400, {}, None),
        (401, {}, "500 calls are left, and calls of normal priority stop when 90 % are used"),
        (501, {}, "500 calls are left"),
        (
            3,
            {"remaining": 9, "used": 991},
            "9 calls are left, and calls of normal priority stop when 90 % are used, and the last "
            "10 are reserved for the client's own apps",
        ),
        (
            300,
            {"reserve": 300},
            "500 calls are left, and the last 300 are reserved for the client's own apps",
        ),
        (
            1,
            {"remaining": 0, "closed_until": MIDNIGHT, "closed_because": "HubSpot is moving it"},
            "closed until 2026-11-04 00:00 UTC, because HubSpot is moving it",
        ),
    ],
)
def test_it_is_said_why_calls_do_not_fit(
    calls: int, changes: dict[str, object], because: str | None
) -> None:
    found = costs(calls, standing(**changes))
    assert (found["because"], found["fits"]) == (because, because is None)


def test_associations_have_a_window_of_their_own() -> None:
    """The lowest tier's: a hundred in ten seconds, of which this priority uses ninety."""
    wide = standing(burst_limit=1000)
    assert costs(91, wide)["seconds"] == 0
    assert costs(91, wide, associations=90)["seconds"] == 0
    assert costs(91, wide, associations=91)["seconds"] == pytest.approx(10.2)


@pytest.mark.parametrize(
    ("calls", "searched", "seconds"),
    [(0, 0, 0), (90, 0, 0), (91, 0, 10.2), (181, 0, 20.4), (5, 5, 0), (6, 6, 1.2), (96, 6, 1.2)],
)
def test_it_takes_at_least_as_long_as_the_full_windows_before_the_last(
    calls: int, searched: int, seconds: float
) -> None:
    assert costs(calls, standing(), searches=searched)["seconds"] == pytest.approx(seconds)


def test_below_its_threshold_a_portal_takes_longer() -> None:
    few = standing(is_low=True)
    assert costs(91, few)["seconds"] > costs(91, standing())["seconds"]
    high = costs(91, few, priority=Priority.HIGH)
    assert high["seconds"] == costs(91, standing(), priority=Priority.HIGH)["seconds"]


@pytest.mark.parametrize("calls", [-1, 1.5, True, "10", {"acme-corp": -1}, lambda _: 1.5])
def test_what_is_no_number_of_calls_is_refused(calls: object) -> None:
    with pytest.raises(UsageError):
        costs(calls, standing())


def test_more_searches_than_calls_are_refused() -> None:
    with pytest.raises(UsageError, match="more searches and associations than calls"):
        costs(1, standing(), searches=2)


def test_an_estimate_asks_nothing_and_knows_what_answers_told(fleet: Connected) -> None:
    slug, *others = fleet.slugs
    fleet.agency.client(slug).get(CONTACTS)
    before = {one: received(fleet, one) for one in fleet.slugs}
    found = fleet.agency.cost(100)
    assert {one: received(fleet, one) for one in fleet.slugs} == before
    assert found.schema == {**COST}
    assert found["client_slug"].to_list() == sorted(fleet.slugs)
    told = row(found, slug)
    assert told["fits"] is True
    assert told["source"] == "header"
    assert fleet.agency.cost(batches(950), clients=others[:1])["calls"].to_list() == [10]


def test_calls_are_told_by_slug_or_as_a_function_of_the_connection(fleet: Connected) -> None:
    one, two, *_ = sorted(fleet.slugs)
    found = fleet.agency.cost({one: 3, two: 4}, clients=[one, two])
    assert found["calls"].to_list() == [3, 4]
    found = fleet.agency.cost(lambda connection: len(connection.client_slug))
    assert found["calls"].to_list() == [len(slug) for slug in sorted(fleet.slugs)]
    with pytest.raises(UnknownClient):
        fleet.agency.cost(MappingProxyType({"nobody": 3}))


def test_nothing_fits_while_a_portal_is_stopped_or_the_fleet_is_halted(fleet: Connected) -> None:
    slug, other, *_ = fleet.slugs
    change(fleet, slug, stopped=Stop(reason="It answered 401.", at=NOW))
    found = row(fleet.agency.cost(1), slug)
    assert found["fits"] is False
    assert found["because"] == "stopped since 2026-11-03 09:00 UTC: It answered 401."
    assert row(fleet.agency.cost(1), other)["because"] is None
    fleet.agency.halt.set("a test.", at=NOW)
    found = fleet.agency.cost(1)
    assert set(found["fits"]) == {False}
    assert all("halted" in said for said in found["because"])


def test_a_closed_portal_is_left_alone_for_that_alone(fleet: Connected) -> None:
    slug = fleet.slugs[0]
    pacer = fleet.agency.pacing.of(fleet.agency.connection(slug))
    pacer.close(datetime.now(UTC) + timedelta(hours=2), "HubSpot is moving it")
    left = row(fleet.agency.map(ids, cost=1), slug)
    assert left["reasons"] == ["closed"]
    assert str(left["message"]).startswith("The portal is closed until ")
    assert str(left["message"]).endswith(" UTC, because HubSpot is moving it. Nothing was sent.")


def test_a_job_leaves_alone_who_has_no_room_for_it(fleet: Connected) -> None:
    slug = fleet.slugs[0]
    fleet.agency.map(ids)
    (limit,) = fleet.agency.cost(1, clients=slug)["limit"]
    known = received(fleet, slug)
    results = fleet.agency.map(ids, cost=dict.fromkeys(fleet.slugs, 1) | {slug: limit})
    left = row(results, slug)
    assert left["outcome"] == "excluded"
    assert left["reasons"] == ["no room"]
    assert f"There is no room for {limit:,} calls: " in str(left["message"])
    assert " calls are left. Nothing was sent." in str(left["message"])
    assert "UTC" in str(left["hint"])
    assert received(fleet, slug) == known
    assert results.filter(pl.col("outcome") == "done").height == 5


def test_a_job_is_not_withheld_from_a_portal_of_which_nothing_is_known(fleet: Connected) -> None:
    results = fleet.agency.map(lambda _: 1, cost=lambda _: None)
    assert set(results["outcome"]) == {"done"}
