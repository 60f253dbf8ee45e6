"""What somebody who means harm, or a defect of the sandbox's own, can do to it: not much."""

from __future__ import annotations

import hashlib
import hmac
import json
import resource
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE
from threading import Event
from urllib.parse import parse_qsl, quote, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.errors import SandboxError
from hsagency.sandbox import Fault, LedgerEntry, Reply, Request, Sandbox, serve
from hsagency.sandbox.api import ROUTES
from hsagency.sandbox.contents.list_folders import DEPTH_MAX
from hsagency.sandbox.control.fault_files import read_faults
from hsagency.sandbox.oauth.grants import Challenge
from hsagency.sandbox.redaction import HIDDEN, open_path, open_query
from hsagency.sandbox.serving.conversation import Conversation
from hsagency.sandbox.serving.ledger_file import LedgerFile
from hsagency.sandbox.serving.running import run
from hsagency.sandbox.serving.server import CONNECTIONS_MAX
from hsagency.sandbox.wire import ApiError, decode, encode
from tests.sandbox.apps import CALLBACK, READ, Developer
from tests.sandbox.asking import Asking
from tests.sandbox.conftest import NOON

ROOT = Path(__file__).resolve().parents[2]
CONTACTS = "/crm/objects/2026-09/contacts"
NUMBER = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
SECRETS = (f"pat-na1-{NUMBER}", f"PAT-EU1-{NUMBER}", f"na1-{NUMBER}", "C" + "Ab3-_" * 40)


def asked(sandbox: Sandbox, target: str, *, method: str = "GET", token: str | None = None) -> None:
    """Send one request; without a token as the first portal."""
    bearer = sandbox.portals[0].token if token is None else token
    headers = [("authorization", f"Bearer {bearer}")]
    sandbox.handle(Request.parse(method, target, headers=headers))


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "target",
    [
        "/{}",
        "/x/{}/y",
        "/a%2F{}",
        "/x?tokenKey={}",
        "/x?q={}",
        "/x?{}",
        "/x?a={}%20b",
        "/x?redirect_uri=http%3A%2F%2Flocalhost%2F%3Fcode%3D{}",
        "/oauth/v1/access-tokens/{}",
        "/oauth/authorize?state={}",
        CONTACTS + "/{}",
        CONTACTS + "/101?after={}",
    ],
)
@pytest.mark.parametrize("token", [None, "", "pat-na1-unknown"])
def test_no_ledger_holds_a_credential_wherever_it_was_sent(
    sandbox: Sandbox, tmp_path: Path, target: str, secret: str, token: str | None
) -> None:
    path = tmp_path / "calls.jsonl"
    with LedgerFile(path) as file:
        sandbox.watch(file.write)
        for word in (secret, quote(secret), secret.replace("-", "%2D"), quote(quote("/" + secret))):
            asked(sandbox, target.format(word), token=token)
    entries = (*sandbox.ledger(sandbox.portals[0].portal_id), *sandbox.ledger(None))
    kept = repr(entries) + path.read_text("utf-8")
    assert len(entries) == 4
    assert HIDDEN in kept
    assert secret[8:30].lower() not in kept.lower().replace("%2d", "-")


@pytest.mark.parametrize(
    "query",
    [
        "tokenKey=s3", "key=s3", "Authorization=Bearer%20s3", "q=bearer%20s3",
        "encodedOAuthRefreshToken=s3", "client-secret=s3", "CODE=s3", "%63ode=s3", "%2563ode=s3",
        "redirect_uri=http%3A%2F%2Flocalhost%2Fcb%3Fa%3Db%26code%3Ds3", "q=s3",
    ],
)  # fmt: skip
def test_a_secret_is_known_by_its_name(sandbox: Sandbox, query: str) -> None:
    asked(sandbox, f"/x?{query}")
    (entry,) = sandbox.ledger(sandbox.portals[0].portal_id)
    assert ("s3" in repr(entry.query)) == (query == "q=s3")


def test_a_token_for_a_method_is_hidden_too(sandbox: Sandbox) -> None:
    asked(sandbox, "/x", method=SECRETS[0])
    (entry,) = sandbox.ledger(sandbox.portals[0].portal_id)
    assert entry.method == HIDDEN


@given(
    path=st.lists(st.text("abz19-._~%2E", max_size=12)).map("/".join),
    query=st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9))).map(tuple),
)
def test_any_address_can_be_told_and_telling_twice_is_telling_once(path: str, query) -> None:
    assert open_path(open_path(path)) == open_path(path)
    assert open_query(open_query(query)) == open_query(query)


@pytest.mark.parametrize(
    "target",
    [
        f"{CONTACTS}/101",
        f"{CONTACTS}/jane%40example.com?idProperty=email",
        f"{CONTACTS}?limit=10&properties=firstname%2Clastname&after=151",
        f"/marketing/v3/forms/{NUMBER}",
    ],
)
def test_an_address_without_secrets_stays_as_it_is(target: str) -> None:
    request = Request.parse("GET", target)
    assert (open_path(request.path), open_query(request.query)) == (request.path, request.query)


class Unreadable(Mapping[str, str]):
    """Headers of a carrier that has a defect."""

    def __getitem__(self, name: str) -> str:
        raise RuntimeError("s3cret")

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def bearer(sandbox: Sandbox) -> dict[str, str]:
    return {"authorization": f"Bearer {sandbox.portals[0].token}"}


def test_a_defect_before_anything_is_known_is_a_500_and_in_the_strangers_ledger(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    reply = sandbox.handle(Request("GET", CONTACTS, headers=Unreadable()))
    (entry,) = sandbox.ledger(None)
    assert (entry.status, entry.sent, entry.fault) == (500, 500, "defect")
    assert json.loads(reply.body)["correlationId"] == entry.correlation_id
    assert "RuntimeError in test_hardening.py" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_defect_while_answering_is_a_500_and_in_the_portals_ledger(sandbox: Sandbox) -> None:
    reply = sandbox.handle(Request("POST", CONTACTS, headers=bearer(sandbox), body=("no bytes",)))
    (entry,) = sandbox.ledger(sandbox.portals[0].portal_id)
    assert (reply.status, entry.status, entry.fault) == (500, 500, "defect")
    assert entry.correlation_id == dict(reply.headers)["X-HubSpot-Correlation-Id"]


def test_a_defect_after_the_effect_leaves_an_entry_that_tells_both(sandbox: Sandbox) -> None:
    """What goes wrong with an answer does not take back what the call did."""
    fault = Fault(kind="malformed", body="x", path=CONTACTS, times=1)
    object.__setattr__(fault, "body", 7)  # no rule that is checked could spoil the damage
    sandbox.faults.add(fault)
    body = b'{"properties":{"email":"a@example.com"}}'
    reply = sandbox.handle(Request("POST", CONTACTS, headers=bearer(sandbox), body=body))
    (entry,) = sandbox.ledger(sandbox.portals[0].portal_id)
    assert (reply.status, entry.status, entry.sent, entry.fault) == (500, 201, 500, "defect")


def test_a_watcher_that_fails_costs_nobody_an_answer(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[LedgerEntry] = []

    def fail(_: int | None, __: LedgerEntry) -> None:
        raise RuntimeError("s3cret")

    sandbox.watch(fail)
    sandbox.watch(lambda _, entry: seen.append(entry))
    reply = sandbox.handle(Request("GET", CONTACTS, headers=bearer(sandbox)))
    assert reply.status == 200
    assert tuple(seen) == sandbox.ledger(sandbox.portals[0].portal_id)
    assert "A watcher missed a call" in caplog.text
    assert "s3cret" not in caplog.text


def test_half_a_character_in_a_rule_spoils_the_answer_and_nothing_else(connect, sandbox) -> None:
    """What JSON can say and UTF-8 cannot."""
    sandbox.faults.add(Fault(kind="malformed", body="\ud800{", path=CONTACTS, times=1))
    client = connect(sandbox, sandbox.portals[0].token)
    assert client.get(CONTACTS).text == "?{"
    assert client.get(CONTACTS).json()["results"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("malformed", {"body": "{"}), ("empty", {}), ("truncated", {}), ("slow_body", {"seconds": 0.01}),
        ("headers", {"oddity": "chunked"}), ("headers", {"oddity": "content_type"}),
    ],
)  # fmt: skip
def test_an_answer_without_a_body_gets_none_by_damage(connect, sandbox, kind, words) -> None:
    """A body after a 204 would be taken for the beginning of the next answer."""
    sandbox.faults.add(Fault(kind=kind, path=CONTACTS, method="DELETE", **words))
    client = connect(sandbox, sandbox.portals[0].token)
    bare = Request("DELETE", f"{CONTACTS}/251", headers=bearer(sandbox))
    assert sandbox.handle(bare).body == b""
    for id_ in (101, 151):
        answer = client.delete(f"{CONTACTS}/{id_}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert client.get(f"{CONTACTS}/201").json()["id"] == "201"


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("framing", ["length", "chunked", "none"])
def test_a_conversation_writes_no_body_where_none_may_be(status: int, framing) -> None:
    answer = Reply(status, body=b"lost", framing=framing)
    head, _, body = spoken(answer, b"GET / HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")
    assert body == b""
    assert b"Content-Length" not in head
    assert b"Transfer-Encoding" not in head


def spoken(answer: Reply, *said: bytes, idle: float = 75.0, silent: bool = False) -> bytes:
    """Return what one conversation answers, whoever is asked always giving the same reply."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for part in said:
            ours.sendall(part)
        if not silent:
            ours.shutdown(socket.SHUT_WR)
        talk = Conversation(
            theirs, answer=lambda _: answer, now=lambda: NOON, closing=Event(), idle=idle
        )
        with suppress(OSError):  # as the server does
            talk.hold()
        return b"".join(iter(lambda: ours.recv(65_536), b""))


@pytest.mark.parametrize(
    "said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nContent-Length: 9\r\n\r\nab"]
)
def test_who_says_nothing_more_is_left_alone(said: bytes) -> None:
    """Without an end to the patience this test would not end: the other side stays open."""
    answer = spoken(Reply(200), said, idle=0.05, silent=True)
    assert answer.startswith(b"HTTP/1.1 400 " if said else b"")


@pytest.mark.parametrize(
    "nonsense",
    [
        b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 4\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1_0\r\na\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: example.com\r\n\r\n",
        b"GET\x0b/ HTTP/1.1\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(nonsense: bytes) -> None:
    assert spoken(Reply(200), nonsense).startswith(b"HTTP/1.1 400 ")


def test_trailers_have_an_end() -> None:
    start = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    assert spoken(Reply(200), start, b"\r\n").startswith(b"HTTP/1.1 200 ")
    assert spoken(Reply(200), start, b"A: b\r\n" * 300).startswith(b"HTTP/1.1 431 ")


def test_a_client_says_close_among_other_words_and_an_old_one_is_not_told_to_go_on() -> None:
    twice = b"GET / HTTP/1.1\r\nConnection: Close, TE\r\n\r\n" * 2
    assert spoken(Reply(200), twice).count(b"HTTP/1.1 200") == 1
    old = b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na"
    assert spoken(Reply(200), old).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200), ("LOCALHOST:1", 200), ("[::1]:80", 200), ("api.hubapi.localhost", 200),
        ("api-eu1.hubapi.localhost:8080", 200), ("evil.example", 421), ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421), ("evil.example:80", 421), ("", 421),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [CONTACTS, "/_sandbox/portals"])
def test_a_request_under_a_name_that_is_not_this_machines_is_refused(
    sandbox: Sandbox, host: str, status: int, path: str
) -> None:
    """A page in a browser can have its own name lead to loopback."""
    with serve(sandbox) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        headers = bearer(sandbox) | {"X-Sandbox-Key": server.control_key, "Host": host}
        assert client.get(path, headers=headers).status_code == status
    entered = len(sandbox.ledger(sandbox.portals[0].portal_id))
    assert entered == (status == 200 and path == CONTACTS)


@pytest.mark.parametrize("tls", [False, True])
def test_a_caller_who_resets_at_once_leaves_no_trace_on_the_screen(
    sandbox: Sandbox, capfd: pytest.CaptureFixture[str], tls
) -> None:
    with serve(sandbox, tls=tls) as server:
        where = urlsplit(server.url)
        for _ in range(20):
            caller = socket.create_connection((where.hostname, where.port))
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            caller.close()
        trusted = ssl.create_default_context(cadata=server.ca_pem) if tls else True
        with httpx.Client(verify=trusted, trust_env=False) as client:
            assert client.get(server.url).status_code == 401
    assert capfd.readouterr().err == ""


def test_there_is_a_last_connection_and_a_place_for_another_when_one_has_gone(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(sandbox) as server:
        where = urlsplit(server.url)
        held = [
            socket.create_connection((where.hostname, where.port)) for _ in range(CONNECTIONS_MAX)
        ]
        with socket.create_connection((where.hostname, where.port)) as one_more:
            assert one_more.recv(1) == b""
        for one in held:
            one.close()
        with httpx.Client(trust_env=False) as client:
            while not answered(client, server.url):  # until the threads of the others have ended
                continue
    assert "another one was closed" in caplog.text


def answered(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == 401
    except httpx.TransportError:
        return False


FOLDERS, LISTS, SCHEMAS = "/crm/v3/lists/folders", "/crm/v3/lists", "/crm/v3/schemas"
HUGE = 10**400


@pytest.fixture
def ask(sandbox: Sandbox) -> Asking:
    return Asking(sandbox, index=1)


def test_folders_lie_so_deep_and_no_deeper(ask: Asking) -> None:
    """From no document: an answer shows a folder with all that is in it, however deep."""

    def made(parent: str) -> tuple[int, str]:
        status, said = ask("POST", FOLDERS, {"name": "x", "parentFolderId": parent})
        return status, said["folder"]["id"] if status == 200 else ""

    chain = ["0"]
    for _ in range(DEPTH_MAX):
        status, id_ = made(chain[-1])
        assert status == 200
        chain.append(id_)
    assert made(chain[-1])[0] == 400
    assert ask("PUT", f"{FOLDERS}/{chain[1]}/rename?newFolderName=y")[0] == 200
    _, lone = made("0")
    _, inner = made(lone)
    assert ask("PUT", f"{FOLDERS}/{lone}/move/{chain[-2]}")[0] == 400
    assert ask("PUT", f"{FOLDERS}/{inner}/move/{chain[-2]}")[0] == 200
    assert ask("PUT", f"{FOLDERS}/{lone}/move/{chain[-2]}")[0] == 200


def test_a_pipeline_goes_though_its_property_went_before(ask: Asking) -> None:
    stages = [{"label": "Only", "displayOrder": 0, "metadata": {"state": "CLOSED"}}]
    own = [
        {"name": name, "label": name, "type": "string", "fieldType": "text"}
        for name in ("name", "hs_pipeline")
    ]
    labels = {"singular": "Boat", "plural": "Boats"}
    body = {"name": "boats", "labels": labels, "primaryDisplayProperty": "name",
            "requiredProperties": ["name"], "properties": own}  # fmt: skip
    assert ask("POST", SCHEMAS, body)[0] == 201
    pipeline = {"label": "Trips", "displayOrder": 0, "stages": stages}
    status, made = ask("POST", "/crm/v3/pipelines/boats", pipeline)
    assert status == 201
    assert ask("DELETE", "/crm/v3/properties/boats/hs_pipeline")[0] == 204
    assert ask("DELETE", f"/crm/v3/pipelines/boats/{made['id']}")[0] == 204
    assert ask("GET", "/crm/v3/pipelines/boats")[1] == {"results": []}


def dynamic(**operation: object) -> dict[str, object]:
    """Write a list of those whose amount fits."""
    one = {"filterType": "PROPERTY", "property": "amount", "operation": operation}
    branch = {"filterBranchType": "AND", "filterBranches": [], "filters": [one]}
    root = {"filterBranchType": "OR", "filterBranches": [branch], "filters": []}
    return {"name": "Big", "objectTypeId": "0-3", "processingType": "DYNAMIC", "filterBranch": root}


def test_numbers_no_computer_can_hold_are_refused(ask: Asking) -> None:
    bound = dynamic(operationType="NUMBER", operator="IS_EQUAL_TO", value=HUGE)
    assert ask("POST", LISTS, bound)[0] == 400
    day = {"conversionType": "CONVERSION_DATE", "year": 10**20, "month": 1, "day": 1}
    assert ask("PUT", f"{LISTS}/1/schedule-conversion", day)[0] == 400
    day["year"], day["month"], day["day"] = 9999, 12, 31
    assert ask("PUT", f"{LISTS}/1/schedule-conversion", day)[0] in {200, 400}


def test_a_list_is_converted_at_a_time_in_utc(ask: Asking) -> None:
    """Facts 2: times are written in UTC, with Z; a day begins at the portal's own midnight."""
    ask.sandbox.alter(ask.sandbox.portals[1].portal_id, time_zone="Asia/Kolkata")
    day = {"conversionType": "CONVERSION_DATE", "year": 2026, "month": 10, "day": 20}
    assert ask("PUT", f"{LISTS}/1/schedule-conversion", day)[0] == 200
    ask.sandbox.clock.advance(7 * 86_400)
    said = ask("GET", f"{LISTS}/1/schedule-conversion")[1]
    assert said["convertedAt"] == "2026-10-19T18:30:00.000Z"


@pytest.mark.parametrize("name", ["hs_folder_name", "hs_list_size"])
def test_a_list_outlives_its_folder(ask: Asking, name: str) -> None:
    """That it comes back at the root is an assumption."""
    _, folder = ask("POST", FOLDERS, {"name": "Old"})
    folder_id = folder["folder"]["id"]
    new = {"name": "Kept", "objectTypeId": "0-1", "processingType": "MANUAL"}
    _, made = ask("POST", LISTS, new | {"listFolderId": folder_id})
    path = f"{LISTS}/{made['list']['listId']}"
    assert ask("DELETE", path)[0] == 204
    assert ask("DELETE", f"{FOLDERS}/{folder_id}")[0] == 204
    assert ask("PUT", f"{path}/restore")[0] == 204
    status, found = ask(
        "POST", f"{LISTS}/search", {"query": "Kept", "additionalProperties": [name]}
    )
    assert (status, found["total"]) == (200, 1)
    _, root = ask("GET", FOLDERS)
    assert int(made["list"]["listId"]) in root["folder"]["childLists"]


@pytest.mark.parametrize("target", [CONTACTS, f"{CONTACTS}/search", "/marketing/v3/forms"])
@pytest.mark.parametrize(
    "deep", ['{"a":' * 986 + "1" + "}" * 986, '{"a":' + "[" * 100 + "]" * 100 + "}"]
)
def test_a_body_nested_too_deep_is_refused_before_anything_is_done(
    sandbox: Sandbox, target: str, deep: str
) -> None:
    reply = sandbox.handle(Request("POST", target, headers=bearer(sandbox), body=deep.encode()))
    assert (reply.status, json.loads(reply.body)["category"]) == (400, "VALIDATION_ERROR")
    fits = '{"a":' + "[" * 99 + "]" * 99 + "}"
    assert decode(fits.encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_in_json_is_refused(sandbox: Sandbox, number: str) -> None:
    body = f'{{"properties":{{"amount":{number}}}}}'.encode()
    reply = sandbox.handle(
        Request("POST", "/crm/v3/objects/deals", headers=bearer(sandbox), body=body)
    )
    assert reply.status == 400
    with pytest.raises(ApiError, match="not JSON"):
        decode(body)
    with pytest.raises(ValueError, match="JSON"):
        encode({"a": float(number)})


def test_the_users_of_a_portal_stay_whatever_becomes_of_its_first_token(inside, sandbox) -> None:
    app = sandbox.register_app("Planner", redirect_uris=[CALLBACK], required=[READ])
    developer = Developer(app, inside(sandbox, None), sandbox)
    token = developer.install()["access_token"]
    portal_id = sandbox.portals[0].portal_id
    path = f"/oauth/v1/access-tokens/{token}"
    before = developer.client.get(path).json()
    sandbox.remove_user(portal_id)
    sandbox.rotate(portal_id, later=True)
    sandbox.cancel_rotation(portal_id)
    assert developer.client.get(path).json() == before


@pytest.mark.parametrize("calls", [-1, 10**9, HUGE])
def test_other_apps_make_no_more_calls_than_can_be_counted(sandbox: Sandbox, calls: int) -> None:
    portal_id = sandbox.portals[0].portal_id
    with pytest.raises(SandboxError, match="nothing was changed"):
        sandbox.others(portal_id, calls_per_day=calls)
    with pytest.raises(SandboxError, match="nothing was counted"):
        sandbox.spend(portal_id, calls)
    assert sandbox.usage(portal_id).theirs == 0


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("clock", {"advance": HUGE}),
        ("clock", {"speed": HUGE}),
        ("usage", {"portalId": 1, "calls": HUGE}),
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


EXPORT = {
    "exportType": "VIEW", "format": "CSV", "exportName": "All", "language": "EN",
    "objectType": "CONTACT", "objectProperties": ["email"],
}  # fmt: skip


def fetched(sandbox: Sandbox, path: str, **query: str) -> int:
    request = Request("GET", path, query=tuple(query.items()))
    return sandbox.handle(request).status


def test_an_address_of_a_file_opens_that_file_of_that_portal(sandbox: Sandbox) -> None:
    """The key follows from the seed, so that nobody should take the sandbox's for a secret."""
    asking, (first, second, _) = Asking(sandbox), sandbox.portals
    _, started = asking("POST", "/crm/v3/exports/export/async", EXPORT)
    sandbox.clock.advance(60)
    status = f"/crm/v3/exports/export/async/tasks/{started['id']}/status"
    address = urlsplit(asking("GET", status)[1]["result"])
    query = dict(parse_qsl(address.query))
    assert fetched(sandbox, address.path, **query) == 200
    for odd in ("", "1e9", "9" * 5_000, "-1", "\u0661"):
        assert fetched(sandbox, address.path, **query | {"expires": odd}) == 403
    other = address.path.replace(str(first.portal_id), str(second.portal_id))
    assert fetched(sandbox, other, **query) == 403
    sandbox.suspend(first.portal_id)
    assert fetched(sandbox, address.path, **query) == 403
    sandbox.unsuspend(first.portal_id)
    assert fetched(sandbox, address.path, **query) == 200


@pytest.mark.parametrize("expires", ["", "1e9", "9" * 5_000])
def test_even_who_can_sign_gets_no_file_for_a_time_that_is_none(
    sandbox: Sandbox, expires: str
) -> None:
    portal_id = sandbox.portals[0].portal_id
    _, started = Asking(sandbox)("POST", "/crm/v3/exports/export/async", EXPORT)
    key = f"{sandbox.seed}/{portal_id}/exports".encode()
    path = f"/exports/files/{portal_id}/{started['id']}"
    for wait in (0, 60):
        sandbox.clock.advance(wait)
        for when, ready in ((expires, False), ("9" * 11, wait > 0)):
            text = f"{started['id']}/{when}".encode()
            signature = hmac.new(key, text, hashlib.sha256).hexdigest()
            status = fetched(sandbox, path, expires=when, signature=signature)
            assert status == (200 if ready else 403)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "evil.example"},
        {"Origin": "http://api.hubapi.com:8000"}, {"Origin": "null", "Sec-Fetch-Site": "none"},
    ],
)  # fmt: skip
def test_a_consent_that_another_page_sends_connects_nothing(inside, sandbox, headers) -> None:
    app = sandbox.register_app("Planner", redirect_uris=[CALLBACK], required=[READ])
    developer = Developer(app, inside(sandbox, None), sandbox)
    body = {"decision": "connect", "portalId": str(sandbox.portals[0].portal_id)}
    refused = developer.client.post(developer.link(), data=body, headers=headers)
    assert (refused.status_code, "elsewhere" in refused.text) == (403, True)
    for own in (
        {"Origin": "https://api.hubapi.com"},
        {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
    ):
        assert developer.client.post(developer.link(), data=body, headers=own).status_code == 302


@pytest.mark.parametrize("bad", ["status = " + "9" * 5_000, "x = " + "[" * 5_000, "\udcff"])
def test_a_file_of_rules_that_breaks_its_reader_is_named(sandbox, tmp_path: Path, bad: str) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(f"[[fault]]\n{bad}\n", "utf-8", errors="surrogateescape")
    with pytest.raises(SandboxError, match=r"faults\.toml cannot be read .*no fault was added"):
        read_faults(path, sandbox=sandbox)


def test_a_property_has_so_many_options_and_a_pipeline_so_many_stages(ask: Asking) -> None:
    """From HubSpot's help pages alone; looking for doubles takes time that grows with them."""

    def options(count: int) -> int:
        listed = [{"label": f"l{n}", "value": f"v{n}"} for n in range(count)]
        body = {"name": f"many_{count}", "label": "x", "type": "enumeration", "fieldType": "select",
                "groupName": "dealinformation", "options": listed}  # fmt: skip
        return ask("POST", "/crm/v3/properties/deals", body)[0]

    def stages(count: int) -> int:
        listed = [
            {"label": f"l{n}", "displayOrder": n, "metadata": {"probability": "0.5"}}
            for n in range(count)
        ]
        body = {"label": f"p{count}", "displayOrder": 0, "stages": listed}
        status, made = ask("POST", "/crm/v3/pipelines/deals", body)
        if status == 201:
            more = f"/crm/v3/pipelines/deals/{made['id']}/stages"
            assert ask("POST", more, listed[0] | {"label": "more"})[0] == 400
        return status

    assert [options(5_000), options(5_001)] == [201, 400]
    assert [stages(100), stages(101)] == [201, 400]


def test_nobody_takes_an_address_by_claiming_it_as_a_further_one(ask: Asking) -> None:
    """That only merging writes them is an assumption."""
    path = f"{CONTACTS}/101"
    _, victim = ask("GET", f"{CONTACTS}/151")
    email = victim["properties"]["email"]
    assert ask("PATCH", path, {"properties": {"hs_additional_emails": email}})[0] == 400
    assert ask("GET", f"{CONTACTS}/{email}?idProperty=email")[1]["id"] == "151"


def test_a_merged_address_is_found_in_any_letters_and_free_when_its_record_goes(
    ask: Asking,
) -> None:
    _, lost = ask("POST", CONTACTS, {"properties": {"email": "Lost.One@Example.com"}})
    merge = {"primaryObjectId": "101", "objectIdToMerge": lost["id"]}
    assert ask("POST", f"{CONTACTS}/merge", merge)[0] == 200
    assert ask("GET", f"{CONTACTS}/lost.one@EXAMPLE.com?idProperty=email")[1]["id"] == "101"
    same = {"properties": {"email": "LOST.ONE@example.com"}}
    assert ask("POST", CONTACTS, same)[0] == 409
    assert ask("DELETE", f"{CONTACTS}/101")[0] == 204
    assert ask("POST", CONTACTS, same)[0] == 201


def spent(sandbox: Sandbox) -> int:
    """Call until a call is refused; return how many were not."""
    calls = 0
    while sandbox.handle(Request("GET", CONTACTS, headers=bearer(sandbox))).status == 200:
        calls += 1
    return calls


@pytest.mark.parametrize("back", [0.001, 1, 9])
def test_a_clock_that_steps_back_a_little_lets_no_more_calls_in(
    sandbox: Sandbox, back: float
) -> None:
    """Facts 3.1: so many calls in any ten seconds."""
    allowed = spent(sandbox)
    sandbox.clock.advance(-back)
    assert spent(sandbox) == 0
    sandbox.clock.advance(back + 10)
    assert spent(sandbox) == allowed
    sandbox.clock.advance(-3_600)
    assert spent(sandbox) == allowed


def test_an_account_that_buys_more_has_not_called_less(sandbox: Sandbox) -> None:
    """Facts 3.1: that what was used stays used is an assumption."""
    portal_id = sandbox.portals[0].portal_id
    assert spent(sandbox) == 190
    sandbox.alter(portal_id, add_ons=1)
    assert spent(sandbox) == 60
    sandbox.alter(portal_id, add_ons=0)
    assert spent(sandbox) == 0


def test_a_ledger_that_cannot_be_written_says_so_once(
    sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, told = tmp_path / "calls.jsonl", []
    least, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    with LedgerFile(path, on_failure=lambda: told.append(1)) as file:
        sandbox.watch(file.write)
        asked(sandbox, CONTACTS)
        written = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (written, most))
        try:
            asked(sandbox, CONTACTS)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (least, most))
        asked(sandbox, CONTACTS)
        assert path.stat().st_size == written, "no line after a hole"
    assert (told, str(file.failure) in caplog.text) == ([1], True)
    assert len(sandbox.ledger(sandbox.portals[0].portal_id)) == 3


def test_the_command_ends_when_its_ledger_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    program = f"{sys.executable} -B -m hsagency.sandbox --portals 1 --ledger {path}"
    command = ["/bin/sh", "-c", f"ulimit -f 1; exec {program}"]
    with subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = next(word for line in process.stdout for word in line.split() if "http://" in word)
        try:
            with httpx.Client(base_url=url, trust_env=False) as client:
                while process.poll() is None and client.get(CONTACTS).status_code == 401:
                    continue
        except httpx.TransportError:
            process.wait(30)
        finally:
            process.kill()
        error = process.stderr.read()
    assert process.returncode == 1
    assert "calls.jsonl could not be written" in error


def test_a_client_list_that_is_in_the_way_leaves_no_ledger_behind(tmp_path: Path) -> None:
    taken, ledger = tmp_path / "clients.csv", tmp_path / "calls.jsonl"
    taken.write_text("real", "utf-8")
    with pytest.raises(SandboxError, match="something else"):
        run(portals=1, csv=taken, ledger=ledger, announce=str)
    assert not ledger.exists()


def test_what_holds_secrets_does_not_show_them(sandbox: Sandbox) -> None:
    secret = sandbox.portals[0].token
    request = Request.parse("GET", f"/oauth/v1/access-tokens/{secret}?client_secret={secret}")
    match = ROUTES.find(request.segments)
    visit = sandbox.desk.visit(request, match)
    challenge = Challenge(secret, "plain")
    reply = Reply(302, headers=(("Location", f"http://localhost/?code={secret}"),))
    assert match is not None
    assert visit is not None
    for thing in (request, match, visit, challenge, reply):
        assert secret not in repr(thing)
