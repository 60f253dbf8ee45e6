"""
Many records in few calls: as many at once as HubSpot takes, and what became of each.

Every helper returns a frame with a line for each input, in the order of the inputs: `input`
(counted from 0), `id`, `outcome` (done, failed, unknown or skipped), `status` of the answer,
`category`, `subcategory` and `correlation_id` of an error, and `new` (of an upsert). HubSpot's own
messages are not in it: they quote what was submitted. `unknown` is a row whose answer was lost,
or did not say which row it is about: look before it is sent again. What does no harm a second
time (all but creations) was made again before that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import polars as pl

from hsagency.data import table
from hsagency.objects.asking import Answer, JsonObject, Place
from hsagency.objects.frames import property_columns
from hsagency.objects.inputs import (
    TRACE,
    Rows,
    chunks,
    created,
    identified,
    updated,
    upserted,
)
from hsagency.objects.outcomes import COLUMNS, Outcome, Row, frame_of, match, run
from hsagency.objects.values import listed
from hsagency.progress import Progress, silent
from hsagency.verifier import Sender

Reading = Callable[[range, Answer], None]


def batch_read(
    sender: Sender,
    object_type: str,
    ids: Iterable[object],
    *,
    properties: Sequence[str] = (),
    unique: str | None = None,
    dates: Collection[str] = (),
    stop_on_error: bool = False,
    progress: Progress = silent,
) -> pl.DataFrame:
    """
    Read records by id, or by the property `unique`, 100 in a call.

    Behind the columns of every batch come the properties: text, or moments in UTC for those in
    `dates`. Who is asked for twice is read once, and has two lines. A personal value, such as
    an address, goes in the body and not in the address of the call.
    """
    texts, properties = identified(ids), listed(properties)
    asked = list(dict.fromkeys(texts))
    place, rows = Place.of(sender, object_type), [Row() for _ in asked]
    shown = listed([*properties, unique] if unique else properties)
    common: JsonObject = {"properties": shown} | ({"idProperty": unique} if unique else {})

    def call(chunk: range) -> Answer:
        return place.ask(
            "POST", "/batch/read", json=common | {"inputs": [{"id": asked[at]} for at in chunk]}
        )

    _run(
        rows, asked, call=call, read=_reading(rows, asked, unique=unique, writes=False),
        what=f"reading {object_type}", writes=False, stop_on_error=stop_on_error, progress=progress,
    )  # fmt: skip
    first = {text: at for at, text in enumerate(asked)}
    every = [rows[first[text]] for text in texts]
    found = [(row.record or {}).get("properties") or {} for row in every]
    columns = property_columns(found, properties=properties, dates=dates, taken=COLUMNS)
    return frame_of(every).with_columns(columns)


def batch_create(
    sender: Sender,
    object_type: str,
    rows: Rows,
    *,
    stop_on_error: bool = False,
    progress: Progress = silent,
) -> pl.DataFrame:
    """Create a record for each row, 100 in a call; rows that HubSpot refuses stop no other."""
    inputs = created(rows)
    return _write(
        sender, object_type, "create", inputs, stop_on_error=stop_on_error, progress=progress
    )


def batch_update(
    sender: Sender,
    object_type: str,
    rows: Rows,
    *,
    unique: str | None = None,
    stop_on_error: bool = False,
    progress: Progress = silent,
) -> pl.DataFrame:
    """
    Change the records that the column `id`, or the property `unique`, names, 100 in a call.

    Two rows about one record are refused before anything is sent.
    """
    inputs = updated(rows, unique=unique)
    return _write(
        sender, object_type, "update", inputs, unique=unique,
        stop_on_error=stop_on_error, progress=progress,
    )  # fmt: skip


def batch_upsert(
    sender: Sender,
    object_type: str,
    rows: Rows,
    *,
    unique: str,
    stop_on_error: bool = False,
    progress: Progress = silent,
) -> pl.DataFrame:
    """
    Change the records that the property `unique` names, and create those that it does not.

    `new` says which were created. Two rows about one record are refused before anything is sent.
    """
    inputs = upserted(rows, unique=unique)
    return _write(
        sender, object_type, "upsert", inputs, unique=unique,
        stop_on_error=stop_on_error, progress=progress,
    )  # fmt: skip


def batch_archive(
    sender: Sender,
    object_type: str,
    ids: Iterable[object],
    *,
    stop_on_error: bool = False,
    progress: Progress = silent,
) -> pl.DataFrame:
    """
    Move records to the recycling bin, 100 in a call.

    HubSpot says nothing of ids that lead nowhere: they are `done` too.
    """
    given = identified(ids)
    inputs: list[JsonObject] = [{"id": text} for text in dict.fromkeys(given)]
    place = Place.of(sender, object_type)
    rows = [Row(id=one["id"]) for one in inputs]

    def call(chunk: range) -> Answer:
        body = {"inputs": [inputs[at] for at in chunk]}
        return place.ask("POST", "/batch/archive", json=body)

    def read(chunk: range, answer: Answer) -> None:
        if answer.content.get("errors"):
            match(rows, chunk, answer, names=_names([one["id"] for one in inputs]), unique=None)
            return
        for at in chunk:
            rows[at].tell(Outcome.DONE, status=answer.status)

    _run(
        rows, inputs, call=call, read=read,
        what=f"archiving {object_type}", stop_on_error=stop_on_error, progress=progress,
    )  # fmt: skip
    by_id = {row.id: row for row in rows}
    return frame_of([by_id[text] for text in given])


def _write(
    sender: Sender,
    object_type: str,
    action: str,
    inputs: Sequence[JsonObject],
    *,
    unique: str | None = None,
    stop_on_error: bool,
    progress: Progress,
) -> pl.DataFrame:
    place = Place.of(sender, object_type)
    # what HubSpot answers without an id keeps the one it was asked for
    rows = [Row(id=one.get("id") if unique is None else None) for one in inputs]

    def call(chunk: range) -> Answer:
        body = {"inputs": [inputs[at] | {TRACE: str(at)} for at in chunk]}
        return place.ask("POST", f"/batch/{action}", json=body)

    keys = [str(one.get("id", "")) for one in inputs]
    _run(
        rows, inputs, call=call, read=_reading(rows, keys, unique=unique),
        what=f"{action} of {object_type}", stop_on_error=stop_on_error, progress=progress,
    )  # fmt: skip
    return frame_of(rows)


def _run(
    rows: Sequence[Row],
    inputs: Sequence[object],
    *,
    call: Callable[[range], Answer],
    read: Reading,
    what: str,
    writes: bool = True,
    stop_on_error: bool,
    progress: Progress,
) -> None:
    size = int(table("objects")["batch"]["records"])
    run(
        rows, chunks(inputs, size), call=call, read=read,
        what=what, writes=writes, stop_on_error=stop_on_error, progress=progress,
    )  # fmt: skip


def _reading(
    rows: Sequence[Row], keys: Sequence[str], *, unique: str | None, writes: bool = True
) -> Reading:
    names = _names(keys)
    return lambda chunk, answer: match(
        rows, chunk, answer, names=names, unique=unique, writes=writes
    )


def _names(keys: Sequence[str]) -> Mapping[str, int]:
    return {key.lower(): at for at, key in enumerate(keys) if key}
