"""Commands about connections: onboard, verify, portals, call, resume."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hsagency.cli.common import (
    Shared,
    as_json,
    emit,
    program,
    read_token,
    records,
    shared,
    show,
)
from hsagency.errors import HsAgencyError, OnboardingError, PortalMismatch, UsageError
from hsagency.portals import ConnectionType, parse_choice, parse_portal_id, parse_slug, parse_token

if TYPE_CHECKING:
    from hsagency.agency import Agency
    from hsagency.onboarding import Plan, Result, Row

_api = click.option(
    "--api", default="", help="A sandbox on this machine instead of HubSpot: http://127.0.0.1:PORT."
)


@click.command()
@click.argument("file", required=False)
@click.option("--client", help="Onboard one client under this slug; the token is asked for.")
@click.option("--portal", help="With --client: the portal id to expect.")
@click.option(
    "--type",
    "connection_type",
    default=ConnectionType.CONFIG_AND_AUDIT.value,
    show_default=True,
    help="config_and_audit (everything), config_only (no records, no activity), audit_only "
    "(reads only); for rows that name none.",
)
@click.option("--dry-run", is_flag=True, help="Judge every row and store nothing.")
@click.option("--replace", is_flag=True, help="Use newer tokens for clients already connected.")
@click.option("--delete", is_flag=True, help="Delete FILE once every row of it is connected.")
@click.option(
    "--trust-first-contact", is_flag=True, help="Take HubSpot's word where no portal id is given."
)
@_api
@as_json
@shared
def onboard(
    common: Shared,
    *,
    file: str | None,
    client: str | None,
    portal: str | None,
    connection_type: str,
    dry_run: bool,
    replace: bool,
    delete: bool,
    trust_first_contact: bool,
    api: str,
    as_json: bool,
) -> None:
    """
    Connect clients from a list (FILE, or - for standard input), or one client by hand.

    The list is a CSV file with the columns clientSlug,portalToken,expectedPortalId. Every row
    is judged before anything is stored; bad rows are named and never stop the good ones. Run
    again, it changes nothing.

    \b
    Examples:
      hsagency onboard - --dry-run < clients.csv
      hsagency onboard clients.csv --delete
      hsagency onboard --client acme-corp --portal 12345678
    """
    from hsagency import onboarding

    if (file is None) == (client is None):
        raise UsageError("Name either a FILE (or -) or one --client.")
    kind = parse_choice(ConnectionType, connection_type, what="connection type")
    with common.agency() as agency:
        common.say(f"Secrets are kept in: {agency.store.describe()}")
        unusable: list[onboarding.BadRow] = []
        if client is not None:
            rows = [_one_row(client, portal, kind)]
        else:
            rows, unusable = onboarding.read_rows(_content(file or ""), connection_type=kind)
        plan = onboarding.plan(
            agency,
            rows,
            unusable=unusable,
            api=api,
            trust_first_contact=trust_first_contact,
            replace_tokens=replace,
            progress=common.progress,
        )
        outcome: Plan | Result = plan
        if not dry_run:
            outcome = onboarding.apply(agency, plan, digest=plan.digest, progress=common.progress)
        _report(outcome, as_json=as_json, dry_run=dry_run)
        if not dry_run:
            _dispose(common, file, delete=delete, complete=getattr(outcome, "complete", False))
    if outcome.refused or (client and not dry_run and not getattr(outcome, "complete", False)):
        click.get_current_context().exit(1)


def _one_row(client: str, portal: str | None, kind: ConnectionType) -> Row:
    from hsagency.onboarding import Row

    slug = parse_slug(client)
    expected = parse_portal_id(portal) if portal else None
    token = read_token(f"Service key of {slug}")
    parse_token(token)
    return Row(line=1, slug=slug, token=token, expected=expected, connection_type=kind)


def _content(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise OnboardingError(
            f"The client list {file} cannot be read ({error.strerror}); nothing was onboarded.",
            hint=f"Name a CSV file, or - for standard input. Example: {program()} onboard clients.csv",
        ) from error


def _report(outcome: Plan | Result, *, as_json: bool, dry_run: bool) -> None:
    frame = outcome.frame()
    counts = dict(sorted(frame["outcome"].value_counts().iter_rows()))
    if as_json:
        emit({"dryRun": dry_run, "counts": counts, "rows": records(frame)})
        return
    show(frame, ["line", "client_slug", "portal_id", "account_name", "outcome"])
    for row in frame.iter_rows(named=True):
        if row["cause"]:
            where = f"line {row['line']}: {row['client_slug']}"
            click.echo(f"{where}: {row['cause']}. {row['hint'] or ''}".rstrip(), err=True)
        if row["warnings"]:
            click.echo(
                f"line {row['line']}: {row['client_slug']}: note: {row['warnings']}.", err=True
            )
    summary = ", ".join(f"{count} {word}" for word, count in counts.items()) or "no rows"
    unchanged = set(counts) == {"unchanged"}
    tail = " Nothing was stored (dry run)." if dry_run else " Nothing changed." if unchanged else ""
    click.echo(f"{summary}.{tail}")


def _dispose(common: Shared, file: str | None, *, delete: bool, complete: bool) -> None:
    """Say, or do, what becomes of a file full of tokens."""
    if file in (None, "-"):
        return
    if delete and complete:
        Path(file or "").unlink()
        common.say(
            f"{file} was deleted. That cannot reach copies: mail, downloads, backups, the trash, "
            "or blocks an SSD has not overwritten yet. If one may exist, have the keys rotated."
        )
    elif delete:
        common.say(
            f"{file} was kept: some of its rows are not connected, and it holds their tokens."
        )
    else:
        common.say(
            f"{file} still holds the tokens in plain text. Delete it, and its copies in mail and "
            "downloads, when you are done (--delete does the first)."
        )


@click.command()
@click.argument("slugs", nargs=-1)
@click.option("--all", "everyone", is_flag=True, help="Every connection.")
@click.option("--expect", help="Judge a token from the prompt or standard input; store nothing.")
@_api
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
    Ask HubSpot now whose credentials these are: OK or MISMATCH.

    \b
    Examples:
      hsagency verify acme-corp
      hsagency verify --all
      hsagency verify --expect 12345678
    """
    if sum((bool(slugs), everyone, expect is not None)) != 1:
        raise UsageError("Name clients, or --all, or --expect PORTAL-ID.")
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
            click.echo(f"{row['result']}  {row['clientSlug']}  {row['message']}")
    if not rows:
        common.say("There are no connections to verify.")
    if failed:
        identity = {"MISMATCH", "REJECTED"} & {str(row["result"]) for row in failed}
        click.get_current_context().exit(4 if identity else 1)


def _judge(agency: Agency, expect: str, *, api: str, as_json: bool) -> None:
    from hsagency.onboarding import judge_token

    expected = parse_portal_id(expect)
    token = read_token("Token")
    parse_token(token)
    try:
        found = judge_token(agency, token, expected=expected, api=api).identity
    except PortalMismatch as error:
        if as_json:
            emit({"result": "MISMATCH", "expected": error.expected, "portalId": error.got})
        raise
    if as_json:
        emit({"result": "OK", "portalId": found.portal_id, "accountName": found.name})
    else:
        name = f" ({found.name})" if found.name else ""
        click.echo(f"OK  the token belongs to portal {found.portal_id}{name}. Nothing was stored.")


def _prove(agency: Agency, slugs: list[str], common: Shared) -> list[dict[str, object]]:
    from concurrent.futures import ThreadPoolExecutor

    for slug in slugs:
        agency.connection(slug)  # an unknown one is told before anything is asked
    with common.progress("verifying", len(slugs)) as step, ThreadPoolExecutor(16) as pool:

        def one(slug: str) -> dict[str, object]:
            row = _proof(agency, slug)
            step(1)
            return row

        return list(pool.map(one, slugs))


def _proof(agency: Agency, slug: str) -> dict[str, object]:
    from hsagency.errors import CredentialRejected

    try:
        found = agency.verify(slug)
    except HsAgencyError as error:
        words = {PortalMismatch: "MISMATCH", CredentialRejected: "REJECTED"}
        result = words.get(type(error), "FAILED")
        return {"clientSlug": slug, "result": result, "portalId": None, "message": str(error)}
    message = f"portal {found.portal_id}" + (f" ({found.name})" if found.name else "")
    return {
        "clientSlug": slug,
        "result": "OK",
        "portalId": found.portal_id,
        "message": message,
    }


@click.command()
@click.argument("slug", required=False)
@as_json
@shared
def portals(common: Shared, *, slug: str | None, as_json: bool) -> None:
    """
    List the connected portals from stored facts, or show all that is known of one.

    \b
    Examples:
      hsagency portals
      hsagency portals acme-corp --json
    """
    with common.agency() as agency:
        if slug is not None:
            _one_portal(agency, slug, as_json=as_json)
            return
        frame = agency.portals()
    if as_json:
        emit({"portals": records(frame)})
    elif frame.height:
        columns = ["client_slug", "account_name", "portal_id", "connection_type", "status"]
        show(frame, [*columns, "tier", "daily_limit", "kind", "verified_at"])
    else:
        common.say(f"No portals are connected yet. Connect some: {program()} onboard clients.csv")


def _one_portal(agency: Agency, slug: str, *, as_json: bool) -> None:
    from hsagency.index import as_json as document

    connection = agency.connection(slug)
    if as_json:
        emit({"portal": document(connection)})
        return
    click.echo(str(connection.portal))
    for name in ("connection_type", "status", "kind", "generation", "fingerprint", "hublet"):
        click.echo(f"  {name.replace('_', ' ')}: {getattr(connection, name)}")
    for name, fact in sorted(connection.facts.items()):
        value = f"{len(fact.value)} scopes" if isinstance(fact.value, tuple) else fact.value
        source = f"{fact.provenance} {fact.at:%Y-%m-%d}" + (
            f", {fact.evidence}" if fact.evidence else ""
        )
        click.echo(f"  {name.replace('_', ' ')}: {value}  ({source})")


@click.command()
@click.argument("slug")
@click.argument("method")
@click.argument("path")
@click.option("--query", multiple=True, metavar="NAME=VALUE", help="A query parameter; repeatable.")
@click.option("--body", help="A JSON body: - for standard input, @FILE, or the JSON itself.")
@click.option("--purpose", default="interactive", show_default=True, help="Why; it is recorded.")
@click.option(
    "--allow-unclassified", is_flag=True, help="Allow a call that the route table does not know."
)
@shared
def call(
    common: Shared,
    *,
    slug: str,
    method: str,
    path: str,
    query: tuple[str, ...],
    body: str | None,
    purpose: str,
    allow_unclassified: bool,
) -> None:
    """
    Make one audited call to a client's portal and print the answer.

    Exit code 0 for a success (2xx), 1 otherwise. Give personal data on standard input rather
    than in the arguments, which other users of this machine can see.

    \b
    Examples:
      hsagency call acme-corp POST /crm/v3/objects/contacts/search --body - < search.json
      hsagency call acme-corp GET /crm/objects/2026-09/contacts --query limit=10
    """
    import httpx

    content = _body(body)
    pairs = [_pair(one) for one in query]
    with common.agency() as agency:
        client = agency.client(slug, purpose=purpose)
        try:
            answer = client.request(
                method.upper(),
                path,
                params=pairs or None,
                content=content,
                headers={"content-type": "application/json"} if content is not None else None,
                extensions={"purpose": purpose, "allow_unclassified": allow_unclassified},
            )
        except httpx.HTTPError as error:
            raise HsAgencyError(
                f"HubSpot did not answer ({type(error).__name__}). Whether the call took effect "
                "is unknown, and recorded so.",
                hint="Look before you repeat it, if it was not a read.",
            ) from None
    common.say(f"{answer.status_code} {answer.reason_phrase}  {client.portal}")
    click.echo(answer.content, nl=False)
    if answer.content and not answer.content.endswith(b"\n"):
        click.echo()
    if not answer.is_success:
        click.get_current_context().exit(1)


def _body(given: str | None) -> bytes | None:
    if given is None:
        return None
    if given == "-":
        return sys.stdin.buffer.read()
    if not given.startswith("@"):
        return given.encode()
    try:
        return Path(given[1:]).read_bytes()
    except OSError as error:
        raise UsageError(
            f"The body {given[1:]} cannot be read ({error.strerror}). Nothing was sent."
        ) from error


def _pair(given: str) -> tuple[str, str | int | float | bool | None]:
    name, equals, value = given.partition("=")
    if not (name and equals):
        raise UsageError("A query parameter is NAME=VALUE. Nothing was sent.")
    return name, value


@click.command()
@click.option("--fleet", is_flag=True, help="The whole fleet.")
@click.option("--reason", required=True, help="Why it may go on; it is recorded.")
@shared
def resume(common: Shared, *, fleet: bool, reason: str) -> None:
    """
    Lift the halt that stops every call after a portal mix-up.

    \b
    Example:
      hsagency resume --fleet --reason "acme's key was pasted twice; corrected"
    """
    if not fleet:
        raise UsageError("Say what to resume: --fleet.")
    with common.agency() as agency:
        halted_for = agency.resume(reason=reason)
    click.echo(f"Resumed. The fleet was halted: {halted_for}")


COMMANDS = (onboard, verify, portals, call, resume)
