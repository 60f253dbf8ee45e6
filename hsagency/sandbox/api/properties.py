"""Definitions of properties, and the groups they are shown in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from hsagency.sandbox.api.many import answer_each
from hsagency.sandbox.bodies import demand, inputs, text_of, whole_of
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.defining import (
    NAME,
    defined,
    redefined,
    refused,
    shown,
    taken,
    users_of,
)
from hsagency.sandbox.contents.definitions import Group, ObjectType, Property
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import ApiError, JsonObject, invalid, not_found

READ, WRITE = ("crm.schemas.{type}.read",), ("crm.schemas.{type}.write",)


def list_properties(call: Call) -> Outcome:
    """Return all definitions that were asked for, live or archived, in one answer."""
    return 200, {"results": [shown(one) for one in _visible(call, archived=call.archived)]}


def create_property(call: Call) -> Outcome:
    """Define a property, or bring an archived one back under its name."""
    return 201, shown(_define(call, call.content))


def read_property(call: Call) -> Outcome:
    """Return one definition; HubSpot does not say of its own whether they are archived."""
    found = shown(_find(call, call.values["name"], archived=call.archived))
    if found["hubspotDefined"]:
        del found["archived"]
    return 200, found


def update_property(call: Call) -> Outcome:
    """Change what of a definition may change."""
    kind, held = call.kind, _held(call, call.values["name"])
    made = redefined(kind, held, call.content, at=call.at, user=call.credential.user_id)
    kind.properties[made.name] = made
    return 200, shown(made)


def archive_property(call: Call) -> Outcome:
    """Archive a definition; records keep their values, and show them no longer."""
    _archive(call, _held(call, call.values["name"]))
    return 204, None


def create_properties(call: Call) -> Outcome:
    """Define several properties; those that are refused are named in a 207."""
    return answer_named(call, lambda one: shown(_define(call, one)), status=201)


def read_properties(call: Call) -> Outcome:
    """Return several definitions by name."""
    archived = call.content.get("archived") is True
    return answer_named(
        call, lambda one: shown(_find(call, text_of(one, "name", ""), archived=archived))
    )


def archive_properties(call: Call) -> Outcome:
    """Archive several definitions; names that are not there do not matter."""
    kind, named = call.kind, dict.fromkeys(text_of(one, "name", "") for one in inputs(call.content))
    held = [kind.properties[name] for name in named if name in kind.properties]
    for one in held:
        _refuse_archiving(kind, one)
    for one in held:
        _archive(call, one)
    return 204, None


def list_groups(call: Call) -> Outcome:
    """Return all groups in one answer; archived ones are never seen again."""
    return 200, {"results": [_shown_group(one) for one in call.kind.groups.values()]}


def create_group(call: Call) -> Outcome:
    """Add a group."""
    content, groups = call.content, call.kind.groups
    demand(content, "name", "label")
    name = text_of(content, "name", "")
    if not NAME.fullmatch(name):
        raise invalid(f"Property group name {name!r} is not valid")
    if name in groups:
        raise taken(
            f"A property group named '{name}' already exists.",
            "PropertyGroupError.PROPERTY_GROUP_WITH_NAME_EXISTS",
        )
    groups[name] = Group(name, text_of(content, "label", ""), whole_of(content, "displayOrder", -1))
    return 201, _shown_group(groups[name])


def read_group(call: Call) -> Outcome:
    """Return one group."""
    return 200, _shown_group(_group(call))


def update_group(call: Call) -> Outcome:
    """Change a group's label or place; its name stays."""
    content, held = call.content, _group(call)
    call.kind.groups[held.name] = made = replace(
        held,
        label=text_of(content, "label", held.label),
        display_order=whole_of(content, "displayOrder", held.display_order),
    )
    return 200, _shown_group(made)


def archive_group(call: Call) -> Outcome:
    """Remove a group for good, once no property is left in it but archived ones."""
    held = _group(call)
    if any(one.group == held.name for one in call.kind.properties.values()):
        raise _NestedRefusal(
            400,
            "Can't delete or purge a group with active properties",
            category="VALIDATION_ERROR",
            subCategory="PropertyGroupError.GROUP_WITH_ACTIVE_PROPERTIES",
        )
    del call.kind.groups[held.name]
    return 204, None


def properties_routes() -> list[Route]:
    """Return the routes of this module."""
    every = {"GET": Endpoint(list_properties, READ), "POST": Endpoint(create_property, WRITE)}
    one = {
        "GET": Endpoint(read_property, READ),
        "PATCH": Endpoint(update_property, WRITE),
        "DELETE": Endpoint(archive_property, WRITE),
    }
    groups = {"GET": Endpoint(list_groups, READ), "POST": Endpoint(create_group, WRITE)}
    group = {
        "GET": Endpoint(read_group, READ),
        "PATCH": Endpoint(update_group, WRITE),
        "DELETE": Endpoint(archive_group, WRITE),
    }
    return routes_at(
        "/crm/v3/properties/{type}",
        "/crm/properties/{dated}/{type}",
        tails={
            "": every,
            "/{name}": one,
            "/groups": groups,
            "/groups/{group}": group,
            "/batch/create": {"POST": Endpoint(create_properties, WRITE)},
            "/batch/read": {"POST": Endpoint(read_properties, READ)},
            "/batch/archive": {"POST": Endpoint(archive_properties, WRITE)},
        },
    )


def answer_named(
    call: Call, answer: Callable[[JsonObject], JsonObject], *, status: int = 200
) -> Outcome:
    """Answer each input of a batch, of which each has a name or an id."""
    return answer_each(
        call,
        inputs(call.content),
        lambda one: [answer(one)],
        context=lambda one: {
            "name" if "name" in one else "id": [str(one.get("name", one.get("id")))]
        },
        status=status,
    )


class _NestedRefusal(ApiError):
    """A refusal that HubSpot writes, as JSON text, into the message of another."""

    def envelope(self, correlation_id: str) -> JsonObject:
        """Return the body of the answer."""
        inner = json.dumps(super().envelope(correlation_id), separators=(",", ":"))
        return {"status": "error", "message": inner, "correlationId": correlation_id}


def _define(call: Call, content: JsonObject) -> Property:
    if content.get("dataSensitivity") not in (None, "non_sensitive"):
        raise ApiError(
            403,
            "Missing required scope for: sensitive-data-property-create",
            category="MISSING_SCOPES",
        )
    kind = call.kind
    made = defined(kind, content, at=call.at, user=call.credential.user_id)
    kind.archived.pop(made.name, None)
    kind.properties[made.name] = made
    return made


def _visible(call: Call, *, archived: bool) -> list[Property]:
    sensitivity = call.request.param("dataSensitivity") or "non_sensitive"
    if sensitivity not in {"non_sensitive", "sensitive", "highly_sensitive"}:
        raise invalid(f"dataSensitivity {sensitivity!r} is not one of HubSpot's")
    if sensitivity != "non_sensitive":  # nobody can define one here
        return []
    if archived:
        return list(call.kind.archived.values())
    seen = (_seen(one, call.as_of) for one in call.kind.properties.values())
    return [one for one in seen if one is not None]


def _seen(one: Property, as_of: str | None) -> Property | None:
    """Return a definition as a reader that lags behind sees it, one change back at most."""
    if as_of is None or one.updated_at is None or one.updated_at <= as_of:
        return one
    return one.before


def _find(call: Call, name: str, *, archived: bool) -> Property:
    found = next((one for one in _visible(call, archived=archived) if one.name == name), None)
    if found is None:
        raise _missing(name)
    return found


def _held(call: Call, name: str) -> Property:
    held = call.kind.properties.get(name)
    if held is None:
        raise _missing(name)
    return held


def _missing(name: str) -> ApiError:
    return not_found(f"No property named '{name}' was found")


def _archive(call: Call, held: Property) -> None:
    kind = call.kind
    _refuse_archiving(kind, held)
    del kind.properties[held.name]
    kind.archived[held.name] = replace(held, archived_at=call.at, updated_at=call.at, before=None)


def _refuse_archiving(kind: ObjectType, held: Property) -> None:
    if held.hubspot_defined:
        raise refused(
            f"Property '{held.name}' is defined by HubSpot and cannot be archived",
            "PropertyValidationError.CANNOT_DELETE_HUBSPOT_DEFINED_PROPERTY",
        )
    users = [("CALCULATED_PROPERTY", f"{kind.type_id}/{one}") for one in users_of(kind, held.name)]
    if held.name in kind.required:
        users.append(("OBJECT_SCHEMA", kind.name))
    if users:
        raise refused(
            f"Property: {held.name} of object type {kind.type_id} is currently used in "
            f"{len(users)} places and cannot be deleted",
            "PropertyValidationError.CANNOT_DELETE_PROPERTY_IN_USE",
            context={"usageCount": [str(len(users))]},
            errors=[
                {
                    "message": f"{held.name} is used by {name}",
                    "subCategory": "PropertyValidationError.PROPERTY_USAGE",
                    "context": {"parentType": [what], "parentName": [name]},
                }
                for what, name in users
            ],
        )


def _group(call: Call) -> Group:
    found = call.kind.groups.get(call.values["group"])
    if found is None:
        raise not_found(f"No property group named '{call.values['group']}' was found")
    return found


def _shown_group(one: Group) -> JsonObject:
    return {
        "name": one.name,
        "label": one.label,
        "displayOrder": one.display_order,
        "archived": False,
    }
