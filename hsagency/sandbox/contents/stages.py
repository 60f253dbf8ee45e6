"""
The pipelines that a portal starts with, and what HubSpot stores of a stage's metadata.

Stage and pipeline ids are those that the seeded records are in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from hsagency.sandbox import names

Metadata: TypeAlias = dict[str, str]
# Id, label and metadata of each stage.
Stages: TypeAlias = tuple[tuple[str, str, Metadata], ...]

_DEALS: Stages = tuple(
    (id_, label, {"probability": probability})
    for id_, (label, probability) in zip(
        names.DEAL_STAGES,
        (
            ("Appointment scheduled", "0.2"),
            ("Qualified to buy", "0.4"),
            ("Presentation scheduled", "0.6"),
            ("Contract sent", "0.9"),
            ("Closed won", "1.0"),
            ("Closed lost", "0.0"),
        ),
        strict=True,
    )
)
_TICKETS: Stages = (
    ("1", "New", {"ticketState": "OPEN"}),
    ("2", "Waiting on contact", {"ticketState": "OPEN"}),
    ("3", "Waiting on us", {"ticketState": "OPEN"}),
    ("4", "Closed", {"ticketState": "CLOSED"}),
)
_LOCATIONS: Stages = (
    ("planned", "Planned", {"state": "OPEN"}),
    ("open", "Open", {"state": "OPEN"}),
    ("shut", "Shut", {"state": "CLOSED"}),
)
_LIFECYCLE: Stages = tuple((name, name.capitalize(), {}) for name in names.LIFECYCLE_STAGES)

# By type id: pipeline id, its label, its stages. A portal's own types start with none, but for
# the one that comes with an Enterprise portal.
DEFAULT_PIPELINES: Mapping[str, tuple[str, str, Stages]] = {
    "0-1": ("contacts-lifecycle-pipeline", "Lifecycle Stage Pipeline", _LIFECYCLE),
    "0-2": ("companies-lifecycle-pipeline", "Lifecycle Stage Pipeline", _LIFECYCLE),
    "0-3": ("default", "Sales Pipeline", _DEALS),
    "0-5": ("0", "Support Pipeline", _TICKETS),
    "2-2000001": ("locations-pipeline", "Openings", _LOCATIONS),
}
# By property: the values that a portal starts with, and their labels.
DEFAULT_STAGES: Mapping[str, Mapping[str, str]] = {
    "pipeline": {"default": "Sales Pipeline"},
    "dealstage": {id_: label for id_, label, _ in _DEALS},
    "hs_pipeline": {"0": "Support Pipeline"},
    "hs_pipeline_stage": {id_: label for id_, label, _ in _TICKETS},
}


def stored(type_id: str, given: Mapping[str, str]) -> Metadata:
    """
    Return what HubSpot keeps of a stage's metadata: one field, printed its way, and `isClosed`.

    Whatever else was sent is dropped without a word.
    """
    if type_id == "0-3":
        probability = float(given["probability"])
        closed, kept = probability in {0.0, 1.0}, {"probability": str(probability)}
    elif field := state_field(type_id):
        state = given.get(field, "OPEN")
        closed, kept = state == "CLOSED", {field: state}
    else:
        closed, kept = False, {}
    return {"isClosed": str(closed).lower(), **kept}


def state_field(type_id: str) -> str | None:
    """Return which field of the metadata says OPEN or CLOSED."""
    if type_id == "0-5":
        return "ticketState"
    return "state" if type_id.startswith("2-") else None
