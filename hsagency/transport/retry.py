"""One attempt after another: what is made again, and after which wait."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Final, NoReturn, Protocol

import httpx

from hsagency.errors import Cancelled, CredentialMissing
from hsagency.routes import OperationClass
from hsagency.said import Seen
from hsagency.stopping import replace_credential
from hsagency.transport.answer import Asked, HubSpotResponse, OutcomeUnknown
from hsagency.transport.call import Call, Station
from hsagency.transport.leaving import never_left
from hsagency.transport.peeking import MOST, is_small, peek
from hsagency.verdicts import ATTEMPTS, PATIENCE, Attempt, Fate, Verdict, judge, judge_loss
from hsagency.verifier import on_the_way
from hsagency.waiting import Waits

_OURS: Final = (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.ProxyError)
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


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
    so does a body that can be read only once. Raises `OutcomeUnknown` where a call that is no read may have
    taken effect and no answer came; what a lost read raises is httpx's own.
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

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and again where that is safe and makes sense."""
        patience, led = self._patience, False
        again = _may_be_sent_twice(request)
        for number in count(1):
            call = self._guard.admit(request, attempt=number)
            attempt = self._attempt(call, patience=patience, again=again)
            try:
                got = self._send(call)
            except CredentialMissing:  # another generation took its place, and it was dropped
                if number == ATTEMPTS or not self._superseded(call):
                    raise
                continue
            if isinstance(got, httpx.Response) and got.is_success and got.status_code != 207:
                return HubSpotResponse.of(got, call=call, verdict=None)
            if isinstance(got, httpx.Response):
                verdict = self._judged(got, call, attempt)
                twice = led and verdict.fate is Fate.REROUTE  # two that send it to each other
                at_once = not twice and self._is_worth_another(got, call, verdict, attempt)
                led = led or (at_once and verdict.fate is Fate.REROUTE)
                if not (at_once or verdict.retry):
                    return HubSpotResponse.of(got, call=call, verdict=verdict)
                got.close()
            else:
                at_once, verdict = False, _judged_lost(got, call, attempt)
                if not verdict.retry:
                    _give_up(got, call, verdict)
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

    def _send(self, call: Call) -> httpx.Response | httpx.TransportError:
        try:
            return self._stations.send(call)
        except httpx.TransportError as error:
            return error.with_traceback(None)

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
    command = replace_credential(connection)
    return replace(attempt, day_end=end, kind=connection.kind, replace=command)


def _judged_lost(error: httpx.TransportError, call: Call, attempt: Attempt) -> Verdict:
    if isinstance(error, _OURS) or on_the_way(error) is not None:
        raise error
    sent = not never_left(error)
    method = call.request.method
    return judge_loss(sent=sent, method=method, touched=call.touched, attempt=attempt)


def _give_up(error: httpx.TransportError, call: Call, verdict: Verdict) -> NoReturn:
    read = call.request.method in _READS or call.touched.operation_class is OperationClass.READ
    if read or verdict.executed is False:
        raise error
    raise OutcomeUnknown.of(Asked.of(call), verdict, lost_to=type(error).__name__)
