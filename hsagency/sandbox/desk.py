"""
Where comes who needs no bearer token: apps, people, and who has the signed address of a file.

A visit is bound to a portal by the code, the token or the account that it names, and is then
answered under that portal's lock; whatever names none is a stranger's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.envelopes import answered, refused
from hsagency.sandbox.ledger import Ledger
from hsagency.sandbox.oauth.apps import App, Apps
from hsagency.sandbox.portals import Credential
from hsagency.sandbox.routes import Match, Route
from hsagency.sandbox.wire import ApiError, JsonObject, Reply, Request, is_number

# From this day on /oauth/v1 works no more (facts 0).
V1_ENDS = datetime(2027, 2, 16, tzinfo=UTC)
FORM = "application/x-www-form-urlencoded"
_FIELDS_MAX = 100


@dataclass(frozen=True, slots=True)
class DeskRoute(Route):
    """A path that is answered without a bearer token."""

    answers: Mapping[str, Callable[[Visit], Reply]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OwnToken:
    """An access token that acts for an app alone."""

    app: App
    scopes: frozenset[str]
    ends: datetime


@dataclass(slots=True, repr=False)
class Visit:
    """
    One request at the desk; `now`, `id_` and `book` are as of when it is answered.

    `state` is None where nothing in it names a portal; its book is then the strangers'. Whoever
    names a portal, in a path or a form, is in that portal's book: no token is asked for here.
    """

    desk: Desk
    request: Request
    route: DeskRoute
    values: dict[str, str]
    form: dict[str, str]
    state: PortalState | None = None
    book: Ledger = field(init=False)
    now: datetime = field(init=False)
    id_: str = field(init=False, default="")

    def given(self, name: str) -> str:
        """Return a field of the form, or nothing; only v1 read the query as well (facts 1.7)."""
        found = self.form.get(name, "")
        if not found and self.route.version == "v1":
            found = self.request.param(name) or ""
        return found

    def json(self, content: JsonObject) -> Reply:
        """Answer with an object that nobody may keep a copy of."""
        return answered(200, content, id_=self.id_, headers=(("Cache-Control", "no-store"),))

    def empty(self, status: int) -> Reply:
        """Answer with no body."""
        return answered(status, None, id_=self.id_)


class Desk:
    """
    The OAuth side of a sandbox: its apps, and which portal a code or a token belongs to.

    Two behaviours are HubSpot's on some days or in some documents and can be switched:
    `rotates`, whether a refresh answers a new refresh token and ends the old one; and
    `tells`, whether *Cancel* sends the browser back to the app with an error.
    """

    def __init__(
        self,
        *,
        fleet: tuple[PortalState, ...],
        states: Mapping[int, PortalState],
        by_token: dict[str, PortalState],
        seed: int,
    ) -> None:
        self.apps = Apps(seed=seed)
        self.rotates, self.tells = False, True
        self.fleet, self.states = fleet, states
        # Access tokens with which apps act for themselves, in no portal.
        self.own_tokens: dict[str, OwnToken] = {}
        self._by_token = by_token
        self._by_secret: dict[str, PortalState] = {}

    def visit(self, request: Request, match: Match | None) -> Visit | None:
        """Return a visit, if the path is one of the desk's."""
        if match is None or not isinstance(match.route, DeskRoute):
            return None
        found = Visit(self, request, match.route, match.values, _form(request))
        found.state = self._owner(found)
        return found

    def answer(self, visit: Visit, *, book: Ledger, now: datetime, id_: str) -> Reply:
        """Answer a visit; its book's lock is held."""
        visit.book, visit.now, visit.id_ = book, now, id_
        method = "GET" if visit.request.method == "HEAD" else visit.request.method
        try:
            handler = _handler(visit.route, method, now=now)
            return handler(visit)
        except ApiError as error:
            return refused(error, id_=id_)

    def bind(self, secret: str, state: PortalState) -> None:
        """Remember whose code or refresh token this is."""
        self._by_secret[secret] = state

    def hand_out(self, credential: Credential, state: PortalState) -> None:
        """Let calls with an access token reach its portal."""
        self._by_token[credential.token] = state

    def _owner(self, visit: Visit) -> PortalState | None:
        """Find the portal that a visit names: by the secret it is about, in the path or the form."""
        secret = _secret(visit)
        state = self._by_secret.get(secret) or self._by_token.get(secret)
        if state is not None:
            return state
        portal_id = visit.values.get("portalId") or visit.form.get("portalId", "")
        return self.states.get(int(portal_id)) if is_number(portal_id) else None


def _secret(visit: Visit) -> str:
    """Return the one secret that a visit is about, whatever others came with it."""
    if "token" in visit.values:
        return visit.values["token"]
    if visit.route.name != "/oauth/token":
        return visit.given("token")
    return visit.given(
        "code" if visit.given("grant_type") == "authorization_code" else "refresh_token"
    )


def _handler(route: DeskRoute, method: str, *, now: datetime) -> Callable[[Visit], Reply]:
    if route.version == "v1" and now >= V1_ENDS:
        # That it is a 410 is an assumption: the announcement only says that it stops working.
        raise ApiError(410, "This version of the OAuth API has been sunset. Use /oauth/2026-09.")
    found = route.answers.get(method)
    if found is None:
        allowed = ", ".join(sorted(route.answers))
        raise ApiError(405, "HTTP 405 Method Not Allowed", headers=(("Allow", allowed),))
    return found


def _form(request: Request) -> dict[str, str]:
    """Read a form; what is none, or is too long, has no fields."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FORM:
        return {}
    try:
        pairs = parse_qsl(request.body.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError:
        return {}
    return dict(pairs)
