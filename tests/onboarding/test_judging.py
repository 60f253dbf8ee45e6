"""Every row is judged against HubSpot and the index; each bad one says why and what to do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from hsagency import onboarding
from hsagency.errors import Halted, PortalMismatch, UsageError
from hsagency.onboarding import Decision, Findings, Judgement, Plan, Result
from hsagency.portals import ConnectionType, PortalId
from hsagency.sandbox import Fault, Sandbox, bad_rows
from hsagency.secret import Secret
from hsagency.verifier import Identity, Introspection
from tests.fleets import Fleet, client_list, fleet, row, tree

DETAILS = "/account-info/"


def only(outcome: Plan | Result) -> Judgement:
    (judged,) = outcome.judgements
    return judged


def judged(one: Fleet, *faults: Fault, **options: object) -> Judgement:
    """Judge the first portal of a fleet while something goes wrong."""
    for fault in faults:
        one.sandbox.faults.add(fault)
    return only(one.plan(client_list([row(one.sandbox.portals[0])]), **options))


def test_a_good_row_becomes_a_connection_with_facts_and_their_sources(empty: Fleet) -> None:
    portal = empty.sandbox.portals[0]
    content = client_list([row(portal, kind="service_key", connectionType="audit_only")])
    found = only(empty.plan(content)).connection
    assert found is not None
    assert (found.client_slug, found.portal_id) == (portal.client_slug, portal.portal_id)
    assert (found.kind, found.connection_type) == ("service_key", "audit_only")
    assert (found.generation, found.api_base) == (1, empty.url)
    assert found.facts["name"].value == portal.name
    assert found.facts["name"].provenance == "fetched"
    assert found.facts["tier"].provenance == "inferred"
    assert found.facts["tier"].evidence
    assert found.proof is not None
    assert found.proof.fingerprint == found.fingerprint


def test_a_declared_tier_is_kept_as_declared(empty: Fleet) -> None:
    content = client_list([row(empty.sandbox.portals[0], tier="Starter")])
    found = only(empty.plan(content)).connection
    assert found is not None
    assert (found.facts["tier"].value, found.facts["tier"].provenance) == ("starter", "declared")


@pytest.mark.parametrize(
    ("fault", "cause", "hint"),
    [
        (
            Fault("status", status=401, path=DETAILS),
            "does not accept the token (401)",
            "tokens/rotate",
        ),
        (
            Fault("status", status=403, path=DETAILS),
            "may not read the account (403, MISSING_SCOPES)",
            "scopes",
        ),
        (
            Fault("status", status=403, path=DETAILS, html=True),
            "does not let it into the portal (403)",
            "suspended",
        ),
        (Fault("status", status=500, path=DETAILS), "answered 500", "Try again"),
        (Fault("status", status=502, path=DETAILS, html=True), "answered 502", "Try again"),
        (Fault("burst", path=DETAILS, retry_after=0.1), "answered 429", "Try again"),
        (Fault("daily", path=DETAILS), "limit of the day is spent", "whole again at"),
        (Fault("drop_before", path=DETAILS), "did not answer", "Try again"),
        (Fault("drop_after", path=DETAILS), "did not answer", "Try again"),
        (Fault("wrong_portal", claims=999), "MISMATCH: the token belongs to portal 999", "Check"),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_what_hubspot_says_becomes_a_cause_and_a_cure(
    empty: Fleet, fault: Fault, cause: str, hint: str
) -> None:
    found = judged(empty, fault)
    assert found.decision is Decision.BAD
    assert cause in found.cause
    assert found.cause.endswith(". The token was not stored")
    assert "HubSpot" not in found.cause
    assert hint in found.hint
    assert found.secret is None
    assert found.connection is None


def test_the_hint_for_a_dead_token_says_how_to_make_one_where_it_is_from(empty: Fleet) -> None:
    empty.sandbox.revoke(empty.sandbox.portals[0].portal_id)
    hint = judged(empty).hint
    assert "POST /_sandbox/tokens/rotate" in hint
    assert "client" not in hint
    (torn,) = onboarding.read_rows(client_list([row(empty.sandbox.portals[0], portalToken="x")]))[1]
    for words in (
        "super admin",
        "Developer tools access",
        "Development > Keys > Service keys",
        "26 October 2026",
    ):
        assert words in torn.hint


def test_a_row_without_an_answer_may_be_right(empty: Fleet) -> None:
    for fault in (
        Fault("drop_before", path=DETAILS),
        Fault("burst", path=DETAILS, retry_after=0.1),
    ):
        assert judged(empty, fault).unanswered
        empty.sandbox.faults.clear()
    assert not judged(empty, Fault("status", status=401, path=DETAILS)).unanswered


def test_a_dead_line_is_named_for_every_row(empty: Fleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    plan = onboarding.plan_file(
        empty.agency, client_list(empty.sandbox), api=f"http://127.0.0.1:{port}"
    )
    assert len(plan.refused) == 3
    assert {one.cause for one in plan.refused} == {
        "The sandbox did not answer (ConnectError). The token was not stored"
    }


class Page(BaseHTTPRequestHandler):
    """What a hotel's network answers, whoever is asked."""

    def do_GET(self) -> None:
        body = b"<html>Please log in</html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def hotel() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_login_page_is_not_taken_for_hubspot(empty: Fleet) -> None:
    with hotel() as url:
        content = client_list([row(empty.sandbox.portals[0])])
        found = only(onboarding.plan_file(empty.agency, content, api=url))
    assert "not the sandbox's account details" in found.cause
    assert "proxies" in found.hint


@pytest.mark.parametrize(
    ("kind", "lacking"),
    [
        ("config_and_audit", "crm.objects.contacts.read"),
        ("audit_only", "crm.objects.contacts.read"),
        ("config_only", "crm.schemas.contacts.write"),
    ],
)
def test_a_token_without_the_scopes_of_its_type_is_refused_with_the_scope_and_why(
    empty: Fleet, kind: str, lacking: str
) -> None:
    portal = empty.sandbox.portals[0]
    empty.sandbox.set_scopes(portal.portal_id, portal.scopes - {lacking})
    content = client_list([row(portal, connectionType=kind)])
    found = only(empty.plan(content))
    assert f"lacks scopes that {kind} needs: {lacking} (" in found.cause
    assert "Service keys" in found.hint


def test_a_token_that_could_change_things_on_a_reading_connection_is_noted(empty: Fleet) -> None:
    content = client_list([row(empty.sandbox.portals[0], connectionType="audit_only")])
    found = only(empty.plan(content))
    assert found.decision is Decision.NEW
    assert "could change things" in found.warnings[0]


def test_scopes_that_hubspot_does_not_tell_are_noted_and_no_refusal(empty: Fleet) -> None:
    found = judged(empty, Fault("status", status=500, path="/oauth/"))
    assert found.decision is Decision.NEW
    assert "were not checked" in found.warnings[0]


def test_a_missing_portal_id_is_refused_unless_first_contact_is_trusted(empty: Fleet) -> None:
    portal = empty.sandbox.portals[0]
    content = client_list([row(portal, expectedPortalId="")])
    found = only(empty.plan(content))
    assert (found.decision, found.cause) == (Decision.BAD, "the portal id is missing")
    assert "--trust-first-contact" in found.hint
    assert empty.sandbox.ledger(portal.portal_id) == ()
    trusted = only(empty.plan(content, trust_first_contact=True))
    assert trusted.decision is Decision.NEW
    assert trusted.connection is not None
    assert trusted.connection.portal_id == portal.portal_id
    assert "first contact" in trusted.warnings[0]


def test_two_rows_that_turn_out_to_be_one_portal_are_both_refused_by_name(empty: Fleet) -> None:
    first, second = empty.sandbox.portals[:2]
    other = empty.sandbox.issue(first.portal_id).token
    rows = [
        row(first, expectedPortalId=""),
        row(second),
        row(first, clientSlug="acme-too", portalToken=other, expectedPortalId=""),
    ]
    plan = empty.plan(client_list(rows), trust_first_contact=True)
    assert [one.decision for one in plan.judgements] == [Decision.BAD, Decision.NEW, Decision.BAD]
    for one in plan.refused:
        assert f"{first.client_slug} (line 2)" in one.cause
        assert "acme-too (line 4)" in one.cause
        assert one.secret is None


def test_swapped_tokens_are_told_with_both_owners(empty: Fleet) -> None:
    first, second = empty.sandbox.portals[:2]
    rows = [row(first, portalToken=second.token), row(second, portalToken=first.token)]
    plan = empty.plan(client_list(rows))
    assert plan.judgements[0].cause == (
        f"MISMATCH: the token belongs to portal {second.portal_id} ({second.client_slug}, line 3), "
        f"expected {first.portal_id} ({first.client_slug}, line 2). The token was not stored"
    )
    assert "swapped" in plan.judgements[0].hint


def test_a_single_token_of_another_client_is_told_with_its_name(full: Fleet) -> None:
    first, second = full.sandbox.portals[:2]
    with pytest.raises(PortalMismatch) as caught:
        onboarding.judge_token(
            full.agency, Secret(first.token), expected=PortalId(second.portal_id), api=full.url
        )
    assert caught.value.owner == first.client_slug
    assert f"{first.portal_id} ({first.client_slug})" in caught.value.message
    assert caught.value.message.endswith(f"({second.client_slug}). The token was not stored.")


def test_a_single_token_is_judged_with_what_one_should_know_of_it(full: Fleet) -> None:
    spare = full.sandbox.spare

    def notes(token: str, *kind: ConnectionType) -> tuple[str, ...]:
        found = onboarding.judge_token(
            full.agency, Secret(token), expected=PortalId(spare.portal_id), api=full.url
        )
        return found.notes(*kind)

    assert notes(spare.token) == ()
    assert "could change things" in notes(spare.token, ConnectionType.AUDIT_ONLY)[0]
    poor = full.sandbox.issue(spare.portal_id, scopes=["crm.lists.read"]).token
    (lacking,) = notes(poor)
    assert "lacks scopes that config_and_audit needs: " in lacking
    assert "crm.objects.contacts.read (" in lacking
    full.sandbox.faults.add(Fault("status", status=500, path="/oauth/"))
    assert notes(spare.token) == (
        "HubSpot did not say which scopes the token holds; they were not checked",
    )


def test_a_token_from_before_a_move_is_noted() -> None:
    identity = Identity(
        portal_id=PortalId(1),
        account_type=None,
        time_zone=None,
        currency=None,
        ui_domain=None,
        hosting="eu1",
        name=None,
        correlation_id=None,
    )
    scopes = Introspection(portal_id=PortalId(2), scopes=("oauth",))
    found = Findings(identity=identity, introspection=scopes, usage=None, token_hublet="na1")
    assert "made for na1, but the portal is hosted in eu1" in found.notes()[0]
    assert found.notes()[1] == "HubSpot names portal 1 for the account and 2 for the token"


def test_a_mix_up_in_onboarding_does_not_halt_the_fleet(full: Fleet) -> None:
    judged(full, Fault("wrong_portal", claims=999))
    full.agency.halt.check()


def test_a_portal_that_is_connected_already_is_refused_by_its_first_name(full: Fleet) -> None:
    portal = full.sandbox.portals[0]
    plan = full.plan(client_list([row(portal, clientSlug="acme-too")]))
    assert f"already connected as {portal.client_slug}, not as acme-too" in only(plan).cause
    assert "client that is there" in only(plan).hint


def test_a_slug_that_stands_for_another_portal_is_never_moved(full: Fleet) -> None:
    first = full.sandbox.portals[0]
    spare = full.sandbox.spare
    moved = row(spare, clientSlug=first.client_slug)
    found = only(full.plan(client_list([moved]), replace_tokens=True))
    assert f"connected to portal {first.portal_id}" in found.cause
    assert f"belongs to portal {spare.portal_id}" in found.cause


def test_a_sandboxs_connection_is_never_turned_into_another_ones(full: Fleet) -> None:
    with fleet(full.root.parent / "other") as other:
        content = client_list([row(full.sandbox.portals[0])])
        found = only(onboarding.plan_file(full.agency, content, api=other.url))
        assert other.sandbox.ledger(None) == (), "the token went nowhere"
    assert f"connected through {full.url}, not through {other.url}" in found.cause
    assert f"--api {full.url}" in found.hint


def test_a_replacement_is_asked_about_where_its_client_is_connected(full: Fleet) -> None:
    portal = full.sandbox.portals[0]
    content = client_list([row(portal, portalToken=full.sandbox.issue(portal.portal_id).token)])
    plan = onboarding.plan_file(full.agency, content, replace_tokens=True)
    assert only(plan).decision is Decision.REPLACE
    refused = only(onboarding.plan_file(full.agency, content))
    assert f"connected through {full.url}, not through HubSpot" in refused.cause
    assert "sent nowhere" in refused.cause


def test_only_this_machines_addresses_stand_in_for_hubspot(empty: Fleet) -> None:
    with pytest.raises(UsageError):
        onboarding.plan_file(
            empty.agency, client_list(empty.sandbox), api="https://api.example.com"
        )
    assert empty.sandbox.ledger(empty.sandbox.portals[0].portal_id) == ()


def test_rows_from_python_are_held_to_the_same_slugs(empty: Fleet) -> None:
    (good,), _ = onboarding.read_rows(client_list([row(empty.sandbox.portals[0])]))
    bad = onboarding.Row(line=7, slug="../up", token=good.token, expected=good.expected)
    assert "not a client slug" in only(onboarding.plan(empty.agency, [bad], api=empty.url)).cause


def test_nothing_is_asked_while_the_fleet_is_halted(full: Fleet) -> None:
    sent = len(full.sandbox.ledger(full.sandbox.portals[0].portal_id))
    full.agency.halt.set("a test.", at=full.agency.connections()["acme-corp"].added_at)
    with pytest.raises(Halted):
        full.plan(client_list(full.sandbox))
    assert len(full.sandbox.ledger(full.sandbox.portals[0].portal_id)) == sent


def fifty(sandbox: Sandbox) -> tuple[bytes, dict[str, str]]:
    """Return fifty lines with every kind of bad row, and words of each one's cause."""
    ports = sandbox.portals
    unknown, mixed_up = bad_rows(sandbox)
    sandbox.revoke(ports[0].portal_id)
    sandbox.set_scopes(ports[1].portal_id, ["crm.lists.read"])
    for portal, fault in (
        (ports[2], Fault("status", status=403, path=DETAILS, portal_id=ports[2].portal_id)),
        (ports[3], Fault("status", status=503, path=DETAILS, portal_id=ports[3].portal_id)),
        (ports[4], Fault("burst", path=DETAILS, portal_id=ports[4].portal_id)),
        (ports[5], Fault("drop_before", path=DETAILS, portal_id=ports[5].portal_id)),
        (ports[6], Fault("wrong_portal", portal_id=ports[6].portal_id)),
    ):
        assert portal.portal_id == fault.portal_id
        sandbox.faults.add(fault)
    other = sandbox.issue(ports[15].portal_id).token
    bad = [
        (row(ports[0]), "401"),
        (row(ports[1]), "lacks scopes"),
        (row(ports[2]), "403"),
        (row(ports[3]), "503"),
        (row(ports[4]), "429"),
        (row(ports[5]), "did not answer"),
        (row(ports[6]), "MISMATCH"),
        (row(ports[7], clientSlug="Not A Slug"), "not a client slug"),
        (row(ports[8], portalToken="pat-na1-123"), "not a HubSpot token"),
        (row(ports[9], expectedPortalId=""), "portal id is missing"),
        (row(ports[10], expectedPortalId="x1"), "not a portal id"),
        (row(ports[11], kind="password"), "not a kind"),
        (row(ports[12], connectionType="admin"), "not a connection type"),
        (row(ports[13], tier="gold"), "not a tier"),
        (row(ports[14]), "more than once"),
        (row(ports[14], portalToken=ports[16].token, expectedPortalId="5"), "more than once"),
        (row(ports[15]), "one portal under two slugs"),
        (row(ports[15], clientSlug="again", portalToken=other), "one portal under two slugs"),
        (row(ports[17]), "one token under two slugs"),
        (row(ports[17], clientSlug="twin", expectedPortalId="6"), "one token under two slugs"),
        ({name: unknown[name] for name in row(ports[0])}, "401"),
        ({name: mixed_up[name] for name in row(ports[0])}, "MISMATCH"),
    ]
    good = [row(portal) for portal in ports[18:46]]
    assert len(bad) + len(good) == 50
    return client_list([*(one for one, _ in bad[:11]), *good, *(one for one, _ in bad[11:])]), {
        f"{line} {one['clientSlug']}": cause
        for line, (one, cause) in zip([*range(2, 13), *range(41, 52)], bad, strict=True)
    }


def test_fifty_rows_with_every_kind_of_bad_one_onboard_all_good_ones_in_one_run(
    tmp_path: Path,
) -> None:
    with fleet(tmp_path / "workspace", portals=46) as one:
        content, wrong = fifty(one.sandbox)
        result = one.onboard(content)
        assert {f"{bad.line} {bad.slug}" for bad in result.refused} == set(wrong)
        for bad in result.refused:
            assert wrong[f"{bad.line} {bad.slug}"] in bad.cause
            assert bad.hint
        assert len(result.onboarded) == 28
        assert one.agency.slugs() == sorted(p.client_slug for p in one.sandbox.portals[18:46])
        assert not result.complete


def test_the_calls_of_refused_rows_are_on_record_too(empty: Fleet) -> None:
    portal = empty.sandbox.portals[0]
    empty.sandbox.revoke(portal.portal_id)
    empty.plan(client_list([row(portal)]))
    (call,) = empty.agency.calls("_agency").collect().rows(named=True)
    assert (call["client_slug"], call["candidate_slug"]) == ("_agency", portal.client_slug)
    assert (call["status_code"], call["purpose"]) == (401, "onboarding")
    assert empty.agency.audit.recorded() == []


def test_a_dry_run_writes_nothing_but_records(full: Fleet) -> None:
    kept = {name: tree(full.root / name) for name in ("credentials", "state", "reports")}
    index = (full.root / "connections.json").read_bytes()
    calls = full.agency.calls("_agency").collect().height
    portal = full.sandbox.spare
    plan = full.plan(client_list([row(portal), row(full.sandbox.portals[0])]))
    assert [one.decision for one in plan.judgements] == [Decision.NEW, Decision.CURRENT]
    assert {name: tree(full.root / name) for name in kept} == kept
    assert (full.root / "connections.json").read_bytes() == index
    assert full.agency.calls("_agency").collect().height == calls + 6


def test_a_refused_row_is_named_in_the_agencys_own_log(tmp_path: Path) -> None:
    with fleet(tmp_path, portals=2) as one:
        first, second = one.sandbox.portals
        swapped = row(first, expectedPortalId=second.portal_id)
        one.plan(client_list([swapped]))
        told = one.agency.activity("_agency")["message"].to_list()
        assert any(f"Refused line 2, {first.client_slug}: MISMATCH" in line for line in told)
