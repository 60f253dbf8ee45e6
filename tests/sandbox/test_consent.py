"""
The consent page without a browser: who is asked what, and where the answer leads (facts 6).

All that facts 6 say of it rests on documents alone; its words and looks are the sandbox's own.
"""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from hsagency.errors import SandboxError
from hsagency.sandbox import Sandbox
from hsagency.sandbox.oauth.permissions import in_words
from hsagency.sandbox.portals import FULL_SCOPES
from tests.sandbox.apps import CALLBACK, CHALLENGE, CUSTOM, READ, Developer, answered


@pytest.fixture
def developer(sandbox: Sandbox, inside) -> Developer:
    app = sandbox.register_app(
        "Planner", redirect_uris=[CALLBACK], required=[READ], optional=[CUSTOM, "forms"]
    )
    return Developer(app, inside(sandbox, None), sandbox)


@pytest.mark.parametrize(
    "uri",
    [
        "https://planner.example/callback",
        "https://planner.example:8443/a?b=c",
        "https://localhost/callback",
        "http://localhost",
        "http://localhost:8085/callback",
    ],
)
def test_https_and_localhost_may_be_registered(sandbox: Sandbox, uri: str) -> None:
    """Facts 6, from documents alone."""
    assert sandbox.register_app("Planner", redirect_uris=[uri]).redirect_uris == (uri,)


@pytest.mark.parametrize(
    "uri",
    [
        "http://planner.example/callback",
        "http://127.0.0.1:8085/callback",
        "https://127.0.0.1/callback",
        "https://[::1]/callback",
        "https://127.1/callback",
        "https://2130706433/callback",
        "https://0x7f000001/callback",
        "http://localhost.example/callback",
        "https://me@planner.example/",
        "https://planner.example/#top",
        "https://planner.example:port/",
        "https://planner.example/a b",
        "https://planner.example/\r\nSet-Cookie: a=b",
        "javascript:alert(1)",
        "planner://callback",
        "https:///callback",
        "",
    ],
)
def test_other_addresses_cannot_be_registered(sandbox: Sandbox, uri: str) -> None:
    """Facts 6: https only, except localhost; no IP literals. From documents alone."""
    with pytest.raises(SandboxError, match="was not registered"):
        sandbox.register_app("Planner", redirect_uris=[uri])
    assert list(sandbox.desk.apps) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": " "},
        {"redirect_uris": []},
        {"required": ["two words"]},
        {"distribution": "secret"},
        {"client_id": "with space"},
        {"client_secret": ""},
    ],
)
def test_an_app_that_makes_no_sense_is_refused(sandbox: Sandbox, wrong) -> None:
    """Nothing of HubSpot's: the sandbox registers no such app."""
    name = wrong.pop("name", "Planner")
    with pytest.raises(SandboxError):
        sandbox.register_app(name, **({"redirect_uris": [CALLBACK]} | wrong))


def test_two_apps_never_share_an_id(sandbox: Sandbox) -> None:
    """Nothing of HubSpot's: the sandbox registers no such app."""
    one = sandbox.register_app("One", redirect_uris=[CALLBACK])
    for clash in ({"client_id": one.client_id}, {"app_id": one.app_id}):
        with pytest.raises(SandboxError, match="One has that"):
            sandbox.register_app("Two", redirect_uris=[CALLBACK], **clash)


def test_an_apps_ids_and_secret_come_from_the_seed_and_do_not_print() -> None:
    drawn = [
        Sandbox(portals=1, seed=seed).register_app("Planner", redirect_uris=[CALLBACK])
        for seed in (7, 7, 8)
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0].client_secret != drawn[2].client_secret
    assert drawn[0].client_secret not in repr(drawn[0])


def test_the_page_offers_every_account_of_the_fleet_and_says_what_is_asked(developer) -> None:
    """An assumption: facts 6 tell what is asked for, and not what the page says."""
    page = developer.client.get(developer.link(optional_scope=CUSTOM))
    assert page.status_code == 200
    for portal in developer.sandbox.portals:
        assert f'value="{portal.portal_id}"' in page.text
        assert portal.name in page.text
    assert str(developer.sandbox.spare.portal_id) not in page.text
    assert "<li>See contacts</li>" in page.text
    assert "See custom objects <small>(Enterprise only)</small>" in page.text
    assert "Connect app" in page.text
    assert "Cancel" in page.text


def test_the_page_of_one_account_offers_only_that_one(developer) -> None:
    """Facts 6; from documents alone: the per-account form of the address."""
    first, second, _ = developer.sandbox.portals
    page = developer.client.get(developer.link(f"/oauth/{second.portal_id}/authorize"))
    assert re.findall(r'name="portalId" value="(\d+)" required checked', page.text) == [
        str(second.portal_id)
    ]
    refused = developer.client.post(
        developer.link(f"/oauth/{second.portal_id}/authorize"),
        data={"portalId": str(first.portal_id), "decision": "connect"},
    )
    assert refused.status_code == 400
    for unknown in ("1", "mine", "2026-09"):
        assert (
            developer.client.get(developer.link(f"/oauth/{unknown}/authorize")).status_code == 404
        )


def test_connecting_leads_back_with_a_code_and_the_same_state(developer) -> None:
    """Facts 6; from documents alone."""
    back = answered(developer.decide(state="a b&c=d/ü"))
    assert back.keys() == {"code", "state"}
    assert back["state"] == "a b&c=d/ü"


def test_without_a_state_none_comes_back(developer) -> None:
    """Facts 6; from documents alone."""
    assert answered(developer.decide(state=None)).keys() == {"code"}


def test_a_redirect_address_keeps_its_own_query(sandbox: Sandbox, inside) -> None:
    """An assumption, as RFC 6749 has it; facts 6 want the address to be a registered one."""
    app = sandbox.register_app("Planner", redirect_uris=[f"{CALLBACK}?from=hubspot"])
    developer = Developer(app, inside(sandbox, None), sandbox, scope="oauth")
    back = answered(developer.decide(redirect_uri=f"{CALLBACK}?from=hubspot"))
    assert back.keys() == {"from", "code", "state"}


def test_cancelling_leads_back_with_access_denied(developer) -> None:
    """Facts 6, from documents alone: a redirect with error and error_description."""
    back = answered(developer.decide(None, decision="cancel"))
    assert back.keys() == {"error", "error_description", "state"}
    assert (back["error"], back["state"]) == ("access_denied", "s-1")


def test_cancelling_may_also_lead_nowhere(developer) -> None:
    """Facts 6, from documents alone: another page says that no request is sent."""
    developer.sandbox.desk.tells = False
    page = developer.decide(None, decision="cancel")
    assert page.status_code == 200
    assert "location" not in page.headers
    assert "Nothing was connected" in page.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"client_id": None}, "Unknown app"),
        ({"client_id": "someone-else"}, "Unknown app"),
        ({"redirect_uri": None}, "Redirect URL does not match"),
        ({"redirect_uri": f"{CALLBACK}/"}, "Redirect URL does not match"),
        ({"redirect_uri": "http://localhost:8086/callback"}, "Redirect URL does not match"),
        ({"redirect_uri": "https://evil.example/"}, "Redirect URL does not match"),
        ({"scope": None}, f"the link does not ask for them: {READ}"),
        ({"scope": "oauth"}, f"the link does not ask for them: {READ}"),
        ({"scope": f"{READ} tickets"}, "did not register these scopes: tickets"),
        ({"optional_scope": "tickets"}, "did not register these scopes: tickets"),
        ({"code_challenge": "short"}, "Code challenge not understood"),
        ({"code_challenge_method": "S256"}, "Code challenge not understood"),
        (
            {"code_challenge": CHALLENGE, "code_challenge_method": "md5"},
            "Code challenge not understood",
        ),
    ],
)
def test_what_is_wrong_with_a_link_is_said_on_a_page_and_never_redirected(
    developer, changes, said
) -> None:
    """
    Facts 6, from documents alone: exact match of the address, every required scope asked for.

    That a scope the app never registered blocks the install too is an assumption.
    """
    for page in (
        developer.client.get(developer.link(**changes)),
        developer.decide(**changes),
        developer.decide(decision="cancel", **changes),
    ):
        assert page.status_code == 400
        assert "location" not in page.headers
        assert said in page.text


def test_optional_scopes_that_a_tier_lacks_are_dropped(developer) -> None:
    """Facts 6; from documents alone: granted scopes differ per portal, custom objects by tier."""
    asked = {"optional_scope": f"{CUSTOM} forms"}
    professional, enterprise = (developer.install(index, **asked) for index in (0, 1))
    assert professional["scopes"] == sorted([READ, "forms", "oauth"])
    assert enterprise["scopes"] == sorted([READ, CUSTOM, "forms", "oauth"])


def test_required_scopes_that_a_tier_lacks_block_the_install(developer) -> None:
    """Facts 6; from documents alone: also a conditionally required one, asked for as `scope`."""
    scope = f"{READ} {CUSTOM}"
    page = developer.decide(0, scope=scope)
    assert page.status_code == 403
    assert f"cannot grant what Planner needs: {CUSTOM}" in page.text
    assert "code" in answered(developer.decide(1, scope=scope))


@pytest.mark.parametrize("form", [{}, {"decision": "connect"}, {"decision": "maybe"}])
def test_an_unfinished_answer_shows_the_page_again(developer, form) -> None:
    """An assumption."""
    page = developer.client.post(developer.link(), data=form)
    assert page.status_code == 400
    assert 'role="alert"' in page.text
    assert "Connect app" in page.text


def test_an_account_that_was_not_offered_cannot_be_connected(developer) -> None:
    """An assumption."""
    spare = developer.sandbox.spare.portal_id
    answer = developer.client.post(
        developer.link(), data={"decision": "connect", "portalId": str(spare)}
    )
    assert answer.status_code == 400


def test_a_suspended_account_cannot_be_connected(developer) -> None:
    """An assumption: nothing tells what the page says then."""
    developer.sandbox.suspend(developer.sandbox.portals[0].portal_id)
    page = developer.decide(0)
    assert page.status_code == 403
    assert "is suspended" in page.text


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_form_from_another_page_connects_nothing(developer, site) -> None:
    """Nothing of HubSpot's: the sandbox guards its own page."""
    portal = developer.sandbox.portals[0]
    answer = developer.client.post(
        developer.link(),
        data={"decision": "connect", "portalId": str(portal.portal_id)},
        headers={"sec-fetch-site": site},
    )
    assert answer.status_code == 403
    assert "location" not in answer.headers


def test_a_page_loads_nothing_is_framed_by_nobody_and_kept_nowhere(developer) -> None:
    """Nothing of HubSpot's: the sandbox guards its own page."""
    for path in (developer.link(), developer.link(client_id="nobody")):
        page = developer.client.get(path)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "script" not in policy
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert not re.search(r"<script|\bsrc=|https?://|\bon\w+=", page.text)


def test_names_are_text_and_never_markup(sandbox: Sandbox, inside) -> None:
    """Nothing of HubSpot's: the sandbox guards its own page."""
    app = sandbox.register_app("<script>\"&'", redirect_uris=[CALLBACK])
    developer = Developer(app, inside(sandbox, None), sandbox, scope="oauth")
    for path in (developer.link(), developer.link(redirect_uri="https://elsewhere.example/")):
        page = developer.client.get(path).text
        assert "<script>" not in page
        assert "&lt;script&gt;&quot;&amp;&#x27;" in page


def test_the_state_of_an_app_is_not_kept_in_the_ledger(developer) -> None:
    """Facts 5.3; from documents alone: code and state are secrets in an address."""
    developer.client.get(developer.link(state="very-private", code="abc"))
    developer.decide(0, state="very-private")
    stranger = developer.sandbox.ledger(None)[-1]
    portals = developer.sandbox.ledger(developer.sandbox.portals[0].portal_id)[-1]
    for entry in (stranger, portals):
        assert entry.path == "/oauth/authorize"
        assert dict(entry.query)["state"] == "(hidden)"
        assert dict(entry.query)["client_id"] == developer.app.client_id
        assert "very-private" not in repr(entry)
    assert (stranger.method, stranger.status) == ("GET", 200)
    assert (portals.method, portals.status) == ("POST", 302)


@pytest.mark.parametrize(
    ("how", "cap"),
    [
        ({}, 10),
        ({"partner": True}, 100),
        ({"distribution": "marketplace"}, 25),
        ({"distribution": "marketplace", "listed": True}, None),
    ],
)
def test_an_app_may_be_in_so_many_accounts(inside, how, cap) -> None:
    """Facts 3.1, from documents alone: 10 accounts, 100 for partners, 25 unlisted."""
    sandbox = Sandbox(portals=102, contacts=0)
    app = sandbox.register_app("Planner", redirect_uris=[CALLBACK], required=[READ], **how)
    developer = Developer(app, inside(sandbox, None), sandbox)
    room = cap or 102
    kept = [developer.install(index) for index in range(room)]
    assert len(app.installs) == room
    if cap is None:
        return
    assert f"as many accounts as it may be: {cap}" in developer.decide(room).text
    developer.install(0)  # the same account again needs no room
    sandbox.uninstall(kept[0]["hub_id"], app.client_id)
    developer.install(room)


def test_of_two_codes_for_the_last_place_one_is_refused(sandbox: Sandbox, inside) -> None:
    """An assumption, as is the marker: no document tells of this race."""
    sandbox = Sandbox(portals=11, contacts=0)
    app = sandbox.register_app("Planner", redirect_uris=[CALLBACK], required=[READ])
    developer = Developer(app, inside(sandbox, None), sandbox)
    codes = [developer.code(index) for index in range(11)]
    answers = [developer.exchange(code) for code in codes]
    assert [answer.status_code for answer in answers] == [200] * 10 + [400]
    assert answers[-1].json()["status"] == "BAD_HUB"


def test_every_scope_that_the_sandbox_knows_has_words() -> None:
    """Facts 6 for the scopes, from documents alone; their words are the sandbox's."""
    for scope in FULL_SCOPES:
        assert "the scope" not in in_words(scope)
    assert in_words("content") == "Use whatever the scope content opens"


def test_a_code_lives_for_minutes(developer) -> None:
    """An assumption: HubSpot does not say how long."""
    code, other = developer.code(), developer.code()
    developer.sandbox.clock.advance(timedelta(seconds=299).total_seconds())
    assert developer.exchange(code).status_code == 200
    developer.sandbox.clock.advance(1)
    assert developer.exchange(other).json()["status"] == "EXPIRED_AUTH_CODE"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "evil.example"},
        {"Origin": "http://api.hubapi.com:8000"}, {"Origin": "null", "Sec-Fetch-Site": "none"},
    ],
)  # fmt: skip
def test_a_consent_that_another_page_sends_connects_nothing(inside, sandbox, headers) -> None:
    """Nothing of HubSpot's: the sandbox guards its own page."""
    app = sandbox.register_app("Planner", redirect_uris=[CALLBACK], required=[READ])
    developer = Developer(app, inside(sandbox, None), sandbox)
    body = {"decision": "connect", "portalId": str(sandbox.portals[0].portal_id)}
    refused = developer.client.post(developer.link(), data=body, headers=headers)
    assert (refused.status_code, "elsewhere" in refused.text) == (403, True)
    for own in (
        {"Origin": "https://api.hubapi.com"},
        {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
    ):
        assert developer.client.post(developer.link(), data=body, headers=own).status_code == 302
