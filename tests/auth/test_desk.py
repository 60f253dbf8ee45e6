"""What the token endpoints answer, whatever it is: tokens, or a refusal of whom it is about."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hsagency.audit.journal.writer import AuditWriter
from hsagency.audit.record import Author
from hsagency.auth import OAuthApp, TokenDesk
from hsagency.data import table
from hsagency.errors import (
    AppMisconfigured,
    AuthorisationEnded,
    BadToken,
    ConnectingError,
    HsAgencyError,
    PortalUnreachable,
    UnexpectedAnswer,
)
from hsagency.halt import Halt
from hsagency.portals import Cause
from hsagency.secret import Secret
from hsagency.settings import Workspace
from hsagency.transport import Network
from tests.support import CALLBACK, Answer, Listener, Seen, listening

APP_SECRET = "5ec2e700-0000-4000-8000-0000000000aa"
REFRESH = "na1-5ec2e700-0000-4000-8000-0000000000bb"
ACCESS = "C5ec2e7000000access"
JSON = {"Content-Type": "application/json"}
GOOD = {
    "access_token": ACCESS,
    "refresh_token": REFRESH,
    "expires_in": 1800,
    "token_type": "bearer",
    "hub_id": 123,
    "scopes": ["oauth", "crm.objects.contacts.read"],
    "user_id": 7,
}
ROWS = table("oauth")["refusal"]


def said(content: object, status: int = 200) -> Callable[[Seen], Answer]:
    return lambda _: Answer(status, JSON, json.dumps(content).encode())


@contextmanager
def desk(
    folder: Path, answer: Callable[[Seen], Answer], *, secret: str = APP_SECRET
) -> Iterator[tuple[TokenDesk, Listener]]:
    workspace = Workspace.create(folder / "w", store="age:credentials", name="")
    author = Author(actor="tests/0", user="tester", host="here", run_id="r1")
    with listening(answer) as server, AuditWriter(workspace.audit, author=author) as writer:
        app = OAuthApp(
            client_id="client",
            client_secret=Secret(secret),
            redirect_uri=CALLBACK,
            required=("oauth",),
            optional=(),
            api_base=server.url,
        )
        halt = Halt(workspace.state / "halt.json")
        network = Network(workspace.settings.network, folder=workspace.root)
        yield TokenDesk(app, writer=writer, halt=halt, network=network), server


def told(error: BaseException) -> str:
    assert error.__traceback__ is not None
    shown = error.with_traceback(error.__traceback__.tb_next)  # the test itself holds the tokens
    lines = traceback.TracebackException.from_exception(shown, capture_locals=True).format()
    return "".join(lines) + str(vars(error))


def hides(text: str) -> bool:
    return not any(one in text for one in (APP_SECRET, REFRESH, ACCESS))


def refused(folder: Path, answer: Callable[[Seen], Answer], **given: str) -> HsAgencyError:
    with desk(folder, answer, **given) as (one, _), pytest.raises(HsAgencyError) as caught:
        one.refresh(Secret(REFRESH), patience=0.0)
    assert hides(told(caught.value))
    return caught.value


def test_secrets_travel_in_the_form_to_the_dated_address(tmp_path: Path) -> None:
    with desk(tmp_path, said(GOOD)) as (one, server):
        issued = one.refresh(Secret(REFRESH))
        assert (issued.access.reveal(), issued.expires_in) == (ACCESS, 1800)
        one.exchange(Secret("c0de"), verifier=Secret("v" * 43))
        one.introspect(Secret(ACCESS))
        one.revoke(Secret(REFRESH))
    assert [(seen.method, seen.path) for seen in server.seen] == [
        ("POST", "/oauth/2026-09/token"),
        ("POST", "/oauth/2026-09/token"),
        ("POST", "/oauth/2026-09/token/introspect"),
        ("POST", "/oauth/2026-09/token/revoke"),
    ]
    for seen in server.seen:
        assert seen.header("content-type") == ["application/x-www-form-urlencoded"]
        assert seen.header("content-length") == [str(len(seen.body))]
        assert APP_SECRET.encode() in seen.body
        assert hides(f"{seen.path} {seen.headers}")
    assert b"code_verifier=" + b"v" * 43 in server.seen[1].body


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.get("marker") or row["error"])
@pytest.mark.parametrize("status", [400, 401])
def test_a_refusal_is_about_what_the_table_says(
    tmp_path: Path, row: dict[str, str], status: int
) -> None:
    name = "status" if "marker" in row else "error"
    error = refused(tmp_path, said({name: row.get("marker") or row["error"]}, status))
    wanted = {"app": AppMisconfigured, "portal": AuthorisationEnded, "code": UnexpectedAnswer}
    assert type(error) is wanted[row["about"]]
    if isinstance(error, AuthorisationEnded):
        assert (error.status_code, Cause(error.cause)) == (status, Cause(row["cause"]))
    if isinstance(error, AppMisconfigured):
        assert "connect --setup" in error.hint


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.get("marker") or row["error"])
def test_a_refused_code_connects_nothing(tmp_path: Path, row: dict[str, str]) -> None:
    name = "status" if "marker" in row else "error"
    answer = said({name: row.get("marker") or row["error"]}, 400)
    with desk(tmp_path, answer) as (one, _), pytest.raises(HsAgencyError) as caught:
        one.exchange(Secret("c0de"), verifier=Secret("v" * 43))
    wanted = AppMisconfigured if row["about"] == "app" else ConnectingError
    assert type(caught.value) is wanted


@pytest.mark.parametrize("status", [408, 423, 429, 477, 500, 502, 503, 504, 521, 524])
def test_an_outage_says_nothing_of_a_portal(tmp_path: Path, status: int) -> None:
    # Not even in the words of a refusal.
    error = refused(tmp_path, said({"status": "BAD_REFRESH_TOKEN"}, status))
    assert type(error) is PortalUnreachable
    assert str(status) in error.message


def test_nobody_there_is_an_outage(tmp_path: Path) -> None:
    error = refused(tmp_path, lambda _: Answer(200, JSON, json.dumps(GOOD).encode(), cut=20))
    assert type(error) is PortalUnreachable


@pytest.mark.parametrize("status", [403, 404, 405, 415])
def test_a_refusal_that_nobody_knows_is_no_verdict(tmp_path: Path, status: int) -> None:
    assert type(refused(tmp_path, said({"status": "BAD_WEATHER"}, status))) is UnexpectedAnswer


@pytest.mark.parametrize(
    "answer",
    [
        [],
        "text",
        {},
        GOOD | {"access_token": ""},
        GOOD | {"access_token": None},
        GOOD | {"access_token": f"{ACCESS} {ACCESS}"},
        GOOD | {"access_token": f"{ACCESS}\r\nX: 1"},
        GOOD | {"access_token": "é"},
        GOOD | {"access_token": 7},
        GOOD | {"refresh_token": "two words"},
        GOOD | {"refresh_token": ["x"]},
        GOOD | {"expires_in": 0},
        GOOD | {"expires_in": -1},
        GOOD | {"expires_in": "soon"},
        GOOD | {"expires_in": True},
        GOOD | {"hub_id": "another"},
        GOOD | {"hub_id": -5},
        GOOD | {"hub_id": 10**15},
    ],
)
def test_an_answer_that_makes_no_sense_is_not_used_and_not_shown(
    tmp_path: Path, answer: object
) -> None:
    assert type(refused(tmp_path, said(answer))) is UnexpectedAnswer


def test_an_answer_that_is_no_json_is_not_used(tmp_path: Path) -> None:
    error = refused(tmp_path, lambda _: Answer(200, {}, f"<p>{ACCESS}</p>".encode()))
    assert type(error) is UnexpectedAnswer


def test_a_refresh_token_that_is_left_out_stays(tmp_path: Path) -> None:
    answer = {name: one for name, one in GOOD.items() if name != "refresh_token"}
    with desk(tmp_path, said(answer)) as (one, _):
        assert one.refresh(Secret(REFRESH)).refresh.reveal() == REFRESH


@pytest.mark.parametrize("life", [10**18, 86_401])
def test_no_token_is_taken_to_live_for_more_than_a_day(tmp_path: Path, life: int) -> None:
    with desk(tmp_path, said(GOOD | {"expires_in": life})) as (one, _):
        assert one.refresh(Secret(REFRESH)).expires_in == 86_400


@pytest.mark.parametrize("status", [502, 503])
def test_a_renewal_that_may_have_been_lost_is_asked_for_again(tmp_path: Path, status: int) -> None:
    asked: list[Seen] = []

    def answer(seen: Seen) -> Answer:
        asked.append(seen)
        good = json.dumps(GOOD).encode()
        return Answer(status, JSON) if len(asked) == 1 else Answer(200, JSON, good)

    with desk(tmp_path, answer) as (one, _):
        assert one.refresh(Secret(REFRESH)).access.reveal() == ACCESS
    assert len(asked) == 2


def test_a_secret_that_no_form_can_hold_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    error = refused(tmp_path, said(GOOD), secret=f"{APP_SECRET}\ud800")
    assert type(error) is BadToken


def test_a_token_that_is_over_is_told_as_that(tmp_path: Path) -> None:
    with desk(tmp_path, said({"active": False, "hub_id": 5})) as (one, _):
        found = one.introspect(Secret(ACCESS))
    assert (found.active, found.portal_id) == (False, None)
