"""
What pacing costs a call, alone and contended, beside pyrate-limiter with SQLite in the same run.

Needs pyrate-limiter 4.x and filelock, which are nothing that the project needs: run it with a
folder that holds them (`pip install --target FOLDER pyrate-limiter filelock`) as the argument.
The highest count is of the times at which callers went, in any window of the length that
HubSpot counts by; a window here is 2 seconds and holds 100. Ours holds 200 ms longer, and
pyrate-limiter, which is given 2 seconds, adds 50 ms of its own accord.
"""

from __future__ import annotations

import importlib
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from hsagency.audit.journal.writer import AuditWriter
from hsagency.pacing import Pacer, Pacing, Ticket
from hsagency.settings import Priority, Settings
from tests.benchmarks.measuring import line
from tests.core.desks import AUTHOR, CALL, connection

LIMIT, WINDOW, SECONDS = 100, 2.0, 8.0
PROCESSES, THREADS = 4, 4
CALLS, ROUNDS = 1000, 15
BEGAN = time.time_ns() // 10**12 * 10**12  # the same for every process of a run
PEER = "pyrate_limiter"


def hastily() -> int:
    """A clock that runs so fast that no window is ever full."""
    return BEGAN + (time.time_ns() - BEGAN) * 400


def pacer_in(
    folder: Path, name: str, *, portal: int = 1, now: Callable[[], int] = time.time_ns
) -> Pacer:
    """Return a pacer on the file that all processes share."""
    writer = AuditWriter(folder / name, author=AUTHOR)
    settings = Settings(schema=1, workspace="w", store="age:x")
    pacing = Pacing(folder / "pacing", settings=settings, writer=writer, now=now)
    pacer = pacing.of(
        connection(portal_id=portal, daily_limit=100_000_000, added_at=datetime.now(UTC))
    )
    if now is hastily:  # by its time the portal is old: earlier calls may have been forgotten
        pacer.standing()
        time.sleep(0.1)
    return pacer


def answered(number: int, *, most: int, millis: int) -> httpx.Response:
    """Return what HubSpot would say to our so many-th call."""
    headers = {
        "Content-Type": "application/json;charset=utf-8",
        "Content-Length": "1234",
        "Date": "Fri, 20 Nov 2026 12:00:00 GMT",
        "X-HubSpot-Correlation-Id": "1b1c0ffe-0000-4000-8000-000000000000",
        "X-HubSpot-RateLimit-Daily": "100000000",
        "X-HubSpot-RateLimit-Daily-Remaining": str(100_000_000 - number),
        "X-HubSpot-RateLimit-Interval-Milliseconds": str(millis),
        "X-HubSpot-RateLimit-Max": str(most),
        "X-HubSpot-RateLimit-Remaining": str(most - 1),
        "X-HubSpot-RateLimit-Secondly": "19",
        "X-HubSpot-RateLimit-Secondly-Remaining": "18",
    }
    return httpx.Response(200, headers=headers)


def bucket(path: Path, limit: int, seconds: float) -> Any:
    """Return a limiter of the peer's, shared by processes as its documents say."""
    peer = importlib.import_module(PEER)
    rates = [peer.Rate(limit, int(seconds * 1000))]
    shared = peer.SQLiteBucket.init_from_file(rates, db_path=str(path), use_file_lock=True)
    return peer.Limiter(shared)


def alone(folder: Path) -> None:
    """Print what a call costs where nobody else calls."""
    pacer = pacer_in(folder, "alone", now=hastily)
    peer = bucket(folder / "alone.sqlite", 10_000_000, 1.0)

    def reserve() -> list[Any]:
        return [pacer.reserve(CALL, Priority.CRITICAL) for _ in range(CALLS)]

    def ask_peer() -> None:
        for _ in range(CALLS):
            peer.try_acquire("portal")

    # The window must never be full, or what is measured is waiting.
    pacer.told(pacer.reserve(CALL, Priority.CRITICAL), answered(1, most=500, millis=1000))
    took: dict[str, list[float]] = {"reserve": [], "told": [], "pyrate": []}
    for _ in range(ROUNDS):
        tickets: list[Ticket] = []
        took["reserve"].append(timed(lambda to=tickets: to.extend(reserve())))  # type: ignore[misc]
        assert all(one.granted and not one.wait for one in tickets), "the window was full"
        answers = [answered(one.number, most=500, millis=1000) for one in tickets]
        took["told"].append(
            timed(lambda t=tickets, a=answers: [*map(pacer.told, t, a)])  # type: ignore[misc]
        )
        took["pyrate"].append(timed(ask_peer))
    us = {name: min(one) / CALLS * 1e6 for name, one in took.items()}
    ours = us["reserve"] + us["told"]
    line(
        "alone",
        reserve_us=round(us["reserve"], 1),
        told_us=round(us["told"], 1),
        ours_us=round(ours, 1),
        pyrate_us=round(us["pyrate"], 1),
        ratio=round(us["pyrate"] / ours, 1),
    )


def timed(work: Callable[[], object]) -> float:
    """Return how long it took, by the wall; of several rounds the least disturbed counts."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def go_ours(folder: Path, name: str) -> Callable[[], None]:
    """Return what waits for a turn of ours and then goes."""
    pacer = pacer_in(folder, name)
    first = pacer.reserve(CALL, Priority.CRITICAL, purpose="verification")
    pacer.told(first, httpx.Response(200, headers={
        "X-HubSpot-RateLimit-Max": str(LIMIT),
        "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(WINDOW * 1000)),
    }))  # fmt: skip
    spent = threading.local()

    def go() -> None:
        spent.us = 0.0
        while True:
            started = time.perf_counter()
            ticket = pacer.reserve(CALL, Priority.CRITICAL)
            spent.us += (time.perf_counter() - started) * 1e6
            time.sleep(ticket.wait)
            if ticket.granted:
                return

    go.spent = lambda: spent.us  # type: ignore[attr-defined]
    return go


def worker(kind: str, folder: Path, name: str, begin: float) -> None:
    """Go as often as allowed until the time is over, and print when each went."""
    if kind == "ours":
        go = go_ours(folder, name)
    else:
        peer = bucket(folder / "contended.sqlite", LIMIT, WINDOW)

        def go() -> None:
            peer.try_acquire("portal")

    went: list[float] = []
    asking: list[float] = []
    time.sleep(max(0.0, begin - time.time()))

    def run() -> None:
        while time.time() < begin + SECONDS:
            go()
            went.append(time.time())
            if kind == "ours":
                asking.append(go.spent())  # type: ignore[attr-defined]

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    print(json.dumps([went, asking]))


def contended(folder: Path, kind: str, more: str) -> None:
    """Print how many went in any window, of several processes with several threads each."""
    begin = time.time() + 4
    arguments = [sys.executable, "-m", "tests.benchmarks.pacing", more, kind, str(folder)]
    children = [
        subprocess.Popen(
            [*arguments, f"{kind}{number}", str(begin)], stdout=subprocess.PIPE, text=True
        )
        for number in range(PROCESSES)
    ]
    said = [json.loads(child.communicate()[0]) for child in children]
    went = sorted(itertools.chain.from_iterable(one for one, _ in said))
    asking = sorted(itertools.chain.from_iterable(one for _, one in said))
    figures: dict[str, object] = {"went": len(went), "most": most_in(went, WINDOW)}
    if asking:
        figures["asking_us"] = round(statistics.median(asking), 1)
        figures["asking_p99_us"] = round(asking[len(asking) * 99 // 100], 1)
    line(f"contended, {kind}", limit=LIMIT, window=WINDOW, **figures)


def storm(folder: Path, kind: str, more: str) -> None:
    """Print how many decisions a second several processes get where the limit never bites."""
    arguments = [sys.executable, "-m", "tests.benchmarks.pacing", more, f"storm-{kind}"]
    begin = time.time() + 4
    children = [
        subprocess.Popen(
            [*arguments, str(folder), f"storm{kind}{number}", str(begin)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    said = [json.loads(child.communicate()[0]) for child in children]
    each = sorted(itertools.chain.from_iterable(said))
    line(
        f"storm, {kind}",
        decisions_per_second=round(len(each) / 2),
        median_us=round(statistics.median(each), 1),
        p99_us=round(each[len(each) * 99 // 100], 1),
    )


def stormy(kind: str, folder: Path, name: str, begin: float) -> None:
    """Ask without ever waiting for two seconds, and print how long each answer took."""
    pacer = pacer_in(folder, name, portal=2, now=hastily)
    pacer.told(pacer.reserve(CALL, Priority.CRITICAL), answered(1, most=500, millis=1000))
    peer = None if kind == "ours" else bucket(folder / "storm.sqlite", 10_000_000, 1.0)
    took: list[float] = []
    time.sleep(max(0.0, begin - time.time()))

    def run() -> None:
        while time.time() < begin + 2:
            started = time.perf_counter()
            if peer is None:
                pacer.reserve(CALL, Priority.CRITICAL)
            else:
                peer.try_acquire("portal")
            took.append((time.perf_counter() - started) * 1e6)

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    print(json.dumps(took))


def most_in(times: list[float], window: float) -> int:
    """Return how many of some times lie in any one window."""
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= window:
            first += 1
        most = max(most, last - first + 1)
    return most


def main() -> None:
    more = sys.argv[1] if len(sys.argv) > 1 else ""
    sys.path.insert(0, more)
    if len(sys.argv) > 2:
        kind, folder, name, begin = sys.argv[2:]
        run = stormy if kind.startswith("storm-") else worker
        run(kind.removeprefix("storm-"), Path(folder), name, float(begin))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        alone(folder)
        for kind in ("ours", "pyrate"):
            storm(folder, kind, more)
        for kind in ("ours", "pyrate"):
            contended(folder, kind, more)


if __name__ == "__main__":
    main()
