"""How a portal stands: what of its limits is known, since when, and from whom."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hsagency.pacing import tally
from hsagency.pacing.budgets import Budget, Source
from hsagency.pacing.layout import HEADER, USAGE, Word
from hsagency.pacing.ring import Ring
from hsagency.pacing.tally import moment
from hsagency.pacing.terms import Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """
    A portal's limits at one moment; what nobody told is None, never zero.

    `used` and `remaining` are of everybody who calls the portal, as HubSpot told last
    (`source`, `as_of`), and what this machine has sent since is used too; both are unknown from
    the portal's midnight until told again. `ours` and `checks` are this machine's calls of today,
    and how many of them were our own proofs and probes.
    """

    client_slug: str
    portal_id: int
    limit: int | None
    limit_source: Source
    limit_as_of: datetime | None
    used: int | None
    remaining: int | None
    source: Source | None
    as_of: datetime | None
    ours: int
    checks: int
    resets_at: datetime
    time_zone: str
    """UTC where the portal's own is not known."""
    zone_is_known: bool
    threshold: int | None
    reserve: int | None
    is_low: bool
    burst_limit: int
    burst_source: Source
    closed_until: datetime | None = None
    closed_because: str = ""


_SOURCES: Final = {HEADER: Source.HEADER, USAGE: Source.USAGE}


def standing_of(ring: Ring, terms: Terms, now: int) -> Standing:
    """Return how a portal stands, by what was just read."""
    words, known = ring.words, terms.known
    limit, left = terms.limit(words), tally.left(ring)
    marks = terms.marks(limit)
    is_told = bool(words[Word.LIMIT]) and limit is not None
    is_closed = tally.is_closed(ring, now)
    return Standing(
        client_slug=terms.connection.client_slug,
        portal_id=terms.connection.portal_id,
        limit=limit,
        limit_source=_SOURCES[words[Word.LIMIT_SOURCE]] if is_told else known.source,
        limit_as_of=moment(words[Word.LIMIT_AT]) if is_told else known.at,
        used=None if left is None or limit is None else max(0, limit - left),
        remaining=left,
        source=None if left is None else _SOURCES[words[Word.LEFT_SOURCE]],
        as_of=None if left is None else moment(words[Word.LEFT_AT]),
        ours=tally.ours(ring),
        checks=words[Word.CHECKS],
        resets_at=tally.midnight(ring),
        time_zone=terms.zone.name,
        zone_is_known=terms.zone.is_known,
        threshold=marks.warn_below,
        reserve=None if limit is None else marks.reserve,
        is_low=left is not None and marks.is_low(left),
        burst_limit=tally.limit_of(ring, Budget.BURST, known.windows[Budget.BURST]),
        burst_source=Source.HEADER if words[Word.LIMITS] else known.windows_source,
        closed_until=moment(words[Word.CLOSED_UNTIL]) if is_closed else None,
        closed_because=ring.text if is_closed else "",
    )
