"""What a removal would do, as a person sees it before anything is done."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import orjson
import polars as pl

from hsagency.credentials import SecretName
from hsagency.portals import Connection, ConnectionType, CredentialKind, Portal, Tombstone
from hsagency.scopes import TYPES
from hsagency.stopping import moment
from hsagency.words import counted

STEPS: Final = {
    "what": pl.String(),
    "which": pl.String(),
    "number": pl.Int64(),
    "path": pl.String(),
}
"""
Columns and types of the frame of a plan; `what` is deleted, kept, shared, hubspot or named.

`number` is how many there are of what is kept, and bytes of what is shared.
"""


class Stage(StrEnum):
    """How far the removal of a client has come."""

    CONNECTED = "connected"  # nothing was done yet
    PENDING = "pending"  # begun, and broken off
    UNCERTIFIED = "uncertified"  # finished, but for its certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Something that stays: what it is, how many of it, how large, and where."""

    what: str
    count: str
    path: str
    number: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A file that was made for the client or names it, which somebody may have been sent."""

    path: str
    made: datetime
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    What removing a client means: what is deleted, what is kept, and who else would notice.

    `connection` is what is removed; of a removal that was finished but for its certificate there
    is none any more. `uninstall` has our app taken out of the portal as well. `obstacle` is why
    HubSpot cannot be asked now what became of the credential, else empty. `mentions` are settings
    that name the client and are left as they are.
    """

    portal: Portal
    stage: Stage
    connection: Connection | None
    tombstone: Tombstone | None
    kind: CredentialKind
    uninstall: bool
    generation: int
    fingerprint: str
    connection_type: ConnectionType
    added_at: datetime
    api_base: str
    obstacle: str
    secrets: tuple[SecretName, ...]
    files: tuple[str, ...]
    facts: tuple[str, ...]
    kept: tuple[Kept, ...]
    outputs: tuple[Output, ...]
    mentions: tuple[str, ...]
    severing: tuple[str, ...]

    @property
    def slug(self) -> str:
        """The client."""
        return str(self.portal.client_slug)

    @property
    def digest(self) -> str:
        """
        Names this very removal; `apply` wants it back.

        It covers what is removed, and whether the app is taken out; a report or a call more makes
        no other of it, and neither does a run that broke off.
        """
        covered = [
            (self.slug, self.portal.portal_id, self.portal.name, self.api_base),
            (self.kind, self.generation, self.fingerprint, self.uninstall),
            (self.connection_type, self.added_at.isoformat()),
            [str(name) for name in self.secrets],
        ]
        return hashlib.sha256(orjson.dumps(covered)).hexdigest()[:16]

    def frame(self) -> pl.DataFrame:
        """Return one row for each thing that a person should know of (columns: `STEPS`)."""
        rows: list[dict[str, object]] = [
            {"what": "deleted", "which": one} for one in self.deleted()
        ]
        rows += [
            {"what": "kept", "which": one.what, "number": one.number, "path": one.path}
            for one in self.kept
        ]
        rows += [
            {"what": "shared", "which": moment(one.made), "number": one.size, "path": one.path}
            for one in self.outputs
        ]
        rows += [{"what": "hubspot", "which": one} for one in self.hubspot()]
        rows += [{"what": "named", "which": one} for one in self.mentions]
        return pl.DataFrame(rows, schema=STEPS)

    def deleted(self) -> tuple[str, ...]:
        """Return in words what is deleted for good."""
        if self.connection is None:
            return ()
        entry = f"the entry in connections.json, with {counted(len(self.facts), 'cached fact')}"
        if self.facts:
            entry += f" ({', '.join(self.facts)})"
        secret = next(one for one in self.secrets if one.generation == self.generation)
        others = "what broken-off or earlier replacements of it left in the store, if anything"
        return (f"the secret {secret}", others, entry, *self.files)

    def hubspot(self) -> tuple[str, ...]:
        """Return in words what is done in HubSpot, by whom, and what keeps it from being asked."""
        refused = (
            f"It cannot be asked now: {self.obstacle} Until it can be, nothing is removed, unless "
            "you say --leave: then nothing is proven, and the means of ending it are deleted."
        )
        return (_UNTOUCHED, *self.severing, *((refused,) if self.obstacle else ()))

    def words(self) -> tuple[str, ...]:
        """Return the whole plan in lines, as a person reads it."""
        return tuple(self._lines())

    def _lines(self) -> Iterator[str]:
        yield from self._head()
        yield ""
        if self.deleted():
            yield "Deleted for good:"
            yield from (f"  - {one}" for one in self.deleted())
            yield ""
        yield "Kept:"
        yield from (f"  - {one.what}: {one.count}  {one.path}" for one in self.kept)
        yield ""
        yield "Reports and other files that were made for the client, or name it:"
        for one in self.outputs:
            yield f"  - {one.path}  {moment(one.made)}, {counted(one.size, 'byte')}"
        yield f"  {_WITHDRAW if self.outputs else 'none were found in reports/.'}"
        yield ""
        yield "In HubSpot:"
        yield from (f"  {one}" for one in self.hubspot())
        if self.mentions:
            yield ""
            yield "In hsagency.toml, and left as it is:"
            yield from (f"  - {one}" for one in self.mentions)
        yield ""
        yield _NO_UNDO

    def _head(self) -> Iterator[str]:
        where = f", sandbox {self.api_base}" if self.api_base else ""
        yield f"Removing {self.portal}{where}"
        credential = (
            f"{self.kind.words}, generation {self.generation}, fingerprint {self.fingerprint}"
        )
        yield f"  credential: {credential}"
        if self.connection is not None:
            one = self.connection
            yield f"  connection type: {TYPES[one.connection_type].title}"
            evidence = f" ({one.status_evidence})" if one.status_evidence else ""
            yield f"  status: {one.status}{evidence}"
            yield f"  connected since: {moment(one.added_at)}"
        if self.tombstone is not None:
            begun = f"{moment(self.tombstone.removed_at)} by {self.tombstone.removed_by}"
            yield f"  This removal was begun on {begun}, and broke off."

    def document(self) -> dict[str, Any]:
        """Return the plan as one JSON document shows it."""
        one = self.connection
        return {
            "digest": self.digest,
            "clientSlug": self.slug,
            "portalId": self.portal.portal_id,
            "accountName": self.portal.name,
            "api": self.api_base or None,
            "stage": self.stage,
            "connectionType": one.connection_type if one else None,
            "status": one.status if one else None,
            "kind": self.kind,
            "generation": self.generation,
            "fingerprint": self.fingerprint,
            "uninstall": self.uninstall,
            "obstacle": self.obstacle or None,
            "deleted": list(self.deleted()),
            "kept": [
                {"what": k.what, "count": k.count, "path": k.path, "number": k.number}
                for k in self.kept
            ],
            "shared": [
                {"path": o.path, "made": o.made.isoformat(), "bytes": o.size} for o in self.outputs
            ],
            "hubspot": list(self.hubspot()),
            "settings": list(self.mentions),
            "noUndo": _NO_UNDO,
        }


_WITHDRAW: Final = (
    "Nothing here was withdrawn. To withdraw one, delete it and ask whoever got a copy to do the "
    "same: files that were sent elsewhere are beyond this program."
)
_UNTOUCHED: Final = (
    "No data and no setting of the portal is changed: only our own way in is ended. Using the "
    "portal again needs a new authorisation by the client."
)
_NO_UNDO: Final = (
    "There is no undo and no time of grace: that the credential is gone is the point. Adding the "
    "client again is a new connection, whose log goes on where this one ends."
)
