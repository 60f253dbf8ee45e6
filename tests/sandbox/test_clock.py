from datetime import UTC, datetime, timedelta

import pytest

from hsagency.errors import SandboxError
from hsagency.sandbox import Clock

AT = datetime(2026, 3, 8, 7, tzinfo=UTC)


def test_a_clock_with_a_time_stands_still_until_it_is_moved() -> None:
    clock = Clock(AT)
    assert clock.now() == clock.now() == AT
    assert clock.advance(1.5) == clock.now() == AT + timedelta(seconds=1.5)
    assert clock.set(AT) == clock.now() == AT


def test_a_clock_without_one_runs_also_after_it_was_moved() -> None:
    clock = Clock()
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
    clock.set(AT)
    first = clock.now()
    while clock.now() == first:
        continue
    assert AT < clock.now() < AT + timedelta(minutes=1)


@pytest.mark.parametrize("bad", [AT.replace(tzinfo=None), AT.replace(year=1900)])
def test_a_time_without_a_zone_or_out_of_reach_is_refused(bad: datetime) -> None:
    clock = Clock(AT)
    with pytest.raises(SandboxError, match="left alone"):
        clock.set(bad)
    assert clock.now() == AT
