"""The verdict on a day of calls, and why; and what has to be known for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from hsagency.portals import CredentialKind
from hsagency.words import counted

COMPLETE: Final = "complete"
INCOMPLETE: Final = "incomplete"
NOT_COMPARABLE: Final = "not comparable"
HEADERS, ENDPOINT, NONE = "headers", "usage endpoint", "none"

Row: TypeAlias = dict[str, Any]

CLOCK: Final = timedelta(minutes=2)
"""As much as two clocks may differ before it is recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One stored answer of the daily usage endpoint; `at` is when it was recorded."""

    at: datetime
    collected_at: datetime
    used: int
    kind: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Records that are known to be lost, and between which times they were; none: any."""

    what: str
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a workspace knows of a portal and its log, beside the calls."""

    slug: str
    portal_id: int | None = None
    zone: str | None = None
    only_us: bool = False
    kinds: Mapping[str, str] | None = None  # of credentials, by fingerprint
    samples: Sequence[Sample] = ()
    losses: Sequence[Loss] = ()
    removed: Sequence[Loss] = ()  # under retention, as the signed register says
    clocks: Sequence[datetime] = ()  # when clocks were found to differ

    @property
    def day_of(self) -> str:
        """Whose days are counted."""
        return self.zone or "UTC"

    def day(self, at: datetime) -> date:
        """Return the day that a moment is of."""
        return at.astimezone(ZoneInfo(self.day_of)).date()

    def touching(self, losses: Sequence[Loss], day: date) -> Loss | None:
        """Return the first loss that may be of a day."""
        for one in losses:
            begun = one.since is None or self.day(one.since) <= day
            if begun and (one.until is None or day <= self.day(one.until)):
                return one
        return None


def judged(row: Row, known: Known) -> tuple[str, str]:
    """Return the verdict on a row, and why."""
    loss = known.touching(known.losses, row["day"])
    if loss is not None:
        return INCOMPLETE, f"Records are known to be lost: {loss.what}"
    obstacle = _obstacle(row, known)
    if obstacle:
        return NOT_COMPARABLE, obstacle
    said = f"HubSpot had counted {_calls(row['theirs'])} by {_clock(row['as_of'], known)}"
    if row["lacking"] and row.get("contradicted"):
        return NOT_COMPARABLE, f"{said}, and later that day it told of fewer itself."
    has = f"this log has {_range(row['ours_least'], row['ours_most'])}"
    if row["lacking"]:
        word, why = _lacking(row, known)
        return word, f"{said}, {has}: {_lacks(row)}{why}"
    if row["difference"]:
        return NOT_COMPARABLE, f"{said}, {has}: {_FEWER}."
    return COMPLETE, f"{said}, and {has}."


def _lacking(row: Row, known: Known) -> tuple[str, str]:
    """Return what it means that HubSpot counted more, and the end of the sentence that says so."""
    if known.only_us:
        return INCOMPLETE, ", and no other app calls this portal."
    return NOT_COMPARABLE, "; other apps of the client share that count, or records are missing."


_FEWER: Final = (
    "HubSpot does not count every call, its count lags behind, or a call never reached it"
)
_NOT_COUNTED: Final[Mapping[str, str]] = {
    CredentialKind.SERVICE_KEY: "a service key, whose calls the usage endpoint does not count",
    CredentialKind.OAUTH: "OAuth, whose calls the usage endpoint does not count",
    CredentialKind.STATIC_APP: "a static app, and the usage endpoint counts legacy private apps",
    CredentialKind.STATIC: (
        "a token nobody declared as service key or private app, and the usage endpoint counts "
        "legacy private apps alone"
    ),
}


def _obstacle(row: Row, known: Known) -> str | None:
    """Return why a row cannot be compared at all, if so."""
    day = row["day"]
    if known.zone is None:
        return "The portal's time zone is not known, so nor is when its days begin; this is UTC's."
    if known.touching(known.removed, day):
        return "Records that may be of this day were removed under retention."
    if row["source"] == NONE:
        return _SILENT
    if any(known.day(at) == day for at in known.clocks):
        return "This machine's clock was not right, so calls may stand on another day."
    if known.day(row["as_of"] - CLOCK) != known.day(row["as_of"] + CLOCK):
        return "HubSpot counted at midnight, so that it may be either day's count."
    return _not_counted(row) if row["source"] == ENDPOINT else None


def _not_counted(row: Row) -> str | None:
    """Return which of our calls the usage endpoint does not count, if there are any."""
    if row["kind"] != CredentialKind.PRIVATE_APP:
        what = _NOT_COUNTED.get(row["kind"], "a credential that the usage endpoint does not count")
        return f"The connection has {what}."
    if row["of_others"]:
        return "Calls of credentials that the usage endpoint does not count were made that day too."
    return None


_SILENT: Final = (
    "No answer told what was left of the day: HubSpot does not tell it to OAuth apps and after "
    "searches, and near midnight it may be of either day."
)


def _lacks(row: Row) -> str:
    lacking, before = row["lacking"], row.get("lacking_before_first")
    least = "" if row["ours_least"] == row["ours_most"] else "at least "
    if not row["difference"]:
        least = f"but earlier that day {least}"
    if not before:
        return f"{least}{_calls(lacking)} more"
    when = "all of them" if before == lacking else f"{before:,} of them"
    return f"{least}{_calls(lacking)} more, {when} before its first answer"


def _calls(count: int) -> str:
    return counted(count, "call")


def _range(least: int, most: int) -> str:
    return f"{most:,}" if least == most else f"{least:,} to {most:,}"


def _clock(at: datetime, known: Known) -> str:
    return f"{at.astimezone(ZoneInfo(known.day_of)):%H:%M:%S}"
