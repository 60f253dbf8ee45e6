"""What the log has of a portal's calls, beside what the sandbox's HubSpot counted."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import orjson
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hsagency import completeness
from hsagency.agency import Agency
from hsagency.audit import lake
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.lake.sealing import seal
from hsagency.audit.record import Author, timestamp
from hsagency.client import Channel, PortalClient
from hsagency.completeness import DAYS, STRETCHES, Known, Loss, Sample
from hsagency.errors import UnknownClient, UsageError
from hsagency.halt import Halt
from hsagency.index import Index
from hsagency.periods import as_day
from hsagency.portals import (
    ClientSlug,
    Connection,
    ConnectionType,
    CredentialKind,
    PortalId,
)
from hsagency.sandbox import Clock, Fault, Sandbox
from hsagency.secret import Secret
from hsagency.settings import FILE
from hsagency.transport import Binding
from tests.support import connected, once

SLUG = "acme-corp"
ZONE = "US/Eastern"
NOON = datetime(2026, 10, 14, 16, tzinfo=UTC)  # in New York
CONTACTS = "/crm/objects/2026-09/contacts"
SEARCH = f"{CONTACTS}/search"
USAGE = "/account-info/2026-09/api-usage/daily/private-apps"


@dataclass
class Office:
    """One portal of a sandbox in this process, and a log of the calls made there."""

    sandbox: Sandbox
    clock: Clock
    writer: AuditWriter
    folder: Path
    stack: ExitStack

    def client(self, token: str | None = None) -> PortalClient:
        secret = Secret(token or self.sandbox.portal(SLUG).token)
        way = Channel(
            host=httpx.URL("https://api.hubapi.com"),
            credential=lambda: secret,
            writer=self.writer,
            halt=Halt(self.folder / "halt.json"),
            wire=self.sandbox.transport(),
        )
        self.stack.callback(way.close)
        binding = Binding(
            client_slug=ClientSlug(SLUG),
            portal_id=PortalId(self.sandbox.portal(SLUG).portal_id),
            connection_type=ConnectionType.CONFIG_AND_AUDIT,
            host=way.host,
            fingerprint=secret.fingerprint,
            generation=1,
            purpose="interactive",
        )
        return self.stack.enter_context(once(way.client(binding=binding)))

    def calls(self) -> pl.LazyFrame:
        return lake.read(self.writer.folder, [SLUG]).calls

    def known(self, **more: Any) -> Known:
        portal = self.sandbox.portal(SLUG)
        return Known(slug=SLUG, portal_id=portal.portal_id, **{"zone": portal.time_zone, **more})

    def days(self, **more: Any) -> list[dict[str, Any]]:
        return list(completeness.days(self.calls(), self.known(**more)).iter_rows(named=True))

    def day(self, **more: Any) -> dict[str, Any]:
        (row,) = self.days(**more)
        return row

    def received(self) -> int:
        """How many calls the portal counted for its day, by its own ledger."""
        return sum(
            entry.status is not None and entry.status not in (401, 429)
            for entry in self.sandbox.ledger(SLUG)
        )


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with office_at(tmp_path, NOON) as one:
        yield one


class office_at(ExitStack):  # noqa: N801  (it is used as a function)
    """Open an office at a time by the sandbox's clock, which the writer goes by too."""

    def __init__(self, folder: Path, at: datetime) -> None:
        super().__init__()
        self._folder, self._at = folder, at

    def __enter__(self) -> Office:  # type: ignore[override]
        super().__enter__()
        clock = Clock(self._at)
        sandbox = Sandbox(portals=1, contacts=5, clock=clock)
        sandbox.alter(SLUG, time_zone=ZONE)
        author = Author(actor="tests/1", user="tester", host="here", run_id="0" * 16)
        folder = self._folder / "audit"
        writer = self.enter_context(AuditWriter(folder, author=author, now=clock.now))
        return Office(sandbox, clock, writer, self._folder, self)


def ask(client: PortalClient, clock: Clock, *, times: int = 1, path: str = CONTACTS) -> None:
    for _ in range(times):
        client.get(path, params={"limit": 1})
        clock.advance(1)


def test_a_log_of_all_calls_is_complete_call_by_call(office: Office) -> None:
    client = office.client()
    for number in range(1, 31):
        ask(client, office.clock, path=CONTACTS if number % 3 else f"{CONTACTS}/99999999")
        row = office.day()
        counts = row["theirs"], row["ours_least"], row["ours_most"], office.received()
        assert counts == (number,) * 4
        assert (row["verdict"], row["source"], row["difference"]) == ("complete", "headers", 0)
    assert row["day"] == date(2026, 10, 14)
    assert row["day_of"] == ZONE
    assert row["first_told"] < row["as_of"] < office.clock.now()
    assert "12:00:29" in row["reason"]  # by the portal's clock


def test_calls_of_other_apps_are_the_difference_and_nobody_is_accused(office: Office) -> None:
    office.sandbox.others(SLUG, calls_per_day=50_000, shape="flat")
    ask(office.client(), office.clock, times=20)
    office.clock.advance(3600)
    ask(office.client(), office.clock, times=5)
    office.clock.advance(-1)  # when the last answer was given
    row, theirs = office.day(), office.sandbox.usage(SLUG).theirs
    assert theirs > 20_000
    assert (row["ours_least"], row["ours_most"]) == (25, 25)
    assert row["difference"] == row["lacking"] == theirs
    assert row["verdict"] == "not comparable"
    assert "other apps of the client share that count" in row["reason"]
    found = completeness.stretches(office.calls(), office.known())
    assert found["lacking"].sum() == theirs
    longest = found.filter(pl.col("since").is_not_null()).sort("lacking").row(-1, named=True)
    assert longest["until"] - longest["since"] > timedelta(seconds=3600)
    assert found.row(0, named=True)["since"] is None
    assert found.row(0, named=True)["lacking"] == row["lacking_before_first"]


def test_others_where_the_workspace_says_that_there_are_none_make_it_incomplete(
    office: Office,
) -> None:
    ask(office.client(), office.clock, times=4)
    office.sandbox.spend(SLUG, 3)
    ask(office.client(), office.clock)
    row = office.day(only_us=True)
    assert (row["verdict"], row["difference"], row["lacking_before_first"]) == ("incomplete", 3, 0)
    assert "3 calls more" in row["reason"]
    (stretch,) = completeness.stretches(office.calls(), office.known()).iter_rows(named=True)
    assert (stretch["theirs"], stretch["lacking"]) == (4, 3)


@pytest.mark.parametrize("kind", ["drop_before", "reset_before", "drop_after", "reset_after"])
def test_a_lost_answer_makes_a_range_that_holds_the_count_either_way(
    office: Office, kind: str
) -> None:
    client = office.client()
    ask(client, office.clock, times=3)
    office.sandbox.faults.add(Fault(kind, times=2))
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            client.get(CONTACTS)
        office.clock.advance(1)
    ask(client, office.clock)
    row = office.day()
    assert (row["ours_least"], row["ours_most"]) == (4, 6)
    assert row["theirs"] == (4 if kind.endswith("before") else 6) == office.received()
    assert row["verdict"] == "complete"
    office.sandbox.spend(SLUG, 3)
    ask(client, office.clock)
    assert office.day(only_us=True)["difference"] == (1 if kind.endswith("before") else 3)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("burst", times=3),
        Fault("daily", times=3),
        Fault("status", status=503, times=3),
        Fault("status", status=401, times=3),
        Fault("status", status=502, effect=True, times=3),
        Fault("headers", oddity="no_limits", times=3),
        Fault("headers", oddity="negative", times=3),
        Fault("headers", oddity="not_a_number", times=3),
        Fault("headers", oddity="duplicate", times=3),
        Fault("headers", oddity="very_long", times=3),
        Fault("redirect", status=302, location="https://example.com/", times=3),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status or fault.oddity}",
)
def test_no_fault_makes_a_whole_log_look_as_if_it_lacked_a_call(
    office: Office, fault: Fault
) -> None:
    client = office.client()
    ask(client, office.clock, times=2)
    office.sandbox.faults.add(fault)
    ask(client, office.clock, times=5)
    row = office.day(only_us=True)
    assert row["lacking"] == 0
    assert row["ours_most"] == 7
    assert row["theirs"] == office.sandbox.usage(SLUG).ours
    # that a redirect was not counted is the sandbox's own idea
    less = fault.kind == "redirect"
    assert row["verdict"] == ("not comparable" if less else "complete")
    assert row["difference"] == (-3 if less else 0)


def test_a_count_that_lags_behind_is_not_comparable_until_it_has_caught_up(office: Office) -> None:
    ask(office.client(), office.clock, times=6)
    left = pl.col("rate_limit_daily") - pl.col("ts").rank().clip(upper_bound=4).cast(pl.Int64)
    behind = office.calls().with_columns(left.alias("rate_limit_remaining"))
    row = completeness.days(behind, office.known(only_us=True)).row(0, named=True)
    assert (row["theirs"], row["ours_least"], row["ours_most"]) == (4, 6, 6)
    assert (row["verdict"], row["difference"], row["lacking"]) == ("not comparable", -2, 0)
    assert "its count lags behind" in row["reason"]


def test_calls_that_never_arrived_do_not_make_up_for_those_of_others(office: Office) -> None:
    client = office.client()
    office.sandbox.spend(SLUG, 3)
    ask(client, office.clock)
    office.sandbox.faults.add(Fault("drop_before", times=5))
    for _ in range(5):
        with pytest.raises(httpx.TransportError):
            client.get(CONTACTS)
        office.clock.advance(1)
    ask(client, office.clock)
    row = office.day(only_us=True)
    assert (row["theirs"], row["ours_least"], row["ours_most"]) == (5, 2, 7)
    assert (row["difference"], row["lacking"], row["verdict"]) == (0, 3, "incomplete")
    assert "this log has 2 to 7: but earlier that day at least 3 calls more" in row["reason"]
    assert completeness.stretches(office.calls(), office.known())["lacking"].to_list() == [3]


def test_a_header_that_later_ones_contradict_accuses_nobody(office: Office) -> None:
    client = office.client()
    ask(client, office.clock, times=3)
    calls = office.calls().with_columns(
        pl.when(pl.col("ts").rank() == 2)
        .then(5)
        .otherwise("rate_limit_remaining")
        .alias("rate_limit_remaining")
    )
    row = completeness.days(calls, office.known(only_us=True)).row(0, named=True)
    assert row["lacking"] > 0
    assert row["verdict"] == "not comparable"
    assert row["reason"].endswith(", and later that day it told of fewer itself.")
    # ours until then cannot be told, since answers have no order that HubSpot's count agrees with
    assert (row["ours_least"], row["ours_most"], row["difference"]) == (None, None, None)


def test_searches_are_sure_only_where_their_answers_told_of_the_day(office: Office) -> None:
    client = office.client()
    for number in range(4):
        client.post(SEARCH, json={})
        office.clock.advance(1)
        if number == 1:
            office.sandbox.alter(SLUG, search_headers=True)
    row = office.day()
    assert (row["ours_least"], row["ours_most"], row["theirs"]) == (2, 4, 4)
    assert row["verdict"] == "complete"


def test_what_was_refused_here_was_never_counted(office: Office) -> None:
    client = office.client()
    ask(client, office.clock, times=2)
    Halt(office.folder / "halt.json").set("a test", at=office.clock.now())
    with pytest.raises(Exception, match="halted"):
        client.get(CONTACTS)
    row = office.day()
    assert (row["calls"], row["ours_most"], row["verdict"]) == (2, 2, "complete")


def test_without_calls_there_is_nothing_to_compare(office: Office) -> None:
    assert office.days() == []
    assert completeness.verdict(completeness.days(office.calls(), office.known())) == (
        "not comparable"
    )


def test_an_oauth_portal_is_not_comparable(office: Office) -> None:
    app = office.sandbox.register_app("Ours", redirect_uris=["https://example.com/"])
    tokens = office.sandbox.install(app, SLUG)
    ask(office.client(tokens.access_token), office.clock, times=3, path="/account-info/v3/details")
    row = office.day()
    assert (row["source"], row["theirs"], row["difference"]) == ("none", None, None)
    assert (row["verdict"], row["calls"]) == ("not comparable", 3)
    assert "OAuth" in row["reason"]


def test_without_the_time_zone_days_are_utc_s_and_not_comparable(office: Office) -> None:
    ask(office.client(), office.clock, times=3)
    row = office.day(zone=None)
    assert (row["day_of"], row["verdict"]) == ("UTC", "not comparable")
    assert "time zone is not known" in row["reason"]


def test_what_is_known_to_be_lost_makes_it_incomplete_whatever_hubspot_says(
    office: Office,
) -> None:
    ask(office.client(), office.clock, times=3)
    near = Loss(what="a torn line.", since=NOON - timedelta(days=1), until=NOON)
    assert office.day(losses=[near])["verdict"] == "incomplete"
    assert "a torn line." in office.day(losses=[near])["reason"]
    far = Loss(what="a torn line.", until=NOON - timedelta(days=2))
    assert office.day(losses=[far])["verdict"] == "complete"
    assert office.day(losses=[Loss(what="a segment.")])["verdict"] == "incomplete"


def test_a_day_of_which_records_were_removed_or_the_clock_was_wrong_is_not_comparable(
    office: Office,
) -> None:
    ask(office.client(), office.clock, times=3)
    removed = Loss(what="000-000001", since=NOON - timedelta(days=5), until=NOON)
    row = office.day(removed=[removed])
    assert (row["verdict"], "retention" in row["reason"]) == ("not comparable", True)
    row = office.day(clocks=[NOON])
    assert (row["verdict"], "clock" in row["reason"]) == ("not comparable", True)
    assert office.day(clocks=[NOON - timedelta(days=1)])["verdict"] == "complete"


@pytest.mark.parametrize(
    ("evening", "offset"),
    [
        (datetime(2026, 10, 31, 23, 30, tzinfo=ZoneInfo(ZONE)), -4),  # the day after has 25 hours
        (datetime(2026, 11, 1, 23, 30, tzinfo=ZoneInfo(ZONE)), -5),
        (datetime(2027, 3, 13, 23, 30, tzinfo=ZoneInfo(ZONE)), -5),  # the day after has 23
        (datetime(2027, 3, 14, 23, 30, tzinfo=ZoneInfo(ZONE)), -4),
    ],
)
def test_days_begin_at_the_portal_s_midnight_whatever_its_clocks_do(
    tmp_path: Path, evening: datetime, offset: int
) -> None:
    assert evening.utcoffset() == timedelta(hours=offset)
    with office_at(tmp_path, evening.astimezone(UTC)) as office:
        client = office.client()
        for hours in (0, 1, 1, 12, 11):  # 23:30, then three times the next day, then at its end
            office.clock.advance(hours * 3600)
            ask(client, office.clock, times=5)
        rows = office.days(only_us=True)
        counted: dict[date, int] = {}
        for entry in office.sandbox.ledger(SLUG):
            day = entry.at.astimezone(ZoneInfo(ZONE)).date()
            counted[day] = counted.get(day, 0) + 1
        assert {row["day"]: row["theirs"] for row in rows} == counted
        assert len(rows) in (2, 3)
        assert {row["verdict"] for row in rows} == {"complete"}
        assert all(row["ours_least"] == row["ours_most"] == row["theirs"] for row in rows)


def test_what_is_on_its_way_at_midnight_may_be_of_either_day(tmp_path: Path) -> None:
    late = datetime(2026, 10, 14, 23, 59, 30, tzinfo=ZoneInfo(ZONE)).astimezone(UTC)
    with office_at(tmp_path, late - timedelta(hours=1)) as office:
        client = office.client()
        ask(client, office.clock, times=3)
        office.clock.set(late)
        ask(client, office.clock, times=2)
        office.clock.advance(40)
        ask(client, office.clock, times=2)
        office.clock.advance(3600)
        ask(client, office.clock, times=3)
        before, after = office.days(only_us=True)
    assert (before["theirs"], before["ours_least"], before["ours_most"]) == (3, 3, 3)
    # two of the evening and two of the night may be of this day; two were
    assert (after["theirs"], after["ours_least"], after["ours_most"]) == (5, 3, 7)
    assert (before["verdict"], after["verdict"]) == ("complete", "complete")
    assert (before["calls"], after["calls"]) == (5, 5)


def test_threads_that_call_side_by_side_are_put_into_hubspot_s_order(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with connected(tmp_path / "workspace") as one:
        slug = one.slugs[0]
        client = one.agency.client(slug)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: client.get(CONTACTS).status_code, range(90)))
        found = one.agency.compare(slug)
        received = sum(entry.status != 429 for entry in one.sandbox.ledger(slug))
    row = found.days.row(0, named=True)
    assert answers.count(200) > 50
    assert (row["lacking"], row["difference"], row["verdict"]) == (0, 0, "complete")
    assert row["ours_least"] <= row["theirs"] <= row["ours_most"]
    assert row["theirs"] == received - 1  # introspection is no call of the portal's day


def test_a_search_begun_before_an_answer_came_may_be_in_its_count() -> None:
    usual = {"client_slug": SLUG, "outcome": "ok", "status_code": 200, "origin": "witnessed"}
    answer = {"duration_ms": 2000, "rate_limit_daily": 9, "rate_limit_remaining": 7, "ts": NOON}
    for seconds, verdict in [(-5, "complete"), (1, "complete"), (3, "not comparable")]:
        search = {"path": SEARCH, "duration_ms": 10, "ts": NOON + timedelta(seconds=seconds)}
        rows = [{**usual, "path": CONTACTS, **answer}, {**usual, **search}]
        calls = pl.LazyFrame(rows, schema=lake.CALLS)
        found = completeness.days(calls, Known(slug=SLUG, zone=ZONE))
        assert found["verdict"].to_list() == [verdict]


def kind_of(agency: Agency, slug: str, kind: str) -> None:
    def change(connections: dict[ClientSlug, Connection]) -> None:
        one = connections[ClientSlug(slug)]
        connections[ClientSlug(slug)] = replace(one, kind=CredentialKind(kind))

    index: Index = agency.index
    index.write(change)


def usage_row(agency: Agency, slug: str) -> dict[str, Any]:
    found = agency.completeness(slug).filter(pl.col("source") == "usage endpoint")
    assert found.height == 1
    return found.row(0, named=True)


def test_a_sample_of_the_usage_endpoint_equals_our_calls_of_a_private_app(tmp_path: Path) -> None:
    with connected(tmp_path / "workspace") as one:
        slug = one.slugs[0]
        assert one.sandbox.portal(slug).kind == "private_app"
        kind_of(one.agency, slug, "private_app")
        for _ in range(7):
            one.agency.client(slug).get(CONTACTS)
        usage = one.agency.ask_usage(slug)
        assert usage is not None
        counted = one.sandbox.usage(slug).ours
        row = usage_row(one.agency, slug)
        assert row["theirs"] == usage.used == counted
        assert row["ours_most"] == counted + 1  # introspection may have been counted
        assert (row["verdict"], row["difference"]) == ("complete", 0)
        one.agency.client(slug).get(CONTACTS)
        assert usage_row(one.agency, slug)["ours_most"] == counted + 1  # until it was told
        one.sandbox.spend(slug, 5)
        one.agency.ask_usage(slug)
        row = usage_row(one.agency, slug)
        assert (row["verdict"], row["theirs"]) == ("not comparable", counted + 7)
        stored = one.agency.activity(slug).filter(pl.col("event") == "audit.usage")
        assert stored.height == 2
        asked = one.agency.calls(slug).filter(pl.col("purpose") == "completeness").collect()
        assert asked.height == 2


def test_the_usage_endpoint_does_not_count_service_keys_nor_what_nobody_declared(
    tmp_path: Path,
) -> None:
    sandbox = Sandbox(portals=2, contacts=2)
    (slug,) = (one.client_slug for one in sandbox.portals if one.kind == "service_key")
    with connected(tmp_path / "workspace", sandbox=sandbox) as one:
        for kind, word in [
            ("service_key", "service key"),
            ("static", "nobody declared"),
            ("static_app", "static app"),
            ("oauth", "OAuth"),
        ]:
            kind_of(one.agency, slug, kind)
            one.agency.client(slug).get(CONTACTS)
            usage = one.agency.ask_usage(slug)
            assert usage is not None
            assert usage.used == 0
            row = usage_row(one.agency, slug)
            assert (row["verdict"], row["ours_most"]) == ("not comparable", None)
            assert word in row["reason"]


@pytest.mark.parametrize("status", ["FAILURE", "NOTFOUND", "TIMEOUT"])
def test_an_answer_of_the_usage_endpoint_that_failed_is_not_believed(
    tmp_path: Path, status: str
) -> None:
    with connected(tmp_path / "workspace") as one:
        slug = one.slugs[0]
        one.sandbox.alter(slug, usage_status=status)
        assert one.agency.ask_usage(slug) is None
        assert "audit.usage" not in one.agency.activity(slug)["event"].to_list()
        assert set(one.agency.completeness(slug)["source"]) == {"headers"}


def test_an_old_count_of_the_usage_endpoint_is_compared_with_the_calls_until_then(
    office: Office,
) -> None:
    client = office.client()
    ask(client, office.clock, times=4)
    fingerprint = Secret(office.sandbox.portal(SLUG).token).fingerprint
    counted = Sample(
        at=office.clock.now() + timedelta(hours=1),
        collected_at=office.clock.now() + timedelta(minutes=3),
        used=4,
        kind="private_app",
        fingerprint=fingerprint,
    )
    office.clock.advance(1800)
    ask(client, office.clock, times=3)
    given = {"samples": [counted], "kinds": {fingerprint: "private_app"}}
    _, row = office.days(**given)
    assert (row["ours_least"], row["ours_most"], row["theirs"]) == (4, 4, 4)
    assert row["verdict"] == "complete"
    given["samples"] = [replace(counted, used=5)]
    _, row = office.days(**given, only_us=True)
    assert (row["verdict"], row["difference"]) == ("incomplete", 1)
    given["samples"] = [replace(counted, used=3)]
    _, row = office.days(**given, only_us=True)
    assert (row["verdict"], row["difference"]) == ("not comparable", -1)


def test_a_count_of_private_apps_says_nothing_of_a_day_with_other_credentials(
    office: Office,
) -> None:
    key = office.sandbox.issue(SLUG, kind="service_key")
    app = office.sandbox.portal(SLUG).credentials[0]
    ask(office.client(app.token), office.clock, times=2)
    ask(office.client(key.token), office.clock, times=2)
    prints = {Secret(one.token).fingerprint: one.kind for one in (app, key)}
    at = office.clock.now() + timedelta(minutes=5)
    sample = Sample(
        at=at, collected_at=at, used=2, kind="private_app",
        fingerprint=Secret(app.token).fingerprint,
    )  # fmt: skip
    _, row = office.days(samples=[sample], kinds=prints)
    assert (row["ours_least"], row["ours_most"], row["theirs"]) == (2, 2, 2)
    assert row["verdict"] == "not comparable"


def test_calls_made_before_the_connection_are_its_portal_s_too(tmp_path: Path) -> None:
    with connected(tmp_path / "workspace", portals=3) as one:
        for slug in one.slugs:
            one.agency.client(slug).get(CONTACTS)
            row = one.agency.completeness(slug).row(0, named=True)
            received = len(one.sandbox.ledger(slug))
            assert row["calls"] == row["ours_most"] == received
            assert row["theirs"] == received - 1  # introspection is not counted there
            assert row["verdict"] == "complete"


def test_the_agency_compares_days_of_the_portal_and_refuses_what_is_no_day(
    tmp_path: Path,
) -> None:
    with connected(tmp_path / "workspace") as one:
        slug = one.slugs[0]
        one.agency.client(slug).get(CONTACTS)
        today = datetime.now(ZoneInfo(one.sandbox.portal(slug).time_zone)).date()
        around = {"since": today - timedelta(days=1), "until": today + timedelta(days=2)}
        assert one.agency.completeness(slug, **around).height == 1
        assert one.agency.completeness(slug, since=today + timedelta(days=2)).is_empty()
        assert one.agency.completeness(slug, until=str(today - timedelta(days=1))).is_empty()
        assert dict(one.agency.completeness(slug).schema) == dict(DAYS)
        with pytest.raises(UsageError, match="whole days"):
            one.agency.completeness(slug, since=datetime.now(UTC))
        with pytest.raises(UnknownClient):
            one.agency.completeness("no-such-client")


def test_comparing_is_on_record_changes_nothing_else_and_needs_no_secret(tmp_path: Path) -> None:
    with connected(tmp_path / "workspace") as one:
        slug, root = one.slugs[0], one.agency.workspace.root
        one.agency.client(slug).get(CONTACTS)
    (root / "credentials").rename(root / "gone")
    (journal,) = (root / "audit" / slug / "journal").glob("*.jsonl")
    before = journal.read_bytes()
    with Agency.open(root) as agency:
        assert agency.compare(slug).verdict == "complete"
        added = journal.read_bytes().removeprefix(before)
        events = [orjson.loads(line)["event"] for line in added.splitlines()]
        assert events == ["audit.warning", "audit.read"], "the former: signed with another key"
        assert agency.audit.verify(slug).integrity == "intact"


def test_sealed_calls_are_compared_as_they_were(office: Office) -> None:
    client = office.client()
    office.sandbox.spend(SLUG, 9)
    for _ in range(3):
        ask(client, office.clock, times=4)
        office.clock.advance(24 * 3600)
    before = office.days()
    seal(office.writer.folder, SLUG, zone=ZONE)
    sealed = list((office.writer.folder / "lake").rglob("part-*.parquet"))
    left = list((office.writer.folder / SLUG / "journal").glob("*.jsonl"))
    assert (len(sealed), len(left)) == (1, 1)
    assert office.days() == before
    assert [row["difference"] for row in before] == [9, 0, 0]
    found = completeness.stretches(office.calls(), office.known())
    assert found["lacking"].to_list() == [9]


def test_the_workspace_says_which_portals_are_ours_alone(tmp_path: Path) -> None:
    with connected(tmp_path / "workspace") as one:
        slug, root = one.slugs[0], one.agency.workspace.root
        one.sandbox.spend(slug, 100)
        one.agency.client(slug).get(CONTACTS)
        assert one.agency.compare(slug).verdict == "not comparable"
        with (root / FILE).open("a") as file:
            file.write(f'\n[completeness]\nonly_us = ["{slug}"]\n')
        with Agency.open(root) as again:
            assert again.compare(slug).verdict == "incomplete"


def test_only_a_clock_that_is_far_off_makes_its_day_not_comparable(tmp_path: Path) -> None:
    with connected(tmp_path / "workspace") as one:
        slug = one.slugs[0]
        one.agency.client(slug).get(CONTACTS)
        now = datetime.now(UTC)
        for seconds, verdict in [(1, "complete"), (600, "not comparable")]:
            other = timestamp(now + timedelta(seconds=seconds))
            said = {"event": "audit.clock", "message": "The clocks differ.", "serverTs": other}
            one.agency.writer.append(slug, said)
            assert one.agency.compare(slug).verdict == verdict


def test_days_are_as_people_write_them() -> None:
    assert as_day("2026-10-14") == as_day(date(2026, 10, 14)) == date(2026, 10, 14)
    assert as_day(None) is None


# Laws, on frames of calls that nobody made.

LIMIT = 1000
START = datetime(2026, 10, 14, 4, tzinfo=UTC)  # midnight in New York
ORIGINS = ["witnessed", "witnessed", "witnessed", "imported", "simulated"]
OUTCOMES = ["ok", "ok", "client_error", "server_error", "rate_limited", "refused", "unknown"]


@st.composite
def any_call(draw: st.DrawFn) -> dict[str, Any]:
    """Draw whatever a record of a call may say, sense or not."""
    return {
        "ts": START + timedelta(seconds=draw(st.integers(-90_000, 180_000))),
        "client_slug": draw(st.sampled_from([SLUG, SLUG, SLUG, "_agency", "other-inc"])),
        "candidate_slug": draw(st.sampled_from([None, None, SLUG])),
        "path": draw(st.sampled_from([CONTACTS, SEARCH, "/oauth/token", None])),
        "outcome": draw(st.sampled_from(OUTCOMES)),
        "status_code": draw(st.sampled_from([200, 200, 404, 401, 429, 503, None])),
        "duration_ms": draw(st.sampled_from([None, 0, 5, 90_000])),
        "origin": draw(st.sampled_from(ORIGINS)),
        "rate_limit_daily": draw(st.sampled_from([LIMIT, LIMIT, LIMIT, 5, None])),
        "rate_limit_remaining": draw(
            st.one_of(st.none(), st.integers(LIMIT - 6, LIMIT + 1), st.integers(0, LIMIT))
        ),
        "credential_fingerprint": draw(st.sampled_from(["a", "b", None])),
    }


@given(
    drawn=st.lists(any_call(), max_size=25),
    used=st.integers(0, 12),
    only_us=st.booleans(),
    zone=st.sampled_from([ZONE, "Asia/Kolkata", "UTC", None]),
)
def test_complete_is_never_said_where_theirs_is_outside_of_ours(
    drawn: list[dict[str, Any]], used: int, *, only_us: bool, zone: str | None
) -> None:
    calls = pl.LazyFrame(drawn, schema=lake.CALLS)
    at = START + timedelta(hours=9)
    sample = Sample(at=at, collected_at=at, used=used, kind="private_app", fingerprint="a")
    known = Known(
        slug=SLUG, zone=zone, only_us=only_us, kinds={"a": "private_app"}, samples=[sample]
    )
    found = completeness.days(calls, known)
    assert dict(found.schema) == dict(DAYS)
    assert dict(completeness.stretches(calls, known).schema) == dict(STRETCHES)
    for row in found.iter_rows(named=True):
        assert row["reason"]
        least, theirs, most = row["ours_least"], row["theirs"], row["ours_most"]
        if row["verdict"] == "complete":
            assert least <= theirs <= most
            assert row["lacking"] == row["difference"] == 0
            assert zone is not None
        if row["verdict"] == "incomplete":
            assert only_us
            assert row["lacking"] > 0
        if most is not None:
            assert 0 <= least <= most
    left = sum(
        one["outcome"] != "refused"
        and one["origin"] != "simulated"
        and SLUG in (one["client_slug"], one["candidate_slug"])
        for one in drawn
    )
    assert found.unique("day")["calls"].sum() == left


@dataclass(frozen=True)
class Step:
    """One thing that happens at HubSpot: a call of ours, or some of somebody else."""

    kind: str
    count: int = 1


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["get", "get", "get", "missing", "search", "lost", "limited", "others"]),
        st.integers(1, 4),
    ),
    max_size=40,
)
SURE = {"get", "missing"}


def history(steps: list[Step], *, unrecorded: set[int]) -> tuple[pl.LazyFrame, list[int]]:
    """
    Let HubSpot count, and return what the log has of it, and HubSpot's count at each answer.

    Calls run side by side: each is begun before the one before it is answered. Steps of
    `unrecorded` numbers are not in the log, whoever made them.
    """
    rows, told, used = [], [], 0
    rng = random.Random(len(steps))
    for number, step in enumerate(steps):
        if step.kind == "others":
            used += step.count
            continue
        counted = step.kind != "limited" and not (step.kind == "lost" and step.count % 2)
        used += counted
        status = {"get": 200, "search": 200, "missing": 404, "limited": 429}.get(step.kind)
        outcome = {"get": "ok", "search": "ok", "missing": "client_error"}.get(step.kind)
        row = {
            "ts": START + timedelta(hours=3, seconds=number, milliseconds=-rng.randrange(1400)),
            "client_slug": SLUG,
            "path": SEARCH if step.kind == "search" else CONTACTS,
            "status_code": status,
            "outcome": outcome or ("rate_limited" if status else "unknown"),
            "duration_ms": 1500 + rng.randrange(900),
            "origin": "witnessed",
        }
        if step.kind in SURE and number not in unrecorded:
            told.append(used)
            row |= {"rate_limit_daily": LIMIT, "rate_limit_remaining": LIMIT - used}
        if number not in unrecorded:
            rows.append(row)
    rng.shuffle(rows)
    return pl.LazyFrame(rows, schema=lake.CALLS), told


@given(STEPS)
@example([Step("get"), Step("lost"), Step("get")])
def test_a_whole_log_is_complete_if_nobody_else_calls(drawn: list[Step]) -> None:
    steps = [one for one in drawn if one.kind != "others"]
    calls, told = history(steps, unrecorded=set())
    found = completeness.days(calls, Known(slug=SLUG, zone=ZONE, only_us=True))
    for row in found.iter_rows(named=True):
        assert row["verdict"] == ("complete" if told else "not comparable"), row
        assert row["theirs"] == (told[-1] if told else None)


@given(STEPS, st.sets(st.integers(0, 39), max_size=6))
def test_what_others_called_or_the_log_lost_is_found_to_the_call(
    drawn: list[Step], unrecorded: set[int]
) -> None:
    steps = [one for one in drawn if one.kind in {*SURE, "others"}]
    calls, told = history(steps, unrecorded=unrecorded)
    known = Known(slug=SLUG, zone=ZONE, only_us=True)
    found = completeness.days(calls, known)
    if not told:
        return
    (row,) = found.iter_rows(named=True)
    lacking = told[-1] - len(told)
    assert (row["difference"], row["lacking"]) == (lacking, lacking)
    assert row["verdict"] == ("incomplete" if lacking else "complete")
    assert row["lacking_before_first"] == told[0] - 1
    assert completeness.stretches(calls, known)["lacking"].sum() == lacking


@given(STEPS, st.sets(st.integers(0, 39), max_size=6))
def test_nobody_is_accused_of_more_than_is_lacking(drawn: list[Step], unrecorded: set[int]) -> None:
    calls, told = history(drawn, unrecorded=unrecorded)
    others = sum(one.count for one in drawn if one.kind == "others")
    lost = sum(
        one.kind not in ("others", "limited") for at, one in enumerate(drawn) if at in unrecorded
    )
    found = completeness.days(calls, Known(slug=SLUG, zone=ZONE))
    for row in found.filter(pl.col("source") == "headers").iter_rows(named=True):
        assert told
        assert 0 <= row["lacking"] <= others + lost
