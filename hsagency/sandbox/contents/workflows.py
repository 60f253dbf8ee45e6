"""
The workflows of one portal.

Workflows are kept, changed and switched; none of them runs. HubSpot refuses a change that was
made from an older revision of a workflow than the present one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from hsagency.sandbox.contents.lists import any_of
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.portals import FOUNDED
from hsagency.sandbox.wire import JsonObject, is_number, not_found, stamp

FIRST_FLOW, FLOW_STEP, FIRST_WORKFLOW = 1_400_001, 17, 5_001


@dataclass(slots=True)
class Flow:
    """
    One workflow; `content` is what its maker gave, `workflow_id` what the old API called it.

    `revision` counts its changes.
    """

    flow_id: int
    created_at: str
    updated_at: str
    content: JsonObject = field(repr=False)
    revision: int = 1
    workflow_id: int | None = None

    def shown(self) -> JsonObject:
        """Return the whole workflow as HubSpot answers it."""
        return {
            **self.content,
            "id": str(self.flow_id),
            "revisionId": str(self.revision),
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "crmObjectCreationStatus": "COMPLETE",
            "nextAvailableActionId": str(1 + max([0, *self._action_ids()])),
        }

    def listed(self) -> JsonObject:
        """Return what a list of workflows says about it."""
        whole = self.shown()
        names = ("id", "isEnabled", "flowType", "revisionId", "objectTypeId", "createdAt")
        content = {name: whole[name] for name in (*names, "updatedAt")}
        return content | {name: whole[name] for name in ("name", "uuid") if name in whole}

    def change(self, content: JsonObject, *, at: str) -> None:
        """Replace what the maker gave, in a new revision."""
        self.content, self.updated_at, self.revision = content, at, self.revision + 1

    def _action_ids(self) -> list[int]:
        ids = (str(action.get("actionId")) for action in self.content["actions"])
        return [int(id_) for id_ in ids if is_number(id_)]


class FlowBook:
    """The workflows of one portal; the caller holds the portal's lock."""

    def __init__(self, state: PortalState) -> None:
        del state  # all portals start with the same workflows, as they do with the same ids
        self._flows: dict[int, Flow] = {}
        self._next = FIRST_FLOW
        for number, (name, stage, enabled) in enumerate(_FIRST):
            at = stamp(FOUNDED + timedelta(days=30 * number))
            self.create(_first_flow(name, stage, enabled=enabled), at=at)
        for number, flow in enumerate(tuple(self._flows.values())[:2]):
            flow.workflow_id = FIRST_WORKFLOW + number

    def create(self, content: JsonObject, *, at: str) -> Flow:
        """Add a workflow; ids are not used again."""
        made = Flow(self._next, created_at=at, updated_at=at, content=content)
        self._flows[made.flow_id] = made
        self._next += FLOW_STEP
        return made

    def get(self, flow_id: str, *, as_of: str | None = None) -> Flow:
        """Return a workflow, or refuse with 404."""
        found = self._flows.get(int(flow_id)) if is_number(flow_id) else None
        if found is None or (as_of is not None and found.created_at > as_of):
            raise not_found(f"Flow {flow_id} does not exist.")
        return found

    def by_workflow_id(self, workflow_id: str) -> Flow:
        """Return the workflow that the old API called so, or refuse with 404."""
        for flow in self._flows.values():
            if flow.workflow_id is not None and str(flow.workflow_id) == workflow_id:
                return flow
        raise not_found(f"Workflow {workflow_id} does not exist.")

    def listed(self, *, as_of: str | None = None) -> list[Flow]:
        """Return all workflows in the order of ids."""
        return [one for one in self._flows.values() if as_of is None or one.created_at <= as_of]

    def delete(self, flow: Flow) -> None:
        """Remove a workflow; the API cannot bring it back."""
        del self._flows[flow.flow_id]


def _first_flow(name: str, stage: str, *, enabled: bool) -> JsonObject:
    """Return a workflow that sets one property of the contacts in a lifecycle stage."""
    return {
        "type": "CONTACT_FLOW",
        "flowType": "WORKFLOW",
        "objectTypeId": "0-1",
        "name": name,
        "isEnabled": enabled,
        "startActionId": "1",
        "actions": [
            {
                "type": "SINGLE_CONNECTION",
                "actionId": "1",
                "actionTypeId": "0-5",
                "actionTypeVersion": 0,
                "fields": {
                    "property_name": "hs_lead_status",
                    "value": {"type": "STATIC_VALUE", "staticValue": "OPEN"},
                },
            }
        ],
        "enrollmentCriteria": {
            "type": "LIST_BASED",
            "shouldReEnroll": False,
            "unEnrollObjectsNotMeetingCriteria": False,
            "reEnrollmentTriggersFilterBranches": [],
            "listFilterBranch": any_of("lifecyclestage", stage),
        },
        "timeWindows": [],
        "blockedDates": [],
        "customProperties": {},
        "dataSources": [],
        "suppressionListIds": [],
        "canEnrollFromSalesforce": False,
    }


_FIRST = (
    ("Welcome new subscribers", "subscriber", True),
    ("Hand qualified leads to sales", "salesqualifiedlead", True),
    ("Win back old customers", "customer", False),
)
