"""Search for records."""

from __future__ import annotations

from hsagency.sandbox.api.views import view_of_body
from hsagency.sandbox.bodies import whole_of
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.searching import fitting, in_order
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import JsonObject, invalid

READ = ("crm.objects.{type}.read",)
PAGE_DEFAULT, PAGE_MAX = 10, 200
# HubSpot pages through so many results of one search; `total` may be more (facts 3.1).
RESULTS_MAX = 10_000


def search_records(call: Call) -> Outcome:
    """Return the records that fit, a page at a time; `after` counts results."""
    store, content = call.state.store(call.kind), call.content
    limit = whole_of(content, "limit", PAGE_DEFAULT, least=1, most=PAGE_MAX)
    after = whole_of(content, "after", 0, least=0, most=RESULTS_MAX)
    if after + limit > RESULTS_MAX:
        raise invalid(f"A search pages through {RESULTS_MAX} results, and after {after} ends there")
    view = view_of_body(call, store.kind, content)
    fits, as_of = fitting(call.state, store.kind, content), call.as_of
    found = [one for one in store.visible(as_of=as_of) if fits(one.seen(as_of))]
    in_order(store.kind, content, found, as_of)
    end = after + limit
    answer: JsonObject = {
        "total": len(found),
        "results": [view.of(record) for record in found[after:end]],
    }
    if end < len(found):
        answer["paging"] = {"next": {"after": str(end)}}
    return 200, answer


def search_routes() -> list[Route]:
    """Return the routes of this module."""
    return routes_at(
        "/crm/v3/objects/{type}",
        "/crm/objects/{dated}/{type}",
        tails={"/search": {"POST": Endpoint(search_records, READ)}},
    )
