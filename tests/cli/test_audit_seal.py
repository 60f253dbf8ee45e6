"""`hsagency audit seal` and `audit rebuild`, and that reading seals by itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from hsagency.agency import Agency
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.lake import CALLS
from hsagency.compliance import evidence, summary
from hsagency.periods import Period
from tests.audit.reading import AUTHOR, ending, intent
from tests.commands import run_cli
from tests.support import connected

SLUG = "acme-corp"


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 10, 1, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace whose log of one client has two closed days and an open one."""
    folder, clock = tmp_path / "work", Clock()
    with Agency.create(folder, store="age:credentials"):
        pass
    with AuditWriter(folder / "audit", author=AUTHOR, now=clock) as writer:
        for number in range(30):
            writer.append(SLUG, intent(number))
            writer.append(SLUG, ending(number), durable=False)
            if number % 10 == 9:
                writer.append(SLUG, {"event": "connection.verified", "message": str(number)})
            if number % 10 == 9 and number < 29:
                clock.at += timedelta(days=1)
    return folder


def cli(root: Path, *args: str) -> tuple[int, str, str]:
    done = run_cli(["audit", *args, "--workspace", root])
    return done.returncode, done.stdout, done.stderr


def journal(root: Path) -> list[str]:
    return sorted(one.name for one in (root / "audit" / SLUG / "journal").iterdir())


def test_sealing_says_what_it_did_and_does_it_once(root: Path) -> None:
    code, out, err = cli(root, "seal")
    assert (code, err) == (0, "")
    assert out.startswith(f"{SLUG}: 2 segments with 20 calls sealed (journal ")
    assert journal(root) == ["000-000003.jsonl"]
    assert "evidence" in out
    code, out, err = cli(root, "seal", SLUG)
    assert (code, out) == (0, f"{SLUG}: nothing to seal\n")
    assert err.startswith("A segment can be sealed once it is closed: at 64 MB, or with the first ")


def test_sealing_as_json(root: Path) -> None:
    code, out, _ = cli(root, "seal", SLUG, "--json")
    (client,) = json.loads(out)["clients"]
    assert (code, client["clientSlug"], client["segments"], client["calls"]) == (0, SLUG, 2, 20)
    assert client["journalBytes"] > client["evidenceBytes"] > 0 < client["lakeBytes"]
    assert (client["left"], client["rebuilt"], json.loads(out)["errors"]) == ([], None, [])


def test_an_unknown_client_is_an_error(root: Path) -> None:
    code, _, err = cli(root, "seal", "nobody")
    assert code == 1
    assert "nobody" in err


def test_comparing_finds_what_was_changed_by_hand_and_rebuilding_mends_it(root: Path) -> None:
    assert cli(root, "rebuild", "--compare") == (0, f"{SLUG}: nothing is sealed\n", "")
    cli(root, "seal")
    code, out, _ = cli(root, "rebuild", "--compare")
    assert (code, out) == (0, f"{SLUG}: as the evidence has it (2 segments, 20 calls)\n")
    (part,) = (root / "audit" / "lake").glob("*/month=*/*.parquet")
    pl.read_parquet(part).with_columns(status_code=pl.lit(204, pl.Int64)).write_parquet(part)
    code, out, _ = cli(root, "rebuild", SLUG, "--compare", "--json")
    differences = json.loads(out)["clients"][0]["differences"]
    assert code == 4
    assert [one["cause"].partition(":")[0] for one in differences] == [
        "was changed after it was written",
        "has rows that the evidence tells otherwise",
    ]
    code, out, _ = cli(root, "rebuild")
    assert code == 0
    assert "not as the evidence has it, made anew (2 segments, 20 calls)" in out
    assert cli(root, "rebuild", "--compare")[0] == 0


def test_reading_seals_what_is_closed_and_every_number_stays(root: Path) -> None:
    period = Period.of(month="2026-10")
    with Agency.open(root) as agency:
        first = agency.audit.read(SLUG)
        assert journal(root)[0] == "000-000003.jsonl"
        told = [cli(root, *args)[1] for args in (("tail", "-n", "99"), ("tail", "--json"))]
        unsealed = shutil.copytree(root, root.with_name("unsealed"))
        shutil.rmtree(unsealed / "audit" / "lake")
        shutil.copystat(root, unsealed)
        second = agency.audit.read(SLUG)
        assert dict(agency.calls().collect().schema) == dict(CALLS)
        assert second.calls.collect().equals(first.calls.collect())
        assert summary(second.calls).equals(summary(first.calls))
        assert evidence(second, period) == evidence(first, period)
        assert second.damage == first.damage == ()
        notes = first.activity.filter(pl.col("event") == "connection.verified")
        assert notes["message"].to_list() == ["9", "19", "29"]
    for args, said in zip((("tail", "-n", "99"), ("tail", "--json")), told, strict=True):
        assert cli(unsealed, *args)[1] == said
    assert (unsealed / "audit" / "lake").exists()


def test_a_month_is_asked_of_its_own_files_alone(root: Path) -> None:
    with Agency.open(root) as agency:
        agency.audit.seal(SLUG)
        inside = agency.calls(SLUG, since="2026-10-01", until="2026-10-02")
        assert inside.collect()["day_utc"].unique().to_list() == [date(2026, 10, 1)]
        assert "month=2026-10" in inside.explain()
        assert "month=2026-10" not in agency.calls(SLUG, since="2026-11-01").explain()
        assert "month=2026-10" not in agency.calls(SLUG, until="2026-09-30").explain()


def test_days_are_those_of_the_portal_that_is_connected(tmp_path: Path) -> None:
    with connected(tmp_path / "work") as one:
        slug = one.slugs[0]
        zone = one.sandbox.portals[0].time_zone
        one.agency.client(slug).get("/crm/v3/objects/contacts")
        calls = one.agency.calls(slug)
        local = pl.col("ts").dt.convert_time_zone(zone).dt.date()
        assert calls.select((pl.col("day_local") == local).all()).collect().item()
        assert one.agency.calls().collect()["day_local"].null_count() < calls.collect().height + 9


READ_ONLY = """
import os, sys, warnings
from hsagency.agency import Agency
warnings.simplefilter("ignore")
with Agency.open(sys.argv[2]) as other:  # all modules are loaded while they can be
    other.calls("acme-corp").collect()
agency = Agency.open(sys.argv[1])
told = []
agency.writer.tell = told.append
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for _ in range(2):
    print(agency.calls("acme-corp").collect().height)
print(*told, sep="\\n")
"""


def test_who_may_not_write_reads_all_the_same_and_is_told_once(root: Path) -> None:
    other = shutil.copytree(root, root.with_name("other"))
    for path in (root, *root.rglob("*"), *root.parents[:3]):
        path.chmod(0o555 if path.is_dir() else 0o444)
    command = [sys.executable, "-c", READ_ONLY, str(root), str(other)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    first, second, *told = done.stdout.splitlines()
    assert (first, second) == ("30", "30")
    assert sum("could not be sealed" in one for one in told) == 1
    assert any(one.count("It is read where it is.") for one in told)
    assert len(journal(root)) == 3


def test_a_row_leads_to_its_record_in_the_evidence_and_in_the_journal(root: Path) -> None:
    code, out, _ = cli(root, "tail", SLUG, "-n", "30", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, len(rows)) == (0, 30)
    kept = sorted((root / "audit" / SLUG / "evidence").iterdir())
    assert [one.name[:10] for one in kept] == ["000-000001", "000-000002"]
    for row in (rows[0], rows[-1]):
        code, out, _ = cli(root, "show", SLUG, row["segment"], str(row["seq"]))
        record = json.loads(out)
        assert (code, record["event"], record["seq"]) == (0, "call.started", row["seq"])
        assert record["callId"] == row["callId"]
        assert len(record["hash"]) == 64
        code, out, _ = cli(root, "show", SLUG, row["segment"], str(row["seq"]), "--json")
        assert (code, json.loads(out)["record"]) == (0, record)
    for place in (("009-000001", "1"), ("../../etc/passwd", "1"), ("000-000001", "999")):
        code, out, err = cli(root, "show", SLUG, *place)
        assert (code, out) == (2, "")
        assert "Nothing was read." in err


def test_a_verdict_says_how_the_lake_is(root: Path) -> None:
    cli(root, "seal")
    assert "  lake      as sealed\n" in cli(root, "verify", SLUG)[1]
    (part,) = root.glob("audit/lake/*/month=*/*.parquet")
    part.write_bytes(b"x" * part.stat().st_size)
    assert (
        f"  lake      changed (missing or changed: month={part.parent.name[6:]}/"
        in (cli(root, "verify", SLUG)[1])
    )
    document = json.loads(cli(root, "verify", SLUG, "--json")[1])
    assert document["clients"][0]["lake"]["state"] == "changed"
    code, out, err = cli(root, "tail", SLUG, "-n", "30", "--json")
    assert (code, len(out.splitlines())) == (0, 30)
    assert f"The lake of {SLUG} was made anew from the evidence (missing or changed: " in err
    assert "  lake      as sealed\n" in cli(root, "verify", SLUG)[1]
