"""HubSpot's own client as an OAuth app: it knows version 1 only (facts 7)."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hubspot import HubSpot
from hubspot.oauth import ApiException
from hubspot.utils.oauth import get_auth_url

from hsagency.sandbox import Sandbox, SandboxServer
from tests.sandbox.apps import CALLBACK, CUSTOM, READ, Developer


@pytest.fixture
def client(server: SandboxServer) -> HubSpot:
    """A client that has no token yet."""
    return HubSpot(host=server.url, base_url=server.url)


@pytest.fixture
def developer(sandbox: Sandbox, server: SandboxServer):
    app = sandbox.register_app(
        "Planner", redirect_uris=[CALLBACK], required=[READ], optional=[CUSTOM]
    )
    with httpx.Client(base_url=server.url, trust_env=False) as browser:
        yield Developer(app, browser, sandbox)


def traded(client: HubSpot, developer: Developer, **form: str):
    known = {
        "client_id": developer.app.client_id,
        "client_secret": developer.app.client_secret,
        "redirect_uri": CALLBACK,
    }
    return client.oauth.tokens_api.create(**(known | form))


def test_the_address_it_builds_is_one_that_people_can_answer(developer: Developer) -> None:
    """Facts 6: it spells optional_scope, and a space as %20."""
    url = get_auth_url(
        developer.app.client_id,
        CALLBACK,
        scope=("oauth", READ),
        optional_scope=(CUSTOM,),
        state="s 1",
    )
    assert url.startswith("https://app.hubspot.com/oauth/authorize?")
    assert "scope=oauth%20" in url
    assert "+" not in url
    here = f"/oauth/authorize?{urlsplit(url).query}"
    assert "See custom objects" in developer.client.get(here).text
    portal = developer.sandbox.portals[1]
    form = {"portalId": str(portal.portal_id), "decision": "connect"}
    answer = developer.client.post(here, data=form)
    back = parse_qs(urlsplit(answer.headers["location"]).query)
    assert back["state"] == ["s 1"]
    assert developer.exchange(back["code"][0]).json()["scopes"] == sorted([CUSTOM, READ, "oauth"])


def test_a_code_becomes_tokens_and_the_tokens_work(
    client: HubSpot, developer: Developer, connect_official
) -> None:
    issued = traded(client, developer, grant_type="authorization_code", code=developer.code())
    assert (issued.token_type, issued.expires_in) == ("bearer", 1800)
    assert connect_official(issued.access_token).crm.contacts.basic_api.get_page(limit=1).results
    again = traded(
        client, developer, grant_type="refresh_token", refresh_token=issued.refresh_token
    )
    assert again.refresh_token == issued.refresh_token
    assert again.access_token != issued.access_token


@pytest.mark.parametrize(
    ("form", "marker"),
    [
        ({"grant_type": "authorization_code", "code": "made-up"}, "BAD_AUTH_CODE"),
        ({"grant_type": "refresh_token", "refresh_token": "na1-x"}, "BAD_REFRESH_TOKEN"),
        ({"grant_type": "refresh_token", "client_id": "nobody"}, "BAD_CLIENT_ID"),
        ({"grant_type": "refresh_token", "client_secret": "guess"}, "BAD_CLIENT_SECRET"),
    ],
)
def test_a_refusal_is_an_api_exception(
    client: HubSpot, developer: Developer, form, marker: str
) -> None:
    with pytest.raises(ApiException) as caught:
        traded(client, developer, **form)
    assert caught.value.status == 400
    assert f'"status":"{marker}"' in caught.value.body


def test_an_access_token_is_looked_up(client: HubSpot, developer: Developer) -> None:
    issued = developer.install()
    shown = client.oauth.access_tokens_api.get(issued["access_token"])
    assert (shown.hub_id, shown.app_id) == (issued["hub_id"], developer.app.app_id)
    assert (shown.scopes, shown.expires_in) == (issued["scopes"], 1800)
    assert shown.hub_domain == "acme-corp.example"
    with pytest.raises(ApiException) as caught:
        client.oauth.access_tokens_api.get("unknown")
    assert caught.value.status == 404


def test_a_refresh_token_is_looked_up_and_archived(client: HubSpot, developer: Developer) -> None:
    issued = developer.install()
    refresh_tokens = client.oauth.refresh_tokens_api
    shown = refresh_tokens.get(issued["refresh_token"])
    assert (shown.hub_id, shown.client_id) == (issued["hub_id"], developer.app.client_id)
    assert shown.user_id == issued["user_id"]
    refresh_tokens.archive(issued["refresh_token"])
    for call in (refresh_tokens.get, refresh_tokens.archive):
        with pytest.raises(ApiException) as caught:
            call(issued["refresh_token"])
        assert caught.value.status == 404


def test_an_access_token_that_is_over_is_an_api_exception(
    developer: Developer, connect_official
) -> None:
    official = connect_official(developer.install()["access_token"])
    developer.sandbox.clock.advance(1800)
    with pytest.raises(Exception, match="EXPIRED_AUTHENTICATION") as caught:
        official.crm.contacts.basic_api.get_page()
    assert caught.value.status == 401
