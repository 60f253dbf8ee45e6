"""
Which segment of a journal a process takes: the newest of the first free slot.

Promised:

(1) Processes never share a file: each takes a free slot under a lock that dies with it.
(2) A torn last line, left by a power cut, is set aside beside the segment, and the caller is
    told of it; it never makes the rest unreadable.
(3) A segment that ends before the place that the register or its checkpoint names, or in a
    line that is none of ours, is left as it is for the verifier to name, and another slot is
    taken.
(4) A name that the register or the evidence knows is never given again, whatever became of
    the file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import orjson

from hsagency.audit import chain, evidence
from hsagency.audit.journal.segment import End, Segment, Sync
from hsagency.audit.record import Event
from hsagency.audit.register import Head
from hsagency.durable import (
    after_last_line_end,
    cure,
    make_private_dir,
    set_aside,
    sync_dir,
    sync_file,
    torn_file,
    try_lock,
)
from hsagency.errors import AuditError

_SLOTS: Final = 1000  # processes that can write for one client at once
_LONGEST: Final = 1 << 16  # of a first line: of a longer one the time is not looked for
_TRIES: Final = 5  # at a slot whose segment others end or seal meanwhile
_UNNAMED: Final = 3  # records of a segment, at most, before it is registered; see the verifier
_LOOKS: Final = 3  # at a lock: a reader takes it for an instant, to see whether a writer has it
_INSTANT: Final = 0.001  # seconds


class Known(Protocol):
    """What the register knows of a journal; see `hsagency.audit.register.registrar`."""

    def newest(self) -> dict[int, int]:
        """Return the highest segment number that it names, by slot."""

    def last_head(self, segment: str) -> Head | None:
        """Return the farthest that a segment is known to have come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A segment that was taken up, and what was found in its slot."""

    segment: Segment
    torn: int  # bytes of a torn last line that were set aside
    first: Mapping[str, Any]  # its first record and its last, as far as they can be read
    last: Mapping[str, Any]
    previous: Head | None  # if it is empty: how far the one before it in the slot had come
    avoided: tuple[str, ...]  # damaged segments, whose slots were passed by


class _Found(NamedTuple):
    end: End
    torn: bytes
    first: Mapping[str, Any]
    last: Mapping[str, Any]


_SEGMENT: Final = re.compile(r"(\d{3})-(\d{6})\.jsonl")
_SEALED: Final = re.compile(r"(\d{3})-(\d{6})\.jsonl\.zst")


def newest_segments(folder: Path, *, form: re.Pattern[str] = _SEGMENT) -> dict[int, int]:
    """Return the highest segment number of each slot that has files."""
    found: dict[int, int] = {}
    for one in folder.iterdir():
        match = form.fullmatch(one.name)
        if match:
            slot, number = int(match[1]), int(match[2])
            found[slot] = max(number, found.get(slot, 0))
    return found


def newest_sealed(folder: Path) -> dict[int, int]:
    """Return the highest segment number of each slot that is in the evidence of a journal."""
    with contextlib.suppress(FileNotFoundError):
        return newest_segments(folder.parent / "evidence", form=_SEALED)
    return {}


def last_records(folder: Path, *, sealed: bool) -> Iterator[Mapping[str, Any]]:
    """Yield the last record of every slot, of what is sealed too if asked, if it can be read."""
    written, packed = newest_segments(folder), newest_sealed(folder) if sealed else {}
    for slot, number in packed.items():
        path = evidence.evidence_file(folder.parent, _name(slot, number))
        yield _record(_sealed_end(path)[1])
    for slot, number in written.items():
        # Sealed meanwhile, or damaged: that is for the verifier to name, and stops nobody.
        with contextlib.suppress(OSError):
            yield _written_end(_path(folder, slot, number))


def _written_end(path: Path) -> Mapping[str, Any]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        size = os.fstat(descriptor).st_size
        size -= len(after_last_line_end(descriptor, size))
        return _record(after_last_line_end(descriptor, size - 1))
    finally:
        os.close(descriptor)


def _path(folder: Path, slot: int, number: int) -> Path:
    return folder / f"{_name(slot, number)}.jsonl"


def _name(slot: int, number: int) -> str:
    return f"{slot:03}-{number:06}"


def _refuse_other_than_file(descriptor: int) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "what is in a segment's place is no file")


def _take_lock(descriptor: int) -> bool:
    """Take the lock of a segment, unless another writer has it."""
    for _ in range(_LOOKS - 1):
        if try_lock(descriptor):
            return True
        time.sleep(_INSTANT)
    return try_lock(descriptor)


def _record(line: bytes) -> Mapping[str, Any]:
    try:
        said = orjson.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _look(descriptor: int, name: str, known: Head | None) -> _Found:
    """Return what is in a segment; raises `ValueError` if it is damaged."""
    size = os.fstat(descriptor).st_size
    torn = after_last_line_end(descriptor, size)
    size -= len(torn)
    if known is not None and _hash_at(descriptor, known.bytes, size) != known.hash:
        raise ValueError
    if size == 0:
        return _Found(End(0, 0, chain.genesis(name)), torn, {}, {})
    line = after_last_line_end(descriptor, size - 1)
    last, digest = _record(line), chain.hash_of(line + b"\n")
    if digest is None or type(last.get("seq")) is not int:
        raise ValueError
    first = _record(os.pread(descriptor, _LONGEST, 0).partition(b"\n")[0])
    closed = last.get("event") == Event.AUDIT_CLOSED
    return _Found(End(size, last["seq"], digest, closed), torn, first, last)


def _hash_at(descriptor: int, end: int, size: int) -> str | None:
    """Return the hash of the record that ends at a place, if one does."""
    if not 0 < end <= size:
        return None
    return chain.hash_of(after_last_line_end(descriptor, end - 1) + b"\n")


def _sealed_end(path: Path) -> tuple[int, bytes]:
    """Return how long sealed evidence is when unpacked, and its last line; damaged has none."""
    size, tail = 0, b""
    try:
        with evidence.open_segment(path) as file:
            for line in file:
                size, tail = size + len(line), line
    except AuditError:
        return 0, b""
    return size, tail


def open_segment(folder: Path, *, known: Known, sync: Sync = sync_file) -> Taken:
    """
    Take the first free slot of a journal: its newest segment, or the next if that is closed.

    Raises `AuditError` if there is none, or if it cannot be written.
    """
    try:
        make_private_dir(folder)
        search = _Search(folder, known, sync)
        for slot in range(_SLOTS):
            taken = search.take(slot)
            if taken is not None:
                with contextlib.ExitStack() as undo:
                    undo.callback(taken.segment.let_go)
                    # Another process may have made the folders a moment ago, and not flushed them.
                    for one in (folder, folder.parent, folder.parent.parent):
                        sync_dir(one)
                    undo.pop_all()
                return taken
    except OSError as error:
        raise AuditError(
            f"The audit log in {folder} cannot be opened ({error.strerror}).",
            hint=cure(error),
        ) from error
    raise AuditError(
        f"All {_SLOTS} writer slots in {folder} are taken or damaged.",
        hint="Close other programs that use this workspace.",
    )


def left_open(
    folder: Path, *, besides: str, known: Known, sync: Sync = sync_file
) -> Iterator[Taken]:
    """
    Take, one after the other, the newest segments of other slots that no process has any more.

    Each is the caller's to close. Those that are damaged are passed by.
    """
    search = _Search(folder, known, sync)
    for slot, number in sorted(newest_segments(folder).items()):
        if _name(slot, number) == besides:
            continue
        with contextlib.suppress(_Moved, FileNotFoundError):
            taken = search.take_up(slot, number)
            if taken is not None:
                yield taken


def _refuse_planted(found: _Found) -> None:
    """Raise `ValueError` for more records than a crash leaves of what no line names."""
    if found.end.seq > _UNNAMED and found.first.get("event") == Event.AUDIT_OPENED:
        raise ValueError


class _Moved(Exception):
    """Others have gone on from a segment, or sealed it, a moment ago."""


class _Search:
    """One search for a slot."""

    def __init__(self, folder: Path, known: Known, sync: Sync) -> None:
        self._folder, self._known, self._sync = folder, known, sync
        self._named = known.newest()
        self._avoided: list[str] = []

    def take(self, slot: int) -> Taken | None:
        """Take a slot, or nothing if another process has it or it is damaged."""
        for _ in range(_TRIES):
            with contextlib.suppress(_Moved, FileNotFoundError):
                return self._take(slot)
        return None

    def _take(self, slot: int) -> Taken | None:
        newest = newest_segments(self._folder).get(slot, 0)
        sealed = newest_sealed(self._folder).get(slot, 0)
        named = self._named.get(slot, 0)
        # What is sealed, or what the register names and is gone, does not get its name again.
        if newest <= sealed or newest < named:
            return self._open(slot, max(named, sealed) + 1, new=True)
        taken = self.take_up(slot, newest)
        if taken is None or not taken.segment.closed:
            return taken
        taken.segment.close()
        following = self._open(slot, newest + 1, new=True)
        return following and replace(following, torn=following.torn + taken.torn)

    def take_up(self, slot: int, number: int) -> Taken | None:
        """
        Take a segment that is there, or nothing if another process has it or it is damaged.

        Raises `FileNotFoundError` or `_Moved` if it is not there, or not the newest, any more.
        """
        return self._open(slot, number, new=False)

    def _open(self, slot: int, number: int, *, new: bool) -> Taken | None:
        path = _path(self._folder, slot, number)
        # Without waiting: a pipe in a segment's place would keep this process for good.
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags | os.O_CREAT if new else flags, 0o600)
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, descriptor)
            _refuse_other_than_file(descriptor)
            if not _take_lock(descriptor):
                return None
            if newest_segments(self._folder).get(slot) != number:
                raise _Moved
            if newest_sealed(self._folder).get(slot, 0) >= number:
                # Another process wrote it, and it was sealed, since this looked for a number.
                if os.fstat(descriptor).st_size == 0:
                    path.unlink()
                raise _Moved
            try:
                known = self._known.last_head(path.stem)
                found = _look(descriptor, path.name, known)
                if self._named and known is None:
                    _refuse_planted(found)
            except ValueError:
                self._avoided.append(path.stem)  # left as it is for the verifier to name
                return None
            aside = self._set_aside(found, descriptor, path)
            previous = None if found.end.seq else self._before(slot, number)
            undo.pop_all()
            return Taken(
                segment=Segment(descriptor, path, found.end, sync=self._sync),
                torn=aside,
                first=found.first,
                last=found.last,
                previous=previous,
                avoided=tuple(self._avoided),
            )

    def _set_aside(self, found: _Found, descriptor: int, path: Path) -> int:
        """
        Return how many torn bytes are beside, put there now or by somebody who then crashed.

        While nothing follows where they were, nobody has recorded the repair yet.
        """
        beside = torn_file(path, found.end.size)
        if not found.torn:
            return beside.stat().st_size if beside.exists() else 0
        set_aside(found.torn, descriptor, path, end=found.end.size)
        return len(found.torn)

    def _before(self, slot: int, number: int) -> Head | None:
        path = _path(self._folder, slot, number - 1)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return self._sealed_before(path.stem) or self._known.last_head(path.stem)
        try:
            end = _look(descriptor, path.name, None).end
            self._sync(descriptor)  # whoever ended it may have died before that
        except ValueError:
            return self._known.last_head(path.stem)
        finally:
            os.close(descriptor)
        return Head(path.stem, end.seq, end.size, end.hash) if end.seq else None

    def _sealed_before(self, name: str) -> Head | None:
        path = evidence.evidence_file(self._folder.parent, name)
        if not path.exists():
            return None
        size, line = _sealed_end(path)
        seq, digest = _record(line).get("seq"), chain.hash_of(line)
        return Head(name, seq, size, digest) if type(seq) is int and digest is not None else None
