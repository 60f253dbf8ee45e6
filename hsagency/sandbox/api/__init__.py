"""The endpoints of the simulated HubSpot: one module a family, and one table of all routes."""

from __future__ import annotations

from hsagency.sandbox.api.account import account_routes
from hsagency.sandbox.api.activity import activity_routes
from hsagency.sandbox.api.associations import associations_routes
from hsagency.sandbox.api.batch import batch_routes
from hsagency.sandbox.api.exports import exports_routes
from hsagency.sandbox.api.forms import forms_routes
from hsagency.sandbox.api.lists import lists_routes
from hsagency.sandbox.api.oauth import oauth_routes
from hsagency.sandbox.api.owners import owners_routes
from hsagency.sandbox.api.pipelines import pipelines_routes
from hsagency.sandbox.api.preferences import preferences_routes
from hsagency.sandbox.api.properties import properties_routes
from hsagency.sandbox.api.records import records_routes
from hsagency.sandbox.api.schemas import schemas_routes
from hsagency.sandbox.api.search import search_routes
from hsagency.sandbox.api.workflows import workflows_routes
from hsagency.sandbox.routes import Routes

FAMILIES = {
    "account": account_routes(),
    "activity": activity_routes(),
    "associations": associations_routes(),
    "batch": batch_routes(),
    "exports": exports_routes(),
    "forms": forms_routes(),
    "lists": lists_routes(),
    "oauth": oauth_routes(),
    "owners": owners_routes(),
    "pipelines": pipelines_routes(),
    "preferences": preferences_routes(),
    "properties": properties_routes(),
    "records": records_routes(),
    "schemas": schemas_routes(),
    "search": search_routes(),
    "workflows": workflows_routes(),
}
ROUTES = Routes([route for family in FAMILIES.values() for route in family])
