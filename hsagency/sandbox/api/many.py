"""Answers to calls that ask for many things at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from hsagency.sandbox.call import Call
from hsagency.sandbox.routes import Outcome
from hsagency.sandbox.wire import ApiError, JsonObject

_Asked = TypeVar("_Asked")


def answer_each(
    call: Call,
    inputs: Iterable[_Asked],
    answer: Callable[[_Asked], Iterable[JsonObject]],
    *,
    context: Callable[[_Asked], JsonObject] | None = None,
    status: int = 200,
) -> Outcome:
    """
    Answer each input on its own, with as many results as it has.

    `context` says how a refusal names its input, where it does not do so itself.
    """
    results: list[JsonObject] = []
    errors: list[JsonObject] = []
    for one in inputs:
        try:
            results += answer(one)
        except ApiError as error:
            errors.append(failure(error, context(one) if context else {}))
    return complete(call, results, errors, status=status)


def complete(
    call: Call,
    results: Sequence[JsonObject],
    errors: Sequence[JsonObject] = (),
    *,
    status: int = 200,
) -> Outcome:
    """Return the answer to an operation that ended: 207 when some of it failed."""
    content: JsonObject = {
        "status": "COMPLETE",
        "results": results,
        "requestedAt": call.at,
        "startedAt": call.at,
        "completedAt": call.at,
    }
    if not errors:
        return status, content
    return 207, content | {"numErrors": len(errors), "errors": errors}


def failure(error: ApiError, context: JsonObject) -> JsonObject:
    """Return a refusal as one of the errors; HubSpot's schema requires all of these fields."""
    return {
        "status": "error",
        "category": error.category or "VALIDATION_ERROR",
        "message": error.message,
        "errors": [],
        "links": {},
        **error.extra,
        "context": context or error.extra.get("context", {}),
    }
