"""
The sandbox in figures: requests a second, start-up and memory, operations, official calls.

Requests are compared with a bare stub in the same run, because machines differ; wrk is used
where it is installed.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from hsagency.sandbox import Sandbox
from hsagency.sandbox.api import FAMILIES
from hsagency.sandbox.surface import methods
from tests.benchmarks.measuring import line
from tests.benchmarks.serving import Serving, serving

ROUNDS, CALLS, WRK_SECONDS = 5, 600, 3
PORTALS, CONTACTS, LISTED = 100, 10_000, 5
_WORD = {"filterGroups": [], "query": "ada", "limit": 10}
CALLED: dict[str, tuple[str, str, dict[str, object] | None]] = {
    "contact read": ("GET", "/crm/v3/objects/contacts/101", None),
    "list of 10": ("GET", "/crm/objects/2026-09/contacts?limit=10", None),
    "create": ("POST", "/crm/v3/objects/contacts", {"properties": {"firstname": "Ada"}}),
    "search": ("POST", "/crm/v3/objects/contacts/search", _WORD),
}
OFFICIAL = Path(__file__).parents[1] / "sandbox" / "official"


def client_of(server: Serving, token: str = "") -> httpx.Client:
    headers = {"Authorization": f"Bearer {token or server.tokens[0]}"}
    return httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=60)


def rate(client: httpx.Client, method: str, path: str, body: dict[str, object] | None) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        answer = client.request(method, path, json=body)
        assert answer.is_success, answer.text
    return CALLS / (time.perf_counter() - started)


def wrk_rate(server: Serving, method: str, path: str, body: dict[str, object] | None) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'wrk.method = "{method}"\n')
        script.write(f'wrk.headers["Authorization"] = "Bearer {server.tokens[0]}"\n')
        if body is not None:
            script.write('wrk.headers["Content-Type"] = "application/json"\n')
            script.write(f"wrk.body = {json.dumps(json.dumps(body))}\n")
        script.flush()
        command = ["wrk", "-t2", "-c16", f"-d{WRK_SECONDS}s", "-s", script.name, server.url + path]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "Non-2xx" not in done.stdout, done.stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


def requests_a_second() -> None:
    for name, call in CALLED.items():
        with serving("sandbox") as sandbox, serving("stub") as stub:
            with client_of(sandbox) as ours, client_of(stub) as bare:
                rate(ours, *call)  # everything is imported and the connections are open
                rate(bare, *call)
                pairs = [(rate(ours, *call), rate(bare, *call)) for _ in range(ROUNDS)]
            report(f"requests/s, one httpx client, {name}", pairs)
            if shutil.which("wrk"):
                wrk_rate(sandbox, *call)
                pairs = [(wrk_rate(sandbox, *call), wrk_rate(stub, *call)) for _ in range(3)]
                report(f"requests/s, wrk -t2 -c16, {name}", pairs)


def report(figure: str, pairs: list[tuple[float, float]]) -> None:
    ours, bare = (statistics.median(one) for one in zip(*pairs, strict=True))
    share = statistics.median(one / other for one, other in pairs)
    line(figure, sandbox=round(ours), stub=round(bare), ratio=round(share, 2), rounds=len(pairs))


def start_up_and_memory() -> None:
    started = time.perf_counter()
    Sandbox(portals=PORTALS, contacts=CONTACTS)
    made = time.perf_counter() - started
    with serving("sandbox", portals=1, contacts=0) as empty:
        bare = empty.megabytes()
    with serving("sandbox", portals=PORTALS, contacts=CONTACTS) as server:
        held = {"at_start": server.megabytes()}
        for token in server.tokens:
            with client_of(server, token) as client:
                client.get("/crm/v3/objects/contacts/101").raise_for_status()
        held["after_a_call_each"] = server.megabytes()
        started = time.perf_counter()
        records = sum(listed(server, token) for token in server.tokens[:LISTED])
        took = time.perf_counter() - started
        assert records == LISTED * CONTACTS
        held[f"after_listing_{LISTED}_portals"] = server.megabytes()
        line(
            f"start-up, {PORTALS} portals of {CONTACTS:,} contacts",
            sandbox_ms=round(made * 1000, 1),
            process_ms=round(server.up_in * 1000),
        )
        line("memory, MB", one_empty_portal=bare, **held)
        line("listing by 100", records_per_second=round(records / took))


def listed(server: Serving, token: str) -> int:
    """Read a portal's contacts to the end, and count them."""
    count, after = 0, None
    with client_of(server, token) as client:
        while True:
            asked = {"limit": "100"} | ({"after": after} if after else {})
            page = client.get("/crm/v3/objects/contacts", params=asked).raise_for_status().json()
            count += len(page["results"])
            after = page.get("paging", {}).get("next", {}).get("after")
            if after is None:
                return count


def operations() -> None:
    """Count methods of routes, and the same with all forms of a path taken as one."""
    forms = {name: sum(len(methods(route)) for route in some) for name, some in FAMILIES.items()}
    alike = {
        name: len({(method, route.name) for route in some for method in methods(route)})
        for name, some in FAMILIES.items()
    }
    line("operations of each family", total=sum(alike.values()), **alike)
    line("operations, old and dated paths apart", total=sum(forms.values()), **forms)


def official_calls() -> None:
    """Count the calls of the official client that its tests write down."""
    files = sorted(OFFICIAL.glob("test_*.py"))
    found = {
        file.stem.removeprefix("test_"): {
            one
            for function in ast.walk(ast.parse(file.read_text()))
            if isinstance(function, ast.FunctionDef)
            for one in called(function)
        }
        for file in files
    }
    every: set[str] = set().union(*found.values())
    line(
        "official client, distinct calls", total=len(every), **{n: len(f) for n, f in found.items()}
    )


def called(function: ast.FunctionDef) -> Iterator[str]:
    """Yield `crm.contacts.basic_api.create` for each call of a generated class."""
    held: dict[str, str] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            held[node.targets[0].id] = chain(node.value, held)
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = chain(node.func.value, held)
            if owner.endswith("_api"):
                yield f"{owner}.{node.func.attr}"


def chain(node: ast.expr, held: dict[str, str]) -> str:
    """Return the attributes that lead to a value, without what they begin at."""
    if isinstance(node, ast.Attribute):
        return f"{chain(node.value, held)}.{node.attr}".lstrip(".")
    return held.get(node.id, "") if isinstance(node, ast.Name) else ""


def main() -> None:
    operations()
    official_calls()
    start_up_and_memory()
    requests_a_second()


if __name__ == "__main__":
    main()
