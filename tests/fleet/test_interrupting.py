"""Ctrl-C and a notebook's stop button end a fleet job, and every portal has its row."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from jupyter_client import KernelManager

from hsagency.portals import Stop
from tests.fleet.jobs import change, received
from tests.support import Connected

ROOT = Path(__file__).resolve().parents[2]

# Two portals at a time, and neither ends by itself: one goes on calling, one only holds on.
JOB = """
import sys, time
from hsagency import Agency
from hsagency.fleet import FleetInterrupted

def calling(portal):
    portal.get("/crm/v3/objects/contacts")
    print("begun\\n", end="", flush=True)
    while portal.get("/crm/v3/objects/contacts"):
        time.sleep(0.01)

def holding_on(portal):
    print("begun\\n", end="", flush=True)
    while True:
        time.sleep(0.01)
"""
RUN = """
with Agency.open(sys.argv[1]) as agency:
    try:
        agency.map({job}, workers=2)
    except FleetInterrupted as stop:
        print(*stop.results["outcome"], flush=True)
        print(*stop.results["calls"].is_null(), flush=True)
        print(stop, flush=True)
"""


UNCAUGHT = """
import atexit
atexit.register(print, "cleaned up")
Agency.open(sys.argv[1]).map({job}, workers=2)
"""


@contextmanager
def child(fleet: Connected, job: str, run: str = RUN) -> Iterator[subprocess.Popen[str]]:
    """Run a job in a process of its own, of which two portals are in flight."""
    code = JOB + run.format(job=job)
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(fleet.agency.workspace.root)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert [process.stdout.readline() for _ in range(2)] == ["begun\n"] * 2
        yield process
    finally:
        process.kill()
        process.communicate()


def test_an_interrupt_ends_what_is_under_way_begins_no_more_and_hands_over_the_rows(
    fleet: Connected,
) -> None:
    change(fleet, fleet.slugs[0], stopped=Stop(reason="A test.", at=datetime.now(UTC)))
    with child(fleet, "calling") as process:
        process.send_signal(signal.SIGINT)
        outcomes, uncalled, said = process.communicate(timeout=60)[0].splitlines()
    assert sorted(outcomes.split()) == [*["cancelled"] * 5, "excluded"]
    assert sorted(uncalled.split()) == ["False", "False", *["True"] * 4]
    assert "0 of 5" in said
    assert sum(bool(received(fleet, slug)) for slug in fleet.slugs) == 2


def test_a_script_that_does_not_catch_it_ends_as_by_any_interrupt(fleet: Connected) -> None:
    with child(fleet, "calling", UNCAUGHT) as process:
        process.send_signal(signal.SIGINT)
        said, told = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert said.endswith("cleaned up\n")
    assert told.splitlines()[-1].startswith("hsagency.fleet.FleetInterrupted: Interrupted: 0 of 6")


def test_a_second_interrupt_goes_through_at_once(fleet: Connected) -> None:
    """What is in flight would never end by itself."""
    with child(fleet, "holding_on") as process:
        said = ""
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                said = process.communicate(timeout=0.5)[1]
    assert process.returncode != 0
    assert said.rstrip().endswith("KeyboardInterrupt")


def test_the_stop_button_of_a_notebook_hands_over_the_rows(fleet: Connected) -> None:
    kernel = KernelManager(kernel_name="python3")
    kernel.start_kernel(cwd=str(ROOT), env={**os.environ, "PYTHONPATH": str(ROOT)})
    client = kernel.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        root = str(fleet.agency.workspace.root)
        client.execute(f"{JOB}\nAgency.open({root!r}).map(calling, workers=2)")
        printed = ""
        while printed.count("begun") < 2:
            printed += client.get_iopub_msg(timeout=60)["content"].get("text", "")
        kernel.interrupt_kernel()
        reply = client.get_shell_msg(timeout=60)
        while reply["msg_type"] != "execute_reply":
            reply = client.get_shell_msg(timeout=60)
        assert reply["content"]["ename"] == "FleetInterrupted"
        assert "sys.last_value.results" in reply["content"]["evalue"]
        asked = "import sys\nassert sys.last_value.results.height == 6"
        assert client.execute_interactive(asked, timeout=60)["content"]["status"] == "ok"
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
