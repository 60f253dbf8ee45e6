"""
The audit writer: a record is on disk before the call it announces leaves.

Promised:

(1) `append(..., durable=True)` returns after the record, and every record appended before
    it, has been flushed to the disk. It raises `AuditError` otherwise, and then nothing of
    the record is left behind.
(2) Threads that append at the same time share one flush (group commit). Processes never
    share a file: each takes a free slot under a lock that dies with it.
(3) A record appended without `durable` survives the death of this process at once, and a
    power cut after the next flush: a second later at most while this process lives.
(4) A file that was deleted, replaced or damaged underneath is noticed before the next call
    is sent, and the error says what to do.
(5) A torn last line, left by a power cut, is set aside beside the segment at the next open,
    and that is recorded; it never makes the rest unreadable.
(6) A writer belongs to the process that made it: a forked child is refused, not kept waiting
    for a lock that nobody will release.

Not promised: that a disk which lies about flushing keeps its word.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, NoReturn, Self

import orjson

from hsagency.audit import chain
from hsagency.audit.record import SCHEMA, Author, Event, encode, timestamp
from hsagency.durable import make_private_dir, sync_dir, sync_file, try_lock
from hsagency.errors import AuditError

Sync = Callable[[int], None]
Now = Callable[[], datetime]

_SLOTS: Final = 1000  # processes that can write for one client at once
_FLUSH_SECONDS: Final = 1.0  # the longest an outcome waits for a flush
_STEP: Final = 1 << 16  # looked at at once when searching for the last line end
_NOT_SENT: Final = " Nothing was sent."


def utc_now() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(UTC)


class _End(NamedTuple):
    """Where a segment ends: its bytes, its records, and the hash of the last one."""

    size: int
    seq: int
    hash: str


class Segment:
    """One open journal file, held by this process alone; safe for threads."""

    def __init__(self, descriptor: int, path: Path, end: _End, *, sync: Sync) -> None:
        self.path, self._name = path, os.fspath(path)
        self._descriptor = descriptor
        self._sync = sync
        self._pid = os.getpid()
        self._write_lock, self._sync_lock = threading.Lock(), threading.Lock()
        self._broken: str | None = None
        self._inode = os.fstat(descriptor).st_ino
        self._end, self._next = end, end  # they differ while a record is being written
        self._synced = end.seq

    def append(self, fields: Mapping[str, object], *, durable: bool) -> None:
        """Write one record, and wait for the disk if it must be durable."""
        with self._write_lock:
            self._check()
            end = self._end
            body = encode({"schema": SCHEMA, "seq": end.seq + 1, **fields})
            line, digest = chain.link(end.hash, body)
            self._next = _End(end.size + len(line), end.seq + 1, digest)
            self._write(line)
            self._end = self._next
        if durable:
            self._flush(end.seq + 1)

    def flush(self) -> None:
        """Wait until everything written so far is on the disk."""
        self._flush(self._end.seq)

    def close(self) -> None:
        """Flush and let go of the slot; a forked child only lets go of its copy."""
        if os.getpid() != self._pid:
            self._let_go()
            return
        # Both locks: a descriptor closed under a writer's feet may be another file's by then.
        with self._write_lock:
            try:
                if self._descriptor >= 0 and self._broken is None:
                    self._settle()
                    self._flush(self._end.seq)
            finally:
                with self._sync_lock:
                    self._let_go()

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _refuse_strangers(self) -> None:
        if self._descriptor < 0 or os.getpid() != self._pid:
            raise AuditError(_STRANGE, hint=_REOPEN)

    def _refuse_broken(self) -> None:
        if self._broken is not None:
            raise AuditError(f"The audit log {self.path} {self._broken}.", hint=_KEEP)

    def _check(self) -> None:
        """Raise unless records written now will be found later under this name."""
        self._refuse_broken()
        self._refuse_strangers()
        self._settle()
        try:
            there = os.stat(self._name)  # noqa: PTH116  (three times as quick, once a call)
        except OSError as error:
            self._give_up("was deleted or can no longer be reached", error)
        if there.st_ino != self._inode or there.st_size != self._end.size:
            self._give_up("was replaced, cut or added to by something else", None)

    def _settle(self) -> None:
        """Find out how far a record got whose writing was interrupted (Ctrl-C in a notebook)."""
        if self._next is self._end:
            return
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
            hint=_CURES.get(error.errno or 0, "See to the disk, then try again."),
        ) from error

    def _take_back(self, cause: OSError | None) -> None:
        """Cut a half-written record off again, so that the file stays readable."""
        try:
            os.ftruncate(self._descriptor, self._end.size)
        except OSError as error:
            self._give_up("is left with half a record", cause or error)

    def _flush(self, upto: int) -> None:
        """Flush unless another thread's flush already covered record `upto`."""
        with self._sync_lock:
            if self._synced >= upto:
                return
            # After a failed flush the kernel may have dropped the pages: a second one that
            # succeeds, for another thread, would prove nothing.
            self._refuse_broken()
            reached = self._end.seq
            try:
                self._sync(self._descriptor)
            except OSError as error:
                self._give_up("could not be flushed to the disk", error)
            self._synced = reached

    def _give_up(self, what: str, cause: OSError | None) -> NoReturn:
        self._broken = what
        raise AuditError(f"The audit log {self.path} {what}.", hint=_KEEP) from cause


_STRANGE: Final = "This audit log is closed, or was opened by another process."
_REOPEN: Final = "Open the agency again in this process: Agency.open()."
_KEEP: Final = "Keep that folder as it is, find out what touched it, and open the agency again."
_OWN: Final = "This user must own the folder and be able to write there."
_CURES: Final = {
    errno.ENOSPC: "The disk is full: free some space, then try again.",
    errno.EDQUOT: "Your disk quota is used up: free some space, then try again.",
    errno.EFBIG: "A file size limit (ulimit -f) stops it: raise the limit, then try again.",
    errno.EROFS: "The file system is read-only: remount it, then try again.",
}


def _after_last_line_end(descriptor: int, size: int) -> bytes:
    """Return what follows the last line end within the first `size` bytes."""
    tail = b""
    while len(tail) < size:
        step = min(size - len(tail), max(_STEP, len(tail)))
        part = os.pread(descriptor, step, size - len(tail) - step)
        tail = part + tail
        if b"\n" in part:
            return tail[tail.rfind(b"\n", 0, len(part)) + 1 :]
    return tail


def _resume(descriptor: int, path: Path) -> tuple[_End, bytes]:
    """Return where a segment's whole lines end and what is torn; raises if they are not ours."""
    size = os.fstat(descriptor).st_size
    torn = _after_last_line_end(descriptor, size)
    size -= len(torn)
    if size == 0:
        return _End(0, 0, chain.genesis(path.name)), torn
    last = _after_last_line_end(descriptor, size - 1) + b"\n"
    digest = chain.hash_of(last)
    if digest is None:
        raise ValueError
    return _End(size, int(orjson.loads(last)["seq"]), digest), torn


def _set_aside(torn: bytes, descriptor: int, path: Path, end: _End) -> int:
    """
    Move a torn last line into a file beside, and return its length.

    The file's name says where the line was. While nothing follows there, nobody has recorded
    the repair yet (a crash came between), so it counts as one of this moment.
    """
    beside = path.with_name(f"{path.name}.torn-at-{end.size}")
    if not torn:
        return beside.stat().st_size if beside.exists() else 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
        file.write(torn)
        file.flush()
        os.fsync(file.fileno())
    sync_dir(path.parent)
    os.ftruncate(descriptor, end.size)
    return len(torn)


def open_segment(folder: Path, *, sync: Sync = sync_file) -> tuple[Segment, int]:
    """Take the first free slot of a journal; return it and how many torn bytes were set aside."""
    try:
        make_private_dir(folder)
        for slot in range(_SLOTS):
            path = folder / f"{slot:03}-000001.jsonl"
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(path, flags, 0o600)
            with contextlib.ExitStack() as undo:
                undo.callback(os.close, descriptor)
                if not try_lock(descriptor):
                    continue
                try:
                    end, torn = _resume(descriptor, path)
                except (ValueError, KeyError, TypeError):
                    continue  # damaged: left as it is for the verifier to name
                aside = _set_aside(torn, descriptor, path, end)
                # Another process may have made the folders a moment ago, and not flushed them.
                for one in (folder, folder.parent, folder.parent.parent):
                    sync_dir(one)
                undo.pop_all()
                return Segment(descriptor, path, end, sync=sync), aside
    except OSError as error:
        raise AuditError(
            f"The audit log in {folder} cannot be opened ({error.strerror}).",
            hint=_CURES.get(error.errno or 0, _OWN),
        ) from error
    raise AuditError(
        f"All {_SLOTS} writer slots in {folder} are taken or damaged.",
        hint="Close other programs that use this workspace.",
    )


class AuditWriter:
    """
    Writes records into the journals under `folder`, one per client.

    Every record is stamped with who wrote it and when. There is no switch that turns it
    off: what cannot be recorded is not done.
    """

    def __init__(
        self, folder: Path, *, author: Author, now: Now = utc_now, sync: Sync = sync_file
    ) -> None:
        self.folder = folder
        self.author = author
        self.now = now
        self._sync = sync
        self._pid = os.getpid()
        self._segments: dict[str, Segment] = {}
        self._lock = threading.Lock()
        self._dirty: set[Segment] = set()
        self._wake = threading.Event()
        self._flusher: threading.Thread | None = None
        self._author_fields = author.fields()
        self._closed = False

    def append(self, slug: str, fields: Mapping[str, object], *, durable: bool = True) -> None:
        """
        Add a record to a client's journal, stamped with time and author.

        Raises `AuditError` if it cannot be written, or not be made durable where it must.
        """
        try:
            self._refuse_strangers()  # before any lock: a fork copies them as they are
            segment = self._segments.get(slug) or self._open(slug)
            segment.append(self._stamped(slug, fields), durable=durable)
        except AuditError as error:
            if durable:  # an outcome comes after its call: there, something was sent
                error.message += _NOT_SENT
            raise
        if not durable:
            self._flush_soon(segment)

    def flush(self) -> None:
        """Wait until every record written so far is on the disk."""
        for segment in list(self._segments.values()):
            segment.flush()

    def close(self) -> None:
        """Flush, and let go of every slot, also where one of them fails."""
        if os.getpid() == self._pid:
            with self._lock:
                self._closed = True
                self._wake.set()
        segments, self._segments = self._segments, {}
        with contextlib.ExitStack() as each:
            for segment in segments.values():
                each.callback(segment.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _refuse_strangers(self) -> None:
        if self._closed or os.getpid() != self._pid:
            raise AuditError(_STRANGE, hint=_REOPEN)

    def _stamped(self, slug: str, fields: Mapping[str, object]) -> dict[str, object]:
        return {
            "event": fields["event"],
            "ts": timestamp(self.now()),
            "clientSlug": slug,
            **self._author_fields,
            **fields,
        }

    def _open(self, slug: str) -> Segment:
        with self._lock:
            self._refuse_strangers()
            if slug not in self._segments:
                segment, torn = open_segment(self.folder / slug / "journal", sync=self._sync)
                with contextlib.ExitStack() as undo:
                    undo.callback(segment.close)
                    if torn:
                        self._note_repair(slug, segment, torn)
                    undo.pop_all()
                self._segments[slug] = segment
            return self._segments[slug]

    def _note_repair(self, slug: str, segment: Segment, torn: int) -> None:
        message = f"A torn last line of {torn} bytes was set aside beside the segment."
        fields = {"event": Event.AUDIT_REPAIRED, "message": message}
        segment.append(self._stamped(slug, fields), durable=True)

    def _flush_soon(self, segment: Segment) -> None:
        if segment in self._dirty:
            return
        with self._lock:
            self._dirty.add(segment)
            if self._flusher is not None or self._closed:
                return
            flusher = threading.Thread(target=self._flush_forever, daemon=True)
            with contextlib.suppress(RuntimeError):  # none is to be had, as when a program ends
                flusher.start()
                self._flusher = flusher
        if self._flusher is None:
            self._flush_dirty()

    def _flush_forever(self) -> None:
        while not self._wake.wait(_FLUSH_SECONDS):
            self._flush_dirty()

    def _flush_dirty(self) -> None:
        with self._lock:
            dirty, self._dirty = self._dirty, set()
        for segment in dirty:
            # A failure marks the segment; the next call on it is refused with the cause.
            with contextlib.suppress(AuditError, OSError):
                segment.flush()
