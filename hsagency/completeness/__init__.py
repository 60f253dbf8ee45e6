"""
What this log has of a portal's calls, beside what HubSpot counted: frames in, frames out.

A day is the portal's own, since HubSpot counts from midnight to midnight of the portal's time
zone; where that is not known, days are UTC's, labelled so, and nothing is comparable.

HubSpot has two counts. The headers of an answer tell what was left of the day for all
privately distributed apps of the portal: the limit less the least that was left is what had
been used when that was told (`as_of`). The daily usage endpoint counts legacy private apps
alone, and has no history, so that its answers are stored in the log (`audit.usage`). Neither
counts a call that was refused here, nor one of the webhook journal.

Ours is a range. At least: the answered calls that HubSpot must have counted by then. At most:
also those of which nobody can tell: calls without an answer; answers 401, 423, 429, 477, 488
and 5xx; searches and token endpoints that told nothing of the day; imported calls; calls of
a credential whose kind is not known, beside the endpoint; and what was on its way at midnight,
or within two minutes of it, since two clocks are compared (a larger difference of them is
recorded, and such a day is not comparable). Answers are put into HubSpot's order by what they
say was left, so calls that ran side by side need no clock; a 429's own headers are left out.

The verdict on a day:

complete        HubSpot's count lies within ours, at the last header and at each one before. It
                holds until then; of later calls nothing is known.
incomplete      Records are known to be lost, whatever HubSpot says; or HubSpot counted more,
                and the workspace says that no other app calls this portal (`only_us`).
not comparable  Everything else: HubSpot counted more, but other apps share that count; it
                counted less; it told no count, as for OAuth; it counts no such credential.

What this cannot see: a lost record in the place of which HubSpot left an uncertain call
uncounted, or that nobody told of any more that day; days without a single record, which are
no rows: absent is not zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final

import polars as pl

from hsagency.completeness.counting import calls_of_days, heads, may_count, sampled, told
from hsagency.completeness.judging import (
    COMPLETE,
    ENDPOINT,
    HEADERS,
    INCOMPLETE,
    NONE,
    NOT_COMPARABLE,
    Known,
    Loss,
    Row,
    Sample,
    judged,
)

__all__ = [
    "COMPLETE", "DAYS", "INCOMPLETE", "NOT_COMPARABLE", "STRETCHES", "Known", "Loss", "Sample",
    "by_day", "days", "stretches", "verdict",
]  # fmt: skip

_TIME: Final = pl.Datetime("us", "UTC")
DAYS: Final[Mapping[str, pl.DataType]] = {
    "client_slug": pl.String(),
    "portal_id": pl.Int64(),
    "day": pl.Date(),
    "day_of": pl.String(),
    "source": pl.String(),
    "calls": pl.Int64(),
    "ours_least": pl.Int64(),
    "ours_most": pl.Int64(),
    "theirs": pl.Int64(),
    "difference": pl.Int64(),
    "lacking": pl.Int64(),
    "lacking_before_first": pl.Int64(),
    "first_told": _TIME,
    "as_of": _TIME,
    "verdict": pl.String(),
    "reason": pl.String(),
}
"""
Columns and types of the frame of days, one row a day and source.

`day_of` is the portal's time zone, or UTC where it is not known. `source` is headers, usage
endpoint or none. `calls` are all of that day that left; `ours_least` and `ours_most` those that
HubSpot must and may have counted by `as_of`, of the credentials that the source counts.
`difference` is how far `theirs` lies outside of them: above is positive, below negative.
`lacking` is how many calls HubSpot had counted, at some time of the day, that this log does not
have, and `lacking_before_first` how many of them before the first header (`first_told`). What
nobody told is null, and so is ours where HubSpot told of fewer calls later in the day.
"""

STRETCHES: Final[Mapping[str, pl.DataType]] = {
    "day": pl.Date(),
    "since": _TIME,
    "until": _TIME,
    "theirs": pl.Int64(),
    "lacking": pl.Int64(),
}
"""
Columns and types of the frame of stretches between two headers in which HubSpot counted more.

`since` is null where it began at midnight; `theirs` is by how much HubSpot's count rose, and
`lacking` how many of these calls this log does not have.
"""


def days(calls: pl.LazyFrame, known: Known) -> pl.DataFrame:
    """
    Compare a client's calls with HubSpot's counts, day by day (columns: `DAYS`).

    `calls` are of the client's log and, made before it was connected, of the agency's; others
    are left out. Give a day more at both ends than is wanted.
    """
    seen = may_count(calls, known)
    made = dict(calls_of_days(seen).iter_rows())
    headers = {row["day"]: row for row in told(seen).iter_rows(named=True)}
    newest = {known.day(one.collected_at): one for one in sorted(known.samples, key=_collected)}
    rows = []
    for day in sorted({*made, *newest}):
        found: list[Row] = []
        if day in headers:
            found.append({"source": HEADERS, **headers[day]})
        if day in newest:
            found.append({"source": ENDPOINT, **sampled(seen, newest[day], day)})
        for row in found or [{"source": NONE}]:
            row |= {"client_slug": known.slug, "portal_id": known.portal_id, "day": day}
            row |= {"day_of": known.day_of, "calls": made.get(day, 0)}
            row["verdict"], row["reason"] = judged(row, known)
            rows.append({name: row.get(name) for name in DAYS})
    return pl.DataFrame(rows, schema=DAYS)


def stretches(calls: pl.LazyFrame, known: Known) -> pl.DataFrame:
    """Return when HubSpot counted calls that this log does not have (columns: `STRETCHES`)."""
    found = heads(may_count(calls, known)).filter(pl.col("lacking") > 0)
    named = found.rename({"before": "since", "end": "until", "rise": "theirs"})
    return named.select(pl.col(name).cast(kind) for name, kind in STRETCHES.items())


def verdict(compared: pl.DataFrame) -> str:
    """
    Return what a frame of days comes to: the worst day's word, `complete` only where all are.

    A day is complete where one source shows it and none shows a loss.
    """
    words = set(by_day(compared).values())
    if INCOMPLETE in words:
        return INCOMPLETE
    return COMPLETE if words == {COMPLETE} else NOT_COMPARABLE


def by_day(compared: pl.DataFrame) -> dict[date, str]:
    """Return the verdict on each day, whatever its sources."""
    found: dict[date, set[str]] = {}
    for day, word in compared.select("day", "verdict").iter_rows():
        found.setdefault(day, set()).add(word)
    order = (INCOMPLETE, COMPLETE, NOT_COMPARABLE)
    return {day: next(one for one in order if one in words) for day, words in found.items()}


def _collected(sample: Sample) -> tuple[datetime, datetime]:
    return sample.collected_at, sample.at
