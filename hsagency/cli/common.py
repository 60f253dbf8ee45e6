"""What every command shares: its options, and how answers are shown."""

from __future__ import annotations

import functools
import getpass
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from hsagency.cli.tables import plain
from hsagency.errors import UsageError
from hsagency.progress import Progress, Step, bar, silent
from hsagency.secret import Secret

if TYPE_CHECKING:
    import polars as pl

    from hsagency.agency import Agency
    from hsagency.settings import Workspace

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

        # polars, loaded just now, restarts what Ctrl-C should interrupt: a prompt, a long wait.
        signal.siginterrupt(signal.SIGINT, True)
        agency = Agency(self.found())
        agency.writer.tell = tell
        agency.audit.reader = click.get_current_context().command_path
        return agency

    def found(self) -> Workspace:
        """Find the workspace, for what needs no agency; refuses a --store that is not its own."""
        from hsagency.settings import Workspace

        workspace = Workspace.find(self.workspace)
        kept = workspace.settings.store
        if self.store is not None and self.store != kept:
            raise UsageError(
                f"This workspace keeps its secrets in {kept}, not in {self.store}. "
                "Nothing was done.",
                hint="Leave --store out. A workspace never switches its store silently.",
            )
        return workspace


def tell(message: str) -> None:
    """Tell a person something that is neither the answer nor an error."""
    click.echo(plain(message), err=True)


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


api_option = click.option(
    "--api", default="", help="A sandbox on this machine instead of HubSpot: http://127.0.0.1:PORT."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def program() -> str:
    """How this program was called, so that what is printed can be typed."""
    return os.environ.get("HSAGENCY_PROG", "hsagency")


def none_yet() -> str:
    """Say that nothing is connected, with both ways to begin."""
    return (
        f"No portals are connected yet. Connect one: {program()} connect; or many from a list: "
        f"{program()} onboard clients.csv"
    )


def typable(text: str, *, group: click.Command | None = None) -> str:
    """Return a text whose commands can be typed as this program was called."""
    root = group or click.get_current_context().find_root().command
    commands = "|".join(getattr(root, "commands", ()))
    return re.sub(rf"(?<![\w/.-])hsagency (?=(?:{commands})\b)", lambda _: f"{program()} ", text)


@contextmanager
def ticking(step: Step) -> Iterator[None]:
    """Draw a bar again and again while nothing moves it, so that a wait is seen to be one."""
    done = threading.Event()

    def tick() -> None:
        while not done.wait(_TICK):
            step(0)

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


_TICK = 0.5  # seconds


def is_terminal(stream: IO[str] | None) -> bool:
    """Say whether a person is at the other end of a stream."""
    return stream is not None and stream.isatty()


def shown_path(path: Path) -> str:
    """Return a path as it can be used from here: relative where it is below, else whole."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def hidden_line(prompt: str) -> Secret:
    """Read one line that is not shown, from the prompt or standard input; nothing if it is empty."""
    try:
        if is_terminal(sys.stdin):
            typed = getpass.getpass(f"{prompt} (not shown as you paste it): ", stream=sys.stderr)
        else:
            typed = sys.stdin.readline() if sys.stdin is not None else ""
    except EOFError:
        typed = ""
    except UnicodeDecodeError:
        typed = "?"  # the codec's error would repeat what was typed
    return Secret(typed.strip())


def read_token(prompt: str) -> Secret:
    """Read a token from the prompt, or one line of standard input; never from the arguments."""
    token = hidden_line(prompt)
    if not token:
        raise UsageError(
            "No token was given. Nothing was done.",
            hint="Paste it at the prompt, or pipe it to standard input.",
        )
    return token


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


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
