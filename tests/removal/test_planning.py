"""What a removal would do is shown whole, and nothing is done by showing it."""

from __future__ import annotations

import pytest

from hsagency import onboarding, removal
from hsagency.agency import Agency
from hsagency.errors import BadSlug, UnknownClient
from hsagency.portals import CredentialKind
from hsagency.removal import Stage
from tests.fleets import tree
from tests.support import Authorised, Connected, client_list, records

SLUG = "acme-corp"


def words(plan: removal.Plan) -> str:
    return "\n".join(plan.words())


def test_a_plan_names_the_portal_and_its_credential(fleet: Connected) -> None:
    connection = fleet.agency.connection(SLUG)
    plan = removal.plan(fleet.agency, SLUG)
    assert plan.stage is Stage.CONNECTED
    for part in (
        str(connection.portal),
        connection.fingerprint,
        "generation 1",
        "config_and_audit",
        "status: connected",
    ):
        assert part in words(plan)


def test_a_plan_names_the_secrets_of_every_generation_and_of_one_that_broke_off(
    fleet: Connected,
) -> None:
    fleet.sandbox.rotate(fleet.agency.connection(SLUG).portal_id)
    again = onboarding.plan_file(
        fleet.agency, client_list(fleet.sandbox), api=fleet.server.url, replace_tokens=True
    )
    onboarding.apply(fleet.agency, again, digest=again.digest)
    plan = removal.plan(fleet.agency, SLUG)
    assert [name.generation for name in plan.secrets] == [1, 2, 3]
    assert all(str(name) in words(plan) for name in plan.secrets)


def test_a_plan_counts_what_is_kept_and_says_where_it_is(fleet: Connected) -> None:
    fleet.agency.client(SLUG).get("/crm/v3/objects/contacts")
    kept = {one.path: one for one in removal.plan(fleet.agency, SLUG).kept}
    assert kept[f"audit/{SLUG}"].number == (
        len(records(fleet.agency.workspace.root, SLUG)) + 1
    )  # and the one that opened the segment
    assert {"connections.json", f"reports/{SLUG}", "hsagency.toml [retention]"} <= kept.keys()
    assert any(path.endswith(f"/{SLUG}/identifiers/1") for path in kept)


def test_a_plan_lists_the_outputs_of_the_client_and_those_that_name_it(fleet: Connected) -> None:
    reports = fleet.agency.workspace.reports
    for name, content in (
        (f"{SLUG}/2026-10/quota-report.html", "<p>October</p>"),
        ("_fleet/2026-10/fleet.csv", f"client_slug\n{SLUG}\n"),
        ("_fleet/2026-10/others.csv", f"client_slug\n{SLUG}-east\nsouth-{SLUG}\n"),
        ("_fleet/2026-10/ids.csv", f"{fleet.agency.connection(SLUG).portal_id}"),
    ):
        path = reports / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    plan = removal.plan(fleet.agency, SLUG)
    assert [one.path for one in plan.outputs] == [
        "reports/_fleet/2026-10/fleet.csv",
        "reports/_fleet/2026-10/ids.csv",
        f"reports/{SLUG}/2026-10/quota-report.html",
    ]
    assert plan.outputs[2].size == len("<p>October</p>")
    assert "files that were sent elsewhere are beyond this program" in words(plan)


def test_a_plan_names_the_settings_that_name_the_client(fleet: Connected) -> None:
    path = fleet.agency.workspace.root / "hsagency.toml"
    path.write_text(
        path.read_text()
        + f'[quota.clients.{SLUG}]\nreserve = "5%"\n'
        + f"[retention.clients]\n{SLUG} = 36\n"
        + f'[completeness]\nonly_us = ["{SLUG}"]\n'
        + '[[forward]]\nname = "archive"\nto = "stdout"\n'
    )
    with Agency.open(path.parent) as agency:
        plan = removal.plan(agency, SLUG)
    assert len(plan.mentions) == 4
    assert ("how long its log is kept", "36 months") in {(k.what, k.count) for k in plan.kept}
    named = "".join(plan.mentions)
    for setting in ("[quota.clients", "[retention.clients]", "only_us", "[[forward]] archive"):
        assert setting in named


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("service_key", "Development > Keys > Service keys"),
        ("private_app", "Development > Legacy apps"),
        ("static_app", "Distribution tab"),
        ("static", "Development > Keys > Service keys, Development > Legacy apps"),
    ],
)
def test_a_plan_says_where_the_other_side_is_ended(fleet: Connected, kind: str, place: str) -> None:
    fleet.agency.index.update(SLUG, generation=1, kind=CredentialKind(kind))  # type: ignore[arg-type]
    plan = removal.plan(fleet.agency, SLUG)
    assert place in words(plan)
    assert "no interface of the sandbox ends a static credential" in words(plan)


def test_a_plan_over_oauth_says_who_is_told_and_how_long_a_token_lives(
    consented: Authorised,
) -> None:
    said = words(removal.plan(consented.agency, SLUG))
    assert "Settings > Integrations > Connected Apps" in said
    assert "at most 30 minutes" in said
    assert "e-mail" in said


def test_showing_a_plan_changes_nothing_and_asks_nobody(fleet: Connected) -> None:
    root = fleet.agency.workspace.root
    fleet.agency.writer.settle()
    before, asked = tree(root), fleet.sandbox.counts(SLUG)
    removal.plan(fleet.agency, SLUG)
    assert tree(root) == before
    assert fleet.sandbox.counts(SLUG) == asked


def test_the_digest_stands_for_the_removal_and_not_for_a_call_more(fleet: Connected) -> None:
    first = removal.plan(fleet.agency, SLUG)
    fleet.agency.client(SLUG).get("/crm/v3/objects/contacts")
    fleet.agency.client(SLUG).get("/crm/v3/objects/deals")
    second = removal.plan(fleet.agency, SLUG)
    fleet.agency.client(SLUG).get("/crm/v3/objects/companies")
    assert second.digest == removal.plan(fleet.agency, SLUG).digest
    assert removal.plan(fleet.agency, "beta-inc").digest not in (first.digest, second.digest)


def test_a_frame_of_the_plan_has_everything(fleet: Connected) -> None:
    plan = removal.plan(fleet.agency, SLUG)
    frame = plan.frame()
    assert frame.schema == removal.STEPS
    assert set(frame["what"]) == {"deleted", "kept", "hubspot"}
    assert len(plan.deleted()) == frame.filter(what="deleted").height


def test_nobody_who_is_not_connected_is_planned_for(fleet: Connected) -> None:
    with pytest.raises(UnknownClient, match="There is no client 'acme-crop'"):
        removal.plan(fleet.agency, "acme-crop")
    with pytest.raises(BadSlug):
        removal.plan(fleet.agency, "../audit")
