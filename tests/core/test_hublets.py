"""Data centres: a call is led to that of its portal, once, and nowhere that is not HubSpot's."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hsagency import onboarding
from hsagency.agency import Agency
from hsagency.errors import (
    AuditWarning,
    CorruptFile,
    CredentialRejected,
    Halted,
    PortalMismatch,
    PortalUnreachable,
    UsageError,
)
from hsagency.hosts import host_of, is_data_centre, is_loopback, parse_api_base
from hsagency.hubspot_errors import WrongDataCentre
from hsagency.portals import Connection
from hsagency.sandbox import Fault, Sandbox, serve
from hsagency.settings import FILE, Workspace
from tests.core.conftest import Child
from tests.support import Answer, Connected, Seen, client_list, listening, records

CONTACTS = "/crm/v3/objects/contacts"
DETAILS = "/account-info/2026-09/details"
SANDBOX = "http://127.0.0.1:8000"


# Where calls go


@pytest.mark.parametrize(
    ("api_base", "routed_to", "host"),
    [
        ("", None, "https://api.hubapi.com"),
        ("", "na1", "https://api.hubapi.com"),
        ("", "eu1", "https://api-eu1.hubapi.com"),
        ("", "na2", "https://api-na2.hubapi.com"),
        ("", "zz999", "https://api-zz999.hubapi.com"),
        (SANDBOX, None, SANDBOX),
        (SANDBOX, "na1", SANDBOX),
        (SANDBOX, "eu1", "http://api-eu1.hubapi.localhost:8000"),
        ("https://[::1]:8000", "ap1", "https://api-ap1.hubapi.localhost:8000"),
    ],
)
def test_each_data_centre_has_its_host(api_base: str, routed_to: str | None, host: str) -> None:
    assert str(host_of(api_base, routed_to)) == host


NEAR = st.from_regex(r"\A.{0,3}[a-z]{1,3}[0-9]{0,4}.{0,12}\Z")


@given(st.text(max_size=40) | NEAR)
@example("eu1.evil.com#")
@example("eu1@evil.com")
@example("eu1\n")
@example("eu\u0661")
@example("EU1")
@example("")
def test_no_name_of_a_data_centre_leads_away_from_hubspot(name: str) -> None:
    try:
        host = host_of("", name)
        sandbox = host_of(SANDBOX, name)
    except CorruptFile:
        assert not is_data_centre(name)
        return
    assert re.fullmatch(r"https://api(-[a-z]{2}[0-9]{1,3})?\.hubapi\.com", str(host))
    assert is_loopback(sandbox.host)
    assert (sandbox.scheme, sandbox.port) == ("http", 8000)


@given(st.text(max_size=60) | st.from_regex(r"\A(https?|ftp)://.{0,30}\Z"))
@example("http://127.0.0.1:80@evil.com")
@example("http://localhost.evil.com:80")
@example("http://api.hubapi.com")
@example("http://127.0.0.1:1\\@evil.com")
def test_no_address_of_a_sandbox_leads_away_from_this_machine(address: str) -> None:
    try:
        kept = parse_api_base(address)
        host = host_of(address, "eu1")
    except UsageError:
        return
    assert not kept or (is_loopback(host_of(kept).host) and is_loopback(host.host))


@pytest.mark.parametrize("name", [None, 5, ["eu1"], b"eu1", True])
def test_what_is_no_text_names_no_data_centre(name: object) -> None:
    assert not is_data_centre(name)


@pytest.mark.parametrize(
    ("name", "here"),
    [
        *(("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True)),
        *(("api-eu1.hubapi.localhost", True), ("localhost.evil.com", False)),
        *(("evillocalhost", False), ("0.0.0.0", False), ("api.hubapi.com", False), ("", False)),
    ],
)
def test_only_this_machines_names_are_this_machine(name: str, *, here: bool) -> None:
    assert is_loopback(name) is here


# Led to another one


@dataclass
class Gateway:
    """What stands before the sandbox: passes on what it gets, or says something of its own."""

    made: Connected
    heard: list[tuple[str, str, str]] = field(default_factory=list)
    instead: Callable[[Seen], Answer | None] = lambda _: None

    @property
    def agency(self) -> Agency:
        return self.made.agency

    @property
    def slug(self) -> str:
        return self.made.slugs[0]

    @property
    def portal_id(self) -> int:
        return self.made.sandbox.portals[0].portal_id

    @property
    def stored(self) -> Connection:
        return self.agency.connection(self.slug)

    def move(self, hublet: str = "eu1") -> None:
        """Move the first portal to another data centre."""
        self.made.sandbox.alter(self.portal_id, hublet=hublet)

    def hosts(self, path: str = CONTACTS) -> list[str]:
        """Return where calls of a path went, in short."""
        return [host for host, _, of in self.heard if of.startswith(path)]

    def statuses(self) -> list[int | None]:
        return [one.get("statusCode") for one in self.finished()]

    def finished(self) -> list[dict[str, object]]:
        said = records(self.agency.workspace.root, self.slug)
        return [one for one in said if one["event"] == "call.finished"]


@contextmanager
def behind_a_gateway(root: Path) -> Iterator[Gateway]:
    sandbox = Sandbox(portals=3, contacts=5)
    gateways: list[Gateway] = []

    with serve(sandbox) as server, httpx.Client(base_url=server.url, trust_env=False) as onwards:

        def answer(seen: Seen) -> Answer:
            if gateways:
                host = seen.header("host")[0].rpartition(":")[0].partition(".hubapi")[0]
                gateways[0].heard.append((host, seen.method, seen.path))
                own = gateways[0].instead(seen)
                if own is not None:
                    return own
            got = onwards.request(seen.method, seen.path, headers=seen.headers, content=seen.body)
            kept = {k: v for k, v in got.headers.items() if k not in FRAMING}
            return Answer(got.status_code, kept, got.content)

        with listening(answer) as before, Agency.create(root, store="age:credentials") as agency:
            plan = onboarding.plan_file(agency, client_list(sandbox), api=before.url)
            assert not onboarding.apply(agency, plan, digest=plan.digest).refused
            made = Connected(agency=agency, sandbox=sandbox, server=server)
            gateways.append(Gateway(made))
            yield gateways[0]


FRAMING = {"content-length", "transfer-encoding", "connection", "content-encoding"}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with behind_a_gateway(tmp_path / "agency") as made:
        yield made


def test_a_call_follows_its_portal_once_and_every_later_one_goes_there_at_once(
    gateway: Gateway,
) -> None:
    gateway.move()
    client = gateway.agency.client(gateway.slug)
    assert client.get(CONTACTS).status_code == 200
    assert gateway.hosts() == ["127.0.0.1", "api-eu1"]
    stored = gateway.stored
    assert (stored.routed_to, stored.hublet) == ("eu1", "eu1")
    for _ in range(2):
        assert client.get(CONTACTS).status_code == 200
    assert gateway.hosts() == ["127.0.0.1", *["api-eu1"] * 3]
    calls = [one for one in gateway.finished() if one["portalId"] == gateway.portal_id]
    assert [one["statusCode"] for one in calls].count(488) == 1
    notes = [
        one["message"]
        for one in records(gateway.agency.workspace.root, gateway.slug)
        if one["event"] == "connection.changed"
    ]
    assert any("is kept in data centre eu1" in one for one in notes)


def test_the_proof_is_asked_for_again_where_the_portal_is_now(gateway: Gateway) -> None:
    before = gateway.stored.proof
    gateway.move()
    gateway.agency.client(gateway.slug).get(CONTACTS)
    assert [(host, path) for host, _, path in gateway.heard] == [
        ("127.0.0.1", CONTACTS),
        ("api-eu1", DETAILS),
        ("api-eu1", CONTACTS),
    ]
    after = gateway.stored.proof
    assert before is not None
    assert after is not None
    assert after.at > before.at


def test_a_portal_that_is_another_one_over_there_halts_the_fleet(gateway: Gateway) -> None:
    gateway.move()
    client = gateway.agency.client(gateway.slug)
    gateway.made.sandbox.faults.add(Fault("wrong_portal", path=DETAILS))
    with pytest.raises(PortalMismatch):
        client.get(CONTACTS)
    assert gateway.hosts() == ["127.0.0.1"]
    with pytest.raises(Halted):
        gateway.agency.client(gateway.made.slugs[1])


def test_what_a_led_call_creates_is_created_once(gateway: Gateway) -> None:
    gateway.move()
    client = gateway.agency.client(gateway.slug)
    made = client.post(CONTACTS, json={"properties": {"email": "once@example.com"}})
    assert made.status_code == 201
    asked = {"filterGroups": [{"filters": [EMAIL]}]}
    found = client.post(f"{CONTACTS}/search", json=asked)
    assert found.json()["total"] <= 1
    writes = [one for one in gateway.heard if one[1:] == ("POST", CONTACTS)]
    assert [host for host, *_ in writes] == ["127.0.0.1", "api-eu1"]


EMAIL = {"propertyName": "email", "operator": "EQ", "value": "once@example.com"}

LATER = """
import sys
from hsagency.agency import Agency
with Agency.open(sys.argv[1]) as agency:
    print(agency.client(sys.argv[2]).get("/crm/v3/objects/contacts").status_code)
"""


def test_the_next_process_goes_there_at_once(gateway: Gateway, child: Child) -> None:
    gateway.move()
    gateway.agency.client(gateway.slug).get(CONTACTS)
    gateway.heard.clear()
    done = child(LATER, gateway.agency.workspace.root, gateway.slug)
    assert done.stdout.strip() == "200", done.stderr
    assert {host for host, *_ in gateway.heard} == {"api-eu1"}


def test_a_running_process_follows_what_another_one_found(gateway: Gateway, child: Child) -> None:
    client = gateway.agency.client(gateway.slug)
    assert client.get(CONTACTS).status_code == 200
    gateway.move()
    done = child(LATER, gateway.agency.workspace.root, gateway.slug)
    assert done.stdout.strip() == "200", done.stderr
    gateway.heard.clear()
    assert client.get(CONTACTS).status_code == 200
    assert gateway.hosts() == ["api-eu1"]


def test_other_portals_stay_where_they_are(gateway: Gateway) -> None:
    gateway.move()
    for slug in gateway.made.slugs:
        assert gateway.agency.client(slug).get(CONTACTS).status_code == 200
    assert gateway.hosts() == ["127.0.0.1", "api-eu1", "127.0.0.1", "127.0.0.1"]
    assert [gateway.agency.connection(one).routed_to for one in gateway.made.slugs[1:]] == [
        None,
        None,
    ]


def test_threads_that_find_it_at_the_same_time_all_arrive(gateway: Gateway) -> None:
    client = gateway.agency.client(gateway.slug)
    gateway.move()
    gate, seen = threading.Barrier(8), list[int]()

    def work() -> None:
        gate.wait()
        seen.append(client.get(CONTACTS).status_code)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert seen == [200] * 8
    assert gateway.hosts().count("api-eu1") == 8
    assert len(gateway.hosts(DETAILS)) == 1


def test_a_moved_portal_is_onboarded_where_it_is(tmp_path: Path) -> None:
    sandbox = Sandbox(portals=2, contacts=3)
    sandbox.alter(sandbox.portals[0].portal_id, hublet="ap1")
    with serve(sandbox) as server, Agency.create(tmp_path / "a", store="age:keys") as agency:
        plan = onboarding.plan_file(agency, client_list(sandbox), api=server.url)
        assert not onboarding.apply(agency, plan, digest=plan.digest).refused
        slugs = [one.client_slug for one in sandbox.portals]
        assert [agency.connection(one).routed_to for one in slugs] == ["ap1", None]
        assert [agency.client(one).get(CONTACTS).status_code for one in slugs] == [200, 200]


def test_it_is_led_over_tls_as_well(tmp_path: Path) -> None:
    sandbox = Sandbox(portals=1, contacts=3)
    with serve(sandbox, tls=True) as server:
        made = Workspace.create(tmp_path / "agency", store="age:credentials")
        with (made.root / FILE).open("a", encoding="utf-8") as file:
            file.write(f'\n[network]\nca_bundle = "{server.ca_file}"\n')
        with Agency.open(made.root) as agency:
            plan = onboarding.plan_file(agency, client_list(sandbox), api=server.url)
            assert not onboarding.apply(agency, plan, digest=plan.digest).refused
            (slug,) = agency.slugs()
            sandbox.alter(slug, hublet="eu1")
            assert agency.client(slug).get(CONTACTS).status_code == 200
            assert agency.connection(slug).routed_to == "eu1"


# Led astray


def test_a_data_centre_that_says_the_same_again_is_believed_no_further(gateway: Gateway) -> None:
    gateway.made.sandbox.faults.add(Fault("status", status=488, hublet="ap1", path=CONTACTS))
    client = gateway.agency.router.client(gateway.slug, raising=True)
    for _ in range(2):
        with pytest.raises(WrongDataCentre, match="another data centre"):
            client.get(CONTACTS)
    # once led; after that it is there already
    assert gateway.hosts() == ["127.0.0.1", "api-ap1", "api-ap1"]


def test_two_data_centres_that_send_a_call_to_each_other_end_it(gateway: Gateway) -> None:
    def each_to_the_other(seen: Seen) -> Answer | None:
        if not seen.path.startswith(CONTACTS):
            return None
        here = seen.header("host")[0]
        return said_488("ap1" if here.startswith("api-eu1") else "eu1")

    gateway.instead = each_to_the_other
    client = gateway.agency.router.client(gateway.slug, raising=True)
    with pytest.raises(WrongDataCentre):
        client.get(CONTACTS)
    assert gateway.hosts() == ["127.0.0.1", "api-eu1"]
    later = gateway.agency.client(gateway.slug)
    assert later.get(CONTACTS).status_code == 488
    with pytest.warns(AuditWarning, match="each say that the portal is at the other"):
        assert later.get(CONTACTS).status_code == 488
    for _ in range(2):  # a person is told once
        assert later.get(CONTACTS).status_code == 488
    assert gateway.hosts()[2:] == ["api-eu1", *["api-ap1"] * 4], "it stays there for a while"


def test_a_refusal_that_even_the_proof_meets_there_ends_the_call(gateway: Gateway) -> None:
    gateway.made.sandbox.faults.add(Fault("status", status=488, hublet="ap1", portal=gateway.slug))
    with pytest.raises((CredentialRejected, WrongDataCentre)):
        gateway.agency.router.client(gateway.slug, raising=True).get(CONTACTS)
    assert len(gateway.hosts()) <= 2
    assert len(gateway.heard) <= 4


def test_a_data_centre_that_nobody_is_at_is_not_kept(gateway: Gateway) -> None:
    """A 488 may be wrong, and from a host that is not there no other would ever come."""
    wrong = [said_488("zz9")]

    def answer(seen: Seen) -> Answer | None:
        if seen.header("host")[0].startswith("api-zz9."):
            return Answer(cut=0)
        return wrong.pop() if wrong and seen.path.startswith(CONTACTS) else None

    gateway.instead = answer
    client = gateway.agency.client(gateway.slug)
    with pytest.raises(PortalUnreachable):
        client.get(CONTACTS)
    assert gateway.hosts() == ["127.0.0.1"]
    assert gateway.stored.routed_to is None
    assert client.get(CONTACTS).status_code == 200
    assert gateway.hosts() == ["127.0.0.1", "127.0.0.1"]


def said_488(told: object, *, header: str | None = None) -> Answer:
    body = {"status": "error", "message": "unknown to this Hublet", "correctHublet": told}
    headers = {"Content-Type": "application/json"}
    if header is not None:
        headers["X-HubSpot-Correct-Hublet"] = header
    return Answer(488, headers, json.dumps(body).encode())


FORGED = [
    *("evil.com/x", "eu1.evil.com#", "eu1@evil.com", "eu1.evil.com", "//evil.com", "eu1/../x"),
    *("eu1\x00", "eu1\r\nHost: evil.com", "e1", "eu1234", "eu", "1eu", "", " ", "..", "localhost"),
    *("eu\u0661", "\uff45\uff551", "eu1:80", "%65u1", 5, None, True, ["eu1"], {"eu1": "eu1"}),
]


@pytest.mark.parametrize("in_header", [False, True])
def test_a_forged_name_of_a_data_centre_changes_nothing(
    gateway: Gateway, *, in_header: bool
) -> None:
    before = gateway.stored
    client = gateway.agency.client(gateway.slug)
    for told in FORGED:
        header = told if in_header and isinstance(told, str) and HEADER.fullmatch(told) else None
        said = said_488(told, header=header)
        gateway.instead = lambda seen, said=said: said  # type: ignore[misc]
        assert client.get(CONTACTS).status_code == 488, told
    assert [(host, path) for host, _, path in gateway.heard] == [("127.0.0.1", CONTACTS)] * len(
        FORGED
    )
    assert gateway.stored == before


HEADER = re.compile(r"[!-~]+")


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 477, 500])
def test_only_a_488_names_a_data_centre(gateway: Gateway, status: int) -> None:
    def answer(seen: Seen) -> Answer | None:
        if not seen.path.startswith(CONTACTS):
            return None
        said = said_488("eu1", header="eu1")
        return Answer(status, said.headers, said.body)

    gateway.instead = answer
    gateway.agency.client(gateway.slug).get(CONTACTS, extensions={"retry": False})
    assert {host for host, *_ in gateway.heard} == {"127.0.0.1"}
    assert gateway.stored.routed_to is None


@pytest.mark.parametrize("told", ["evil.com/x", "eu1.evil.com#", "EU1", "", "eu1\n"])
def test_a_forged_name_in_the_index_sends_nothing(gateway: Gateway, told: str) -> None:
    index = gateway.agency.workspace.root / "connections.json"
    client = gateway.agency.client(gateway.slug)
    gateway.move()
    client.get(CONTACTS)
    assert '"eu1"' in index.read_text()
    text = index.read_text().replace('"routedTo": "eu1"', f'"routedTo": {json.dumps(told)}')
    assert json.dumps(told) in text
    index.write_text(text)
    gateway.heard.clear()
    with pytest.raises(CorruptFile):
        client.get(CONTACTS)
    with Agency.open(gateway.agency.workspace.root) as later, pytest.raises(CorruptFile):
        later.client(gateway.slug)
    assert gateway.heard == []
