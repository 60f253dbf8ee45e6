"""The command that shows what the audit log has beside what HubSpot counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import click

from hsagency.cli.audit import audit
from hsagency.cli.common import Shared, as_json, emit, records, shared
from hsagency.cli.tables import plain, show_story
from hsagency.errors import HsAgencyError, NothingToReport, UsageError
from hsagency.periods import Period
from hsagency.words import counted

if TYPE_CHECKING:
    import polars as pl

    from hsagency.agency import Agency
    from hsagency.completeness.gathering import Comparison

_SHOWN: Final = 5  # times; --json has all stretches


@audit.command(short_help="Show what was recorded beside what HubSpot counted.")
@click.argument("slugs", nargs=-1)
@click.option("--all", "everyone", is_flag=True, help="Every client that has an audit log.")
@click.option("--month", help="A month: 2026-05.")
@click.option("--from", "first", metavar="DAY", help="The first day, included: 2026-05-01.")
@click.option("--to", "last", metavar="DAY", help="The last day, included: 2026-05-31.")
@click.option("--refresh", is_flag=True, help="Ask HubSpot's daily usage endpoint first.")
@as_json
@shared
def completeness(
    common: Shared,
    *,
    slugs: tuple[str, ...],
    everyone: bool,
    month: str | None,
    first: str | None,
    last: str | None,
    refresh: bool,
    as_json: bool,
) -> None:
    """
    Show, for each day of a portal, the calls in the log beside those that HubSpot counted.

    Days are the portal's own, as HubSpot's are. By headers: what answers said was left of the
    day, for all apps of the portal. By usage endpoint: legacy private apps alone, as asked with
    --refresh, which is recorded; HubSpot keeps no history of it. Ours is a range where nobody
    can tell whether HubSpot counts a call: one without an answer, a search, at midnight.

    \b
    complete        HubSpot's count lies within ours, until the last header of the day.
    incomplete      Records are known to be lost, whatever HubSpot says; or HubSpot counted
                    more, and hsagency.toml says under [completeness] only_us that no other
                    app calls this portal.
    not comparable  HubSpot counted more, but other apps of the client share that count; or
                    less; or told no count, as for OAuth; or does not count the credential.

    A day without records is not shown: absent is not zero. Exit code 3 if there is none, and
    1 if a client could not be compared or asked; for a check that fails: hsagency audit verify
    --require-complete.

    \b
    Examples:
      hsagency audit completeness acme-corp --month 2026-10
      hsagency audit completeness --all --refresh --json
    """
    if bool(slugs) == everyone:
        raise UsageError("Name clients, or --all.")
    period = Period.of(month=month, first=first, last=last) if month or first or last else None
    failed: dict[str, str] = {}
    found: dict[str, Comparison] = {}
    with common.agency() as agency:
        chosen = agency.audit.recorded() if everyone else list(dict.fromkeys(slugs))
        _name_strangers(common, agency)
        with common.progress("Comparing", len(chosen)) as step:
            for slug in chosen:
                if refresh:
                    _ask(common, agency, slug, failed)
                _compare(agency, slug, period, found, failed)
                step(1)
    _show(common, found, failed, as_json=as_json)
    if not failed and all(one.days.is_empty() for one in found.values()):
        raise NothingToReport(_nothing(sum(one.simulated for one in found.values())))
    click.get_current_context().exit(1 if failed else 0)


def _nothing(simulated: int) -> str:
    if not simulated:
        return "No calls of these days are recorded: there is nothing to compare."
    return (
        f"Of these days only {counted(simulated, 'simulated call')} can be found, and such are not "
        "compared: HubSpot never saw them."
    )


def _name_strangers(common: Shared, agency: Agency) -> None:
    """Say which portals that are said to be ours alone are none, lest a slip goes unseen."""
    known = {*agency.connections(), *agency.audit.recorded()}
    for slug in agency.workspace.settings.completeness.only_us:
        if slug not in known:
            common.say(plain(f"only_us in hsagency.toml names {slug!r}, which is no client here."))


def _ask(common: Shared, agency: Agency, slug: str, failed: dict[str, str]) -> None:
    try:
        if agency.ask_usage(slug) is None:
            common.say(f"{slug}: HubSpot did not tell a daily usage that can be believed.")
    except HsAgencyError as error:
        failed[slug] = f"HubSpot was not asked. {error}"


def _compare(
    agency: Agency,
    slug: str,
    period: Period | None,
    found: dict[str, Comparison],
    failed: dict[str, str],
) -> None:
    since = period.first if period else None
    try:
        found[slug] = agency.compare(slug, since=since, until=_after(period))
    except HsAgencyError as error:
        failed.setdefault(slug, str(error))


def _after(period: Period | None) -> date | None:
    if period is None or period.last == date.max:
        return None
    return period.last + timedelta(days=1)


def _show(
    common: Shared, found: dict[str, Comparison], failed: dict[str, str], *, as_json: bool
) -> None:
    if as_json:
        errors = [{"clientSlug": slug, "error": text} for slug, text in failed.items()]
        emit({"clients": [_document(slug, one) for slug, one in found.items()], "errors": errors})
    else:
        for slug, one in found.items():
            if one.days.height:
                _print(slug, one)
    for slug, text in failed.items():
        common.say(plain(f"{slug}: {text}"))


def _document(slug: str, one: Comparison) -> dict[str, Any]:
    words = one.verdict if one.days.height else None
    days, stretches = records(one.days), records(one.stretches)
    return {"clientSlug": slug, "completeness": words, "days": days, "stretches": stretches}


def _print(slug: str, one: Comparison) -> None:
    zone = one.days["day_of"][0]
    click.echo(plain(f"{slug}: {one.verdict} (days and times of {zone})"))
    show_story(_ranged(one.days), ["day", "source", "ours", "theirs", "verdict", "reason"])
    told = list(_stretched(one.stretches, zone))
    for line in told[:_SHOWN]:
        click.echo(line)
    if len(told) > _SHOWN:
        click.echo(f"and at {counted(len(told) - _SHOWN, 'other time')} (--json has all)")


def _stretched(stretches: pl.DataFrame, zone: str) -> Iterator[str]:
    """Say when there were calls that the log lacks; those of the same seconds together."""
    lacking = Counter[tuple[date, str, str]]()
    for row in stretches.iter_rows(named=True):
        lacking[row["day"], _clock(row["since"], zone), _clock(row["until"], zone)] += row[
            "lacking"
        ]
    for (day, since, until), count in lacking.items():
        when = f"at {until}" if since == until else f"between {since} and {until}"
        yield f"{day}: of those counted {when}, {count:,} that this log does not have"


def _clock(at: datetime | None, zone: str) -> str:
    return "midnight" if at is None else f"{at.astimezone(ZoneInfo(zone)):%H:%M:%S}"


def _ranged(days: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    least, most = pl.col("ours_least"), pl.col("ours_most")
    ours = pl.when(least == most).then(most.cast(pl.String))
    return days.with_columns(
        pl.col("day").cast(pl.String), ours=ours.otherwise(pl.format("{} to {}", least, most))
    )


COMMANDS = (audit,)
