"""
What becomes of a row: taken or not, by what HubSpot says of it and by what is stored.

Whatever is wrong with a row is told at once, as far as it can be known; see `unmet` for what
the index alone tells. Nothing is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import replace as with_
from enum import StrEnum

from hsagency.agency import Agency
from hsagency.auth import key_of
from hsagency.credentials import SecretName
from hsagency.errors import CredentialError, HsAgencyError, PortalUnreachable
from hsagency.index import Snapshot
from hsagency.onboarding.asking import ask
from hsagency.onboarding.facts import Findings, found_connection, renewed
from hsagency.onboarding.rows import BadRow, Row
from hsagency.onboarding.unmet import (
    Unmet,
    beforehand,
    come_back,
    linked,
    of_before,
    reached,
    short_of,
)
from hsagency.portals import (
    Connection,
    ConnectionStatus,
    ConnectionType,
    CredentialKind,
    parse_slug,
)
from hsagency.secret import Secret
from hsagency.verifier import FIRST_CONTACT


class Decision(StrEnum):
    """What is to be done with a row."""

    NEW = "new"
    REPLACE = "replace"
    CURRENT = "current"
    CANDIDATE = "candidate"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A row, judged: what would be stored, or why it is not."""

    line: int
    slug: str
    decision: Decision
    cause: str = ""
    hint: str = ""
    warnings: tuple[str, ...] = ()
    connection: Connection | None = None
    secret: Secret | None = None
    calls: int = 0
    """How many calls it took to find out, which the portal's quota paid for."""
    unanswered: bool = False
    """Whether it is bad for want of an answer only, so that the row may be right."""
    full: bool = False
    """Whether it is bad for want of a free slot only, so that the row is right."""


def judge(
    agency: Agency,
    row: Row,
    *,
    api: str,
    known: Snapshot,
    owners: Mapping[int, str],
    trust_first_contact: bool,
    replace: bool,
) -> Judgement:
    """
    Judge one row against HubSpot and against what is stored; never raises for the row.

    `owners` is as `ask` takes it. No token goes to another address than its connection's own,
    which is also where a replacement is asked about if `api` is empty.
    """
    stored = known.connections.get(row.slug)
    address = stored.api_base if stored and replace and not api else api
    wrong = beforehand(row, known, api=address, trusting=trust_first_contact)
    if wrong:
        return _refused(row, wrong)
    try:
        parse_slug(row.slug)  # rows may come from Python too, and slugs become folders
        expected = row.expected if row.expected is not None else FIRST_CONTACT
        found = ask(
            agency, row, api=address, expected=expected, purpose="onboarding", owners=owners
        )
    except HsAgencyError as error:
        besides = linked(row, known)
        unanswered = isinstance(error, PortalUnreachable) and not besides
        said = [(error.message, error.hint), *besides]
        return with_(_refused(row, said), unanswered=unanswered)
    judged = _found(agency, row, found, known, api=address, replace=replace)
    return with_(judged, calls=found.calls)


def _found(
    agency: Agency, row: Row, found: Findings, known: Snapshot, *, api: str, replace: bool
) -> Judgement:
    """Judge a row by what HubSpot reported of its credential."""
    stored = known.connections.get(row.slug)
    connection = found_connection(row, found, api=api)
    wrong = short_of(row, found, _type_of(row, stored))
    if found.contradiction() is None:  # else nobody knows which portal it is
        wrong += reached(row, connection, known)
    if wrong:
        return _refused(row, wrong)
    warnings = tuple(_warnings(row, connection, found, known))
    if stored is None:
        return _judged(row, Decision.NEW, come_back(connection, known), warnings)
    if stored.fingerprint != connection.fingerprint:
        return _newer(row, stored, connection, warnings, replace=replace)
    judged = _judged(row, Decision.CURRENT, stored, warnings)
    return _if_usable(agency, row, judged, _anew(row, stored, connection), replace=replace)


def bad(row: Row | BadRow, cause: str, hint: str) -> Judgement:
    """Return the judgement that a row is not taken."""
    return Judgement(
        line=row.line,
        slug=row.slug,
        decision=Decision.BAD,
        cause=cause,
        hint=hint,
    )


def _refused(row: Row, wrong: Iterable[Unmet]) -> Judgement:
    told = BadRow.of(wrong, line=row.line, slug=row.slug)
    return bad(told, told.cause, told.hint)


def secret_name(agency: Agency, connection: Connection, *, generation: int = 0) -> SecretName:
    """Return what the secret of a connection is called; of its own generation unless said."""
    return SecretName(
        workspace=agency.workspace.settings.workspace,
        slug=connection.client_slug,
        generation=generation or connection.generation,
    )


def _if_usable(
    agency: Agency, row: Row, judged: Judgement, anew: Connection, *, replace: bool
) -> Judgement:
    """Call nothing unchanged whose secret is gone from the store, or is another one."""
    try:
        secret = agency.store.get(secret_name(agency, anew, generation=anew.generation - 1))
    except CredentialError as error:
        trouble, hint = error.message.rstrip("."), error.hint
    else:
        if key_of(secret).fingerprint == anew.fingerprint:
            return judged
        trouble, hint = "the store holds another secret than the one that was proven", ""
    if replace:
        return _judged(row, Decision.REPLACE, anew, judged.warnings)
    return bad(
        row,
        f"{row.slug} is connected, but its stored {row.what} cannot be used: {trouble}",
        f"{hint} If that does not help, store it anew: {_again(row)}.".strip(),
    )


def _newer(
    row: Row,
    stored: Connection,
    connection: Connection,
    warnings: tuple[str, ...],
    *,
    replace: bool,
) -> Judgement:
    had, brings = _is_oauth(stored), row.authorisation is not None
    if replace:
        if had and not brings:
            warnings += ("it was connected over OAuth, and goes by this token from now on",)
        return _judged(row, Decision.REPLACE, _anew(row, stored, connection), warnings)
    cause, kept = f"another {row.what} than the stored one", "one"
    again = _again(row)
    if had and not brings:
        cause, kept = "it is connected over OAuth, and this is a token", "authorisation"
        again = f"hsagency reconnect {row.slug} --token, or run again with --replace; from then "
        again += "on it goes by the token, no longer over OAuth"
    elif brings and not had:
        cause, kept = "it is connected with a token, and this is an authorisation", "token"
        again = f"hsagency reconnect {row.slug} --oauth"
    return Judgement(
        line=row.line,
        slug=row.slug,
        decision=Decision.CANDIDATE,
        cause=f"{cause}, for the same portal {stored.portal_id}",
        hint=f"The stored {kept} was kept. To use this one: {again}.",
        warnings=warnings,
        connection=stored,
    )


def _is_oauth(connection: Connection) -> bool:
    return connection.kind is CredentialKind.OAUTH


def _again(row: Row) -> str:
    reconnect = f"hsagency reconnect {row.slug}"
    return reconnect if row.authorisation else f"run again with --replace, or {reconnect}"


def _judged(
    row: Row, decision: Decision, connection: Connection, warnings: tuple[str, ...]
) -> Judgement:
    return Judgement(
        line=row.line,
        slug=row.slug,
        decision=decision,
        warnings=warnings,
        connection=connection,
        secret=row.kept if decision in (Decision.NEW, Decision.REPLACE) else None,
    )


def _type_of(row: Row, stored: Connection | None) -> ConnectionType:
    """Return the type that a row's credential is judged by: the stored one's, unless it changes."""
    return row.connection_type if stored is None or row.retype else stored.connection_type


def _anew(row: Row, stored: Connection, found: Connection) -> Connection:
    return with_(renewed(stored, found), connection_type=_type_of(row, stored))


def _warnings(row: Row, connection: Connection, found: Findings, known: Snapshot) -> list[str]:
    stored = known.connections.get(row.slug)
    kind = _type_of(row, stored)
    said = [*found.notes(kind)]
    if stored is None:
        return said + of_before(connection, known) + _first_contact(row, connection)
    if row.stated and kind is not row.connection_type:
        said.append(
            f"stored as {stored.connection_type}, the list says {row.connection_type}: not changed"
        )
    works = stored.fingerprint == connection.fingerprint
    if works and stored.status is not ConnectionStatus.CONNECTED:
        said.append(f"listed as {stored.status}; 'hsagency verify {row.slug}' clears that")
    return said + _first_contact(row, connection)


def _first_contact(row: Row, connection: Connection) -> list[str]:
    if row.expected is not None:
        return []
    return [f"portal {connection.portal_id} was taken on first contact: check it"]
