"""Forms over HTTP: list, create, read, change, replace and archive."""

from __future__ import annotations

from hsagency.sandbox.api.paging import page_of
from hsagency.sandbox.bodies import demand, objects, one_of, text
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.forms import PARTS, Form, FormBook
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import JsonObject, invalid

# One scope for all methods: a token that reads forms can delete them (facts 6).
SCOPE = ("forms",)
BETAS = ("2026-09-beta", "2027-03-beta")
KINDS = ("hubspot", "captured", "flow", "blog_comment")
PAGE_DEFAULT, PAGE_MAX, GROUPS_MAX, FIELDS_MAX = 20, 100, 1000, 100
CONSENTS = (
    "none",
    "legitimate_interest",
    "explicit_consent_to_process",
    "implicit_consent_to_process",
)


def list_forms(call: Call) -> Outcome:
    """Return a page of forms, oldest first; those of HubSpot's editor unless asked otherwise."""
    asked = call.request.params("formTypes") or ["hubspot"]
    unknown = sorted({*asked} - {*KINDS, "all"})
    if unknown:
        raise invalid(f"formTypes must be of {[*KINDS, 'all']}, not {unknown[0]!r}")
    kinds = KINDS if "all" in asked else asked
    found = _book(call).listed(kinds, archived=call.archived, as_of=call.as_of)
    page, paging = page_of(
        call, found, key=lambda one: (one.number,), default=PAGE_DEFAULT, most=PAGE_MAX
    )
    return 200, {"results": [one.shown() for one in page]} | paging


def create_form(call: Call) -> Outcome:
    """Add a form of the kind that HubSpot's editor makes."""
    content = call.content
    _demand_whole(content)
    made = _book(call).create(text(content, "name"), _parts(content), at=call.at)
    return 201, made.shown()


def read_form(call: Call) -> Outcome:
    """Return one form."""
    form = _book(call).get(call.values["formId"], archived=call.archived, as_of=call.as_of)
    return 200, form.shown()


def change_form(call: Call) -> Outcome:
    """Change what the body names; each part is replaced as a whole."""
    form, content = _found(call), call.content
    name = text(content, "name") if "name" in content else form.name
    form.parts = form.parts | _parts(content)
    form.name, form.updated_at = name, call.at
    if content.get("archived") is True:
        form.archived_at = call.at
    return 200, form.shown()


def replace_form(call: Call) -> Outcome:
    """Replace all of a form but its id and when it was made."""
    form, content = _found(call), call.content
    _demand_whole(content)
    form.parts, form.name, form.updated_at = _parts(content), text(content, "name"), call.at
    return 200, form.shown()


def archive_form(call: Call) -> Outcome:
    """Archive a form."""
    _found(call).archived_at = call.at
    return 204, None


def forms_routes() -> list[Route]:
    """Return the routes of this module."""
    return routes_at(
        "/marketing/v3/forms",
        "/marketing/forms/{dated}",
        tails={
            "": {"GET": Endpoint(list_forms, SCOPE), "POST": Endpoint(create_form, SCOPE)},
            "/{formId}": {
                "GET": Endpoint(read_form, SCOPE),
                "PATCH": Endpoint(change_form, SCOPE),
                "PUT": Endpoint(replace_form, SCOPE),
                "DELETE": Endpoint(archive_form, SCOPE),
            },
        },
        dated=BETAS,
    )


def _book(call: Call) -> FormBook:
    return call.state.part(FormBook)


def _found(call: Call) -> Form:
    return _book(call).get(call.values["formId"])


def _demand_whole(content: JsonObject) -> None:
    demand(content, "formType", "name", *PARTS)
    one_of(content, "formType", ("hubspot",))


def _parts(content: JsonObject) -> JsonObject:
    """Return the parts of a form that a body has, judged."""
    found = {name: content[name] for name in PARTS if name in content}
    for name, value in found.items():
        if name != "fieldGroups" and not isinstance(value, dict):
            raise invalid(f"Invalid input JSON: {name!r} must be an object")
    if "fieldGroups" in found:
        _judge_fields(content)
    if "legalConsentOptions" in found:
        one_of(found["legalConsentOptions"], "type", CONSENTS)
    return found


def _judge_fields(content: JsonObject) -> None:
    for group in objects(content, "fieldGroups", most=GROUPS_MAX):
        for field in objects(group, "fields", most=FIELDS_MAX):
            demand(field, "name", "label", "fieldType", "objectTypeId")
