"""Windows: whose turn it is, and what answers teach of it, in one process."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hsagency.audit.journal.writer import AuditWriter
from hsagency.pacing import Budget, Source, budget_of
from hsagency.pacing.budgets import WINDOW_SHARE, share
from hsagency.portals import CredentialKind
from hsagency.routes import touched
from hsagency.settings import Priority
from tests.core.desks import (
    AUTHOR,
    CALL,
    CRITICAL,
    HELD,
    LINKS,
    LOW,
    NORMAL,
    SEARCH,
    Desk,
    answer,
)


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
    assert pacer.reserve(SEARCH, CRITICAL).wait > 0.1, "calls do not arrive as they leave"
    desk.pass_(1.5)
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


def test_while_a_higher_priority_waits_a_lower_one_lets_it_go_first(desk: Desk) -> None:
    pacer, another = desk.of(), desk.other().of()
    pacer.told(pacer.reserve(CALL, CRITICAL), answer(most=10, room=9))
    for _ in range(9):
        assert pacer.reserve(CALL, CRITICAL).granted
    waits = another.reserve(CALL, CRITICAL)
    assert not waits.granted
    desk.pass_(waits.wait - 0.01)
    low = pacer.reserve(CALL, LOW)
    assert not low.granted, "though there will be room"
    assert 0 < low.wait < 1
    desk.pass_(0.01)
    assert another.reserve(CALL, CRITICAL).granted
    desk.pass_(0.2)
    assert pacer.reserve(CALL, LOW).granted, "nobody waits any more"


@pytest.mark.parametrize("priority", list(Priority))
def test_a_lone_caller_of_any_priority_has_its_full_share(desk: Desk, priority: Priority) -> None:
    pacer, went = desk.of(), 0
    pacer.told(pacer.reserve(CALL, CRITICAL), answer(most=20, room=19))
    ends = desk.clock[0] + timedelta(seconds=10 * HELD)
    while desk.clock[0] < ends:
        ticket = pacer.reserve(CALL, priority)
        went += ticket.granted
        desk.pass_(ticket.wait)
    assert went >= 10 * 20 * WINDOW_SHARE[priority] // 100 - 1


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
