"""Where a log is, and what is found wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, NamedTuple

INTACT, ALTERED, MISSING, TRUNCATED, GAP = "intact", "altered", "missing", "truncated", "gap"
WORST_FIRST = (ALTERED, MISSING, TRUNCATED, GAP)


class Evidence(NamedTuple):
    """Where a log is: the names of its files, and what opens one (or raises FileNotFoundError)."""

    names: list[str]
    open: Callable[[str], Any]

    def read(self, name: str) -> bytes | None:
        """Return a whole file, or nothing if there is none."""
        try:
            with self.open(name) as file:
                content: bytes = file.read()
                return content
        except FileNotFoundError:
            return None


def in_folder(folder: Path) -> Evidence:
    """Return the evidence in a client's part of an audit log."""
    names = []
    for inside in (folder, folder / "journal", folder / "heads"):
        try:
            found = sorted(inside.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            continue  # any other error is raised: what cannot be read is not taken for empty
        names += [one.relative_to(folder).as_posix() for one in found if one.is_file()]
    known = set(names)

    def opened(name: str) -> Any:
        if name not in known:  # nor a pipe that would keep whoever opens it
            raise FileNotFoundError(name)
        return (folder / name).open("rb")

    return Evidence(names, opened)


class Finding(NamedTuple):
    """What is wrong, and where that is first seen."""

    verdict: str
    file: str
    line: int | None
    byte: int | None
    cause: str

    def __str__(self) -> str:
        place = "" if self.line is None else f", line {self.line}"
        place += "" if self.byte is None else f", byte {self.byte}"
        return f"{self.verdict}: {self.file}{place}: {self.cause}"
