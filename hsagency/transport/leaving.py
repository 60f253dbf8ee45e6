"""Whether a call that ended in an error can have left: decided here, for whoever asks."""

from __future__ import annotations

from typing import Final

import httpx

from hsagency.errors import HsAgencyError

# Raised before there was a connection to send anything over.
_BEFORE: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


def never_left(error: BaseException) -> bool:
    """
    Say whether a call that ended so certainly was not sent.

    >>> never_left(httpx.ConnectTimeout("")), never_left(httpx.ReadTimeout(""))
    (True, False)
    """
    if isinstance(error, httpx.HTTPStatusError):  # that is an answer
        return False
    if isinstance(error, HsAgencyError):
        return not error.under_way
    return isinstance(error, _BEFORE)
