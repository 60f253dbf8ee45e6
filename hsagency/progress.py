"""
Progress as an interface: the library calls it, a terminal or a notebook shows it.

Whatever may take over two seconds takes a `Progress`; nothing is shown unless one is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol


class Step(Protocol):
    """Says that so much more is done; a `note` stands beside the bar until the next one."""

    def __call__(self, done: int, /, note: str = ...) -> object:
        """Move on by `done`, which may be nothing."""


Progress = Callable[[str, int], AbstractContextManager[Step]]

_PATIENCE: Final = 2.0  # seconds of work before a bar is worth showing
_FRAME: Final = 0.2  # seconds between two drawings of a bar of which only the note changes


@contextmanager
def silent(what: str, total: int) -> Iterator[Step]:
    """Show nothing."""
    del what, total
    yield _ignored


@contextmanager
def bar(what: str, total: int) -> Iterator[Step]:
    """Show a bar of what is counted on stderr, or in a notebook; it goes when the work is done."""
    import sys

    from tqdm.auto import tqdm

    shown = tqdm(
        total=total, desc=what, leave=False, file=sys.stderr, disable=None, delay=_PATIENCE, unit=""
    )
    try:
        yield _Drawn(shown)
    finally:
        shown.close()


class _Drawn:
    """Moves a bar of tqdm's, and draws it also while nothing is done: time passes, notes change."""

    def __init__(self, shown: Any) -> None:
        self._shown = shown
        self._next = time.monotonic() + _PATIENCE

    def __call__(self, done: int, /, note: str = "") -> None:
        self._shown.set_postfix_str(note, refresh=False)
        self._shown.update(done)
        if not self._shown.disable and time.monotonic() >= self._next:
            self._next = time.monotonic() + _FRAME
            self._shown.refresh()


def _ignored(done: int, /, note: str = "") -> None:
    del done, note
