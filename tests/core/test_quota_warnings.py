"""A portal that runs out of calls: warned of once a crossing, on record, in words."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.agency import Agency
from hsagency.audit.standalone.packs import open_pack
from hsagency.audit.standalone.verify import check_pack
from hsagency.errors import (
    AuditError,
    AuditWarning,
    Cancelled,
    ClientClosed,
    HsAgencyError,
    QuotaSpent,
)
from hsagency.pacing import Budget, Source
from hsagency.pacing.terms import marks
from hsagency.periods import Period
from hsagency.routes import touched
from hsagency.secret import Secret
from hsagency.settings import Amount, ClientQuotaSettings, QuotaSettings
from hsagency.transport import Binding, Call, Grant
from hsagency.transport.pace import Pace
from hsagency.waiting import Waits
from tests.core.desks import ASK, CALL, CRITICAL, NORMAL, Desk, answer, connection
from tests.support import connected, records

CONTACTS = "/crm/v3/objects/contacts"


def hear(pacer: Any, left: int, limit: int = 250_000) -> None:
    """Make a call that HubSpot answers with what is left."""
    pacer.told(pacer.reserve(ASK, CRITICAL, purpose="verification"), answer(daily=limit, left=left))


def test_a_crossing_is_told_in_one_sentence_and_on_record(desk: Desk, tmp_path: Path) -> None:
    pacer = desk.of(name="Acme Corp", time_zone="Europe/Berlin")
    hear(pacer, 25_000)
    assert desk.said == [], "the threshold itself is not below it"
    hear(pacer, 24_999)
    assert desk.said == [
        "Acme Corp (acme-corp, portal 12345678): 24,999 of 250,000 calls are left today, fewer "
        "than the threshold of 25,000; the count begins anew at 2026-11-21 00:00 Europe/Berlin "
        "(2026-11-20 23:00 UTC). Calls of priority low and normal (the default) are refused until "
        "then; high at 95 % and critical at 99 %. What must go on needs a higher one in "
        'hsagency.toml, under [purposes]: "PURPOSE" = "high"'
    ]
    (record,) = records(tmp_path, "acme-corp")
    assert record["event"] == "rate_limit_warning"
    wanted = {"clientSlug": "acme-corp", "portalId": 12345678, "dailyRemaining": 24_999}
    assert {**record, **wanted, "threshold": 25_000} == record
    assert record["resetsAt"] == "2026-11-20T23:00:00.000000Z"


def test_a_crossing_is_told_once_until_the_portal_has_recovered(desk: Desk) -> None:
    pacer = desk.of(time_zone="UTC")
    for left in (24_000, 20_000, 25_500, 24_000, 37_500, 24_000):
        hear(pacer, left)  # a little above the threshold is no recovery
        desk.pass_(60)
    assert len(desk.said) == 1
    hear(pacer, 37_501)  # half the threshold above it is
    hear(pacer, 24_000)
    assert len(desk.said) == 2
    desk.pass_(86_400)
    hear(pacer, 24_000)
    assert len(desk.said) == 3, "another day"


@pytest.mark.parametrize(
    ("amount", "limit", "below"),
    [("10%", 250_000, 25_000), ("10%", 1_000_000, 100_000), (50_000, 250_000, 50_000)],
)
def test_a_threshold_is_a_count_or_a_share_of_that_portals_own_limit(
    desk: Desk, amount: object, limit: int, below: int
) -> None:
    own = ClientQuotaSettings(warn_below=amount)
    pacer = desk.other(quota=QuotaSettings(clients={"acme-corp": own})).of()
    hear(pacer, below, limit)
    assert not desk.said
    hear(pacer, below - 1, limit)
    assert f"fewer than the threshold of {below:,};" in desk.said[0]
    assert pacer.standing().threshold == below


@given(
    st.integers(1, 10**7),
    st.one_of(
        st.integers(0, 10**7).map(lambda count: Amount(count=count)),
        st.floats(0, 1).map(lambda share: Amount(share=share)),
    ),
)
def test_recovery_is_above_the_threshold_by_the_smaller_of_two_margins(
    limit: int, warn_below: Amount
) -> None:
    found = marks(limit, warn_below=warn_below, reserve=Amount(count=0))
    below = warn_below.of(limit) or 0
    below = min(below, limit)
    assert found.warn_below == below
    assert found.again == below + min(limit // 10, below // 2)
    assert not any(
        found.is_low(left) and found.rearms(left) for left in range(below - 2, below + 2)
    )


@pytest.mark.parametrize(
    "told",
    [{}, {"daily": 250_000}, {"left": "none"}, {"daily": "x", "left": "NaN"}, {"most": 100}],
)
def test_an_absent_or_unreadable_header_never_warns(desk: Desk, told: dict[str, Any]) -> None:
    pacer = desk.of()
    pacer.told(pacer.reserve(CALL, NORMAL), answer(**told))
    assert not desk.said
    assert not pacer.standing().is_low


def test_the_usage_endpoint_warns_too(desk: Desk) -> None:
    desk.of().usage(1000, 950)
    assert "50 of 1,000 calls are left today" in desk.said[0]


def test_a_warning_that_could_not_be_recorded_comes_again(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "audit").touch()
    pacer = desk.of()
    hear(pacer, 10)
    assert len(desk.said) == 1, "a person is told all the same"
    (tmp_path / "audit").unlink()
    hear(pacer, 9)
    hear(pacer, 8)
    assert len(desk.said) == 2
    assert [one["dailyRemaining"] for one in records(tmp_path, "acme-corp")] == [9]


class Far:
    """The stations behind: answers with headers, or fails."""

    def __init__(self, *, error: BaseException | None = None, **told: object) -> None:
        self.calls, self.error, self.told = list[Call](), error, told

    def send(self, call: Call) -> httpx.Response:
        self.calls.append(call)
        if self.error is not None:
            raise self.error
        return answer(**self.told)


def call_of(desk: Desk, *, purpose: str = "interactive", judged: bool = False) -> Call:
    stored = connection()
    host = httpx.URL("https://api.hubapi.com")
    binding = Binding(
        client_slug=stored.client_slug,
        portal_id=stored.portal_id,
        connection_type=stored.connection_type,
        host=host,
        fingerprint=Secret("x").fingerprint,
        generation=1,
        purpose=purpose,
    )
    grant = Grant(
        binding=binding, way=httpx.MockTransport(answer), connection=None if judged else stored
    )
    request = httpx.Request("GET", host.join(CONTACTS))
    return Call(request=request, touched=touched("GET", CONTACTS), grant=grant)


def pace(desk: Desk, far: Far, **more: Any) -> Pace:
    waits = more.pop("waits", Waits())
    settings = desk.settings.model_copy(update=more)
    return Pace(far, pacing=desk.pacing, settings=settings, waits=waits, writer=desk.writer)


def test_a_call_passes_in_its_turn_and_its_answer_teaches(desk: Desk) -> None:
    far = Far(daily=1000, left=999)
    pace(desk, far).send(call_of(desk))
    assert len(far.calls) == 1
    assert desk.of().standing().remaining == 999


def test_a_call_that_judges_a_credential_has_no_portal_and_passes(desk: Desk) -> None:
    far = Far()
    pace(desk, far).send(call_of(desk, judged=True))
    assert len(far.calls) == 1
    assert not (desk.folder / "pacing").exists()


def under_way(error: HsAgencyError) -> HsAgencyError:
    error.under_way = True
    return error


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (ClientClosed("closed"), 0),
        (httpx.ConnectError("no"), 0),
        (httpx.ReadTimeout("late"), 1),
        (AuditError("the intent could not be recorded"), 0),
        (under_way(AuditError("the outcome could not be recorded")), 1),
        (KeyboardInterrupt(), 1),
    ],
)
def test_only_a_call_that_certainly_never_left_does_not_count(
    desk: Desk, error: BaseException, ours: int
) -> None:
    with pytest.raises(type(error)):
        pace(desk, Far(error=error)).send(call_of(desk))
    assert desk.of().standing().ours == ours


def test_a_wait_can_be_cancelled_and_is_on_record(desk: Desk, tmp_path: Path) -> None:
    desk.of().back_off(Budget.BURST, 60)
    stop, far = threading.Event(), Far()
    station = pace(desk, far, waits=Waits(cancel=stop))
    caught: list[BaseException] = []

    def send() -> None:
        try:
            station.send(call_of(desk))
        except Cancelled as error:
            caught.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    stop.set()
    thread.join()
    assert len(caught) == 1
    assert not far.calls
    (record,) = records(tmp_path, "acme-corp")
    assert (record["event"], record["reason"]) == ("call.refused", "cancelled")


def test_a_purpose_has_the_priority_that_the_settings_give_it(desk: Desk, tmp_path: Path) -> None:
    far = Far(daily=1000, left=200)
    station = pace(desk, far, purposes={"nightly": "low", "data fix": "critical"})
    station.send(call_of(desk, purpose="nightly"))
    with pytest.raises(QuotaSpent, match="low priority"):
        station.send(call_of(desk, purpose="nightly"))
    station.send(call_of(desk, purpose="data fix"))
    assert len(far.calls) == 2
    refused = [one for one in records(tmp_path, "acme-corp") if one["event"] == "call.refused"]
    assert [one["reason"] for one in refused] == ["no quota left"]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Agency]:
    """An agency of two portals, of which one warns from its first call on."""
    with connected(tmp_path / "agency", portals=2) as made:
        slug, root = made.slugs[0], made.agency.workspace.root
        with (root / "hsagency.toml").open("a") as file:
            file.write(f'\n[quota.clients.{slug}]\nwarn_below = "100%"\n')
        with Agency.open(root) as agency:
            yield agency


def test_a_warning_reaches_a_person_the_log_its_verifier_and_forwarders(
    fleet: Agency, tmp_path: Path
) -> None:
    slug, other = fleet.slugs()
    taken: list[Mapping[str, Any]] = []
    with pytest.warns(AuditWarning, match="calls are left today, fewer than the threshold"):
        fleet.client(slug).get(CONTACTS)
    fleet.client(slug).get(CONTACTS)
    fleet.client(other).get(CONTACTS)
    activity = fleet.activity().filter(pl.col("event") == "rate_limit_warning")
    assert activity["client_slug"].to_list() == [slug]
    details = orjson.loads(activity["details"][0])
    assert details["dailyRemaining"] < details["threshold"]

    with fleet.audit.forwarder("watch", taken.append) as forwarder:
        forwarder.catch_up()
    (event,) = (one for one in taken if one.get("event") == "rate_limit_warning")
    assert (event["clientSlug"], event["dailyRemaining"]) == (slug, details["dailyRemaining"])
    schema = files("hsagency.data").joinpath("record.schema.json").read_bytes()
    jsonschema.Draft202012Validator(orjson.loads(schema)).validate(event)

    today = fleet.writer.now().date()
    pack = fleet.audit.export(slug, tmp_path / "pack.zip", period=Period(today, today))
    assert check_pack(open_pack(pack.path)).integrity == "intact"


def test_calls_through_the_agency_are_paced_and_counted(fleet: Agency) -> None:
    slug = fleet.slugs()[1]
    client = fleet.client(slug)
    before = fleet.pacing.of(fleet.connection(slug)).standing()
    for _ in range(3):
        client.get(CONTACTS)
    standing = fleet.pacing.of(fleet.connection(slug)).standing()
    assert standing.ours == before.ours + 3
    assert (standing.source, standing.limit_source) == (Source.HEADER, Source.HEADER)
    assert (standing.used or 0) >= 3
