"""
A sandbox in the same process: where it answers, and for clients of either kind.

The hosts are those of facts 1.8; the rest is nothing of HubSpot's.
"""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest

from hsagency.sandbox import Fault, Sandbox

CONTACTS = "/crm/v3/objects/contacts"


@pytest.mark.parametrize(
    "host",
    [
        "api.hubapi.com", "api-eu1.hubapi.com", "app.hubspot.com", "API.HUBAPI.COM",
        "api.hubapi.com.", "127.0.0.1:8080", "localhost", "acme.localhost", "[::1]", "localhost.",
    ],
)  # fmt: skip
def test_the_transport_answers_on_hubspots_hosts_and_on_this_machine(
    sandbox: Sandbox, host: str
) -> None:
    with httpx.Client(transport=sandbox.transport()) as client:
        assert client.get(f"https://{host}{CONTACTS}").status_code == 401


@pytest.mark.parametrize(
    "host",
    [
        "attacker.example", "hubapi.com.attacker.example", "nothubapi.com", "api.hubapi.con",
        "10.0.0.1", "localhost.example", "evil-localhost", "localhost..",
    ],
)  # fmt: skip
def test_any_other_host_is_a_name_that_does_not_resolve(sandbox: Sandbox, host: str) -> None:
    headers = {"authorization": f"Bearer {sandbox.portals[0].token}"}
    with (
        httpx.Client(transport=sandbox.transport(), headers=headers) as client,
        pytest.raises(httpx.ConnectError, match="Name or service not known"),
    ):
        client.get(f"https://{host}{CONTACTS}")
    assert sandbox.ledger(None) == sandbox.ledger("acme-corp") == ()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("api-eu1.hubapi.com", 200), ("API.HUBAPI.COM:443", 200), ("localhost.:80", 200),
        ("[::1]:8080", 200), ("evil.example", 421), ("api.hubapi.com@evil.example", 421),
        ("[::1]evil.example", 421), ("[::1]:80@evil.example", 421), ("127.0.0.1:evil", 421),
        ("evil.example/.hubapi.com", 421), ("", 421),
    ],
)  # fmt: skip
def test_a_host_header_that_names_another_is_refused_as_over_a_socket(
    sandbox: Sandbox, host: str, status: int
) -> None:
    headers = {"authorization": f"Bearer {sandbox.portals[0].token}", "host": host}
    with httpx.Client(transport=sandbox.transport(), headers=headers) as client:
        assert client.get(f"https://api.hubapi.com{CONTACTS}").status_code == status
    assert len(sandbox.ledger("acme-corp")) == (status == 200)


def asked(sandbox: Sandbox, **how: Any) -> httpx.Response:
    """Ask for contacts with an asynchronous client."""

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(
            base_url="https://api.hubapi.com",
            transport=sandbox.transport(),
            headers={"authorization": f"Bearer {sandbox.portals[0].token}"},
            **how,
        ) as client:
            return await client.get(CONTACTS, params={"limit": 2})

    return anyio.run(ask)


def test_an_asynchronous_client_is_answered(sandbox: Sandbox) -> None:
    assert len(asked(sandbox).json()["results"]) == 2
    assert sandbox.counts("acme-corp") == {"200": 1}


def test_an_asynchronous_client_sends_a_body_that_it_makes_as_it_goes(sandbox: Sandbox) -> None:
    async def parts():
        yield b'{"inputs": '
        yield b'[{"id": "7"}]}'

    async def ask() -> httpx.Response:
        headers = {
            "authorization": f"Bearer {sandbox.portals[0].token}",
            "content-type": "application/json",
        }
        async with httpx.AsyncClient(transport=sandbox.transport(), headers=headers) as client:
            where = f"https://api.hubapi.com{CONTACTS}/batch/read"
            return await client.post(where, content=parts())

    assert anyio.run(ask).status_code == 207


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("drop_before"), httpx.RemoteProtocolError),
        (Fault("reset_after"), httpx.ReadError),
        (Fault("truncated"), httpx.RemoteProtocolError),
        (Fault("latency", seconds=60), httpx.ReadTimeout),
        (Fault("slow_body", seconds=600), httpx.ReadTimeout),
    ],
    ids=lambda one: getattr(one, "kind", ""),
)
def test_an_asynchronous_client_meets_broken_connections(
    sandbox: Sandbox, fault: Fault, error: type[Exception]
) -> None:
    sandbox.faults.add(fault)
    with pytest.raises(error):
        asked(sandbox, timeout=0.01)


def test_an_asynchronous_client_waits_for_a_late_answer_that_drips(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("latency", seconds=0.01))
    sandbox.faults.add(Fault("slow_body", seconds=0.01))
    assert len(asked(sandbox).json()["results"]) == 2
