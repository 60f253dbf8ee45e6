"""
The agency: opens a workspace and hands out everything in it.

This is the only place where the parts are put together. Opening reads the settings and
nothing else: no secret, no network, no journal.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Self

import polars as pl

from hsagency.audit.journal.writer import AuditWriter, this_run, utc_now
from hsagency.audit.log import AuditLog
from hsagency.audit.privacy.identifiers import Identifiers
from hsagency.audit.record import When
from hsagency.audit.register.signing import SigningKey
from hsagency.audit.standalone.verdict import Verdict
from hsagency.auth import TokenDesk
from hsagency.client import PortalClient
from hsagency.completeness.gathering import Comparison, compare, usage_record
from hsagency.credentials import CredentialStore, choose_store, open_store
from hsagency.facts import Verified
from hsagency.fleet import PURPOSE, Amounts, Clients, Fleet, estimate, map_portals
from hsagency.fleet.choosing import chosen
from hsagency.fleet.listing import Listing, listing, refreshed
from hsagency.halt import Halt
from hsagency.health import stopped
from hsagency.pacing import Pacing
from hsagency.periods import days_between
from hsagency.portals import ClientSlug, Connection
from hsagency.progress import Progress, bar
from hsagency.quota import fleet as quotas
from hsagency.router import Parts, Router
from hsagency.settings import Priority, Workspace
from hsagency.transport import Network
from hsagency.verifier import DailyUsage, daily_usage


class Agency:
    """
    One workspace, opened: its portals, its audit log, its reports.

    Use it as a context manager or call `close()`; a forked child opens its own.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.index = workspace.index
        self.halt = Halt(workspace.state / "halt.json")
        self.network = Network(workspace.settings.network, folder=workspace.root)
        signing = SigningKey(
            store=lambda: self.store,
            workspace=workspace.settings.workspace,
            audit=workspace.audit,
            lock=workspace.state / "signing.lock",
            copy=workspace.heads / "keys.json",
            now=utc_now,
            tell=lambda message: self.writer.tell(message),
        )
        self.writer = AuditWriter(
            workspace.audit, author=this_run(), signer=signing.signer, copy=workspace.heads
        )
        self.pacing = Pacing(
            workspace.state / "pacing", settings=workspace.settings, writer=self.writer
        )
        identifiers = Identifiers(
            store=lambda: self.store,
            workspace=workspace.settings.workspace,
            writer=self.writer,
            lock=workspace.state / "identifiers.lock",
        )
        self.audit = AuditLog(
            workspace,
            self.writer,
            connected=lambda slug: self.connection(slug),
            identifiers=identifiers,
            signer=signing.signer,
        )
        parts = Parts(
            workspace=workspace,
            index=self.index,
            store=lambda: self.store,
            writer=self.writer,
            halt=self.halt,
            now=utc_now,
            network=self.network,
            pacing=self.pacing,
            identify=identifiers.hashed,
        )
        self.stops, self.apps = parts.stops, parts.apps
        self.router = Router(parts)

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

    def desk(self, api_base: str, *, candidate: ClientSlug | None = None) -> TokenDesk:
        """Return HubSpot's token endpoints, for a portal that is not connected yet."""
        return TokenDesk(
            self.apps.read(api_base),
            writer=self.writer,
            halt=self.halt,
            network=self.network,
            candidate=candidate,
        )

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

    def map(
        self,
        fn: Callable[[PortalClient], object],
        *,
        clients: Clients = None,
        purpose: str = PURPOSE,
        audit: bool = False,
        cost: Amounts | None = None,
        workers: int | None = None,
        progress: Progress = bar,
        cancel: threading.Event | None = None,
    ) -> pl.DataFrame:
        """
        Call a function with a client of every portal at once; one row each (`fleet.RESULTS`).

        `clients` are slugs, or a question about a `Connection`. The client raises answers that
        are errors; whatever the function raises is that portal's row. Portals that are stopped,
        have no room for `cost` calls, or take no part in an `audit`, are rows too. `workers`
        bounds how many portals are at work at once (all, up to 128); one that waits its turn
        does not count. When `cancel` is set, waiting calls give up, those
        in flight end, and nothing more is begun; Ctrl-C does the same and raises
        `FleetInterrupted`, which has the rows. Raises `UnknownClient`, or `Halted`.
        """
        return map_portals(
            fn,
            self._fleet(purpose),
            clients=clients,
            audit=audit,
            cost=cost,
            workers=workers,
            progress=progress,
            cancel=cancel,
        )

    def cost(
        self,
        calls: Amounts,
        *,
        clients: Clients = None,
        purpose: str = PURPOSE,
        searches: Amounts = 0,
        associations: Amounts = 0,
    ) -> pl.DataFrame:
        """
        Estimate what calls would take of each portal's quota (columns: `fleet.COST`).

        `calls` is a number, one by slug, or a function of the `Connection`; `searches` and
        `associations` say how many of them are such, which have limits of their own. Nothing is
        asked: what no answer told is null.
        """
        return estimate(
            calls,
            self._fleet(purpose),
            clients=clients,
            searches=searches,
            associations=associations,
        )

    def _fleet(self, purpose: str) -> Fleet:
        return Fleet(
            known=self.index.read(),
            client=lambda slug, waits: self.router.client(
                slug, purpose=purpose, waits=waits, raising=True
            ),
            standing=lambda connection: self.pacing.of(connection).standing(),
            purpose=purpose,
            priority=self.workspace.settings.purposes.get(purpose, Priority.NORMAL),
            check=self.halt.check,
            now=utc_now,
        )

    def quota(
        self, clients: Clients = None, *, refresh: bool = False, progress: Progress = bar
    ) -> pl.DataFrame:
        """
        Return what every portal has left of its day, by slug (columns: `quota.fleet.FLEET`).

        It is what answers of today told this machine; null is what none told. With `refresh`
        each portal's usage endpoint is asked first, which counts legacy private apps alone, so
        that a header of today counts for more; `error` says where that was in vain. Raises
        `UnknownClient` and, with `refresh`, `Halted`.
        """
        meant = chosen(self.index.read(), clients)
        slugs = [one.client_slug for one in meant]
        failed: Mapping[str, str] = {}
        if refresh:
            asked = self.map(self._ask_anew, clients=slugs, purpose="quota", progress=progress)
            failed = quotas.failures(asked)
        seen = quotas.look(meant, lambda one: self.pacing.of(one).standing(), failed=failed)
        return quotas.fleet(seen, now=utc_now())

    def _ask_anew(self, portal: PortalClient) -> None:
        self._learn(portal.portal.client_slug, quotas.ask(portal))

    def _learn(self, slug: str, usage: DailyUsage) -> None:
        """Go by what the usage endpoint told, and store it where it says when it counted."""
        connection = self.connection(slug)
        quotas.learn(self.pacing.of(connection), usage, now=utc_now())
        if usage.collected_at is not None:
            self.writer.append(slug, usage_record(connection, usage))

    def verify(self, slug: str) -> Verified:
        """Ask HubSpot now whose credential is stored and what it may do; raises as `verify` does."""
        return self.router.prove(slug)

    def resume(self, slug: str | None = None, *, reason: str) -> str:
        """
        Let calls to one portal go on, or lift the fleet-wide halt; return what it was for.

        The reason is recorded, and the next call proves the credential anew. Raises
        `UnknownClient`, `NotStopped`, `Conflict` where another alarm came meanwhile, or
        `UsageError` where the reason is blank.
        """
        if slug is None:
            return self.stops.resume_fleet(reason=reason, recorded=self.audit.recorded())
        return self.stops.clear(self.connection(slug).client_slug, reason=reason).reason

    def stopped(self) -> pl.DataFrame:
        """
        Return what is stopped until a person resumes it (columns: `health.STOPPED`).

        One row a portal, by slug; before them, with no slug, one for the fleet if it is halted.
        """
        return stopped(self.connections().values(), self.halt)

    def portals(self, *, refresh: bool = False, progress: Progress = bar) -> pl.DataFrame:
        """
        Return one row a connection, sorted by slug (columns: `fleet.PORTALS`).

        From what this machine knows; with `refresh` every portal is verified and its usage asked
        for first, and `error` says where that was in vain. The slots of the fleet, and removals
        that are not finished, are in `listing()`.
        """
        return self.listing(refresh=refresh, progress=progress).frame()

    def listing(self, *, refresh: bool = False, progress: Progress = bar) -> Listing:
        """Do what `portals` does, with more to tell: `slots`, `removing`, each portal's health."""
        asked = refreshed(self.slugs() if refresh else (), self._refresh, progress=progress)
        return listing(self.workspace, self.pacing, now=utc_now(), failed=asked)

    def _refresh(self, slug: str) -> None:
        """Verify a portal, and ask for its usage; one that is stopped is not asked for more."""
        self.verify(slug)
        if self.connection(slug).stopped is None:
            self._ask_anew(self.client(slug, purpose="quota"))

    def calls(
        self, slug: str | None = None, *, since: When = None, until: When = None
    ) -> pl.LazyFrame:
        """
        Return one row a call, in no order, of one client or of all (columns: `audit.lake.CALLS`).

        `since` is included and `until` is not, by when a call was started; a day is a UTC day.
        The reading is recorded. `segment` and `seq` name the record of a row: line `seq` of
        that segment, which `audit.record` returns. Of a merged log, "KEY/000-000001" lies in
        `audit/SLUG/merged/KEY/evidence`. Sealed files are taken as they are where their size
        and time of change are those that were signed; `audit.read` compares digests too.
        """
        return self.audit.calls(slug, since=since, until=until)

    def activity(
        self, slug: str | None = None, *, since: When = None, until: When = None
    ) -> pl.DataFrame:
        """Return what happened to connections and the log (columns: `audit.lake.ACTIVITY`)."""
        return self.audit.activity(slug, since=since, until=until)

    def completeness(
        self, slug: str, *, since: str | date | None = None, until: str | date | None = None
    ) -> pl.DataFrame:
        """
        Compare a client's log with HubSpot's counts (columns: `completeness.DAYS`).

        Days are the portal's; `since` is included and `until` is not. It needs neither a secret
        nor the network, and is recorded as a reading. Raises `UnknownClient` for a slug that is
        neither connected nor recorded.
        """
        return self.compare(slug, since=since, until=until).days

    def compare(
        self,
        slug: str,
        *,
        since: str | date | None = None,
        until: str | date | None = None,
        verdict: Verdict | None = None,
    ) -> Comparison:
        """
        Do what `completeness` does, with more to tell.

        `verdict` is the log's, for who verifies it: that hands out no record, and is no reading.
        """
        first, after = days_between(since, until)
        found = compare(
            self.workspace,
            slug,
            connection=self.connections().get(ClientSlug(slug)),
            verify=lambda begin, end: verdict or self.audit.verify(slug, first=begin, last=end),
            since=first,
            until=after,
        )
        if verdict is None:
            self.audit.note_reading(slug, *found.read)
        return found

    def ask_usage(self, slug: str) -> DailyUsage | None:
        """
        Ask HubSpot's daily usage endpoint now, and store what it counted in the client's log.

        Nothing where HubSpot did not tell, or not when it counted. Raises as `client` does.
        """
        usage = daily_usage(self.client(slug, purpose="completeness"))
        if usage is None or usage.collected_at is None:
            return None
        self._learn(slug, usage)
        return usage

    def close(self) -> None:
        """Close every client, stop what forwards the audit log, and let go of it."""
        self.router.close()
        self.audit.close()
        self.pacing.close()
        self.writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Agency {self.workspace.root}>"
