"""Commands that connect a portal over OAuth, and that connect one again."""

from __future__ import annotations

import sys
import threading
import webbrowser
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from hsagency.cli.asking import (
    Pasted,
    Waiting,
    answer,
    as_interrupted,
    show_preflight,
    unchanged,
)
from hsagency.cli.common import (
    Shared,
    api_option,
    as_json,
    emit,
    is_terminal,
    read_token,
    shared,
)
from hsagency.cli.setup import set_up
from hsagency.cli.tables import plain
from hsagency.errors import HsAgencyError, UsageError
from hsagency.portals import ConnectionType, parse_choice, parse_portal_id

if TYPE_CHECKING:
    from hsagency.agency import Agency
    from hsagency.connecting import Attempt, Connected, Found, Preflight

_TYPES = "config_and_audit, config_only or audit_only"
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
_YES = click.option("--yes", is_flag=True, help="Ask nothing: the account is the expected one.")


@click.command(short_help="Connect a portal over OAuth, or set up the app for it.")
@click.option("--client", metavar="SLUG", help="The client's slug; else one is proposed.")
@click.option("--portal", metavar="ID", help="The portal id to expect; a must with --yes.")
@click.option("--type", "connection_type", help=f"{_TYPES}; the first unless said.")
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
        set_up(
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
    kind = _kind(connection_type)
    expected = parse_portal_id(portal) if portal is not None else None
    with common.agency() as agency, as_interrupted():
        attempt = _started(
            agency,
            yes=yes,
            api=api,
            client=client,
            portal=expected,
            connection_type=kind,
            listen=not no_browser or _can_listen(agency, api),
        )
        done, told = _run(common, attempt, no_browser=no_browser, timeout=timeout, yes=yes)
    _report(common, done, as_json=as_json, told=told)


@click.command(short_help="Connect a client again: new credential, same client and log.")
@click.argument("slug")
@click.option(
    "--oauth/--token",
    "oauth",
    default=None,
    help="Over OAuth, or with a static token from the prompt; as it is connected, unless said.",
)
@click.option("--type", "connection_type", help=f"{_TYPES}; as it is now, unless said.")
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
    with common.agency() as agency, as_interrupted():
        before = agency.connection(slug)
        over_oauth = before.kind is CredentialKind.OAUTH if oauth is None else oauth
        told: tuple[str, ...] = ()
        _tell_before(common, agency, slug)
        if over_oauth:
            attempt = _started(
                agency,
                yes=yes,
                api=api,
                client=slug,
                connection_type=kind,
                again=True,
                listen=not no_browser or _can_listen(agency, before.api_base),
            )
            done, told = _run(common, attempt, no_browser=no_browser, timeout=timeout, yes=yes)
        else:
            with unchanged("Nothing was changed."):
                token = read_token(f"New service key of {slug}")
            done = connecting.replace_token(agency, slug, token, api=api, connection_type=kind)
    _report(common, done, as_json=as_json, told=told)


def _kind(given: str | None) -> ConnectionType | None:
    if given is None:
        return None
    return parse_choice(ConnectionType, given, what="connection type")


def _started(agency: Agency, *, yes: bool, **asked: Any) -> Attempt:
    """Begin an attempt, once all is well and somebody or something can confirm the account."""
    from hsagency import connecting

    found = connecting.preflight(agency, **asked)
    found.check()
    _check_answerable(found, yes=yes)
    return connecting.start(agency, **asked)


def _check_answerable(found: Preflight, *, yes: bool) -> None:
    if not yes and not is_terminal(sys.stdin):
        add = "--yes" if found.portal is not None else "--yes and --portal ID"
        raise UsageError(
            "Nobody is here to confirm the account that HubSpot reports. Nothing was asked.",
            hint=f"Run this on a terminal, or add {add}.",
        )
    if yes and found.portal is None:
        raise UsageError(
            "With --yes nobody confirms the account, and nothing says which one it must be. "
            "Nothing was asked.",
            hint="Add --portal ID; or leave --yes out, and confirm what HubSpot reports.",
        )


def _can_listen(agency: Agency, api: str) -> bool:
    """Say whether to listen as well while an address may be pasted: it is no must then."""
    from hsagency.connecting.listening import check_port

    try:
        check_port(agency.apps.read(api).port)
    except HsAgencyError:  # whatever is wrong is said with all else that is
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
) -> tuple[Connected, tuple[str, ...]]:
    """Show what is asked, wait, confirm, store; return also the notes that were told before it."""
    told: list[str] = []
    try:
        with attempt, Waiting(quiet=common.quiet) as line:
            show_preflight(common, attempt.preflight)
            if no_browser:
                with Pasted(attempt, say=line.say) as pasted:
                    _show_address(attempt, line)
                    done = _waited(attempt, line, pasted, told, timeout=timeout, yes=yes)
            else:
                _open(common, attempt, line)
                done = _waited(attempt, line, None, told, timeout=timeout, yes=yes)
    except KeyboardInterrupt:
        with suppress(OSError):  # the terminal may be what is gone
            click.echo(plain(f"{attempt.ended} Begin again when you like."), err=True)
        raise click.exceptions.Exit(130) from None
    return done, tuple(told)


def _waited(
    attempt: Attempt,
    line: Waiting,
    pasted: Pasted | None,
    told: list[str],
    *,
    timeout: float,
    yes: bool,
) -> Connected:
    from hsagency import connecting

    def waiting(left: float) -> None:
        line.show(left)
        if pasted is not None:
            pasted.poll()

    def confirm(found: Found) -> str | None:
        line.clear()
        if pasted is not None:
            pasted.close()
        if yes:
            return found.slug
        told.extend(found.notes)
        return _confirmed(attempt, found)

    return connecting.finish(attempt, seconds=timeout, confirm=confirm, waiting=waiting)


def _show_address(attempt: Attempt, line: Waiting) -> None:
    click.echo("Open this address in a browser, wherever one is:", err=True)
    click.echo(attempt.url, err=True)
    line.say(
        "If it then shows a page that cannot be reached, paste that page's address here "
        "(not shown as you paste it)."
    )


def _open(common: Shared, attempt: Attempt, line: Waiting) -> None:
    """Open a browser without waiting for it: some say nothing before they are closed."""
    common.say("Opening HubSpot's page in your browser. If none opens, open this address yourself:")
    common.say(f"  {attempt.address}")

    def open_it() -> None:
        try:
            opened = webbrowser.open(attempt.door)
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
        typed = answer(f"{verb} it as {found.slug}? [Y/n{other}]").strip()
        if typed.lower() in ("", "y", "yes"):
            return found.slug
        if typed.lower() in ("n", "no"):
            return None
        try:
            attempt.check_slug(typed)
        except UsageError as error:
            click.echo(plain(str(error)), err=True)
        else:
            return typed


def _report(common: Shared, done: Connected, *, as_json: bool, told: tuple[str, ...]) -> None:
    """Say what is connected now, with those notes that were not told before it was confirmed."""
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
    for note in (one for one in done.notes if one not in told):
        common.say(plain(f"note: {note}."))


COMMANDS = (connect, reconnect)
