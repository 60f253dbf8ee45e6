"""What a page may not hold, and what is only a coincidence."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.reports.leaks import leaks, redacted

OTHERS = {"beta-inc": [87654321], "acme": [12345], "contacts": [55556666], "gamma-llc": []}
TOKEN = "pat-eu1-01234567-89ab-cdef-0123-456789abcdef"


def found(page: str, *, harmless: set[str] = frozenset()) -> list[str]:
    return leaks(page, others=OTHERS, harmless=harmless)


def chart(**spec: object) -> str:
    return f'<script type="application/json">{json.dumps(spec)}</script>'


@pytest.mark.parametrize(
    "page",
    [
        "<p>See beta-inc.</p>",
        "<p>BETA-INC</p>",
        "<a title='/beta-inc/'>x</a>",
        "<p>beta&#45;inc</p>",
        chart(datasets={"a": [{"slug": "beta-inc"}]}),
        chart(title="beta-inc"),
        "<p>Beta_Inc</p>",
        "<p>p_beta_inc</p>",
        "<p>beta\u2011inc</p>",
        "<p>BETA\u2013INC</p>",
        "<p>be&shy;ta-inc</p>",
        "<p>\uff42eta-inc</p>",
        "<p>beta-inc-export and xbeta-incident</p>",
    ],
)
def test_another_clients_slug_is_found_wherever_it_is_said(page: str) -> None:
    assert found(page) == ["the client beta-inc"]


@pytest.mark.parametrize(
    "page", ["<td>87654321</td>", "<td>87,654,321</td>", chart(datasets={"a": [{"n": 87654321}]})]
)
def test_another_clients_portal_is_found(page: str) -> None:
    assert found(page) == ["portal 87654321 of the client beta-inc"]


@pytest.mark.parametrize(
    "page",
    [
        "<p>acme-corp and pacmen</p>",
        "<p id='01234567-89ab-cdef-0123-456789abcdef'>x</p>",
        "<p>data-0123456789abcdef0123456789abcdef</p>",
        '<p class="beta-inc">x</p>',
        chart(mark="beta-inc", config={"a": "beta-inc"}),
        "<td>12345</td>",
        "<td>187654321</td>",
        "<td>0.87654321</td>",
    ],
)
def test_what_only_looks_like_it_is_not(page: str) -> None:
    assert found(page) == []


def test_a_short_portal_id_is_found_where_it_is_called_one() -> None:
    assert found("<p>portal 12345</p>") == ["portal 12345 of the client acme"]


def test_a_client_may_be_called_like_a_word_the_report_uses_anyway() -> None:
    assert found("<td>contacts</td>", harmless={"contacts"}) == []
    assert found("<td>contacts 55556666</td>", harmless={"contacts"}) != []


def test_what_a_report_says_anyway_may_hold_a_slug() -> None:
    assert leaks("<p>horizontal</p>", others={"horizon": []}, harmless={"horizontal"}) == []
    assert leaks("<p>horizontally</p>", others={"horizon": []}, harmless={"horizontal"}) != []


@pytest.mark.parametrize("uuid", [TOKEN[8:], TOKEN[8:].upper(), TOKEN[8:].replace("-", "\u2010")])
def test_a_token_without_its_first_letters_is_found(uuid: str) -> None:
    assert found(f"<td>{uuid}</td>") == ["a UUID, which may be a token's"]
    assert found(chart(title=uuid)) == ["a UUID, which may be a token's"]


@pytest.mark.parametrize(
    "page",
    [f"<p>{TOKEN}</p>", f"<!-- {TOKEN.upper()} -->", f"<p>{TOKEN.replace('-', chr(0x2011))}</p>"],
)
def test_a_token_is_found_and_not_repeated(page: str) -> None:
    assert "something of a secret's shape" in found(page)
    assert not [one for one in found(page) if "89ab" in one]


def test_an_identity_that_opens_a_store_is_found_and_not_repeated() -> None:
    identity = "AGE-SECRET-KEY-1" + "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L" * 2
    assert found(f"<p>{identity}</p>") == ["something of a secret's shape"]
    assert redacted(f"in {identity}.") == "in AGE-SECRET-KEY-…."


@given(st.text(alphabet="ab {}\"'<>&-", max_size=30), st.text(alphabet="ab ", max_size=10))
def test_redaction_takes_the_token_and_nothing_else(before: str, after: str) -> None:
    assert redacted(f"{before} {TOKEN} {after}") == f"{before} pat-… {after}"
    assert redacted(before) == before
