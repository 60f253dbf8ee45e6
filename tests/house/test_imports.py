"""The import graph points one way, as these tables say, from the top row down."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "hsagency"

# A module may import what stands in its own row or below. A folder counts as one module.
LAYERS = (
    {"cli", "demo", "widgets"},
    {"reports"},
    {"connecting", "removal", "retyping", "doctor"},
    {"onboarding"},
    {"agency"},
    {"fleet"},
    {"router", "quota", "compliance", "completeness", "charts"},
    {"auth"},
    {"client"},
    {"objects"},
    {"transport"},
    {"pacing", "stopping", "health"},
    {"facts", "verifier", "credentials", "audit", "routes", "halt", "verdicts", "said"},
    {"scopes"},
    {"index", "settings", "misset", "portals"},
    {"durable", "hosts", "hubspot_errors", "secret", "periods", "progress", "waiting", "words"},
    {"errors", "data"},
)
# The same within the sandbox.
SANDBOX_LAYERS = (
    {"__main__"},
    {"serving"},
    {"control", "history", "clients_csv"},
    {"core", "checking", "surface"},
    {"answering", "api", "developing", "screens", "transport", "defects"},
    {"desk"},
    {"routes"},
    {"call"},
    {"oauth"},
    {"contents"},
    {"faults", "ledger"},
    {"limits", "redaction", "bodies", "envelopes"},
    {"altering", "others"},
    {"portals"},
    {"wire", "names", "clock", "spelling", "hosts"},
)
# The same within the audit log; the client's verifier stands below all of it.
AUDIT_LAYERS = (
    {"log"},
    {"merging", "repairing", "forwarding"},
    {"pack", "privacy", "importing", "noting"},
    {"lake"},
    {"verifying"},
    {"journal"},
    {"evidence"},
    {"register"},
    {"chain", "record"},
    {"standalone"},
)
# The simulated HubSpot stands apart: it must not share a mistake with what it tests.
SANDBOX_MAY_IMPORT = {"errors", "data", "sandbox"}
SANDBOX_IS_FOR = {"cli", "demo", "sandbox"}

Layers: TypeAlias = tuple[set[str], ...]


def modules(package: Path) -> dict[str, Path]:
    """Name every module of a package: 'audit.journal', and '' for the package itself."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        names[".".join(part for part in parts if part != "__init__")] = path
    return names


def imports(source: str, *, module: str, known: set[str], is_package: bool) -> Iterator[str]:
    """Yield the package's own modules that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, module=module, is_package=is_package)
            names = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            names = [text.value for text in ast.walk(node) if is_text(text)][:1]
        else:
            continue
        for name in names:
            if name == "hsagency" or name.startswith("hsagency."):
                yield nearest(name.removeprefix("hsagency").strip("."), known=known)


def absolute(node: ast.ImportFrom, *, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = ["hsagency", *filter(None, module.split("."))]
    parts = parts[: len(parts) - node.level + is_package]
    return ".".join([*parts, *filter(None, [node.module])])


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def nearest(name: str, *, known: set[str]) -> str:
    """Turn 'audit.journal.AuditWriter' into 'audit.journal'."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


@cache
def edges(package: Path) -> dict[str, set[str]]:
    found = modules(package)
    return {
        name: set(
            imports(
                path.read_text("utf-8"),
                module=name,
                known=set(found),
                is_package=path.name == "__init__.py",
            )
        )
        for name, path in found.items()
    }


def within(folder: str, graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the part of a graph that lies in one folder, with names as seen from there."""
    start = f"{folder}."
    return {
        name.removeprefix(start): {one.removeprefix(start) for one in targets if start in one}
        for name, targets in graph.items()
        if name.startswith(start)
    }


def complaints(graph: dict[str, set[str]], layers: Layers = LAYERS) -> list[str]:
    """Say what is wrong with a graph; the package's own `__init__` is free to name anything."""
    said = []
    rows = {name: number for number, row in enumerate(layers) for name in row}
    for module, targets in sorted(graph.items()):
        top = module.partition(".")[0]
        if top and top not in rows and top != "sandbox":
            said.append(f"{module} is in no row: add it to one in tests/house/test_imports.py")
        for target in sorted(targets):
            below = target.partition(".")[0]
            if top and below and below != top and not may_import(top, below, rows):
                said.append(f"{module} imports {target}, which is not below it")
    return said


def may_import(top: str, below: str, rows: dict[str, int]) -> bool:
    if "sandbox" in (top, below):
        return below in SANDBOX_MAY_IMPORT if top == "sandbox" else top in SANDBOX_IS_FOR
    # Modules that no row knows are complained about once, not once for every import.
    return rows.get(top, 0) <= rows.get(below, len(rows))


def test_every_module_imports_only_what_is_below_it() -> None:
    graph = edges(PACKAGE)
    assert len(graph) > 3
    assert complaints(graph) == []


@pytest.mark.parametrize(
    ("folder", "layers"), [("sandbox", SANDBOX_LAYERS), ("audit", AUDIT_LAYERS)]
)
def test_every_module_of_a_large_folder_imports_only_what_is_below_it(
    folder: str, layers: Layers
) -> None:
    graph = within(folder, edges(PACKAGE))
    assert len(graph) > 3
    assert complaints(graph, layers) == []


@pytest.mark.parametrize("folder", ["", "sandbox", "audit"])
def test_no_two_modules_import_each_other(folder: str) -> None:
    """Rows allow neighbours; neighbours must still have an order."""
    graph = within(folder, edges(PACKAGE)) if folder else edges(PACKAGE)
    order = graphlib.TopologicalSorter[str]()
    for module, targets in graph.items():
        top = module.partition(".")[0]
        order.add(top, *({target.partition(".")[0] for target in targets} - {top, ""}))
    assert list(order.static_order())


def test_the_modules_of_the_sandbox_have_an_order() -> None:
    """Within a folder too."""
    order = graphlib.TopologicalSorter(within("sandbox", edges(PACKAGE)))
    assert list(order.static_order())


def test_only_the_version_is_imported_from_the_package_itself() -> None:
    """`from hsagency import Agency` inside the package would be a way around the rows."""
    for name, path in modules(PACKAGE).items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if name and isinstance(node, ast.ImportFrom) and node.module == "hsagency":
                names = {alias.name for alias in node.names}
                assert names <= set(modules(PACKAGE)) | {"__version__"}, f"{name}: {names}"


def test_an_import_that_points_up_is_named_wherever_it_hides(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    for name in ("__init__", "errors", "agency", "router", "sandbox", "client", "novel"):
        (tmp_path / f"{name}.py").touch()
    (tmp_path / "audit" / "__init__.py").write_text("from ..router import Router")
    (tmp_path / "errors.py").write_text("def late():\n    from hsagency import agency")
    (tmp_path / "client.py").write_text(
        "import importlib\nimportlib.import_module('hsagency.agency')"
    )
    (tmp_path / "sandbox.py").write_text("if TYPE_CHECKING:\n    import hsagency.client")
    (tmp_path / "router.py").write_text("from hsagency.sandbox import Core, errors")
    assert complaints(edges(tmp_path)) == [
        "audit imports router, which is not below it",
        "client imports agency, which is not below it",
        "errors imports agency, which is not below it",
        "novel is in no row: add it to one in tests/house/test_imports.py",
        "router imports sandbox, which is not below it",
        "sandbox imports client, which is not below it",
    ]
