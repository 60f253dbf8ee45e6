"""The command that brings another machine's evidence in: audit merge."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hsagency.cli.audit import audit
from hsagency.cli.common import Shared, as_json, emit, shared
from hsagency.cli.tables import plain
from hsagency.words import counted

if TYPE_CHECKING:
    from hsagency.audit.merging.planning import Plan


@audit.command(short_help="Bring in another machine's log of the same client.")
@click.argument("source", metavar="FILE|FOLDER", type=click.Path(path_type=Path))
@click.option("--client", metavar="SLUG", help="Whose log, where a workspace has several.")
@click.option(
    "--key",
    "keys",
    metavar="ID",
    multiple=True,
    help="The key that signs there, as that machine's 'hsagency audit verify' shows it.",
)
@as_json
@shared
def merge(
    common: Shared, *, source: Path, client: str | None, keys: tuple[str, ...], as_json: bool
) -> None:
    """
    Bring in another machine's log of the same client: an evidence pack, or its workspace.

    The log is checked, and what is not intact, not signed, of another portal, or not the
    continuation of what was merged before is refused. It is kept as it was written, beside
    our own; its calls show in every reading, each of them once. The same pack adds nothing
    the second time.

    A pack lists the key that it is signed with, so by itself it only agrees with itself:
    whoever wrote it anew could have signed it anew. So the first time, the key must be
    confirmed: read its id on the other machine, not from the pack, and give it with --key or
    at the question. After that it is trusted for this client.

    \b
    Examples:
      hsagency audit merge acme-2026-10.zip
      hsagency audit merge acme-2026-10.zip --key 24aa2a5589edcb57
      hsagency audit merge /mnt/laptop/agency --client acme-corp --json
    """

    def confirm(plan: Plan) -> bool:
        if as_json or sys.stdin is None or not sys.stdin.isatty():
            return False  # nobody is there to be asked
        click.echo("\n".join(_described(plan)), err=True)
        return click.confirm("Is this what the other machine shows?", err=True)

    with common.agency() as agency:
        plan = agency.audit.merge(
            source, client=client, key=keys, confirm=confirm, progress=common.progress
        )
    if as_json:
        emit(_document(plan))
    elif plan.own:
        click.echo(f"{plan.slug}: nothing is to do. This is the workspace's own log.")
    elif not plan.parts:
        click.echo(f"{plan.slug}: nothing new. Here already: {counted(plan.known, 'segment')}.")
    else:
        click.echo(
            f"{plan.slug}: {counted(plan.calls, 'call')} in {counted(plan.records, 'record')}, "
            f"{plan.first[:10]} to {plan.last[:10]}, merged from key {plan.lineage}."
        )
    for one in plan.left_out:
        common.say(plain(f"Left out: {one}."))


def _described(plan: Plan) -> list[str]:
    """Return what would be merged, and whose signature that rests on."""
    lines = [
        f"{plan.slug}: {counted(plan.calls, 'call')} in {counted(plan.records, 'record')} and "
        f"{counted(len(plan.parts), 'segment')}, {plan.first[:10]} to {plan.last[:10]}; "
        f"portal {', '.join(map(str, plan.portals)) or 'not named'}.",
        *(f"Left out: {one}." for one in plan.left_out),
    ]
    for one in plan.unconfirmed:
        lines += [f"Signed with a key that is new here: {one.id}", f"  SHA-256 {one.fingerprint}"]
    lines.append("On the other machine, hsagency audit verify shows the key it signs with.")
    return [plain(one) for one in lines]


def _document(plan: Plan) -> dict[str, object]:
    return {
        "clientSlug": plan.slug,
        "lineage": plan.lineage,
        "keys": [{"key": one.id, "fingerprint": one.fingerprint} for one in plan.keys],
        "added": {
            "segments": [one.head.segment for one in plan.parts],
            "records": plan.records,
            "calls": plan.calls,
            "from": plan.first or None,
            "to": plan.last or None,
        },
        "restored": [one.head.segment for one in plan.parts if one.restored],
        "alreadyKnown": plan.known,
        "leftOut": list(plan.left_out),
        "digest": plan.digest,
    }


COMMANDS = (audit,)
