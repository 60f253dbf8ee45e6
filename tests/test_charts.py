"""Every chart draws without a network, says what it shows, and owns up to simulated data."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import altair as alt
import polars as pl
import pytest

from hsagency import charts, compliance, quota
from hsagency.audit.lake import CALLS
from hsagency.periods import Period

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
MAY = Period.of(month="2026-05")

DRAWN: dict[str, Callable[[pl.LazyFrame], Any]] = {
    "limit": lambda calls: charts.calls_against_limit(quota.calls_per_day(calls, 1000), period=MAY),
    "no limit": lambda calls: charts.calls_against_limit(quota.calls_per_day(calls, None)),
    "policies": lambda calls: charts.refusals_by_policy(quota.refusals_by_policy(calls)),
    "days": lambda calls: charts.calls_by_day(compliance.by_day(calls), period=MAY),
    "objects": lambda calls: charts.operations_by_object(compliance.by_object(calls)),
}
every_chart = pytest.mark.parametrize("name", DRAWN)


@pytest.fixture(autouse=True)
def _enabled() -> Iterator[None]:
    theme, renderer = alt.theme.active, alt.renderers.active
    charts.enable()
    yield
    alt.theme.enable(theme)
    alt.renderers.enable(renderer)


def calls(*, origin: str = "witnessed", count: int = 12) -> pl.LazyFrame:
    outcomes = ["ok", "ok", "rate_limited", "unknown"]
    rows = [
        {
            "ts": NOON + timedelta(hours=9 * n), "client_slug": "acme-corp", "origin": origin,
            "outcome": outcomes[n % 4], "object_type": ["contacts", "<b>deals</b>"][n % 2],
            "operation_class": "read",
        }
        for n in range(count)
    ]  # fmt: skip
    return pl.LazyFrame(rows, schema=CALLS)


def shown(chart: Any) -> str:
    bundle = chart._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    return str(data["text/html"])


def picture(markup: str) -> str:
    found = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', markup)
    assert found is not None
    return base64.b64decode(found[1]).decode()


@every_chart
def test_a_chart_is_a_picture_beside_its_specification(name: str) -> None:
    markup = shown(DRAWN[name](calls()))
    assert "<svg" in picture(markup)
    found = re.search(r'<script type="application/json">(.*)</script></div>$', markup)
    assert found is not None
    assert "<" not in found[1]
    assert json.loads(found[1])["$schema"].startswith("https://vega.github.io/schema/vega-lite/")


@every_chart
def test_a_chart_has_a_text_for_those_who_do_not_see_it(name: str) -> None:
    described = DRAWN[name](calls()).to_dict()["description"]
    assert len(described) > 20
    assert 'alt="' in shown(DRAWN[name](calls()))


@every_chart
def test_simulated_history_is_labelled_on_the_chart_itself(name: str) -> None:
    chart = DRAWN[name](calls(origin="simulated"))
    assert "Simulated history" in chart.to_dict()["description"]
    assert "Simulated history" in picture(shown(chart))


@every_chart
def test_nothing_is_called_simulated_that_is_not(name: str) -> None:
    assert "imulated history" not in shown(DRAWN[name](calls()))


@every_chart
def test_a_chart_of_nothing_says_so(name: str) -> None:
    drawn = picture(shown(DRAWN[name](calls(count=0))))
    assert "in this period." in drawn


@every_chart
def test_no_chart_holds_single_calls(name: str) -> None:
    spec = DRAWN[name](calls(count=2000)).to_dict()
    assert sum(len(rows) for rows in spec["datasets"].values()) < 2000


def test_the_portals_own_limit_is_on_the_chart() -> None:
    drawn = picture(shown(DRAWN["limit"](calls())))
    assert "Limit 1,000 calls a day" in drawn
    assert "Share of limit" in drawn


def test_a_limit_that_is_not_known_is_said_to_be_unknown() -> None:
    drawn = picture(shown(DRAWN["no limit"](calls())))
    assert "is not known" in drawn
    assert "Share of limit" not in drawn


def test_what_everybody_used_is_on_the_chart_where_hubspot_told_it() -> None:
    told = calls().with_columns(rate_limit_daily=pl.lit(1000), rate_limit_remaining=pl.lit(250))
    drawn = DRAWN["limit"](told)
    assert "Everybody together used at most 75.00% of it" in drawn.to_dict()["description"]
    assert "everybody, as HubSpot told" in picture(shown(drawn))
    assert "verybody" not in picture(shown(DRAWN["limit"](calls())))


def test_the_day_after_the_period_has_no_name_on_the_axis() -> None:
    drawn = picture(shown(DRAWN["days"](calls())))
    assert ">1 May<" in drawn
    assert ">1 Jun<" not in drawn
