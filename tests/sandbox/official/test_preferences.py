"""The official client's classes for communication preferences, which know version 3 (facts 7)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hubspot import HubSpot
from hubspot.communication_preferences import (
    ApiException,
    PublicUpdateSubscriptionStatusRequest,
)

from hsagency.sandbox import Sandbox

EMAIL = "ann@example.com"


def wish(subscription_id: str) -> PublicUpdateSubscriptionStatusRequest:
    return PublicUpdateSubscriptionStatusRequest(
        email_address=EMAIL,
        subscription_id=subscription_id,
        legal_basis="CONSENT_WITH_NOTICE",
        legal_basis_explanation="She asked for it.",
    )


def test_an_address_is_subscribed_and_unsubscribed(hubspot: HubSpot) -> None:
    preferences = hubspot.communication_preferences
    kinds = preferences.definition_api.get_page().subscription_definitions
    assert [one.is_internal for one in kinds] == [False, False, True]
    assert kinds[0].created_at < kinds[1].created_at
    answer = preferences.status_api.subscribe(wish(kinds[0].id))
    assert (answer.status, answer.legal_basis) == ("SUBSCRIBED", "CONSENT_WITH_NOTICE")
    found = preferences.status_api.get_email_status(EMAIL)
    assert found.recipient == EMAIL
    assert [one.status for one in found.subscription_statuses] == [
        "SUBSCRIBED",
        "NOT_SUBSCRIBED",
        "NOT_SUBSCRIBED",
    ]
    assert preferences.status_api.unsubscribe(wish(kinds[0].id)).status == "NOT_SUBSCRIBED"


def test_what_goes_wrong_is_an_api_exception(
    sandbox: Sandbox, hubspot: HubSpot, connect_official: Callable[[str], HubSpot]
) -> None:
    status = hubspot.communication_preferences.status_api
    status.unsubscribe(wish("610001"))
    scopes = ["communication_preferences.read"]
    token = sandbox.issue(sandbox.portals[0].portal_id, scopes=scopes).token
    reader = connect_official(token).communication_preferences
    assert len(reader.definition_api.get_page().subscription_definitions) == 3
    for expected, attempt in (
        (400, lambda: status.subscribe(wish("610001"))),  # she has opted out
        (400, lambda: status.get_email_status("ann")),
        (404, lambda: status.subscribe(wish("7"))),
        (403, lambda: reader.status_api.unsubscribe(wish("610001"))),
    ):
        with pytest.raises(ApiException) as caught:
            attempt()
        assert caught.value.status == expected
        assert "correlationId" in caught.value.body


def test_version_4_is_reached_by_its_path(hubspot: HubSpot) -> None:
    """The client has no class for it, but a call for any path."""
    path = f"/communication-preferences/v4/statuses/{EMAIL}"
    query = {"channel": "EMAIL"}
    hubspot.api_request({"method": "POST", "path": f"{path}/unsubscribe-all", "qs": query})
    found = hubspot.api_request({"path": path, "qs": query}).json()["results"]
    assert {one["status"] for one in found} == {"UNSUBSCRIBED"}
