"""
Our audit log says what HubSpot saw: call by call, with faults on the line and many threads.

The sandbox keeps a ledger of its own and shares no code with the log, so that a call that one
of them lost, changed or invented is a difference between the two. Nothing here is HubSpot's.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, TypeAlias
from urllib.parse import urlencode

import httpx
import pytest

from hsagency.agency import Agency
from hsagency.audit.record import outcome_of
from hsagency.routes import touched
from hsagency.sandbox import Fault, LedgerEntry, Sandbox
from tests.support import connected, once

Logged: TypeAlias = dict[str, Any]
Seen: TypeAlias = tuple[int, LedgerEntry]  # with the portal that saw it; 0: no portal

# The answers to this path take longer than anybody waits.
LATE = "/crm/v3/objects/contacts/151"
THREADS, CALLS = 4, 24  # of each portal


@dataclass(frozen=True)
class Books:
    """What our log has and what HubSpot saw."""

    logged: tuple[Logged, ...]
    seen: tuple[Seen, ...]


def differences(books: Books) -> list[str]:
    """Return where the two disagree: (1) by correlation id, (2) what is left, by kind and order."""
    seen = {entry.correlation_id: (portal, entry) for portal, entry in books.seen}
    found, nameless = [], []
    for call in books.logged:
        match = seen.pop(call["correlation_id"], None) if call["correlation_id"] else None
        if match is not None:
            found += _disagreements(call, *match)  # (1)
        elif call["correlation_id"]:
            found.append(f"HubSpot never saw {_told(call)}")
        else:
            nameless.append(call)
    calls, entries = _grouped(nameless, _kind_of_call), _grouped(seen.values(), _kind_of_entry)
    for kind in calls.keys() | entries.keys():  # (2)
        in_order = sorted(calls.get(kind, []), key=lambda call: call["ts"])
        for one, other in zip_longest(in_order, entries.get(kind, [])):
            found += _unanswered(one, other)
    return found


def _disagreements(call: Logged, portal: int, entry: LedgerEntry) -> Iterator[str]:
    whose = portal if call["portal_id"] else 0  # while a key is judged, nobody knows yet
    if _kind_of_call(call) != _kind_of_entry((whose, entry)):
        yield f"{_told(call)} is {entry.method} {entry.path} of {portal}"
    if entry.sent != call["status_code"] or call["outcome"] != outcome_of(entry.sent):
        yield f"{_told(call)} was answered {entry.sent}"
    if entry.dropped:
        yield f"{_told(call)} was never answered"


def _unanswered(call: Logged | None, seen: Seen | None) -> Iterator[str]:
    """Yield what is wrong about a call whose answer named no correlation id: there was none."""
    if seen is None:
        assert call is not None
        yield f"HubSpot never saw {_told(call)}"
    elif call is None:
        yield f"the log lacks {seen[1].method} {seen[1].path}"
    elif not _never_came(seen[1]):
        yield f"{_told(call)} was answered {seen[1].sent}, and the log does not say so"
    elif call["outcome"] != "unknown" or call["status_code"] is not None:
        yield f"{_told(call)} had no answer, and the log has one"


def _never_came(entry: LedgerEntry) -> bool:
    return entry.dropped is not None or entry.path == LATE


def _kind_of_call(call: Logged) -> tuple[object, ...]:
    return call["portal_id"] or 0, call["method"], call["path"]


def _kind_of_entry(seen: Seen) -> tuple[object, ...]:
    portal, entry = seen
    template = touched(entry.method, entry.path, urlencode(entry.query)).template
    return portal, entry.method, template


def _grouped(some: Any, kind: Callable[[Any], tuple[object, ...]]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for one in some:
        groups.setdefault(kind(one), []).append(one)
    return groups


def _told(call: Logged) -> str:
    return f"{call['method']} {call['path']} ({call['status_code']})"


def books_of(agency: Agency, sandbox: Sandbox) -> Books:
    """Read both, from the first call of the onboarding on."""
    agency.writer.flush()
    seen = [
        (portal.portal_id, entry)
        for portal in (*sandbox.portals, sandbox.spare)
        for entry in sandbox.ledger(portal.portal_id)
    ]
    strangers = [(0, entry) for entry in sandbox.ledger(None)]
    return Books(tuple(agency.calls().collect().to_dicts()), (*seen, *strangers))


def books_when_all_came(agency: Agency, sandbox: Sandbox) -> Books:
    """Read both when what their callers gave up on has come: HubSpot may read it a moment later."""
    until = time.monotonic() + 60
    while True:
        books = books_of(agency, sandbox)
        if len(books.seen) >= len(books.logged) or time.monotonic() > until:
            return books
        time.sleep(0.05)


def requests(number: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield what one thread asks for."""
    for step in range(CALLS // 6):
        properties = {"email": f"{number}-{step}@example.com"}
        record = 201 + 50 * ((number + step) % 6)
        yield "GET", "/crm/objects/2026-09/contacts", {"params": {"limit": 5}}
        yield "GET", f"/crm/v3/objects/contacts/{record}", {}
        yield "POST", "/crm/v3/objects/contacts", {"json": {"properties": properties}}
        yield "PATCH", f"/crm/v3/objects/contacts/{record}", {"json": {"properties": {}}}
        yield "GET", "/crm/v3/objects/contacts/9999", {}
        yield "GET", LATE, {"timeout": httpx.Timeout(30, read=0.05)}


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Books:
    """Make calls from many threads over a socket, a third of which goes wrong."""
    sandbox = Sandbox(portals=3, contacts=20)
    with connected(tmp_path_factory.mktemp("w"), sandbox=sandbox) as there:
        agency = there.agency
        for slug in there.slugs:  # each client proves its portal before its first call
            agency.client(slug).get("/account-info/v3/details")
        for fault in (
            Fault(kind="latency", path=LATE, seconds=60),
            Fault(kind="drop_before", probability=0.07),
            Fault(kind="drop_after", probability=0.07),
            Fault(kind="status", status=502, probability=0.07),
            Fault(kind="status", status=503, html=True, probability=0.05),
            Fault(kind="burst", times=9, retry_after=1),
            Fault(kind="truncated", probability=0.05),
        ):
            sandbox.faults.add(fault)

        def work(task: tuple[str, int]) -> None:
            slug, number = task
            client = once(agency.client(slug, purpose=f"thread {number}"))
            for method, path, options in requests(number):
                with suppress(httpx.TransportError):
                    client.request(method, path, **options)

        tasks = [(slug, number) for slug in there.slugs for number in range(THREADS)]
        with ThreadPoolExecutor(len(tasks)) as pool:
            list(pool.map(work, tasks))
        return books_when_all_came(agency, sandbox)


def test_the_log_is_what_hubspot_saw_call_by_call(books: Books) -> None:
    assert differences(books) == []


def test_enough_went_wrong_to_prove_something(books: Books) -> None:
    """The claim above is not about a fleet on which nothing happened."""
    assert len(books.logged) == len(books.seen) > 3 * THREADS * CALLS
    outcomes = Counter(call["outcome"] for call in books.logged)
    assert min(outcomes[name] for name in ("unknown", "server_error", "rate_limited")) > 5
    assert outcomes["ok"] > 50
    assert {"before", "after"} <= {entry.dropped for _, entry in books.seen}


def test_unknown_outcomes_are_exactly_the_calls_whose_answer_never_came(books: Books) -> None:
    unknown = Counter(_kind_of_call(c) for c in books.logged if c["outcome"] == "unknown")
    lost = Counter(_kind_of_entry(seen) for seen in books.seen if _never_came(seen[1]))
    assert unknown == lost
    errors = {call["error"] for call in books.logged if call["outcome"] == "unknown"}
    assert "ReadTimeout" in errors
    assert None not in errors


def test_nothing_was_sent_twice(books: Books) -> None:
    ids = [entry.correlation_id for _, entry in books.seen]
    assert len(set(ids)) == len(ids)
    assert len({call["call_id"] for call in books.logged}) == len(books.logged)


def test_the_ledger_names_route_app_credential_and_size(books: Books) -> None:
    created = [e for _, e in books.seen if e.route == "/crm/objects/{type}" and e.method == "POST"]
    assert created
    assert {entry.size > 0 for entry in created} == {True}
    for portal, entry in books.seen:
        assert (entry.app_id is None) == (entry.kind is None) == (portal == 0)


def first(books: Books, outcome: str) -> int:
    return next(n for n, call in enumerate(books.logged) if call["outcome"] == outcome)


def changed(books: Books, which: str, /, **changes: object) -> Books:
    logged = list(books.logged)
    number = first(books, which)
    logged[number] = {**logged[number], **changes}
    return replace(books, logged=tuple(logged))


def without(books: Books, outcome: str) -> Books:
    number = first(books, outcome)
    return replace(books, logged=books.logged[:number] + books.logged[number + 1 :])


SABOTAGE: dict[str, Callable[[Books], Books]] = {
    "an answered call is lost": lambda books: without(books, "ok"),
    "an unanswered call is lost": lambda books: without(books, "unknown"),
    "a refusal is lost": lambda books: without(books, "rate_limited"),
    "a call is invented": lambda books: replace(
        books, logged=(*books.logged, {**books.logged[-1], "correlation_id": "invented"})
    ),
    "a call is logged twice": lambda books: replace(
        books, logged=(*books.logged, books.logged[first(books, "unknown")])
    ),
    "a failure becomes a success": lambda books: changed(
        books, "server_error", outcome="ok", status_code=200
    ),
    "an unknown becomes a success": lambda books: changed(
        books, "unknown", outcome="ok", status_code=200
    ),
    "a success becomes unknown": lambda books: changed(
        books, "ok", outcome="unknown", status_code=None, correlation_id=None
    ),
    "a call is another portal's": lambda books: changed(books, "server_error", portal_id=1),
    "a call took another path": lambda books: changed(books, "ok", path="/crm/v3/objects/deals"),
    "HubSpot saw one more": lambda books: replace(
        books, seen=(*books.seen, (0, replace(books.seen[-1][1], correlation_id="more")))
    ),
}


@pytest.mark.parametrize("how", SABOTAGE)
def test_a_difference_is_seen(books: Books, how: str) -> None:
    assert differences(SABOTAGE[how](books))
