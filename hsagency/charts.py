"""
The charts of reports and notebooks: a small frame in, an Altair chart out.

Frames come counted from `quota` and `compliance`; no chart embeds single calls. Every chart
carries a text for those who do not see it, colours that the colour-blind can tell apart, and
a line that says so wherever simulated history is in it: the frames bring that count along.

`enable()` registers the theme and a renderer that needs no network: each chart is a picture
and, beside it, its specification. JupyterLab and mail programs show the picture; a report
page, which holds the drawing library once, replaces it with the live chart.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from typing import Any, Final

import altair as alt  # noqa: TID253 - charts are what this module is
import polars as pl

from hsagency.periods import Period
from hsagency.quota import percent

OUTCOMES: Final = {
    # Okabe and Ito's palette, in stacking order
    "ok": "#0072b2",
    "client_error": "#e69f00",
    "rate_limited": "#cc79a7",
    "server_error": "#d55e00",
    "unknown": "#7a7a7a",
}
OPERATIONS: Final = {
    "read": "#0072b2",
    "write": "#009e73",
    "delete": "#d55e00",
    "export": "#cc79a7",
    "send": "#e69f00",
    "admin": "#56b4e9",
    "unclassified": "#7a7a7a",
}

_WIDTH: Final = 740
_BLUE: Final = "#0072b2"
_GREY: Final = "#b8c4cc"
_LIMIT: Final = "#b03a00"
_VEGA_LITE: Final = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])


def enable() -> None:
    """Use this module's theme and its offline renderer for every chart from here on."""
    alt.theme.register("hsagency", enable=True)(_theme)
    alt.renderers.register("hsagency", _render)
    alt.renderers.enable("hsagency")


def calls_against_limit(days: pl.DataFrame, *, period: Period | None = None) -> alt.VConcatChart:
    """
    Draw `quota.calls_per_day`: calls a day, and below them the share of the day's limit.

    Two panels, because a portal at one percent of its limit would show nothing but the limit
    on a common scale. Days whose limit is not known have no share.
    """
    if not days.height:
        return alt.vconcat(_nothing("Calls a day", "No calls were recorded in this period."))
    unknown = days["limit"].null_count()
    lines = _limits(days) + ([f"Days whose limit is not known: {unknown:,}."] if unknown else [])
    x = _day_axis(period)
    calls = (
        alt.Chart(days, width=_WIDTH, height=180)
        .mark_bar(color=_BLUE)
        .encode(
            x,
            alt.Y("calls:Q").title("Calls"),
            tooltip=[_day_tip(), _tip("calls", "Calls"), _tip("limit", "Limit")],
        )
        .properties(title=_title("Calls a day against the portal's own limit", days, *lines))
    )
    panels = [calls] if unknown == days.height else [calls, _shares(days, x)]
    busiest = days.row(int(days["calls"].arg_max() or 0), named=True)
    said = f"Calls a day; the busiest day is {busiest['date']} with {busiest['calls']:,} calls."
    chart: alt.VConcatChart = alt.vconcat(*panels, spacing=14).properties(
        description=_described(" ".join([said, *lines]), days)
    )
    return chart


def _shares(days: pl.DataFrame, x: alt.X) -> alt.LayerChart:
    """Draw what this agency used, in front of what everybody had used where HubSpot told it."""
    told = days.drop_nulls("limit").select("date", "share", "portal_share", "remaining")
    whole = told["portal_share"].count() > 0
    used = pl.concat([told["portal_share"], told["share"]]).cast(pl.Float64).drop_nulls()
    top = max([1.0, *used.to_list()])
    y = alt.Y().title("Share of limit").axis(format=".0%", tickCount=4)
    y = y.scale(domain=[0, top * 1.05])
    whose = (
        alt.Color("whose:N")
        .title(None)
        .legend(orient="bottom", direction="horizontal", labelLimit=0)
    )
    tips = [
        _day_tip(),
        alt.Tooltip("share:Q").title("Used by this agency").format(".2%"),
    ]
    if whole:
        tips.append(alt.Tooltip("portal_share:Q").title("Used by everybody, as told").format(".1%"))
        tips.append(_tip("remaining", "Left, last told that day"))
    names, fills = ([_EVERYBODY, _OURS], [_GREY, _BLUE]) if whole else ([_OURS], [_BLUE])
    colours = whose.scale(domain=names, range=fills)
    base = alt.Chart(told, width=_WIDTH, height=110)
    everybody = (
        base.transform_calculate(whose=f"'{_EVERYBODY}'")
        .mark_bar()
        .encode(x, y.field("portal_share").type("quantitative"), colours, tooltip=tips)
    )
    ours = (
        base.transform_calculate(whose=f"'{_OURS}'")
        .mark_bar()
        .encode(x, y.field("share").type("quantitative"), colours, tooltip=tips)
    )
    rule = alt.Chart(pl.DataFrame({"limit": [1.0]})).mark_rule(color=_LIMIT, strokeDash=[6, 3])
    behind = [everybody] if whole else []
    return alt.LayerChart(layer=[*behind, ours, rule.encode(alt.Y("limit:Q"))])


_EVERYBODY: Final = "everybody, as HubSpot told"
_OURS: Final = "this agency, by its own log"


def _limits(days: pl.DataFrame) -> list[str]:
    limits = days["limit"].drop_nulls().unique().sort()
    if not limits.len():
        return []
    told = " and ".join(f"{limit:,}" for limit in limits.to_list())
    lines = [f"Limit {told} calls a day; this agency used at most {_peak(days, 'share')}."]
    if days["portal_share"].count():
        lines.append(f"Everybody together used at most {_peak(days, 'portal_share')}.")
    return lines


def _peak(days: pl.DataFrame, column: str) -> str:
    share, day = days.select(column, "date").drop_nulls().sort(column, descending=True).row(0)
    return f"{percent(share)} of it ({day})"


def refusals_by_policy(refusals: pl.DataFrame) -> alt.Chart:
    """Draw `quota.refusals_by_policy`: how often HubSpot answered 429, by the policy named."""
    title = "Refused by HubSpot (429), by policy"
    if not refusals.height:
        return _nothing(title, "HubSpot refused no call in this period.")
    total = int(refusals["refusals"].sum())
    chart: alt.Chart = (
        alt.Chart(refusals, width=_WIDTH, height=alt.Step(28))
        .mark_bar(color=OUTCOMES["rate_limited"])
        .encode(
            alt.X("refusals:Q").title("Refusals").axis(tickMinStep=1, tickCount=8),
            alt.Y("policy:N").title(None).sort("-x"),
            tooltip=[alt.Tooltip("policy:N").title("Policy"), _tip("refusals", "Refusals")],
        )
        .properties(
            title=_title(title, refusals, total=total),
            description=_described(f"{title}: {total:,} in all.", refusals, total=total),
        )
    )
    return chart


def calls_by_day(counted: pl.DataFrame, *, period: Period | None = None) -> alt.Chart:
    """Draw `compliance.by_day`: calls a day, stacked by how they ended."""
    title = "Calls a day, by outcome"
    if not counted.height:
        return _nothing(title, "No calls were recorded in this period.")
    totals = counted.group_by("outcome").agg(pl.col("calls").sum()).sort("outcome")
    said = ", ".join(f"{outcome} {calls:,}" for outcome, calls in totals.iter_rows())
    chart: alt.Chart = (
        alt.Chart(_ranked(counted, "outcome", OUTCOMES), width=_WIDTH, height=220)
        .mark_bar()
        .encode(
            _day_axis(period),
            alt.Y("calls:Q").title("Calls"),
            _colour("outcome", OUTCOMES, counted),
            alt.Order("rank:Q"),
            tooltip=[
                _day_tip(),
                alt.Tooltip("outcome:N").title("Outcome"),
                _tip("calls", "Calls"),
            ],
        )
        .properties(
            title=_title(title, counted), description=_described(f"{title}: {said}.", counted)
        )
    )
    return chart


def operations_by_object(counted: pl.DataFrame) -> alt.Chart:
    """Draw `compliance.by_object`: what was done to which kind of object."""
    title = "Calls by object and operation"
    if not counted.height:
        return _nothing(title, "No calls were recorded in this period.")
    totals = counted.group_by("object_type").agg(pl.col("calls").sum())
    totals = totals.sort("calls", "object_type", descending=[True, False])
    said = ", ".join(f"{name} {calls:,}" for name, calls in totals.iter_rows())
    chart: alt.Chart = (
        alt.Chart(_ranked(counted, "operation", OPERATIONS), width=_WIDTH, height=alt.Step(26))
        .mark_bar()
        .encode(
            alt.X("calls:Q").title("Calls").axis(tickMinStep=1, tickCount=8),
            alt.Y("object_type:N").title(None).sort(totals["object_type"].to_list()),
            _colour("operation", OPERATIONS, counted),
            alt.Order("rank:Q"),
            tooltip=[
                alt.Tooltip("object_type:N").title("Object"),
                alt.Tooltip("operation:N").title("Operation"),
                _tip("calls", "Calls"),
            ],
        )
        .properties(
            title=_title(title, counted), description=_described(f"{title}: {said}.", counted)
        )
    )
    return chart


def _nothing(title: str, text: str) -> alt.Chart:
    chart: alt.Chart = (
        alt.Chart(pl.DataFrame({"text": [text]}), width=_WIDTH, height=40, title=title)
        .mark_text(align="left", x=0, fontSize=13)
        .encode(text="text:N")
        .properties(description=f"{title}: {text}")
    )
    return chart


def _simulated(frame: pl.DataFrame, total: int | None) -> list[str]:
    """Say how much of what is shown never happened."""
    simulated = frame["simulated"].sum()
    shown = frame["calls"].sum() if total is None else total
    return [f"Simulated history: {simulated:,} of {shown:,} never happened."] if simulated else []


def _title(text: str, frame: pl.DataFrame, *lines: str, total: int | None = None) -> alt.Title:
    return alt.Title(text, subtitle=[*lines, *_simulated(frame, total)])


def _described(text: str, frame: pl.DataFrame, *, total: int | None = None) -> str:
    return " ".join([text, *_simulated(frame, total)])


def _day_axis(period: Period | None) -> alt.X:
    """Days are UTC days wherever the page is read."""
    form = alt.Axis(format="%-d %b", grid=False, labelOverlap="parity", labelFlush=False)
    axis = alt.X("date:T").timeUnit("utcyearmonthdate").title(None)
    if period is None:
        return axis.axis(form)
    ends = (period.since, period.until)
    # The axis ends where the day after begins: not a day of the period, so it gets no name.
    after = f"{period.until.day} {period.until:%b}"
    form.labelExpr = f"datum.index == 1 && datum.label == '{after}' ? '' : datum.label"
    return axis.axis(form).scale(
        domain=[alt.DateTime(year=e.year, month=e.month, date=e.day, utc=True) for e in ends]
    )


def _day_tip() -> alt.Tooltip:
    return alt.Tooltip("date:T").timeUnit("utcyearmonthdate").title("Day").format("%Y-%m-%d")


def _tip(name: str, title: str) -> alt.Tooltip:
    return alt.Tooltip(f"{name}:Q").title(title).format(",")


def _ranked(frame: pl.DataFrame, column: str, order: dict[str, str]) -> pl.DataFrame:
    ranks = {name: rank for rank, name in enumerate(order)}
    return frame.with_columns(
        pl.col(column).replace_strict(ranks, default=len(ranks)).alias("rank")
    )


def _colour(column: str, colours: dict[str, str], frame: pl.DataFrame) -> alt.Color:
    """One colour a name, always the same; only names that occur are in the legend."""
    present: Sequence[str] = frame[column].unique().to_list()
    names = [name for name in colours if name in present]
    names += sorted(set(present) - set(colours))
    return (
        alt.Color(f"{column}:N")
        .title(None)
        .scale(domain=names, range=[colours.get(name, "#000000") for name in names])
        .legend(orient="top", direction="horizontal", symbolType="square")
    )


def _theme() -> alt.theme.ThemeConfig:
    return {
        "config": {
            "background": "white",
            "font": "Helvetica, Arial, sans-serif",
            "view": {"stroke": None},
            "title": {
                "anchor": "start",
                "color": "#1b2730",
                "fontSize": 15,
                "subtitleColor": "#55626c",
                "subtitleFontSize": 12,
                "offset": 12,
            },
            "axis": {
                "labelColor": "#333f48",
                "titleColor": "#333f48",
                "titleFontWeight": "normal",
                "gridColor": "#e3e7ea",
                "domainColor": "#9aa5ad",
                "tickColor": "#9aa5ad",
            },
            "bar": {"stroke": "white", "strokeWidth": 0.5},
            "legend": {"labelColor": "#333f48"},
            "padding": 8,
        }
    }


def _render(spec: dict[str, Any], **_: object) -> dict[str, str]:
    """Return a chart as a picture and its specification; the page, if any, brings it to life."""
    import vl_convert

    svg = vl_convert.vegalite_to_svg(spec, vl_version=_VEGA_LITE)
    picture = base64.b64encode(svg.encode()).decode()
    said = str(spec.get("description", "Chart"))
    data = json.dumps(spec, separators=(",", ":")).replace("<", "\\u003c")
    return {
        "text/html": (
            f'<div class="hsa-chart"><img alt="{html.escape(said)}" '
            f'src="data:image/svg+xml;base64,{picture}">'
            f'<script type="application/json">{data}</script></div>'
        ),
        "text/plain": said,
    }
