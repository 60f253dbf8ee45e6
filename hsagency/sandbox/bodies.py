"""What a request's body says, judged before anything is done with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from hsagency.sandbox.wire import JsonObject, invalid, is_number, parsed

INPUTS_MAX = 100

_Text = TypeVar("_Text", bound=str | None)


def demand(content: Mapping[str, object], *names: str) -> None:
    """Refuse a body that lacks a field, and name all that it lacks."""
    missing = [name for name in names if content.get(name) in (None, "")]
    if missing:
        raise invalid(
            "Invalid input JSON on line 1, column 1: Some required fields were not set: "
            f"[{', '.join(missing)}]",
            errors=[{"message": f"{name} is required", "in": name} for name in missing],
        )


def text(content: Mapping[str, object], name: str) -> str:
    """Return a text that must be there."""
    demand(content, name)
    found = content[name]
    if not isinstance(found, str) or not found.strip():
        raise invalid(f"Invalid input JSON: {name!r} must be a text")
    return found


def text_of(content: Mapping[str, object], name: str, default: _Text) -> str | _Text:
    """Return a text, or refuse what is none; null counts as left out."""
    found = content.get(name)
    if found is None:
        return default
    if not isinstance(found, str):
        raise invalid(f"Invalid input JSON: {name} must be a string")
    return found


def one_of(content: Mapping[str, object], name: str, allowed: Iterable[str]) -> str:
    """Return a word that must be one of HubSpot's."""
    word, known = text(content, name), sorted(allowed)
    if word not in known:
        raise invalid(f"Invalid input JSON: {name} must be one of {known}, not {word!r}")
    return word


def whole_of(
    content: Mapping[str, object],
    name: str,
    default: int,
    *,
    least: int | None = None,
    most: int | None = None,
) -> int:
    """Return a whole number, which may come as text, or refuse what is none or out of range."""
    found = content.get(name)
    if found is None or found == "":
        return default
    if isinstance(found, str) and is_number(found):
        found = int(found)
    if not isinstance(found, int) or isinstance(found, bool):
        raise invalid(f"Invalid input JSON: {name} must be a whole number")
    if (least is not None and found < least) or (most is not None and found > most):
        raise invalid(f"{name} must be between {least} and {most}, not {found}")
    return found


def id_of(content: object, name: str = "id") -> str:
    """Return an id of an object, which may be text or a number."""
    found = content.get(name) if isinstance(content, dict) else None
    if not _is_plain(found) or found == "":
        raise invalid(f"Invalid input JSON: {name} is required and must be a string")
    return str(found)


def texts(content: Mapping[str, object], name: str, *, most: int | None = None) -> list[str]:
    """Return a list of texts, which is empty when it was left out."""
    found = content.get(name)
    return [] if found is None else texts_in(found, name, most=most)


def texts_in(given: object, what: str, *, most: int | None = None) -> list[str]:
    """Return a list of texts; ids are as good when they come as numbers."""
    if not isinstance(given, list) or not all(_is_plain(one) for one in given):
        raise invalid(f"Invalid input JSON: {what} must be a list of texts")
    _demand_few(given, what, most)
    return [str(one) for one in given]


def objects(
    content: Mapping[str, object], name: str, *, most: int | None = None
) -> list[JsonObject]:
    """Return a list of objects, which is empty when it was left out."""
    found = content.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise invalid(f"Invalid input JSON: {name} must be a list of objects")
    _demand_few(found, name, most)
    return found


def inputs(content: JsonObject, *, most: int = INPUTS_MAX) -> list[JsonObject]:
    """Return what a batch is about."""
    demand(content, "inputs")
    return objects(content, "inputs", most=most)


def bare_list(body: bytes, *, most: int) -> list[str]:
    """Return a body that is a list of ids itself, as some of HubSpot's are."""
    return texts_in(parsed(body), "the body", most=most)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _demand_few(given: list[object], what: str, most: int | None) -> None:
    if most is not None and len(given) > most:
        raise invalid(f"{what} holds {len(given)} entries and may hold {most}")
