"""Pages over things in an order, with cursors that say nothing to who reads them."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias, TypeVar, cast
from urllib.parse import urlencode

from hsagency.sandbox.call import Call
from hsagency.sandbox.wire import JsonObject, invalid

Key: TypeAlias = tuple[int] | tuple[str, int]
Item = TypeVar("Item")


def page_of(
    call: Call, items: Sequence[Item], *, key: Callable[[Item], Key], default: int, most: int
) -> tuple[list[Item], JsonObject]:
    """
    Return one page of items that are sorted by key, and the part of the answer that pages.

    `after` asks for what comes behind a cursor; `before` for what comes ahead of it, last first.
    With both, `after` wins.
    """
    limit = call.number("limit", default=default, least=1, most=most)
    after, before = call.request.param("after"), call.request.param("before")
    if not items:
        return [], {}
    if after or not before:
        start = bisect_right(items, _key(after, key(items[0])), key=key) if after else 0
        found = list(items[start : start + limit])
        below, above = start > 0, start + limit < len(items)
    else:
        end = bisect_left(items, _key(before, key(items[0])), key=key)
        found = list(items[max(0, end - limit) : end])[::-1]
        below, above = end > limit, end < len(items)
    ends = sorted((key(found[0]), key(found[-1]))) if found else []
    return found, _paging(call, ends, below=below, above=above)


def page_by_number(
    call: Call,
    items: Iterable[Item],
    *,
    number: Callable[[Item], int],
    default: int,
    most: int,
    descending: bool = False,
) -> tuple[list[Item], JsonObject]:
    """Return one page of items whose numbers, in whose order they come, are the cursors."""
    limit = call.number("limit", default=default, least=1, most=most)
    given = call.request.param("after")
    after = None if given is None else whole(given, "after")
    found, more = cut(items, number=number, after=after, limit=limit, descending=descending)
    return found, {"paging": next_page(call, str(more))} if more is not None else {}


def cut(
    items: Iterable[Item],
    *,
    number: Callable[[Item], int],
    after: int | None,
    limit: int,
    descending: bool = False,
) -> tuple[list[Item], int | None]:
    """Return the items behind a number, and the last one's if there are more."""
    rest = [
        one
        for one in items
        if after is None or (number(one) < after if descending else number(one) > after)
    ]
    return rest[:limit], number(rest[limit - 1]) if len(rest) > limit else None


def whole(text: str, name: str) -> int:
    """Return a whole number of the query, which may be longer than an id."""
    if not (text.isascii() and text.isdigit() and len(text) <= 24):
        raise invalid(f"{name} must be a whole number")
    return int(text)


def next_page(call: Call, after: str) -> JsonObject:
    """Return the `paging` of an answer: the cursor, and the next page on the host asked."""
    query = [pair for pair in call.request.query if pair[0] != "after"]
    link = f"{host(call)}{call.request.path}?{urlencode([*query, ('after', after)])}"
    return {"next": {"after": after, "link": link}}


def host(call: Call) -> str:
    """Return the host that was asked, for addresses inside of answers."""
    name = call.request.headers.get("host", "api.hubapi.com")
    scheme = "https" if name.endswith("hubapi.com") else "http"
    return f"{scheme}://{name}"


def _paging(call: Call, ends: list[Key], *, below: bool, above: bool) -> JsonObject:
    paging: JsonObject = {}
    if ends and above:
        paging |= next_page(call, _cursor(ends[-1]))
    if ends and below:
        paging["prev"] = {"before": _cursor(ends[0])}
    return {"paging": paging} if paging else {}


def _cursor(key: Key) -> str:
    return urlsafe_b64encode(json.dumps(key).encode()).decode()


def _key(cursor: str, example: Key) -> Key:
    """Return what a cursor stands for, which must be of the same make as the keys here."""
    try:
        found = json.loads(urlsafe_b64decode(cursor.encode()))
    except (ValueError, RecursionError) as error:
        raise _unknown(cursor) from error
    if not isinstance(found, list) or [*map(type, found)] != [*map(type, example)]:
        raise _unknown(cursor)
    return cast("Key", tuple(found))


def _unknown(cursor: str) -> Exception:
    return invalid(f"{cursor!r} is not a cursor of this endpoint")
