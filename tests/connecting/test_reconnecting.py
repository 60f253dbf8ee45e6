"""A client is connected again: same client, same log, a new generation; or nothing changes."""

from __future__ import annotations

import pytest

from hsagency import connecting, onboarding
from hsagency.errors import (
    BadToken,
    ConnectingError,
    CredentialMissing,
    CredentialRejected,
    UnknownClient,
    UsageError,
)
from hsagency.portals import ConnectionStatus, ConnectionType, CredentialKind
from hsagency.secret import Secret
from tests.connecting.offices import Office, Person, asked_for
from tests.fleets import client_list, row, stored_secret
from tests.support import TOKEN, records


def by_token(desk: Office, number: int = 0, **changes: str) -> str:
    """Connect a portal of the sandbox with its static token; return its slug."""
    portal = desk.sandbox.portals[number]
    plan = onboarding.plan_file(desk.agency, client_list([row(portal, **changes)]), api=desk.url)
    assert onboarding.apply(desk.agency, plan, digest=plan.digest).complete
    return str(plan.judgements[0].slug)


def test_an_uninstalled_app_is_connected_again_and_calls_go_on(desk: Office) -> None:
    desk.connect(0, client="acme-corp")
    desk.sandbox.uninstall(desk.portal(0), desk.app.client_id)
    with pytest.raises(CredentialRejected):
        desk.agency.verify("acme-corp")
    assert desk.agency.connection("acme-corp").stopped is not None
    done = desk.connect(0, client="acme-corp", again=True)
    one = done.connection
    assert (one.generation, one.stopped, one.status) == (2, None, ConnectionStatus.CONNECTED)
    assert "the app was uninstalled in HubSpot, or its access was revoked" in done.said()
    assert "Calls had been stopped, and go on now." in done.said()
    assert desk.works("acme-corp")
    events = [record["event"] for record in records(desk.root, "acme-corp")]
    assert events.index("connection.rotated") > events.index("stop.set")
    assert "stop.cleared" in events


def test_the_secret_of_the_generation_before_is_gone(desk: Office) -> None:
    desk.connect(0, client="acme-corp")
    desk.connect(0, client="acme-corp", again=True)
    one = desk.agency.connection("acme-corp")
    assert stored_secret(desk.agency, one)
    with pytest.raises(CredentialMissing):
        stored_secret(desk.agency, one, generation=1)


def test_another_portal_is_refused_and_nothing_changes(desk: Office) -> None:
    desk.connect(0, client="acme-corp")
    before = desk.agency.connection("acme-corp")
    with pytest.raises(ConnectingError, match=f"portal {desk.portal(1)} .* was picked") as caught:
        desk.connect(1, client="acme-corp", again=True)
    assert f"pick portal {desk.portal(0)} there" in str(caught.value)
    assert desk.agency.connection("acme-corp").generation == before.generation
    assert desk.grants(desk.portal(1)) == []
    assert desk.works("acme-corp")


def test_a_denied_reconnection_leaves_what_worked(desk: Office) -> None:
    desk.connect(0, client="acme-corp")
    with pytest.raises(ConnectingError):
        desk.connect(Person(desk.portal(0), decision="cancel"), client="acme-corp", again=True)
    assert desk.agency.connection("acme-corp").generation == 1
    assert desk.works("acme-corp")


def test_saying_no_at_a_reconnection_does_not_cut_what_is_connected(desk: Office) -> None:
    desk.connect(0, client="acme-corp")
    with pytest.raises(ConnectingError, match="What acme-corp is connected with was left as it is"):
        desk.connect(0, client="acme-corp", again=True, confirm=lambda _: None)
    assert desk.works("acme-corp")


def test_a_known_account_of_another_data_centre_is_asked_there(desk: Office) -> None:
    desk.sandbox.alter(desk.portal(0), hublet="eu1")
    desk.connect(0, client="acme-corp")
    with desk.start(client="acme-corp", again=True) as attempt:
        assert attempt.url.startswith(f"{desk.url}/oauth/{desk.portal(0)}/authorize?")
    assert desk.connect(0, client="acme-corp", again=True).connection.generation == 2


def test_a_reconnection_may_change_the_type_in_the_same_write(desk: Office) -> None:
    desk.connect(0, client="acme-corp")
    version = desk.agency.index.read().version
    kind = ConnectionType.AUDIT_ONLY
    with desk.start(client="acme-corp", again=True, connection_type=kind) as attempt:
        assert "crm.schemas.contacts.write" not in asked_for(attempt.url)["optional_scope"]
    done = desk.connect(0, client="acme-corp", again=True, connection_type=kind)
    assert done.connection.connection_type is kind
    assert "It is Audit Only now, and was Config + Audit." in done.said()
    assert desk.agency.index.read().version == version + 1
    (told,) = [
        one["message"]
        for one in records(desk.root, "acme-corp")
        if one["event"] == "connection.rotated"
    ]
    assert "Changed the type of a connection from config_and_audit" in told


def test_the_type_stays_unless_one_is_named(desk: Office) -> None:
    desk.connect(0, client="acme-corp", connection_type=ConnectionType.CONFIG_ONLY)
    done = desk.connect(0, client="acme-corp", again=True)
    assert done.connection.connection_type is ConnectionType.CONFIG_ONLY


def test_a_static_token_gives_way_to_oauth_and_back(desk: Office) -> None:
    slug = by_token(desk)
    over = desk.connect(0, client=slug, again=True).connection
    assert (over.kind, over.generation) == (CredentialKind.OAUTH, 2)
    assert desk.works(slug)
    token = Secret(desk.sandbox.issue(desk.portal(0)).token)
    back = connecting.replace_token(desk.agency, slug, token).connection
    assert (back.kind, back.generation) == (CredentialKind.STATIC, 3)
    assert desk.works(slug)


def test_a_static_token_is_replaced_by_one_of_the_same_portal(desk: Office) -> None:
    slug = by_token(desk, kind="service_key")
    desk.sandbox.revoke(desk.portal(0))
    with pytest.raises(CredentialRejected):
        desk.agency.verify(slug)
    token = Secret(desk.sandbox.issue(desk.portal(0)).token)
    done = connecting.replace_token(desk.agency, slug, token)
    assert (done.connection.generation, done.connection.kind) == (2, CredentialKind.SERVICE_KEY)
    assert "the token was revoked, rotated or deleted in HubSpot" in done.said()
    assert "Calls had been stopped, and go on now." in done.said()
    assert desk.works(slug)


def test_a_token_of_another_portal_is_refused_and_nothing_changes(desk: Office) -> None:
    slug = by_token(desk)
    before = desk.agency.connection(slug)
    with pytest.raises(ConnectingError, match="Nothing was changed") as caught:
        connecting.replace_token(desk.agency, slug, Secret(desk.sandbox.portals[1].token))
    assert str(desk.portal(1)) in str(caught.value)
    assert desk.agency.connection(slug) == before


def test_the_same_token_changes_nothing_and_says_so(desk: Office) -> None:
    slug = by_token(desk)
    done = connecting.replace_token(desk.agency, slug, Secret(desk.sandbox.portals[0].token))
    assert not done.changed
    assert "has this very token already" in done.said()


@pytest.mark.parametrize(
    ("slug", "token", "api", "error"),
    [
        ("nobody", TOKEN, "", UnknownClient),
        ("acme-corp", "no token", "", BadToken),
        ("acme-corp", TOKEN, "http://127.0.0.1:1", UsageError),
        ("acme-corp", TOKEN, "", ConnectingError),
    ],
)
def test_what_makes_no_sense_replaces_nothing(desk: Office, slug, token, api, error) -> None:
    by_token(desk)
    before = desk.agency.connection("acme-corp")
    with pytest.raises(error):
        connecting.replace_token(desk.agency, slug, Secret(token), api=api)
    assert desk.agency.connection("acme-corp") == before


def test_a_sandboxes_client_is_not_connected_again_elsewhere(desk: Office) -> None:
    desk.connect(0, client="acme-corp")
    with pytest.raises(connecting.NotReady, match="leave --api out"):
        connecting.start(desk.agency, api="http://127.0.0.1:9", client="acme-corp", again=True)
    with connecting.start(desk.agency, client="acme-corp", again=True) as attempt:
        assert attempt.url.startswith(desk.url)
