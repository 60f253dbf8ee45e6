"""A log's own verdict joined with HubSpot's count of its calls, as commands show it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hsagency.cli.common import records
from hsagency.errors import HsAgencyError
from hsagency.portals import AGENCY
from hsagency.words import counted

if TYPE_CHECKING:
    from datetime import date

    import polars as pl

    from hsagency.agency import Agency
    from hsagency.audit.standalone.verdict import Verdict

_SHOWN: Final = 10  # days; more are a table's matter


@dataclass(frozen=True, slots=True)
class Joined:
    """What verifying a log found, and what HubSpot's counts add to it."""

    log: Verdict
    days: pl.DataFrame | None = None
    obstacle: str = ""
    lake: tuple[str, str] = ("none", "")  # its state, and what is wrong with it

    @property
    def completeness(self) -> str:
        """Whether all is there: what is known to be lost comes before what HubSpot counted."""
        from hsagency.completeness import verdict

        if self.days is None or self.days.is_empty():
            return self.log.completeness
        return verdict(self.days)

    def fails(self, *, require_complete: bool, require_signed: bool) -> bool:
        """Say whether a check of this log has to fail."""
        if self.log.worst != "intact":
            return True
        if require_signed and any(one.unsigned for one in self.log.each):
            return True
        # its calls are counted, and compared, with those of the portals they went to
        wanted = ("complete", "not comparable") if self.log.slug == AGENCY else ("complete",)
        return require_complete and self.completeness not in wanted

    def report(self) -> dict[str, Any]:
        """Return all of it as JSON shows it."""
        days = [] if self.days is None else records(self.days)
        said = {"completeness": self.completeness, "days": days}
        lake = {"state": self.lake[0], "cause": self.lake[1] or None}
        return {**self.log.report(), **said, "notCompared": self.obstacle or None, "lake": lake}

    def lines(self, *, every_day: bool) -> Iterator[str]:
        """Yield it for a person; with `every_day`, say of each day that is not complete why."""
        from hsagency.audit.standalone.verify import described
        from hsagency.completeness import COMPLETE, by_day

        _, *rest = described(self.log)
        yield f"{self.log.slug}: {self.log.integrity}; completeness: {self.completeness}"
        yield from rest
        for key in self.log.signed_by:
            yield f"  signed by the key {key['key']}, {key['statements']} times"
            yield f"    SHA-256 {key['fingerprint']}"
        state, cause = self.lake
        if state == "changed":
            yield f"  lake      changed ({cause}): queries read the evidence and make it anew"
        elif state != "none":
            why = f": {cause}" if cause else ""
            yield f"  lake      {state}{why}"
        if self.days is None or self.days.is_empty():
            yield f"  HubSpot   {self.obstacle or 'nothing to compare: no calls of these days'}"
            return
        words = by_day(self.days)
        counts = [(word, sum(one == word for one in words.values())) for word in _WORDS]
        yield "  HubSpot   " + ", ".join(_days(count, word) for word, count in counts if count)
        if every_day:
            yield from _reasons(self.days, [day for day, one in words.items() if one != COMPLETE])


_WORDS: Final = ("complete", "incomplete", "not comparable")


def _days(count: int, word: str) -> str:
    return f"{counted(count, 'day')} {word}"


def _reasons(days: pl.DataFrame, wanted: list[date]) -> Iterator[str]:
    for day in wanted[:_SHOWN]:
        for row in days.filter(days["day"] == day).iter_rows(named=True):
            yield f"  {day}, by {row['source']}: {row['verdict']}. {row['reason']}"
    if len(wanted) > _SHOWN:
        more = ", ".join(str(day) for day in wanted[_SHOWN:])
        yield f"  and not complete either: {more}"


def join(
    agency: Agency,
    log: Verdict,
    *,
    since: date | None,
    until: date | None,
    thorough: bool,
) -> Joined:
    """
    Join a verdict with HubSpot's counts of the same days, `until` not included.

    What stands in the way of comparing never hides the verdict. Unless `thorough`, what would
    take much longer than the verdict itself is left out: much that is not sealed yet.
    """
    return replace(
        _compared(agency, log, since=since, until=until, thorough=thorough),
        lake=_lake(agency, log.slug),
    )


def _lake(agency: Agency, slug: str) -> tuple[str, str]:
    try:
        found = agency.audit.lake_state(slug)
    except HsAgencyError as error:
        return "not checked", error.message
    return found.state, found.cause


def _compared(
    agency: Agency, log: Verdict, *, since: date | None, until: date | None, thorough: bool
) -> Joined:
    if log.slug == AGENCY:
        return Joined(log, obstacle="its calls are compared with those of the client they were for")
    if log.completeness == "incomplete":
        return Joined(log, obstacle="not compared: what is lost shows without it")
    waiting = _unsealed(agency.workspace.audit / log.slug)
    if waiting > _MUCH and not (thorough or since or until):
        return Joined(log, obstacle=f"not compared: {waiting >> 20} MB are not sealed; {_HOW}")
    try:
        found = agency.compare(log.slug, since=since, until=until, verdict=log)
    except HsAgencyError as error:
        return Joined(log, obstacle=f"not compared: {error.message}")
    only = "nothing to compare: all calls of these days are simulated"
    return Joined(
        log, found.days, obstacle=only if found.simulated and found.days.is_empty() else ""
    )


_MUCH: Final = 64 << 20  # bytes, a few seconds
_HOW: Final = "hsagency audit seal does that, --require-complete or days compare all the same"


def _unsealed(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "journal").glob("*.jsonl"))
