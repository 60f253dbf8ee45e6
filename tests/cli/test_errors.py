"""What goes wrong is one line on stderr, with an exit code that scripts can tell apart."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from hsagency.sandbox import Fault
from tests.commands import command, environment, run_cli, running_cli
from tests.fleets import Fleet, client_list

TOKEN = "pat-na1-0badc0de-0000-4000-8000-00000000beef"


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["nope"], 2, "No such command 'nope'. Nothing was done. See: hsagency --help"),
        (["onboard", "--foo"], 2, "See: hsagency onboard --help"),
        (["onboard"], 2, "Name either a FILE (or - for standard input) or one --client"),
        (["onboard", "a.csv", "--client", "acme"], 2, "Name either a FILE"),
        (["onboard", "a.csv", "--portal", "1"], 2, "--portal goes with --client"),
        (["onboard", "--client", "acme-corp"], 2, "Add --portal ID"),
        (["onboard", "-", "--delete"], 2, "--delete needs a plain FILE"),
        (["onboard", "a.csv", "--delete", "--dry-run"], 2, "leave out --delete"),
        (["onboard", "a.csv", "--type", "all"], 2, "config_and_audit, config_only, audit_only"),
        (["onboard", "missing.csv"], 2, "cannot be read (No such file or directory)"),
        (["onboard", "."], 2, "cannot be read (Is a directory)"),
        (["onboard", "-"], 1, "The client list is empty"),
        (["onboard", "--client", "Acme", "--portal", "1"], 2, "'Acme' is not a client slug"),
        (["onboard", "--client", "acme", "--portal", "1"], 2, "No token was given"),
        (["verify"], 2, "Name clients, or --all, or --expect"),
        (["verify", "--expect", "x"], 2, "'x' is not a portal id"),
        (["verify", "--expect", "1"], 2, "No token was given"),
        (["portals", "acme-cor"], 1, "Did you mean acme-corp?"),
        (["verify", "nobody"], 1, "All clients: hsagency portals"),
        (["portals", "--store", "keyring:"], 2, "never switches its store silently"),
        (["call", "acme-corp", "GET"], 2, "See: hsagency call --help"),
        (["call", "acme-corp", "GET", "/x", "--query", "limit"], 2, "NAME=VALUE"),
        (["call", "acme-corp", "GET", "/x", "--body", "@missing.json"], 2, "Nothing was sent"),
        (["resume", "--reason", "x"], 2, "--fleet"),
        (["resume", "--fleet", "--reason", "x"], 1, "not halted; nothing was changed"),
        (["audit", "tail", "nobody"], 1, "no client 'nobody'. Nothing was read"),
        (["audit", "import", "missing.jsonl"], 2, "nothing was imported"),
        (["init", "."], 1, "is a workspace already; nothing was changed"),
        (["sandbox", "--portals", "0"], 1, "it was not started"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_error_is_one_line_with_a_code_and_what_to_do(
    shared: Fleet, args: list[str], code: int, words: str
) -> None:
    done = run_cli(args, cwd=shared.root)
    assert done.returncode == code
    assert done.stdout == ""
    *before, line = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert words in line
    assert before == [] or before[0].startswith("Secrets are kept in: ")


def test_without_a_command_the_help_is_shown_and_it_is_wrong_usage() -> None:
    done = run_cli([])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: hsagency")


def test_without_a_workspace_it_says_how_to_make_one(tmp_path: Path) -> None:
    done = run_cli(["portals"], cwd=tmp_path)
    assert done.returncode == 1
    assert "hsagency init DIR" in done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["onboard", TOKEN],
        ["onboard", "--client", "acme", "--portal", TOKEN, "--debug"],
        ["onboard", "--client", TOKEN.upper(), "--portal", "1"],
        ["verify", "--expect", TOKEN],
        ["call", "acme-corp", "POST", "/x", "--body", f'{{"tokenKey":"{TOKEN}"}}'],
        ["portals", f"--workspace={TOKEN}"],
        [TOKEN],
    ],
    ids=lambda args: args[0].partition("-")[0],
)
def test_a_token_in_the_arguments_is_refused_and_never_echoed(args: list[str]) -> None:
    done = run_cli(args)
    assert done.returncode == 2
    assert "A token stands in the arguments" in done.stderr
    assert "Have it rotated" in done.stderr
    assert "0badc0de" not in (done.stdout + done.stderr).lower()


def test_debug_shows_where_and_an_error_otherwise_does_not(shared: Fleet) -> None:
    plain, debug = (
        run_cli(["portals", "nobody", *more], cwd=shared.root) for more in ([], ["--debug"])
    )
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr
    assert debug.stderr.endswith(plain.stderr)


def test_what_the_system_refuses_is_named(full: Fleet) -> None:
    (full.root / "state" / "onboarding.lock").unlink()
    (full.root / "state" / "onboarding.lock").mkdir()
    done = run_cli(
        ["onboard", "-", "--api", full.url], stdin=client_list(full.sandbox), cwd=full.root
    )
    assert done.returncode == 1
    assert (
        "Error: the system refused something (onboarding.lock is no regular file: " in done.stderr
    )
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_it_in_one_line_with_130(empty: Fleet) -> None:
    empty.sandbox.faults.add(Fault("latency", seconds=0.3))
    args = ["onboard", "-", "--api", empty.url, "--workspace", empty.root]
    with running_cli(args, stdin=client_list(empty.sandbox)) as process:
        until = time.monotonic() + 30
        while not empty.sandbox.ledger(empty.sandbox.portals[0].portal_id):
            assert time.monotonic() < until
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 130
    last = said.decode().splitlines()[-1]
    assert last == "Interrupted. What was finished stands."
    assert b"Traceback" not in said
    assert empty.agency.slugs() == []


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_reader_that_goes_away_leaves_no_traceback(shared: Fleet, closed: str) -> None:
    args = ["audit", "tail", "--json"] if closed == "stdout" else ["portals", "nobody"]
    ours, theirs = os.pipe()
    os.close(ours)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, closed: theirs}
    done = subprocess.run(
        command(args), cwd=shared.root, env=environment(), timeout=60, check=False, **streams
    )
    os.close(theirs)
    assert done.returncode == 1
    assert b"Traceback" not in (done.stdout or b"") + (done.stderr or b"")
    assert b"Exception ignored" not in (done.stdout or b"") + (done.stderr or b"")
