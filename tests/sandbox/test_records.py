"""
Records: made, listed, read, changed, archived and linked (facts 4.2, 5.1, 5.2 and 5.3).

Paths and bodies rest on documents alone where a test does not say more.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.sandbox import Fault, Request, Sandbox
from tests.sandbox.asking import Asking

OLD, DATED = "/crm/v3/objects/contacts", "/crm/objects/2026-09/contacts"


def get(sandbox: Sandbox, target: str) -> dict:
    token = sandbox.rotate(sandbox.portals[0].portal_id).token  # rotation keeps the app
    reply = sandbox.handle(
        Request.parse("GET", target, headers=[("authorization", f"Bearer {token}")])
    )
    return json.loads(reply.body)


@given(limit=st.integers(1, 100), contacts=st.integers(0, 130))
def test_all_pages_together_are_all_contacts_exactly_once(limit: int, contacts: int) -> None:
    """Facts 5.1 for the path; paging rests on documents alone."""
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
    """An assumption: no document says what becomes of a cursor then."""
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
    """Facts 5.1 and 5.2; from documents alone. The 404 of facts 4.2 was observed by others."""
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
    """Facts 4.2; observed by others. That a change is refused alike is an assumption."""
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
    """Facts 4.2; from documents alone. The codes are those that others have observed."""
    content = body if isinstance(body, str) else json.dumps(body)
    answer = client.post(DATED, content=content)
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")
    assert [error["code"] for error in answer.json().get("errors", [])] == ([code] if code else [])
    assert len(client.get(DATED, params={"limit": 100}).json()["results"]) == 12


@pytest.mark.parametrize(
    ("kind", "name", "good", "bad", "code"),
    [
        ("contacts", "annualrevenue", (7, "-7.5", "1e6", ""), ("seven", "7,5", "nan", True),
         "INVALID_INTEGER"),
        ("contacts", "hs_email_optout", (True, "false", None), ("yes", 1), "INVALID_OPTION"),
        ("contacts", "lifecyclestage", ("lead", None), ("hero",), "INVALID_OPTION"),
        ("deals", "closedate", ("2026-10-14", "2026-10-14T12:00:00Z", 1_790_000_000_000),
         ("tomorrow", "14.10.2026"), "INVALID_DATE"),
    ],
)  # fmt: skip
def test_a_value_must_be_of_its_propertys_type(
    sandbox: Sandbox, kind: str, name: str, good: tuple[object], bad: tuple[object], code: str
) -> None:
    """The codes were observed by others; which texts are numbers is an assumption (facts 4.2)."""
    ask, path = Asking(sandbox), f"/crm/v3/objects/{kind}/101"
    for value in good:
        assert ask("PATCH", path, {"properties": {name: value}})[0] == 200, value
    before = ask("GET", f"{path}?properties={name}")
    for value in bad:
        status, answer = ask("PATCH", path, {"properties": {name: value}})
        assert (status, answer["errors"][0]["code"]) == (400, code), value
    assert ask("GET", f"{path}?properties={name}") == before


@pytest.mark.parametrize("query", ["limit=101", "limit=0", "limit=ten", "after=x", "limit=-1"])
def test_a_page_that_makes_no_sense_is_refused(client, query: str) -> None:
    """Facts 4.2; from documents alone. That 100 is the most is HubSpot's guide's."""
    answer = client.get(f"{OLD}?{query}")
    assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")


def test_ids_and_types_that_do_not_exist_are_refused(client) -> None:
    """Facts 4.2: the 404 was observed by others. That the rest is a 400 is an assumption."""
    assert client.get("/crm/v3/objects/unicorns").status_code == 400
    assert client.get(f"{OLD}/x", params={"idProperty": "phone"}).status_code == 400
    for missing in ("7", "abc", "9" * 5000):
        assert client.get(f"{OLD}/{missing}").status_code == 404


def test_half_a_surrogate_pair_does_not_break_the_answer(client) -> None:
    """An assumption."""
    answer = client.post(DATED, content=b'{"properties": {"city": "\\ud800"}}')
    assert (answer.status_code, answer.json()["properties"]["city"]) == (201, "?")


@pytest.mark.parametrize(("kind", "name"), [("companies", "domain"), ("deals", "dealname")])
def test_companies_and_deals_are_there_too(client, kind: str, name: str) -> None:
    """Facts 5.1; from documents alone."""
    for path in (f"/crm/v3/objects/{kind}", f"/crm/objects/2026-09/{kind}"):
        results = client.get(path).json()["results"]
        assert len(results) == 3
        assert all(record["properties"][name] for record in results)


def test_the_link_to_the_next_page_stays_on_the_host_that_was_asked(client) -> None:
    """From documents alone (facts 5.1 for the path)."""
    link = client.get(DATED, params={"limit": 5}).json()["paging"]["next"]["link"]
    assert link == f"https://api.hubapi.com{DATED}?limit=5&after=301"
    assert len(client.get(link).json()["results"]) == 5


def test_the_recycling_bin_is_listed_apart(client) -> None:
    """Facts 5.2: the bin; from documents alone."""
    assert client.delete(f"{DATED}/151").status_code == 204
    (gone,) = client.get(DATED, params={"archived": "true"}).json()["results"]
    assert (gone["id"], gone["archived"], "archivedAt" in gone) == ("151", True, True)
    live = client.get(DATED, params={"limit": 100}).json()["results"]
    assert "151" not in {record["id"] for record in live}


def test_a_deal_has_no_unique_property_and_takes_plain_values(client) -> None:
    """Facts 5.1; from documents alone. That plain values become texts is an assumption."""
    deal = {"properties": {"dealname": "Renewal", "amount": 12.5, "description": True}}
    made = [client.post("/crm/v3/objects/deals", json=deal) for _ in range(2)]
    assert [answer.status_code for answer in made] == [201, 201]
    properties = made[1].json()["properties"]
    assert (properties["amount"], properties["description"]) == ("12.5", "true")
    path = f"/crm/objects/2026-09/0-3/{made[1].json()['id']}"
    assert client.patch(path, json={"properties": {"amount": None}}).status_code == 200
    assert client.delete(path).status_code == 204


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("tickets", "subject"), ("0-5", "subject"), ("ticket", "subject"), ("TICKET", "subject"),
        ("products", "price"), ("0-7", "price"), ("product", "price"),
        ("line_items", "quantity"), ("0-8", "quantity"), ("line_item", "quantity"),
        ("0-1", "email"), ("contact", "email"), ("Company", "domain"), ("deal", "dealname"),
    ],
)  # fmt: skip
def test_a_type_has_several_names(client, kind: str, name: str) -> None:
    """Facts 5.1; from documents alone. That the singular and capitals do too is an assumption."""
    for path in (f"/crm/v3/objects/{kind}", f"/crm/objects/2026-09/{kind}"):
        first = client.get(path).json()["results"][0]
        assert (first["id"], bool(first["properties"][name])) == ("101", True)


@pytest.mark.parametrize("version", ["v3/objects", "objects/2026-03", "objects/2026-09"])
def test_a_custom_object_has_several_names(sandbox: Sandbox, version: str) -> None:
    """Facts 5.1; from documents alone. Letters of a unique value in either case: an assumption."""
    ask, portal_id = Asking(sandbox, index=1), sandbox.portals[1].portal_id
    new = {"properties": {"name": "Depot in Ulm", "code": "ULM-1"}}
    status, made = ask("POST", f"/crm/{version}/locations", new)
    assert status == 201
    qualified = f"p{portal_id}_locations"
    for name in ("locations", "2-2000001", qualified, "p_locations"):
        path = f"/crm/{version}/{name}"
        assert ask("GET", f"{path}/{made['id']}")[1]["id"] == made["id"]
        assert ask("GET", f"{path}/ulm-1?idProperty=code")[1]["id"] == made["id"]
        assert ask("GET", path)[1]["results"][-1]["id"] == made["id"]
        assert ask("POST", f"{path}/search", {"query": "depot"})[1]["total"] == 1
    other = Asking(sandbox, index=0)  # a professional portal has no custom objects
    assert other("GET", f"/crm/{version}/locations")[0] == 400
    assert other("GET", f"/crm/{version}/{qualified}")[0] == 400


def test_a_record_needs_its_required_and_its_own_values(sandbox: Sandbox) -> None:
    """Facts 4.2; from documents alone. The answer to a value that is taken is an assumption."""
    ask, path = Asking(sandbox, index=1), "/crm/v3/objects/locations"
    status, answer = ask("POST", path, {"properties": {"code": "ULM-1"}})
    assert (status, answer["errors"][0]["code"]) == (400, "MISSING_REQUIRED_PROPERTY")
    for code in ("LOC-0002", "loc-0002"):
        status, answer = ask("POST", path, {"properties": {"name": "Depot", "code": code}})
        assert (status, answer["errors"][0]["code"]) == (400, "CONFLICTING_UNIQUE_VALUE")
    both = {"inputs": [{"properties": {"name": "Depot", "code": "ULM-1"}}] * 2}
    assert ask("POST", f"{path}/batch/create", both)[0] == 400
    bare = {"inputs": [{"id": "ULM-1", "idProperty": "code", "properties": {}}]}
    assert ask("POST", f"{path}/batch/upsert", bare)[0] == 400
    bare["inputs"][0]["properties"] = {"name": "Depot"}
    assert ask("POST", f"{path}/batch/upsert", bare)[1]["results"][0]["new"] is True


@pytest.mark.parametrize("path", [OLD, DATED])
def test_a_record_is_changed_and_archived_by_a_unique_property(client, path: str) -> None:
    """Facts 5.3; from documents alone: idProperty names the property whose value is in the path."""
    email = client.get(f"{path}/151").json()["properties"]["email"]
    record, by = f"{path}/{email}", {"idProperty": "email"}
    changed = client.patch(record, params=by, json={"properties": {"city": "Ulm"}})
    assert (changed.status_code, changed.json()["id"]) == (200, "151")
    assert client.delete(record).status_code == 404
    assert client.delete(record, params=by).status_code == 204
    assert client.get(record, params=by).status_code == 404
    gone = client.get(record, params={**by, "archived": "true"})
    assert (gone.status_code, gone.json()["id"]) == (200, "151")


def test_a_record_has_a_history(sandbox: Sandbox) -> None:
    """From the specification alone: newest first, each with its time and its source."""
    ask = Asking(sandbox)
    stamps = []
    for city in ("Ulm", "Bern", "Bern", ""):
        answer = ask("PATCH", f"{OLD}/151", {"properties": {"city": city}})[1]
        stamps.append(answer["updatedAt"])
    path = f"{OLD}/151?propertiesWithHistory=city,email,nonsense"
    found = ask("GET", path)[1]
    history = found["propertiesWithHistory"]
    assert set(history) == {"city", "email"}
    assert [(one["value"], one["timestamp"]) for one in history["city"]] == [
        ("", stamps[3]),
        ("Bern", stamps[1]),
        ("Ulm", stamps[0]),
    ]
    assert [one["value"] for one in history["email"]] == [found["properties"]["email"]]
    assert history["email"][0]["timestamp"] == found["createdAt"]
    assert {one["sourceType"] for one in history["city"]} == {"INTEGRATION"}
    listed = ask("GET", f"{OLD}?propertiesWithHistory=city")[1]["results"]
    assert listed[1]["propertiesWithHistory"]["city"] == history["city"]
    assert listed[0]["propertiesWithHistory"]["city"] == []


def test_a_history_keeps_the_newest_values(sandbox: Sandbox) -> None:
    """From documents alone: 45 values of a contact's property."""
    ask = Asking(sandbox)
    for number in range(50):
        ask("PATCH", f"{OLD}/151", {"properties": {"city": str(number)}})
    history = ask("GET", f"{OLD}/151?propertiesWithHistory=city")[1]["propertiesWithHistory"]
    assert [one["value"] for one in history["city"]] == [str(n) for n in range(49, 4, -1)]


def test_a_read_that_lags_behind_sees_records_as_they_were(sandbox: Sandbox) -> None:
    """Facts 4.3: others observed lags of schemas and labels; that records lag is an assumption."""
    ask = Asking(sandbox)
    ask("PATCH", f"{OLD}/151", {"properties": {"city": "Ulm"}})
    before = ask("GET", f"{OLD}?limit=50&properties=city&propertiesWithHistory=city")[1]
    sandbox.clock.advance(100)
    for city in ("Bern", "Rom"):
        ask("PATCH", f"{OLD}/151", {"properties": {"city": city}})
    ask("DELETE", f"{OLD}/201")
    made = ask("POST", OLD, {"properties": {"email": "new@example.com"}})[1]["id"]
    sandbox.faults.add(Fault(kind="lag", seconds=50))
    assert ask("GET", f"{OLD}?limit=50&properties=city&propertiesWithHistory=city")[1] == before
    assert ask("GET", f"{OLD}/151?properties=city")[1]["properties"]["city"] == "Ulm"
    assert ask("GET", f"{OLD}/201")[1]["archived"] is False
    assert ask("GET", f"{OLD}/{made}")[0] == 404
    assert ask("GET", f"{OLD}/new@example.com?idProperty=email")[0] == 404
    sandbox.clock.advance(45)
    assert ask("GET", f"{OLD}/151?properties=city")[1]["properties"]["city"] == "Rom"
    assert ask("GET", f"{OLD}/201")[0] == 404
    assert ask("GET", f"{OLD}/{made}")[0] == 200


PLAIN = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 4}]


@pytest.mark.parametrize("path", [OLD, DATED])
@pytest.mark.parametrize("batch", [False, True])
def test_a_record_is_linked_when_it_is_made(sandbox: Sandbox, path: str, *, batch: bool) -> None:
    """From the specification alone; the names of the lists are from other people's code."""
    ask = Asking(sandbox)
    primary = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 1}]
    links = [{"to": {"id": "151"}, "types": PLAIN}, {"to": {"id": "201"}, "types": primary}]
    new = {"properties": {"email": "new@example.com"}, "associations": links}
    if batch:
        made = ask("POST", f"{path}/batch/create", {"inputs": [new]})[1]["results"][0]["id"]
    else:
        made = ask("POST", path, new)[1]["id"]
    asked = "associations=deals,companies&associations=tickets"
    assert ask("GET", f"{path}/{made}?{asked}")[1]["associations"] == {
        "deals": {"results": [{"id": "151", "type": "contact_to_deal"}]},
        "companies": {
            "results": [
                {"id": "201", "type": "contact_to_company"},
                {"id": "201", "type": "contact_to_company_unlabeled"},
            ]
        },
    }
    listed = ask("GET", f"{path}?limit=100&associations=deals")[1]["results"][-1]
    assert listed["associations"]["deals"]["results"][0]["id"] == "151"
    back = ask("GET", "/crm/v3/objects/deals/151?associations=contacts")[1]["associations"]
    assert made in {one["id"] for one in back["contacts"]["results"]}
    assert ask("DELETE", f"{path}/{made}")[0] == 204
    back = ask("GET", "/crm/v3/objects/deals/151?associations=contacts")[1]["associations"]
    assert made not in {one["id"] for one in back["contacts"]["results"]}
    assert "associations" not in ask("GET", f"{path}/101")[1]
    assert ask("GET", f"{path}/101?associations=unicorns")[0] == 400


@pytest.mark.parametrize(
    "links",
    [
        7,
        [7],
        [{}],
        [{"to": {"id": "151"}}],
        [{"to": {"id": "151"}, "types": []}],
        [{"to": {"id": "151"}, "types": [7]}],
        [{"to": {"id": "151"}, "types": [{"associationTypeId": "4"}]}],
        [{"to": {"id": "151"}, "types": [{"associationTypeId": 99_999}]}],
        [{"to": {"id": "7"}, "types": PLAIN}],
        [{"to": "151", "types": PLAIN}],
    ],
)
def test_a_record_with_a_bad_link_is_not_made(sandbox: Sandbox, links: object) -> None:
    """An assumption: the specification names no refusal."""
    ask = Asking(sandbox)
    new = {"properties": {"email": "new@example.com"}, "associations": links}
    for target, body in ((OLD, new), (f"{OLD}/batch/create", {"inputs": [new]})):
        status, answer = ask("POST", target, body)
        assert (status, answer["category"]) == (400, "VALIDATION_ERROR")
    assert len(ask("GET", f"{OLD}?limit=100")[1]["results"]) == 12


def test_an_archived_record_is_linked_to_nothing(sandbox: Sandbox) -> None:
    """An assumption."""
    ask = Asking(sandbox)
    before = ask("GET", "/crm/v3/objects/deals/101?associations=line_items")[1]["associations"]
    ids = [one["id"] for one in before["line items"]["results"]]
    body = {"inputs": [{"id": id_} for id_ in ids]}
    assert ask("POST", "/crm/v3/objects/line_items/batch/archive", body)[0] == 204
    after = ask("GET", "/crm/v3/objects/deals/101?associations=line_items")[1]
    assert "associations" not in after


def test_a_read_calls_a_custom_type_by_the_name_that_no_other_portal_shares(
    sandbox: Sandbox,
) -> None:
    """From the specification alone."""
    ask = Asking(sandbox, index=1)
    site = ask("GET", "/crm/v3/objects/locations?limit=1")[1]["results"][0]["id"]
    link = f"/crm/v4/objects/contacts/101/associations/default/locations/{site}"
    assert ask("PUT", link)[0] == 200
    read = ask("GET", f"{OLD}/101?associations=locations")[1]["associations"]
    name = f"p{sandbox.portals[1].portal_id}_locations"
    assert site in [one["id"] for one in read[name]["results"]]


def test_nobody_takes_an_address_by_claiming_it_as_a_further_one(ask: Asking) -> None:
    """An assumption: only merging writes further addresses."""
    path = f"{DATED}/101"
    _, victim = ask("GET", f"{DATED}/151")
    email = victim["properties"]["email"]
    assert ask("PATCH", path, {"properties": {"hs_additional_emails": email}})[0] == 400
    assert ask("GET", f"{DATED}/{email}?idProperty=email")[1]["id"] == "151"
