"""
Whatever is sent to whatever path: an answer that HubSpot could give, and one entry in a ledger.

The shape of a refusal is that of facts 4.1, from documents alone. Bodies are ones that some path
takes, with one or more of their parts replaced by something else, so that they come far before
they are refused. The draw is the same every time.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from random import Random
from urllib.parse import quote, urlencode

import pytest

from hsagency.sandbox import Clock, LedgerEntry, Request, Sandbox
from hsagency.sandbox.api import FAMILIES
from hsagency.sandbox.surface import methods
from tests.sandbox.conftest import NOON

EACH = 20  # requests to each method of each route
ODD = (
    None, True, False, 0, -1, 1, 3, 2**31, 2**63, 10**40, -0.5, 1e300, "", " ", "0", "1", "101",
    "151", "-1", "9" * 30, "9" * 5_000, "x" * 4_000, "a;b;;a", "true", "ä\ud800\x00", "☃" * 50,
    "2026-10-14", "2026-10-14T12:00:00Z", "99999-01-01", "0001-01-01T00:00:00+14:00", "default",
    "contacts", "deals", "0-1", "0-3", "2-2000001", "locations", "email", "amount", "closedate",
    "dealstage", "hs_pipeline", "jane@example.com", "*a*b*", "EQ", "IN", "BETWEEN", "HAS_PROPERTY",
    "DYNAMIC", "NUMBER", "ENUMERATION", "IS_BETWEEN", "CONVERSION_DATE", "a%2Fb", "../..", "{}",
    [], {}, [[]], [{}], [None], {"a": None}, ["101", "101"], [1, "1", True], {"id": "101"},
)  # fmt: skip
CONDITION = {
    "filterType": "PROPERTY",
    "property": "amount",
    "operation": {"operationType": "NUMBER", "operator": "IS_EQUAL_TO", "value": 3},
}
TYPES = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 3}]
STAGE = {"label": "One", "displayOrder": 0, "metadata": {"probability": "0.5", "state": "OPEN"}}
FIELD = {"name": "one", "label": "One", "type": "enumeration", "fieldType": "select",
         "groupName": "dealinformation",
         "options": [{"label": "A", "value": "a", "displayOrder": 1, "hidden": False}]}  # fmt: skip
BODIES: tuple[dict[str, object], ...] = (
    {"properties": {"email": "a@example.com", "amount": "12", "closedate": "2026-10-14"},
     "associations": [{"to": {"id": "101"}, "types": TYPES}]},
    {"inputs": [{"id": "101", "idProperty": "email", "properties": {"email": "b@example.com"},
                 "objectWriteTraceId": "1", "associations": []}], "properties": ["email"],
     "propertiesWithHistory": ["email"]},
    {"inputs": [{"from": {"id": "101"}, "to": {"id": "151"}, "types": TYPES, "type": "x"}]},
    {"inputs": [{"from": {"id": "101"}, "to": [{"id": "151"}], "id": "101", "after": "0"}]},
    {"filterGroups": [{"filters": [{"propertyName": "amount", "operator": "BETWEEN", "value": "1",
                                    "highValue": "9", "values": ["1", "2"]}]}],
     "sorts": [{"propertyName": "createdate", "direction": "DESCENDING"}], "query": "a b",
     "properties": ["email"], "limit": 10, "after": "0"},
    {"primaryObjectId": "101", "objectIdToMerge": "151"},
    {"objectId": "101", "idProperty": "email"},
    {"name": "One", "objectTypeId": "0-3", "processingType": "DYNAMIC", "listFolderId": 0,
     "filterBranch": {"filterBranchType": "OR", "filters": [], "filterBranches": [
         {"filterBranchType": "AND", "filterBranches": [], "filters": [CONDITION]}]}},
    {"query": "a", "offset": 0, "count": 3, "additionalProperties": ["hs_folder_name"],
     "listIds": ["1"], "processingTypes": ["MANUAL"], "objectTypeId": "0-1"},
    {"recordIdsToAdd": ["101"], "recordIdsToRemove": ["151"]},
    {"conversionType": "CONVERSION_DATE", "year": 2027, "month": 1, "day": 1, "timeUnit": "DAY",
     "offset": 3},
    {"name": "f", "parentFolderId": "0", "listId": "1", "newFolderId": "0"},
    FIELD,
    {"inputs": [FIELD, {"name": "two"}], "archived": False, "dataSensitivity": "non_sensitive"},
    {"label": "Trips", "displayOrder": 0, "stages": [STAGE], "pipelineId": "p", "stageId": "s"},
    STAGE,
    {"name": "boats", "labels": {"singular": "Boat", "plural": "Boats"}, "properties": [FIELD],
     "requiredProperties": ["one"], "searchableProperties": ["one"],
     "primaryDisplayProperty": "one", "associatedObjects": ["CONTACT"],
     "secondaryDisplayProperties": ["one"], "fromObjectTypeId": "0-1", "toObjectTypeId": "0-3"},
    {"label": "Works for", "name": "works_for", "inverseLabel": "Employs", "associationTypeId": 3},
    {"inputs": [{"category": "HUBSPOT_DEFINED", "typeId": 3, "maxToObjectIds": 5}]},
    {"name": "Form", "formType": "hubspot", "archived": False, "createdAt": "2026-10-14T12:00:00Z",
     "fieldGroups": [{"groupType": "default_group", "richTextType": "text", "fields": [
         {"name": "email", "label": "E", "fieldType": "email", "objectTypeId": "0-1"}]}],
     "configuration": {"language": "en"}, "displayOptions": {}, "legalConsentOptions":
     {"type": "none"}},
    {"name": "Flow", "type": "CONTACT_FLOW", "isEnabled": True, "revisionId": "1", "actions": [],
     "flowType": "WORKFLOW", "objectTypeId": "0-1", "enrollmentCriteria": {}, "inputs":
     [{"flowId": "1", "type": "FLOW_ID"}]},
    {"exportType": "VIEW", "format": "CSV", "exportName": "All", "language": "EN", "listId": "1",
     "objectType": "CONTACT", "objectProperties": ["email"], "associatedObjectType": "COMPANY",
     "publicCrmSearchRequest": {"filters": [], "sorts": [], "query": "a"}},
    {"tokenKey": "pat"},
    {"statusState": "SUBSCRIBED", "channel": "EMAIL", "subscriptionId": 1, "legalBasis":
     "LEGITIMATE_INTEREST_CLIENT", "legalBasisExplanation": "x", "subscriberIdString": "a@b.de",
     "emailAddress": "a@b.de", "inputs": ["a@b.de"], "verbose": True},
    {"grant_type": "refresh_token", "refresh_token": "na1-1", "client_id": "1", "code": "1",
     "client_secret": "2", "redirect_uri": "http://localhost/", "token": "1", "portalId": "1",
     "decision": "connect", "token_type_hint": "access_token", "scope": "oauth"},
)  # fmt: skip
QUERY = (
    "limit", "after", "archived", "properties", "idProperty", "associations", "count", "offset",
    "listIds", "listName", "includeFilters", "folderId", "newFolderName", "legacyListId", "email",
    "occurredAfter", "occurredBefore", "userId", "hs_static", "formTypes", "deletePermanently",
    "client_id", "redirect_uri", "scope", "code_challenge", "expires", "signature", "channel",
    "propertiesWithHistory", "validateReferencesBeforeDelete", "before", "sort", "dataSensitivity",
)  # fmt: skip
VALUES = (
    "101", "151", "contacts", "deals", "tickets", "0-1", "2-2000001", "locations", "1", "0", "-1",
    "default", "9" * 30, "9" * 5_000, "a%2Fb", "%00", "%ff", "ä", "jane%40example.com", "email",
    "appointmentscheduled", "p_locations", "dealinformation", "6000001", "one", "%D9%A1",
)  # fmt: skip


USUAL = {
    "type": "deals", "from": "contacts", "to": "companies", "other": "companies", "listId": "2",
    "objectType": "deals", "name": "amount", "pipeline": "default", "folderId": "0",
    "stage": "appointmentscheduled", "email": "jane%40example.com", "objectTypeId": "0-1",
    "sourceListId": "1", "group": "dealinformation", "schema": "locations", "flowId": "1",
    "newParentFolderId": "0", "listName": "x", "association": "1", "typeId": "3",
}  # fmt: skip


def changed(draw: Random, body: object) -> object:
    """Return a body with some of its parts replaced, left out or said twice."""
    body = copy.deepcopy(body)
    for _ in range(draw.choice((0, 1, 1, 1, 2, 4))):
        holders = [one for one in parts(body) if one]
        if not holders:
            return body
        holder = draw.choice(holders)
        place = draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        if draw.random() < 0.15:
            del holder[place]
        elif isinstance(holder, list) and draw.random() < 0.2:
            holder *= draw.choice((2, 101))
        else:
            holder[place] = copy.deepcopy(draw.choice((*ODD, *BODIES)))
    return body


def parts(one: object) -> Iterator[dict[str, object] | list[object]]:
    if isinstance(one, dict | list):
        yield one
        for inner in one.values() if isinstance(one, dict) else one:
            yield from parts(inner)


def body_of(draw: Random, known: tuple[object, ...]) -> tuple[str, bytes]:
    """Return a content type and a body of it, from those that the path is known to take."""
    likely = known if known and draw.random() < 0.8 else BODIES
    body = changed(draw, draw.choice(likely))
    if draw.random() < 0.1 and isinstance(body, dict):
        pairs = {name: value for name, value in body.items() if isinstance(value, str)}
        return "application/x-www-form-urlencoded", urlencode(pairs, errors="replace").encode()
    if draw.random() < 0.05:
        body = draw.choice((*ODD, [body], ["101", 3]))
    text = json.dumps(body).encode()
    return "application/json", text[: draw.randrange(len(text))] if draw.random() < 0.02 else text


def target_of(draw: Random, template: str, portal_id: int) -> str:
    """Return the template with values, and now and then a query."""

    def value(found: re.Match[str]) -> str:
        if found[1] == "portalId":
            return str(portal_id)
        likely = USUAL.get(found[1], "101")
        return likely if draw.random() < 0.8 else draw.choice(VALUES)

    path = re.sub(r"\{(\w+)\}", value, template)
    asked = draw.sample(QUERY, draw.choice((0, 0, 1, 2)))
    said = (f"{name}={quote(str(draw.choice(ODD)), errors='replace')}" for name in asked)
    return f"{path}?{'&'.join(said)}"


class Sender:
    """Sends to one sandbox, and remembers by which id each request was answered."""

    def __init__(self) -> None:
        self.sandbox = Sandbox(portals=2, contacts=12, clock=Clock(NOON), limits=False)
        self.portal = self.sandbox.portals[1]
        self.answered: list[str] = []

    def send(self, method: str, target: str, kind: str, body: bytes) -> int:
        headers = [("authorization", f"Bearer {self.portal.token}"), ("content-type", kind)]
        reply = self.sandbox.handle(Request.parse(method, target, headers=headers, body=body))
        self.answered.append(dict(reply.headers)["X-HubSpot-Correlation-Id"])
        return reply.status

    def known(self, method: str, target: str) -> tuple[object, ...]:
        """Return the bodies that are taken here."""
        return tuple(
            body
            for body in BODIES
            if self.send(method, target, "application/json", json.dumps(body).encode()) < 300
        )

    def entered(self) -> list[LedgerEntry]:
        """Return the entries of all ledgers."""
        books = (*(one.portal_id for one in self.sandbox.portals), self.sandbox.spare.portal_id)
        return [entry for book in (*books, None) for entry in self.sandbox.ledger(book)]


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_that_is_sent_breaks_the_sandbox_or_escapes_its_ledgers(family: str) -> None:
    """A 500 alone is none of the sandbox's defects: HubSpot has some that are simulated."""
    draw = Random(f"fuzz/{family}")
    for route in FAMILIES[family]:
        sender = Sender()
        for method in methods(route):
            plain = re.sub(r"\{(\w+)\}", lambda one: USUAL.get(one[1], "101"), route.template)
            known = sender.known(method, plain) if method in {"PATCH", "POST", "PUT"} else ()
            for _ in range(EACH):
                target = target_of(draw, route.template, sender.portal.portal_id)
                sender.send(method, target, *body_of(draw, known))
                sender.sandbox.clock.advance(draw.choice((0, 0.001, 40)))
        entered = sender.entered()
        assert [entry for entry in entered if entry.fault == "defect"] == []
        assert sorted(entry.correlation_id for entry in entered) == sorted(sender.answered)
        assert len(set(sender.answered)) == len(sender.answered)
