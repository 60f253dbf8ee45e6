"""
Everything known of one portal, also of one that was removed, as one document.

From stored facts and the files of this machine: nothing is asked of HubSpot. The last events are
read from the client's audit log, and that reading is recorded there like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from hsagency.audit import evidence
from hsagency.audit.lake.counting import calls_since
from hsagency.audit.record import Event, timestamp
from hsagency.durable import unreadable
from hsagency.errors import HsAgencyError
from hsagency.fleet.listing import Listed, hint, listing
from hsagency.index import as_json
from hsagency.pacing import Pacing
from hsagency.portals import ClientSlug, Connection, Tombstone, redact, unknown_client
from hsagency.scopes import TYPES, absent_scopes, plain_name, surplus_scopes, wanted
from hsagency.settings import Workspace

LAST: Final = 10  # events
Activity = Callable[[str], pl.DataFrame]


def details(
    workspace: Workspace, pacing: Pacing, slug: str, *, now: datetime, activity: Activity
) -> dict[str, Any]:
    """
    Return what is known of a portal, named as in JSON; raises `UnknownClient`.

    `activity` returns what happened to a client, as `Agency.activity` does. `portal` is null for
    a client that was removed, and `removed` for one that was not. What cannot be read is null
    and stands in `errors`.
    """
    snapshot = workspace.index.read()
    if slug in snapshot.connections:
        (listed,) = listing(workspace, pacing, now=now, only=slug).portals
        return _connected(listed) | _files(workspace, slug, activity, [*listed.errors])
    tombstone = snapshot.tombstones.get(ClientSlug(slug))
    if tombstone is None:
        every = [*snapshot.connections, *snapshot.tombstones]
        raise unknown_client([slug], every, undone="Nothing was shown.")
    return _removed(workspace, tombstone, now) | _files(workspace, slug, activity, [])


def _connected(listed: Listed) -> dict[str, Any]:
    one, known, row = listed.connection, listed.health, listed.row()
    return {
        "portal": as_json(one),
        "removed": None,
        "health": {
            "status": known.status,
            "cause": known.cause,
            "since": _time(known.since),
            "evidence": known.evidence,
            "statusCode": known.status_code,
            "correlationId": known.correlation_id,
            "nextStep": known.next_step or None,
        },
        "may": _may(one),
        "scopes": _scopes(one),
        "credential": {
            "kind": one.kind,
            "generation": one.generation,
            "fingerprint": one.fingerprint,
            "ageDays": listed.age_days,
            "hint": hint(one, listed.age_days),
        },
        "quota": _quota(listed),
        "tierSource": row["tier_source"],
        "callsThisMonth": listed.calls,
    }


def _may(connection: Connection) -> dict[str, str]:
    words = TYPES[connection.connection_type]
    return {"title": words.title, "enables": words.enables, "refuses": words.refuses}


def _scopes(connection: Connection) -> dict[str, Any] | None:
    """Return what scopes it holds and what for; nothing where HubSpot never told them."""
    fact, kind = connection.facts.get("scopes"), connection.connection_type
    if fact is None or not isinstance(fact.value, tuple):
        return None
    why = {one.name: one.why for one in wanted(kind)}
    return {
        "held": [{"name": one, "why": why.get(plain_name(one))} for one in sorted(fact.value)],
        "missing": [
            {"name": one.name, "why": one.why, "required": one.required}
            for one in absent_scopes(kind, fact.value)
        ],
        "surplus": sorted(surplus_scopes(kind, fact.value)),
        "at": _time(fact.at),
    }


def _quota(listed: Listed) -> dict[str, Any] | None:
    known = listed.standing
    if known is None:
        return None
    return {
        "limit": known.limit,
        "limitSource": known.limit_source,
        "remaining": listed.row()["quota_left"],
        "asOf": _time(known.as_of),
        "resetsAt": _time(known.resets_at),
        "timeZone": known.time_zone if known.zone_is_known else None,
        "ownCalls": known.ours,
    }


def _removed(workspace: Workspace, one: Tombstone, now: datetime) -> dict[str, Any]:
    calls = calls_since(workspace.audit, [one.client_slug], now.date())[one.client_slug]
    finished = one.pending is None
    return {
        "portal": None,
        "removed": {
            "clientSlug": one.client_slug,
            "portalId": one.portal_id,
            "accountName": one.name,
            "connectionType": one.connection_type,
            "kind": one.kind,
            "generation": one.generation,
            "fingerprint": one.fingerprint,
            "addedAt": _time(one.added_at),
            "removedAt": _time(one.removed_at),
            "removedBy": one.removed_by,
            "credential": one.proof or None,
            "severed": one.severed,
            "finished": finished,
            "nextStep": None if finished else f"hsagency remove {one.client_slug}",
        },
        "callsThisMonth": calls if isinstance(calls, int) else None,
    }


def _files(
    workspace: Workspace, slug: str, activity: Activity, errors: list[str]
) -> dict[str, Any]:
    """Return what there is in files: the log and how it ends, and what was made of it."""
    return {
        "auditLog": _tried(lambda: _log(workspace.audit / slug), errors),
        "activity": _tried(lambda: _events(activity, slug), errors),
        "outputs": _tried(lambda: _outputs(workspace, slug), errors),
        "errors": [redact(one) for one in errors],
    }


def _tried(look: Callable[[], Any], errors: list[str]) -> Any:
    try:
        return look()
    except HsAgencyError as error:
        errors.append(str(error))
    except OSError as error:
        errors.append(str(unreadable(error.filename or "a file", error)))
    return None


def _log(folder: Path) -> dict[str, Any] | None:
    """Return how far a client's log is sealed; nothing where there is no log."""
    if not evidence.is_log(folder):
        return None
    every = [one for log in evidence.lineages(folder) for one in evidence.segments(log).values()]
    sealed = [one.stat().st_mtime for one in every if evidence.is_evidence(one)]
    last = datetime.fromtimestamp(max(sealed), UTC) if sealed else None
    return {
        "path": str(folder),
        "segments": len(every),
        "sealed": len(sealed),
        "lastSealedAt": _time(last),
        "bytes": sum(one.stat().st_size for one in every),
    }


def _events(activity: Activity, slug: str) -> list[Mapping[str, Any]]:
    seen = activity(slug).filter(
        pl.col("event") != Event.AUDIT_READ
    )  # who looked pushes out what happened
    last = seen.tail(LAST).select("ts", "event", "message", "user", "details")
    return [{**row, "ts": _time(row["ts"])} for row in last.iter_rows(named=True)]


def _outputs(workspace: Workspace, slug: str) -> list[dict[str, Any]]:
    """Return the files made for a client, the newest first."""
    files = [one for one in (workspace.reports / slug).rglob("*") if one.is_file()]
    seen = sorted(((one.stat(), one) for one in files), key=lambda pair: -pair[0].st_mtime)
    return [
        {
            "path": one.relative_to(workspace.root).as_posix(),
            "bytes": found.st_size,
            "changedAt": _time(datetime.fromtimestamp(found.st_mtime, UTC)),
        }
        for found, one in seen
    ]


def _time(at: datetime | None) -> str | None:
    return None if at is None else timestamp(at)
