"""The file of one portal: whose it is, and what becomes of it when it is damaged."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from hsagency.errors import NewerSchema, QuotaSpent, WorkspaceError
from hsagency.pacing import Pacing
from tests.core.conftest import Child
from tests.core.desks import (
    CALL,
    CRITICAL,
    HELD,
    LOW,
    NOON,
    NORMAL,
    Desk,
    connection,
)


def test_the_files_are_for_this_user_alone_and_closed_with_the_agency(desk: Desk) -> None:
    before = open_files()
    for number in range(1, 31):
        desk.of(portal_id=number).reserve(CALL, NORMAL)
    folder = desk.folder / "pacing"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir()} == {0o600}
    assert len({one.stat().st_size for one in folder.iterdir()}) == 1
    assert open_files() == before + 30
    desk.pacing.close()
    assert open_files() == before


def open_files() -> int:
    """Return how many descriptors this process has open."""
    count = 0
    for descriptor in range(4096):
        with contextlib.suppress(OSError):
            os.fstat(descriptor)
            count += 1
    return count


def spoil(path: Path, at: int, data: bytes) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + data + whole[at + len(data) :])


def nonsense(path: Path, word: int, number: int) -> None:
    """Write a number that cannot be, with a checksum that is right."""
    words = list(struct.unpack("=64q", path.read_bytes()[:512]))
    words[word] = number
    words[1] = zlib.crc32(struct.pack("=62q", *words[2:]))
    spoil(path, 0, struct.pack("=64q", *words))


SPOILS: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, 100),
    "another file": lambda path: path.write_bytes(b"not what it should be" * 500),
    "no longer than it was": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "emptied": lambda path: path.write_bytes(b""),
    "a ring of nothing": lambda path: spoil(path, 768, bytes(4096)),
    "a bit of a ring": lambda path: spoil(path, 768 + 50 * 8 + 7, b"\x20"),
    "numbers that make no sense": lambda path: nonsense(path, 10, 77),
    "a window of years": lambda path: nonsense(path, 30, 10**18),
    "a day that never ends": lambda path: nonsense(path, 4, 2**60),
    "one bit": lambda path: path.write_bytes(
        path.read_bytes()[:40] + b"\xff" * 8 + path.read_bytes()[48:]
    ),
}


@pytest.mark.parametrize("how", sorted(SPOILS))
def test_a_damaged_file_is_begun_anew_with_a_word_and_one_windows_wait(
    desk: Desk, how: str
) -> None:
    pacer = desk.of()
    assert desk.burst(pacer, CRITICAL) == 100
    (path,) = (desk.folder / "pacing").iterdir()
    SPOILS[how](path)
    assert pacer.reserve(CALL, CRITICAL).wait > 0, "what was sent before still counts"
    assert ["damaged and is begun anew" in one for one in desk.said] == [True]
    desk.pass_(HELD + 0.5)
    assert desk.burst(pacer, CRITICAL) == 100


def test_a_file_that_is_removed_underneath_is_made_again(desk: Desk) -> None:
    pacer = desk.of()
    assert desk.burst(pacer, CRITICAL) == 100
    (path,) = (desk.folder / "pacing").iterdir()
    path.unlink()
    desk.pass_(1.1)
    assert pacer.reserve(CALL, CRITICAL).wait > 0, "what was sent before still counts"
    assert path.exists()


def test_a_file_that_is_gone_for_an_older_portal_costs_one_windows_wait(desk: Desk) -> None:
    assert desk.of(added_at=NOON - timedelta(days=1)).reserve(CALL, CRITICAL).wait > 10
    assert desk.of(portal_id=2, added_at=NOON - timedelta(seconds=5)).reserve(CALL, LOW).wait == 0


def test_a_file_of_a_later_version_is_left_as_it_is(desk: Desk) -> None:
    pacer = desk.of()
    pacer.reserve(CALL, NORMAL)
    (path,) = (desk.folder / "pacing").iterdir()
    spoil(path, 0, b"hsapace2")
    later = path.read_bytes()
    for one in (pacer, desk.other().of()):
        with pytest.raises(NewerSchema, match="Nothing was sent"):
            one.reserve(CALL, NORMAL)
    assert path.read_bytes() == later
    assert desk.said == []


def test_a_workspace_whose_state_is_gone_is_not_made_whole(tmp_path: Path, desk: Desk) -> None:
    lost = tmp_path / "state" / "pacing"
    pacing = Pacing(lost, settings=desk.settings, writer=desk.writer, now=desk.now)
    with pytest.raises(WorkspaceError, match="Nothing was sent"):
        pacing.of(connection()).standing()
    assert not lost.parent.exists()


def test_what_a_file_says_of_a_closing_is_fit_to_be_shown(desk: Desk) -> None:
    pacer = desk.of()
    pacer.close(None, "it is\x1b[31m over\r\n")
    with pytest.raises(QuotaSpent, match=r"because it is\[31m over\. Nothing"):
        pacer.reserve(CALL, NORMAL)


def test_what_is_in_the_place_of_the_file_is_an_error_with_a_cure(desk: Desk) -> None:
    (desk.folder / "pacing" / "12345678.pace").mkdir(parents=True)
    with pytest.raises(WorkspaceError, match="Nothing was sent") as refused:
        desk.of().reserve(CALL, NORMAL)
    assert "move it away" in refused.value.hint


def test_a_full_disk_is_an_error_and_nothing_is_sent(tmp_path: Path, child: Child) -> None:
    code = """
import resource, signal, sys
from pathlib import Path
from hsagency.audit.journal.writer import AuditWriter
from hsagency.errors import WorkspaceError
from tests.core.desks import AUTHOR, CALL, NORMAL, Desk
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
with AuditWriter(folder / "audit", author=AUTHOR) as writer:
    pacer = Desk(folder, writer, []).of()
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
    try:
        pacer.reserve(CALL, NORMAL)
    except WorkspaceError as error:
        print("refused", error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print("after", pacer.reserve(CALL, NORMAL).granted)
"""
    done = child(code, tmp_path)
    assert "refused" in done.stdout, done.stderr
    assert "ulimit -f" in done.stdout
    assert "after True" in done.stdout


def test_a_file_of_another_user_is_an_error_with_a_cure(tmp_path: Path, child: Child) -> None:
    code = """
import os, sys
from pathlib import Path
from hsagency.audit.journal.writer import AuditWriter
from hsagency.errors import WorkspaceError
from tests.core.desks import AUTHOR, CALL, NORMAL, Desk
folder = Path(sys.argv[1])
(folder / "mine").mkdir(mode=0o777)
os.chmod(folder / "mine", 0o777)
(folder / "pacing").mkdir(mode=0o755)
(folder / "pacing" / "12345678.pace").touch(mode=0o600)
if os.geteuid() == 0:
    os.setuid(65534)
else:
    os.chmod(folder / "pacing" / "12345678.pace", 0o400)
with AuditWriter(folder / "mine" / "audit", author=AUTHOR) as writer:
    try:
        Desk(folder, writer, []).of().reserve(CALL, NORMAL)
    except WorkspaceError as error:
        print("refused", error)
"""
    for one in (tmp_path, *tmp_path.parents):
        if one.stat().st_uid == os.geteuid() and one != Path("/tmp"):
            one.chmod(one.stat().st_mode | 0o055)
    done = child(code, tmp_path)
    assert "refused" in done.stdout, done.stderr
    assert "Nothing was sent" in done.stdout
