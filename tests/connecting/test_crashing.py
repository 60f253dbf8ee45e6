"""Killed between any two steps, connecting leaves the old state or the new one, never neither."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hsagency.auth import key_of
from tests.commands import ROOT, environment
from tests.connecting.offices import Office, Person, office
from tests.fleets import stored_secret

# A step is whatever others can see: a file that takes its place or goes, a call to HubSpot. The
# process ends itself at once, by a signal that nothing can catch, just before the step it is told.
CHILD = """
import os, signal, sys
from hsagency import connecting
from hsagency.agency import Agency

root, api, again, slug, last = sys.argv[1:]
agency = Agency.open(root)
attempt = connecting.start(agency, api=api, client=slug, again=again == "again", listen=False)
print(attempt.url, flush=True)
attempt.take(sys.stdin.readline())
steps = 0

def count(event, details):
    global steps
    if event in ("os.rename", "os.remove", "socket.connect"):
        steps += 1
        if steps == int(last):
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
connecting.finish(attempt)
print(steps, flush=True)
"""


def run(desk: Office, number: int, *, again: bool, last: int) -> str:
    """Connect in a process of its own that is gone before its step number `last`."""
    how = "again" if again else "anew"
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(desk.root), desk.url, how, slug(number), str(last)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(),
    ) as child:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        said, _ = child.communicate(Person(desk.portal(number)).decide(url) + "\n", timeout=60)
    return said.strip()


def slug(number: int) -> str:
    return f"client-{number}"


def connect(desk: Office, number: int, *, again: bool) -> None:
    with desk.start(client=slug(number), again=again, listen=False) as attempt:
        attempt.take(Person(desk.portal(number)).decide(attempt.url))
        attempt.store(attempt.found())


def generation(desk: Office, number: int) -> int:
    """Return the generation that is connected, with a secret that works; 0 for no connection."""
    one = desk.agency.connections().get(slug(number))  # type: ignore[call-overload]
    if one is None:
        return 0
    assert key_of(stored_secret(desk.agency, one)).fingerprint == one.fingerprint
    assert desk.works(slug(number))
    return int(one.generation)


@pytest.mark.parametrize("again", [False, True], ids=["connect", "reconnect"])
def test_a_kill_between_any_two_steps_leaves_the_old_state_or_the_new(
    tmp_path: Path, again
) -> None:
    with office(tmp_path / "workspace", portals=40, partner=True) as desk:

        def trial(last: int) -> int:
            if again:
                connect(desk, last, again=False)
            ended = run(desk, last, again=again, last=last)
            found = generation(desk, last)
            # What only the first one in a workspace does is a step less for the others.
            assert ended == "" or (int(ended) == last - 1 and found == 1 + again)
            connect(desk, last, again=found > 0)  # whatever it left behind
            assert generation(desk, last) == found + 1
            return found

        if again:
            connect(desk, 0, again=False)
        steps = int(run(desk, 0, again=again, last=0))
        assert generation(desk, 0) == 1 + again
        assert 8 <= steps < 40
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(trial, range(1, steps + 1)))
    assert found == sorted(found)  # the old state up to some step, and the new one from then on
    assert set(found) == {0 + again, 1 + again}
