"""
What tests do in processes of their own: `python -m tests.audit.child NAME`.

Instructions come as one line of JSON on standard input, so that no token is ever an argument;
results go out as lines of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from hsagency.audit.journal.writer import AuditWriter
from hsagency.client import Channel, PortalClient
from hsagency.errors import AuditError, HsAgencyError
from hsagency.halt import Halt
from hsagency.portals import ClientSlug, ConnectionType, PortalId
from hsagency.routes import touched
from hsagency.sandbox import Sandbox
from hsagency.secret import Secret
from hsagency.transport import Binding
from tests.audit.reading import AUTHOR, CONTACTS, ending, intent
from tests.support import once


def say(**result: object) -> None:
    print(json.dumps(result), flush=True)


def client_of(order: dict[str, Any], writer: AuditWriter, wire: Any = None) -> PortalClient:
    """Return a client of the portal that an order names."""
    secret = Secret(order["token"])
    way = Channel(
        host=httpx.URL(order.get("url", "https://api.hubapi.com")),
        credential=lambda: secret,
        writer=writer,
        halt=Halt(Path(order["audit"]).parent / "halt.json"),
        wire=wire,
    )
    binding = Binding(
        client_slug=ClientSlug("acme-corp"),
        portal_id=PortalId(order["portal"]),
        connection_type=ConnectionType.CONFIG_AND_AUDIT,
        host=way.host,
        fingerprint=secret.fingerprint,
        generation=1,
        purpose="interactive",
    )
    return once(way.client(binding=binding))


def forge(order: dict[str, Any]) -> None:
    """Fork a process that calls until it is killed, for every line that names where to begin."""
    client_of(order, AuditWriter(Path(order["audit"]), author=AUTHOR))
    touched("GET", CONTACTS)  # what is read once is read before the fork
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                call_until_killed(order, int(line))
            finally:  # the sandbox is gone, so the test is
                os._exit(1)
        say(child=child)
        os.waitpid(child, 0)
        say(ended=child)


def call_until_killed(order: dict[str, Any], first: int) -> None:
    """Call with two threads; write down, unbuffered, every call whose answer was handed out."""
    said = os.open(order["answered"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    writer = AuditWriter(
        Path(order["audit"]), author=AUTHOR, limit=order["limit"], copy=Path(order["copy"])
    )
    client = client_of(order, writer)

    def work(number: int) -> None:
        while True:
            number += 2
            answer = client.get(f"{CONTACTS}/{number}")
            os.write(said, b"%d %d\n" % (number, answer.status_code))

    threading.Thread(target=work, args=(first,), daemon=True).start()
    work(first + 1)


def append(order: dict[str, Any]) -> None:
    """Take a slot, wait for the word, then append so many records."""
    with AuditWriter(Path(order["audit"]), author=AUTHOR) as writer:
        writer.append("acme-corp", intent(order["first"]))
        say(ready=True)
        sys.stdin.readline()
        for number in range(1, order["count"]):
            writer.append("acme-corp", intent(order["first"] + number), durable=number % 20 == 0)
    say(done=True)


def crowd(order: dict[str, Any]) -> None:
    """Append from many threads, through segments of a chosen size."""
    with AuditWriter(Path(order["audit"]), author=AUTHOR, limit=order["limit"]) as writer:
        writer.append("acme-corp", intent(order["first"] + 99_999))
        say(ready=True)
        sys.stdin.readline()

        def work(thread: int) -> None:
            for number in range(order["count"]):
                one = order["first"] + 1000 * thread + number
                writer.append("acme-corp", intent(one), durable=number % 2 == 0)

        threads = [threading.Thread(target=work, args=(one,)) for one in range(order["threads"])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    say(done=True)


def attempt(client: PortalClient, sandbox: Sandbox, portal: int) -> dict[str, object]:
    """Call once; say what came of it and how many requests the portal has seen by now."""
    try:
        came: object = client.get(f"{CONTACTS}/101").status_code
        hint = ""
    except AuditError as error:
        came, hint = error.message, error.hint
    return {"came": came, "hint": hint, "seen": len(sandbox.ledger(portal))}


def run_out_of_space(order: dict[str, Any]) -> None:
    """Call with room, without, and with room again; the limit comes from the order."""
    audit = Path(order["audit"])
    sandbox = Sandbox(portals=1)
    portal = sandbox.portals[0]
    order |= {"token": portal.token, "portal": portal.portal_id}
    with AuditWriter(audit, author=AUTHOR) as writer:
        client = client_of(order, writer, sandbox.transport())
        say(**attempt(client, sandbox, portal.portal_id))
        for spare in order["spare"]:
            fill, empty = _limits(order, audit)
            fill(spare)
            for _ in range(order["attempts"]):  # a page that was begun has room for a few more
                say(**attempt(client, sandbox, portal.portal_id))
            empty()
        say(**attempt(client, sandbox, portal.portal_id))
    if order.get("copy_to"):  # the file system goes away with this process
        for path in sorted(audit.glob("*/journal/*")):
            (Path(order["copy_to"]) / path.name).write_bytes(path.read_bytes())


def _limits(order: dict[str, Any], audit: Path) -> tuple[Callable[[int], None], Callable[[], None]]:
    """Return what leaves so many bytes for the next record, and what takes that back."""
    if order["limit"] == "file size":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        (path,) = audit.glob("*/journal/*.jsonl")

        def fill(spare: int) -> None:
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + spare, hard))

        def empty() -> None:
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

        return fill, empty
    ballast = audit.parent / "ballast"

    def fill_disk(_: int) -> None:
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                return

    return fill_disk, ballast.unlink


def lose_permission(order: dict[str, Any]) -> None:
    """Write as somebody who is not root, in a folder that is closed under their feet."""
    audit = Path(order["audit"])
    sandbox = Sandbox(portals=1)
    portal = sandbox.portals[0]
    order |= {"token": portal.token, "portal": portal.portal_id}
    with AuditWriter(audit.parent / "before", author=AUTHOR) as writer:
        # All modules are loaded while they can be: they may be root's alone.
        attempt(client_of(order, writer, sandbox.transport()), sandbox, portal.portal_id)
        read_as_is(audit.parent / "before", quietly=True)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    journal = audit / "acme-corp" / "journal"
    with AuditWriter(audit, author=AUTHOR) as writer:
        client = client_of(order, writer, sandbox.transport())
        say(**attempt(client, sandbox, portal.portal_id))
        journal.chmod(0)
        say(**attempt(client, sandbox, portal.portal_id))
        read_as_is(audit)
    with AuditWriter(audit, author=AUTHOR) as writer:
        client = client_of(order, writer, sandbox.transport())
        say(**attempt(client, sandbox, portal.portal_id))
        journal.chmod(0o700)
        journal.joinpath("000-000001.jsonl").chmod(0o400)
        say(**attempt(client, sandbox, portal.portal_id))
        journal.joinpath("000-000001.jsonl").chmod(0)
        read_as_is(audit)
        journal.joinpath("000-000001.jsonl").chmod(0o600)
        say(**attempt(client, sandbox, portal.portal_id))
    with AuditWriter(Path(order["foreign"]), author=AUTHOR) as writer:
        client = client_of(order, writer, sandbox.transport())
        say(**attempt(client, sandbox, portal.portal_id))


def read_as_is(audit: Path, *, quietly: bool = False) -> None:
    """Say what reading the log comes to: it must not come to nothing."""
    from hsagency.audit import lake

    try:
        lake.clients(audit)
        calls = lake.read(audit, ["acme-corp"]).calls.collect()
        if not quietly:
            say(calls=calls.height)
    except AuditError as error:
        say(came=error.message, hint=error.hint)


def fork(order: dict[str, Any]) -> None:
    """Use, in a forked child, a writer of the parent's: while one of its locks is held."""
    sandbox = Sandbox(portals=1)
    portal = sandbox.portals[0]
    order |= {"token": portal.token, "portal": portal.portal_id}
    held, go_on = threading.Event(), threading.Event()

    def slow(_: int) -> None:
        held.set()
        go_on.wait(10)

    writer = AuditWriter(Path(order["audit"]), author=AUTHOR, sync=slow)
    client = client_of(order, writer, sandbox.transport())
    holder = threading.Thread(target=writer.append, args=("acme-corp", intent(1)))
    holder.start()
    held.wait(10)
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a deadlock is a failure, not a wait
        for slug in ("acme-corp", "beta-inc"):
            try:
                writer.append(slug, intent(2))
                say(came="written")
            except AuditError as error:
                say(came=error.message, hint=error.hint)
        try:
            client.get(CONTACTS)
        except HsAgencyError as error:
            say(came=str(error), seen=len(sandbox.ledger(portal.portal_id)))
        writer.close()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    go_on.set()
    holder.join()
    say(status=status)
    writer.append("acme-corp", intent(3))
    writer.close()
    say(done=True)


def storm(order: dict[str, Any]) -> None:
    """Append while interrupts arrive at random moments; say which records were promised."""
    chance, promised, number = random.Random(7), list[int](), 0

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, interrupt)
    given = {"limit": order["limit"], "copy": Path(order["copy"])} if "limit" in order else {}
    with AuditWriter(Path(order["audit"]), author=AUTHOR, sync=lambda _: None, **given) as writer:
        writer.append("acme-corp", intent(0))  # an interrupt while opening may cost a slot
        for _ in range(order["signals"]):
            with contextlib.suppress(KeyboardInterrupt):
                signal.setitimer(
                    signal.ITIMER_REAL, chance.uniform(20e-6, order.get("longest", 500e-6))
                )
                while True:
                    number += 1
                    writer.append("acme-corp", intent(number))
                    promised.append(number)
        writer.append("acme-corp", intent(0))
    say(promised=promised)


def tell_and_write(order: dict[str, Any]) -> None:
    """Write, with somebody to tell who writes to the same log as soon as he is told."""
    signal.alarm(20)  # a deadlock is a failure, not a wait

    def told(message: str) -> None:
        say(told=message)
        writer.append("acme-corp", intent(9))

    with AuditWriter(Path(order["audit"]), author=AUTHOR, tell=told) as writer:
        writer.append("acme-corp", intent(8))
    say(done=True)


def import_until_killed(order: dict[str, Any]) -> None:
    """Import a file, and stop dead after so many records."""
    from hsagency.audit.importing import import_file

    left = [order["records"]]

    class Mortal(AuditWriter):
        def append(self, slug: str, fields: Any, *, durable: bool = True) -> None:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            super().append(slug, fields, durable=durable)

    import_file(Mortal(Path(order["audit"]), author=AUTHOR), Path(order["file"]))


def forward(order: dict[str, Any]) -> None:
    """Forward into a file until killed, slowly enough to be killed in the middle of it."""
    from hsagency.audit.forwarding import open_forwarder
    from hsagency.settings import Settings, Workspace

    said = {"schema": 1, "workspace": "w", "store": "age:credentials"}
    workspace = Workspace(Path(order["root"]), Settings.model_validate(said))
    with Path(order["out"]).open("ab", buffering=0) as out:

        def write(record: Any) -> None:
            out.write(json.dumps(record).encode() + b"\n")

        open_forwarder(workspace, "one", write).follow()


def lock_database(order: dict[str, Any]) -> None:
    """Hold a SQLite file so that nobody else can write to it, until told."""
    import sqlite3

    database = sqlite3.connect(order["path"], isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    say(locked=True)
    sys.stdin.readline()
    database.execute("ROLLBACK")
    say(locked=False)


def workspace_of(order: dict[str, Any], **table: str) -> Any:
    from hsagency.settings import Settings, Workspace

    said = {"schema": 1, "workspace": "w", "store": "age:credentials", "forward": [table]}
    return Workspace(Path(order["root"]), Settings.model_validate(said))


def forward_read_only(order: dict[str, Any]) -> None:
    """Forward into a file that this user may not write to, and then may."""
    forward_twice(Path(order["root"]) / "before", quietly=True)  # loads all modules
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    forward_twice(Path(order["root"]) / "read-only", quietly=False)


def forward_twice(root: Path, *, quietly: bool) -> None:
    """Forward three calls into a file of mode 0400, then 0600."""
    from hsagency.audit.forwarding import open_forwarder
    from hsagency.audit.forwarding.standing import standings

    workspace = workspace_of({"root": root}, name="archive", to="sqlite", path="calls.sqlite")
    with AuditWriter(root / "audit", author=AUTHOR) as writer:
        for number in range(3):
            writer.append("acme-corp", intent(number), durable=False)
            writer.append("acme-corp", ending(number), durable=False)
    path = root / "calls.sqlite"
    path.touch(0o400)
    with open_forwarder(workspace, "archive") as one:
        for _ in range(2):
            one.catch_up()
            (standing,) = standings(workspace)
            if not quietly:
                say(failure=str(one.failure), behind=standing.behind_records)
            path.chmod(0o600)


def forward_to_output(order: dict[str, Any]) -> None:
    """Forward to standard output what there is, and say by the way of ending how that went."""
    from hsagency.audit.forwarding import open_forwarder

    with open_forwarder(workspace_of(order, name="lines", to="stdout"), "lines") as one:
        one.catch_up()
        failed = one.failure is not None
    os._exit(3 if failed else 0)  # no flush of Python's own into a pipe that is gone


if __name__ == "__main__":
    ORDERS = (
        *(forge, append, run_out_of_space, lose_permission),
        *(fork, storm, crowd, tell_and_write, import_until_killed, forward),
        *(lock_database, forward_read_only, forward_to_output),
    )
    {one.__name__: one for one in ORDERS}[sys.argv[1]](json.loads(sys.stdin.readline()))
