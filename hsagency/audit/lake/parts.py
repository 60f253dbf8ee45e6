"""
New parts of one client's lake: rows of calls, filled by month, and found again by call.

Nothing here changes a file that is there, and nothing that is written counts before a manifest
names it. Memory is that of a part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

import polars as pl

from hsagency.audit.lake import catalog
from hsagency.audit.lake.catalog import PART, File
from hsagency.audit.lake.joining import ROWS

_SMALL: Final = PART // 4  # rows: a part that is worth merging with others
_MANY: Final = 12  # small parts of one month, before they are merged


class Parts:
    """New parts of one client's lake; `files` are those with rows that were added."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, catalog.next_number(folder)
        self._waiting: dict[str, list[pl.DataFrame]] = {}
        self.files: list[File] = []

    def add(self, frame: pl.DataFrame) -> None:
        """Take rows; where too many wait, those of the fullest month are written."""
        if not frame.height:
            return
        months = frame["ts"].dt.strftime("%Y-%m")
        if months.min() == months.max():
            self._waiting.setdefault(str(months[0]), []).append(frame)
        else:
            named = frame.with_columns(months.alias("month"))
            for (month,), some in named.partition_by("month", as_dict=True).items():
                self._waiting.setdefault(str(month), []).append(some.drop("month"))
        while sum(self._rows(one) for one in self._waiting) > PART:
            self._write(max(self._waiting, key=self._rows))

    def finish(self) -> None:
        """Write what still waits."""
        for month in sorted(self._waiting):
            self._write(month)

    def replace(self, old: File, frame: pl.DataFrame) -> File:
        """Write a part of the month of another; it is not one of `files`."""
        return catalog.write(self._folder, f"month={old.month}/part-{self._next()}", frame)

    def activity(self, frame: pl.DataFrame) -> File:
        """Write what is not a call."""
        return catalog.write(self._folder, f"activity-{self._next()}", frame)

    def read(self, file: File) -> pl.DataFrame:
        """Return the rows of a part; a column that is newer than the part is null."""
        return pl.read_parquet(self._folder / file.path, schema=ROWS, missing_columns="insert")

    def find(self, files: Iterable[File], ids: pl.Series) -> pl.DataFrame:
        """Return the rows of some calls."""
        having = (self.read(one) for one in files if ids.len() and self._has(one, ids))
        found = (one.join(ids.to_frame(), on="call_id", how="semi") for one in having)
        return pl.concat([pl.DataFrame(schema=ROWS), *found])

    def without(
        self, files: Iterable[File], ids: pl.Series, changed: pl.DataFrame | None = None
    ) -> list[File]:
        """Return parts that lack some calls, but for those that have other rows now."""
        kept = []
        for one in files:
            if not ids.len() or not self._has(one, ids):
                kept.append(one)
                continue
            frame = self.read(one)
            rest = frame.join(ids.to_frame(), on="call_id", how="anti")
            if changed is not None:
                here = changed.join(frame, on="call_id", how="semi")
                rest = in_order(pl.concat([rest, here]))
            if rest.height:
                kept.append(self.replace(one, rest))
        return kept

    def merged(self, files: Collection[File]) -> tuple[File, ...]:
        """Return parts, small ones of a month in one where there are many of them."""
        merged = list(files)
        small = Counter(one.month for one in files if one.rows < _SMALL)
        for month in [month for month, count in small.items() if count > _MANY]:
            of_month = (one for one in files if one.month == month and one.rows < _SMALL)
            together, count = [], 0
            for one in sorted(of_month, key=lambda one: one.rows):
                if count + one.rows <= PART:
                    together.append(one)
                    count += one.rows
            frame = in_order(pl.concat([self.read(one) for one in together]))
            merged = [one for one in merged if one not in together]
            merged.append(self.replace(together[0], frame))
        return tuple(sorted(merged, key=lambda one: one.path))

    def ids_from(self, files: Iterable[File], segments: Collection[str]) -> pl.Series:
        """Return the calls that have a record in one of some segments."""
        names = list(segments)
        places = ("segment", "end_segment", "detail_segment")
        is_there = pl.any_horizontal(
            pl.col(one).is_in(names).fill_null(value=False) for one in places
        )
        found = [pl.Series("call_id", [], pl.String)]
        for one in files:
            columns = pl.read_parquet(self._folder / one.path, columns=["call_id", *places])
            found.append(columns.filter(is_there)["call_id"])
        return pl.concat(found).unique()

    def _has(self, file: File, ids: pl.Series) -> bool:
        there = pl.read_parquet(self._folder / file.path, columns=["call_id"])
        return there.join(ids.to_frame(), on="call_id", how="semi").height > 0

    def _next(self) -> str:
        self._number += 1
        return f"{self._number - 1:06}.parquet"

    def _rows(self, month: str) -> int:
        return sum(one.height for one in self._waiting[month])

    def _write(self, month: str) -> None:
        frame = in_order(pl.concat(self._waiting.pop(month)))
        for few in frame.iter_slices(PART):
            path = f"month={month}/part-{self._next()}"
            self.files.append(catalog.write(self._folder, path, few))


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Return rows in the order in which parts hold them, so that days can be passed over."""
    return frame.sort("ts", "segment", "seq")
