"""`hsagency set-type`: what a person is shown, asked and told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import on_terminal, run_cli
from tests.fleets import Fleet, connected, fleet
from tests.support import authorised

READS = ("crm.objects.contacts.read", "crm.schemas.contacts.read")
RECORDS = (*READS, "crm.objects.contacts.write")


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Fleet]:
    with connected(tmp_path / "workspace", portals=1) as made:
        yield made


def kind_of(made: Fleet) -> str:
    return made.agency.connection("acme-corp").connection_type.value


def test_a_dry_run_shows_what_the_type_means_and_changes_nothing(one: Fleet) -> None:
    done = run_cli(["set-type", "acme-corp", "audit_only", "--dry-run"], cwd=one.root)
    assert (done.returncode, done.stderr) == (0, "")
    head, enables, refuses, beyond, end = done.stdout.splitlines()
    assert head.endswith(": config_and_audit -> audit_only (Audit Only)")
    assert "acme-corp, portal " in head
    assert enables.startswith("  enables: Reading configuration")
    assert "Every change" in refuses
    assert "crm.objects.contacts.write" in beyond
    assert end == "Nothing was changed (dry run)."
    assert kind_of(one) == "config_and_audit"


def test_it_asks_on_a_terminal_and_takes_yes_for_an_answer(one: Fleet) -> None:
    args = ["set-type", "acme-corp", "audit_only"]
    code, screen = on_terminal(args, typed={"Change it?": "n\n"}, cwd=one.root)
    assert (code, kind_of(one)) == (2, "config_and_audit")
    assert "Nothing was changed." in screen
    code, screen = on_terminal(args, typed={"Change it?": "y\n"}, cwd=one.root)
    assert (code, kind_of(one)) == (0, "audit_only")
    assert "acme-corp is audit_only now." in screen
    again = run_cli(args, cwd=one.root)
    assert again.returncode == 0
    assert again.stdout.endswith("acme-corp is audit_only already. Nothing was changed.\n")


def test_where_nobody_can_be_asked_it_takes_yes(one: Fleet) -> None:
    args = ["set-type", "acme-corp", "config_only"]
    refused = run_cli(args, cwd=one.root)
    assert (refused.returncode, kind_of(one)) == (2, "config_and_audit")
    assert refused.stderr == (
        "Error: Nobody can be asked here. Nothing was changed. If it is meant: "
        "hsagency set-type acme-corp config_only --yes\n"
    )
    assert run_cli([*args, "--yes"], cwd=one.root).returncode == 0
    assert kind_of(one) == "config_only"


def test_no_such_type_is_told_with_those_there_are(one: Fleet) -> None:
    done = run_cli(["set-type", "acme-corp", "everything", "--yes"], cwd=one.root)
    assert done.returncode == 2
    assert "'everything' is not a connection type" in done.stderr
    assert "config_and_audit, config_only, audit_only" in done.stderr


def test_missing_scopes_are_listed_with_reasons_and_where_to_tick_them(tmp_path: Path) -> None:
    with fleet(tmp_path / "workspace", portals=1) as one:
        portal = one.sandbox.portals[0]
        one.sandbox.set_scopes(portal.portal_id, RECORDS)
        assert one.onboard().complete
        done = run_cli(["set-type", "acme-corp", "config_only", "--yes"], cwd=one.root)
        assert done.returncode == 4
        assert (
            "needed, and not held: crm.schemas.contacts.write (deploy properties and pipelines)"
            in done.stdout
        )
        assert "It needs reconnection" in done.stdout
        assert "Add them to the key or app that the token is of" in done.stdout
        assert done.stdout.endswith("then: hsagency verify acme-corp\n")
        found = run_cli(["verify", "acme-corp"], cwd=one.root)
        assert (found.returncode, found.stdout.split()[0]) == (4, "SCOPES")
        one.sandbox.set_scopes(portal.portal_id, [*RECORDS, "crm.schemas.contacts.write"])
        mended = run_cli(["verify", "acme-corp"], cwd=one.root)
        assert (mended.returncode, mended.stdout.split()[0]) == (0, "OK")
        assert "Changed: scopes: now also crm.schemas.contacts.write" in mended.stdout


def test_over_oauth_it_offers_to_reconnect_with_the_new_type(tmp_path: Path) -> None:
    with authorised(tmp_path / "workspace", contacts=2) as one:
        args = ["set-type", one.slugs[0], "audit_only", "--yes"]
        done = run_cli(args, cwd=one.agency.workspace.root)
        assert done.returncode == 0, done.stderr
        assert "optional, and not held: crm.lists.read (read lists" in done.stdout
        end = f"To ask for them: hsagency reconnect {one.slugs[0]} --type audit_only\n"
        assert done.stdout.endswith(end)


def test_as_json(one: Fleet) -> None:
    args = ["set-type", "acme-corp", "audit_only", "--json"]
    shown = json.loads(run_cli([*args, "--dry-run"], cwd=one.root).stdout)
    assert (shown["dryRun"], shown["applied"], kind_of(one)) == (True, False, "config_and_audit")
    plan = shown["plan"]
    assert (plan["before"], plan["after"]) == ("config_and_audit", "audit_only")
    assert plan["missingScopes"] == []
    done = json.loads(run_cli([*args, "--yes"], cwd=one.root).stdout)
    assert (done["applied"], done["plan"]["digest"]) == (True, plan["digest"])
    assert kind_of(one) == "audit_only"
    asked = run_cli(["set-type", "acme-corp", "config_only", "--json"], cwd=one.root)
    assert (asked.returncode, asked.stdout, kind_of(one)) == (2, "", "audit_only")
