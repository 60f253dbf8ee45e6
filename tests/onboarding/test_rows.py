"""A client list is read line by line, whatever wrote it, and never echoed where it may be a token."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hsagency.errors import OnboardingError, UsageError
from hsagency.onboarding import BadRow, Row, read_list, read_rows
from hsagency.portals import ConnectionType, CredentialKind

ROOT = Path(__file__).resolve().parents[2]
TOKENS = [f"pat-na1-{n:08x}-1111-4222-8333-444444444444" for n in range(10)]
HEADER = "clientSlug,portalToken,expectedPortalId"
ACME, BETA = f"acme-corp,{TOKENS[1]},101", f"beta-inc,{TOKENS[2]},102"


def read(text: str | bytes) -> tuple[list[Row], list[BadRow]]:
    return read_rows(text if isinstance(text, bytes) else text.encode())


def slugs(text: str | bytes) -> list[tuple[int, str]]:
    rows, bad = read(text)
    assert bad == []
    return [(row.line, row.slug) for row in rows]


def only_bad(text: str) -> BadRow:
    rows, bad = read(text)
    assert len(bad) == 1, (rows, bad)
    return bad[0]


def test_a_list_is_its_path_or_its_bytes(tmp_path: Path) -> None:
    content = f"{HEADER}\n{ACME}\n".encode()
    path = tmp_path / "clients.csv"
    path.write_bytes(content)
    home = Path.home() / "clients.csv"
    home.write_bytes(content)
    assert {read_list(one) for one in (content, path, str(path), "~/clients.csv")} == {content}


@pytest.mark.parametrize("name", ["missing.csv", ".", "a" * 300, "no\0path", "~nobody-here/x.csv"])
def test_a_list_that_cannot_be_read_is_one_sentence(tmp_path: Path, name: str) -> None:
    path = name if name.startswith("~") else str(tmp_path / name)
    with pytest.raises(UsageError, match="cannot be read") as caught:
        read_list(path)
    assert caught.value.message.endswith("nothing was onboarded.")
    assert caught.value.message.isprintable()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("text", [f"{HEADER}\n{ACME}\n", ACME, f"/tmp/{TOKENS[1]}.csv"])
def test_a_list_given_as_text_by_mistake_is_not_repeated(text: str) -> None:
    with pytest.raises(UsageError, match=r"client list cannot be read") as caught:
        read_list(text)
    assert TOKENS[1][12:] not in str(caught.value)
    assert "as bytes" in caught.value.hint


def test_everything_that_is_wrong_with_a_row_is_told_at_once() -> None:
    text = f"{HEADER},kind,connectionType,tier\nAcme Corp,pat-na1,-5,oauth,everything,gold\n"
    good, (bad,) = read_rows(text.encode())
    assert good == []
    for cause in (
        "'Acme Corp' is not a client slug",
        "This is not a HubSpot token",
        "'-5' is not a portal id",
        "OAuth portals are connected one by one",
        "'everything' is not a connection type",
        "'gold' is not a tier",
    ):
        assert cause in bad.cause
    assert bad.cause.count("; ") == 6  # one of them in a cause of its own
    for hint in ("acme-corp", "Service keys", "12345678", "enterprise"):
        assert hint in bad.hint


BOTH = [(2, "acme-corp"), (3, "beta-inc")]


@pytest.mark.parametrize(
    "header",
    [
        HEADER,
        "clientSlug,portalToken,portalId",
        "CLIENTSLUG,PortalToken,EXPECTEDPORTALID",
        " clientslug , portaltoken , portalid ",
        '"clientSlug","portalToken","expectedPortalId"',
        HEADER + ",,",
    ],
)
def test_the_header_may_be_in_any_case_and_have_the_alias(header: str) -> None:
    assert slugs(f"{header}\n{ACME}\n{BETA}\n") == BOTH


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_any_line_end_separator_and_byte_order_mark_will_do(
    ending: str, mark: str, separator: str
) -> None:
    text = ending.join([HEADER, ACME, BETA, ""]).replace(",", separator)
    assert slugs(mark + text) == BOTH


def test_blank_lines_and_comments_are_left_out_and_counted() -> None:
    text = f'# a list\n\n{HEADER}\n\n  # it\'s "ours",\n{ACME}\n,,\n   \n#x,"y\n{BETA}'
    assert slugs(text) == [(6, "acme-corp"), (10, "beta-inc")]


def test_a_quoted_field_may_span_lines_and_later_line_numbers_stay_right() -> None:
    text = f'{HEADER},displayName\n{ACME},"Acme\n# not a comment\nCorp"\n{BETA},"Beta, Inc"\n'
    rows, bad = read(text)
    assert [(one.line, one.slug, one.display_name) for one in rows] == [
        (5, "beta-inc", "Beta, Inc")
    ]
    assert [(one.line, one.slug) for one in bad] == [(2, "acme-corp")]
    assert "line breaks" in bad[0].cause


@pytest.mark.parametrize("odd", ["\u2028", "\x0b", "\x0c", "\x85", "\x1c"])
def test_only_line_ends_end_lines(odd: str) -> None:
    rows, bad = read(f"{HEADER},displayName\n{ACME},a{odd}b\n{BETA},\n")
    assert [(one.line, one.slug) for one in bad] == [(2, "acme-corp")]
    assert [(one.line, one.slug) for one in rows] == [(3, "beta-inc")]


def test_the_empty_cells_of_spreadsheets_are_no_fields() -> None:
    assert slugs(f"{HEADER},,\n{ACME},,\n{BETA}\n") == BOTH
    assert slugs(f"{HEADER}\n{ACME},,,\n{BETA}\n") == BOTH


def test_all_columns_are_read_and_the_words_in_them_in_any_case() -> None:
    text = (
        "tier,displayName,connectionType,kind,portalId,portalToken,clientSlug\n"
        f"Professional,Acme GmbH,AUDIT_ONLY,Service_Key,101,{TOKENS[1]},acme-corp\n"
    )
    (row,) = read(text)[0]
    assert (row.tier, row.display_name, row.expected) == ("professional", "Acme GmbH", 101)
    assert row.connection_type is ConnectionType.AUDIT_ONLY
    assert row.kind is CredentialKind.SERVICE_KEY
    assert row.token.reveal() == TOKENS[1]


def test_a_row_without_a_type_gets_the_one_for_all() -> None:
    rows, _ = read_rows(
        f"{HEADER},connectionType\n{ACME},\n{BETA},config_only\n".encode(),
        connection_type=ConnectionType.AUDIT_ONLY,
    )
    assert [row.connection_type for row in rows] == ["audit_only", "config_only"]


def test_the_example_that_ships_is_an_empty_list_and_its_sample_row_is_a_good_one() -> None:
    text = (ROOT / "templates" / "clients.csv").read_text("utf-8")
    assert read(text) == ([], [])
    rows, bad = read(text.replace("# acme-corp,", "acme-corp,").replace("xxxx", "0000"))
    assert [row.slug for row in rows] == ["acme-corp"]
    assert bad == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\n# only a comment\n", "empty"),
        (f"{HEADER}\n{ACME}\n".encode("utf-16"), "not text in UTF-8"),
        (f"{HEADER}\n{ACME}\n".encode("utf-16-le"), "not text in UTF-8"),
        (f"{HEADER},displayName\n{ACME},Caf\xe9\n".encode("latin-1"), "not text in UTF-8"),
        (b"PK\x03\x04\x00\x00", "not text in UTF-8"),
        (f"{ACME}\n".encode(), "unknown column 'acme-corp'"),
        (f"{TOKENS[1]},clientSlug\n".encode(), "unknown column (not shown)"),
        (b"clientSlug,expectedPortalId\n", "portalToken is missing"),
        (b"portalToken,expectedPortalId\n", "clientSlug is missing"),
        (b"clientSlug,portalToken,portalId,expectedPortalId\n", "Two columns mean"),
        (f'{HEADER}\n{BETA}\n"acme-corp,{TOKENS[1]},1\n'.encode(), "Line 3"),
        (f'{HEADER}\n"acme"-corp,{TOKENS[1]},1\n'.encode(), "Line 2"),
    ],
)
def test_a_list_that_cannot_be_read_says_why_and_that_nothing_was_done(
    content: bytes, says: str
) -> None:
    with pytest.raises(OnboardingError) as caught:
        read_rows(content)
    assert says in caught.value.message
    assert "nothing was onboarded" in caught.value.message
    assert caught.value.hint
    assert TOKENS[1] not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "slug", "cause", "hint"),
    [
        (
            f"Acme Corp,{TOKENS[1]},101",
            "Acme Corp",
            "'Acme Corp' is not a client slug",
            "acme-corp",
        ),
        (f",{TOKENS[1]},101", "", "client slug is missing", "acme-corp"),
        (f"-acme,{TOKENS[1]},101", "-acme", "'-acme' is not", "lower-case"),
        (f"{'a' * 64},{TOKENS[1]},101", "(not shown)", "not shown", "lower-case"),
        (f"{TOKENS[1]},acme-corp,101", "(not shown)", "may be a token", "acme-corp"),
        (f"{TOKENS[1]},{TOKENS[1]},101", "(not shown)", "may be a token", "acme-corp"),
        (f"acme-corp,{TOKENS[1][:-1]},101", "acme-corp", "not a HubSpot token", "Service keys"),
        (f"acme-corp,{TOKENS[1].upper()},101", "acme-corp", "not a HubSpot token", "super admin"),
        ("acme-corp,CKiQ5pLM,101", "acme-corp", "not a HubSpot token", "26 October 2026"),
        ("acme-corp,,101", "acme-corp", "token is missing", "Development > Keys"),
        (f"acme-corp,{TOKENS[1]},12x", "acme-corp", "'12x' is not a portal id", "12345678"),
        (f"acme-corp,{TOKENS[1]},0", "acme-corp", "'0' is not a portal id", "12345678"),
        (f"acme-corp,{TOKENS[1]},-5", "acme-corp", "'-5' is not a portal id", "12345678"),
        (f"acme-corp,{TOKENS[1]},{TOKENS[1]}", "acme-corp", "may be a token", "first line"),
        (f"acme-corp,{TOKENS[1]},1,key", "acme-corp", "'key' is not a kind", "service_key"),
        (f"acme-corp,{TOKENS[1]},1,oauth", "acme-corp", "one by one", "service_key"),
        (f"acme-corp,{TOKENS[1]},1,,all", "acme-corp", "'all' is not a connection type", "audit_"),
        (f"acme-corp,{TOKENS[1]},1,,,gold", "acme-corp", "'gold' is not a tier", "starter"),
        (f"acme-corp,{TOKENS[1]},1,,,,{'x' * 101}", "acme-corp", "too long", "100"),
        (f"acme-corp,{TOKENS[1]},1,,,,{TOKENS[2]}", "acme-corp", "may be a token", "first line"),
        (f"acme-corp,{TOKENS[1]}", "acme-corp", "2 fields and the header 7", "Quote"),
        (f"acme-corp,{TOKENS[1]},1,,,,a,b", "acme-corp", "8 fields and the header 7", "Quote"),
    ],
)
def test_a_bad_row_has_its_line_cause_and_cure_and_stops_nobody(
    line: str, slug: str, cause: str, hint: str
) -> None:
    cells = line.split(",")
    full = line if len(cells) < 3 else line + "," * (7 - len(cells))
    text = f"{HEADER},kind,connectionType,tier,displayName\n\n{full}\n{BETA},,,,\n"
    rows, (bad,) = read(text)
    assert [row.slug for row in rows] == ["beta-inc"]
    assert (bad.line, bad.slug) == (3, slug)
    assert cause in bad.cause
    assert hint in bad.hint
    assert not any(token in f"{bad.slug}{bad.cause}{bad.hint}" for token in TOKENS)


def test_a_client_whose_name_merely_looks_odd_is_taken() -> None:
    text = f"{HEADER}\nexpat-services,{TOKENS[1]},101\npat-smith,{TOKENS[2]},102\n"
    assert slugs(text) == [(2, "expat-services"), (3, "pat-smith")]


def test_one_slug_twice_is_refused_on_both_lines() -> None:
    rows, bad = read(f"{HEADER}\n{ACME}\n{BETA}\nacme-corp,{TOKENS[3]},103\n")
    assert [row.slug for row in rows] == ["beta-inc"]
    assert [(one.line, one.slug) for one in bad] == [(2, "acme-corp"), (4, "acme-corp")]
    assert "also on line 4" in bad[0].cause
    assert "also on line 2" in bad[1].cause


@pytest.mark.parametrize(
    "again", [f"acme-corp,{TOKENS[3]},101", f"acme-corp,{TOKENS[1]},103", f"acme-corp,{TOKENS[3]},"]
)
def test_one_slug_twice_is_never_told_as_two_slugs(again: str) -> None:
    _, bad = read(f"{HEADER}\n{ACME}\n{again}\n")
    assert ["slug stands more than once" in one.cause for one in bad] == [True, True]


@pytest.mark.parametrize(
    ("second", "what"), [(f"other,{TOKENS[1]},109", "token"), (f"other,{TOKENS[9]},101", "portal")]
)
def test_one_portal_or_token_under_two_slugs_names_both(second: str, what: str) -> None:
    rows, bad = read(f"{HEADER}\n{ACME}\n{second}\n{BETA}\n")
    assert [row.slug for row in rows] == ["beta-inc"]
    assert [one.line for one in bad] == [2, 3]
    for one in bad:
        assert f"one {what} under two slugs" in one.cause
        assert "acme-corp" in one.cause
        assert "other (line 3)" in one.cause or "acme-corp (line 2)" in one.cause


def test_a_line_that_only_repeats_another_is_refused_and_the_first_stands() -> None:
    rows, bad = read(f"{HEADER}\n{ACME}\n{ACME}\n{ACME}\n")
    assert [row.line for row in rows] == [2]
    assert [(one.line, one.cause) for one in bad] == [(3, "repeats line 2"), (4, "repeats line 2")]


def test_a_word_processors_token_is_not_echoed_either() -> None:
    for mangled in (
        TOKENS[1].replace("-", "\N{NON-BREAKING HYPHEN}"),
        TOKENS[1].removeprefix("pat-na1-"),
        TOKENS[1].replace("-", "_"),
    ):
        bad = only_bad(f"{HEADER}\n{mangled},{TOKENS[2]},101\n")
        assert mangled not in f"{bad.slug}{bad.cause}{bad.hint}"


# Laws.

LETTERS = "abAB01-_,;\t\n\r\"'#. \ufeff\u2028\x0c\x00é"
CELLS = st.one_of(
    st.sampled_from(["acme-corp", "beta-inc", "101", "102", "", "#", '"', "audit_only", *TOKENS]),
    st.text(LETTERS, max_size=6),
)


def echoed(rows: list[Row], bad: list[BadRow]) -> str:
    said = [f"{one.slug}|{one.cause}|{one.hint}" for one in bad]
    return "\n".join([*said, *(f"{one.slug}|{one!r}" for one in rows)])


@given(st.binary(max_size=80) | st.text(LETTERS, max_size=80).map(str.encode))
@example(b'clientSlug,portalToken\n"')
@example(b"clientSlug;portalToken\r\r\n\x00")
def test_no_bytes_raise_anything_but_the_one_error(content: bytes) -> None:
    for text in (content, f"{HEADER}\n".encode() + content):
        try:
            rows, bad = read_rows(text)
        except OnboardingError as error:
            assert error.hint  # noqa: PT017  (which of them are raised is not the point)
            continue
        assert {one.line for one in rows}.isdisjoint(one.line for one in bad)


@given(lines=st.lists(st.lists(CELLS, min_size=1, max_size=9), max_size=6), where=st.data())
def test_a_token_is_echoed_from_nowhere(lines: list[list[str]], where: st.DataObject) -> None:
    text = "\n".join([f"{HEADER},kind,connectionType,displayName,tier", *map(",".join, lines)])
    at = where.draw(st.integers(0, len(text)))
    text = text[:at] + TOKENS[0] + text[at:]
    try:
        rows, bad = read(text)
    except OnboardingError as error:
        said = str(error)
    else:
        said = echoed(rows, bad)
    assert [token for token in TOKENS if token in said] == []


FIELD = st.text("ab-1é# ", max_size=5) | st.sampled_from(["acme-corp", "101", *TOKENS])


@given(st.lists(st.lists(FIELD, min_size=1, max_size=5), max_size=8))
def test_good_and_bad_rows_together_are_the_lines_that_hold_something(
    lines: list[list[str]],
) -> None:
    text = "\n".join([HEADER, *map(",".join, lines)])
    rows, bad = read(text)
    holding = [
        number
        for number, cells in enumerate(lines, start=2)
        if any(cell.strip() for cell in cells) and not ",".join(cells).lstrip().startswith("#")
    ]
    assert sorted([*(one.line for one in rows), *(one.line for one in bad)]) == holding
