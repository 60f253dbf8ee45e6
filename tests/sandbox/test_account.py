from datetime import UTC, datetime

import pytest

from hsagency.sandbox import Clock, Fault, Sandbox

INTROSPECTION = "/oauth/v2/private-apps/get/access-token-info"
REQUIRED = {
    "portalId",
    "accountType",
    "timeZone",
    "companyCurrency",
    "additionalCurrencies",
    "utcOffset",
    "utcOffsetMilliseconds",
    "uiDomain",
    "dataHostingLocation",
}


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
def test_details_have_all_required_fields_and_a_name_only_since_2026_09(
    client, sandbox: Sandbox, version: str
) -> None:
    # required fields: account information specification, August 2026
    details = client.get(f"/account-info/{version}/details").json()
    named = {"portalName", "createdAt"} if version == "2026-09" else set()
    assert details.keys() == REQUIRED | named
    assert details["portalId"] == sandbox.portals[0].portal_id


def test_the_offset_of_a_portal_follows_daylight_saving(inside) -> None:
    sandbox = Sandbox(portals=10, clock=Clock(datetime(2026, 7, 1, tzinfo=UTC)), contacts=0)
    portal = next(p for p in sandbox.portals if p.time_zone == "America/New_York")

    def offset() -> tuple[str, int]:
        client = inside(sandbox, portal.token)
        details = client.get("/account-info/2026-09/details").json()
        return details["utcOffset"], details["utcOffsetMilliseconds"]

    assert offset() == ("-04:00", -14_400_000)
    sandbox.clock.set(datetime(2026, 12, 1, tzinfo=UTC))
    assert offset() == ("-05:00", -18_000_000)


def test_a_token_can_be_introspected_without_a_bearer_header(inside, sandbox: Sandbox) -> None:
    portal = sandbox.portals[1]
    client = inside(sandbox, None)
    info = client.post(INTROSPECTION, json={"tokenKey": portal.token})
    assert info.json() == {
        "userId": portal.credential.user_id,
        "hubId": portal.portal_id,
        "appId": portal.credential.app_id,
        "scopes": sorted(portal.scopes),
    }
    assert not [name for name in info.headers if "ratelimit" in name]


def test_introspection_tells_nothing_about_a_token_that_is_unknown_or_dead(
    inside,
    sandbox: Sandbox,
) -> None:
    sandbox.revoke(sandbox.portals[0].portal_id)
    client = inside(sandbox, sandbox.portals[1].token)
    for token in (sandbox.portals[0].token, "pat-na1-nobody"):
        assert client.post(INTROSPECTION, json={"tokenKey": token}).status_code == 401
    for body in (b"{}", b"nothing", b'{"tokenKey": 7}'):
        assert client.post(INTROSPECTION, content=body).status_code == 400


def test_daily_usage_counts_private_apps_and_leaves_service_keys_out(
    inside, sandbox: Sandbox
) -> None:
    portal_id = sandbox.portals[0].portal_id
    private, key = (sandbox.issue(portal_id, kind=k) for k in ("private_app", "service_key"))
    for token, calls in ((private.token, 3), (key.token, 5)):
        client = inside(sandbox, token)
        for _ in range(calls):
            client.get("/crm/objects/2026-09/contacts")
    client = inside(sandbox, key.token)
    for version in ("v3", "2026-03", "2026-09"):
        path = f"/account-info/{version}/api-usage/daily/private-apps"
        (usage,) = client.get(path).json()["results"]
        assert (usage["name"], usage["currentUsage"]) == ("private-apps-api-calls-daily", 3)
    (every,) = client.get("/account-info/v3/api-usage/daily").json()["results"]
    assert (every["name"], every["currentUsage"]) == ("api-calls-daily", 3 + 5 + 4)
    assert every["fetchStatus"] == "SUCCESS"


def test_a_rotated_token_is_dead_at_once_or_after_its_grace(inside, sandbox: Sandbox) -> None:
    portal = sandbox.portals[0]
    second = sandbox.rotate(portal.portal_id)
    third = sandbox.rotate(portal.portal_id, expire_in=7 * 86_400)
    assert statuses(inside, sandbox, portal.token, second.token, third.token) == [401, 200, 200]
    sandbox.clock.advance(7 * 86_400)
    assert statuses(inside, sandbox, portal.token, second.token, third.token) == [401, 401, 200]
    assert sandbox.portals[0].token == third.token
    assert (third.app_id, third.kind) == (portal.credential.app_id, portal.kind)


def test_rotation_does_not_bring_a_revoked_token_back(inside, sandbox: Sandbox) -> None:
    portal = sandbox.portals[0]
    sandbox.revoke(portal.portal_id)
    fresh = sandbox.rotate(portal.portal_id, expire_in=60)
    assert statuses(inside, sandbox, portal.token, fresh.token) == [401, 200]


def test_details_of_the_spare_portal_can_be_wrong_too(inside, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(kind="wrong_portal"))
    details = inside(sandbox, sandbox.spare.token).get("/account-info/v3/details").json()
    assert details["portalId"] == sandbox.portals[0].portal_id


@pytest.mark.parametrize("claims", [None, 123])
def test_details_can_name_the_wrong_portal(inside, sandbox: Sandbox, claims: int | None) -> None:
    portal = sandbox.portals[0]
    sandbox.faults.add(Fault(kind="wrong_portal", portal_id=portal.portal_id, claims=claims))
    client = inside(sandbox, portal.token)
    got = client.get("/account-info/2026-09/details").json()["portalId"]
    assert client.get("/crm/objects/2026-09/contacts").status_code == 200
    other = inside(sandbox, sandbox.portals[1].token)
    assert other.get("/account-info/v3/details").json()["portalId"] == (
        sandbox.portals[1].portal_id
    )
    assert got == (claims or sandbox.spare.portal_id)


def statuses(inside, sandbox: Sandbox, *tokens: str) -> list[int]:
    path = "/account-info/v3/details"
    return [inside(sandbox, token).get(path).status_code for token in tokens]
