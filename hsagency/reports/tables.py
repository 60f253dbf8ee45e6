"""Tables as people read them: right-aligned numbers, thousands apart, unknown never zero."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape

import polars as pl

from hsagency.quota import percent

# JupyterLab sets every cell to the right.
_TEXT = ' style="text-align:left"'

UNKNOWN = "\u2013"
"""What stands where a value is not known."""


@dataclass(frozen=True, slots=True)
class Table:
    """A frame that shows itself as a table, in a notebook and on a page."""

    frame: pl.DataFrame
    names: Mapping[str, str]
    empty: str
    folded: bool = False

    def _repr_html_(self) -> str:
        if not self.frame.height:
            return f"<p>{escape(self.empty)}</p>"
        heads = (
            f'<th scope="col"{_class(kind)}>{escape(self._name(column))}</th>'
            for column, kind in self.frame.schema.items()
        )
        rows = "\n".join(f"<tr>{''.join(self._row(row))}</tr>" for row in self.frame.iter_rows())
        shown = (
            f'<table class="hsa-table"><thead><tr>{"".join(heads)}</tr></thead>\n'
            f"<tbody>{rows}</tbody></table>"
        )
        if not self.folded:
            return shown
        how_many = f"{self.frame.height:,} row{'s' * (self.frame.height != 1)}"
        return f"<details><summary>Show {how_many}</summary>\n{shown}</details>"

    def _row(self, row: Iterable[object]) -> Iterator[str]:
        for (column, kind), value in zip(self.frame.schema.items(), row, strict=True):
            yield f"<td{_class(kind)}>{escape(_shown(column, value))}</td>"

    def _name(self, column: str) -> str:
        return self.names.get(column, column.replace("_", " ").capitalize())

    def __repr__(self) -> str:
        return f"<Table of {self.frame.height} rows>"


def table(
    frame: pl.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    empty: str = "None.",
    folded: bool = False,
) -> Table:
    """
    Show a frame as a table, whatever its columns and types.

    `names` replaces column names and `empty` stands for no rows. A `folded` table opens with
    a click and is open on paper. Numbers stand to the right, but ids and status codes are
    names; a Float64 column whose name ends in `share` is read in percent; null is a dash. An
    Int64 column `simulated` is shown only where it counts anything.

    >>> table(pl.DataFrame({"calls": [1234]}))._repr_html_().count("1,234")
    1
    """
    if "simulated" in frame.columns and not frame["simulated"].sum():
        frame = frame.drop("simulated")
    return Table(frame, names or {}, empty, folded)


def _class(kind: pl.DataType) -> str:
    if kind.is_numeric():
        return ' class="number"'
    return ' style="text-align:left; white-space:nowrap"' if kind.is_temporal() else _TEXT


def _shown(column: str, value: object) -> str:
    """Ids are names, not quantities; shares are read in percent."""
    if value is None:
        return UNKNOWN
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if column.endswith(("_id", "_code")):
        return str(value)
    if column.endswith("share") and isinstance(value, float):
        return percent(value)
    return f"{value:,}" if isinstance(value, int | float) else str(value)
