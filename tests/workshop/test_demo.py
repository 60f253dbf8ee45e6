"""The demo does the whole main job, twice the same, and leaves nothing else behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from hsagency import Agency
from hsagency.demo import CALLS, DAYS, run_demo, things_to_try, write_history
from hsagency.errors import UsageError, WorkspaceError
from hsagency.periods import Period
from hsagency.sandbox import Sandbox
from tests.commands import run_cli, running_cli
from tests.support import connected

TOKEN = re.compile(rb"pat-[a-z]{2}\d{1,3}-[0-9a-f]{8}-")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    said = []
    made = run_demo(tmp_path_factory.mktemp("demo") / "here", portals=12, say=said.append)
    return made, said


def test_both_bad_rows_are_named_with_line_and_cause(demo):
    _, said = demo
    told = "\n".join(said)
    assert "Onboarded 12 clients; 2 rows were refused" in told
    assert re.search(r"line 14: .*\(401\)", told)
    assert re.search(r"line 15: .*MISMATCH", told)


def test_real_calls_are_witnessed_and_history_is_simulated(demo):
    made, _ = demo
    with Agency.open(made.workspace) as agency:
        calls = agency.calls().collect()
    origins = dict(calls["origin"].value_counts().iter_rows())
    assert origins["simulated"] > 12 * (DAYS - 1)
    past = calls.filter(pl.col("origin") == "simulated")
    assert past["ts"].dt.date().max() < made.period.last <= calls["ts"].dt.date().max()
    assert past["ts"].dt.date().min() >= made.period.first
    real = calls.filter((calls["origin"] == "witnessed") & (calls["purpose"] == "demo"))
    assert real.height == CALLS
    assert set(real["outcome"]) == {"ok"}, "a demo stays below every burst limit"


def test_the_history_holds_what_an_agency_lives_through(demo):
    made, _ = demo
    with Agency.open(made.workspace) as agency:
        past = agency.calls().filter(pl.col("origin") == "simulated").collect()
    assert "unclassified" not in set(past["operation_class"])
    assert past["call_id"].is_unique().all()
    # A portal that ran out, an import that was too fast, and a search that was.
    assert {"DAILY", "TEN_SECONDLY_ROLLING", "SECONDLY"} <= set(past["policy_name"])
    # HubSpot in trouble, and a token that was revoked.
    assert {502, 504, 401, None} <= set(past["status_code"])
    unanswered = past.filter(pl.col("status_code").is_null())
    assert set(unanswered["outcome"]) == {"unknown"}
    assert set(unanswered["error"]) == {"ReadTimeout"}
    assert past["attempt"].max() > 1


def test_history_is_written_for_connected_portals_only(tmp_path):
    """A notebook wants sample data without the whole demo."""
    week = Period(date(2026, 10, 5), date(2026, 10, 11))
    with connected(tmp_path / "w", portals=2) as there:
        strangers = Sandbox(portals=4, seed=1).portals
        told = write_history(there.agency, (*there.sandbox.portals, *strangers), week)
        calls = there.agency.calls().filter(pl.col("origin") == "simulated").collect()
    assert calls.height == sum(1 for _ in told)
    assert set(calls["client_slug"]) == set(there.slugs)
    assert set(calls["ts"].dt.date()) <= {week.first + timedelta(days=n) for n in range(7)}


def test_a_history_that_is_written_twice_is_counted_once(tmp_path):
    week = Period(date(2026, 10, 5), date(2026, 10, 11))
    with connected(tmp_path / "w", portals=1) as there:
        told = [write_history(there.agency, there.sandbox.portals, week) for _ in range(2)][-1]
        calls = there.agency.calls().filter(pl.col("origin") == "simulated").collect()
    assert calls.height == sum(1 for _ in told)


def test_two_thousand_calls_stay_below_every_burst_limit(demo):
    made, _ = demo
    with Agency.open(made.workspace) as agency:
        calls = agency.calls().filter(pl.col("purpose") == "demo").collect()
        tiers = {slug: one.facts["tier"].value for slug, one in agency.connections().items()}
    assert calls.height == CALLS
    by_client = {
        slug: mine["ts"].sort().to_list() for (slug,), mine in calls.group_by("client_slug")
    }
    assert len({len(times) for times in by_client.values()}) > 6, "no two clients are alike"
    for slug, times in by_client.items():
        room = 100 if tiers[slug] == "starter" else 190
        for begins, next_begins in zip(times, times[room - 1 :], strict=False):
            assert next_begins - begins > timedelta(seconds=10)


def test_the_last_day_is_as_busy_with_other_apps_as_those_before_it(demo):
    made, _ = demo
    with Agency.open(made.workspace) as agency:
        calls = agency.calls().filter(pl.col("purpose") == "demo").collect()
    used = calls.select(
        "client_slug", used=pl.col("rate_limit_daily") - pl.col("rate_limit_remaining")
    )
    by_client = used.group_by("client_slug").max()["used"].drop_nulls()
    assert by_client.n_unique() == 12
    assert by_client.sum() > 50 * CALLS


def test_what_happened_is_told_and_called_simulated(demo):
    made, _ = demo
    page = made.index.read_text()
    assert "What happened (simulated)" in page
    told = re.findall(r"<tr><td>(\d{4}-\d\d-\d\d)</td><th>(.+?)</th><td>(.+?)</td></tr>", page)
    assert [day for day, _, _ in told] == sorted(day for day, _, _ in told)
    assert ("every client", "HubSpot answers 502 and 504, or not at all") in {
        (who, text) for _, who, text in told
    }
    for words in ("use up the day of", "is revoked, and replaced", "launches", "overnight"):
        assert any(words in text for _, _, text in told)


def test_its_sandbox_answers_again_as_it_says(demo, tmp_path):
    made, _ = demo
    assert f"hsagency sandbox {made.sandbox}" in made.index.read_text()
    args = ["sandbox", *made.sandbox.split()]
    with running_cli(args, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert b"12 simulated portals" in process.stdout.readline()
        done = run_cli(["verify", "--all", "--workspace", made.workspace])
    assert done.returncode == 0, done.stdout


def test_every_client_gets_its_reports_and_the_index_links_them_all(demo):
    made, _ = demo
    page = made.index.read_text()
    linked = re.findall(r'href="([^"]+)"', page)
    assert len(linked) == 12 * 3 + 1
    for link in linked:
        assert (made.index.parent / link).stat().st_size > 0
    assert "portal" in page, "portals are named beside their slugs"


def test_only_the_client_list_holds_tokens(demo):
    made, said = demo
    root = made.index.parent
    holding = [p.name for p in root.rglob("*") if p.is_file() and TOKEN.search(p.read_bytes())]
    assert holding == ["clients.csv"]
    assert not TOKEN.search("\n".join(said).encode())


def test_nothing_is_left_outside_the_folder(demo):
    assert not list(Path(os.environ["HOME"]).rglob("*.age-identity"))
    assert (demo[0].index.parent / "identity.txt").is_file()


def test_the_things_to_try_work(demo):
    made, _ = demo
    for thing in things_to_try(made):
        command = [sys.executable, "-m", "hsagency.cli", *thing.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_a_second_demo_gives_the_same_workspace_and_not_a_doubled_one(tmp_path):
    def counted(folder: Path) -> dict[str, int]:
        with Agency.open(folder) as agency:
            calls = agency.calls().collect()
        return dict(calls["client_slug"].value_counts().sort("client_slug").iter_rows())

    first = counted(run_demo(tmp_path / "d", portals=2, say=lambda _: None).workspace)
    second = counted(run_demo(tmp_path / "d", portals=2, say=lambda _: None).workspace)
    assert first == second


def test_a_folder_with_anything_else_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(WorkspaceError, match="not a demo"):
        run_demo(tmp_path, portals=1)
    assert [one.name for one in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("portals", [0, 101])
def test_a_demo_has_one_to_a_hundred_portals(tmp_path, portals):
    with pytest.raises(UsageError):
        run_demo(tmp_path / "d", portals=portals)
    assert not (tmp_path / "d").exists()
