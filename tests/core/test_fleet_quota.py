"""The quota of a fleet: one row a portal, absent is not zero, and nobody is asked unasked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.errors import UnknownClient
from hsagency.pacing import Pacing, Source, Standing
from hsagency.portals import (
    ClientSlug,
    Connection,
    ConnectionType,
    CredentialKind,
    Fact,
    PortalId,
    Provenance,
    Stop,
)
from hsagency.quota import fleet as quota
from hsagency.quota.fleet import FLEET, Seen
from hsagency.verifier import DailyUsage
from tests.support import Connected

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 20, 23, tzinfo=UTC)
CONNECTION = Connection(
    client_slug=ClientSlug("acme-corp"),
    portal_id=PortalId(12345678),
    connection_type=ConnectionType.CONFIG_AND_AUDIT,
    kind=CredentialKind.SERVICE_KEY,
    generation=1,
    fingerprint="f" * 16,
    added_at=NOW,
    last_rotated_at=NOW,
    facts={"name": Fact("Acme Corporation", Provenance.FETCHED, NOW)},
)
STANDING = Standing(
    client_slug="acme-corp",
    portal_id=12345678,
    limit=250_000,
    limit_source=Source.HEADER,
    limit_as_of=NOW,
    used=1_000,
    remaining=249_000,
    source=Source.HEADER,
    as_of=NOW - timedelta(minutes=3),
    ours=40,
    checks=2,
    resets_at=MIDNIGHT,
    time_zone="Europe/Berlin",
    zone_is_known=True,
    threshold=25_000,
    reserve=2_500,
    is_low=False,
    burst_limit=190,
    burst_source=Source.HEADER,
)
UNTOLD: Mapping[str, Any] = {"used": None, "remaining": None, "source": None, "as_of": None}


def row(
    standing: Standing | None = STANDING,
    *,
    connection: Connection = CONNECTION,
    error: str | None = None,
    now: datetime = NOW,
) -> dict[str, Any]:
    found = quota.fleet([Seen(connection, standing, error)], now=now)
    assert dict(found.schema) == dict(FLEET)
    return found.row(0, named=True)


def test_a_row_says_what_is_left_from_whom_and_how_old_it_is() -> None:
    found = row()
    assert (found["account_name"], found["portal_id"]) == ("Acme Corporation", 12345678)
    assert (found["limit"], found["used"], found["remaining"]) == (250_000, 1_000, 249_000)
    assert found["used_share"] == 0.004
    assert (found["source"], found["age"]) == ("header", timedelta(minutes=3))
    assert (found["resets_at"], found["time_zone"]) == (MIDNIGHT, "Europe/Berlin")
    assert (found["warn_below"], found["reserve"], found["low"]) == (25_000, 2_500, False)
    assert (found["own_calls"], found["own_checks"], found["others"]) == (40, 2, 960)
    assert (found["burst_limit"], found["burst_source"]) == (190, "header")
    assert found["search_limit"] == 5


def test_what_nobody_told_today_is_null_with_the_limit_from_data() -> None:
    found = row(replace(STANDING, **UNTOLD, limit_source=Source.TIER))
    assert (found["limit"], found["limit_source"]) == (250_000, "tier")
    names = ("used", "remaining", "used_share", "source", "as_of", "age", "low", "others")
    assert {name: found[name] for name in names} == dict.fromkeys(names)


def test_a_portal_whose_figures_cannot_be_had_is_a_row_that_says_so() -> None:
    found = row(None, error="Its stored figures cannot be read.")
    assert (found["client_slug"], found["portal_id"]) == ("acme-corp", 12345678)
    assert found["error"] == "Its stored figures cannot be read."
    assert found["remaining"] is None
    assert found["own_checks"] is None


def test_the_usage_endpoint_tells_nothing_of_other_apps() -> None:
    """It counts legacy private apps alone: what is not in it may be anybody's."""
    found = row(replace(STANDING, source=Source.USAGE))
    assert (found["source"], found["others"]) == ("usage endpoint", None)


def test_a_limit_that_was_onboarded_says_who_told_it_then() -> None:
    def source(provenance: Provenance) -> object:
        facts = {"daily_limit": Fact(500_000, provenance, NOW)}
        known = replace(STANDING, limit_source=Source.FACT)
        return row(known, connection=replace(CONNECTION, facts=facts))["limit_source"]

    assert source(Provenance.FETCHED) == "usage endpoint"
    assert source(Provenance.DECLARED) == "declared"


def test_a_stop_and_a_close_are_named_and_a_close_that_is_over_is_not() -> None:
    stop = Stop(reason="HubSpot does not accept the token (401).", at=NOW)
    closed = replace(STANDING, closed_until=MIDNIGHT, closed_because="the day's limit is reached")
    found = row(closed, connection=replace(CONNECTION, stopped=stop))
    assert found["stopped"] == "HubSpot does not accept the token (401)."
    assert found["closed_until"] == MIDNIGHT
    assert found["closed_because"] == "the day's limit is reached"
    over = row(closed, now=MIDNIGHT)
    assert (over["closed_until"], over["closed_because"]) == (None, None)


def test_days_of_a_zone_that_is_not_known_are_not_named_after_another() -> None:
    found = row(replace(STANDING, time_zone="UTC", zone_is_known=False))
    assert (found["time_zone"], found["resets_at"]) == (None, MIDNIGHT)


def test_a_frame_that_is_printed_shows_what_matters(fleet: Connected) -> None:
    printed = str(fleet.agency.quota())
    for name in ("client_slug", "remaining", "limit", "used_share", "low", "stopped", "error"):
        assert name in printed


def test_rows_are_sorted_by_slug_and_no_portals_are_an_empty_frame() -> None:
    slugs = ["gamma-labs", "acme-corp", "beta-inc"]
    seen = [Seen(replace(CONNECTION, client_slug=ClientSlug(one)), STANDING) for one in slugs]
    assert quota.fleet(seen, now=NOW)["client_slug"].to_list() == sorted(slugs)
    assert dict(quota.fleet([], now=NOW).schema) == dict(FLEET)


counts = st.none() | st.integers(0, 3_000_000)


@given(
    limit=counts,
    remaining=st.none() | st.integers(-10, 3_000_000),
    ours=st.integers(0, 3_000_000),
    source=st.sampled_from([Source.HEADER, Source.USAGE]),
    told=st.timedeltas(timedelta(days=-3), timedelta(days=3)),
)
def test_figures_add_up_and_are_never_negative(
    limit: int | None, remaining: int | None, ours: int, source: Source, told: timedelta
) -> None:
    known = replace(
        STANDING, limit=limit, remaining=remaining, ours=ours, source=source, as_of=NOW + told
    )
    found = row(known)
    if found["used"] is not None:
        assert found["used"] + found["remaining"] == found["limit"]
        assert not found["limit"] or 0 <= found["used_share"] <= 1
    assert (found["remaining"] is None) == (remaining is None)
    numbers = [value for value in found.values() if isinstance(value, int | float)]
    assert min(numbers) >= 0
    assert found["age"] is None or found["age"] >= timedelta(0)


def test_a_clock_that_was_set_back_makes_no_figure_older_than_nothing() -> None:
    assert row(replace(STANDING, as_of=NOW + timedelta(hours=2)))["age"] == timedelta(0)


def test_more_left_than_the_limit_tells_no_use() -> None:
    found = row(replace(STANDING, remaining=300_000))
    assert (found["remaining"], found["used"], found["used_share"]) == (300_000, None, None)


def rows(fleet: Connected, *slugs: str, refresh: bool = False) -> dict[str, dict[str, Any]]:
    found = fleet.agency.quota(slugs or None, refresh=refresh)
    assert dict(found.schema) == dict(FLEET)
    return {one["client_slug"]: one for one in found.iter_rows(named=True)}


def sent(fleet: Connected) -> int:
    return sum(len(fleet.sandbox.ledger(slug)) for slug in fleet.slugs)


def test_looking_sends_nothing_and_refreshing_one_call_a_portal(fleet: Connected) -> None:
    before = sent(fleet)
    assert {*rows(fleet)} == {*fleet.slugs}
    assert sent(fleet) == before
    told = rows(fleet, refresh=True)
    assert sent(fleet) == before + 3
    assert [one["error"] for one in told.values()] == [None] * 3
    assert None not in [one["remaining"] for one in told.values()]


def test_some_clients_may_be_named_and_an_unknown_one_is_refused(fleet: Connected) -> None:
    assert [*rows(fleet, "gamma-labs", "acme-corp", "acme-corp")] == ["acme-corp", "gamma-labs"]
    before = sent(fleet)
    with pytest.raises(UnknownClient, match="acme-crop"):
        fleet.agency.quota(["beta-inc", "acme-crop"], refresh=True)
    assert sent(fleet) == before


def test_one_portal_that_cannot_be_asked_leaves_the_others_theirs(fleet: Connected) -> None:
    fleet.sandbox.suspend("beta-inc")
    found = rows(fleet, refresh=True)
    assert [slug for slug, one in found.items() if one["error"]] == ["beta-inc"]
    assert found["acme-corp"]["remaining"] is not None
    assert found["beta-inc"]["limit"] is not None


def test_stored_figures_that_cannot_be_read_are_a_row_that_says_so(fleet: Connected) -> None:
    folder = fleet.agency.workspace.state / "pacing"
    rows(fleet)
    fleet.agency.pacing.close()
    portal_id = fleet.agency.connection("beta-inc").portal_id
    (file,) = folder.glob(f"{portal_id}*.pace")
    file.unlink()
    file.mkdir()
    found = rows(fleet)
    assert found["beta-inc"]["error"]
    assert found["beta-inc"]["remaining"] is None
    assert found["acme-corp"]["error"] is None


def test_a_count_of_a_day_that_is_over_is_not_taken_for_todays(
    fleet: Connected, tmp_path: Path
) -> None:
    agency = fleet.agency
    pacing = Pacing(tmp_path / "anew", settings=agency.workspace.settings, writer=agency.writer)
    pacer = pacing.of(agency.connection("acme-corp"))
    over = DailyUsage(limit=250_000, used=249_999, fetch_status="CACHED", resets_at=NOW)
    quota.learn(pacer, over, now=NOW + timedelta(minutes=1))
    assert pacer.standing().remaining is None
    quota.learn(pacer, over, now=NOW - timedelta(minutes=1))
    assert pacer.standing().remaining == 1
    pacing.close()
