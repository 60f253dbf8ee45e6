"""
Finding what was done with somebody's data: the answer to a data-subject request.

An identifier is found where its hash stands in a record, and, if it is a number or a UUID, also
where it stands as the id of an object: in the path, as the object's id, or among the ids that
an answer named. It is found whole, as it stood in the address, in whatever case.

Not found: who is named in bodies and answers only, which are never recorded. What else cannot
be found in a log is said with every answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from hsagency.audit.evidence import DamagedEvidence, lineages, open_segment, segments
from hsagency.audit.lake import CALLS, Reading
from hsagency.audit.privacy.identifiers import Key, Listed
from hsagency.audit.record import Event, Origin
from hsagency.errors import UsageError
from hsagency.progress import Progress, silent
from hsagency.routes import is_id

_ALWAYS: Final = (
    "Bodies and answers are never recorded: whoever is named only in one, such as in a search, "
    "a batch or a list that was fetched, is not found.",
    "A value is found whole and as it stood in the address: another spelling (of a telephone "
    "number, say) and a part of a longer text (a filter, a file's path) are not.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found of somebody, and what cannot be; the identifier itself is not in here."""

    client_slug: str
    calls: pl.DataFrame
    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Named:
    """What the details of calls say of an id."""

    call_ids: frozenset[str]
    cut: int = 0  # details that list fewer ids than there were
    broken: tuple[str, ...] = ()  # segments that cannot be read to their end


def parse(identifier: str) -> str:
    """Return an identifier without spaces around it; raises `UsageError` if it is empty."""
    wanted = identifier.strip()
    if not wanted:
        raise UsageError(
            "No identifier was given. Nothing was read.",
            hint="Give one on standard input: an e-mail address, a telephone number, an id.",
        )
    return wanted


def find(
    reading: Reading,
    folder: Path,
    wanted: str,
    *,
    key: Key | None,
    keys: list[Listed],
    progress: Progress = silent,
) -> Found:
    """
    Return the calls of one client that name an identifier (columns: `audit.lake.CALLS`).

    `folder` is `audit/<slug>`; `wanted` is what `parse` returned; `key` is the client's, and
    `keys` all that it has or had.
    """
    named = _in_answers(folder, wanted, progress) if is_id(wanted) else _Named(frozenset())
    fits = pl.col("call_id").is_in(list(named.call_ids))
    if key is not None:
        fits |= _holds("identifiers", key.hash(wanted))
    if is_id(wanted):
        shown = wanted.lower()
        fits |= (pl.col("object_id").str.to_lowercase() == shown).fill_null(value=False)
        path = pl.concat_str(pl.col("path").str.to_lowercase(), pl.lit("/"))
        fits |= path.str.contains(f"/{shown}/", literal=True).fill_null(value=False)
    calls = reading.calls.filter(fits).select(*CALLS).sort("ts", "call_id").collect()
    limits = [
        *_ALWAYS,
        *_unhashed(reading),
        *_keyless(reading, key, keys),
        *_beyond(named),
        *_unread(reading, named),
    ]
    return Found(client_slug=folder.name, calls=calls, limits=tuple(limits))


def _holds(column: str, text: str) -> pl.Expr:
    return pl.col(column).str.contains(text, literal=True).fill_null(value=False)


def _in_answers(folder: Path, wanted: str, progress: Progress) -> _Named:
    """Look for an id among those that answers named; only the records themselves have them."""
    paths = [path for one in lineages(folder) for path in segments(one).values()]
    found, cut, broken = set[str](), 0, list[str]()
    with progress("reading records", len(paths)) as step:
        for path in paths:
            try:
                for detail in _details(path):
                    ids = [str(one).lower() for one in detail["objectIds"]]
                    cut += detail.get("objectIdCount", 0) > len(ids)
                    if wanted.lower() in ids:
                        found.add(str(detail["callId"]))
            except DamagedEvidence:
                broken.append(path.name)
            step(1)
    return _Named(frozenset(found), cut, tuple(broken))


def _details(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the details that name ids; the few lines among many are found without parsing all."""
    marker = f'"event":"{Event.DETAIL}"'.encode()
    with open_segment(path) as file:
        for line in file:
            if marker in line and b'"objectIds":' in line:
                try:
                    detail = orjson.loads(line)
                except ValueError:
                    continue  # told with the other damaged lines
                if isinstance(detail.get("objectIds"), list) and "callId" in detail:
                    yield detail


def _unhashed(reading: Reading) -> Iterator[str]:
    """Say of how many calls something was left out that no hash was kept of."""
    hides = _holds("path", "{") & pl.col("identifiers").is_null()
    imported = pl.col("origin") != Origin.WITNESSED
    counts = reading.calls.select(
        (hides & ~imported).sum().alias("own"),
        (hides & imported).sum().alias("others"),
        pl.col("identifiers").str.contains(r" \+\d").sum().alias("cut"),
    ).collect()
    own, others, cut = counts.row(0)
    if own:
        yield (
            f"{own} calls left something out of their paths and kept no hash of it: they are from "
            "before there were hashes, carried a secret, or came while no key was to be had."
        )
    if others:
        yield f"{others} calls of imported logs left something out of their paths; none is hashed."
    if cut:
        yield f"{cut} calls named more than a record has hashes of; the rest is only counted."


def _keyless(reading: Reading, key: Key | None, keys: list[Listed]) -> Iterator[str]:
    """Say which hashes are under a key that is not at hand, and why."""
    said = pl.col("identifiers").str.extract_all(r"[0-9a-f]{8}:").alias("names")
    counts = (
        reading.calls.select("call_id", said)
        .explode("names")
        .drop_nulls()
        .unique()
        .group_by("names")
        .len()
        .sort("names")
        .collect()
    )
    known = {one.name: one for one in keys}
    for name, calls in counts.iter_rows():
        one = name.rstrip(":")
        if key is not None and one == key.name:
            continue
        yield f"{calls} calls have hashes under the key {one}, {_fate(known.get(one))}."
    if key is None and not keys:
        yield "This client has no key of hashed identifiers: no call of its own was hashed yet."


def _fate(listed: Listed | None) -> str:
    if listed is None:
        return "which is not this machine's; look there, or in the store that has it"
    if listed.erased:
        return f"which was destroyed at {listed.erased}; whom they are of cannot be told any more"
    if listed.erasing:
        return f"whose destruction was begun at {listed.erasing} and not completed"
    return "which the credential store does not hold any more"


def _beyond(named: _Named) -> Iterator[str]:
    if named.cut:
        yield (
            f"{named.cut} calls named more ids in their answers than a record lists; of the rest "
            "there is a digest of all, which tells none of them."
        )


def _unread(reading: Reading, named: _Named) -> Iterator[str]:
    """Say what of the log is not there to be looked through."""
    if reading.damage:
        yield f"{len(reading.damage)} lines of the log cannot be read (hsagency audit verify)."
    if named.broken:
        yield f"Not readable to the end: {', '.join(named.broken)} (hsagency audit verify)."
    removed = reading.activity.filter(pl.col("event") == Event.AUDIT_RETIRED)
    if removed.height:
        yield "Older records were removed under retention (hsagency audit activity)."
