"""An index of an earlier schema is read and kept beside the new one; a later one is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from hsagency.errors import CorruptFile, NewerSchema
from hsagency.index import SCHEMA, Index
from hsagency.portals import Cause, ClientSlug, Connection, Stop
from tests.support import Connected

ACME: Final = ClientSlug("acme-corp")
AT: Final = "2026-10-14T12:30:15.123456Z"
FIRST: Final[dict[str, Any]] = {  # as the release before stops wrote it
    "schema": 1,
    "version": 7,
    "connections": {
        "acme-corp": {
            "clientSlug": "acme-corp",
            "portalId": 1,
            "connectionType": "config_and_audit",
            "kind": "service_key",
            "generation": 3,
            "fingerprint": "0000000000000001",
            "addedAt": AT,
            "lastRotatedAt": AT,
            "status": "connected",
            "statusEvidence": "",
            "hublet": "na1",
            "apiBase": "",
            "binding": "",
            "proof": None,
            "facts": {"name": {"value": "Acme", "provenance": "fetched", "at": AT, "evidence": ""}},
        }
    },
    "tombstones": {},
}
SECOND: Final[dict[str, Any]] = {  # as the release before OAuth wrote it
    **FIRST,
    "schema": 2,
    "connections": {
        "acme-corp": {
            **FIRST["connections"]["acme-corp"],
            "stopped": {"reason": "It was suspended.", "at": AT, "statusCode": 403}
            | {"correlationId": None},
            "routedTo": "eu1",
            "routed": {"at": AT, "source": "na1"},
        }
    },
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "connections.json"
    path.write_text(json.dumps(FIRST, indent=3))  # by hand: not as we would write it
    path.chmod(0o600)
    return path


@pytest.fixture
def index(path: Path) -> Index:
    return Index(path, lock=path.with_name("lock"))


def stopped(one: Connection) -> Connection:
    return replace(one, stopped=Stop(reason="It was suspended.", at=datetime.now(UTC)))


def kept(path: Path) -> list[Path]:
    return sorted(path.parent.glob("connections.schema-*"))


def test_an_index_of_the_first_schema_is_read_without_being_touched(
    index: Index, path: Path
) -> None:
    before = path.read_bytes()
    found = index.read()
    assert (found.version, list(found.connections)) == (7, [ACME])
    one = found.connections[ACME]
    assert (one.generation, one.stopped, one.routed_to) == (3, None, None)
    index.write(lambda _: None)
    assert path.read_bytes() == before
    assert kept(path) == []


def test_its_first_change_keeps_the_old_file_and_writes_the_new_schema(
    index: Index, path: Path
) -> None:
    before = path.read_bytes()
    index.edit(ACME, generation=3, change=stopped)
    (old,) = kept(path)
    assert old.name == "connections.schema-1.version-7.json"
    assert old.read_bytes() == before
    assert old.stat().st_mode & 0o777 == 0o600
    written = json.loads(path.read_bytes())
    assert (written["schema"], written["version"]) == (SCHEMA, 8)
    assert written["tombstones"] == {}
    assert written["connections"]["acme-corp"]["stopped"]["reason"] == "It was suspended."
    index.update(ACME, generation=3, hublet="eu1")
    assert kept(path) == [old]
    again = Index(path, lock=path.with_name("lock")).read().connections[ACME]
    assert again.stopped is not None
    assert again.hublet == "eu1"


def test_an_index_of_the_second_schema_keeps_its_stops_and_routes(index: Index, path: Path) -> None:
    path.write_text(json.dumps(SECOND))
    before, one = path.read_bytes(), index.read().connections[ACME]
    assert one.stopped is not None
    assert (one.stopped.status_code, one.stopped.cause, one.cause) == (403, Cause.UNKNOWN, None)
    assert one.routed_to == "eu1"
    index.update(ACME, generation=3, hublet="eu1")
    (old,) = kept(path)
    assert (old.name, old.read_bytes()) == ("connections.schema-2.version-7.json", before)
    assert json.loads(path.read_bytes())["schema"] == SCHEMA
    again = Index(path, lock=path.with_name("lock")).read().connections[ACME]
    assert (again.stopped, again.routed) == (one.stopped, one.routed)


@pytest.mark.parametrize("content", [FIRST, SECOND], ids=["first", "second"])
def test_nobody_was_removed_before_this_schema(
    index: Index, path: Path, content: dict[str, Any]
) -> None:
    path.write_text(json.dumps({**content, "tombstones": {"gone-ltd": {"removedAt": AT}}}))
    with pytest.raises(CorruptFile):
        index.read()


def test_an_old_file_that_was_put_back_is_kept_once_more(index: Index, path: Path) -> None:
    before = path.read_bytes()
    index.edit(ACME, generation=3, change=stopped)
    path.write_bytes(before.replace(b'"version": 7', b'"version": 9'))
    index.edit(ACME, generation=3, change=stopped)
    names = [one.name for one in kept(path)]
    assert names == ["connections.schema-1.version-7.json", "connections.schema-1.version-9.json"]
    assert kept(path)[0].read_bytes() == before


def test_a_stop_is_never_in_a_file_that_a_version_without_stops_reads(fleet: Connected) -> None:
    slug = ClientSlug(fleet.slugs[0])
    fleet.agency.stops.stop(fleet.agency.connection(slug), "It was suspended.", status_code=403)
    path = fleet.agency.workspace.root / "connections.json"
    assert json.loads(path.read_bytes())["schema"] > FIRST["schema"]


def test_a_later_schema_is_refused_with_the_sentence(index: Index, path: Path) -> None:
    later = {**FIRST, "schema": SCHEMA + 1, "connections": "in a form of its own"}
    path.write_text(json.dumps(later))
    before = path.read_bytes()
    said = f"has schema {SCHEMA + 1}; this hsagency reads up to {SCHEMA}"
    with pytest.raises(NewerSchema, match=said) as caught:
        index.read()
    assert "later hsagency" in caught.value.hint
    with pytest.raises(NewerSchema):
        index.edit(ACME, generation=3, change=stopped)
    assert path.read_bytes() == before


@pytest.mark.parametrize("schema", [0, -1])
def test_a_schema_that_never_was_is_damage(index: Index, path: Path, schema: int) -> None:
    path.write_text(json.dumps({**FIRST, "schema": schema}))
    with pytest.raises(CorruptFile):
        index.read()
