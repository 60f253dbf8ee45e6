"""A job run over portals side by side, from who is meant to the frame of what came of it."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Final

import polars as pl

from hsagency.client import PortalClient
from hsagency.errors import Halted, UsageError
from hsagency.fleet import cost as costs
from hsagency.fleet.choosing import Clients, chosen, excluded
from hsagency.fleet.cost import Amounts
from hsagency.fleet.rows import Outcome, Row, failure, frame
from hsagency.fleet.running import MOST, Running
from hsagency.fleet.values import settled
from hsagency.index import Snapshot
from hsagency.pacing import Standing
from hsagency.portals import ClientSlug, Connection
from hsagency.progress import Progress, bar
from hsagency.settings import Priority
from hsagency.stopping import moment
from hsagency.transport import is_label
from hsagency.waiting import Waits

PURPOSE: Final = "fleet"


class FleetInterrupted(KeyboardInterrupt):
    """A fleet job was interrupted; `results` has a row for each portal all the same."""

    __module__ = "hsagency.fleet"  # where it is imported from

    def __init__(self, results: pl.DataFrame) -> None:
        self.results = results
        begun = results.filter(pl.col("outcome") != Outcome.EXCLUDED)
        ended = begun.filter(pl.col("outcome") != Outcome.CANCELLED).height
        super().__init__(
            f"Interrupted: {ended} of {begun.height} portals had ended, the others were "
            "cancelled. This error has the frame: error.results, or sys.last_value.results."
        )

    def _render_traceback_(self) -> list[str]:
        return [str(self)]  # what a notebook shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What a fleet job works with; the agency puts it together."""

    known: Snapshot
    client: Callable[[ClientSlug, Waits], PortalClient]
    """Hands out a client of the job's own, which raises what HubSpot answers as an error."""
    standing: Callable[[Connection], Standing]
    purpose: str
    priority: Priority
    check: Callable[[], None]
    """Raises `Halted` while the fleet is halted."""
    now: Callable[[], datetime]


def map_portals(
    fn: Callable[[PortalClient], object],
    fleet: Fleet,
    *,
    clients: Clients = None,
    audit: bool = False,
    cost: Amounts | None = None,
    workers: int | None = None,
    progress: Progress = bar,
    cancel: threading.Event | None = None,
) -> pl.DataFrame:
    """Call a function with a client of each portal, and return a row for each."""
    if workers is not None and workers < 1:
        raise UsageError("A fleet job needs at least one worker. Nothing was sent.")
    if not is_label(fleet.purpose):
        raise UsageError(
            "A purpose is up to 64 letters, digits, spaces or . : / + -. Nothing was sent."
        )
    fleet.check()
    meant = chosen(fleet.known, clients)
    alone = {one.client_slug: row for one in meant if (row := excluded(one, audit=audit))}
    todo = [one for one in meant if one.client_slug not in alone]
    if cost is not None:
        alone |= _without_room(fleet, todo, cost)
        todo = [one for one in todo if one.client_slug not in alone]
    with progress("portals", len(todo)) as step:
        running = Running(
            lambda connection, waits: _one(fn, fleet, connection, waits),
            places=workers or max(1, min(len(todo), MOST)),
            step=step,
            cancel=cancel,
        )
        interrupted = _run(running, todo)
    rows = [_row_of(one, alone, running.rows) for one in meant]
    if interrupted:
        if getattr(sys.excepthook, "func", None) is not _end_interrupted:
            sys.excepthook = partial(_end_interrupted, sys.excepthook)
        raise FleetInterrupted(frame(rows)) from None
    return frame(rows)


def _end_interrupted(
    hook: Callable[..., object],
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
) -> None:
    """End a script that nobody caught it in as an interrupt ends one: Python asks for the very class."""
    hook(kind, error, trace)
    if isinstance(error, FleetInterrupted):
        raise SystemExit(128 + signal.SIGINT)


def estimate(
    calls: Amounts,
    fleet: Fleet,
    *,
    clients: Clients = None,
    searches: Amounts = 0,
    associations: Amounts = 0,
) -> pl.DataFrame:
    """Return what a job would cost each portal, sorted by slug (columns: `COST`)."""
    now, halted = fleet.now(), None
    try:
        fleet.check()
    except Halted as error:
        halted = error.message
    job = costs.Job(
        calls=calls,
        searches=searches,
        associations=associations,
        priority=fleet.priority,
        halted=halted,
    )
    return costs.frame(_estimates(fleet, chosen(fleet.known, clients), job, now), now=now)


def _estimates(
    fleet: Fleet, meant: Iterable[Connection], job: costs.Job, now: datetime
) -> list[costs.Estimate]:
    for given in (job.calls, job.searches, job.associations):
        if isinstance(given, Mapping):
            chosen(fleet.known, given)  # raises for a slug that is nobody's
    return costs.estimates(meant, job, standing=fleet.standing, now=now)


def _run(running: Running, todo: list[Connection]) -> bool:
    """Run to the end; say whether it was interrupted. A second interrupt goes through."""
    try:
        running.go(todo)
    except KeyboardInterrupt:
        running.give_up()
        return True
    return False


def _one(
    fn: Callable[[PortalClient], object], fleet: Fleet, connection: Connection, waits: Waits
) -> Row:
    """Do the job of one portal; whatever it raises is its row."""
    at, began, calls = fleet.now(), time.monotonic(), 0
    try:
        with closing(fleet.client(connection.client_slug, waits)) as client:
            try:
                value = settled(fn(client))
            finally:
                calls = client.attempts
        row = Row(connection=connection, outcome=Outcome.DONE, value=value)
    except BaseException as error:  # noqa: BLE001  (also what would end a program: it is one row)
        row = failure(connection, error)
    return replace(
        row,
        started_at=at,
        duration_ms=round((time.monotonic() - began) * 1000),
        waited_ms=round(waits.waited * 1000),
        calls=calls,
    )


def _without_room(fleet: Fleet, meant: list[Connection], cost: Amounts) -> dict[ClientSlug, Row]:
    """Return the rows of portals whose quota has no room for a job."""
    now, rows = fleet.now(), {}
    for one in _estimates(fleet, meant, costs.Job(calls=cost, priority=fleet.priority), now):
        if one.fits is False and one.standing is not None:
            closed = costs.is_closed(one.standing, now)
            said = "The portal is " if closed else f"There is no room for {one.calls:,} calls: "
            rows[one.connection.client_slug] = Row(
                connection=one.connection,
                outcome=Outcome.EXCLUDED,
                message=f"{said}{one.because}. Nothing was sent.",
                hint=f"Run it again from {moment(costs.resets_at(one.standing, now))} on.",
                reasons=("closed" if closed else "no room",),
            )
    return rows


def _row_of(
    connection: Connection, alone: Mapping[ClientSlug, Row], ran: Mapping[ClientSlug, Row]
) -> Row:
    slug = connection.client_slug
    never = Row(
        connection=connection,
        outcome=Outcome.CANCELLED,
        message="The job was cancelled before this portal's turn came. Nothing was sent.",
        reasons=("cancelled",),
    )
    return alone.get(slug) or ran.get(slug) or never
