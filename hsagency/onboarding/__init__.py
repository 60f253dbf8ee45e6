"""
Onboarding: from a list of clients and tokens to verified connections.

Planned, shown, applied. `plan` asks HubSpot about every row and writes nothing but audit
records; `apply` writes what the plan says, if what it rests on is as it was. Secrets are
stored and read back before the index mentions them, so a crash leaves either the old state or
secrets that the next run completes. One bad row never stops the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hsagency.agency import Agency
from hsagency.audit.record import Event
from hsagency.compliance import without_formulas
from hsagency.durable import locked, make_private_dir, write_private
from hsagency.errors import Conflict, OnboardingError
from hsagency.facts import differences
from hsagency.fleet.listing import slots
from hsagency.hosts import host_of, parse_api_base
from hsagency.index import Snapshot
from hsagency.onboarding.asking import ask
from hsagency.onboarding.facts import Findings
from hsagency.onboarding.judging import Decision, Judgement, bad, judge
from hsagency.onboarding.limits import check_again, exceeds, full, within
from hsagency.onboarding.plans import RESULT, Basis, Plan, Result
from hsagency.onboarding.rows import BadRow, Row, read_list, read_rows
from hsagency.onboarding.storing import STORED, Secrets, refuse_a_copy
from hsagency.onboarding.unmet import as_it_was, come_back, not_removed, taken
from hsagency.portals import AGENCY, ClientSlug, Connection, ConnectionType, Tombstone, redact
from hsagency.progress import Progress, silent
from hsagency.secret import Secret
from hsagency.verifier import Expected

__all__ = [
    "RESULT",
    "BadRow",
    "Decision",
    "Findings",
    "Judgement",
    "Plan",
    "Result",
    "Row",
    "apply",
    "check_client",
    "judge_token",
    "plan",
    "plan_file",
    "read_list",
    "read_rows",
    "write_record",
]

_WORKERS: Final = 48  # portals judged at once; each row is three calls to a portal of its own


def plan_file(
    agency: Agency,
    source: bytes | str | Path,
    *,
    connection_type: ConnectionType | None = None,
    api: str = "",
    trust_first_contact: bool = False,
    replace_tokens: bool = False,
    progress: Progress = silent,
) -> Plan:
    """
    Judge a whole client list: its path, or its content as read from standard input; see `plan`.

    Raises `UsageError` if there is no such file and `OnboardingError` if it is no client list.
    """
    rows, unusable = read_rows(read_list(source), connection_type=connection_type)
    return plan(
        agency,
        rows,
        unusable=unusable,
        api=api,
        trust_first_contact=trust_first_contact,
        replace_tokens=replace_tokens,
        progress=progress,
    )


def plan(
    agency: Agency,
    rows: list[Row],
    *,
    unusable: list[BadRow] | None = None,
    api: str = "",
    trust_first_contact: bool = False,
    replace_tokens: bool = False,
    progress: Progress = silent,
) -> Plan:
    """
    Judge every row: ask HubSpot, compare with what is stored, write nothing but records.

    Raises `UsageError` for an `api` that is not this machine's, and `AuditError` or `Halted`
    if no call may be made at all.
    """
    address = parse_api_base(api)
    agency.halt.check()
    # What is wrong with the way out is no row's fault, and told once.
    agency.network.wire(host_of(address)).close()
    agency.writer.append(AGENCY, _note(f"Judging {len(rows)} credentials."))
    known = agency.index.read()
    rows = [as_it_was(row, known) for row in rows]
    owners = _owners(rows, known)
    with progress("judging", len(rows)) as step, ThreadPoolExecutor(_WORKERS) as pool:

        def one(row: Row) -> Judgement:
            judged = judge(
                agency,
                row,
                api=address,
                known=known,
                owners=owners,
                trust_first_contact=trust_first_contact,
                replace=replace_tokens,
            )
            step(1)
            return judged

        judged = list(pool.map(one, rows))
    refused = [bad(row, row.cause, row.hint) for row in unusable or []]
    fitting = within(_one_portal_one_slug(judged), slots(agency.workspace.settings, known))
    judgements = sorted([*refused, *fitting], key=lambda one: one.line)
    _record_refusals(agency, judgements)
    slugs = {row.slug for row in rows} & known.connections.keys()
    basis = {slug: _basis(known.connections[slug]) for slug in slugs}
    return Plan(judgements=tuple(judgements), basis=basis)


def apply(agency: Agency, plan: Plan, *, digest: str, progress: Progress = silent) -> Result:
    """
    Store what a plan says: each secret, read back; then the index, in one write.

    Raises `OnboardingError` if `digest` is another plan's and `Conflict` if what the plan rests
    on was changed since, or this workspace is a copy of another that has the same store. A
    secret that cannot be stored turns its row into a refused one.
    """
    if digest != plan.digest:
        raise OnboardingError(
            "This is not the plan that was shown; nothing was stored.", hint="Plan again."
        )
    # Of two onboardings at once the second must not touch the secrets the first has stored.
    with locked(agency.workspace.state / "onboarding.lock"):
        refuse_a_copy(agency.workspace)
        before = agency.index.read()
        _check(agency, plan, before, undone="stored")
        secrets = Secrets(agency, known={slug: one[1] for slug, one in plan.basis.items()})
        steps = sum(one.decision in STORED for one in plan.judgements)

        def change(connections: dict[ClientSlug, Connection]) -> None:
            _check(agency, plan, agency.index.read(), undone="connected")
            stored = [one for one in judgements if one.decision in STORED]
            for connection in (one.connection for one in stored if one.connection):
                slug = connection.client_slug
                _record(agency, connection, connections.get(slug), before.tombstones.get(slug))
                connections[slug] = connection

        with secrets.taken_back():
            secrets.begin(plan.judgements)
            with progress("storing", steps) as step:
                judgements = tuple(secrets.store(one, step) for one in plan.judgements)
            agency.index.write(change)
        secrets.settled()
        _charge(agency, judgements)
        return Result(judgements=tuple(secrets.drop_old(one) for one in judgements))


def _charge(agency: Agency, judgements: Iterable[Judgement]) -> None:
    """Count the calls that judging took among those of the portals that are connected now."""
    for one in judgements:
        if one.decision in STORED and one.connection is not None:
            agency.pacing.of(one.connection).checked(one.calls)


def _check(agency: Agency, plan: Plan, now: Snapshot, *, undone: str) -> None:
    """Raise `Conflict` if what a plan rests on is no longer so, or its slots are taken."""
    why = _outdated(plan, now)
    if why is not None:
        raise Conflict(
            f"The index was changed since the plan was made; nothing was {undone}: {why}."
        )
    check_again(agency, plan.judgements, now, undone=undone)


def _basis(one: Connection) -> Basis:
    return one.portal_id, one.fingerprint, one.generation, one.connection_type, one.api_base


def _outdated(plan: Plan, known: Snapshot) -> str | None:
    """Return what a plan rests on and is no longer so; a proof that is fresh again is not."""
    planned = [one for one in plan.judgements if one.decision in (*STORED, Decision.CURRENT)]
    for connection in (one.connection for one in planned if one.connection):
        slug, now = connection.client_slug, known.connections.get(connection.client_slug)
        anew = replace(connection, generation=1) if now is None else connection
        is_next = come_back(anew, known).generation == connection.generation
        if (_basis(now) if now else None) != plan.basis.get(slug) or not is_next:
            return f"{slug} is not what it was"
        other = taken(connection, known.connections)
        if other is not None:
            return f"portal {connection.portal_id} or its token is connected as {other} now"
    return None


def judge_token(agency: Agency, token: Secret, *, expected: Expected, api: str = "") -> Findings:
    """Ask HubSpot whose token this is and store nothing; raises as `verify` does."""
    agency.halt.check()
    return ask(
        agency,
        Row(line=0, slug=AGENCY, token=token, expected=None),
        api=parse_api_base(api),
        expected=expected,
        purpose="verification",
        owners=agency.index.read().owners(),
    )


def check_client(agency: Agency, slug: ClientSlug) -> None:
    """Raise `OnboardingError` if a client cannot be connected now, whatever its credential is."""
    known = agency.index.read()
    wrong, free = not_removed(slug, known, None), slots(agency.workspace.settings, known)
    if slug not in known.connections and exceeds(free, 1):
        wrong.append(full(free, 1))
    if wrong:
        told = BadRow.of(wrong, line=0, slug=slug)
        raise OnboardingError(
            f"{told.cause[0].upper()}{told.cause[1:]}. Nothing was done.", hint=told.hint
        )


def write_record(agency: Agency, outcome: Plan | Result, *, at: datetime | None = None) -> Path:
    """Leave the outcome of an onboarding, without tokens, as a CSV file; return its path."""
    folder = make_private_dir(agency.workspace.reports / "_fleet" / "onboarding")
    moment = (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H%M%S.%fZ")
    kind = "plan" if isinstance(outcome, Plan) else "result"
    path = folder / f"{moment}-{kind}.csv"
    write_private(path, without_formulas(outcome.frame()).write_csv().encode())
    return path


def _owners(rows: list[Row], known: Snapshot) -> Mapping[int, str]:
    """Return whose each portal is, as far as the index and the list itself say."""
    listed = {int(row.expected): f"{row.slug}, line {row.line}" for row in rows if row.expected}
    return listed | known.owners()


def _record(
    agency: Agency, connection: Connection, before: Connection | None, stone: Tombstone | None
) -> None:
    """Record a change before the index shows it, so that no change goes unrecorded."""
    event = Event.CONNECTION_ADDED if before is None else Event.CONNECTION_ROTATED
    did = "Connected" if before is None else "Replaced the credential of"
    if before is not None and before.connection_type is not connection.connection_type:
        did = f"Changed the type of a connection from {before.connection_type}, and replaced "
        did += "the credential of"
    message = (
        f"{did} {connection.portal} as {connection.connection_type}, {connection.kind} "
        f"generation {connection.generation}, fingerprint {connection.fingerprint}."
    )
    if stone is not None:
        message = (
            f"Connected again: it was removed on {stone.removed_at:%Y-%m-%d}, as generation "
            f"{stone.generation}. {message}"
        )
    fields = {
        "event": event,
        "portalId": connection.portal_id,
        "message": message,
        "credentialFingerprint": connection.fingerprint,
        "credentialGeneration": connection.generation,
    }
    agency.writer.append(connection.client_slug, fields)
    changed = differences(before.facts, connection.facts) if before else ""
    if before is not None:
        agency.stops.replaced(before)
    if changed:
        message = f"With it, facts of portal {connection.portal_id} changed: {redact(changed)}."
        fields = {**fields, "event": Event.CONNECTION_CHANGED, "message": message}
        agency.writer.append(connection.client_slug, fields)


def _record_refusals(agency: Agency, judgements: list[Judgement]) -> None:
    """Say in the agency's own log, which no client is shown, which rows were refused and why."""
    for one in judgements:
        if one.decision is Decision.BAD:
            told = redact(f"Refused line {one.line}, {one.slug}: {one.cause}.")
            agency.writer.append(AGENCY, _note(told), durable=False)
    agency.writer.flush()


def _note(message: str) -> dict[str, object]:
    return {"event": Event.CONNECTION_JUDGING, "message": message}


def _one_portal_one_slug(judged: list[Judgement]) -> list[Judgement]:
    """Refuse rows that turned out to reach the same portal under different slugs."""
    by_portal: dict[int, list[Judgement]] = {}
    for one in judged:
        if one.connection is not None and one.decision is not Decision.BAD:
            by_portal.setdefault(one.connection.portal_id, []).append(one)
    clashing = {
        one.line: ", ".join(f"{other.slug} (line {other.line})" for other in same)
        for same in by_portal.values()
        if len(same) > 1
        for one in same
    }
    return [
        replace(
            one,
            decision=Decision.BAD,
            cause=f"one portal under two slugs: {clashing[one.line]}",
            hint="One portal, one slug, one token.",
            connection=None,
            secret=None,
        )
        if one.line in clashing
        else one
        for one in judged
    ]
