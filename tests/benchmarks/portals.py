"""
The table of portals from a cold start: `hsagency portals` in a new process, and what it loads.

`python -m tests.benchmarks.portals [PORTALS] [CALLS]`. Each portal has a log of its own as the
writer leaves it: the calls of the day before sealed into the lake, those of today in an open
segment. Beside it what importing alone takes, with and without an agency; CPU is of all threads.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from hsagency.agency import Agency
from hsagency.audit.journal.writer import AuditWriter, utc_now
from hsagency.portals import AGENCY
from hsagency.sandbox import Sandbox
from tests.benchmarks.measuring import line
from tests.benchmarks.querying import signer_of
from tests.benchmarks.records import AUTHOR, RECORD
from tests.support import connected

PORTALS, CALLS, RUNS = 100, 200, 9
_COMPILED = tempfile.TemporaryDirectory(prefix="compiled-")
# As installed, where modules are compiled once: compiling them at each start takes a third more.
_ENVIRONMENT = {
    **os.environ,
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": _COMPILED.name,
}


def record(agency: Agency, calls: int, *, at: datetime) -> None:
    """Have every portal called so often, a second apart, up to a moment."""
    times: dict[str, datetime] = {}

    def now() -> datetime:
        return times["now"]

    signer = signer_of(agency)
    audit, copy = agency.workspace.audit, agency.workspace.heads
    with AuditWriter(
        audit, author=AUTHOR, signer=lambda: signer, copy=copy, now=now, sync=lambda _: None
    ) as writer:
        for slug, connection in agency.connections().items():
            for number in range(calls):
                times["now"] = at - timedelta(seconds=calls - number)
                call = {"callId": os.urandom(16).hex(), "portalId": connection.portal_id}
                writer.append(slug, {**RECORD, **call}, durable=False)
                ending = {"durationMs": 12, "statusCode": 200, "outcome": "ok"}
                end = {"event": "call.finished", **call, **ending, "rateLimitRemaining": 9_000}
                writer.append(slug, end, durable=False)


def ask(*command: str) -> tuple[float, float, str]:
    """Return how many milliseconds, wall and CPU, a process took, and what it said."""
    begun, used = time.perf_counter(), cpu()
    done = subprocess.run(
        [sys.executable, *command], check=True, capture_output=True, text=True, env=_ENVIRONMENT
    )
    return (time.perf_counter() - begun) * 1000, (cpu() - used) * 1000, done.stdout


def cpu() -> float:
    """Return how many seconds of CPU ended children have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cold(figure: str, *command: str, **said: object) -> str:
    """Print what a command takes in a new process, over a few runs; return what it said."""
    ask(*command)  # compiles
    took, used, answer = zip(*(ask(*command) for _ in range(RUNS)), strict=True)
    best, median = round(min(took)), round(statistics.median(took))
    load = round(os.getloadavg()[0], 1)
    line(figure, median_ms=median, best_ms=best, cpu_ms=round(min(used)), **said, load=load)
    return str(answer[-1])


def table(figure: str, root: Path, **said: object) -> None:
    """Print what the table takes, and check that it counted every call."""
    shown = cold(figure, "-m", "hsagency.cli", "portals", "--workspace", str(root), **said)
    assert shown
    asked = ask("-m", "hsagency.cli", "portals", "--workspace", str(root), "--json")[2]
    found: Mapping[str, list[dict[str, int | None]]] = json.loads(asked)
    counted = sum(row["callsThisMonth"] or 0 for row in found["portals"])
    with Agency.open(root) as agency:
        month = utc_now().date().replace(day=1)
        read = agency.calls(since=month).filter(pl.col("client_slug") != AGENCY)
        assert read.collect().height == counted
    line(f"{figure}: calls counted", calls=counted)


def main() -> None:
    """Make the logs, ask, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("portals", type=int, nargs="?", default=PORTALS)
    parser.add_argument("calls", type=int, nargs="?", default=CALLS)
    given = parser.parse_args()
    many = f"{given.portals} portals of {given.calls} calls"
    parts = "hsagency.cli, hsagency.fleet.listing, hsagency.pacing, hsagency.audit.journal.writer"
    cold("importing what the table needs", "-c", f"import {parts}")
    cold("importing hsagency.agency", "-c", "import hsagency.agency")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "work"
        sandbox = Sandbox(portals=given.portals, contacts=1, limits=False)
        with connected(root, sandbox=sandbox) as made:
            now = utc_now()
            record(made.agency, given.calls // 2, at=now - timedelta(days=1))
            record(made.agency, given.calls - given.calls // 2, at=now)
            for slug in made.slugs:
                made.agency.audit.seal(slug)
        table(f"{many}, half of them sealed", root)


if __name__ == "__main__":
    main()
