"""One function over every portal: a row for each, and none of them stops or delays another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl

from hsagency.client import PortalClient
from hsagency.fleet import RESULTS
from hsagency.pacing import Budget
from hsagency.portals import ConnectionType, Stop
from hsagency.sandbox import Fault
from tests.fleet.jobs import CONTACTS, Watch, change, ids, outcomes, received, row
from tests.support import Connected


def test_every_portal_answers_for_itself(fleet: Connected) -> None:
    results = fleet.agency.map(lambda portal: portal.portal.portal_id)
    assert results["client_slug"].to_list() == sorted(fleet.slugs)
    assert results["value"].to_list() == results["portal_id"].to_list()
    assert set(results["outcome"]) == {"done"}
    assert {**results.schema, "value": pl.Null()} == {**RESULTS}


def test_a_row_says_how_many_attempts_were_made_and_how_long_it_took(fleet: Connected) -> None:
    def twice(portal: PortalClient) -> None:
        portal.get(CONTACTS)
        portal.get(CONTACTS)

    began = datetime.now(UTC)
    results = fleet.agency.map(twice, purpose="weekly review")
    assert results["calls"].to_list() == [2] * 6
    assert all(began <= at <= datetime.now(UTC) for at in results["started_at"])
    assert all(took >= 0 for took in results["duration_ms"])
    calls = fleet.agency.calls().filter(pl.col("purpose") == "weekly review").collect()
    assert calls.height == 12


def test_frames_of_every_portal_become_one(fleet: Connected) -> None:
    def names(portal: PortalClient) -> pl.DataFrame:
        return pl.DataFrame([one["properties"] for one in portal.get(CONTACTS).json()["results"]])

    results = fleet.agency.map(names).select("client_slug", "value")
    assert results.explode("value").unnest("value").height == 18


def test_what_is_yet_to_be_read_is_read_before_the_client_goes(fleet: Connected) -> None:
    def lazily(portal: PortalClient) -> Iterator[str]:
        yield from ids(portal)

    assert fleet.agency.map(lazily)["value"].list.len().to_list() == [3] * 6


def test_a_client_is_closed_when_its_job_is_done_and_the_channel_stays_open(
    fleet: Connected,
) -> None:
    kept: list[PortalClient] = []
    fleet.agency.map(kept.append)
    assert all(one.is_closed for one in kept)
    assert fleet.agency.client(fleet.slugs[0]).get(CONTACTS).is_success


def test_one_that_dies_starves_crawls_or_is_left_alone_costs_the_others_nothing(
    fleet: Connected,
) -> None:
    """The one that crawls answers last: what the others did, they did without it."""
    dead, starved, slow, stopped, config, well = fleet.slugs
    fleet.sandbox.faults.add(Fault(kind="drop_before", portal=dead, path="/crm"))
    fleet.sandbox.faults.add(Fault(kind="daily", portal=starved, path="/crm"))
    fleet.sandbox.faults.add(Fault(kind="latency", seconds=0.3, portal=slow, path="/crm"))
    change(fleet, stopped, stopped=Stop(reason="It answered 401.", at=datetime.now(UTC)))
    change(fleet, config, connection_type=ConnectionType.CONFIG_ONLY)
    ended: list[str] = []
    others = threading.Semaphore(0)

    def job(portal: PortalClient) -> int:
        slug = portal.portal.client_slug
        try:
            found = ids(portal)
            if slug == slow:
                for _ in (dead, starved, well):
                    assert others.acquire(timeout=60)
            return len(found)
        finally:
            ended.append(slug)
            others.release()

    results = fleet.agency.map(job, audit=True)
    assert outcomes(results) == {
        dead: "failed",
        starved: "failed",
        slow: "done",
        stopped: "excluded",
        config: "excluded",
        well: "done",
    }
    assert ended[-1] == slow
    assert sorted(ended) == sorted([dead, starved, slow, well])
    assert row(results, starved)["status_code"] == 429
    assert row(results, starved)["correlation_id"] is not None
    assert row(results, stopped)["reasons"] == ["stopped"]
    assert row(results, config)["reasons"] == ["connection type"]
    assert received(fleet, stopped) == received(fleet, config) == []
    assert received(fleet, starved) == [CONTACTS]


def test_a_portal_that_waits_gives_its_place_to_the_next(fleet: Connected) -> None:
    """There is one place, and the first portal to have it waits until the others are done."""
    first, *others = fleet.slugs
    fleet.sandbox.faults.add(
        Fault(kind="status", status=429, policy="NOVEL", retry_after=50, portal=first, path="/crm")
    )
    cancel, done = threading.Event(), list[str]()

    def job(portal: PortalClient) -> int:
        found = ids(portal)
        done.append(portal.portal.client_slug)
        if len(done) == len(others):
            cancel.set()  # the one that waits would go on waiting for most of a minute
        return len(found)

    watch = Watch()
    results = fleet.agency.map(job, workers=1, cancel=cancel, progress=watch)
    assert sorted(done) == sorted(others)
    assert row(results, first)["outcome"] == "cancelled"
    assert row(results, first)["error"] == "Cancelled"
    assert len(watch.bars) == 1
    assert any(first in note for note in watch.notes)


def test_a_portal_that_waits_its_turn_is_shown_and_sends_nothing_once_cancelled(
    fleet: Connected,
) -> None:
    first, *others = fleet.slugs
    pacer = fleet.agency.pacing.of(fleet.agency.connection(first))
    pacer.back_off(Budget.BURST, 50)
    cancel, done, watch = threading.Event(), list[str](), Watch()

    def job(portal: PortalClient) -> int:
        found = ids(portal)
        done.append(portal.portal.client_slug)
        if len(done) == len(others):
            cancel.set()
        return len(found)

    results = fleet.agency.map(job, workers=1, cancel=cancel, progress=watch)
    assert row(results, first)["outcome"] == "cancelled"
    assert row(results, first)["calls"] == 0
    assert row(results, first)["reasons"] == ["cancelled"]
    assert received(fleet, first) == []
    assert f"{first} waits its turn (burst limit)" in watch.notes
    assert {row(results, slug)["outcome"] for slug in others} == {"done"}
    assert {row(results, slug)["waited_ms"] for slug in others} == {0}


def test_where_no_thread_is_to_be_had_every_portal_says_so(fleet: Connected) -> None:
    before = threading.stack_size(1 << 46)  # more than any machine has
    try:
        results = fleet.agency.map(ids)
    finally:
        threading.stack_size(before)
    assert set(results["error"]) == {"RuntimeError"}
    assert all("thread" in said for said in results["message"])


def test_as_many_as_there_are_workers_are_at_work_at_once_and_no_more(fleet: Connected) -> None:
    at_work, most, pairs = list[int](), list[int](), threading.Barrier(2)

    def job(_: PortalClient) -> None:
        at_work.append(1)
        pairs.wait(timeout=60)
        most.append(len(at_work))
        pairs.wait(timeout=60)
        at_work.pop()

    assert set(fleet.agency.map(job, workers=2)["outcome"]) == {"done"}
    assert max(most) == 2


def test_all_portals_are_at_work_at_once_unless_told_otherwise(fleet: Connected) -> None:
    everyone = threading.Barrier(6)
    results = fleet.agency.map(lambda _: everyone.wait(timeout=60))
    assert sorted(results["value"]) == list(range(6))


def test_the_bar_counts_every_portal_that_takes_part(fleet: Connected) -> None:
    watch, dead = Watch(), fleet.slugs[0]
    fleet.sandbox.faults.add(Fault(kind="status", status=404, portal=dead, path="/crm"))
    stop = Stop(reason="It answered 401.", at=datetime.now(UTC), status_code=401)
    change(fleet, fleet.slugs[1], stopped=stop)
    fleet.agency.map(ids, progress=watch)
    assert watch.bars == [("portals", 5)]
    assert watch.done == 5
    assert watch.notes[-1] == "1 failed"


def test_a_portal_without_a_fresh_proof_is_proven_by_its_own_job(fleet: Connected) -> None:
    slug = fleet.slugs[0]
    stored = fleet.agency.connection(slug)
    assert stored.proof is not None
    change(fleet, slug, proof=None)
    fleet.sandbox.faults.add(Fault(kind="status", status=401, portal=slug))
    results = fleet.agency.map(ids)
    assert row(results, slug)["error"] == "CredentialRejected"
    assert results["outcome"].to_list().count("done") == 5
    old = datetime.now(UTC) - timedelta(days=2)
    assert fleet.agency.connection(fleet.slugs[1]).proof.at > old
