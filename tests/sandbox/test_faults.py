"""Rules of what goes wrong: which calls they are about, how often, and that they repeat (facts 4)."""

import json
import pydoc
import re
import statistics
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import get_args

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.errors import SandboxError
from hsagency.sandbox import Fault, Request, Sandbox
from hsagency.sandbox.faults.armed import fault_from, fault_shown
from hsagency.sandbox.faults.rules import (
    Distribution,
    FaultKind,
    Form,
    Oddity,
    in_json,
    in_toml,
)
from hsagency.sandbox.limits import Marker

CONTACTS = "/crm/objects/2026-09/contacts"
NEW = {"properties": {"email": "new@example.com"}}


def addresses(client) -> set[str]:
    results = client.get(CONTACTS, params={"limit": 100}).json()["results"]
    return {record["properties"]["email"] for record in results}


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer pat-na1-1", "Basic abc", "pat-na1-1"])
def test_without_a_known_token_every_path_is_401(connect, sandbox: Sandbox, header) -> None:
    """
    Facts 4.2: 401 INVALID_AUTHENTICATION for what is missing, malformed or unknown.

    Observed by others.
    """
    client = connect(sandbox, None)
    for path in (CONTACTS, "/account-info/v3/details", "/nowhere"):
        answer = client.get(path, headers={"authorization": header} if header else {})
        assert (answer.status_code, answer.json()["category"]) == (401, "INVALID_AUTHENTICATION")
        assert answer.json()["status"] == "error"
        assert answer.json()["correlationId"] == answer.headers["x-hubspot-correlation-id"]
        assert "x-hubspot-ratelimit-max" not in answer.headers
    assert [entry.status for entry in sandbox.ledger(None)] == [401, 401, 401]


def test_a_revoked_token_is_401_and_in_its_portals_ledger(connect, sandbox: Sandbox) -> None:
    """Facts 4.2. Observed by others."""
    portal = sandbox.portals[0]
    sandbox.revoke(portal.portal_id)
    assert connect(sandbox, portal.token).get(CONTACTS).status_code == 401
    assert sandbox.counts(portal.portal_id) == {"401": 1}


@pytest.mark.parametrize(
    ("kept", "lost", "method"),
    [("crm.objects.contacts.read", "write", "POST"), ("crm.objects.contacts.write", "read", "GET")],
)
def test_a_missing_scope_is_403_and_named(
    connect, sandbox: Sandbox, kept: str, lost: str, method: str
) -> None:
    """
    Facts 4.2: the body of a 403; account information works all the same (1.3).

    Observed by others.
    """
    portal = sandbox.portals[0]
    sandbox.set_scopes(portal.portal_id, [kept])
    client = connect(sandbox, portal.token)
    answer = client.request(method, CONTACTS, json=NEW if method == "POST" else None)
    body = answer.json()
    assert (answer.status_code, body["category"]) == (403, "MISSING_SCOPES")
    (error,) = body["errors"]
    assert error["context"]["requiredGranularScopes"] == [f"crm.objects.contacts.{lost}"]
    assert "scopes" in body["links"]
    assert client.get("/account-info/v3/details").status_code == 200


def test_an_unknown_path_is_a_page_and_a_wrong_method_says_what_is_allowed(
    connect, sandbox: Sandbox
) -> None:
    """Facts 4.2: also HTML 404; the 405 is an assumption."""
    client = connect(sandbox, sandbox.portals[0].token)
    missing = client.get("/crm/v9/objects")
    assert (missing.status_code, missing.headers["content-type"][:9]) == (404, "text/html")
    wrong = client.put(CONTACTS)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, POST")
    assert wrong.json()["status"] == "error"


@pytest.mark.parametrize("status", [401, 403, 404, 409, 414, 423, 429, 477, 500, 502, 503, 504])
@pytest.mark.parametrize("form", ["text/html", "application/json"])
def test_a_status_comes_on_request_and_has_no_effect(
    connect, sandbox: Sandbox, status: int, form: str
) -> None:
    """Facts 4.1 and 4.2: an error may be JSON or a page. From documents alone."""
    sandbox.faults.add(Fault(kind="status", status=status, html=form == "text/html", times=1))
    client = connect(sandbox, sandbox.portals[0].token)
    answer = client.post(CONTACTS, json=NEW)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith(form)
    assert form == "text/html" or answer.json()["correlationId"]
    assert "new@example.com" not in addresses(client)


@pytest.mark.parametrize(
    ("kind", "policy"), [("burst", "TEN_SECONDLY_ROLLING"), ("daily", "DAILY")]
)
def test_both_refusals_come_on_request(connect, sandbox: Sandbox, kind, policy: str) -> None:
    """Facts 3.3. Observed by others."""
    sandbox.faults.add(Fault(kind=kind, times=1))
    client = connect(sandbox, sandbox.portals[0].token)
    answer = client.get(CONTACTS)
    assert (answer.status_code, answer.json()["policyName"]) == (429, policy)
    assert client.get(CONTACTS).status_code == 200


def test_a_connection_dropped_before_leaves_nothing_behind(connect, sandbox: Sandbox) -> None:
    portal = sandbox.portals[0]
    sandbox.faults.add(Fault(kind="drop_before", method="POST", times=1))
    client = connect(sandbox, portal.token)
    with pytest.raises(httpx.RemoteProtocolError):
        client.post(CONTACTS, json=NEW)
    assert "new@example.com" not in addresses(client)
    first = sandbox.ledger(portal.portal_id)[0]
    assert (first.method, first.status, first.dropped) == ("POST", None, "before")
    assert sandbox.counts(portal.portal_id) == {"200": 1, "dropped": 1}


def test_a_connection_dropped_after_leaves_the_contact_created(connect, sandbox: Sandbox) -> None:
    """Facts 4.3: after a lost answer the outcome of a create is unknown. An assumption."""
    portal = sandbox.portals[0]
    sandbox.faults.add(Fault(kind="drop_after", method="post", times=1))
    client = connect(sandbox, portal.token)
    with pytest.raises(httpx.RemoteProtocolError):
        client.post(CONTACTS, json=NEW)
    assert "new@example.com" in addresses(client)
    first = sandbox.ledger(portal.portal_id)[0]
    assert (first.method, first.status, first.dropped) == ("POST", 201, "after")


def test_a_late_answer_is_a_timeout_to_who_cannot_wait_and_had_its_effect(
    connect, sandbox: Sandbox
) -> None:
    """Facts 4.3. An assumption."""
    sandbox.faults.add(Fault(kind="latency", seconds=60, method="POST"))
    client = connect(sandbox, sandbox.portals[0].token)
    with pytest.raises(httpx.ReadTimeout):
        client.post(CONTACTS, json=NEW, timeout=0.5)
    assert "new@example.com" in addresses(client)


def test_a_late_answer_comes_to_who_can_wait(connect, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(kind="latency", seconds=0.01))
    assert connect(sandbox, sandbox.portals[0].token).get(CONTACTS).status_code == 200


def test_a_status_comes_on_request_for_unknown_tokens_too(connect, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(kind="status", status=502))
    assert connect(sandbox, None).get(CONTACTS).status_code == 502


def test_latencies_add_up_and_come_with_the_other_faults(sandbox: Sandbox) -> None:
    for seconds in (0.5, 0.25):
        sandbox.faults.add(Fault(kind="latency", seconds=seconds))
    sandbox.faults.add(Fault(kind="status", status=503))
    reply = sandbox.handle(ask(sandbox, CONTACTS))
    assert (reply.delay, reply.status) == (0.75, 503)


def test_a_fault_hits_its_portal_method_and_path_only(sandbox: Sandbox) -> None:
    one, other = sandbox.portals[:2]
    sandbox.faults.add(
        Fault(kind="status", status=500, portal_id=one.portal_id, method="GET", path="/crm/")
    )
    hit = [
        sandbox.handle(ask(sandbox, path, method=method, token=portal.token)).status == 500
        for portal, method, path in (
            (one, "GET", CONTACTS),
            (other, "GET", CONTACTS),
            (one, "PATCH", CONTACTS),
            (one, "GET", "/account-info/v3/details"),
        )
    ]
    assert hit == [True, False, False, False]


def test_faults_strike_in_order_and_use_themselves_up(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(kind="status", status=500, times=2))
    sandbox.faults.add(Fault(kind="status", status=503, times=1))
    assert statuses(sandbox, 4) == [500, 500, 503, 200]
    assert sandbox.faults.armed() == ()
    sandbox.faults.add(Fault(kind="status", status=500))
    sandbox.faults.clear()
    assert statuses(sandbox, 1) == [200]


@given(seed=st.integers(0, 1000), probability=st.floats(0, 1))
def test_a_probable_fault_falls_the_same_way_for_the_same_seed(
    seed: int, probability: float
) -> None:
    drawn = []
    for _ in range(2):
        sandbox = Sandbox(portals=1, seed=seed, contacts=0)
        sandbox.faults.add(Fault(kind="status", status=500, probability=probability))
        drawn.append(statuses(sandbox, 20))
    assert drawn[0] == drawn[1]
    assert probability not in (0, 1) or set(drawn[0]) == {500 if probability else 200}


def test_a_fault_hits_one_route_in_old_and_dated_paths_whatever_it_names_its_values(
    sandbox: Sandbox,
) -> None:
    sandbox.faults.add(Fault(kind="status", status=500, route="get /crm/objects/{any}/{id}"))
    hit = [
        sandbox.handle(ask(sandbox, path, method=method)).status == 500
        for method, path in (
            ("GET", "/crm/v3/objects/contacts/101"),
            ("GET", f"{CONTACTS}/101"),
            ("PATCH", f"{CONTACTS}/101"),
            ("GET", CONTACTS),
            ("GET", "/crm/v3/objects/deals/7"),
        )
    ]
    assert hit == [True, True, False, False, True]


def test_a_route_without_a_method_is_hit_by_all(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(kind="status", status=500, route="/crm/objects/{type}"))
    found = [sandbox.handle(ask(sandbox, CONTACTS, method=m)).status for m in ("GET", "POST")]
    assert found == [500, 500]


@pytest.mark.parametrize("by", ["portal_id", "client_slug"])
def test_a_fault_hits_a_portal_by_its_id_or_its_slug(sandbox: Sandbox, by: str) -> None:
    one, other = sandbox.portals[:2]
    sandbox.faults.add(Fault(kind="status", status=500, portal=getattr(one, by)))
    asked = [ask(sandbox, CONTACTS, token=portal.token) for portal in (one, other)]
    assert [sandbox.handle(request).status for request in asked] == [500, 200]
    assert sandbox.handle(Request.parse("GET", CONTACTS)).status == 401


def test_a_fault_holds_from_one_time_until_another(sandbox: Sandbox) -> None:
    now = sandbox.clock.now()
    window = {"since": now + timedelta(seconds=10), "until": now + timedelta(seconds=20)}
    sandbox.faults.add(Fault(kind="status", status=500, **window))
    found = []
    for _ in range(4):
        found += statuses(sandbox, 1)
        sandbox.clock.advance(9.999 if len(found) == 2 else 10)
    assert found == [200, 500, 500, 200]


def test_calls_that_another_fault_struck_are_counted_too(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(kind="status", status=500, times=2))
    sandbox.faults.add(Fault(kind="status", status=503, after=3, times=1))
    assert statuses(sandbox, 5) == [500, 500, 200, 503, 200]


@given(after=st.integers(0, 12), times=st.integers(1, 3))
def test_so_many_matching_calls_pass_and_then_so_many_fail(after: int, times: int) -> None:
    sandbox = Sandbox(portals=1, contacts=0)
    sandbox.faults.add(Fault(kind="status", status=500, after=after, times=times, method="GET"))
    sandbox.handle(ask(sandbox, CONTACTS, method="POST"))  # is not among them
    assert statuses(sandbox, 17) == [200] * after + [500] * times + [200] * (17 - after - times)


def test_one_portals_draws_do_not_depend_on_anothers_calls() -> None:
    drawn = []
    for others in (0, 7):
        sandbox = Sandbox(portals=2, contacts=0)
        sandbox.faults.add(Fault(kind="status", status=500, probability=0.5))
        for _ in range(others):
            sandbox.handle(ask(sandbox, CONTACTS, token=sandbox.portals[1].token))
        drawn.append(statuses(sandbox, 20))
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {200, 500}


def delays(calls: int = 200, **words) -> list[float]:
    sandbox = Sandbox(portals=1, contacts=0)
    sandbox.faults.add(Fault(kind="latency", **words))
    return [sandbox.handle(ask(sandbox, "/nowhere")).delay for _ in range(calls)]


def test_latencies_are_fixed_or_drawn_the_same_way_every_time() -> None:
    assert set(delays(5, seconds=0.25)) == {0.25}
    for shape in ("uniform", "normal", "lognormal"):
        drawn = delays(seconds=2.0, spread=0.5, distribution=shape)
        assert drawn == delays(seconds=2.0, spread=0.5, distribution=shape)
        assert len(set(drawn)) == 200
        assert 1.8 < statistics.median(drawn) < 2.2


def test_a_uniform_latency_stays_within_its_spread() -> None:
    drawn = delays(seconds=2.0, spread=0.5, distribution="uniform")
    assert 1.5 <= min(drawn) < 1.6
    assert 2.4 < max(drawn) <= 2.5


def test_a_normal_latency_is_never_negative_and_a_lognormal_one_has_a_tail() -> None:
    normal = delays(seconds=0.1, spread=1.0, distribution="normal")
    assert min(normal) == 0
    lognormal = delays(seconds=0.1, spread=1.0, distribution="lognormal")
    assert min(lognormal) > 0
    assert max(lognormal) > 5 * statistics.median(lognormal)


def rules() -> st.SearchStrategy[Fault]:
    return st.builds(
        Fault,
        kind=st.sampled_from(["status"]),
        status=st.integers(400, 599),
        portal=st.none() | st.integers(1, 9) | st.text("abc-", max_size=5),
        since=st.none() | st.datetimes(timezones=st.just(UTC)),
        scopes=st.lists(st.text("abc.", min_size=1)).map(tuple),
        retry_after=st.none() | st.integers(0, 99) | st.floats(0, 99),
        after=st.integers(0, 9),
        times=st.none() | st.integers(1, 9),
        probability=st.floats(0, 1),
        effect=st.booleans(),
        form=st.sampled_from([None, "json", "html", "empty"]),
    )


@given(fault=rules())
def test_what_is_shown_of_a_fault_makes_the_same_one_from_json(fault: Fault) -> None:
    assert fault_from(json.loads(json.dumps(fault_shown(fault)))) == fault


def test_words_are_understood_in_both_spellings() -> None:
    content = {"kind": "status", "status": 429, "retryAfter": 1, "portalId": 7}
    other = {"kind": "status", "status": 429, "retry_after": 1, "portal_id": 7}
    assert fault_from(content) == fault_from(other)
    assert fault_shown(fault_from(other)) == content


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "flood"},
        {"kind": "status"},
        {"kind": "status", "status": 200},
        {"kind": "latency", "seconds": -1},
        {"kind": "latency", "seconds": float("inf")},
        {"kind": "latency", "seconds": "long"},
        {"kind": "burst", "probability": 2},
        {"kind": "burst", "probability": float("nan")},
        {"kind": "burst", "times": 0},
        {"kind": "burst", "path": 7},
        {"kind": "burst", "portal_id": "7"},
        {"kind": "burst", "portal_id": True},
        {"kind": "burst", "status": 429},
        {"kind": "burst", "after": -1},
        {"kind": "burst", "since": datetime.fromisoformat("2026-01-01")},
        {"kind": "burst", "until": "2026-01-01"},
        {"kind": "latency", "seconds": 1e9},
        {"kind": "latency", "spread": -1},
        {"kind": "latency", "spread": 6, "distribution": "lognormal"},
        {"kind": "latency", "distribution": "flat"},
        {"kind": "drop_after", "seconds": 1},
        {"kind": "redirect", "status": 200},
        {"kind": "redirect", "location": "/a\r\nSet-Cookie: b"},
        {"kind": "status", "status": 429, "marker": "both"},
        {"kind": "status", "status": 429, "retry_after": "soon", "as_date": True},
        {"kind": "status", "status": 429, "retry_after": float("nan")},
        {"kind": "status", "status": 488, "hublet": "e\nu"},
        {"kind": "status", "status": 403, "scopes": (1,)},
        {"kind": "headers"},
        {"kind": "headers", "oddity": "rude"},
        {"kind": "truncated", "keep": -1},
        {"kind": "lag", "effect": True},
        {"kind": "lag"},
        {"kind": "latency"},
        {"kind": "slow_body"},
        {"kind": "burst", "method": "FETCH"},
        {"kind": "burst", "route": "FETCH /crm/objects/{type}"},
        {"kind": "burst", "path": "crm/"},
        {"kind": "status", "status": 503, "policy": "DAILY"},
        {"kind": "status", "status": 429, "policy": "daily limit"},
        {"kind": "status", "status": 503, "marker": "none"},
        {"kind": "status", "status": 429, "hublet": "eu1"},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(rule: dict) -> None:
    with pytest.raises(SandboxError, match="nothing was added"):
        Fault(**rule)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"kind": "status", "status": "503"}, "status must be a whole number"),
        ({"kind": "burst", "path": 7}, "path must be text"),
        ({"kind": "burst", "probability": "high"}, "probability must be a number"),
        ({"kind": "status", "status": 503, "as_date": 1}, "as_date must be true or false"),
        ({"kind": "burst", "portal": 7.5}, "portal must be a client slug or a portal id"),
        ({"kind": "burst", "since": "noon"}, "since must be a time"),
        ({"kind": "status", "status": 403, "scopes": "a"}, "scopes must be a list of names"),
        ({"kind": "burst", "retry_after": "\n"}, "retry_after cannot be sent"),
        ({"kind": "drop_after", "seconds": 1}, "means nothing to kind drop_after"),
    ],
)
def test_a_word_that_is_wrong_is_told_what_it_must_be(rule: dict, why: str) -> None:
    with pytest.raises(SandboxError) as raised:
        Fault(**rule)
    assert why in str(raised.value)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"portal": "acme"}, "no portal 'acme'; nothing was added. Close to it: acme-corp"),
        ({"portal": 7}, "no portal 7; nothing was added"),
        (
            {"route": "GET /crm/v3/objects/{type}"},
            "no route 'GET /crm/v3/objects/{type}'; nothing was added. "
            "Leave the version out: /crm/objects/{type}.",
        ),
        (
            {"route": "/crm/objects/2026-09/{type}/{id}"},
            "Leave the version out: /crm/objects/{type}/{id}.",
        ),
        ({"route": "/crm/object/{type}"}, "Close to it: /crm/objects/{type}"),
        ({"route": "/crm/lists", "path": "/crm/v3/objects"}, "fits nothing"),
    ],
)
def test_a_rule_that_no_call_can_meet_is_refused_and_a_better_one_is_named(
    sandbox: Sandbox, rule: dict, why: str
) -> None:
    with pytest.raises(SandboxError) as raised:
        sandbox.faults.add(Fault("burst", **rule))
    assert why in str(raised.value)
    assert len(sandbox.faults) == 0


def test_a_method_is_understood_in_any_letters(sandbox: Sandbox) -> None:
    fault = Fault("burst", method="get")
    assert fault == Fault("burst", method="GET")
    sandbox.faults.add(fault)
    assert statuses(sandbox, 1) == [429]


def test_a_policy_may_have_a_name_that_nobody_has_seen(sandbox: Sandbox) -> None:
    """Facts 3.3: HubSpot's set of names is open. An assumption."""
    sandbox.faults.add(Fault("status", status=429, policy="HOURLY_2"))
    reply = sandbox.handle(ask(sandbox, CONTACTS))
    assert json.loads(reply.body)["policyName"] == "HOURLY_2"


@pytest.mark.parametrize(
    ("spell", "after", "from_"),
    [
        (in_json, "retryAfter", "from"),
        (in_toml, "retry_after", "from"),
        (str, "retry_after", "since"),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_where_the_rule_comes_from(
    spell: Callable[[str], str], after: str, from_: str
) -> None:
    with pytest.raises(SandboxError, match=f"A fault's {after} must be a finite number"):
        fault_from({"kind": "status", "status": 429, "retry_after": float("inf")}, spell=spell)
    with pytest.raises(SandboxError) as raised:
        fault_from({"kind": "burst", "seconds": 7}, spell=spell)
    assert {after, from_} <= set(re.findall(r"\w+", raised.value.hint))


def test_the_help_on_a_fault_explains_every_word_and_its_values() -> None:
    told = pydoc.plain(pydoc.render_doc(Fault)).partition("A rule:")[2].partition("Methods")[0]
    words = set(re.findall(r"\w+", told))
    assert {field.name for field in fields(Fault)} - {"kind"} <= words
    for values in (FaultKind, Oddity, Form, Marker, Distribution):
        assert set(get_args(values)) <= words


def ask(sandbox: Sandbox, path: str, *, method: str = "GET", token: str = "") -> Request:
    headers = [("authorization", f"Bearer {token or sandbox.portals[0].token}")]
    return Request.parse(method, path, headers=headers)


def statuses(sandbox: Sandbox, calls: int) -> list[int]:
    return [sandbox.handle(ask(sandbox, CONTACTS)).status for _ in range(calls)]
