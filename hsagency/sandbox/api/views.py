"""What one call wants to see of records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.definitions import ObjectType
from hsagency.sandbox.contents.record import Record
from hsagency.sandbox.wire import JsonObject, invalid

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


def texts(content: JsonObject, name: str) -> list[str]:
    """Return a list of texts from a body; a missing one is empty."""
    found = content.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise invalid(f"Invalid input JSON: '{name}' must be a list of strings")
    return found


def objects_of(content: JsonObject, name: str) -> list[JsonObject] | None:
    """Return a list of objects from a body, if it has one."""
    found = content.get(name)
    if found is None:
        return None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise invalid(f"Invalid input JSON: '{name}' must be a list of objects")
    return found


def id_of(content: JsonObject, name: str) -> str:
    """Return an id from a body, which may be text or a number."""
    found = content.get(name)
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        raise invalid(f"Invalid input JSON: '{name}' is required and must be a string")
    return str(found)


def id_property_of(content: JsonObject) -> str | None:
    """Return the unique property that the ids of a body are values of."""
    found = content.get("idProperty")
    if found is not None and not isinstance(found, str):
        raise invalid("Invalid input JSON: 'idProperty' must be a string")
    return found


def known_names(kind: ObjectType, asked: list[str]) -> tuple[str, ...]:
    """Return those of the names asked for that are properties."""
    return tuple(sorted({name for name in asked if name in kind.properties}))
