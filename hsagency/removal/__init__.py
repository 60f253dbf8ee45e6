"""
Removal: a client is let go of, and what is known of it stays readable.

Planned, shown, applied, verified. From the moment the tombstone stands no client is handed out
in any process. In this order, so that whatever breaks off is finished by the next run: record,
tombstone, HubSpot, secrets, record, certificate. Before the tombstone nothing is changed; after
it nothing goes back.

    plans.py        what a removal would do, as it is shown
    looking.py      what there is of a client
    severing.py     HubSpot's side: revoke, uninstall, ask
    stages.py       the steps, each of which may be done twice
    certificate.py  the document that says what was done, and what is not proven

Not promised: that a static credential is dead, which only HubSpot's people can end; and that
copies of files and of the credential store elsewhere are gone.
"""

from __future__ import annotations

from hsagency.agency import Agency
from hsagency.errors import Conflict, OnboardingError, UnknownClient
from hsagency.portals import Connection, Tombstone, parse_slug
from hsagency.progress import Progress, silent
from hsagency.removal.certificate import Certificate, issue, path_of
from hsagency.removal.looking import (
    both_sides,
    files_of,
    kept_of,
    mentions_of,
    outputs_of,
    secrets_of,
    shown,
)
from hsagency.removal.plans import STEPS, Kept, Output, Plan, Stage
from hsagency.removal.severing import Again, Severed, leave
from hsagency.removal.stages import alone, begin, finish, refuse_without_store
from hsagency.stopping import moment

__all__ = [
    "STEPS",
    "Certificate",
    "Kept",
    "Output",
    "Plan",
    "Severed",
    "Stage",
    "apply",
    "leave",
    "plan",
]


def plan(agency: Agency, slug: str) -> Plan:
    """
    Return what removing a client means; nothing is asked, and nothing changed.

    Of a removal that broke off it says what is left of it. Raises `UnknownClient` for a client
    that is not connected; where it was removed, with the day and the certificate.
    """
    snapshot, name = agency.index.read(), parse_slug(slug)
    tombstone = snapshot.tombstones.get(name)
    if tombstone is None:
        return _plan(agency, agency.connection(slug), None)
    if tombstone.pending is None and path_of(agency, tombstone).exists():
        raise UnknownClient(
            f"{tombstone.portal} was removed on {moment(tombstone.removed_at)} by "
            f"{tombstone.removed_by}. Nothing was done.",
            hint=f"Its certificate: {path_of(agency, tombstone)}",
        )
    return _plan(agency, tombstone.pending, tombstone)


def _plan(agency: Agency, connection: Connection | None, tombstone: Tombstone | None) -> Plan:
    one = connection or tombstone
    assert one is not None  # noqa: S101
    stage = Stage.CONNECTED
    if tombstone is not None:
        stage = Stage.PENDING if connection is not None else Stage.UNCERTIFIED
    slug = one.client_slug
    return Plan(
        portal=one.portal,
        stage=stage,
        connection=connection,
        tombstone=tombstone,
        kind=one.kind,
        generation=one.generation,
        fingerprint=one.fingerprint,
        api_base=one.api_base,
        secrets=secrets_of(agency, slug, one.generation) if connection else (),
        files=shown(agency, files_of(agency, connection)) if connection else (),
        facts=tuple(sorted(connection.facts)) if connection else (),
        kept=kept_of(agency, slug),
        outputs=outputs_of(agency, one.portal),
        mentions=mentions_of(agency, slug),
        severing=both_sides(one.kind, one.api_base),
    )


def apply(
    agency: Agency,
    plan: Plan,
    *,
    digest: str,
    uninstall: bool = False,
    again: Again = leave,
    progress: Progress = silent,
) -> Certificate:
    """
    Remove a client as a plan says, or finish its removal, and return the certificate.

    `uninstall` has an OAuth app taken out of the portal as well. `again` is asked, while a static
    credential is still accepted, whether to ask HubSpot once more. Raises `OnboardingError` if
    `digest` is another plan's; `Conflict` if the connection was changed or removed since, or
    somebody else is at it; what the store raises, before anything was changed, if it does not
    answer or takes no delete. After that an error leaves a removal that the next run finishes.
    """
    if digest != plan.digest:
        raise OnboardingError(
            "This is not the plan that was shown; nothing was removed.", hint="Plan again."
        )
    with alone(agency, plan), progress("removing", 4) as step:
        tombstone = _current(agency, plan)
        if tombstone is None:
            assert plan.connection is not None  # noqa: S101
            refuse_without_store(agency, plan.connection)
            tombstone = begin(agency, plan.connection)
        step(1)
        if tombstone.pending is not None:
            tombstone = finish(
                agency, tombstone, tombstone.pending, uninstall=uninstall, again=again, step=step
            )
        made = issue(agency, tombstone)
        step(1)
        return made


def _current(agency: Agency, plan: Plan) -> Tombstone | None:
    """Return the tombstone that stands by now; raises `Conflict` where the plan is past."""
    tombstone = agency.index.read().tombstones.get(plan.portal.client_slug)
    if plan.tombstone is None and tombstone is None:
        return None
    if plan.tombstone is None and tombstone is not None:
        raise Conflict(
            f"{plan.slug} was removed by {tombstone.removed_by} meanwhile "
            f"({moment(tombstone.removed_at)}); nothing was done.",
            hint=f"What became of it: hsagency remove {plan.slug}",
        )
    if tombstone is None or plan.tombstone is None or _at(tombstone) != _at(plan.tombstone):
        raise Conflict(
            f"{plan.slug} was connected again meanwhile; nothing was done.", hint="Plan again."
        )
    return tombstone


def _at(tombstone: Tombstone) -> object:
    return tombstone.removed_at, tombstone.generation
