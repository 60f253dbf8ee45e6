"""The official client's classes for schemas of custom object types (facts 7)."""

from __future__ import annotations

import json

import pytest
from hubspot import HubSpot
from hubspot.crm.schemas import (
    ApiException,
    AssociationDefinitionEgg,
    ObjectSchemaEgg,
    ObjectTypeDefinitionLabels,
    ObjectTypeDefinitionPatch,
    ObjectTypePropertyCreate,
)


def egg(name: str = "cars") -> ObjectSchemaEgg:
    return ObjectSchemaEgg(
        name=name,
        labels=ObjectTypeDefinitionLabels(singular="Car", plural="Cars"),
        primary_display_property="plate",
        required_properties=["plate"],
        searchable_properties=[],
        secondary_display_properties=["doors"],
        associated_objects=["CONTACT"],
        properties=[
            ObjectTypePropertyCreate(
                name="plate", label="Plate", type="string", field_type="text", has_unique_value=True
            ),
            ObjectTypePropertyCreate(
                name="doors", label="Doors", type="number", field_type="number"
            ),
        ],
    )


def test_a_type_is_created_read_changed_and_archived(enterprise: HubSpot) -> None:
    core = enterprise.crm.schemas.core_api
    made = core.create(egg())
    assert made.fully_qualified_name.endswith("_cars")
    assert {one.name for one in made.properties} >= {"plate", "doors", "hs_createdate"}
    patch = ObjectTypeDefinitionPatch(
        description="What they drive", secondary_display_properties=[], clear_description=False
    )
    assert core.update("cars", patch).description == "What they drive"
    found = core.get_by_id(made.object_type_id)
    assert (found.primary_display_property, found.secondary_display_properties) == ("plate", [])
    assert [one.name for one in core.get_all().results] == ["locations", "cars"]
    core.archive("cars")
    assert [one.archived for one in core.get_all(archived=True).results] == [False, True]
    core.archive(made.object_type_id, archived=True)
    assert len(core.get_all(archived=True).results) == 1


def test_a_type_is_associated_with_another(enterprise: HubSpot) -> None:
    core = enterprise.crm.schemas.core_api
    made = core.create(egg())
    assert {one.to_object_type_id for one in made.associations} == {made.object_type_id, "0-1"}
    link = core.create_association(
        "cars",
        AssociationDefinitionEgg(
            from_object_type_id=made.object_type_id, to_object_type_id="0-3", name="car_to_deal"
        ),
    )
    names = {one.name for one in core.get_by_id("cars").associations}
    assert "car_to_deal" in names
    core.archive_association("cars", link.id)
    with pytest.raises(ApiException) as caught:
        core.archive_association("cars", link.id)
    assert caught.value.status == 404


def test_what_is_wrong_or_not_there_is_refused(enterprise: HubSpot) -> None:
    core = enterprise.crm.schemas.core_api
    nothing = ObjectTypeDefinitionPatch(clear_description=False)
    nowhere = AssociationDefinitionEgg(from_object_type_id="0-1", to_object_type_id="0-2")
    for status, ask in (
        (404, lambda: core.get_by_id("cars")),
        (400, lambda: core.update("cars", nothing)),
        (400, lambda: core.archive("cars")),
        (400, lambda: core.archive("locations", archived=True)),
        (400, lambda: core.archive("locations")),
        (400, lambda: core.create(egg("2fast"))),
        (409, lambda: core.create(egg("locations"))),
        (400, lambda: core.create_association("locations", nowhere)),
    ):
        with pytest.raises(ApiException) as caught:
            ask()
        assert caught.value.status == status


def test_a_portal_without_enterprise_has_no_custom_types(hubspot: HubSpot) -> None:
    core = hubspot.crm.schemas.core_api
    for ask in (core.get_all, lambda: core.create(egg())):
        with pytest.raises(ApiException) as caught:
            ask()
        assert caught.value.status == 403
        assert json.loads(caught.value.body)["category"] == "MISSING_SCOPES"
