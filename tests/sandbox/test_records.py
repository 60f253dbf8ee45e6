import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.sandbox import Request, Sandbox

OLD, DATED = "/crm/v3/objects/contacts", "/crm/objects/2026-09/contacts"


def get(sandbox: Sandbox, target: str) -> dict:
    token = sandbox.rotate(sandbox.portals[0].portal_id).token  # rotation keeps the app
    reply = sandbox.handle(
        Request.parse("GET", target, headers=[("authorization", f"Bearer {token}")])
    )
    return json.loads(reply.body)


@given(limit=st.integers(1, 100), contacts=st.integers(0, 130))
def test_all_pages_together_are_all_contacts_exactly_once(limit: int, contacts: int) -> None:
    sandbox = Sandbox(portals=1, contacts=contacts, limits=False)
    ids, after = [], "0"
    while True:
        page = get(sandbox, f"{DATED}?limit={limit}&after={after}")
        ids += [int(record["id"]) for record in page["results"]]
        if "paging" not in page:
            break
        assert len(page["results"]) == limit
        after = page["paging"]["next"]["after"]
    assert len(ids) == contacts
    assert ids == sorted(set(ids))


@given(gone=st.sets(st.integers(0, 59)), limit=st.integers(1, 20))
def test_paging_holds_when_records_go_in_between(gone: set[int], limit: int) -> None:
    sandbox = Sandbox(portals=1, contacts=60)
    everyone = [101 + 50 * n for n in range(60)]
    kept = [id_ for n, id_ in enumerate(everyone) if n not in gone]
    ids, after = [], "0"
    while True:
        page = get(sandbox, f"{OLD}?limit={limit}&after={after}")
        if after == "0":
            first = [int(record["id"]) for record in page["results"]]
            archive(sandbox, [everyone[n] for n in sorted(gone)])
        ids += [int(record["id"]) for record in page["results"]]
        if "paging" not in page:
            break
        after = page["paging"]["next"]["after"]
    assert ids == first + [id_ for id_ in kept if id_ > first[-1]]


def archive(sandbox: Sandbox, ids: list[int]) -> None:
    token = sandbox.issue(sandbox.portals[0].portal_id).token
    headers = [("authorization", f"Bearer {token}")]
    for id_ in ids:
        assert sandbox.handle(Request.parse("DELETE", f"{OLD}/{id_}", headers=headers)).status == (
            204
        )


@pytest.mark.parametrize("path", [OLD, DATED, "/crm/objects/2026-03/0-1"])
def test_a_contact_lives_from_create_to_archive(client, path: str) -> None:
    created = client.post(path, json={"properties": {"email": "Ann@Example.com", "city": "Ulm"}})
    assert created.status_code == 201
    record = f"{path}/{created.json()['id']}"
    assert created.json()["properties"]["email"] == "ann@example.com"
    assert client.get(record, params={"properties": "city,nonsense"}).json()["properties"] == {
        **{name: created.json()["properties"][name] for name in ("createdate", "hs_object_id")},
        "lastmodifieddate": created.json()["updatedAt"],
        "city": "Ulm",
    }
    by_email = client.get(f"{path}/ann%40example.com", params={"idProperty": "email"})
    assert by_email.json()["id"] == created.json()["id"]
    changed = client.patch(record, json={"properties": {"city": "", "phone": 7}})
    assert changed.status_code == 200
    assert (changed.json()["properties"]["city"], changed.json()["properties"]["phone"]) == (
        None,
        "7",
    )
    gone = client.delete(record)
    assert (gone.status_code, gone.content) == (204, b"")
    assert "content-length" not in gone.headers
    for answer in (client.get(record), client.delete(record), client.patch(record, json={})):
        assert (answer.status_code, answer.json()["category"]) == (404, "OBJECT_NOT_FOUND")
    assert client.get(record, params={"archived": "true"}).json()["archived"] is True
    assert client.post(path, json={"properties": {"email": "ann@example.com"}}).status_code == 201


def test_an_address_belongs_to_one_contact(client) -> None:
    first, second = client.get(DATED, params={"limit": 2}).json()["results"]
    taken = {"properties": {"email": first["properties"]["email"].upper()}}
    for answer in (client.post(DATED, json=taken), client.patch(f"{DATED}/151", json=taken)):
        assert (answer.status_code, answer.json()["category"]) == (409, "CONFLICT")
        assert answer.json()["message"] == f"Contact already exists. Existing ID: {first['id']}"
    own = {"properties": {"email": second["properties"]["email"]}}
    assert client.patch(f"{DATED}/{second['id']}", json=own).status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"properties": {"email": "nobody"}}, "INVALID_EMAIL"),
        ({"properties": {"shoesize": "44"}}, "PROPERTY_DOESNT_EXIST"),
        ({"properties": {"createdate": "2020-01-01"}}, "READ_ONLY_VALUE"),
        ({"properties": {"city": ["Ulm"]}}, "INVALID_TYPE"),
        ({"properties": "city"}, None),
        ({}, None),
        ([], None),
        ("{", None),
    ],
)
def test_a_bad_record_is_refused_and_not_kept(client, body: object, code: str | None) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    answer = client.post(DATED, content=content)
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")
    assert [error["code"] for error in answer.json().get("errors", [])] == ([code] if code else [])
    assert len(client.get(DATED, params={"limit": 100}).json()["results"]) == 12


@pytest.mark.parametrize("query", ["limit=101", "limit=0", "limit=ten", "after=x", "limit=-1"])
def test_a_page_that_makes_no_sense_is_refused(client, query: str) -> None:
    answer = client.get(f"{OLD}?{query}")
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")


def test_ids_and_types_that_do_not_exist_are_refused(client) -> None:
    assert client.get("/crm/v3/objects/unicorns").status_code == 400
    assert client.get(f"{OLD}/x", params={"idProperty": "phone"}).status_code == 400
    for missing in ("7", "abc", "9" * 5000):
        assert client.get(f"{OLD}/{missing}").status_code == 404


def test_half_a_surrogate_pair_does_not_break_the_answer(client) -> None:
    answer = client.post(DATED, content=b'{"properties": {"city": "\\ud800"}}')
    assert (answer.status_code, answer.json()["properties"]["city"]) == (201, "?")


@pytest.mark.parametrize(("kind", "name"), [("companies", "domain"), ("deals", "dealname")])
def test_companies_and_deals_are_there_too(client, kind: str, name: str) -> None:
    for path in (f"/crm/v3/objects/{kind}", f"/crm/objects/2026-09/{kind}"):
        results = client.get(path).json()["results"]
        assert len(results) == 3
        assert all(record["properties"][name] for record in results)


def test_the_link_to_the_next_page_stays_on_the_host_that_was_asked(client) -> None:
    link = client.get(DATED, params={"limit": 5}).json()["paging"]["next"]["link"]
    assert link == f"https://api.hubapi.com{DATED}?limit=5&after=301"
    assert len(client.get(link).json()["results"]) == 5


def test_the_recycling_bin_is_listed_apart(client) -> None:
    assert client.delete(f"{DATED}/151").status_code == 204
    (gone,) = client.get(DATED, params={"archived": "true"}).json()["results"]
    assert (gone["id"], gone["archived"], "archivedAt" in gone) == ("151", True, True)
    live = client.get(DATED, params={"limit": 100}).json()["results"]
    assert "151" not in {record["id"] for record in live}


def test_a_deal_has_no_unique_property_and_takes_plain_values(client) -> None:
    deal = {"properties": {"dealname": "Renewal", "amount": 12.5, "description": True}}
    made = [client.post("/crm/v3/objects/deals", json=deal) for _ in range(2)]
    assert [answer.status_code for answer in made] == [201, 201]
    properties = made[1].json()["properties"]
    assert (properties["amount"], properties["description"]) == ("12.5", "true")
    path = f"/crm/objects/2026-09/0-3/{made[1].json()['id']}"
    assert client.patch(path, json={"properties": {"amount": None}}).status_code == 200
    assert client.delete(path).status_code == 204
