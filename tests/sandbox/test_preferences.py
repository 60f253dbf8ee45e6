"""Communication preferences: who wants which e-mails (facts 5.1, 5.2, 5.3, 6)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.sandbox import Sandbox
from tests.sandbox.asking import Asking

V3, V4 = "/communication-preferences/v3", "/communication-preferences/v4"
PATHS = (V4, "/communication-preferences/2026-03", "/communication-preferences/2026-09")
DATED = PATHS[-1]
ANN, BOB = "ann%40example.com", "bob@example.com"
NEWS, SERVICE = 610001, 610002
EMAIL = "channel=EMAIL"


@pytest.fixture
def ask(sandbox: Sandbox) -> Asking:
    return Asking(sandbox)


def states(ask: Asking, email: str = ANN, path: str = V4) -> list[str]:
    status, answer = ask("GET", f"{path}/statuses/{email}?{EMAIL}")
    assert (status, answer["status"]) == (200, "COMPLETE")
    return [one["status"] for one in answer["results"]]


def wish(state: str, **more: object) -> dict[str, Any]:
    return {"channel": "EMAIL", "statusState": state, "subscriptionId": NEWS, **more}


def write(ask: Asking, state: str, email: str = ANN) -> str:
    """Set what an address has chosen, and return what HubSpot says that did."""
    status, answer = ask("POST", f"{DATED}/statuses/{email}", wish(state))
    assert status == 200, answer
    assert answer["results"][0]["status"] == state
    return answer["results"][0]["setStatusSuccessReason"]


def is_out(ask: Asking, email: str = ANN) -> bool:
    return bool(ask("GET", f"{V4}/statuses/{email}/unsubscribe-all?{EMAIL}")[1]["results"])


@pytest.mark.parametrize("path", PATHS)
def test_kinds_of_email_are_listed(ask: Asking, path: str) -> None:
    """Facts 5.1; the fields rest on documents alone."""
    status, answer = ask("GET", f"{path}/definitions")
    assert status == 200
    assert [one["id"] for one in answer["results"]] == ["610001", "610002", "610003"]
    assert [one["isInternal"] for one in answer["results"]] == [False, False, True]
    old = ask("GET", f"{V3}/definitions")[1]["subscriptionDefinitions"]
    assert old == answer["results"]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_specified_until_it_is(ask: Asking, path: str) -> None:
    """That kinds nobody chose are listed is an assumption."""
    assert states(ask, path=path) == ["NOT_SPECIFIED"] * 3
    body = wish("SUBSCRIBED", legalBasis="CONSENT_WITH_NOTICE", legalBasisExplanation="asked")
    status, answer = ask("POST", f"{path}/statuses/{ANN}", body)
    assert status == 200
    one = answer["results"][0]
    assert (one["subscriberIdString"], one["subscriptionId"]) == ("ann@example.com", NEWS)
    assert (one["legalBasis"], one["legalBasisExplanation"]) == ("CONSENT_WITH_NOTICE", "asked")
    assert states(ask, path=path) == ["SUBSCRIBED", "NOT_SPECIFIED", "NOT_SPECIFIED"]


def test_an_address_is_the_same_in_whatever_letters_and_no_other(ask: Asking) -> None:
    """Facts 5.3: the address is in the path. That case is ignored is an assumption."""
    write(ask, "SUBSCRIBED", "Ann@Example.COM")
    assert states(ask)[0] == "SUBSCRIBED"
    assert states(ask, BOB)[0] == "NOT_SPECIFIED"


def test_a_contact_is_not_needed_for_an_address_to_have_preferences(
    sandbox: Sandbox, ask: Asking
) -> None:
    contacts = "/crm/v3/objects/contacts"
    assert ask("GET", f"{contacts}/{ANN}?idProperty=email")[0] == 404
    write(ask, "SUBSCRIBED")
    other = Asking(sandbox, index=1)
    assert states(other)[0] == "NOT_SPECIFIED"


def test_what_a_change_did_is_said(ask: Asking) -> None:
    """From documents alone."""
    assert write(ask, "SUBSCRIBED") == "REQUESTED_CHANGE_OCCURRED"
    assert write(ask, "SUBSCRIBED") == "NO_STATUS_CHANGE"
    assert write(ask, "UNSUBSCRIBED") == "REQUESTED_CHANGE_OCCURRED"
    assert write(ask, "SUBSCRIBED") == "RESUBSCRIBE_OCCURRED"


def test_an_address_is_unsubscribed_from_all(ask: Asking) -> None:
    """Facts 5.3; from documents alone: an empty answer unless it is asked to be verbose."""
    path = f"{DATED}/statuses/{ANN}/unsubscribe-all"
    assert not is_out(ask)
    status, answer = ask("POST", f"{path}?{EMAIL}")
    assert (status, answer["results"]) == (200, [])
    assert is_out(ask)
    assert states(ask) == ["UNSUBSCRIBED"] * 3
    one = ask("GET", f"{path}?{EMAIL}")[1]["results"][0]
    assert (one["wideStatusType"], one["status"]) == ("PORTAL_WIDE", "UNSUBSCRIBED")
    again = ask("POST", f"{path}?{EMAIL}&verbose=true")[1]["results"]
    assert {one["setStatusSuccessReason"] for one in again} == {"UNSUBSCRIBE_FROM_ALL_OCCURRED"}
    assert ask("GET", f"{path}?{EMAIL}")[1]["results"] == [one]  # it still began then


def test_who_subscribes_again_is_no_longer_unsubscribed_from_all(ask: Asking) -> None:
    """That version 4 subscribes again is documented; what becomes of the rest is an assumption."""
    ask("POST", f"{V4}/statuses/{ANN}/unsubscribe-all?{EMAIL}")
    assert write(ask, "SUBSCRIBED") == "RESUBSCRIBE_OCCURRED"
    assert not is_out(ask)
    assert states(ask) == ["SUBSCRIBED", "UNSUBSCRIBED", "UNSUBSCRIBED"]


steps = st.lists(
    st.tuples(
        st.sampled_from([ANN, BOB]),
        st.sampled_from(["SUBSCRIBED", "UNSUBSCRIBED", "NOT_SPECIFIED", "all"]),
    ),
    max_size=10,
)


@given(steps=steps)
def test_after_any_changes_an_address_has_what_was_last_set(steps: list[tuple[str, str]]) -> None:
    ask = Asking(Sandbox(portals=1))
    last, out = {ANN: "NOT_SPECIFIED", BOB: "NOT_SPECIFIED"}, {ANN: False, BOB: False}
    for email, state in steps:
        if state == "all":
            ask("POST", f"{V4}/statuses/{email}/unsubscribe-all?{EMAIL}")
            last[email], out[email] = "UNSUBSCRIBED", True
        else:
            write(ask, state, email)
            last[email], out[email] = state, out[email] and state != "SUBSCRIBED"
    assert {email: states(ask, email)[0] for email in last} == last
    assert {email: is_out(ask, email) for email in out} == out


@pytest.mark.parametrize(
    "body",
    [
        {},
        wish("MAYBE"),
        wish("SUBSCRIBED") | {"channel": "SMS"},
        wish("SUBSCRIBED", legalBasis="HOPE"),
        wish("SUBSCRIBED", legalBasisExplanation=7),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(ask: Asking, body: dict[str, Any]) -> None:
    assert ask("POST", f"{V4}/statuses/{ANN}", body)[0] == 400
    assert states(ask)[0] == "NOT_SPECIFIED"


@pytest.mark.parametrize("id_", [7, "x", "610004"])
def test_a_kind_of_email_that_is_not_there_is_a_404(ask: Asking, id_: object) -> None:
    """An assumption: no document shows the answer."""
    body = wish("SUBSCRIBED") | {"subscriptionId": id_}
    assert ask("POST", f"{V4}/statuses/{ANN}", body)[0] == 404
    body = {"emailAddress": "ann@example.com", "subscriptionId": str(id_)}
    assert ask("POST", f"{V3}/subscribe", body)[0] == 404


@pytest.mark.parametrize("email", ["ann", "ann@", "@example.com", "ann@host", "a%20n@example.com"])
def test_what_is_no_address_is_refused(ask: Asking, email: str) -> None:
    for method, path, body in (
        ("GET", f"{V4}/statuses/{email}?{EMAIL}", None),
        ("POST", f"{V4}/statuses/{email}", wish("SUBSCRIBED")),
        ("POST", f"{V4}/statuses/{email}/unsubscribe-all?{EMAIL}", None),
        ("GET", f"{V3}/status/email/{email}", None),
    ):
        status, answer = ask(method, path, body)
        assert (status, answer["category"]) == (400, "VALIDATION_ERROR"), path


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"statuses/{ANN}"),
        ("GET", f"statuses/{ANN}/unsubscribe-all"),
        ("POST", f"statuses/{ANN}/unsubscribe-all"),
        ("POST", "statuses/batch/read"),
        ("POST", "statuses/batch/unsubscribe-all"),
        ("POST", "statuses/batch/unsubscribe-all/read"),
    ],
)
@pytest.mark.parametrize("query", ["", "?channel=SMS"])
def test_the_channel_must_be_named(ask: Asking, method: str, path: str, query: str) -> None:
    """From documents alone."""
    status, answer = ask(method, f"{V4}/{path}{query}", {"inputs": [BOB]})
    assert status == 400
    assert "channel" in answer["message"]
    assert not is_out(ask)


def test_many_addresses_are_asked_for_and_changed_at_once(ask: Asking) -> None:
    """
    Facts 5.2: two of the four are reads, although all are POSTs; 207 as in facts 4.2.

    From documents alone.
    """
    batch, both = f"{DATED}/statuses/batch", {"inputs": ["ann@example.com", BOB]}
    writes = [wish("SUBSCRIBED", subscriberIdString=email) for email in both["inputs"]]
    status, answer = ask("POST", f"{batch}/write", {"inputs": writes})
    assert (status, len(answer["results"])) == (200, 2)
    status, answer = ask("POST", f"{batch}/unsubscribe-all?{EMAIL}", {"inputs": [BOB]})
    assert (status, answer["results"]) == (200, [{"subscriberIdString": BOB, "statuses": []}])
    status, answer = ask("POST", f"{batch}/read?{EMAIL}", both)
    first = [one["statuses"][0]["status"] for one in answer["results"]]
    assert (status, first) == (200, ["SUBSCRIBED", "UNSUBSCRIBED"])
    status, answer = ask("POST", f"{batch}/unsubscribe-all/read?{EMAIL}", both)
    assert (status, [len(one["wideStatuses"]) for one in answer["results"]]) == (200, [0, 1])


def test_what_fails_among_many_is_named_and_the_rest_is_done(ask: Asking) -> None:
    """Facts 4.2; that a write answers 207 too is an assumption."""
    batch = f"{V4}/statuses/batch"
    writes = [
        wish("SUBSCRIBED", subscriberIdString=BOB),
        wish("SUBSCRIBED", subscriberIdString="x"),
        wish("SUBSCRIBED"),
    ]
    status, answer = ask("POST", f"{batch}/write", {"inputs": writes})
    assert (status, answer["numErrors"], len(answer["results"])) == (207, 2, 1)
    assert states(ask, BOB)[0] == "SUBSCRIBED"
    for name in ("read", "unsubscribe-all/read", "unsubscribe-all"):
        status, answer = ask("POST", f"{batch}/{name}?{EMAIL}", {"inputs": ["x", BOB]})
        assert (status, len(answer["results"])) == (207, 1)
        assert answer["errors"][0]["context"] == {"subscriberIdString": ["x"]}
    assert is_out(ask, BOB)


@pytest.mark.parametrize("inputs", [None, "x", [{}], [BOB] * 101])
def test_a_batch_that_makes_no_sense_is_refused(ask: Asking, inputs: object) -> None:
    """That a batch holds 100 addresses is an assumption."""
    assert ask("POST", f"{V4}/statuses/batch/read?{EMAIL}", {"inputs": inputs})[0] == 400
    assert ask("POST", f"{V4}/statuses/batch/write", {"inputs": inputs})[0] in {400, 207}


# --- version 3


def statuses_v3(ask: Asking, path: str = V3) -> list[tuple[str, str]]:
    status, answer = ask("GET", f"{path}/status/email/{ANN}")
    assert (status, answer["recipient"]) == (200, "ann@example.com")
    return [(one["status"], one["sourceOfStatus"]) for one in answer["subscriptionStatuses"]]


def v3_wish(**more: object) -> dict[str, Any]:
    return {"emailAddress": "ann@example.com", "subscriptionId": str(NEWS), **more}


@pytest.mark.parametrize("path", [V3, DATED])
def test_version_3_knows_two_states(ask: Asking, path: str) -> None:
    """Facts 5.3 name both forms of the path; the fields rest on documents alone."""
    assert statuses_v3(ask, path)[0] == ("NOT_SUBSCRIBED", "SUBSCRIPTION_STATUS")
    status, one = ask("POST", f"{V3}/subscribe", v3_wish(legalBasis="NON_GDPR"))
    assert (status, one["status"], one["legalBasis"]) == (200, "SUBSCRIBED", "NON_GDPR")
    assert statuses_v3(ask, path)[0] == ("SUBSCRIBED", "SUBSCRIPTION_STATUS")
    assert states(ask)[0] == "SUBSCRIBED"


def test_version_3_does_not_subscribe_again_who_opted_out(ask: Asking) -> None:
    """From documents alone; the status of the refusal is an assumption."""
    assert ask("POST", f"{V3}/unsubscribe", v3_wish())[1]["status"] == "NOT_SUBSCRIBED"
    status, answer = ask("POST", f"{V3}/subscribe", v3_wish())
    assert (status, answer["category"]) == (400, "VALIDATION_ERROR")
    assert states(ask)[0] == "UNSUBSCRIBED"
    assert write(ask, "SUBSCRIBED") == "RESUBSCRIBE_OCCURRED"  # version 4 does
    assert statuses_v3(ask)[0] == ("SUBSCRIBED", "SUBSCRIPTION_STATUS")


def test_version_3_says_when_an_address_is_unsubscribed_from_all(ask: Asking) -> None:
    """From documents alone."""
    ask("POST", f"{V4}/statuses/{ANN}/unsubscribe-all?{EMAIL}")
    assert statuses_v3(ask) == [("NOT_SUBSCRIBED", "PORTAL_WIDE_STATUS")] * 3


@pytest.mark.parametrize("missing", ["emailAddress", "subscriptionId"])
def test_version_3_needs_to_know_who_and_what(ask: Asking, missing: str) -> None:
    body = v3_wish()
    del body[missing]
    for verb in ("subscribe", "unsubscribe"):
        status, answer = ask("POST", f"{V3}/{verb}", body)
        assert (status, answer["errors"][0]["in"]) == (400, missing)


# --- scopes


READS = [
    ("GET", f"{V4}/definitions"),
    ("GET", f"{V3}/definitions"),
    ("GET", f"{V4}/statuses/{ANN}?{EMAIL}"),
    ("GET", f"{V3}/status/email/{ANN}"),
    ("POST", f"{V4}/statuses/batch/read?{EMAIL}"),
    ("POST", f"{DATED}/statuses/batch/unsubscribe-all/read?{EMAIL}"),
]
WRITES = [
    ("POST", f"{V4}/statuses/{ANN}"),
    ("POST", f"{DATED}/statuses/{ANN}/unsubscribe-all?{EMAIL}"),
    ("POST", f"{V4}/statuses/batch/write"),
    ("POST", f"{V4}/statuses/batch/unsubscribe-all?{EMAIL}"),
    ("POST", f"{V3}/subscribe"),
    ("POST", f"{V3}/unsubscribe"),
]


@pytest.mark.parametrize(("method", "path"), READS + WRITES)
def test_writing_needs_more_than_the_scope_for_reading(
    sandbox: Sandbox, ask: Asking, method: str, path: str
) -> None:
    """Facts 6; HubSpot's documents ask for scopes of their own for batches besides."""
    portal_id, body = (
        sandbox.portals[0].portal_id,
        {"inputs": [], **wish("SUBSCRIBED"), **v3_wish()},
    )
    sandbox.set_scopes(portal_id, ["crm.objects.contacts.read"])
    assert ask(method, path, body)[0] == 403
    sandbox.set_scopes(portal_id, ["communication_preferences.read"])
    assert ask(method, path, body)[0] == (200 if (method, path) in READS else 403)
    sandbox.set_scopes(portal_id, ["communication_preferences.read_write"])
    assert ask(method, path, body)[0] == 200
