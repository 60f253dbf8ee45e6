"""
Exports: started, waited for by the sandbox's clock, and fetched by a signed address.

Facts 1.4, 2.4, 5.1, 5.2, 5.3 and 6; from documents alone where a test says no more.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from hsagency.sandbox import Request, Sandbox
from hsagency.sandbox.contents.exports import DAY_MAX
from tests.sandbox.asking import Asking
from tests.sandbox.conftest import Client, Connect

V3 = "/crm/v3/exports/export/async"
VIEW: dict[str, Any] = {
    "exportType": "VIEW",
    "format": "CSV",
    "exportName": "All contacts",
    "language": "EN",
    "objectType": "CONTACT",
    "objectProperties": ["email", "lifecyclestage"],
    "exportInternalValuesOptions": ["NAMES", "VALUES"],
}
Finish = Callable[..., list[dict[str, str]]]


def start(client: Client, path: str = V3, **changes: Any) -> str:
    made = client.post(path, json=VIEW | changes)
    assert made.status_code == 202, made.text
    id_: str = made.json()["id"]
    return id_


def status(client: Client, id_: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{V3}/tasks/{id_}/status").json()
    return found


@pytest.fixture
def finish(client: Client, sandbox: Sandbox, inside: Connect) -> Finish:
    """Start an export, let its time pass, and fetch the file without a token."""

    def finish(**changes: Any) -> list[dict[str, str]]:
        id_ = start(client, **changes)
        sandbox.clock.advance(60)
        file = inside(sandbox, None).get(status(client, id_)["result"])
        assert file.headers["content-type"] == "text/csv;charset=utf-8"
        return list(csv.DictReader(file.text.splitlines()))

    return finish


@pytest.mark.parametrize(
    "path", [V3, *(f"/crm/exports/{v}/export/async" for v in ("2026-03", "2026-09"))]
)
def test_an_export_is_pending_then_worked_on_then_complete(
    client: Client, sandbox: Sandbox, path: str
) -> None:
    """Facts 5.1; from documents alone. How long it takes is the sandbox's choice."""
    made = client.post(path, json=VIEW)
    link = made.json()["links"]["status"]
    assert link.endswith(f"{path}/tasks/{made.json()['id']}/status")
    seen = []
    for seconds in (0, 3, 10):
        sandbox.clock.advance(seconds)
        seen.append(client.get(link).json())
    assert [one["status"] for one in seen] == ["PENDING", "PROCESSING", "COMPLETE"]
    assert ["result" in one for one in seen] == [False, False, True]


def test_the_file_is_fetched_over_a_socket_without_a_token(
    over_a_socket: Connect, sandbox: Sandbox
) -> None:
    """Facts 5.3, a signed address; from documents alone."""
    client = over_a_socket(sandbox, sandbox.portals[0].token)
    id_ = start(client)
    sandbox.clock.advance(60)
    file = over_a_socket(sandbox, None).get(status(client, id_)["result"])
    assert file.status_code == 200
    assert len(file.text.splitlines()) == 13
    assert "attachment" in file.headers["content-disposition"]


def test_the_file_holds_what_the_portal_holds(client: Client, finish: Finish) -> None:
    """Facts 5.2, bulk data; from documents alone. The columns' order is an assumption."""
    lines = finish()
    records = client.get("/crm/v3/objects/contacts", params={"limit": 100}).json()["results"]
    assert [(one["Record ID"], one["email"]) for one in lines] == [
        (one["id"], one["properties"]["email"]) for one in records
    ]


def test_names_and_choices_are_labels_unless_internal_ones_are_asked_for(finish: Finish) -> None:
    """From documents alone."""
    internal, shown = finish()[0], finish(exportInternalValuesOptions=[])[0]
    assert shown["Email"] == internal["email"]
    assert shown["Lifecyclestage"] != internal["lifecyclestage"]
    assert shown["Lifecyclestage"].lower() == internal["lifecyclestage"]


def test_a_view_is_filtered_and_sorted(client: Client, finish: Finish) -> None:
    """From documents alone: filters, filter groups, a query, and a sort with an order."""
    one = client.get("/crm/v3/objects/contacts/201").json()["properties"]
    same = {"propertyName": "email", "operator": "EQ", "value": one["email"]}
    (line,) = finish(publicCrmSearchRequest={"filters": [same], "query": one["lastname"]})
    assert line["Record ID"] == "201"
    sort = {"propertyName": "email", "order": "DESC"}
    emails = [line["email"] for line in finish(publicCrmSearchRequest={"sorts": [sort]})]
    assert emails == sorted(emails, reverse=True)


def test_the_ids_of_linked_records_are_a_column(client: Client, finish: Finish) -> None:
    """From documents alone; the name of the column is an assumption."""
    client.put("/crm/v4/objects/contacts/101/associations/default/companies/201")
    lines = finish(associatedObjectType="COMPANY")
    assert lines[0]["Associated Company IDs"] == "101;201"


def test_a_list_is_exported(client: Client, finish: Finish) -> None:
    """From documents alone (facts 5.1 for the path); the refusals are an assumption."""
    body = {"name": "VIPs", "objectTypeId": "0-1", "processingType": "MANUAL"}
    made = client.post("/crm/v3/lists", json=body).json()
    list_id = made["list"]["listId"]
    client.put(f"/crm/v3/lists/{list_id}/memberships/add", json=["151", "251"])
    assert [one["Record ID"] for one in finish(exportType="LIST", listId=list_id)] == ["151", "251"]
    wrong = client.post(
        V3,
        json=VIEW
        | {"exportType": "LIST", "listId": list_id, "objectType": "DEAL", "objectProperties": []},
    )
    assert wrong.status_code == 400
    gone = client.post(V3, json=VIEW | {"exportType": "LIST", "listId": 999_999})
    assert gone.status_code == 404


def test_what_changes_later_is_not_in_the_file(
    client: Client, sandbox: Sandbox, inside: Connect
) -> None:
    """An assumption: the file is of the moment it was asked for."""
    id_ = start(client)
    client.patch("/crm/v3/objects/contacts/101", json={"properties": {"email": "new@example.com"}})
    sandbox.clock.advance(60)
    assert "new@example.com" not in inside(sandbox, None).get(status(client, id_)["result"]).text


def test_the_address_of_a_file_is_good_for_five_minutes(
    client: Client, sandbox: Sandbox, inside: Connect
) -> None:
    """From documents alone; that the refusal is a 403 is an assumption."""
    id_ = start(client)
    sandbox.clock.advance(60)
    stranger, address = inside(sandbox, None), status(client, id_)["result"]
    sandbox.clock.advance(299)
    assert stranger.get(address).status_code == 200
    sandbox.clock.advance(1)
    assert stranger.get(address).status_code == 403
    assert stranger.get(status(client, id_)["result"]).status_code == 200


def test_an_address_opens_one_file_only(client: Client, sandbox: Sandbox, inside: Connect) -> None:
    """An assumption: facts 5.3 know the address as a secret, and nobody has shown the refusal."""
    first, second = start(client), start(client)
    sandbox.clock.advance(60)
    stranger, address = inside(sandbox, None), status(client, first)["result"]
    portal, other = (str(one.portal_id) for one in sandbox.portals[:2])
    for forged in (
        address.replace(f"/{first}?", f"/{second}?"),
        address.replace(f"/{portal}/", f"/{other}/"),
        address.partition("?")[0],
        address.replace("expires=1", "expires=2"),
        address[:-1] + ("0" if address[-1] != "0" else "1"),
    ):
        assert stranger.get(forged).status_code == 403
    assert stranger.get(address.replace(f"/{portal}/", "/1/")).status_code == 404
    assert stranger.post(address).status_code == 405


def test_the_ledger_does_not_keep_the_signature(
    client: Client, sandbox: Sandbox, inside: Connect
) -> None:
    """Facts 5.3; from documents alone: a signed address is a secret."""
    id_ = start(client)
    sandbox.clock.advance(60)
    address = status(client, id_)["result"]
    inside(sandbox, None).get(address)
    entry = sandbox.ledger(sandbox.portals[0].portal_id)[-1]
    assert entry.path in address
    assert dict(entry.query)["signature"] not in address


def test_one_export_waits_for_another(client: Client, sandbox: Sandbox) -> None:
    """From documents alone."""
    first, second = start(client), start(client)
    sandbox.clock.advance(7)
    assert [status(client, id_)["status"] for id_ in (first, second)] == ["COMPLETE", "PROCESSING"]
    sandbox.clock.advance(5)
    assert status(client, second)["status"] == "COMPLETE"


def test_a_day_has_thirty_exports(client: Client, sandbox: Sandbox) -> None:
    """From documents alone; that the refusal is a 429 is an assumption."""
    for _ in range(DAY_MAX):
        start(client)
    assert client.post(V3, json=VIEW).status_code == 429
    sandbox.clock.advance(24 * 3600)
    start(client)


def test_an_export_leaves_a_trace_in_the_security_history(client: Client, sandbox: Sandbox) -> None:
    """Facts 1.4 and 2.4; from documents alone. That every export leaves it is an assumption."""
    id_ = start(client)
    path = "/account-info/v3/activity/security"
    events = client.get(path, params={"limit": 200}).json()["results"]
    (event,) = (one for one in events if one.get("objectId") == id_)
    assert event["type"] == "CONTACT_DATA_EXPORT"
    assert event["userId"] == sandbox.portals[0].credential.user_id


@pytest.mark.parametrize("name", ["exportType", "format", "exportName", "language", "objectType"])
def test_an_export_says_what_it_is(client: Client, name: str) -> None:
    """From documents alone (facts 4.2 for the category)."""
    refused = client.post(V3, json={key: value for key, value in VIEW.items() if key != name})
    assert (refused.status_code, refused.json()["category"]) == (400, "VALIDATION_ERROR")
    assert name in refused.json()["message"]


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "ODS"},
        {"language": "XX"},
        {"exportType": "EVERYTHING"},
        {"objectType": "spaceships"},
        {"objectProperties": ["no_such"]},
        {"objectProperties": "email"},
        {"exportType": "LIST"},
        {"publicCrmSearchRequest": 1},
        {"publicCrmSearchRequest": {"filterGroups": 1}},
        {"publicCrmSearchRequest": {"filterGroups": [1]}},
        {"publicCrmSearchRequest": {"filterGroups": [{}] * 4}},
        {"publicCrmSearchRequest": {"sorts": 1}},
        {"publicCrmSearchRequest": {"sorts": [{"propertyName": "email", "order": "UP"}]}},
    ],
)
def test_what_cannot_be_exported_is_refused(client: Client, changes: dict[str, Any]) -> None:
    """From documents alone: what may be asked for. That each is a 400 is an assumption."""
    assert client.post(V3, json=VIEW | changes).status_code == 400


@pytest.mark.parametrize("wanted", ["XLSX", "XLS", "xlsx"])
def test_the_sandbox_says_that_it_writes_csv_only(client: Client, wanted: str) -> None:
    """HubSpot writes these formats; the sandbox does not."""
    refused = client.post(V3, json=VIEW | {"format": wanted})
    assert refused.status_code == 400
    assert "CSV only" in refused.json()["message"]


def test_an_export_of_another_portal_is_a_403(sandbox: Sandbox, inside: Connect) -> None:
    """The message was observed by others, of another id; here it is an assumption."""
    client = inside(sandbox, sandbox.portals[1].token)
    id_ = start(inside(sandbox, sandbox.portals[0].token))
    refused = client.get(f"{V3}/tasks/{id_}/status")
    assert refused.status_code == 403
    assert str(sandbox.portals[1].portal_id) in refused.json()["message"]


def test_exports_need_a_scope_of_their_own(sandbox: Sandbox, inside: Connect) -> None:
    """From documents alone; facts 6 tell of scopes, and not of this one."""
    sandbox.set_scopes(sandbox.portals[0].portal_id, ["crm.objects.contacts.read"])
    refused = inside(sandbox, sandbox.portals[0].token).post(V3, json=VIEW)
    assert refused.status_code == 403
    assert "crm.export" in refused.text


def fetched(sandbox: Sandbox, path: str, **query: str) -> int:
    request = Request("GET", path, query=tuple(query.items()))
    return sandbox.handle(request).status


def test_an_address_of_a_file_opens_that_file_of_that_portal(sandbox: Sandbox) -> None:
    """
    An assumption (facts 5.3 know the address as a secret).

    The key follows from the seed, so that nobody should take the sandbox's for a secret.
    """
    asking, (first, second, _) = Asking(sandbox), sandbox.portals
    _, started = asking("POST", "/crm/v3/exports/export/async", VIEW)
    sandbox.clock.advance(60)
    status = f"/crm/v3/exports/export/async/tasks/{started['id']}/status"
    address = urlsplit(asking("GET", status)[1]["result"])
    query = dict(parse_qsl(address.query))
    assert fetched(sandbox, address.path, **query) == 200
    for odd in ("", "1e9", "9" * 5_000, "-1", "\u0661"):
        assert fetched(sandbox, address.path, **query | {"expires": odd}) == 403
    other = address.path.replace(str(first.portal_id), str(second.portal_id))
    assert fetched(sandbox, other, **query) == 403
    sandbox.suspend(first.portal_id)
    assert fetched(sandbox, address.path, **query) == 403
    sandbox.unsuspend(first.portal_id)
    assert fetched(sandbox, address.path, **query) == 200


@pytest.mark.parametrize("expires", ["", "1e9", "9" * 5_000])
def test_even_who_can_sign_gets_no_file_for_a_time_that_is_none(
    sandbox: Sandbox, expires: str
) -> None:
    """Nothing of HubSpot's: how the sandbox reads what it signed."""
    portal_id = sandbox.portals[0].portal_id
    _, started = Asking(sandbox)("POST", "/crm/v3/exports/export/async", VIEW)
    key = f"{sandbox.seed}/{portal_id}/exports".encode()
    path = f"/exports/files/{portal_id}/{started['id']}"
    for wait in (0, 60):
        sandbox.clock.advance(wait)
        for when, ready in ((expires, False), ("9" * 11, wait > 0)):
            text = f"{started['id']}/{when}".encode()
            signature = hmac.new(key, text, hashlib.sha256).hexdigest()
            status = fetched(sandbox, path, expires=when, signature=signature)
            assert status == (200 if ready else 403)
