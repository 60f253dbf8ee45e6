"""Commands about connections that are there: verify, set-type."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from hsagency.cli.common import (
    Shared,
    api_option,
    as_json,
    emit,
    none_yet,
    program,
    read_token,
    shared,
    ticking,
    typable,
)
from hsagency.cli.tables import plain
from hsagency.errors import (
    CredentialRejected,
    HsAgencyError,
    MissingScopes,
    PortalForbidden,
    PortalMismatch,
    UsageError,
)
from hsagency.portals import parse_portal_id

if TYPE_CHECKING:
    from hsagency.agency import Agency
    from hsagency.facts import Verified
    from hsagency.portals import Connection
    from hsagency.retyping import Plan
    from hsagency.scopes import Wanted


@click.command(short_help="Ask HubSpot now whose credentials these are.")
@click.argument("slugs", nargs=-1)
@click.option("--all", "everyone", is_flag=True, help="Every connection.")
@click.option("--expect", help="Judge a token from the prompt or standard input; store nothing.")
@api_option
@as_json
@shared
def verify(
    common: Shared,
    *,
    slugs: tuple[str, ...],
    everyone: bool,
    expect: str | None,
    api: str,
    as_json: bool,
) -> None:
    """
    Ask HubSpot now whose credentials these are and what they may do: OK or MISMATCH.

    All that is known of a portal is asked for anew, and what changed is said. REJECTED and
    FORBIDDEN are credentials that are not let in, SCOPES one that may do too little for the
    type of its connection; FAILED says that there was no answer. Exit code 4 for a finding, 1
    where nobody answered.

    \b
    Examples:
      hsagency verify acme-corp
      hsagency verify --all
      hsagency verify --expect 12345678
    """
    if sum((bool(slugs), everyone, expect is not None)) != 1:
        raise UsageError(
            "Name clients, or --all, or --expect PORTAL-ID. Nothing was asked.",
            hint=f"Examples: {program()} verify --help",
        )
    if api and expect is None:
        raise UsageError(
            "--api goes with --expect: a connection keeps its own address. Nothing was asked."
        )
    with common.agency() as agency:
        if expect is not None:
            _judge(agency, expect, api=api, as_json=as_json)
            return
        rows = _prove(agency, list(agency.slugs()) if everyone else list(slugs), common)
    failed = [row for row in rows if row["result"] != "OK"]
    if as_json:
        emit({"results": rows})
    else:
        for row in rows:
            line = f"{row['result']}  {row['clientSlug']}  {row['message']}"
            click.echo(plain(typable(line)))
            for note in row["warnings"]:
                common.say(plain(f"{row['clientSlug']}: note: {note}."))
    if not rows:
        common.say(none_yet())
        click.get_current_context().exit(3)
    if failed:
        found = {str(row["result"]) for row in failed} & {*_FINDINGS.values(), _SCOPES}
        click.get_current_context().exit(4 if found else 1)


_SCOPES = "SCOPES"
_FINDINGS = {
    PortalMismatch: "MISMATCH",
    CredentialRejected: "REJECTED",
    MissingScopes: "FORBIDDEN",
    PortalForbidden: "FORBIDDEN",
}
"""What a verification found, as one word; anything else means that there was no verification."""


def _judge(agency: Agency, expect: str, *, api: str, as_json: bool) -> None:
    from hsagency.onboarding import judge_token
    from hsagency.onboarding.rows import client_token

    expected = parse_portal_id(expect)
    token = client_token(read_token("Token").reveal())
    said: dict[str, object]
    notes: tuple[str, ...] = ()
    try:
        found = judge_token(agency, token, expected=expected, api=api)
    except PortalMismatch as error:
        said = {"result": "MISMATCH", "expected": error.expected, "portalId": error.got}
        words = error.message.removeprefix("MISMATCH: ")
    else:
        identity, notes = found.identity, found.notes()
        said = {"result": "OK", "portalId": identity.portal_id, "accountName": identity.name}
        name = f" ({identity.name})" if identity.name else ""
        words = f"the token belongs to portal {identity.portal_id}{name}. Nothing was stored."
    if as_json:
        emit({**said, "notes": list(notes)})
    else:
        click.echo(plain(f"{said['result']}  {words}"))
    for note in notes:
        click.echo(plain(f"note: {note}."), err=True)
    if said["result"] != "OK":
        click.get_current_context().exit(4)


def _prove(agency: Agency, slugs: list[str], common: Shared) -> list[dict[str, Any]]:
    from concurrent.futures import ThreadPoolExecutor

    for slug in slugs:
        agency.connection(slug)  # an unknown one is told before anything is asked
    with (
        common.progress("verifying", len(slugs)) as step,
        ticking(step),
        ThreadPoolExecutor(16) as pool,
    ):

        def one(slug: str) -> dict[str, Any]:
            row = _proof(agency, slug)
            step(1)
            return row

        return list(pool.map(one, slugs))


def _proof(agency: Agency, slug: str) -> dict[str, Any]:
    try:
        found = agency.verify(slug)
    except HsAgencyError as error:
        return _failure(agency, slug, error)
    said = [f"portal {found.portal_id}" + (f" ({found.name})" if found.name else "")]
    said += [f"Changed: {found.changed}"] if found.changed else []
    said += [_lack(found)] if found.missing else []
    still = _still_stopped(found.connection)
    return {
        "clientSlug": slug,
        "result": _SCOPES if found.missing else "OK",
        "portalId": found.portal_id,
        "message": ". ".join(said) + (f".{still}" if still else ""),
        "changed": found.changed or None,
        "missingScopes": list(found.missing),
        "warnings": list(found.warnings),
    }


def _lack(found: Verified) -> str:
    """Say which scopes a connection lacks for its type, and where they come from."""
    from hsagency.scopes import cure, lacking

    connection = found.connection
    held = connection.facts["scopes"].value
    lacks = lacking(connection.connection_type, held if isinstance(held, tuple) else ()) or ""
    cured = cure(connection.client_slug, connection.kind)
    return f"{lacks[:1].upper()}{lacks[1:]}. {cured}"


def _failure(agency: Agency, slug: str, error: HsAgencyError) -> dict[str, Any]:
    message = str(error).removeprefix("MISMATCH: ")
    connection = agency.connection(slug)
    portal = connection.portal
    if isinstance(error, PortalMismatch):
        message += f" Every call is halted. {agency.halt.advice()}"
    elif not isinstance(error, CredentialRejected | PortalForbidden):  # these say so themselves
        message += _still_stopped(connection)
    if portal.name:
        message = f"{portal.name}, portal {portal.portal_id}: {message}"
    return {
        "clientSlug": slug,
        "result": next(
            (_FINDINGS[one] for one in type(error).__mro__ if one in _FINDINGS), "FAILED"
        ),
        "portalId": portal.portal_id,
        "message": message,
        "changed": None,
        "missingScopes": [],
        "warnings": [],
    }


def _still_stopped(connection: Connection) -> str:
    """Say that calls to a portal stay stopped, and how they may go on."""
    from hsagency.stopping import advice

    if connection.stopped is None:
        return ""
    return f" Calls to it are still stopped. {advice(connection)}"


class _OfTypes(click.Command):
    """A command whose help ends with each connection type and when to choose it."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a paragraph for each type; only help needs them, not each start."""
        from hsagency.scopes import TYPES

        said = [f"{kind} ({words.title}): {words.when}" for kind, words in TYPES.items()]
        self.epilog = "\n\n".join(said)
        super().format_epilog(ctx, formatter)


@click.command("set-type", cls=_OfTypes, short_help="Change what may be done with a portal.")
@click.argument("slug")
@click.argument("connection_type", metavar="TYPE")
@click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@shared
def set_type(
    common: Shared, *, slug: str, connection_type: str, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """
    Change what may be done with a portal: TYPE is config_and_audit, config_only or audit_only.

    Shows what the type enables and refuses and which scopes the credential lacks for it, then
    asks. Nothing in HubSpot changes. The type is set also where scopes are missing: what does
    not take them works, and the connection counts as one that needs reconnection, which is exit
    code 4. On a terminal a client that is connected over OAuth may be connected again at once.
    Calls of every running program go by the new type from the next one on.

    \b
    Examples:
      hsagency set-type acme-corp audit_only --dry-run
      hsagency set-type acme-corp config_and_audit --yes
    """
    from hsagency import retyping

    with common.agency() as agency:
        plan = retyping.plan(agency, slug, connection_type)
        if not as_json:
            _show_plan(plan)
        applied = plan.changes and not dry_run
        if applied:
            _confirm(plan, yes=yes)
            retyping.apply(agency, plan, digest=plan.digest)
    if as_json:
        emit({"dryRun": dry_run, "applied": applied, "plan": _as_document(plan)})
    else:
        for line in _outcome(plan, applied=applied):
            click.echo(plain(typable(line)))
    if applied and not yes and not as_json and _wants_to_reconnect(plan):
        _reconnect(common, plan)
    elif applied and plan.missing:
        click.get_current_context().exit(4)


def _wants_to_reconnect(plan: Plan) -> bool:
    """Ask whether scopes are to be asked for now, where HubSpot's page would do that."""
    from hsagency.portals import CredentialKind

    wants = plan.connection.kind is CredentialKind.OAUTH and (plan.missing or plan.absent)
    return bool(wants) and click.confirm("Reconnect now?", default=bool(plan.missing), err=True)


def _reconnect(common: Shared, plan: Plan) -> None:
    """Go on as `reconnect` does, with the type that was just set."""
    from hsagency.cli.connect import reconnect

    click.get_current_context().invoke(
        reconnect,
        slug=plan.connection.client_slug,
        api=plan.connection.api_base,
        workspace=common.workspace,
        quiet=common.quiet,
    )


def _show_plan(plan: Plan) -> None:
    portal = plan.connection.portal
    click.echo(plain(f"{portal}: {plan.before} -> {plan.after} ({plan.words.title})"))
    if not plan.changes:
        return
    click.echo(f"  enables: {plan.words.enables}")
    click.echo(f"  refuses: {plan.words.refuses}")
    if plan.scopes is None:
        click.echo("  scopes: not known; HubSpot has not said which the credential holds")
    _list_scopes("needed, and not held", plan.missing)
    _list_scopes("optional, and not held", plan.absent)
    if plan.surplus:
        click.echo(plain(f"  held beyond reading, and of no use now: {', '.join(plan.surplus)}"))


def _list_scopes(what: str, scopes: Iterable[Wanted]) -> None:
    for one in scopes:
        click.echo(plain(f"  {what}: {one.name} ({one.why})"))


def _confirm(plan: Plan, *, yes: bool) -> None:
    """Go on if somebody says so."""
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(
            "Nobody can be asked here. Nothing was changed.",
            hint=f"If it is meant: {program()} set-type {plan.connection.client_slug} "
            f"{plan.after} --yes",
        )
    if not click.confirm("Change it?", err=True):
        raise UsageError("Nothing was changed.")


def _outcome(plan: Plan, *, applied: bool) -> Iterable[str]:
    """Yield what was done, and what is left to do for the new type to work."""
    slug = plan.connection.client_slug
    if not plan.changes:
        yield f"{slug} is {plan.after} already. Nothing was changed."
        return
    yield f"{slug} is {plan.after} now." if applied else "Nothing was changed (dry run)."
    if plan.missing:
        needs = "needs" if applied else "would need"
        yield f"It {needs} reconnection: what takes the scopes that are not held fails."
    if plan.missing or plan.absent:
        yield plan.cure
    elif plan.scopes is None:
        yield f"Whether its credential may do that: hsagency verify {slug}"


def _as_document(plan: Plan) -> dict[str, Any]:
    connection = plan.connection
    return {
        "clientSlug": connection.client_slug,
        "portalId": connection.portal_id,
        "before": plan.before,
        "after": plan.after,
        "digest": plan.digest,
        "enables": plan.words.enables,
        "refuses": plan.words.refuses,
        "scopesKnown": plan.scopes is not None,
        "missingScopes": [{"name": one.name, "why": one.why} for one in plan.missing],
        "absentScopes": [{"name": one.name, "why": one.why} for one in plan.absent],
        "surplusScopes": list(plan.surplus),
        "nextStep": plan.next_step or None,
    }


COMMANDS = (verify, set_type)
