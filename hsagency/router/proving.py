"""
Shows that a stored credential still belongs to the portal that it is stored for.

The proof is kept with its age, so that inside the age nothing is asked again; reads accept an
older one than writes. A credential that turns out to reach another portal halts the fleet, and
one that is rejected stops its portal. A stopped portal may be asked, which does not resume it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import fields, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from hsagency.audit.record import Event
from hsagency.client import Ways
from hsagency.errors import PortalMismatch, PortalUnreachable, VerificationError
from hsagency.facts import Verified, differences, gathered, merged, type_warning
from hsagency.portals import Cause, Connection, ConnectionStatus, Proof, redact
from hsagency.router.asking import Asked, ask_all
from hsagency.router.channels import Channels
from hsagency.router.granting import Grants
from hsagency.router.parts import Parts
from hsagency.router.renewing import renewed
from hsagency.router.routing import lead_back, reroute
from hsagency.router.scoping import with_scopes
from hsagency.routes import OperationClass
from hsagency.scopes import missing_scopes, surplus_scopes
from hsagency.transport import Call, Grant
from hsagency.verdicts import Fate, Verdict
from hsagency.verifier import Identity, answerer, verify
from hsagency.waiting import Waits

PURPOSE: Final = "verification"
"""Of the calls that a proof costs."""
PATIENCE: Final = 15.0
"""Seconds that whoever asks for a client waits at most for HubSpot to tell whose it is."""
_REJECTED: Final = 401
_NO_REASON: Final = "unknown"
_MOMENT: Final = 0.02  # seconds between two looks whether another thread has its proof


class Prover:
    """Proves connections, and sees to what becomes of those that fail."""

    def __init__(self, parts: Parts, channels: Channels) -> None:
        self._parts, self._channels = parts, channels

    def admit(self, grants: Grants, grant: Grant, does: OperationClass, *, waits: Waits) -> Grant:
        """Return the grant if its proof is young enough for what a call does, else ask again."""
        connection = grant.connection
        age = self._age(does)
        if connection is None or self._is_fresh(connection, age):
            return grant
        lock = self._channels.open(connection).lock
        why = f"{connection.client_slug} waits for its proof"
        if lock.locked():
            waits.until(partial(_is_free, lock), None, why=why)
        with lock:  # whoever comes second finds the first's proof
            grant = grants.now()
            if grant.connection is not None and not self._is_fresh(grant.connection, age):
                self._ask(grant.connection, waits=waits)
        return grants.now()

    def prove(self, connection: Connection) -> Verified:
        """
        Ask HubSpot now whose credential this is and what it may do, and record it.

        Raises as `verify` does.
        """
        with self._channels.open(connection).lock:
            return self._ask(connection, asked_for=True)

    def confirm(self, connection: Connection, *, because: Verdict) -> Identity:
        """
        Ask whether a portal that refused a call still answers at all; raises as `verify` does.

        Where this is refused in the same way, and without a reason, the call's is the reason.
        """
        with self._channels.open(connection).lock:
            return self._ask(connection, because=because)

    def _age(self, does: OperationClass) -> timedelta:
        limits = self._parts.workspace.settings.proof
        if does is OperationClass.READ:
            return timedelta(hours=limits.read_hours)
        return timedelta(minutes=limits.write_minutes)

    def _is_fresh(self, connection: Connection, age: timedelta) -> bool:
        proof = connection.proof
        if proof is None or proof.fingerprint != connection.fingerprint:
            return False
        if _asked_there(proof) != _asked_there(connection):
            return False
        # A proof from the future is a clock that was set back: no proof at all.
        return timedelta() <= self._parts.now() - proof.at <= age

    def _ask(
        self,
        connection: Connection,
        *,
        asked_for: bool = False,
        because: Verdict | None = None,
        waits: Waits | None = None,
    ) -> Verified:
        who = answerer(connection.api_base)
        grants = Grants(
            self._parts, self._channels, connection, purpose=PURPOSE, while_stopped=True
        )
        channel = self._channels.open(connection).channel
        ways = Ways(
            current=grants.now,
            pace=self._parts.pace,
            after=self._led,
            superseded=self._parts.superseded,
            patience=PATIENCE,
            waits=waits,
        )
        with channel.client(binding=grants.binding, ways=ways) as sender:
            try:
                identity = verify(sender, expected=connection.portal_id, who=who)
                told = Asked(identity=identity)
                if asked_for:
                    told = ask_all(self._parts, connection, sender, identity)
                if told.introspection and told.contradiction():
                    got = told.introspection.portal_id
                    raise PortalMismatch(expected=connection.portal_id, got=got)
            except VerificationError as error:
                if error.status_code is None and isinstance(error, PortalUnreachable):
                    lead_back(self._parts, connection)
                if because and (error.cause, error.status_code) == (
                    _NO_REASON,
                    because.status_code,
                ):
                    error.cause = because.breaks
                self._parts.stops.failed(connection, error)
                error.add("Nothing else was sent.")
                raise
        return self._keep(connection, told, asked_for=asked_for)

    def _keep(self, connection: Connection, told: Asked, *, asked_for: bool) -> Verified:
        """Store and record what was told, unless another credential took the place of this one."""
        at, found = self._parts.now(), list[Verified]()

        def proven(stored: Connection) -> Connection:
            after = _proven(stored, told, at=at, asked_for=asked_for)
            found.append(_verified(stored, after, told))
            self._note_success(stored, found[-1], asked_for=asked_for)
            return after

        self._parts.index.edit(
            connection.client_slug, generation=connection.generation, change=proven
        )
        return found[-1] if found else _verified(connection, connection, told)

    def _led(self, call: Call, verdict: Verdict) -> bool:
        """Go where the portal's data centre is; what else an answer means, `verify` says."""
        if call.connection is None:
            return False
        if verdict.fate is Fate.REROUTE:
            return reroute(self._parts, call.connection, verdict)
        return verdict.status_code == _REJECTED and renewed(self._parts, call)

    def _note_success(self, before: Connection, found: Verified, *, asked_for: bool) -> None:
        """Record what a verification found before the index shows it."""
        after = found.connection
        if found.changed:
            said = (
                f"{answerer(after.api_base)} now reports for portal {after.portal_id}: "
                f"{found.changed}."
            )
            self._parts.note(after, Event.CONNECTION_CHANGED, said[:1].upper() + said[1:])
        lacks = after.cause is Cause.SCOPES
        if lacks and before.cause is not Cause.SCOPES:
            said = f"{after.portal} needs to be reconnected: {after.status_evidence}."
            self._parts.note(after, Event.CONNECTION_FAILED, said)
        watched = type_warning(before.facts, after.facts)
        if watched is not None and not asked_for:  # else whoever asked is told
            self._parts.writer.tell(redact(f"{after.portal}: {watched}."))
        again = before.status is not ConnectionStatus.CONNECTED and not lacks
        if again or asked_for:
            evidence = f" ({before.status_evidence})" if before.status_evidence else ""
            was = f" It works again; it was {before.status}{evidence}." if again else ""
            if before.cause is Cause.USER and before.stopped is None:
                was = f" Calls were refused to its user{evidence}: the next such call shows whether they are."
            still = (
                " Calls to it stay stopped until a person resumes them." if after.stopped else ""
            )
            said = f"Verified {after.portal}: the credential is this portal's.{was}{still}"
            self._parts.note(after, Event.CONNECTION_VERIFIED, said)


def _asked_there(one: Proof | Connection) -> tuple[object, ...]:
    return one.portal_id, one.api_base, one.routed_to


def _is_free(lock: threading.Lock, seconds: float) -> bool:
    """Say whether nobody holds a lock, after a moment: it is not taken, which could be cut short."""
    if lock.locked():
        time.sleep(min(seconds, _MOMENT))
    return not lock.locked()


def _proven(stored: Connection, told: Asked, *, at: datetime, asked_for: bool) -> Connection:
    """Return a connection that works, with what is told of its portal now beside the rest."""
    identity, before = told.identity, stored
    # Who looks at it must see why it is not called all the same, or what it still lacks. Of its
    # user the portal's details tell nothing: only a person who asks puts that behind us.
    lacks = before.cause is Cause.SCOPES or (before.cause is Cause.USER and not asked_for)
    if before.stopped is None and not lacks:
        connected = ConnectionStatus.CONNECTED
        before = replace(before, status=connected, status_evidence="", cause=None, trouble=None)
    proven = replace(
        before,
        proof=Proof(
            at=at,
            portal_id=identity.portal_id,
            fingerprint=stored.fingerprint,
            correlation_id=identity.correlation_id,
            api_base=stored.api_base,
            routed_to=stored.routed_to,
        ),
        hublet=identity.hosting or stored.hublet,
        facts=merged(stored.facts, gathered(told, at=at)),
    )
    scopes = told.introspection.scopes if told.introspection else None
    return proven if scopes is None else with_scopes(proven, scopes, at=at)


def _verified(before: Connection, after: Connection, told: Asked) -> Verified:
    """Return what a verification found, with what a person should know of it."""
    scopes = told.introspection.scopes if told.introspection else None
    kind = after.connection_type
    warnings = [type_warning(before.facts, after.facts)]
    if told.unsaid and scopes is None:
        warnings.append(f"{told.unsaid}; they were not checked")
    surplus = surplus_scopes(kind, scopes or ())
    if surplus:
        warnings.append(f"it could change things: {len(surplus)} scopes beyond reading")
    return Verified(
        **{one.name: getattr(told.identity, one.name) for one in fields(told.identity)},
        connection=after,
        changed=differences(before.facts, after.facts),
        warnings=tuple(one for one in warnings if one),
        missing=tuple(missing_scopes(kind, scopes)) if scopes is not None else (),
    )
