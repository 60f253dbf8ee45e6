"""HubSpot's own client on owners: statuses of refusals, facts 4.2; the rest from documents."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hubspot import HubSpot
from hubspot.crm.owners import ApiException

from hsagency.sandbox import Sandbox


def test_owners_are_listed_in_pages(hubspot: HubSpot) -> None:
    owners = hubspot.crm.owners.owners_api
    first = owners.get_page(limit=2)
    rest = owners.get_page(limit=100, after=first.paging.next.after)
    assert (len(first.results), len(rest.results), rest.paging) == (2, 3, None)
    assert len(hubspot.crm.owners.get_all()) == 5


def test_an_owner_is_read_by_both_ids(hubspot: HubSpot) -> None:
    owners = hubspot.crm.owners.owners_api
    owner = owners.get_page().results[1]
    assert owners.get_by_id(int(owner.id)) == owner
    assert owners.get_by_id(owner.user_id, id_property="userId") == owner
    assert owners.get_page(email=owner.email).results == [owner]
    assert [team.primary for team in owner.teams] == [True]


def test_an_archived_owner_is_listed_apart(hubspot: HubSpot) -> None:
    (left,) = hubspot.crm.owners.owners_api.get_page(archived=True).results
    assert (left.archived, left.user_id) == (True, None)


def test_an_owner_that_is_not_there_is_an_api_exception(hubspot: HubSpot) -> None:
    with pytest.raises(ApiException) as caught:
        hubspot.crm.owners.owners_api.get_by_id(7)
    assert caught.value.status == 404


def test_a_missing_scope_is_an_api_exception(
    sandbox: Sandbox, connect_official: Callable[[str], HubSpot]
) -> None:
    """Facts 4.2: 403 MISSING_SCOPES; scope crm.objects.owners.read, facts 6."""
    sandbox.set_scopes(sandbox.portals[0].portal_id, ["crm.export"])
    with pytest.raises(ApiException) as caught:
        connect_official(sandbox.portals[0].token).crm.owners.owners_api.get_page()
    assert caught.value.status == 403
