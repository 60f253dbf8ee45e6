"""
The path of one call: one class for each concern.

    Retrier     one attempt after another; each begins at the guard again
    Guard       refuses what must not leave, and records the refusal
    Places      waits for a place on the wire
    Pace        waits for the portal's turn
    Recorder    makes the intent durable, sends, records the outcome (answers: and object ids)
    Bearer      puts the credential on a copy of the request, to the pinned host
    Wire        sends it to that host, over connections that stay open

What the caller holds (its request, the response, an exception) never holds the credential:
only the copy that `Bearer` makes does, and it is dropped with its traceback.
"""

from __future__ import annotations

from hsagency.transport.bearer import USED, Bearer, Credential, Form
from hsagency.transport.binding import Binding, Identify, is_label, no_hashes
from hsagency.transport.call import Call, Grant, Station
from hsagency.transport.guard import Current, Guard, Prove
from hsagency.transport.network import Network
from hsagency.transport.pace import Pace
from hsagency.transport.places import Places
from hsagency.transport.recorder import Recorder
from hsagency.transport.retry import After, Retrier, see_to_nothing
from hsagency.transport.tripwire import Alarm
from hsagency.transport.wire import Wire

__all__ = [
    "USED",
    "After",
    "Alarm",
    "Bearer",
    "Binding",
    "Call",
    "Credential",
    "Current",
    "Form",
    "Grant",
    "Guard",
    "Identify",
    "Network",
    "Pace",
    "Places",
    "Prove",
    "Recorder",
    "Retrier",
    "Station",
    "Wire",
    "is_label",
    "no_hashes",
    "see_to_nothing",
]
