"""Commands about how a workspace is doing: status, and forwarding the audit log."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click

from hsagency.cli.audit import audit
from hsagency.cli.common import Shared, as_json, emit, shared
from hsagency.cli.tables import plain
from hsagency.errors import HsAgencyError, UsageError

if TYPE_CHECKING:
    from hsagency.agency import Agency
    from hsagency.audit.forwarding import Forwarder, Standing


@click.command(short_help="Show whether calls may be made, and what is behind.")
@as_json
@shared
def status(common: Shared, *, as_json: bool) -> None:
    """
    Show how a workspace is doing: the halt, the disk, the clients, and what is being forwarded.

    Looks at this machine alone: it asks HubSpot nothing and reads no secret.

    \b
    Examples:
      hsagency status
      hsagency status --json
    """
    with common.agency() as agency:
        found = _found(agency)
        standings = agency.audit.forwarders()
    if as_json:
        emit({**found, "forwarders": [_document(one) for one in standings]})
        return
    click.echo(f"halt        {_halt(found['halted'])}")
    click.echo(f"disk        {_size(found['freeBytes'])} free")
    counts = ", ".join(f"{count} {name}" for name, count in found["connections"].items())
    click.echo(f"clients     {counts or 'none'}; {found['clientsRecorded']} with an audit log")
    click.echo(f"torn tails  {found['tornTails'] or 'none'}")
    for one in found["unreadable"]:
        click.echo(plain(f"unreadable  {one['clientSlug']}: {one['path']}"))
    for one in standings:
        click.echo(plain(f"forward     {one.name} ({one.to}): {_progress(one)}"))
        if one.error:
            since = f" (since {one.error_since})" if one.error_since else ""
            click.echo(plain(f"            {one.error}{since}"))


@audit.command(short_help="Forward the audit log to another destination.")
@click.argument("name", required=False)
@click.option("--follow", is_flag=True, help="Go on until interrupted.")
@shared
def forward(common: Shared, *, name: str | None, follow: bool) -> None:
    """
    Forward the audit log to what hsagency.toml names, from where it got to last time.

    Each call arrives as one record, at least once and per client in order; what the
    destination does not take now is offered again next time. hsagency status shows how far
    behind each one is. Without a name, each of them takes a turn.

    What was merged from other machines is not forwarded: forward it there.

    \b
    Examples:
      hsagency audit forward archive
      hsagency audit forward archive --follow
    """
    with common.agency() as agency:
        configured = agency.workspace.settings.forward
        names = [name] if name else [one.name for one in configured]
        if not names:
            raise UsageError(
                "hsagency.toml has no [[forward]] table. Nothing was forwarded.",
                hint="Add one: name, to (stdout, logging or sqlite) and, for sqlite, path.",
            )
        if follow and len(names) > 1:
            raise UsageError(
                "One is followed at a time. Nothing was forwarded.", hint="Name it, please."
            )
        failed = []
        for one in names:
            with agency.audit.forwarder(one) as forwarder:
                failed += _run(common, forwarder, follow=follow)
    if failed:
        raise HsAgencyError(
            " ".join(failed), hint="What was taken stands; the rest is offered again next time."
        )


def _run(common: Shared, forwarder: Forwarder, *, follow: bool) -> list[str]:
    """Forward once, or until interrupted; return what went wrong."""
    taken = 0
    while True:
        taken += forwarder.catch_up()
        if isinstance(forwarder.failure, BrokenPipeError):
            raise forwarder.failure  # nobody reads standard output any more
        if not follow:
            break
        forwarder.rest()
    common.say(f"{forwarder.name}: {taken} records forwarded.")
    return [f"{forwarder.name}: {forwarder.failure}."] if forwarder.failure else []


def _found(agency: Agency) -> dict[str, Any]:
    import shutil
    from collections import Counter

    workspace = agency.workspace
    states = Counter(one.status.value for one in agency.connections().values())
    return {
        "workspace": str(workspace.root),
        "halted": agency.halt.reason(),
        "freeBytes": shutil.disk_usage(workspace.root).free,
        "connections": dict(sorted(states.items())),
        "clientsRecorded": len(agency.audit.recorded()),
        "unreadable": _unreadable(agency),
        "tornTails": sum(1 for _ in workspace.audit.glob("*/journal/*.torn-at-*")),
    }


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


def _halt(reason: str | None) -> str:
    return "no: calls may be made" if reason is None else plain(f"HALTED: {reason}")


def _progress(one: Standing) -> str:
    if one.behind_records is None:
        return "how far behind is not known"
    damaged = f"; {one.damaged} damaged lines passed over" if one.damaged else ""
    if not one.behind_records:
        return f"up to date, {one.delivered} forwarded{damaged}"
    return (
        f"{one.behind_records} records behind, the first for {one.behind_seconds or 0:.0f} s; "
        f"{one.delivered} forwarded{damaged}"
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


COMMANDS = (status,)
