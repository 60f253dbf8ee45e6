"""What the tests of lists share: their paths, filters, and who is in them."""

from __future__ import annotations

from typing import Any

from tests.sandbox.asking import Asking

OLD, DATED = "/crm/v3/lists", "/crm/lists/2026-09"
CONTACTS, COMPANIES = "0-1", "0-2"
CUSTOMERS, GUESTS, RETAILERS = "1", "2", "3"  # what every portal starts with
IDS = [str(101 + 50 * number) for number in range(12)]


def where(*alternatives: list[dict[str, Any]]) -> dict[str, Any]:
    """Write filters: any of these groups, each of which wants all of its conditions."""
    return {
        "filterBranchType": "OR",
        "filters": [],
        "filterBranches": [
            {"filterBranchType": "AND", "filterBranches": [], "filters": group}
            for group in alternatives
        ],
    }


def condition(name: str, sort: str, operator: str, **more: object) -> dict[str, Any]:
    operation = {"operationType": sort, "operator": operator, **more}
    return {"filterType": "PROPERTY", "property": name, "operation": operation}


def create(ask: Asking, name: str, processing: str = "MANUAL", **more: object) -> str:
    """Make a list of contacts."""
    body = {"name": name, "objectTypeId": CONTACTS, "processingType": processing, **more}
    status, answer = ask("POST", OLD, body)
    assert status == 200, answer
    return answer["list"]["listId"]


def members(ask: Asking, list_id: str, path: str = OLD) -> list[str]:
    status, answer = ask("GET", f"{path}/{list_id}/memberships?limit=250")
    assert status == 200, answer
    assert answer["total"] == len(answer["results"])
    return [one["recordId"] for one in answer["results"]]


def refused(answer: tuple[int, Any], status: int, *words: str) -> None:
    assert answer[0] == status, answer
    assert all(word in answer[1]["message"] for word in words), answer
