"""A rejected credential or a closed portal stops that portal alone, until a person resumes it."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hsagency import onboarding
from hsagency.agency import Agency
from hsagency.errors import (
    AuditError,
    CredentialRejected,
    PortalForbidden,
    PortalStopped,
)
from hsagency.health import STOPPED
from hsagency.portals import ClientSlug, ConnectionStatus, Stop
from hsagency.sandbox import Fault
from hsagency.stopping import Stops, next_step
from tests.core.conftest import Child
from tests.support import Connected, assert_no_tokens, client_list, records

PATH = "/crm/objects/2026-09/contacts"
SUSPENDED = Fault("status", status=403, category="PORTAL_SUSPENDED")


@pytest.fixture
def slug(fleet: Connected) -> ClientSlug:
    return ClientSlug(fleet.slugs[0])


def events(fleet: Connected, slug: str) -> list[str]:
    return [one["event"] for one in records(fleet.agency.workspace.root, slug)]


def sent(fleet: Connected, slug: str) -> int:
    return sum(fleet.sandbox.counts(fleet.sandbox.portal(slug).portal_id).values())


def stops_of(fleet: Connected) -> Stops:
    return fleet.agency.stops


def rejected(fleet: Connected, slug: str) -> None:
    """Have a portal stopped by a call that its credential no longer makes."""
    client = fleet.agency.client(slug)
    fleet.sandbox.revoke(client.portal.portal_id)
    assert client.get(PATH).status_code == 401


def test_a_401_stops_the_portal_and_no_call_follows(fleet: Connected, slug: ClientSlug) -> None:
    client, others = fleet.agency.client(slug), fleet.slugs[1:]
    rejected(fleet, slug)
    before = sent(fleet, slug)
    for method in ("GET", "POST", "DELETE"):
        with pytest.raises(PortalStopped) as caught:
            client.request(method, PATH)
    assert "Nothing was sent." in caught.value.message
    assert f"hsagency reconnect {slug}" in caught.value.hint
    assert sent(fleet, slug) == before
    last = records(fleet.agency.workspace.root, slug)[-1]
    assert (last["event"], last["outcome"], last["reason"]) == (
        "call.refused",
        "refused",
        "stopped",
    )
    for other in others:
        assert fleet.agency.client(other).get(PATH).status_code == 200
        assert fleet.agency.connection(other).stopped is None


def test_a_stop_shows_with_its_evidence(fleet: Connected, slug: ClientSlug) -> None:
    rejected(fleet, slug)
    stored = fleet.agency.connection(slug)
    assert stored.stopped is not None
    assert stored.stopped.status_code == 401
    assert stored.stopped.correlation_id is not None
    assert (stored.status, stored.proof) == (ConnectionStatus.NEEDS_RECONNECTION, None)
    assert stored.status_evidence.startswith("401 at ")
    assert stored.stopped.correlation_id in stored.status_evidence
    (note,) = [
        one for one in records(fleet.agency.workspace.root, slug) if one["event"] == "stop.set"
    ]
    assert (note["statusCode"], note["correlationId"]) == (401, stored.stopped.correlation_id)
    assert note["credentialGeneration"] == stored.generation
    assert stored.stopped.reason in note["message"]
    assert not [other for other in fleet.slugs[1:] if other in str(note)]


@pytest.mark.parametrize("path", ["", "/account-info"])
def test_a_suspended_portal_is_stopped_by_a_call_or_by_its_proof(
    fleet: Connected, slug: ClientSlug, path: str
) -> None:
    client = fleet.agency.client(slug)
    portal = fleet.sandbox.portal(slug).portal_id
    fleet.sandbox.faults.add(replace(SUSPENDED, portal_id=portal, path=path or None))
    if path:
        with pytest.raises(PortalForbidden):
            fleet.agency.verify(slug)
    else:
        assert client.get(PATH).status_code == 403
    stored = fleet.agency.connection(slug)
    assert stored.stopped is not None
    assert (stored.status, stored.stopped.status_code) == (ConnectionStatus.DISCONNECTED, 403)
    fleet.sandbox.faults.clear()
    with pytest.raises(PortalStopped):
        client.get(PATH)
    assert next_step(stored) == f"hsagency verify {slug}"


def test_a_missing_scope_stops_nothing(fleet: Connected, slug: ClientSlug) -> None:
    client = fleet.agency.client(slug)
    missing = Fault("status", status=403, category="MISSING_SCOPES", path="/crm")
    fleet.sandbox.faults.add(missing)
    assert client.get(PATH).status_code == 403
    fleet.sandbox.faults.clear()
    assert client.get(PATH).status_code == 200
    assert fleet.agency.connection(slug).stopped is None


OTHER = """
import sys
from hsagency.agency import Agency
from hsagency.errors import PortalStopped
with Agency.open(sys.argv[1]) as agency:
    print(agency.stopped()["client_slug"].to_list())
    try:
        agency.client(sys.argv[2])
    except PortalStopped as error:
        print(error)
    print(agency.client(sys.argv[3]).get(sys.argv[4]).status_code)
"""


def test_a_stop_counts_in_every_process_and_survives_them(
    fleet: Connected, slug: ClientSlug, child: Child
) -> None:
    with Agency.open(fleet.agency.workspace.root) as other:
        elsewhere = other.client(slug)
        rejected(fleet, slug)
        with pytest.raises(PortalStopped):
            elsewhere.get(PATH)
    done = child(OTHER, fleet.agency.workspace.root, slug, fleet.slugs[1], PATH)
    first, said, last = done.stdout.splitlines()
    assert (first, last) == (f"['{slug}']", "200")
    assert "are stopped since" in said


def replace_credential(fleet: Connected, slug: str) -> None:
    fleet.sandbox.rotate(fleet.sandbox.portal(slug).portal_id)
    content = client_list(fleet.sandbox)
    plan = onboarding.plan_file(fleet.agency, content, api=fleet.server.url, replace_tokens=True)
    assert onboarding.apply(fleet.agency, plan, digest=plan.digest).complete


def test_a_new_credential_ends_the_stop_on_record(fleet: Connected, slug: ClientSlug) -> None:
    client = fleet.agency.client(slug)
    rejected(fleet, slug)
    replace_credential(fleet, slug)
    assert fleet.agency.connection(slug).stopped is None
    assert client.get(PATH).status_code == 200
    (note,) = [
        one for one in records(fleet.agency.workspace.root, slug) if one["event"] == "stop.cleared"
    ]
    assert "with a new credential" in note["message"]
    others = [events(fleet, other) for other in fleet.slugs[1:]]
    assert not [one for one in others if "stop.cleared" in one]


def test_the_rejection_of_an_old_generation_never_stops_the_new_one(
    fleet: Connected, slug: ClientSlug
) -> None:
    old = fleet.agency.connection(slug)
    replace_credential(fleet, slug)
    assert not stops_of(fleet).stop(old, "HubSpot does not accept the token.", status_code=401)
    assert fleet.agency.connection(slug).stopped is None
    assert "stop.set" not in events(fleet, slug)
    assert fleet.agency.client(slug).get(PATH).status_code == 200


def test_many_rejections_at_once_are_one_stop(fleet: Connected, slug: ClientSlug) -> None:
    connection = fleet.agency.connection(slug)
    with Agency.open(fleet.agency.workspace.root) as other:
        both = (stops_of(fleet), other.stops)
        held: list[bool] = []

        def stop(number: int) -> None:
            held.append(both[number % 2].stop(connection, f"reason {number}.", status_code=401))

        threads = [threading.Thread(target=stop, args=(one,)) for one in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert held == [True] * 8
    assert events(fleet, slug).count("stop.set") == 1


def test_what_cannot_be_recorded_is_not_stopped_and_not_called(
    fleet: Connected, slug: ClientSlug
) -> None:
    connection = fleet.agency.connection(slug)
    fleet.agency.client(slug).get(PATH)
    for file in (fleet.agency.workspace.audit / slug / "journal").glob("*.jsonl"):
        file.unlink()
    with pytest.raises(AuditError):
        stops_of(fleet).stop(connection, "HubSpot does not accept the token.", status_code=401)
    assert fleet.agency.connection(slug).stopped is None


def test_a_reason_is_kept_without_a_token(fleet: Connected, slug: ClientSlug) -> None:
    token = fleet.sandbox.portal(slug).token
    stops_of(fleet).stop(fleet.agency.connection(slug), f"It named {token}.")
    assert_no_tokens([fleet.agency.workspace.root / "connections.json"], [token])
    stored = fleet.agency.connection(slug)
    assert stored.stopped is not None
    assert stored.stopped.reason == "It named pat-…."
    assert stored.status_evidence.startswith("stopped at ")


def test_without_a_stop_nothing_is_stopped(fleet: Connected) -> None:
    frame = fleet.agency.stopped()
    assert (frame.height, dict(frame.schema)) == (0, dict(STOPPED))


def test_the_frame_says_who_why_since_when_and_what_to_do(
    fleet: Connected, slug: ClientSlug
) -> None:
    rejected(fleet, slug)
    (row,) = fleet.agency.stopped().to_dicts()
    stored = fleet.agency.connection(slug)
    assert stored.stopped is not None
    assert row == {
        "client_slug": slug,
        "account_name": fleet.sandbox.portal(slug).name,
        "portal_id": stored.portal_id,
        "cause": "revoked",
        "reason": stored.stopped.reason,
        "since": stored.stopped.at,
        "status_code": 401,
        "correlation_id": stored.stopped.correlation_id,
        "next_step": f"hsagency reconnect {slug}",
    }


@pytest.mark.parametrize(
    ("status_code", "status"),
    [
        (401, ConnectionStatus.NEEDS_RECONNECTION),
        (488, ConnectionStatus.NEEDS_RECONNECTION),
        (403, ConnectionStatus.DISCONNECTED),
        (404, ConnectionStatus.DISCONNECTED),
        (None, ConnectionStatus.DISCONNECTED),
    ],
)
def test_a_connection_that_a_new_credential_mends_needs_reconnection(
    fleet: Connected, slug: ClientSlug, status_code: int | None, status: ConnectionStatus
) -> None:
    connection = fleet.agency.connection(slug)
    assert stops_of(fleet).stop(connection, "It does not answer.", status_code=status_code)
    assert fleet.agency.connection(slug).status is status


def test_a_stop_that_appears_while_a_client_runs_counts_at_its_next_call(
    fleet: Connected, slug: ClientSlug
) -> None:
    client = fleet.agency.client(slug)
    assert client.get(PATH).status_code == 200
    by_hand = Stop(reason="by hand.", at=datetime.now(UTC))
    fleet.agency.index.update(slug, generation=1, stopped=by_hand)
    with pytest.raises(PortalStopped, match="by hand"):
        client.get(PATH)


@pytest.mark.parametrize(
    ("status_code", "step"),
    [
        (401, "hsagency reconnect acme-corp"),
        (488, "hsagency reconnect acme-corp"),
        (403, "hsagency verify acme-corp"),
    ],
)
def test_one_next_step_is_told_wherever_a_stop_shows(
    fleet: Connected, slug: ClientSlug, status_code: int, step: str
) -> None:
    connection = fleet.agency.connection(slug)
    assert stops_of(fleet).stop(connection, "It does not answer", status_code=status_code)
    with pytest.raises(PortalStopped) as caught:
        fleet.agency.client(slug)
    (job,) = fleet.agency.map(lambda portal: portal.get(PATH), clients=slug).to_dicts()
    for hint in (caught.value.hint, job["hint"]):
        assert step in hint
        assert ("hsagency resume" in hint) is step.startswith("hsagency verify")
    assert fleet.agency.stopped()["next_step"].to_list() == [step]
    assert "stopped since 20" in caught.value.message
    assert "It does not answer. Nothing was sent." in caught.value.message
    assert "It does not answer. Nothing was sent." in job["message"]


def test_once_a_stopped_portal_was_verified_the_next_step_is_to_resume_it(
    fleet: Connected, slug: ClientSlug
) -> None:
    stops_of(fleet).stop(fleet.agency.connection(slug), "It was suspended.", status_code=403)
    fleet.agency.verify(slug)
    resume = f"hsagency resume {slug} --reason TEXT"
    assert fleet.agency.stopped()["next_step"].to_list() == [resume]
    with pytest.raises(PortalStopped) as caught:
        fleet.agency.client(slug)
    assert caught.value.hint == f"It works again; to let calls go on: {resume}"


def test_the_error_of_a_failed_proof_says_that_calls_stop_and_what_to_do(
    fleet: Connected, slug: ClientSlug
) -> None:
    connection = fleet.agency.connection(slug)
    fleet.sandbox.revoke(connection.portal_id)
    with pytest.raises(CredentialRejected) as caught:
        fleet.agency.verify(slug)
    stops = f"Calls to {connection.portal} are stopped until it is connected again."
    assert stops in caught.value.message
    assert f"hsagency reconnect {slug}" in caught.value.hint
    stored = fleet.agency.connection(slug).stopped
    assert stored is not None
    assert "Calls to" not in stored.reason
