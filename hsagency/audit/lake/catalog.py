"""
What is in the lake of one client: the manifest, and the files that it names.

    audit/lake/client_slug=<slug>/manifest.json
    audit/lake/client_slug=<slug>/month=YYYY-MM/part-NNNNNN.parquet    one row a call
    audit/lake/client_slug=<slug>/activity-NNNNNN.parquet              what is not a call

Only files that the manifest names count; it is replaced as a whole, so a crash leaves the lake
before or after. A file is never changed: a new one gets a new number, and the old one goes when
the new manifest is on the disk.

The manifest is signed with the key of the register, as its last member; the signature covers
the client and all that comes before it, and so the digest of every file. `trusted` checks that.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
import polars as pl

from hsagency.audit import evidence
from hsagency.audit.lake.joining import known_zone
from hsagency.audit.register import Signer
from hsagency.durable import (
    entries,
    make_private_dir,
    open_to_read,
    read_regular,
    write_private,
)
from hsagency.errors import CorruptFile, NewerSchema

Kind = TypeVar("Kind")

SCHEMA: Final = 1
PART: Final = 250_000
"""Rows of a part at most; they are held in memory while one is written."""

_LEVEL: Final = 1  # higher ones take longer, and pack random ids worse
_GROUP: Final = 1 << 16  # rows of a row group: what a day of a busy month leaves out or reads
_MANIFEST: Final = "manifest.json"
_NUMBER: Final = re.compile(r"(?:part|activity)-(\d{6,})\.parquet", re.ASCII)
_PART: Final = re.compile(r"month=\d{4}-\d\d/part-\d{6,}\.parquet", re.ASCII)
_ACTIVITY: Final = re.compile(r"activity-\d{6,}\.parquet", re.ASCII)
_SIGNATURE: Final = re.compile(rb',\n  "signature": "([A-Za-z0-9+/]{86}==)"\n\}\n\Z')


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """
    A file of the lake: where it is from the client's folder on, and what it has to hold.

    `changed` is when its content or its name was last changed, as the file system has it
    (`st_ctime_ns`), which nobody can set as they like.
    """

    path: str
    rows: int
    bytes: int
    sha256: str
    changed: int

    @property
    def month(self) -> str:
        """The month of a part, as 2026-10."""
        return self.path.partition("/")[0].removeprefix("month=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the lake knows of a segment: its lines, and which could not be read, and why."""

    lines: int
    damage: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """
    What the manifest of one client says.

    `zone` is the time zone of `day_local`. `loose` are calls of which a detail alone is known.
    """

    zone: str | None = None
    segments: Mapping[str, Told] = field(default_factory=dict)
    parts: tuple[File, ...] = ()
    activity: File | None = None
    loose: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[File, ...]:
        """Every file of the lake of this client."""
        return (*self.parts, *([self.activity] if self.activity else []))

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return sum(one.bytes for one in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A segment of a client's log: its name in the lake, the log it belongs to, and its file."""

    segment: str
    log: Path
    name: str
    path: Path


def sources(folder: Path, *, without: Container[str] = ()) -> dict[str, Source]:
    """
    Return every segment of a client, also of logs merged into it, in order of place.

    Those that are named in `without` are left out, but for those still in the journal. Raises
    `AuditError` where a folder cannot be read.
    """
    found: dict[str, Source] = {}
    _add(found, folder, "", without)
    # By name, without making a path of it: for every log of a fleet at every reading.
    for one in [entry.name for entry in entries(f"{folder}/merged")]:
        log = folder / "merged" / one
        if log.is_dir():
            _add(found, log, f"{one}/", without)
    return found


def _add(found: dict[str, Source], log: Path, prefix: str, without: Container[str]) -> None:
    # The journal first: what is sealed in between is seen twice, which is once, and not never.
    written, packed = _names(f"{log}/journal", ".jsonl"), _names(f"{log}/evidence", ".jsonl.zst")
    new = {name for name in packed if f"{prefix}{name}" not in without}
    for name in sorted(written | new):
        file = evidence.journal_file if name in written else evidence.evidence_file
        segment = f"{prefix}{name}"
        found[segment] = Source(segment=segment, log=log, name=name, path=file(log, name))


def _names(folder: str, ending: str) -> set[str]:
    """Return the names of the segments in a folder; a pipe or a folder is none."""
    found = {
        one.name.removesuffix(ending): one for one in entries(folder) if one.name.endswith(ending)
    }
    return {
        name
        for name, one in found.items()
        if evidence.NAME.fullmatch(name) and (one.is_file() or one.is_symlink())
    }


def by_place(segment: str) -> tuple[bool, str]:
    """Return a key that sorts segments as `sources` does."""
    return "/" in segment, segment


def home(audit: Path, slug: str) -> Path:
    """Return the folder of a client in the lake."""
    return audit / "lake" / f"client_slug={slug}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest as it was read: what it says, and which key signed that, if one did."""

    catalog: Catalog
    key: str | None
    signature: bytes
    covered: bytes  # by the signature


def load(folder: Path) -> Catalog | None:
    """Return what a client's manifest says, or nothing if there is none; raises as `manifest`."""
    found = manifest(folder)
    return None if found is None else found.catalog


def slugs(audit: Path) -> list[str]:
    """Return every client of whom there is a folder in the lake, sorted."""
    found = (one.name.partition("client_slug=") for one in (audit / "lake").glob("client_slug=*"))
    return sorted(slug for _, _, slug in found)


def manifest(folder: Path) -> Manifest | None:
    """
    Return a client's manifest, or nothing if there is none, whoever signed it.

    Raises `NewerSchema` and, where it cannot be read as what it should be, `CorruptFile`.
    """
    path = f"{folder}/{_MANIFEST}"
    try:
        at = os.stat(path)  # noqa: PTH116  (for every client at every reading)
        stamp = (at.st_ino, at.st_mtime_ns, at.st_ctime_ns, at.st_size)
        known = _LOADED.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        content = read_regular(Path(path))
        said = orjson.loads(content)
        newer = said["schema"] > SCHEMA
        found = None if newer else _manifest(content, said, folder)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CorruptFile(
            f"The manifest {path} cannot be read ({type(error).__name__}).",
            hint="It is made anew from the evidence: hsagency audit rebuild",
        ) from error
    if found is None:
        raise NewerSchema(
            f"The lake {folder} has schema {said['schema']}; this hsagency reads up to {SCHEMA}.",
            hint="Use the later hsagency that wrote it, or remove that folder: it is made anew.",
        )
    _LOADED[path] = stamp, found
    return found


# A manifest is replaced, never changed, so the same file says the same.
_LOADED: dict[str, tuple[tuple[int, ...], Manifest]] = {}


def _manifest(content: bytes, said: Mapping[str, Any], folder: Path) -> Manifest:
    match = _SIGNATURE.search(content)
    body = content if match is None else content[: match.start()] + b"\n}"
    return Manifest(
        catalog=_catalog(said),
        key=None if said["key"] is None else _is(str, said["key"]),
        signature=b"" if match is None else base64.b64decode(match[1]),
        covered=_covered(folder, body),
    )


def _covered(folder: Path, body: bytes) -> bytes:
    """Return what is signed: no line of a register, and of no other client."""
    return b"hsagency lake\0" + folder.name.encode() + b"\0" + body


def _catalog(said: Mapping[str, Any]) -> Catalog:
    zone = said["timeZone"]
    found = Catalog(
        zone=known_zone(zone),
        segments={name: _told(one) for name, one in said["segments"].items()},
        parts=tuple(_file(one, _PART) for one in said["parts"]),
        activity=_file(said["activity"], _ACTIVITY) if said["activity"] else None,
        loose=tuple(_is(str, one) for one in said["loose"]),
    )
    if found.zone != zone or (found.files and not found.segments):
        raise ValueError
    return found


def _told(said: Mapping[str, Any]) -> Told:
    damage = tuple((_is(int, line), _is(str, cause)) for line, cause in said["damage"])
    return Told(lines=_is(int, said["lines"]), damage=damage)


def _file(said: Mapping[str, Any], form: re.Pattern[str]) -> File:
    one = File(**said)
    if not form.fullmatch(one.path):
        raise ValueError
    for number in (one.rows, one.bytes, one.changed):
        _is(int, number)
    _is(str, one.sha256)
    return one


def _is(kind: type[Kind], value: object) -> Kind:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError
    return value


def save(folder: Path, catalog: Catalog, *, signer: Signer | None) -> None:
    """Replace a client's manifest; from then on its files count."""
    said = {
        "schema": SCHEMA,
        "timeZone": catalog.zone,
        "segments": {
            name: {"lines": one.lines, "damage": one.damage}
            for name, one in sorted(catalog.segments.items(), key=lambda pair: by_place(pair[0]))
        },
        "parts": catalog.parts,
        "activity": catalog.activity,
        "loose": catalog.loose,
        "key": None if signer is None else signer.key,
    }
    body = orjson.dumps(said, option=orjson.OPT_INDENT_2)
    if signer is not None:
        signature = base64.b64encode(signer.sign(_covered(folder, body)))
        body = body[:-2] + b',\n  "signature": "' + signature + b'"\n}'
    write_private(folder / _MANIFEST, body + b"\n")


def unnamed(folder: Path, catalog: Catalog) -> list[str]:
    """Return the files in a client's folder that do not count, and that a query may take for it."""
    named = {_MANIFEST, *(one.path for one in catalog.files)}
    there = (path for path in folder.rglob("*") if not path.is_dir() and path.name[0] != ".")
    return sorted({path.relative_to(folder).as_posix() for path in there} - named)


def next_number(folder: Path) -> int:
    """Return a number that no file of a client has, also none that a crash left behind."""
    found = (_NUMBER.fullmatch(path.name) for path in folder.glob("**/*.parquet"))
    return max((int(one[1]) for one in found if one), default=0) + 1


def write(folder: Path, path: str, frame: pl.DataFrame) -> File:
    """Write a new file of the lake durably; it counts once the manifest names it."""
    content = BytesIO()
    frame.write_parquet(
        content, compression="zstd", compression_level=_LEVEL, row_group_size=_GROUP
    )
    data = content.getvalue()
    make_private_dir((folder / path).parent)
    write_private(folder / path, data)
    digest, changed = hashlib.sha256(data).hexdigest(), (folder / path).stat().st_ctime_ns
    return File(path=path, rows=frame.height, bytes=len(data), sha256=digest, changed=changed)


def digest_of(path: Path) -> str | None:
    """Return the SHA-256 of a file, or nothing if it cannot be read."""
    try:
        with open_to_read(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def remove(folder: Path) -> None:
    """Remove a client's lake; the manifest first, so that no half of it counts."""
    (folder / _MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=not folder.exists())


def sweep(folder: Path, catalog: Catalog) -> None:
    """Remove the files that do not count: replaced, or left by a crash."""
    named = {folder / one.path for one in catalog.files} | {folder / _MANIFEST}
    for path in [*folder.glob("*"), *folder.glob("month=*/*"), *folder.glob("month=*/.*")]:
        if path not in named and not path.is_dir():
            path.unlink(missing_ok=True)
    for path in folder.glob("month=*"):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
