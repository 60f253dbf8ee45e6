"""
Durable records a second with 1, 16 and 64 threads, beside SQLite (WAL, synchronous FULL) and a
bare loop of write and fdatasync in one thread.

The three take turns of a second or so, so that what else the machine and its disk do hits all
of them alike; a figure is the median of its turns. All write one record or row of the same
content. What `one append` is made of is measured apart, without the disk.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Author
from tests.benchmarks.measuring import line

TURNS, SECONDS = 9, 0.7
RECORD = {
    "event": "call.started",
    "callId": "0" * 32,
    "attempt": 1,
    "portalId": 12345678,
    "method": "GET",
    "path": "/crm/objects/2026-09/contacts",
    "operationClass": "read",
    "objectType": "contacts",
    "purpose": "benchmark",
    "credentialFingerprint": "0" * 16,
    "credentialGeneration": 1,
    "origin": "witnessed",
}
AUTHOR = Author(actor="benchmark", user="benchmark", host="benchmark", run_id="1")

Work = Callable[[], Callable[[], object]]


def rate(threads: int, work: Work) -> float:
    """Return how often `work` is done a second by so many threads together."""
    counts = [0] * threads
    ready, go = threading.Barrier(threads + 1), threading.Event()
    stop = [0.0]

    def run(number: int) -> None:
        one = work()
        ready.wait()
        go.wait()
        while time.perf_counter() < stop[0]:
            one()
            counts[number] += 1

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    stop[0] = started + SECONDS
    go.set()
    for thread in running:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


def sqlite_insert(path: Path) -> Callable[[], object]:
    """Return what inserts one row and commits it, by a connection of its own."""
    database = sqlite3.connect(path, isolation_level=None, timeout=60)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=full")
    names = ",".join(RECORD)
    database.execute(f"create table if not exists calls({names})")
    values = tuple(RECORD.values())
    insert = f"insert into calls values({','.join('?' * len(values))})"
    return lambda: database.execute(insert, values)


def bare_write(path: Path, size: int) -> Callable[[], object]:
    """Return what writes one line of a record's length, and flushes it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    content = b"x" * (size - 1) + b"\n"

    def one() -> None:
        os.write(descriptor, content)
        os.fdatasync(descriptor)

    return one


def record_size(folder: Path) -> int:
    """Return how long the line of one record is."""
    with AuditWriter(folder, author=AUTHOR) as writer:
        writer.append("acme-corp", RECORD)
    (path,) = folder.glob("*/journal/*.jsonl")
    return len(path.read_bytes().splitlines(keepends=True)[-1])


def beside(folder: Path, threads: int, size: int) -> None:
    """Measure one number of threads."""
    (folder / str(threads)).mkdir()
    database = folder / f"{threads}.db"
    sqlite_insert(database)
    with AuditWriter(folder / str(threads), author=AUTHOR) as writer:
        writer.append("acme-corp", RECORD)
        bare = bare_write(folder / f"{threads}.bare", size)
        ways: dict[str, tuple[int, Work]] = {
            "ours": (threads, lambda: lambda: writer.append("acme-corp", RECORD)),
            "sqlite": (threads, lambda: sqlite_insert(database)),
            "bare": (1, lambda: bare),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(TURNS):
            for name, (many, work) in ways.items():
                rates[name].append(rate(many, work))
    ours, theirs, loop = (statistics.median(rates[name]) for name in ways)
    line(
        f"durable records/s, {threads} threads",
        ours=round(ours),
        sqlite_wal_full=round(theirs),
        beside_sqlite=round(ours / theirs, 2),
        bare_loop_of_one_thread=round(loop),
        beside_bare_loop=round(ours / loop, 2),
    )


def unsynced(folder: Path) -> None:
    """Measure what an append costs but for the disk's flush."""
    with AuditWriter(folder / "none", author=AUTHOR, sync=lambda _: None) as writer:
        writer.append("acme-corp", RECORD)
        ours = [rate(1, lambda: lambda: writer.append("acme-corp", RECORD)) for _ in range(3)]
    line("one append without its flush", microseconds=round(1e6 / statistics.median(ours), 1))


def main(where: str | None = None) -> None:
    """Measure, in a folder of the disk that counts."""
    with tempfile.TemporaryDirectory(dir=where) as name:
        folder = Path(name)
        size = record_size(folder / "size")
        unsynced(folder)
        for threads in (1, 16, 64):
            beside(folder, threads, size)


if __name__ == "__main__":
    main(*sys.argv[1:])
