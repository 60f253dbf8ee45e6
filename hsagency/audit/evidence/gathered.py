"""
A log's segments, gathered from the journal and the evidence for whoever judges or exports them.

The rules of the verifier that clients get know one place for a segment, `journal/`. Here each
is found there, wherever it is; what the rules then say names the file that it really is. What
they cannot know is added: evidence that is damaged, and a segment that is in both places with
different bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from hsagency.audit.evidence import (
    NAME,
    evidence_file,
    journal_file,
    open_segment,
    sealed,
)
from hsagency.audit.standalone.evidence import (
    ALTERED,
    TRUNCATED,
    Evidence,
    Finding,
    in_folder,
)
from hsagency.audit.standalone.heads import REGISTER
from hsagency.audit.standalone.segments import Segment
from hsagency.audit.standalone.verdict import CHECKPOINT, Verdict
from hsagency.durable import NotAFile, open_to_read
from hsagency.errors import DamagedEvidence

_STEP: Final = 1 << 18


class Gathered:
    """What a log's folder holds, and what was found damaged while it was read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._damaged: dict[str, DamagedEvidence] = {}
        self._list()

    def _list(self) -> None:
        there = in_folder(self._folder)
        # After the journal: what is sealed meanwhile is seen twice.
        self._sealed = sealed(self._folder)
        in_journal = {name for name in there.names if name.startswith("journal/")}
        gathered = {_as_journal(name) for name in self._sealed}
        self._both = {name[8:18] for name in in_journal & gathered}
        self.names = [*there.names, *sorted(gathered - in_journal)]

    @property
    def evidence(self) -> Evidence:
        """Return it as the rules know it: every segment in `journal/`."""
        return Evidence(self.names, self.open)

    def steady(self) -> Evidence:
        """
        Return the same as of one moment, though it is being written.

        What is stated is read now, in the order in which nothing is behind it that comes later:
        checkpoints, how much of each segment there is, the register. Then the names once more.
        A segment that the register does not name is read as far as it was there before: what a
        program wrote into it since may have been registered a moment ago.
        """
        points = [name for name in self.names if name.startswith("heads/")]
        held = {name: self._content(name) for name in points}
        sizes = {path.stem: path.stat().st_size for path in self._journal()}
        register = held[REGISTER] = self._content(REGISTER)
        self._list()
        names = [one for one in self.names if one in held or not CHECKPOINT.match(one)]

        def opened(name: str) -> Any:
            segment = _segment_in(name)
            if name in held:
                return _whole(held[name], name)
            file = self.open(name)
            if segment is None or segment in self._sealed or _names(register, segment):
                return file
            return _UpTo(file, sizes.get(segment, 0))

        return Evidence(names, opened)

    def _content(self, name: str) -> bytes | None:
        return Evidence([], self.open).read(name)

    def _journal(self) -> list[Path]:
        folder = self._folder / "journal"
        return [one for one in folder.iterdir() if one.is_file()] if folder.is_dir() else []

    def open(self, name: str) -> Any:
        """Open a file by the name that the rules know."""
        segment = _segment_in(name)
        if segment is None:
            try:
                return open_to_read(self._folder / name)
            except NotAFile as error:  # so the file that should be there is not
                raise FileNotFoundError(name) from error
        return _AsFarAsPossible(
            open_segment(self._folder / name), lambda one: self._damaged.update({segment: one})
        )

    def complete(self, verdict: Verdict) -> None:
        """Add to a verdict what the rules cannot know, and name the files that are meant."""
        segments = {one.name: one for one in verdict.segments}
        found = [one for one in verdict.findings if _segment_in(one.file) not in self._damaged]
        found += [_damage(error, segments[name]) for name, error in self._damaged.items()]
        found += filter(None, (self._differing(name) for name in sorted(self._both & {*segments})))
        found += self._other_than_files()
        verdict.findings = [self._named(one) for one in found]
        verdict.notes += [
            f"No part of the log: {f'evidence/{one.name}'!r}."
            for one in sorted(self._inside())
            if not NAME.fullmatch(one.name.removesuffix(".new").removesuffix(".jsonl.zst"))
        ]

    def _other_than_files(self) -> Iterator[Finding]:
        """Yield what is in the place of a file and is none: a pipe, a folder, a link to nowhere."""
        for inside in ("journal", "heads", "evidence"):
            for one in sorted((self._folder / inside).glob("*")):
                if not one.is_file():
                    yield Finding(ALTERED, f"{inside}/{one.name}", None, None, "it is no file")

    def files(self) -> list[Path]:
        """Return the files that it was gathered from, as far as they are there by now."""
        return [self._folder / name for name in self.names] + [*self._sealed.values()]

    def _inside(self) -> list[Path]:
        inside = self._folder / "evidence"
        return list(inside.iterdir()) if inside.is_dir() else []

    def _differing(self, segment: str) -> Finding | None:
        """Return where evidence is not what the journal has; damaged evidence is not either."""
        path = evidence_file(self._folder, segment)
        try:
            with (
                open_to_read(journal_file(self._folder, segment)) as written,
                open_segment(path) as packed,
            ):
                place = _difference(written, packed)
        except FileNotFoundError:
            return None  # sealed meanwhile
        if place is None:
            return None
        cause = f"it is not what journal/{segment}.jsonl holds"
        return Finding(ALTERED, f"evidence/{path.name}", *place, cause)

    def _named(self, finding: Finding) -> Finding:
        """Return a finding with the real name of the file that it is about."""
        segment = _segment_in(finding.file)
        if (
            segment is None
            or (self._folder / finding.file).exists()
            or not self._was_sealed(segment)
        ):
            return finding
        return finding._replace(file=f"evidence/{segment}.jsonl.zst")

    def _was_sealed(self, segment: str) -> bool:
        """Say whether a segment is in the evidence, or was if it was there: sealing is in order."""
        return any(one[:3] == segment[:3] and one >= segment for one in self._sealed)


class _AsFarAsPossible:
    """Reads a segment up to its end or to where it is damaged, and tells of that."""

    def __init__(self, file: BufferedReader, tell: Callable[[DamagedEvidence], None]) -> None:
        self._file, self._tell = file, tell

    def read(self, size: int) -> bytes:
        try:
            return self._file.read1(size)  # what comes before the damage is not lost with it
        except DamagedEvidence as error:
            self._tell(error)
            return b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class _UpTo:
    """Reads a file up to a place."""

    def __init__(self, file: Any, size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int = -1) -> bytes:
        part: bytes = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(part)
        return part

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.__exit__(*error)


def _whole(content: bytes | None, name: str) -> BytesIO:
    if content is None:
        raise FileNotFoundError(name)
    return BytesIO(content)


def _names(register: bytes | None, segment: str) -> bool:
    return register is not None and b'"segment":"%s"' % segment.encode() in register


def _damage(error: DamagedEvidence, segment: Segment) -> Finding:
    verdict, file = TRUNCATED if error.cut else ALTERED, f"evidence/{error.path.name}"
    cause = error.cause.replace("it ", "the compressed file ", 1)
    return Finding(verdict, file, segment.records + 1, segment.size, cause)


def _difference(written: BinaryIO, packed: BufferedReader) -> tuple[int, int] | None:
    """Return the first line and byte where two files differ, if they do."""
    line, byte, part = 1, 0, b"-"
    while part:
        try:
            part = packed.read1(_STEP)
        except DamagedEvidence:
            return line, byte
        mine = written.read(len(part) or 1)
        if mine != part:
            unlike = (
                place
                for place, (one, other) in enumerate(zip(mine, part, strict=False))
                if one != other
            )
            same = next(unlike, min(len(mine), len(part)))
            return line + mine.count(b"\n", 0, same), byte + same
        line, byte = line + part.count(b"\n"), byte + len(part)
    return None


def _segment_in(name: str) -> str | None:
    """Return which segment a name of the rules is about."""
    segment = name.removeprefix("journal/").removesuffix(".jsonl")
    return segment if NAME.fullmatch(segment) and name == _as_journal(segment) else None


def _as_journal(segment: str) -> str:
    return f"journal/{segment}.jsonl"
