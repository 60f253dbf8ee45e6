"""Jobs over many portals, pages, batches and attempts again stay with their own portal, too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from hsagency.client import PortalClient
from hsagency.errors import HsAgencyError
from hsagency.sandbox import Fault
from tests.isolation.attacking import DEALS, PATH, Ending, Scene, Way, endure, told
from tests.isolation.test_secrets import lies_open
from tests.support import tokens_of

HOME, NONE = Ending.HOME, Ending.NONE
DETAILS = "/account-info/v3/details"


def job_on_two(on: Scene) -> object:
    """A job for A that also calls B, through B's client."""
    theirs = on.b

    def job(client: PortalClient) -> tuple[int, int]:
        return (client.get(DETAILS).json()["portalId"], theirs.get(DETAILS).json()["portalId"])

    frame = on.agency.map(job, clients=[on.slug_a], purpose="attack")
    on.see(frame, frame.rows())
    assert f"{on.portal_a.portal_id}" in str(frame.rows())
    return frame


def job_that_keeps_clients(on: Scene) -> object:
    """Clients that outlive their job, used for each other's requests."""
    kept: dict[str, PortalClient] = {}

    def job(client: PortalClient) -> None:
        kept[client.portal.client_slug] = client
        client.get(PATH)

    on.see(on.agency.map(job, clients=[on.slug_a, on.slug_b], purpose="attack").rows())
    request = kept[on.slug_b].build_request("GET", PATH)
    try:
        return kept[on.slug_a].send(request).status_code
    except HsAgencyError as error:  # a job's client may end with it
        return told(error)


def job_elsewhere(on: Scene) -> object:
    """A job whose every call leads elsewhere: a row that tells of the refusal."""
    frame = on.agency.map(
        lambda client: client.get(f"{on.other.url}{PATH}"), clients=[on.slug_a], purpose="attack"
    )
    on.see(frame, frame.rows())
    assert [one["outcome"] for one in on.calls(on.slug_a)] == ["refused"]
    return on.a.get(on.other.url)


def job_with_a_token_for_a_purpose(on: Scene) -> object:
    return on.agency.map(
        lambda client: client.get(PATH), clients=[on.slug_a], purpose=on.portal_b.token
    )


def next_page_elsewhere(on: Scene) -> object:
    """A page whose next page is said to be on another host: the cursor is what counts."""
    link = f"{on.other.url}{PATH}?after=1"
    body = json.dumps({"results": [{"id": "1"}], "paging": {"next": {"after": "1", "link": link}}})
    on.sandbox.faults.add(Fault("malformed", portal=on.slug_a, path=PATH, body=body, times=1))
    results = on.a.pages(PATH)
    on.see(*results)
    return results


def cursor_that_is_an_address(on: Scene) -> object:
    body = json.dumps({"results": [{"id": "1"}], "paging": {"next": {"after": f"@{on.other.url}"}}})
    on.sandbox.faults.add(Fault("malformed", portal=on.slug_a, path=PATH, body=body, times=1))
    try:
        return list(on.a.pages(PATH))
    except HsAgencyError as error:  # the portal knows no such cursor
        return told(error)


def pages_of(path: str) -> Callable[[Scene], object]:
    def attack(on: Scene) -> object:
        return list(on.a.pages(path.replace("OTHER", on.other.url)))

    return attack


def another_at_the_second_attempt(on: Scene) -> object:
    """Change a request after its first attempt: each attempt is looked at."""
    portal = on.slug_a
    on.sandbox.faults.add(Fault("status", portal=portal, status=503, path=PATH, times=1))

    class Body(httpx.ByteStream):
        def __iter__(self) -> Iterator[bytes]:
            request.url = httpx.URL(f"{on.other.url}{PATH}")
            request.headers["Authorization"] = on.bearer_b
            yield b""

    request = on.a.build_request("GET", PATH)
    request.stream = Body(b"")
    return on.a.send(request)


def typed_error(on: Scene) -> object:
    """An answer that is an error, raised as one of ours."""
    client = on.agency.router.client(on.slug_a, purpose="attack", raising=True)
    with pytest.raises(HsAgencyError) as caught:
        client.get(DEALS, params={"limit": "many"})
    on.see(told(caught.value))
    error = caught.value.with_traceback(None)
    assert not lies_open(error, tokens_of(on.sandbox))
    return error


def many_attempts(on: Scene) -> object:
    """Every attempt is a call with a record of its own."""
    on.sandbox.faults.add(Fault("status", portal=on.slug_a, status=502, path=PATH, times=2))
    answer = on.a.get(PATH)
    assert answer.status_code == 200
    assert [one["attempt"] for one in on.calls(on.slug_a)][-3:] == [1, 2, 3]
    return answer


WAYS: list[Way] = [
    Way("a job that calls another portal's client", job_on_two, HOME, guests=1),
    Way("clients that outlive their job", job_that_keeps_clients, HOME, guests=1),
    Way("a job that leads elsewhere", job_elsewhere),
    Way("a job with a token for a purpose", job_with_a_token_for_a_purpose, NONE, own_token=True),
    Way("a next page on another host", next_page_elsewhere, HOME),
    Way("a cursor that is an address", cursor_that_is_an_address, HOME),
    Way("pages of another host", pages_of(f"OTHER{PATH}"), NONE),
    Way("pages of a host without a scheme", pages_of("//elsewhere.example.com/crm")),
    Way("pages of a path with dots", pages_of("/crm/v3/objects/contacts/..%2fdeals")),
    Way("another request at the second attempt", another_at_the_second_attempt, own_token=True),
    Way("an error that is raised", typed_error, HOME),
    Way("many attempts", many_attempts, HOME),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_no_job_and_no_attempt_leads_elsewhere(
    scene: Scene, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    endure(scene, way, caplog)
