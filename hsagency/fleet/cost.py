"""
What a job would cost each portal, before it is begun: pure arithmetic over what is known.

It asks HubSpot nothing. What no answer told is null, and so is everything that follows from it;
`fits` is never guessed. Other apps of the portal go on calling while a job runs: that it fits
is true of the moment that `as_of` names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

import polars as pl

from hsagency.data import table
from hsagency.errors import HsAgencyError, UsageError
from hsagency.pacing import Source, Standing
from hsagency.pacing.budgets import DAY_SHARE, LENGTHS, Budget, held, known_of, room, share
from hsagency.portals import Connection
from hsagency.settings import Priority
from hsagency.stopping import moment, since

Amounts: TypeAlias = int | Mapping[str, int] | Callable[[Connection], int | None]
"""How many calls: of every portal, by slug, or as a function of the connection says."""

COST: Final[Mapping[str, pl.DataType]] = {
    "client_slug": pl.String(),
    "fits": pl.Boolean(),
    "room": pl.Int64(),
    "because": pl.String(),
    "calls": pl.Int64(),
    "remaining": pl.Int64(),
    "limit": pl.Int64(),
    "share": pl.Float64(),
    "seconds": pl.Float64(),
    "account_name": pl.String(),
    "portal_id": pl.Int64(),
    "source": pl.String(),
    "as_of": pl.Datetime("us", "UTC"),
    "age": pl.Duration("us"),
    "resets_at": pl.Datetime("us", "UTC"),
}
"""
Columns and types of a cost estimate.

`limit` and `remaining` are of the portal's day. `room` is what of them this purpose may use:
without the reserve, and within the share of its priority; none while the portal is closed, for
which `resets_at` then says until when. `because` says why calls do not fit: the portal is closed
or stopped, the fleet is halted, or to whom what is left is kept. `share` is how much of what
remains the calls would take. `seconds` is how long they take at least, at the rate that the
purpose may go. `source` and `as_of` say who told what remains, and when.
"""

_NANO: Final = 1_000_000_000
_BATCH: Final[int] = table("objects")["batch"]["records"]
_PAGE: Final[int] = table("objects")["pages"]["most"]
_FOUND: Final[int] = table("objects")["search"]["page"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a job would cost one portal."""

    connection: Connection
    standing: Standing | None
    calls: int | None
    room: int | None
    fits: bool | None
    seconds: float | None
    because: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be done: how many calls, which of them have a window of their own, and who asks."""

    calls: Amounts
    searches: Amounts = 0
    associations: Amounts = 0
    priority: Priority
    halted: str | None = None
    """Why nothing may be sent at all, if so."""

    def wanted(self, connection: Connection) -> tuple[int, int, int] | None:
        """Return how many calls one portal's windows would count, by budget, if that is said."""
        calls = amount(self.calls, connection)
        searches = amount(self.searches, connection) or 0
        linking = amount(self.associations, connection) or 0
        if calls is not None and searches + linking > calls:
            raise UsageError(
                f"There are more searches and associations than calls for {connection.client_slug}; "
                "nothing was done.",
                hint="They are some of the calls: count them in both.",
            )
        return None if calls is None else (calls - searches - linking, linking, searches)


def batches(n: int, size: int = _BATCH) -> int:
    """
    Return how many calls it takes to send `n` records in batches.

    >>> batches(250), batches(0)
    (3, 0)
    """
    _whole(n, "number of records")
    if size < 1:
        raise UsageError("A batch holds at least one record; nothing was done.")
    return -(-n // size)


def pages(n: int, size: int = _PAGE) -> int:
    """
    Return how many calls it takes to read a list of `n`; also that it is empty costs one.

    >>> pages(250), pages(0)
    (3, 1)
    """
    return max(1, batches(n, size))


def searches(n: int) -> int:
    """
    Return how many calls it takes to search out `n` records.

    >>> searches(10_001)
    51
    """
    return pages(n, _FOUND)


def estimates(
    connections: Iterable[Connection],
    job: Job,
    *,
    standing: Callable[[Connection], Standing],
    now: datetime,
) -> list[Estimate]:
    """Return what a job would cost each portal."""
    return [_estimate(one, job, standing, now) for one in connections]


def _estimate(
    connection: Connection, job: Job, standing: Callable[[Connection], Standing], now: datetime
) -> Estimate:
    wanted = job.wanted(connection)
    calls = None if wanted is None else sum(wanted)
    refused = job.halted or (since(connection.stopped) if connection.stopped else None)
    try:
        stands = standing(connection)
    except HsAgencyError:  # of this portal nothing is known; the others are as before
        stands = None
    room = room_of(stands, job.priority, now=now) if stands else None
    fits = _fits(calls, room, stands) if stands else None
    if refused and calls is not None:
        fits = False
    elif fits is False and stands is not None:
        refused = _kept(stands, calls or 0, job.priority, now=now)
    return Estimate(
        connection=connection,
        standing=stands,
        calls=calls,
        room=room,
        fits=fits,
        seconds=_seconds(connection, wanted, stands, job.priority) if wanted and stands else None,
        because=refused if fits is False else None,
    )


def _kept(standing: Standing, calls: int, priority: Priority, *, now: datetime) -> str:
    """Return why there is no room for calls: a portal is closed, or for whom the rest is."""
    if standing.closed_until is not None and is_closed(standing, now):
        return f"closed until {moment(standing.closed_until)}, because {standing.closed_because}"
    limit, left, reserve = standing.limit or 0, standing.remaining or 0, standing.reserve or 0
    said = f"{left:,} calls are left"
    kept = []
    if room(limit, left, reserve=0, priority=priority) < calls <= left:
        kept.append(f"calls of {priority} priority stop when {DAY_SHARE[priority]} % are used")
    if max(0, left - reserve) < calls <= left:
        kept.append(f"the last {reserve:,} are reserved for the client's own apps")
    return ", and ".join([said, *kept])


def is_closed(standing: Standing, now: datetime) -> bool:
    """Say whether a portal takes no calls for now."""
    return standing.closed_until is not None and standing.closed_until > now


def amount(calls: Amounts, connection: Connection) -> int | None:
    """Return how many calls are meant for one portal; raises `UsageError` for what is none."""
    if callable(calls):
        said = calls(connection)
    elif isinstance(calls, Mapping):
        said = calls.get(connection.client_slug)
    else:
        said = calls
    return None if said is None else _whole(said, f"number of calls for {connection.client_slug}")


def _whole(number: object, what: str) -> int:
    if type(number) is not int or number < 0:
        raise UsageError(f"The {what} is not a whole number from 0 on; nothing was done.")
    return number


def room_of(standing: Standing, priority: Priority, *, now: datetime) -> int | None:
    """Return how many calls of a priority a portal has room for today; nothing if not known."""
    if is_closed(standing, now):
        return 0
    if standing.limit is None or standing.remaining is None:
        return None
    return room(
        standing.limit, standing.remaining, reserve=standing.reserve or 0, priority=priority
    )


def _fits(calls: int | None, room: int | None, standing: Standing) -> bool | None:
    if calls is None:
        return None
    if room is not None:
        return calls <= room
    # A marketplace app has no daily limit, so that there is nothing to be known.
    return True if standing.limit_source is Source.UNLIMITED or calls == 0 else None


def _seconds(
    connection: Connection, wanted: tuple[int, int, int], standing: Standing, priority: Priority
) -> float:
    """Return how long calls take at least: a full window has to pass before the next begins."""
    windows = (standing.burst_limit, *known_of(connection).windows[1:])
    longest = 0.0
    for budget in Budget:
        most = share(windows[budget], priority, slowed=standing.is_low)
        full = max(0, -(-wanted[budget] // most) - 1)
        longest = max(longest, full * held(LENGTHS[budget]) / _NANO)
    return longest


def frame(found: Iterable[Estimate], *, now: datetime) -> pl.DataFrame:
    """Return estimates as a frame (columns: `COST`)."""
    return pl.DataFrame([_cells(one, now) for one in found], schema=COST)


def _cells(one: Estimate, now: datetime) -> dict[str, object]:
    portal, stands = one.connection.portal, one.standing
    cells: dict[str, object] = {
        "client_slug": portal.client_slug,
        "account_name": portal.name,
        "portal_id": portal.portal_id,
        "calls": one.calls,
        "room": one.room,
        "fits": one.fits,
        "because": one.because,
        "seconds": one.seconds,
    }
    if stands is None:
        return cells
    share_of = one.calls / stands.remaining if one.calls is not None and stands.remaining else None
    return cells | {
        "limit": stands.limit,
        "remaining": stands.remaining,
        "share": share_of,
        "resets_at": resets_at(stands, now),
        "source": stands.source.value if stands.source else None,
        "as_of": stands.as_of,
        "age": now - stands.as_of if stands.as_of else None,
    }


def resets_at(standing: Standing, now: datetime) -> datetime:
    """Return when there is room again: at the portal's midnight, or when it opens."""
    closed = standing.closed_until
    return closed if closed is not None and is_closed(standing, now) else standing.resets_at
