"""
What OAuth costs: `python -m tests.benchmarks.authorising [--peer FOLDER]`.

    storm   16 threads in each of 4 processes on one token that has ended: how many renewals it
            takes, and seconds until the last thread has its answer
    token   microseconds for an access token that need not be renewed
    call    milliseconds of a call over OAuth beside one with a static credential

With `--peer`, a folder in which authlib is installed, the storm is made with its client too: one
for all threads of a process, as its documentation has it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from hsagency.agency import Agency
from hsagency.sandbox import Sandbox
from tests.auth.renewals import CONTACTS, renewals
from tests.benchmarks import measuring
from tests.support import Authorised, authorised, connected

THREADS, PROCESSES, ROUNDS = 16, 4, 5
PEER = """
import json, sys, threading, time
root, url, client_id, path, threads = *sys.argv[1:5], int(sys.argv[5])
sys.path.insert(0, root)
given = json.loads(sys.stdin.readline())
from authlib.integrations.httpx_client import OAuth2Client
client = OAuth2Client(
    client_id, given["secret"], token_endpoint_auth_method="client_secret_post",
    token_endpoint=url + "/oauth/2026-09/token", update_token=lambda *a, **k: None,
    token={"access_token": given["access"], "refresh_token": given["refresh"],
           "token_type": "bearer", "expires_in": 1800, "expires_at": 1},
)
gate, came = threading.Barrier(threads), []
def call():
    gate.wait()
    came.append(client.get(url + path).status_code)
threads = [threading.Thread(target=call) for _ in range(threads)]
print("ready", flush=True)
sys.stdin.readline()
[one.start() for one in threads]
[one.join() for one in threads]
print(json.dumps({"came": came, "at": time.time()}), flush=True)
"""


def storm(one: Authorised, slug: str, command: list[str], first: str = "") -> tuple[int, float]:
    """Return how many renewals it took, and seconds until the last had its answer."""
    before = renewals(one, slug)
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        running = [
            stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
            for _ in range(PROCESSES)
        ]
        for process in running:
            assert process.stdin is not None
            process.stdin.write(first)
            process.stdin.flush()
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        began = time.time()
        for process in running:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        said = [json.loads(process.communicate()[0]) for process in running]
    assert {code for one_said in said for code in one_said["came"]} == {200}, said
    return renewals(one, slug) - before, max(one_said["at"] for one_said in said) - began


def storms(one: Authorised, slug: str) -> None:
    root = str(one.agency.workspace.root)
    command = [sys.executable, "-m", "tests.auth.storming", root, slug, str(THREADS)]
    found = []
    for _ in range(ROUNDS):
        one.end(slug)
        found.append(storm(one, slug, command))
    measuring.line(
        "storm",
        threads=THREADS,
        processes=PROCESSES,
        renewals=[renewed for renewed, _ in found],
        seconds=round(median(seconds for _, seconds in found), 3),
    )


def peer(one: Authorised, slug: str, folder: str) -> None:
    kept, url = one.kept(slug), one.server.url
    command = [sys.executable, "-c", PEER, folder, url, one.app.client_id, CONTACTS, str(THREADS)]
    given = {"access": kept.access.reveal(), "refresh": kept.refresh.reveal()}
    first = json.dumps({**given, "secret": one.app.client_secret}) + "\n"
    renewed, seconds = storm(one, slug, command, first)
    measuring.line("storm, authlib", renewals=renewed, seconds=round(seconds, 3))


def tokens(one: Authorised, slug: str, *, times: int = 100_000) -> None:
    with Agency.open(one.agency.workspace.root) as agency:
        connection, refresher = agency.connection(slug), agency.router._parts.refresher
        refresher.token(connection)
        wall, _ = measuring.timed(lambda: refresher.token(connection), rounds=times)
    measuring.line("token", microseconds=round(wall / times * 1e6, 2))


def calls(folder: Path, *, times: int = 300) -> None:
    """Take turns, so that whatever else this machine does hits both alike."""
    with (
        authorised(folder / "oauth") as oauth,
        connected(folder / "static") as static,
    ):
        clients = [one.agency.client(one.slugs[0]) for one in (oauth, static)]
        took: list[list[float]] = [[], []]
        for turn in range(times * 2):
            began = time.perf_counter()
            clients[turn % 2].get(CONTACTS, params={"limit": 1})
            took[turn % 2].append(time.perf_counter() - began)
        over, fixed = (median(one) * 1e3 for one in took)
        measuring.line("call", oauth_ms=round(over, 3), static_ms=round(fixed, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--peer", metavar="FOLDER", help="a folder in which authlib is installed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # The peer does not pace its calls; what is measured is renewals, not refusals.
        with authorised(folder / "agency", sandbox=Sandbox(portals=1, limits=False)) as one:
            slug = one.slugs[0]
            storms(one, slug)
            tokens(one, slug)
            if asked.peer:
                peer(one, slug, asked.peer)
        calls(folder)


if __name__ == "__main__":
    main()
