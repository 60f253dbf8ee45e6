"""
Portals: made from a seed, each with its own people and tokens, and changed by people.

Facts 1.1 and 1.3 for what tokens look like and 2.1 for whose they are; the rest is nobody's but ours.
"""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.errors import SandboxError
from hsagency.sandbox import Clock, Request, Sandbox
from hsagency.sandbox.contents.people import people

TOKEN = re.compile(r"pat-[a-z]{2}\d{1,3}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CONTACTS = "/crm/objects/2026-09/contacts"


def ask(sandbox: Sandbox, token: str, target: str) -> tuple[int, bytes]:
    headers = [("Authorization", f"Bearer {token}")]
    reply = sandbox.handle(Request.parse("GET", target, headers=headers))
    return reply.status, reply.body


@given(seed=st.integers(0, 10**6), count=st.integers(1, 8))
def test_the_same_seed_gives_the_same_portals_tokens_and_answers(seed: int, count: int) -> None:
    clock = Clock(Clock().now())
    one, two = (Sandbox(portals=count, seed=seed, clock=clock, contacts=5) for _ in range(2))
    assert one.portals == two.portals
    for portal in one.portals:
        assert ask(one, portal.token, CONTACTS) == ask(two, portal.token, CONTACTS)
        assert one.ledger(portal.portal_id) == two.ledger(portal.portal_id)


@given(seed=st.integers(0, 10**6), few=st.integers(1, 10), more=st.integers(0, 10))
def test_a_larger_fleet_keeps_the_portals_of_a_smaller_one(seed: int, few: int, more: int) -> None:
    small, large = Sandbox(portals=few, seed=seed), Sandbox(portals=few + more, seed=seed)
    assert large.portals[:few] == small.portals


@given(seed=st.integers(0, 10**6))
def test_no_credential_sees_another_portal(seed: int) -> None:
    """Facts 2.1: portalId is that of the token's portal. From documents alone."""
    sandbox = Sandbox(portals=4, seed=seed, contacts=3)
    for portal in sandbox.portals:
        _, contacts = ask(sandbox, portal.token, CONTACTS)
        _, details = ask(sandbox, portal.token, "/account-info/v3/details")
        assert set(re.findall(rb"@([a-z-]+)\.example", contacts)) == {portal.client_slug.encode()}
        assert f'"portalId":{portal.portal_id},'.encode() in details
        assert len(sandbox.ledger(portal.portal_id)) == 2


def test_different_seeds_give_different_tokens() -> None:
    tokens = [p.token for seed in range(5) for p in Sandbox(portals=50, seed=seed).portals]
    assert len(set(tokens)) == len(tokens)


def test_two_hundred_portals_are_all_different_and_well_formed() -> None:
    """Facts 1.1 and 1.3: a private app's token and a service key look alike. Observed by others."""
    portals = Sandbox(portals=200, contacts=0).portals
    for name in ("portal_id", "client_slug", "token", "name"):
        assert len({getattr(portal, name) for portal in portals}) == 200
    assert all(TOKEN.fullmatch(portal.token) for portal in portals)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)+", portal.client_slug) for portal in portals)
    assert {portal.tier for portal in portals} == {"starter", "professional", "enterprise"}
    assert {portal.hublet for portal in portals} == {"na1", "na2", "eu1"}
    assert {portal.kind for portal in portals} == {"service_key", "private_app"}


def test_the_first_clients_are_the_ones_the_documentation_names() -> None:
    assert [p.client_slug for p in Sandbox(portals=2).portals] == ["acme-corp", "beta-inc"]


def test_a_token_is_not_in_the_repr_of_its_portal() -> None:
    portal = Sandbox(portals=1).portals[0]
    assert portal.token not in repr(portal)


@pytest.mark.parametrize("portals", [0, -1, 201])
def test_a_sandbox_of_an_impossible_size_is_refused(portals: int) -> None:
    with pytest.raises(SandboxError, match="1 to 200"):
        Sandbox(portals=portals)


def test_an_unknown_portal_is_refused_by_name(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="no-such-client"):
        sandbox.portal("no-such-client")
    with pytest.raises(SandboxError, match="no portal 7"):
        sandbox.revoke(7)
    assert sandbox.portal("beta-inc") == sandbox.portal(sandbox.portals[1].portal_id)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": " "}, "name of a portal is a name"),
        ({"account_type": "REAL"}, "one of STANDARD"),
        ({"tier": "free"}, "one of starter"),
        ({"time_zone": "Mars/Olympus"}, "name of a time zone"),
        ({"time_zone": 7}, "name of a time zone"),
        ({"currency": "euro"}, "currency's code"),
        ({"additional_currencies": ("EUR", "x")}, "currencies' codes"),
        ({"add_ons": 3}, "0, 1 or 2"),
        ({"add_ons": True}, "0, 1 or 2"),
        ({"portal_names": "no"}, "true or false"),
        ({"usage_status": "LATE"}, "one of SUCCESS"),
        ({"newer_refusals": 1}, "true or false"),
        ({"client_slug": "acme"}, "no client_slug to change"),
        ({"hublet": "Europe"}, "name of a data centre"),
        ({"search_headers": 1}, "true or false"),
        ({"name": "Acme", "tier": "free"}, "one of starter"),
    ],
)
def test_an_account_is_not_changed_into_what_cannot_be(
    sandbox: Sandbox, changes: dict[str, Any], words: str
) -> None:
    before = sandbox.portals
    with pytest.raises(SandboxError, match=words):
        sandbox.alter(before[0].portal_id, **changes)
    assert sandbox.portals == before


def test_an_account_that_is_renamed_keeps_its_slug_and_its_data(sandbox: Sandbox) -> None:
    portal = sandbox.portals[0]
    contacts = ask(sandbox, portal.token, CONTACTS)
    sandbox.alter(portal.portal_id, name="Acme Holding", tier="enterprise")
    assert sandbox.portal("acme-corp").name == "Acme Holding"
    assert ask(sandbox, portal.token, CONTACTS) == contacts


@given(seed=st.integers(0, 10**6))
def test_every_portal_has_people_and_one_of_them_made_its_credential(seed: int) -> None:
    for portal in Sandbox(portals=3, seed=seed).portals:
        staff = people(portal, seed=seed)
        assert staff[0].user_id == portal.credential.user_id
        assert len({person.user_id for person in staff}) == len(staff) == 5
        assert len({person.email for person in staff}) == 5


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"portals": "3"}, "portals of a sandbox must be a whole number"),
        ({"portals": True}, "portals of a sandbox must be a whole number"),
        ({"contacts": 1.5}, "contacts of a sandbox must be a whole number"),
        ({"contacts": -1}, "contacts of a sandbox must be 0 or more, not -1"),
        ({"clock": "x"}, "The clock of a sandbox is a Clock"),
    ],
)
def test_a_sandbox_that_makes_no_sense_is_not_started(how: dict[str, Any], why: str) -> None:
    with pytest.raises(SandboxError) as raised:
        Sandbox(**how)
    assert why in str(raised.value)
    assert "was not started" in str(raised.value)
