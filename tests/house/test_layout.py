"""What may be in the repository, and how long and how finished each module is."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP = {
    *("hsagency", "notebooks", "templates", "tests"),
    *("pyproject.toml", "requirements.lock", "run.py"),
    *("README.md", "CHANGELOG.md", "LICENSE"),
    *(".ci", ".github", ".gitignore", ".gitattributes"),
}
LONGEST = 400

# Put together here, so that this file does not hold what it looks for.
UNFINISHED = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX")) + r")\b")
PACKAGE_HOSTS = re.compile(
    "|".join(("py" + r"pi\.org", "python" + "hosted", "ana" + r"conda\.org"))
)
STUB_NAMES = {"NotImplementedError", "NotImplemented"}
EVASIONS = {"skip", "skipif", "xfail", "importorskip"}
PATCHES = {"monkeypatch.setattr", "monkeypatch.setitem", "unittest.mock", "mocker"}


def tracked() -> list[Path]:
    """List the files git holds, or what an unpacked archive holds outside of dot folders."""
    if not (ROOT / ".git").exists():
        files = (path for path in ROOT.rglob("*") if path.is_file())
        return [p for p in files if not any(part[0] == "." for part in p.relative_to(ROOT).parts)]
    # The checkout may belong to somebody else, as it does in many a container.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def texts(*, suffixes: set[str]) -> Iterator[tuple[str, str]]:
    for path in tracked():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix in suffixes and not name.startswith("tests/data/"):
            yield name, path.read_text("utf-8")


@pytest.mark.needs("git")
def test_nothing_is_at_the_top_that_has_no_place_there() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert top <= TOP, f"not in the layout: {sorted(top - TOP)}"


@pytest.mark.needs("git")
def test_no_module_is_longer_than_one_sitting() -> None:
    lengths = {
        name: text.count("\n")
        for name, text in texts(suffixes={".py"})
        if name == "run.py" or name.startswith("hsagency/")
    }
    assert lengths
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


@pytest.mark.needs("git")
def test_nothing_is_left_unfinished() -> None:
    prose = {".md", ".toml", ".html", ".css", ".csv", ".json", ".ipynb"}
    found = [name for name, text in texts(suffixes=prose) if UNFINISHED.search(text)]
    for name, text in texts(suffixes={".py"}):
        found += [f"{name}: {what}" for what in unfinished(text)]
    assert found == []


@pytest.mark.needs("git")
def test_no_test_is_left_out_and_no_name_is_patched() -> None:
    found = [
        f"{name}: {what}"
        for name, text in texts(suffixes={".py"})
        if name.startswith("tests/")
        for what in evasions(text)
    ]
    assert found == []


@pytest.mark.needs("git")
def test_no_file_names_a_package_host() -> None:
    named = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", errors="replace")
        if PACKAGE_HOSTS.search(text):
            named.append(str(path.relative_to(ROOT)))
    assert named == []


def unfinished(source: str) -> Iterator[str]:
    """Yield notes to self, stubs, and handlers that swallow everything."""
    if UNFINISHED.search(source):  # only then is it worth taking comments from strings
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT and UNFINISHED.search(token.string):
                yield f"line {token.start[0]}: {token.string}"
    tree = ast.parse(source)
    interfaces = {
        id(function)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(b) for b in node.bases)
        for function in node.body
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc and names(node.exc) & STUB_NAMES:
            yield f"line {node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if id(node) not in interfaces and is_stub(node):
                yield f"line {node.lineno}: {node.name} does nothing"
        elif isinstance(node, ast.ExceptHandler) and swallows(node):
            yield f"line {node.lineno}: swallows every error"


def names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def is_stub(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether a function is all `...`; abstract and overloaded ones are meant to be."""
    last = function.body[-1]
    if not (isinstance(last, ast.Expr) and ast.unparse(last) == "..."):
        return False
    marks = (ast.unparse(mark) for mark in function.decorator_list)
    return not any(re.search("abstract|overload", mark) for mark in marks)


def swallows(handler: ast.ExceptHandler) -> bool:
    broad = handler.type is None or names(handler.type) & {"Exception", "BaseException"}
    return bool(broad) and all(isinstance(line, ast.Pass) for line in handler.body)


def evasions(source: str) -> Iterator[str]:
    """Yield ways of not running a test, and ways of testing something else than the code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            whole = ast.unparse(node)
            if (whole.startswith("pytest.") and node.attr in EVASIONS) or whole in PATCHES:
                yield f"line {node.lineno}: {whole}"
        elif isinstance(node, ast.Import | ast.ImportFrom) and "mock" in ast.unparse(node):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def test_stubs_and_notes_are_seen() -> None:
    note = "# " + "TO" + "DO: later"
    source = (
        f"def a(): ...\ndef b():\n    raise NotImplementedError  {note}\n"
        "class P(Protocol):\n    def c(self): ...\n"
        "@overload\ndef d(): ...\n"
        "try:\n    b()\nexcept Exception:\n    pass\n"
    )
    assert sorted(what.partition(": ")[0] for what in unfinished(source)) == [
        *("line 1", "line 10", "line 3", "line 3"),
    ]


def test_evasions_are_seen() -> None:
    source = (
        "from unittest import mock\n@pytest.mark.skipif(True)\n"
        "def test_a(monkeypatch):\n    monkeypatch.setattr(a, 'b', 1)\n    pytest.skip('no')\n"
        "    monkeypatch.setenv('A', 'b')\n"
    )
    assert {what.partition(": ")[0] for what in evasions(source)} == {
        *("line 1", "line 2", "line 4", "line 5"),
    }
