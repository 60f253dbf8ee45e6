"""
Searches that find every record once, however many there are.

HubSpot pages through 10,000 results of one search, by counting them: a record that is archived
meanwhile moves all that follow, and one of them is never seen. So no page here is counted. Each
is a search of its own for what fits and has a higher id than the last record of the one before,
in the order of ids. That takes as many calls, has no end at 10,000, and cannot give a record
twice. What it cannot see is a record that HubSpot's index shows only after the page it belongs
to was read: a record made or changed within the last seconds may be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from hsagency.data import table
from hsagency.errors import UnusableAnswer, UsageError
from hsagency.objects.asking import JsonObject, Place
from hsagency.objects.results import Page, Results, page_of
from hsagency.objects.values import listed, text_of
from hsagency.progress import Progress, silent
from hsagency.verifier import Sender

Filter = Mapping[str, Any] | Sequence[Any]
"""As HubSpot spells it, or ("amount", "GT", 100), ("city", "IN", ["Ulm"]), ("email", "HAS_PROPERTY")."""

_ID: Final = "hs_object_id"
_LISTS: Final = frozenset({"IN", "NOT_IN"})
_ROOM: Final = (
    "One more is needed in each group: the condition by which a search goes on past 10,000."
)
_FEWER: Final = "Search for less here, and filter the frame that comes."


def search(
    sender: Sender,
    object_type: str,
    *,
    filters: Iterable[Filter] = (),
    any_of: Iterable[Iterable[Filter]] = (),
    query: str = "",
    properties: Sequence[str] = (),
    progress: Progress = silent,
) -> Results:
    """
    Find the records that fit every one of `filters` and, of the groups in `any_of`, all of one.

    Results come in the order of ids, each once, past 10,000 too, in as many calls as there are
    pages of 200 records. `query` is free text. Raises `UsageError`, before anything is sent, for
    an operator that HubSpot does not have, and where its limits leave no room: 5 groups of at
    most 5 filters here, 18 in all with one more for each group, and 3,000 characters of `query`.
    A search is not sorted otherwise: sort the frame. Where an error ended it, the same search
    goes on with the filter ("hs_object_id", "GT", results.after).
    """
    limits = table("objects")["search"]
    groups = _groups(filters, any_of, limits=limits)
    if len(query) > limits["query"]:
        raise UsageError(
            f"The query has {len(query):,} characters, and HubSpot takes {limits['query']:,}.",
            hint=_FEWER,
        )
    place, properties = Place.of(sender, object_type), listed(properties)
    body: JsonObject = {
        "limit": limits["page"],
        "properties": properties,
        "sorts": [{"propertyName": _ID, "direction": "ASCENDING"}],
    }
    if query:
        body["query"] = query
    what = f"the search for {object_type}"

    def page(last: str | None) -> Page:
        asked = body | {"filterGroups": _behind(groups, last)}
        return _page(place.ask("POST", "/search", json=asked).content, last=last, what=what)

    return Results(
        page,
        sender=sender,
        what=what,
        records=True,
        properties=properties or None,
        progress=progress,
    )


def _page(content: JsonObject, *, last: str | None, what: str) -> Page:
    """Return a page whose cursor is the last id, if there is more behind it."""
    found = page_of(content, what=what)
    ids = [_number(one, what) for one in found.results]
    least = -1 if last is None else int(last)
    if any(later <= earlier for earlier, later in zip([least, *ids], ids, strict=False)):
        raise UnusableAnswer(
            f"HubSpot gave {what} in another order than that of ids, so that nobody can tell "
            "whether all came."
        )
    more = found.after is not None or (found.total or 0) > len(ids)
    if more and not ids:
        raise UnusableAnswer(f"HubSpot says that {what} finds more, and gave none of it.")
    return Page(found.results, str(ids[-1]) if more else None, found.total)


def _number(record: Mapping[str, Any], what: str) -> int:
    text = str(record.get("id"))
    if not (text.isascii() and text.isdigit()):
        raise UnusableAnswer(f"An answer to {what} holds a record without an id.")
    return int(text)


def _behind(groups: list[list[JsonObject]], last: str | None) -> list[JsonObject]:
    """Return the groups with the condition that sets what was read aside."""
    if last is None:
        return [{"filters": group} for group in groups]
    window = {"propertyName": _ID, "operator": "GT", "value": last}
    return [{"filters": [*group, window]} for group in groups or [[]]]


def _groups(
    filters: Iterable[Filter], any_of: Iterable[Iterable[Filter]], *, limits: Mapping[str, Any]
) -> list[list[JsonObject]]:
    """Return all groups as HubSpot spells them, or refuse what would be too many."""
    every = [_spelled(one) for one in filters]
    groups = [[*every, *(_spelled(one) for one in _listed(group))] for group in any_of]
    if not groups and every:
        groups = [every]
    if len(groups) > limits["groups"]:
        raise UsageError(
            f"A search has at most {limits['groups']} groups of filters, not {len(groups)}.",
            hint=_FEWER,
        )
    longest = max(map(len, groups), default=0)
    if longest >= limits["in_group"]:
        raise UsageError(
            f"A group has {longest} filters, and HubSpot takes {limits['in_group']}. {_ROOM}",
            hint=_FEWER,
        )
    count = sum(map(len, groups))
    if count + len(groups) > limits["filters"]:
        raise UsageError(
            f"The groups have {count} filters, and HubSpot takes {limits['filters']}. {_ROOM}",
            hint=_FEWER,
        )
    return groups


def _listed(group: Iterable[Filter] | Mapping[str, Any]) -> Iterable[Filter]:
    return group["filters"] if isinstance(group, Mapping) and "filters" in group else group


def _spelled(one: Filter) -> JsonObject:
    """Return one filter as HubSpot spells it."""
    if isinstance(one, Mapping):
        _demand_known(one.get("operator"))
        return dict(one)
    if isinstance(one, str) or not 2 <= len(one) <= 4 or not all(map(_is_word, one[:2])):
        raise UsageError(
            "A filter is (property, operator, value), or a mapping as HubSpot spells it.",
            hint='For example ("lifecyclestage", "EQ", "lead") or ("email", "HAS_PROPERTY").',
        )
    name, operator, *values = one
    _demand_known(operator)
    made: JsonObject = {"propertyName": name, "operator": operator}
    if operator in _LISTS:
        if len(values) != 1 or isinstance(values[0], str) or not isinstance(values[0], Iterable):
            raise UsageError(f"The filter {operator} on {name} takes one list of values.")
        return made | {"values": [text_of(value, name) for value in values[0]]}
    return made | {
        key: text_of(value, name)
        for key, value in zip(("value", "highValue"), values, strict=False)
    }


def _demand_known(operator: object) -> None:
    """Refuse an operator that HubSpot would refuse, with those that there are."""
    known = table("objects")["search"]["operators"]
    if operator not in known:
        shown = f" {operator!r}" if isinstance(operator, str) and len(operator) <= 30 else ""
        raise UsageError(
            f"A filter names no operator that HubSpot has{shown and ':'}{shown}. Nothing was sent.",
            hint=f"There are {', '.join(known)}.",
        )


def _is_word(value: object) -> bool:
    return isinstance(value, str) and bool(value)
