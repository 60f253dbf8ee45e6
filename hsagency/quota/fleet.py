"""
What every portal has left of its day: what is stored of each in, one frame out.

HubSpot's daily limit belongs to the whole portal: other apps draw on it too, and it starts
anew at midnight in the portal's own time zone. What no answer of that day told is null, never
zero; what could not be found out of a portal is a row that says so, never a missing one.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from hsagency.errors import HsAgencyError, UnexpectedAnswer
from hsagency.pacing import Budget, Pacer, Source, Standing
from hsagency.pacing.budgets import known_of, room
from hsagency.portals import Connection, Provenance, redact
from hsagency.settings import Priority, Settings
from hsagency.transport import is_label
from hsagency.verifier import DAILY_USAGE, DailyUsage, Sender, read_daily_usage

_MOMENT: Final = pl.Datetime("us", "UTC")
FLEET: Final[Mapping[str, pl.DataType]] = {
    "client_slug": pl.String(),
    "remaining": pl.Int64(),
    "limit": pl.Int64(),
    "used_share": pl.Float64(),
    "resets_at": _MOMENT,
    "time_zone": pl.String(),
    "refused": pl.String(),
    "account_name": pl.String(),
    "portal_id": pl.Int64(),
    "used": pl.Int64(),
    "source": pl.String(),
    "as_of": _MOMENT,
    "age": pl.Duration("us"),
    "limit_source": pl.String(),
    "burst_limit": pl.Int64(),
    "burst_source": pl.String(),
    "search_limit": pl.Int64(),
    "warn_below": pl.Int64(),
    "reserve": pl.Int64(),
    "own_calls": pl.Int64(),
    "own_checks": pl.Int64(),
    "others": pl.Int64(),
    "closed_because": pl.String(),
    "low": pl.Boolean(),
    "closed_until": _MOMENT,
    "stopped": pl.String(),
    "error": pl.String(),
}
"""
Columns and types of the frame of quotas.

What matters most stands first and last: a frame that is printed leaves out what is in between.
`refused` names the priorities whose calls are refused until `resets_at`, because the day has no
room for them, the highest first: "normal, low".

`limit_source` is `header`, `usage endpoint`, `declared`, `inferred`, `tier`, `lowest tier` (where
the tier is not known either) or `marketplace app`, which has no daily limit. `source` is who told
what was `used` and what is `remaining`: the `header` of an answer to a call of ours, or the `usage
endpoint`, which counts legacy private apps alone. `as_of` is when it was told and `age` how long
ago; calls made since are taken off. `time_zone` is null where it is not known: the day is UTC's.

`burst_limit` is for ten seconds and an app, `search_limit` for a second and a portal.
`warn_below` and `reserve` are calls, as `hsagency.toml` has them for this client. `own_calls` are
this machine's calls today and `own_checks` those of them that were proofs and probes of ours.
`others` is the rest of what a header told: other apps, other machines, and what was asked before
the portal was connected. `stopped` is why, and `error` why a row has no figures or no newer ones.
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """One connection, how its portal stands, and what went wrong in finding out."""

    connection: Connection
    standing: Standing | None
    error: str | None = None


def fleet(seen: Iterable[Seen], *, now: datetime) -> pl.DataFrame:
    """Return one row a connection, sorted by slug (columns: `FLEET`)."""
    rows = [_row(one, now) for one in sorted(seen, key=lambda one: one.connection.client_slug)]
    return pl.DataFrame(rows, schema=FLEET)


def _row(one: Seen, now: datetime) -> dict[str, object]:
    connection, stop = one.connection, one.connection.stopped
    row: dict[str, object] = {
        "client_slug": connection.client_slug,
        "account_name": connection.portal.name,
        "portal_id": connection.portal_id,
        "stopped": None if stop is None else stop.reason,
        "error": one.error,
    }
    return row if one.standing is None else row | _figures(one.standing, connection, now)


def _figures(standing: Standing, connection: Connection, now: datetime) -> dict[str, object]:
    used, remaining = _day(standing.limit, standing.remaining)
    told = remaining is not None
    as_of = standing.as_of if told else None
    shut = standing.closed_until is not None and standing.closed_until > now
    return {
        "limit": standing.limit,
        "limit_source": _source(standing.limit_source, connection),
        "used": used,
        "remaining": remaining,
        "used_share": used / standing.limit if used is not None and standing.limit else None,
        "source": standing.source if told else None,
        "as_of": as_of,
        # A clock that was set back since makes nothing younger than now.
        "age": None if as_of is None else max(timedelta(0), now - as_of),
        "resets_at": standing.resets_at,
        "time_zone": standing.time_zone if standing.zone_is_known else None,
        "burst_limit": standing.burst_limit,
        "burst_source": _source(standing.burst_source, connection),
        "search_limit": known_of(connection).windows[Budget.SEARCH],
        "warn_below": standing.threshold,
        "reserve": standing.reserve,
        "low": standing.is_low if told and standing.threshold is not None else None,
        "own_calls": standing.ours,
        "own_checks": standing.checks,
        "others": _others(standing, used),
        "refused": ", ".join(_refused(standing)) or None,
        "closed_until": standing.closed_until if shut else None,
        "closed_because": (standing.closed_because or None) if shut else None,
    }


def _day(limit: int | None, remaining: int | None) -> tuple[int | None, int | None]:
    """Return what is used and what remains; more left than the limit tells no use."""
    if remaining is None:
        return None, None
    left = max(0, remaining)
    return (limit - left if limit is not None and left <= limit else None), left


def _refused(standing: Standing) -> list[Priority]:
    """Return the priorities that the day has no room for, the highest first."""
    limit, reserve = standing.limit, standing.reserve or 0
    if limit is None:
        return []
    left = limit - standing.ours if standing.remaining is None else standing.remaining
    return [one for one in Priority if not room(limit, left, reserve=reserve, priority=one)]


def _others(standing: Standing, used: int | None) -> int | None:
    """Return what others used, where whoever told counted our calls too."""
    if used is None or standing.source is not Source.HEADER:
        return None
    return max(0, used - standing.ours)


def _source(source: Source, connection: Connection) -> str:
    """Name who told a limit; one that was onboarded, by who told it then."""
    fact = connection.facts.get("daily_limit")
    if source is not Source.FACT or fact is None:
        return str(source)
    return str(Source.USAGE if fact.provenance is Provenance.FETCHED else fact.provenance)


def look(
    connections: Iterable[Connection],
    standing: Callable[[Connection], Standing],
    *,
    failed: Mapping[str, str],
) -> Iterator[Seen]:
    """Look up how each portal stands; `failed` says, by slug, why asking one was in vain."""
    for one in connections:
        error = failed.get(one.client_slug)
        try:
            yield Seen(one, standing(one), error)
        except HsAgencyError as broken:
            yield Seen(one, None, " ".join(filter(None, (error, str(broken)))))


def ask(sender: Sender) -> DailyUsage:
    """Return what the usage endpoint tells, or raise: silence is an error to who asked for it."""
    usage = read_daily_usage(sender.request("GET", DAILY_USAGE))
    if usage is None:
        raise UnexpectedAnswer("HubSpot's usage endpoint told no daily use that can be believed.")
    return usage


def learn(pacer: Pacer, usage: DailyUsage, *, now: datetime) -> None:
    """Go by what the usage endpoint told, unless it counted a day that is over."""
    if usage.resets_at is None or usage.resets_at > now:
        pacer.usage(usage.limit, usage.used, resets_at=usage.resets_at)


def failures(results: pl.DataFrame) -> dict[str, str]:
    """
    Return why a fleet job failed, by slug (of `fleet.RESULTS`).

    A portal that is stopped was left alone, which is no failure: its row says so anyhow.
    """
    broken = results.filter(~pl.col("outcome").is_in(["done", "excluded"]))
    said = pl.concat_str("message", "hint", separator=" ", ignore_nulls=True)
    return dict(broken.select("client_slug", said).iter_rows())


def slips(settings: Settings, known: Container[str]) -> list[str]:
    """Say what `hsagency.toml` names under [quota] and [purposes] that nothing can ever match."""
    strangers = [slug for slug in settings.quota.clients if slug not in known]
    strange = [name for name in settings.purposes if not is_label(name)]
    return [
        *(
            f"[quota.clients] in hsagency.toml names {_shown(one)}, no client here."
            for one in strangers
        ),
        *(
            f"[purposes] in hsagency.toml names {_shown(one)}, which no call can have as purpose: "
            "up to 64 letters, digits, spaces or . : / + -."
            for one in strange
        ),
    ]


def _shown(name: str) -> str:
    return repr(redact(name if len(name) <= _LONG else f"{name[:_LONG]}..."))


_LONG: Final = 64
