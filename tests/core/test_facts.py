"""Facts of a portal: where each comes from and since when, what outweighs what, what is inferred."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.data import table
from hsagency.facts import (
    DOMAIN,
    Told,
    differences,
    facts_of,
    gathered,
    hublet_warning,
    infer_tier,
    merged,
    type_warning,
)
from hsagency.portals import Fact, PortalId, Provenance
from hsagency.verifier import DailyUsage, Identity, Introspection
from tests.support import TOKEN

AT = datetime(2026, 11, 20, 9, tzinfo=UTC)
LATER = AT + timedelta(days=1)
MINE = PortalId(12345678)
BARE = Identity(
    portal_id=MINE,
    account_type="STANDARD",
    time_zone=None,
    currency="USD",
    ui_domain="app.hubspot.com",
    hosting="na1",
    name=None,
    correlation_id=None,
)


def told(*, domain: str | None = None, daily: int = 0, **changes: Any) -> Told:
    """Return what HubSpot tells: the identity changed, and a domain or a daily limit with it."""
    return Told(
        identity=replace(BARE, **changes),
        usage=DailyUsage(limit=daily, used=0) if daily else None,
        introspection=Introspection(portal_id=MINE, scopes=("oauth",), hub_domain=domain),
    )


def test_what_hubspot_tells_becomes_fetched_facts_and_nothing_else_does() -> None:
    facts = facts_of(BARE, at=AT)
    assert {name: fact.value for name, fact in facts.items()} == {
        "account_type": "STANDARD",
        "currency": "USD",
        "ui_domain": "app.hubspot.com",
        "hosting": "na1",
    }
    assert {(fact.provenance, fact.at) for fact in facts.values()} == {("fetched", AT)}


def test_differences_say_old_and_new_and_only_what_differs() -> None:
    def facts(**values: Any) -> dict[str, Fact]:
        return {name: Fact(value, Provenance.FETCHED, AT) for name, value in values.items()}

    before = facts(name="Acme", currency="USD", time_zone="UTC", scopes=("a", "b"), gone=1)
    after = facts(name="Acme 2", currency="USD", account_type="STANDARD", scopes=("a", "c"))
    assert differences(before, after) == (
        "account type unknown -> 'STANDARD', name 'Acme' -> 'Acme 2', "
        "scopes: no longer b and now also c"
    )
    assert differences(after, facts(scopes=("c", "a"))) == ""
    assert differences(before, before) == ""
    long = differences(before, facts(name=f"{TOKEN} \x1b[2J" + "x" * 1000))
    assert len(long) < 200
    assert TOKEN not in long
    assert "\x1b" not in long


@pytest.mark.parametrize(
    ("prefix", "hosting"),
    [("na1", "na1"), ("na1", "eu1"), (None, "eu1"), ("na1", None), (None, None)],
)
def test_a_prefix_that_differs_from_the_hosting_is_said(
    prefix: str | None, hosting: str | None
) -> None:
    warning = hublet_warning(prefix, replace(BARE, hosting=hosting))
    if (prefix, hosting) == ("na1", "eu1"):
        assert warning is not None
        assert "made for na1, but the portal is hosted in eu1" in warning
    else:
        assert warning is None


# Names.


def named(facts: Any) -> tuple[object, str]:
    return facts["name"].value, facts["name"].provenance


def test_the_account_name_counts_for_more_than_the_domain_and_both_for_more_than_a_persons() -> (
    None
):
    everything = gathered(told(name="Acme Inc", domain="acme.example"), at=AT, name="Our Acme")
    assert named(everything) == ("Acme Inc", "fetched")
    assert everything["declared_name"].value == "Our Acme"
    without = gathered(told(domain="acme.example"), at=AT, name="Our Acme")
    assert named(without) == ("acme.example", "fetched")
    assert without["name"].evidence == DOMAIN
    assert named(gathered(told(), at=AT, name="Our Acme")) == ("Our Acme", "declared")
    assert "name" not in gathered(told(), at=AT)


def test_the_name_follows_hubspot_and_the_persons_is_kept_beside_it() -> None:
    before = gathered(told(), at=AT, name="Our Acme")
    after = merged(before, gathered(told(name="Acme Inc"), at=LATER))
    assert named(after) == ("Acme Inc", "fetched")
    assert after["declared_name"] == before["name"]
    renamed = merged(after, gathered(told(name="Acme Ltd"), at=LATER))
    assert differences(after, renamed) == "name 'Acme Inc' -> 'Acme Ltd'"
    assert renamed["declared_name"] == before["name"]


def test_a_domain_never_takes_the_place_of_an_account_name() -> None:
    before = gathered(told(name="Acme Inc"), at=AT)
    after = merged(before, gathered(told(domain="acme.example"), at=LATER))
    assert after["name"] == before["name"]
    back = merged(gathered(told(domain="acme.example"), at=AT), before)
    assert named(back) == ("Acme Inc", "fetched")


def test_a_name_that_a_person_gives_later_does_not_hide_the_fetched_one() -> None:
    before = gathered(told(name="Acme Inc"), at=AT)
    after = merged(before, gathered(told(), at=LATER, name="Our Acme"))
    assert after["name"] == before["name"]
    assert after["declared_name"].value == "Our Acme"


def test_what_is_no_longer_told_stays_with_its_old_time() -> None:
    before = gathered(told(name="Acme Inc", daily=625_000, time_zone="US/Eastern"), at=AT)
    bare = replace(BARE, account_type=None, currency=None, ui_domain=None, hosting=None)
    after = merged(before, gathered(Told(identity=bare), at=LATER))
    assert after == before


# Account types.


@pytest.mark.parametrize("kind", ["SANDBOX", "DEVELOPER_TEST", "APP_DEVELOPER", "SOMETHING_NEW"])
def test_another_account_type_is_a_warning_that_says_what_it_means(kind: str) -> None:
    before, after = gathered(told(), at=AT), gathered(told(account_type=kind), at=LATER)
    said = type_warning(before, after)
    assert said is not None
    assert said.startswith(f"its account type changed from STANDARD to {kind}: ")
    assert type_warning(after, before) is not None
    assert type_warning(before, before) is None
    assert type_warning({}, after) is None


# Tiers.


@pytest.mark.parametrize(
    ("daily", "burst", "account", "expected"),
    [
        (250_000, None, "STANDARD", ("starter", "daily limit 250,000", "high")),
        (
            625_000,
            190,
            "STANDARD",
            ("professional", "daily limit 625,000, burst limit 190", "high"),
        ),
        (
            2_000_000,
            250,
            "STANDARD",
            ("enterprise", "daily limit 2,000,000 with 1 API add-on, burst limit 250", "high"),
        ),
        (
            2_250_000,
            200,
            "STANDARD",
            ("starter", "daily limit 2,250,000 with 2 API add-ons, burst limit 200", "high"),
        ),
        (1_000_000, 110, "STANDARD", ("enterprise", "daily limit 1,000,000", "high")),
        (
            625_000,
            100,
            "STANDARD",
            (
                "professional",
                "daily limit 625,000; but its burst limit is 100 and not 190",
                "low",
            ),
        ),
        (
            650_000,
            190,
            "STANDARD",
            ("professional", "daily limit 650,000; an older figure of HubSpot's", "low"),
        ),
        (
            1_000_000,
            190,
            "SANDBOX",
            (
                "enterprise",
                "daily limit 1,000,000; of a sandbox, whose limits may not be the client's",
                "low",
            ),
        ),
        (None, 100, "STANDARD", ("starter", "burst limit 100", "low")),
        (
            None,
            190,
            "STANDARD",
            ("professional", "burst limit 190, which professional and enterprise share", "low"),
        ),
        (
            777_777,
            100,
            None,
            ("starter", "burst limit 100; the daily limit 777,777 is no tier's", "low"),
        ),
        (777_777, 250, "STANDARD", None),
        (1_000_000, 190, "DEVELOPER_TEST", None),
        (250_000, 100, "APP_DEVELOPER", None),
        (None, None, None, None),
    ],
)
def test_the_tier_follows_from_limits_and_account_type(
    daily: int | None, burst: int | None, account: str | None, expected: object
) -> None:
    assert infer_tier(daily=daily, burst=burst, account_type=account) == expected


def test_an_unknown_account_type_leaves_a_doubt_about_enterprise_only() -> None:
    doubtful = infer_tier(daily=1_000_000, burst=190)
    assert doubtful is not None
    assert (doubtful.name, doubtful.confidence) == ("enterprise", "low")
    sure = infer_tier(daily=625_000, burst=190)
    assert sure is not None
    assert sure.confidence == "high"


LIMITS = st.none() | st.integers() | st.sampled_from([
    tier["daily"] + 1_000_000 * add_ons for tier in table("limits")["tier"] for add_ons in range(3)
])  # fmt: skip
BURSTS = st.none() | st.integers() | st.sampled_from([100, 110, 190, 200, 250])
ACCOUNTS = st.none() | st.text() | st.sampled_from(
    ["STANDARD", "SANDBOX", "DEVELOPER_TEST", "APP_DEVELOPER"]
)  # fmt: skip


@given(daily=LIMITS, burst=BURSTS, account=ACCOUNTS)
def test_whatever_is_told_a_tier_has_its_evidence_and_a_known_name(
    daily: int | None, burst: int | None, account: str | None
) -> None:
    found = infer_tier(daily=daily, burst=burst, account_type=account)
    if found is None:
        return
    assert found.name in {one["name"] for one in table("limits")["tier"]}
    assert found.evidence
    assert found.confidence in ("high", "low")
    assert found.confidence == "low" or daily is not None
    assert account not in ("DEVELOPER_TEST", "APP_DEVELOPER")


@given(daily=st.integers(1, 10**7), burst=BURSTS, account=ACCOUNTS)
def test_telling_the_same_again_changes_nothing_but_times(
    daily: int, burst: int | None, account: str | None
) -> None:
    said = told(daily=daily, burst_limit=burst, account_type=account, name="Acme")
    before = gathered(said, at=AT)
    after = merged(before, gathered(said, at=LATER))
    assert differences(before, after) == ""
    assert {name: replace(one, at=AT) for name, one in after.items()} == dict(before)


def test_the_tier_of_an_answers_headers_is_as_old_as_they_are() -> None:
    before = gathered(told(daily=625_000), at=AT)
    silent = merged(before, gathered(told(), at=LATER))
    assert silent["tier"].at == AT
    again = merged(before, gathered(told(daily_limit=625_000, burst_limit=190), at=LATER))
    assert (again["tier"].at, again["tier"].confidence) == (LATER, "high")
    raised = merged(before, gathered(told(daily_limit=1_000_000), at=LATER))
    assert "tier 'professional' -> 'enterprise'" in differences(before, raised)


def test_a_persons_tier_outweighs_whatever_limits_say_until_they_say_another() -> None:
    before = gathered(told(daily=625_000), at=AT, tier="starter")
    assert before["tier"] == Fact("starter", Provenance.DECLARED, AT)
    after = merged(before, gathered(told(daily=1_000_000), at=LATER))
    assert after["tier"] == before["tier"]
    again = merged(after, gathered(told(daily=1_000_000), at=LATER, tier="enterprise"))
    assert again["tier"] == Fact("enterprise", Provenance.DECLARED, LATER)


def test_an_inference_that_nothing_bears_out_any_more_is_kept_and_doubted_once() -> None:
    before = gathered(told(daily=625_000), at=AT)
    odd = gathered(told(daily=777_777), at=LATER)
    after = merged(before, odd)
    assert (after["tier"].value, after["tier"].confidence) == ("professional", "low")
    assert after["tier"].evidence.endswith("what HubSpot told since points to none")
    assert merged(after, odd)["tier"] == after["tier"]
