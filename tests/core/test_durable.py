"""Files are whole or as they were, private, and locked against other processes."""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path

import pytest

from hsagency.durable import locked, make_private_dir, try_lock, write_private
from tests.core.conftest import Child


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"one", b"", b"two" * 100_000):
        write_private(path, content)
        assert path.read_bytes() == content
        assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_a_file_that_was_open_to_others_is_closed_by_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    path.chmod(0o666)
    write_private(path, b"y")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_is_replaced_and_what_it_led_to_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("theirs")
    (tmp_path / "file").symlink_to(target)
    write_private(tmp_path / "file", b"ours")
    assert target.read_text() == "theirs"
    assert not (tmp_path / "file").is_symlink()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_private(path, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


KILLED = """
import os, sys, threading
from pathlib import Path
from hsagency.durable import write_private
path = Path(sys.argv[1])
threading.Timer(0.05, os._exit, [9]).start()
while True:
    for one in (b"a", b"b"):
        write_private(path, one * 200_000)
"""


def test_a_writer_that_is_killed_leaves_a_whole_file(tmp_path: Path, child: Child) -> None:
    path = tmp_path / "file"
    write_private(path, b"a" * 200_000)
    for _ in range(3):
        assert child(KILLED, path).returncode == 9
        content = path.read_bytes()
        assert len(content) == 200_000
        assert len(set(content)) == 1


def test_folders_are_made_with_their_parents_and_private(tmp_path: Path) -> None:
    made = make_private_dir(tmp_path / "a" / "b" / "c")
    for folder in (made, made.parent, made.parent.parent):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert make_private_dir(made) == made


def test_a_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match=r"exists|Not a directory"):
            make_private_dir(path)


def test_a_lock_keeps_other_threads_waiting(tmp_path: Path) -> None:
    inside: list[int] = []
    seen: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            with locked(tmp_path / "lock"):
                inside.append(number)
                seen.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 80


def test_a_lock_keeps_other_processes_out_and_goes_with_its_holder(
    tmp_path: Path, child: Child
) -> None:
    code = """
import os, sys
from hsagency.durable import try_lock
print(try_lock(os.open(sys.argv[1], os.O_RDWR)))
"""
    path = tmp_path / "lock"
    with locked(path):
        assert child(code, path).stdout == "False\n"
    assert child(code, path).stdout == "True\n"
    descriptor = os.open(path, os.O_RDWR)
    assert try_lock(descriptor)
    os.close(descriptor)
