"""
What became of each input of a batch.

A batch is done in chunks, and a chunk may be done in part. A row is `done`, `failed` (HubSpot
refused it), `unknown` (it may be done: the answer was lost, or does not say) or `skipped` (never
sent, because what came before it stopped the batch).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import httpx
import polars as pl

from hsagency.errors import HsAgencyError, UnusableAnswer
from hsagency.hubspot_errors import DailyLimitReached
from hsagency.objects.asking import Answer, JsonObject, failed_with, may_be_done, status_of
from hsagency.objects.inputs import TRACE
from hsagency.progress import Progress

# Statuses that would be those of every later chunk too.
_OF_ALL: Final = frozenset({401, 403, 404, 477, 488, 530})


class Outcome(StrEnum):
    """What became of one input."""

    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


@dataclass(slots=True)
class Row:
    """One input, and what became of it; without anything that was submitted."""

    id: str | None = None
    outcome: Outcome = Outcome.SKIPPED
    status: int | None = None
    category: str | None = None
    subcategory: str | None = None
    correlation_id: str | None = None
    new: bool | None = None
    record: JsonObject | None = None
    told: bool = False

    def tell(self, outcome: Outcome, **said: Any) -> None:
        """Say what became of it."""
        self.outcome, self.told = outcome, True
        for name, value in said.items():
            setattr(self, name, value)


_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    "id": pl.String(),
    "outcome": pl.Enum([one.value for one in Outcome]),
    "status": pl.Int32(),
    "category": pl.String(),
    "subcategory": pl.String(),
    "correlation_id": pl.String(),
    "new": pl.Boolean(),
}
COLUMNS: Final = ("input", *_SCHEMA)


def frame_of(rows: Sequence[Row]) -> pl.DataFrame:
    """Return a frame with a line for each input, in their order."""
    columns = [pl.Series("input", range(len(rows)), dtype=pl.UInt32)]
    columns += [
        pl.Series(name, [getattr(row, name) for row in rows], dtype=kind)
        for name, kind in _SCHEMA.items()
    ]
    return pl.DataFrame(columns)


def run(
    rows: Sequence[Row],
    chunks: Iterable[range],
    *,
    call: Callable[[range], Answer],
    read: Callable[[range, Answer], None],
    what: str,
    writes: bool,
    stop_on_error: bool,
    progress: Progress,
) -> None:
    """
    Make one call for each chunk, and let `read` say of each of its rows what became of it.

    An error that is about one chunk is its rows'; one that is about all of them ends the batch,
    and is raised where nothing was sent before it.
    """
    with progress(what, len(rows)) as step:
        for chunk in chunks:
            try:
                read(chunk, call(chunk))
            except (HsAgencyError, httpx.HTTPError) as error:
                here = [rows[place] for place in chunk]
                if _ends(here, error, writes=writes, is_first=chunk.start == 0):
                    return
            if stop_on_error and any(rows[place].outcome is not Outcome.DONE for place in chunk):
                return
            step(len(chunk))


def _ends(rows: Sequence[Row], error: Exception, *, writes: bool, is_first: bool) -> bool:
    """Say in the rows of a chunk what its error means, and whether it is the end."""
    answered = isinstance(error, httpx.HTTPError | UnusableAnswer)
    of_all = status_of(error) in _OF_ALL or isinstance(error, DailyLimitReached)
    if may_be_done(error) and (writes or not (is_first or answered)):
        outcome = Outcome.UNKNOWN
    elif is_first and (of_all or not answered):
        raise error
    else:
        outcome = Outcome.FAILED if answered else Outcome.SKIPPED
    for row in rows:
        row.tell(outcome, **failed_with(error))
    return of_all or not answered


def match(
    rows: Sequence[Row],
    chunk: range,
    answer: Answer,
    *,
    names: Mapping[str, int],
    unique: str | None,
    writes: bool = True,
) -> None:
    """
    Say of each row of a chunk what the answer says of it.

    An answer names an input by the trace that went with it, by its id or by its unique
    property (`names`, in small letters); HubSpot promises no order. It may name a record
    otherwise than it was asked for, by the id it was merged into: where one input and one
    result are left over, they belong together.
    """
    strays = []
    for one in objects_in(answer, "results"):
        place = _place_of(one, chunk, names=names, unique=unique)
        if place is not None and place in chunk:
            _tell_done(rows[place], answer, one)
        else:
            strays.append(one)
    errors = objects_in(answer, "errors")
    nameless = [one for one in errors if not _tell_failed(rows, chunk, answer, one, names=names)]
    left = [rows[place] for place in chunk if not rows[place].told]
    if len(left) == len(strays) == 1 and not nameless:
        _tell_done(left[0], answer, strays[0])
    tell_rest(rows, chunk, answer, nameless=nameless, writes=writes)


def tell_rest(
    rows: Sequence[Row],
    chunk: range,
    answer: Answer,
    *,
    nameless: Sequence[Mapping[str, Any]],
    writes: bool = True,
) -> None:
    """Say of the rows that an answer does not name what follows from the errors that name none."""
    left = [rows[place] for place in chunk if not rows[place].told]
    if nameless and len(nameless) >= len(left):
        categories = {str(one.get("category")) for one in nameless}
        said = _said(nameless[0], answer) if len(categories) == 1 else {"status": answer.status}
        outcome = Outcome.FAILED
    else:
        said = {"status": answer.status, "correlation_id": answer.correlation_id}
        whole = len(objects_in(answer, "results")) == len(chunk)
        # All is written, where as much came back as was sent, and HubSpot only did not say which;
        # but who reads wants to know which.
        done = writes and whole and not objects_in(answer, "errors")
        outcome = Outcome.DONE if done else Outcome.UNKNOWN
    for row in left:
        row.tell(outcome, **said)


def objects_in(answer: Answer, name: str) -> list[JsonObject]:
    """Return a list of JSON objects in an answer, which may be left out."""
    return [one for one in _listed(answer.content.get(name)) if isinstance(one, dict)]


def _tell_done(row: Row, answer: Answer, result: JsonObject) -> None:
    new = result.get("new")
    row.tell(
        Outcome.DONE,
        id=_text(result.get("id")),
        status=answer.status,
        new=new if isinstance(new, bool) else None,
        record=result,
    )


def _tell_failed(
    rows: Sequence[Row],
    chunk: range,
    answer: Answer,
    error: Mapping[str, Any],
    *,
    names: Mapping[str, int],
) -> bool:
    """Say of the rows that an error names that they failed; return whether it names any."""
    found = error.get("context")
    context = found if isinstance(found, dict) else {}
    places = [_traced(one, chunk) for one in _listed(context.get(TRACE))]
    for name in ("ids", "id"):
        places += [names.get(str(one).lower()) for one in _listed(context.get(name))]
    named = [one for one in places if one is not None and one in chunk and not rows[one].told]
    for place in named:
        rows[place].tell(Outcome.FAILED, **_said(error, answer))
    return bool(named)


def _said(error: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    return {
        "status": answer.status,
        "category": _text(error.get("category")),
        "subcategory": _text(error.get("subCategory")),
        "correlation_id": _text(error.get("correlationId")) or answer.correlation_id,
    }


def _place_of(
    result: Mapping[str, Any], chunk: range, *, names: Mapping[str, int], unique: str | None
) -> int | None:
    place = _traced(result.get(TRACE), chunk)
    if place is not None:
        return place
    properties = result.get("properties")
    named = result.get("id")
    if unique is not None:
        named = properties.get(unique) if isinstance(properties, dict) else None
    return names.get(str(named).lower())


def _traced(trace: object, chunk: range) -> int | None:
    """Return the input that a trace was sent with."""
    text = str(trace)
    place = int(text) if text.isascii() and text.isdigit() else -1
    return place if place in chunk else None


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return str(value) if isinstance(value, str | int) else None
