"""What the token endpoint refuses, and in which words (facts 1.7 and 4.2)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hsagency.sandbox.api.oauth import OWN_SCOPES
from tests.sandbox.apps import (
    CALLBACK,
    CHALLENGE,
    INTROSPECT,
    MODERN,
    READ,
    REVOKE,
    VERIFIER,
    Developer,
    refused,
)


def test_a_wrong_client_id(developer: Developer) -> None:
    """Facts 4.2. Observed by others."""
    for wrong in (None, "", "nobody"):
        refused(developer.exchange("any", client_id=wrong), "BAD_CLIENT_ID")


def test_a_wrong_client_secret(developer: Developer) -> None:
    """Facts 4.2. Observed by others."""
    for wrong in (None, "", "guess", "gu\u00e9ss"):
        refused(developer.exchange(developer.code(), client_secret=wrong), "BAD_CLIENT_SECRET")


def test_a_wrong_grant_type(developer: Developer) -> None:
    """Facts 4.2. Observed by others."""
    for wrong in (None, "", "password"):
        refused(developer.exchange("any", grant_type=wrong), "BAD_GRANT_TYPE")


def test_a_wrong_code(developer: Developer) -> None:
    """Facts 4.2. Observed by others."""
    for wrong in (None, "", "made-up"):
        refused(developer.post(grant_type="authorization_code", code=wrong), "BAD_AUTH_CODE")


def test_only_what_a_kind_of_grant_trades_decides_whose_portal_it_is(quick: Developer) -> None:
    refresh, code = quick.install(0)["refresh_token"], quick.code(1)
    assert quick.refresh(refresh, code=code).status_code == 200
    assert quick.exchange(code, refresh_token=refresh).status_code == 200


def test_only_its_token_decides_whose_portal_is_introspected_or_revoked(quick: Developer) -> None:
    """Facts 1.7; that other fields count for nothing is an assumption."""
    ours, theirs = (quick.install(portal)["refresh_token"] for portal in (0, 1))
    shown = quick.post(INTROSPECT, token=ours, refresh_token=theirs, code=theirs).json()
    assert (shown["active"], shown["hub_id"]) == (True, quick.sandbox.portals[0].portal_id)
    assert quick.post(REVOKE, token=ours, refresh_token=theirs).status_code == 200
    refused(quick.refresh(ours), "BAD_REFRESH_TOKEN")
    traded = {"grant_type": "refresh_token", "refresh_token": theirs}
    assert quick.post(token=ours, **traded).status_code == 200
    assert quick.post(REVOKE, refresh_token=theirs).status_code == 200
    assert quick.refresh(theirs).status_code == 200


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
    """Facts 4.2 and 6: the same to the letter as at the consent page. From documents alone."""
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
    """Facts 4.2, the words too. Observed by others."""
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
    """Facts 1.7: and the ledger keeps none of them. From documents alone."""
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
