"""
Many associations in few calls: a thousand records read at once, two thousand links made.

A record with more links than come at once is asked for again, together with the others that
have more, until all came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from hsagency.data import table
from hsagency.errors import UnusableAnswer, UsageError
from hsagency.objects.asking import Answer, JsonObject, Place, name_portal
from hsagency.objects.inputs import chunks, identified
from hsagency.objects.outcomes import Outcome, Row, frame_of, objects_in, run, tell_rest
from hsagency.portals import plain_word
from hsagency.progress import Progress, silent
from hsagency.verifier import Sender

Pair = Sequence[object]
_NOTHING = "NO_ASSOCIATIONS_FOUND"
_LINKS = {
    "id": pl.String(),
    "to_id": pl.String(),
    "type_id": pl.Int64(),
    "category": pl.String(),
    "label": pl.String(),
}


def batch_associated(
    sender: Sender,
    object_type: str,
    other_type: str,
    ids: Iterable[object],
    *,
    progress: Progress = silent,
) -> pl.DataFrame:
    """
    Read what records are linked to, 1,000 in a call: a line for each type of each link.

    Columns: `id`, `to_id`, `type_id` (a whole number), `category` and `label`. A record without
    links, or that is not there, has no line: HubSpot does not tell the two apart. Raises the
    error of a call that failed: what is missing from the frame is not there.
    """
    place = Place.between(sender, object_type, other_type)
    size = int(table("objects")["batch"]["associations_read"])
    asked = list(dict.fromkeys(identified(ids)))
    lines: list[dict[str, Any]] = []
    with progress(f"links from {object_type} to {other_type}", len(asked)) as step:
        for chunk in chunks(asked, size):
            inputs: list[JsonObject] = [{"id": asked[at]} for at in chunk]
            while inputs:
                answer = place.ask("POST", "/batch/read", json={"inputs": inputs})
                results = objects_in(answer, "results")
                try:
                    _demand_read(answer)
                    inputs = _behind(inputs, results)
                except UnusableAnswer as error:
                    name_portal(error, sender)
                    raise
                lines += [line for one in results for line in _lines(one)]
            step(len(chunk))
    return pl.DataFrame(lines, schema=_LINKS)


def batch_associate(
    sender: Sender,
    object_type: str,
    other_type: str,
    pairs: Iterable[Pair],
    *,
    type_id: int | None = None,
    category: str = "HUBSPOT_DEFINED",
    stop_on_error: bool = False,
    progress: Progress = silent,
) -> pl.DataFrame:
    """
    Link pairs of ids, 2,000 in a call: without a label, or with the type of one.

    Returns the frame of a batch; `id` is the first of each pair. A link that is there already
    is `done` too, so that a pair may be sent again.
    """
    inputs = [_ends(pair, number) for number, pair in enumerate(pairs)]
    tail = "/batch/associate/default"
    if type_id is not None:
        tail = "/batch/create"
        types = [{"associationCategory": category, "associationTypeId": type_id}]
        inputs = [one | {"types": types} for one in inputs]
    place = Place.between(sender, object_type, other_type)
    rows = [Row(id=one["from"]["id"]) for one in inputs]

    def call(chunk: range) -> Answer:
        return place.ask("POST", tail, json={"inputs": [inputs[at] for at in chunk]})

    def read(chunk: range, answer: Answer) -> None:
        linked = {ends for one in objects_in(answer, "results") for ends in _named(one)}
        done = [at for at in chunk if (inputs[at]["from"]["id"], inputs[at]["to"]["id"]) in linked]
        for at in done:
            rows[at].tell(Outcome.DONE, status=answer.status)
        tell_rest(rows, chunk, answer, nameless=objects_in(answer, "errors"))

    size = int(table("objects")["batch"]["associations_create"])
    run(
        rows, chunks(inputs, size), call=call, read=read,
        what=f"linking {object_type} to {other_type}", writes=True,
        stop_on_error=stop_on_error, progress=progress,
    )  # fmt: skip
    return frame_of(rows)


def _demand_read(answer: Answer) -> None:
    """Refuse an answer in which something failed but that a record has no links."""
    errors = objects_in(answer, "errors")
    words = {str(one.get("subCategory") or one.get("category")) for one in errors}
    others = sorted({plain_word(one.rpartition(".")[2]) or "?" for one in words} - {_NOTHING})
    if others:
        raise UnusableAnswer(
            f"HubSpot did not read the links of some records ({', '.join(others)}), so no frame "
            "was made.",
            hint="Check that all ids are those of records.",
        )


def _lines(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    id_ = str(_inner(result, "from").get("id"))
    kinds = [
        (to, kind) for to in result.get("to") or () for kind in to.get("associationTypes") or ()
    ]
    return [
        {
            "id": id_,
            "to_id": str(to.get("toObjectId")),
            "type_id": kind.get("typeId"),
            "category": kind.get("category"),
            "label": kind.get("label"),
        }
        for to, kind in kinds
    ]


def _behind(inputs: Sequence[JsonObject], results: Sequence[Mapping[str, Any]]) -> list[JsonObject]:
    """Return the inputs whose links go on, each with its new cursor."""
    earlier = {one["id"]: one.get("after") for one in inputs}
    behind: list[JsonObject] = []
    for one in results:
        after = _inner(_inner(one, "paging"), "next").get("after")
        id_ = str(_inner(one, "from").get("id"))
        if after is None:
            continue
        if str(after) == earlier.get(id_):
            raise UnusableAnswer("HubSpot gave the same cursor of a record's links a second time.")
        behind.append({"id": id_, "after": str(after)})
    return behind


def _ends(pair: Pair, number: int) -> JsonObject:
    if isinstance(pair, str) or len(pair) != 2:
        raise UsageError(
            f"Pair {number}, counted from 0, is not two ids; nothing was sent.",
            hint='For example ("101", "9001").',
        )
    one, other = identified(pair)
    return {"from": {"id": one}, "to": {"id": other}}


def _named(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the ends that one result names, in whichever of HubSpot's two ways."""
    if "fromObjectId" in result:
        return [(str(result["fromObjectId"]), str(result.get("toObjectId")))]
    return [(str(_inner(result, "from").get("id")), str(_inner(result, "to").get("id")))]


def _inner(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = content.get(name)
    return found if isinstance(found, dict) else {}
