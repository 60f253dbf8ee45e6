"""Five hundred processes killed in the middle of their calls; one JSON line of what was lost."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from hsagency.audit.record import outcome_of
from tests.audit.killing import kill_many
from tests.benchmarks.measuring import line


def main(kills: int = 500) -> None:
    """Kill, look, and say what each side knows that the other does not."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        after = kill_many(Path(name), kills=kills, seed=int(started))
    lost = set(after.seen) - set(after.intents)
    wrong = [
        one for one, status in after.answered.items() if after.outcomes[one] != outcome_of(status)
    ]
    line(
        "kill -9 in the middle of calls",
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
    )
    if lost or wrong or after.broken or after.damage or set(after.outcomes) != set(after.intents):
        raise SystemExit("something was lost")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
