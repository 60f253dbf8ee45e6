"""A portal is connected over OAuth, or nothing is; either is said in a sentence."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hsagency import connecting, removal
from hsagency.agency import Agency
from hsagency.connecting import NotReady
from hsagency.connecting.preflight import Installs
from hsagency.errors import (
    ConnectingError,
    ConsentDenied,
    ConsentTimedOut,
    HsAgencyError,
    UsageError,
)
from hsagency.portals import ConnectionType, CredentialKind
from hsagency.scopes import wanted
from tests.connecting.offices import Office, Person, asked_for, without
from tests.fleets import client_list, row, stored_secret
from tests.support import records

READ = "crm.objects.contacts.read"


def test_three_lines_connect_a_portal(desk: Office) -> None:
    done = desk.connect(0, client="acme-corp", portal=desk.portal(0))
    one = desk.agency.connection("acme-corp")
    assert (one.portal_id, one.kind, one.generation) == (desk.portal(0), CredentialKind.OAUTH, 1)
    assert done.connection == one
    assert desk.works("acme-corp")
    assert done.said() == (f"Connected {one.portal} as Config + Audit, over OAuth.")


def test_a_connection_is_on_record_from_the_first_question(desk: Office) -> None:
    desk.connect(0, client="acme-corp")
    (added,) = [
        one for one in records(desk.root, "acme-corp") if one["event"] == "connection.added"
    ]
    assert added["credentialGeneration"] == 1
    said = [one["message"] for one in records(desk.root, "_agency") if "message" in one]
    assert "Began to ask for a portal over OAuth as acme-corp." in said


def test_the_page_in_the_browser_says_what_was_connected(desk: Office) -> None:
    person = Person(desk.portal(0))
    done = desk.connect(person)
    (page,) = person.pages
    for part in (done.connection.portal.name, str(done.connection.portal_id), "acme-corp"):
        assert str(part) in page.text
    assert "code=" not in str(page.url)


def test_a_slug_is_proposed_from_the_account_and_stays_free(desk: Office) -> None:
    first = desk.connect(0)
    desk.sandbox.alter(desk.portal(1), name=str(first.connection.portal.name))
    second = desk.connect(1)
    assert (first.connection.client_slug, second.connection.client_slug) == (
        "acme-corp",
        "acme-corp-2",
    )


def test_another_slug_may_be_chosen_once_the_account_is_known(desk: Office) -> None:
    done = desk.connect(0, confirm=lambda found: "north-wind")
    assert done.connection.client_slug == "north-wind"
    assert desk.works("north-wind")


def test_the_page_is_asked_for_what_the_type_takes_and_no_more(desk: Office) -> None:
    with desk.start(client="acme-corp", connection_type=ConnectionType.AUDIT_ONLY) as attempt:
        asked = asked_for(attempt.url)
    names = {one.name for one in wanted(ConnectionType.AUDIT_ONLY)}
    assert asked["scope"] == "oauth"
    assert {*asked["scope"].split(), *asked["optional_scope"].split()} == names
    assert asked["code_challenge_method"] == "S256"
    assert "+" not in attempt.url.partition("?")[2]


def test_no_two_attempts_have_the_same_state_or_challenge(desk: Office) -> None:
    seen = []
    for _ in range(2):
        with desk.start() as attempt:
            asked = asked_for(attempt.url)
            seen += [asked["state"], asked["code_challenge"]]
    assert len(set(seen)) == 4


def test_a_denied_consent_ends_in_a_clear_sentence(desk: Office) -> None:
    person = Person(desk.portal(0), decision="cancel")
    with pytest.raises(ConsentDenied) as caught:
        desk.connect(person)
    assert str(caught.value) == (
        "On HubSpot's page somebody said no. Nothing was connected. "
        "If that was not meant, begin again and choose Connect app there."
    )
    page = person.pages[0].text
    assert "somebody said no.</p>" in page
    assert page.count("Nothing was connected") == 1
    assert "Go back to the terminal" in page
    assert desk.agency.slugs() == []


def test_when_nobody_comes_back_the_wait_ends_and_says_so(desk: Office) -> None:
    left: list[float] = []
    with pytest.raises(ConsentTimedOut, match=r"within 1 seconds\. Nothing was connected"):
        connecting.finish(desk.start(), seconds=1, waiting=left.append)
    assert left == sorted(left, reverse=True) != []
    assert desk.agency.slugs() == []


def test_the_wrong_portal_is_refused_and_what_it_gave_is_revoked(desk: Office) -> None:
    person = Person(desk.portal(1))
    with pytest.raises(ConnectingError) as caught:
        desk.connect(person, client="acme-corp", portal=desk.portal(0))
    said = str(caught.value)
    assert f"portal {desk.portal(1)} (beta-inc.example) was picked" in said
    assert "Nothing was connected. What was authorised was revoked" in said
    assert desk.grants(desk.portal(1)) == []
    assert desk.agency.slugs() == []


def test_a_portal_that_is_connected_is_not_connected_twice_and_goes_on_working(
    desk: Office,
) -> None:
    desk.connect(0, client="acme-corp")
    with pytest.raises(ConnectingError, match="connected already, as acme-corp") as caught:
        desk.connect(0, client="other")
    assert "hsagency reconnect acme-corp" in str(caught.value)
    # HubSpot may have given out the token that acme-corp lives by: it is left alone.
    assert "What acme-corp is connected with was left as it is" in str(caught.value)
    assert len(desk.grants(desk.portal(0))) == 2
    assert desk.works("acme-corp")


def test_a_portal_connected_by_a_token_does_not_keep_a_grant_nobody_uses(desk: Office) -> None:
    from hsagency import onboarding

    content = client_list([row(desk.sandbox.portals[0])])
    plan = onboarding.plan_file(desk.agency, content, api=desk.url)
    onboarding.apply(desk.agency, plan, digest=plan.digest)
    with pytest.raises(ConnectingError, match="connected already, as acme-corp"):
        desk.connect(0, client="other")
    assert desk.grants(desk.portal(0)) == []


def test_a_person_who_says_no_to_the_account_gets_it_revoked(desk: Office) -> None:
    seen = []

    def no(found):
        seen.append(found.said())
        return

    with pytest.raises(ConsentDenied, match=r"this is not the account\. Nothing was connected"):
        desk.connect(0, confirm=no)
    assert f"portal {desk.portal(0)}" in seen[0]
    assert desk.grants(desk.portal(0)) == []
    assert desk.agency.slugs() == []


def test_an_error_while_a_person_decides_gives_back_what_was_authorised(desk: Office) -> None:
    def stumble(found):
        raise KeyboardInterrupt

    person = Person(desk.portal(0))
    with pytest.raises(KeyboardInterrupt):
        desk.connect(person, confirm=stumble)
    assert desk.grants(desk.portal(0)) == []
    assert "<p>Interrupted. What was authorised was revoked" in person.pages[0].text


def test_fewer_scopes_than_the_type_needs_are_refused_with_the_reason(desk: Office) -> None:
    person = Person(desk.portal(0), asks=without(READ))
    with pytest.raises(ConnectingError) as caught:
        desk.connect(person, client="acme-corp")
    assert f"missing: {READ} (" in str(caught.value)
    assert "was revoked" in str(caught.value)
    assert desk.grants(desk.portal(0)) == []


def test_optional_scopes_that_an_account_lacks_are_a_note(desk: Office) -> None:
    desk.sandbox.alter(desk.portal(0), tier="starter")
    done = desk.connect(0)
    assert any("HubSpot left out" in note and "custom" in note for note in done.notes)
    scopes = done.connection.facts["scopes"].value
    assert not any(".custom." in one for one in scopes)


def test_an_optional_scope_that_is_left_out_is_named_with_its_reason(desk: Office) -> None:
    done = desk.connect(Person(desk.portal(0), asks=without("forms")))
    assert any("forms (read and deploy forms" in note for note in done.notes)


def test_a_code_of_another_attempt_is_of_no_use(desk: Office) -> None:
    person = Person(desk.portal(0))
    with desk.start(listen=False) as other:
        where = person.decide(other.url)
    with desk.start(listen=False) as attempt:
        code = asked_for(where)["code"]
        attempt.take(f"code={code}&state={asked_for(attempt.url)['state']}")
        with pytest.raises(ConnectingError, match="another attempt") as caught:
            attempt.found()
    assert "Nothing was connected" in str(caught.value)
    assert desk.agency.slugs() == []


def test_everything_that_is_in_the_way_is_said_at_once(desk: Office, tmp_path: Path) -> None:
    desk.connect(0, client="acme-corp")
    settings = desk.root / "hsagency.toml"
    settings.write_text(f"{settings.read_text()}\n[fleet]\nsize = 1\n")
    with (
        desk.start(client="acme-corp", again=True),
        Agency.open(desk.root) as agency,
        pytest.raises(NotReady) as caught,
    ):
        connecting.start(agency, api=desk.url, client="acme-corp", portal=desk.portal(0))
    names = [one.name for one in caught.value.failing]
    assert names == ["client", "port", "slots"]
    for said in ("acme-corp is connected already", f"Port {desk.port}", "limit of 1 portal"):
        assert said in str(caught.value)
    assert "nothing was asked" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "name", "said"),
    [
        ({"client": "Not A Slug"}, "client", "is not a client slug"),
        ({"api": ""}, "app", "No OAuth app is set up for HubSpot"),
        ({"client": "nobody", "again": True}, "client", "There is no client 'nobody'"),
    ],
)
def test_what_cannot_be_is_told_before_anybody_is_asked(desk: Office, options, name, said) -> None:
    with pytest.raises(NotReady) as caught:
        connecting.start(desk.agency, **{"api": desk.url, **options})
    assert name in [one.name for one in caught.value.failing]
    assert said in str(caught.value)
    assert "othing was asked" in str(caught.value)


def test_a_halted_fleet_connects_nobody(desk: Office) -> None:
    from datetime import UTC, datetime

    desk.agency.halt.set("a test", at=datetime.now(UTC))
    with pytest.raises(NotReady, match="halted"):
        desk.start()


def test_the_full_fleet_is_told_before_and_after_the_page(desk: Office) -> None:
    settings = desk.root / "hsagency.toml"
    settings.write_text(f"{settings.read_text()}\n[fleet]\nsize = 1\n")
    with Agency.open(desk.root) as agency:
        small = Office(desk.sandbox, desk.url, agency, desk.app, desk.port)
        attempt = small.start(listen=False)
        small.connect(0)
        with pytest.raises(NotReady, match="limit of 1 portal"):
            small.start()
        attempt.take(Person(small.portal(1)).decide(attempt.url))
        with pytest.raises(ConnectingError, match=r"limit|slot"):
            connecting.finish(attempt)
        assert agency.slugs() == ["acme-corp"]
    assert desk.grants(desk.portal(1)) == []


@pytest.mark.parametrize(("used", "warned"), [(7, False), (8, True), (10, True), (11, True)])
def test_the_end_of_the_installs_is_told_before_it_bites(used, warned) -> None:
    assert bool(Installs(used=used, most=10, why="so it is").warning) is warned


def test_connections_and_removed_ones_that_kept_the_app_count_as_installs(desk: Office) -> None:
    desk.connect(0)
    with desk.start() as attempt:
        installs = attempt.preflight.installs
    assert installs is not None
    assert (installs.used, installs.most) == (1, 10)


def test_of_two_analysts_at_once_one_wins_and_the_other_is_told(desk: Office) -> None:
    first, second = (desk.start(client=slug, listen=False) for slug in ("acme-corp", "acme-again"))
    outcomes: list[object] = []
    found = []
    for attempt in (first, second):
        attempt.take(Person(desk.portal(0)).decide(attempt.url))
        found.append(attempt.found())

    def store(attempt, what) -> None:
        try:
            outcomes.append(attempt.store(what))
        except HsAgencyError as error:
            outcomes.append(error)
        finally:
            attempt.close()

    pair = zip((first, second), found, strict=True)
    threads = [threading.Thread(target=store, args=one) for one in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (told,) = [one for one in outcomes if isinstance(one, Exception)]
    assert "Nothing was connected" in str(told) or "othing was stored" in str(told)
    (slug,) = desk.agency.slugs()
    assert desk.works(slug)


def test_a_second_who_listens_on_the_same_port_is_told(desk: Office) -> None:
    with desk.start(), pytest.raises(NotReady, match="cannot be listened on"):
        desk.start()


@pytest.mark.parametrize("kind", list(ConnectionType))
def test_every_type_can_be_connected(desk: Office, kind: ConnectionType) -> None:
    done = desk.connect(0, connection_type=kind)
    assert done.connection.connection_type is kind
    assert desk.agency.verify("acme-corp").portal_id == desk.portal(0)


def test_a_removed_account_is_proposed_under_the_slug_it_had(desk: Office) -> None:
    desk.connect(0, client="north-wind")
    plan = removal.plan(desk.agency, "north-wind")
    removal.apply(desk.agency, plan, digest=plan.digest)
    done = desk.connect(0)
    assert (done.connection.client_slug, done.connection.generation) == ("north-wind", 2)
    assert desk.works("north-wind")


def test_a_slug_that_is_taken_can_be_exchanged_for_another(desk: Office) -> None:
    desk.connect(0, client="acme-corp")
    with desk.start(listen=False) as attempt:
        attempt.take(Person(desk.portal(1)).decide(attempt.url))
        found = attempt.found()
        with pytest.raises(UsageError, match="acme-corp is connected already"):
            attempt.store(found, slug="acme-corp")
        assert attempt.store(found, slug="beta").connection.client_slug == "beta"
    assert desk.works("beta")


def test_an_answer_that_never_came_cannot_be_traded(desk: Office) -> None:
    with desk.start() as attempt, pytest.raises(ConnectingError, match="No answer has come yet"):
        attempt.found()


def test_no_secret_of_an_attempt_is_in_any_file_of_the_workspace(desk: Office) -> None:
    person = Person(desk.portal(0))
    desk.connect(person, client="acme-corp")
    denied = Person(desk.portal(1))
    with pytest.raises(ConnectingError):
        desk.connect(denied, client="other", portal=desk.portal(2))
    kept = stored_secret(desk.agency, desk.agency.connection("acme-corp")).reveal()
    from hsagency.auth import Authorisation
    from hsagency.secret import Secret

    held = Authorisation.parse(Secret(kept))
    codes = [asked_for(one)["code"] for one in (*person.brought, *denied.brought)]
    states = [asked_for(one)["state"] for one in (*person.brought, *denied.brought)]
    secrets = [held.access.reveal(), held.refresh.reveal(), desk.app.client_secret, *codes, *states]
    files = {one: one.read_bytes() for one in desk.root.rglob("*") if one.is_file()}
    assert len(files) > 10
    found = {str(path) for path, content in files.items() for s in secrets if s.encode() in content}
    assert found == set()
    pages = [page.text + str(page.headers) for one in (person, denied) for page in one.pages]
    assert pages
    assert not [one for one in pages for secret in secrets if secret in one]
