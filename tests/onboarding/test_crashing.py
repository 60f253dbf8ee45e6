"""Killed or raced at any point, onboarding leaves the old state or the new one."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from subprocess import CompletedProcess, Popen

import pytest

from hsagency import removal
from hsagency.agency import Agency
from hsagency.errors import CredentialMissing
from hsagency.sandbox import Fault
from tests.commands import run_cli, running_cli
from tests.fleets import Fleet, client_list, connected, fleet, row, stored_secret

PORTALS = 24
SEED = 2026


def secrets_in(root: Path, ending: str) -> int:
    return len(list((root / "credentials").rglob(f"*{ending}")))


def killed(process: Popen[bytes], reached: Callable[[], bool], *, pause: float) -> None:
    """Kill a process for good, a moment after something has been reached."""
    until = time.monotonic() + 30
    while not reached() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.0005)
    time.sleep(pause)
    process.send_signal(signal.SIGKILL)
    process.wait(30)


def whole(agency: Agency, *, generation: int) -> None:
    """Everybody is connected with a secret that can be read and is the proven one."""
    assert len(agency.slugs()) == PORTALS
    for connection in agency.connections().values():
        assert connection.generation == generation
        assert stored_secret(agency, connection).fingerprint == connection.fingerprint


@pytest.mark.parametrize("trial", range(4))
def test_a_kill_while_secrets_are_stored_is_completed_by_the_next_run(
    tmp_path: Path, trial: int
) -> None:
    rng = Random(SEED + trial)
    with fleet(tmp_path / "workspace", portals=PORTALS) as one:
        content = client_list(one.sandbox)
        stored, pause = rng.randrange(PORTALS), rng.random() * 0.004
        args = ["onboard", "-", "--api", one.url, "--workspace", one.root]
        with running_cli(args, stdin=content) as process:
            killed(process, lambda: secrets_in(one.root, "main-1.age") >= stored, pause=pause)
        assert len(Agency.open(one.root).slugs()) in (0, PORTALS)  # never half an index
        assert one.onboard(content).complete
        whole(one.agency, generation=1)
        assert {one.agency.activity(slug)["event"][0] for slug in one.agency.slugs()} == {
            "connection.added"
        }


@pytest.mark.parametrize("trial", range(3))
def test_a_kill_while_tokens_are_replaced_leaves_the_old_ones_or_the_new_ones(
    tmp_path: Path, trial: int
) -> None:
    rng = Random(SEED * 2 + trial)
    with connected(tmp_path / "workspace", portals=PORTALS) as one:
        for portal in one.sandbox.portals:
            one.sandbox.rotate(portal.portal_id, expire_in=3600)
        content = client_list(one.sandbox)
        args = ["onboard", "-", "--replace", "--api", one.url, "--workspace", one.root]
        # In the last trial the index is written and the old secrets are just being dropped.
        reached = rng.randrange(PORTALS)
        with running_cli(args, stdin=content) as process:
            killed(
                process,
                lambda: (
                    secrets_in(one.root, "main-1.age") < PORTALS
                    if trial == 2
                    else secrets_in(one.root, "main-2.age") >= reached
                ),
                pause=rng.random() * 0.004,
            )
        found = Agency.open(one.root).connections().values()
        assert len({connection.generation for connection in found}) == 1
        for connection in found:
            assert stored_secret(one.agency, connection).fingerprint == connection.fingerprint
        assert one.onboard(content, replace_tokens=True).complete
        whole(one.agency, generation=2)
        for connection in one.agency.connections().values():
            with pytest.raises(CredentialMissing):
                stored_secret(one.agency, connection, generation=1)


@pytest.mark.parametrize("pause", [0.0, 0.002, 0.004])
def test_a_kill_while_a_client_comes_back_leaves_the_tombstone_or_the_connection(
    tmp_path: Path, pause: float
) -> None:
    with connected(tmp_path / "workspace", portals=2) as one:
        portal = one.sandbox.portals[0]
        plan = removal.plan(one.agency, portal.client_slug)
        removal.apply(one.agency, plan, digest=plan.digest)
        args = ["onboard", "-", "--api", one.url, "--workspace", one.root]
        with running_cli(args, stdin=client_list([row(portal)])) as process:
            killed(process, lambda: secrets_in(one.root, "main-2.age") > 0, pause=pause)
        now = one.agency.index.read()
        assert (portal.client_slug in now.connections) is not (portal.client_slug in now.tombstones)
        newer = row(portal, portalToken=one.sandbox.issue(portal.portal_id).token)
        assert one.onboard(client_list([newer]), replace_tokens=True).complete
        back = one.agency.connection(portal.client_slug)
        assert back.generation in (2, 3)  # 3 if the killed one had come so far
        assert stored_secret(one.agency, back).fingerprint == back.fingerprint


def test_a_kill_while_hubspot_is_asked_leaves_nothing_but_records(tmp_path: Path) -> None:
    with fleet(tmp_path / "workspace", portals=PORTALS) as one:
        one.sandbox.faults.add(Fault("latency", seconds=0.3))
        content = client_list(one.sandbox)
        args = ["onboard", "-", "--api", one.url, "--workspace", one.root]

        def asked() -> bool:
            return bool(one.sandbox.ledger(one.sandbox.portals[0].portal_id))

        with running_cli(args, stdin=content) as process:
            killed(process, asked, pause=0)
        assert one.agency.slugs() == []
        # What the log is signed with is kept, and nothing of a client's.
        kept = (one.root / "credentials").rglob("*.age")
        assert {path.parent.name for path in kept} <= {"_agency"}
        started = one.agency.calls("_agency").collect()
        assert "unknown" in started["outcome"].to_list()


def both(one: Fleet, lists: list[bytes]) -> list[CompletedProcess[str]]:
    """Onboard several lists at the same time, each in a process of its own."""
    args = ["onboard", "-", "--api", one.url, "--workspace", one.root]
    with ThreadPoolExecutor(len(lists)) as pool:
        return list(pool.map(lambda content: run_cli(args, stdin=content), lists))


def test_of_two_at_once_one_wins_and_the_other_is_told(tmp_path: Path) -> None:
    with fleet(tmp_path / "workspace", portals=PORTALS) as one:
        one.sandbox.faults.add(Fault("latency", seconds=0.1))  # so that they overlap
        others = [
            row(portal, portalToken=one.sandbox.issue(portal.portal_id).token)
            for portal in one.sandbox.portals
        ]
        ran = both(one, [client_list(one.sandbox), client_list(others)])
        whole(one.agency, generation=1)
        assert sorted(done.returncode for done in ran) in ([0, 0], [0, 1])
        for done in ran:
            if done.returncode:
                assert "changed since the plan was made; nothing was stored" in done.stderr
                assert "Run the command again" in done.stderr
            else:
                assert f"{PORTALS} onboarded" in done.stdout or "candidate" in done.stdout
