"""What the code imports is what pyproject.toml declares: nothing is there by chance."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
RUNTIME = PROJECT["project"]["dependencies"]
TEST = PROJECT["dependency-groups"]["test"]
# What is installed under another name than it is imported by.
INSTALLED_AS = {
    "backports": "backports.zstd",
    "hubspot": "hubspot-api-client",
    "vl_convert": "vl-convert-python",
}
NOT_A_PACKAGE = {"_typeshed", "compression"}  # for type checkers alone; Python's own from 3.14 on
OURS = {"hsagency", "tests", "run"}


def imported(source: str) -> Iterator[str]:
    """Yield every third-party package that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        else:
            continue
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in OURS | NOT_A_PACKAGE:
                yield top


def undeclared(folder: Path, *, declared: list[str]) -> list[str]:
    """Name each import of a folder that no requirement stands for."""
    known = {canonicalize_name(Requirement(line).name) for line in declared}
    return sorted(
        {
            f"{path.relative_to(folder)} imports {name}"
            for path in folder.rglob("*.py")
            for name in imported(path.read_text("utf-8"))
            if canonicalize_name(INSTALLED_AS.get(name, name)) not in known
        }
    )


@pytest.mark.parametrize(
    ("folder", "declared"),
    [("hsagency", RUNTIME), ("tests", [*RUNTIME, *TEST])],
    ids=["hsagency", "tests"],
)
def test_every_import_is_declared(folder: str, declared: list[str]) -> None:
    assert undeclared(ROOT / folder, declared=declared) == []


def test_an_import_that_nobody_declared_is_named_wherever_it_hides(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text("def ask():\n    from vl_convert.inner import a\n")
    (tmp_path / "plain.py").write_text("import os, httpx, sniffio.low\nfrom . import late\n")
    assert undeclared(tmp_path, declared=["HTTPX>=0.28"]) == [
        "late.py imports vl_convert",
        "plain.py imports sniffio",
    ]
    assert undeclared(tmp_path, declared=["httpx", "sniffio", "vl-convert-python>=1.9"]) == []
