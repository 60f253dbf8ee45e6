"""
The simulated HubSpot: many portals told apart by credential, one function that answers.

`Sandbox.handle` is the whole contract; a socket server and an httpx transport carry it. The
same seed gives the same portals, tokens, records, correlation ids and fault draws. What it
promises is what HubSpot documents or others have observed; it is no proof of what HubSpot does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from hsagency.errors import SandboxError
from hsagency.sandbox.answering import answer, answer_stranger, answer_struck, presented_token
from hsagency.sandbox.api import ROUTES
from hsagency.sandbox.call import Call
from hsagency.sandbox.checking import check_fault
from hsagency.sandbox.clock import Clock
from hsagency.sandbox.contents.definitions import ObjectType
from hsagency.sandbox.contents.records import Seeds
from hsagency.sandbox.contents.seeding import seeds_for
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.defects import DEFECT, broken, told
from hsagency.sandbox.desk import Visit
from hsagency.sandbox.developing import Developing
from hsagency.sandbox.faults.armed import NOTHING, Faults, Strike
from hsagency.sandbox.faults.damage import damaged
from hsagency.sandbox.faults.refusals import Refused
from hsagency.sandbox.ledger import Ledger, LedgerEntry
from hsagency.sandbox.portals import FOUNDED, MAX_PORTALS, Credential, Portal, make_portal
from hsagency.sandbox.routes import Match
from hsagency.sandbox.wire import Reply, Request

if TYPE_CHECKING:
    from hsagency.sandbox.transport import SandboxTransport

Watcher: TypeAlias = Callable[[int | None, LedgerEntry], None]


@dataclass(slots=True)
class _Case:
    """One request on its way: what it was recognised as, and what befell it."""

    request: Request
    match: Match | None = None
    visit: Visit | None = None
    token: str | None = None
    state: PortalState | None = None
    credential: Credential | None = None
    strike: Strike = NOTHING
    id_: str = ""
    now: datetime = FOUNDED
    decided: int | None = None
    defect: Exception | None = None

    @property
    def refused(self) -> Refused:
        """The call as a refusal sees it."""
        portal = self.state.portal if self.state else None
        return Refused(self.request, self.now, self.id_, portal, self.credential)


class Sandbox(Developing):
    """
    A fleet of simulated portals.

    `contacts` is what each portal starts with. `spare` is one more portal that answers but is
    not among `portals`: whoever needs a valid token of somebody else's takes it from there.
    Without `limits` every call is counted and none refused for being one too many.
    """

    def __init__(
        self,
        *,
        portals: int = 25,
        seed: int = 0,
        clock: Clock | None = None,
        contacts: int = 40,
        limits: bool = True,
    ) -> None:
        _check_size("portals", portals, least=1, most=MAX_PORTALS)
        _check_size("contacts", contacts, least=0, most=None)
        if clock is not None and not isinstance(clock, Clock):
            raise SandboxError(
                "The clock of a sandbox is a Clock; it was not started.",
                hint="Clock(at) stands still, Clock() runs.",
            )
        self._seed, self._contacts, self._limits = seed, contacts, limits
        self._faults = Faults(seed=seed, check=partial(check_fault, portal=self.portal))
        made = [self._state(index) for index in (*range(portals), MAX_PORTALS)]
        self._fleet, self._spare = made[:-1], made[-1]
        clock = clock if clock is not None else Clock()
        super().__init__(made, fleet=self._fleet, clock=clock, seed=seed)
        self._strangers = Ledger(f"{seed}/strangers")
        self._watchers: tuple[Watcher, ...] = ()

    @property
    def faults(self) -> Faults:
        """What goes wrong on request: `faults.add(Fault("status", status=503, times=2))`."""
        return self._faults

    @property
    def seed(self) -> int:
        """What everything in it is drawn from."""
        return self._seed

    @property
    def contacts(self) -> int:
        """How many contacts each portal starts with."""
        return self._contacts

    @property
    def portals(self) -> tuple[Portal, ...]:
        """The fleet as it is now, in the order it was made."""
        return tuple(state.portal for state in self._fleet)

    @property
    def spare(self) -> Portal:
        """A portal that answers and belongs to no client of the fleet."""
        return self._spare.portal

    def ledger(self, portal: int | str | None) -> tuple[LedgerEntry, ...]:
        """Return what a portal received, oldest first; None: what came with no known token."""
        book: Ledger = self._strangers if portal is None else self._owned(portal)
        with book.lock:
            return tuple(book.entries)

    def watch(self, watcher: Watcher) -> None:
        """
        Have every call told as it is entered in a ledger, with its portal's id or None.

        A watcher that fails misses that call, which is logged; the caller has its answer.
        """
        self._watchers = (*self._watchers, watcher)

    def counts(self, portal: int | str | None) -> dict[str, int]:
        """Count what a portal received, by status; `dropped` had no effect and no status."""
        found = Counter(
            "dropped" if entry.status is None else str(entry.status)
            for entry in self.ledger(portal)
        )
        return dict(sorted(found.items()))

    def transport(self) -> SandboxTransport:
        """Return a transport that answers httpx clients in this process, asynchronous ones too."""
        # imported here: the sandbox itself needs no httpx
        from hsagency.sandbox.transport import SandboxTransport

        return SandboxTransport(self.handle)

    def handle(self, request: Request) -> Reply:
        """
        Answer one request; any number of threads may ask at once.

        What fails in the sandbox itself is a 500 for the caller, and in the ledger like any call.
        """
        case = self._recognised(request)
        book: Ledger = case.state or self._strangers
        with book.lock:
            case.id_, case.now = book.new_id(), self._clock.now()
            reply = self._replied(case, book)
            entry = book.enter(
                request,
                reply,
                at=case.now,
                id_=case.id_,
                decided=case.decided,
                fault=case.strike.name if case.defect is None else DEFECT,
                route=case.match.route.name if case.match else None,
                credential=case.credential,
            )
            self._tell(case.state, entry)
        return reply

    def _recognised(self, request: Request) -> _Case:
        """Return a request with what can be known of it before its portal is locked."""
        case = _Case(request)
        try:
            match = case.match = ROUTES.find(request.segments)
            visit = case.visit = self._desk.visit(request, match)
            case.token = None if visit else presented_token(request, match)
            case.state = visit.state if visit else self._by_token.get(case.token or "")
            case.strike = self._faults.strike(
                request,
                now=self._clock.now(),
                portal=case.state.portal if case.state else None,
                route=match.route.name if match else "",
            )
        except Exception as error:  # noqa: BLE001 - the caller is owed an answer, the ledger an entry
            case.defect = error
        return case

    def _replied(self, case: _Case, book: Ledger) -> Reply:
        if case.defect is not None:
            return broken(case.defect, id_=case.id_)
        try:
            reply = self._answered(case, book)
            case.decided = reply.status
            if case.strike is not NOTHING:
                other = self._other(case.state).portal_id
                reply = damaged(reply, case.strike, case.refused, other_portal=other)
            return reply
        except Exception as error:  # noqa: BLE001 - the caller is owed an answer, the ledger an entry
            case.defect = error
            return broken(error, id_=case.id_)

    def _answered(self, case: _Case, book: Ledger) -> Reply:
        """Answer as the portal does, whose lock is held; what becomes of the answer comes later."""
        state, match, strike = case.state, case.match, case.strike
        if state and case.token:
            case.credential = state.credential(case.token)
        if strike.fault is not None and strike.fault.before:
            meter = state.meter if state else None
            return answer_struck(strike.fault, case.refused, match, meter=meter)
        if case.visit is not None:
            return self._desk.answer(case.visit, book=book, now=case.now, id_=case.id_)
        if state is None or case.credential is None:
            return answer_stranger(case.token, match, id_=case.id_)
        call = Call(
            request=case.request,
            state=state,
            credential=case.credential,
            now=case.now,
            version=match.route.version if match else "",
            values=match.values if match else {},
            strike=strike,
        )
        return answer(call, match, id_=case.id_)

    def _tell(self, state: PortalState | None, entry: LedgerEntry) -> None:
        for watcher in self._watchers:
            try:
                watcher(state.portal.portal_id if state else None, entry)
            except Exception as error:  # noqa: BLE001 - whoever looks on must not change what is seen
                told(error, "A watcher missed a call")

    def _other(self, state: PortalState | None) -> Portal:
        """Return a portal that is not this one, for an answer that names the wrong one."""
        return self._fleet[0].portal if state is self._spare else self.spare

    def _state(self, index: int) -> PortalState:
        portal = make_portal(index, seed=self._seed)
        return PortalState(portal, seed=self._seed, seeding=self._seeds, limits=self._limits)

    def _seeds(self, kind: ObjectType, portal: Portal) -> Seeds:
        return seeds_for(kind, portal, seed=self._seed, contacts=self._contacts)


def _check_size(name: str, size: int, *, least: int, most: int | None) -> None:
    if type(size) is not int:
        raise SandboxError(f"The {name} of a sandbox must be a whole number; it was not started.")
    if size < least or (most is not None and size > most):
        reach = f"{least} to {most}" if most is not None else f"{least} or more"
        raise SandboxError(
            f"The {name} of a sandbox must be {reach}, not {size}; it was not started."
        )
