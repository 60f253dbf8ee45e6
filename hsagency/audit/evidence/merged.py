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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from hsagency.audit.evidence.gathered import Gathered
from hsagency.audit.standalone.evidence import ALTERED, Evidence, Finding
from hsagency.audit.standalone.heads import REGISTER, Check
from hsagency.audit.standalone.lineages import Lineage, Watched, lineages_in
from hsagency.audit.standalone.verdict import CHECKPOINT, Verdict, is_outside, judge, stated
from hsagency.durable import read_regular, unreadable

KEYS: Final = "keys.json"
"""Where the public keys of a log stand, in a pack, a lineage and an audit folder."""

PARTS: Final = "merge.json"
"""What a staged merge brings; never moved, and the last to go."""

_STEP: Final = 1 << 18


def recorded(folder: Path) -> dict[str, Lineage]:
    """Return what a client's own log says of merges; raises `AuditError` if it cannot be read."""
    try:
        return lineages_in(Watched(Gathered(folder).evidence).records())
    except OSError as error:
        raise unreadable(folder, error) from error


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
    for lineage in known.values():
        places = _places(folder, lineage)
        found.append(judged(places, folder.name, lineage, first=first, last=last, check=check))
    for name in sorted(there - {*known}):
        cause = "no merge on record brought it here"
        planted = Verdict(folder.name, first, last, lineage=name)
        planted.findings.append(Finding(ALTERED, f"merged/{name}", None, None, cause))
        found.append(planted)
    return sorted(found, key=lambda one: one.lineage)


def judged(
    places: Sequence[Gathered],
    slug: str,
    lineage: Lineage,
    *,
    check: Check,
    first: str = "",
    last: str = "",
) -> Verdict:
    """Return the verdict on a lineage; of several places, the first that has a file counts."""
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
    folder: Path, lineages: Mapping[str, Lineage], *, first: str, last: str, check: Check
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield what of each lineage belongs into a client's pack of some days."""
    for key, lineage in sorted(lineages.items()):
        place = joined(place.evidence for place in _places(folder, lineage))
        stating = [name for name in place.names if name == REGISTER or CHECKPOINT.match(name)]
        small = {name: place.read(name) for name in stating}
        small |= {"HEAD.json": _head(folder.name, lineage), KEYS: listed(lineage.keys)}
        for name, content in sorted(small.items()):
            yield f"merged/{key}/{name}", iter([content or b""])
        said = stated(place, dict(lineage.keys), check, Verdict(folder.name))
        for name, head in sorted(lineage.heads.items()):
            file = f"journal/{name}.jsonl"
            if file in place.names and not is_outside(said.get(name, []), first, last):
                yield f"merged/{key}/{file}", _as_far_as_there(place, file, head.size)


def _places(folder: Path, lineage: Lineage) -> list[Gathered]:
    """Return where the files of a lineage are; of two, the first counts: files move from there."""
    ready = folder / "merging" / lineage.key
    there = [ready] if is_recorded(ready, lineage) else []
    return [Gathered(one) for one in [*there, folder / "merged" / lineage.key]]


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
