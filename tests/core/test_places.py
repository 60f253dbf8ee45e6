"""A call has its place on the wire before its turn: shown, cancelled, recorded if there is none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from hsagency.client import PortalClient
from hsagency.credentials import SecretName
from hsagency.errors import Cancelled, ClientClosed, Halted, HsAgencyError
from hsagency.portals import ClientSlug, Connection, binding_of
from hsagency.progress import silent
from hsagency.sandbox import Sandbox
from hsagency.sandbox.wire import Reply, Request
from hsagency.secret import Secret
from hsagency.transport.wire import MOST
from hsagency.waiting import Waits
from tests.support import Connected, connected, records

PATH = "/crm/v3/objects/contacts"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Connected]:
    with connected(tmp_path / "agency", contacts=2) as made:
        yield made


class Aside:
    """Knows when a wait has begun."""

    def __init__(self) -> None:
        self.begun, self.whys = threading.Event(), list[str]()

    @contextmanager
    def __call__(self, why: str) -> Iterator[None]:
        self.whys.append(why)
        self.begun.set()
        yield


class Crowded:
    """A client of which every connection is in use, until `let_go` is called."""

    def __init__(self, fleet: Connected) -> None:
        self.fleet, self.slug = fleet, fleet.slugs[0]
        self.aside, self.cancel = Aside(), threading.Event()
        waits = Waits(progress=silent, cancel=self.cancel, aside=self.aside)
        self.client: PortalClient = fleet.agency.router.client(self.slug, waits=waits)
        self._open = ExitStack()
        for _ in range(MOST):
            self._open.enter_context(self.client.stream("GET", PATH))
        self.result: object = None

    def let_go(self) -> None:
        self._open.close()

    def call(self) -> threading.Thread:
        """Make a call beyond them, and return when it waits."""

        def work() -> None:
            try:
                self.result = self.client.get(PATH).status_code
            except HsAgencyError as error:
                self.result = error

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        assert self.aside.begun.wait(30)
        return thread

    def records(self) -> list[dict[str, Any]]:
        root = self.fleet.agency.workspace.root
        return [one for one in records(root, self.slug) if one.get("path", "").startswith("/crm")]

    def turns(self) -> int:
        """Return how many calls count towards the portal's limits."""
        connection = self.fleet.agency.connection(self.slug)
        return self.fleet.agency.pacing.of(connection).standing().ours


@pytest.fixture
def crowd(fleet: Connected) -> Iterator[Crowded]:
    crowd = Crowded(fleet)
    yield crowd
    crowd.let_go()


def ended(thread: threading.Thread) -> None:
    thread.join(30)
    assert not thread.is_alive()


def test_a_call_without_a_place_takes_no_turn_and_leaves_no_intent(crowd: Crowded) -> None:
    turns, before = crowd.turns(), len(crowd.records())
    thread = crowd.call()
    assert crowd.aside.whys == [f"{crowd.slug} waits for a connection"]
    assert (crowd.turns(), len(crowd.records())) == (turns, before)
    crowd.let_go()
    ended(thread)
    assert crowd.result == 200
    assert crowd.turns() == turns + 1


def test_a_call_that_waits_for_a_place_is_cancelled_and_that_is_on_record(crowd: Crowded) -> None:
    turns, thread = crowd.turns(), crowd.call()
    crowd.cancel.set()
    ended(thread)
    assert isinstance(crowd.result, Cancelled)
    assert crowd.turns() == turns
    last = crowd.records()[-1]
    assert (last["event"], last["reason"]) == ("call.refused", "cancelled")


def test_a_call_that_finds_no_place_in_time_says_so_once(crowd: Crowded) -> None:
    before = len(crowd.records())
    with pytest.raises(httpx.PoolTimeout, match="all 16 connections to the sandbox") as caught:
        crowd.client.get(PATH, timeout=httpx.Timeout(10, pool=0.05))
    assert isinstance(caught.value, HsAgencyError)
    assert "none came free in 0.05 seconds. Nothing was sent." in caught.value.message
    assert not caught.value.under_way
    (last,) = crowd.records()[before:]
    assert (last["event"], last["reason"]) == ("call.refused", "no connection free")
    crowd.let_go()
    assert crowd.client.get(PATH).status_code == 200


def test_a_call_that_waited_for_a_place_does_not_leave_after_a_halt(crowd: Crowded) -> None:
    thread = crowd.call()
    crowd.fleet.agency.halt.set("a portal mix-up", at=datetime.now(UTC))
    crowd.let_go()
    ended(thread)
    assert isinstance(crowd.result, Halted)
    last = records(crowd.fleet.agency.workspace.root, crowd.slug)[-1]
    assert (last["outcome"], last["reason"]) == ("refused", "halted")


def test_a_wait_for_a_place_ends_where_the_wire_is_closed(crowd: Crowded) -> None:
    thread = crowd.call()
    crowd.fleet.agency.router.close()
    ended(thread)
    assert isinstance(crowd.result, ClientClosed)


def test_a_call_that_waits_for_a_place_goes_on_with_a_new_credential(crowd: Crowded) -> None:
    fleet, thread = crowd.fleet, crowd.call()
    portal = fleet.sandbox.portal(crowd.slug)
    secret = Secret(fleet.sandbox.rotate(portal.portal_id).token)
    workspace = fleet.agency.workspace.settings.workspace
    fleet.agency.store.put(SecretName(workspace, crowd.slug, 2), secret)

    def edit(connections: dict[ClientSlug, Connection]) -> None:
        stored = connections[ClientSlug(crowd.slug)]
        connections[stored.client_slug] = replace(
            stored,
            generation=2,
            fingerprint=secret.fingerprint,
            binding=binding_of(stored, secret),
            proof=None,
        )

    fleet.agency.index.write(edit)
    assert fleet.agency.client(crowd.slug).get(PATH).status_code == 200
    ended(thread)
    assert crowd.result == 200
    sent = [one for one in crowd.records() if one["event"] == "call.started"]
    assert [one["credentialGeneration"] for one in sent[-2:]] == [2, 2]
    assert sent[-1]["attempt"] == 1


class Slow(Sandbox):
    """Does not tell whose a credential is before it may."""

    def __init__(self) -> None:
        super().__init__(portals=1, contacts=2)
        self.may_tell, self.asked = threading.Event(), threading.Event()
        self.may_tell.set()

    def handle(self, request: Request) -> Reply:
        if request.path.startswith("/account-info"):
            self.asked.set()
            assert self.may_tell.wait(30)
        return super().handle(request)


def test_a_call_that_waits_for_the_proof_of_another_thread_is_cancelled(tmp_path: Path) -> None:
    sandbox = Slow()
    with connected(tmp_path / "agency", sandbox=sandbox) as fleet:
        slug, aside, cancel = fleet.slugs[0], Aside(), threading.Event()
        waits = Waits(progress=silent, cancel=cancel, aside=aside)
        first, second = fleet.agency.client(slug), fleet.agency.router.client(slug, waits=waits)

        def edit(connections: dict[ClientSlug, Connection]) -> None:
            connections[ClientSlug(slug)] = replace(connections[ClientSlug(slug)], proof=None)

        fleet.agency.index.write(edit)
        sandbox.asked.clear()
        sandbox.may_tell.clear()
        thread = threading.Thread(target=first.get, args=(PATH,), daemon=True)
        thread.start()
        assert sandbox.asked.wait(30)
        threading.Thread(target=lambda: aside.begun.wait(30) and cancel.set()).start()
        with pytest.raises(Cancelled):
            second.get(PATH)
        assert aside.whys == [f"{slug} waits for its proof"]
        sandbox.may_tell.set()
        ended(thread)
