"""Where forwarders stand: what each has still to forward, and since when that waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hsagency.audit.forwarding import following
from hsagency.audit.forwarding.cursors import Cursors, State, folder, load, recorded
from hsagency.audit.forwarding.destinations import of_settings
from hsagency.audit.forwarding.following import Cursor
from hsagency.audit.forwarding.tape import slots
from hsagency.errors import HsAgencyError
from hsagency.settings import ForwardSettings, Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a forwarder stands: what is still to be forwarded, and since when it waits."""

    name: str
    to: str  # as in the settings; `python` for what only a program knows
    durable: bool
    delivered: int
    damaged: int
    behind_records: int | None  # nothing where the journals or the state cannot be read
    behind_seconds: float | None
    error: str | None
    error_since: str | None


def standings(workspace: Workspace, *, now: datetime | None = None) -> list[Standing]:
    """Return where every forwarder stands that was configured or ever ran, by name."""
    configured = {one.name: one for one in workspace.settings.forward}
    ran = {path.stem for path in folder(workspace).glob("*.json")}
    at = now or datetime.now(UTC)
    return [
        _standing(workspace, name, configured.get(name), now=at)
        for name in sorted(ran | {*configured})
    ]


def _standing(
    workspace: Workspace, name: str, configured: ForwardSettings | None, *, now: datetime
) -> Standing:
    state, count, seconds, error = State(), None, None, None
    try:
        state = load(folder(workspace) / f"{name}.json")
        events = configured is None or of_settings(workspace, configured).events
        count, first = _behind(workspace.audit, state.cursors, events=events)
        waiting = now - datetime.fromisoformat(first) if first else timedelta()
        seconds = max(0.0, waiting.total_seconds())
    except HsAgencyError as unreadable:
        error = unreadable.message
    trouble = state.trouble
    return Standing(
        name=name,
        to=configured.to if configured else "python",
        durable=of_settings(workspace, configured).durable if configured else state.durable,
        delivered=state.delivered,
        damaged=state.damaged,
        behind_records=count,
        behind_seconds=seconds,
        error=error or (trouble.message if trouble else None),
        error_since=trouble.since if trouble else None,
    )


def _behind(audit: Path, cursors: Cursors, *, events: bool) -> tuple[int, str | None]:
    """Return how many records are still to be forwarded, and the time of the first of them."""
    found = [
        following.backlog(segments, cursors.get(slug, {}).get(slot, Cursor()), events=events)
        for slug in recorded(audit)
        for slot, segments in slots(audit / slug).items()
    ]
    times = [first for _, first in found if first is not None]
    return sum(count for count, _ in found), min(times, default=None)
