"""The official client's forms class against the sandbox's forms (facts 7)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hubspot import HubSpot
from hubspot.marketing.forms import (
    ApiException,
    HubSpotFormDefinition,
    HubSpotFormDefinitionCreateRequest,
    HubSpotFormDefinitionPatchRequest,
)

from hsagency.sandbox import Sandbox
from tests.sandbox.conftest import NOON


def first(hubspot: HubSpot) -> HubSpotFormDefinition:
    return hubspot.marketing.forms.forms_api.get_page(limit=1).results[0]


def like(form: HubSpotFormDefinition, name: str) -> dict[str, object]:
    """Return what a form like this one is made of."""
    return {
        "form_type": "hubspot",
        "name": name,
        "created_at": NOON,
        "updated_at": NOON,
        "archived": False,
        "field_groups": form.field_groups,
        "configuration": form.configuration,
        "display_options": form.display_options,
        "legal_consent_options": form.legal_consent_options,
    }


def test_forms_are_listed_page_by_page(hubspot: HubSpot) -> None:
    forms = hubspot.marketing.forms.forms_api
    page = forms.get_page(limit=2, form_types=["all"])
    rest = forms.get_page(limit=2, form_types=["all"], after=page.paging.next.after)
    names = [one.name for one in page.results + rest.results]
    assert names == ["Contact us", "Newsletter", "#footer-signup"]
    assert rest.paging is None or rest.paging.next is None
    field = page.results[0].field_groups[0].fields[0]
    assert (field.name, field.field_type, field.required) == ("email", "email", True)
    assert page.results[0].configuration.post_submit_action.type == "thank_you"
    assert page.results[0].legal_consent_options.type == "none"


def test_a_form_is_made_read_changed_replaced_and_archived(hubspot: HubSpot) -> None:
    forms = hubspot.marketing.forms.forms_api
    template = first(hubspot)
    made = forms.create(HubSpotFormDefinitionCreateRequest(**like(template, "Webinar")))
    assert (made.name, made.created_at, made.archived) == ("Webinar", NOON, False)
    assert forms.get_by_id(made.id) == made
    changed = forms.update(made.id, HubSpotFormDefinitionPatchRequest(name="Talk"))
    assert (changed.name, changed.field_groups) == ("Talk", made.field_groups)
    whole = HubSpotFormDefinition(id=made.id, **like(template, "Talks"))
    assert forms.replace(made.id, whole).name == "Talks"
    assert forms.archive(made.id) is None
    assert forms.get_by_id(made.id, archived=True).archived
    assert [one.id for one in forms.get_page(archived=True).results] == [made.id]


def test_what_goes_wrong_is_an_api_exception(
    sandbox: Sandbox, hubspot: HubSpot, connect_official: Callable[[str], HubSpot]
) -> None:
    forms = hubspot.marketing.forms.forms_api
    reader = connect_official(sandbox.issue(sandbox.portals[0].portal_id, scopes=[]).token)
    for status, attempt in (
        (404, lambda: forms.get_by_id("00000000-0000-4000-8000-000000000000")),
        (404, lambda: forms.archive("7")),
        (400, lambda: forms.create(HubSpotFormDefinitionCreateRequest(name="Webinar"))),
        (400, lambda: forms.get_page(limit=1000)),
        (403, lambda: reader.marketing.forms.forms_api.get_page()),
    ):
        with pytest.raises(ApiException) as caught:
            attempt()
        assert caught.value.status == status
        assert "correlationId" in caught.value.body
