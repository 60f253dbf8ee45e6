"""A plan is applied once, as shown, and a secret is never lost on the way."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hsagency import onboarding
from hsagency.agency import Agency
from hsagency.credentials import ConfirmingStore, SecretName
from hsagency.errors import (
    Conflict,
    CredentialMissing,
    OnboardingError,
    StoreUnreadable,
    WorkspaceError,
)
from hsagency.onboarding import Decision
from hsagency.portals import ClientSlug, Connection, ConnectionType
from hsagency.sandbox import Fault
from hsagency.secret import Secret
from tests.fleets import Fleet, client_list, fleet, row, stored_secret, tree


def everything_fits(agency: Agency) -> bool:
    """Say whether every connection's secret is the one that was proven."""
    return all(
        stored_secret(agency, one).fingerprint == one.fingerprint
        for one in agency.connections().values()
    )


def bytes_of(one: Fleet) -> tuple[bytes, dict[str, bytes]]:
    return (one.root / "connections.json").read_bytes(), tree(one.root / "credentials")


def test_afterwards_every_client_answers_with_its_own_portal(full: Fleet) -> None:
    for portal in full.sandbox.portals:
        answer = full.agency.client(portal.client_slug).get("/account-info/2026-09/details")
        assert answer.json()["portalId"] == portal.portal_id
    assert everything_fits(full.agency)


def test_each_connection_is_on_record_in_its_own_log(full: Fleet) -> None:
    for portal in full.sandbox.portals:
        (event,) = full.agency.activity(portal.client_slug).rows(named=True)
        assert event["event"] == "connection.added"
        assert f"portal {portal.portal_id}" in event["message"]
        assert portal.token not in event["message"]


def test_a_second_run_changes_no_byte_and_says_so(full: Fleet) -> None:
    before = bytes_of(full)
    result = full.onboard()
    assert {one.decision for one in result.judgements} == {Decision.CURRENT}
    assert result.frame()["outcome"].unique().to_list() == ["unchanged"]
    assert result.complete
    assert bytes_of(full) == before


def test_a_list_may_be_named_by_its_path(empty: Fleet, tmp_path: Path) -> None:
    content = client_list(empty.sandbox)
    path = tmp_path / "clients.csv"
    path.write_bytes(content)
    plans = [
        onboarding.plan_file(empty.agency, one, api=empty.url) for one in (path, str(path), content)
    ]
    assert {len(plan.judgements) for plan in plans} == {3}
    assert all(plan.stores and not plan.refused for plan in plans)


def test_another_plans_digest_is_refused(empty: Fleet) -> None:
    one, two = (empty.plan(client_list([row(p)])) for p in empty.sandbox.portals[:2])
    with pytest.raises(OnboardingError, match="not the plan that was shown"):
        onboarding.apply(empty.agency, one, digest=two.digest)
    assert empty.agency.slugs() == []
    # What judging signs the log with is kept, and nothing of a client's.
    assert {path.parent.name for path in (empty.root / "credentials").rglob("*.age")} == {"_agency"}


def test_the_digest_names_what_would_be_stored_not_only_the_rows(empty: Fleet) -> None:
    portal = empty.sandbox.portals[0]
    plans = [
        empty.plan(client_list([row(portal, connectionType=kind)]))
        for kind in ("config_and_audit", "audit_only")
    ]
    assert len({plan.digest for plan in plans}) == 2


def test_an_index_that_changed_meanwhile_is_a_conflict_and_nothing_is_stored(full: Fleet) -> None:
    spare = full.sandbox.spare
    plan = full.plan(client_list([row(spare)]))
    assert full.onboard(client_list([row(spare, clientSlug="by-another-name")])).complete
    before = bytes_of(full)
    with pytest.raises(Conflict, match=r"nothing was stored: .* connected as by-another-name"):
        onboarding.apply(full.agency, plan, digest=plan.digest)
    assert bytes_of(full) == before
    assert spare.client_slug not in full.agency.audit.recorded()


@pytest.mark.parametrize(
    "change", [{"fingerprint": "0" * 16}, {"connection_type": ConnectionType.AUDIT_ONLY}]
)
def test_a_replacement_of_what_was_changed_meanwhile_is_a_conflict(
    full: Fleet, change: dict[str, Any]
) -> None:
    portal = full.sandbox.portals[0]
    token = full.sandbox.issue(portal.portal_id).token
    plan = full.plan(client_list([row(portal, portalToken=token)]), replace_tokens=True)
    full.agency.index.update(ClientSlug(portal.client_slug), generation=1, **change)
    before = bytes_of(full)
    with pytest.raises(Conflict, match=f"{portal.client_slug} is not what it was"):
        onboarding.apply(full.agency, plan, digest=plan.digest)
    assert bytes_of(full) == before


def test_a_proof_that_is_fresh_again_stops_no_onboarding(full: Fleet) -> None:
    plan = full.plan(client_list([row(full.sandbox.spare), row(full.sandbox.portals[0])]))
    for slug in full.agency.slugs():
        full.agency.verify(slug)
    assert onboarding.apply(full.agency, plan, digest=plan.digest).complete
    assert everything_fits(full.agency)


def test_a_conflict_that_comes_while_secrets_are_stored_leaves_none_of_them(empty: Fleet) -> None:
    plan = empty.plan(client_list(empty.sandbox))
    planned = plan.judgements[0].connection
    assert planned is not None
    other = replace(planned, client_slug=ClientSlug("somebody-else"))

    def meddle(connections: dict[ClientSlug, Connection]) -> None:
        connections[other.client_slug] = other

    store = Awkward(upon=lambda: empty.agency.index.write(meddle))
    empty.agency.store = store
    with pytest.raises(Conflict, match=r"nothing was connected: .*\(3\) were deleted again"):
        onboarding.apply(empty.agency, plan, digest=plan.digest)
    assert store.kept == {}
    assert empty.agency.slugs() == ["somebody-else"]


def test_an_index_that_cannot_be_written_leaves_no_secret(empty: Fleet) -> None:
    plan = empty.plan(client_list(empty.sandbox))
    lock = empty.agency.workspace.state / "connections.lock"

    def block() -> None:
        if not lock.is_dir():
            lock.unlink(missing_ok=True)
            lock.mkdir()

    store = Awkward(upon=block)
    empty.agency.store = store
    with pytest.raises(WorkspaceError, match=r"left as it was\. .*\(3\) were deleted again"):
        onboarding.apply(empty.agency, plan, digest=plan.digest)
    assert store.kept == {}
    assert empty.agency.slugs() == []
    lock.rmdir()
    store.upon = lambda: None
    assert onboarding.apply(empty.agency, plan, digest=plan.digest).complete


def test_an_interruption_while_secrets_are_stored_leaves_none_of_them(empty: Fleet) -> None:
    plan = empty.plan(client_list(empty.sandbox))

    def interrupt() -> None:
        if store.kept:
            raise KeyboardInterrupt

    store = Awkward(upon=interrupt)
    empty.agency.store = store
    with pytest.raises(KeyboardInterrupt):
        onboarding.apply(empty.agency, plan, digest=plan.digest)
    assert store.kept == {}
    assert empty.agency.slugs() == []


def test_a_conflict_names_the_secrets_that_do_not_go(empty: Fleet) -> None:
    plan = empty.plan(client_list(empty.sandbox))
    planned = plan.judgements[0].connection
    assert planned is not None
    other = replace(planned, client_slug=ClientSlug("somebody-else"))

    def meddle(connections: dict[ClientSlug, Connection]) -> None:
        connections[other.client_slug] = other

    store = Awkward(upon=lambda: empty.agency.index.write(meddle), keeps=planned.client_slug)
    empty.agency.store = store
    with pytest.raises(Conflict, match=f"still there: hsagency/.*/{planned.client_slug}/main/1"):
        onboarding.apply(empty.agency, plan, digest=plan.digest)
    assert len(store.kept) == 1


def test_a_secret_that_this_workspace_knows_nothing_of_is_not_written_over(empty: Fleet) -> None:
    portal, other = empty.sandbox.portals[:2]
    workspace = empty.agency.workspace.settings.workspace
    there = SecretName(workspace, portal.client_slug, 1)
    empty.agency.store.put(there, Secret(other.token))
    result = empty.onboard()
    assert [one.slug for one in result.refused] == [portal.client_slug]
    assert "knows nothing of" in result.refused[0].cause
    assert "copy of this workspace" in result.refused[0].hint
    assert empty.agency.store.get(there) == Secret(other.token)


def test_a_copied_workspace_does_not_touch_the_secrets_of_the_other(
    empty: Fleet, tmp_path: Path
) -> None:
    portal = empty.sandbox.portals[0]
    folder, copied = tmp_path / "one", tmp_path / "copy"
    store = f"age:{tmp_path / 'store'}?identity={tmp_path / 'identity'}"
    with Agency.create(folder, store=store) as agency:
        own = replace(empty, agency=agency)
        assert own.onboard().complete
        shutil.copytree(folder, copied)
        token = empty.sandbox.issue(portal.portal_id).token
        newer = client_list([row(portal, portalToken=token)])
        with Agency.open(copied) as other, pytest.raises(Conflict, match=f"a copy of {folder}"):
            replace(empty, agency=other).onboard(newer, replace_tokens=True)
        assert everything_fits(agency)
    shutil.rmtree(copied)
    folder.rename(copied)  # moved, not copied
    with Agency.open(copied) as moved:
        assert replace(empty, agency=moved).onboard(newer, replace_tokens=True).complete
        assert everything_fits(moved)


def test_a_copy_with_a_store_of_its_own_is_a_workspace_of_its_own(
    full: Fleet, tmp_path: Path
) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(full.root, copied)
    with Agency.open(copied) as other:
        assert replace(full, agency=other).onboard().complete


def test_a_plan_is_applied_once(empty: Fleet) -> None:
    plan = empty.plan(client_list(empty.sandbox))
    onboarding.apply(empty.agency, plan, digest=plan.digest)
    before = bytes_of(empty)
    with pytest.raises(Conflict):
        onboarding.apply(empty.agency, plan, digest=plan.digest)
    assert bytes_of(empty) == before


def test_of_two_plans_for_one_client_the_second_does_not_touch_the_firsts_secret(
    empty: Fleet,
) -> None:
    portal = empty.sandbox.portals[0]
    other = empty.sandbox.issue(portal.portal_id).token
    first = empty.plan(client_list([row(portal)]))
    second = empty.plan(client_list([row(portal, portalToken=other)]))
    onboarding.apply(empty.agency, second, digest=second.digest)
    with pytest.raises(Conflict):
        onboarding.apply(empty.agency, first, digest=first.digest)
    assert stored_secret(empty.agency, empty.agency.connection(portal.client_slug)) == Secret(other)


def test_a_newer_token_is_a_candidate_and_the_stored_one_stays(full: Fleet) -> None:
    portal = full.sandbox.portals[0]
    token = full.sandbox.issue(portal.portal_id).token
    before = bytes_of(full)
    result = full.onboard(client_list([row(portal, portalToken=token)]))
    (one,) = result.judgements
    assert one.decision is Decision.CANDIDATE
    assert "--replace" in one.hint
    assert not result.complete
    assert bytes_of(full) == before


def test_replacing_proves_the_portal_keeps_history_and_drops_the_old_secret_last(
    full: Fleet,
) -> None:
    portal = full.sandbox.portals[0]
    old = full.agency.connection(portal.client_slug)
    token = full.sandbox.rotate(portal.portal_id, expire_in=60).token
    result = full.onboard(client_list([row(portal, portalToken=token)]), replace_tokens=True)
    assert result.complete
    new = full.agency.connection(portal.client_slug)
    assert (new.generation, new.fingerprint) == (2, Secret(token).fingerprint)
    assert new.added_at == old.added_at
    assert new.last_rotated_at > old.last_rotated_at
    assert stored_secret(full.agency, new) == Secret(token)
    with pytest.raises(CredentialMissing):
        stored_secret(full.agency, new, generation=1)
    assert full.agency.activity(portal.client_slug)["event"].to_list() == [
        "connection.added",
        "connection.rotated",
    ]
    details = full.agency.client(portal.client_slug).get("/account-info/2026-09/details")
    assert details.json()["portalId"] == portal.portal_id


def test_replacing_keeps_what_is_not_told_now_and_records_what_changed(full: Fleet) -> None:
    portal = full.sandbox.portals[0]
    before = full.agency.connection(portal.client_slug)
    old = {**before.facts, "name": replace(before.facts["name"], value="Old Name Ltd")}
    old["distribution"] = replace(before.facts["name"], value="private")  # no answer tells it
    full.agency.index.update(before.client_slug, generation=1, facts=old)
    token = full.sandbox.issue(portal.portal_id).token
    usage = Fault("status", status=500, path="/account-info/2026-09/api-usage")
    full.sandbox.faults.add(usage)
    full.onboard(client_list([row(portal, portalToken=token)]), replace_tokens=True)
    after = full.agency.connection(portal.client_slug)
    assert (after.generation, after.portal.name) == (2, portal.name)
    assert after.facts["distribution"] == old["distribution"]
    assert after.facts["tier"].value == before.facts["tier"].value
    *_, rotated, changed = full.agency.activity(portal.client_slug).rows(named=True)
    assert (rotated["event"], changed["event"]) == ("connection.rotated", "connection.changed")
    assert f"name 'Old Name Ltd' -> '{portal.name}'" in changed["message"]


def test_scopes_of_the_token_before_are_not_kept(full: Fleet) -> None:
    portal = full.sandbox.portals[0]
    token = full.sandbox.issue(portal.portal_id).token
    full.sandbox.faults.add(Fault("status", status=500, path="/oauth/"))
    full.onboard(client_list([row(portal, portalToken=token)]), replace_tokens=True)
    assert "scopes" not in full.agency.connection(portal.client_slug).facts


def test_replacing_keeps_the_type_and_what_was_declared(empty: Fleet) -> None:
    portal = empty.sandbox.portals[0]
    declared = row(portal, connectionType="audit_only", tier="starter")
    assert empty.onboard(client_list([declared])).complete
    token = empty.sandbox.issue(portal.portal_id).token
    newer = row(portal, portalToken=token)
    silent = empty.plan(client_list([newer]), replace_tokens=True)
    assert "stored as" not in "".join(silent.judgements[0].warnings), "the list says no type"
    stated = client_list([{**newer, "connectionType": "config_and_audit"}])
    result = empty.onboard(stated, replace_tokens=True)
    assert "stored as audit_only" in "".join(result.judgements[0].warnings)
    found = empty.agency.connection(portal.client_slug)
    assert (found.generation, found.connection_type) == (2, "audit_only")
    assert found.facts["tier"].value == "starter"


def test_a_replacement_needs_the_scopes_of_the_stored_type(empty: Fleet) -> None:
    portal = empty.sandbox.portals[0]
    assert empty.onboard(client_list([row(portal, connectionType="config_only")])).complete
    poor = empty.sandbox.issue(portal.portal_id, scopes=["crm.objects.contacts.read"]).token
    result = empty.onboard(client_list([row(portal, portalToken=poor)]), replace_tokens=True)
    assert "lacks scopes that config_only needs" in result.refused[0].cause


def test_another_portals_token_replaces_nothing(full: Fleet) -> None:
    portal, spare = full.sandbox.portals[0], full.sandbox.spare
    before = bytes_of(full)
    for expected in (str(portal.portal_id), str(spare.portal_id)):
        changed = row(portal, portalToken=spare.token, expectedPortalId=expected)
        result = full.onboard(client_list([changed]), replace_tokens=True)
        assert [one.decision for one in result.judgements] == [Decision.BAD]
    assert bytes_of(full) == before


def test_a_list_without_rows_is_not_complete(empty: Fleet) -> None:
    assert not empty.onboard(b"clientSlug,portalToken,expectedPortalId\n").complete


class Awkward(ConfirmingStore):
    """A store in memory that fails for one client, as it is told."""

    uri = "awkward:"

    def __init__(
        self,
        *,
        forgets: str = "",
        refuses: str = "",
        keeps: str = "",
        upon: Callable[[], object] = lambda: None,
    ) -> None:
        self.kept: dict[SecretName, Secret] = {}
        self.upon = upon
        self.forgets, self.refuses, self.keeps = forgets, refuses, keeps

    def describe(self) -> str:
        return "In memory."

    def _read(self, name: SecretName) -> Secret | None:
        return self.kept.get(name)

    def _write(self, name: SecretName, secret: Secret) -> None:
        self.upon()
        if name.slug == self.refuses:
            raise StoreUnreadable("The store is locked.", hint="Unlock it.")
        if name.slug != self.forgets:
            self.kept[name] = secret

    def _remove(self, name: SecretName) -> None:
        if name.slug != self.keeps:
            self.kept.pop(name, None)


@pytest.mark.parametrize("how", ["forgets", "refuses"])
def test_a_secret_that_cannot_be_stored_refuses_its_row_and_no_other(
    empty: Fleet, how: str
) -> None:
    first, *others = (portal.client_slug for portal in empty.sandbox.portals)
    store = Awkward(**{how: first})
    empty.agency.store = store
    result = empty.onboard()
    assert [one.slug for one in result.refused] == [first]
    assert result.refused[0].hint
    assert empty.agency.slugs() == sorted(others)
    assert everything_fits(empty.agency)
    assert first not in empty.agency.audit.recorded()
    store.forgets = store.refuses = ""
    assert empty.onboard().complete
    assert len(empty.agency.slugs()) == 3


def test_an_old_secret_that_does_not_go_is_said_and_goes_with_the_next_run(empty: Fleet) -> None:
    portal, other = empty.sandbox.portals[:2]
    store = empty.agency.store = Awkward(keeps=portal.client_slug)
    empty.onboard()
    tokens = {p: empty.sandbox.issue(p.portal_id).token for p in (portal, other)}
    newer = client_list([row(p, portalToken=token) for p, token in tokens.items()])
    result = empty.onboard(newer, replace_tokens=True)
    assert result.complete
    assert "may still be in the store" in "".join(result.judgements[0].warnings)
    assert result.judgements[1].warnings == ()
    store.keeps = ""
    assert empty.onboard(newer).judgements[0].warnings == ()
    connection = empty.agency.connection(portal.client_slug)
    with pytest.raises(CredentialMissing):
        stored_secret(empty.agency, connection, generation=1)
    assert everything_fits(empty.agency)


@pytest.mark.parametrize("damage", ["gone", "broken", "other"])
def test_a_connection_without_its_secret_is_not_unchanged_and_replace_mends_it(
    full: Fleet, damage: str
) -> None:
    portal = full.sandbox.portals[0]
    connection = full.agency.connection(portal.client_slug)
    (sealed,) = (full.root / "credentials").rglob(f"{portal.client_slug}/*.age")
    if damage == "gone":
        sealed.unlink()
    elif damage == "broken":
        sealed.write_bytes(b"broken")
    else:
        name = SecretName(full.agency.workspace.settings.workspace, portal.client_slug, 1)
        full.agency.store.put(name, Secret(full.sandbox.spare.token))
    content = client_list([row(portal)])
    (judged,) = full.plan(content).judgements
    assert judged.decision is Decision.BAD
    assert "stored token cannot be used" in judged.cause
    assert "--replace" in judged.hint
    assert full.onboard(content, replace_tokens=True).complete
    assert full.agency.connection(portal.client_slug).generation == connection.generation + 1
    assert everything_fits(full.agency)
    assert full.onboard(content).complete


def test_an_unreadable_index_is_an_error_and_no_empty_one(full: Fleet) -> None:
    path = full.root / "connections.json"
    path.write_bytes(b'{"schema": 1, "version"')
    with pytest.raises(Exception, match="damaged"):
        full.onboard()
    assert path.read_bytes() == b'{"schema": 1, "version"'


def test_the_outcome_is_left_as_a_private_file_without_tokens(full: Fleet, tmp_path: Path) -> None:
    path = onboarding.write_record(full.agency, full.onboard())
    text = path.read_text("utf-8")
    assert path.stat().st_mode & 0o777 == 0o600
    assert text.count("unchanged") == 3
    assert not any(portal.token in text for portal in full.sandbox.portals)


def test_results_and_plans_print_without_tokens(full: Fleet) -> None:
    plan = full.plan(client_list([row(full.sandbox.spare)]))
    said = f"{plan!r}{plan.judgements}{plan.frame()}"
    assert full.sandbox.spare.token not in said


def test_judging_one_token_stores_nothing(full: Fleet) -> None:
    before = bytes_of(full)
    spare = full.sandbox.spare
    found = onboarding.judge_token(
        full.agency, Secret(spare.token), expected=spare.portal_id, api=full.url
    )
    assert found.identity.portal_id == spare.portal_id
    assert bytes_of(full) == before


def test_no_account_name_becomes_a_formula_in_the_record_of_an_onboarding(tmp_path: Path) -> None:
    with fleet(tmp_path, portals=1) as one:
        (portal,) = one.sandbox.portals
        named = row(portal, displayName='=HYPERLINK("http://127.0.0.1","x")', expectedPortalId="1")
        plan = one.plan(client_list([{**named, "clientSlug": "=1+1"}]))
        written = onboarding.write_record(one.agency, plan).read_text()
        assert "'=1+1" in written
        assert ",=1+1" not in written
