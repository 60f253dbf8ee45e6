"""
Whose a line is: nothing of another client's log leaves with a pack, whatever lies in the folder.

A restore into the wrong folder, or a link, is all it takes. So every line is looked at on its
way into the pack, before it is written: it names this client, and no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson

from hsagency.audit.standalone.segments import LONGEST
from hsagency.errors import AuditError

_NAMES: Final = re.compile(rb'"clientSlug"\s*:\s*"([^"]*)')


class Foreign(Exception):
    """A file has a line that is not this client's."""

    def __init__(self, name: str, line: int) -> None:
        super().__init__(name)
        self.name, self.line = name, line


def owned(slug: str, name: str, parts: Iterator[bytes]) -> Iterator[bytes]:
    """
    Yield a file by whole lines, and at last what is torn of one.

    Raises `Foreign` before it would yield a line of another client.

    A line that is too damaged to be read is this client's if it names nobody else, and comes
    after one that does name this client.
    """
    rest, number = b"", 0
    for part in parts:
        end = part.rfind(b"\n") + 1
        if not end:
            rest += part
            if len(rest) > LONGEST:
                raise Foreign(name, number + 1)
            continue
        whole, rest = rest + part[:end], part[end:]
        number = _look(slug, name, whole, number)
        yield whole
    if rest:
        if _is_foreign(slug, rest, first=number == 0):
            raise Foreign(name, number + 1)
        yield rest


def _look(slug: str, name: str, whole: bytes, number: int) -> int:
    """Look at whole lines, of which so many came before; return how many that makes."""
    lines = whole.split(b"\n")[:-1]
    for at, line in enumerate(lines, start=number + 1):
        if _is_foreign(slug, line, first=at == 1):
            raise Foreign(name, at)
    return number + len(lines)


def _is_foreign(slug: str, line: bytes, *, first: bool) -> bool:
    try:
        said = orjson.loads(line)
    except ValueError:
        named = {one.decode("utf-8", "replace") for one in _NAMES.findall(line)}
        return named != {slug} if first else bool(named - {slug})
    return not isinstance(said, dict) or said.get("clientSlug") != slug


def refuse_links(folder: Path) -> None:
    """Raise `AuditError` if a part of a client's log is a link, which may lead to another's."""
    parts = ("journal", "evidence", "heads", "heads.jsonl", "merged", "merging")
    there = [folder / one for one in parts]
    for one in [*there, *(inside for part in there for inside in sorted(part.rglob("*")))]:
        if one.is_symlink():
            raise AuditError(
                f"{one.relative_to(folder)} in the log of {folder.name} is a link, and may lead "
                "to another client's. Nothing was exported.",
                hint="Put the files themselves in its place, then export again.",
            )
