"""
An audited call through our portal client beside the same call through the official client.

Both call one sandbox in a process of its own, so that CPU is this process's alone, and both
end with Python objects: ours with what the JSON holds, the official client's with its models.
A bare httpx client shows what httpx costs as it comes, with no portal, guard or record.
Ours also proves the portal and writes two records a call, durably where `fsync` says so.
"""

from __future__ import annotations

import csv
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from hubspot import HubSpot

from hsagency import onboarding
from hsagency.agency import Agency
from hsagency.audit.journal.writer import AuditWriter, utc_now
from hsagency.router import Parts, Router
from tests.benchmarks.measuring import line, timed
from tests.benchmarks.serving import Serving, serving

CALLS, ROUNDS = 200, 9
Call = Callable[[], object]


def connect(folder: Path, server: Serving) -> Agency:
    """Make an agency that is connected to the server's one portal."""
    clients = folder / "clients.csv"
    with clients.open("w", newline="") as file:
        csv.writer(file).writerows([("clientSlug", "portalToken"), ("acme", server.tokens[0])])
    agency = Agency.create(folder / "w", store="age:credentials")
    plan = onboarding.plan_file(agency, clients, api=server.url, trust_first_contact=True)
    done = onboarding.apply(agency, plan, digest=plan.digest)
    assert not done.refused, done.frame().to_dicts()
    return agency


@contextmanager
def unsynced(agency: Agency, folder: Path) -> Iterator[Router]:
    """Route with the same records, written the same way, but without waiting for the disk."""
    writer = AuditWriter(folder / "audit", author=agency.writer.author, sync=lambda _: None)
    parts = Parts(
        workspace=agency.workspace,
        index=agency.index,
        store=lambda: agency.store,
        writer=writer,
        halt=agency.halt,
        now=utc_now,
        network=agency.network,
        pacing=agency.pacing,
    )
    router = Router(parts)
    try:
        yield router
    finally:
        router.close()
        writer.close()


def calls_of(client: httpx.Client) -> dict[str, Call]:
    """Return the calls that are compared, as our analysts make them."""
    return {
        "contact read": lambda: client.get("/crm/v3/objects/contacts/101").json(),
        "list of 10": lambda: client.get("/crm/v3/objects/contacts", params={"limit": 10}).json(),
    }


def official_calls(server: Serving) -> dict[str, Call]:
    """Return the same calls of the official client."""
    hubspot = HubSpot(access_token=server.tokens[0], host=server.url, base_url=server.url)
    contacts = hubspot.crm.contacts.basic_api
    return {
        "contact read": lambda: contacts.get_by_id("101"),
        "list of 10": lambda: contacts.get_page(limit=10),
    }


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(serving("sandbox"))
        agency = stack.enter_context(connect(folder, server))
        plain = stack.enter_context(unsynced(agency, folder))
        bearer = {"Authorization": f"Bearer {server.tokens[0]}"}
        bare = httpx.Client(base_url=server.url, headers=bearer, trust_env=False)
        ways = {
            "official": official_calls(server),
            "bare httpx": calls_of(stack.enter_context(bare)),
            "ours, fsync": calls_of(agency.client("acme", purpose="benchmark")),
            "ours, no fsync": calls_of(plain.client("acme", purpose="benchmark")),
        }
        for name in ways["official"]:
            compare(name, {way: calls[name] for way, calls in ways.items()})


def compare(name: str, calls: dict[str, Call]) -> None:
    """Make each call in turn, round after round, and print the medians."""
    for call in calls.values():
        timed(call, rounds=20)  # the connection is open and everything is imported
    rounds = [
        {way: timed(call, rounds=CALLS) for way, call in calls.items()} for _ in range(ROUNDS)
    ]
    for way in calls:
        wall, cpu = (statistics.median(one[way][part] for one in rounds) for part in (0, 1))
        wall_ratio, cpu_ratio = (
            statistics.median(one[way][part] / one["official"][part] for one in rounds)
            for part in (0, 1)
        )
        line(
            f"{name}, {way}",
            wall_us=round(wall / CALLS * 1e6),
            cpu_us=round(cpu / CALLS * 1e6),
            wall_ratio=round(wall_ratio, 2),
            cpu_ratio=round(cpu_ratio, 2),
            rounds=ROUNDS,
            calls=CALLS,
        )


if __name__ == "__main__":
    main()
