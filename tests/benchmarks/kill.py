"""
A thousand processes killed in the middle of their calls, and a thousand while segments turn.

One JSON line each of what was lost, counted on both sides.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from hsagency.audit.journal.writer import LIMIT
from hsagency.audit.record import outcome_of
from hsagency.audit.verifying import Log, verify
from tests.audit.killing import kill_many
from tests.benchmarks.measuring import line


def main(kills: int = 1000) -> None:
    """Kill at random moments, then a few calls from one turn of segments to the next."""
    kill("kill -9 in the middle of calls", kills, longest=0.03, limit=LIMIT)
    kill("kill -9 while segments turn", kills, longest=0.05, limit=4000)


def kill(figure: str, kills: int, *, longest: float, limit: int) -> None:
    """Kill, look, and say what each side knows that the other does not."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        after = kill_many(Path(name), kills=kills, seed=int(started), longest=longest, limit=limit)
        log = Log(
            folder=Path(name) / "audit" / "acme-corp", copy=Path(name) / "copy" / "acme-corp.jsonl"
        )
        integrity = verify(log).integrity
    lost = set(after.seen) - set(after.intents)
    wrong = [
        one for one, status in after.answered.items() if after.outcomes[one] != outcome_of(status)
    ]
    line(
        figure,
        kills=kills,
        seconds=round(time.perf_counter() - started, 1),
        requests_seen=len(after.seen),
        answers_handed_out=len(after.answered),
        intents=len(after.intents),
        requests_without_intent=len(lost),
        answers_without_outcome=len(wrong),
        unknown=sum(one == "unknown" for one in after.outcomes.values()),
        broken_chains=len(after.broken),
        damaged_lines=len(after.damage),
        segments=after.files,
        integrity=integrity,
    )
    whole = not (after.broken or after.damage) and integrity == "intact"
    if lost or wrong or not whole or set(after.outcomes) != set(after.intents):
        raise SystemExit("something was lost")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
