"""
The agency: opens a workspace and hands out everything in it.

This is the only place where the parts are put together. Opening reads the settings and
nothing else: no secret, no network, no journal.
"""

from __future__ import annotations

import os
import pwd
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from functools import cached_property
from pathlib import Path
from typing import Final, Self

import polars as pl

from hsagency import __version__
from hsagency.audit import lake
from hsagency.audit.destinations import Destination, Record
from hsagency.audit.forwarding import Forwarder, Standing, open_forwarder, standings
from hsagency.audit.pack import Pack, export
from hsagency.audit.record import Author, Event, timestamp
from hsagency.audit.signing import SigningKey
from hsagency.audit.standalone.verdict import Verdict
from hsagency.audit.verifying import log_of, logs, verify
from hsagency.audit.writer import AuditWriter, utc_now
from hsagency.client import PortalClient
from hsagency.credentials import CredentialStore, choose_store, open_store
from hsagency.errors import AuditError, UnknownClient, UsageError
from hsagency.halt import Halt
from hsagency.periods import Period, parse_day
from hsagency.portals import AGENCY, ClientSlug, Connection, redact
from hsagency.router import Parts, Router
from hsagency.settings import Workspace
from hsagency.verifier import Identity

When = str | date | datetime | None

PORTALS: Final[Mapping[str, pl.DataType]] = {
    "client_slug": pl.String(),
    "account_name": pl.String(),
    "portal_id": pl.Int64(),
    "connection_type": pl.String(),
    "status": pl.String(),
    "status_evidence": pl.String(),
    "tier": pl.String(),
    "daily_limit": pl.Int64(),
    "kind": pl.String(),
    "generation": pl.Int64(),
    "hublet": pl.String(),
    "added_at": pl.Datetime("us", "UTC"),
    "last_rotated_at": pl.Datetime("us", "UTC"),
    "verified_at": pl.Datetime("us", "UTC"),
    "api": pl.String(),
}
"""Columns and types of the frame of portals."""


class Agency:
    """
    One workspace, opened: its portals, its audit log, its reports.

    Use it as a context manager or call `close()`; a forked child opens its own.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.index = workspace.index
        self.halt = Halt(workspace.state / "halt.json")
        signing = SigningKey(
            store=lambda: self.store,
            workspace=workspace.settings.workspace,
            audit=workspace.audit,
            lock=workspace.state / "signing.lock",
            now=utc_now,
        )
        self.writer = AuditWriter(
            workspace.audit, author=_author(), signer=signing.signer, copy=workspace.heads
        )
        self._forwarders: list[Forwarder] = []
        self.router = Router(
            Parts(
                workspace=workspace,
                index=self.index,
                store=lambda: self.store,
                writer=self.writer,
                halt=self.halt,
                now=utc_now,
            )
        )

    @classmethod
    def open(cls, workspace: str | Path | None = None) -> Self:
        """
        Open a workspace: the one named, else `HSAGENCY_HOME`, else the nearest above.

        Raises `NoWorkspace`, `CorruptFile` or `NewerSchema`.
        """
        return cls(Workspace.find(workspace))

    @classmethod
    def create(cls, root: str | Path, *, store: str | None = None, name: str = "") -> Self:
        """Make a workspace and open it; `store` is a URI, else the safest store found here."""
        folder = Path(root).expanduser().absolute()
        # Opened before anything is made: refuses what is no store, and pins which keyring it is.
        uri = open_store(store or choose_store(workspace=folder), workspace=folder).uri
        return cls(Workspace.create(folder, store=uri, name=name))

    @cached_property
    def store(self) -> CredentialStore:
        """Where the secrets are: the store that `hsagency.toml` names, never another."""
        return open_store(self.workspace.settings.store, workspace=self.workspace.root)

    def slugs(self) -> list[ClientSlug]:
        """Return the slugs of all connections, sorted."""
        return self.router.slugs()

    def connection(self, slug: str) -> Connection:
        """Return what is stored of one connection; raises `UnknownClient`."""
        return self.router.connection(slug)

    def connections(self) -> Mapping[ClientSlug, Connection]:
        """Return what is stored of every connection, by slug."""
        return self.index.read().connections

    def client(self, slug: str, *, purpose: str = "interactive") -> PortalClient:
        """Return the portal client for a slug, proven to reach that client's portal."""
        return self.router.client(slug, purpose=purpose)

    def verify(self, slug: str) -> Identity:
        """Ask HubSpot now whose credential is stored under a slug; raises as `verify` does."""
        return self.router.prove(slug)

    def resume(self, *, reason: str) -> str:
        """Lift the fleet-wide halt, for a reason that is recorded; return what it was for."""
        halted_for = self.halt.reason()
        if halted_for is not None and reason.strip():
            why = redact(reason.strip())
            message = f"The fleet was resumed ({why}); it was halted: {halted_for}"
            self.writer.append(AGENCY, {"event": Event.HALT_CLEARED, "message": message})
        return self.halt.clear(reason=reason)

    def portals(self) -> pl.DataFrame:
        """Return one row a connection, from stored facts, sorted by slug (columns: `PORTALS`)."""
        rows = [_portal_row(one) for _, one in sorted(self.connections().items())]
        return pl.DataFrame(rows, schema=PORTALS)

    def recorded(self) -> list[str]:
        """Return every client that has an audit log, onboarded or not, sorted."""
        return lake.clients(self.workspace.audit)

    def reading(
        self, slug: str | None = None, *, since: When = None, until: When = None
    ) -> lake.Reading:
        """
        Read the audit log of one client, or of all: calls, activity and damaged lines.

        `since` is included and `until` is not; a day is a UTC day. Raises `UnknownClient`
        for a slug that is neither connected nor recorded.
        """
        begin, end = _moment(since), _moment(until)
        reading = lake.read(self.workspace.audit, self._logs(slug), since=begin, until=end)
        self._note_reading(slug, begin, end)
        return reading

    def calls(
        self, slug: str | None = None, *, since: When = None, until: When = None
    ) -> pl.LazyFrame:
        """Return one row a call, of one client or of all (columns: `audit.lake.CALLS`)."""
        return self.reading(slug, since=since, until=until).calls

    def activity(
        self, slug: str | None = None, *, since: When = None, until: When = None
    ) -> pl.DataFrame:
        """Return what happened to connections and the log (columns: `audit.lake.ACTIVITY`)."""
        return self.reading(slug, since=since, until=until).activity

    def logs(self) -> list[str]:
        """Return every client that has, or had, an audit log, and the agency itself; sorted."""
        return logs(self.workspace)

    def verdict(
        self,
        slug: str,
        *,
        first: date | None = None,
        last: date | None = None,
        head: bytes | None = None,
    ) -> Verdict:
        """
        Say whether a client's audit log is as it was written (see `audit.verifying`).

        Days are included, and UTC. `head` is a HEAD.json that somebody kept. Raises
        `UnknownClient` for a slug that is neither connected nor recorded.
        """
        self._refuse_unknown(slug)
        return verify(log_of(self.workspace, slug), first=first, last=last, head=head)

    def export(self, slug: str, path: str | Path, *, period: Period) -> Pack:
        """Write the evidence pack of one client; the export is recorded before it is made."""
        self._refuse_unknown(slug)

        def announce() -> None:
            message = f"An evidence pack of {period} was exported."
            self.note_export(slug, message, since=period.since, until=period.until)
            self.writer.settle()  # so that a signed head covers all of it

        return export(
            log_of(self.workspace, slug),
            Path(path),
            period=period,
            announce=announce,
        )

    def forward(
        self,
        name: str,
        to: Destination | Callable[[Record], object] | None = None,
        *,
        durable: bool = False,
    ) -> Forwarder:
        """
        Forward the audit log in the background, from where this name got to, until closed.

        To a function of one record, or to what the `[[forward]]` table of this name says. It
        never holds up a call: a function that raises is asked again later. `durable` is what
        a function declares of itself.
        """
        forwarder = self.forwarder(name, to, durable=durable).start()
        self._forwarders.append(forwarder)
        return forwarder

    def forwarder(
        self,
        name: str,
        to: Destination | Callable[[Record], object] | None = None,
        *,
        durable: bool = False,
    ) -> Forwarder:
        """Return what `forward` runs, to be run and closed by whoever asks for it."""

        def announce(slug: str) -> None:
            message = f"From now on this log is forwarded as {name!r}, from its beginning on."
            self.note_export(slug, message, since=None, until=None)

        return open_forwarder(self.workspace, name, to, durable=durable, announce=announce)

    def forwarders(self) -> list[Standing]:
        """Return where every forwarder stands: how far behind, and its error."""
        return standings(self.workspace)

    def close(self) -> None:
        """Close every client, stop what forwards the audit log, and let go of it."""
        self.router.close()
        for forwarder in self._forwarders:
            forwarder.close()
        self.writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Agency {self.workspace.root}>"

    def note_export(
        self, slug: str, message: str, *, since: datetime | None, until: datetime | None
    ) -> None:
        """Record that a client's log was exported, before it is handed out."""
        self.writer.append(slug, _ranged(Event.AUDIT_EXPORTED, message, since, until))

    def _note_reading(
        self, slug: str | None, since: datetime | None, until: datetime | None
    ) -> None:
        """
        Record that a log was read: a client's in its own chain, all of them in the agency's.

        A log that cannot be written is still read, with a word to the person: looking into
        what is broken must never need the broken part.
        """
        if not (self.recorded() if slug is None else _has_log(self.workspace.audit, slug)):
            return  # nothing there to read
        message = "The log of every client was read." if slug is None else "The log was read."
        fields = _ranged(Event.AUDIT_READ, message, since, until)
        try:
            self.writer.append(slug or AGENCY, fields, durable=False)
        except AuditError as error:
            if self.writer.is_first("a reading that is not on record"):
                self.writer.tell(f"This reading of the log is not on record. {error.message}")

    def _logs(self, slug: str | None) -> Iterable[str]:
        if slug is None:
            return [AGENCY, *self.recorded()]
        self._refuse_unknown(slug)
        return [slug]

    def _refuse_unknown(self, slug: str) -> None:
        if slug != AGENCY and slug not in self.logs():
            try:
                self.router.connection(slug)
            except UnknownClient as error:
                error.message = error.message.replace("Nothing was sent.", "Nothing was read.")
                raise


def _has_log(folder: Path, slug: str) -> bool:
    try:
        return (folder / slug / "journal").is_dir()
    except OSError:
        return False


def _ranged(
    event: Event, message: str, since: datetime | None, until: datetime | None
) -> dict[str, object]:
    given = {"rangeFrom": since, "rangeUntil": until}
    times = {name: timestamp(at) for name, at in given.items() if at is not None}
    return {"event": event, "message": message, **times}


def _moment(when: When) -> datetime | None:
    if when is None:
        return None
    if isinstance(when, str):
        when = _written(when)
    if not isinstance(when, datetime):
        return datetime.combine(when, time(), UTC)
    if when.tzinfo is None:
        raise UsageError("A time needs its zone.", hint="Use a day, or datetime(..., tzinfo=UTC).")
    return when


def _written(text: str) -> date | datetime:
    if "T" not in text:
        return parse_day(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{redact(text[:40])!r} is not a time.", hint="Write it as 2026-05-01T09:00:00Z."
        ) from None


def _author() -> Author:
    try:
        user = pwd.getpwuid(os.getuid()).pw_name  # what the environment says is not evidence
    except KeyError:
        user = str(os.getuid())
    return Author(
        actor=f"hsagency/{__version__}",
        user=user,
        host=socket.gethostname(),
        run_id=secrets.token_hex(8),
    )


def _portal_row(connection: Connection) -> dict[str, object]:
    facts = {name: fact.value for name, fact in connection.facts.items()}
    return {
        "client_slug": connection.client_slug,
        "account_name": facts.get("name"),
        "portal_id": connection.portal_id,
        "connection_type": connection.connection_type.value,
        "status": connection.status.value,
        "status_evidence": connection.status_evidence or None,
        "tier": facts.get("tier"),
        "daily_limit": facts.get("daily_limit"),
        "kind": connection.kind.value,
        "generation": connection.generation,
        "hublet": connection.hublet,
        "added_at": connection.added_at,
        "last_rotated_at": connection.last_rotated_at,
        "verified_at": connection.proof.at if connection.proof else None,
        "api": connection.api_base or None,
    }
