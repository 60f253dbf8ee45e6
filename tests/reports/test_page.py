"""The page around a report: what it says, what it shows and what it forbids."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime

import altair as alt
import nbformat
import pytest

from hsagency.reports.notebook import cleaned
from hsagency.reports.page import VEGA_LITE, Heading, body_of, library, page

HEADING = Heading(
    title="Quota report",
    client="Acme <Corp> (acme-corp, portal 12345678)",
    period="2026-05-01 to 2026-05-31 (UTC days)",
    agency='Northwind & "Sons"',
    made_at=datetime(2026, 6, 1, 9, 30, tzinfo=UTC),
)
CHART = '<div class="hsa-chart"><img alt="x" src="data:,"><script type="application/json">{}</script></div>'


def ran(*outputs: nbformat.NotebookNode, tags: tuple[str, ...] = ()) -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell("secret_recipe = 1", metadata={"tags": list(tags)})
    cell.outputs = list(outputs)
    text = nbformat.v4.new_markdown_cell("## Part\n\nSome *words*.")
    return nbformat.v4.new_notebook(cells=[text, cell])


def output(**data: str) -> nbformat.NotebookNode:
    kinds = {"html": "text/html", "plain": "text/plain", "svg": "image/svg+xml", "png": "image/png"}
    return nbformat.v4.new_output(
        "display_data", data={kinds[kind]: value for kind, value in data.items()}
    )


def test_names_are_escaped() -> None:
    made = page(HEADING, "<p>Body</p>")
    assert "Acme &lt;Corp&gt;" in made
    assert "Acme <Corp>" not in made
    assert "Northwind &amp; &quot;Sons&quot;" in made
    assert "made 2026-06-01 09:30 UTC" in made


def test_the_policy_allows_the_pages_own_scripts_and_nothing_else() -> None:
    made = page(HEADING, CHART)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', made)
    scripts = re.findall(r'<script type="module">(.*?)</script>', made, re.DOTALL)
    assert policy is not None
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy[1]
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")


def test_a_page_without_charts_has_no_scripts() -> None:
    made = page(HEADING, "<p>Body</p>")
    assert "<script" not in made
    assert "script-src 'none'" in made


def test_the_library_that_draws_is_for_the_charts_that_altair_writes() -> None:
    assert alt.SCHEMA_VERSION.startswith(f"v{VEGA_LITE}.")


def test_nothing_in_the_library_ends_its_script_or_changes_on_the_way() -> None:
    assert "window.vegaEmbed=" in library()
    assert "</script" not in library()
    assert "\r" not in library()


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (output(html="<b>1</b>", plain="one"), "<b>1</b>"),
        (output(plain="<one>"), "<pre>&lt;one&gt;</pre>"),
        (output(png="aGk=\n"), 'src="data:image/png;base64,aGk="'),
        (output(svg="<svg/>"), 'src="data:image/svg+xml;base64,PHN2Zy8+"'),
        (nbformat.v4.new_output("stream", text="said & done"), "said &amp; done"),
    ],
)
def test_outputs_are_shown_in_the_richest_form_there_is(
    shown: nbformat.NotebookNode, expected: str
) -> None:
    body = body_of(ran(shown))
    assert expected in body
    assert "<em>words</em>" in body
    assert "secret_recipe" not in body


def test_what_a_run_leaves_behind_is_cut_away() -> None:
    notebook = ran(
        output(plain="kept"),
        nbformat.v4.new_output("stream", name="stderr", text="a warning with a path"),
    )
    notebook.metadata["papermill"] = {"input_path": "somewhere"}
    notebook.cells[1].metadata["papermill"] = {"duration": 1}
    assert "papermill" not in str(cleaned(notebook))
    assert "kept" in body_of(notebook)
    assert "warning" not in body_of(notebook)


@pytest.mark.parametrize("tag", ["parameters", "injected-parameters", "working"])
def test_what_is_for_the_operator_alone_is_not_shown(tag: str) -> None:
    assert "inside" not in body_of(cleaned(ran(output(plain="inside"), tags=(tag,))))
