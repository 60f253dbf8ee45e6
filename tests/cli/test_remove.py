"""`hsagency remove`: shown, confirmed by the slug or by the digest, done, certified."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hsagency.sandbox import Fault
from tests.commands import on_terminal, run_cli
from tests.fleets import Fleet, tree
from tests.support import authorised

SLUG = "acme-corp"
TYPE = f"Type {SLUG} to remove it"
ONCE_MORE = f"That is not {SLUG}. Type {SLUG}"
AGAIN = "Press Enter to ask again"


def args(fleet: Fleet, *more: str, slug: str = SLUG) -> list[str]:
    return ["remove", slug, *more, "--workspace", str(fleet.root)]


def digest(fleet: Fleet) -> str:
    done = run_cli(args(fleet, "--dry-run", "--json"))
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["plan"]["digest"])


def removed(fleet: Fleet) -> bool:
    return SLUG not in fleet.agency.slugs()


def revoke(fleet: Fleet) -> None:
    fleet.sandbox.rotate(fleet.agency.connection(SLUG).portal_id)


def test_a_dry_run_shows_the_plan_and_how_to_apply_it(full: Fleet) -> None:
    full.agency.writer.settle()
    before = tree(full.root)
    done = run_cli(args(full, "--dry-run"))
    assert done.returncode == 0
    assert f"Removing Acme Corp ({SLUG}, portal " in done.stdout
    for part in ("Deleted for good:", "Kept:", "In HubSpot:", "There is no undo"):
        assert part in done.stdout
    assert re.search(rf"remove {SLUG} --digest [0-9a-f]{{16}}$", done.stdout.strip())
    assert tree(full.root) == before


def test_with_the_digest_it_is_removed_without_a_word(full: Fleet) -> None:
    revoke(full)
    done = run_cli(args(full, "--digest", digest(full)))
    assert done.returncode == 0, done.stderr
    assert f"removed  Acme Corp ({SLUG}" in done.stdout
    assert "Dead: the sandbox refuses the token (401 at " in done.stdout
    path = re.search(r"certificate: (\S+)", done.stdout)
    assert path is not None
    assert (full.root / path[1]).is_file()
    assert removed(full)


def test_what_is_not_proven_dead_is_exit_code_four(full: Fleet) -> None:
    done = run_cli(args(full, "--digest", digest(full)))
    assert done.returncode == 4
    assert "Alive at removal, not proven dead" in done.stdout
    assert "That its credential is dead is not proven" in done.stderr
    assert removed(full)


def test_the_answer_as_json_is_the_certificate(full: Fleet) -> None:
    revoke(full)
    done = run_cli(args(full, "--digest", digest(full), "--json"))
    said = json.loads(done.stdout)
    assert (said["schema"], said["removed"], said["clientSlug"]) == (1, True, SLUG)
    assert said["credential"]["provenDead"] is True
    assert Path(said["certificate"]).is_file()


def test_another_digest_removes_nothing(full: Fleet) -> None:
    done = run_cli(args(full, "--digest", "0" * 16))
    assert done.returncode == 1
    assert "Nothing was done" in done.stderr
    assert not removed(full)


def test_another_digest_finishes_nothing_either(full: Fleet) -> None:
    shown = digest(full)
    full.sandbox.faults.add(Fault("status", status=500, route="/account-info/details"))
    done = run_cli(args(full, "--digest", shown))
    assert done.returncode == 1
    assert "its removal is not finished" in done.stderr
    full.sandbox.faults.clear()
    wrong = run_cli(args(full, "--digest", "0" * 16))
    assert wrong.returncode == 1
    assert "Nothing was done" in wrong.stderr
    assert full.agency.index.read().tombstones[SLUG].pending is not None  # type: ignore[index]
    right = run_cli(args(full, "--digest", shown))
    assert right.returncode == 4, right.stderr
    assert full.agency.index.read().tombstones[SLUG].pending is None  # type: ignore[index]


def test_without_an_answer_who_says_leave_goes_on(full: Fleet) -> None:
    full.sandbox.faults.add(Fault("status", status=500, route="/account-info/details"))
    done = run_cli(args(full, "--digest", digest(full), "--leave"))
    assert done.returncode == 4, done.stderr
    assert "Asked, and not proven" in done.stdout
    assert full.agency.index.read().tombstones[SLUG].pending is None  # type: ignore[index]


def test_a_person_is_asked_what_to_do_without_an_answer(full: Fleet) -> None:
    full.sandbox.faults.add(Fault("status", status=500, route="/account-info/details"))
    code, screen = on_terminal(args(full), typed={TYPE: f"{SLUG}\n", AGAIN: "leave\n"})
    assert code == 4, screen
    assert "500" in screen


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_nobody_to_ask_and_no_digest_is_wrong_usage(full: Fleet, more: tuple[str, ...]) -> None:
    done = run_cli(args(full, *more), stdin=f"{SLUG}\n")
    assert done.returncode == 2
    assert "Nothing was" in done.stderr
    assert "digest" in done.stderr
    assert not removed(full)


def test_a_person_types_the_slug(full: Fleet) -> None:
    revoke(full)
    code, screen = on_terminal(args(full), typed={TYPE: f"{SLUG}\n"})
    assert code == 0, screen
    assert "certificate:" in screen
    assert removed(full)


@pytest.mark.parametrize("typed", ["acme\n", "\n", "y\n", "beta-inc\n"])
def test_a_slug_that_is_mistyped_removes_nothing(full: Fleet, typed: str) -> None:
    code, screen = on_terminal(args(full), typed={TYPE: typed, ONCE_MORE: typed})
    assert code == 2
    assert f"That is not {SLUG}. Nothing was removed." in screen
    assert not removed(full)


def test_a_slip_is_asked_about_once_more_without_the_plan(full: Fleet) -> None:
    revoke(full)
    code, screen = on_terminal(args(full), typed={TYPE: "acme-crop\n", ONCE_MORE: f"{SLUG}\n"})
    assert code == 0, screen
    assert screen.count("Deleted for good:") == 1
    assert removed(full)


def test_a_person_may_leave_a_credential_that_still_works(full: Fleet) -> None:
    code, screen = on_terminal(args(full), typed={TYPE: f"{SLUG}\n", AGAIN: "leave\n"})
    assert code == 4, screen
    assert screen.count(AGAIN) == 1
    assert "delete it where it was made: Development > Keys" in " ".join(screen.split())
    assert removed(full)


def test_a_person_may_have_it_asked_again(full: Fleet) -> None:
    # It is ended in HubSpot after the first answer.
    ended = Fault("status", status=401, route="/account-info/details", after=1)
    full.sandbox.faults.add(ended)
    code, screen = on_terminal(args(full), typed={TYPE: f"{SLUG}\n", AGAIN: "\n"})
    assert code == 0, screen
    assert "Dead: the sandbox refuses the token" in " ".join(screen.split())


def test_an_interrupted_removal_is_finished_by_the_same_command(full: Fleet) -> None:
    code, screen = on_terminal(args(full), typed={TYPE: f"{SLUG}\n", AGAIN: "\x03"})
    assert code == 130
    assert f"To finish it: hsagency remove {SLUG}" in screen
    assert removed(full)
    shown = run_cli(args(full, "--dry-run"))
    assert "was begun on" in shown.stdout
    assert f"To finish it: hsagency remove {SLUG}" in shown.stdout
    done = run_cli(args(full))
    assert done.returncode == 4, done.stderr
    assert full.agency.index.read().tombstones[SLUG].pending is None  # type: ignore[index]


def test_a_client_that_is_removed_is_not_removed_again(full: Fleet) -> None:
    run_cli(args(full, "--digest", digest(full)))
    done = run_cli(args(full, "--dry-run"))
    assert done.returncode == 1
    assert "was removed on" in done.stderr
    assert "certificate.html" in done.stderr


def test_an_app_is_uninstalled_only_over_oauth(full: Fleet) -> None:
    done = run_cli(args(full, "--uninstall", "--dry-run"))
    assert done.returncode == 2
    assert "over OAuth alone" in done.stderr


def test_an_oauth_connection_is_revoked_and_uninstalled(tmp_path: Path) -> None:
    with authorised(tmp_path / "agency", portals=1, contacts=1) as one:
        root = one.agency.workspace.root
        plan = run_cli(["remove", SLUG, "--uninstall", "--dry-run", "--json", "--workspace", root])
        shown = run_cli(["remove", SLUG, "--uninstall", "--dry-run", "--workspace", root])
        command = f"remove {SLUG} --uninstall --digest {json.loads(plan.stdout)['plan']['digest']}"
        assert shown.stdout.strip().endswith(command)
        without = run_cli(["remove", SLUG, *command.split()[3:], "--workspace", root])
        assert without.returncode == 1, "the digest is that of uninstalling"
        done = run_cli(
            [
                *("remove", SLUG, "--uninstall", "--workspace", root),
                *("--digest", json.loads(plan.stdout)["plan"]["digest"]),
            ]
        )
        assert done.returncode == 0, done.stderr
        assert "The app was uninstalled (204 at " in done.stdout


def test_there_is_no_way_to_say_yes_to_everything(full: Fleet) -> None:
    done = run_cli(args(full, "--yes"))
    assert done.returncode == 2
    assert not removed(full)
