from __future__ import annotations

import pytest
from hubspot import HubSpot
from hubspot.crm.contacts import ApiException, SimplePublicObjectInputForCreate


def test_a_contact_is_created_and_read_back(hubspot: HubSpot) -> None:
    basic = hubspot.crm.contacts.basic_api
    made = basic.create(
        SimplePublicObjectInputForCreate(properties={"email": "Ann@Example.com"}, associations=[])
    )
    assert basic.get_by_id(made.id).properties["email"] == "ann@example.com"
    assert [one.id for one in basic.get_page(limit=2).results] == ["101", "151"]


def test_a_contact_that_is_not_there_is_an_api_exception(hubspot: HubSpot) -> None:
    with pytest.raises(ApiException) as caught:
        hubspot.crm.contacts.basic_api.get_by_id("7")
    assert caught.value.status == 404
