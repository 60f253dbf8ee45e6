"""HubSpot's own client on exports: statuses of refusals, facts 4.2; the rest from documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hubspot import HubSpot
from hubspot.crm.exports import (
    ApiException,
    Filter,
    PublicCrmSearchRequest,
    PublicExportListRequest,
    PublicExportViewRequest,
)

from hsagency.sandbox import Sandbox

COMMON: dict[str, Any] = {
    "export_name": "From the client",
    "language": "EN",
    "object_properties": ["email"],
    "export_internal_values_options": ["NAMES"],
    "override_associated_objects_per_definition_per_row_limit": False,
}


def view(**more: Any) -> PublicExportViewRequest:
    given = COMMON | {"format": "CSV", "object_type": "CONTACT"} | more
    return PublicExportViewRequest(export_type="VIEW", **given)


def test_a_view_is_exported_and_its_file_fetched(hubspot: HubSpot, sandbox: Sandbox) -> None:
    """Facts 5.2: the status of an export holds an address from which to fetch it."""
    exports = hubspot.crm.exports.public_exports_api
    made = exports.start(view())
    assert made.links["status"].endswith(f"/tasks/{made.id}/status")
    waiting = exports.get_status(made.id)
    assert (waiting.status, waiting.result) == ("PENDING", None)
    sandbox.clock.advance(60)
    done = exports.get_status(made.id)
    assert done.status == "COMPLETE"
    file = httpx.get(done.result, trust_env=False)
    assert len(file.text.splitlines()) == 13


def test_a_view_is_exported_with_filters(hubspot: HubSpot, sandbox: Sandbox) -> None:
    search = PublicCrmSearchRequest(
        query="", sorts=["-email"], filters=[Filter(property_name="email", operator="HAS_PROPERTY")]
    )
    made = hubspot.crm.exports.public_exports_api.start(view(public_crm_search_request=search))
    sandbox.clock.advance(60)
    done = hubspot.crm.exports.public_exports_api.get_status(made.id)
    _, *lines = httpx.get(done.result, trust_env=False).text.splitlines()
    emails = [line.split(",")[1] for line in lines]
    assert emails == sorted(emails, reverse=True)


def test_a_list_that_is_not_there_is_an_api_exception(hubspot: HubSpot) -> None:
    given = COMMON | {"format": "CSV", "object_type": "CONTACT", "list_id": "999999"}
    with pytest.raises(ApiException) as caught:
        hubspot.crm.exports.public_exports_api.start(
            PublicExportListRequest(export_type="LIST", **given)
        )
    assert caught.value.status == 404


def test_a_format_that_is_not_written_is_an_api_exception(hubspot: HubSpot) -> None:
    with pytest.raises(ApiException) as caught:
        hubspot.crm.exports.public_exports_api.start(view(format="XLSX"))
    assert caught.value.status == 400
    assert "CSV" in caught.value.body


def test_the_status_of_no_export_is_an_api_exception(hubspot: HubSpot) -> None:
    """A 403: an assumption."""
    with pytest.raises(ApiException) as caught:
        hubspot.crm.exports.public_exports_api.get_status(7)
    assert caught.value.status == 403


def test_a_missing_scope_is_an_api_exception(
    sandbox: Sandbox, connect_official: Callable[[str], HubSpot]
) -> None:
    """Facts 4.2: 403 MISSING_SCOPES."""
    sandbox.set_scopes(sandbox.portals[0].portal_id, ["crm.objects.contacts.read"])
    with pytest.raises(ApiException) as caught:
        connect_official(sandbox.portals[0].token).crm.exports.public_exports_api.start(view())
    assert caught.value.status == 403
