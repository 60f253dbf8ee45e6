"""The audit log beside the sandbox's ledger, call by call: two books of the same calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from hsagency.audit import lake
from hsagency.audit.record import outcome_of
from hsagency.audit.verifying import Log, verify
from hsagency.client import PortalClient
from hsagency.errors import HsAgencyError
from hsagency.sandbox import Fault, LedgerEntry, Sandbox, serve
from hsagency.sandbox.faults.rules import FaultKind
from tests.audit.conftest import Connect
from tests.audit.reading import CONTACTS, records
from tests.support import connected

DETAILS = "/account-info/v3/details"
STRUCK = 5  # calls for each fault
THREADS = 8
PATIENCE = 0.5  # seconds until a caller gives up
SPECIAL: dict[str, dict[str, Any]] = {
    "status": {"status": 503},
    # These two join whatever else strikes; the ledger names them where nothing else does.
    "latency": {"seconds": 0.02, "after": 150},
    "lag": {"seconds": 5.0, "after": 160},
    "slow_body": {"seconds": 0.02},
    "headers": {"oddity": "not_a_number"},
    "wrong_portal": {"claims": 999},
}


@pytest.fixture
def sandbox() -> Sandbox:
    """A portal of which calls fail in all of the ways, one after the other."""
    sandbox = Sandbox(portals=2, contacts=10)
    for kind in get_args(FaultKind):
        which = {} if kind == "wrong_portal" else {"path": CONTACTS}
        sandbox.faults.add(Fault(kind, times=STRUCK, **which, **SPECIAL.get(kind, {})))
    for status in (400, 401, 403, 404, 409, 429, 500, 502):
        sandbox.faults.add(Fault("status", status=status, path=CONTACTS, times=2))
    sandbox.faults.add(Fault("latency", seconds=3 * PATIENCE, path=CONTACTS, times=3, after=170))
    for oddity in ("duplicate", "very_long", "gzip", "no_length", "chunked", "no_limits"):
        sandbox.faults.add(Fault("headers", oddity=oddity, path=CONTACTS, times=2))
    return sandbox


@pytest.fixture
def client(sandbox: Sandbox, connect: Connect) -> Iterator[PortalClient]:
    with serve(sandbox) as server:
        yield connect(server.url)


def call(client: PortalClient, number: int) -> None:
    """Make one call, whatever comes of it; its number is in its path."""
    with suppress(httpx.TransportError, httpx.DecodingError, HsAgencyError):
        if number % 20 == 0:
            client.get(DETAILS)
        elif number % 20 == 1:  # refused here
            client.get(f"https://example.com{CONTACTS}/{number}")
        elif number % 3 == 0:
            body = {"properties": {"city": "Ulm"}}
            client.patch(f"{CONTACTS}/{number}", json=body, timeout=PATIENCE)
        elif number % 7 == 0:
            client.delete(f"{CONTACTS}/{number}", timeout=PATIENCE)
        else:
            client.get(f"{CONTACTS}/{number}", timeout=PATIENCE)


def joined(audit: Path, slug: str = "acme-corp") -> list[dict[str, Any]]:
    """Return the calls of a log, joined without the reader under test."""
    calls: dict[str, dict[str, Any]] = {}
    for one in records(audit, slug):
        if one["event"] == "call.finished":
            assert "outcome" not in calls[one["callId"]]  # one start, then one end
            calls[one["callId"]] |= one
        elif one["event"] in ("call.started", "call.refused"):
            assert one["callId"] not in calls
            calls[one["callId"]] = one
    return list(calls.values())


def key_of_call(one: dict[str, Any]) -> str:
    return one.get("objectId") or one["correlationId"]


def key_of_entry(one: LedgerEntry) -> str:
    return one.correlation_id if one.path == DETAILS else one.path.rpartition("/")[2]


def test_log_and_ledger_agree_on_every_call_through_all_faults(
    sandbox: Sandbox, client: PortalClient, audit: Path
) -> None:
    portal = sandbox.portals[0].portal_id
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda number: call(client, number), range(1000, 1300)))
    ledger, calls = sandbox.ledger(portal), joined(audit)
    assert {entry.fault for entry in ledger} >= set(get_args(FaultKind))

    refused = [one for one in calls if one["outcome"] == "refused"]
    assert len(refused) == 300 // 20
    ours = {key_of_call(one): one for one in calls if one["outcome"] != "refused"}
    theirs = {key_of_entry(entry): entry for entry in ledger}
    assert (len(ours), len(theirs)) == (300 - len(refused), len(ledger))
    # Whatever arrived is in the log, and whatever the log says was answered has arrived.
    assert set(theirs) <= set(ours)
    assert not [
        one for key, one in ours.items() if key not in theirs and one["outcome"] != "unknown"
    ]
    for key, entry in theirs.items():
        agrees(ours[key], entry)
    assert Counter(one["outcome"] for one in ours.values())["unknown"] >= 4 * STRUCK + 3

    frame = lake.read(audit, ["acme-corp"]).calls.collect()
    read = dict(frame.select("call_id", "outcome").iter_rows())
    assert read == {one["callId"]: one["outcome"] for one in calls}
    assert verify(Log(folder=audit / "acme-corp", copy=None)).integrity == "intact"


def agrees(call: dict[str, Any], entry: LedgerEntry) -> None:
    """Both books say the same of one call, as far as the caller can have known it."""
    assert call["method"] == entry.method
    given_up = entry.fault == "latency" and call["outcome"] == "unknown"
    if entry.dropped or given_up:
        assert (call["outcome"], call.get("statusCode")) == ("unknown", None)
        assert call["error"]
        return
    assert call["statusCode"] == entry.sent
    assert call["outcome"] == outcome_of(entry.sent)
    named = None if entry.fault == "redirect" else entry.correlation_id  # it has a place alone
    assert call.get("correlationId") == named


def test_all_that_an_agency_does_is_in_both_books(tmp_path: Path) -> None:
    """Onboarding, checks of credentials and work, on several portals at once."""
    sandbox = Sandbox(portals=3, contacts=10)
    with connected(tmp_path / "agency", sandbox=sandbox) as there:
        for kind in ("reset_after", "drop_before", "truncated"):
            sandbox.faults.add(Fault(kind, path=CONTACTS, times=STRUCK))
        sandbox.faults.add(Fault("status", status=503, path=CONTACTS, times=STRUCK))

        def work(number: int) -> None:
            with suppress(httpx.TransportError):
                there.agency.client(there.slugs[number % 3]).get(f"{CONTACTS}/{number}")

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, range(90)))
        audit = there.agency.workspace.audit
        logs = ["_agency", *there.agency.audit.recorded()]
    calls = [one for slug in logs for one in joined(audit, slug) if one["outcome"] != "refused"]
    books = [None, *(portal.portal_id for portal in sandbox.portals)]
    ledger = [entry for book in books for entry in sandbox.ledger(book)]
    assert len(calls) == len(ledger) > 90
    answered = {entry.correlation_id: entry for entry in ledger if not entry.dropped}
    assert len(ledger) - len(answered) == 2 * STRUCK
    assert {one["correlationId"] for one in calls if "correlationId" in one} == set(answered)
    for one in calls:
        if one["outcome"] == "unknown":
            assert "statusCode" not in one
        else:
            agrees(one, answered[one["correlationId"]])
