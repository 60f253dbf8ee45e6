"""What an answer tells of limits: only headers that are there and readable; absent is not zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import httpx


class Told(NamedTuple):
    """The rate limit headers of one answer; None is absent or unreadable."""

    limit: int | None  # calls a day
    left: int | None  # of them
    most: int | None  # calls in a window
    room: int | None  # of them
    millis: int | None  # how long the window is


_DIGITS: Final = 9  # more than any limit of HubSpot's has
_PLACES: Final = {
    b"x-hubspot-ratelimit-daily": 0,
    b"x-hubspot-ratelimit-daily-remaining": 1,
    b"x-hubspot-ratelimit-max": 2,
    b"x-hubspot-ratelimit-remaining": 3,
    b"x-hubspot-ratelimit-interval-milliseconds": 4,
}
NOTHING: Final = Told(None, None, None, None, None)


def told_by(headers: httpx.Headers) -> Told:
    """Return what the headers of an answer tell; a pair that contradicts itself tells nothing."""
    found: list[int | None] = [None] * 5
    some = False
    for name, value in headers.raw:
        place = _PLACES.get(name.lower())
        if place is not None and value.isdigit() and len(value) <= _DIGITS:
            found[place] = int(value)
            some = True
    if not some:
        return NOTHING
    limit, left, most, room, millis = found
    if _is_absurd(limit, left):
        limit = left = None
    if _is_absurd(most, room):
        most = room = None
    return Told(limit, left, most, room, millis)


def _is_absurd(limit: int | None, left: int | None) -> bool:
    """Say whether there is a limit of none, or more left than there is."""
    return limit is not None and (limit == 0 or (left is not None and left > limit))
