"""`hsagency audit retain`: what the log need not hold any longer, shown and then removed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import click

from hsagency.cli.audit import audit
from hsagency.cli.common import Shared, as_json, emit, program, shared
from hsagency.cli.tables import plain
from hsagency.errors import Conflict, HsAgencyError
from hsagency.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hsagency.agency import Agency
    from hsagency.audit.privacy.retention import Retention

_SHOWN = 20  # segments of one client; all of them with --json


@audit.command(short_help="Show, and then remove, what need not be kept any longer.")
@click.argument("slug", required=False)
@click.option("--apply", "digest", metavar="DIGEST", help="Remove what was shown with this digest.")
@as_json
@shared
def retain(common: Shared, *, slug: str | None, digest: str | None, as_json: bool) -> None:
    """
    Show which records of one client, or of all, are older than [retention] in hsagency.toml says.

    Nothing is removed without --apply, and then only what was shown with that digest. Whole
    segments are removed, and only closed ones that are as they were written. Signed lines of
    the register say so: the log stays intact. What was stopped half-way is completed by the
    same command.

    Exit code 1 if the plan is another by now, or if something could not be removed.

    \b
    Examples:
      hsagency audit retain
      hsagency audit retain acme-corp --apply 3b1f6a0c9d2e4f58
    """
    failed: dict[str, HsAgencyError] = {}
    with common.agency() as agency:
        plans = list(_plans(agency, [slug] if slug else agency.audit.slugs(), failed))
        strangers = sorted({*agency.workspace.settings.retention.clients} - {*agency.audit.slugs()})
        if digest is not None and digest != digest_of(plans):
            if not as_json:
                _show(common, plans, slug)
            raise _other_plan(plans)
        removed = list(_removed(agency, plans, failed)) if digest is not None else None
    if as_json:
        emit(_document(plans, failed, removed))
    elif not removed:
        _show(common, plans, slug)
    else:
        for one in removed:
            click.echo(plain(f"{one.slug}: removed {one}"))
    for name, error in failed.items():
        click.echo(plain(f"{name}: {error}"), err=True)
    for name in strangers:
        common.say(plain(f"[retention.clients] names {name}, of whom there is no log."))
    click.get_current_context().exit(1 if failed else 0)


def _other_plan(plans: list[Retention]) -> Conflict:
    if any(one.due for one in plans):
        return Conflict(
            "What is to be removed is not what was shown with that digest. Nothing was removed.",
            hint=f"This is it now: {digest_of(plans)}",
        )
    return Conflict(
        "There is nothing to be removed, or not any more. Nothing was removed.",
        hint="What was removed before is on record: hsagency audit activity",
    )


def digest_of(plans: Iterable[Retention]) -> str:
    """Return what names the plans of one client or of many: one's own, else one of them all."""
    due = [one.digest for one in plans if one.due]
    return due[0] if len(due) == 1 else hashlib.sha256(" ".join(due).encode()).hexdigest()[:16]


def _plans(
    agency: Agency, slugs: Iterable[str], failed: dict[str, HsAgencyError]
) -> Iterator[Retention]:
    for one in slugs:
        try:
            yield agency.audit.retention(one)
        except HsAgencyError as error:  # a log that cannot be read does not keep the others
            failed[one] = error


def _removed(
    agency: Agency, plans: Iterable[Retention], failed: dict[str, HsAgencyError]
) -> Iterator[Retention]:
    for one in plans:
        try:
            if one.due:
                yield agency.audit.retain(one)
        except HsAgencyError as error:
            failed[one.slug] = error


def _show(common: Shared, plans: list[Retention], slug: str | None) -> None:
    due = [one for one in plans if one.due]
    for plan in plans:
        if plan.due or plan.kept:
            _show_one(plan)
    if due:
        whose = f" {slug}" if slug else ""
        click.echo(
            f"Nothing was removed yet. To remove this for good: {program()} audit retain{whose} "
            f"--apply {digest_of(plans)}"
        )
    elif plans and all(one.months is None for one in plans):
        common.say("The log is kept for ever: hsagency.toml has no [retention] for it.")
    elif plans:
        common.say("Nothing is old enough to be removed.")
    else:
        common.say("There is no audit log yet, so there is nothing to be removed.")


def _show_one(plan: Retention) -> None:
    from hsagency.audit.privacy.retention import days_in_words

    kept = f"kept for {counted(plan.months, 'month')}" if plan.months else "kept for ever"
    older = f"; last written before {plan.before}" if plan.before else ""
    click.echo(plain(f"{plan.slug} ({kept}{older}): {plan}"))
    for one in plan.due[:_SHOWN]:
        begun = ", half removed already" if one.begun else ""
        days = days_in_words(one.first, one.last)
        click.echo(f"  {one.segment}  {days:<24}  {counted(one.calls, 'call')}{begun}")
    if len(plan.due) > _SHOWN:
        click.echo(f"  and {len(plan.due) - _SHOWN} more segments")
    for reason in plan.kept:
        click.echo(plain(f"  stays: {reason}"))


def _document(
    plans: list[Retention], failed: dict[str, HsAgencyError], removed: list[Retention] | None
) -> dict[str, Any]:
    gone = {one.slug for one in removed or ()}
    return {
        "digest": digest_of(plans) if any(one.due for one in plans) else None,
        "clients": [
            {
                "clientSlug": one.slug,
                "months": one.months,
                "before": one.before.isoformat() if one.before else None,
                "calls": one.calls,
                "from": one.days[0] if one.days else None,
                "to": one.days[1] if one.days else None,
                "removed": one.slug in gone,
                "segments": [
                    {
                        "segment": each.segment,
                        "records": each.head.records,
                        "calls": each.calls,
                        "from": each.first,
                        "to": each.last,
                        "halfRemoved": each.begun,
                    }
                    for each in one.due
                ],
                "kept": list(one.kept),
            }
            for one in plans
        ],
        "errors": [{"clientSlug": name, "error": str(one)} for name, one in failed.items()],
    }


COMMANDS = (audit,)
