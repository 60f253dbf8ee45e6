"""One process: windows, days, priorities, what answers teach, and a file that may be damaged."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hsagency.audit.journal.writer import AuditWriter
from hsagency.errors import QuotaSpent, WorkspaceError
from hsagency.pacing import Budget, Source, budget_of
from hsagency.pacing.budgets import share
from hsagency.portals import CredentialKind
from hsagency.routes import touched
from hsagency.settings import Amount, Priority, QuotaSettings
from tests.core.desks import (
    AUTHOR,
    CALL,
    CRITICAL,
    HELD,
    LINKS,
    LOW,
    NOON,
    NORMAL,
    SEARCH,
    Desk,
    answer,
)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    said: list[str] = []
    with AuditWriter(tmp_path / "audit", author=AUTHOR, tell=said.append) as writer:
        made = Desk(tmp_path, writer, said)
        yield made
        made.pacing.close()


def test_a_window_holds_the_limit_and_no_call_more(desk: Desk) -> None:
    pacer = desk.of(tier="starter")
    assert desk.burst(pacer, CRITICAL) == 100
    desk.pass_(HELD - 0.6)
    assert desk.burst(pacer, CRITICAL) == 0
    desk.pass_(0.6)
    assert desk.burst(pacer, CRITICAL) == 100


def test_each_priority_has_its_share_of_a_window(desk: Desk) -> None:
    pacer = desk.of(tier="starter")
    assert desk.burst(pacer, LOW) == 80
    assert desk.burst(pacer, NORMAL) == 10
    assert desk.burst(pacer, Priority.HIGH) == 5
    assert desk.burst(pacer, CRITICAL) == 5


def test_searches_and_associations_have_windows_of_their_own(desk: Desk) -> None:
    pacer = desk.of(tier="professional")
    assert desk.burst(pacer, CRITICAL) == 190
    assert desk.burst(pacer, CRITICAL, touched=LINKS) == 150
    assert desk.burst(pacer, CRITICAL, touched=SEARCH) == 5
    desk.pass_(1.02)
    assert desk.burst(pacer, CRITICAL, touched=SEARCH) == 5
    assert desk.burst(pacer, CRITICAL) == 0


@pytest.mark.parametrize(
    ("method", "path", "budget"),
    [
        ("POST", "/crm/v3/objects/contacts/search", Budget.SEARCH),
        ("POST", "/crm/objects/2026-09/deals/search", Budget.SEARCH),
        ("GET", "/files/v3/files/search", Budget.BURST),
        ("POST", "/crm/associations/2026-09/contacts/deals/batch/read", Budget.ASSOCIATIONS),
        ("GET", "/crm/v4/objects/contacts/1/associations/deals", Budget.ASSOCIATIONS),
        ("GET", "/crm/v3/objects/contacts", Budget.BURST),
        ("GET", "/nobody/knows/this", Budget.BURST),
    ],
)
def test_the_route_says_which_window_counts_a_call(method: str, path: str, budget: Budget) -> None:
    assert budget_of(touched(method, path)) is budget


@pytest.mark.parametrize(
    ("facts", "burst", "source"),
    [
        ({}, 100, Source.LOWEST),
        ({"tier": "starter"}, 100, Source.TIER),
        ({"tier": "enterprise"}, 190, Source.TIER),
        ({"tier": "professional", "daily_limit": 1_625_000}, 250, Source.TIER),
        ({"tier": "a word of nobody's"}, 100, Source.LOWEST),
        ({"kind": CredentialKind.OAUTH, "distribution": "marketplace"}, 110, Source.UNLIMITED),
    ],
)
def test_where_no_answer_has_told_the_facts_decide_and_else_the_lowest_tier(
    desk: Desk, facts: dict[str, Any], burst: int, source: Source
) -> None:
    pacer = desk.of(**facts)
    standing = pacer.standing()
    assert (standing.burst_limit, standing.burst_source) == (burst, source)
    assert desk.burst(pacer, CRITICAL) == burst


def test_a_header_teaches_the_limit_of_a_window_for_more_and_for_less(desk: Desk) -> None:
    pacer = desk.of()
    pacer.told(pacer.reserve(CALL, NORMAL), answer(most=190, room=189, millis=10_000))
    assert desk.burst(pacer, CRITICAL) == 189
    desk.pass_(60)
    pacer.told(pacer.reserve(CALL, NORMAL), answer(most=20, room=19))
    assert desk.burst(pacer, CRITICAL) == 19
    assert pacer.standing().burst_source is Source.HEADER


def test_a_header_of_a_search_says_nothing_of_the_burst(desk: Desk) -> None:
    pacer = desk.of()
    pacer.told(pacer.reserve(SEARCH, NORMAL), answer(most=3, room=0))
    assert pacer.standing().burst_limit == 100
    assert desk.burst(pacer, CRITICAL) == 100


def test_turns_of_other_programs_are_taken_for_them(desk: Desk) -> None:
    pacer = desk.of()
    pacer.told(pacer.reserve(CALL, NORMAL), answer(most=100, room=39))
    assert desk.burst(pacer, CRITICAL) == 39
    desk.pass_(HELD)
    assert desk.burst(pacer, CRITICAL) == 100


def test_our_own_calls_are_not_taken_for_those_of_others(desk: Desk) -> None:
    pacer = desk.of()
    tickets = [pacer.reserve(CALL, CRITICAL) for _ in range(60)]
    for place in (59, 3, 30):  # in whichever order the answers come
        pacer.told(tickets[place], answer(most=100, room=99 - place))
    assert desk.burst(pacer, CRITICAL) == 40


def test_an_answer_that_took_longer_than_the_window_says_nothing_of_others(desk: Desk) -> None:
    pacer = desk.of()
    ticket = pacer.reserve(CALL, NORMAL)
    desk.pass_(11)
    pacer.told(ticket, answer(most=100, room=0))
    assert desk.burst(pacer, CRITICAL) == 100


def test_everybody_waits_where_hubspot_said_so(desk: Desk) -> None:
    pacer, another = desk.of(), desk.other().of()
    pacer.back_off(Budget.BURST, 30)
    assert 29 < another.reserve(CALL, CRITICAL).wait <= 30
    assert another.reserve(SEARCH, CRITICAL).wait == 0, "a window of its own"
    desk.pass_(30)
    assert pacer.reserve(CALL, CRITICAL).wait == 0


def test_a_crowd_of_low_priority_does_not_hold_the_future_against_a_critical_call(
    desk: Desk,
) -> None:
    pacer = desk.of()
    desk.burst(pacer, LOW)
    waiting = [pacer.reserve(CALL, LOW) for _ in range(1000)]
    assert not any(one.granted for one in waiting)
    assert all(9.6 < one.wait <= HELD for one in waiting)
    assert pacer.reserve(CALL, CRITICAL).wait == 0


def test_a_turn_that_is_near_is_taken_in_advance(desk: Desk) -> None:
    pacer = desk.of()
    desk.burst(pacer, CRITICAL)
    desk.pass_(HELD - 0.4)
    ticket = pacer.reserve(CALL, CRITICAL)
    assert ticket.granted
    assert ticket.wait == pytest.approx(0.4)


def test_a_clock_that_was_set_back_costs_one_window_at_most(desk: Desk) -> None:
    pacer = desk.of()
    desk.burst(pacer, CRITICAL)
    desk.pass_(-86_400 * 400)
    assert 0 < pacer.reserve(CALL, CRITICAL).wait <= HELD
    desk.pass_(HELD)
    assert desk.burst(pacer, CRITICAL) == 100


def test_a_hold_of_a_clock_that_was_set_back_is_forgotten(desk: Desk) -> None:
    pacer = desk.of()
    pacer.back_off(Budget.BURST, 60)
    desk.pass_(-86_400)
    assert pacer.reserve(CALL, CRITICAL).wait == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(Priority),
            st.floats(0, 3),
            st.one_of(st.none(), st.integers(0, 60), st.just("limit"), st.just("hold")),
        ),
        max_size=150,
    )
)
@example([(CRITICAL, 0.0, None)] * 140)
def test_no_window_ever_holds_more_than_its_limit(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Priority, float, object]]
) -> None:
    folder = tmp_path_factory.mktemp("law")
    with AuditWriter(folder / "audit", author=AUTHOR) as writer:
        desk = Desk(folder, writer, [])
        mine, theirs = desk.of(), desk.other().of()
        limit, left = 20, []
        mine.told(mine.reserve(CALL, CRITICAL), answer(most=limit, room=limit - 1))
        for number, (priority, pause, more) in enumerate(steps):
            ticket = (mine, theirs)[number % 2].reserve(CALL, priority)
            if ticket.granted:
                left.append(ticket.at)
                assert ticket.wait <= 0.5
            if isinstance(more, int):
                theirs.told(ticket, answer(most=limit, room=max(0, limit - more)))
            elif more == "hold":
                mine.back_off(Budget.BURST, 1.5)
            desk.pass_(pause)
        desk.pacing.close()
    assert left == sorted(left)
    for earlier, later in zip(left, left[limit:], strict=False):
        assert later - earlier >= HELD * 1e9


def test_the_share_of_a_window_is_never_none_and_never_more_than_the_limit() -> None:
    for limit in range(1, 400):
        for slowed in (False, True):
            shares = [share(limit, one, slowed=slowed) for one in Priority]
            assert shares[0] == limit
            assert shares == sorted(shares, reverse=True)
            assert shares[-1] >= 1


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


@pytest.mark.parametrize(
    ("priority", "percent"), [(CRITICAL, 99), (Priority.HIGH, 95), (NORMAL, 90), (LOW, 80)]
)
def test_each_priority_stops_at_its_share_of_the_day(
    desk: Desk, priority: Priority, percent: int
) -> None:
    pacer = desk.of(time_zone="Europe/Berlin")
    last = 1000 - percent * 10 + 1
    pacer.told(pacer.reserve(CALL, CRITICAL), answer(daily=1000, left=last))
    assert pacer.reserve(CALL, priority, purpose="weekly review").granted
    with pytest.raises(QuotaSpent) as refused:
        pacer.reserve(CALL, priority, purpose="weekly review")
    said, error = str(refused.value), refused.value
    assert error.until == datetime(2026, 11, 20, 23, tzinfo=UTC)
    assert f"acme-corp: {last - 1:,} of the 1,000 calls a day of portal 12345678 are left" in said
    assert f"{priority} priority (purpose 'weekly review')" in said
    assert "2026-11-21 00:00 Europe/Berlin (2026-11-20 23:00 UTC). Nothing was sent." in said
    if priority is not CRITICAL:
        assert f"stop when {percent} % are used" in said
        assert '[purposes] in hsagency.toml: "weekly review" = "critical"' in said


def test_nobody_goes_into_the_reserve(desk: Desk) -> None:
    more = QuotaSettings(reserve="20%", clients={"acme-corp": {"reserve": 300}})
    for slug, reserve in (("acme-corp", 300), ("globex", 200)):
        pacer = desk.other(quota=more).of(slug=slug, portal_id=reserve)
        pacer.told(pacer.reserve(CALL, CRITICAL), answer(daily=1000, left=reserve + 1))
        assert pacer.reserve(CALL, CRITICAL).granted
        with pytest.raises(QuotaSpent, match=f"the last {reserve} are reserved for") as refused:
            pacer.reserve(CALL, CRITICAL)
        assert f"[quota.clients.{slug}] reserve" in refused.value.hint
        assert pacer.reserve(CALL, CRITICAL, purpose="verification").granted
        assert pacer.standing().reserve == reserve


def test_where_nothing_was_told_our_own_calls_are_counted_against_the_limit(desk: Desk) -> None:
    pacer = desk.of(daily_limit=50)
    for _ in range(45):
        assert pacer.reserve(CALL, NORMAL).granted
    with pytest.raises(QuotaSpent):
        pacer.reserve(CALL, NORMAL)
    assert pacer.standing().remaining is None, "what nobody told is not known"


def test_a_marketplace_app_has_no_daily_limit(desk: Desk) -> None:
    pacer = desk.of(kind=CredentialKind.OAUTH, distribution="marketplace")
    for _ in range(110):
        assert pacer.reserve(CALL, CRITICAL).granted
    standing = pacer.standing()
    assert (standing.limit, standing.limit_source) == (None, Source.UNLIMITED)
    assert (standing.remaining, standing.reserve, standing.is_low) == (None, None, False)


def test_below_its_threshold_a_portal_is_slowed_for_whoever_can_wait(desk: Desk) -> None:
    pacer = desk.of()
    pacer.told(pacer.reserve(CALL, CRITICAL), answer(daily=250_000, left=24_999))
    assert pacer.standing().is_low
    with pytest.raises(QuotaSpent):
        pacer.reserve(CALL, NORMAL)  # more than nine tenths are used
    desk.pass_(HELD)
    early = desk.other(quota=QuotaSettings(warn_below=Amount(share=0.5))).of(portal_id=2)
    early.told(early.reserve(CALL, CRITICAL), answer(daily=250_000, left=100_000))
    assert desk.burst(early, NORMAL) == 22 - 1
    assert desk.burst(early, CRITICAL) == 100 - 22


def test_a_closed_portal_refuses_all_but_what_finds_out_more(desk: Desk) -> None:
    pacer, another = desk.of(time_zone="UTC"), desk.other().of()
    pacer.close(NOON + timedelta(hours=5), "HubSpot is moving the portal")
    with pytest.raises(QuotaSpent, match="because HubSpot is moving the portal") as refused:
        another.reserve(CALL, CRITICAL)
    assert refused.value.until == NOON + timedelta(hours=5)
    ticket = another.reserve(CALL, CRITICAL, purpose="verification")
    another.told(ticket, answer(daily=1000, left=900))
    standing = another.standing()
    assert standing.closed_until == NOON + timedelta(hours=5), "an answer does not end that"
    assert standing.closed_because == "HubSpot is moving the portal"
    desk.pass_(5 * 3600)
    assert pacer.reserve(CALL, NORMAL).granted


def test_a_day_that_is_used_up_is_closed_until_midnight_or_until_an_answer_knows_better(
    desk: Desk,
) -> None:
    pacer = desk.of(time_zone="Europe/Berlin")
    earlier = pacer.reserve(CALL, NORMAL)
    desk.pass_(1)
    pacer.close(None, "the day is used up")
    with pytest.raises(QuotaSpent) as refused:
        pacer.reserve(CALL, CRITICAL)
    assert refused.value.until == datetime(2026, 11, 20, 23, tzinfo=UTC)
    pacer.told(earlier, answer(daily=1000, left=900))
    with pytest.raises(QuotaSpent):
        pacer.reserve(CALL, CRITICAL)
    desk.pass_(1)
    ticket = pacer.reserve(CALL, CRITICAL, purpose="verification")
    pacer.told(ticket, answer(daily=1000, left=900))
    assert pacer.reserve(CALL, CRITICAL).granted


def test_a_close_is_no_longer_than_a_day_and_can_be_taken_back(desk: Desk) -> None:
    pacer = desk.of()
    pacer.close(NOON + timedelta(days=30), "x" * 1000 + "é")
    until = pacer.standing().closed_until
    assert until is not None
    assert until <= NOON + timedelta(hours=26)
    assert pacer.open()
    assert not pacer.open()
    assert pacer.reserve(CALL, NORMAL).granted
    pacer.close(NOON + timedelta(hours=2), "HubSpot said so")
    desk.pass_(-86_400 * 3)
    assert pacer.reserve(CALL, NORMAL).granted, "the clock was set back"


def test_the_usage_endpoint_is_believed_where_it_knows_and_no_header_told(desk: Desk) -> None:
    pacer = desk.of()
    for status in ("FAILURE", "TIMEOUT", "NOTFOUND", ""):
        pacer.usage(1000, 10, fetch_status=status)
    assert pacer.standing().limit_source is Source.LOWEST
    pacer.usage(1000, 10, fetch_status="CACHED")
    standing = pacer.standing()
    assert (standing.limit, standing.remaining) == (1000, 990)
    assert (standing.limit_source, standing.source) == (Source.USAGE, Source.USAGE)
    pacer.told(pacer.reserve(CALL, NORMAL), answer(daily=2000, left=500))
    pacer.usage(1000, 10)
    standing = pacer.standing()
    assert (standing.limit, standing.remaining) == (2000, 500)
    assert (standing.limit_source, standing.source) == (Source.HEADER, Source.HEADER)


def test_our_own_checks_are_counted_apart(desk: Desk) -> None:
    pacer = desk.of()
    for purpose in ("verification", "completeness", "quota", "weekly review", ""):
        pacer.reserve(CALL, NORMAL, purpose=purpose)
    standing = pacer.standing()
    assert (standing.ours, standing.checks) == (5, 3)


def test_a_starved_portal_does_not_delay_another(desk: Desk) -> None:
    starved, other = desk.of(), desk.of(slug="globex", portal_id=2)
    starved.back_off(Budget.BURST, 600)
    starved.close(None, "the day is used up")
    assert desk.burst(other, CRITICAL) == 100


def test_a_sandbox_never_shares_with_hubspot(desk: Desk) -> None:
    desk.of().back_off(Budget.BURST, 600)
    assert desk.of(api_base="http://127.0.0.1:8080").reserve(CALL, NORMAL).granted
    names = {path.name for path in (desk.folder / "pacing").iterdir()}
    assert len(names) == 2
    assert "12345678.pace" in names


def test_the_files_are_for_this_user_alone_and_closed_with_the_agency(desk: Desk) -> None:
    before = open_files()
    for number in range(1, 31):
        desk.of(portal_id=number).reserve(CALL, NORMAL)
    folder = desk.folder / "pacing"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir()} == {0o600}
    assert len({one.stat().st_size for one in folder.iterdir()}) == 1
    assert open_files() == before + 30
    desk.pacing.close()
    assert open_files() == before


def open_files() -> int:
    """Return how many descriptors this process has open."""
    count = 0
    for descriptor in range(4096):
        with contextlib.suppress(OSError):
            os.fstat(descriptor)
            count += 1
    return count


SPOILS: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, 100),
    "another file": lambda path: path.write_bytes(b"not what it should be" * 500),
    "one bit": lambda path: path.write_bytes(
        path.read_bytes()[:40] + b"\xff" * 8 + path.read_bytes()[48:]
    ),
}


@pytest.mark.parametrize("how", sorted(SPOILS))
def test_a_damaged_file_is_begun_anew_with_a_word_and_one_windows_wait(
    desk: Desk, how: str
) -> None:
    pacer = desk.of()
    assert desk.burst(pacer, CRITICAL) == 100
    (path,) = (desk.folder / "pacing").iterdir()
    SPOILS[how](path)
    assert pacer.reserve(CALL, CRITICAL).wait > 0, "what was sent before still counts"
    assert ["damaged and is begun anew" in one for one in desk.said] == [True]
    desk.pass_(HELD + 0.5)
    assert desk.burst(pacer, CRITICAL) == 100


def test_a_file_that_is_removed_underneath_is_made_again(desk: Desk) -> None:
    pacer = desk.of()
    assert desk.burst(pacer, CRITICAL) == 100
    (path,) = (desk.folder / "pacing").iterdir()
    path.unlink()
    desk.pass_(1.1)
    assert pacer.reserve(CALL, CRITICAL).wait > 0, "what was sent before still counts"
    assert path.exists()


def test_what_is_in_the_place_of_the_file_is_an_error_with_a_cure(desk: Desk) -> None:
    (desk.folder / "pacing" / "12345678.pace").mkdir(parents=True)
    with pytest.raises(WorkspaceError, match="Nothing was sent") as refused:
        desk.of().reserve(CALL, NORMAL)
    assert "move it away" in refused.value.hint


def test_a_full_disk_is_an_error_and_nothing_is_sent(tmp_path: Path) -> None:
    code = """
import resource, signal, sys
from pathlib import Path
from hsagency.errors import WorkspaceError
from hsagency.audit.journal.writer import AuditWriter
from tests.core.desks import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
with AuditWriter(folder / "audit", author=AUTHOR) as writer:
    pacer = Desk(folder, writer, []).of()
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
    try:
        pacer.reserve(CALL, NORMAL)
    except WorkspaceError as error:
        print("refused", error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print("after", pacer.reserve(CALL, NORMAL).granted)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "refused" in done.stdout, done.stderr
    assert "ulimit -f" in done.stdout
    assert "after True" in done.stdout


def test_a_file_of_another_user_is_an_error_with_a_cure(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from hsagency.errors import WorkspaceError
from hsagency.audit.journal.writer import AuditWriter
from tests.core.desks import *
folder = Path(sys.argv[1])
(folder / "mine").mkdir(mode=0o777)
os.chmod(folder / "mine", 0o777)
(folder / "pacing").mkdir(mode=0o755)
(folder / "pacing" / "12345678.pace").touch(mode=0o600)
if os.geteuid() == 0:
    os.setuid(65534)
else:
    os.chmod(folder / "pacing" / "12345678.pace", 0o400)
with AuditWriter(folder / "mine" / "audit", author=AUTHOR) as writer:
    try:
        Desk(folder, writer, []).of().reserve(CALL, NORMAL)
    except WorkspaceError as error:
        print("refused", error)
"""
    for one in (tmp_path, *tmp_path.parents):
        if one.stat().st_uid == os.geteuid() and one != Path("/tmp"):
            one.chmod(one.stat().st_mode | 0o055)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "refused" in done.stdout, done.stderr
    assert "Nothing was sent" in done.stdout
