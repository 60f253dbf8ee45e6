"""The bytes of one record, and the schema that says what may stand in it."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta, timezone
from io import BufferedReader, BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import jsonschema
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hsagency import onboarding
from hsagency.audit import chain
from hsagency.audit.forwarding import following
from hsagency.audit.importing import import_file
from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.lake import clients, joined_records, read
from hsagency.audit.lake.parsing import blocks
from hsagency.audit.record import (
    CALL_FIELDS,
    DETAIL_FIELDS,
    KINDS,
    LONGEST,
    TO_DISK,
    TO_FRAME,
    Event,
    Origin,
    Outcome,
    encode,
    is_purpose,
    outcome_of,
    timestamp,
)
from hsagency.audit.standalone.segments import LONGEST as MOST_OF_A_READER
from hsagency.audit.verifying import Log, verify
from hsagency.errors import CallRefused, NewerSchema, PortalMismatch, QuotaSpent
from hsagency.routes import OperationClass
from hsagency.sandbox import Fault
from hsagency.sandbox.clients_csv import bad_rows
from hsagency.secret import Secret
from tests.audit.reading import AUTHOR, CONTACTS, ending, intent, journals, lines, records
from tests.support import client_list, connected

LEGACY = Path(__file__).parents[1] / "data"
NOT_IN_A_JOINED_CALL = {
    *("schema", "seq", "event", "message", "hash"),
    *("segment", "previousSegment", "previousHash", "records"),
    *("since", "previousTs", "serverTs", "rangeFrom", "rangeUntil"),
    *("lineage", "lineageKeys", "registerLines", "registerDigest", "segments", "calls"),
    *("usageLimit", "currentUsage", "collectedAt", "fetchStatus", "resetsAt", "credentialKind"),
    *("dailyRemaining", "threshold"),
}
OF_THE_SOURCE_DOCUMENTS = {
    *("ts", "portalId", "clientSlug", "method", "path", "statusCode", "durationMs"),
    *("objectType", "objectId", "actor", "rateLimitRemaining"),
}


@given(
    st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)),  # noqa: DTZ001  (the zone is drawn apart)
    st.integers(-14 * 60, 14 * 60),
)
def test_a_time_is_27_characters_of_utc(at: datetime, offset: int) -> None:
    local = at.replace(tzinfo=timezone(timedelta(minutes=offset)))
    written = timestamp(local)
    assert len(written) == 27
    assert written.endswith("Z")
    assert datetime.fromisoformat(written) == local


def test_every_record_has_such_a_time_whatever_the_clock_shows(audit: Path) -> None:
    moments = [
        datetime(2026, 3, 1, tzinfo=UTC),  # no microseconds
        datetime(2026, 3, 1, 1, 0, 0, 5, tzinfo=timezone(timedelta(hours=1))),
        datetime(2025, 1, 1, tzinfo=UTC),  # the clock was set back
    ]
    now = moments[:1]
    with AuditWriter(audit, author=AUTHOR, now=lambda: now[0]) as writer:
        for number, now[0] in enumerate(moments):
            writer.append("acme-corp", intent(number))
    calls = [record for record in records(audit) if record["event"] == "call.started"]
    assert [record["ts"] for record in calls] == [
        "2026-03-01T00:00:00.000000Z",
        "2026-03-01T00:00:00.000005Z",
        "2025-01-01T00:00:00.000000Z",
    ]


def test_absent_values_are_not_written() -> None:
    assert encode({"event": "idle", "objectId": None}) == b'{"event":"idle"}'


@given(
    st.dictionaries(
        st.sampled_from(["reason", "message", "host", "portalId"]),
        st.one_of(
            st.text(st.characters(), max_size=20),  # half characters included
            st.integers(-(2**70), 2**70),
            st.sampled_from(
                [object(), float("nan"), {1: 2}, b"bytes", Secret("x"), "\u2028", "\x00"]
            ),
        ),
    )
)
def test_no_value_keeps_a_record_from_being_one_line_of_json(fields: dict[str, Any]) -> None:
    line = encode({"event": "call.finished", **fields})
    assert b"\n" not in line
    assert b"\r" not in line
    assert orjson.loads(line)["event"] == "call.finished"


def test_half_a_character_becomes_a_question_mark_and_a_boundless_number_is_left_out() -> None:
    line = encode({"event": "x", "host": "h\ud800t", "rateLimitRemaining": 2**63, "seq": 7})
    assert orjson.loads(line) == {"event": "x", "host": "h?t", "seq": 7}


@given(
    st.dictionaries(
        st.sampled_from([*CALL_FIELDS, "message"]),
        st.builds(
            lambda text, times: text * times,
            st.text(min_size=1, max_size=9),
            st.sampled_from([1, 900, 9000, 90_000]),
        ),
    )
)
def test_no_record_is_longer_than_a_reader_takes_and_what_was_cut_says_so(
    fields: dict[str, str],
) -> None:
    line = chain.link(chain.genesis("x"), encode({"event": "halt.cleared", **fields}))[0]
    assert len(line) <= LONGEST < MOST_OF_A_READER
    for name, value in orjson.loads(line).items():
        given = fields.get(name, value).encode("utf-8", "replace").decode()
        if value != given:
            start, _, rest = value.rpartition(" ... (cut: it had ")
            assert given.startswith(start)
            assert rest == f"{len(given)} characters)"


def test_lists_without_end_are_left_out_sooner_than_a_record() -> None:
    record = orjson.loads(encode({"event": "x", "objectIds": ["1"] * 30_000, "seq": 7}))
    assert record == {"event": "x", "seq": 7}
    kept = {"event": "x", "objectIds": ["1" * 20] * 2000}
    assert orjson.loads(encode(kept)) == kept


def test_a_record_that_fills_a_line_to_the_byte_is_whole(audit: Path) -> None:
    """Neither the verifier nor a reader takes it for damage."""
    with AuditWriter(audit, author=AUTHOR) as writer:
        writer.append("acme-corp", {"event": "halt.cleared", "message": "r" * (2 << 20)})
        bare = len(lines(journals(audit)[0])[-1]) - len(records(audit)[-1]["message"])
        message = "r" * (LONGEST - bare)
        writer.append("acme-corp", {"event": "halt.cleared", "message": message})
        writer.append("acme-corp", {"event": "halt.cleared", "message": message + "r"})
    cut, whole, again = records(audit)
    assert whole["message"] == message
    assert len(lines(journals(audit)[0])[2]) == LONGEST
    assert cut["message"].endswith("(cut: it had 2097152 characters)")
    assert again["message"].startswith("r" * 8192 + " ... (cut")
    verdict = verify(Log(folder=audit / "acme-corp", copy=None))
    assert (verdict.integrity, read(audit, ["acme-corp"]).damage) == ("intact", ())


def test_only_2xx_and_3xx_are_ok() -> None:
    fine = {code for code in range(1000) if outcome_of(code) is Outcome.OK}
    assert fine == set(range(100, 400))
    assert outcome_of(429) is Outcome.RATE_LIMITED
    assert {outcome_of(code) for code in (0, 99, 600, 999, None)} == {Outcome.UNKNOWN}


@pytest.mark.parametrize("text", ["", " x", "x" * 65, "a\nb", "a\u2028b", "a{b}", 'a"b'])
def test_a_purpose_is_short_and_plain(text: str) -> None:
    assert not is_purpose(text)


def test_the_schema_is_one_and_knows_the_words_of_the_code(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    fields = schema["properties"]
    assert fields["event"]["enum"] == [str(one) for one in Event]
    assert fields["outcome"]["enum"] == [str(one) for one in Outcome]
    assert fields["origin"]["enum"] == [str(one) for one in Origin]
    assert fields["operationClass"]["enum"] == [str(one) for one in OperationClass]
    assert all("description" in field for field in fields.values())


def test_the_schema_and_the_mapping_name_the_same_fields(schema: dict[str, Any]) -> None:
    in_a_call = {*CALL_FIELDS, *DETAIL_FIELDS}
    assert set(schema["properties"]) - in_a_call == NOT_IN_A_JOINED_CALL
    assert set(schema["$defs"]["call"]["properties"]) == in_a_call | {"segment", "seq"}
    assert set(CALL_FIELDS) >= OF_THE_SOURCE_DOCUMENTS
    assert {TO_DISK[frame]: frame for frame in TO_FRAME.values()} == TO_FRAME
    kinds = {"text": "string", "number": "integer", "time": "string"}
    for name, (_, kind) in CALL_FIELDS.items():
        assert schema["properties"][name].get("type", "string") == kinds[kind]


def test_a_record_with_a_field_too_many_or_too_few_is_not_one(
    writer: AuditWriter, audit: Path, validator: jsonschema.Draft202012Validator
) -> None:
    writer.append("acme-corp", intent())
    writer.append("acme-corp", ending())
    start, end = records(audit)
    assert validator.is_valid(start)
    assert validator.is_valid(end)
    for good in (start, end):
        assert not validator.is_valid({**good, "body": "text"})
        assert not validator.is_valid({**good, "event": "call.something"})
        assert not validator.is_valid({**good, "ts": "2026-01-01T00:00:00+00:00"})
        for name in ("callId", "actor", "hash", "seq"):
            assert not validator.is_valid({key: v for key, v in good.items() if key != name})
    assert not validator.is_valid({**start, "statusCode": 200})  # before it was sent?
    assert not validator.is_valid({**end, "path": "/crm"})  # its start says that
    assert not validator.is_valid({**end, "statusCode": 0})


def test_everything_that_is_written_follows_the_schema(
    tmp_path: Path, validator: jsonschema.Draft202012Validator
) -> None:
    """Onboard, call, fail, refuse, import, simulate, repair, halt and resume; then read it all."""
    folder = tmp_path / "workspace"
    with connected(folder, portals=3) as one:
        agency, slug = one.agency, one.slugs[0]
        client = agency.client(slug, purpose="weekly review")
        a_working_day(client, one.sandbox)
        bad = b"".join(",".join(row.values()).encode() + b"\n" for row in bad_rows(one.sandbox))
        onboarding.plan_file(agency, client_list(one.sandbox) + bad, api=one.server.url)
        import_file(agency.writer, LEGACY / "legacy-audit-camel.jsonl")
        agency.writer.append(slug, simulated())
        one.sandbox.faults.add(Fault(kind="wrong_portal"))
        with pytest.raises(PortalMismatch):
            agency.verify(one.slugs[1])
        agency.resume(reason="it was a rehearsal")
    (journal,) = journals(folder / "audit", one.slugs[2])
    with journal.open("ab") as file:
        file.write(b'{"schema":1,"seq":')
    one_more = AuditWriter(folder / "audit", author=agency.writer.author)
    with one_more:
        one_more.append(one.slugs[2], intent(2))
    seen = set()
    for path in journals(folder / "audit"):
        for line in lines(path):
            record = orjson.loads(line)
            assert not [error.message for error in validator.iter_errors(record)], record
            seen.add((record["event"], record.get("outcome"), record.get("origin")))
    assert {event for event, _, _ in seen} >= {
        *("call.started", "call.finished", "call.refused", "call.detail"),
        *("connection.judging", "connection.added", "audit.imported", "audit.repaired"),
        *("halt.set", "halt.cleared"),
    }
    assert {outcome for _, outcome, _ in seen} >= {str(one) for one in Outcome}
    parts = {name: validator.schema[name] for name in ("$defs", "properties")}
    joined = jsonschema.Draft202012Validator({"$ref": "#/$defs/call", **parts})
    found = read(folder / "audit", ["_agency", *clients(folder / "audit")])
    assert not found.damage
    for call in joined_records(found.calls.collect()):
        assert not [error.message for error in joined.iter_errors(call)], call


def simulated() -> dict[str, object]:
    """Return a call of the demo's history."""
    whole = {**intent(1), **ending(1), "origin": "simulated"}
    return {name: value for name, value in whole.items() if "credential" not in name}


def a_working_day(client: httpx.Client, sandbox: Any) -> None:
    """Make calls that end in every way."""
    created = client.post(CONTACTS, json={"properties": {"email": "a@example.com"}}).json()["id"]
    client.get(f"{CONTACTS}/{created}")
    client.delete(f"{CONTACTS}/{created}")  # 204
    client.get(f"{CONTACTS}/a@example.com", params={"idProperty": "email"})  # 404
    once = {"retry": False}
    sandbox.faults.add(Fault(kind="status", status=503, html=True, times=1))
    client.get(CONTACTS, extensions=once)
    for kind in ("drop_before", "drop_after"):
        sandbox.faults.add(Fault(kind=kind, times=1))
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(CONTACTS, extensions=once)
    with pytest.raises(CallRefused):
        client.get("https://elsewhere.example/")
    with pytest.raises(CallRefused):
        client.get("/nobody/knows/this")
    threads = [threading.Thread(target=client.get, args=(CONTACTS,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sandbox.faults.add(Fault(kind="daily", times=1))  # from here on the portal's day is over
    client.get(CONTACTS)
    with pytest.raises(QuotaSpent):
        client.get(CONTACTS)


OF_ANY_KIND = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.integers(), max_size=2),
    st.text(max_size=5),
)
TEXTS = ("call.started", "call.x", "halt.set", "2026-10-01T00:00:00.000000Z", "acme-corp", "")
OF_ITS_KIND = {
    "number": st.none() | st.integers(-3, 3),
    "text": st.none() | st.text(max_size=5) | st.sampled_from(TEXTS),
}
OF_ITS_KIND["time"] = OF_ITS_KIND["text"]
GONE = object()
SOUND = {"schema": 1, "seq": 1, **intent(), "clientSlug": "acme-corp", "hash": "0" * 64}
SOUND["ts"] = "2026-10-01T09:00:00.000000Z"


def readers(line: bytes) -> tuple[object, object]:
    """Say whether the lake and a forwarder take a line for a record, or for a later version's."""
    said: list[object] = []
    for take in (in_the_lake, in_a_forwarder):
        try:
            said.append(take(line))
        except NewerSchema:
            said.append("later")
    return said[0], said[1]


def in_the_lake(line: bytes) -> bool:
    found = blocks(BufferedReader(BytesIO(line)), "acme-corp", "000-000001")
    return not [number for block in found for number, _ in block.damage if number == 1]


def in_a_forwarder(line: bytes) -> bool:
    """As it is read from a cursor on, with the others of its segment."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "000-000001.jsonl"
        path.write_bytes(line)
        now = datetime(2026, 12, 1, tzinfo=UTC)
        window = following.read({1: path}, following.Cursor(), slug="acme-corp", now=now, most=9)
    return not [at for at in window.damaged if at.offset == 0]


def line_of(changes: dict[str, Any]) -> bytes:
    fields = {name: one for name, one in {**SOUND, **changes}.items() if one is not GONE}
    return json.dumps(fields).encode() + b"\n"


@given(
    st.fixed_dictionaries(
        {}, optional={name: OF_ITS_KIND[kind] | st.just(GONE) for name, kind in KINDS.items()}
    )
)
@example({"hash": GONE})
@example({"hash": ""})
@example({"schema": GONE})
@example({"event": "halt.set", "hash": GONE})
@example({"ts": "0000-10-01T09:00:00.000000Z"})
@example({"ts": "2026-10-01T09:00:60.000000Z"})
def test_a_line_is_a_record_for_every_reader_or_for_none(changes: dict[str, Any]) -> None:
    """What a report counts is handed over by a forwarder, and the other way round."""
    one, other = readers(line_of(changes))
    assert one == other


@given(
    st.dictionaries(st.sampled_from([*KINDS]), OF_ANY_KIND),
    st.sampled_from([b"%s", b"[%s]", b"x%s", b"\xff%s", b" %s"]),
)
def test_where_lines_are_damaged_the_same_are_for_every_reader(
    changes: dict[str, Any], form: bytes
) -> None:
    one, other = readers(form % line_of(changes) + b"damage\n")
    assert one == other
