"""
Retention: removing what a client's audit log need not, or must not, hold any longer.

(1) Whole segments go, and only those that are closed, sealed, as they were written, and
    whose last record, but for the one that closes them, is older than `[retention]` says, and
    so is the line of the register that they were opened.
(2) Nothing is removed but what was shown: `retain` takes a plan, makes it anew, and refuses
    if the two are not the same.
(3) In an order that a crash at any point leaves explained: a signed line of the register, in
    both copies, says of each segment that it was removed; a record says who did it and why;
    then its rows go from the lake; then its file goes. Done again, it is completed.

A segment that is not there, and of which no such line tells, is missing: the verifier does not
take this program's word for it, but a signature. So without the key nothing is removed.

What was merged from another machine stays, and so does the word of our own log on it.

Not promised: that nobody kept a copy. Backups, packs and what was forwarded are elsewhere.
"""

from __future__ import annotations

import contextlib
import hashlib
from calendar import monthrange
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Final

from hsagency.audit.evidence import (
    evidence_file,
    journal_file,
    lineages,
    open_segment,
    segments,
)
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Event, timestamp
from hsagency.audit.register import Head, Kind, check_signature, parse_line, read_keys, read_lines
from hsagency.audit.register import Signed as Signature
from hsagency.audit.register.registrar import Registrar
from hsagency.audit.standalone.evidence import Finding
from hsagency.audit.standalone.heads import REGISTER
from hsagency.audit.standalone.segments import Segment, time_of
from hsagency.audit.standalone.verdict import Verdict
from hsagency.audit.verifying import Log, is_live, verify
from hsagency.durable import locked, sync_dir
from hsagency.errors import AuditError, Conflict, DamagedEvidence
from hsagency.words import counted

Seal = Callable[[str], object]
Forget = Callable[[str, Collection[str]], object]

_CLOSING: Final = f'"event":"{Event.AUDIT_CLOSED}"'.encode()
_MERGING: Final = f'"event":"{Event.AUDIT_MERGED}"'.encode()
_NOTHING: Final = "Nothing was removed."


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A segment to be removed: its calls, the times of its first and last record, its end."""

    calls: int
    first: str
    last: str
    head: Head
    begun: bool  # the register says already that it was removed

    @property
    def segment(self) -> str:
        """Its name."""
        return self.head.segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """
    What is to be removed of one client's log.

    `months` is for how long it is kept, `before` the day before which the last record of a
    segment must lie; without either nothing is old. `kept` says what is old and stays, and why.
    """

    slug: str
    months: int | None
    before: date | None
    due: tuple[Due, ...]
    kept: tuple[str, ...]

    @property
    def calls(self) -> int:
        """How many calls would be removed."""
        return sum(one.calls for one in self.due)

    @property
    def days(self) -> tuple[str, str] | None:
        """First and last day of what would be removed, UTC; nothing if that is nothing."""
        if not self.due:
            return None
        return min(one.first for one in self.due)[:10], max(one.last for one in self.due)[:10]

    @property
    def digest(self) -> str:
        """What names this plan: another one as soon as another segment would be removed."""
        said = [self.slug, *("{} {} {} {}".format(*one.head) for one in self.due)]
        return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        """Return in one line what would be removed."""
        if self.days is None:
            return "nothing"
        parts = counted(len(self.due), "segment"), counted(self.calls, "call")
        return f"{parts[0]} with {parts[1]} of {days_in_words(*self.days)}"


def days_in_words(first: str, last: str) -> str:
    """Return the days from one time to another: one day, or both."""
    return first[:10] if first[:10] == last[:10] else f"{first[:10]} to {last[:10]}"


def months_before(day: date, months: int) -> date:
    """
    Return the same day so many months earlier, or the last of that month.

    >>> months_before(date(2026, 3, 31), 13)
    datetime.date(2025, 2, 28)
    """
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    if year < 1:
        return date.min
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def plan(log: Log, *, months: int | None, now: datetime) -> Retention:
    """
    Return what is to be removed of a log; changes nothing.

    Raises `AuditError` if the log cannot be read.
    """
    try:
        return _planned(log, months, now)
    except OSError as error:
        raise AuditError(
            f"The audit log {error.filename or log.folder} cannot be read ({error.strerror}). "
            f"{_NOTHING}",
            hint="A log that cannot be read is not an old one: restore access to it.",
        ) from error


def _planned(log: Log, months: int | None, now: datetime) -> Retention:
    before = None if months is None else months_before(now.astimezone(UTC).date(), months)
    begun = _begun(log)
    merged = _merged(log) if before is not None or begun else {}
    kept = [
        f"merged/{key}: {counted(number, 'segment')} from another machine, which retention "
        "does not remove"
        for key, number in merged.items()
    ]
    due: list[Due] = []
    if before is not None or begun:
        # What was opened later is not old; but what is half removed is looked at in any case.
        last = None if begun or before is None else before - timedelta(days=1)
        verdict, opened = verify(log, last=last), _opened(log)
        old = before.isoformat() if before else ""
        for segment in verdict.segments:
            until, vouches = _looked_into(segment, log, old)
            until = max(until, opened.get(segment.name, ""))
            wrong = next((one for one in verdict.findings if segment.name in one.file), None)
            young = until[:10] >= old or not (until or wrong)
            if young and segment.name not in begun:
                continue
            why = _reason_to_keep(segment, log, verdict, wrong)
            if vouches and merged:
                why = "says what was merged from other machines, and stays as long as that"
            if why:  # also of one so damaged that nobody can tell of when it is
                kept.append(f"{segment.name} {why}")
            else:
                due.append(_due(segment, until, begun=segment.name in begun))
    return Retention(slug=log.slug, months=months, before=before, due=tuple(due), kept=tuple(kept))


def _opened(log: Log) -> dict[str, str]:
    """
    Return when segments were opened at the earliest, by the register, whoever signed that.

    Not before any line that stands above: so a clock that was set back makes nothing old.
    """
    found: dict[str, str] = {}
    latest = ""
    for line in read_lines(log.folder / REGISTER)[0]:
        with contextlib.suppress(ValueError):
            said = parse_line(line)
            latest = max(latest, said.ts)
            if said.kind is Kind.OPENED:
                found[said.head.segment] = latest
    return found


def _begun(log: Log) -> set[str]:
    """Return the segments that are still there though a signed line says they were removed."""
    marker = b'"kind":"retired"'
    lines = [one for one in read_lines(log.folder / REGISTER)[0] if marker in one]
    if not lines:
        return set()
    keys = read_keys(log.folder.parent / "keys.json")
    said = {parse_line(one).head.segment for one in lines if _is_signed(one, keys)}
    return said & {*segments(log.folder)}


def _is_signed(line: bytes, keys: dict[str, bytes]) -> bool:
    try:
        return check_signature(line, keys) is Signature.GOOD
    except ValueError:
        return False


def _looked_into(segment: Segment, log: Log, day: str) -> tuple[str, bool]:
    """
    Return until when a segment was written, its end apart, and if it has a record of a merge.

    It may be closed long after. Of one that was begun on a day or later, that says enough: a
    clock may have gone back.
    """
    if not segment.first or segment.closed is None or segment.first[:10] >= day:
        return max(segment.first, segment.last), False
    last, vouches = b"", False
    path = journal_file(log.folder, segment.name)
    with contextlib.suppress(DamagedEvidence), open_segment(path) as file:
        for line in file:
            last = last if _CLOSING in line else line
            vouches = vouches or _MERGING in line
    return max(segment.first, time_of(last)), vouches


def _merged(log: Log) -> dict[str, int]:
    """Return how many segments came from which other machines."""
    others = lineages(log.folder)[1:]
    return {one.name: len(segments(one)) for one in others}


def _reason_to_keep(segment: Segment, log: Log, verdict: Verdict, wrong: Finding | None) -> str:
    """Return why a segment stays that is old enough, or nothing."""
    if wrong is not None:
        return f"is not as it was written ({wrong.verdict}), and stays as the proof of that"
    if any(one.file.startswith("heads") for one in verdict.findings):
        return "stays, since the register is not as it was written: hsagency audit verify"
    path = journal_file(log.folder, segment.name)
    if segment.closed is None:
        return "is not closed; hsagency audit repair closes what a program left open"
    if path.exists() and is_live(path):
        return "is held by a program that is running"
    return ""


def _due(segment: Segment, until: str, *, begun: bool) -> Due:
    return Due(
        calls=segment.calls,
        first=segment.first,
        last=until,
        head=Head(segment.name, segment.records, segment.size, segment.head),
        begun=begun,
    )


def retain(
    shown: Retention,
    log: Log,
    *,
    writer: AuditWriter,
    lock: Path,
    seal: Seal,
    forget: Forget,
) -> Retention:
    """
    Remove what a plan shows; returns what was removed.

    `seal` seals a client's log, and `forget` takes segments of it out of the lake. Raises
    `Conflict` if the plan is another by now, and `AuditError` if it cannot be done: then what
    is not removed is as it was, and doing it again completes it.
    """
    try:
        with locked(lock):
            now = plan(log, months=shown.months, now=writer.now())
            if now.digest != shown.digest:
                raise Conflict(
                    f"What is to be removed of {log.slug} is not what was shown: it is {now} now. "
                    + _NOTHING,
                    hint=f"Look at it again: hsagency audit retain {log.slug}",
                )
            if now.due:
                _remove(now, log, writer=writer, seal=seal, forget=forget)
            return now
    except OSError as error:
        raise AuditError(
            f"The records of {log.slug} could not all be removed ({error.strerror}).",
            hint="See to that, then run it again: it goes on where it stopped.",
        ) from error


def _remove(now: Retention, log: Log, *, writer: AuditWriter, seal: Seal, forget: Forget) -> None:
    registrar = writer.registrar(log.slug)
    if not registrar.signs():
        raise AuditError(
            f"The credential store gives no key to sign with, and without a signed word what is "
            f"removed would be missing. {_NOTHING}",
            hint="Open the store (see hsagency status), then try again.",
        )
    names = [one.segment for one in now.due]
    if any(journal_file(log.folder, one).exists() for one in names):
        seal(log.slug)
    _refuse_unsealed(log, names)
    replaced = registrar.replaced()
    _register(now, registrar, writer)
    if replaced:
        writer.tell(replaced)
        writer.append(log.slug, {"event": Event.AUDIT_WARNING, "message": replaced})
    writer.append(log.slug, _record(now))
    forget(log.slug, names)
    for path in _files(log, names):
        path.unlink(missing_ok=True)
    for folder in (log.folder / "evidence", log.folder / "journal"):
        if folder.is_dir():
            sync_dir(folder)
    forget(log.slug, names)  # whoever was sealing meanwhile may have put them back


def _refuse_unsealed(log: Log, names: list[str]) -> None:
    for one in names:
        if journal_file(log.folder, one).exists() or not evidence_file(log.folder, one).exists():
            raise AuditError(
                f"Segment {one} of {log.slug} is not sealed. {_NOTHING}",
                hint=f"See what keeps it: hsagency audit seal {log.slug}",
            )


def _register(now: Retention, registrar: Registrar, writer: AuditWriter) -> None:
    """Say in both copies of the register, signed, that segments are removed."""
    for one in now.due:
        if not one.begun:
            at = timestamp(writer.now())
            registrar.add(one.head, kind=Kind.RETIRED, ts=at, until=one.last)
    try:
        registrar.catch_up()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not a copy of the register"
        raise AuditError(
            f"The second copy of the register, {registrar.copy}, cannot be written ({why}). "
            f"{_NOTHING}",
            hint="See to that folder, [audit] copy in hsagency.toml, then run it again.",
        ) from error


def _record(now: Retention) -> dict[str, object]:
    kept = f"kept for {counted(now.months, 'month')}" if now.months else "what was begun before"
    message = f"Removed under retention ({kept}): {now}, {', '.join(_ranges(now.due))}."
    first, last = min(one.first for one in now.due), max(one.last for one in now.due)
    return {
        "event": Event.AUDIT_RETIRED,
        "message": message,
        "records": sum(one.head.records for one in now.due),
        "calls": now.calls,
        "rangeFrom": first,
        "rangeUntil": last,
    }


def _ranges(due: Collection[Due]) -> Iterator[str]:
    """Yield the names of segments, those that follow one another in one."""
    numbered = enumerate(sorted(one.segment for one in due))
    for _, group in groupby(numbered, key=lambda one: (one[1][:3], int(one[1][4:]) - one[0])):
        names = [name for _, name in group]
        yield names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _files(log: Log, names: list[str]) -> Iterator[Path]:
    """Yield every file of some segments: the evidence, and what was torn off and set aside."""
    for name in names:
        yield from sorted((log.folder / "journal").glob(f"{name}.jsonl.torn-at-*"))
        yield evidence_file(log.folder, name)
