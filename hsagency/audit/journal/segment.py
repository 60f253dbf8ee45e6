"""
One segment of a journal: a file of chained records that one process holds.

Promised:

(1) `append(..., durable=True)` returns after the record, and every record appended before
    it, has been flushed to the disk. It raises `AuditError` otherwise, and then nothing of
    the record is left behind.
(2) Threads that append at the same time share one flush (group commit).
(3) A file that was deleted, replaced or damaged underneath is noticed before the next call
    is sent, and the error says what to do.

Which segment a process takes is the business of `slots`; what follows one, of `journal`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from hsagency.audit import chain
from hsagency.audit.record import SCHEMA, Event, encode
from hsagency.audit.register import Head
from hsagency.durable import cure, unlock_and_close
from hsagency.errors import AuditError

Sync = Callable[[int], None]


class End(NamedTuple):
    """Where a segment ends: its bytes, its records, the hash of the last one, and if for good."""

    size: int
    seq: int
    hash: str
    closed: bool = False


class Segment:
    """One open journal file, held by this process alone; safe for threads."""

    def __init__(self, descriptor: int, path: Path, end: End, *, sync: Sync) -> None:
        self._pid, self._descriptor = os.getpid(), descriptor
        self.path, self.name, self._file = path, path.stem, os.fspath(path)
        self._sync = sync
        self._write_lock, self._sync_lock = threading.Lock(), threading.Lock()
        self._broken: str | None = None
        self._inode = os.fstat(descriptor).st_ino
        self._end, self._next = end, end  # they differ while a record is being written
        self._synced = End(0, 0, "")  # a dead process may have left it unflushed

    def is_over(self, limit: int) -> bool:
        """Say whether nothing more is written here: it is closed, or large enough."""
        end = self._end
        return end.closed or end.size >= limit

    @property
    def records(self) -> int:
        """How many records it has."""
        return self._end.seq

    @property
    def closed(self) -> bool:
        """Whether its last record says that nothing follows."""
        return self._end.closed

    @property
    def broken(self) -> bool:
        """Whether something happened to it that keeps it from being written."""
        return self._broken is not None

    @property
    def held(self) -> bool:
        """Whether it, and with it its slot, is still this process's."""
        return self._descriptor >= 0

    @property
    def head(self) -> Head:
        """How far it is on the disk."""
        return Head(self.name, self._synced.seq, self._synced.size, self._synced.hash)

    def append(self, fields: Mapping[str, object], *, durable: bool) -> None:
        """Write one record, and wait for the disk if it must be durable."""
        number = self.write(fields)
        if durable:
            self.flush(number)

    def write(self, fields: Mapping[str, object]) -> int:
        """Write one record and return its number; `flush` waits for the disk."""
        with self._write_lock:
            self._check()
            end = self._end
            seq, closed = end.seq + 1, fields["event"] == Event.AUDIT_CLOSED
            record = {"schema": SCHEMA, "seq": seq, **fields}
            if closed:
                record["records"] = seq
            line, digest = chain.link(end.hash, encode(record))
            self._next = End(end.size + len(line), seq, digest, closed)
            self._write(line)
            self._end = self._next
        return seq

    def flush(self, upto: int | None = None) -> None:
        """Wait until record `upto`, else everything written so far, is on the disk."""
        upto = self._end.seq if upto is None else upto
        with self._sync_lock:
            # Another thread's flush may have covered it already.
            if self._synced.seq < upto:
                self._flush()

    def close(self) -> None:
        """Flush and let go of the slot; a forked child only lets go of its copy."""
        if os.getpid() != self._pid:
            self.let_go()
            return
        # Both locks: a descriptor closed under a writer's feet may be another file's by then.
        with self._write_lock:
            try:
                if self._descriptor >= 0 and self._broken is None:
                    if self._next is not self._end:
                        self._settle()
                    self.flush()
            finally:
                with self._sync_lock:
                    self.let_go()

    def let_go(self) -> None:
        """Let go of the slot and nothing else; `close` is the way for what was written."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0 and os.getpid() == self._pid:
            unlock_and_close(descriptor)  # a forked child may have a copy open
        elif descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        # An interrupt may come between taking a slot and keeping it.
        with contextlib.suppress(Exception):
            self.let_go()

    def _refuse_strangers(self) -> None:
        if self._descriptor < 0 or os.getpid() != self._pid:
            raise AuditError(STRANGE, hint=REOPEN)

    def _refuse_broken(self) -> None:
        if self._broken is not None:
            raise AuditError(f"The audit log {self.path} {self._broken}.", hint=_KEEP)

    def _check(self) -> None:
        """Raise unless records written now will be found later under this name."""
        if self._broken is not None or self._descriptor < 0 or os.getpid() != self._pid:
            self._refuse_broken()
            self._refuse_strangers()
        if self._next is not self._end:
            self._settle()
        try:
            there = os.stat(self._file)  # noqa: PTH116  (three times as quick, once a call)
        except OSError as error:
            self._give_up("was deleted or can no longer be reached", error)
        if there.st_ino != self._inode or there.st_size != self._end.size:
            self._give_up("was replaced, cut or added to by something else", None)

    def _settle(self) -> None:
        """Find out how far a record got whose writing was interrupted (Ctrl-C in a notebook)."""
        size = os.fstat(self._descriptor).st_size
        if size == self._next.size:
            self._end = self._next
        elif self._end.size < size < self._next.size:
            self._take_back(None)
        self._next = self._end

    def _write(self, line: bytes) -> None:
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            self._refuse(error)
        if written != len(line):
            self._refuse(OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes fitted"))

    def _refuse(self, error: OSError) -> NoReturn:
        self._take_back(error)
        self._next = self._end
        raise AuditError(
            f"The audit log {self.path} cannot be written ({error.strerror}).",
            hint=cure(error, otherwise="See to the disk, then try again."),
        ) from error

    def _take_back(self, cause: OSError | None) -> None:
        """Cut a half-written record off again, so that the file stays readable."""
        try:
            os.ftruncate(self._descriptor, self._end.size)
        except OSError as error:
            self._give_up("is left with half a record", cause or error)

    def _flush(self) -> None:
        # After a failed flush the kernel may have dropped the pages: a second one that
        # succeeds, for another thread, would prove nothing.
        self._refuse_broken()
        reached = self._end
        try:
            self._sync(self._descriptor)
        except OSError as error:
            self._give_up("could not be flushed to the disk", error)
        self._synced = reached

    def _give_up(self, what: str, cause: OSError | None) -> NoReturn:
        self._broken = what
        raise AuditError(f"The audit log {self.path} {what}.", hint=_KEEP) from cause


STRANGE: Final = "This audit log is closed, or was opened by another process."
REOPEN: Final = "Open the agency again in this process: Agency.open()."
_KEEP: Final = "Keep that folder as it is, find out what touched it, and open the agency again."
