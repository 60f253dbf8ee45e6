"""The writer on its own: what is on the disk when, and what happens when it cannot be."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from hsagency.audit import lake
from hsagency.audit.journal.segment import Segment
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.verifying import Log, verify
from hsagency.errors import AuditError
from tests.audit.conftest import Disk
from tests.audit.killing import hear_all
from tests.audit.reading import (
    AUTHOR,
    all_records,
    broken_chains,
    ending,
    events,
    intent,
    journals,
    lines,
    records,
    take,
)


def file_of(audit: Path) -> Path:
    (path,) = journals(audit)
    return path


def written(audit: Path) -> int:
    """Count whole lines, while others may be on their way."""
    return file_of(audit).read_bytes().count(b"\n")


def test_a_durable_record_was_flushed_with_all_before_it(
    writer: AuditWriter, audit: Path, disk: Disk
) -> None:
    writer.append("acme-corp", intent(1), durable=False)
    assert disk.flushes == 1  # of the beginning of the segment, before it is registered
    writer.append("acme-corp", intent(2))
    there = file_of(audit).stat()
    assert disk.flushes == 2
    assert disk.safe[there.st_ino] == there.st_size


def test_a_record_that_need_not_be_durable_is_flushed_a_moment_later(
    writer: AuditWriter, audit: Path, disk: Disk
) -> None:
    writer.append("acme-corp", intent(), durable=False)
    assert len(records(audit)) == 1  # the death of this process would not lose it
    waited = threading.Event()
    for _ in range(100):
        if disk.flushes > 1:
            break
        waited.wait(0.05)
    there = file_of(audit).stat()
    assert disk.safe[there.st_ino] == there.st_size


def test_where_no_thread_is_to_be_had_an_outcome_is_flushed_at_once(
    writer: AuditWriter, audit: Path, disk: Disk
) -> None:
    before = threading.stack_size(1 << 46)  # more than any machine gives a thread
    try:
        writer.append("acme-corp", intent(1), durable=False)
        writer.append("acme-corp", intent(2), durable=False)
    finally:
        threading.stack_size(before)
    there = file_of(audit).stat()
    assert disk.safe[there.st_ino] == there.st_size
    assert disk.flushes == 3
    assert len(records(audit)) == 2


def test_records_say_who_and_when_and_are_numbered(writer: AuditWriter, audit: Path) -> None:
    for number in range(3):
        writer.append("acme-corp", intent(number))
    assert [one["seq"] for one in all_records(audit)] == [1, 2, 3, 4]
    for one in all_records(audit):
        assert {name: one[name] for name in AUTHOR.fields()} == AUTHOR.fields()
        assert list(one)[:2] == ["schema", "seq"]
        assert list(one)[-1] == "hash"


def test_files_and_folders_are_for_this_user_alone(writer: AuditWriter, audit: Path) -> None:
    old = os.umask(0)
    try:
        writer.append("acme-corp", intent())
    finally:
        os.umask(old)
    path = file_of(audit)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (path.parent, path.parent.parent, audit):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_threads_share_flushes(audit: Path) -> None:
    """While one flush is under way fifteen more threads write; one more flush is for them all."""
    flushed: list[int] = []

    def sync(descriptor: int) -> None:
        while begun and not flushed and written(audit) < 17:
            pause.wait(0.005)
        os.fsync(descriptor)
        if begun:
            flushed.append(written(audit))

    pause, begun = threading.Event(), list[bool]()
    with AuditWriter(audit, author=AUTHOR, sync=sync) as writer, ThreadPoolExecutor(16) as pool:
        writer.append("acme-corp", intent(99))
        begun.append(True)
        for one in [pool.submit(writer.append, "acme-corp", intent(n)) for n in range(16)]:
            one.result()
        assert len(flushed) == 2
    assert [one["seq"] for one in records(audit)] == list(range(2, 19))
    assert not broken_chains(audit)


def test_every_thread_finds_its_record_on_the_disk(audit: Path) -> None:
    safe, flushes = [0], [0]

    def sync(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        os.fsync(descriptor)
        safe[0], flushes[0] = size, flushes[0] + 1

    with AuditWriter(audit, author=AUTHOR, sync=sync) as writer:

        def work(thread: int) -> None:
            for number in range(thread * 100, thread * 100 + 20):
                writer.append("acme-corp", intent(number))
                assert b"%032x" % number in file_of(audit).read_bytes()[: safe[0]]

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(work, range(16)))
    assert flushes[0] < len(records(audit)) == 320
    assert not broken_chains(audit)


def test_a_failed_flush_is_never_followed_by_one_that_counts(audit: Path) -> None:
    """The kernel forgets what it could not write; a second flush would succeed and lie."""
    calls = [0]
    entered, go_on = threading.Event(), threading.Event()

    def sync(_: int) -> None:
        if begun:
            calls[0] += 1
        if calls[0] == 1:
            entered.set()
            go_on.wait(5)
            raise OSError(errno.EIO, "Input/output error")

    begun: list[bool] = []
    writer = AuditWriter(audit, author=AUTHOR, sync=sync)
    writer.append("acme-corp", intent(0))
    begun.append(True)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(writer.append, "acme-corp", intent(1))
        entered.wait(5)
        others = [pool.submit(writer.append, "acme-corp", intent(n)) for n in (2, 3, 4)]
        while written(audit) < 6:
            entered.wait(0.01)
        go_on.set()
        for one in (first, *others):
            with pytest.raises(AuditError, match=r"could not be flushed to the disk\. Nothing was"):
                one.result()
    with pytest.raises(AuditError, match="could not be flushed"):
        writer.append("acme-corp", intent(5), durable=False)
    assert calls == [1]
    assert len(records(audit)) == 5
    writer.close()


def test_a_failed_flush_in_the_background_stops_the_next_call(audit: Path) -> None:
    tried = threading.Event()

    def sync(_: int) -> None:
        if begun:
            tried.set()
            raise OSError(errno.ENOSPC, "No space left on device")

    begun: list[bool] = []
    writer = AuditWriter(audit, author=AUTHOR, sync=sync)
    writer.append("acme-corp", intent(1))
    begun.append(True)
    writer.append("acme-corp", ending(1), durable=False)
    assert tried.wait(10)
    with pytest.raises(AuditError) as caught:
        keep_writing(writer)  # the flusher may be on its way to say so
    assert "Nothing was sent" not in caught.value.message  # an outcome comes after its call
    assert "open the agency again" in caught.value.hint
    writer.close()


def keep_writing(writer: AuditWriter, first: int = 1, kept: list[int] | None = None) -> None:
    """Write until that is refused, every other record durably."""
    for number in range(first, first + 10_000):
        writer.append("acme-corp", intent(number), durable=kept is not None and number % 2 == 0)
        if kept is not None:
            kept.append(number)
        else:
            threading.Event().wait(0.005)


def test_one_broken_journal_leaves_the_others_working(audit: Path) -> None:
    with AuditWriter(audit, author=AUTHOR) as writer:
        writer.append("acme-corp", intent(1))
        writer.append("beta-inc", intent(1))
        journals(audit, "acme-corp")[0].unlink()
        with pytest.raises(AuditError):
            writer.append("acme-corp", intent(2))
        writer.append("beta-inc", intent(2))
    assert events(audit, "beta-inc") == ["call.started"] * 2


def deleted(path: Path) -> None:
    path.unlink()


def folder_deleted(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()


def replaced(path: Path) -> None:
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


def appended_to(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"{}\n")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


@pytest.mark.parametrize("meddle", [deleted, folder_deleted, replaced, appended_to, cut])
def test_a_journal_that_changed_underneath_stops_the_next_call(
    writer: AuditWriter, audit: Path, meddle: Callable[[Path], None]
) -> None:
    writer.append("acme-corp", intent(1))
    meddle(file_of(audit))
    for durable in (True, False):
        with pytest.raises(AuditError) as caught:
            writer.append("acme-corp", intent(2), durable=durable)
        assert ("Nothing was sent." in caught.value.message) is durable
        assert "find out what touched it" in caught.value.hint
    with AuditWriter(audit, author=AUTHOR) as again:
        again.append("acme-corp", intent(3))
    assert f"{3:032x}".encode() in journals(audit)[-1].read_bytes()


def test_what_was_appended_by_another_hand_is_left_and_another_segment_begun(audit: Path) -> None:
    with AuditWriter(audit, author=AUTHOR) as writer:
        writer.append("acme-corp", intent(1))
    path = file_of(audit)
    appended_to(path)
    before = path.read_bytes()
    told: list[str] = []
    with AuditWriter(audit, author=AUTHOR, tell=told.append) as writer:
        writer.append("acme-corp", intent(2))
    assert path.read_bytes() == before
    (message,) = told
    assert "Segment 000-000001 of acme-corp is damaged or cut" in message
    assert message in journals(audit)[1].read_text()
    reading = lake.read(audit, ["acme-corp"])
    assert reading.calls.collect().height == 2
    assert [(one.file, one.line) for one in reading.damage] == [(path.name, 3)]


@pytest.mark.parametrize(
    "last",
    [b"\n", b"\x00" * 200 + b"\n", b'"hash":"' + b"0" * 64 + b'"}\n']
    + [b'{"seq":%s,"hash":"%s"}\n' % (seq, b"0" * 64) for seq in (b"null", b'"x"', b"[]")],
)
def test_a_segment_that_ends_in_no_record_of_ours_is_left_alone(audit: Path, last: bytes) -> None:
    folder = audit / "acme-corp" / "journal"
    folder.mkdir(parents=True)
    (folder / "000-000001.jsonl").write_bytes(b"garbage\n" + last + b"torn")
    segment, torn = take(folder)
    segment.close()
    assert (segment.path.name, torn) == ("001-000001.jsonl", 0)
    assert (folder / "000-000001.jsonl").read_bytes() == b"garbage\n" + last + b"torn"


@pytest.mark.parametrize("blocker", ["folder", "link", "pipe"])
def test_a_journal_that_is_no_file_is_told_and_passed_by(
    audit: Path, tmp_path: Path, blocker: str
) -> None:
    folder = audit / "acme-corp" / "journal"
    folder.mkdir(parents=True)
    path = folder / "000-000001.jsonl"
    if blocker == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir() if blocker == "folder" else os.mkfifo(path)
    told: list[str] = []
    with AuditWriter(audit, author=AUTHOR, tell=told.append) as writer:
        writer.append("acme-corp", intent())
    assert not (tmp_path / "elsewhere").exists()
    assert b"call.started" in (folder / "001-000001.jsonl").read_bytes()
    (message,) = told
    assert "000-000001 of acme-corp is no file" in message


def test_a_torn_last_line_is_set_aside_wherever_it_was_cut(tmp_path: Path) -> None:
    """Every length of the last of three records, the whole but for its line end included."""
    whole = tmp_path / "whole"
    with AuditWriter(whole, author=AUTHOR) as writer:
        for number in range(2):
            writer.append("acme-corp", intent(number))
    content = file_of(whole).read_bytes()
    start = content.rfind(b"\n", 0, -1) + 1
    folder = tmp_path / "cut" / "acme-corp" / "journal"
    folder.mkdir(parents=True)
    path = folder / "000-000001.jsonl"
    for end in range(start + 1, len(content)):
        for old in folder.iterdir():
            old.unlink()
        path.write_bytes(content[:end])
        segment, torn = take(folder, sync=lambda _: None)
        segment.append({"event": "idle"}, durable=True)
        segment.close()
        assert torn == end - start
        assert path.read_bytes().startswith(content[:start] + b'{"schema":1,"seq":3,')
        beside = folder / f"{path.name}.torn-at-{start}"
        assert beside.read_bytes() == content[start:end]
        assert not broken_chains(tmp_path / "cut")


@pytest.mark.parametrize("size", [1, 1 << 16, (1 << 16) + 1, 300_000])
@pytest.mark.parametrize("before", [1, 2])
def test_a_torn_tail_of_any_length_is_set_aside_and_recorded(
    audit: Path, size: int, before: int
) -> None:
    with AuditWriter(audit, author=AUTHOR) as writer:
        for number in range(before):
            writer.append("acme-corp", intent(number))
    path = file_of(audit)
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"\x00" * size)  # what a power cut leaves of a file that had grown
    with AuditWriter(audit, author=AUTHOR) as writer:
        writer.append("acme-corp", intent(7))
    assert [one["event"] for one in records(audit)] == [
        *["call.started"] * before,
        "audit.repaired",
        "call.started",
    ]
    assert f"{size} bytes" in records(audit)[before]["message"]
    assert path.with_name(f"{path.name}.torn-at-{whole}").read_bytes() == b"\x00" * size
    assert not broken_chains(audit)
    assert not lake.read(audit, ["acme-corp"]).damage
    with AuditWriter(audit, author=AUTHOR) as writer:  # recorded once
        writer.append("acme-corp", intent(8))
    assert events(audit).count("audit.repaired") == 1


def test_a_repair_that_a_crash_kept_from_being_recorded_is_recorded_later(audit: Path) -> None:
    with AuditWriter(audit, author=AUTHOR) as writer:
        writer.append("acme-corp", intent(1))
    path = file_of(audit)
    with path.open("ab") as file:
        file.write(b'{"schema":1')
    segment, torn = take(path.parent)  # and then the lights go out
    segment.close()
    assert torn == 11
    with AuditWriter(audit, author=AUTHOR) as writer:
        writer.append("acme-corp", intent(2))
    assert events(audit) == ["call.started", "audit.repaired", "call.started"]


def test_a_repair_that_cannot_be_recorded_gives_its_slot_back(audit: Path) -> None:
    folder = audit / "acme-corp" / "journal"
    folder.mkdir(parents=True)
    (folder / "000-000001.jsonl").write_bytes(b"torn")
    failures = [OSError(errno.EIO, "Input/output error")]

    def sync(_: int) -> None:
        if failures:
            raise failures.pop()

    with AuditWriter(audit, author=AUTHOR, sync=sync) as writer:
        with pytest.raises(AuditError, match="could not be flushed"):
            writer.append("acme-corp", intent(1))
        writer.append("acme-corp", intent(2))
    assert len(journals(audit)) == 1
    assert [int(one.get("callId", "0"), 16) for one in records(audit)] == [0, 2]


@pytest.mark.parametrize("length", [60_000, 1 << 16, 200_000])
def test_a_record_of_any_length_is_followed_by_the_next(audit: Path, length: int) -> None:
    for number in range(3):
        with AuditWriter(audit, author=AUTHOR) as writer:
            writer.append("acme-corp", intent(number, reason="x" * length))
    assert len(journals(audit)) == 1
    assert [one["seq"] for one in records(audit)] == [2, 3, 4]
    assert not broken_chains(audit)


@pytest.mark.parametrize("boundless", [2**53, 2**63, 10**30])
def test_half_characters_and_boundless_numbers_do_not_lose_a_record(
    writer: AuditWriter, audit: Path, boundless: int
) -> None:
    writer.append("acme-corp", intent(1, reason="caf\udce9"))
    writer.append("acme-corp", ending(1, rateLimitRemaining=boundless), durable=False)
    start, end = records(audit)
    assert start["reason"] == "caf?"
    assert "rateLimitRemaining" not in end
    (call,) = lake.read(audit, ["acme-corp"]).calls.collect().to_dicts()
    assert call["outcome"] == "ok"


def test_line_separators_of_other_alphabets_do_not_split_a_record(
    writer: AuditWriter, audit: Path
) -> None:
    message = "one\u2028two\u2029three\x85four\x0bfive\x0csix\rseven\neight"
    writer.append("acme-corp", {"event": "connection.failed", "message": message})
    assert len(lines(file_of(audit))) == 2
    reading = lake.read(audit, ["acme-corp"])
    assert reading.activity["message"].to_list()[-1] == message
    assert not reading.damage


def test_two_writers_in_one_process_have_a_segment_each(audit: Path) -> None:
    with AuditWriter(audit, author=AUTHOR) as one, AuditWriter(audit, author=AUTHOR) as other:
        for number in range(10):
            one.append("acme-corp", intent(number))
            other.append("acme-corp", intent(100 + number))
    assert [len(lines(path)) for path in journals(audit)] == [11, 11]
    assert not broken_chains(audit)


def test_a_closed_writer_refuses(writer: AuditWriter, audit: Path) -> None:
    writer.append("acme-corp", intent(1))
    writer.close()
    for slug in ("acme-corp", "beta-inc"):
        with pytest.raises(AuditError, match=r"is closed.*Nothing was sent"):
            writer.append(slug, intent(2))
    writer.close()  # twice is fine
    assert len(records(audit)) == 1


def test_a_slot_that_was_let_go_of_is_taken_again(audit: Path) -> None:
    for number in range(3):
        with AuditWriter(audit, author=AUTHOR) as writer:
            writer.append("acme-corp", intent(number))
    assert [path.name for path in journals(audit)] == ["000-000001.jsonl"]
    assert [one["seq"] for one in records(audit)] == [2, 3, 4]


def test_closing_while_others_write_loses_nothing_they_were_promised(tmp_path: Path) -> None:
    """A descriptor closed under a writer's feet could by then be another file's."""
    for turn in range(20):
        audit = tmp_path / str(turn)
        writer = AuditWriter(audit, author=AUTHOR)
        writer.append("acme-corp", intent(0))
        promised: list[int] = []

        def work(thread: int, to: AuditWriter = writer, kept: list[int] = promised) -> None:
            with pytest.raises(AuditError, match="closed"):
                keep_writing(to, thread * 100_000, kept)

        with ThreadPoolExecutor(5) as pool:
            working = [pool.submit(work, thread) for thread in range(1, 5)]
            threading.Event().wait(0.002)
            closing = pool.submit(writer.close)
            descriptors = [os.open(tmp_path, os.O_RDONLY) for _ in range(20)]
            closing.result()
            for one in working:
                one.result()
        for descriptor in descriptors:
            os.close(descriptor)
        written = {int(one["callId"], 16) for one in records(audit)}
        assert written >= set(promised)
        assert not broken_chains(audit)


def test_every_journal_is_closed_even_if_one_cannot_be_flushed(audit: Path) -> None:
    failing = [False]

    def sync(descriptor: int) -> None:
        if failing[0]:
            raise OSError(errno.EIO, "Input/output error")
        os.fsync(descriptor)

    writer = AuditWriter(audit, author=AUTHOR, sync=sync)
    for slug in ("acme-corp", "beta-inc"):
        writer.append(slug, intent(1))
        writer.append(slug, ending(1), durable=False)
    failing[0] = True
    with pytest.raises(AuditError):
        writer.close()
    with AuditWriter(audit, author=AUTHOR) as again:  # both slots are free
        for slug in ("acme-corp", "beta-inc"):
            again.append(slug, intent(2))
            assert len(journals(audit, slug)) == 1


class Interrupted(Segment):
    """A segment in which Ctrl-C comes at a chosen moment of a write."""

    moment = ""

    def _write(self, line: bytes) -> None:
        if self.moment == "before":
            raise KeyboardInterrupt
        if self.moment == "half":
            os.write(self._descriptor, line[: len(line) // 2])
            raise KeyboardInterrupt
        super()._write(line)
        if self.moment == "after":
            raise KeyboardInterrupt


@pytest.mark.parametrize(("moment", "kept"), [("before", 2), ("half", 2), ("after", 3)])
def test_an_interrupt_in_the_middle_of_a_write_leaves_a_whole_log(
    audit: Path, moment: str, kept: int
) -> None:
    segment, _ = take(audit / "acme-corp" / "journal")
    segment.__class__ = Interrupted
    segment.append(intent(1), durable=True)
    segment.moment = moment
    with pytest.raises(KeyboardInterrupt):
        segment.append(intent(2), durable=True)
    segment.moment = ""
    segment.append(intent(3), durable=True)
    segment.close()
    found = records(audit)
    assert [one["seq"] for one in found] == list(range(1, kept + 1))
    assert int(found[-1]["callId"], 16) == 3
    assert not broken_chains(audit)


def test_a_storm_of_interrupts_loses_nothing_and_stops_nothing(audit: Path) -> None:
    """Real signals at random moments, as from the stop button of a notebook."""
    (told,) = hear_all("storm", {"audit": str(audit), "signals": 300})
    assert {int(one["callId"], 16) for one in records(audit)} >= set(told["promised"])
    assert told["promised"]
    assert len(journals(audit)) == 1
    assert not broken_chains(audit)


def test_a_storm_of_interrupts_while_segments_turn_loses_nothing_and_leaves_a_true_log(
    audit: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    order = {"audit": str(audit), "signals": 200, "limit": 3000, "copy": str(copy), "longest": 0.04}
    (told,) = hear_all("storm", order)
    calls = [one for one in records(audit) if one["event"] == "call.started"]
    assert {int(one["callId"], 16) for one in calls} >= set(told["promised"])
    assert len(journals(audit)) > 10
    assert not broken_chains(audit)
    log = Log(folder=audit / "acme-corp", copy=copy / "acme-corp.jsonl")
    assert verify(log).findings == []
    assert len({path.name[:3] for path in journals(audit)}) < 10  # of two hundred interrupts


def test_an_interrupt_and_then_the_end_leaves_a_log_that_goes_on(audit: Path) -> None:
    segment, _ = take(audit / "acme-corp" / "journal")
    segment.__class__ = Interrupted
    segment.moment = "half"
    with pytest.raises(KeyboardInterrupt):
        segment.append(intent(1), durable=True)
    segment.close()
    with AuditWriter(audit, author=AUTHOR) as writer:
        writer.append("acme-corp", intent(2))
    assert [int(one["callId"], 16) for one in records(audit)] == [2]
    assert not broken_chains(audit)


def test_nothing_is_written_twice_for_one_append(writer: AuditWriter, audit: Path) -> None:
    writer.append("acme-corp", intent(1))
    writer.flush()
    writer.flush()
    assert len(file_of(audit).read_bytes().splitlines()) == 2
    assert orjson.loads(lines(file_of(audit))[1])["callId"] == f"{1:032x}"
