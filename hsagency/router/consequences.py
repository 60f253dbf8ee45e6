"""
What becomes of a connection after an answer: stopped, asked again, or led to its data centre.

Whatever happened to a credential that another one has replaced meanwhile says nothing about the
connection: then the call may be made again with the new one, if it had no effect.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from hsagency.errors import VerificationError, WorkspaceError
from hsagency.pacing import Budget, Pacer, budget_of
from hsagency.portals import Cause, Connection
from hsagency.router.parts import Parts
from hsagency.router.proving import Prover
from hsagency.router.renewing import renewed
from hsagency.router.routing import reroute
from hsagency.scopes import wanted
from hsagency.transport import Call
from hsagency.verdicts import Fate, Verdict
from hsagency.verifier import answerer

_LIMITED: Final = 429
_REJECTED: Final = 401
_BUDGETS: Final = {"burst": Budget.BURST, "search": Budget.SEARCH}
_ASKED_LATELY: Final = timedelta(seconds=60)  # a portal that answered then is not lost


class Consequences:
    """Does what a verdict says of a connection."""

    def __init__(self, parts: Parts, prover: Prover) -> None:
        self._parts, self._prover = parts, prover

    def follow(self, call: Call, verdict: Verdict) -> bool:
        """Do it, and say whether another attempt may be made at once, in another way."""
        granted = call.connection
        if granted is None:
            return False
        try:
            slow_down(self._parts.pacing.of(granted), call, verdict, now=self._parts.now())
        except WorkspaceError as error:  # the answer is there all the same
            self._parts.writer.tell(f"What HubSpot told of its limits is lost. {error.message}")
        if verdict.fate is Fate.NONE:
            return False
        if verdict.fate is Fate.REROUTE:
            return reroute(self._parts, granted, verdict)
        if self._parts.superseded(call):
            return verdict.executed is False
        if verdict.status_code == _REJECTED and renewed(self._parts, call):
            return verdict.executed is False
        if verdict.fate is Fate.CONFIRM:
            self._confirm(granted, call, verdict)
        elif verdict.fate is Fate.LACK:
            self._lack(granted, call, verdict)
        else:
            self._stop(granted, verdict)
        return False

    def _stop(self, granted: Connection, verdict: Verdict) -> None:
        self._parts.stops.stop(
            granted,
            f"{_who(granted)} {verdict.cause}.",
            status_code=verdict.status_code,
            correlation_id=verdict.correlation_id,
            cause=verdict.breaks,
        )

    def _confirm(self, granted: Connection, call: Call, verdict: Verdict) -> None:
        """Stop the portal if it does not even tell its own details (facts 4.2)."""
        now = self._parts.stored(granted.client_slug)
        if now is None or now.stopped is not None:
            return
        if now.proof is None or self._parts.now() - now.proof.at >= _ASKED_LATELY:
            try:
                self._prover.confirm(now, because=verdict)
            except VerificationError:
                return  # what follows from it was done, and the caller is told of its own call
        if verdict.breaks is Cause.USER:  # nobody but a person can tell what else is refused
            self._lack(granted, call, verdict)

    def _lack(self, granted: Connection, call: Call, verdict: Verdict) -> None:
        """Note that calls of a kind are in vain, where the connection type is for such calls."""
        why = verdict.cause
        if verdict.breaks is Cause.SCOPES:
            needed = {one.name: one.why for one in wanted(granted.connection_type) if one.required}
            lacks = [f"{one} ({needed[one]})" for one in verdict.scopes if one in needed]
            if not lacks:
                return
            why = f"says that the credential lacks a scope that {granted.connection_type} needs: "
            why += ", ".join(lacks)
        self._parts.stops.doubt(
            granted,
            f"{_who(granted)} {why}. It was asked for {call.request.method} "
            f"{call.touched.template}.",
            status_code=verdict.status_code,
            correlation_id=verdict.correlation_id,
            cause=verdict.breaks,
        )


def slow_down(pacer: Pacer, call: Call, verdict: Verdict, *, now: datetime) -> None:
    """Let every process on this machine know that HubSpot has no room for a portal's calls."""
    who = answerer(pacer.connection.api_base)
    if verdict.budget == "daily":
        if verdict.until is None or verdict.until > now:  # else that day is over
            pacer.close(None, f"{who} {verdict.cause}")
    elif verdict.status_code == _LIMITED:
        pacer.back_off(_limited(call, verdict), verdict.wait)
    elif verdict.closes and verdict.until is not None:
        pacer.close(verdict.until, f"{who} {verdict.closes}")


def _who(connection: Connection) -> str:
    who = answerer(connection.api_base)
    return who[:1].upper() + who[1:]


def _limited(call: Call, verdict: Verdict) -> Budget:
    """Return the window that is full: the one that is named, but for what has its own."""
    counted = budget_of(call.touched)
    if counted is Budget.ASSOCIATIONS or verdict.budget is None:
        return counted
    return _BUDGETS[verdict.budget]
