"""
What a search finds: filters in groups, a free text, and an order.

Numbers and dates are compared as such, enumerations letter by letter, any other text whatever its
case. A record without a value fits no operator but NOT_HAS_PROPERTY, not even one that says "not".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from operator import ge, gt, le, lt
from typing import Any, TypeAlias

from hsagency.sandbox.bodies import objects
from hsagency.sandbox.contents.definitions import ObjectType, Property
from hsagency.sandbox.contents.record import Record
from hsagency.sandbox.contents.schemas import Schemas
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.contents.values import Properties
from hsagency.sandbox.wire import JsonObject, invalid

# HubSpot's own limits (facts 3.1).
GROUPS_MAX, GROUP_MAX, FILTERS_MAX, QUERY_MAX, SORTS_MAX = 5, 6, 18, 3_000, 1

Test: TypeAlias = Callable[[Properties], bool]
# What a value must be; a record without one is never asked.
ValueTest: TypeAlias = Callable[[str], bool]
# How a text is read to be compared; None: it is no value of its type.
Reading: TypeAlias = Callable[[str], Any]

_EPOCH, _MS = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
_RANGES = {"LT": lt, "LTE": le, "GT": gt, "GTE": ge}
_WORD = re.compile(r"\w+")
_MILLISECONDS = re.compile(r"-?[0-9]{1,15}")
_SEARCHED = {
    "contacts": ("firstname", "lastname", "email", "hs_additional_emails", "phone", "company"),
    "companies": ("name", "domain", "phone", "website"),
    "deals": ("dealname", "pipeline", "dealstage", "description", "dealtype"),
    "tickets": ("subject", "content", "hs_pipeline_stage", "hs_ticket_category"),
    "products": ("name", "description", "price", "hs_sku"),
    "line_items": ("name", "price", "quantity", "amount", "hs_sku"),
}


def fitting(state: PortalState, kind: ObjectType, content: JsonObject) -> Test:
    """Return what tells whether a record fits the groups and the free text of a search."""
    groups = _groups(kind, content)
    names = state.part(Schemas).of(kind).searchable if kind.custom else _SEARCHED[kind.name]
    words = _words(content, names=names)
    if words is None:
        return _any_of(groups) if groups else lambda _: True
    if not groups:
        return words
    fits = _any_of(groups)
    return lambda properties: fits(properties) and words(properties)


def in_order(kind: ObjectType, content: JsonObject, found: list[Record], as_of: str | None) -> None:
    """Sort what was found: as asked, those without a value last, and else by id."""
    sort = _sort(kind, content)
    if sort is None:
        return
    name, reverse = sort
    reading = _reading(kind.properties[name])
    values: dict[int, Any] = {}
    for record in found:
        text = record.seen(as_of).get(name)
        values[record.record_id] = None if text is None else reading(text)
    some = [record for record in found if values[record.record_id] is not None]
    none = [record for record in found if values[record.record_id] is None]
    some.sort(key=lambda record: values[record.record_id], reverse=reverse)
    found[:] = some + none


def _groups(kind: ObjectType, content: JsonObject) -> list[list[Test]]:
    groups = [objects(group, "filters") for group in objects(content, "filterGroups")]
    if len(groups) > GROUPS_MAX:
        raise invalid(f"A search has at most {GROUPS_MAX} filter groups, not {len(groups)}")
    longest = max((len(group) for group in groups), default=0)
    if longest > GROUP_MAX:
        raise invalid(f"A filter group has at most {GROUP_MAX} filters, not {longest}")
    total = sum(len(group) for group in groups)
    if total > FILTERS_MAX:
        raise invalid(f"A search has at most {FILTERS_MAX} filters, not {total}")
    return [[_filter(kind, one) for one in group] for group in groups]


def _any_of(groups: list[list[Test]]) -> Test:
    if len(groups) == 1 and len(groups[0]) == 1:
        return groups[0][0]
    return lambda properties: any(all(test(properties) for test in group) for group in groups)


def _filter(kind: ObjectType, content: JsonObject) -> Test:
    name, operator = content.get("propertyName"), content.get("operator")
    definition = kind.properties.get(name) if isinstance(name, str) else None
    if definition is None:
        raise invalid(f"There was a problem with the request: no property {name!r}")
    name = definition.name
    if operator == "HAS_PROPERTY":
        return lambda properties: properties.get(name) is not None
    if operator == "NOT_HAS_PROPERTY":
        return lambda properties: properties.get(name) is None
    if not isinstance(operator, str):
        raise invalid("Invalid input JSON: the operator of a filter is required")
    fits = _value_test(definition, operator, content)

    def test(properties: Properties) -> bool:
        value = properties.get(name)
        return value is not None and fits(value)

    return test


def _value_test(definition: Property, operator: str, content: JsonObject) -> ValueTest:
    if operator in {"EQ", "NEQ"}:
        return _negated(operator == "NEQ", _equal(definition, _value(content, "value")))
    if operator in {"IN", "NOT_IN"}:
        return _negated(operator == "NOT_IN", _among(definition, content))
    if operator in {"CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"}:
        token = _containing(_value(content, "value"))
        return _negated(operator == "NOT_CONTAINS_TOKEN", token)
    reading = _reading(definition)
    if operator not in {*_RANGES, "BETWEEN"}:
        raise invalid(f"Invalid input JSON: {operator!r} is no operator of a filter")
    least = _read(definition, content, "value")
    if operator == "BETWEEN":
        most = _read(definition, content, "highValue")
        return lambda text: (found := reading(text)) is not None and bool(least <= found <= most)
    compare = _RANGES[operator]
    return lambda text: (found := reading(text)) is not None and bool(compare(found, least))


def _negated(negative: bool, test: ValueTest) -> ValueTest:  # noqa: FBT001 - never called by name
    return (lambda text: not test(text)) if negative else test


def _equal(definition: Property, value: str) -> ValueTest:
    if definition.type == "enumeration":  # which may hold several values
        return lambda text: text == value or value in text.split(";")
    reading = _reading(definition)
    wanted = _required(definition, reading, value)
    return lambda text: bool(reading(text) == wanted)


def _among(definition: Property, content: JsonObject) -> ValueTest:
    """HubSpot compares these letter by letter with a text in lower case: a trap that is kept."""
    values = content.get("values")
    if not isinstance(values, list) or not values:
        raise invalid("Invalid input JSON: this operator needs 'values', a list")
    texts = [_text(one) for one in values]
    if definition.type == "enumeration":
        choices = frozenset(texts)
        return lambda text: text in choices or not choices.isdisjoint(text.split(";"))
    reading = _reading(definition)
    plain = reading is str.lower
    wanted = frozenset(one if plain else _required(definition, reading, one) for one in texts)
    return lambda text: reading(text) in wanted


def _containing(value: str) -> ValueTest:
    """Return what looks for whole words; a star stands for any letters."""
    value = value.lower().strip()
    if "*" not in value:
        wanted = set(_WORD.findall(value))
        return lambda text: wanted <= set(_WORD.findall(text.lower()))
    parts = re.split(r"\*+", value)

    def test(text: str) -> bool:
        text = text.lower()
        return any(_spells(parts, one) for one in (text, *text.split(), *_WORD.findall(text)))

    return test


def _spells(parts: list[str], text: str) -> bool:
    """
    Whether a text is these parts with anything between them.

    The first place of each part is as good as any other, so that no star needs a second try: a
    regular expression would take a night over some texts.
    """
    at, end = len(parts[0]), len(text) - len(parts[-1])
    if at > end or not (text.startswith(parts[0]) and text.endswith(parts[-1])):
        return False
    for part in parts[1:-1]:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _words(content: JsonObject, *, names: tuple[str, ...]) -> Test | None:
    """Return what looks for records with words that begin as the words of the query do."""
    query = content.get("query")
    if query is None:
        return None
    if not isinstance(query, str):
        raise invalid("Invalid input JSON: 'query' must be a string")
    if len(query) > QUERY_MAX:
        raise invalid(f"A query has at most {QUERY_MAX} characters, not {len(query)}")
    begins = [re.compile(rf"\b{re.escape(one)}") for one in _WORD.findall(query.lower())]
    if not begins:
        return None

    def test(properties: Properties) -> bool:
        text = " ".join([value for name in names if (value := properties.get(name))]).lower()
        return all(begin.search(text) for begin in begins)

    return test


def _sort(kind: ObjectType, content: JsonObject) -> tuple[str, bool] | None:
    """Return the property to sort by, and whether the other way round."""
    sorts = content.get("sorts") or []
    if not isinstance(sorts, list) or len(sorts) > SORTS_MAX:
        raise invalid("Invalid input JSON: 'sorts' must be a list of one sort")
    if not sorts:
        return None
    (asked,) = sorts
    if isinstance(asked, str):
        asked = {
            "propertyName": asked.removeprefix("-"),
            "direction": "DESCENDING" if asked.startswith("-") else "ASCENDING",
        }
    name = asked.get("propertyName") if isinstance(asked, dict) else None
    if not isinstance(name, str) or name not in kind.properties:
        raise invalid(f"There was a problem with the request: no property {name!r} to sort by")
    direction = asked.get("direction", "ASCENDING")
    if direction not in ("ASCENDING", "DESCENDING"):
        raise invalid(f"Invalid input JSON: {direction!r} is no direction")
    return name, direction == "DESCENDING"


def _reading(definition: Property) -> Reading:
    if definition.type == "number":
        return _number
    if definition.type in {"date", "datetime"}:
        return _moment
    return str if definition.type == "enumeration" else str.lower


def _read(definition: Property, content: JsonObject, key: str) -> Any:
    return _required(definition, _reading(definition), _value(content, key))


def _required(definition: Property, reading: Reading, value: str) -> Any:
    found = reading(value)
    if found is None:
        raise invalid(f"{value} is no {definition.type}, as {definition.name} is")
    return found


def _number(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        try:
            number = float(text)
        except ValueError:
            return None
    return number if number == number else None


def _moment(text: str) -> int | None:
    """Return the milliseconds since 1970 of a text that has them, or is ISO 8601."""
    if _MILLISECONDS.fullmatch(text):
        return int(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // _MS


def _value(content: JsonObject, key: str) -> str:
    if content.get(key) in (None, ""):
        raise invalid(f"Invalid input JSON: this operator needs '{key}'")
    return _text(content[key])


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise invalid("Invalid input JSON: the value of a filter must be plain")
    text = str(value)
    if len(text) > QUERY_MAX:
        raise invalid(f"The value of a filter has at most {QUERY_MAX} characters, not {len(text)}")
    return text
