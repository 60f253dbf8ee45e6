"""A merge that is killed anywhere leaves what was there or what came, and is completed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsagency.audit.merging.staging import finish
from hsagency.audit.verifying import verify
from tests.audit.dying_merge import reopened
from tests.audit.killing import ROOT
from tests.audit.logs import Desk, call
from tests.audit.machines import bytes_of, here, lineage, machine, pack, take, trusted, work
from tests.audit.reading import records

KILLS = 24


@pytest.fixture
def forge() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.audit.dying_merge"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def die(forge: subprocess.Popen[str], ours: Desk, other: Desk, source: Path, line: int) -> int:
    """Merge in a process that is killed at a line; return how many lines it came through."""
    assert forge.stdin is not None
    assert forge.stdout is not None
    order = [str(ours.audit.parent), str(source), other.signer.key, ours.clock.at.isoformat(), line]
    forge.stdin.write(json.dumps(order) + "\n")
    forge.stdin.flush()
    said = json.loads(forge.stdout.readline())
    assert said["killed"] == (said["lines"] == 0)
    return int(said["lines"])


def copied(ours: Desk, root: Path) -> Desk:
    shutil.copytree(ours.audit.parent, root)
    return reopened(root, ours.clock.at.isoformat())


def states(ours: Desk, other: Desk) -> list[dict[str, bytes]]:
    """Return what the lineage may hold: before, after the first record, after the second."""
    whole = bytes_of(other.log().folder)
    names = [one["segments"] for one in records(ours.audit) if one["event"] == "audit.merged"]
    found: list[dict[str, bytes]] = [{}]
    for some in names:
        found.append({**found[-1], **{one["segment"]: b"" for one in some}})
        for one in some:
            found[-1][one["segment"]] = whole[one["segment"]][: one["bytes"]]
    return found


@pytest.mark.parametrize("again", [False, True], ids=["the first merge", "one that goes on"])
def test_a_kill_anywhere_leaves_the_old_state_or_the_new_one(
    forge: subprocess.Popen[str], tmp_path: Path, *, again: bool
) -> None:
    ours = here(tmp_path / "ours")
    other = machine(tmp_path / "other")
    with other.writer() as writer:
        call(writer, 1)
        writer.settle()
        if again:
            trusted(ours, other, other.log().folder)
        call(writer, 2)
    other.clock.next_day()
    work(other, [3], [4], [5])
    source = pack(other)
    whole = die(forge, copied(ours, tmp_path / "whole"), other, source, 10**9)
    after = states(reopened(tmp_path / "whole", ours.clock.at.isoformat()), other)
    assert after[-1] == bytes_of(other.log().folder)
    assert len(after) == (4 if again else 3)
    seen = set()
    for number in range(KILLS):
        victim = copied(ours, tmp_path / f"victim-{number}")
        die(forge, victim, other, source, 1 + number * (whole - 1) // (KILLS - 1))
        verdict = verify(victim.log())
        findings = [found for one in (verdict, *verdict.merged) for found in one.findings]
        assert findings == []
        finish(victim.log().folder, lock=victim.audit.parent / "merging.lock")
        assert bytes_of(lineage(victim, other)) in after
        assert len([*verify(victim.log()).merged]) == bool(bytes_of(lineage(victim, other)))
        seen.add(after.index(bytes_of(lineage(victim, other))))
        take(victim, source, keys=[other.signer.key])
        assert bytes_of(lineage(victim, other)) == after[-1]
        assert [one.integrity for one in verify(victim.log()).merged] == ["intact"]
        assert not (victim.log().folder / "merging").exists()
        shutil.rmtree(victim.audit.parent)
    assert seen == set(range(1 if again else 0, len(after)))
