"""Logs of other scripts: what is taken in, what is named, and what never lands on disk."""

from __future__ import annotations

import hashlib
import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.audit import lake
from hsagency.audit.importing import ImportResult, Malformed, import_file, malformed_lines
from hsagency.audit.journal.writer import AuditWriter
from hsagency.errors import AuditError, UsageError
from tests.audit.killing import child
from tests.audit.reading import AUTHOR, broken_chains, digests, events, journals, records

DATA = Path(__file__).parents[1] / "data"
CAMEL, SNAKE = DATA / "legacy-audit-camel.jsonl", DATA / "legacy-audit-snake.jsonl"
TOKEN = "pat-na1-01234567-89ab-cdef-0123-456789abcdef"
SECRETS = ("jane", "example.com", "pat-", "hapikey", "12345678-aaaa")


def line(**fields: object) -> dict[str, object]:
    """Return a line as the source documents' scripts write it."""
    return {
        "ts": "2026-05-04T10:00:00.250Z",
        "portalId": 12345678,
        "clientSlug": "acme-corp",
        "method": "GET",
        "path": "/crm/v3/objects/contacts/101",
        "statusCode": 200,
        "durationMs": 120,
        "actor": "hubspot-agency-router/2.0.0",
        "objectType": "contacts",
        "objectId": "101",
        "rateLimitRemaining": 499_999,
        **fields,
    }


def write(path: Path, *some: dict[str, object]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in some))
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def take(writer: AuditWriter, path: Path, *some: dict[str, object]) -> ImportResult:
    return import_file(writer, write(path, *some))


def calls(audit: Path) -> list[dict[str, Any]]:
    return lake.read(audit, lake.clients(audit)).calls.collect().to_dicts()


def everything(audit: Path) -> str:
    files = [path for path in audit.rglob("*") if path.is_file()]
    names = " ".join(str(path.relative_to(audit)) for path in audit.rglob("*"))
    return names + " ".join(path.read_text("utf-8") for path in files)


@pytest.mark.parametrize(("path", "lines"), [(CAMEL, 6000), (SNAKE, 3000)])
def test_every_line_is_taken_in_or_named(
    writer: AuditWriter, audit: Path, path: Path, lines: int
) -> None:
    result = import_file(writer, path)
    content = path.read_bytes().split(b"\n")
    usable, unusable = [], []
    for number, one in enumerate(content, start=1):
        try:
            fields = json.loads(one or b"null")
            usable += [fields] if isinstance(fields, dict) else []
        except ValueError:
            unusable.append(number)
    slugs = Counter(one.get("clientSlug") or one.get("client_slug") for one in usable)
    assert result.added == dict(sorted(slugs.items()))
    assert sum(result.added.values()) == len(calls(audit)) == lines
    assert [one.line for one in result.malformed] == unusable
    assert len(unusable) == 3  # a torn line, another program's, a torn last one; no blank one
    assert {one["origin"] for one in calls(audit)} == {"imported"}
    assert lake.clients(audit) == sorted(slugs)  # nobody was onboarded for that
    assert not broken_chains(audit)


def test_what_is_kept_says_where_it_comes_from(writer: AuditWriter, audit: Path, log: Path) -> None:
    log.write_bytes(b"\n\n" + orjson.dumps(line()) + b"\n")
    result = import_file(writer, log)
    (one,) = calls(audit)
    assert one["source_line"] == 3
    assert one["ts"].isoformat() == "2026-05-04T10:00:00.250000+00:00"
    assert {name: one[name] for name in ("actor", "user", "host", "run_id", "purpose")} == {
        "actor": "hubspot-agency-router/2.0.0",
        **dict.fromkeys(("user", "host", "run_id", "purpose")),
    }
    activity = lake.read(audit, ["_agency", "acme-corp"]).activity
    noted = activity.filter(pl.col("event") == "audit.imported")["message"].to_list()
    assert sorted(noted) == [
        f"Imported 1 record from a file (source {one['source_digest'][:16]}...).",
        f"Imported 1 record from log.jsonl (SHA-256 {result.digest[:16]}...).",
    ]
    assert result.digest == hashlib.sha256(log.read_bytes()).hexdigest()


MAIL = "zqx.doe@example.com"


def looked_up(mail: str) -> dict[str, object]:
    return line(path=f"/crm/v3/objects/contacts/{mail}?idProperty=email", objectId=None)


def test_no_digest_of_a_record_depends_on_what_was_left_out(tmp_path: Path) -> None:
    """Or it would tell, by trying, whom a call was about: also after its key was destroyed."""
    said = []
    for number, mail in enumerate((MAIL, "zqx.other@example.com")):
        folder = tmp_path / str(number)
        folder.mkdir()
        with AuditWriter(folder / "audit", author=AUTHOR) as writer:
            import_file(writer, write(folder / "log.jsonl", looked_up(mail)))
        (call,) = calls(folder / "audit")
        said.append((call["call_id"], call["source_digest"]))
        whole = hashlib.sha256((folder / "log.jsonl").read_bytes()).hexdigest()
        assert whole[:16] not in str(records(folder / "audit"))
    assert said[0] == said[1]


def test_calls_in_the_agencys_own_log_do_not_stand_in_the_way(
    writer: AuditWriter, log: Path
) -> None:
    """They come of judging a key before it is stored."""
    judging = {"event": "call.finished", "callId": "0" * 32, "portalId": 1, "method": "GET"}
    writer.append("_agency", {**judging, "path": "/", "origin": "witnessed"})
    assert take(writer, log, line()).added == {"acme-corp": 1}


def test_calls_that_differ_in_what_was_left_out_are_still_several(
    writer: AuditWriter, audit: Path, log: Path
) -> None:
    some = [looked_up(MAIL), looked_up("zqx.other@example.com")]
    assert take(writer, log, *some).added == {"acme-corp": 2}
    assert take(writer, log, *some).added == {}
    assert len(calls(audit)) == 2


def test_what_an_earlier_version_took_in_is_known_again(
    writer: AuditWriter, audit: Path, log: Path
) -> None:
    """It made the id of the line as it stood."""
    some = [line(), line(), looked_up(MAIL)]
    for number, one in zip((1, 2, 1), some, strict=True):
        raw = b"hsagency import\0" + orjson.dumps(one) + b"\0%d" % number
        fields = {"callId": hashlib.sha256(raw).hexdigest()[:32], "origin": "imported"}
        fields |= {"event": "call.finished", "portalId": 1, "method": "GET", "path": "/"}
        writer.append("acme-corp", fields)
    result = take(writer, log, *some, line(durationMs=99))
    assert (result.added, result.known) == ({"acme-corp": 1}, 3)


def test_a_clients_log_tells_nothing_of_what_else_was_in_the_file(
    writer: AuditWriter, audit: Path, tmp_path: Path
) -> None:
    path = tmp_path / "beta-inc and Zqxjane 4915770009911.jsonl"
    write(path, line(), line(clientSlug="beta-inc"), {"ts": "x"}, line(clientSlug="beta-inc"))
    result = import_file(writer, path)
    assert result.added == {"acme-corp": 1, "beta-inc": 2}
    theirs = str(records(audit, "acme-corp"))
    assert "; 1 malformed line was left out." in theirs
    for word in ("beta-inc", "Zqxjane", "4915770009911", "left out:", result.digest[:16]):
        assert word not in theirs
    assert len({one["source_digest"] for one in calls(audit)}) == 2
    assert "1 malformed line was left out: 3." in records(audit, "_agency")[-1]["message"]


PHONE = "4915770009911"


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/crm/v3/objects/contacts/{id}", PHONE),  # some scripts logged the template
        ("/crm/v3/objects/contacts/7", "7"),
        (f"/crm/v3/objects/contacts/{PHONE}", PHONE),
        (f"/crm/v3/objects/contacts/{PHONE}?id%50roperty=phone", None),
        (f"/crm/v3/objects/contacts/{PHONE}?IDPROPERTY=phone", None),
        ("/crm/v3/objects/contacts/{id}?IDPROPERTY=phone", None),
        ("/crm/v3/objects/contacts/{id}?properties=x&phone=1", None),
        ("/crm/v3/objects/contacts", None),
        (f"/contacts/v1/search/query?q={PHONE}", None),
        (f"/email/public/v1/subscriptions/{PHONE}", None),
        (f"/unknown/{PHONE}", None),
    ],
)
def test_a_number_is_a_records_id_only_where_nothing_else_can_be_meant(
    writer: AuditWriter, audit: Path, log: Path, path: str, kept: str | None
) -> None:
    take(writer, log, line(path=path, objectId=PHONE))
    (one,) = calls(audit)
    assert one["object_id"] == kept
    assert kept == PHONE or PHONE not in everything(audit)


@pytest.mark.parametrize(
    ("actor", "kept"),
    [
        ("hubspot-agency-router/2.0.0", "hubspot-agency-router/2.0.0"),
        ("sync_job", "sync_job"),
        *((one, None) for one in ("Jane Doe", "jane.doe", PHONE, f"x/{TOKEN}", "", 7)),
    ],
)
def test_of_an_actor_a_programs_name_is_kept(
    writer: AuditWriter, audit: Path, log: Path, actor: object, kept: str | None
) -> None:
    take(writer, log, line(actor=actor, correlationId="Jane Doe", requestId="req-1"))
    (one,) = calls(audit)
    assert (one["actor"], one["correlation_id"]) == (kept, "req-1")


@pytest.mark.parametrize("path", [CAMEL, SNAKE])
def test_the_same_file_twice_adds_not_a_byte(
    writer: AuditWriter, audit: Path, path: Path, tmp_path: Path
) -> None:
    first = import_file(writer, path)
    before = digests(audit)
    copy = tmp_path / "under another name.jsonl"
    copy.write_bytes(path.read_bytes())
    for again in (path, copy):
        result = import_file(writer, again)
        assert (result.added, result.known) == ({}, sum(first.added.values()))
        assert result.malformed == first.malformed
    assert digests(audit) == before


@pytest.mark.parametrize("content", [b"", b"\n\n", b"garbage\n", b"[]\nnull\n"])
def test_a_file_with_nothing_usable_is_noted_once(
    writer: AuditWriter, audit: Path, log: Path, content: bytes
) -> None:
    log.write_bytes(content)
    assert import_file(writer, log).added == {}
    before = digests(audit)
    assert events(audit, "_agency") == ["audit.imported"]
    import_file(writer, log)
    assert digests(audit) == before


def test_a_log_that_has_grown_adds_its_new_lines(
    writer: AuditWriter, audit: Path, log: Path
) -> None:
    old = [line(durationMs=number) for number in range(5)]
    take(writer, log, *old)
    result = take(writer, log, *old, line(durationMs=99), line(durationMs=99))
    assert (result.added, result.known) == ({"acme-corp": 2}, 5)
    assert sorted(one["duration_ms"] for one in calls(audit)) == [0, 1, 2, 3, 4, 99, 99]


def test_two_calls_that_look_alike_are_two(writer: AuditWriter, audit: Path, log: Path) -> None:
    take(writer, log, line(), line(), line())
    assert len(calls(audit)) == 3
    assert take(writer, log, line(), line(), line()).added == {}


def test_two_imports_at_once_are_read_as_one(audit: Path, log: Path) -> None:
    """Neither sees what the other is about to write; the reader does."""
    write(log, *[line(durationMs=number) for number in range(20)])

    class Late(AuditWriter):
        waiting = True

        def append(self, *args: Any, **more: Any) -> None:
            if self.waiting:
                self.waiting = False
                with AuditWriter(audit, author=AUTHOR) as other:
                    import_file(other, log)
            super().append(*args, **more)

    with Late(audit, author=AUTHOR) as writer:
        import_file(writer, log)
    assert [one["event"] for one in records(audit)].count("call.finished") == 40
    assert len(calls(audit)) == 20


@pytest.mark.parametrize("written", [0, 1, 7, 20, 21, 22])
def test_an_interrupted_import_is_completed(
    audit: Path, log: Path, writer: AuditWriter, written: int
) -> None:
    """Killed after so many records; there are twenty calls and two notes of them."""
    some = [line(durationMs=number) for number in range(20)]
    write(log, *some)
    order = {"audit": str(audit), "file": str(log), "records": written}
    with child("import_until_killed", order) as process:
        process.communicate()
    assert process.returncode == (-signal.SIGKILL if written < 22 else 0)
    result = import_file(writer, log)
    assert sum(result.added.values()) == max(20 - written, 0)
    assert sorted(one["duration_ms"] for one in calls(audit)) == list(range(20))
    for slug in ("acme-corp", "_agency"):
        noted = [one for one in records(audit, slug) if one["event"] == "audit.imported"]
        assert [one["message"].split(" from ")[0] for one in noted] == ["Imported 20 records"]
    before = digests(audit)
    import_file(writer, log)
    assert digests(audit) == before


UNUSABLE: dict[str, tuple[object, str]] = {
    "no time": ({"ts": None}, "ts is missing"),
    "no such time": ({"ts": "2026-13-01T00:00:00Z"}, "ts is not a time"),
    "no zone": ({"ts": "2026-05-01T00:00:00"}, "ts does not say its time zone"),
    "before time": ({"ts": "0001-01-01T00:00:00+14:00"}, "ts is not a time"),
    "a time in seconds": ({"ts": 1_777_777_777}, "ts is missing"),
    "no slug": ({"clientSlug": ""}, "client_slug is missing"),
    "bad slug": ({"clientSlug": "Acme Corp"}, "'Acme Corp' is not a client slug."),
    "a way out": ({"clientSlug": "../../etc"}, "'../../etc' is not a client slug."),
    "the agency": ({"clientSlug": "_agency"}, "'_agency' is not a client slug."),
    "a token": ({"clientSlug": TOKEN}, "'(not shown)' is not a client slug."),
    "no portal": ({"portalId": None}, "portal_id is missing"),
    "portal zero": ({"portalId": 0}, "'0' is not a portal id."),
    "half a portal": ({"portalId": 123.5}, "portal_id is not a whole number"),
    "less than none": ({"portalId": -1}, "portal_id is not a count"),
    "a huge portal": ({"portalId": 2**60}, "portal_id is not a count"),
    "a true portal": ({"portalId": True}, "portal_id is not a count"),
    "no method": ({"method": None}, "method is missing"),
    "no such method": ({"method": "jane@example.com"}, "method is not one of HTTP's"),
    "no path": ({"path": None}, "path is missing"),
    "no address": ({"path": "http://[half"}, "path is not one"),
    "half a status": ({"statusCode": 200.5}, "status_code is not a whole number"),
    "status in words": ({"statusCode": "OK"}, "status_code is not a count"),
    "negative time": ({"durationMs": -3}, "duration_ms is not a count"),
    "our own": ({"callId": "0" * 32, "origin": "witnessed"}, "a record of hsagency itself"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_line_that_cannot_be_used_is_named_with_its_cause(
    writer: AuditWriter, audit: Path, log: Path, what: str
) -> None:
    fields, cause = UNUSABLE[what]
    assert isinstance(fields, dict)
    result = take(writer, log, line(), line(**fields), line(durationMs=5))
    (malformed,) = result.malformed
    assert malformed.line == 2
    assert malformed.cause.startswith(cause)
    assert result.added == {"acme-corp": 2}
    assert lake.clients(audit) == ["acme-corp"]
    assert not [word for word in SECRETS if word in everything(audit).lower()]
    assert list(malformed_lines(result.malformed)) == [f"line 2: {malformed.cause}"]


@pytest.mark.parametrize(
    "raw", [b'{"ts": NaN}', b'{"a": 1e999}', b'{"a": Infinity}', b"{'a': 1}", b"\xff\xfe{\x00}\x00"]
)
def test_what_json_does_not_know_is_named(writer: AuditWriter, log: Path, raw: bytes) -> None:
    log.write_bytes(orjson.dumps(line()) + b"\n" + raw + b"\n")
    result = import_file(writer, log)
    assert result.malformed == (Malformed(2, "not JSON"),)


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\n\n", b" \t\r\n\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_and_a_byte_order_mark_make_no_difference(
    writer: AuditWriter, audit: Path, log: Path, ends: bytes, mark: bytes, *, last: bool
) -> None:
    some = [orjson.dumps(line(durationMs=number)) for number in range(3)]
    log.write_bytes(mark + ends.join(some) + (ends if last else b""))
    result = import_file(writer, log)
    assert (result.added, result.malformed) == ({"acme-corp": 3}, ())
    log.write_bytes(b"\n".join(some))  # nor does it matter when they change
    assert import_file(writer, log).added == {}
    assert len(calls(audit)) == 3


def test_zero_stands_for_what_the_scripts_did_not_know(
    writer: AuditWriter, audit: Path, log: Path
) -> None:
    take(writer, log, line(statusCode=0, rateLimitRemaining=0, durationMs=0))
    (one,) = calls(audit)
    assert (one["status_code"], one["outcome"]) == (None, "unknown")
    assert one["rate_limit_remaining"] is None
    assert one["duration_ms"] == 0
    assert "rateLimitRemaining" not in records(audit)[0]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((200, "ok"), (301, "ok"), (404, "client_error"), (429, "rate_limited")),
        *((502, "server_error"), (None, "unknown"), (42, "unknown"), (999, "unknown")),
        (100_000, "unknown"),
    ],
)
def test_an_outcome_follows_from_the_status(
    writer: AuditWriter, audit: Path, log: Path, status: int | None, outcome: str
) -> None:
    take(writer, log, line(statusCode=status))
    assert [one["outcome"] for one in calls(audit)] == [outcome]


PATHS = {
    "/crm/v3/objects/contacts?email=jane@example.com": "/crm/v3/objects/contacts",
    "/crm/v3/objects/contacts/jane@example.com?idProperty=email": "/crm/v3/objects/contacts/{id}",
    "/crm/v3/objects/contacts/jane%40example.com": "/crm/v3/objects/contacts/{id}",
    "https://api.hubapi.com/crm/v3/objects/contacts/7#jane": "/crm/v3/objects/contacts/7",
    "https://jane:12345678-aaaa@api.hubapi.com/crm/v3/objects/contacts": "/crm/v3/objects/contacts",
    "crm/v3/objects/contacts/7": "/crm/v3/objects/contacts/7",
    "/CRM/v3/jane/example.com": "/{}/v3/{}/{}",
    f"/oauth/v1/access-tokens/{TOKEN}": "/oauth/v1/",
    f"/crm/v3/objects/contacts?hapikey={TOKEN}": "/crm/v3/objects/contacts",
    "//jane.example.com/crm/v3/objects/contacts": "/crm/v3/objects/contacts",
}


@pytest.mark.parametrize("path", PATHS)
def test_a_path_becomes_a_template(writer: AuditWriter, audit: Path, log: Path, path: str) -> None:
    result = take(writer, log, line(path=path, objectId=None))
    assert result.malformed == ()
    (one,) = calls(audit)
    assert one["path"].startswith(PATHS[path])
    assert not [word for word in SECRETS if word in everything(audit).lower()]


def test_what_may_be_personal_or_secret_never_lands_on_disk(
    writer: AuditWriter, audit: Path, tmp_path: Path
) -> None:
    """In every field, in odd fields, in odd types, and in the name of the file."""
    strange: list[dict[str, object]] = []
    words = (
        "jane@example.com",
        TOKEN,
        f"x{TOKEN}y",
        "Jane\nDoe",
        "jane" * 40,
        "jänè@x",
        "jane\u2028",
    )
    for word in words:
        for name in ("actor", "objectType", "objectId", "correlationId", "requestId", "body"):
            strange += [line(**{name: word}), line(**{name: {"a": word}}), line(**{name: [word]})]
        strange += [line(**{word: "x"}), line(purpose=word), line(error=word), line(user=word)]
        strange += [line(clientSlug=word), line(method=word), line(ts=word), line(portalId=word)]
    strange.append(line(objectType="Jane Doe"))
    strange.append(
        line(objectId="491511234567", path="/crm/v3/objects/contacts/1?idProperty=phone")
    )
    path = write(tmp_path / f"jane@example.com {TOKEN}.jsonl", *strange)
    result = import_file(writer, path)
    assert sum(result.added.values()) > 100
    said = everything(audit)
    assert not [
        word for word in ("@", "pat-na1", "Jane", "janejane", "jän", "491511234567") if word in said
    ]
    for one in malformed_lines(result.malformed):
        assert TOKEN not in one


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("contacts", "contacts"),
        ("CONTACT", "CONTACT"),
        ("owners", "owners"),
        ("0-3", "0-3"),
        (None, None),
        ("other", None),
        (["contacts"], None),
        ("beta-inc", "custom"),
        ("p_beta_inc", "custom"),
        ("2-87654321", "custom"),
        ("Jane Doe", "custom"),
        (TOKEN, "custom"),
        (TOKEN[8:], "custom"),
        ("tas\N{KELVIN SIGN}s", "custom"),
    ],
)
def test_an_object_type_is_a_word_of_hubspots_or_custom(
    given: object, kept: str | None, writer: AuditWriter, audit: Path, log: Path
) -> None:
    """A report shows it to the client, and another client's slug would be one word too."""
    import_file(writer, write(log, line(objectType=given)))
    [record] = [one for one in records(audit, "acme-corp") if "callId" in one]
    assert record.get("objectType") == kept


def test_the_name_of_the_file_may_be_given(writer: AuditWriter, audit: Path, log: Path) -> None:
    import_file(writer, write(log, line()), name="audit.jsonl of the old router")
    (note,) = records(audit, "_agency")
    assert " from audit.jsonl of the old router (SHA-256 " in note["message"]
    assert str(log.parent) not in everything(audit)


def test_a_line_of_a_megabyte_is_judged_like_any_other(
    writer: AuditWriter, audit: Path, log: Path
) -> None:
    some = line(body="x" * 1_000_000), line(path="/crm/v3/objects/contacts?q=" + "x" * 1_000_000)
    result = take(writer, log, *some, line(path="/" + "x/" * 500_000))
    assert result.added == {"acme-corp": 3}
    assert journals(audit, "acme-corp")[0].stat().st_size < 10_000


def test_many_malformed_lines_are_counted_and_the_first_are_named(
    writer: AuditWriter, audit: Path, log: Path
) -> None:
    log.write_bytes(b"x\n" * 100 + orjson.dumps(line()))
    result = import_file(writer, log)
    assert len(result.malformed) == 100
    (note,) = records(audit, "_agency")
    assert note["message"].endswith(
        "; 100 malformed lines were left out: "
        + ", ".join(str(number) for number in range(1, 21))
        + ", ...."
    )


@pytest.mark.parametrize("kind", ["missing", "folder", "loop"])
def test_a_file_that_cannot_be_read_is_said_and_nothing_done(
    writer: AuditWriter, audit: Path, log: Path, kind: str
) -> None:
    if kind == "folder":
        log.mkdir()
    elif kind == "loop":
        log.symlink_to(log)
    with pytest.raises(UsageError, match=r"cannot be read .*; nothing was imported"):
        import_file(writer, log)
    assert not audit.exists()


def test_a_log_of_ours_that_cannot_be_read_stops_the_import(
    writer: AuditWriter, audit: Path, log: Path
) -> None:
    """Or every line would seem to be new."""
    folder = audit / "acme-corp" / "journal"
    folder.mkdir(parents=True)
    (folder / "000-000001.jsonl").symlink_to("nowhere")
    with pytest.raises(AuditError, match="cannot be read"):
        take(writer, log, line())
    assert lake.clients(audit) == ["acme-corp"]


def test_progress_counts_what_is_written(writer: AuditWriter, log: Path) -> None:
    from contextlib import contextmanager

    told: list[object] = []

    @contextmanager
    def progress(what: str, total: int) -> Iterator[Any]:
        told.append((what, total))
        yield told.append

    import_file(writer, write(log, line(), line()), progress=progress)
    assert told == [("importing", 2), 1, 1]


plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text("a@/{}[]?%-.:Z0\u2028\x00 é", max_size=20),
    st.sampled_from(["acme-corp", "GET", "2026-05-04T10:00:00Z", "/crm/v3/objects/contacts/1"]),
)
names = st.sampled_from([*line(), "client_slug", "portal_id", "origin", "callId", "body"])
odd_lines = st.dictionaries(names, plain, max_size=4).map(
    lambda fields: json.dumps({**line(), **fields}).encode()
)


@given(st.lists(st.one_of(st.binary(max_size=80), odd_lines), max_size=8))
def test_no_bytes_crash_an_import_or_are_taken_in_half(some: list[bytes]) -> None:
    with TemporaryDirectory() as name:
        audit, log = Path(name) / "audit", Path(name) / "log"
        log.write_bytes(b"\n".join(some))
        with AuditWriter(audit, author=AUTHOR, sync=lambda _: None) as writer:
            result = import_file(writer, log)
            before = digests(audit)
            again = import_file(writer, log)
            assert digests(audit) == before
        reading = lake.read(audit, lake.clients(audit))
        found = reading.calls.collect()
        assert not reading.damage
        # Every line is blank, named as malformed, or a call with all that makes it one.
        content = log.read_bytes().removeprefix(b"\xef\xbb\xbf")
        filled = [one for one in content.split(b"\n") if one.strip()]
        assert found.height == sum(result.added.values()) == again.known
        assert found.height + len(result.malformed) == len(filled)
        needed = found.select("ts", "client_slug", "portal_id", "method", "path", "outcome")
        assert needed.null_count().sum_horizontal().sum() == 0
        assert set(found["source_line"]).isdisjoint(one.line for one in result.malformed)
        assert not broken_chains(audit)
