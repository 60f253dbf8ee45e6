"""A removed client: the tombstone takes its place in one write, and a later generation takes it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hsagency.errors import Conflict, CorruptFile
from hsagency.index import Index
from hsagency.portals import ClientSlug, Connection, PortalId, Tombstone
from tests.core.test_index import AT, ROOT, adding, connection, edit

ACME = ClientSlug("acme-corp")
REMOVED = AT.replace(year=2027)


def tombstone(one: Connection, *, pending: bool = False) -> Tombstone:
    return Tombstone(
        client_slug=one.client_slug,
        portal_id=one.portal_id,
        name=one.portal.name,
        connection_type=one.connection_type,
        kind=one.kind,
        generation=one.generation,
        fingerprint=one.fingerprint,
        api_base=one.api_base,
        added_at=one.added_at,
        removed_at=REMOVED,
        removed_by="jane",
        pending=one if pending else None,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "connections.json"


@pytest.fixture
def index(path: Path) -> Index:
    made = Index(path, lock=path.with_name("lock"))
    made.create()
    made.write(adding(connection("acme-corp", 1), connection("beta-inc", 2)))
    return made


@pytest.fixture
def buried(index: Index) -> Index:
    one = index.read().connections[ACME]
    index.bury(tombstone(one), instead_of=one)
    return index


def test_a_tombstone_takes_the_place_of_its_connection_in_one_write(
    index: Index, path: Path
) -> None:
    one = index.read().connections[ACME]
    after = index.bury(tombstone(one, pending=True), instead_of=one)
    assert after.version == 2
    assert list(after.connections) == ["beta-inc"]
    assert after.tombstones == {ACME: tombstone(one, pending=True)}
    again = Index(path, lock=path.with_name("lock")).read()
    assert again.tombstones == after.tombstones


def test_what_is_removed_is_what_was_looked_at_or_nothing(index: Index, path: Path) -> None:
    one = index.read().connections[ACME]
    changed = {
        "another generation": replace(one, generation=2),
        "another credential": replace(one, fingerprint="f" * 16),
        "another portal": replace(one, portal_id=PortalId(9)),
        "another address": replace(one, api_base="http://127.0.0.1:9"),
        "nobody": connection("gone-ltd", 3),
    }
    before = path.read_bytes()
    for planned in changed.values():
        with pytest.raises(Conflict, match="nothing was removed"):
            index.bury(tombstone(planned), instead_of=planned)
    assert path.read_bytes() == before


def test_a_fresh_proof_meanwhile_does_not_keep_a_client_from_being_removed(index: Index) -> None:
    one = index.read().connections[ACME]
    index.update(ACME, generation=1, hublet="eu1", proof=None)
    assert ACME not in index.bury(tombstone(one), instead_of=one).connections


def test_of_two_who_remove_one_is_told(buried: Index) -> None:
    one = connection("acme-corp", 1)
    with pytest.raises(Conflict, match="acme-corp was changed by somebody else"):
        buried.bury(tombstone(one), instead_of=one)
    assert buried.read().version == 2


def test_a_removal_is_settled_once_it_is_finished(index: Index) -> None:
    one = index.read().connections[ACME]
    index.bury(tombstone(one, pending=True), instead_of=one)
    done = replace(tombstone(one), proof="HubSpot refuses it (401).", severed=True)
    assert index.settle(done).tombstones[ACME] == done


def test_nothing_is_settled_of_a_client_that_is_back(buried: Index) -> None:
    buried.write(adding(replace(connection("acme-corp", 1), generation=2)))
    with pytest.raises(Conflict, match="not removed any more"):
        buried.settle(tombstone(connection("acme-corp", 1)))


def test_a_client_that_is_back_has_no_tombstone(buried: Index) -> None:
    after = buried.write(adding(replace(connection("acme-corp", 1), generation=2)))
    assert after.tombstones == {}
    assert sorted(after.connections) == ["acme-corp", "beta-inc"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"generation": 1}, "was removed meanwhile"),
        ({"generation": 2, "portal_id": PortalId(9)}, "was portal 1 until it was removed"),
        ({"generation": 2, "api_base": "http://127.0.0.1:9"}, "was portal 1 until it was removed"),
    ],
)
def test_nobody_takes_the_place_of_a_removed_client_but_its_next_generation(
    buried: Index, path: Path, changes: dict[str, Any], why: str
) -> None:
    before = path.read_bytes()
    with pytest.raises(Conflict, match=why):
        buried.write(adding(replace(connection("acme-corp", 1), **changes)))
    assert path.read_bytes() == before


def test_nobody_comes_back_while_the_removal_is_not_finished(index: Index, path: Path) -> None:
    one = index.read().connections[ACME]
    index.bury(tombstone(one, pending=True), instead_of=one)
    before = path.read_bytes()
    with pytest.raises(Conflict, match="not finished") as caught:
        index.write(adding(replace(one, generation=2)))
    assert "hsagency remove acme-corp" in caught.value.hint
    assert path.read_bytes() == before


def test_other_clients_change_without_touching_a_tombstone(buried: Index) -> None:
    before = buried.read().tombstones
    buried.update(ClientSlug("beta-inc"), generation=1, hublet="eu1")
    assert buried.read().tombstones == before


def with_tombstone(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["tombstones"]["acme-corp"].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        with_tombstone(portalId=0),
        with_tombstone(clientSlug="beta-inc"),
        with_tombstone(removedAt="2027-10-14T12:00:00"),
        with_tombstone(addedAt="2027-10-14T12:00:00"),
        with_tombstone(kind="anything"),
        with_tombstone(pending={"clientSlug": "acme-corp"}),
        with_tombstone(generation=0),
        with_tombstone(generation=-3),
        with_tombstone(generation=10**8),
        lambda content: content.pop("tombstones"),
        lambda content: content.update(tombstones=[]),
        lambda content: content["connections"].update(
            {"acme-corp": {**content["connections"]["beta-inc"], "clientSlug": "acme-corp"}}
        ),
        lambda content: content.update(schema=2),
    ],
    ids=[
        *("portal", "slug", "removed-at", "added-at", "kind", "pending"),
        *("no-generation", "negative", "too-many"),
        *("none", "list", "connected-too", "before-there-were-any"),
    ],
)
def test_a_tombstone_that_nobody_of_ours_wrote_is_damage(
    buried: Index, path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    edit(path, change)
    with pytest.raises(CorruptFile):
        buried.read()


@pytest.mark.parametrize(
    "changes",
    [
        {"generation": 3},
        {"portalId": 2},
        {"fingerprint": "fp-other"},
        {"apiBase": "http://[::1]:1"},
    ],
    ids=["generation", "portal", "fingerprint", "address"],
)
def test_a_tombstone_is_that_of_the_connection_it_keeps(
    index: Index, path: Path, changes: dict[str, Any]
) -> None:
    one = index.read().connections[ACME]
    index.bury(tombstone(one, pending=True), instead_of=one)
    edit(path, lambda content: content["tombstones"]["acme-corp"]["pending"].update(changes))
    with pytest.raises(CorruptFile):
        index.read()


BURY = """
import sys
from pathlib import Path
from hsagency.index import Index
from tests.core.test_index_tombstones import ACME, tombstone
path = Path(sys.argv[1])
index = Index(path, lock=path.with_name("lock"))
one = index.read().connections[ACME]
print("ready", flush=True)
sys.stdin.readline()
index.bury(tombstone(one, pending=True), instead_of=one)
print("buried", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("pause", [0.0, 0.0005, 0.001, 0.002, 0.004, None])
def test_a_kill_leaves_the_connection_or_the_tombstone_and_never_neither(
    index: Index, path: Path, pause: float | None
) -> None:
    command = [sys.executable, "-c", BURY, str(path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.stdin.write(b"\n")
        child.stdin.flush()
        if pause is None:
            assert child.stdout.readline() == b"buried\n"
        else:
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(pause)
        child.send_signal(signal.SIGKILL)
    now = index.read()
    assert (ACME in now.connections) is not (ACME in now.tombstones)
    assert (ACME in now.tombstones) or pause is not None
    index.update(ClientSlug("beta-inc"), generation=1, hublet="eu1")  # no lock is left behind
    assert json.loads(path.read_bytes())["connections"]["beta-inc"]["hublet"] == "eu1"
