"""
The index of connections: `connections.json`, one file, no secrets.

Written by compare-and-swap under a lock, so that of two writers one wins and the other is
told; a file that cannot be read is an error, never an empty index. One portal, one
fingerprint and one slug belong together: a second is refused by the name of the first.

Schema 2 knows of stops and of data centres that calls are led to, schema 3 of OAuth and of
removed clients; an older version would call a stopped portal, or send what OAuth keeps as if it
were a token, so it must refuse the file. One of an older schema is read as it is, and kept
beside the new one when that is first written.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import orjson
from pydantic import TypeAdapter

from hsagency.durable import locked, read_regular, write_private
from hsagency.errors import Conflict, CorruptFile, NewerSchema, UsageError, WorkspaceError
from hsagency.portals import ClientSlug, Connection, Tombstone, parse_portal_id, parse_slug

SCHEMA: Final = 3
_TOMBSTONES_SINCE: Final = 3
_Tombstones = dict[ClientSlug, Tombstone]
_MOST: Final = 100_000  # generations: each has a name in the store that a removal asks for
_NAMES: Final = 1_000  # of fields, that are remembered in the other case
_TICK: Final = 100_000_000  # nanoseconds; file systems tell times apart in steps of up to 10 ms


@cache
def _adapter(kind: type[Connection | Tombstone]) -> TypeAdapter[Any]:
    """Return what reads and writes rows of a kind, built when the first is met."""
    return TypeAdapter(kind)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The index as it was at one version."""

    version: int
    connections: Mapping[ClientSlug, Connection]
    tombstones: Mapping[ClientSlug, Tombstone]
    schema: int = SCHEMA

    def check(self) -> None:
        """Raise `Conflict` if one portal or one credential stands under two slugs."""
        clash = self.clash()
        if clash is not None:
            what, first, second = clash
            raise Conflict(
                f"{what} is already connected as {first}; {second} was not stored.",
                hint="Use the client that is there; to have it under another slug, onboard it in a "
                "new workspace.",
            )

    def owners(self) -> dict[int, str]:
        """Return whose each connected portal is, by portal id."""
        return {int(one.portal_id): slug for slug, one in self.connections.items()}

    def clash(self) -> tuple[str, ClientSlug, ClientSlug] | None:
        """Return what stands under two slugs, and which two; nothing if all is well."""
        seen: dict[object, ClientSlug] = {}
        for slug, connection in self.connections.items():
            for what, key in (
                (f"Portal {connection.portal_id}", connection.portal_id),
                ("This credential", connection.fingerprint),
            ):
                if key in seen:
                    return what, seen[key], slug
                seen[key] = slug
        return None


class Index:
    """Reads and writes one workspace's `connections.json`."""

    def __init__(self, path: Path, *, lock: Path) -> None:
        self._path, self._lock = path, lock
        self._cached: tuple[tuple[int, int, int], Snapshot] | None = None
        self._reading = threading.Lock()

    def create(self) -> None:
        """Write an empty index; a new workspace has one from the start."""
        self._write(Snapshot(0, {}, {}))

    def read(self) -> Snapshot:
        """Return the index as it is now; raises `CorruptFile` or `NewerSchema`."""
        with self._reading:
            try:
                seen = os.stat(self._path)  # noqa: PTH116  (once a call, so it must be quick)
                stamp = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
                if self._cached is not None and self._cached[0] == stamp:
                    return self._cached[1]
                # Taken first: a write within the same tick of the clock leaves no other stamp.
                settled = time.time_ns() - seen.st_mtime_ns > _TICK
                found = _parse(read_regular(self._path), self._path)
                self._cached = (stamp, found) if settled else None
            except OSError as error:
                raise CorruptFile(
                    f"The index {self._path} cannot be read ({error.strerror}); nothing was done.",
                    hint="Restore it from a backup: without it no connection is known.",
                ) from error
            return found

    def _read_anew(self) -> Snapshot:
        with self._reading:
            self._cached = None
        return self.read()

    def write(
        self, change: Callable[[dict[ClientSlug, Connection]], None], *, expect: int | None = None
    ) -> Snapshot:
        """
        Apply a change to the connections and return the new index.

        `expect` is the version the change was planned against: raises `Conflict` if somebody
        wrote in between. A client that is connected again has its tombstone taken away; raises
        `Conflict` while its removal is not finished.
        """
        return self._change(lambda connections, _: change(connections), expect=expect)

    def bury(self, tombstone: Tombstone, *, instead_of: Connection) -> Snapshot:
        """Put a tombstone in a connection's place; raises `Conflict` if it is another by now."""

        def change(connections: dict[ClientSlug, Connection], tombstones: _Tombstones) -> None:
            slug = tombstone.client_slug
            there = connections.pop(slug, None)
            if there is None or _removed_as(there) != _removed_as(instead_of):
                raise Conflict(f"{slug} was changed by somebody else; nothing was removed.")
            tombstones[slug] = tombstone

        return self._change(change)

    def settle(self, tombstone: Tombstone) -> Snapshot:
        """Write what is known of a removal now; raises `Conflict` if the client is back."""

        def change(_: dict[ClientSlug, Connection], tombstones: _Tombstones) -> None:
            if tombstone.client_slug not in tombstones:
                raise Conflict(f"{tombstone.client_slug} is not removed any more.")
            tombstones[tombstone.client_slug] = tombstone

        return self._change(change)

    def _change(
        self,
        change: Callable[[dict[ClientSlug, Connection], _Tombstones], None],
        *,
        expect: int | None = None,
    ) -> Snapshot:
        with self._writing(), locked(self._lock):
            before = self._read_anew()
            if expect is not None and before.version != expect:
                raise Conflict("The index was changed by somebody else; nothing was written.")
            connections, tombstones = dict(before.connections), dict(before.tombstones)
            change(connections, tombstones)
            if (connections, tombstones) == (before.connections, before.tombstones):
                return before
            after = Snapshot(
                before.version + 1, connections, _without_risen(connections, tombstones)
            )
            after.check()
            self._keep(before)
            self._write(after)
            return self._read_anew()

    def update(self, slug: ClientSlug, *, generation: int, **changes: Any) -> None:
        """Change fields of one connection, unless another generation took its place."""
        self.edit(slug, generation=generation, change=lambda one: replace(one, **changes))

    def edit(
        self, slug: ClientSlug, *, generation: int, change: Callable[[Connection], Connection]
    ) -> None:
        """Put what `change` makes of one connection in its place, as `update` does."""

        def edit(connections: dict[ClientSlug, Connection]) -> None:
            connection = connections.get(slug)
            if connection is not None and connection.generation == generation:
                connections[slug] = change(connection)

        self.write(edit)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WorkspaceError(
                f"The index {self._path} cannot be written ({error.strerror}); it was left as it "
                "was.",
                hint="See to the disk and to who owns the folder, then try again.",
            ) from error

    def _keep(self, before: Snapshot) -> None:
        """Keep a file of an older schema as it was, before a new one takes its place."""
        if before.schema < SCHEMA:
            name = f"{self._path.stem}.schema-{before.schema}.version-{before.version}.json"
            write_private(self._path.with_name(name), read_regular(self._path))

    def _write(self, snapshot: Snapshot) -> None:
        content = {
            "schema": SCHEMA,
            "version": snapshot.version,
            "connections": {
                slug: _rename(_adapter(Connection).dump_python(one, mode="json"), _camel)
                for slug, one in sorted(snapshot.connections.items())
            },
            "tombstones": {
                slug: _tombstone_as_json(one) for slug, one in sorted(snapshot.tombstones.items())
            },
        }
        write_private(self._path, orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")


def _parse(content: bytes, path: Path) -> Snapshot:
    try:
        data = json.loads(content, object_pairs_hook=_once)
        schema = int(data["schema"])
        snapshot = _snapshot(data, schema) if schema <= SCHEMA else None
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
        UsageError,
    ) as error:
        raise CorruptFile(
            f"The index {path} is damaged; it was left as it is and nothing was done.",
            hint="Restore it from a backup; the secrets and the audit log are not affected.",
        ) from error
    if snapshot is None:
        raise NewerSchema(
            f"The index {path} has schema {schema}; this hsagency reads up to {SCHEMA}.",
            hint="Use the later hsagency that wrote it.",
        )
    clash = snapshot.clash()
    if clash is not None:
        what, first, second = clash
        raise CorruptFile(
            f"{what} stands in the index {path} as {first} and as {second}; nothing was done.",
            hint="Somebody edited it: take out the one that is wrong, or restore a backup.",
        )
    return snapshot


def _snapshot(data: dict[str, Any], schema: int) -> Snapshot:
    if schema < 1:
        raise ValueError("there was never such a schema")
    connections = {
        parse_slug(slug): _connection(slug, one) for slug, one in data["connections"].items()
    }
    tombstones = {
        parse_slug(slug): _tombstone(slug, one) for slug, one in data["tombstones"].items()
    }
    if tombstones.keys() & connections.keys() or (tombstones and schema < _TOMBSTONES_SINCE):
        raise ValueError("removed and connected at once, or removed before anybody could be")
    version = int(data["version"])
    return Snapshot(version, MappingProxyType(connections), MappingProxyType(tombstones), schema)


def _tombstone(slug: str, content: Any) -> Tombstone:
    read = _rename(content, _snake)
    if read.get("pending") is not None:
        read["pending"] = _connection(slug, read["pending"])
    tombstone: Tombstone = _adapter(Tombstone).validate_python(read)
    parse_portal_id(tombstone.portal_id)
    if tombstone.client_slug != slug or None in (
        tombstone.added_at.tzinfo,
        tombstone.removed_at.tzinfo,
    ):
        raise ValueError("a tombstone under another slug, or a time without its zone")
    if not 1 <= tombstone.generation <= _MOST:
        raise ValueError("never was such a generation")
    pending = tombstone.pending
    if pending is not None and _removed_as(pending) != _removed_as(tombstone):
        raise ValueError("a tombstone of another connection than the one that it keeps")
    return tombstone


def _tombstone_as_json(tombstone: Tombstone) -> dict[str, Any]:
    shown: dict[str, Any] = _rename(_adapter(Tombstone).dump_python(tombstone, mode="json"), _camel)
    shown["pending"] = as_json(tombstone.pending) if tombstone.pending else None
    return shown


def _without_risen(
    connections: Mapping[ClientSlug, Connection], tombstones: _Tombstones
) -> _Tombstones:
    """
    Return the tombstones of those who are not connected again.

    Who is has the same portal and a later generation, as no name of a secret is used twice.
    """
    for slug in connections.keys() & tombstones.keys():
        stone, risen = tombstones[slug], connections[slug]
        if stone.pending is not None:
            raise Conflict(
                f"The removal of {slug} is not finished; it was not connected.",
                hint=f"Finish it: hsagency remove {slug}",
            )
        if (stone.portal_id, stone.api_base) != (risen.portal_id, risen.api_base):
            raise Conflict(
                f"{slug} was portal {stone.portal_id} until it was removed; portal "
                f"{risen.portal_id} was not connected under that slug.",
                hint="Choose another slug: what is logged under this one is that portal's.",
            )
        if risen.generation <= stone.generation:
            raise Conflict(f"{slug} was removed meanwhile; it was not connected.")
    return {slug: one for slug, one in tombstones.items() if slug not in connections}


def _removed_as(one: Connection | Tombstone) -> tuple[object, ...]:
    """Return what a removal was planned for; a proof that is fresh again is no change."""
    return one.portal_id, one.api_base, one.generation, one.fingerprint, one.kind


def _connection(slug: str, content: Any) -> Connection:
    """Read one connection; what no program of ours would have written is refused."""
    connection: Connection = _adapter(Connection).validate_python(_rename(content, _snake))
    parse_portal_id(connection.portal_id)
    moments = [connection.added_at, connection.last_rotated_at]
    moments += [fact.at for fact in connection.facts.values()]
    seen = (connection.proof, connection.stopped, connection.trouble, connection.routed)
    moments += [one.at for one in seen if one]
    moments += [connection.verified_at] if connection.verified_at else []
    if connection.client_slug != slug or any(at.tzinfo is None for at in moments):
        raise ValueError("a connection under another slug, or a time without its zone")
    return connection


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object of its pairs; a name that stands twice would hide the first."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _rename(value: Any, rule: Callable[[str], str]) -> Any:
    """Return JSON with the names of its fields in the other case; values stay."""
    if isinstance(value, dict):
        return {rule(name): _rename(one, rule) for name, one in value.items()}
    return value


@lru_cache(_NAMES)
def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


@lru_cache(_NAMES)
def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda found: "_" + found[0].lower(), name)


def as_json(connection: Connection) -> dict[str, Any]:
    """Return a connection as the JSON object that files and `--json` show."""
    renamed: dict[str, Any] = _rename(
        _adapter(Connection).dump_python(connection, mode="json"), _camel
    )
    return renamed
