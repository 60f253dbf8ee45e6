"""
Answers that name another portal than the token's: where, how deep, and on which routes.

Facts 1.5, 1.7 and 2.1 for the answers, from documents alone; the fault is nobody's but ours.
"""

from __future__ import annotations

from typing import Any

import pytest

from hsagency.sandbox import Fault, Reply, Request, Sandbox
from hsagency.sandbox.checking import NAMING
from hsagency.sandbox.faults.armed import Strike
from hsagency.sandbox.faults.damage import NAMES, damaged
from hsagency.sandbox.faults.refusals import Refused
from hsagency.sandbox.faults.rules import DETAILS
from tests.sandbox.apps import CALLBACK, READ, Developer

PIPELINE = {
    "label": "Renewals",
    "displayOrder": 3,
    "stages": [{"label": "Open", "displayOrder": 0, "metadata": {"probability": "0.5"}}],
}


def test_the_wrong_portal_is_named_by_introspection_where_that_is_asked_for(
    connect, sandbox: Sandbox
) -> None:
    """
    Facts 1.5: hubId. Without path or route only account details are struck.

    From documents alone.
    """
    portal = sandbox.portals[0]
    client = connect(sandbox, portal.token)
    path = "/oauth/v2/private-apps/get/access-token-info"
    sandbox.faults.add(Fault(kind="wrong_portal", times=1))
    assert client.post(path, json={"tokenKey": portal.token}).json()["hubId"] == portal.portal_id
    assert client.get("/account-info/v3/details").json()["portalId"] == sandbox.spare.portal_id
    sandbox.faults.add(Fault(kind="wrong_portal", path="/oauth/", claims=999, times=1))
    answer = client.post(path, json={"tokenKey": portal.token}).json()
    assert answer["hubId"] == 999
    assert sorted(answer["scopes"]) == sorted(portal.scopes)


@pytest.fixture
def install(inside, sandbox: Sandbox) -> tuple[Developer, dict[str, Any]]:
    """An app in the second portal, which is an Enterprise one, and its tokens."""
    app = sandbox.register_app(
        "Planner", redirect_uris=[CALLBACK], required=[READ, "crm.schemas.custom.read"]
    )
    developer = Developer(app, inside(sandbox, None), sandbox)
    return developer, developer.install(1, scope=f"oauth {READ} crm.schemas.custom.read")


# By route: a call whose answer names a portal, and where in it.
NAMED = {
    DETAILS: ("GET", "/account-info/v3/details", "portalId"),
    "/crm-object-schemas/schemas": ("GET", "/crm-object-schemas/v3/schemas", "results 0 portalId"),
    "/crm/schemas": ("GET", "/crm/v3/schemas", "results 0 portalId"),
    "/crm/schemas/{schema}": ("GET", "/crm/v3/schemas/{schema}", "portalId"),
    "/crm-object-schemas/schemas/{schema}": (
        "GET", "/crm-object-schemas/2026-09/schemas/{schema}", "portalId",
    ),
    "/crm-object-schemas/schemas/batch/read": (
        "POST", "/crm-object-schemas/2026-09/schemas/batch/read", "results 0 portalId",
    ),
    "/crm/pipelines/{type}/{pipeline}/audit": (
        "GET", "/crm/v3/pipelines/deals/{pipeline}/audit", "results 0 portalId",
    ),
    "/crm/pipelines/{type}/{pipeline}/stages/{stage}/audit": (
        "GET", "/crm/v3/pipelines/deals/{pipeline}/stages/{stage}/audit", "results 0 portalId",
    ),
    "/oauth/access-tokens/{token}": ("GET", "/oauth/v1/access-tokens/{access}", "hub_id"),
    "/oauth/refresh-tokens/{token}": ("GET", "/oauth/v1/refresh-tokens/{refresh}", "hub_id"),
    "/oauth/introspect": ("FORM", "/oauth/v3/introspect", "signed_access_token hubId"),
    "/oauth/token/introspect": (
        "FORM", "/oauth/2026-09/token/introspect", "signed_access_token hubId",
    ),
    "/oauth/token": ("FORM", "/oauth/2026-09/token", "hub_id"),
    "/oauth/private-apps/get/access-token-info": (
        "POST", "/oauth/v2/private-apps/get/access-token-info", "hubId",
    ),
}  # fmt: skip


def test_the_answers_that_name_a_portal_are_known() -> None:
    """A rule about any other is refused, because it could never strike."""
    assert NAMED.keys() == NAMING


@pytest.mark.parametrize("route", NAMED)
def test_another_portal_is_named_wherever_an_answer_names_one(
    inside, sandbox: Sandbox, install, route: str
) -> None:
    """Facts 1.5, 1.7 and 2.1 for details, introspection and tokens; the rest from documents."""
    (developer, issued), portal = install, sandbox.portals[1]
    client = inside(sandbox, portal.token)
    made = client.post("/crm/v3/pipelines/deals", json=PIPELINE).json()
    schema = client.get("/crm/v3/schemas").json()["results"][0]["objectTypeId"]
    method, path, where = NAMED[route]
    path = path.format(
        schema=schema,
        pipeline=made["id"],
        stage=made["stages"][0]["id"],
        access=issued["access_token"],
        refresh=issued["refresh_token"],
    )
    stage = f"/crm/v3/pipelines/deals/{made['id']}/stages/{made['stages'][0]['id']}"
    client.patch(stage, json={"label": "Renamed"})
    fault = Fault(kind="wrong_portal", route=route, claims=999)
    sandbox.faults.add(fault)
    if method == "FORM":
        known = {"token": issued["access_token"], "refresh_token": issued["refresh_token"]}
        answer = developer.post(path, grant_type="refresh_token", **known)
    else:
        body = {"inputs": [{"id": schema}], "tokenKey": portal.token} if method == "POST" else None
        answer = client.request(method, path, json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    for step in where.split():
        found = found[int(step) if step.isdigit() else step]
    assert found == 999
    for word in NAMES:
        assert f'"{word}":{portal.portal_id}' not in answer.text


def test_an_answer_that_names_no_portal_stays_as_it_is(sandbox: Sandbox) -> None:
    fault = Fault(kind="wrong_portal", path="/oauth/", claims=999)
    call = Refused(Request.parse("POST", "/oauth/v3/introspect"), sandbox.clock.now(), "id")
    for body in (b'{"active": false}', b"[1]", b"<html>", b""):
        reply = Reply(200, body=body)
        assert damaged(reply, Strike(fault=fault), call, other_portal=5) == reply
