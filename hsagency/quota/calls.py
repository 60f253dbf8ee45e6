"""
How much of a portal's daily quota was used: frames of calls in, small frames out.

Counted are the calls in this agency's own log, by UTC day. The limit is the portal's and other
programs of the client draw on it too, and HubSpot resets it at midnight in the portal's own
time zone. So `share` is what this agency used; `remaining`, HubSpot's own word, is what was
left for everybody when it was last told that day, and `portal_share` is the most that
everybody together had used when it was told. What no answer told is null, never zero.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from hsagency.audit.record import Outcome
from hsagency.compliance import SIMULATED, sent

_LIMITED: Final = pl.col("outcome") == str(Outcome.RATE_LIMITED)


def calls_per_day(calls: pl.LazyFrame, limit: int | None) -> pl.DataFrame:
    """
    Count calls by UTC day against the portal's own limit.

    `limit` is what the connection knows; a header of the day itself counts for more. Days
    without records are not rows: nothing is known of them.

    Columns: `date` (Date); `calls`, `rate_limited` and `limit` (Int64); `limit_source`
    (String: header, portal or unknown); `share` and `portal_share` (Float64, 1.0 is the whole
    limit); `remaining` and `simulated` (Int64).
    """
    told = pl.col("rate_limit_remaining")
    days = (
        sent(calls)
        .sort("ts")
        .group_by(pl.col("ts").dt.date().alias("date"))
        .agg(
            calls=pl.len().cast(pl.Int64),
            rate_limited=_LIMITED.sum().cast(pl.Int64),
            header=pl.col("rate_limit_daily").max(),
            remaining=told.filter(told.is_not_null()).last(),
            least=told.min(),
            simulated=SIMULATED,
        )
        .sort("date")
    )
    return days.select(*_against(limit)).collect()


def _against(limit: int | None) -> list[pl.Expr]:
    known = pl.lit(limit, dtype=pl.Int64)
    daily = pl.coalesce("header", known)
    source = (
        pl.when(pl.col("header").is_not_null())
        .then(pl.lit("header"))
        .when(known.is_not_null())
        .then(pl.lit("portal"))
        .otherwise(pl.lit("unknown"))
    )
    return [
        *(pl.col(name) for name in ("date", "calls", "rate_limited")),
        daily.alias("limit"),
        source.alias("limit_source"),
        (pl.col("calls") / daily).alias("share"),
        # More left than the limit is no share of it: one of the two is not this portal's.
        pl.when(pl.col("least") <= daily).then(1 - pl.col("least") / daily).alias("portal_share"),
        pl.col("remaining"),
        pl.col("simulated"),
    ]


def refusals_by_policy(calls: pl.LazyFrame) -> pl.DataFrame:
    """
    Count HubSpot's 429 answers by the policy they named.

    Columns: `policy` (String), `refusals` (Int64), `first` and `last` (Datetime in UTC),
    `simulated` (Int64); the most frequent comes first.
    """
    return (
        calls.filter(_LIMITED)
        .group_by(pl.col("policy_name").fill_null("not stated").alias("policy"))
        .agg(
            refusals=pl.len().cast(pl.Int64),
            first=pl.col("ts").min(),
            last=pl.col("ts").max(),
            simulated=SIMULATED,
        )
        .sort("refusals", "policy", descending=[True, False])
        .collect()
    )


def headline(days: pl.DataFrame) -> pl.DataFrame:
    """
    Return the few figures of `calls_per_day` that a reader wants first.

    Columns: `what` and `value` (String).
    """
    busiest = days.sort("calls", "date", descending=[True, False]).head(1)
    closest = days.drop_nulls("share").sort("share", descending=True).head(1)
    fullest = days.drop_nulls("portal_share").sort("portal_share", descending=True).head(1)
    rows = [
        ("Days with calls", f"{days.height:,}"),
        ("Calls", f"{days['calls'].sum():,}"),
        ("Busiest day", _day(busiest, "{calls:,} calls on {date}")),
        ("Largest use by this agency", _day(closest, "{share} of {limit:,} on {date}")),
        ("Largest use by everybody", _day(fullest, "{portal_share} on {date}, as HubSpot told")),
        ("Days whose limit is not known", f"{days['limit'].null_count():,}"),
        ("Refused by HubSpot (429)", f"{days['rate_limited'].sum():,}"),
    ]
    return pl.DataFrame(rows, schema={"what": pl.String, "value": pl.String}, orient="row")


def _day(found: pl.DataFrame, text: str) -> str:
    if not found.height:
        return "not known"
    row = found.row(0, named=True)
    shares = {name: percent(row[name]) for name in ("share", "portal_share") if row[name]}
    return text.format(**{**row, **shares})


def percent(share: float) -> str:
    """
    Return a share in percent; something is never shown as nothing.

    >>> percent(0.1234), percent(0.00001), percent(0.0)
    ('12.34%', '<0.01%', '0.00%')
    """
    return "<0.01%" if 0 < share < 0.0001 else f"{share:.2%}"
