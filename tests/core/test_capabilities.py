"""The connection type decides what may leave, and a refusal is on the record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hsagency.errors import CallRefused
from hsagency.portals import ConnectionType
from hsagency.routes import OperationClass, refusal, rows, touched
from tests.support import Listener, listening, lone_client, records

CLASSES = [one for one in OperationClass if one is not OperationClass.UNCLASSIFIED]
FAMILIES = ("records", "config", "identity", "activity", "people", "apps")

# One call of each family and class that the table has.
CALLS = {
    (family, does): f"{method} /{'/'.join(segments)}".replace("{type}", "contacts")
    .replace("{other}", "deals")
    .replace("{id}", "1")
    .replace("{name}", "x")
    for (method, segments), (does, family) in rows().items()
    if not {"{email}", "{subscriber}", "{path}", "{actor}", "{token}", "{label}"} & set(segments)
}


def allowed(connection_type: ConnectionType, family: str, does: OperationClass) -> bool:
    """The table of the design, written down a second time."""
    if connection_type is ConnectionType.CONFIG_AND_AUDIT:
        return True
    if connection_type is ConnectionType.AUDIT_ONLY:
        return does is OperationClass.READ
    return family in ("config", "identity") and does in (OperationClass.READ, OperationClass.WRITE)


@pytest.fixture
def server() -> Iterator[Listener]:
    with listening() as made:
        yield made


@pytest.mark.parametrize("connection_type", ConnectionType)
@pytest.mark.parametrize(("family", "does"), CALLS)
def test_each_type_lets_through_what_it_may_and_nothing_else(
    tmp_path: Path, server: Listener, connection_type: ConnectionType, family: str, does: str
) -> None:
    method, path = CALLS[family, does].split(" ")
    with lone_client(tmp_path, url=server.url, connection_type=connection_type) as client:
        if allowed(connection_type, family, OperationClass(does)):
            assert client.request(method, path).status_code == 200
            assert len(server.seen) == 1
            return
        with pytest.raises(CallRefused, match=f"a {connection_type}|an {connection_type}"):
            client.request(method, path)
    assert server.seen == []
    said = records(tmp_path, "acme-corp")[-1]
    assert (said["event"], said["outcome"]) == ("call.refused", "refused")
    assert (said["operationClass"], said["method"]) == (does, method)
    assert connection_type in said["reason"]


def test_every_class_and_family_is_tried() -> None:
    assert {does for _, does in CALLS} == set(CLASSES)
    assert {family for family, _ in CALLS} == set(FAMILIES)


@pytest.mark.parametrize("connection_type", ConnectionType)
def test_an_unclassified_call_needs_to_be_meant_and_the_widest_type(
    tmp_path: Path, server: Listener, connection_type: ConnectionType
) -> None:
    meant = {"purpose": "data fix", "allow_unclassified": True}
    attempts: list[dict[str, object]] = [
        {},
        {"purpose": "data fix"},
        {"allow_unclassified": True},
        {"purpose": "data fix", "allow_unclassified": 1},
        {"purpose": "data fix", "allow_unclassified": "True"},
        {"purpose": "", "allow_unclassified": True},
    ]
    with lone_client(tmp_path, url=server.url, connection_type=connection_type) as client:
        for attempt in attempts:
            with pytest.raises(CallRefused):
                client.get("/new/2026-09/thing", extensions=attempt)
        if connection_type is ConnectionType.CONFIG_AND_AUDIT:
            assert client.get("/new/2026-09/thing", extensions=meant).status_code == 200
        else:
            with pytest.raises(CallRefused):
                client.get("/new/2026-09/thing", extensions=meant)
    assert len(server.seen) == (connection_type is ConnectionType.CONFIG_AND_AUDIT)
    said = records(tmp_path, "acme-corp")
    assert {one["operationClass"] for one in said if "method" in one} == {"unclassified"}
    assert [one["event"] for one in said].count("call.refused") >= len(attempts)


def test_allowing_the_unclassified_opens_nothing_that_is_classified(
    tmp_path: Path, server: Listener
) -> None:
    meant = {"purpose": "data fix", "allow_unclassified": True}
    narrow = ConnectionType.AUDIT_ONLY
    with (
        lone_client(tmp_path, url=server.url, connection_type=narrow) as client,
        pytest.raises(CallRefused),
    ):
        client.delete("/crm/v3/objects/contacts/1", extensions=meant)
    assert server.seen == []


@pytest.mark.parametrize(
    "purpose", [5, None, b"x", "", " x", "a\nb", "jane@example.com", "x" * 65, ["x"], "a{b}"]
)
def test_a_purpose_that_is_no_label_is_refused_and_not_written_down(
    tmp_path: Path, server: Listener, purpose: object
) -> None:
    with (
        lone_client(tmp_path, url=server.url) as client,
        pytest.raises(CallRefused, match="purpose"),
    ):
        client.get("/crm/v3/objects/contacts", extensions={"purpose": purpose})
    assert server.seen == []
    assert records(tmp_path, "acme-corp")[-1]["purpose"] == "interactive"


def test_the_purpose_of_a_call_is_on_its_record(tmp_path: Path, server: Listener) -> None:
    with lone_client(tmp_path, url=server.url) as client:
        client.get("/crm/v3/objects/contacts", extensions={"purpose": "Q3: review"})
    assert records(tmp_path, "acme-corp")[0]["purpose"] == "Q3: review"


def test_the_words_of_a_refusal_read_well() -> None:
    reasons = [
        refusal(connection_type, touched(*CALLS[key].split(" ")))
        for connection_type in ConnectionType
        for key in CALLS
    ]
    said = {one for one in reasons if one is not None}
    assert "an audit_only connection reads, and this call is an export" in said
    assert "an audit_only connection reads, and this call is a delete" in said
    assert not [one for one in said if "a a" in one or "a export" in one]
