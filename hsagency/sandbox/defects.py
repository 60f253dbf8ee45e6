"""What the sandbox answers, and says to its owner, when something in itself fails."""

from __future__ import annotations

import logging
from pathlib import Path
from traceback import extract_tb

from hsagency.sandbox.envelopes import refused
from hsagency.sandbox.wire import ApiError, Reply

# What struck the call, in its ledger entry.
DEFECT = "defect"
_log = logging.getLogger(__name__)


def broken(error: Exception, *, id_: str) -> Reply:
    """Return the 500 for a call that the sandbox failed to answer, and log the defect."""
    told(error, "A call was answered with 500")
    return refused(ApiError(500, "internal error"), id_=id_)


def told(error: Exception, consequence: str) -> None:
    """Log a defect by its type and its place: its message may hold values, and they secrets."""
    frames = extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else "nowhere"
    _log.error(
        "%s, because the sandbox has a defect: %s in %s", consequence, type(error).__name__, where
    )
