"""One function over every portal: a row for each, and none of them stops or delays another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import polars as pl
import pytest

from hsagency.client import PortalClient
from hsagency.errors import Halted, UnknownClient, UsageError
from hsagency.fleet import RESULTS
from hsagency.pacing import Budget
from hsagency.portals import ClientSlug, Connection, ConnectionType, Stop
from hsagency.sandbox import Fault
from tests.support import TOKEN, Connected, needles

CONTACTS = "/crm/v3/objects/contacts"


def ids(portal: PortalClient) -> list[str]:
    return [one["id"] for one in portal.get(CONTACTS).json()["results"]]


def row(results: pl.DataFrame, slug: str) -> dict[str, object]:
    return results.row(by_predicate=pl.col("client_slug") == slug, named=True)


def outcomes(results: pl.DataFrame) -> dict[str, str]:
    return dict(results.select("client_slug", "outcome").iter_rows())


def change(fleet: Connected, slug: str, **fields: object) -> None:
    fleet.agency.index.update(ClientSlug(slug), generation=1, **fields)


def received(fleet: Connected, slug: str) -> list[str]:
    """Return the paths that a portal was asked for, but for who it is."""
    (portal,) = (one for one in fleet.sandbox.portals if one.client_slug == slug)
    asked = [one.path for one in fleet.sandbox.ledger(portal.portal_id)]
    return [path for path in asked if path.startswith("/crm")]


class Watch:
    """Shows nothing, and remembers what it was told."""

    def __init__(self) -> None:
        self.bars: list[tuple[str, int]] = []
        self.done, self.notes = 0, list[str]()

    def __call__(self, what: str, total: int) -> Watch:
        self.bars.append((what, total))
        return self

    def __enter__(self) -> Callable[..., None]:
        return self.step

    def __exit__(self, *_: object) -> None:
        return

    def step(self, done: int, /, note: str = "") -> None:
        self.done += done
        self.notes.append(note)


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


def raising(error: BaseException) -> Callable[[PortalClient], object]:
    def job(_: PortalClient) -> object:
        raise error

    return job


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), Exception()]
)
def test_whatever_a_function_raises_is_the_row_of_that_portal_alone(
    fleet: Connected, error: BaseException
) -> None:
    dead = fleet.slugs[2]

    def job(portal: PortalClient) -> int:
        if portal.portal.client_slug == dead:
            raise error
        return 1

    results = fleet.agency.map(job)
    assert row(results, dead)["error"] == type(error).__name__
    assert row(results, dead)["message"] == (str(error) or None)
    assert results["outcome"].to_list().count("done") == 5


def test_no_secret_and_no_address_shows_in_the_message_of_a_function(fleet: Connected) -> None:
    (portal,) = (one for one in fleet.sandbox.portals if one.client_slug == fleet.slugs[0])
    told = (
        f"failed with {portal.token} and {TOKEN.removeprefix('pat-na1-')}\n"
        "for jane.doe@example.com (or jane%40example.com, +49 170 1234567) "
        "at https://api.hubapi.com/crm?q=doe"
    )
    said = fleet.agency.map(raising(RuntimeError(told)))["message"][0]
    for token in (portal.token, TOKEN):
        assert not any(needle.decode() in said for needle in needles(token))
    assert said == "failed with … and … for … (or …, …) at …"


def test_an_error_that_cannot_be_told_is_a_row_all_the_same(fleet: Connected) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    results = fleet.agency.map(raising(Mute()))
    assert set(results["error"]) == {"Mute"}
    assert results["message"].to_list() == [None] * 6


def test_the_status_of_an_answer_stands_in_the_row_of_its_error(fleet: Connected) -> None:
    def job(portal: PortalClient) -> None:
        answer = httpx.Response(
            404,
            headers={"X-HubSpot-Correlation-Id": "abc-1"},
            request=httpx.Request("GET", "https://api.hubapi.com/jane@example.com"),
        )
        answer.raise_for_status()
        portal.get(CONTACTS)

    results = fleet.agency.map(job)
    assert set(results["status_code"]) == {404}
    assert set(results["correlation_id"]) == {"abc-1"}
    assert "jane" not in "".join(results["message"])


def test_some_clients_are_named_by_slug_or_by_a_question(fleet: Connected) -> None:
    two = fleet.slugs[:2]
    named = fleet.agency.map(lambda _: 1, clients=[*two, two[0]])
    assert named["client_slug"].to_list() == sorted(two)
    assert fleet.agency.map(lambda _: 1, clients=two[0])["client_slug"].to_list() == [two[0]]

    def asked(connection: Connection) -> bool:
        return connection.client_slug in two

    assert fleet.agency.map(lambda _: 1, clients=asked).height == 2


def test_nobody_is_a_frame_without_rows(fleet: Connected) -> None:
    results = fleet.agency.map(lambda _: 1, clients=[])
    assert results.height == 0
    assert results.schema == {**RESULTS}


def test_an_unknown_client_is_named_before_anything_is_sent(fleet: Connected) -> None:
    one = fleet.slugs[0]
    with pytest.raises(UnknownClient) as refused:
        fleet.agency.map(ids, clients=[one, f"{one}x", TOKEN])
    assert one in refused.value.hint
    assert f"{one}x" in refused.value.message
    assert TOKEN not in str(refused.value)
    assert received(fleet, one) == []


@pytest.mark.parametrize(("options"), [{"workers": 0}, {"purpose": "é" * 65}])
def test_a_job_that_makes_no_sense_is_refused_before_anything_is_sent(
    fleet: Connected, options: dict[str, object]
) -> None:
    with pytest.raises(UsageError, match="Nothing was sent"):
        fleet.agency.map(ids, **options)
    assert received(fleet, fleet.slugs[0]) == []


def test_every_reason_to_leave_a_portal_alone_is_told(fleet: Connected) -> None:
    slug = fleet.slugs[0]
    change(
        fleet,
        slug,
        stopped=Stop(reason="It answered 401.", at=datetime.now(UTC), status_code=401),
        connection_type=ConnectionType.CONFIG_ONLY,
    )
    left = row(fleet.agency.map(ids, clients=slug, audit=True), slug)
    assert left["outcome"] == "excluded"
    assert left["reasons"] == ["stopped", "connection type"]
    assert left["status_code"] == 401
    assert left["calls"] is left["started_at"] is left["error"] is None
    assert str(left["message"]).endswith("Nothing was sent.")
    assert slug in str(left["hint"])
    assert received(fleet, slug) == []


def test_a_config_only_portal_takes_part_in_what_is_no_audit(fleet: Connected) -> None:
    slug = fleet.slugs[0]
    change(fleet, slug, connection_type=ConnectionType.CONFIG_ONLY)
    results = fleet.agency.map(lambda portal: portal.get("/crm/v3/properties/contacts").status_code)
    assert set(results["value"]) == {200}


def test_a_halted_fleet_is_not_called(fleet: Connected) -> None:
    fleet.agency.halt.set("a test.", at=datetime.now(UTC))
    with pytest.raises(Halted):
        fleet.agency.map(ids)
    assert received(fleet, fleet.slugs[0]) == []


def test_a_halt_ends_what_is_left_of_a_job(fleet: Connected) -> None:
    def job(portal: PortalClient) -> int:
        found = len(ids(portal))
        fleet.agency.halt.set("a test.", at=datetime.now(UTC))
        return found

    results = fleet.agency.map(job, workers=1)
    first, *others = results.iter_rows(named=True)
    assert first["outcome"] == "done"
    assert {one["error"] for one in others} == {"Halted"}
    assert {tuple(one["reasons"]) for one in others} == {("halted",)}
    assert all("a test." in one["message"] for one in others)


def test_what_is_cancelled_before_it_begins_is_never_begun(fleet: Connected) -> None:
    cancel = threading.Event()
    cancel.set()
    results = fleet.agency.map(ids, cancel=cancel)
    assert set(results["outcome"]) == {"cancelled"}
    assert results["calls"].to_list() == [None] * 6
    assert received(fleet, fleet.slugs[0]) == []


def test_what_is_in_flight_when_a_job_is_cancelled_ends_and_the_rest_is_not_begun(
    fleet: Connected,
) -> None:
    cancel = threading.Event()

    def job(portal: PortalClient) -> int:
        cancel.set()
        return len(ids(portal))

    results = fleet.agency.map(job, workers=1, cancel=cancel)
    assert results["outcome"].to_list() == ["done", *["cancelled"] * 5]
    assert not any(received(fleet, slug) for slug in results["client_slug"][1:])


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
