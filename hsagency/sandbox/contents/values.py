"""Whether the values given for a record's properties fit their definitions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import TypeAlias

from hsagency.sandbox.contents.definitions import ObjectType, Property
from hsagency.sandbox.wire import JsonObject, invalid

Properties: TypeAlias = dict[str, str | None]


def judged(kind: ObjectType, content: JsonObject) -> Properties:
    """Return the properties of a create or update body, or refuse it as HubSpot does."""
    given = content.get("properties")
    if not isinstance(given, dict):
        raise invalid("Invalid input JSON: 'properties' is required and must be an object")
    wrong = [found for name, value in given.items() if (found := _complaint(kind, name, value))]
    if wrong:
        raise not_valid(wrong)
    return {name: _text(kind.properties[name], value) for name, value in given.items()}


def demand_required(kind: ObjectType, properties: Mapping[str, str | None]) -> None:
    """
    Refuse a new record that lacks a required property (facts 4.2, since 2026-09).

    What an administrator requires only beside some other value is not simulated, and so no call
    is refused with MISSING_CONDITIONAL_REQUIRED_PROPERTY.
    """
    missing = [name for name in kind.required if not properties.get(name)]
    if missing:
        raise not_valid(
            [
                complaint("MISSING_REQUIRED_PROPERTY", name, f'Property "{name}" is required')
                for name in missing
            ]
        )


def not_valid(wrong: list[JsonObject]) -> Exception:
    """Return the 400 that lists invalid properties as JSON text inside its message."""
    listed = json.dumps(wrong, separators=(",", ":"))
    return invalid(
        f"Property values were not valid: {listed}",
        errors=[{"message": one["message"], "code": one["error"]} for one in wrong],
    )


def complaint(error: str, name: str, message: str) -> JsonObject:
    """Return what HubSpot says about one bad value."""
    return {
        "isValid": False,
        "message": message,
        "error": error,
        "name": name,
        "localizedErrorMessage": message,
    }


def _complaint(kind: ObjectType, name: str, value: object) -> JsonObject | None:
    definition = kind.properties.get(name)
    if definition is None:
        return complaint("PROPERTY_DOESNT_EXIST", name, f'Property "{name}" does not exist')
    if definition.read_only:
        return complaint("READ_ONLY_VALUE", name, f'"{name}" is a read only property')
    if isinstance(value, dict | list):
        return complaint("INVALID_TYPE", name, f'Property "{name}" needs a plain value')
    if value is None or value == "":
        return None
    if name == "email" and not _is_address(str(value)):
        return complaint("INVALID_EMAIL", name, f"Email address {value} is invalid")
    return _misfit(definition, _text(definition, value) or "")


def _misfit(definition: Property, text: str) -> JsonObject | None:
    """Say why a text is no value of the property's type."""
    name = definition.name
    if definition.type == "number" and not _is_a_number(text):
        return complaint("INVALID_INTEGER", name, f"{text} was not a valid number.")
    if definition.type == "bool" and text not in {"true", "false"}:
        return complaint(
            "INVALID_OPTION", name, f"{text} was not one of the allowed options: true, false"
        )
    if definition.type == "enumeration" and definition.choices:
        unknown = [part for part in text.split(";") if part and part not in definition.choices]
        if unknown:
            allowed = ", ".join(option.value for option in definition.options)
            return complaint(
                "INVALID_OPTION",
                name,
                f"{unknown[0]} was not one of the allowed options: [{allowed}]",
            )
    if definition.type in {"date", "datetime"} and not _is_a_time(text):
        return complaint("INVALID_DATE", name, f"{text} was not a valid {definition.type}.")
    return None


def _is_a_number(text: str) -> bool:
    return re.fullmatch(r"-?\d{1,30}(\.\d{1,30})?([eE][+-]?\d{1,3})?", text) is not None


def _is_a_time(text: str) -> bool:
    """Whether HubSpot takes a text for a date: ISO 8601, or milliseconds since 1970."""
    if re.fullmatch(r"-?\d{1,15}", text):
        return True
    for reads in (datetime.fromisoformat, date.fromisoformat):
        try:
            reads(text)
        except ValueError:
            continue
        return True
    return False


def _is_address(value: str) -> bool:
    local, at, domain = value.partition("@")
    return bool(local and at and "." in domain and " " not in value and "@" not in domain)


def _text(definition: Property, value: object) -> str | None:
    """Return the value as HubSpot stores it: text; empty text and null clear a property."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).lower() if definition.name == "email" else str(value)
