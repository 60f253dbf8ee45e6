"""A portal client reaches its own portal's host, as itself, and nothing else."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hsagency.client import PortalClient
from hsagency.errors import CallRefused, UsageError
from hsagency.hosts import host_of, parse_api_base
from hsagency.portals import ConnectionType
from tests.support import (
    TOKEN,
    Answer,
    Connected,
    Listener,
    Seen,
    listening,
    lone_client,
    records,
)

PATH = "/crm/v3/objects/contacts"


@dataclass(frozen=True)
class Stage:
    """A client on its own host, another server that must see nothing, and the log."""

    client: PortalClient
    own: Listener
    other: Listener
    folder: Path

    def last(self) -> dict[str, Any]:
        return records(self.folder, "acme-corp")[-1]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    aims: list[str] = []

    def answer(seen: Seen) -> Answer:
        if seen.path.startswith("/crm/v3/objects/deals"):
            return Answer(int(seen.path.partition("?")[2] or 302), {"Location": aims[0]})
        return Answer()

    with listening() as other, listening(answer) as own, lone_client(tmp_path, url=own.url) as made:
        aims.append(f"{other.url}{PATH}")
        yield Stage(made, own, other, tmp_path)


def addresses(own: str, other: str) -> list[str]:
    mine, theirs = own.removeprefix("http://"), other.removeprefix("http://")
    return [
        f"{other}{PATH}",
        f"http://{theirs}",
        f"http://{mine}@{theirs}{PATH}",
        f"http://user:pass@{mine}{PATH}",
        f"http://user@{mine}{PATH}",
        f"https://{mine}{PATH}",
        f"HTTPS://{mine}{PATH}",
        f"ftp://{mine}{PATH}",
        f"http://localhost:{mine.rpartition(':')[2]}{PATH}",
        f"http://127.1:{mine.rpartition(':')[2]}{PATH}",
        f"http://2130706433:{mine.rpartition(':')[2]}{PATH}",
        f"http://[::ffff:127.0.0.1]:{mine.rpartition(':')[2]}{PATH}",
        f"http://127.0.0.1{PATH}",
        f"http://127.0.0.1:0{PATH}",
        f"http://127.0.0.1.:{mine.rpartition(':')[2]}{PATH}",
        f"http://{mine}.evil.example.com{PATH}",
        f"http://\uff11\uff12\uff17.0.0.1:{theirs.rpartition(':')[2]}{PATH}",
        f"http://{theirs}#@{mine}{PATH}",
        f"http://{theirs}\\@{mine}{PATH}",
        f"http://{theirs}/@{mine}{PATH}",
        "https://api.hubapi.com/crm/v3/objects/contacts",
        "https://api.hubapi.com.evil.example.com/",
    ]


@pytest.mark.parametrize(
    "number", range(len(addresses("http://127.0.0.1:1", "http://127.0.0.1:2")))
)
def test_no_address_leads_to_another_host(stage: Stage, number: int) -> None:
    address = addresses(stage.own.url, stage.other.url)[number]
    with pytest.raises((CallRefused, httpx.InvalidURL, httpx.UnsupportedProtocol)):
        stage.client.get(address)
    assert stage.other.seen == []
    assert stage.own.seen == []


def test_the_refusal_of_another_host_is_on_the_record_without_its_address(stage: Stage) -> None:
    with pytest.raises(CallRefused, match="another host"):
        stage.client.get(f"{stage.other.url}/crm/v3/objects/contacts/987654321")
    said = stage.last()
    assert (said["event"], said["outcome"], said["path"]) == (
        "call.refused",
        "refused",
        "{elsewhere}",
    )
    assert "objectId" not in said
    assert str(stage.other.port) not in str(said)


@pytest.mark.parametrize("as_object", [False, True])
def test_an_address_without_a_scheme_is_refused_as_the_other_host_that_it_names(
    stage: Stage,
    as_object: bool,  # noqa: FBT001
) -> None:
    """Of such an address httpx keeps the path alone, which would be asked of the own host."""
    address = "//" + stage.other.url.removeprefix("http://") + PATH
    with pytest.raises(CallRefused, match="another host") as caught:
        stage.client.get(httpx.URL(address) if as_object else address)
    assert "allow_unclassified" not in caught.value.hint
    assert stage.last()["path"] == "{elsewhere}"
    assert stage.own.seen == []


@pytest.mark.parametrize(
    "target", ["//{other}/x", "///{other}/x", "\\\\{other}\\x", "/\\{other}/x"]
)
def test_a_relative_address_stays_on_the_host(stage: Stage, target: str) -> None:
    with pytest.raises((CallRefused, httpx.InvalidURL)):
        stage.client.get(target.format(other=stage.other.url.removeprefix("http://")))
    assert stage.other.seen == []


AMBIGUOUS = (
    *("/crm/v3/objects/contacts/..%2fdeals", "/crm/v3/objects/contacts/%2e%2e/deals"),
    *("/crm/v3/objects/contacts/.%2e/deals", "/crm/v3/objects//contacts"),
    *("/crm/v3/objects/contacts/..;/deals", "/crm/v3/objects/contacts/1;a=b"),
    *("/crm/v3/objects/contacts/%5c..%5cdeals", "/crm/v3/objects/contacts/%252e%252e/deals"),
    *("/crm/v3/objects/contacts/%252f", "/crm/v3/objects/contacts/a%00", "/crm/v3/x%0d%0aA:b"),
    *("/crm/v3/objects/contacts/%c0%ae%c0%ae/deals", "/crm/v3/objects/contacts/a%3Bb"),
    "/@elsewhere.example.com/crm",
)


@pytest.mark.parametrize("path", AMBIGUOUS)
def test_a_path_that_can_be_read_in_two_ways_is_refused(stage: Stage, path: str) -> None:
    with pytest.raises(CallRefused):
        stage.client.get(path, extensions={"purpose": "x", "allow_unclassified": True})
    assert stage.own.seen == []


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("https://elsewhere.example.com/crm", {}, "path from the slash on"),
    ("/@elsewhere.example.com/crm", {}, "path from the slash on"),
    (PATH, {"headers": {"Authorization": "Bearer x"}}, "put on for you"),
    (PATH, {"headers": {"Cookie": "a=b"}}, "put on for you"),
    (PATH, {"headers": {"Host": "elsewhere.example.com"}}, "put on for you"),
    (PATH, {"headers": {"X-HTTP-Method-Override": "DELETE"}}, "the method and the path"),
    (PATH, {"headers": {"Transfer-Encoding": "chunked", "Content-Length": "4"}}, "is framed"),
    (PATH, {"headers": {"Transfer-Encoding": "gzip, chunked"}}, "is framed"),
    (PATH, {"headers": [("Content-Length", "0"), ("Content-Length", "0")]}, "is framed"),
    (PATH, {"headers": {"Connection": "close, authorization"}}, "is framed"),
    (PATH, {"headers": {"Connection": "Upgrade", "Upgrade": "h2c"}}, "is framed"),
    (PATH, {"headers": {"TE": "trailers"}}, "is framed"),
    (PATH, {"headers": {"Trailer": "Authorization"}}, "is framed"),
    (PATH, {"extensions": {"purpose": "x" * 65}}, "weekly review"),
    (f"{PATH}/../deals/%2e%2e/x", {}, "without .., //"),
    (f"/oauth/v1/access-tokens/{TOKEN}", {}, "in the form body"),
    (PATH, {"params": {"q": TOKEN}}, "Leave it out"),
    ("/new/thing", {}, "allow_unclassified"),
]


@pytest.mark.parametrize(("address", "options", "hint"), REFUSED, ids=lambda one: str(one)[:30])
def test_every_refusal_says_what_to_do_instead(
    stage: Stage, address: str, options: dict[str, Any], hint: str
) -> None:
    with pytest.raises(CallRefused, match="Nothing was sent") as caught:
        stage.client.get(address, **options)
    assert hint in caught.value.hint
    assert TOKEN not in str(caught.value)
    assert stage.own.seen == []


def test_a_method_there_is_not_is_refused_with_those_there_are(stage: Stage) -> None:
    with pytest.raises(CallRefused) as caught:
        stage.client.request("TRACE", PATH)
    assert "DELETE, GET, HEAD" in caught.value.hint


@pytest.mark.parametrize("kind", [ConnectionType.AUDIT_ONLY, ConnectionType.CONFIG_ONLY])
def test_a_call_that_a_type_does_not_allow_is_refused_with_how_to_change_it(
    tmp_path: Path, kind: ConnectionType
) -> None:
    with (
        lone_client(tmp_path, connection_type=kind) as client,
        pytest.raises(CallRefused) as caught,
    ):
        client.delete(f"{PATH}/1")
    assert caught.value.hint.endswith("hsagency set-type acme-corp config_and_audit")


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_port_is_not_followed(stage: Stage, method: str, status: int) -> None:
    body = None if method in ("GET", "DELETE") else b'{"properties": {}}'
    path = "/crm/v3/objects/deals" + ("/1" if method in ("PATCH", "DELETE") else "")
    with pytest.raises(CallRefused, match="another host"):
        stage.client.request(method, f"{path}?{status}", content=body, follow_redirects=True)
    assert stage.other.seen == []
    assert len(stage.own.seen) == 1
    events = [one["event"] for one in records(stage.folder, "acme-corp")]
    assert events == ["call.started", "call.finished", "call.refused"]


def test_a_client_that_follows_redirects_by_itself_stays_at_home_too(stage: Stage) -> None:
    stage.client.follow_redirects = True
    with pytest.raises(CallRefused, match="another host"):
        stage.client.get("/crm/v3/objects/deals")
    answer = stage.client.get("/crm/v3/objects/deals", follow_redirects=False)
    assert answer.next_request is not None
    with pytest.raises(CallRefused, match="another host"):
        stage.client.send(answer.next_request)
    assert stage.other.seen == []


def bearer(client: PortalClient, _: Listener) -> httpx.Response:
    return client.get(PATH, headers={"Authorization": "Bearer pat-na1-x"})


def basic(client: PortalClient, _: Listener) -> httpx.Response:
    return client.get(PATH, auth=("u", "p"))


def client_auth(client: PortalClient, _: Listener) -> httpx.Response:
    client.auth = httpx.BasicAuth("u", "p")
    return client.get(PATH)


def client_header(client: PortalClient, _: Listener) -> httpx.Response:
    client.headers["AUTHORIZATION"] = "Bearer x"
    return client.get(PATH)


def auth_function(client: PortalClient, _: Listener) -> httpx.Response:
    def sign(request: httpx.Request) -> httpx.Request:
        request.headers["authorization"] = "x"
        return request

    return client.get(PATH, auth=sign)


def hook(client: PortalClient, other: Listener) -> httpx.Response:
    def steer(request: httpx.Request) -> None:
        request.url = httpx.URL(other.url + PATH)

    client.event_hooks = {"request": [steer]}
    return client.get(PATH)


def hook_with_user(client: PortalClient, _: Listener) -> httpx.Response:
    def steer(request: httpx.Request) -> None:
        request.url = request.url.copy_with(username="u", password="p")

    client.event_hooks = {"request": [steer]}
    return client.get(PATH)


def other_base(client: PortalClient, other: Listener) -> httpx.Response:
    client.base_url = httpx.URL(other.url)
    return client.get(PATH)


def host_header(client: PortalClient, _: Listener) -> httpx.Response:
    return client.get(PATH, headers={"Host": "elsewhere.example.com"})


def two_hosts(client: PortalClient, _: Listener) -> httpx.Response:
    own = client.base_url.netloc
    return client.get(PATH, headers=[(b"Host", own), (b"host", b"elsewhere.example.com")])


def two_authorizations(client: PortalClient, _: Listener) -> httpx.Response:
    return client.get(PATH, headers=[("authorization", ""), ("Authorization", "x")])


def jar(client: PortalClient, _: Listener) -> httpx.Response:
    client.cookies.set("session", "1")
    return client.get(PATH)


def cookie_header(client: PortalClient, _: Listener) -> httpx.Response:
    return client.get(PATH, headers={"cookie": "a=b"})


def hand_built(client: PortalClient, other: Listener) -> httpx.Response:
    return client.send(httpx.Request("GET", other.url + PATH))


def hand_built_with_header(client: PortalClient, own: Listener) -> httpx.Response:
    url = f"{client.base_url}/crm/v3/objects/contacts"
    return client.send(httpx.Request("GET", url, headers={"Authorization": "x"}))


def streamed(client: PortalClient, other: Listener) -> httpx.Response:
    with client.stream("GET", other.url + PATH) as answer:
        return answer


def proxied(client: PortalClient, _: Listener) -> httpx.Response:
    return client.get(PATH, headers={"Proxy-Authorization": "x"})


def overridden(client: PortalClient, _: Listener) -> httpx.Response:
    return client.post(f"{PATH}/search", headers={"X-HTTP-Method-Override": "DELETE"})


def rewritten(client: PortalClient, _: Listener) -> httpx.Response:
    return client.get(PATH, headers={"X-Original-URL": "/crm/v3/objects/deals"})


def forwarded(client: PortalClient, _: Listener) -> httpx.Response:
    return client.get(PATH, headers={"X-Forwarded-Host": "elsewhere.example.com"})


def named_portal(client: PortalClient, _: Listener) -> httpx.Response:
    return client.get(PATH, headers={"X-HubSpot-Portal-Id": "1"})


def key_in_query(client: PortalClient, _: Listener) -> httpx.Response:
    return client.get(PATH, params={"HapiKey": "0"})


def key_for_all(client: PortalClient, _: Listener) -> httpx.Response:
    client.params = {"access_token": "x"}
    return client.get(PATH)


def token_in_path(client: PortalClient, _: Listener) -> httpx.Response:
    return client.get("/oauth/v1/access-tokens/abc", extensions=ANYTHING)


def hidden_token_in_path(client: PortalClient, _: Listener) -> httpx.Response:
    return client.get("/oauth/v1/%61ccess-tokens/abc", extensions=ANYTHING)


def refresh_token(client: PortalClient, _: Listener) -> httpx.Response:
    return client.delete("/oauth/v1/refresh-tokens/abc", extensions=ANYTHING)


def token_shaped(client: PortalClient, _: Listener) -> httpx.Response:
    return client.get(f"{PATH}/{TOKEN}")


ANYTHING = {"purpose": "attack", "allow_unclassified": True}
STEERING: list[Callable[[PortalClient, Listener], httpx.Response]] = [
    *(
        bearer,
        basic,
        client_auth,
        client_header,
        auth_function,
        hook,
        hook_with_user,
        other_base,
        host_header,
    ),
    *(two_hosts, two_authorizations, jar, cookie_header, hand_built, hand_built_with_header),
    *(streamed, proxied, overridden, rewritten, forwarded, named_portal, key_in_query),
    *(key_for_all, token_in_path, hidden_token_in_path, refresh_token, token_shaped),
]


@pytest.mark.parametrize("steer", STEERING, ids=lambda one: one.__name__)
def test_nothing_a_caller_sets_steers_a_call(
    stage: Stage, steer: Callable[[PortalClient, Listener], httpx.Response]
) -> None:
    with pytest.raises(CallRefused, match=r"Refused for acme-corp: .*\. Nothing was sent\."):
        steer(stage.client, stage.other)
    assert stage.own.seen == []
    assert stage.other.seen == []
    assert stage.last()["event"] == "call.refused"


@pytest.mark.parametrize(
    "method", ["TRACE", "CONNECT", "trace", "GET ", "get\n", "GET /x HTTP/1.1\r\nA: b", "", "PURGE"]
)
def test_a_method_that_hubspot_does_not_have_is_refused_and_not_written_down(
    stage: Stage, method: str
) -> None:
    with pytest.raises(CallRefused):
        stage.client.request(method, PATH, extensions=ANYTHING)
    assert stage.last()["method"] == "{method}"
    assert stage.own.seen == []


def test_a_method_in_small_letters_is_the_method(stage: Stage) -> None:
    stage.client.request("get", PATH)
    assert stage.own.seen[0].method == "GET"
    request = stage.client.build_request("GET", PATH)
    request.method = "delete"
    with pytest.raises(CallRefused):
        stage.client.send(request)


def test_ordinary_headers_parameters_and_bodies_pass(stage: Stage) -> None:
    stage.client.post(
        PATH, json={}, params={"a": ["1", "2"]}, headers={"Accept-Language": "de", "X-Trace": "1"}
    )
    stage.client.post("/files/v3/files", files={"file": b"x"})
    stage.client.get(PATH, headers={"Connection": "close"})
    first, second, _ = stage.own.seen
    assert (first.body, first.path) == (b"{}", f"{PATH}?a=1&a=2")
    assert first.header("content-type") == ["application/json"]
    assert second.header("content-type")[0].startswith("multipart/form-data")
    assert len(first.header("host")) == len(first.header("authorization")) == 1


# Most are plain, as our own are; the others hold what an address may, and what it may not.
ADDRESSES = st.lists(
    st.sampled_from(["/", "/crm", "/v3", "a.b", "..", ".", "-_~", "1", "?", "&a=1", "limit=2,3"])
    | st.sampled_from(
        ["%2F", "%", "#", "@", ":", ":80", " ", "ü", "\\", ";", "[", "\n", "//x.com"]
    ),
    max_size=7,
).map("".join)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(address=ADDRESSES)
def test_an_address_is_read_as_httpx_reads_it(stage: Stage, address: str) -> None:
    assume(not address.startswith("//"))  # httpx drops the host that these name
    ordinary = httpx.Client(base_url=stage.client.base_url, transport=httpx.BaseTransport())
    assert read_by(stage.client, address) == read_by(ordinary, address)


def read_by(client: httpx.Client, address: str) -> tuple[str, bytes] | None:
    try:
        url = client.build_request("GET", address).url
    except httpx.InvalidURL:
        return None
    return str(url), url.raw_path


def test_a_path_below_another_base_stays_below_it(stage: Stage) -> None:
    stage.client.base_url = stage.client.base_url.join("/crm/v3")
    stage.client.get("/objects/contacts")
    assert [seen.path for seen in stage.own.seen] == [PATH]


def test_a_request_built_by_another_client_goes_with_the_credential_of_who_sends_it(
    tmp_path: Path,
) -> None:
    with (
        listening() as own,
        lone_client(tmp_path / "a", url=own.url, token=TOKEN) as one,
        lone_client(tmp_path / "b", url=own.url, token=TOKEN[:-1] + "7") as two,
    ):
        two.send(one.build_request("GET", PATH))
        assert own.seen[0].header("authorization") == [f"Bearer {TOKEN[:-1]}7"]
        assert not (tmp_path / "a" / "audit" / "acme-corp").exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    st.lists(
        st.sampled_from(
            [
                *("http:", "https:", "/", "//", "\\", "@", ":", "#", "?", ".", "..", "%2f", "%40"),
                *("OWN", "OTHER", "evil.example.com", "crm", "v3", "objects", "contacts", "1", ";"),
            ]
        ),
        min_size=1,
        max_size=9,
    )
)
def test_no_spelling_of_an_address_reaches_another_server(stage: Stage, parts: list[str]) -> None:
    spelt = "".join(parts)
    for name, server in (("OWN", stage.own), ("OTHER", stage.other)):
        spelt = spelt.replace(name, server.url.removeprefix("http://"))
    with suppress(CallRefused, httpx.InvalidURL, httpx.UnsupportedProtocol):
        stage.client.get(spelt, follow_redirects=True)
    assert stage.other.seen == []
    assert all(seen.header("host") == [f"127.0.0.1:{stage.own.port}"] for seen in stage.own.seen)


@pytest.mark.parametrize(
    "address",
    [
        *("https://api.hubapi.com", "http://example.com:80", "http://127.0.0.1", "127.0.0.1:80"),
        *("http://127.0.0.1:8000/x", "http://u:p@127.0.0.1:8000", "http://127.0.0.1:8000?a=b"),
        *("http://0.0.0.0:8000", "http://10.0.0.1:80", "file:///x", "http://127.0.0.1:99999"),
        *("http://localhost.evil.example.com:80", "http://127.0.0.1:8000@evil.example.com:80"),
        *("http://127.0.0.1:8000\\@evil.example.com", "http://[::1", "http://:80", "x", "\x00"),
    ],
)
def test_only_this_machine_stands_in_for_hubspot(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_api_base(address)
    assert "nothing was done" in caught.value.message
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://localhost:8000", "http://127.0.0.1:8000"),
        ("https://[::1]:8000", "https://[::1]:8000"),
        ("", ""),
    ],
)
def test_a_sandbox_address_is_kept_in_one_spelling(address: str, kept: str) -> None:
    assert parse_api_base(address) == kept


def test_without_a_sandbox_calls_go_to_hubspot_over_tls(tmp_path: Path) -> None:
    assert str(host_of("")) == "https://api.hubapi.com"
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    with lone_client(tmp_path, wire=httpx.MockTransport(answer)) as client:
        client.get(PATH)
        for address in ("http://api.hubapi.com/x", "https://api.hubapi.com:8443/x"):
            with pytest.raises(CallRefused):
                client.get(address)
        client.get("https://API.hubapi.com:443/crm/v3/objects/contacts")
    assert [str(one.url) for one in sent] == [f"https://api.hubapi.com{PATH}"] * 2


def test_a_server_whose_certificate_nobody_vouches_for_gets_no_token(tmp_path: Path) -> None:
    """A plain socket that speaks no TLS at all: the handshake fails before a request."""
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def once() -> None:
            connection, _ = listener.accept()
            with connection:
                got.append(connection.recv(65536))
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=once)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with (
            lone_client(tmp_path, url=url) as client,
            pytest.raises((httpx.ConnectError, httpx.ReadError, ssl.SSLError)),
        ):
            client.get(PATH, extensions={"retry": False})
        thread.join(10)
    assert TOKEN.encode() not in b"".join(got)


def test_each_client_of_a_fleet_reaches_its_own_portal_only(fleet: Connected) -> None:
    for slug in fleet.slugs:
        client = fleet.agency.client(slug)
        portal_id = client.get("/account-info/v3/details").json()["portalId"]
        assert portal_id == client.portal.portal_id == fleet.sandbox.portal(slug).portal_id
    assert fleet.sandbox.ledger(None) == ()


def test_clients_share_no_headers_cookies_or_hooks(fleet: Connected) -> None:
    one, two = (fleet.agency.client(slug) for slug in fleet.slugs[:2])
    one.headers["X-Mine"] = "1"
    one.cookies.set("mine", "1")
    one.params = {"mine": "1"}
    one.event_hooks = {"request": [lambda _: None]}
    request = two.build_request("GET", PATH)
    assert "x-mine" not in request.headers
    assert "mine" not in str(request.url)
    assert not two.cookies
    assert two.event_hooks == {"request": [], "response": []}


@pytest.mark.parametrize("connection_type", ConnectionType)
def test_the_boundary_is_the_same_for_every_connection_type(
    tmp_path: Path, connection_type: ConnectionType
) -> None:
    with (
        listening() as own,
        listening() as other,
        lone_client(tmp_path, url=own.url, connection_type=connection_type) as client,
    ):
        with pytest.raises(CallRefused, match="another host"):
            client.get(other.url + "/account-info/v3/details")
        assert client.get("/account-info/v3/details").status_code == 200
        assert other.seen == []
