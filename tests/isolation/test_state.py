"""What is edited, swapped, rotated or removed under a client makes it refuse, and reach no other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from hsagency import onboarding
from hsagency.credentials import SecretName
from hsagency.errors import PortalMismatch
from hsagency.portals import ClientSlug, Connection, ConnectionType
from hsagency.sandbox import Fault
from hsagency.secret import Secret
from tests.isolation.attacking import PATH, Ending, Scene, Way, endure, told
from tests.support import client_list

HOME, LOST, NONE = Ending.HOME, Ending.LOST, Ending.NONE
Edit = Callable[[Scene, dict[str, Any], dict[str, Any]], None]


def forged(name: str, edit: Edit, *endings: Ending) -> list[Way]:
    """Edit the entries of A and B in the index by hand: before there is a client, and after."""

    def write(on: Scene) -> None:
        path = on.root / "connections.json"
        content = json.loads(path.read_bytes())
        entries = content["connections"]
        edit(on, entries[on.slug_a], entries[on.slug_b])
        path.write_text(json.dumps(content))

    def before(on: Scene) -> httpx.Response:
        write(on)
        return on.a.get(PATH)

    def after(on: Scene) -> httpx.Response:
        client = on.a
        write(on)
        return client.get(PATH)

    first, then = endings or (Ending.REFUSED, Ending.REFUSED)
    return [
        Way(f"{name}, before a client is asked for", before, first),
        Way(f"{name}, after a client was handed out", after, then),
    ]


def portal_of_b(_: Scene, a: dict[str, Any], b: dict[str, Any]) -> None:
    a["portalId"] = b["portalId"]


def portal_and_proof_of_b(_: Scene, a: dict[str, Any], b: dict[str, Any]) -> None:
    a |= {"portalId": b["portalId"]}
    a["proof"] |= {"portalId": b["portalId"]}


def entry_of_b(_: Scene, a: dict[str, Any], b: dict[str, Any]) -> None:
    a |= b


def swapped(_: Scene, a: dict[str, Any], b: dict[str, Any]) -> None:
    kept = dict(a)
    a |= b
    b |= kept


def other_address(on: Scene, a: dict[str, Any], _: dict[str, Any]) -> None:
    a["apiBase"] = on.other.url
    a["proof"]["apiBase"] = on.other.url


def address_of_hubspot(_: Scene, a: dict[str, Any], __: dict[str, Any]) -> None:
    a["apiBase"] = ""
    a["proof"]["apiBase"] = ""


def address_with_a_user(on: Scene, a: dict[str, Any], _: dict[str, Any]) -> None:
    a["apiBase"] = f"http://{on.netloc}@{on.other.url.removeprefix('http://')}"


def fingerprint_of_b(_: Scene, a: dict[str, Any], b: dict[str, Any]) -> None:
    a["fingerprint"] = b["fingerprint"]
    a["proof"]["fingerprint"] = b["fingerprint"]


def next_generation(_: Scene, a: dict[str, Any], __: dict[str, Any]) -> None:
    a["generation"] = 2


def no_binding(_: Scene, a: dict[str, Any], __: dict[str, Any]) -> None:
    a["binding"] = ""
    a["proof"] = None


def binding_of_b(_: Scene, a: dict[str, Any], b: dict[str, Any]) -> None:
    a |= {"binding": b["binding"], "proof": None}


def routed_elsewhere(_: Scene, a: dict[str, Any], __: dict[str, Any]) -> None:
    a["routedTo"] = "elsewhere.example.com"


def routed_to_another_centre(_: Scene, a: dict[str, Any], __: dict[str, Any]) -> None:
    a["routedTo"] = "eu1"


def proof_from_the_future(on: Scene, a: dict[str, Any], _: dict[str, Any]) -> None:
    a["proof"]["at"] = (datetime.now(UTC) + timedelta(days=400)).isoformat()


def no_entry_of_a(_: Scene, a: dict[str, Any], __: dict[str, Any]) -> None:
    a.clear()


def change(on: Scene, **changes: Any) -> None:
    def edit(connections: dict[ClientSlug, Connection]) -> None:
        slug = ClientSlug(on.slug_a)
        connections[slug] = replace(connections[slug], **changes)

    on.agency.index.write(edit)


def remove(on: Scene) -> None:
    def edit(connections: dict[ClientSlug, Connection]) -> None:
        del connections[ClientSlug(on.slug_a)]

    on.agency.index.write(edit)


def secret_name(on: Scene, slug: str, generation: int = 1) -> SecretName:
    return SecretName(on.agency.workspace.settings.workspace, slug, generation)


def put_secret(on: Scene, token: str) -> None:
    on.agency.store.put(secret_name(on, on.slug_a), Secret(token))


def rotate(on: Scene) -> None:
    """Rotate A's token in its portal, and onboard the new one as a person would."""
    on.sandbox.rotate(on.portal_a.portal_id, later=True)
    agency = on.agency
    plan = onboarding.plan_file(agency, client_list(on.sandbox), api=on.url, replace_tokens=True)
    result = onboarding.apply(agency, plan, digest=plan.digest)
    assert not result.refused, result.frame()


def halt(on: Scene) -> None:
    on.agency.halt.set("because of a test", at=datetime.now(UTC))


def narrow(on: Scene) -> None:
    change(on, connection_type=ConnectionType.CONFIG_ONLY)


def with_client(happens: Callable[[Scene], object]) -> Callable[[Scene], object]:
    """Call, let something happen, and call again with the same client."""

    def attack(on: Scene) -> object:
        client = on.a
        on.see(client.get(PATH))
        happens(on)
        return client.get(PATH)

    return attack


def before_any(happens: Callable[[Scene], object]) -> Callable[[Scene], object]:
    """Let something happen to a client that has not called yet, so that no secret is read."""

    def attack(on: Scene) -> object:
        client = on.a
        happens(on)
        return client.get(PATH)

    return attack


def in_flight(happens: Callable[[Scene], object]) -> Callable[[Scene], object]:
    """Let something happen in the middle of a body, then call again."""

    def attack(on: Scene) -> object:
        client = on.a
        generation = on.agency.connection(on.slug_a).generation

        def body() -> Iterator[bytes]:
            yield b'{"properties": '
            happens(on)
            yield b"{}}"

        assert client.post(PATH, content=body()).status_code == 201
        call = next(one for one in on.calls(on.slug_a) if one["method"] == "POST")
        # What is on its way goes on with the credential that it left with.
        assert call["credentialGeneration"] == generation
        return client.get(PATH)

    return attack


def swap_secrets(on: Scene) -> None:
    store = on.agency.store
    first, second = (store.get(secret_name(on, slug)) for slug in (on.slug_a, on.slug_b))
    store.put(secret_name(on, on.slug_a), second)
    store.put(secret_name(on, on.slug_b), first)


def secret_of_nobody(on: Scene) -> None:
    put_secret(on, on.sandbox.spare.token)


def secret_of_b(on: Scene) -> None:
    put_secret(on, on.portal_b.token)


def odd_secret(on: Scene) -> None:
    put_secret(on, on.portal_a.token + "\r\nX-Injected: 1")


def no_secret(on: Scene) -> None:
    on.agency.store.delete(secret_name(on, on.slug_a))


def same_portal_twice(on: Scene) -> object:
    """Onboard A's credential again, under another name."""
    row = client_list(on.sandbox).decode().splitlines()[:2]
    row[1] = row[1].replace(on.slug_a, "acme-again", 1)
    plan = onboarding.plan_file(on.agency, "\n".join(row).encode(), api=on.url)
    result = onboarding.apply(on.agency, plan, digest=plan.digest)
    assert result.refused
    return on.agency.client("acme-again")


def token_of_b_for_a(on: Scene) -> object:
    """Onboard B's token under A's name, as a slip in a spreadsheet would."""
    rows = client_list(on.sandbox).decode().splitlines()[:2]
    rows[1] = rows[1].replace(on.portal_a.token, on.portal_b.token)
    plan = onboarding.plan_file(
        on.agency, "\n".join(rows).encode(), api=on.url, replace_tokens=True
    )
    result = onboarding.apply(on.agency, plan, digest=plan.digest)
    assert result.refused
    on.see(result.frame(), *result.judgements)
    return on.a.get(PATH)


def pacing_of_b(on: Scene) -> httpx.Response:
    """Put what is known of B's budgets in the place of what is known of A's."""
    client = on.a
    on.see(client.get(PATH), on.b.get(PATH))
    files = {one.name: one for one in (on.root / "state").rglob("*") if one.is_file()}
    a, b = str(on.portal_a.portal_id), str(on.portal_b.portal_id)
    for name, file in files.items():
        for mine, theirs in ((a, b), (on.slug_a, on.slug_b)):
            if theirs in name and name.replace(theirs, mine) in files:
                files[name.replace(theirs, mine)].write_bytes(file.read_bytes())
    return client.get(PATH)


def revoked(on: Scene) -> httpx.Response:
    client = on.a
    on.sandbox.revoke(on.portal_a.portal_id)
    return client.get(PATH)


def wrong_answer(on: Scene) -> object:
    """A's portal is asked whose it is, and says B's."""
    change(on, proof=None)
    on.sandbox.faults.add(Fault("wrong_portal", portal=on.slug_a, times=1))
    with pytest.raises(PortalMismatch) as caught:
        on.see(on.a)
    on.see(told(caught.value))
    return on.agency.halt.reason()


def other_centre(on: Scene) -> httpx.Response:
    fault = Fault("status", portal=on.slug_a, status=488, times=5, path=PATH)
    on.sandbox.faults.add(fault)
    return on.a.get(PATH)


FORGED = [
    *forged("the portal of another", portal_of_b, NONE, Ending.REFUSED),
    *forged("the portal of another, and its proof", portal_and_proof_of_b, NONE, Ending.REFUSED),
    *forged("the whole entry of another", entry_of_b, NONE, Ending.REFUSED),
    *forged("two entries changed for each other", swapped, NONE, Ending.REFUSED),
    *forged("another address", other_address),
    *forged("HubSpot's address for a sandbox", address_of_hubspot),
    *forged("an address with a user", address_with_a_user, NONE, Ending.REFUSED),
    *forged("the fingerprint of another", fingerprint_of_b, NONE, Ending.REFUSED),
    *forged("a generation that is not there", next_generation),
    *forged("no binding and no proof", no_binding, Ending.REFUSED, HOME),
    *forged("the binding of another", binding_of_b, Ending.REFUSED, HOME),
    *forged("a data centre that is none", routed_elsewhere, NONE, Ending.REFUSED),
    *forged("another data centre for a sandbox", routed_to_another_centre, HOME, HOME),
    *forged("an empty entry", no_entry_of_a, NONE, Ending.REFUSED),
    *forged("a proof from the future", proof_from_the_future, HOME, HOME),
]

CHANGED = [
    Way("swapped secrets", before_any(swap_secrets)),
    Way("the secret of another portal", before_any(secret_of_b)),
    Way("the secret of a portal nobody onboarded", before_any(secret_of_nobody)),
    Way("a secret with a line break", before_any(odd_secret)),
    Way("no secret", before_any(no_secret)),
    Way("a token rotated between two calls", with_client(rotate), HOME),
    Way("a token rotated in flight", in_flight(rotate), HOME),
    Way("a connection removed between two calls", with_client(remove)),
    Way("a connection removed in flight", in_flight(remove)),
    Way("a halt between two calls", with_client(halt)),
    Way("a halt in flight", in_flight(halt)),
    Way("a narrower type between two calls", with_client(narrow)),
    Way("a narrower type in flight", in_flight(narrow)),
    Way("one portal under two names", same_portal_twice, NONE, own_token=True),
    Way("another's token in A's row", token_of_b_for_a, HOME, guests=1, own_token=True),
    Way("another's budgets", pacing_of_b, HOME, guests=1),
    Way("a revoked token", revoked, HOME),
    Way("an answer of another portal", wrong_answer, HOME),
    Way("a portal that moved", other_centre, HOME),
]

WAYS = [*FORGED, *CHANGED]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_nothing_that_changes_under_a_client_takes_it_elsewhere(
    scene: Scene, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    endure(scene, way, caplog)
