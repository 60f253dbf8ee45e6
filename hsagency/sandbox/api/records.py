"""CRM records over HTTP: list with paging, create, read, update, archive."""

from __future__ import annotations

from hsagency.sandbox.api.linked import bind, bonds_of, links_shown, release
from hsagency.sandbox.api.merging import merging_routes
from hsagency.sandbox.api.paging import next_page
from hsagency.sandbox.api.views import View, known_names
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.record import Record
from hsagency.sandbox.contents.records import RecordStore
from hsagency.sandbox.contents.values import demand_required, judged
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import JsonObject

PAGE_DEFAULT = 10
READ, WRITE = ("crm.objects.{type}.read",), ("crm.objects.{type}.write",)


def list_records(call: Call) -> Outcome:
    """Return a page in the order of ids, with a cursor when there is more."""
    store = _store(call)
    view = _view(call, store)
    limit = call.number("limit", default=PAGE_DEFAULT, least=1, most=view.most)
    after = call.number("after", default=0)
    page = store.page(after=after, limit=limit, archived=call.archived, as_of=call.as_of)
    content: JsonObject = {"results": [view.of(record) for record in page.records]}
    if page.after is not None:
        content["paging"] = next_page(call, str(page.after))
    return 200, content


def create_record(call: Call) -> Outcome:
    """Add a record, and link it; 409 when its unique property is taken."""
    store, content = _store(call), call.content
    properties = judged(store.kind, content)
    demand_required(store.kind, properties)
    bonds = bonds_of(call, store.kind, content)
    record = store.create(properties, at=call.now)
    bind(call.state, store.kind, record, bonds)
    return 201, record.shown(sorted(record.properties))


def read_record(call: Call) -> Outcome:
    """Return one record, by id or by `idProperty`."""
    store = _store(call)
    record = _found(call, store, archived=call.archived)
    return 200, _view(call, store).of(record)


def update_record(call: Call) -> Outcome:
    """Change some properties, and answer with those."""
    store = _store(call)
    record = _found(call, store)
    changes = judged(store.kind, call.content)
    store.update(record, changes, at=call.now)
    return 200, record.shown(sorted({*changes, *store.kind.stamps}))


def archive_record(call: Call) -> Outcome:
    """Move a record to the recycling bin."""
    store = _store(call)
    record = _found(call, store)
    store.archive(record, at=call.now)
    release(call.state, store.kind, record)
    return 204, None


def records_routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        *merging_routes(),
        *routes_at(
            "/crm/v3/objects/{type}",
            "/crm/objects/{dated}/{type}",
            tails={
                "": {"GET": Endpoint(list_records, READ), "POST": Endpoint(create_record, WRITE)},
                "/{id}": {
                    "GET": Endpoint(read_record, READ),
                    "PATCH": Endpoint(update_record, WRITE),
                    "DELETE": Endpoint(archive_record, WRITE),
                },
            },
        ),
    ]


def _store(call: Call) -> RecordStore:
    return call.state.store(call.kind)


def _found(call: Call, store: RecordStore, *, archived: bool = False) -> Record:
    return store.get(
        call.values["id"],
        id_property=call.request.param("idProperty"),
        archived=archived,
        as_of=call.as_of if call.request.method == "GET" else None,
    )


def _view(call: Call, store: RecordStore) -> View:
    """Return what the query of a GET asks for."""
    query, kind = call.request, store.kind
    if not query.query:
        return View(kind.shown, as_of=call.as_of)
    others = [call.state.types.find(name) for name in query.params("associations")]

    def linked(record: Record) -> JsonObject:
        return links_shown(call.state, kind, record, others, as_of=call.as_of)

    return View(
        kind.wanted(query.params("properties")),
        history=known_names(kind, query.params("propertiesWithHistory")),
        as_of=call.as_of,
        links=linked if others else None,
    )
