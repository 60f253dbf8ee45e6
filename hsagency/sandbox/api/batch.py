"""
Many records in one request: read, create, update, upsert, archive.

A batch of writes is judged before any of it is done: one bad input refuses all, unless it carries
an `objectWriteTraceId`; then it is reported beside what was written, with 207 (facts 4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from hsagency.sandbox.api.linked import Bond, bind, bonds_of, release
from hsagency.sandbox.api.many import complete, failure
from hsagency.sandbox.api.views import view_of_body
from hsagency.sandbox.bodies import id_of, inputs, text_of
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.record import Record
from hsagency.sandbox.contents.values import Properties, demand_required, judged
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import ApiError, JsonObject, invalid, not_found

READ, WRITE = ("crm.objects.{type}.read",), ("crm.objects.{type}.write",)

# Writes one input that was judged, and returns what is answered about it.
Writing: TypeAlias = Callable[[], JsonObject]


def read_batch(call: Call) -> Outcome:
    """Return the records asked for, each once; ids that lead nowhere make the answer a 207."""
    store, content = call.state.store(call.kind), call.content
    view = view_of_body(call, store.kind, content)
    ids = dict.fromkeys(id_of(one) for one in inputs(content, most=view.most))
    id_property = text_of(content, "idProperty", None)
    found: dict[int, Record] = {}
    missing = []
    for id_ in ids:
        record = store.find(id_, id_property=id_property, archived=call.archived, as_of=call.as_of)
        if record is None:
            missing.append(id_)
        else:
            found[record.record_id] = record
    errors = [_missing(call, missing)] if missing else []
    return complete(call, [view.of(record) for record in found.values()], errors)


def create_batch(call: Call) -> Outcome:
    """Add records."""
    return _write(call, _Judge(call).created, status=201)


def update_batch(call: Call) -> Outcome:
    """Change records; ids that lead nowhere make the answer a 207."""
    return _write(call, _Judge(call).updated)


def upsert_batch(call: Call) -> Outcome:
    """Change the records that a unique property finds, and add those it does not."""
    return _write(call, _Judge(call).upserted)


def archive_batch(call: Call) -> Outcome:
    """Move records to the recycling bin; those that are not there may be named all the same."""
    store = call.state.store(call.kind)
    for id_ in [id_of(one) for one in inputs(call.content)]:
        record = store.find(id_)
        if record is not None:
            store.archive(record, at=call.now)
            release(call.state, store.kind, record)
    return 204, None


def batch_routes() -> list[Route]:
    """Return the routes of this module."""
    return routes_at(
        "/crm/v3/objects/{type}/batch",
        "/crm/objects/{dated}/{type}/batch",
        tails={
            "/read": {"POST": Endpoint(read_batch, READ)},
            "/create": {"POST": Endpoint(create_batch, WRITE)},
            "/update": {"POST": Endpoint(update_batch, WRITE)},
            "/upsert": {"POST": Endpoint(upsert_batch, WRITE)},
            "/archive": {"POST": Endpoint(archive_batch, WRITE)},
        },
    )


class _Judge:
    """Decides on the inputs of one batch; none may take what another one took."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._store = call.state.store(call.kind)
        self._kind = self._store.kind
        self._taken: set[tuple[str, str]] = set()
        self._bonds: list[Bond] = []

    def created(self, content: JsonObject) -> Writing:
        """Return what adds a record."""
        bonds = bonds_of(self._call, self._kind, content, earlier=self._bonds)
        write = self._creating(judged(self._kind, content), bonds)
        self._bonds += bonds
        return write

    def updated(self, content: JsonObject) -> Writing:
        """Return what changes the record that is named."""
        id_, id_property = id_of(content), text_of(content, "idProperty", None)
        if id_property is not None:
            self._demand_unique(id_property)
        record = self._store.find(id_, id_property=id_property)
        if record is None:
            raise not_found(_lost(self._call))
        return self._updating(record, judged(self._kind, content), id_)

    def upserted(self, content: JsonObject) -> Writing:
        """Return what changes the record that is named, or adds it."""
        id_, id_property = id_of(content), text_of(content, "idProperty", None)
        self._demand_unique(id_property)
        given = content.get("properties")
        if isinstance(given, dict):
            content = {"properties": {id_property: id_, **given}}
        properties = judged(self._kind, content)
        record = self._store.find(id_, id_property=id_property)
        if record is not None:
            write = self._updating(record, properties, id_)
        else:
            self._take("id", id_.lower(), invalid(_duplicate(id_)))
            write = self._creating(properties)
        return lambda: {**write(), "new": record is None}

    def _creating(self, properties: Properties, bonds: Iterable[Bond] = ()) -> Writing:
        demand_required(self._kind, properties)
        self._store.demand_free(properties)
        self._take_all(properties)

        def write() -> JsonObject:
            record = self._store.create(properties, at=self._call.now)
            bind(self._call.state, self._kind, record, bonds)
            return record.shown(sorted(record.properties))

        return write

    def _updating(self, record: Record, properties: Properties, id_: str) -> Writing:
        self._take("record", str(record.record_id), invalid(_duplicate(id_)))
        self._store.demand_free(properties, besides=record)
        self._take_all(properties)

        def write() -> JsonObject:
            self._store.update(record, properties, at=self._call.now)
            return record.shown(sorted({*properties, *self._kind.stamps}))

        return write

    def _demand_unique(self, name: str | None) -> None:
        if name not in self._kind.unique:
            raise invalid(
                f"Unable to perform update/upsert by non-unique {self._kind.type_id} property "
                f"{name} in portal ID {self._call.state.portal.portal_id}"
            )

    def _take_all(self, properties: Properties) -> None:
        for name in self._kind.unique:
            value = properties.get(name)
            if value:
                key = f"unique {name}"
                self._take(key, value.lower(), self._store.taken(name, value, None))

    def _take(self, what: str, value: str, refusal: Exception) -> None:
        if (what, value) in self._taken:
            raise refusal
        self._taken.add((what, value))


def _write(call: Call, judge: Callable[[JsonObject], Writing], *, status: int = 200) -> Outcome:
    """(1) Judge every input, (2) write those that are good, unless a bad one refuses all."""
    good: list[tuple[JsonObject, Writing]] = []
    errors, missing = [], []
    for one in inputs(call.content):
        try:
            good.append((one, judge(one)))  # (1)
        except ApiError as error:
            trace = one.get("objectWriteTraceId")
            if isinstance(trace, str):
                errors.append(failure(error, {"objectWriteTraceId": [trace]}))
            elif error.status == 404:
                missing.append(id_of(one))
            else:
                raise
    if missing:
        errors.append(_missing(call, missing))
    results = [_traced(one, write()) for one, write in good]  # (2)
    return complete(call, results, errors, status=status)


def _traced(one: JsonObject, result: JsonObject) -> JsonObject:
    trace = one.get("objectWriteTraceId")
    return {**result, "objectWriteTraceId": trace} if isinstance(trace, str) else result


def _missing(call: Call, ids: list[str]) -> JsonObject:
    return failure(not_found(_lost(call)), {"ids": ids})


def _lost(call: Call) -> str:
    word = call.kind.singular.upper()
    return f"Could not get some {word} objects, they may be deleted or not exist"


def _duplicate(id_: str) -> str:
    return f"Duplicate IDs found in batch input: [{id_}]. IDs must be unique"
