"""
Lineages: logs of the same client that were merged from other machines.

    audit/<slug>/merged/<key id>/     one of them: `evidence/`, `heads.jsonl`, `heads/`, `keys.json`
    audit/<slug>/merging/<key id>/    what is on its way there (see `merging`)

What was merged, up to which record, and by whose keys it is checked, is said by our own signed
chain (`audit.merged`), not by the lineage. So one that was altered, cut or taken away is found,
and so is one that was put there by other means. Segments that were never brought are not missed.

Not seen: what our own chain cannot show of itself (see `verifying`).
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import orjson

from hsagency.audit.evidence.gathered import Gathered
from hsagency.audit.record import Event
from hsagency.audit.register import key_id
from hsagency.audit.standalone.evidence import ALTERED, Evidence, Finding
from hsagency.audit.standalone.heads import Check, Head
from hsagency.audit.standalone.segments import LONGEST
from hsagency.audit.standalone.verdict import JOURNAL, Verdict, is_outside, judge, stated
from hsagency.durable import read_regular
from hsagency.errors import AuditError

KEYS: Final = "keys.json"
"""Where the public keys of a log stand, in a pack, a lineage and an audit folder."""

PARTS: Final = "merge.json"
"""What a staged merge brings; never moved, and the last to go."""

_NEEDLE: Final = b'"event":"%s"' % Event.AUDIT_MERGED.encode()
_STEP: Final = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """What our own chain says of one machine's log: its keys, its register, its segments."""

    key: str
    keys: Mapping[str, bytes]
    lines: int
    digest: str
    heads: Mapping[str, Head]


class Tapped:
    """An open file of which somebody else sees what is read; `see` gets the end as nothing."""

    def __init__(self, file: Any, see: Callable[[bytes], None]) -> None:
        self._file, self._see = file, see

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        part: bytes = self._file.read(size)
        self._see(part)
        return part

    def __enter__(self) -> Self:
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
        return Tapped(file, self._noting(name)) if _is_segment(name) else file

    def records(self) -> list[bytes]:
        """Return every record of a merge; what nobody has read yet is read now."""
        names = [name for name in sorted(self._inner.names) if _is_segment(name)]
        for name in names:
            if name not in self._whole:
                with contextlib.suppress(FileNotFoundError), self.open(name) as file:
                    while name not in self._whole and file.read(_STEP):
                        pass
        return [line for name in names for line in self._found.get(name, [])]

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
            if _NEEDLE in across:
                found.append(across)
            if part.find(_NEEDLE, first, end) >= 0:
                lines = part[first:end].split(b"\n")
                found.extend(line for line in lines if _NEEDLE in line)
            rest = part[end:]

        return see


def _is_segment(name: str) -> bool:
    found = JOURNAL.match(name)
    return bool(found and not found[1])


def lineages_in(records: Iterable[bytes]) -> dict[str, Lineage]:
    """Return what records of merges say, by key id; what a later one says counts."""
    found: dict[str, Lineage] = {}
    said = [one for one in map(_parsed, records) if one is not None]
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


def _parsed(record: bytes) -> tuple[str, Lineage] | None:
    try:
        said = orjson.loads(record)
        keys = [base64.b64decode(one) for one in said["lineageKeys"]]
        source = f"the merge of {said['ts'][:10]}"
        heads = {
            one["segment"]: Head(
                *(one["segment"], one["records"], one["bytes"], one["head"]),
                *("closed", said["ts"], True, source),
            )
            for one in said["segments"]
        }
        lineage = Lineage(
            key=said["lineage"],
            keys={key_id(one): one for one in keys},
            lines=said["registerLines"],
            digest=said["registerDigest"],
            heads=heads,
        )
        return said["ts"], lineage
    except (ValueError, KeyError, TypeError):
        return None  # the chain says whether it was altered


def recorded(folder: Path) -> dict[str, Lineage]:
    """Return what a client's own log says of merges; raises `AuditError` if it cannot be read."""
    try:
        return lineages_in(Watched(Gathered(folder).evidence).records())
    except OSError as error:
        raise AuditError(
            f"The audit log {folder} cannot be read ({error.strerror}).",
            hint="A log that cannot be read is not an empty one: restore access to it.",
        ) from error


def is_recorded(ready: Path, lineage: Lineage | None) -> bool:
    """Say whether our own chain names what is staged."""
    known = {} if lineage is None else lineage.heads
    ends = brought_by(ready)
    return bool(ends) and all(
        name in known and known[name].hash == end for name, (end, _) in ends.items()
    )


def brought_by(ready: Path) -> dict[str, tuple[str, bool]]:
    """Return which segments are staged: with which end, and whether they were here before."""
    try:
        said = orjson.loads(read_regular(ready / PARTS))
    except (FileNotFoundError, ValueError):
        return {}
    return {name: (end, again) for name, (end, again) in said.items()}


def verdicts(
    folder: Path, records: Iterable[bytes], *, first: str, last: str, check: Check
) -> list[Verdict]:
    """Return the verdict on each lineage that there is, or should be, in a client's folder."""
    known = lineages_in(records)
    merged = folder / "merged"
    there = {one.name for one in merged.iterdir()} if merged.is_dir() else set()
    found = []
    for key, lineage in known.items():
        ready = folder / "merging" / key  # first: files move from there
        folders = [*([ready] if is_recorded(ready, lineage) else []), merged / key]
        found.append(judged(folders, folder.name, lineage, first=first, last=last, check=check))
    for name in sorted(there - {*known}):
        cause = "no merge on record brought it here"
        planted = Verdict(folder.name, first, last, lineage=name)
        planted.findings.append(Finding(ALTERED, f"merged/{name}", None, None, cause))
        found.append(planted)
    return sorted(found, key=lambda one: one.lineage)


def judged(
    folders: Iterable[Path],
    slug: str,
    lineage: Lineage,
    *,
    check: Check,
    first: str = "",
    last: str = "",
) -> Verdict:
    """Return the verdict on a lineage; of several folders, the first that has a file counts."""
    places = [Gathered(folder) for folder in folders]
    evidence = joined(place.evidence for place in places)
    register = {"lines": lineage.lines, "digest": lineage.digest}
    verdict = judge(
        evidence,
        slug,
        dict(lineage.keys),
        first=first,
        last=last,
        kept={"register": register, "segments": []},
        brought=dict(lineage.heads),
        check=check,
    )
    verdict.lineage = lineage.key
    verdict.notes = [one.replace("is being written", "was being written") for one in verdict.notes]
    for place in places:
        place.complete(verdict)
    verdict.findings = [
        one._replace(file=f"merged/{lineage.key}/{one.file}") for one in verdict.findings
    ]
    return verdict


def packed(
    folder: Path, *, first: str, last: str, check: Check
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield what of each lineage belongs into a client's pack of some days."""
    for key, lineage in sorted(recorded(folder).items()):
        place = Gathered(folder / "merged" / key).evidence
        small = {name: place.read(name) for name in place.names if not _is_segment(name)}
        small |= {"HEAD.json": _head(folder.name, lineage), KEYS: listed(lineage.keys)}
        for name, content in sorted(small.items()):
            yield f"merged/{key}/{name}", iter([content or b""])
        said = stated(place, dict(lineage.keys), check, Verdict(folder.name))
        for name, head in sorted(lineage.heads.items()):
            file = f"journal/{name}.jsonl"
            if file in place.names and not is_outside(said.get(name, []), first, last):
                yield f"merged/{key}/{file}", _as_far_as_there(place, file, head.size)


def _as_far_as_there(place: Evidence, name: str, end: int) -> Iterator[bytes]:
    with contextlib.suppress(EOFError):
        yield from read_through(place, name, end=end)


def _head(slug: str, lineage: Lineage) -> bytes:
    """Return what was merged of a log as a HEAD.json."""
    said = {
        "schema": 1,
        "clientSlug": slug,
        "made": max(one.ts for one in lineage.heads.values()),
        "register": {"lines": lineage.lines, "digest": lineage.digest},
        "segments": [
            {"segment": one.segment, "records": one.records, "bytes": one.size, "head": one.hash}
            for _, one in sorted(lineage.heads.items())
        ],
    }
    return orjson.dumps(said, option=orjson.OPT_INDENT_2) + b"\n"


def listed(keys: Mapping[str, bytes]) -> bytes:
    """Return public keys as a keys.json."""
    said = [
        {"key": key, "algorithm": "Ed25519", "publicKey": base64.b64encode(public).decode()}
        for key, public in keys.items()
    ]
    return orjson.dumps(said, option=orjson.OPT_INDENT_2) + b"\n"


def joined(parts: Iterable[Evidence]) -> Evidence:
    """Return the evidence of several places as one; the first that has a file counts."""
    places = list(parts)

    def member(name: str) -> Any:
        for place in places:
            with contextlib.suppress(FileNotFoundError):
                return place.open(name)
        raise FileNotFoundError(name)

    return Evidence(sorted({name for place in places for name in place.names}), member)


def read_through(evidence: Evidence, name: str, *, end: int, start: int = 0) -> Iterator[bytes]:
    """Yield a part of a file; raises `EOFError` if it ends before that."""
    with evidence.open(name) as file:
        place = 0
        while place < end:
            part = file.read(min(_STEP, end - place))
            if not part:
                raise EOFError(name)
            if place + len(part) > start:
                yield part[max(0, start - place) :]
            place += len(part)
