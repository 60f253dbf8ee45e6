"""
Whether the lake of a client is as it was sealed, so that its rows can be counted.

A manifest counts if it is signed with a key that the workspace lists (`audit/keys.json`), and
its files if they hold what it says. In a workspace that has no key yet, one without a signature
counts too. Where a lake does not count, the log is read from the segments, and the next sealing
makes the lake anew.

Promised: a file that was changed, cut, replaced, renamed or removed, and a manifest that was
edited, moved to another client or written by somebody without the key, are seen before a row is
used. An older manifest that is put back with its files is a lake of fewer segments: the others
are read beside it. Files that no manifest names are never read here; `catalog.unnamed` finds
them. `thorough` compares the digest of every file, once for each process and file. Otherwise a
file with the size and the time of its last change that the signed manifest has is taken for
what it was; only somebody who can set this machine's clock gets past that.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hsagency.audit import evidence
from hsagency.audit.lake import catalog
from hsagency.audit.lake.catalog import Catalog, File, Manifest, Source, home
from hsagency.audit.register import Kind, parse_line, read_keys, read_lines
from hsagency.audit.register.quick import check_signature
from hsagency.durable import NotAFile, open_to_read
from hsagency.errors import CorruptFile

_SHOWN: Final = 3  # files that are named


@dataclass(frozen=True, slots=True, kw_only=True)
class Lake:
    """What of a lake counts; `why` says what is wrong where that is nothing; `named` segments."""

    catalog: Catalog
    why: str = ""
    named: Collection[str] = ()


def look(audit: Path, slug: str, *, thorough: bool, folder: Path | None = None) -> Lake:
    """
    Return what of a client's lake counts, and why that is nothing where it should be something.

    Raises `NewerSchema`.
    """
    folder = folder or home(audit, slug)
    try:
        found = catalog.manifest(folder)
    except CorruptFile as error:
        return Lake(catalog=Catalog(), why=error.message.removesuffix("."))
    if found is None:
        lost = bool(evidence.sealed(audit / slug))
        return Lake(catalog=Catalog(), why="its manifest was not there" if lost else "")
    known = found.catalog
    why = unsigned(found, signing_keys(audit))
    if why:
        return Lake(catalog=Catalog(), why=why, named=known.segments)
    wrong = wrong_files(folder, known.files, thorough=thorough)
    if wrong:
        said = f"missing or changed: {', '.join(wrong[:_SHOWN])}"
        return Lake(catalog=Catalog(zone=known.zone), why=said, named=known.segments)
    return Lake(catalog=known, named=known.segments)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a look at a lake finds: `none`, `as sealed` or `changed`, and then in what."""

    state: str
    cause: str


def state(audit: Path, slug: str) -> State:
    """
    Say whether a client's lake is as it was sealed, by its signature, digests and files alone.

    Whether its rows are those of the evidence is for `rebuilding` to say.
    """
    folder = home(audit, slug)
    found = look(audit, slug, thorough=True)
    known = found.catalog
    cause = found.why
    if hides := hidden(known, catalog.sources(audit / slug)):
        cause = f"its manifest names segment {hides[0]}, which is still being written"
    if not cause and (added := catalog.unnamed(folder, known)):
        cause = f"not in its manifest: {', '.join(added[:_SHOWN])}"
    if cause:
        return State(state="changed", cause=cause)
    return State(state="as sealed" if known.segments else "none", cause="")


def is_signed(audit: Path) -> bool:
    """Say whether lakes have to be signed: whether the workspace has a key."""
    return signing_keys(audit) != {}


def signing_keys(audit: Path) -> Mapping[str, bytes] | None:
    """Return the keys that count, by id; nothing where the list of them cannot be read."""
    path = f"{audit}/keys.json"
    try:
        at = os.stat(path)  # noqa: PTH116  (for every client at every reading)
        stamp = (at.st_ino, at.st_mtime_ns, at.st_ctime_ns, at.st_size)
        if path not in _KEYS or _KEYS[path][0] != stamp:
            _KEYS[path] = stamp, read_keys(Path(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        return None
    return _KEYS[path][1]


_KEYS: dict[str, tuple[tuple[int, ...], Mapping[str, bytes]]] = {}


def is_vouched(audit: Path, folder: Path) -> bool:
    """Say whether the manifest in a folder is there, and is what was signed."""
    try:
        found = catalog.manifest(folder)
    except CorruptFile:
        return False
    return bool(found and found.signature and not unsigned(found, signing_keys(audit)))


def unsigned(found: Manifest, keys: Mapping[str, bytes] | None) -> str:
    """Say what is wrong with the signature of a manifest, if something is."""
    if keys is None:
        return "the list of keys, audit/keys.json, cannot be read"
    if not found.signature:
        is_needed = keys or found.key is not None
        return "its manifest is not signed" if is_needed else ""
    public = keys.get(found.key or "")
    if public is None:
        return "its manifest is signed with a key that is none of this workspace's"
    seen = (public, found.signature, found.covered)
    if seen not in _CHECKED and not check_signature(*seen):
        return "its manifest is not what was signed"
    _CHECKED[seen] = None
    while len(_CHECKED) > _MOST:
        del _CHECKED[next(iter(_CHECKED))]
    return ""


_CHECKED: dict[tuple[bytes, bytes, bytes], None] = {}
_MOST: Final = 2_000  # signatures that are remembered as good


def wrong_files(folder: Path, files: Iterable[File], *, thorough: bool) -> list[str]:
    """Return which files are missing, or do not hold what they should."""
    return [one.path for one in files if not _is_right(f"{folder}/{one.path}", one, thorough)]


def _is_right(path: str, one: File, thorough: bool) -> bool:  # noqa: FBT001  (for every file)
    try:
        at = os.stat(path)  # noqa: PTH116  (for every file at every reading)
    except OSError:
        return False
    if at.st_size != one.bytes:
        return False
    if not thorough and at.st_ctime_ns == one.changed:
        return True
    state = (at.st_ino, at.st_mtime_ns, at.st_ctime_ns, one.sha256)
    if _DIGESTS.get(path) != state:
        if catalog.digest_of(Path(path)) != one.sha256:
            return False
        _DIGESTS[path] = state
    return True


_DIGESTS: dict[str, tuple[int, int, int, str]] = {}


def hidden(known: Catalog, there: Mapping[str, Source]) -> list[str]:
    """Return the segments that are said to be in the lake and are still being written."""
    both = [there[name] for name in sorted(known.segments.keys() & there.keys())]
    return [one.segment for one in both if _is_open(one)]


def _is_open(one: Source) -> bool:
    return not (
        evidence.is_evidence(one.path)
        or evidence.evidence_file(one.log, one.name).exists()
        or _ends_closed(one.path)
    )


def _ends_closed(path: Path) -> bool:
    try:
        with open_to_read(path) as file:
            return evidence.is_end(file.fileno())
    except FileNotFoundError:
        return True  # sealed a moment ago
    except NotAFile:
        return False


def gone(audit: Path, slug: str, named: Collection[str], there: Collection[str]) -> list[str]:
    """Return the segments that were closed, or in the lake, and of which there is no evidence."""
    lines = map(_parsed, read_lines(audit / slug / "heads.jsonl")[0])
    said = [one for one in lines if one is not None]
    closed = {segment for kind, segment in said if kind is Kind.CLOSED}
    retired = {segment for kind, segment in said if kind is Kind.RETIRED}
    return sorted(({*named} | closed) - retired - {*there}, key=catalog.by_place)


def _parsed(line: bytes) -> tuple[Kind, str] | None:
    try:
        said = parse_line(line)
    except ValueError:
        return None
    return said.kind, said.head.segment
