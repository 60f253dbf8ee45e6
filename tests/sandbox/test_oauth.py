"""Tokens of OAuth apps: traded, refreshed, looked up, ended. Facts 1.7 unless a test says more."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsagency.sandbox import Clock, Fault, Sandbox
from hsagency.sandbox.portals import FULL_SCOPES
from tests.sandbox.apps import (
    CALLBACK,
    INTROSPECT,
    MODERN,
    READ,
    REVOKE,
    Developer,
    planner,
    refused,
)
from tests.sandbox.conftest import NOON, Connect


@pytest.mark.parametrize("path", MODERN)
def test_a_code_is_traded_for_tokens_that_work(developer: Developer, path: str) -> None:
    """Facts 1.7, AccessTokenResponse; from documents alone."""
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
    """Facts 1.7; from documents alone: no hub_id there."""
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
    """Facts 4.2; observed by others."""
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
    """Facts 1.7, from documents alone; the refusal is that of facts 4.2, observed by others."""
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
    """Facts 1.7; observed by others. That the older access token lives on is an assumption."""
    first = quick.install()
    quick.sandbox.clock.advance(365 * 86_400 // 4)
    second = quick.refresh(first["refresh_token"]).json()
    third = quick.refresh(first["refresh_token"]).json()
    assert first["refresh_token"] == second["refresh_token"] == third["refresh_token"]
    assert second["access_token"] != third["access_token"]
    for issued in (second, third):
        assert quick.call(issued["access_token"]).status_code == 200


def test_a_refresh_token_may_change_on_each_use(quick: Developer) -> None:
    """Facts 1.7, a conflict: one site says that it rotates. A third party's word alone."""
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


def test_an_app_gets_a_token_for_itself(developer: Developer) -> None:
    """Facts 1.7 and 6; from documents alone. That it opens no portal is an assumption."""
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
    """Facts 1.7; from documents alone. That the short v3 form works is an assumption."""
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
    """Facts 1.7; from documents alone."""
    issued = developer.install()
    shown = developer.post(INTROSPECT, token=issued["refresh_token"]).json()
    assert (shown["active"], shown["token_use"]) == (True, "refresh_token")
    assert shown["hub_id"] == issued["hub_id"]
    assert shown["scopes"] == issued["scopes"]
    assert "expires_in" not in shown


def test_what_is_over_is_only_not_active(quick: Developer) -> None:
    """Facts 1.7, from documents alone, of a revoked token; of others it is an assumption."""
    issued = quick.install()
    assert quick.post(INTROSPECT, token="nobody's").json() == {"active": False}
    assert quick.post(INTROSPECT).json() == {"active": False}
    quick.post(REVOKE, token=issued["refresh_token"])
    assert quick.post(INTROSPECT, token=issued["refresh_token"]).json() == {"active": False}
    quick.sandbox.clock.advance(1800)
    assert quick.post(INTROSPECT, token=issued["access_token"]).json() == {"active": False}


def test_who_introspects_or_revokes_must_prove_who_it_is(quick: Developer) -> None:
    """Facts 1.7; from documents alone. The refusal of a wrong secret is that of facts 4.2."""
    token = quick.install()["refresh_token"]
    for path in (INTROSPECT, REVOKE):
        refused(quick.post(path, token=token, client_secret="guess"), "BAD_CLIENT_SECRET")
    assert quick.refresh(token).status_code == 200


@pytest.mark.parametrize("version", ["2026-09", "2026-03", "v3"])
def test_revoking_ends_the_refresh_token_and_no_access_token(
    developer: Developer, version: str
) -> None:
    """Facts 1.7; observed by others: an issued access token stays good to its end."""
    issued = developer.install()
    for _ in range(2):  # RFC 7009: one that is over already is as good as revoked
        answer = developer.post(f"/oauth/{version}/token/revoke", token=issued["refresh_token"])
        assert (answer.status_code, answer.content) == (200, b"")
    refused(developer.refresh(issued["refresh_token"]), "BAD_REFRESH_TOKEN")
    assert developer.call(issued["access_token"]).status_code == 200
    developer.sandbox.clock.advance(1800)
    assert developer.call(issued["access_token"]).status_code == 401


def test_revoking_an_access_token_changes_nothing(quick: Developer) -> None:
    """Facts 1.7, from documents alone, of the refresh token; the rest is an assumption."""
    issued = quick.install()
    assert quick.post(REVOKE, token=issued["access_token"]).status_code == 200
    assert quick.call(issued["access_token"]).status_code == 200
    assert quick.refresh(issued["refresh_token"]).status_code == 200


def test_the_old_lookups_name_portal_app_and_scopes(developer: Developer) -> None:
    """Facts 1.7; from documents alone: the token is in the address."""
    issued = developer.install()
    access = developer.client.get(f"/oauth/v1/access-tokens/{issued['access_token']}").json()
    refresh = developer.client.get(f"/oauth/v1/refresh-tokens/{issued['refresh_token']}").json()
    for shown in (access, refresh):
        assert shown["hub_id"] == issued["hub_id"]
        assert shown["scopes"] == issued["scopes"]
    assert (access["token_type"], access["app_id"]) == ("access", developer.app.app_id)
    assert (refresh["token_type"], refresh["client_id"]) == ("refresh", developer.app.client_id)


def test_the_old_way_to_end_a_refresh_token(developer: Developer) -> None:
    """Facts 1.7; from documents alone. That an unknown one is a 404 is an assumption."""
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
    """What makes it worth storing the one that was last returned (facts 1.7). An assumption."""
    quick.sandbox.desk.rotates = True
    issued = quick.install()
    quick.sandbox.faults.add(Fault("drop_after", path="/oauth", times=1))
    with pytest.raises(Exception, match="disconnected"):
        quick.refresh(issued["refresh_token"])
    refused(quick.refresh(issued["refresh_token"]), "BAD_REFRESH_TOKEN")


def test_an_oauth_call_names_no_daily_limit(quick: Developer) -> None:
    """Facts 3.2; from documents alone."""
    answer = quick.call(quick.install()["access_token"])
    names = {name.lower() for name in answer.headers}
    assert "x-hubspot-ratelimit-max" in names
    assert "x-hubspot-ratelimit-daily-remaining" not in names


@pytest.mark.parametrize(("distribution", "most"), [("private", "190"), ("marketplace", "110")])
def test_the_burst_limit_is_that_of_the_apps_distribution(
    sandbox: Sandbox, inside: Connect, distribution: str, most: str
) -> None:
    """Facts 3.1; from documents alone."""
    developer = planner(sandbox, inside, distribution=distribution)
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
        gate.wait(30)
        return call()

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(go, range(16)))


def test_the_same_seed_gives_the_same_tokens(inside: Connect) -> None:
    issued = [
        planner(Sandbox(portals=1, contacts=0, clock=Clock(NOON)), inside).install()
        for _ in range(2)
    ]
    assert issued[0] == issued[1]


ASKABLE = sorted(scope for scope in FULL_SCOPES if scope != "oauth")


@settings(max_examples=60, deadline=None)
@given(required=st.sets(st.sampled_from(ASKABLE)), optional=st.sets(st.sampled_from(ASKABLE)))
def test_nobody_is_granted_more_than_was_asked_or_less_than_was_required(
    required, optional
) -> None:
    """Facts 6; from documents alone: required or blocked, optional as the tier allows."""
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


def test_the_users_of_a_portal_stay_whatever_becomes_of_its_first_token(inside, sandbox) -> None:
    """Nothing of HubSpot's: a portal's people follow from its seed."""
    app = sandbox.register_app("Planner", redirect_uris=[CALLBACK], required=[READ])
    developer = Developer(app, inside(sandbox, None), sandbox)
    token = developer.install()["access_token"]
    portal_id = sandbox.portals[0].portal_id
    path = f"/oauth/v1/access-tokens/{token}"
    before = developer.client.get(path).json()
    sandbox.remove_user(portal_id)
    sandbox.rotate(portal_id, later=True)
    sandbox.cancel_rotation(portal_id)
    assert developer.client.get(path).json() == before
