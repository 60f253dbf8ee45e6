"""Many processes: one window between them, what one learns counts for all, one may be killed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hsagency.settings import Priority
from tests.core.desks import HELD, NOON

ROOT = Path(__file__).resolve().parents[2]
WORKER = """
import sys
from pathlib import Path
import orjson
from hsagency.errors import QuotaSpent
from hsagency.pacing import Budget, Pacing
from tests.core.desks import *

folder, said, tickets = Path(sys.argv[1]), [], {}
with AuditWriter(folder / sys.argv[2], author=AUTHOR, tell=said.append) as writer:
    desk = Desk(folder, writer, said)
    pacer = desk.of(time_zone="UTC")
    for line in sys.stdin.buffer:
        do, at, *given = orjson.loads(line)
        desk.clock[0] = datetime.fromtimestamp(at, UTC)
        done = None
        if do == "reserve":
            try:
                ticket = pacer.reserve(
                    ASK if given[2] == "verification" else CALL, Priority(given[1]), purpose=given[2]
                )
            except QuotaSpent as error:
                done = {"refused": error.until.timestamp()}
            else:
                tickets[given[0]] = ticket
                done = {"granted": ticket.granted, "at": ticket.at, "wait": ticket.wait}
        elif do == "told":
            pacer.told(tickets[given[0]], answer(**given[1]))
        elif do == "hold":
            pacer.back_off(Budget.BURST, given[0])
        elif do == "close":
            pacer.close(None, "the day is used up")
        elif do == "standing":
            found = pacer.standing()
            done = {"remaining": found.remaining, "ours": found.ours, "burst": found.burst_limit}
        elif do == "storm":
            while True:
                pacer.reserve(CALL, Priority.NORMAL)
                desk.pass_(11)
        sys.stdout.buffer.write(orjson.dumps([done, len(said)]) + bytes([10]))
        sys.stdout.buffer.flush()
"""


class Worker:
    """A process of its own that paces one portal, one step at a time."""

    def __init__(self, folder: Path, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder), name],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.warned = 0

    def start(self, do: str, at: datetime, *given: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(orjson.dumps([do, at.timestamp(), *given]) + b"\n")
        self.process.stdin.flush()

    def do(self, do: str, at: datetime, *given: object) -> Any:
        self.start(do, at, *given)
        assert self.process.stdout is not None
        done, self.warned = orjson.loads(self.process.stdout.readline())
        return done

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


class Processes(RuleBasedStateMachine):
    """
    Several processes share a portal with an app of somebody else's.

    The model is HubSpot: it counts every call and answers with headers. Whatever happens, no
    window of ours holds more than the limit that was told, nobody is let below their share of
    the day once it was told, and each process knows what any of them learnt.
    """

    LIMIT = 400

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pacing-"))
        self.count = 0
        self.workers = [self.made() for _ in range(3)]
        self.now = NOON
        self.burst = 20
        self.times: list[int] = []
        self.lowered = 0  # calls before the limit was lowered were allowed by the earlier one
        self.left = self.LIMIT
        self.closed = False
        self.hold = NOON
        self.number = 0
        self.told = False

    def made(self) -> Worker:
        self.count += 1
        return Worker(self.folder, f"audit-{self.count}")

    @rule(
        which=st.integers(0, 2),
        priority=st.sampled_from(Priority),
        calls=st.integers(1, 12),
        answered=st.booleans(),
        purpose=st.sampled_from(["weekly review", "weekly review", "verification"]),
    )
    def call(
        self, which: int, priority: Priority, calls: int, purpose: str, *, answered: bool
    ) -> None:
        for _ in range(calls):
            self.number += 1
            got = self.workers[which].do("reserve", self.now, self.number, priority, purpose)
            share = {"critical": 99, "high": 95, "normal": 90, "low": 80}[priority]
            if "refused" in got:
                assert purpose != "verification"
                midnight = datetime.combine(self.now.date(), datetime.min.time(), UTC)
                assert got["refused"] == (midnight + timedelta(days=1)).timestamp()
                continue
            if purpose != "verification":
                assert not self.closed
                used = self.LIMIT - self.left
                assert not self.told or used < self.LIMIT * share // 100
            if not got["granted"]:
                continue
            assert got["wait"] <= 0.5
            assert got["at"] >= self.hold.timestamp() * 1e9 - 1e6
            self.times.append(got["at"])
            self.left = max(0, self.left - 1)
            if answered:
                self.answer(which)

    def answer(self, which: int) -> None:
        headers = {"daily": self.LIMIT, "left": self.left, "most": self.burst}
        self.workers[which].do("told", self.now, self.number, headers)
        self.told = True
        if self.left:
            self.closed = False

    @rule(seconds=st.sampled_from([0.05, 0.5, 3, HELD, 60]))
    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def midnight(self) -> None:
        self.now = datetime.combine(self.now.date(), datetime.min.time(), UTC)
        self.now += timedelta(days=1, hours=12)
        self.left, self.told, self.closed = self.LIMIT, False, False

    @rule(which=st.integers(0, 2), seconds=st.floats(0.5, 20))
    def back_off(self, which: int, seconds: float) -> None:
        self.workers[which].do("hold", self.now, seconds)
        self.hold = max(self.hold, self.now + timedelta(seconds=seconds))

    @rule(which=st.integers(0, 2))
    def close(self, which: int) -> None:
        self.workers[which].do("close", self.now)
        self.closed = True
        self.now += timedelta(milliseconds=1)

    @rule(burst=st.integers(5, 40), which=st.integers(0, 2))
    def change_the_limit(self, burst: int, which: int) -> None:
        self.now += timedelta(seconds=2 * HELD)  # the earlier limit's calls are over
        self.burst = burst
        self.lowered = len(self.times)
        self.number += 1
        got = self.workers[which].do("reserve", self.now, self.number, "critical", "verification")
        if got["granted"]:
            self.times.append(got["at"])
            self.left = max(0, self.left - 1)
            self.answer(which)
            for worker in self.workers:
                assert worker.do("standing", self.now)["burst"] == burst

    @rule(which=st.integers(0, 2))
    def kill(self, which: int) -> None:
        self.workers[which].kill()
        self.workers[which] = self.made()

    @invariant()
    def no_window_holds_more_than_the_limit(self) -> None:
        times = self.times[self.lowered :]
        assert times == sorted(times)
        for earlier, later in zip(times, times[self.burst :], strict=False):
            assert later - earlier >= HELD * 1e9

    @invariant()
    def every_process_knows_the_same(self) -> None:
        seen = [worker.do("standing", self.now) for worker in self.workers]
        assert all(one == seen[0] for one in seen), seen
        if self.told:
            assert seen[0]["remaining"] == self.left

    def teardown(self) -> None:
        for worker in self.workers:
            worker.kill()
        shutil.rmtree(self.folder)


TestProcesses = Processes.TestCase
TestProcesses.settings = settings(
    max_examples=6,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Worker, Worker]]:
    workers = Worker(tmp_path, "a"), Worker(tmp_path, "b")
    yield workers
    for worker in workers:
        worker.kill()


def test_a_process_killed_at_any_moment_leaves_neither_lock_nor_damage(tmp_path: Path) -> None:
    survivor = Worker(tmp_path, "survivor")
    now = NOON
    before = survivor.do("standing", now)["ours"]
    for number in range(8):
        victim = Worker(tmp_path, f"victim-{number}")
        victim.do("standing", now)
        victim.start("storm", now)
        file = tmp_path / "pacing" / "12345678.pace"
        seen = file.stat().st_mtime_ns
        while file.stat().st_mtime_ns == seen:
            pass
        victim.kill()
        now += timedelta(days=1)
        got = survivor.do("reserve", now, number, "critical", "verification")
        assert set(got) == {"granted", "at", "wait"}
        assert survivor.warned == 0, "nothing was damaged"
    assert before == 0
    survivor.kill()


def test_two_processes_share_what_one_learnt(two: tuple[Worker, Worker]) -> None:
    one, another = two
    one.do("reserve", NOON, 1, "normal", "")
    one.do("told", NOON, 1, {"daily": 1000, "left": 500, "most": 7, "room": 6})
    assert another.do("standing", NOON) == {"remaining": 500, "ours": 1, "burst": 7}
    got = [another.do("reserve", NOON, n, "critical", "")["granted"] for n in range(2, 10)]
    assert got == [True] * 6 + [False] * 2


def test_of_two_processes_only_one_warns(two: tuple[Worker, Worker]) -> None:
    for number, worker in enumerate(two, 1):
        worker.do("reserve", NOON, number, "critical", "")
        worker.do("told", NOON, number, {"daily": 1000, "left": 90 - number})
    assert sorted(worker.warned for worker in two) == [0, 1]


def test_a_forked_child_opens_its_own_and_never_holds_its_parents_lock(tmp_path: Path) -> None:
    code = """
import os, sys, time
from pathlib import Path
from hsagency.pacing import Budget, Pacing
from tests.core.desks import *
folder = Path(sys.argv[1])
with AuditWriter(folder / "audit", author=AUTHOR) as writer:
    pacer = Desk(folder, writer, []).of()
    pacer.reserve(CALL, NORMAL)
    ring = pacer._ring()
    ring.acquire()          # as another thread might at the moment of the fork
    child = os.fork()
    if child == 0:
        granted = pacer.reserve(CALL, NORMAL).granted   # waits for the parent, then goes on
        os._exit(0 if granted and pacer._ring() is not ring else 1)
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    ring.release()
    assert os.waitpid(child, 0)[1] == 0
    print(pacer.standing().ours)
    # A child that lives on without ever calling does not keep the lock of a killed parent.
    ring.acquire()
    if os.fork() == 0:
        sys.stdout.close()
        os.close(1)
        time.sleep(60)
        os._exit(0)
    os.kill(os.getpid(), 9)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    worker = Worker(tmp_path, "other")
    assert worker.do("standing", NOON)["ours"] == 0 + 2
    worker.kill()


def test_threads_of_several_processes_never_exceed_a_window(tmp_path: Path) -> None:
    """With the real clock: what they are granted in 2.5 seconds, by the times they were given."""
    code = """
import sys, threading, time
from pathlib import Path
from hsagency.pacing import Budget, Pacing
from tests.core.desks import *
folder, times = Path(sys.argv[1]), []
with AuditWriter(folder / sys.argv[2], author=AUTHOR) as writer:
    pacing = Pacing(folder / "pacing", settings=Settings(schema=1, workspace="w", store="x"), writer=writer)
    pacer = pacing.of(connection(daily_limit=10_000_000, added_at=datetime.now(UTC)))
    pacer.told(pacer.reserve(CALL, CRITICAL), answer(most=400, room=400, millis=1000))
    until = time.monotonic() + 2.5
    def work():
        while time.monotonic() < until:
            ticket = pacer.reserve(CALL, CRITICAL)
            if ticket.granted:
                times.append(ticket.at)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads: one.start()
    for one in threads: one.join()
print(*times)
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), f"a{n}"], cwd=ROOT, stdout=subprocess.PIPE
        )
        for n in range(3)
    ]
    said = [child.communicate()[0] for child in children]
    times = sorted(int(one) for text in said for one in text.split())
    assert len(times) >= 400
    for earlier, later in zip(times, times[400:], strict=False):
        assert later - earlier >= 1.02e9
