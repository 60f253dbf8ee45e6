"""
What was done in a client's portal, as counted rows: frames of calls in, small frames out.

One set of rules for every number: days are UTC days; a refused call never left this machine
and is not counted; a call whose outcome is unknown counts as a call and as an error; a mean
is taken over the calls whose duration is known and is empty where there are none. Nothing
here reads or writes a file. What the log never recorded cannot be counted; `evidence` says
what was found, and what was damaged.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

import polars as pl

from hsagency.audit.lake import Damage, Reading
from hsagency.audit.record import TO_DISK, Event, Origin, Outcome
from hsagency.periods import Period
from hsagency.portals import AGENCY

_KEYS: Final = ("client_slug", "portal_id", "date", "method", "object_type")
_COUNTS: Final = {
    "call_count": "callCount",
    "error_count": "errorCount",
    "avg_duration_ms": "avgDurationMs",
}
COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {**{name: TO_DISK.get(name, name) for name in _KEYS}, **_COUNTS}
)
"""The eight columns of the report, in frames and in the CSV."""

_OUTCOME: Final = pl.col("outcome").fill_null(str(Outcome.UNKNOWN))
_CLASS: Final = (
    pl.when(pl.col("status_code").is_between(100, 599))
    .then((pl.col("status_code") // 100).cast(pl.String) + "xx")
    .replace("3xx", "3xx (redirect)")
    .alias("status_class")
)
_OBJECT: Final = pl.col("object_type").fill_null("other")
_ERRORS: Final = _OUTCOME.ne(str(Outcome.OK)).sum().cast(pl.Int64)
_CALLS: Final = pl.len().cast(pl.Int64)
SIMULATED: Final = (pl.col("origin") == str(Origin.SIMULATED)).sum().cast(pl.Int64)
"""Counts the calls that never happened; every frame that a chart draws brings it along."""
# A stored reason is free text that may name a path, a portal or another client: no page shows
# it. The first pattern that fits a reason, in small letters and without the slug, gives its word.
_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "not stated": r"^not.stated$",
        "halted": r"^the fleet is halted|^halt",
        "closed": r"is closed|^(client |audit log )?closed|was changed or removed after",
        "another host": r"on another host|credentials or an @|^another.host",
        "a header": r"set the [a-z-]+ header|^(a.)?header",
        "the method": r"no such method|^(the.)?method",
        "the path": r"read in two ways|secret in the url|of a token's shape|^(the.)?path",
        "the purpose": r"a purpose is up to|^(the.)?purpose",
        "unclassified": r"the route table|^unclassified",
        "the connection type": r"an? [a-z]+_[a-z_]+ connection |^(the.)?connection.type|^type$",
        "credential missing": r"holds no secret|^credential.missing",
        "credential changed": r"not the one that was proven|^credential.changed",
        "not proven": (
            r"^mismatch|^(hubspot|the [a-z ]+) (accepts|answered|did|does|has|is moving) "
            r"|^the answer is not|^not.proven"
        ),
        "credential unreadable": r"store|keyring|identity|\.age|could not be|^credential un",
        "workspace unreadable": r"^workspace",
    }
)
_OTHER: Final = "other"
REASONS: Final = (*_REASONS, _OTHER)
"""Every word that `refusals` may give for a reason."""

# What a spreadsheet takes for the start of a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def within(calls: pl.LazyFrame, period: Period) -> pl.LazyFrame:
    """Return the calls that were started in a period."""
    return calls.filter(pl.col("ts") >= period.since, pl.col("ts") < period.until)


def sent(calls: pl.LazyFrame) -> pl.LazyFrame:
    """Leave out the calls that were refused here, before a byte left."""
    return calls.filter(_OUTCOME.ne(str(Outcome.REFUSED)))


def summary(calls: pl.LazyFrame) -> pl.DataFrame:
    """
    Count calls and errors for each client, portal, UTC day, method and object type.

    Columns: those of `COLUMNS`, sorted by the first five; texts, but `portal_id` (Int64,
    null where the log has none), `date` (Date), `call_count` and `error_count` (Int64), and
    `avg_duration_ms` (Float64, null where no duration is known).
    """
    counted = (
        sent(calls)
        .group_by(
            "client_slug",
            "portal_id",
            pl.col("ts").dt.date().alias("date"),
            "method",
            _OBJECT.alias("object_type"),
        )
        .agg(
            call_count=_CALLS,
            error_count=_ERRORS,
            total=pl.col("duration_ms").sum(),
            known=pl.col("duration_ms").count(),
        )
        .sort(_KEYS)
        .collect()
    )
    return counted.select(*_KEYS, "call_count", "error_count", _means(counted))


def _means(counted: pl.DataFrame) -> pl.Series:
    """Exact means, rounded as Python rounds, so that any reader of the log gets the same."""
    means = [
        round(total / known, 1) if known else None
        for total, known in counted.select("total", "known").iter_rows()
    ]
    return pl.Series("avg_duration_ms", means, dtype=pl.Float64)


def to_csv(summary: pl.DataFrame) -> str:
    """Write a summary as CSV with the eight columns; text that could be a formula is quoted."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS.values())
    for row in summary.select(*COLUMNS).iter_rows():
        writer.writerow([_cell(value) for value in row])
    return text.getvalue()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def without_formulas(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame whose texts no spreadsheet takes for formulas; its columns stay."""
    texts = [pl.col(name) for name, kind in frame.schema.items() if kind == pl.String]
    return frame.with_columns(
        pl.when(text.str.contains(r"^[=+\-@\t\r]")).then("'" + text).otherwise(text).name.keep()
        for text in texts
    )


def overview(calls: pl.LazyFrame) -> pl.DataFrame:
    """
    Count calls, errors, unknown outcomes and refusals by who vouches for the records.

    Columns: `origin` (String), then `calls`, `errors`, `unknown` and `refused` (Int64). An
    unknown outcome is among the errors, and a refused call is not among the calls.
    """
    refused, unknown = (_OUTCOME.eq(str(one)) for one in (Outcome.REFUSED, Outcome.UNKNOWN))
    return (
        calls.group_by("origin")
        .agg(
            calls=(~refused).sum().cast(pl.Int64),
            errors=(~refused & _OUTCOME.ne(str(Outcome.OK))).sum().cast(pl.Int64),
            unknown=unknown.sum().cast(pl.Int64),
            refused=refused.sum().cast(pl.Int64),
        )
        .sort("origin")
        .collect()
    )


def by_day(calls: pl.LazyFrame) -> pl.DataFrame:
    """
    Count calls by UTC day and outcome.

    Columns: `date` (Date), `outcome` (String), `calls`, `errors` and `simulated` (Int64).
    """
    return _counted(calls, pl.col("ts").dt.date().alias("date"), _OUTCOME.alias("outcome"))


def by_object(calls: pl.LazyFrame) -> pl.DataFrame:
    """
    Count calls by object type and operation class.

    Columns: `object_type`, `operation` (String), `calls`, `errors` and `simulated` (Int64).
    """
    operation = pl.col("operation_class").fill_null("unclassified").alias("operation")
    return _counted(calls, _OBJECT.alias("object_type"), operation)


def by_outcome(calls: pl.LazyFrame) -> pl.DataFrame:
    """
    Count calls by outcome and status code.

    Columns: `outcome` and `status_class` (String; "2xx", or "3xx (redirect)"), `status_code`
    (Int64; both null where there was no answer), `calls`, `errors` and `simulated` (Int64).
    """
    return _counted(calls, _OUTCOME.alias("outcome"), _CLASS, pl.col("status_code"))


def refusals(calls: pl.LazyFrame) -> pl.DataFrame:
    """
    Count the calls that hsagency stopped, by reason.

    Columns: `reason` (String, one of `REASONS`), `refused` and `simulated` (Int64).
    """
    return (
        calls.filter(_OUTCOME.eq(str(Outcome.REFUSED)))
        .group_by(_reason().alias("reason"))
        .agg(refused=_CALLS, simulated=SIMULATED)
        .sort("reason")
        .collect()
    )


def _reason() -> pl.Expr:
    given = (
        pl.col("reason")
        .fill_null("not stated")
        .str.to_lowercase()
        .str.replace(r"^refused for \S+: ", "")
    )
    word = pl.lit(_OTHER)
    for name, pattern in reversed(list(_REASONS.items())):
        word = pl.when(given.str.contains(pattern)).then(pl.lit(name)).otherwise(word)
    return word


def _counted(calls: pl.LazyFrame, *keys: pl.Expr) -> pl.DataFrame:
    names = [key.meta.output_name() for key in keys]
    grouped = sent(calls).group_by(*keys)
    return grouped.agg(calls=_CALLS, errors=_ERRORS, simulated=SIMULATED).sort(names).collect()


# A file may be named after another client; its digest says as well which file it was.
_FILE: Final = re.compile(r" from .* \((?=SHA-256)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """
    What a report rests on: the range asked for, the range found, and what could not be read.

    `recorded` is the range of the whole log, so that an empty period can be told from an
    empty log. `judging` are calls that judged a key before it was stored: they stand in the
    agency's own log and are no connection's. `imports` are the log's own notes of what was
    taken in from files.
    """

    requested: Period
    found: tuple[datetime, datetime] | None
    recorded: tuple[datetime, datetime] | None
    calls: int
    refused: int
    unknown: int
    judging: int
    by_origin: Mapping[str, int]
    by_portal: Mapping[int, int]
    damaged: tuple[str, ...]
    imports: tuple[str, ...]

    def frame(self) -> pl.DataFrame:
        """Return the evidence as a table of two columns, `what` and `value` (String)."""
        rows = [
            ("Requested", f"{self.requested.first} to {self.requested.last}"),
            ("Day basis", "UTC days; HubSpot resets its daily quota at midnight of the portal"),
            ("Records found", _range(self.found)),
            ("The whole log", _range(self.recorded)),
            ("Calls", f"{self.calls:,}, of which {self.unknown:,} with an unknown outcome"),
            ("Refused before they were sent", f"{self.refused:,} (not counted as calls)"),
            (
                "Calls to judge a key before it was stored",
                f"{self.judging:,} (in the agency's own log, not counted here)",
            ),
            *((f"Origin: {name}", f"{n:,} records") for name, n in self.by_origin.items()),
            *((f"Portal: {portal}", f"{n:,} records") for portal, n in self.by_portal.items()),
            ("Lines that could not be read", "; ".join(self.damaged) or "none"),
            *(("Import", text) for text in self.imports),
        ]
        return pl.DataFrame(rows, schema={"what": pl.String, "value": pl.String}, orient="row")


def evidence(reading: Reading, period: Period, *, judging: Reading | None = None) -> Evidence:
    """
    Say what a report on a period rests on.

    The reading is of the whole log, not only of the period: damage has no date, and imports
    are noted on the day of the import. `judging` is what the agency's own log holds of the
    time before a connection existed (see `judged`).
    """
    read = [reading, judging] if judging else [reading]
    chosen = within(reading.calls, period)
    counts = overview(chosen)
    noted = reading.activity.filter(pl.col("event") == str(Event.AUDIT_IMPORTED))
    imports = noted["message"].drop_nulls()
    return Evidence(
        requested=period,
        found=_first_and_last(chosen),
        recorded=_first_and_last(reading.calls),
        calls=int(counts["calls"].sum()),
        refused=int(counts["refused"].sum()),
        unknown=int(counts["unknown"].sum()),
        judging=_number(within(judging.calls, period)) if judging else 0,
        by_origin={
            origin: calls + refused
            for origin, calls, refused in counts.select("origin", "calls", "refused").iter_rows()
        },
        by_portal=dict(_by_portal(chosen).iter_rows()),
        damaged=tuple(_named(one) for log in read for one in log.damage),
        imports=tuple(_FILE.sub(" from a file (", text) for text in imports.to_list()),
    )


def _by_portal(calls: pl.LazyFrame) -> pl.DataFrame:
    counted = calls.drop_nulls("portal_id").group_by("portal_id").agg(pl.len())
    return counted.sort("portal_id").collect()


def judged(log: Reading, client_slug: str) -> Reading:
    """Return what the agency's own log holds of calls that judged a key for one client."""
    return replace(log, calls=log.calls.filter(pl.col("candidate_slug") == client_slug))


def _number(calls: pl.LazyFrame) -> int:
    return int(sent(calls).select(pl.len()).collect().item())


def _named(damage: Damage) -> str:
    whose = "the agency's own " if damage.client_slug == AGENCY else ""
    return f"{whose}{damage.file} line {damage.line}: {damage.cause}"


def _first_and_last(calls: pl.LazyFrame) -> tuple[datetime, datetime] | None:
    ends = calls.select(first=pl.col("ts").min(), last=pl.col("ts").max()).collect().row(0)
    return ends if ends[0] is not None else None


def _range(ends: tuple[datetime, datetime] | None) -> str:
    if ends is None:
        return "nothing"
    return " to ".join(f"{end:%Y-%m-%d %H:%M:%S}" for end in ends) + " UTC"
