"""What a verification leaves behind: fresh facts, a record of what changed, and no half-truths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hsagency.errors import (
    CallRefused,
    CorruptFile,
    CredentialMissing,
    CredentialRejected,
    Halted,
    PortalForbidden,
    PortalMismatch,
    PortalStopped,
    VerificationError,
)
from hsagency.portals import (
    ClientSlug,
    Connection,
    ConnectionStatus,
    ConnectionType,
    Fact,
    Provenance,
)
from hsagency.sandbox import Fault, Sandbox
from hsagency.sandbox.wire import Reply, Request
from hsagency.verdicts import ATTEMPTS
from tests.support import Connected, connected, records

PATH = "/crm/v3/objects/contacts"
THEN = datetime(2026, 3, 1, tzinfo=UTC)


class Fickle(Sandbox):
    """
    Knows no path that begins with `lacking`, and damages `spoiling` before it answers.

    While it tells whose a credential is, it does what `meanwhile` says.
    """

    lacking: str | None = None
    spoiling: Path | None = None
    meanwhile: Callable[[], object] | None = None

    def handle(self, request: Request) -> Reply:
        if self.meanwhile is not None and request.path.startswith("/account-info"):
            self.meanwhile()
        if self.spoiling is not None:
            self.spoiling.write_bytes(b"{")
        if self.lacking is not None and request.path.startswith(self.lacking):
            return Reply(404)
        return super().handle(request)


@dataclass(frozen=True)
class Fleet(Connected):
    """A fleet whose portals can be made to say nothing."""

    sandbox: Fickle


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    sandbox = Fickle(portals=3, contacts=2)
    with connected(tmp_path / "agency", sandbox=sandbox) as one:
        yield Fleet(agency=one.agency, sandbox=sandbox, server=one.server)


@pytest.fixture
def slug(fleet: Fleet) -> str:
    return fleet.slugs[0]


def store(fleet: Fleet, slug: str, **changes: Any) -> Connection:
    """Change a stored connection, as if that had been so since its onboarding."""
    connection = replace(fleet.agency.connection(slug), **changes)

    def edit(connections: dict[ClientSlug, Connection]) -> None:
        connections[connection.client_slug] = connection

    fleet.agency.index.write(edit)
    return connection


def remember(fleet: Fleet, slug: str, **facts: Fact) -> Connection:
    return store(fleet, slug, facts={**fleet.agency.connection(slug).facts, **facts})


def fetched(value: str) -> Fact:
    return Fact(value, Provenance.FETCHED, THEN)


def declared(value: str) -> Fact:
    return Fact(value, Provenance.DECLARED, THEN)


def said(fleet: Fleet, slug: str, event: str) -> list[str]:
    return [
        one["message"]
        for one in records(fleet.agency.workspace.root, slug)
        if one["event"] == event
    ]


def test_the_name_follows_hubspot_and_the_change_is_recorded(fleet: Fleet, slug: str) -> None:
    portal = fleet.sandbox.portal(slug)
    remember(fleet, slug, name=fetched("Old Name Ltd"), currency=fetched("XXX"))
    fleet.agency.verify(slug)
    stored = fleet.agency.connection(slug)
    assert stored.portal.name == portal.name
    assert stored.facts["currency"].value == portal.currency
    (change,) = said(fleet, slug, "connection.changed")
    assert change == (
        f"The sandbox now reports for portal {portal.portal_id}: currency 'XXX' -> "
        f"'{portal.currency}', name 'Old Name Ltd' -> '{portal.name}'."
    )


def test_a_re_proof_before_a_call_refreshes_them_too(fleet: Fleet, slug: str) -> None:
    remember(fleet, slug, name=fetched("Old Name Ltd"))
    store(fleet, slug, proof=None)
    fleet.agency.client(slug).get(PATH)
    assert fleet.agency.connection(slug).portal.name == fleet.sandbox.portal(slug).name
    assert len(said(fleet, slug, "connection.changed")) == 1
    assert said(fleet, slug, "connection.verified") == []


def test_a_declared_name_gives_way_to_hubspots(fleet: Fleet, slug: str) -> None:
    remember(fleet, slug, name=declared("What we call them"), tier=declared("starter"))
    fleet.agency.verify(slug)
    facts = fleet.agency.connection(slug).facts
    assert (facts["name"].provenance, facts["tier"]) == ("fetched", declared("starter"))
    assert "'What we call them' -> " in said(fleet, slug, "connection.changed")[0]


def test_what_hubspot_does_not_tell_stays_with_its_time(fleet: Fleet, slug: str) -> None:
    name = declared("What we call them")
    before = remember(fleet, slug, name=name)
    fleet.sandbox.lacking = "/account-info/2026-09/details"  # the older address tells no name
    fleet.agency.verify(slug)
    after = fleet.agency.connection(slug)
    assert after.facts["name"] == name
    assert after.facts["scopes"].value == before.facts["scopes"].value
    assert after.facts["currency"].at > before.facts["currency"].at
    assert said(fleet, slug, "connection.changed") == []


def test_a_portal_that_moved_is_where_hubspot_says(fleet: Fleet, slug: str) -> None:
    remember(fleet, slug, hosting=fetched("ap1"))
    store(fleet, slug, hublet="ap1")
    fleet.agency.verify(slug)
    hublet = fleet.sandbox.portal(slug).hublet
    assert fleet.agency.connection(slug).hublet == hublet
    assert f"hosting 'ap1' -> '{hublet}'" in said(fleet, slug, "connection.changed")[0]


def test_a_verification_that_was_asked_for_is_on_record(fleet: Fleet, slug: str) -> None:
    fleet.agency.client(slug).get(PATH)
    assert said(fleet, slug, "connection.verified") == []
    fleet.agency.verify(slug)
    (line,) = said(fleet, slug, "connection.verified")
    assert f"portal {fleet.sandbox.portal(slug).portal_id}" in line
    assert "works again" not in line


@pytest.mark.parametrize("by", ["verify", "client"])
def test_a_connection_that_works_again_is_on_record(fleet: Fleet, slug: str, by: str) -> None:
    evidence = "401 at 2026-11-01 09:00 UTC"
    status = ConnectionStatus.NEEDS_RECONNECTION
    store(fleet, slug, status=status, status_evidence=evidence, proof=None)
    getattr(fleet.agency, by)(slug)
    (line,) = said(fleet, slug, "connection.verified")
    assert f"works again; it was needs_reconnection ({evidence})." in line
    assert fleet.agency.connection(slug).status is ConnectionStatus.CONNECTED


@pytest.mark.parametrize("status", [403, 404])
def test_a_portal_that_is_closed_to_us_gets_no_calls_until_a_person_resumes_it(
    fleet: Fleet, slug: str, status: int
) -> None:
    client = fleet.agency.client(slug)
    if status == 404:
        fleet.sandbox.lacking = "/account-info/"
    else:
        fleet.sandbox.faults.add(Fault("status", status=403, html=True))
    with pytest.raises(PortalForbidden, match="Nothing else was sent"):
        fleet.agency.verify(slug)
    stored = fleet.agency.connection(slug)
    assert (stored.status, stored.proof) == (ConnectionStatus.DISCONNECTED, None)
    assert stored.status_evidence.startswith(f"{status} at ")
    assert len(said(fleet, slug, "stop.set")) == 1
    fleet.sandbox.lacking = None
    fleet.sandbox.faults.clear()
    with pytest.raises(PortalStopped):
        client.get(PATH)
    fleet.agency.resume(slug, reason="the client opened it again")
    assert client.get(PATH).status_code == 200
    assert "works again" in said(fleet, slug, "connection.verified")[0]


@pytest.mark.parametrize(
    "fault",
    [
        *(Fault("status", status=status, times=1) for status in (401, 403)),
        Fault("status", status=503, times=ATTEMPTS),
        Fault("drop_before", times=ATTEMPTS),
        Fault("wrong_portal", times=1),
    ],
)
def test_a_re_proof_says_what_was_not_sent_and_who_answered(
    fleet: Fleet, slug: str, fault: Fault
) -> None:
    store(fleet, slug, proof=None)
    fleet.sandbox.faults.add(fault)
    with pytest.raises(VerificationError) as caught:
        fleet.agency.client(slug)
    assert caught.value.message.endswith(". Nothing else was sent.")
    assert caught.value.message.count("Nothing") == 1
    assert "stored" not in caught.value.message
    assert "HubSpot" not in caught.value.message


def test_a_mix_up_names_both_clients_where_the_other_is_known(fleet: Fleet) -> None:
    one, other = fleet.slugs[:2]
    mine, theirs = (fleet.sandbox.portal(slug).portal_id for slug in (one, other))
    fleet.sandbox.faults.add(Fault("wrong_portal", claims=theirs, times=1))
    with pytest.raises(PortalMismatch) as caught:
        fleet.agency.verify(one)
    assert f"portal {theirs} ({other}), expected {mine} ({one})." in caught.value.message
    reached = f"the credential of {one} reached portal {theirs} ({other}) instead of {mine}."
    assert fleet.agency.halt.reason() == reached
    with pytest.raises(Halted, match="reached portal"):
        fleet.agency.client(one)


def test_no_clients_log_names_another_client(fleet: Fleet) -> None:
    one, other, third = fleet.slugs
    client = fleet.agency.client(third)
    claims = fleet.sandbox.portal(other).portal_id
    fleet.sandbox.faults.add(Fault("wrong_portal", claims=claims, times=1))
    with pytest.raises(PortalMismatch):
        fleet.agency.verify(one)
    with pytest.raises(CallRefused, match=f"{one} reached"):
        client.get(PATH)
    for slug in (one, third):
        last = str(records(fleet.agency.workspace.root, slug)[-1])
        assert "halted" in last
        assert not [name for name in fleet.slugs if name != slug and name in last]


def test_a_call_stopped_by_its_own_proof_is_on_record_without_what_was_found(
    fleet: Fleet, slug: str
) -> None:
    client, other = fleet.agency.client(slug), fleet.slugs[1]
    store(fleet, slug, proof=None)
    claims = fleet.sandbox.portal(other).portal_id
    fleet.sandbox.faults.add(Fault("wrong_portal", claims=claims, times=1))
    with pytest.raises(PortalMismatch, match=other):
        client.post(PATH, json={})
    last = records(fleet.agency.workspace.root, slug)[-1]
    assert (last["event"], last["method"], last["path"]) == ("call.refused", "POST", PATH)
    assert last["reason"] == "not proven: portal mismatch"
    assert other not in str(last)
    assert str(claims) not in str(last)


def test_a_secret_that_is_gone_is_on_record_without_where_it_was(fleet: Fleet, slug: str) -> None:
    folder = fleet.agency.workspace.root / "credentials"
    next(folder.rglob(f"{slug}/*.age")).unlink()
    with pytest.raises(CredentialMissing, match="age:credentials"):
        fleet.agency.client(slug).get(PATH)
    last = records(fleet.agency.workspace.root, slug)[-1]
    assert (last["outcome"], last["reason"]) == ("refused", "credential missing")
    assert "age:" not in str(last)


def test_a_mix_up_halts_the_fleet_although_the_index_cannot_name_anybody(
    fleet: Fleet, slug: str
) -> None:
    fleet.sandbox.faults.add(Fault("wrong_portal", times=1))
    fleet.sandbox.spoiling = fleet.agency.workspace.root / "connections.json"
    with pytest.raises(CorruptFile):
        fleet.agency.verify(slug)
    assert "reached portal" in str(fleet.agency.halt.reason())
    assert len(said(fleet, slug, "halt.set")) == 1


def test_a_rejection_is_told_with_what_became_of_it(fleet: Fleet, slug: str) -> None:
    fleet.sandbox.revoke(fleet.sandbox.portal(slug).portal_id)
    with pytest.raises(CredentialRejected, match=r"Nothing else was sent"):
        fleet.agency.verify(slug)


def test_a_type_that_changes_while_the_proof_is_asked_for_counts_for_the_call(
    fleet: Fleet, slug: str
) -> None:
    client = fleet.agency.client(slug)
    stored = store(fleet, slug, proof=None)

    def narrow() -> None:
        fleet.agency.index.update(
            ClientSlug(slug),
            generation=stored.generation,
            connection_type=ConnectionType.AUDIT_ONLY,
        )

    fleet.sandbox.meanwhile = narrow
    with pytest.raises(CallRefused, match="an audit_only connection reads"):
        client.post(PATH, json={"properties": {"email": "ada@example.com"}})
    last = records(fleet.agency.workspace.root, slug)[-1]
    assert (last["event"], last["outcome"], last["method"]) == ("call.refused", "refused", "POST")
