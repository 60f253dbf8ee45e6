"""
Bodies that no JSON is, or too much of it; nothing here is HubSpot's but the shape of the refusal.

That shape is the one of facts 4.1, from documents alone.
"""

from __future__ import annotations

import json

import pytest

from hsagency.sandbox import Request, Sandbox
from hsagency.sandbox.wire import ApiError, decode, encode
from tests.sandbox.conftest import bearer

CONTACTS = "/crm/objects/2026-09/contacts"


@pytest.mark.parametrize("target", [CONTACTS, f"{CONTACTS}/search", "/marketing/v3/forms"])
@pytest.mark.parametrize(
    "deep", ['{"a":' * 986 + "1" + "}" * 986, '{"a":' + "[" * 100 + "]" * 100 + "}"]
)
def test_a_body_nested_too_deep_is_refused_before_anything_is_done(
    sandbox: Sandbox, target: str, deep: str
) -> None:
    reply = sandbox.handle(
        Request("POST", target, headers=bearer(sandbox.portals[0].token), body=deep.encode())
    )
    assert (reply.status, json.loads(reply.body)["category"]) == (400, "VALIDATION_ERROR")
    fits = '{"a":' + "[" * 99 + "]" * 99 + "}"
    assert decode(fits.encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_in_json_is_refused(sandbox: Sandbox, number: str) -> None:
    body = f'{{"properties":{{"amount":{number}}}}}'.encode()
    reply = sandbox.handle(
        Request(
            "POST", "/crm/v3/objects/deals", headers=bearer(sandbox.portals[0].token), body=body
        )
    )
    assert reply.status == 400
    with pytest.raises(ApiError, match="not JSON"):
        decode(body)
    with pytest.raises(ValueError, match="JSON"):
        encode({"a": float(number)})
