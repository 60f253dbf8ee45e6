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
        "<p>acme-corp and beta-incident</p>",
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


@pytest.mark.parametrize("page", [f"<p>{TOKEN}</p>", f"<!-- {TOKEN.upper()} -->"])
def test_a_token_is_found_and_not_repeated(page: str) -> None:
    assert found(page) == ["something of a secret's shape"]


def test_an_identity_that_opens_a_store_is_found_and_not_repeated() -> None:
    identity = "AGE-SECRET-KEY-1" + "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L" * 2
    assert found(f"<p>{identity}</p>") == ["something of a secret's shape"]
    assert redacted(f"in {identity}.") == "in AGE-SECRET-KEY-…."


@given(st.text(alphabet="ab {}\"'<>&-", max_size=30), st.text(alphabet="ab ", max_size=10))
def test_redaction_takes_the_token_and_nothing_else(before: str, after: str) -> None:
    assert redacted(f"{before} {TOKEN} {after}") == f"{before} pat-… {after}"
    assert redacted(before) == before
