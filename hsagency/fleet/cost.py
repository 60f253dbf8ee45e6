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
from hsagency.pacing.budgets import LENGTHS, Budget, held, room, share
from hsagency.portals import Connection
from hsagency.settings import Priority

Amounts: TypeAlias = int | Mapping[str, int] | Callable[[Connection], int | None]
"""How many calls: of every portal, by slug, or as a function of the connection says."""

COST: Final[Mapping[str, pl.DataType]] = {
    "client_slug": pl.String(),
    "account_name": pl.String(),
    "portal_id": pl.Int64(),
    "calls": pl.Int64(),
    "limit": pl.Int64(),
    "remaining": pl.Int64(),
    "room": pl.Int64(),
    "share": pl.Float64(),
    "fits": pl.Boolean(),
    "seconds": pl.Float64(),
    "resets_at": pl.Datetime("us", "UTC"),
    "source": pl.String(),
    "as_of": pl.Datetime("us", "UTC"),
    "age": pl.Duration("us"),
}
"""
Columns and types of a cost estimate.

`limit` and `remaining` are of the portal's day. `room` is what of them this purpose may use:
without the reserve, and within the share of its priority; none while the portal is closed, for
which `resets_at` then says until when. `share` is how much of what remains the calls would take.
`seconds` is how long they take at least, at the rate that the purpose may go. `source` and
`as_of` say who told what remains, and when.
"""

_NANO: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a job would cost one portal."""

    connection: Connection
    standing: Standing | None
    calls: int | None
    room: int | None
    fits: bool | None
    seconds: float | None


def batches(n: int, size: int = 100) -> int:
    """
    Return how many calls it takes to send `n` records in batches.

    >>> batches(250), batches(0)
    (3, 0)
    """
    _whole(n, "number of records")
    if size < 1:
        raise UsageError("A batch holds at least one record; nothing was done.")
    return -(-n // size)


def pages(n: int, size: int = 100) -> int:
    """
    Return how many calls it takes to read a list of `n`; also that it is empty costs one.

    >>> pages(250), pages(0)
    (3, 1)
    """
    return max(1, batches(n, size))


def searches(n: int) -> int:
    """
    Return how many calls it takes to search out `n` records, 200 a page.

    >>> searches(10_001)
    51
    """
    return pages(n, 200)


def estimates(
    connections: Iterable[Connection],
    calls: Amounts,
    *,
    searching: Amounts = 0,
    priority: Priority,
    standing: Callable[[Connection], Standing],
    now: datetime,
) -> list[Estimate]:
    """Return what `calls`, of which `searching` are searches, would cost each portal."""
    found = []
    for connection in connections:
        wanted, searched = amount(calls, connection), amount(searching, connection)
        if wanted is not None and (searched or 0) > wanted:
            raise UsageError(
                f"There are more searches than calls for {connection.client_slug}; nothing was done.",
                hint="Searches are some of the calls: count them in both.",
            )
        found.append(_estimate(connection, wanted, searched or 0, priority, standing, now))
    return found


def _estimate(
    connection: Connection,
    calls: int | None,
    searched: int,
    priority: Priority,
    standing: Callable[[Connection], Standing],
    now: datetime,
) -> Estimate:
    try:
        stands = standing(connection)
    except HsAgencyError:  # of this portal nothing is known; the others are as before
        return Estimate(
            connection=connection, standing=None, calls=calls, room=None, fits=None, seconds=None
        )
    room = room_of(stands, priority, now=now)
    return Estimate(
        connection=connection,
        standing=stands,
        calls=calls,
        room=room,
        fits=_fits(calls, room, stands),
        seconds=None if calls is None else _seconds(calls, searched, stands, priority),
    )


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
    if standing.closed_until is not None and standing.closed_until > now:
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


def _seconds(calls: int, searched: int, standing: Standing, priority: Priority) -> float:
    """Return how long calls take at least: a full window has to pass before the next begins."""
    slowed = standing.is_low
    limits = {
        Budget.BURST: (calls - searched, standing.burst_limit),
        Budget.SEARCH: (searched, table("limits")["search"]["limit"]),
    }
    longest = 0.0
    for budget, (wanted, limit) in limits.items():
        full = max(0, -(-wanted // share(limit, priority, slowed=slowed)) - 1)
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
    return closed if closed is not None and closed > now else standing.resets_at
