"""The index: one writer wins, nothing is lost, and what cannot be read is never empty."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hsagency.errors import Conflict, CorruptFile, WorkspaceError
from hsagency.index import Index, as_json
from hsagency.portals import (
    ClientSlug,
    Connection,
    ConnectionStatus,
    ConnectionType,
    CredentialKind,
    Fact,
    PortalId,
    Proof,
    Provenance,
)

ROOT = Path(__file__).resolve().parents[2]
AT = datetime(2026, 10, 14, 12, 30, 15, 123456, tzinfo=UTC)


def connection(slug: str, number: int) -> Connection:
    return Connection(
        client_slug=ClientSlug(slug),
        portal_id=PortalId(number),
        connection_type=ConnectionType.CONFIG_AND_AUDIT,
        kind=CredentialKind.SERVICE_KEY,
        generation=1,
        fingerprint=f"{number:016x}",
        added_at=AT,
        last_rotated_at=AT,
        hublet="na1",
        proof=Proof(at=AT, portal_id=PortalId(number), fingerprint=f"{number:016x}"),
        facts={
            "name": Fact("Größe & Söhne", Provenance.FETCHED, AT),
            "daily_limit": Fact(250_000, Provenance.INFERRED, AT, "headers"),
            "scopes": Fact(("oauth", "tickets"), Provenance.FETCHED, AT),
        },
    )


def adding(*those: Connection) -> Callable[[dict[ClientSlug, Connection]], None]:
    return lambda connections: connections.update({one.client_slug: one for one in those})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "connections.json"


@pytest.fixture
def index(path: Path) -> Index:
    made = Index(path, lock=path.with_name("lock"))
    made.create()
    return made


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))


def test_what_is_written_is_read_again_by_another_process(index: Index, path: Path) -> None:
    acme = connection("acme-corp", 1)
    index.write(adding(acme))
    other = Index(path, lock=path.with_name("lock"))
    assert other.read().connections == {"acme-corp": acme}
    assert (other.read().version, index.read().version) == (1, 1)


def test_names_on_disk_are_camel_case_and_no_secret_is_among_them(index: Index, path: Path) -> None:
    index.write(adding(connection("acme-corp", 1)))
    stored = json.loads(path.read_bytes())["connections"]["acme-corp"]
    assert {"clientSlug", "portalId", "addedAt", "lastRotatedAt", "connectionType"} <= set(stored)
    assert stored == as_json(connection("acme-corp", 1))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_change_that_changes_nothing_writes_nothing(index: Index, path: Path) -> None:
    index.write(adding(connection("acme-corp", 1)))
    before = path.stat()
    index.write(adding(connection("acme-corp", 1)))
    index.write(lambda _: None)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert index.read().version == 1


def test_a_plan_against_an_older_version_is_a_conflict(index: Index, path: Path) -> None:
    index.write(adding(connection("acme-corp", 1)))
    with pytest.raises(Conflict, match="changed by somebody else"):
        index.write(adding(connection("beta-inc", 2)), expect=0)
    assert list(index.read().connections) == ["acme-corp"]
    index.write(adding(connection("beta-inc", 2)), expect=1)
    assert list(index.read().connections) == ["acme-corp", "beta-inc"]


def rewritten(path: Path, *, at: int) -> None:
    """Give connections.json another content of the same length, inode and time."""
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"na1"', b'"eu1"'))
    os.utime(path, ns=(at, at))


def test_a_write_builds_on_what_the_file_holds_and_not_on_what_was_read(
    index: Index, path: Path
) -> None:
    index.write(adding(connection("acme-corp", 1)))
    long_ago = 1_700_000_000_000_000_000
    os.utime(path, ns=(long_ago, long_ago))
    assert index.read().connections["acme-corp"].hublet == "na1"
    rewritten(path, at=long_ago)
    index.write(adding(connection("beta-inc", 2)))
    assert index.read().connections["acme-corp"].hublet == "eu1"


def test_a_file_too_young_to_tell_its_writes_apart_is_read_each_time(
    index: Index, path: Path
) -> None:
    index.write(adding(connection("acme-corp", 1)))
    soon = time.time_ns() + 10**12  # as a clock that runs ahead shows it
    os.utime(path, ns=(soon, soon))
    assert index.read().connections["acme-corp"].hublet == "na1"
    rewritten(path, at=soon)
    assert index.read().connections["acme-corp"].hublet == "eu1"


WRITER = """
import sys
import time
from pathlib import Path
from hsagency.errors import Conflict
from hsagency.index import Index
from tests.core.test_index import adding, connection
path, number, expect = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
index = Index(path, lock=path.with_name("lock"))
index.read()
print("ready", flush=True)
sys.stdin.readline()
try:
    index.write(adding(connection(f"client-{number}", number)), expect=expect if expect >= 0 else None)
    print("won")
except Conflict:
    print("conflict")
"""


def race(path: Path, *, writers: int, expect: int) -> list[str]:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(number), str(expect)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(1, writers + 1)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    return sorted(child.communicate(timeout=60)[0].strip() for child in children)


def test_of_two_processes_one_wins_and_the_other_is_told(index: Index, path: Path) -> None:
    assert race(path, writers=2, expect=0) == ["conflict", "won"]
    assert len(index.read().connections) == index.read().version == 1


def test_writers_without_a_plan_lose_nothing(index: Index, path: Path) -> None:
    assert race(path, writers=3, expect=-1) == ["won"] * 3
    assert len(index.read().connections) == index.read().version == 3


def test_threads_lose_nothing(index: Index) -> None:
    def write(number: int) -> None:
        index.write(adding(connection(f"client-{number}", number)))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(index.read().connections) == index.read().version == 16


@pytest.mark.parametrize("same", ["portal", "credential"])
def test_one_portal_or_credential_under_two_slugs_is_refused_by_name(
    index: Index, path: Path, same: str
) -> None:
    index.write(adding(connection("acme-corp", 1)))
    second = connection("beta-inc", 2)
    second = (
        replace(second, portal_id=PortalId(1))
        if same == "portal"
        else replace(second, fingerprint=connection("acme-corp", 1).fingerprint)
    )
    before = path.read_bytes()
    with pytest.raises(Conflict, match="already connected as acme-corp; beta-inc was not stored"):
        index.write(adding(second))
    assert path.read_bytes() == before


def test_an_update_of_another_generation_changes_nothing(index: Index) -> None:
    index.write(adding(replace(connection("acme-corp", 1), generation=2)))
    slug = ClientSlug("acme-corp")
    index.update(slug, generation=1, status=ConnectionStatus.DISCONNECTED)
    index.update(ClientSlug("nobody"), generation=1, status=ConnectionStatus.DISCONNECTED)
    assert index.read().version == 1
    index.update(slug, generation=2, status=ConnectionStatus.DISCONNECTED)
    assert index.read().connections[slug].status is ConnectionStatus.DISCONNECTED


def test_a_missing_file_is_not_an_empty_index(index: Index, path: Path) -> None:
    index.write(adding(connection("acme-corp", 1)))
    path.unlink()
    for attempt in (index.read, lambda: index.write(adding(connection("beta-inc", 2)))):
        with pytest.raises(CorruptFile, match="cannot be read"):
            attempt()
    assert not path.exists()


def broken(path: Path) -> list[bytes]:
    whole = path.read_bytes()
    good = json.loads(whole)
    acme = good["connections"]["acme-corp"]

    def with_acme(**changes: Any) -> bytes:
        return json.dumps({**good, "connections": {"acme-corp": {**acme, **changes}}}).encode()

    return [
        b"",
        b"{}",
        b"null",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        whole[: len(whole) // 2],
        whole + b"x",
        json.dumps({**good, "schema": "x"}).encode(),
        json.dumps({**good, "schema": None}).encode(),
        json.dumps({**good, "version": "x"}).encode(),
        json.dumps({**good, "connections": []}).encode(),
        json.dumps({**good, "connections": {"acme-corp": None}}).encode(),
        json.dumps({**good, "connections": {"beta-inc": acme}}).encode(),
        json.dumps({**good, "connections": {"../x": {**acme, "clientSlug": "../x"}}}).encode(),
        with_acme(portalId=0),
        with_acme(portalId=-5),
        with_acme(portalId="x"),
        with_acme(portalId=10**20),
        with_acme(connectionType="everything"),
        with_acme(addedAt="2026-10-14T12:00:00"),
        with_acme(proof={**acme["proof"], "at": "2026-10-14T12:00:00"}),
        with_acme(proof={"at": "2026-10-14T12:00:00Z", "fingerprint": "x"}),
        whole.replace(b'"portalId": 1,', b'"portalId": 1, "portalId": 2,', 1),
    ]


@pytest.mark.parametrize("number", range(24))
def test_a_damaged_index_is_named_and_left_as_it_is(index: Index, path: Path, number: int) -> None:
    index.write(adding(connection("acme-corp", 1)))
    damaged = broken(path)
    assert len(damaged) == 24
    path.write_bytes(damaged[number])
    with pytest.raises(CorruptFile) as caught:
        index.read()
    assert str(path) in caught.value.message
    assert caught.value.hint
    with pytest.raises(CorruptFile):
        index.write(adding(connection("beta-inc", 2)))
    assert path.read_bytes() == damaged[number]


def test_a_slug_that_stands_twice_is_damage_and_not_the_last_one(index: Index, path: Path) -> None:
    index.write(adding(connection("acme-corp", 1), connection("beta-inc", 2)))
    path.write_bytes(path.read_bytes().replace(b"beta-inc", b"acme-corp"))
    with pytest.raises(CorruptFile):
        index.read()


def test_an_edited_index_with_one_portal_twice_names_both(index: Index, path: Path) -> None:
    index.write(adding(connection("acme-corp", 1), connection("beta-inc", 2)))
    edit(path, lambda content: content["connections"]["beta-inc"].update(portalId=1))
    with pytest.raises(CorruptFile, match=r"Portal 1 stands .* as acme-corp and as beta-inc"):
        index.read()


def test_a_change_that_fails_leaves_the_old_index(index: Index, path: Path) -> None:
    index.write(adding(connection("acme-corp", 1)))
    before = path.read_bytes()

    def change(connections: dict[ClientSlug, Connection]) -> None:
        connections.clear()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        index.write(change)
    assert path.read_bytes() == before
    assert sorted(one.name for one in path.parent.iterdir()) == ["connections.json", "lock"]


def test_a_snapshot_cannot_be_changed_behind_the_index(index: Index) -> None:
    index.write(adding(connection("acme-corp", 1)))
    with pytest.raises(TypeError):
        index.read().connections[ClientSlug("x")] = connection("x", 9)  # type: ignore[index]


def test_a_write_that_the_disk_refuses_is_said_in_words(index: Index, path: Path) -> None:
    path.with_name("lock").mkdir()  # so that not even root can open it for writing
    with pytest.raises(WorkspaceError, match="cannot be written") as caught:
        index.write(adding(connection("acme-corp", 1)))
    assert caught.value.hint


def test_a_writer_that_died_leaves_its_lock_open(index: Index, path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from hsagency.durable import locked
with locked(Path({str(path.with_name("lock"))!r})):
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 9
    index.write(adding(connection("acme-corp", 1)))
    assert index.read().version == 1


@pytest.mark.parametrize("umask", [0, 0o077])
def test_the_file_is_this_users_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    code = f"""
import os
os.umask({umask})
from pathlib import Path
from hsagency.index import Index
Index(Path("connections.json"), lock=Path("lock")).create()
"""
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert (tmp_path / "connections.json").stat().st_mode & 0o777 == 0o600
