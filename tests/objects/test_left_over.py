"""What an answer to a batch names otherwise than it was asked for: merged records, other spellings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hsagency.objects import batch_create, batch_read
from tests.support import Answer, listening, lone_client


def came(*results: dict[str, object], errors: list[dict[str, object]] | None = None) -> Answer:
    body = {"results": [*results], "errors": errors or []}
    return Answer(207 if errors else 200, body=json.dumps(body).encode())


def test_a_record_that_was_merged_is_read_under_its_new_id(tmp_path: Path) -> None:
    said = came({"id": "1", "properties": {"x": "a"}}, {"id": "202", "properties": {"x": "b"}})
    with listening(lambda _: said) as server, lone_client(tmp_path, url=server.url) as client:
        frame = batch_read(client, "contacts", ["101", "1"], properties=["x"])
    assert frame.select("id", "outcome", "x").rows() == [("202", "done", "b"), ("1", "done", "a")]


def test_a_value_that_hubspot_spells_otherwise_finds_its_record(tmp_path: Path) -> None:
    said = came({"id": "5", "properties": {"domain": "example.com", "name": "X"}})
    with listening(lambda _: said) as server, lone_client(tmp_path, url=server.url) as client:
        frame = batch_read(
            client, "companies", ["www.example.com"], properties=["name"], unique="domain"
        )
    assert frame.select("id", "outcome", "name").rows() == [("5", "done", "X")]


@pytest.mark.parametrize(
    "said",
    [
        came({"id": "201"}, {"id": "202"}),
        came({"id": "201"}),
        came(),
        came({"id": "201"}, errors=[{"category": "X"}]),
    ],
)
def test_a_read_that_cannot_be_told_from_another_is_not_called_done(
    tmp_path: Path, said: Answer
) -> None:
    with listening(lambda _: said) as server, lone_client(tmp_path, url=server.url) as client:
        frame = batch_read(client, "contacts", ["101", "102"], properties=["x"])
    assert frame.select("id", "outcome", "x").rows() == [(None, "unknown", None)] * 2


def test_a_record_that_was_made_alone_gives_its_id_without_a_trace(tmp_path: Path) -> None:
    said = came({"id": "5", "properties": {}})
    with listening(lambda _: said) as server, lone_client(tmp_path, url=server.url) as client:
        frame = batch_create(client, "contacts", [{"email": "a@example.com"}])
    assert frame.select("id", "outcome").rows() == [("5", "done")]
