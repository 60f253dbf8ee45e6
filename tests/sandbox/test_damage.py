"""
What becomes of answers on the way: the call took effect, and both carriers show it alike.

Facts 4.3 for what a lost answer means, 3.2 and 4.1 for headers and bodies that cannot be relied on;
the damage itself is what networks do, and rests on no document of HubSpot's.
"""

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.sandbox import Fault, Request, Sandbox
from hsagency.sandbox.faults.armed import NOTHING
from hsagency.sandbox.wire import pieces
from tests.sandbox.conftest import bearer

CONTACTS = "/crm/objects/2026-09/contacts"
NEW = {"properties": {"email": "new@example.com"}}
LIMITS = "x-hubspot-ratelimit-"


@pytest.fixture
def struck(connect, sandbox: Sandbox):
    """Create a contact under one fault."""
    client = connect(sandbox, sandbox.portals[0].token)

    def create(kind: str, *, timeout: float = 5, **words) -> httpx.Response:
        sandbox.faults.add(Fault(kind=kind, times=1, **words))
        return client.post(CONTACTS, json=NEW, timeout=timeout)

    return create


def made(sandbox: Sandbox) -> bool:
    """Look for the contact in the process, past every fault."""
    request = Request.parse(
        "GET",
        f"{CONTACTS}/new@example.com?idProperty=email",
        headers=[("authorization", f"Bearer {sandbox.portals[0].token}")],
    )
    return sandbox.handle(request).status == 200


def first(sandbox: Sandbox):
    return sandbox.ledger(sandbox.portals[0].portal_id)[0]


@pytest.mark.parametrize(("kind", "effect"), [("reset_before", False), ("reset_after", True)])
def test_a_reset_connection_is_a_read_error(struck, sandbox: Sandbox, kind, effect) -> None:
    """
    Facts 4.3: whether the call took effect is not to be told from the error.

    From documents alone.
    """
    with pytest.raises(httpx.ReadError):
        struck(kind)
    assert made(sandbox) == effect
    entry = first(sandbox)
    assert (entry.fault, entry.sent, entry.dropped) == (kind, None, kind.removeprefix("reset_"))
    assert entry.status == (201 if effect else None)


@pytest.mark.parametrize("keep", [None, 0, 10])
def test_a_truncated_body_is_a_protocol_error(struck, sandbox: Sandbox, keep) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        struck("truncated", keep=keep)
    assert made(sandbox)
    assert (first(sandbox).status, first(sandbox).fault) == (201, "truncated")


def arrived(answer: httpx.Response) -> bytes:
    """Return what comes of a body until it breaks off."""
    came = b""
    try:
        for part in answer.iter_raw():
            came += part
    except httpx.RemoteProtocolError:
        return came
    raise AssertionError("the body came to its end")


def test_a_truncated_body_comes_as_far_as_it_goes(connect, sandbox: Sandbox) -> None:
    client = connect(sandbox, sandbox.portals[0].token)
    whole = client.get(f"{CONTACTS}/101").content
    sandbox.faults.add(Fault(kind="truncated", keep=20, times=1))
    with client.stream("GET", f"{CONTACTS}/101") as answer:
        assert answer.headers["content-length"] == str(len(whole))
        came = arrived(answer)
    assert came == whole[:20]
    assert client.get(f"{CONTACTS}/101").content == whole


def test_what_has_no_body_cannot_be_truncated(connect, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault(kind="truncated", method="DELETE"))
    client = connect(sandbox, sandbox.portals[0].token)
    assert client.delete(f"{CONTACTS}/101").status_code == 204
    assert client.get(CONTACTS).status_code == 200


def test_a_slow_body_comes_to_who_waits_for_each_part(struck, sandbox: Sandbox) -> None:
    answer = struck("slow_body", seconds=0.9, timeout=0.8)  # in parts, each well before that
    assert (answer.status_code, first(sandbox).fault) == (201, "slow_body")
    assert answer.json()["properties"]["email"] == "new@example.com"


def test_a_body_that_is_too_slow_is_a_timeout(struck, sandbox: Sandbox) -> None:
    with pytest.raises(httpx.ReadTimeout):
        struck("slow_body", seconds=600, timeout=0.5)
    assert made(sandbox)


def test_an_empty_body_comes_with_a_good_status(struck, sandbox: Sandbox) -> None:
    """Facts 4.1: bodies may be empty. From documents alone."""
    answer = struck("empty")
    assert (answer.status_code, answer.content) == (201, b"")
    assert made(sandbox)


@pytest.mark.parametrize("body", [None, "", "{", "null", "<html>", "{'a': 1}"])
def test_a_malformed_body_comes_with_a_good_status(struck, sandbox: Sandbox, body) -> None:
    answer = struck("malformed", body=body)
    assert (answer.status_code, answer.headers["content-type"][:16]) == (201, "application/json")
    if body is None:
        with pytest.raises(json.JSONDecodeError):
            answer.json()
    else:
        assert answer.text == body
    assert made(sandbox)


def limits(answer: httpx.Response) -> list[str]:
    return [value for name, value in answer.headers.multi_items() if name.startswith(LIMITS)]


def test_rate_headers_come_twice_with_two_values(struck) -> None:
    """Facts 3.2: parse every header as it comes. An assumption."""
    headers = struck("headers", oddity="duplicate").headers
    both = headers.get_list("x-hubspot-ratelimit-daily")
    assert (len(both), len(set(both))) == (2, 2)


@pytest.mark.parametrize(
    ("oddity", "holds"),
    [
        ("not_a_number", lambda value: not value.isdigit()),
        ("negative", lambda value: int(value) <= 0),
        ("very_long", lambda value: len(value) > 4300),
    ],
)
def test_rate_headers_hold_what_they_should_not(struck, oddity, holds) -> None:
    """Facts 3.2: treat every header as optional. An assumption."""
    values = limits(struck("headers", oddity=oddity))
    assert len(values) == 7
    assert all(map(holds, values))


def test_rate_headers_may_be_missing(struck) -> None:
    """Facts 3.2: treat every header as optional, per response. An assumption."""
    answer = struck("headers", oddity="no_limits")
    assert (limits(answer), answer.status_code) == ([], 201)


def test_header_names_come_in_odd_case(struck) -> None:
    """Facts 3.2: names are case-insensitive. From documents alone."""
    answer = struck("headers", oddity="odd_case")
    assert b"x-hUBsPOT-rATElIMIT-dAILY" in [name for name, _ in answer.headers.raw]
    assert answer.headers["x-hubspot-ratelimit-daily"].isdigit()


def test_json_may_be_said_to_be_text(struck) -> None:
    answer = struck("headers", oddity="content_type")
    assert answer.headers["content-type"] == "text/plain"
    assert answer.json()["properties"]["email"] == "new@example.com"


def test_what_is_said_to_be_gzip_and_is_not_cannot_be_decoded(struck, sandbox: Sandbox) -> None:
    with pytest.raises(httpx.DecodingError):
        struck("headers", oddity="gzip")
    assert made(sandbox)


@pytest.mark.parametrize(("oddity", "how"), [("no_length", None), ("chunked", "chunked")])
def test_a_body_comes_without_a_length(struck, connect, sandbox, oddity, how) -> None:
    answer = struck("headers", oddity=oddity)
    assert "content-length" not in answer.headers
    assert answer.headers.get("transfer-encoding") == how
    assert answer.json()["properties"]["email"] == "new@example.com"
    again = connect(sandbox, sandbox.portals[0].token).get(CONTACTS)
    assert "content-length" in again.headers


def test_a_read_lags_behind_a_write(connect, sandbox: Sandbox) -> None:
    """Facts 4.3: read-after-write lag; that records have it too is an assumption."""
    client = connect(sandbox, sandbox.portals[0].token)
    before = client.get(f"{CONTACTS}/101").json()
    sandbox.clock.advance(60)
    client.patch(f"{CONTACTS}/101", json={"properties": {"firstname": "Zora"}})
    sandbox.faults.add(Fault(kind="lag", seconds=30, method="GET"))
    lagging = client.get(f"{CONTACTS}/101").json()
    assert lagging["properties"]["firstname"] == before["properties"]["firstname"]
    sandbox.clock.advance(31)
    assert client.get(f"{CONTACTS}/101").json()["properties"]["firstname"] == "Zora"
    entries = sandbox.ledger(sandbox.portals[0].portal_id)
    assert [entry.fault for entry in entries] == [None, None, "lag", "lag"]


@given(body=st.binary(max_size=200))
def test_the_pieces_of_a_body_are_the_body(body: bytes) -> None:
    parts = pieces(body)
    assert b"".join(parts) == body
    assert len(parts) <= 10
    assert all(parts)


def test_where_nothing_is_armed_nothing_is_noted(sandbox: Sandbox) -> None:
    assert made(sandbox) is False
    assert first(sandbox).fault is None
    assert NOTHING.name is None


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
    bare = Request("DELETE", f"{CONTACTS}/251", headers=bearer(sandbox.portals[0].token))
    assert sandbox.handle(bare).body == b""
    for id_ in (101, 151):
        answer = client.delete(f"{CONTACTS}/{id_}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert client.get(f"{CONTACTS}/201").json()["id"] == "201"
