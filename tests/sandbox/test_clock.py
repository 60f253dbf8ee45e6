"""The sandbox's clock: set, advanced, and running at any speed; nothing here is HubSpot's."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.errors import SandboxError
from hsagency.sandbox import Clock

AT = datetime(2026, 3, 8, 7, tzinfo=UTC)
STEPS = st.floats(min_value=-1e7, max_value=1e7, allow_nan=False)


def ticked(clock: Clock) -> datetime:
    """Return the first time that differs from the one shown now."""
    first = clock.now()
    while (later := clock.now()) == first:
        continue
    return later


def test_a_clock_with_a_time_stands_still_until_it_is_moved() -> None:
    clock = Clock(AT)
    assert clock.now() == clock.now() == AT
    assert clock.advance(1.5) == clock.now() == AT + timedelta(seconds=1.5)
    assert clock.set(AT) == clock.now() == AT


def test_a_clock_without_one_runs_also_after_it_was_moved() -> None:
    clock = Clock()
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
    clock.set(AT)
    assert AT < ticked(clock) < AT + timedelta(minutes=1)


def test_a_running_clock_can_be_frozen_and_runs_on_from_there() -> None:
    clock = Clock()
    clock.set(AT)
    shown = clock.freeze()
    assert clock.now() == clock.now() == shown
    assert clock.run() == shown
    assert shown < ticked(clock) < shown + timedelta(minutes=1)


def test_a_clock_with_a_speed_runs_that_many_times_as_fast() -> None:
    before = datetime.now(UTC)
    clock = Clock(AT, speed=3600)
    made = datetime.now(UTC)
    while (look := datetime.now(UTC)) - made < timedelta(milliseconds=5):
        continue
    shown = clock.now() - AT
    assert (look - made) * 3600 <= shown <= (datetime.now(UTC) - before) * 3600


def test_a_speed_outlives_a_move() -> None:
    clock = Clock(AT, speed=100_000)
    clock.set(AT - timedelta(days=30))
    assert AT - timedelta(days=30) < ticked(clock) < AT


@given(STEPS, STEPS)
def test_two_steps_are_one_long_step(one: float, other: float) -> None:
    clock = Clock(AT)
    clock.advance(one)
    apart = abs(clock.advance(other) - (AT + timedelta(seconds=one + other)))
    assert apart <= timedelta(microseconds=2)


@pytest.mark.parametrize("bad", [AT.replace(tzinfo=None), AT.replace(year=1900)])
def test_a_time_without_a_zone_or_out_of_reach_is_refused(bad: datetime) -> None:
    clock = Clock(AT)
    with pytest.raises(SandboxError, match="left alone"):
        clock.set(bad)
    assert clock.now() == AT


@pytest.mark.parametrize("seconds", [1e300, math.nan, math.inf, 86_400 * 366 * 200])
def test_a_step_out_of_reach_is_refused(seconds: float) -> None:
    clock = Clock(AT)
    with pytest.raises(SandboxError, match="left alone"):
        clock.advance(seconds)
    assert clock.now() == AT


@pytest.mark.parametrize("speed", [-1, 100_001, math.nan, math.inf])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    clock = Clock(AT)
    with pytest.raises(SandboxError, match="left alone"):
        clock.run(speed=speed)
    assert clock.now() == AT
    with pytest.raises(SandboxError):
        Clock(AT, speed=speed)
