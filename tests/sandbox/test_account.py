"""
Details of an account, introspection and daily usage (facts 1.5, 2.1 and 2.3).

Their fields rest on documents alone where a test does not say that others have observed them.
"""

from datetime import UTC, datetime

import pytest

from hsagency.sandbox import Clock, Fault, Sandbox
from tests.sandbox.apps import Developer

DAILY = "api-usage/daily/private-apps"
INTROSPECTION = "/oauth/v2/private-apps/get/access-token-info"
VERSIONS = ["v3", "2025-09", "2026-03", "2026-09", "2027-03-beta"]
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


@pytest.mark.parametrize("version", VERSIONS)
def test_details_have_all_required_fields_and_a_name_only_since_2026_09(
    client, sandbox: Sandbox, version: str
) -> None:
    """Facts 2.1: the required fields, and two optional ones; from documents alone."""
    details = client.get(f"/account-info/{version}/details").json()
    named = {"portalName", "createdAt"} if version >= "2026-09" and version != "v3" else set()
    assert details.keys() == REQUIRED | named
    assert details["portalId"] == sandbox.portals[0].portal_id


@pytest.mark.parametrize("version", VERSIONS)
def test_details_may_lack_the_name_as_they_do_on_live_portals(
    client, sandbox: Sandbox, version: str
) -> None:
    """Facts 2.1; observed by others: no published live answer has portalName."""
    sandbox.alter(sandbox.portals[0].portal_id, portal_names=False)
    details = client.get(f"/account-info/{version}/details").json()
    assert details.keys() == REQUIRED


def test_details_follow_what_is_changed_about_an_account(client, sandbox: Sandbox) -> None:
    """Facts 2.1; from documents alone."""
    altered = sandbox.alter(
        sandbox.portals[0].portal_id,
        name="Acme Holding",
        account_type="DEVELOPER_TEST",
        time_zone="Asia/Kolkata",
        currency="INR",
        additional_currencies=("EUR", "USD"),
    )
    assert altered == sandbox.portals[0]
    details = client.get("/account-info/2026-09/details").json()
    assert (
        details.items()
        >= {
            "portalName": "Acme Holding",
            "accountType": "DEVELOPER_TEST",
            "timeZone": "Asia/Kolkata",
            "utcOffset": "+05:30",
            "companyCurrency": "INR",
            "additionalCurrencies": ["EUR", "USD"],
        }.items()
    )


def test_the_offset_of_a_portal_follows_daylight_saving(inside) -> None:
    """Facts 2.1; from documents alone."""
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
    """Facts 1.5; from documents alone. That no header tells of limits is an assumption."""
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
    """An assumption: facts 1.5 name no refusal."""
    sandbox.revoke(sandbox.portals[0].portal_id)
    client = inside(sandbox, sandbox.portals[1].token)
    for token in (sandbox.portals[0].token, "pat-na1-nobody"):
        assert client.post(INTROSPECTION, json={"tokenKey": token}).status_code == 401
    for body in (b"{}", b"nothing", b'{"tokenKey": 7}'):
        assert client.post(INTROSPECTION, content=body).status_code == 400


def test_daily_usage_counts_private_apps_and_leaves_service_keys_out(
    inside, sandbox: Sandbox
) -> None:
    """Facts 2.3; observed by others. What the older sibling counts rests on documents alone."""
    portal_id = sandbox.portals[0].portal_id
    private, key = (sandbox.issue(portal_id, kind=k) for k in ("private_app", "service_key"))
    for token, calls in ((private.token, 3), (key.token, 5)):
        client = inside(sandbox, token)
        for _ in range(calls):
            client.get("/crm/objects/2026-09/contacts")
    client = inside(sandbox, key.token)
    for version in ("v3", "2026-03", "2026-09"):
        path = f"/account-info/{version}/{DAILY}"
        (usage,) = client.get(path).json()["results"]
        assert (usage["name"], usage["currentUsage"]) == ("private-apps-api-calls-daily", 3)
    (every,) = client.get("/account-info/v3/api-usage/daily").json()["results"]
    assert (every["name"], every["currentUsage"]) == ("api-calls-daily", 3 + 5 + 4)
    assert every["fetchStatus"] == "SUCCESS"


def test_the_beta_counts_all_types_of_app_and_says_which(inside, sandbox: Sandbox) -> None:
    """Facts 2.3; from documents alone."""
    portal = sandbox.portals[0]
    made = {
        "LEGACY_PRIVATE_APP": (sandbox.issue(portal.portal_id, kind="private_app"), 2),
        "DEVELOPER_PLATFORM_APP": (sandbox.issue(portal.portal_id, kind="static_app"), 3),
        "SERVICE_KEY": (sandbox.issue(portal.portal_id, kind="service_key"), 5),
    }
    for credential, calls in made.values():
        for _ in range(calls):
            inside(sandbox, credential.token).get("/crm/objects/2026-09/contacts")
    client = inside(sandbox, made["SERVICE_KEY"][0].token)
    (usage,) = client.get(f"/account-info/2027-03-beta/{DAILY}").json()["results"]
    counts = {one["appType"]: one["currentUsage"] for one in usage["usageByAppType"]}
    assert counts == {"LEGACY_PRIVATE_APP": 2, "DEVELOPER_PLATFORM_APP": 3, "SERVICE_KEY": 5 + 1}
    assert usage["currentUsage"] == sum(counts.values())
    (older,) = client.get(f"/account-info/2026-09/{DAILY}").json()["results"]
    assert older.keys() == usage.keys() - {"usageByAppType"}


@pytest.mark.parametrize("status", ["FAILURE", "NOTFOUND", "TIMEOUT"])
def test_a_count_that_failed_says_so_and_means_nothing(
    client, sandbox: Sandbox, status: str
) -> None:
    """Facts 2.3; from documents alone. That a count which failed says 0 is an assumption."""
    portal_id = sandbox.portals[0].portal_id
    sandbox.spend(portal_id, 700)
    sandbox.alter(portal_id, usage_status=status)
    for path in (f"/account-info/2026-09/{DAILY}", "/account-info/v3/api-usage/daily"):
        (usage,) = client.get(path).json()["results"]
        assert (usage["fetchStatus"], usage["currentUsage"]) == (status, 0)
    (usage,) = client.get(f"/account-info/2027-03-beta/{DAILY}").json()["results"]
    assert [one["currentUsage"] for one in usage["usageByAppType"]] == [0, 0, 0]


def test_a_cached_count_is_the_last_one_that_was_made(client, sandbox: Sandbox) -> None:
    """Facts 2.3; from documents alone."""
    portal_id, path = sandbox.portals[0].portal_id, f"/account-info/2026-09/{DAILY}"
    sandbox.spend(portal_id, 700)
    (counted,) = client.get(path).json()["results"]
    sandbox.alter(portal_id, usage_status="CACHED")
    sandbox.clock.advance(300)
    sandbox.spend(portal_id, 50)
    assert client.get(path).json()["results"] == [{**counted, "fetchStatus": "CACHED"}]
    sandbox.alter(portal_id, usage_status="SUCCESS")
    (fresh,) = client.get(path).json()["results"]
    assert fresh["currentUsage"] >= counted["currentUsage"] + 50
    assert fresh["collectedAt"] > counted["collectedAt"]


def test_details_of_the_spare_portal_can_be_wrong_too(inside, sandbox: Sandbox) -> None:
    """The name of a portal that is struck is that of facts 2.1; the fault is nobody's but ours."""
    sandbox.faults.add(Fault(kind="wrong_portal"))
    details = inside(sandbox, sandbox.spare.token).get("/account-info/v3/details").json()
    assert details["portalId"] == sandbox.portals[0].portal_id


@pytest.mark.parametrize("claims", [None, 123])
def test_details_can_name_the_wrong_portal(inside, sandbox: Sandbox, claims: int | None) -> None:
    """The name of a portal that is struck is that of facts 2.1; the fault is nobody's but ours."""
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


def test_introspection_of_static_credentials_knows_no_oauth_token(quick: Developer) -> None:
    """Facts 1.5 and 1.7; that it is a 401 is an assumption."""
    token = quick.exchange(quick.code()).json()["access_token"]
    answer = quick.client.post(INTROSPECTION, json={"tokenKey": token})
    assert (answer.status_code, answer.json()["category"]) == (401, "INVALID_AUTHENTICATION")
