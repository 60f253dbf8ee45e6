"""The command that makes a call."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hsagency.cli.common import Shared, program, shared
from hsagency.cli.tables import plain
from hsagency.errors import CallRefused, HsAgencyError, UsageError

if TYPE_CHECKING:
    from hsagency.agency import Agency


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

    Exit code 0 for a success (2xx), 1 otherwise. Give personal data on standard input rather
    than in the arguments, which other users of this machine can see.

    \b
    Examples:
      hsagency call acme-corp POST /crm/v3/objects/contacts --body - < contact.json
      hsagency call acme-corp GET /crm/objects/2026-09/contacts --query limit=10
    """
    import httpx

    from hsagency.verifier import on_the_way

    content = _body(body)
    pairs = [_pair(one) for one in query]
    with common.agency() as agency:
        client = agency.client(slug, purpose=purpose or "interactive")
        try:
            answer = client.request(
                method.upper(),
                path,
                params=pairs or None,
                content=content,
                headers={"content-type": "application/json"} if content is not None else None,
                extensions=_said(purpose, allow_unclassified=allow_unclassified),
            )
        except CallRefused as error:
            if "allow_unclassified" in error.hint:  # it speaks of Python
                error.hint = _ALLOW
            raise
        except httpx.InvalidURL:
            raise UsageError(
                "The path is not one. Nothing was sent.",
                hint="Write it from the slash on: /crm/objects/2026-09/contacts",
            ) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise on_the_way(error, who=_who(agency, slug)) or HsAgencyError(
                f"{_where(agency, slug)} could not be reached, so nothing was sent. The log calls "
                "it 'unknown', as it does every call without an answer.",
                hint="Check the network, or start the sandbox again with the command it printed.",
            ) from None
        except HsAgencyError:
            raise
        except httpx.HTTPError as error:
            raise HsAgencyError(
                f"HubSpot did not answer ({type(error).__name__}). Whether the call took effect "
                "is unknown, and recorded so.",
                hint="If it was not a read, look in HubSpot before you repeat it.",
            ) from None
    common.say(plain(f"{answer.status_code} {answer.reason_phrase}  {client.portal}"))
    _show(answer.content)
    if not answer.is_success:
        verdict = getattr(answer, "verdict", None)
        if verdict is not None:
            who = _who(agency, slug)
            common.say(f"{who[:1].upper()}{who[1:]} {verdict.cause}. {verdict.action}")
        if agency.connection(slug).stopped is not None:
            common.say(f"Calls to it are stopped until a person resumes them: {program()} status")
        click.get_current_context().exit(1)


def _who(agency: Agency, slug: str) -> str:
    from hsagency.verifier import answerer

    return answerer(agency.connection(slug).api_base)


def _where(agency: Agency, slug: str) -> str:
    base = agency.connection(slug).api_base
    return f"The sandbox at {base}" if base else "HubSpot"


def _show(content: bytes) -> None:
    """Print a body: as it is into a pipe or file, without what steers a terminal onto one."""
    if not sys.stdout.isatty():
        click.echo(content, nl=False)
        return
    for line in content.decode("utf-8", "replace").splitlines():
        click.echo(plain(line))


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
