"""A pack, as it came or unpacked, opened as if whoever made it meant harm: plain files alone."""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, Callable, NamedTuple

from hsagency.audit.standalone.evidence import ALTERED, Evidence, Finding

SEGMENTS = re.compile(r"(merged/[0-9a-f]{16}/)?journal/[0-9]{3}-[0-9]{6}\.jsonl")
LOGS = ("MANIFEST.json", "HEAD.json", "keys.json", "heads", "journal", "merged")
BROKEN = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError),
    *(NotImplementedError, RuntimeError, OverflowError),
)


class Opened(NamedTuple):
    """What is in a pack, and what is wrong with its files; that grows while they are read."""

    evidence: Evidence
    wrong: list[Finding]


def open_pack(path: Path) -> Opened:
    """Open a pack; raises `zipfile.BadZipFile` and `OSError`."""
    return unpacked(path) if path.is_dir() else zipped(path)


def zipped(path: Path) -> Opened:
    """Open a pack as it came."""
    try:
        pack = zipfile.ZipFile(path)
    except (FileNotFoundError, PermissionError):
        raise
    except BROKEN as error:
        raise zipfile.BadZipFile(str(error)) from None
    members: dict[str, zipfile.ZipInfo] = {}
    wrong: list[Finding] = []
    for one in pack.infolist():
        why = refused(one)
        if one.filename in members:
            why = "there are two files of this name"
        if why:
            wrong.append(Finding(ALTERED, one.filename, None, None, why))
        elif not one.is_dir():
            members[one.filename] = one

    def member(name: str) -> Any:
        if name not in members:
            raise FileNotFoundError(name)
        try:
            return Guarded(pack.open(members[name]), lambda error: damaged(wrong, name, error))
        except BROKEN as error:
            damaged(wrong, name, error)
            return BytesIO()

    return Opened(Evidence(sorted(members), member), wrong)


def refused(member: zipfile.ZipInfo) -> str:
    """Say why a file in a zip is not opened."""
    if member.flag_bits & 1:
        return "it is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "it is packed in a way that no pack is"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "it is a link, not a file"
    return too_large(member.filename, member.file_size)


def too_large(name: str, size: int) -> str:
    """Say why a file that is read whole is not opened; segments are read in parts."""
    most = (256 if name.endswith("heads.jsonl") else 16) << 20
    return f"it is too large: {size} bytes" if size > most and not SEGMENTS.match(name) else ""


def damaged(wrong: list[Finding], name: str, error: Exception) -> None:
    """Note once that a file cannot be unpacked."""
    if not any(one.file == name for one in wrong):
        cause = f"it cannot be unpacked ({str(error) or type(error).__name__})"
        wrong.append(Finding(ALTERED, name, None, None, cause))


class Guarded:
    """A file in a zip, which ends where it is damaged."""

    def __init__(self, file: Any, tell: Callable[[Exception], None]) -> None:
        self._file, self._tell = file, tell

    def read(self, size: int = -1) -> bytes:
        """Read on, as far as that is possible."""
        try:
            part: bytes = self._file.read(size)
            return part
        except BROKEN as error:
            self._tell(error)
            return b""

    def __enter__(self) -> Guarded:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def unpacked(folder: Path) -> Opened:
    """Open a pack that was unpacked, and nothing that lies elsewhere."""
    names: list[str] = []
    wrong: list[Finding] = []
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        for one in sorted(os.scandir(folder / inside), key=lambda one: one.name):
            name = inside + one.name
            if one.is_dir(follow_symlinks=False) and is_folder(name):
                waiting.append(name + "/")
                continue
            plain = one.is_file(follow_symlinks=False)
            why = too_large(name, one.stat().st_size) if plain else "it is no plain file"
            if why and name.startswith(LOGS):
                wrong.append(Finding(ALTERED, name, None, None, why))
            elif not why:
                names.append(name)
    there = {*names}

    def member(name: str) -> Any:
        if name not in there:
            raise FileNotFoundError(name)
        return (folder / name).open("rb")

    return Opened(Evidence(sorted(names), member), wrong)


def is_folder(name: str) -> bool:
    """Say whether there is to be a folder of this name in a pack."""
    return bool(
        re.match(r"(merged/[0-9a-f]{16}/)?(journal|heads)\Z|merged(/[0-9a-f]{16})?\Z", name)
    )
