"""One CSV over all clients, and beside it a text that keeps it inside."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsagency import reports
from hsagency.agency import Agency
from hsagency.errors import NothingToReport
from hsagency.periods import Period
from hsagency.portals import AGENCY

DATA = Path(__file__).parents[1] / "data"


def test_the_fleet_csv_holds_all_clients_and_is_marked_internal(
    agency: Agency, may: Period
) -> None:
    path = reports.fleet_csv(agency, may)
    assert path == agency.workspace.reports / "_fleet" / "2026-05" / "compliance.csv"
    assert path.read_bytes() == (DATA / "legacy-audit-camel.all.2026-05.csv").read_bytes()
    said = path.with_name("README.txt").read_text("utf-8")
    assert said.startswith("INTERNAL")
    assert "Clients: 3" in said
    assert "Requested: 2026-05-01 to 2026-05-31" in said


def test_calls_before_a_connection_are_counted_beside_it(agency: Agency, may: Period) -> None:
    agency.writer.append(
        AGENCY,
        {
            "event": "call.finished", "callId": "a", "ts": "2026-05-03T00:00:00.000000Z",
            "clientSlug": "_agency", "candidateSlug": "acme-corp", "outcome": "ok", "method": "GET",
        },
    )  # fmt: skip
    path = reports.fleet_csv(agency, may)
    assert path.read_bytes() == (DATA / "legacy-audit-camel.all.2026-05.csv").read_bytes()
    assert "before it was stored: 1 (" in path.with_name("README.txt").read_text("utf-8")


def test_a_fleet_without_records_writes_nothing(agency: Agency) -> None:
    with pytest.raises(NothingToReport):
        reports.fleet_csv(agency, Period.of(month="2025-01"))
    assert not (agency.workspace.reports / "_fleet").exists()
