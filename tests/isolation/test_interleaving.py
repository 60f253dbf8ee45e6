"""Twenty thousand calls at once over many portals, of which none comes to the wrong one."""

from __future__ import annotations

from pathlib import Path

from tests.isolation.interleaving import interleave, laid_out, reconcile

CALLS = 20_000
PORTALS = 80  # so many that none of them is asked for more than its limits let through at once


def test_interleaved_calls_and_what_arrived_are_the_same_calls(tmp_path: Path) -> None:
    with laid_out(tmp_path, portals=PORTALS) as field:
        told = interleave(field, calls=CALLS, processes=2, threads=6, seed=5, pause=0.2)
    found = reconcile(field)
    assert found.contaminations == []
    assert found.unknown == 0
    assert told["WRONG PORTAL"] == 0
    assert sum(told.values()) == CALLS
    answered = sum(count for status, count in told.items() if status.isdigit())
    assert answered + found.refused >= CALLS
    assert answered > 0.99 * CALLS, told
    # Besides them there are the calls of onboarding and of each rotation, which are recorded too.
    assert answered < found.calls
    # Generations changed while calls were under way, and calls went on in the new ones.
    assert field.changed >= 5
    assert len(found.generations) > PORTALS
