"""Whose credential is this: every answer is an identity or an error that says what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.errors import (
    BadPortalId,
    CredentialRejected,
    MissingScopes,
    PortalForbidden,
    PortalMismatch,
    PortalUnreachable,
    UnexpectedAnswer,
    VerificationError,
)
from hsagency.portals import PortalId
from hsagency.sandbox import Fault, Sandbox, serve
from hsagency.secret import Secret
from hsagency.verifier import (
    FIRST_CONTACT,
    Identity,
    answerer,
    daily_usage,
    introspect,
    read_daily_usage,
    verify,
)
from tests.support import TOKEN, Connected, lone_client

MINE = PortalId(12345678)
DETAILS = {
    "portalId": 12345678,
    "accountType": "STANDARD",
    "timeZone": "US/Eastern",
    "companyCurrency": "USD",
    "additionalCurrencies": [],
    "utcOffset": "-05:00",
    "utcOffsetMilliseconds": -18_000_000,
    "uiDomain": "app.hubspot.com",
    "dataHostingLocation": "na1",
}


class Scripted:
    """Sends nothing: gives the next of some answers and remembers what was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers, self.asked = iter(answers), list[tuple[str, str, Any]]()

    def request(self, method: str, url: str, *, json: Any = None) -> httpx.Response:
        self.asked.append((method, url, json))
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def said(status: int = 200, body: Any = None, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, content=content, headers=headers)


def details(**changes: Any) -> httpx.Response:
    return said(200, {**DETAILS, **changes})


def test_the_right_portal_is_an_identity() -> None:
    sender = Scripted(said(200, DETAILS, **{"X-HubSpot-Correlation-Id": "c-1"}))
    found = verify(sender, expected=MINE)
    assert sender.asked == [("GET", "/account-info/2026-09/details", None)]
    assert (found.portal_id, found.time_zone, found.currency) == (MINE, "US/Eastern", "USD")
    assert (found.account_type, found.hosting, found.ui_domain) == (
        "STANDARD",
        "na1",
        "app.hubspot.com",
    )
    assert (found.correlation_id, found.name) == ("c-1", None)
    assert found.at.tzinfo is not None


@pytest.mark.parametrize(
    "odd", ["N" * 101, "a\nb", "\x1b[31m", "\x9b2J", "\u202eevil", "", f"for {TOKEN}", TOKEN[:20]]
)
def test_what_is_no_short_printable_text_counts_as_not_told(odd: str) -> None:
    fields = ("portalName", "timeZone", "companyCurrency", "uiDomain", "dataHostingLocation")
    found = verify(Scripted(details(**dict.fromkeys(fields, odd), accountType=odd)), expected=MINE)
    told = (found.name, found.time_zone, found.currency, found.ui_domain, found.hosting)
    assert {*told, found.account_type} == {None}


@pytest.mark.parametrize("odd", [TOKEN, "jane@example.com", "a b", "c" * 65, ""])
def test_a_correlation_id_is_a_short_word_or_none(odd: str) -> None:
    header = {"X-HubSpot-Correlation-Id": odd}
    assert verify(Scripted(said(200, DETAILS, **header)), expected=MINE).correlation_id is None
    with pytest.raises(CredentialRejected) as caught:
        verify(Scripted(said(401, {}, **header)), expected=MINE)
    assert caught.value.correlation_id is None


def test_another_portal_is_a_mismatch_that_names_both() -> None:
    with pytest.raises(PortalMismatch, match="portal 99, expected 12345678") as caught:
        verify(Scripted(details(portalId=99)), expected=MINE)
    assert (caught.value.got, caught.value.expected) == (99, 12345678)


def test_first_contact_is_said_and_takes_any_portal() -> None:
    assert verify(Scripted(details(portalId=99)), expected=FIRST_CONTACT).portal_id == 99


def test_nothing_is_expected_by_default() -> None:
    with pytest.raises(TypeError):
        verify(Scripted(details()))  # type: ignore[call-arg]
    for slip in (None, 0, "", True, -1, "first"):
        sender = Scripted(details())
        with pytest.raises(BadPortalId):
            verify(sender, expected=slip)  # type: ignore[arg-type]
        assert sender.asked == []


HTML = b"<html><body>Bad Gateway 12345678</body></html>"
ODD_IDS: list[Any] = ["12345678", True, 0, -1, 10**12, 10**30, 1.5, 12345678.0, None, [], {}]
ANSWERS: list[tuple[str, httpx.Response | Exception, type[VerificationError], str]] = [
    ("401", said(401, {"category": "INVALID_AUTHENTICATION"}), CredentialRejected, "service key"),
    ("403 scopes", said(403, {"category": "MISSING_SCOPES"}), MissingScopes, "scopes"),
    ("403 gated", said(403, {"category": "GATED"}), PortalForbidden, "ask the client"),
    (
        "403 suspended",
        said(403, {"category": "PORTAL_SUSPENDED"}),
        PortalForbidden,
        "Ask the client",
    ),
    (
        "403 user",
        said(403, {"category": "USER_DOES_NOT_HAVE_PERMISSIONS"}),
        PortalForbidden,
        "was deactivated",
    ),
    ("403 odd", said(403, {"category": ["MISSING_SCOPES"]}), PortalForbidden, "suspended"),
    ("403 no object", said(403, [1]), PortalForbidden, "suspended"),
    ("403 html", said(403, HTML), PortalForbidden, "lost access"),
    ("429", said(429, {"policyName": "SECONDLY"}), PortalUnreachable, "minute"),
    ("429 daily", said(429, {"policyName": "DAILY"}), PortalUnreachable, "whole again at"),
    ("477", said(477, b""), PortalUnreachable, "24 hours"),
    ("488", said(488, {"correctHublet": "eu1"}), CredentialRejected, "where the portal is now"),
    ("500", said(500, b""), PortalUnreachable, "minute"),
    ("530", said(530, HTML), CredentialRejected, "copied wrongly"),
    ("502 html", said(502, HTML), PortalUnreachable, "minute"),
    ("524", said(524, HTML), PortalUnreachable, "minute"),
    ("302", said(302, b"", Location="https://sso.example.com"), UnexpectedAnswer, "proxies"),
    ("204", said(204, b""), UnexpectedAnswer, "proxies"),
    ("400", said(400, {}), UnexpectedAnswer, "proxies"),
    ("418", said(418, {}), UnexpectedAnswer, "proxies"),
    ("empty", said(200, b""), UnexpectedAnswer, "proxies"),
    ("html", said(200, HTML), UnexpectedAnswer, "proxies"),
    ("no utf-8", said(200, b"\xff\xfe"), UnexpectedAnswer, "proxies"),
    ("array", said(200, [DETAILS]), UnexpectedAnswer, "proxies"),
    ("null", said(200, None), UnexpectedAnswer, "proxies"),
    ("number", said(200, 12345678), UnexpectedAnswer, "proxies"),
    ("no id", said(200, {"accountType": "STANDARD"}), UnexpectedAnswer, "proxies"),
    ("half", said(200, json.dumps(DETAILS).encode()[:40]), UnexpectedAnswer, "proxies"),
    *((f"id {value!r}", details(portalId=value), UnexpectedAnswer, "proxies") for value in ODD_IDS),
    ("refused", httpx.ConnectError("refused"), PortalUnreachable, "minute"),
    ("no name", httpx.ConnectError("[Errno -2] Name"), PortalUnreachable, "minute"),
    ("time-out", httpx.ReadTimeout("slow"), PortalUnreachable, "minute"),
    ("dropped", httpx.RemoteProtocolError("gone"), PortalUnreachable, "minute"),
    ("garbled", httpx.DecodingError("gzip"), PortalUnreachable, "minute"),
]


@pytest.mark.parametrize(
    ("answer", "kind", "hint"), [one[1:] for one in ANSWERS], ids=[one[0] for one in ANSWERS]
)
@pytest.mark.parametrize("expected", [MINE, FIRST_CONTACT])
def test_every_other_answer_is_an_error_with_what_to_do(
    answer: httpx.Response | Exception, kind: type[VerificationError], hint: str, expected: Any
) -> None:
    with pytest.raises(VerificationError) as caught:
        verify(Scripted(answer), expected=expected)
    assert type(caught.value) is kind
    assert hint in caught.value.hint
    assert not [word for word in ("stored", "Nothing", "None") if word in caught.value.message]
    if isinstance(answer, httpx.Response) and answer.status_code != 200:
        assert caught.value.status_code == answer.status_code
        assert str(answer.status_code) in caught.value.message


def test_an_error_carries_the_correlation_id() -> None:
    with pytest.raises(CredentialRejected) as caught:
        verify(Scripted(said(401, {}, **{"X-HubSpot-Correlation-Id": "c-9"})), expected=MINE)
    assert caught.value.correlation_id == "c-9"


def test_a_404_falls_back_to_the_older_address() -> None:
    sender = Scripted(said(404, HTML), details())
    assert verify(sender, expected=MINE).portal_id == MINE
    assert [url for _, url, _ in sender.asked] == [
        "/account-info/2026-09/details",
        "/account-info/v3/details",
    ]
    with pytest.raises(PortalMismatch):
        verify(Scripted(said(404), details(portalId=99)), expected=MINE)


@pytest.mark.parametrize("answers", [(said(404), said(404, HTML)), (said(404, HTML), said(404))])
def test_a_404_of_both_addresses_is_a_portal_that_is_gone(answers: Any) -> None:
    with pytest.raises(
        PortalForbidden, match=r"no account details for the token \(404\)"
    ) as caught:
        verify(Scripted(*answers), expected=MINE)
    assert "deleted: ask the client" in caught.value.hint


def test_a_403_repeats_a_category_and_nothing_else_of_the_answer() -> None:
    with pytest.raises(PortalForbidden, match=r"\(403, PORTAL_SUSPENDED\)"):
        verify(Scripted(said(403, {"category": "PORTAL_SUSPENDED"})), expected=MINE)
    for odd in ("jane@example.com", TOKEN, "a" * 100, "PORTAL\x1b[2J"):
        with pytest.raises(PortalForbidden, match=r"\(403\)\.") as caught:
            verify(Scripted(said(403, {"category": odd})), expected=MINE)
        assert odd not in str(caught.value)


@pytest.mark.parametrize(
    "answer", [one[1] for one in ANSWERS if one[0] in ("401", "403 html", "500", "html", "dropped")]
)
def test_a_sandbox_is_not_called_hubspot(answer: httpx.Response | Exception) -> None:
    with pytest.raises(VerificationError, match=r"[Tt]he sandbox") as caught:
        verify(Scripted(answer), expected=MINE, who=answerer("http://127.0.0.1:1"))
    assert "HubSpot" not in caught.value.message
    assert caught.value.message[0].isupper()


@pytest.mark.parametrize(
    "changes",
    [
        {"portalName": "Acme Größe", "createdAt": 1_700_000_000_000},
        {"somethingNew": {"deep": [1]}},
        {name: None for name in DETAILS if name != "portalId"},
    ],
)
def test_new_and_null_fields_change_nothing(changes: dict[str, Any]) -> None:
    found = verify(Scripted(details(**changes)), expected=MINE)
    assert found.portal_id == MINE
    assert found.name == changes.get("portalName")


def test_missing_fields_are_absent_and_not_empty() -> None:
    found = verify(Scripted(said(200, {"portalId": 12345678})), expected=MINE)
    assert (found.account_type, found.time_zone, found.hosting, found.name) == (None,) * 4


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text("abc12345678", max_size=9),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from([*DETAILS, "portalName", "x"]), inner, max_size=6)
        ),
        max_leaves=12,
    )
)
def test_no_answer_at_all_is_taken_for_another_portals(body: Any) -> None:
    try:
        found = verify(Scripted(said(200, body)), expected=MINE)
    except (UnexpectedAnswer, PortalMismatch):
        return
    assert type(body["portalId"]) is int
    assert body["portalId"] == found.portal_id == MINE


def test_introspection_tells_scopes_and_sends_the_token_in_the_body_only() -> None:
    sender = Scripted(said(200, {"hubId": 12345678, "scopes": ["oauth"], "userId": 1, "x": None}))
    found = introspect(sender, Secret(TOKEN))
    assert found is not None
    assert (found.portal_id, found.scopes) == (MINE, ("oauth",))
    method, url, body = sender.asked[0]
    assert (method, body) == ("POST", {"tokenKey": TOKEN})
    assert TOKEN not in url


@pytest.mark.parametrize(
    "answer",
    [
        *(said(404, HTML), said(401, {}), said(200, b""), said(200, {"scopes": []}), said(200, [])),
        *(
            said(200, {"hubId": True}),
            said(200, {"hubId": "1"}),
            said(200, {"hubId": 1, "scopes": None}),
        ),
        httpx.ReadTimeout("slow"),
    ],
)
def test_no_introspection_is_no_verdict(answer: httpx.Response | Exception) -> None:
    assert introspect(Scripted(answer), Secret(TOKEN)) is None


def usage(**changes: Any) -> httpx.Response:
    row = {"usageLimit": 250_000, "currentUsage": 0, "fetchStatus": "SUCCESS", **changes}
    return said(200, {"results": [row]})


def test_a_usage_of_zero_is_a_figure() -> None:
    found = daily_usage(Scripted(usage()))
    assert found is not None
    assert (found.limit, found.used) == (250_000, 0)


@pytest.mark.parametrize(
    "answer",
    [
        *(usage(fetchStatus="FAILURE"), usage(fetchStatus=""), usage(currentUsage=None)),
        *(usage(usageLimit=None), usage(usageLimit=0), usage(currentUsage=-1)),
        *(said(200, {"results": []}), said(200, {"results": None})),
        *(said(200, {}), said(403, {}), said(500, HTML), httpx.ConnectError("x")),
    ],
)
def test_a_usage_that_hubspot_does_not_vouch_for_is_absent(
    answer: httpx.Response | Exception,
) -> None:
    assert daily_usage(Scripted(answer)) is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (said(403, {"category": "MISSING_SCOPES"}), MissingScopes),
        (said(500, HTML), PortalUnreachable),
        (said(200, {"results": None}), UnexpectedAnswer),
    ],
)
def test_who_has_to_tell_why_there_is_no_usage_gets_the_reason(
    answer: httpx.Response, error: type[VerificationError]
) -> None:
    with pytest.raises(error):
        read_daily_usage(answer)
    assert read_daily_usage(usage(fetchStatus="TIMEOUT")) is None


def test_a_sender_that_raises_answers_was_answered_all_the_same() -> None:
    answer = said(429, {})
    raised = httpx.HTTPStatusError("429", request=httpx.Request("GET", "/"), response=answer)
    with pytest.raises(PortalUnreachable, match="429"):
        verify(Scripted(raised), expected=PortalId(1))
    assert daily_usage(Scripted(raised)) is None


def test_any_sender_will_do(tmp_path: Path, fleet: Connected) -> None:
    portal = fleet.sandbox.portals[0]
    bearer = {"authorization": f"Bearer {portal.token}"}
    inside = httpx.Client(
        base_url="https://api.hubapi.com", transport=fleet.sandbox.transport(), headers=bearer
    )
    outside = httpx.Client(base_url=fleet.server.url, headers=bearer, trust_env=False)
    with (
        inside,
        outside,
        lone_client(tmp_path, url=fleet.server.url, token=portal.token) as lone,
    ):
        for sender in (inside, outside, lone, fleet.agency.client(portal.client_slug)):
            found = verify(sender, expected=PortalId(portal.portal_id))
            assert isinstance(found, Identity)
            assert found.hosting == portal.hublet
            assert found.name in (None, portal.name)


def test_the_sandboxs_faults_are_the_errors_they_stand_for(fleet: Connected) -> None:
    portal = fleet.sandbox.portals[0]  # asked without retries, and without stopping the portal
    bearer = {"authorization": f"Bearer {portal.token}"}
    expected = PortalId(portal.portal_id)
    table: list[tuple[Fault, type[VerificationError]]] = [
        (Fault("status", status=401, times=1), CredentialRejected),
        (Fault("status", status=403, times=1), MissingScopes),
        (Fault("status", status=403, html=True, times=1), PortalForbidden),
        (Fault("status", status=503, html=True, times=1), PortalUnreachable),
        (Fault("burst", times=1), PortalUnreachable),
        (Fault("daily", times=1), PortalUnreachable),
        (Fault("drop_before", times=1), PortalUnreachable),
        (Fault("drop_after", times=1), PortalUnreachable),
        (Fault("wrong_portal", times=1), PortalMismatch),
    ]
    with httpx.Client(base_url=fleet.server.url, headers=bearer, trust_env=False) as client:
        for fault, kind in table:
            fleet.sandbox.faults.add(fault)
            with pytest.raises(VerificationError) as caught:
                verify(client, expected=expected)
            assert type(caught.value) is kind
        assert verify(client, expected=expected).portal_id == expected


@pytest.mark.parametrize(
    ("who", "cure"), [("HubSpot", "another network"), ("the sandbox", "without --tls")]
)
def test_a_certificate_that_is_not_trusted_is_said(tmp_path: Path, who: str, cure: str) -> None:
    with serve(Sandbox(portals=1, contacts=1), tls=True) as server:
        with (
            lone_client(tmp_path, url=server.url) as client,
            pytest.raises(PortalUnreachable) as caught,
        ):
            verify(client, expected=FIRST_CONTACT, who=who)
        assert server.sandbox.ledger(None) == ()
    assert "showed a certificate that is not trusted (unable to get local issuer" in str(
        caught.value
    )
    assert "no token and no call were sent" in caught.value.message
    assert "[network] ca_bundle" in caught.value.hint
    assert cure in caught.value.hint
