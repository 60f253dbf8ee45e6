"""Audit log, login history and security history (facts 2.4)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.sandbox import Clock, Sandbox
from hsagency.sandbox.contents.activity import Activity
from tests.sandbox.asking import Asking
from tests.sandbox.conftest import NOON

LOGS = ("audit-logs", "login", "security")
ROOT = "/account-info/2026-09/activity"
SECURITY, AUDIT, LOGIN = f"{ROOT}/security", f"{ROOT}/audit-logs", f"{ROOT}/login"
ENTERPRISE = 1


@pytest.fixture
def ask(sandbox: Sandbox) -> Asking:
    return Asking(sandbox, index=ENTERPRISE)


def everything(ask: Asking, path: str, limit: int) -> list[dict[str, Any]]:
    """Follow the paging to its end, by the links it gives."""
    found: list[dict[str, Any]] = []
    target = f"{path}{'&' if '?' in path else '?'}limit={limit}"
    while True:
        status, page = ask("GET", target)
        assert status == 200, page
        found += page["results"]
        if "paging" not in page:
            return found
        assert len(page["results"]) == limit
        following = page["paging"]["next"]
        assert following["after"] == page["results"][-1]["id"]
        target = following["link"].removeprefix("https://api.hubapi.com")


@pytest.mark.parametrize("version", ["v3", "2025-09", "2026-03", "2026-09"])
def test_each_version_has_the_three_logs_with_their_required_fields(
    ask: Asking, version: str
) -> None:
    """Facts 2.4, from documents alone."""
    fields = {
        "audit-logs": {"id", "category", "action", "actingUser", "occurredAt"},
        "login": {"id", "userId", "email", "loginAt", "loginSucceeded", "ipAddress", "userAgent"},
        "security": {"id", "type", "userId", "actingUser", "createdAt", "ipAddress"},
    }
    for log, names in fields.items():
        status, page = ask("GET", f"/account-info/{version}/activity/{log}")
        assert status == 200
        assert page["results"]
        assert all(item.keys() >= names for item in page["results"])


@pytest.mark.parametrize("log", LOGS)
def test_the_history_needs_its_scope(sandbox: Sandbox, log: str) -> None:
    """Facts 2.4; from documents alone: account-info.security.read."""
    portal = sandbox.portals[ENTERPRISE]
    sandbox.set_scopes(portal.portal_id, portal.scopes - {"account-info.security.read"})
    status, refusal = Asking(sandbox, index=ENTERPRISE)("GET", f"{ROOT}/{log}")
    assert (status, refusal["category"]) == (403, "MISSING_SCOPES")
    needed = refusal["errors"][0]["context"]["requiredGranularScopes"]
    assert needed == ["account-info.security.read"]


def test_only_enterprise_has_an_audit_log(sandbox: Sandbox) -> None:
    """Facts 2.2d and 2.4; from documents alone. That the 403 is the GATED one is an assumption."""
    ask = Asking(sandbox, index=0)
    status, refusal = ask("GET", AUDIT)
    assert (status, refusal["category"]) == (403, "GATED")
    assert [ask("GET", f"{ROOT}/{log}")[0] for log in ("login", "security")] == [200, 200]
    sandbox.alter(sandbox.portals[0].portal_id, tier="enterprise")
    assert ask("GET", AUDIT)[0] == 200


@pytest.mark.parametrize("log", LOGS)
@given(limit=st.integers(1, 200))
def test_all_pages_together_are_the_log_exactly_once_newest_first(log: str, limit: int) -> None:
    """Facts 2.4; from documents alone: paging.next. The order is an assumption."""
    ask = Asking(Sandbox(portals=2, contacts=0, clock=Clock(NOON)), index=ENTERPRISE)
    ids = [int(item["id"]) for item in everything(ask, f"{ROOT}/{log}", limit)]
    assert ids == sorted(set(ids), reverse=True)
    assert ids == [int(item["id"]) for item in everything(ask, f"{ROOT}/{log}", 200)]
    assert len(ids) > 20


def test_paging_holds_when_something_happens_in_between(ask: Asking, sandbox: Sandbox) -> None:
    _, first = ask("GET", f"{SECURITY}?limit=5")
    sandbox.reveal(sandbox.portals[ENTERPRISE].portal_id)
    after = first["paging"]["next"]["after"]
    _, second = ask("GET", f"{SECURITY}?limit=5&after={after}")
    whole = everything(ask, SECURITY, 200)
    assert [item["id"] for item in first["results"] + second["results"]] == [
        item["id"] for item in whole[1:11]
    ]


@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize("query", ["limit=201", "limit=0", "limit=x", "after=x", "after=-1"])
def test_a_page_that_cannot_be_is_refused(ask: Asking, log: str, query: str) -> None:
    """Facts 2.4: at most 200 a page; that the audit log has the same limit is an assumption."""
    status, refusal = ask("GET", f"{ROOT}/{log}?{query}")
    assert (status, refusal["category"]) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "target",
    [
        f"{AUDIT}?sort=id",
        f"{AUDIT}?actingUserId=me",
        f"{AUDIT}?occurredAfter=yesterday",
        f"{AUDIT}?occurredBefore=2026-10-01T00:00:00",
        f"{AUDIT}?fillFinalTimestamp=perhaps",
        f"{LOGIN}?userId=me",
        f"{SECURITY}?userId=",
        f"{SECURITY}?fromTimestamp=2026-10-01",
        f"{SECURITY}?toTimestamp=1.5",
    ],
)
def test_a_question_that_makes_no_sense_is_refused(ask: Asking, target: str) -> None:
    status, refusal = ask("GET", target)
    assert (status, refusal["category"]) == (400, "VALIDATION_ERROR")


def test_the_audit_log_is_asked_by_user_time_and_order(ask: Asking) -> None:
    """Facts 2.4, from documents alone."""
    whole = everything(ask, AUDIT, 200)
    users = sorted({item["actingUser"]["userId"] for item in whole})
    some = everything(ask, f"{AUDIT}?actingUserId={users[0]}&actingUserId={users[1]}", 7)
    assert some == [item for item in whole if item["actingUser"]["userId"] in users[:2]]
    since, until = whole[-10]["occurredAt"], whole[10]["occurredAt"]
    window = f"{AUDIT}?occurredAfter={since}&occurredBefore={until}&fillFinalTimestamp=true"
    assert everything(ask, window, 7) == whole[11:-10]
    assert everything(ask, f"{AUDIT}?sort=occurredAt", 9) == whole[::-1]
    assert everything(ask, f"{AUDIT}?sort=-occurredAt", 9) == whole


def test_logins_and_security_events_are_asked_by_user_and_time(ask: Asking) -> None:
    """Facts 2.4, from documents alone."""
    for path in (LOGIN, SECURITY):
        whole = everything(ask, path, 200)
        user_id = whole[0]["userId"]
        assert everything(ask, f"{path}?userId={user_id}", 3) == [
            item for item in whole if item["userId"] == user_id
        ]
        assert everything(ask, f"{path}?userId=1", 3) == []
    newest, oldest = (milliseconds(whole[n]["createdAt"]) for n in (3, -4))
    window = f"{SECURITY}?fromTimestamp={oldest}&toTimestamp={newest}"
    assert everything(ask, window, 5) == whole[3:-3]


def milliseconds(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1000)


@given(days=st.integers(0, 60))
def test_a_later_clock_tells_the_same_past_and_more(days: int) -> None:
    sandbox = Sandbox(portals=2, contacts=0, clock=Clock(NOON))
    ask = Asking(sandbox, index=ENTERPRISE)
    before = {item["id"]: item for item in everything(ask, LOGIN, 200)}
    sandbox.clock.advance(days * 86_400)
    after = {item["id"]: item for item in everything(ask, LOGIN, 200)}
    kept = NOON - timedelta(days=88 - days)
    recent = {
        id_: item for id_, item in before.items() if datetime.fromisoformat(item["loginAt"]) > kept
    }
    assert recent.items() <= after.items()
    now = sandbox.clock.now()
    assert all(datetime.fromisoformat(item["loginAt"]) <= now for item in after.values())


def test_the_history_is_one_of_people_at_work(ask: Asking) -> None:
    logins = everything(ask, LOGIN, 200)
    days = [datetime.fromisoformat(item["loginAt"]).weekday() for item in logins]
    assert sum(day < 5 for day in days) > 3 * sum(day >= 5 for day in days)
    assert {item["loginSucceeded"] for item in logins} == {True, False}
    assert all(item["email"].endswith("@beta-inc.example") for item in logins)
    assert 2 <= len({item["userId"] for item in logins}) <= 5


def security_types(ask: Asking) -> list[str]:
    """Return what happened to credentials, oldest first."""
    found = [item["type"] for item in everything(ask, SECURITY, 200)]
    return [type_ for type_ in reversed(found) if type_.startswith(("PRIVATE_APP", "SERVICE_KEY"))]


@pytest.mark.parametrize(
    ("kind", "traces"),
    [
        (
            "private_app",
            [
                "PRIVATE_APP_ACCESS_TOKEN_CREATE",
                "PRIVATE_APP_ACCESS_TOKEN_VIEW",
                "PRIVATE_APP_SCOPE_GROUPS_UPDATE",
                "PRIVATE_APP_ACCESS_TOKEN_ROTATE",
                "PRIVATE_APP_ACCESS_TOKEN_DEACTIVATE",
            ],
        ),
        (
            "service_key",
            [
                "SERVICE_KEY_CREATE",
                "SERVICE_KEY_REVEAL",
                "SERVICE_KEY_PERMISSIONS_UPDATE",
                "SERVICE_KEY_ROTATE",
                "SERVICE_KEY_DEACTIVATE",
            ],
        ),
    ],
)
def test_what_people_do_with_a_credential_leaves_its_trace(
    ask: Asking, sandbox: Sandbox, kind, traces: list[str]
) -> None:
    """Facts 1.3 and 1.4, from documents alone."""
    portal = sandbox.portals[ENTERPRISE]
    assert security_types(ask) == []
    made = sandbox.issue(portal.portal_id, kind=kind)
    sandbox.reveal(portal.portal_id)
    sandbox.set_scopes(portal.portal_id, made.scopes)
    sandbox.rotate(portal.portal_id, later=True)
    sandbox.expire_now(portal.portal_id)
    assert security_types(ask) == traces
    newest = everything(ask, SECURITY, 200)[0]
    assert newest["objectId"] == str(made.app_id)
    assert newest["actingUser"].endswith("@beta-inc.example")


def test_a_static_app_leaves_only_its_install_and_its_end(ask: Asking, sandbox: Sandbox) -> None:
    """Facts 1.4; which events a static app's token leaves is an assumption."""
    portal_id = sandbox.portals[ENTERPRISE].portal_id
    count = len(everything(ask, SECURITY, 200))
    sandbox.issue(portal_id, kind="static_app")
    sandbox.reveal(portal_id)
    sandbox.rotate(portal_id)
    sandbox.revoke(portal_id)
    found = everything(ask, SECURITY, 200)
    assert [item["type"] for item in found[: len(found) - count]] == [
        "UNINSTALL_INTEGRATION",
        "INSTALL_INTEGRATION",
    ]


def test_users_who_leave_and_return_are_in_the_history(ask: Asking, sandbox: Sandbox) -> None:
    portal = sandbox.portals[ENTERPRISE]
    user_id = sandbox.remove_user(portal.portal_id)
    sandbox.restore_user(portal.portal_id, user_id)
    back, gone = everything(ask, SECURITY, 200)[:2]
    assert [gone["type"], back["type"]] == ["REMOVE_USER", "REACTIVATE_USER"]
    assert gone["objectId"] == back["objectId"] == str(user_id)
    assert gone["userId"] != user_id  # nobody removes themselves


def test_what_happened_is_never_forgotten(ask: Asking, sandbox: Sandbox) -> None:
    sandbox.issue(sandbox.portals[ENTERPRISE].portal_id, kind="service_key")
    sandbox.clock.advance(400 * 86_400)
    assert everything(ask, SECURITY, 200)[-1]["type"] == "SERVICE_KEY_CREATE"


def test_anything_can_be_noted_by_whoever_knows_of_it(ask: Asking, sandbox: Sandbox) -> None:
    portal = sandbox.portals[ENTERPRISE]
    activity = sandbox._owned(portal.portal_id).part(Activity)
    at = datetime(2026, 10, 14, 11, 59, tzinfo=UTC)
    activity.note("CONTACT_DATA_EXPORT", at=at, object_id="77")
    activity.note_change("LISTS", "DELETE", at=at, user_id=4711, target="12")
    export, change = everything(ask, SECURITY, 200)[0], everything(ask, AUDIT, 200)[0]
    assert (export["type"], export["objectId"]) == ("CONTACT_DATA_EXPORT", "77")
    assert export["userId"] == portal.credential.user_id
    assert change["actingUser"] == {"userId": 4711, "userEmail": "user-4711@beta-inc.example"}
    assert (change["category"], change["action"], change["targetObjectId"]) == (
        "LISTS",
        "DELETE",
        "12",
    )


def test_two_portals_of_a_seed_have_histories_of_their_own(sandbox: Sandbox) -> None:
    one, other = (everything(Asking(sandbox, index=n), LOGIN, 200) for n in (0, 1))
    again = everything(Asking(Sandbox(portals=1, contacts=0, clock=Clock(NOON))), LOGIN, 200)
    assert one == again
    assert not {json.dumps(item) for item in one} & {json.dumps(item) for item in other}
