"""
The table of portals: what is connected, how it is doing, and how many slots of the fleet it takes.

From stored facts and the files of this machine alone: nothing is asked of HubSpot, and no secret
is read. What nobody told is null, never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final

import polars as pl

from hsagency.audit.lake.counting import calls_since
from hsagency.data import table
from hsagency.errors import HsAgencyError
from hsagency.halt import Halt
from hsagency.health import Health, health
from hsagency.index import Snapshot
from hsagency.pacing import Pacing, Standing
from hsagency.portals import Connection, CredentialKind, Fact, Tombstone, redact
from hsagency.progress import Progress, silent
from hsagency.settings import Settings, Workspace

_MOMENT: Final = pl.Datetime("us", "UTC")
PORTALS: Final[Mapping[str, pl.DataType]] = {
    "client_slug": pl.String(),
    "account_name": pl.String(),
    "portal_id": pl.Int64(),
    "connection_type": pl.String(),
    "status": pl.String(),
    "cause": pl.String(),
    "status_evidence": pl.String(),
    "status_since": _MOMENT,
    "status_code": pl.Int64(),
    "correlation_id": pl.String(),
    "next_step": pl.String(),
    "tier": pl.String(),
    "tier_source": pl.String(),
    "daily_limit": pl.Int64(),
    "quota_left": pl.Int64(),
    "quota_as_of": _MOMENT,
    "calls_this_month": pl.Int64(),
    "kind": pl.String(),
    "generation": pl.Int64(),
    "credential_age_days": pl.Int64(),
    "credential_hint": pl.String(),
    "hublet": pl.String(),
    "added_at": _MOMENT,
    "last_rotated_at": _MOMENT,
    "verified_at": _MOMENT,
    "api": pl.String(),
    "error": pl.String(),
}
"""
Columns and types of the frame of portals; times are UTC.

`status` is a `health.HealthStatus`, and `cause` why it is not connected (`portals.Cause`);
`status_evidence` is a sentence, `status_since`, `status_code` and `correlation_id` are of the
answer that showed it, and `next_step` is a command, null where nothing is to be done.
`tier_source` is how the tier is known: `fetched`, `declared`, or `inferred` with its confidence.
`daily_limit` is the stored fact, in calls; `quota_left` is what of the portal's day was left of
it at `quota_as_of`, less what this machine sent since: null where no answer of that day told.
`calls_this_month` are the calls in this agency's log since the month began in UTC: every
attempt, refused ones too; null where there is no log, or none that can be read.
`credential_age_days` are whole days since `last_rotated_at`; `credential_hint` says what to do
about an old one. `api` is a sandbox's address, null for HubSpot. `error` is what could not be
read of a row, or found out anew, and why.
"""

_AT_ONCE: Final = 16  # portals that are asked anew side by side


@dataclass(frozen=True, slots=True)
class Slots:
    """How many portals are connected, and how many may be; `size` is nothing without a limit."""

    used: int
    size: int | None

    @property
    def free(self) -> int | None:
        """How many more may be connected: never less than none, nothing without a limit."""
        return None if self.size is None else max(0, self.size - self.used)


def slots(settings: Settings, snapshot: Snapshot) -> Slots:
    """
    Return how many slots of the fleet are taken.

    A portal has its slot while it is connected. A removal gives it back as soon as its tombstone
    is written: no client is handed out from then on, even where the removal has yet to be
    finished.
    """
    return Slots(used=len(snapshot.connections), size=settings.fleet.slots)


_NONE: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One portal of the table: what is stored of it, and what the files of this machine add."""

    connection: Connection
    health: Health
    standing: Standing | None
    calls: int | None
    age_days: int
    errors: tuple[str, ...] = field(default=())

    def row(self) -> dict[str, object]:
        """Return it as a row of the frame (columns: `PORTALS`)."""
        one, known = self.connection, self.health
        facts = {name: fact.value for name, fact in one.facts.items()}
        return {
            "client_slug": one.client_slug,
            "account_name": facts.get("name"),
            "portal_id": one.portal_id,
            "connection_type": one.connection_type.value,
            "status": known.status.value,
            "cause": known.cause.value if known.cause else None,
            "status_evidence": known.evidence,
            "status_since": known.since,
            "status_code": known.status_code,
            "correlation_id": known.correlation_id,
            "next_step": known.next_step or None,
            "tier": facts.get("tier"),
            "tier_source": source_of(one.facts.get("tier")),
            "daily_limit": facts.get("daily_limit"),
            "quota_left": _left(self.standing),
            "quota_as_of": self.standing.as_of if self.standing else None,
            "calls_this_month": self.calls,
            "kind": one.kind.value,
            "generation": one.generation,
            "credential_age_days": self.age_days,
            "credential_hint": hint(one, self.age_days),
            "hublet": one.hublet,
            "added_at": one.added_at,
            "last_rotated_at": one.last_rotated_at,
            "verified_at": one.verified_at,
            "api": one.api_base or None,
            "error": " ".join(self.errors) or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """
    The portals of a workspace at one moment, by slug, and the slots that they take.

    `removing` is what is no portal of it any more while its removal is not finished.
    """

    portals: tuple[Listed, ...]
    slots: Slots
    removing: tuple[Tombstone, ...] = ()

    def frame(self) -> pl.DataFrame:
        """Return one row a connection, sorted by slug (columns: `PORTALS`)."""
        return pl.DataFrame([one.row() for one in self.portals], schema=PORTALS)


def listing(
    workspace: Workspace,
    pacing: Pacing,
    *,
    now: datetime,
    only: str | None = None,
    failed: Mapping[str, str] = _NONE,
) -> Listing:
    """
    List the connections of a workspace, or `only` one; `failed` says what was asked in vain.

    One portal whose log or limits cannot be read is a row that says so. Raises `CorruptFile` or
    `NewerSchema` where the index cannot be read.
    """
    snapshot = workspace.index.read()
    halted = Halt(workspace.state / "halt.json").reason()
    meant = [one for slug, one in sorted(snapshot.connections.items()) if only in (None, slug)]
    counts = calls_since(workspace.audit, [one.client_slug for one in meant], now.date())

    def listed(one: Connection) -> Listed:
        errors = [failed[one.client_slug]] if one.client_slug in failed else []
        try:
            standing = pacing.of(one).standing()
        except HsAgencyError as error:
            standing, errors = None, [*errors, f"Its quota is not known: {error}"]
        calls = counts[one.client_slug]
        if isinstance(calls, HsAgencyError):
            calls, errors = None, [*errors, f"Its calls were not counted: {calls}"]
        return Listed(
            connection=one,
            health=health(one, halted=halted, now=now),
            standing=standing,
            calls=calls,
            age_days=max(0, (now - one.last_rotated_at).days),
            errors=tuple(map(redact, errors)),
        )

    return Listing(
        portals=tuple(map(listed, meant)),
        slots=slots(workspace.settings, snapshot),
        removing=tuple(one for _, one in sorted(snapshot.tombstones.items()) if one.pending),
    )


def refreshed(
    slugs: Iterable[str], ask: Callable[[str], object], *, progress: Progress = silent
) -> dict[str, str]:
    """Ask every portal anew, side by side; return of whom that failed, and why."""
    some, failed = list(slugs), {}
    with progress("refreshing", len(some)) as step, ThreadPoolExecutor(_AT_ONCE) as pool:

        def one(slug: str) -> None:
            try:
                ask(slug)
            except HsAgencyError as error:
                failed[slug] = str(error)
            step(1)

        list(pool.map(one, some))
    return failed


def source_of(fact: Fact | None) -> str | None:
    """Return how a fact is known: fetched, declared, or inferred and how surely."""
    if fact is None:
        return None
    sure = f", {fact.confidence} confidence" if fact.confidence else ""
    return f"{fact.provenance}{sure}"


def advised_days() -> int:
    """Return how old a static token is when HubSpot advises to rotate it."""
    return int(table("end_of_life")["warn"]["rotate_after_days"])


def hint(connection: Connection, age_days: int) -> str | None:
    """Say what to do about a static token that is older than HubSpot advises."""
    advised = advised_days()
    if connection.kind is CredentialKind.OAUTH or age_days <= advised:
        return None
    return (
        f"Not rotated for {age_days} days; HubSpot advises every {advised}. Make a new one "
        f"there, then: hsagency reconnect {connection.client_slug}"
    )


def _left(standing: Standing | None) -> int | None:
    known = None if standing is None else standing.remaining
    return None if known is None else max(0, known)
