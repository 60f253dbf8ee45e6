"""The command that lets go of a client: shown, confirmed, done, certified."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from hsagency.cli.common import Shared, as_json, emit, program, shared, shown_path, typable
from hsagency.cli.tables import plain
from hsagency.errors import OnboardingError, UsageError

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
@click.option(
    "--leave", is_flag=True, help="Go on without proof where HubSpot cannot be asked or is silent."
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
    leave: bool,
    as_json: bool,
) -> None:
    """
    Remove a client: its credential is ended and deleted; its log and its reports stay.

    Shows what is deleted, what is kept and what was handed out, and asks for the client's slug;
    --digest stands for that where nobody can be asked. There is no undo. What broke off is
    finished by the same command. A certificate says what was done and what is not proven.

    Where HubSpot cannot be asked what became of the credential, or does not answer, its secret is
    kept to ask with, and the removal waits for the next run; --leave goes on without.

    Exit code 4 if the client was removed, and HubSpot was not seen to refuse its credential.

    \b
    Examples:
      hsagency remove acme-corp --dry-run
      hsagency remove acme-corp
      hsagency remove acme-corp --digest 3b1f6a0c9d2e4f58 --json
    """
    from hsagency import removal

    with common.agency() as agency:
        plan = removal.plan(agency, slug, uninstall=uninstall)
        _refuse_misuse(plan, dry_run=dry_run, digest=digest, as_json=as_json)
        if not as_json:
            for line in plan.words():
                click.echo(plain(typable(line)))
            click.echo()
        if dry_run:
            _tell_how(plan, leave=leave, as_json=as_json)
            return
        if digest is None and plan.stage is removal.Stage.CONNECTED:
            _confirm(plan, _options(plan, leave=leave))
        try:
            made = removal.apply(
                agency,
                plan,
                digest=plan.digest,
                again=_again if _is_asked() and digest is None and not as_json else None,
                leave=leave,
                progress=common.progress,
            )
        except (click.Abort, KeyboardInterrupt):
            if slug in agency.slugs():
                common.say("Nothing was removed.")
            else:
                common.say(f"The removal is not finished. To finish it: {program()} remove {slug}")
            raise
        _tell(common, made, as_json=as_json)
    if not made.proven:
        click.get_current_context().exit(4)


def _refuse_misuse(plan: Plan, *, dry_run: bool, digest: str | None, as_json: bool) -> None:
    from hsagency.removal import Stage

    if digest is not None and digest != plan.digest:
        raise OnboardingError(
            "What is to be removed is not what was shown with that digest. Nothing was done.",
            hint=f"Look again: hsagency remove {plan.slug}{_options(plan)} --dry-run",
        )
    if as_json and not dry_run and digest is None and plan.stage is Stage.CONNECTED:
        raise UsageError(
            "--json asks nobody: it needs --dry-run, or the --digest that a dry run showed. "
            "Nothing was done."
        )


def _options(plan: Plan, *, leave: bool = False) -> str:
    """Return the options with which a command does what a plan shows."""
    return (" --uninstall" if plan.uninstall else "") + (" --leave" if leave else "")


def _tell_how(plan: Plan, *, leave: bool, as_json: bool) -> None:
    from hsagency.removal import Stage

    if as_json:
        emit({"dryRun": True, "plan": plan.document()})
        return
    confirmed = f" --digest {plan.digest}" if plan.stage is Stage.CONNECTED else ""
    does = "To remove it" if confirmed else "To finish it"
    command = f"{program()} remove {plan.slug}{_options(plan, leave=leave)}{confirmed}"
    click.echo(f"Nothing was done. {does}: {command}")


def _is_asked() -> bool:
    """Say whether somebody sits at a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def _confirm(plan: Plan, options: str) -> None:
    """Go on only with the slug as somebody types it; a slip is asked about once more."""
    if not _is_asked():
        raise UsageError(
            "Nobody can be asked here, so the plan's digest is needed. Nothing was removed.",
            hint=f"hsagency remove {plan.slug}{options} --digest {plan.digest}",
        )
    for said in ("Type {} to remove it", "That is not {0}. Type {0} to remove it"):
        typed = click.prompt(said.format(plan.slug), default="", show_default=False, err=True)
        if typed.strip() == plan.slug:
            return
    raise UsageError(f"That is not {plan.slug}. Nothing was removed.")


def _again(found: Severed) -> bool:
    """Tell somebody that a credential still works, or that there was no answer."""
    click.echo(plain(found.said), err=True)
    once = "" if not found.answered else " once it is ended"
    typed = click.prompt(
        f"Press Enter to ask again{once}, or type 'leave' to go on without",
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
    for name in made.left:
        common.say(f"Left in the store, as this workspace did not put it there: {name}")
    if not made.proven:
        common.say("The client is removed. That its credential is dead is not proven: see above.")


COMMANDS = (remove,)
