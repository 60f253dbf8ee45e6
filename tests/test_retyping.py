"""Another type for a connection: what is shown first, what is recorded, and when it counts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hsagency import retyping
from hsagency.errors import CallRefused, Conflict, UnknownClient, UsageError
from hsagency.portals import Cause, ClientSlug, Connection, ConnectionStatus, ConnectionType
from hsagency.sandbox import Sandbox
from tests.commands import environment
from tests.support import Connected, authorised, connected, records

PATH = "/crm/v3/objects/contacts"
AUDIT, CONFIG, BOTH = (
    ConnectionType.AUDIT_ONLY,
    ConnectionType.CONFIG_ONLY,
    ConnectionType.CONFIG_AND_AUDIT,
)
READS = ("crm.objects.contacts.read", "crm.schemas.contacts.read")
RECORDS = (*READS, "crm.objects.contacts.write")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Connected]:
    with connected(tmp_path / "agency", portals=2, contacts=2) as one:
        yield one


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Connected]:
    """A fleet of one whose key can only read configuration."""
    sandbox = Sandbox(portals=1, contacts=2)
    sandbox.set_scopes(sandbox.portals[0].portal_id, RECORDS)
    with connected(tmp_path / "agency", sandbox=sandbox) as one:
        yield one


def change(fleet: Connected, slug: str, kind: ConnectionType | str) -> Connection:
    plan = retyping.plan(fleet.agency, slug, kind)
    return retyping.apply(fleet.agency, plan, digest=plan.digest)


def changes(fleet: Connected, slug: str) -> list[str]:
    there = records(fleet.agency.workspace.root, slug)
    return [one["message"] for one in there if one["event"] == "connection.changed"]


def test_a_plan_asks_nothing_and_changes_nothing(fleet: Connected) -> None:
    slug = fleet.slugs[0]
    calls, before = len(fleet.sandbox.ledger(slug)), fleet.agency.connection(slug)
    plan = retyping.plan(fleet.agency, slug, "audit_only")
    assert (plan.before, plan.after, plan.changes) == (BOTH, AUDIT, True)
    assert "Every change" in plan.words.refuses
    assert "crm.objects.contacts.write" in plan.surplus
    assert (plan.missing, plan.next_step) == ((), "")
    assert fleet.agency.connection(slug) == before
    assert len(fleet.sandbox.ledger(slug)) == calls


def test_the_new_type_counts_for_clients_that_are_there_from_their_next_call(
    fleet: Connected,
) -> None:
    slug, other = fleet.slugs
    client, elsewhere = fleet.agency.client(slug), fleet.agency.client(other)
    assert client.post(PATH, json={"properties": {"email": "a@example.com"}}).status_code == 201
    change(fleet, slug, AUDIT)
    with pytest.raises(CallRefused, match="an audit_only connection reads") as caught:
        client.post(PATH, json={"properties": {"email": "b@example.com"}})
    assert f"hsagency set-type {slug} config_and_audit" in caught.value.hint
    assert client.get(PATH).status_code == 200
    assert elsewhere.post(PATH, json={"properties": {"email": "c@example.com"}}).is_success
    change(fleet, slug, BOTH)
    assert client.post(PATH, json={"properties": {"email": "d@example.com"}}).status_code == 201


def test_it_is_on_record_with_before_and_after_and_by_whom(fleet: Connected) -> None:
    slug, other = fleet.slugs
    change(fleet, slug, AUDIT)
    (said,) = changes(fleet, slug)
    assert "from config_and_audit to audit_only. Audit Only: Reading" in said
    last = records(fleet.agency.workspace.root, slug)[-1]
    assert last["user"]
    assert last["portalId"] == fleet.sandbox.portal(slug).portal_id
    assert changes(fleet, other) == []


def test_applying_twice_or_to_the_same_type_changes_nothing(fleet: Connected) -> None:
    slug = fleet.slugs[0]
    plan = retyping.plan(fleet.agency, slug, AUDIT)
    retyping.apply(fleet.agency, plan, digest=plan.digest)
    version = fleet.agency.index.read().version
    again = retyping.apply(fleet.agency, plan, digest=plan.digest)
    assert again.connection_type is AUDIT
    same = retyping.plan(fleet.agency, slug, AUDIT)
    assert not same.changes
    retyping.apply(fleet.agency, same, digest=same.digest)
    assert fleet.agency.index.read().version == version
    assert len(changes(fleet, slug)) == 1


def test_of_two_analysts_who_planned_at_once_the_second_is_told(fleet: Connected) -> None:
    slug = fleet.slugs[0]
    mine = retyping.plan(fleet.agency, slug, AUDIT)
    change(fleet, slug, CONFIG)
    with pytest.raises(Conflict, match="nothing was changed"):
        retyping.apply(fleet.agency, mine, digest=mine.digest)
    assert fleet.agency.connection(slug).connection_type is CONFIG


def test_scopes_that_were_told_meanwhile_are_a_change_and_a_fresh_proof_is_none(
    fleet: Connected,
) -> None:
    slug = fleet.slugs[0]
    plan = retyping.plan(fleet.agency, slug, AUDIT)
    fleet.agency.verify(slug)
    assert retyping.plan(fleet.agency, slug, AUDIT).digest == plan.digest
    fleet.sandbox.set_scopes(fleet.sandbox.portal(slug).portal_id, READS)
    fleet.agency.verify(slug)
    with pytest.raises(Conflict):
        retyping.apply(fleet.agency, plan, digest=plan.digest)


def test_another_plans_digest_is_refused(fleet: Connected) -> None:
    slug = fleet.slugs[0]
    plan = retyping.plan(fleet.agency, slug, AUDIT)
    other = retyping.plan(fleet.agency, slug, CONFIG)
    assert plan.digest != other.digest
    with pytest.raises(Conflict, match="not the plan that was shown"):
        retyping.apply(fleet.agency, plan, digest=other.digest)
    assert fleet.agency.connection(slug).connection_type is BOTH


def test_no_such_type_and_no_such_client_are_clear_errors(fleet: Connected) -> None:
    with pytest.raises(UsageError, match="'everything' is not a connection type"):
        retyping.plan(fleet.agency, fleet.slugs[0], "everything")
    with pytest.raises(UnknownClient):
        retyping.plan(fleet.agency, "nobody", AUDIT)


def test_a_type_whose_scopes_are_missing_is_set_and_needs_reconnection(reading: Connected) -> None:
    slug = reading.slugs[0]
    plan = retyping.plan(reading.agency, slug, CONFIG)
    assert [one.name for one in plan.missing] == ["crm.schemas.contacts.write"]
    assert plan.next_step == f"hsagency verify {slug}"
    after = retyping.apply(reading.agency, plan, digest=plan.digest)
    assert (after.connection_type, after.cause) == (CONFIG, Cause.SCOPES)
    assert after.status is ConnectionStatus.NEEDS_RECONNECTION
    assert "crm.schemas.contacts.write (deploy properties" in after.status_evidence
    assert "lacks crm.schemas.contacts.write" in changes(reading, slug)[0]
    assert reading.agency.client(slug).get("/crm/v3/properties/contacts").status_code == 200
    back = change(reading, slug, AUDIT)
    assert (back.status, back.cause, back.trouble) == (ConnectionStatus.CONNECTED, None, None)


def test_scopes_that_are_ticked_later_mend_it_at_the_next_verification(reading: Connected) -> None:
    slug = reading.slugs[0]
    change(reading, slug, CONFIG)
    portal = reading.sandbox.portal(slug).portal_id
    reading.sandbox.set_scopes(portal, [*RECORDS, "crm.schemas.contacts.write"])
    found = reading.agency.verify(slug)
    assert found.missing == ()
    assert found.changed == "scopes: now also crm.schemas.contacts.write"
    assert found.connection.status is ConnectionStatus.CONNECTED


def test_nobody_guesses_at_scopes_that_were_never_told(fleet: Connected) -> None:
    slug = ClientSlug(fleet.slugs[0])
    stored = fleet.agency.connection(slug)
    facts = {name: one for name, one in stored.facts.items() if name != "scopes"}
    fleet.agency.index.update(slug, generation=1, facts=facts)
    plan = retyping.plan(fleet.agency, slug, AUDIT)
    assert (plan.scopes, plan.missing, plan.surplus) == (None, (), ())
    assert plan.next_step == f"hsagency verify {slug}"
    after = retyping.apply(fleet.agency, plan, digest=plan.digest)
    assert (after.status, after.connection_type) == (ConnectionStatus.CONNECTED, AUDIT)


def test_a_stopped_portal_stays_stopped_whatever_its_type(fleet: Connected) -> None:
    slug = fleet.slugs[0]
    fleet.agency.stops.stop(fleet.agency.connection(slug), "HubSpot refused it.", status_code=401)
    before = fleet.agency.connection(slug)
    assert change(fleet, slug, AUDIT) == replace(before, connection_type=AUDIT)


def test_over_oauth_what_was_not_granted_is_one_reconnection_away(tmp_path: Path) -> None:
    with authorised(tmp_path / "agency", contacts=2) as one:
        slug = one.slugs[0]
        narrow = retyping.plan(one.agency, slug, AUDIT)
        assert narrow.missing == ()
        assert "crm.lists.read" in [scope.name for scope in narrow.absent]
        assert narrow.next_step == f"hsagency reconnect {slug} --type audit_only"
        assert "crm.objects.contacts.write" in narrow.surplus
        assert change(one, slug, AUDIT).status is ConnectionStatus.CONNECTED


def test_over_oauth_a_type_that_writes_needs_a_scope_to_write_with(tmp_path: Path) -> None:
    folder = tmp_path / "agency"
    with authorised(folder, contacts=2, optional=READS, connection_type=AUDIT) as one:
        slug = one.slugs[0]
        wide = retyping.plan(one.agency, slug, BOTH)
        assert [scope.name for scope in wide.missing] == ["crm.objects.contacts.write"]
        after = retyping.apply(one.agency, wide, digest=wide.digest)
        assert (after.status, after.cause) == (ConnectionStatus.NEEDS_RECONNECTION, Cause.SCOPES)
        assert "or another scope to write with" in after.status_evidence
        assert one.agency.verify(slug).missing == ("crm.objects.contacts.write",)


KILLED = """
import os, sys
from hsagency import retyping
from hsagency.agency import Agency

at = int(sys.argv[3])
with Agency.open(sys.argv[1]) as agency:
    plan = retyping.plan(agency, sys.argv[2], "audit_only")
    steps = iter(range(100))

    def step(event, args):
        # each file that is opened to be written, moved or made durable is one step
        writes = event == "open" and (args[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if (writes or event == "os.rename") and next(steps) == at:
            os._exit(9)

    sys.addaudithook(step)
    retyping.apply(agency, plan, digest=plan.digest)
    os._exit(0)
"""


def test_killed_between_any_two_steps_it_has_the_old_type_or_the_new(fleet: Connected) -> None:
    slug, root = fleet.slugs[0], fleet.agency.workspace.root
    seen = set()
    for at in range(100):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(root), slug, str(at)],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in (0, 9), done.stderr
        found = fleet.agency.connection(slug).connection_type
        seen.add(found)
        recorded = sum("to audit_only" in one for one in changes(fleet, slug))
        assert found is BOTH or recorded, "it counts before it is on record"
        if done.returncode == 0:
            break
        change(fleet, slug, BOTH)
    assert (at > 2, seen) == (True, {BOTH, AUDIT})
