"""
Reading anew where another process sealed meanwhile.

A frame of calls names the files of the lake that counted when it was made. Sealing seldom
removes one, but when it merges small files, one that is collected a moment later is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from hsagency.errors import AuditError

_LOOKS: Final = 5
Seen = TypeVar("Seen")


def steadily(look: Callable[[], Seen]) -> Seen:
    """
    Return what a reading and its collecting come to, together; both anew if a file went.

    Raises `AuditError` if files go missing all the time, so that nothing was read.
    """
    for _ in range(_LOOKS):
        try:
            return look()
        except FileNotFoundError as error:
            gone = error
    raise AuditError(
        f"Files of the lake go while they are read ({gone.filename or gone}). Nothing was read.",
        hint="Try again once the other program is done; else: hsagency audit rebuild.",
    ) from gone
