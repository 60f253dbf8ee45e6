"""The owners of records: list with paging, and read by the id of the owner or the user."""

from __future__ import annotations

from hsagency.sandbox.api.paging import page_by_number
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.owners import Owners
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import invalid, is_number, not_found

PAGE_DEFAULT, PAGE_MAX = 100, 500
READ = ("crm.objects.owners.read",)


def list_owners(call: Call) -> Outcome:
    """Return a page of owners in the order of ids, all or those with one address."""
    email = call.request.param("email")
    found = [
        owner
        for owner in call.state.part(Owners).all
        if owner.archived == call.archived
        and (email is None or owner.person.email == email.lower())
    ]
    page, paging = page_by_number(
        call, found, number=lambda owner: owner.owner_id, default=PAGE_DEFAULT, most=PAGE_MAX
    )
    return 200, {"results": [owner.shown() for owner in page]} | paging


def read_owner(call: Call) -> Outcome:
    """Return one owner; `idProperty=userId` says that the id is a user's."""
    kind, given = call.request.param("idProperty") or "id", call.values["id"]
    if kind not in {"id", "userId"}:
        raise invalid(f"idProperty must be id or userId, not {kind!r}")
    if not is_number(given):
        raise invalid(f"ownerId must be a whole number, not {given!r}")
    found = call.state.part(Owners).find(int(given), by_user=kind == "userId")
    if found is None or found.archived != call.archived:
        raise not_found()
    return 200, found.shown()


def owners_routes() -> list[Route]:
    """Return the routes of this module."""
    return routes_at(
        "/crm/v3/owners",
        "/crm/owners/{dated}",
        tails={
            "": {"GET": Endpoint(list_owners, READ)},
            "/{id}": {"GET": Endpoint(read_owner, READ)},
        },
    )
