"""
Finding what was done with somebody's data: the answer to a data-subject request.

An identifier is found where its hash stands in a record, and, if it is a number or a UUID, also
where it stands as the id of an object: in the path, as the object's id, or among the ids of
what was created, changed or archived. With a type before it (`contacts/101`) it is one record's;
without, that of one record of each type. It is found whole, as it stood in the address, in
whatever case.

Not found: who is named in other ways in bodies and answers, which are never recorded. What else
cannot be found in a log is said with every answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from hsagency.audit.evidence import lineages, open_segment, segments
from hsagency.audit.lake import CALLS, Reading
from hsagency.audit.privacy.destroyed import destroyed
from hsagency.audit.privacy.identifiers import Key, Listed
from hsagency.audit.record import Event, Origin, timestamp
from hsagency.errors import DamagedEvidence, UsageError
from hsagency.progress import Progress, silent
from hsagency.routes import is_id, spellings
from hsagency.words import counted

_ALWAYS: Final = (
    "Of what was sent and answered, only the ids of records that were created, changed, linked or "
    "archived are recorded: whoever is named only in a search, a batch that was read or a list "
    "that was fetched is not found.",
    "A value is found whole and as it stood in the address: another spelling (of a telephone "
    "number, say) and a part of a longer text (a filter, a file's path) are not.",
)
_BARE: Final = (
    "An id alone is that of one record of each type, and all of them are in this answer; with its "
    "type before it (contacts/101) it is one record's."
)
_TYPED: Final = (
    "Of members of lists no type is recorded: calls that changed a member with this id are in this "
    "answer whatever its type."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found of somebody, and what cannot be; the identifier itself is not in here."""

    client_slug: str
    calls: pl.DataFrame
    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Named:
    """What the details of calls say of an id: by calls that changed it, or linked it."""

    changed: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    cut: int = 0  # details that list fewer ids than there were
    broken: tuple[str, ...] = ()  # segments that cannot be read to their end


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; it is in no repr."""

    text: str
    object_id: str | None = None
    types: frozenset[str] = frozenset()  # how paths name the type that is meant; none: any

    def __repr__(self) -> str:
        return "<Wanted>"


def parse(identifier: str) -> Wanted:
    """Return what an identifier, or the type and id of a record, stand for; or `UsageError`."""
    if not isinstance(identifier, str):
        raise UsageError(
            f"An identifier is a text, and this is of the type {type(identifier).__name__}. "
            "Nothing was read.",
            hint="Write it in quotes: '101', 'contacts/101' or 'jane@example.com'.",
        )
    text = identifier.strip()
    if not text:
        raise UsageError(
            "No identifier was given. Nothing was read.",
            hint="Give one on standard input: an e-mail address, a telephone number, an id.",
        )
    if len(text.splitlines()) > 1:
        raise UsageError(
            "More than one line was given, and an identifier is one. Nothing was read.",
            hint="Search for one at a time.",
        )
    kind, slash, number = text.rpartition("/")
    types = spellings(kind.strip()) if slash else frozenset()
    if types and is_id(number.strip()):
        return Wanted(text, number.strip().lower(), types)
    return Wanted(text, text.lower() if is_id(text) else None)


def find(
    reading: Reading,
    folder: Path,
    wanted: Wanted,
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
    gone = _destroyed(reading)
    key = None if key is not None and key.name in gone else key
    listed = [one for one in keys if one.erased or one.name not in gone]
    keys = [*(Listed(name=one, since=at, erased=at) for one, at in gone.items()), *listed]
    fits, named = pl.lit(value=False), _Named()
    if key is not None:
        fits |= _holds("identifiers", key.hash(wanted.text))
    if wanted.object_id is not None:
        named = _in_answers(folder, wanted.object_id, progress)
        fits |= _is_record(wanted, wanted.object_id, named)
    calls = reading.calls.filter(fits).select(*CALLS).sort("ts", "call_id").collect()
    limits = [
        *_ALWAYS,
        *_of_types(wanted),
        *_unhashed(reading),
        *_keyless(reading, key, keys),
        *_beyond(named),
        *_unread(reading, named),
    ]
    return Found(client_slug=folder.name, calls=calls, limits=tuple(limits))


def _of_types(wanted: Wanted) -> Iterator[str]:
    if wanted.object_id is not None:
        yield _TYPED if wanted.types else _BARE


def _destroyed(reading: Reading) -> dict[str, str]:
    """Return what the log itself says of keys that are gone, wherever they came back from."""
    said = reading.activity.filter(pl.col("event") == Event.AUDIT_ERASED)
    rows = said.select("ts", "message").drop_nulls().iter_rows()
    return destroyed((timestamp(at), message) for at, message in rows)


def _is_record(wanted: Wanted, object_id: str, named: _Named) -> pl.Expr:
    """Say of each call whether it names the record, or one of each type, by its id."""
    path = pl.concat_str(pl.col("path").str.to_lowercase(), pl.lit("/"))
    typed = pl.col("object_type").str.to_lowercase().is_in(list(wanted.types))
    any_type = pl.lit(value=not wanted.types)
    own = pl.col("object_id").str.to_lowercase() == object_id
    changed = pl.col("call_id").is_in(list(named.changed))
    others = pl.col("call_id").is_in(list(named.others))
    in_path = any_type & path.str.contains(f"/{object_id}/", literal=True)
    in_words = any_type
    for one in sorted(wanted.types):
        in_path |= path.str.contains(f"/{one}/{object_id}/", literal=True)
        in_words |= path.str.contains(f"/{one}/", literal=True)
    of_list = pl.col("object_type") == "lists"
    return (
        ((own | changed) & (any_type | typed)).fill_null(value=False)
        | (changed & of_list).fill_null(value=False)
        | (others & in_words).fill_null(value=False)
        | in_path.fill_null(value=False)
    )


def _holds(column: str, text: str) -> pl.Expr:
    return pl.col(column).str.contains(text, literal=True).fill_null(value=False)


def _in_answers(folder: Path, object_id: str, progress: Progress) -> _Named:
    """Look for an id among those that answers named; only the records themselves have them."""
    paths = [path for one in lineages(folder) for path in segments(one).values()]
    changed, others, cut, broken = set[str](), set[str](), 0, list[str]()
    with progress("reading records", len(paths)) as step:
        for path in paths:
            try:
                for detail in _details(path):
                    call_id, listed = str(detail["callId"]), 0
                    for name, found in (("objectIds", changed), ("otherObjectIds", others)):
                        ids = [str(one).lower() for one in detail.get(name) or ()]
                        listed += len(ids)
                        if object_id in ids:
                            found.add(call_id)
                    cut += _counted(detail) > listed
            except DamagedEvidence:
                broken.append(path.name)
            step(1)
    return _Named(frozenset(changed), frozenset(others), cut, tuple(broken))


def _counted(detail: Mapping[str, Any]) -> int:
    return sum(int(detail.get(one) or 0) for one in ("objectIdCount", "otherObjectIdCount"))


_DETAIL: Final = f'"event":"{Event.DETAIL}"'.encode()


def _details(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the details that name ids; the few lines among many are found without parsing all."""
    with open_segment(path) as file:
        for line in file:
            if _DETAIL in line and b'bjectIds":' in line:
                try:
                    detail = orjson.loads(line)
                except ValueError:
                    continue  # told with the other damaged lines
                if isinstance(detail, dict) and "callId" in detail:
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
            f"{counted(own, 'call')} left something out of the path and kept no hash of it: from "
            "before there were hashes, with a secret in it, or while no key was to be had."
        )
    if others:
        yield (
            f"{counted(others, 'imported or simulated call')} left something out of the path; "
            "of such calls nothing is hashed."
        )
    if cut:
        yield (
            f"{counted(cut, 'call')} named more than a record has hashes of; the rest is only "
            "counted."
        )


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
        yield (
            f"The hashes of {counted(calls, 'call')} are under the key {one}, "
            f"{_fate(known.get(one))}."
        )
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
            f"{counted(named.cut, 'call')} changed more records than are listed; of the rest "
            "there is a digest of all, which tells none of them."
        )


def _unread(reading: Reading, named: _Named) -> Iterator[str]:
    """Say what of the log is not there to be looked through."""
    if reading.damage:
        lines = counted(len(reading.damage), "line")
        yield f"{lines} of the log cannot be read (hsagency audit verify)."
    if named.broken:
        yield f"Not readable to the end: {', '.join(named.broken)} (hsagency audit verify)."
    removed = reading.activity.filter(pl.col("event") == Event.AUDIT_RETIRED)
    if removed.height:
        yield "Older records were removed under retention (hsagency audit activity)."
