"""Exports of records to a file: start one, ask how far it is, and fetch the file."""

from __future__ import annotations

from collections.abc import Iterable

from hsagency.sandbox.api.paging import host
from hsagency.sandbox.bodies import demand, objects, one_of, text, texts, texts_in
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.activity import Activity
from hsagency.sandbox.contents.definitions import ObjectType
from hsagency.sandbox.contents.exports import Columns, Exports
from hsagency.sandbox.contents.lists import ListBook
from hsagency.sandbox.contents.record import Record
from hsagency.sandbox.contents.searching import fitting, in_order
from hsagency.sandbox.desk import DeskRoute, Visit
from hsagency.sandbox.envelopes import named
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import ApiError, JsonObject, Reply, invalid, not_found

SCOPE = ("crm.export",)
FORMATS = ("CSV", "XLS", "XLSX")
LANGUAGES = (
    "DA_DK", "DE", "EN", "ES", "FI", "FR", "IT", "JA", "NL", "NO", "PL", "PT_BR", "SV", "ZH_TW",
)  # fmt: skip
GROUPS_MAX, FILTERS_MAX = 3, 3
_PROPERTIES_MAX = 1_000


def start_export(call: Call) -> Outcome:
    """Begin an export, which the portal's security history remembers."""
    content = call.content
    demand(
        content, "exportType", "format", "exportName", "language", "objectType", "objectProperties"
    )
    one_of(content, "language", LANGUAGES)
    _demand_csv(text(content, "format").upper())
    kind = _kind(call, text(content, "objectType"))
    columns = _columns(call, kind, content)
    task = call.state.part(Exports).start(
        text(content, "exportName"), kind, _records(call, kind, content), columns, call.now
    )
    call.state.part(Activity).note(
        "CONTACT_DATA_EXPORT",
        at=call.now,
        user_id=call.credential.user_id,
        object_id=str(task.task_id),
    )
    status = f"{call.request.path.rstrip('/')}/tasks/{task.task_id}/status"
    return 202, {"id": str(task.task_id), "links": {"status": host(call) + status}}


def read_status(call: Call) -> Outcome:
    """Return how far an export is; when it is done, each time with a new address of the file."""
    exports = call.state.part(Exports)
    task = exports.get(call.values["id"])
    content = task.shown(call.now)
    if task.done(call.now):
        content["result"] = host(call) + exports.signed(task, call.now)
    return 200, content


def download(visit: Visit) -> Reply:
    """Hand out a file to whoever has its address."""
    portal = visit.state.portal if visit.state else None
    # a form in the body may have named another portal than the path
    if visit.state is None or portal is None or str(portal.portal_id) != visit.values["portalId"]:
        raise not_found()
    if portal.suspended is not None:
        raise ApiError(portal.suspended, "This account is suspended.")
    task = visit.state.part(Exports).opened(
        visit.values["id"],
        expires=visit.request.param("expires") or "",
        signature=visit.request.param("signature") or "",
        now=visit.now,
    )
    headers = (
        ("Content-Type", "text/csv;charset=utf-8"),
        ("Content-Disposition", f'attachment; filename="export-{task.task_id}.csv"'),
        named(visit.id_),
    )
    return Reply(200, headers=headers, body=task.content)


def exports_routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        *routes_at(
            "/crm/v3/exports/export/async",
            "/crm/exports/{dated}/export/async",
            tails={
                "": {"POST": Endpoint(start_export, SCOPE)},
                "/tasks/{id}/status": {"GET": Endpoint(read_status, SCOPE)},
            },
        ),
        DeskRoute("/exports/files/{portalId}/{id}", {}, door="desk", answers={"GET": download}),
    ]


def _demand_csv(wanted: str) -> None:
    if wanted not in FORMATS:
        raise invalid(f"Invalid input JSON: format must be one of {list(FORMATS)}, not {wanted!r}")
    if wanted != "CSV":
        raise invalid(f"The sandbox writes exports as CSV only, not as {wanted}: ask for CSV")


def _kind(call: Call, name: str) -> ObjectType:
    """Return a type by its id or by HubSpot's word for it, such as CONTACT."""
    return call.state.types.find(name.lower())


def _columns(call: Call, kind: ObjectType, content: JsonObject) -> Columns:
    names = texts(content, "objectProperties", most=_PROPERTIES_MAX)
    unknown = [name for name in names if name not in kind.properties]
    if unknown:
        raise invalid(f"There are no properties {unknown} of {kind.plural.lower()}")
    internal = texts(content, "exportInternalValuesOptions")
    others = content.get("associatedObjectType") or []
    others = texts_in(
        others if isinstance(others, list) else [others], "associatedObjectType", most=1
    )
    return Columns(
        properties=tuple(kind.properties[name] for name in dict.fromkeys(names)),
        names="NAMES" in internal,
        values="VALUES" in internal,
        linked=_kind(call, others[0]) if others else None,
    )


def _records(call: Call, kind: ObjectType, content: JsonObject) -> Iterable[Record]:
    store = call.state.store(kind)
    if one_of(content, "exportType", ("LIST", "VIEW")) == "VIEW":
        search = _search(content.get("publicCrmSearchRequest") or {})
        test = fitting(call.state, kind, search)
        found = [record for record in store if test(record.properties)]
        in_order(kind, search, found, None)
        return found
    demand(content, "listId")
    book = call.state.part(ListBook)
    one = book.get(str(content["listId"]), call.now)
    if one.kind.name != kind.name:
        raise invalid(f"List {one.list_id} holds no {kind.plural.lower()}")
    members = (store.find(str(id_)) for id_ in sorted(book.members(one)))
    return [record for record in members if record is not None]


def _search(asked: object) -> JsonObject:
    """Return the filters and the order of a view as a search has them."""
    if not isinstance(asked, dict):
        raise invalid("Invalid input JSON: publicCrmSearchRequest must be an object")
    groups = objects(asked, "filterGroups")
    if asked.get("filters"):
        groups = [*groups, {"filters": asked["filters"]}]
    sizes = [len(objects(one, "filters")) for one in groups]
    if len(sizes) > GROUPS_MAX or max(sizes, default=0) > FILTERS_MAX:
        raise invalid(f"An export has up to {GROUPS_MAX} filter groups of {FILTERS_MAX} filters")
    sorts = asked.get("sorts")
    if isinstance(sorts, list):
        sorts = [_sort(one) for one in sorts]
    return {"filterGroups": groups, "query": asked.get("query"), "sorts": sorts}


def _sort(asked: object) -> object:
    """Return a sort of an export, whose direction is called order, as one of a search."""
    if not isinstance(asked, dict) or "order" not in asked:
        return asked
    order = {"ASC": "ASCENDING", "DESC": "DESCENDING"}.get(str(asked["order"]), asked["order"])
    return {"propertyName": asked.get("propertyName"), "direction": order}
