"""Serves a sandbox from a command line, until it is told to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING

from hsagency.errors import SandboxError
from hsagency.sandbox.clients_csv import write_clients_csv
from hsagency.sandbox.clock import Clock
from hsagency.sandbox.control.api import KEY_HEADER, PREFIX
from hsagency.sandbox.control.fault_files import read_faults
from hsagency.sandbox.core import Sandbox
from hsagency.sandbox.serving.ledger_file import LedgerFile
from hsagency.sandbox.serving.server import SandboxServer, serve

if TYPE_CHECKING:
    from hsagency.sandbox.serving.tls import Variant


def run(
    *,
    portals: int = 25,
    port: int = 0,
    seed: int = 0,
    csv: Path | None = None,
    announce: Callable[[str], None],
    contacts: int = 40,
    tls: Variant | None = None,
    faults: Path | None = None,
    ledger: Path | None = None,
    at: str | None = None,
) -> None:
    """
    Serve a new sandbox until SIGINT or SIGTERM; must run in the main thread.

    `at` is the time at which its clock stands still.
    """
    clock = Clock(_time(at)) if at else None
    sandbox = Sandbox(portals=portals, seed=seed, contacts=contacts, clock=clock)
    for fault in read_faults(faults, sandbox=sandbox) if faults else ():
        sandbox.faults.add(fault)
    with _stop_signal() as stopped, ExitStack() as stack:
        server = stack.enter_context(serve(sandbox, port=port, tls=tls or False))
        if ledger is not None:
            sandbox.watch(stack.enter_context(LedgerFile(ledger)).write)
        if csv is not None:
            write_clients_csv(sandbox, csv)
            announce(f"Client list: {csv}")
        announce(f"{portals} simulated portals at {server.url}")
        if csv is not None and tls is None:
            announce(f"Onboard them: hsagency onboard {csv} --api {server.url}")
        again = f"--port {server.url.rpartition(':')[2]} --seed {seed}"
        announce(f"To come back to this address later: {again}")
        for line in _extras(server, tls=tls, ledger=ledger):
            announce(line)
        announce(f"Control API: {server.url}{PREFIX}  {KEY_HEADER}: {server.control_key}")
        announce("Stop it with Ctrl-C.")
        stopped.wait()
    announce("Stopped.")


def _extras(server: SandboxServer, *, tls: Variant | None, ledger: Path | None) -> Iterator[str]:
    if tls is not None:
        # hsagency itself cannot be told to trust anybody, so that nobody is told to onboard
        yield f"Certificate: {tls}; to trust its authority: SSL_CERT_FILE={server.ca_file}"
    if len(server.sandbox.faults):
        yield f"Faults in force: {len(server.sandbox.faults)}"
    if ledger is not None:
        yield f"Ledger: {ledger}"


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise SandboxError(
            f"{text!r} is not a time; the sandbox was not started.",
            hint="Write it as 2026-11-01T05:00:00+00:00.",
        ) from error


@contextmanager
def _stop_signal() -> Iterator[Event]:
    stopped = Event()

    def stop(_: int, __: FrameType | None) -> None:
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
