"""
Schemas of custom object types.

Facts 2.2, 4.3, 5.1, 5.2 and 6 give the paths, the limit, the lag, the purge and the scopes. Where
they are silent the tests rest on what others observed on a developer test account in October
2026 ("observed elsewhere"), or say that they rest on documents or on an assumption.
"""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.sandbox import Clock, Fault, Request, Sandbox

OLD, OTHER, DATED = (
    "/crm/v3/schemas",
    "/crm-object-schemas/v3/schemas",
    "/crm-object-schemas/2026-09/schemas",
)
FORMS = [OLD, OTHER, "/crm-object-schemas/2026-03/schemas", DATED]
CARS = {
    "name": "cars",
    "labels": {"singular": "Car", "plural": "Cars"},
    "primaryDisplayProperty": "plate",
    "requiredProperties": ["plate"],
    "searchableProperties": ["plate"],
    "properties": [
        {"name": "plate", "label": "Plate", "type": "string", "fieldType": "text",
         "hasUniqueValue": True},
        {"name": "doors", "label": "Doors", "type": "number", "fieldType": "number"},
    ],
    "associatedObjects": ["contacts", "0-2"],
}  # fmt: skip
NOON = datetime(2026, 10, 14, 12, tzinfo=UTC)


@pytest.fixture
def client(sandbox: Sandbox, inside):
    """The second portal, which has an Enterprise subscription."""
    return inside(sandbox, sandbox.portals[1].token)


def names(client, **params: str) -> list[str]:
    return [one["name"] for one in client.get(DATED, params=params).json()["results"]]


@pytest.mark.parametrize("path", FORMS)
def test_a_type_lives_from_creation_to_purge(client, path: str) -> None:
    """Facts 5.1 and 5.2. From documents alone."""
    made = client.post(path, json=CARS)
    assert made.status_code == 201
    type_id = made.json()["objectTypeId"]
    assert made.json()["requiredProperties"] == ["plate"]
    assert {one["name"] for one in made.json()["properties"]} >= {"plate", "doors", "hs_object_id"}
    changed = client.patch(f"{path}/cars", json={"labels": {"plural": "Motors"}, "name": "x"})
    assert changed.status_code == 200
    assert "properties" not in changed.json()
    assert changed.json()["labels"] == {"singular": "Car", "plural": "Motors"}
    assert client.get(f"{path}/cars").json()["labels"]["plural"] == "Motors"
    assert client.delete(f"{path}/{type_id}", params={"archived": "true"}).status_code == 400
    assert client.delete(f"{path}/{type_id}").status_code == 204
    assert client.get(f"{path}/cars").status_code == 404
    listed = client.get(path, params={"archived": "true"}).json()["results"]
    assert [(one["name"], one["archived"]) for one in listed] == [
        ("locations", False),
        ("cars", True),
    ]
    assert client.delete(f"{path}/{type_id}", params={"archived": "true"}).status_code == 204
    assert names(client, archived="true") == ["locations"]


def test_a_type_is_found_by_each_of_its_names(client, sandbox: Sandbox) -> None:
    """Facts 5.1. From documents alone."""
    made = client.post(DATED, json=CARS).json()
    qualified = f"p{sandbox.portals[1].portal_id}_cars"
    assert made["fullyQualifiedName"] == qualified
    for name in ("cars", qualified, "p_cars", made["objectTypeId"]):
        assert client.get(f"{DATED}/{name}").json()["id"] == made["id"]
        assert client.get(f"/crm/v3/objects/{name}").status_code == 200
    assert client.get(f"{DATED}/p1_cars").status_code == 404
    assert client.get(f"{DATED}/2-999").status_code == 404


def test_records_of_a_new_type_go_by_its_schema(client) -> None:
    """Facts 4.2 for the required property, 5.3 for the unique one. From documents alone."""
    client.post(DATED, json=CARS)
    cars = "/crm/objects/2026-09/cars"
    refused = client.post(cars, json={"properties": {"doors": "5"}})
    assert "MISSING_REQUIRED_PROPERTY" in refused.text
    made = client.post(cars, json={"properties": {"plate": "HH-1", "doors": 5}})
    assert made.status_code == 201
    found = client.get(f"{cars}/HH-1", params={"idProperty": "plate", "properties": "doors"})
    assert set(found.json()["properties"]) == {
        "doors",
        "hs_createdate",
        "hs_lastmodifieddate",
        "hs_object_id",
    }
    client.patch(f"{DATED}/cars", json={"requiredProperties": []})
    assert client.post(cars, json={"properties": {"doors": "5"}}).status_code == 201


def test_a_type_with_records_is_not_deleted(client) -> None:
    """Facts 5.2; the body was observed elsewhere, and so was that archived records do not count."""
    client.post(DATED, json=CARS)
    car = client.post("/crm/v3/objects/cars", json={"properties": {"plate": "HH-1"}}).json()
    refused = client.delete(f"{DATED}/cars").json()
    assert refused["subCategory"] == "ObjectSchemaError.EXISTING_OBJECT_RECORDS"
    client.delete(f"/crm/v3/objects/cars/{car['id']}")
    assert client.delete(f"{DATED}/cars").status_code == 204
    for path in ("objects", "properties", "pipelines"):
        assert client.get(f"/crm/v3/{path}/cars").status_code == 400


def test_the_name_of_an_archived_type_makes_a_new_one_and_purges_the_old(client) -> None:
    """Observed elsewhere."""
    first = client.post(DATED, json=CARS).json()["objectTypeId"]
    car = client.post("/crm/v3/objects/cars", json={"properties": {"plate": "HH-1"}}).json()
    client.delete(f"/crm/v3/objects/cars/{car['id']}")
    client.delete(f"{DATED}/cars")
    second = client.post(DATED, json=CARS | {"name": "Cars"}).json()["objectTypeId"]
    assert second != first
    assert names(client, archived="true") == ["locations", "Cars"]
    gone = client.get("/crm/v3/objects/Cars", params={"archived": "true"}).json()
    assert gone["results"] == []


def test_a_bare_type_needs_no_more_than_a_name_labels_and_what_to_show(client) -> None:
    """Observed elsewhere."""
    bare = {"name": "Trip_2", "labels": CARS["labels"], "primaryDisplayProperty": "hs_object_id"}
    made = client.post(DATED, json=bare | {"searchableProperties": []}).json()
    assert made["searchableProperties"] == ["hs_object_id"]
    assert (made["requiredProperties"], made["associations"]) == ([], [])
    groups = client.get("/crm/v3/properties/Trip_2/groups").json()["results"]
    assert groups[0] | {"displayOrder": 0} == {
        "name": "Trip_2_information",
        "label": "Car Information",
        "displayOrder": 0,
        "archived": False,
    }


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ({"name": None}, 400, "name"),
        ({"name": "2fast"}, 400, "not valid"),
        ({"name": "c" * 51}, 400, "not valid"),
        ({"name": "LOCATIONS"}, 409, "already exists"),
        ({"name": "contacts"}, 409, "already exists"),
        ({"name": "Line_item"}, 409, "already exists"),
        ({"labels": None}, 400, "labels"),
        ({"labels": "Cars"}, 400, "labels"),
        ({"labels": {"singular": "Car"}}, 400, "label"),
        ({"labels": {"singular": "Car", "plural": "s" * 51}}, 400, "label"),
        ({"primaryDisplayProperty": None}, 400, "primary display"),
        ({"primaryDisplayProperty": "colour"}, 400, "colour"),
        ({"requiredProperties": ["colour"]}, 400, "colour"),
        ({"searchableProperties": ["colour"]}, 400, "colour"),
        ({"searchableProperties": "plate"}, 400, "list"),
        ({"secondaryDisplayProperties": ["plate", "doors", "hs_object_id"]}, 400, "2 secondary"),
        ({"associatedObjects": ["unicorns"]}, 400, "unicorns"),
        ({"properties": ["plate"]}, 400, "objects"),
        ({"properties": [{"name": "plate"}]}, 400, "required fields"),
    ],
)
def test_a_type_that_makes_no_sense_is_refused(client, change, status: int, word: str) -> None:
    """Observed elsewhere for names, labels and what is shown; the rest is from documents."""
    refused = client.post(DATED, json=CARS | change)
    assert refused.status_code == status
    assert word in refused.json()["message"]
    assert names(client) == ["locations"]


def test_a_change_that_makes_no_sense_is_refused(client) -> None:
    """Observed elsewhere."""
    for body in ({"primaryDisplayProperty": "colour"}, {"labels": {"singular": ""}}):
        assert client.patch(f"{DATED}/locations", json=body).status_code == 400
    for name in ("unicorns", "contacts"):
        assert client.patch(f"{DATED}/{name}", json={}).status_code == 400
        assert client.delete(f"{DATED}/{name}").status_code == 400
        assert client.post(f"{DATED}/{name}/associations", json={}).status_code == 400


def test_a_description_stays_until_it_is_cleared(client) -> None:
    """From documents alone."""
    path = f"{DATED}/locations"
    client.patch(path, json={"description": "Where they sell"})
    assert client.patch(path, json={}).json()["description"] == "Where they sell"
    assert "description" not in client.patch(path, json={"clearDescription": True}).json()


def test_what_a_schema_requires_cannot_be_archived(client) -> None:
    """An assumption: HubSpot refuses to archive what something uses."""
    refused = client.delete("/crm/v3/properties/locations/name").json()
    assert refused["subCategory"] == "PropertyValidationError.CANNOT_DELETE_PROPERTY_IN_USE"
    assert client.delete("/crm/v3/properties/locations/kind").status_code == 204
    schema = client.get(f"{DATED}/locations").json()
    assert "kind" not in {one["name"] for one in schema["properties"]}


@pytest.mark.parametrize("path", FORMS)
def test_a_type_is_associated_with_others_in_both_directions(client, path: str) -> None:
    """
    Facts 5.1; the ids are those that the associations API knows the same ways by.

    From documents alone.
    """
    cars = client.post(path, json=CARS).json()
    type_id = cars["objectTypeId"]
    pairs = {(one["fromObjectTypeId"], one["toObjectTypeId"]) for one in cars["associations"]}
    assert pairs == {(type_id, "0-1"), ("0-1", type_id), (type_id, "0-2"), ("0-2", type_id)}
    made = client.post(
        f"{path}/cars/associations",
        json={"fromObjectTypeId": type_id, "toObjectTypeId": "0-3", "name": "car_to_deal"},
    )
    assert made.status_code == 201
    assert made.json()["name"] == "car_to_deal"
    labels = client.get("/crm/v4/associations/cars/deals/labels").json()["results"]
    assert [str(one["typeId"]) for one in labels] == [made.json()["id"]]
    one = f"{path}/cars/associations/{made.json()['id']}"
    assert client.delete(one).status_code == 204
    assert client.delete(one).status_code == 404
    assert len(client.get(f"{path}/cars").json()["associations"]) == 4


def test_an_association_of_a_type_has_that_type_at_one_end(client) -> None:
    """An assumption."""
    for body in (
        {"fromObjectTypeId": "0-1", "toObjectTypeId": "0-2"},
        {"fromObjectTypeId": "2-2000001", "toObjectTypeId": "9-9"},
        {"fromObjectTypeId": "2-2000001"},
    ):
        path = f"{DATED}/locations/associations"
        assert client.post(path, json=body).status_code == 400


def test_a_label_shows_in_the_schema_by_its_name_and_can_be_taken_back_there(client) -> None:
    """Observed elsewhere."""
    client.post(DATED, json=CARS)
    path = "/crm/associations/2026-09/cars/contacts/labels"
    made = client.post(path, json={"label": "Driver", "name": "driver"})
    assert made.status_code in {200, 201}
    found = client.get(f"{DATED}/cars").json()["associations"]
    driver = next(one for one in found if one["name"] == "driver")
    assert client.delete(f"{DATED}/cars/associations/{driver['id']}").status_code == 204
    assert "driver" not in {
        one["name"] for one in client.get(f"{DATED}/cars").json()["associations"]
    }


def test_the_schema_of_a_type_of_hubspots_own_can_be_read(client) -> None:
    """Observed elsewhere, for its associations and their names."""
    found = client.get(f"{DATED}/contacts").json()
    assert (found["objectTypeId"], found["fullyQualifiedName"]) == ("0-1", "CONTACT")
    assert "contact_to_deal" in {one["name"] for one in found["associations"]}


def test_a_list_can_do_without_properties(client) -> None:
    """Observed elsewhere."""
    listed = client.get(DATED, params={"includePropertyDefinitions": "false"}).json()["results"]
    assert [(one["name"], one["properties"]) for one in listed] == [("locations", [])]


def test_several_schemas_are_read_at_once_on_dated_paths(client) -> None:
    """Facts 5.1. From documents alone."""
    path = f"{DATED}/batch/read"
    both = client.post(path, json={"inputs": [{"id": "locations"}, {"id": "2-2000001"}]})
    assert both.status_code == 200
    assert [one["name"] for one in both.json()["results"]] == ["locations", "locations"]
    some = client.post(path, json={"inputs": [{"id": "locations"}, {"id": "cars"}]})
    assert (some.status_code, some.json()["numErrors"]) == (207, 1)
    assert client.post(f"{OTHER}/batch/read", json={"inputs": []}).status_code in {404, 405}


def test_a_read_lags_behind_a_write_when_it_is_told_to(client, sandbox: Sandbox) -> None:
    """Facts 4.3: up to about 70 seconds. Observed by others."""
    client.post(DATED, json=CARS)
    sandbox.clock.advance(100)
    sandbox.faults.add(Fault("lag", seconds=70, path="/crm-object-schemas"))
    assert client.get(f"{DATED}/cars").json()["labels"]["plural"] == "Cars"
    client.patch(f"{DATED}/cars", json={"labels": {"plural": "Motors"}})
    client.post(DATED, json=CARS | {"name": "bikes"})
    assert client.get(f"{DATED}/cars").json()["labels"]["plural"] == "Cars"
    assert client.get(f"{DATED}/bikes").status_code == 404
    assert names(client) == ["locations", "cars"]
    sandbox.clock.advance(70)
    assert client.get(f"{DATED}/cars").json()["labels"]["plural"] == "Motors"
    assert names(client) == ["locations", "cars", "bikes"]


def test_the_name_of_a_new_label_comes_late_to_the_schema(client, sandbox: Sandbox) -> None:
    """Facts 4.3: about five minutes. Observed by others."""
    sandbox.faults.add(Fault("lag", seconds=300, path="/crm-object-schemas"))
    path = "/crm/associations/2026-09/contacts/companies/labels"
    client.post(path, json={"label": "Adviser", "name": "adviser"})
    seen = client.get(f"{DATED}/contacts").json()["associations"]
    assert [one for one in seen if one.get("name") == "adviser"] == []
    assert len([one for one in seen if "name" not in one]) == 2
    sandbox.clock.advance(300)
    seen = client.get(f"{DATED}/contacts").json()["associations"]
    assert len([one for one in seen if one["name"] == "adviser"]) == 2


def test_a_type_that_is_archived_is_no_longer_what_another_is_associated_with(client) -> None:
    """An assumption."""
    first = client.post(DATED, json=CARS | {"name": "trips"}).json()["objectTypeId"]
    client.post(DATED, json=CARS | {"associatedObjects": ["trips", "cars"]})
    ends = {one["toObjectTypeId"] for one in links(client)}
    assert first in ends
    assert len(links(client)) == 3
    client.delete(f"{DATED}/trips")
    assert first not in {one["toObjectTypeId"] for one in links(client)}


def links(client) -> list[dict]:
    return client.get(f"{DATED}/cars").json()["associations"]


def test_properties_and_pipelines_lag_behind_as_well(client, sandbox: Sandbox) -> None:
    """An assumption: facts 4.3 name schemas and labels only."""
    sandbox.faults.add(Fault("lag", seconds=70))
    kind = "/crm/v3/properties/locations"
    tier = CARS["properties"][1] | {"groupName": "locations_information"}
    client.post(kind, json=tier)
    client.patch("/crm/v3/pipelines/deals/default", json={"label": "Selling"})
    assert client.get(f"{kind}/doors").status_code == 404
    assert client.get("/crm/v3/pipelines/deals/default").json()["label"] == "Sales Pipeline"
    sandbox.clock.advance(70)
    assert client.get(f"{kind}/doors").status_code == 200
    assert client.get("/crm/v3/pipelines/deals/default").json()["label"] == "Selling"


@pytest.mark.parametrize("path", FORMS)
def test_a_portal_without_enterprise_has_no_custom_types(sandbox, inside, path: str) -> None:
    """Facts 6 for the scope; that the answer is that of a missing scope is from documents alone."""
    client = inside(sandbox, sandbox.portals[0].token)
    for answer in (
        client.get(path),
        client.post(path, json=CARS),
        client.get(f"{path}/locations"),
        client.delete(f"{path}/locations"),
    ):
        assert (answer.status_code, answer.json()["category"]) == (403, "MISSING_SCOPES")
    assert client.get(f"{path}/contacts").status_code == 200
    assert client.get("/crm/v3/objects/locations").status_code == 400


def test_only_the_scopes_of_custom_types_open_their_schemas(client, sandbox: Sandbox) -> None:
    """Facts 6. From documents alone."""
    portal = sandbox.portals[1].portal_id
    sandbox.set_scopes(portal, ["crm.schemas.custom.read", "crm.schemas.contacts.write"])
    assert client.get(DATED).status_code == 200
    assert client.post(DATED, json=CARS).status_code == 403
    sandbox.set_scopes(portal, ["crm.schemas.custom.write"])
    assert client.get(DATED).status_code == 403
    assert client.post(DATED, json=CARS).status_code == 201


@pytest.mark.parametrize("path", ["/crm/v3/limits", "/crm/limits/2026-03", "/crm/limits/2026-09"])
def test_the_limit_of_custom_types_tells_enterprise_from_the_rest(sandbox, inside, path) -> None:
    """Facts 2.2; that portals without Enterprise get 0 is an assumption."""
    first, second = (inside(sandbox, portal.token) for portal in sandbox.portals[:2])
    path += "/custom-object-types"
    assert first.get(path).json() == {"limit": 0, "usage": 0, "percentage": 0}
    assert second.get(path).json() == {"limit": 10, "usage": 1, "percentage": 10}
    sandbox.set_scopes(sandbox.portals[0].portal_id, ["crm.objects.companies.read"])
    assert first.get(path).status_code == 200
    sandbox.set_scopes(sandbox.portals[0].portal_id, ["crm.schemas.companies.read"])
    assert first.get(path).status_code == 403


def test_there_are_as_many_types_as_the_limit_says(client) -> None:
    """An assumption: nobody has shown the refusal."""
    for number in range(9):
        assert client.post(DATED, json=CARS | {"name": f"cars_{number}"}).status_code == 201
    assert client.post(DATED, json=CARS).status_code == 400


def test_the_types_of_two_portals_know_nothing_of_each_other() -> None:
    sandbox = Sandbox(portals=4, contacts=12, clock=Clock(NOON))
    first, second = sandbox.portals[1], sandbox.portals[3]
    for number, portal in ((1, first), (2, second), (3, first)):
        made = send(sandbox, "POST", DATED, CARS | {"name": f"cars_{number}"}, portal=portal)
        assert made["objectTypeId"] == f"2-200000{2 if number < 3 else 3}"
    assert "cars_2" not in send(sandbox, "GET", DATED, portal=first)
    assert send(sandbox, "GET", f"{DATED}/cars_2", portal=first)["category"] == "OBJECT_NOT_FOUND"


def test_every_enterprise_portal_starts_with_the_same_type_and_records_of_its_own() -> None:
    """Seeded from the sandbox's seed: the same every time, and other records in each portal."""
    path = "/crm/v3/objects/locations?properties=name,hs_pipeline_stage&limit=100"
    found = []
    for _ in range(2):
        sandbox = Sandbox(portals=4, contacts=500, clock=Clock(NOON))
        pages = [send(sandbox, "GET", path, portal=sandbox.portals[n]) for n in (1, 3)]
        found.append([page["results"] for page in pages])
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]
    assert [len(records) for records in found[0]] == [13, 13]
    pipelines = send(sandbox, "GET", "/crm/v3/pipelines/2-2000001", portal=sandbox.portals[1])[
        "results"
    ]
    stages = {one["id"] for one in pipelines[0]["stages"]}
    assert {one["properties"]["hs_pipeline_stage"] for one in found[0][0]} <= stages
    third = send(
        sandbox, "GET", "/crm/v3/objects/locations/LOC-0003?idProperty=code",
        portal=sandbox.portals[1],
    )  # fmt: skip
    assert third["id"] == found[0][0][2]["id"]


def test_a_seeded_record_is_found_by_its_unique_value_before_anything_else_was_asked() -> None:
    """Facts 5.3. From documents alone."""
    sandbox = Sandbox(portals=2, contacts=12, clock=Clock(NOON))
    path = "/crm/v3/objects/locations/{}?idProperty=code"
    assert send(sandbox, "GET", path.format("loc-0002"))["id"] == "151"
    for code in ("LOC-0000", "LOC-0004", "LOC-", "depot"):
        assert send(sandbox, "GET", path.format(code))["category"] == "OBJECT_NOT_FOUND"


def test_a_portal_without_contacts_has_a_type_without_records() -> None:
    sandbox = Sandbox(portals=2, contacts=0, clock=Clock(NOON))
    assert send(sandbox, "GET", "/crm/v3/objects/locations") == {"results": []}


def test_a_type_gets_its_stage_properties_with_its_first_pipeline(client) -> None:
    """Observed elsewhere; they stay when the pipeline goes."""
    client.post(DATED, json=CARS)
    properties, pipelines = "/crm/v3/properties/cars/hs_pipeline_stage", "/crm/v3/pipelines/cars"
    assert client.get(pipelines).json() == {"results": []}
    assert client.get(properties).status_code == 404
    stage = {"label": "New", "stageId": "new", "metadata": {"state": "CLOSED"}}
    made = client.post(pipelines, json={"label": "Repairs", "stages": [stage]}).json()
    one = f"{pipelines}/{made['id']}"
    assert client.get(one).json()["stages"][0]["metadata"] == {
        "isClosed": "true",
        "state": "CLOSED",
    }
    assert [one["value"] for one in client.get(properties).json()["options"]] == ["new"]
    assert client.patch(f"{one}/stages/new", json={"metadata": {"state": "?"}}).status_code == 400
    second = {"label": "Sales", "stages": [stage | {"stageId": "sold"}]}
    assert client.post(pipelines, json=second).status_code == 201
    assert len(client.get(properties).json()["options"]) == 2
    assert client.delete(one).status_code == 204
    assert client.get(properties).status_code == 200


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["create", "archive", "purge"]), st.sampled_from("abc")),
        max_size=15,
    )
)
def test_types_are_those_created_less_those_archived_and_no_id_comes_twice(
    steps: list[tuple[str, str]],
) -> None:
    sandbox = Sandbox(portals=2, contacts=0, clock=Clock(NOON))
    live, archived, ids = {"locations"}, set(), set()
    for what, name in steps:
        if what == "create":
            made = send(sandbox, "POST", DATED, CARS | {"name": name})
            assert ("objectTypeId" in made) == (name not in live)
            if name not in live:
                assert made["objectTypeId"] not in ids
                ids, live, archived = ids | {made["objectTypeId"]}, live | {name}, archived - {name}
        elif what == "archive":
            send(sandbox, "DELETE", f"{DATED}/{name}")
            archived |= {name} & live
            live -= {name}
        else:
            send(sandbox, "DELETE", f"{DATED}/{name}?archived=true")
            archived -= {name}
        listed = send(sandbox, "GET", f"{DATED}?archived=true")["results"]
        assert {one["name"] for one in listed if not one["archived"]} == live
        assert {one["name"] for one in listed if one["archived"]} == archived


def send(
    sandbox: Sandbox, method: str, path: str, body: dict | None = None, *, portal=None
) -> dict:
    sandbox.clock.advance(1)  # or the burst limit would have its say
    portal = portal or sandbox.portals[1]
    request = Request.parse(
        method,
        path,
        headers=[("authorization", f"Bearer {portal.token}")],
        body=json.dumps(body or {}).encode(),
    )
    return json.loads(sandbox.handle(request).body or b"{}")


def test_the_name_of_a_type_is_the_same_in_any_letters(client) -> None:
    """An assumption: HubSpot's own types are found so, and two names cannot differ in case alone."""
    made = client.post(DATED, json=CARS | {"name": "RaceCars"}).json()
    assert made["name"] == "RaceCars"
    for name in ("RaceCars", "racecars", made["fullyQualifiedName"].upper()):
        assert client.get(f"{DATED}/{name}").json()["objectTypeId"] == made["objectTypeId"]
        assert client.get(f"/crm/v3/objects/{name}").json() == {"results": []}
    assert client.post(DATED, json=CARS | {"name": "racecars"}).status_code == 409
    for params in ({}, {"archived": "true"}):
        assert client.delete(f"{DATED}/RACECARS", params=params).status_code == 204
    assert client.get(f"{DATED}/RaceCars").status_code == 404
