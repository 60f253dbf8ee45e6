"""
Schemas of custom object types, and how many of them a portal may have.

Only Enterprise portals have custom objects (facts 2.2, 6). To any other portal the schemas API
answers as to a key without the scope: that scope cannot be granted there. It rests on documents;
nobody has shown the body of such an answer.
"""

from __future__ import annotations

import re
from dataclasses import replace

from hsagency.sandbox.api.properties import answer_named
from hsagency.sandbox.bodies import demand, objects, text_of, texts
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.defining import defined, refused, shown, taken
from hsagency.sandbox.contents.definitions import BUILT_IN, ObjectType, fully_qualified
from hsagency.sandbox.contents.labels import Label, Labels
from hsagency.sandbox.contents.locations import bare_type
from hsagency.sandbox.contents.schemas import Schema, Schemas
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.envelopes import missing_scopes
from hsagency.sandbox.portals import FULL_SCOPES
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import JsonObject, invalid, not_found

READ, WRITE = ("crm.schemas.custom.read",), ("crm.schemas.custom.write",)
# Any scope that reads records opens the limits, and so does that for reading schemas.
LIMIT_READ = (
    *READ,
    *sorted(one for one in FULL_SCOPES if re.fullmatch(r"crm\.objects\.\w+\.read", one)),
)
MOST_TYPES = 10
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,49}")
LABEL_MAX, SECONDARY_MAX = 50, 2


def list_schemas(call: Call) -> Outcome:
    """Return the portal's own types; with `archived`, those in the recycling bin as well."""
    known = _known(call)
    bare = (call.request.param("includePropertyDefinitions") or "").lower() == "false"
    seen = [one for held in known.custom() if (one := held.seen(call.as_of))]
    results = [_shown(call, one) for one in (*seen, *(known.archived() if call.archived else ()))]
    return 200, {"results": [one | {"properties": []} for one in results] if bare else results}


def create_schema(call: Call) -> Outcome:
    """Add a type with its first properties and associations."""
    known, content = _known(call), call.content
    kind = _kind_from(call, known, content)
    at, user = call.at, call.credential.user_id
    for one in objects(content, "properties"):
        grouped = {"groupName": f"{kind.name}_information"} | one
        made = defined(kind, grouped, at=at, user=user)
        kind.properties[made.name] = made
    bare = Schema(
        kind,
        primary=None,
        labels=(kind.singular, kind.plural),
        created_at=at,
        updated_at=at,
        created_by=user,
        updated_by=user,
    )
    made_of = replace(_described(bare, content), before=None)
    linked = [_other(call, kind, name) for name in texts(content, "associatedObjects")]
    kind.required = made_of.required
    schema = replace(made_of, linked=dict.fromkeys((one.type_id for one in linked), None))
    known.add(schema)
    return 201, _shown(call, schema)


def read_schema(call: Call) -> Outcome:
    """Return one schema by name, fully qualified name or type id; HubSpot's own types have one."""
    return 200, _shown(call, _seen(call, call.values["schema"]))


def read_schemas(call: Call) -> Outcome:
    """Return several schemas; those that are not there are named in a 207."""
    return answer_named(call, lambda one: _shown(call, _seen(call, text_of(one, "id", ""))))


def update_schema(call: Call) -> Outcome:
    """Change what of a schema may change; its name stays."""
    held, content = _held(call), call.content
    made = replace(
        _described(held, content), updated_at=call.at, updated_by=call.credential.user_id
    )
    _known(call).put(made)
    return 200, _definition(call, made)


def delete_schema(call: Call) -> Outcome:
    """Archive a type that no record is left of; with `archived`, delete it for good."""
    known = _known(call)
    if call.archived:
        wanted = call.values["schema"].lower()
        found = (one for one in known.archived() if wanted in _names(call.state, one.kind))
        gone = next(found, None)
        if gone is None:
            raise invalid("Couldn't find soft-deleted object type(s)")
        known.purge(gone)
        return 204, None
    held = _held(call)
    if len(call.state.store(held.kind)):
        raise refused(
            f"Object type {held.kind.type_id} cannot be deleted until all object records are "
            "deleted",
            "ObjectSchemaError.EXISTING_OBJECT_RECORDS",
        )
    known.archive(held, at=call.at)
    return 204, None


def create_association(call: Call) -> Outcome:
    """Associate a type with another one."""
    held, content = _held(call), call.content
    demand(content, "fromObjectTypeId", "toObjectTypeId")
    ends = [_other(call, held.kind, text_of(content, f"{end}ObjectTypeId", ""))
            for end in ("from", "to")]  # fmt: skip
    if held.kind not in ends:
        raise invalid(f"One end of an association of {held.kind.name} must be {held.kind.type_id}")
    source, target = ends
    other = target if source is held.kind else source
    linked = held.linked | {other.type_id: text_of(content, "name", None)}
    made = replace(held, linked=linked, updated_at=call.at)
    _known(call).put(made)
    way = call.state.part(Labels).plain(source, target)
    return 201, _shown_link(made, source, target, way, as_of=None)


def archive_association(call: Call) -> Outcome:
    """Take back an association by its id."""
    held, known = _held(call), _known(call)
    for source, target, way in known.links(held):
        if str(way.type_id) != call.values["association"]:
            continue
        if way.label is not None:
            call.state.part(Labels).remove(source, target, way)
        else:
            other = target if source is held.kind else source
            kept = {id_: name for id_, name in held.linked.items() if id_ != other.type_id}
            known.put(replace(held, linked=kept, updated_at=call.at))
        return 204, None
    raise not_found(f"No association {call.values['association']} of {held.kind.name} was found")


def custom_type_limit(call: Call) -> Outcome:
    """Say how many custom types a portal may have; that others than Enterprise get 0 is assumed."""
    limit = MOST_TYPES if _enterprise(call) else 0
    usage = len(call.state.types.custom())
    percentage = 100 * usage / limit if limit else 0
    return 200, {"limit": limit, "usage": usage, "percentage": percentage}


def schemas_routes() -> list[Route]:
    """Return the routes of this module."""
    every = {"GET": Endpoint(list_schemas, READ), "POST": Endpoint(create_schema, WRITE)}
    one = {
        "GET": Endpoint(read_schema, READ),
        "PATCH": Endpoint(update_schema, WRITE),
        "DELETE": Endpoint(delete_schema, WRITE),
    }
    dated = "/crm-object-schemas/{dated}/schemas"
    limit = {"GET": Endpoint(custom_type_limit, LIMIT_READ)}
    return [
        *routes_at(
            "/crm/v3/schemas",
            "/crm-object-schemas/v3/schemas",
            dated,
            tails={
                "": every,
                "/{schema}": one,
                "/{schema}/associations": {"POST": Endpoint(create_association, WRITE)},
                "/{schema}/associations/{association}": {
                    "DELETE": Endpoint(archive_association, WRITE)
                },
            },
        ),
        *routes_at(dated, tails={"/batch/read": {"POST": Endpoint(read_schemas, READ)}}),
        *routes_at("/crm/v3/limits", "/crm/limits/{dated}", tails={"/custom-object-types": limit}),
    ]


def _enterprise(call: Call) -> bool:
    return call.state.portal.tier == "enterprise"


def _known(call: Call) -> Schemas:
    if not _enterprise(call):
        raise missing_scopes(*(READ if call.request.method in {"GET", "HEAD"} else WRITE))
    return call.state.part(Schemas)


def _seen(call: Call, name: str) -> Schema:
    kind = call.state.types.get(name)
    known = call.state.part(Schemas) if kind and not kind.custom else _known(call)
    schema = known.of(kind).seen(call.as_of) if kind else None
    if schema is None:
        raise not_found(f"No object schema {name} was found")
    return schema


def _held(call: Call) -> Schema:
    known, kind = _known(call), call.state.types.get(call.values["schema"])
    if kind is None or not kind.custom:
        raise invalid("Invalid object or event type id")
    return known.of(kind)


def _other(call: Call, kind: ObjectType, name: str) -> ObjectType:
    return kind if name.lower() in _names(call.state, kind) else call.state.types.find(name)


def _names(state: PortalState, kind: ObjectType) -> tuple[str, ...]:
    names = kind.name, kind.type_id, fully_qualified(state.portal.portal_id, kind)
    return tuple(name.lower() for name in names)


def _kind_from(call: Call, known: Schemas, content: JsonObject) -> ObjectType:
    """Return the type that a body asks for, with HubSpot's own properties and no others."""
    demand(content, "name", "labels")
    name = text_of(content, "name", "")
    if not NAME.fullmatch(name):
        raise refused(
            f"Object type name {name!r} is not valid",
            "InboundDbObjectTypeError.OBJECT_TYPE_NAME_FORMAT",
        )
    if content.get("primaryDisplayProperty") is None:
        raise refused(
            "A primary display property is required",
            "ObjectSchemaError.PRIMARY_DISPLAY_PROPERTY_REQUIRED",
        )
    named = {one.kind.name.lower() for one in known.custom()}
    if name.lower() in named | BUILT_IN.keys() or call.state.types.get(name.lower()):
        raise taken(
            f"Object type {name} already exists",
            "InboundDbObjectTypeError.OBJECT_TYPE_ALREADY_EXIST",
        )
    if len(named) >= MOST_TYPES:
        raise invalid(f"This portal has reached its limit of {MOST_TYPES} custom object types")
    singular, plural = _labels(content, ("", ""))
    return bare_type(name, known.new_type_id(), singular=singular, plural=plural)


def _labels(content: JsonObject, held: tuple[str, str]) -> tuple[str, str]:
    given = content.get("labels")
    if given is None:
        return held
    if not isinstance(given, dict):
        raise invalid("Invalid input JSON: labels must be an object")
    singular, plural = text_of(given, "singular", held[0]), text_of(given, "plural", held[1])
    if not (0 < len(singular) <= LABEL_MAX and 0 < len(plural) <= LABEL_MAX):
        raise invalid(f"Each label of an object type needs 1 to {LABEL_MAX} characters")
    return singular, plural


def _described(held: Schema, content: JsonObject) -> Schema:
    """Return a schema as a body changes it; what it shows must be properties of the type."""
    lists = {
        field: tuple(dict.fromkeys(texts(content, name))) if name in content else old
        for field, name, old in (
            ("secondary", "secondaryDisplayProperties", held.secondary),
            ("required", "requiredProperties", held.required),
            ("searchable", "searchableProperties", held.searchable),
        )
    }
    primary = text_of(content, "primaryDisplayProperty", held.primary)
    for name in (
        *([primary] if primary else ()),
        *(one for some in lists.values() for one in some),
    ):
        if name not in held.kind.properties:
            raise invalid(f"Object type {held.kind.name} has no property {name}")
    if len(lists["secondary"]) > SECONDARY_MAX:
        raise invalid(f"There can be {SECONDARY_MAX} secondary display properties at most")
    cleared = content.get("clearDescription") is True
    return replace(
        held,
        primary=primary,
        secondary=lists["secondary"],
        required=lists["required"],
        searchable=lists["searchable"] or ("hs_object_id",),
        labels=_labels(content, held.labels),
        description=None if cleared else text_of(content, "description", held.description),
    )


def _definition(call: Call, schema: Schema) -> JsonObject:
    """Return a schema without its properties and associations, which is a change's answer."""
    kind, portal_id = schema.kind, call.state.portal.portal_id
    answer: JsonObject = {
        "id": kind.type_id.removeprefix("2-"),
        "objectTypeId": kind.type_id,
        "name": kind.name if kind.custom else kind.singular.upper().replace(" ", "_"),
        "fullyQualifiedName": fully_qualified(portal_id, kind),
        "labels": dict(zip(("singular", "plural"), schema.labels, strict=True)),
        "requiredProperties": list(schema.required),
        "searchableProperties": list(schema.searchable),
        "secondaryDisplayProperties": list(schema.secondary),
        "archived": schema.archived,
        "restorable": True,
        "createdAt": schema.created_at,
        "updatedAt": schema.updated_at,
        "portalId": portal_id,
    }
    for name, value in (
        ("primaryDisplayProperty", schema.primary),
        ("description", schema.description),
        ("createdByUserId", schema.created_by),
        ("updatedByUserId", schema.updated_by),
    ):
        if value is not None:
            answer[name] = value
    return answer


def _shown(call: Call, schema: Schema) -> JsonObject:
    if schema.archived:
        return {**_definition(call, schema), "properties": [], "associations": []}
    links = call.state.part(Schemas).links(schema)
    return {
        **_definition(call, schema),
        "properties": [shown(one) for one in schema.kind.properties.values()],
        "associations": [_shown_link(schema, *link, as_of=call.as_of) for link in links],
    }


def _shown_link(
    schema: Schema, source: ObjectType, target: ObjectType, way: Label, *, as_of: str | None
) -> JsonObject:
    """Return one association; the name of a new label comes late to readers that lag behind."""
    answer = {
        "id": str(way.type_id),
        "fromObjectTypeId": source.type_id,
        "toObjectTypeId": target.type_id,
    }
    other = target if source is schema.kind else source
    given = schema.linked.get(other.type_id) if way.label is None else None
    if as_of is None or way.changed_at <= as_of:
        answer["name"] = given or way.name
    return answer
