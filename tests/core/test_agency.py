"""The agency as a whole: what it hands out, what it refuses, and that no token is left anywhere."""

from __future__ import annotations

import csv
import io
import logging
import os
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from hsagency import onboarding
from hsagency.agency import Agency
from hsagency.credentials import SecretName
from hsagency.errors import (
    AuditError,
    CallRefused,
    HsAgencyError,
    NoStore,
    NoWorkspace,
    PortalMismatch,
    UnknownClient,
    UsageError,
)
from hsagency.fleet import PORTALS
from hsagency.portals import PortalId
from hsagency.sandbox import Fault, Sandbox, bad_rows, serve
from hsagency.sandbox.clients_csv import COLUMNS
from hsagency.secret import Secret
from tests.core.conftest import Child
from tests.support import Connected, assert_no_tokens, client_list, tokens_of

PATH = "/crm/v3/objects/contacts"


def with_bad_rows(sandbox: Sandbox) -> bytes:
    """The client list with everything that goes wrong in one, tokens in the wrong columns too."""
    first, second = sandbox.portals[:2]
    rows: list[list[str]] = [
        *([row[name] for name in COLUMNS] for row in bad_rows(sandbox)),
        [second.token, "swapped-columns", "1", "", "", ""],
        ["token-as-id", first.token, second.token, "", "", ""],
        ["token-as-name", first.token, "5", "", first.token, ""],
        ["token-as-tier", first.token, "5", "", "", first.token],
        ["token-as-kind", first.token, "5", first.token, "", ""],
        ["half-token", first.token[:-4], "6", "", "", ""],
        ["Bad Slug", first.token, "7", "", "", ""],
        [first.token, first.token, "8", "", "", ""],
        ["too-few", first.token],
    ]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return client_list(sandbox) + text.getvalue().encode()


def live(agency: Agency, sandbox: Sandbox, api: str) -> None:
    """Do everything an agency does in a bad week, and let nothing stop it."""
    content = with_bad_rows(sandbox)
    plan = onboarding.plan_file(agency, content, api=api)
    onboarding.write_record(agency, plan)
    result = onboarding.apply(agency, plan, digest=plan.digest)
    onboarding.write_record(agency, result)
    assert result.onboarded
    assert len(result.refused) > 5
    for one in sandbox.portals:
        with agency.client(one.client_slug, purpose="weekly review") as client:
            client.get(PATH)
            client.post(PATH, json={"properties": {"email": "new@example.com"}})
            client.get(f"{PATH}/0")
            attempts: tuple[dict[str, Any], ...] = (
                {"headers": {"Authorization": f"Bearer {one.token}"}},
                {"params": {"hapikey": one.token}},
                {"params": {"q": one.token}},
                {"extensions": {"purpose": one.token}},
                {"headers": {"Cookie": f"a={one.token}"}},
                {"auth": (one.token, one.token)},
            )
            for attempt in attempts:
                with pytest.raises(CallRefused):
                    client.get(PATH, **attempt)
            for path in (f"/{one.token}", f"https://evil.example.com/{one.token}"):
                with pytest.raises(CallRefused):
                    client.get(path)
    portal = sandbox.portals[0]
    for fault in (
        Fault("status", status=500, html=True, times=1),
        Fault("burst", times=1),
        Fault("drop_before", times=1),
        Fault("drop_after", times=1),
    ):
        sandbox.faults.add(fault)
        with suppress(httpx.HTTPError):
            agency.client(portal.client_slug).get(PATH)
    newer = sandbox.rotate(portal.portal_id)
    row = f"{portal.client_slug},{newer.token},{portal.portal_id}"
    again = f"clientSlug,portalToken,expectedPortalId\n{row}\n".encode()
    for replace in (False, True):
        plan = onboarding.plan_file(agency, again, api=api, replace_tokens=replace)
        onboarding.apply(agency, plan, digest=plan.digest)
    for token in (sandbox.spare.token, "no token at all"):
        with suppress(HsAgencyError):
            onboarding.judge_token(
                agency, Secret(token), expected=PortalId(portal.portal_id), api=api
            )
    sandbox.faults.add(Fault("wrong_portal", times=1))
    with pytest.raises(PortalMismatch):
        agency.verify(portal.client_slug)
    with pytest.raises(CallRefused):
        agency.client(portal.client_slug)
    with pytest.raises(CallRefused):
        agency.verify(portal.client_slug)
    agency.resume(reason=f"found it: {portal.token} was fine")
    agency.client(portal.client_slug).get(PATH)
    agency.calls().collect().write_parquet(agency.workspace.reports / "calls.parquet")


def test_after_a_bad_week_no_token_stands_anywhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    sandbox = Sandbox(portals=3, contacts=3)
    root = tmp_path / "agency"
    with (
        caplog.at_level(logging.DEBUG),
        serve(sandbox) as server,
        Agency.create(root, store="age:credentials") as agency,
    ):
        live(agency, sandbox, server.url)
        shown = f"{agency} {agency.portals()} {agency.connections()} {agency.calls().collect()}"
        frames = agency.calls().collect().write_json() + agency.activity().write_json()
    out, err = capfd.readouterr()
    stored = [
        agency.store.get(SecretName(agency.workspace.settings.workspace, slug, generation)).reveal()
        for slug, generation in ((one, agency.connection(one).generation) for one in agency.slugs())
    ]
    assert set(stored) <= set(tokens_of(sandbox))
    half = sandbox.portals[0].credentials[0].token[:-4]
    texts = {"log": caplog.text, "out": out, "err": err, "repr": shown, "frames": frames}
    assert len(caplog.text) > 1_000
    assert_no_tokens(
        [root, Path(os.environ["HOME"])],
        [*tokens_of(sandbox), *(row["portalToken"] for row in bad_rows(sandbox)), half],
        texts=texts,
    )
    assert "evil.example.com" not in "".join(
        path.read_text() for path in (root / "audit").rglob("*.jsonl")
    )


def test_the_scanner_finds_what_it_looks_for(tmp_path: Path) -> None:
    import base64

    sandbox = Sandbox(portals=1, contacts=0)
    token = sandbox.portals[0].token
    hidden = {
        "plain": token.encode(),
        "in a line": b'{"a": "x' + token.encode() + b'"}',
        "no dashes": token.replace("-", "").encode(),
        "capitals": token.upper().encode(),
        "base64": base64.b64encode(b"Bearer " + token.encode() + b"!"),
    }
    for content in hidden.values():
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(AssertionError, match="tokens stand in"):
            assert_no_tokens([tmp_path], [token])
    (tmp_path / "file").write_bytes(b"nothing")
    assert_no_tokens([tmp_path], [token])
    with pytest.raises(AssertionError, match="no tokens"):
        assert_no_tokens([tmp_path], [])
    (tmp_path / token).write_bytes(b"")
    with pytest.raises(AssertionError, match="tokens stand in"):
        assert_no_tokens([tmp_path], [token])
    with pytest.raises(AssertionError, match="tokens stand in"):
        assert_no_tokens([], [token], texts={"log": token})


def test_slugs_are_sorted_and_portals_are_rows(fleet: Connected) -> None:
    assert fleet.agency.slugs() == sorted(fleet.slugs)
    frame = fleet.agency.portals()
    assert dict(frame.schema) == dict(PORTALS)
    assert frame["client_slug"].to_list() == fleet.agency.slugs()
    wanted = [fleet.sandbox.portal(slug).portal_id for slug in fleet.agency.slugs()]
    assert frame["portal_id"].to_list() == wanted
    assert frame["api"].to_list() == [fleet.server.url] * 3
    assert frame["verified_at"].null_count() == 0


def test_an_empty_agency_has_no_portals_and_no_calls(tmp_path: Path) -> None:
    with Agency.create(tmp_path / "agency", store="age:credentials") as agency:
        assert agency.slugs() == []
        assert dict(agency.portals().schema) == dict(PORTALS)
        assert agency.calls().collect().height == 0
        assert agency.activity().height == 0
        with pytest.raises(UnknownClient):
            agency.calls("acme-corp")


def test_opening_an_agency_writes_nothing_and_reads_no_secret(fleet: Connected) -> None:
    root = fleet.agency.workspace.root
    before = left_in(root)
    with Agency.open(root) as agency:
        agency.slugs()
        agency.portals()
        assert "store" not in vars(agency)
    assert left_in(root) == before


def left_in(root: Path) -> dict[Path, bytes | int]:
    """Return what is there, and since when; a pace is mapped to be looked at, which is a touch."""
    return {
        path: path.read_bytes() if path.suffix == ".pace" else path.stat().st_mtime_ns
        for path in root.rglob("*")
    }


def test_a_workspace_is_made_with_a_store_that_exists_or_not_at_all(tmp_path: Path) -> None:
    for store in ("s3:bucket", "age:", "age:~/x", "https://example.com"):
        with pytest.raises(NoStore):
            Agency.create(tmp_path / "agency", store=store)
        assert not (tmp_path / "agency").exists()
    with pytest.raises(NoWorkspace):
        Agency.open(tmp_path / "agency")


def test_calls_are_found_by_day_and_moment(fleet: Connected) -> None:
    slug = fleet.slugs[0]
    fleet.agency.client(slug).get(PATH)
    today = datetime.now(UTC).date()
    tomorrow = today + timedelta(days=1)
    for since in (today, today.isoformat(), datetime(2020, 1, 1, tzinfo=UTC), "2020-01-01T00:00Z"):
        assert fleet.agency.calls(slug, since=since).collect().height == 1
    for since in (tomorrow, tomorrow.isoformat()):
        assert fleet.agency.calls(slug, since=since).collect().height == 0
    assert fleet.agency.calls(slug, until=date(2020, 1, 1)).collect().height == 0


@pytest.mark.parametrize("when", ["yesterday", "2026-13-01", "20260501", "2026-05-01T00:00:00"])
def test_a_time_that_is_none_or_has_no_zone_is_refused(fleet: Connected, when: str) -> None:
    with pytest.raises(UsageError):
        fleet.agency.calls(fleet.slugs[0], since=when)


def test_a_moment_that_is_no_moment_is_refused_in_words(fleet: Connected) -> None:
    with pytest.raises(UsageError):
        fleet.agency.calls(fleet.slugs[0], since="noT a time")


def test_one_dead_portal_does_not_stop_the_others(fleet: Connected) -> None:
    dead, *others = fleet.slugs
    fleet.sandbox.revoke(fleet.sandbox.portal(dead).portal_id)
    assert fleet.agency.client(dead).get(PATH).status_code == 401
    for slug in others:
        assert fleet.agency.client(slug).get(PATH).status_code == 200


def test_one_broken_log_does_not_stop_the_others(fleet: Connected) -> None:
    broken, other = fleet.slugs[:2]
    fleet.agency.client(broken).get(PATH)
    for file in (fleet.agency.workspace.audit / broken / "journal").glob("*.jsonl"):
        file.unlink()
    with pytest.raises(AuditError):
        fleet.agency.client(broken).get(PATH)
    assert fleet.agency.client(other).get(PATH).status_code == 200


def test_an_error_answer_is_whole_for_the_caller_although_its_cause_was_read(
    fleet: Connected,
) -> None:
    client = fleet.agency.client(fleet.slugs[0])
    fleet.sandbox.faults.add(Fault("burst", times=2))
    once = {"retry": False}
    answer = client.get(PATH, extensions=once)
    assert answer.status_code == 429
    assert answer.json()["policyName"] == "TEN_SECONDLY_ROLLING"
    assert answer.elapsed.total_seconds() >= 0
    with client.stream("GET", PATH, extensions=once) as streamed:
        assert b"TEN_SECONDLY_ROLLING" in b"".join(streamed.iter_raw())
    calls = fleet.agency.calls(fleet.slugs[0]).collect()
    assert set(calls["policy_name"]) == {"TEN_SECONDLY_ROLLING"}


IMPORTS = """
import sys
import hsagency
print([name for name in ("httpx", "polars", "pydantic", "orjson", "asyncio", "ssl") if name in sys.modules])
"""


def test_importing_the_package_loads_nothing(child: Child) -> None:
    done = child(IMPORTS)
    assert done.stdout.strip() == "[]"
