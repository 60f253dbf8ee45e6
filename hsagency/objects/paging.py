"""
Every page of a list, by cursor.

Of what an answer says about the next page only the cursor is taken, and it goes to the path
that was asked for: an address in an answer is never followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from hsagency.data import table
from hsagency.errors import UnusableAnswer, UsageError
from hsagency.objects.asking import JsonObject, Place, ask
from hsagency.objects.results import Page, Results, page_of
from hsagency.objects.values import listed
from hsagency.portals import plain_word
from hsagency.progress import Progress, silent
from hsagency.routes import touched
from hsagency.verifier import Sender

_RECORDS: Final = re.compile(
    r"/crm/(?:objects/(?:v\d+|\d{4}-\d{2}(?:-beta)?)|v\d+/objects)/[A-Za-z0-9_-]+", re.ASCII
)
_JOINED: Final = frozenset({"properties", "propertiesWithHistory", "associations"})
_GONE: Final = "OBJECT_NOT_FOUND"
_HOST: Final = len("https://api-eu1.hubapi.com")
_Pairs = list[tuple[str, str]]


def pages(
    sender: Sender,
    path: str,
    *,
    properties: Sequence[str] = (),
    params: Mapping[str, Any] | None = None,
    limit: int | None = 100,
    progress: Progress = silent,
) -> Results:
    """
    Read every page of a list: objects, associations, members, owners, account activity.

    `path` is one of HubSpot's, or the name of an object type: "deals". `params` may hold
    lists. `limit` is how many come on a page, and None leaves that to HubSpot; records with
    their history come 50 at a time. Where so many properties are asked for that the address
    would be longer than HubSpot takes, they are read by batch: two calls a page. Associations
    come with the records, in no calls of their own; a record with more of them than HubSpot
    puts on a page carries its own `paging`, which is left to the caller.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"A page holds at least one result, not {limit}.")
    place = None if path.startswith("/") else Place.of(sender, path)
    bare, _, query = path.partition("?")
    given = [*parse_qsl(query, keep_blank_values=True), *(params or {}).items()]
    if properties:
        given.append(("properties", listed(properties)))
    pairs = [pair for name, value in given for pair in _pairs(name, value)]
    start = dict(pairs).get("after")
    is_records = place is not None or _RECORDS.fullmatch(bare) is not None
    question = _Question(sender, place, bare, pairs=_limited(pairs, limit, is_records=is_records))
    what = touched("GET", bare if place is None else place.path).template
    wide = question.is_too_long
    if wide and not is_records:
        raise UsageError(
            f"The address of {what} would be longer than HubSpot takes, and nothing was sent.",
            hint="Ask for less in params.",
        )

    def page(after: str | None) -> Page:
        return question.in_two(after, what) if wide else question.in_one(after, what)

    return Results(
        page,
        sender=sender,
        what=what,
        records=is_records,
        properties=question.properties or None,
        start=start,
        progress=progress,
    )


class _Question:
    """One list that is asked for, page by page."""

    def __init__(self, sender: Sender, place: Place | None, bare: str, *, pairs: _Pairs) -> None:
        self._sender, self._place, self._bare = sender, place, bare
        self._pairs = [pair for pair in pairs if pair[0] != "after"]
        self.properties = self._listed("properties")

    @property
    def is_too_long(self) -> bool:
        """Whether some page's address would be longer than HubSpot takes."""
        room = len("&after=") + 100  # a cursor is seldom longer
        path = self._bare if self._place is None else self._place.path
        length = _HOST + len(path) + len(_query(self._pairs)) + room
        return length > int(table("objects")["pages"]["address"])

    def in_one(self, after: str | None, what: str) -> Page:
        """Return a page by one call."""
        return page_of(self._get(self._pairs, after), what=what)

    def in_two(self, after: str | None, what: str) -> Page:
        """Return a page by one call for who is on it, and another for what they are."""
        few = [
            pair for pair in self._pairs if pair[0] not in ("properties", "propertiesWithHistory")
        ]
        found = page_of(self._get([*few, ("properties", "hs_object_id")], after), what=what)
        if not found.results:
            return found
        archived = [pair for pair in self._pairs if pair[0] == "archived"]
        body: JsonObject = {
            "inputs": [{"id": str(one.get("id"))} for one in found.results],
            "properties": self.properties,
        }
        if history := self._listed("propertiesWithHistory"):
            body["propertiesWithHistory"] = history
        answer = self._ask("POST", f"/batch/read{_query(archived)}", json=body)
        _demand_read(answer, what=what)
        read = {str(one.get("id")): one for one in page_of(answer, what=what).results}
        # who is not among them was archived in between, and is no longer in the list
        whole = [one | read[str(one["id"])] for one in found.results if str(one["id"]) in read]
        return Page(whole, found.after, found.total)

    def _get(self, pairs: _Pairs, after: str | None) -> JsonObject:
        return self._ask("GET", _query(pairs if after is None else [*pairs, ("after", after)]))

    def _ask(self, method: str, tail: str, *, json: object = None) -> JsonObject:
        if self._place is not None:
            return self._place.ask(method, tail, json=json).content
        return ask(self._sender, method, self._bare + tail, json=json).content

    def _listed(self, name: str) -> list[str]:
        found = [one for key, value in self._pairs if key == name for one in value.split(",")]
        return list(dict.fromkeys(one.strip() for one in found if one.strip()))


def _demand_read(content: JsonObject, *, what: str) -> None:
    """Refuse an answer to a batch in which something failed but that a record is gone."""
    errors = content.get("errors")
    found = errors if isinstance(errors, list) else []
    words = [one.get("category") if isinstance(one, dict) else None for one in found]
    others = sorted({plain_word(one) or "?" for one in words} - {_GONE})
    if others:
        raise UnusableAnswer(
            f"HubSpot did not read some records of {what} ({', '.join(others)}), so this page "
            "would lack them.",
            hint="Try again; a page with fewer properties is read without a batch.",
        )


def _limited(pairs: _Pairs, limit: int | None, *, is_records: bool) -> _Pairs:
    if limit is None or any(name == "limit" for name, _ in pairs):
        return pairs
    most = table("objects")["pages"]
    if is_records:
        history = any(name == "propertiesWithHistory" for name, _ in pairs)
        limit = min(limit, most["with_history" if history else "most"])
    return [*pairs, ("limit", str(limit))]


def _pairs(name: str, value: object) -> _Pairs:
    if value is None:
        return []
    if isinstance(value, bool):
        return [(name, str(value).lower())]
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [(name, str(value))]
    texts = [str(one) for one in value]
    if name in _JOINED:
        return [(name, ",".join(texts))] if texts else []
    return [(name, one) for one in texts]


def _query(pairs: _Pairs) -> str:
    return f"?{urlencode(pairs, safe=',')}" if pairs else ""
