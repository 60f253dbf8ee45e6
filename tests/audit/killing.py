"""Kill processes in the middle of their calls, then compare what is known on both sides."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsagency.audit import lake
from hsagency.audit.journal.writer import LIMIT
from hsagency.sandbox import Sandbox, serve
from tests.audit.reading import CONTACTS, broken_chains, journals, records

ROOT = Path(__file__).parents[2]


@contextmanager
def child(name: str, order: dict[str, Any], *before: str) -> Iterator[subprocess.Popen[str]]:
    """Run one of the functions in `tests.audit.child`."""
    command = [*before, sys.executable, "-m", "tests.audit.child", name]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        tell(process, json.dumps(order))
        try:
            yield process
        finally:
            process.kill()


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    said = process.stdout.readline()
    assert said, f"the process ended with {process.wait()}"
    heard: dict[str, Any] = json.loads(said)
    return heard


def hear_all(name: str, order: dict[str, Any], *before: str) -> list[dict[str, Any]]:
    """Run one function to its end and return what it said."""
    with child(name, order, *before) as process:
        said, _ = process.communicate()
        assert process.returncode == 0, said
    return [json.loads(line) for line in said.splitlines()]


@dataclass(frozen=True)
class Aftermath:
    """What is known after many processes were killed."""

    answered: dict[int, int]  # calls whose answer was handed out, with its status
    seen: list[int]  # calls that reached the sandbox
    intents: list[int]  # calls that are on disk
    outcomes: dict[int, str]  # as the reader tells them
    broken: list[tuple[str, int]]
    damage: tuple[lake.Damage, ...]
    files: int


def kill_many(
    folder: Path, *, kills: int, longest: float = 0.03, seed: int = 0, limit: int = LIMIT
) -> Aftermath:
    """Start a process, let it call for a moment, kill it; as often as asked; then look."""
    audit, answered = folder / "audit", folder / "answered"
    answered.touch()
    copy = folder / "copy"
    copy.mkdir()
    sandbox, chance = Sandbox(portals=1), random.Random(seed)
    portal = sandbox.portals[0]
    with serve(sandbox) as server:
        order = {
            "audit": str(audit),
            "answered": str(answered),
            "limit": limit,
            "copy": str(copy),
            "url": server.url,
            "token": portal.token,
            "portal": portal.portal_id,
        }
        with child("forge", order) as forge:
            for turn in range(kills):
                tell(forge, str(1_000_000 * (turn + 1)))
                size, victim = answered.stat().st_size, hear(forge)["child"]
                while turn % 2 and answered.stat().st_size == size:
                    time.sleep(0.001)  # every other one has been answered before it dies
                time.sleep(chance.uniform(0, longest))
                os.kill(victim, signal.SIGKILL)
                assert hear(forge) == {"ended": victim}
    return look(audit, answered, sandbox, portal.portal_id)


def look(audit: Path, answered: Path, sandbox: Sandbox, portal: int) -> Aftermath:
    reading = lake.read(audit, ["acme-corp"])
    calls = reading.calls.collect()
    starts = [one for one in records(audit) if one["event"] == "call.started"]
    return Aftermath(
        answered={
            int(number): int(status)
            for number, status in (line.split() for line in answered.read_text().splitlines())
        },
        seen=[int(one.path.removeprefix(f"{CONTACTS}/")) for one in sandbox.ledger(portal)],
        intents=[int(one["objectId"]) for one in starts],
        outcomes={int(one): said for one, said in calls.select("object_id", "outcome").iter_rows()},
        broken=broken_chains(audit),
        damage=reading.damage,
        files=len(journals(audit)),
    )
