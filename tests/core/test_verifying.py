"""What HubSpot is asked when a person has a connection verified, and what becomes of that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hsagency.errors import PortalMismatch
from hsagency.facts import DOMAIN
from hsagency.portals import Cause, ClientSlug, ConnectionStatus, ConnectionType
from hsagency.sandbox import Fault, Sandbox
from tests.support import (
    Authorised,
    Connected,
    assert_no_tokens,
    authorised,
    connected,
    records,
    tokens_of,
)

PATH = "/crm/v3/objects/contacts"
INTROSPECTION = "/oauth/v2/private-apps/get/access-token-info"
USAGE = "/account-info/2026-09/api-usage"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Connected]:
    with connected(tmp_path / "agency", portals=2, contacts=2) as one:
        yield one


@pytest.fixture
def slug(fleet: Connected) -> str:
    return fleet.slugs[0]


@pytest.fixture
def oauth(tmp_path: Path) -> Iterator[Authorised]:
    with authorised(tmp_path / "agency", contacts=2) as one:
        yield one


def asked(fleet: Connected, slug: str) -> list[str]:
    """Return the paths at which a portal was asked, oldest first."""
    return [one.path for one in fleet.sandbox.ledger(slug)]


def infer(fleet: Connected, slug: str) -> None:
    """Forget the tier that the client list declares, so that it is inferred."""
    facts = {**fleet.agency.connection(slug).facts}
    del facts["tier"]
    fleet.agency.index.update(ClientSlug(slug), generation=1, facts=facts)


def said(fleet: Connected, slug: str, event: str) -> list[str]:
    there = records(fleet.agency.workspace.root, slug)
    return [one["message"] for one in there if one["event"] == event]


def set_scopes(fleet: Connected, slug: str, *names: str) -> None:
    fleet.sandbox.set_scopes(fleet.sandbox.portal(slug).portal_id, names)


def test_a_person_has_identity_use_and_scopes_asked_for(fleet: Connected, slug: str) -> None:
    infer(fleet, slug)
    found = fleet.agency.verify(slug)
    assert asked(fleet, slug)[-3:] == [
        "/account-info/2026-09/details",
        f"{USAGE}/daily/private-apps",
        INTROSPECTION,
    ]
    assert (found.portal_id, found.changed, found.warnings, found.missing) == (
        fleet.sandbox.portal(slug).portal_id,
        "tier unknown -> 'professional'",
        (),
        (),
    )
    facts = found.connection.facts
    told = ("name", "account_type", "currency", "time_zone", "hosting", "daily_limit", "scopes")
    assert {facts[name].provenance for name in told} == {"fetched"}
    assert {facts[name].at for name in told} == {facts["name"].at}
    assert (facts["tier"].provenance, facts["tier"].confidence) == ("inferred", "high")


def test_a_proof_before_a_call_never_sends_the_token_in_a_body(fleet: Connected, slug: str) -> None:
    before = len(asked(fleet, slug))
    fleet.agency.index.update(ClientSlug(slug), generation=1, proof=None)
    fleet.agency.client(slug).get(PATH)
    assert asked(fleet, slug)[before:] == ["/account-info/2026-09/details", PATH]


def test_the_token_in_the_body_is_nowhere_afterwards(fleet: Connected, slug: str) -> None:
    fleet.agency.verify(slug)
    fleet.agency.writer.flush()
    assert_no_tokens([fleet.agency.workspace.root], tokens_of(fleet.sandbox))


def test_a_proof_before_a_call_heeds_what_its_one_answer_tells(fleet: Connected, slug: str) -> None:
    portal = fleet.sandbox.portal(slug)
    infer(fleet, slug)
    assert fleet.agency.verify(slug).connection.facts["tier"].value == "professional"
    fleet.sandbox.alter(portal.portal_id, tier="enterprise", name="Renamed", account_type="SANDBOX")
    told: list[str] = []
    fleet.agency.writer.tell = told.append
    fleet.agency.index.update(ClientSlug(slug), generation=1, proof=None)
    fleet.agency.client(slug).get(PATH)
    facts = fleet.agency.connection(slug).facts
    assert (facts["name"].value, facts["tier"].value) == ("Renamed", "enterprise")
    *_, change = said(fleet, slug, "connection.changed")
    assert "account type 'STANDARD' -> 'SANDBOX'" in change
    assert "tier 'professional' -> 'enterprise'" in change
    assert [one for one in told if "its account type changed from STANDARD to SANDBOX" in one]


@pytest.mark.parametrize("path", [USAGE, INTROSPECTION])
@pytest.mark.parametrize("status", [404, 403])
def test_what_is_not_told_beside_the_identity_is_kept_and_no_failure(
    fleet: Connected, slug: str, path: str, status: int
) -> None:
    before = fleet.agency.connection(slug).facts
    fleet.sandbox.faults.add(Fault("status", status=status, path=path))
    found = fleet.agency.verify(slug)
    after = found.connection.facts
    assert after["scopes"].value == before["scopes"].value
    assert after["daily_limit"].value == before["daily_limit"].value
    assert found.connection.status is ConnectionStatus.CONNECTED
    if path == INTROSPECTION:
        assert after["scopes"] == before["scopes"]
        (warning,) = found.warnings
        assert warning.endswith("did not say which scopes it holds; they were not checked")


def test_scopes_that_went_need_reconnection_and_calls_go_on(fleet: Connected, slug: str) -> None:
    set_scopes(fleet, slug, "crm.schemas.contacts.read", "forms")
    found = fleet.agency.verify(slug)
    assert found.missing == ("crm.objects.contacts.read",)
    stored = fleet.agency.connection(slug)
    assert stored == found.connection
    assert (stored.status, stored.cause) == (ConnectionStatus.NEEDS_RECONNECTION, Cause.SCOPES)
    assert stored.stopped is None
    assert "scopes: no longer" in said(fleet, slug, "connection.changed")[-1]
    (failed,) = said(fleet, slug, "connection.failed")
    assert "needs to be reconnected: the token lacks scopes" in failed
    assert fleet.agency.client(slug).get("/crm/v3/properties/contacts").status_code == 200
    again = fleet.agency.verify(slug)
    assert (again.changed, again.missing) == ("", found.missing)
    assert again.connection.trouble == stored.trouble
    assert len(said(fleet, slug, "connection.failed")) == 1
    assert "works again" not in said(fleet, slug, "connection.verified")[-1]


def test_scopes_that_are_back_make_it_connected(fleet: Connected, slug: str) -> None:
    set_scopes(fleet, slug, "crm.schemas.contacts.read", "forms")
    fleet.agency.verify(slug)
    set_scopes(fleet, slug, "crm.objects.contacts.read", "forms")
    found = fleet.agency.verify(slug).connection
    assert (found.status, found.cause, found.trouble) == (ConnectionStatus.CONNECTED, None, None)
    assert "It works again" in said(fleet, slug, "connection.verified")[-1]


def test_a_key_that_may_write_is_warned_about_where_it_is_to_read(
    fleet: Connected, slug: str
) -> None:
    kind = ConnectionType.AUDIT_ONLY
    fleet.agency.index.update(ClientSlug(slug), generation=1, connection_type=kind)
    (warning,) = fleet.agency.verify(slug).warnings
    assert warning.startswith("it could change things: ")


def test_a_token_that_is_said_to_be_another_portals_halts_the_fleet(
    fleet: Connected, slug: str
) -> None:
    other = fleet.sandbox.portal(fleet.slugs[1]).portal_id
    fleet.sandbox.faults.add(Fault("wrong_portal", claims=other, path=INTROSPECTION))
    with pytest.raises(PortalMismatch):
        fleet.agency.verify(slug)
    assert "reached portal" in str(fleet.agency.halt.reason())


def test_over_oauth_the_token_desk_says_what_was_granted(oauth: Authorised) -> None:
    slug = oauth.slugs[0]
    found = oauth.agency.verify(slug)
    assert INTROSPECTION not in asked(oauth, slug)
    assert [one.path for one in oauth.asked(slug) if one.path.endswith("/introspect")]
    scopes = found.connection.facts["scopes"].value
    assert isinstance(scopes, tuple)
    assert "crm.objects.contacts.read" in scopes
    assert found.warnings == ()


def test_over_oauth_the_domain_is_the_name_where_hubspot_tells_none(tmp_path: Path) -> None:
    sandbox = Sandbox(portals=1, contacts=2)
    portal = sandbox.portals[0]
    sandbox.alter(portal.portal_id, portal_names=False)
    with authorised(tmp_path / "agency", sandbox=sandbox) as one:
        slug = one.slugs[0]
        name = one.agency.verify(slug).connection.facts["name"]
        assert (name.value, name.provenance, name.evidence) == (
            f"{slug}.example",
            "fetched",
            DOMAIN,
        )
        sandbox.alter(portal.portal_id, portal_names=True)
        named = one.agency.verify(slug)
        assert named.changed == f"name '{slug}.example' -> '{portal.name}'"
        sandbox.alter(portal.portal_id, portal_names=False)
        kept = one.agency.verify(slug).connection.facts["name"]
        assert kept == named.connection.facts["name"]


def test_over_oauth_a_desk_that_is_silent_is_said_and_no_failure(oauth: Authorised) -> None:
    slug = oauth.slugs[0]
    oauth.sandbox.faults.add(Fault("status", status=400, path="/oauth/2026-09/token/introspect"))
    found = oauth.agency.verify(slug)
    assert found.connection.status is ConnectionStatus.CONNECTED
    (warning,) = found.warnings
    assert warning.endswith("; they were not checked")
