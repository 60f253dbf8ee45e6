"""What survives the death, the company and the limits of processes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import jsonschema
import pytest

from hsagency.audit import lake
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import outcome_of
from hsagency.audit.register import first_break
from tests.audit.killing import child, hear, hear_all, kill_many, tell
from tests.audit.reading import (
    AUTHOR,
    assert_follows,
    broken_chains,
    ending,
    events,
    intent,
    journals,
    lines,
    records,
    register_lines,
)

OWN_MOUNTS = ("unshare", "--map-root-user", "--mount")


LIMITS = ["file size", pytest.param("disk", marks=pytest.mark.needs("small-disks"))]


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that another user can reach and write to."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def test_processes_killed_in_the_middle_of_calls_lose_nothing(tmp_path: Path) -> None:
    after = kill_many(tmp_path, kills=50)
    assert len(after.answered) >= 25
    assert len(set(after.intents)) == len(after.intents)
    # Every request that arrived has its intent on disk.
    assert set(after.seen) <= set(after.intents)
    # Every answer that was handed out has its outcome.
    for number, status in after.answered.items():
        assert after.outcomes[number] == outcome_of(status)
    # What ended without an answer is unknown, and the reader has one row for every intent.
    assert set(after.outcomes) == set(after.intents)
    cut_off = {number for number, outcome in after.outcomes.items() if outcome == "unknown"}
    assert cut_off
    assert len(cut_off) <= 2 * 50  # two threads each
    assert not cut_off & set(after.answered)
    # One segment, taken up again fifty times, without a break or a torn line.
    assert (after.files, after.broken, after.damage) == (1, [], ())
    with AuditWriter(tmp_path / "audit", author=AUTHOR) as writer:
        writer.append("acme-corp", intent(1))
    assert not broken_chains(tmp_path / "audit")


def test_processes_killed_while_segments_turn_lose_nothing_and_leave_a_true_register(
    tmp_path: Path, validator: jsonschema.Draft202012Validator
) -> None:
    """Between any two of the steps from one segment to the next, a few calls apart."""
    after = kill_many(tmp_path, kills=50, longest=0.05, seed=1, limit=4000)
    audit = tmp_path / "audit"
    assert len(after.answered) >= 25
    assert set(after.seen) <= set(after.intents)
    assert len(set(after.intents)) == len(after.intents)
    for number, status in after.answered.items():
        assert after.outcomes[number] == outcome_of(status)
    assert (after.broken, after.damage) == ([], ())
    assert after.files > 20
    told: list[str] = []
    with AuditWriter(audit, author=AUTHOR, copy=tmp_path / "copy", tell=told.append) as writer:
        writer.append("acme-corp", intent(1))
    assert_follows(audit, validator)
    # What a dead process left open was closed, and registered, by those that came after it.
    *ended, _ = [path.stem for path in journals(audit)]
    said = [(line["kind"], line["segment"]) for line in register_lines(audit)]
    assert len(set(said)) == len(said)
    assert {segment for kind, segment in said if kind == "closed"} == set(ended)
    register = (audit / "acme-corp" / "heads.jsonl").read_bytes()
    assert first_break("acme-corp", register.splitlines(keepends=True)) is None
    assert register.startswith((tmp_path / "copy" / "acme-corp.jsonl").read_bytes())
    assert not [one for one in told if "lacked lines" not in one]


def test_four_processes_write_beside_each_other_and_a_reader_reads_meanwhile(audit: Path) -> None:
    with ExitStack() as stack:
        order = {"audit": str(audit), "count": 200}
        children = [
            stack.enter_context(child("append", {**order, "first": 1000 * number}))
            for number in range(4)
        ]
        for one in children:
            assert hear(one) == {"ready": True}
        assert len(journals(audit)) == 4  # a slot each
        for one in children:
            tell(one, "go")
        seen = [0]
        while seen[-1] < 800:
            reading = lake.read(audit, ["acme-corp"])
            assert not reading.damage  # a line on its way is not a torn one
            seen.append(reading.calls.collect().height)
        assert seen == sorted(seen)
        for one in children:
            assert hear(one) == {"done": True}
    assert [len(lines(path)) for path in journals(audit)] == [201] * 4
    expected = {1000 * number + one for number in range(4) for one in range(200)}
    assert {int(one["callId"], 16) for one in records(audit)} == expected
    assert not broken_chains(audit)
    with AuditWriter(audit, author=AUTHOR) as writer:  # the slots are free again
        writer.append("acme-corp", intent(9999))
    assert len(journals(audit)) == 4
    assert len(lines(journals(audit)[0])) == 202


@pytest.mark.parametrize("limit", LIMITS)
def test_without_room_for_the_record_nothing_is_sent(tmp_path: Path, limit: str) -> None:
    kept = tmp_path / "kept"
    copy = kept / "acme-corp" / "journal"
    copy.mkdir(parents=True)
    order = {"audit": str(tmp_path / "audit"), "limit": limit, "copy_to": str(copy)}
    if limit == "file size":
        said = hear_all("run_out_of_space", {**order, "spare": [0, 1, 200], "attempts": 2})
    else:  # a small disk that is gone with the child; what is on it is copied out before
        small = tmp_path / "small"
        small.mkdir()
        mount = f'mount -t tmpfs -o size=64k none "{small}" && exec "$@"'
        order |= {"audit": str(small / "audit"), "spare": [0, 0], "attempts": 20}
        said = hear_all("run_out_of_space", order, *OWN_MOUNTS, "sh", "-c", mount, "sh")
    sent = 0
    for one in said:
        refused = str(one["came"]).endswith("Nothing was sent.")
        sent += not refused
        assert one["seen"] == sent
        assert one["came"] == 200 or "then try again" in one["hint"]
        assert one["came"] == 200 or refused or "was sent, but its outcome" in one["came"]
    assert said[0]["came"] == said[-1]["came"] == 200  # it works again when there is room again
    assert sum(one["came"] != 200 for one in said) >= 6
    assert events(kept).count("call.started") == sent
    assert not broken_chains(kept)
    reading = lake.read(kept, ["acme-corp"])
    assert not reading.damage
    lost = sum("its outcome" in str(one["came"]) for one in said)
    assert reading.calls.collect()["outcome"].to_list().count("unknown") == lost


def test_permission_lost_underneath_stops_calls_and_reading_alike(open_to_all: Path) -> None:
    """In a child that is not root: the folder is closed, then the file, then it is another's."""
    foreign = open_to_all / "foreign"
    (foreign / "acme-corp").mkdir(parents=True)
    foreign.chmod(0o755)
    if os.geteuid() != 0:
        foreign.chmod(0o555)
        (foreign / "acme-corp").chmod(0o555)
    order = {"audit": str(open_to_all / "audit"), "foreign": str(foreign)}
    said = hear_all("lose_permission", order)
    fine, closed, unread, afresh, read_only, unread_file, restored, of_others = said
    assert (fine["came"], fine["seen"]) == (200, 2)
    for one in (closed, afresh, read_only, of_others):
        assert one["came"].endswith("Nothing was sent.")
    assert [one["seen"] for one in (closed, afresh, read_only, of_others)] == [2, 2, 2, 3]
    assert "can no longer be reached" in closed["came"]
    assert "cannot be opened (Permission denied)" in afresh["came"]
    assert "must own the folder" in of_others["hint"]
    for one in (unread, unread_file):
        assert "cannot be read (Permission denied)" in one["came"]
        assert "is not an empty one" in one["hint"]
    assert (restored["came"], restored["seen"]) == (200, 3)


@pytest.mark.parametrize("torn", [b"", b"torn"])
def test_a_forked_child_is_refused_and_not_kept_waiting(audit: Path, torn: bytes) -> None:
    """The parent forks while a thread of it waits for the disk: appending, or at a repair."""
    folder = audit / "acme-corp" / "journal"
    folder.mkdir(parents=True)
    (folder / "000-000001.jsonl").write_bytes(torn)
    said = hear_all("fork", {"audit": str(audit)})
    assert len(said) == 5
    for one in said[:3]:
        assert "another process" in one["came"]
        assert "Nothing was sent." in one["came"]
    assert said[2]["seen"] == 0
    assert said[3:] == [{"status": 0}, {"done": True}]
    calls = [one for one in records(audit) if one["event"] == "call.started"]
    assert [int(one["callId"], 16) for one in calls] == [1, 3]
    assert journals(audit) == journals(audit, "acme-corp")
    assert not broken_chains(audit)


def test_a_line_on_its_way_is_not_reported_as_torn(audit: Path) -> None:
    with AuditWriter(audit, author=AUTHOR) as writer:
        writer.append("acme-corp", intent(1))
        writer.append("acme-corp", ending(1))
        (path,) = journals(audit)
        with path.open("ab") as file:
            file.write(b'{"schema":1,')  # as a reader may catch a writer that is alive
        assert lake.read(audit, ["acme-corp"]).damage == ()
    (damage,) = lake.read(audit, ["acme-corp"]).damage
    assert (damage.client_slug, damage.file, damage.line) == ("acme-corp", path.name, 4)
    assert damage.cause == "torn last line"
