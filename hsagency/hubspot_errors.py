"""
What HubSpot's answers raise: one kind for each cause, as `data/verdicts.toml` tells them apart.

They belong to the tree in `errors.py`, and like it know nothing of httpx.
"""

from __future__ import annotations

from datetime import datetime

from hsagency.errors import HsAgencyError


class HubSpotError(HsAgencyError):
    """
    HubSpot answered with an error.

    What a client raises is an `httpx.HTTPStatusError` too, with its `request` and `response`.
    What HubSpot's own message says is in neither text, since it quotes what was submitted.
    """

    cause = ""  # what HubSpot says, in our words; `hint` says what to do
    status_code = 0
    category: str | None = None
    policy_name: str | None = None
    correlation_id: str | None = None
    method = ""
    route = ""  # the template, without anything personal
    client_slug: str | None = None
    portal_id: int | None = None
    portal_name: str | None = None
    until: datetime | None = None  # when it makes sense to try again, if that is known


class InvalidRequest(HubSpotError):
    """The request makes no sense to HubSpot (400, 414, 437 and their like)."""


class TokenRejected(HubSpotError):
    """HubSpot does not accept the credential (401, 530)."""


class TokenExpired(TokenRejected):
    """An OAuth token is past its time (401)."""


class NotPermitted(HubSpotError):
    """The credential is accepted, but not for this (403)."""


class UserNotPermitted(NotPermitted):
    """The user behind the credential may not do this, or no longer (403)."""


class ScopeMissing(NotPermitted):
    """The credential lacks a scope (403)."""


class FeatureGated(NotPermitted):
    """The portal does not have the feature (403)."""


class PortalSuspended(NotPermitted):
    """The portal is suspended or deactivated (403)."""


class NotFound(HubSpotError):
    """There is no such thing in this portal (404)."""


class AlreadyThere(HubSpotError):
    """It is there already, or somebody else changed it meanwhile (409)."""


class RecordLocked(HubSpotError):
    """Another write holds it (423)."""


class LimitReached(HubSpotError):
    """One of the portal's limits is reached (429)."""


class DailyLimitReached(LimitReached):
    """The portal's limit of the day is spent, for every app that calls it."""


class BurstLimitReached(LimitReached):
    """The app made too many calls in ten seconds."""


class SearchLimitReached(LimitReached):
    """The portal was searched too often in one second."""


class PortalMoving(HubSpotError):
    """The portal is being moved to another data centre (477)."""


class WrongDataCentre(HubSpotError):
    """The credential was made for another data centre than the portal's (488)."""


class HubSpotFailing(HubSpotError):
    """HubSpot, or the network in front of it, has an outage or took too long (408, 5xx)."""
