"""How the calls of a day stand against that portal's own limit."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from hsagency import quota
from hsagency.audit.lake import CALLS
from hsagency.audit.record import Outcome

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def frame(*rows: dict[str, object]) -> pl.LazyFrame:
    usual = {"ts": NOON, "outcome": "ok", "origin": "witnessed", "client_slug": "acme-corp"}
    return pl.LazyFrame([{**usual, **row} for row in rows], schema=CALLS)


def day(*rows: dict[str, object], limit: int | None = None) -> dict[str, object]:
    days = quota.calls_per_day(frame(*rows), limit)
    assert days.height == 1
    return days.row(0, named=True)


@given(
    st.lists(st.tuples(st.integers(0, 30 * 24), st.sampled_from([*map(str, Outcome)])), max_size=50)
)
def test_the_days_partition_the_calls_that_were_sent(drawn: list[tuple[int, str]]) -> None:
    rows = [{"ts": NOON + timedelta(hours=hours), "outcome": outcome} for hours, outcome in drawn]
    days = quota.calls_per_day(frame(*rows), 1000)
    assert days["calls"].sum() == sum(outcome != "refused" for _, outcome in drawn)
    assert days["date"].is_unique().all()
    assert days["date"].is_sorted()
    refused = quota.refusals_by_policy(frame(*rows))
    assert refused["refusals"].sum() == days["rate_limited"].sum()


def test_a_header_of_the_day_counts_for_more_than_what_the_connection_knows() -> None:
    found = day({"rate_limit_daily": 250_000}, {"rate_limit_daily": 500_000}, {}, limit=625_000)
    assert (found["limit"], found["limit_source"]) == (500_000, "header")
    assert found["share"] == 3 / 500_000


def test_without_a_header_the_connection_is_asked() -> None:
    assert day({}, limit=625_000)["limit_source"] == "portal"


def test_a_limit_that_nobody_told_is_unknown_and_never_zero() -> None:
    found = day({})
    assert found["limit"] is None
    assert found["share"] is None
    assert found["remaining"] is None
    assert found["limit_source"] == "unknown"


def test_what_remains_is_the_last_word_of_the_day() -> None:
    rows = [
        {"ts": NOON + timedelta(hours=2), "rate_limit_remaining": 900},
        {"ts": NOON, "rate_limit_remaining": 990},
        {"ts": NOON + timedelta(hours=3)},
    ]
    assert day(*rows)["remaining"] == 900


def test_refusals_are_counted_by_the_policy_they_name() -> None:
    limited = {"outcome": "rate_limited"}
    found = quota.refusals_by_policy(
        frame(
            {**limited, "policy_name": "DAILY"},
            {**limited, "policy_name": "TEN_SECONDLY_ROLLING"},
            {**limited, "policy_name": "DAILY"},
            {**limited},
            {"policy_name": "DAILY"},
        )
    )
    assert dict(found.select("policy", "refusals").iter_rows()) == {
        "DAILY": 2,
        "TEN_SECONDLY_ROLLING": 1,
        "not stated": 1,
    }


def test_the_headline_names_the_busiest_day() -> None:
    days = quota.calls_per_day(frame({}, {"ts": NOON + timedelta(days=1)}, {}), 1000)
    told = dict(quota.headline(days).iter_rows())
    assert told["Busiest day"] == f"2 calls on {date(2026, 5, 4)}"
    assert told["Largest use by this agency"] == "0.20% of 1,000 on 2026-05-04"


def test_the_headline_of_nothing_is_not_known() -> None:
    told = dict(quota.headline(quota.calls_per_day(frame(), None)).iter_rows())
    assert told["Busiest day"] == told["Largest use by this agency"] == "not known"
    assert told["Largest use by everybody"] == "not known"


def test_the_portal_share_is_the_most_that_everybody_had_used() -> None:
    found = day(
        {"rate_limit_daily": 1000, "rate_limit_remaining": 900},
        {"rate_limit_daily": 1000, "rate_limit_remaining": 250, "ts": NOON + timedelta(hours=1)},
        {"rate_limit_daily": 1000, "rate_limit_remaining": 800, "ts": NOON + timedelta(hours=2)},
    )
    assert found["portal_share"] == 0.75
    assert found["remaining"] == 800
    assert found["share"] == 0.003


def test_a_portal_share_that_no_answer_told_is_not_zero() -> None:
    assert day({"outcome": "ok"}, limit=1000)["portal_share"] is None


def test_more_left_than_the_limit_tells_no_share() -> None:
    assert day({"rate_limit_remaining": 2000}, limit=1000)["portal_share"] is None


def test_a_small_share_is_not_shown_as_none() -> None:
    days = quota.calls_per_day(frame({}), 1_000_000)
    assert dict(quota.headline(days).iter_rows())["Largest use by this agency"].startswith("<0.01%")
    assert quota.percent(0.0) == "0.00%"


def test_the_headline_names_the_day_on_which_everybody_used_most() -> None:
    told = {"rate_limit_daily": 1000, "rate_limit_remaining": 250}
    days = quota.calls_per_day(frame(told, {"ts": NOON + timedelta(days=1)}), 1000)
    words = dict(quota.headline(days).iter_rows())["Largest use by everybody"]
    assert words == "75.00% on 2026-05-04, as HubSpot told"


def test_frames_have_the_columns_and_types_that_their_docstrings_name() -> None:
    count = pl.Int64()
    assert dict(quota.calls_per_day(frame({}), None).schema) == {
        "date": pl.Date(), "calls": count, "rate_limited": count, "limit": count,
        "limit_source": pl.String(), "share": pl.Float64(), "portal_share": pl.Float64(),
        "remaining": count, "simulated": count,
    }  # fmt: skip
    moment = pl.Datetime("us", "UTC")
    assert dict(quota.refusals_by_policy(frame({})).schema) == {
        "policy": pl.String(), "refusals": count, "first": moment, "last": moment,
        "simulated": count,
    }  # fmt: skip
