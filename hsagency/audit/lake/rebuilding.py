"""
The lake made anew from the evidence, and compared with the one that is there.

What differs is named: files that are missing, unreadable or not as they were written, and rows
that were added, removed or changed. The new lake is made beside the old one and takes its place
at once; a crash in between leaves no lake, which the next reading notices. What only the old
lake knows, of segments whose evidence is gone, is not in the new one, and is counted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from hsagency.audit.evidence import is_evidence
from hsagency.audit.journal.writer import unsigned
from hsagency.audit.lake import catalog, trusted
from hsagency.audit.lake.catalog import Catalog, File, Source, by_place, home, sources
from hsagency.audit.lake.holding import holding
from hsagency.audit.lake.joining import ROWS, known_zone
from hsagency.audit.lake.parsing import EVENTS
from hsagency.audit.lake.sealing import KEYLESS, OPEN_STORE, Signing, derive
from hsagency.durable import make_private_dir, sync_dir
from hsagency.errors import AuditError, CorruptFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something in which a lake differs from its evidence: where, and what."""

    place: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A client's lake beside its evidence; `rebuilt` says that it is the new one by now."""

    client_slug: str
    segments: int
    calls: int
    differences: tuple[Difference, ...]
    rebuilt: bool


def rebuild(
    audit: Path,
    slug: str,
    *,
    zone: str | None = None,
    signer: Signing = unsigned,
    compare: bool = False,
) -> Comparison:
    """
    Make the lake of a client anew from evidence, compare, and put it in place.

    `zone` is the portal's time zone, if it is known. With `compare` nothing is put in place.
    Raises `AuditError` if it cannot be done.
    """
    folder, beside = home(audit, slug), audit / "lake" / ".rebuild" / f"client_slug={slug}"
    key = signer()
    if not compare and key is None and trusted.is_signed(audit):
        raise AuditError(f"{KEYLESS} Nothing was changed.", hint=OPEN_STORE)
    with holding(audit, slug, wait=True):
        there = sources(audit / slug)
        old, found = _known(audit, folder, there)
        zone = known_zone(zone)
        # A zone that was learned since is for the next sealing; one that nobody signed is none.
        zone = old.zone if trusted.is_vouched(audit, folder) else zone or old.zone
        evident = {name for name, one in there.items() if is_evidence(one.path)}
        wanted = {*old.segments} if compare and old.segments else evident | {*old.segments}
        is_there = bool(wanted or old.files or catalog.unnamed(folder, old))
        _remove(beside)
        try:
            closed = wanted.intersection(there).difference(trusted.hidden(old, there))
            new = derive(audit, slug, beside, closed, zone=zone, signer=key)
            if is_there:
                found += [*_differences(folder, old, beside, new, gone=wanted - there.keys())]
            if not compare and is_there:
                _exchange(folder, beside)
        finally:
            _remove(beside)
    return Comparison(
        client_slug=slug,
        segments=len(new.segments),
        calls=sum(one.rows for one in new.parts),
        differences=tuple(found if is_there else ()),
        rebuilt=not compare and is_there,
    )


def _known(
    audit: Path, folder: Path, there: Mapping[str, Source]
) -> tuple[Catalog, list[Difference]]:
    try:
        found = catalog.manifest(folder)
    except CorruptFile:
        return Catalog(), [Difference(place="manifest.json", cause="cannot be read")]
    if found is None:
        return Catalog(), [Difference(place="manifest.json", cause="is missing")]
    known, why = found.catalog, trusted.unsigned(found, trusted.signing_keys(audit))
    wrong = [("manifest.json", why.removeprefix("its manifest "))] if why else []
    hides = trusted.hidden(known, there)
    wrong += [(one, "is still being written, and said to be in the lake") for one in hides]
    return known, [Difference(place=place, cause=cause) for place, cause in wrong]


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=not folder.exists())


def _exchange(folder: Path, beside: Path) -> None:
    aside = beside.with_name(f"{beside.name}.old")
    _remove(aside)
    make_private_dir(aside.parent)
    if folder.exists():
        folder.rename(aside)
    if beside.exists():
        beside.rename(folder)
    sync_dir(folder.parent)
    _remove(aside)


def _differences(
    folder: Path, old: Catalog, beside: Path, new: Catalog, *, gone: Iterable[str]
) -> Iterator[Difference]:
    for segment in sorted(gone, key=by_place):
        yield Difference(place=segment, cause="is in the lake, and there is no evidence of it")
    for one in old.files:
        cause = _wrong(folder / one.path, one)
        if cause:
            yield Difference(place=one.path, cause=cause)
    for path in catalog.unnamed(folder, old):
        yield Difference(place=path, cause="is not in the manifest, so it was added")
    for month in sorted({one.month for one in (*old.parts, *new.parts)}):
        theirs = [folder / one.path for one in old.parts if one.month == month]
        ours = [beside / one.path for one in new.parts if one.month == month]
        yield from _rows(month, _known_rows(theirs), _known_rows(ours))
    activity = (
        [home / one.activity.path] if one.activity else []
        for home, one in ((folder, old), (beside, new))
    )
    yield from _rows("activity", *(_known_rows(paths, ("segment", "seq")) for paths in activity))
    if old.zone != new.zone and old.segments:
        cause = f"says that the portal's time zone is {old.zone}, and it is {new.zone}"
        yield Difference(place="manifest.json", cause=cause)
    if old.loose != new.loose:
        yield Difference(place="manifest.json", cause="tells of other details without a call")
    for segment, told in new.segments.items():
        if segment in old.segments and old.segments[segment] != told:
            yield Difference(place=segment, cause="the manifest tells of other damaged lines")


def _wrong(path: Path, one: File) -> str:
    digest = catalog.digest_of(path)
    if digest is None:
        return "is missing" if not path.exists() else "cannot be read"
    return "" if digest == one.sha256 else "was changed after it was written"


_KEY = "key"


def _known_rows(paths: Iterable[Path], key: tuple[str, ...] = ("call_id",)) -> pl.DataFrame:
    """Return a key, a hash and the place of every row; of a file that cannot be read, nothing."""
    columns = ROWS if key == ("call_id",) else EVENTS
    found = [pl.DataFrame(schema={_KEY: pl.String, "hash": pl.UInt64, "place": pl.String})]
    for path in paths:
        try:
            frame = pl.read_parquet(path, schema=columns, missing_columns="insert")
        except (pl.exceptions.PolarsError, OSError):
            continue
        place = pl.concat_str("segment", pl.lit(" line "), "seq")
        found.append(
            frame.select(
                pl.concat_str(*key, separator="/").alias(_KEY),
                pl.struct(*columns).hash().alias("hash"),
                place.alias("place"),
            )
        )
    return pl.concat(found)


def _rows(what: str, old: pl.DataFrame, new: pl.DataFrame) -> Iterator[Difference]:
    first = old.unique(_KEY, keep="first", maintain_order=True)
    pairs = first.join(new, on=_KEY, suffix="_new")
    for cause, some in (
        ("lacks rows", new.join(first, on=_KEY, how="anti")),
        ("has rows that the evidence does not have", first.join(new, on=_KEY, how="anti")),
        (
            "has rows that the evidence tells otherwise",
            pairs.filter(pl.col("hash") != pl.col("hash_new")),
        ),
        ("has rows more than once", old.filter(pl.col(_KEY).is_duplicated())),
    ):
        if some.height:
            where = some["place"].drop_nulls().head(1).to_list() or ["no place"]
            yield Difference(place=what, cause=f"{cause}: {some.height}, the first {where[0]}")
