"""
Reads and writes many objects of one portal: pages, searches, batches, creating once.

These are plain functions over whatever can send a request. A read either gives every record
once or raises; a write says of every input what became of it. Nothing is sent twice because
its answer was lost.
"""

from __future__ import annotations

from hsagency.objects.asking import Sender
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
