"""An audited call (a page of ten contacts, parsed) beside the same call through bare httpx."""

from __future__ import annotations

import csv
import os
import statistics
import tempfile
from pathlib import Path

import httpx

from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Author
from hsagency.client import Channel
from hsagency.halt import Halt
from hsagency.hosts import host_of
from hsagency.portals import ClientSlug, ConnectionType, PortalId
from hsagency.secret import Secret
from hsagency.transport import Binding
from tests.benchmarks.measuring import line, sandbox_process, timed

PATH = "/crm/objects/2026-09/contacts"
CALLS = 150  # below the burst limit of one portal, so that no answer is a refusal
ROUNDS = 6


def page(client: httpx.Client) -> None:
    answer = client.get(PATH, params={"limit": 10})
    assert len(answer.json()["results"]) == 10, answer.text


def audited(folder: Path, url: str, row: dict[str, str], sync: object) -> httpx.Client:
    token = Secret(row["portalToken"])
    author = Author(actor="benchmark", user="benchmark", host="benchmark", run_id="1")
    writer = AuditWriter(folder, author=author, sync=sync)  # type: ignore[arg-type]
    folder.mkdir()
    halt = Halt(folder / "halt.json")
    way = Channel(host=host_of(url), credential=lambda: token, writer=writer, halt=halt)
    return way.client(
        binding=Binding(
            client_slug=ClientSlug(row["clientSlug"]),
            portal_id=PortalId(int(row["expectedPortalId"])),
            connection_type=ConnectionType.CONFIG_AND_AUDIT,
            host=host_of(url),
            fingerprint=token.fingerprint,
            generation=1,
            purpose="benchmark",
        )
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        portals = 3 * ROUNDS + 3
        with sandbox_process(folder, portals=60) as (url, clients):
            rows = list(csv.DictReader(clients.open()))
            # A burst of 150 calls needs the higher limit.
            rows = [row for row in rows if row.get("tier") not in ("free", "starter")][:portals]
            results: dict[str, list[tuple[float, float]]] = {}
            for turn in range(ROUNDS):
                for position, kind in enumerate(("httpx", "no fsync", "fsync")):
                    row = rows[3 * turn + position]
                    if kind == "httpx":
                        token = {"Authorization": f"Bearer {row['portalToken']}"}
                        client = httpx.Client(base_url=url, headers=token, trust_env=False)
                    else:
                        sync = os.fdatasync if kind == "fsync" else lambda _: None
                        client = audited(folder / f"{turn}-{position}", url, row, sync)
                    page(client)  # the connection is open and everything is imported
                    results.setdefault(kind, []).append(
                        timed(lambda client=client: page(client), rounds=CALLS)
                    )
                    client.close()
    base_wall, base_cpu = (statistics.median(one) for one in zip(*results["httpx"], strict=True))
    for kind, figures in results.items():
        wall, cpu = (statistics.median(one) for one in zip(*figures, strict=True))
        line(
            f"call, {kind}",
            wall_us=round(wall / CALLS * 1e6),
            cpu_us=round(cpu / CALLS * 1e6),
            wall_ratio=round(wall / base_wall, 2),
            cpu_ratio=round(cpu / base_cpu, 2),
            rounds=ROUNDS,
            calls=CALLS,
        )


if __name__ == "__main__":
    main()
