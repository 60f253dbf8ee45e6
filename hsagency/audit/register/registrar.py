"""
The registrar: keeps the register of one client while segments are written.

A line is on the disk, in the register and in its second copy, before what comes after it
counts. An error of the register itself stops the writing. One of the second copy does not: it
guards against somebody who can change this disk, so its loss is told at once, and when it is
back it is brought up to date. A folder for it outside the workspace must be there already: a
disk that is not mounted is not replaced by a folder where it would be.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from hsagency.audit.register import (
    Head,
    Kind,
    Line,
    Signed,
    Signer,
    check_signature,
    copied_checkpoints,
    digest,
    encode_line,
    first_break,
    genesis,
    parse_line,
    read_lines,
)
from hsagency.durable import (
    NotAFile,
    make_private_dir,
    open_regular,
    read_regular,
    set_aside,
    sync_dir,
    sync_file,
    unlock_and_close,
)

_NAMED: Final = re.compile(rb'"kind":"(\w+)","segment":"(\d{3})-(\d{6})"')
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT


class Registrar:
    """
    Writes the register of one client and its second copy.

    `folder` is `audit/<slug>`, `copy` the file of the second copy. Errors of the register are
    raised as `OSError`; those of the second copy are returned as words.
    """

    def __init__(
        self, folder: Path, *, copy: Path | None, signer: Callable[[], Signer | None]
    ) -> None:
        self._slug = folder.name
        self._path = folder / "heads.jsonl"
        self._checkpoints = folder / "heads"
        self.copy = copy
        self._signer = signer

    def signs(self) -> bool:
        """Say whether a line written now would be signed."""
        return self._signer() is not None

    def replaced(self) -> str:
        """Say which key a line written now would be the first to have, if another was before."""
        signer = self._signer()
        lines = map(_parsed, reversed(read_lines(self._path)[0]))
        last = next((one.key for one in lines if one is not None and one.key), None)
        if signer is None or last in (None, signer.key):
            return ""
        return (
            f"From now on the register of {self._slug} is signed with the key {signer.key}; it was "
            f"{last}. If nobody changed or lost the credential store, find out where the new one "
            "comes from."
        )

    def newest(self) -> dict[int, int]:
        """Return the highest segment number that the register names, by slot."""
        found: dict[int, int] = {}
        for _, slot, number in self._named():
            found[int(slot)] = max(int(number), found.get(int(slot), 0))
        return found

    def names(self, segment: str, kind: Kind | None = None) -> bool:
        """Say whether there is a line about a segment, of a kind if one is given."""
        place = tuple(part.encode() for part in segment.split("-"))
        kinds = {said for said, *there in self._named() if tuple(there) == place}
        return bool(kinds) if kind is None else kind.encode() in kinds

    def begins(self) -> str:
        """Return the time of the first line; none, or one that is none of ours, is empty."""
        first = _parsed((read_lines(self._path)[0] or [b""])[0])
        return "" if first is None else first.ts

    def last_head(self, segment: str) -> Head | None:
        """Return the farthest that a segment is known to have come, whoever signed that."""
        name = segment.encode()  # among many lines the few are found without parsing all
        lines = [*read_lines(self._path)[0], *_checkpointed(self._checkpoint_path(segment))]
        said = [_parsed(line) for line in lines if name in line]
        heads = [one.head for one in said if one is not None and one.head.segment == segment]
        return max(heads, key=lambda one: one.records, default=None)

    def points_at(self, segment: str) -> bool:
        """Say whether the checkpoint of its slot is about a segment."""
        lines = _checkpointed(self._checkpoint_path(segment))
        return any(said.head.segment == segment for said in map(_parsed, lines) if said)

    def last_time(self) -> str:
        """Return the time of the last line or checkpoint that can be read; none is empty."""
        lines = read_lines(self._path)[0][-1:]
        with contextlib.suppress(FileNotFoundError):
            for path in self._checkpoints.iterdir():
                lines += _checkpointed(path)
        return max((one.ts for one in map(_parsed, lines) if one is not None), default="")

    def add(self, head: Head, *, kind: Kind, ts: str, until: str | None = None) -> str:
        """Write one line, in both copies; return what is wrong with the second one, or nothing."""
        with self._held() as (descriptor, before):
            last = before.rstrip(b"\n").rpartition(b"\n")[2]
            line = encode_line(
                head,
                kind=kind,
                slug=self._slug,
                ts=ts,
                signer=self._signer(),
                seq=before.count(b"\n") + 1,
                previous=digest(last) if last else genesis(self._slug),
                until=until,
            )
            _append(descriptor, line, at=len(before))
            if not before:
                sync_dir(self._path.parent)
            return self._add_to_copy(before, line)

    def catch_up(self) -> int:
        """
        Bring the second copy up to date; return how many lines it lacked.

        Raises `ValueError` if it is not a copy of the register, and `OSError`.
        """
        if self.copy is None or not read_lines(self._path)[0]:
            return 0
        with self._held() as (_, before), self._held_copy(self.copy) as (descriptor, there):
            if not before.startswith(there):
                raise ValueError
            _append(descriptor, before[len(there) :], at=len(there))
            return before[len(there) :].count(b"\n")

    def restore(self, keys: Mapping[str, bytes]) -> int:
        """
        Put back the lines that the register lost and its second copy has; return how many.

        A line that is not well signed is not put back, nor is any after it.
        """
        theirs = read_lines(self.copy)[0] if self.copy else []
        if not theirs or first_break(self._slug, theirs) is not None:
            return 0
        with self._held() as (descriptor, before):
            if not b"".join(theirs).startswith(before):
                return 0
            lost = theirs[before.count(b"\n") :]
            signed = itertools.takewhile(
                lambda one: check_signature(one, keys) is Signed.GOOD, lost
            )
            put_back = list(signed)
            _append(descriptor, b"".join(put_back), at=len(before))
            sync_dir(self._path.parent)
            return len(put_back)

    def checkpoint(self, head: Head, *, ts: str) -> str:
        """
        Replace the checkpoint of a slot, and its second copy; only whoever holds the slot may.

        Returns what is wrong with the second copy, or nothing.
        """
        line = encode_line(
            head, kind=Kind.CHECKPOINT, slug=self._slug, ts=ts, signer=self._signer()
        )
        path = self._checkpoint_path(head.segment)
        try:
            _replace(path, line)
        except FileNotFoundError:
            make_private_dir(path.parent)
            _replace(path, line)
        sync_dir(path.parent)  # the copy may be behind, also after a power cut, but never ahead
        return self._copy_checkpoint(path.name, line)

    def _copy_checkpoint(self, name: str, line: bytes) -> str:
        if self.copy is None:
            return ""
        folder = copied_checkpoints(self.copy)
        try:
            try:
                _replace(folder / name, line)
            except FileNotFoundError:
                folder.mkdir(mode=0o700)  # itself alone, as in `_held_copy`
                _replace(folder / name, line)
        except OSError as error:
            return f"cannot be written ({error.strerror})"
        return ""

    def _checkpoint_path(self, segment: str) -> Path:
        return self._checkpoints / f"{segment[:3]}.json"

    def _named(self) -> list[tuple[bytes, bytes, bytes]]:
        try:
            return _NAMED.findall(read_regular(self._path))
        except FileNotFoundError:
            return []

    @contextlib.contextmanager
    def _held(self) -> Iterator[tuple[int, bytes]]:
        """Open the register for this process alone; yield its whole lines too."""
        make_private_dir(self._path.parent)
        descriptor = open_regular(self._path, _FLAGS)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor, _whole(descriptor, self._path)
        finally:
            unlock_and_close(descriptor)

    @contextlib.contextmanager
    def _held_copy(self, copy: Path) -> Iterator[tuple[int, bytes]]:
        """Open the second copy, while the register is held; yield its whole lines too."""
        new = not copy.exists()
        if copy.is_relative_to(self._path.parents[2]):
            with contextlib.suppress(FileExistsError):
                copy.parent.mkdir(mode=0o700)  # itself alone: see hsagency.halt
        descriptor = open_regular(copy, _FLAGS)
        try:
            yield descriptor, _whole(descriptor, copy)
        finally:
            os.close(descriptor)
        if new:
            sync_dir(copy.parent)

    def _add_to_copy(self, before: bytes, line: bytes) -> str:
        if self.copy is None:
            return ""
        try:
            new = not self.copy.exists()
            with self._held_copy(self.copy) as (descriptor, there):
                behind = before.startswith(there)
                if behind:  # else it is left as it is: what is whole there can be put back
                    _append(descriptor, before[len(there) :] + line, at=len(there))
        except OSError as error:
            return f"cannot be written ({error.strerror})"
        if not behind:
            return "is not a copy of the register"
        lacked = before[len(there) :].count(b"\n")
        # One line may be what a crash came before; a whole file is not.
        lost = lacked > 1 or (lacked and new)
        return "lacked lines, which were written again" if lost else ""


def _replace(path: Path, content: bytes) -> None:
    """Replace a file of which there is one writer."""
    beside = path.with_name(f".{path.name}.new")
    descriptor = open_regular(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        _write(descriptor, content)
        sync_file(descriptor)
    finally:
        os.close(descriptor)
    beside.replace(path)


def _checkpointed(path: Path) -> list[bytes]:
    """Return the line of a checkpoint; one that is no file is as good as a torn one."""
    try:
        return read_lines(path)[0][:1]
    except NotAFile:
        return []


def _parsed(line: bytes) -> Line | None:
    try:
        return parse_line(line)
    except ValueError:
        return None


def _whole(descriptor: int, path: Path) -> bytes:
    """Return the whole lines of an open register; what is torn after them is set aside."""
    content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        set_aside(content[len(whole) :], descriptor, path, end=len(whole))
    return whole


def _append(descriptor: int, content: bytes, *, at: int) -> None:
    """Add lines durably, or leave nothing of them behind."""
    try:
        _write(descriptor, content)
    except OSError:
        os.ftruncate(descriptor, at)
        raise
    sync_file(descriptor)


def _write(descriptor: int, content: bytes) -> None:
    if os.write(descriptor, content) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
