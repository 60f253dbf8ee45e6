"""
Removal: a client is let go of, and what is known of it stays readable.

Planned, shown, applied, verified. From the moment the tombstone stands no client is handed out
in any process. In this order, so that whatever breaks off is finished by the next run: record,
tombstone, HubSpot, secrets, record, certificate. Before the tombstone nothing is changed; after
it nothing goes back.

    plans.py        what a removal would do, as it is shown
    looking.py      what there is of a client
    severing.py     HubSpot's side: revoke, uninstall, ask
    locks.py        whom a removal keeps out, and how long it waits for them
    stages.py       the steps, each of which may be done twice
    certificate.py  the document that says what was done, and what is not proven

Not promised: that a static credential is dead, which only HubSpot's people can end; and that
copies of files and of the credential store elsewhere are gone.
"""

from __future__ import annotations

from hsagency.agency import Agency
from hsagency.errors import (
    Conflict,
    CredentialError,
    Halted,
    OnboardingError,
    UnknownClient,
    UsageError,
)
from hsagency.onboarding.storing import refuse_a_copy
from hsagency.portals import Connection, CredentialKind, Tombstone, parse_slug
from hsagency.progress import Progress, silent
from hsagency.removal.certificate import Certificate, issue, path_of
from hsagency.removal.locks import alone, unrenewed, unstored
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
from hsagency.removal.severing import Again, Severed, obstacle, refuse_unasked
from hsagency.removal.stages import begin, finish, refuse_without_store, wish
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
    "plan",
]


def plan(agency: Agency, slug: str, *, uninstall: bool = False) -> Plan:
    """
    Return what removing a client means; nothing is asked, and nothing changed.

    `uninstall` has an OAuth app taken out of the portal as well. Of a removal that broke off it
    says what is left of it, and what was wished for then stays so. Raises `UnknownClient` for a
    client that is not connected; where it was removed, with the day and the certificate; and
    `UsageError` for an app to be taken out that there is none of.
    """
    if not slug:
        raise UsageError(
            "Name the client: nobody is removed by default. Nothing was done.",
            hint=f"Connected are: {', '.join(agency.slugs()) or 'none'}.",
        )
    snapshot, name = agency.index.read(), parse_slug(slug)
    tombstone = snapshot.tombstones.get(name)
    if tombstone is None:
        return _plan(agency, agency.connection(slug), None, uninstall=uninstall)
    if tombstone.pending is None and path_of(agency, tombstone).exists():
        raise UnknownClient(
            f"{tombstone.portal} was removed on {moment(tombstone.removed_at)} by "
            f"{tombstone.removed_by}. Nothing was done.",
            hint=f"Its certificate: {path_of(agency, tombstone)}",
        )
    return _plan(agency, tombstone.pending, tombstone, uninstall=uninstall)


def _plan(
    agency: Agency,
    connection: Connection | None,
    tombstone: Tombstone | None,
    *,
    uninstall: bool,
) -> Plan:
    one = connection or tombstone
    assert one is not None  # noqa: S101
    _refuse_no_app(one, uninstall=uninstall)
    uninstall = uninstall or (tombstone is not None and tombstone.uninstall)
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
        uninstall=uninstall,
        generation=one.generation,
        fingerprint=one.fingerprint,
        connection_type=one.connection_type,
        added_at=one.added_at,
        api_base=one.api_base,
        obstacle=obstacle(agency, one) if _is_to_ask(stage, tombstone) else "",
        secrets=secrets_of(agency, slug, one.generation),
        files=shown(agency, files_of(agency, connection)) if connection else (),
        facts=tuple(sorted(connection.facts)) if connection else (),
        kept=kept_of(agency, slug),
        outputs=outputs_of(agency, one.portal),
        mentions=mentions_of(agency, slug),
        severing=both_sides(one, uninstall=uninstall),
    )


def _is_to_ask(stage: Stage, tombstone: Tombstone | None) -> bool:
    return stage is not Stage.UNCERTIFIED and not (tombstone is not None and tombstone.severed)


def _refuse_no_app(one: Connection | Tombstone, *, uninstall: bool) -> None:
    if uninstall and one.kind is not CredentialKind.OAUTH:
        raise UsageError(
            f"An app can be uninstalled over OAuth alone, and {one.client_slug} is connected with "
            f"{one.kind}. Nothing was done.",
            hint="Only somebody in HubSpot ends a static credential; the plan says where.",
        )


def apply(
    agency: Agency,
    plan: Plan,
    *,
    digest: str,
    again: Again | None = None,
    leave: bool = False,
    progress: Progress = silent,
) -> Certificate:
    """
    Remove a client as a plan says, or finish its removal, and return the certificate.

    `again` is asked, while the credential is still accepted or nobody answers, whether to ask
    HubSpot once more; without it one that is accepted is left so. `leave` goes on where HubSpot
    cannot be asked or does not answer, so that nothing is proven. Raises `OnboardingError` if
    `digest` is another plan's; `Conflict` if the connection was changed or removed since, somebody
    else is at it, or this workspace is a copy; `Halted` or `NoOAuthApp` where nothing could be
    asked, and what the store raises if it does not answer or takes no delete, all before anything
    was changed. After that an error leaves a removal that the next run finishes:
    `PortalUnreachable` where there was no answer, with the secret kept.
    """
    if digest != plan.digest:
        raise OnboardingError(
            "This is not the plan that was shown; nothing was removed.", hint="Plan again."
        )
    slug = plan.portal.client_slug
    with (
        alone(agency, slug),
        unrenewed(agency, slug, plan.kind),
        progress("removing", 4) as step,
    ):
        tombstone = _begun(agency, plan, leave=leave)
        step(1)
        if tombstone.pending is not None:
            tombstone = finish(
                agency, tombstone, tombstone.pending, again=again, leave=leave, step=step
            )
        made = issue(agency, tombstone)
        step(1)
        return made


def _begun(agency: Agency, plan: Plan, *, leave: bool) -> Tombstone:
    """Return the tombstone from which a removal goes on, once nothing is in its way."""
    tombstone = _current(agency, plan)
    one = plan.connection
    if one is None:
        assert tombstone is not None  # noqa: S101
        return tombstone
    with unstored(agency, one.client_slug):  # that nobody holds it for good
        pass
    refuse_a_copy(agency.workspace)
    if tombstone is None:
        refuse_without_store(agency, one)
    if not leave and _is_to_ask(plan.stage, tombstone):
        _refuse_unasked(agency, one)
    if tombstone is None:
        return begin(agency, one, uninstall=plan.uninstall)
    return wish(agency, tombstone, uninstall=plan.uninstall)


def _refuse_unasked(agency: Agency, one: Connection) -> None:
    try:
        refuse_unasked(agency, one)
    except (Halted, CredentialError) as error:
        error.message = (
            f"{error.message} What became of the credential of {one.client_slug} could not be "
            "asked then, so nothing was removed."
        )
        error.hint = (
            f"{error.hint.rstrip('.')}. To go on all the same, with nothing proven and the means of ending it "
            f"deleted: hsagency remove {one.client_slug} --leave"
        )
        raise


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
