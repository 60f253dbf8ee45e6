"""How many records of one type a record may be linked to, where a portal has set a limit."""

from __future__ import annotations

from hsagency.sandbox.api.linking import Pair
from hsagency.sandbox.api.many import answer_each
from hsagency.sandbox.bodies import inputs
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.labels import Label, Limits
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import JsonObject, invalid

_TYPES = ("contacts", "companies", "deals", "tickets", "custom")
READ = tuple(f"crm.schemas.{name}.read" for name in _TYPES)
WRITE = ("crm.objects.{type}.write", "crm.schemas.{type}.write")


def list_all(call: Call) -> Outcome:
    """Return the limits between all types."""
    limits = call.state.part(Limits)
    return 200, {"results": [_shown(label, most) for label, most in limits.all()]}


def list_between(call: Call) -> Outcome:
    """Return the limits from one type to another."""
    pair = Pair.named_by(call)
    ways = pair.labels.between(pair.kind, pair.other)
    found = ((way, pair.limits.of(pair.kind, pair.other, way)) for way in ways)
    return 200, {"results": [_shown(way, most) for way, most in found if most is not None]}


def create_limits(call: Call) -> Outcome:
    """Set limits; what is linked already stays linked."""
    pair = Pair.named_by(call)
    return answer_each(
        call, inputs(call.content), lambda given: [_shown(*_set(pair, given))], status=201
    )


def update_limits(call: Call) -> Outcome:
    """Change limits, and answer without labels."""
    pair = Pair.named_by(call)

    def one(given: JsonObject) -> list[JsonObject]:
        shown = _shown(*_set(pair, given))
        del shown["label"]
        return [shown]

    return answer_each(call, inputs(call.content), one)


def purge_limits(call: Call) -> Outcome:
    """Lift limits."""
    pair = Pair.named_by(call)
    for label in [_way(pair, given) for given in inputs(call.content)]:
        pair.limits.lift(pair.kind, pair.other, label)
    return 204, None


def limit_routes() -> list[Route]:
    """Return the routes of this module."""
    return routes_at(
        "/crm/v4/associations/definitions/configurations",
        "/crm/associations/{dated}/definitions/configurations",
        tails={
            "/all": {"GET": Endpoint(list_all, READ)},
            "/{type}/{other}": {"GET": Endpoint(list_between, ("crm.schemas.{type}.read",))},
            "/{type}/{other}/batch/create": {"POST": Endpoint(create_limits, WRITE)},
            "/{type}/{other}/batch/update": {"POST": Endpoint(update_limits, WRITE)},
            "/{type}/{other}/batch/purge": {"POST": Endpoint(purge_limits, WRITE)},
        },
    )


def _set(pair: Pair, given: JsonObject) -> tuple[Label, int]:
    label, most = _way(pair, given), given.get("maxToObjectIds")
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise invalid("Invalid input JSON: maxToObjectIds is required and must be above 0")
    pair.limits.set(pair.kind, pair.other, label, most)
    return label, most


def _way(pair: Pair, given: JsonObject) -> Label:
    spec = {
        "associationTypeId": given.get("typeId"),
        "associationCategory": given.get("category"),
    }
    return pair.specified([spec])[0]


def _shown(label: Label, most: int) -> JsonObject:
    return {
        "category": label.category,
        "typeId": label.type_id,
        "label": label.label,
        "userEnforcedMaxToObjectIds": most,
    }
