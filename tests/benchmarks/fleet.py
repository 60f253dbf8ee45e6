"""
A fleet job beside the same calls through the official client in a thread pool, in one run.

First one call to each of a hundred portals, of which every answer takes 100 ms: with proofs
fresh and clients open, and in a process that has only just started. Then many calls to each of
twenty portals that answer at once, which is what the work itself costs. The sandbox has a
process of its own. Ours finds each portal's limits, records every call durably and checks that
the proof is fresh; the official client does none of it. A bare socket shows what the server and
this machine take for themselves.
"""

from __future__ import annotations

import csv
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hubspot import HubSpot

from hsagency import onboarding
from hsagency.agency import Agency
from hsagency.client import PortalClient
from hsagency.sandbox import Fault, Sandbox, serve
from tests.benchmarks.measuring import line

PORTALS, LATENCY, ROUNDS = 100, 0.1, 9
BUSY, EACH, TURNS = 20, 80, 5  # below what a portal may be called in one burst
PATH = "/crm/v3/objects/contacts/101"
NEXT_BURST = 10.5  # seconds, until as many calls may leave again


@dataclass(frozen=True)
class Served:
    """A sandbox in a process of its own."""

    url: str
    tokens: dict[str, str]
    process: subprocess.Popen[str]

    def answer_after(self, seconds: float) -> None:
        """Let every answer about records take so long from now on."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        self.process.stdout.readline()


@contextmanager
def served() -> Iterator[Served]:
    command = [sys.executable, "-m", "tests.benchmarks.fleet", "serve"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        yield Served(said["url"], said["tokens"], process)
    finally:
        process.stdin.close()
        process.wait()


def server() -> None:
    """Serve a sandbox without limits; every line read is a latency."""
    sandbox = Sandbox(portals=PORTALS, contacts=10, limits=False)
    with serve(sandbox) as running:
        tokens = {portal.client_slug: portal.token for portal in sandbox.portals}
        print(json.dumps({"url": running.url, "tokens": tokens}), flush=True)
        for said in sys.stdin:
            sandbox.faults.clear()
            if float(said):
                sandbox.faults.add(Fault(kind="latency", seconds=float(said), path="/crm"))
            print("done", flush=True)


def connect(folder: Path, server: Served) -> None:
    """Make a workspace that is connected to every portal of the server."""
    clients = folder / "clients.csv"
    with clients.open("w", newline="") as file:
        csv.writer(file).writerows([("clientSlug", "portalToken"), *server.tokens.items()])
    with Agency.create(folder / "w", store="age:credentials") as agency:
        plan = onboarding.plan_file(agency, clients, api=server.url, trust_first_contact=True)
        done = onboarding.apply(agency, plan, digest=plan.digest)
        assert not done.refused, done.frame().to_dicts()


def read(portal: PortalClient) -> str:
    return str(portal.get(PATH).json()["id"])


def many(portal: PortalClient) -> int:
    return len([read(portal) for _ in range(EACH)])


def ours(agency: Agency, fn: Callable[[PortalClient], object], slugs: list[str]) -> float:
    began = time.perf_counter()
    results = agency.map(fn, clients=slugs)
    took = time.perf_counter() - began
    assert set(results["outcome"]) == {"done"}, results["message"].drop_nulls().to_list()[:3]
    return took


class Officials:
    """A client of HubSpot's own for each portal, and a pool with a thread for each."""

    def __init__(self, server: Served, slugs: list[str]) -> None:
        self._clients = [
            HubSpot(access_token=server.tokens[slug], host=server.url, base_url=server.url)
            for slug in slugs
        ]

    def run(self, *, calls: int) -> float:
        def work(client: HubSpot) -> str:
            for _ in range(calls):
                found = client.crm.contacts.basic_api.get_by_id("101")
            return str(found.id)

        began = time.perf_counter()
        with ThreadPoolExecutor(len(self._clients)) as pool:
            assert set(pool.map(work, self._clients)) == {"101"}
        return time.perf_counter() - began


def bare(server: Served, slugs: list[str]) -> float:
    """Say the same over open sockets: what the server and the machine need at least."""
    where = urlsplit(server.url)
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_connection((where.hostname, where.port)))
            for _ in slugs
        ]

        def work(number: int) -> bytes:
            head = f"GET {PATH} HTTP/1.1\r\nHost: {where.netloc}\r\n"
            bearer = f"Authorization: Bearer {server.tokens[slugs[number]]}\r\n\r\n"
            sockets[number].sendall((head + bearer).encode())
            return sockets[number].recv(65536)

        began = time.perf_counter()
        with ThreadPoolExecutor(len(sockets)) as pool:
            answers = list(pool.map(work, range(len(slugs))))
        took = time.perf_counter() - began
    assert all(b" 200 " in one[:20] for one in answers)
    return took


COLD = """
import sys, time
began = time.perf_counter()
from tests.benchmarks.fleet import ours, read
from hsagency import Agency
imported = time.perf_counter()
with Agency.open(sys.argv[1]) as agency:
    took = ours(agency, read, agency.slugs())
    print(imported - began, time.perf_counter() - imported, took)
"""


def cold(root: Path) -> tuple[float, ...]:
    """Return seconds of a new process: for its imports, for the job with opening, for the job."""
    done = subprocess.run(
        [sys.executable, "-c", COLD, str(root)], check=True, capture_output=True, text=True
    )
    return tuple(float(one) for one in done.stdout.split())


def figure(name: str, ways: dict[str, list[float]], *, calls: int) -> None:
    for way, seconds in ways.items():
        ratios = [one / peer for one, peer in zip(seconds, ways["official"], strict=True)]
        line(
            f"{name}, {way}",
            median_s=round(statistics.median(seconds), 3),
            best_s=round(min(seconds), 3),
            worst_s=round(max(seconds), 3),
            calls_per_s=round(calls / statistics.median(seconds)),
            beside_official=round(statistics.median(ratios), 2),
            rounds=len(seconds),
        )


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(served())
        connect(folder, server)
        slugs = sorted(server.tokens)
        server.answer_after(LATENCY)
        imports, opened, job = zip(*(cold(folder / "w") for _ in range(3)), strict=True)
        line(
            f"one call to each of {PORTALS} portals at {LATENCY:g} s, cold",
            job_s=round(statistics.median(job), 3),
            with_opening_s=round(statistics.median(opened), 3),
            imports_s=round(statistics.median(imports), 3),
            rounds=len(job),
        )
        agency = stack.enter_context(closing(Agency.open(folder / "w")))
        officials = Officials(server, slugs)
        each = {
            "ours": lambda: ours(agency, read, slugs),
            "official": lambda: officials.run(calls=1),
            "bare sockets": lambda: bare(server, slugs),
        }
        figure(
            f"one call to each of {PORTALS} portals at {LATENCY:g} s",
            rounds(each, ROUNDS),
            calls=PORTALS,
        )
        server.answer_after(0)
        few = Officials(server, slugs[:BUSY])
        busy = {
            "ours": lambda: ours(agency, many, slugs[:BUSY]),
            "official": lambda: few.run(calls=EACH),
        }
        figure(
            f"{EACH} calls to each of {BUSY} portals",
            rounds(busy, TURNS, pause=NEXT_BURST),
            calls=BUSY * EACH,
        )


def rounds(
    ways: dict[str, Callable[[], float]], number: int, *, pause: float = 0
) -> dict[str, list[float]]:
    """Run each way in turn, once for practice and then so many times."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(number + 1):
        for way, work in ways.items():
            seconds = work()
            if turn:
                taken[way].append(seconds)
        time.sleep(pause)
    return taken


if __name__ == "__main__":
    server() if sys.argv[1:] == ["serve"] else main()
