"""Whose fault it is: this portal is disconnected, our app is misconfigured, or it passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hsagency.agency import Agency
from hsagency.auth import OAuthApp
from hsagency.errors import (
    AppMisconfigured,
    AuthorisationEnded,
    Halted,
    NoOAuthApp,
    PortalMismatch,
    PortalStopped,
    PortalUnreachable,
    UnexpectedAnswer,
)
from hsagency.portals import Cause, ConnectionStatus
from hsagency.sandbox import Fault
from hsagency.sandbox.oauth.grants import grants
from hsagency.secret import Secret
from tests.auth.renewals import CONTACTS, TOKEN, due, refusing, renewals, together
from tests.support import Authorised, authorised, connected, records

REJECTED = Fault("status", status=401, path=CONTACTS, category="INVALID_AUTHENTICATION")
EXPIRED = Fault("status", status=401, path=CONTACTS, category="EXPIRED_AUTHENTICATION")


def get(agency: Agency, slug: str) -> int:
    return agency.client(slug).get(CONTACTS).status_code


def misconfigure(one: Authorised, **changes: object) -> OAuthApp:
    app = one.agency.apps.read(one.server.url)
    one.agency.apps.keep(replace(app, **changes))
    return app


def unmarked(one: Authorised) -> bool:
    found = one.agency.connections().values()
    return all(it.stopped is None and it.status is ConnectionStatus.CONNECTED for it in found)


@pytest.mark.parametrize(("gone", "cause"), [(False, Cause.REVOKED), (True, Cause.ACCOUNT)])
def test_a_portal_that_removed_the_app_is_stopped_with_the_cause(
    one: Authorised,
    slug: str,
    gone: bool,  # noqa: FBT001  (a parameter of the test)
    cause: Cause,
) -> None:
    one.end(slug)
    one.sandbox.uninstall(slug, one.app.client_id, hub_gone=gone)
    with pytest.raises(AuthorisationEnded) as caught:
        get(one.agency, slug)
    said = str(caught.value)
    ends = "a person resumes them" if gone else "it is connected again"
    assert said.count("are stopped until") == said.count(f"are stopped until {ends}") == 1
    assert "SLUG" not in said
    connection = one.agency.connection(slug)
    assert connection.stopped is not None
    assert (connection.stopped.cause, connection.cause) == (cause, cause)
    if not gone:
        assert connection.status is ConnectionStatus.NEEDS_RECONNECTION
        assert f"hsagency reconnect {slug}" in said
    with pytest.raises(PortalStopped):
        get(one.agency, slug)
    assert renewals(one, slug) == 1


def test_threads_that_waited_for_a_refused_renewal_ask_no_more(one: Authorised, slug: str) -> None:
    one.end(slug)
    one.sandbox.uninstall(slug, one.app.client_id)
    came = together(lambda _: get(one.agency, slug))
    assert {type(error) for error in came} <= {AuthorisationEnded, PortalStopped}
    assert renewals(one, slug) == 1
    stops = [r for r in records(one.agency.workspace.root, slug) if r["event"] == "stop.set"]
    assert len(stops) == 1


def test_another_portal_goes_on_where_one_is_disconnected(tmp_path: Path) -> None:
    with authorised(tmp_path / "agency", portals=2) as one:
        first, second = one.slugs
        for slug in one.slugs:
            one.end(slug)
        one.sandbox.uninstall(first, one.app.client_id)
        with pytest.raises(AuthorisationEnded):
            get(one.agency, first)
        assert get(one.agency, second) == 200


@pytest.mark.parametrize(
    "change", [{"client_secret": Secret("wrong")}, {"client_id": "another"}], ids=["secret", "id"]
)
def test_a_misconfigured_app_marks_no_portal_and_all_go_on_once_it_is_right(
    tmp_path: Path, change: dict[str, object]
) -> None:
    with authorised(tmp_path / "agency", portals=3) as one:
        for slug in one.slugs:
            one.end(slug)
        right = misconfigure(one, **change)
        with Agency.open(one.agency.workspace.root) as other:
            for agency in (one.agency, other):
                for slug in one.slugs:
                    with pytest.raises(AppMisconfigured) as caught:
                        get(agency, slug)
                    assert "connect --setup" in str(caught.value)
            assert unmarked(one)
            one.agency.apps.keep(right)
            for agency in (one.agency, other):
                assert [get(agency, slug) for slug in one.slugs] == [200] * 3


def test_while_a_token_lives_a_misconfigured_app_is_told_and_calls_go_on(
    one: Authorised, slug: str
) -> None:
    due(one, slug)
    right = misconfigure(one, client_secret=Secret("wrong"))
    with pytest.warns(UserWarning, match="could not be renewed") as told:
        assert [get(one.agency, slug) for _ in range(3)] == [200] * 3
    assert len(told) == 1
    assert "connect --setup" in str(told[0].message)
    assert unmarked(one)
    one.agency.apps.keep(right)


def test_without_an_app_a_connection_says_what_is_missing(one: Authorised, slug: str) -> None:
    one.end(slug)
    name = one.agency.apps._name("oauth-app-sandbox")
    one.agency.store.delete(name)
    with pytest.raises(NoOAuthApp) as caught:
        get(one.agency, slug)
    assert "connect --setup" in caught.value.hint
    assert unmarked(one)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
@pytest.mark.filterwarnings("ignore:The access token")
def test_an_outage_does_not_stop_a_token_that_lives(
    one: Authorised, slug: str, status: int
) -> None:
    due(one, slug)
    one.sandbox.faults.add(refusing(status))
    assert [get(one.agency, slug) for _ in range(3)] == [200] * 3
    assert renewals(one, slug) == 1  # and it is not asked again at every call


@pytest.mark.parametrize("status", [429, 503])
def test_an_outage_raises_where_the_token_is_over_and_marks_nothing(
    one: Authorised, slug: str, status: int
) -> None:
    one.end(slug)
    fault = Fault("status", status=status, path=TOKEN, retry_after=60)
    one.sandbox.faults.add(fault)
    with pytest.raises(PortalUnreachable) as caught:
        get(one.agency, slug)
    assert slug in caught.value.message
    assert "was not carried out" in caught.value.message
    assert "Try again" in caught.value.hint
    assert unmarked(one)
    one.sandbox.faults.clear()
    assert get(one.agency, slug) == 200


def test_threads_that_waited_for_a_renewal_without_an_answer_are_told_the_same(
    one: Authorised, slug: str
) -> None:
    one.end(slug)
    one.agency.client(slug)
    one.sandbox.faults.add(Fault("status", status=503, path=TOKEN, retry_after=60))
    one.sandbox.faults.add(Fault("latency", path=TOKEN, seconds=0.5))
    came = together(lambda _: get(one.agency, slug))
    assert {type(error) for error in came} == {PortalUnreachable}
    assert renewals(one, slug) < len(came) / 2  # who came only after the failure asks anew
    assert unmarked(one)


def test_an_answer_that_makes_no_sense_marks_nothing(one: Authorised, slug: str) -> None:
    before = one.end(slug)
    one.sandbox.faults.add(refusing(body='{"access_token": 7}', times=1))
    with pytest.raises(UnexpectedAnswer):
        get(one.agency, slug)
    assert one.kept(slug) == before
    assert unmarked(one)
    assert get(one.agency, slug) == 200


def test_tokens_of_another_portal_halt_the_fleet_and_are_not_kept(
    one: Authorised, slug: str
) -> None:
    before = one.end(slug)
    one.sandbox.faults.add(Fault("wrong_portal", path=TOKEN, times=1))
    with pytest.raises(PortalMismatch):
        get(one.agency, slug)
    assert one.kept(slug) == before
    assert one.agency.halt.reason() is not None
    halts = [r for r in records(one.agency.workspace.root, slug) if r["event"] == "halt.set"]
    assert len(halts) == 1
    with pytest.raises(Halted):
        get(one.agency, slug)


def test_a_token_that_is_withdrawn_early_is_renewed_once(one: Authorised, slug: str) -> None:
    one.sandbox.end_access(one.kept(slug).access.reveal())
    assert get(one.agency, slug) == 200
    assert renewals(one, slug) == 1


def test_many_threads_on_a_token_that_is_withdrawn_early_renew_it_once(
    one: Authorised, slug: str
) -> None:
    assert get(one.agency, slug) == 200
    one.sandbox.end_access(one.kept(slug).access.reveal())
    assert together(lambda _: get(one.agency, slug)) == [200] * 16
    assert renewals(one, slug) == 1


def test_a_write_on_a_token_that_is_withdrawn_early_is_made_once(
    one: Authorised, slug: str
) -> None:
    client = one.agency.client(slug)
    one.sandbox.end_access(one.kept(slug).access.reveal())
    made = client.post(CONTACTS, json={"properties": {"email": "a@example.com"}})
    assert made.status_code == 201
    statuses = [entry.status for entry in one.sandbox.ledger(slug) if entry.method == "POST"]
    assert [code for code in statuses if code in (401, 201)] == [401, 201]


@pytest.mark.parametrize(("fault", "cause"), [(REJECTED, Cause.REVOKED), (EXPIRED, Cause.EXPIRED)])
def test_a_second_refusal_stops_the_portal(
    one: Authorised, slug: str, fault: Fault, cause: Cause
) -> None:
    client = one.agency.client(slug)
    one.sandbox.faults.add(fault)
    assert client.get(CONTACTS).status_code == 401
    assert renewals(one, slug) == 1
    connection = one.agency.connection(slug)
    assert connection.stopped is not None
    assert (connection.stopped.cause, connection.stopped.status_code) == (cause, 401)
    assert connection.status is ConnectionStatus.NEEDS_RECONNECTION
    with pytest.raises(PortalStopped):
        client.get(CONTACTS)


@pytest.mark.parametrize("fault", [REJECTED, EXPIRED])
def test_a_static_credential_is_stopped_at_its_first_refusal(tmp_path: Path, fault: Fault) -> None:
    with connected(tmp_path / "agency") as one:
        slug = one.slugs[0]
        client = one.agency.client(slug)
        one.sandbox.faults.add(fault)
        assert client.get(CONTACTS).status_code == 401
        assert one.agency.connection(slug).stopped is not None
        assert len([e for e in one.sandbox.ledger(slug) if e.path == CONTACTS]) == 1


def test_a_refused_token_that_nobody_can_renew_now_stops_nothing(
    one: Authorised, slug: str
) -> None:
    client = one.agency.client(slug)
    one.sandbox.end_access(one.kept(slug).access.reveal())
    one.sandbox.faults.add(Fault("status", status=503, path=TOKEN, retry_after=60))
    with pytest.raises(PortalUnreachable):
        client.get(CONTACTS)
    assert unmarked(one)
    one.sandbox.faults.clear()
    right = misconfigure(one, client_secret=Secret("wrong"))
    with pytest.raises(AppMisconfigured):
        client.get(CONTACTS)
    assert unmarked(one)
    one.agency.apps.keep(right)
    assert client.get(CONTACTS).status_code == 200


def test_a_verification_renews_a_token_that_is_refused(one: Authorised, slug: str) -> None:
    one.sandbox.end_access(one.kept(slug).access.reveal())
    assert one.agency.verify(slug).portal_id == one.agency.connection(slug).portal_id
    assert unmarked(one)


def test_a_verification_finds_a_revoked_authorisation_while_its_token_still_works(
    one: Authorised, slug: str
) -> None:
    one.agency.desk(one.server.url).revoke(one.kept(slug).refresh)
    assert get(one.agency, slug) == 200
    with pytest.raises(AuthorisationEnded) as caught:
        one.agency.verify(slug)
    assert f"hsagency reconnect {slug}" in str(caught.value)
    assert one.agency.connection(slug).cause is Cause.REVOKED


def test_a_verification_goes_by_the_token_where_nobody_says_whether_it_stands(
    one: Authorised, slug: str
) -> None:
    one.sandbox.faults.add(Fault("status", status=503, path=f"{TOKEN}/introspect", retry_after=60))
    assert one.agency.verify(slug).portal_id == one.agency.connection(slug).portal_id
    assert unmarked(one)


def test_a_stopped_portal_is_asked_with_a_token_that_is_renewed_for_it(
    one: Authorised, slug: str
) -> None:
    one.agency.stops.stop(one.agency.connection(slug), "a test")
    one.end(slug)
    one.agency.verify(slug)
    assert renewals(one, slug) >= 1
    assert one.agency.connection(slug).stopped is not None


def test_scopes_that_go_at_a_renewal_are_recorded_and_stored(one: Authorised, slug: str) -> None:
    state = one.sandbox._owned(slug)
    held = grants(state)
    with state.lock:
        for token, grant in list(held._grants.items()):
            held._grants[token] = replace(grant, scopes=frozenset({"oauth"}))
    one.end(slug)
    get(one.agency, slug)
    assert one.agency.connection(slug).facts["scopes"].value == ("oauth",)
    said = [r["message"] for r in records(one.agency.workspace.root, slug) if "message" in r]
    assert any("no longer" in one_said for one_said in said)


def test_who_authorised_it_is_known_after_a_renewal(one: Authorised, slug: str) -> None:
    one.end(slug)
    get(one.agency, slug)
    known = one.agency.connection(slug).facts["authorised_by"]
    assert isinstance(known.value, int)
