"""The control API: what engineers do to a sandbox from another process; nothing is HubSpot's."""

import json
import pydoc
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from hsagency.sandbox import Sandbox, SandboxServer, serve
from hsagency.sandbox.serving.ledger_file import LedgerFile

CONTACTS = "/crm/objects/2026-09/contacts"


@pytest.fixture
def server(sandbox: Sandbox) -> Iterator[SandboxServer]:
    with serve(sandbox) as running:
        yield running


@pytest.fixture
def control(server: SandboxServer, over_a_socket):
    client = over_a_socket(server.sandbox, None)
    client.base_url = f"{server.url}/_sandbox/"
    client.headers["X-Sandbox-Key"] = server.control_key
    return client


@pytest.mark.parametrize("key", [None, "", "guess", "gu\u00e9ss"])
def test_without_the_key_nothing_is_said_or_done(control, sandbox: Sandbox, key) -> None:
    del control.headers["X-Sandbox-Key"]
    headers = {} if key is None else {"X-Sandbox-Key": key.encode("latin-1")}
    for method, path in (("GET", "portals"), ("POST", "faults"), ("GET", "nonsense")):
        answer = control.request(method, path, headers=headers, json={"kind": "burst"})
        assert answer.status_code == 403
    assert len(sandbox.faults) == 0


def test_every_server_has_a_key_of_its_own(sandbox: Sandbox) -> None:
    with serve(sandbox) as one, serve(sandbox) as other:
        assert one.control_key != other.control_key


def test_portals_are_listed_without_their_tokens(control, sandbox: Sandbox) -> None:
    answer = control.get("portals")
    listed = [(p["portalId"], p["clientSlug"]) for p in answer.json()["portals"]]
    assert listed == [(p.portal_id, p.client_slug) for p in sandbox.portals]
    assert "pat-" not in answer.text


def test_faults_are_added_listed_and_dropped(control, server, over_a_socket) -> None:
    portal = server.sandbox.portals[0]
    rule = {"kind": "status", "status": 503, "portalId": portal.portal_id, "times": 5}
    assert control.post("faults", json=rule).status_code == 201
    client = over_a_socket(server.sandbox, portal.token)
    assert client.get(CONTACTS).status_code == 503
    (armed,) = control.get("faults").json()["faults"]
    assert armed.items() >= {**rule, "times": 4}.items()
    assert control.delete("faults").status_code == 204
    assert client.get(CONTACTS).status_code == 200


def test_the_clock_is_read_advanced_and_set(control, sandbox: Sandbox) -> None:
    start = sandbox.clock.now()
    assert control.get("clock").json() == {"now": start.isoformat(), "speed": 0}
    control.post("clock", json={"advance": 90})
    assert (sandbox.clock.now() - start).total_seconds() == 90
    control.post("clock", json={"set": "2026-11-01T00:00:00-05:00"})
    assert sandbox.clock.now() == datetime.fromisoformat("2026-11-01T05:00:00+00:00")


def test_the_clock_is_made_to_run_and_to_stand_still(control, sandbox: Sandbox) -> None:
    assert control.post("clock", json={"speed": 3600}).json()["speed"] == 3600
    first = sandbox.clock.now()
    assert sandbox.clock.now() > first
    stopped = control.post("clock", json={"speed": 0}).json()
    assert stopped["speed"] == 0
    assert control.get("clock").json() == stopped


def test_tokens_are_revoked_and_rotated(control, server, over_a_socket) -> None:
    portal = server.sandbox.portals[0]
    first = over_a_socket(server.sandbox, portal.token)
    fresh = control.post(
        "tokens/rotate", json={"portalId": portal.portal_id, "expireIn": 60}
    ).json()["token"]
    second = over_a_socket(server.sandbox, fresh)
    assert [first.get(CONTACTS).status_code, second.get(CONTACTS).status_code] == [200, 200]
    server.sandbox.clock.advance(60)
    assert [first.get(CONTACTS).status_code, second.get(CONTACTS).status_code] == [401, 200]
    control.post("tokens/revoke", json={"portalId": portal.portal_id})
    assert second.get(CONTACTS).status_code == 401


def test_scopes_and_usage_are_set(control, server, over_a_socket) -> None:
    portal = server.sandbox.portals[0]
    client = over_a_socket(server.sandbox, portal.token)
    control.post("scopes", json={"portalId": portal.portal_id, "scopes": []})
    assert client.get(CONTACTS).status_code == 403
    control.post("usage", json={"portalId": portal.portal_id, "calls": 10**6})
    assert client.get(CONTACTS).json()["policyName"] == "DAILY"


def test_the_ledger_counts_what_each_portal_received(control, server, over_a_socket) -> None:
    portal = server.sandbox.portals[1]
    client = over_a_socket(server.sandbox, portal.token)
    client.get(CONTACTS)
    client.get(f"{CONTACTS}/7")
    over_a_socket(server.sandbox, "pat-na1-nobody").get(CONTACTS)
    ledger = control.get("ledger").json()
    assert ledger["unknownToken"] == {"401": 1}
    assert [p["byStatus"] for p in ledger["portals"]] == [{}, {"200": 1, "404": 1}, {}]


def pages(control, **query: int) -> list[dict[str, object]]:
    """Return a ledger's entries as another process reads them, page by page."""
    found: list[dict[str, object]] = []
    more = True
    while more:
        answer = control.get("ledger/entries", params=query | {"after": len(found)}).json()
        found += answer["entries"]
        more = answer["more"]
        assert answer["after"] == len(found)
    return found


def test_the_ledger_is_read_entry_by_entry_as_its_file_has_it(
    control, server, over_a_socket, tmp_path: Path
) -> None:
    portal, path = server.sandbox.portals[1], tmp_path / "calls.jsonl"
    with LedgerFile(path) as ledger:
        server.sandbox.watch(ledger.write)
        client = over_a_socket(server.sandbox, portal.token)
        for number in range(7):
            client.get(CONTACTS, params={"limit": number, "hapikey": "secret-1"})
        client.get(f"{CONTACTS}/{portal.token}", params={"q": f"of {portal.token}"})
        over_a_socket(server.sandbox, None).get(CONTACTS)
    written = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    mine = [line for line in written if line["portalId"] == portal.portal_id]
    assert len(mine) == 8
    assert pages(control, portalId=portal.portal_id, limit=3) == mine
    assert pages(control, portalId=portal.portal_id) == mine
    assert pages(control) == [line for line in written if line["portalId"] is None]
    said = control.get("ledger/entries", params={"portalId": portal.portal_id}).text
    assert "secret-1" not in said
    assert portal.token not in said


def test_who_has_read_a_ledger_to_its_end_goes_on_from_there(
    control, server, over_a_socket
) -> None:
    portal = server.sandbox.portals[0]
    client, query = over_a_socket(server.sandbox, portal.token), {"portalId": portal.portal_id}
    client.get(CONTACTS)
    first = control.get("ledger/entries", params=query).json()
    client.get(f"{CONTACTS}/7")
    (entry,) = control.get("ledger/entries", params=query | {"after": first["after"]}).json()[
        "entries"
    ]
    (_, held) = server.sandbox.ledger(portal.portal_id)
    assert (entry["correlationId"], entry["status"]) == (held.correlation_id, 404)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"portalId": 7}, "The sandbox has no portal 7."),
        ({"portal": "acme"}, "The sandbox has no portal 'acme'. Close to it: acme-corp."),
        (
            {"portal": "acme-corp", "portalId": 20195990},
            "One portal must be named, by its client slug or its id; nothing was changed. "
            'For example {"portal": "acme-corp"}.',
        ),
        ({"after": -1}, "after must be a whole number; nothing was changed."),
        ({"limit": 501}, "limit must be from 1 to 500, not 501."),
        (
            {"hub": 7},
            "This call knows no hub; nothing was changed. Known: portal, portalId, after, limit.",
        ),
    ],
)
def test_a_ledger_that_cannot_be_read_is_explained_once(control, query, why: str) -> None:
    answer = control.get("ledger/entries", params=query)
    assert (answer.status_code, answer.json()) == (400, {"error": why})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", "{"),
        ("faults", "[]"),
        ("faults", "{}"),
        ("faults", '{"kind": "burst", "color": "red"}'),
        ("faults", '{"kind": "burst", "path": 7}'),
        ("clock", "{}"),
        ("clock", '{"advance": "far"}'),
        ("clock", '{"advance": Infinity}'),
        ("clock", '{"advance": 1e300}'),
        ("clock", '{"set": "2026-11-01T00:00:00"}'),
        ("clock", '{"set": "9999-12-31T23:59:59-12:00"}'),
        ("clock", '{"set": 7}'),
        ("clock", '{"speed": -1}'),
        ("clock", '{"speed": 1, "advance": 1}'),
        ("tokens/revoke", '{"portalId": 7}'),
        ("tokens/rotate", '{"portalId": "7"}'),
        ("tokens/rotate", '{"portalId": 20195990, "expireIn": -1}'),
        ("scopes", '{"portalId": 20195990, "scopes": "oauth"}'),
        ("scopes", '{"portal": "acme-corp", "scopes": ["nonsense"]}'),
        ("scopes", '{"portal": "nobody", "scopes": []}'),
        ("scopes", '{"portal": true, "scopes": []}'),
        ("scopes", '{"scopes": []}'),
        ("usage", '{"portalId": 20195990, "calls": -1}'),
    ],
)
def test_a_bad_request_is_explained_and_changes_nothing(
    control, sandbox: Sandbox, path: str, body: str
) -> None:
    assert sandbox.portals[0].portal_id == 20195990
    before = (sandbox.clock.now(), sandbox.portals, sandbox.faults.armed())
    answer = control.post(path, content=body)
    assert (answer.status_code, bool(answer.json()["error"])) == (400, True)
    assert before == (sandbox.clock.now(), sandbox.portals, sandbox.faults.armed())


def test_the_control_api_is_not_part_of_the_simulated_hubspot(inside, sandbox: Sandbox) -> None:
    assert inside(sandbox, None).get("/_sandbox/portals").status_code == 401


def test_an_unknown_control_call_is_404_and_says_where_the_list_is(control) -> None:
    answer = control.get("secrets")
    assert answer.status_code == 404
    assert "no call secrets. GET /_sandbox/ lists" in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [("PUT", "faults", "GET or POST or DELETE"), ("GET", "tokens/rotate", "POST")],
)
def test_a_control_call_with_a_wrong_method_is_405_and_says_the_right_one(
    control, method: str, path: str, right: str
) -> None:
    answer = control.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, right.replace(" or ", ", "))
    assert answer.json()["error"] == f"/_sandbox/{path} is asked with {right}, not with {method}."


def test_the_control_api_lists_its_calls(control, server) -> None:
    calls = control.get("").json()["calls"]
    bare = control.get(f"{server.url}/_sandbox")
    assert bare.json()["calls"] == calls
    assert server.sandbox.ledger(None) == ()
    rotate = {"portal": "acme-corp", "later": True}
    assert [call["body"] for call in calls if call["path"] == "tokens/rotate"] == [rotate]


def test_every_listed_control_call_works_as_its_example_says(control, sandbox: Sandbox) -> None:
    """What an example names is made first where nothing else makes it."""
    left = sandbox.remove_user("acme-corp")
    sandbox.register_app("Reader", redirect_uris=["http://localhost/"], client_id="reader")
    known = {"userId": left, "accessToken": sandbox.install("reader", "beta-inc").access_token}
    calls = control.get("").json()["calls"]
    for call in sorted(calls, key=lambda one: one["path"] == "apps/uninstall"):
        if call["path"] == "tokens/expire":
            sandbox.rotate("acme-corp", later=True)
        body = {word: known.get(word, value) for word, value in call.get("body", {}).items()}
        answer = control.request(
            call["method"], call["path"], params=call.get("query"), json=body or None
        )
        assert answer.is_success, (call, answer.text)


def test_the_help_on_the_control_api_names_every_call(control) -> None:
    told = pydoc.plain(pydoc.render_doc("hsagency.sandbox.control"))
    for call in control.get("").json()["calls"]:
        assert re.search(rf"{call['method']} +{call['path'] or '/'}( |$)", told, re.MULTILINE), call


def portal_of(server: SandboxServer) -> int:
    return server.sandbox.portals[0].portal_id


def test_a_rotation_is_begun_cancelled_and_ended_by_control_calls(
    control, server, over_a_socket
) -> None:
    portal_id, old = portal_of(server), server.sandbox.portals[0].token
    rotation = {"portalId": portal_id, "later": True}

    def statuses(*tokens: str) -> list[int]:
        return [over_a_socket(server.sandbox, token).get(CONTACTS).status_code for token in tokens]

    fresh = control.post("tokens/rotate", json=rotation).json()["token"]
    assert statuses(old, fresh) == [200, 200]
    kept = control.post("tokens/cancel", json={"portalId": portal_id}).json()
    assert kept["token"] == old
    assert statuses(old, fresh) == [200, 401]
    second = control.post("tokens/rotate", json=rotation).json()["token"]
    assert control.post("tokens/expire", json={"portalId": portal_id}).status_code == 200
    assert statuses(old, second) == [401, 200]
    assert "rotation" in control.post("tokens/expire", json={"portalId": portal_id}).json()["error"]


def test_credentials_are_issued_and_revealed_by_control_calls(
    control, server, over_a_socket
) -> None:
    portal_id = portal_of(server)
    body = {"portalId": portal_id, "kind": "static_app", "scopes": ["forms"]}
    made = control.post("tokens/issue", json=body).json()
    held = server.sandbox.portals[0].credential
    assert made == {"portalId": portal_id, "appId": held.app_id, "token": held.token}
    assert (held.kind, held.scopes) == ("static_app", {"forms", "oauth"})
    control.post("tokens/issue", json={"portalId": portal_id})
    named = {"portalId": portal_id, "appId": held.app_id}
    assert control.post("tokens/reveal", json=named).json()["token"] == held.token
    control.post("tokens/revoke", json=named)
    assert over_a_socket(server.sandbox, held.token).get(CONTACTS).status_code == 401


def test_portals_are_suspended_and_users_removed_by_control_calls(
    control, server, over_a_socket
) -> None:
    portal_id = portal_of(server)
    token = control.post("tokens/issue", json={"portalId": portal_id}).json()["token"]
    client = over_a_socket(server.sandbox, token)
    control.post("portals/suspend", json={"portalId": portal_id, "status": 401})
    assert client.get(CONTACTS).status_code == 401
    control.post("portals/unsuspend", json={"portalId": portal_id})
    assert client.get(CONTACTS).status_code == 200
    left = control.post("users/remove", json={"portalId": portal_id}).json()
    assert client.get(CONTACTS).json()["category"] == "USER_DOES_NOT_HAVE_PERMISSIONS"
    control.post("users/restore", json=left)
    assert client.get(CONTACTS).status_code == 200


def test_an_account_is_changed_by_a_control_call(control, server, sandbox: Sandbox) -> None:
    changes = {
        "name": "Acme Holding",
        "accountType": "SANDBOX",
        "tier": "starter",
        "timeZone": "Asia/Kolkata",
        "currency": "INR",
        "additionalCurrencies": ["EUR"],
        "addOns": 2,
        "portalNames": False,
        "usageStatus": "CACHED",
        "newerRefusals": True,
        "searchHeaders": True,
        "hublet": "eu1",
    }
    assert control.post(
        "portals/alter", json={"portalId": portal_of(server), **changes}
    ).json() == {"portalId": portal_of(server)}
    portal = sandbox.portals[0]
    assert (portal.name, portal.account_type, portal.tier) == ("Acme Holding", "SANDBOX", "starter")
    assert (portal.time_zone, portal.currency, portal.add_ons) == ("Asia/Kolkata", "INR", 2)
    assert portal.additional_currencies == ("EUR",)
    assert (portal.portal_names, portal.usage_status) == (False, "CACHED")
    assert (portal.newer_refusals, portal.search_headers, portal.hublet) == (True, True, "eu1")


def test_other_apps_are_let_in_and_each_portals_day_is_told(control, server) -> None:
    portal_id = portal_of(server)
    body = {"portalId": portal_id, "callsPerDay": 48_000, "shape": "flat", "kind": "static_app"}
    day = control.post("others", json=body).json()
    assert day["theirs"] > 0
    assert day["ours"] + day["theirs"] + day["left"] == day["limit"] == 625_000
    days = control.get("usage").json()["portals"]
    assert [one["portalId"] for one in days] == [p.portal_id for p in server.sandbox.portals]
    assert days[0] == day
    assert day["resetsAt"].endswith("Z")


def test_events_that_no_list_has_are_noted_by_a_control_call(
    control, server, over_a_socket
) -> None:
    """Facts 1.3: the types of security events are an open set; who reads them must not fail."""
    portal = server.sandbox.portals[0]
    client = over_a_socket(server.sandbox, portal.token)
    user = portal.credential.user_id
    for body in (
        {"event": "SERVICE_KEY_AUTO_ROTATE", "objectId": "77"},
        {"event": "QUANTUM_KEY_ENTANGLED", "userId": user},
    ):
        answer = control.post("activity/note", json={"portalId": portal.portal_id, **body})
        assert answer.json() == {"portalId": portal.portal_id}
        server.sandbox.clock.advance(1)
    newest, older = client.get("/account-info/v3/activity/security").json()["results"][:2]
    assert (newest["type"], newest["userId"]) == ("QUANTUM_KEY_ENTANGLED", user)
    assert (older["type"], older["objectId"]) == ("SERVICE_KEY_AUTO_ROTATE", "77")


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("activity/note", {}, "event must be a text"),
        ("activity/note", {"event": "a b"}, "is no name of an event"),
        ("activity/note", {"event": "X", "objectId": 7}, "objectId must be a text"),
        ("tokens/issue", {"kind": "oauth"}, "install an app"),
        ("tokens/issue", {"kind": ["x"]}, "cannot be issued"),
        ("tokens/issue", {"scopes": [7]}, "scopes must be a list of names"),
        ("tokens/issue", {"scope": []}, "knows no scope"),
        ("tokens/reveal", {"appId": "7"}, "appId must be a whole number"),
        ("tokens/reveal", {"appId": 7}, "has no app 7"),
        ("tokens/rotate", {"later": "yes"}, "later must be true or false"),
        ("tokens/rotate", {"expireIn": "now"}, "expireIn must be a number"),
        ("tokens/expire", {}, "No rotation is under way"),
        ("tokens/cancel", {}, "No rotation is under way"),
        ("users/restore", {"userId": 7}, "has not left"),
        ("users/restore", {}, "userId must be a whole number"),
        ("portals/suspend", {"status": 500}, "401 or 403"),
        ("portals/alter", {}, "Nothing to change"),
        ("portals/alter", {"clientSlug": "acme"}, "knows no clientSlug"),
        ("portals/alter", {"hublet": "Mars"}, "name of a data centre"),
        ("portals/alter", {"tier": "free"}, "one of starter"),
        ("portals/alter", {"tier": []}, "one of starter"),
        ("portals/alter", {"additionalCurrencies": "EUR"}, "must be a list of names"),
        ("others", {}, "callsPerDay must be a whole number"),
        ("others", {"callsPerDay": 5, "shape": "round"}, "shapes: office, flat"),
        ("others", {"callsPerDay": 5, "kind": {}}, "Kinds: "),
        ("usage", {"calls": None}, "calls must be a whole number"),
    ],
)
def test_an_impossible_step_on_a_screen_is_explained(
    control, server, path: str, body, words: str
) -> None:
    before = server.sandbox.portals
    answer = control.post(path, json={"portalId": portal_of(server), **body})
    assert answer.status_code == 400
    assert answer.json()["error"].count(words) == 1
    assert server.sandbox.portals == before


def test_an_error_says_what_happened_and_what_to_do_once(control, server) -> None:
    body = {"portalId": portal_of(server), "kind": "oauth"}
    assert control.post("tokens/issue", json=body).json() == {
        "error": "A credential of the kind 'oauth' cannot be issued; nothing was made. Issue a "
        "private_app, service_key or static_app; install an app for OAuth."
    }
    assert control.post("faults", json={"kind": "status", "status": 200}).json() == {
        "error": "A fault's status must be from 400 to 599; nothing was added."
    }
    assert control.post("clock", json={"set": "noon"}).json() == {
        "error": "The clock was not set: the time cannot be read. "
        "Write it as 2026-11-01T05:00:00+00:00."
    }


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("clock", {"advance": 10**400}),
        ("clock", {"speed": 10**400}),
        ("usage", {"portalId": 1, "calls": 10**400}),
    ],
)
def test_the_control_api_takes_no_number_beyond_those_of_json(
    sandbox: Sandbox, call: str, body: dict[str, int]
) -> None:
    with serve(sandbox) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        headers = {"X-Sandbox-Key": server.control_key}
        answer = client.post(f"/_sandbox/{call}", json=body, headers=headers)
    assert answer.status_code == 400
    assert "must be a" in answer.json()["error"]
