"""What an answer means, as laws: no wait is negative or beyond patience, and rubbish is absent."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency import hubspot_errors
from hsagency.hubspot_errors import HubSpotError
from hsagency.portals import Cause, CredentialKind
from hsagency.routes import OperationClass, Touched, touched
from hsagency.routes import rows as routes
from hsagency.said import MOST, Seen
from hsagency.verdicts import (
    ATTEMPTS,
    PATIENCE,
    Attempt,
    DayEnd,
    Fate,
    Verdict,
    is_repeatable,
    judge,
    judge_loss,
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
    known |= {
        "midnight",
        "breaks",
        "closes",
        "fate",
        "error",
        "executed",
        "budget",
        "cause",
        "action",
        "authorised",
        "source",
    }
    for row in rows():
        assert set(row) <= known, row["rule"]
        assert row["retry"] in ("never", "refused", "unsure")
        assert row.get("fate", "none") in set(Fate)
        assert row.get("breaks", "unknown") in set(Cause)
        assert row.get("executed", "no") in ("no", "unknown")
        kind = getattr(hubspot_errors, row.get("error", "HubSpotError"))
        assert issubclass(kind, HubSpotError)
        assert not row["cause"].endswith(".")
        assert row["action"].endswith((".", "{replace}"))
        assert ("authorised" in row) == ("{place}" in row["action"]), (
            "nobody holds an authorisation"
        )
        assert row.get("authorised", "{replace}").endswith("{replace}")
        # what may have been done is never made again for any method
        assert row["retry"] != "refused" or row.get("executed") == "no"


DAILY = {"message": "You have reached your daily limit.", "policyName": "DAILY"}
RECOGNISED: list[tuple[Seen, str]] = [
    (said(429, DAILY), "daily limit"),
    (said(429, {"policyName": "TEN_SECONDLY_ROLLING"}), "burst limit"),
    (said(429, {"policyName": "SECONDLY"}), "search limit"),
    (said(429, {"policyName": "Daily"}), "daily limit"),
    (said(429, {"policyName": "OTHER"}, x_hubspot_ratelimit_daily_remaining="0"), "unknown limit"),
    (said(429, {"message": "You have reached your associations daily limit."}), "unknown limit"),
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
    assert verdict.action.startswith("Needed: crm.objects.contacts.read. Have the scope added")


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
        ("1", 1.0),
        ("0.7", 0.7),
        (".5", 0.5),
        ("5, 5", 5.0),
        ("1, 2", 2.0),
        ("7.", 7.0),
        (" 3 ", 3.0),
        (format_datetime(IN_A_MINUTE, usegmt=True), 30.0),
    ],
)
def test_retry_after_is_seconds_fractions_or_a_date(header: str, seconds: float) -> None:
    verdict = judged(said(503, None, retry_after=header))
    assert (verdict.wait, verdict.retry) == (seconds, True)
    assert verdict.until == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "header",
    [
        *("", "-1", "nan", "inf", "1e3", "1, x", "soon", "٣", "9" * 400, "1_000"),
        *("Fri, 99 Nov 2026 14:00:30 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "0x10", "+1"),
    ],
)
def test_a_retry_after_that_makes_no_sense_is_absent(header: str) -> None:
    assert judged(said(503, None, retry_after=header)) == judged(said(503))


def test_of_two_headers_the_longer_wait_counts() -> None:
    twice = httpx.Headers([("Retry-After", "3"), ("Retry-After", "2")])
    assert judged(Seen(503, twice)).wait == 3.0
    assert judged(Seen(503, httpx.Headers({"RETRY-AFTER": "1"}))).wait == 1.0


def test_a_date_is_reckoned_from_the_answers_own_clock() -> None:
    late = NOW - timedelta(hours=1)
    seen = said(503, None, retry_after=format_datetime(late + timedelta(seconds=7)))
    assert judged(seen).wait == 0.5, "the least"
    seen = said(
        503,
        None,
        retry_after=format_datetime(late + timedelta(seconds=7)),
        date=format_datetime(late, usegmt=True),
    )
    assert judged(seen).wait == 7.0


@pytest.mark.parametrize("policy", ["TEN_SECONDLY_ROLLING", "SECONDLY", "MINUTELY"])
def test_a_limit_that_asks_for_no_wait_at_all_is_waited_for_a_second(policy: str) -> None:
    past = format_datetime(NOW - timedelta(days=1), usegmt=True)
    for header in ("0", past):
        assert judged(said(429, {"policyName": policy}, retry_after=header)).wait == 1.0


def test_a_move_says_when_it_is_over_and_is_not_slept_through() -> None:
    verdict = judged(said(477, None, retry_after="86400"))
    assert (verdict.retry, verdict.until) == (False, NOW + timedelta(days=1))
    assert "refused here until 2026-11-21 14:00 UTC." in verdict.action
    assert verdict.closes == "is moving this portal to another data centre"
    assert judged(said(503, None, retry_after="60")).closes == ""


def test_a_move_without_a_time_is_looked_at_again_in_an_hour() -> None:
    verdict = judged(said(477))
    assert (verdict.retry, verdict.until) == (False, NOW + timedelta(hours=1))
    assert "Until when was not said." in verdict.action
    assert "until 2026-11-20 15:00 UTC." in verdict.action
    assert verdict.closes.endswith("and did not say until when")


def test_a_day_ends_when_the_portals_own_does() -> None:
    end = DayEnd(NOW + timedelta(hours=3), "when they say")
    verdict = judged(said(429, DAILY, retry_after="1"), day_end=end)
    assert (verdict.retry, verdict.until) == (False, end.at)
    assert verdict.action.startswith("The limit is whole again at when they say.")


def test_the_end_of_a_day_that_nobody_knows_is_said_to_be_assumed() -> None:
    verdict = judged(said(429, DAILY))
    assert verdict.until == datetime(2026, 11, 21, tzinfo=UTC)
    assert "2026-11-21 00:00 UTC (the portal's time zone is not known)" in verdict.action


@pytest.mark.parametrize("seen", [said(401, {"category": "INVALID_AUTHENTICATION"}), said(530)])
@pytest.mark.parametrize("kind", list(CredentialKind))
def test_what_to_do_about_a_credential_ends_in_the_command(
    seen: Seen, kind: CredentialKind
) -> None:
    command = "hsagency reconnect acme-corp"
    missing = said(403, {"category": "MISSING_SCOPES"})
    for one in (seen, missing):
        verdict = judged(one, kind=kind, replace=command)
        assert verdict.action.endswith(command)
        assert ("Service keys" in verdict.action) == (kind in ("service_key", "static"))
        assert "{" not in verdict.action
        if kind is CredentialKind.OAUTH:
            assert "token" not in verdict.action
            assert "rotat" not in verdict.action


def test_every_row_of_the_route_table_is_safe_to_repeat_or_not() -> None:
    unsafe, safe = [], []
    for (method, pattern), (does, family) in routes().items():
        template = "/" + "/".join(pattern)
        call = Touched(template, does, family, None, None)
        (safe if is_repeatable(method, call) else unsafe).append((method, template, does))
    for method, template, does in safe:
        assert method in ("GET", "PUT", "PATCH", "DELETE") or (
            does is OperationClass.READ
            or template in ("/oauth/token", "/oauth/token/revoke", "/oauth/token/introspect")
            or template.endswith(
                ("/batch/archive", "/labels/archive", "/batch/update", "/batch/upsert")
            )
        ), template
        assert method == "GET" or does not in (OperationClass.SEND, OperationClass.EXPORT), template
        assert not any(word in template for word in ("gdpr-delete", "/merge", "/links/generate"))
    for method, template, does in unsafe:
        assert method != "GET", template
        special = "gdpr-delete" in template or "links/generate" in template
        assert method == "POST" or does is OperationClass.SEND or special, template
    for template in ("/crm/objects/{type}/search", "/crm/objects/{type}/batch/read"):
        assert ("POST", template, OperationClass.READ) in safe
    for words in ("batch/create", "gdpr-delete", "merge", "export/async"):
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


def test_a_body_that_is_longer_than_any_error_counts_as_none() -> None:
    body = json.dumps({"policyName": "DAILY", "message": "x" * MOST}).encode()
    assert judged(Seen(429, {}, body)).rule == "unknown limit"


def test_no_verdict_repeats_what_was_submitted() -> None:
    body = {"message": "jane@example.com", "category": "jane@example.com", "policyName": "a b"}
    assert "jane" not in repr(judged(said(400, body, x_hubspot_correlation_id="jane@x")))


def test_a_token_endpoint_whose_answer_was_lost_is_asked_again() -> None:
    """What such an answer held is lost either way, and nobody can do more than ask."""
    for path in ("token", "token/introspect", "token/revoke"):
        assert is_repeatable("POST", touched("POST", f"/oauth/2026-09/{path}"))
    assert not is_repeatable("POST", touched("POST", "/oauth/2026-09/anything"))
