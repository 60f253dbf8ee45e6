"""
Where the log is forwarded to: a function, standard output, Python's logging, a SQLite table.

What arrives: a joined call (one record a call, with `callId` and no `event`), an amendment,
which is the record `call.finished` or `call.detail` of a call that was forwarded before it was
written, or an event (with `event` and `hash`): what is not a call. Standard output and logging
get events only where the settings say so, so that what counts lines counts calls; a table has
its own place for them, and a function gets them. Everything arrives at least once; a call is
known again by its `callId`, everything else by its `hash`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from hsagency.audit.record import CALL_FIELDS, Event
from hsagency.errors import UsageError
from hsagency.settings import ForwardSettings, Workspace

Record = Mapping[str, Any]


class Destination(Protocol):
    """What takes forwarded records."""

    @property
    def durable(self) -> bool:
        """Whether what it has settled survives a power cut, by its own account."""

    @property
    def events(self) -> bool:
        """Whether it takes what is not a call."""

    def take(self, record: Record) -> None:
        """Take one record; whatever it raises, the record is offered again later."""

    def settle(self) -> None:
        """Return when what was taken is as safe as it gets; the cursor moves after that."""

    def close(self) -> None:
        """Let go of everything; what was not settled is offered again."""


def is_for(destination: Destination, record: Record) -> bool:
    """Say whether a destination takes a record: a call, what amends one, or anything."""
    return destination.events or record.get("event") in (None, Event.FINISHED, Event.DETAIL)


def of_settings(workspace: Workspace, settings: ForwardSettings) -> Destination:
    """Return the destination that a `[[forward]]` table names."""
    if settings.to == "stdout":
        return StandardOutput(events=settings.events)
    if settings.to == "logging":
        return Logging(settings.logger, events=settings.events)
    return SqliteTable(workspace.root / settings.path)


class Function:
    """Hands each record to a function; one that returns has taken it."""

    events: Final = True

    def __init__(self, function: Callable[[Record], object], *, durable: bool = False) -> None:
        self.durable = durable
        self._function = function

    def take(self, record: Record) -> None:
        """Call the function."""
        self._function(record)

    def settle(self) -> None:
        """Nothing: a function that returned is done."""

    def close(self) -> None:
        """Nothing is held."""


class StandardOutput:
    """Writes JSON lines to standard output; what becomes of them there is not known here."""

    durable: Final = False

    def __init__(self, *, events: bool = False) -> None:
        self.events = events

    def take(self, record: Record) -> None:
        """Write one line."""
        sys.stdout.buffer.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))

    def settle(self) -> None:
        """Hand over what is buffered."""
        sys.stdout.buffer.flush()

    def close(self) -> None:
        """Leave standard output open: it is not ours."""


class Logging:
    """
    Writes JSON lines to a logger of Python's, at level INFO.

    Python's handlers swallow their own errors, so that nothing here shows what was lost there.
    """

    durable: Final = False

    def __init__(self, logger: str = "hsagency.calls", *, events: bool = False) -> None:
        self.events = events
        self._logger = logging.getLogger(logger)

    def take(self, record: Record) -> None:
        """Log one line; refuses where nobody would take it."""
        if not (self._logger.hasHandlers() and self._logger.isEnabledFor(logging.INFO)):
            raise UsageError(
                f"No handler takes what the logger {self._logger.name} says at level INFO. "
                "Nothing was forwarded.",
                hint="Set up logging first, in Python, and forward from there: "
                "agency.audit.forward().",
            )
        self._logger.info("%s", orjson.dumps(record).decode())

    def settle(self) -> None:
        """Nothing: a logger says nothing back."""

    def close(self) -> None:
        """Leave the logger as it is."""


_SQL: Final = {"text": "TEXT", "number": "INTEGER", "time": "TEXT"}
_COLUMNS: Final = {frame: _SQL[kind] for frame, kind in CALL_FIELDS.values()}
_NAMES: Final = {disk: frame for disk, (frame, _) in CALL_FIELDS.items()}
_TABLES: Final = f"""
CREATE TABLE IF NOT EXISTS calls (
    {", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())},
    record TEXT NOT NULL,
    PRIMARY KEY (call_id)
);
CREATE INDEX IF NOT EXISTS calls_client_slug_ts ON calls (client_slug, ts);
CREATE TABLE IF NOT EXISTS events (
    hash TEXT PRIMARY KEY, ts TEXT, client_slug TEXT, event TEXT, call_id TEXT, message TEXT,
    record TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_client_slug_ts ON events (client_slug, ts);
"""


class SqliteTable:
    """
    Writes calls and events into two tables of a SQLite file, each once however often it comes.

    `calls` has the columns of `agency.calls()` and the whole record as JSON beside them;
    amendments change its row and stand among the `events` too. What was settled was committed
    and flushed to the disk.
    """

    durable: Final = True
    events: Final = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def take(self, record: Record) -> None:
        """Write one row into the open transaction."""
        database = self._open()
        if "event" not in record:
            self._insert(database, "calls", _row(record))
            return
        text = orjson.dumps(record).decode()
        names = ("hash", "ts", "clientSlug", "event", "callId", "message")
        values = [record.get(name) for name in names]
        database.execute(
            "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", [*values, text]
        )
        if record["event"] in (Event.FINISHED, Event.DETAIL):
            self._amend(database, record)

    def settle(self) -> None:
        """Commit; if that fails, all of it is written again later."""
        if self._connection is None:
            return
        try:
            self._connection.commit()
        except sqlite3.Error:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and forget what was not committed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.closing(connection):
                connection.rollback()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            # One forwarder at a time uses it, from whichever thread.
            database = sqlite3.connect(self._path, check_same_thread=False)
            with contextlib.ExitStack() as undo:
                undo.callback(database.close)
                database.execute("PRAGMA synchronous = FULL")
                database.executescript(_TABLES)
                _widen(database)
                undo.pop_all()
            self._connection = database
        return self._connection

    def _insert(self, database: sqlite3.Connection, table: str, row: Mapping[str, object]) -> None:
        marks = ", ".join("?" for _ in row)
        database.execute(
            f"INSERT OR REPLACE INTO {table} ({', '.join(row)}) VALUES ({marks})",  # noqa: S608
            list(row.values()),
        )

    def _amend(self, database: sqlite3.Connection, record: Record) -> None:
        """Add to a call what was not known when it was written; what was said first stays."""
        found = database.execute(
            "SELECT record FROM calls WHERE call_id = ?", [record["callId"]]
        ).fetchone()
        if found is None:
            return
        call = orjson.loads(found[0])
        said = {name: value for name, value in record.items() if name not in _OF_THE_LINE}
        if call["outcome"] == "unknown" and record["event"] == Event.FINISHED:
            call.pop("outcome")
        self._insert(database, "calls", _row({**said, **call}))


_OF_THE_LINE: Final = frozenset({"schema", "seq", "event", "ts", "hash"})


def _widen(database: sqlite3.Connection) -> None:
    """Add the columns that a table of an earlier version lacks."""
    there = {row[1] for row in database.execute("PRAGMA table_info(calls)")}
    for name, kind in _COLUMNS.items():
        if name not in there:
            database.execute(f"ALTER TABLE calls ADD COLUMN {name} {kind}")


def _row(record: Record) -> dict[str, object]:
    row = {_NAMES[name]: value for name, value in record.items() if name in _NAMES}
    return {**row, "record": orjson.dumps(record).decode()}
