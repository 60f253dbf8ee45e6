"""A token is renewed ahead of its end, once for everybody, and nobody waits while one lives."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hsagency.agency import Agency
from hsagency.credentials import CredentialStore, SecretName
from hsagency.errors import (
    AuthorisationEnded,
    ClientClosed,
    CredentialMissing,
    Halted,
    PortalStopped,
    StoreUnreadable,
    WriteNotConfirmed,
)
from hsagency.portals import Cause, ClientSlug
from hsagency.sandbox import Fault
from hsagency.secret import Secret
from tests.auth.renewals import CONTACTS, TOKEN, due, renewals, together
from tests.support import Authorised, authorised, records

ROOT = Path(__file__).resolve().parents[2]
SLOW = Fault("latency", path=TOKEN, seconds=0.8)


def get(agency: Agency, slug: str) -> int:
    return agency.client(slug).get(CONTACTS).status_code


class Stubborn:
    """A store of which some reads or writes fail, and the rest is another's."""

    def __init__(self, inner: CredentialStore, *, failing: tuple[int, ...] = ()) -> None:
        self.inner, self.failing, self.puts, self.reads = inner, failing, 0, True
        self.uri = inner.uri

    def get(self, name: SecretName) -> Secret:
        if not self.reads:
            raise StoreUnreadable("The store is locked.")
        return self.inner.get(name)

    def put(self, name: SecretName, secret: Secret) -> None:
        self.puts += 1
        if self.puts in self.failing:
            raise WriteNotConfirmed("The store took nothing.")
        self.inner.put(name, secret)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def begin(work: Any) -> tuple[threading.Thread, list[object]]:
    came: list[object] = []

    def run() -> None:
        try:
            came.append(work())
        except Exception as error:  # noqa: BLE001  (whatever came of it is looked at)
            came.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, came


def wait_for_renewal(one: Authorised, slug: str) -> None:
    """Wait until a renewal has been written down, which is before its slow answer comes."""
    while renewals(one, slug) < 1:
        threading.Event().wait(0.005)


def test_a_young_token_is_used_as_it_is(one: Authorised, slug: str) -> None:
    before = one.kept(slug)
    assert get(one.agency, slug) == 200
    assert renewals(one, slug) == 0
    assert one.kept(slug) == before


def test_a_token_is_renewed_before_it_ends(one: Authorised, slug: str) -> None:
    before = due(one, slug)
    assert get(one.agency, slug) == 200
    after = one.kept(slug)
    assert renewals(one, slug) == 1
    assert after.access != before.access
    assert after.key == before.key
    assert after.expires_at - datetime.now(UTC) > timedelta(minutes=29)
    assert get(one.agency, slug) == 200
    assert renewals(one, slug) == 1


def test_its_renewal_changes_neither_fingerprint_nor_generation(one: Authorised, slug: str) -> None:
    before = one.agency.connection(slug)
    one.end(slug)
    assert get(one.agency, slug) == 200
    after = one.agency.connection(slug)
    assert (after.fingerprint, after.generation, after.binding) == (
        before.fingerprint,
        before.generation,
        before.binding,
    )


def test_many_threads_on_one_ended_token_renew_it_once(one: Authorised, slug: str) -> None:
    one.end(slug)
    assert together(lambda _: get(one.agency, slug)) == [200] * 16
    assert renewals(one, slug) == 1


def test_many_threads_of_many_processes_renew_it_once(one: Authorised, slug: str) -> None:
    one.end(slug)
    root = one.agency.workspace.root
    command = [sys.executable, "-m", "tests.auth.storming", str(root), slug, "16"]
    pipe = subprocess.PIPE
    running = [
        subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) for _ in range(4)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in running:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        said = [json.loads(process.communicate(timeout=60)[0]) for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert Counter(code for one_said in said for code in one_said["came"]) == {200: 64}
    assert renewals(one, slug) == 1


def test_while_one_renews_ahead_of_time_others_go_on_with_the_token_that_lives(
    one: Authorised, slug: str
) -> None:
    due(one, slug)
    one.sandbox.faults.add(SLOW)
    with Agency.open(one.agency.workspace.root) as other:
        other.client(slug)  # opened, and no secret read yet
        thread, came = begin(lambda: get(one.agency, slug))
        wait_for_renewal(one, slug)
        assert get(one.agency, slug) == 200
        assert get(other, slug) == 200
        assert came == []
        thread.join()
        assert came == [200]
    assert renewals(one, slug) == 1


def test_the_returned_refresh_token_is_stored_before_the_access_token_is_used(
    one: Authorised, slug: str
) -> None:
    one.sandbox.desk.rotates = True
    before, seen = one.end(slug), []

    def watch(portal_id: int | None, entry: Any) -> None:
        if entry.path == CONTACTS:
            seen.append(one.kept(slug).refresh != before.refresh)

    one.sandbox.watch(watch)
    for _ in range(3):
        assert get(one.agency, slug) == 200
        one.end(slug)
        with Agency.open(one.agency.workspace.root) as other:
            assert get(other, slug) == 200
    assert seen == [True] * 6


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "reset_after"])
def test_a_renewal_whose_answer_was_lost_is_asked_for_again(
    one: Authorised, slug: str, kind: str
) -> None:
    one.end(slug)
    one.sandbox.faults.add(Fault(kind, path=TOKEN, times=1))
    assert get(one.agency, slug) == 200
    assert renewals(one, slug) == 2


def test_a_refresh_token_that_was_lost_with_an_answer_is_told_by_the_portal(
    one: Authorised, slug: str
) -> None:
    one.sandbox.desk.rotates = True  # the one that replaces it is in the answer that is lost
    one.end(slug)
    one.sandbox.faults.add(Fault("drop_after", path=TOKEN, times=1))
    with pytest.raises(AuthorisationEnded):
        get(one.agency, slug)
    assert one.agency.connection(slug).cause is Cause.REVOKED


def test_a_store_that_takes_nothing_is_found_out_before_hubspot_is_asked(
    one: Authorised, slug: str
) -> None:
    before = one.end(slug)
    one.agency.store = Stubborn(one.agency.store, failing=(1,))
    with pytest.raises(WriteNotConfirmed):
        get(one.agency, slug)
    assert renewals(one, slug) == 0
    assert one.kept(slug) == before
    assert get(one.agency, slug) == 200


def test_what_the_store_did_not_take_is_kept_for_the_next_time(one: Authorised, slug: str) -> None:
    one.sandbox.desk.rotates = True  # the old refresh token is worth nothing any more
    one.end(slug)
    one.agency.store = Stubborn(one.agency.store, failing=(2,))
    with pytest.raises(WriteNotConfirmed):
        get(one.agency, slug)
    assert get(one.agency, slug) == 200
    assert renewals(one, slug) == 1
    assert one.agency.connection(slug).stopped is None


def test_a_store_that_cannot_be_read_does_not_stop_a_token_that_lives(
    one: Authorised, slug: str
) -> None:
    due(one, slug)
    store = one.agency.store = Stubborn(one.agency.store)
    one.sandbox.faults.add(Fault("status", status=503, path=TOKEN, times=1))
    assert get(one.agency, slug) == 200
    store.reads = False
    assert get(one.agency, slug) == 200


def test_a_store_that_cannot_be_read_is_told_where_the_token_is_over(
    one: Authorised, slug: str
) -> None:
    one.end(slug)
    one.agency.client(slug)
    store = one.agency.store = Stubborn(one.agency.store)
    store.reads = False
    with pytest.raises(StoreUnreadable):
        get(one.agency, slug)
    store.reads = True
    assert get(one.agency, slug) == 200


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=400)])
def test_a_token_of_the_future_is_renewed_since_a_clock_was_set_back(
    one: Authorised, slug: str, ahead: timedelta
) -> None:
    at = datetime.now(UTC) + ahead
    one.keep(slug, issued_at=at, expires_at=at + timedelta(seconds=1800))
    assert get(one.agency, slug) == 200
    assert renewals(one, slug) == 1


def test_a_halt_that_comes_during_a_renewal_keeps_its_tokens_and_sends_nothing(
    one: Authorised, slug: str
) -> None:
    one.sandbox.desk.rotates = True
    before = one.end(slug)
    one.sandbox.faults.add(SLOW)
    thread, came = begin(lambda: get(one.agency, slug))
    wait_for_renewal(one, slug)
    one.agency.halt.set("a test", at=datetime.now(UTC), slug=ClientSlug(slug))
    thread.join()
    assert isinstance(came[0], Halted)
    assert one.kept(slug).refresh != before.refresh
    assert not [entry for entry in one.sandbox.ledger(slug) if entry.path == CONTACTS]


def test_under_a_halt_nothing_is_renewed(one: Authorised, slug: str) -> None:
    one.end(slug)
    client = one.agency.client(slug)
    one.agency.halt.set("a test", at=datetime.now(UTC), slug=ClientSlug(slug))
    with pytest.raises(Halted):
        client.get(CONTACTS)
    assert renewals(one, slug) == 0


def test_a_stop_that_comes_during_a_renewal_counts(one: Authorised, slug: str) -> None:
    one.end(slug)
    one.sandbox.faults.add(SLOW)
    thread, came = begin(lambda: get(one.agency, slug))
    wait_for_renewal(one, slug)
    one.agency.stops.stop(one.agency.connection(slug), "a test")
    thread.join()
    assert isinstance(came[0], PortalStopped)
    with pytest.raises(PortalStopped):
        get(one.agency, slug)


def test_a_client_that_is_reconnected_during_a_renewal_goes_on_with_the_new_one(
    one: Authorised, slug: str
) -> None:
    one.end(slug)
    row = one.row(slug, one.sandbox.portals[0].portal_id)
    count = renewals(one, slug)
    one.sandbox.faults.add(Fault("latency", path=TOKEN, seconds=1.5))
    thread, came = begin(lambda: get(one.agency, slug))
    while renewals(one, slug) == count:
        threading.Event().wait(0.005)
    one.sandbox.faults.clear()
    assert one.connect([row], replace_tokens=True).complete
    thread.join()
    assert came == [200]
    connection = one.agency.connection(slug)
    assert connection.generation == 2
    old = SecretName(one.agency.workspace.settings.workspace, ClientSlug(slug), 1)
    with pytest.raises(CredentialMissing):
        one.agency.store.get(old)


def test_a_client_that_is_removed_during_a_renewal_leaves_no_token_behind(
    one: Authorised, slug: str
) -> None:
    one.end(slug)
    one.sandbox.faults.add(SLOW)
    thread, came = begin(lambda: get(one.agency, slug))
    wait_for_renewal(one, slug)
    name = SecretName(one.agency.workspace.settings.workspace, ClientSlug(slug), 1)
    one.agency.index.write(lambda connections: connections.clear())
    one.agency.store.delete(name)
    thread.join()
    assert isinstance(came[0], ClientClosed)
    with pytest.raises(CredentialMissing):
        one.agency.store.get(name)


def test_closing_an_agency_lets_a_renewal_keep_what_it_brings(one: Authorised, slug: str) -> None:
    one.sandbox.desk.rotates = True
    one.end(slug)
    one.sandbox.faults.add(SLOW)
    other = Agency.open(one.agency.workspace.root)
    thread, _ = begin(lambda: get(other, slug))
    wait_for_renewal(one, slug)
    other.close()
    thread.join()
    assert get(one.agency, slug) == 200
    assert renewals(one, slug) == 1


def test_two_workspaces_on_one_portal_renew_each_their_own(tmp_path: Path, one: Authorised) -> None:
    slug = one.slugs[0]
    with authorised(tmp_path / "second", sandbox=one.sandbox) as two:
        first, second = one.end(slug), two.end(slug)
        assert first.key != second.key
        assert [get(one.agency, slug), get(two.agency, slug)] == [200, 200]
        assert one.kept(slug).refresh == first.refresh
        assert two.kept(slug).refresh == second.refresh


def test_each_renewal_is_on_record_in_the_agencys_log_alone(one: Authorised, slug: str) -> None:
    one.end(slug)
    get(one.agency, slug)
    root = one.agency.workspace.root
    asked = [r for r in records(root, "_agency") if r.get("purpose") == "authorisation"]
    assert {(r["path"], r["candidateSlug"], r["method"]) for r in asked} == {
        (TOKEN, slug, "POST"),
        (f"{TOKEN}/introspect", slug, "POST"),
    }
    assert not [r for r in records(root, slug) if r.get("path", "").startswith("/oauth")]


FORKING = """
import os, sys
from hsagency.agency import Agency
from hsagency.errors import ClientClosed
root, slug = sys.argv[1:]
with Agency.open(root) as agency:
    client = agency.client(slug)
    assert client.get("/crm/v3/objects/contacts").status_code == 200
    child = os.fork()
    if not child:
        try:
            client.get("/crm/v3/objects/contacts")
        except ClientClosed:
            with Agency.open(root) as own:
                ok = own.client(slug).get("/crm/v3/objects/contacts").status_code == 200
            os._exit(0 if ok else 2)
        os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_opens_its_own_agency_and_renews_nothing_twice(
    one: Authorised, slug: str
) -> None:
    one.end(slug)
    command = [sys.executable, "-c", FORKING, str(one.agency.workspace.root), slug]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "0\n", done.stderr
    assert renewals(one, slug) == 1
