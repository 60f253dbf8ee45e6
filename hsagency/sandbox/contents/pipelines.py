"""
The pipelines of one portal, their stages, and the record of who changed them.

Pipelines and stages never change: a change makes another in their place. A stage never shares
its place with another stage of its pipeline; a pipeline may.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import count

from hsagency.sandbox.contents.definitions import ObjectType, Option
from hsagency.sandbox.contents.locations import with_pipelines
from hsagency.sandbox.contents.revisions import Revision
from hsagency.sandbox.contents.stages import DEFAULT_PIPELINES, Metadata, stored
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.portals import FOUNDED
from hsagency.sandbox.wire import JsonObject, stamp

FIRST_ID = 6_000_001


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a pipeline."""

    stage_id: str
    label: str
    display_order: int
    metadata: Metadata
    created_at: str
    updated_at: str

    def shown(self, sent: Metadata | None = None) -> JsonObject:
        """Return the stage as HubSpot answers it; a write's answer repeats what was sent."""
        return {
            "id": self.stage_id,
            "label": self.label,
            "displayOrder": self.display_order,
            "metadata": self.metadata if sent is None else sent,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "archived": False,
            "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
        }


@dataclass(frozen=True, slots=True)
class Pipeline(Revision):
    """One pipeline, with its stages."""

    pipeline_id: str
    label: str
    display_order: int
    stages: tuple[Stage, ...]

    def shown(self) -> JsonObject:
        """Return the pipeline as HubSpot answers it, with all its stages."""
        return {
            "id": self.pipeline_id,
            "label": self.label,
            "displayOrder": self.display_order,
            "stages": [one.shown() for one in self.stages],
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "archived": False,
        }

    def stage(self, stage_id: str) -> Stage | None:
        """Return one of its stages."""
        return next((one for one in self.stages if one.stage_id == stage_id), None)


class Pipelines:
    """All pipelines of one portal; the caller holds its lock."""

    def __init__(self, state: PortalState) -> None:
        self._state = state
        self._held: dict[str, dict[str, Pipeline]] = {}
        self._ids = count(FIRST_ID)
        self._audits: dict[tuple[str, ...], list[JsonObject]] = {}

    def of(self, kind: ObjectType) -> dict[str, Pipeline]:
        """Return the pipelines of one type, by id, in the order they were made."""
        held = self._held.get(kind.type_id)
        if held is None:
            held = self._held[kind.type_id] = {one.pipeline_id: one for one in _defaults(kind)}
        return held

    def new_id(self) -> str:
        """Return an id for a pipeline or a stage that came without one."""
        return str(next(self._ids))

    def elsewhere(self, kind: ObjectType, pipeline_id: str) -> bool:
        """Whether a pipeline of another type of record has an id."""
        others = (one for one in self._state.types if one.type_id != kind.type_id)
        return any(pipeline_id in self.of(one) for one in others)

    def put(self, kind: ObjectType, made: Pipeline) -> None:
        """Add a pipeline, or put it in the place of the one with its id."""
        held = self.of(kind)
        before = held.get(made.pipeline_id)
        held[made.pipeline_id] = replace(made, before=before and replace(before, before=None))
        self._offer(kind)

    def drop(self, kind: ObjectType, pipeline: Pipeline) -> None:
        """Remove a pipeline and its stages, for good."""
        del self.of(kind)[pipeline.pipeline_id]
        self._offer(kind)

    def forget(self, kind: ObjectType) -> None:
        """Remove all pipelines of a type that is no more."""
        self._held.pop(kind.type_id, None)

    def users(self, kind: ObjectType, stage_ids: Iterable[str]) -> dict[str, list[int]]:
        """Return the records in each of some stages, leaving out stages without any."""
        wanted, name = set(stage_ids), stage_properties(kind)[1]
        found: dict[str, list[int]] = {}
        for record in self._state.store(kind):
            stage_id = record.properties.get(name)
            if stage_id in wanted:
                found.setdefault(str(stage_id), []).append(record.record_id)
        return found

    def note(self, *key: str, action: str, made: JsonObject | None, at: str, user: int) -> None:
        """Record a change of what `key` names: type id and pipeline id, or `stages` and its id."""
        what = "stage" if len(key) > 2 else "pipeline"
        self._audits.setdefault(key, []).insert(
            0,
            {
                "portalId": self._state.portal.portal_id,
                "identifier": key[-1],
                "action": action,
                "timestamp": at,
                "fromUserId": user,
                "message": f"{action.capitalize()} of {what} {key[-1]}",
                **({} if made is None else {"rawObject": made}),
            },
        )

    def audit(self, *key: str) -> list[JsonObject] | None:
        """Return what happened to something, newest first; None if nothing ever did."""
        return self._audits.get(key)

    def _offer(self, kind: ObjectType) -> None:
        """Let records be in the pipelines and stages that there are, and in no others."""
        pipelines = self.of(kind).values()
        if kind.custom:
            with_pipelines(kind)  # also anew: a property of that name may have been archived
        names = stage_properties(kind)
        for name, values in (
            (names[0], [(one.pipeline_id, one.label) for one in pipelines]),
            (names[1], [(st.stage_id, st.label) for one in pipelines for st in one.stages]),
        ):
            options = tuple(Option(id_, label, order) for order, (id_, label) in enumerate(values))
            kind.properties[name] = replace(kind.properties[name], options=options)


def stage_properties(kind: ObjectType) -> tuple[str, str]:
    """Return the properties that hold a record's pipeline and its stage."""
    if kind.name == "deals":
        return "pipeline", "dealstage"
    return "hs_pipeline", "hs_pipeline_stage"


def placed(stages: tuple[Stage, ...], made: Stage) -> tuple[Stage, ...]:
    """
    Return stages with one more, in their order.

    A stage that asks for a place that is taken comes right behind the one that has it, and all
    are numbered anew; otherwise gaps stay.
    """
    if all(one.display_order != made.display_order for one in stages):
        return tuple(sorted((*stages, made), key=lambda one: one.display_order))
    ordered = sorted(stages, key=lambda one: one.display_order)
    behind = sum(one.display_order <= made.display_order for one in ordered)
    ordered.insert(behind, made)
    return tuple(replace(one, display_order=order) for order, one in enumerate(ordered))


def _defaults(kind: ObjectType) -> list[Pipeline]:
    found = DEFAULT_PIPELINES.get(kind.type_id)
    if found is None:
        return []
    pipeline_id, label, stages = found
    at = stamp(FOUNDED)
    return [
        Pipeline(
            pipeline_id,
            label,
            0,
            tuple(
                Stage(id_, text, order, stored(kind.type_id, metadata), at, at)
                for order, (id_, text, metadata) in enumerate(stages)
            ),
            created_at=at,
            updated_at=at,
        )
    ]
