"""Budgets in numbers and words (facts 3): ten seconds, a second of searches, a portal's day."""

from datetime import UTC, date, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.errors import SandboxError
from hsagency.sandbox import Clock, Portal, Reply, Request, Sandbox
from hsagency.sandbox.limits import next_midnight
from hsagency.sandbox.others import Others, Shape
from hsagency.sandbox.portals import Distribution
from tests.sandbox.apps import CALLBACK, READ, Developer
from tests.sandbox.conftest import NOON, bearer

DEALS = "/crm/objects/2026-09/deals"
# zones whose clocks change at midnight are among them: there a day may begin at one o'clock
ZONES = (
    "America/New_York", "Europe/Berlin", "Australia/Sydney", "America/Santiago", "Africa/Cairo",
    "Asia/Beirut", "America/Havana", "Asia/Kolkata", "Pacific/Apia", "UTC",
)  # fmt: skip


def send(sandbox: Sandbox, token: str, times: int = 1, path: str = DEALS) -> list[int]:
    return [ask(sandbox, token, path).status for _ in range(times)]


def ask(sandbox: Sandbox, token: str, path: str = DEALS) -> Reply:
    method = "POST" if path.endswith("/search") else "GET"
    headers = [("authorization", f"Bearer {token}")]
    return sandbox.handle(Request.parse(method, path, headers=headers, body=b"{}"))


def limits(reply: Reply) -> dict[str, str]:
    """Return what the headers say of limits, by the last part of their names."""
    start = "X-HubSpot-RateLimit-"
    return {name[len(start) :]: text for name, text in reply.headers if name.startswith(start)}


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
    """Facts 3.1, from documents alone."""
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
    """
    Facts 3.2: the names are those of the usage guidelines and of live answers.

    From documents and observed by others.
    """
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
    """Facts 3.3; observed by others."""
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
    """Facts 3.1, from documents alone."""
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
    """Facts 3.3, from documents alone."""
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
    """Facts 3.1, from documents alone: midnight where the account is."""
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
    """Facts 2.1: the zone counts, never a stored offset. From documents alone."""
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


SEARCHES = (
    "/crm/v3/objects/contacts/search",
    "/crm/objects/2026-09/contacts/search",
    "/crm/v3/objects/deals/search",
)
LINKS = "/crm/v4/objects/contacts/{}/associations/companies"


def first_contact(sandbox: Sandbox, portal: Portal) -> str:
    """Return the path of a contact's companies, without a call that any limit of it counts."""
    token = sandbox.issue(portal.portal_id, kind="service_key").token
    body = ask(sandbox, token, "/crm/v3/objects/contacts?limit=1").body
    return LINKS.format(body.split(b'"id":"')[1].split(b'"')[0].decode())


@pytest.mark.parametrize(
    ("tier", "daily", "links"),
    [("starter", 250_000, 100), ("professional", 625_000, 150), ("enterprise", 1_000_000, 150)],
)
def test_an_add_on_raises_the_burst_once_and_the_day_each_time(
    tier: str, daily: int, links: int
) -> None:
    """Facts 3.1, from documents alone; two documents disagree about the burst."""
    sandbox = Sandbox(portals=5, contacts=1, clock=Clock(NOON))
    portal = next(portal for portal in sandbox.portals if portal.tier == tier)
    path = first_contact(sandbox, portal)
    assert limits(ask(sandbox, portal.token, path))["Max"] == str(links)
    for bought in (1, 2):
        sandbox.alter(portal.portal_id, add_ons=bought)
        said = limits(ask(sandbox, portal.token))
        assert (said["Max"], said["Daily"]) == ("250", str(daily + bought * 1_000_000))
        assert limits(ask(sandbox, portal.token, path))["Max"] == "200"
    sandbox.clock.advance(10)
    assert send(sandbox, portal.token, 251) == [200] * 250 + [429]
    sandbox.alter(portal.portal_id, add_ons=0)
    assert limits(ask(sandbox, portal.token))["Daily"] == str(daily)


def test_a_portal_that_changes_its_tier_keeps_what_it_used(sandbox: Sandbox) -> None:
    portal = sandbox.portals[0]
    sandbox.spend(portal.portal_id, 300_000)
    sandbox.alter(portal.portal_id, tier="starter")
    assert send(sandbox, portal.token) == [429]
    sandbox.alter(portal.portal_id, tier="enterprise")
    assert limits(ask(sandbox, portal.token))["Daily-Remaining"] == str(700_000 - 1)


def test_associations_have_ten_seconds_of_their_own(sandbox: Sandbox) -> None:
    """Facts 3.1; that the window is apart from the app's own and reported is an assumption."""
    portal = sandbox.portals[0]
    path = first_contact(sandbox, portal)
    assert send(sandbox, portal.token, 151, path) == [200] * 150 + [429]
    assert send(sandbox, portal.token, 191) == [200] * 190 + [429]
    other = sandbox.issue(portal.portal_id, kind="service_key")
    assert send(sandbox, other.token, 1, path) == [200]
    sandbox.clock.advance(10)
    assert send(sandbox, portal.token, 1, path) == [200]


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/crm/v4/associations/contacts/companies/labels", "150"),
        ("/crm/objects/2026-09/contacts/101/associations/companies", "150"),
        ("/crm-object-schemas/2026-09/schemas/contacts/associations", "190"),
        ("/crm/v3/schemas/contacts/associations/1", "190"),
    ],
)
def test_only_the_associations_api_has_its_own_limit(
    sandbox: Sandbox, path: str, most: str
) -> None:
    """Facts 3.1; from documents alone. That schemas are no part of it is an assumption."""
    assert limits(ask(sandbox, sandbox.portals[0].token, path))["Max"] == most


def test_searches_are_five_a_second_for_all_apps_of_a_portal(sandbox: Sandbox) -> None:
    """Facts 3.1, from documents alone; the refusal is that of facts 3.3, observed by others."""
    portal = sandbox.portals[0]
    other = sandbox.issue(portal.portal_id)
    for path in SEARCHES:
        assert send(sandbox, portal.token, 3, path) == [200] * 3
        assert send(sandbox, other.token, 3, path) == [200, 200, 429]
        sandbox.clock.advance(1)
    assert send(sandbox, sandbox.portals[1].token, 5, SEARCHES[0]) == [200] * 5


def test_an_answer_to_a_search_says_nothing_of_limits(sandbox: Sandbox) -> None:
    """Facts 3.2: documented to carry none; old recordings show otherwise."""
    portal = sandbox.portals[0]
    replies = [ask(sandbox, portal.token, SEARCHES[0]) for _ in range(6)]
    assert [reply.status for reply in replies] == [200] * 5 + [429]
    assert [limits(reply) for reply in replies] == [{}] * 6
    body = replies[-1].body
    assert b'"message":"You have reached your secondly limit."' in body
    assert b'"policyName":"SECONDLY"' in body
    # that a search counts for the day, but not for the ten seconds, is an assumption
    said = limits(ask(sandbox, portal.token))
    assert (said["Remaining"], said["Daily-Remaining"]) == ("189", str(625_000 - 6))


def test_an_answer_to_a_search_tells_the_day_where_a_portal_does(sandbox: Sandbox, inside) -> None:
    """Facts 3.2: as recordings of 2022 have it; that OAuth tokens hear nothing is an assumption."""
    portal = sandbox.portals[0]
    sandbox.alter(portal.portal_id, search_headers=True)
    said = [limits(ask(sandbox, portal.token, SEARCHES[0])) for _ in range(6)]
    assert [set(one) for one in said] == [{"Daily", "Daily-Remaining"}] * 6
    assert [one["Daily-Remaining"] for one in said[-2:]] == ["624995", "624995"]
    token = developer(sandbox, inside, "private").install()["access_token"]
    sandbox.clock.advance(1)
    assert limits(ask(sandbox, token, SEARCHES[0])) == {}


@pytest.mark.parametrize(
    ("newer", "word", "absent"),
    [
        (False, b'"errorType":"RATE_LIMIT"', b"RATE_LIMITS"),
        (True, b'"category":"RATE_LIMITS"', b"errorType"),
    ],
)
@pytest.mark.parametrize("policy", ["TEN_SECONDLY_ROLLING", "SECONDLY", "DAILY"])
def test_a_refusal_is_worded_in_one_of_two_ways(
    sandbox: Sandbox, policy: str, newer, word: bytes, absent: bytes
) -> None:
    """Facts 3.3. Observed by others."""
    portal = sandbox.portals[0]
    sandbox.alter(portal.portal_id, newer_refusals=newer)
    if policy == "DAILY":
        sandbox.spend(portal.portal_id, 625_000)
    path = SEARCHES[0] if policy == "SECONDLY" else DEALS
    send(sandbox, portal.token, 190, path)
    refusal = ask(sandbox, portal.token, path)
    assert refusal.status == 429
    assert f'"policyName":"{policy}"'.encode() in refusal.body
    assert word in refusal.body
    assert absent not in refusal.body


def developer(sandbox: Sandbox, inside, distribution: Distribution) -> Developer:
    app = sandbox.register_app(
        "Planner", redirect_uris=[CALLBACK], required=[READ], distribution=distribution
    )
    return Developer(app, inside(sandbox, None), sandbox)


def test_an_answer_to_an_oauth_token_says_nothing_of_the_day(sandbox: Sandbox, inside) -> None:
    """Facts 3.2, from documents alone."""
    token = developer(sandbox, inside, "private").install()["access_token"]
    said = limits(ask(sandbox, token, "/crm/v3/objects/contacts"))
    assert said.keys() == {
        "Interval-Milliseconds", "Max", "Remaining", "Secondly", "Secondly-Remaining",
    }  # fmt: skip


def test_a_private_oauth_app_is_limited_as_private_apps_are(sandbox: Sandbox, inside) -> None:
    """Facts 3.1, from documents alone."""
    contacts, portal = "/crm/v3/objects/contacts", sandbox.portals[0]
    token = developer(sandbox, inside, "private").install()["access_token"]
    assert send(sandbox, token, 191, contacts) == [200] * 190 + [429]
    assert send(sandbox, portal.token) == [200]
    assert sandbox.usage(portal.portal_id).ours == 191
    sandbox.spend(portal.portal_id, 625_000)
    sandbox.clock.advance(10)
    assert b'"DAILY"' in ask(sandbox, token, contacts).body


def test_a_marketplace_app_has_110_calls_in_each_portal_and_no_day(
    sandbox: Sandbox, inside
) -> None:
    """Facts 3.1, from documents alone: no daily limit, and no use of an add-on."""
    contacts, app = "/crm/v3/objects/contacts", developer(sandbox, inside, "marketplace")
    tokens = [app.install(portal)["access_token"] for portal in (0, 1)]
    portal_id = sandbox.portals[0].portal_id
    sandbox.alter(portal_id, add_ons=2)
    sandbox.spend(portal_id, 10_000_000)
    for token in tokens:
        assert send(sandbox, token, 111, contacts) == [200] * 110 + [429]
    # another access token is the same app
    again = app.install()["access_token"]
    assert send(sandbox, again, 1, contacts) == [429]
    assert limits(ask(sandbox, again, contacts))["Max"] == "110"
    assert sandbox.usage(portal_id).ours == 0
    assert send(sandbox, sandbox.portals[0].token) == [429]


def test_a_sandbox_without_limits_counts_and_refuses_nothing() -> None:
    sandbox = Sandbox(portals=1, contacts=1, clock=Clock(NOON), limits=False)
    portal = sandbox.portals[0]
    sandbox.spend(portal.portal_id, 625_000)
    assert set(send(sandbox, portal.token, 200)) == {200}
    assert set(send(sandbox, portal.token, 6, SEARCHES[0])) == {200}
    said = limits(ask(sandbox, portal.token))
    assert (said["Remaining"], said["Daily-Remaining"]) == ("0", "0")
    assert sandbox.usage(portal.portal_id).ours == 207


def test_what_we_use_and_what_others_use_are_told_apart(sandbox: Sandbox) -> None:
    """
    Facts 2.3 and 3.1: headers count everybody, our ledger us, and one endpoint some of them.

    Observed by others.
    """
    portal = sandbox.portals[0]
    key = sandbox.issue(portal.portal_id, kind="service_key")
    sandbox.others(portal.portal_id, calls_per_day=100_000, kind="private_app", shape="flat")
    sandbox.others(portal.portal_id, calls_per_day=50_000, kind="service_key", shape="flat")
    left = int(limits(ask(sandbox, key.token))["Daily-Remaining"])
    usage = sandbox.usage(portal.portal_id)
    assert (usage.ours, usage.left, usage.limit) == (1, left, 625_000)
    assert usage.ours + usage.theirs + usage.left == usage.limit
    assert len(sandbox.ledger(portal.portal_id)) == usage.ours
    path = "/account-info/2026-09/api-usage/daily/private-apps"
    counted = int(ask(sandbox, key.token, path).body.split(b'"currentUsage":')[1].split(b",")[0])
    assert counted == usage.theirs - (usage.theirs + 1) // 3  # the service keys' third is left out


@pytest.mark.parametrize("shape", get_args(Shape))
def test_others_begin_anew_at_the_portals_midnight(sandbox: Sandbox, shape: Shape) -> None:
    portal = sandbox.portals[0]
    sandbox.others(portal.portal_id, calls_per_day=700_000, shape=shape)
    midnight = sandbox.usage(portal.portal_id).resets_at
    sandbox.clock.set(midnight - timedelta(seconds=1))
    assert sandbox.usage(portal.portal_id).left == 0
    assert send(sandbox, portal.token) == [429]
    sandbox.clock.set(midnight)
    assert sandbox.usage(portal.portal_id).theirs == 0
    assert send(sandbox, portal.token) == [200]
    sandbox.clock.advance(12 * 3600)
    assert 200_000 < sandbox.usage(portal.portal_id).theirs < 500_000


def test_a_used_up_day_refuses_the_others_too(sandbox: Sandbox) -> None:
    portal = sandbox.portals[0]
    for kind in ("private_app", "service_key"):
        sandbox.others(portal.portal_id, calls_per_day=1_000_000, kind=kind, shape="flat")
    assert send(sandbox, portal.token, 3) == [200] * 3
    sandbox.clock.advance(14 * 3600)
    assert send(sandbox, portal.token) == [429]
    usage = sandbox.usage(portal.portal_id)
    assert (usage.ours, usage.theirs, usage.left) == (3, 625_000 - 3, 0)
    # what the day refused is not made good when there is room again
    sandbox.alter(portal.portal_id, add_ons=1)
    assert sandbox.usage(portal.portal_id).left == 1_000_000


def test_others_that_make_no_calls_any_more_are_gone_by_tomorrow(sandbox: Sandbox) -> None:
    portal_id = sandbox.portals[0].portal_id
    sandbox.others(portal_id, calls_per_day=100_000, shape="flat")
    before = sandbox.usage(portal_id).theirs
    sandbox.others(portal_id, calls_per_day=0)
    sandbox.clock.advance(3600)
    assert sandbox.usage(portal_id).theirs == before > 0
    sandbox.clock.advance(86_400)
    assert sandbox.usage(portal_id).theirs == 0


@pytest.mark.parametrize("wrong", [{"calls_per_day": -1}, {"shape": "round"}, {"kind": "password"}])
def test_impossible_others_are_refused(sandbox: Sandbox, wrong) -> None:
    portal_id = sandbox.portals[0].portal_id
    with pytest.raises(SandboxError, match="nothing was changed"):
        sandbox.others(portal_id, **({"calls_per_day": 5} | wrong))
    assert sandbox.usage(portal_id).theirs == 0


@given(
    calls=st.integers(0, 3_000_000),
    shape=st.sampled_from(get_args(Shape)),
    day=st.dates(date(2026, 1, 1), date(2027, 12, 31)),
    parts=st.lists(st.floats(0, 1), min_size=2, max_size=20),
)
def test_the_calls_of_others_grow_with_the_day_to_what_was_said(
    calls: int, shape: Shape, day: date, parts: list[float]
) -> None:
    others = Others(calls, kind="private_app", shape=shape, seed="0")
    others.begin(day)
    made = [others.by(part) for part in sorted(parts)]
    assert made == sorted(made)
    weekend = shape == "office" and day.weekday() >= 5
    whole = calls // 10 if weekend else calls
    assert (others.by(0), whole - others.by(1) in (0, 1)) == (0, True)


def test_an_office_calls_by_day_and_sleeps_by_night() -> None:
    others = Others(100_000, kind="private_app", shape="office", seed="0")
    others.begin(date(2026, 10, 14))
    assert others.by(18 / 24) - others.by(8 / 24) > 60_000
    assert others.by(6 / 24) < 15_000


@given(
    traffic=st.lists(
        st.tuples(
            st.sampled_from([0, 1, 300_000, 700_000, 2_000_000]) | st.integers(0, 900_000),
            st.sampled_from(["private_app", "service_key", "static_app", "oauth"]),
            st.sampled_from(get_args(Shape)),
        ),
        max_size=3,
    ),
    steps=st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 3)), min_size=1, max_size=30),
)
def test_theirs_and_ours_and_what_is_left_are_the_limit(
    traffic: list[tuple[int, str, Shape]], steps: list[tuple[int, int]]
) -> None:
    """Whatever happens, and when: all three add up, and within a day nobody's use shrinks."""
    sandbox = Sandbox(portals=1, contacts=0, clock=Clock(NOON))
    portal = sandbox.portals[0]
    for calls, kind, shape in traffic:
        sandbox.others(portal.portal_id, calls_per_day=calls, kind=kind, shape=shape)
    before = sandbox.usage(portal.portal_id)
    ours = 0
    for seconds, calls in steps:
        sandbox.clock.advance(seconds)
        now = sandbox.usage(portal.portal_id)
        if now.resets_at != before.resets_at:
            ours = 0
        else:
            assert now.theirs >= before.theirs
        assert (now.ours, now.ours + now.theirs + now.left) == (ours, now.limit)
        answered = send(sandbox, portal.token, calls)
        ours += answered.count(200)
        assert answered.count(200) == min(calls, now.left)
        before = sandbox.usage(portal.portal_id)
        assert before.ours == ours


def test_a_portal_that_moves_to_another_zone_keeps_its_count_and_gets_a_new_midnight(
    sandbox: Sandbox,
) -> None:
    portal = sandbox.portals[0]
    sandbox.spend(portal.portal_id, 500)
    sandbox.alter(portal.portal_id, time_zone="Asia/Kolkata")
    usage = sandbox.usage(portal.portal_id)
    assert (usage.theirs, usage.resets_at) == (500, datetime(2026, 10, 14, 18, 30, tzinfo=UTC))
    sandbox.clock.set(usage.resets_at)
    assert sandbox.usage(portal.portal_id).theirs == 0


@pytest.mark.parametrize("calls", [-1, 10**9, 10**400])
def test_other_apps_make_no_more_calls_than_can_be_counted(sandbox: Sandbox, calls: int) -> None:
    """Nothing of HubSpot's."""
    portal_id = sandbox.portals[0].portal_id
    with pytest.raises(SandboxError, match="nothing was changed"):
        sandbox.others(portal_id, calls_per_day=calls)
    with pytest.raises(SandboxError, match="nothing was counted"):
        sandbox.spend(portal_id, calls)
    assert sandbox.usage(portal_id).theirs == 0


def spent(sandbox: Sandbox) -> int:
    """Call until a call is refused; return how many were not."""
    calls = 0
    while (
        sandbox.handle(
            Request(
                "GET", "/crm/objects/2026-09/contacts", headers=bearer(sandbox.portals[0].token)
            )
        ).status
        == 200
    ):
        calls += 1
    return calls


@pytest.mark.parametrize("back", [0.001, 1, 9])
def test_a_clock_that_steps_back_a_little_lets_no_more_calls_in(
    sandbox: Sandbox, back: float
) -> None:
    """Facts 3.1, from documents alone: so many calls in any ten seconds."""
    allowed = spent(sandbox)
    sandbox.clock.advance(-back)
    assert spent(sandbox) == 0
    sandbox.clock.advance(back + 10)
    assert spent(sandbox) == allowed
    sandbox.clock.advance(-3_600)
    assert spent(sandbox) == allowed


def test_an_account_that_buys_more_has_not_called_less(sandbox: Sandbox) -> None:
    """Facts 3.1, from documents alone; that what was used stays used is an assumption."""
    portal_id = sandbox.portals[0].portal_id
    assert spent(sandbox) == 190
    sandbox.alter(portal_id, add_ons=1)
    assert spent(sandbox) == 60
    sandbox.alter(portal_id, add_ons=0)
    assert spent(sandbox) == 0
