"""
The object ids that an answer names, seen while the caller reads it.

What is created or changed in the wrong portal can only be found again by its ids, and those
of new objects are in the answer alone. Nothing is read ahead, held back or changed for them:
the body is watched on its way to the caller, up to a size, and an answer that the caller does
not read to its end, or that is larger, leaves no ids. That none are recorded does therefore
not say that there were none. Only numbers and UUIDs are written down (other ids may be
personal data or names); what is dropped is counted.

A batch that archives, and the deletion of somebody's data, are answered without a body. There
the ids are those of the request. Of a link between two records the first is among the ids, and
the second among `otherObjectIds`; an answer that tells of both directions is read in that of
its first part. Of members of a list, those that came and those that went are the ids.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, cast

import httpx
import orjson

from hsagency.errors import AuditError
from hsagency.routes import OperationClass, Touched, is_lookup, looks_up

Note = Callable[[Mapping[str, object]], None]

MOST_IDS: Final = 100
"""How many ids a record lists; of more, it has the count and a digest."""

MOST_BYTES: Final = 4 << 20
"""How much of a body is looked at, packed and unpacked."""

_ID: Final = re.compile(
    r"[0-9]{1,20}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII
)
# Of what is configuration, a workflow that may be switched on is sent as well as written.
_CHANGING: Final = frozenset({OperationClass.WRITE, OperationClass.DELETE, OperationClass.SEND})
_FAMILIES: Final = frozenset({"records", "config"})
_PACKINGS: Final = ("", "identity", "gzip", "deflate")


def observe(request: httpx.Request, response: httpx.Response, call: Touched, *, note: Note) -> None:
    """
    Have the ids that an answer names noted, now or once the caller has read it.

    Never raises, delays or changes anything: what cannot be noted is not, and an audit log
    that cannot be written refuses the next call.
    """
    if call.operation_class not in _CHANGING or call.family not in _FAMILIES:
        return
    if response.status_code == 204:
        _note(note, _archived(request, call))
    elif 200 <= response.status_code < 300 and _may_name_ids(response.headers):
        stream = cast("httpx.SyncByteStream", response.stream)
        response.stream = _Observed(stream, response=response, call=call, note=note)


class _Observed(httpx.SyncByteStream):
    """A body on its way to the caller; what has passed is looked at when it ends."""

    def __init__(
        self, stream: httpx.SyncByteStream, *, response: httpx.Response, call: Touched, note: Note
    ) -> None:
        self._stream, self._call, self._note = stream, call, note
        self._status = response.status_code
        self._packed = response.headers.get("content-encoding", "").strip().lower() not in (
            "",
            "identity",
        )
        self._kept: list[bytes] | None = []
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            self._keep(part)
            yield part
        self._look()

    def close(self) -> None:
        """Let go of the connection."""
        try:
            self._stream.close()
        finally:
            self._look()  # a caller may stop at the last byte rather than at the end

    def _keep(self, part: bytes) -> None:
        if self._kept is None:
            return
        self._size += len(part)
        if self._size > MOST_BYTES:
            self._kept = None
        else:
            self._kept.append(part)

    def _look(self) -> None:
        kept, self._kept = self._kept, None
        if kept:
            body = b"".join(kept)
            body = _unpacked(body) if self._packed else body
            known = self._call.template.split("/")
            _note(self._note, named(body, status=self._status, known=known))


def named(body: bytes, *, status: int, known: Collection[str] = ()) -> dict[str, object]:
    """
    Return what a body says of ids, as fields of a record; half a body says nothing.

    `known` are ids in the path, which need no second record. Of a batch in which a part
    failed (207), how many parts did and did not is said as well.

    >>> named(b'{"id": "51", "properties": {}}', status=201)["objectIds"]
    ['51']
    """
    try:
        answer = orjson.loads(body)
    except ValueError:
        return {}
    if not isinstance(answer, dict):
        return {}
    fields = _fields(_changed(answer), source="answer")
    if status == 207:
        return {**fields, **_parts(answer)}
    said = [fields.get("objectIds", []), fields.get("otherObjectIds", [])]
    news = [one for ids in said if isinstance(ids, list) for one in ids if one not in known]
    return fields if news or "objectIdsDropped" in fields else {}


def digest(ids: Iterable[str]) -> str:
    """Return the SHA-256 of ids in the order of their characters, one a line."""
    return hashlib.sha256("".join(f"{one}\n" for one in sorted(ids)).encode()).hexdigest()


class _Ids(NamedTuple):
    """Ids as they were given: of what was changed, and of what it was linked to."""

    changed: list[object]
    others: list[object]


_ENVELOPES: Final = ("list", "folder")
_NAMES: Final = ("id", "listId", "typeId", "fromObjectId")
_MEMBERS: Final = ("recordIdsAdded", "recordsIdsAdded", "recordIdsRemoved")  # HubSpot's spelling


def _changed(answer: Mapping[str, object]) -> _Ids:
    results = answer.get("results")
    if isinstance(results, list):
        return _given(_one_way(results))
    members = [answer[name] for name in _MEMBERS if isinstance(answer.get(name), list)]
    if members:
        return _Ids([one for ids in members for one in cast("list[object]", ids)], [])
    inside = (answer.get(name) for name in _ENVELOPES)
    return _given([next((one for one in inside if isinstance(one, dict)), answer)])


def _one_way(results: list[object]) -> list[object]:
    """Leave out the other direction of links, which stands beside each."""
    kinds = [_kind_of_link(one) for one in results]
    return [one for one, kind in zip(results, kinds, strict=True) if kind == kinds[0]]


def _kind_of_link(part: object) -> object:
    spec = part.get("associationSpec") if isinstance(part, dict) else None
    return spec.get("associationTypeId") if isinstance(spec, dict) else None


def _given(parts: Iterable[object]) -> _Ids:
    found = _Ids([], [])
    for part in parts:
        if isinstance(part, dict):
            found.changed.extend(_named_in(part, *_NAMES) or _named_at(part.get("from")))
            found.others.extend(_named_in(part, "toObjectId") or _named_at(part.get("to")))
    return found


def _named_in(part: Mapping[str, object], *names: str) -> list[object]:
    return [part[name] for name in names if part.get(name) is not None][:1]


def _named_at(end: object) -> list[object]:
    """Return the ids at one end of a link, which may be of several."""
    ends = end if isinstance(end, list) else [end]
    return [one["id"] for one in ends if isinstance(one, dict) and one.get("id") is not None]


def _fields(given: _Ids, *, source: str) -> dict[str, object]:
    """Return ids as fields: some of them, how many, a digest of all, and how many were dropped."""
    fields: dict[str, object] = {}
    dropped = 0
    for ids, (listed, count, digested) in zip(given, _FIELDS, strict=True):
        texts = [str(one) if type(one) is int else one for one in ids]
        safe = [one for one in texts if isinstance(one, str) and _ID.fullmatch(one)]
        unique = list(dict.fromkeys(safe))
        dropped += len(texts) - len(safe)
        if unique:
            fields |= {listed: unique[:MOST_IDS], count: len(unique), digested: digest(unique)}
    if fields.get("objectIdCount") == 1:
        (fields["objectId"],) = cast("list[str]", fields["objectIds"])
    if fields:
        fields["objectIdsSource"] = source
    return {**fields, "objectIdsDropped": dropped} if dropped else fields


_FIELDS: Final = (
    ("objectIds", "objectIdCount", "objectIdsDigest"),
    ("otherObjectIds", "otherObjectIdCount", "otherObjectIdsDigest"),
)


def _parts(answer: Mapping[str, object]) -> dict[str, object]:
    results, errors, count = (answer.get(name) for name in ("results", "errors", "numErrors"))
    failed = len(errors) if isinstance(errors, list) else None
    if type(count) is int and 0 <= count < 1 << 53:
        failed = count
    parts = {"partsOk": len(results) if isinstance(results, list) else None, "partsFailed": failed}
    return {name: value for name, value in parts.items() if value is not None}


_WITHOUT_ANSWER: Final = ("/batch/archive", "/batch/labels/archive", "/gdpr-delete")


def _archived(request: httpx.Request, call: Touched) -> dict[str, object]:
    """Return the ids that a call was to archive, where the whole request is at hand."""
    if not call.template.endswith(_WITHOUT_ANSWER):
        return {}
    body = _at_hand(request)
    # Looked up by a property, a number may be a telephone number.
    if body is None or len(body) > MOST_BYTES or looks_up(request.url.query.decode("ascii")):
        return {}
    try:
        asked = orjson.loads(body)
    except ValueError:
        return {}
    if not isinstance(asked, dict) or _looks_up(asked):
        return {}
    inputs = asked.get("inputs")
    given = inputs if isinstance(inputs, list) else [{"id": asked.get("objectId")}]
    return _fields(_given(given), source="request")


def _looks_up(asked: object) -> bool:
    """Say whether any part of a body, read as HubSpot reads it, names a property to look up by."""
    parts = [asked]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            if any(is_lookup(name) for name in part):
                return True
            parts.extend(part.values())
        elif isinstance(part, list):
            parts.extend(part)
    return False


def _at_hand(request: httpx.Request) -> bytes | None:
    """Return the body of a request, unless the caller streams it."""
    try:
        return request.content
    except httpx.RequestNotRead:
        return None


def _may_name_ids(headers: httpx.Headers) -> bool:
    length = headers.get("content-length", "")
    fits = not (length.isascii() and length.isdigit()) or int(length[:18]) <= MOST_BYTES
    packing = headers.get("content-encoding", "").strip().lower()
    return fits and packing in _PACKINGS and "json" in headers.get("content-type", "")


def _unpacked(raw: bytes) -> bytes:
    """Unpack no more than is looked at, whatever a few bytes claim to hold."""
    try:
        body = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(raw, MOST_BYTES + 1)
    except zlib.error:
        return b""  # the caller is told when reading it
    return body if len(body) <= MOST_BYTES else b""


def _note(note: Note, fields: Mapping[str, object]) -> None:
    if fields:
        with contextlib.suppress(AuditError):
            note(fields)
