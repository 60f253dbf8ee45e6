"""The command that shows what every portal has left of its day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import click

from hsagency.cli.common import Shared, as_json, emit, none_yet, program, records, shared, typable
from hsagency.cli.tables import plain, show
from hsagency.words import counted, listed

if TYPE_CHECKING:
    import polars as pl

    from hsagency.agency import Agency
    from hsagency.portals import ClientSlug, Connection

Row = Mapping[str, Any]


@click.command(short_help="Show what every portal has left of its day.")
@click.argument("slugs", nargs=-1)
@click.option("--refresh", is_flag=True, help="Ask HubSpot's daily usage endpoint first.")
@as_json
@shared
def quota(common: Shared, *, slugs: tuple[str, ...], refresh: bool, as_json: bool) -> None:
    """
    Show what every portal has left of its day, the most used first.

    The daily limit is the whole portal's: other apps of the client draw on it too, and it
    starts anew at midnight in the portal's own time zone. The figures are what answers to this
    machine's own calls said, less the calls made since; others may have used more meanwhile. A
    dash stands for what nobody told today, which is neither none nor all. A limit that nobody
    told is the one declared, or what the portal's tier has, and the last column says so.

    Nobody is asked, unless with --refresh HubSpot's usage endpoint is, by one recorded call a
    portal. It counts legacy private apps alone and no calls by service key, so a header of the
    same day counts for more. Our own proofs and checks are counted from when a portal is
    connected; what judging its key took before is in the audit log.

    \b
    low        Less is left than hsagency.toml says under [quota] warn_below.
    refused    The day has no room for calls of some priorities: hsagency sends none of them
               until it starts anew.
    closed     HubSpot takes no more calls for now; but for proofs of whose key it is,
               hsagency sends none until then.
    stopped    No call leaves until a person sees to it: the line below the table says how.
    not known  No answer of this day told what is left.
    failed     The portal could not be asked or its stored figures could not be read.

    Calls of low priority stop when 80 % of the limit are used, of normal at 90 %, of high at
    95 %, and of critical at 99 %, and all at the reserve that is kept for the client's other
    apps. hsagency.toml gives purposes a priority, under [purposes]; others are normal.

    Exit code 1 if any failed, and 3 if no portal is connected; a low portal is no failure, nor
    is a stopped one.

    \b
    Examples:
      hsagency quota
      hsagency quota acme-corp beta-inc --refresh
      hsagency quota --json
    """
    from hsagency.quota.fleet import slips

    with common.agency() as agency:
        found = agency.quota(slugs or None, refresh=refresh, progress=common.progress)
        settings = agency.workspace.settings
        connections = agency.connections()
        notes = [*_halted(agency), *slips(settings, connections)]
    found = found.sort("used_share", descending=True, nulls_last=True, maintain_order=True)
    if as_json:
        purposes = {name: str(one) for name, one in sorted(settings.purposes.items())}
        emit({"clients": _documents(found), "purposes": purposes, "notes": notes})
    for one in notes:
        common.say(plain(typable(one)))
    if found.height and not as_json:
        _print(found, connections, now=datetime.now(UTC))
    if not found.height:
        common.say(none_yet())
    for row in found.filter(found["error"].is_not_null()).iter_rows(named=True):
        slug, why = row["client_slug"], row["error"]
        click.echo(plain(why if f"({slug}, " in why else f"{slug}: {why}"), err=True)
    failed = found["error"].is_not_null().any()
    click.get_current_context().exit(1 if failed else 0 if found.height else 3)


def _halted(agency: Agency) -> list[str]:
    """Say that nothing is sent at all, whatever there is left."""
    reason = agency.halt.reason()
    if reason is None:
        return []
    return [f"The fleet is halted, so no call is sent: {reason} {agency.halt.advice()}"]


def _documents(found: pl.DataFrame) -> list[dict[str, Any]]:
    seconds = found["age"].dt.total_milliseconds() / 1000
    return records(found.with_columns(seconds).rename({"age": "age_seconds"}))


def _print(
    found: pl.DataFrame, connections: Mapping[ClientSlug, Connection], *, now: datetime
) -> None:
    import polars as pl

    rows = list(found.iter_rows(named=True))
    table = pl.DataFrame(
        {
            "client_slug": [row["client_slug"] for row in rows],
            "account_name": [row["account_name"] for row in rows],
            "portal_id": [row["portal_id"] for row in rows],
            "state": [", ".join(states(row)) or "ok" for row in rows],
            **{name: _numbers(name, rows) for name in ("limit", "used", "remaining")},
            "share": _right("share", [_percent(row["used_share"]) for row in rows]),
            "starts_anew": [_starts_anew(row, now) for row in rows],
            "known_from": [_known_from(row) for row in rows],
        }
    )
    show(table, table.columns, spare=2)
    for row in rows:
        for line in _explained(row, connections[row["client_slug"]], now):
            click.echo(plain(typable(f"{row['client_slug']}: {line}")))
    click.echo(_footer(rows))
    if any(states(row)[:1] == ["not known"] for row in rows):  # a stopped one cannot be asked
        click.echo(f"To ask HubSpot what is left: {program()} quota --refresh")


def states(row: Row) -> list[str]:
    """Name what is to be seen of a portal, the worst first; nothing where all is well."""
    known = row["remaining"] is not None or row["closed_until"] is not None
    told = {
        "stopped": row["stopped"] is not None,
        "closed": row["closed_until"] is not None,
        "refused": row["refused"] is not None,
        "low": bool(row["low"]),
        "failed": row["error"] is not None,
        "not known": not known and row["limit"] is not None,
    }
    return [name for name, so in told.items() if so]


def _numbers(name: str, rows: list[dict[str, Any]]) -> list[str]:
    return _right(name, ["-" if row[name] is None else f"{row[name]:,}" for row in rows])


def _right(head: str, cells: list[str]) -> list[str]:
    width = max(map(len, [head, *cells]))
    return [one.rjust(width) for one in cells]


def _percent(share: float | None) -> str:
    from hsagency.quota import percent

    return "-" if share is None else percent(share)


def _known_from(row: Row) -> str:
    """Say who told what is left and when; where nobody did, where the limit is from."""
    if row["as_of"] is not None:
        return f"{_SOURCES.get(row['source'], row['source'])}, {_ago(row['age'])}"
    return _LIMITS.get(row["limit_source"], "-")


_SOURCES: Final = {"usage endpoint": "usage endpoint (private apps only)"}
_LIMITS: Final = {
    "header": "limit as told before",
    "usage endpoint": "limit as told before",
    "declared": "limit as declared",
    "inferred": "limit as inferred",
    "tier": "limit of its tier",
    "lowest tier": "limit of the lowest tier",
    "marketplace app": "no daily limit: a marketplace app",
}


def _ago(age: timedelta) -> str:
    """
    Return how long ago something was, in the largest unit there is one of.

    >>> _ago(timedelta(seconds=4)), _ago(timedelta(seconds=61)), _ago(timedelta(hours=5))
    ('4 s ago', '1 min ago', '5 h ago')
    """
    seconds = int(age.total_seconds())
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def _starts_anew(row: Row, now: datetime) -> str:
    if row["limit"] is None:
        return "-"
    return _both_times(row["resets_at"], row["time_zone"], now)


def _both_times(at: datetime, zone: str | None, now: datetime) -> str:
    """Return a time by the portal's clock and in UTC, each with its day where it is not today."""
    if zone is None:
        return f"{_clock(at, now, UTC)} UTC"
    place = ZoneInfo(zone)
    return f"{_clock(at, now, place)} {zone} ({_clock(at, now, UTC)} UTC)"


def _clock(at: datetime, now: datetime, place: tzinfo) -> str:
    there, today = at.astimezone(place), now.astimezone(place)
    return f"{there:%H:%M}" if there.date() == today.date() else f"{there:%d %b %H:%M}"


def _explained(row: Row, connection: Connection, now: datetime) -> Iterator[str]:
    """Say of one portal what its state means in figures, and what is refused until when."""
    from hsagency.stopping import advice, since

    if connection.stopped is not None:
        yield f"{since(connection.stopped)} {advice(connection)}"
    if row["closed_until"] is not None:
        until = _both_times(row["closed_until"], row["time_zone"], now)
        why = f", because {row['closed_because']}" if row["closed_because"] else ""
        yield f"closed until {until}{why}. Proofs of whose key it is are still sent."
    elif row["refused"] is not None:
        yield _refused(row, now)
    if row["low"] and row["closed_until"] is None:
        yield _left(row)


def _refused(row: Row, now: datetime) -> str:
    which = listed(row["refused"].split(", "))
    until = _both_times(row["resets_at"], row["time_zone"], now)
    return f"refused: calls of {which} priority wait until {until}."


def _left(row: Row) -> str:
    threshold, reserve = row["warn_below"], row["reserve"] or 0
    kept = f", and {reserve:,} are kept for the client's other apps" if reserve else ""
    left = counted(row["remaining"], "call")
    return f"low: {left} left; the warning is below {threshold:,}{kept}."


def _footer(rows: list[dict[str, Any]]) -> str:
    found = Counter(name for row in rows for name in states(row))
    said = [f"{found[name]} {name}" for name in _COUNTED if found[name] or name in _ALWAYS]
    checks = [row["own_checks"] for row in rows if row["own_checks"] is not None]
    least = "" if len(checks) == len(rows) else "at least "
    cost = f"Our own proofs and checks cost {least}{counted(sum(checks), 'call')} today."
    return f"{counted(len(rows), 'portal')}: {', '.join(said)}. {cost}"


_COUNTED: Final = ("low", "refused", "closed", "stopped", "failed", "not known")
_ALWAYS: Final = ("low", "not known")


COMMANDS = (quota,)
