"""Which portals a job is about, and which it leaves alone, with every reason."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hsagency.errors import UnknownClient, UsageError
from hsagency.fleet import RESULTS
from hsagency.portals import Cause, Connection, ConnectionStatus, ConnectionType, Stop, Tombstone
from tests.fleet.jobs import change, ids, received, row
from tests.support import TOKEN, Connected


def test_some_clients_are_named_by_slug_or_by_a_question(fleet: Connected) -> None:
    two = fleet.slugs[:2]
    named = fleet.agency.map(lambda _: 1, clients=[*two, two[0]])
    assert named["client_slug"].to_list() == sorted(two)
    assert fleet.agency.map(lambda _: 1, clients=two[0])["client_slug"].to_list() == [two[0]]

    def asked(connection: Connection) -> bool:
        return connection.client_slug in two

    assert fleet.agency.map(lambda _: 1, clients=asked).height == 2


def test_nobody_is_a_frame_without_rows(fleet: Connected) -> None:
    results = fleet.agency.map(lambda _: 1, clients=[])
    assert results.height == 0
    assert results.schema == {**RESULTS}


def test_an_unknown_client_is_named_before_anything_is_sent(fleet: Connected) -> None:
    one = fleet.slugs[0]
    with pytest.raises(UnknownClient) as refused:
        fleet.agency.map(ids, clients=[one, f"{one}x", TOKEN])
    assert one in refused.value.hint
    assert f"{one}x" in refused.value.message
    assert TOKEN not in str(refused.value)
    assert received(fleet, one) == []


@pytest.mark.parametrize("pending", [False, True])
def test_a_client_that_was_removed_is_named_as_such(fleet: Connected, *, pending: bool) -> None:
    slug = fleet.slugs[0]
    one = fleet.agency.connection(slug)
    fleet.agency.index.bury(
        Tombstone(
            client_slug=one.client_slug,
            portal_id=one.portal_id,
            name=one.portal.name,
            connection_type=one.connection_type,
            kind=one.kind,
            generation=one.generation,
            fingerprint=one.fingerprint,
            api_base=one.api_base,
            added_at=one.added_at,
            removed_at=one.added_at,
            removed_by="ana",
            pending=one if pending else None,
        ),
        instead_of=one,
    )
    for ask in (fleet.agency.quota, lambda slugs: fleet.agency.map(ids, clients=slugs)):
        with pytest.raises(UnknownClient, match="was removed on") as refused:
            ask([slug])
        hint = f"hsagency remove {slug}" if pending else f"hsagency portals {slug}"
        assert hint in refused.value.hint


@pytest.mark.parametrize(("options"), [{"workers": 0}, {"purpose": "é" * 65}])
def test_a_job_that_makes_no_sense_is_refused_before_anything_is_sent(
    fleet: Connected, options: dict[str, object]
) -> None:
    with pytest.raises(UsageError, match="Nothing was sent"):
        fleet.agency.map(ids, **options)
    assert received(fleet, fleet.slugs[0]) == []


def test_every_reason_to_leave_a_portal_alone_is_told(fleet: Connected) -> None:
    slug = fleet.slugs[0]
    change(
        fleet,
        slug,
        stopped=Stop(reason="It answered 401.", at=datetime.now(UTC), status_code=401),
        connection_type=ConnectionType.CONFIG_ONLY,
    )
    left = row(fleet.agency.map(ids, clients=slug, audit=True), slug)
    assert left["outcome"] == "excluded"
    assert left["reasons"] == ["stopped", "connection type"]
    assert left["status_code"] == 401
    assert left["calls"] is left["started_at"] is left["error"] is None
    assert str(left["message"]).endswith("Nothing was sent.")
    assert slug in str(left["hint"])
    assert received(fleet, slug) == []


def test_a_config_only_portal_takes_part_in_what_is_no_audit(fleet: Connected) -> None:
    slug = fleet.slugs[0]
    change(fleet, slug, connection_type=ConnectionType.CONFIG_ONLY)
    results = fleet.agency.map(lambda portal: portal.get("/crm/v3/properties/contacts").status_code)
    assert set(results["value"]) == {200}


@pytest.mark.parametrize("cause", [Cause.SCOPES, Cause.USER])
def test_what_needs_reconnection_and_is_not_stopped_takes_part(
    fleet: Connected, cause: Cause
) -> None:
    slug = fleet.slugs[0]
    needs = ConnectionStatus.NEEDS_RECONNECTION
    change(fleet, slug, status=needs, cause=cause, status_evidence="a scope is missing")
    results = fleet.agency.map(ids, audit=True)
    assert row(results, slug)["outcome"] == "done", "what it can still do, it does"
    assert fleet.agency.connection(slug).cause is cause, "and that says nothing of the rest"
