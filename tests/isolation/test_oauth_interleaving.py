"""Calls to many portals over OAuth, whose tokens change underneath, come to none but their own."""

from __future__ import annotations

import random
import threading
from collections import Counter
from pathlib import Path

from hsagency.agency import Agency
from hsagency.secret import Secret
from tests.auth.renewals import CONTACTS, together
from tests.isolation.interleaving import calls_in, own_calls
from tests.isolation.witness import Witness
from tests.support import Authorised, authorised

PORTALS, THREADS, CALLS = 6, 12, 60


def owners(one: Authorised) -> dict[str, int]:
    """Return whose each access token is that was ever given out, by its fingerprint."""
    states = one.sandbox._fleet
    return {
        Secret(token).fingerprint: state.portal.portal_id
        for state in states
        for token in state.access_tokens
    }


def disturb(one: Authorised, over: threading.Event) -> None:
    """Withdraw the token of one portal after the other, while calls with it are under way."""
    for slug in one.slugs:
        over.wait(0.1)
        one.sandbox.end_access(one.kept(slug).access.reveal())


def test_interleaved_calls_over_oauth_and_what_arrived_are_the_same(tmp_path: Path) -> None:
    box = Witness(portals=PORTALS, contacts=1)
    with (
        authorised(tmp_path / "agency", sandbox=box) as one,
        Agency.open(one.agency.workspace.root) as second,
    ):
        marks = {}
        for portal in box.portals:
            made = {"properties": {"company": f"{portal.portal_id}"}}
            answer = one.agency.client(portal.client_slug).post(CONTACTS, json=made)
            marks[portal.client_slug] = answer.json()["id"], f"{portal.portal_id}"

        def call(number: int) -> Counter[str]:
            dice, agency, told = random.Random(number), (one.agency, second)[number % 2], Counter()
            for _ in range(CALLS):
                slug = dice.choice(one.slugs)
                contact, company = marks[slug]
                answer = agency.client(slug).get(f"{CONTACTS}/{contact}?properties=company")
                whose = answer.json().get("properties", {}).get("company")
                told["own" if whose == company else f"{answer.status_code} {whose}"] += 1
            return told

        over = threading.Event()
        disturbing = threading.Thread(target=disturb, args=(one, over))
        disturbing.start()
        came = together(call, threads=THREADS)
        over.set()
        disturbing.join()
        told: Counter[str] = Counter()
        for each in came:
            assert isinstance(each, Counter), each
            told += each
        whose = owners(one)
        at_api = [it for it in box.arrivals if it.path.startswith(CONTACTS)]
        assert [it for it in at_api if whose[it.fingerprint] != it.portal_id] == []
        assert len({it.fingerprint for it in at_api}) == 2 * PORTALS  # each changed once
        for portal in box.portals:
            log = one.agency.workspace.root / "audit" / portal.client_slug
            ours = sorted(it["correlationId"] for it in own_calls(list(calls_in(log))))
            theirs = [it for it in at_api if it.portal_id == portal.portal_id]
            assert ours == sorted(it.correlation_id for it in theirs)
        assert told.total() == THREADS * CALLS
        assert told["own"] == told.total(), told
