"""Every command explains itself, shows an example, and is named in the README."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]


def commands(
    command: click.Command, *, path: str = "hsagency"
) -> Iterator[tuple[str, click.Command]]:
    """Walk all commands below one, each with the words that call it."""
    if isinstance(command, click.Group):
        for name, below in sorted(command.commands.items()):
            if not below.hidden:
                yield from commands(below, path=f"{path} {name}")
    if path != "hsagency":
        yield path, command


def ours() -> list[tuple[str, click.Command]]:
    from hsagency.cli import cli

    assert isinstance(cli, click.Group)
    found = list(commands(cli))
    assert found
    return found


def leaves() -> list[tuple[str, click.Command]]:
    return [(path, command) for path, command in ours() if not isinstance(command, click.Group)]


def test_every_command_says_what_it_does() -> None:
    assert [path for path, command in ours() if not command.get_short_help_str().strip()] == []


def test_every_command_shows_an_example() -> None:
    assert [path for path, command in leaves() if not shows_example(command, path=path)] == []


def shows_example(command: click.Command, *, path: str) -> bool:
    words = f"{command.help or ''}\n{command.epilog or ''}"
    return re.search(rf"^\W*{re.escape(path)}\b", words, re.MULTILINE) is not None


def test_every_option_is_explained() -> None:
    silent = [
        f"{path} {option.opts[0]}"
        for path, command in leaves()
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden and not option.help
    ]
    assert silent == []


def test_every_command_is_named_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    named = {path for path, _ in leaves() if is_named(path.removeprefix("hsagency "), readme)}
    assert sorted({path for path, _ in leaves()} - named) == []


def is_named(words: str, text: str) -> bool:
    """Accept 'hsagency audit tail', 'run.py audit tail' and `audit tail` in a table."""
    return re.search(rf"(?:hsagency |run\.py |`){re.escape(words)}\b", text) is not None


def test_a_command_without_example_is_seen() -> None:
    @click.group()
    def main() -> None:
        """Root."""

    @main.command()
    def plain() -> None:
        """Do it."""

    @main.command()
    def shown() -> None:
        """
        Do it.

        \b
        hsagency shown acme-corp
        """

    seen = {path: shows_example(command, path=path) for path, command in commands(main)}
    assert seen == {"hsagency plain": False, "hsagency shown": True}
