"""The verifier that goes into a pack: one file, made of the modules of `standalone`."""

from __future__ import annotations

import ast
import re
from importlib.resources import files
from typing import Final

_OURS: Final = re.compile(r"^from hsagency\.audit\.standalone\.(\w+) import", re.MULTILINE)
_FUTURE: Final = "from __future__ import annotations\n"


def one_file() -> str:
    """
    Return the verifier as one file: its parts, without what they import from each other.

    Nothing is imported in it, `__future__` neither, before it has left the pack's folder out
    of where it looks for modules. So its annotations are quoted, as old Pythons need them.
    """
    ours = files("hsagency.audit.standalone")
    texts: dict[str, str] = {}

    def gather(name: str) -> None:
        if name not in texts:
            text = ours.joinpath(f"{name}.py").read_text("utf-8")
            for part in _OURS.findall(text):
                gather(part)
            texts[name] = text

    for name in ("first", "verify"):
        gather(name)
    opening, _, texts["verify"] = texts["verify"].partition(_FUTURE)
    bodies = (_alone(text.replace(_FUTURE, "")) for text in texts.values())
    return _quoted(opening + "\n\n".join(bodies))


def _alone(source: str) -> str:
    """Return a module's text without the imports from our own package."""
    kept, ours = [], False
    for line in source.splitlines():
        ours = ours or line.startswith("from hsagency.")
        if not ours:
            kept.append(line.partition("  # noqa")[0])
        ours = ours and not line.endswith(")") and line.endswith((",", "("))
    return "\n".join(kept).strip() + "\n"


def _quoted(source: str) -> str:
    """Return a text with its annotations in quotes."""
    lines = source.encode().splitlines(keepends=True)
    starts = [sum(map(len, lines[:number])) for number in range(len(lines))]
    found = [
        (starts[one.lineno - 1] + one.col_offset, starts[one.end_lineno - 1] + one.end_col_offset)
        for one in _annotations(ast.parse(source))
        if one.end_lineno and one.end_col_offset
    ]
    text = source.encode()
    for start, end in sorted(found, reverse=True):
        said = b" ".join(text[start:end].split())
        text = text[:start] + b'"' + said.replace(b'"', b"'") + b'"' + text[end:]
    return text.decode()


def _annotations(tree: ast.Module) -> list[ast.expr]:
    nodes = [*ast.walk(tree)]
    found = [one.annotation for one in nodes if isinstance(one, ast.arg | ast.AnnAssign)]
    found += [one.returns for one in nodes if isinstance(one, ast.FunctionDef)]
    return [one for one in found if one is not None and not isinstance(one, ast.Constant)]
