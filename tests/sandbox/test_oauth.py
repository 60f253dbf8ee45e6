"""Tokens of OAuth apps: traded, refreshed, looked up, ended. Facts 1.7 unless a test says more."""

from __future__ import annotations

import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsagency.errors import SandboxError
from hsagency.sandbox import Clock, Fault, Sandbox, serve
from hsagency.sandbox.api.oauth import OWN_SCOPES
from hsagency.sandbox.portals import FULL_SCOPES
from tests.sandbox.apps import CALLBACK, CHALLENGE, CUSTOM, READ, VERIFIER, Developer
from tests.sandbox.conftest import NOON, Connect

INTROSPECT = "/oauth/2026-09/token/introspect"
REVOKE = "/oauth/2026-09/token/revoke"
UNINSTALL = "/appinstalls/2026-09/external-install"
MODERN = ("/oauth/2026-09/token", "/oauth/2026-03/token", "/oauth/v3/token")


@pytest.fixture
def developer(sandbox: Sandbox, connect: Connect) -> Developer:
    return made(sandbox, connect)


@pytest.fixture
def quick(sandbox: Sandbox, inside: Connect) -> Developer:
    """The same app, in process only: for what the carrier cannot change."""
    return made(sandbox, inside)


def made(sandbox: Sandbox, connect: Connect, **how: str) -> Developer:
    app = sandbox.register_app(
        "Planner", redirect_uris=[CALLBACK], required=[READ], optional=[CUSTOM, "forms"], **how
    )
    return Developer(app, connect(sandbox, None), sandbox)


def refused(answer, marker: str) -> None:
    """Check the whole body of a refusal: HubSpot's fields and those of RFC 6749 (facts 4.2)."""
    assert answer.status_code == 400
    body = answer.json()
    assert body.keys() == {"error", "error_description", "status", "message"}
    assert body["status"] == marker
    assert body["error"] == ERRORS[marker]
    assert body["message"] == body["error_description"] != ""


ERRORS = {
    "BAD_AUTH_CODE": "invalid_grant",
    "BAD_CLIENT_ID": "invalid_client",
    "BAD_CLIENT_SECRET": "invalid_client",
    "BAD_CODE_VERIFIER": "invalid_grant",
    "BAD_GRANT_TYPE": "unsupported_grant_type",
    "BAD_HUB": "access_denied",
    "BAD_REDIRECT_URI": "invalid_grant",
    "BAD_REFRESH_TOKEN": "invalid_grant",
    "BAD_SCOPES": "invalid_scope",
    "EXPIRED_AUTH_CODE": "invalid_grant",
}


@pytest.mark.parametrize("path", MODERN)
def test_a_code_is_traded_for_tokens_that_work(developer: Developer, path: str) -> None:
    """Facts 1.7: AccessTokenResponse."""
    portal = developer.sandbox.portals[0]
    answer = developer.exchange(developer.code(), path=path)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    issued = answer.json()
    assert issued.keys() == {
        *("access_token", "expires_in", "refresh_token", "token_type"),
        *("token_use", "hub_id", "scopes", "user_id"),
    }
    assert issued["expires_in"] == 1800
    assert (issued["token_type"], issued["token_use"]) == ("bearer", "access_token")
    assert issued["hub_id"] == portal.portal_id
    assert issued["scopes"] == sorted([READ, "oauth"])
    assert re.fullmatch(rf"{portal.hublet}-[0-9a-f-]{{36}}", issued["refresh_token"])
    assert developer.call(issued["access_token"]).status_code == 200
    details = developer.call(issued["access_token"], "/account-info/v3/details").json()
    assert details["portalId"] == portal.portal_id


def test_version_one_answers_with_less(developer: Developer) -> None:
    """Facts 1.7: no hub_id there."""
    issued = developer.exchange(developer.code(), path="/oauth/v1/token").json()
    assert issued.keys() == {"access_token", "expires_in", "refresh_token", "token_type"}


def test_access_tokens_are_opaque_and_vary_in_length_up_to_512(quick: Developer) -> None:
    """Facts 1.7, from documents alone."""
    refresh = quick.install()["refresh_token"]
    tokens = [quick.refresh(refresh).json()["access_token"] for _ in range(60)]
    assert len(set(tokens)) == 60
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{60,512}", token) for token in tokens)
    assert max(map(len, tokens)) > 300  # older code allowed for no more


def test_an_app_may_do_what_was_granted_and_no_more(quick: Developer) -> None:
    token = quick.install()["access_token"]
    assert quick.call(token, "/crm/v3/objects/contacts").status_code == 200
    denied = quick.call(token, "/crm/v3/objects/companies")
    assert (denied.status_code, denied.json()["category"]) == (403, "MISSING_SCOPES")


def test_an_installed_app_leaves_the_portals_own_token_the_newest(quick: Developer) -> None:
    before = quick.sandbox.portals[0]
    quick.install()
    assert quick.sandbox.portals[0].credentials == before.credentials
    assert quick.call(before.token).status_code == 200


def test_an_access_token_ends_after_half_an_hour(quick: Developer) -> None:
    """Facts 4.2: 401 EXPIRED_AUTHENTICATION with the time in its context."""
    token, clock = quick.install()["access_token"], quick.sandbox.clock
    clock.advance(1799)
    assert quick.call(token).status_code == 200
    clock.advance(1)
    answer = quick.call(token)
    assert answer.status_code == 401
    body = answer.json()
    assert body["category"] == "EXPIRED_AUTHENTICATION"
    assert body["message"] == ("The OAuth token used to make this call expired 0 second(s) ago.")
    assert body["context"] == {"expire time": ["2026-10-14T12:30:00.000Z"]}
    clock.advance(61)
    assert "expired 61 second(s) ago" in quick.call(token).json()["message"]


def test_a_refresh_token_is_good_again_and_again(quick: Developer) -> None:
    """Facts 1.7: observed unchanged; the older access token goes on working (an assumption)."""
    first = quick.install()
    quick.sandbox.clock.advance(365 * 86_400 // 4)
    second = quick.refresh(first["refresh_token"]).json()
    third = quick.refresh(first["refresh_token"]).json()
    assert first["refresh_token"] == second["refresh_token"] == third["refresh_token"]
    assert second["access_token"] != third["access_token"]
    for issued in (second, third):
        assert quick.call(issued["access_token"]).status_code == 200


def test_a_refresh_token_may_change_on_each_use(quick: Developer) -> None:
    """Facts 1.7, a conflict: one site says that it rotates."""
    quick.sandbox.desk.rotates = True
    first = quick.install()["refresh_token"]
    second = quick.refresh(first).json()["refresh_token"]
    assert second != first
    refused(quick.refresh(first), "BAD_REFRESH_TOKEN")
    assert quick.refresh(second).status_code == 200


def test_a_refresh_may_ask_for_less(quick: Developer) -> None:
    """RFC 6749; that HubSpot does as it says is an assumption."""
    refresh = quick.install(optional_scope="forms")["refresh_token"]
    assert quick.refresh(refresh, scope=READ).json()["scopes"] == sorted([READ, "oauth"])
    refused(quick.refresh(refresh, scope=f"{READ} tickets"), "BAD_SCOPES")


def test_a_wrong_client_id(developer: Developer) -> None:
    """Facts 4.2."""
    for wrong in (None, "", "nobody"):
        refused(developer.exchange("any", client_id=wrong), "BAD_CLIENT_ID")


def test_a_wrong_client_secret(developer: Developer) -> None:
    """Facts 4.2."""
    for wrong in (None, "", "guess", "gu\u00e9ss"):
        refused(developer.exchange(developer.code(), client_secret=wrong), "BAD_CLIENT_SECRET")


def test_a_wrong_grant_type(developer: Developer) -> None:
    """Facts 4.2."""
    for wrong in (None, "", "password"):
        refused(developer.exchange("any", grant_type=wrong), "BAD_GRANT_TYPE")


def test_a_wrong_code(developer: Developer) -> None:
    """Facts 4.2."""
    for wrong in (None, "", "made-up"):
        refused(developer.post(grant_type="authorization_code", code=wrong), "BAD_AUTH_CODE")


def test_only_what_a_kind_of_grant_trades_decides_whose_portal_it_is(quick: Developer) -> None:
    refresh, code = quick.install(0)["refresh_token"], quick.code(1)
    assert quick.refresh(refresh, code=code).status_code == 200
    assert quick.exchange(code, refresh_token=refresh).status_code == 200


def test_a_code_works_once(developer: Developer) -> None:
    """Facts 4.2; the tokens of the first exchange stay good (an assumption)."""
    code = developer.code()
    issued = developer.exchange(code).json()
    refused(developer.exchange(code), "BAD_AUTH_CODE")
    assert developer.call(issued["access_token"]).status_code == 200


def test_a_code_that_is_too_old(developer: Developer) -> None:
    """Facts 4.2 name EXPIRED_AUTH_CODE and call it old; when it is said is an assumption."""
    code = developer.code()
    developer.sandbox.clock.advance(300)
    refused(developer.exchange(code), "EXPIRED_AUTH_CODE")


def test_a_wrong_redirect_address(developer: Developer) -> None:
    """Facts 4.2 and 6: the same to the letter as at the consent page."""
    code = developer.code()
    for wrong in (None, "", f"{CALLBACK}/", CALLBACK.upper()):
        refused(developer.exchange(code, redirect_uri=wrong), "BAD_REDIRECT_URI")
    assert developer.exchange(code).status_code == 200


@pytest.mark.parametrize(
    ("challenge", "method"), [(CHALLENGE, "S256"), (VERIFIER, "plain"), (VERIFIER, None)]
)
def test_who_sent_a_challenge_must_know_its_verifier(quick: Developer, challenge, method) -> None:
    """Facts 1.7 and 4.2; that ordinary apps may use it is undocumented (facts 6)."""
    code = quick.code(code_challenge=challenge, code_challenge_method=method)
    for wrong in (None, "", "x" * 50, CHALLENGE):
        refused(quick.exchange(code, code_verifier=wrong), "BAD_CODE_VERIFIER")
    assert quick.exchange(code, code_verifier=VERIFIER).status_code == 200


def test_a_wrong_refresh_token(developer: Developer) -> None:
    """Facts 4.2, the words too."""
    for wrong in ("", "na1-00000000-0000-4000-8000-000000000000"):
        answer = developer.refresh(wrong)
        refused(answer, "BAD_REFRESH_TOKEN")
        assert answer.json()["message"] == "refresh token is invalid, expired or revoked"


def test_codes_and_refresh_tokens_are_no_good_to_another_app(quick: Developer) -> None:
    """An assumption as to the markers."""
    sandbox = quick.sandbox
    app = sandbox.register_app("Other", redirect_uris=[CALLBACK], required=[READ])
    other = Developer(app, quick.client, sandbox)
    refused(other.exchange(quick.code()), "BAD_AUTH_CODE")
    issued = quick.install()
    refused(other.refresh(issued["refresh_token"]), "BAD_REFRESH_TOKEN")
    for kind in ("access_token", "refresh_token"):
        assert other.post(INTROSPECT, token=issued[kind]).json() == {"active": False}
    assert other.post(REVOKE, token=issued["refresh_token"]).status_code == 200
    assert quick.refresh(issued["refresh_token"]).status_code == 200


def test_a_portal_that_is_suspended_or_gone(quick: Developer) -> None:
    """Facts 4.2: BAD_HUB, "missing or unknown hub id". That a suspended one says so: assumed."""
    portal_id = quick.sandbox.portals[0].portal_id
    refresh, code = quick.install()["refresh_token"], quick.code()
    quick.sandbox.suspend(portal_id)
    refused(quick.refresh(refresh), "BAD_HUB")
    refused(quick.exchange(code), "BAD_HUB")
    quick.sandbox.unsuspend(portal_id)
    assert quick.refresh(refresh).status_code == 200
    quick.sandbox.uninstall(portal_id, quick.app.client_id, hub_gone=True)
    answer = quick.refresh(refresh)
    refused(answer, "BAD_HUB")
    assert answer.json()["message"] == "missing or unknown hub id"


def test_an_app_gets_a_token_for_itself(developer: Developer) -> None:
    """Facts 1.7 and 6: client_credentials, no refresh_token; it opens no portal."""
    issued = developer.post(
        grant_type="client_credentials", scope="developer.webhooks_journal.read"
    ).json()
    assert issued.keys() == {"access_token", "expires_in", "token_type", "token_use", "scopes"}
    assert issued["token_use"] == "client_credentials"
    assert developer.call(issued["access_token"]).status_code == 401
    shown = developer.post(INTROSPECT, token=issued["access_token"]).json()
    assert (shown["active"], shown["token_use"]) == (True, "client_credentials")
    developer.sandbox.clock.advance(1800)
    assert developer.post(INTROSPECT, token=issued["access_token"]).json() == {"active": False}


@pytest.mark.parametrize("scope", [None, "", READ, "developer.webhooks_journal.read tickets"])
def test_an_app_gets_no_portals_scopes_for_itself(quick: Developer, scope) -> None:
    """Facts 4.2; that it is said of a missing scope too is an assumption."""
    assert READ not in OWN_SCOPES
    refused(quick.post(grant_type="client_credentials", scope=scope), "BAD_SCOPES")


def test_a_body_that_is_no_form_is_refused(developer: Developer) -> None:
    """Facts 1.7: form-encoded. The status is an assumption."""
    form = {"client_id": developer.app.client_id, "client_secret": developer.app.client_secret}
    assert developer.client.post(MODERN[0], json=form).status_code == 415


@pytest.mark.parametrize("body", [b"client_id=\xff", b"&".join([b"a=b"] * 200)])
def test_a_form_that_cannot_be_read_says_nothing(quick: Developer, body: bytes) -> None:
    kind = {"content-type": "application/x-www-form-urlencoded"}
    refused(quick.client.post(MODERN[0], content=body, headers=kind), "BAD_CLIENT_ID")


def test_only_version_one_reads_secrets_from_the_query(quick: Developer) -> None:
    """Facts 1.7: and the ledger keeps none of them."""
    refresh = quick.install()["refresh_token"]
    query = {"client_secret": quick.app.client_secret, "refresh_token": refresh}
    rest = {"client_id": quick.app.client_id, "grant_type": "refresh_token"}
    answers = [
        quick.client.post(path, params=query, data=rest) for path in ("/oauth/v1/token", *MODERN)
    ]
    assert answers[0].status_code == 200
    for answer in answers[1:]:
        refused(answer, "BAD_CLIENT_SECRET")
    sandbox = quick.sandbox
    kept = repr((sandbox.ledger(None), sandbox.ledger(sandbox.portals[0].portal_id)))
    assert refresh not in kept
    assert quick.app.client_secret not in kept


@pytest.mark.parametrize(
    "path",
    [
        INTROSPECT,
        "/oauth/2026-03/token/introspect",
        "/oauth/v3/token/introspect",
        "/oauth/v3/introspect",
    ],
)
def test_an_access_token_is_introspected(developer: Developer, path: str) -> None:
    """Facts 1.7 and HubSpot's specification; that the short v3 form works is an assumption."""
    portal = developer.sandbox.portals[0]
    issued = developer.install()
    developer.sandbox.clock.advance(100)
    shown = developer.post(
        path, token=issued["access_token"], token_type_hint="access_token"
    ).json()
    signed = shown.pop("signed_access_token")
    assert shown == {
        "active": True,
        "token": issued["access_token"],
        "token_type": "bearer",
        "token_use": "access_token",
        "app_id": developer.app.app_id,
        "client_id": developer.app.client_id,
        "hub_id": portal.portal_id,
        "hub_domain": "acme-corp.example",
        "user": shown["user"],
        "user_id": issued["user_id"],
        "scopes": issued["scopes"],
        "expires_in": 1700,
        "is_private_distribution": True,
    }
    assert shown["user"].endswith("@acme-corp.example")
    assert signed["hubId"] == portal.portal_id
    assert signed["hublet"] == portal.hublet
    assert signed["appId"] == developer.app.app_id
    assert signed["expiresAt"] == int(datetime(2026, 10, 14, 12, 30, tzinfo=UTC).timestamp() * 1000)
    assert {"userId", "appInstallId", "installingUserId", "signature"} < signed.keys()


def test_a_refresh_token_is_introspected(developer: Developer) -> None:
    """Facts 1.7."""
    issued = developer.install()
    shown = developer.post(INTROSPECT, token=issued["refresh_token"]).json()
    assert (shown["active"], shown["token_use"]) == (True, "refresh_token")
    assert shown["hub_id"] == issued["hub_id"]
    assert shown["scopes"] == issued["scopes"]
    assert "expires_in" not in shown


def test_what_is_over_is_only_not_active(quick: Developer) -> None:
    """Facts 1.7 say so of a revoked token; of others it is an assumption."""
    issued = quick.install()
    assert quick.post(INTROSPECT, token="nobody's").json() == {"active": False}
    assert quick.post(INTROSPECT).json() == {"active": False}
    quick.post(REVOKE, token=issued["refresh_token"])
    assert quick.post(INTROSPECT, token=issued["refresh_token"]).json() == {"active": False}
    quick.sandbox.clock.advance(1800)
    assert quick.post(INTROSPECT, token=issued["access_token"]).json() == {"active": False}


def test_who_introspects_or_revokes_must_prove_who_it_is(quick: Developer) -> None:
    token = quick.install()["refresh_token"]
    for path in (INTROSPECT, REVOKE):
        refused(quick.post(path, token=token, client_secret="guess"), "BAD_CLIENT_SECRET")
    assert quick.refresh(token).status_code == 200


@pytest.mark.parametrize("version", ["2026-09", "2026-03", "v3"])
def test_revoking_ends_the_refresh_token_and_no_access_token(
    developer: Developer, version: str
) -> None:
    """Facts 1.7, observed live: an issued access token stays good to its end."""
    issued = developer.install()
    for _ in range(2):  # RFC 7009: one that is over already is as good as revoked
        answer = developer.post(f"/oauth/{version}/token/revoke", token=issued["refresh_token"])
        assert (answer.status_code, answer.content) == (200, b"")
    refused(developer.refresh(issued["refresh_token"]), "BAD_REFRESH_TOKEN")
    assert developer.call(issued["access_token"]).status_code == 200
    developer.sandbox.clock.advance(1800)
    assert developer.call(issued["access_token"]).status_code == 401


def test_revoking_an_access_token_changes_nothing(quick: Developer) -> None:
    """Facts 1.7: it revokes the refresh token; the rest is an assumption."""
    issued = quick.install()
    assert quick.post(REVOKE, token=issued["access_token"]).status_code == 200
    assert quick.call(issued["access_token"]).status_code == 200
    assert quick.refresh(issued["refresh_token"]).status_code == 200


def test_the_old_lookups_name_portal_app_and_scopes(developer: Developer) -> None:
    """Facts 1.7: the token is in the address."""
    issued = developer.install()
    access = developer.client.get(f"/oauth/v1/access-tokens/{issued['access_token']}").json()
    refresh = developer.client.get(f"/oauth/v1/refresh-tokens/{issued['refresh_token']}").json()
    for shown in (access, refresh):
        assert shown["hub_id"] == issued["hub_id"]
        assert shown["scopes"] == issued["scopes"]
    assert (access["token_type"], access["app_id"]) == ("access", developer.app.app_id)
    assert (refresh["token_type"], refresh["client_id"]) == ("refresh", developer.app.client_id)


def test_the_old_way_to_end_a_refresh_token(developer: Developer) -> None:
    """Facts 1.7: 204; that an unknown one is a 404 is an assumption."""
    issued = developer.install()
    path = f"/oauth/v1/refresh-tokens/{issued['refresh_token']}"
    assert developer.client.delete(path).status_code == 204
    assert developer.client.delete(path).status_code == 404
    assert developer.client.get(path).status_code == 404
    refused(developer.refresh(issued["refresh_token"]), "BAD_REFRESH_TOKEN")


def test_the_old_lookup_knows_no_static_token(quick: Developer) -> None:
    """Facts 1.5, from a third party; the status is an assumption."""
    token = quick.sandbox.portals[0].token
    assert quick.client.get(f"/oauth/v1/access-tokens/{token}").status_code == 404


@pytest.mark.parametrize("path", [UNINSTALL, "/appinstalls/v3/external-install"])
def test_an_app_uninstalls_itself(developer: Developer, path: str) -> None:
    """Facts 1.7; that its access tokens end at once is an assumption."""
    issued = developer.install()
    mine = {"authorization": f"Bearer {issued['access_token']}"}
    answer = developer.client.delete(path, headers=mine)
    assert (answer.status_code, answer.content) == (204, b"")
    refused(developer.refresh(issued["refresh_token"]), "BAD_REFRESH_TOKEN")
    after = developer.call(issued["access_token"])
    assert (after.status_code, after.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    assert developer.install()["refresh_token"] != issued["refresh_token"]


def test_uninstalling_takes_an_app_out_of_one_portal_only(quick: Developer) -> None:
    first, second = quick.install(0), quick.install(1)
    quick.sandbox.uninstall(first["hub_id"], quick.app.client_id)
    refused(quick.refresh(first["refresh_token"]), "BAD_REFRESH_TOKEN")
    assert quick.refresh(second["refresh_token"]).status_code == 200
    with pytest.raises(SandboxError, match="no such app"):
        quick.sandbox.uninstall(first["hub_id"], quick.app.client_id)


def test_uninstalling_leaves_the_portals_other_apps_alone(quick: Developer) -> None:
    app = quick.sandbox.register_app("Other", redirect_uris=[CALLBACK], required=[READ])
    other = Developer(app, quick.client, quick.sandbox)
    mine, theirs = quick.install(), other.install()
    quick.sandbox.uninstall(mine["hub_id"], quick.app.client_id)
    assert other.call(theirs["access_token"]).status_code == 200
    assert other.refresh(theirs["refresh_token"]).status_code == 200


def test_uninstalling_takes_the_codes_along(quick: Developer) -> None:
    quick.install()
    code = quick.code()
    quick.sandbox.uninstall(quick.sandbox.portals[0].portal_id, quick.app.client_id)
    refused(quick.exchange(code), "BAD_AUTH_CODE")


def test_a_static_token_uninstalls_nothing(quick: Developer) -> None:
    """The status is an assumption."""
    issued, own = quick.install(), quick.sandbox.portals[0].token
    answer = quick.client.delete(UNINSTALL, headers={"authorization": f"Bearer {own}"})
    assert answer.status_code == 403
    assert quick.refresh(issued["refresh_token"]).status_code == 200


def test_an_access_token_can_be_ended_before_its_time(quick: Developer) -> None:
    issued = quick.install()
    quick.sandbox.end_access(issued["access_token"])
    answer = quick.call(issued["access_token"])
    assert (answer.status_code, answer.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    assert quick.refresh(issued["refresh_token"]).status_code == 200
    for other in ("nobody's", quick.sandbox.portals[0].token):
        with pytest.raises(SandboxError, match="nothing was ended"):
            quick.sandbox.end_access(other)


def test_the_security_history_tells_of_installs_and_uninstalls(quick: Developer) -> None:
    """Facts 1.4; one install however often it is confirmed."""
    portal = quick.sandbox.portals[0]
    quick.install()
    quick.install()
    quick.sandbox.uninstall(portal.portal_id, quick.app.client_id)
    found = quick.call(portal.token, "/account-info/2026-09/activity/security?limit=200").json()
    mine = [e["type"] for e in found["results"] if e.get("objectId") == str(quick.app.app_id)]
    assert Counter(mine) == {"INSTALL_INTEGRATION": 1, "UNINSTALL_INTEGRATION": 1}


def test_version_one_ends_on_16_february_2027(quick: Developer) -> None:
    """Facts 0; what it answers then is an assumption."""
    issued = quick.install()
    calls = (
        ("POST", "/oauth/v1/token"),
        ("GET", f"/oauth/v1/access-tokens/{issued['access_token']}"),
        ("GET", f"/oauth/v1/refresh-tokens/{issued['refresh_token']}"),
        ("DELETE", f"/oauth/v1/refresh-tokens/{issued['refresh_token']}"),
    )
    quick.sandbox.clock.set(datetime(2027, 2, 15, 23, 59, 59, tzinfo=UTC))
    assert quick.refresh(issued["refresh_token"], path="/oauth/v1/token").status_code == 200
    quick.sandbox.clock.advance(1)
    assert [quick.client.request(*call).status_code for call in calls] == [410] * 4
    assert quick.refresh(issued["refresh_token"]).status_code == 200


def test_another_method_is_not_allowed(quick: Developer) -> None:
    answer = quick.client.get(MODERN[0])
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_requests_are_in_the_ledger_of_the_portal_they_are_about(quick: Developer) -> None:
    """The strangers' book holds what names no portal; no secret is in either."""
    sandbox = quick.sandbox
    code = quick.code()
    issued = quick.exchange(code).json()
    quick.refresh(issued["refresh_token"])
    quick.client.get(f"/oauth/v1/access-tokens/{issued['access_token']}")
    quick.client.get(f"/oauth/v1/access-tokens/{issued['access_token']}x")
    quick.exchange("made-up")
    ours, strangers = sandbox.ledger(issued["hub_id"]), sandbox.ledger(None)
    assert [(entry.method, entry.path, entry.status) for entry in ours] == [
        ("POST", "/oauth/authorize", 302),
        ("POST", MODERN[0], 200),
        ("POST", MODERN[0], 200),
        ("GET", "/oauth/v1/access-tokens/(hidden)", 200),
    ]
    assert [(entry.path, entry.status) for entry in strangers] == [
        ("/oauth/v1/access-tokens/(hidden)", 404),
        (MODERN[0], 400),
    ]
    kept = repr((ours, strangers))
    for secret in (code, issued["access_token"], issued["refresh_token"], quick.app.client_secret):
        assert secret not in kept


def test_faults_strike_these_requests_too(quick: Developer) -> None:
    issued = quick.install()
    faults = quick.sandbox.faults
    faults.add(Fault("status", status=503, portal_id=issued["hub_id"], path="/oauth", times=1))
    assert quick.refresh(issued["refresh_token"]).status_code == 503
    assert quick.refresh(issued["refresh_token"]).status_code == 200
    faults.add(Fault("wrong_portal", claims=7, path="/oauth", times=1))
    assert quick.refresh(issued["refresh_token"]).json()["hub_id"] == 7


def test_a_lost_answer_may_have_rotated_the_token(quick: Developer) -> None:
    """What makes it worth storing the one that was last returned (facts 1.7)."""
    quick.sandbox.desk.rotates = True
    issued = quick.install()
    quick.sandbox.faults.add(Fault("drop_after", path="/oauth", times=1))
    with pytest.raises(Exception, match="disconnected"):
        quick.refresh(issued["refresh_token"])
    refused(quick.refresh(issued["refresh_token"]), "BAD_REFRESH_TOKEN")


def test_an_oauth_call_names_no_daily_limit(quick: Developer) -> None:
    """Facts 3.2: absent for OAuth tokens."""
    answer = quick.call(quick.install()["access_token"])
    names = {name.lower() for name in answer.headers}
    assert "x-hubspot-ratelimit-max" in names
    assert "x-hubspot-ratelimit-daily-remaining" not in names


@pytest.mark.parametrize(("distribution", "most"), [("private", "190"), ("marketplace", "110")])
def test_the_burst_limit_is_that_of_the_apps_distribution(
    sandbox: Sandbox, inside: Connect, distribution: str, most: str
) -> None:
    """Facts 3.1."""
    developer = made(sandbox, inside, distribution=distribution)
    answer = developer.call(developer.install()["access_token"])
    assert answer.headers["x-hubspot-ratelimit-max"] == most


def test_of_many_that_exchange_one_code_one_gets_tokens(quick: Developer) -> None:
    code = quick.code()
    answers = at_once(lambda: quick.exchange(code))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 400: 15}
    assert len(quick.app.installs) == 1


def test_of_many_that_use_a_rotating_token_one_gets_the_next(quick: Developer) -> None:
    quick.sandbox.desk.rotates = True
    refresh = quick.install()["refresh_token"]
    answers = at_once(lambda: quick.refresh(refresh))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 400: 15}


def test_many_refreshes_at_once_all_work_while_nothing_rotates(quick: Developer) -> None:
    refresh = quick.install()["refresh_token"]
    issued = [answer.json()["access_token"] for answer in at_once(lambda: quick.refresh(refresh))]
    assert len(set(issued)) == 16
    assert {quick.call(token).status_code for token in issued} == {200}


def at_once(call):
    gate = Barrier(16)

    def go(_: int):
        gate.wait()
        return call()

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(go, range(16)))


def test_the_same_seed_gives_the_same_tokens(inside: Connect) -> None:
    issued = [
        made(Sandbox(portals=1, contacts=0, clock=Clock(NOON)), inside).install() for _ in range(2)
    ]
    assert issued[0] == issued[1]


ASKABLE = sorted(scope for scope in FULL_SCOPES if scope != "oauth")


@settings(max_examples=60, deadline=None)
@given(required=st.sets(st.sampled_from(ASKABLE)), optional=st.sets(st.sampled_from(ASKABLE)))
def test_nobody_is_granted_more_than_was_asked_or_less_than_was_required(
    required, optional
) -> None:
    """Facts 6: required is granted or the install is blocked, optional as the tier allows."""
    sandbox = Sandbox(portals=2, contacts=0, clock=Clock(NOON))
    app = sandbox.register_app(
        "Planner", redirect_uris=[CALLBACK], required=required, optional=optional
    )
    with sandbox_client(sandbox) as client:
        developer = Developer(app, client, sandbox, scope=" ".join(["oauth", *required]))
        for index, portal in enumerate(sandbox.portals):
            lacking = {s for s in required if ".custom." in s and portal.tier != "enterprise"}
            answer = developer.decide(index, optional_scope=" ".join(optional))
            assert (answer.status_code == 403) == bool(lacking)
            if not lacking:
                code = answer.headers["location"].split("code=")[1].split("&")[0]
                granted = set(developer.exchange(code).json()["scopes"])
                assert required | {"oauth"} <= granted <= required | optional | {"oauth"}
                left_out = (required | optional) - granted
                assert all(".custom." in s and portal.tier != "enterprise" for s in left_out)


def sandbox_client(sandbox: Sandbox):
    import httpx

    return httpx.Client(base_url="https://api.hubapi.com", transport=sandbox.transport())


@pytest.fixture
def control(sandbox: Sandbox, over_a_socket: Connect):
    with serve(sandbox) as server:
        client = over_a_socket(sandbox, None)
        client.base_url = f"{server.url}/_sandbox/"
        client.headers["X-Sandbox-Key"] = server.control_key
        yield client


def test_an_app_is_registered_by_a_control_call_and_its_secret_said_once(control, quick) -> None:
    made = control.post(
        "apps", json={"name": "Second", "redirectUris": [CALLBACK], "required": [READ]}
    )
    assert made.status_code == 201
    secret = made.json()["clientSecret"]
    listed = control.get("apps")
    assert secret not in listed.text
    assert [app["name"] for app in listed.json()["apps"]] == ["Planner", "Second"]
    app = quick.sandbox.desk.apps.find(made.json()["clientId"])
    assert app is not None
    developer = Developer(app, quick.client, quick.sandbox)
    assert developer.install()["token_type"] == "bearer"
    assert control.get("apps").json()["apps"][1]["installs"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "A"},
        {"name": 1, "redirectUris": [CALLBACK]},
        {"name": "A", "redirectUris": CALLBACK},
        {"name": "A", "redirectUris": ["http://planner.example"]},
        {"name": "A", "redirectUris": [CALLBACK], "appId": "7"},
        {"name": "A", "redirectUris": [CALLBACK], "distribution": "none"},
        {"name": "A", "redirectUris": [CALLBACK], "color": "red"},
    ],
)
def test_an_app_that_makes_no_sense_is_registered_by_no_control_call(
    control, sandbox, body
) -> None:
    answer = control.post("apps", content=json.dumps(body))
    assert answer.status_code == 400
    assert list(sandbox.desk.apps) == []


def test_uninstalling_ending_and_behaviour_are_control_calls(control, quick: Developer) -> None:
    issued = quick.install()
    assert control.post("apps/end-access", json={"accessToken": issued["access_token"]}).is_success
    assert quick.call(issued["access_token"]).status_code == 401
    assert control.post("apps/behaviour", json={"rotates": True}).json() == {
        "rotates": True,
        "tells": True,
    }
    fresh = quick.refresh(issued["refresh_token"]).json()["refresh_token"]
    assert fresh != issued["refresh_token"]
    gone = {"portalId": issued["hub_id"], "clientId": quick.app.client_id, "hubGone": True}
    assert control.post("apps/uninstall", json=gone).status_code == 200
    refused(quick.refresh(fresh), "BAD_HUB")
    assert control.post("apps/uninstall", json=gone).status_code == 400
    assert control.post("apps/end-access", json={"accessToken": "?"}).status_code == 400


def test_a_page_reached_over_a_socket_leads_to_the_registered_address(
    sandbox, over_a_socket
) -> None:
    developer = made(sandbox, over_a_socket)
    where = urlsplit(developer.decide().headers["location"])
    assert (where.scheme, where.netloc) == ("http", "localhost:8085")
