"""The command that makes a call."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hsagency.cli.common import Shared, shared, ticking, typable
from hsagency.cli.tables import plain
from hsagency.errors import CallRefused, HsAgencyError, UsageError

if TYPE_CHECKING:
    import httpx

    from hsagency.agency import Agency
    from hsagency.client import PortalClient
    from hsagency.portals import Connection


@click.command(short_help="Make one audited call and print the answer.")
@click.argument("slug")
@click.argument("method")
@click.argument("path")
@click.option("--query", multiple=True, metavar="NAME=VALUE", help="A query parameter; repeatable.")
@click.option("--body", help="A JSON body: - for standard input, @FILE, or the JSON itself.")
@click.option("--purpose", help="Why the call is made; it is recorded. Else: interactive.")
@click.option(
    "--allow-unclassified",
    is_flag=True,
    help="With --purpose: allow a call that the route table does not know.",
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
    purpose: str | None,
    allow_unclassified: bool,
) -> None:
    """
    Make one audited call to a client's portal and print the answer.

    Give personal data on standard input rather than in the arguments, which other users of this
    machine can see.

    Exit code 0 for a success (2xx), 1 for any other answer, for none, and for a call that was
    refused here; 2 for one that makes no sense; 4 where its credential, asked first whose it is,
    turned out to be another portal's, rejected or shut out.

    \b
    Examples:
      hsagency call acme-corp POST /crm/v3/objects/contacts --body - < contact.json
      hsagency call acme-corp GET /crm/objects/2026-09/contacts --query limit=10
    """
    content = _body(body)
    pairs = [_pair(one) for one in query]
    with common.agency() as agency:
        with common.progress(f"waiting for {slug}", 1) as step, ticking(step):
            client = agency.client(slug, purpose=purpose or "interactive")
            answer = _answer(
                agency,
                client,
                method.upper(),
                path,
                params=pairs or None,
                content=content,
                headers={"content-type": "application/json"} if content is not None else None,
                extensions=_said(purpose, allow_unclassified=allow_unclassified),
            )
        common.say(plain(f"{_status(answer)}  {client.portal}"))
        _show(answer.content)
        if not answer.is_success:
            _begin_a_line(answer.content)
            common.say(plain(_explained(answer, agency.connection(slug))))
            click.get_current_context().exit(1)


def _answer(agency: Agency, client: PortalClient, *args: str, **options: Any) -> httpx.Response:
    """Make a call; what went wrong on the way is said in words of the command line."""
    import httpx

    from hsagency.verifier import answerer

    slug = client.portal.client_slug
    try:
        return client.request(*args, **options)
    except CallRefused as error:
        if "allow_unclassified" in error.hint:  # it speaks of Python
            error.hint = _ALLOW
        raise
    except HsAgencyError:
        raise
    except httpx.InvalidURL:
        raise UsageError(
            "The path is not one. Nothing was sent.",
            hint="Write it from the slash on: /crm/objects/2026-09/contacts",
        ) from None
    except httpx.HTTPError as error:
        who = answerer(agency.connection(slug).api_base)
        raise HsAgencyError(
            f"{client.portal}: {who} gave no whole answer ({type(error).__name__}).",
            hint="Whether one began, and whether the call took effect, says the log as far as "
            f"anybody knows: hsagency audit tail {slug} -n 1",
        ) from None


def _status(answer: httpx.Response) -> str:
    return f"{answer.status_code} {answer.reason_phrase}".rstrip()


def _explained(answer: httpx.Response, connection: Connection) -> str:
    """Say what an answer that is an error means, and what a person does next."""
    from hsagency.stopping import advice, until
    from hsagency.verifier import answerer

    who = answerer(connection.api_base)
    verdict = getattr(answer, "verdict", None)
    said = f"{who[:1].upper()}{who[1:]} {verdict.cause}. " if verdict else ""
    if connection.stopped is None:
        return said + (verdict.action if verdict else "")
    stopped = f"Calls to it are {until(connection.stopped)}."
    return f"{said}{stopped} {typable(advice(connection))}"


def _show(content: bytes) -> None:
    """Print a body: as it is into a pipe or file, without what steers a terminal onto one."""
    if not sys.stdout.isatty():
        click.echo(content, nl=False)
        return
    for line in content.decode("utf-8", "replace").splitlines():
        click.echo(plain(line))


def _begin_a_line(body: bytes) -> None:
    """End the body's line where what follows goes into the same file."""
    try:
        one, other = os.fstat(sys.stdout.fileno()), os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return  # no files, so nobody sees them side by side
    is_same = (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
    if is_same and body and not body.endswith(b"\n") and not sys.stdout.isatty():
        click.echo(err=True)


_ALLOW = (
    "If the path is right, say so with --purpose NAME --allow-unclassified; only a "
    "config_and_audit connection may."
)


def _said(purpose: str | None, *, allow_unclassified: bool) -> dict[str, object]:
    said: dict[str, object] = {"allow_unclassified": allow_unclassified}
    return said if purpose is None else {**said, "purpose": purpose}


def _body(given: str | None) -> bytes | None:
    if given is None:
        return None
    if given == "-":
        return sys.stdin.buffer.read()
    if not given.startswith("@"):
        return _json(given)
    try:
        return Path(given[1:]).read_bytes()
    except OSError as error:
        raise UsageError(
            f"The body {given[1:]} cannot be read ({error.strerror}). Nothing was sent."
        ) from error


def _json(given: str) -> bytes:
    """Return a body given as such; a file's name that lacks its @ is not sent for one."""
    import orjson

    try:
        orjson.loads(given)
    except ValueError:
        raise UsageError(
            "The body is not JSON. Nothing was sent.",
            hint="Write --body @FILE for a file, or --body - for standard input.",
        ) from None
    return given.encode()


def _pair(given: str) -> tuple[str, str | int | float | bool | None]:
    name, equals, value = given.partition("=")
    if not (name and equals):
        raise UsageError("A query parameter is NAME=VALUE. Nothing was sent.")
    return name, value


COMMANDS = (call,)
