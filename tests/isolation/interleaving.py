"""
Many calls through the clients of many portals at once, held against what each portal received.

Several processes with several threads each call portals at random, while their credentials are
rotated. The sandbox runs in a process of its own and writes down each call that arrives, with
the fingerprint of its credential, into one file a portal. Each portal has a contact that names
it, so that the answer to a call tells whose it is. Afterwards each portal's file and its
client's log are the same calls, one to one, or the difference is a contamination.
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx

from hsagency import onboarding
from hsagency.agency import Agency
from hsagency.client import PortalClient
from hsagency.errors import ClientClosed, HsAgencyError
from hsagency.portals import AGENCY
from hsagency.routes import touched
from hsagency.sandbox import serve
from hsagency.sandbox.clients_csv import COLUMNS, client_rows
from hsagency.sandbox.serving import server as server_settings
from tests.isolation.witness import Arrival, Witness

CONTACTS = "/crm/v3/objects/contacts"
ROOT = Path(__file__).resolve().parents[2]


def serve_sandbox(portals: int, folder: Path) -> None:
    """Serve until standard input ends; a line with a slug rotates that portal's token."""
    books: dict[int | None, IO[str]] = {}
    lock = threading.Lock()

    def write(arrival: Arrival) -> None:
        with lock:
            if arrival.portal_id not in books:
                books[arrival.portal_id] = (folder / f"{arrival.portal_id}.jsonl").open("w")
            books[arrival.portal_id].write(json.dumps(asdict(arrival)) + "\n")

    # Every process keeps connections to every portal; 400 in all are enough for anything else.
    server_settings.CONNECTIONS_MAX = 4000
    sandbox = Witness(portals=portals, contacts=1, tell=write)
    with serve(sandbox) as server:
        print(json.dumps({"url": server.url, "rows": client_rows(sandbox)}), flush=True)
        for slug in map(str.strip, sys.stdin):
            sandbox.rotate(slug, later=True)
            row = next(one for one in client_rows(sandbox) if one["clientSlug"] == slug)
            print(json.dumps(row), flush=True)
    for book in books.values():
        book.close()


def work(root: Path, *, seed: int, calls: int, threads: int) -> None:
    """Call portals at random, and print what came of it."""
    contacts = json.loads((root.parent / "contacts.json").read_text())
    told = Counter[str]()
    lock = threading.Lock()

    def one_thread(agency: Agency, number: int) -> None:
        # Repeatable is the point: what a seed calls, it calls again.
        dice = random.Random(f"{seed}/{number}")
        mine = Counter[str]()
        clients: dict[str, PortalClient] = {}
        for _ in range(calls // threads):
            slug = dice.choice(agency_slugs)
            if dice.random() < 0.02:
                clients.pop(slug, None)
            try:
                client = clients.get(slug) or clients.setdefault(slug, agency.client(slug))
                mine[one_call(client, contacts[slug], dice)] += 1
            except ClientClosed:
                clients.pop(slug, None)
                mine["closed"] += 1
            except (HsAgencyError, httpx.TransportError) as error:
                mine[type(error).__name__] += 1
        with lock:
            told.update(mine)

    with Agency.open(root) as agency:
        agency_slugs = sorted(contacts)
        running = [
            threading.Thread(target=one_thread, args=(agency, number)) for number in range(threads)
        ]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    print(json.dumps(told))


def one_call(client: PortalClient, marked: dict[str, Any], dice: random.Random) -> str:
    """Make a call to the contact that names its portal, and look whether the answer does."""
    path, kind = f"{CONTACTS}/{marked['contact']}", dice.random()
    if kind < 0.1:
        return str(client.get(f"{CONTACTS}/404404404").status_code)
    if kind < 0.3:
        change = {"properties": {"company": marked["company"]}}
        answer = client.patch(path, json=change)
    else:
        answer = client.get(path, params={"properties": "company"})
    if not answer.is_success:
        return str(answer.status_code)
    whose = answer.json()["properties"].get("company")
    return str(answer.status_code) if whose == marked["company"] else "WRONG PORTAL"


@dataclass
class Field:
    """An agency on a sandbox in another process, and what was rotated since."""

    root: Path
    books: Path
    url: str
    sandbox: subprocess.Popen[str]
    agency: Agency
    slugs: dict[str, int]
    generations: dict[tuple[str, int], str] = field(default_factory=dict)
    changed: int = 0

    def onboard(self, rows: list[dict[str, str]]) -> None:
        """Connect clients, or give them the token of their next generation."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        plan = onboarding.plan_file(
            self.agency, text.getvalue().encode(), api=self.url, replace_tokens=True
        )
        result = onboarding.apply(self.agency, plan, digest=plan.digest)
        assert not result.refused, result.frame()
        for row in rows:
            stored = self.agency.connection(row["clientSlug"])
            self.generations[row["clientSlug"], stored.generation] = stored.fingerprint

    def rotate(self, slug: str) -> None:
        """Rotate a token in its portal, and store the new one while calls are under way."""
        assert self.sandbox.stdin is not None
        assert self.sandbox.stdout is not None
        self.sandbox.stdin.write(f"{slug}\n")
        self.sandbox.stdin.flush()
        self.onboard([json.loads(self.sandbox.stdout.readline())])
        self.changed += 1

    def mark(self) -> None:
        """Make the contact in each portal that names it."""
        contacts = {}
        for slug, portal_id in self.slugs.items():
            made = {"email": f"marker@{slug}.example.com", "company": f"{slug} {portal_id}"}
            answer = self.agency.client(slug).post(CONTACTS, json={"properties": made})
            assert answer.status_code == 201, answer.text
            contacts[slug] = {"contact": answer.json()["id"], "company": made["company"]}
        (self.root.parent / "contacts.json").write_text(json.dumps(contacts))


@contextmanager
def laid_out(folder: Path, *, portals: int) -> Iterator[Field]:
    """Start a sandbox, and connect an agency to all of its portals."""
    books = folder / "books"
    books.mkdir(parents=True)
    command = [sys.executable, "-m", __name__, "sandbox", str(portals), str(books)]
    with ExitStack() as stack:
        sandbox = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        stack.enter_context(sandbox)
        assert sandbox.stdout is not None
        said = json.loads(sandbox.stdout.readline())
        agency = Agency.create(folder / "agency", store="age:credentials")
        stack.enter_context(agency)
        slugs = {row["clientSlug"]: int(row["expectedPortalId"]) for row in said["rows"]}
        made = Field(folder / "agency", books, said["url"], sandbox, agency, slugs)
        made.onboard(said["rows"])
        made.mark()
        yield made
        sandbox.communicate()  # it writes its books to their ends


def interleave(
    on: Field, *, calls: int, processes: int, threads: int, seed: int, pause: float
) -> Counter[str]:
    """Make so many calls, rotating a token after each pause; return what came of them."""
    command = [sys.executable, "-m", __name__, "work", str(on.root)]
    running = [
        subprocess.Popen(
            [*command, str(f"{seed}{number}"), str(calls // processes), str(threads)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        for number in range(processes)
    ]
    dice = random.Random(seed)
    while any(one.poll() is None for one in running):
        time.sleep(pause)  # what the workers do meanwhile is the test
        on.rotate(dice.choice(sorted(on.slugs)))
    told = Counter[str]()
    for one in running:
        said, _ = one.communicate()
        assert one.returncode == 0
        told.update(json.loads(said))
    return told


@dataclass
class Reconciled:
    """What log and books say of each other, over all portals."""

    calls: int = 0
    refused: int = 0
    unknown: int = 0
    generations: set[tuple[str, int]] = field(default_factory=set)
    contaminations: list[str] = field(default_factory=list)


def reconcile(on: Field) -> Reconciled:
    """Hold every portal's book against the log of its client, one portal after the other."""
    found = Reconciled()
    known = {f"{portal_id}.jsonl" for portal_id in on.slugs.values()}
    strange = {one.name for one in on.books.iterdir()} - known
    found.contaminations += [f"calls of nobody's: {name}" for name in strange]
    judged = list(calls_in(on.root / "audit" / AGENCY))
    for slug, portal_id in on.slugs.items():
        with (on.books / f"{portal_id}.jsonl").open() as lines:
            book = [Arrival(**json.loads(line)) for line in lines]
        own = calls_in(on.root / "audit" / slug)
        candidates = (one for one in judged if one.get("candidateSlug") == slug)
        calls = [*own, *candidates]
        found.refused += sum(one["outcome"] == "refused" for one in calls)
        sent = [one for one in calls if one["outcome"] != "refused"]
        found.calls += len(sent)
        found.unknown += sum(one["outcome"] == "unknown" for one in sent)
        found.generations |= {(slug, one["credentialGeneration"]) for one in own_calls(sent)}
        found.contaminations += differences(on, slug, portal_id, book, sent)
    return found


def own_calls(sent: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (one for one in sent if "candidateSlug" not in one)


def differences(
    on: Field, slug: str, portal_id: int, book: list[Arrival], sent: list[dict[str, Any]]
) -> Iterator[str]:
    """Yield what does not fit: each arrival has one record, and each answered call one arrival."""
    by_id = {one.correlation_id: one for one in book}
    if len(by_id) != len(book):
        yield f"{slug}: a correlation id twice"
    if len(sent) != len(book):
        yield f"{slug}: {len(sent)} calls recorded, {len(book)} arrived"
    for one in sent:
        there = by_id.pop(one.get("correlationId", ""), None)
        if there is None:
            if one["outcome"] != "unknown":
                yield f"{slug}: recorded as answered, and never arrived: {one['callId']}"
            continue
        ours = (one["method"], one["path"], one["statusCode"], one["credentialFingerprint"])
        template = touched(there.method, there.path, "").template
        theirs = (there.method, template, there.sent, there.fingerprint)
        if ours != theirs or there.portal_id != portal_id:
            yield f"{slug}: {ours} recorded, {theirs} arrived at {there.portal_id}"
        if "candidateSlug" not in one:
            generation = on.generations.get((slug, one["credentialGeneration"]))
            if one["portalId"] != portal_id or generation != there.fingerprint:
                yield f"{slug}: recorded for {one['portalId']}, or in another generation"
    unknown = sum(one["outcome"] == "unknown" for one in sent)
    if len(by_id) > unknown:
        yield f"{slug}: {len(by_id) - unknown} arrived and have no record"


def calls_in(log: Path) -> Iterator[dict[str, Any]]:
    """Yield the calls of a log, each start joined with its end, without the reader under test."""
    started: dict[str, dict[str, Any]] = {}
    for segment in sorted((log / "journal").glob("*.jsonl")):
        with segment.open("rb") as lines:
            for one in map(json.loads, lines):
                if one["event"] == "call.started":
                    assert one["callId"] not in started
                    started[one["callId"]] = one
                elif one["event"] == "call.finished":
                    yield started.pop(one["callId"]) | one
                elif one["event"] == "call.refused":
                    yield one
    assert not started, "calls without an end"


if __name__ == "__main__":
    if sys.argv[1] == "sandbox":
        serve_sandbox(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        given = [int(one) for one in sys.argv[3:]]
        work(Path(sys.argv[2]), seed=given[0], calls=given[1], threads=given[2])
