"""No client without proof: young, of this credential, of this portal; and never after a change."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hsagency.agency import Agency
from hsagency.credentials import CredentialStore, SecretName
from hsagency.errors import (
    AuditError,
    CallRefused,
    ClientClosed,
    CredentialChanged,
    CredentialMissing,
    CredentialRejected,
    Halted,
    NotStopped,
    PortalMismatch,
    PortalStopped,
    PortalUnreachable,
    UnknownClient,
    UsageError,
)
from hsagency.portals import (
    ClientSlug,
    Connection,
    ConnectionStatus,
    ConnectionType,
    PortalId,
    Proof,
    binding_of,
)
from hsagency.router import Parts, Router
from hsagency.router.channels import Channels, Opened
from hsagency.sandbox import Fault
from hsagency.secret import Secret
from hsagency.transport.wire import Place, Retired
from hsagency.verdicts import ATTEMPTS
from tests.core.conftest import Child
from tests.support import Connected, listening, records

PATH = "/crm/v3/objects/contacts"


@dataclass
class Counting:
    """A store that counts what is read from it, in front of a real one."""

    inner: CredentialStore
    read: list[SecretName] = field(default_factory=list)

    @property
    def uri(self) -> str:
        return self.inner.uri

    def get(self, name: SecretName) -> Secret:
        self.read.append(name)
        return self.inner.get(name)

    def put(self, name: SecretName, secret: Secret) -> None:
        self.inner.put(name, secret)

    def delete(self, name: SecretName) -> None:
        self.inner.delete(name)

    def describe(self) -> str:
        return self.inner.describe()


class At:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC) + timedelta(seconds=1)

    def __call__(self) -> datetime:
        return self.time

    def move(self, **by: float) -> None:
        self.time += timedelta(**by)


def parts_of(
    agency: Agency, *, now: Callable[[], datetime], store: CredentialStore | None = None
) -> Parts:
    return Parts(
        workspace=agency.workspace,
        index=agency.index,
        store=lambda: store or agency.store,
        writer=agency.writer,
        halt=agency.halt,
        now=now,
        network=agency.network,
        pacing=agency.pacing,
    )


@contextmanager
def routing(
    agency: Agency, *, now: Callable[[], datetime], store: CredentialStore | None = None
) -> Iterator[Router]:
    router = Router(parts_of(agency, now=now, store=store))
    try:
        yield router
    finally:
        router.close()


def change(fleet: Connected, slug: str, **changes: Any) -> None:
    def edit(connections: dict[ClientSlug, Connection]) -> None:
        connections[ClientSlug(slug)] = replace(connections[ClientSlug(slug)], **changes)

    fleet.agency.index.write(edit)


def asked(fleet: Connected, slug: str) -> int:
    """How often the portal was asked whose it is, since it was onboarded."""
    ledger = fleet.sandbox.ledger(fleet.sandbox.portal(slug).portal_id)
    return sum(one.path.endswith("/details") for one in ledger) - 1


def name(fleet: Connected, slug: str, generation: int = 1) -> SecretName:
    return SecretName(fleet.agency.workspace.settings.workspace, slug, generation)


@pytest.fixture
def slug(fleet: Connected) -> str:
    return fleet.slugs[0]


def test_inside_the_age_of_the_proof_nothing_is_asked_again(fleet: Connected, slug: str) -> None:
    now = At()
    with routing(fleet.agency, now=now) as router:
        client = router.client(slug)
        for _ in range(3):
            client.get(PATH)
        client.post(PATH, json={"properties": {}})
        now.move(hours=23, minutes=59)
        client.get(PATH)
        assert asked(fleet, slug) == 0


def test_a_stale_proof_is_renewed_before_the_call_and_shared(fleet: Connected, slug: str) -> None:
    now = At()
    with routing(fleet.agency, now=now) as router, routing(fleet.agency, now=now) as other:
        client, second = router.client(slug), other.client(slug)
        now.move(hours=24, seconds=1)
        client.get(PATH)
        assert asked(fleet, slug) == 1
        second.get(PATH)
        assert asked(fleet, slug) == 1
        proof = fleet.agency.connection(slug).proof
        assert proof is not None
        assert proof.at == now.time


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", PATH, {"properties": {}}),
        ("DELETE", f"{PATH}/1", None),
        ("POST", "/crm/v3/objects/contacts/batch/archive", {"inputs": []}),
    ],
)
def test_a_write_wants_a_younger_proof(
    fleet: Connected, slug: str, method: str, path: str, body: dict[str, Any] | None
) -> None:
    now = At()
    with routing(fleet.agency, now=now) as router:
        client = router.client(slug)
        now.move(minutes=15, seconds=1)
        client.get(PATH)
        assert asked(fleet, slug) == 0
        client.request(method, path, json=body)
        assert asked(fleet, slug) == 1
        client.request(method, path, json=body)
        assert asked(fleet, slug) == 1


def test_an_unclassified_call_wants_the_proof_of_a_write(fleet: Connected, slug: str) -> None:
    now = At()
    with routing(fleet.agency, now=now) as router:
        client = router.client(slug)
        now.move(minutes=16)
        client.get("/new/thing", extensions={"purpose": "x", "allow_unclassified": True})
        assert asked(fleet, slug) == 1


def test_a_clock_that_was_set_back_makes_every_proof_void(fleet: Connected, slug: str) -> None:
    now = At()
    now.move(hours=-2)
    with routing(fleet.agency, now=now) as router:
        router.client(slug)
        assert asked(fleet, slug) == 1
        router.client(slug)
        assert asked(fleet, slug) == 1


def stale(proof: Proof) -> dict[str, Any]:
    return {"proof": replace(proof, at=proof.at - timedelta(days=2))}


def nobodys(proof: Proof) -> dict[str, Any]:
    return {"proof": replace(proof, fingerprint="0" * 16)}


def elsewhere(proof: Proof) -> dict[str, Any]:
    return {"proof": replace(proof, portal_id=PortalId(1))}


def missing(_: Proof) -> dict[str, Any]:
    return {"proof": None}


def another_address(proof: Proof) -> dict[str, Any]:
    return {"proof": replace(proof, api_base="")}


@pytest.mark.parametrize("spoil", [stale, nobodys, elsewhere, another_address, missing])
def test_a_proof_of_something_else_is_none(
    fleet: Connected, slug: str, spoil: Callable[[Proof], dict[str, Any]]
) -> None:
    proof = fleet.agency.connection(slug).proof
    assert proof is not None
    change(fleet, slug, **spoil(proof))
    fleet.agency.client(slug)
    assert asked(fleet, slug) == 1


def test_without_an_answer_there_is_no_client(fleet: Connected, slug: str) -> None:
    change(fleet, slug, proof=None)
    fleet.sandbox.faults.add(Fault("status", status=503, times=ATTEMPTS))
    with pytest.raises(PortalUnreachable):
        fleet.agency.client(slug)
    assert fleet.agency.client(slug).get(PATH).status_code == 200


def test_an_edited_portal_id_is_found_out_before_any_call(fleet: Connected, slug: str) -> None:
    change(fleet, slug, portal_id=PortalId(4711))
    with pytest.raises(CredentialChanged, match="index was edited"):
        fleet.agency.client(slug)
    assert asked(fleet, slug) == 0


def test_a_credential_goes_to_no_other_address_than_the_one_it_was_onboarded_to(
    fleet: Connected, slug: str
) -> None:
    proof = fleet.agency.connection(slug).proof
    assert proof is not None
    with listening() as elsewhere:
        change(fleet, slug, api_base=elsewhere.url, proof=replace(proof, api_base=elsewhere.url))
        with pytest.raises(CredentialChanged, match=r"index was edited.*Nothing was sent"):
            fleet.agency.client(slug).get(PATH)
        with pytest.raises(CredentialChanged):
            fleet.agency.verify(slug)
        assert elsewhere.seen == []


def test_a_portal_whose_entry_was_put_under_another_slug_gets_no_calls(
    fleet: Connected, slug: str
) -> None:
    connection = fleet.agency.connection(slug)
    store, other = fleet.agency.store, ClientSlug("somebody-else")
    workspace = fleet.agency.workspace.settings.workspace
    store.put(
        SecretName(workspace=workspace, slug=other, generation=1), store.get(name(fleet, slug))
    )

    def move(connections: dict[ClientSlug, Connection]) -> None:
        connections[other] = replace(connections.pop(connection.client_slug), client_slug=other)

    fleet.agency.index.write(move)
    with pytest.raises(CredentialChanged, match="index was edited"):
        fleet.agency.client(other).get(PATH)


def test_an_edited_address_is_not_followed(fleet: Connected, slug: str) -> None:
    path = fleet.agency.workspace.root / "connections.json"
    content = json.loads(path.read_bytes())
    content["connections"][slug]["apiBase"] = "https://evil.example.com"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=r"cannot be read|not a sandbox's"):
        fleet.agency.client(slug)


def test_swapped_secrets_are_never_used(fleet: Connected) -> None:
    one, two = fleet.slugs[:2]
    store = fleet.agency.store
    first, second = store.get(name(fleet, one)), store.get(name(fleet, two))
    store.put(name(fleet, one), second)
    store.put(name(fleet, two), first)
    before = [fleet.sandbox.counts(portal.portal_id) for portal in fleet.sandbox.portals]
    for slug in (one, two):
        client = fleet.agency.client(slug)  # the proof is young: nothing is read yet
        with pytest.raises(CredentialChanged, match="not the one that was proven"):
            client.get(PATH)
        with pytest.raises(CredentialChanged):
            fleet.agency.verify(slug)
        last = records(fleet.agency.workspace.root, slug)[-1]
        assert (last["event"], last["outcome"]) == ("call.finished", "refused")
    assert [fleet.sandbox.counts(one.portal_id) for one in fleet.sandbox.portals] == before


def test_a_secret_that_is_gone_is_missing_and_not_another(fleet: Connected, slug: str) -> None:
    fleet.agency.store.delete(name(fleet, slug))
    with pytest.raises(CredentialMissing):
        fleet.agency.client(slug).get(PATH)
    assert fleet.agency.client(fleet.slugs[1]).get(PATH).status_code == 200


def rotate(fleet: Connected, slug: str) -> None:
    """Give a connection its next generation, as a rotation elsewhere would."""
    portal = fleet.sandbox.portal(slug)
    secret = Secret(fleet.sandbox.rotate(portal.portal_id).token)
    fleet.agency.store.put(name(fleet, slug, 2), secret)
    change(
        fleet,
        slug,
        generation=2,
        fingerprint=secret.fingerprint,
        binding=binding_of(fleet.agency.connection(slug), secret),
        proof=None,
    )


def remove(fleet: Connected, slug: str) -> None:
    def edit(connections: dict[ClientSlug, Connection]) -> None:
        del connections[ClientSlug(slug)]

    fleet.agency.index.write(edit)


def narrow(fleet: Connected, slug: str) -> None:
    change(fleet, slug, connection_type=ConnectionType.CONFIG_ONLY)


def move(fleet: Connected, slug: str) -> None:
    change(fleet, slug, portal_id=PortalId(99))


@pytest.mark.parametrize("happens", [remove, move])
def test_a_client_whose_portal_is_no_longer_its_clients_refuses(
    fleet: Connected, slug: str, happens: Callable[[Connected, str], None]
) -> None:
    client = fleet.agency.client(slug)
    client.get(PATH)
    before = fleet.sandbox.counts(client.portal.portal_id)
    happens(fleet, slug)
    with pytest.raises(ClientClosed, match="changed or removed") as caught:
        client.get(PATH)
    assert "agency.client(slug)" in caught.value.hint
    assert fleet.sandbox.counts(client.portal.portal_id) == before
    assert records(fleet.agency.workspace.root, slug)[-1]["event"] == "call.refused"


def generations(fleet: Connected, slug: str) -> list[int]:
    said = records(fleet.agency.workspace.root, slug)
    wanted = [one for one in said if one.get("path", "").startswith("/crm/")]
    return [one["credentialGeneration"] for one in wanted if one["event"] == "call.started"]


def test_a_client_goes_on_with_a_new_generation_at_its_next_call(
    fleet: Connected, slug: str
) -> None:
    client = fleet.agency.client(slug)
    client.get(PATH)
    rotate(fleet, slug)
    assert client.get(PATH).status_code == 200
    assert fleet.agency.client(slug) is client
    assert generations(fleet, slug) == [1, 2]
    assert fleet.sandbox.ledger(None) == ()


def test_a_call_in_flight_ends_on_the_credential_that_it_began_with(
    fleet: Connected, slug: str
) -> None:
    client = fleet.agency.client(slug)
    with client.stream("GET", PATH) as answer:
        rotate(fleet, slug)
        assert client.get(PATH).status_code == 200
        assert answer.read().startswith(b"{")
    assert generations(fleet, slug) == [1, 2]


def test_a_new_generation_written_by_another_process_counts_at_the_next_call(
    fleet: Connected, slug: str
) -> None:
    client = fleet.agency.client(slug)
    client.get(PATH)
    with Agency.open(fleet.agency.workspace.root) as elsewhere:
        rotate(replace(fleet, agency=elsewhere), slug)
    assert client.get(PATH).status_code == 200
    assert generations(fleet, slug) == [1, 2]


@pytest.mark.parametrize("wide", [False, True])
def test_another_connection_type_counts_at_the_next_call(
    fleet: Connected, slug: str, *, wide: bool
) -> None:
    if wide:
        narrow(fleet, slug)
    client = fleet.agency.client(slug)
    if wide:
        change(fleet, slug, connection_type=ConnectionType.CONFIG_AND_AUDIT)
        assert client.get(PATH).status_code == 200
    else:
        narrow(fleet, slug)
        with pytest.raises(CallRefused, match="config_only"):
            client.get(PATH)


def test_facts_may_change_under_a_client(fleet: Connected, slug: str) -> None:
    client = fleet.agency.client(slug)
    change(fleet, slug, facts={}, status_evidence="a note")
    assert client.get(PATH).status_code == 200


def test_a_rejected_credential_stops_its_portal_everywhere_and_no_other(
    fleet: Connected, slug: str
) -> None:
    client = fleet.agency.client(slug)
    other = Agency.open(fleet.agency.workspace.root)
    elsewhere = other.client(slug)
    fleet.sandbox.revoke(client.portal.portal_id)
    with pytest.raises(CredentialRejected):
        fleet.agency.verify(slug)
    stored = fleet.agency.connection(slug)
    assert stored.status is ConnectionStatus.NEEDS_RECONNECTION
    assert stored.status_evidence.startswith("401 at ")
    assert stored.proof is None
    for handle in (client, elsewhere):
        with pytest.raises(PortalStopped):
            handle.get(PATH)
    for agency in (fleet.agency, other):
        with pytest.raises(PortalStopped):
            agency.client(slug)
    other.close()
    events = [one["event"] for one in records(fleet.agency.workspace.root, slug)]
    assert "stop.set" in events
    assert fleet.agency.client(fleet.slugs[1]).get(PATH).status_code == 200


def test_a_connection_that_works_again_says_so(fleet: Connected, slug: str) -> None:
    change(fleet, slug, status=ConnectionStatus.NEEDS_RECONNECTION, proof=None)
    fleet.agency.verify(slug)
    assert fleet.agency.connection(slug).status is ConnectionStatus.CONNECTED


OTHER = """
import sys
from hsagency.agency import Agency
from hsagency.errors import Halted
with Agency.open(sys.argv[1]) as agency:
    print(agency.slugs())
    try:
        agency.client(sys.argv[2])
    except Halted as error:
        print(error)
"""


def test_an_answer_of_another_portal_halts_the_fleet_everywhere(
    fleet: Connected, slug: str, child: Child
) -> None:
    clients = [fleet.agency.client(one) for one in fleet.slugs]
    fleet.sandbox.faults.add(Fault("wrong_portal", times=1))
    with pytest.raises(PortalMismatch):
        fleet.agency.verify(slug)
    sent = [fleet.sandbox.counts(one.portal.portal_id) for one in clients]
    for client, one in zip(clients, fleet.slugs, strict=True):
        with pytest.raises(Halted, match=f"The fleet is halted: the credential of {slug} reached"):
            client.get(PATH)
        with pytest.raises(Halted):
            fleet.agency.client(one)
        with pytest.raises(Halted):
            fleet.agency.verify(one)
        last = records(fleet.agency.workspace.root, one)[-1]
        assert (last["event"], last["outcome"]) == ("call.refused", "refused")
    assert [fleet.sandbox.counts(one.portal.portal_id) for one in clients] == sent
    done = child(OTHER, fleet.agency.workspace.root, fleet.slugs[1])
    assert "The fleet is halted" in done.stdout
    assert "hsagency resume" in done.stdout
    assert fleet.slugs[0] in done.stdout
    for log in (slug, "_agency"):
        assert "halt.set" in log_events(fleet, log)


def log_events(fleet: Connected, slug: str) -> list[str]:
    return [one["event"] for one in records(fleet.agency.workspace.root, slug)]


def test_a_person_resumes_with_a_reason_that_is_recorded(fleet: Connected, slug: str) -> None:
    client = fleet.agency.client(slug)
    fleet.sandbox.faults.add(Fault("wrong_portal", times=1))
    with pytest.raises(PortalMismatch):
        fleet.agency.verify(slug)
    with pytest.raises(UsageError, match="needs a reason"):
        fleet.agency.resume(reason=" ")
    with pytest.raises(Halted):
        client.get(PATH)
    token = fleet.sandbox.portals[0].token
    assert slug in fleet.agency.resume(reason=f"proxy mixed answers, not {token}")
    said = records(fleet.agency.workspace.root, "_agency")[-1]
    assert said["event"] == "halt.cleared"
    assert "proxy mixed answers" in said["message"]
    assert token not in said["message"]
    theirs = {one: log_events(fleet, one) for one in fleet.slugs}
    halts = {
        one: [name for name in names if name.startswith("halt.")] for one, names in theirs.items()
    }
    assert halts.pop(slug) == ["halt.set", "halt.cleared"], "a halt that ends, for its client"
    assert [*halts.values()] == [[], []]
    with pytest.raises(NotStopped, match="not halted"):
        fleet.agency.resume(reason="again")
    before = asked(fleet, slug)
    assert client.get(PATH).status_code == 200
    assert asked(fleet, slug) == before + 1, "what it was before the halt proves nothing now"


def test_the_halt_holds_although_it_cannot_be_recorded(fleet: Connected, slug: str) -> None:
    journal = fleet.agency.workspace.audit / slug / "journal"

    def now() -> datetime:  # asked for when the halt is set
        for file in journal.glob("*.jsonl"):
            file.unlink()
        return datetime.now(UTC)

    fleet.sandbox.faults.add(Fault("wrong_portal", times=1))
    with routing(fleet.agency, now=now) as router, pytest.raises(AuditError):
        router.prove(slug)
    with pytest.raises(Halted):
        fleet.agency.client(fleet.slugs[1])


def test_a_client_is_one_per_slug_and_purpose(fleet: Connected) -> None:
    one, two = fleet.slugs[:2]
    assert fleet.agency.client(one) is fleet.agency.client(one)
    assert fleet.agency.client(one) is not fleet.agency.client(two)
    review = fleet.agency.client(one, purpose="weekly review")
    assert review is not fleet.agency.client(one)
    assert (review.purpose, fleet.agency.client(one).purpose) == ("weekly review", "interactive")
    review.get(PATH)
    last = [r for r in records(fleet.agency.workspace.root, one) if r["event"] == "call.started"][
        -1
    ]
    assert last["purpose"] == "weekly review"


def test_after_close_a_client_refuses_and_the_next_one_works(fleet: Connected, slug: str) -> None:
    client, other = fleet.agency.client(slug), fleet.agency.client(slug, purpose="other")
    client.close()
    for attempt in (lambda: client.get(PATH), lambda: client.__enter__()):
        with pytest.raises(ClientClosed):
            attempt()
    assert other.get(PATH).status_code == 200
    again = fleet.agency.client(slug)
    assert again is not client
    assert again.get(PATH).status_code == 200


def test_a_client_may_be_entered_more_than_once(fleet: Connected, slug: str) -> None:
    fleet.agency.client(slug).get(PATH)
    with fleet.agency.client(slug) as first, fleet.agency.client(slug) as second:
        assert first is second
        assert first.get(PATH).status_code == 200
    with fleet.agency.client(slug) as third:
        assert third.get(PATH).status_code == 200


def test_a_closed_agency_hands_out_nothing(fleet: Connected, slug: str) -> None:
    client = fleet.agency.client(slug)
    fleet.agency.close()
    with pytest.raises(ClientClosed):
        client.get(PATH)
    with pytest.raises(ClientClosed):
        fleet.agency.client(slug)
    fleet.agency.close()


FORKED = """
import os, sys
from hsagency.agency import Agency
from hsagency.errors import ClientClosed
agency = Agency.open(sys.argv[1])
slug = sys.argv[2]
client = agency.client(slug)
print(client.get("/crm/v3/objects/contacts").status_code, flush=True)
read, write = os.pipe()
if os.fork() == 0:
    said = []
    for attempt in (
        lambda: client.get("/crm/v3/objects/contacts"),
        lambda: client.__enter__(),
        lambda: agency.client(slug),
        lambda: agency.client(slug, purpose="new"),
    ):
        try:
            attempt()
            said.append("went through")
        except ClientClosed:
            said.append("refused")
    with Agency.open(sys.argv[1]) as own:
        said.append(str(own.client(slug).get("/crm/v3/objects/contacts").status_code))
    os.write(write, " ".join(said).encode())
    os._exit(0)
os.wait()
print(os.read(read, 1000).decode())
print(client.get("/crm/v3/objects/contacts").status_code)
agency.close()
"""


def test_a_forked_child_must_open_its_own(fleet: Connected, slug: str, child: Child) -> None:
    done = child(FORKED, fleet.agency.workspace.root, slug)
    assert done.stdout.split("\n")[:3] == ["200", "refused refused refused refused 200", "200"], (
        done.stderr
    )


def test_many_threads_share_one_client_and_prove_it_once(fleet: Connected, slug: str) -> None:
    change(fleet, slug, proof=None)
    seen: list[int] = []
    gate = threading.Barrier(16)

    def work() -> None:
        gate.wait()
        client = fleet.agency.client(slug)
        seen.extend(client.get(PATH).status_code for _ in range(4))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [200] * 64
    assert asked(fleet, slug) == 1
    started = [
        r for r in records(fleet.agency.workspace.root, slug) if r["event"] == "call.started"
    ]
    assert len({one["callId"] for one in started}) == 65


def test_threads_on_different_portals_never_mix(fleet: Connected) -> None:
    wrong: list[object] = []

    def work(slug: str) -> None:
        expected = fleet.sandbox.portal(slug).portal_id
        for _ in range(10):
            got = fleet.agency.client(slug).get("/account-info/v3/details").json()["portalId"]
            if got != expected:
                wrong.append((slug, got))

    threads = [threading.Thread(target=work, args=(one,)) for one in fleet.slugs * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert fleet.sandbox.ledger(None) == ()


@pytest.mark.parametrize(
    "slug", ["", "ACME", "constructor", "__class__", "_agency", "../x", "a" * 500]
)
def test_an_unknown_slug_is_an_error_and_sends_nothing(fleet: Connected, slug: str) -> None:
    with pytest.raises(UnknownClient, match="Nothing was sent") as caught:
        fleet.agency.client(slug)
    assert "hsagency portals" in caught.value.hint
    assert len(str(caught.value)) < 300


def test_near_matches_are_named_and_not_the_whole_list(fleet: Connected) -> None:
    wanted = fleet.slugs[0]
    with pytest.raises(UnknownClient, match="Nothing was sent") as caught:
        fleet.agency.client(wanted[:-1])
    assert wanted in caught.value.hint
    with pytest.raises(UnknownClient) as caught:
        fleet.agency.client("zzzzzzzz")
    assert not [one for one in fleet.slugs if one in str(caught.value)]


@pytest.mark.parametrize("purpose", ["", " ", "x" * 65, "a\nb", "jane@example.com", None, 5])
def test_a_client_needs_a_purpose_that_can_be_written_down(
    fleet: Connected, slug: str, purpose: Any
) -> None:
    with pytest.raises(UsageError, match="purpose"):
        fleet.agency.client(slug, purpose=purpose)


def test_secrets_are_read_when_a_call_needs_them_and_once(fleet: Connected, slug: str) -> None:
    store = Counting(fleet.agency.store)
    with routing(fleet.agency, now=At(), store=store) as router:
        client = router.client(slug)
        assert store.read == []
        for _ in range(3):
            client.get(PATH)
        with pytest.raises(CallRefused):
            client.get(PATH, headers={"Authorization": "x"})
        router.client(slug, purpose="other").get(PATH)
        assert store.read == [name(fleet, slug)]


def test_a_fleet_of_a_hundred_opens_without_reading_a_secret(
    fleet: Connected, tmp_path: Path
) -> None:
    model = fleet.agency.connection(fleet.slugs[0])
    proof = model.proof
    assert proof is not None

    def grow(connections: dict[ClientSlug, Connection]) -> None:
        for number in range(1, 101):
            portal_id, fingerprint = PortalId(9_000 + number), f"{number:016x}"
            own = replace(proof, portal_id=portal_id, fingerprint=fingerprint)
            slug = ClientSlug(f"client-{number}")
            connections[slug] = replace(
                model, client_slug=slug, portal_id=portal_id, fingerprint=fingerprint, proof=own
            )

    fleet.agency.index.write(grow)
    store = Counting(fleet.agency.store)
    with routing(fleet.agency, now=At(), store=store) as router:
        assert len(router.slugs()) == 103
        assert len({router.client(slug).portal.portal_id for slug in router.slugs()}) == 103
    assert store.read == []


def test_what_needs_no_secret_works_while_the_store_is_shut(fleet: Connected) -> None:
    root = fleet.agency.workspace.root
    with Agency.open(root) as agency:
        agency.client(fleet.slugs[0]).get(PATH)
    (root / "credentials").rename(root / "taken-away")
    with Agency.open(root) as agency:
        assert agency.slugs() == sorted(fleet.slugs)
        assert agency.portals()["client_slug"].to_list() == agency.slugs()
        assert agency.calls(fleet.slugs[0]).collect().height >= 1
        assert agency.client(fleet.slugs[0]).portal.client_slug == fleet.slugs[0]


def test_of_a_clients_ways_one_stays_open_and_none_is_opened_anew(
    fleet: Connected, slug: str
) -> None:
    with channels(fleet.agency) as ways:
        before = fleet.agency.connection(slug)
        first = ways.open(before)
        change(fleet, slug, routed_to="eu1")  # of the same generation, as a 488 leads to it
        routed = fleet.agency.connection(slug)
        second = ways.open(routed)
        assert [first.is_of(before), second.is_of(routed)] == [True, True]
        assert ways.open(before) is second  # by whom the index was read before
        rotate(fleet, slug)
        third = ways.open(fleet.agency.connection(slug))
        assert ways.open(before) is ways.open(routed) is third
        for old in (first, second):
            with pytest.raises(Retired):
                place(old).take(1)
        assert place(third).take(0)
        remove(fleet, slug)
        with pytest.raises(ClientClosed, match="changed or removed"):
            ways.open(before)


def place(opened: Opened) -> Place:
    found = opened.channel.way.place()
    assert found is not None
    return found


@contextmanager
def channels(agency: Agency) -> Iterator[Channels]:
    made = Channels(parts_of(agency, now=lambda: datetime.now(UTC)))
    try:
        yield made
    finally:
        made.close()


@dataclass
class Halting(Counting):
    """A store that takes so long that the fleet is halted meanwhile."""

    agency: Agency | None = None

    def get(self, name: SecretName) -> Secret:
        assert self.agency is not None
        self.agency.halt.set("a portal mix-up", at=datetime.now(UTC))
        return super().get(name)


def test_a_call_does_not_leave_after_a_halt_that_came_while_its_secret_was_read(
    fleet: Connected, slug: str
) -> None:
    store = Halting(fleet.agency.store, agency=fleet.agency)
    with routing(fleet.agency, now=lambda: datetime.now(UTC), store=store) as router:
        client = router.client(slug)
        before = fleet.sandbox.counts(client.portal.portal_id)
        with pytest.raises(Halted):
            client.get(PATH)
        assert len(store.read) == 1
        assert fleet.sandbox.counts(client.portal.portal_id) == before
    last = records(fleet.agency.workspace.root, slug)[-1]
    assert (last["outcome"], last["reason"]) == ("refused", "halted")
