"""
Onboarding 100 rows at 100 ms latency: age store, keyring beside it, and one row at a time.

The keyring is measured only on a session with a Secret Service that answers:
    dbus-run-session -- sh -c 'echo pw | gnome-keyring-daemon --unlock --components=secrets
        && python -m tests.benchmarks.onboarding'
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hsagency import onboarding
from hsagency.agency import Agency
from hsagency.credentials import open_store
from hsagency.errors import CredentialError
from hsagency.sandbox import Fault, Sandbox, serve, write_clients_csv
from tests.benchmarks.measuring import line

ROWS = 100
LATENCY = 0.1


def onboard(agency: Agency, content: bytes, url: str) -> int:
    plan = onboarding.plan_file(agency, content, api=url)
    return len(onboarding.apply(agency, plan, digest=plan.digest).onboarded)


def whole_command(folder: Path, clients: Path, url: str, store: str) -> float:
    """Return the seconds of the command as it is typed, start-up included."""
    Agency.create(folder, store=store).close()
    command = [sys.executable, "-m", "hsagency.cli", "onboard", str(clients), "--api", url]
    started = time.perf_counter()
    subprocess.run(
        [*command, "--workspace", str(folder), "--quiet"], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - started


def start_up() -> float:
    started = time.perf_counter()
    imports = "import hsagency.cli, hsagency.onboarding, pyrage"
    subprocess.run([sys.executable, "-c", imports], check=True)
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sandbox = Sandbox(portals=ROWS, seed=1)
        sandbox.faults.add(Fault(kind="latency", seconds=LATENCY))
        clients = folder / "clients.csv"
        write_clients_csv(sandbox, clients)
        with serve(sandbox) as server:
            begin = min(start_up() for _ in range(3))
            for store in ("age:credentials", "keyring:"):
                try:
                    open_store(store, workspace=folder)
                except CredentialError as error:
                    line(f"onboarding {ROWS} rows, {store}", not_measured=error.message)
                    continue
                wall = whole_command(folder / store.partition(":")[0], clients, server.url, store)
                line(
                    f"onboarding {ROWS} rows, {store}",
                    seconds=round(wall, 2),
                    start_up=round(begin, 2),
                    over_start_up=round(wall - begin, 2),
                )
            one_at_a_time(folder, clients, server.url)


def one_at_a_time(folder: Path, clients: Path, url: str) -> None:
    header, *rows = clients.read_bytes().splitlines(keepends=True)
    with Agency.create(folder / "single", store="age:credentials") as agency:
        started = time.perf_counter()
        done = sum(onboard(agency, header + row, url) for row in rows[:20])
        each = (time.perf_counter() - started) / done
    line("onboarding one at a time", seconds_each=round(each, 3), hundred=round(each * 100, 1))


if __name__ == "__main__":
    main()
