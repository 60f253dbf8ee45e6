"""Which client and which days a notebook is about, and the records that were found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

import polars as pl

from hsagency.agency import Agency
from hsagency.audit.lake import Reading
from hsagency.compliance import Evidence, evidence, judged, within
from hsagency.errors import NothingToReport, UnknownClient
from hsagency.periods import Period
from hsagency.portals import AGENCY, Tombstone, parse_slug


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """
    One client and a period of whole UTC days, with what the audit log holds of them.

    `calls` are the calls of the period (columns: `audit.lake.CALLS`); `reading` is the
    client's whole log, and `judging` what the agency's own log holds of calls that judged a
    key for this client before it was stored. `daily_limit` is what the connection knows of
    the portal's limit. `why` says what was chosen for whoever did not say.
    """

    client_slug: str
    account_name: str
    portal_ids: tuple[int, ...]
    daily_limit: int | None
    period: Period
    reading: Reading
    judging: Reading
    calls: pl.LazyFrame
    why: str

    @property
    def portal(self) -> str:
        """The client as people name it: account name, slug and portal id."""
        return named(self.client_slug, self.account_name, self.portal_ids)

    def evidence(self) -> Evidence:
        """Say what was asked for, what was found, and what could not be read."""
        return evidence(self.reading, self.period, judging=self.judging)

    def _repr_html_(self) -> str:
        chosen = f"<br><small>{escape(self.why)}</small>" if self.why else ""
        return f"<p><strong>{escape(self.portal)}</strong><br>{self.period}{chosen}</p>"

    def __repr__(self) -> str:
        return f"{self.portal}, {self.period}"


def choose(
    agency: Agency,
    *,
    client: str = "",
    month: str = "",
    first: str = "",
    last: str = "",
    now: datetime | None = None,
) -> Selection:
    """
    Return the records of a client and a period, and say what was chosen where none is named.

    No client: the first that has records. No period: this month, or the last month with
    records. Raises `UnknownClient` and, where there is no client at all, `NothingToReport`.
    """
    slug = client or _first_client(agency)
    reading = _whole_log(agency, slug)
    why = [] if client else [f"No client was named: this is {slug}."]
    if month or first or last:
        period = Period.of(month=month or None, first=first or None, last=last or None)
    else:
        period = _latest_month(reading, now or datetime.now(UTC))
        why.append(f"No period was named: this is {period.label}.")
    calls = within(reading.calls, period).collect().lazy()
    index, name = agency.index.read(), parse_slug(slug)
    connection, removed = index.connections.get(name), index.tombstones.get(name)
    seen = _portals(calls) or _portals(reading.calls)
    same = connection is not None and set(seen) <= {connection.portal_id}
    facts = {name: fact.value for name, fact in connection.facts.items()} if connection else {}
    if connection is not None and not same:
        why.append(f"Records of other portals than the connected {connection.portal_id} are here.")
    limit = facts.get("daily_limit")
    return Selection(
        client_slug=slug,
        # A name or a limit of one portal says nothing about the records of another.
        account_name=str(facts.get("name") or "") if same else _name_of(removed, seen),
        portal_ids=(connection.portal_id,) if connection and same else seen,
        daily_limit=limit if same and isinstance(limit, int) else None,
        period=period,
        reading=reading,
        judging=judged(agency.audit.read(AGENCY), slug),
        calls=calls,
        why=" ".join(why),
    )


def _name_of(removed: Tombstone | None, seen: tuple[int, ...]) -> str:
    """Return the name of a client that was removed, if all records are of its portal."""
    same = removed is not None and set(seen) <= {removed.portal_id}
    return removed.name or "" if removed is not None and same else ""


def named(slug: str, account_name: str, portal_ids: tuple[int, ...]) -> str:
    """Return a client as people name it."""
    ids = ", ".join(str(one) for one in portal_ids) or "id not known"
    return f"{account_name} ({slug}, portal {ids})" if account_name else f"{slug} (portal {ids})"


def _first_client(agency: Agency) -> str:
    for found in (agency.audit.recorded(), agency.slugs()):
        if found:
            return str(found[0])
    raise NothingToReport(
        "This workspace has no clients yet, so there is nothing to report.",
        hint="Onboard some, or import a log: hsagency onboard FILE, hsagency audit import FILE.",
    )


def _whole_log(agency: Agency, slug: str) -> Reading:
    """Damage has no date, so the period is cut out later."""
    try:
        return agency.audit.read(parse_slug(slug))
    except UnknownClient as error:
        # A page may reach a client, who must not learn who the others are.
        raise UnknownClient(
            f"There is no client {slug!r} in this workspace; nothing was reported.",
            hint="hsagency portals lists the clients.",
        ) from error


def _latest_month(reading: Reading, now: datetime) -> Period:
    this = Period.of(month=f"{now:%Y-%m}")
    last = reading.calls.filter(pl.col("ts") < this.until).select(pl.col("ts").max()).collect()
    return Period.of(month=f"{last.item():%Y-%m}") if last.item() is not None else this


def _portals(calls: pl.LazyFrame) -> tuple[int, ...]:
    """Return the portal ids that records name."""
    ids = calls.select(pl.col("portal_id").drop_nulls().unique().sort()).collect()
    return tuple(ids["portal_id"].to_list())
