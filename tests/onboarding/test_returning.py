"""A client that was removed and comes back: a new connection that continues the log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from hsagency import onboarding, removal, retyping
from hsagency.audit.importing import import_file
from hsagency.errors import Conflict, CredentialMissing
from hsagency.onboarding import Decision, Judgement, Row
from hsagency.portals import ClientSlug, Connection, ConnectionType, CredentialKind, Tombstone
from hsagency.secret import Secret
from tests.commands import run_cli
from tests.connecting.offices import office
from tests.fleets import Fleet, client_list, row, stored_secret
from tests.support import Authorised, authorised

LEGACY = Path(__file__).parents[1] / "data" / "legacy-audit-camel.jsonl"


def remove(one: Fleet | Authorised, slug: str) -> Tombstone:
    plan = removal.plan(one.agency, slug)
    removal.apply(one.agency, plan, digest=plan.digest)
    return one.agency.index.read().tombstones[ClientSlug(slug)]


def half_removed(one: Fleet, slug: str) -> Tombstone:
    """Leave a removal as one leaves it that broke off after its first step."""
    connection = one.agency.connection(slug)
    stone = Tombstone(
        client_slug=connection.client_slug,
        portal_id=connection.portal_id,
        name=connection.portal.name,
        connection_type=connection.connection_type,
        kind=connection.kind,
        generation=connection.generation,
        fingerprint=connection.fingerprint,
        api_base=connection.api_base,
        added_at=connection.added_at,
        removed_at=connection.added_at,
        removed_by="jane",
        pending=connection,
    )
    one.agency.index.bury(stone, instead_of=connection)
    return stone


def only(one: Fleet, *changes: object, **options: object) -> Judgement:
    given = client_list([row(one.sandbox.portals[0], **dict(changes))])  # type: ignore[arg-type]
    (judged,) = one.plan(given, **options).judgements
    return judged


def back(one: Fleet, *, token: str = "") -> Connection:
    portal = one.sandbox.portals[0]
    fresh = token or one.sandbox.issue(portal.portal_id).token
    assert one.onboard(client_list([row(portal, portalToken=fresh)])).complete
    return one.agency.connection(portal.client_slug)


def test_who_comes_back_is_a_new_connection_of_the_next_generation(full: Fleet) -> None:
    slug = full.sandbox.portals[0].client_slug
    before = full.agency.connection(slug)
    stone = remove(full, slug)
    now = back(full)
    assert (stone.generation, now.generation) == (1, 2)
    assert now.added_at > stone.removed_at > before.added_at
    assert full.agency.index.read().tombstones == {}
    assert stored_secret(full.agency, now).fingerprint == now.fingerprint
    with pytest.raises(CredentialMissing):
        stored_secret(full.agency, now, generation=1)
    answer = full.agency.client(slug).get("/account-info/2026-09/details")
    assert answer.json()["portalId"] == now.portal_id


def test_no_name_of_a_secret_is_used_twice_however_often_a_client_comes_and_goes(
    full: Fleet,
) -> None:
    slug = full.sandbox.portals[0].client_slug
    seen = [full.agency.connection(slug).generation]
    for _ in range(2):
        remove(full, slug)
        seen.append(back(full).generation)
    assert seen == [1, 2, 3]


def test_the_log_goes_on_and_tells_every_generation(full: Fleet) -> None:
    slug = full.sandbox.portals[0].client_slug
    calls = full.agency.calls(slug).collect().height
    stone = remove(full, slug)
    back(full)
    activity = full.agency.activity(slug)
    added = activity.filter(pl.col("event") == "connection.added")
    assert added["message"].str.starts_with("Connected again: it was removed on ").to_list() == [
        False,
        True,
    ]
    assert f"{stone.removed_at:%Y-%m-%d}, as generation 1. Connected" in added["message"][1]
    assert "generation 2" in added["message"][1]
    assert activity.filter(pl.col("event") == "connection.removed").height == 1
    full.agency.client(slug).get("/account-info/2026-09/details")
    assert full.agency.calls(slug).collect().height > calls


def test_the_chain_is_one_from_the_first_connection_to_the_second(full: Fleet) -> None:
    slug = full.sandbox.portals[0].client_slug
    remove(full, slug)
    back(full)
    full.agency.client(slug).get("/account-info/2026-09/details")
    done = run_cli(["audit", "verify", slug], cwd=full.root)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_was_imported_before_is_not_imported_twice(full: Fleet) -> None:
    slug = full.sandbox.portals[0].client_slug
    path = full.root.parent / "audit.jsonl"
    lines = LEGACY.read_text().splitlines()[:40]
    path.write_text("\n".join(lines).replace("acme-corp", slug))
    first = import_file(full.agency.writer, path)
    remove(full, slug)
    back(full)
    again = import_file(full.agency.writer, path)
    assert first.added[slug] > 0
    assert (again.added, again.known) == ({}, sum(first.added.values()))
    imported = full.agency.calls(slug).filter(pl.col("origin") == "imported").collect()
    assert imported.height == first.added[slug]


def test_the_plan_says_that_it_comes_back(full: Fleet) -> None:
    slug = full.sandbox.portals[0].client_slug
    stone = remove(full, slug)
    judged = only(full)
    assert judged.decision is Decision.NEW
    day = f"{stone.removed_at:%Y-%m-%d}"
    assert any(
        one == f"it was removed on {day} and comes back as a new connection, generation 2; its "
        "log goes on"
        for one in judged.warnings
    )
    assert "it is config_and_audit, as before" in judged.warnings
    assert any("the very token that was removed" in one for one in judged.warnings)


def test_who_comes_back_is_what_it_was_unless_another_type_is_stated(full: Fleet) -> None:
    slug = full.sandbox.portals[0].client_slug
    plan = retyping.plan(full.agency, slug, "audit_only")
    retyping.apply(full.agency, plan, digest=plan.digest)
    remove(full, slug)
    kept = only(full)
    assert kept.connection is not None
    assert kept.connection.connection_type is ConnectionType.AUDIT_ONLY
    assert "it is audit_only, as before" in kept.warnings
    wider = only(full, ("connectionType", "config_and_audit"))
    assert wider.connection is not None
    assert wider.connection.connection_type is ConnectionType.CONFIG_AND_AUDIT
    assert "it was audit_only, is config_and_audit now" in wider.warnings
    stated = only(full, connection_type=ConnectionType.CONFIG_ONLY)
    assert "it was audit_only, is config_only now" in stated.warnings
    token = f"{full.sandbox.portals[0].token}\n"
    by_hand = ["onboard", "--client", slug, "--trust-first-contact", "--api", full.url]
    done = run_cli(by_hand, stdin=token, cwd=full.root)
    assert done.returncode == 0, done.stderr
    assert "it is audit_only, as before" in done.stderr
    assert full.agency.connection(slug).connection_type is ConnectionType.AUDIT_ONLY


def test_another_portal_is_refused_under_the_slug_of_a_removed_one(full: Fleet) -> None:
    first, second, _ = full.sandbox.portals
    for one in (first, second):
        remove(full, one.client_slug)
    judged = only(full, ("portalToken", second.token), ("expectedPortalId", str(second.portal_id)))
    assert judged.decision is Decision.BAD
    assert f"{first.client_slug} was portal {first.portal_id} ({first.name})" in judged.cause
    assert f"this token belongs to portal {second.portal_id}" in judged.cause
    assert "Choose another slug" in judged.hint


def test_a_removed_portal_may_have_another_slug_and_its_log_is_named(full: Fleet) -> None:
    portal = full.sandbox.portals[0]
    remove(full, portal.client_slug)
    judged = only(full, ("clientSlug", "other-name"))
    assert judged.decision is Decision.NEW
    assert judged.connection is not None
    assert judged.connection.generation == 1
    assert any(
        f"only goes on if it is onboarded as {portal.client_slug}" in one for one in judged.warnings
    )
    full.onboard(client_list([row(portal, clientSlug="other-name")]))
    snapshot = full.agency.index.read()
    assert portal.client_slug in snapshot.tombstones
    assert "other-name" in snapshot.connections


def test_the_token_of_a_removed_client_goes_to_no_other_address(full: Fleet) -> None:
    portal = full.sandbox.portals[0]
    remove(full, portal.client_slug)
    before = len(full.sandbox.ledger(portal.portal_id))
    plan = onboarding.plan_file(full.agency, client_list([row(portal)]))
    (judged,) = plan.refused
    assert "until it was removed on" in judged.cause
    assert "its token was sent nowhere" in judged.cause
    assert f"--api {full.url}" in judged.hint
    assert len(full.sandbox.ledger(portal.portal_id)) == before


@pytest.mark.parametrize("slug", ["", "other-name"], ids=["its own slug", "another slug"])
def test_nobody_comes_back_while_the_removal_is_not_finished(full: Fleet, slug: str) -> None:
    portal = full.sandbox.portals[0]
    half_removed(full, portal.client_slug)
    before = len(full.sandbox.ledger(portal.portal_id))
    judged = only(full, ("clientSlug", slug or portal.client_slug))
    assert f"the removal of {portal.client_slug}" in judged.cause
    assert "is not finished" in judged.cause
    assert f"hsagency remove {portal.client_slug}" in judged.hint
    assert len(full.sandbox.ledger(portal.portal_id)) == before


def test_by_hand_it_is_said_before_the_token_is_asked_for(full: Fleet) -> None:
    portal = full.sandbox.portals[0]
    half_removed(full, portal.client_slug)
    who = ["--client", portal.client_slug, "--portal", str(portal.portal_id)]
    done = run_cli(["onboard", *who, "--api", full.url], cwd=full.root)
    assert done.returncode == 1
    assert f"The removal of {portal.client_slug} is not finished. Nothing was done." in done.stderr
    assert f"hsagency remove {portal.client_slug}" in done.stderr


def test_a_client_that_came_and_went_since_the_plan_is_not_connected_by_it(full: Fleet) -> None:
    portal = full.sandbox.portals[0]
    remove(full, portal.client_slug)
    planned = full.plan(client_list([row(portal)]))
    back(full)
    remove(full, portal.client_slug)
    with pytest.raises(Conflict, match=f"{portal.client_slug} is not what it was"):
        onboarding.apply(full.agency, planned, digest=planned.digest)
    assert portal.client_slug not in full.agency.slugs()
    assert list((full.root / "credentials" / portal.client_slug).rglob("*.age")) == []


def test_a_replacement_of_a_client_removed_since_is_not_stored(full: Fleet) -> None:
    portal = full.sandbox.portals[0]
    newer = row(portal, portalToken=full.sandbox.issue(portal.portal_id).token)
    planned = full.plan(client_list([newer]), replace_tokens=True)
    remove(full, portal.client_slug)
    with pytest.raises(Conflict, match="nothing was stored"):
        onboarding.apply(full.agency, planned, digest=planned.digest)
    assert portal.client_slug in full.agency.index.read().tombstones


def test_over_oauth_a_client_comes_back_with_a_new_authorisation(tmp_path: Path) -> None:
    with authorised(tmp_path / "agency", portals=1, contacts=2) as one:
        slug = one.slugs[0]
        stone = remove(one, slug)
        assert one.connect([one.row(slug, slug)]).complete
        now = one.agency.connection(slug)
        assert (now.generation, now.kind) == (stone.generation + 1, CredentialKind.OAUTH)
        assert now.fingerprint != stone.fingerprint


def test_connected_again_over_oauth_it_asks_for_what_its_type_was(tmp_path: Path) -> None:
    with office(tmp_path / "workspace") as desk:
        desk.connect(0, client="acme-corp", connection_type=ConnectionType.AUDIT_ONLY)
        plan = removal.plan(desk.agency, "acme-corp")
        removal.apply(desk.agency, plan, digest=plan.digest)
        desk.connect(0, client="acme-corp")
        again = desk.agency.connection("acme-corp")
        assert (again.connection_type, again.generation) == (ConnectionType.AUDIT_ONLY, 2)


def test_words_about_an_authorisation_never_speak_of_a_token_or_a_key(tmp_path: Path) -> None:
    with authorised(tmp_path / "agency", portals=2, contacts=2) as one:
        first, second = one.slugs
        picked = one.row(first, second, expected=one.agency.connection(first).portal_id)
        (judged,) = one.connect([picked]).judgements
        assert "The authorisation was not stored" in judged.cause
        assert "pick portal" in judged.hint
        other = one.row(first, first)
        (candidate,) = one.connect([other]).judgements
        assert candidate.cause.startswith("another authorisation than the stored one")
        assert f"hsagency reconnect {first}" in candidate.hint
        assert "--replace" not in candidate.hint
        portal = one.sandbox.portals[0]
        token = Row(
            line=1,
            slug=ClientSlug(first),
            token=Secret(portal.token),
            expected=one.agency.connection(first).portal_id,
        )
        (offered,) = one.connect([token]).judgements
        assert offered.cause.startswith("it is connected over OAuth, and this is a token")
        assert f"hsagency reconnect {first} --token, or run again with --replace" in offered.hint
        (swapped,) = onboarding.plan(
            one.agency, [token], api=one.server.url, replace_tokens=True
        ).judgements
        assert "goes by this token from now on" in " ".join(swapped.warnings)
        remade: Row = replace(other, slug=ClientSlug("other-name"))
        (refused,) = one.connect([remade]).judgements
        assert f"already connected as {first}" in refused.cause
