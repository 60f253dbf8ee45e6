"""A portal that HubSpot closes: for the day, or while it moves; and how it is opened again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hsagency.agency import Agency
from hsagency.errors import PortalAway, QuotaSpent
from hsagency.hubspot_errors import DailyLimitReached, PortalMoving
from hsagency.pacing import Budget, Pacer
from hsagency.sandbox import Fault
from hsagency.settings import Priority
from tests.core.desks import ASK, CALL, LINKS, SEARCH
from tests.support import Connected, connected, records

CONTACTS = "/crm/v3/objects/contacts"


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Connected]:
    with connected(tmp_path / "agency", portals=1) as made:
        yield made


def pacer_of(agency: Agency) -> Pacer:
    (slug,) = agency.slugs()
    return agency.pacing.of(agency.connection(slug))


def move(one: Connected, after: object) -> None:
    slug = one.slugs[0]
    one.sandbox.faults.add(
        Fault("status", status=477, retry_after=after, portal=slug, path="/crm", times=1)
    )


def test_a_portal_that_moves_is_left_alone_until_it_is_done(one: Connected) -> None:
    agency, slug = one.agency, one.slugs[0]
    client = agency.client(slug)
    move(one, 86_400)
    with pytest.raises(PortalMoving) as first:
        client.get(CONTACTS).raise_for_status()
    until = first.value.until
    assert until is not None
    assert abs(until - datetime.now(UTC) - timedelta(days=1)) < timedelta(minutes=1)
    assert f"until {until:%Y-%m-%d %H:%M} UTC" in str(first.value)
    with pytest.raises(PortalAway, match="the sandbox is moving this portal") as later:
        client.get(CONTACTS)
    assert later.value.until is not None
    assert abs(later.value.until - until) < timedelta(seconds=1)
    refused = [
        each["reason"]
        for each in records(agency.workspace.root, slug)
        if each["event"] == "call.refused"
    ]
    assert refused == ["portal moving"]
    rows = agency.map(lambda portal: portal.get(CONTACTS).status_code)
    assert rows["error"].to_list() == ["PortalAway"]
    assert rows["reasons"].to_list() == [["moving"]]


def test_a_move_without_a_time_is_left_alone_for_an_hour(one: Connected) -> None:
    client = one.agency.client(one.slugs[0])
    move(one, "")
    assert client.get(CONTACTS).status_code == 477
    with pytest.raises(PortalAway, match="and did not say until when") as refused:
        client.get(CONTACTS)
    assert refused.value.until is not None
    assert abs(refused.value.until - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)


def test_a_portal_that_answers_a_check_well_is_open_again(one: Connected) -> None:
    client = one.agency.client(one.slugs[0])
    move(one, 86_400)
    assert client.get(CONTACTS).status_code == 477
    one.agency.verify(one.slugs[0])
    assert client.get(CONTACTS).status_code == 200


@pytest.mark.parametrize("purpose", ["quota", "verification"])
def test_nobody_passes_a_closing_by_calling_it_a_check(one: Connected, purpose: str) -> None:
    agency, slug = one.agency, one.slugs[0]
    client = agency.client(slug, purpose=purpose)
    before = pacer_of(agency).standing()
    pacer_of(agency).close(None, "the day is used up")
    for made in (client, agency.client(slug)):
        with pytest.raises(QuotaSpent):
            made.get(CONTACTS, extensions={"purpose": purpose})
    assert pacer_of(agency).standing().checks == before.checks


def test_the_limit_is_whole_again_at_the_portals_own_midnight(one: Connected) -> None:
    one.sandbox.faults.add(Fault("daily", portal=one.slugs[0], path="/crm"))
    with pytest.raises(DailyLimitReached, match=r"whole again at .* 00:0[02] America/Los_Angeles"):
        one.agency.client(one.slugs[0]).get(CONTACTS).raise_for_status()


def test_the_end_of_the_day_is_the_same_whoever_tells_it(one: Connected) -> None:
    agency, slug = one.agency, one.slugs[0]
    known = agency.connection(slug)
    facts = {name: fact for name, fact in known.facts.items() if name != "time_zone"}
    agency.index.update(known.client_slug, generation=known.generation, facts=facts)
    one.sandbox.faults.add(Fault("daily", portal=slug, path="/crm"))
    client = agency.client(slug)
    with pytest.raises(DailyLimitReached) as first:
        client.get(CONTACTS).raise_for_status()
    with pytest.raises(QuotaSpent) as later:
        client.get(CONTACTS)
    assert first.value.until == later.value.until
    assert pacer_of(agency).standing().closed_until == first.value.until
    told = agency.quota()["closed_until"][0]
    assert told == first.value.until


@pytest.mark.parametrize(
    ("policy", "path", "held"),
    [
        ("TEN_SECONDLY_ROLLING", f"{CONTACTS}/search", Budget.BURST),
        (
            "TEN_SECONDLY_ROLLING",
            "/crm/v4/objects/contacts/1/associations/deals",
            Budget.ASSOCIATIONS,
        ),
        ("SECONDLY", f"{CONTACTS}/search", Budget.SEARCH),
        ("MINUTELY", f"{CONTACTS}/search", Budget.SEARCH),
        ("MINUTELY", CONTACTS, Budget.BURST),
    ],
)
def test_everybody_waits_for_the_limit_that_an_answer_names(
    one: Connected, policy: str, path: str, held: Budget
) -> None:
    agency, slug = one.agency, one.slugs[0]
    one.sandbox.faults.add(
        Fault("status", status=429, policy=policy, retry_after=300, portal=slug, path="/crm")
    )
    method = "POST" if path.endswith("search") else "GET"
    body = {"filterGroups": []} if method == "POST" else None
    assert agency.client(slug).request(method, path, json=body).status_code == 429
    pacer = pacer_of(agency)
    for touches, budget in (
        (CALL, Budget.BURST),
        (LINKS, Budget.ASSOCIATIONS),
        (SEARCH, Budget.SEARCH),
    ):
        waits = pacer.reserve(touches, Priority.CRITICAL).wait > 60
        assert waits == (budget is held), budget
    assert pacer.reserve(ASK, Priority.LOW, purpose="quota").granted == (held is not Budget.BURST)


def test_an_error_says_where_it_was_traced_and_what_a_read_left_alone(one: Connected) -> None:
    slug = one.slugs[0]
    one.sandbox.faults.add(Fault("status", status=500, portal=slug, path="/crm"))
    response = one.agency.client(slug).get(CONTACTS, extensions={"retry": False})
    with pytest.raises(Exception, match="the sandbox failed at this call") as caught:
        response.raise_for_status()
    error = caught.value
    assert f"GET {CONTACTS} changed nothing. (correlation id {error.correlation_id})" in str(error)
    assert error.cause == "the sandbox failed at this call"
