"""Tables as people read them."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl

from hsagency.reports import table
from hsagency.reports.tables import UNKNOWN


def shown(frame: pl.DataFrame, **options: object) -> str:
    return table(frame, **options)._repr_html_()


def test_numbers_stand_to_the_right_with_their_thousands_apart() -> None:
    assert '<td class="number">1,234,567</td>' in shown(pl.DataFrame({"calls": [1234567]}))


def test_ids_are_names_and_not_quantities() -> None:
    frame = pl.DataFrame({"portal_id": [12345678], "status_code": [1000]})
    assert "12345678" in shown(frame)
    assert "1000" in shown(frame)


def test_what_is_not_known_is_a_dash_and_never_zero() -> None:
    frame = pl.DataFrame({"share": [None, 0.0123]}, schema={"share": pl.Float64})
    assert UNKNOWN in shown(frame)
    assert "1.23%" in shown(frame)


def test_text_is_escaped() -> None:
    assert "<b>" not in shown(pl.DataFrame({"<b>": ["<b>"]}))


def test_days_and_times_are_written_plainly() -> None:
    frame = pl.DataFrame({"day": [date(2026, 5, 1)], "at": [datetime(2026, 5, 1, 9, tzinfo=UTC)]})
    assert 'white-space:nowrap">2026-05-01</td>' in shown(frame)
    assert "2026-05-01 09:00:00" in shown(frame)


def test_nothing_is_said_in_words() -> None:
    assert shown(pl.DataFrame({"a": []}), empty="No calls.") == "<p>No calls.</p>"


def test_simulated_calls_have_a_column_only_where_there_are_any() -> None:
    assert "Simulated" not in shown(pl.DataFrame({"calls": [1], "simulated": [0]}))
    assert "Simulated" in shown(pl.DataFrame({"calls": [1], "simulated": [1]}))


def test_a_share_that_is_not_nothing_is_not_shown_as_nothing() -> None:
    assert "&lt;0.01%" in shown(pl.DataFrame({"share": [0.00003]}))


def test_a_folded_table_says_how_many_rows_it_holds() -> None:
    folded = shown(pl.DataFrame({"calls": range(1200)}), folded=True)
    assert folded.startswith("<details><summary>Show 1,200 rows</summary>")
    assert folded.count("<tr>") == 1201
    assert "Show 1 row<" in shown(pl.DataFrame({"calls": [1]}), folded=True)
    assert "<details" not in shown(pl.DataFrame({"calls": []}), folded=True)
