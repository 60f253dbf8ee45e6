"""
One client's journal as this process writes it: a segment, and then the next.

(1) A segment begins with `audit.opened`, which names the one before it in its slot with its
    last hash, and ends with `audit.closed`: when it has passed its size, or at the first
    record of another UTC day. One that a dead process left open is closed by the next that
    begins to write for this client, whichever slot it takes. A short command goes on in the
    segment of the day.
(2) The register has a signed line for every segment opened and closed, and a checkpoint for
    every time that the journal was settled. Neither claims what a power cut could still take.
(3) Order is by segment and number. A clock that goes back, a silence of more than a day, a
    disk about to be full, a slot passed by because it is damaged and a second copy of the
    register that is not there are records, and a person is told of the last three.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from hsagency.audit.journal.segment import REOPEN, STRANGE, Segment, Sync
from hsagency.audit.journal.slots import Taken, last_records, left_open, open_segment
from hsagency.audit.record import Event, Origin, timestamp
from hsagency.audit.register import Head, Kind
from hsagency.audit.register.registrar import Registrar
from hsagency.durable import cure
from hsagency.errors import AuditError

Now = Callable[[], datetime]
Tell = Callable[[str], None]

_IDLE: Final = timedelta(days=1)


class Journal:
    """One client's journal as this process writes it: a segment, and then the next."""

    def __init__(
        self,
        slug: str,
        folder: Path,
        *,
        registrar: Registrar,
        author: Mapping[str, str],
        now: Now,
        sync: Sync,
        limit: int,
        tell: Tell,
    ) -> None:
        self._slug, self._folder, self._author = slug, folder, author
        self._registrar = registrar
        self._now, self._sync, self._limit, self._tell = now, sync, limit, tell
        self._pid = os.getpid()
        self._lock, self._checkpoint_lock = threading.Lock(), threading.Lock()
        self._segment: Segment | None = None
        self._slot = 0  # where it is, or was: an intent and its outcome stay together
        self._day = ""  # of the segment's first record
        self._last = ""  # time of the last record
        self._checkpointed: Head | None = None
        self._pending: list[str] = []  # warnings that are not records yet
        self._untold: list[str] = []  # those that no person was told of yet
        self._told: set[str] = set()
        self._closed = False

    def append(self, fields: Mapping[str, object], *, durable: bool) -> None:
        """Write one record, stamped with time and author; wait for the disk if it must be."""
        try:
            with self._lock:
                at = timestamp(self._now())
                segment = self._segment
                if segment is None or self._is_over(segment, at):
                    segment = self._turned()
                    at = timestamp(self._now())
                if at < self._last or self._pending:
                    self._write_before(segment, at)
                number = segment.write(self._stamped(fields, at))
                self._last = at
        finally:
            if self._untold:
                self._tell_all()
        if durable:
            segment.flush(number)

    def warn(self, message: str) -> None:
        """Tell a person, once, and make it a record before the next one."""
        self._note(message)
        self._tell_all()

    def write_warnings(self) -> None:
        """Make records of warnings now, rather than before the next record."""
        with self._lock:
            if self._segment is not None and not self._segment.closed:
                self._write_before(self._segment, timestamp(self._now()))

    def flush(self) -> None:
        """Wait until everything written so far is on the disk."""
        segment = self._segment
        if segment is not None:
            segment.flush()

    def settle(self) -> None:
        """Flush, and say in the checkpoint how far that is."""
        self.flush()
        with self._checkpoint_lock:
            # Asked for here: a thread may have gone on to the next segment meanwhile, or have let
            # go of this one, whose slot and checkpoint are then another process's.
            segment = self._segment
            if segment is not None and segment.held:
                self._checkpoint(segment.head)
        self._tell_all()

    def end(self) -> None:
        """End the segment, so that it can be sealed; the next record begins another one."""
        with self._lock:
            if self._segment is not None:
                self._end()
        self._tell_all()

    def close(self) -> None:
        """Settle and let go of the slot; a forked child only lets go of its copy."""
        if os.getpid() != self._pid:
            if self._segment is not None:
                self._segment.close()
            return
        with self._lock:
            self._closed = True
            segment = self._segment
            if segment is None:
                return
            try:
                if not segment.broken:
                    self.settle()
            finally:
                self._let_go(segment)

    def _let_go(self, segment: Segment) -> None:
        with self._checkpoint_lock:
            segment.close()

    def _note(self, message: str, *, on_record: bool = True) -> None:
        """Remember what a person is to be told, once in this process, and to put on record."""
        if message not in self._told:
            self._told.add(message)
            self._untold.append(message)
            if on_record:
                self._pending.append(message)

    def _tell_all(self) -> None:
        """Tell a person what there is to be told; never under a lock that telling might want."""
        while self._untold:
            with contextlib.suppress(IndexError):  # another thread was quicker
                message = self._untold.pop(0)
                with contextlib.suppress(Exception):  # whoever cannot be told does not stop work
                    self._tell(message)

    def _is_over(self, segment: Segment, at: str) -> bool:
        return at[:10] != self._day or segment.is_over(self._limit)

    def _turned(self) -> Segment:
        """Return the segment that is written from now on."""
        if self._closed:
            raise AuditError(STRANGE, hint=REOPEN)
        if self._segment is not None:
            self._end()
        try:
            return self._taken_up()
        except OSError as error:
            raise AuditError(
                f"The register of the audit log in {self._folder.parent} cannot be written "
                f"({error.strerror}).",
                hint=cure(error),
            ) from error

    def _end(self) -> None:
        segment = self._segment
        assert segment is not None  # noqa: S101
        # In this order, so that after an error or an interrupt it is simply done again.
        self._finish(segment)
        self._let_go(segment)
        self._slot, self._segment = int(segment.name[:3]), None

    def _taken_up(self) -> Segment:
        silent_since = ""
        while True:
            taken = open_segment(
                self._folder, known=self._registrar, sync=self._sync, rather=self._slot
            )
            segment, is_new = taken.segment, taken.segment.records == 0
            with contextlib.ExitStack() as undo:
                undo.callback(segment.close)
                silent_since = silent_since or self._silence()
                self._begin(taken, is_new=is_new)
                if not is_new and self._is_to_end(taken):
                    self._finish(segment)
                    continue
                if silent_since:
                    self._note_silence(segment, silent_since)
                undo.pop_all()
            self._segment = segment
            for name, why in {
                **self._end_what_is_left(besides=segment.name),
                **taken.avoided,
            }.items():
                self._note_avoided(name, why, on_record=is_new)
            return segment

    def _is_to_end(self, taken: Taken) -> bool:
        """Say whether a segment that is there is ended, and not gone on with."""
        return taken.is_older or self._is_over(taken.segment, timestamp(self._now()))

    def _end_what_is_left(self, *, besides: str) -> dict[str, str]:
        """
        Close what dead processes left open on another day, or grown too large, in any slot.

        Returns what was passed by, and why.
        """
        day, last = self._day, self._last
        avoided: dict[str, str] = {}
        left = left_open(
            self._folder,
            besides=besides,
            known=self._registrar,
            avoided=avoided,
            sync=self._sync,
        )
        try:
            for taken in left:
                with contextlib.closing(taken.segment) as segment:
                    self._day = _day_of(taken.first)
                    if segment.records and self._is_to_end(taken):
                        self._begin(taken, is_new=False)
                        self._finish(segment)
        except (AuditError, OSError):
            pass  # this process has its own to write; what is wrong there is for verify to say
        finally:
            self._day, self._last = day, last
        return avoided

    def _note_avoided(self, name: str, why: str, *, on_record: bool) -> None:
        message = (
            f"Segment {name} of {self._slug} {why}; it is left as it is and passed by. What is "
            f"wrong: hsagency audit verify {self._slug}"
        )
        self._note(message, on_record=on_record)  # else it is, since the segment began

    def _begin(self, taken: Taken, *, is_new: bool) -> None:
        """Begin a segment that is new, or go on with one; put down what was found."""
        segment = taken.segment
        if is_new:
            self._register_end(taken.previous)
            self._open(segment, taken.previous)
        else:
            self._last = _time_of(taken.last)
            self._day = _day_of(taken.first)
        if taken.torn:
            message = f"A torn last line of {taken.torn} bytes was set aside beside the segment."
            self._put(segment, {"event": Event.AUDIT_REPAIRED, "message": message})
        named = self._registrar.names(segment.name, Kind.OPENED)
        if not taken.is_older and (not named or self._registrar.replaced()):
            self._register(segment, Kind.OPENED)
        if not is_new and not self._registrar.points_at(segment.name):
            # Whoever wrote it died in its first second, and this process may too, and the next.
            segment.flush()
            with self._checkpoint_lock:
                self._checkpoint(segment.head)

    def _open(self, segment: Segment, previous: Head | None) -> None:
        at = timestamp(self._now())
        message = f"Segment {segment.name} was opened."
        opened = {"event": Event.AUDIT_OPENED, "message": message, "segment": segment.name}
        if previous is not None:
            opened |= {"previousSegment": previous.segment, "previousHash": previous.hash}
        segment.write(self._stamped(opened, at))
        self._day = at[:10]

    def _register_end(self, previous: Head | None) -> None:
        """Enter the end of the segment before, if a crash came between."""
        if previous is not None and not self._registrar.names(previous.segment, Kind.CLOSED):
            self._add(previous, Kind.CLOSED)

    def _finish(self, segment: Segment) -> None:
        """End a segment, as far as that is not done yet."""
        if not segment.closed:
            message = f"Segment {segment.name} was closed."
            fields = {"event": Event.AUDIT_CLOSED, "message": message, "segment": segment.name}
            self._put(segment, fields)
        segment.flush()
        if not self._registrar.names(segment.name, Kind.CLOSED):
            self._register(segment, Kind.CLOSED)
        with self._checkpoint_lock:
            self._checkpoint(segment.head)

    def _silence(self) -> str:
        """Return since when nothing was recorded, if that is more than a day."""
        registered = self._registrar.last_time()  # what is sealed was registered before
        times = [_time_of(one) for one in last_records(self._folder, sealed=not registered)]
        last = max([*times, registered])
        try:
            silence = self._now() - datetime.fromisoformat(last)
        except (ValueError, TypeError):
            return ""
        return last if silence > _IDLE else ""

    def _note_silence(self, segment: Segment, since: str) -> None:
        message = f"Nothing was recorded since {since}."
        self._put(segment, {"event": Event.AUDIT_IDLE, "message": message, "since": since})
        self._register(segment, Kind.IDLE)

    def _register(self, segment: Segment, kind: Kind) -> None:
        segment.flush()  # a line never claims what a power cut could still take
        self._add(segment.head, kind)

    def _add(self, head: Head, kind: Kind) -> None:
        replaced = self._registrar.replaced()
        wrong = self._registrar.add(head, kind=kind, ts=timestamp(self._now()))
        if replaced:
            self._note(replaced)
        self._note_copy(wrong)

    def _note_copy(self, wrong: str) -> None:
        if wrong:
            self._note(
                f"The second copy of the register of {self._slug} {wrong}: {self._registrar.copy}. "
                "Calls go on; see to that folder, [audit] copy in hsagency.toml."
            )

    def _checkpoint(self, head: Head) -> None:
        if head.records == 0 or head == self._checkpointed:
            return
        try:
            wrong = self._registrar.checkpoint(head, ts=timestamp(self._now()))
        except OSError as error:
            self._note(
                f"A checkpoint of {self._slug} cannot be written ({error.strerror}). Calls go on; "
                f"what is cut off {head.segment} would not be seen. " + cure(error)
            )
        else:
            self._checkpointed = head
            self._note_copy(wrong)

    def _put(self, segment: Segment, fields: Mapping[str, object]) -> None:
        """Write a record of the log's own; a clock that went back is one before it."""
        at = timestamp(self._now())
        if at < self._last:
            self._write_before(segment, at)
        segment.write(self._stamped(fields, at))
        self._last = at

    def _write_before(self, segment: Segment, at: str) -> None:
        """Write what has to be said before the next record."""
        if at < self._last:
            message = (
                f"The clock went back: the record before is of {self._last}. Have this machine "
                "set its clock by a time server."
            )
            clock = {"event": Event.AUDIT_CLOCK, "message": message, "previousTs": self._last}
            segment.write(self._stamped(clock, at))
            self._last = at
        while self._pending:
            warning = {"event": Event.AUDIT_WARNING, "message": self._pending[0]}
            segment.write(self._stamped(warning, at))
            del self._pending[0]

    def _stamped(self, fields: Mapping[str, object], at: str) -> dict[str, object]:
        return {
            "event": fields["event"],
            "ts": at,
            "clientSlug": self._slug,
            **self._author,
            **fields,
        }


def _day_of(record: Mapping[str, object]) -> str:
    return str(record.get("ts", ""))[:10]


def _time_of(record: Mapping[str, object]) -> str:
    """Return when a record was written; an imported one says when its call was made."""
    at = record.get("ts")
    imported = record.get("origin") in (Origin.IMPORTED, Origin.SIMULATED)
    return at if isinstance(at, str) and not imported else ""
