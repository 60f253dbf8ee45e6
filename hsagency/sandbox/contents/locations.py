"""The custom object type that every Enterprise portal starts with, and its first records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from zlib import crc32

from hsagency.sandbox.contents.definitions import (
    FIELD_TYPES,
    FIRST_CUSTOM,
    Group,
    ObjectType,
    Option,
    Property,
    ValueType,
    hubspots,
)
from hsagency.sandbox.contents.records import NoSeeds, Seeds
from hsagency.sandbox.contents.stages import DEFAULT_PIPELINES
from hsagency.sandbox.contents.values import Properties
from hsagency.sandbox.portals import FOUNDED, Portal
from hsagency.sandbox.wire import is_number

_CITIES = ("Ghent", "Porto", "Lund", "Graz", "Utrecht", "Leeds", "Malmö", "Basel", "Turku")
_TYPE_ID = f"2-{FIRST_CUSTOM}"
_STAGES = tuple(id_ for id_, _, _ in DEFAULT_PIPELINES[_TYPE_ID][2])


def bare_type(name: str, type_id: str, *, singular: str, plural: str) -> ObjectType:
    """Return a custom object type with what HubSpot itself gives each of them."""
    stamps = ("hs_createdate", "hs_lastmodifieddate", "hs_object_id")
    group = f"{name}_information"
    return ObjectType(
        name=name,
        type_id=type_id,
        singular=singular,
        plural=plural,
        shown=stamps,
        properties={
            one: hubspots(one, group, stamps=stamps)
            for one in (*stamps, "hs_merged_object_ids", "hubspot_owner_id")
        },
        groups={group: Group(group, f"{singular} Information")},
        created="hs_createdate",
        scope="custom",
    )


def with_pipelines(kind: ObjectType) -> None:
    """Add the two properties that a custom type gets with its first pipeline."""
    group = f"{kind.name}_information"
    for name in ("hs_pipeline", "hs_pipeline_stage"):
        if name not in kind.properties:
            kind.properties[name] = replace(hubspots(name, group), options=())


def own_types(portal: Portal) -> Iterator[ObjectType]:
    """Yield the custom types a portal starts with; only Enterprise has custom objects at all."""
    if portal.tier == "enterprise":
        yield _LOCATIONS.copy()


def seeds_for_custom(kind: ObjectType, portal: Portal, *, seed: int, contacts: int) -> Seeds:
    """Return the first records of a custom type; those made over the API start empty."""
    if kind.type_id != _TYPE_ID or not contacts:
        return NoSeeds()
    return SeededLocations(f"{seed}/{portal.portal_id}/locations/", count=3 + contacts // 50)


class SeededLocations:
    """The locations of one portal, a week apart."""

    def __init__(self, text: str, *, count: int) -> None:
        self._text, self.count = text, count

    def make(self, number: int) -> tuple[Properties, datetime]:
        """Return the properties of one record, and when it was created."""
        drawn = crc32(f"{self._text}{number}".encode())
        at = FOUNDED + timedelta(minutes=97 * number)
        return {
            "name": f"{_CITIES[drawn % len(_CITIES)]} {number + 1}",
            "code": f"LOC-{number + 1:04}",
            "kind": ("store", "warehouse", "office")[drawn // 16 % 3],
            "hs_pipeline": DEFAULT_PIPELINES[_TYPE_ID][0],
            "hs_pipeline_stage": _STAGES[drawn // 64 % len(_STAGES)],
        }, at

    def number_of(self, name: str, value: str) -> int | None:
        """Return which record may hold a value of `code`, the unique property."""
        number = value.lower().removeprefix("loc-")
        return int(number) - 1 if name == "code" and is_number(number) and number != "0" else None


def _locations() -> ObjectType:
    kind = bare_type("locations", _TYPE_ID, singular="Location", plural="Locations")
    kind.required = ("name",)
    with_pipelines(kind)
    pipeline, label, stages = DEFAULT_PIPELINES[_TYPE_ID]
    for name, options in (
        ("hs_pipeline", (Option(pipeline, label),)),
        (
            "hs_pipeline_stage",
            tuple(Option(id_, text, order) for order, (id_, text, _) in enumerate(stages)),
        ),
    ):
        kind.properties[name] = replace(kind.properties[name], options=options)
    sorts = tuple(Option(one, one.capitalize()) for one in ("store", "warehouse", "office"))
    own: tuple[tuple[str, ValueType, tuple[Option, ...]], ...] = (
        ("name", "string", ()),
        ("code", "string", ()),
        ("kind", "enumeration", sorts),
    )
    for name, type_, options in own:
        kind.properties[name] = Property(
            name=name,
            label=name.capitalize(),
            type=type_,
            field_type=FIELD_TYPES[type_],
            group="locations_information",
            options=options,
            unique=name == "code",
            hubspot_defined=False,
        )
    return kind


_LOCATIONS = _locations()
