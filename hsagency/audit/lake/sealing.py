"""
Sealing: closed segments become evidence and rows of the lake, and leave the journal.

In this order: evidence, rows, manifest, journal. So a crash leaves a segment in the journal or
in the lake, and doing it again completes it; what a crash left behind is removed by the next.
One process at a time seals a client's log. Memory does not grow with the log.

A call that began in one segment and ended in another is one row, also where the first was
sealed long before; then the part that has it is written anew, under another name, and the old
one is removed. So are parts of a month when there are many small ones. Whoever reads by a list
of files made before that finds one missing, and reads again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import polars as pl

from hsagency.audit import evidence
from hsagency.audit.journal.writer import unsigned
from hsagency.audit.lake import catalog, trusted
from hsagency.audit.lake.catalog import Catalog, File, Source, home, sources
from hsagency.audit.lake.harvest import Gathered, bring_together, gather, records_of
from hsagency.audit.lake.holding import holding, is_closed
from hsagency.audit.lake.joining import is_loose, joined, known_zone, local_day, rows
from hsagency.audit.lake.parsing import EVENTS
from hsagency.audit.lake.parts import Parts
from hsagency.audit.register import Signer
from hsagency.durable import make_private_dir
from hsagency.errors import AuditError, SealingBusy
from hsagency.progress import Progress, silent

_BATCH: Final = 768 << 20  # bytes of journal that become rows of the lake together
_PACKED: Final = 7  # times that evidence is smaller than the journal, roughly


Signing = Callable[[], Signer | None]
"""Gives what signs, or nothing while the credential store does not give the key."""

KEYLESS: Final = (
    "The credential store gives no key, and an unsigned lake could not be told from a forged one."
)
OPEN_STORE: Final = "Open the store (see hsagency status), then try again."


@dataclass(slots=True, kw_only=True)
class Sealed:
    """
    What a sealing did.

    `left` says of segments that could not be sealed why; `rebuilt` why the lake was made anew,
    and `gone` names the segments that are not in it then, since there is no evidence of them.
    """

    client_slug: str
    segments: int = 0
    calls: int = 0
    journal: int = 0  # bytes that were sealed
    evidence: int = 0  # bytes of the same, compressed
    lake: int = 0  # bytes by which the lake grew
    left: list[str] = field(default_factory=list)
    rebuilt: str = ""
    gone: list[str] = field(default_factory=list)

    def words(self) -> list[str]:
        """Say what a person should know of it."""
        words = list(self.left)
        if self.rebuilt:
            words.append(
                f"The lake of {self.client_slug} was made anew from the evidence ({self.rebuilt})."
            )
        if self.gone:
            many = f"one segment ({self.gone[0]})"
            if len(self.gone) > 1:
                many = f"{len(self.gone):,} segments (the first is {self.gone[0]})"
            words.append(
                f"Of {many} of {self.client_slug} there is no evidence any more, so queries "
                f"lack its calls: hsagency audit verify {self.client_slug}"
            )
        return words


def seal(
    audit: Path,
    slug: str,
    *,
    zone: str | None = None,
    signer: Signing = unsigned,
    thorough: bool = True,
    wait: bool = True,
    progress: Progress = silent,
) -> Sealed:
    """
    Seal what is closed of a client's log; where nothing is, only the lake is looked at.

    `zone` is the portal's time zone as HubSpot names it; `thorough` is how the lake is looked at
    (see `trusted`). Raises `AuditError` if it cannot be done, `SealingBusy` if another process
    does it and `wait` is false, and `NewerSchema`.
    """
    folder = home(audit, slug)
    done = Sealed(client_slug=slug)
    if not _Log(audit, slug, folder, known_zone(zone), new=True, thorough=thorough).is_due():
        return done
    key = signer()
    if key is None and trusted.is_signed(audit):
        done.left.append(f"{KEYLESS} Nothing was sealed. {OPEN_STORE}")
        return done
    with holding(audit, slug, wait=wait):
        log = _Log(audit, slug, folder, known_zone(zone), signer=key)
        try:
            log.seal(done, progress)
        except pl.exceptions.PolarsError as error:
            done = Sealed(client_slug=slug)
            log.begin_anew(f"a file cannot be read: {type(error).__name__}")
            log.seal(done, progress)
    return done


def refresh(
    audit: Path,
    slug: str,
    *,
    zone: str | None = None,
    signer: Signing = unsigned,
    thorough: bool = True,
) -> list[str]:
    """
    Seal what is closed before a log is read; return what a person should know of it.

    What cannot be sealed never keeps anybody from reading: it is read where it is.
    """
    try:
        done = seal(audit, slug, zone=zone, signer=signer, thorough=thorough, wait=False)
    except SealingBusy as error:
        return [f"{error.message} What it has not sealed yet is read from the journal."]
    except AuditError as error:
        return [str(error)]
    done.left = [f"{one} It is read where it is." for one in done.left]
    return done.words()


def derive(
    audit: Path,
    slug: str,
    folder: Path,
    segments: Collection[str],
    *,
    zone: str | None,
    signer: Signer | None,
) -> Catalog:
    """Make a lake of some segments in another folder; neither journal nor evidence changes."""
    log = _Log(audit, slug, folder, zone, signer=signer)
    some = [one for name, one in sources(audit / slug).items() if name in segments]
    for batch in _batches(some, {one.segment: one.path.stat().st_size for one in some}):
        log.add(batch)
    return log.catalog


def forget(audit: Path, slug: str, segments: Collection[str], *, signer: Signing = unsigned) -> int:
    """
    Take the rows of removed segments out of the lake, and return how many calls that were.

    A call of which other segments hold records is what those say of it. The segments need not
    be there any more. Where the lake cannot be signed it goes, and the next sealing makes it
    anew.
    """
    folder, key = home(audit, slug), signer()
    with holding(audit, slug, wait=True):
        if key is None and trusted.is_signed(audit):
            catalog.remove(folder)
            return 0
        log = _Log(audit, slug, folder, None, signer=key)
        return log.forget(set(segments)) if log.catalog.segments else 0


class _Log:
    """One client's log and its lake, while both are brought together."""

    def __init__(
        self,
        audit: Path,
        slug: str,
        folder: Path,
        zone: str | None,
        *,
        signer: Signer | None = None,
        new: bool = False,
        thorough: bool = True,
    ) -> None:
        """Look at what is there, or only at what is `new`."""
        self._audit, self._slug, self._folder = audit, slug, folder
        lake = trusted.look(audit, slug, thorough=thorough, folder=folder)
        self.catalog, self._rebuilt, self._named = lake.catalog, lake.why, lake.named
        known = self.catalog.segments if new else ()
        self._sources = sources(audit / slug, without=known)
        if hidden := trusted.hidden(self.catalog, self._sources):
            self.begin_anew(f"it names segment {hidden[0]}, which is still being written")
        self._zone = zone or self.catalog.zone
        self._signer = signer

    def begin_anew(self, why: str) -> None:
        """Take nothing of the lake for given."""
        self.catalog, self._rebuilt = Catalog(zone=self.catalog.zone), why

    def is_due(self) -> bool:
        """Say whether there is anything to do."""
        return bool(self._rebuilt or self._is_moved() or self._open() or self._leftover())

    def _is_moved(self) -> bool:
        return bool(self.catalog.segments) and self._zone != self.catalog.zone

    def _open(self) -> list[Source]:
        """Return the segments that are closed and not in the lake."""
        new = (one for name, one in self._sources.items() if name not in self.catalog.segments)
        return [one for one in new if evidence.is_evidence(one.path) or is_closed(one.path)]

    def _leftover(self) -> list[Source]:
        """Return the segments that are in the lake and in the journal, as a crash leaves them."""
        known = (one for name, one in self._sources.items() if name in self.catalog.segments)
        return [one for one in known if not evidence.is_evidence(one.path)]

    def seal(self, done: Sealed, progress: Progress) -> None:
        """Archive what is closed, bring it into the lake and take it out of the journal."""
        done.rebuilt = self._rebuilt
        if self._rebuilt:
            done.gone = trusted.gone(self._audit, self._slug, self._named, self._sources)
        new, lake = self._open(), self.catalog.size
        if self._is_moved():
            self._move()
        if self._rebuilt and not new:
            self._commit(Catalog(zone=self._zone))
        sizes = {one.segment: one.path.stat().st_size for one in new}
        show = progress(f"sealing {self._slug}", sum(sizes.values()))
        with ThreadPoolExecutor(1, "archiving") as pool, show as step:
            dropped = [pool.submit(self._drop, self._leftover(), done)]
            for batch in _batches(new, sizes):
                whole = self._archived(batch, pool, done)
                done.calls += self.add(whole)
                done.segments += len(whole)
                dropped.append(pool.submit(self._drop, whole, done))
                for one in batch:
                    is_packed = evidence.is_evidence(one.path)
                    done.journal += 0 if is_packed else sizes[one.segment]
                    step(sizes[one.segment])
            for future in dropped:
                future.result()
        done.lake += self.catalog.size - lake

    def _archived(self, batch: list[Source], pool: Executor, done: Sealed) -> list[Source]:
        """Return those that are evidence now; the others are left where they are, and named."""
        futures = {
            one.segment: pool.submit(evidence.archive, one.log, one.name)
            for one in batch
            if not evidence.is_evidence(one.path)
        }
        failed = set()
        for segment, future in futures.items():
            try:
                done.evidence += future.result().stat().st_size
            except AuditError as error:
                done.left.append(str(error))
                failed.add(segment)
        return [one for one in batch if one.segment not in failed]

    def _drop(self, some: Iterable[Source], done: Sealed) -> None:
        """Take what is evidence, and in the lake, out of the journal."""
        for one in some:
            try:
                if not evidence.evidence_file(one.log, one.name).exists():
                    evidence.archive(one.log, one.name)
                evidence.drop_journal(one.log, one.name)
            except AuditError as error:
                done.left.append(str(error))

    def add(self, batch: list[Source]) -> int:
        """Bring segments into the lake, durably; return by how many calls it grew."""
        if not batch:
            return 0
        parts = Parts(self._folder)
        harvest = gather(batch, self._slug, self._zone, into=parts)
        parts.finish()
        told = {**self.catalog.segments, **harvest.told}
        known = [one for name, one in self._sources.items() if name in told]
        brought = bring_together(
            Gathered(
                ids=pl.concat([pl.Series("call_id", [], pl.String), *harvest.ids]),
                strays=pl.concat(harvest.strays),
                loose=self.catalog.loose,
            ),
            old=self.catalog.parts,
            parts=parts,
            anew=lambda ids: joined(records_of(known, self._slug, ids)),
            zone=self._zone,
        )
        before = sum(one.rows for one in self.catalog.parts)
        self._commit(
            replace(
                self.catalog,
                zone=self._zone,
                segments=told,
                parts=parts.merged(brought.parts),
                activity=self._activity(harvest.events, parts, set(self.catalog.segments)),
                loose=brought.loose,
            )
        )
        return sum(one.rows for one in self.catalog.parts) - before

    def forget(self, segments: set[str]) -> int:
        """Take the rows of segments out, but for what others say of the same calls."""
        parts = Parts(self._folder)
        told = {name: one for name, one in self.catalog.segments.items() if name not in segments}
        known = [one for name, one in self._sources.items() if name in told]
        ids = parts.ids_from(self.catalog.parts, segments)
        joins = joined(records_of(known, self._slug, ids))
        parts.add(rows(joins, self._zone))
        parts.finish()
        kept = parts.without(self.catalog.parts, ids)
        before = sum(one.rows for one in self.catalog.parts)
        self._commit(
            replace(
                self.catalog,
                segments=told,
                parts=parts.merged([*kept, *parts.files]),
                activity=self._activity([], parts, set(told)),
                loose=tuple(sorted({*self.catalog.loose, *joins.filter(is_loose)["call_id"]})),
            )
        )
        return before - sum(one.rows for one in self.catalog.parts)

    def _activity(self, new: list[pl.DataFrame], parts: Parts, segments: set[str]) -> File | None:
        """Return the file of what is not a call: of some segments, and what is new."""
        old = self.catalog.activity
        frames = list(new)
        if old is not None:
            there = pl.read_parquet(self._folder / old.path)
            kept = there.filter(pl.col("segment").is_in(list(segments)))
            if not new and kept.height == there.height:
                return old
            frames.insert(0, kept)
        whole = pl.concat(frames) if frames else pl.DataFrame(schema=EVENTS)
        return parts.activity(whole) if whole.height else None

    def _move(self) -> None:
        """Say of every call on which day it was in the zone that is known now."""
        parts = Parts(self._folder)
        moved = tuple(
            parts.replace(one, parts.read(one).with_columns(day_local=local_day(self._zone)))
            for one in self.catalog.parts
        )
        self._commit(replace(self.catalog, zone=self._zone, parts=moved))

    def _commit(self, new: Catalog) -> None:
        make_private_dir(self._folder)
        catalog.save(self._folder, new, signer=self._signer)
        self.catalog = new
        catalog.sweep(self._folder, new)


def _batches(some: list[Source], sizes: Mapping[str, int]) -> Iterator[list[Source]]:
    """Yield as many segments at a time as become rows of the lake together."""
    batch: list[Source] = []
    room = _BATCH
    for one in some:
        size = sizes[one.segment] * (_PACKED if evidence.is_evidence(one.path) else 1)
        if batch and size > room:
            yield batch
            batch, room = [], _BATCH
        batch.append(one)
        room -= size
    if batch:
        yield batch
