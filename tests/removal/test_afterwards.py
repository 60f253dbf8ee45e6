"""What is known of a client that was removed can be read, found, verified and handed out."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest

from hsagency import onboarding, removal, reports
from hsagency.errors import UnknownClient
from hsagency.periods import Period
from hsagency.portals import ClientSlug, Fact, Provenance
from hsagency.removal import Certificate
from tests.support import Connected, authorised, client_list

SLUG = "acme-corp"


@pytest.fixture
def made(fleet: Connected) -> Certificate:
    """The certificate of a client that was removed, after some calls."""
    client = fleet.agency.client(SLUG)
    client.get("/crm/v3/objects/contacts")
    client.get("/crm/v3/objects/contacts/jane@example.com?idProperty=email")
    plan = removal.plan(fleet.agency, SLUG)
    return removal.apply(fleet.agency, plan, digest=plan.digest)


def test_its_log_is_intact_and_sealed(fleet: Connected, made: Certificate) -> None:
    log = fleet.agency.workspace.audit / SLUG
    assert list((log / "journal").glob("*.jsonl")) == []
    assert list((log / "evidence").glob("*.zst"))
    verdict = fleet.agency.audit.verify(SLUG, head=made.path.with_name("HEAD.json").read_bytes())
    assert verdict.integrity == "intact"
    assert verdict.kept is not None
    assert verdict.kept["contained"] is True


def test_its_calls_and_what_happened_to_it_are_read(fleet: Connected, made: Certificate) -> None:
    calls = fleet.agency.calls(SLUG).collect()
    assert set(calls["purpose"]) >= {"interactive", "removal"}
    events = fleet.agency.activity(SLUG)["event"].to_list()
    assert events[0] == "connection.added"
    assert [one for one in events if one.startswith("connection.remov")] == [
        "connection.removing",
        "connection.removed",
    ]


def test_somebody_is_still_found_in_its_log(fleet: Connected, made: Certificate) -> None:
    found = fleet.agency.audit.find(SLUG, "jane@example.com")
    assert found.calls.height == 1


def test_its_days_are_still_the_portals(fleet: Connected, made: Certificate) -> None:
    removed = fleet.agency.index.read().tombstones[ClientSlug(SLUG)]
    days = fleet.agency.completeness(SLUG)
    assert set(days["day_of"]) == {removed.time_zone}
    assert set(days["portal_id"]) == {removed.portal_id}


def test_a_report_names_it_as_before(fleet: Connected, made: Certificate) -> None:
    chosen = reports.choose(fleet.agency, client=SLUG)
    assert chosen.portal == made.facts["portal"]
    period = Period.of(month=made.facts["removedAt"][:7])
    (result,) = reports.report(fleet.agency, "compliance", [SLUG], period, engine="warm")
    assert result.status == "ok", result.error
    assert made.facts["accountName"] in result.files[0].read_text("utf-8")


def test_its_evidence_is_exported(fleet: Connected, made: Certificate, tmp_path: Path) -> None:
    period = Period.of(month=made.facts["removedAt"][:7])
    pack = fleet.agency.audit.export(SLUG, tmp_path / "pack.zip", period=period)
    assert pack.verdict.integrity == "intact"


def test_its_log_is_retained_sealed_and_rebuilt(fleet: Connected, made: Certificate) -> None:
    agency = fleet.agency
    assert agency.audit.retention(SLUG).due == ()
    assert agency.audit.seal(SLUG).left == []
    agency.audit.rebuild(SLUG)
    assert agency.audit.verify(SLUG).integrity == "intact"


def test_it_can_be_connected_again_and_its_chain_goes_on(
    fleet: Connected, made: Certificate
) -> None:
    agency = fleet.agency
    before = agency.calls(SLUG).collect().height
    plan = onboarding.plan_file(agency, client_list(fleet.sandbox), api=fleet.server.url)
    assert onboarding.apply(agency, plan, digest=plan.digest).complete
    assert agency.client(SLUG).get("/crm/v3/objects/contacts").status_code == 200
    assert agency.calls(SLUG).collect().height > before
    assert agency.audit.verify(SLUG).integrity == "intact"
    again = removal.plan(agency, SLUG)
    second = removal.apply(agency, again, digest=again.digest)
    assert second.path != made.path
    assert (
        second.path.parent.name == f"{made.facts['removedAt'][:10]}-generation-{again.generation}"
    )
    told = [one["event"] for one in second.facts["history"]]
    assert told.count("connection.removed") == 2


def test_a_certificate_that_was_lost_is_written_again(fleet: Connected, made: Certificate) -> None:
    made.path.unlink()
    plan = removal.plan(fleet.agency, SLUG)
    assert plan.stage is removal.Stage.UNCERTIFIED
    again = removal.apply(fleet.agency, plan, digest=plan.digest)
    assert again.path == made.path
    facts = ("portal", "removedAt", "removedBy", "credential", "history", "answers")
    assert [again.facts[one] for one in facts] == [made.facts[one] for one in facts]
    with pytest.raises(UnknownClient):
        removal.plan(fleet.agency, SLUG)


def test_certificate_and_facts_are_for_this_user_alone(made: Certificate) -> None:
    for one in made.path.parent.iterdir():
        assert one.stat().st_mode & 0o077 == 0
    assert json.loads(made.json.read_text()) == made.facts
    assert made.path.parent.parts[-4:-1] == ("reports", SLUG, "offboarding")


def test_what_others_named_does_not_become_markup(fleet: Connected) -> None:
    agency, evil = fleet.agency, "<script>alert(1)</script>"
    name = Fact(evil, Provenance.FETCHED, agency.writer.now())
    agency.index.update(ClientSlug(SLUG), generation=1, facts={"name": name})
    plan = removal.plan(agency, SLUG)
    page = removal.apply(agency, plan, digest=plan.digest).path.read_text("utf-8")
    assert evil not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert 'http-equiv="Content-Security-Policy" content="default-src \'none\'' in page


def test_the_page_says_what_the_facts_say(made: Certificate) -> None:
    page = html.unescape(made.path.read_text("utf-8"))
    facts = made.facts
    said = [facts["portal"], made.proof, facts["credential"]["fingerprint"], facts["log"]["check"]]
    said += [one["secret"] for one in facts["deleted"]] + [one["path"] for one in facts["kept"]]
    said += [one["head"] for one in facts["log"]["segments"]] + list(facts["notProven"])
    said += [one["fingerprint"] for one in facts["log"]["keys"]]
    said += [one["correlationId"] for one in facts["answers"]]
    assert [one for one in said if one not in page] == []


def test_the_certificate_counts_the_log_once(fleet: Connected, made: Certificate) -> None:
    (log,) = (one for one in made.facts["kept"] if one["path"] == f"audit/{SLUG}")
    assert log["number"] == made.facts["log"]["records"]
    assert f"{log['number']} records, each bound to the one before" in made.path.read_text("utf-8")


def test_the_certificate_tells_what_was_answered_and_no_options(tmp_path: Path) -> None:
    with authorised(tmp_path / "agency", portals=1, contacts=1) as one:
        plan = removal.plan(one.agency, SLUG, uninstall=True)
        made = removal.apply(one.agency, plan, digest=plan.digest)
    page = html.unescape(made.path.read_text("utf-8"))
    assert "The app was uninstalled (204 at " in page
    assert "--uninstall" not in page
    assert "stays listed" not in page
    assert "at most 30 minutes" not in page  # its last access token is over


def test_secrets_that_there_never_were_fill_no_certificate(made: Certificate) -> None:
    own, others = made.facts["deleted"]
    assert own["secret"].endswith(f"/{SLUG}/main/1")
    assert others["secret"] == "what replacements of it may have left"
    assert {own["readBack"], others["readBack"]} == {"the store answers that it holds none"}
