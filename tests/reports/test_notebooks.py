"""The shipped notebooks run as they are, and a parameter they do not have is an error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from hsagency import reports
from hsagency.agency import Agency
from hsagency.errors import ReportError
from hsagency.settings import shipped
from tests.fleets import client_list, fleet

COMPLIANCE = shipped("notebooks") / "04-compliance.ipynb"


def papermill(root: Path, name: str, **parameters: object) -> str:
    command = [sys.executable, "-m", "papermill", f"notebooks/{name}.ipynb", "out.ipynb"]
    options = [part for item in parameters.items() for part in ("-p", item[0], str(item[1]))]
    ran = subprocess.run([*command, *options], cwd=root, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    return (root / "out.ipynb").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        (
            "04-compliance",
            {"client": "acme-corp", "month": "2026-05"},
            ["acme-corp (portal 12345678)", "2026-05-01 to 2026-05-31", "2,614"],
        ),
        (
            "03-quota",
            {},
            ["No client was named: this is acme-corp.", "No period was named: this is 2026-06."],
        ),
    ],
)
def test_a_notebook_runs_by_plain_papermill_inside_a_workspace(
    name: str, parameters: dict[str, str], expected: list[str], agency: Agency
) -> None:
    out = papermill(agency.workspace.root, name, **parameters)
    assert all(words in out for words in expected)
    assert out.count("hsa-chart") == 2
    assert "beta-inc" not in out


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


def test_onboarding_is_rehearsed_then_done_and_leaves_no_key(
    tmp_path: Path,
) -> None:
    with fleet(tmp_path / "workspace", portals=2) as one:
        tokens = [portal.token for portal in one.sandbox.portals]
        (one.root / "clients.csv").write_bytes(client_list(one.sandbox))
        records = one.agency.workspace.reports / "_fleet" / "onboarding"

        said = papermill(one.root, "01-onboarding", api=one.url)
        assert one.agency.slugs() == []
        assert [path.name.rpartition("-")[2] for path in records.iterdir()] == ["plan.csv"]

        out = papermill(one.root, "01-onboarding", api=one.url, dry_run=False, type="audit_only")
        said += out
        assert one.agency.slugs() == sorted(portal.client_slug for portal in one.sandbox.portals)
        kinds = {one.connection_type for one in one.agency.connections().values()}
        assert kinds == {"audit_only"}

        said += "".join(path.read_text("utf-8") for path in records.iterdir())
        assert len(list(records.iterdir())) == 2
        assert "onboarded" in said
        assert not [token for token in tokens if token in said]


def failing(notebook: Path, root: Path) -> tuple[subprocess.CompletedProcess[bytes], list[str]]:
    """Run a notebook that must fail by papermill; return that and what the failed cell shows."""
    command = [sys.executable, "-m", "papermill", str(notebook), "out.ipynb"]
    ran = subprocess.run(command, cwd=root, capture_output=True, check=False)
    cells = nbformat.read(root / "out.ipynb", as_version=4).cells
    outputs = [one for cell in cells if cell.cell_type == "code" for one in cell.outputs]
    [shown] = [one for one in outputs if one.output_type == "error"]
    return ran, shown.traceback


def test_without_a_client_list_the_notebook_says_so_in_two_lines(tmp_path: Path) -> None:
    with fleet(tmp_path / "workspace") as one:
        ran, shown = failing(one.root / "notebooks" / "01-onboarding.ipynb", one.root)
    assert ran.returncode != 0
    assert len(shown) == 2
    assert shown[0].startswith("Error: ")
    assert "clients.csv" in shown[0]
    assert "No such file" in shown[0]


def test_an_error_is_two_lines_in_a_notebook_and_fails_all_the_same(tmp_path: Path) -> None:
    ran, shown = failing(COMPLIANCE, tmp_path)
    assert ran.returncode != 0
    assert shown == [
        f"Error: There is no workspace in {tmp_path} or above.",
        "Make one with 'hsagency init DIR', or name one with --workspace or HSAGENCY_HOME.",
    ]
