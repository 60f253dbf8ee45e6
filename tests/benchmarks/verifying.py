"""
Verifying a log, in MB of unpacked bytes a second on one core: as a journal, and as evidence.

Beside it, in the same run: what unpacking the same evidence alone takes, and one SHA-256 over
the same bytes, which is as little as any hash chain can cost. A figure is the best of its
turns, in CPU time of this process.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from hsagency.audit.evidence import archive, drop_journal, open_segment, segments
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.verifying import Log, verify
from tests.audit.reading import AUTHOR, ending, intent
from tests.benchmarks.measuring import line, timed

TURNS, STEP, SLUG = 5, 1 << 18, "benchmark"


def write(audit: Path, calls: int) -> Log:
    """Write a log of so many calls, whose last segment is closed by the next one."""
    with AuditWriter(audit, author=AUTHOR, sync=lambda _: None) as writer:
        for number in range(calls):
            call = f"{os.urandom(16).hex()}"
            writer.append(SLUG, {**intent(number), "callId": call}, durable=False)
            writer.append(SLUG, {**ending(number), "callId": call}, durable=False)
    return Log(folder=audit / SLUG, copy=None)


def read_all(log: Log, take: Callable[[bytes], object]) -> int:
    """Read every segment as it was written; return how many bytes that were."""
    size = 0
    for path in segments(log.folder).values():
        with open_segment(path) as file:
            while part := file.read(STEP):
                size += len(part)
                take(part)
    return size


def measured(figure: str, log: Log, size: int, work: Callable[[], object]) -> None:
    """Print how fast something is, and how many bytes the log has on the disk."""
    seconds = min(timed(work)[1] for _ in range(TURNS))
    on_disk = sum(path.stat().st_size for path in segments(log.folder).values())
    line(
        figure, mb_s=round(size / 1e6 / seconds), mb=round(size / 1e6), mb_on_disk=on_disk // 10**6
    )


def intact(log: Log) -> None:
    """Verify, and make sure that all of it was."""
    verdict = verify(log)
    if verdict.findings or verdict.lost:
        raise SystemExit(str(verdict.report()))


def main(calls: int = 200_000) -> None:
    """Measure a journal, seal it, and measure the evidence."""
    with tempfile.TemporaryDirectory() as name:
        log = write(Path(name), calls)
        size = read_all(log, len)
        measured("verify a journal", log, size, lambda: intact(log))
        names = list(segments(log.folder))[:-1]

        def seal() -> None:
            for one in names:
                archive(log.folder, one)
                drop_journal(log.folder, one)

        sealed = sum(segments(log.folder)[one].stat().st_size for one in names)
        wall, cpu = timed(seal)
        line(
            "archive and drop", mb_s=round(sealed / 1e6 / wall), mb_s_core=round(sealed / 1e6 / cpu)
        )
        measured("verify evidence", log, size, lambda: intact(log))
        measured("unpack evidence", log, size, lambda: read_all(log, len))
        measured("unpack and SHA-256", log, size, lambda: read_all(log, hashlib.sha256().update))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
