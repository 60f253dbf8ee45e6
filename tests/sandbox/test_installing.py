"""
Apps are let into portals without a browser, on the same terms as on the consent page.

Those terms are the ones of facts 1.7, 3.1 and 6, from documents alone; the way in is the sandbox's.
"""

from __future__ import annotations

import pydoc

import httpx
import pytest

from hsagency.errors import SandboxError
from hsagency.sandbox import Challenge, Sandbox, serve
from tests.sandbox.apps import CALLBACK, CHALLENGE, CUSTOM, READ, VERIFIER, Developer, refused


def test_an_installed_app_calls_with_its_token_and_refreshes_it(developer: Developer) -> None:
    """Facts 1.7; from documents alone."""
    tokens = developer.sandbox.install(developer.app, "acme-corp")
    assert developer.call(tokens.access_token).status_code == 200
    fresh = developer.refresh(tokens.refresh_token).json()
    assert fresh["hub_id"] == tokens.portal_id
    assert developer.call(fresh["access_token"]).status_code == 200


def test_installing_grants_what_the_consent_page_grants(quick: Developer) -> None:
    """Facts 6; from documents alone: a professional portal has no custom objects to grant."""
    agreed = quick.install(0, optional_scope=f"{CUSTOM} forms")
    tokens = quick.sandbox.install(quick.app.client_id, quick.sandbox.portals[0].portal_id)
    assert (
        sorted(tokens.scopes) == agreed["scopes"] == ["crm.objects.contacts.read", "forms", "oauth"]
    )
    assert len(quick.app.installs) == 1


def test_an_app_trades_the_code_of_a_person_who_has_no_browser(developer: Developer) -> None:
    """Facts 1.7; from documents alone. That a code is good once is an assumption."""
    code = developer.sandbox.authorize(developer.app, "beta-inc")
    traded = developer.exchange(code)
    assert traded.status_code == 200
    assert traded.json()["hub_id"] == developer.sandbox.portal("beta-inc").portal_id
    refused(developer.exchange(code), "BAD_AUTH_CODE")


def test_a_code_that_was_asked_for_with_a_challenge_needs_its_verifier(quick: Developer) -> None:
    """Facts 1.7 and 6; from documents alone. When it must be there is an assumption."""
    code = quick.sandbox.authorize(quick.app, "acme-corp", challenge=Challenge(CHALLENGE, "S256"))
    refused(quick.exchange(code), "BAD_CODE_VERIFIER")
    assert quick.exchange(code, code_verifier=VERIFIER).status_code == 200


def test_an_install_is_an_event_in_the_portal_once(quick: Developer) -> None:
    """Facts 1.4; from documents alone. That a repeated install leaves none is an assumption."""
    for _ in range(2):
        quick.sandbox.install(quick.app, "acme-corp")
    token = quick.sandbox.portal("acme-corp").token
    log = quick.call(token, "/account-info/2026-03/activity/security").json()["results"]
    mine = [event for event in log if event.get("objectId") == str(quick.app.app_id)]
    assert [event["type"] for event in mine] == ["INSTALL_INTEGRATION"]


def test_what_the_consent_page_refuses_is_refused_in_words(sandbox: Sandbox) -> None:
    """Facts 6; from documents alone. What becomes of a suspended portal is an assumption."""
    app = sandbox.register_app("Builder", redirect_uris=[CALLBACK], required=[CUSTOM])
    with pytest.raises(SandboxError, match=f"cannot grant what Builder needs: {CUSTOM}"):
        sandbox.install(app, "acme-corp")
    sandbox.suspend("beta-inc")
    with pytest.raises(SandboxError, match=r"is suspended\. Nothing was installed"):
        sandbox.authorize(app, "beta-inc")
    assert len(app.installs) == 0


def test_an_app_that_is_in_as_many_portals_as_it_may_be_is_let_into_no_other() -> None:
    """Facts 3.1; from documents alone."""
    sandbox = Sandbox(portals=11)
    app = sandbox.register_app("Reader", redirect_uris=[CALLBACK], required=[READ])
    for portal in sandbox.portals[:10]:
        sandbox.install(app, portal.client_slug)
    with pytest.raises(SandboxError, match="in as many accounts as it may be: 10"):
        sandbox.install(app, sandbox.portals[10].client_slug)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"app": "nobody"}, "No app has the client id nobody; nothing was installed. Register"),
        ({"portal": "acme"}, "has no portal 'acme'. Close to it: acme-corp"),
        ({"redirect_uri": "http://localhost/"}, f"Registered: {CALLBACK}."),
    ],
)
def test_an_install_that_makes_no_sense_is_explained(quick: Developer, how, why: str) -> None:
    """Nothing of HubSpot's."""
    asked = {"app": quick.app, "portal": "acme-corp", "redirect_uri": CALLBACK} | how
    with pytest.raises(SandboxError) as caught:
        quick.sandbox.authorize(asked["app"], asked["portal"], redirect_uri=asked["redirect_uri"])
    assert why in str(caught.value)


def test_an_app_is_installed_by_a_control_call(sandbox: Sandbox) -> None:
    """Facts 1.7 for the tokens, from documents alone; the call is the sandbox's."""
    app = sandbox.register_app("Reader", redirect_uris=[CALLBACK], required=[READ])
    asked = {"clientId": app.client_id, "portal": "acme-corp"}
    with serve(sandbox) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        key = {"X-Sandbox-Key": server.control_key}
        made = client.post("/_sandbox/apps/install", json=asked, headers=key).json()
        code = client.post("/_sandbox/apps/authorize", json=asked, headers=key).json()["code"]
        developer = Developer(app, client, sandbox)
        assert developer.call(made["accessToken"]).status_code == 200
        assert developer.refresh(made["refreshToken"]).json()["hub_id"] == made["portalId"]
        assert developer.exchange(code).json()["hub_id"] == made["portalId"]


@pytest.mark.parametrize(
    "name",
    ["authorize", "clock", "contacts", "desk", "faults", "install", "register_app", "seed"],
)
def test_help_on_the_sandbox_explains(name: str) -> None:
    """Nothing of HubSpot's."""
    told = pydoc.plain(pydoc.render_doc(Sandbox))
    (said,) = (part for part in told.split("\n |  \n") if part.startswith(f" |  {name}"))
    assert len(said.splitlines()) > 1


def test_no_token_of_an_install_is_in_its_repr(quick: Developer) -> None:
    """Nothing of HubSpot's."""
    tokens = quick.sandbox.install(quick.app, "acme-corp")
    assert tokens.access_token not in repr(tokens)
    assert tokens.refresh_token not in repr(tokens)
