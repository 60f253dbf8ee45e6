"""Owners: the people that records belong to (facts 5.1, 5.3 and 6); from documents alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.sandbox import Clock, Sandbox
from tests.sandbox.conftest import NOON, Client, Connect, bearer

PATHS = ("/crm/v3/owners", "/crm/v3/owners/", "/crm/owners/2026-03", "/crm/owners/2026-09")


@pytest.mark.parametrize("path", PATHS)
def test_every_form_of_the_path_lists_the_owners(
    connect: Connect, sandbox: Sandbox, path: str
) -> None:
    """Facts 5.1; from documents alone."""
    found = connect(sandbox, sandbox.portals[0].token).get(path).json()["results"]
    assert len(found) == 5
    assert sorted(found, key=lambda one: int(one["id"])) == found
    assert {one["type"] for one in found} == {"PERSON"}
    assert sandbox.portals[0].credential.user_id in {one["userId"] for one in found}


@given(limit=st.integers(1, 7))
def test_pages_hold_every_owner_exactly_once(limit: int) -> None:
    """Facts 5.1 for the path; paging rests on documents alone."""
    sandbox = Sandbox(portals=1, contacts=0, clock=Clock(NOON))
    client = Client(
        base_url="https://api.hubapi.com",
        transport=sandbox.transport(),
        headers=bearer(sandbox.portals[0].token),
    )
    seen, after = [], "0"
    while after:
        page = client.get("/crm/v3/owners", params={"limit": limit, "after": after}).json()
        assert len(page["results"]) <= limit
        seen += [one["id"] for one in page["results"]]
        after = page.get("paging", {}).get("next", {}).get("after")
    assert seen == [one["id"] for one in client.get("/crm/v3/owners").json()["results"]]


def test_an_owner_is_read_by_its_id_and_by_its_users(client: Client) -> None:
    """Facts 5.1 for the path; from documents alone."""
    owner = client.get("/crm/v3/owners").json()["results"][2]
    by_id = client.get(f"/crm/v3/owners/{owner['id']}")
    by_user = client.get(f"/crm/v3/owners/{owner['userId']}", params={"idProperty": "userId"})
    dated = client.get(f"/crm/owners/2026-09/{owner['id']}", params={"idProperty": "id"})
    assert by_id.json() == by_user.json() == dated.json() == owner
    assert client.get(f"/crm/v3/owners/{owner['userId']}").status_code == 404


def test_an_owner_is_found_by_address(client: Client) -> None:
    """Facts 5.3; from documents alone. That nobody is an empty list is an assumption."""
    owner = client.get("/crm/v3/owners").json()["results"][1]
    found = client.get("/crm/v3/owners", params={"email": owner["email"].upper()}).json()
    assert found["results"] == [owner]
    nobody = client.get("/crm/v3/owners", params={"email": "nobody@example.com"})
    assert (nobody.status_code, nobody.json()) == (200, {"results": []})


def test_one_who_left_is_archived_and_is_no_user_any_more(client: Client) -> None:
    """Facts 5.1 for the path; from documents alone."""
    (left,) = client.get("/crm/v3/owners", params={"archived": "true"}).json()["results"]
    assert (left["archived"], left["userId"]) == (True, None)
    path = f"/crm/v3/owners/{left['id']}"
    assert client.get(path).status_code == 404
    assert client.get(path, params={"archived": "true"}).json() == left
    by_user = {"archived": "true", "idProperty": "userId"}
    path = f"/crm/v3/owners/{left['userIdIncludingInactive']}"
    assert client.get(path, params=by_user).json() == left


def test_an_owner_belongs_to_teams_of_which_one_is_the_first(client: Client) -> None:
    """Facts 5.1 for the path; from documents alone."""
    found = client.get("/crm/v3/owners").json()["results"]
    teams = [one["teams"] for one in found if "teams" in one]
    assert {len(some) for some in teams} == {1, 2}
    assert all(sum(team["primary"] for team in some) == 1 for some in teams)


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/crm/v3/owners/7", {}, 404),
        ("/crm/v3/owners/me", {}, 400),
        ("/crm/v3/owners/7", {"idProperty": "email"}, 400),
        ("/crm/v3/owners", {"limit": "501"}, 400),
        ("/crm/v3/owners", {"after": "x"}, 400),
    ],
)
def test_what_names_no_owner_is_refused(
    client: Client, path: str, query: dict[str, str], status: int
) -> None:
    """An assumption: documents name no refusal."""
    assert client.get(path, params=query).status_code == status


def test_owners_need_a_scope_of_their_own(sandbox: Sandbox, inside: Connect) -> None:
    """Facts 6; from documents alone."""
    sandbox.set_scopes(sandbox.portals[0].portal_id, ["crm.objects.contacts.read"])
    refused = inside(sandbox, sandbox.portals[0].token).get("/crm/v3/owners")
    assert refused.status_code == 403
    assert "crm.objects.owners.read" in refused.text


def test_portals_have_owners_of_their_own(sandbox: Sandbox, inside: Connect) -> None:
    """Nothing of HubSpot's but the path (facts 5.1): who they are follows from the seed."""
    found = [inside(sandbox, one.token).get("/crm/v3/owners").json() for one in sandbox.portals]
    ids = {owner["id"] for one in found for owner in one["results"]}
    assert len(ids) == 15
    again = Sandbox(portals=3, contacts=12, clock=Clock(NOON))
    assert inside(again, again.portals[0].token).get("/crm/v3/owners").json() == found[0]
