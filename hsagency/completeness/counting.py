"""Our calls as HubSpot may have counted them, day by day of the portal."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import polars as pl

from hsagency.audit.record import Origin, Outcome
from hsagency.completeness.judging import CLOCK, Known, Row, Sample
from hsagency.portals import AGENCY, CredentialKind

COLUMNS: Final = (
    "ts", "client_slug", "candidate_slug", "path", "outcome", "status_code", "duration_ms",
    "origin", "rate_limit_daily", "rate_limit_remaining", "credential_fingerprint",
)  # fmt: skip
"""What of a call is looked at."""

_LONGEST: Final = timedelta(seconds=100)  # after which HubSpot itself gives up (facts 4.2)
_NO, _MAYBE, _SURE = 0, 1, 2
_UNSURE_STATUS: Final = (401, 423, 429, 477, 488)


def may_count(calls: pl.LazyFrame, known: Known) -> pl.DataFrame:
    """Return the calls that may have been counted: when, on which day, and how surely."""
    own = pl.col("client_slug") == known.slug
    here = calls.filter(own | (pl.col("candidate_slug") == known.slug)).select(
        "ts", "path", "outcome", "status_code", "duration_ms", "origin",
        pl.col("rate_limit_daily").alias("limit"),
        pl.col("rate_limit_remaining").alias("left"),
        pl.col("credential_fingerprint").alias("credential"),
        (pl.col("client_slug") == AGENCY).alias("before_connecting"),
    ).collect()  # fmt: skip
    kinds = dict(known.kinds or {})
    ours = {*kinds, *here.filter(~pl.col("before_connecting"))["credential"].drop_nulls()}
    # a refusal says that nothing is left, whatever is
    believed = (pl.col("origin") == str(Origin.WITNESSED)) & pl.col("status_code").ne_missing(429)
    used = pl.col("limit") - pl.col("left")
    framed = (
        here.with_columns(
            kind=pl.col("credential").replace_strict(kinds, default=None, return_dtype=pl.String),
            used=pl.when(believed & (used >= 0)).then(used),
        )
        .with_columns(sure=_sureness(pl.col("credential").is_in(list(ours))))
        .filter(pl.col("sure") > _NO)
    )
    return _dated(framed, known.day_of)


def _sureness(of_this_portal: pl.Expr) -> pl.Expr:
    """Say of each call whether HubSpot counts it: no, maybe, surely."""
    path, status = pl.col("path").fill_null(""), pl.col("status_code")
    silent = pl.col("used").is_null()
    never = (
        (pl.col("outcome") == str(Outcome.REFUSED))
        | (pl.col("origin") == str(Origin.SIMULATED))
        | path.str.contains(r"^/webhooks?\b.*journal")
    )
    unsure = (
        status.is_null()
        | status.is_in(_UNSURE_STATUS)
        | (status >= 500)
        | (pl.col("origin") != str(Origin.WITNESSED))
        | (silent & (path.str.ends_with("/search") | path.str.starts_with("/oauth/")))
        | (silent & pl.col("kind").eq_missing(str(CredentialKind.OAUTH)))
        | (pl.col("before_connecting") & ~of_this_portal)
    )
    word = pl.when(unsure.fill_null(value=True)).then(_MAYBE).otherwise(_SURE)
    return pl.when(never.fill_null(value=False)).then(_NO).otherwise(word).cast(pl.Int8)


def _dated(framed: pl.DataFrame, zone: str) -> pl.DataFrame:
    """
    Add when a call was over, and its day; one that may be of two days stands in both.

    Of such a call it is not sure where it counts, nor which day its header tells of.
    """

    def day(at: pl.Expr) -> pl.Expr:
        return at.dt.convert_time_zone(zone).dt.date()

    took = pl.duration(milliseconds=pl.col("duration_ms").fill_null(0) + 1)
    late = pl.when(pl.col("outcome") == str(Outcome.UNKNOWN)).then(pl.lit(_LONGEST)).otherwise(took)
    dated = framed.with_columns(
        end=pl.col("ts") + pl.max_horizontal(took, late), day=day(pl.col("ts"))
    ).with_columns(
        first=day(pl.col("ts") - CLOCK), last=day(pl.col("end") + CLOCK), own=pl.lit(value=True)
    )
    edge = (pl.col("first") != pl.col("last")).fill_null(value=True)
    dated = dated.with_columns(
        sure=pl.when(edge).then(_MAYBE).otherwise("sure").cast(pl.Int8),
        used=pl.when(~edge).then("used"),
    )
    carried = dated.filter(edge & (pl.col("last") > pl.col("day"))).with_columns(
        day="last", own=pl.lit(value=False)
    )
    columns = ["day", "ts", "end", "used", "sure", "own", "credential", "kind"]
    return pl.concat([dated.select(columns), carried.select(columns)])


def calls_of_days(seen: pl.DataFrame) -> pl.DataFrame:
    """Return how many calls were made on each day."""
    return seen.filter("own").group_by("day").agg(calls=pl.len())


def heads(seen: pl.DataFrame) -> pl.DataFrame:
    """
    Return the calls whose answer told the day's count, in HubSpot's order.

    `most` is how many of ours may have been counted by then, `rise` and `before` compare with
    the one before, and `lacking` is what HubSpot counted since then that is none of ours.
    """
    found = (
        seen.filter(pl.col("used").is_not_null())
        .sort("day", "used", "end")
        .with_columns(
            bearing=pl.col("used").rank("max").over("day").cast(pl.Int64),
            reach=pl.col("end").cum_max().over("day"),
        )
    )
    silent = (
        seen.filter(pl.col("used").is_null())
        .sort("ts")
        .select("day", "ts", silent=pl.int_range(1, pl.len() + 1).over("day"))
    )
    counted = (
        found.sort("reach")
        .join_asof(
            silent, left_on="reach", right_on="ts", by="day", strategy="backward",
            check_sortedness=False,
        )
        .sort("day", "used", "end")
        .with_columns(most=pl.col("bearing") + pl.col("silent").fill_null(0).cast(pl.Int64))
    )  # fmt: skip
    above = pl.max_horizontal(pl.col("used") - pl.col("most"), 0).cum_max()
    return counted.with_columns(
        above=above.over("day"),
        rise=(pl.col("used") - pl.col("used").shift(1, fill_value=0)).over("day"),
        before=pl.col("end").shift(1).over("day"),
    ).with_columns(lacking=(pl.col("above") - pl.col("above").shift(1, fill_value=0)).over("day"))


def told(seen: pl.DataFrame) -> pl.DataFrame:
    """Return what the headers come to, for each day that has any."""
    by_day = heads(seen).group_by("day", maintain_order=True)
    days = by_day.agg(
        theirs=pl.col("used").last(),
        ours_most=pl.col("most").last(),
        as_of=pl.col("end").last(),
        first_told=pl.col("end").first(),
        lacking=pl.col("above").last(),
        # answers that tell the same count are of one moment
        lacking_before_first=pl.col("above").first(),
        sure=(pl.col("sure") == _SURE).sum().cast(pl.Int64),
        begun=pl.col("ts").max(),
        newest=pl.col("used").sort_by("ts").last(),
    ).with_columns(
        contradicted=(pl.col("begun") > pl.col("as_of")) & (pl.col("newest") < pl.col("theirs"))
    )
    silent = seen.filter(pl.col("used").is_null(), pl.col("sure") == _SURE)
    over = (
        silent.join(days.select("day", "begun"), on="day")
        .filter(pl.col("end") <= pl.col("begun"))
        .group_by("day")
        .agg(over=pl.len().cast(pl.Int64))
    )
    return (
        days.join(over, on="day", how="left")
        .with_columns(ours_least=pl.col("sure") + pl.col("over").fill_null(0))
        .with_columns(difference=_outside())
        .with_columns(_unless_contradicted("ours_least", "ours_most", "difference"))
        .drop("sure", "begun", "newest", "over")
    )


def _unless_contradicted(*names: str) -> list[pl.Expr]:
    """Leave out what we had by then where HubSpot told of fewer later: ours have no order."""
    known = ~(pl.col("contradicted") & (pl.col("lacking") > 0)).fill_null(value=False)
    return [pl.when(known).then(pl.col(name)).alias(name) for name in names]


def _outside() -> pl.Expr:
    theirs, least, most = pl.col("theirs"), pl.col("ours_least"), pl.col("ours_most")
    above = pl.when(theirs > most).then(theirs - most)
    return above.when(theirs < least).then(theirs - least).otherwise(0)


def sampled(seen: pl.DataFrame, sample: Sample, day: date) -> Row:
    """Return what an answer of the usage endpoint comes to, beside our calls until then."""
    row: Row = {"theirs": sample.used, "as_of": sample.collected_at, "kind": sample.kind}
    if sample.kind != CredentialKind.PRIVATE_APP:
        return row
    kinds = [str(CredentialKind.PRIVATE_APP)]
    counts = pl.col("kind").is_in(kinds) | pl.col("kind").is_null()
    here = seen.filter(pl.col("day") == day)
    may = here.filter(
        counts,
        # whatever the clocks say, HubSpot did not count what was sent after it was asked
        pl.col("ts") <= min(sample.collected_at + CLOCK, sample.at),
    )
    must = may.filter(
        pl.col("kind").is_in(kinds),
        pl.col("sure") == _SURE,
        pl.col("end") <= sample.collected_at - CLOCK,
    )
    least, most = must.height, may.height
    above, below = max(0, sample.used - most), min(0, sample.used - least)
    row |= {"ours_least": least, "ours_most": most, "difference": above or below}
    return {**row, "lacking": above, "of_others": here.height - here.filter(counts).height}
