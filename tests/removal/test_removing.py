"""A client that is removed is gone for every process; what HubSpot answered is said as it is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hsagency import onboarding, removal
from hsagency.agency import Agency
from hsagency.credentials import SecretName
from hsagency.errors import (
    AuthorisationEnded,
    ClientClosed,
    Conflict,
    CredentialChanged,
    CredentialMissing,
    Halted,
    NoOAuthApp,
    OnboardingError,
    PortalUnreachable,
    StoreUnreadable,
    UnknownClient,
    WriteNotConfirmed,
)
from hsagency.portals import ClientSlug
from hsagency.removal import Certificate, Stage
from hsagency.sandbox import Fault
from hsagency.secret import Secret
from tests.fleets import tree
from tests.onboarding.test_applying import Awkward
from tests.support import (
    TOKEN,
    Authorised,
    Connected,
    assert_no_tokens,
    client_list,
    connected,
    tokens_of,
)

SLUG = "acme-corp"


def remove(
    agency: Agency, slug: str = SLUG, *, uninstall: bool = False, **options: object
) -> Certificate:
    plan = removal.plan(agency, slug, uninstall=uninstall)
    return removal.apply(agency, plan, digest=plan.digest, **options)  # type: ignore[arg-type]


def revoked(fleet: Connected, slug: str = SLUG) -> None:
    """End a static token as its owner does in HubSpot."""
    fleet.sandbox.rotate(fleet.agency.connection(slug).portal_id)


def secrets_of(agency: Agency, slug: str = SLUG) -> list[int]:
    """Return the generations of a client whose secret the store still gives."""
    workspace, found = agency.workspace.settings.workspace, []
    for generation in range(1, 6):
        try:
            agency.store.get(SecretName(workspace, slug, generation))
        except CredentialMissing:
            continue
        found.append(generation)
    return found


def test_a_token_that_hubspot_refuses_is_certified_dead(fleet: Connected) -> None:
    revoked(fleet)
    made = remove(fleet.agency)
    (asked,) = made.facts["answers"]
    assert made.proven
    assert (asked["statusCode"], asked["call"]) == (401, "GET /account-info/2026-09/details")
    assert asked["correlationId"] in made.proof
    assert made.proof.startswith("Dead: the sandbox refuses the token (401 at ")


def test_a_token_that_lives_is_not_proven_dead_and_it_is_said_until_when(fleet: Connected) -> None:
    made = remove(fleet.agency)
    assert not made.proven
    assert made.proof.startswith("Alive at removal, not proven dead: the sandbox accepts the token")
    assert "until somebody ends it in HubSpot: delete the app" in made.proof
    assert "7 days more at most" in made.proof
    assert secrets_of(fleet.agency) == []


def test_a_person_may_end_it_and_have_hubspot_asked_again(fleet: Connected) -> None:
    seen = list[str]()
    portal = fleet.agency.connection(SLUG).portal_id

    def asked(found: removal.Severed) -> bool:
        seen.append(found.said)
        fleet.sandbox.rotate(portal)
        return True

    made = remove(fleet.agency, again=asked)
    assert made.proven
    assert [one["statusCode"] for one in made.facts["answers"]] == [200, 401]
    assert len(seen) == 1


def test_without_an_answer_a_removal_waits_with_the_secret_and_the_next_run_ends_it(
    fleet: Connected,
) -> None:
    fleet.sandbox.faults.add(Fault("status", status=500, route="/account-info/details"))
    plan = removal.plan(fleet.agency, SLUG)
    with pytest.raises(PortalUnreachable, match="its removal is not finished") as caught:
        removal.apply(fleet.agency, plan, digest=plan.digest)
    assert "500" in caught.value.message
    assert f"hsagency remove {SLUG}" in caught.value.hint
    assert "--leave" in caught.value.hint
    assert secrets_of(fleet.agency) == [1]
    with pytest.raises(UnknownClient):
        fleet.agency.client(SLUG)
    fleet.sandbox.faults.clear()
    fleet.sandbox.rotate(plan.portal.portal_id)
    assert remove(fleet.agency).proven
    assert secrets_of(fleet.agency) == []


def test_who_leaves_it_goes_on_without_an_answer(fleet: Connected) -> None:
    fleet.sandbox.faults.add(Fault("status", status=500, route="/account-info/details"))
    made = remove(fleet.agency, leave=True)
    assert not made.proven
    assert made.proof.startswith("Asked, and not proven: ")
    assert "500" in made.proof
    assert secrets_of(fleet.agency) == []


def test_a_halted_fleet_is_known_beforehand_and_nothing_is_removed_unasked(
    fleet: Connected,
) -> None:
    fleet.agency.halt.set("a mix-up", at=fleet.agency.writer.now())
    before = fleet.sandbox.counts(SLUG)
    assert "It cannot be asked now: The fleet is halted: a mix-up" in "".join(
        removal.plan(fleet.agency, SLUG).words()
    )
    with pytest.raises(Halted, match="so nothing was removed") as caught:
        remove(fleet.agency)
    assert "--leave" in caught.value.hint
    assert SLUG in fleet.agency.slugs()
    made = remove(fleet.agency, leave=True)
    assert made.proof.startswith("Not asked: The fleet is halted: a mix-up")
    assert fleet.sandbox.counts(SLUG) == before


def test_a_suspended_portal_proves_nothing(fleet: Connected) -> None:
    fleet.sandbox.faults.add(Fault("status", status=403, route="/account-info/details"))
    made = remove(fleet.agency)
    assert not made.proven
    assert "403" in made.proof


def test_what_was_authorised_is_revoked_and_asked_about(consented: Authorised) -> None:
    kept = consented.kept(SLUG)
    made = remove(consented.agency)
    assert made.proven
    assert [one["call"].rpartition("/")[2] for one in made.facts["answers"]] == [
        "revoke",
        "introspect",
        "introspect",
    ]
    assert f"is accepted until {kept.expires_at:%Y-%m-%d %H:%M} UTC" in made.proof
    assert any("no longer lists the app" in one for one in made.facts["notProven"])
    assert not any("/appinstalls/" in one.path for one in consented.sandbox.ledger(SLUG))


def test_an_app_is_uninstalled_if_that_is_asked_for(consented: Authorised) -> None:
    made = remove(consented.agency, uninstall=True)
    assert made.proven
    assert made.proof.startswith("The app was uninstalled (204 at ")
    assert "Its last access token is over as well." in made.proof
    assert not any("lists the app" in one for one in made.facts["notProven"])


def test_an_access_token_that_ended_is_renewed_to_uninstall(consented: Authorised) -> None:
    consented.end(SLUG)
    made = remove(consented.agency, uninstall=True)
    assert made.proof.startswith("The app was uninstalled (204 at ")
    assert secrets_of(consented.agency) == []


def test_what_a_client_uninstalled_itself_is_removed_as_well(consented: Authorised) -> None:
    portal = consented.agency.connection(SLUG).portal_id
    consented.sandbox.uninstall(portal, consented.app.client_id)
    made = remove(consented.agency, uninstall=True)
    assert made.proven
    assert "Not uninstalled" in made.proof


def test_an_app_that_is_not_set_up_any_more_keeps_from_removing_until_it_is_left(
    consented: Authorised,
) -> None:
    workspace = consented.agency.workspace.settings.workspace
    consented.agency.store.delete(SecretName(workspace, "_agency", 1, "oauth-app-sandbox"))
    with pytest.raises(NoOAuthApp, match="so nothing was removed"):
        remove(consented.agency)
    assert SLUG in consented.agency.slugs()
    made = remove(consented.agency, leave=True)
    assert not made.proven
    assert made.proof.startswith("Not asked: No OAuth app is set up")
    assert "Connected Apps" in made.proof
    assert secrets_of(consented.agency) == []


def test_a_revocation_that_did_not_take_is_not_believed(consented: Authorised) -> None:
    consented.sandbox.faults.add(Fault("status", status=500, route="/oauth/token/revoke"))
    with pytest.raises(PortalUnreachable, match="500"):
        remove(consented.agency)
    assert secrets_of(consented.agency) == [1]
    made = remove(consented.agency, leave=True)
    assert not made.proven
    assert made.proof.startswith("Asked about, and not proven: ")


def test_what_was_answered_before_a_silence_is_said(consented: Authorised) -> None:
    consented.sandbox.faults.add(Fault("status", status=500, route="/oauth/token/introspect"))
    made = remove(consented.agency, uninstall=True, leave=True)
    assert made.proof.startswith("The app was uninstalled (204 at ")
    assert "Revoked at the sandbox" in made.proof
    assert "not proven" in made.proof
    assert "Not asked" not in made.proof
    stone = consented.agency.index.read().tombstones[ClientSlug(SLUG)]
    assert (stone.uninstalled, stone.severed) == (True, False)


def test_what_a_run_that_broke_off_had_done_is_kept(consented: Authorised) -> None:
    consented.sandbox.faults.add(Fault("status", status=500, route="/oauth/token/introspect"))
    with pytest.raises(PortalUnreachable):
        remove(consented.agency, uninstall=True)
    consented.sandbox.faults.clear()
    assert removal.plan(consented.agency, SLUG).uninstall
    made = remove(consented.agency)  # the wish need not be said again
    assert made.proven
    assert made.proof.startswith("The app was uninstalled (204 at ")
    assert len([one for one in consented.sandbox.ledger(SLUG) if one.method == "DELETE"]) == 1


@contextmanager
def broken_off(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """The progress of a run that is interrupted once HubSpot was asked, and nothing is deleted."""
    done = [0]

    def step(more: int, note: str = "") -> None:
        done[0] += more
        if done[0] == 2:
            raise KeyboardInterrupt

    yield step


def test_a_proof_that_is_there_stays(consented: Authorised) -> None:
    agency = consented.agency
    with pytest.raises(KeyboardInterrupt):
        remove(agency, uninstall=True, progress=broken_off)
    first = agency.index.read().tombstones[ClientSlug(SLUG)]
    assert first.proof.startswith("The app was uninstalled (204 at ")
    assert (first.severed, first.uninstalled, secrets_of(agency)) == (True, True, [1])
    agency.halt.set("a mix-up", at=agency.writer.now())  # there is nothing left to ask
    assert removal.plan(agency, SLUG).obstacle == ""
    made = remove(agency)
    assert (made.proof, made.proven) == (first.proof, True)
    last = agency.index.read().tombstones[ClientSlug(SLUG)]
    assert (last.uninstalled, last.pending) == (True, None)
    assert secrets_of(agency) == []


def test_running_clients_refuse_at_their_next_call(fleet: Connected) -> None:
    client = fleet.agency.client(SLUG)
    assert client.get("/crm/v3/objects/contacts").status_code == 200
    with Agency.open(fleet.agency.workspace.root) as other:
        remove(other)
    with pytest.raises(ClientClosed, match="changed or removed"):
        client.get("/crm/v3/objects/contacts")
    with pytest.raises(UnknownClient):
        fleet.agency.client(SLUG)
    assert fleet.agency.client("beta-inc").get("/crm/v3/objects/contacts").status_code == 200


def test_no_secret_of_the_client_is_left_anywhere(consented: Authorised) -> None:
    kept = consented.kept(SLUG)
    remove(consented.agency)
    assert secrets_of(consented.agency) == []
    left = {one.name for one in (consented.agency.workspace.root / "credentials").rglob("*.age")}
    assert not any(name.startswith(("main-", "removal-trial")) for name in left)
    for one in consented.agency.workspace.root.rglob("*"):
        content = one.read_bytes() if one.is_file() else b""
        assert kept.refresh.reveal().encode() not in content
        assert kept.access.reveal().encode() not in content


def test_no_token_stands_in_what_a_removal_leaves(fleet: Connected) -> None:
    made = remove(fleet.agency)
    fleet.agency.writer.settle()
    root = fleet.agency.workspace.root
    assert_no_tokens([root], tokens_of(fleet.sandbox), texts={"said": repr(made)})


def test_files_that_only_a_connected_client_needs_are_deleted(consented: Authorised) -> None:
    consented.end(SLUG)
    consented.agency.client(SLUG).get("/crm/v3/objects/contacts")
    state = consented.agency.workspace.state
    assert list((state / "pacing").glob("*.pace"))
    assert (state / "authorisation" / f"{SLUG}.lock").exists()
    remove(consented.agency)
    assert list((state / "pacing").glob("*.pace")) == []
    assert not (state / "authorisation" / f"{SLUG}.lock").exists()


def test_the_tombstone_says_whose_the_records_are(fleet: Connected) -> None:
    before = fleet.agency.connection(SLUG)
    remove(fleet.agency)
    stone = fleet.agency.index.read().tombstones[before.client_slug]
    assert stone.portal == before.portal
    assert (stone.generation, stone.time_zone) == (1, before.time_zone)
    assert stone.pending is None
    assert stone.removed_by.startswith(fleet.agency.writer.author.user)


def test_another_digest_removes_nothing(fleet: Connected) -> None:
    plan = removal.plan(fleet.agency, SLUG)
    with pytest.raises(OnboardingError, match="not the plan that was shown; nothing was removed"):
        removal.apply(fleet.agency, plan, digest=removal.plan(fleet.agency, "beta-inc").digest)
    assert SLUG in fleet.agency.slugs()


def test_a_credential_that_was_replaced_meanwhile_is_not_removed(fleet: Connected) -> None:
    plan = removal.plan(fleet.agency, SLUG)
    revoked(fleet)
    again = onboarding.plan_file(
        fleet.agency, client_list(fleet.sandbox), api=fleet.server.url, replace_tokens=True
    )
    onboarding.apply(fleet.agency, again, digest=again.digest)
    with pytest.raises(Conflict, match="changed by somebody else; nothing was removed"):
        removal.apply(fleet.agency, plan, digest=plan.digest)
    assert SLUG in fleet.agency.slugs()
    assert secrets_of(fleet.agency) == [2]


def test_a_second_removal_names_the_day_and_the_certificate(fleet: Connected) -> None:
    made = remove(fleet.agency)
    with pytest.raises(UnknownClient, match=r"was removed on \d{4}-\d\d-\d\d") as caught:
        removal.plan(fleet.agency, SLUG)
    assert str(made.path) in caught.value.hint


def test_of_two_who_remove_at_once_one_is_told(fleet: Connected) -> None:
    mine, theirs = (removal.plan(fleet.agency, SLUG) for _ in range(2))
    told = []

    def meanwhile(found: removal.Severed) -> bool:
        with Agency.open(fleet.agency.workspace.root) as other:
            with pytest.raises(Conflict, match="Another program is removing acme-corp") as caught:
                removal.apply(other, theirs, digest=theirs.digest)
            told.append(caught.value)
        return False

    removal.apply(fleet.agency, mine, digest=mine.digest, again=meanwhile)
    assert told
    with pytest.raises(Conflict, match="was removed by"):
        removal.apply(fleet.agency, theirs, digest=theirs.digest)


@pytest.mark.parametrize(
    ("store", "error"),
    [
        (Awkward(refuses=SLUG), StoreUnreadable),
        (Awkward(keeps=SLUG), WriteNotConfirmed),
        (Awkward(forgets=SLUG), WriteNotConfirmed),
    ],
    ids=["locked", "keeps what is deleted", "keeps nothing"],
)
def test_a_store_that_takes_no_delete_is_found_out_before_anything_is_changed(
    fleet: Connected, store: Awkward, error: type[Exception]
) -> None:
    plan = removal.plan(fleet.agency, SLUG)
    name = plan.secrets[0]
    store.kept[name] = fleet.agency.store.get(name)
    with Agency.open(fleet.agency.workspace.root) as agency:
        agency.store = store
        before = tree(agency.workspace.root)
        with pytest.raises(error, match="Nothing was removed"):
            removal.apply(agency, plan, digest=plan.digest)
        assert name in store.kept
        assert tree(agency.workspace.root) == before | {
            "state/home.json": tree(agency.workspace.root)["state/home.json"]
        }


def test_a_store_that_is_gone_is_not_an_empty_one(fleet: Connected) -> None:
    plan = removal.plan(fleet.agency, SLUG)
    credentials = fleet.agency.workspace.root / "credentials"
    credentials.rename(credentials.with_name("elsewhere"))
    with pytest.raises(StoreUnreadable, match="Nothing was removed"):
        removal.apply(fleet.agency, plan, digest=plan.digest)
    assert SLUG in fleet.agency.slugs()


def test_a_store_that_fails_on_the_way_leaves_what_the_next_run_finishes(fleet: Connected) -> None:
    plan = removal.plan(fleet.agency, SLUG)
    store = Awkward()
    store.kept[plan.secrets[0]] = fleet.agency.store.get(plan.secrets[0])

    def down(found: removal.Severed) -> bool:
        store.keeps = SLUG
        return False

    with Agency.open(fleet.agency.workspace.root) as agency:
        agency.store = store
        with pytest.raises(WriteNotConfirmed, match="nobody is handed a client") as caught:
            removal.apply(agency, plan, digest=plan.digest, again=down)
        assert f"hsagency remove {SLUG}" in caught.value.hint
        with pytest.raises(UnknownClient):
            agency.client(SLUG)
        store.keeps = ""
        rest = removal.plan(agency, SLUG)
        assert rest.stage is Stage.PENDING
        removal.apply(agency, rest, digest=rest.digest)
        assert {name.slug for name in store.kept} == {"_agency"}  # what signs the log


def test_another_secret_than_the_one_that_was_proven_is_left_alone(fleet: Connected) -> None:
    plan = removal.plan(fleet.agency, SLUG)
    fleet.agency.store.put(plan.secrets[0], Secret(TOKEN))
    with pytest.raises(CredentialChanged, match="is not the one that was proven"):
        removal.apply(fleet.agency, plan, digest=plan.digest)
    assert SLUG in fleet.agency.slugs()


def test_a_secret_that_is_gone_already_is_no_obstacle(fleet: Connected) -> None:
    plan = removal.plan(fleet.agency, SLUG)
    fleet.agency.store.delete(plan.secrets[0])
    made = removal.apply(fleet.agency, plan, digest=plan.digest)
    assert made.proof.startswith("Not asked: the store gave no secret to ask with.")


def test_a_copy_of_a_workspace_deletes_nobodys_secrets(fleet: Connected, tmp_path: Path) -> None:
    root = fleet.agency.workspace.root
    settings = root / "hsagency.toml"
    store = f"age:{root / 'credentials'}"
    settings.write_text(settings.read_text().replace("age:credentials", store))
    shutil.copytree(root, tmp_path / "copy")
    with Agency.open(tmp_path / "copy") as copy:
        plan = removal.plan(copy, SLUG)
        with pytest.raises(Conflict, match="is a copy of"):
            removal.apply(copy, plan, digest=plan.digest)
    assert secrets_of(fleet.agency) == [1]


def test_a_copy_made_while_a_removal_was_pending_deletes_nobodys_secrets(tmp_path: Path) -> None:
    with connected(tmp_path / "agency", portals=1, contacts=1) as one:
        agency, root = one.agency, one.agency.workspace.root
        settings = root / "hsagency.toml"
        store = f"age:{root / 'credentials'}"
        settings.write_text(settings.read_text().replace("age:credentials", store))
        with pytest.raises(KeyboardInterrupt), Agency.open(root) as first:
            remove(first, progress=broken_off)
        shutil.copytree(root, tmp_path / "copy")
        remove(agency)
        one.sandbox.rotate(one.sandbox.portals[0].portal_id)
        again = onboarding.plan_file(agency, client_list(one.sandbox), api=one.server.url)
        onboarding.apply(agency, again, digest=again.digest)
        with Agency.open(tmp_path / "copy") as copy:
            with pytest.raises(Conflict, match="is a copy of"):
                remove(copy)
            # Once the first one is elsewhere nobody can tell a copy by where it is.
            root.rename(tmp_path / "moved")
            (tmp_path / "agency").mkdir(exist_ok=True)
            shutil.copytree(tmp_path / "moved" / "credentials", root / "credentials")
            made = remove(copy, leave=True)
            assert secrets_of(copy) == [2]
        assert [name.rpartition("/")[2] for name in made.left] == ["2"]
        assert any("left it" in said for said in made.facts["notProven"])


def test_a_lock_that_somebody_hangs_on_to_is_named_before_anything_is_changed(
    consented: Authorised,
) -> None:
    lock = consented.agency.workspace.state / "authorisation" / f"{SLUG}.lock"
    lock.parent.mkdir(mode=0o700, exist_ok=True)
    hold = f"import fcntl, time; f = open({str(lock)!r}, 'a'); fcntl.flock(f, 2); print(1, flush=1)"
    child = subprocess.Popen(
        [sys.executable, "-c", f"{hold}; time.sleep(99)"], stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        os.kill(child.pid, signal.SIGSTOP)
        with pytest.raises(
            Conflict, match="has been renewing the token of acme-corp for"
        ) as caught:
            remove(consented.agency)
    finally:
        child.kill()
        child.communicate()
    if Path("/proc/locks").exists():
        assert f"process {child.pid}" in caught.value.message
    assert SLUG in consented.agency.slugs()


def test_what_was_authorised_before_a_reconnection_is_not_proven_ended(
    consented: Authorised,
) -> None:
    portal = consented.agency.connection(SLUG).portal_id
    assert "connected anew" not in " ".join(removal.plan(consented.agency, SLUG).words())
    consented.connect([consented.row(SLUG, portal)], replace_tokens=True)
    assert "connected anew" in " ".join(removal.plan(consented.agency, SLUG).words())
    made = remove(consented.agency)
    assert made.proven
    assert any("connected anew is over" in one for one in made.facts["notProven"])


def test_an_uninstalled_app_ends_what_was_authorised_before(consented: Authorised) -> None:
    portal, before = consented.agency.connection(SLUG).portal_id, consented.kept(SLUG)
    consented.connect([consented.row(SLUG, portal)], replace_tokens=True)
    made = remove(consented.agency, uninstall=True)
    assert made.proven
    assert not any("connected anew" in one for one in made.facts["notProven"])
    with pytest.raises(AuthorisationEnded):
        consented.agency.desk(consented.server.url).refresh(before.refresh)


def test_what_a_broken_off_reconnection_left_authorised_is_revoked(consented: Authorised) -> None:
    agency, one = consented.agency, consented.agency.connection(SLUG)
    left = consented.authorise(SLUG, one.portal_id)
    name = SecretName(agency.workspace.settings.workspace, one.client_slug, 2)
    agency.store.put(name, left.kept())
    note = {"schema": 1, "secrets": {str(name): left.key.fingerprint}}
    (agency.workspace.state / "storing.json").write_text(json.dumps(note))
    assert remove(agency).proven
    assert secrets_of(agency) == []
    with pytest.raises(AuthorisationEnded):
        agency.desk(consented.server.url).refresh(left.refresh)
