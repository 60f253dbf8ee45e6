"""How a property is defined over the API: what a body must say, and how a definition is shown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from hsagency.sandbox.bodies import demand, text_of, whole_of
from hsagency.sandbox.contents.definitions import ObjectType, Option, Property, ValueType
from hsagency.sandbox.portals import FOUNDED
from hsagency.sandbox.wire import ApiError, JsonObject, invalid, stamp

# Which fields a value of each type may be shown with.
PAIRS = {
    "string": {"text", "textarea", "html", "phonenumber", "file", "calculation_equation"},
    "number": {"number", "calculation_equation"},
    "bool": {"booleancheckbox", "calculation_equation"},
    "enumeration": {"booleancheckbox", "checkbox", "radio", "select", "calculation_equation"},
    "date": {"date"},
    "datetime": {"date"},
    "phone_number": {"phonenumber"},
}
NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
MOST_UNIQUE = 10
OPTIONS_MAX = 5_000  # from HubSpot's help pages
_DEFAULTS = {
    "displayOrder": -1,
    "hidden": False,
    "formField": False,
    "externalOptions": False,
    "dataSensitivity": "non_sensitive",
}
# What a body may say besides, of which type, and whether a later change may say it too.
_EXTRA: Mapping[str, tuple[type, bool]] = {
    "displayOrder": (int, True),
    "hidden": (bool, True),
    "formField": (bool, True),
    "calculationFormula": (str, True),
    "numberDisplayHint": (str, True),
    "textDisplayHint": (str, True),
    "showCurrencySymbol": (bool, True),
    "currencyPropertyName": (str, True),
    "externalOptions": (bool, False),
    "referencedObjectType": (str, False),
    "dataSensitivity": (str, False),
}
# What of a definition of its own HubSpot lets nobody change.
_FIXED = frozenset({"label", "type", "fieldType", "calculationFormula"})
_STAGES = frozenset({"pipeline", "dealstage", "hs_pipeline", "hs_pipeline_stage"})


def refused(message: str, reason: str, **extra: object) -> ApiError:
    """Return the 400 of a definition that HubSpot does not take, with its subcategory."""
    error = ApiError(400, message, category="VALIDATION_ERROR", subCategory=reason)
    error.extra.update(extra)
    return error


def taken(message: str, reason: str) -> ApiError:
    """Return the 409 of a name that something else has."""
    return ApiError(409, message, category="OBJECT_ALREADY_EXISTS", subCategory=reason)


def defined(kind: ObjectType, content: JsonObject, *, at: str, user: int) -> Property:
    """
    Return a property as a body defines it.

    A body with the name of an archived property brings that one back: with its first date of
    creation, and for the rest with the definition of the body.
    """
    demand(content, "name", "label", "type", "fieldType", "groupName")
    name = text_of(content, "name", "")
    if not NAME.fullmatch(name):
        raise invalid(
            f"Property name {name!r} is not valid: it must begin with a lower-case letter, and hold "
            "only lower-case letters, digits and underscores"
        )
    if name in kind.properties:
        raise taken(
            f"A property named '{name}' already exists.", "Properties.PROPERTY_WITH_NAME_EXISTS"
        )
    bare = Property(
        name=name,
        label="",
        unique=content.get("hasUniqueValue") is True,
        hubspot_defined=False,
        created_at=kind.archived[name].created_at if name in kind.archived else at,
        extra={"createdUserId": str(user)},
    )
    if bare.unique and sum(not kind.properties[one].hubspot_defined for one in kind.unique) >= (
        MOST_UNIQUE
    ):
        raise invalid(f"No more than {MOST_UNIQUE} properties may have unique values")
    made = _changed(kind, bare, content, at=at, user=user, new=True)
    return replace(made, before=None)


def redefined(
    kind: ObjectType, held: Property, content: JsonObject, *, at: str, user: int
) -> Property:
    """
    Return a property as a body changes it; what the body leaves out stays, and so does the name.

    Whether values are unique, and how sensitive they are, cannot change: HubSpot says nothing.
    """
    if held.hubspot_defined:
        fixed = _FIXED.intersection(content)
        if fixed or ("options" in content and _options_fixed(held)):
            raise refused(
                f"Property '{held.name}' is defined by HubSpot: "
                f"{', '.join(sorted(fixed)) or 'options'} cannot be changed",
                "PropertyValidationError.READ_ONLY_DEFINITION",
            )
    return _changed(kind, held, content, at=at, user=user, new=False)


def shown(one: Property) -> JsonObject:
    """Return a definition as HubSpot answers it."""
    founded = stamp(FOUNDED)
    metadata: JsonObject = {
        "archivable": not one.hubspot_defined,
        "readOnlyDefinition": one.hubspot_defined,
        "readOnlyValue": one.read_only,
    }
    if one.type in {"enumeration", "bool"}:
        metadata["readOnlyOptions"] = one.hubspot_defined and _options_fixed(one)
    answer: JsonObject = {
        "name": one.name,
        "label": one.label,
        "type": one.type,
        "fieldType": one.field_type,
        "description": one.description,
        "groupName": one.group,
        "options": [_shown_option(option) for option in one.options],
        **_DEFAULTS,
        "calculated": "calculationFormula" in one.extra,
        "hasUniqueValue": one.unique,
        "hubspotDefined": one.hubspot_defined,
        "modificationMetadata": metadata,
        "createdAt": one.created_at or founded,
        "updatedAt": one.updated_at or founded,
        "archived": one.archived_at is not None,
        **one.extra,
    }
    if one.archived_at is not None:
        answer["archivedAt"] = one.archived_at
    return answer


def users_of(kind: ObjectType, name: str) -> list[str]:
    """Return the calculated properties whose formula names a property."""
    return [
        one.name
        for one in kind.properties.values()
        if name in re.split(r"\W+", str(one.extra.get("calculationFormula", "")))
    ]


def _changed(
    kind: ObjectType, held: Property, content: JsonObject, *, at: str, user: int, new: bool
) -> Property:
    extra = held.extra | _extra(content, new=new) | {"updatedUserId": str(user)}
    type_ = text_of(content, "type", held.type)
    field_type = text_of(content, "fieldType", held.field_type)
    if "calculationFormula" in extra:
        field_type = "calculation_equation"
    if not held.hubspot_defined and field_type not in PAIRS.get(type_, ()):
        raise invalid(f"Property '{held.name}': fieldType {field_type} does not fit type {type_}")
    group = text_of(content, "groupName", held.group)
    if group not in kind.groups:
        raise invalid(f"Property group '{group}' does not exist")
    options = held.options if content.get("options") is None else _options(content["options"])
    made = replace(
        held,
        label=text_of(content, "label", held.label),
        description=text_of(content, "description", held.description),
        type=cast(ValueType, type_),
        field_type=field_type,
        group=group,
        options=options,
        read_only=held.read_only or "calculationFormula" in extra,
        updated_at=at,
        extra=extra,
        before=replace(held, before=None),
    )
    _judge_options(made)
    return made


def _extra(content: JsonObject, *, new: bool) -> JsonObject:
    found = {}
    for name, (type_, later) in _EXTRA.items():
        value = content.get(name)
        if value is None or not (new or later):
            continue
        if not isinstance(value, type_) or (type_ is int and isinstance(value, bool)):
            raise invalid(f"Invalid input JSON: {name} must be of type {type_.__name__}")
        found[name] = value
    return found


def _options(given: object) -> tuple[Option, ...]:
    if not isinstance(given, list):
        raise invalid("Invalid input JSON: options must be a list")
    if len(given) > OPTIONS_MAX:
        raise invalid(f"A property has at most {OPTIONS_MAX} options, not {len(given)}")
    options = tuple(_option(one, order) for order, one in enumerate(given))
    for what in ("value", "label"):
        said = Counter(getattr(option, what) for option in options)
        twice, times = next(iter(said.most_common(1)), ("", 0))
        if times > 1:
            raise invalid(f"Property options must differ: the {what} {twice!r} is there twice")
    return options


def _option(given: object, order: int) -> Option:
    if not isinstance(given, dict):
        raise invalid("Invalid input JSON: each option must be an object")
    demand(given, "label", "value")
    return Option(
        value=text_of(given, "value", ""),
        label=text_of(given, "label", ""),
        display_order=whole_of(given, "displayOrder", order),
        hidden=given.get("hidden") is True,
        description=text_of(given, "description", ""),
    )


def _judge_options(made: Property) -> None:
    """Refuse an enumeration of nothing, and a yes or no without exactly its two options."""
    if "calculationFormula" in made.extra or made.hubspot_defined:
        return
    if made.type == "enumeration" and not made.options and not made.extra.get("externalOptions"):
        raise invalid(f"Property '{made.name}': an enumeration needs options")
    if made.type == "bool" and made.choices != {"true", "false"}:
        raise refused(
            f"Property '{made.name}': a bool needs the options true and false",
            "PropertyValidationError.INVALID_BOOLEAN_OPTION",
        )


def _options_fixed(one: Property) -> bool:
    return one.name in _STAGES or not one.options


def _shown_option(option: Option) -> JsonObject:
    return {
        "label": option.label,
        "value": option.value,
        "description": option.description,
        "displayOrder": option.display_order,
        "hidden": option.hidden,
    }
