"""What the audit log knows of a person: find it for them, and make it name nobody any more."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from hsagency.cli.audit import audit
from hsagency.cli.common import Shared, as_json, emit, shared
from hsagency.cli.tables import show
from hsagency.errors import UsageError
from hsagency.words import counted

if TYPE_CHECKING:
    import polars as pl

    from hsagency.audit.privacy.erasing import Erasure

_MEANS: Final = (
    "The records stay, and verify as before; their hashes tell nobody any more whom they are of.",
    "A request for what was done with an address cannot be answered from them afterwards.",
    "The next call that names somebody makes a new key, with another name.",
)
_NOT_REACHED: Final = (
    "a copy of the key in a backup of the credential store, or of this user's files",
    "the store of another machine that worked for this client",
    "the memory of a program that is running, until its next call that names somebody",
    "the digest of an imported file in the agency's own log, by which a short file can be guessed",
    "numbers and UUIDs of records, which stand in the log openly (see: hsagency audit retain)",
    "what was exported or forwarded: it holds the same hashes, without the key",
)
_NOT_OURS: Final = ("simulated", "imported")


@audit.command(short_help="Find what was done with somebody's data.")
@click.argument("slug")
@click.option(
    "--identifier",
    metavar="-|VALUE",
    default="-",
    show_default=True,
    help="-: ask for it, or read a line of standard input. A VALUE stays in the shell's history, "
    "and while the command runs, everybody on this machine can see it (ps).",
)
@as_json
@shared
def find(common: Shared, *, slug: str, identifier: str, as_json: bool) -> None:
    """
    Find what was done with somebody's data: every call that names an e-mail address, a telephone
    number or a record's id.

    An id with its type before it (contacts/101) is one record's; an id alone is that of one
    record of each type. For requests of the people concerned. The search is recorded, what was
    searched for is not. What a log cannot show is said with the answer. Exit code 3 if nothing
    is found.

    \b
    Examples:
      hsagency audit find acme-corp --identifier -
      hsagency audit find acme-corp --identifier contacts/101
      hsagency audit find acme-corp --identifier - --json < address.txt
    """  # noqa: D205  (one sentence that does not fit a line)
    from hsagency.audit.lake import joined_records

    wanted = _asked() if identifier == "-" else identifier
    with common.agency() as agency:
        found = agency.audit.find(slug, wanted, progress=common.progress)
    if as_json:
        calls = list(joined_records(found.calls, placed=True))
        emit({"clientSlug": slug, "calls": calls, "limits": list(found.limits)})
    else:
        if found.calls.height:
            columns = ["ts", "method", "path", "outcome", "status_code", "origin"]
            show(found.calls, [*columns, "purpose", "actor"], spare=2)
        click.echo(_counted(found.calls, slug))
        click.echo("What a log cannot show:")
        for one in found.limits:
            click.echo(f"- {one}")
    click.get_current_context().exit(0 if found.calls.height else 3)


@audit.command(short_help="Destroy the key of a client's hashed identifiers.")
@click.argument("slug")
@click.option("--confirm", metavar="SLUG", help="The client again: without it, nothing is done.")
@as_json
@shared
def erase(common: Shared, *, slug: str, confirm: str | None, as_json: bool) -> None:
    """
    Destroy the key of a client's hashed identifiers, so that the log names nobody any more.

    Says first what that means; it is done when the client is named a second time, and it cannot
    be undone. Works for a client that is no longer connected. After a crash, run it again.

    \b
    Examples:
      hsagency audit erase acme-corp
      hsagency audit erase acme-corp --confirm acme-corp
    """
    if confirm not in (None, slug):
        raise UsageError(
            "--confirm names another client. Nothing was destroyed.",
            hint="Name the same client twice: hsagency audit erase SLUG --confirm SLUG",
        )
    with common.agency() as agency:
        erasure = agency.audit.erasure(slug)
        kept_in = agency.store.describe()
        if confirm is not None:
            agency.audit.erase(erasure, digest=erasure.digest)
    destroyed = confirm is not None
    if as_json:
        emit(_document(erasure, destroyed=destroyed))
    else:
        _tell(erasure, kept_in, destroyed=destroyed)


def _asked() -> str:
    """Read an identifier from the prompt, or standard input, all of it: more lines are refused."""
    try:
        if sys.stdin is not None and sys.stdin.isatty():
            return getpass.getpass("Identifier (not shown as you type it): ", stream=sys.stderr)
        # UTF-8 whatever the locale says: another reading would be another hash.
        return sys.stdin.buffer.read().decode() if sys.stdin is not None else ""
    except EOFError:
        return ""
    except UnicodeDecodeError:  # its message would repeat what was typed
        raise UsageError(
            "The identifier is not text in UTF-8. Nothing was read.",
            hint="Give one line of UTF-8 on standard input.",
        ) from None


def _counted(calls: pl.DataFrame, slug: str) -> str:
    """Say how many there are, and how many of them this program did not make."""
    if not calls.height:
        return f"Nothing was found in the log of {slug}."
    origins = {one: calls.filter(calls["origin"] == one).height for one in _NOT_OURS}
    others = [f"{number:,} {one}" for one, number in origins.items() if number]
    of_them = f", {' and '.join(others)}" if others else ""
    return f"{counted(calls.height, 'call')} in the log of {slug}{of_them}."


def _document(erasure: Erasure, *, destroyed: bool) -> dict[str, Any]:
    return {
        "clientSlug": erasure.client_slug,
        "keys": [{"key": one.name, "since": one.since or None} for one in erasure.keys],
        "destroyed": destroyed,
        "means": list(_MEANS),
        "notReached": list(_NOT_REACHED),
    }


def _tell(erasure: Erasure, kept_in: str, *, destroyed: bool) -> None:
    slug = erasure.client_slug
    done = "Destroyed" if destroyed else "Would be destroyed"
    for one in erasure.keys:
        since = f", in use since {one.since}" if one.since else ""
        begun = f"; begun at {one.erasing} and not completed" if one.erasing else ""
        click.echo(f"{done}: the key {one.name} of {slug}{since}{begun if not destroyed else ''}.")
    click.echo(f"Where it {'was' if destroyed else 'is'} kept: {kept_in}")
    for sentence in _MEANS:
        click.echo(sentence)
    click.echo("Not reached:")
    for one_more in _NOT_REACHED:
        click.echo(f"- {one_more}")
    if not destroyed:
        click.echo(f"Nothing was done. To do it: hsagency audit erase {slug} --confirm {slug}")


COMMANDS = (audit,)
