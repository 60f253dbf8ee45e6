"""
The sandbox from a command line of its own: without click, and without anything installed.

Nothing here is HubSpot's.
"""

import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from hsagency.cli.workshop import sandbox as command
from hsagency.errors import SandboxError
from hsagency.sandbox import Sandbox
from hsagency.sandbox.__main__ import VARIANTS, main, parser
from hsagency.sandbox.api import ROUTES
from hsagency.sandbox.serving.ledger_file import LedgerFile
from hsagency.sandbox.serving.running import run
from hsagency.sandbox.surface import methods, surface, surface_as_text
from tests.sandbox.patience import patience

CONTACTS = "/crm/objects/2026-09/contacts"
ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def bare(*args: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run the module with the standard library only; yield what it says until it serves."""
    program = (
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "runpy.run_module('hsagency.sandbox', run_name='__main__', alter_sys=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-W", "error", "-c", program, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    with process:
        lines: list[str] = []
        with patience(process.kill):
            for line in process.stdout:
                lines.append(line.strip())
                if "Stop it with" in line:
                    break
        try:
            yield process, lines
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_with_nothing_but_python_and_stops_cleanly(tmp_path: Path, number) -> None:
    faults = tmp_path / "faults.toml"
    faults.write_text('[[fault]]\nkind = "status"\nstatus = 503\nafter = 1\ntimes = 1\n', "utf-8")
    args = ["--portals", "2", "--contacts", "7", "--at", "2026-11-01T05:00:00+00:00"]
    args += ["--csv", "clients.csv", "--faults", "faults.toml", "--ledger", "calls.jsonl"]
    with bare(*args, folder=tmp_path) as (process, lines):
        url = lines[1].rpartition(" ")[2]
        assert "Faults in force: 1" in lines
        assert "Ledger: calls.jsonl" in lines
        token = (tmp_path / "clients.csv").read_text("utf-8").splitlines()[1].split(",")[1]
        with httpx.Client(
            base_url=url, headers={"authorization": f"Bearer {token}"}, trust_env=False
        ) as client:
            answers = [client.get(CONTACTS, params={"limit": 100}) for _ in range(3)]
            client.get(f"/oauth/v1/access-tokens/{token}")
        assert [answer.status_code for answer in answers] == [200, 503, 200]
        assert len(answers[0].json()["results"]) == 7
        assert answers[0].headers["date"] == "Sun, 01 Nov 2026 05:00:00 GMT"
        process.send_signal(number)
        out, errors = process.communicate(timeout=20)
    assert (process.returncode, out, errors) == (0, "Stopped.\n", "")
    ledger = tmp_path / "calls.jsonl"
    assert ledger.stat().st_mode & 0o777 == 0o600
    written = [json.loads(line) for line in ledger.read_text("utf-8").splitlines()]
    assert [(call["sent"], call["fault"]) for call in written][:3] == [
        (200, None),
        (503, "status"),
        (200, None),
    ]
    assert {call["at"] for call in written} == {"2026-11-01T05:00:00.000Z"}
    assert len(written) == 4
    assert token not in ledger.read_text("utf-8")
    assert token not in "".join(lines)


def test_calls_are_written_as_they_come_and_without_credentials(
    connect, sandbox: Sandbox, tmp_path: Path
) -> None:
    path, portal = tmp_path / "calls.jsonl", sandbox.portals[0]
    with LedgerFile(path) as ledger:
        sandbox.watch(ledger.write)
        client = connect(sandbox, portal.token)
        client.get(CONTACTS, params={"limit": 3, "hapikey": "secret-1"})
        (one,) = map(json.loads, path.read_text("utf-8").splitlines())
        (entry,) = sandbox.ledger(portal.portal_id)
        assert one["correlationId"] == entry.correlation_id
        assert (one["portalId"], one["path"]) == (portal.portal_id, CONTACTS)
        assert one["query"] == [["limit", "3"], ["hapikey", "(hidden)"]]
        connect(sandbox, None).get(f"/oauth/v1/refresh-tokens/{portal.token}?client_secret=s2")
        client.get(f"{CONTACTS}/{portal.token}")
    client.get(CONTACTS)  # after the file was closed: not an error, and not written
    text = path.read_text("utf-8")
    assert len(text.splitlines()) == 3
    assert "secret-1" not in text
    assert "s2" not in text
    assert portal.token not in text


def test_an_existing_file_and_one_that_cannot_be_written_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_text("real", "utf-8")
    for refused in (path, tmp_path / "missing" / "calls.jsonl"):
        with pytest.raises(SandboxError, match="was not started"):
            LedgerFile(refused)
    assert path.read_text("utf-8") == "real"


def test_everything_that_is_simulated_is_listed_once() -> None:
    listed = {
        (method, place.path, version)
        for place in surface()
        for method in place.methods
        for version in place.versions or ("",)
    }
    routed = {(method, route.name, route.version) for route in ROUTES for method in methods(route)}
    assert listed == routed
    assert all(place.methods for place in surface())
    text = surface_as_text()
    assert all(place.path in text and place.family in text for place in surface())
    document = json.loads(surface_as_text(as_json=True))
    assert [place["path"] for place in document] == [place.path for place in surface()]


def test_the_list_is_printed_and_nothing_is_started(capsys) -> None:
    assert main(["--routes"]) == 0
    assert "POST                 /crm/objects/{type}/search" in capsys.readouterr().out
    assert main(["--routes", "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), list)


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--at", "noon"], "--at noon: that is not a time; the sandbox was not started"),
        (["--at", "2026-11-01"], "--at 2026-11-01 needs a time with its zone; the sandbox was not"),
        (["--at", "0001-01-01T00:00:00Z"], "knows the years 1990 to 2199; the sandbox was not"),
        (["--speed", "-1"], "--speed -1 is not a speed; the sandbox was not started"),
        (["--portals", "0"], "not 0"),
        (["--faults", "/nowhere/faults.toml"], "no fault was added. The sandbox was not started"),
        (["--ledger", "/nowhere/calls.jsonl"], "cannot be written"),
        (["--port", "99999"], "cannot be used"),
    ],
)
def test_what_cannot_be_done_is_said_with_exit_code_1(capsys, args, why) -> None:
    assert main(args) == 1
    said = capsys.readouterr()
    assert why in said.err
    assert said.err.startswith("Error: ")
    assert said.out == ""


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--json"], "--json goes with --routes"),
        (["--routes", "--csv", "x.csv", "--no-limits"], "leave out --csv, --no-limits"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(capsys, args, why) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(args)
    said = capsys.readouterr()
    assert (stopped.value.code, said.out) == (2, "")
    assert f"{why}; nothing was started" in said.err


def test_a_limit_passes_on_a_clock_that_runs_and_is_not_there_without_limits(
    tmp_path: Path,
) -> None:
    """What stands still never lets a burst pass; both ways out are options."""
    at = ["--portals", "1", "--contacts", "1", "--at", "2026-11-01T05:00:00+00:00"]
    refused, told = {}, {}
    for more in ([], ["--speed", "100000"], ["--no-limits"]):
        name = tmp_path / "-".join(["list", *more])
        with bare(*at, *more, "--csv", str(name), folder=tmp_path) as (_, lines):
            url = next(line for line in lines if "simulated portals at" in line).split()[-1]
            token = name.read_text("utf-8").splitlines()[1].split(",")[1]
            headers = {"authorization": f"Bearer {token}"}
            with httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
                answers = [client.get(f"{CONTACTS}/101").status_code for _ in range(200)]
            refused["".join(more[:1])] = answers.count(429)
            told["".join(more[:1])] = "\n".join(lines)
    assert refused == {"": 10, "--speed": 0, "--no-limits": 0}
    assert "stands still at 2026-11-01T05:00:00+00:00" in told[""]
    assert "100000 seconds in every second" in told["--speed"]
    assert "Limits: none" in told["--no-limits"]


def test_what_it_says_to_come_back_is_the_whole_command(tmp_path: Path) -> None:
    """The same fleet, faults and time at the same address; only what was done there is gone."""
    (tmp_path / "my faults.toml").write_text("", "utf-8")
    args = ["--portals", "2", "--contacts", "3", "--seed", "5", "--at", "2026-11-01T05:00:00Z"]
    args += ["--speed", "2.0", "--no-limits", "--faults", "my faults.toml"]

    def told(*args: str) -> tuple[str, list[str]]:
        with bare(*args, folder=tmp_path) as (_, lines):
            again = next(line for line in lines if line.startswith("To come back"))
            assert "Faults in force: 0" in lines
            assert any("start afresh" in line for line in lines)
            return lines[0], shlex.split(again.partition("python -m hsagency.sandbox ")[2])

    address, again = told(*args)
    assert told(*again) == (address, again)


def offered(help_: str) -> set[str]:
    """Return the options that a help text describes."""
    return set(re.findall(r"^ +(--[a-z-]+)", help_, re.MULTILINE))


def test_both_command_lines_have_the_same_options_and_defaults() -> None:
    context = command.make_context("sandbox", [])
    shared = {"--workspace", "--store", "--quiet", "--debug", "--help"}
    own = offered(parser().format_help())
    assert own == offered(command.get_help(context)) - shared
    assert own >= {"--portals", "--tls", "--no-limits", "--json"}
    made = {"json" if name == "as_json" else name: value for name, value in context.params.items()}
    defaults = vars(parser().parse_args([]))
    assert {name: made[name] for name in defaults} == defaults


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_command_lines_know_the_same_certificates(variant: str) -> None:
    assert parser().parse_args(["--tls", variant]).tls == variant
    assert command.make_context("sandbox", ["--tls", variant]).params["tls"] == variant
    assert f"[{'|'.join(VARIANTS)}]" in command.get_help(command.make_context("sandbox", []))


def test_https_without_its_library_says_what_to_install(tmp_path: Path) -> None:
    with bare("--portals", "1", "--tls", folder=tmp_path) as (process, lines):
        _, errors = process.communicate(timeout=20)
    assert lines == []
    assert process.returncode == 1
    assert errors == (
        "Error: HTTPS needs the library trustme, which is not installed; the sandbox was not started. "
        "Install it: pip install trustme.\n"
    )


def test_the_module_is_a_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hsagency.sandbox", "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    for words in ("--portals 3 --csv clients.csv", "[[fault]]", "/_sandbox/faults", "--speed"):
        assert words in done.stdout


def test_a_ledger_that_cannot_be_written_says_so_once(
    client: httpx.Client, sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, told = tmp_path / "calls.jsonl", []
    least, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    with LedgerFile(path, on_failure=lambda: told.append(1)) as file:
        sandbox.watch(file.write)
        client.get(CONTACTS)
        written = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (written, most))
        try:
            client.get(CONTACTS)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (least, most))
        client.get(CONTACTS)
        assert path.stat().st_size == written, "no line after a hole"
    assert (told, str(file.failure) in caplog.text) == ([1], True)
    assert len(sandbox.ledger(sandbox.portals[0].portal_id)) == 3


def test_the_command_ends_when_its_ledger_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    program = f"{sys.executable} -B -m hsagency.sandbox --portals 1 --ledger {path}"
    command = ["/bin/sh", "-c", f"ulimit -f 1; exec {program}"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        with patience(process.kill):
            url = next(
                word for line in process.stdout for word in line.split() if "http://" in word
            )
        try:
            with httpx.Client(base_url=url, trust_env=False) as client:
                while process.poll() is None and client.get(CONTACTS).status_code == 401:
                    continue
        except httpx.TransportError:
            process.wait(30)
        finally:
            process.kill()
        error = process.stderr.read()
    assert process.returncode == 1
    assert "calls.jsonl could not be written" in error


def test_a_client_list_that_is_in_the_way_leaves_no_ledger_behind(tmp_path: Path) -> None:
    taken, ledger = tmp_path / "clients.csv", tmp_path / "calls.jsonl"
    taken.write_text("real", "utf-8")
    with pytest.raises(SandboxError, match="something else"):
        run(portals=1, csv=taken, ledger=ledger, announce=str)
    assert not ledger.exists()
