"""Durable records a second with 1, 16 and 64 threads, beside SQLite (WAL, synchronous FULL)."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from hsagency.audit.record import Author
from hsagency.audit.writer import AuditWriter
from tests.benchmarks.measuring import line

SECONDS = 3.0
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


def rate(threads: int, work: Callable[[], Callable[[], object]]) -> float:
    """Return how often `work` is done a second by so many threads together."""
    counts = [0] * threads
    stop = time.perf_counter() + SECONDS

    def run(number: int) -> None:
        one = work()
        while time.perf_counter() < stop:
            one()
            counts[number] += 1

    started = time.perf_counter()
    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


def sqlite_insert(path: Path) -> Callable[[], object]:
    database = sqlite3.connect(path, isolation_level=None, timeout=60)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=full")
    names = ",".join(RECORD)
    database.execute(f"create table if not exists calls({names})")
    values = tuple(RECORD.values())
    insert = f"insert into calls values({','.join('?' * len(values))})"
    return lambda: database.execute(insert, values)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        author = Author(actor="benchmark", user="benchmark", host="benchmark", run_id="1")
        for threads in (1, 16, 64):
            with AuditWriter(folder / str(threads), author=author) as writer:
                ours = rate(threads, lambda: lambda: writer.append("acme-corp", RECORD))
            path = folder / f"{threads}.db"
            sqlite_insert(path)
            theirs = rate(threads, lambda: sqlite_insert(path))  # noqa: B023
            line(
                f"durable records/s, {threads} threads",
                ours=round(ours),
                sqlite_wal_full=round(theirs),
                ratio=round(ours / theirs, 2),
            )


if __name__ == "__main__":
    main()
