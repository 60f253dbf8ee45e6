"""Data centres: tokens of a portal that has moved to another one (facts 1.8)."""

from __future__ import annotations

import ssl

import httpx
import pytest

from hsagency.sandbox import Portal, Sandbox, serve
from tests.sandbox.apps import CALLBACK, READ, Developer
from tests.sandbox.conftest import Client, bearer

INTROSPECTION = "/oauth/v2/private-apps/get/access-token-info"
DETAILS = "/account-info/v3/details"


def moved(inside, sandbox: Sandbox) -> tuple[Portal, Client]:
    """Move the first portal to another data centre; return it as it was, and a client of it."""
    portal = sandbox.portals[0]
    assert portal.hublet == "na1"
    sandbox.alter(portal.portal_id, hublet="eu1")
    return portal, inside(sandbox, portal.token)


def test_a_token_of_another_data_centre_is_refused_when_its_portal_has_moved(
    inside, sandbox: Sandbox
) -> None:
    """Facts 1.8, as captured in production; that no limit counts it is an assumption."""
    portal, client = moved(inside, sandbox)
    for answer in (
        client.get(DETAILS),
        client.post("/crm/v3/objects/contacts", json={"properties": {}}),
        client.post(INTROSPECTION, json={"tokenKey": portal.token}),
    ):
        assert answer.status_code == 488
        assert answer.json() == {
            "status": "error",
            "message": f"Hub {portal.portal_id} is unknown to this Hublet, "
            "but it appears to exist in Hublet eu1",
            "correlationId": answer.headers["x-hubspot-correlation-id"],
            "correctHublet": "eu1",
        }
        assert answer.headers["x-hubspot-correct-hublet"] == "eu1"
        assert "x-hubspot-ratelimit-max" not in answer.headers
    assert sandbox.usage(portal.portal_id).ours == 0


@pytest.mark.parametrize(
    ("host", "status"),
    [("api-eu1.hubapi.com", 200), ("API-EU1.hubapi.com:443", 200), ("api-na2.hubapi.com", 488)],
)
def test_the_host_of_the_right_data_centre_takes_an_old_token(
    inside, sandbox: Sandbox, host: str, status: int
) -> None:
    """Facts 1.8: until a new token is made, or the call goes there. Observed by others."""
    _, client = moved(inside, sandbox)
    assert client.get(DETAILS, headers={"host": host}).status_code == status


@pytest.mark.parametrize("tls", [False, True])
def test_on_a_socket_the_right_data_centre_is_a_name_below_localhost(
    sandbox: Sandbox, *, tls: bool
) -> None:
    """Its certificate is good for that name; the others lead to the same place, and to a 488."""
    portal = sandbox.portals[0]
    sandbox.alter(portal.portal_id, hublet="eu1")
    with serve(sandbox, tls=tls) as server:
        where = httpx.URL(server.url)
        trust = ssl.create_default_context(cafile=server.ca_file) if tls else False
        with httpx.Client(verify=trust, trust_env=False) as client:
            for host, status in (("api-eu1", 200), ("api-na2", 488), ("api", 488)):
                name = f"{host}.hubapi.localhost"
                headers = {"host": f"{name}:{where.port}"} | bearer(portal.token)
                asked = {"sni_hostname": name} if tls else {}
                answer = client.get(where.join(DETAILS), headers=headers, extensions=asked)
                assert answer.status_code == status


def test_a_new_token_of_a_portal_that_moved_works_everywhere(inside, sandbox: Sandbox) -> None:
    """Facts 1.8; account information follows (2.1). A dead token is a 401 first: an assumption."""
    portal, old = moved(inside, sandbox)
    fresh = sandbox.rotate(portal.portal_id)
    assert fresh.token.startswith("pat-eu1-")
    client = inside(sandbox, fresh.token)
    shown = client.get(DETAILS).json()
    assert (shown["dataHostingLocation"], shown["uiDomain"]) == ("eu1", "app-eu1.hubspot.com")
    assert client.get(DETAILS, headers={"host": "api-eu1.hubapi.com"}).status_code == 200
    assert old.get(DETAILS).status_code == 401


def test_an_oauth_app_notices_nothing_of_a_move(inside, sandbox: Sandbox) -> None:
    """Facts 1.8: the token endpoint is global; that access tokens are too is an assumption."""
    app = sandbox.register_app("Planner", redirect_uris=[CALLBACK], required=[READ])
    developer = Developer(app, inside(sandbox, None), sandbox)
    issued = developer.install()
    moved(inside, sandbox)
    assert developer.call(issued["access_token"]).status_code == 200
    again = developer.refresh(issued["refresh_token"]).json()
    assert developer.call(again["access_token"]).status_code == 200
