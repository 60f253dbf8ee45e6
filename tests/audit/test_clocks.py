"""This machine's clock beside HubSpot's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest

from hsagency.audit.journal.writer import AuditWriter
from hsagency.sandbox import Clock, Sandbox, serve
from tests.audit.conftest import Connect
from tests.audit.reading import AUTHOR, CONTACTS, all_records

THEIRS = datetime(2026, 10, 14, 12, tzinfo=UTC)


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(portals=2, contacts=10, clock=Clock(THEIRS))


@pytest.fixture
def url(sandbox: Sandbox) -> Iterator[str]:
    with serve(sandbox) as server:
        yield server.url


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def call(
    audit: Path, connect: Connect, url: str, told: list[str]
) -> Callable[[timedelta, int], None]:
    """Call so often, by two clients of one portal, with a clock that far from HubSpot's."""

    def some(apart: timedelta, times: int) -> None:
        now, tell = (lambda: THEIRS + apart), told.append
        with AuditWriter(audit, author=AUTHOR, now=now, tell=tell) as writer:
            for _ in range(2):
                client = connect(url, by=writer)
                for _ in range(times):
                    assert client.get(CONTACTS).status_code == 200

    return some


def noted(audit: Path) -> list[dict[str, object]]:
    return [one for one in all_records(audit) if one["event"] == "audit.clock"]


@pytest.mark.parametrize(
    ("apart", "way"),
    [
        (timedelta(seconds=121), "121 seconds ahead of"),
        (-timedelta(hours=1), "3600 seconds behind"),
    ],
)
def test_a_clock_that_is_not_hubspots_is_on_record_once_in_a_process_for_a_portal(
    audit: Path,
    call: Callable[[timedelta, int], None],
    told: list[str],
    validator: jsonschema.Draft202012Validator,
    apart: timedelta,
    way: str,
) -> None:
    call(apart, 3)
    (one,) = noted(audit)
    assert way in str(one["message"])
    assert one["serverTs"] == "2026-10-14T12:00:00.000000Z"
    validator.validate(one)
    assert told == [one["message"]]
    assert "set its clock by a time server" in told[0]


@pytest.mark.parametrize("seconds", [-120, 0, 120])
def test_two_minutes_are_no_drift(
    audit: Path, call: Callable[[timedelta, int], None], seconds: int
) -> None:
    call(timedelta(seconds=seconds), 1)
    assert not noted(audit)


@pytest.mark.parametrize("date", ["", "yesterday", "Wed, 99 Oct 2026 12:00:00 GMT", "\xff"])
def test_a_date_that_is_none_says_nothing_about_the_clock(audit: Path, date: str) -> None:
    from hsagency.transport.clock import ClockCheck

    with AuditWriter(audit, author=AUTHOR) as writer:
        ClockCheck(writer, slug="acme-corp", portal_id=1).look({"date": date})
    assert not noted(audit)
