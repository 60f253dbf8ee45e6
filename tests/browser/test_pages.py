"""Report pages in a real browser, with the network refused."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hsagency import reports
from hsagency.agency import Agency
from hsagency.audit.record import timestamp
from hsagency.periods import Period

pytestmark = pytest.mark.needs("chromium")

PERIOD = Period.of(first="2026-05-01", last="2026-05-20")
DRAWN = "[...document.querySelectorAll('.hsa-chart')].every(one => one.dataset.drawn == 'live')"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("pages") / "workspace"
    with Agency.create(root, store="age:credentials", name="Northwind Agency") as agency:
        for n in range(240):
            at = PERIOD.since + timedelta(hours=2 * n)
            agency.writer.append("acme-corp", record(n, at), durable=False)
        agency.writer.flush()
        return [
            reports.report(agency, kind, ["acme-corp"], PERIOD)[0].files[0]
            for kind in ("quota", "compliance")
        ]


def record(number: int, at: datetime) -> dict[str, Any]:
    outcome = ("ok", "ok", "ok", "rate_limited", "unknown")[number % 5]
    return {
        "event": "call.finished", "callId": f"c{number}", "ts": timestamp(at.astimezone(UTC)),
        "clientSlug": "acme-corp", "portalId": 12345678, "method": "GET", "outcome": outcome,
        "operationClass": "read", "objectType": ("contacts", "<script>alert(1)</script>")[number % 2],
        "durationMs": 100, "rateLimitDaily": 250_000, "policyName": "DAILY",
        "origin": "simulated" if number < 100 else "witnessed",
    }  # fmt: skip


def test_every_chart_draws_with_the_network_refused(pages: list[Path], browser: Any) -> None:
    for path in pages:
        window = browser.window.new_page()
        said: list[str] = []
        window.on("console", lambda message, said=said: said.append(message.text))
        window.on("pageerror", lambda error, said=said: said.append(str(error)))
        window.goto(path.as_uri())
        window.wait_for_function(DRAWN)
        assert window.locator(".hsa-chart").count() == 2
        assert window.locator(".hsa-chart svg").count() == 2
        assert window.locator(".hsa-chart img").count() == 0
        assert window.locator(".hsa-chart [role=graphics-document][aria-label]").count() == 2
        assert said == []
    assert browser.refused == []


def test_days_on_the_axis_are_utc_days_wherever_the_page_is_read(
    pages: list[Path], browser: Any
) -> None:
    window = browser.window.new_page()
    window.goto(pages[1].as_uri())
    window.wait_for_function(DRAWN)
    first = window.locator(".hsa-chart").first
    assert "1 May" in first.inner_text()
    assert "30 Apr" not in first.inner_text()
    assert first.locator('[aria-label*="Day: 2026-05-01"]').count() > 0
    assert first.locator('[aria-label*="2026-04-30"]').count() == 0


def test_without_scripts_the_pictures_stay(pages: list[Path], browser: Any, tmp_path: Path) -> None:
    """As in a mail program; and what a record holds is text there too."""
    still = tmp_path / "still.html"
    shutil.copyfile(pages[1], still)
    still.write_text(
        still.read_text("utf-8").replace("script-src 'sha256-", "script-src 'sha256-x")
    )
    window = browser.window.new_page()
    window.goto(still.as_uri())
    assert window.locator(".hsa-chart svg").count() == 0
    widths = window.locator(".hsa-chart img").evaluate_all(
        "all => all.map(one => one.naturalWidth)"
    )
    assert len(widths) == 2
    assert min(widths) > 400


def test_a_page_fits_a_narrow_screen_and_paper(pages: list[Path], browser: Any) -> None:
    window = browser.window.new_page()
    window.goto(pages[0].as_uri())
    window.wait_for_function(DRAWN)
    window.set_viewport_size({"width": 380, "height": 800})
    overhang = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert window.evaluate(overhang) == 0
    window.set_viewport_size({"width": 680, "height": 960})
    window.emulate_media(media="print")
    assert window.evaluate(overhang) == 0
    assert window.pdf().startswith(b"%PDF")


def test_the_long_table_is_folded_on_screen_and_whole_on_paper(
    pages: list[Path], browser: Any
) -> None:
    window = browser.window.new_page()
    window.goto(pages[1].as_uri())
    window.wait_for_function(DRAWN)
    seen = "one => one.checkVisibility({contentVisibilityAuto: true})"
    rows = window.locator("details tbody tr")
    assert rows.count() == 40
    assert not rows.last.evaluate(seen)
    window.emulate_media(media="print")
    assert rows.last.evaluate(seen)
    assert not window.locator("summary").is_visible()
    window.emulate_media(media="screen")
    window.get_by_text("Show 40 rows").click()
    assert rows.last.evaluate(seen)
