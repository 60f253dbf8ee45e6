"""The command that lets go of a client: shown, confirmed, done, certified."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from hsagency.cli.common import Shared, as_json, emit, program, shared, shown_path, typable
from hsagency.cli.tables import plain
from hsagency.errors import OnboardingError, UsageError
from hsagency.portals import CredentialKind

if TYPE_CHECKING:
    from hsagency.removal import Certificate, Plan, Severed


@click.command(short_help="Remove a client: delete its secrets, keep its records.")
@click.argument("slug")
@click.option("--dry-run", is_flag=True, help="Show what would be done; do nothing.")
@click.option("--digest", metavar="DIGEST", help="Remove what was shown with this digest.")
@click.option(
    "--uninstall",
    is_flag=True,
    help="OAuth: take the app out of the portal too; HubSpot tells its admins by e-mail.",
)
@as_json
@shared
def remove(
    common: Shared,
    *,
    slug: str,
    dry_run: bool,
    digest: str | None,
    uninstall: bool,
    as_json: bool,
) -> None:
    """
    Remove a client: its credential is ended and deleted; its log and its reports stay.

    Shows what is deleted, what is kept and what was handed out, and asks for the client's slug;
    --digest stands for that where nobody can be asked. There is no undo. What broke off is
    finished by the same command. A certificate says what was done and what is not proven.

    Exit code 4 if the client was removed, and HubSpot was not seen to refuse its credential.

    \b
    Examples:
      hsagency remove acme-corp --dry-run
      hsagency remove acme-corp
      hsagency remove acme-corp --digest 3b1f6a0c9d2e4f58 --json
    """
    from hsagency import removal

    with common.agency() as agency:
        plan = removal.plan(agency, slug)
        _refuse_misuse(plan, uninstall=uninstall, dry_run=dry_run, digest=digest, as_json=as_json)
        if not as_json:
            for line in plan.words():
                click.echo(plain(typable(line)))
            click.echo()
        if dry_run:
            _tell_how(plan, as_json=as_json)
            return
        if plan.stage is removal.Stage.CONNECTED:
            _confirm(plan, digest)
        try:
            made = removal.apply(
                agency,
                plan,
                digest=plan.digest,
                uninstall=uninstall,
                again=_again if _is_asked() and not as_json else removal.leave,
                progress=common.progress,
            )
        except (click.Abort, KeyboardInterrupt):
            common.say(f"The removal is not finished. To finish it: {program()} remove {slug}")
            raise
        _tell(common, made, as_json=as_json)
    if not made.proven:
        click.get_current_context().exit(4)


def _refuse_misuse(
    plan: Plan, *, uninstall: bool, dry_run: bool, digest: str | None, as_json: bool
) -> None:
    from hsagency.removal import Stage

    if uninstall and plan.kind is not CredentialKind.OAUTH:
        raise UsageError(
            f"--uninstall is for OAuth, and {plan.slug} is connected with {plan.kind}. Nothing "
            "was done.",
            hint="Only somebody in HubSpot ends a static credential; the plan says where.",
        )
    if as_json and not dry_run and digest is None and plan.stage is Stage.CONNECTED:
        raise UsageError(
            "--json asks nobody: it needs --dry-run, or the --digest that a dry run showed. "
            "Nothing was done."
        )


def _tell_how(plan: Plan, *, as_json: bool) -> None:
    from hsagency.removal import Stage

    if as_json:
        emit({"dryRun": True, "plan": plan.document()})
        return
    confirmed = f" --digest {plan.digest}" if plan.stage is Stage.CONNECTED else ""
    does = "To remove it" if confirmed else "To finish it"
    click.echo(f"Nothing was done. {does}: {program()} remove {plan.slug}{confirmed}")


def _is_asked() -> bool:
    """Say whether somebody sits at a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def _confirm(plan: Plan, digest: str | None) -> None:
    """Go on only with this plan's digest, or its slug as somebody types it."""
    if digest is not None:
        if digest != plan.digest:
            raise OnboardingError(
                "What is to be removed is not what was shown with that digest. Nothing was "
                "removed.",
                hint=f"Look again: hsagency remove {plan.slug} --dry-run",
            )
        return
    if not _is_asked():
        raise UsageError(
            "Nobody can be asked here, so the plan's digest is needed. Nothing was removed.",
            hint=f"hsagency remove {plan.slug} --digest {plan.digest}",
        )
    typed = click.prompt(f"Type {plan.slug} to remove it", default="", show_default=False, err=True)
    if typed.strip() != plan.slug:
        raise UsageError(f"That is not {plan.slug}. Nothing was removed.")


def _again(found: Severed) -> bool:
    """Tell somebody that a static credential still works, and let them end it."""
    click.echo(plain(found.said), err=True)
    typed = click.prompt(
        "Press Enter to ask again once it is ended, or type 'leave' to go on without",
        default="",
        show_default=False,
        err=True,
    )
    return not typed.strip()


def _tell(common: Shared, made: Certificate, *, as_json: bool) -> None:
    if as_json:
        paths = {"certificate": str(made.path), "facts": str(made.json)}
        emit({"removed": True, **paths, **{k: v for k, v in made.facts.items() if k != "schema"}})
        return
    click.echo(plain(f"removed  {made.facts['portal']}"))
    click.echo(plain(f"  {made.proof}"))
    click.echo(plain(f"  certificate: {shown_path(made.path)}"))
    if not made.proven:
        common.say("The client is removed. That its credential is dead is not proven: see above.")


COMMANDS = (remove,)
