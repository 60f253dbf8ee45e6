"""Serves a sandbox from a command line, until it is told to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from threading import Event
from types import FrameType
from typing import TYPE_CHECKING

from hsagency.errors import SandboxError
from hsagency.sandbox.clients_csv import write_clients_csv
from hsagency.sandbox.clock import FIRST_YEAR, LAST_YEAR, SPEED_MAX, Clock
from hsagency.sandbox.control.fault_files import read_faults
from hsagency.sandbox.core import Sandbox
from hsagency.sandbox.serving.banner import Asked, banner, essentials
from hsagency.sandbox.serving.ledger_file import LedgerFile
from hsagency.sandbox.serving.server import serve

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
    speed: float | None = None,
    limits: bool = True,
    quiet: bool = False,
    program: str = "hsagency",
    command: str = "hsagency sandbox",
) -> None:
    """
    Serve a new sandbox until SIGINT or SIGTERM; must run in the main thread.

    Its clock stands still `at` a time, or runs from there with `speed`. `quiet` announces its
    address and the control API's key alone; `program` and `command` are how what it advises is
    typed here.
    """
    sandbox = Sandbox(
        portals=portals, seed=seed, contacts=contacts, clock=_clock(at, speed), limits=limits
    )
    if faults is not None:
        _arm(sandbox, faults)
    with _stop_signal() as stopped, ExitStack() as stack:
        server = stack.enter_context(serve(sandbox, port=port, tls=tls or False))
        if (
            csv is not None
        ):  # before the ledger: where this fails, no file is left that is in the way
            write_clients_csv(sandbox, csv)
        book = LedgerFile(ledger, on_failure=stopped.set) if ledger is not None else None
        if book is not None:
            sandbox.watch(stack.enter_context(book).write)
        asked = Asked(
            portals=portals,
            contacts=contacts,
            seed=seed,
            csv=csv,
            faults=faults,
            ledger=ledger,
            tls=tls,
            at=at,
            speed=speed,
            limits=limits,
            program=program,
            command=command,
        )
        for line in essentials(server) if quiet else banner(server, asked):
            announce(line)
        stopped.wait()
        if book is not None and book.failure is not None:
            raise book.failure
    if not quiet:
        announce("Stopped.")


def said(options: Mapping[str, object]) -> list[str]:
    """Return which options of a command line say something else than `run` does by itself."""
    usual = run.__kwdefaults__ or {}
    return [
        "--no-limits" if name == "limits" else f"--{name}"
        for name, value in options.items()
        if value != usual[name]
    ]


def _arm(sandbox: Sandbox, file: Path) -> None:
    try:
        for fault in read_faults(file, sandbox=sandbox):
            sandbox.faults.add(fault)
    except SandboxError as error:
        raise SandboxError(
            f"{error.message} The sandbox was not started.", hint=error.hint
        ) from error


def _clock(at: str | None, speed: float | None) -> Clock:
    if speed is not None and not 0 <= speed <= SPEED_MAX:
        raise SandboxError(
            f"--speed {speed:g} is not a speed; the sandbox was not started.",
            hint=f"It is a number from 0, which stands still, to {SPEED_MAX:,.0f}.",
        )
    return Clock(None if at is None else _time(at), speed=speed)


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise SandboxError(
            f"--at {text}: that is not a time; the sandbox was not started.", hint=_WRITTEN
        ) from error
    if at.tzinfo is None:
        raise SandboxError(
            f"--at {text} needs a time with its zone; the sandbox was not started.", hint=_WRITTEN
        )
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise SandboxError(
            f"--at {text}: a clock knows the years {FIRST_YEAR} to {LAST_YEAR}; the sandbox was "
            "not started."
        )
    return at


_WRITTEN = "Write it as 2026-11-01T05:00:00+00:00."


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
