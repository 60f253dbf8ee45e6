"""
One way of leading a call astray, and what has to hold whatever comes of it.

Of each way three things are asked. Nothing arrived anywhere but at the portal whose client made
the call, with that portal's own credential: a sandbox that notes the credentials of all its
portals says so, and a listener that must stay silent. There is a record of the call, or of its
refusal: the log of each client and what its portal received are the same calls. And no token is
to be seen: in the workspace, the errors with the locals of their frames, the logs of all
libraries at DEBUG, and whatever the way got hold of.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx
import pytest

from hsagency.agency import Agency
from hsagency.client import PortalClient
from hsagency.errors import HsAgencyError
from hsagency.portals import AGENCY
from hsagency.routes import touched
from hsagency.sandbox import Portal
from tests.isolation.witness import Arrival, Witness
from tests.support import (
    Connected,
    Listener,
    assert_no_tokens,
    connected,
    listening,
    records,
    tokens_of,
)

PATH = "/crm/v3/objects/contacts"
DEALS = "/crm/v3/objects/deals"


class Ending(StrEnum):
    """What becomes of a way."""

    REFUSED = "refused, on the record"
    HOME = "arrived at its own portal, as itself, on the record"
    LOST = "broke off on its way, on the record"
    NONE = "no call came of it"


@dataclass(frozen=True)
class Way:
    """
    One way, named in words.

    `own_token` is for a way that puts a token of the sandbox into its own request: where that
    request is shown, so is what the caller put there. `guests` are those whose portals it calls
    as well, each through its own client.
    """

    name: str
    attack: Callable[[Scene], object]
    ending: Ending = Ending.REFUSED
    own_token: bool = False
    guests: int = 0


@dataclass(repr=False)
class Scene:
    """An agency with three portals, its clients A and B, and a listener that must hear nothing."""

    fleet: Connected
    sandbox: Witness
    other: Listener
    patch: pytest.MonkeyPatch
    shown: list[str] = field(default_factory=list)

    @property
    def agency(self) -> Agency:
        return self.fleet.agency

    @property
    def root(self) -> Path:
        return self.agency.workspace.root

    @property
    def url(self) -> str:
        """Where A's portal is, and B's."""
        return self.fleet.server.url

    @property
    def netloc(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def port(self) -> str:
        return self.url.rpartition(":")[2]

    @property
    def slug_a(self) -> str:
        return self.fleet.slugs[0]

    @property
    def slug_b(self) -> str:
        return self.fleet.slugs[1]

    @property
    def a(self) -> PortalClient:
        return self.agency.client(self.slug_a)

    @property
    def b(self) -> PortalClient:
        return self.agency.client(self.slug_b)

    @property
    def portal_a(self) -> Portal:
        return self.sandbox.portals[0]

    @property
    def portal_b(self) -> Portal:
        return self.sandbox.portals[1]

    @property
    def bearer_b(self) -> str:
        """The header that would make a call one at B's portal."""
        return f"Bearer {self.portal_b.token}"

    def see(self, *things: object) -> None:
        """Keep what a way got to see, to be searched for tokens."""
        self.shown += [str(one) for one in things] + [repr(one) for one in things]

    def calls(self, slug: str) -> list[dict[str, Any]]:
        """Return the calls in a client's log: each start or refusal joined with its end."""
        joined: dict[str, dict[str, Any]] = {}
        for one in records(self.root, slug):
            if one["event"] in ("call.started", "call.refused"):
                assert one["callId"] not in joined
                joined[one["callId"]] = one
            elif one["event"] in ("call.finished", "call.detail"):
                joined[one["callId"]] |= one
        return list(joined.values())


@contextmanager
def scene(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Make an agency with a fleet, and a listener."""
    sandbox = Witness(portals=3)
    with (
        listening() as other,
        connected(folder / "agency", sandbox=sandbox) as fleet,
        patch.context() as inner,
    ):
        yield Scene(fleet, sandbox, other, inner)


BY_PYTHON = (
    *(httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, httpx.CookieConflict),
    *(TypeError, ValueError, AttributeError, OSError, ZeroDivisionError, RuntimeError),
)
"""What ends a way besides our own errors: httpx's and Python's."""


def endure(on: Scene, way: Way, caplog: pytest.LogCaptureFixture) -> None:
    """Try a way; fail if any of the three things does not hold, or it ended in another way."""
    slugs = on.fleet.slugs
    logs = [*slugs, AGENCY]  # the agency's has the calls of onboarding
    before = {slug: len(on.calls(slug)) for slug in logs}
    arrived = len(on.sandbox.arrivals)
    error: BaseException | None = None
    with caplog.at_level(logging.DEBUG):
        try:
            on.see(way.attack(on))
        except (HsAgencyError, *BY_PYTHON) as caught:
            error = caught
    new = on.sandbox.arrivals[arrived:]
    made = {slug: on.calls(slug)[before[slug] :] for slug in logs}

    assert on.other.seen == []
    one_to_one(on, new, made)
    guests = slugs[1 : 1 + way.guests]
    strangers = [slug for slug in slugs[1:] if slug not in guests and made[slug]]
    assert not strangers, f"calls of {strangers}"
    ended = ending(error, made[slugs[0]])
    assert ended == way.ending, f"{way.name}: {ended}; {error!r}"

    on.shown += [told(error, frames=not way.own_token)] if error else []
    texts = {str(number): text for number, text in enumerate(on.shown)}
    assert_no_tokens([on.root], tokens_of(on.sandbox), texts={**texts, "log": caplog.text})


def one_to_one(
    on: Scene, arrivals: list[Arrival], made: Mapping[str, list[dict[str, Any]]]
) -> None:
    """Hold every arrival against the record of the client whose portal it reached."""
    assert not [one for one in arrivals if one.portal_id is None], "a credential nobody knows"
    judged = {one["correlationId"]: one for one in made[AGENCY] if "correlationId" in one}
    for one in [one for one in arrivals if one.correlation_id in judged]:
        assert judged[one.correlation_id]["credentialFingerprint"] == one.fingerprint
    for portal in on.sandbox.portals:
        there = [
            one
            for one in arrivals
            if one.portal_id == portal.portal_id and one.correlation_id not in judged
        ]
        calls = [one for one in made[portal.client_slug] if one["outcome"] != "refused"]
        assert {one["portalId"] for one in calls} <= {portal.portal_id}
        answered = [one for one in calls if one["outcome"] != "unknown"]
        # What is unknown may have arrived or not; what was answered has, and nothing else did.
        assert len(answered) <= len(there) <= len(calls), (there, calls)
        by_id = {one.correlation_id: one for one in there}
        assert len(by_id) == len(there)
        for one in answered:
            found = by_id.get(one.get("correlationId", ""))
            if found is None:  # a redirect has no such id
                assert one["statusCode"] // 100 == 3, one
                continue
            assert (one["method"], one["statusCode"]) == (found.method, found.sent)
            reached = touched(found.method, found.path, "")
            assert (one["path"], one["operationClass"]) == (
                reached.template,
                reached.operation_class,
            )
            assert one["credentialFingerprint"] == found.fingerprint


def ending(error: BaseException | None, calls: list[dict[str, Any]]) -> Ending | None:
    """Return what became of a way, by A's log; None for an error that no ending allows."""
    outcomes = {str(one["outcome"]) for one in calls}
    if "unknown" in outcomes:
        return Ending.LOST
    if error is None:
        return Ending.HOME if calls else Ending.NONE
    if not calls:
        return Ending.NONE
    refused = "refused" in outcomes and isinstance(error, HsAgencyError)
    return Ending.REFUSED if refused else None


def told(error: BaseException, *, frames: bool = True) -> str:
    """Return all that is said of an error, with the locals of the frames it went through."""
    said = [str(error), repr(error), *traceback.format_exception(error)]
    seen: list[BaseException | None] = [error] if frames else []
    while seen:
        one = seen.pop()
        if one is not None:
            seen += [one.__cause__, one.__context__]
            said.append(safe_repr(vars(one)))
            for frame, _ in traceback.walk_tb(one.__traceback__):
                said += [f"{name} = {safe_repr(held)}" for name, held in frame.f_locals.items()]
            request = getattr(one, "_request", None)
            said += [f"{request.headers.raw} {vars(request)}"] if request is not None else []
    return "\n".join(said)


def safe_repr(held: object) -> str:
    """Show an object, which an error may have left half made."""
    try:
        return repr(held)
    except AttributeError:
        return object.__repr__(held)
