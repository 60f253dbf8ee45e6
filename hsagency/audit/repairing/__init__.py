"""
Repair: mending what a crash, a full disk or a lost file left of a client's log.

Mended, and said: a torn last line is set aside beside its segment; a segment that a dead
process left open on an earlier day is closed; a register that lacks a line for a segment
that was just begun or closed is completed; one that was lost or cut is restored from its
second copy, as far as that is signed; the second copy catches up; a torn checkpoint is set
aside and written again; what a crash left half-written is removed.

Promised: no record is touched, and nothing that another process holds. Each step stands for
itself: what is broken keeps nothing else from being mended, and nothing is needed to say
what is wrong but the files that can still be read. What cannot be mended (altered, missing,
truncated, gap) is named, with the cause that it may have and what a person can do.

Not promised: that a repair makes a log right. Whoever cut the log may have left it as a crash
would: so what is mended is on record, and what was set aside is kept.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import orjson

from hsagency.audit.journal.segment import Segment
from hsagency.audit.journal.slots import Taken, left_open, newest_segments
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Event, timestamp
from hsagency.audit.register import (
    Head,
    Kind,
    copied_checkpoints,
    first_break,
    read_keys,
    read_lines,
)
from hsagency.audit.repairing import curing
from hsagency.audit.repairing.curing import Trouble
from hsagency.audit.standalone.heads import REGISTER
from hsagency.audit.verifying import Log, is_live
from hsagency.durable import (
    read_regular,
    sync_dir,
    try_lock,
    write_private,
)
from hsagency.errors import AuditError
from hsagency.words import counted

_NO_MORE: Final[Mapping[str, object]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """
    What came of the repair of one client's log.

    `mended` says what was done, `held` which segments a running program has, `failed` what
    could not be done now, and `broken` what cannot be mended.
    """

    slug: str
    mended: tuple[str, ...]
    held: tuple[str, ...]
    failed: tuple[Trouble, ...]
    broken: tuple[Trouble, ...]

    @property
    def state(self) -> str:
        """Return the worst of it: broken, failed, mended or well."""
        named = {"broken": self.broken, "failed": self.failed, "mended": self.mended}
        return next((name for name, found in named.items() if found), "well")


def repair(log: Log, *, writer: AuditWriter) -> Repair:
    """Mend what can be mended of one client's log; raises nothing that the log could cause."""
    return _Repairing(log, writer).run()


class _Repairing:
    """One repair."""

    def __init__(self, log: Log, writer: AuditWriter) -> None:
        self._log, self._writer = log, writer
        self._registrar = writer.registrar(log.slug)
        self._journal = log.folder / "journal"
        self._mended: list[str] = []
        self._recorded: list[str] = []  # among them, what the log itself says
        self._held: list[str] = []
        self._failed: list[Trouble] = []

    def run(self) -> Repair:
        """Take every step, whatever becomes of the others, and then look at what is left."""
        steps: dict[str, Callable[[], None]] = {
            "Who writes to the log": self._see_who_writes,
            "The public keys": self._publish_key,
            "The register": self._restore_register,
            # Before segments are ended: a checkpoint knows whether one lost its end.
            "The checkpoints": self._put_back_checkpoints,
            "The segments": self._end_segments,
            "The second copy of the register": self._catch_up,
            "What a crash left half-written": self._remove_leftovers,
            "The record of this repair": self._put_on_record,
        }
        for what, step in steps.items():
            self._attempt(what, step)
        broken: list[Trouble] = []
        self._attempt("The log", lambda: broken.extend(curing.troubles(self._log)))
        return Repair(
            slug=self._log.slug,
            mended=tuple(self._mended),
            held=tuple(self._held),
            failed=tuple(dict.fromkeys(self._failed)),
            broken=tuple(broken),
        )

    def _attempt(self, what: str, step: Callable[[], None]) -> None:
        try:
            step()
        except (AuditError, OSError) as error:
            self._failed.append(curing.failure(what, error))

    def _publish_key(self) -> None:
        """List the public key again, if the list was lost and the store has the key."""
        path = self._log.folder.parent / "keys.json"
        before = path.exists()
        if self._registrar.signs() and not before and path.exists():
            self._mended.append(f"{path.name} was lost; the key that signs is listed again.")

    def _restore_register(self) -> None:
        path = self._log.folder / REGISTER
        before, torn = read_lines(path)
        try:
            keys = read_keys(self._log.folder.parent / "keys.json")
        except ValueError:
            keys = {}
        count = self._registrar.restore(keys)
        if count:
            what = f"cut after line {len(before)}" if before else "lost"
            self._mended.append(
                f"The register was {what}; {counted(count, 'signed line')} of it came back from "
                f"its second copy, {self._registrar.copy}."
            )
        if torn and not read_lines(path)[1]:
            self._mended.append(f"A torn last line of the register was set aside beside {path}.")

    def _register_is_whole(self) -> bool:
        return first_break(self._log.slug, read_lines(self._log.folder / REGISTER)[0]) is None

    def _see_who_writes(self) -> None:
        if self._journal.is_dir():
            for slot, number in sorted(newest_segments(self._journal).items()):
                name = f"{slot:03}-{number:06}"
                if is_live(self._journal / f"{name}.jsonl"):
                    self._held.append(name)

    def _end_segments(self) -> None:
        # Nothing is added to a register that is not as it was written: that would hide how.
        if self._journal.is_dir() and self._register_is_whole():
            for taken in left_open(self._journal, besides="", known=self._registrar):
                with contextlib.closing(taken.segment):
                    self._attempt(f"Segment {taken.segment.name}", partial(self._end, taken))

    def _end(self, taken: Taken) -> None:
        """Put down what was set aside of a segment, and close it if its day is over."""
        segment = taken.segment
        if taken.is_older or not segment.records:
            return  # ended, or begun, by whoever writes next
        if taken.torn:
            message = f"A torn last line of {taken.torn} bytes of {segment.name} was set aside"
            self._write(segment, Event.AUDIT_REPAIRED, f"{message} beside it.")
        if not self._registrar.names(segment.name, Kind.OPENED):
            self._register(segment, Kind.OPENED)
        self._close(segment, str(taken.first.get("ts", ""))[:10])

    def _close(self, segment: Segment, day: str) -> None:
        ours = not segment.closed and day < timestamp(self._writer.now())[:10]
        if ours:
            message = f"Segment {segment.name}, left open on {day}, was closed."
            self._write(segment, Event.AUDIT_CLOSED, message, {"segment": segment.name})
        if segment.closed and not self._registrar.names(segment.name, Kind.CLOSED):
            self._register(segment, Kind.CLOSED, was_lacking=not ours)
            if self._registrar.signs():  # else a signed one may be there, which says more
                self._registrar.checkpoint(segment.head, ts=timestamp(self._writer.now()))

    def _write(
        self, segment: Segment, event: Event, message: str, more: Mapping[str, object] = _NO_MORE
    ) -> None:
        segment.write(
            {
                "event": event,
                "ts": timestamp(self._writer.now()),
                "clientSlug": self._log.slug,
                **self._writer.author.fields(),
                "message": message,
                **more,
            }
        )
        segment.flush()
        self._mended.append(message)
        self._recorded.append(message)

    def _register(self, segment: Segment, kind: Kind, *, was_lacking: bool = True) -> None:
        segment.flush()
        replaced = self._registrar.replaced()
        self._mended += [replaced] if replaced else []
        self._registrar.add(segment.head, kind=kind, ts=timestamp(self._writer.now()))
        if was_lacking:
            message = f"The register lacked that {segment.name} was {kind}; it says so now."
            self._mended.append(message)
        if not self._registrar.signs():
            what = f"The register's line about the end of {segment.name}"
            message = f"{what} is not signed, since no key was to be had."
            self._mended.append(message)
            self._recorded.append(message)  # the line itself shows it

    def _put_back_checkpoints(self) -> None:
        for path in sorted((self._log.folder / "heads").glob("[0-9][0-9][0-9].json")):
            if not _is_torn(path) or self._is_held(path.name[:3]):
                continue
            head = self._known_end(path.name[:3])
            aside = path.with_name(f"{path.name}.torn-at-{self._writer.now():%Y%m%d%H%M%S%f}")
            path.rename(aside)
            sync_dir(path.parent)
            how = self._put_back(path, head)
            self._mended.append(f"A torn checkpoint was set aside as {aside.name}; {how}.")

    def _put_back(self, path: Path, head: Head | None) -> str:
        """Put back a checkpoint from its second copy, or write it anew; return which in words."""
        copy = self._registrar.copy
        second = copied_checkpoints(copy) / path.name if copy else None
        if second is not None and second.exists() and not _is_torn(second):
            write_private(path, read_regular(second))
            return f"{path.name} came back from its second copy"
        if head is None:
            return f"the next start writes {path.name} again"
        self._registrar.checkpoint(head, ts=timestamp(self._writer.now()))
        return f"{path.name} says now that {head.segment} has {counted(head.records, 'record')}"

    def _known_end(self, slot: str) -> Head | None:
        """Return how far the newest segment of a slot has come, if nobody holds it."""
        there = self._journal.is_dir()
        for taken in left_open(self._journal, besides="", known=self._registrar) if there else ():
            with contextlib.closing(taken.segment) as segment:
                if segment.name[:3] == slot and segment.records:
                    segment.flush()
                    return segment.head
        number = self._registrar.newest().get(int(slot), 0)
        return self._registrar.last_head(f"{slot}-{number:06}") if number else None

    def _is_held(self, slot: str) -> bool:
        return any(one[:3] == slot for one in self._held)

    def _catch_up(self) -> None:
        if not self._register_is_whole():
            return
        with contextlib.suppress(ValueError):  # it is another: that is for the verdict to say
            count = self._registrar.catch_up()
            if count:
                self._mended.append(
                    f"The second copy of the register lacked {counted(count, 'line')}: they are "
                    f"in {self._registrar.copy} now."
                )

    def _remove_leftovers(self) -> None:
        for path in self._leftovers():
            path.unlink(missing_ok=True)
            self._mended.append(f"{path.name}, left half-written by a crash, was removed.")

    def _leftovers(self) -> Iterator[Path]:
        copy = self._registrar.copy
        checkpoints = [self._log.folder / "heads", *([copied_checkpoints(copy)] if copy else [])]
        for folder in checkpoints:
            for path in sorted(folder.glob(".[0-9][0-9][0-9].json.new")):
                if not self._is_held(path.name[1:4]):
                    yield path
        evidence = self._log.folder / "evidence"
        if evidence.is_dir():
            with _alone(evidence) as nobody_is_sealing:
                yield from sorted(evidence.glob("*.new")) if nobody_is_sealing else ()

    def _put_on_record(self) -> None:
        new = [one for one in self._mended if one not in self._recorded]
        if new:
            message = " ".join(["Repaired.", *new])
            self._writer.append(self._log.slug, {"event": Event.AUDIT_REPAIRED, "message": message})


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Keep others from sealing into a folder meanwhile; say whether nobody is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


def _is_torn(path: Path) -> bool:
    """Say whether a checkpoint ends before its line does."""
    content = read_regular(path)
    try:
        orjson.loads(content)
    except ValueError:
        return not content.endswith(b"}\n")
    return False
