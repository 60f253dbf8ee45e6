"""
Who wants which e-mails of one portal.

State is kept per address, whether a contact has it or not. Until something is written, nothing
is specified. An address can be unsubscribed from all e-mails; whoever is subscribed to one of
them again is no longer so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.portals import FOUNDED
from hsagency.sandbox.wire import JsonObject, invalid, is_number, not_found, stamp

STATES = ("SUBSCRIBED", "UNSUBSCRIBED", "NOT_SPECIFIED")
LEGAL_BASES = (
    "LEGITIMATE_INTEREST_PQL",
    "LEGITIMATE_INTEREST_CLIENT",
    "PERFORMANCE_OF_CONTRACT",
    "CONSENT_WITH_NOTICE",
    "NON_GDPR",
    "PROCESS_AND_STORE",
    "LEGITIMATE_INTEREST_OTHER",
)
FIRST_DEFINITION = 610_001


@dataclass(frozen=True, slots=True)
class Definition:
    """One kind of e-mail that can be subscribed to; an internal one is not shown to contacts."""

    number: int
    name: str
    description: str
    purpose: str
    method: str
    created_at: str
    internal: bool = False

    def shown(self) -> JsonObject:
        """Return the definition as HubSpot answers it."""
        return {
            "id": str(self.number),
            "name": self.name,
            "description": self.description,
            "purpose": self.purpose,
            "communicationMethod": self.method,
            "isActive": True,
            "isDefault": True,
            "isInternal": self.internal,
            "businessUnitId": 0,
            "createdAt": self.created_at,
            "updatedAt": self.created_at,
        }


@dataclass(frozen=True, slots=True)
class Basis:
    """On which grounds an address is written to."""

    legal_basis: str | None = None
    explanation: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What an address has chosen for one kind of e-mail, and since when."""

    state: str
    at: str
    source: str
    basis: Basis = field(default_factory=Basis)


class PreferenceBook:
    """The definitions of one portal and all choices; the caller holds the portal's lock."""

    def __init__(self, state: PortalState) -> None:
        self.definitions = tuple(
            Definition(
                number=FIRST_DEFINITION + number,
                name=name,
                description=description.format(brand=state.portal.name),
                purpose=purpose,
                method=method,
                created_at=stamp(FOUNDED + timedelta(days=number)),
                internal=internal,
            )
            for number, (name, description, purpose, method, internal) in enumerate(_FIRST)
        )
        self._choices: dict[tuple[str, int], Choice] = {}
        self._out: dict[str, str] = {}

    def definition(self, subscription_id: object) -> Definition:
        """Return a definition by its id, or refuse with 404."""
        id_ = str(subscription_id)
        for one in self.definitions:
            if is_number(id_) and int(id_) == one.number:
                return one
        raise not_found(f"Subscription type {id_} does not exist.")

    def choice(self, email: str, definition: Definition) -> Choice:
        """Return what an address has chosen for one kind of e-mail."""
        unspecified = Choice("NOT_SPECIFIED", definition.created_at, source="")
        return self._choices.get((address(email), definition.number), unspecified)

    def choose(self, email: str, definition: Definition, choice: Choice) -> str:
        """Set what an address has chosen, and say what that changed."""
        email, before = address(email), self.choice(email, definition)
        if choice.state == "SUBSCRIBED":
            self._out.pop(email, None)
        if before.state == choice.state:
            return "NO_STATUS_CHANGE"
        self._choices[email, definition.number] = choice
        if (before.state, choice.state) == ("UNSUBSCRIBED", "SUBSCRIBED"):
            return "RESUBSCRIBE_OCCURRED"
        return "REQUESTED_CHANGE_OCCURRED"

    def unsubscribe_from_all(self, email: str, *, at: str, source: str) -> None:
        """Unsubscribe an address from every kind of e-mail, present and to come."""
        self._out.setdefault(address(email), at)
        for one in self.definitions:
            self.choose(email, one, Choice("UNSUBSCRIBED", at, source=source))

    def out_since(self, email: str) -> str | None:
        """Return since when an address is unsubscribed from all, if it is."""
        return self._out.get(address(email))


def address(email: str) -> str:
    """Return an address as it is kept, or refuse what is none."""
    local, at, domain = email.strip().partition("@")
    if not (local and at and "." in domain) or any(one in email for one in " /<>,;"):
        raise invalid(f"{email} is not a valid email address")
    return f"{local}@{domain}".lower()


_FIRST = (
    (
        "Marketing Information",
        "Marketing offers and updates from {brand}",
        "Marketing",
        "Email",
        False,
    ),
    ("Customer Service Communication", "Feedback requests", "Customer Service", "Email", False),
    ("One to One", "One to one e-mails from {brand}", "Sales", "Email", True),
)
