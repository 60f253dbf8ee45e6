"""No point at which httpx can be extended lets a call past the guard, or shows it a token."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from hsagency.client import PortalClient
from tests.isolation.attacking import PATH, Ending, Scene, Way, endure, told

HOME, LOST, NONE = Ending.HOME, Ending.LOST, Ending.NONE


class Curious(httpx.BaseTransport):
    """A transport that must never be asked."""

    def __init__(self) -> None:
        self.asked = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        return httpx.Response(200, request=request)


def constructor(**options: Any) -> Callable[[Scene], object]:
    """Make a portal client of one's own with an option that httpx has."""

    def attack(on: Scene) -> object:
        return PortalClient(
            portal=on.a.portal, binding=on.a._binding, transport=on.a._transport, **options
        )

    return attack


def around_the_guard(**options: Any) -> Callable[[Scene], object]:
    """Put the guard of A's client into an ordinary httpx client."""

    def attack(on: Scene) -> object:
        options.setdefault("base_url", on.url)
        return httpx.Client(transport=on.a._transport, **options).get(PATH)

    return attack


def guard_elsewhere(on: Scene) -> object:
    return httpx.Client(transport=on.a._transport, base_url=on.other.url).get(PATH)


def guard_of_another_mount(on: Scene) -> object:
    mounts = {on.other.url: on.a._transport}
    client = httpx.Client(transport=Curious(), mounts=mounts, trust_env=False)
    return client.get(f"{on.other.url}{PATH}")


def guard_with_token(on: Scene) -> object:
    headers = {"Authorization": on.bearer_b}
    return httpx.Client(transport=on.a._transport, base_url=on.url, headers=headers).get(PATH)


def transport_of_ones_own(on: Scene) -> object:
    on.a._transport = Curious()
    on.a._mounts = {}
    return on.a.get(PATH)


def guard_of_b(on: Scene) -> object:
    on.a._transport = on.b._transport
    return on.a.get(PATH)


def guard_alone(on: Scene) -> object:
    request = httpx.Request("GET", f"{on.other.url}{PATH}")
    return on.a._transport.handle_request(request)


def guard_async(on: Scene) -> object:
    async def call() -> object:
        transport: Any = on.a._transport
        async with httpx.AsyncClient(transport=transport, base_url=on.url) as client:
            return await client.get(PATH)

    return asyncio.run(call())


def in_a_thread_of_asyncio(on: Scene) -> object:
    async def call() -> object:
        calls = (asyncio.to_thread(client.get, PATH) for client in [on.a, on.b] * 5)
        return await asyncio.gather(*calls)

    return asyncio.run(call())


def async_body(on: Scene) -> object:
    async def body() -> Any:
        yield b"{}"

    return on.a.post(PATH, content=body())


def async_auth(on: Scene) -> object:
    class Later(httpx.Auth):
        async def async_auth_flow(self, request: httpx.Request) -> Any:
            yield httpx.Request("GET", f"{on.other.url}{PATH}")

    return on.a.get(PATH, auth=Later())


def overriding(**methods: Callable[..., Any]) -> Callable[[Scene], object]:
    """Make A's client one of a subclass that overrides methods."""

    def attack(on: Scene) -> object:
        bound = {name: _with(on, method) for name, method in methods.items()}
        on.a.__class__ = type("Sub", (PortalClient,), bound)
        return on.a.get(PATH)

    return attack


def _with(on: Scene, method: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *given, **named: method(on, self, *given, **named)


def merge_elsewhere(on: Scene, _: PortalClient, __: object) -> httpx.URL:
    return httpx.URL(f"{on.other.url}{PATH}")


def build_elsewhere(on: Scene, _: PortalClient, method: str, **__: Any) -> Any:
    return httpx.Request(method, f"{on.other.url}{PATH}")


def build_as_b(on: Scene, _: PortalClient, method: str, **__: Any) -> Any:
    return httpx.Request(method, f"{on.url}{PATH}", headers={"Authorization": on.bearer_b})


def send_elsewhere(on: Scene, self: PortalClient, request: httpx.Request, **named: Any) -> Any:
    request.url = httpx.URL(f"{on.other.url}{PATH}")
    return httpx.Client.send(self, request, **named)


def never_closed(_: Scene, __: PortalClient) -> None:
    return None


def hook_sees(on: Scene) -> object:
    def look(request: httpx.Request) -> None:
        on.see(vars(request), request.headers.raw, request.extensions)

    def look_back(answer: httpx.Response) -> None:
        look(answer.request)
        on.see(vars(answer), answer.headers.raw, answer.extensions, answer.stream, answer.history)

    on.a.event_hooks = {"request": [look], "response": [look_back]}
    return on.a.get(PATH)


def hook_fails(on: Scene) -> object:
    def fail(_: httpx.Response) -> None:
        raise ZeroDivisionError

    on.a.event_hooks = {"response": [fail]}
    with pytest.raises(ZeroDivisionError) as caught:
        on.a.get(PATH)
    on.see(told(caught.value))
    return caught.value


def auth_sees(on: Scene) -> object:
    class Looking(httpx.Auth):
        requires_request_body = requires_response_body = True

        def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:
            answer = yield request  # type: ignore[misc]
            on.see(vars(request), vars(answer), answer.request.headers.raw)

    return on.a.get(PATH, auth=Looking())


def stream_sees(on: Scene) -> object:
    """A body looks at the frames that send it, as far as Python lets it."""

    class Looking(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            on.see([type(one).__name__ for one in gc.get_referrers(self)])
            yield b"{}"

    return on.a.post(PATH, content=Looking())


def body_of_odd_parts(on: Scene) -> object:
    return on.a.post(PATH, content=iter([memoryview(b"{}"), bytearray(b"")]))  # type: ignore[list-item]


def body_of_no_bytes(on: Scene) -> object:
    return on.a.post(PATH, content=iter(["{}", 5]))  # type: ignore[list-item]


def file_as_a_body(on: Scene) -> object:
    with (on.root / "connections.json").open("rb") as file:
        return on.a.post("/files/v3/files", files={"file": file})


def encoding_of_json(on: Scene) -> object:
    return on.a.post(PATH, json={"properties": {"company": on.url}}, params={"archived": "false"})


WAYS: list[Way] = [
    *(
        Way(f"a client of one's own with {name}", constructor(**{name: value}), NONE)
        for name, value in {
            "auth": ("user", "password"),
            "base_url": "http://127.0.0.1:9",
            "cert": ("cert.pem", "key.pem"),
            "cookies": {"a": "b"},
            "event_hooks": {"request": [print]},
            "headers": {"Authorization": "Bearer x"},
            "http2": True,
            "limits": httpx.Limits(),
            "mounts": {"all://": Curious()},
            "proxy": "http://127.0.0.1:9",
            "trust_env": True,
            "verify": False,
        }.items()
    ),
    Way("another transport in place of the guard", transport_of_ones_own, HOME),
    Way("the guard of B in place of A's", guard_of_b, HOME),
    Way("the guard in an ordinary client", around_the_guard(), HOME),
    Way("the guard in one that follows", around_the_guard(follow_redirects=True), HOME),
    Way("the guard in one with cookies", around_the_guard(cookies={"a": "b"})),
    Way("the guard in one with a password", around_the_guard(auth=("u", "p"))),
    Way("the guard in one without checks", around_the_guard(verify=False), HOME),
    Way("the guard behind another base", guard_elsewhere),
    Way("the guard mounted elsewhere", guard_of_another_mount),
    Way("the guard with another portal's token", guard_with_token, own_token=True),
    Way("the guard without any client", guard_alone),
    Way("the guard in an asynchronous client", guard_async, NONE),
    Way("calls out of asyncio", in_a_thread_of_asyncio, HOME, guests=1),
    Way("an asynchronous body", async_body, NONE),
    Way("an asynchronous auth flow", async_auth, HOME),
    Way("a subclass that merges addresses", overriding(_merge_url=merge_elsewhere)),
    Way("a subclass that builds requests", overriding(build_request=build_elsewhere)),
    Way("a subclass that adds a token", overriding(build_request=build_as_b), own_token=True),
    Way("a subclass that sends elsewhere", overriding(send=send_elsewhere)),
    Way("a subclass that is never closed", overriding(_refuse_if_closed=never_closed), HOME),
    Way("hooks that look", hook_sees, HOME),
    Way("a hook that fails", hook_fails, HOME),
    Way("an auth flow that looks", auth_sees, HOME),
    Way("a body that looks around", stream_sees, HOME),
    Way("a body of odd parts", body_of_odd_parts, HOME),
    Way("a body that is none", body_of_no_bytes, LOST),
    Way("a file as a body", file_as_a_body, HOME),
    Way("a body that names an address", encoding_of_json, HOME),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_no_extension_gets_past_the_guard(
    scene: Scene, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    endure(scene, way, caplog)
