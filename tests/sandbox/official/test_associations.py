"""HubSpot's own client on associations: version 4, its labels, and version 3 (facts 5.1 and 7)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hubspot import HubSpot
from hubspot.crm.associations import ApiException as OldException
from hubspot.crm.associations import (
    BatchInputPublicAssociation,
    BatchInputPublicObjectId,
    PublicAssociation,
)
from hubspot.crm.associations import PublicObjectId as OldId
from hubspot.crm.associations.v4 import (
    ApiException,
    AssociationSpec,
    BatchInputPublicAssociationMultiArchive,
    BatchInputPublicAssociationMultiPost,
    BatchInputPublicDefaultAssociationMultiPost,
    BatchInputPublicFetchAssociationsBatchRequest,
    PublicAssociationMultiArchive,
    PublicAssociationMultiPost,
    PublicDefaultAssociationMultiPost,
    PublicFetchAssociationsBatchRequest,
    PublicObjectId,
)
from hubspot.crm.associations.v4.schema import ApiException as LabelException
from hubspot.crm.associations.v4.schema import (
    BatchInputPublicAssociationDefinitionConfigurationCreateRequest,
    BatchInputPublicAssociationDefinitionConfigurationUpdateRequest,
    BatchInputPublicAssociationSpec,
    PublicAssociationDefinitionConfigurationCreateRequest,
    PublicAssociationDefinitionConfigurationUpdateRequest,
    PublicAssociationDefinitionCreateRequest,
    PublicAssociationDefinitionUpdateRequest,
    PublicAssociationSpec,
)

from hsagency.sandbox import Sandbox

PLAIN = AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=279)
PAIR = ("contacts", "companies")


def linked(hubspot: HubSpot, contact: str) -> list[str]:
    found = hubspot.crm.associations.v4.basic_api.get_page("contacts", contact, "companies")
    return [one.to_object_id for one in found.results]


def post(contact: str, company: str, *specs: AssociationSpec) -> PublicAssociationMultiPost:
    return PublicAssociationMultiPost(
        types=list(specs), _from=PublicObjectId(id=contact), to=PublicObjectId(id=company)
    )


def test_two_records_are_linked_and_taken_apart(hubspot: HubSpot) -> None:
    basic = hubspot.crm.associations.v4.basic_api
    made = basic.create("contacts", "101", "companies", "201", [PLAIN])
    assert (made.from_object_id, made.to_object_id, made.labels) == ("101", "201", [])
    assert linked(hubspot, "101") == ["101", "201"]
    basic.archive("contacts", "101", "companies", "201")
    assert linked(hubspot, "101") == ["101"]


def test_two_records_are_linked_by_default(hubspot: HubSpot) -> None:
    basic = hubspot.crm.associations.v4.basic_api
    made = basic.create_default("contacts", "101", "companies", "201")
    assert [one.association_spec.association_type_id for one in made.results] == [279, 280]


def test_pages_are_followed_to_the_end(hubspot: HubSpot) -> None:
    basic = hubspot.crm.associations.v4.basic_api
    basic.create_default("contacts", "101", "companies", "201")
    first = basic.get_page("contacts", "101", "companies", limit=1)
    rest = basic.get_page("contacts", "101", "companies", after=first.paging.next.after)
    assert [one.to_object_id for one in rest.results] == ["201"]
    assert rest.paging is None


def test_a_record_that_is_not_there_is_an_api_exception(hubspot: HubSpot) -> None:
    basic = hubspot.crm.associations.v4.basic_api
    with pytest.raises(ApiException) as caught:
        basic.create("contacts", "101", "companies", "999", [PLAIN])
    assert caught.value.status == 400
    assert "One or more associations are invalid" in caught.value.body
    with pytest.raises(ApiException) as caught:
        basic.create_default("contacts", "101", "companies", "999")
    assert caught.value.status == 400
    with pytest.raises(ApiException) as caught:
        basic.get_page("contacts", "999", "companies")
    assert caught.value.status == 404


def test_a_missing_scope_is_an_api_exception(
    sandbox: Sandbox, connect_official: Callable[[str], HubSpot]
) -> None:
    sandbox.set_scopes(sandbox.portals[0].portal_id, ["crm.objects.contacts.read"])
    basic = connect_official(sandbox.portals[0].token).crm.associations.v4.basic_api
    with pytest.raises(ApiException) as caught:
        basic.archive("contacts", "101", "companies", "101")
    assert caught.value.status == 403


def test_batches_link_read_and_take_apart(hubspot: HubSpot) -> None:
    batch = hubspot.crm.associations.v4.batch_api
    made = batch.create(
        *PAIR, BatchInputPublicAssociationMultiPost(inputs=[post("101", "151", PLAIN)])
    )
    assert [one.to_object_id for one in made.results] == ["151"]
    default = PublicDefaultAssociationMultiPost(
        _from=PublicObjectId(id="101"), to=PublicObjectId(id="201")
    )
    batch.create_default(*PAIR, BatchInputPublicDefaultAssociationMultiPost(inputs=[default]))
    read = batch.get_page(
        *PAIR,
        BatchInputPublicFetchAssociationsBatchRequest(
            inputs=[PublicFetchAssociationsBatchRequest(id="101", after="101")]
        ),
    )
    assert [one.to_object_id for one in read.results[0].to] == ["151", "201"]
    archive = PublicAssociationMultiArchive(
        _from=PublicObjectId(id="101"), to=[PublicObjectId(id="151"), PublicObjectId(id="201")]
    )
    batch.archive(*PAIR, BatchInputPublicAssociationMultiArchive(inputs=[archive]))
    assert linked(hubspot, "101") == ["101"]


def test_a_batch_that_fails_in_part_says_so(hubspot: HubSpot) -> None:
    batch = hubspot.crm.associations.v4.batch_api
    made = batch.create(
        *PAIR,
        BatchInputPublicAssociationMultiPost(
            inputs=[post("101", "151", PLAIN), post("101", "999", PLAIN)]
        ),
    )
    assert (made.num_errors, made.errors[0].category) == (1, "VALIDATION_ERROR")
    read = batch.get_page(
        *PAIR,
        BatchInputPublicFetchAssociationsBatchRequest(
            inputs=[PublicFetchAssociationsBatchRequest(id=id_) for id_ in ("101", "999")]
        ),
    )
    assert [one._from.id for one in read.results] == ["101"]
    assert read.errors[0].sub_category == "crm.associations.NO_ASSOCIATIONS_FOUND"


def test_labels_are_made_used_renamed_and_removed(hubspot: HubSpot) -> None:
    definitions = hubspot.crm.associations.v4.schema.definitions_api
    made = definitions.create(
        *PAIR,
        PublicAssociationDefinitionCreateRequest(
            name="boss", label="Boss of", inverse_label="Led by"
        ),
    )
    assert [one.label for one in made.results] == ["Boss of", "Led by"]
    type_id = made.results[0].type_id
    own = AssociationSpec(association_category="USER_DEFINED", association_type_id=type_id)
    labelled = hubspot.crm.associations.v4.basic_api.create(
        "contacts", "101", "companies", "101", [own]
    )
    assert labelled.labels == ["Boss of"]
    definitions.update(
        *PAIR,
        PublicAssociationDefinitionUpdateRequest(association_type_id=type_id, label="Chief of"),
    )
    named = {one.type_id: one.label for one in definitions.get_all(*PAIR).results}
    assert (named[279], named[1], named[type_id]) == (None, "Primary", "Chief of")
    hubspot.crm.associations.v4.batch_api.archive_labels(
        *PAIR, BatchInputPublicAssociationMultiPost(inputs=[post("101", "101", own)])
    )
    found = hubspot.crm.associations.v4.basic_api.get_page("contacts", "101", "companies")
    assert {one.type_id for one in found.results[0].association_types} == {279, 1}
    definitions.remove(*PAIR, type_id)
    assert type_id not in {one.type_id for one in definitions.get_all(*PAIR).results}


def test_the_fifty_first_label_is_an_api_exception(hubspot: HubSpot) -> None:
    """Facts 4.2."""
    definitions = hubspot.crm.associations.v4.schema.definitions_api

    def add(number: int) -> None:
        definitions.create(
            *PAIR,
            PublicAssociationDefinitionCreateRequest(name=f"n{number}", label=f"Label {number}"),
        )

    for number in range(50):
        add(number)
    with pytest.raises(LabelException) as caught:
        add(50)
    assert caught.value.status == 437


def test_hubspots_labels_cannot_be_removed(hubspot: HubSpot) -> None:
    with pytest.raises(LabelException) as caught:
        hubspot.crm.associations.v4.schema.definitions_api.remove(*PAIR, 1)
    assert caught.value.status == 400


def test_limits_are_set_changed_listed_and_lifted(hubspot: HubSpot) -> None:
    limits = hubspot.crm.associations.v4.schema.definition_configurations_api
    wish = {"category": "HUBSPOT_DEFINED", "type_id": 279}
    made = limits.batch_create(
        *PAIR,
        BatchInputPublicAssociationDefinitionConfigurationCreateRequest(
            inputs=[
                PublicAssociationDefinitionConfigurationCreateRequest(max_to_object_ids=1, **wish)
            ]
        ),
    )
    assert made.results[0].user_enforced_max_to_object_ids == 1
    with pytest.raises(ApiException) as caught:
        hubspot.crm.associations.v4.basic_api.create_default("contacts", "101", "companies", "201")
    assert caught.value.status == 400
    changed = limits.batch_update(
        *PAIR,
        BatchInputPublicAssociationDefinitionConfigurationUpdateRequest(
            inputs=[
                PublicAssociationDefinitionConfigurationUpdateRequest(max_to_object_ids=5, **wish)
            ]
        ),
    )
    assert changed.results[0].user_enforced_max_to_object_ids == 5
    assert limits.get_all().results == limits.get_all_between_two_object_types(*PAIR).results
    limits.batch_remove(
        *PAIR, BatchInputPublicAssociationSpec(inputs=[PublicAssociationSpec(**wish)])
    )
    assert limits.get_all().results == []


def test_a_limit_of_another_pair_fails_in_part(hubspot: HubSpot) -> None:
    limits = hubspot.crm.associations.v4.schema.definition_configurations_api
    made = limits.batch_create(
        *PAIR,
        BatchInputPublicAssociationDefinitionConfigurationCreateRequest(
            inputs=[
                PublicAssociationDefinitionConfigurationCreateRequest(
                    max_to_object_ids=1, category="HUBSPOT_DEFINED", type_id=4
                )
            ]
        ),
    )
    assert (made.results, made.num_errors) == ([], 1)


def test_a_report_on_usage_is_asked_for(hubspot: HubSpot, sandbox: Sandbox) -> None:
    report = hubspot.crm.associations.v4.report_api
    user = sandbox.portals[0].credential.user_id
    asked = report.request(user)
    assert (asked.user_id, "@" in asked.user_email) == (user, True)
    with pytest.raises(ApiException) as caught:
        report.request(7)
    assert caught.value.status == 404


def old_inputs(*pairs: tuple[str, str]) -> BatchInputPublicAssociation:
    return BatchInputPublicAssociation(
        inputs=[
            PublicAssociation(_from=OldId(id=a), to=OldId(id=b), type="contact_to_deal")
            for a, b in pairs
        ]
    )


def test_version_three_links_reads_and_takes_apart(hubspot: HubSpot) -> None:
    batch = hubspot.crm.associations.batch_api
    ids = BatchInputPublicObjectId(inputs=[OldId(id="101")])
    made = batch.create("contacts", "deals", old_inputs(("101", "151")))
    assert [one.to.id for one in made.results] == ["151"]
    read = batch.read("contacts", "deals", ids)
    assert [(one.id, one.type) for one in read.results[0].to] == [
        ("101", "contact_to_deal"),
        ("151", "contact_to_deal"),
    ]
    batch.archive("contacts", "deals", old_inputs(("101", "101"), ("101", "151")))
    assert batch.read("contacts", "deals", ids).num_errors == 1


def test_version_three_fails_in_part_and_whole(hubspot: HubSpot) -> None:
    batch = hubspot.crm.associations.batch_api
    made = batch.create("contacts", "deals", old_inputs(("101", "151"), ("101", "999")))
    assert (len(made.results), made.num_errors) == (1, 1)
    with pytest.raises(OldException) as caught:
        batch.archive("contacts", "companies", old_inputs(("101", "101")))
    assert caught.value.status == 400


def test_version_three_lists_its_types(hubspot: HubSpot) -> None:
    found = hubspot.crm.associations.schema.types_api.get_all("deals", "contacts").results
    assert [(one.id, one.name) for one in found] == [("3", "deal_to_contact")]
