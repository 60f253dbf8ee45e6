"""Who may still call when a day runs short: priorities, the reserve, a closed portal, checks."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hsagency.audit.journal.writer import AuditWriter
from hsagency.errors import PortalAway, QuotaSpent
from hsagency.pacing import Source
from hsagency.portals import CredentialKind
from hsagency.routes import touched
from hsagency.settings import Amount, Priority, QuotaSettings, Settings
from tests.core.desks import (
    ASK,
    AUTHOR,
    CALL,
    CRITICAL,
    HELD,
    LOW,
    NOON,
    NORMAL,
    SEARCH,
    Desk,
    answer,
)


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
    assert said.count(f"{priority} priority") == 1
    assert f"calls of {priority} priority, as with purpose 'weekly review', stop when" in said
    assert f"stop when {percent} % are used" in said
    assert "2026-11-21 00:00 Europe/Berlin (2026-11-20 23:00 UTC). Nothing was sent." in said


def test_nothing_is_offered_where_no_setting_lets_the_call_pass(desk: Desk) -> None:
    pacer = desk.of()
    for left in (10, 0):  # of 1,000, of which critical calls may use up 990
        pacer.told(pacer.reserve(ASK, NORMAL, purpose="quota"), answer(daily=1000, left=left))
        with pytest.raises(QuotaSpent, match="no setting lets any more pass today") as refused:
            pacer.reserve(CALL, NORMAL)
        assert "under [" not in refused.value.hint


SETTINGS = """
schema = 1
workspace = "w"
store = "age:x"
[quota]
reserve = "2%"
[quota.clients.acme-corp]
warn_below = 50
{reserve}
[purposes]
"nightly" = "low"
{purposes}
[agency]
name = "A"
"""


@given(
    limit=st.integers(1, 100_000),
    used=st.floats(0, 1),
    reserve=st.floats(0, 1),
    priority=st.sampled_from(Priority),
)
@example(limit=1000, used=0.955, reserve=0.06, priority=NORMAL)
@example(limit=1000, used=0.5, reserve=0.6, priority=CRITICAL)
def test_what_a_refusal_offers_is_toml_and_lets_this_very_call_pass(
    tmp_path_factory: pytest.TempPathFactory,
    limit: int,
    used: float,
    reserve: float,
    priority: Priority,
) -> None:
    folder = tmp_path_factory.mktemp("offer")
    left = limit - int(limit * used)
    kept = QuotaSettings(clients={"acme-corp": {"reserve": int(limit * reserve)}})
    with AuditWriter(folder / "audit", author=AUTHOR) as writer:
        desk = Desk(folder, writer, []).other(quota=kept)
        pacer = desk.of(time_zone="UTC")
        pacer.told(pacer.reserve(ASK, NORMAL, purpose="quota"), answer(daily=limit, left=left))
        hint = ""
        try:
            pacer.reserve(CALL, priority, purpose="data fix")
        except QuotaSpent as error:
            hint = error.hint
        offered = dict(re.findall(r"under \[(\w+)[^]]*\]: ([^;]+)", hint))
        assert not hint or offered or "no setting lets" in hint
        if offered:
            lines = {"reserve": offered.get("quota", ""), "purposes": offered.get("purposes", "")}
            anew = Settings.model_validate(tomllib.loads(SETTINGS.format(**lines)))
            if "quota" not in offered:  # it did not say that the reserve holds
                anew = anew.model_copy(update={"quota": kept})
            later = desk.other(quota=anew.quota).of(time_zone="UTC")
            later.reserve(CALL, anew.purposes.get("data fix", priority), purpose="data fix")
            later.let_go()
        pacer.let_go()


def test_nobody_goes_into_the_reserve(desk: Desk) -> None:
    more = QuotaSettings(reserve="20%", clients={"acme-corp": {"reserve": 300}})
    for slug, reserve in (("acme-corp", 300), ("globex", 200)):
        pacer = desk.other(quota=more).of(slug=slug, portal_id=reserve)
        pacer.told(pacer.reserve(CALL, CRITICAL), answer(daily=1000, left=reserve + 1))
        assert pacer.reserve(CALL, CRITICAL).granted
        with pytest.raises(QuotaSpent, match=f"the last {reserve} are reserved for") as refused:
            pacer.reserve(CALL, CRITICAL)
        assert f"under [quota.clients.{slug}]: reserve = {reserve // 2}" in refused.value.hint
        assert pacer.reserve(ASK, LOW, purpose="verification").granted
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
    pacer, another = desk.of(time_zone="UTC"), desk.other().of(time_zone="UTC")
    pacer.close(NOON + timedelta(hours=5), "HubSpot is moving the portal")
    with pytest.raises(PortalAway, match="because HubSpot is moving the portal") as refused:
        another.reserve(CALL, CRITICAL)
    assert refused.value.until == NOON + timedelta(hours=5)
    assert "hsagency verify acme-corp" in refused.value.hint
    assert another.standing().closed_because == "HubSpot is moving the portal"
    assert another.reserve(ASK, LOW, purpose="verification").granted
    desk.pass_(5 * 3600)
    assert pacer.reserve(CALL, NORMAL).granted


@pytest.mark.parametrize("purpose", ["verification", "quota", "completeness", "onboarding"])
def test_a_purpose_alone_makes_no_call_one_of_our_own_checks(desk: Desk, purpose: str) -> None:
    pacer = desk.of()
    pacer.close(None, "the day is used up")
    for touches in (CALL, SEARCH, touched("POST", "/account-info/v3/details")):
        with pytest.raises(QuotaSpent):
            pacer.reserve(touches, CRITICAL, purpose=purpose)
    with pytest.raises(QuotaSpent):
        pacer.reserve(ASK, CRITICAL, purpose="weekly review")
    assert pacer.standing().checks == 0


@pytest.mark.parametrize("until", [None, NOON + timedelta(hours=5)])
def test_a_good_answer_to_a_later_check_opens_a_portal_again(
    desk: Desk, until: datetime | None
) -> None:
    pacer = desk.of(time_zone="UTC")
    earlier = pacer.reserve(ASK, NORMAL, purpose="quota")
    desk.pass_(1)
    pacer.close(until, "HubSpot said so")
    desk.pass_(1)
    later = pacer.reserve(ASK, NORMAL, purpose="quota")
    pacer.told(earlier, answer())
    pacer.told(later, httpx.Response(477))
    pacer.told(later, answer(daily=1000, left=0))
    assert pacer.standing().closed_until is not None
    pacer.told(later, answer())
    assert pacer.standing().closed_until is None


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
    ticket = pacer.reserve(ASK, NORMAL, purpose="verification")
    pacer.told(ticket, answer(daily=1000, left=900))
    assert pacer.reserve(CALL, CRITICAL).granted


def test_a_close_is_no_longer_than_a_day(desk: Desk) -> None:
    pacer = desk.of()
    pacer.close(NOON + timedelta(days=30), "x" * 1000 + "é")
    until = pacer.standing().closed_until
    assert until is not None
    assert until <= NOON + timedelta(hours=26)
    pacer.close(NOON + timedelta(hours=2), "HubSpot said so")
    desk.pass_(-86_400 * 3)
    assert pacer.reserve(CALL, NORMAL).granted, "the clock was set back"


def test_the_usage_endpoint_is_believed_where_it_knows_and_no_header_told(desk: Desk) -> None:
    pacer = desk.of()
    for limit, used in ((0, 0), (-1, 5), (1000, -1)):
        pacer.usage(limit, used)
    assert pacer.standing().limit_source is Source.LOWEST
    pacer.usage(1000, 10)
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
        pacer.reserve(ASK, NORMAL, purpose=purpose)
    standing = pacer.standing()
    assert (standing.ours, standing.checks) == (5, 3)
