"""
The path of one call: guard, record, credential, wire; one class each.

    Guard       refuses what must not leave, and records the refusal
    Recorder    makes the intent durable, sends, records the outcome (answers: and object ids)
    Bearer      puts the credential on a copy of the request, to the pinned host
    Wire        sends it to that host, over connections that stay open

What the caller holds (its request, the response, an exception) never holds the credential:
only the copy that `Bearer` makes does, and it is dropped with its traceback.
"""

from __future__ import annotations

from hsagency.transport.bearer import Bearer
from hsagency.transport.binding import Binding, Identify, is_label, no_hashes
from hsagency.transport.guard import Guard, Prove
from hsagency.transport.recorder import Recorder
from hsagency.transport.wire import Wire

__all__ = [
    "Bearer",
    "Binding",
    "Guard",
    "Identify",
    "Prove",
    "Recorder",
    "Wire",
    "is_label",
    "no_hashes",
]
