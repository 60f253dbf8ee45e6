"""Whoever changes, shares, copies or keeps what a client hands out does not get further by it."""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from hsagency.agency import Agency
from hsagency.client import PortalClient
from hsagency.errors import HsAgencyError
from tests.isolation.attacking import DEALS, PATH, Ending, Scene, Way, endure
from tests.isolation.witness import Witness
from tests.support import assert_no_tokens, connected, tokens_of

HOME, LOST, NONE = Ending.HOME, Ending.LOST, Ending.NONE


def base_elsewhere(on: Scene) -> httpx.Response:
    on.a.base_url = on.other.url
    return on.a.get(PATH)


def base_of_hubspot(on: Scene) -> httpx.Response:
    on.a.base_url = "https://api.hubapi.com"
    return on.a.get(PATH)


def base_with_a_user(on: Scene) -> httpx.Response:
    on.a.base_url = f"http://user:pass@{on.netloc}"
    return on.a.get(PATH)


def base_below(on: Scene) -> httpx.Response:
    on.a.base_url = f"{on.url}/crm/v3"
    return on.a.get("/objects/contacts")


def base_above(on: Scene) -> httpx.Response:
    on.a.base_url = f"{on.url}/crm/..%2f"
    return on.a.get(PATH)


def trusting(on: Scene) -> httpx.Response:
    on.patch.setenv("HTTP_PROXY", on.other.url)
    on.patch.setenv("ALL_PROXY", on.other.url)
    vars(on.a)["_trust_env"] = True
    return on.a.get(PATH)


def timeless(on: Scene) -> httpx.Response:
    on.a.timeout = None
    return on.a.get(PATH)


def another_portal(on: Scene) -> httpx.Response:
    on.a.portal = on.b.portal  # type: ignore[misc]
    return on.a.get(PATH)


def another_purpose(on: Scene) -> httpx.Response:
    on.a.purpose = on.slug_b  # type: ignore[misc]
    return on.a.get(PATH)


def known_by(take: Callable[[PortalClient], object]) -> Callable[[Scene], object]:
    """Take something from A's client, and call with it if that works."""

    def attack(on: Scene) -> object:
        on.a.get(PATH)
        before = len(on.calls(on.slug_a))
        try:
            return take(on.a)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            on.see(error)
            assert len(on.calls(on.slug_a)) == before
            return error

    return attack


def copied_request(take: Callable[[httpx.Request], httpx.Request]) -> Callable[[Scene], object]:
    """A copy of an answered request goes through B's client as B, in B's log."""

    def attack(on: Scene) -> object:
        request = take(on.a.get(PATH).request)
        on.see(vars(request), request.headers.raw)
        try:
            return on.b.send(request)
        except httpx.StreamError as error:  # a copy leaves the body behind
            return error

    return attack


def through_pickle(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


def pickled_answer(on: Scene) -> httpx.Response:
    answer = on.a.get(PATH)
    on.see(pickle.dumps(answer).decode("latin-1"))
    again: httpx.Response = through_pickle(answer)
    return on.a.send(again.request)


def pickled_error(on: Scene) -> object:
    try:
        return on.a.get(f"{on.other.url}{PATH}")
    except HsAgencyError as error:
        on.see(pickle.dumps(error).decode("latin-1"), vars(through_pickle(error)))
        raise


def error_of_httpx(on: Scene) -> object:
    try:
        return on.a.get(f"{PATH}/1/2/3/4", extensions={"purpose": "x", "allow_unclassified": True})
    finally:
        answer = on.a.get(DEALS, params={"limit": "many"})
        try:
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            on.see(error.request.headers.raw, vars(error.response), pickle.dumps(error.request))


def built_by_b(on: Scene) -> httpx.Response:
    on.b.headers["X-Of-B"] = "1"
    return on.a.send(on.b.build_request("GET", PATH))


def request_of_b(on: Scene) -> httpx.Response:
    return on.a.send(on.b.get(PATH).request)


def sent_twice(on: Scene) -> httpx.Response:
    request = on.a.build_request("GET", PATH)
    on.see(on.a.send(request))
    return on.a.send(request)


def answer_of_b(on: Scene) -> httpx.Response:
    """Put the stream of B's answer into a request of A's."""
    with on.b.stream("GET", PATH) as answer:
        return on.a.post(PATH, content=answer.iter_raw())


def body_that_calls_b(on: Scene) -> httpx.Response:
    def body() -> Iterator[bytes]:
        yield b'{"properties": {"company": "'
        yield str(on.b.get(PATH).status_code).encode()
        yield b'"}}'

    return on.a.post(PATH, content=body())


def body_that_calls_a(on: Scene) -> httpx.Response:
    def body() -> Iterator[bytes]:
        yield b'{"properties": {"company": "'
        yield str(on.a.get(DEALS).status_code).encode()
        yield b'"}}'

    return on.a.post(PATH, content=body())


def body_refused_by_b(on: Scene) -> httpx.Response:
    def body() -> Iterator[bytes]:
        yield b'{"properties": '
        yield on.b.get(f"{on.other.url}{PATH}").content

    return on.a.post(PATH, content=body())


def hook_that_calls_b(on: Scene) -> httpx.Response:
    on.a.event_hooks = {"request": [lambda _: on.see(on.b.get(PATH))]}
    return on.a.get(PATH)


def answers_crossed(on: Scene) -> None:
    """Read two answers alternately: each part is of the portal that was asked."""
    with on.a.stream("GET", PATH) as mine, on.b.stream("GET", PATH) as theirs:
        parts = list(zip(mine.iter_raw(20), theirs.iter_raw(20), strict=False))
        assert parts
        on.see(mine.extensions, theirs.extensions, mine.stream, vars(mine))


def closed(on: Scene) -> httpx.Response:
    client = on.a
    client.close()
    return client.get(PATH)


def closed_by_its_body(on: Scene) -> httpx.Response:
    client = on.a

    def body() -> Iterator[bytes]:
        yield b'{"properties": '
        client.close()
        yield b"{}}"

    return client.post(PATH, content=body())


def twin(on: Scene) -> httpx.Response:
    """Make a second client out of the parts of the first."""
    made = object.__new__(PortalClient)
    vars(made).update(vars(on.a))
    return made.get(PATH)


def plain_twin(on: Scene) -> httpx.Response:
    made = object.__new__(httpx.Client)
    vars(made).update(vars(on.a))
    return made.get(f"{on.other.url}{PATH}")


def plain_class(on: Scene) -> httpx.Response:
    on.a.__class__ = httpx.Client  # type: ignore[assignment]
    return on.a.get(f"{on.other.url}{PATH}")


def attributes_of_b(on: Scene) -> httpx.Response:
    """Give A's client everything public of B's."""
    for name in ("headers", "params", "cookies", "event_hooks", "base_url", "timeout", "auth"):
        setattr(on.a, name, getattr(on.b, name))
    return on.a.get(PATH)


def two_agencies(on: Scene) -> httpx.Response:
    """A second agency on another sandbox, with the same slugs, in this process."""
    sandbox = Witness(portals=3)
    with connected(on.root.parent / "second", sandbox=sandbox) as second:
        came = len(sandbox.arrivals)
        theirs = second.agency.client(on.slug_a)
        on.see(theirs.get(PATH))
        assert [one.fingerprint for one in sandbox.arrivals[came:]] == [
            second.agency.connection(on.slug_a).fingerprint
        ]
        try:
            return on.a.send(theirs.build_request("GET", PATH))
        finally:
            assert len(sandbox.arrivals) == came + 1
            assert_no_tokens([second.agency.workspace.root], tokens_of(sandbox))


def agency_opened_twice(on: Scene) -> httpx.Response:
    with Agency.open(on.root) as second:
        on.see(second.client(on.slug_a).get(PATH))
        return on.a.send(second.client(on.slug_b).build_request("GET", PATH))


def closed_agency(on: Scene) -> httpx.Response:
    client = on.a
    on.agency.close()
    return client.get(PATH)


class FalseAddress(httpx.URL):
    """An address that tells everybody another path than it has."""

    @property
    def raw_path(self) -> bytes:
        return PATH.encode()


class FalseHost(httpx.URL):
    """An address that tells everybody another host than it has."""

    told = httpx.URL("http://127.0.0.1")

    @property
    def host(self) -> str:
        return self.told.host

    @property
    def port(self) -> int | None:
        return self.told.port


class FalseMethod(str):
    """A method that is one for whoever sends it, and another for whoever looks."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return other == "GET"

    def __hash__(self) -> int:
        return hash("GET")


class FalseHeaders(httpx.Headers):
    """Headers of which each reader but the last sees none that is forbidden."""

    seen = 0

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        self.seen += 1
        if self.seen > 1:
            return super().raw
        return [one for one in super().raw if one[0].lower() != b"x-hubspot-portal-id"]


def false_path(on: Scene) -> httpx.Response:
    request = on.a.build_request("GET", PATH)
    request.url = FalseAddress(f"{on.url}{DEALS}")
    return on.a.send(request)


def false_host(on: Scene) -> httpx.Response:
    request = on.a.build_request("GET", PATH)
    FalseHost.told = httpx.URL(on.url)
    request.url = FalseHost(f"{on.other.url}{PATH}")
    return on.a.send(request)


def false_method(on: Scene) -> httpx.Response:
    request = on.a.build_request("GET", f"{PATH}/1")
    request.method = FalseMethod("DELETE")
    return on.a.send(request)


def false_headers(on: Scene) -> httpx.Response:
    request = on.a.build_request("GET", PATH)
    request.headers = FalseHeaders([*request.headers.multi_items(), ("X-HubSpot-Portal-Id", "1")])
    return on.a.send(request)


WAYS: list[Way] = [
    Way("an address that lies about its path", false_path, HOME),
    Way("an address that lies about its host", false_host),
    Way("a method that lies about itself", false_method, HOME),
    Way("headers that lie about themselves", false_headers, HOME),
    Way("another base", base_elsewhere),
    Way("HubSpot as the base", base_of_hubspot),
    Way("a base with a user", base_with_a_user),
    Way("a base below", base_below, HOME),
    Way("a base with encoded dots", base_above),
    Way("a client told to trust the environment", trusting, HOME),
    Way("a client without a timeout", timeless, HOME),
    Way("another portal as the client's", another_portal, NONE),
    Way("another purpose as the client's", another_purpose, NONE),
    Way("everything public of another's client", attributes_of_b, HOME),
    Way("a copy of a client", known_by(copy.copy), HOME),
    Way("a deep copy of a client", known_by(copy.deepcopy), HOME),
    Way("a pickled client", known_by(pickle.dumps), HOME),
    Way("a pickled transport", known_by(lambda client: pickle.dumps(client._transport)), HOME),
    Way("a request that was answered", copied_request(lambda one: one), HOME, guests=1),
    Way("its copy", copied_request(copy.copy), HOME, guests=1),
    Way("its pickle", copied_request(through_pickle), HOME, guests=1),
    Way("a pickled answer", pickled_answer, LOST),
    Way("a pickled error", pickled_error),
    Way("an error status of httpx's", error_of_httpx, HOME),
    Way("a request that another's client built", built_by_b, HOME),
    Way("a request that another's client sent", request_of_b, HOME, guests=1),
    Way("a request sent twice", sent_twice, HOME),
    Way("another's answer as a body", answer_of_b, HOME, guests=1),
    Way("a body that calls another portal", body_that_calls_b, HOME, guests=1),
    Way("a body that calls the same portal", body_that_calls_a, HOME),
    Way("a body that another's guard refuses", body_refused_by_b, LOST, guests=1),
    Way("a hook that calls another portal", hook_that_calls_b, HOME, guests=1),
    Way("two answers read by turns", answers_crossed, HOME, guests=1),
    Way("a client that was closed", closed, NONE),
    Way("a client that its body closes", closed_by_its_body, HOME),
    Way("a second client of the same parts", twin, HOME),
    Way("an httpx client of the same parts", plain_twin),
    Way("a client turned into one of httpx's", plain_class),
    Way("two agencies in one process", two_agencies),
    Way("one agency opened twice", agency_opened_twice, HOME),
    Way("a client of a closed agency", closed_agency, NONE),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_no_handle_leads_to_another_portal(
    scene: Scene, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    endure(scene, way, caplog)


def test_the_clients_of_two_portals_share_no_object_that_one_could_change(scene: Scene) -> None:
    scene.see(scene.a.get(PATH), scene.b.get(PATH))
    mine, theirs = (
        {id(one) for one in vars(client).values() if gc.is_tracked(one)}
        for client in (scene.a, scene.b)
    )
    shared = [one for one in vars(scene.a).values() if id(one) in mine & theirs]
    assert not [one for one in shared if isinstance(one, dict | list | httpx.Headers)]
