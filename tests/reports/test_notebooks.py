"""The shipped notebooks run as they are, and a parameter they do not have is an error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from hsagency import reports
from hsagency.agency import Agency
from hsagency.errors import ReportError
from hsagency.settings import shipped

COMPLIANCE = shipped("notebooks") / "04-compliance.ipynb"


def text_of(notebook: nbformat.NotebookNode) -> str:
    return json.dumps([cell.get("outputs", []) for cell in notebook.cells])


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        (
            "04-compliance",
            ["-p", "client", "acme-corp", "-p", "month", "2026-05"],
            ["acme-corp (portal 12345678)", "2026-05-01 to 2026-05-31", "2,614"],
        ),
        (
            "03-quota",
            [],
            ["No client was named: this is acme-corp.", "No period was named: this is 2026-06."],
        ),
    ],
)
def test_a_notebook_runs_by_plain_papermill_inside_a_workspace(
    name: str, options: list[str], expected: list[str], agency: Agency
) -> None:
    command = [sys.executable, "-m", "papermill", f"notebooks/{name}.ipynb", "out.ipynb"]
    root = agency.workspace.root
    ran = subprocess.run([*command, *options], cwd=root, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    out = nbformat.read(root / "out.ipynb", as_version=4)
    assert all(words in text_of(out) for words in expected)
    assert text_of(out).count("hsa-chart") == 2
    assert "beta-inc" not in text_of(out)


def test_a_parameter_that_a_notebook_has_not_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="has no parameter colour, size") as caught:
        reports.run_notebook(COMPLIANCE, {"size": 1, "client": "a", "colour": "red"}, cwd=tmp_path)
    assert "client, first, last, month" in caught.value.hint


def test_a_notebook_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.ipynb"
    path.write_text("{")
    with pytest.raises(ReportError, match=r"broken\.ipynb cannot be read"):
        reports.run_notebook(path, {}, cwd=tmp_path)


def test_a_workspaces_own_notebook_comes_first(agency: Agency) -> None:
    own = agency.workspace.notebooks / "03-quota.ipynb"
    assert reports.find_notebook(agency.workspace, "quota") == own
    own.unlink()
    assert reports.find_notebook(agency.workspace, "quota").parent == shipped("notebooks")
