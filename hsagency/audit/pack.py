"""
The evidence pack: one client's part of the audit log, for somebody who has nothing of ours.

Promised: the records are the bytes as they were written, by whole segments, since a chain has
no middle; nothing of another client's log is in it; the same log gives the same bytes; a file
that is there already is not replaced, and a pack is whole or not there.

Not promised: more than the log itself can show (see `verifying`); the pack's README says so.
Nor that a record never names somebody else: what was written into this client's log is handed
out as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import secrets
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from hsagency.audit.evidence import DamagedEvidence, journal_file, open_segment
from hsagency.audit.evidence.gathered import Gathered
from hsagency.audit.evidence.merged import packed
from hsagency.audit.standalone.evidence import Evidence
from hsagency.audit.standalone.heads import MOMENT, REGISTER, read_keys
from hsagency.audit.standalone.retired import Retired, in_words
from hsagency.audit.standalone.segments import Segment
from hsagency.audit.standalone.verdict import CHECKPOINT, JOURNAL, Verdict, is_outside, stated
from hsagency.audit.standalone.verify import MANIFEST
from hsagency.audit.verifying import Log, check_signature, is_live, verify
from hsagency.durable import (
    after_last_line_end,
    open_to_read,
    sync_dir,
    sync_file,
)
from hsagency.errors import AuditError, UsageError
from hsagency.periods import Period
from hsagency.portals import AGENCY

_PARTS: Final = ("ed25519", "evidence", "heads", "merged", "retired", "segments", "verdict")
_DATE: Final = (1980, 1, 1, 0, 0, 0)  # the first that a zip knows: the same log, the same bytes
_STEP: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """What was exported: the file, its SHA-256, the head to keep, and the verdict on the log."""

    path: Path
    digest: str
    head: bytes
    segments: int
    verdict: Verdict


def export(log: Log, path: Path, *, period: Period, announce: Callable[[], None]) -> Pack:
    """
    Write the evidence pack of one client and period, for this user alone.

    `announce` is called once nothing speaks against it, before anything is written.

    Raises `UsageError` if the file is there already or the log is empty, and `AuditError` if
    the log cannot be read or the pack not be written. A log that is not intact is exported
    as it is: its verdict says what is wrong.
    """
    if log.slug == AGENCY:
        raise UsageError(
            "The agency's own log names every client. Nothing was exported.",
            hint="Export one client's log: hsagency audit export SLUG",
        )
    refuse_to_replace(path)
    verdict = verify(log)
    if verdict.empty:
        raise UsageError(
            f"There is no audit log of {log.slug}. Nothing was exported.",
            hint="See whose there are: hsagency audit verify",
        )
    announce()
    try:
        for segment in verdict.segments:  # a head that is kept claims nothing that may yet be lost
            with contextlib.suppress(FileNotFoundError):  # what is sealed was flushed before
                _sync(journal_file(log.folder, segment.name))
        return _written(log, path, period, verdict)
    except OSError as error:
        raise AuditError(
            f"The evidence pack {path} cannot be written ({error.strerror}).",
            hint="Name a new file in a folder that this user may write to, on a disk with room.",
        ) from error


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        sync_file(file.fileno())


def refuse_to_replace(path: Path) -> None:
    """Raise `UsageError` if there is something at a path."""
    if path.exists() or path.is_symlink():
        raise UsageError(
            f"{path} is there already. Nothing was exported.", hint="Name a file that is not."
        )


def _written(log: Log, path: Path, period: Period, verdict: Verdict) -> Pack:
    """Write beside, then link into place, which never replaces anything."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            head, segments = _fill(file, log, period, verdict)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        try:
            os.link(beside, path)
        except FileExistsError:
            refuse_to_replace(path)
            raise
    finally:
        beside.unlink(missing_ok=True)
    sync_dir(path.parent)
    return Pack(path=path, digest=digest, head=head, segments=segments, verdict=verdict)


def _fill(file: BinaryIO, log: Log, period: Period, verdict: Verdict) -> tuple[bytes, int]:
    """Fill a zip; return the head to keep and how many segments went in."""
    found = _snapshot(log)
    chosen = _chosen(found, log, period, verdict)
    head = _head(log.slug, found.heads.get(REGISTER, b""), verdict)
    first, last = period.first.isoformat(), period.last.isoformat()
    slots = {name[8:11] for name in chosen}
    stated_there = {name: one for name, one in found.heads.items() if name[6:9] in slots}
    retired = [one for one in verdict.retired if one.first <= last and one.last >= first]
    small = dict(_documents(log.slug, head, retired, first=first, last=last))
    small |= {REGISTER: found.heads[REGISTER], "keys.json": found.keys, **stated_there}
    digests: dict[str, str] = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as pack:
        for name, content in sorted(small.items()):
            digests[name] = _add(pack, name, iter([content]))
        for name in chosen:
            digests[name] = _add(pack, name, _content(log.folder / name))
        for name, parts in packed(log.folder, first=first, last=last, check=check_signature):
            digests[name] = _add(pack, name, parts)
        manifest = {"schema": 1, "clientSlug": log.slug, "from": first, "to": last}
        _add(pack, MANIFEST, iter([_json({**manifest, "files": digests})]))
    return head, sum(name.endswith(".jsonl") for name in chosen)


class _Snapshot(NamedTuple):
    """What a log states about its segments; they themselves only grow from there on."""

    names: list[str]  # of the files of segments
    begun: set[str]  # of those that hold nothing yet but how they began
    heads: dict[str, bytes]
    keys: bytes


def _snapshot(log: Log) -> _Snapshot:
    """Read what states something, in the order in which none is ahead of what comes after."""
    evidence = Gathered(log.folder).evidence
    names = [name for name in evidence.names if JOURNAL.match(name)]
    begun = {name for name in names if _begins(log.folder / name)}
    checkpoints = [name for name in evidence.names if CHECKPOINT.match(name)]
    heads = {name: _whole_lines(evidence.read(name)) for name in checkpoints}
    heads[REGISTER] = _whole_lines(evidence.read(REGISTER))
    return _Snapshot(names, begun, heads, log.public_keys())


def _begins(path: Path) -> bool:
    """Say whether a segment has so few records that it may not be in the register yet."""
    try:
        with open_to_read(path) as file:
            return len(list(itertools.islice(file, 4))) < 4
    except FileNotFoundError:
        return False  # it was sealed, so it is


def _chosen(found: _Snapshot, log: Log, period: Period, verdict: Verdict) -> list[str]:
    """Return the files of every segment that may hold a record of the period."""
    first, last = period.first.isoformat(), period.last.isoformat()
    evidence = Evidence([*found.heads], lambda name: BytesIO(found.heads[name]))
    keys = read_keys(found.keys)
    heads = stated(evidence, keys, check_signature, Verdict(log.slug))
    outside = {name for name, said in heads.items() if is_outside(said, first, last)}
    for segment in verdict.segments:
        if _has_imported(segment, first, last):
            outside.discard(segment.name)
    # One that was opened a moment ago may be in the list and not yet in the register, or the
    # other way round.
    named = {f"journal/{name}.jsonl" for name in heads}
    names = {name for name in found.names if name in named or name not in found.begun}
    names |= {name for name in named if (log.folder / name).is_file()}
    return sorted(name for name in names if name[8:18] not in outside)


def _has_imported(segment: Segment, first: str, last: str) -> bool:
    """Say whether a segment has imported calls of a period, whenever they were imported."""
    return bool(segment.imported) and (
        segment.imported[0][:10] <= last and segment.imported[1][:10] >= first
    )


def kept_head(log: Log) -> bytes:
    """Return how far a log has come, as a HEAD.json to keep."""
    return _head(log.slug, _snapshot(log).heads[REGISTER], verify(log))


def _head(slug: str, register: bytes, verdict: Verdict) -> bytes:
    """Return how far the whole log had come, for a client to keep."""
    lines = register.split(b"\n")[:-1]
    times = [one.last for one in verdict.segments if MOMENT.match(one.last)]
    return _json(
        {
            "schema": 1,
            "clientSlug": slug,
            "made": max(times, default="1970-01-01T00:00:00.000000Z"),
            "register": {
                "lines": len(lines),
                "digest": hashlib.sha256(lines[-1]).hexdigest() if lines else None,
            },
            "segments": [
                {"segment": one.name, "records": one.records, "bytes": one.size, "head": one.head}
                for one in verdict.segments
            ],
        }
    )


def _documents(
    slug: str, head: bytes, retired: list[Retired], *, first: str, last: str
) -> Iterator[tuple[str, bytes]]:
    """Yield what a reader needs beside the records."""
    ours = files("hsagency.audit.standalone")
    readme = ours.joinpath("README.txt").read_text("utf-8")
    said = {"SLUG": slug, "FROM": first, "TO": last, "RETIRED": _removed(retired)}
    for name, value in said.items():
        readme = readme.replace(f"@{name}@", value)
    yield "README.txt", readme.encode()
    yield "HEAD.json", head
    yield "SPECIFICATION.md", ours.joinpath("SPECIFICATION.md").read_bytes()
    schema = files("hsagency.data").joinpath("record.schema.json")
    yield "record.schema.json", schema.read_bytes()
    yield "test-vectors.json", ours.joinpath("test-vectors.json").read_bytes()
    yield "verify.py", one_file().encode()


def _removed(retired: list[Retired]) -> str:
    """Return what the README says of records of the period that are gone for good."""
    if not retired:
        return ""
    said = "".join(f"    {one}\n" for one in in_words(retired))
    return (
        "Some records of this period are not in here: the agency does not keep them any longer.\n"
        f"Signed lines of heads.jsonl say so.\n\n{said}\n"
    )


def one_file() -> str:
    """Return the verifier as one file: its parts, without what they import from each other."""
    ours = files("hsagency.audit.standalone")
    whole = ours.joinpath("verify.py").read_text("utf-8")
    opening, _, rest = whole.partition("from __future__ import annotations\n")
    parts = [ours.joinpath(f"{name}.py").read_text("utf-8") for name in _PARTS]
    bodies = [part.replace("from __future__ import annotations\n", "") for part in [*parts, rest]]
    text = "\n\n".join(_alone(body) for body in bodies)
    return f"{opening}from __future__ import annotations\n\n{text}"


def _alone(source: str) -> str:
    """Return a module's text without the imports from our own package."""
    kept, ours = [], False
    for line in source.splitlines():
        ours = ours or line.startswith("from hsagency.")
        if not ours:
            kept.append(line)
        ours = ours and not line.endswith(")") and line.endswith((",", "("))
    return "\n".join(kept).strip() + "\n"


def _content(path: Path) -> Iterator[bytes]:
    """Yield a file as it was written; of a segment that is being written, its whole lines."""
    try:
        file = open_to_read(path)
    except FileNotFoundError:
        yield from _sealed(path)
        return
    with file:
        size = os.fstat(file.fileno()).st_size
        if path.suffix == ".jsonl" and is_live(path):
            size -= len(after_last_line_end(file.fileno(), size))
        while size > 0 and (part := file.read(min(_STEP, size))):
            size -= len(part)
            yield part


def _sealed(path: Path) -> Iterator[bytes]:
    """Yield a segment from its evidence, as far as that can be read: its verdict says the rest."""
    with open_segment(path) as file, contextlib.suppress(DamagedEvidence):
        while part := file.read1(_STEP):
            yield part


def _whole_lines(content: bytes | None) -> bytes:
    content = content or b""
    return content[: content.rfind(b"\n") + 1]


def _add(pack: zipfile.ZipFile, name: str, content: Iterator[bytes]) -> str:
    """Add one file to a pack and return its SHA-256."""
    info = zipfile.ZipInfo(name, _DATE)
    info.compress_type, info.external_attr, info.create_system = (
        zipfile.ZIP_DEFLATED,
        0o600 << 16,
        3,
    )
    hashed = hashlib.sha256()
    with pack.open(info, "w", force_zip64=True) as member:
        for part in content:
            hashed.update(part)
            member.write(part)
    return hashed.hexdigest()


def _json(document: Mapping[str, Any] | list[Any]) -> bytes:
    return json.dumps(document, indent=1).encode() + b"\n"
