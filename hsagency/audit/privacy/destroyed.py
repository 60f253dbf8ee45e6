"""
Which keys of hashed identifiers a client's log says were destroyed.

The log is chained and signed, and `identifiers.json` is not: where that is lost, or is put back
from before, the log still says which keys are not to be used again.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import orjson

from hsagency.audit.evidence import lineages, open_segment, segments
from hsagency.audit.record import Event
from hsagency.errors import DamagedEvidence

_NAME: Final = re.compile(r"\b[0-9a-f]{8}\b")
_DONE: Final = " is gone: the store was asked again and has none. "


def begun(names: Iterable[str]) -> str:
    """Return what is recorded before keys are destroyed."""
    return f"The key of this log's hashed identifiers is being destroyed: {' and '.join(names)}."


def done(names: Iterable[str]) -> str:
    """Return what is recorded once they are."""
    return (
        f"The key {' and '.join(names)}{_DONE}Hashes with that name in front tell nobody any "
        "more whom they are of."
    )


def destroyed(records: Iterable[tuple[str, str]]) -> dict[str, str]:
    """
    Return the keys that are gone, and since when.

    Of the `audit.erased` records of a log, given by time and message. What was begun only is
    not done: it goes on when it is asked for again.
    """
    found: dict[str, str] = {}
    for ts, message in records:
        names, ended, _ = message.partition(_DONE)
        found.update(dict.fromkeys(_NAME.findall(names) if ended else (), ts))
    return found


def read_destroyed(folder: Path) -> dict[str, str]:
    """Read all of a client's log for them; what cannot be read says nothing."""
    return destroyed(_records(folder))


def _records(folder: Path) -> Iterator[tuple[str, str]]:
    marker = f'"event":"{Event.AUDIT_ERASED}"'.encode()
    for path in (path for one in lineages(folder) for path in segments(one).values()):
        with contextlib.suppress(DamagedEvidence), open_segment(path) as file:
            for line in file:
                if marker in line:
                    with contextlib.suppress(ValueError, KeyError, TypeError):
                        said = orjson.loads(line)
                        yield str(said["ts"]), str(said["message"])
