"""
One row for each portal of a fleet job: what came of it, or why nothing did.

A row shows an error of ours in its own words, and any other by its class and a text from which
what looks like a secret or an address was cut out. Names of people in such a text are not
recognised: what a function of yours puts into its errors is yours to choose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import httpx
import polars as pl

from hsagency.errors import Cancelled, Halted, HsAgencyError, PortalAway, PortalStopped, QuotaSpent
from hsagency.fleet.values import column
from hsagency.portals import Connection, plain_word, redact

RESULTS: Final[Mapping[str, pl.DataType]] = {
    "client_slug": pl.String(),
    "outcome": pl.String(),
    "value": pl.Null(),
    "message": pl.String(),
    "hint": pl.String(),
    "error": pl.String(),
    "reasons": pl.List(pl.String()),
    "status_code": pl.Int64(),
    "correlation_id": pl.String(),
    "account_name": pl.String(),
    "portal_id": pl.Int64(),
    "calls": pl.Int64(),
    "waited_ms": pl.Int64(),
    "duration_ms": pl.Int64(),
    "started_at": pl.Datetime("us", "UTC"),
}
"""
Columns and types of the results of a fleet job; `value` has the type of what was returned.

`outcome` is `done`, `failed`, `excluded` (nothing was sent: `reasons` and `message` say why) or
`cancelled` (never begun, or given up while it waited). `error` is the class of what was raised.
`duration_ms` is from `started_at` on and includes `waited_ms`, which `calls` waited for their
turn; `calls` counts attempts, each of which has its own record. The last four are null where
the portal's job never began.
"""


class Outcome(StrEnum):
    """What came of a portal in a fleet job."""

    DONE = "done"
    FAILED = "failed"
    EXCLUDED = "excluded"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came of one portal."""

    connection: Connection
    outcome: Outcome
    value: object = None
    error: str | None = None
    message: str | None = None
    hint: str | None = None
    reasons: tuple[str, ...] = ()
    status_code: int | None = None
    correlation_id: str | None = None
    started_at: datetime | None = None
    duration_ms: int | None = None
    waited_ms: int | None = None
    calls: int | None = None


def frame(rows: Iterable[Row]) -> pl.DataFrame:
    """Return the rows as a frame, sorted by slug (columns: `RESULTS`)."""
    ordered = sorted(rows, key=lambda row: row.connection.client_slug)
    cells = [_cells(row) for row in ordered]
    values = column("value", [row.value for row in ordered])
    return pl.DataFrame(
        [
            values if name == "value" else pl.Series(name, [one[name] for one in cells], dtype)
            for name, dtype in RESULTS.items()
        ]
    )


def _cells(row: Row) -> dict[str, object]:
    portal = row.connection.portal
    said = {name: getattr(row, name) for name in RESULTS if name in Row.__slots__}
    return said | {
        "client_slug": portal.client_slug,
        "account_name": portal.name,
        "portal_id": portal.portal_id,
        "outcome": row.outcome.value,
        "reasons": list(row.reasons),
    }


def failure(connection: Connection, error: BaseException) -> Row:
    """Return the row of a portal whose job ended with an error, also one that cannot be told."""
    try:
        return _told(connection, error)
    except Exception:  # noqa: BLE001  (what a function raises may do anything when looked at)
        return Row(connection=connection, outcome=Outcome.FAILED, error=type(error).__name__)


def _told(connection: Connection, error: BaseException) -> Row:
    status_code, correlation_id = _answer(error)
    return Row(
        connection=connection,
        outcome=Outcome.CANCELLED if isinstance(error, Cancelled) else Outcome.FAILED,
        error=type(error).__name__,
        message=said(error),
        hint=(redact(error.hint) or None) if isinstance(error, HsAgencyError) else None,
        reasons=tuple(word for kind, word in _REASONS if isinstance(error, kind)),
        status_code=status_code,
        correlation_id=correlation_id,
    )


_REASONS: Final = (
    (Halted, "halted"),
    (PortalStopped, "stopped"),
    (QuotaSpent, "no room"),
    (PortalAway, "moving"),
    (Cancelled, "cancelled"),
)


def said(error: BaseException) -> str | None:
    """
    Return what an error says, fit to be shown: one line, no secret, no address.

    >>> said(ValueError("no contact jane@example.com"))
    'no contact …'
    """
    if isinstance(error, HsAgencyError):
        return redact(error.message)
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  (an error that cannot even be told is one all the same)
        return None
    text = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    for shape in _PRIVATE:
        text = shape.sub("…", text)
    text = redact(text)
    return (text if len(text) <= _MOST else text[: _MOST - 1] + "…") or None


_MOST: Final = 300  # characters of a foreign error's text
_PRIVATE: Final = (
    re.compile(r"\w+://[^\s'\"<>]+"),  # an address on the network, with what its query holds
    re.compile(r"[^\s'\"<>(),;:=]+(?:@|%40)[^\s'\"<>(),;:=]+\w"),  # of e-mail
    re.compile(r"\+\d[\d ()./-]{6,}\d"),  # of a telephone
    re.compile(r"[\w%+/=.-]{32,}", re.ASCII),  # secrets of any sort, UUIDs, and base64 of them
)


def _answer(error: BaseException) -> tuple[int | None, str | None]:
    """Return status and correlation id of the answer that an error is about."""
    status = getattr(error, "status_code", None)
    correlation = getattr(error, "correlation_id", None)
    if isinstance(error, httpx.HTTPStatusError):
        status = status or error.response.status_code
        correlation = correlation or error.response.headers.get("X-HubSpot-Correlation-Id")
    known = isinstance(error, HsAgencyError | httpx.HTTPStatusError)
    code = status if known and type(status) is int and 100 <= status <= 599 else None
    return code, plain_word(correlation) if known else None
