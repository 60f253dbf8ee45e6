"""Forms: list, create, read, change, replace, archive (facts 5.1, 6)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.sandbox import Fault, Request, Sandbox
from tests.sandbox.asking import Asking

OLD = "/marketing/v3/forms"
BETAS = ("/marketing/forms/2026-09-beta", "/marketing/forms/2027-03-beta")


def body(ask: Asking, name: str) -> dict[str, Any]:
    """Write a form like the first one, under another name."""
    first = ask("GET", OLD)[1]["results"][0]
    parts = ("formType", "fieldGroups", "configuration", "displayOptions", "legalConsentOptions")
    return {"name": name, **{part: first[part] for part in parts}}


@pytest.mark.parametrize("path", [OLD, *BETAS])
def test_a_form_is_made_and_read_in_every_form_of_its_path(ask: Asking, path: str) -> None:
    """Facts 5.1: the dated paths are betas. From documents alone."""
    status, made = ask("POST", path, body(ask, "Webinar"))
    assert status == 201
    assert str(UUID(made["id"])) == made["id"]
    assert ask("GET", f"{path}/{made['id']}") == (200, made)
    assert made["name"] == "Webinar"
    assert not made["archived"]


@pytest.mark.parametrize("version", ["2026-03", "2026-09", "2026-03-beta"])
def test_forms_have_no_dated_path_but_the_betas(sandbox: Sandbox, version: str) -> None:
    """Facts 5.1. From documents alone."""
    headers = [("authorization", f"Bearer {sandbox.portals[0].token}")]
    request = Request.parse("GET", f"/marketing/forms/{version}", headers=headers)
    assert sandbox.handle(request).status == 404


def test_a_portal_starts_with_the_same_forms_whenever_they_are_asked_for() -> None:
    first, second = (Asking(Sandbox(portals=2)) for _ in range(2))
    for _ in range(3):
        second("GET", "/account-info/v3/details")
    assert first("GET", OLD) == second("GET", OLD)
    other = Asking(second.sandbox, index=1)("GET", OLD)[1]["results"][0]
    assert other["id"] != first("GET", OLD)[1]["results"][0]["id"]


def test_forms_are_listed_by_kind(ask: Asking) -> None:
    """From documents alone; that the editor's forms are what is listed unasked is an assumption."""

    def found(query: str = "") -> list[str]:
        return [one["name"] for one in ask("GET", f"{OLD}{query}")[1]["results"]]

    assert found() == found("?formTypes=hubspot") == ["Contact us", "Newsletter"]
    assert found("?formTypes=captured") == ["#footer-signup"]
    assert found("?formTypes=flow,blog_comment") == []
    assert len(found("?formTypes=all")) == 3
    assert ask("GET", f"{OLD}?formTypes=paper")[0] == 400


@given(limit=st.integers(1, 12), more=st.integers(0, 8), gone=st.sets(st.integers(0, 9)))
def test_all_pages_together_are_all_forms_exactly_once(
    limit: int, more: int, gone: set[int]
) -> None:
    ask = Asking(Sandbox(portals=1))
    template = body(ask, "Form")
    for _ in range(more):
        assert ask("POST", OLD, template)[0] == 201
    everything = [one["id"] for one in ask("GET", f"{OLD}?limit=100")[1]["results"]]
    kept = [id_ for number, id_ in enumerate(everything) if number not in gone]
    for id_ in set(everything) - set(kept):
        ask("DELETE", f"{OLD}/{id_}")
    seen, after = [], ""
    while True:
        page = ask("GET", f"{OLD}?limit={limit}{after}")[1]
        seen += [one["id"] for one in page["results"]]
        if "next" not in page.get("paging", {}):
            break
        assert len(page["results"]) == limit
        after = f"&after={page['paging']['next']['after']}"
    assert seen == kept


def test_a_change_replaces_what_it_names(ask: Asking) -> None:
    before = ask("GET", OLD)[1]["results"][0]
    change = {"name": "Write to us", "legalConsentOptions": {"type": "none"}}
    status, after = ask("PATCH", f"{BETAS[0]}/{before['id']}", change)
    assert (status, after["name"]) == (200, "Write to us")
    assert after["updatedAt"] > before["updatedAt"]
    same = ("id", "createdAt", "fieldGroups", "configuration", "displayOptions")
    assert [after[name] for name in same] == [before[name] for name in same]


def test_a_replacement_must_be_whole(ask: Asking) -> None:
    """From documents alone."""
    before = ask("GET", OLD)[1]["results"][0]
    path, whole = f"{OLD}/{before['id']}", body(ask, "Write to us")
    status, answer = ask("PUT", path, {"name": "Write to us", "formType": "hubspot"})
    assert (status, len(answer["errors"])) == (400, 4)
    whole["displayOptions"] = whole["displayOptions"] | {"theme": "sharp"}
    status, after = ask("PUT", path, whole)
    assert (status, after["displayOptions"]["theme"]) == (200, "sharp")
    assert (after["id"], after["createdAt"]) == (before["id"], before["createdAt"])


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"fieldGroups": {}},
        {"fieldGroups": [{"fields": [{"name": "email"}]}]},
        {"configuration": []},
        {"legalConsentOptions": {"type": "hope"}},
        {"legalConsentOptions": {}},
    ],
)
def test_a_form_that_makes_no_sense_is_refused_and_nothing_changed(
    ask: Asking, change: dict[str, Any]
) -> None:
    before = ask("GET", OLD)[1]["results"][0]
    path = f"{OLD}/{before['id']}"
    assert ask("PATCH", path, change)[0] == 400
    assert ask("PUT", path, body(ask, "x") | change)[0] == 400
    assert ask("POST", OLD, body(ask, "x") | change)[0] == 400
    assert ask("GET", path)[1] == before


def test_only_forms_of_the_editor_are_made(ask: Asking) -> None:
    """From documents alone."""
    assert ask("POST", OLD, body(ask, "x") | {"formType": "captured"})[0] == 400


@pytest.mark.parametrize("how", ["DELETE", "PATCH"])
def test_a_deleted_form_is_archived(ask: Asking, how: str) -> None:
    """From documents alone."""
    id_ = ask("GET", OLD)[1]["results"][0]["id"]
    answer = ask(how, f"{OLD}/{id_}", None if how == "DELETE" else {"archived": True})
    assert answer[0] == (204 if how == "DELETE" else 200)
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        status, answer = ask(method, f"{OLD}/{id_}", None if method == "GET" else {})
        assert (status, answer["category"]) == (404, "OBJECT_NOT_FOUND")
    archived = ask("GET", f"{OLD}/{id_}?archived=true")[1]
    assert archived["archived"]
    assert archived["archivedAt"] >= archived["createdAt"]
    assert ask("GET", f"{OLD}?archived=true")[1]["results"] == [archived]
    assert id_ not in {one["id"] for one in ask("GET", OLD)[1]["results"]}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_one_scope_opens_all_methods(sandbox: Sandbox, ask: Asking, method: str) -> None:
    """Facts 6: `forms` has no variant that only reads. From documents alone."""
    portal_id = sandbox.portals[0].portal_id
    sandbox.set_scopes(portal_id, ["crm.objects.contacts.read"])
    status, answer = ask(method, OLD, {})
    assert status == 403
    assert answer["errors"][0]["context"]["requiredGranularScopes"] == ["forms"]
    sandbox.set_scopes(portal_id, ["forms"])
    assert ask(method, OLD, body(ask, "x"))[0] in {200, 201}


def test_a_form_is_seen_later_by_a_reader_that_lags_behind(sandbox: Sandbox, ask: Asking) -> None:
    """Facts 4.3: reads may lag behind writes. That forms do is an assumption."""
    id_ = ask("POST", OLD, body(ask, "Webinar"))[1]["id"]
    sandbox.faults.add(Fault(kind="lag", seconds=50))
    assert ask("GET", f"{OLD}/{id_}")[0] == 404
    assert len(ask("GET", OLD)[1]["results"]) == 2
    sandbox.clock.advance(50)
    assert ask("GET", f"{OLD}/{id_}")[0] == 200
