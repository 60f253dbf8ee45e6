"""Refuses rules that can never strike: for a portal, a path or an answer that is not there."""

from __future__ import annotations

from collections.abc import Sequence

from hsagency.errors import SandboxError
from hsagency.sandbox.api import ROUTES
from hsagency.sandbox.core import Sandbox
from hsagency.sandbox.faults.rules import DETAILS, Fault, FaultError, same_route
from hsagency.sandbox.routes import Route
from hsagency.sandbox.surface import methods

# The routes whose answers name a portal, without their versions.
NAMING = frozenset(
    {
        DETAILS,
        "/crm-object-schemas/schemas",
        "/crm-object-schemas/schemas/batch/read",
        "/crm-object-schemas/schemas/{schema}",
        "/crm/pipelines/{type}/{pipeline}/audit",
        "/crm/pipelines/{type}/{pipeline}/stages/{stage}/audit",
        "/crm/schemas",
        "/crm/schemas/{schema}",
        "/oauth/access-tokens/{token}",
        "/oauth/introspect",
        "/oauth/private-apps/get/access-token-info",
        "/oauth/refresh-tokens/{token}",
        "/oauth/token",
        "/oauth/token/introspect",
    }
)


def check_fault(fault: Fault, *, sandbox: Sandbox) -> None:
    """Refuse a rule that no call to this sandbox can meet."""
    asked = [which for which in (fault.portal, fault.portal_id) if which is not None]
    if len({_portal_id(which, sandbox) for which in asked}) > 1:
        raise FaultError("A fault names two portals; nothing was added.", word="portal")
    routes = _routes(fault)
    if fault.kind == "wrong_portal":
        _check_naming(fault, routes)


def _portal_id(which: int | str, sandbox: Sandbox) -> int:
    try:
        return sandbox.portal(which).portal_id
    except SandboxError as error:
        message = f"The sandbox has no portal {which!r}; nothing was added."
        raise FaultError(message, word="portal") from error


def _routes(fault: Fault) -> Sequence[Route]:
    """Return the routes that a rule is about; without one of its own, any path can be struck."""
    _, _, template = (fault.route or "").rpartition(" ")
    found = [
        route for route in ROUTES if not template or same_route(route.name) == same_route(template)
    ]
    if not found:
        raise FaultError(
            f"The sandbox has no route {fault.route!r}; nothing was added.",
            word="route",
            hint="hsagency sandbox --routes lists them, without their versions.",
        )
    if fault.path is None:
        return found
    below = [route for route in found if _may_begin(route, fault.path)]
    if template and not below:
        raise FaultError(
            f"No path of the route {fault.route!r} begins with {fault.path!r}; nothing was added.",
            word="path",
        )
    return below


def _check_naming(fault: Fault, routes: Sequence[Route]) -> None:
    names = NAMING if fault.route or fault.path else {DETAILS}
    method = (fault.route or "").rpartition(" ")[0] or fault.method
    for route in routes:
        if route.name in names and (method is None or method.upper() in methods(route)):
            return
    raise FaultError(
        "No answer that this fault is about names a portal; nothing was added.",
        word="route" if fault.route else "path" if fault.path else "method",
        hint=f"Those to these do: {', '.join(sorted(NAMING))}.",
    )


def _may_begin(route: Route, path: str) -> bool:
    """Whether a path of the route can begin so."""
    *whole, last = path.strip("/").split("/") if path.endswith("/") else path[1:].split("/")
    parts = route.parts
    return (
        len(whole) < len(parts)
        and all(part[0] == "{" or part == one for part, one in zip(parts, whole, strict=False))
        and (parts[len(whole)][0] == "{" or parts[len(whole)].startswith(last))
    )
