"""
Creates a record once: looks before, and looks again where the answer was lost.

HubSpot has no key by which it would know a call again, so a create is never sent twice. Two
processes that create the same record at the same moment are kept apart by HubSpot alone: by
the property that is unique there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import httpx

from hsagency.errors import HsAgencyError, UsageError
from hsagency.objects.asking import Answer, JsonObject, Place, may_be_done, status_of
from hsagency.objects.values import text_of
from hsagency.transport.answer import OutcomeUnknown
from hsagency.verifier import Sender
from hsagency.waiting import Waits

# Seconds before each look: a read sees what was written seconds later (facts 4.3 know up to 70
# of definitions).
_LOOKS: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0)
_LOOKS_IF_TAKEN: Final = (0.0, 2.0)  # a 409 is an answer, and mostly about another property


class How(StrEnum):
    """How a record came to be there."""

    FOUND = "found"
    CREATED = "created"
    ANSWER_LOST = "created, answer lost"


@dataclass(frozen=True, slots=True)
class Made:
    """
    A record that is there, and how: `found`, `created`, or `created, answer lost`.

    The last is there now, and was not before a call that got no answer. Of `found` the record
    is as it was: it was not changed. `record` is as HubSpot answers it.
    """

    id: str
    how: How
    record: JsonObject

    def __repr__(self) -> str:
        return f"<Made {self.id}: {self.how}>"


def create_once(
    sender: Sender,
    object_type: str,
    properties: Mapping[str, Any],
    *,
    unique: str | None = None,
    associations: Sequence[Mapping[str, Any]] = (),
    waits: Waits | None = None,
) -> Made:
    """
    Return the record that has this value of `unique`; create it where there is none.

    `unique` is a property that HubSpot keeps unique, so that 409 means found; of contacts it is
    the email unless another is named. Its value goes in the body of a read by batch, and so into
    no address. Where the answer to the creation is lost, the record is looked for during half a
    minute. Raises `OutcomeUnknown` where it is not seen then, and the error that HubSpot's answer
    is otherwise.
    """
    unique = unique or _unique_of(object_type)
    written = {
        name: text_of(value, name) for name, value in properties.items() if value is not None
    }
    value = written.get(unique, "").strip()
    if not value:
        raise UsageError(
            f"The record has no {unique}, by which it would be looked for; nothing was sent.",
            hint="Give it one, or name another unique property: unique=...",
        )
    place, waits = Place.of(sender, object_type), waits or Waits()
    shown = sorted({*written, unique})
    if (found := _look(place, value, unique=unique, shown=shown)) is not None:
        return Made(str(found["id"]), How.FOUND, found)
    body: JsonObject = {"properties": written}
    if associations:
        body["associations"] = [dict(one) for one in associations]
    try:
        return _created(place.ask("POST", json=body))
    except (HsAgencyError, httpx.HTTPError) as error:
        # 409: somebody was quicker, or an earlier create is only now seen
        how = How.FOUND if status_of(error) == 409 else How.ANSWER_LOST
        if how is How.ANSWER_LOST and not may_be_done(error):
            raise
        found = _look_again(
            lambda: _look(place, value, unique=unique, shown=shown),
            looks=_LOOKS_IF_TAKEN if how is How.FOUND else _LOOKS,
            waits=waits,
            why=f"looking for a new record among {object_type}",
        )
        if found is not None:
            return Made(str(found["id"]), how, found)
        if how is How.FOUND:
            raise  # it is another property that is taken
        raise _still_unknown(object_type, place, sum(_LOOKS), error) from error


def _unique_of(object_type: str) -> str:
    if object_type in ("contacts", "0-1"):
        return "email"
    raise UsageError(
        f"By which property a record of {object_type} would be looked for is not said; nothing was "
        "sent.",
        hint=f"Name a unique property of {object_type}: unique=...",
    )


def _still_unknown(
    object_type: str, place: Place, seconds: float, cause: Exception
) -> OutcomeUnknown:
    error = OutcomeUnknown(
        f"The creation of one of {object_type} got no answer, and no such record is seen "
        f"{seconds:g} seconds later. It was not sent a second time.",
        hint="Call create_once again in some minutes: it looks first. Until then do not create "
        "it in another way.",
    )
    error.method, error.route, error.lost_to = "POST", place.path, type(cause).__name__
    error.client_slug = getattr(cause, "client_slug", None)
    error.portal_id = getattr(cause, "portal_id", None)
    return error


def _look_again(
    look: Callable[[], JsonObject | None], *, looks: Sequence[float], waits: Waits, why: str
) -> JsonObject | None:
    """Return the record as soon as it is seen; a look that fails is one that saw nothing."""
    for seconds in looks:
        try:
            waits.wait(seconds, why=why)
            if (found := look()) is not None:
                return found
        except httpx.HTTPError:
            continue
        except HsAgencyError as error:
            error.message = f"{error.message} The record may have been created: look for it first."
            raise
    return None


def _created(answer: Answer) -> Made:
    record = answer.content
    return Made(str(record.get("id", "")), How.CREATED, record)


def _look(place: Place, value: str, *, unique: str, shown: Sequence[str]) -> JsonObject | None:
    """Return the record with this value, if there is one that is not archived."""
    body = {"inputs": [{"id": value}], "idProperty": unique, "properties": list(shown)}
    results = place.ask("POST", "/batch/read", json=body).content.get("results")
    found = results[0] if isinstance(results, list) and results else None
    return found if isinstance(found, dict) and found.get("id") else None
