"""Running a sandbox in its own process, timing wall and CPU, printing one JSON line."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def line(figure: str, **values: object) -> None:
    """Print one figure."""
    print(json.dumps({"figure": figure, **values}), flush=True)


def timed(work: Callable[[], object], *, rounds: int = 1) -> tuple[float, float]:
    """Return wall and CPU seconds of this process for `rounds` runs of `work`."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(rounds):
        work()
    return time.perf_counter() - wall, time.process_time() - cpu


@contextlib.contextmanager
def sandbox_process(folder: Path, *, portals: int) -> Iterator[tuple[str, Path]]:
    """Run a sandbox in a process of its own; yield its address and its client list."""
    clients = folder / "clients.csv"
    command = [sys.executable, "-m", "hsagency.cli", "sandbox", "--portals", str(portals)]
    process = subprocess.Popen(
        [*command, "--csv", str(clients)], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    try:
        assert process.stdout is not None
        for said in process.stdout:
            found = re.search(r"http://127\.0\.0\.1:\d+", said)
            if found:
                wait_for(clients)
                yield found[0], clients
                return
        raise SystemExit("the sandbox said no address")
    finally:
        process.terminate()
        process.communicate()


def wait_for(path: Path) -> None:
    """Wait until a file is there."""
    while not path.exists():
        time.sleep(0.01)
