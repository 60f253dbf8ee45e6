"""An end to waits that would have none, so that a test fails where it would hang."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer


@contextmanager
def patience(give_up: Callable[[], object], *, seconds: float = 30) -> Iterator[None]:
    """Give up, which must end whatever is waited for, and fail if that was needed."""
    timer = Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        in_time = timer.is_alive()
        timer.cancel()
    assert in_time, f"nothing came for {seconds} seconds"
