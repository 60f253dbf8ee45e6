"""How answers are put for the wire, and the words of the refusals that more than one part gives."""

from __future__ import annotations

from hsagency.sandbox.wire import ApiError, Headers, JsonObject, Reply, encode

JSON = ("Content-Type", "application/json;charset=utf-8")
HTML = ("Content-Type", "text/html;charset=utf-8")
SCOPES_LINK = "https://developers.hubspot.com/scopes"


def named(id_: str) -> tuple[str, str]:
    """Return the header that names an answer."""
    return "X-HubSpot-Correlation-Id", id_


def answered(status: int, content: JsonObject | None, *, id_: str, headers: Headers = ()) -> Reply:
    """Return an answer with a JSON object, or with no body at all."""
    if content is None:
        return Reply(status, headers=(named(id_), *headers))
    return Reply(status, headers=(JSON, named(id_), *headers), body=encode(content))


def refused(error: ApiError, *, id_: str, headers: Headers = ()) -> Reply:
    """Return a refusal as its envelope, or as a page where it says so."""
    headers = (named(id_), *error.headers, *headers)
    if error.html:
        page = plain_page(f"{error.status} {error.message}")
        return Reply(error.status, headers=(HTML, *headers), body=page)
    return Reply(error.status, headers=(JSON, *headers), body=encode(error.envelope(id_)))


def plain_page(title: str) -> bytes:
    """Return the page of an error that HubSpot answers without JSON."""
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return page.encode()


def unauthenticated() -> ApiError:
    """
    Return the 401 for a missing, malformed, unknown or revoked token.

    HubSpot answers all four alike. That introspection of an unknown token is a 401 too is an
    assumption: the documents do not show it.
    """
    return ApiError(
        401,
        "Authentication credentials not found. This API supports OAuth 2.0 authentication and "
        "you can find more details at "
        "https://developers.hubspot.com/docs/methods/auth/oauth-overview",
        category="INVALID_AUTHENTICATION",
    )


def missing_scopes(*scopes: str) -> ApiError:
    """Return the 403 for a scope; some of its bodies name none."""
    needed = {"requiredGranularScopes": list(scopes)} if scopes else {}
    text = "One or more of the following scopes are required."
    return ApiError(
        403,
        "This app hasn't been granted all required scopes to make this call. "
        f"Read more about required scopes here: {SCOPES_LINK}.",
        category="MISSING_SCOPES",
        errors=[{"message": text, "context": needed}],
        links={"scopes": SCOPES_LINK},
    )
