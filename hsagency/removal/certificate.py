"""
The certificate of a removal: what was done, what stays, and what is not proven.

It is made of what is on record: of the tombstone, the client's log and the store's answers. So
a removal that broke off before it was written gets the same one from the next run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from hsagency import __version__
from hsagency.agency import Agency
from hsagency.audit.pack import kept_head
from hsagency.audit.record import timestamp
from hsagency.audit.verifying import log_of, verify
from hsagency.auth.desk import PURPOSE as AUTHORISATION
from hsagency.credentials import SecretName
from hsagency.durable import make_private_dir, write_private
from hsagency.errors import AuditError, CredentialError, CredentialMissing
from hsagency.portals import AGENCY, ConnectionType, CredentialKind, Tombstone
from hsagency.removal.looking import earlier_ones, kept_of, outputs_of, secrets_of
from hsagency.removal.severing import PURPOSE
from hsagency.scopes import TYPES
from hsagency.settings import shipped
from hsagency.stopping import moment
from hsagency.verifier import answerer

_PAGE: Final = "certificate.html"
_FACTS: Final = "certificate.json"
HEAD: Final = "HEAD.json"
_ALWAYS: Final = (
    "That no copy of the credential is left in a backup of the credential store, in the store of "
    "another machine, or on the client's side.",
    "That nobody keeps a copy of a file which was sent to them.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a removal came to, and where its certificate is: a page, and the same as JSON."""

    path: Path
    facts: Mapping[str, Any]

    @property
    def proven(self) -> bool:
        """Whether HubSpot was seen to refuse the credential."""
        return self.facts["credential"]["provenDead"] is True

    @property
    def proof(self) -> str:
        """What became of the credential, in words."""
        return str(self.facts["credential"]["said"])

    @property
    def left(self) -> tuple[str, ...]:
        """The names of the secrets that stay in the store, because somebody else put them there."""
        deleted = self.facts["deleted"]
        return tuple(one["secret"] for one in deleted if one["readBack"] == _LEFT)

    @property
    def json(self) -> Path:
        """Where the same facts are as JSON."""
        return self.path.with_name(_FACTS)

    def __repr__(self) -> str:
        return f"{self.facts['portal']} was removed. {self.proof} Certificate: {self.path}"


def path_of(agency: Agency, tombstone: Tombstone) -> Path:
    """Return where the certificate of a removal is, or will be."""
    day = f"{tombstone.removed_at:%Y-%m-%d}"
    folder = agency.workspace.reports / tombstone.client_slug / "offboarding"
    first = folder / day
    if _removed_at(first / _FACTS) in (None, timestamp(tombstone.removed_at)):
        return first / _PAGE
    return folder / f"{day}-generation-{tombstone.generation}" / _PAGE  # the second of a day


def _removed_at(path: Path) -> object:
    try:
        return orjson.loads(path.read_bytes())["removedAt"]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def issue(agency: Agency, tombstone: Tombstone) -> Certificate:
    """Seal the log of a client that was removed, and write the certificate; the page is last."""
    path = path_of(agency, tombstone)
    told = _told(agency, tombstone)
    sealed = _sealed(agency, tombstone)
    log = log_of(agency.workspace, tombstone.client_slug)
    head = kept_head(log)
    facts = told | {
        "kept": [asdict(kept) for kept in kept_of(agency, tombstone.client_slug)],
        "log": _log(agency, tombstone, head, sealed, path.with_name(HEAD)),
    }
    make_private_dir(path.parent)
    write_private(path.with_name(HEAD), head)
    write_private(path.with_name(_FACTS), orjson.dumps(facts, option=orjson.OPT_INDENT_2) + b"\n")
    write_private(path, _page(facts).encode())
    return Certificate(path=path, facts=facts)


def _told(agency: Agency, one: Tombstone) -> dict[str, Any]:
    """Return all but how much there is of the log, which this reading of it changes."""
    slug, now = one.client_slug, agency.writer.now()
    deleted = _deleted(agency, one)
    return {
        "schema": 1,
        "agency": agency.workspace.settings.agency.name,
        "made": timestamp(now),
        "program": f"hsagency {__version__}",
        "portal": str(one.portal),
        "clientSlug": slug,
        "portalId": one.portal_id,
        "accountName": one.name,
        "api": one.api_base or None,
        "connectionType": one.connection_type,
        "connectedAt": timestamp(one.added_at),
        "removedAt": timestamp(one.removed_at),
        "removedBy": one.removed_by,
        "credential": {
            "kind": one.kind,
            "generation": one.generation,
            "fingerprint": one.fingerprint,
            "provenDead": one.severed,
            "said": one.proof,
        },
        "history": _history(agency, one),
        "answers": _answers(agency, one),
        "deleted": deleted,
        "shared": [
            {"path": out.path, "made": timestamp(out.made), "size": out.size}
            for out in outputs_of(agency, one.portal)
        ],
        "notProven": [*_not_proven(one), *_foreign(deleted)],
    }


def _history(agency: Agency, one: Tombstone) -> list[dict[str, Any]]:
    """Return what the log tells of the connection: who connected, replaced and removed it."""
    activity = agency.activity(one.client_slug)
    mattering = activity.filter(pl.col("event").is_in(_MATTERING)).sort("ts")
    return [
        {
            "at": timestamp(row["ts"]),
            "event": row["event"],
            "by": row["user"],
            "said": _said(row, one),
        }
        for row in mattering.iter_rows(named=True)
    ]


_MATTERING: Final = (
    "connection.added",
    "connection.rotated",
    "connection.changed",
    "connection.removing",
    "connection.removed",
)


def _said(row: Mapping[str, Any], one: Tombstone) -> str:
    # What became of the credential is told for itself.
    return str(row["message"] or "").removesuffix(one.proof).rstrip()


def _answers(agency: Agency, one: Tombstone) -> list[dict[str, Any]]:
    """Return the calls by which this removal asked HubSpot, as they are on record."""
    own = agency.calls(one.client_slug, since=one.removed_at)
    desk = agency.calls(AGENCY, since=one.removed_at)
    asked = (
        own.filter(pl.col("purpose") == PURPOSE),
        desk.filter(
            (pl.col("purpose") == AUTHORISATION) & (pl.col("candidate_slug") == one.client_slug)
        ),
    )
    rows = pl.concat([calls.select(_SHOWN).collect() for calls in asked]).sort("ts")
    return [
        {
            "at": timestamp(row["ts"]),
            "call": f"{row['method']} {row['path']}",
            "statusCode": row["status_code"],
            "outcome": row["outcome"],
            "correlationId": row["correlation_id"],
        }
        for row in rows.iter_rows(named=True)
    ]


_SHOWN: Final = ("ts", "method", "path", "status_code", "outcome", "correlation_id")


def _deleted(agency: Agency, one: Tombstone) -> list[dict[str, Any]]:
    """Ask the store once more for what was deleted: the credential, and what else there was."""
    asked = {name: _gone(agency, name) for name in _names(agency, one)}
    own, *others = asked.values()
    telling = [found for found in others if found["readBack"] != _NONE]
    if others and not telling:
        telling = [{**others[-1], "secret": "what replacements of it may have left"}]
    return [own, *telling]


def _names(agency: Agency, one: Tombstone) -> list[SecretName]:
    names = secrets_of(agency, one.client_slug, one.generation)
    return sorted(names, key=lambda name: name.generation != one.generation)


def _gone(agency: Agency, name: SecretName) -> dict[str, Any]:
    try:
        agency.store.get(name)
        found = _LEFT
    except CredentialMissing:
        found = _NONE
    except CredentialError:
        found = "deleted and read back as gone; the store did not answer when asked again"
    return {"secret": str(name), "readBack": found, "at": timestamp(agency.writer.now())}


_NONE: Final = "the store answers that it holds none"
_LEFT: Final = "left: the store gives a secret that this workspace never stored"


def _foreign(deleted: list[dict[str, Any]]) -> list[str]:
    """Return in words what was left in the store as somebody else's."""
    return [
        f"Whose secret the store holds as {one['secret']}: this workspace did not put it there, "
        "and left it. A copy of this workspace may have."
        for one in deleted
        if one["readBack"] == _LEFT
    ]


def _not_proven(one: Tombstone) -> list[str]:
    said = [] if one.severed else ["That the credential is dead: what became of it stands above."]
    if one.kind is CredentialKind.OAUTH and not one.uninstalled:
        said.append(
            f"That {answerer(one.api_base)} no longer lists the app: an admin of the portal sees "
            "it under Settings > Integrations > Connected Apps, and can remove it there."
        )
    if not one.uninstalled:
        said += earlier_ones(one)
    return [*said, *_ALWAYS]


def _sealed(agency: Agency, one: Tombstone) -> str:
    """End and seal what this process wrote of the log; say what could not be sealed."""
    agency.writer.end(one.client_slug)
    try:
        left = agency.audit.seal(one.client_slug).words()
    except AuditError as error:
        left = [error.message]
    return " ".join(left)


def _log(agency: Agency, one: Tombstone, head: bytes, sealed: str, kept: Path) -> dict[str, Any]:
    """Return how far the log had come, and how a reader compares that."""
    verdict = verify(log_of(agency.workspace, one.client_slug))
    said = orjson.loads(head)
    relative = kept.relative_to(agency.workspace.root)
    return {
        "integrity": verdict.integrity,
        "completeness": verdict.completeness,
        "segments": said["segments"],
        "records": sum(part["records"] for part in said["segments"]),
        "register": said["register"],
        "keys": said["keys"],
        "notSealed": sealed,
        "check": f"hsagency audit verify {one.client_slug} --head {relative}",
    }


def _page(facts: Mapping[str, Any]) -> str:
    """Return the certificate as a page that asks nothing of any network."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["moment"] = lambda text: moment(datetime.fromisoformat(text))
    environment.filters["size"] = _size
    environment.filters["type"] = lambda name: TYPES[ConnectionType(name)].title
    environment.filters["kind"] = lambda name: CredentialKind(name).words
    template = (shipped("templates") / _PAGE).read_text("utf-8")
    return environment.from_string(template).render(facts)


def _size(number: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if number < 1000:
            return f"{number:,.0f} {unit}"
        number = round(number / 1000)
    return f"{number:,.0f} GB"
