"""Each way in which a connection ends or falters has a status, a cause, evidence and a next step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency import onboarding
from hsagency.errors import HsAgencyError, PortalStopped
from hsagency.halt import RESUME
from hsagency.health import Health, HealthStatus, health
from hsagency.portals import (
    Cause,
    ClientSlug,
    Connection,
    ConnectionStatus,
    ConnectionType,
    CredentialKind,
    Fact,
    PortalId,
    Proof,
    Provenance,
    Stop,
)
from hsagency.sandbox import Fault
from hsagency.secret import Secret
from tests.support import Authorised, Connected, authorised, connected, once, records

PATH = "/crm/objects/2026-09/contacts"
DETAILS = "/account-info"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CONNECTED, NEEDS = HealthStatus.CONNECTED, HealthStatus.NEEDS_RECONNECTION
SUSPENDED, DISCONNECTED = HealthStatus.SUSPENDED, HealthStatus.DISCONNECTED
NOBODY = "USER_DOES_NOT_HAVE_PERMISSIONS"
Do = Callable[[Connected, str], object]


def refused(status: int, *, path: str | None = None, **said: object) -> Do:
    """Have a portal refuse all calls, or those below a path."""

    def arm(there: Connected, slug: str) -> None:
        fault = Fault("status", status=status, path=path, **said)  # type: ignore[arg-type]
        there.sandbox.faults.add(fault)

    return arm


def both(*deeds: Do) -> Do:
    return lambda there, slug: [one(there, slug) for one in deeds]


def uninstalled(there: Connected, slug: str, *, hub_gone: bool = False) -> None:
    assert isinstance(there, Authorised)
    there.sandbox.uninstall(slug, there.app.client_id, hub_gone=hub_gone)


def call(there: Connected, slug: str) -> None:
    """Make one call, whose proof is a while ago, so that a refusal is looked into."""
    with suppress(HsAgencyError, httpx.HTTPError):
        once(there.agency.client(slug)).get(PATH)


def prove(there: Connected, slug: str) -> None:
    with suppress(HsAgencyError):
        there.agency.verify(slug)


def heal(there: Connected, slug: str) -> None:
    there.sandbox.faults.clear()
    if there.sandbox.portal(slug).suspended is not None:
        there.sandbox.unsuspend(slug)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a person is told, and whether calls are stopped."""

    status: HealthStatus
    cause: Cause | None = None
    code: int | None = None
    stopped: bool = True
    next_step: str = ""
    named: str = ""


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    happens: Do
    seen: Do
    told: Told


UNEXPLAINED = refused(403, category="NO_IDEA")
RECONNECT, VERIFY = "hsagency reconnect SLUG", "hsagency verify SLUG"
REVOKED = "revoked, rotated or deleted in HubSpot"
GONE = Told(status=NEEDS, cause=Cause.REVOKED, next_step=RECONNECT, named=REVOKED)
USER = Told(
    status=NEEDS,
    cause=Cause.USER,
    code=403,
    next_step=RECONNECT,
    named="was deactivated in HubSpot, or may do less",
)
CLOSED = Told(
    status=DISCONNECTED,
    cause=Cause.ACCOUNT,
    next_step=VERIFY,
    named="merged, downgraded, closed to us or deleted",
)
OFF = Told(
    status=SUSPENDED,
    cause=Cause.SUSPENDED,
    code=403,
    next_step=VERIFY,
    named="suspended",
)
SCOPES = Told(
    status=NEEDS,
    cause=Cause.SCOPES,
    code=403,
    stopped=False,
    next_step=VERIFY,
    named="does not hold all scopes",
)
MOVED = Told(
    status=NEEDS,
    cause=Cause.DATA_CENTRE,
    code=488,
    next_step=RECONNECT,
    named="another data centre",
)
WELL = Told(status=CONNECTED, stopped=False)

CASES = (
    Case(name="rejected, on a call", happens=refused(401), seen=call, told=replace(GONE, code=401)),
    Case(
        name="rejected, at its proof",
        happens=refused(401),
        seen=prove,
        told=replace(GONE, code=401),
    ),
    Case(
        name="401 without a word",
        happens=refused(401, form="empty"),
        seen=call,
        told=replace(GONE, code=401),
    ),
    Case(name="malformed", happens=refused(530), seen=call, told=replace(GONE, code=530)),
    Case(
        name="401 of a suspended portal",
        happens=lambda there, slug: there.sandbox.suspend(slug, status=401),
        seen=call,
        told=replace(GONE, code=401),
    ),
    Case(
        name="expired",
        happens=refused(401, category="EXPIRED_AUTHENTICATION"),
        seen=call,
        told=Told(
            status=NEEDS, cause=Cause.EXPIRED, code=401, next_step=RECONNECT, named="expired"
        ),
    ),
    Case(
        name="suspended, in words",
        happens=lambda there, slug: there.sandbox.suspend(slug),
        seen=call,
        told=OFF,
    ),
    Case(
        name="suspended, at its proof",
        happens=refused(403, category="PORTAL_SUSPENDED"),
        seen=prove,
        told=OFF,
    ),
    Case(
        name="shut out without a word",
        happens=UNEXPLAINED,
        seen=call,
        told=Told(
            status=DISCONNECTED,
            cause=Cause.UNKNOWN,
            code=403,
            next_step=VERIFY,
            named="HubSpot does not say why",
        ),
    ),
    Case(name="its user is gone", happens=refused(403, category=NOBODY), seen=call, told=USER),
    Case(
        name="its user is gone, at its proof",
        happens=refused(403, category=NOBODY),
        seen=prove,
        told=USER,
    ),
    Case(
        name="its user is gone, and the details do not say why",
        happens=both(
            refused(403, path="/crm", category=NOBODY),
            refused(403, path=DETAILS, category="NO_IDEA"),
        ),
        seen=call,
        told=USER,
    ),
    Case(
        name="its user may do less",
        happens=refused(403, path="/crm", category=NOBODY),
        seen=call,
        told=replace(USER, stopped=False),
    ),
    Case(
        name="no account any more",
        happens=both(refused(404, path=DETAILS), refused(403, path="/crm", category="NO_IDEA")),
        seen=call,
        told=replace(CLOSED, code=404),
    ),
    Case(
        name="no account, at its proof",
        happens=refused(404, path=DETAILS),
        seen=prove,
        told=replace(CLOSED, code=404),
    ),
    Case(
        name="downgraded so far that it tells no details",
        happens=refused(403, path=DETAILS, category="GATED"),
        seen=prove,
        told=replace(CLOSED, code=403),
    ),
    Case(name="moved away", happens=refused(488, hublet="na1"), seen=prove, told=MOVED),
    Case(
        name="lacks a scope that it needs",
        happens=refused(403, path="/crm", scopes=("crm.objects.contacts.read",)),
        seen=call,
        told=SCOPES,
    ),
    Case(
        name="lacks a scope that another type needs",
        happens=refused(403, path="/crm", scopes=("crm.objects.deals.read",)),
        seen=call,
        told=WELL,
    ),
    Case(
        name="may not read its own account",
        happens=refused(403, path=DETAILS, scopes=("oauth",)),
        seen=prove,
        told=SCOPES,
    ),
    Case(
        name="one call is refused",
        happens=refused(403, path="/crm", category="NO_IDEA"),
        seen=call,
        told=WELL,
    ),
    Case(
        name="a feature is missing",
        happens=refused(403, path="/crm", category="GATED"),
        seen=call,
        told=WELL,
    ),
    Case(name="a thing is missing", happens=refused(404, path="/crm"), seen=call, told=WELL),
    Case(name="an outage", happens=refused(503, path="/crm"), seen=call, told=WELL),
    Case(name="an outage, at its proof", happens=refused(500), seen=prove, told=WELL),
    Case(name="too many calls", happens=refused(429, retry_after=1), seen=call, told=WELL),
    Case(name="not said, at its proof", happens=refused(418), seen=prove, told=WELL),
)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Connected]:
    with connected(tmp_path / "agency") as made:
        long_ago(made, made.slugs[0])
        yield made


@pytest.fixture
def oauth(tmp_path: Path) -> Iterator[Authorised]:
    with authorised(tmp_path / "agency") as made:
        long_ago(made, made.slugs[0])
        yield made


def long_ago(there: Connected, slug: str) -> None:
    """Have a connection's proof be young enough for a read, and too old to tell of a refusal."""
    there.agency.verify(slug)
    proof = there.agency.connection(slug).proof
    assert proof is not None
    earlier = replace(proof, at=proof.at - timedelta(minutes=2))
    there.agency.index.update(ClientSlug(slug), generation=1, proof=earlier)


def of(there: Connected, slug: str) -> Health:
    return health(there.agency.connection(slug), now=datetime.now(UTC))


def seen_by_hubspot(there: Connected, slug: str) -> set[object]:
    return {one.get("correlationId") for one in records(there.agency.workspace.root, slug)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_happens_has_a_status_a_cause_evidence_and_a_next_step(
    one: Connected, case: Case
) -> None:
    (slug,) = one.slugs
    case.happens(one, slug)
    case.seen(one, slug)
    found = of(one, slug)
    assert (found.status, found.cause) == (case.told.status, case.told.cause), found
    assert case.told.named in found.evidence
    assert found.next_step == case.told.next_step.replace("SLUG", slug)
    assert (one.agency.connection(slug).stopped is not None) is case.told.stopped
    if case.told.status is not CONNECTED:
        assert found.status_code == case.told.code
        assert str(case.told.code) in found.evidence
        assert found.correlation_id in seen_by_hubspot(one, slug)
        assert str(found.correlation_id) in found.evidence
        assert found.since is not None
        assert timedelta() <= datetime.now(UTC) - found.since < timedelta(minutes=5)


@pytest.mark.parametrize(
    "case", [one for one in CASES if one.told.status is not CONNECTED], ids=lambda case: case.name
)
def test_it_is_connected_again_once_the_cause_ends(one: Connected, case: Case) -> None:
    (slug,) = one.slugs
    case.happens(one, slug)
    case.seen(one, slug)
    heal(one, slug)
    one.agency.verify(slug)
    if case.told.stopped:
        found = of(one, slug)
        assert found.status is case.told.status, "a person has to let calls go on"
        assert "It works again" in found.evidence
        assert found.next_step == f"hsagency resume {slug} --reason TEXT"
        one.agency.resume(slug, reason="it works again")
    found = of(one, slug)
    assert (found.status, found.cause, found.next_step) == (CONNECTED, None, "")
    assert one.agency.connection(slug).trouble is None
    assert one.agency.client(slug).get(PATH).status_code == 200
    assert of(one, slug).evidence.startswith("Shown to be this portal's at 20")


def test_another_credential_makes_it_connected(one: Connected) -> None:
    (slug,) = one.slugs
    portal = one.sandbox.portal(slug).portal_id
    call(one, slug)
    one.sandbox.revoke(slug)
    call(one, slug)
    assert of(one, slug).next_step == f"hsagency reconnect {slug}"
    fresh = one.sandbox.rotate(slug).token
    row = onboarding.rows.Row(
        slug=ClientSlug(slug), token=Secret(fresh), expected=PortalId(portal), line=1
    )
    plan = onboarding.plan(one.agency, [row], api=one.server.url, replace_tokens=True)
    assert onboarding.apply(one.agency, plan, digest=plan.digest).complete
    assert of(one, slug).status is CONNECTED


def test_calls_go_on_where_some_of_them_are_refused_to_the_user(one: Connected) -> None:
    (slug,) = one.slugs
    refused(403, path=f"{PATH}/batch", category=NOBODY)(one, slug)
    client = one.agency.client(slug)
    assert client.post(f"{PATH}/batch/read", json={"inputs": []}).status_code == 403
    found = of(one, slug)
    assert (found.status, found.cause) == (NEEDS, Cause.USER)
    trouble = one.agency.connection(slug).trouble
    assert trouble is not None
    assert "It was asked for POST /crm/objects/2026-09/contacts/batch/read." in trouble.reason
    assert client.get(PATH).status_code == 200
    assert of(one, slug) == found, "a call that works says nothing of those that do not"
    assert client.post(f"{PATH}/batch/read", json={"inputs": []}).status_code == 403
    noted = [
        record
        for record in records(one.agency.workspace.root, slug)
        if record["event"] == "connection.failed"
    ]
    assert len(noted) == 1, "it is noted once"
    assert noted[0]["statusCode"] == 403


def test_what_was_resumed_and_not_asked_since_says_so(one: Connected) -> None:
    (slug,) = one.slugs
    UNEXPLAINED(one, slug)
    call(one, slug)
    heal(one, slug)
    one.agency.resume(slug, reason="says Jo")
    found = of(one, slug)
    assert (found.status, found.status_code) == (DISCONNECTED, 403)
    assert found.evidence.endswith(" and not asked since.")
    assert found.next_step == f"hsagency verify {slug}"
    assert found.since is not None


OAUTH = (
    Case(
        name="uninstalled",
        happens=uninstalled,
        seen=call,
        told=Told(
            status=NEEDS,
            cause=Cause.REVOKED,
            code=400,
            next_step=RECONNECT,
            named="uninstalled in HubSpot",
        ),
    ),
    Case(
        name="no such hub",
        happens=lambda there, slug: uninstalled(there, slug, hub_gone=True),
        seen=call,
        told=replace(CLOSED, code=400),
    ),
    Case(
        name="suspended",
        happens=lambda there, slug: there.sandbox.suspend(slug),
        seen=call,
        told=OFF,
    ),
    Case(
        name="its user may do less",
        happens=refused(403, path="/crm", category=NOBODY),
        seen=call,
        told=replace(USER, stopped=False, named="Who authorised it was deactivated"),
    ),
    Case(
        name="lacks a scope that it needs",
        happens=refused(403, path="/crm", scopes=("crm.objects.contacts.read",)),
        seen=call,
        told=replace(SCOPES, next_step=RECONNECT),
    ),
)


@pytest.mark.parametrize("case", OAUTH, ids=lambda case: case.name)
def test_over_oauth_the_same_is_told(oauth: Authorised, case: Case) -> None:
    (slug,) = oauth.slugs
    case.happens(oauth, slug)
    case.seen(oauth, slug)
    found = of(oauth, slug)
    assert (found.status, found.cause) == (case.told.status, case.told.cause), found
    assert (found.status_code, found.next_step) == (
        case.told.code,
        case.told.next_step.replace("SLUG", slug),
    )
    assert case.told.named in found.evidence
    assert (oauth.agency.connection(slug).stopped is not None) is case.told.stopped


def test_an_access_token_that_is_withdrawn_early_is_no_reason_to_reconnect(
    oauth: Authorised,
) -> None:
    (slug,) = oauth.slugs
    oauth.sandbox.end_access(oauth.kept(slug).access.reveal())
    call(oauth, slug)
    assert of(oauth, slug).status is CONNECTED


def test_an_app_that_was_uninstalled_is_connected_once_it_is_let_in_again(
    oauth: Authorised,
) -> None:
    (slug,) = oauth.slugs
    oauth.sandbox.uninstall(slug, oauth.app.client_id)
    call(oauth, slug)
    with pytest.raises(PortalStopped):
        oauth.agency.client(slug)
    result = oauth.connect([oauth.row(slug, slug)], replace_tokens=True)
    assert not result.refused, result.frame()
    assert of(oauth, slug).status is CONNECTED


def test_a_halt_comes_before_what_is_a_portals_own(one: Connected) -> None:
    (slug,) = one.slugs
    stored = one.agency.connection(slug)
    found = health(stored, halted="two portals were mixed up.", now=NOW)
    assert (found.status, found.cause, found.next_step) == (HealthStatus.HALTED, None, RESUME)
    assert found.evidence == "Calls to every portal are halted: two portals were mixed up."
    refused(401)(one, slug)
    call(one, slug)
    found = health(one.agency.connection(slug), halted="a mix-up", now=NOW)
    assert (found.status, found.cause, found.status_code) == (
        HealthStatus.HALTED,
        Cause.REVOKED,
        401,
    )
    assert f" a mix-up. Besides: The token was {REVOKED}" in found.evidence


times = st.datetimes(timezones=st.just(UTC))
texts = st.text(max_size=40)
seen = st.builds(
    Stop,
    reason=texts,
    at=times,
    status_code=st.none() | st.integers(100, 999),
    correlation_id=st.none() | texts,
    cause=st.sampled_from(Cause),
)
proofs = st.builds(Proof, at=times, portal_id=st.just(PortalId(1)), fingerprint=texts)
facts = st.builds(
    Fact, value=texts | st.just(("oauth",)), provenance=st.sampled_from(Provenance), at=times
)
connections = st.builds(
    Connection,
    client_slug=st.just(ClientSlug("acme-corp")),
    portal_id=st.just(PortalId(12345678)),
    connection_type=st.sampled_from(ConnectionType),
    kind=st.sampled_from(CredentialKind),
    generation=st.integers(1, 9),
    fingerprint=texts,
    added_at=times,
    last_rotated_at=times,
    status=st.sampled_from(ConnectionStatus),
    status_evidence=texts,
    cause=st.none() | st.sampled_from(Cause),
    stopped=st.none() | seen,
    trouble=st.none() | seen,
    proof=st.none() | proofs,
    facts=st.dictionaries(st.sampled_from(["name", "scopes", "tier"]), facts),
)


@given(connections, st.none() | texts, times)
def test_of_any_connection_there_is_something_to_tell(
    connection: Connection, halted: str | None, now: datetime
) -> None:
    found = health(connection, halted=halted, now=now)
    assert found.evidence.endswith(".")
    assert (found.status is HealthStatus.HALTED) is (halted is not None)
    if found.status is CONNECTED:
        assert (found.next_step, found.cause, connection.stopped) == ("", None, None)
    else:
        assert found.next_step.startswith("hsagency ")
    if found.status not in (CONNECTED, HealthStatus.HALTED):
        assert found.cause is not None
        assert (found.status is SUSPENDED) is (found.cause is Cause.SUSPENDED)
    if connection.stopped is not None:
        assert found.status is not CONNECTED
        assert found.since == connection.stopped.at
