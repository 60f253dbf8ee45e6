"""
Definitions of properties and their groups.

Facts 4.2, 5.1 and 6 give the paths, the refusal of a taken name and the scopes. Where they are
silent the tests rest on what others observed on a developer test account in September and
October 2026 ("observed elsewhere"), or say that they rest on documents or on an assumption.
"""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.sandbox import Clock, Request, Sandbox

OLD, DATED = "/crm/v3/properties/contacts", "/crm/properties/2026-09/contacts"
FORMS = [OLD, "/crm/properties/2026-03/0-1", DATED]
NOON = datetime(2026, 10, 14, 12, tzinfo=UTC)
CONTACTS = "/crm/v3/objects/contacts"
TIER = {
    "name": "tier",
    "label": "Tier",
    "type": "string",
    "fieldType": "text",
    "groupName": "contactinformation",
}
CHOICE = TIER | {
    "type": "enumeration",
    "fieldType": "select",
    "options": [{"label": "Gold", "value": "gold"}, {"label": "Tin", "value": "tin"}],
}


def names(client, path: str = DATED, **params: str) -> set[str]:
    return {one["name"] for one in client.get(path, params=params).json()["results"]}


@pytest.mark.parametrize("path", FORMS)
def test_a_property_lives_from_definition_to_archive(client, path: str) -> None:
    """Facts 5.1. From documents alone."""
    made = client.post(path, json=TIER | {"description": "How much they pay", "displayOrder": 3})
    assert made.status_code == 201
    assert made.json()["hubspotDefined"] is False
    assert made.json()["modificationMetadata"] == {
        "archivable": True,
        "readOnlyDefinition": False,
        "readOnlyValue": False,
    }
    assert client.get(f"{path}/tier").json() == made.json()
    changed = client.patch(f"{path}/tier", json={"label": "Level"}).json()
    assert (changed["label"], changed["description"], changed["displayOrder"]) == (
        "Level",
        "How much they pay",
        3,
    )
    assert "tier" in names(client, path)
    assert client.delete(f"{path}/tier").status_code == 204
    assert "tier" not in names(client, path)
    assert client.get(f"{path}/tier").status_code == 404


@pytest.mark.parametrize("path", FORMS)
def test_a_name_that_is_taken_is_refused_and_nothing_changes(client, path: str) -> None:
    """Facts 4.2. Observed by others."""
    client.post(path, json=TIER)
    refused = client.post(path, json=TIER | {"label": "Other"})
    assert refused.status_code == 409
    assert refused.json()["category"] == "OBJECT_ALREADY_EXISTS"
    assert refused.json()["subCategory"] == "Properties.PROPERTY_WITH_NAME_EXISTS"
    assert client.get(f"{path}/tier").json()["label"] == "Tier"
    assert client.post(path, json=TIER | {"name": "email"}).status_code == 409


def test_an_archived_property_is_seen_only_when_asked_for(client) -> None:
    """Observed elsewhere."""
    client.post(DATED, json=TIER)
    client.delete(f"{DATED}/tier")
    assert names(client, archived="true") == {"tier"}
    gone = client.get(f"{DATED}/tier", params={"archived": "true"}).json()
    assert (gone["archived"], gone["archivedAt"]) == (True, "2026-10-14T12:00:00.000Z")
    assert client.delete(f"{DATED}/tier").status_code == 404
    assert client.patch(f"{DATED}/tier", json={"label": "x"}).status_code == 404


def test_defining_an_archived_name_anew_brings_it_back_with_the_values_of_records(
    client, sandbox: Sandbox
) -> None:
    """Observed elsewhere: the new definition holds, the first date of creation and values stay."""
    first = client.post(DATED, json=TIER | {"formField": True}).json()
    client.patch(f"{CONTACTS}/101", json={"properties": {"tier": "gold"}})
    client.delete(f"{DATED}/tier")
    sandbox.clock.advance(3600)
    again = client.post(DATED, json=CHOICE).json()
    assert (again["createdAt"], again["type"], again["formField"], again["archived"]) == (
        first["createdAt"],
        "enumeration",
        False,
        False,
    )
    assert names(client, archived="true") == set()
    record = client.get(f"{CONTACTS}/101", params={"properties": "tier"}).json()
    assert record["properties"]["tier"] == "gold"


def test_records_show_and_take_no_archived_property(client) -> None:
    """An assumption: HubSpot's documents say only that it can no longer be used."""
    client.post(DATED, json=TIER)
    client.patch(f"{CONTACTS}/101", json={"properties": {"tier": "gold"}})
    client.delete(f"{DATED}/tier")
    record = client.get(f"{CONTACTS}/101", params={"properties": "tier"}).json()
    assert "tier" not in record["properties"]
    refused = client.patch(f"{CONTACTS}/101", json={"properties": {"tier": "tin"}})
    assert refused.status_code == 400
    assert "PROPERTY_DOESNT_EXIST" in refused.text


def test_a_property_with_unique_values_finds_records(client) -> None:
    """Facts 5.3: any property with unique values serves as idProperty. From documents alone."""
    client.post(DATED, json=TIER | {"name": "member", "hasUniqueValue": True})
    client.patch(f"{CONTACTS}/151", json={"properties": {"member": "M-7"}})
    found = client.get(f"{CONTACTS}/M-7", params={"idProperty": "member"})
    assert found.json()["id"] == "151"
    refused = client.patch(f"{CONTACTS}/101", json={"properties": {"member": "M-7"}})
    assert refused.status_code in {400, 409}
    kept = client.patch(f"{DATED}/member", json={"hasUniqueValue": False}).json()
    assert kept["hasUniqueValue"] is True


def test_no_more_than_ten_properties_have_unique_values(client) -> None:
    """From documents alone."""
    for number in range(10):
        unique = TIER | {"name": f"key_{number}", "hasUniqueValue": True}
        assert client.post(DATED, json=unique).status_code == 201
    assert client.post(DATED, json=TIER | {"hasUniqueValue": True}).status_code == 400
    assert client.post(DATED, json=TIER).status_code == 201


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"name": "Tier"}, "name"),
        ({"name": "9lives"}, "name"),
        ({"name": "two words"}, "name"),
        ({"name": None}, "required fields"),
        ({"name": 7}, "string"),
        ({"label": ""}, "required fields"),
        ({"groupName": "nowhere"}, "group"),
        ({"type": "sound"}, "fieldType"),
        ({"fieldType": "checkbox"}, "fieldType"),
        ({"type": "enumeration", "fieldType": "select"}, "options"),
        ({"type": "bool", "fieldType": "booleancheckbox"}, "true and false"),
        ({"displayOrder": "first"}, "displayOrder"),
        ({"displayOrder": True}, "displayOrder"),
        ({"options": "gold"}, "options"),
        ({"options": ["gold"]}, "option"),
        ({"options": [{"label": "Gold"}]}, "required fields"),
        ({"options": [{"label": "a", "value": "x"}, {"label": "b", "value": "x"}]}, "twice"),
        ({"options": [{"label": "a", "value": "x"}, {"label": "a", "value": "y"}]}, "twice"),
        ({"options": [{"label": "a", "value": "x", "displayOrder": 1.5}]}, "displayOrder"),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused(client, change: dict, word: str) -> None:
    """The kinds of refusal are from documents; their words are the sandbox's."""
    refused = client.post(DATED, json=TIER | change)
    assert (refused.status_code, refused.json()["category"]) == (400, "VALIDATION_ERROR")
    assert word in refused.json()["message"]
    assert "tier" not in names(client)


def test_a_yes_or_no_needs_exactly_its_two_options(client) -> None:
    """Observed elsewhere."""
    yes_no = TIER | {"type": "bool", "fieldType": "booleancheckbox"}
    refused = client.post(DATED, json=yes_no)
    assert refused.json()["subCategory"].endswith("INVALID_BOOLEAN_OPTION")
    options = [{"label": "Yes", "value": "true"}, {"label": "No", "value": "false"}]
    assert client.post(DATED, json=yes_no | {"options": options}).status_code == 201


def test_options_stay_unless_they_are_sent_and_are_then_replaced(client) -> None:
    """Observed elsewhere."""
    client.post(DATED, json=CHOICE)
    same = client.patch(f"{DATED}/tier", json={"label": "Level"}).json()
    assert [one["value"] for one in same["options"]] == ["gold", "tin"]
    one = client.patch(f"{DATED}/tier", json={"options": [{"label": "Lead", "value": "lead"}]})
    assert [option["value"] for option in one.json()["options"]] == ["lead"]
    refused = client.patch(f"{CONTACTS}/101", json={"properties": {"tier": "gold"}})
    assert "INVALID_OPTION" in refused.text


def test_what_hubspot_defines_cannot_be_renamed_or_archived(client) -> None:
    """From documents alone; that options of its enumerations can be added to is an assumption."""
    for body in ({"label": "Mail"}, {"type": "number", "fieldType": "number"}):
        assert client.patch(f"{DATED}/email", json=body).status_code == 400
    assert client.delete(f"{DATED}/email").status_code == 400
    archived = client.post(f"{DATED}/batch/archive", json={"inputs": [{"name": "email"}]})
    assert archived.status_code == 400
    deals = "/crm/v3/properties/deals/dealstage"
    assert client.patch(deals, json={"options": []}).status_code == 400
    more = {"options": [{"label": "New", "value": "NEW"}, {"label": "Hot", "value": "HOT"}]}
    assert client.patch(f"{DATED}/hs_lead_status", json=more).status_code == 200
    assert client.patch(f"{DATED}/email", json={"hidden": True}).json()["hidden"] is True
    owner = client.get(f"{DATED}/hubspot_owner_id").json()
    assert (owner["externalOptions"], owner["referencedObjectType"]) == (True, "OWNER")


def test_a_single_read_does_not_say_of_hubspots_own_whether_they_are_archived(client) -> None:
    """Observed elsewhere."""
    assert "archived" not in client.get(f"{DATED}/email").json()
    client.post(DATED, json=TIER)
    assert client.get(f"{DATED}/tier").json()["archived"] is False


def test_what_another_property_is_calculated_from_cannot_be_archived(client) -> None:
    """Observed elsewhere."""
    client.post(DATED, json=TIER | {"name": "points", "type": "number", "fieldType": "number"})
    total = TIER | {"name": "total", "type": "number", "fieldType": "number"}
    made = client.post(DATED, json=total | {"calculationFormula": "points * 2"}).json()
    assert (made["calculated"], made["fieldType"]) == (True, "calculation_equation")
    refused = client.delete(f"{DATED}/points").json()
    assert refused["subCategory"] == "PropertyValidationError.CANNOT_DELETE_PROPERTY_IN_USE"
    assert refused["errors"][0]["context"]["parentName"] == ["0-1/total"]
    refused = client.patch(f"{CONTACTS}/101", json={"properties": {"total": 2}})
    assert "READ_ONLY_VALUE" in refused.text
    assert client.delete(f"{DATED}/total").status_code == 204
    assert client.delete(f"{DATED}/points").status_code == 204


def test_sensitive_properties_are_listed_apart_and_defined_by_nobody_here(client) -> None:
    """Observed elsewhere: the list without `dataSensitivity` holds none of them."""
    assert names(client, dataSensitivity="sensitive") == set()
    assert "email" in names(client, dataSensitivity="non_sensitive", properties="email")
    assert client.get(DATED, params={"dataSensitivity": "very"}).status_code == 400
    hidden = client.get(f"{DATED}/email", params={"dataSensitivity": "sensitive"})
    assert hidden.status_code == 404
    refused = client.post(DATED, json=TIER | {"dataSensitivity": "sensitive"})
    assert refused.status_code == 403


def test_a_batch_says_what_it_did_and_what_it_did_not(client) -> None:
    """Facts 4.2: a 207 is a success with failures inside. From documents alone."""
    three = [TIER, TIER | {"name": "email"}, TIER | {"name": "colour"}]
    made = client.post(f"{DATED}/batch/create", json={"inputs": three})
    assert made.status_code == 207
    assert [one["name"] for one in made.json()["results"]] == ["tier", "colour"]
    assert made.json()["numErrors"] == 1
    assert made.json()["errors"][0]["context"] == {"name": ["email"]}
    asked = {"archived": False, "inputs": [{"name": "tier"}, {"name": "nonsense"}]}
    read = client.post(f"{OLD}/batch/read", json=asked)
    assert (read.status_code, read.json()["numErrors"]) == (207, 1)
    gone = client.post(
        f"{DATED}/batch/archive",
        json={"inputs": [{"name": "tier"}, {"name": "tier"}, {"name": "nonsense"}]},
    )
    assert gone.status_code == 204
    asked = {"archived": True, "inputs": [{"name": "tier"}]}
    assert client.post(f"{DATED}/batch/read", json=asked).status_code == 200


@pytest.mark.parametrize("body", [{}, {"inputs": {}}, {"inputs": ["tier"]}, {"inputs": [{}] * 101}])
def test_a_batch_of_the_wrong_shape_is_refused(client, body: dict) -> None:
    """Facts 3.1: a batch is of a hundred at most. From documents alone."""
    for verb in ("create", "read", "archive"):
        assert client.post(f"{DATED}/batch/{verb}", json=body).status_code == 400


@pytest.mark.parametrize("path", FORMS)
def test_a_group_lives_from_creation_to_archive(client, path: str) -> None:
    """Facts 5.1. From documents alone."""
    made = client.post(f"{path}/groups", json={"name": "loyalty", "label": "Loyalty"})
    assert made.status_code == 201
    assert made.json() == {
        "name": "loyalty",
        "label": "Loyalty",
        "displayOrder": -1,
        "archived": False,
    }
    changed = client.patch(f"{path}/groups/loyalty", json={"displayOrder": 2, "name": "other"})
    assert changed.json() == made.json() | {"displayOrder": 2}
    assert client.get(f"{path}/groups/loyalty").json() == changed.json()
    again = client.post(f"{path}/groups", json={"name": "loyalty", "label": "Again"})
    assert (again.status_code, again.json()["category"]) == (409, "OBJECT_ALREADY_EXISTS")
    assert client.delete(f"{path}/groups/loyalty").status_code == 204
    for method in ("GET", "PATCH", "DELETE"):
        assert client.request(method, f"{path}/groups/loyalty", json={}).status_code == 404
    groups = client.get(f"{path}/groups").json()["results"]
    assert [one["name"] for one in groups] == ["contactinformation"]


def test_a_group_with_a_live_property_stays_and_one_with_archived_ones_goes(client) -> None:
    """Observed elsewhere, with the error body as text inside the message of another."""
    client.post(f"{DATED}/groups", json={"name": "loyalty", "label": "Loyalty"})
    client.post(DATED, json=TIER | {"groupName": "loyalty"})
    refused = client.delete(f"{DATED}/groups/loyalty")
    assert refused.status_code == 400
    inner = json.loads(refused.json()["message"])
    assert inner["subCategory"] == "PropertyGroupError.GROUP_WITH_ACTIVE_PROPERTIES"
    assert inner["correlationId"] == refused.json()["correlationId"]
    client.delete(f"{DATED}/tier")
    assert client.delete(f"{DATED}/groups/loyalty").status_code == 204
    back = client.post(DATED, json=TIER | {"groupName": "loyalty"})
    assert (back.status_code, "does not exist" in back.text) == (400, True)


@pytest.mark.parametrize("body", [{"name": "x"}, {"label": "X"}, {"name": "X y", "label": "X"}])
def test_a_group_needs_a_proper_name_and_a_label(client, body: dict) -> None:
    """The kinds of refusal are from documents; their words are the sandbox's."""
    assert client.post(f"{DATED}/groups", json=body).status_code == 400


def test_the_scopes_of_an_object_cover_its_properties_and_groups(client, sandbox: Sandbox) -> None:
    """Facts 6: crm.schemas.<object>; a key that may only write cannot read. Observed by others."""
    portal = sandbox.portals[0].portal_id
    sandbox.set_scopes(portal, ["crm.schemas.contacts.write"])
    assert client.post(DATED, json=TIER).status_code == 201
    for path in (DATED, f"{DATED}/tier", f"{DATED}/groups"):
        refused = client.get(path)
        assert (refused.status_code, refused.json()["category"]) == (403, "MISSING_SCOPES")
    sandbox.set_scopes(portal, ["crm.schemas.contacts.read"])
    assert client.get(f"{DATED}/tier").status_code == 200
    assert client.post(DATED, json=TIER | {"name": "x"}).status_code == 403
    assert client.get("/crm/v3/properties/companies").status_code == 403
    sandbox.set_scopes(portal, ["tickets"])
    assert client.get("/crm/v3/properties/tickets").status_code == 200


def test_a_portal_knows_nothing_of_anothers_properties(connect, sandbox: Sandbox) -> None:
    """A definition is a portal's own."""
    first, second = (connect(sandbox, portal.token) for portal in sandbox.portals[:2])
    first.post(DATED, json=TIER)
    assert first.get(f"{DATED}/tier").status_code == 200
    assert second.get(f"{DATED}/tier").status_code == 404


def test_an_unknown_type_of_record_has_no_properties(client) -> None:
    """An assumption: the same answer as for its records."""
    assert client.get("/crm/v3/properties/unicorns").status_code == 400


@given(
    steps=st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b", "c"])), max_size=20),
    path=st.sampled_from([OLD, DATED]),
)
def test_the_list_is_always_what_was_created_less_what_was_archived(
    steps: list[tuple[bool, str]], path: str
) -> None:
    sandbox = Sandbox(portals=1, contacts=0, clock=Clock(NOON))
    live, archived = set(), set()
    before = found(sandbox, path)
    for create, name in steps:
        if create:
            status = send(sandbox, "POST", path, TIER | {"name": name})[0]
            assert status == (409 if name in live else 201)
            live, archived = live | {name}, archived - {name}
        else:
            status = send(sandbox, "DELETE", f"{path}/{name}")[0]
            assert status == (204 if name in live else 404)
            if name in live:
                live, archived = live - {name}, archived | {name}
        assert found(sandbox, path) == before | live
        assert found(sandbox, f"{path}?archived=true") == archived


def found(sandbox: Sandbox, path: str) -> set[str]:
    return {one["name"] for one in send(sandbox, "GET", path)[1]["results"]}


def send(sandbox: Sandbox, method: str, path: str, body: dict | None = None) -> tuple[int, dict]:
    sandbox.clock.advance(1)  # or the burst limit would have its say
    request = Request.parse(
        method,
        path,
        headers=[("authorization", f"Bearer {sandbox.portals[0].token}")],
        body=json.dumps(body or {}).encode(),
    )
    reply = sandbox.handle(request)
    return reply.status, json.loads(reply.body or b"{}")


def test_time_passes_between_a_definition_and_its_change(client, sandbox: Sandbox) -> None:
    """The stamps are those of the sandbox's clock."""
    made = client.post(DATED, json=TIER).json()
    later = sandbox.clock.now() + timedelta(seconds=90)
    sandbox.clock.advance(90)
    changed = client.patch(f"{DATED}/tier", json={"label": "Level"}).json()
    assert changed["createdAt"] == made["createdAt"]
    assert changed["updatedAt"] == later.isoformat(timespec="milliseconds")[:-6] + "Z"
