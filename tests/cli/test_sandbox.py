"""`hsagency sandbox` serves until it is stopped, and writes the list that onboards it."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.commands import run_cli, running_cli


def started(process: subprocess.Popen[bytes]) -> list[str]:
    """Read what it says until it says how to stop it."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.decode().strip())
        if "Stop it with" in lines[-1]:
            break
    return lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_a_fleet_and_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    args = ["sandbox", "--portals", "3", "--csv", "clients.csv"]
    with running_cli(args, cwd=tmp_path) as process:
        said = started(process)
        assert said[0] == "Client list: clients.csv"
        url = said[1].removeprefix("3 simulated portals at ")
        assert url.startswith("http://127.0.0.1:")
        path = tmp_path / "clients.csv"
        assert path.stat().st_mode & 0o777 == 0o600
        if number is signal.SIGINT:
            run_cli(["init", "workspace", "--store", "age:credentials"], cwd=tmp_path)
            done = run_cli(["onboard", "../clients.csv", "--api", url], cwd=tmp_path / "workspace")
            assert "3 onboarded." in done.stdout
        process.send_signal(number)
        out, errors = process.communicate(timeout=30)
        assert (process.returncode, out.decode().strip(), errors) == (0, "Stopped.", b"")


def test_a_list_that_may_be_a_real_one_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "clients.csv").write_text("real", "utf-8")
    done = run_cli(["sandbox", "--portals", "1", "--csv", "clients.csv"], cwd=tmp_path)
    assert done.returncode == 1
    assert "clients.csv exists and holds something else; it was left alone." in done.stderr
    assert (tmp_path / "clients.csv").read_text("utf-8") == "real"
