"""Destinations of forwarded records that other processes lock, take away or close."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsagency.audit.forwarding.destinations import SqliteTable
from hsagency.audit.forwarding.standing import standings
from hsagency.audit.journal.writer import AuditWriter
from hsagency.settings import Settings, Workspace
from tests.audit.killing import child, hear, hear_all, tell
from tests.audit.reading import AUTHOR, CONTACTS, ending, intent
from tests.support import connected


def table(home: Path) -> SqliteTable:
    return SqliteTable(home / "calls.sqlite")


def rows(path: Path) -> list[str]:
    database = sqlite3.connect(path)
    found = database.execute("SELECT call_id FROM calls ORDER BY rowid").fetchall()
    database.close()
    return [one for (one,) in found]


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that another user can reach and write to."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def test_a_table_that_another_process_locks_holds_up_no_call_and_gets_all_of_them_later(
    tmp_path: Path,
) -> None:
    home = tmp_path / "agency"
    with connected(home) as there:
        agency, (slug,) = there.agency, there.slugs
        with agency.audit.forwarder("archive", table(home)) as one:
            one.catch_up()
        with child("lock_database", {"path": str(home / "calls.sqlite")}) as locker:
            assert hear(locker) == {"locked": True}
            forwarder = agency.audit.forward("archive", table(home))
            client = agency.client(slug)
            for _ in range(20):
                assert client.get(CONTACTS).status_code == 200
            while agency.audit.forwarders()[0].error is None:
                assert locker.poll() is None
            (standing,) = agency.audit.forwarders()
            assert "database is locked" in str(standing.error)
            assert (standing.behind_records or 0) >= 20
            tell(locker, "let go")
            assert hear(locker) == {"locked": False}
        forwarder.close()
        with agency.audit.forwarder("archive", table(home)) as one:
            one.catch_up()
            assert one.failure is None
        (standing,) = agency.audit.forwarders()
        assert (standing.error, standing.behind_records) == (None, 0)
        known = agency.audit.calls(slug).collect()["call_id"].to_list()
    found = rows(home / "calls.sqlite")
    assert set(known) <= set(found)
    assert len(set(found)) == len(found)


def test_a_table_that_may_not_be_written_to_gets_everything_once_it_may(open_to_all: Path) -> None:
    """In a child that is not root."""
    said = hear_all("forward_read_only", {"root": str(open_to_all)})
    refused, later = said
    assert "ermission denied" in refused["failure"]
    assert refused["behind"] == 4  # with the opening of the segment
    assert later == {"failure": "None", "behind": 0}
    assert rows(open_to_all / "read-only" / "calls.sqlite") == [f"{one:032x}" for one in range(3)]


def test_standard_output_that_nobody_reads_is_an_error_and_everything_comes_later(
    tmp_path: Path,
) -> None:
    said = {"schema": 1, "workspace": "w", "store": "age:credentials"}
    workspace = Workspace(
        tmp_path, Settings.model_validate({**said, "forward": [{"name": "lines", "to": "stdout"}]})
    )
    with AuditWriter(tmp_path / "audit", author=AUTHOR) as writer:
        for number in range(500):
            writer.append("acme-corp", intent(number), durable=False)
            writer.append("acme-corp", ending(number), durable=False)
    with child("forward_to_output", {"root": str(tmp_path)}) as process:
        assert process.stdout is not None
        process.stdout.close()  # long before it has anything to say
        assert process.wait(60) == 3
        process.stdout = None
    (standing,) = standings(workspace)
    assert "BrokenPipeError" in str(standing.error)
    assert (standing.behind_records or 0) >= 500
    heard = hear_all("forward_to_output", {"root": str(tmp_path)})
    calls = [one["callId"] for one in heard if "event" not in one]
    assert calls == [f"{one:032x}" for one in range(500)]
    assert standings(workspace)[0].behind_records == 0
