"""
The audit log of a workspace, as an analyst, a reviewer and a command ask for it.

`Agency.audit` is one. Reading, handing out and changing the log are records of the log itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import polars as pl

from hsagency.audit import lake
from hsagency.audit.evidence import is_log
from hsagency.audit.forwarding import Forwarder, open_forwarder
from hsagency.audit.forwarding.destinations import Destination, Record
from hsagency.audit.forwarding.standing import Standing, standings
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.lake import catalog, rebuilding, sealing, showing, trusted
from hsagency.audit.lake.steady import steadily
from hsagency.audit.merging.planning import Plan
from hsagency.audit.merging.sources import open_source
from hsagency.audit.merging.staging import Confirm, finish, merge
from hsagency.audit.noting import note_readings, ranged
from hsagency.audit.pack import Pack, export
from hsagency.audit.privacy import erasing, finding
from hsagency.audit.privacy.identifiers import Identifiers
from hsagency.audit.privacy.retention import Retention, retain
from hsagency.audit.privacy.retention import plan as plan_retention
from hsagency.audit.record import Event, When, between
from hsagency.audit.register.trusting import fingerprints
from hsagency.audit.repairing import Repair, repair
from hsagency.audit.standalone.verdict import Verdict
from hsagency.audit.verifying import log_of, logs, verify
from hsagency.durable import unreadable
from hsagency.errors import AuditError, HsAgencyError, UnknownClient, UsageError
from hsagency.periods import Period, first_and_last
from hsagency.portals import AGENCY, ClientSlug
from hsagency.progress import Progress, silent
from hsagency.settings import Workspace

Found = TypeVar("Found")


class AuditLog:
    """
    The audit log of a workspace.

    `connected` raises `UnknownClient` for a slug that is not connected.
    """

    def __init__(
        self,
        workspace: Workspace,
        writer: AuditWriter,
        *,
        connected: Callable[[str], object],
        identifiers: Identifiers,
        signer: sealing.Signing,
    ) -> None:
        self.workspace = workspace
        self._signer = signer
        self._writer, self._connected = writer, connected
        self._identifiers = identifiers
        self._forwarders: list[Forwarder] = []
        self.reader = "a program"  # by what it is read, as its records of that say
        self._merging = workspace.state / "merging.lock"

    def recorded(self) -> list[str]:
        """Return every client that has an audit log, onboarded or not, sorted."""
        return lake.clients(self.workspace.audit)

    def read(
        self, slug: str | None = None, *, since: When = None, until: When = None
    ) -> lake.Reading:
        """
        Read the audit log of one client, or of all: calls, activity and damaged lines.

        `since` is included and `until` is not; a day is a UTC day. Raises `UnknownClient`
        for a slug that is neither connected nor recorded.
        """
        begin, end = between(since, until)
        reading = self._asked(lake.read, [*self._logs(slug)], since=begin, until=end)
        self.note_reading(slug, begin, end)
        return reading

    def read_each(self) -> tuple[list[lake.Reading], dict[str, AuditError]]:
        """Read every log for itself: what cannot be read, with the reason, hides no other."""
        readings, unread = [], {}
        for one in self._logs(None):
            try:
                readings.append(self._asked(lake.read, [one]))
            except AuditError as error:
                unread[one] = error
        self.note_reading(None, but=unread)
        return readings, unread

    def _asked(
        self, read: Callable[..., Found], slugs: list[str], **between: datetime | None
    ) -> Found:
        try:
            for one in slugs:
                finish(self.workspace.audit / one, lock=self._merging)
            zones = self._refresh(slugs, thorough=read is lake.read)
            return read(self.workspace.audit, slugs, zones=zones, **between)
        except OSError as error:
            raise unreadable(error.filename or slugs, error) from error

    def calls(
        self, slug: str | None = None, *, since: When = None, until: When = None
    ) -> pl.LazyFrame:
        """Return one row a call, in no order, of one client or all; see `Agency.calls`."""
        begin, end = between(since, until)
        calls = self._asked(lake.calls_of, [*self._logs(slug)], since=begin, until=end)
        self.note_reading(slug, begin, end)
        return calls

    def activity(
        self, slug: str | None = None, *, since: When = None, until: When = None
    ) -> pl.DataFrame:
        """Return what happened to connections and the log (columns: `audit.lake.ACTIVITY`)."""
        return self.read(slug, since=since, until=until).activity

    def seal(self, slug: str, *, progress: Progress = silent) -> sealing.Sealed:
        """Make evidence and rows of the lake of what is closed of a log; reading does so too."""
        self._refuse_unknown(slug)
        zone, signer = self._zones().get(slug), self._signer
        audit = self.workspace.audit
        return sealing.seal(audit, slug, zone=zone, signer=signer, progress=progress)

    def record(self, slug: str, segment: str, seq: int) -> showing.Written:
        """
        Return the record that a row of calls names by `segment` and `seq`, as it was written.

        Reading it is recorded. Raises `UsageError` for a place that is not in the log.
        """
        self._refuse_unknown(slug)
        found = showing.find(self.workspace.audit, slug, segment, seq)
        self.note_reading(slug)
        return found

    def rebuild(self, slug: str, *, compare: bool = False) -> rebuilding.Comparison:
        """Make a client's lake anew from the evidence, or only compare; say what differs."""
        if slug not in self.lakes():
            self._refuse_unknown(slug)
        zone, audit = self._zones().get(slug), self.workspace.audit
        return rebuilding.rebuild(audit, slug, zone=zone, signer=self._signer, compare=compare)

    def lakes(self) -> list[str]:
        """Return every client of whom there are files in the lake, on record or not; sorted."""
        return catalog.slugs(self.workspace.audit)

    def lake_state(self, slug: str) -> trusted.State:
        """Say whether a client's lake is as it was sealed, by signature and digests alone."""
        return trusted.state(self.workspace.audit, slug)

    def find(self, slug: str, identifier: str, *, progress: Progress = silent) -> finding.Found:
        """
        Return the calls that name somebody: by e-mail address, by id, or `contacts/101`.

        See `audit.privacy.finding`. The search is recorded, and what was looked for is not.
        """
        wanted = finding.parse(identifier)
        logs = [*self._logs(slug)]
        self.note_reading(slug, how="searched for an identifier")
        return steadily(
            lambda: finding.find(
                self._asked(lake.read, logs),
                self.workspace.audit / slug,
                wanted,
                key=self._identifiers.key(slug),
                keys=self._identifiers.keys(slug),
                progress=progress,
            )
        )

    def erasure(self, slug: str) -> erasing.Erasure:
        """Return which key of a client's hashed identifiers `erase` would destroy."""
        self._refuse_unknown(slug)
        return erasing.plan(self._identifiers, slug)

    def erase(self, erasure: erasing.Erasure, *, digest: str) -> None:
        """Destroy it, if it is what was shown; the records stay, and name nobody any more."""
        erasing.apply(self._identifiers, self._writer, erasure, digest=digest)

    def retention(self, slug: str) -> Retention:
        """Return what `[retention]` lets go of a client's log by now; nothing is removed."""
        self._refuse_unknown(slug)
        months = self.workspace.settings.retention.of(slug)
        return plan_retention(log_of(self.workspace, slug), months=months, now=self._writer.now())

    def retain(self, plan: Retention) -> Retention:
        """
        Remove what a plan shows for good, on record and under a signed word (`audit.retention`).

        Raises `Conflict` if the plan is another by now, and `AuditError` if it cannot be done.
        """
        audit = self.workspace.audit
        return retain(
            plan,
            log_of(self.workspace, plan.slug),
            writer=self._writer,
            lock=self.workspace.state / "retention.lock",
            seal=partial(sealing.seal, audit, signer=self._signer),
            forget=partial(sealing.forget, audit, signer=self._signer),
        )

    def repair(self, slug: str) -> Repair:
        """Mend what can be mended of a client's log, and say what cannot (`audit.repairing`)."""
        self._refuse_unknown(slug)
        return repair(log_of(self.workspace, slug), writer=self._writer)

    def slugs(self) -> list[str]:
        """Return every client that has, or had, an audit log, and the agency itself; sorted."""
        return logs(self.workspace)

    def keys(self) -> list[dict[str, str | bool | None]]:
        """Return the listed keys by id and SHA-256, and which is `inStore`: it signs now."""
        return fingerprints(self.workspace)

    def verify(
        self,
        slug: str,
        *,
        first: str | date | None = None,
        last: str | date | None = None,
        head: bytes | None = None,
    ) -> Verdict:
        """
        Say whether a client's audit log is as it was written (see `audit.verifying`).

        Days are included, and UTC. `head` is a HEAD.json that somebody kept. Raises
        `UnknownClient` for a slug that is neither connected nor recorded.
        """
        self._refuse_unknown(slug)
        begin, end = first_and_last(first, last)
        return verify(log_of(self.workspace, slug), first=begin, last=end, head=head)

    def export(self, slug: str, path: str | Path, *, period: Period) -> Pack:
        """Write the evidence pack of one client; the export is recorded before it is made."""
        self._refuse_unknown(slug)
        finish(self.workspace.audit / slug, lock=self._merging)

        def announce() -> None:
            message = f"An evidence pack of {period} was exported."
            self.note_export(slug, message, since=period.since, until=period.until)
            self._writer.settle()  # so that a signed head covers all of it

        log = log_of(self.workspace, slug)
        return export(log, Path(path), period=period, announce=announce)

    def merge(
        self,
        source: str | Path,
        *,
        client: str | None = None,
        key: str | Iterable[str] = (),
        confirm: Confirm | None = None,
        progress: Progress = silent,
    ) -> Plan:
        """
        Merge another machine's log of a client, and return what that added (`audit.merging`).

        `source` is an evidence pack, or a workspace of which `client` names the log. `key` is
        the id, or fingerprint, of the key that signed it, read on the other machine; without
        it `confirm` is asked. Raises `EvidenceRefused` and `UnknownClient`.
        """
        room = shutil.disk_usage(self.workspace.root).free
        with open_source(Path(source), client=client, room=room) as found:
            connection = self.workspace.index.read().connections.get(ClientSlug(found.slug))
            if connection is None and found.slug not in self.slugs():
                raise UnknownClient(
                    f"{found.slug} is neither connected nor on record here. Nothing was merged.",
                    hint=f"Connect it first: hsagency onboard --client {found.slug} --portal ID",
                )
            return merge(
                log_of(self.workspace, found.slug),
                found,
                writer=self._writer,
                lock=self._merging,
                portal=None if connection is None else int(connection.portal_id),
                keys=[key] if isinstance(key, str) else [*key],
                confirm=confirm,
                progress=progress,
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
        """Stop what forwards the log."""
        for forwarder in self._forwarders:
            forwarder.close()

    def note_export(
        self, slug: str, message: str, *, since: datetime | None, until: datetime | None
    ) -> None:
        """Record that a client's log was exported, before it is handed out."""
        self._writer.append(slug, ranged(Event.AUDIT_EXPORTED, message, since, until))

    def _refresh(self, slugs: Iterable[str], *, thorough: bool) -> dict[str, str]:
        """Seal what is closed, as far as that can be done; return the portals' time zones."""
        zones = self._zones()
        refresh = partial(sealing.refresh, self.workspace.audit, signer=self._signer)
        for slug in slugs:
            for one in refresh(slug, zone=zones.get(slug), thorough=thorough):
                if self._writer.is_first(one):
                    self._writer.tell(one)
        return zones

    def _zones(self) -> dict[str, str]:
        try:
            known = self.workspace.index.read()
        except HsAgencyError:
            return {}  # the log is read all the same; days in a portal's zone are not known
        zones = {slug: one.time_zone for slug, one in known.tombstones.items()}
        zones |= {slug: one.time_zone for slug, one in known.connections.items()}
        return {slug: zone for slug, zone in zones.items() if zone is not None}

    def note_reading(
        self,
        slug: str | None,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        how: str = "read",
        but: Collection[str] = (),
    ) -> None:
        """Record that a log was read, or every log `but` some, each in its own chain."""
        if slug is None:
            every = self.recorded()
            read = [one for one in (AGENCY, *every) if every and one not in but]
        else:
            read = [slug] if _has_log(self.workspace.audit, slug) else []
        note_readings(self._writer, read, f"{how} by {self.reader}", since=since, until=until)

    def _logs(self, slug: str | None) -> Iterable[str]:
        if slug is None:
            return [AGENCY, *self.recorded()]
        self._refuse_unknown(slug)
        return [slug]

    def _refuse_unknown(self, slug: str) -> None:
        if not isinstance(slug, str):
            raise UsageError("A client is named by its slug, a text.", hint="As in 'acme-corp'.")
        if slug != AGENCY and not _has_log(self.workspace.audit, slug) and slug not in self.slugs():
            try:
                self._connected(slug)
            except UnknownClient as error:
                error.message = error.message.replace("Nothing was sent.", "Nothing was read.")
                raise


def _has_log(folder: Path, slug: str) -> bool:
    try:
        return is_log(folder / slug)
    except AuditError:
        return False
