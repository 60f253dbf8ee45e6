"""A workspace with the records of three clients, and notebooks that misbehave."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

from hsagency import reports
from hsagency.agency import Agency
from hsagency.audit.importing import import_file
from hsagency.periods import Period

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Import once; every test gets a copy."""
    root = tmp_path_factory.mktemp("filled") / "workspace"
    with Agency.create(root, store="age:credentials", name="Northwind Agency") as agency:
        import_file(agency.writer, DATA / "legacy-audit-camel.jsonl")
    return root


@dataclass(frozen=True)
class Made:
    """What one run of both reports over all clients made; for looking at only."""

    agency: Agency
    results: dict[tuple[str, str], reports.ReportResult]

    def page(self, kind: str, slug: str) -> str:
        return self.results[kind, slug].files[0].read_text("utf-8")


@pytest.fixture(scope="session")
def made(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    root = tmp_path_factory.mktemp("made") / "workspace"
    shutil.copytree(filled, root)
    may = Period.of(month="2026-05")
    with Agency.open(root) as agency:
        results = [
            one
            for kind in ("quota", "compliance")
            for one in reports.report(agency, kind, ["gamma-llc", "acme-corp", "beta-inc"], may)
        ]
        yield Made(agency, {(one.kind, one.slug): one for one in results})


@pytest.fixture
def agency(filled: Path, tmp_path: Path) -> Iterator[Agency]:
    shutil.copytree(filled, tmp_path / "workspace")
    with Agency.open(tmp_path / "workspace") as opened:
        yield opened


@pytest.fixture
def may() -> Period:
    return Period.of(month="2026-05")


@pytest.fixture
def add_cell(agency: Agency) -> Callable[[str, str], None]:
    """Let the workspace's notebook of a report end, after what sets it up, in another cell."""

    def add(name: str, source: str) -> None:
        path = agency.workspace.notebooks / name
        notebook = nbformat.read(path, as_version=4)
        setup = [one for one in notebook.cells if one.metadata.get("tags")]
        added = nbformat.v4.new_code_cell(source, metadata={"tags": ["added"]})
        notebook.cells = [*setup, added]
        nbformat.write(notebook, path)

    return add
