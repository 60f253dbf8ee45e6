"""The official client's classes for properties and groups (facts 7)."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hubspot import HubSpot
from hubspot.crm.properties import (
    ApiException,
    BatchInputPropertyCreate,
    BatchInputPropertyName,
    BatchReadInputPropertyName,
    OptionInput,
    PropertyCreate,
    PropertyGroupCreate,
    PropertyGroupUpdate,
    PropertyName,
    PropertyUpdate,
)

from hsagency.sandbox import Sandbox

NOON = datetime(2026, 10, 14, 12, tzinfo=UTC)


def text(name: str) -> PropertyCreate:
    return PropertyCreate(
        name=name,
        label=name.capitalize(),
        type="string",
        field_type="text",
        group_name="companyinformation",
    )


def choice(name: str) -> PropertyCreate:
    options = [
        OptionInput(label="Gold", value="gold", hidden=False),
        OptionInput(label="Tin", value="tin", hidden=True, display_order=7, description="Cheap"),
    ]
    return PropertyCreate(
        name=name,
        label="Tier",
        type="enumeration",
        field_type="radio",
        group_name="companyinformation",
        options=options,
        form_field=True,
    )


def test_a_property_is_defined_read_changed_and_archived(
    hubspot: HubSpot, sandbox: Sandbox
) -> None:
    core = hubspot.crm.properties.core_api
    made = core.create("companies", choice("tier"))
    assert (made.created_at, made.archived, made.hubspot_defined) == (NOON, False, False)
    assert made.created_user_id == str(sandbox.portals[0].credential.user_id)
    assert made.modification_metadata.archivable is True
    assert made.modification_metadata.read_only_options is False
    assert [(one.value, one.display_order, one.hidden) for one in made.options] == [
        ("gold", 0, False),
        ("tin", 7, True),
    ]
    core.update("companies", "tier", PropertyUpdate(label="Level", hidden=True))
    found = core.get_by_name("companies", "tier", archived=False)
    assert (found.label, found.hidden, found.form_field) == ("Level", True, True)
    core.archive("companies", "tier")
    gone = core.get_by_name("companies", "tier", archived=True)
    assert (gone.archived, gone.archived_at) == (True, NOON)
    assert "tier" not in {one.name for one in core.get_all("companies").results}
    assert [one.name for one in core.get_all("companies", archived=True).results] == ["tier"]


def test_every_property_of_every_type_can_be_read(hubspot: HubSpot) -> None:
    core = hubspot.crm.properties.core_api
    for kind in ("contacts", "companies", "deals", "tickets", "products", "line_items"):
        for one in core.get_all(kind).results:
            assert core.get_by_name(kind, one.name).hubspot_defined is True


@pytest.mark.parametrize(
    ("change", "status"),
    [({"name": "name"}, 409), ({"name": "Tier"}, 400), ({"group_name": "nowhere"}, 400)],
)
def test_a_definition_is_refused(hubspot: HubSpot, change: dict, status: int) -> None:
    wrong = text("tier")
    for name, value in change.items():
        setattr(wrong, name, value)
    with pytest.raises(ApiException) as caught:
        hubspot.crm.properties.core_api.create("companies", wrong)
    assert caught.value.status == status
    assert json.loads(caught.value.body)["correlationId"]


def test_what_hubspot_defines_is_not_archived_and_what_is_not_there_is_a_404(
    hubspot: HubSpot,
) -> None:
    core = hubspot.crm.properties.core_api
    with pytest.raises(ApiException) as caught:
        core.archive("companies", "name")
    assert caught.value.status == 400
    for ask in (
        lambda: core.get_by_name("companies", "tier"),
        lambda: core.archive("companies", "tier"),
        lambda: core.update("companies", "tier", PropertyUpdate(label="Level")),
    ):
        with pytest.raises(ApiException) as caught:
            ask()
        assert (caught.value.status, json.loads(caught.value.body)["category"]) == (
            404,
            "OBJECT_NOT_FOUND",
        )


def test_a_batch_is_created_read_and_archived(hubspot: HubSpot) -> None:
    batch = hubspot.crm.properties.batch_api
    made = batch.create("0-2", BatchInputPropertyCreate(inputs=[text("a"), choice("b")]))
    assert (made.status, [one.name for one in made.results]) == ("COMPLETE", ["a", "b"])
    both = BatchReadInputPropertyName(
        archived=False, inputs=[PropertyName(name="a"), PropertyName(name="b")]
    )
    assert len(batch.read("0-2", both).results) == 2
    batch.archive("0-2", BatchInputPropertyName(inputs=both.inputs))
    archived = BatchReadInputPropertyName(archived=True, inputs=both.inputs)
    assert {one.archived for one in batch.read("0-2", archived).results} == {True}


def test_a_batch_that_failed_in_part_says_which(hubspot: HubSpot) -> None:
    batch = hubspot.crm.properties.batch_api
    made = batch.create("0-2", BatchInputPropertyCreate(inputs=[text("a"), text("name")]))
    assert (made.num_errors, [one.name for one in made.results]) == (1, ["a"])
    assert made.errors[0].context == {"name": ["name"]}
    asked = BatchReadInputPropertyName(archived=False, inputs=[PropertyName(name="nonsense")])
    assert batch.read("0-2", asked).errors[0].category == "OBJECT_NOT_FOUND"
    with pytest.raises(ApiException) as caught:
        batch.archive("0-2", BatchInputPropertyName(inputs=[PropertyName(name="name")]))
    assert caught.value.status == 400


def test_a_group_is_created_read_changed_and_archived(hubspot: HubSpot) -> None:
    groups = hubspot.crm.properties.groups_api
    made = groups.create("companies", PropertyGroupCreate(name="sales", label="Sales"))
    assert (made.name, made.display_order, made.archived) == ("sales", -1, False)
    groups.update("companies", "sales", PropertyGroupUpdate(label="Selling", display_order=2))
    assert groups.get_by_name("companies", "sales").label == "Selling"
    assert len(groups.get_all("companies").results) == 2
    groups.archive("companies", "sales")
    assert len(groups.get_all("companies").results) == 1


def test_a_group_is_refused(hubspot: HubSpot) -> None:
    groups = hubspot.crm.properties.groups_api
    for status, ask in (
        (404, lambda: groups.get_by_name("companies", "sales")),
        (404, lambda: groups.update("companies", "sales", PropertyGroupUpdate(label="x"))),
        (404, lambda: groups.archive("companies", "sales")),
        (400, lambda: groups.archive("companies", "companyinformation")),
        (
            409,
            lambda: groups.create(
                "companies", PropertyGroupCreate(name="companyinformation", label="x")
            ),
        ),
    ):
        with pytest.raises(ApiException) as caught:
            ask()
        assert caught.value.status == status
