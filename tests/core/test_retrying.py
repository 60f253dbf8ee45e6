"""What is made again and what is not: every row of the table, over a socket to the sandbox."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from hsagency import hubspot_errors
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Author
from hsagency.client import Channel, PortalClient, Ways
from hsagency.errors import Cancelled, ClientClosed, HsAgencyError
from hsagency.halt import Halt
from hsagency.hosts import host_of
from hsagency.hubspot_errors import HubSpotError, NotFound
from hsagency.portals import (
    ClientSlug,
    Connection,
    ConnectionType,
    CredentialKind,
    Fact,
    Portal,
    PortalId,
    Provenance,
)
from hsagency.sandbox import Fault, Sandbox, serve
from hsagency.secret import Secret
from hsagency.transport import Binding, Grant
from hsagency.transport.answer import HubSpotResponse, OutcomeUnknown, error_of
from hsagency.transport.call import Call
from hsagency.transport.telling import CallLost
from hsagency.verdicts import PATIENCE, Fate, Verdict, rows
from hsagency.waiting import Waits
from tests.support import TOKEN, Answer, assert_no_tokens, connected, listening, records

CONTACTS = "/crm/v3/objects/contacts"
SLUG = "acme-corp"


class Noting(Waits):
    """Notes what is waited for, and does not sleep; `cancelled` at the wait of that number."""

    def __init__(self, *, cancelled: int = 0) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.why: list[str] = []
        self._cancelled = cancelled

    def wait(self, seconds: float, *, why: str) -> None:
        self.seconds.append(seconds)
        self.why.append(why)
        if len(self.seconds) == self._cancelled:
            raise Cancelled("The call was cancelled.")


@dataclass
class Line:
    """A portal client, what it waited for, and what was told of its connection."""

    client: PortalClient
    folder: Path
    waits: Noting
    told: list[tuple[int, Verdict]] = field(default_factory=list)

    @property
    def attempts(self) -> list[int]:
        return [one["attempt"] for one in records(self.folder, SLUG) if one["event"] == STARTED]


STARTED = "call.started"


@contextmanager
def line(
    folder: Path,
    url: str,
    *,
    token: str = TOKEN,
    portal_id: int = 12345678,
    waits: Noting | None = None,
    after: Callable[[Call, Verdict], bool] = lambda _call, _verdict: False,
) -> Iterator[Line]:
    """Make a portal client over the whole path, to whoever answers at an address."""
    (folder / "state").mkdir(parents=True, exist_ok=True)
    author = Author(actor="tests/0", user="tester", host="here", run_id="r1")
    with AuditWriter(folder / "audit", author=author) as writer:
        way = Channel(
            host=host_of(url),
            credential=lambda: Secret(token),
            writer=writer,
            halt=Halt(folder / "state" / "halt.json"),
        )
        binding = Binding(
            client_slug=ClientSlug(SLUG),
            portal_id=PortalId(portal_id),
            connection_type=ConnectionType.CONFIG_AND_AUDIT,
            host=way.host,
            fingerprint=Secret(token).fingerprint,
            generation=1,
            purpose="interactive",
        )
        noting = waits or Noting()
        made: list[tuple[int, Verdict]] = []

        def see_to(call: Call, verdict: Verdict) -> bool:
            made.append((call.attempt, verdict))
            return after(call, verdict)

        connection = _connection(binding, url)
        client = way.client(
            binding=binding,
            portal=Portal(portal_id=binding.portal_id or PortalId(0), client_slug=ClientSlug(SLUG)),
            ways=Ways(
                current=lambda: Grant(binding=binding, way=way.way, connection=connection),
                waits=noting,
                after=see_to,
            ),
        )
        try:
            yield Line(client=client, folder=folder, waits=noting, told=made)
        finally:
            client.close()
            way.close()


def _connection(binding: Binding, url: str) -> Connection:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    return Connection(
        client_slug=binding.client_slug,
        portal_id=binding.portal_id or PortalId(0),
        connection_type=binding.connection_type,
        kind=CredentialKind.PRIVATE_APP,
        generation=1,
        fingerprint=binding.fingerprint,
        added_at=at,
        last_rotated_at=at,
        api_base=url,
        facts={"name": Fact("Acme Corp", Provenance.FETCHED, at)},
    )


@contextmanager
def fleet(folder: Path, *faults: Fault, **more: Any) -> Iterator[tuple[Line, Sandbox]]:
    """Make a client of a sandbox's portal in which something goes wrong."""
    sandbox = Sandbox(portals=1, contacts=3)
    [portal] = sandbox.portals
    for fault in faults:
        sandbox.faults.add(fault)
    with (
        serve(sandbox) as server,
        line(
            folder,
            server.url,
            token=portal.credentials[0].token,
            portal_id=portal.portal_id,
            **more,
        ) as one,
    ):
        yield one, sandbox


@dataclass(frozen=True)
class Case:
    """One way to come to a row: what goes wrong, and what becomes of a GET or a POST then."""

    rule: str
    fault: Fault
    error: str
    reads: int = 1
    creates: int = 1
    fate: Fate = Fate.NONE
    path: str = CONTACTS
    waits: tuple[float, ...] | None = None  # the least of each, with a tenth more at most


def status(status: int, **more: Any) -> Fault:
    return Fault("status", status=status, **more)


CASES = (
    Case("redirect", Fault("redirect", status=307), "HubSpotError"),
    Case("validation", status(400, category="VALIDATION_ERROR"), "InvalidRequest"),
    Case(
        "token expired",
        status(401, category="EXPIRED_AUTHENTICATION"),
        "TokenExpired",
        fate=Fate.EXPIRED,
    ),
    Case(
        "token not for this",
        status(401),
        "TokenRejected",
        fate=Fate.CONFIRM,
        path="/webhooks/v3/4711/settings",
    ),
    Case("token rejected", status(401), "TokenRejected", fate=Fate.STOP),
    Case("unauthorised", status(401, form="empty"), "TokenRejected", fate=Fate.CONFIRM),
    Case(
        "missing scopes",
        status(403, scopes=("crm.objects.contacts.write",)),
        "ScopeMissing",
        fate=Fate.LACK,
    ),
    Case("gated", status(403, category="GATED"), "FeatureGated"),
    Case(
        "portal suspended",
        status(403, category="PORTAL_SUSPENDED"),
        "PortalSuspended",
        fate=Fate.STOP,
    ),
    Case(
        "user not permitted",
        status(403, category="USER_DOES_NOT_HAVE_PERMISSIONS"),
        "UserNotPermitted",
        fate=Fate.CONFIRM,
    ),
    Case("forbidden", status(403, form="html"), "NotPermitted", fate=Fate.CONFIRM),
    Case("not found", status(404), "NotFound"),
    Case("not found", status(404, form="html"), "NotFound"),
    Case("there already", status(409), "AlreadyThere"),
    Case("too long", status(414), "InvalidRequest"),
    Case("locked", status(423), "RecordLocked", 5, 5, waits=(2, 4, 6, 8)),
    Case("locked", status(423, retry_after=0.5), "RecordLocked", 5, 5, waits=(2, 2, 2, 2)),
    Case("daily limit", Fault("daily"), "DailyLimitReached"),
    Case("daily limit", Fault("daily", retry_after=1), "DailyLimitReached"),
    Case("burst limit", Fault("burst"), "BurstLimitReached", 3, 3, waits=(10, 20)),
    Case(
        "burst limit", Fault("burst", retry_after=1), "BurstLimitReached", 5, 5, waits=(1, 1, 1, 1)
    ),
    Case(
        "search limit",
        status(429, policy="SECONDLY"),
        "SearchLimitReached",
        5,
        5,
        waits=(1, 2, 3, 4),
    ),
    Case("unknown limit", status(429, policy="MINUTELY"), "LimitReached", 5, 5, waits=(2, 4, 6, 8)),
    Case("unknown limit", status(429, policy="MINUTELY", retry_after=61), "LimitReached"),
    Case("too many labels", status(437), "InvalidRequest"),
    Case("moving", status(477), "PortalMoving"),
    Case("moving", status(477, retry_after=5), "PortalMoving", 5, 5, waits=(5, 5, 5, 5)),
    Case("moving", status(477, retry_after=""), "PortalMoving"),
    Case("other data centre", status(488), "WrongDataCentre", fate=Fate.REROUTE),
    Case("took too long", status(408), "HubSpotFailing", 5),
    Case("server error", status(500), "HubSpotFailing", 5),
    *(Case("unavailable", status(one), "HubSpotFailing", 5) for one in (502, 503, 504)),
    Case("unavailable", status(503, retry_after=7), "HubSpotFailing", 5, waits=(7, 7, 7, 7)),
    *(Case("behind the front", status(one), "HubSpotFailing", 5) for one in (521, 523, 524)),
    *(Case("for support", status(one), "HubSpotFailing", 5) for one in (522, 525, 526)),
    Case("malformed token", status(530), "TokenRejected", fate=Fate.CONFIRM),
    Case("other server error", status(520), "HubSpotFailing", 5),
    Case("other client error", status(418), "InvalidRequest"),
)
# Rows that no status of the sandbox comes to; each has a test of its own below.
APART = {"partial", "anything else", "no connection", "no answer"}


def _name(case: Case) -> str:
    fault = case.fault
    return " ".join(str(one) for one in (case.rule, fault.status, fault.retry_after) if one)


def test_every_row_of_the_table_has_a_case() -> None:
    assert {row["rule"] for row in rows()} == {case.rule for case in CASES} | APART
    assert len({row["rule"] for row in rows()}) == len(rows())
    assert all(row["source"] and row["cause"] and row["action"] for row in rows())


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_row_decides_what_is_made_again_and_what_is_raised(
    case: Case, method: str, tmp_path: Path
) -> None:
    calls = case.reads if method == "GET" else case.creates
    if method == "POST" and case.path != CONTACTS:
        method = "GET"
    with fleet(tmp_path, case.fault) as (one, sandbox):
        response = one.client.request(method, case.path)
        with pytest.raises(getattr(hubspot_errors, case.error)) as caught:
            response.raise_for_status()
        [portal] = sandbox.portals
        assert one.attempts == list(range(1, calls + 1))
        assert len(sandbox.ledger(portal.portal_id)) == calls
        answered = [row for row in records(tmp_path, SLUG) if row["event"] == "call.finished"]
        assert [row["statusCode"] for row in answered] == [response.status_code] * calls
        assert [(number, v.rule) for number, v in one.told] == [
            (number, case.rule) for number in range(1, calls + 1)
        ]
        assert {verdict.fate for _, verdict in one.told} == {case.fate}
        assert len(one.waits.seconds) == calls - 1
        assert all(0 <= waited <= 60 for waited in one.waits.seconds)
        assert sum(one.waits.seconds) <= PATIENCE
        if case.waits is not None and calls > 1:
            for waited, least in zip(one.waits.seconds, case.waits, strict=True):
                assert least <= waited <= least * 1.1
    assert type(caught.value).__name__ == case.error
    _check_error(caught.value, response, method)


def _check_error(error: Any, response: httpx.Response, method: str) -> None:
    """An error names portal and cause, is httpx's too, and survives a pickle without a token."""
    assert isinstance(error, httpx.HTTPStatusError)
    assert error.response is response
    assert error.request is response.request
    assert error.message.startswith(f"Acme Corp ({SLUG}, portal {error.portal_id}): the sandbox ")
    assert error.hint
    assert (error.method, error.client_slug, error.portal_name) == (method, SLUG, "Acme Corp")
    assert error.status_code == response.status_code
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert (again.status_code, again.route) == (error.status_code, error.route)
    assert again.response.status_code == error.status_code


def test_a_batch_that_failed_in_part_is_a_success_with_a_verdict(tmp_path: Path) -> None:
    with (
        listening(lambda _: Answer(207, {"Content-Type": "application/json"})) as server,
        line(tmp_path, server.url) as one,
    ):
        response = one.client.post(f"{CONTACTS}/batch/read", json={})
        assert isinstance(response, HubSpotResponse)
        assert response.raise_for_status() is response
        assert response.verdict is not None
        assert response.verdict.kind is None
        assert one.attempts == [1]


def test_an_answer_that_no_rule_covers_is_returned_as_it_is(tmp_path: Path) -> None:
    with listening(lambda _: Answer(777)) as server, line(tmp_path, server.url) as one:
        response = one.client.get(CONTACTS)
        with pytest.raises(HubSpotError, match="no rule covers"):
            response.raise_for_status()
        assert one.attempts == [1]


def test_a_success_has_no_verdict_and_raises_nothing(tmp_path: Path) -> None:
    with fleet(tmp_path) as (one, _):
        response = one.client.get(CONTACTS)
        assert isinstance(response, HubSpotResponse)
        assert response.verdict is None
        assert response.raise_for_status() is response
        assert response.json()["results"]
        assert (one.attempts, one.told, one.waits.seconds) == ([1], [], [])
        assert type(pickle.loads(pickle.dumps(response))) is HubSpotResponse


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_cannot_be_opened_is_tried_again_for_any_method(
    method: str, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        with line(tmp_path, f"http://127.0.0.1:{taken.getsockname()[1]}") as one:
            with pytest.raises(httpx.ConnectError) as caught:
                one.client.request(method, CONTACTS)
            assert one.attempts == [1, 2, 3, 4, 5]
    error = caught.value
    assert type(error).__name__ == "ConnectError"
    assert isinstance(error, HsAgencyError)
    assert error.message.startswith("Acme Corp (acme-corp, portal 12345678): the sandbox")
    assert "could not be reached in 5 attempts (ConnectError), so nothing was sent" in error.message
    assert error._render_traceback_() == [f"Error: {error.message}", error.hint]
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, httpx.ConnectError)
    assert (str(again), again.under_way) == (str(error), False)


@pytest.mark.parametrize("kind", ["drop_before", "reset_before", "drop_after", "reset_after"])
def test_a_read_that_got_no_answer_is_made_again_and_ends_in_an_error_that_is_httpxs_too(
    kind: Any, tmp_path: Path
) -> None:
    with fleet(tmp_path, Fault(kind, times=2)) as (one, _):
        assert one.client.get(CONTACTS).status_code == 200
        assert one.attempts == [1, 2, 3]
    with (
        fleet(tmp_path / "for good", Fault(kind)) as (one, _),
        pytest.raises(httpx.TransportError) as caught,
    ):
        one.client.get(CONTACTS)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert isinstance(caught.value, CallLost)
    assert caught.value.under_way
    assert "gave no answer in 5 attempts" in caught.value.message
    assert "only reads, so nothing was changed" in caught.value.message
    assert one.attempts == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "reset_after"])
def test_a_create_without_an_answer_is_never_made_again(kind: Any, tmp_path: Path) -> None:
    with fleet(tmp_path, Fault(kind)) as (one, sandbox):
        with pytest.raises(OutcomeUnknown, match="may or may not have taken effect") as caught:
            one.client.post(CONTACTS, json={"properties": {"email": "jane@example.com"}})
        assert one.attempts == [1]
        assert len(sandbox.ledger(sandbox.portals[0].portal_id)) == 1
    error = caught.value
    assert isinstance(error, httpx.TransportError)
    assert "Look whether it took effect" in error.hint
    assert error.lost_to in {"RemoteProtocolError", "ReadError"}
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is OutcomeUnknown
    assert (str(again), again.lost_to) == (str(error), error.lost_to)
    assert b"jane" not in pickle.dumps(error)
    [ended] = [row for row in records(tmp_path, SLUG) if row["event"] == "call.finished"]
    assert ended["outcome"] == "unknown"


def test_a_change_that_is_as_good_twice_is_made_again_and_unknown_if_it_stays_lost(
    tmp_path: Path,
) -> None:
    with fleet(tmp_path, Fault("drop_after")) as (one, _):
        with pytest.raises(OutcomeUnknown):
            one.client.patch(f"{CONTACTS}/1", json={"properties": {}})
        assert one.attempts == [1, 2, 3, 4, 5]


def test_a_read_that_takes_too_long_is_a_time_out_of_httpxs(tmp_path: Path) -> None:
    with fleet(tmp_path, Fault("latency", seconds=5)) as (one, _):
        with pytest.raises(httpx.ReadTimeout):
            one.client.get(CONTACTS, timeout=0.05)
        assert one.attempts == [1, 2, 3, 4, 5]
        with pytest.raises(OutcomeUnknown, match="ReadTimeout"):
            one.client.post(CONTACTS, json={}, timeout=0.05)


@pytest.mark.parametrize(
    ("method", "hint"), [("GET", "Call again: it only reads."), ("POST", "It was carried out")]
)
def test_an_answer_that_breaks_off_says_what_became_of_the_call(
    method: str, hint: str, tmp_path: Path
) -> None:
    def half(_: object) -> Answer:
        return Answer(200, {"Content-Type": "application/json"}, b'{"results": []}', cut=5)

    with listening(half) as server, line(tmp_path, server.url) as one:
        with pytest.raises(httpx.RemoteProtocolError) as caught:
            one.client.request(method, CONTACTS)
        assert one.attempts == [1]
    error = caught.value
    assert isinstance(error, CallLost)
    assert error.under_way
    assert f"answered {method}" in error.message
    assert "(200), and the answer broke off (RemoteProtocolError)" in error.message
    assert "It is recorded as ok." in error.message
    assert error.hint.startswith(hint)


def test_a_deletion_whose_first_attempt_was_lost_is_not_said_to_have_done_nothing(
    tmp_path: Path,
) -> None:
    answers = iter([Answer(502), Answer(404)])
    with listening(lambda _: next(answers)) as server, line(tmp_path, server.url) as one:
        answer = one.client.delete(f"{CONTACTS}/1")
        assert one.attempts == [1, 2]
    assert answer.status_code == 404
    with pytest.raises(NotFound, match="may or may not have taken effect") as caught:
        answer.raise_for_status()
    assert "probably the first attempt" in caught.value.hint


def test_a_client_that_is_closed_between_two_attempts_makes_no_other(tmp_path: Path) -> None:
    made: list[Line] = []

    def close(_call: Call, _verdict: Verdict) -> bool:
        made[0].client.close()
        return False

    with (
        listening(lambda _: Answer(503)) as server,
        line(tmp_path, server.url, after=close) as one,
    ):
        made.append(one)
        with pytest.raises(ClientClosed, match="Nothing more was sent"):
            one.client.get(CONTACTS)
        assert one.attempts == [1]


def test_a_body_that_can_be_read_once_is_sent_once(tmp_path: Path) -> None:
    with fleet(tmp_path, Fault("burst")) as (one, _):
        response = one.client.post(CONTACTS, content=iter([b"{}"]))
        assert (response.status_code, one.attempts) == (429, [1])
        assert one.client.post(CONTACTS, content=b"{}").status_code == 429
        assert one.attempts == [1, 1, 2, 3]


def test_a_caller_can_have_one_attempt_alone(tmp_path: Path) -> None:
    with fleet(tmp_path, status(503)) as (one, _):
        assert one.client.get(CONTACTS, extensions={"retry": False}).status_code == 503
        assert one.attempts == [1]


def test_a_call_that_comes_through_in_the_end_is_a_success(tmp_path: Path) -> None:
    with fleet(tmp_path, status(503, times=2), Fault("burst", times=1)) as (one, _):
        assert one.client.get(CONTACTS).json()["results"]
        assert one.attempts == [1, 2, 3, 4]
        started = [row for row in records(tmp_path, SLUG) if row["event"] == STARTED]
        assert len({row["callId"] for row in started}) == 4


def test_another_attempt_at_once_is_made_where_the_connection_was_seen_to(tmp_path: Path) -> None:
    def once(call: Call, verdict: Verdict) -> bool:
        return verdict.fate is Fate.REROUTE and call.attempt == 1

    with fleet(tmp_path, status(488, times=1), after=once) as (one, _):
        assert one.client.post(CONTACTS, json={"properties": {}}).status_code == 201
        assert (one.attempts, one.waits.seconds) == ([1, 2], [])
    with fleet(tmp_path / "loop", status(488), after=lambda _call, _verdict: True) as (one, _):
        assert one.client.get(CONTACTS).status_code == 488
        assert one.attempts == [1, 2], "two data centres sent it to each other"


def test_a_wait_that_is_cancelled_says_what_became_of_the_call(tmp_path: Path) -> None:
    with fleet(tmp_path, Fault("burst"), waits=Noting(cancelled=2)) as (one, _):
        with pytest.raises(Cancelled, match=r"while it waited to be made again.*not carried out"):
            one.client.post(CONTACTS, json={})
        assert one.attempts == [1, 2]
        assert one.waits.why[0] == "acme-corp: the sandbox asked to wait (429)"


def test_an_answer_can_be_streamed_whatever_it_is(tmp_path: Path) -> None:
    with (
        fleet(tmp_path, status(404)) as (one, _),
        one.client.stream("GET", f"{CONTACTS}/1") as response,
    ):
        assert not response.is_stream_consumed
        with pytest.raises(hubspot_errors.NotFound, match="was not carried out"):
            response.raise_for_status()
        assert b"resource not found" in b"".join(response.iter_bytes())


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b"\xff", b"<html>", b"{" * 5, b'{"message":7}', b"x" * (1 << 17)]
)
def test_whatever_an_error_holds_it_can_be_read_and_raised(body: bytes, tmp_path: Path) -> None:
    with listening(lambda _: Answer(429, body=body)) as server, line(tmp_path, server.url) as one:
        response = one.client.get(CONTACTS)
        assert response.content == body
        with pytest.raises(hubspot_errors.LimitReached):
            response.raise_for_status()


def test_an_error_quotes_nothing_of_what_hubspot_wrote(tmp_path: Path) -> None:
    said = b'{"category":"VALIDATION_ERROR","message":"jane@example.com is not valid"}'
    with listening(lambda _: Answer(400, body=said)) as server, line(tmp_path, server.url) as one:
        with pytest.raises(hubspot_errors.InvalidRequest, match="VALIDATION_ERROR") as caught:
            one.client.post(CONTACTS, json={"who": "jane@example.com"}).raise_for_status()
        assert "jane" not in f"{caught.value!r} {caught.value}"
        assert b"jane" not in pickle.dumps(caught.value)


def test_no_error_leads_to_a_token(tmp_path: Path) -> None:
    shown: dict[str, str] = {}
    with ExitStack() as stack:
        one, sandbox = stack.enter_context(fleet(tmp_path, Fault("drop_after", path=CONTACTS)))
        token = sandbox.portals[0].credentials[0].token
        for method in ("GET", "POST"):
            with pytest.raises(httpx.TransportError) as caught:
                one.client.request(method, CONTACTS)
            shown[method] = _everything(caught.value)
        response = one.client.get("/crm/v3/objects/deals/0")
        with pytest.raises(HubSpotError) as raised:
            response.raise_for_status()
        shown["raised"] = _everything(raised.value)
    assert_no_tokens([tmp_path], [token], texts=shown)


def _everything(error: BaseException) -> str:
    """Return an error, what led to it, and what every frame of theirs holds."""
    said = [repr(error), str(error), repr(error.__dict__)]
    step = error.__traceback__.tb_next if error.__traceback__ else None  # the first is a test's
    while step is not None:
        for value in step.tb_frame.f_locals.values():
            said.append(repr(value))
            if isinstance(value, httpx.Request):
                said.append(repr(value.headers.raw))
        step = step.tb_next
    behind = [one for one in (error.__cause__, error.__context__) if one is not None]
    return " ".join([*said, *map(_everything, behind)])


def test_an_agencys_own_client_makes_a_call_again_and_raises_what_it_means(
    tmp_path: Path,
) -> None:
    with connected(tmp_path / "w") as fleet_:
        [slug] = fleet_.slugs
        [portal] = fleet_.sandbox.portals
        client = fleet_.agency.client(slug)
        before = len(fleet_.sandbox.ledger(portal.portal_id))
        fleet_.sandbox.faults.add(status(502, times=2, path=CONTACTS))
        assert client.get(CONTACTS).status_code == 200
        with pytest.raises(hubspot_errors.NotFound, match=f"{slug}, portal {portal.portal_id}"):
            client.get(f"{CONTACTS}/999999").raise_for_status()
        seen = fleet_.sandbox.ledger(portal.portal_id)[before:]
        started = [row for row in records(tmp_path / "w", slug) if row["event"] == STARTED]
        assert [entry.status for entry in seen] == [502, 502, 200, 404]
        assert [row["attempt"] for row in started[-4:]] == [1, 2, 3, 1]


def test_the_error_of_any_answer_of_httpxs_is_had_too() -> None:
    request = httpx.Request("GET", f"https://api.hubapi.com{CONTACTS}/7")
    error = error_of(httpx.Response(404, request=request))
    assert isinstance(error, hubspot_errors.NotFound)
    assert error.message.startswith("HubSpot has no such thing")
    assert "contacts 7" in error.hint
