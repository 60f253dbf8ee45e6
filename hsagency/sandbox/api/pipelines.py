"""Pipelines and their stages."""

from __future__ import annotations

from dataclasses import replace

from hsagency.sandbox.bodies import text_of
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.definitions import ObjectType
from hsagency.sandbox.contents.pipelines import Pipeline, Pipelines, Stage, placed
from hsagency.sandbox.contents.staging import (
    NO_STAGE,
    metadata_of,
    order_of,
    pipeline_from,
    plain,
    refuse_elsewhere,
    refuse_label_twice,
    refuse_none_closed,
    refuse_used,
    restaged,
    stage_from,
)
from hsagency.sandbox.routes import Endpoint, Handler, Outcome, Route, routes_at
from hsagency.sandbox.wire import ApiError, JsonObject, invalid, not_found

READ, WRITE = ("crm.schemas.{type}.read",), ("crm.schemas.{type}.write",)
# Since this version no parameter is needed, or able, to protect stages that records are in.
PROTECTED_SINCE = "2026-09"
_WRITABLE = frozenset({"deals", "tickets"})
_READABLE = _WRITABLE | {"contacts", "companies"}


def list_pipelines(call: Call) -> Outcome:
    """Return all pipelines of a type in one answer, in no order to rely on."""
    seen = (one.seen(call.as_of) for one in _known(call).of(_kind(call)).values())
    return 200, {"results": [one.shown() for one in seen if one]}


def create_pipeline(call: Call) -> Outcome:
    """Add a pipeline with its stages."""
    known, kind = _known(call), _kind(call)
    made = pipeline_from(known, kind, call.content, at=call.at, held=None)
    return 201, _put(call, made, action="CREATE", answer=_echo(made, call.content))


def read_pipeline(call: Call) -> Outcome:
    """Return one pipeline with its stages."""
    held = _pipeline(call)
    seen = held and held.seen(call.as_of)
    return (200, seen.shown()) if seen else _nothing(call)


def update_pipeline(call: Call) -> Outcome:
    """Change a pipeline's label or place; its stages change on paths of their own."""
    held, content = _pipeline(call), call.content
    if held is None:
        return 404, None
    label = text_of(content, "label", held.label)
    refuse_label_twice([one for one in _held(call).values() if one is not held], label)
    made = replace(
        held,
        label=label,
        display_order=order_of(content, held.display_order),
        stages=tuple(replace(one, updated_at=call.at) for one in held.stages),
        updated_at=call.at,
    )
    return 200, _put(call, made, action="UPDATE", answer=made.shown())


def replace_pipeline(call: Call) -> Outcome:
    """Describe a pipeline anew: stages that are not named again are gone for good."""
    known, kind, held = _known(call), _kind(call), _pipeline(call)
    if held is None:
        return _nothing(call)
    made = pipeline_from(known, kind, call.content, at=call.at, held=held)
    _refuse_used(call, [one.stage_id for one in held.stages if not made.stage(one.stage_id)])
    return 200, _put(call, made, action="REPLACE", answer=_echo(made, call.content))


def delete_pipeline(call: Call) -> Outcome:
    """Delete a pipeline for good, unless records are in it."""
    held = _pipeline(call)
    if held is None:
        raise not_found(f"No pipeline found with id {call.values['pipeline']}")
    _refuse_used(call, [one.stage_id for one in held.stages])
    _known(call).drop(_kind(call), held)
    _note(call, held.pipeline_id, action="DELETE", made=None)
    return 204, None


def pipeline_audit(call: Call) -> Outcome:
    """Return all changes of a pipeline, newest first; they outlive it."""
    found = _known(call).audit(_kind(call).type_id, call.values["pipeline"])
    if found is None and _pipeline(call) is None:
        return _nothing(call)
    return 200, {"results": found or []}


def list_stages(call: Call) -> Outcome:
    """Return all stages of a pipeline."""
    held = _pipeline(call)
    seen = held and held.seen(call.as_of)
    if not seen:
        raise ApiError(404, f"No pipeline found with id {call.values['pipeline']}")
    return 200, {"results": [one.shown() for one in seen.stages]}


def create_stage(call: Call) -> Outcome:
    """Add a stage."""
    held, content = _pipeline(call), call.content
    if held is None:
        return _nothing(call)
    refuse_elsewhere(
        (one for one in _held(call).values() if one is not held), text_of(content, "stageId", "")
    )
    made = stage_from(_known(call), _kind(call), content, at=call.at, beside=held.stages)
    return 201, _put_stage(
        call, held, made, action="CREATE", rest=held.stages, sent=metadata_of(content)
    )


def read_stage(call: Call) -> Outcome:
    """Return one stage."""
    held = _pipeline(call)
    stage = _stage(call, held.seen(call.as_of) if held else None)
    return (200, stage.shown()) if stage else _nothing(call)


def update_stage(call: Call) -> Outcome:
    """Change what is sent of a stage."""
    return _restage(call, action="UPDATE") or (404, None)


def replace_stage(call: Call) -> Outcome:
    """Describe a stage anew; metadata that is not sent stays all the same."""
    content = call.content
    for name in ("label", "displayOrder"):
        if content.get(name) is None:
            raise invalid(f"Invalid input JSON: Some required fields were not set: [{name}]")
    return _restage(call, action="REPLACE") or _nothing(call)


def delete_stage(call: Call) -> Outcome:
    """Delete a stage for good; HubSpot is content with a stage that is not there."""
    held = _pipeline(call)
    stage = _stage(call, held)
    if held is None or stage is None:
        return 204, None
    rest = tuple(one for one in held.stages if one is not stage)
    if not rest:
        raise plain(NO_STAGE)
    refuse_none_closed(_kind(call), rest, held.pipeline_id)
    _refuse_used(call, [stage.stage_id])
    _known(call).put(_kind(call), replace(held, stages=rest, updated_at=call.at))
    _note(call, "stages", stage.stage_id, action="DELETE", made=None)
    return 204, None


def stage_audit(call: Call) -> Outcome:
    """
    Return all changes of a stage, newest first; they outlive it.

    The pipeline in the path does not matter: HubSpot's own client leaves it out.
    """
    stage_id = call.values["stage"]
    found = _known(call).audit(_kind(call).type_id, "stages", stage_id)
    if found is None and not any(one.stage(stage_id) for one in _held(call).values()):
        return _nothing(call)
    return 200, {"results": found or []}


def pipelines_routes() -> list[Route]:
    """Return the routes of this module."""
    reads: dict[str, dict[str, Handler]] = {
        "": {"GET": list_pipelines},
        "/{pipeline}": {"GET": read_pipeline},
        "/{pipeline}/audit": {"GET": pipeline_audit},
        "/{pipeline}/stages": {"GET": list_stages},
        "/{pipeline}/stages/{stage}": {"GET": read_stage},
        "/{pipeline}/stages/{stage}/audit": {"GET": stage_audit},
    }
    writes: dict[str, dict[str, Handler]] = {
        "": {"POST": create_pipeline},
        "/{pipeline}": {
            "PATCH": update_pipeline, "PUT": replace_pipeline, "DELETE": delete_pipeline
        },
        "/{pipeline}/stages": {"POST": create_stage},
        "/{pipeline}/stages/{stage}": {
            "PATCH": update_stage, "PUT": replace_stage, "DELETE": delete_stage
        },
    }  # fmt: skip
    return routes_at(
        "/crm/v3/pipelines/{type}",
        "/crm/pipelines/{dated}/{type}",
        tails={
            tail: {method: Endpoint(one, READ) for method, one in handlers.items()}
            | {method: Endpoint(one, WRITE) for method, one in writes.get(tail, {}).items()}
            for tail, handlers in reads.items()
        },
    )


def _known(call: Call) -> Pipelines:
    return call.state.part(Pipelines)


def _kind(call: Call) -> ObjectType:
    """Return the type of the path, which must be one that has pipelines."""
    kind, reads = call.kind, call.request.method in {"GET", "HEAD"}
    if kind.custom or kind.name in (_READABLE if reads else _WRITABLE):
        return kind
    verb = "have no" if kind.name not in _READABLE else "cannot change their"
    raise invalid(f"Object type {kind.type_id} ({kind.name}) {verb} pipelines over the API")


def _held(call: Call) -> dict[str, Pipeline]:
    return _known(call).of(_kind(call))


def _pipeline(call: Call) -> Pipeline | None:
    return _held(call).get(call.values["pipeline"])


def _stage(call: Call, pipeline: Pipeline | None) -> Stage | None:
    return pipeline.stage(call.values["stage"]) if pipeline else None


def _nothing(call: Call) -> Outcome:
    """Return the 404 of what is not there: empty to who asks for JSON, a page to others."""
    if "application/json" in call.request.headers.get("accept", ""):
        return 404, None
    raise ApiError(404, "Not Found", html=True)


def _refuse_used(call: Call, stage_ids: list[str]) -> None:
    """Protect stages that records are in; older versions do so only when they are told to."""
    kind = _kind(call)
    named = "validateReferencesBeforeDelete", "validateDealStageUsagesBeforeDelete"
    asked = any(call.flag(name) for name in named)
    if asked or (call.version[:1].isdigit() and call.version >= PROTECTED_SINCE):
        refuse_used(_known(call).users(kind, stage_ids))


def _put(call: Call, made: Pipeline, *, action: str, answer: JsonObject) -> JsonObject:
    _known(call).put(_kind(call), made)
    _note(call, made.pipeline_id, action=action, made=made.shown())
    return answer


def _restage(call: Call, *, action: str) -> Outcome | None:
    held, content = _pipeline(call), call.content
    stage = _stage(call, held)
    if held is None or stage is None:
        return None
    rest = tuple(one for one in held.stages if one is not stage)
    made = restaged(_kind(call), stage, content, at=call.at, beside=rest)
    refuse_none_closed(_kind(call), (*rest, made), held.pipeline_id)
    sent = stage.metadata | metadata_of(content)
    return 200, _put_stage(call, held, made, action=action, rest=rest, sent=sent)


def _put_stage(  # what is answered is what was sent, whatever HubSpot made of it
    call: Call,
    held: Pipeline,
    made: Stage,
    *,
    action: str,
    rest: tuple[Stage, ...],
    sent: dict[str, str],
) -> JsonObject:
    changed = replace(held, stages=placed(rest, made), updated_at=call.at)
    _known(call).put(_kind(call), changed)
    kept = changed.stage(made.stage_id) or made
    _note(call, "stages", made.stage_id, action=action, made=kept.shown())
    return kept.shown(sent)


def _echo(made: Pipeline, content: JsonObject) -> JsonObject:
    """Return a new pipeline with the metadata of its stages as they were sent."""
    sent = {one["label"]: metadata_of(one) for one in content["stages"]}
    stages = [one.shown(sent[one.label]) for one in made.stages]
    return {**made.shown(), "stages": stages}


def _note(call: Call, *ids: str, action: str, made: JsonObject | None) -> None:
    _known(call).note(
        _kind(call).type_id,
        *ids,
        action=action,
        made=made,
        at=call.at,
        user=call.credential.user_id,
    )
