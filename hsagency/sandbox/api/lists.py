"""Lists: create, read, search, change, delete and restore; what is in them is `memberships`."""

from __future__ import annotations

from hsagency.sandbox.api.list_folders import folders_routes
from hsagency.sandbox.api.memberships import book_of, list_of, memberships_routes
from hsagency.sandbox.bodies import bare_list, demand, one_of, text, texts, texts_in, whole_of
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.list_folders import Folders
from hsagency.sandbox.contents.lists import PROCESSING, CrmList
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import JsonObject, invalid, is_number, not_found

READ, WRITE = ("crm.lists.read",), ("crm.lists.write",)
SEARCH_DEFAULT, SEARCH_MAX, MAPPING_MAX = 20, 500, 10_000


def create_list(call: Call) -> Outcome:
    """Add a list; 400 with a sub-category of its own when the name is taken."""
    content = call.content
    demand(content, "name", "objectTypeId", "processingType")
    branch = content.get("filterBranch")
    if branch is not None and not isinstance(branch, dict):
        raise invalid("Invalid input JSON: filterBranch must be an object")
    folder = call.state.part(Folders).get(str(content.get("listFolderId", 0)))
    made = book_of(call).create(
        text(content, "name"),
        call.state.types.find(text(content, "objectTypeId")),
        one_of(content, "processingType", PROCESSING),
        branch=branch,
        at=call.now,
        user=call.credential.user_id,
        folder=folder.folder_id,
    )
    return 200, {"list": _shown(call, made, filters=True)}


def read_list(call: Call) -> Outcome:
    """Return one list by its id."""
    return 200, {"list": _shown(call, list_of(call), filters=_with_filters(call))}


def read_list_by_name(call: Call) -> Outcome:
    """Return one list by its object type and its name, in whatever letters."""
    kind, name = call.state.types.find(call.values["objectTypeId"]), call.values["listName"]
    for one in book_of(call).live(call.now, as_of=call.as_of):
        if one.name.lower() == name.lower() and one.kind is kind:
            return 200, {"list": _shown(call, one, filters=_with_filters(call))}
    raise not_found(f"List does not exist with name {name}.")


def read_lists(call: Call) -> Outcome:
    """Return the lists asked for that are there; the others are passed over in silence."""
    asked = {int(one) for one in call.request.params("listIds") if is_number(one)}
    lists = book_of(call).live(call.now, as_of=call.as_of)
    filters = _with_filters(call)
    return 200, {
        "lists": [_shown(call, one, filters=filters) for one in lists if one.list_id in asked]
    }


def search_lists(call: Call) -> Outcome:
    """Find lists by a part of their name and by what they are, in the order of ids."""
    content = call.content
    if content.get("sort"):
        raise invalid("The sandbox does not simulate the sorting of lists")
    offset = whole_of(content, "offset", 0, least=0, most=1_000_000)
    count = whole_of(content, "count", SEARCH_DEFAULT, least=0, most=SEARCH_MAX)
    found = [one for one in book_of(call).live(call.now, as_of=call.as_of) if _fits(one, content)]
    wanted = texts(content, "additionalProperties")
    shown = found[offset : offset + count]
    return 200, {
        "lists": [
            one.shown() | {"additionalProperties": _additional(call, one, wanted)} for one in shown
        ],
        "offset": offset + len(shown),
        "hasMore": offset + count < len(found),
        "total": len(found),
    }


def rename_list(call: Call) -> Outcome:
    """Give a list the name in the query."""
    one, name = list_of(call), (call.request.param("listName") or "").strip()
    if not name:
        raise invalid("listName is required")
    book_of(call).rename(one, name, at=call.now, user=call.credential.user_id)
    return 200, {"updatedList": _shown(call, one, filters=_with_filters(call))}


def refilter_list(call: Call) -> Outcome:
    """Replace the filters of a dynamic list."""
    one, content = list_of(call), call.content
    demand(content, "filterBranch")
    book_of(call).refilter(one, content["filterBranch"], at=call.now, user=call.credential.user_id)
    return 200, {"updatedList": _shown(call, one, filters=True)}


def delete_list(call: Call) -> Outcome:
    """Move a list to the recycling bin."""
    book_of(call).delete(list_of(call), at=call.now)
    return 204, None


def restore_list(call: Call) -> Outcome:
    """Take a list out of the recycling bin."""
    book_of(call).restore(call.values["listId"], at=call.now)
    return 204, None


def read_conversion(call: Call) -> Outcome:
    """Say when a list is to become, or became, a static one."""
    one = list_of(call)
    if one.conversion is None:
        raise not_found(f"No conversion is scheduled for the list {one.list_id}.")
    return 200, _conversion(one)


def schedule_conversion(call: Call) -> Outcome:
    """Have a dynamic list become a static one."""
    one = list_of(call)
    book_of(call).schedule(one, call.content, now=call.now)
    return 200, _conversion(one)


def cancel_conversion(call: Call) -> Outcome:
    """Let a list stay dynamic."""
    one = list_of(call)
    if one.conversion is None or one.converted_at is not None:
        raise not_found(f"No conversion is scheduled for the list {one.list_id}.")
    one.conversion = None
    return 204, None


def map_legacy_id(call: Call) -> Outcome:
    """Return the id of the list that the old contacts API knew by another."""
    asked = call.request.param("legacyListId")
    if not asked:
        raise invalid("legacyListId is required")
    found = _by_legacy_id(call).get(asked)
    if found is None:
        raise not_found(f"List does not exist with legacy ID {asked}.")
    return 200, {"legacyListId": asked, "listId": found}


def map_legacy_ids(call: Call) -> Outcome:
    """Return the ids of many lists that the old contacts API knew by others."""
    asked = dict.fromkeys(bare_list(call.request.body, most=MAPPING_MAX))
    known = _by_legacy_id(call)
    return 200, {
        "legacyListIdsToIdsMapping": [
            {"legacyListId": one, "listId": known[one]} for one in asked if one in known
        ],
        "missingLegacyListIds": [one for one in asked if one not in known],
    }


def lists_routes() -> list[Route]:
    """Return the routes of all that has to do with lists."""
    return [
        *routes_at(
            "/crm/v3/lists",
            "/crm/lists/{dated}",
            tails={
                "": {"GET": Endpoint(read_lists, READ), "POST": Endpoint(create_list, WRITE)},
                "/search": {"POST": Endpoint(search_lists, READ)},
                "/idmapping": {
                    "GET": Endpoint(map_legacy_id, READ),
                    "POST": Endpoint(map_legacy_ids, READ),
                },
                "/object-type-id/{objectTypeId}/name/{listName}": {
                    "GET": Endpoint(read_list_by_name, READ)
                },
                "/{listId}": {
                    "GET": Endpoint(read_list, READ),
                    "DELETE": Endpoint(delete_list, WRITE),
                },
                "/{listId}/update-list-name": {"PUT": Endpoint(rename_list, WRITE)},
                "/{listId}/update-list-filters": {"PUT": Endpoint(refilter_list, WRITE)},
                "/{listId}/restore": {"PUT": Endpoint(restore_list, WRITE)},
                "/{listId}/schedule-conversion": {
                    "GET": Endpoint(read_conversion, READ),
                    "PUT": Endpoint(schedule_conversion, WRITE),
                    "DELETE": Endpoint(cancel_conversion, WRITE),
                },
            },
        ),
        *memberships_routes(),
        *folders_routes(),
    ]


def _with_filters(call: Call) -> bool:
    return call.flag("includeFilters")


def _shown(call: Call, one: CrmList, *, filters: bool) -> JsonObject:
    content = one.shown() | {"size": len(book_of(call).members(one))}
    if filters and one.branch is not None:
        content["filterBranch"] = one.branch
    return content


def _fits(one: CrmList, content: JsonObject) -> bool:
    """Whether a list is what a search asks for; what it does not ask for does not matter."""
    query = content.get("query")
    asked = {
        "listIds": str(one.list_id),
        "processingTypes": one.processing,
        "objectTypeId": one.kind.type_id,
    }
    for name, value in asked.items():
        wanted = content.get(name)
        if wanted and value not in texts_in([wanted] if isinstance(wanted, str) else wanted, name):
            return False
    return not query or str(query).lower() in one.name.lower()


def _additional(call: Call, one: CrmList, wanted: list[str]) -> JsonObject:
    """Return what a search may ask for besides; HubSpot says nothing about unknown names."""
    members = book_of(call).members(one) if wanted else {}
    named = "hs_folder_name" in wanted
    known = {
        "hs_list_size": str(len(members)),
        "hs_last_record_added_at": max(members.values(), default=None),
        "hs_folder_name": call.state.part(Folders).get(str(one.folder)).name if named else None,
    }
    return {name: known[name] for name in wanted if known.get(name) is not None}


def _conversion(one: CrmList) -> JsonObject:
    content: JsonObject = {"listId": str(one.list_id), "requestedConversionTime": one.conversion}
    if one.converted_at is not None:
        content["convertedAt"] = one.converted_at
    return content


def _by_legacy_id(call: Call) -> dict[str, str]:
    lists = book_of(call).live(call.now)
    return {str(one.legacy_id): str(one.list_id) for one in lists if one.legacy_id is not None}
