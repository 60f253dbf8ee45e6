"""What a person authorised: kept as one secret, read back as it was, and nothing else is taken."""

from __future__ import annotations

import json
import traceback
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.auth import Authorisation, key_of
from hsagency.auth.authorisation import LONGEST
from hsagency.errors import StoreUnreadable, UsageError
from hsagency.secret import Secret

PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
FIRST, LAST = (datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None) for year in (2001, 2900))
TIMES = st.datetimes(FIRST, LAST, timezones=st.just(UTC))
LIVES = st.timedeltas(timedelta(microseconds=1), LONGEST)
MARK = "hsagency-oauth:"
NEEDLE = "na1-5ec2e700-0000-4000-8000-00000000beef"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner),
    max_leaves=8,
)


@st.composite
def authorisations(draw: st.DrawFn) -> Authorisation:
    issued = draw(TIMES)
    return Authorisation(
        refresh=Secret(draw(PRINTABLE)),
        access=Secret(draw(PRINTABLE)),
        issued_at=issued,
        expires_at=issued + draw(LIVES),
    )


def made(**changes: object) -> dict[str, object]:
    content = {
        "schema": 1,
        "key": "0" * 32,
        "refreshToken": NEEDLE,
        "accessToken": NEEDLE,
        "issuedAt": "2026-11-20T12:00:00+00:00",
        "expiresAt": "2026-11-20T12:30:00+00:00",
    }
    return content | changes


def kept(content: object) -> Secret:
    return Secret(MARK + json.dumps(content))


@given(authorisations())
def test_what_is_kept_is_read_back_as_it_was(one: Authorisation) -> None:
    read = Authorisation.parse(one.kept())
    assert read == one
    assert key_of(one.kept()) == one.key


@given(authorisations(), st.datetimes(timezones=st.just(UTC)))
def test_at_no_moment_is_it_impossible_to_say_whether_it_is_due(
    one: Authorisation, now: datetime
) -> None:
    if one.is_usable(now):
        assert now < one.expires_at
    assert one.is_due(now) in (True, False)
    if now >= one.expires_at:
        assert one.is_due(now)
        assert not one.is_usable(now)


def test_it_is_due_at_four_fifths_of_its_life_and_usable_until_a_minute_before_its_end() -> None:
    issued = datetime(2026, 11, 20, 12, tzinfo=UTC)
    one = Authorisation(
        refresh=Secret("r"),
        access=Secret("a"),
        issued_at=issued,
        expires_at=issued + timedelta(minutes=30),
    )
    assert not one.is_due(issued + timedelta(minutes=23, seconds=59))
    assert one.is_due(issued + timedelta(minutes=24))
    assert one.is_usable(issued + timedelta(minutes=28, seconds=59))
    assert not one.is_usable(issued + timedelta(minutes=29))
    back = issued - timedelta(minutes=3)  # a clock was set back: nobody knows how old it is
    assert one.is_due(back)
    assert not one.is_usable(back)


@given(st.one_of(st.text(), st.binary().map(repr), JSON.map(lambda one: kept(one).reveal())))
def test_rubbish_in_the_store_is_unreadable_and_nothing_else(text: str) -> None:
    with pytest.raises(StoreUnreadable):
        Authorisation.parse(Secret(text))


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"refreshToken": ""},
        {"accessToken": None},
        {"accessToken": "two words"},
        {"accessToken": "a\r\nX: 1"},
        {"accessToken": "a" * 5000},
        {"key": 7},
        {"issuedAt": "2026-11-20T12:00:00"},
        {"issuedAt": "0001-01-01T00:00:00+14:00"},
        {"expiresAt": "9999-12-31T23:59:59-12:00"},
        {"expiresAt": "2026-11-20T12:00:00+00:00"},
        {"expiresAt": "2027-11-20T12:00:00+00:00"},
        {"expiresAt": 1},
    ],
)
def test_what_is_no_authorisation_is_not_used_and_not_shown(changes: dict[str, object]) -> None:
    with pytest.raises(StoreUnreadable) as caught:
        Authorisation.parse(kept(made(**changes)))
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert NEEDLE not in "".join(told.format())
    assert "reconnect" in caught.value.hint


@pytest.mark.parametrize("token", ["", "two words", "\ud800half", "é"])
def test_what_is_no_token_is_not_kept_and_not_shown(token: str) -> None:
    issued = datetime(2026, 11, 20, 12, tzinfo=UTC)
    one = Authorisation(
        refresh=Secret(NEEDLE),
        access=Secret(token),
        issued_at=issued,
        expires_at=issued + timedelta(minutes=30),
    )
    with pytest.raises(UsageError) as caught:
        one.kept()
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert NEEDLE not in "".join(told.format())


def test_it_shows_no_token() -> None:
    one = Authorisation.parse(kept(made()))
    assert NEEDLE not in f"{one!r} {one} {vars(type(one))}"


def test_a_static_token_is_named_by_itself() -> None:
    token = Secret("pat-na1-0c0ffee0-1111-4222-8333-444455556666")
    assert key_of(token) is token
