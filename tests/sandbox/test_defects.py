"""What a defect of the sandbox's own leads to: a 500 and an entry; nothing here is HubSpot's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest

from hsagency.sandbox import Fault, LedgerEntry, Request, Sandbox
from tests.sandbox.conftest import bearer

CONTACTS = "/crm/objects/2026-09/contacts"


class Unreadable(Mapping[str, str]):
    """Headers of a carrier that has a defect."""

    def __getitem__(self, name: str) -> str:
        raise RuntimeError("s3cret")

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_a_defect_before_anything_is_known_is_a_500_and_in_the_strangers_ledger(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    reply = sandbox.handle(Request("GET", CONTACTS, headers=Unreadable()))
    (entry,) = sandbox.ledger(None)
    assert (entry.status, entry.sent, entry.fault) == (500, 500, "defect")
    assert json.loads(reply.body)["correlationId"] == entry.correlation_id
    assert "RuntimeError in test_defects.py" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_defect_while_answering_is_a_500_and_in_the_portals_ledger(sandbox: Sandbox) -> None:
    reply = sandbox.handle(
        Request("POST", CONTACTS, headers=bearer(sandbox.portals[0].token), body=("no bytes",))
    )
    (entry,) = sandbox.ledger(sandbox.portals[0].portal_id)
    assert (reply.status, entry.status, entry.fault) == (500, 500, "defect")
    assert entry.correlation_id == dict(reply.headers)["X-HubSpot-Correlation-Id"]


def test_a_defect_after_the_effect_leaves_an_entry_that_tells_both(sandbox: Sandbox) -> None:
    """What goes wrong with an answer does not take back what the call did."""
    fault = Fault(kind="malformed", body="x", path=CONTACTS, times=1)
    object.__setattr__(fault, "body", 7)  # no rule that is checked could spoil the damage
    sandbox.faults.add(fault)
    body = b'{"properties":{"email":"a@example.com"}}'
    reply = sandbox.handle(
        Request("POST", CONTACTS, headers=bearer(sandbox.portals[0].token), body=body)
    )
    (entry,) = sandbox.ledger(sandbox.portals[0].portal_id)
    assert (reply.status, entry.status, entry.sent, entry.fault) == (500, 201, 500, "defect")


def test_a_watcher_that_fails_costs_nobody_an_answer(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[LedgerEntry] = []

    def fail(_: int | None, __: LedgerEntry) -> None:
        raise RuntimeError("s3cret")

    sandbox.watch(fail)
    sandbox.watch(lambda _, entry: seen.append(entry))
    reply = sandbox.handle(Request("GET", CONTACTS, headers=bearer(sandbox.portals[0].token)))
    assert reply.status == 200
    assert tuple(seen) == sandbox.ledger(sandbox.portals[0].portal_id)
    assert "A watcher missed a call" in caplog.text
    assert "s3cret" not in caplog.text
