"""Help comes at once, because it loads nothing that only work needs, and it is complete."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from hsagency.cli import cli
from tests.commands import environment, on_terminal, run_cli

HEAVY = {"httpx", "polars", "pydantic", "altair", "papermill", "keyring", "pyrage", "orjson"}


def loaded(*code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *code],
        capture_output=True,
        env=environment(),
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}


@pytest.mark.parametrize(
    "code",
    [
        ("-m", "hsagency.cli", "--help"),
        ("-m", "hsagency.cli", "onboard", "--help"),
        ("-m", "hsagency.cli", "--version"),
        ("-c", "import hsagency"),
    ],
    ids=" ".join,
)
def test_it_loads_nothing_heavy(code: tuple[str, ...]) -> None:
    modules = loaded(*code)
    assert "hsagency" in modules
    assert modules & HEAVY == set()


def leaves(group: click.Group, *path: str) -> list[tuple[str, ...]]:
    found = []
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found += leaves(command, *path, name)
        else:
            found.append((*path, name))
    return found


@pytest.mark.parametrize("path", leaves(cli), ids=" ".join)
def test_every_command_says_what_it_is_for_in_a_line_and_shows_an_example(
    path: tuple[str, ...],
) -> None:
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert not command.get_short_help_str(60).endswith("...")
    assert f"hsagency {' '.join(path)}" in (command.help or "")


def test_help_fits_a_terminal_of_a_hundred_columns() -> None:
    code, screen = on_terminal(["onboard", "--help"])
    assert code == 0
    assert max(map(len, screen.splitlines())) <= 100
    assert "--workspace" in screen


def test_the_version_is_the_packages() -> None:
    from hsagency import __version__

    assert run_cli(["--version"]).stdout.strip().endswith(__version__)
