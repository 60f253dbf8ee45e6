"""
Onboarding: from a list of clients and tokens to verified connections.

Planned, shown, applied. `plan` asks HubSpot about every row and writes nothing but audit
records; `apply` writes what the plan says, if nobody changed the index meanwhile. Secrets are
stored and read back before the index mentions them, so a crash leaves either the old state or
secrets that the next run completes. One bad row never stops the others.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson
import polars as pl

from hsagency.agency import Agency
from hsagency.audit.record import Event
from hsagency.client import parse_api_base
from hsagency.durable import locked, make_private_dir, write_private
from hsagency.errors import Conflict, CredentialError, OnboardingError
from hsagency.index import Snapshot, as_json
from hsagency.onboarding.facts import Findings
from hsagency.onboarding.judging import (
    Decision,
    Judgement,
    ask,
    bad,
    judge,
    secret_name,
)
from hsagency.onboarding.rows import BadRow, Row, read_list, read_rows
from hsagency.portals import AGENCY, ClientSlug, Connection, ConnectionType, redact
from hsagency.progress import Progress, Step, silent
from hsagency.secret import Secret
from hsagency.verifier import Expected, differences

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
    "judge_token",
    "plan",
    "plan_file",
    "read_list",
    "read_rows",
    "write_record",
]

_WORKERS: Final = 48  # portals judged at once; each row is three calls to a portal of its own

RESULT: Final[Mapping[str, pl.DataType]] = {
    "line": pl.Int64(),
    "client_slug": pl.String(),
    "portal_id": pl.Int64(),
    "account_name": pl.String(),
    "outcome": pl.String(),
    "cause": pl.String(),
    "hint": pl.String(),
    "warnings": pl.String(),
}
"""Columns and types of the frame of an onboarding; outcome is a word for a person."""

_WORDS: Final = {
    Decision.NEW: "new",
    Decision.REPLACE: "newer token",
    Decision.CURRENT: "unchanged",
    Decision.CANDIDATE: "candidate for --replace",
    Decision.BAD: "refused",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every row, judged, against one version of the index."""

    judgements: tuple[Judgement, ...]
    index_version: int

    @property
    def digest(self) -> str:
        """Names this very plan; `apply` wants it back."""
        seen = [
            (one.line, one.slug, one.decision, one.cause, as_json(one.connection))
            if one.connection
            else (one.line, one.slug, one.decision, one.cause)
            for one in self.judgements
        ]
        return hashlib.sha256(orjson.dumps([self.index_version, seen])).hexdigest()[:16]

    @property
    def counts(self) -> Mapping[Decision, int]:
        """How many rows got each verdict."""
        return Counter(one.decision for one in self.judgements)

    @property
    def refused(self) -> tuple[Judgement, ...]:
        """The rows that are not taken, with cause and hint."""
        return tuple(one for one in self.judgements if one.decision is Decision.BAD)

    @property
    def stores(self) -> bool:
        """Whether applying it would store anything."""
        return any(one.decision in _STORED for one in self.judgements)

    def frame(self) -> pl.DataFrame:
        """
        Return one row a line of the list.

        Columns: line, client_slug, portal_id, account_name, outcome, cause, hint, warnings
        (types: `RESULT`).
        """
        return _frame(self.judgements, _WORDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was done with every row."""

    judgements: tuple[Judgement, ...]

    @property
    def onboarded(self) -> tuple[Judgement, ...]:
        """The rows that were stored now."""
        return tuple(one for one in self.judgements if one.decision in _STORED)

    @property
    def refused(self) -> tuple[Judgement, ...]:
        """The rows that were not taken, with cause and hint."""
        return tuple(one for one in self.judgements if one.decision is Decision.BAD)

    @property
    def complete(self) -> bool:
        """Whether every row of the list is connected with the token the list holds."""
        done = (*_STORED, Decision.CURRENT)
        return bool(self.judgements) and all(one.decision in done for one in self.judgements)

    def frame(self) -> pl.DataFrame:
        """
        Return one row a line of the list.

        Columns: line, client_slug, portal_id, account_name, outcome, cause, hint, warnings
        (types: `RESULT`).
        """
        return _frame(
            self.judgements, {**_WORDS, Decision.NEW: "onboarded", Decision.REPLACE: "replaced"}
        )


_STORED: Final = (Decision.NEW, Decision.REPLACE)


def plan_file(
    agency: Agency,
    source: bytes | str | Path,
    *,
    connection_type: ConnectionType = ConnectionType.CONFIG_AND_AUDIT,
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
    agency.writer.append(AGENCY, _note(f"Judging {len(rows)} credentials."))
    known = agency.index.read()
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
    judgements = sorted([*refused, *_one_portal_one_slug(judged)], key=lambda one: one.line)
    return Plan(judgements=tuple(judgements), index_version=known.version)


def apply(agency: Agency, plan: Plan, *, digest: str, progress: Progress = silent) -> Result:
    """
    Store what a plan says: each secret, read back; then the index, in one write.

    Raises `OnboardingError` if `digest` is another plan's and `Conflict` if the index was
    changed since. A secret that cannot be stored turns its row into a refused one.
    """
    if digest != plan.digest:
        raise OnboardingError(
            "This is not the plan that was shown; nothing was stored.", hint="Plan again."
        )
    # Of two onboardings at once the second must not touch the secrets the first has stored.
    with locked(agency.workspace.state / "onboarding.lock"):
        if agency.index.read().version != plan.index_version:
            raise Conflict("The index was changed since the plan was made; nothing was stored.")
        judgements = _secrets_stored(agency, plan.judgements, progress)
        new = [one.connection for one in judgements if one.decision in _STORED and one.connection]

        def change(connections: dict[ClientSlug, Connection]) -> None:
            for connection in new:
                _record(agency, connection, connections.get(connection.client_slug))
                connections[connection.client_slug] = connection

        agency.index.write(change, expect=plan.index_version)
    return Result(judgements=tuple(_without_old_secret(agency, one) for one in judgements))


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


def write_record(agency: Agency, outcome: Plan | Result, *, at: datetime | None = None) -> Path:
    """Leave the outcome of an onboarding, without tokens, as a CSV file; return its path."""
    folder = make_private_dir(agency.workspace.reports / "_fleet" / "onboarding")
    moment = (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H%M%S.%fZ")
    kind = "plan" if isinstance(outcome, Plan) else "result"
    path = folder / f"{moment}-{kind}.csv"
    write_private(path, outcome.frame().write_csv().encode())
    return path


def _owners(rows: list[Row], known: Snapshot) -> Mapping[int, str]:
    """Return whose each portal is, as far as the index and the list itself say."""
    listed = {int(row.expected): f"{row.slug}, line {row.line}" for row in rows if row.expected}
    return listed | known.owners()


def _secrets_stored(
    agency: Agency, judgements: tuple[Judgement, ...], progress: Progress
) -> tuple[Judgement, ...]:
    with progress("storing", sum(one.decision in _STORED for one in judgements)) as step:
        return tuple(_store(agency, one, step) for one in judgements)


def _store(agency: Agency, one: Judgement, step: Step) -> Judgement:
    if one.decision not in _STORED or one.connection is None or one.secret is None:
        return one
    try:
        agency.store.put(secret_name(agency, one.connection), one.secret)
    except CredentialError as error:
        row = BadRow(line=one.line, slug=one.slug, cause="")
        return bad(row, error.message.rstrip("."), error.hint)
    finally:
        step(1)
    return one


def _record(agency: Agency, connection: Connection, before: Connection | None) -> None:
    """Record a change before the index shows it, so that no change goes unrecorded."""
    event = Event.CONNECTION_ADDED if before is None else Event.CONNECTION_ROTATED
    did = "Connected" if before is None else "Replaced the credential of"
    message = (
        f"{did} {connection.portal} as {connection.connection_type}, {connection.kind} "
        f"generation {connection.generation}, fingerprint {connection.fingerprint}."
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
    if changed:
        message = f"With it, facts of portal {connection.portal_id} changed: {redact(changed)}."
        fields = {**fields, "event": Event.CONNECTION_CHANGED, "message": message}
        agency.writer.append(connection.client_slug, fields)


def _without_old_secret(agency: Agency, one: Judgement) -> Judgement:
    """Drop a secret that was replaced, by this run or by one that broke off before it could."""
    connection = one.connection
    replaced = one.decision in (Decision.REPLACE, Decision.CURRENT)
    if not replaced or connection is None or connection.generation == 1:
        return one
    try:
        agency.store.delete(secret_name(agency, connection, generation=connection.generation - 1))
    except CredentialError as error:
        warning = f"the token it replaces may still be in the store: {error}".rstrip(".")
        return replace(one, warnings=(*one.warnings, warning))
    return one


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


def _frame(judgements: tuple[Judgement, ...], words: Mapping[Decision, str]) -> pl.DataFrame:
    rows = [
        {
            "line": one.line,
            "client_slug": one.slug,
            "portal_id": one.connection.portal_id if one.connection else None,
            "account_name": one.connection.portal.name if one.connection else None,
            "outcome": words[one.decision],
            "cause": one.cause or None,
            "hint": one.hint or None,
            "warnings": "; ".join(one.warnings) or None,
        }
        for one in judgements
    ]
    return pl.DataFrame(rows, schema=RESULT)
