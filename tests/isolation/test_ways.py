"""The ways that are tried, as one table: each has a name of its own, and there are enough."""

from __future__ import annotations

from collections import Counter

from tests.isolation import (
    test_addresses,
    test_extension_points,
    test_handles,
    test_headers,
    test_jobs,
    test_network,
    test_processes,
    test_redirects,
    test_secrets,
    test_state,
)
from tests.isolation.attacking import Ending

TABLE = {
    "addresses": test_addresses.WAYS,
    "extension points": test_extension_points.WAYS,
    "handles": test_handles.WAYS,
    "headers": test_headers.WAYS,
    "jobs": test_jobs.WAYS,
    "network": test_network.WAYS,
    "processes": test_processes.WAYS,
    "redirects": test_redirects.WAYS,
    "secrets": test_secrets.WAYS,
    "state": test_state.WAYS,
}
WAYS = [way for ways in TABLE.values() for way in ways]


def test_there_are_at_least_sixty_ways_and_no_two_have_one_name() -> None:
    names = Counter((area, way.name) for area, ways in TABLE.items() for way in ways)
    assert [name for name, count in names.items() if count > 1] == []
    assert len(names) >= 60
    assert all(len(ways) >= 12 for ways in TABLE.values())


def test_most_ways_begin_a_call_and_many_are_refused() -> None:
    ends = Counter(way.ending for way in WAYS)
    assert ends[Ending.REFUSED] >= 60  # each of these left a record of its refusal
    assert ends[Ending.NONE] < len(WAYS) / 4
