"""What a person is shown and asked while a portal is connected: text, a wait, a hidden line."""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import sys
import termios
import textwrap
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Self

import click

from hsagency.cli.common import Shared, is_terminal, shown_path, typable
from hsagency.cli.tables import plain
from hsagency.errors import ConnectingError
from hsagency.secret import Secret
from hsagency.words import counted

if TYPE_CHECKING:
    from hsagency.connecting import Attempt, Preflight, Prepared

_WIDEST: Final = 100
_MOST: Final = 65536  # characters of an address that is pasted


@contextmanager
def as_interrupted() -> Iterator[None]:
    """Have a request to end, and a terminal that was closed, end this as Ctrl-C does."""
    kinds = (signal.SIGTERM, signal.SIGHUP)
    before = {one: signal.getsignal(one) for one in kinds}

    def end(*_: object) -> None:
        for one in kinds:  # once is enough: what is given back takes its time
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    for one, was in before.items():
        if was is not signal.SIG_IGN:  # nohup means it
            signal.signal(one, end)
    try:
        yield
    finally:
        for one, was in before.items():
            signal.signal(one, was)


@contextmanager
def unchanged(said: str) -> Iterator[None]:
    """Say of an interruption that nothing came of it."""
    try:
        yield
    except (KeyboardInterrupt, click.Abort):
        with suppress(OSError):  # the terminal may be what is gone
            click.echo(f"\nInterrupted. {said}", err=True)
        raise click.exceptions.Exit(130) from None


def answer(question: str) -> str:
    """Ask a question on stderr; Ctrl-C, and the end of what is typed, end it all."""
    try:
        return str(click.prompt(question, default="", show_default=False, err=True))
    except click.Abort:  # Ctrl-C, and the end of what is typed
        raise KeyboardInterrupt from None


class Waiting:
    """One line on a terminal that says how long is left, and what else is said meanwhile."""

    def __init__(self, *, quiet: bool) -> None:
        self._shown = not quiet and is_terminal(sys.stderr)
        self._there, self._last = False, ""
        self._lock = threading.Lock()

    def show(self, left: float) -> None:
        """Say how many seconds are left."""
        minutes, seconds = divmod(int(left), 60)
        line = f"waiting for HubSpot's page, {minutes}:{seconds:02d} left"
        with self._lock:
            if self._shown and line != self._last:
                self._there, self._last = True, line
                click.echo(f"\r\x1b[K{line}", err=True, nl=False)

    def say(self, message: str) -> None:
        """Say something on a line of its own."""
        with self._lock, suppress(OSError):  # a terminal that was closed hears nothing
            self._clear()
            click.echo(plain(message), err=True)

    def clear(self) -> None:
        """Take the line away."""
        with self._lock, suppress(OSError):
            self._clear()

    def _clear(self) -> None:
        if self._there:
            self._there, self._last = False, ""
            click.echo("\r\x1b[K", err=True, nl=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()


class Pasted:
    """Takes addresses that are pasted, without waiting for them, and shows none of them."""

    def __init__(self, attempt: Attempt, *, say: Callable[[str], None]) -> None:
        self._attempt, self._say = attempt, say
        self._held = b""
        self._file = sys.stdin.fileno() if sys.stdin is not None else None
        self._echo: list[Any] | None = None
        if self._file is not None and os.isatty(self._file):
            self._echo = termios.tcgetattr(self._file)
            quiet = [*self._echo]
            quiet[3] &= ~termios.ECHO
            termios.tcsetattr(self._file, termios.TCSADRAIN, quiet)

    def poll(self) -> None:
        """Take what was pasted by now, if it was; say what is wrong with it."""
        while self._file is not None and select.select([self._file], [], [], 0)[0]:
            more = os.read(self._file, _MOST)
            if not more:  # the end: what is there without a line end counts, and no more comes
                self._file = None
            self._held = (self._held + (more or b"\n"))[-_MOST:]
            *lines, self._held = self._held.split(b"\n")
            for line in lines:
                self._take(Secret(line.decode(errors="replace").strip()))

    def _take(self, line: Secret) -> None:
        if not line or self._attempt.came():
            return
        try:
            self._attempt.take(line)
        except ConnectingError as error:
            self._say(f"{error} It may be pasted again.")

    def close(self) -> None:
        """Let the terminal show again what is typed."""
        if self._echo is not None:
            with suppress(termios.error, OSError):
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._echo)
            self._echo = None
        self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def show_preflight(common: Shared, found: Preflight) -> None:
    """Say what each type is for, what will be asked and why, and what a person must see to."""
    from hsagency.connecting.preflight import YOURS
    from hsagency.scopes import TYPES

    said: list[str] = []
    if found.before is None:
        said += ["Connection types (--type):"]
        for kind, words in TYPES.items():
            mark = " <- this one" if kind is found.connection_type else ""
            said += [f"  {kind}{mark}"]
            for label in ("when", "enables", "refuses"):
                said += _wrapped(getattr(words, label), f"    {label:<7}  ")
    said += [f"HubSpot's page will ask for what {TYPES[found.connection_type].title} needs:"]
    said += _scopes([(one.name, one.why) for one in found.wanted if one.required])
    said += ["and, where the account has it, for:"]
    said += _scopes([(one.name, one.why) for one in found.wanted if not one.required])
    said += ["Before you go there, see that:", *_dashed(YOURS), _room(found)]
    if found.installs is not None:
        said += [f"The app is in {counted(found.installs.used, 'account')}; HubSpot lets it into "
                 f"{found.installs.most}."]  # fmt: skip
    said += [line for note in found.notes for line in _wrapped(f"note: {typable(note)}", "")]
    common.say(plain_lines(said))


def _room(found: Preflight) -> str:
    """Say how full the fleet is."""
    room = found.slots
    if room.size is None:
        return f"The fleet has {counted(room.used, 'portal')}, and no limit."
    return f"The fleet has {counted(room.used, 'portal')}, of at most {room.size}."


def show_setup(common: Shared, made: Prepared) -> None:
    """Say what was written, and what to do with it in HubSpot."""
    said = [
        f"Written: {shown_path(made.folder)}, a project of HubSpot's developer platform.",
        f"Redirect URL to register: {made.redirect_uri}",
        "Scopes to register that every account must grant:",
        *_scopes(list(made.required.items())),
        "and those that are asked for where the account has them:",
        *_scopes(list(made.optional.items())),
        *(_at_sandbox(made) if made.api else _at_hubspot(made)),
    ]
    if made.before is not None:
        said.append(f"An app is set up already, with client id {made.before.client_id}.")
    common.say(plain_lines(said))


def _at_hubspot(made: Prepared) -> list[str]:
    return [
        "What to do at HubSpot:",
        *_dashed([
            f"Upload it: cd {shown_path(made.folder)} && hs project upload (HubSpot's own command "
            "line, signed in to your developer account with: hs account auth).",
            "The client id and the client secret are then shown in HubSpot > Development > "
            "Projects > this project > the app > Auth.",
            "Who may install it is said there under Distribution, and cannot be changed after the "
            f"first upload. It is {made.distribution} now, for {made.cap[0]} accounts at most. A "
            "Solutions Partner's private app may be in 100 (--partner), a marketplace app that is "
            "not listed in 25 (--distribution marketplace).",
        ]),
    ]  # fmt: skip


def _at_sandbox(made: Prepared) -> list[str]:
    """Say how a sandbox comes to know the app: it has no screens for it."""
    file = shlex.quote(shown_path(made.registration))
    return [
        *_wrapped(
            "What to do at the sandbox: register it, with this in another window, where KEY is "
            "what the sandbox printed when it began; then give here the clientId and the "
            "clientSecret that it answers.",
            "",
        ),
        f'  curl -H "X-Sandbox-Key: KEY" -d @{file} {made.api}/_sandbox/apps',
    ]


def plain_lines(lines: Iterable[str]) -> str:
    """Return lines that cannot steer a terminal."""
    return "\n".join(plain(one) for one in lines)


def _scopes(rows: list[tuple[str, str]]) -> list[str]:
    width = max((len(name) for name, _ in rows), default=0)
    return [line for name, why in rows for line in _wrapped(why, f"  {name.ljust(width)}  ")]


def _dashed(texts: Iterable[str]) -> list[str]:
    return [line for one in texts for line in _wrapped(one, "  - ")]


def _wrapped(text: str, first: str) -> list[str]:
    room = min(_WIDEST, shutil.get_terminal_size().columns)
    return textwrap.wrap(
        text,
        max(40, room),
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first]
