"""What became of connecting, in words; and reconnecting with a static token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from hsagency import onboarding
from hsagency.agency import Agency
from hsagency.errors import ConnectingError, UsageError
from hsagency.health import health
from hsagency.hosts import parse_api_base
from hsagency.onboarding import Decision, Judgement, Plan, Row
from hsagency.onboarding.rows import client_token
from hsagency.portals import Connection, ConnectionStatus, ConnectionType, CredentialKind
from hsagency.scopes import TYPES
from hsagency.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A connection as it is stored now, and as it was before, if it was there."""

    connection: Connection
    before: Connection | None = None
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything was stored: a token that was there already changes nothing."""
        return self.before is None or self.before.generation != self.connection.generation

    def said(self) -> str:
        """Say in a sentence or two what is connected now and, if it was before, what had ended."""
        one, before = self.connection, self.before
        how = "over OAuth" if one.kind is CredentialKind.OAUTH else "with a static token"
        if before is None:
            return f"Connected {one.portal} as {TYPES[one.connection_type].title}, {how}."
        if not self.changed:
            return (
                f"Nothing changed: {one.portal} has this very token already. {_still(one)}".strip()
            )
        said = f"Reconnected {one.portal} {how}, generation {one.generation}: "
        said += "its client, history and log go on."
        if before.connection_type is not one.connection_type:
            now, was = TYPES[one.connection_type].title, TYPES[before.connection_type].title
            said += f" It is {now} now, and was {was}."
        return f"{said} {_ended(before)}".strip()


def _ended(before: Connection) -> str:
    """Say what had been wrong, and that it is over."""
    if before.stopped is None and before.status is ConnectionStatus.CONNECTED:
        return "Nothing had been wrong with the one before; it is not used any more."
    was = health(before, now=datetime.now(UTC)).evidence
    goes_on = " Calls had been stopped, and go on now." if before.stopped is not None else ""
    return f"What had been wrong: {was[:1].lower()}{was[1:]}{goes_on}"


def _still(one: Connection) -> str:
    if one.stopped is None and one.status is ConnectionStatus.CONNECTED:
        return ""
    own = health(one, now=datetime.now(UTC))
    return f"{own.evidence} Next: {own.next_step}" if own.next_step else own.evidence


def replace_token(
    agency: Agency,
    slug: str,
    token: Secret,
    *,
    api: str = "",
    connection_type: ConnectionType | None = None,
) -> Connected:
    """
    Give a connected client another static token, for the same portal.

    Raises `ConnectingError` where HubSpot says that it is another portal's or not good enough,
    and then nothing was changed; `UnknownClient`, `BadToken`, `Conflict`.
    """
    before = agency.connection(slug)
    if parse_api_base(api) not in ("", before.api_base):
        raise UsageError(
            f"{slug} is connected through {before.api_base or 'HubSpot'}, not {api}.",
            hint="A sandbox's connection is never turned into HubSpot's: leave --api out.",
        )
    is_static = before.kind is not CredentialKind.OAUTH
    row = Row(
        line=1,
        slug=before.client_slug,
        token=client_token(token.reveal()),
        expected=before.portal_id,
        kind=before.kind if is_static else CredentialKind.STATIC,
        connection_type=connection_type or before.connection_type,
        retype=connection_type is not None,
    )
    planned = onboarding.plan(agency, [row], api=before.api_base, replace_tokens=True)
    judged = stored(agency, planned)
    now = agency.connection(slug)
    notes = judged.warnings
    if now.connection_type is not (connection_type or now.connection_type):
        notes += (f"its type stays {now.connection_type}: hsagency set-type {slug} TYPE",)
    return Connected(connection=now, before=before, notes=notes)


def stored(agency: Agency, plan: Plan) -> Judgement:
    """Store what a plan of one row says; raises `ConnectingError` where the row is not taken."""
    (judged,) = plan.judgements
    if judged.decision is not Decision.BAD:
        (judged,) = onboarding.apply(agency, plan, digest=plan.digest).judgements
    refuse_bad(judged)
    return judged


def refuse_bad(judged: Judgement) -> None:
    """Raise `ConnectingError` for a row that is not taken, in the words of why it is not."""
    if judged.decision in (Decision.BAD, Decision.CANDIDATE):
        cause = f"{judged.cause[:1].upper()}{judged.cause[1:]}"
        raise ConnectingError(f"{cause}. Nothing was changed.", hint=judged.hint)
