"""What a comparison needs, as a workspace has it: calls, stored samples, facts, known losses."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson
import polars as pl

from hsagency.audit import lake
from hsagency.audit.record import Event, Origin, timestamp
from hsagency.audit.standalone.verdict import Verdict
from hsagency.completeness import days, stretches
from hsagency.completeness import verdict as verdict_on
from hsagency.completeness.counting import COLUMNS
from hsagency.completeness.judging import CLOCK, Known, Loss, Sample
from hsagency.errors import AuditError
from hsagency.portals import AGENCY, ClientSlug, Connection, CredentialKind, Tombstone
from hsagency.settings import Workspace
from hsagency.verifier import DailyUsage

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """
    A client's log beside HubSpot's counts.

    `days` and `stretches` are frames (columns: `DAYS` and `STRETCHES` of `completeness`),
    `verdict` is what all days come to, `log` what verifying the log by itself found, and `read`
    between which times that log was read, which is nearly those days. `simulated` is how many
    calls of these days nobody made: they are not compared.
    """

    days: pl.DataFrame
    stretches: pl.DataFrame
    verdict: str
    log: Verdict
    read: tuple[datetime | None, datetime | None]
    simulated: int


def compare(
    workspace: Workspace,
    slug: str,
    *,
    connection: Connection | None,
    verify: Callable[[date | None, date | None], Verdict],
    since: date | None,
    until: date | None,
) -> Comparison:
    """Compare a client's calls of some days of its portal with what HubSpot told of them."""
    # wherever a portal is, its day lies within the UTC days around it
    first, last = _near(since, -1), _near(until, 0)
    log = verify(first, last)
    between = (_midnight(first), _midnight(_near(last, 1)))
    calls, activity = _read(workspace, slug, since=between[0], until=between[1])
    removed = workspace.index.read().tombstones.get(ClientSlug(slug))
    known = _known(workspace, slug, connection or removed, log, activity)
    begin = pl.col("day") >= since if since else pl.lit(value=True)
    wanted = begin & (pl.col("day") < until if until else pl.lit(value=True))
    found = days(calls.lazy(), known).filter(wanted)
    return Comparison(
        days=found,
        stretches=stretches(calls.lazy(), known).filter(wanted),
        verdict=verdict_on(found),
        log=log,
        read=between,
        simulated=_simulated(calls, known).filter(wanted).height,
    )


def _simulated(calls: pl.DataFrame, known: Known) -> pl.DataFrame:
    own = (pl.col("client_slug") == known.slug) & (pl.col("origin") == str(Origin.SIMULATED))
    return calls.filter(own).select(day=pl.col("ts").dt.convert_time_zone(known.day_of).dt.date())


def _read(
    workspace: Workspace,
    slug: str,
    *,
    since: datetime | None,
    until: datetime | None,
    again: int = 2,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return calls and activity; a file that was merged with others meanwhile is read anew."""
    reading = lake.read(workspace.audit, [AGENCY, slug], since=since, until=until)
    try:
        return reading.calls.select(COLUMNS).collect(), reading.activity
    except (OSError, pl.exceptions.PolarsError) as error:
        if again:
            return _read(workspace, slug, since=since, until=until, again=again - 1)
        raise AuditError(
            f"The calls of {slug} cannot be read. Nothing was compared.",
            hint="Make the lake anew from the evidence: hsagency audit rebuild.",
        ) from error


def usage_record(connection: Connection, usage: DailyUsage) -> dict[str, object]:
    """Return what the daily usage endpoint said as the fields of a record."""
    moments = {"collectedAt": usage.collected_at, "resetsAt": usage.resets_at}
    return {
        "event": Event.AUDIT_USAGE,
        "message": f"HubSpot had counted {usage.used} calls of legacy private apps that day.",
        "portalId": connection.portal_id,
        "credentialFingerprint": connection.fingerprint,
        "credentialGeneration": connection.generation,
        "credentialKind": str(connection.kind),
        "usageLimit": usage.limit,
        "currentUsage": usage.used,
        "fetchStatus": usage.fetch_status,
        **{name: timestamp(at) for name, at in moments.items() if at is not None},
    }


def _known(
    workspace: Workspace,
    slug: str,
    connection: Connection | Tombstone | None,
    log: Verdict,
    activity: pl.DataFrame,
) -> Known:
    activity = activity.filter(pl.col("client_slug") == slug)
    kinds = _kinds(connection)
    samples = tuple(_samples(activity, kinds))
    return Known(
        slug=slug,
        portal_id=int(connection.portal_id) if connection else None,
        zone=_zone(connection),
        only_us=slug in workspace.settings.completeness.only_us,
        kinds={**{one.fingerprint: one.kind for one in samples if _declared(one.kind)}, **kinds},
        samples=samples,
        losses=tuple(_losses(log)),
        removed=tuple(_removed(log)),
        clocks=tuple(_clocks(activity)),
    )


def _near(day: date | None, days: int) -> date | None:
    """Return a day so many days later; none for a day that no calendar has."""
    try:
        return None if day is None else day + days * _DAY
    except OverflowError:
        return None


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC)


def _kinds(connection: Connection | Tombstone | None) -> dict[str, str]:
    if connection is None or not _declared(connection.kind):
        return {}
    return {connection.fingerprint: str(connection.kind)}


def _declared(kind: str) -> bool:
    return kind != CredentialKind.STATIC


def _zone(connection: Connection | Tombstone | None) -> str | None:
    """Return the portal's time zone if it is one that days can be reckoned by."""
    name = (connection.time_zone if connection else None) or ""
    try:
        ZoneInfo(name)
        pl.Series([datetime(2026, 1, 1, tzinfo=UTC)]).dt.convert_time_zone(name)
    except (ValueError, OSError, LookupError, pl.exceptions.PolarsError):
        return None
    return name


def _details(activity: pl.DataFrame, event: Event) -> Iterator[tuple[datetime, dict[str, Any]]]:
    found = activity.filter(pl.col("event") == str(event), pl.col("details").is_not_null())
    for at, details in found.select("ts", "details").iter_rows():
        yield at, orjson.loads(details)


def _samples(activity: pl.DataFrame, kinds: dict[str, str]) -> Iterator[Sample]:
    for at, said in _details(activity, Event.AUDIT_USAGE):
        collected, used = _moment(said.get("collectedAt")), said.get("currentUsage")
        if collected is not None and isinstance(used, int):
            fingerprint = str(said.get("credentialFingerprint"))
            yield Sample(
                at=at,
                collected_at=collected,
                used=used,
                kind=kinds.get(fingerprint, str(said.get("credentialKind"))),
                fingerprint=fingerprint,
            )


def _clocks(activity: pl.DataFrame) -> Iterator[datetime]:
    """Yield when this machine's clock was found to be further off than days can bear."""
    for at, said in _details(activity, Event.AUDIT_CLOCK):
        other = _moment(said.get("serverTs") or said.get("previousTs"))
        if other is None or abs(at - other) > CLOCK:
            yield at


def _losses(log: Verdict) -> Iterator[Loss]:
    """Yield what is known to be lost, of what was merged from other machines too."""
    for one in log.each:
        yield from _lost(one)


def _lost(verdict: Verdict) -> Iterator[Loss]:
    for finding in verdict.findings:
        yield Loss(what=str(finding))
    for text in verdict.lost:
        segment = next((one for one in verdict.segments if one.name in text), None)
        begun = _moment(segment.first) if segment else None
        ended = _moment(segment.last) if segment else None
        # segments end with their UTC day, and what is torn may be of any time until then
        until = _midnight(_near(ended.date(), 1)) if ended else None
        yield Loss(what=text, since=begun, until=until)


def _removed(log: Verdict) -> Iterator[Loss]:
    for one in itertools.chain.from_iterable(verdict.retired for verdict in log.each):
        first, last = date.fromisoformat(one.first), date.fromisoformat(one.last)
        yield Loss(what=one.segment, since=_midnight(first), until=_midnight(_near(last, 1)))


def _moment(text: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None
