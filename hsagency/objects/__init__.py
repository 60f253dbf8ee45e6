"""
Reads and writes many objects of one portal: pages, searches, batches, creating once.

These are plain functions over whatever can send a request. Pages and searches give every record
once or raise; a batch says of every input what became of it. What creates is never sent twice
because its answer was lost; what does no harm a second time is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hsagency.objects.associating import batch_associate, batch_associated
    from hsagency.objects.batching import (
        batch_archive,
        batch_create,
        batch_read,
        batch_update,
        batch_upsert,
    )
    from hsagency.objects.creating import Made, create_once
    from hsagency.objects.paging import pages
    from hsagency.objects.results import Results
    from hsagency.objects.searching import search
    from hsagency.verifier import Sender

__all__ = [
    "Made",
    "Results",
    "Sender",
    "batch_archive",
    "batch_associate",
    "batch_associated",
    "batch_create",
    "batch_read",
    "batch_update",
    "batch_upsert",
    "create_once",
    "pages",
    "search",
]

_HOMES = {
    "Made": "creating",
    "Results": "results",
    "Sender": "asking",
    "batch_archive": "batching",
    "batch_associate": "associating",
    "batch_associated": "associating",
    "batch_create": "batching",
    "batch_read": "batching",
    "batch_update": "batching",
    "batch_upsert": "batching",
    "create_once": "creating",
    "pages": "paging",
    "search": "searching",
}


def __getattr__(name: str) -> Any:
    # what needs polars is loaded when it is used
    if name not in _HOMES:
        raise AttributeError(f"module 'hsagency.objects' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
