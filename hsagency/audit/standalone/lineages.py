"""What a log says of merges: records of `audit.merged`, found while somebody reads it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
from typing import Any, Callable, Collection, Iterable, Iterator, NamedTuple

from hsagency.audit.standalone.evidence import Evidence
from hsagency.audit.standalone.heads import HASH, MOMENT, SEGMENT, Head
from hsagency.audit.standalone.segments import LONGEST, STEP
from hsagency.audit.standalone.verdict import JOURNAL

MERGED = "audit.merged"
MERGING = b'"event":"audit.merged"'
KEY = re.compile(r"[0-9a-f]{16}\Z")


class Lineage(NamedTuple):
    """What our own chain says of one machine's log: its keys, its register, its segments."""

    key: str
    keys: dict[str, bytes]
    lines: int
    digest: str
    heads: dict[str, Head]


class Tapped:
    """An open file of which somebody else sees what is read; `see` gets the end as nothing."""

    def __init__(self, file: Any, see: Callable[[bytes], None]) -> None:
        self._file, self._see = file, see

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        part: bytes = self._file.read(size)
        self._see(part)
        return part

    def __enter__(self) -> Tapped:
        self._file.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._file.__exit__(*error)


class Watched:
    """Our own log, read by somebody else: what it says of merges is noted on the way."""

    def __init__(self, evidence: Evidence) -> None:
        self._inner = evidence
        self._found: dict[str, list[bytes]] = {}
        self._whole: set[str] = set()

    @property
    def evidence(self) -> Evidence:
        """Return it to be read."""
        return Evidence(self._inner.names, self.open)

    def open(self, name: str) -> Any:
        """Open a file; of a segment, note its records of merges."""
        file = self._inner.open(name)
        return Tapped(file, self._noting(name)) if is_segment(name) else file

    def records(self, without: Collection[str] = ()) -> list[bytes]:
        """
        Return every record of a merge; what nobody has read yet is read now.

        `without` are segments whose word does not count, such as those that no register names.
        """
        names = [name for name in sorted(self._inner.names) if is_segment(name)]
        names = [name for name in names if name[8:18] not in without]
        for name in names:
            if name not in self._whole:
                with contextlib.suppress(FileNotFoundError), self.open(name) as file:
                    while name not in self._whole and file.read(STEP):
                        pass
        return [line for name in names for line in self._found.get(name, [])]

    def naming(self) -> set[str]:
        """Return the segments in which there are such records, of what was read."""
        return {name[8:18] for name, found in self._found.items() if found}

    def _noting(self, name: str) -> Callable[[bytes], None]:
        found = self._found[name] = []
        rest = b""

        def see(part: bytes) -> None:
            nonlocal rest
            if not part:
                self._whole.add(name)
            first, end = part.find(b"\n") + 1, part.rfind(b"\n") + 1
            if not end:
                rest += part
                if len(rest) > LONGEST:  # of no record: it is the verdict's to say so
                    self._whole.add(name)
                    rest = b""
                return
            across = rest + part[:first]
            if MERGING in across:
                found.append(across)
            if part.find(MERGING, first, end) >= 0:
                lines = part[first:end].split(b"\n")
                found.extend(line for line in lines if MERGING in line)
            rest = part[end:]

        return see


def noting_merges(parts: Iterable[bytes], into: list[bytes]) -> Iterator[bytes]:
    """Yield a segment, and note its records of merges."""
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        into.extend(line for line in lines if MERGING in line)
        yield part


def merging(evidence: Evidence) -> set[str]:
    """Return the names of the segments that have records of merges."""
    watched = Watched(evidence)
    watched.records()
    return watched.naming()


def is_segment(name: str) -> bool:
    """Say whether a file is a segment, and not what was set aside of one."""
    found = JOURNAL.match(name)
    return bool(found and not found[1])


def lineages_in(records: Iterable[bytes]) -> dict[str, Lineage]:
    """Return what records of merges say, by key id; what a later one says counts."""
    found: dict[str, Lineage] = {}
    said = [one for one in map(parsed, records) if one is not None]
    for one in sorted(said, key=lambda one: (one[0], one[1].lines)):
        known = found.get(one[1].key)
        heads = {**known.heads, **one[1].heads} if known else one[1].heads
        new = one[1]
        found[new.key] = Lineage(
            key=new.key,
            keys={**known.keys, **new.keys} if known else new.keys,
            lines=new.lines,
            digest=new.digest,
            heads=heads,
        )
    return found


def parsed(record: bytes) -> tuple[str, Lineage] | None:
    """Return what one record of a merge says, and when; the chain says whether it was altered."""
    try:
        said = json.loads(record)
        keys = [base64.b64decode(one) for one in said["lineageKeys"]]
        heads = {one["segment"]: brought(one, said["ts"]) for one in said["segments"]}
        lineage = Lineage(
            key=said["lineage"],
            keys={hashlib.sha256(one).hexdigest()[:16]: one for one in keys},
            lines=said["registerLines"],
            digest=said["registerDigest"],
            heads=heads,
        )
        good = (
            said["event"] == MERGED
            and KEY.match(lineage.key)
            and HASH.match(lineage.digest)
            and type(lineage.lines) is int
            and lineage.lines > 0
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return (said["ts"], lineage) if good else None


def brought(said: dict[str, Any], ts: str) -> Head:
    """Return how much of a segment was merged; raises `ValueError` if that is not said so."""
    counts = said["records"], said["bytes"]
    good = (
        SEGMENT.match(said["segment"])
        and HASH.match(said["head"])
        and MOMENT.match(ts)
        and all(type(one) is int and one >= 0 for one in counts)
    )
    if not good:
        raise ValueError(said)
    source = f"the merge of {ts[:10]}"
    return Head(said["segment"], *counts, said["head"], "closed", ts, True, source)
