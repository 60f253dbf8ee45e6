"""What was received: one entry for each request, and what may be told of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from http import HTTPMethod
from random import Random
from threading import RLock
from uuid import UUID

from hsagency.sandbox.portals import Credential
from hsagency.sandbox.redaction import open_path, open_query
from hsagency.sandbox.spelling import camel
from hsagency.sandbox.wire import Drop, JsonObject, Reply, Request, stamp

_METHODS = frozenset(one.value for one in HTTPMethod)
# Values in routes that are UUIDs; elsewhere one in a path may be a code or an app's secret.
_UUID_VALUES = ("{formId}",)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """
    One request as the portal received it.

    `status` is what the portal decided, also when the caller never learned it (`dropped`
    "after", or `sent` is another); it is None when the connection was dropped before anything
    happened. `sent` is the status that went out, and `fault` the kind of what struck the call.
    `route` is the template without its version, `app_id` and `kind` are the credential's, and
    `size` is the length of the body in bytes; what nobody recognised is None. A `fault` that is
    "defect" is the sandbox's own: something in it failed, which no rule asked for. No credential
    is in an entry: where the path or the query holds one, it says (hidden). A `method` that HTTP
    does not know is (other).
    """

    at: datetime
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    status: int | None
    dropped: Drop | None
    correlation_id: str
    sent: int | None = None
    fault: str | None = None
    route: str | None = None
    app_id: int | None = None
    kind: str | None = None
    size: int = 0


def entry_shown(portal_id: int | None, entry: LedgerEntry) -> JsonObject:
    """Return an entry as JSON."""
    shown: JsonObject = {"portalId": portal_id}
    shown |= {camel(name): value for name, value in asdict(entry).items()}
    shown["at"] = stamp(entry.at)
    return shown


class Ledger:
    """Everything that one portal, or no known portal, received; with the ids of the answers."""

    def __init__(self, seed: str) -> None:
        self.lock = RLock()
        self.entries: list[LedgerEntry] = []
        self.rng = Random(seed)  # noqa: S311 - repeatable is the point

    def new_id(self) -> str:
        """Return the next correlation id."""
        return str(UUID(int=self.rng.getrandbits(128), version=4))

    def enter(
        self,
        request: Request,
        reply: Reply,
        *,
        at: datetime,
        id_: str,
        decided: int | None = None,
        fault: str | None = None,
        route: str | None = None,
        credential: Credential | None = None,
    ) -> LedgerEntry:
        """Note a request and what became of it; `decided` where another status was sent."""
        entry = LedgerEntry(
            at=at,
            method=request.method if request.method in _METHODS else "(other)",
            path=open_path(request.path, ids=route is not None and route.endswith(_UUID_VALUES)),
            query=open_query(request.query) if request.query else (),
            status=None if reply.drop == "before" else decided or reply.status,
            dropped=reply.drop,
            correlation_id=id_,
            sent=None if reply.drop else reply.status,
            fault=fault,
            route=route,
            app_id=credential.app_id if credential else None,
            kind=credential.kind if credential else None,
            size=len(request.body),
        )
        self.entries.append(entry)
        return entry
