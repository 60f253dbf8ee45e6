"""What of a workspace needs a person: what is stopped, not as it should be, or half removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hsagency.cli.colours import coloured
from hsagency.cli.common import program, records
from hsagency.cli.tables import plain
from hsagency.words import span

if TYPE_CHECKING:
    from hsagency.agency import Agency
    from hsagency.portals import ClientSlug, Connection, Tombstone


def found(agency: Agency) -> dict[str, Any]:
    """Return what needs a person, as JSON shows it; nothing is asked of HubSpot."""
    snapshot = agency.index.read()
    return {
        "halted": agency.halt.reason(),
        "haltedOf": agency.halt.logs(),
        "stopped": records(agency.stopped()),
        "unwell": [_unwell(one) for _, one in sorted(snapshot.connections.items()) if _is(one)],
        "removing": [
            removing(one) for _, one in sorted(snapshot.tombstones.items()) if one.pending
        ],
        "closed": _closings(agency),
    }


def removing(tombstone: Tombstone) -> dict[str, Any]:
    """Return a removal that is not finished, as JSON shows it."""
    return {
        "clientSlug": tombstone.client_slug,
        "portal": str(tombstone.portal),
        "portalId": tombstone.portal_id,
        "since": _text(tombstone.removed_at),
        "removedBy": tombstone.removed_by,
        "nextStep": f"hsagency remove {tombstone.client_slug}",
    }


def lines(seen: dict[str, Any], connections: Mapping[ClientSlug, Connection]) -> Iterator[str]:
    """Say what needs a person and what to do about it, the most urgent first."""
    yield from _halt(seen)
    yield from _stops(seen, connections)
    for row in seen["unwell"]:
        title = (
            f"{connections[row['clientSlug']].portal}: {_words(row['status'])}. {row['evidence']}"
        )
        yield from _title("attention", title, row["status"])
        yield from _evidence(row)
        yield from _steps([("calls to it go on; next", row["nextStep"])])
    for row in seen["removing"]:
        title = f"{row['portal']}: its removal was begun by {row['removedBy']} and is not finished"
        yield from _title("removing", title, "disconnected")
        yield from _evidence(row)
        yield from _steps([("finish it", row["nextStep"])])
    yield from _closed(seen, connections)


def _is(connection: Connection) -> bool:
    """Say whether calls to a portal go on though not all is well."""
    from hsagency.portals import ConnectionStatus

    return connection.stopped is None and connection.status is not ConnectionStatus.CONNECTED


def _unwell(connection: Connection) -> dict[str, Any]:
    from hsagency.health import health

    one = health(connection, now=datetime.now(UTC))
    return {
        "clientSlug": connection.client_slug,
        "accountName": connection.portal.name,
        "portalId": connection.portal_id,
        "status": one.status,
        "cause": one.cause,
        "evidence": one.evidence,
        "since": _text(one.since),
        "statusCode": one.status_code,
        "correlationId": one.correlation_id,
        "nextStep": one.next_step,
    }


def _closings(agency: Agency) -> list[dict[str, Any]]:
    """Return which portals HubSpot takes no calls of for now, until when and why."""
    quota = agency.quota().select("client_slug", "closed_until", "closed_because")
    return records(quota.filter(quota["closed_until"].is_not_null()))


def _halt(seen: dict[str, Any]) -> Iterator[str]:
    """Say whether the fleet is halted, why, since when, and what a person does about it."""
    if seen["halted"] is None:
        yield from _title("halt", "no: calls may be made", "connected")
        return
    row = next(one for one in seen["stopped"] if one["clientSlug"] is None)
    yield from _title("halt", f"HALTED: {row['reason']}", "halted")
    yield from _evidence(row)
    yield from _steps([
        *(("what was called", f"hsagency audit tail {slug}") for slug in seen["haltedOf"]),
        ("what happened", "hsagency audit activity"),
        ("whose is whose", "hsagency portals"),
        ("once the cause is found", row["nextStep"]),
    ])  # fmt: skip


def _stops(seen: dict[str, Any], connections: Mapping[ClientSlug, Connection]) -> Iterator[str]:
    """Say of each portal that is stopped why, since when, and what a person does about it."""
    from hsagency.health import health, named
    from hsagency.portals import Cause
    from hsagency.stopping import replace_credential, resume, verify

    rows = [one for one in seen["stopped"] if one["clientSlug"] is not None]
    if not rows:
        yield from _title("stopped", "no portal", "connected")
    for row in rows:
        one = connections[row["clientSlug"]]
        status = health(one, now=datetime.now(UTC)).status
        yield from _title("stopped", f"{one.portal}: {row['reason']}", status)
        yield plain(f"            {_words(status)}: {named(row['cause'], one.kind)}.")
        yield from _evidence(row)
        steps = {
            verify(one): "ask again",
            replace_credential(one): "with a new credential",
            resume(one): "once it works again",
        }
        if row["cause"] == Cause.SUSPENDED:  # a new credential would be of the same account
            steps.pop(replace_credential(one))
        first = row["nextStep"]  # the one that is told everywhere
        yield from _steps(
            [(steps.pop(first), first), *((why, step) for step, why in steps.items())]
        )


def _closed(seen: dict[str, Any], connections: Mapping[ClientSlug, Connection]) -> Iterator[str]:
    """Say of each portal that takes no calls for now until when and why."""
    from hsagency.stopping import moment

    for row in seen["closed"]:
        until = moment(datetime.fromisoformat(row["closedUntil"]))
        why = f", because {row['closedBecause']}" if row["closedBecause"] else ""
        title = f"{connections[row['clientSlug']].portal}: until {until}{why}"
        yield from _title("closed", title, "needs_reconnection")
        yield from _steps([("see", f"hsagency quota {row['clientSlug']}")])


def _title(label: str, text: str, status: str) -> Iterator[str]:
    yield f"{coloured(f'{label:<11}', status)} {plain(text)}"


def _evidence(row: Mapping[str, Any]) -> Iterator[str]:
    """Say since when it is so, and what HubSpot answered."""
    from hsagency.stopping import moment

    said = []
    if row["since"]:
        since = datetime.fromisoformat(row["since"])
        ago = max(0.0, (datetime.now(UTC) - since).total_seconds())
        said.append(f"since {moment(since)} ({span(ago)} ago)")
    if row.get("statusCode"):
        said.append(f"status {row['statusCode']}")
    if row.get("correlationId"):
        said.append(f"correlation id {row['correlationId']}")
    if said:
        yield plain(f"            {', '.join(said)}")


def _steps(steps: list[tuple[str, str]]) -> Iterator[str]:
    width = max(len(when) for when, _ in steps) + 1
    for when, command in steps:
        rest = command.removeprefix("hsagency")
        yield plain(f"            {when + ':':{width}} {program()}{rest}")


def _words(status: str) -> str:
    return status.replace("_", " ")


def _text(at: datetime | None) -> str | None:
    from hsagency.audit.record import timestamp

    return timestamp(at) if at else None
