"""Threads, forks and other processes use their own clients, or none."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from hsagency.agency import Agency
from hsagency.client import PortalClient
from tests.isolation.attacking import DEALS, PATH, Ending, Scene, Way, endure

HOME, NONE = Ending.HOME, Ending.NONE
ROOT = Path(__file__).resolve().parents[2]


def forked(on: Scene, work: Callable[[], object]) -> str:
    """Run something in a forked child, and return what it says."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = repr(work())
        except BaseException as error:  # noqa: BLE001 - the parent is told
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    on.see(said)
    return said


def parents_client(on: Scene) -> object:
    client = on.a
    assert forked(on, lambda: client.get(PATH)).startswith("ClientClosed")


def parents_guard(on: Scene) -> object:
    """Go past the client, straight to the guard behind it."""
    client = on.a
    on.see(client.get(PATH))
    request = client.build_request("GET", DEALS)
    said = forked(on, lambda: client._transport.handle_request(request))
    assert DEALS not in [one.path for one in on.sandbox.arrivals], said
    return client.get(PATH)


def parents_agency(on: Scene) -> object:
    agency, slug = on.agency, on.slug_a
    assert forked(on, lambda: agency.client(slug).get(PATH)).startswith("ClientClosed")


def parents_open_answer(on: Scene) -> object:
    """Close, in the child, an answer that the parent is reading: the parent reads on."""
    with on.a.stream("GET", PATH) as answer:
        forked(on, answer.close)
        assert answer.read()
    return on.a.get(PATH)


def childs_own(on: Scene) -> object:
    root, slug = on.root, on.slug_a

    def work() -> int:
        with Agency.open(root) as agency:
            return agency.client(slug).get(PATH).status_code

    assert forked(on, work) == "200"
    return on.a.get(PATH)


def fork_in_flight(on: Scene) -> object:
    client, other = on.a, on.b

    def body() -> object:
        yield b'{"properties": '
        said = forked(on, lambda: (client.close(), other.get(PATH)))
        assert said.startswith("ClientClosed")
        yield b"{}}"

    return client.post(PATH, content=body())  # type: ignore[arg-type]


def started(method: str) -> Callable[[Scene], object]:
    """Hand a client to a process of another kind."""

    def attack(on: Scene) -> object:
        context = multiprocessing.get_context(method)
        process = context.Process(target=PortalClient.get, args=(on.a, PATH))  # type: ignore[attr-defined]
        process.start()
        return process

    return attack


def pool_of_processes(on: Scene) -> object:
    return pickle.dumps((PortalClient.get, on.a, PATH))


def bound_method(on: Scene) -> object:
    return pickle.dumps(on.a.get)


CHILD = """
import os, sys
from hsagency.agency import Agency
with Agency.open(sys.argv[1]) as agency:
    print(agency.client(sys.argv[2]).get(sys.argv[3]).status_code)
print(dict(os.environ), sys.argv)
"""


def subprocess_of_its_own(on: Scene) -> object:
    command = [sys.executable, "-c", CHILD, str(on.root), on.slug_a, PATH]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("200"), done.stderr
    on.see(done.stdout, done.stderr)
    return done.returncode


def threads_on_two_clients(on: Scene) -> object:
    ids = {on.slug_a: on.portal_a.portal_id, on.slug_b: on.portal_b.portal_id}

    def work(number: int) -> None:
        slug = (on.slug_a, on.slug_b)[number % 2]
        client = on.agency.client(slug)
        assert client.get("/account-info/v3/details").json()["portalId"] == ids[slug]

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(work, range(60)))


def threads_on_one_client(on: Scene) -> object:
    client = on.a
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda _: client.get(PATH).status_code, range(40)))


def thread_changes_request(on: Scene) -> object:
    """Change a request from another thread, over and over, while it is sent."""
    done = threading.Event()
    request = on.a.build_request("GET", PATH)

    def spoil() -> None:
        home, away = request.url, httpx.URL(f"{on.other.url}{PATH}")
        while not done.is_set():
            request.url = away
            request.url = home

    thread = threading.Thread(target=spoil)
    thread.start()
    try:
        for _ in range(40):
            try:
                on.a.send(request)
            except Exception as error:  # noqa: BLE001 - refused or not, it goes nowhere else
                on.see(error)
    finally:
        done.set()
        thread.join()
    return on.a.get(PATH)


def closed_by_a_thread(on: Scene) -> object:
    client = on.a

    def body() -> object:
        yield b'{"properties": '
        thread = threading.Thread(target=client.close)
        thread.start()
        thread.join()
        yield b"{}}"

    return client.post(PATH, content=body())  # type: ignore[arg-type]


def environment_of_this_process(on: Scene) -> object:
    on.a.get(PATH)
    on.see(dict(os.environ), sys.argv, Path("/proc/self/cmdline").read_bytes())
    return Path("/proc/self/environ").read_bytes()


WAYS: list[Way] = [
    Way("a fork that uses its parent's client", parents_client, NONE),
    Way("a fork that goes past the client", parents_guard, HOME),
    Way("a fork that uses its parent's agency", parents_agency, NONE),
    Way("a fork that closes its parent's answer", parents_open_answer, HOME),
    Way("a fork that opens its own agency", childs_own, HOME),
    Way("a fork in the middle of a call", fork_in_flight, HOME),
    Way("a client handed to a spawned process", started("spawn"), NONE),
    Way("a client handed to a process of a fork server", started("forkserver"), NONE),
    Way("a client in a task for another process", pool_of_processes, NONE),
    Way("a method of a client for another process", bound_method, NONE),
    Way("a subprocess with its own agency", subprocess_of_its_own, HOME),
    Way("threads on two clients", threads_on_two_clients, HOME, guests=1),
    Way("threads on one client", threads_on_one_client, HOME),
    Way("a thread that changes a request under way", thread_changes_request, HOME),
    Way("a client closed by another thread", closed_by_a_thread, HOME),
    Way("what a process shows of itself", environment_of_this_process, HOME),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_no_process_or_thread_uses_what_is_another_s(
    scene: Scene, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    endure(scene, way, caplog)
