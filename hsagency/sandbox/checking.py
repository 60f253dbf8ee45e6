"""Refuses rules that can never strike: for a portal, a path or an answer that is not there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches

from hsagency.errors import SandboxError
from hsagency.sandbox.api import ROUTES
from hsagency.sandbox.faults.rules import DETAILS, Fault, FaultError, same_route
from hsagency.sandbox.portals import Portal
from hsagency.sandbox.routes import VERSION, Route
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


def check_fault(fault: Fault, *, portal: Callable[[int | str], Portal]) -> None:
    """Refuse a rule that no call to a sandbox can meet; `portal` finds one of its portals."""
    asked = [which for which in (fault.portal, fault.portal_id) if which is not None]
    if len({_portal_id(which, portal) for which in asked}) > 1:
        raise FaultError("is one of two portals that it names", word="portal")
    routes = _routes(fault)
    if fault.kind == "wrong_portal":
        _check_naming(fault, routes)


def _portal_id(which: int | str, portal: Callable[[int | str], Portal]) -> int:
    try:
        return portal(which).portal_id
    except SandboxError as error:
        problem = f"is unknown: the sandbox has no portal {which!r}"
        raise FaultError(problem, word="portal", hint=error.hint) from error


def _routes(fault: Fault) -> Sequence[Route]:
    """Return the routes that a rule is about; without one of its own, any path can be struck."""
    _, _, template = (fault.route or "").rpartition(" ")
    found = _alike(template) if template else list(ROUTES)
    if not found:
        raise FaultError(
            f"is unknown: the sandbox has no route {fault.route!r}",
            word="route",
            hint=_better(template),
        )
    if fault.path is None:
        return found
    below = [route for route in found if _may_begin(route, fault.path)]
    if template and not below:
        raise FaultError(
            f"fits nothing: no path of the route {fault.route!r} begins with {fault.path!r}",
            word="path",
        )
    return below


def _alike(template: str) -> list[Route]:
    return [route for route in ROUTES if same_route(route.name) == same_route(template)]


def _better(template: str) -> str:
    """Suggest a route: this one without its version, or one that is written like it."""
    bare = "/".join(part for part in template.split("/") if not VERSION.fullmatch(part))
    if bare != template and _alike(bare):
        return f"Leave the version out: {bare}."
    near = get_close_matches(bare, sorted({route.name for route in ROUTES}))
    close = f"Close to it: {', '.join(near)}. " if near else ""
    return f"{close}hsagency sandbox --routes lists them, without their versions."


def _check_naming(fault: Fault, routes: Sequence[Route]) -> None:
    names = NAMING if fault.route or fault.path else {DETAILS}
    method = (fault.route or "").rpartition(" ")[0] or fault.method
    for route in routes:
        if route.name in names and (method is None or method.upper() in methods(route)):
            return
    raise FaultError(
        "leaves no answer that names a portal",
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
