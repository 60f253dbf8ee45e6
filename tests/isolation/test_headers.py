"""Nothing that is set on a request, at whatever layer, decides where or as whom it goes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from typing import Any

import httpx
import pytest

from tests.isolation.attacking import DEALS, PATH, Ending, Scene, Way, endure

HOME, LOST, NONE = Ending.HOME, Ending.LOST, Ending.NONE


def carrying(name: str, ending: Ending = Ending.REFUSED, **options: Any) -> Way:
    """Make one call with options of httpx's."""
    return Way(name, lambda on: on.a.get(PATH, **options), ending)


def header(name: str, field: str, value: str, ending: Ending = Ending.REFUSED) -> Way:
    return carrying(name, ending, headers={field: value})


def told_to(name: str, method: str) -> Way:
    """Name a method that is none, or is more than one."""

    def attack(on: Scene) -> httpx.Response:
        extensions = {"purpose": "attack", "allow_unclassified": True}
        return on.a.request(method, PATH, extensions=extensions)

    return Way(name, attack)


def as_b(name: str, attack: Callable[[Scene], object], ending: Ending = Ending.REFUSED) -> Way:
    """Try to be B, with B's own token."""
    return Way(name, attack, ending, own_token=True)


def per_call(on: Scene) -> httpx.Response:
    return on.a.get(PATH, headers={"Authorization": on.bearer_b})


def in_small_letters(on: Scene) -> httpx.Response:
    return on.a.get(PATH, headers=[(b"aUTHORIZATION", on.bearer_b.encode())])


def twice(on: Scene) -> httpx.Response:
    return on.a.get(PATH, headers=[("authorization", ""), ("Authorization", on.bearer_b)])


def client_default(on: Scene) -> httpx.Response:
    on.a.headers["Authorization"] = on.bearer_b
    return on.a.get(PATH)


def client_headers(on: Scene) -> httpx.Response:
    on.a.headers = {"authorization": on.bearer_b}
    return on.a.get(PATH)


def client_params(on: Scene) -> httpx.Response:
    on.a.params = {"access_token": on.portal_b.token}
    return on.a.get(PATH)


def basic(on: Scene) -> httpx.Response:
    return on.a.get(PATH, auth=("user", on.portal_b.token))


def client_auth(on: Scene) -> httpx.Response:
    on.a.auth = ("user", on.portal_b.token)
    return on.a.get(PATH)


def auth_function(on: Scene) -> httpx.Response:
    def sign(request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = on.bearer_b
        return request

    return on.a.get(PATH, auth=sign)


class SecondTry(httpx.Auth):
    """Answers the first answer with a request of its own."""

    def __init__(self, second: Callable[[httpx.Request], httpx.Request]) -> None:
        self.second = second

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        yield request
        yield self.second(request)


def auth_flow_elsewhere(on: Scene) -> httpx.Response:
    there = httpx.Request("GET", f"{on.other.url}{PATH}")
    return on.a.get(PATH, auth=SecondTry(lambda _: there))


def auth_flow_as_b(on: Scene) -> httpx.Response:
    def second(request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = on.bearer_b
        return request

    return on.a.get(PATH, auth=SecondTry(second))


def auth_flow_home(on: Scene) -> httpx.Response:
    return on.a.get(PATH, auth=SecondTry(lambda request: request))


def digest(on: Scene) -> httpx.Response:
    on.a.auth = httpx.DigestAuth("user", "password")
    return on.a.get(PATH)


def netrc(on: Scene) -> httpx.Response:
    file = on.root.parent / "netrc"
    file.write_text("machine 127.0.0.1 login user password secret\n")
    return on.a.get(PATH, auth=httpx.NetRCAuth(str(file)))


def request_hook(change: Callable[[Scene, httpx.Request], None]) -> Callable[[Scene], object]:
    def attack(on: Scene) -> httpx.Response:
        on.a.event_hooks = {"request": [lambda request: change(on, request)]}
        return on.a.get(PATH)

    return attack


def set_authorization(on: Scene, request: httpx.Request) -> None:
    request.headers["authorization"] = on.bearer_b


def set_address(on: Scene, request: httpx.Request) -> None:
    request.url = httpx.URL(f"{on.other.url}{PATH}")


def set_method(_: Scene, request: httpx.Request) -> None:
    request.method = "TRACE"


def set_host(on: Scene, request: httpx.Request) -> None:
    request.headers["Host"] = on.other.url.removeprefix("http://")


def after_the_build(on: Scene) -> httpx.Response:
    request = on.a.build_request("GET", PATH)
    request.headers["AUTHORIZATION"] = on.bearer_b
    return on.a.send(request)


def hand_built(on: Scene) -> httpx.Response:
    address = f"{on.url}{PATH}"
    return on.a.send(httpx.Request("GET", address, headers={"Authorization": on.bearer_b}))


def while_it_is_sent(on: Scene) -> httpx.Response:
    """Change the request in the middle of its own body: what is on its way is a copy."""

    def body() -> Iterator[bytes]:
        yield b'{"properties": '
        request.headers["Authorization"] = on.bearer_b
        request.url = httpx.URL(f"{on.other.url}{PATH}")
        request.method = "DELETE"
        yield b"{}}"

    request = on.a.build_request("POST", PATH, content=body())
    answer = on.a.send(request)
    assert on.sandbox.arrivals[-1].method == "POST"
    return answer


def jar(on: Scene) -> httpx.Response:
    on.a.cookies.set("session", "1")
    return on.a.get(PATH)


def new_jar(on: Scene) -> httpx.Response:
    on.a.cookies = httpx.Cookies({"session": "1"})
    return on.a.get(PATH)


def two_hosts(on: Scene) -> httpx.Response:
    other = on.other.url.removeprefix("http://")
    return on.a.get(PATH, headers=[("Host", on.netloc), ("host", other)])


def too_short(on: Scene) -> httpx.Response:
    return on.a.post(PATH, content=b"{}" * 40, headers={"Content-Length": "2"})


def two_requests(on: Scene) -> httpx.Response:
    """Hide a second request in the body of a first that claims to have none."""
    hidden = f"GET {DEALS} HTTP/1.1\r\nHost: {on.netloc}\r\n\r\n".encode()
    try:
        return on.a.post(PATH, content=hidden, headers={"Content-Length": "0"})
    finally:
        assert not [one for one in on.sandbox.arrivals if one.path == DEALS]


def chunks_within(on: Scene) -> httpx.Response:
    """Write the end of the body, and another request, into the body itself."""
    hidden = f"0\r\n\r\nGET {DEALS} HTTP/1.1\r\nHost: {on.netloc}\r\n\r\n".encode()
    answer = on.a.post(PATH, content=iter([hidden]))
    assert not [one for one in on.sandbox.arrivals if one.path == DEALS]
    return answer


def traced(on: Scene) -> list[object]:
    seen: list[object] = []
    on.a.get(PATH, extensions={"trace": lambda *what: seen.append(what)})
    on.see(*seen)
    return seen


def broken_time(name: str, timeout: object) -> Way:
    def attack(on: Scene) -> None:
        request = on.a.build_request("GET", PATH)
        request.extensions["timeout"] = timeout
        try:
            on.see(on.a.send(request))
        finally:
            on.see(on.a.get(PATH))  # no place on the wire is lost

    return Way(name, attack)


def purpose_of_b(on: Scene) -> httpx.Response:
    return on.a.get(PATH, extensions={"purpose": on.portal_b.token})


def client_with_a_purpose_of_b(on: Scene) -> object:
    return on.agency.client(on.slug_a, purpose=on.portal_b.token)


def as_options_of_the_call(on: Scene) -> object:
    with contextlib.suppress(TypeError):
        on.a.get(PATH, proxy=on.other.url)  # type: ignore[call-arg]
    return on.a.get(PATH, verify=False)  # type: ignore[call-arg]


IDENTITY = [
    as_b("another portal's token for one call", per_call),
    as_b("another portal's token in odd capitals", in_small_letters),
    as_b("two tokens, of which the first is empty", twice),
    as_b("another portal's token as a default", client_default),
    as_b("new default headers", client_headers),
    as_b("another portal's token as a default parameter", client_params),
    as_b("a password for one call", basic),
    as_b("a password for all calls", client_auth),
    as_b("a function that signs", auth_function),
    as_b("a token in an auth flow's second request", auth_flow_as_b),
    as_b("a token from a hook", request_hook(set_authorization)),
    as_b("a token put on after the build", after_the_build),
    as_b("a request built by hand", hand_built),
    as_b("a request that its own body changes", while_it_is_sent, HOME),
    as_b("another portal's token as the purpose of a call", purpose_of_b),
    as_b("another portal's token as the purpose of a client", client_with_a_purpose_of_b, NONE),
    Way("an auth flow that goes elsewhere the second time", auth_flow_elsewhere),
    Way("an auth flow that asks twice", auth_flow_home, HOME),
    Way("digest authentication", digest, HOME),  # it waits to be asked, and nobody asks
    Way("a .netrc of the caller's own", netrc),
    Way("a hook that sends it elsewhere", request_hook(set_address)),
    Way("a hook that makes another method of it", request_hook(set_method)),
    Way("a hook that names another host", request_hook(set_host)),
    Way("a cookie in the jar", jar),
    Way("another jar", new_jar),
    carrying("a cookie for one call", headers={"cookie": "session=1"}),
    header("authorization of a proxy", "Proxy-Authorization", "Bearer x"),
    header("an empty authorization", "Authorization", ""),
    header("authorization and a space", "Authorization ", "Bearer x", LOST),
    header("the portal in a header", "X-HubSpot-Portal-Id", "1"),
]

STEERING = [
    header("another host", "Host", "elsewhere.example.com"),
    header("another host in odd capitals", "hOsT", "elsewhere.example.com"),
    Way("two hosts", two_hosts),
    header("a forwarded host", "X-Forwarded-Host", "elsewhere.example.com"),
    header("forwarded", "Forwarded", "host=elsewhere.example.com"),
    header("another address behind a proxy", "X-Original-URL", DEALS),
    header("an address to rewrite to", "X-Rewrite-URL", DEALS),
    header("another method", "X-HTTP-Method-Override", "DELETE"),
    header("another method, other words", "X-Method-Override", "DELETE"),
    header("a line break in a header", "X-Odd", "a\r\nAuthorization: Bearer x", LOST),
    header("a line break alone", "X-Odd", "a\nHost: elsewhere.example.com", LOST),
    header("a line break in a name", "X-Odd: a\r\nHost", "elsewhere.example.com", LOST),
    header("a folded header", "X-Odd", "a\r\n Host: elsewhere.example.com", LOST),
    header("a null in a header", "X-Odd", "a\x00b", LOST),
    header("what is no ASCII", "X-Odd", "\u010a\u0120", NONE),
    header("a proxy's connection", "Proxy-Connection", "keep-alive", HOME),
    header("the connection forgets the token", "Connection", "close, authorization"),
    header("another protocol", "Upgrade", "h2c"),
    header("trailers", "Trailer", "Authorization"),
    header("codings of the transfer", "TE", "trailers"),
    header("wait before the body", "Expect", "100-continue", HOME),
    header("an unknown coding", "Transfer-Encoding", "gzip, chunked"),
    header("chunked where there is no body", "Transfer-Encoding", "chunked", HOME),
    carrying(
        "a length and chunks", headers={"Content-Length": "4", "Transfer-Encoding": "chunked"}
    ),
    carrying("two lengths", headers=[("Content-Length", "0"), ("content-length", "5")]),
    header("a length with a sign", "Content-Length", "+0", LOST),
    header("a list of lengths", "Content-Length", "0, 5", LOST),
    Way("a body longer than it says", too_short, LOST),
    Way("a second request in the body", two_requests, LOST),
    Way("the end of the body within the body", chunks_within, HOME),
    told_to("a method that echoes", "TRACE"),
    told_to("a method that tunnels", "CONNECT"),
    told_to("a method with a request in it", f"GET {DEALS} HTTP/1.1\r\nX: y\r\n\r\nGET"),
    told_to("a method with a space", "GET "),
    told_to("no method", ""),
    told_to("a method nobody knows", "PURGE"),
]

EXTENSIONS = [
    carrying("another target", HOME, extensions={"target": b"http://elsewhere.example.com/"}),
    carrying("another name for TLS", HOME, extensions={"sni_hostname": "elsewhere.example.com"}),
    carrying("a stream of the network", HOME, extensions={"network_stream": object()}),
    carrying("a proxy as an extension", HOME, extensions={"proxy": "http://127.0.0.1:9"}),
    carrying("followed redirects as an extension", HOME, extensions={"follow_redirects": True}),
    Way("tracing", traced, HOME),
    Way("a proxy as an option of a call", as_options_of_the_call, NONE),
    broken_time("a timeout that is text", "soon"),
    broken_time("a timeout that is no number", {"pool": "x", "connect": "y", "read": object()}),
    broken_time("a timeout before now", {"connect": -1.0, "read": -1.0}),
    carrying("a purpose that is no text", extensions={"purpose": 5}),
    carrying("a purpose with a line break", extensions={"purpose": "a\nb"}),
    carrying("a purpose with a quotation mark", extensions={"purpose": '","portalId":1,"x":"'}),
    carrying("a purpose that is too long", extensions={"purpose": "x" * 65}),
]

WAYS = [*IDENTITY, *STEERING, *EXTENSIONS]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_nothing_set_on_a_request_steers_it(
    scene: Scene, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    endure(scene, way, caplog)
