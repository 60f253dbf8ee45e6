"""What cannot be undone: two records become one, and a record is deleted for good."""

from __future__ import annotations

from hsagency.sandbox.api.linked import release
from hsagency.sandbox.bodies import id_of, text_of
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.links import Links
from hsagency.sandbox.contents.record import Record
from hsagency.sandbox.contents.records import RecordStore
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import invalid, not_found

WRITE = ("crm.objects.{type}.write",)


def merge_records(call: Call) -> Outcome:
    """Take one record into another, and answer with the one that is left."""
    store, content = call.state.store(call.kind), call.content
    survivor = store.get(id_of(content, "primaryObjectId"))
    merged = store.get(id_of(content, "objectIdToMerge"))
    if merged is survivor:
        raise invalid(f"The record {survivor.record_id} cannot be merged with itself")
    store.merge(merged, survivor, at=call.now)
    call.state.part(Links).move(store.kind, merged.record_id, into=survivor.record_id)
    return 200, survivor.shown(store.kind.shown)


def delete_for_good(call: Call) -> Outcome:
    """
    Delete a record for good, from the recycling bin too.

    An address that no contact has is blocked instead: a typo lasts (facts 5.2).
    """
    if call.version == "v3" and call.kind.name != "contacts":
        raise not_found()  # the old form is for contacts alone
    store, content = call.state.store(call.kind), call.content
    id_, id_property = id_of(content, "objectId"), text_of(content, "idProperty", None)
    found = _anywhere(store, id_, id_property)
    if found is not None:
        store.purge(found)
        release(call.state, store.kind, found)
    elif id_property == "email":
        store.block(id_)
    else:
        raise not_found()
    return 204, None


def merging_routes() -> list[Route]:
    """Return the routes of this module."""
    return routes_at(
        "/crm/v3/objects/{type}",
        "/crm/objects/{dated}/{type}",
        tails={
            "/merge": {"POST": Endpoint(merge_records, WRITE)},
            "/gdpr-delete": {"POST": Endpoint(delete_for_good, WRITE)},
        },
    )


def _anywhere(store: RecordStore, id_: str, id_property: str | None) -> Record | None:
    """Return a record that is live or in the recycling bin."""
    live = store.find(id_, id_property=id_property)
    return live or store.find(id_, id_property=id_property, archived=True)
