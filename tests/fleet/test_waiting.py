"""Waiting is shown in one bar, counted, spent aside, and given up at once."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from threading import Thread

import pytest

from hsagency.errors import Cancelled
from hsagency.progress import bar, silent
from hsagency.waiting import Waits


class Bars:
    """Bars that are told nothing to anybody, and how many stood at once."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, int]] = []
        self.open, self.most = 0, 0
        self.opened = threading.Event()

    @contextmanager
    def __call__(self, what: str, total: int) -> Iterator[Callable[..., None]]:
        self.shown.append((what, total))
        self.open += 1
        self.most = max(self.most, self.open)
        self.opened.set()
        try:
            yield lambda done, /, note="": None
        finally:
            self.open -= 1


def waiting(waits: Waits, seconds: float, why: str) -> Thread:
    """Wait in a thread, until it is cancelled."""

    def wait() -> None:
        with pytest.raises(Cancelled):
            waits.wait(seconds, why=why)

    thread = Thread(target=wait)
    thread.start()
    return thread


def test_many_waits_have_one_bar() -> None:
    bars, cancel = Bars(), threading.Event()
    waits = Waits(progress=bars, cancel=cancel)
    threads = [waiting(waits, 60, f"portal {number} waits its turn") for number in range(5)]
    assert bars.opened.wait(30)
    cancel.set()
    for thread in threads:
        thread.join()
    assert bars.most == 1
    assert bars.shown[0][1] == 60


def test_a_short_wait_shows_nothing_and_is_counted() -> None:
    bars = Bars()
    waits = Waits(progress=bars)
    waits.wait(0.01, why="a moment")
    waits.wait(0.01, why="a moment")
    assert bars.shown == []
    assert waits.waited >= 0.02


@pytest.mark.parametrize("seconds", [-1, 0, 0.01, 60])
def test_what_is_cancelled_waits_no_longer_and_goes_no_further(seconds: float) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled, match="Nothing was sent"):
        Waits(progress=silent, cancel=cancel).wait(seconds, why="it must not")


def test_a_wait_is_spent_aside_and_comes_back_also_where_it_is_given_up() -> None:
    seen: list[str] = []

    @contextmanager
    def aside(why: str) -> Iterator[None]:
        seen.append(f"begin {why}")
        try:
            yield
        finally:
            seen.append(f"end {why}")

    cancel = threading.Event()
    waits = Waits(progress=silent, cancel=cancel, aside=aside)
    waits.wait(0.001, why="a")
    waits.wait(0, why="nothing")
    cancel.set()
    with pytest.raises(Cancelled):
        waits.wait(1, why="b")
    assert seen == ["begin a", "end a", "begin b", "end b"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_draws_a_note_though_nothing_moves() -> None:
    terminal = Terminal()
    with redirect_stderr(terminal), bar("portals", 3) as step:
        step(0, "acme-corp waits its turn")
        assert terminal.getvalue() == ""  # what is quick shows no bar
        threading.Event().wait(2.1)
        step(0, "acme-corp waits its turn")
    assert "acme-corp waits its turn" in terminal.getvalue()


def test_nothing_is_drawn_where_nobody_looks_on() -> None:
    pipe = io.StringIO()
    with redirect_stderr(pipe), bar("portals", 3) as step:
        step(1, "a note")
    assert pipe.getvalue() == ""
    with silent("portals", 3) as step:
        step(1, "a note")
