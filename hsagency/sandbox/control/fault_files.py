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
from hsagency.sandbox.api import ROUTES
from hsagency.sandbox.core import Sandbox
from hsagency.sandbox.faults.armed import Fault, FaultError, fault_from
from hsagency.sandbox.faults.rules import same_route


def read_faults(path: Path, *, sandbox: Sandbox) -> tuple[Fault, ...]:
    """Read the rules of a file, for this sandbox's portals."""
    found = []
    for number, content in enumerate(_tables(path), 1):
        try:
            fault = fault_from(content)
            check_fault(fault, sandbox=sandbox)
        except FaultError as error:
            raise SandboxError(
                f"{path}, fault {number}, {error.word}: {error.message}", hint=error.hint
            ) from error
        found.append(fault)
    return tuple(found)


def check_fault(fault: Fault, *, sandbox: Sandbox) -> None:
    """Refuse a rule that can never strike: for a portal or a route that is not there."""
    for which in (fault.portal, fault.portal_id):
        if which is not None and not _there(which, sandbox):
            raise FaultError(
                f"The sandbox has no portal {which!r}; nothing was added.", word="portal"
            )
    if fault.route is not None:
        template = same_route(fault.route.rpartition(" ")[2])
        if all(same_route(route.name) != template for route in ROUTES):
            raise FaultError(
                f"The sandbox has no route {fault.route!r}; nothing was added.",
                word="route",
                hint="hsagency sandbox --routes lists them, without their versions.",
            )


def _there(which: int | str, sandbox: Sandbox) -> bool:
    try:
        sandbox.portal(which)
    except SandboxError:
        return False
    return True


def _tables(path: Path) -> list[dict[str, object]]:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SandboxError(f"{path} cannot be read ({error}); no fault was added.") from error
    tables = content.pop("fault", [])
    if content or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise SandboxError(
            f"{path} holds something else than [[fault]] tables; no fault was added.",
            hint=f"Unknown: {', '.join(content)}." if content else "",
        )
    return tables
