"""What a body must say of a pipeline or a stage, and how HubSpot refuses the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from hsagency.sandbox.bodies import demand, text_of, whole_of
from hsagency.sandbox.contents.defining import refused, taken
from hsagency.sandbox.contents.definitions import ObjectType
from hsagency.sandbox.contents.pipelines import Pipeline, Pipelines, Stage, placed
from hsagency.sandbox.contents.stages import Metadata, state_field, stored
from hsagency.sandbox.wire import ApiError, JsonObject, invalid

PIPELINE_ID_MAX, STAGE_ID_MAX = 36, 100
STAGES_MAX = 100  # from HubSpot's help pages
NO_STAGE = "Pipeline must have at least one stage"


class _Labelled(Protocol):
    @property
    def label(self) -> str: ...


def pipeline_from(
    known: Pipelines, kind: ObjectType, content: JsonObject, *, at: str, held: Pipeline | None
) -> Pipeline:
    """Return a pipeline as a body describes it, with its stages, new or in place of another."""
    demand(content, "label")
    pipeline_id = held.pipeline_id if held else _new_pipeline_id(known, kind, content)
    others = [one for one in known.of(kind).values() if one.pipeline_id != pipeline_id]
    label = text_of(content, "label", "")
    refuse_label_twice(others, label)
    given = content.get("stages")
    if not isinstance(given, list) or not given:
        raise plain(NO_STAGE)
    _demand_few(len(given))
    stages: tuple[Stage, ...] = ()
    for one in given:
        if not isinstance(one, dict):
            raise invalid("Invalid input JSON: each stage must be an object")
        stages = placed(stages, _listed_stage(known, kind, one, at=at, held=held, beside=stages))
    theirs = {stage.stage_id for other in others for stage in other.stages}
    if theirs.intersection(stage.stage_id for stage in stages):
        raise _id_taken()
    refuse_none_closed(kind, stages, pipeline_id)
    return Pipeline(
        pipeline_id,
        label,
        order_of(content, 0),
        stages,
        created_at=held.created_at if held else at,
        updated_at=at,
    )


def _demand_few(stages: int) -> None:
    if stages > STAGES_MAX:
        raise invalid(f"A pipeline has at most {STAGES_MAX} stages, not {stages}")


def stage_from(
    known: Pipelines, kind: ObjectType, content: JsonObject, *, at: str, beside: tuple[Stage, ...]
) -> Stage:
    """Return a new stage as a body describes it."""
    _demand_few(len(beside) + 1)
    demand(content, "label")
    label = text_of(content, "label", "")
    _refuse_stage_label_twice(beside, label)
    stage_id = text_of(content, "stageId", None)
    if stage_id is not None:
        refuse_long(stage_id, STAGE_ID_MAX)
        if any(one.stage_id == stage_id for one in beside):
            raise _stage_id_taken(stage_id)
    given = metadata_of(content)
    return Stage(
        stage_id or known.new_id(),
        label,
        order_of(content, 0),
        judged(kind, given),
        created_at=at,
        updated_at=at,
    )


def restaged(
    kind: ObjectType, held: Stage, content: JsonObject, *, at: str, beside: tuple[Stage, ...]
) -> Stage:
    """Return a stage as a body changes it; metadata that is not sent stays."""
    label = text_of(content, "label", held.label)
    _refuse_stage_label_twice(beside, label)
    kept = {key: value for key, value in held.metadata.items() if key != "isClosed"}
    return replace(
        held,
        label=label,
        display_order=order_of(content, held.display_order),
        metadata=judged(kind, kept | metadata_of(content)),
        updated_at=at,
    )


def metadata_of(content: JsonObject) -> Metadata:
    """Return the metadata of a body as text, which is what HubSpot makes of it."""
    given = content.get("metadata") or {}
    if not isinstance(given, dict) or any(isinstance(one, dict | list) for one in given.values()):
        raise invalid("Invalid input JSON: metadata must be an object of plain values")
    return {
        key: str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
        for key, value in given.items()
    }


def judged(kind: ObjectType, metadata: Metadata) -> Metadata:
    """Return what HubSpot keeps of a stage's metadata, or refuse what is no such thing."""
    if kind.name == "deals":
        _judge_probability(metadata.get("probability", ""))
    field = state_field(kind.type_id)
    if field and metadata.get(field, "OPEN") not in {"OPEN", "CLOSED"}:
        raise refused(
            f"Failed to deserialize metadata for object type {kind.type_id}",
            "PipelineError.INVALID_PIPELINE_STAGE_METADATA",
        )
    return stored(kind.type_id, metadata)


def order_of(content: JsonObject, default: int) -> int:
    """Return the place a body asks for."""
    order = whole_of(content, "displayOrder", default)
    if order < 0:
        raise plain("Pipeline display order cannot be negative")
    return order


def refuse_label_twice(others: Sequence[_Labelled], label: str) -> None:
    """Refuse a label that another pipeline of the type has, in whatever case."""
    if _has_label(others, label):
        raise invalid(f"An active pipeline with label {label} already exists.")


def refuse_none_closed(kind: ObjectType, stages: Iterable[Stage], pipeline_id: str) -> None:
    """Refuse to leave a pipeline of tickets without a stage that closes them."""
    if kind.name == "tickets" and all(one.metadata["isClosed"] == "false" for one in stages):
        raise refused(
            f"{kind.name} pipeline: {pipeline_id} must have at least one closed stage",
            "PipelineError.MISSING_CLOSED_STAGE",
        )


def refuse_used(users: dict[str, list[int]]) -> None:
    """Refuse to remove stages that records are in, with the ids of both."""
    if users:
        stage_ids = f"[{', '.join(users)}]"
        records = f"[{', '.join(str(id_) for ids in users.values() for id_ in ids)}]"
        raise refused(
            f"Stage IDs: {stage_ids} are being referenced by object IDs: {records}",
            "PipelineError.STAGE_ID_IN_USE",
            context={"stageIds": [stage_ids], "objectIds": [records]},
        )


def refuse_elsewhere(others: Iterable[Pipeline], stage_id: str) -> None:
    """Refuse a stage id that another pipeline of the type has."""
    if any(one.stage(stage_id) for one in others):
        raise _stage_id_taken(stage_id)


def refuse_long(id_: str, most: int) -> None:
    """Fail as HubSpot does over an id that is too long: a 500, and nothing is made."""
    if len(id_) > most:
        raise ApiError(500, "internal error")


def plain(message: str) -> ApiError:
    """Return a refusal without a category, of which HubSpot has some."""
    return ApiError(400, message)


def _new_pipeline_id(known: Pipelines, kind: ObjectType, content: JsonObject) -> str:
    pipeline_id = text_of(content, "pipelineId", None)
    if pipeline_id is None:
        return known.new_id()
    refuse_long(pipeline_id, PIPELINE_ID_MAX)
    if pipeline_id in known.of(kind):
        raise invalid(f"There's another pipeline in this portal with pipelineId ({pipeline_id}).")
    if known.elsewhere(kind, pipeline_id):
        raise _id_taken()
    return pipeline_id


def _listed_stage(  # the stages of a pipeline that is replaced keep their ids and dates
    known: Pipelines,
    kind: ObjectType,
    content: JsonObject,
    *,
    at: str,
    held: Pipeline | None,
    beside: tuple[Stage, ...],
) -> Stage:
    made = stage_from(known, kind, content, at=at, beside=beside)
    old = held.stage(made.stage_id) if held else None
    return replace(made, created_at=old.created_at) if old else made


def _judge_probability(text: str) -> None:
    if not text:
        raise plain("must specify probability when writing a dealstage")
    try:
        probability = float(text)
    except ValueError:
        probability = -1.0
    if not 0 <= probability <= 1:
        raise plain("dealstage probability is not valid, must be between 0.0 and 1.0 (inclusive)")


def _refuse_stage_label_twice(beside: Sequence[Stage], label: str) -> None:
    if _has_label(beside, label):
        raise refused(
            f"Stage with label {label} already exists", "PipelineError.STAGE_LABEL_EXISTS"
        )


def _has_label(others: Sequence[_Labelled], label: str) -> bool:
    return any(one.label.strip().lower() == label.strip().lower() for one in others)


def _id_taken() -> ApiError:
    return taken(
        "There's another pipeline in this portal with one of the same stages",
        "PipelineError.STAGE_ID_EXISTS_IN_ANOTHER_PIPELINE",
    )


def _stage_id_taken(stage_id: str) -> ApiError:
    return plain(
        f"An existing active stage in another pipeline is already using stage id {stage_id}"
    )
