"""Killed before any line of a renewal, what is left works, or says that it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hsagency.agency import Agency
from hsagency.errors import AuthorisationEnded
from tests.auth.renewals import CONTACTS
from tests.support import Authorised

ROOT = Path(__file__).resolve().parents[2]
TRIALS = 14


class Runner:
    """Runs renewals in forks of a process that nothing else traces."""

    def __init__(self, one: Authorised, slug: str, process: subprocess.Popen[str]) -> None:
        self.one, self.slug, self.process = one, slug, process

    def renew(self, line: int) -> dict[str, Any]:
        self.one.end(self.slug)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        root = str(self.one.agency.workspace.root)
        order = {"root": root, "slug": self.slug, "line": line}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        said: dict[str, Any] = json.loads(self.process.stdout.readline())
        return said

    def lines(self) -> range:
        """Return the lines to die before, spread over all that a renewal runs."""
        whole = self.renew(-1)
        assert whole["status"] == 200
        return range(1, whole["lines"], max(1, whole["lines"] // TRIALS))

    def works(self) -> bool:
        """Say whether the portal can be called by a process that knows nothing of the past."""
        with Agency.open(self.one.agency.workspace.root) as agency:
            try:
                return agency.client(self.slug).get(CONTACTS).status_code == 200
            except AuthorisationEnded:
                return False


@pytest.fixture
def runner(one: Authorised, slug: str) -> Iterator[Runner]:
    command, pipe = [sys.executable, "-m", "tests.auth.dying"], subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        yield Runner(one, slug, process)
        process.stdin.close()  # type: ignore[union-attr]


def test_killed_at_any_line_the_portal_can_be_called_afterwards(runner: Runner) -> None:
    killed = 0
    for line in runner.lines():
        killed += runner.renew(line).get("killed", False)  # some run a few lines less
        assert runner.works(), line
    assert killed > TRIALS / 2


def test_where_a_renewal_ends_the_old_refresh_token_a_lost_one_is_told(runner: Runner) -> None:
    """It is lost between HubSpot's answer and the store alone, and the portal is stopped for it."""
    one, slug = runner.one, runner.slug
    one.sandbox.desk.rotates = True
    lost = 0
    for line in runner.lines():
        runner.renew(line)
        if runner.works():
            assert one.agency.connection(slug).stopped is None
            continue
        lost += 1
        assert one.agency.connection(slug).stopped is not None
        row = one.row(slug, one.sandbox.portals[0].portal_id)
        assert one.connect([row], replace_tokens=True).complete
        assert runner.works()
    assert lost < TRIALS / 2
