"""A secret does not leave by accident."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable
from io import StringIO
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.onboarding import Row
from hsagency.portals import ClientSlug
from hsagency.secret import Secret
from tests.support import TOKEN, needles

SECRET = Secret(TOKEN)


@dataclasses.dataclass
class Holder:
    name: str
    secret: Secret


def shown_by_logging() -> str:
    stream = StringIO()
    logger = logging.getLogger("tests.secret")
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    try:
        logger.warning("%s %r %s", SECRET, SECRET, {"token": SECRET})
    finally:
        logger.removeHandler(handler)
    return stream.getvalue()


def shown_by_a_traceback() -> str:
    def fail(secret: Secret, held: Holder, row: dict[str, object]) -> None:
        raise ValueError(secret, held, row)

    try:
        fail(SECRET, Holder("x", SECRET), {"secret": SECRET})
    except ValueError as error:
        lines = traceback.TracebackException.from_exception(error, capture_locals=True).format()
        return "".join(lines) + repr(error) + str(error)
    return ""


def shown_by_a_verbose_notebook() -> str:
    from IPython.core.ultratb import VerboseTB

    def fail(secret: Secret) -> None:
        held = Holder("x", secret)
        raise ValueError(held)

    try:
        fail(SECRET)
    except ValueError as error:
        return str(VerboseTB(theme_name="nocolor").text(type(error), error, error.__traceback__))
    return ""


WAYS: dict[str, Callable[[], Any]] = {
    "repr": lambda: repr(SECRET),
    "str": lambda: str(SECRET),
    "format": lambda: f"{SECRET} {SECRET!r} {SECRET!s} {SECRET!a} {SECRET:>40}",
    "percent": lambda: "%s %r" % (SECRET, SECRET),  # noqa: UP031  (the old way leaks as well)
    "container": lambda: f"{[SECRET]} { ({'a': SECRET}) } {(SECRET,)}",
    "pprint": lambda: pprint.pformat({"deep": [Holder("x", SECRET)]}),
    "asdict": lambda: str(dataclasses.asdict(Holder("x", SECRET))),
    "row": lambda: str(Row(line=1, slug=ClientSlug("a"), token=SECRET, expected=None)),
    "members": lambda: str(inspect.getmembers(SECRET)),
    "slots": lambda: str([getattr(SECRET, name) for name in Secret.__slots__]),
    "dir": lambda: str(dir(SECRET)),
    "json default": lambda: json.dumps({"a": SECRET}, default=repr),
    "orjson default": lambda: orjson.dumps({"a": SECRET}, default=repr).decode(),
    "frame": lambda: str(pl.Series([SECRET], dtype=pl.Object)),
    "logging": shown_by_logging,
    "traceback": shown_by_a_traceback,
    "verbose notebook": shown_by_a_verbose_notebook,
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_that_shows_a_secret_shows_its_value(way: str) -> None:
    shown = WAYS[way]().encode()
    assert shown
    assert not [needle for needle in needles(TOKEN) if needle in shown]


@pytest.mark.parametrize(
    "take",
    [
        pickle.dumps,
        lambda secret: pickle.dumps(Holder("x", secret)),
        lambda secret: secret.__getstate__(),
        lambda secret: secret.__reduce_ex__(4),
        json.dumps,
        orjson.dumps,
        lambda secret: orjson.dumps(Holder("x", secret)),
        vars,
        list,
        lambda secret: "token " + secret,
        lambda secret: ",".join([secret]),
    ],
)
def test_what_would_take_the_value_fails_without_telling_it(take: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError) as caught:
        take(SECRET)
    assert TOKEN not in str(caught.value)


def test_a_copy_stays_shut() -> None:
    for made in (copy.copy(SECRET), copy.deepcopy(SECRET), copy.deepcopy([SECRET])[0]):
        assert made is SECRET


def test_two_secrets_are_equal_by_value_and_unequal_to_text() -> None:
    assert Secret(TOKEN) == SECRET
    assert hash(Secret(TOKEN)) == hash(SECRET)
    assert Secret("other") != SECRET
    assert SECRET != TOKEN
    assert Secret("x")
    assert not Secret("")


def test_a_secret_that_is_no_text_still_says_nothing() -> None:
    odd = Secret(TOKEN + "\udc80")
    assert odd != SECRET
    assert odd == Secret(TOKEN + "\udc80")
    assert len(odd.fingerprint) == 16


@given(st.text(alphabet="abcdef0123456789-", max_size=50))
def test_a_fingerprint_names_a_value_without_holding_it(value: str) -> None:
    fingerprint = Secret(value).fingerprint
    assert fingerprint == Secret(value).fingerprint
    assert len(fingerprint) == 16
    assert Secret(value + "x").fingerprint != fingerprint
