"""
Evidence from elsewhere: a pack, or a folder of another machine, read as if it meant us ill.

Promised: only the files that a log consists of are opened, by names that cannot lead anywhere
else; a link, a second file of the same name, a name that leads out of the pack, or more than
there is room for, and all of it is refused. Nothing is unpacked to disk here.

Not promised: that what it says is true. That is for `merging` to find out.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, NoReturn

from hsagency.audit.evidence.gathered import Gathered
from hsagency.audit.evidence.merged import KEYS
from hsagency.audit.standalone.evidence import Evidence
from hsagency.audit.standalone.heads import REGISTER
from hsagency.audit.standalone.merged import LINEAGE
from hsagency.audit.standalone.verdict import JOURNAL, Verdict
from hsagency.audit.standalone.verify import MANIFEST, read_manifest
from hsagency.errors import BadSlug, EvidenceRefused, UsageError
from hsagency.portals import AGENCY, parse_slug

_SAFE: Final = re.compile(r"(?!.*//)(?!(.*/)?\.{1,2}(/|$))[\w.-][\w./-]{0,199}", re.ASCII)
_SEGMENT: Final = 1 << 30  # bytes; ours are closed at 64 MB, those of the first version were not
_SMALL: Final = 64 << 20
_FILES: Final = 200_000
_LOCKED: Final = 0x61  # encrypted, strongly too, or a patch of something else
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
BROKEN_ZIP: Final = (zipfile.BadZipFile, zlib.error, struct.error, EOFError)
"""What is raised where a zip is not what it says."""

_NEITHER: Final = "Name an evidence pack (hsagency audit export), or the other machine's workspace."


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """
    One client's evidence as it came.

    `first` and `last` are the days that a pack covers, `files` what its manifest lists, and
    `digest` is the SHA-256 of a zip file; a folder has none of them. `merged` counts the logs of
    still other machines that were merged there, which are not taken. `complete` adds to a
    verdict what the verifier's rules do not know.
    """

    path: Path
    slug: str
    evidence: Evidence
    keys: bytes
    first: str = ""
    last: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    merged: int = 0
    complete: Callable[[Verdict], None] = lambda _: None


@contextlib.contextmanager
def open_source(path: Path, *, client: str | None, room: int | None = None) -> Iterator[Source]:
    """
    Open a pack or a folder; `client` chooses among those of a workspace.

    `room` is how many bytes may come of it where they are merged.

    Raises `UsageError` for what is no evidence of one client, and `EvidenceRefused` for what
    should not be touched.
    """
    with contextlib.ExitStack() as stack:
        try:
            found = _opened(path, client, room, stack)
        except (*BROKEN_ZIP, NotImplementedError, RuntimeError) as error:
            if isinstance(error, RecursionError):
                raise
            refuse(path, f"is not a pack that can be unpacked ({error})")
        except OSError as error:
            raise UsageError(
                f"{path} cannot be read ({error.strerror}). Nothing was merged.", hint=_NEITHER
            ) from error
        yield found  # what goes wrong from here on is not the opening


def _opened(
    path: Path, client: str | None, room: int | None, stack: contextlib.ExitStack
) -> Source:
    if path.is_dir():
        return _folder(path.resolve(), client)
    file = stack.enter_context(path.open("rb"))
    try:
        pack = stack.enter_context(zipfile.ZipFile(file))
    except zipfile.BadZipFile:
        raise UsageError(
            f"{path} is no zip file, or not a whole one. Nothing was merged.", hint=_NEITHER
        ) from None
    return _pack(path, file, pack, client, room)


def _pack(
    path: Path, file: BufferedReader, pack: zipfile.ZipFile, client: str | None, room: int | None
) -> Source:
    names = _checked(path, pack.infolist(), room)

    def member(name: str) -> Any:
        if name not in names:
            raise FileNotFoundError(name)
        return pack.open(name)

    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    return _exported(path, Evidence(sorted(names), member), client, digest=digest)


def _checked(path: Path, members: list[zipfile.ZipInfo], room: int | None) -> set[str]:
    """Return the names in a zip; raises if one of them is not what a pack has."""
    if len(members) > _FILES:
        refuse(path, f"holds {len(members)} files, more than any pack")
    seen: set[str] = set()
    for one in members:
        name = one.orig_filename
        if not _SAFE.fullmatch(name) or name != one.filename:
            refuse(path, f"holds a file whose name leads elsewhere: {name[:80]!r}")
        if name.casefold() in seen:
            refuse(path, f"holds two files of the same name: {name!r}")
        if stat.S_ISLNK(one.external_attr >> 16):
            refuse(path, f"holds a link instead of a file: {name!r}")
        if one.flag_bits & _LOCKED or one.compress_type not in _METHODS:
            refuse(path, f"holds a file that is encrypted or packed in another way: {name!r}")
        if one.file_size > (_SEGMENT if JOURNAL.match(name) else _SMALL):
            refuse(path, f"holds a file that is too large: {name!r}, {one.file_size} bytes")
        seen.add(name.casefold())
    whole = sum(one.file_size for one in members)
    if room is not None and whole > room:
        refuse(path, f"would need {whole} bytes, and the disk has room for {room}")
    return {one.filename for one in members}


def _exported(path: Path, evidence: Evidence, client: str | None, *, digest: str = "") -> Source:
    """Return a pack, in a zip or unpacked, by what its manifest says."""
    try:
        said = read_manifest(evidence)
    except ValueError:
        raise UsageError(
            f"{path} is not an evidence pack: it has no {MANIFEST} that can be read. "
            "Nothing was merged.",
            hint=_NEITHER,
        ) from None
    return Source(
        path=path,
        slug=_slug(path, said["clientSlug"], client),
        evidence=evidence,
        keys=evidence.read(KEYS) or b"",
        first=said["from"],
        last=said["to"],
        files=said["files"],
        digest=digest,
        merged=len({found[1] for found in map(LINEAGE.match, evidence.names) if found}),
    )


def _slug(path: Path, text: str, client: str | None) -> str:
    try:
        slug = AGENCY if text == AGENCY else parse_slug(text)
    except BadSlug:
        refuse(path, f"names a client that cannot be one: {text[:80]!r}")
    if slug == AGENCY:
        raise UsageError(
            f"{path} is an agency's own log, not a client's. Nothing was merged.",
            hint="Merge one client's log.",
        )
    if client is not None and client != slug:
        raise UsageError(
            f"{path} is a log of {slug}, not of {client}. Nothing was merged.",
            hint="Leave --client out, or name another file.",
        )
    return slug


def _folder(path: Path, client: str | None) -> Source:
    """Return the log in a workspace, in one client's folder, or in a pack that was unpacked."""
    if (path / MANIFEST).is_file():
        _refuse_links(path, [path, *(one for one in sorted(path.rglob("*")) if one.is_dir())])
        return _exported(path, _unpacked(path), client)
    for audit in (path / "audit", path):
        logs = sorted(one.name for one in audit.iterdir() if _is_log(one)) if audit.is_dir() else []
        logs = [one for one in logs if one != AGENCY]
        if logs:
            return _log(audit / _chosen(path, logs, client), client)
    if _is_log(path):
        return _log(path, client)
    raise UsageError(f"There is no audit log in {path}. Nothing was merged.", hint=_NEITHER)


def _chosen(path: Path, logs: list[str], client: str | None) -> str:
    if client is None and len(logs) == 1:
        return logs[0]
    if client in logs:
        return str(client)
    listed = ", ".join(logs[:20]) + (", ..." if len(logs) > 20 else "")
    if client is None:
        raise UsageError(
            f"{path} has the logs of several clients: {listed}. Nothing was merged.",
            hint="Say whose: --client SLUG",
        )
    raise UsageError(
        f"{path} has no log of {client}. Nothing was merged.", hint=f"It has: {listed}"
    )


def _is_log(folder: Path) -> bool:
    return (folder / REGISTER).is_file() or (folder / "journal").is_dir()


def _log(folder: Path, client: str | None) -> Source:
    _refuse_links(folder, [folder, *(folder / one for one in ("journal", "evidence", "heads"))])
    keys = folder.parent / KEYS
    _refuse_links(folder, [], keys)
    gathered = Gathered(folder)
    return Source(
        path=folder,
        slug=_slug(folder, folder.name, client),
        evidence=gathered.evidence,
        merged=len(_inside(folder / "merged")),
        complete=gathered.complete,
        keys=keys.read_bytes() if keys.is_file() else b"",
    )


def _unpacked(folder: Path) -> Evidence:
    """Return what lies in an unpacked pack; what its manifest lists elsewhere is not there."""
    files = {one.relative_to(folder).as_posix(): one for one in folder.rglob("*") if one.is_file()}

    def member(name: str) -> Any:
        if name not in files:
            raise FileNotFoundError(name)
        return files[name].open("rb")

    return Evidence(sorted(files), member)


def _refuse_links(path: Path, folders: Iterable[Path], *more: Path) -> None:
    """Raise unless everything in some folders is a plain file or a folder."""
    for one in [*(inside for folder in folders for inside in [folder, *_inside(folder)]), *more]:
        try:
            mode = one.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            refuse(path, f"holds a link, or what is no file: {one.name!r}")


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def refuse(path: Path, why: str, hint: str = "") -> NoReturn:
    """Raise `EvidenceRefused`, with the sentence that says why."""
    raise EvidenceRefused(
        f"{path} {why}. Nothing was merged.",
        hint=hint or "Have the evidence exported again on the machine it comes from.",
    )
