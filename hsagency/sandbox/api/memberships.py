"""Which records are in which lists, over HTTP."""

from __future__ import annotations

from typing import TypeAlias

from hsagency.sandbox.api.many import answer_each
from hsagency.sandbox.api.paging import page_of
from hsagency.sandbox.bodies import bare_list, inputs, text, texts
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.definitions import ObjectType
from hsagency.sandbox.contents.lists import Change, CrmList, ListBook, demand_static
from hsagency.sandbox.contents.record import Record
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import JsonObject, invalid

READ, WRITE = ("crm.lists.read",), ("crm.lists.write",)
_Joined: TypeAlias = tuple[CrmList, dict[int, str]]
PAGE_DEFAULT, PAGE_MAX, CHANGES_MAX = 100, 250, 100_000


def read_memberships(call: Call) -> Outcome:
    """Return a page of the records in a list, in the order of ids."""
    members = sorted(_members(call).items())
    found, paging = page_of(
        call, members, key=lambda one: (one[0],), default=PAGE_DEFAULT, most=PAGE_MAX
    )
    return 200, _joined(found) | {"total": len(members)} | paging


def read_join_order(call: Call) -> Outcome:
    """Return a page of the records in a list, those first that joined first."""
    members = sorted(_members(call).items(), key=lambda one: (one[1], one[0]))
    found, paging = page_of(
        call, members, key=lambda one: (one[1], one[0]), default=PAGE_DEFAULT, most=PAGE_MAX
    )
    return 200, _joined(found) | {"total": len(members)} | paging


def add_members(call: Call) -> Outcome:
    """Put records into a list; the body is a bare list of ids."""
    ids = bare_list(call.request.body, most=CHANGES_MAX)
    return _changed(book_of(call).change(list_of(call), add=ids, at=call.now))


def remove_members(call: Call) -> Outcome:
    """Take records out of a list; the body is a bare list of ids."""
    ids = bare_list(call.request.body, most=CHANGES_MAX)
    return _changed(book_of(call).change(list_of(call), remove=ids, at=call.now))


def add_and_remove_members(call: Call) -> Outcome:
    """Put records into a list and take others out; one that is in both is out afterwards."""
    content = call.content
    add, remove = (
        texts(content, name, most=CHANGES_MAX) for name in ("recordIdsToAdd", "recordIdsToRemove")
    )
    return _changed(book_of(call).change(list_of(call), add=add, remove=remove, at=call.now))


def add_members_from(call: Call) -> Outcome:
    """Put all records of another list into this one."""
    one, source = list_of(call), book_of(call).get(call.values["sourceListId"], call.now)
    if one.kind is not source.kind:
        raise invalid(f"Lists {one.list_id} and {source.list_id} hold records of different types")
    ids = map(str, book_of(call).members(source))
    book_of(call).change(one, add=ids, at=call.now)
    return 204, None


def remove_all_members(call: Call) -> Outcome:
    """Empty a list; the list and the records stay."""
    one = list_of(call)
    demand_static(one)
    one.joined = {}
    return 204, None


def read_lists_of_record(call: Call) -> Outcome:
    """Return the lists that one record is in."""
    kind = call.state.types.find(call.values["objectTypeId"])
    record = call.state.store(kind).get(call.values["recordId"])
    found = _holding(_lists_of(call, kind), record)
    return 200, {"results": found, "total": len(found)}


def read_lists_of_records(call: Call) -> Outcome:
    """Return the lists that each of many records is in; 207 when some are no records."""
    known: dict[str, list[_Joined]] = {}

    def one(asked: JsonObject) -> list[JsonObject]:
        type_id, record_id = text(asked, "objectTypeId"), str(asked.get("recordId"))
        kind = call.state.types.find(type_id)
        record = call.state.store(kind).get(record_id)
        if kind.name not in known:
            known[kind.name] = _lists_of(call, kind)
        found = _holding(known[kind.name], record)
        return [{"objectTypeId": type_id, "recordId": record_id, "recordListMemberships": found}]

    return answer_each(
        call,
        inputs(call.content),
        one,
        context=lambda asked: {"recordId": [str(asked.get("recordId"))]},
    )


def memberships_routes() -> list[Route]:
    """Return the routes of this module."""
    return routes_at(
        "/crm/v3/lists",
        "/crm/lists/{dated}",
        tails={
            "/{listId}/memberships": {
                "GET": Endpoint(read_memberships, READ),
                "DELETE": Endpoint(remove_all_members, WRITE),
            },
            "/{listId}/memberships/join-order": {"GET": Endpoint(read_join_order, READ)},
            "/{listId}/memberships/add": {"PUT": Endpoint(add_members, WRITE)},
            "/{listId}/memberships/remove": {"PUT": Endpoint(remove_members, WRITE)},
            "/{listId}/memberships/add-and-remove": {
                "PUT": Endpoint(add_and_remove_members, WRITE)
            },
            "/{listId}/memberships/add-from/{sourceListId}": {
                "PUT": Endpoint(add_members_from, WRITE)
            },
            "/records/{objectTypeId}/{recordId}/memberships": {
                "GET": Endpoint(read_lists_of_record, READ)
            },
            "/records/memberships/batch/read": {"POST": Endpoint(read_lists_of_records, READ)},
        },
    )


def book_of(call: Call) -> ListBook:
    """Return the lists of the portal that is called."""
    return call.state.part(ListBook)


def list_of(call: Call) -> CrmList:
    """Return the list that the path names; a read that lags behind misses a new one."""
    as_of = call.as_of if call.request.method == "GET" else None
    return book_of(call).get(call.values["listId"], call.now, as_of=as_of)


def _members(call: Call) -> dict[int, str]:
    """Return who is in the list; a read that lags behind misses who joined since."""
    members, as_of = book_of(call).members(list_of(call)), call.as_of
    return {id_: at for id_, at in members.items() if as_of is None or at <= as_of}


def _joined(members: list[tuple[int, str]]) -> JsonObject:
    return {"results": [{"recordId": str(id_), "membershipTimestamp": at} for id_, at in members]}


def _changed(change: Change) -> Outcome:
    return 200, {
        "recordsIdsAdded": list(change.added),  # HubSpot spells this one so
        "recordIdsRemoved": list(change.removed),
        "recordIdsMissing": list(change.missing),
    }


def _lists_of(call: Call, kind: ObjectType) -> list[_Joined]:
    """Return all lists of one type of record, with who is in them."""
    book = book_of(call)
    lists = [one for one in book.live(call.now, as_of=call.as_of) if one.kind is kind]
    return [(one, book.members(one)) for one in lists]


def _holding(lists: list[_Joined], record: Record) -> list[JsonObject]:
    """Return the memberships of one record."""
    id_ = record.record_id
    return [_membership(one, id_, joined[id_]) for one, joined in lists if id_ in joined]


def _membership(one: CrmList, record_id: int, joined_at: str) -> JsonObject:
    return {
        "listId": str(one.list_id),
        "listVersion": one.version,
        "firstAddedTimestamp": one.first.get(record_id, joined_at),
        "lastAddedTimestamp": joined_at,
    }
