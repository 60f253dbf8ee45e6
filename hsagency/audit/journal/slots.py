"""
Which segment of a journal a process takes: the newest of the first free slot.

Promised:

(1) Processes never share a file: each takes a free slot under a lock that dies with it.
(2) A torn last line, left by a power cut, is set aside beside the segment, and the caller is
    told of it; it never makes the rest unreadable.
(3) A segment that ends before the place that the register or its checkpoint names, or in a
    line that is none of ours, is left as it is for the verifier to name, and another slot is
    taken. So is one that the register does not name and that says anything but how it began:
    nobody knows where that comes from, and whoever went on with it would vouch for it. What
    was written before there was a register is ours.
(4) A name that the register or the evidence knows is never given again, whatever became of
    the file.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from hsagency.audit import chain, evidence
from hsagency.audit.journal.ends import (
    Found,
    has_just_begun,
    last_time,
    look,
    record_of,
    sealed_end,
    written_end,
)
from hsagency.audit.journal.segment import Segment, Sync
from hsagency.audit.record import Event
from hsagency.audit.register import Head
from hsagency.durable import (
    NotAFile,
    cure,
    make_private_dir,
    open_regular,
    set_aside,
    sync_dir,
    sync_file,
    torn_file,
    try_lock,
)
from hsagency.errors import AuditError

_SLOTS: Final = 1000  # processes that can write for one client at once
_TRIES: Final = 5  # at a slot whose segment others end or seal meanwhile
_DAMAGED: Final = "is damaged or cut"
_STRANGE: Final = "holds records, though the register does not name it"
_NO_FILE: Final = "is no file"
_LOOKS: Final = 3  # at a lock: a reader takes it for an instant, to see whether a writer has it
_INSTANT: Final = 0.001  # seconds


class Known(Protocol):
    """What the register knows of a journal; see `hsagency.audit.register.registrar`."""

    def newest(self) -> dict[int, int]:
        """Return the highest segment number that it names, by slot."""

    def names(self, segment: str) -> bool:
        """Say whether there is a line about a segment."""

    def begins(self) -> str:
        """Return the time of the first line; none is empty."""

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
    avoided: Mapping[str, str]  # segments whose slots were passed by, and why

    @property
    def is_older(self) -> bool:
        """Whether it was begun before there was a register."""
        return bool(self.first) and self.first.get("event") != Event.AUDIT_OPENED


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
        yield record_of(sealed_end(path)[1])
    for slot, number in written.items():
        # Sealed meanwhile, or damaged: that is for the verifier to name, and stops nobody.
        with contextlib.suppress(OSError):
            yield written_end(_path(folder, slot, number))


def _path(folder: Path, slot: int, number: int) -> Path:
    return folder / f"{_name(slot, number)}.jsonl"


def _name(slot: int, number: int) -> str:
    return f"{slot:03}-{number:06}"


def _take_lock(descriptor: int) -> bool:
    """Take the lock of a segment, unless another writer has it."""
    for _ in range(_LOOKS - 1):
        if try_lock(descriptor):
            return True
        time.sleep(_INSTANT)
    return try_lock(descriptor)


def open_segment(folder: Path, *, known: Known, sync: Sync = sync_file, rather: int = 0) -> Taken:
    """
    Take the first free slot of a journal: its newest segment, or the next if that is closed.

    `rather` is the slot to try before the others.

    Raises `AuditError` if there is none, or if it cannot be written.
    """
    try:
        make_private_dir(folder)
        search = _Search(folder, known, sync)
        for slot in (rather, *(one for one in range(_SLOTS) if one != rather)):
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
    folder: Path,
    *,
    besides: str,
    known: Known,
    avoided: dict[str, str] | None = None,
    sync: Sync = sync_file,
) -> Iterator[Taken]:
    """
    Take, one after the other, the newest segments of other slots that no process has any more.

    Each is the caller's to close. Which are passed by, and why, is put into `avoided`.
    """
    search = _Search(folder, known, sync, avoided)
    for slot, number in sorted(newest_segments(folder).items()):
        if _name(slot, number) == besides:
            continue
        with contextlib.suppress(_Moved, FileNotFoundError):
            taken = search.take_up(slot, number)
            if taken is not None:
                yield taken


class _Moved(Exception):
    """Others have gone on from a segment, or sealed it, a moment ago."""


class _Search:
    """One search for a slot."""

    def __init__(
        self, folder: Path, known: Known, sync: Sync, avoided: dict[str, str] | None = None
    ) -> None:
        self._folder, self._known, self._sync = folder, known, sync
        self._named = known.newest()
        self._avoided = {} if avoided is None else avoided

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
            if sealed > named and self._is_unknown(_name(slot, sealed)):
                self._avoided[_name(slot, sealed)] = _STRANGE
                return None
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
        flags = os.O_RDWR | os.O_APPEND
        try:
            descriptor = open_regular(path, flags | os.O_CREAT if new else flags)
        except NotAFile:
            self._avoided[path.stem] = _NO_FILE
            return None
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, descriptor)
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
                found = look(descriptor, path.name, self._known.last_head(path.stem))
            except ValueError:
                self._avoided[path.stem] = _DAMAGED
                return None
            if not self._is_ours(found, descriptor, path.stem):
                self._avoided[path.stem] = _STRANGE
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
                avoided=dict(self._avoided),
            )

    def _is_ours(self, found: Found, descriptor: int, name: str) -> bool:
        """Say whether a segment is registered, has just begun, or is older than the register."""
        if found.end.seq == 0 or not self._is_unknown(name):
            return True
        if found.first.get("event") == Event.AUDIT_OPENED:
            return has_just_begun(descriptor, found.end.size)
        return last_time(descriptor, found.end.size) < self._known.begins()

    def _is_unknown(self, name: str) -> bool:
        """Say whether there is a register, and it does not name a segment."""
        return bool(self._known.begins()) and not self._known.names(name)

    def _set_aside(self, found: Found, descriptor: int, path: Path) -> int:
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
        known = self._known.last_head(path.stem)
        try:
            descriptor = open_regular(path)
        except FileNotFoundError:
            return self._sealed_before(path.stem, known) or known
        try:
            end = look(descriptor, path.name, known).end
            self._sync(descriptor)  # whoever ended it may have died before that
        except ValueError:
            return known
        finally:
            os.close(descriptor)
        return Head(path.stem, end.seq, end.size, end.hash) if end.seq else None

    def _sealed_before(self, name: str, known: Head | None) -> Head | None:
        path = evidence.evidence_file(self._folder.parent, name)
        if not path.exists():
            return None
        size, line = sealed_end(path, known)
        seq, digest = record_of(line).get("seq"), chain.hash_of(line)
        return Head(name, seq, size, digest) if type(seq) is int and digest is not None else None
