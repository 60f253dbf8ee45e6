"""`hsagency connect`, `connect --setup` and `reconnect`, as a person runs them."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from hsagency.portals import ConnectionType
from hsagency.sandbox import serve
from tests.commands import command, environment, on_terminal, run_cli
from tests.connecting.offices import Office, Person, asked_for, free_port, office
from tests.connecting.test_reconnecting import by_token
from tests.fleets import Fleet, stored_secret

# The browser: it answers HubSpot's page as it was told, and sees where that leads.
BROWSER = """#!{python}
import sys, httpx
with httpx.Client(timeout=30, trust_env=False) as client:
    where = client.get(sys.argv[1]).headers["location"]
    form = {{"portalId": "{portal}", "decision": "{decision}"}}
    page = client.post(where, data=form, follow_redirects=True)
open("{seen}", "w").write(page.text)
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Office]:
    with office(tmp_path / "workspace") as one:
        yield one


def browser(folder: Path, portal: int, *, decision: str = "connect") -> dict[str, str]:
    """Make a browser; return the environment in which it is the one that is opened."""
    script = folder / f"browser-{portal}-{decision}"
    seen = folder / "seen.html"
    content = BROWSER.format(python=sys.executable, portal=portal, decision=decision, seen=seen)
    script.write_text(content)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"BROWSER": str(script)}


def at(desk: Office, *args: str) -> list[str]:
    return [*args, "--workspace", str(desk.root)]


def known(desk: Office, number: int = 0) -> list[str]:
    """Return what says which account it must be, so that nobody needs to confirm it."""
    return ["--api", desk.url, "--portal", str(desk.portal(number)), "--yes"]


def test_one_command_connects_a_portal(desk: Office, tmp_path: Path) -> None:
    done = run_cli(
        at(desk, "connect", "--client", "acme-corp", *known(desk)),
        env=browser(tmp_path, desk.portal(0)),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"Connected Acme Corp (acme-corp, portal {desk.portal(0)}) as Config + Audit, over OAuth.\n"
    )
    assert "acme-corp" in (tmp_path / "seen.html").read_text()
    assert desk.works("acme-corp")


def test_what_will_be_asked_is_said_before_the_browser_opens(desk: Office, tmp_path: Path) -> None:
    done = run_cli(
        at(desk, "connect", *known(desk), "--type", "audit_only"),
        env=browser(tmp_path, desk.portal(0), decision="cancel"),
    )
    assert done.returncode == 1
    for said in (
        "audit_only <- this one",
        "when     The most common choice",
        "enables  Full access",
        "refuses  Every change",
        "crm.objects.contacts.read",
        "Super Admin",
        "pop-up blocker",
        "The fleet has 0 portals, and no limit.",
        "The app is in 0 accounts; HubSpot lets it into 10.",
        "If none opens, open this address yourself",
        "somebody said no. Nothing was connected.",
    ):
        assert said in done.stderr.replace("\n    ", " "), said
    assert done.stdout == ""


def test_json_holds_the_connection_and_the_notes(desk: Office, tmp_path: Path) -> None:
    done = run_cli(
        at(desk, "connect", *known(desk), "--json", "--quiet"),
        env=browser(tmp_path, desk.portal(0)),
    )
    said = json.loads(done.stdout)
    assert (said["schema"], said["outcome"], said["before"]) == (1, "connected", None)
    assert said["portal"]["clientSlug"] == "acme-corp"
    assert done.stderr == ""


def test_a_person_confirms_the_account_or_names_another_slug(desk: Office, tmp_path: Path) -> None:
    os.environ.update(given := browser(tmp_path, desk.portal(0)))
    try:
        code, screen = on_terminal(
            at(desk, "connect", "--api", desk.url),
            typed={"or another slug]": "North Wind\n", "is not a client slug": "north-wind\n"},
        )
    finally:
        for name in given:
            del os.environ[name]
    assert code == 0, screen
    assert f"HubSpot says: Acme Corp (portal {desk.portal(0)}" in screen
    assert re.search(r"waiting for HubSpot's page, \d:\d\d left", screen)
    assert f"Connected Acme Corp (north-wind, portal {desk.portal(0)})" in screen


def test_a_person_who_says_no_connects_nothing(desk: Office, tmp_path: Path, monkeypatch) -> None:
    for name, value in browser(tmp_path, desk.portal(0)).items():
        monkeypatch.setenv(name, value)
    code, screen = on_terminal(
        at(desk, "connect", "--api", desk.url), typed={"or another slug]": "n\n"}
    )
    assert code == 1
    assert "You said that this is not the account. Nothing was connected." in screen
    assert desk.agency.slugs() == []
    assert desk.grants(desk.portal(0)) == []


def test_without_anybody_to_confirm_nothing_is_asked(desk: Office) -> None:
    done = run_cli(at(desk, "connect", "--api", desk.url))
    assert done.returncode == 2
    assert "Nobody is here to confirm" in done.stderr
    assert "Nothing was asked" in done.stderr
    assert "--yes and --portal ID" in done.stderr
    desk.connect(0, client="acme-corp")
    again = run_cli(at(desk, "reconnect", "acme-corp"))
    assert "Nobody is here to confirm" in again.stderr
    assert "--portal" not in again.stderr


def test_nobody_takes_an_account_unseen_that_nobody_named(desk: Office) -> None:
    done = run_cli(at(desk, "connect", "--client", "acme-corp", "--api", desk.url, "--yes"))
    assert done.returncode == 2
    assert "nothing says which one it must be. Nothing was asked." in done.stderr
    assert "--portal ID" in done.stderr


def test_what_is_wrong_first_is_said_first(empty: Fleet, tmp_path: Path) -> None:
    nowhere = run_cli(["connect"], cwd=tmp_path, env={"HOME": str(tmp_path)})
    assert "workspace" in nowhere.stderr
    assert "Nobody is here" not in nowhere.stderr
    for more in ([], ["--no-browser", "--client", "Acme"]):
        done = run_cli(["connect", "--api", empty.url, *more, "--workspace", str(empty.root)])
        assert "No OAuth app is set up" in done.stderr
        assert "Nobody is here" not in done.stderr
    assert "is not a client slug" in done.stderr


def test_an_app_for_another_address_is_named(desk: Office) -> None:
    done = run_cli(at(desk, "connect"))
    assert "No OAuth app is set up for HubSpot." in done.stderr
    assert f"One is set up for the sandbox at {desk.url}" in done.stderr
    assert f"add --api {desk.url}" in done.stderr


def test_when_nobody_comes_back_it_says_so(desk: Office) -> None:
    done = run_cli(at(desk, "connect", *known(desk), "--timeout", "1"), env={"BROWSER": "true"})
    assert done.returncode == 1
    assert "Nobody came back from HubSpot's page within 1 seconds" in done.stderr
    assert "Nothing was connected" in done.stderr


def test_a_browser_that_cannot_be_opened_is_told(desk: Office) -> None:
    done = run_cli(at(desk, "connect", *known(desk), "--timeout", "1"), env={"BROWSER": "false"})
    assert "No browser could be opened here" in done.stderr


def test_ctrl_c_ends_it_in_one_sentence(desk: Office) -> None:
    args = command(at(desk, "connect", *known(desk), "--no-browser"))
    with subprocess.Popen(
        args,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "paste that page's address" in line:
                break
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(30) == 130
    assert "Interrupted. Nothing was connected." in said
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_who_ends_it_at_the_question_leaves_nothing_authorised(
    desk: Office, tmp_path: Path, number: signal.Signals
) -> None:
    ours, theirs = pty.openpty()
    given = environment(browser(tmp_path, desk.portal(0)))
    args = command(at(desk, "connect", "--api", desk.url, "--no-browser"))
    shown = termios.tcgetattr(theirs)
    with at_terminal(args, theirs, given) as process:
        screen = read_until(ours, "not shown as you paste it")
        assert not termios.tcgetattr(theirs)[3] & termios.ECHO
        url = next(line for line in screen.split() if line.startswith(desk.url))
        who = Person(desk.portal(0))
        person = threading.Thread(target=who.browse, args=(url,), daemon=True)
        person.start()
        screen = read_until(ours, "or another slug]")
        assert len(desk.grants(desk.portal(0))) == 1
        screen = read_until(ours, "Begin again", by=lambda: process.send_signal(number))
        assert process.wait(60) == 130
        person.join(60)
    assert desk.grants(desk.portal(0)) == []
    assert "Interrupted. Nothing was connected. What was authorised was revoked" in screen
    assert termios.tcgetattr(theirs) == shown
    os.close(ours)
    os.close(theirs)


def test_a_wait_that_is_killed_shows_again_what_is_typed(desk: Office) -> None:
    ours, theirs = pty.openpty()
    args = command(at(desk, "connect", "--api", desk.url, "--no-browser"))
    shown = termios.tcgetattr(theirs)
    with at_terminal(args, theirs, environment()) as process:
        read_until(ours, "not shown as you paste it")
        read_until(ours, "Begin again", by=process.terminate)
        assert process.wait(60) == 130
    assert termios.tcgetattr(theirs) == shown
    os.close(ours)
    os.close(theirs)


@contextmanager
def at_terminal(
    args: Sequence[str], terminal: int, given: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command at a terminal; whatever happens, it is gone afterwards."""
    with subprocess.Popen(
        args, stdin=terminal, stdout=terminal, stderr=terminal, env=given
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(terminal: int, said: str, *, by: Callable[[], None] | None = None) -> str:
    """
    Return what the screen got until something stood there, which is brought about `by` a signal.

    It is sent again where nothing comes of it: one that arrives just before a program begins to
    read is noticed only after that.
    """
    screen, deadline = b"", time.monotonic() + 60
    if by is not None:
        by()
    while said.encode() not in screen:
        assert time.monotonic() < deadline, screen
        if select.select([terminal], [], [], 5)[0]:
            screen += os.read(terminal, 65536)
        elif by is not None:
            by()
    return screen.decode(errors="replace").replace("\r\n", "\n")


@pytest.mark.parametrize("pasted", ["whole", "query"])
def test_headless_the_address_is_pasted(desk: Office, pasted: str) -> None:
    args = command(at(desk, "connect", "--client", "acme-corp", "--no-browser", *known(desk)))
    with subprocess.Popen(
        args,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stdin is not None
        url = next(line.strip() for line in process.stderr if line.startswith("http"))
        where = Person(desk.portal(0)).decide(url)
        answer = where if pasted == "whole" else where.partition("?")[2]
        process.stdin.write(f"code=x&state=forged\n{answer}\n")
        process.stdin.flush()
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "does not belong to this attempt" in errors
    assert "may be pasted again" in errors
    assert said.startswith("Connected Acme Corp")
    code = asked_for(where)["code"]
    assert code not in said + errors


def test_what_is_pasted_is_not_shown(desk: Office) -> None:
    """On a terminal: what is typed while it waits leaves no trace on the screen."""
    code, screen = on_terminal(
        at(desk, "connect", "--api", desk.url, "--no-browser", "--timeout", "2"),
        typed={"not shown as you paste it": "code=very-private&state=private-too\n"},
    )
    assert code == 1
    assert "does not belong to this attempt" in screen
    assert "very-private" not in screen


def test_everything_that_fails_is_named_at_once(desk: Office) -> None:
    with desk.start():
        done = run_cli(
            at(desk, "connect", "--client", "Acme", *known(desk)),
        )
    assert done.returncode == 1
    assert "2 things must be seen to first, and nothing was asked" in done.stderr
    assert "is not a client slug" in done.stderr
    assert f"Port {desk.port}" in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--setup", "--client", "acme-corp"], "--setup is about the app"),
        (["--port", "9000", "--yes"], "go with --setup"),
        (["--type", "everything", "--yes"], "is not a connection type"),
        (["--portal", "x", "--yes"], "is not a portal id"),
        (["--timeout", "0", "--yes"], "Nothing was done"),
        (["--setup", "--port", "80"], "80 is no port"),
        (["--setup", "--distribution", "secret"], "is not a distribution"),
    ],
)
def test_what_contradicts_itself_is_refused(desk: Office, args: list[str], said: str) -> None:
    done = run_cli(at(desk, "connect", "--api", desk.url, *args))
    assert done.returncode == 2
    assert said in done.stderr


def set_up(empty: Fleet, *, client_id: str, secret: str, port: int, more: tuple[str, ...] = ()):
    args = ["connect", "--setup", "--api", empty.url, "--port", str(port), *more]
    return run_cli([*args, "--workspace", str(empty.root)], stdin=f"{client_id}\n{secret}\n")


def test_setting_up_writes_the_metadata_says_what_to_do_and_checks(empty: Fleet) -> None:
    port = free_port()
    app = empty.sandbox.register_app(
        "Agency", redirect_uris=[f"http://localhost:{port}/oauth/callback"]
    )
    done = set_up(empty, client_id=app.client_id, secret=app.client_secret, port=port)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "OK  The sandbox knows the app, and its secret is in the store.\n"
    project = json.loads((empty.root / "oauth-app" / "hsproject.json").read_text())
    assert (project["platformVersion"], project["srcDir"]) == ("2026.03", "src")
    meta = json.loads((empty.root / "oauth-app/src/app/app-hsmeta.json").read_text())
    config = meta["config"]
    assert (meta["type"], config["isUserLevel"]) == ("app", False)
    assert config["distribution"] == "private"
    auth = config["auth"]
    assert auth["redirectUrls"] == [f"http://localhost:{port}/oauth/callback"]
    assert auth["requiredScopes"] == ["oauth"]
    assert len(auth["optionalScopes"]) > 20
    written = empty.root / "oauth-app" / "sandbox-app.json"
    for said in (
        auth["redirectUrls"][0],
        f'  curl -H "X-Sandbox-Key: KEY" -d @{written} {empty.url}/_sandbox/apps\n',
        "register it, with this in another window",
    ):
        assert said in done.stderr, said
    with serve(empty.sandbox) as control:
        registered = httpx.post(
            f"{control.url}/_sandbox/apps",
            content=written.read_bytes(),
            headers={"X-Sandbox-Key": control.control_key},
        ).json()
    assert registered["redirectUris"] == auth["redirectUrls"]
    assert registered["optional"] == sorted(auth["optionalScopes"])
    for scope in auth["optionalScopes"]:
        assert scope in done.stderr
    assert app.client_secret not in done.stdout + done.stderr
    assert "@" not in json.dumps([project, meta])


def test_setting_up_without_anybody_says_so_at_once(empty: Fleet) -> None:
    done = run_cli(["connect", "--setup", "--api", empty.url, "--workspace", str(empty.root)])
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Nobody is here to ask for the client id")
    assert not (empty.root / "oauth-app").exists()


def test_a_client_id_is_seen_and_judged_before_the_secret_is_asked_for(empty: Fleet) -> None:
    port = free_port()
    app = empty.sandbox.register_app("A", redirect_uris=[f"http://localhost:{port}/oauth/callback"])
    args = ["connect", "--setup", "--api", empty.url, "--port", str(port)]
    code, screen = on_terminal(
        [*args, "--workspace", str(empty.root)],
        typed={
            "Client id:": "two words\n",
            "quotes.\r\nClient id:": f"{app.client_id}\n",
            "Client secret (not shown": f"{app.client_secret}\n",
        },
    )
    assert code == 0, screen
    assert f"Client id: {app.client_id}" in screen
    assert app.client_secret not in screen


def test_ctrl_c_at_a_prompt_says_that_nothing_was_changed(desk: Office) -> None:
    args = at(desk, "connect", "--setup", "--api", desk.url)
    code, screen = on_terminal(args, typed={"Client id (Enter keeps": "\x03"})
    assert code == 130
    assert "\nInterrupted. The app stays as it was.\n" in screen
    slug = by_token(desk)
    code, screen = on_terminal(at(desk, "reconnect", slug), typed={"not shown": "\x03"})
    assert code == 130
    assert "\nInterrupted. Nothing was changed.\n" in screen


def test_a_wrong_secret_is_told_and_nothing_is_kept(empty: Fleet) -> None:
    port = free_port()
    app = empty.sandbox.register_app("A", redirect_uris=["http://localhost"])
    for given, said in (
        ((app.client_id, "not-the-secret"), "does not accept the secret of our app"),
        (("not-the-client", app.client_secret), "knows no app with our client id"),
        (("two words", "secret-of-it"), "not one that HubSpot would have given out"),
    ):
        done = set_up(empty, client_id=given[0], secret=given[1], port=port)
        assert done.returncode in (1, 2)
        assert said in done.stderr
        assert "Nothing was stored" in done.stderr
        assert app.client_secret not in done.stdout + done.stderr
    again = run_cli(["connect", "--yes", "--api", empty.url, "--workspace", str(empty.root)])
    assert "No OAuth app is set up" in again.stderr


def test_setting_up_again_asks_for_nothing_that_is_there(desk: Office) -> None:
    done = run_cli(at(desk, "connect", "--setup", "--api", desk.url, "--partner", "--json"))
    said = json.loads(done.stdout)
    assert (said["result"], said["mostInstalls"]) == ("OK", 100)
    assert said["redirectUrl"].endswith(f":{desk.port}/oauth/callback")
    assert f"client id {desk.app.client_id}" in done.stderr
    assert desk.agency.apps.read(desk.url).partner


def test_reconnecting_over_oauth_says_what_had_been_wrong(desk: Office, tmp_path: Path) -> None:
    desk.connect(0, client="acme-corp")
    desk.sandbox.uninstall(desk.portal(0), desk.app.client_id)
    assert run_cli(at(desk, "verify", "acme-corp")).returncode != 0
    done = run_cli(
        at(desk, "reconnect", "acme-corp", "--yes"), env=browser(tmp_path, desk.portal(0))
    )
    assert done.returncode == 0, done.stderr
    assert "Reconnected Acme Corp (acme-corp" in done.stdout
    assert "generation 2" in done.stdout
    assert "Calls had been stopped, and go on now." in done.stdout
    assert "uninstalled" in done.stderr
    assert desk.works("acme-corp")


def test_reconnecting_may_change_the_type(desk: Office, tmp_path: Path) -> None:
    desk.connect(0, client="acme-corp")
    done = run_cli(
        at(desk, "reconnect", "acme-corp", "--yes", "--type", "audit_only", "--json"),
        env=browser(tmp_path, desk.portal(0)),
    )
    said = json.loads(done.stdout)
    assert (said["outcome"], said["before"]["generation"]) == ("reconnected", 1)
    assert said["portal"]["connectionType"] == "audit_only"


def test_a_wider_type_is_reconnected_at_once_where_somebody_says_yes(
    desk: Office, tmp_path: Path
) -> None:
    desk.connect(0, client="acme-corp", connection_type=ConnectionType.AUDIT_ONLY)
    wider = at(desk, "set-type", "acme-corp", "config_and_audit")
    code, screen = on_terminal(wider, typed={"Change it?": "y\n", "Reconnect now?": "n\n"})
    assert code == 4
    assert "needed, and not held: crm.objects.contacts.write (or another scope to" in screen
    assert desk.agency.connection("acme-corp").cause == "scopes"
    desk.agency.verify("acme-corp")
    assert desk.agency.connection("acme-corp").status == "needs_reconnection"
    narrow = run_cli(at(desk, "set-type", "acme-corp", "audit_only", "--yes"))
    assert (narrow.returncode, desk.agency.connection("acme-corp").status) == (0, "connected")
    code, screen = on_terminal(
        wider,
        typed={"Change it?": "y\n", "Reconnect now?": "y\n", "Reconnect it as acme-corp?": "y\n"},
        more=browser(tmp_path, desk.portal(0)),
    )
    assert code == 0, screen
    there = desk.agency.connection("acme-corp")
    assert (there.connection_type, there.generation) == ("config_and_audit", 2)
    assert there.status == "connected"


def test_reconnecting_with_a_token_from_standard_input(desk: Office) -> None:
    slug = by_token(desk)
    token = desk.sandbox.issue(desk.portal(0)).token
    done = run_cli(at(desk, "reconnect", slug), stdin=f"{token}\n")
    assert done.returncode == 0, done.stderr
    assert "Reconnected Acme Corp" in done.stdout
    assert token not in done.stdout + done.stderr
    foreign = run_cli(at(desk, "reconnect", slug), stdin=desk.sandbox.portals[1].token)
    assert foreign.returncode == 1
    assert "Nothing was changed" in foreign.stderr
    nothing = run_cli(at(desk, "reconnect", slug))
    assert nothing.returncode == 2
    assert desk.agency.connection(slug).generation == 2


def test_no_secret_is_in_the_arguments_or_the_environment_of_any_process(
    desk: Office, tmp_path: Path
) -> None:
    """Looked for in /proc, of the command and of the browser, while both are there."""
    given = browser(tmp_path, desk.portal(0))
    script = Path(given["BROWSER"])
    script.write_text(
        script.read_text().replace("with httpx", "import time; time.sleep(1)\nwith httpx")
    )
    args = command(at(desk, "connect", "--client", "acme-corp", *known(desk)))
    seen: set[bytes] = set()
    with subprocess.Popen(
        args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(given)
    ) as process:
        while process.poll() is None:
            for one in Path("/proc").glob("[0-9]*"):
                try:
                    line = (one / "cmdline").read_bytes()
                    if str(desk.root).encode() in line or str(script).encode() in line:
                        seen |= {line, (one / "environ").read_bytes()}
                except OSError:
                    continue
            time.sleep(0.02)
    assert any(b"/oauth/begin/" in one for one in seen)  # the browser's, while it was there
    assert not [one for one in seen if b"code_challenge" in one or b"state=" in one]
    from hsagency.auth import Authorisation

    held = Authorisation.parse(stored_secret(desk.agency, desk.agency.connection("acme-corp")))
    secrets = [held.access.reveal(), held.refresh.reveal(), desk.app.client_secret]
    assert not [one for one in seen for secret in secrets if secret.encode() in one]
