"""A person lets calls to a stopped portal go on; whether it works again, the next call finds out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from hsagency.audit.journal.writer import AuditWriter
from hsagency.client import PortalClient
from hsagency.errors import (
    Conflict,
    CredentialRejected,
    ForeignAnswer,
    NotStopped,
    PortalStopped,
    UnknownClient,
    UsageError,
)
from hsagency.portals import ClientSlug, ConnectionStatus
from hsagency.sandbox import Fault
from tests.core.test_stops import PATH, events, rejected, sent
from tests.support import Connected, assert_no_tokens, records, tokens_of


@pytest.fixture
def slug(fleet: Connected) -> ClientSlug:
    return ClientSlug(fleet.slugs[0])


def test_a_person_resumes_with_a_reason_and_the_next_call_proves_anew(
    fleet: Connected, slug: ClientSlug
) -> None:
    client = fleet.agency.client(slug)
    unauthorised = Fault("status", status=401, category="INVALID_AUTHENTICATION", times=1)
    fleet.sandbox.faults.add(unauthorised)
    assert client.get(PATH).status_code == 401
    with pytest.raises(PortalStopped):
        client.get(PATH)
    token = fleet.sandbox.portal(slug).token
    stop = fleet.agency.connection(slug).stopped
    assert stop is not None
    assert fleet.agency.resume(slug, reason=f"not {token}, says Jo") == stop.reason
    (note,) = [
        one for one in records(fleet.agency.workspace.root, slug) if one["event"] == "stop.cleared"
    ]
    assert "not pat-…, says Jo" in note["message"]
    assert stop.reason in note["message"]
    assert note["user"]
    assert_no_tokens([fleet.agency.workspace.audit], tokens_of(fleet.sandbox))
    assert fleet.agency.connection(slug).proof is None
    before = sent(fleet, slug)
    assert client.get(PATH).status_code == 200
    assert sent(fleet, slug) == before + 2
    assert fleet.agency.connection(slug).status is ConnectionStatus.CONNECTED


def test_what_was_resumed_too_early_is_stopped_again(fleet: Connected, slug: ClientSlug) -> None:
    client = fleet.agency.client(slug)
    rejected(fleet, slug)
    fleet.agency.resume(slug, reason="it may work again")
    with pytest.raises(CredentialRejected):
        client.get(PATH)
    with pytest.raises(PortalStopped):
        client.get(PATH)
    assert events(fleet, slug).count("stop.set") == 2


@pytest.mark.parametrize("reason", ["", "  ", "\n"])
def test_resuming_needs_a_reason(fleet: Connected, slug: ClientSlug, reason: str) -> None:
    rejected(fleet, slug)
    with pytest.raises(UsageError, match="needs a reason; nothing was changed"):
        fleet.agency.resume(slug, reason=reason)
    assert fleet.agency.connection(slug).stopped is not None


def test_what_is_not_stopped_or_not_known_cannot_be_resumed(
    fleet: Connected, slug: ClientSlug
) -> None:
    before = events(fleet, slug)
    with pytest.raises(NotStopped, match=f"{slug} is not stopped; nothing was changed"):
        fleet.agency.resume(slug, reason="because")
    with pytest.raises(UnknownClient):
        fleet.agency.resume("nobody", reason="because")
    assert events(fleet, slug) == before


def test_the_halt_and_the_stop_of_one_are_cleared_each_by_itself(
    fleet: Connected, slug: ClientSlug
) -> None:
    rejected(fleet, slug)
    fleet.agency.halt.set("two were mixed up.", at=datetime.now(UTC))
    assert fleet.agency.stopped()["client_slug"].to_list() == [None, slug]
    fleet.agency.resume(reason="found out")
    assert fleet.agency.stopped()["client_slug"].to_list() == [slug]
    with pytest.raises(PortalStopped):
        fleet.agency.client(slug)
    fleet.agency.halt.set("again.", at=datetime.now(UTC))
    fleet.agency.resume(slug, reason="found out")
    assert fleet.agency.stopped()["client_slug"].to_list() == [None]


def test_verifying_while_stopped_finds_out_and_resumes_nothing(
    fleet: Connected, slug: ClientSlug
) -> None:
    unauthorised = Fault("status", status=401, path="/account-info", times=2)
    fleet.sandbox.faults.add(unauthorised)
    for _ in range(2):
        with pytest.raises(CredentialRejected):
            fleet.agency.verify(slug)
    assert events(fleet, slug).count("stop.set") == 1, "the first reason stays"
    assert "connection.failed" in events(fleet, slug)
    assert fleet.agency.verify(slug).portal_id == fleet.agency.connection(slug).portal_id
    stored = fleet.agency.connection(slug)
    assert stored.stopped is not None
    assert stored.status is ConnectionStatus.NEEDS_RECONNECTION
    said = records(fleet.agency.workspace.root, slug)[-1]
    assert said["event"] == "connection.verified"
    assert "stay stopped until a person resumes them" in said["message"]
    with pytest.raises(PortalStopped):
        fleet.agency.client(slug)
    fleet.agency.resume(slug, reason="verified: it works again")
    resumed = fleet.agency.connection(slug)
    assert (resumed.status, resumed.proof) == (ConnectionStatus.CONNECTED, None)
    assert fleet.agency.client(slug).get(PATH).status_code == 200


def status_code(portal: PortalClient) -> int:
    return portal.get(PATH).status_code


def test_a_resumed_portal_takes_part_in_fleet_jobs(fleet: Connected, slug: ClientSlug) -> None:
    unauthorised = Fault("status", status=401, category="INVALID_AUTHENTICATION", times=1)
    fleet.sandbox.faults.add(unauthorised)
    assert fleet.agency.client(slug).get(PATH).status_code == 401
    (left,) = fleet.agency.map(status_code, clients=slug).to_dicts()
    assert (left["outcome"], left["reasons"]) == ("excluded", ["stopped"])
    fleet.agency.resume(slug, reason="it was HubSpot's mistake")
    resumed = fleet.agency.connection(slug)
    assert resumed.status is ConnectionStatus.NEEDS_RECONNECTION, "nothing showed otherwise yet"
    assert resumed.status_evidence.endswith(" and not asked since")
    (row,) = fleet.agency.map(status_code, clients=slug).to_dicts()
    assert (row["outcome"], row["value"]) == ("done", 200)
    again = fleet.agency.connection(slug)
    assert (again.status, again.status_evidence) == (ConnectionStatus.CONNECTED, "")


def test_a_portal_resumed_with_a_dead_key_fails_its_job_and_is_stopped_again(
    fleet: Connected, slug: ClientSlug
) -> None:
    rejected(fleet, slug)
    fleet.agency.resume(slug, reason="it may work again")
    (row,) = fleet.agency.map(status_code, clients=slug).to_dicts()
    assert (row["outcome"], row["error"]) == ("failed", "CredentialRejected")
    portal = fleet.agency.connection(slug).portal
    assert f"Calls to {portal} are stopped until it is connected again." in row["message"]
    assert fleet.agency.connection(slug).stopped is not None


class Interrupting:
    """Writes what it is given, and lets something happen once the end is on record."""

    def __init__(self, fleet: Connected, meanwhile: Callable[[], object]) -> None:
        self._writer, self._meanwhile = fleet.agency.writer, [meanwhile]

    def append(self, slug: ClientSlug, fields: Mapping[str, Any]) -> None:
        self._writer.append(slug, fields)
        if (slug, fields["event"]) == ("_agency", "halt.cleared") and self._meanwhile:
            self._meanwhile.pop()()


def test_an_alarm_that_comes_while_the_fleet_is_resumed_keeps_it_halted(
    fleet: Connected, slug: ClientSlug
) -> None:
    stops, other = fleet.agency.stops, ClientSlug(fleet.slugs[1])

    def alarm(of: ClientSlug, got: int) -> None:
        one = fleet.agency.connection(of)
        stops.halt_fleet(one, ForeignAnswer(expected=one.portal_id, got=got))

    alarm(slug, 111)
    writer = cast("AuditWriter", Interrupting(fleet, lambda: alarm(other, 222)))
    with pytest.raises(Conflict, match="stays halted"):
        replace(stops, writer=writer).resume_fleet(
            reason="mended", recorded=fleet.agency.audit.recorded()
        )
    assert "named portal 222" in str(fleet.agency.halt.reason())
    agencys = records(fleet.agency.workspace.root, "_agency")
    said = [one["event"] for one in agencys if str(one["event"]).startswith("halt.")]
    assert said == ["halt.set", "halt.cleared", "halt.set", "halt.set"]
    assert events(fleet, slug)[-1] == "halt.set", "its log does not end with a halt that is over"
    fleet.agency.resume(reason="both are mended")
    assert events(fleet, other)[-1] == events(fleet, slug)[-1] == "halt.cleared"
