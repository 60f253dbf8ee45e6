"""Search of every type through the official client's generated classes (facts 3.1 and 7)."""

from __future__ import annotations

from typing import Any

import pytest
from hubspot import HubSpot

from hsagency.sandbox import Sandbox
from tests.sandbox.official.test_records import KINDS, Family


@pytest.fixture(params=KINDS)
def family(hubspot: HubSpot, request: pytest.FixtureRequest) -> Family:
    return Family(hubspot, request.param)


def search(family: Family, **body: Any) -> Any:
    return family.search.do_search(family.models.PublicObjectSearchRequest(**body))


def where(family: Family, **one: Any) -> list[Any]:
    return [family.models.FilterGroup(filters=[family.models.Filter(**one)])]


def test_a_search_filters_sorts_and_pages(family: Family) -> None:
    made = [family.basic.create(family.new(value)).id for value in ("delta", "echo", "foxtrot")]
    groups = where(family, property_name="hs_object_id", operator="IN", values=made)
    first = search(family, filter_groups=groups, sorts=[f"-{family.name}"], limit=2)
    assert (first.total, [one.id for one in first.results]) == (3, [made[2], made[1]])
    after = first.paging.next.after
    rest = search(family, filter_groups=groups, sorts=[f"-{family.name}"], limit=2, after=after)
    assert ([one.id for one in rest.results], rest.paging) == ([made[0]], None)


def test_a_search_compares_and_looks_for_words(family: Family) -> None:
    made = family.basic.create(family.new("zulu")).id
    between = where(
        family, property_name="hs_object_id", operator="BETWEEN", value=made, high_value="99999"
    )
    assert [one.id for one in search(family, filter_groups=between).results] == [made]
    token = where(family, property_name=family.name, operator="CONTAINS_TOKEN", value="zul*")
    found = search(family, filter_groups=token, properties=[family.name])
    assert [one.properties[family.name] for one in found.results] == ["zulu"]
    whole = where(family, property_name=family.name, operator="EQ", value="ZULU")
    assert search(family, filter_groups=whole).total == 1


def test_a_search_beyond_its_bounds_is_an_api_exception(family: Family, sandbox: Sandbox) -> None:
    for body in (
        {"limit": 201},
        {"after": "10000"},
        {"query": "x" * 3001},
        {"sorts": ["createdate", "hs_object_id"]},
        {"filter_groups": where(family, property_name="shoesize", operator="HAS_PROPERTY")},
    ):
        sandbox.clock.advance(1)
        with pytest.raises(family.models.ApiException) as caught:
            search(family, **body)
        assert (caught.value.status, "VALIDATION_ERROR" in caught.value.body) == (400, True)


def test_custom_objects_are_searched(enterprise: HubSpot) -> None:
    from hubspot.crm import objects as models

    api = enterprise.crm.objects.search_api
    first = enterprise.crm.objects.basic_api.get_page("locations", properties=["name"]).results[0]
    request = models.PublicObjectSearchRequest(query=first.properties["name"], properties=["code"])
    found = api.do_search("p_locations", request)
    assert [one.properties["code"] for one in found.results] == ["LOC-0001"]
    with pytest.raises(models.ApiException) as caught:
        api.do_search("unicorns", request)
    assert caught.value.status == 400
