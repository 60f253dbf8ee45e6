"""Search: what is found, in which order, on how many pages, and what is refused (facts 3.1)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.sandbox import Clock, Fault, Sandbox
from hsagency.sandbox.portals import FOUNDED
from tests.sandbox.asking import Asking
from tests.sandbox.conftest import NOON

OLD, DATED = "/crm/v3/objects/contacts/search", "/crm/objects/2026-09/contacts/search"
DEALS = "/crm/v3/objects/deals"


def where(*filters: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Write one group of filters."""
    keys = ("propertyName", "operator", "value", "highValue")
    return [{"filters": [dict(zip(keys, one, strict=False)) for one in filters]}]


def ids(ask: Asking, body: dict[str, Any], path: str = OLD) -> list[int]:
    status, found = ask("POST", path, {"limit": 200, **body})
    assert status == 200, found
    assert found["total"] == len(found["results"])
    return [int(one["id"]) for one in found["results"]]


@pytest.fixture
def deals(ask: Asking) -> Asking:
    """A portal with four deals of ours, 251 to 401, and three seeded ones archived."""
    for id_ in (101, 151, 201):
        assert ask("DELETE", f"{DEALS}/{id_}")[0] == 204
    for name, amount, closes, kind in (
        ("Ada's annual plan", "9", "2026-10-01", "newbusiness"),
        ("Annual report, printed", "10.5", "2026-10-14T12:00:00Z", "existingbusiness"),
        ("PILOT", "100", "1791979200001", "newbusiness"),
        ("pilot phase two", None, None, None),
    ):
        properties = {"dealname": name, "amount": amount, "closedate": closes, "dealtype": kind}
        assert ask("POST", DEALS, {"properties": properties})[0] == 201
    return ask


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (("amount", "EQ", "9.0"), [251]),
        (("amount", "NEQ", 9), [301, 351]),
        (("amount", "LT", "10.5"), [251]),
        (("amount", "LTE", "10.5"), [251, 301]),
        (("amount", "GT", "9"), [301, 351]),
        (("amount", "GTE", "100"), [351]),
        (("amount", "BETWEEN", "9", "10.5"), [251, 301]),
        (("amount", "HAS_PROPERTY"), [251, 301, 351]),
        (("amount", "NOT_HAS_PROPERTY"), [401]),
        (("hs_object_id", "GT", "301"), [351, 401]),
        (("closedate", "GT", "2026-10-14"), [301, 351]),
        (("closedate", "GT", "1791979200000"), [351]),
        (("closedate", "EQ", "2026-10-14T14:00:00+02:00"), [301]),
        (("closedate", "BETWEEN", "1790812800000", "2026-10-14T12:00:00Z"), [251, 301]),
        (("dealname", "EQ", "Pilot"), [351]),
        (("dealname", "NEQ", "pilot"), [251, 301, 401]),
        (("dealname", "GT", "b"), [351, 401]),
        (("dealname", "CONTAINS_TOKEN", "annual"), [251, 301]),
        (("dealname", "CONTAINS_TOKEN", "ann"), []),
        (("dealname", "CONTAINS_TOKEN", "ann*"), [251, 301]),
        (("dealname", "CONTAINS_TOKEN", "*lot"), [351, 401]),
        (("dealname", "CONTAINS_TOKEN", "plan annual"), [251]),
        (("dealname", "NOT_CONTAINS_TOKEN", "annual"), [351, 401]),
        (("dealtype", "EQ", "newbusiness"), [251, 351]),
        (("dealtype", "EQ", "NewBusiness"), []),
        (("dealtype", "NEQ", "newbusiness"), [301]),
    ],
)
def test_each_operator_finds_what_it_says(
    deals: Asking, condition: tuple[Any, ...], found: list[int]
) -> None:
    """
    Facts 3.1 name no operators: from the official client's list of them.

    That a record without a value fits none that says "not" is an assumption.
    """
    assert ids(deals, {"filterGroups": where(condition)}, f"{DEALS}/search") == found


@pytest.mark.parametrize(
    ("name", "operator", "values", "found"),
    [
        ("amount", "IN", ["9", 100], [251, 351]),
        ("amount", "NOT_IN", ["9"], [301, 351]),
        ("dealtype", "IN", ["newbusiness"], [251, 351]),
        ("dealname", "IN", ["pilot"], [351]),
        ("dealname", "IN", ["PILOT"], []),
        ("dealname", "NOT_IN", ["pilot", "pilot phase two"], [251, 301]),
    ],
)
def test_in_compares_texts_only_in_lower_case(
    deals: Asking, name: str, operator: str, values: list[Any], found: list[int]
) -> None:
    """From HubSpot's search guide alone: values of IN must be lower case for a text."""
    one = {"propertyName": name, "operator": operator, "values": values}
    assert ids(deals, {"filterGroups": [{"filters": [one]}]}, f"{DEALS}/search") == found


def test_a_set_of_choices_is_found_by_each_of_them(ask: Asking) -> None:
    """An assumption."""
    changes = {"properties": {"lifecyclestage": "lead;customer"}}
    assert ask("PATCH", "/crm/v3/objects/contacts/151", changes)[0] == 200
    for value in ("lead", "customer", "lead;customer"):
        for operator, key in (("EQ", "value"), ("IN", "values")):
            asked = [value] if key == "values" else value
            one = {"propertyName": "lifecyclestage", "operator": operator, key: asked}
            assert 151 in ids(ask, {"filterGroups": [{"filters": [one]}]})


@pytest.mark.parametrize("path", [OLD, DATED, "/crm/objects/2026-03/0-1/search"])
def test_groups_are_alternatives_and_their_filters_are_not(ask: Asking, path: str) -> None:
    both = where(("hs_object_id", "GT", "151"), ("hs_object_id", "LT", "301"))
    assert ids(ask, {"filterGroups": both}, path) == [201, 251]
    either = [*both, *where(("hs_object_id", "EQ", "651"))]
    assert ids(ask, {"filterGroups": either}, path) == [201, 251, 651]


def test_an_empty_search_finds_all_and_shows_ten(ask: Asking) -> None:
    status, found = ask("POST", OLD, {})
    assert (status, found["total"], len(found["results"])) == (200, 12, 10)
    assert found["paging"] == {"next": {"after": "10"}}
    first = found["results"][0]
    assert first == ask("GET", "/crm/v3/objects/contacts/101")[1]
    asked = ask("POST", OLD, {"properties": ["city", "nonsense"], "limit": 1})[1]["results"][0]
    assert set(asked["properties"]) == {"city", "createdate", "hs_object_id", "lastmodifieddate"}


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ({"propertyName": "amount", "direction": "ASCENDING"}, [251, 301, 351, 401]),
        ({"propertyName": "amount", "direction": "DESCENDING"}, [351, 301, 251, 401]),
        ({"propertyName": "amount"}, [251, 301, 351, 401]),
        ("-amount", [351, 301, 251, 401]),
        ("dealname", [251, 301, 351, 401]),
        ("-closedate", [351, 301, 251, 401]),
        ("-pipeline", [251, 301, 351, 401]),
    ],
)
def test_a_sort_puts_records_without_a_value_last(
    deals: Asking, sort: object, order: list[int]
) -> None:
    """From documents alone: one sort, in two forms; that gaps come last is an assumption."""
    assert ids(deals, {"sorts": [sort]}, f"{DEALS}/search") == order


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("annual", [251, 301]),
        ("ANN", [251, 301]),
        ("ann plan", [251]),
        ("nual", []),
        ("newbus", [251, 351]),
        ("100", []),
        ("...", [251, 301, 351, 401]),
    ],
)
def test_a_query_looks_for_words_that_begin_so(deals: Asking, query: str, found: list[int]) -> None:
    """From documents alone: a query looks through the default searchable properties."""
    assert ids(deals, {"query": query}, f"{DEALS}/search") == found


def test_a_custom_object_is_searched_by_what_its_schema_says(sandbox: Sandbox) -> None:
    """From documents alone: searchableProperties of the schema."""
    ask, path = Asking(sandbox, index=1), "/crm/v3/objects/locations"
    new = {"properties": {"name": "Depot", "code": "ULM-1"}}
    assert ask("POST", path, new)[0] == 201
    found = {query: ask("POST", f"{path}/search", {"query": query})[1] for query in ("dep", "ulm")}
    assert [one["total"] for one in found.values()] == [1, 0]
    schema = {"searchableProperties": ["code"]}
    assert ask("PATCH", "/crm-object-schemas/v3/schemas/locations", schema)[0] == 200
    assert ask("POST", f"{path}/search", {"query": "ulm"})[1]["total"] == 1


def test_a_query_and_filters_must_both_fit(deals: Asking) -> None:
    body = {"query": "annual", "filterGroups": where(("amount", "GT", 9))}
    assert ids(deals, body, f"{DEALS}/search") == [301]


ONE = {"propertyName": "city", "operator": "HAS_PROPERTY"}


@pytest.mark.parametrize(
    "body",
    [
        {"filterGroups": [{"filters": [ONE]}] * 6},
        {"filterGroups": [{"filters": [ONE] * 7}]},
        {"filterGroups": [{"filters": [ONE] * 5}] * 3 + [{"filters": [ONE] * 4}]},
        {"query": "x" * 3001},
        {"query": 7},
        {"limit": 201},
        {"limit": 0},
        {"limit": "many"},
        {"after": "x"},
        {"after": True},
        {"after": 9995},
        {"after": 10_000},
        {"after": 10_001},
        {"sorts": ["city", "email"]},
        {"sorts": ["shoesize"]},
        {"sorts": [{"propertyName": "city", "direction": "UP"}]},
        {"sorts": [7]},
        {"sorts": "city"},
        {"properties": "city"},
        {"properties": [["city"]]},
        {"filterGroups": 7},
        {"filterGroups": [7]},
        {"filterGroups": [{"filters": [{}]}]},
        {"filterGroups": where(("shoesize", "EQ", "44"))},
        {"filterGroups": where((["city"], "EQ", "44"))},
        {"filterGroups": where(("city", "LIKE", "U%"))},
        {"filterGroups": where(("city", ["EQ"], "Ulm"))},
        {"filterGroups": where(("city", "EQ"))},
        {"filterGroups": where(("city", "EQ", ["Ulm"]))},
        {"filterGroups": where(("city", "IN", "Ulm"))},
        {"filterGroups": where(("annualrevenue", "GT", "much"))},
        {"filterGroups": where(("annualrevenue", "GT", "nan"))},
        {"filterGroups": where(("annualrevenue", "BETWEEN", "1"))},
        {"filterGroups": where(("createdate", "GT", "yesterday"))},
    ],
)
def test_a_search_beyond_hubspots_bounds_is_refused(ask: Asking, body: dict[str, Any]) -> None:
    """
    Facts 3.1; from documents alone.

    5 groups, 6 filters each, 18 in all, 200 a page, 10,000 results, 3,000 letters.
    """
    status, answer = ask("POST", OLD, body)
    assert (status, answer["category"]) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "body",
    [
        {"filterGroups": [{"filters": [ONE] * 6}] * 3},
        {"filterGroups": [{"filters": [ONE]}] * 5},
        {"query": "x" * 3000},
        {"after": "9990", "limit": "10"},
        {"after": 9800, "limit": 200},
        {"after": "", "sorts": [], "filterGroups": [], "query": ""},
    ],
)
def test_a_search_at_hubspots_bounds_is_answered(ask: Asking, body: dict[str, Any]) -> None:
    """Facts 3.1; from documents alone."""
    assert ask("POST", OLD, body)[0] == 200


def test_paging_ends_at_ten_thousand_results_though_there_are_more() -> None:
    """Facts 3.1: from documents alone; that the cursor still points beyond is an assumption."""
    ask = Asking(Sandbox(portals=1, contacts=10_100, clock=Clock(NOON)))
    status, found = ask("POST", OLD, {"after": "9800", "limit": 200})
    assert (status, found["total"], len(found["results"])) == (200, 10_100, 200)
    assert found["paging"]["next"]["after"] == "10000"
    assert ask("POST", OLD, {"after": "10000", "limit": 200})[0] == 400
    assert ids(ask, {"filterGroups": where(("hs_object_id", "GT", 101 + 50 * 10_098))}) == [505051]


def test_what_is_archived_is_not_found(ask: Asking) -> None:
    assert ask("DELETE", "/crm/v3/objects/contacts/151")[0] == 204
    assert 151 not in ids(ask, {})


def test_a_search_that_lags_behind_sees_the_portal_as_it_was(sandbox: Sandbox, ask: Asking) -> None:
    """Facts 4.3: reads may lag behind writes. That records do is an assumption."""
    ask("PATCH", "/crm/v3/objects/contacts/151", {"properties": {"city": "Ulm"}})
    before = ids(ask, {})
    sandbox.clock.advance(100)
    ask("PATCH", "/crm/v3/objects/contacts/151", {"properties": {"city": "Bern"}})
    ask("DELETE", "/crm/v3/objects/contacts/201")
    ask("POST", "/crm/v3/objects/contacts", {"properties": {"email": "new@example.com"}})
    sandbox.faults.add(Fault(kind="lag", seconds=50))
    assert ids(ask, {}) == before
    assert ids(ask, {"filterGroups": where(("city", "EQ", "ulm"))}) == [151]
    assert ids(ask, {"filterGroups": where(("city", "EQ", "bern"))}) == []
    sandbox.faults.clear()
    assert ids(ask, {"filterGroups": where(("city", "EQ", "bern"))}) == [151]


def test_a_search_needs_the_scope_to_read(sandbox: Sandbox, ask: Asking) -> None:
    sandbox.set_scopes(sandbox.portals[0].portal_id, {"crm.objects.contacts.write"})
    assert ask("POST", OLD, {})[0] == 403


@given(limit=st.integers(1, 200), contacts=st.integers(0, 300), sort=st.sampled_from(["", "-city"]))
def test_all_pages_of_a_search_are_all_results_exactly_once(
    limit: int, contacts: int, sort: str
) -> None:
    ask = Asking(Sandbox(portals=1, contacts=contacts, clock=Clock(NOON)))
    found, after = [], "0"
    while after:
        body = {"limit": limit, "after": after, "sorts": [sort] if sort else []}
        page = ask("POST", DATED, body)[1]
        assert page["total"] == contacts
        assert len(page["results"]) == min(limit, contacts - len(found))
        assert ("paging" in page) == (len(found) + limit < contacts)
        found += [int(one["id"]) for one in page["results"]]
        after = page.get("paging", {}).get("next", {}).get("after")
    assert found == [101 + 50 * n for n in range(contacts)]


PLAIN: dict[str, Callable[[Any, Any], bool]] = {
    "EQ": lambda have, want: have == want,
    "NEQ": lambda have, want: have != want,
    "LT": lambda have, want: have < want,
    "LTE": lambda have, want: have <= want,
    "GT": lambda have, want: have > want,
    "GTE": lambda have, want: have >= want,
}
NUMBERS = st.tuples(
    st.just("hs_object_id"), st.sampled_from(sorted(PLAIN)), st.integers(90, 1700).map(str)
)
MOMENTS = st.tuples(
    st.just("createdate"),
    st.sampled_from(sorted(PLAIN)),
    st.integers(0, 30 * 20_000).map(lambda n: (FOUNDED + timedelta(seconds=n)).isoformat()),
)
TEXTS = st.tuples(
    st.just("firstname"), st.sampled_from(sorted(PLAIN)), st.sampled_from(["ADA", "Kaya", "uma"])
)


def fits(properties: dict[str, str], condition: tuple[str, str, str]) -> bool:
    """Say in plain Python whether a contact fits one filter."""
    name, operator, value = condition
    read: Callable[[str], Any] = {
        "hs_object_id": int,
        "createdate": datetime.fromisoformat,
        "firstname": str.casefold,
    }[name]
    return PLAIN[operator](read(properties[name]), read(value))


@given(
    groups=st.lists(
        st.lists(st.one_of(NUMBERS, MOMENTS, TEXTS), min_size=1, max_size=3),
        min_size=1,
        max_size=5,
    )
)
def test_a_search_is_a_plain_filter(groups: list[list[tuple[str, str, str]]]) -> None:
    ask = Asking(Sandbox(portals=1, contacts=30, clock=Clock(NOON)))
    names = "properties=firstname&properties=createdate&properties=hs_object_id"
    everyone = ask("GET", f"/crm/v3/objects/contacts?limit=100&{names}")[1]["results"]
    expected = [
        int(one["id"])
        for one in everyone
        if any(all(fits(one["properties"], condition) for condition in group) for group in groups)
    ]
    body = {"filterGroups": [group for one in groups for group in where(*one)]}
    assert ids(ask, body) == expected


def test_stars_cost_no_more_than_the_text_is_long(ask: Asking) -> None:
    """With a regular expression this search would not end in a lifetime: it holds by ending."""
    ask("POST", DEALS, {"properties": {"dealname": "a" * 20_000}})
    many = where(("dealname", "CONTAINS_TOKEN", "*a" * 1_000 + "*b"))
    assert ask("POST", f"{DEALS}/search", {"filterGroups": many})[1]["total"] == 0
    fits = where(("dealname", "CONTAINS_TOKEN", "*a" * 1_000 + "*"))
    assert ask("POST", f"{DEALS}/search", {"filterGroups": fits})[1]["total"] == 1


@pytest.mark.parametrize("operator", ["EQ", "CONTAINS_TOKEN", "IN"])
def test_the_value_of_a_filter_has_an_end(ask: Asking, operator: str) -> None:
    """Facts 3.1: the length is that of HubSpot's free text; that filters share it, an assumption."""
    for length, expected in ((3_000, 200), (3_001, 400)):
        value = "x" * length
        one = {"propertyName": "firstname", "operator": operator, "value": value, "values": [value]}
        assert ask("POST", OLD, {"filterGroups": [{"filters": [one]}]})[0] == expected


@given(
    text=st.text("ab -", max_size=12),
    stars=st.text("ab*", min_size=1, max_size=6).filter(lambda one: "*" in one),
)
def test_a_star_stands_for_any_letters_of_a_text_or_of_a_word(text: str, stars: str) -> None:
    pattern = re.compile(stars.replace("*", ".*"))
    text += "."
    parts = (text, *text.split(), *re.findall(r"\w+", text))
    expected = any(pattern.fullmatch(part) for part in parts)
    ask = Asking(Sandbox(portals=1, contacts=0))
    ask("POST", DEALS, {"properties": {"dealname": text}})
    body = {"filterGroups": where(("dealname", "CONTAINS_TOKEN", stars))}
    assert ask("POST", f"{DEALS}/search", body)[1]["total"] == expected
