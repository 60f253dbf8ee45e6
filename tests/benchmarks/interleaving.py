"""
Contaminations in many calls over many portals from several processes, while tokens rotate.

Run by hand: `python -m tests.benchmarks.interleaving [CALLS [PORTALS [PROCESSES]]]`; 1,000,000
calls over 100 portals from 4 processes unless said. What arrives is written to files as it
comes, and held against the logs one portal after the other, so that memory stays bounded.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.measuring import line
from tests.isolation.interleaving import interleave, laid_out, reconcile

THREADS = 5  # in each process
PAUSE = 1.0  # seconds from one rotation to the next


def main(calls: int = 1_000_000, portals: int = 100, processes: int = 4) -> None:
    """Call, reconcile, and print the figures."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["HOME"] = name  # the identity of the store is kept there
        with laid_out(Path(name) / "field", portals=portals) as field:
            line("laid out", portals=portals, calls=calls, processes=processes, threads=THREADS)
            began = time.perf_counter()
            told = interleave(
                field, calls=calls, processes=processes, threads=THREADS, seed=1, pause=PAUSE
            )
            seconds = time.perf_counter() - began
            line(
                "called",
                seconds=round(seconds, 1),
                a_second=round(sum(told.values()) / seconds),
                changed=field.changed,
                told=dict(told),
            )
        began = time.perf_counter()
        found = reconcile(field)
        cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
        line(
            "interleaving",
            contaminations=len(found.contaminations) + told["WRONG PORTAL"],
            which=found.contaminations[:20],
            calls=found.calls,
            refused=found.refused,
            unknown=found.unknown,
            generations_changed=field.changed,
            generations_called=len(found.generations),
            seconds=round(seconds, 1),
            reconciling=round(time.perf_counter() - began, 1),
            cpu_seconds=round(cpu.ru_utime + cpu.ru_stime, 1),
            peak_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            peak_mb_of_a_child=round(cpu.ru_maxrss / 1024),
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
