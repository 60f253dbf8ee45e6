"""
The evidence pack: one client's part of the audit log, for somebody who has nothing of ours.

    owned       whose a line is: another client's never leaves
    verifier    the verifier that goes in, as one file

Promised: the records are the bytes as they were written, by whole segments, since a chain has
no middle; nothing of another client's log is in it, also if that lies in this client's folder:
such a file is left out and named; the same log gives the same bytes; a file that is there
already is not replaced, and a pack is whole or not there.

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
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from hsagency.audit.evidence import journal_file, open_segment
from hsagency.audit.evidence.gathered import Gathered
from hsagency.audit.evidence.merged import KEYS, packed
from hsagency.audit.pack.owned import Foreign, owned, refuse_links
from hsagency.audit.pack.verifier import one_file
from hsagency.audit.register.quick import check_signature
from hsagency.audit.standalone.evidence import ALTERED, Evidence, Finding
from hsagency.audit.standalone.heads import MOMENT, REGISTER, read_keys
from hsagency.audit.standalone.lineages import lineages_in, merging, noting_merges
from hsagency.audit.standalone.retired import Retired, in_words
from hsagency.audit.standalone.signers import fingerprint
from hsagency.audit.standalone.verdict import CHECKPOINT, JOURNAL, Verdict, is_outside, stated
from hsagency.audit.standalone.verify import MANIFEST, holds
from hsagency.audit.verifying import Log, is_live, verify
from hsagency.durable import (
    after_last_line_end,
    open_to_read,
    sync_dir,
    sync_file,
)
from hsagency.errors import AuditError, DamagedEvidence, UsageError
from hsagency.periods import Period
from hsagency.portals import AGENCY

_DATE: Final = (1980, 1, 1, 0, 0, 0)  # the first that a zip knows: the same log, the same bytes
_STEP: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """
    What was exported: the file, its SHA-256, the head to keep, and the verdict on the log.

    `segments` counts those with something of the period, `left_out` names files that do not
    show that they are this client's, `keys` are the fingerprints of the keys that signed, by id,
    and `verifier` is the SHA-256 of the verify.py in it.
    """

    path: Path
    digest: str
    head: bytes
    segments: int
    left_out: tuple[str, ...]
    keys: Mapping[str, str]
    verifier: str
    verdict: Verdict


def export(log: Log, path: Path, *, period: Period, announce: Callable[[], None]) -> Pack:
    """
    Write the evidence pack of one client and period, for this user alone.

    `announce` is called once nothing speaks against it, before anything is written.

    Raises `UsageError` if the file is there already or the log is empty, and `AuditError` if
    the log cannot be read or the pack not be written, or a part of the log is a link. A log
    that is not intact is exported as it is: its verdict says what is wrong.
    """
    if log.slug == AGENCY:
        raise UsageError(
            "The agency's own log names every client. Nothing was exported.",
            hint="Export one client's log: hsagency audit export SLUG",
        )
    refuse_to_replace(path)
    refuse_links(log.folder)
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
            made = _filled(file, log, period, verdict)
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
    return Pack(path=path, digest=digest, verdict=verdict, **made._asdict())


class _Made(NamedTuple):
    """What came of filling a pack, as `Pack` has it."""

    head: bytes
    segments: int
    left_out: tuple[str, ...]
    keys: Mapping[str, str]
    verifier: str


def _filled(file: BinaryIO, log: Log, period: Period, verdict: Verdict) -> _Made:
    """Fill a zip; begin anew without it where a file turns out not to be this client's."""
    left_out: list[str] = []
    while True:
        try:
            return _fill(file, log, period, verdict, left_out)
        except Foreign as found:
            cause = "this does not show that it is this client's, so it is not in the pack"
            verdict.findings.append(Finding(ALTERED, found.name, found.line, None, cause))
            left_out.append(found.name)
            file.seek(0)
            file.truncate()


def _fill(file: BinaryIO, log: Log, period: Period, verdict: Verdict, left_out: list[str]) -> _Made:
    first, last = period.first.isoformat(), period.last.isoformat()
    found, told = _snapshot(log, left_out), Verdict(log.slug)
    merges: list[bytes] = []
    chosen = [one for one in _chosen(found, log, period, verdict, told) if one not in left_out]
    being_written = [one[8:18] for one in chosen if is_live(log.folder / one)]
    head = _head(log.slug, found.heads[REGISTER], verdict, told)
    slots = {name[8:11] for name in chosen}
    stated_there = {name: one for name, one in found.heads.items() if name[6:9] in slots}
    retired = [one for one in verdict.retired if one.first <= last and one.last >= first]
    small = dict(_documents(log.slug, head, retired, first=first, last=last))
    small |= {KEYS: found.keys, REGISTER: found.heads[REGISTER], **stated_there}
    digests: dict[str, str] = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as pack:

        def add(name: str, parts: Iterator[bytes]) -> None:
            if name not in left_out:
                whose = owned(log.slug, name, parts) if _is_of_log(name) else parts
                digests[name] = _add(pack, name, whose)

        for name, content in sorted(small.items()):
            add(name, iter([content]))
        for name in chosen:
            add(name, noting_merges(_content(log.folder / name), merges))
        merged = lineages_in(merges)
        for name, parts in packed(
            log.folder, merged, first=first, last=last, check=check_signature
        ):
            add(name, parts)
        manifest = {"schema": 1, "clientSlug": log.slug, "from": first, "to": last}
        more = {"open": being_written, "leftOut": left_out, "files": digests}
        _add(pack, MANIFEST, iter([_json({**manifest, **more})]))
    return _Made(
        head=head,
        segments=_count(digests, verdict, first, last),
        left_out=tuple(left_out),
        keys=_signers(told),
        verifier=digests["verify.py"],
    )


def _is_of_log(name: str) -> bool:
    """Say whether every line of a file names the client."""
    return name.endswith(REGISTER) or ("/" in name and not name.endswith((KEYS, "/HEAD.json")))


def _count(names: Collection[str], verdict: Verdict, first: str, last: str) -> int:
    """Return how many segments in a pack have something of the period."""
    without = {
        f"merged/{log.lineage}/journal/{one.name}.jsonl"
        if log.lineage
        else f"journal/{one.name}.jsonl"
        for log in verdict.each
        for one in log.segments
        if not holds(one, first, last)
    }
    return sum(name.endswith(".jsonl") and "journal/" in name for name in {*names} - without)


class _Snapshot(NamedTuple):
    """What a log states about its segments; they themselves only grow from there on."""

    names: list[str]  # of the files of segments
    begun: set[str]  # of those that hold nothing yet but how they began
    heads: dict[str, bytes]
    keys: bytes


def _snapshot(log: Log, left_out: Collection[str]) -> _Snapshot:
    """Read what states something, in the order in which none is ahead of what comes after."""
    evidence = Gathered(log.folder).evidence
    names = [name for name in evidence.names if JOURNAL.match(name)]
    begun = {name for name in names if _begins(log.folder / name)}
    stating = [*(name for name in evidence.names if CHECKPOINT.match(name)), REGISTER]
    heads = {name: _whole_lines(evidence.read(name)) for name in stating if name not in left_out}
    return _Snapshot(names, begun, {REGISTER: b"", **heads}, log.public_keys())


def _begins(path: Path) -> bool:
    """Say whether a segment has so few records that it may not be in the register yet."""
    try:
        with open_to_read(path) as file:
            return len(list(itertools.islice(file, 4))) < 4
    except FileNotFoundError:
        return False  # it was sealed, so it is


def _chosen(
    found: _Snapshot, log: Log, period: Period, verdict: Verdict, told: Verdict
) -> list[str]:
    """
    Return the files of every segment that may hold a record of the period, or of a merge.

    What register and checkpoints come to is noted in `told`.
    """
    first, last = period.first.isoformat(), period.last.isoformat()
    evidence = Evidence([*found.heads], lambda name: BytesIO(found.heads[name]))
    heads = stated(evidence, read_keys(found.keys), check_signature, told)
    outside = {name for name, said in heads.items() if is_outside(said, first, last)}
    outside -= {one.name for one in verdict.segments if holds(one, first, last)}
    if outside:
        outside -= merging(Gathered(log.folder).evidence)
    # One that was opened a moment ago may be in the list and not yet in the register, or the
    # other way round.
    named = {f"journal/{name}.jsonl" for name in heads}
    names = {name for name in found.names if name in named or name not in found.begun}
    names |= {name for name in named if (log.folder / name).is_file()}
    return sorted(name for name in names if name[8:18] not in outside)


def kept_head(log: Log) -> bytes:
    """Return how far a log has come, as a HEAD.json to keep."""
    register, verdict = _snapshot(log, ()).heads[REGISTER], verify(log)
    return _head(log.slug, register, verdict, verdict)


def _signers(verdict: Verdict) -> dict[str, str]:
    """Return the fingerprints of the keys that signed, by id."""
    return {one: fingerprint(verdict.keys[one]) for one in sorted(verdict.signers)}


def _head(slug: str, register: bytes, verdict: Verdict, told: Verdict) -> bytes:
    """Return how far the whole log had come, for a client to keep."""
    lines = register.split(b"\n")[:-1]
    times = [one.last for one in verdict.segments if MOMENT.match(one.last)]
    return _json(
        {
            "schema": 1,
            "clientSlug": slug,
            "made": max(times, default="1970-01-01T00:00:00.000000Z"),
            "keys": [{"key": key, "fingerprint": one} for key, one in _signers(told).items()],
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
