"""The fleet has a size: what is connected goes on, and what is new needs a free slot."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency import onboarding, removal
from hsagency.agency import Agency
from hsagency.errors import Conflict
from hsagency.fleet.listing import Slots
from hsagency.onboarding import Decision, Judgement, Result
from hsagency.onboarding.limits import exceeds, full, within
from hsagency.portals import ClientSlug
from hsagency.sandbox import Sandbox
from tests.commands import run_cli
from tests.fleets import Fleet, client_list, fleet, row, stored_secret, tree


@contextmanager
def sized(one: Fleet, size: int | str) -> Iterator[Fleet]:
    """Open the workspace anew, with another size of the fleet."""
    settings = one.root / "hsagency.toml"
    before = settings.read_text()
    written = size if isinstance(size, int) else f'"{size}"'
    settings.write_text(f"{before}\n[fleet]\nsize = {written}\n")
    try:
        with Agency.open(one.root) as agency:
            yield Fleet(one.sandbox, one.url, agency)
    finally:
        settings.write_text(before)


def outcomes(result: Result) -> list[str]:
    return [one.decision.value for one in result.judgements]


def rows(one: Fleet, *numbers: int) -> bytes:
    return client_list([row(one.sandbox.portals[number]) for number in numbers])


def test_a_list_that_fits_is_taken_up_to_the_last_slot(empty: Fleet) -> None:
    with sized(empty, 3) as small:
        assert small.onboard().complete
        assert len(small.agency.slugs()) == 3


def test_without_a_size_every_list_fits(empty: Fleet) -> None:
    with sized(empty, "unlimited") as free:
        assert free.onboard().complete


def test_of_a_list_larger_than_the_free_slots_no_new_portal_is_taken(empty: Fleet) -> None:
    with sized(empty, 2) as small:
        plan = small.plan(client_list(small.sandbox))
        assert plan.frame()["portal_id"].to_list() == [
            one.portal_id for one in small.sandbox.portals
        ]
        result = onboarding.apply(small.agency, plan, digest=plan.digest)
        assert outcomes(result) == ["bad"] * 3
        assert {one.cause for one in result.refused} == {
            "3 new portals would pass the limit of 2 portals: 0 connected, 2 slots free"
        }
        assert {one.hint for one in result.refused} == {
            "List only 2 new or raise the limit, as your plan allows ([fleet] size in "
            "hsagency.toml)."
        }
        assert small.agency.slugs() == []
        assert list((small.root / "credentials").rglob("main-1.age")) == []


def test_a_row_that_is_wrong_for_itself_takes_no_slot_and_keeps_its_own_cause(
    empty: Fleet,
) -> None:
    first, second, third = empty.sandbox.portals
    swapped = row(third, portalToken=empty.sandbox.spare.token)
    with sized(empty, 2) as small:
        result = small.onboard(client_list([row(first), row(second), swapped]))
        assert outcomes(result) == ["new", "new", "bad"]
        assert "MISMATCH" in result.refused[0].cause


def test_what_is_connected_is_judged_as_ever_beside_new_rows_that_are_too_many(
    empty: Fleet,
) -> None:
    portals = empty.sandbox.portals
    empty.onboard(rows(empty, 0, 1))
    newer = row(portals[1], portalToken=empty.sandbox.issue(portals[1].portal_id).token)
    content = client_list([row(portals[0]), newer, row(portals[2])])
    with sized(empty, 2) as small:
        result = small.onboard(content, replace_tokens=True)
        assert outcomes(result) == ["current", "replace", "bad"]
        assert result.refused[0].full
        assert result.refused[0].cause == "the limit of 2 portals is reached: 2 connected"
        assert small.agency.connection(portals[1].client_slug).generation == 2


def test_portals_above_a_lowered_size_go_on_and_only_new_ones_are_refused(empty: Fleet) -> None:
    first, second, third = empty.sandbox.portals
    empty.onboard(rows(empty, 0, 1))
    with sized(empty, 1) as small:
        for portal in (first, second):
            answer = small.agency.client(portal.client_slug).get("/account-info/2026-09/details")
            assert answer.json()["portalId"] == portal.portal_id
        assert outcomes(small.onboard(rows(small, 0, 1))) == ["current", "current"]
        (refused,) = small.onboard(client_list([row(third)])).judgements
        assert refused.cause == "the limit of 1 portal is reached: 2 connected"
        assert "remove 2 portals" in refused.hint


def test_removing_a_portal_frees_its_slot_at_once(empty: Fleet) -> None:
    first, _, third = empty.sandbox.portals
    empty.onboard(rows(empty, 0, 1))
    with sized(empty, 2) as small:
        assert outcomes(small.onboard(rows(small, 2))) == ["bad"]
        plan = removal.plan(small.agency, first.client_slug)
        removal.apply(small.agency, plan, digest=plan.digest)
        assert outcomes(small.onboard(rows(small, 2))) == ["new"]
        assert third.client_slug in small.agency.slugs()
        assert outcomes(small.onboard(rows(small, 0))) == ["bad"]  # who comes back needs one, too


def test_of_two_who_want_the_last_slot_one_is_told_and_nothing_of_theirs_is_left(
    empty: Fleet,
) -> None:
    with sized(empty, 1) as small, Agency.open(small.root) as second:
        mine = small.plan(rows(small, 0))
        other = Fleet(small.sandbox, small.url, second)
        theirs = other.plan(rows(small, 1))
        assert onboarding.apply(small.agency, mine, digest=mine.digest).complete
        before = tree(small.root / "credentials")
        with pytest.raises(Conflict, match=r"Portals were connected since .* nothing was stored"):
            onboarding.apply(second, theirs, digest=theirs.digest)
        assert tree(small.root / "credentials") == before
        assert small.agency.slugs() == [small.sandbox.portals[0].client_slug]


def test_any_number_at_once_never_pass_the_size(tmp_path: Path) -> None:
    with (
        fleet(tmp_path / "workspace", sandbox=Sandbox(portals=6, contacts=1)) as one,
        sized(one, 2) as small,
    ):
        plans = [small.plan(rows(small, number)) for number in range(6)]

        def store(number: int) -> bool:
            with Agency.open(small.root) as agency:
                try:
                    onboarding.apply(agency, plans[number], digest=plans[number].digest)
                except Conflict as error:
                    assert "remove a portal" in error.hint  # noqa: PT017  (some get through)
                    return False
                return True

        with ThreadPoolExecutor(6) as pool:
            assert sorted(pool.map(store, range(6))) == [False] * 4 + [True] * 2
        connections = small.agency.connections()
        assert len(connections) == 2
        for connection in connections.values():
            kept = stored_secret(small.agency, connection)
            assert kept.fingerprint == connection.fingerprint
        assert len(list((small.root / "credentials").rglob("main-1.age"))) == 2


def new(number: int) -> list[Judgement]:
    return [
        Judgement(line=line, slug=f"client-{line}", decision=Decision.NEW)
        for line in range(1, number + 1)
    ]


@given(used=st.integers(0, 40), size=st.integers(1, 40), wanted=st.integers(0, 40))
def test_all_new_rows_are_taken_or_none(used: int, size: int, wanted: int) -> None:
    judged = within(new(wanted), Slots(used, size))
    taken = sum(one.decision is Decision.NEW for one in judged)
    assert taken == (0 if exceeds(Slots(used, size), wanted) else wanted)
    assert taken == 0 or used + taken <= size
    assert taken == wanted or used + wanted > size
    if taken < wanted:
        assert {(one.cause, one.hint) for one in judged} == {full(Slots(used, size), wanted)}


def test_the_command_says_once_what_a_list_needs(empty: Fleet) -> None:
    with sized(empty, 2):
        args = ["onboard", "-", "--api", empty.url]
        dry = run_cli([*args, "--dry-run"], stdin=client_list(empty.sandbox), cwd=empty.root)
        done = run_cli(args, stdin=client_list(empty.sandbox), cwd=empty.root)
    advice = "List only 2 new or raise the limit"
    cause = "No new portal was taken: 3 new portals would pass the limit of 2 portals"
    for ran in (dry, done):
        assert ran.returncode == 1
        assert ran.stdout.count(advice) == 1
        assert advice not in ran.stderr
        assert "Correct the refused rows" not in ran.stdout
        assert ran.stdout.count(cause) == 1
        assert "would pass" not in ran.stderr
    assert "Nothing was stored (dry run)." in dry.stdout
    assert empty.agency.slugs() == []


def test_one_by_hand_is_told_before_the_token_is_asked_for(empty: Fleet) -> None:
    empty.onboard(rows(empty, 0))
    portal = empty.sandbox.portals[1]
    before = len(empty.sandbox.ledger(portal.portal_id))
    who = ["--client", portal.client_slug, "--portal", str(portal.portal_id)]
    with sized(empty, 1):
        done = run_cli(["onboard", *who, "--api", empty.url], cwd=empty.root)
    assert done.returncode == 1
    assert "The limit of 1 portal is reached: 1 connected. Nothing was done." in done.stderr
    assert "hsagency remove SLUG" in done.stderr
    assert len(empty.sandbox.ledger(portal.portal_id)) == before
    assert ClientSlug(portal.client_slug) not in empty.agency.slugs()


def test_nobody_is_told_to_remove_more_portals_than_there_are() -> None:
    cause, hint = full(Slots(4, 7), 8)
    assert cause == "8 new portals would pass the limit of 7 portals: 4 connected, 3 slots free"
    assert hint.startswith("List only 3 new or raise the limit")
    assert "remove" not in hint
    _, hint = full(Slots(4, 7), 6)
    assert hint.startswith("List only 3 new, or remove 3 portals (hsagency remove SLUG) or raise")
    cause, hint = full(Slots(3, 3), 4)
    assert cause == "the limit of 3 portals is reached: 3 connected"
    assert hint.startswith("Before adding a new one, raise the limit")
