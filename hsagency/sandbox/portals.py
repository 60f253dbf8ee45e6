"""
The portals of a sandbox, made from its seed.

Portal number n is the same whatever the number of portals, so that a test which grows its
fleet keeps the clients it knew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from random import Random
from typing import Literal, TypeAlias
from uuid import UUID

from hsagency.errors import SandboxError
from hsagency.sandbox.names import client_name

Kind: TypeAlias = Literal["service_key", "private_app", "static_app", "oauth"]
Distribution: TypeAlias = Literal["private", "marketplace"]
Tier: TypeAlias = Literal["starter", "professional", "enterprise"]
AccountType: TypeAlias = Literal["STANDARD", "DEVELOPER_TEST", "SANDBOX", "APP_DEVELOPER"]
UsageStatus: TypeAlias = Literal["SUCCESS", "CACHED", "FAILURE", "NOTFOUND", "TIMEOUT"]

MAX_PORTALS = 200
# Every seeded time hangs on this day, never on the clock: the same seed is the same data.
FOUNDED = datetime(2025, 3, 3, 9, tzinfo=UTC)

# The scopes of a credential that may do everything this sandbox knows; `oauth` is on every one.
FULL_SCOPES = frozenset(
    {
        "account-info.security.read", "automation", "communication_preferences.read",
        "communication_preferences.read_write", "crm.export", "crm.lists.read", "crm.lists.write",
        "crm.objects.owners.read", "crm.objects.users.read", "e-commerce", "forms", "oauth",
        "settings.users.read", "settings.users.teams.read", "tickets",
    }
    | {
        f"crm.{area}.{name}.{verb}"
        for area in ("objects", "schemas")
        for name in ("contacts", "companies", "deals", "line_items", "custom")
        for verb in ("read", "write")
    }
)  # fmt: skip

# Scopes of HubSpot's that have no full stop in them and open nothing here, from its documents.
_PLAIN_SCOPES = frozenset(
    {
        "accounting", "actions", "business-intelligence", "content", "external_integrations",
        "files", "forms-uploaded-files", "hubdb", "integration-sync", "marketing-email",
        "sales-email-read", "social", "timeline", "transactional-email",
    }
)  # fmt: skip
_SCOPE = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+")

_TIERS: tuple[Tier, ...] = ("professional", "enterprise", "professional", "enterprise", "starter")
_HUBLETS = ("na1", "na1", "eu1", "na1", "na2", "na1", "na1")
_ZONES = {
    "na1": (
        "America/New_York", "America/Chicago", "America/Los_Angeles", "America/Denver",
        "America/Sao_Paulo", "Australia/Sydney", "Asia/Kolkata",
    ),
    "na2": ("America/Toronto", "America/New_York", "America/Phoenix"),
    "eu1": ("Europe/Berlin", "Europe/London", "Europe/Madrid", "Europe/Helsinki"),
}  # fmt: skip
_CURRENCIES = {"eu1": "EUR", "na1": "USD", "na2": "USD"}


@dataclass(frozen=True, slots=True)
class Credential:
    """One app's access to one portal."""

    token: str = field(repr=False)
    kind: Kind
    app_id: int
    user_id: int
    scopes: frozenset[str] = field(repr=False)
    expires_at: datetime | None = None
    # Whom the app is for: HubSpot's limits differ (facts 3.1).
    distribution: Distribution = "private"
    # Ended before its time by somebody, which HubSpot tells apart from an end that was foreseen.
    revoked: bool = False

    def live(self, now: datetime) -> bool:
        """Whether HubSpot still accepts it."""
        return not self.revoked and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Portal:
    """One simulated HubSpot account, as it is at the moment it was asked for."""

    portal_id: int
    client_slug: str
    name: str
    tier: Tier
    time_zone: str
    hublet: str
    currency: str
    created_at: datetime
    account_type: AccountType
    credentials: tuple[Credential, ...]
    # Who made the first credential; they stay the first of its people whatever becomes of it.
    founder: int
    additional_currencies: tuple[str, ...] = ()
    # API limit increases it bought.
    add_ons: int = 0
    # The status that a suspended account answers with to everything.
    suspended: int | None = None
    # Users who left.
    leavers: frozenset[int] = frozenset()
    # Where live portals differ: whether account information gives the name, how the count of
    # today's calls went, and in which of two ways a 429 is worded.
    portal_names: bool = True
    usage_status: UsageStatus = "SUCCESS"
    newer_refusals: bool = False
    # Whether answers to searches tell what is left of the day, as recordings of 2022 do.
    search_headers: bool = False

    @property
    def credential(self) -> Credential:
        """The newest credential."""
        return self.credentials[-1]

    @property
    def token(self) -> str:
        """The newest credential's token."""
        return self.credential.token

    @property
    def kind(self) -> Kind:
        """What the newest credential is."""
        return self.credential.kind

    @property
    def scopes(self) -> frozenset[str]:
        """What the newest credential may do."""
        return self.credential.scopes

    @property
    def ui_domain(self) -> str:
        """Where people open it."""
        return "app.hubspot.com" if self.hublet == "na1" else f"app-{self.hublet}.hubspot.com"


def granted(scopes: Iterable[str]) -> frozenset[str]:
    """Return scopes with the one that all have; refuse what is the name of none."""
    if isinstance(scopes, str):
        raise SandboxError("Scopes are a list of names, not one; nothing was changed.")
    asked = frozenset(scopes)
    for scope in sorted(asked - FULL_SCOPES - _PLAIN_SCOPES):
        if not _SCOPE.fullmatch(scope):
            near = get_close_matches(scope, sorted(FULL_SCOPES))
            raise SandboxError(
                f"{scope!r} is no scope of HubSpot's; nothing was changed.",
                hint=f"Close to it: {', '.join(near)}." if near else "",
            )
    return asked | {"oauth"}


def make_token(hublet: str, rng: Random) -> str:
    """Return a token as HubSpot writes them: pat, data centre, lower-case UUID."""
    return f"pat-{hublet}-{UUID(int=rng.getrandbits(128), version=4)}"


def make_portal(index: int, *, seed: int) -> Portal:
    """Return portal number `index` of this seed, with one credential."""
    rng = Random(f"{seed}/portal/{index}")  # noqa: S311 - repeatable is the point
    # 73 and 250 share no factor: every portal has a range of ids of its own, in no visible order.
    portal_id = 20_000_000 + (index * 73 % 250) * 300_000 + rng.randrange(300_000)
    name = client_name(index)
    hublet = _HUBLETS[index % len(_HUBLETS)]
    kind: Kind = "private_app" if rng.random() < 0.4 else "service_key"
    zone = rng.choice(_ZONES[hublet])
    created_at = FOUNDED - timedelta(minutes=rng.randrange(2_000_000))
    first = Credential(
        token=make_token(hublet, rng),
        kind=kind,
        app_id=rng.randrange(1_000_000, 9_999_999),
        user_id=rng.randrange(10_000_000, 99_999_999),
        scopes=FULL_SCOPES,
    )
    return Portal(
        portal_id=portal_id,
        client_slug=name.lower().replace(" ", "-"),
        name=name,
        tier=_TIERS[index % len(_TIERS)],
        time_zone=zone,
        hublet=hublet,
        currency=_CURRENCIES[hublet],
        created_at=created_at,
        account_type="STANDARD",
        credentials=(first,),
        founder=first.user_id,
    )
