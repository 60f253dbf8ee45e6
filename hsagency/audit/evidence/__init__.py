"""
Evidence: the closed segments of a log, compressed, byte for byte.

    audit/<slug>/journal/SSS-NNNNNN.jsonl         a segment as it is written
    audit/<slug>/evidence/SSS-NNNNNN.jsonl.zst    the same once it is closed and sealed
    audit/<slug>/merged/<key id>/                 the same client's log from another machine

Promised: a segment is archived when it is closed and nobody holds it, never before; what was
written is read back and compared before it takes its name, and again before the journal file
goes. So a crash leaves a segment in the journal, in both places alike, or in the evidence,
and `segments` names it once. An evidence file is never replaced. Files are 0600.

Not promised: that nobody changes these files. Whether they are as they were written is for
`verifying` to say, which reads them as if they were in the journal.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

import orjson

from hsagency.audit.record import Event
from hsagency.durable import (
    after_last_line_end,
    cure,
    entries,
    make_private_dir,
    open_to_read,
    sync_dir,
    sync_file,
    try_lock,
    unlock_and_close,
)
from hsagency.errors import AuditError, DamagedEvidence

NAME: Final = re.compile(r"\d{3}-\d{6}", re.ASCII)
"""What a segment is called."""

_JOURNAL: Final = ".jsonl"
_EVIDENCE: Final = ".jsonl.zst"
_STEP: Final = 1 << 18


def journal_file(folder: Path, name: str) -> Path:
    """Return where a segment is while it is written."""
    return folder / "journal" / f"{name}{_JOURNAL}"


def evidence_file(folder: Path, name: str) -> Path:
    """Return where a segment is once it is sealed."""
    return folder / "evidence" / f"{name}{_EVIDENCE}"


def is_evidence(path: Path) -> bool:
    """Say whether a segment's file is the sealed one."""
    return path.name.endswith(_EVIDENCE)


def segments(folder: Path) -> dict[str, Path]:
    """
    Return every segment of a log by name, sorted: its journal file, or else its evidence.

    `folder` is `audit/<slug>` or a lineage. Raises `AuditError` if it cannot be read.
    """
    # The journal first: what is sealed in between is seen twice, which is once, and not never.
    written = _named(folder / "journal", _JOURNAL)
    return dict(sorted({**sealed(folder), **written}.items()))


def sealed(folder: Path) -> dict[str, Path]:
    """Return the segments of a log that are in the evidence, by name, sorted."""
    return _named(folder / "evidence", _EVIDENCE)


def lineages(folder: Path) -> list[Path]:
    """Return a client's own log and then those of other machines that were merged into it."""
    merged = folder / "merged"
    return [folder, *(merged / one.name for one in entries(merged) if one.is_dir())]


def is_log(folder: Path) -> bool:
    """
    Say whether a client's folder holds records, written here or merged, sealed or not.

    One that is closed to this user may, and what cannot be read is not taken for empty.
    """
    if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
        return True
    return any(one.name in ("journal", "evidence", "merged") for one in entries(folder))


def open_segment(path: Path) -> BufferedReader:
    """
    Open a segment's file, of either kind, for the bytes as they were written.

    A journal file that was sealed since it was named is opened as evidence. Evidence reads
    forwards only. Raises `OSError`, as `open` does; reading evidence that is damaged raises
    `DamagedEvidence`, an `AuditError`.
    """
    if is_evidence(path):
        return _unpacked(path)
    try:
        return open_to_read(path)
    except FileNotFoundError:
        sealed = evidence_file(path.parent.parent, path.stem)
        if not NAME.fullmatch(path.stem) or not sealed.exists():
            raise
        return _unpacked(sealed)


def is_end(descriptor: int) -> bool:
    """Say whether an open journal file ends in the record that closes it."""
    size = os.fstat(descriptor).st_size
    if not size or os.pread(descriptor, 1, size - 1) != b"\n":
        return False
    try:
        last = orjson.loads(after_last_line_end(descriptor, size - 1))
    except ValueError:
        return False
    return isinstance(last, dict) and last.get("event") == Event.AUDIT_CLOSED


def archive(folder: Path, name: str) -> Path:
    """
    Put a closed segment into the evidence and return its file there; the journal file stays.

    Done already is done. Raises `AuditError` for a segment that is not there, that is not
    closed, that a writer holds, or of which other evidence exists.
    """
    target = evidence_file(folder, name)
    with _finished(folder, name) as file:
        if file is not None and target.exists():
            _refuse_other(file, target)
        elif file is not None:
            _write(file, target)
    return target


def drop_journal(folder: Path, name: str) -> None:
    """
    Remove a segment's journal file, once its evidence is compared with it and on the disk.

    Done already is done. Raises `AuditError`, with the file left, if there is no such evidence.
    """
    source, target = journal_file(folder, name), evidence_file(folder, name)
    with _finished(folder, name) as file:
        if file is None:
            return
        if not target.exists():
            raise AuditError(
                f"There is no evidence of {source}, so it stays.",
                hint="Seal the log first: hsagency audit seal",
            )
        _refuse_other(file, target)
        sync_dir(target.parent)
        source.unlink()
        sync_dir(source.parent)


@contextlib.contextmanager
def _finished(folder: Path, name: str) -> Iterator[BinaryIO | None]:
    """Open the journal file of a segment that may be sealed; nothing if only evidence is left."""
    path, sealed = journal_file(folder, name), evidence_file(folder, name)
    try:
        if not path.exists() and not sealed.exists():
            _refuse(path, "is not there", "See what is: hsagency audit verify")
        with _alone(make_private_dir(sealed.parent)):
            if not path.exists():
                yield None
                return
            with open_to_read(path) as file:
                _refuse_unfinished(file, path)
                yield file
    except OSError as error:
        raise AuditError(
            f"The segment {path} could not be sealed ({error.strerror}). It is as it was.",
            hint=cure(error),
        ) from error


def _named(folder: Path, ending: str) -> dict[str, Path]:
    """Return the files of a folder that are named like segments; a pipe or a folder is none."""
    return {
        name: folder / one.name
        for one in entries(folder)
        if one.name.endswith(ending)
        and NAME.fullmatch(name := one.name.removesuffix(ending))
        and (one.is_file() or one.is_symlink())  # reading tells of one that leads nowhere
    }


def _unpacked(path: Path) -> BufferedReader:
    from hsagency.audit.evidence.compressed import Damage, Unpacked

    def error(damage: Damage) -> DamagedEvidence:
        return DamagedEvidence(path, str(damage), cut=damage.cut)

    return BufferedReader(Unpacked(open_to_read(path), error=error), _STEP)


def _write(source: BinaryIO, target: Path) -> None:
    """Write beside, read back, compare, and only then let it be found."""
    from hsagency.audit.evidence.compressed import pack

    beside = target.with_name(f"{target.name}.new")
    beside.unlink(missing_ok=True)  # left by a crash
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
            source.seek(0)
            pack(source, file)
            file.flush()
            sync_file(file.fileno())
        _refuse_unread(source, beside)
        beside.rename(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_dir(target.parent)


def _refuse_unread(source: BinaryIO, beside: Path) -> None:
    """Raise if what was written does not read back as it should."""
    if not _equal(source, beside):
        raise AuditError(
            f"{beside} does not read back as it was written, so it was removed. The journal is "
            "as it was.",
            hint="See to the disk, then try again.",
        )


def _refuse_other(source: BinaryIO, target: Path) -> None:
    """Raise if evidence that is there already is not what the journal holds."""
    if not _equal(source, target):
        raise AuditError(
            f"The evidence {target} is not what the journal holds. Nothing was changed.",
            hint="Keep both files as they are; hsagency audit verify says what is wrong.",
        )


def _equal(source: BinaryIO, packed: Path) -> bool:
    source.seek(0)
    try:
        with _unpacked(packed) as file:
            while (one := file.read(_STEP)) == source.read(_STEP):
                if not one:
                    return True
    except DamagedEvidence:
        return False
    return False


def _refuse_unfinished(file: BinaryIO, path: Path) -> None:
    """Raise unless a segment ends in the record that closes it and no writer holds it."""
    if not is_end(file.fileno()):
        _refuse(path, "is not closed", "It is once a later segment is begun, or by a repair.")
    if not try_lock(file.fileno()):
        _refuse(path, "is still held by a writer", "Seal it when that program has ended.")
    # At once: a writer that looks for a slot must not take this for another writer.
    fcntl.flock(file.fileno(), fcntl.LOCK_UN)


def _refuse(path: Path, why: str, hint: str) -> NoReturn:
    raise AuditError(f"The segment {path} {why}, so it was not sealed.", hint=hint)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from archiving into the same folder meanwhile."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        unlock_and_close(descriptor)
