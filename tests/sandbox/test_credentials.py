"""
Static credentials: what they are, how they are rotated, and what makes them fail.

Facts 1.1 to 1.5, 4.2 and 9.6; from documents alone where a test says no more.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from hsagency.errors import SandboxError
from hsagency.sandbox import Sandbox
from hsagency.sandbox.portals import Credential
from hsagency.sandbox.screens import GRACE
from tests.sandbox.test_portals import TOKEN

INTROSPECTION = "/oauth/v2/private-apps/get/access-token-info"
DETAILS = "/account-info/v3/details"
CONTACTS = "/crm/objects/2026-09/contacts"
STATIC = ("private_app", "service_key", "static_app")


@pytest.fixture
def portal_id(sandbox: Sandbox) -> int:
    return sandbox.portals[0].portal_id


def statuses(inside, sandbox: Sandbox, *tokens: str, path: str = DETAILS) -> list[int]:
    return [inside(sandbox, token).get(path).status_code for token in tokens]


def introspect(inside, sandbox: Sandbox, token: str) -> dict[str, Any]:
    answer = inside(sandbox, None).post(INTROSPECTION, json={"tokenKey": token})
    assert answer.status_code == 200
    return answer.json()


@pytest.mark.parametrize("kind", STATIC)
def test_all_static_credentials_look_alike_and_can_be_introspected(
    inside, sandbox: Sandbox, portal_id: int, kind
) -> None:
    """Facts 1.1, 1.3 and 1.5; that a static app's token looks the same rests on documents alone."""
    made = sandbox.issue(portal_id, kind=kind, scopes=["forms"])
    assert TOKEN.fullmatch(made.token)
    assert introspect(inside, sandbox, made.token) == {
        "userId": made.user_id,
        "hubId": portal_id,
        "appId": made.app_id,
        "scopes": ["forms", "oauth"],
    }
    assert statuses(inside, sandbox, made.token) == [200]


@pytest.mark.parametrize(
    ("kind", "written"), [("service_key", ".v2"), ("private_app", ""), ("static_app", "")]
)
def test_introspection_writes_a_service_keys_sensitive_scopes_with_v2(
    inside, sandbox: Sandbox, portal_id: int, kind, written: str
) -> None:
    """Facts 1.5; which scopes are sensitive is an assumption."""
    sensitive = "crm.objects.contacts.sensitive.read"
    highly = "crm.objects.contacts.highly_sensitive.read"
    usual = "crm.objects.contacts.read"
    made = sandbox.issue(portal_id, kind=kind, scopes=[sensitive, highly, usual])
    found = set(introspect(inside, sandbox, made.token)["scopes"])
    assert found == {sensitive + written, highly + written, usual, "oauth"}


@pytest.mark.parametrize("kind", ["oauth", "password"])
def test_what_is_no_static_credential_cannot_be_issued(sandbox: Sandbox, portal_id, kind) -> None:
    with pytest.raises(SandboxError, match=f"kind '{kind}' cannot be issued"):
        sandbox.issue(portal_id, kind=kind)
    assert len(sandbox.portals[0].credentials) == 1


def test_an_account_has_at_most_twenty_private_apps(sandbox: Sandbox, portal_id: int) -> None:
    """Facts 1.1, from documents alone."""
    made = [sandbox.issue(portal_id) for _ in range(20 - own_private_apps(sandbox))]
    with pytest.raises(SandboxError, match="20 private apps"):
        sandbox.issue(portal_id)
    sandbox.rotate(portal_id, later=True)  # a second token makes no other app
    sandbox.issue(portal_id, kind="service_key")
    sandbox.issue(portal_id, kind="static_app")
    sandbox.revoke(portal_id, app_id=made[0].app_id)
    sandbox.issue(portal_id)
    with pytest.raises(SandboxError, match="20 private apps"):
        sandbox.issue(portal_id)


def own_private_apps(sandbox: Sandbox) -> int:
    return sum(held.kind == "private_app" for held in sandbox.portals[0].credentials)


@pytest.mark.parametrize("kind", STATIC)
def test_rotate_and_expire_now_ends_the_old_token_at_once(
    inside, sandbox: Sandbox, portal_id: int, kind
) -> None:
    """Facts 1.1 to 1.3, from documents alone."""
    old = sandbox.issue(portal_id, kind=kind)
    fresh = sandbox.rotate(portal_id)
    assert statuses(inside, sandbox, old.token, fresh.token) == [401, 200]
    assert (fresh.app_id, fresh.scopes) == (old.app_id, old.scopes)


def test_rotate_and_expire_later_leaves_the_old_token_seven_days(
    inside, sandbox: Sandbox, portal_id: int
) -> None:
    """Facts 1.1; from documents alone. What it is told afterwards is an assumption (9.6)."""
    old = sandbox.portals[0].token
    fresh = sandbox.rotate(portal_id, later=True)
    sandbox.clock.advance(7 * 86_400 - 1)
    assert statuses(inside, sandbox, old, fresh.token) == [200, 200]
    sandbox.clock.advance(1)
    assert statuses(inside, sandbox, old, fresh.token) == [401, 200]
    dead = inside(sandbox, old).get(DETAILS).json()
    assert dead["category"] == "INVALID_AUTHENTICATION"


@pytest.mark.parametrize("later", [False, True])
def test_a_second_rotation_ends_what_the_first_left_alive(
    inside, sandbox: Sandbox, portal_id: int, *, later: bool
) -> None:
    """An assumption: whoever rotates again must not be left with two old tokens."""
    first = sandbox.portals[0].token
    other = sandbox.issue("acme-corp", kind="service_key")  # another app's stays
    app_id = sandbox.portals[0].credentials[0].app_id
    second = sandbox.rotate("acme-corp", later=True, app_id=app_id).token
    third = sandbox.rotate("acme-corp", later=later, app_id=app_id).token
    alive = [401, 200 if later else 401, 200, 200]
    assert statuses(inside, sandbox, first, second, third, other.token) == alive


@pytest.mark.parametrize("scopes", [["nonsense"], ["forms", "crm"], ["crm.lists.read "], "forms"])
def test_what_is_no_name_of_a_scope_is_refused(sandbox: Sandbox, scopes: list[str]) -> None:
    before = sandbox.portals
    for step in (sandbox.set_scopes, lambda portal, scopes: sandbox.issue(portal, scopes=scopes)):
        with pytest.raises(SandboxError, match="nothing was changed"):
            step("acme-corp", scopes)
    assert sandbox.portals == before


def test_a_scope_of_hubspots_that_opens_nothing_here_can_be_granted(sandbox: Sandbox) -> None:
    """From documents alone."""
    scopes = ["files", "crm.objects.leads.read", "crm.export"]
    assert sandbox.issue("acme-corp", scopes=scopes).scopes == {*scopes, "oauth"}


def test_portals_are_named_by_slug_or_id_alike(sandbox: Sandbox, portal_id: int) -> None:
    assert sandbox.portal("acme-corp") == sandbox.portal(portal_id)
    sandbox.suspend("acme-corp")
    assert sandbox.portal(portal_id).suspended == 403
    assert sandbox.ledger("acme-corp") == sandbox.ledger(portal_id) == ()
    assert sandbox.counts("acme-corp") == {}
    assert sandbox.usage("acme-corp") == sandbox.usage(portal_id)
    for call in (sandbox.ledger, sandbox.counts, sandbox.revoke, sandbox.portal):
        with pytest.raises(SandboxError, match=r"no portal 'acme-crop'\. Close to it: acme-corp"):
            call("acme-crop")


def test_a_rotation_under_way_can_be_ended_early(inside, sandbox: Sandbox, portal_id: int) -> None:
    """Facts 1.1, from documents alone."""
    old = sandbox.portals[0].token
    fresh = sandbox.rotate(portal_id, later=True)
    sandbox.expire_now(portal_id)
    assert statuses(inside, sandbox, old, fresh.token) == [401, 200]
    with pytest.raises(SandboxError, match="No rotation is under way"):
        sandbox.cancel_rotation(portal_id)


def test_a_cancelled_rotation_leaves_the_old_token_as_it_was(
    inside, sandbox: Sandbox, portal_id: int
) -> None:
    """Facts 1.1; which of the two tokens stays is an assumption."""
    old = sandbox.portals[0].credential
    fresh = sandbox.rotate(portal_id, later=True)
    newer = sandbox.issue(portal_id, kind="service_key")
    assert sandbox.cancel_rotation(portal_id, app_id=old.app_id) == old
    sandbox.clock.advance(GRACE)
    assert statuses(inside, sandbox, old.token, fresh.token, newer.token) == [200, 401, 200]
    assert sandbox.portals[0].credential == newer  # another app's credential keeps its place
    again = sandbox.rotate(portal_id, app_id=old.app_id)
    assert statuses(inside, sandbox, old.token, again.token) == [401, 200]


def test_without_a_rotation_there_is_nothing_to_end_or_cancel(
    sandbox: Sandbox, portal_id: int
) -> None:
    before = sandbox.portals
    for step in (sandbox.expire_now, sandbox.cancel_rotation):
        with pytest.raises(SandboxError, match="No rotation is under way"):
            step(portal_id)
        sandbox.issue(portal_id, kind="static_app")  # another app's token is none of a rotation
        with pytest.raises(SandboxError, match="No rotation is under way"):
            step(portal_id)
    sandbox.rotate(portal_id, later=True)
    sandbox.clock.advance(GRACE)
    with pytest.raises(SandboxError, match="No rotation is under way"):
        sandbox.expire_now(portal_id)
    assert sandbox.portals[1:] == before[1:]


@pytest.mark.parametrize("seconds", [-1, 400 * 86_400, float("nan")])
def test_a_token_cannot_live_on_for_an_impossible_time(
    sandbox: Sandbox, portal_id: int, seconds: float
) -> None:
    before = sandbox.portals
    with pytest.raises(SandboxError, match="cannot live on"):
        sandbox.rotate(portal_id, expire_in=seconds)
    assert sandbox.portals == before


def test_scopes_edited_in_the_app_apply_to_the_tokens_in_use(
    inside, sandbox: Sandbox, portal_id: int
) -> None:
    """Facts 1.1; from documents alone, which one blog contradicts: no new token is needed."""
    old = sandbox.portals[0].credential
    fresh = sandbox.rotate(portal_id, later=True)
    other = sandbox.issue(portal_id, kind="service_key")
    sandbox.set_scopes(portal_id, ["forms"], app_id=old.app_id)
    tokens = (old.token, fresh.token, other.token)
    assert statuses(inside, sandbox, *tokens, path=CONTACTS) == [403, 403, 200]
    assert introspect(inside, sandbox, old.token)["scopes"] == ["forms", "oauth"]


def test_a_token_can_be_revealed_again(sandbox: Sandbox, portal_id: int) -> None:
    """Facts 1.1; from documents alone."""
    first = sandbox.portals[0].credential
    newest = sandbox.issue(portal_id)
    assert sandbox.reveal(portal_id) == newest.token
    assert sandbox.reveal(portal_id, app_id=first.app_id) == first.token
    with pytest.raises(SandboxError, match="has no app 7"):
        sandbox.reveal(portal_id, app_id=7)


@pytest.mark.parametrize(("status", "category"), [(403, None), (401, "INVALID_AUTHENTICATION")])
def test_a_suspended_portal_refuses_everything_until_it_is_back(
    connect, sandbox: Sandbox, portal_id: int, status: int, category: str | None
) -> None:
    """Facts 4.2: refusals on all endpoints. Status and body are an assumption (facts 9.5)."""
    token = sandbox.portals[0].token
    client = connect(sandbox, token)
    sandbox.suspend(portal_id, status=status)
    answers = [client.get(path) for path in (DETAILS, CONTACTS, "/crm/v3/objects/deals")]
    answers.append(client.post(INTROSPECTION, json={"tokenKey": token}))
    assert {answer.status_code for answer in answers} == {status}
    assert {answer.json().get("category") for answer in answers} == {category}
    assert connect(sandbox, sandbox.portals[1].token).get(DETAILS).status_code == 200
    sandbox.unsuspend(portal_id)
    assert client.get(DETAILS).status_code == 200


def test_a_portal_is_not_suspended_with_any_other_status(sandbox: Sandbox, portal_id: int) -> None:
    with pytest.raises(SandboxError, match="401 or 403, not 500"):
        sandbox.suspend(portal_id, status=500)


def leave(sandbox: Sandbox, portal_id: int) -> tuple[int, dict[str, Credential]]:
    """Issue one credential of each kind, and remove the user who made them."""
    made = {kind: sandbox.issue(portal_id, kind=kind) for kind in STATIC}
    user_id = sandbox.remove_user(portal_id)
    assert {held.user_id for held in made.values()} == {user_id}
    return user_id, made


def test_a_leavers_private_app_fails_and_their_service_key_survives(
    inside, sandbox: Sandbox, portal_id: int
) -> None:
    """Facts 1.1 and 1.3, from documents alone; the status and the message are an assumption."""
    user_id, made = leave(sandbox, portal_id)
    tokens = [made[kind].token for kind in STATIC]
    assert statuses(inside, sandbox, *tokens) == [403, 200, 200]
    refusal = inside(sandbox, made["private_app"].token).get(CONTACTS).json()
    assert refusal["category"] == "USER_DOES_NOT_HAVE_PERMISSIONS"
    sandbox.restore_user(portal_id, user_id)
    assert statuses(inside, sandbox, *tokens) == [200, 200, 200]


def test_a_leavers_private_app_works_again_once_somebody_else_rotates_it(
    inside, sandbox: Sandbox, portal_id: int
) -> None:
    """Facts 1.1, from documents alone."""
    user_id, made = leave(sandbox, portal_id)
    old = made["private_app"]
    fresh = sandbox.rotate(portal_id, app_id=old.app_id)
    assert fresh.user_id != user_id
    assert statuses(inside, sandbox, fresh.token) == [200]
    assert introspect(inside, sandbox, fresh.token)["userId"] == fresh.user_id


def test_users_leave_and_come_back_only_once(sandbox: Sandbox, portal_id: int) -> None:
    user_id = sandbox.remove_user(portal_id)
    with pytest.raises(SandboxError, match=r"has left portal \d+ already"):
        sandbox.remove_user(portal_id, user_id)
    sandbox.restore_user(portal_id, user_id)
    with pytest.raises(SandboxError, match="has not left"):
        sandbox.restore_user(portal_id, user_id)


def test_a_revoked_token_stays_dead_when_the_clock_moves_on(
    inside, sandbox: Sandbox, portal_id: int
) -> None:
    other = sandbox.issue(portal_id)
    sandbox.revoke(portal_id, app_id=sandbox.portals[0].credentials[0].app_id)
    sandbox.clock.advance(timedelta(days=30).total_seconds())
    first = sandbox.portals[0].credentials[0].token
    assert statuses(inside, sandbox, first, other.token) == [401, 200]


def test_rotation_does_not_bring_a_revoked_token_back(
    inside, sandbox: Sandbox, portal_id: int
) -> None:
    """An assumption: facts 1.1 tell of the grace of a token that was alive."""
    old = sandbox.portals[0].token
    sandbox.revoke(portal_id)
    fresh = sandbox.rotate(portal_id, expire_in=60)
    assert statuses(inside, sandbox, old, fresh.token) == [401, 200]
