"""An answer to a live connection that names another portal halts the fleet; nothing else does."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import suppress

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.agency import Agency
from hsagency.errors import ForeignAnswer, Halted, PortalMismatch
from hsagency.onboarding import judge_token
from hsagency.portals import Connection
from hsagency.routes import touched
from hsagency.sandbox import Fault
from hsagency.secret import Secret
from hsagency.transport import Binding, Call, Grant
from hsagency.transport.tripwire import named, named_in_error, observe
from tests.core.conftest import Child
from tests.support import Connected, connected, records

OURS, THEIRS = 12345678, 999
PATH = "/crm/objects/2026-09/contacts"
DETAILS = "/account-info/2026-09/details"
BIG = [{"id": str(number), "properties": {"portalId": "5"}} for number in range(4000)]


@pytest.fixture
def slug(fleet: Connected) -> str:
    return fleet.slugs[0]


def claiming(fleet: Connected, slug: str, *, claims: int = THEIRS) -> Fault:
    portal = fleet.sandbox.portal(slug).portal_id
    return Fault("wrong_portal", path="/account-info", portal_id=portal, claims=claims)


def events(fleet: Connected, slug: str) -> list[str]:
    return [one["event"] for one in records(fleet.agency.workspace.root, slug)]


def test_an_answer_that_names_another_portal_halts_the_fleet(
    fleet: Connected, slug: str, child: Child
) -> None:
    clients = [fleet.agency.client(one) for one in fleet.slugs]
    ours, theirs = (fleet.sandbox.portal(one).portal_id for one in fleet.slugs[:2])
    fleet.sandbox.faults.add(claiming(fleet, slug, claims=theirs))
    with pytest.raises(ForeignAnswer) as caught:
        clients[0].get(DETAILS)
    assert (caught.value.got, caught.value.expected) == (theirs, ours)
    assert f"portal {theirs} ({fleet.slugs[1]}), expected {ours} ({slug})" in caught.value.message
    assert caught.value.correlation_id == fleet.agency.halt.correlation_id()
    for client in clients:
        with pytest.raises(Halted, match=f"an answer to {slug} named portal {theirs}"):
            client.get(PATH)
    elsewhere = child(
        "import sys; from hsagency.agency import Agency;"
        "Agency.open(sys.argv[1]).client(sys.argv[2])",
        fleet.agency.workspace.root,
        fleet.slugs[2],
    )
    assert "hsagency.errors.Halted" in elsewhere.stderr


def test_the_alarm_is_on_record_for_its_client_and_the_agency(fleet: Connected, slug: str) -> None:
    client = fleet.agency.client(slug)
    theirs = fleet.sandbox.portal(fleet.slugs[1]).portal_id
    fleet.sandbox.faults.add(claiming(fleet, slug, claims=theirs))
    with pytest.raises(ForeignAnswer):
        client.get(DETAILS)
    said = records(fleet.agency.workspace.root, slug)
    assert [one["event"] for one in said[-2:]] == ["call.finished", "halt.set"]
    assert said[-2]["outcome"] == "ok"
    assert fleet.slugs[1] not in str(said), "a client's log names no other client"
    assert str(theirs) not in str(said), "nor its portal"
    assert "named another portal" in said[-1]["message"]
    assert fleet.slugs[1] in records(fleet.agency.workspace.root, "_agency")[-1]["message"]
    assert [events(fleet, one).count("halt.set") for one in fleet.slugs] == [1, 0, 0]
    fleet.sandbox.faults.clear()
    fleet.agency.resume(reason="a proxy mixed answers")
    assert fleet.agency.connection(slug).proof is None
    assert client.get(PATH).status_code == 200


def test_a_streamed_answer_raises_the_alarm_as_its_bytes_pass(fleet: Connected, slug: str) -> None:
    client = fleet.agency.client(slug)
    fleet.sandbox.faults.add(claiming(fleet, slug))
    with client.stream("GET", DETAILS) as response:
        assert fleet.agency.halt.reason() is None
        with pytest.raises(ForeignAnswer):
            response.read()
    assert fleet.agency.halt.reason() is not None


def test_a_proof_that_fails_halts_once_and_in_its_own_words(fleet: Connected, slug: str) -> None:
    fleet.sandbox.faults.add(claiming(fleet, slug))
    with pytest.raises(PortalMismatch, match="the token belongs to portal 999") as caught:
        fleet.agency.verify(slug)
    assert not isinstance(caught.value, ForeignAnswer)
    assert events(fleet, slug).count("halt.set") == 1


def test_a_halted_fleet_stays_so_for_whoever_opens_it_next(fleet: Connected, slug: str) -> None:
    client = fleet.agency.client(slug)
    fleet.sandbox.faults.add(claiming(fleet, slug))
    with pytest.raises(ForeignAnswer):
        client.get(DETAILS)
    fleet.sandbox.faults.clear()
    with Agency.open(fleet.agency.workspace.root) as later, pytest.raises(Halted):
        later.client(fleet.slugs[2])


class Parts(httpx.SyncByteStream):
    """A body that comes in parts; it is known how many were asked for."""

    def __init__(self, *parts: bytes) -> None:
        self.parts, self.taken, self.closed = parts, 0, False

    def __iter__(self) -> Iterator[bytes]:
        for part in self.parts:
            self.taken += 1
            yield part

    def close(self) -> None:
        self.closed = True


def call_of(connection: Connection, route: str = f"GET {PATH}") -> Call:
    method, path = route.split()
    host = httpx.URL("https://api.hubapi.com")
    binding = Binding(
        client_slug=connection.client_slug,
        portal_id=connection.portal_id,
        connection_type=connection.connection_type,
        host=host,
        fingerprint=connection.fingerprint,
        generation=1,
        purpose="interactive",
    )
    grant = Grant(binding=binding, way=httpx.HTTPTransport(), connection=connection)
    request = httpx.Request(method, host.join(path))
    return Call(request=request, touched=touched(method, path), grant=grant)


def answered(
    connection: Connection,
    body: bytes | Parts,
    *,
    route: str = f"GET {PATH}",
    status: int = 200,
    **headers: str,
) -> list[int]:
    """Have an answer watched and read whole; return the portals that the alarm was raised for."""
    raised: list[int] = []
    said = {"content-type": "application/json;charset=utf-8"}
    said |= {name.replace("_", "-"): value for name, value in headers.items()}
    stream = body if isinstance(body, Parts) else Parts(body)
    response = httpx.Response(status, headers=said, stream=stream)
    with suppress(ForeignAnswer):
        observe(
            response,
            call_of(connection, route),
            alarm=lambda _, error: raised.append(error.got),
        )
        read = b"".join(response.iter_raw())
        assert not raised, "an alarm is raised to whoever reads the body"
        assert read == b"".join(stream.parts)
    return raised


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Connection:
    with connected(tmp_path_factory.mktemp("one")) as made:
        return made.agency.connection(made.slugs[0])


def foreign(**more: object) -> bytes:
    return orjson.dumps({"results": [], **more, "portalId": THEIRS})


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (foreign(), {}),
        (b'{"hubId" :\n 999}', {}),
        (b'{"portalId":999,"results":[' + orjson.dumps(BIG)[1:-1] + b"]}", {}),
        (b'{"portalId":999,"results":[' + b'{"a":"' + b"x" * 70_000, {}),
        (gzip.compress(foreign(), mtime=0), {"content_encoding": "gzip"}),
        (zlib.compress(foreign()), {"content_encoding": "deflate"}),
        (zlib.compress(foreign(), wbits=-15), {"content_encoding": "deflate"}),
        (gzip.compress(foreign(), mtime=0), {"content_encoding": "GZIP, identity"}),
        (foreign(), {"content_encoding": "identity"}),
        (foreign(), {"content_type": "Application/JSON"}),
        (b"\n " + foreign(), {"content_type": ""}),
        (Parts(b'{"por', b'talId"', b": 99", b"9}"), {}),
        (Parts(b'{"portalId": 999}', b""), {"content_length": "17"}),
    ],
)
def test_what_names_another_portal_at_its_top_raises_the_alarm(
    connection: Connection, body: bytes | Parts, headers: dict[str, str]
) -> None:
    assert answered(connection, body, **headers) == [THEIRS]


@pytest.mark.parametrize(
    "said",
    [
        {"properties": {"portalId": THEIRS, "hubId": THEIRS}},
        {"results": [{"portalId": THEIRS}]},
        {"results": BIG, "paging": {"next": {"portalId": THEIRS}}},
        {"portalId": str(THEIRS), "hubId": None},
        {"portalId": 999.0, "hubId": True},
        {"portalId": -1, "hubId": 0},
        {"portalId": {"portalId": THEIRS}, "hubId": [THEIRS]},
        {"name": "portalId", "value": THEIRS},
        {'name: \\"portalId': THEIRS, 'x": {"portalId': THEIRS},
        [{"portalId": THEIRS, "accountType": "STANDARD"}],
        "portalId",
        {},
    ],
)
def test_what_is_about_something_else_is_no_alarm(connection: Connection, said: object) -> None:
    body = orjson.dumps(said)
    assert answered(connection, body) == []
    assert answered(connection, body + b" " * 70_000) == []
    assert answered(connection, body[:-1]) == [], "half a body names no more than a whole one"


@pytest.mark.parametrize(
    "route",
    [
        "GET /crm/objects/2026-09/partner_clients/5",
        "GET /crm/v3/objects/0-145/5",
        "POST /oauth/v2/private-apps/get/access-token-info",
        "GET /cms/v3/source-code/published/content/data/portal.json",
        f"GET /feature-flags/v3/apps-of/portals/{THEIRS}",
        f"GET /account-info/2026-09/details?portalId={THEIRS}",
    ],
)
def test_what_is_asked_about_another_portal_is_no_alarm(connection: Connection, route: str) -> None:
    assert answered(connection, foreign(), route=route) == []
    assert answered(connection, foreign(), route=f"GET {DETAILS}") == [THEIRS]
    assert answered(connection, foreign(), route=f"GET {PATH}/{THEIRS}0") == [THEIRS]


def test_our_own_portal_is_no_alarm(connection: Connection) -> None:
    own = connection.portal_id
    assert answered(connection, orjson.dumps({"portalId": own, "hubId": own})) == []
    error = orjson.dumps({"message": f"Hub {own} is unknown to this Hublet", "portalId": own})
    assert answered(connection, error, status=488) == []


@pytest.mark.parametrize("content_type", ["text/html", "application/octet-stream"])
def test_what_is_no_json_is_not_looked_at(connection: Connection, content_type: str) -> None:
    assert answered(connection, foreign(), content_type=content_type) == []
    assert answered(connection, foreign(), content_encoding="br") == []
    assert answered(connection, foreign(), content_encoding="gzip, br") == []
    assert answered(connection, b"\x00" + foreign(), content_encoding="gzip") == []
    page = b"<script>" + foreign() + b"</script>"
    assert answered(connection, page, content_type="") == []


GROUP = "publicapi:private_app-api-calls-ten-secondly"
WORDS = "Hub 999 is unknown to this Hublet, but it appears to exist in Hublet eu1"


@pytest.mark.parametrize(
    ("status", "said", "alarm"),
    [
        (488, {"message": WORDS, "correctHublet": "eu1"}, True),
        (477, {"message": "Hub 999 is currently being migrated"}, True),
        (429, {"policyName": "TEN_SECONDLY_ROLLING", "groupName": f"{GROUP}:999:77"}, True),
        (404, {"message": "resource not found", "portalId": 999}, True),
        (400, {"message": WORDS}, False),
        (404, {"message": "Object Hub 999 is gone"}, False),
        (488, {"message": f"Said a client: {WORDS}"}, False),
        (488, {"message": {"message": WORDS}}, False),
        (429, {"groupName": "publicapi:some-app:999:77"}, False),
        (429, {"groupName": f"{GROUP}:999"}, False),
        (429, {"errors": [{"groupName": f"{GROUP}:999:77"}]}, False),
        (400, {"context": {"portalId": [999]}}, False),
    ],
)
def test_an_error_that_names_another_portal_raises_the_alarm_at_once(
    connection: Connection, status: int, said: object, *, alarm: bool
) -> None:
    assert answered(connection, orjson.dumps(said), status=status) == [THEIRS] * alarm
    assert answered(connection, orjson.dumps(said)[:-2], status=status) == []


def test_an_error_is_left_unread_for_the_caller(connection: Connection) -> None:
    body = orjson.dumps({"message": "no", "category": "CONFLICT"})
    stream = Parts(body[:5], body[5:])
    assert answered(connection, stream, status=409) == []
    assert stream.taken == 2


def test_a_caller_who_stops_before_the_end_is_told_when_letting_go(connection: Connection) -> None:
    stream = Parts(foreign()[:-1], b"}", b" ")
    response = httpx.Response(200, headers={"content-type": "application/json"}, stream=stream)
    raised: list[int] = []
    observe(response, call_of(connection), alarm=lambda _, error: raised.append(error.got))
    parts = response.iter_raw()
    next(parts), next(parts)
    with pytest.raises(ForeignAnswer):
        response.close()
    assert stream.closed
    assert raised == [THEIRS]


@pytest.mark.parametrize(
    ("parts", "headers"),
    [
        ((foreign(), b""), {"content-length": str(len(foreign()))}),
        ((foreign(), b" " * 70_000, b" "), {}),
    ],
)
def test_where_enough_has_come_it_is_not_handed_on(
    connection: Connection, parts: tuple[bytes, ...], headers: dict[str, str]
) -> None:
    stream = Parts(*parts)
    said = {"content-type": "application/json", **headers}
    response = httpx.Response(200, headers=said, stream=stream)
    observe(response, call_of(connection), alarm=lambda *_: None)
    got = response.iter_raw()
    with pytest.raises(ForeignAnswer):
        [next(got) for _ in parts[:-1]]
    assert stream.taken == len(parts) - 1


def test_a_credential_that_is_judged_has_no_portal_to_compare_with(fleet: Connected) -> None:
    fleet.sandbox.faults.add(Fault("wrong_portal", path="/account-info", claims=THEIRS))
    token = Secret(fleet.sandbox.spare.token)
    with pytest.raises(PortalMismatch):
        judge_token(
            fleet.agency, token, expected=fleet.sandbox.spare.portal_id, api=fleet.server.url
        )
    assert fleet.agency.halt.reason() is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2000) | st.sampled_from(["portalId", 'a"b', "\\"]),
    lambda one: (
        st.lists(one, max_size=3)
        | st.dictionaries(st.sampled_from(["portalId", "hubId", "a", 'x"{', "\\"]), one, max_size=4)
    ),
    max_leaves=12,
)


@given(said=JSON)
def test_the_beginning_of_a_body_names_what_the_whole_names(said: object) -> None:
    body = orjson.dumps(said)
    whole = named(body)
    cut = named(body[:-1]) if isinstance(said, dict) and said else []
    assert sorted(named(body + b"{")) == sorted(whole), "not JSON as a whole, so it is scanned"
    assert not set(cut) - set(whole)
    assert named_in_error(body, status=429) == whole
