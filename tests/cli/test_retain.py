"""`hsagency audit retain`: what is shown, what is removed, and what a digest is for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hsagency.settings import Workspace
from tests.audit.logs import SLUG, Desk, call
from tests.commands import run_cli
from tests.fleets import tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with two logs of October 2026, kept for a month; the key is in the store."""
    made = Workspace.create(tmp_path / "workspace", store="age:credentials")
    settings = made.root / "hsagency.toml"
    settings.write_text(settings.read_text() + "\n[retention]\nmonths = 1\n")
    (made.root / "audit").rmdir()
    desk = Desk(tmp_path / "old")
    for slug in (SLUG, "beta-inc"):
        with desk.writer() as writer:
            for number in range(3):
                call(writer, number, slug)
                desk.clock.next_day()
    desk.audit.rename(made.root / "audit")
    (made.root / "state" / "heads").mkdir()
    for copy in desk.copies.iterdir():
        copy.rename(made.root / "state" / "heads" / copy.name)
    return made.root


def retain(root: Path, *args: str) -> tuple[int, dict[str, object], str]:
    done = run_cli(["audit", "retain", *args, "--json"], cwd=root)
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def old(root: Path) -> list[str]:
    """Return the segments of October that are still there."""
    files = [*root.glob("audit/*/journal/*.jsonl"), *root.glob("audit/*/evidence/*.zst")]
    return sorted(one.parent.parent.name for one in files)


def test_the_plan_is_shown_in_words_and_nothing_is_removed(root: Path) -> None:
    before = tree(root)
    done = run_cli(["audit", "retain"], cwd=root)
    assert done.returncode == 0, done.stderr
    assert "acme-corp (kept for 1 month; last written before " in done.stdout
    assert "2 segments with 2 calls of 2026-10-01 to 2026-10-02" in done.stdout
    assert "stays: 000-000003 is not closed; hsagency audit repair" in done.stdout
    assert "Nothing was removed yet. To remove this for good: hsagency audit retain --apply " in (
        done.stdout
    )
    assert tree(root) == before


def test_what_was_shown_is_removed_and_verify_says_so(root: Path) -> None:
    assert run_cli(["audit", "repair"], cwd=root).returncode == 0  # which closes what is open
    code, shown, _ = retain(root)
    assert code == 0
    digest = str(shown["digest"])
    code, done, said = retain(root, "--apply", digest)
    assert code == 0, said
    assert [one["removed"] for one in done["clients"] if one["segments"]] == [True, True]
    verified = run_cli(["audit", "verify"], cwd=root)
    assert verified.returncode == 0, verified.stdout
    assert "removed under retention on 20" in verified.stdout
    assert ": 3 segments, from 2026-10-01 to 20" in verified.stdout
    again = run_cli(["audit", "retain", "--apply", digest], cwd=root)
    assert (again.returncode, again.stdout) == (1, "")
    assert "There is nothing to be removed, or not any more." in again.stderr


def test_what_is_removed_is_gone_from_every_answer(root: Path) -> None:
    for command in ("repair", "seal"):
        assert run_cli(["audit", command], cwd=root).returncode == 0
    parts = "audit/lake/client_slug=acme-corp/month=2026-10/*.parquet"
    assert [*root.glob(parts)]
    assert "/crm/v3/objects/contacts" in run_cli(["audit", "tail", SLUG], cwd=root).stdout
    _, shown, _ = retain(root, SLUG)
    assert retain(root, SLUG, "--apply", str(shown["digest"]))[0] == 0
    tail = run_cli(["audit", "tail", SLUG], cwd=root)
    assert (tail.returncode, "No calls are recorded." in tail.stderr) == (0, True)
    assert not [*root.glob(parts)]
    assert [one for one in old(root) if one == SLUG] == [SLUG] * len(
        [*root.glob("audit/acme-corp/*/000-00000[4-9]*")]
    )
    assert run_cli(["audit", "rebuild", "--compare"], cwd=root).returncode == 0
    assert "contacts" in run_cli(["audit", "tail", "beta-inc"], cwd=root).stdout


def test_one_client_is_removed_and_the_other_stays(root: Path) -> None:
    _, shown, _ = retain(root, SLUG)
    run = run_cli(["audit", "retain", SLUG, "--apply", str(shown["digest"])], cwd=root)
    assert (run.returncode, run.stdout) == (
        0,
        "acme-corp: removed 2 segments with 2 calls of 2026-10-01 to 2026-10-02\n",
    )
    assert old(root).count("beta-inc") == 3


def test_another_digest_removes_nothing_and_shows_the_plan(root: Path) -> None:
    before = tree(root)
    done = run_cli(["audit", "retain", "--apply", "0123456789abcdef"], cwd=root)
    assert done.returncode == 1
    assert "is not what was shown with that digest. Nothing was removed." in done.stderr
    assert "000-000001" in done.stdout
    assert tree(root) == before


def test_after_a_repair_what_was_left_open_is_old_enough_too(root: Path) -> None:
    assert run_cli(["audit", "repair"], cwd=root).returncode == 0
    _, shown, _ = retain(root, SLUG)
    (client,) = shown["clients"]  # type: ignore[misc]
    assert [one["segment"] for one in client["segments"]] == [
        "000-000001",
        "000-000002",
        "000-000003",
    ]


def test_where_nothing_is_due_there_is_no_digest(root: Path) -> None:
    settings = root / "hsagency.toml"
    settings.write_text(settings.read_text().replace("months = 1", "months = 999"))
    code, said, _ = retain(root)
    assert (code, said["digest"]) == (0, None)
    assert run_cli(["audit", "retain", "--apply", "None"], cwd=root).returncode == 1


def test_without_retention_the_log_is_kept_for_ever(root: Path) -> None:
    settings = root / "hsagency.toml"
    settings.write_text(settings.read_text().replace("months = 1", 'months = "forever"'))
    done = run_cli(["audit", "retain"], cwd=root)
    assert (done.returncode, done.stdout) == (0, "")
    assert "kept for ever: hsagency.toml has no [retention] for it" in done.stderr


def test_one_client_may_have_a_period_of_its_own_and_a_slip_is_named(root: Path) -> None:
    settings = root / "hsagency.toml"
    more = '[retention.clients]\nacme-corp = "forever"\nacme-crop = 3\n'
    settings.write_text(settings.read_text() + more)
    _, shown, said = retain(root)
    due = {one["clientSlug"]: len(one["segments"]) for one in shown["clients"]}  # type: ignore[attr-defined]
    assert (due[SLUG], due["beta-inc"]) == (0, 2)
    assert "[retention.clients] names acme-crop, of whom there is no log." in said


@pytest.mark.parametrize("months", ["0", "1.5", '"for ever"', "true", "1201", "-1"])
def test_a_period_that_is_none_is_refused(root: Path, months: str) -> None:
    settings = root / "hsagency.toml"
    settings.write_text(settings.read_text().replace("months = 1", f"months = {months}"))
    done = run_cli(["audit", "retain"], cwd=root)
    assert done.returncode == 1
    assert 'write a number of months from 1 to 1200, or "forever"' in done.stderr


def test_with_a_store_that_gives_no_key_nothing_is_removed(root: Path) -> None:
    (root / "credentials").write_bytes(b"no folder of secrets")
    _, shown, _ = retain(root, SLUG)
    code, _, said = retain(root, SLUG, "--apply", str(shown["digest"]))
    assert code == 1
    assert "no key to sign with" in said
    assert "Nothing was removed" in said
    assert old(root).count(SLUG) >= 3


def test_where_there_is_no_log_that_is_said(tmp_path: Path) -> None:
    made = Workspace.create(tmp_path / "workspace", store="age:credentials")
    done = run_cli(["audit", "retain"], cwd=made.root)
    assert (done.returncode, done.stdout) == (0, "")
    assert "There is no audit log yet" in done.stderr
    assert (
        run_cli(["audit", "retain", "--apply", "0123456789abcdef"], cwd=made.root).returncode == 1
    )
