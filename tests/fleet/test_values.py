"""What a function returned for each portal is a column, whatever it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.fleet.values import column, settled

NOW = datetime(2026, 11, 3, 9, tzinfo=UTC)


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, None, 3], pl.Int64()),
        ([1, 2.5], pl.Float64()),
        (["a", None, Colour.RED], pl.String()),
        ([True, None], pl.Boolean()),
        ([b"a"], pl.Binary()),
        ([NOW, None], pl.Datetime("us", "UTC")),
        ([NOW.replace(tzinfo=None)], pl.Datetime("us")),
        ([date(2026, 11, 3)], pl.Date()),
        ([timedelta(seconds=1)], pl.Duration("us")),
        ([[1], [2.5], None, []], pl.List(pl.Float64())),
        ([(1, 2), [3]], pl.List(pl.Int64())),
        ([None, None], pl.Null()),
        ([], pl.Null()),
    ],
)
def test_values_of_one_kind_are_a_column_of_that_kind(
    values: list[object], dtype: pl.DataType
) -> None:
    made = column("value", values)
    assert made.dtype == dtype
    assert made.to_list() == [list(one) if isinstance(one, tuple) else one for one in values]


def test_dicts_with_other_keys_are_one_struct_with_all_of_them() -> None:
    made = column("value", [{"a": 1}, None, {"b": [{"c": "x"}]}, {"b": []}])
    assert made.to_list() == [
        {"a": 1, "b": None},
        None,
        {"a": None, "b": [{"c": "x"}]},
        {"a": None, "b": []},
    ]


LOOP: list[object] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "values",
    [
        [1, "x"],
        [True, 1],
        [{"a": 1}, {"a": "1"}],
        [{"a": 1}, [1]],
        [[1], ["x"]],
        [2**63],
        [{1: "a key that is no text"}],
        [object()],
        [NOW, NOW.replace(tzinfo=None)],
        [pl.DataFrame({"a": [1]}), 1],
        [pl.DataFrame({"a": [1]}), pl.DataFrame({"a": ["1"]})],
        [pl.DataFrame({"a": [{"b": 1}]}), pl.DataFrame({"a": [{"b": "1"}]})],
        [LOOP],
    ],
)
def test_what_does_not_go_together_is_kept_as_it_is(values: list[object]) -> None:
    made = column("value", [*values, None])
    assert made.dtype == pl.Object()
    assert all(kept is one for kept, one in zip(made, values, strict=False))


def test_frames_make_one_frame_over_the_fleet() -> None:
    frames = [
        pl.DataFrame({"a": [1, 2]}),
        None,
        pl.DataFrame({"a": [2.5], "b": ["x"]}),
        pl.DataFrame(schema={"b": pl.String}),
        pl.DataFrame(),
    ]
    table = pl.DataFrame([pl.Series("slug", list("vwxyz")), column("value", frames)])
    held = table.filter(pl.col("value").list.len() > 0).explode("value").unnest("value")
    assert held.rows() == [("v", 1.0, None), ("v", 2.0, None), ("x", 2.5, "x")]
    assert table["value"].to_list()[3] == []
    assert table["value"].to_list()[1] is None


def test_fields_within_frames_are_put_together_too() -> None:
    frames = [pl.DataFrame({"a": [{"x": 1}]}), pl.DataFrame({"a": [{"y": "1"}]})]
    assert column("value", frames).to_list() == [
        [{"a": {"x": 1, "y": None}}],
        [{"a": {"x": None, "y": "1"}}],
    ]


def test_what_is_yet_to_be_read_is_read_while_there_is_a_client() -> None:
    def pages() -> Iterator[int]:
        yield from (1, 2)

    assert settled(pages()) == [1, 2]
    assert settled(pl.Series([1, 2])) == [1, 2]
    assert isinstance(settled(pl.LazyFrame({"a": [1]})), pl.DataFrame)
    assert settled("as it is") == "as it is"


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("ab")
nested = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner)
)


def lacking(kept: object, given: object) -> bool:
    """Say whether what was kept has less in it than what was given, or something else."""
    if isinstance(given, dict):
        assert isinstance(kept, dict)
        return any(lacking(kept[key], one) for key, one in given.items())
    if isinstance(given, list):
        assert isinstance(kept, list)
        return len(kept) != len(given) or any(map(lacking, kept, given))
    if isinstance(given, float):
        return kept != given
    if isinstance(kept, float):  # a whole number beside fractions
        return kept != float(given)  # type: ignore[arg-type]
    return kept != given or type(kept) is not type(given)


@given(st.lists(nested, max_size=4))
def test_nothing_that_was_returned_is_lost_or_turned_into_something_else(
    values: list[object],
) -> None:
    made = column("value", values)
    assert len(made) == len(values)
    assert not any(lacking(kept, one) for kept, one in zip(made.to_list(), values, strict=True))
