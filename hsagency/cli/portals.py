"""Commands about what is connected: portals."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from hsagency.cli.attention import removing
from hsagency.cli.common import (
    Shared,
    as_json,
    emit,
    none_yet,
    program,
    records,
    shared,
    tell,
    ticking,
    typable,
)
from hsagency.cli.tables import plain, room, show, show_or_stack
from hsagency.errors import UsageError
from hsagency.portals import ConnectionType, CredentialKind
from hsagency.words import counted

if TYPE_CHECKING:
    import polars as pl

    from hsagency.fleet.listing import Listing, Slots

_STATUSES: Final = ("connected", "needs_reconnection", "disconnected", "suspended", "halted")


@click.command(short_help="List the connected portals, or show one.")
@click.argument("slug", required=False)
@as_json
@click.option("--refresh", is_flag=True, help="Verify every portal and ask its usage first.")
@click.option("--status", multiple=True, type=click.Choice(_STATUSES), help="Only these.")
@click.option(
    "--type",
    "types",
    multiple=True,
    type=click.Choice([*map(str, ConnectionType)]),
    help="Only these.",
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([*map(str, CredentialKind)]),
    help="Only these.",
)
@click.option("--sort", metavar="COLUMN", help="Sort by a column; -COLUMN for the most first.")
@click.option("--columns", metavar="A,B,…", help="Show these columns, or all.")
@shared
def portals(
    common: Shared,
    *,
    slug: str | None,
    as_json: bool,
    refresh: bool,
    status: tuple[str, ...],
    types: tuple[str, ...],
    kinds: tuple[str, ...],
    sort: str | None,
    columns: str | None,
) -> None:
    """
    List the connected portals from stored facts, or show all that is known of one.

    \b
    Examples:
      hsagency portals
      hsagency portals --status needs_reconnection --sort verified_at
      hsagency portals --refresh --json
      hsagency portals acme-corp
    """
    if slug is not None:
        if refresh or status or types or kinds or sort or columns:
            raise UsageError(
                "Filters, --sort, --columns and --refresh go with the table, not with one client.",
                hint=f"One anew: hsagency verify {slug}, then hsagency portals {slug}",
            )
        _one_portal(common, slug, as_json=as_json)
        return
    found = _listed(common, refresh=refresh)
    whole = found.frame()
    named = _named(columns, whole)
    chosen = _sorted(_chosen(whole, status=status, type=types, kind=kinds), sort)
    if as_json:
        slots = found.slots
        said = {"used": slots.used, "size": slots.size, "free": slots.free}
        rows = records(chosen.select(named or whole.columns))
        emit({"portals": rows, "slots": said, "removing": [*map(removing, found.removing)]})
    else:
        if chosen.height:
            _show(chosen, named)
        _say_removals(found)
        _say(common, chosen, whole.height, found.slots)
    if refresh and whole["error"].null_count() < whole.height:
        click.get_current_context().exit(1)


def _listed(common: Shared, *, refresh: bool) -> Listing:
    if refresh:
        progress = _ticking(common)
        with common.agency() as agency:
            return agency.listing(refresh=True, progress=progress)
    # Without an agency: loading all of one takes longer than the answer does.
    from hsagency.audit.journal.writer import AuditWriter, this_run, utc_now
    from hsagency.fleet.listing import listing
    from hsagency.pacing import Pacing

    workspace = common.found()
    with AuditWriter(workspace.audit, author=this_run(), copy=workspace.heads, tell=tell) as writer:
        pacing = Pacing(workspace.state / "pacing", settings=workspace.settings, writer=writer)
        with contextlib.closing(pacing):
            return listing(workspace, pacing, now=utc_now())


def _ticking(common: Shared) -> Any:
    @contextlib.contextmanager
    def progress(what: str, total: int) -> Iterator[Any]:
        with common.progress(what, total) as step, ticking(step):
            yield step

    return progress


def _chosen(frame: pl.DataFrame, **wanted: tuple[str, ...]) -> pl.DataFrame:
    import polars as pl

    names = {"type": "connection_type"}
    for name, values in wanted.items():
        if values:
            frame = frame.filter(pl.col(names.get(name, name)).is_in(list(values)))
    return frame


def _sorted(frame: pl.DataFrame, by: str | None) -> pl.DataFrame:
    if by is None:
        return frame
    (name,) = _columns([by.removeprefix("-")], frame)
    return frame.sort(name, descending=by.startswith("-"), nulls_last=True, maintain_order=True)


def _named(columns: str | None, frame: pl.DataFrame) -> list[str]:
    if columns is None:
        return []
    if columns.strip() == "all":
        return frame.columns
    return _columns(columns.split(","), frame)


def _columns(given: list[str], frame: pl.DataFrame) -> list[str]:
    """Return the columns that are meant, in either spelling; raises `UsageError`."""
    headings = {**{name: name for name in frame.columns}, **_HEADINGS}
    names = [re.sub(r"[\s_-]|(?<=[a-z])(?=[A-Z])", "_", one.strip()).lower() for one in given]
    if unknown := [one for one in names if one not in headings]:
        near = difflib.get_close_matches(unknown[0], headings)
        raise UsageError(
            f"There is no column {unknown[0]!r}. Nothing was shown.",
            hint=f"Did you mean {' or '.join(near)}?"
            if near
            else f"There are {', '.join(frame.columns)}.",
        )
    return list(dict.fromkeys(headings[one] for one in names))


_HEADINGS: Final = {
    "slug": "client_slug",
    "name": "account_name",
    "type": "connection_type",
    "quota": "quota_left",
    "calls": "calls_this_month",
    "verified": "verified_at",
    "key_age": "credential_age_days",
}
"""Columns as the table that people read calls them."""


def _show(frame: pl.DataFrame, named: list[str]) -> None:
    if named:
        show_or_stack(frame, named)
        return
    words = _in_words(frame)
    columns = words.columns
    if 0 < room() < _WIDE:
        columns = [*_FIRST, *(one for one in columns if one not in _FIRST)]
        words = words.with_columns(words["verified"].dt.strftime("%Y-%m-%d"))
    show(words, columns, spare=len(columns) - columns.index("verified") - 1)


_WIDE: Final = 100  # columns of a terminal
_FIRST: Final = ("client_slug", "portal_id", "status", "quota", "calls", "verified")
"""What stays on a terminal with little room."""


def _in_words(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the table as people read it: who, how it is doing, and what there is of it."""
    import polars as pl

    from hsagency.scopes import TYPES

    titles = {str(name): one.title for name, one in TYPES.items()}
    kinds = {str(one): one.words for one in CredentialKind}
    age = pl.col("credential_age_days").cast(pl.String) + " d"
    is_sandbox = frame["api"].null_count() < frame.height
    return frame.select(
        *("client_slug", "account_name", "portal_id"),
        pl.col("status").str.replace_all("_", " "),
        pl.col("quota_left").alias("quota"),
        pl.col("calls_this_month").alias("calls"),
        pl.col("verified_at").alias("verified"),
        pl.col("connection_type").replace_strict(titles).alias("type"),
        pl.col("tier").str.to_titlecase(),
        age.alias("key age"),
        pl.col("kind").replace_strict(kinds),
        *(["api"] if is_sandbox else []),
    )


def _say_removals(found: Listing) -> None:
    """Say of each removal that is not finished how it goes on."""
    for one in map(removing, found.removing):
        said = f"{one['portal']}: its removal was begun by {one['removedBy']} and is not finished."
        click.echo(plain(said))
        click.echo(plain(typable(f"  next: {one['nextStep']}")))


def _say(common: Shared, frame: pl.DataFrame, every: int, slots: Slots) -> None:
    """Say below the table what it cannot hold: what is to be done, and the slots."""
    for row in frame.iter_rows(named=True):
        if row["next_step"]:
            click.echo(plain(typable(f"{row['client_slug']}: {row['status_evidence']}")))
            click.echo(plain(typable(f"  next: {row['next_step']}")))
        if row["error"]:
            click.echo(plain(typable(f"{row['client_slug']}: {row['error']}")), err=True)
    from hsagency.fleet.listing import advised_days

    old = [row["client_slug"] for row in frame.iter_rows(named=True) if row["credential_hint"]]
    if old:
        common.say(
            f"Older than HubSpot advises ({advised_days()} days): the credential of {', '.join(old)}. "
            f"Each is renewed by: {program()} reconnect SLUG"
        )
    shown = ""
    if not every:
        shown = f"{none_yet()}\n"
    elif frame.height < every:
        shown = f"{frame.height or 'None'} of {counted(every, 'portal')} shown. "
    common.say(f"{shown}{slots_in_words(slots)}")


def slots_in_words(slots: Slots) -> str:
    """Return how many slots of the fleet are taken, as a sentence."""
    if slots.size is None:
        return f"Slots: {slots.used} used; the fleet size is unlimited."
    return f"Slots: {slots.used} of {slots.size} used, {slots.free} free."


def _one_portal(common: Shared, slug: str, *, as_json: bool) -> None:
    from hsagency.audit.journal.writer import utc_now
    from hsagency.cli.portal import show_portal
    from hsagency.fleet.details import details

    with common.agency() as agency:
        found = details(
            agency.workspace, agency.pacing, slug, now=utc_now(), activity=agency.activity
        )
    if as_json:
        emit(found)
    else:
        show_portal(found)


COMMANDS = (portals,)
