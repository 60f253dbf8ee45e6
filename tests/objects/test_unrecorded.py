"""A chunk that was sent, of which the outcome could not be recorded: the disk is full meanwhile."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from hsagency.errors import AuditError
from hsagency.objects import batch_create, batch_read, create_once, pages
from tests.objects.conftest import Open, Portal

PEOPLE = [{"email": f"new-{number}@example.com"} for number in range(250)]


@contextmanager
def no_room_during(portal: Portal, folder: Path, *, call: int) -> Iterator[None]:
    """Let no file grow from the moment on when a call is under way."""
    limits, calls = resource.getrlimit(resource.RLIMIT_FSIZE), 0

    def fill() -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            log = max(folder.rglob("journal/*.jsonl"))
            resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, limits[1]))

    portal.wire.before.append(fill)
    try:
        yield
    finally:
        portal.wire.before.clear()
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def stranger(portal: Portal) -> httpx.Client:
    """Return a client of httpx's own, which needs no log."""
    token = portal.sandbox.portals[0].token
    return httpx.Client(
        transport=portal.wire,
        base_url="https://api.hubapi.com",
        headers={"Authorization": f"Bearer {token}"},
    )


@pytest.mark.parametrize("call", [1, 2])
def test_a_chunk_that_was_sent_is_unknown_and_what_comes_after_it_skipped(
    opened: Open, tmp_path: Path, call: int
) -> None:
    portal = opened(3)
    with no_room_during(portal, tmp_path, call=call):
        frame = batch_create(portal.client, "contacts", PEOPLE)
    done, left = 100 * (call - 1), 250 - 100 * call
    assert frame["outcome"].to_list() == ["done"] * done + ["unknown"] * 100 + ["skipped"] * left
    assert set(frame["category"]) == {None, "AuditError"}
    assert len(list(pages(stranger(portal), "contacts"))) == 3 + done + 100


def test_a_read_whose_record_is_missing_is_not_called_skipped(opened: Open, tmp_path: Path) -> None:
    portal = opened(150)
    ids = portal.ids()
    with no_room_during(portal, tmp_path, call=2):
        frame = batch_read(portal.client, "contacts", [*ids, *range(10**6, 10**6 + 100)])
    assert frame["outcome"].to_list() == ["done"] * 100 + ["unknown"] * 100 + ["skipped"] * 50


def test_a_record_that_may_have_been_created_is_said_to_be(opened: Open, tmp_path: Path) -> None:
    portal = opened(3)
    with (
        no_room_during(portal, tmp_path, call=2),
        pytest.raises(AuditError, match="may have been created: look for it first"),
    ):
        create_once(portal.client, "contacts", PEOPLE[0], waits=portal.waits)
    assert len(list(pages(stranger(portal), "contacts"))) == 4
