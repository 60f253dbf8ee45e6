"""What a notebook is about when it was not told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hsagency import reports
from hsagency.agency import Agency
from hsagency.audit.importing import import_file
from hsagency.errors import BadSlug, NothingToReport, UnknownClient, UsageError
from tests.fleets import connected
from tests.support import records


def test_what_is_named_is_taken_and_nothing_is_explained(agency: Agency) -> None:
    chosen = reports.choose(agency, client="beta-inc", month="2026-05")
    assert (chosen.client_slug, chosen.period.label, chosen.why) == ("beta-inc", "2026-05", "")
    assert chosen.portal == "beta-inc (portal 87654321)"
    assert chosen.daily_limit is None


def test_days_may_be_named_instead_of_a_month(agency: Agency) -> None:
    chosen = reports.choose(agency, client="beta-inc", first="2026-05-03", last="2026-05-04")
    assert chosen.period.label == "2026-05-03_2026-05-04"


def test_this_month_is_taken_while_it_has_records(agency: Agency) -> None:
    now = datetime(2026, 5, 20, tzinfo=UTC)
    assert reports.choose(agency, client="acme-corp", now=now).period.label == "2026-05"


def test_else_the_last_month_with_records_is_and_it_says_which(agency: Agency) -> None:
    chosen = reports.choose(agency, now=datetime(2026, 11, 1, tzinfo=UTC))
    assert chosen.client_slug == "acme-corp"
    assert "this is acme-corp" in chosen.why
    assert "this is 2026-06" in chosen.why
    assert chosen.why in chosen._repr_html_()


def test_a_workspace_without_clients_has_nothing_to_report(tmp_path: Path) -> None:
    with (
        Agency.create(tmp_path / "new", store="age:credentials") as agency,
        pytest.raises(NothingToReport),
    ):
        reports.choose(agency)


def test_nonsense_is_refused(agency: Agency) -> None:
    with pytest.raises(UnknownClient):
        reports.choose(agency, client="nobody")
    with pytest.raises(BadSlug):
        reports.choose(agency, client="../audit")
    with pytest.raises(UsageError):
        reports.choose(agency, client="acme-corp", first="2026-05-03")


def test_a_connected_client_brings_its_name_and_its_own_limit(tmp_path: Path) -> None:
    with connected(tmp_path / "workspace", portals=1) as one:
        [slug] = one.agency.slugs()
        chosen = reports.choose(one.agency, client=slug)
        [portal] = one.sandbox.portals
    assert chosen.portal == f"{portal.name} ({slug}, portal {portal.portal_id})"
    assert chosen.daily_limit in (250_000, 625_000, 1_000_000)


def test_calls_that_judged_the_key_are_evidence_of_the_client_they_judged(tmp_path: Path) -> None:
    with connected(tmp_path / "workspace", portals=2) as one:
        made = [record for record in records(one.root, "_agency") if "candidateSlug" in record]
        for slug in one.agency.slugs():
            own = {record["callId"] for record in made if record["candidateSlug"] == slug}
            chosen = reports.choose(one.agency, client=slug)
            assert chosen.evidence().judging == len(own) > 0


def test_the_records_of_another_portal_get_neither_its_name_nor_its_limit(tmp_path: Path) -> None:
    """An imported log may hold the same slug for a portal the client had before."""
    with connected(tmp_path / "workspace", portals=1) as one:
        (slug,) = one.agency.slugs()
        log = tmp_path / "old.jsonl"
        line = {"ts": "2026-05-04T12:00:00Z", "portalId": 12345678, "clientSlug": slug}
        line |= {"method": "GET", "path": "/crm/v3/objects/contacts", "statusCode": 200}
        log.write_text(json.dumps(line) + "\n")
        import_file(one.agency.writer, log)
        chosen = reports.choose(one.agency, client=slug, month="2026-05")
        assert chosen.portal == f"{slug} (portal 12345678)"
        assert chosen.daily_limit is None
        assert "other portals" in chosen.why
        assert chosen.evidence().by_portal == {12345678: 1}
