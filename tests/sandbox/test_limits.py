from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.sandbox import Clock, Portal, Request, Sandbox
from hsagency.sandbox.limits import next_midnight

DEALS = "/crm/objects/2026-09/deals"
# zones whose clocks change at midnight are among them: there a day may begin at one o'clock
ZONES = (
    "America/New_York", "Europe/Berlin", "Australia/Sydney", "America/Santiago", "Africa/Cairo",
    "Asia/Beirut", "America/Havana", "Asia/Kolkata", "Pacific/Apia", "UTC",
)  # fmt: skip


def send(sandbox: Sandbox, token: str, times: int = 1) -> list[int]:
    request = Request.parse("GET", DEALS, headers=[("authorization", f"Bearer {token}")])
    return [sandbox.handle(request).status for _ in range(times)]


@pytest.fixture
def by_tier() -> tuple[Sandbox, dict[str, Portal]]:
    sandbox = Sandbox(portals=5, contacts=0, clock=Clock(datetime(2026, 5, 1, 12, tzinfo=UTC)))
    return sandbox, {portal.tier: portal for portal in sandbox.portals}


@pytest.mark.parametrize(
    ("tier", "burst", "daily"),
    [("starter", 100, 250_000), ("professional", 190, 625_000), ("enterprise", 190, 1_000_000)],
)
def test_the_burst_of_a_tier_rolls_over_ten_seconds(
    by_tier: tuple[Sandbox, dict[str, Portal]], tier: str, burst: int, daily: int
) -> None:
    sandbox, portals = by_tier
    token = portals[tier].token
    assert send(sandbox, token, burst - 10) == [200] * (burst - 10)
    sandbox.clock.advance(6)
    assert send(sandbox, token, 11) == [200] * 10 + [429]
    sandbox.clock.advance(4)  # the first calls are ten seconds old now, the last ten are not
    assert send(sandbox, token, burst - 9) == [200] * (burst - 10) + [429]
    request = Request.parse("GET", DEALS, headers=[("authorization", f"Bearer {token}")])
    headers = dict(sandbox.handle(request).headers)
    assert headers["X-HubSpot-RateLimit-Max"] == str(burst)
    assert headers["X-HubSpot-RateLimit-Daily"] == str(daily)


def test_every_metered_answer_carries_hubspots_headers(client) -> None:
    # names: HubSpot usage guidelines, 2026
    client.get(DEALS)
    for answer in (client.get(DEALS), client.get("/nowhere"), client.put(DEALS)):
        limits = {k: v for k, v in answer.headers.items() if k.startswith("x-hubspot-ratelimit")}
        assert limits.keys() == {
            f"x-hubspot-ratelimit-{name}"
            for name in (
                "daily",
                "daily-remaining",
                "interval-milliseconds",
                "max",
                "remaining",
                "secondly",
                "secondly-remaining",
            )
        }
        assert len(answer.headers["x-hubspot-correlation-id"]) == 36
    assert limits["x-hubspot-ratelimit-interval-milliseconds"] == "10000"
    assert limits["x-hubspot-ratelimit-remaining"] == "186"
    assert limits["x-hubspot-ratelimit-daily-remaining"] == str(625_000 - 4)
    assert limits["x-hubspot-ratelimit-secondly-remaining"] == "15"


def test_a_burst_refusal_names_its_policy(client, sandbox: Sandbox) -> None:
    portal = sandbox.portals[0]
    send(sandbox, portal.token, 190)
    answer = client.get(DEALS)
    body = answer.json()
    assert answer.status_code == 429
    assert body["message"] == "You have reached your ten_secondly_rolling limit."
    assert (body["errorType"], body["policyName"]) == ("RATE_LIMIT", "TEN_SECONDLY_ROLLING")
    assert body["groupName"].endswith(f":{portal.portal_id}:{portal.credential.app_id}")
    assert answer.headers["x-hubspot-ratelimit-remaining"] == "0"
    assert "retry-after" not in answer.headers


def test_the_burst_is_one_apps_and_the_day_is_everybodys(sandbox: Sandbox) -> None:
    portal = sandbox.portals[0]
    other = sandbox.issue(portal.portal_id)
    send(sandbox, portal.token, 190)
    assert send(sandbox, portal.token) == [429]
    assert send(sandbox, other.token) == [200]
    sandbox.spend(portal.portal_id, 625_000 - 191)
    sandbox.clock.advance(10)
    assert send(sandbox, portal.token) + send(sandbox, other.token) == [429, 429]
    assert send(sandbox, sandbox.portals[1].token) == [200]


def test_a_used_up_day_says_so(client, sandbox: Sandbox) -> None:
    sandbox.spend(sandbox.portals[0].portal_id, 625_000)
    answer = client.get(DEALS)
    body = answer.json()
    assert (answer.status_code, body["policyName"]) == (429, "DAILY")
    assert body["message"] == "You have reached your daily limit."
    assert body["correlationId"] == body["requestId"] == answer.headers["x-hubspot-correlation-id"]
    assert answer.headers["x-hubspot-ratelimit-daily-remaining"] == "0"


@pytest.mark.parametrize(
    ("noon", "hours"),
    [("2026-03-08T00:00", 23), ("2026-11-01T00:00", 25), ("2026-06-01T00:00", 24)],
)
def test_the_day_ends_at_the_portals_midnight_also_when_its_clocks_change(
    noon: str, hours: int
) -> None:
    zone = ZoneInfo("America/New_York")
    midnight = datetime.fromisoformat(noon).replace(tzinfo=zone).astimezone(UTC)
    sandbox = Sandbox(portals=10, contacts=0, clock=Clock(midnight))
    portal = next(p for p in sandbox.portals if p.time_zone == zone.key)
    sandbox.spend(portal.portal_id, 2_000_000)
    sandbox.clock.advance(hours * 3600 - 1)
    assert send(sandbox, portal.token) == [429]
    sandbox.clock.advance(1)
    assert send(sandbox, portal.token) == [200]


@given(
    seconds=st.integers(0, 17 * 365 * 86_400),
    zone=st.sampled_from(ZONES),
)
def test_the_next_midnight_is_the_first_moment_of_the_next_day(seconds: int, zone: str) -> None:
    at, where = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds), ZoneInfo(zone)
    midnight = next_midnight(at, where)
    today = at.astimezone(where).date()
    before = (midnight - timedelta(microseconds=1)).astimezone(where).date()
    assert at < midnight <= at + timedelta(hours=26)
    assert before == today < midnight.astimezone(where).date()


def test_a_clock_set_back_begins_a_new_window(sandbox: Sandbox) -> None:
    token = sandbox.portals[0].token
    send(sandbox, token, 190)
    sandbox.clock.advance(-86_400)
    assert send(sandbox, token) == [200]
