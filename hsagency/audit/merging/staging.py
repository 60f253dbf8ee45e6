"""
How a merge comes to the disk: staged, judged, recorded, moved.

    audit/<slug>/merging/.<key id>.<random>     being written; left of a crash it is removed
    audit/<slug>/merging/<key id>/              whole, judged, and maybe recorded
    audit/<slug>/merged/<key id>/               the lineage

What stands in the second place counts once our own chain has a record of it: then it is moved
into the third, a file at a time, by the merge itself or, after a crash, by whoever reads next.
Who judges a lineage looks into both, so that none of these states looks like a loss. What the
lake had made of a segment that has grown is forgotten before the second place is cleared.

Files are 0600, and compressed as sealed segments are.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from hsagency.audit.evidence import evidence_file
from hsagency.audit.evidence.compressed import pack
from hsagency.audit.evidence.gathered import Gathered
from hsagency.audit.evidence.merged import (
    KEYS,
    PARTS,
    brought_by,
    is_recorded,
    judged,
    listed,
    read_through,
    recorded,
)
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.lake.sealing import forget
from hsagency.audit.merging.bringing import Part
from hsagency.audit.merging.planning import Key, Plan, plan
from hsagency.audit.merging.sources import Source, refuse
from hsagency.audit.record import Event, timestamp
from hsagency.audit.register import digest
from hsagency.audit.register.quick import check_signature
from hsagency.audit.standalone.evidence import INTACT
from hsagency.audit.standalone.heads import REGISTER, Head
from hsagency.audit.standalone.lineages import Lineage
from hsagency.audit.verifying import Log
from hsagency.durable import (
    locked,
    make_private_dir,
    open_regular,
    sync_dir,
    sync_file,
    try_lock,
    write_private,
)
from hsagency.errors import AuditError
from hsagency.progress import Progress, Step, silent
from hsagency.words import counted

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Confirm = Callable[[Plan], bool]

MOST: Final = 300
"""Segments that one record names: with them it is well below `record.LONGEST`."""


class _Upto(io.RawIOBase):
    """A part of a source as a file."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._rest = parts, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        into = memoryview(buffer).cast("B")
        self._rest = self._rest or next(self._parts, b"")
        part, self._rest = self._rest[: len(into)], self._rest[len(into) :]
        into[: len(part)] = part
        return len(part)


def bring(
    folder: Path,
    planned: Plan,
    source: Source,
    *,
    writer: AuditWriter,
    progress: Progress,
    most: int = MOST,
) -> None:
    """
    Bring into a client's folder what a plan says; who calls holds the lock of merges.

    Raises `AuditError` if the disk does not take it; what was brought until then stays.
    """
    with progress("merging", sum(part.head.size for part in planned.parts)) as step:
        for at in range(0, len(planned.parts), most):
            parts = planned.parts[at : at + most]
            try:
                ready = _staged(folder, planned, parts, source, step)
                writer.append(planned.slug, _record(planned, parts))
                writer.settle()
                _move(ready, folder / "merged" / planned.lineage)
            except OSError as error:
                raise AuditError(
                    f"What was merged could not be written ({error.strerror}).",
                    hint="Free some space, or restore access, then merge it again.",
                ) from error


def finish(folder: Path, *, lock: Path) -> None:
    """Complete a merge that was recorded and then interrupted, unless one is under way."""
    if not (folder / "merging").is_dir():
        return
    with contextlib.suppress(OSError, AuditError):  # a log that cannot be changed can be read
        descriptor = open_regular(lock, os.O_RDWR | os.O_CREAT)
        try:
            if try_lock(descriptor):
                tidy(folder)
        finally:
            os.close(descriptor)


def tidy(folder: Path) -> None:
    """Complete or remove what an interrupted merge left; who calls holds the lock of merges."""
    merging = folder / "merging"
    left = sorted(merging.iterdir()) if merging.is_dir() else []
    lineages = recorded(folder) if left else {}
    for one in left:
        if is_recorded(one, lineages.get(one.name)):
            _move(one, folder / "merged" / one.name)
        else:
            shutil.rmtree(one)
    if left:
        _drop_if_empty(merging)


def _staged(folder: Path, planned: Plan, parts: Sequence[Part], source: Source, step: Step) -> Path:
    """Write what is to be merged beside, judge what was written, and give it its name."""
    ready = folder / "merging" / planned.lineage
    beside = ready.with_name(f".{planned.lineage}.{secrets.token_hex(6)}")
    for inside in ("evidence", "heads"):
        make_private_dir(beside / inside)
    brought = {one.head.segment: (one.head.hash, one.start > 0 or one.restored) for one in parts}
    write_private(beside / PARTS, orjson.dumps(brought))
    write_private(beside / KEYS, listed(planned.keyring))
    write_private(beside / REGISTER, b"".join(planned.register))
    for name, line in planned.checkpoints.items():
        write_private(beside / name, line)
    for part in parts:
        _write(evidence_file(beside, part.head.segment), source, part.head)
        step(part.head.size)
    sync_dir(beside / "evidence")
    _refuse_unlike(beside, planned, parts)
    beside.rename(ready)
    sync_dir(ready.parent)
    return ready


def _write(path: Path, source: Source, head: Head) -> None:
    """Write one segment, up to its end, as sealed segments are written."""
    content = _Upto(read_through(source.evidence, f"journal/{head.segment}.jsonl", end=head.size))
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        pack(io.BufferedReader(content), file)
        file.flush()
        sync_file(file.fileno())


def _refuse_unlike(beside: Path, planned: Plan, parts: Sequence[Part]) -> None:
    """Raise unless what was written is what was judged."""
    lineage = Lineage(
        key=planned.lineage,
        keys=planned.keyring,
        lines=len(planned.register),
        digest=digest(planned.register[-1]),
        heads={part.head.segment: part.head._replace(kind="closed") for part in parts},
    )
    verdict = judged([Gathered(beside)], planned.slug, lineage, check=check_signature)
    if verdict.integrity != INTACT:
        shutil.rmtree(beside)
        raise AuditError(
            f"What was written is not what was read: {verdict.findings[0]}. Nothing was merged.",
            hint="The source was changed meanwhile, or the disk is at fault: try again.",
        )


def _record(planned: Plan, parts: Sequence[Part]) -> dict[str, object]:
    """Return the fields of the record that says what was merged."""
    records, calls = sum(one.records for one in parts), sum(one.calls for one in parts)
    first, last = min(one.first for one in parts), max(one.last for one in parts)
    until = datetime.fromisoformat(last) + timedelta(microseconds=1)
    message = (
        f"Merged from another machine's log of this client: {counted(calls, 'call')} "
        f"({counted(records, 'record')} in {counted(len(parts), 'segment')}), {first[:10]} to "
        f"{last[:10]}. It is signed with the key {planned.lineage}."
    )
    return {
        "event": Event.AUDIT_MERGED,
        "message": message,
        "sourceDigest": planned.digest,
        "lineage": planned.lineage,
        "lineageKeys": [base64.b64encode(one).decode() for one in planned.keyring.values()],
        "registerLines": len(planned.register),
        "registerDigest": digest(planned.register[-1]),
        "segments": [
            {"segment": one.segment, "records": one.records, "bytes": one.size, "head": one.hash}
            for one in (part.head for part in parts)
        ],
        "records": records,
        "calls": calls,
        "rangeFrom": first,
        "rangeUntil": timestamp(until),
    }


def _move(ready: Path, target: Path) -> None:
    """Move what was recorded into its lineage; done in part before, it is completed."""
    for inside in ("evidence", "heads", ""):
        make_private_dir(target / inside)
        files = sorted((ready / inside).iterdir()) if (ready / inside).is_dir() else []
        for one in files:
            if one.is_file() and one.name != PARTS:
                one.replace(target / inside / one.name)
        sync_dir(target / inside)
    client = target.parents[1]
    again = [f"{target.name}/{name}" for name, (_, here) in brought_by(ready).items() if here]
    if again:
        forget(client.parent, client.name, again)
    for inside in ("evidence", "heads"):
        with contextlib.suppress(FileNotFoundError):
            (ready / inside).rmdir()
    (ready / PARTS).unlink(missing_ok=True)
    ready.rmdir()
    _drop_if_empty(ready.parent)


def _drop_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def merge(
    log: Log,
    source: Source,
    *,
    writer: AuditWriter,
    lock: Path,
    portal: int | None,
    keys: Collection[str] = (),
    confirm: Confirm | None = None,
    progress: Progress = silent,
    most: int = MOST,
) -> Plan:
    """
    Merge a source into a client's log and return what that brought.

    `keys` are ids or fingerprints that somebody read from the other machine; `confirm` is
    asked about a plan whose keys are not all confirmed by that. Raises as `plan` and `bring`.
    """
    with locked(lock):
        tidy(log.folder)
        found = plan(log, source, portal=portal, progress=progress)
        _refuse_other_keys(source, found, keys)
        if found.parts:
            _refuse_unconfirmed(source, found, keys, confirm)
            bring(log.folder, found, source, writer=writer, progress=progress, most=most)
        return found


def _refuse_other_keys(source: Source, found: Plan, keys: Collection[str]) -> None:
    """Raise if somebody confirms a key that signed nothing of this."""
    for given in keys:
        if not any(_names(given, one) for one in found.keys):
            signed = " and ".join(one.id for one in found.keys)
            refuse(
                source.path,
                f"is signed with the key {signed}, not with {given[:80]}",
                "Somebody else may have signed it. On the other machine, hsagency audit verify "
                "shows its key.",
            )


def _refuse_unconfirmed(
    source: Source, found: Plan, keys: Collection[str], confirm: Confirm | None
) -> None:
    unknown = [one for one in found.unconfirmed if not any(_names(given, one) for given in keys)]
    if not unknown or (confirm is not None and confirm(found)):
        return
    listed = "; ".join(f"{one.id} (SHA-256 {one.fingerprint})" for one in unknown)
    raise AuditError(
        f"{source.path} is signed with a key that nobody has confirmed for {found.slug}: {listed}. "
        "Nothing was merged.",
        hint="Read the key on the other machine (hsagency audit verify shows it), and if it is "
        f"this one, say so: --key {unknown[0].id}",
    )


def _names(given: str, key: Key) -> bool:
    """Say whether what somebody typed names a key: its id, or more digits of its fingerprint."""
    digits = "".join(given.split()).replace(":", "").lower()
    return len(digits) >= len(key.id) and key.fingerprint.replace(" ", "").startswith(digits)
