"""What each connection type asks for, and what is made of the scopes that a credential has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.data import table
from hsagency.portals import ConnectionType
from hsagency.sandbox import Sandbox
from hsagency.sandbox.oauth.permissions import in_words
from hsagency.sandbox.portals import FULL_SCOPES
from hsagency.scopes import (
    TYPES,
    absent_scopes,
    lacking,
    missing_scopes,
    surplus_scopes,
    wanted,
)

TYPE = st.sampled_from(ConnectionType)
SCOPES = st.frozensets(st.sampled_from(sorted(FULL_SCOPES)))
each_type = pytest.mark.parametrize("kind", ConnectionType)


@each_type
def test_a_type_asks_for_what_it_requires_first_and_gives_a_reason_for_each(
    kind: ConnectionType,
) -> None:
    asked = wanted(kind)
    assert asked[0].name == "oauth"
    assert [one.required for one in asked] == sorted((one.required for one in asked), reverse=True)
    assert len({one.name for one in asked}) == len(asked)
    assert all(one.why and not one.why.endswith(".") for one in asked)


@each_type
def test_whoever_holds_all_that_a_type_asks_for_lacks_nothing(kind: ConnectionType) -> None:
    names = [one.name for one in wanted(kind)]
    assert not absent_scopes(kind, names)
    assert lacking(kind, names) is None


def test_an_audit_asks_for_nothing_that_could_change_something() -> None:
    names = [one.name for one in wanted(ConnectionType.AUDIT_ONLY)]
    assert surplus_scopes(ConnectionType.AUDIT_ONLY, names) == []


def test_no_type_asks_for_records_in_bulk_or_for_the_text_of_e_mails() -> None:
    asked = {one.name for kind in ConnectionType for one in wanted(kind)}
    assert asked.isdisjoint(
        {"crm.export", "sales-email-read", "communication_preferences.read_write"}
    )


def test_every_scope_is_one_that_hubspots_screens_name() -> None:
    asked = {one.name for kind in ConnectionType for one in wanted(kind)}
    assert {one["name"] for one in table("scopes")["scope"]} == asked
    assert not [one for one in asked if in_words(one).startswith("Use whatever")]


def test_an_app_may_register_what_all_types_ask_for() -> None:
    sandbox = Sandbox(portals=1, contacts=1)
    asked = {one.name for kind in ConnectionType for one in wanted(kind)} - {"oauth"}
    app = sandbox.register_app(
        "Agency", redirect_uris=["http://localhost:8765/oauth/callback"], optional=sorted(asked)
    )
    assert app.optional == asked


@each_type
def test_a_type_is_described_in_sentences(kind: ConnectionType) -> None:
    words = TYPES[kind]
    assert words.title
    assert all(one.endswith(".") for one in (words.enables, words.refuses, words.when))


@pytest.mark.parametrize("one", ["crm.objects.deals.write", "automation", "forms", "tickets"])
def test_a_type_that_writes_lacks_a_scope_to_write_with_until_it_holds_one(one: str) -> None:
    both, reads = ConnectionType.CONFIG_AND_AUDIT, ["oauth", "crm.objects.contacts.read"]
    assert lacking(both, reads) == (
        "the token lacks scopes that config_and_audit needs: crm.objects.contacts.write (or "
        "another scope to write with; without any, only audit_only is of use)"
    )
    first = absent_scopes(both, reads)[0]
    assert (first.name, first.required) == ("crm.objects.contacts.write", True)
    assert lacking(both, [*reads, one]) is None
    assert lacking(ConnectionType.AUDIT_ONLY, [*reads, "crm.schemas.contacts.read"]) is None


@given(kind=TYPE, scopes=SCOPES, sensitive=SCOPES)
def test_what_is_lacking_is_what_is_required_and_not_held(
    kind: ConnectionType, scopes: frozenset[str], sensitive: frozenset[str]
) -> None:
    told = [f"{one}.v2" if one in sensitive else one for one in scopes]
    required = {one.name for one in wanted(kind) if one.required}
    if kind is ConnectionType.CONFIG_AND_AUDIT and not surplus_scopes(
        ConnectionType.AUDIT_ONLY, scopes
    ):
        required |= {"crm.objects.contacts.write"}
    assert set(missing_scopes(kind, told)) == required - scopes
    assert (lacking(kind, told) is None) == (required <= scopes)
    assert {one.name for one in absent_scopes(kind, told)} == {
        one.name for one in wanted(kind)
    } - scopes


@given(scopes=SCOPES, more=SCOPES, kind=TYPE)
def test_another_scope_never_makes_a_type_lack_more(
    scopes: frozenset[str], more: frozenset[str], kind: ConnectionType
) -> None:
    assert missing_scopes(kind, scopes | more).keys() <= missing_scopes(kind, scopes).keys()
    assert set(surplus_scopes(kind, scopes)) <= set(surplus_scopes(kind, scopes | more))
