"""
What cannot be undone: merging two records, and deleting one for good (facts 4.2 and 5.2).

All of it rests on documents alone or on an assumption.
"""

from __future__ import annotations

import pytest

from hsagency.sandbox import Clock, Sandbox
from tests.sandbox.asking import Asking
from tests.sandbox.conftest import NOON

CONTACTS, DATED = "/crm/v3/objects/contacts", "/crm/objects/2026-09/contacts"


def merge(ask: Asking, into: object, merged: object, path: str = CONTACTS) -> int:
    body = {"primaryObjectId": into, "objectIdToMerge": merged}
    return ask("POST", f"{path}/merge", body)[0]


def address(ask: Asking, id_: int) -> str:
    found: str = ask("GET", f"{CONTACTS}/{id_}")[1]["properties"]["email"]
    return found


@pytest.mark.parametrize("path", [CONTACTS, DATED, "/crm/objects/2026-03/0-1"])
def test_a_merged_record_leads_to_the_one_that_is_left(ask: Asking, path: str) -> None:
    """Facts 5.2; from documents alone: irreversible. That values fill gaps is an assumption."""
    lost = address(ask, 151)
    ask("PATCH", f"{CONTACTS}/101", {"properties": {"city": "Ulm"}})
    ask("PATCH", f"{CONTACTS}/151", {"properties": {"city": "Bern", "phone": "7"}})
    body = {"primaryObjectId": "101", "objectIdToMerge": "151"}
    status, answer = ask("POST", f"{path}/merge", body)
    assert (status, answer["id"], answer["properties"]["email"]) == (200, "101", address(ask, 101))
    names = "properties=city,phone,hs_additional_emails,hs_merged_object_ids"
    for id_ in ("101", "151", f"{lost}?idProperty=email"):
        joint = "&" if "?" in id_ else "?"
        status, found = ask("GET", f"{path}/{id_}{joint}{names}")
        assert (status, found["id"]) == (200, "101")
        properties = found["properties"]
        assert (properties["city"], properties["phone"]) == ("Ulm", "7")
        assert properties["hs_additional_emails"] == lost
        assert properties["hs_merged_object_ids"] == "151"
    listed = [one["id"] for one in ask("GET", f"{path}?limit=100")[1]["results"]]
    assert (len(listed), "151" in listed) == (11, False)
    status, refusal = ask("POST", CONTACTS, {"properties": {"email": lost}})
    assert (status, refusal["message"]) == (409, "Contact already exists. Existing ID: 101")


def test_whoever_takes_a_record_in_takes_all_that_was_merged_into_it(ask: Asking) -> None:
    """An assumption: no document tells of chains."""
    addresses = [address(ask, id_) for id_ in (101, 151, 201)]
    assert merge(ask, 151, 101) == 200
    assert merge(ask, 201, 151) == 200
    names = "properties=hs_merged_object_ids,hs_additional_emails,email"
    for id_ in (101, 151, 201):
        found = ask("GET", f"{CONTACTS}/{id_}?{names}")[1]
        assert found["id"] == "201"
        assert set(found["properties"]["hs_merged_object_ids"].split(";")) == {"101", "151"}
        assert found["properties"]["email"] == addresses[2]
        assert found["properties"]["hs_additional_emails"] == f"{addresses[1]};{addresses[0]}"
    assert ask("DELETE", f"{CONTACTS}/101")[0] == 204
    assert ask("GET", f"{CONTACTS}/201")[0] == 404
    free = {"properties": {"email": addresses[0]}}
    assert ask("POST", CONTACTS, free)[0] == 201


def test_a_contact_without_an_address_gets_that_of_the_other(ask: Asking) -> None:
    """An assumption."""
    bare = ask("POST", CONTACTS, {"properties": {"city": "Ulm"}})[1]["id"]
    lost = address(ask, 101)
    assert merge(ask, bare, 101) == 200
    found = ask("GET", f"{CONTACTS}/{lost}?idProperty=email&properties=email,hs_additional_emails")
    assert found[1]["id"] == bare
    assert found[1]["properties"]["email"] == lost
    assert found[1]["properties"]["hs_additional_emails"] is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"primaryObjectId": "101", "objectIdToMerge": "101"}, 400),
        ({"primaryObjectId": "101"}, 400),
        ({"primaryObjectId": "101", "objectIdToMerge": True}, 400),
        ({"primaryObjectId": "101", "objectIdToMerge": "7"}, 404),
        ({"primaryObjectId": "7", "objectIdToMerge": "101"}, 404),
        ({"primaryObjectId": "abc", "objectIdToMerge": "101"}, 404),
    ],
)
def test_a_merge_of_nothing_is_refused(ask: Asking, body: dict[str, object], status: int) -> None:
    """From documents alone; which status it is, is an assumption."""
    assert ask("POST", f"{CONTACTS}/merge", body)[0] == status
    assert len(ask("GET", f"{CONTACTS}?limit=100")[1]["results"]) == 12


def test_a_merge_cannot_be_repeated(ask: Asking) -> None:
    """An assumption: facts 4.3 say only that the outcome of a repeated one is unknown."""
    assert merge(ask, 101, 151) == 200
    assert merge(ask, 101, 151) == 400


def test_a_record_takes_in_up_to_250_identities() -> None:
    """Facts 4.2; from documents alone. That its own is one of them is an assumption."""
    ask = Asking(Sandbox(portals=1, contacts=260, clock=Clock(NOON)))
    for number in range(1, 250):
        assert merge(ask, 101, 101 + 50 * number) == 200
    assert merge(ask, 101, 101 + 50 * 250) == 414
    assert merge(ask, 101 + 50 * 250, 101) == 414
    assert ask("GET", f"{CONTACTS}/{101 + 50 * 250}")[1]["id"] == str(101 + 50 * 250)
    assert len(ask("POST", f"{CONTACTS}/search", {"limit": 200})[1]["results"]) == 11


@pytest.mark.parametrize("kind", ["companies", "deals", "tickets", "0-5"])
def test_other_records_are_merged_too(ask: Asking, kind: str) -> None:
    """Facts 5.2; from documents alone."""
    path = f"/crm/v3/objects/{kind}"
    assert merge(ask, 101, 151, path) == 200
    assert ask("GET", f"{path}/151")[1]["id"] == "101"


def test_a_merge_moves_associations_to_the_survivor(ask: Asking) -> None:
    """An assumption."""
    new = {
        "properties": {"email": "new@example.com"},
        "associations": [
            {
                "to": {"id": "101"},
                "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 4}],
            }
        ],
    }
    status, made = ask("POST", CONTACTS, new)
    assert status == 201
    survivor = ask("POST", CONTACTS, {"properties": {"email": "other@example.com"}})[1]["id"]
    assert merge(ask, survivor, made["id"]) == 200
    found = ask("GET", f"{CONTACTS}/{survivor}?associations=deals")[1]["associations"]
    assert [one["id"] for one in found["deals"]["results"]] == ["101"]


@pytest.mark.parametrize("path", [CONTACTS, DATED])
@pytest.mark.parametrize("by", ["id", "email"])
def test_a_deleted_contact_is_gone_for_good(ask: Asking, path: str, by: str) -> None:
    """Facts 5.2; from documents alone: gone for good. A free address is an assumption."""
    email = address(ask, 151)
    body = {"objectId": "151"} if by == "id" else {"objectId": email, "idProperty": "email"}
    assert ask("POST", f"{path}/gdpr-delete", body) == (204, None)
    for query in ("", "?archived=true"):
        assert ask("GET", f"{path}/151{query}")[0] == 404
        listed = ask("GET", f"{path}{query or '?limit=100'}")[1]["results"]
        assert "151" not in {one["id"] for one in listed}
    assert ask("POST", path, {"properties": {"email": email}})[0] == 201


@pytest.mark.parametrize("by", ["id", "email"])
def test_the_recycling_bin_is_no_refuge(ask: Asking, by: str) -> None:
    """An assumption."""
    email = address(ask, 151)
    body = {"objectId": "151"} if by == "id" else {"objectId": email, "idProperty": "email"}
    ask("DELETE", f"{CONTACTS}/151")
    assert ask("POST", f"{CONTACTS}/gdpr-delete", body) == (204, None)
    assert ask("GET", f"{CONTACTS}/151?archived=true")[0] == 404
    assert ask("POST", CONTACTS, {"properties": {"email": email}})[0] == 201


@pytest.mark.parametrize("path", [CONTACTS, DATED])
def test_an_address_that_no_contact_has_is_blocked(ask: Asking, path: str) -> None:
    """Facts 5.2; from documents alone. How HubSpot then answers is an assumption."""
    body = {"objectId": "Typo@Example.com", "idProperty": "email"}
    assert ask("POST", f"{path}/gdpr-delete", body) == (204, None)
    typo = {"properties": {"email": "typo@example.com"}}
    upsert = {"inputs": [{"id": "typo@example.com", "idProperty": "email", "properties": {}}]}
    for method, target, content in (
        ("POST", path, typo),
        ("PATCH", f"{path}/101", typo),
        ("POST", f"{path}/batch/create", {"inputs": [typo]}),
        ("POST", f"{path}/batch/update", {"inputs": [{"id": "101", **typo}]}),
        ("POST", f"{path}/batch/upsert", upsert),
    ):
        status, answer = ask(method, target, content)
        assert (status, answer["category"]) == (400, "VALIDATION_ERROR")
        assert "BLOCKLISTED_EMAIL" in answer["message"]
    assert len(ask("GET", f"{path}?limit=100")[1]["results"]) == 12
    assert Asking(ask.sandbox, index=1)("POST", path, typo)[0] == 201


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"objectId": "7"}, 404),
        ({"objectId": "typo@example.com"}, 404),
        ({"idProperty": "email"}, 400),
        ({"objectId": "Ulm", "idProperty": "city"}, 400),
        ({"objectId": "101", "idProperty": 7}, 400),
    ],
)
def test_a_deletion_of_nothing_blocks_nothing(
    ask: Asking, body: dict[str, object], status: int
) -> None:
    """An assumption: the specification names no refusal."""
    assert ask("POST", f"{CONTACTS}/gdpr-delete", body)[0] == status
    assert ask("POST", CONTACTS, {"properties": {"email": "typo@example.com"}})[0] == 201


def test_the_dated_form_deletes_any_type_and_the_old_one_contacts(ask: Asking) -> None:
    """Facts 5.2; from documents alone, under contacts only: that any type goes is an assumption."""
    old, dated = "/crm/v3/objects/deals", "/crm/objects/2026-09/deals"
    assert ask("POST", f"{old}/gdpr-delete", {"objectId": "101"})[0] == 404
    assert ask("POST", f"{dated}/gdpr-delete", {"objectId": "101"}) == (204, None)
    assert ask("GET", f"{old}/101?archived=true")[0] == 404
    assert ask("POST", "/crm/v3/objects/0-1/gdpr-delete", {"objectId": "101"}) == (204, None)


@pytest.mark.parametrize("path", [CONTACTS, DATED])
def test_merging_and_deleting_need_the_scope_to_write(
    sandbox: Sandbox, ask: Asking, path: str
) -> None:
    """Facts 5.2; from documents alone."""
    sandbox.set_scopes(sandbox.portals[0].portal_id, {"crm.objects.contacts.read"})
    assert merge(ask, 101, 151, path) == 403
    assert ask("POST", f"{path}/gdpr-delete", {"objectId": "101"})[0] == 403


def test_a_merged_address_is_found_in_any_letters_and_free_when_its_record_goes(
    ask: Asking,
) -> None:
    """An assumption: no document tells of it."""
    _, lost = ask("POST", CONTACTS, {"properties": {"email": "Lost.One@Example.com"}})
    merge = {"primaryObjectId": "101", "objectIdToMerge": lost["id"]}
    assert ask("POST", f"{CONTACTS}/merge", merge)[0] == 200
    assert ask("GET", f"{CONTACTS}/lost.one@EXAMPLE.com?idProperty=email")[1]["id"] == "101"
    same = {"properties": {"email": "LOST.ONE@example.com"}}
    assert ask("POST", CONTACTS, same)[0] == 409
    assert ask("DELETE", f"{CONTACTS}/101")[0] == 204
    assert ask("POST", CONTACTS, same)[0] == 201
