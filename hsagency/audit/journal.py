"""
The audit writer: a record is on disk before the call it announces leaves.

Promised:

(1) `append(..., durable=True)` returns after the record, and every record appended before
    it, has been flushed to the disk. It raises `AuditError` otherwise, and then nothing of
    the record is left behind.
(2) Threads that append at the same time share one flush (group commit). Processes never
    share a file: each takes a free slot under a lock that dies with it.
(3) A record appended without `durable` survives the death of this process at once and a
    power cut after the next flush, a second later at most.
(4) A file that was deleted, replaced or damaged underneath is noticed before the next call
    is sent, and the error says what to do.
(5) A torn last line, left by a power cut, is set aside beside the segment at the next open;
    it never makes the rest unreadable.

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
from typing import Final, NoReturn, Self

import orjson

from hsagency.audit import chain
from hsagency.audit.record import SCHEMA, Author, Event, encode, timestamp
from hsagency.durable import make_private_dir, sync_dir, try_lock
from hsagency.errors import AuditError

Sync = Callable[[int], None]
Now = Callable[[], datetime]

_SLOTS: Final = 1000  # processes that can write for one client at once
_FLUSH_SECONDS: Final = 1.0  # the longest an outcome waits for a flush
_TAIL: Final = 1 << 16  # more than the longest record


def utc_now() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(UTC)


class Segment:
    """One open journal file, held by this process alone; safe for threads."""

    def __init__(self, descriptor: int, path: Path, *, sync: Sync) -> None:
        self.path = path
        self._descriptor = descriptor
        self._sync = sync
        self._pid = os.getpid()
        self._write_lock, self._sync_lock = threading.Lock(), threading.Lock()
        self._broken: AuditError | None = None
        self._inode = os.fstat(descriptor).st_ino
        self._size, self._seq, self._hash = _resume(descriptor, path)
        self._synced = self._seq

    def append(self, fields: Mapping[str, object], *, durable: bool) -> None:
        """Write one record, and wait for the disk if it must be durable."""
        with self._write_lock:
            self._check()
            body = encode({"schema": SCHEMA, "seq": self._seq + 1, **fields})
            line, digest = chain.link(self._hash, body)
            self._write(line)
            self._size += len(line)
            self._seq += 1
            self._hash = digest
            mine = self._seq
        if durable:
            self._flush(mine)

    def flush(self) -> None:
        """Wait until everything written so far is on the disk."""
        self._flush(self._seq)

    def close(self) -> None:
        """Flush and let go of the slot; a forked child only lets go of its copy."""
        if self._descriptor < 0:
            return
        try:
            if os.getpid() == self._pid and self._broken is None:
                self.flush()
        finally:
            os.close(self._descriptor)
            self._descriptor = -1

    def _check(self) -> None:
        """Raise unless records written now will be found later under this name."""
        if self._broken is not None:
            raise self._broken
        if self._descriptor < 0 or os.getpid() != self._pid:
            raise AuditError(
                "This audit log is closed, or was opened by another process. Nothing was sent.",
                hint="Open the agency again in this process: Agency.open().",
            )
        try:
            there = os.stat(self.path)  # noqa: PTH116  (three times as quick, once a call)
        except OSError as error:
            self._give_up("was deleted or can no longer be reached", error)
        if there.st_ino != self._inode or there.st_size != self._size:
            self._give_up("was replaced, cut or added to by something else", None)

    def _write(self, line: bytes) -> None:
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            self._refuse(error)
        if written != len(line):
            self._refuse(OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes fitted"))

    def _refuse(self, error: OSError) -> NoReturn:
        self._take_back(error)
        raise AuditError(
            f"The audit log {self.path} cannot be written ({error.strerror}). Nothing was sent.",
            hint=_CURES.get(error.errno or 0, "See to the disk, then try again."),
        ) from error

    def _take_back(self, cause: OSError) -> None:
        """Cut a half-written record off again, so that the file stays readable."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            self._give_up("is left with half a record", cause)

    def _flush(self, upto: int) -> None:
        """Flush unless another thread's flush already covered record `upto`."""
        with self._sync_lock:
            if self._synced >= upto:
                return
            reached = self._seq
            try:
                self._sync(self._descriptor)
            except OSError as error:
                # After a failed flush the kernel may have dropped the pages: trust nothing.
                self._give_up("could not be flushed to the disk", error)
            self._synced = reached

    def _give_up(self, what: str, cause: OSError | None) -> None:
        self._broken = AuditError(
            f"The audit log {self.path} {what}. Nothing was sent.",
            hint="Keep that folder as it is, find out what touched it, and open the agency again.",
        )
        raise self._broken from cause


_CURES: Final = {
    errno.ENOSPC: "The disk is full: free some space, then try again.",
    errno.EDQUOT: "Your disk quota is used up: free some space, then try again.",
    errno.EFBIG: "A file size limit (ulimit -f) stops it: raise the limit, then try again.",
    errno.EROFS: "The file system is read-only: remount it, then try again.",
}


def _resume(descriptor: int, path: Path) -> tuple[int, int, str]:
    """Return size, last sequence number and last hash of a whole segment."""
    size = os.fstat(descriptor).st_size
    if size == 0:
        return 0, 0, chain.genesis(path.name)
    tail = os.pread(descriptor, min(size, _TAIL), max(0, size - _TAIL))
    last = tail[tail.rfind(b"\n", 0, -1) + 1 :]
    digest = chain.hash_of(last)
    if digest is None:
        raise ValueError
    return size, int(orjson.loads(last)["seq"]), digest


def _set_torn_tail_aside(descriptor: int, path: Path) -> int:
    """Move what follows the last line end into a file beside, and return its length."""
    end = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, min(end, _TAIL), max(0, end - _TAIL))
    torn = tail[tail.rfind(b"\n") + 1 :]
    if not torn or len(torn) == len(tail) < end:
        return 0  # whole, or no line end in sight: then it is not a torn record of ours
    beside = path.with_name(f"{path.name}.torn-at-{end - len(torn)}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(torn)
        file.flush()
        os.fsync(file.fileno())
    sync_dir(path.parent)
    os.ftruncate(descriptor, end - len(torn))
    return len(torn)


def open_segment(folder: Path, *, sync: Sync = os.fdatasync) -> tuple[Segment, int]:
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
                torn = _set_torn_tail_aside(descriptor, path)
                try:
                    segment = Segment(descriptor, path, sync=sync)
                except (ValueError, KeyError):
                    continue  # damaged: left as it is for the verifier to name
                undo.pop_all()
                sync_dir(folder)
                return segment, torn
    except OSError as error:
        raise AuditError(
            f"The audit log in {folder} cannot be opened ({error.strerror}). Nothing was sent.",
            hint="This user must own the folder and be able to write there.",
        ) from error
    raise AuditError(
        f"All {_SLOTS} writer slots in {folder} are taken or damaged. Nothing was sent.",
        hint="Close other programs that use this workspace.",
    )


class AuditWriter:
    """
    Writes records into the journals under `folder`, one per client.

    Every record is stamped with who wrote it and when. There is no switch that turns it
    off: what cannot be recorded is not done.
    """

    def __init__(
        self, folder: Path, *, author: Author, now: Now = utc_now, sync: Sync = os.fdatasync
    ) -> None:
        self.folder = folder
        self.author = author
        self.now = now
        self._sync = sync
        self._segments: dict[str, Segment] = {}
        self._lock = threading.Lock()
        self._dirty: set[Segment] = set()
        self._wake = threading.Event()
        self._flusher: threading.Thread | None = None
        self._author_fields = author.fields()
        self._closed = False

    def append(self, slug: str, fields: Mapping[str, object], *, durable: bool = True) -> None:
        """Add a record to a client's journal, stamped with time and author."""
        segment = self._segments.get(slug) or self._open(slug)
        stamped = {
            "event": fields["event"],
            "ts": timestamp(self.now()),
            "clientSlug": slug,
            **self._author_fields,
            **fields,
        }
        segment.append(stamped, durable=durable)
        if not durable:
            self._flush_soon(segment)

    def flush(self) -> None:
        """Wait until every record written so far is on the disk."""
        for segment in list(self._segments.values()):
            segment.flush()

    def close(self) -> None:
        """Flush, and let go of every slot."""
        with self._lock:
            self._closed = True
            self._wake.set()
            segments, self._segments = self._segments, {}
        for segment in segments.values():
            segment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, slug: str) -> Segment:
        with self._lock:
            if self._closed:
                raise AuditError("This audit log is closed. Nothing was sent.")
            if slug not in self._segments:
                segment, torn = open_segment(self.folder / slug / "journal", sync=self._sync)
                self._segments[slug] = segment
                if torn:
                    self._note_repair(slug, segment, torn)
            return self._segments[slug]

    def _note_repair(self, slug: str, segment: Segment, torn: int) -> None:
        fields = {
            "event": Event.AUDIT_REPAIRED,
            "ts": timestamp(self.now()),
            "clientSlug": slug,
            **self._author_fields,
            "message": f"A torn last line of {torn} bytes was set aside beside the segment.",
        }
        segment.append(fields, durable=True)

    def _flush_soon(self, segment: Segment) -> None:
        if segment in self._dirty:
            return
        with self._lock:
            self._dirty.add(segment)
            if self._flusher is None and not self._closed:
                self._flusher = threading.Thread(
                    target=self._flush_forever, name="audit-flusher", daemon=True
                )
                self._flusher.start()

    def _flush_forever(self) -> None:
        while not self._wake.wait(_FLUSH_SECONDS):
            with self._lock:
                dirty, self._dirty = self._dirty, set()
            for segment in dirty:
                # A failure marks the segment; the next call on it is refused with the cause.
                with contextlib.suppress(AuditError, OSError):
                    segment.flush()
