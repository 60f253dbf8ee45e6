"""
Associations: what is linked, by which types, and that both directions agree.

Facts 5.1 for the paths and 5.2 for what deletes; bodies and rules are HubSpot's guides', from
documents alone, where a test says no more.
"""

from __future__ import annotations

import pytest

from hsagency.sandbox import Sandbox
from hsagency.sandbox.contents.state import PortalState
from tests.sandbox.conftest import Client, Connect

CONTACTS = "/crm/v4/objects/contacts"
V4 = "/crm/v4/associations/contacts/companies"


def company_ids(client: Client, contact: int, version: str = "v4") -> list[int]:
    area = "/crm/v4/objects" if version == "v4" else f"/crm/objects/{version}"
    found = client.get(f"{area}/contacts/{contact}/associations/companies").json()["results"]
    return [int(one["toObjectId"]) for one in found]


def types(client: Client, contact: int, company: int) -> set[int]:
    found = client.get(f"{CONTACTS}/{contact}/associations/companies").json()["results"]
    return {
        link["typeId"]
        for one in found
        if one["toObjectId"] == company
        for link in one["associationTypes"]
    }


def state_of(sandbox: Sandbox, index: int = 0) -> PortalState:
    return sandbox._fleet[index]


def test_a_seeded_contact_works_at_a_company_and_its_deal_is_with_that_company(
    client: Client,
) -> None:
    """What a portal starts with is our own."""
    contact = client.get(f"{CONTACTS}/151/associations/companies").json()
    deals = client.get(f"{CONTACTS}/151/associations/deals").json()["results"]
    deal = deals[0]["toObjectId"]
    of_deal = client.get(f"/crm/v4/objects/deals/{deal}/associations/companies").json()
    assert contact["results"][0]["toObjectId"] == of_deal["results"][0]["toObjectId"]
    assert contact["results"][0]["associationTypes"] == [
        {"category": "HUBSPOT_DEFINED", "typeId": 279, "label": None},
        {"category": "HUBSPOT_DEFINED", "typeId": 1, "label": "Primary"},
    ]


@pytest.mark.parametrize(
    ("kind", "other", "there", "back"),
    [
        ("contacts", "companies", 279, 280),
        ("contacts", "deals", 4, 3),
        ("contacts", "tickets", 15, 16),
        ("contacts", "contacts", 449, 449),
        ("deals", "companies", 341, 342),
        ("deals", "line_items", 19, 20),
        ("deals", "tickets", 27, 28),
        ("tickets", "companies", 339, 340),
        ("companies", "companies", 450, 450),
    ],
)
def test_the_plain_association_has_hubspots_ids_in_both_directions(
    client: Client, kind: str, other: str, there: int, back: int
) -> None:
    """The ids are those of HubSpot's published table: from documents alone."""
    link = f"/crm/v4/objects/{kind}/151/associations/default/{other}/201"
    results = client.put(link).json()["results"]
    assert [one["associationSpec"]["associationTypeId"] for one in results] == [there, back]
    assert (results[1]["from"]["id"], results[1]["to"]["id"]) == ("201", "151")


def test_both_forms_of_the_path_show_the_same_links(client: Client) -> None:
    """Facts 5.1; version 4 writes ids as numbers and dated versions as text, from documents."""
    old = client.get(f"{CONTACTS}/101/associations/companies").json()["results"]
    for dated in ("2026-03", "2026-09"):
        new = client.get(f"/crm/objects/{dated}/contacts/101/associations/companies")
        assert [one["toObjectId"] for one in new.json()["results"]] == [
            str(one["toObjectId"]) for one in old
        ]
    batch = {"inputs": [{"id": "101"}]}
    for path in (V4, "/crm/associations/2026-09/contacts/companies"):
        assert client.post(f"{path}/batch/read", json=batch).status_code == 200


def test_a_link_is_made_seen_from_both_sides_and_taken_away(
    connect: Connect, sandbox: Sandbox
) -> None:
    """Facts 5.1. From documents alone."""
    client = connect(sandbox, sandbox.portals[0].token)
    spec = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}]
    made = client.put(f"{CONTACTS}/101/associations/companies/201", json=spec)
    assert made.status_code == 201
    assert made.json() == {
        "fromObjectTypeId": "0-1",
        "fromObjectId": 101,
        "toObjectTypeId": "0-2",
        "toObjectId": 201,
        "labels": [],
    }
    assert company_ids(client, 101) == [101, 201]
    back = client.get("/crm/v4/objects/companies/201/associations/contacts").json()["results"]
    assert 101 in [one["toObjectId"] for one in back]
    for _ in range(2):
        gone = client.delete(f"{CONTACTS}/101/associations/companies/201")
        assert gone.status_code == 204
    assert company_ids(client, 101) == [101]


def test_the_first_company_becomes_the_primary_one_and_there_is_one_at_most(
    client: Client,
) -> None:
    """An assumption: HubSpot says so of its screens."""
    client.delete(f"{CONTACTS}/101/associations/companies/101")
    client.put(f"{CONTACTS}/101/associations/default/companies/151")
    client.put(f"{CONTACTS}/101/associations/default/companies/201")
    assert (types(client, 101, 151), types(client, 101, 201)) == ({279, 1}, {279})
    # and set from the other side it moves
    spec = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 2}]
    client.put("/crm/v4/objects/companies/201/associations/contacts/101", json=spec)
    assert (types(client, 101, 151), types(client, 101, 201)) == ({279}, {279, 1})


def test_links_come_in_pages_that_hold_each_exactly_once(client: Client) -> None:
    """Facts 5.1 for the path; the order by id is an assumption."""
    for company in (151, 201):
        client.put(f"{CONTACTS}/101/associations/default/companies/{company}")
    seen, after = [], "0"
    while after:
        page = client.get(
            f"{CONTACTS}/101/associations/companies", params={"limit": 1, "after": after}
        ).json()
        seen += [one["toObjectId"] for one in page["results"]]
        after = page.get("paging", {}).get("next", {}).get("after")
    assert seen == [101, 151, 201]
    too_many = client.get(f"{CONTACTS}/101/associations/companies", params={"limit": 501})
    assert too_many.status_code == 400


def test_a_record_that_is_not_there_cannot_be_linked(client: Client) -> None:
    """The body is one that integrators report; facts are silent."""
    spec = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}]
    refused = client.put(f"{CONTACTS}/101/associations/companies/999", json=spec)
    assert refused.status_code == 400
    assert refused.json()["message"] == "One or more associations are invalid"
    assert refused.json()["context"] == {
        "INVALID_OBJECT_IDS": ["COMPANY=999 is not valid"],
        "objectId": ["999"],
        "objectType": ["COMPANY"],
    }
    assert client.get(f"{CONTACTS}/999/associations/companies").status_code == 404


@pytest.mark.parametrize(
    ("category", "type_id"),
    [("HUBSPOT_DEFINED", 3), ("USER_DEFINED", 279), ("HUBSPOT_DEFINED", 12_345)],
)
def test_a_type_of_another_pair_links_nothing(client: Client, category: str, type_id: int) -> None:
    """Facts 4.2 for the 400. From documents alone."""
    spec = [{"associationCategory": category, "associationTypeId": type_id}]
    refused = client.put(f"{CONTACTS}/101/associations/companies/201", json=spec)
    assert refused.status_code == 400
    assert refused.json()["context"]["associationSpec"] == [f"{category}={type_id}"]
    assert company_ids(client, 101) == [101]


@pytest.mark.parametrize("body", ["{}", "[]", "[1]", '[{"associationTypeId": "279"}]', "nonsense"])
def test_a_body_without_types_is_refused(client: Client, body: str) -> None:
    refused = client.put(f"{CONTACTS}/101/associations/companies/201", content=body)
    assert refused.status_code == 400
    assert refused.json()["category"] == "VALIDATION_ERROR"


def test_a_record_is_not_linked_to_itself_nor_types_that_never_are(client: Client) -> None:
    itself = client.put(f"{CONTACTS}/101/associations/default/contacts/101")
    assert itself.status_code == 400
    never = client.get("/crm/v4/objects/products/101/associations/contacts")
    assert never.json()["subCategory"] == "crm.associations.INVALID_ASSOCIATION_TYPE"


def test_a_batch_read_says_207_of_a_record_without_links(client: Client) -> None:
    """
    Facts 4.2 for the 207; the body is one that integrators report.

    From documents alone but for that.
    """
    client.delete(f"{CONTACTS}/151/associations/companies/151")
    inputs = {"inputs": [{"id": "101"}, {"id": "151"}, {"id": "x"}]}
    answer = client.post(f"{V4}/batch/read", json=inputs)
    assert answer.status_code == 207
    content = answer.json()
    assert [one["from"]["id"] for one in content["results"]] == ["101"]
    assert content["numErrors"] == 2
    empty, broken = content["errors"]
    assert empty["message"] == "No company is associated with contact 151."
    assert empty["subCategory"] == "crm.associations.NO_ASSOCIATIONS_FOUND"
    assert broken["subCategory"] == "crm.associations.INVALID_IDENTIFIER"


def test_a_batch_read_goes_on_from_a_cursor(client: Client) -> None:
    client.put(f"{CONTACTS}/101/associations/default/companies/201")
    inputs = {"inputs": [{"id": "101", "after": "101"}]}
    content = client.post(f"{V4}/batch/read", json=inputs).json()
    assert [one["toObjectId"] for one in content["results"][0]["to"]] == [201]
    inputs["inputs"][0]["after"] = "soon"
    assert client.post(f"{V4}/batch/read", json=inputs).json()["numErrors"] == 1


def test_a_batch_links_what_can_be_linked(client: Client) -> None:
    """Facts 4.2: a 207 holds results and errors. From documents alone."""
    spec = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}]
    pairs = [("101", "151"), ("101", "999")]
    inputs = [{"from": {"id": a}, "to": {"id": b}, "types": spec} for a, b in pairs]
    answer = client.post(f"{V4}/batch/create", json={"inputs": inputs})
    assert (answer.status_code, answer.json()["numErrors"]) == (207, 1)
    assert company_ids(client, 101) == [101, 151]
    good = client.post(f"{V4}/batch/create", json={"inputs": inputs[:1]})
    assert (good.status_code, "errors" in good.json()) == (201, False)


def test_a_batch_links_by_default_and_takes_apart(client: Client) -> None:
    """Facts 5.2: archive is a delete by POST. From documents alone."""
    inputs = [{"from": {"id": "101"}, "to": {"id": "151"}}]
    made = client.post(f"{V4}/batch/associate/default", json={"inputs": inputs})
    assert (made.status_code, len(made.json()["results"])) == (200, 2)
    inputs = [{"from": {"id": "101"}, "to": [{"id": "101"}, {"id": "151"}, {"id": "999"}]}]
    gone = client.post(f"{V4}/batch/archive", json={"inputs": inputs})
    assert gone.status_code == 204
    assert company_ids(client, 101) == []


@pytest.mark.parametrize(
    "body",
    [{}, {"inputs": 1}, {"inputs": [1]}, {"inputs": [{}]}, {"inputs": [{"from": {"id": "1"}}]}],
)
def test_a_batch_of_another_shape_is_refused(client: Client, body: object) -> None:
    assert client.post(f"{V4}/batch/archive", json=body).status_code == 400


def test_a_batch_has_its_limits(client: Client) -> None:
    """From documents alone: a thousand to read and two thousand to write."""
    for verb, most in (("read", 1_000), ("create", 2_000)):
        body = {"inputs": [{"id": "1"}] * (most + 1)}
        assert client.post(f"{V4}/batch/{verb}", json=body).status_code == 400


def test_without_its_plain_type_a_link_is_none_any_more(client: Client) -> None:
    """From documents alone: deleting the unlabelled association deletes the labelled ones."""
    primary = {"from": {"id": "101"}, "to": {"id": "101"}, "types": [{"associationTypeId": 1}]}
    plain = primary | {"types": [{"associationTypeId": 279}]}
    assert client.post(f"{V4}/batch/labels/archive", json={"inputs": [primary]}).status_code == 204
    assert types(client, 101, 101) == {279}
    client.post(f"{V4}/batch/labels/archive", json={"inputs": [plain]})
    assert company_ids(client, 101) == []


def test_custom_records_are_linked_too(sandbox: Sandbox, inside: Connect) -> None:
    """That a pair with a custom type needs no definition first is a simplification."""
    state = state_of(sandbox, 1)
    (kind,) = state.types.custom()
    record = next(iter(state.store(kind))).record_id
    client = inside(sandbox, sandbox.portals[1].token)
    made = client.put(f"/crm/v4/objects/{kind.name}/{record}/associations/default/contacts/101")
    assert [one["associationSpec"]["associationCategory"] for one in made.json()["results"]] == [
        "USER_DEFINED"
    ] * 2
    found = client.get(f"{CONTACTS}/101/associations/{kind.type_id}").json()["results"]
    assert [one["toObjectId"] for one in found] == [record]
    names = [
        client.get(f"/crm/v3/associations/{path}/types").json()["results"][0]["name"]
        for path in (f"contacts/{kind.type_id}", f"{kind.name}/contacts")
    ]
    assert names == [f"contacts_to_{kind.name}", f"{kind.name}_to_contacts"]


def test_labels_of_what_is_not_linked_are_taken_off_in_vain(client: Client) -> None:
    """An assumption, as is that a report goes to users only."""
    one = {"from": {"id": "101"}, "to": {"id": "201"}, "types": [{"associationTypeId": 1}]}
    none = one | {"to": {"id": "999"}}
    gone = client.post(f"{V4}/batch/labels/archive", json={"inputs": [one, none]})
    assert gone.status_code == 204
    report = client.post("/crm/v4/associations/usage/high-usage-report/me")
    assert report.status_code == 400


def test_version_three_names_its_types(client: Client) -> None:
    """From documents alone: the primary one has the plain name."""
    found = client.get("/crm/v3/associations/contacts/companies/types").json()["results"]
    assert {one["name"]: one["id"] for one in found} == {
        "contact_to_company": "1",
        "contact_to_company_unlabeled": "279",
    }


def test_version_three_links_by_name(client: Client) -> None:
    """Facts 5.1. From documents alone."""
    path = "/crm/v3/associations/contacts/deals"
    link = {"from": {"id": "151"}, "to": {"id": "101"}, "type": "contact_to_deal"}
    made = client.post(f"{path}/batch/create", json={"inputs": [link]})
    assert (made.status_code, made.json()["results"]) == (201, [link])
    read = client.post(f"{path}/batch/read", json={"inputs": [{"id": "151"}, {"id": "999"}]})
    assert (read.status_code, read.json()["numErrors"]) == (207, 1)
    assert {"id": "101", "type": "contact_to_deal"} in read.json()["results"][0]["to"]
    wrong = client.post(f"{path}/batch/create", json={"inputs": [link | {"type": "friend"}]})
    assert wrong.json()["errors"][0]["subCategory"] == "crm.associations.INVALID_ASSOCIATION_TYPE"
    gone = client.post(f"{path}/batch/archive", json={"inputs": [link]})
    assert gone.status_code == 204
    read = client.post(f"{path}/batch/read", json={"inputs": [{"id": "151"}]})
    assert [one["id"] for one in read.json()["results"][0]["to"]] == ["151"]


def test_version_three_links_one_record_at_a_time(client: Client) -> None:
    """Facts 5.1. From documents alone."""
    path = "/crm/v3/objects/contacts/151/associations/deals"
    made = client.put(f"{path}/101/contact_to_deal").json()
    assert made["id"] == "151"
    assert {"id": "101", "type": "contact_to_deal"} in made["associations"]["deals"]["results"]
    first = client.get(path, params={"limit": 1}).json()
    rest = client.get(path, params={"after": first["paging"]["next"]["after"]}).json()
    assert [one["id"] for one in (*first["results"], *rest["results"])] == ["101", "151"]
    assert client.delete(f"{path}/101/contact_to_deal").status_code == 204
    assert len(client.get(path).json()["results"]) == 1
    assert client.get("/crm/v3/objects/contacts/999/associations/deals").status_code == 404


def test_linking_needs_the_scope_to_write(sandbox: Sandbox, inside: Connect) -> None:
    """Facts 4.2 and 6. Observed by others."""
    sandbox.set_scopes(sandbox.portals[0].portal_id, ["crm.objects.contacts.read"])
    client = inside(sandbox, sandbox.portals[0].token)
    assert company_ids(client, 101) == [101]
    refused = client.put(f"{CONTACTS}/101/associations/default/companies/201")
    assert (refused.status_code, refused.json()["category"]) == (403, "MISSING_SCOPES")


def test_a_record_created_later_has_no_links(client: Client) -> None:
    made = client.post("/crm/v3/objects/contacts", json={"properties": {"firstname": "Ann"}})
    assert company_ids(client, int(made.json()["id"])) == []
