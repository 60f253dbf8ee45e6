"""Associations as of version 3, where each type has a name."""

from __future__ import annotations

from hsagency.sandbox.api.linking import (
    PAGE_MAX,
    READ,
    READ_MAX,
    WRITE,
    WRITE_MAX,
    Pair,
    ends,
    nothing_linked,
)
from hsagency.sandbox.api.many import answer_each
from hsagency.sandbox.api.paging import page_by_number
from hsagency.sandbox.bodies import id_of, inputs
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.labels import Label
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import ApiError, JsonObject


def list_types(call: Call) -> Outcome:
    """Return the types from one kind of record to another."""
    pair = Pair.named_by(call)
    ways = pair.labels.between(pair.kind, pair.other)
    return 200, {"results": [{"id": str(way.type_id), "name": way.name} for way in ways]}


def read_batch(call: Call) -> Outcome:
    """Return what many records are linked to, one entry for each type of a link."""
    pair = Pair.named_by(call)

    def one(given: JsonObject) -> list[JsonObject]:
        asked = id_of(given)
        id_ = pair.known(pair.kind, asked)
        rows = _rows(pair, id_) if id_ is not None else []
        if not rows:
            raise nothing_linked(pair, asked)
        return [{"from": {"id": asked}, "to": rows}]

    return answer_each(call, inputs(call.content, most=READ_MAX), one)


def create_batch(call: Call) -> Outcome:
    """Link many pairs of records."""
    pair = Pair.named_by(call)

    def one(given: JsonObject) -> list[JsonObject]:
        label = _named(pair, given.get("type"))
        id_, other_id = pair.ids(*ends(given))
        pair.link(id_, other_id, label)
        return [{"from": {"id": str(id_)}, "to": {"id": str(other_id)}, "type": label.name}]

    return answer_each(call, inputs(call.content, most=WRITE_MAX), one, status=201)


def archive_batch(call: Call) -> Outcome:
    """Take a type off many links."""
    pair = Pair.named_by(call)
    for given in inputs(call.content, most=WRITE_MAX):
        pair.unlink(*ends(given), labels=[_named(pair, given.get("type"))])
    return 204, None


def list_associations(call: Call) -> Outcome:
    """Return a page of what one record is linked to, one entry for each type of a link."""
    pair = Pair.named_by(call)
    id_ = pair.found(call.values["id"])
    found, paging = page_by_number(
        call,
        enumerate(_rows(pair, id_), 1),
        number=lambda row: row[0],
        default=PAGE_MAX,
        most=PAGE_MAX,
    )
    return 200, {"results": [row for _, row in found]} | paging


def put_association(call: Call) -> Outcome:
    """Link two records, and answer with the first."""
    pair = Pair.named_by(call)
    label = _named(pair, call.values["name"])
    id_, other_id = pair.ids(call.values["id"], call.values["otherId"])
    pair.link(id_, other_id, label)
    record = call.state.store(pair.kind).get(str(id_))
    linked = {pair.other.name: {"results": _rows(pair, id_)}}
    return 200, record.shown(pair.kind.shown) | {"associations": linked}


def delete_association(call: Call) -> Outcome:
    """Take a type off a link."""
    pair, values = Pair.named_by(call), call.values
    pair.unlink(values["id"], values["otherId"], labels=[_named(pair, values["name"])])
    return 204, None


def old_routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        *routes_at(
            "/crm/v3/associations/{type}/{other}",
            tails={
                "/types": {"GET": Endpoint(list_types, READ)},
                "/batch/read": {"POST": Endpoint(read_batch, READ)},
                "/batch/create": {"POST": Endpoint(create_batch, WRITE)},
                "/batch/archive": {"POST": Endpoint(archive_batch, WRITE)},
            },
        ),
        *routes_at(
            "/crm/v3/objects/{type}/{id}/associations/{other}",
            tails={
                "": {"GET": Endpoint(list_associations, READ)},
                "/{otherId}/{name}": {
                    "PUT": Endpoint(put_association, WRITE),
                    "DELETE": Endpoint(delete_association, WRITE),
                },
            },
        ),
    ]


def _rows(pair: Pair, id_: int) -> list[JsonObject]:
    return [
        {"id": str(other_id), "type": label.name}
        for other_id, types in pair.linked(id_).items()
        for label in pair.types(types)
    ]


def _named(pair: Pair, name: object) -> Label:
    """Return the type with a name; HubSpot takes the number too."""
    for way in pair.labels.between(pair.kind, pair.other):
        if name in (way.name, str(way.type_id)):
            return way
    kind, other = pair.kind.name, pair.other.name
    raise ApiError(
        400,
        f"{name} is not a valid association type between {kind} and {other}",
        category="VALIDATION_ERROR",
        subCategory="crm.associations.INVALID_ASSOCIATION_TYPE",
        context={"type": [str(name)], "fromObjectType": [kind], "toObjectType": [other]},
    )
