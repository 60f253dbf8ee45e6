"""
Rules from a file: TOML, with one [[fault]] table for each, in the words that `Fault` has.

    [[fault]]
    kind = "status"
    status = 503
    route = "POST /crm/objects/{type}/search"
    probability = 0.05

A file with one mistake adds nothing; the message names the entry and the word.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from hsagency.errors import SandboxError
from hsagency.sandbox.core import Sandbox
from hsagency.sandbox.faults.armed import fault_from
from hsagency.sandbox.faults.rules import Fault, FaultError, in_toml


def read_faults(path: Path, *, sandbox: Sandbox) -> tuple[Fault, ...]:
    """Read the rules of a file, for this sandbox's portals."""
    found = []
    for number, content in enumerate(_tables(path), 1):
        try:
            fault = fault_from(content, spell=in_toml)
            sandbox.faults.check(fault)
        except FaultError as error:
            raise SandboxError(
                f"{path}, fault {number}, {error.word}: {error.message}", hint=error.hint
            ) from error
        found.append(fault)
    return tuple(found)


def _tables(path: Path) -> list[dict[str, object]]:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, RecursionError, ValueError) as error:
        raise SandboxError(f"{path} cannot be read ({error}); no fault was added.") from error
    tables = content.pop("fault", [])
    if content or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise SandboxError(
            f"{path} holds something else than [[fault]] tables; no fault was added.",
            hint=f"Unknown: {', '.join(content)}." if content else "",
        )
    return tables
