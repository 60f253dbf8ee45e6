"""`hsagency verify`: whose credential is it, in one word and an exit code."""

from __future__ import annotations

import json

from hsagency.sandbox import Fault
from tests.commands import on_terminal, run_cli
from tests.fleets import Fleet, tree


def test_a_token_from_standard_input_is_judged_and_not_stored(shared: Fleet) -> None:
    spare = shared.sandbox.spare
    before = tree(shared.root / "credentials"), (shared.root / "connections.json").read_bytes()
    args = ["verify", "--expect", str(spare.portal_id), "--api", shared.url]
    right = run_cli(args, stdin=f"{spare.token}\n", cwd=shared.root)
    assert (right.returncode, right.stderr) == (0, "")
    assert right.stdout == (
        f"OK  the token belongs to portal {spare.portal_id} ({spare.name}). Nothing was stored.\n"
    )
    wrong = run_cli([*args[:2], "12345678", *args[3:]], stdin=spare.token, cwd=shared.root)
    assert (wrong.returncode, wrong.stderr) == (4, "")
    assert wrong.stdout == (
        f"MISMATCH  the token belongs to portal {spare.portal_id}, expected 12345678. "
        "The token was not stored.\n"
    )
    after = tree(shared.root / "credentials"), (shared.root / "connections.json").read_bytes()
    assert after == before


def test_the_verdict_as_json(shared: Fleet) -> None:
    spare = shared.sandbox.spare
    args = ["verify", "--expect", "12345678", "--json", "--api", shared.url]
    done = run_cli(args, stdin=f"{spare.token}\n", cwd=shared.root)
    assert done.returncode == 4
    assert json.loads(done.stdout) == {
        "schema": 1,
        "result": "MISMATCH",
        "expected": 12345678,
        "portalId": spare.portal_id,
        "notes": [],
    }


def test_a_token_nobody_knows_has_4_and_the_way_to_a_new_one(shared: Fleet) -> None:
    token = "pat-na1-0badc0de-0000-4000-8000-00000000beef"
    args = ["verify", "--expect", "1", "--api", shared.url]
    done = run_cli(args, stdin=token, cwd=shared.root)
    assert (done.returncode, done.stdout) == (4, "")
    assert "does not accept the token (401)" in done.stderr
    assert "tokens/rotate" in done.stderr


def test_the_advised_repair_of_a_sandboxs_token_stays_in_the_sandbox(full: Fleet) -> None:
    portal = full.sandbox.portals[0]
    full.sandbox.revoke(portal.portal_id)
    told = run_cli(["verify", portal.client_slug], cwd=full.root)
    assert "Ask the client" not in told.stdout
    assert "POST /_sandbox/tokens/rotate" in told.stdout
    advised = told.stdout.rpartition("Then: hsagency ")[2].split()
    assert advised == ["reconnect", portal.client_slug]  # at the address that it has
    fresh = full.sandbox.rotate(portal.portal_id).token
    done = run_cli(advised, stdin=f"{fresh}\n", cwd=full.root)
    assert done.returncode == 0, done.stderr
    assert run_cli(["verify", portal.client_slug], cwd=full.root).returncode == 0


def test_at_the_prompt_the_token_is_not_shown(shared: Fleet) -> None:
    spare = shared.sandbox.spare
    args = ["verify", "--expect", str(spare.portal_id), "--api", shared.url]
    code, screen = on_terminal(
        args, typed={"Token (not shown": f"{spare.token}\n"}, cwd=shared.root
    )
    assert code == 0
    assert "OK  the token belongs" in screen
    assert spare.token[8:] not in screen


def test_clients_are_verified_by_name_or_all(full: Fleet) -> None:
    one = run_cli(["verify", "acme-corp"], cwd=full.root)
    portal = full.sandbox.portal("acme-corp")
    assert one.returncode == 0
    assert one.stdout == f"OK  acme-corp  portal {portal.portal_id} ({portal.name})\n"
    every = run_cli(["verify", "--all", "--json"], cwd=full.root)
    rows = json.loads(every.stdout)["results"]
    assert [row["clientSlug"] for row in rows] == full.agency.slugs()
    assert {row["result"] for row in rows} == {"OK"}


def test_one_dead_key_and_one_silent_portal_do_not_stop_the_others(full: Fleet) -> None:
    dead, silent, fine = full.sandbox.portals
    full.sandbox.revoke(dead.portal_id)
    full.sandbox.faults.add(Fault("drop_before", portal_id=silent.portal_id))
    done = run_cli(["verify", "--all"], cwd=full.root)
    assert done.returncode == 4
    words = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()}
    assert words == {
        dead.client_slug: "REJECTED",
        silent.client_slug: "FAILED",
        fine.client_slug: "OK",
    }
    assert run_cli(["verify", silent.client_slug], cwd=full.root).returncode == 1
    listed = run_cli(["portals", dead.client_slug], cwd=full.root)
    assert "needs reconnection" in listed.stdout


def test_what_changed_is_said_and_another_account_type_is_a_warning(full: Fleet) -> None:
    portal = full.sandbox.portals[0]
    full.sandbox.alter(portal.portal_id, name="Acme Holding", account_type="SANDBOX")
    done = run_cli(["verify", "acme-corp"], cwd=full.root)
    assert done.returncode == 0
    assert done.stdout.startswith(
        f"OK  acme-corp  portal {portal.portal_id} (Acme Holding). Changed: account type "
        f"'STANDARD' -> 'SANDBOX', name '{portal.name}' -> 'Acme Holding'"
    )
    assert done.stderr == (
        "acme-corp: note: its account type changed from STANDARD to SANDBOX: it is a copy for "
        "trials now, and its figures are not the client's.\n"
    )
    again = run_cli(["verify", "acme-corp"], cwd=full.root)
    assert (again.stdout, again.stderr) == (
        f"OK  acme-corp  portal {portal.portal_id} (Acme Holding)\n",
        "",
    )


def test_scopes_that_went_are_a_finding_with_what_to_do(full: Fleet) -> None:
    portal = full.sandbox.portals[0]
    full.sandbox.set_scopes(portal.portal_id, ["crm.schemas.contacts.read", "forms"])
    done = run_cli(["verify", "--all", "--json"], cwd=full.root)
    assert done.returncode == 4
    found = {row["clientSlug"]: row for row in json.loads(done.stdout)["results"]}
    lost = found["acme-corp"]
    assert (lost["result"], lost["missingScopes"]) == ("SCOPES", ["crm.objects.contacts.read"])
    assert "no longer" in lost["changed"]
    assert lost["message"].endswith("then: hsagency verify acme-corp")
    assert {row["result"] for slug, row in found.items() if slug != "acme-corp"} == {"OK"}


def test_a_key_that_may_not_read_the_account_is_a_finding(full: Fleet) -> None:
    full.sandbox.faults.add(Fault("status", status=403, path="/account-info/"))
    done = run_cli(["verify", "acme-corp"], cwd=full.root)
    assert (done.returncode, done.stdout.split()[0]) == (4, "FORBIDDEN")


def test_a_mix_up_halts_the_fleet_until_somebody_says_why_it_may_go_on(full: Fleet) -> None:
    full.sandbox.faults.add(Fault("wrong_portal", claims=999, times=1))
    mixed = run_cli(["verify", "acme-corp"], cwd=full.root)
    assert (mixed.returncode, mixed.stdout.split()[0]) == (4, "MISMATCH")
    assert "belongs to portal 999" in mixed.stdout
    assert "hsagency resume --fleet --reason TEXT" in mixed.stdout
    stopped = run_cli(["call", "beta-inc", "GET", "/crm/v3/objects/contacts"], cwd=full.root)
    assert stopped.returncode == 1
    assert "The fleet is halted" in stopped.stderr
    resumed = run_cli(["resume", "--fleet", "--reason", "key was pasted twice"], cwd=full.root)
    assert resumed.returncode == 0
    assert "Resumed." in resumed.stdout
    assert run_cli(["verify", "acme-corp"], cwd=full.root).returncode == 0


def test_nothing_to_verify_is_3(empty: Fleet) -> None:
    done = run_cli(["verify", "--all"], cwd=empty.root)
    assert (done.returncode, done.stdout) == (3, "")
    assert "No portals are connected yet" in done.stderr
