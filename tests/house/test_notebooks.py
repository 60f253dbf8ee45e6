"""Notebooks are committed clean, run unattended, and define nothing."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

TITLE_THEN_SENTENCE = re.compile(r"# \S[^\n]*\n+[^#\s][^\n]*[.:](?:\s|$)")
SECRET_LIKE = re.compile(r"token|secret|passw|credential|api_?key|private|auth", re.IGNORECASE)
NAMING = ast.Assign | ast.AnnAssign | ast.NamedExpr
TOKEN = re.compile(r"pat-[a-z0-9]{2,4}-[0-9a-f]{8}-")


def complaints(notebook: dict[str, Any]) -> Iterator[str]:
    """Yield everything that keeps a notebook from being committed."""
    try:
        nbformat.validate(nbformat.from_dict(notebook))
    except nbformat.ValidationError as error:
        yield f"not a valid notebook: {error.message}"
        return
    cells, metadata = notebook["cells"], notebook["metadata"]
    if metadata.get("kernelspec", {}).get("name") != "python3":
        yield "kernelspec is not python3"
    for key in sorted({"widgets", "papermill"} & set(metadata)):
        yield f"metadata holds {key}"
    if TOKEN.search(json.dumps(notebook)):
        yield "holds something that looks like a token"
    yield from opening(cells)
    for number, cell in enumerate(cells, start=1):
        for what in dirt(cell) if cell["cell_type"] == "code" else ():
            yield f"cell {number} {what}"


def opening(cells: list[dict[str, Any]]) -> Iterator[str]:
    """Look at the title, the sentence that says who runs this and when, and the parameters."""
    first = cells[0] if cells else {"cell_type": "", "source": ""}
    if first["cell_type"] != "markdown" or not TITLE_THEN_SENTENCE.match(text(first)):
        yield "does not open with a title and a sentence on who runs it and when"
    tagged = [n for n, cell in enumerate(cells) if "parameters" in tags(cell)]
    if tagged != [1]:
        yield "does not have its one cell tagged 'parameters' right after the opening"
        return
    try:
        lines = ast.parse(text(cells[1])).body
    except SyntaxError:
        return  # said with the other cells
    for line in lines:
        if not (isinstance(line, ast.AnnAssign) and line.value):
            yield f"parameter without a type and a value: {ast.unparse(line)}"
        elif SECRET_LIKE.search(ast.unparse(line.target)):
            yield f"parameter that may be a secret: {ast.unparse(line.target)}"


def dirt(cell: dict[str, Any]) -> Iterator[str]:
    """Look for what running leaves behind, and for what belongs in the package."""
    if cell["outputs"] or cell["execution_count"] is not None:
        yield "has outputs or an execution count"
    if "injected-parameters" in tags(cell) or {"papermill", "execution"} & set(cell["metadata"]):
        yield "holds what a run left in it"
    try:
        tree = ast.parse(text(cell))
    except SyntaxError:
        yield "is not plain Python"
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield f"defines {node.name}"
        elif isinstance(node, NAMING) and isinstance(node.value, ast.Lambda):
            yield "gives a lambda a name"


def text(cell: dict[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def tags(cell: dict[str, Any]) -> list[str]:
    return cell.get("metadata", {}).get("tags", [])


def test_there_are_notebooks() -> None:
    assert {"01-onboarding", "03-quota", "04-compliance", "06-offboarding"} <= {
        path.stem for path in NOTEBOOKS
    }


def test_every_notebook_is_clean() -> None:
    said = {path.name: list(complaints(json.loads(path.read_text("utf-8")))) for path in NOTEBOOKS}
    assert {name: lines for name, lines in said.items() if lines} == {}


def clean() -> dict[str, Any]:
    make = nbformat.v4
    parameters = make.new_code_cell(
        'client: str = "acme-corp"  # a slug', metadata={"tags": ["parameters"]}, id="b"
    )
    return make.new_notebook(
        cells=[
            make.new_markdown_cell("# Quota\n\nAn analyst runs this on Mondays.", id="a"),
            parameters,
            make.new_code_cell("sorted([client], key=lambda name: name)", id="c"),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )


def test_a_clean_notebook_passes() -> None:
    assert list(complaints(clean())) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda n: n["cells"].pop(0), "does not open with a title"),
        (lambda n: n["cells"][0].update(source="# Only a title"), "does not open with a title"),
        (lambda n: n["cells"][1]["metadata"].update(tags=[]), "tagged 'parameters'"),
        (lambda n: n["cells"].insert(1, n["cells"].pop()), "tagged 'parameters'"),
        (lambda n: n["cells"][1].update(source="client = 'a'"), "without a type"),
        (lambda n: n["cells"][1].update(source="api_key: str = ''"), "may be a secret"),
        (lambda n: n["cells"][2].update(source="def f(): pass"), "cell 3 defines f"),
        (lambda n: n["cells"][2].update(source="class F: pass"), "cell 3 defines F"),
        (lambda n: n["cells"][2].update(source="f = lambda: 1"), "gives a lambda a name"),
        (lambda n: n["cells"][2].update(source="!ls"), "not plain Python"),
        (lambda n: n["cells"][2].update(execution_count=1), "execution count"),
        (lambda n: n["metadata"].update(widgets={}), "metadata holds widgets"),
        (lambda n: n["metadata"].update(papermill={}), "metadata holds papermill"),
        (lambda n: n["metadata"].pop("kernelspec"), "kernelspec"),
        (lambda n: n["cells"][2].pop("outputs"), "not a valid notebook"),
        (lambda n: n["cells"][2].update(source="'pat-na1-01234567-89ab'"), "like a token"),
    ],
)
def test_what_spoils_a_notebook_is_named(spoil: Any, said: str) -> None:
    notebook = clean()
    spoil(notebook)
    assert said in "; ".join(complaints(notebook))
