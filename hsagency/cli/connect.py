"""Commands that connect a portal over OAuth, and that connect one again."""

from __future__ import annotations

import sys
import threading
import webbrowser
from typing import TYPE_CHECKING

import click

from hsagency.cli.asking import Pasted, Waiting, show_preflight, show_setup
from hsagency.cli.common import (
    Shared,
    api_option,
    as_json,
    emit,
    hidden_line,
    is_terminal,
    program,
    read_token,
    shared,
)
from hsagency.cli.tables import plain
from hsagency.errors import UsageError
from hsagency.portals import ConnectionType, parse_choice, parse_portal_id
from hsagency.secret import Secret

if TYPE_CHECKING:
    from hsagency.agency import Agency
    from hsagency.connecting import Attempt, Connected, Found

_TYPE = click.option(
    "--type",
    "connection_type",
    help="config_and_audit, config_only or audit_only; the first, or for one that is connected "
    "already its own, unless said.",
)
_NO_BROWSER = click.option(
    "--no-browser",
    is_flag=True,
    help="Print the address, and take the one that the browser was led to, pasted.",
)
_TIMEOUT = click.option(
    "--timeout",
    type=click.FloatRange(min=1, max=3600),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for HubSpot's page.",
)
_YES = click.option("--yes", is_flag=True, help="Take the account that HubSpot reports, unasked.")


@click.command(short_help="Connect a portal over OAuth, or set up the app for it.")
@click.option("--client", metavar="SLUG", help="The client's slug; else one is proposed.")
@click.option("--portal", metavar="ID", help="The portal id to expect.")
@_TYPE
@_NO_BROWSER
@_TIMEOUT
@_YES
@click.option("--setup", is_flag=True, help="Set up the agency's own OAuth app, once for all.")
@click.option("--port", type=int, help="With --setup: where the browser comes back to; else 8765.")
@click.option(
    "--partner/--no-partner",
    default=None,
    help="With --setup: whether you are a Solutions Partner, whose app may be in more accounts.",
)
@click.option("--distribution", help="With --setup: private (unless said) or marketplace.")
@api_option
@as_json
@shared
def connect(
    common: Shared,
    *,
    client: str | None,
    portal: str | None,
    connection_type: str | None,
    no_browser: bool,
    timeout: float,
    yes: bool,
    setup: bool,
    port: int | None,
    partner: bool | None,
    distribution: str | None,
    api: str,
    as_json: bool,
) -> None:
    """
    Connect a portal over OAuth: a person picks it on HubSpot's page and says yes.

    Before the browser opens, everything that could be in the way is said at once, with what will
    be asked for and why. What HubSpot reports is shown before anything is stored.

    \b
    Examples:
      hsagency connect --setup
      hsagency connect
      hsagency connect --client acme-corp --portal 12345678 --type audit_only
      hsagency connect --no-browser
    """
    given = (port, partner, distribution) != (None, None, None)
    if setup:
        if client or portal or connection_type or no_browser:
            raise UsageError("--setup is about the app, not about a client. Nothing was done.")
        _set_up(
            common,
            api=api,
            port=port,
            partner=partner,
            distribution=distribution,
            as_json=as_json,
        )
        return
    if given:
        raise UsageError("--port, --partner and --distribution go with --setup. Nothing was done.")
    _check_answerable(yes=yes)
    from hsagency import connecting

    kind = _kind(connection_type)
    expected = parse_portal_id(portal) if portal is not None else None
    with common.agency() as agency:
        attempt = connecting.start(
            agency,
            api=api,
            client=client,
            portal=expected,
            connection_type=kind,
            listen=not no_browser or _can_listen(agency, api),
        )
        done = _run(common, attempt, no_browser=no_browser, timeout=timeout, yes=yes)
    _report(common, done, as_json=as_json)


@click.command(short_help="Connect a client again: new credential, same client and log.")
@click.argument("slug")
@click.option(
    "--oauth/--token",
    "oauth",
    default=None,
    help="Over OAuth, or with a static token from the prompt; as it is connected, unless said.",
)
@_TYPE
@_NO_BROWSER
@_TIMEOUT
@_YES
@api_option
@as_json
@shared
def reconnect(
    common: Shared,
    *,
    slug: str,
    oauth: bool | None,
    connection_type: str | None,
    no_browser: bool,
    timeout: float,
    yes: bool,
    api: str,
    as_json: bool,
) -> None:
    """
    Give a client another credential for the same portal: history and log go on.

    One that belongs to another portal is refused, and nothing changes. What had been wrong is
    said, and calls that were stopped go on.

    \b
    Examples:
      hsagency reconnect acme-corp
      hsagency reconnect acme-corp --token
      hsagency reconnect acme-corp --oauth --type audit_only
    """
    from hsagency import connecting
    from hsagency.portals import CredentialKind

    kind = _kind(connection_type)
    with common.agency() as agency:
        before = agency.connection(slug)
        over_oauth = before.kind is CredentialKind.OAUTH if oauth is None else oauth
        _tell_before(common, agency, slug)
        if over_oauth:
            _check_answerable(yes=yes)
            attempt = connecting.start(
                agency,
                api=api,
                client=slug,
                connection_type=kind,
                again=True,
                listen=not no_browser or _can_listen(agency, before.api_base),
            )
            done = _run(common, attempt, no_browser=no_browser, timeout=timeout, yes=yes)
        else:
            token = read_token(f"New service key of {slug}")
            done = connecting.replace_token(agency, slug, token, api=api, connection_type=kind)
    _report(common, done, as_json=as_json)


def _kind(given: str | None) -> ConnectionType | None:
    if given is None:
        return None
    return parse_choice(ConnectionType, given, what="connection type")


def _check_answerable(*, yes: bool) -> None:
    if not yes and not is_terminal(sys.stdin):
        raise UsageError(
            "Nobody is here to confirm the account that HubSpot reports. Nothing was asked.",
            hint="Add --yes to take it, best with --portal ID, or run this on a terminal.",
        )


def _can_listen(agency: Agency, api: str) -> bool:
    """Say whether to listen as well while an address may be pasted: it is no must then."""
    from hsagency.connecting.listening import PortTaken, check_port

    try:
        check_port(agency.apps.read(api).port)
    except PortTaken:
        return False
    return True


def _tell_before(common: Shared, agency: Agency, slug: str) -> None:
    """Say what is wrong with a connection before it is connected again."""
    from datetime import UTC, datetime

    from hsagency.health import health

    one = agency.connection(slug)
    now = health(one, now=datetime.now(UTC))
    common.say(plain(f"{one.portal}: {now.status.replace('_', ' ')}. {now.evidence}"))


def _run(
    common: Shared, attempt: Attempt, *, no_browser: bool, timeout: float, yes: bool
) -> Connected:
    """Show what will be asked, open the page, wait, confirm, store."""
    from hsagency import connecting

    with attempt, Waiting(quiet=common.quiet) as line:
        show_preflight(common, attempt.preflight)
        pasted = Pasted(attempt, say=line.say) if no_browser else None
        if no_browser:
            click.echo("Open this address in a browser, wherever one is:", err=True)
            click.echo(attempt.url, err=True)
            line.say(
                "If it then shows a page that cannot be reached, paste that page's address here "
                "(not shown as you paste it)."
            )
        else:
            _open(common, attempt.url, line)

        def waiting(left: float) -> None:
            line.show(left)
            if pasted is not None:
                pasted.poll()

        def confirm(found: Found) -> str | None:
            line.clear()
            if pasted is not None:
                pasted.close()
            return found.slug if yes else _confirmed(attempt, found)

        try:
            return connecting.finish(attempt, seconds=timeout, confirm=confirm, waiting=waiting)
        except KeyboardInterrupt:
            line.clear()
            click.echo(plain(f"{attempt.ended} Begin again when you like."), err=True)
            raise click.exceptions.Exit(130) from None
        finally:
            if pasted is not None:
                pasted.close()


def _open(common: Shared, url: str, line: Waiting) -> None:
    """Open a browser without waiting for it: some say nothing before they are closed."""
    common.say("Opening HubSpot's page in your browser. If none opens, open this address yourself:")
    common.say(url)

    def open_it() -> None:
        try:
            opened = webbrowser.open(url)
        except (webbrowser.Error, OSError):
            opened = False
        if not opened:
            line.say(
                "No browser could be opened here. Where none reaches this machine, stop this "
                "(Ctrl-C) and run it again with --no-browser."
            )

    threading.Thread(target=open_it, daemon=True).start()


def _confirmed(attempt: Attempt, found: Found) -> str | None:
    """Ask whether this is the account, until the answer makes sense."""
    click.echo(plain(f"HubSpot says: {found.said()}"), err=True)
    for note in found.notes:
        click.echo(plain(f"note: {note}."), err=True)
    again = attempt.preflight.before is not None
    other = "" if again else ", or another slug"
    verb = "Reconnect" if again else "Connect"
    while True:
        answer = _answer(f"{verb} it as {found.slug}? [Y/n{other}]").strip()
        if answer.lower() in ("", "y", "yes"):
            return found.slug
        if answer.lower() in ("n", "no"):
            return None
        try:
            attempt.check_slug(answer)
        except UsageError as error:
            click.echo(plain(str(error)), err=True)
        else:
            return answer


def _answer(question: str) -> str:
    try:
        return str(click.prompt(question, default="", show_default=False, err=True))
    except click.Abort:  # Ctrl-C, and the end of what is typed
        raise KeyboardInterrupt from None


def _report(common: Shared, done: Connected, *, as_json: bool) -> None:
    from hsagency.index import as_json as document

    if as_json:
        was = None
        if done.before is not None:
            was = {"generation": done.before.generation, "status": done.before.status}
        emit({
            "outcome": "unchanged" if not done.changed else "reconnected" if was else "connected",
            "portal": document(done.connection),
            "before": was,
            "notes": list(done.notes),
        })  # fmt: skip
        return
    click.echo(plain(done.said()))
    for note in done.notes:
        common.say(plain(f"note: {note}."))


def _set_up(
    common: Shared,
    *,
    api: str,
    port: int | None,
    partner: bool | None,
    distribution: str | None,
    as_json: bool,
) -> None:
    """Write the app's metadata, say what to do with it, then take its id and secret."""
    from hsagency import connecting
    from hsagency.auth import Distribution

    chosen = None
    if distribution is not None:
        chosen = parse_choice(Distribution, distribution, what="distribution")
    with common.agency() as agency:
        made = connecting.prepare(agency, api=api, port=port, distribution=chosen, partner=partner)
        show_setup(common, made)
        keeps = " (Enter keeps the one that is set up)" if made.before else ""
        client_id = hidden_line(f"Client id{keeps}")
        if not client_id and made.before is not None:
            app = connecting.reuse(agency, made)
        else:
            secret = hidden_line("Client secret") if client_id else Secret("")
            app = connecting.set_up(
                agency, made, client_id=client_id.reveal(), client_secret=secret
            )
    if as_json:
        emit({
            "result": "OK",
            "clientId": app.client_id,
            "redirectUrl": app.redirect_uri,
            "requiredScopes": list(app.required),
            "optionalScopes": list(app.optional),
            "distribution": app.distribution,
            "mostInstalls": app.cap[0],
            "folder": str(made.folder),
        })  # fmt: skip
        return
    who = "The sandbox" if app.api_base else "HubSpot"
    more = f" --api {app.api_base}" if app.api_base else ""
    click.echo(f"OK  {who} knows the app, and its secret is in the store.")
    common.say(f"Connect a portal: {program()} connect{more}")


COMMANDS = (connect, reconnect)
