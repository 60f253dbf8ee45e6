"""
Progress as an interface: the library calls it, a terminal or a notebook shows it.

Whatever may take over two seconds takes a `Progress`; nothing is shown unless one is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

Step = Callable[[int], object]
Progress = Callable[[str, int], AbstractContextManager[Step]]

_PATIENCE: Final = 2.0  # seconds of work before a bar is worth showing


@contextmanager
def silent(what: str, total: int) -> Iterator[Step]:
    """Show nothing."""
    del what, total
    yield lambda _: None


@contextmanager
def bar(what: str, total: int) -> Iterator[Step]:
    """Show a bar on stderr, or a widget in a notebook; it goes when the work is done."""
    import sys

    from tqdm.auto import tqdm

    shown = tqdm(
        total=total, desc=what, leave=False, file=sys.stderr, disable=None, delay=_PATIENCE
    )
    try:
        yield shown.update
    finally:
        shown.close()
