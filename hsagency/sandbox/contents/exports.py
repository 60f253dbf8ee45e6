"""
Exports of one portal: each is a file of records as they were when it was asked for.

HubSpot works on one export at a time, so that a second one waits; the sandbox's clock says how
far they are. The file is fetched without a token, by an address that is signed for a while.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import StringIO
from urllib.parse import urlencode

from hsagency.sandbox.contents.definitions import ObjectType, Property
from hsagency.sandbox.contents.links import Links
from hsagency.sandbox.contents.record import Record
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.wire import ApiError, JsonObject, is_number, stamp

# How many may be started in how long (from HubSpot's guide).
DAY, DAY_MAX = timedelta(hours=24), 30
# How long an address of a file is good for (from HubSpot's guide).
SIGNED_FOR = timedelta(minutes=5)
# How long an export waits at least, and takes: the sandbox's own choice.
WAIT, BASE, A_SECOND = timedelta(seconds=2), timedelta(seconds=5), 2_000
_FIRST_ID = 90_000_001


@dataclass(frozen=True, slots=True)
class Columns:
    """
    What a file holds of each record.

    `names` writes properties by their internal names and `values` choices by theirs, instead of
    by their labels; `linked` adds a column with the ids of linked records of another type.
    """

    properties: tuple[Property, ...]
    names: bool
    values: bool
    linked: ObjectType | None = None

    def header(self) -> list[str]:
        """Return the first line."""
        first = ["Record ID", *(one.name if self.names else one.label for one in self.properties)]
        return first if self.linked is None else [*first, f"Associated {self.linked.singular} IDs"]

    def line(self, record: Record, kind: ObjectType, links: Links) -> list[str]:
        """Return the line of one record."""
        line = [str(record.record_id)]
        line += [self._shown(one, record.properties.get(one.name)) for one in self.properties]
        if self.linked is not None:
            others = links.of(kind, record.record_id, self.linked)
            line.append(";".join(str(id_) for id_ in others))
        return line

    def _shown(self, one: Property, value: str | None) -> str:
        if value is None or self.values or not one.options:
            return value or ""
        labels = {option.value: option.label for option in one.options}
        return ";".join(labels.get(part, part) for part in value.split(";"))


@dataclass(frozen=True, slots=True)
class Task:
    """One export and its file."""

    task_id: int
    name: str
    requested_at: datetime
    starts_at: datetime
    ends_at: datetime
    content: bytes = field(repr=False)

    def shown(self, now: datetime) -> JsonObject:
        """Return how far it is; HubSpot's client wants both times long before they are over."""
        status = "COMPLETE" if self.done(now) else "PROCESSING"
        if now < self.starts_at:
            status = "PENDING"
        return {
            "status": status,
            "requestedAt": stamp(self.requested_at),
            "startedAt": stamp(max(self.requested_at, min(now, self.starts_at))),
            "completedAt": stamp(max(self.requested_at, min(now, self.ends_at))),
        }

    def done(self, now: datetime) -> bool:
        """Whether the file is there."""
        return now >= self.ends_at


class Exports:
    """All exports of one portal; the caller holds the portal's lock."""

    def __init__(self, state: PortalState) -> None:
        self._state = state
        self._tasks: dict[int, Task] = {}
        self._key = f"{state.seed}/{state.portal.portal_id}/exports".encode()

    def start(
        self,
        name: str,
        kind: ObjectType,
        records: Iterable[Record],
        columns: Columns,
        now: datetime,
    ) -> Task:
        """Begin an export, or let it wait for the one before it."""
        recent = [one for one in self._tasks.values() if now - DAY < one.requested_at <= now]
        if len(recent) >= DAY_MAX:
            raise ApiError(
                429,
                f"No more than {DAY_MAX} exports may be started within 24 hours",
                category="RATE_LIMITS",
            )
        lines = self._lines(kind, records, columns)
        content, count = _csv(lines)
        starts = max([now + WAIT, *(one.ends_at for one in recent)])
        task = Task(
            task_id=_FIRST_ID + len(self._tasks),
            name=name,
            requested_at=now,
            starts_at=starts,
            ends_at=starts + BASE + timedelta(seconds=count // A_SECOND),
            content=content,
        )
        self._tasks[task.task_id] = task
        return task

    def get(self, task_id: str) -> Task:
        """Return an export; HubSpot says nothing but 403 of what is not this portal's."""
        found = self._tasks.get(int(task_id)) if is_number(task_id) else None
        if found is None:
            raise ApiError(
                403,
                f"Permission to get export file cannot be granted for exportId {task_id} "
                f"and portalId {self._state.portal.portal_id}",
            )
        return found

    def signed(self, task: Task, now: datetime) -> str:
        """Return the path of a file, with a signature that is good for a while."""
        expires = str(int((now + SIGNED_FOR).timestamp()))
        query = urlencode({"expires": expires, "signature": self._signature(task, expires)})
        return f"/exports/files/{self._state.portal.portal_id}/{task.task_id}?{query}"

    def opened(self, task_id: str, *, expires: str, signature: str, now: datetime) -> Task:
        """Return the export whose file an address opens, or refuse it."""
        task = self._tasks.get(int(task_id)) if is_number(task_id) else None
        good = task is not None and hmac.compare_digest(
            self._signature(task, expires).encode(), signature.encode(errors="replace")
        )
        if task is None or not good or not is_number(expires) or not task.done(now):
            raise ApiError(403, "The signature of this address is not valid")
        if now.timestamp() >= int(expires):
            raise ApiError(403, "This address has expired: ask for the status of the export again")
        return task

    def _signature(self, task: Task, expires: str) -> str:
        text = f"{task.task_id}/{expires}".encode(errors="replace")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()

    def _lines(
        self, kind: ObjectType, records: Iterable[Record], columns: Columns
    ) -> Iterator[list[str]]:
        links = self._state.part(Links)
        yield columns.header()
        for record in records:
            yield columns.line(record, kind, links)


def _csv(lines: Iterator[list[str]]) -> tuple[bytes, int]:
    """Return the file and how many lines it has."""
    file, count = StringIO(), 0
    writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for line in lines:
        writer.writerow(line)
        count += 1
    return file.getvalue().encode(errors="replace"), count
