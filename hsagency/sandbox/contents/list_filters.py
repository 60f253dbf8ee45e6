"""
Which records a list's filters let in.

The filters are an OR of ANDs of conditions on properties. Conditions on time, events,
associations and other lists are not simulated: they are refused, never guessed at. That texts
are compared without regard to case is an assumption.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import nan
from typing import TypeAlias

from hsagency.sandbox.bodies import demand, objects, text, texts, texts_in
from hsagency.sandbox.contents.definitions import ObjectType
from hsagency.sandbox.wire import JsonObject, invalid

Test: TypeAlias = Callable[[Mapping[str, str | None]], bool]
_Check: TypeAlias = Callable[[str], bool]

_TEXT: dict[str, Callable[[str, list[str]], bool]] = {
    "IS_EQUAL_TO": lambda value, wanted: value in wanted,
    "IS_NOT_EQUAL_TO": lambda value, wanted: value not in wanted,
    "CONTAINS": lambda value, wanted: any(one in value for one in wanted),
    "DOES_NOT_CONTAIN": lambda value, wanted: not any(one in value for one in wanted),
    "STARTS_WITH": lambda value, wanted: value.startswith(tuple(wanted)),
    "ENDS_WITH": lambda value, wanted: value.endswith(tuple(wanted)),
}
_NUMBER: dict[str, Callable[[float, float], bool]] = {
    "IS_EQUAL_TO": lambda value, bound: value == bound,
    "IS_NOT_EQUAL_TO": lambda value, bound: value != bound,
    "IS_GREATER_THAN": lambda value, bound: value > bound,
    "IS_GREATER_THAN_OR_EQUAL_TO": lambda value, bound: value >= bound,
    "IS_LESS_THAN": lambda value, bound: value < bound,
    "IS_LESS_THAN_OR_EQUAL_TO": lambda value, bound: value <= bound,
}
_RANGE: dict[str, Callable[[float, float, float], bool]] = {
    "IS_BETWEEN": lambda value, lower, upper: lower <= value <= upper,
    "IS_NOT_BETWEEN": lambda value, lower, upper: not lower <= value <= upper,
}
_CHOICE: dict[str, Callable[[frozenset[str], frozenset[str]], bool]] = {
    "IS_ANY_OF": lambda value, wanted: bool(value & wanted),
    "IS_NONE_OF": lambda value, wanted: not value & wanted,
    "IS_EXACTLY": lambda value, wanted: value == wanted,
    "IS_NOT_EXACTLY": lambda value, wanted: value != wanted,
    "CONTAINS_ALL": lambda value, wanted: wanted <= value,
    "DOES_NOT_CONTAIN_ALL": lambda value, wanted: not wanted <= value,
}
_FLAG: dict[str, Callable[[bool, bool], bool]] = {
    "IS_EQUAL_TO": lambda value, wanted: value == wanted,
    "IS_NOT_EQUAL_TO": lambda value, wanted: value != wanted,
}
_KNOWN = {"IS_KNOWN": True, "IS_UNKNOWN": False}


def membership_test(kind: ObjectType, branch: object) -> Test:
    """Return the test that a list's filters are, or refuse what is not simulated."""
    if not isinstance(branch, dict):
        raise invalid("Invalid input JSON: filterBranch must be an object")
    if branch.get("filterBranchType") != "OR":
        raise invalid("The root filter branch must be of type OR, with branches of type AND in it")
    if branch.get("filters"):
        raise invalid("An OR branch holds AND branches; filters belong into those")
    choices = [_all_of(kind, one) for one in objects(branch, "filterBranches")]
    if not choices:
        raise invalid("An OR branch needs at least one AND branch")
    return lambda properties: any(test(properties) for test in choices)


def _all_of(kind: ObjectType, branch: JsonObject) -> Test:
    found = branch.get("filterBranchType")
    if found != "AND" or branch.get("filterBranches"):
        raise _not_simulated(f"a filter branch of type {found} at this place, or with branches")
    tests = [_condition(kind, one) for one in objects(branch, "filters")]
    if not tests:
        raise invalid("An AND branch needs at least one filter")
    return lambda properties: all(test(properties) for test in tests)


def _condition(kind: ObjectType, content: JsonObject) -> Test:
    if content.get("filterType") != "PROPERTY":
        raise _not_simulated(f"filters of type {content.get('filterType')}")
    name, operation = text(content, "property"), content.get("operation")
    definition = kind.properties.get(name)
    if definition is None:
        raise invalid(f"Property {name!r} does not exist on {kind.name}")
    if not isinstance(operation, dict):
        raise invalid("Invalid input JSON: 'operation' must be an object")
    operator, sort = text(operation, "operator"), text(operation, "operationType")
    if sort == "ALL_PROPERTY" and operator in _KNOWN:
        return _known(name, wanted=_KNOWN[operator])
    found = _CHECKS.get(sort)
    if found is None:
        raise _not_simulated(f"operator {operator} of operation type {sort}")
    types, make = found
    if definition.type not in types:
        raise invalid(f"An operation of type {sort} does not fit {name!r}, a {definition.type}")
    return _checked(name, make(operation, operator), empty=_empty(operation))


def _known(name: str, *, wanted: bool) -> Test:
    return lambda properties: bool(properties.get(name)) is wanted


def _checked(name: str, check: _Check, *, empty: bool) -> Test:
    def test(properties: Mapping[str, str | None]) -> bool:
        value = properties.get(name)
        return check(value) if value else empty

    return test


def _empty(operation: JsonObject) -> bool:
    """Whether a record with no value at all passes."""
    return operation.get("includeObjectsWithNoValueSet") is True


def _text_check(operation: JsonObject, operator: str) -> _Check:
    check = _operator(_TEXT, operation, operator)
    given = operation.get("values", [operation.get("value")])
    wanted = [one.lower() for one in texts_in(given, "the operation's value")]
    return lambda value: check(value.lower(), wanted)


def _number_check(operation: JsonObject, operator: str) -> _Check:
    check, bound = _operator(_NUMBER, operation, operator), _bound(operation, "value")
    return lambda value: check(_number(value), bound)


def _range_check(operation: JsonObject, operator: str) -> _Check:
    check = _operator(_RANGE, operation, operator)
    lower, upper = _bound(operation, "lowerBound"), _bound(operation, "upperBound")
    return lambda value: check(_number(value), lower, upper)


def _choice_check(operation: JsonObject, operator: str) -> _Check:
    check = _operator(_CHOICE, operation, operator)
    demand(operation, "values")
    wanted = frozenset(texts(operation, "values"))
    return lambda value: check(frozenset(value.split(";")), wanted)


def _flag_check(operation: JsonObject, operator: str) -> _Check:
    check, wanted = _operator(_FLAG, operation, operator), operation.get("value")
    if not isinstance(wanted, bool):
        raise invalid("Invalid input JSON: 'value' must be true or false")
    return lambda value: check(value == "true", wanted)


_STRINGS = frozenset({"string", "phone_number"})
_NUMBERS = frozenset({"number"})
_CHECKS: dict[str, tuple[frozenset[str], Callable[[JsonObject, str], _Check]]] = {
    "STRING": (_STRINGS, _text_check),
    "MULTISTRING": (_STRINGS, _text_check),
    "NUMBER": (_NUMBERS, _number_check),
    "NUMBER_RANGED": (_NUMBERS, _range_check),
    "ENUMERATION": (frozenset({"enumeration"}), _choice_check),
    "BOOL": (frozenset({"bool"}), _flag_check),
}
_Found: TypeAlias = Callable[..., bool]


def _operator(known: Mapping[str, _Found], operation: JsonObject, operator: str) -> _Found:
    found = known.get(operator)
    if found is None:
        raise _not_simulated(f"operator {operator} of operation type {operation['operationType']}")
    return found


def _bound(operation: JsonObject, name: str) -> float:
    given = operation.get(name)
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise invalid(f"Invalid input JSON: {name!r} must be a number")
    try:
        return float(given)
    except OverflowError as error:
        raise invalid(f"Invalid input JSON: {name!r} is too large") from error


def _number(value: str) -> float:
    """Return the number; a text left over from when the property had another type is none."""
    try:
        return float(value)
    except ValueError:
        return nan


def _not_simulated(what: str) -> Exception:
    return invalid(f"The sandbox does not simulate {what} in a list's filters")
