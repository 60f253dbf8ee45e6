"""What every command shares: its options, and how answers are shown."""

from __future__ import annotations

import functools
import getpass
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hsagency.errors import UsageError
from hsagency.progress import Progress, bar, silent
from hsagency.secret import Secret

if TYPE_CHECKING:
    import polars as pl

    from hsagency.agency import Agency

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(slots=True)
class Shared:
    """The options every command takes."""

    workspace: Path | None = None
    store: str | None = None
    quiet: bool = False

    @property
    def progress(self) -> Progress:
        """A bar on a terminal, unless --quiet."""
        return silent if self.quiet or not sys.stderr.isatty() else bar

    def say(self, message: str) -> None:
        """Tell a person something that is not the answer; on stderr, unless --quiet."""
        if not self.quiet:
            click.echo(message, err=True)

    def agency(self) -> Agency:
        """Open the workspace; refuses a --store that is not the workspace's own."""
        from hsagency.agency import Agency

        agency = Agency.open(self.workspace)
        kept = agency.workspace.settings.store
        if self.store is not None and self.store != kept:
            raise UsageError(
                f"This workspace keeps its secrets in {kept}, not in {self.store}. "
                "Nothing was done.",
                hint="Leave --store out. A workspace never switches its store silently.",
            )
        return agency


def shared(function: Function) -> Function:
    """Give a command the shared options, and pass them as its first argument."""

    @click.option(
        "--workspace",
        type=click.Path(file_okay=False, path_type=Path),
        help="The workspace folder; else HSAGENCY_HOME, else the nearest one above.",
    )
    @click.option("--store", help="Where secrets are kept: keyring: or age:FOLDER.")
    @click.option("--quiet", is_flag=True, help="Say nothing but the answer and errors.")
    @click.option("--debug", is_flag=True, help="Show where an error comes from.")
    @functools.wraps(function)
    def command(
        workspace: Path | None, store: str | None, *, quiet: bool, debug: bool, **options: Any
    ) -> Any:
        del debug  # read where errors are shown
        return function(Shared(workspace, store, quiet), **options)

    return command  # type: ignore[return-value]  # click's decorators erase the signature


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def program() -> str:
    """How this program was called, so that what is printed can be typed."""
    return os.environ.get("HSAGENCY_PROG", "hsagency")


def read_token(prompt: str) -> Secret:
    """Read a token from the prompt, or one line of standard input; never from the arguments."""
    if sys.stdin is not None and sys.stdin.isatty():
        typed = getpass.getpass(f"{prompt}: ", stream=sys.stderr)
    else:
        typed = sys.stdin.readline() if sys.stdin is not None else ""
    return Secret(typed.strip())


def emit(document: Mapping[str, Any]) -> None:
    """Print one JSON document with a schema number."""
    import orjson

    click.echo(orjson.dumps({"schema": 1, **document}, option=orjson.OPT_INDENT_2).decode())


def emit_line(record: Mapping[str, Any]) -> None:
    """Print one JSON line."""
    import orjson

    click.echo(orjson.dumps(record).decode())


def records(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return a frame's rows with the camelCase names of JSON; times are UTC with a Z."""
    from hsagency.audit.record import timestamp

    return [
        {_camel(name): timestamp(v) if hasattr(v, "tzinfo") else v for name, v in row.items()}
        for row in frame.iter_rows(named=True)
    ]


def show(frame: pl.DataFrame, columns: Iterable[str] | None = None) -> None:
    """Print a frame as a plain table, with words for headings and nothing cut off."""
    chosen = list(columns or frame.columns)
    rows = [[_cell(row[name]) for name in chosen] for row in frame.iter_rows(named=True)]
    heads = [name.replace("_", " ") for name in chosen]
    widths = [max(len(line[i]) for line in [heads, *rows]) for i in range(len(chosen))]
    for line in [heads, ["-" * width for width in widths], *rows]:
        click.echo("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if hasattr(value, "strftime"):
        return str(value.strftime("%Y-%m-%d %H:%M"))
    return str(value)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
