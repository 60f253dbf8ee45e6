"""The labels that a portal gives to associations."""

from __future__ import annotations

import re

from hsagency.sandbox.api.linking import Pair
from hsagency.sandbox.bodies import text
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.labels import Label
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import JsonObject, invalid, is_number, not_found

READ = ("crm.objects.{type}.read", "crm.schemas.{type}.read")
WRITE = ("crm.objects.{type}.write", "crm.schemas.{type}.write")


def list_labels(call: Call) -> Outcome:
    """Return all ways from one type to another; a reader that lags behind misses new labels."""
    pair = Pair.named_by(call)
    ways = pair.labels.between(pair.kind, pair.other)
    shown = [
        _shown(way, way.seen(call.as_of))
        for way in ways
        if way.label is None or way.seen(call.as_of) is not None
    ]
    return 200, {"results": shown}


def create_label(call: Call) -> Outcome:
    """Add a label, two-sided with `inverseLabel`, and answer with the ids of both directions."""
    pair, content = Pair.named_by(call), call.content
    name, label = text(content, "name"), text(content, "label")
    if re.fullmatch(r"[^\W\d][^-]*", name) is None:
        raise invalid("name must not begin with a number nor hold a hyphen")
    ways = pair.labels.between(pair.kind, pair.other)
    if any(name == way.name or label == way.label for way in ways):
        raise invalid(f"An association label {label!r} or of the name {name!r} exists already")
    labels = label, _inverse(content, instead=label)
    made = pair.labels.create(pair.kind, pair.other, name=name, labels=labels, at=call.at)
    return 200, {"results": [_shown(way, way.label) for way in made]}


def rename_label(call: Call) -> Outcome:
    """Change what a label is called; HubSpot's own keep their names."""
    pair, content = Pair.named_by(call), call.content
    type_id = content.get("associationTypeId")
    if not isinstance(type_id, int):
        raise invalid("Invalid input JSON: associationTypeId is required and must be a number")
    old = _own(pair, type_id)
    label = text(content, "label")
    back = pair.labels.inverse(pair.kind, pair.other, old)
    instead = label if back.label == old.label else str(back.label)
    labels = label, label if back == old else _inverse(content, instead=instead)
    pair.labels.rename(pair.kind, pair.other, old, labels=labels, at=call.at)
    return 204, None


def delete_label(call: Call) -> Outcome:
    """Remove a label, in both directions and from all links."""
    pair, given = Pair.named_by(call), call.values["typeId"]
    if not is_number(given):
        raise invalid("associationTypeId must be a whole number")
    old = _own(pair, int(given))
    pair.labels.remove(pair.kind, pair.other, old)
    pair.links.forget(pair.kind, pair.other, old)
    return 204, None


def label_routes() -> list[Route]:
    """Return the routes of this module."""
    return routes_at(
        "/crm/v4/associations/{type}/{other}/labels",
        "/crm/associations/{dated}/{type}/{other}/labels",
        tails={
            "": {
                "GET": Endpoint(list_labels, READ),
                "POST": Endpoint(create_label, WRITE),
                "PUT": Endpoint(rename_label, WRITE),
            },
            "/{typeId}": {"DELETE": Endpoint(delete_label, WRITE)},
        },
    )


def _shown(way: Label, label: str | None) -> JsonObject:
    return {"category": way.category, "typeId": way.type_id, "label": label}


def _own(pair: Pair, type_id: int) -> Label:
    """Return a label of the portal's own, which alone may change."""
    found = pair.labels.find(pair.kind, pair.other, type_id)
    if found is None:
        raise not_found(f"No association label {type_id} between these types")
    if found.category == "HUBSPOT_DEFINED" or found.label is None:
        raise invalid(f"The association type {type_id} cannot be changed")
    return found


def _inverse(content: JsonObject, *, instead: str) -> str:
    return instead if content.get("inverseLabel") is None else text(content, "inverseLabel")
