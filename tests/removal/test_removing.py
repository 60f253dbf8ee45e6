"""A client that is removed is gone for every process; what HubSpot answered is said as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hsagency import onboarding, removal
from hsagency.agency import Agency
from hsagency.credentials import SecretName
from hsagency.errors import (
    ClientClosed,
    Conflict,
    CredentialChanged,
    CredentialMissing,
    OnboardingError,
    StoreUnreadable,
    UnknownClient,
    WriteNotConfirmed,
)
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
    tokens_of,
)

SLUG = "acme-corp"


def remove(agency: Agency, slug: str = SLUG, **options: object) -> Certificate:
    plan = removal.plan(agency, slug)
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


def test_no_answer_is_no_proof_and_no_reason_to_stop(fleet: Connected) -> None:
    fleet.sandbox.faults.add(Fault("status", status=500, route="/account-info/details"))
    made = remove(fleet.agency)
    assert not made.proven
    assert "not proven" in made.proof
    assert "500" in made.proof
    assert secrets_of(fleet.agency) == []


def test_a_halted_fleet_asks_nobody(fleet: Connected) -> None:
    fleet.agency.halt.set("a mix-up", at=fleet.agency.writer.now())
    before = fleet.sandbox.counts(SLUG)
    made = remove(fleet.agency)
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


def test_an_app_that_is_not_set_up_any_more_keeps_nobody_from_removing(
    consented: Authorised,
) -> None:
    workspace = consented.agency.workspace.settings.workspace
    consented.agency.store.delete(SecretName(workspace, "_agency", 1, "oauth-app-sandbox"))
    made = remove(consented.agency)
    assert not made.proven
    assert made.proof.startswith("Not asked: No OAuth app is set up")
    assert "Connected Apps" in made.proof
    assert secrets_of(consented.agency) == []


def test_a_revocation_that_did_not_take_is_not_believed(consented: Authorised) -> None:
    consented.sandbox.faults.add(Fault("status", status=500, route="/oauth/token/revoke"))
    made = remove(consented.agency)
    assert not made.proven
    assert "500" in made.proof


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
