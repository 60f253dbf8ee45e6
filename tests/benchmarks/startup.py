"""Start-up: `hsagency --help`, `import hsagency` and `from hsagency import Agency`."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.benchmarks.measuring import line

RUNS = 15


def best(*arguments: str) -> float:
    """Return the best wall time in milliseconds; the files are in the cache by then."""
    took = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - started)
    return min(took) * 1000


def main() -> None:
    bare = best("-c", "pass")
    line("bare interpreter", ms=round(bare))
    for figure, arguments in {
        "hsagency --help": ("-m", "hsagency.cli", "--help"),
        "import hsagency": ("-c", "import hsagency"),
        "from hsagency import Agency": ("-c", "from hsagency import Agency"),
    }.items():
        took = best(*arguments)
        line(figure, ms=round(took), over_bare=round(took - bare))


if __name__ == "__main__":
    main()
