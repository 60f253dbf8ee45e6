"""
Destroying the key of a client's hashed identifiers, so that they name nobody any more.

The records stay as they are and verify as before; what goes is the only thing that could tell
whom a hash is of. It is announced on record, done, seen to be done, and recorded as done; after
a crash in between, doing it again completes it, and until then no new key is made.

Not reached: a copy of the key in a backup of the credential store; the store of another
machine; the memory of a program that is running, until its next call that names somebody; what
records name openly, which is numeric ids and UUIDs; the digest of an imported file, in the
agency's own log, by which a short file can be guessed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import orjson

from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.privacy.destroyed import begun, done
from hsagency.audit.privacy.identifiers import Identifiers, Listed
from hsagency.audit.record import Event, timestamp
from hsagency.errors import NothingToReport, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What would be destroyed: the keys of one client that are not destroyed yet."""

    client_slug: str
    keys: tuple[Listed, ...]

    @property
    def begun(self) -> bool:
        """Whether an earlier destruction was not completed."""
        return any(one.erasing for one in self.keys)

    @property
    def digest(self) -> str:
        """What this plan is known by, to whoever applies it."""
        said = [self.client_slug, *sorted(one.name for one in self.keys)]
        return hashlib.sha256(orjson.dumps(said)).hexdigest()[:16]


def plan(identifiers: Identifiers, slug: str) -> Erasure:
    """
    Say which keys of a client there are to destroy; raises `NothingToReport` if there is none.

    Raises what the credential store raises: one that does not answer is not an empty one.
    """
    open_ = [one for one in identifiers.keys(slug) if not one.erased]
    stored = identifiers.stored(slug)
    if stored is not None and stored.name not in {one.name for one in open_}:
        open_.append(Listed(name=stored.name, since=""))  # a crash came before it was listed
    if not open_:
        raise NothingToReport(
            f"{slug} has no key of hashed identifiers, so nothing was destroyed.",
            hint="A key is made when a call first names somebody in its address.",
        )
    return Erasure(client_slug=slug, keys=tuple(open_))


def apply(identifiers: Identifiers, writer: AuditWriter, erasure: Erasure, *, digest: str) -> None:
    """
    Destroy what a plan names, with a record before and after.

    Raises `UsageError` if the plan is not the one that was shown, or the keys have changed.
    """
    slug = erasure.client_slug
    with identifiers.alone():
        now = plan(identifiers, slug)
        if not digest == erasure.digest == now.digest:
            raise UsageError(
                f"The keys of {slug} have changed since this was shown. Nothing was destroyed.",
                hint=f"Look again: hsagency audit erase {slug}",
            )
        names = [one.name for one in now.keys]
        _note(writer, slug, begun(names))
        _mark(identifiers, now, erasing=timestamp(writer.now()))
        identifiers.destroy(slug)
        _note(writer, slug, done(names))
        _mark(identifiers, now, erased=timestamp(writer.now()))


def _mark(
    identifiers: Identifiers, erasure: Erasure, *, erasing: str = "", erased: str = ""
) -> None:
    slug = erasure.client_slug
    listed = {one.name: one for one in identifiers.keys(slug)}
    for one in erasure.keys:
        known = listed.get(one.name, replace(one, since=one.since or erasing))
        listed[one.name] = replace(
            known, erasing=known.erasing or erasing or erased, erased=erased or None
        )
    identifiers.list_keys(slug, listed.values())


def _note(writer: AuditWriter, slug: str, message: str) -> None:
    writer.append(slug, {"event": Event.AUDIT_ERASED, "message": message})
