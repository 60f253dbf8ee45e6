"""
What a fault refuses: each status in the words HubSpot has for it, and without effect.

Facts 1.8, 3.2, 3.3, 4.1, 4.2 and 4.3; each test says which of it others have observed.
"""

from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest

from hsagency.sandbox import Fault, Sandbox
from tests.sandbox.apps import CALLBACK, READ, Developer

CONTACTS = "/crm/objects/2026-09/contacts"
NEW = {"properties": {"email": "new@example.com"}}


def refused(connect, sandbox: Sandbox, **words):
    """Create a contact while one fault is in force; return the answer and whether it is there."""
    portal = sandbox.portals[0]
    client = connect(sandbox, portal.token)
    sandbox.faults.add(Fault(kind="status", times=1, **words))
    answer = client.post(CONTACTS, json=NEW)
    found = client.get(f"{CONTACTS}/new@example.com", params={"idProperty": "email"})
    return answer, found.status_code == 200


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 423, 429, 477, 488, 500, 503, 530])
@pytest.mark.parametrize("form", ["json", "html", "empty"])
def test_each_status_comes_as_json_as_a_page_and_empty(connect, sandbox, status, form) -> None:
    """Facts 4.1 and 4.2; from documents alone. Which status has which form is an assumption."""
    answer, there = refused(connect, sandbox, status=status, form=form)
    assert (answer.status_code, there) == (status, False)
    if form == "json":
        assert answer.json()["status"] == "error"
        assert answer.json()["correlationId"] == answer.headers["x-hubspot-correlation-id"]
    elif form == "html":
        assert answer.headers["content-type"].startswith("text/html")
        assert str(status) in answer.text
    else:
        assert answer.content == b""
    entry = sandbox.ledger(sandbox.portals[0].portal_id)[0]
    assert (entry.status, entry.sent, entry.dropped, entry.fault) == (
        status,
        status,
        None,
        "status",
    )


@pytest.mark.parametrize("status", [520, 521, 522, 523, 524, 525, 526, 530])
def test_what_cloudflare_says_is_a_page_of_its_own(connect, sandbox: Sandbox, status: int) -> None:
    """Facts 4.1; from documents alone that 52x are HTML. The shape of the page is an assumption."""
    answer, _ = refused(connect, sandbox, status=status)
    assert (answer.status_code, answer.headers["server"]) == (status, "cloudflare")
    assert f"Error code {status}" in answer.text
    assert "x-hubspot-ratelimit-max" not in answer.headers


def test_a_401_is_invalid_or_expired(connect, sandbox: Sandbox) -> None:
    """Facts 4.2; observed by others."""
    answer, _ = refused(connect, sandbox, status=401)
    assert answer.json()["category"] == "INVALID_AUTHENTICATION"
    answer, _ = refused(connect, sandbox, status=401, category="EXPIRED_AUTHENTICATION")
    assert "expired 0 second(s) ago" in answer.json()["message"]
    # written as in the 401 of a token whose time is really over
    assert answer.json()["context"] == {"expire time": ["2026-10-14T12:00:00.000Z"]}


def test_a_403_names_its_scopes_or_none_or_is_a_gate(connect, sandbox: Sandbox) -> None:
    """Facts 4.2; observed by others. The words of GATED are an assumption."""
    answer, _ = refused(connect, sandbox, status=403, scopes=("crm.lists.read",))
    (error,) = answer.json()["errors"]
    assert error["context"] == {"requiredGranularScopes": ["crm.lists.read"]}
    answer, _ = refused(connect, sandbox, status=403)
    assert answer.json()["category"] == "MISSING_SCOPES"
    assert answer.json()["errors"][0]["context"] == {}
    answer, _ = refused(connect, sandbox, status=403, category="GATED")
    assert (answer.json()["category"], "errors" in answer.json()) == ("GATED", False)


@pytest.mark.parametrize(
    ("status", "category"), [(404, "OBJECT_NOT_FOUND"), (409, "CONFLICT"), (423, None)]
)
def test_other_statuses_have_their_category(connect, sandbox: Sandbox, status, category) -> None:
    """Facts 4.2; 404 and 409 observed by others. That 423 has none is an assumption."""
    answer, _ = refused(connect, sandbox, status=status)
    assert answer.json().get("category") == category


@pytest.mark.parametrize("policy", ["TEN_SECONDLY_ROLLING", "SECONDLY", "DAILY", "HOURLY", None])
@pytest.mark.parametrize("marker", ["errorType", "category", "none"])
def test_a_429_comes_of_each_policy_and_in_each_wording(connect, sandbox, policy, marker) -> None:
    """Facts 3.3; DAILY from documents alone, the others and the newer words observed by others."""
    answer, there = refused(connect, sandbox, status=429, policy=policy, marker=marker)
    body = answer.json()
    assert (answer.status_code, there, body.get("policyName")) == (429, False, policy)
    assert body.get("errorType") == ("RATE_LIMIT" if marker == "errorType" else None)
    assert body.get("category") == ("RATE_LIMITS" if marker == "category" else None)
    assert policy is None or body["message"] == f"You have reached your {policy.lower()} limit."
    assert ("groupName" in body) == (policy == "TEN_SECONDLY_ROLLING")
    daily = int(answer.headers["x-hubspot-ratelimit-daily-remaining"])
    burst = int(answer.headers["x-hubspot-ratelimit-remaining"])
    assert (daily == 0, burst == 0) == (policy == "DAILY", policy == "TEN_SECONDLY_ROLLING")


@pytest.mark.parametrize("kind", ["private_app", "oauth"])
@pytest.mark.parametrize("newer", [False, True])
def test_a_burst_on_request_is_refused_in_the_words_of_a_real_one(
    inside, sandbox: Sandbox, kind: str, newer
) -> None:
    """Facts 3.3; observed by others of private apps. An OAuth app's is an assumption."""
    portal, client = sandbox.portals[0], inside(sandbox, None)
    sandbox.alter(portal.portal_id, newer_refusals=newer)
    app = sandbox.register_app("Planner", redirect_uris=[CALLBACK], required=[READ])
    token = portal.token
    if kind == "oauth":
        token = Developer(app, client, sandbox).install()["access_token"]
    client.headers["authorization"] = f"Bearer {token}"
    sandbox.faults.add(Fault(kind="burst", times=1))
    asked = [client.get("/crm/v3/objects/contacts") for _ in range(192)]
    bodies = [answer.json() for answer in (asked[0], asked[-1])]
    for body in bodies:
        del body["correlationId"], body["requestId"]
    assert bodies[0] == bodies[1]
    assert ("groupName" in bodies[0]) == (kind != "oauth")


@pytest.mark.parametrize("kind", ["burst", "daily"])
def test_the_two_refusals_by_name_may_say_how_long(connect, sandbox: Sandbox, kind) -> None:
    """An assumption: facts 3.2 know no Retry-After of a 429."""
    sandbox.faults.add(Fault(kind=kind, retry_after=3, times=1))
    client = connect(sandbox, sandbox.portals[0].token)
    assert client.get(CONTACTS).headers["retry-after"] == "3"
    assert client.get(CONTACTS).status_code == 200


@pytest.mark.parametrize(
    ("wait", "sent"), [(7, "7"), (1.5, "1.5"), (0, "0"), ("soon", "soon"), (-1, "-1"), (None, None)]
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_is_asked_for_in_seconds_or_in_nonsense(
    connect, sandbox, status, wait, sent
) -> None:
    """An assumption: facts 3.2 know no Retry-After of a 429, so anything may come."""
    answer, _ = refused(connect, sandbox, status=status, retry_after=wait)
    assert answer.headers.get("retry-after") == sent


def test_a_wait_until_a_date_is_reckoned_by_the_sandboxs_clock(connect, sandbox: Sandbox) -> None:
    """An assumption: facts 3.2 tell clients to take seconds or an HTTP date."""
    answer, _ = refused(connect, sandbox, status=429, retry_after=90, as_date=True)
    until = parsedate_to_datetime(answer.headers["retry-after"])
    assert until == sandbox.clock.now() + timedelta(seconds=90)


def test_the_date_of_an_answer_is_the_sandboxs(over_a_socket, sandbox: Sandbox) -> None:
    """Nothing of HubSpot's."""
    client = over_a_socket(sandbox, sandbox.portals[0].token)
    for _ in range(2):
        answer = client.get(CONTACTS)
        assert parsedate_to_datetime(answer.headers["date"]) == sandbox.clock.now()
        sandbox.clock.advance(60)


def test_a_migration_says_how_long_it_takes(connect, sandbox: Sandbox) -> None:
    """Facts 1.8; from documents alone that 477 tells seconds. Its words are an assumption."""
    answer, there = refused(connect, sandbox, status=477)
    assert (int(answer.headers["retry-after"]) > 0, there) == (True, False)
    assert str(sandbox.portals[0].portal_id) in answer.json()["message"]
    answer, _ = refused(connect, sandbox, status=477, retry_after="")
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize(("hublet", "named"), [(None, "eu1"), ("ap1", "ap1")])
def test_a_token_of_another_data_centre_is_told_where_it_belongs(
    connect, sandbox: Sandbox, hublet, named
) -> None:
    """Facts 1.8; observed by others. That the header is sent is an assumption."""
    portal = sandbox.portals[0]
    answer, _ = refused(connect, sandbox, status=488, hublet=hublet)
    body = answer.json()
    assert body["correctHublet"] == answer.headers["x-hubspot-correct-hublet"] == named
    assert body["message"] == (
        f"Hub {portal.portal_id} is unknown to this Hublet, "
        f"but it appears to exist in Hublet {named}"
    )
    assert set(body) == {"status", "message", "correlationId", "correctHublet"}


@pytest.mark.parametrize("status", [401, 403, 414, 423, 429, 477, 488, 500])
def test_only_what_the_portal_itself_refuses_says_what_is_left(connect, sandbox, status) -> None:
    """An assumption: nobody has shown the headers of 414, 477 and 488."""
    answer, _ = refused(connect, sandbox, status=status)
    assert ("x-hubspot-ratelimit-max" in answer.headers) == (status in {403, 423, 429})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_leads_to_another_host_and_has_no_effect(connect, sandbox, status) -> None:
    """An assumption: HubSpot documents no redirect; facts 1.8 know other hosts."""
    sandbox.faults.add(Fault(kind="redirect", status=status, times=1))
    client = connect(sandbox, sandbox.portals[0].token)
    answer = client.post(f"{CONTACTS}?a=b%0Ac", json=NEW)
    assert (answer.status_code, answer.next_request.url.host) == (status, "api-eu1.hubapi.com")
    assert answer.headers["location"] == f"https://api-eu1.hubapi.com{CONTACTS}?a=b%0Ac"
    assert sandbox.ledger(sandbox.portals[0].portal_id)[0].fault == "redirect"
    assert client.get(CONTACTS, params={"limit": 100}).text.count("new@example.com") == 0


def test_a_redirect_goes_where_it_is_told(connect, sandbox: Sandbox) -> None:
    """An assumption: HubSpot documents no redirect."""
    sandbox.faults.add(Fault(kind="redirect", location="https://evil.example/x"))
    answer = connect(sandbox, sandbox.portals[0].token).get(CONTACTS)
    assert (answer.status_code, answer.headers["location"]) == (302, "https://evil.example/x")


@pytest.mark.parametrize("status", [504, 524, 429])
def test_a_refusal_may_come_after_the_call_took_effect(connect, sandbox: Sandbox, status) -> None:
    """Facts 4.3; from documents alone: after 5xx and 52x the outcome of a create is unknown."""
    answer, there = refused(connect, sandbox, status=status, effect=True)
    assert (answer.status_code, there) == (status, True)
    entry = sandbox.ledger(sandbox.portals[0].portal_id)[0]
    assert (entry.status, entry.sent, entry.fault) == (201, status, "status")
    assert ("x-hubspot-ratelimit-max" in answer.headers) == (status == 429)


def test_whoever_is_unknown_is_refused_alike(connect, sandbox: Sandbox) -> None:
    """An assumption: facts 3.3 and 1.8 tell of known callers."""
    client = connect(sandbox, None)
    for fault, status in ((Fault(kind="burst"), 429), (Fault(kind="status", status=488), 488)):
        sandbox.faults.clear()
        sandbox.faults.add(fault)
        assert client.get(CONTACTS).status_code == status
    assert [entry.fault for entry in sandbox.ledger(None)] == ["burst", "status"]
