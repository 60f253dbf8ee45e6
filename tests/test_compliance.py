"""What the compliance report counts, and that it counts each call once."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency import compliance
from hsagency.agency import Agency
from hsagency.audit import lake
from hsagency.audit.importing import import_file
from hsagency.audit.lake import CALLS, Damage, Reading
from hsagency.audit.record import Origin, Outcome
from hsagency.periods import Period

DATA = Path(__file__).parent / "data"
MAY = Period.of(month="2026-05")
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)

call = st.fixed_dictionaries(
    {
        "ts": st.integers(0, 400).map(lambda hours: NOON + timedelta(hours=hours)),
        "client_slug": st.sampled_from(["acme-corp", "beta-inc"]),
        "portal_id": st.sampled_from([12345678, 87654321]),
        "method": st.sampled_from(["GET", "POST"]),
        "object_type": st.sampled_from(["contacts", "deals", None]),
        "operation_class": st.sampled_from(["read", "write", None]),
        "outcome": st.sampled_from([*map(str, Outcome)]),
        "duration_ms": st.none() | st.integers(0, 10_000),
        "origin": st.sampled_from([*map(str, Origin)]),
    }
)


def frame(*rows: dict[str, object]) -> pl.LazyFrame:
    usual: dict[str, object] = {
        "ts": NOON, "client_slug": "acme-corp", "portal_id": 12345678, "method": "GET",
        "object_type": "contacts", "outcome": "ok", "duration_ms": 100, "origin": "witnessed",
    }  # fmt: skip
    return pl.LazyFrame([{**usual, **row} for row in rows], schema=CALLS)


def one_row(*rows: dict[str, object]) -> dict[str, object]:
    counted = compliance.summary(frame(*rows))
    assert counted.height == 1
    return counted.row(0, named=True)


@pytest.mark.parametrize(
    ("log", "slug"), [("camel", "acme-corp"), ("camel", None), ("snake", "beta-inc")]
)
def test_an_imported_log_gives_the_expected_report_byte_for_byte(
    log: str, slug: str | None, tmp_path: Path
) -> None:
    with Agency.create(tmp_path / "workspace", store="age:credentials") as agency:
        import_file(agency.writer, DATA / f"legacy-audit-{log}.jsonl")
        calls = agency.calls(slug, since=MAY.since, until=MAY.until)
        written = compliance.to_csv(compliance.summary(calls))
    expected = DATA / f"legacy-audit-{log}.{slug or 'all'}.2026-05.csv"
    assert written.encode() == expected.read_bytes()


@given(st.lists(call, max_size=40))
def test_every_call_that_was_sent_is_in_exactly_one_row(rows: list[dict[str, object]]) -> None:
    counted = compliance.summary(frame(*rows))
    assert counted["call_count"].sum() == sum(row["outcome"] != "refused" for row in rows)
    assert counted["error_count"].sum() == sum(
        row["outcome"] not in ("ok", "refused") for row in rows
    )
    keys = counted.drop("call_count", "error_count", "avg_duration_ms")
    assert keys.n_unique() == counted.height == keys.sort(keys.columns).height
    assert keys.equals(keys.sort(keys.columns))


@given(st.lists(call, max_size=40))
def test_all_views_of_the_same_calls_add_up(rows: list[dict[str, object]]) -> None:
    calls = frame(*rows)
    total = compliance.summary(calls)["call_count"].sum()
    for view in (compliance.by_day, compliance.by_object, compliance.by_outcome):
        assert view(calls)["calls"].sum() == total
    overview = compliance.overview(calls)
    assert overview["calls"].sum() == total
    assert overview["refused"].sum() == compliance.refusals(calls)["refused"].sum()
    assert overview["calls"].sum() + overview["refused"].sum() == len(rows)


@given(st.lists(call, max_size=40))
def test_the_csv_reads_back_as_the_summary(rows: list[dict[str, object]]) -> None:
    counted = compliance.summary(frame(*rows))
    text = compliance.to_csv(counted)
    header, *lines = csv.reader(io.StringIO(text, newline=""))
    assert header == list(compliance.COLUMNS.values())
    told = [["" if cell is None else str(cell) for cell in row] for row in counted.iter_rows()]
    assert lines == told
    assert text.count("\r\n") == text.count("\n") == counted.height + 1


def test_an_unknown_outcome_is_a_call_and_an_error() -> None:
    row = one_row({"outcome": "unknown", "duration_ms": None}, {"outcome": "ok"})
    assert (row["call_count"], row["error_count"]) == (2, 1)


def test_a_refused_call_is_not_a_call() -> None:
    assert compliance.summary(frame({"outcome": "refused"})).height == 0
    assert compliance.overview(frame({"outcome": "refused"})).row(0, named=True)["refused"] == 1


def test_redirects_have_a_row_that_calls_them_so() -> None:
    codes = (200, 204, 301, 302, 404, None, 999)
    counted = compliance.by_outcome(frame(*({"status_code": code} for code in codes)))
    told = dict(counted.select("status_code", "status_class").iter_rows())
    redirect = "3xx (redirect)"
    assert list(map(told.get, codes)) == ["2xx", "2xx", redirect, redirect, "4xx", None, None]
    assert counted["calls"].to_list() == [1] * len(codes)


REFUSED = {
    "The fleet is halted: the credential of beta-inc reached portal 555, not 4321.": "halted",
    "This client for acme-corp is closed or belongs to another process.": "closed",
    "The connection of acme-corp was changed or removed after this client was handed out.": "closed",
    "/srv/jane.doe/store/acme-corp/main-1.age could not be read: denied.": "credential unreadable",
    "The identity /srv/jane.doe/id, which opens it, is not there.": "credential unreadable",
    "The store age:/srv/jane.doe answered, and holds no secret x.": "credential missing",
    "The stored secret of acme-corp is not the one that was proven.": "credential changed",
    "MISMATCH: the token belongs to portal 555 (beta-inc), expected 12345678.": "not proven",
    "HubSpot does not accept the token (401). Nothing else was sent.": "not proven",
    "Refused for acme-corp: the address is on another host than this portal's.": "another host",
    "Refused for acme-corp: the caller set the x-original-url header.": "a header",
    "Refused for acme-corp: HubSpot has no such method.": "the method",
    "Refused for acme-corp: the path could be read in two ways.": "the path",
    "Refused for acme-corp: an audit_only connection reads, and this call is a write.": (
        "the connection type"
    ),
    "Refused for acme-corp: no row of the route table says what this call does.": "unclassified",
    "client closed": "closed",
    "audit log closed": "closed",
    "credential store missing": "credential unreadable",
    "credential unusable": "credential unreadable",
    "not proven: portal mismatch": "not proven",
    "refused": "other",
    "beta-inc, portal 555, /home/jane": "other",
}


@pytest.mark.parametrize(("stored", "shown"), REFUSED.items())
def test_a_stored_reason_is_shown_as_one_of_a_few_words(stored: str, shown: str) -> None:
    counted = compliance.refusals(frame({"outcome": "refused", "reason": stored}))
    assert counted["reason"].to_list() == [shown]


@given(st.none() | st.sampled_from([*compliance.REASONS]) | st.text(alphabet="abc -/:.19\n"))
def test_no_free_text_of_a_refusal_is_shown(stored: str | None) -> None:
    counted = compliance.refusals(frame({"outcome": "refused", "reason": stored}))
    assert set(counted["reason"]) <= {*compliance.REASONS}
    if stored in compliance.REASONS:
        assert counted["reason"].to_list() == [stored]


def test_the_mean_is_over_known_durations_only_and_empty_without_any() -> None:
    known = one_row({"duration_ms": 100}, {"duration_ms": None}, {"duration_ms": 101})
    assert known["avg_duration_ms"] == 100.5
    unknown = compliance.summary(frame({"duration_ms": None}))
    assert compliance.to_csv(unknown).splitlines()[1].endswith(",1,0,")


def test_means_are_rounded_as_python_rounds() -> None:
    """1 / 4 = 0.25 is a tie, and goes to the even side."""
    rows = [{"duration_ms": ms} for ms in (1, 0, 0, 0)]
    assert one_row(*rows)["avg_duration_ms"] == round(0.25, 1) == 0.2


def test_days_are_utc_days() -> None:
    late = datetime(2026, 5, 31, 23, 59, 59, 999999, tzinfo=UTC)
    rows = frame({"ts": late}, {"ts": late + timedelta(microseconds=1)})
    assert compliance.summary(compliance.within(rows, MAY))["date"].to_list() == [date(2026, 5, 31)]


def test_an_unknown_object_is_other() -> None:
    assert one_row({"object_type": None}, {"object_type": "other"})["object_type"] == "other"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_in_the_csv_can_become_a_formula(start: str) -> None:
    text = compliance.to_csv(compliance.summary(frame({"object_type": f"{start}1+1"})))
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[1][4] == f"'{start}1+1"


def test_the_evidence_says_what_was_asked_for_and_what_was_found() -> None:
    calls = frame(
        {"ts": NOON - timedelta(days=40)},
        {"ts": NOON, "origin": "imported"},
        {"ts": NOON + timedelta(days=1), "outcome": "unknown"},
        {"ts": NOON + timedelta(days=2), "outcome": "refused"},
    )
    damage = (Damage(client_slug="acme-corp", file="0001.jsonl", line=7, cause="not a record"),)
    activity = pl.DataFrame(schema=lake.ACTIVITY)
    told = compliance.evidence(Reading(calls=calls, activity=activity, damage=damage), MAY)
    assert told.found == (NOON, NOON + timedelta(days=2))
    assert told.recorded == (NOON - timedelta(days=40), NOON + timedelta(days=2))
    assert (told.calls, told.unknown, told.refused) == (2, 1, 1)
    assert told.by_origin == {"imported": 1, "witnessed": 2}
    shown = dict(told.frame().iter_rows())
    assert shown["Requested"] == "2026-05-01 to 2026-05-31"
    assert shown["Lines that could not be read"] == "0001.jsonl line 7: not a record"


def test_evidence_of_nothing_says_nothing_was_found() -> None:
    reading = Reading(calls=frame(), activity=pl.DataFrame(schema=lake.ACTIVITY), damage=())
    told = compliance.evidence(reading, MAY)
    assert told.found is None
    assert dict(told.frame().iter_rows())["Records found"] == "nothing"


def test_malformed_lines_of_an_import_are_evidence_without_the_name_of_the_file(
    tmp_path: Path,
) -> None:
    """The file may be named after another client."""
    with Agency.create(tmp_path / "workspace", store="age:credentials") as agency:
        import_file(agency.writer, DATA / "legacy-audit-snake.jsonl", name="beta-inc (old).log")
        told = compliance.evidence(agency.audit.read("acme-corp"), MAY)
    assert len(told.imports) == 1
    assert told.imports[0].endswith("; 3 malformed lines were left out.")
    assert "beta-inc" not in told.imports[0]


def test_calls_that_judged_a_key_are_counted_beside_the_report_and_not_in_it() -> None:
    own = frame(
        {"client_slug": "_agency", "candidate_slug": "acme-corp"},
        {"client_slug": "_agency", "candidate_slug": "acme-corp", "ts": NOON - timedelta(days=40)},
        {"client_slug": "_agency", "candidate_slug": "acme-corp", "outcome": "refused"},
        {"client_slug": "_agency", "candidate_slug": "beta-inc"},
        {"client_slug": "_agency"},
    )
    torn = (Damage(client_slug="_agency", file="0001.jsonl", line=3, cause="not a record"),)
    activity = pl.DataFrame(schema=lake.ACTIVITY)
    reading = Reading(calls=frame({}), activity=activity, damage=())
    log = Reading(calls=own, activity=activity, damage=torn)
    told = compliance.evidence(reading, MAY, judging=compliance.judged(log, "acme-corp"))
    assert (told.calls, told.judging) == (1, 1)
    shown = dict(told.frame().iter_rows())
    assert shown["Calls to judge a key before it was stored"].startswith("1 (")
    assert shown["Lines that could not be read"].startswith("the agency's own 0001.jsonl line 3")


def test_frames_have_the_columns_and_types_that_their_docstrings_name() -> None:
    text, count = pl.String(), pl.Int64()
    counted = {"calls": count, "errors": count, "simulated": count}
    schemas = {
        compliance.overview: {"origin": text, **dict.fromkeys(("calls", "errors", "unknown", "refused"), count)},
        compliance.by_day: {"date": pl.Date(), "outcome": text, **counted},
        compliance.by_object: {"object_type": text, "operation": text, **counted},
        compliance.by_outcome: {
            "outcome": text, "status_class": text, "status_code": count, **counted,
        },
        compliance.refusals: {"reason": text, "refused": count, "simulated": count},
        compliance.summary: {
            "client_slug": text, "portal_id": count, "date": pl.Date(), "method": text,
            "object_type": text, "call_count": count, "error_count": count,
            "avg_duration_ms": pl.Float64(),
        },
    }  # fmt: skip
    for view, schema in schemas.items():
        assert dict(view(frame({})).schema) == schema


def test_the_csv_has_its_eight_columns() -> None:
    assert list(compliance.COLUMNS.values()) == [
        *("clientSlug", "portalId", "date", "method", "objectType"),
        *("callCount", "errorCount", "avgDurationMs"),
    ]
