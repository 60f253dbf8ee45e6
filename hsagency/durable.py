"""
Files that survive a crash: written beside, flushed, moved into place.

Promised: after `write_private` returns, a power cut leaves the new content; before it
returns, the old or the new, never a mixture. Files are 0600 and folders 0700 whatever the
umask. Not promised: anything on a disk that lies about fsync, or on a network share without
atomic rename.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Final

from hsagency.errors import AuditError

_STEP: Final = 1 << 16  # looked at at once when searching for the last line end


def make_private_dir(path: Path) -> Path:
    """Make a folder and its missing parents, for this user alone (0700)."""
    missing = [path, *path.parents]
    missing = missing[: next(i for i, one in enumerate(missing) if one.is_dir())]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
        sync_dir(folder.parent)
    return path


class NotAFile(OSError):
    """A pipe, a folder, a link or a device is where a file should be."""


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """
    Open a file, made for this user alone (0600) if `flags` say so, and return its descriptor.

    Never waits: whatever else is in the file's place is refused with `NotAFile`. A link is
    read through, but never written through. Raises `OSError` as `os.open` does.
    """
    writes = flags & os.O_ACCMODE != os.O_RDONLY
    flags |= os.O_CLOEXEC | os.O_NONBLOCK | (os.O_NOFOLLOW if writes else 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.ENXIO) or (writes and error.errno == errno.ELOOP):
            raise _not_a_file(path) from error
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise _not_a_file(path)


def open_to_read(path: Path) -> BufferedReader:
    """Open a file for reading as `open_regular` does."""
    return os.fdopen(open_regular(path), "rb")


def read_regular(path: Path) -> bytes:
    """Return a whole file, opened as `open_regular` does."""
    with open_to_read(path) as file:
        return file.read()


def _not_a_file(path: Path) -> NotAFile:
    return NotAFile(errno.EINVAL, f"{path.name} is no regular file", os.fspath(path))


def write_private(path: Path, data: bytes) -> None:
    """Replace a file's content atomically and durably, for this user alone (0600)."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_dir(path.parent)


def sync_file(descriptor: int) -> None:
    """Wait until what was written to an open file, and its length, is on the disk."""
    if sys.platform == "darwin":
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # there, fsync stops at the drive's cache
    else:
        os.fdatasync(descriptor)


def sync_dir(path: Path) -> None:
    """Make a folder's entries durable: a new or moved file is only safe after this."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`, waiting for other threads and processes."""
    descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        unlock_and_close(descriptor)


@contextlib.contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold an exclusive lock on `path` if nobody else has it, and say whether; never waits."""
    descriptor = open_regular(path, os.O_RDWR | os.O_CREAT)
    try:
        yield try_lock(descriptor)
    finally:
        unlock_and_close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take an exclusive lock on an open file if nobody has it; it goes with the descriptor."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock_and_close(descriptor: int) -> None:
    """Close a file and let go of its lock, also where a forked child has a copy of it open."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def after_last_line_end(descriptor: int, size: int) -> bytes:
    """Return what follows the last line end within the first `size` bytes of a file."""
    tail = b""
    while len(tail) < size:
        step = min(size - len(tail), max(_STEP, len(tail)))
        part = os.pread(descriptor, step, size - len(tail) - step)
        tail = part + tail
        if b"\n" in part:
            return tail[tail.rfind(b"\n", 0, len(part)) + 1 :]
    return tail


def torn_file(path: Path, end: int) -> Path:
    """Return the file beside that holds, or would hold, what was torn off at a place."""
    return path.with_name(f"{path.name}.torn-at-{end}")


def set_aside(torn: bytes, descriptor: int, path: Path, *, end: int) -> None:
    """Move a torn last line into a file beside, whose name says where the line was."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(open_regular(torn_file(path, end), flags), "wb") as file:
        file.write(torn)
        file.flush()
        os.fsync(file.fileno())
    sync_dir(path.parent)
    os.ftruncate(descriptor, end)


_OWN: Final = "This user must own the folder and be able to write there."
_CURES: Final = {
    errno.ENOSPC: "The disk is full: free some space, then try again.",
    errno.EDQUOT: "Your disk quota is used up: free some space, then try again.",
    errno.EFBIG: "A file size limit (ulimit -f) stops it: raise the limit, then try again.",
    errno.EROFS: "The file system is read-only: remount it, then try again.",
}


def entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """
    Return what is in a folder of the log, by name; none there is nothing.

    Raises `AuditError` for one that cannot be read: that is not an empty one.
    """
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda one: one.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(folder, error) from error


def unreadable(path: object, error: OSError) -> AuditError:
    """Return the error for a log that is there, or may be, and cannot be read."""
    return AuditError(
        f"The audit log {path} cannot be read ({error.strerror}).",
        hint="A log that cannot be read is not an empty one: restore access to it.",
    )


def cure(error: OSError, *, otherwise: str = _OWN) -> str:
    """Return what a person can do about a file that cannot be written."""
    if isinstance(error, NotAFile):
        return "A pipe, a folder, a link or a device is in its place: move it away, then try again."
    return _CURES.get(error.errno or 0, otherwise)
