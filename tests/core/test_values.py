"""Small values: slugs, portal ids, tokens, periods, errors."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency import errors
from hsagency.errors import (
    BadPortalId,
    BadSlug,
    BadToken,
    DamagedEvidence,
    HsAgencyError,
    PortalAway,
    PortalMismatch,
    QuotaSpent,
    UsageError,
)
from hsagency.periods import Period, parse_day
from hsagency.portals import (
    ConnectionType,
    looks_like_token,
    parse_choice,
    parse_portal_id,
    parse_slug,
    parse_token,
    redact,
)
from hsagency.secret import Secret
from tests.support import TOKEN

UUID = TOKEN.removeprefix("pat-na1-")
ERRORS = [
    one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, HsAgencyError)
]


@pytest.mark.parametrize("slug", ["a", "acme-corp", "b2b", "a-1-b", "compat-labs", "a" * 63])
def test_a_kebab_case_name_is_a_slug(slug: str) -> None:
    assert parse_slug(slug) == slug


@pytest.mark.parametrize(
    "slug",
    [
        *(
            "",
            "-a",
            "a-",
            "a--b",
            "A",
            "1a",
            "a_b",
            "a.b",
            "a/b",
            "../a",
            "a b",
            "ä",
            "a\n",
            "\u0430",
        ),
        *("a" * 64, "_agency", "_fleet", TOKEN, "a\x00", "\u0663"),
    ],
)
def test_anything_else_is_none(slug: str) -> None:
    with pytest.raises(BadSlug) as caught:
        parse_slug(slug)
    assert TOKEN not in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(("given", "number"), [("1", 1), (" 12345678 ", 12345678), (7, 7)])
def test_a_positive_number_is_a_portal_id(given: str | int, number: int) -> None:
    assert parse_portal_id(given) == number


@pytest.mark.parametrize(
    "given", ["", "0", "-1", "1.5", "1e3", "\u0663", "0x1", "9" * 13, True, TOKEN, "1 2", "x" * 99]
)
def test_anything_else_is_no_portal_id(given: str | int) -> None:
    with pytest.raises(BadPortalId) as caught:
        parse_portal_id(given)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("hublet", ["na1", "na2", "eu1", "ap1", "zz123"])
def test_a_token_names_its_hublet_whatever_it_is(hublet: str) -> None:
    assert parse_token(Secret(f"pat-{hublet}-{UUID}")) == hublet


@pytest.mark.parametrize(
    "token",
    [
        *("", "x", TOKEN[:-1], TOKEN + "0", TOKEN.upper(), f" {TOKEN}", f"{TOKEN}\n", UUID),
        *(f"pat-na-{UUID}", f"pat-n1-{UUID}", f"pat-na1234-{UUID}", f"Bearer {TOKEN}", "é" * 44),
    ],
)
def test_anything_else_is_no_token_and_is_not_shown(token: str) -> None:
    with pytest.raises(BadToken) as caught:
        parse_token(Secret(token))
    assert not token or token not in str(caught.value)
    assert UUID not in str(caught.value)


@given(st.text("pat-naeu10 fAB:/\n", max_size=20), st.text("-abc 0/\n", max_size=20))
def test_no_token_survives_in_what_a_person_gets_to_see(before: str, after: str) -> None:
    for token in (TOKEN, TOKEN.upper(), TOKEN[:20]):
        shown = redact(f"{before}{token}{after}")
        assert token[8:20].lower() not in shown.lower()
        assert redact(shown) == shown
        assert looks_like_token(f"{before}{token}{after}")


def test_a_choice_that_is_none_names_the_choices() -> None:
    assert parse_choice(ConnectionType, "audit_only", what="type") is ConnectionType.AUDIT_ONLY
    with pytest.raises(UsageError, match="'x' is not a type") as caught:
        parse_choice(ConnectionType, "x", what="type")
    assert "audit_only" in caught.value.hint
    with pytest.raises(UsageError, match="not shown"):
        parse_choice(ConnectionType, TOKEN, what="type")


def test_a_month_is_its_days_in_utc() -> None:
    period = Period.of(month="2028-02")
    assert (period.first, period.last) == (date(2028, 2, 1), date(2028, 2, 29))
    assert period.since == datetime(2028, 2, 1, tzinfo=UTC)
    assert period.until == datetime(2028, 3, 1, tzinfo=UTC)
    assert (period.label, str(period)) == ("2028-02", "2028-02-01 to 2028-02-29 (UTC days)")


def test_both_days_of_a_period_are_included() -> None:
    period = Period.of(first="2026-05-10", last="2026-05-10")
    assert (period.until - period.since).days == 1
    assert period.label == "2026-05-10_2026-05-10"
    assert Period.of(first="2026-05-01", last="2026-05-31") == Period.of(month="2026-05")


@given(st.dates(date(1, 1, 1), date(9999, 12, 30)), st.integers(0, 800))
def test_a_label_is_a_folder_and_names_the_period(first: date, days: int) -> None:
    last = min(date.fromordinal(min(first.toordinal() + days, date.max.toordinal() - 1)), date.max)
    label = Period(first, last).label
    assert re.fullmatch(r"[0-9_-]+", label)
    parts = label.split("_")
    again = Period.of(month=label) if len(parts) == 1 else Period.of(first=parts[0], last=parts[1])
    assert again == Period(first, last)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"month": "2026-13"},
        {"month": "2026-00"},
        {"month": "0000-01"},
        {"month": "2026-5"},
        {"month": "\u0662026-05"},
        {"month": "2026-05", "first": "2026-05-01"},
        {"first": "2026-05-01"},
        {"last": "2026-05-01"},
        {"first": "2026-05-02", "last": "2026-05-01"},
        {"first": "2026-02-30", "last": "2026-03-01"},
        {"first": "yesterday", "last": "2026-03-01"},
        {"first": "20260501", "last": "20260502"},
        {"first": "2026-W18-1", "last": "2026-W18-2"},
    ],
)
def test_a_period_that_is_none_says_how_to_write_one(given: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        Period.of(**given)
    assert "2026" in caught.value.hint or "--from" in caught.value.hint


def test_a_period_to_the_end_of_time_has_an_end() -> None:
    assert parse_day("9999-12-31") == date.max
    for period in (Period.of(month="9999-12"), Period(date.max, date.max)):
        assert period.until > period.since


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_is_its_message_and_its_hint_and_crosses_processes(
    kind: type[HsAgencyError],
) -> None:
    error: HsAgencyError
    if issubclass(kind, PortalMismatch):
        error = kind(expected=1, got=2)
    elif issubclass(kind, QuotaSpent | PortalAway):
        error = kind("It broke.", until=datetime(2026, 11, 21, tzinfo=UTC), hint="Mend it.")
    elif kind is DamagedEvidence:
        error = DamagedEvidence(Path("000-000001.jsonl.zst"), "its end is gone", cut=True)
    else:
        error = kind("It broke.", hint="Mend it.")
    assert str(error) == f"{error.message} {error.hint}"
    for made in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(made) is kind
        assert (str(made), made.hint, vars(made)) == (str(error), error.hint, vars(error))


def test_the_tree_at_the_top_names_every_error() -> None:
    tree = set(re.findall(r"\b[A-Z]\w+\b", (errors.__doc__ or "").partition("A message says")[0]))
    assert {one.__name__ for one in ERRORS} <= tree


def test_what_others_may_catch_of_the_log_is_among_the_errors() -> None:
    assert {"DamagedEvidence", "SealingBusy", "EvidenceRefused"} <= {one.__name__ for one in ERRORS}


def test_a_mismatch_says_got_and_expected() -> None:
    error = PortalMismatch(expected=1, got=2)
    assert str(error).startswith("MISMATCH: the token belongs to portal 2, expected 1.")
    assert error.owner is None


def test_a_mismatch_names_whom_it_can() -> None:
    error = PortalMismatch(expected=1, got=2)
    error.name({1: "acme-corp", 3: "gamma"})
    assert error.message.endswith("belongs to portal 2, expected 1 (acme-corp).")
    error.name({2: "beta-inc", 1: "acme-corp"})
    assert error.owner == "beta-inc"
    assert error.message.endswith("belongs to portal 2 (beta-inc), expected 1 (acme-corp).")
    assert "swapped" in error.hint
    error.add("Nothing was stored.")
    assert error.message.endswith("(acme-corp). Nothing was stored.")
