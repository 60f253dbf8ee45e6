"""
Everything that hsagency raises on purpose.

    HsAgencyError                  the root; `hint` says what to do next
      UsageError                   the request itself makes no sense (exit code 2)
        BadSlug  BadPortalId  BadToken
      WorkspaceError               the folder an agency works in
        NoWorkspace                none found
        NewerSchema                written by a later hsagency
        CorruptFile                not readable as what it should be
        Conflict                   somebody else wrote first; nothing was lost
      UnknownClient                no connection under this slug
      NotStopped                   resuming what is not stopped
      CredentialError              the store of secrets
        NoStore                    nowhere to keep a secret, or only an unsafe place
        StoreUnreadable            locked, damaged or forbidden: never taken for empty
        CredentialMissing          the store answered, and holds no such secret
        WriteNotConfirmed          what was read back is not what was written
        CredentialChanged          the stored secret is not the one that was proven
        NoOAuthApp                 no app is set up that could ask for a portal
        AppMisconfigured           HubSpot does not know our app so: it says nothing of a portal
      VerificationError            whose credential is this?
        PortalMismatch             another portal's
          ForeignAnswer            an answer to a live connection names another portal
        CredentialRejected         nobody's any more (401)
          AuthorisationEnded       what a person authorised over OAuth is over
        MissingScopes              it may not read the account (403)
        PortalForbidden            its portal is suspended, closed to it, or gone (403, 404)
        PortalUnreachable          no usable answer: network, rate limit, outage
        UnexpectedAnswer           an answer that is not HubSpot's
      CallRefused                  stopped here, before a byte left
        Halted                     the fleet is halted until an operator resumes it
        ClientClosed               this handle is closed, or belongs to another process
        PortalStopped              this portal is stopped until a person resumes it
        QuotaSpent                 its limit allows no more until a time that is named
        PortalAway                 it is moving to another data centre until a time that is named
        Cancelled                  whoever waited for it cancelled it
      HubSpotError                 HubSpot answered with an error (these are in hubspot_errors)
        InvalidRequest             it makes no sense to HubSpot (400, 414, 437 and their like)
        TokenRejected              nobody's any more, or malformed (401, 530)
          TokenExpired             an OAuth token past its half hour
        NotPermitted               not with this credential (403)
          ScopeMissing  FeatureGated  PortalSuspended  UserNotPermitted
        NotFound                   no such thing in this portal (404)
        AlreadyThere               there already, or changed by somebody else meanwhile (409)
        RecordLocked               another write holds it (423)
        LimitReached               one of the portal's limits (429)
          DailyLimitReached  BurstLimitReached  SearchLimitReached
        PortalMoving               on its way to another data centre, up to a day (477)
        WrongDataCentre            the credential was made for another one (488)
        HubSpotFailing             an outage, or no answer in time (408, 5xx)
      OutcomeUnknown               no answer came, and it may have taken effect (in transport.answer)
      CallLost                   never left, a read without an answer, or an answer that broke off;
                                 each is the httpx error of its name, too (in transport.telling)
      UnusableAnswer               HubSpot's pages make no sense, so that what is there is not known
      AuditError                   the audit log cannot be written, so nothing is sent, or read
        DamagedEvidence            a sealed segment does not hold what was put there
        SealingBusy                another process is sealing this log
        EvidenceRefused            a log from elsewhere does not prove what it should (exit code 4)
      ConnectingError              nobody let our app into a portal
        ConsentDenied              the person said no
        ConsentTimedOut            nobody came back from HubSpot's page in time
      OnboardingError              a plan that no longer fits, or a list that cannot be read
      ReportError                  a notebook or a document could not be made
        NothingToReport            no records in the selection (exit code 3)
      SandboxError                 the simulated HubSpot could not start or was misused

`AuditWarning` is no error but a warning of Python's: the log goes on, and a person is to look.

A message says what happened and what was not done; the hint says what to do next. Neither
ever holds a token. Library code raises; only the command line exits.
"""

from __future__ import annotations

import copyreg
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final


class HsAgencyError(Exception):
    """
    Root of every error that hsagency raises on purpose.

    >>> str(HsAgencyError("It broke.", hint="Mend it."))
    'It broke. Mend it.'
    """

    hint = ""
    under_way = False  # raised while a call was being sent, so that it may have arrived

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if hint is not None:
            self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def _render_traceback_(self) -> list[str]:
        # IPython asks for it: a notebook shows these lines, and the error is still an error.
        return [f"Error: {self.message}", *([self.hint] if self.hint else [])]

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process boundaries when reports run in parallel.
        made: object = copyreg.__newobj__  # type: ignore[attr-defined]  # typeshed lacks it
        return (made, (type(self), self.message), self.__dict__)


class UsageError(HsAgencyError):
    """The request itself makes no sense."""


class BadSlug(UsageError):
    """A client slug is not kebab-case."""

    hint = "Use lower-case letters, digits and single hyphens, starting with a letter: acme-corp."


class BadPortalId(UsageError):
    """A portal id is not a positive whole number."""

    hint = "The portal id is the number beside the account name in HubSpot, for example 12345678."


class BadToken(UsageError):
    """A static token does not have the shape HubSpot gives them."""

    hint = "Copy the whole token again: it starts with pat-, a region such as na1, and a UUID."


class WorkspaceError(HsAgencyError):
    """Something about the folder an agency works in."""


class NoWorkspace(WorkspaceError):
    """No workspace here or above."""

    hint = "Make one with 'hsagency init DIR', or name one with --workspace or HSAGENCY_HOME."


class NewerSchema(WorkspaceError):
    """A file was written by a later version of hsagency."""


class CorruptFile(WorkspaceError):
    """A file is not readable as what it should be; it was left as it is."""


class Conflict(WorkspaceError):
    """Somebody else wrote first; this change was not made."""

    hint = "Run the command again: it will see the other change."


class UnknownClient(HsAgencyError):
    """No connection is stored under this slug."""


class NotStopped(HsAgencyError):
    """What is to be resumed is not stopped, or not halted; nothing was changed."""

    hint = "What is stopped: hsagency status."


class CredentialError(HsAgencyError):
    """Something about the store of secrets."""


class NoStore(CredentialError):
    """There is nowhere to keep a secret, or only an unsafe place."""


class StoreUnreadable(CredentialError):
    """The store is locked, damaged or forbidden, which is not the same as empty."""


class CredentialMissing(CredentialError):
    """The store answered, and holds no such secret."""


class WriteNotConfirmed(CredentialError):
    """What was read back from the store is not what was written."""


class CredentialChanged(CredentialError):
    """The stored secret is not the one that was proven to belong to this portal."""


class NoOAuthApp(CredentialError):
    """No OAuth app is set up."""

    hint = "Set one up once for all portals: hsagency connect --setup"


class AppMisconfigured(CredentialError):
    """HubSpot refuses the app itself, whichever portal it asks about."""

    hint = (
        "Compare the app's client id, secret and redirect URL with HubSpot > Development > "
        "Projects, and give them again: hsagency connect --setup"
    )


class VerificationError(HsAgencyError):
    """A credential could not be shown to belong to the expected portal."""

    status_code: int | None = None
    correlation_id: str | None = None
    cause = "unknown"  # one of `portals.Cause`
    seen_to = False  # whether what follows from it was done

    def add(self, sentence: str) -> None:
        """Add what was not done, which only the caller of a verification knows."""
        self.message = f"{self.message} {sentence}"


class PortalMismatch(VerificationError):
    """The credential belongs to another portal than the expected one."""

    hint = "Check which client this token came from, and ask for the right one."
    swapped = "Two tokens may be swapped: check which client each came from."
    said = "MISMATCH: the token belongs to portal {got}, expected {expected}."

    def __init__(self, *, expected: int, got: int) -> None:
        super().__init__(self.said.format(got=got, expected=expected))
        self.expected, self.got = expected, got
        self.owner: str | None = None  # whose the other portal is, once somebody named them

    def name(self, clients: Mapping[int, str]) -> None:
        """Put beside each portal id whose it is, as far as `clients` knows."""
        self.owner = clients.get(self.got)
        got, expected = (
            f"{portal} ({clients[portal]})" if portal in clients else str(portal)
            for portal in (self.got, self.expected)
        )
        self.message = self.said.format(got=got, expected=expected)
        if self.owner is not None:
            self.hint = self.swapped


_CAUSE: Final = (
    "Find the cause first (hsagency audit activity, hsagency portals); then: "
    "hsagency resume --fleet --reason TEXT"
)


class ForeignAnswer(PortalMismatch):
    """An answer to a call of a live connection names another portal; the call was sent."""

    hint = swapped = _CAUSE
    said = "MISMATCH: the answer names portal {got}, expected {expected}. The fleet is halted."
    under_way = True


class CredentialRejected(VerificationError):
    """HubSpot does not accept the credential (401)."""

    hint = (
        "It was revoked, rotated or copied wrongly. Ask the client for a new service key: "
        "HubSpot > Development > Keys > Service keys."
    )


class AuthorisationEnded(CredentialRejected):
    """HubSpot no longer accepts what a person authorised over OAuth."""

    hint = "Ask the client whether that was meant; then connect it again: hsagency reconnect SLUG"


class MissingScopes(VerificationError):
    """HubSpot accepts the credential but it may not do this (403)."""

    hint = "Add the scopes to the key (HubSpot > Development > Keys > Service keys), or reconnect."


class PortalForbidden(VerificationError):
    """HubSpot knows the credential and does not let it into its portal (403, 404)."""

    hint = "The portal may be suspended, or whoever made the key lost access to it: ask the client."


class PortalUnreachable(VerificationError):
    """No usable answer: network, rate limit or outage."""

    hint = "Nothing is wrong with the credential as far as we know. Try again in a minute."


class UnexpectedAnswer(VerificationError):
    """An answer came that is not HubSpot's."""

    hint = "Something between here and HubSpot answered instead: check proxies and --api."


class CallRefused(HsAgencyError):
    """The call was stopped here, before a byte left; `until` says until when, if known."""

    def __init__(
        self, message: str, *, hint: str | None = None, until: datetime | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.until = until


class Halted(CallRefused):
    """The whole fleet is halted until an operator resumes it."""

    hint = _CAUSE


class ClientClosed(CallRefused):
    """The portal client is closed, or belongs to another process."""

    hint = "Ask the agency for a new one: agency.client(slug)."


class PortalStopped(CallRefused):
    """Calls to one portal are stopped until a person resumes them."""


class QuotaSpent(CallRefused):
    """A portal's limit leaves no room for this call; `until` says when it will, if known."""


class PortalAway(CallRefused):
    """HubSpot is moving a portal to another data centre; `until` says when to call again."""


class Cancelled(CallRefused):
    """The call was still waiting for its turn when whoever asked for it cancelled it."""


class UnusableAnswer(HsAgencyError):
    """An answer that is no error, and from which a read cannot go on without losing something."""

    hint = "Try again; if it stays so, read it with client.get(...) and look at the answer."
    client_slug: str | None = None
    portal_id: int | None = None


class AuditError(HsAgencyError):
    """
    The audit log cannot be written, read or changed as was asked; the message says which.

    Where it is a call whose record could not be made durable, the call was not sent.
    """


class DamagedEvidence(AuditError):
    """A sealed segment does not hold what was put there; `cut` says that its end is gone."""

    def __init__(self, path: Path, cause: str, *, cut: bool) -> None:
        super().__init__(
            f"The evidence {path} is damaged: {cause}.",
            hint="Put it back from a backup. hsagency audit verify says what can still be read.",
        )
        self.path, self.cause, self.cut = path, cause, cut


class SealingBusy(AuditError):
    """Another process is sealing this log."""


class EvidenceRefused(AuditError):
    """A log from elsewhere does not prove what it should; nothing of it was taken."""


class AuditWarning(UserWarning):
    """The audit log goes on, but something about it needs a person."""


class ConnectingError(HsAgencyError):
    """Nobody let our app into a portal; nothing was connected."""


class ConsentDenied(ConnectingError):
    """The person said no on HubSpot's page."""


class ConsentTimedOut(ConnectingError):
    """Nobody came back from HubSpot's page in time."""


class OnboardingError(HsAgencyError):
    """A plan no longer fits what is stored, or a client list cannot be read."""


class ReportError(HsAgencyError):
    """A notebook or a document could not be made."""


class NothingToReport(ReportError):
    """The selection holds no records."""


class SandboxError(HsAgencyError):
    """The simulated HubSpot could not start or was misused."""
