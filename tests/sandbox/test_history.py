"""
A history is believable, repeatable, and says of limits what HubSpot's headers would (facts 3).

How busy agencies are, and which share of calls fails, is an assumption; what limits and headers
say rests on the sections cited.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby, pairwise
from statistics import mean, median
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hsagency.errors import SandboxError
from hsagency.routes import OperationClass, touched
from hsagency.sandbox.api import ROUTES
from hsagency.sandbox.history.stories import Story
from hsagency.sandbox.history.traffic import MOST_ATTEMPTS, History, PastCall
from hsagency.sandbox.limits import DAILY, limits_of, next_midnight
from hsagency.sandbox.portals import Portal, make_portal
from hsagency.sandbox.wire import Request

FLEET = tuple(make_portal(index, seed=7) for index in range(6))
OCTOBER = (date(2026, 10, 1), date(2026, 10, 31))
DAY = timedelta(days=1)

# Zones whose clocks change, at two, at midnight and by half an hour, and one that never does.
ZONES = ("America/New_York", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "UTC")
DATES = st.dates(min_value=date(2016, 1, 1), max_value=date(2040, 12, 31))


def portal_in(zone: str, *, index: int = 0) -> Portal:
    return replace(make_portal(index, seed=7), time_zone=zone)


def told(calls: Iterable[PastCall], zone: str) -> list[list[int]]:
    """Return what the headers said was left, a list for each of the portal's own days."""
    heads = [one for one in calls if one.remaining is not None]
    days = groupby(heads, key=lambda one: one.at.astimezone(ZoneInfo(zone)).date())
    return [[one.remaining for one in day if one.remaining is not None] for _, day in days]


@pytest.fixture(scope="module")
def october() -> History:
    first, last = OCTOBER
    return History(FLEET, first=first, last=last, seed=7)


@pytest.fixture(scope="module")
def calls(october: History) -> list[PastCall]:
    return list(october)


def story(history: History, kind: str) -> Story:
    return next(one for one in history.stories if one.kind == kind)


def during(calls: list[PastCall], one: Story) -> list[PastCall]:
    return [call for call in calls if call.portal_id in one.portal_ids and one.covers(call.at)]


@given(DATES, st.integers(0, 20), st.integers(0, 50))
@settings(max_examples=20, deadline=None)
def test_the_same_period_and_seed_are_the_same_history(first: date, days: int, seed: int) -> None:
    one, same = (
        History(FLEET[:2], first=first, last=first + days * DAY, seed=seed) for _ in range(2)
    )
    assert one.stories == same.stories
    assert list(one) == list(same) == list(one)


def test_another_seed_is_another_history(calls: list[PastCall]) -> None:
    first, last = OCTOBER
    other = list(History(FLEET, first=first, last=last, seed=8))
    assert {one.at for one in other} != {one.at for one in calls}


@given(DATES, st.integers(0, 12), st.integers(0, 12), st.integers(0, 12), st.integers(0, 50))
# A launch begins in the portal's day after the last one of UTC.
@example(first=date(2035, 5, 25), before=0, days=12, after=1, seed=0)
@settings(max_examples=20, deadline=None)
def test_a_longer_period_holds_the_calls_and_stories_of_a_shorter_one(
    first: date, before: int, days: int, after: int, seed: int
) -> None:
    last = first + days * DAY
    short = History(FLEET[:2], first=first, last=last, seed=seed)
    long = History(FLEET[:2], first=first - before * DAY, last=last + after * DAY, seed=seed)
    begin = datetime.combine(first, time(), UTC)
    end = datetime.combine(last + DAY, time(), UTC)
    assert list(short) == [one for one in long if begin <= one.at < end]
    assert set(short.stories) == {
        one for one in long.stories if one.starts < end and one.ends > begin
    }


@given(DATES, st.sampled_from(ZONES), st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_calls_are_in_order_and_what_is_left_never_rises_within_a_portal_day(
    first: date, zone: str, index: int
) -> None:
    """
    Facts 3.1: the day ends at midnight in the portal's own zone, and all apps share it.

    From documents alone.
    """
    portal = portal_in(zone, index=index)
    past = list(History([portal], first=first, last=first + 9 * DAY))
    assert [one.at for one in past] == sorted(one.at for one in past)
    for day in told(past, zone):
        assert all(earlier >= later for earlier, later in pairwise(day))
        assert 0 <= day[-1] <= day[0] <= limits_of(portal).daily


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("change", [date(2018, 11, 4), date(2026, 3, 8), date(2026, 10, 25)])
def test_a_day_on_which_clocks_change_is_whole(zone: str, change: date) -> None:
    """
    Facts 2.1: a day may have 23 or 25 hours, and in 2018 began at one o'clock in Brazil.

    From documents alone.
    """
    fleet = [portal_in(zone, index=index) for index in range(5)]
    past = list(History(fleet, first=change - DAY, last=change + DAY))
    starts = datetime.combine(change, time(), ZoneInfo(zone)).astimezone(UTC)
    ends = next_midnight(starts, ZoneInfo(zone))
    inside = [one for one in past if starts <= one.at < ends]
    assert inside
    assert {one.at.astimezone(ZoneInfo(zone)).date() for one in inside} == {change}
    for portal in fleet:
        for day in told([one for one in inside if one.portal_id == portal.portal_id], zone):
            assert day == sorted(day, reverse=True)


def test_every_call_of_ours_is_missing_from_what_is_left(calls: list[PastCall]) -> None:
    """
    Facts 3.1 and 3.2: what is told after a call that counted has that call in it.

    An assumption.
    """
    for portal in FLEET:
        zone = ZoneInfo(portal.time_zone)
        mine = [one for one in calls if one.portal_id == portal.portal_id and one.remaining]
        for earlier, later in pairwise(mine):
            same_day = earlier.at.astimezone(zone).date() == later.at.astimezone(zone).date()
            if same_day and later.status != 429:
                assert earlier.remaining is not None
                assert later.remaining is not None
                assert later.remaining < earlier.remaining


def test_the_day_is_whole_again_after_the_portals_own_midnight(calls: list[PastCall]) -> None:
    """Facts 3.1. From documents alone."""
    for portal in FLEET:
        days = told([c for c in calls if c.portal_id == portal.portal_id], portal.time_zone)
        limit = limits_of(portal).daily
        # The morning's first call finds little used; the evening's last one finds much.
        assert mean(day[0] for day in days) > mean(day[-1] for day in days)
        assert max(day[0] for day in days) > 0.9 * limit


def test_headers_are_absent_where_hubspot_sends_none(calls: list[PastCall]) -> None:
    """Facts 3.2: none on search; that a 401 and a 5xx have none is an assumption."""
    for one in calls:
        bare = one.path.endswith("/search") or one.status is None or one.status >= 500
        assert (one.daily is None) == (one.remaining is None) == (bare or one.status == 401)


def test_every_path_is_one_that_the_sandbox_serves_and_the_route_table_knows(
    calls: list[PastCall],
) -> None:
    for method, path in {(one.method, one.path) for one in calls}:
        assert touched(method, path).operation_class is not OperationClass.UNCLASSIFIED, path
        match = ROUTES.find(Request(method, path).segments)
        assert match is not None, path
        assert match.endpoint(method)


def test_both_forms_of_the_paths_are_used_once_there_are_two() -> None:
    """
    Facts 0: dated paths are generally available since 2026-03-30 and 2026-09-08.

    From documents alone.
    """
    for day, version in ((date(2026, 2, 2), None), (date(2026, 6, 1), "2026-03")):
        paths = {one.path for one in History(FLEET, first=day, last=day + 4 * DAY)}
        dated = {found[1] for path in paths if (found := re.search(r"/(20\d\d-\d\d)/", path))}
        assert dated == ({version} if version else set())
        assert any("/v3/" in path for path in paths)


def test_weekends_and_holidays_are_quiet_and_mornings_are_not(calls: list[PastCall]) -> None:
    weekdays: Counter[bool] = Counter()
    hours: Counter[int] = Counter()
    for one in calls:
        portal = next(p for p in FLEET if p.portal_id == one.portal_id)
        local = one.at.astimezone(ZoneInfo(portal.time_zone))
        weekdays[local.weekday() >= 5] += 1
        hours[local.hour] += one.purpose != "bulk import"
    assert weekdays[True] / 9 < 0.25 * weekdays[False] / 22
    assert hours[10] > 2 * hours[12] < hours[15] > 5 * hours[3]
    christmas = History(FLEET, first=date(2026, 12, 21), last=date(2026, 12, 29))
    days = Counter(one.at.date() for one in christmas)
    assert days[date(2026, 12, 25)] < 0.4 * days[date(2026, 12, 22)]


@given(st.integers(0, 200))
@settings(max_examples=10, deadline=None)
def test_weekends_are_quieter_whatever_the_seed(seed: int) -> None:
    first, last = OCTOBER
    days = Counter(one.at.weekday() for one in History(FLEET, first=first, last=last, seed=seed))
    assert max(days[5], days[6]) < min(days[number] for number in range(5))


def test_portals_have_sizes_of_their_own_and_grow(calls: list[PastCall]) -> None:
    sizes = Counter(one.portal_id for one in calls)
    assert max(sizes.values()) > 1.5 * min(sizes.values())
    earlier = list(History(FLEET, first=date(2025, 10, 1), last=date(2025, 10, 31), seed=7))
    assert len(earlier) < len(calls)


def test_errors_are_few_where_no_story_is_told() -> None:
    first, last = OCTOBER
    usual = list(History(FLEET, first=first, last=last, seed=7, stories=()))
    failed = sum(one.status is None or one.status >= 400 for one in usual) / len(usual)
    assert 0.005 < failed < 0.03
    assert DAILY not in {one.policy for one in usual}


def test_operations_take_as_long_as_they_are_heavy(calls: list[PastCall]) -> None:
    def usual(ending: str, method: str = "POST") -> float:
        return median(
            one.duration_ms
            for one in calls
            if one.path.endswith(ending) and one.method == method and one.status in (200, 201)
        )

    assert usual("/contacts/101", "GET") < usual("/contacts/search") < usual("/batch/create")
    slow = [one.duration_ms for one in calls if one.status == 200]
    assert mean(slow) > median(slow), "a few calls take much longer than most"


def test_a_month_tells_every_kind_of_story_and_keeps_the_troubles_apart(october: History) -> None:
    kinds = {one.kind for one in october.stories}
    assert kinds == {"incident", "runs_out", "revoked", "launch", "import"}
    days = [story(october, kind).starts.date() for kind in ("incident", "runs_out", "revoked")]
    assert len(set(days)) == 3
    assert all(one.starts < one.ends and one.text for one in october.stories)


def test_a_portal_runs_out_until_its_own_midnight(october: History, calls: list[PastCall]) -> None:
    """
    Facts 3.1 and 3.3: refused by DAILY, nothing left, and not tried again before the reset.

    An assumption.
    """
    one = story(october, "runs_out")
    refused = during(calls, one)
    assert len(refused) > 60, "a program goes on trying"
    assert one.ends - refused[-1].at < timedelta(minutes=20)
    assert {(call.status, call.policy) for call in refused} == {(429, DAILY)}
    assert {call.remaining for call in refused} <= {0, None}
    assert {call.attempt for call in refused} == {1}
    (portal,) = (p for p in FLEET if p.portal_id in one.portal_ids)
    assert one.ends == next_midnight(one.starts, ZoneInfo(portal.time_zone))
    mine = [call for call in calls if call.portal_id == portal.portal_id]
    assert {call.at >= one.starts for call in mine if call.policy == DAILY} == {True}
    after = next(c for c in mine if c.at >= one.ends and c.remaining is not None)
    assert after.remaining is not None
    assert after.remaining > 0
    ours = [c for c in mine if c.at.date() == one.starts.date()]
    assert len(ours) < limits_of(portal).daily / 100, "others used it up"


def test_what_others_make_is_what_the_headers_leave_room_for(
    october: History, calls: list[PastCall]
) -> None:
    for portal in FLEET:
        days = told((one for one in calls if one.portal_id == portal.portal_id), portal.time_zone)
        used = [limits_of(portal).daily - day[-1] for day in days]
        assert 0.6 < october.others(portal.portal_id) / median(used) < 2
    with pytest.raises(SandboxError, match="no portal 7"):
        october.others(7)


def test_an_incident_is_felt_on_every_portal_and_reads_are_tried_again(
    october: History, calls: list[PastCall]
) -> None:
    """Facts 4.2 and 4.3: 502 and 504 pass, and a read may be repeated. From documents alone."""
    felt = during(calls, story(october, "incident"))
    failed = [one for one in felt if one.status in (502, 504, None)]
    assert len(failed) > 0.4 * len(felt)
    assert min(Counter(one.portal_id for one in failed).values()) > 10
    assert len({one.portal_id for one in failed}) == len(FLEET)
    again = [one for one in felt if one.attempt > 1]
    assert again
    for one in again:
        assert one.method == "GET" or one.path.endswith(("/search", "/batch/read"))


def test_a_revoked_token_is_refused_until_it_is_replaced(
    october: History, calls: list[PastCall]
) -> None:
    """Facts 4.3: a 401 of a static token is never tried again. An assumption."""
    one = story(october, "revoked")
    refused = during(calls, one)
    assert {(call.status, call.attempt) for call in refused} == {(401, 1)}
    mine = [call for call in calls if call.portal_id in one.portal_ids]
    assert {call.at for call in mine if call.status == 401} == {call.at for call in refused}
    assert any(call.at >= one.ends and call.status == 200 for call in mine)


def test_a_night_of_import_creates_in_batches_and_waits_when_it_is_too_fast(
    october: History, calls: list[PastCall]
) -> None:
    """Facts 3.1: a batch is one request; facts 3.3: a burst is waited for. From documents alone."""
    nights = [one for one in october.stories if one.kind == "import"]
    made = [c for night in nights for c in during(calls, night) if c.purpose == "bulk import"]
    assert len(made) >= 50 * len(nights)
    assert all(one.path.endswith("/batch/create") for one in made)
    hasty = [one for one in made if one.policy == "TEN_SECONDLY_ROLLING"]
    assert hasty
    for one in hasty:
        again = next(
            c for c in made
            if c.portal_id == one.portal_id and c.at > one.at and c.path == one.path
            and c.attempt == one.attempt + 1
        )  # fmt: skip
        assert again.at - one.at >= timedelta(seconds=10)


def test_a_launch_makes_a_busy_week() -> None:
    first, last = date(2026, 10, 5), date(2026, 10, 16)
    week = Story(
        kind="launch",
        portal_ids=frozenset({FLEET[0].portal_id}),
        starts=datetime(2026, 10, 5, tzinfo=UTC) - DAY,
        ends=datetime(2026, 10, 10, tzinfo=UTC),
        text="a launch",
    )
    calls = list(History(FLEET[:1], first=first, last=last, stories=[week]))
    weeks = Counter(one.at.isocalendar().week for one in calls)
    assert weeks[41] > 1.5 * weeks[42]
    assert "campaign launch" in {one.purpose for one in calls}


def test_a_story_that_is_handed_in_is_told_and_no_other() -> None:
    """A limit that is gone at midnight already, and a story that ends before the day does."""
    fleet = [portal_in("UTC", index=index) for index in range(4)]
    day = date(2026, 10, 7)
    starts = datetime.combine(day, time(), UTC)
    gone = Story(
        kind="runs_out",
        portal_ids=frozenset(portal.portal_id for portal in fleet),
        starts=starts,
        ends=starts + timedelta(hours=13),
        text="gone from the start",
    )
    history = History(fleet, first=day, last=day, stories=[gone])
    assert history.stories == (gone,)
    calls = list(history)
    assert {one.policy for one in calls if gone.covers(one.at)} == {DAILY}
    later = [one for one in calls if not gone.covers(one.at)]
    assert later
    assert DAILY not in {one.policy for one in later}
    assert {one.remaining for one in calls} == {0, None}


def test_a_retry_has_a_first_attempt(calls: list[PastCall]) -> None:
    assert {one.attempt for one in calls} == set(range(1, MOST_ATTEMPTS + 1))
    seen = {(one.portal_id, one.method, one.path, one.attempt) for one in calls}
    for portal_id, method, path, attempt in seen:
        assert attempt == 1 or (portal_id, method, path, attempt - 1) in seen


@pytest.mark.parametrize(
    ("first", "last"),
    [(date(2026, 10, 2), date(2026, 10, 1)), (date(1900, 1, 1), date(1900, 1, 2))],
)
def test_a_period_that_is_none_is_refused(first: date, last: date) -> None:
    with pytest.raises(SandboxError, match="no history"):
        History(FLEET, first=first, last=last)


def test_a_portal_that_is_not_of_the_fleet_has_no_history(october: History) -> None:
    with pytest.raises(SandboxError, match="knows no portal 1"):
        next(october.of(1))


def test_a_fleet_of_nobody_has_no_calls_and_no_stories() -> None:
    first, last = OCTOBER
    nobody = History([], first=first, last=last)
    assert nobody.stories == ()
    assert list(nobody) == []
