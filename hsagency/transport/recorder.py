"""The second station of a call: its intent is durable before it leaves, its outcome follows."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import NoReturn

import httpx

from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Event, Outcome, outcome_of
from hsagency.errors import AuditError, HsAgencyError
from hsagency.halt import Halt
from hsagency.portals import plain_word
from hsagency.said import object_of
from hsagency.transport import answers, tripwire
from hsagency.transport.binding import Binding, reason_of
from hsagency.transport.call import Call
from hsagency.transport.clock import ClockCheck
from hsagency.transport.peeking import may_be_an_error, peek, whole_number
from hsagency.transport.tripwire import Alarm
from hsagency.transport.wire import MAY_LEAVE


class Recorder:
    """Makes a record durable before each attempt and adds another when its headers arrive."""

    def __init__(
        self, *, binding: Binding, writer: AuditWriter, halt: Halt, alarm: Alarm | None = None
    ) -> None:
        self._writer, self._halt, self._alarm = writer, halt, alarm
        self._slug = binding.client_slug
        self.attempts = 0  # announced so far; each may have reached HubSpot
        self._counting = threading.Lock()
        self._clock = ClockCheck(writer, slug=self._slug, portal_id=binding.portal_id)

    def send(self, call: Call) -> httpx.Response:
        """Send one request between two records."""
        said = call.describe()
        self._append({"event": Event.STARTED, **said}, durable=True)  # raises: nothing is sent
        with self._counting:  # many threads may share a client
            self.attempts += 1
        started = time.perf_counter_ns()
        try:
            self._may_leave(call)
            # Again at the very end: a store of secrets and a connection take their time, too.
            call.request.extensions[MAY_LEAVE] = partial(self._may_leave, call)
            response = call.grant.way.handle_request(call.request)
        # Whatever interrupted it, the call may have reached HubSpot all the same.
        except BaseException as error:
            self._lost(said, started, error)
            raise
        try:
            self._append(_ended(said, started, response=response), durable=False)
            self._clock.look(response.headers)
            self._explain(said, response)
            note = partial(self._note, said)
            answers.observe(call.request, response, call.touched, note=note)
            if self._alarm is not None:
                tripwire.observe(response, call, alarm=self._alarm)
        except AuditError as error:
            response.close()
            _outcome_lost(error)
        except BaseException:
            response.close()
            raise
        return response

    def _may_leave(self, call: Call) -> None:
        """Raise where somebody halted the fleet or stopped the portal while the call waited."""
        self._halt.check()
        call.grant.recheck()

    def _lost(self, call: Mapping[str, object], started: int, error: BaseException) -> None:
        """Record that no answer came; if not even that can be written, say so."""
        ended = _ended(call, started, error=error)
        try:
            self._append(ended, durable=False)
        except AuditError as unwritten:
            if ended["outcome"] == Outcome.REFUSED:
                raise
            _outcome_lost(unwritten)

    def _append(self, fields: Mapping[str, object], *, durable: bool) -> None:
        self._writer.append(self._slug, fields, durable=durable)

    def _explain(self, call: Mapping[str, object], response: httpx.Response) -> None:
        """Add what HubSpot names as the cause of an error, which only the body says."""
        if response.status_code < 400 or not may_be_an_error(response.headers):
            return
        found = _cause(peek(response))
        if found:
            self._note(call, found)

    def _note(self, call: Mapping[str, object], found: Mapping[str, object]) -> None:
        detail = {"event": Event.DETAIL, "callId": call["callId"], **found}
        self._append(detail, durable=False)


def _ended(
    call: Mapping[str, object],
    started: int,
    *,
    response: httpx.Response | None = None,
    error: BaseException | None = None,
) -> dict[str, object]:
    ended: dict[str, object] = {
        "event": Event.FINISHED,
        "callId": call["callId"],
        "portalId": call["portalId"],
        "durationMs": round((time.perf_counter_ns() - started) / 1e6),
        "outcome": Outcome.UNKNOWN,
    }
    if isinstance(error, HsAgencyError) and not error.under_way:  # stopped here: nothing left
        return {**ended, "outcome": Outcome.REFUSED, "reason": reason_of(error)}
    if error is not None:
        return {**ended, "error": type(error).__name__}
    if response is not None:
        ended["statusCode"] = response.status_code
        ended["outcome"] = outcome_of(response.status_code)
        headers = response.headers
        ended["rateLimitRemaining"] = whole_number(
            headers.get("x-hubspot-ratelimit-daily-remaining")
        )
        ended["rateLimitDaily"] = whole_number(headers.get("x-hubspot-ratelimit-daily"))
        ended["correlationId"] = plain_word(headers.get("x-hubspot-correlation-id"))
    return ended


def _cause(body: bytes) -> dict[str, str]:
    """Return policy and category of an error body; its messages may quote personal data."""
    answer = object_of(body)
    words = {name: plain_word(answer.get(name)) for name in ("policyName", "category", "errorType")}
    return {name: word for name, word in words.items() if word}


def _outcome_lost(error: AuditError) -> NoReturn:
    lost = AuditError(
        "The call was sent, but its outcome could not be recorded; the log says 'unknown'. "
        + error.message,
        hint=error.hint,
    )
    lost.under_way = True
    raise lost from error
