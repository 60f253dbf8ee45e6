"""No token is found anywhere but in the client list, on the wire and in the store, sealed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from hsagency.sandbox import Fault, bad_rows
from tests.commands import on_terminal, run_cli, running_cli
from tests.fleets import Fleet, client_list, row, tree


def tokens_of(one: Fleet) -> list[str]:
    known = [*one.sandbox.portals, one.sandbox.spare]
    return [credential.token for portal in known for credential in portal.credentials] + [
        bad["portalToken"] for bad in bad_rows(one.sandbox)
    ]


def holding(folder: Path, tokens: list[str]) -> list[str]:
    """Return the files that hold a token, or its telling part."""
    needles = [token.partition("-")[2].encode() for token in tokens]
    return [
        name
        for name, content in tree(folder).items()
        if any(needle in content for needle in needles)
    ]


def test_no_file_no_output_and_no_record_holds_a_token(empty: Fleet) -> None:
    portals = empty.sandbox.portals
    empty.sandbox.faults.add(Fault("status", status=403, portal_id=portals[1].portal_id))
    rows = [
        *(row(portal) for portal in portals),
        *({name: bad[name] for name in row(portals[0])} for bad in bad_rows(empty.sandbox)),
        row(portals[2], clientSlug=empty.sandbox.spare.token),
        row(portals[2], clientSlug="x", portalToken=empty.sandbox.spare.token[:-3]),
    ]
    args = ["onboard", "-", "--debug", "--api", empty.url, "--workspace", empty.root]
    said = []
    for more in ([], ["--dry-run"], ["--replace", "--json"]):
        done = run_cli([*args, *more], stdin=client_list(rows))
        assert done.returncode == 1
        said.append(done.stdout + done.stderr)
    tokens = tokens_of(empty)
    assert not [token for token in tokens if any(token[8:-3] in text for text in said)]
    assert holding(empty.root, tokens) == []
    assert holding(Path(os.environ["HOME"]), tokens) == []
    assert len(empty.agency.slugs()) == 2


def test_the_running_process_shows_no_token_in_arguments_or_environment(empty: Fleet) -> None:
    empty.sandbox.faults.add(Fault("latency", seconds=0.3))
    portal = empty.sandbox.portals[0]
    who = ["--client", portal.client_slug, "--portal", str(portal.portal_id)]
    args = ["onboard", *who, "--api", empty.url, "--workspace", empty.root]
    with running_cli(args, stdin=portal.token.encode() + b"\n") as process:
        until = time.monotonic() + 30
        while not empty.sandbox.ledger(portal.portal_id) and time.monotonic() < until:
            time.sleep(0.005)
        shown = b"".join(
            Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("cmdline", "environ")
        )
        assert process.wait(30) == 0
    assert b"onboard" in shown
    assert b"HOME=" in shown
    assert not [token for token in tokens_of(empty) if token.encode() in shown]
    assert empty.agency.slugs() == [portal.client_slug]


def test_an_unexpected_error_shows_its_place_and_no_token(empty: Fleet) -> None:
    """A store that is a file where its folder should be is nothing anybody planned for."""
    (empty.root / "state").rename(empty.root / "gone")
    (empty.root / "state").write_bytes(b"")
    args = ["onboard", "-", "--api", empty.url, "--workspace", empty.root]
    done = run_cli([*args, "--debug"], stdin=client_list(empty.sandbox))
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert not [token for token in tokens_of(empty) if token in done.stdout + done.stderr]
    quiet = run_cli(args, stdin=client_list(empty.sandbox))
    assert "Traceback" not in quiet.stderr
    assert quiet.stderr.splitlines()[-1].startswith("Error: ")


def test_a_token_typed_at_the_prompt_is_not_on_the_screen(empty: Fleet) -> None:
    portal = empty.sandbox.portals[0]
    who = ["--client", portal.client_slug, "--portal", str(portal.portal_id)]
    code, screen = on_terminal(
        ["onboard", *who, "--api", empty.url, "--workspace", empty.root],
        typed={"not shown as you paste it": f"{portal.token}\n"},
    )
    assert code == 0, screen
    assert f"Service key of {portal.client_slug}" in screen
    assert "onboarded" in screen
    assert portal.token[8:] not in screen
