"""Workflows over HTTP: list, read, create, replace, switch and delete."""

from __future__ import annotations

from collections.abc import Callable

from hsagency.sandbox.api.many import answer_each
from hsagency.sandbox.api.paging import page_of
from hsagency.sandbox.bodies import demand, inputs, objects, one_of, text
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.workflows import Flow, FlowBook
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import ApiError, JsonObject, invalid, not_found

# One scope for all methods: a token that reads workflows can switch them on (facts 6).
SCOPE = ("automation",)
BETAS = ("2026-09-beta",)
PAGE_DEFAULT = PAGE_MAX = 100
ACTIONS_MAX = 1000
TYPES, FLOW_TYPES = ("CONTACT_FLOW", "PLATFORM_FLOW"), ("WORKFLOW", "ACTION_SET", "UNKNOWN")
# What a workflow has although its maker did not say so.
_EMPTY: JsonObject = {
    "timeWindows": [],
    "blockedDates": [],
    "customProperties": {},
    "dataSources": [],
}
_CONTACTS: JsonObject = {"suppressionListIds": [], "canEnrollFromSalesforce": False}
# What a change cannot touch, whether the body has it or not.
_KEPT = ("type", "flowType", "objectTypeId", "dataSources", "uuid")
_OURS = (
    "id",
    "revisionId",
    "createdAt",
    "updatedAt",
    "crmObjectCreationStatus",
    "nextAvailableActionId",
)


def list_flows(call: Call) -> Outcome:
    """Return a page of workflows, each in short."""
    found, paging = page_of(
        call,
        _book(call).listed(as_of=call.as_of),
        key=lambda one: (one.flow_id,),
        default=PAGE_DEFAULT,
        most=PAGE_MAX,
    )
    return 200, {"results": [one.listed() for one in found]} | paging


def create_flow(call: Call) -> Outcome:
    """Add a workflow."""
    content = call.content
    demand(content, "type", "flowType", "objectTypeId", "isEnabled", "actions")
    one_of(content, "type", TYPES)
    one_of(content, "flowType", FLOW_TYPES)
    call.state.types.find(text(content, "objectTypeId"))
    return 201, _book(call).create(_judged(content), at=call.at).shown()


def read_flow(call: Call) -> Outcome:
    """Return one workflow as a whole."""
    return 200, _book(call).get(call.values["flowId"], as_of=call.as_of).shown()


def replace_flow(call: Call) -> Outcome:
    """Replace a workflow, from its present revision only; `isEnabled` switches it."""
    flow, content = _book(call).get(call.values["flowId"]), call.content
    demand(content, "revisionId", "type", "isEnabled", "actions")
    if content["type"] != flow.content["type"]:
        raise invalid(
            f"The type of flow {flow.flow_id} is {flow.content['type']} and cannot change"
        )
    if str(content["revisionId"]) != str(flow.revision):
        raise ApiError(
            409,
            f"Flow {flow.flow_id} was changed: its revision is {flow.revision}, not "
            f"{content['revisionId']}",
            category="CONFLICT",
        )
    kept = {name: flow.content[name] for name in _KEPT if name in flow.content}
    flow.change(_judged(content | kept), at=call.at)
    return 200, flow.shown()


def delete_flow(call: Call) -> Outcome:
    """Remove a workflow for good."""
    book = _book(call)
    book.delete(book.get(call.values["flowId"]))
    return 204, None


def read_flows(call: Call) -> Outcome:
    """Return many workflows as a whole; 207 when some of them do not exist."""
    book = _book(call)

    def read(asked: JsonObject) -> JsonObject:
        one_of(asked, "type", ("FLOW_ID",))
        return book.get(text(asked, "flowId"), as_of=call.as_of).shown()

    return _each(call, read)


def map_workflow_ids(call: Call) -> Outcome:
    """Return which workflow of the old API became which of this one, asked from either side."""
    book = _book(call)

    def read(asked: JsonObject) -> JsonObject:
        if one_of(asked, "type", ("FLOW_ID", "WORKFLOW_ID")) == "FLOW_ID":
            flow = book.get(text(asked, "flowMigrationStatuses"))
        else:
            flow = book.by_workflow_id(text(asked, "flowMigrationStatusForClassicWorkflows"))
        return _mapping(flow)

    return _each(call, read)


def workflows_routes() -> list[Route]:
    """Return the routes of this module."""
    return routes_at(
        "/automation/v4",
        "/automation/{dated}",
        tails={
            "/flows": {"GET": Endpoint(list_flows, SCOPE), "POST": Endpoint(create_flow, SCOPE)},
            "/flows/batch/read": {"POST": Endpoint(read_flows, SCOPE)},
            "/flows/{flowId}": {
                "GET": Endpoint(read_flow, SCOPE),
                "PUT": Endpoint(replace_flow, SCOPE),
                "DELETE": Endpoint(delete_flow, SCOPE),
            },
            "/workflow-id-mappings/batch/read": {"POST": Endpoint(map_workflow_ids, SCOPE)},
        },
        dated=BETAS,
    )


def _book(call: Call) -> FlowBook:
    return call.state.part(FlowBook)


def _judged(content: JsonObject) -> JsonObject:
    """Return what makes up a workflow, or refuse it."""
    if not isinstance(content["isEnabled"], bool):
        raise invalid("Invalid input JSON: 'isEnabled' must be true or false")
    ids = []
    for action in objects(content, "actions", most=ACTIONS_MAX):
        demand(action, "actionId", "type")
        ids.append(action["actionId"])
    if len(ids) != len(set(map(str, ids))):
        raise invalid("Two actions of a flow cannot have the same actionId")
    start = content.get("startActionId")
    if start is not None and start not in ids:
        raise invalid(f"startActionId {start!r} is none of the flow's actions")
    usual = _EMPTY | (_CONTACTS if content["type"] == "CONTACT_FLOW" else {})
    return usual | {name: value for name, value in content.items() if name not in _OURS}


def _each(call: Call, read: Callable[[JsonObject], JsonObject]) -> Outcome:
    return answer_each(
        call,
        inputs(call.content),
        lambda asked: [read(asked)],
        context=lambda asked: {
            name: [str(value)] for name, value in asked.items() if name != "type"
        },
    )


def _mapping(flow: Flow) -> JsonObject:
    if flow.workflow_id is None:
        raise not_found(f"Flow {flow.flow_id} was never a workflow of the old API.")
    return {"flowId": flow.flow_id, "workflowId": flow.workflow_id}
