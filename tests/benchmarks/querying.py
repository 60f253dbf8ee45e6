"""
Ten million calls in the lake, of 100 clients: one client's month, and all of them by day.

`python -m tests.benchmarks.querying [CALLS] [--duckdb PYTHON]`. Beside it the same of DuckDB on
the same Parquet files, if the interpreter that is named has it, and of a plain loop over JSON
lines, one a call, as the scripts that this replaces did it. Each in a process of its own: the
first time there, with everything that has to be loaded, and the best of the next five.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from hsagency.agency import Agency
from hsagency.audit.journal.writer import utc_now
from hsagency.audit.lake import joined_records
from hsagency.audit.register import Signer
from hsagency.audit.register.signing import SigningKey
from tests.benchmarks.measuring import line
from tests.benchmarks.sealing import lay_down

CALLS, CLIENTS = 10_000_000, 100
SLUG, SINCE, UNTIL = "client-042", "2026-10-01", "2026-11-01"

DUCKDB = """
import json, os, sys, time
import duckdb
lake = sys.argv[2]
month = (f"select day_utc, object_type, count(*), sum(cast(outcome <> 'ok' as int)) from "
         f"read_parquet('{lake}/client_slug=client-042/month=2026-10/*.parquet', "
         "hive_partitioning=false) group by 1, 2 order by 1, 2")
days = (f"select day_utc, count(*) from read_parquet('{lake}/*/month=*/*.parquet', "
        "hive_partitioning=false) group by 1 order by 1")
query = month if sys.argv[1] == "month" else days
rows = duckdb.sql(query).fetchall()
first, times = time.time() - float(os.environ["BEGUN"]), []
for _ in range(5):
    begun = time.perf_counter()
    duckdb.sql(query).fetchall()
    times.append(time.perf_counter() - begun)
print(json.dumps({"first": first, "best": min(times), "rows": len(rows),
                  "calls": sum(row[-1] if len(row) == 2 else row[2] for row in rows)}))
"""


def ours(what: str, root: Path) -> dict[str, float]:
    """Answer a question through the agency, as a notebook does."""
    import polars as pl

    def month(agency: Agency) -> pl.DataFrame:
        calls = agency.calls(SLUG, since=SINCE, until=UNTIL)
        counted = calls.group_by("day_utc", "object_type").agg(
            pl.len().alias("calls"), errors=(pl.col("outcome") != "ok").sum()
        )
        return counted.sort("day_utc", "object_type").collect()

    def days(agency: Agency) -> pl.DataFrame:
        return agency.calls().group_by("day_utc").agg(calls=pl.len()).sort("day_utc").collect()

    with Agency.open(root) as agency:
        return timed(lambda: (month if what == "month" else days)(agency)["calls"].to_list())


def loop(what: str, path: Path) -> dict[str, float]:
    """Answer a question as the source documents' report does: line by line."""
    counted: Counter[tuple[str, str]] = Counter()
    begun = time.perf_counter()
    with path.open() as file:
        for text in file:
            record = json.loads(text)
            if what == "days" or (
                record["clientSlug"] == SLUG and SINCE <= record["ts"][:10] < UNTIL
            ):
                kind = record["objectType"] if what == "month" else ""
                counted[record["ts"][:10], kind] += 1
    seconds = time.perf_counter() - begun
    return {"first": seconds, "best": seconds, "rows": len(counted), "calls": counted.total()}


def timed(work: Callable[[], list[int]]) -> dict[str, float]:
    """Return the time from the start of the process to its first answer, and a warm one."""
    counts = work()
    times = [time.time() - float(os.environ["BEGUN"])]
    for _ in range(5):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return {"first": times[0], "best": min(times[1:]), "rows": len(counts), "calls": sum(counts)}


def make(root: Path, calls: int) -> Path:
    """
    Make a workspace with a sealed lake, and the same calls as JSON lines; return these.

    The first client's log is sealed; the lakes of the others are copies with other ids.
    """
    import orjson
    import polars as pl

    from hsagency.audit.lake import catalog

    each = calls // CLIENTS
    path = root.with_name("calls.jsonl")
    with Agency.create(root, store="age:credentials") as agency:
        audit, first = root / "audit", "client-000"
        since = datetime(2026, 9, 1, tzinfo=UTC)
        lay_down(audit, each, since=since, days=61, slug=first)
        agency.audit.seal(first)
        home = catalog.home(audit, first)
        known = catalog.load(home)
        assert known is not None
        signer = signer_of(agency)
        parts = [(one, pl.read_parquet(home / one.path)) for one in known.parts]
        records = list(joined_records(agency.calls(first).collect()))
        with path.open("wb") as file:
            for number in range(CLIENTS):
                slug = f"client-{number:03}"
                said = ({**one, "clientSlug": slug} for one in records)
                file.writelines(orjson.dumps(one) + b"\n" for one in said)
                if slug == first:
                    continue
                (audit / slug / "evidence").mkdir(parents=True)
                copies = []
                for one, frame in parts:
                    ids = [os.urandom(16).hex() for _ in range(frame.height)]
                    renamed = frame.with_columns(client_slug=pl.lit(slug), call_id=pl.Series(ids))
                    copies.append(catalog.write(catalog.home(audit, slug), one.path, renamed))
                # Of other names than those of the segment that each reading of them is noted in.
                told = {f"9{name[1:]}": one for name, one in known.segments.items()}
                copied = replace(known, segments=told, parts=tuple(copies), activity=None)
                catalog.save(catalog.home(audit, slug), copied, signer=signer)
    return path


def signer_of(agency: Agency) -> Signer | None:
    """Return what signs in a workspace."""
    key = SigningKey(
        store=lambda: agency.store,
        workspace=agency.workspace.settings.workspace,
        audit=agency.workspace.audit,
        lock=agency.workspace.state / "signing.lock",
        copy=agency.workspace.heads / "keys.json",
        now=utc_now,
        tell=agency.writer.tell,
    )
    return key.signer()


def ask(command: list[str]) -> dict[str, float]:
    """Run a process to its end; the first answer counts from its very start."""
    begun = {**os.environ, "BEGUN": str(time.time())}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=begun)
    said: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return said


def has_duckdb(python: str) -> bool:
    """Say whether an interpreter can import DuckDB."""
    done = subprocess.run([python, "-c", "import duckdb"], capture_output=True, check=False)
    return done.returncode == 0


def main() -> None:
    """Make, ask, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("calls", type=int, nargs="?", default=CALLS)
    parser.add_argument("--duckdb", default=sys.executable)
    parser.add_argument("--ask", nargs=3)
    given = parser.parse_args()
    if given.ask:
        who, what, where = given.ask
        print(json.dumps((ours if who == "ours" else loop)(what, Path(where))))
        return
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "work"
        lines = make(root, given.calls)
        this = [sys.executable, "-m", "tests.benchmarks.querying", "--ask"]
        for what in ("month", "days"):
            found = {
                "ours": ask([*this, "ours", what, str(root)]),
                "loop": ask([*this, "loop", what, str(lines)]),
            }
            if has_duckdb(given.duckdb):
                lake = str(root / "audit" / "lake")
                found["duckdb"] = ask([given.duckdb, "-c", DUCKDB, what, lake])
            else:
                line("DuckDB is not there to compare with", python=given.duckdb)
            counts = {one["calls"] for one in found.values()}
            assert len(counts) == 1, found
            for who, said in found.items():
                line(
                    f"{what} over {given.calls:,} calls: {who}",
                    first_ms=round(said["first"] * 1000, 1),
                    warm_ms=round(said["best"] * 1000, 1),
                    load=round(os.getloadavg()[0], 1),
                )


if __name__ == "__main__":
    main()
