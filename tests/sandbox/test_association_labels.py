"""
Labels and limits that a portal gives to associations of its own (facts 4.2, 4.3 and 5.1).

All but the lag of facts 4.3 rests on documents alone or on an assumption.
"""

from __future__ import annotations

import pytest

from hsagency.sandbox import Fault, Sandbox
from hsagency.sandbox.contents.labels import LABELS_MAX
from tests.sandbox.conftest import Client
from tests.sandbox.test_associations import CONTACTS, V4, types


def add_label(client: Client, name: str, **more: str) -> list[int]:
    made = client.post(f"{V4}/labels", json={"name": name, "label": name.title()} | more)
    assert made.status_code == 200, made.text
    return [one["typeId"] for one in made.json()["results"]]


def test_a_two_sided_label_has_an_id_and_a_name_in_each_direction(client: Client) -> None:
    """Facts 5.1 for the paths; from documents alone."""
    there, back = add_label(client, "boss", inverseLabel="Led by")
    spec = [{"associationCategory": "USER_DEFINED", "associationTypeId": there}]
    made = client.put(f"{CONTACTS}/101/associations/companies/101", json=spec).json()
    assert made["labels"] == ["Boss"]
    found = client.get("/crm/v4/objects/companies/101/associations/contacts").json()["results"][0]
    assert {"category": "USER_DEFINED", "typeId": back, "label": "Led by"} in found[
        "associationTypes"
    ]


def test_setting_labels_replaces_a_portals_own_and_keeps_the_rest(client: Client) -> None:
    """From documents alone: to append a label one has to name those that are to stay."""
    first, second = add_label(client, "first")[0], add_label(client, "second")[0]
    for chosen, expected in (
        ([first], {279, 1, first}),
        ([first, second], {279, 1, first, second}),
        ([second], {279, 1, second}),
    ):
        spec = [{"associationCategory": "USER_DEFINED", "associationTypeId": one} for one in chosen]
        client.put(f"{CONTACTS}/101/associations/companies/101", json=spec)
        assert types(client, 101, 101) == expected


def test_a_label_is_renamed_and_removed_from_all_links(client: Client) -> None:
    """Facts 5.1 for the paths; from documents alone. The second 404 is an assumption."""
    there, back = add_label(client, "boss", inverseLabel="Led by")
    spec = [{"associationCategory": "USER_DEFINED", "associationTypeId": there}]
    client.put(f"{CONTACTS}/101/associations/companies/101", json=spec)
    renamed = client.put(f"{V4}/labels", json={"associationTypeId": there, "label": "Chief"})
    assert renamed.status_code == 204
    sides = {
        path: {one["typeId"]: one["label"] for one in client.get(path).json()["results"]}
        for path in (f"{V4}/labels", "/crm/v4/associations/companies/contacts/labels")
    }
    assert [labels.get(id_) for labels, id_ in zip(sides.values(), (there, back), strict=True)] == [
        "Chief",
        "Led by",
    ]
    assert client.delete(f"{V4}/labels/{there}").status_code == 204
    assert types(client, 101, 101) == {279, 1}
    assert client.delete(f"{V4}/labels/{there}").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"name": "boss"},
        {"label": "Boss"},
        {"name": "a-b", "label": "Boss"},
        {"name": "1st", "label": "Boss"},
        {"name": "boss", "label": " "},
        {"name": "primary", "label": "Primary"},
    ],
)
def test_a_label_needs_a_name_of_its_own(client: Client, body: dict[str, str]) -> None:
    """From documents alone: no hyphens, no number at the beginning."""
    assert client.post(f"{V4}/labels", json=body).status_code == 400


def test_hubspots_own_labels_stay_as_they_are(client: Client) -> None:
    """An assumption: documents do not say how it is refused."""
    assert client.delete(f"{V4}/labels/1").status_code == 400
    renamed = client.put(f"{V4}/labels", json={"associationTypeId": 1, "label": "Main"})
    assert renamed.status_code == 400
    assert client.delete(f"{V4}/labels/x").status_code == 400
    assert client.put(f"{V4}/labels", json={"label": "Main"}).status_code == 400


def test_there_are_no_more_than_fifty_labels(client: Client) -> None:
    """Facts 4.2; from documents alone. That a two-sided label counts once is an assumption."""
    for number in range(LABELS_MAX):
        add_label(client, f"label {number}", inverseLabel=f"back {number}")
    refused = client.post(f"{V4}/labels", json={"name": "more", "label": "More"})
    assert refused.status_code == 437


def test_a_label_between_records_of_one_type_may_have_one_id(client: Client) -> None:
    """An assumption."""
    path = "/crm/v4/associations/contacts/contacts/labels"
    made = client.post(path, json={"name": "friend", "label": "Friend"}).json()["results"]
    assert len(made) == 1
    (type_id,) = (one["typeId"] for one in made)
    client.put(path, json={"associationTypeId": type_id, "label": "Pal", "inverseLabel": "X"})
    spec = [{"associationCategory": "USER_DEFINED", "associationTypeId": type_id}]
    client.put(f"{CONTACTS}/101/associations/contacts/151", json=spec)
    for contact in (101, 151):
        found = client.get(f"{CONTACTS}/{contact}/associations/contacts").json()["results"]
        assert found[0]["associationTypes"][-1]["label"] == "Pal"


LIMITS = "/crm/v4/associations/definitions/configurations"


def test_a_portal_may_limit_its_links(client: Client) -> None:
    """From documents alone; what the refusal says is an assumption."""
    pair = f"{LIMITS}/contacts/companies"
    wish = {"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 1}
    made = client.post(f"{pair}/batch/create", json={"inputs": [wish]})
    assert made.status_code == 201
    limit = {
        "category": "HUBSPOT_DEFINED",
        "typeId": 279,
        "label": None,
        "userEnforcedMaxToObjectIds": 1,
    }
    assert made.json()["results"] == [limit]
    for path in (pair, f"{LIMITS}/all"):
        assert client.get(path).json()["results"] == [limit]
    for link in (
        f"{CONTACTS}/101/associations/default/companies/151",
        "/crm/v4/objects/companies/151/associations/default/contacts/101",
    ):
        refused = client.put(link)
        assert (refused.status_code, refused.json()["category"]) == (400, "VALIDATION_ERROR")
    again = client.put(f"{CONTACTS}/101/associations/default/companies/101")
    assert again.status_code == 200
    wish["maxToObjectIds"] = 2
    changed = client.post(f"{pair}/batch/update", json={"inputs": [wish]})
    assert changed.json()["results"][0]["userEnforcedMaxToObjectIds"] == 2
    assert client.put(f"{CONTACTS}/101/associations/default/companies/151").status_code == 200
    assert client.post(f"{pair}/batch/purge", json={"inputs": [wish]}).status_code == 204
    assert client.get(pair).json() == {"results": []}


@pytest.mark.parametrize("change", [{"maxToObjectIds": 0}, {"maxToObjectIds": "9"}, {"typeId": 4}])
def test_a_limit_needs_a_number_and_a_type_of_the_pair(
    client: Client, change: dict[str, object]
) -> None:
    """An assumption: documents name no refusal."""
    wish = {"category": "HUBSPOT_DEFINED", "typeId": 279, "maxToObjectIds": 1} | change
    answer = client.post(f"{LIMITS}/contacts/companies/batch/create", json={"inputs": [wish]})
    assert (answer.status_code, answer.json()["numErrors"]) == (207, 1)


def test_a_label_is_seen_later_by_a_reader_that_lags_behind(
    sandbox: Sandbox, client: Client
) -> None:
    """Facts 4.3; observed by others: label names lag about five minutes."""
    sandbox.faults.add(Fault(kind="lag", seconds=300))
    (there, _) = add_label(client, "boss")
    spec = [{"associationCategory": "USER_DEFINED", "associationTypeId": there}]
    client.put(f"{CONTACTS}/101/associations/companies/101", json=spec)

    def seen() -> tuple[bool, str | None]:
        listed = client.get(f"{V4}/labels").json()["results"]
        (link,) = client.get(f"{CONTACTS}/101/associations/companies").json()["results"]
        own = next(one for one in link["associationTypes"] if one["typeId"] == there)
        return there in {one["typeId"] for one in listed}, own["label"]

    assert seen() == (False, None)
    sandbox.clock.advance(301)
    assert seen() == (True, "Boss")
    client.put(f"{V4}/labels", json={"associationTypeId": there, "label": "Chief"})
    assert seen() == (True, "Boss")
    sandbox.clock.advance(301)
    assert seen() == (True, "Chief")


def test_an_inverse_label_is_renamed_too(client: Client) -> None:
    """Facts 5.1 for the paths; from documents alone. The refusal is an assumption."""
    (there, back) = add_label(client, "boss", inverseLabel="Led by")
    wish = {"associationTypeId": there, "label": "Boss", "inverseLabel": "Follows"}
    assert client.put(f"{V4}/labels", json=wish).status_code == 204
    found = client.get("/crm/v4/associations/companies/contacts/labels").json()["results"]
    assert {one["typeId"]: one["label"] for one in found}[back] == "Follows"
    bad = wish | {"inverseLabel": ""}
    assert client.put(f"{V4}/labels", json=bad).status_code == 400


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("limited", ["contacts/companies", "companies/contacts"])
def test_a_new_record_keeps_to_the_limits_of_links(
    client: Client, limited: str, *, batch: bool
) -> None:
    """From documents alone; that nothing is made when a link is one too many is an assumption."""
    type_id = {"contacts/companies": 279, "companies/contacts": 280}[limited]
    wish = {"category": "HUBSPOT_DEFINED", "typeId": type_id, "maxToObjectIds": 5}
    assert (
        client.post(f"{LIMITS}/{limited}/batch/create", json={"inputs": [wish]}).status_code == 201
    )
    companies = [
        client.post("/crm/v3/objects/companies", json={"properties": {"name": f"No. {n}"}}).json()
        for n in range(6)
    ]

    def new(number: int, *to: int) -> dict[str, object]:
        types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}]
        links = [{"to": {"id": companies[one]["id"]}, "types": types} for one in to]
        return {"properties": {"email": f"new{number}@example.com"}, "associations": links}

    def make(*wishes: dict[str, object]) -> list[int]:
        path = "/crm/v3/objects/contacts"
        if batch:
            return [client.post(f"{path}/batch/create", json={"inputs": wishes}).status_code]
        return [client.post(path, json=one).status_code for one in wishes]

    if limited == "contacts/companies":
        few, many = [new(1, *range(5))], [new(2, *range(6))]
    else:
        few, many = [new(n, 0) for n in range(5)], [new(9, 0)]
    before = len(client.get("/crm/v3/objects/contacts?limit=100").json()["results"])
    if batch and limited == "companies/contacts":
        assert make(*few, *many) == [400]
    assert set(make(*few)) == {201}
    assert make(*many) == [400]
    after = client.get("/crm/v3/objects/contacts?limit=100").json()["results"]
    assert len(after) == before + len(few)
