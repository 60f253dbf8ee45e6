"""What a request's body says, judged before anything is done with it; and answers to many asked."""

from __future__ import annotations

import json
from collections.abc import Iterable

from hsagency.sandbox.call import Call
from hsagency.sandbox.wire import ApiError, JsonObject, decode, invalid

INPUTS_MAX = 100


def demand(content: JsonObject, *names: str) -> None:
    """Refuse a body that lacks a field, and name all that it lacks."""
    missing = [name for name in names if content.get(name) in (None, "")]
    if missing:
        listed = ", ".join(missing)
        raise invalid(
            f"Invalid input JSON: required fields were not set: [{listed}]",
            errors=[{"message": f"{name} is required", "in": name} for name in missing],
        )


def text(content: JsonObject, name: str) -> str:
    """Return a text that must be there."""
    demand(content, name)
    found = content[name]
    if not isinstance(found, str) or not found.strip():
        raise invalid(f"Invalid input JSON: {name!r} must be a text")
    return found


def one_of(content: JsonObject, name: str, allowed: Iterable[str]) -> str:
    """Return a word that must be one of HubSpot's."""
    word, known = text(content, name), sorted(allowed)
    if word not in known:
        raise invalid(f"Invalid input JSON: {name} must be one of {known}, not {word!r}")
    return word


def texts(given: object, what: str, *, most: int = INPUTS_MAX) -> list[str]:
    """Return a list of texts; ids are as good when they come as numbers."""
    if not isinstance(given, list) or not all(_is_plain(one) for one in given):
        raise invalid(f"Invalid input JSON: {what} must be a list of texts")
    if len(given) > most:
        raise invalid(f"{what} holds {len(given)} entries and may hold {most}")
    return [str(one) for one in given]


def objects(content: JsonObject, name: str, *, most: int = INPUTS_MAX) -> list[JsonObject]:
    """Return a list of objects that must be there."""
    demand(content, name)
    given = content[name]
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise invalid(f"Invalid input JSON: {name!r} must be a list of objects")
    if len(given) > most:
        raise invalid(f"{name} holds {len(given)} entries and may hold {most}")
    return given


def bare_list(body: bytes, *, most: int) -> list[str]:
    """Return a body that is a list of ids itself, as some of HubSpot's are."""
    if not body.lstrip().startswith(b"["):
        decode(body)  # says so when it is no JSON at all
        raise invalid("Invalid input JSON: expected a list of ids")
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid("Invalid input JSON on line 1, column 1: the body is not JSON") from error
    return texts(given, "the body", most=most)


def complete(
    call: Call, results: list[JsonObject], errors: list[JsonObject] | None = None
) -> tuple[int, JsonObject]:
    """Answer a call that asked for many things at once: 207 when some of them failed."""
    content: JsonObject = {
        "status": "COMPLETE",
        "results": results,
        "startedAt": call.at,
        "completedAt": call.at,
    }
    if not errors:
        return 200, content
    return 207, content | {"numErrors": len(errors), "errors": errors}


def failure(error: ApiError, context: dict[str, str]) -> JsonObject:
    """Return what a refusal says as one failure among results."""
    return {
        "status": "error",
        "category": error.category or "VALIDATION_ERROR",
        "message": error.message,
        "context": {name: [value] for name, value in context.items()},
        "errors": [],
        "links": {},
    }


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)
