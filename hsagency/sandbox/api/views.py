"""What one call wants to see of records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hsagency.sandbox.bodies import texts
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.definitions import ObjectType
from hsagency.sandbox.contents.record import Record
from hsagency.sandbox.wire import JsonObject

PAGE_MAX, HISTORY_PAGE_MAX = 100, 50


@dataclass(frozen=True, slots=True)
class View:
    """Which properties of a record are shown, and as of when."""

    names: tuple[str, ...]
    history: tuple[str, ...] = ()
    as_of: str | None = None
    # what a read adds about a record's associations
    links: Callable[[Record], JsonObject] | None = None

    @property
    def most(self) -> int:
        """How many records fit into one answer; with their history it is half as many."""
        return HISTORY_PAGE_MAX if self.history else PAGE_MAX

    def of(self, record: Record) -> JsonObject:
        """Return a record as this call sees it."""
        shown = record.shown(self.names, as_of=self.as_of)
        if self.history:
            shown["propertiesWithHistory"] = {
                name: record.history(name, as_of=self.as_of) for name in self.history
            }
        return shown if self.links is None else shown | self.links(record)


def view_of_body(call: Call, kind: ObjectType, content: JsonObject) -> View:
    """Return what the body of a search or a batch read asks for."""
    return View(
        kind.wanted(texts(content, "properties")),
        history=known_names(kind, texts(content, "propertiesWithHistory")),
        as_of=call.as_of,
    )


def known_names(kind: ObjectType, asked: list[str]) -> tuple[str, ...]:
    """Return those of the names asked for that are properties."""
    return tuple(sorted({name for name in asked if name in kind.properties}))
