"""One attempt after another: what is made again, and after which wait."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Final, NoReturn, Protocol, TypeAlias

import httpx

from hsagency.errors import Cancelled, ClientClosed, CredentialMissing, HsAgencyError
from hsagency.said import Seen
from hsagency.transport.answer import Asked, HubSpotResponse, OutcomeUnknown, is_read
from hsagency.transport.call import Call, Station
from hsagency.transport.leaving import never_left
from hsagency.transport.peeking import MOST, is_small, peek
from hsagency.transport.telling import Told, lost
from hsagency.transport.wire import Retired
from hsagency.verdicts import ATTEMPTS, PATIENCE, Attempt, Fate, Verdict, judge, judge_loss
from hsagency.verifier import on_the_way
from hsagency.waiting import Waits

_OURS: Final = (httpx.LocalProtocolError, httpx.UnsupportedProtocol)
_Got: TypeAlias = httpx.Response | httpx.TransportError | None


class Admission(Protocol):
    """Whatever lets a request through as a call, or raises: the guard."""

    def admit(self, request: httpx.Request, *, attempt: int) -> Call:
        """Return one attempt that may leave."""


After = Callable[[Call, Verdict], bool]
"""Sees to the connection after an answer; true where another attempt makes sense at once."""


class Retrier(httpx.BaseTransport):
    """
    Makes a call until it has an answer that stands, and returns it with its verdict.

    At most five attempts, and `patience` seconds of waiting in all; a wait that is longer than
    what is left of it is not begun. `extensions={"retry": False}` makes one attempt alone, and
    so does a body that can be read only once. Raises `OutcomeUnknown` where a call that is no
    read may have taken effect and no answer came; what other lost calls raise, and bodies that
    break off, is both httpx's error and `CallLost`.
    """

    def __init__(
        self,
        guard: Admission,
        stations: Station,
        *,
        waits: Waits,
        after: After,
        superseded: Callable[[Call], bool] = lambda _: False,
        patience: float = PATIENCE,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._guard, self._stations, self._superseded = guard, stations, superseded
        self._waits, self._after, self._patience = waits, after, patience
        self._now, self._chance = now, chance
        self._closed = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and again where that is safe and makes sense."""
        patience, led, unsure = self._patience, False, False
        again = _may_be_sent_twice(request)
        for number in count(1):
            call, got = self._sent(request, number)
            attempt = self._attempt(call, patience=patience, again=again)
            if got is None:
                continue
            if isinstance(got, httpx.Response) and got.is_success and got.status_code != 207:
                return _answer(got, call, None)
            if isinstance(got, httpx.Response):
                verdict = _doubted(self._judged(got, call, attempt), call, unsure=unsure)
                twice = led and verdict.fate is Fate.REROUTE  # two that send it to each other
                at_once = not twice and self._is_worth_another(got, call, verdict, attempt)
                led = led or (at_once and verdict.fate is Fate.REROUTE)
                if not (at_once or verdict.retry):
                    return _answer(got, call, verdict)
                got.close()
            else:
                at_once, verdict = False, _judged_lost(got, call, attempt)
                if not verdict.retry:
                    _give_up(got, call, verdict)
            unsure = unsure or verdict.executed is None
            if not at_once:
                self._wait(call, verdict)
                patience -= verdict.wait
        raise AssertionError("no last attempt is repeated")

    def _attempt(self, call: Call, *, patience: float, again: bool) -> Attempt:
        return Attempt(
            now=self._now(),
            number=call.attempt,
            patience=patience,
            again=again,
            chance=self._chance(),
        )

    def close(self) -> None:
        """Begin no other attempt."""
        self._closed = True

    def _sent(self, request: httpx.Request, number: int) -> tuple[Call, _Got]:
        """Make an attempt; nothing comes of it where another generation dropped its secret."""
        while True:
            if self._closed:
                raise ClientClosed("This client was closed meanwhile. Nothing more was sent.")
            call = self._guard.admit(request, attempt=number)
            try:
                return call, self._stations.send(call)
            except Retired:  # it waited for a place on a wire that nothing more is sent over
                continue
            except httpx.TransportError as error:
                return call, error.with_traceback(None)
            except CredentialMissing:  # another generation took its place, and it was dropped
                if number == ATTEMPTS or not self._superseded(call):
                    raise
                return call, None

    def _judged(self, response: httpx.Response, call: Call, attempt: Attempt) -> Verdict:
        try:
            body = peek(response) if is_small(response.headers) else b""
            seen = Seen(response.status_code, response.headers, body[: MOST + 1])
            method = call.request.method
            known = _known(attempt, call, response)
            verdict = judge(seen, method=method, touched=call.touched, attempt=known)
        except BaseException:
            response.close()
            raise
        assert verdict is not None, "a success is returned before it is judged"  # noqa: S101
        return verdict

    def _is_worth_another(
        self, response: httpx.Response, call: Call, verdict: Verdict, attempt: Attempt
    ) -> bool:
        """Have the connection seen to; say whether that is a reason to try again at once."""
        try:
            at_once = self._after(call, verdict)
        except BaseException:
            response.close()
            raise
        return at_once and attempt.again and attempt.number < ATTEMPTS

    def _wait(self, call: Call, verdict: Verdict) -> None:
        asked = Asked.of(call)
        said = verdict.status_code or "no answer"
        why = "asked to wait" if verdict.executed is False else "is tried again"
        try:
            self._waits.wait(verdict.wait, why=f"{asked.client_slug}: {asked.who} {why} ({said})")
        except Cancelled as error:
            told = asked.told(executed=verdict.executed)
            cancelled = Cancelled(
                f"The call for {asked.client_slug} was cancelled while it waited to be made "
                f"again. {told}"
            )
            cancelled.under_way = verdict.executed is not False
            raise cancelled from error


def see_to_nothing(call: Call, verdict: Verdict) -> bool:
    """Leave the connection as it is: for clients that judge a credential."""
    del call, verdict
    return False


def _may_be_sent_twice(request: httpx.Request) -> bool:
    wanted = request.extensions.get("retry", True) is not False
    return wanted and isinstance(request.stream, httpx.ByteStream)


def _known(attempt: Attempt, call: Call, response: httpx.Response) -> Attempt:
    """Return the circumstances of an answer, with what is known of its portal."""
    end, connection = response.extensions.get("day_end"), call.connection
    if connection is None:
        return attempt
    from hsagency.stopping import replace_credential  # with polars, which no client needs

    command = replace_credential(connection)
    return replace(attempt, day_end=end, kind=connection.kind, replace=command)


def _judged_lost(error: httpx.TransportError, call: Call, attempt: Attempt) -> Verdict:
    if isinstance(error, (HsAgencyError, *_OURS)):  # told already, or the caller's own doing
        raise error
    if isinstance(error, httpx.ProxyError) or on_the_way(error) is not None:
        raise lost(error, call)
    sent = not never_left(error)
    method = call.request.method
    return judge_loss(sent=sent, method=method, touched=call.touched, attempt=attempt)


def _doubted(verdict: Verdict, call: Call, *, unsure: bool) -> Verdict:
    """Return what a 404 means to a deletion of which an earlier attempt had no clear answer."""
    if not unsure or verdict.status_code != 404 or call.request.method != "DELETE":
        return verdict
    action = "It is gone: probably the first attempt, of which no clear answer came, removed it."
    return replace(verdict, executed=None, action=action)


def _give_up(error: httpx.TransportError, call: Call, verdict: Verdict) -> NoReturn:
    if is_read(call.request.method, call.touched) or verdict.executed is False:
        raise lost(error, call)
    raise OutcomeUnknown.of(Asked.of(call), verdict, lost_to=type(error).__name__)


def _answer(response: httpx.Response, call: Call, verdict: Verdict | None) -> HubSpotResponse:
    response.stream = Told(response.stream, call, response.status_code)
    return HubSpotResponse.of(response, call=call, verdict=verdict)
