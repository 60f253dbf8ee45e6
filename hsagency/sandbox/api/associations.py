"""Associations between records, one by one and in batches, as of version 4 and later."""

from __future__ import annotations

from typing import TypeAlias

from hsagency.sandbox.api.association_labels import label_routes
from hsagency.sandbox.api.association_limits import limit_routes
from hsagency.sandbox.api.associations_v3 import old_routes
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
from hsagency.sandbox.api.many import answer_each, complete
from hsagency.sandbox.api.paging import cut, page_by_number
from hsagency.sandbox.bodies import id_of, inputs
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.owners import Owners
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import JsonObject, invalid, is_number, not_found, parsed

# The report is about all records, so that reading any kind of them is enough.
USAGE = tuple(f"crm.objects.{name}.read" for name in ("contacts", "companies", "deals"))
# The id of a record at the other end, and the types of the link.
_Link: TypeAlias = tuple[int, frozenset[int]]


def list_associations(call: Call) -> Outcome:
    """Return a page of the records one is linked to, with the types of each link."""
    pair = Pair.named_by(call)
    id_ = pair.found(call.values["id"])
    pair.labels.plain(pair.kind, pair.other)
    found, paging = page_by_number(
        call, pair.linked(id_).items(), number=_to, default=PAGE_MAX, most=PAGE_MAX
    )
    return 200, {"results": [_shown(pair, one) for one in found]} | paging


def put_association(call: Call) -> Outcome:
    """Link two records with the types of the body."""
    pair = Pair.named_by(call)
    return 201, _put(
        pair, call.values["id"], call.values["otherId"], types=parsed(call.request.body)
    )


def put_default(call: Call) -> Outcome:
    """Link two records without a label."""
    pair = Pair.named_by(call)
    return complete(call, _put_default(pair, call.values["id"], call.values["otherId"]))


def delete_association(call: Call) -> Outcome:
    """Take two records apart, whatever linked them."""
    Pair.named_by(call).unlink(call.values["id"], call.values["otherId"])
    return 204, None


def read_batch(call: Call) -> Outcome:
    """Return what many records are linked to; one without links is an error among the results."""
    pair = Pair.named_by(call)
    pair.labels.plain(pair.kind, pair.other)

    def one(given: JsonObject) -> list[JsonObject]:
        asked, after = id_of(given), str(given.get("after") or 0)
        if not is_number(after):
            raise invalid("after must be a whole number")
        id_ = pair.known(pair.kind, asked)
        if id_ is None or not pair.linked(id_):
            raise nothing_linked(pair, asked)
        links = pair.linked(id_).items()
        found, more = cut(links, number=_to, after=int(after), limit=PAGE_MAX)
        paging = {} if more is None else {"paging": {"next": {"after": str(more)}}}
        return [{"from": {"id": asked}, "to": [_shown(pair, one) for one in found], **paging}]

    return answer_each(call, inputs(call.content, most=READ_MAX), one)


def create_batch(call: Call) -> Outcome:
    """Link many pairs of records with the types of each."""
    pair = Pair.named_by(call)
    return answer_each(
        call,
        inputs(call.content, most=WRITE_MAX),
        lambda given: [_put(pair, *ends(given), types=given.get("types"))],
        status=201,
    )


def create_default_batch(call: Call) -> Outcome:
    """Link many pairs of records without a label."""
    pair = Pair.named_by(call)
    return answer_each(
        call,
        inputs(call.content, most=WRITE_MAX),
        lambda given: _put_default(pair, *ends(given)),
    )


def archive_batch(call: Call) -> Outcome:
    """Take many records apart from some others each."""
    pair = Pair.named_by(call)
    for given in inputs(call.content, most=WRITE_MAX):
        others = given.get("to")
        if not isinstance(others, list):
            raise invalid("Invalid input JSON: 'to' is required and must be a list")
        for other in others:
            pair.unlink(id_of(given.get("from")), id_of(other))
    return 204, None


def archive_labels_batch(call: Call) -> Outcome:
    """Take labels off many links; a link without its plain type is none any more."""
    pair = Pair.named_by(call)
    for given in inputs(call.content, most=WRITE_MAX):
        pair.unlink(*ends(given), labels=pair.specified(given.get("types")))
    return 204, None


def request_usage_report(call: Call) -> Outcome:
    """Promise a user a report by e-mail on records with many associations."""
    given = call.values["userId"]
    if not is_number(given):
        raise invalid(f"userId must be a whole number, not {given!r}")
    owner = call.state.part(Owners).find(int(given), by_user=True)
    if owner is None or owner.archived:
        raise not_found()
    person = owner.person
    return 200, {"userId": person.user_id, "userEmail": person.email, "enqueueTime": call.at}


def associations_routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        *routes_at(
            "/crm/v4/objects/{type}/{id}/associations",
            "/crm/objects/{dated}/{type}/{id}/associations",
            tails={
                "/{other}": {"GET": Endpoint(list_associations, READ)},
                "/{other}/{otherId}": {
                    "PUT": Endpoint(put_association, WRITE),
                    "DELETE": Endpoint(delete_association, WRITE),
                },
                "/default/{other}/{otherId}": {"PUT": Endpoint(put_default, WRITE)},
            },
        ),
        *routes_at(
            "/crm/v4/associations",
            "/crm/associations/{dated}",
            tails={
                "/{type}/{other}/batch/read": {"POST": Endpoint(read_batch, READ)},
                "/{type}/{other}/batch/create": {"POST": Endpoint(create_batch, WRITE)},
                "/{type}/{other}/batch/archive": {"POST": Endpoint(archive_batch, WRITE)},
                "/{type}/{other}/batch/associate/default": {
                    "POST": Endpoint(create_default_batch, WRITE)
                },
                "/{type}/{other}/batch/labels/archive": {
                    "POST": Endpoint(archive_labels_batch, WRITE)
                },
                "/usage/high-usage-report/{userId}": {
                    "POST": Endpoint(request_usage_report, USAGE)
                },
            },
        ),
        *label_routes(),
        *limit_routes(),
        *old_routes(),
    ]


def _to(link: _Link) -> int:
    return link[0]


def _shown(pair: Pair, link: _Link) -> JsonObject:
    other_id, types = link
    return {
        "toObjectId": _numbered(pair.call, other_id),
        "associationTypes": [
            {
                "category": label.category,
                "typeId": label.type_id,
                "label": label.seen(pair.call.as_of),
            }
            for label in pair.types(types)
        ],
    }


def _put(pair: Pair, given: str, other_given: str, *, types: object) -> JsonObject:
    id_, other_id = pair.ids(given, other_given)
    labels = pair.specified(types)
    pair.set_labels(id_, other_id, labels)
    return {
        "fromObjectTypeId": pair.kind.type_id,
        "fromObjectId": _numbered(pair.call, id_),
        "toObjectTypeId": pair.other.type_id,
        "toObjectId": _numbered(pair.call, other_id),
        "labels": [one.label for one in labels if one.label is not None],
    }


def _put_default(pair: Pair, given: str, other_given: str) -> list[JsonObject]:
    """Link two records, and say so from both sides."""
    plain = pair.labels.plain(pair.kind, pair.other)
    ids = pair.ids(given, other_given)
    pair.link(*ids)
    back = pair.labels.inverse(pair.kind, pair.other, plain)
    return [
        {
            "from": {"id": str(id_)},
            "to": {"id": str(other_id)},
            "associationSpec": {
                "associationCategory": label.category,
                "associationTypeId": label.type_id,
            },
        }
        for label, (id_, other_id) in ((plain, ids), (back, ids[::-1]))
    ]


def _numbered(call: Call, id_: int) -> int | str:
    """Return an id as the version writes it: a number in version 4, text in dated ones."""
    return id_ if call.version == "v4" else str(id_)
