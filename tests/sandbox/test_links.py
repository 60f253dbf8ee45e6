"""
The law of links: whatever happens to them, both directions agree.

Facts 5.1 for the paths; that the law holds is an assumption, which no document contradicts.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hsagency.sandbox import Clock, Sandbox
from hsagency.sandbox.contents.labels import Labels
from hsagency.sandbox.contents.links import Links
from hsagency.sandbox.contents.state import PortalState
from tests.sandbox.conftest import NOON

Step = tuple[str, tuple[str, str], int, int]
Edge = frozenset[tuple[str, int]]
PAIRS = [("contacts", "companies"), ("companies", "contacts"), ("deals", "deals")]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "remove_all", "move"]),
        st.sampled_from(PAIRS),
        st.sampled_from([101, 151, 201]),
        st.sampled_from([101, 151, 201]),
    ),
    max_size=25,
)


@given(STEPS)
def test_both_directions_agree_with_a_plain_set(steps: list[Step]) -> None:
    state = state_of(Sandbox(portals=1, contacts=12, clock=Clock(NOON)))
    plain = {
        frozenset({("contacts", 101 + 50 * n), ("companies", 101 + 50 * (n % 3))})
        for n in range(12)
    }
    for step in steps:
        _, (name, other), id_, other_id = step
        if (name, id_) != (other, other_id):
            take(state, step)
            plain = taken(plain, step)
    for name, other in PAIRS:
        assert_agreed(state, plain, name, other)


def take(state: PortalState, step: Step) -> None:
    """Do a step with what is tested."""
    verb, (name, other), id_, other_id = step
    links, kind, to = state.part(Links), state.types.find(name), state.types.find(other)
    if verb == "add":
        links.add(kind, id_, to, other_id)
    elif verb == "remove":
        links.remove(kind, id_, to, other_id)
    elif verb == "remove_all":
        links.remove_all(kind, id_)
    elif id_ != other_id:
        links.move(kind, id_, into=other_id)


def taken(plain: set[Edge], step: Step) -> set[Edge]:
    """Do the same step with a set of pairs."""
    verb, (name, other), id_, other_id = step
    edge, own = frozenset({(name, id_), (other, other_id)}), (name, id_)
    if verb == "add":
        return plain | {edge}
    if verb == "remove":
        return plain - {edge}
    if verb == "move" and id_ == other_id:
        return plain
    kept = {one for one in plain if own not in one}
    moved = {one - {own} | {(name, other_id)} for one in plain - kept}
    return kept if verb == "remove_all" else kept | {one for one in moved if len(one) == 2}


def assert_agreed(state: PortalState, plain: set[Edge], name: str, other: str) -> None:
    links, labels = state.part(Links), state.part(Labels)
    kind, to = state.types.find(name), state.types.find(other)
    for record in state.store(kind):
        own = (name, record.record_id)
        ends = {end for one in plain if own in one for end in one - {own}}
        found = links.of(kind, record.record_id, to)
        assert set(found) == {id_ for word, id_ in ends if word == other}
        for id_, type_ids in found.items():
            ways = [labels.find(kind, to, one) for one in type_ids]
            back = links.of(to, id_, kind)[record.record_id]
            assert back == {way.inverse_id for way in ways if way}
        if name == "contacts":  # which have one primary company at most
            assert sum(1 in type_ids for type_ids in found.values()) <= 1


def test_ten_thousand_contacts_are_linked_without_being_written_down() -> None:
    sandbox = Sandbox(portals=1, contacts=10_000, clock=Clock(NOON))
    state = state_of(sandbox)
    links, find = state.part(Links), state.types.find
    assert len(links.of(find("companies"), 101, find("contacts"))) == 4
    links.add(find("contacts"), 101, find("companies"), 151)
    assert len(links._known) == 2


def state_of(sandbox: Sandbox) -> PortalState:
    return sandbox._fleet[0]
