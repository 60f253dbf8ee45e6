"""CRM records over HTTP: list with paging, create, read, update, archive."""

from __future__ import annotations

from urllib.parse import urlencode

from hsagency.sandbox.records import (
    PAGE_DEFAULT,
    PAGE_MAX,
    ObjectType,
    Record,
    RecordStore,
    is_number,
    judged,
)
from hsagency.sandbox.routes import Endpoint, Outcome, Route, both_forms
from hsagency.sandbox.state import Call
from hsagency.sandbox.wire import JsonObject, decode, invalid

READ, WRITE = "crm.objects.{type}.read", "crm.objects.{type}.write"


def list_records(call: Call) -> Outcome:
    """Return a page in the order of ids, with a cursor when there is more."""
    store, limit = _store(call), _number(call, "limit", default=PAGE_DEFAULT)
    if not 1 <= limit <= PAGE_MAX:
        raise invalid(f"The page size must be between 1 and {PAGE_MAX}, not {limit}")
    page = store.page(after=_number(call, "after", default=0), limit=limit, archived=_bin(call))
    names = _wanted(call, store.kind)
    content: JsonObject = {"results": [record.shown(names) for record in page.records]}
    if page.after is not None:
        after = str(page.after)
        content["paging"] = {"next": {"after": after, "link": _link(call, after)}}
    return 200, content


def create_record(call: Call) -> Outcome:
    """Add a record; 409 when its unique property is taken."""
    store = _store(call)
    record = store.create(judged(store.kind, decode(call.request.body)), at=call.now)
    return 201, record.shown(sorted(record.properties))


def read_record(call: Call) -> Outcome:
    """Return one record, by id or by `idProperty`."""
    store = _store(call)
    return 200, _found(call, store, archived=_bin(call)).shown(_wanted(call, store.kind))


def update_record(call: Call) -> Outcome:
    """Change some properties, and answer with those."""
    store = _store(call)
    record = _found(call, store)
    changes = judged(store.kind, decode(call.request.body))
    store.update(record, changes, at=call.now)
    return 200, record.shown(sorted({*changes, *store.kind.stamps}))


def archive_record(call: Call) -> Outcome:
    """Move a record to the recycling bin."""
    store = _store(call)
    store.archive(_found(call, store), at=call.now)
    return 204, None


def object_routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        *both_forms(
            "/crm/v3/objects/{type}",
            "/crm/objects/{version}/{type}",
            {
                "GET": Endpoint(list_records, scope=READ),
                "POST": Endpoint(create_record, scope=WRITE),
            },
        ),
        *both_forms(
            "/crm/v3/objects/{type}/{id}",
            "/crm/objects/{version}/{type}/{id}",
            {
                "GET": Endpoint(read_record, scope=READ),
                "PATCH": Endpoint(update_record, scope=WRITE),
                "DELETE": Endpoint(archive_record, scope=WRITE),
            },
        ),
    ]


def _store(call: Call) -> RecordStore:
    return call.state.store(call.kind)


def _found(call: Call, store: RecordStore, *, archived: bool = False) -> Record:
    id_property = call.request.param("idProperty")
    return store.get(call.values["id"], id_property=id_property, archived=archived)


def _wanted(call: Call, kind: ObjectType) -> tuple[str, ...]:
    asked = call.request.params("properties") if call.request.query else []
    if not asked:
        return kind.shown
    # HubSpot leaves out unknown properties and says nothing.
    return tuple(sorted({*kind.stamps, *(name for name in asked if name in kind.known)}))


def _bin(call: Call) -> bool:
    return call.request.param("archived") == "true"


def _number(call: Call, name: str, *, default: int) -> int:
    text = call.request.param(name)
    if text is None:
        return default
    if not is_number(text):
        raise invalid(f"{name} must be a whole number")
    return int(text)


def _link(call: Call, after: str) -> str:
    """Return the address of the next page on the host that was asked."""
    host = call.request.headers.get("host", "api.hubapi.com")
    scheme = "https" if host.endswith("hubapi.com") else "http"
    query = [pair for pair in call.request.query if pair[0] != "after"]
    return f"{scheme}://{host}{call.request.path}?{urlencode([*query, ('after', after)])}"
