"""Batches of every type through the official client's generated classes (facts 4.2 and 7)."""

from __future__ import annotations

from typing import Any

import pytest
from hubspot import HubSpot
from hubspot.crm.properties import PropertyCreate

from tests.sandbox.official.test_records import KINDS, Family


@pytest.fixture(params=KINDS)
def family(hubspot: HubSpot, request: pytest.FixtureRequest) -> Family:
    return Family(hubspot, request.param)


def named(family: Family, *ids: str) -> list[Any]:
    return [family.models.SimplePublicObjectId(id=id_) for id_ in ids]


def read(family: Family, *ids: str, **more: Any) -> Any:
    return family.batch.read(
        family.models.BatchReadInputSimplePublicObjectId(
            inputs=named(family, *ids),
            properties=[family.name],
            properties_with_history=[],
            **more,
        )
    )


def create(family: Family, *inputs: dict[str, Any]) -> Any:
    models = family.models
    new = [
        models.SimplePublicObjectBatchInputForCreate(**{"associations": [], **one})
        for one in inputs
    ]
    return family.batch.create(models.BatchInputSimplePublicObjectBatchInputForCreate(inputs=new))


def test_a_batch_lives_from_create_to_archive(family: Family) -> None:
    models = family.models
    made = create(family, *({"properties": {family.name: value}} for value in "ab"))
    assert (type(made), made.status) == (models.BatchResponseSimplePublicObject, "COMPLETE")
    ids = [one.id for one in made.results]
    changes = [
        models.SimplePublicObjectBatchInput(id=id_, properties={family.name: "c"}) for id_ in ids
    ]
    changed = family.batch.update(models.BatchInputSimplePublicObjectBatchInput(inputs=changes))
    assert [one.properties[family.name] for one in changed.results] == ["c", "c"]
    assert [one.id for one in read(family, *ids).results] == ids
    gone = models.BatchInputSimplePublicObjectId(inputs=named(family, *ids))
    assert [family.batch.archive(gone) for _ in range(2)] == [None, None]
    assert read(family, *ids).results == []


def test_ids_that_lead_nowhere_are_told_apart(family: Family) -> None:
    found = read(family, "101", "7")
    assert type(found) is family.models.BatchResponseSimplePublicObjectWithErrors
    assert ([one.id for one in found.results], found.num_errors) == (["101"], 1)
    (error,) = found.errors
    assert (error.category, error.context) == ("OBJECT_NOT_FOUND", {"ids": ["7"]})
    missing = family.models.SimplePublicObjectBatchInput(id="7", properties={family.name: "c"})
    changed = family.batch.update(
        family.models.BatchInputSimplePublicObjectBatchInput(inputs=[missing])
    )
    assert (changed.results, changed.errors[0].context) == ([], {"ids": ["7"]})


def test_a_bad_input_refuses_all_or_is_told_with_its_trace_id(family: Family) -> None:
    good, bad = {"properties": {family.name: "a"}}, {"properties": {"shoesize": "44"}}
    with pytest.raises(family.models.ApiException) as caught:
        create(family, good, bad)
    assert (caught.value.status, "PROPERTY_DOESNT_EXIST" in caught.value.body) == (400, True)
    traced = [{**one, "object_write_trace_id": str(n)} for n, one in enumerate((good, bad))]
    made = create(family, *traced)
    assert type(made) is family.models.BatchResponseSimplePublicObjectWithErrors
    assert (len(made.results), made.num_errors) == (1, 1)
    (error,) = made.errors
    assert error.context == {"objectWriteTraceId": ["1"]}
    assert error.errors[0].code == "PROPERTY_DOESNT_EXIST"


def add_reference(hubspot: HubSpot, kind: str) -> None:
    """Give a type a property whose values belong to one record each."""
    group = hubspot.crm.properties.groups_api.get_all(kind).results[0].name
    hubspot.crm.properties.core_api.create(
        kind,
        PropertyCreate(
            name="reference",
            label="Reference",
            type="string",
            field_type="text",
            group_name=group,
            has_unique_value=True,
        ),
    )


def test_an_upsert_says_what_is_new(hubspot: HubSpot, family: Family) -> None:
    add_reference(hubspot, family.kind)
    models = family.models

    def upsert(id_property: str) -> list[bool]:
        one = models.SimplePublicObjectBatchInputUpsert(
            id="R-1", id_property=id_property, properties={family.name: "a"}
        )
        batch = models.BatchInputSimplePublicObjectBatchInputUpsert(inputs=[one])
        return [result.new for result in family.batch.upsert(batch).results]

    assert upsert("reference") == [True]
    assert upsert("reference") == [False]
    assert [one.id for one in read(family, "r-1", id_property="reference").results] != []
    with pytest.raises(models.ApiException) as caught:
        upsert(family.name)
    assert (caught.value.status, "non-unique" in caught.value.body) == (400, True)


def test_more_than_a_hundred_inputs_are_an_api_exception(family: Family) -> None:
    with pytest.raises(family.models.ApiException) as caught:
        read(family, *(str(n) for n in range(101)))
    assert caught.value.status == 400


def test_custom_objects_are_read_and_written_in_batches(enterprise: HubSpot) -> None:
    from hubspot.crm import objects as models

    batch = enterprise.crm.objects.batch_api
    new = models.SimplePublicObjectBatchInputForCreate(
        properties={"name": "Depot", "code": "ULM-1"}, associations=[]
    )
    body = models.BatchInputSimplePublicObjectBatchInputForCreate(inputs=[new])
    (made,) = batch.create("locations", body).results
    asked = models.BatchReadInputSimplePublicObjectId(
        inputs=[models.SimplePublicObjectId(id="ULM-1")],
        id_property="code",
        properties=["name"],
        properties_with_history=["name"],
    )
    (found,) = batch.read("locations", asked).results
    assert (found.id, found.properties["name"]) == (made.id, "Depot")
    one = models.SimplePublicObjectBatchInputUpsert(
        id="ULM-1", id_property="code", properties={"name": "Store"}
    )
    (kept,) = batch.upsert(
        "locations", models.BatchInputSimplePublicObjectBatchInputUpsert(inputs=[one])
    ).results
    assert (kept.id, kept.new) == (made.id, False)
    change = models.SimplePublicObjectBatchInput(id=made.id, properties={"name": "Shed"})
    (changed,) = batch.update(
        "locations", models.BatchInputSimplePublicObjectBatchInput(inputs=[change])
    ).results
    assert changed.properties["name"] == "Shed"
    gone = models.BatchInputSimplePublicObjectId(inputs=[models.SimplePublicObjectId(id=made.id)])
    assert batch.archive("locations", gone) is None
