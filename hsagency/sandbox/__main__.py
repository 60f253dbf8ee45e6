"""
The sandbox by itself: `python -m hsagency.sandbox` needs nothing but Python.

With --tls it needs the library trustme. The options are those of `hsagency sandbox`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hsagency.errors import SandboxError
from hsagency.sandbox.serving.running import run, said
from hsagency.sandbox.surface import surface_as_text

_COMMAND = "python -m hsagency.sandbox"
_EPILOG = f"""\
Trouble comes from a file of --faults:

  [[fault]]
  kind = "status"
  status = 503
  times = 2

or while it runs, over the control API under /_sandbox/, with the key that is printed:

  curl -H "X-Sandbox-Key: KEY" -d '{{"kind": "status", "status": 503, "times": 2}}' \\
    http://127.0.0.1:PORT/_sandbox/faults

GET /_sandbox/ lists its calls.

Examples:
  {_COMMAND} --portals 3 --csv clients.csv
  {_COMMAND} --port 9000 --faults faults.toml --ledger calls.jsonl
  {_COMMAND} --at 2026-11-01T05:00:00+00:00 --speed 60
"""
VARIANTS = ("good", "expired", "not-yet-valid", "wrong-name", "untrusted")


def parser() -> argparse.ArgumentParser:
    """Return what understands the arguments."""
    made = argparse.ArgumentParser(
        prog=_COMMAND,
        description="Serve a simulated HubSpot on this machine until it is interrupted.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    number = {"type": int, "metavar": "N"}
    file = {"type": Path, "metavar": "FILE"}
    for option, default, help_ in (
        ("--portals", 25, "how many portals to simulate (25)"),
        ("--contacts", 40, "how many contacts each portal starts with (40)"),
        ("--seed", 0, "the same seed makes the same portals (0)"),
        ("--port", 0, "the port on 127.0.0.1; 0 takes a free one"),
    ):
        made.add_argument(option, default=default, help=help_, **number)  # type: ignore[arg-type]
    for option, help_ in (
        ("--csv", "write the client list of these portals into this file"),
        ("--faults", "what goes wrong, as a file of [[fault]] tables"),
        ("--ledger", "write each call into this new file, as JSON lines"),
    ):
        made.add_argument(option, help=help_, **file)  # type: ignore[arg-type]
    made.add_argument(
        "--tls",
        nargs="?",
        const="good",
        choices=VARIANTS,
        help="speak HTTPS, with this certificate; a good one unless named",
    )
    made.add_argument(
        "--at",
        metavar="TIME",
        help="let its clock stand still at this time; what a limit counts never ends then: add "
        "--speed or --no-limits",
    )
    made.add_argument(
        "--speed",
        type=float,
        metavar="N",
        help="let its clock run N times as fast as time, from now or from --at",
    )
    made.add_argument(
        "--no-limits",
        dest="limits",
        action="store_false",
        help="count every call, and refuse none for being one too many",
    )
    made.add_argument("--routes", action="store_true", help="list what is simulated, and stop")
    made.add_argument("--json", action="store_true", help="list it as JSON")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    understands = parser()
    asked = vars(understands.parse_args(arguments))
    routes, as_json = asked.pop("routes"), asked.pop("json")
    if as_json and not routes:
        understands.error("--json goes with --routes; nothing was started")
    if routes and (beside := said(asked)):
        understands.error(
            f"--routes only lists, so leave out {', '.join(beside)}; nothing was started"
        )
    try:
        if routes:
            _say(surface_as_text(as_json=as_json))
        else:
            run(**asked, announce=_say, command=_COMMAND)
    except SandboxError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
