"""No redirect leads a call off its portal's host, by whichever code and whoever follows it."""

from __future__ import annotations

import httpx
import pytest

from hsagency.errors import CallRefused
from hsagency.sandbox import Fault
from tests.isolation.attacking import DEALS, PATH, Ending, Scene, Way, endure

CODES = (301, 302, 303, 307, 308)
HOME = Ending.HOME


def redirect(on: Scene, location: str, *, status: int = 302, times: int = 1) -> None:
    """Let A's portal answer its next calls with a redirect."""
    portal = on.slug_a
    fault = Fault("redirect", portal=portal, status=status, location=location, times=times)
    on.sandbox.faults.add(fault)


def following(name: str, location: str, ending: Ending = Ending.REFUSED) -> Way:
    """Follow a location in which OWN and OTHER stand for hosts."""

    def attack(on: Scene) -> httpx.Response:
        other = on.other.url.removeprefix("http://")
        redirect(on, location.replace("OWN", on.netloc).replace("OTHER", other))
        return on.a.get(PATH, follow_redirects=True)

    return Way(name, attack, ending)


def by_code(status: int, method: str) -> Way:
    def attack(on: Scene) -> httpx.Response:
        redirect(on, f"{on.other.url}{PATH}", status=status)
        content = b'{"properties": {}}' if method == "POST" else None
        return on.a.request(method, PATH, content=content, follow_redirects=True)

    return Way(f"a {status} of a {method} to another host", attack)


def client_that_follows(on: Scene) -> httpx.Response:
    on.a.follow_redirects = True
    redirect(on, f"{on.other.url}{PATH}")
    return on.a.get(PATH)


def next_request(on: Scene) -> httpx.Response:
    redirect(on, f"{on.other.url}{PATH}")
    answer = on.a.get(PATH)
    assert answer.next_request is not None
    return on.a.send(answer.next_request)


def next_request_by_b(on: Scene) -> httpx.Response:
    """Of a redirect on A's host, B's client may go on: as B, in B's log."""
    redirect(on, f"{on.url}{DEALS}")
    answer = on.a.get(PATH)
    assert answer.next_request is not None
    return on.b.send(answer.next_request)


def next_request_elsewhere_by_b(on: Scene) -> httpx.Response:
    redirect(on, f"{on.other.url}{PATH}")
    answer = on.a.get(PATH)
    assert answer.next_request is not None
    with pytest.raises(CallRefused, match="another host"):
        on.b.send(answer.next_request)
    assert on.calls(on.slug_b)[-1]["outcome"] == "refused"
    return answer


def in_a_circle(on: Scene) -> None:
    redirect(on, f"{on.url}{PATH}", times=50)
    on.a.max_redirects = 3
    with pytest.raises(httpx.TooManyRedirects):
        on.a.get(PATH, follow_redirects=True)


def hook_that_follows(on: Scene) -> httpx.Response:
    def follow(answer: httpx.Response) -> None:
        if answer.next_request is not None or "location" in answer.headers:
            on.a.event_hooks = {}
            on.see(on.a.get(answer.headers["location"]))

    on.a.event_hooks = {"response": [follow]}
    redirect(on, f"{on.other.url}{PATH}")
    return on.a.get(PATH)


def with_default_token(on: Scene) -> httpx.Response:
    redirect(on, f"{on.url}{DEALS}")
    answer = on.a.get(PATH)
    assert answer.next_request is not None
    answer.next_request.headers["Authorization"] = on.bearer_b
    return on.a.send(answer.next_request)


def streamed(on: Scene) -> httpx.Response:
    redirect(on, f"{on.other.url}{PATH}")
    with on.a.stream("GET", PATH, follow_redirects=True) as answer:
        return answer


def forgotten_method(on: Scene) -> httpx.Response:
    """A 303 makes a GET of a POST, which is recorded as one."""
    redirect(on, f"{on.url}{DEALS}", status=303)
    answer = on.a.post(PATH, json={"properties": {}}, follow_redirects=True)
    assert on.calls(on.slug_a)[-1]["method"] == "GET"
    return answer


WAYS: list[Way] = [
    *(by_code(status, method) for status in CODES for method in ("GET", "POST")),
    following("to an address without a scheme", f"//OTHER{PATH}"),
    following("to a user", f"http://user:pass@OWN{PATH}"),
    following("to the own host as a user", f"http://OWN@OTHER{PATH}"),
    following("to a backslash", f"http://OTHER\\@OWN{PATH}"),
    following("to TLS on the same port", f"https://OWN{PATH}"),
    following("to HubSpot itself", f"https://api.hubapi.com{PATH}"),
    following("to another data centre", f"https://api-eu1.hubapi.com{PATH}"),
    following("to another protocol", f"ftp://OTHER{PATH}"),
    following("to encoded dots", "/crm/v3/objects/contacts/..%2fdeals"),
    following("to an API key", f"{PATH}?hapikey=0"),
    following("to another path at home", DEALS, HOME),
    following("to a relative path", "deals", HOME),
    Way("a client that follows by itself", client_that_follows),
    Way("the next request, sent by hand", next_request),
    Way("the next request, sent by another's client", next_request_by_b, HOME, guests=1),
    Way(
        "that to another host, sent by another's client",
        next_request_elsewhere_by_b,
        HOME,
        guests=1,
    ),
    Way("the next request with another portal's token", with_default_token, own_token=True),
    Way("in a circle", in_a_circle, HOME),
    Way("a hook that follows", hook_that_follows),
    Way("of an answer that is streamed", streamed),
    Way("with another method", forgotten_method, HOME),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_no_redirect_leads_off_the_host(
    scene: Scene, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    endure(scene, way, caplog)
