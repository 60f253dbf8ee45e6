"""Killed between any two steps, a removal is not begun or is finished by the next run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from hsagency import onboarding, removal
from hsagency.agency import Agency
from hsagency.credentials import SecretName
from hsagency.errors import Conflict, CredentialMissing, UnknownClient
from hsagency.portals import ClientSlug
from tests.fleets import stored_secret
from tests.support import Connected, authorised, client_list, connected

ROOT = Path(__file__).parents[2]
PORTALS = 32
Made = Callable[..., AbstractContextManager[Connected]]


def dying(root: Path, asked: Sequence[tuple[str, int]]) -> list[int]:
    """Remove clients one after the other, each killed before its step; -1 for who was killed."""
    words = [str(part) for one in asked for part in one]
    command = [sys.executable, "-m", "tests.removal.dying", str(root), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


def either(agency: Agency, slug: str) -> None:
    """A client is connected with a secret that can be used, or its removal is begun."""
    known = agency.index.read()
    connection, stone = known.connections.get(slug), known.tombstones.get(slug)  # type: ignore[call-overload]
    assert (connection is None) != (stone is None)
    if connection is not None:
        assert stored_secret(agency, connection)
        assert agency.client(slug).get("/crm/v3/objects/contacts").status_code == 200
    else:
        with pytest.raises(UnknownClient):
            agency.client(slug)


def ended(agency: Agency, slug: str) -> None:
    """What was begun is finished by the same command, once and for all."""
    try:
        plan = removal.plan(agency, slug)
    except UnknownClient:  # it had been, but for letting go
        pass
    else:
        removal.apply(agency, plan, digest=plan.digest)
    stone = agency.index.read().tombstones[slug]  # type: ignore[index]
    assert stone.pending is None
    assert stone.proof
    workspace = agency.workspace.settings.workspace
    for generation in (1, 2):
        with pytest.raises(CredentialMissing):
            agency.store.get(SecretName(workspace, slug, generation))
    events = agency.activity(slug)["event"].to_list()
    assert events.count("connection.removed") == 1
    assert agency.audit.verify(slug).integrity == "intact"
    with pytest.raises(UnknownClient, match="was removed on") as caught:
        removal.plan(agency, slug)
    assert Path(caught.value.hint.removeprefix("Its certificate: ")).is_file()


@pytest.mark.parametrize("made", [connected, authorised], ids=["static", "oauth"])
def test_a_kill_between_any_two_steps_is_finished_by_the_next_run(
    tmp_path: Path, made: Made
) -> None:
    with made(tmp_path / "agency", portals=PORTALS, contacts=1) as one:
        agency, (zeroth, first, *others) = one.agency, one.slugs
        agency.writer.tell = lambda _: None  # that a lake is made anew, after a kill
        # What only the first one in a workspace does is no step of the others.
        _, steps = dying(agency.workspace.root, [(zeroth, 0), (first, 0)])
        assert 8 <= steps <= len(others)
        tried = list(zip(others, range(1, steps + 1), strict=False))
        died = dying(agency.workspace.root, tried)
        assert died.count(-1) >= steps - 1
        begun = set(agency.index.read().tombstones) - {zeroth, first}
        assert 0 < len(begun) < len(tried)  # some died before, and some after
        for slug, _ in tried:
            either(agency, slug)
            ended(agency, slug)
            asked = [call.method for call in one.sandbox.ledger(slug)]
            stone = agency.index.read().tombstones[ClientSlug(slug)]
            # The wish is not said again: whoever was begun with it is uninstalled, once.
            assert stone.uninstalled is (made is authorised and slug in begun)
            assert asked.count("DELETE") == int(stone.uninstalled)


def test_nobody_is_connected_while_a_removal_is_not_finished(tmp_path: Path) -> None:
    with connected(tmp_path / "agency", portals=1, contacts=1) as one:
        agency, slug = one.agency, one.slugs[0]
        rows = client_list(one.sandbox)

        def meanwhile(found: removal.Severed) -> bool:
            plan = onboarding.plan_file(agency, rows, api=one.server.url)
            if not plan.refused:
                with pytest.raises(Conflict):
                    onboarding.apply(agency, plan, digest=plan.digest)
            assert agency.slugs() == []
            return False

        plan = removal.plan(agency, slug)
        removal.apply(agency, plan, digest=plan.digest, again=meanwhile)
        ended(agency, slug)
