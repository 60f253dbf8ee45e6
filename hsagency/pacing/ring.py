"""
The file in which all processes of this machine keep one portal's tally.

It has a fixed size: a few numbers, and for each window a ring of the times at which calls leave. A
lock on the file keeps processes apart, another keeps threads apart. Times are the wall clock's,
so that they outlive a reboot; a time that lies too far ahead was written before the clock was set
back. An entry of a ring is written where the next one goes, and after it the numbers, in one
piece: a process that is killed in between leaves nothing that counts.

The file is read and written, not mapped: one that somebody cuts short, or a disk that is full,
is then an error with a name rather than the end of the process. What is damaged, by its
checksums or by numbers that make no sense, is begun anew; what a later version wrote is left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import struct
import threading
import zlib
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Final

from hsagency.durable import cure, open_regular, sync_dir
from hsagency.errors import NewerSchema, WorkspaceError
from hsagency.pacing.layout import WORDS, Word, make_sense

_NAME, _VERSION = b"hsapace", 1
MAGIC: Final = int.from_bytes(b"%s%d" % (_NAME, _VERSION), "little")
TEXT: Final = 256
SLOTS: Final = (512, 512, 64)
"""How many times each ring holds, by budget: more than any limit that is known."""

_CHECK, _DATA = 1, 2
_HEAD: Final = WORDS * 8
_WORDS: Final = struct.Struct(f"={WORDS}q")
_STARTS: Final = (*accumulate((WORDS + TEXT // 8, *SLOTS)),)  # in words
SIZE: Final = _STARTS[-1] * 8
_LOOK: Final = 1_000_000_000  # nanoseconds between two looks whether the file is still the one

_open: dict[int, int] = {}  # descriptors, and the process that opened each


def _let_go() -> None:
    """In a forked child: close what it inherited, so that it never holds its parent's lock."""
    for descriptor in list(_open):
        os.close(descriptor)
    _open.clear()


os.register_at_fork(after_in_child=_let_go)


class Ring:
    """One portal's file, open in one process; `words` and `rings` are as last read."""

    def __init__(self, path: Path, *, now: Callable[[], int], tell: Callable[[str], None]) -> None:
        self._path, self._now, self._tell = path, now, tell
        self._lock = threading.Lock()
        self._bytes = bytearray(SIZE)
        self._buffer = memoryview(self._bytes)
        self._head = self._buffer[:_HEAD]
        self._checked = self._buffer[_DATA * 8 : _HEAD]
        self._text = self._buffer[_HEAD : _HEAD + TEXT]
        whole = self._buffer.cast("q")
        self.words = whole[:WORDS]
        self._slots = tuple(
            self._buffer[_STARTS[i] * 8 : _STARTS[i + 1] * 8] for i in range(len(SLOTS))
        )
        self.rings = tuple(whole[_STARTS[i] : _STARTS[i + 1]] for i in range(len(SLOTS)))
        self._descriptor = -1
        self._looked = 0
        self._seen = False  # whether it ever was whole
        self._sensible = -1  # the checksum of numbers that are known to make sense
        self.begun_anew = False
        """Whether what was known is lost, until somebody has seen to it."""
        self.is_new = False
        """Whether nothing was ever known here, until somebody has seen to it."""

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._drop()

    def peek(self) -> tuple[int, ...] | None:
        """Return the numbers without waiting for anybody; nothing where that does not work."""
        if self._descriptor < 0:
            return None
        try:
            found = os.pread(self._descriptor, _HEAD, 0)
        except OSError:
            return None
        if len(found) != _HEAD:
            return None
        words = _WORDS.unpack(found)
        whole = words[0] == MAGIC and words[_CHECK] == zlib.crc32(memoryview(found)[_DATA * 8 :])
        return words if whole else None

    def entry(self, budget: int, place: int) -> int:
        """Return one entry of a ring as `peek` does; 0 is none."""
        at = (_STARTS[budget] + place % SLOTS[budget]) * 8
        try:
            return int.from_bytes(os.pread(self._descriptor, 8, at), "little", signed=True)
        except OSError:
            return 0

    def acquire(self) -> None:
        """
        Wait for other threads and processes, and read all there is.

        Must be followed by `release`. Raises `WorkspaceError` where the file cannot be used.
        """
        self._lock.acquire()
        try:
            self._take()
        except OSError as error:
            self._give_back()
            raise self._unusable(error) from error
        except BaseException:
            self._give_back()
            raise

    def release(self) -> None:
        """Let others at it."""
        self._give_back()

    def save(self) -> None:
        """Write the numbers, in one piece."""
        self.words[Word.RINGS] = self._sum()
        self.words[_CHECK] = zlib.crc32(self._checked)
        self._write(self._head, 0)

    def put(self, budget: int, place: int, at: int) -> None:
        """Write one entry of a ring, by where it is counted from the first."""
        place %= SLOTS[budget]
        self.rings[budget][place] = at
        self._write(at.to_bytes(8, "little", signed=True), (_STARTS[budget] + place) * 8)

    def put_all(self, budget: int) -> None:
        """Write a whole ring as it is now."""
        first, end = _STARTS[budget] * 8, _STARTS[budget + 1] * 8
        self._write(self._buffer[first:end], first)

    @property
    def text(self) -> str:
        """A few words that belong to the numbers, fit to be shown."""
        text = bytes(self._text).rstrip(b"\0").decode("utf-8", "replace")
        return "".join(one for one in text if one.isprintable())

    @text.setter
    def text(self, text: str) -> None:
        kept = text.encode("utf-8", "replace")[:TEXT].decode("utf-8", "ignore").encode()
        self._text[:] = kept.ljust(TEXT, b"\0")
        self._write(self._text, _HEAD)

    def _take(self) -> None:
        now = self._now()
        if not 0 <= now - self._looked < _LOOK or self._descriptor < 0:
            self._look(now)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        if os.preadv(self._descriptor, (self._buffer,), 0) != SIZE or not self._is_whole():
            self._begin_anew()

    def _give_back(self) -> None:
        try:
            if self._descriptor >= 0:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            self._lock.release()

    def _look(self, now: int) -> None:
        """Open the file, or another one where this is no longer the one that others open."""
        self._looked = now
        if self._descriptor >= 0:
            if self._is_still_there():
                return
            self._drop()
            self.begun_anew = True
        self._make_folder()
        self._descriptor = open_regular(self._path, os.O_RDWR | os.O_CREAT)
        _open[self._descriptor] = os.getpid()
        if os.fstat(self._descriptor).st_mode & 0o077:
            os.fchmod(self._descriptor, stat.S_IRUSR | stat.S_IWUSR)

    def _is_still_there(self) -> bool:
        try:
            there = self._path.lstat()
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self._descriptor))

    def _drop(self) -> None:
        if self._descriptor >= 0:
            _open.pop(self._descriptor, None)
            os.close(self._descriptor)
            self._descriptor = -1

    def _is_whole(self) -> bool:
        whole = (
            self.words[0] == MAGIC
            and self.words[_CHECK] == zlib.crc32(self._checked)
            and self.words[Word.RINGS] == self._sum()
            and (self.words[_CHECK] == self._sensible or make_sense(self.words))
        )
        if whole:
            self._seen, self._sensible = True, self.words[_CHECK]
        return whole

    def _sum(self) -> int:
        """Return the checksum of the rings, but for the places where the next entries go."""
        found = 0
        for budget, ring in enumerate(self._slots):
            at = self.words[Word.HEADS + budget] % SLOTS[budget] * 8
            found = zlib.crc32(ring[at + 8 :], zlib.crc32(ring[:at], found))
        return found

    def _begin_anew(self) -> None:
        """Make the file what it is at first; it is whole only once all of it is written."""
        found = os.pread(self._descriptor, SIZE, 0)
        self._refuse_later(found)
        emptied = self._seen and not self.begun_anew
        if emptied or any(found) or len(found) >= SIZE:  # else it was never whole
            self.begun_anew = True
            self._tell(
                f"What was known of a portal's limits was damaged and is begun anew ({self._path}). "
                "Calls to that portal wait until any that were made before count no longer."
            )
        self.is_new = not self.begun_anew
        self._buffer[:] = bytes(SIZE)
        self._write(self._buffer, 0)
        os.ftruncate(self._descriptor, SIZE)
        self.words[0] = MAGIC
        self.save()

    def _refuse_later(self, found: bytes) -> None:
        """Raise for a file that a later version wrote: what it knows must not be lost."""
        version = found[len(_NAME) : 8]
        if found.startswith(_NAME) and version.isdigit() and int(version) > _VERSION:
            raise NewerSchema(
                f"Which calls this machine makes to a portal is kept in {self._path}, which a "
                "later hsagency wrote. Nothing was sent.",
                hint="Use that hsagency.",
            )

    def _make_folder(self) -> None:
        """Make the last folder alone: a workspace whose state is gone is not made whole here."""
        with contextlib.suppress(FileExistsError):
            self._path.parent.mkdir(mode=0o700)
            sync_dir(self._path.parent.parent)

    def _write(self, data: bytes | memoryview, at: int) -> None:
        try:
            written = os.pwrite(self._descriptor, data, at)
            if written != len(data):  # the disk took a part: the next write says why
                os.pwrite(self._descriptor, data[written:], at + written)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> WorkspaceError:
        return WorkspaceError(
            f"Which calls this machine makes to a portal is kept in {self._path}, and that cannot "
            f"be used ({error.strerror}). Nothing was sent.",
            hint=cure(error),
        )
