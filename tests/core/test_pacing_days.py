"""A portal's day: what is left of it, when it ends, and which answers are believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.audit.journal.writer import AuditWriter
from hsagency.errors import QuotaSpent
from hsagency.pacing import Source
from tests.core.desks import (
    AUTHOR,
    CALL,
    CRITICAL,
    NOON,
    NORMAL,
    Desk,
    answer,
)


def test_what_is_left_is_unknown_until_told_and_then_counts_down(desk: Desk) -> None:
    pacer = desk.of(daily_limit=250_000)
    first = pacer.reserve(CALL, NORMAL)
    standing = pacer.standing()
    assert (standing.limit, standing.limit_source) == (250_000, Source.FACT)
    assert (standing.used, standing.remaining, standing.source) == (None, None, None)
    assert standing.ours == 1
    pacer.told(first, answer(daily=650_000, left=600_000))
    pacer.reserve(CALL, NORMAL)
    standing = pacer.standing()
    assert (standing.limit, standing.limit_source) == (650_000, Source.HEADER)
    assert (standing.used, standing.remaining, standing.as_of) == (50_001, 599_999, NOON)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"daily": "many", "left": "-5"},
        {"daily": "250000", "left": "1e3"},
        {"daily": "0", "left": "0"},
        {"daily": "100", "left": "101"},
        {"daily": "9" * 30, "left": "9" * 30},
        {"daily": "250_000", "left": "2_000"},
    ],
)
def test_an_absent_or_malformed_header_changes_nothing(desk: Desk, told: dict[str, str]) -> None:
    pacer = desk.of()
    pacer.told(pacer.reserve(CALL, NORMAL), answer(daily=250_000, left=200_000))
    before = pacer.standing()
    pacer.told(pacer.reserve(CALL, NORMAL), answer(**told))
    after = pacer.standing()
    assert after.remaining == (before.remaining or 0) - 1
    assert after.limit == before.limit
    assert not desk.said


@given(st.permutations(range(12)), st.lists(st.integers(0, 11), max_size=12))
def test_answers_in_any_order_lead_to_what_is_really_left(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], unanswered: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("law")
    with AuditWriter(folder / "audit", author=AUTHOR) as writer:
        desk = Desk(folder, writer, [])
        pacer = desk.of()
        tickets = [pacer.reserve(CALL, CRITICAL) for _ in order]
        heard = [one for one in order if one not in unanswered]
        for one in heard:
            # Between two calls of ours, others make ten.
            pacer.told(tickets[one], answer(daily=250_000, left=200_000 - 11 * one))
        latest = max(heard, default=0)
        wanted = 200_000 - 11 * latest - (11 - latest)
        assert pacer.standing().remaining == (wanted if heard else None)
        desk.pacing.close()


def test_calls_that_overtook_each_other_tell_the_smaller_remainder(desk: Desk) -> None:
    pacer = desk.of()
    first, second = pacer.reserve(CALL, NORMAL), pacer.reserve(CALL, NORMAL)
    pacer.told(second, answer(daily=1000, left=500))
    pacer.told(first, answer(daily=1000, left=499))
    assert pacer.standing().remaining == 499


def test_a_call_that_was_refused_for_a_limit_is_not_taken_for_one_that_counted(desk: Desk) -> None:
    pacer = desk.of()
    pacer.reserve(CALL, NORMAL)
    pacer.told(pacer.reserve(CALL, NORMAL), httpx.Response(429))
    ticket = pacer.reserve(CALL, NORMAL)
    pacer.told(ticket, answer(daily=1000, left=998))
    standing = pacer.standing()
    assert (standing.used, standing.ours) == (2, 2)


def test_that_the_day_is_used_up_told_after_midnight_is_of_yesterday(desk: Desk) -> None:
    desk.clock[0] = datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC)
    pacer = desk.of(time_zone="UTC")
    before = pacer.reserve(CALL, NORMAL)
    desk.pass_(2)
    assert pacer.day_end(before).at == datetime(2026, 11, 21, tzinfo=UTC)
    after = pacer.reserve(CALL, NORMAL)
    soon = datetime(2026, 11, 21, 0, 2, tzinfo=UTC)
    assert pacer.day_end(after).at == soon, "clocks differ"
    pacer.close(None, "the day is used up")
    assert pacer.standing().closed_until == soon
    desk.pass_(120)
    assert pacer.reserve(CALL, NORMAL).granted
    assert pacer.day_end(after).at == datetime(2026, 11, 22, tzinfo=UTC)


def test_a_midnight_that_is_told_later_ends_a_closing_with_it(desk: Desk) -> None:
    pacer = desk.of()
    pacer.close(None, "the day is used up")
    pacer.usage(250_000, 10, resets_at=datetime(2026, 11, 20, 18, tzinfo=UTC))
    assert pacer.standing().closed_until == datetime(2026, 11, 20, 18, tzinfo=UTC)


def test_a_call_that_never_left_does_not_count(desk: Desk) -> None:
    pacer = desk.of()
    first, second = pacer.reserve(CALL, NORMAL), pacer.reserve(CALL, NORMAL)
    pacer.told(first, answer(daily=250_000, left=200_000))
    assert pacer.standing().remaining == 199_999
    pacer.returned(second)
    standing = pacer.standing()
    assert (standing.remaining, standing.ours) == (200_000, 1)


def test_the_day_ends_at_the_portals_own_midnight(desk: Desk) -> None:
    pacer = desk.of(time_zone="Australia/Sydney")
    pacer.told(pacer.reserve(CALL, NORMAL), answer(daily=250_000, left=10))
    standing = pacer.standing()
    assert standing.resets_at == datetime(2026, 11, 20, 13, tzinfo=UTC)
    assert standing.zone_is_known
    with pytest.raises(QuotaSpent):
        pacer.reserve(CALL, NORMAL)
    desk.pass_(3600)
    standing = pacer.standing()
    assert (standing.used, standing.remaining, standing.ours) == (None, None, 0)
    assert standing.limit == 250_000, "the limit does not end with the day"
    assert pacer.reserve(CALL, NORMAL).granted


@pytest.mark.parametrize(
    ("zone", "at", "hours"),
    [
        ("Europe/Berlin", datetime(2026, 10, 25, 12, tzinfo=UTC), 25),
        ("Europe/Berlin", datetime(2027, 3, 28, 12, tzinfo=UTC), 23),
        ("US/Eastern", datetime(2026, 11, 1, 12, tzinfo=UTC), 25),
        ("Asia/Kathmandu", NOON, 24),
    ],
)
def test_a_day_on_which_clocks_change_is_as_long_as_it_is(
    desk: Desk, zone: str, at: datetime, hours: int
) -> None:
    desk.clock[0] = at
    ends = desk.of(time_zone=zone).standing().resets_at
    begins = datetime.combine(at.astimezone(ZoneInfo(zone)).date(), datetime.min.time())
    assert ends - begins.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) == timedelta(hours=hours)


@pytest.mark.parametrize("zone", ["Nowhere/Else", "../../etc/passwd", "", "\x00"])
def test_a_time_zone_that_nobody_knows_is_utc_and_said_to_be(desk: Desk, zone: str) -> None:
    standing = desk.of(time_zone=zone).standing()
    assert (standing.time_zone, standing.zone_is_known) == ("UTC", False)
    assert standing.resets_at == datetime(2026, 11, 21, tzinfo=UTC)


def test_a_time_zone_that_becomes_known_moves_midnight_and_keeps_what_was_used(desk: Desk) -> None:
    pacer = desk.of()
    pacer.told(pacer.reserve(CALL, NORMAL), answer(daily=250_000, left=200_000))
    assert desk.of(time_zone="Europe/Berlin") is pacer
    standing = pacer.standing()
    assert standing.resets_at == datetime(2026, 11, 20, 23, tzinfo=UTC)
    assert standing.remaining == 200_000


def test_where_the_zone_is_unknown_the_usage_endpoint_tells_midnight(desk: Desk) -> None:
    pacer = desk.of()
    pacer.usage(250_000, 10, resets_at=datetime(2026, 11, 21, 5, tzinfo=UTC))
    assert pacer.standing().resets_at == datetime(2026, 11, 21, 5, tzinfo=UTC)
    known = desk.of(portal_id=2, time_zone="Europe/Berlin")
    known.usage(250_000, 10, resets_at=datetime(2026, 11, 21, 5, tzinfo=UTC))
    assert known.standing().resets_at == datetime(2026, 11, 20, 23, tzinfo=UTC)


def test_yesterdays_answer_says_nothing_of_today(desk: Desk) -> None:
    pacer = desk.of(time_zone="UTC")
    ticket = pacer.reserve(CALL, NORMAL)
    desk.pass_(13 * 3600)
    pacer.told(ticket, answer(daily=250_000, left=3))
    assert pacer.standing().remaining is None
    assert not desk.said


def test_just_after_midnight_what_was_left_of_yesterday_is_not_believed(desk: Desk) -> None:
    desk.clock[0] = datetime(2026, 11, 21, 0, 0, 30, tzinfo=UTC)
    pacer = desk.of(time_zone="UTC")
    pacer.told(pacer.reserve(CALL, NORMAL), answer(daily=250_000, left=3))
    assert pacer.standing().remaining is None
    pacer.told(pacer.reserve(CALL, NORMAL), answer(daily=250_000, left=249_000))
    assert pacer.standing().remaining == 249_000
