"""`hsagency onboard`: what a person sees, what scripts read, what becomes of the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hsagency.portals import ConnectionType
from hsagency.sandbox import Fault
from tests.commands import on_terminal, run_cli
from tests.fleets import Fleet, client_list, row, tree


@pytest.fixture
def good(empty: Fleet) -> Path:
    path = empty.root.parent / "clients.csv"
    path.write_bytes(client_list(empty.sandbox))
    return path


@pytest.fixture
def mixed(empty: Fleet) -> Path:
    path = empty.root.parent / "clients.csv"
    first, *others = empty.sandbox.portals
    rows = [row(first, portalToken="pat-na1"), *map(row, others)]
    path.write_bytes(client_list(rows))
    return path


def test_one_run_connects_the_good_rows_and_names_the_bad_one(empty: Fleet, mixed: Path) -> None:
    first, second, _ = empty.sandbox.portals
    args = ["onboard", mixed, "--api", empty.url]
    done = run_cli(args, cwd=empty.root)
    assert done.returncode == 1
    head, _, *lines, summary = done.stdout.splitlines()
    assert head.split() == ["line", "client", "slug", "portal", "id", "account", "name", "outcome"]
    assert lines[0].split() == ["2", first.client_slug, "-", "-", "refused"]
    assert lines[1].startswith(f"3     {second.client_slug}")
    assert lines[1].endswith("onboarded")
    assert summary == (
        "2 onboarded, 1 refused. Correct the refused rows and run it again: what is connected "
        "stays."
    )
    why, dispose = done.stderr.splitlines()
    assert why.startswith(f"line 2: {first.client_slug}: This is not a HubSpot token. Copy")
    assert dispose.startswith(f"{mixed} still holds the tokens in plain text. Delete it")
    assert len(empty.agency.slugs()) == 2


def test_rows_that_got_no_answer_are_not_called_wrong(empty: Fleet, good: Path) -> None:
    empty.sandbox.faults.add(Fault("drop_before"))
    done = run_cli(["onboard", good, "--api", empty.url], cwd=empty.root)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == (
        "3 refused. None of the refused rows got an answer, and they may be right: see to that, "
        "then try again. What is connected stays."
    )


def test_a_wrong_way_out_is_told_once_and_is_no_rows_fault(empty: Fleet, good: Path) -> None:
    with (empty.root / "hsagency.toml").open("a") as file:
        file.write('\n[network]\nca_bundle = "missing.pem"\n')
    done = run_cli(["onboard", good], cwd=empty.root)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("missing.pem cannot be read") == 1
    assert "Nothing was sent." in done.stderr
    assert "refused" not in done.stderr


def test_who_is_connected_already_is_led_to_reconnecting(full: Fleet) -> None:
    portal = full.sandbox.portals[0]
    who = ["--client", portal.client_slug, "--portal", str(portal.portal_id)]
    newer = full.sandbox.issue(portal.portal_id).token
    done = run_cli(["onboard", *who, "--api", full.url], stdin=newer, cwd=full.root)
    said, offered = done.stderr.splitlines()[:2]
    assert said == (
        f"{portal.client_slug} is connected already; to give it another credential: hsagency "
        f"reconnect {portal.client_slug}"
    )
    assert offered.endswith(
        "The stored one was kept. To use this one: run again with --replace, or hsagency "
        f"reconnect {portal.client_slug}."
    )
    assert full.agency.connection(portal.client_slug).generation == 1


def test_a_second_run_says_that_nothing_changed(full: Fleet) -> None:
    before = tree(full.root / "credentials"), (full.root / "connections.json").read_bytes()
    done = run_cli(
        ["onboard", "-", "--api", full.url], stdin=client_list(full.sandbox), cwd=full.root
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "3 unchanged. Nothing changed."
    after = tree(full.root / "credentials"), (full.root / "connections.json").read_bytes()
    assert after == before


def test_a_dry_run_says_so_and_stores_nothing(empty: Fleet, good: Path) -> None:
    done = run_cli(["onboard", good, "--dry-run", "--api", empty.url], cwd=empty.root)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "3 new. Nothing was stored (dry run)."
    assert empty.agency.slugs() == []
    # What the log is signed with is kept, and nothing of a client's.
    kept = (empty.root / "credentials").rglob("*.age")
    assert {path.parent.name for path in kept} == {"_agency"}


def test_json_is_one_document_and_nothing_else(empty: Fleet, mixed: Path) -> None:
    done = run_cli(["onboard", mixed, "--json", "--api", empty.url], cwd=empty.root)
    answer = json.loads(done.stdout)
    assert done.returncode == 1
    assert (answer["schema"], answer["dryRun"]) == (1, False)
    assert answer["counts"] == {"onboarded": 2, "refused": 1}
    assert answer["rows"][0]["clientSlug"] == empty.sandbox.portals[0].client_slug
    assert answer["rows"][0]["outcome"] == "refused"
    assert "not a HubSpot token" in answer["rows"][0]["cause"]
    assert answer["rows"][1]["portalId"] == empty.sandbox.portals[1].portal_id


def test_quiet_says_the_answer_and_errors_only(empty: Fleet, mixed: Path) -> None:
    done = run_cli(["onboard", mixed, "--quiet", "--api", empty.url], cwd=empty.root)
    (why,) = done.stderr.splitlines()
    assert why.startswith("line 2: ")


def test_a_newer_token_is_offered_and_then_taken(full: Fleet) -> None:
    portal = full.sandbox.portals[0]
    content = client_list([row(portal, portalToken=full.sandbox.issue(portal.portal_id).token)])
    args = ["onboard", "-", "--api", full.url]
    offered = run_cli(args, stdin=content, cwd=full.root)
    assert offered.returncode == 0
    assert "1 candidate for --replace" in offered.stdout
    assert (
        "The stored one was kept. To use this one: run again with --replace, or " in offered.stderr
    )
    taken = run_cli([*args, "--replace"], stdin=content, cwd=full.root)
    assert taken.returncode == 0
    assert "1 replaced." in taken.stdout
    assert full.agency.connection(portal.client_slug).generation == 2


def test_delete_removes_a_list_whose_rows_are_all_connected_and_says_its_limits(
    empty: Fleet, good: Path
) -> None:
    done = run_cli(["onboard", good, "--delete", "--api", empty.url], cwd=empty.root)
    assert done.returncode == 0
    assert not good.exists()
    assert "cannot reach copies: mail, downloads, backups, the trash" in done.stderr


def test_delete_takes_the_copies_of_jupyterlab_and_editors_too(empty: Fleet, good: Path) -> None:
    checkpoint = good.parent / ".ipynb_checkpoints" / f"{good.stem}-checkpoint{good.suffix}"
    checkpoint.parent.mkdir()
    backup = good.with_name(f"{good.name}~")
    for copy in (checkpoint, backup):
        copy.write_bytes(good.read_bytes())
    told = run_cli(["onboard", good, "--api", empty.url], cwd=empty.root)
    assert f"So does {checkpoint}" in told.stderr
    done = run_cli(["onboard", good, "--delete", "--api", empty.url], cwd=empty.root)
    assert done.returncode == 0
    assert not any(one.exists() for one in (good, checkpoint, backup))
    assert f"So was {backup}" in done.stderr


def test_delete_keeps_a_list_with_a_row_that_is_not_connected(empty: Fleet, mixed: Path) -> None:
    done = run_cli(["onboard", mixed, "--delete", "--api", empty.url], cwd=empty.root)
    assert done.returncode == 1
    assert mixed.exists()
    assert "was kept: some of its rows are not connected" in done.stderr


def test_delete_refuses_a_link_before_anything_is_done(empty: Fleet, good: Path) -> None:
    link = good.with_name("link.csv")
    link.symlink_to(good)
    done = run_cli(["onboard", link, "--delete", "--api", empty.url], cwd=empty.root)
    assert done.returncode == 2
    assert link.is_symlink()
    assert good.exists()
    assert empty.agency.slugs() == []


def test_one_client_with_the_token_on_standard_input(empty: Fleet) -> None:
    portal = empty.sandbox.portals[0]
    who = ["--client", portal.client_slug, "--portal", str(portal.portal_id)]
    args = ["onboard", *who, "--type", "audit_only", "--api", empty.url]
    done = run_cli(args, stdin=f"  {portal.token}\r\n", cwd=empty.root)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"onboarded  {portal.client_slug}  portal {portal.portal_id} ({portal.name})"
    ]
    assert f"{portal.client_slug}: note: the token could change things" in done.stderr
    found = empty.agency.connection(portal.client_slug)
    assert found.connection_type is ConnectionType.AUDIT_ONLY


def test_one_client_with_a_wrong_token_is_refused(empty: Fleet) -> None:
    portal = empty.sandbox.portals[0]
    who = ["--client", portal.client_slug, "--portal", str(portal.portal_id)]
    args = ["onboard", *who, "--api", empty.url]
    other = run_cli(args, stdin=f"{empty.sandbox.spare.token}\n", cwd=empty.root)
    assert other.returncode == 1
    assert f"belongs to portal {empty.sandbox.spare.portal_id}" in other.stderr
    torn = run_cli(args, stdin=f"{portal.token[:-4]}\n", cwd=empty.root)
    assert torn.returncode == 2
    assert "Service keys" in torn.stderr
    assert portal.token[8:-4] not in torn.stderr
    assert empty.agency.slugs() == []


def test_a_prompt_that_is_left_with_control_d_or_c_stores_nothing(empty: Fleet) -> None:
    args = ["onboard", "--client", "acme-corp", "--portal", "1", "--workspace", empty.root]
    code, screen = on_terminal(args, typed={"paste it": "\x04"})
    assert (code, "No token was given. Nothing was done." in screen) == (2, True)
    code, screen = on_terminal(args, typed={"paste it": "\x03"})
    assert (code, "Interrupted." in screen) == (130, True)
    assert empty.agency.slugs() == []
