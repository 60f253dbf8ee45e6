"""
What stops calls until a person clears it: the stop of one portal, and the halt of the fleet.

A portal is stopped when its credential is no longer accepted (401), or its portal is suspended
or closed to it. The stop is kept in the index with its evidence, so that it counts at once in
every process; it is of one credential generation, so that a rejection that comes late never
stops a newer one, and a new credential is not stopped. Both are on record before they show.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Event
from hsagency.errors import (
    Conflict,
    CredentialRejected,
    ForeignAnswer,
    MissingScopes,
    NotStopped,
    PortalForbidden,
    PortalMismatch,
    PortalStopped,
    UsageError,
    VerificationError,
    WorkspaceError,
)
from hsagency.halt import Halt
from hsagency.index import Index
from hsagency.portals import (
    AGENCY,
    Cause,
    ClientSlug,
    Connection,
    ConnectionStatus,
    CredentialKind,
    Stop,
    redact,
)

_NEW_CREDENTIAL: Final = frozenset({401, 488})  # what another credential mends, and nothing else
_MENDED_BY_ANOTHER: Final = frozenset({
    Cause.EXPIRED, Cause.REVOKED, Cause.SCOPES, Cause.USER, Cause.DATA_CENTRE,
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Stops:
    """Sets and clears the stops of one workspace, with their records."""

    index: Index
    writer: AuditWriter
    halt: Halt
    now: Callable[[], datetime]

    def stop(
        self,
        connection: Connection,
        reason: str,
        *,
        status_code: int | None = None,
        correlation_id: str | None = None,
        cause: Cause = Cause.UNKNOWN,
    ) -> bool:
        """
        Stop calls to one portal, for a reason in words of that client alone; say whether they are.

        They are not where another credential generation took the place of `connection`'s
        meanwhile. The first reason stays. Raises `AuditError` where it cannot be recorded, and
        then nothing was stopped: but without its log no call is sent either.
        """
        stop = Stop(
            reason=redact(reason),
            at=self.now(),
            status_code=status_code,
            correlation_id=correlation_id,
            cause=cause,
        )
        held = []

        def change(stored: Connection) -> Connection:
            held.append(stored)
            if stored.stopped is not None:
                return stored
            said = f"Calls to {stored.portal} were {until(stop)}: "
            self._note(stored, Event.STOP_SET, said + stop.reason, **_evidence(stop))
            return _stopped(stored, stop)

        self.index.edit(connection.client_slug, generation=connection.generation, change=change)
        return bool(held)

    def doubt(
        self,
        connection: Connection,
        reason: str,
        *,
        status_code: int | None,
        correlation_id: str | None,
        cause: Cause,
    ) -> None:
        """
        Note that some calls to one portal are in vain; the others go on, and nothing is stopped.

        What was noted first stays, and so does what is known of another credential generation.
        Raises `AuditError` where it cannot be recorded.
        """
        known = self.index.read().connections.get(connection.client_slug)
        if known is None or known.status is not ConnectionStatus.CONNECTED:
            return  # of every such call, one is worth a lock
        seen = Stop(
            reason=redact(reason),
            at=self.now(),
            status_code=status_code,
            correlation_id=correlation_id,
            cause=cause,
        )

        def change(stored: Connection) -> Connection:
            if stored.status is not ConnectionStatus.CONNECTED or stored.stopped is not None:
                return stored
            said = f"{stored.portal} needs reconnection, and calls go on meanwhile: {seen.reason}"
            self._note(stored, Event.CONNECTION_FAILED, said, **_evidence(seen))
            needs = ConnectionStatus.NEEDS_RECONNECTION
            return replace(
                stored, status=needs, status_evidence=_said(seen), cause=cause, trouble=seen
            )

        self.index.edit(connection.client_slug, generation=connection.generation, change=change)

    def clear(self, slug: ClientSlug, *, reason: str) -> Stop:
        """
        Let calls to one portal go on, for a reason that is recorded; return what stopped them.

        The credential is proven anew before the next call. Raises `NotStopped`, or `UsageError`
        where the reason is blank.
        """
        if not reason.strip():
            raise UsageError("Resuming needs a reason; nothing was changed.")
        cleared = []

        def change(connections: dict[ClientSlug, Connection]) -> None:
            stored = connections.get(slug)
            if stored is None or stored.stopped is None:
                raise NotStopped(f"{slug} is not stopped; nothing was changed.")
            said = f"Calls to {stored.portal} may go on ({redact(reason.strip())}); they had been "
            said += since(stored.stopped)
            self._note(stored, Event.STOP_CLEARED, said)
            cleared.append(stored.stopped)
            connections[slug] = _resumed(stored, at=self.now())

        self.index.write(change)
        return cleared[0]

    def replaced(self, before: Connection) -> None:
        """Record that a stop ends because another credential takes the place of `before`'s."""
        if before.stopped is not None:
            said = f"Calls to {before.portal} may go on with a new credential; they had been "
            said += since(before.stopped)
            self._note(before, Event.STOP_CLEARED, said)

    def failed(self, connection: Connection, error: VerificationError) -> None:
        """
        Do what a failed proof of a live connection asks for: halt all, stop one, or nothing.

        Once: whoever passes the same error on may ask for it again.
        """
        if error.seen_to:
            return
        error.seen_to = True
        if isinstance(error, PortalMismatch):
            self.halt_fleet(connection, error)
        elif isinstance(error, MissingScopes):  # asked again at the next call: it may be added
            self.doubt(
                connection,
                error.message,
                status_code=error.status_code,
                correlation_id=error.correlation_id,
                cause=Cause.SCOPES,
            )
        elif isinstance(error, CredentialRejected | PortalForbidden):
            if connection.stopped is not None:
                said = f"Asked while calls are stopped: {error.message}"
                self._note(connection, Event.CONNECTION_FAILED, said)
            stopped = self.stop(
                connection,
                error.message,
                status_code=error.status_code,
                correlation_id=error.correlation_id,
                cause=Cause(error.cause),
            )
            if stopped:
                is_over = _is_mended_by_another(error.status_code, Cause(error.cause))
                error.add(f"Calls to {connection.portal} are {_STOPPED_UNTIL[is_over]}.")
                cure = replace_credential(connection) if is_over else resume(connection)
                error.hint += f" Then: {cure}" if is_over else f" Once it works again: {cure}"

    def halt_fleet(self, connection: Connection, error: PortalMismatch) -> None:
        """Halt every call of every process, because one connection reached another's portal."""
        error.name({**self._owners(), error.expected: connection.client_slug})
        whose = f"portal {error.got}" + (f" ({error.owner})" if error.owner else "")
        did = f"the credential of {connection.client_slug} reached"
        if isinstance(error, ForeignAnswer):
            did = f"an answer to {connection.client_slug} named"
        instead = f"instead of {error.expected}."
        try:
            self.halt.set(
                f"{did} {whose} {instead}",
                at=self.now(),
                slug=connection.client_slug,
                correlation_id=error.correlation_id,
            )
        finally:  # neither a full disk nor a broken log keeps the other from being done
            if isinstance(error, ForeignAnswer):
                error.hint = self.halt.advice()
            try:
                # A client's own log, which the client may read, tells nothing of another one.
                said = f"The fleet was halted: {did} another portal {instead}"
                self._note(connection, Event.HALT_SET, said)
            finally:  # it is every client's halt: the agency's log has it beside its end
                said = redact(f"The fleet was halted: {did} {whose} {instead}")
                self.writer.append(AGENCY, {"event": Event.HALT_SET, "message": said})
        self.index.update(connection.client_slug, generation=connection.generation, proof=None)

    def resume_fleet(self, *, reason: str, recorded: Collection[str]) -> str:
        """
        Lift the halt, for a reason that is recorded; return what it was for.

        Raises as `Halt.clear` does.
        """
        seen, halted_for = self.halt.content(), self.halt.reason()
        if halted_for is None or not reason.strip():
            return self.halt.clear(reason=reason)
        logs = sorted({*self.halt.logs()}.intersection(recorded))
        why = redact(reason.strip())
        self._tell(
            logs,
            Event.HALT_CLEARED,
            "The fleet was resumed.",
            f"The fleet was resumed ({why}); it was halted: {halted_for}",
        )
        try:
            return self.halt.clear(reason=reason, expect=seen)
        except Conflict:
            said = "The fleet stays halted: there was another alarm as it was resumed."
            self._tell(logs, Event.HALT_SET, said, said)
            raise

    def _tell(self, logs: Iterable[str], event: Event, said: str, all_of_it: str) -> None:
        """Put on record what concerns the fleet; the agency's log alone may name clients."""
        for slug in logs:
            self.writer.append(slug, {"event": event, "message": said})
        self.writer.append(AGENCY, {"event": event, "message": all_of_it})

    def _owners(self) -> dict[int, str]:
        try:
            return self.index.read().owners()
        except WorkspaceError:  # names are welcome, and no reason not to halt
            return {}

    def _note(self, connection: Connection, event: Event, said: str, **more: object) -> None:
        fields = {"event": event, "portalId": connection.portal_id, "message": redact(said)}
        generation = {"credentialGeneration": connection.generation}
        self.writer.append(connection.client_slug, {**fields, **generation, **more})


def refuse_if_stopped(connection: Connection) -> None:
    """Raise `PortalStopped` if calls to a portal wait for a person."""
    stop = connection.stopped
    if stop is not None:
        raise PortalStopped(
            f"Calls to {connection.portal} are {since(stop)} Nothing was sent.",
            hint=advice(connection),
        )


def since(stop: Stop) -> str:
    """Return since when and why a portal is stopped: "stopped since ...: HubSpot ..."."""
    end = "" if stop.reason.endswith((".", "!", "?")) else "."
    return f"stopped since {moment(stop.at)}: {stop.reason}{end}"


def until(stop: Stop) -> str:
    """Return what ends a stop: "stopped until ..."; a dead credential is not mended by resuming."""
    return _STOPPED_UNTIL[_is_mended_by_another(stop.status_code, stop.cause)]


_STOPPED_UNTIL: Final = {
    True: "stopped until it is connected again",
    False: "stopped until a person resumes them",
}


def next_step(connection: Connection) -> str:
    """Return the command that a person who sees a portal that is not well runs next."""
    if connection.stopped is None:  # calls go on: some in vain, or nobody saw yet whether they are
        another = connection.cause is Cause.USER or (
            connection.cause is Cause.SCOPES and connection.kind is CredentialKind.OAUTH
        )
        return replace_credential(connection) if another else verify(connection)
    if works_again(connection):
        return resume(connection)
    return replace_credential(connection) if _needs_a_key(connection) else verify(connection)


def works_again(connection: Connection) -> bool:
    """Say whether a portal was shown to work since it was stopped."""
    proof, stop = connection.proof, connection.stopped
    return proof is not None and stop is not None and proof.at > stop.at


def advice(connection: Connection) -> str:
    """Return, with the same command, what a person who sees a stopped portal does next."""
    if connection.stopped is None:
        return ""
    if works_again(connection):
        return f"It works again; to let calls go on: {resume(connection)}"
    if _needs_a_key(connection):
        if connection.kind is CredentialKind.OAUTH:
            return f"Ask the client whether that was meant; to connect it again: {replace_credential(connection)}"
        source = "sandbox (POST /_sandbox/tokens/rotate)" if connection.api_base else "client"
        return f"Ask the {source} for a new service key, then: {replace_credential(connection)}"
    asks, goes_on = verify(connection), resume(connection)
    return f"Ask whether it works again: {asks}; once it does: {goes_on}"


def verify(connection: Connection) -> str:
    """Return the command that asks whether a portal works again."""
    return f"hsagency verify {connection.client_slug}"


def replace_credential(connection: Connection) -> str:
    """Return the command that gives a connection a new credential, and so ends its stop."""
    return f"hsagency reconnect {connection.client_slug}"


def resume(connection: Connection) -> str:
    """Return the command that ends the stop of a connection."""
    return f"hsagency resume {connection.client_slug} --reason TEXT"


def moment(at: datetime) -> str:
    """Return a time as people read it."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _stopped(stored: Connection, stop: Stop) -> Connection:
    status = ConnectionStatus.DISCONNECTED
    if _is_mended_by_another(stop.status_code, stop.cause):
        status = ConnectionStatus.NEEDS_RECONNECTION
    return replace(
        stored,
        stopped=stop,
        trouble=None,
        status=status,
        status_evidence=_said(stop),
        cause=stop.cause,
        proof=None,
    )


def _said(stop: Stop) -> str:
    trace = f", correlation id {stop.correlation_id}" if stop.correlation_id else ""
    return f"{stop.status_code or 'stopped'} at {moment(stop.at)}{trace}"


def _resumed(stored: Connection, *, at: datetime) -> Connection:
    """Return a connection that may be called: it works if that was shown while it was stopped."""
    resumed = replace(stored, stopped=None, proof=None, trouble=stored.stopped)
    if works_again(stored):
        connected = ConnectionStatus.CONNECTED
        return replace(resumed, status=connected, status_evidence="", cause=None, trouble=None)
    said = f"{stored.status_evidence}; resumed at {moment(at)} and not asked since"
    return replace(resumed, status_evidence=said)  # whether it works, its next proof says


def _needs_a_key(connection: Connection) -> bool:
    stop = connection.stopped
    return stop is not None and _is_mended_by_another(stop.status_code, stop.cause)


def _is_mended_by_another(status_code: int | None, cause: Cause) -> bool:
    """Say whether another credential is what it takes, rather than the client's own doing."""
    if cause is Cause.SUSPENDED:  # which HubSpot may also answer with a 401
        return False
    return status_code in _NEW_CREDENTIAL or cause in _MENDED_BY_ANOTHER


def _evidence(stop: Stop) -> dict[str, object]:
    return {"statusCode": stop.status_code, "correlationId": stop.correlation_id}
