"""Commands about how a workspace is doing: status, and forwarding the audit log."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from hsagency.cli import attention
from hsagency.cli.audit import audit
from hsagency.cli.colours import coloured
from hsagency.cli.common import Shared, as_json, emit, program, shared
from hsagency.cli.tables import plain
from hsagency.durable import cure
from hsagency.errors import HsAgencyError, UsageError
from hsagency.words import counted, span

if TYPE_CHECKING:
    from hsagency.agency import Agency
    from hsagency.audit.forwarding import Forwarder
    from hsagency.audit.forwarding.standing import Standing
    from hsagency.settings import ForwardSettings


@click.command(short_help="Show what needs a person, and what is behind.")
@as_json
@shared
def status(common: Shared, *, as_json: bool) -> None:
    """
    Show how a workspace is doing: what needs a person, the disk, the clients, what is forwarded.

    Of what is stopped, needs reconnection or is half removed it shows why, since when, and the
    commands that mend it. On a terminal green is well, yellow needs reconnection, and red is
    stopped or gone (none with NO_COLOR). Looks at this machine alone: it asks HubSpot nothing and
    reads no secret.

    \b
    Examples:
      hsagency status
      hsagency status --json
    """
    with common.agency() as agency:
        found = _found(agency)
        standings = agency.audit.forwarders()
        connections = agency.connections()
    if as_json:
        emit({**found, "forwarders": [_document(one) for one in standings]})
        return
    for line in attention.lines(found, connections):
        click.echo(line)
    click.echo(f"disk        {_size(found['freeBytes'])} free")
    counts = ", ".join(
        coloured(f"{count} {name.replace('_', ' ')}", name)
        for name, count in found["connections"].items()
    )
    click.echo(f"clients     {counts or 'none'}; {found['clientsRecorded']} with an audit log")
    for slug in found["withoutLog"]:
        click.echo(plain(f"no log      {slug}: connected, and nothing is recorded of it"))
    click.echo(f"torn tails  {_torn(found)}")
    for one in found["unreadable"]:
        click.echo(plain(f"unreadable  {one['clientSlug']}: {one['path']}"))
    for one in standings:
        click.echo(plain(f"forward     {one.name} ({one.to}): {_progress(one)}"))
        if one.error:
            since = f" (since {one.error_since})" if one.error_since else ""
            click.echo(plain(f"            {one.error}{since}"))


def _torn(found: dict[str, Any]) -> str:
    left, mended = found["tornTails"], found["tornTailsSetAside"]
    said = [f"{left}, to be mended: {program()} audit repair"] if left else []
    return "; ".join([*said, *([f"{mended} set aside"] if mended else [])]) or "none"


@audit.command(short_help="Forward the audit log to another destination.")
@click.argument("name", required=False)
@click.option("--follow", is_flag=True, help="Go on until interrupted.")
@as_json
@shared
def forward(common: Shared, *, name: str | None, follow: bool, as_json: bool) -> None:
    """
    Forward the audit log to what hsagency.toml names, from where it got to last time.

    Each call arrives as one record, at least once and per client in order; what the
    destination does not take now is offered again next time. hsagency status shows how far
    behind each one is. Without a name, each of them takes a turn.

    Of a call that went on for minutes its outcome may follow in a record of its own, with the
    same callId and an event. What is not a call (connections, halts, the log's own records)
    goes into the table "events" of a SQLite file; stdout and logging get it where the settings
    say events = true. Logging that nobody set up goes to stderr.

    What was merged from other machines is not forwarded: forward it there.

    \b
    Examples:
      hsagency audit forward archive
      hsagency audit forward archive --follow
      hsagency audit forward --json
    """
    with common.agency() as agency:
        configured = agency.workspace.settings.forward
        names = [name] if name else [one.name for one in configured]
        chosen = [one for one in configured if one.name in names]
        if not names:
            raise UsageError(
                "hsagency.toml has no [[forward]] table. Nothing was forwarded.",
                hint="Add one: name, to (stdout, logging or sqlite) and, for sqlite, path.",
            )
        if follow and len(names) > 1:
            raise UsageError(
                "One is followed at a time. Nothing was forwarded.", hint="Name it, please."
            )
        if as_json and (follow or any(one.to == "stdout" for one in chosen)):
            raise UsageError(
                "With --json one document is printed at the end, and nothing else. Nothing was "
                "forwarded.",
                hint="Leave --json out to follow, or to forward to stdout.",
            )
        _log_to_stderr(chosen)
        done: list[dict[str, Any]] = []
        for one in names:
            with agency.audit.forwarder(one) as forwarder:
                done.append(_run(common, forwarder, follow=follow))
    if as_json:
        emit({"forwarders": done})
    failed = [f"{one['name']}: {one['error']}" for one in done if one["error"]]
    if failed:
        raise HsAgencyError(
            " ".join(failed), hint="What was taken stands; the rest is offered again next time."
        )


def _log_to_stderr(chosen: Iterable[ForwardSettings]) -> None:
    """Give the loggers of some forwarders a plain handler, as nobody else does here."""
    for one in chosen:
        logger = logging.getLogger(one.logger)
        if one.to == "logging" and not logger.handlers:
            logger.addHandler(logging.StreamHandler())
            logger.setLevel(logging.INFO)
            logger.propagate = False


def _run(common: Shared, forwarder: Forwarder, *, follow: bool) -> dict[str, Any]:
    """Forward once, or until interrupted; return how many records went, and what went wrong."""
    before = forwarder.delivered
    while True:
        forwarder.catch_up()
        if isinstance(forwarder.failure, BrokenPipeError):
            raise forwarder.failure  # nobody reads standard output any more
        if not follow:
            break
        forwarder.rest()
    taken = forwarder.delivered - before
    common.say(f"{forwarder.name}: {counted(taken, 'record')} forwarded.")
    return {"name": forwarder.name, "forwarded": taken, "error": _why(forwarder.failure)}


def _why(failure: Exception | None) -> str | None:
    """Return what went wrong with a destination, and what to do about it."""
    if failure is None:
        return None
    if isinstance(failure, HsAgencyError):
        return f"{failure.message} {failure.hint}".strip()
    if isinstance(failure, OSError):
        return f"{failure}. {cure(failure)}"
    return f"{type(failure).__name__}: {failure}. See to the destination, then forward again."


def _found(agency: Agency) -> dict[str, Any]:
    import shutil
    from collections import Counter

    from hsagency.audit.repairing.curing import tails_set_aside, torn_tails
    from hsagency.audit.verifying import log_of
    from hsagency.health import health

    workspace = agency.workspace
    logs = [log_of(workspace, one) for one in agency.audit.slugs()]
    now = datetime.now(UTC)
    states = Counter(health(one, now=now).status.value for one in agency.connections().values())
    return {
        "workspace": str(workspace.root),
        **attention.found(agency),
        "freeBytes": shutil.disk_usage(workspace.root).free,
        "connections": dict(sorted(states.items())),
        "clientsRecorded": len(agency.audit.recorded()),
        "withoutLog": _without_log(agency),
        "unreadable": _unreadable(agency),
        "tornTails": sum(len(torn_tails(one)) for one in logs),
        "tornTailsSetAside": sum(len(tails_set_aside(one)) for one in logs),
    }


def _without_log(agency: Agency) -> list[str]:
    """Name the clients that are connected, and of which there is no log."""
    from hsagency.audit.evidence import is_log

    return [
        slug
        for slug, one in sorted(agency.connections().items())
        if one.status.value == "connected" and not is_log(agency.workspace.audit / slug)
    ]


def _unreadable(agency: Agency) -> list[dict[str, str]]:
    """Name the logs that are closed to this user: what cannot be read is not empty."""
    from hsagency.audit.repairing.curing import closed_to_us
    from hsagency.audit.verifying import log_of

    closed = {one: closed_to_us(log_of(agency.workspace, one)) for one in agency.audit.slugs()}
    return [{"clientSlug": one, "path": str(path)} for one, path in closed.items() if path]


def _document(one: Standing) -> dict[str, Any]:
    return {_CAMEL.get(name, name): value for name, value in asdict(one).items()}


_CAMEL: Final = {
    "behind_records": "behindRecords",
    "behind_seconds": "behindSeconds",
    "error_since": "errorSince",
}


def _progress(one: Standing) -> str:
    if one.behind_records is None:
        return "how far behind is not known"
    damaged = f"; {counted(one.damaged, 'damaged line')} passed over" if one.damaged else ""
    if not one.behind_records:
        return f"up to date, {one.delivered} forwarded{damaged}"
    return (
        f"{counted(one.behind_records, 'record')} behind, "
        f"the first for {span(one.behind_seconds or 0)}; {one.delivered} forwarded{damaged}"
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


COMMANDS = (status,)
