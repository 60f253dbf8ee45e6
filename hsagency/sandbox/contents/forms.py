"""The forms of one portal; a deleted one is archived and takes no more submissions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from uuid import UUID

from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.portals import FOUNDED
from hsagency.sandbox.wire import JsonObject, not_found, stamp

# What a form of HubSpot's own editor is made of; the others have a name and nothing more to change.
PARTS = ("fieldGroups", "configuration", "displayOptions", "legalConsentOptions")


@dataclass(slots=True)
class Form:
    """One form; `number` is its place in the order of creation."""

    number: int
    form_id: str
    kind: str
    name: str
    created_at: str
    updated_at: str
    parts: JsonObject = field(repr=False)
    archived_at: str | None = None

    def shown(self) -> JsonObject:
        """Return the form as HubSpot answers it."""
        content: JsonObject = {
            "id": self.form_id,
            "formType": self.kind,
            "name": self.name,
            "createdAt": self.created_at,
            "updatedAt": self.updated_at,
            "archived": self.archived_at is not None,
            **self.parts,
        }
        if self.archived_at is not None:
            content["archivedAt"] = self.archived_at
        return content


class FormBook:
    """The forms of one portal; the caller holds the portal's lock."""

    def __init__(self, state: PortalState) -> None:
        # a source of its own, so that a portal's first forms are the same whenever they are made
        self._rng = Random(f"{state.seed}/{state.portal.portal_id}/forms")  # noqa: S311
        self._forms: dict[str, Form] = {}
        brand, at = state.portal.name, stamp(FOUNDED)
        for name, fields in _FIRST.items():
            parts = form_parts((one_field(*one) for one in fields), button=f"Send to {brand}")
            self.create(name, parts, at=at)
        later = stamp(FOUNDED + timedelta(days=90))
        self.create("#footer-signup", {}, at=later, kind="captured")

    def create(self, name: str, parts: JsonObject, *, at: str, kind: str = "hubspot") -> Form:
        """Add a form."""
        made = Form(
            number=len(self._forms) + 1,
            form_id=str(UUID(int=self._rng.getrandbits(128), version=4)),
            kind=kind,
            name=name,
            created_at=at,
            updated_at=at,
            parts=parts,
        )
        self._forms[made.form_id] = made
        return made

    def get(self, form_id: str, *, archived: bool = False, as_of: str | None = None) -> Form:
        """Return a live or an archived form, or refuse with 404."""
        found = self._forms.get(form_id.lower())
        if found is None or (found.archived_at is not None) is not archived:
            raise not_found(f"No form found with ID {form_id}.")
        if as_of is not None and found.created_at > as_of:
            raise not_found(f"No form found with ID {form_id}.")
        return found

    def listed(
        self, kinds: Iterable[str], *, archived: bool = False, as_of: str | None = None
    ) -> list[Form]:
        """Return the forms of some kinds, oldest first."""
        wanted = set(kinds)
        return [
            one
            for one in self._forms.values()
            if one.kind in wanted
            and (one.archived_at is not None) is archived
            and (as_of is None or one.created_at <= as_of)
        ]


def form_parts(fields: Iterable[JsonObject], *, button: str) -> JsonObject:
    """Return all that a form needs, with one group for each field, as HubSpot's editor makes it."""
    groups = [
        {"groupType": "default_group", "richTextType": "text", "fields": [one]} for one in fields
    ]
    return {
        "fieldGroups": groups,
        "configuration": {
            "language": "en",
            "createNewContactForNewEmail": True,
            "editable": True,
            "archivable": True,
            "cloneable": True,
            "recaptchaEnabled": False,
            "notifyContactOwner": False,
            "notifyRecipients": [],
            "prePopulateKnownValues": True,
            "allowLinkToResetKnownValues": False,
            "lifecycleStages": [],
            "postSubmitAction": {"type": "thank_you", "value": "Thank you."},
        },
        "displayOptions": {
            "renderRawHtml": False,
            "theme": "default_style",
            "submitButtonText": button,
            "style": dict(_STYLE),
        },
        "legalConsentOptions": {"type": "none"},
    }


def one_field(name: str, label: str, type_: str) -> JsonObject:
    """Return one field of a form that asks contacts for a property."""
    content: JsonObject = {
        "objectTypeId": "0-1",
        "name": name,
        "label": label,
        "fieldType": type_,
        "required": type_ == "email",
        "hidden": False,
        "dependentFields": [],
    }
    if type_ == "email":
        content["validation"] = {"blockedEmailDomains": [], "useDefaultBlockList": False}
    return content


_STYLE = {
    "fontFamily": "arial, helvetica, sans-serif",
    "backgroundWidth": "100%",
    "labelTextColor": "#33475b",
    "labelTextSize": "13px",
    "helpTextColor": "#7c98b6",
    "helpTextSize": "11px",
    "legalConsentTextColor": "#33475b",
    "legalConsentTextSize": "14px",
    "submitColor": "#ff7a59",
    "submitFontColor": "#ffffff",
    "submitAlignment": "left",
    "submitSize": "12px",
}
_FIRST = {
    "Contact us": (
        ("email", "E-mail", "email"),
        ("firstname", "First name", "single_line_text"),
        ("lastname", "Last name", "single_line_text"),
    ),
    "Newsletter": (("email", "E-mail", "email"),),
}
