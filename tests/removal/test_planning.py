"""What a removal would do is shown whole, and nothing is done by showing it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hsagency import onboarding, removal
from hsagency.agency import Agency
from hsagency.errors import BadSlug, UnknownClient, UsageError
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
        "Config + Audit",
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
    assert str(plan.secrets[1]) in words(plan)
    assert "what broken-off or earlier replacements of it left in the store" in words(plan)


def test_a_plan_counts_what_is_kept_and_says_where_it_is(fleet: Connected) -> None:
    fleet.agency.client(SLUG).get("/crm/v3/objects/contacts")
    kept = {one.path: one for one in removal.plan(fleet.agency, SLUG).kept}
    assert kept[f"audit/{SLUG}"].number == (
        len(records(fleet.agency.workspace.root, SLUG)) + 1
    )  # and the one that opened the segment
    assert {"connections.json", "hsagency.toml [retention]"} <= kept.keys()
    assert f"reports/{SLUG}" not in kept  # where there is nothing
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


def test_whether_the_app_is_taken_out_is_part_of_the_plan_and_of_its_digest(
    consented: Authorised,
) -> None:
    without = removal.plan(consented.agency, SLUG)
    plan = removal.plan(consented.agency, SLUG, uninstall=True)
    assert plan.digest != without.digest
    assert "With --uninstall it is taken out now" in words(without)
    assert "Here: the app is uninstalled, of which HubSpot tells the admins" in words(plan)
    assert "With --uninstall" not in words(plan)


def test_a_static_credential_has_no_app_to_take_out(fleet: Connected) -> None:
    with pytest.raises(UsageError, match="over OAuth alone"):
        removal.plan(fleet.agency, SLUG, uninstall=True)


def test_files_that_come_and_go_while_they_are_looked_at_are_no_error(fleet: Connected) -> None:
    folder = fleet.agency.workspace.reports / "_fleet" / "2026-10"
    folder.mkdir(parents=True)
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            for number in range(30):
                (folder / f"{number}.tmp").write_text(SLUG)
            for one in folder.iterdir():
                one.unlink()

    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(come_and_go)
        try:
            for _ in range(30):
                removal.plan(fleet.agency, SLUG)
        finally:
            over.set()
        busy.result()


def test_a_file_that_cannot_be_read_is_listed_because_it_may_name_the_client(
    fleet: Connected,
) -> None:
    folder = fleet.agency.workspace.reports / "_fleet"
    folder.mkdir(parents=True)
    (folder / "report.csv").write_text("nobody")
    (folder / "secret.csv").write_text("nobody")
    (folder / "secret.csv").chmod(0)
    plan = """
import os, sys
from hsagency import removal
from hsagency.agency import Agency
agency = Agency.open(sys.argv[1])
connection = agency.connection(sys.argv[2])
from hsagency.removal.looking import outputs_of
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
print([one.path for one in outputs_of(agency, connection.portal)])
"""
    opened = [folder, *list(folder.parents)[:6]]
    modes = {one: one.stat().st_mode for one in opened if one.stat().st_uid == os.getuid()}
    for one, mode in modes.items():
        one.chmod(mode | 0o055)
    try:
        done = subprocess.run(
            [sys.executable, "-c", plan, str(fleet.agency.workspace.root), SLUG],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for one, mode in modes.items():
            one.chmod(mode)
    assert done.stdout.strip() == "['reports/_fleet/secret.csv']", done.stderr
