"""`hsagency audit repair`: mending what can be mended of the log, and saying what cannot."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hsagency.cli.audit import audit
from hsagency.cli.common import Shared, as_json, emit, shared
from hsagency.cli.tables import plain
from hsagency.errors import HsAgencyError

if TYPE_CHECKING:
    from hsagency.audit.repairing import Repair
    from hsagency.audit.repairing.curing import Trouble

_WORDS = {
    "well": "nothing to mend",
    "mended": "mended",
    "failed": "not all could be looked at or mended",
    "broken": "not as it was written, and that cannot be mended",
}


@audit.command(short_help="Mend what a crash left, and say what cannot be mended.")
@click.argument("slug", required=False)
@as_json
@shared
def repair(common: Shared, *, slug: str | None, as_json: bool) -> None:
    """
    Mend what can be mended of the log of one client, or of all, without touching a record.

    Torn last lines are set aside, what a dead program left open is closed, a register that was
    lost or cut comes back from its second copy. What is done is on record. What cannot be
    mended is named, with the cause that it may have and what you can do. What a running program
    holds is left alone. Nothing that is broken keeps the rest from being mended.

    Exit code 4 if something is broken that cannot be mended, 1 if something failed, else 0.

    \b
    Examples:
      hsagency audit repair
      hsagency audit repair acme-corp --json
    """
    done: list[Repair] = []
    failed: dict[str, HsAgencyError] = {}
    with common.agency() as agency:
        slugs = [slug] if slug else agency.audit.slugs()
        with common.progress("looking", len(slugs)) as step:
            for one in slugs:
                try:
                    done.append(agency.audit.repair(one))
                except HsAgencyError as error:
                    failed[one] = error
                step(1)
    if as_json:
        errors = [{"clientSlug": name, "error": str(why)} for name, why in failed.items()]
        emit({"clients": [_document(one) for one in done], "errors": errors})
    else:
        for each in done:
            _show(each)
    for name, why in failed.items():
        click.echo(plain(f"{name}: {why}"), err=True)
    if not done and not failed:
        common.say("There is no audit log yet.")
    states = {one.state for one in done}
    click.get_current_context().exit(
        4 if "broken" in states else 1 if failed or "failed" in states else 0
    )


def _show(done: Repair) -> None:
    click.echo(plain(f"{done.slug}: {_WORDS[done.state]}"))
    for one in done.mended:
        click.echo(plain(f"  mended: {one}"))
    for one in done.held:
        click.echo(plain(f"  left alone: a running program holds {one}."))
    for trouble in done.failed:
        _show_trouble("failed", trouble)
    for trouble in done.broken:
        _show_trouble("broken", trouble)


def _show_trouble(kind: str, trouble: Trouble) -> None:
    click.echo(plain(f"  {kind}: {trouble.what}"))
    for name, text in (("why", trouble.cause), ("do", trouble.cure)):
        if text:
            click.echo(plain(f"    {name}: {text}"))


def _document(done: Repair) -> dict[str, Any]:
    return {
        "clientSlug": done.slug,
        "state": done.state,
        "mended": list(done.mended),
        "inUse": list(done.held),
        "failed": [asdict(one) for one in done.failed],
        "broken": [asdict(one) for one in done.broken],
    }


COMMANDS = (audit,)
