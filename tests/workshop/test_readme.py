"""The README's first example is run as it stands there; its names and links exist."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import altair as alt
import pytest

from hsagency.demo import run_demo

README = (Path(__file__).parents[2] / "README.md").read_text()
PICTURED = date(2026, 11, 20)  # the example asks for the month before
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_example_makes_the_chart_in_the_picture(tmp_path, monkeypatch):
    run_demo(tmp_path / "hsagency-demo", portals=1, say=lambda _: None, today=PICTURED)
    monkeypatch.chdir(tmp_path)
    *statements, last = BLOCKS[0].strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(statements), names)
    chart = eval(last, names)
    names["agency"].close()  # type: ignore[attr-defined]
    assert isinstance(chart, alt.TopLevelMixin)
    assert "simulated" in chart.to_json().lower()


def test_every_folder_and_module_of_the_layout_exists():
    layout = README.split("## Where everything is")[1].split("```")[1]
    root = Path(__file__).parents[2]
    for name in re.findall(r"[\w]+(?:\.py|/)", layout):
        found = [root / name, root / "hsagency" / name, root / "hsagency" / "audit" / name]
        found.append(root / "tests" / name)
        assert any(one.exists() for one in found), name


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_every_link_of_the_readme_leads_somewhere(link):
    assert (Path(__file__).parents[2] / link).exists()
