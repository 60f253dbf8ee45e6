"""The official client's classes for pipelines and stages (facts 7)."""

from __future__ import annotations

import json

import pytest
from hubspot import HubSpot
from hubspot.crm.deals import SimplePublicObjectInputForCreate
from hubspot.crm.pipelines import (
    ApiException,
    PipelineInput,
    PipelinePatchInput,
    PipelineStageInput,
    PipelineStagePatchInput,
)

from hsagency.sandbox import Sandbox


def stage(label: str, order: int, probability: str) -> PipelineStageInput:
    return PipelineStageInput(
        label=label, display_order=order, metadata={"probability": probability}
    )


RENEWALS = PipelineInput(
    label="Renewals", display_order=3, stages=[stage("Open", 0, "0.5"), stage("Won", 1, "1.0")]
)


def test_a_pipeline_is_created_read_changed_replaced_and_archived(hubspot: HubSpot) -> None:
    pipelines = hubspot.crm.pipelines.pipelines_api
    made = pipelines.create("deals", RENEWALS)
    assert (made.label, made.display_order, made.archived) == ("Renewals", 3, False)
    pipelines.update("deals", made.id, PipelinePatchInput(label="Extensions"))
    found = pipelines.get_by_id("deals", made.id)
    assert (found.label, [one.label for one in found.stages]) == ("Extensions", ["Open", "Won"])
    assert found.stages[1].metadata == {"isClosed": "true", "probability": "1.0"}
    replaced = pipelines.replace(
        "deals",
        made.id,
        PipelineInput(label="Renewals", display_order=0, stages=[stage("New", 0, "0.1")]),
        validate_references_before_delete=True,
    )
    assert [one.label for one in replaced.stages] == ["New"]
    assert {one.id for one in pipelines.get_all("deals").results} == {"default", made.id}
    pipelines.archive("deals", made.id, validate_deal_stage_usages_before_delete=True)
    assert [one.id for one in pipelines.get_all("deals").results] == ["default"]


def test_a_stage_is_created_read_changed_replaced_and_archived(hubspot: HubSpot) -> None:
    stages = hubspot.crm.pipelines.pipeline_stages_api
    made = stages.create("deals", "default", stage("Verbal yes", 9, "0.95"))
    found = stages.get_by_id("deals", "default", made.id)
    assert (found.display_order, found.write_permissions) == (9, "CRM_PERMISSIONS_ENFORCEMENT")
    stages.update("deals", "default", made.id, PipelineStagePatchInput(label="Said yes"))
    stages.replace("deals", "default", made.id, stage("Agreed", 10, "0.9"))
    assert [one.label for one in stages.get_all("deals", "default").results][-1] == "Agreed"
    stages.archive("deals", "default", made.id)
    assert len(stages.get_all("deals", "default").results) == 6


def test_audits_tell_who_changed_what(hubspot: HubSpot, sandbox: Sandbox) -> None:
    """The client sends no pipeline with a stage's audit; that HubSpot needs none is assumed."""
    pipeline = hubspot.crm.pipelines.pipelines_api.create("deals", RENEWALS)
    first = pipeline.stages[0].id
    hubspot.crm.pipelines.pipeline_stages_api.update(
        "deals", pipeline.id, first, PipelineStagePatchInput(label="Opened")
    )
    audit = hubspot.crm.pipelines.pipeline_audits_api.get_audit("deals", pipeline.id).results
    assert [(one.action, one.identifier) for one in audit] == [("CREATE", pipeline.id)]
    assert audit[0].portal_id == sandbox.portals[0].portal_id
    audits = hubspot.crm.pipelines.pipeline_stage_audits_api
    assert [one.action for one in audits.get_audit("deals", first).results] == ["UPDATE"]
    with pytest.raises(ApiException) as caught:
        audits.get_audit("deals", "none")
    assert caught.value.status == 404
    with pytest.raises(ApiException) as caught:
        hubspot.crm.pipelines.pipeline_audits_api.get_audit("deals", "none")
    assert caught.value.status == 404


def test_a_pipeline_that_deals_are_in_is_not_archived(hubspot: HubSpot) -> None:
    pipelines = hubspot.crm.pipelines.pipelines_api
    made = pipelines.create("deals", RENEWALS)
    properties = {"dealname": "x", "pipeline": made.id, "dealstage": made.stages[0].id}
    deal = hubspot.crm.deals.basic_api.create(
        SimplePublicObjectInputForCreate(properties=properties, associations=[])
    )
    with pytest.raises(ApiException) as caught:
        pipelines.archive("deals", made.id, validate_references_before_delete=True)
    body = json.loads(caught.value.body)
    assert (caught.value.status, body["subCategory"]) == (400, "PipelineError.STAGE_ID_IN_USE")
    assert body["context"]["objectIds"] == [f"[{deal.id}]"]


def test_what_is_wrong_or_not_there_is_refused(hubspot: HubSpot) -> None:
    pipelines = hubspot.crm.pipelines.pipelines_api
    stages = hubspot.crm.pipelines.pipeline_stages_api
    for status, ask in (
        (404, lambda: pipelines.get_by_id("deals", "none")),
        (404, lambda: pipelines.archive("deals", "none")),
        (404, lambda: pipelines.update("deals", "none", PipelinePatchInput(label="x"))),
        (404, lambda: pipelines.replace("deals", "none", RENEWALS)),
        (404, lambda: stages.get_all("deals", "none")),
        (404, lambda: stages.get_by_id("deals", "default", "none")),
        (404, lambda: stages.create("deals", "none", stage("x", 0, "0.5"))),
        (400, lambda: stages.create("deals", "default", stage("closed WON", 0, "0.5"))),
        (400, lambda: stages.create("deals", "default", stage("x", 0, "7"))),
        (400, lambda: stages.archive("tickets", "0", "4")),
        (400, lambda: pipelines.get_all("line_items")),
    ):
        with pytest.raises(ApiException) as caught:
            ask()
        assert caught.value.status == status
