"""Evidence: closed segments, compressed, byte for byte, and what comes of damage to them."""

from __future__ import annotations

import json
import os
import resource
import shutil
import stat
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsagency.audit import evidence
from hsagency.audit.evidence import archive, drop_journal, open_segment, segments
from hsagency.audit.forwarding import cursors
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.verifying import logs, verify
from hsagency.errors import AuditError, DamagedEvidence
from hsagency.settings import Settings, Workspace
from tests.audit.killing import ROOT
from tests.audit.logs import SLUG, Desk, call, replaced, sealed, three_days
from tests.audit.reading import AUTHOR, intent

FIRST, SECOND, THIRD = (f"000-{number:06}" for number in (1, 2, 3))
SIDE = "001-000001"
relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return three_days(tmp_path)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A log whose first segment is sealed, that tests damage for a moment."""
    desk = three_days(tmp_path_factory.mktemp("log"))
    sealed(desk, FIRST)
    return desk


def folder(desk: Desk) -> Path:
    return desk.audit / SLUG


def written(desk: Desk, name: str) -> Path:
    return folder(desk) / "journal" / f"{name}.jsonl"


def packed(desk: Desk, name: str) -> Path:
    return folder(desk) / "evidence" / f"{name}.jsonl.zst"


def read(path: Path) -> bytes:
    with open_segment(path) as file:
        return file.read()


def everything(desk: Desk) -> dict[str, bytes]:
    return {name: read(path) for name, path in segments(folder(desk)).items()}


# --- archiving


def test_an_archived_segment_is_byte_for_byte_what_was_written(desk: Desk) -> None:
    content = written(desk, FIRST).read_bytes()
    path = archive(folder(desk), FIRST)
    assert path == packed(desk, FIRST)
    assert zstd.decompress(path.read_bytes()) == content
    assert read(path) == content
    assert written(desk, FIRST).read_bytes() == content


def test_evidence_is_for_this_user_alone_and_carries_a_checksum(desk: Desk) -> None:
    before = os.umask(0)
    try:
        path = archive(folder(desk), FIRST)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.read_bytes()[4] & 0b100  # the descriptor of a frame says so (RFC 8878, 3.1.1.1.1)


def test_a_segment_is_named_once_wherever_it_is(desk: Desk) -> None:
    before = everything(desk)
    assert list(before) == [FIRST, SECOND, THIRD, SIDE]
    for step in (archive, drop_journal, archive, drop_journal):
        step(folder(desk), FIRST)
        assert everything(desk) == before
    assert not written(desk, FIRST).exists()
    assert segments(folder(desk))[FIRST] == packed(desk, FIRST)


def test_done_again_it_changes_nothing(desk: Desk) -> None:
    path = archive(folder(desk), FIRST)
    before = path.stat()
    assert archive(folder(desk), FIRST) == path
    drop_journal(folder(desk), FIRST)
    assert archive(folder(desk), FIRST) == path
    drop_journal(folder(desk), FIRST)
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_segment_that_a_writer_holds_is_not_archived(desk: Desk) -> None:
    with desk.writer() as writer:
        call(writer, 500)
        held = max(one for one in segments(folder(desk)) if one.startswith("000"))
        with pytest.raises(AuditError, match=f"{held}.jsonl is not closed"):
            archive(folder(desk), held)
    assert not packed(desk, held).exists()


def test_a_segment_that_was_closed_a_moment_ago_waits_until_its_writer_lets_go(desk: Desk) -> None:
    descriptor = os.open(written(desk, FIRST), os.O_RDWR)
    try:
        assert evidence.try_lock(descriptor)
        for step in (archive, drop_journal):
            with pytest.raises(AuditError, match="is still held by a writer"):
                step(folder(desk), FIRST)
    finally:
        os.close(descriptor)
    assert written(desk, FIRST).exists()
    archive(folder(desk), FIRST)


@pytest.mark.parametrize(
    "ending",
    [b"", b'{"schema":1,"seq":9,"event":"call.started"}\n', b"{", b"[]\n", b"\xff\n", b"\n"],
)
def test_what_does_not_end_in_its_closing_is_not_archived(desk: Desk, ending: bytes) -> None:
    path = written(desk, FIRST)
    path.write_bytes(path.read_bytes() + ending if ending else b"")
    with pytest.raises(AuditError, match="is not closed") as caught:
        archive(folder(desk), FIRST)
    assert "later segment" in caught.value.hint
    assert not packed(desk, FIRST).exists()


def test_a_segment_that_is_not_there_is_said_and_no_folder_made(desk: Desk) -> None:
    for step in (archive, drop_journal):
        with pytest.raises(AuditError, match=r"000-000009\.jsonl is not there"):
            step(folder(desk), "000-000009")
        with pytest.raises(AuditError, match="is not there"):
            step(desk.audit / "nobody", FIRST)
    assert not (folder(desk) / "evidence").exists()
    assert not (desk.audit / "nobody").exists()


@pytest.mark.parametrize("content", [b"", b"no frame", zstd.compress(b"something else")])
def test_other_evidence_is_left_and_so_is_the_journal(desk: Desk, content: bytes) -> None:
    packed(desk, FIRST).parent.mkdir()
    packed(desk, FIRST).write_bytes(content)
    before = written(desk, FIRST).read_bytes()
    for step in (archive, drop_journal):
        with pytest.raises(AuditError, match="is not what the journal holds") as caught:
            step(folder(desk), FIRST)
        assert "Keep both files" in caught.value.hint
    assert packed(desk, FIRST).read_bytes() == content
    assert written(desk, FIRST).read_bytes() == before


def test_a_journal_file_without_evidence_is_not_dropped(desk: Desk) -> None:
    with pytest.raises(AuditError, match="There is no evidence of"):
        drop_journal(folder(desk), FIRST)
    assert written(desk, FIRST).exists()


def test_what_a_crash_left_beside_is_replaced(desk: Desk) -> None:
    beside = packed(desk, FIRST).with_name(f"{FIRST}.jsonl.zst.new")
    beside.parent.mkdir()
    beside.write_bytes(b"half a fra")
    before = everything(desk)
    archive(folder(desk), FIRST)
    assert not beside.exists()
    assert everything(desk) == before


def test_a_log_of_the_earlier_version_is_archived_once_it_is_closed(desk: Desk) -> None:
    old = desk.audit / "old-client"
    (old / "journal").mkdir(parents=True)
    lines = written(desk, FIRST).read_bytes().splitlines(keepends=True)
    (old / "journal" / f"{FIRST}.jsonl").write_bytes(b"".join(lines[1:-1]))
    with pytest.raises(AuditError, match="is not closed"):
        archive(old, FIRST)
    (old / "journal" / f"{FIRST}.jsonl").write_bytes(b"".join(lines[1:]))
    assert zstd.decompress(archive(old, FIRST).read_bytes()) == b"".join(lines[1:])


def test_a_full_disk_leaves_the_journal_and_nothing_beside(desk: Desk) -> None:
    script = f"""
import resource, signal
from pathlib import Path
from hsagency.audit.evidence import archive
from hsagency.errors import AuditError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
try:
    archive(Path({str(folder(desk))!r}), {FIRST!r})
except AuditError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert "could not be sealed (File too large). It is as it was." in done.stdout
    assert "raise the limit" in done.stdout
    assert list((folder(desk) / "evidence").iterdir()) == []
    assert verify(desk.log()).integrity == "intact"


def test_sealing_and_reading_ask_for_little_memory_whatever_the_size(desk: Desk) -> None:
    path = written(desk, FIRST)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[1:-1] * 20_000, lines[-1]]))
    assert path.stat().st_size > 30 << 20
    tracemalloc.start()
    try:
        archive(folder(desk), FIRST)
        drop_journal(folder(desk), FIRST)
        with open_segment(packed(desk, FIRST)) as file:
            assert sum(1 for _ in file) == 20_000 * (len(lines) - 2) + 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


# --- crashes


def test_a_kill_before_any_line_of_code_leaves_the_segment_readable_exactly_once(
    desk: Desk, tmp_path: Path
) -> None:
    before, verdict = everything(desk), verify(desk.log()).report()
    command = [sys.executable, "-m", "tests.audit.crashing"]
    pipe, line, killed = subprocess.PIPE, 0, True
    pristine = tmp_path / "pristine"
    shutil.copytree(folder(desk), pristine)
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        while killed:
            line += 1
            shutil.rmtree(folder(desk))
            shutil.copytree(pristine, folder(desk))
            child.stdin.write(json.dumps([str(folder(desk)), FIRST, line]) + "\n")
            child.stdin.flush()
            said = json.loads(child.stdout.readline())
            killed = said["killed"]
            assert killed or said["status"] == 0
            assert everything(desk) == before, line
            assert verify(desk.log()).report() == verdict, line
            archive(folder(desk), FIRST)
            drop_journal(folder(desk), FIRST)
            assert everything(desk) == before, line
            assert [one.name for one in packed(desk, FIRST).parent.iterdir()] == [
                f"{FIRST}.jsonl.zst"
            ]
        child.stdin.close()
    assert line > 50
    assert not written(desk, FIRST).exists()


def test_two_processes_that_seal_at_once_do_not_get_into_each_others_way(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with desk.writer(limit=1500) as writer:
        for number in range(200):
            call(writer, number)
    before = everything(desk)
    closed = list(before)[:-1]
    assert len(closed) > 30
    orders = [json.dumps([str(folder(desk)), one, 0]) + "\n" for one in closed]
    command = [sys.executable, "-m", "tests.audit.crashing"]
    pipe = subprocess.PIPE
    several = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) for _ in range(3)
    ]
    for one in several:
        assert one.stdin is not None
        one.stdin.writelines(orders)
        one.stdin.close()
    for one in several:
        assert one.stdout is not None
        assert [json.loads(line)["status"] for line in one.stdout] == [0] * len(closed)
        one.stdout.close()
        assert one.wait() == 0
    assert everything(desk) == before
    assert [one.name for one in (folder(desk) / "journal").iterdir()] == [
        f"{list(before)[-1]}.jsonl"
    ]
    assert verify(desk.log()).integrity == "intact"


# --- damage


def changed(content: bytes) -> bytes:
    return content[:40] + bytes([content[40] ^ 1]) + content[41:]


DAMAGE: dict[str, Any] = {
    "cut": lambda one: one[:-1],
    "empty": lambda _: b"",
    "changed": changed,
    "without its checksum": lambda one: one[:-4],
    "with something after it": lambda one: one + b"x",
    "with a frame after it": lambda one: one + zstd.compress(b"more\n"),
    "with an empty frame after it": lambda one: one + zstd.compress(b""),
    "after something": lambda one: b"x" + one,
    "not packed": lambda one: zstd.decompress(one),
    "of another kind": lambda _: b"\x1f\x8b\x08\x00" + bytes(40),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_evidence_is_named_with_what_to_do(standing: Desk, how: str) -> None:
    path = packed(standing, FIRST)
    with (
        replaced(path, DAMAGE[how](path.read_bytes())),
        pytest.raises(AuditError, match=f"{FIRST}.jsonl.zst is damaged: ") as caught,
    ):
        read(path)
    assert "backup" in caught.value.hint
    assert isinstance(caught.value, DamagedEvidence)
    assert caught.value.cut == (how in ("cut", "empty", "without its checksum"))


@relaxed
@given(data=st.data())
def test_any_cut_of_evidence_is_a_cut(standing: Desk, data: st.DataObject) -> None:
    path = packed(standing, FIRST)
    content = path.read_bytes()
    left = content[: data.draw(st.integers(0, len(content) - 1))]
    with replaced(path, left), pytest.raises(DamagedEvidence) as caught:
        read(path)
    assert caught.value.cut


@relaxed
@given(data=st.data())
def test_any_changed_byte_of_evidence_is_noticed(standing: Desk, data: st.DataObject) -> None:
    path = packed(standing, FIRST)
    before, content = read(path), path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda one: one != content[at]))
    with replaced(path, content[:at] + bytes([byte]) + content[at + 1 :]):
        try:
            after = read(path)
        except DamagedEvidence:
            return
    assert after == before  # a part of the frame that says nothing about what is in it


@relaxed
@given(content=st.binary(max_size=300))
def test_whatever_an_evidence_file_holds_reading_says_so_or_reads(
    standing: Desk, content: bytes
) -> None:
    path = packed(standing, FIRST)
    for one in (content, path.read_bytes()[:12] + content, zstd.compress(content)):
        with replaced(path, one):
            try:
                assert read(path) == zstd.decompress(one)
            except DamagedEvidence as error:
                assert str(path) in error.message  # noqa: PT017  (it need not be raised)


def test_evidence_that_asks_for_much_memory_is_refused(standing: Desk) -> None:
    path = packed(standing, FIRST)
    window = {zstd.CompressionParameter.window_log: 27}
    huge = zstd.ZstdCompressor(options=window)
    content = huge.compress(bytes(1 << 20)) + huge.flush()
    with replaced(path, content), pytest.raises(DamagedEvidence, match="not what zstd wrote"):
        read(path)


def test_evidence_that_unpacks_to_far_more_is_read_in_small_steps(standing: Desk) -> None:
    path = packed(standing, FIRST)
    with replaced(path, zstd.compress(bytes(512 << 20))):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with open_segment(path) as file:
            assert file.read(1 << 20) == bytes(1 << 20)
        verdict = verify(standing.log())
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert verdict.integrity == "altered"
    assert grown < 64 << 10  # of 512 MB, in units of 1 kB


def test_a_file_that_is_no_segment_is_none_of_the_log(desk: Desk) -> None:
    inside = folder(desk) / "evidence"
    inside.mkdir()
    for name in ("000-1.jsonl.zst", "000-000001.jsonl", "x.jsonl.zst", "000-000001.zst"):
        (inside / name).write_bytes(b"")
    assert list(everything(desk)) == [FIRST, SECOND, THIRD, SIDE]
    assert evidence.sealed(folder(desk)) == {}


def test_a_journal_file_that_was_sealed_since_it_was_named_is_read_as_evidence(desk: Desk) -> None:
    path = segments(folder(desk))[FIRST]
    content = path.read_bytes()
    sealed(desk, FIRST)
    assert read(path) == content
    packed(desk, FIRST).unlink()
    with pytest.raises(FileNotFoundError):
        open_segment(path)


# --- what comes after


def opened(desk: Desk, name: str) -> dict[str, Any]:
    return dict(json.loads(written(desk, name).read_bytes().splitlines()[0]))


def end_of(content: bytes) -> str:
    return str(json.loads(content.splitlines()[-1])["hash"])


def closed_days(root: Path, *, signed: bool = True) -> Desk:
    """Write a log of three days in one slot, of which the last is over and closed too."""
    desk = Desk(root, signed=signed)
    with desk.writer() as writer:
        for day in range(3):
            call(writer, day)
            desk.clock.next_day()
        call(writer, 9)
    return desk


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("register", ["kept", "lost"])
def test_after_sealed_segments_the_next_one_follows_and_names_the_last(
    tmp_path: Path, *, signed: bool, register: str
) -> None:
    desk = closed_days(tmp_path, signed=signed)
    written(desk, "000-000004").unlink()  # as if the process had died before it
    last = written(desk, THIRD).read_bytes()
    sealed(desk, FIRST, SECOND, THIRD)
    (folder(desk) / "heads.jsonl").write_bytes(
        b"".join(
            one
            for one in (folder(desk) / "heads.jsonl").read_bytes().splitlines(keepends=True)
            if b"000-000004" not in one
        )
    )
    shutil.rmtree(folder(desk) / "heads")
    if register == "lost":
        (folder(desk) / "heads.jsonl").unlink()
        shutil.rmtree(desk.copies)
        desk.copies.mkdir()
    else:
        (desk.copies / f"{SLUG}.jsonl").write_bytes((folder(desk) / "heads.jsonl").read_bytes())
    with desk.writer() as writer:
        call(writer, 20)
    said = opened(desk, "000-000004")
    assert (said["previousSegment"], said["previousHash"]) == (THIRD, end_of(last))
    assert list(segments(folder(desk))) == [FIRST, SECOND, THIRD, "000-000004"]
    verdict = verify(desk.log())
    if register == "kept":
        assert (verdict.integrity, verdict.unregistered) == ("intact", [])
    else:  # that it was lost is seen; what is there still hangs together
        assert [one[:2] for one in verdict.findings] == [
            ("altered", f"evidence/{FIRST}.jsonl.zst"),
            ("altered", f"evidence/{SECOND}.jsonl.zst"),
        ]


def test_a_sealed_segment_that_is_damaged_is_named_as_the_register_knows_it(
    tmp_path: Path,
) -> None:
    desk = closed_days(tmp_path)
    last = written(desk, "000-000004")
    desk.clock.next_day()
    with desk.writer() as writer:
        call(writer, 30)
    content = last.read_bytes()
    sealed(desk, FIRST, SECOND, THIRD, "000-000004")
    packed(desk, "000-000004").write_bytes(packed(desk, "000-000004").read_bytes()[:50])
    written(desk, "000-000005").unlink()  # stolen: its name is not given again
    desk.clock.next_day()
    with desk.writer() as writer:
        call(writer, 31)
    assert opened(desk, "000-000006")["previousSegment"] == "000-000005"
    shutil.rmtree(folder(desk) / "journal")
    shutil.rmtree(folder(desk) / "heads")
    register = (folder(desk) / "heads.jsonl").read_bytes().splitlines(keepends=True)
    kept = [one for one in register if b"000-000005" not in one and b"000-000006" not in one]
    (folder(desk) / "heads.jsonl").write_bytes(b"".join(kept))
    with desk.writer() as writer:
        call(writer, 32)
    assert opened(desk, "000-000005")["previousHash"] == end_of(content)


def test_a_name_that_only_evidence_knows_is_not_given_again(tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    inside = audit / SLUG / "evidence"
    inside.mkdir(parents=True)
    (inside / "000-000041.jsonl.zst").write_bytes(b"damaged")
    with AuditWriter(audit, author=AUTHOR) as writer:
        writer.append(SLUG, intent(1))
    assert [one.name for one in (audit / SLUG / "journal").iterdir()] == ["000-000042.jsonl"]


def test_a_silence_is_counted_from_sealed_records_where_the_register_is_lost(
    tmp_path: Path,
) -> None:
    desk = closed_days(tmp_path)
    written(desk, "000-000004").unlink()
    since = json.loads(written(desk, THIRD).read_bytes().splitlines()[-1])["ts"]
    sealed(desk, FIRST, SECOND, THIRD)
    (folder(desk) / "heads.jsonl").unlink()
    shutil.rmtree(folder(desk) / "heads")
    desk.clock.next_day(5)
    with desk.writer() as writer:
        call(writer, 20)
    lines = written(desk, "000-000004").read_bytes().splitlines()
    idle = [json.loads(one) for one in lines if b'"audit.idle"' in one]
    assert [one["since"] for one in idle] == [since]


def test_a_client_whose_log_is_all_sealed_still_has_one(desk: Desk, tmp_path: Path) -> None:
    sealed(desk, FIRST)
    log = folder(desk)
    shutil.rmtree(log / "journal")
    shutil.rmtree(log / "heads")
    (log / "heads.jsonl").unlink()
    shutil.rmtree(desk.copies)
    said = {"schema": 1, "workspace": "w", "store": "age:credentials"}
    workspace = Workspace(tmp_path, Settings.model_validate(said))
    assert logs(workspace) == [SLUG]
    assert cursors.recorded(desk.audit) == [SLUG]
    assert evidence.is_log(log)
    assert not evidence.is_log(desk.audit / "nobody")


def test_a_log_has_the_lineages_that_were_merged_into_it(desk: Desk) -> None:
    log = folder(desk)
    assert evidence.lineages(log) == [log]
    for name in ("b" * 16, "a" * 16):
        (log / "merged" / name / "evidence").mkdir(parents=True)
    (log / "merged" / "stray").write_bytes(b"")
    assert evidence.lineages(log) == [log, log / "merged" / ("a" * 16), log / "merged" / ("b" * 16)]
