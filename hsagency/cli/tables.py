"""Frames as plain tables that fit the terminal they are shown on."""

from __future__ import annotations

import shutil
import sys
import textwrap
import unicodedata
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    import polars as pl

_GAP: Final = 2
_LEAST: Final = 10  # a cell cut to less says nothing
_EASY: Final = 20  # rather leave a column out than cut to less
_KEY: Final = "client_slug"  # people type it, so it is cut last


def show(frame: pl.DataFrame, columns: list[str], *, spare: int = 0) -> None:
    """
    Print columns of a frame as a plain table, with words for headings.

    On a terminal too narrow for it, up to `spare` columns at the right are left out and long
    texts are cut, both visibly; into a file or a pipe everything goes.
    """
    heads, rows = _cells(frame, columns)
    widths = _widths(heads, rows)
    width = room()
    if width:
        texts = [place for place, name in enumerate(columns) if _is_text(frame, name)]
        key = [place for place in texts if columns[place] == _KEY]
        while spare and _needs(_narrowed(widths, width, texts, least=_EASY)) > width:
            widths, spare = widths[:-1], spare - 1
        others = [place for place in texts if place not in key]
        widths = _narrowed(_narrowed(widths, width, others, least=_LEAST), width, key, least=_LEAST)
    for line in [heads, ["-" * one for one in widths], *rows]:
        _print(line, widths)
    if len(widths) < len(heads):
        left_out = ", ".join(heads[len(widths) :])
        click.echo(f"Too narrow to show: {left_out} (--json shows all).", err=True)


def show_or_stack(frame: pl.DataFrame, columns: list[str]) -> None:
    """Print columns of a frame as a table or, on a terminal too narrow for it, a block a row."""
    heads, rows = _cells(frame, columns)
    width = room()
    texts = [place for place, name in enumerate(columns) if _is_text(frame, name)]
    if not width or _needs(_narrowed(_widths(heads, rows), width, texts, least=_EASY)) <= width:
        show(frame, columns)
        return
    beside = max(map(_width, heads)) + _GAP
    for place, row in enumerate(rows):
        if place:
            click.echo()
        for head, text in zip(heads, row, strict=True):
            first, *more = textwrap.wrap(text, max(_LEAST, width - beside)) or [""]
            click.echo(f"{head:<{beside}}{first}")
            for one in more:
                click.echo(f"{'':<{beside}}{one}")


def show_story(frame: pl.DataFrame, columns: list[str]) -> None:
    """Print columns of a frame; the last one is text, which goes on below on a terminal."""
    heads, rows = _cells(frame, columns)
    widths = _widths(heads, rows)
    if width := room():
        widths[-1] = max(_LEAST, min(widths[-1], width - _needs([*widths[:-1], 0])))
    for line in [heads, ["-" * one for one in widths]]:
        _print(line, widths)
    for *cells, text in rows:
        first, *more = textwrap.wrap(text, widths[-1]) or [""]
        _print([*cells, first], widths)
        for one in more:
            _print([*([""] * len(cells)), one], widths)


def _cells(frame: pl.DataFrame, columns: list[str]) -> tuple[list[str], list[list[str]]]:
    rows = [[_cell(row[name]) for name in columns] for row in frame.iter_rows(named=True)]
    return [name.replace("_", " ") for name in columns], rows


def _is_text(frame: pl.DataFrame, name: str) -> bool:
    return str(frame.schema[name]) == "String"


def _print(cells: list[str], widths: list[int]) -> None:
    fitted = (_fitted(cell, width) for cell, width in zip(cells, widths, strict=False))
    click.echo("  ".join(fitted).rstrip())


def room() -> int:
    """Return how many columns the terminal has; 0 if the output goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def _widths(heads: list[str], rows: list[list[str]]) -> list[int]:
    return [max(map(_width, column)) for column in zip(heads, *rows, strict=True)]


def _needs(widths: list[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _narrowed(widths: list[int], most: int, places: list[int], *, least: int) -> list[int]:
    """Take from the widest of some columns until all fit, or these would be hard to read."""
    widths = list(widths)
    able = [place for place in places if place < len(widths)]
    while able and _needs(widths) > most:
        widest = max(able, key=lambda place: widths[place])
        if widths[widest] <= least:
            break
        widths[widest] -= 1
    return widths


def _width(text: str) -> int:
    """Return how many places a text takes on a terminal; Chinese letters take two."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


def _fitted(text: str, width: int) -> str:
    """Return a text cut, with an ellipsis, or padded to a width."""
    if _width(text) > width:
        while _width(text) >= width:
            text = text[:-1]
        text += "…"
    return text + " " * (width - _width(text))


def plain(text: str) -> str:
    """Return a text that cannot steer a terminal: names come from outside."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if hasattr(value, "strftime"):
        return str(value.strftime("%Y-%m-%d %H:%M"))
    return plain(str(value))
