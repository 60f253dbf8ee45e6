"""What an answer means, as laws: no wait is negative or beyond patience, and rubbish is absent."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency import hubspot_errors
from hsagency.hubspot_errors import HubSpotError
from hsagency.routes import OperationClass, Touched, touched
from hsagency.routes import rows as routes
from hsagency.verdicts import (
    ATTEMPTS,
    MOST,
    PATIENCE,
    Attempt,
    Fate,
    Seen,
    Verdict,
    is_repeatable,
    judge,
    judge_loss,
    next_midnight,
    rows,
)

NOW = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
READ = touched("GET", "/crm/v3/objects/contacts/12")
CREATE = touched("POST", "/crm/v3/objects/contacts")


def said(status: int, body: object = None, /, **headers: str) -> Seen:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Seen(status, named, b"" if body is None else json.dumps(body).encode())


def judged(seen: Seen, *, create: bool = False, **more: Any) -> Verdict:
    method, what = ("POST", CREATE) if create else ("GET", READ)
    verdict = judge(seen, method=method, touched=what, attempt=Attempt(**{"now": NOW, **more}))
    assert verdict is not None
    return verdict


def test_the_table_says_only_what_is_known() -> None:
    known = {"rule", "status", "named", "words", "spent", "families", "lost", "retry", "backoff"}
    known |= {"midnight", "fate", "error", "executed", "budget", "cause", "action", "source"}
    for row in rows():
        assert set(row) <= known, row["rule"]
        assert row["retry"] in ("never", "refused", "unsure")
        assert row.get("fate", "none") in set(Fate)
        assert row.get("executed", "no") in ("no", "unknown")
        kind = getattr(hubspot_errors, row.get("error", "HubSpotError"))
        assert issubclass(kind, HubSpotError)
        assert not row["cause"].endswith(".")
        assert row["action"].endswith(".")
        # what may have been done is never made again for any method
        assert row["retry"] != "refused" or row.get("executed") == "no"


DAILY = {"message": "You have reached your daily limit.", "policyName": "DAILY"}
RECOGNISED: list[tuple[Seen, str]] = [
    (said(429, DAILY), "daily limit"),
    (said(429, {"policyName": "TEN_SECONDLY_ROLLING"}), "burst limit"),
    (said(429, {"policyName": "SECONDLY"}), "search limit"),
    (said(429, {"message": "You have reached your daily limit."}), "daily limit"),
    (said(429, {"message": "You have reached your ten_secondly_rolling limit."}), "burst limit"),
    (said(429, {"message": "You have reached your secondly limit."}), "search limit"),
    (said(429, None, x_hubspot_ratelimit_daily_remaining="0"), "daily limit"),
    (said(429, None, x_hubspot_ratelimit_remaining="0"), "burst limit"),
    (said(429, None, x_hubspot_ratelimit_remaining="7"), "unknown limit"),
    # a name counts for more than words, and words for more than headers
    (said(429, {**DAILY, "policyName": "SECONDLY"}), "search limit"),
    (said(429, DAILY, x_hubspot_ratelimit_remaining="0"), "daily limit"),
    (said(429, {"policyName": "MINUTELY"}), "unknown limit"),
    (said(429, {"policyName": "MINUTELY", "message": "your daily limit"}), "daily limit"),
    (said(429, {"category": "RATE_LIMITS"}), "unknown limit"),
    (said(429, {"policyName": ["DAILY"]}), "unknown limit"),
    (said(401, {"category": "EXPIRED_AUTHENTICATION"}), "token expired"),
    (said(401, {"message": "The OAuth token used to make this call expired"}), "token expired"),
    (said(401, {"category": "INVALID_AUTHENTICATION"}), "token rejected"),
    (said(401), "unauthorised"),
    (said(403, {"category": "MISSING_SCOPES"}), "missing scopes"),
    (said(403, {"message": "hasn't been granted all required scopes"}), "missing scopes"),
    (said(403, {"category": "GATED"}), "gated"),
    (said(403, {"subCategory": "PORTAL_SUSPENDED"}), "portal suspended"),
    (said(403, {"message": "This account is suspended."}), "portal suspended"),
    (said(401, {"message": "This account is suspended."}), "portal suspended"),
    (said(403), "forbidden"),
    (said(404), "not found"),
    (said(307), "redirect"),
    (said(599), "other server error"),
    (said(422), "other client error"),
    (said(101), "anything else"),
    (said(0), "anything else"),
]


@pytest.mark.parametrize(("seen", "rule"), RECOGNISED)
def test_an_answer_is_known_by_its_name_then_words_then_headers_then_status(
    seen: Seen, rule: str
) -> None:
    assert judged(seen).rule == rule


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_a_success_has_no_verdict(status: int) -> None:
    assert judge(said(status), method="GET", touched=READ, attempt=Attempt(now=NOW)) is None


def test_an_apps_endpoint_that_wants_another_credential_does_not_stop_the_portal() -> None:
    what = touched("GET", "/webhooks/v3/4711/settings")
    seen = said(401, {"category": "INVALID_AUTHENTICATION"})
    verdict = judge(seen, method="GET", touched=what, attempt=Attempt(now=NOW))
    assert verdict is not None
    assert verdict.fate is Fate.CONFIRM
    assert judged(seen).fate is Fate.STOP


def test_the_scopes_that_are_missing_are_named_and_nothing_else() -> None:
    token = "pat-na1-0c0ffee0-1111-4222-8333-444455556666"
    wanted = [
        "crm.objects.contacts.read",
        "crm.objects.contacts.read",
        "jane@example.com",
        7,
        token,
    ]
    errors = [{"context": {"requiredGranularScopes": wanted}}, 7, {"context": [1]}]
    verdict = judged(said(403, {"category": "MISSING_SCOPES", "errors": errors}))
    assert verdict.scopes == ("crm.objects.contacts.read",)
    assert verdict.action.endswith("Needed: crm.objects.contacts.read.")


def test_a_404_says_what_was_asked_for() -> None:
    assert judged(said(404)).action.endswith("Asked for: contacts 12.")


@pytest.mark.parametrize(
    "seen",
    [
        said(488, {"correctHublet": "eu1"}),
        said(488, None, x_hubspot_correct_hublet="EU1"),
        said(488, {"message": "it appears to exist in Hublet eu1"}),
        said(488, {"correctHublet": "evil.example.com"}, x_hubspot_correct_hublet="eu1"),
    ],
)
def test_the_right_data_centre_is_read_from_body_or_header(seen: Seen) -> None:
    verdict = judged(seen)
    assert (verdict.hublet, verdict.fate, verdict.retry) == ("eu1", Fate.REROUTE, False)


@pytest.mark.parametrize("named", ["evil.example.com", "eu1.evil", "", "EU", 7, None])
def test_what_is_no_data_centre_is_none(named: object) -> None:
    assert judged(said(488, {"correctHublet": named})).hublet is None


IN_A_MINUTE = NOW + timedelta(seconds=30)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("7.", 7.0),
        (" 3 ", 3.0),
        (format_datetime(IN_A_MINUTE, usegmt=True), 30.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
    ],
)
def test_retry_after_is_seconds_fractions_or_a_date(header: str, seconds: float) -> None:
    verdict = judged(said(503, None, retry_after=header))
    assert (verdict.wait, verdict.retry) == (seconds, True)
    assert verdict.until == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "header",
    [
        *("", "-1", "nan", "inf", "1e3", "1, 2", "soon", "٣", "9" * 400, "1_000"),
        *("Fri, 99 Nov 2026 14:00:30 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "0x10", "+1"),
    ],
)
def test_a_retry_after_that_makes_no_sense_is_absent(header: str) -> None:
    assert judged(said(503, None, retry_after=header)) == judged(said(503))


def test_what_stands_in_two_headers_is_absent() -> None:
    twice = httpx.Headers([("Retry-After", "1"), ("Retry-After", "2")])
    assert judged(Seen(503, twice)) == judged(said(503))
    assert judged(Seen(503, httpx.Headers({"RETRY-AFTER": "1"}))).wait == 1.0


def test_a_move_says_when_it_is_over_and_is_not_slept_through() -> None:
    verdict = judged(said(477, None, retry_after="86400"))
    assert (verdict.retry, verdict.until) == (False, NOW + timedelta(days=1))
    assert judged(said(477)).until is None


@pytest.mark.parametrize(
    ("now", "zone", "midnight"),
    [
        ("2026-03-07T12:00+00:00", "US/Eastern", "2026-03-08T05:00+00:00"),
        ("2026-03-08T12:00+00:00", "US/Eastern", "2026-03-09T04:00+00:00"),  # a day of 23 hours
        ("2026-11-01T12:00+00:00", "US/Eastern", "2026-11-02T05:00+00:00"),  # a day of 25 hours
        ("2026-11-20T14:00+00:00", "Asia/Kolkata", "2026-11-20T18:30+00:00"),
        ("2026-04-23T12:00+00:00", "Africa/Cairo", "2026-04-23T22:00+00:00"),  # no such midnight
        ("2026-11-20T14:00+00:00", None, "2026-11-21T00:00+00:00"),
        ("2026-11-20T14:00+00:00", "Mars/Olympus", "2026-11-21T00:00+00:00"),
        ("2026-11-20T14:00+00:00", "../../etc/passwd", "2026-11-21T00:00+00:00"),
        ("2026-11-20T14:00+00:00", "Europe", "2026-11-21T00:00+00:00"),
    ],
)
def test_the_day_ends_at_the_portals_own_midnight(
    now: str, zone: str | None, midnight: str
) -> None:
    at = datetime.fromisoformat(now)
    assert next_midnight(at, zone=zone) == datetime.fromisoformat(midnight)
    verdict = judged(said(429, DAILY, retry_after="1"), now=at, zone=zone)
    assert (verdict.retry, verdict.until) == (False, datetime.fromisoformat(midnight))


def test_a_midnight_in_a_zone_that_is_not_known_is_said_to_be_assumed() -> None:
    assert "own time zone is not known" in judged(said(429, DAILY), zone="Mars/Olympus").action
    assert "midnight in US/Eastern" in judged(said(429, DAILY), zone="US/Eastern").action


def test_every_row_of_the_route_table_is_safe_to_repeat_or_not() -> None:
    unsafe, safe = [], []
    for (method, pattern), (does, family) in routes().items():
        template = "/" + "/".join(pattern)
        call = Touched(template, does, family, None, None)
        (safe if is_repeatable(method, call) else unsafe).append((method, template, does))
    for method, template, does in safe:
        assert method in ("GET", "PUT", "PATCH", "DELETE") or (
            does is OperationClass.READ or template.endswith(("/batch/archive", "/labels/archive"))
        ), template
        assert method == "GET" or does not in (OperationClass.SEND, OperationClass.EXPORT), template
        assert not any(word in template for word in ("gdpr-delete", "/merge", "/links/generate"))
    for method, template, does in unsafe:
        assert method != "GET", template
        special = "gdpr-delete" in template or "links/generate" in template
        assert method == "POST" or does is OperationClass.SEND or special, template
    for template in ("/crm/objects/{type}/search", "/crm/objects/{type}/batch/read"):
        assert ("POST", template, OperationClass.READ) in safe
    for words in ("batch/create", "gdpr-delete", "merge", "export/async", "batch/upsert"):
        assert any(words in template for _, template, _ in unsafe), words
    assert len(safe) + len(unsafe) == len(routes()) > 500


def test_what_no_row_describes_is_repeated_only_where_it_reads() -> None:
    for method, expected in (("GET", True), ("HEAD", True), ("PUT", False), ("POST", False)):
        assert is_repeatable(method, touched(method, "/nowhere/at/all")) is expected


def test_a_call_that_may_have_been_done_is_repeated_only_where_that_is_safe() -> None:
    assert judged(said(503)).retry
    assert not judged(said(503), create=True).retry
    assert judged(said(423), create=True).retry
    for sent in (True, False):
        for method, what in (("GET", READ), ("POST", CREATE)):
            verdict = judge_loss(sent=sent, method=method, touched=what, attempt=Attempt(now=NOW))
            assert verdict.retry is (method == "GET" or not sent)
            assert verdict.executed is (None if sent else False)


# Laws: whatever comes.

_words = st.sampled_from(
    [*("DAILY", "SECONDLY", "TEN_SECONDLY_ROLLING", "MINUTELY", "INVALID_AUTHENTICATION"), ""]
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("aD{é", max_size=5) | _words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [*("policyName", "category", "message", "errors", "context", "correctHublet"), "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
_bodies = st.binary(max_size=60) | _json.map(lambda one: json.dumps(one).encode())
_header = st.text("0123456789.-+eENanifGMT:, ", max_size=30) | st.floats().map(str)
_headers = st.dictionaries(
    st.sampled_from(
        [
            *("retry-after", "x-hubspot-ratelimit-remaining", "content-type"),
            *("x-hubspot-ratelimit-daily-remaining", "x-hubspot-correct-hublet"),
        ]
    ),
    _header,
)
_attempts = st.builds(
    Attempt,
    now=st.datetimes(timezones=st.just(UTC)),
    number=st.integers(1, 2 * ATTEMPTS),
    patience=st.floats(0, PATIENCE),
    again=st.booleans(),
    chance=st.floats(0, 1),
    zone=st.none() | st.sampled_from(["US/Eastern", "Asia/Tokyo", "x", "\0", "é"]),
)


@given(status=st.integers(-1, 1000), headers=_headers, body=_bodies, attempt=_attempts)
def test_no_answer_makes_it_raise_or_wait_too_long(
    status: int, headers: Mapping[str, str], body: bytes, attempt: Attempt
) -> None:
    verdict = judge(Seen(status, headers, body), method="GET", touched=READ, attempt=attempt)
    if verdict is None:
        assert 200 <= status < 300
        return
    assert verdict.wait >= 0
    assert math.isfinite(verdict.wait)
    if verdict.retry:
        assert verdict.wait <= attempt.patience
        assert attempt.again
        assert attempt.number < ATTEMPTS
        assert verdict.budget != "daily"
    assert verdict.until is None or verdict.until.tzinfo is UTC
    assert "midnight" not in verdict.action or not verdict.retry


@given(
    now=st.datetimes(
        min_value=datetime(2020, 1, 1),  # noqa: DTZ001  (put into UTC by the strategy)
        max_value=datetime(2035, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC),
    ),
    zone=st.sampled_from(
        [
            *("US/Eastern", "Europe/Berlin", "America/Sao_Paulo", "Africa/Cairo", "UTC"),
            *("Australia/Lord_Howe", "Pacific/Apia", "America/Havana", "Asia/Beirut"),
        ]
    ),
)
def test_midnight_is_ahead_within_a_long_day_and_begins_another_date(
    now: datetime, zone: str
) -> None:
    place = ZoneInfo(zone)
    at = next_midnight(now, zone=zone)
    assert timedelta() < at - now <= timedelta(hours=25)
    assert at.astimezone(place).date() == now.astimezone(place).date() + timedelta(days=1)
    before = (at - timedelta(seconds=1)).astimezone(place)
    assert before.date() == now.astimezone(place).date()


def test_a_body_that_is_longer_than_any_error_counts_as_none() -> None:
    body = json.dumps({"policyName": "DAILY", "message": "x" * MOST}).encode()
    assert judged(Seen(429, {}, body)).rule == "unknown limit"


def test_no_verdict_repeats_what_was_submitted() -> None:
    body = {"message": "jane@example.com", "category": "jane@example.com", "policyName": "a b"}
    assert "jane" not in repr(judged(said(400, body, x_hubspot_correlation_id="jane@x")))
