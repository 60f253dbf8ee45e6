"""Every event that a record can be of is caused by something that somebody does in public."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from hsagency import onboarding
from hsagency.agency import Agency
from hsagency.audit.evidence import open_segment, segments
from hsagency.audit.importing import import_file
from hsagency.audit.journal.writer import utc_now
from hsagency.audit.record import Event
from hsagency.errors import HsAgencyError
from hsagency.periods import Period
from hsagency.sandbox import Fault
from tests.audit.reading import CONTACTS, journals
from tests.support import Connected, client_list, connected

ELSEWHERE = {  # what takes a second machine, years, or a day that runs low
    Event.AUDIT_MERGED: "test_merging.py",
    Event.AUDIT_RETIRED: "test_retention.py",
    Event.QUOTA_WARNING: "../core/test_quota_warnings.py",
    Event.CONNECTION_REMOVING: "../removal/test_afterwards.py",
    Event.CONNECTION_REMOVED: "../removal/test_afterwards.py",
}
OLD = {
    "ts": "2026-05-01T10:00:00Z",
    "client_slug": "acme",
    "portal_id": 1,
    "method": "GET",
    "path": CONTACTS,
    "status_code": 200,
}


def events(folder: Path) -> set[str]:
    """Return what is on record in a log, sealed or not."""
    found = set()
    for path in segments(folder).values():
        with open_segment(path) as file:
            found |= {json.loads(line)["event"] for line in file if line.endswith(b"}\n")}
    return found


def struck(there: Connected, fault: Fault, work: Callable[[], object]) -> None:
    there.sandbox.faults.add(fault)
    with suppress(HsAgencyError):
        work()
    there.sandbox.faults.clear()


def change_connections(there: Connected, slug: str) -> None:
    """Verify, lose and rotate a credential, learn another name of the portal, halt, resume."""
    agency, sandbox = there.agency, there.sandbox
    agency.verify(slug)
    refused = Fault("status", status=401, path="/account-info")
    struck(there, refused, lambda: agency.verify(slug))
    struck(there, refused, lambda: agency.verify(slug))
    agency.resume(slug, reason="it was a test")
    struck(there, refused, lambda: agency.verify(slug))
    token = sandbox.rotate(sandbox.portals[0].portal_id, expire_in=60).token
    before = agency.connection(slug)
    facts = {**before.facts, "name": replace(before.facts["name"], value="Old Name Ltd")}
    agency.index.update(slug, generation=before.generation, facts=facts)
    listed = client_list(sandbox)
    assert token.encode() in listed
    plan = onboarding.plan_file(agency, listed, api=there.server.url, replace_tokens=True)
    onboarding.apply(agency, plan, digest=plan.digest)
    bad = onboarding.plan_file(agency, listed.replace(token.encode(), b"pat-na1-none"))
    with suppress(HsAgencyError):
        onboarding.apply(agency, bad, digest=bad.digest)
    agency.verify(slug)
    wrong = Fault("wrong_portal", claims=99, path="/account-info")
    struck(there, wrong, lambda: agency.verify(slug))
    assert agency.halt.reason() is not None
    agency.resume(reason="it was a test")


def use_the_log(there: Connected, slug: str, folder: Path) -> None:
    """Call, be refused, ask for usage, read, export, import."""
    agency = there.agency
    client = agency.client(slug)
    client.post(CONTACTS, json={"properties": {"email": "new@example.com"}})
    with pytest.raises(HsAgencyError):
        client.get(f"https://example.com{CONTACTS}")
    client.get(f"{CONTACTS}/new@example.com", params={"idProperty": "email"})
    agency.ask_usage(slug)
    agency.calls(slug)
    agency.audit.export(slug, folder / "pack.zip", period=Period.of(month=f"{utc_now():%Y-%m}"))
    old = folder / "old.jsonl"
    old.write_text(json.dumps(OLD | {"client_slug": slug}) + "\n")
    import_file(agency.writer, old)


def go_through_time(home: Path, slug: str) -> None:
    """Open the workspace days later, then on a clock that went back, after a power cut."""
    for days in (3, 1):
        with Agency.open(home) as later:
            later.writer.tell = lambda _: None
            at = utc_now() + timedelta(days=days)
            later.writer.now = lambda at=at: at
            later.calls(slug)
    with journals(home / "audit", slug)[-1].open("ab") as file:
        file.write(b'{"schema":1')
    shutil.rmtree(home / "state" / "heads")
    with Agency.open(home) as later:
        later.writer.tell = lambda _: None
        later.calls(slug)


def erase(home: Path, slug: str) -> None:
    with Agency.open(home) as agency:
        agency.writer.tell = lambda _: None
        plan = agency.audit.erasure(slug)
        agency.audit.erase(plan, digest=plan.digest)


def test_every_event_has_a_public_cause_and_stands_in_a_chain_that_holds(tmp_path: Path) -> None:
    home = tmp_path / "agency"
    with connected(home) as there:
        (slug,) = there.slugs
        use_the_log(there, slug, tmp_path)
        change_connections(there, slug)
    go_through_time(home, slug)
    erase(home, slug)
    seen = events(home / "audit" / slug) | events(home / "audit" / "_agency")
    tests = {event: Path(__file__).parent / name for event, name in ELSEWHERE.items()}
    assert {str(event) for event in Event} - seen == {str(event) for event in tests}
    for event, path in tests.items():
        assert event.value in path.read_text()
    with Agency.open(home) as agency:
        for one in (slug, "_agency"):
            verdict = agency.audit.verify(one)
            assert (verdict.integrity, verdict.findings) == ("intact", [])
