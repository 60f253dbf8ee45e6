"""
Every route of the sandbox is one that the route table knows, in every form of its path.

The sandbox and the table were written apart, each from facts 5.1, from documents alone; where they
differ, one of them is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from hsagency.portals import ConnectionType
from hsagency.routes import OperationClass, Touched, refusal, secret_in_url, touched
from hsagency.sandbox import Sandbox
from hsagency.sandbox.api import FAMILIES, ROUTES
from hsagency.sandbox.routes import Route
from hsagency.sandbox.surface import methods, surface, surface_as_text
from tests.sandbox.conftest import Connect

VERSION = re.compile(r"/(v\d+|\d{4}-\d{2}(-beta)?)(?=/|$)")
# What stands for the values in a path: a type, ids, and a name that nobody knows.
VALUES = {"type": "contacts", "other": "companies", "from": "contacts", "to": "companies"}


@dataclass(frozen=True)
class Operation:
    """One method of one route."""

    method: str
    route: Route

    @property
    def path(self) -> str:
        """The path of a call, with values filled in."""
        return re.sub(r"\{(\w+)\}", lambda found: VALUES.get(found[1], "101"), self.route.template)

    @property
    def touched(self) -> Touched:
        return touched(self.method, self.path)

    @property
    def bare(self) -> str:
        """The template without its version and without the names of its values."""
        return re.sub(r"\{\w+\}", "{}", self.route.name)

    def __str__(self) -> str:
        return f"{self.method} {self.route.template}"


def operations() -> Iterator[Operation]:
    for family in FAMILIES.values():
        for route in family:
            for method in methods(route):
                if not left_out(route):
                    yield Operation(method, route)


# A page for a person (facts 6), a file at an address that HubSpot signed (5.3), and a shorter form
# of introspection, of which nobody knows that it works.
NOT_IN_THE_TABLE = {
    "/oauth/authorize", "/oauth/{portalId}/authorize", "/exports/files/{portalId}/{id}",
    "/oauth/introspect",
}  # fmt: skip


def left_out(route: Route) -> bool:
    """Whether the table has no row for a route, because no client of ours may call it."""
    return route.name in NOT_IN_THE_TABLE or secret_in_url(route.template, "")


OPERATIONS = tuple(operations())


def private(one: Operation) -> str:
    """Return a path in which every value that is no object type is somebody's address."""
    return re.sub(
        r"\{(\w+)\}", lambda found: VALUES.get(found[1], "jane@example.com"), one.route.template
    )


def test_no_operation_of_the_sandbox_is_unclassified() -> None:
    """
    Facts 5.2: an unknown path is never a read; so the table has to know these.

    From documents alone.
    """
    unknown = OperationClass.UNCLASSIFIED
    assert {str(one) for one in OPERATIONS if one.touched.operation_class is unknown} == set()


def test_what_is_written_down_of_a_path_is_its_template() -> None:
    """
    Facts 5.3: words the table knows stay, and numbers where an id stands; the rest is named.

    From documents alone.
    """
    for one in OPERATIONS:
        pairs = zip(one.path.split("/"), one.touched.template.split("/"), strict=True)
        named = {(got, shown) for got, shown in pairs if got != shown}
        assert all(got == "101" and shown[:1] == "{" for got, shown in named), str(one)
        assert "{id}" not in {shown for _, shown in named}, str(one)
    for one in OPERATIONS:
        assert "jane" not in touched(one.method, private(one)).template


def test_all_forms_of_a_path_mean_the_same() -> None:
    """
    Facts 5.1: the version moved inside the path, and nothing else of it.

    From documents alone.
    """
    meanings: dict[tuple[str, str], set[tuple[object, ...]]] = {}
    for one in OPERATIONS:
        mine = one.touched
        meaning = (
            mine.operation_class,
            mine.family,
            mine.object_type,
            mine.object_id,
            VERSION.sub("", mine.template),
        )
        meanings.setdefault((one.method, one.bare), set()).add(meaning)
    assert {form: found for form, found in meanings.items() if len(found) > 1} == {}
    assert len(meanings) < len(OPERATIONS), "there are such forms"


def ends(*tails: str) -> Callable[[Operation], bool]:
    return lambda one: one.method == "POST" and one.bare.endswith(tails)


READS_BY_POST = ends(
    "/search", "/batch/read", "/idmapping", "/unsubscribe-all/read", "/introspect",
    "/get/access-token-info", "/links/generate",
)  # fmt: skip
DELETES_BY_POST = ends(
    "/batch/archive", "/labels/archive", "/batch/purge", "/gdpr-delete", "/merge", "/delete"
)


def rules() -> dict[str, tuple[Callable[[Operation], bool], set[OperationClass]]]:
    """Return the verb rules of facts 5.2: which operations, and what they may be."""
    does = OperationClass
    return {
        "reads by POST": (READS_BY_POST, {does.READ}),
        "deletes by POST": (DELETES_BY_POST, {does.DELETE}),
        "deletes by PUT": (
            lambda one: one.method == "PUT" and "remove" in one.bare.rpartition("/")[2],
            {does.DELETE},
        ),
        "deletes": (lambda one: one.method == "DELETE", {does.DELETE, does.ADMIN}),
        "exports": (lambda one: "/exports/" in one.bare, {does.EXPORT}),
        "what reaches people": (
            lambda one: (
                (
                    (one.method == "POST" and one.bare.startswith("/communication-preferences/"))
                    or (one.method == "PUT" and one.bare == "/automation/flows/{}")
                )
                and not READS_BY_POST(one)
            ),
            {does.SEND},
        ),
        "plain reads": (
            lambda one: one.method == "GET" and "/exports/" not in one.bare,
            {does.READ},
        ),
        "changes": (lambda one: one.method == "PATCH", {does.WRITE, does.ADMIN}),
        "other posts": (
            lambda one: (
                one.method == "POST" and not READS_BY_POST(one) and not DELETES_BY_POST(one)
            ),
            {does.WRITE, does.SEND, does.EXPORT, does.ADMIN},
        ),
    }


@pytest.mark.parametrize("rule", rules())
def test_a_method_alone_does_not_say_what_a_call_does(rule: str) -> None:
    """Facts 5.2, from documents alone."""
    applies, allowed = rules()[rule]
    found = [one for one in OPERATIONS if applies(one)]
    assert found, "the sandbox has such a route"
    assert {str(one) for one in found if one.touched.operation_class not in allowed} == set()


def test_every_family_has_operations_and_is_tried() -> None:
    tried = {one.route.template for one in OPERATIONS}
    for name, family in FAMILIES.items():
        assert family, name
        missing = {
            route.template
            for route in family
            if route.template not in tried and not left_out(route)
        }
        assert not missing, name
    assert {route.name for route in ROUTES if route.name in NOT_IN_THE_TABLE} == NOT_IN_THE_TABLE


def test_who_may_only_read_or_configure_makes_and_ends_no_credential() -> None:
    """Facts 1.7: a token endpoint is a client secret away from a portal. From documents alone."""
    found = [one for one in OPERATIONS if one.route.name in ("/oauth/token", "/oauth/token/revoke")]
    assert len(found) == 7
    for one in found:
        assert (one.touched.family, one.touched.operation_class) == ("identity", "admin")
        assert refusal(ConnectionType.AUDIT_ONLY, one.touched)
        assert refusal(ConnectionType.CONFIG_ONLY, one.touched)


SCOPED = [
    (method, route)
    for route in ROUTES
    for method, endpoint in route.endpoints.items()
    if endpoint.scopes and "oauth" not in endpoint.scopes
]


def test_a_token_with_no_scope_but_oauth_is_told_which_are_missing(
    sandbox: Sandbox, inside: Connect
) -> None:
    """
    Facts 4.2, for the old and the dated form of every path that asks for a scope.

    Observed by others.
    """
    portal = sandbox.portals[1]
    sandbox.alter(portal.portal_id, tier="enterprise")
    sandbox.set_scopes(portal.portal_id, [])
    client = inside(sandbox, portal.token)
    seen: dict[tuple[str, str], set[tuple[str, ...]]] = {}
    for method, route in SCOPED:
        path = re.sub(r"\{(\w+)\}", lambda found: VALUES.get(found[1], "101"), route.template)
        sandbox.clock.advance(1)
        answer = client.request(method, path, json={})
        body = answer.json()
        told = f"{method} {path}"
        assert (answer.status_code, body["category"]) == (403, "MISSING_SCOPES"), told
        (error,) = body["errors"]
        scopes = error["context"]["requiredGranularScopes"]
        assert scopes, told
        assert "{" not in "".join(scopes), told
        bare = re.sub(r"\{\w+\}", "{}", route.name)
        seen.setdefault((method, bare), set()).add(tuple(scopes))
    assert {form: found for form, found in seen.items() if len(found) > 1} == {}
    assert len(seen) > 100


def test_the_list_says_what_types_there_are_and_each_of_them_answers(inside: Connect) -> None:
    sandbox = Sandbox(portals=1)
    said = surface_as_text().splitlines()[-2]
    types = re.findall(r"(\w+) \((0-\d+)\)", said)
    assert len(types) == 6
    client = inside(sandbox, sandbox.portals[0].token)
    for name in (one for pair in types for one in pair):
        assert client.get(f"/crm/v3/objects/{name}").status_code == 200


def test_the_list_has_methods_and_versions_in_one_order() -> None:
    for place in surface():
        verbs = ("GET", "POST", "PUT", "PATCH", "DELETE")
        assert list(place.methods) == [verb for verb in verbs if verb in place.methods]
        numbers = [version for version in place.versions if version[0] == "v"]
        dates = [version for version in place.versions if version[0] != "v"]
        assert list(place.versions) == sorted(numbers) + sorted(dates)


@pytest.mark.parametrize("name", ["notes", "task", "0-48", "Leads", "orders", "users", "0-14"])
@pytest.mark.parametrize(
    "path", ["objects/{}", "properties/{}", "pipelines/{}", "objects/contacts/1/associations/{}"]
)
def test_a_type_of_hubspots_that_is_not_simulated_is_told_from_one_that_is_none(
    inside: Connect, name: str, path: str
) -> None:
    """Which types HubSpot has is known from documents alone."""
    sandbox = Sandbox(portals=1)
    client = inside(sandbox, sandbox.portals[0].token)
    answer = client.get(f"/crm/v3/{path}".format(name))
    assert answer.status_code == 404
    assert f"does not simulate records of the type {name.lower()}" in answer.text
    unknown = client.get("/crm/v3/objects/nothings")
    assert (unknown.status_code, unknown.json()["category"]) == (400, "VALIDATION_ERROR")


def test_a_portals_own_type_may_be_called_like_one_that_is_not_simulated(inside: Connect) -> None:
    sandbox = Sandbox(portals=2)
    client = inside(sandbox, sandbox.portals[1].token)
    schema = {
        "name": "courses",
        "labels": {"singular": "Course", "plural": "Courses"},
        "primaryDisplayProperty": "title",
        "requiredProperties": ["title"],
        "properties": [{"name": "title", "label": "Title", "type": "string", "fieldType": "text"}],
        "associatedObjects": [],
    }
    assert client.post("/crm/v3/schemas", json=schema).status_code == 201
    assert client.get("/crm/v3/objects/courses").status_code == 200
