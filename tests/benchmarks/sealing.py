"""
Sealing: calls a second and peak memory for five million calls, and bytes a call at each stage.

`python -m tests.benchmarks.sealing [CALLS]`. The journal is laid down before, chained as the
writer does it; sealing runs in a process of its own, whose peak memory is what the system says.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hsagency.audit import chain
from hsagency.audit.journal.writer import LIMIT
from hsagency.audit.record import encode, timestamp
from tests.benchmarks.measuring import line

CALLS = 5_000_000
SLUG = "acme-corp"
AUTHOR = {"actor": "hsagency/0.4.0", "user": "analyst", "host": "laptop", "runId": "0" * 16}
STAMP = {"clientSlug": SLUG, **AUTHOR}
STATUSES = ((200, "ok"),) * 17 + (
    (404, "client_error"),
    (429, "rate_limited"),
    (502, "server_error"),
)


def started(number: int, call_id: str) -> dict[str, object]:
    """Return the start of a call, with the fields that the recorder gives it."""
    kind = ("contacts", "companies", "deals", "tickets")[number % 4]
    return {
        **STAMP,
        "callId": call_id,
        "attempt": 1,
        "portalId": 12345678,
        "method": "GET",
        "path": f"/crm/objects/2026-09/{kind}/{{objectId}}",
        "operationClass": "read",
        "objectType": kind,
        "objectId": str(10_000_000 + number),
        "purpose": "interactive",
        "credentialFingerprint": "0123456789abcdef",
        "credentialGeneration": 1,
        "origin": "witnessed",
    }


def finished(number: int, call_id: str) -> dict[str, object]:
    """Return the end of a call."""
    status, outcome = STATUSES[number % len(STATUSES)]
    return {
        **STAMP,
        "callId": call_id,
        "portalId": 12345678,
        "durationMs": 20 + number % 400,
        "statusCode": status,
        "outcome": outcome,
        "rateLimitRemaining": 100 - number % 90,
        "rateLimitDaily": 500_000 - number % 400_000,
        "correlationId": call_id,
    }


def records(calls: int, since: datetime, days: float) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the records of calls that are spread over some days."""
    gap = timedelta(days=days) / max(calls, 1)
    for number in range(calls):
        at, call_id = since + number * gap, os.urandom(16).hex()
        yield (
            timestamp(at),
            {"event": "call.started", "ts": timestamp(at), **started(number, call_id)},
        )
        end = timestamp(at + timedelta(milliseconds=300))
        yield end, {"event": "call.finished", "ts": end, **finished(number, call_id)}


def lay_down(audit: Path, calls: int, *, since: datetime, days: float, slug: str = SLUG) -> int:
    """Write a journal of closed segments, and return its bytes."""
    folder = audit / slug / "journal"
    folder.mkdir(parents=True)
    size, number, at, stream = 0, 0, "", iter(records(calls, since, days))
    item = next(stream, None)
    while item is not None:
        number += 1
        name = f"000-{number:06}"
        last, day, seq, lines, length = chain.genesis(f"{name}.jsonl"), item[0][:10], 0, [], 0
        while item is not None and length < LIMIT and item[0][:10] == day:
            at, fields = item
            seq += 1
            body = encode({"schema": 1, "seq": seq, **fields, "clientSlug": slug})
            text, last = chain.link(last, body)
            lines.append(text)
            length += len(text)
            item = next(stream, None)
        closing = {"schema": 1, "seq": seq + 1, "event": "audit.closed", "ts": at, **STAMP}
        closing |= {"segment": name, "records": seq + 1, "clientSlug": slug}
        lines.append(chain.link(last, encode(closing))[0])
        content = b"".join(lines)
        (folder / f"{name}.jsonl").write_bytes(content)
        size += len(content)
    return size


def seal(audit: Path) -> None:
    """Seal, and say how long that took and how much memory it had."""
    from hsagency.audit.lake.sealing import seal as run

    begun = time.perf_counter()
    done = run(audit, SLUG, zone="US/Eastern")
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"calls": done.calls, "seconds": seconds, "peak": peak}))


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())


def main(calls: int) -> None:
    """Lay down, seal, print."""
    with tempfile.TemporaryDirectory() as name:
        audit = Path(name) / "audit"
        journal = lay_down(audit, calls, since=datetime(2026, 10, 1, tzinfo=UTC), days=30)
        command = [sys.executable, "-m", "tests.benchmarks.sealing", "--seal", str(audit)]
        said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        line(
            f"sealing {calls:,} calls",
            calls_per_second=round(said["calls"] / said["seconds"]),
            seconds=round(said["seconds"], 1),
            peak_megabytes=round(said["peak"] / 1e6),
            load=round(os.getloadavg()[0], 1),
        )
        line(
            "bytes a call",
            journal=round(journal / calls, 1),
            evidence=round(size_of(audit / SLUG / "evidence") / calls, 1),
            lake=round(size_of(audit / "lake") / calls, 1),
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--seal"]:
        seal(Path(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else CALLS)
