"""Records of every type through the official client's generated classes, one by one (facts 7)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from hubspot import HubSpot

from hsagency.sandbox import Fault, Sandbox

# The type, and a property to write.
KINDS = {
    "contacts": "city",
    "companies": "city",
    "deals": "dealname",
    "tickets": "subject",
    "products": "name",
    "line_items": "name",
}
MERGED = ("contacts", "companies", "deals", "tickets")


class Family:
    """One type of records: its three classes of calls, its models and its exception."""

    def __init__(self, hubspot: HubSpot, kind: str) -> None:
        self.kind = kind
        self.name = KINDS[kind]
        self.calls = calls = getattr(hubspot.crm, kind)
        self.basic, self.batch, self.search = calls.basic_api, calls.batch_api, calls.search_api
        self.models: Any = import_module(f"hubspot.crm.{kind}")

    def new(self, value: str, **more: str) -> Any:
        properties = {self.name: value, **more}
        return self.models.SimplePublicObjectInputForCreate(properties=properties, associations=[])


@pytest.fixture(params=KINDS)
def family(hubspot: HubSpot, request: pytest.FixtureRequest) -> Family:
    return Family(hubspot, request.param)


def test_a_record_lives_from_create_to_archive(family: Family) -> None:
    basic = family.basic
    made = basic.create(family.new("Ulm"))
    assert made.properties[family.name] == "Ulm"
    read = basic.get_by_id(made.id, properties=[family.name], archived=False)
    assert (read.id, read.properties[family.name], read.archived) == (made.id, "Ulm", False)
    change = family.models.SimplePublicObjectInput(properties={family.name: "Bern"})
    assert basic.update(made.id, change).properties[family.name] == "Bern"
    history = basic.get_by_id(made.id, properties_with_history=[family.name])
    values = history.properties_with_history[family.name]
    assert [one.value for one in values] == ["Bern", "Ulm"]
    assert values[0].timestamp >= values[1].timestamp
    assert basic.archive(made.id) is None
    with pytest.raises(family.models.ApiException) as caught:
        basic.get_by_id(made.id)
    assert (caught.value.status, "OBJECT_NOT_FOUND" in caught.value.body) == (404, True)
    gone = basic.get_by_id(made.id, archived=True)
    assert (gone.archived, gone.archived_at is not None) == (True, True)


def test_all_pages_are_all_records(family: Family) -> None:
    for value in ("a", "b", "c"):
        family.basic.create(family.new(value))
    first = family.basic.get_page(limit=2, properties=[family.name])
    ids, page = [one.id for one in first.results], first
    while page.paging:
        page = family.basic.get_page(limit=2, after=page.paging.next.after)
        ids += [one.id for one in page.results]
    everyone = family.basic.get_page(limit=100).results
    assert ids == [one.id for one in everyone]
    assert ids[-3:] == sorted(ids[-3:], key=int)
    assert ids == [one.id for one in family.calls.get_all()]


def test_a_record_that_cannot_be_is_an_api_exception(family: Family) -> None:
    bad = family.models.SimplePublicObjectInputForCreate(
        properties={"shoesize": "44"}, associations=[]
    )
    for attempt, status in (
        (lambda: family.basic.create(bad), 400),
        (lambda: family.basic.update("101", bad), 400),
        (lambda: family.basic.update("7", bad), 404),
        (lambda: family.basic.archive("7"), 404),
        (lambda: family.basic.get_page(limit=101), 400),
        (lambda: family.basic.get_by_id("101", id_property="shoesize"), 400),
    ):
        with pytest.raises(family.models.ApiException) as caught:
            attempt()
        assert caught.value.status == status
        assert "correlationId" in caught.value.body


def test_a_contact_is_read_changed_and_found_by_its_address(hubspot: HubSpot) -> None:
    family = Family(hubspot, "contacts")
    email = family.basic.get_by_id("151").properties["email"]
    assert family.basic.get_by_id(email, id_property="email").id == "151"
    change = family.models.SimplePublicObjectInput(properties={"city": "Ulm"})
    assert family.basic.update(email, change, id_property="email").id == "151"
    with pytest.raises(family.models.ApiException) as caught:
        family.basic.create(family.new("Ulm", email=email))
    assert (caught.value.status, "Existing ID: 151" in caught.value.body) == (409, True)


def test_a_record_is_made_with_its_associations(hubspot: HubSpot) -> None:
    family = Family(hubspot, "contacts")
    models = family.models
    way = models.AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=4)
    link = models.PublicAssociationsForObject(types=[way], to=models.PublicObjectId(id="101"))
    made = family.basic.create(
        models.SimplePublicObjectInputForCreate(properties={"city": "Ulm"}, associations=[link])
    )
    (found,) = family.basic.get_by_id(made.id, associations=["deals"]).associations["deals"].results
    assert (found.id, found.type) == ("101", "contact_to_deal")


@pytest.mark.parametrize("kind", MERGED)
def test_two_records_are_merged(hubspot: HubSpot, kind: str) -> None:
    family = Family(hubspot, kind)
    pair = family.models.PublicMergeInput(primary_object_id="101", object_id_to_merge="151")
    assert family.basic.merge(pair).id == "101"
    assert family.basic.get_by_id("151").id == "101"
    with pytest.raises(family.models.ApiException) as caught:
        family.basic.merge(pair)
    assert caught.value.status == 400


def test_a_contact_is_deleted_for_good(hubspot: HubSpot) -> None:
    family = Family(hubspot, "contacts")
    models, basic = family.models, family.basic
    assert basic.purge(models.PublicGdprDeleteInput(object_id="151")) is None
    with pytest.raises(models.ApiException) as caught:
        basic.get_by_id("151", archived=True)
    assert caught.value.status == 404
    typo = models.PublicGdprDeleteInput(object_id="typo@example.com", id_property="email")
    assert basic.purge(typo) is None
    with pytest.raises(models.ApiException) as caught:
        basic.create(family.new("Ulm", email="typo@example.com"))
    assert caught.value.status == 400


def test_a_custom_object_lives_from_create_to_archive(enterprise: HubSpot) -> None:
    models: Any = import_module("hubspot.crm.objects")
    basic = enterprise.crm.objects.basic_api
    new = models.SimplePublicObjectInputForCreate(
        properties={"name": "Depot", "code": "ULM-1"}, associations=[]
    )
    made = basic.create("locations", new)
    assert basic.get_by_id("2-2000001", "ULM-1", id_property="code").id == made.id
    change = models.SimplePublicObjectInput(properties={"name": "Store"})
    assert basic.update("p_locations", made.id, change).properties["name"] == "Store"
    assert basic.get_page("locations", limit=100).results[-1].id == made.id
    assert basic.archive("locations", made.id) is None
    with pytest.raises(models.ApiException) as caught:
        basic.get_by_id("unicorns", made.id)
    assert caught.value.status == 400


def test_a_missing_scope_is_an_api_exception(family: Family, sandbox: Sandbox) -> None:
    sandbox.set_scopes(sandbox.portals[0].portal_id, set())
    with pytest.raises(family.models.ApiException) as caught:
        family.basic.get_by_id("101")
    assert (caught.value.status, "MISSING_SCOPES" in caught.value.body) == (403, True)


def test_a_server_error_is_an_api_exception_and_writes_nothing(
    hubspot: HubSpot, sandbox: Sandbox
) -> None:
    family = Family(hubspot, "contacts")
    sandbox.faults.add(Fault(kind="status", status=502, method="POST", times=1))
    with pytest.raises(family.models.ApiException) as caught:
        family.basic.create(family.new("Ulm"))
    assert caught.value.status == 502
    assert len(family.basic.get_page(limit=100).results) == 12
