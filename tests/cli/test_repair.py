"""`hsagency audit repair`, and that looking into a log never needs the part that is broken."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.cli.outsider import CLOSED, COMMANDS, workspace
from tests.commands import ROOT, run_cli
from tests.fleets import tree

OWN_MOUNTS = ("unshare", "--map-root-user", "--mount", "sh", "-c")
JOURNAL = "audit/acme-corp/journal/000-000001.jsonl"
REGISTER = "audit/acme-corp/heads.jsonl"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return workspace(tmp_path / "workspace")


@pytest.fixture(scope="module")
def closed() -> list[dict[str, Any]]:
    """Return what each command says while one part after the other is closed to this user."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)  # another user must reach it, and write to it
        return outsider("closed", Path(name))


def outsider(name: str, folder: Path, *before: str) -> list[dict[str, Any]]:
    command = [*before, sys.executable, "-m", "tests.cli.outsider", name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# --- repair ---


def test_what_was_left_open_is_closed_and_then_all_is_well(root: Path) -> None:
    done = run_cli(["audit", "repair"], cwd=root)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    key = "is signed with the key "  # of this store, and no longer that of the log's first days
    assert sum(key in line for line in said) == 2
    assert [line for line in said if key not in line] == [
        "acme-corp: mended",
        "  mended: Segment 000-000001, left open on 2026-10-01, was closed.",
        "beta-inc: mended",
        "  mended: Segment 000-000001, left open on 2026-10-01, was closed.",
    ]
    again = run_cli(["audit", "repair", "acme-corp"], cwd=root)
    assert (again.returncode, again.stdout) == (0, "acme-corp: nothing to mend\n")
    assert run_cli(["audit", "verify"], cwd=root).returncode == 0


def test_what_cannot_be_mended_has_4_a_cause_and_a_cure(root: Path) -> None:
    path = root / JOURNAL
    path.write_bytes(path.read_bytes().replace(b"tester", b"nobody", 1))
    done = run_cli(["audit", "repair"], cwd=root)
    assert done.returncode == 4
    assert "acme-corp: not as it was written, and that cannot be mended" in done.stdout
    assert "  broken: altered: journal/000-000001.jsonl, line 1, byte 0" in done.stdout
    assert "    why: Something other than hsagency wrote to it" in done.stdout
    assert f"    do: Restore {path} from a backup" in done.stdout
    assert "beta-inc: mended" in done.stdout


def test_the_report_as_json(root: Path) -> None:
    (root / JOURNAL).unlink()
    done = run_cli(["audit", "repair", "acme-corp", "--json"], cwd=root)
    assert done.returncode == 4
    said = json.loads(done.stdout)
    (client,) = said["clients"]
    assert (said["schema"], said["errors"]) == (1, [])
    assert (client["clientSlug"], client["state"]) == ("acme-corp", "broken")
    assert client["broken"][0]["what"].startswith("missing: journal/000-000001.jsonl")
    assert (client["failed"], client["inUse"]) == ([], [])


def test_a_register_of_garbage_is_named_with_its_whole_second_copy(root: Path) -> None:
    (root / REGISTER).write_bytes(b"\x00garbage\n\xff\n")
    for command, code in {"verify": 4, "tail": 0, "activity": 0, "repair": 4, "retain": 0}.items():
        done = run_cli(["audit", command], cwd=root)
        assert done.returncode == code, (command, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
    assert f"Its second copy, {root / 'state/heads/acme-corp.jsonl'}, is whole" in (
        run_cli(["audit", "repair"], cwd=root).stdout
    )
    assert run_cli(["status"], cwd=root).returncode == 0


def test_without_logs_there_is_nothing_to_mend(root: Path) -> None:
    for one in (root / "audit", root / "state" / "heads"):
        one.rename(root.with_name(f"gone-{one.name}"))
    done = run_cli(["audit", "repair"], cwd=root)
    assert (done.returncode, done.stdout) == (0, "")
    assert "There is no audit log yet." in done.stderr


def test_a_stranger_is_no_client(root: Path) -> None:
    before = tree(root)
    done = run_cli(["audit", "repair", "no-such-one"], cwd=root)
    assert done.returncode == 1
    assert "no-such-one" in done.stderr
    assert tree(root) == before


def test_with_a_store_that_does_not_answer_it_is_mended_and_said_to_be_unsigned(root: Path) -> None:
    (root / "credentials").rmdir()
    (root / "credentials").write_bytes(b"")
    done = run_cli(["audit", "repair"], cwd=root)
    assert done.returncode == 0, done.stdout
    assert "is not signed, since no key was to be had." in done.stdout
    verified = run_cli(["audit", "verify"], cwd=root)
    assert verified.returncode == 0
    assert "2 signed, 1 unsigned; records under a signed head: 3" in verified.stdout


# --- looking ---


def test_what_is_closed_to_this_user_is_named_and_hides_nothing_else(
    closed: list[dict[str, Any]],
) -> None:
    assert len(closed) == len(CLOSED) * len(COMMANDS)
    for one in closed:
        where = (one["closed"], one["command"], one["out"], one["err"])
        both = one["out"] + one["err"]
        assert "the system refused something" not in both, where
        assert "Traceback" not in both, where
        if one["command"] in ("verify", "tail", "repair"):
            assert "beta-inc" in one["out"], where  # whatever is wrong with the other
        if one["closed"] == "credentials":
            assert one["code"] == 0, where
        if one["closed"].startswith("audit/") and one["command"] in ("verify", "repair", "status"):
            assert one["closed"].removeprefix("audit/") in both, where
            assert one["code"] == (0 if one["command"] == "status" else 1), where


def test_a_second_copy_that_is_closed_is_noted_and_the_log_is_judged(
    closed: list[dict[str, Any]],
) -> None:
    (one,) = [one for one in closed if (one["closed"], one["command"]) == ("state/heads", "verify")]
    assert one["code"] == 0
    assert "acme-corp: intact" in one["out"]
    assert "second copy of the register cannot be read (Permission denied)" in one["out"]


def test_on_a_full_disk_everything_can_still_be_looked_at(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=1m none "{tmp_path}" && exec "$@"'
    said = {one["command"]: one for one in outsider("full", tmp_path, *OWN_MOUNTS, mount, "sh")}
    for command in ("verify", "tail", "activity", "status", "retain"):
        assert said[command]["code"] == 0, said[command]
    assert "acme-corp" in said["tail"]["out"]
    assert "not on record" in said["tail"]["err"]
    assert said["repair"]["code"] == 1
    assert "free some space" in said["repair"]["out"]
