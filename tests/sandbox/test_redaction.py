"""
What no ledger may hold: credentials, by their looks and by their names (facts 1.1, 1.7 and 5.3).

What is hidden and what is shown is the sandbox's choice; that such addresses hold secrets rests on
documents alone.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsagency.sandbox import Reply, Request, Sandbox
from hsagency.sandbox.api import ROUTES
from hsagency.sandbox.oauth.grants import Challenge
from hsagency.sandbox.redaction import HIDDEN, open_path, open_query
from hsagency.sandbox.serving.ledger_file import LedgerFile

CONTACTS = "/crm/objects/2026-09/contacts"
NUMBER = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
SECRETS = (f"pat-na1-{NUMBER}", f"PAT-EU1-{NUMBER}", f"na1-{NUMBER}", "C" + "Ab3-_" * 40)


def asked(sandbox: Sandbox, target: str, *, method: str = "GET", token: str | None = None) -> None:
    """Send one request; without a token as the first portal."""
    bearer = sandbox.portals[0].token if token is None else token
    headers = [("authorization", f"Bearer {bearer}")]
    sandbox.handle(Request.parse(method, target, headers=headers))


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "target",
    [
        "/{}",
        "/x/{}/y",
        "/a%2F{}",
        "/x?tokenKey={}",
        "/x?q={}",
        "/x?{}",
        "/x?a={}%20b",
        "/x?redirect_uri=http%3A%2F%2Flocalhost%2F%3Fcode%3D{}",
        "/oauth/v1/access-tokens/{}",
        "/oauth/authorize?state={}",
        CONTACTS + "/{}",
        CONTACTS + "/101?after={}",
    ],
)
@pytest.mark.parametrize("token", [None, "", "pat-na1-unknown"])
def test_no_ledger_holds_a_credential_wherever_it_was_sent(
    sandbox: Sandbox, tmp_path: Path, target: str, secret: str, token: str | None
) -> None:
    path = tmp_path / "calls.jsonl"
    with LedgerFile(path) as file:
        sandbox.watch(file.write)
        for word in (secret, quote(secret), secret.replace("-", "%2D"), quote(quote("/" + secret))):
            asked(sandbox, target.format(word), token=token)
    entries = (*sandbox.ledger(sandbox.portals[0].portal_id), *sandbox.ledger(None))
    kept = repr(entries) + path.read_text("utf-8")
    assert len(entries) == 4
    assert HIDDEN in kept
    assert secret[8:30].lower() not in kept.lower().replace("%2d", "-")


@pytest.mark.parametrize(
    "query",
    [
        "tokenKey=s3", "key=s3", "Authorization=Bearer%20s3", "q=bearer%20s3",
        "encodedOAuthRefreshToken=s3", "client-secret=s3", "CODE=s3", "%63ode=s3", "%2563ode=s3",
        "redirect_uri=http%3A%2F%2Flocalhost%2Fcb%3Fa%3Db%26code%3Ds3", "q=s3",
    ],
)  # fmt: skip
def test_a_secret_is_known_by_its_name(sandbox: Sandbox, query: str) -> None:
    asked(sandbox, f"/x?{query}")
    (entry,) = sandbox.ledger(sandbox.portals[0].portal_id)
    assert ("s3" in repr(entry.query)) == (query == "q=s3")


@pytest.mark.parametrize("method", [SECRETS[0], NUMBER, "get", "BREW", "=" + "a" * 65_000, ""])
def test_a_method_that_http_does_not_know_is_not_written_down(
    sandbox: Sandbox, method: str
) -> None:
    asked(sandbox, "/x", method=method)
    asked(sandbox, "/x", method="TRACE")
    entries = sandbox.ledger(sandbox.portals[0].portal_id)
    assert [entry.method for entry in entries] == ["(other)", "TRACE"]


@pytest.mark.parametrize("secret", [NUMBER, NUMBER.upper(), NUMBER.replace("-", "")])
@pytest.mark.parametrize(
    "target",
    [
        "/x?auth_code={}",
        "/x?app_secret={}",
        "/x?{}",
        "/x?redirect_uri=https%3A%2F%2Fx%3Fcode%3Da+{}",
        "/x/{}",
        "/x/a%2F{}",
        "/oauth/v1/refresh-tokens//{}",
        "/oauth/{}/authorize",
        "/oauth/authorize/{}",
        CONTACTS + "/{}",
        "/marketing/v3/forms/{}/x",
        "/marketing/v3/forms?after={}",
        "/marketing/v3/forms/a-{}",
    ],
)
def test_a_code_or_an_apps_secret_is_hidden_under_any_word(
    sandbox: Sandbox, target: str, secret: str
) -> None:
    for word in (secret, secret.replace("-", "%2D"), secret.replace("a", "%2561")):
        asked(sandbox, target.format(word))
    entries = (*sandbox.ledger(sandbox.portals[0].portal_id), *sandbox.ledger(None))
    assert len(entries) == 3
    for entry in entries:
        assert HIDDEN in repr((entry.path, entry.query))
        assert secret[-12:-4] not in repr(entry)


def test_what_an_app_really_has_is_hidden_where_no_name_tells_of_it(sandbox: Sandbox) -> None:
    app = sandbox.register_app("Planner", redirect_uris=["http://localhost/"])
    portal_id = sandbox.portals[0].portal_id
    code, tokens = sandbox.authorize(app, portal_id), sandbox.install(app, portal_id)
    secrets = (app.client_secret, code, tokens.refresh_token, tokens.access_token)
    for secret in secrets:
        asked(sandbox, f"/{secret}?q={secret}")
    kept = repr(sandbox.ledger(portal_id))
    assert HIDDEN in kept
    assert not [secret for secret in secrets if secret in kept]


def test_the_id_of_an_app_is_no_secret_under_its_own_name(sandbox: Sandbox) -> None:
    asked(sandbox, f"/x?client_id={NUMBER}&client_id=a-{NUMBER}")
    (entry,) = sandbox.ledger(sandbox.portals[0].portal_id)
    assert entry.query == (("client_id", NUMBER), ("client_id", f"a-{HIDDEN}"))


def test_the_id_of_a_form_is_no_secret_in_a_forms_path(sandbox: Sandbox) -> None:
    templates = [route.template for route in ROUTES if "{formId}" in route.template]
    paths = [template.replace("{formId}", NUMBER) for template in templates]
    for path in paths:
        asked(sandbox, path)
    kept = [entry.path for entry in sandbox.ledger(sandbox.portals[0].portal_id)]
    assert kept == paths != []


@pytest.mark.parametrize(
    "value",
    [
        "a=https://x?code=s3", "code=a s3", "code=\ns3", "x;code=s3", "b=c#code=s3",
        "code--------------------------------------------------------------------=s3",
    ],
)  # fmt: skip
def test_a_secret_is_known_by_its_name_inside_of_another_value(value: str) -> None:
    ((_, told),) = open_query((("next", value),))
    assert HIDDEN in told
    assert "s3" not in told


# Each starts over and over what a pattern looks for, and never ends it.
@pytest.mark.parametrize(
    "part",
    [
        "a", "a=", "pat-a", "bearer ", " ", "0a1b2c3d-4e5f-", "0", "%25", "/", "code=",
        "a" * 63 + ".",
    ],
)  # fmt: skip
def test_a_hostile_address_of_a_megabyte_holds_nobody_up(part: str) -> None:
    """In a time that grows with the square of the length, this would run for an hour."""
    word = "bearer pat- =" + part * (1_000_000 // len(part))
    assert open_path(word)
    assert open_query(((word, word),))


@given(
    path=st.lists(st.text("abz19-._~%2E", max_size=12)).map("/".join),
    query=st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9))).map(tuple),
)
def test_any_address_can_be_told_and_telling_twice_is_telling_once(path: str, query) -> None:
    assert open_path(open_path(path)) == open_path(path)
    assert open_query(open_query(query)) == open_query(query)


@pytest.mark.parametrize(
    "target",
    [
        f"{CONTACTS}/101",
        f"{CONTACTS}/jane%40example.com?idProperty=email",
        f"{CONTACTS}?limit=10&properties=firstname%2Clastname&after=151",
    ],
)
def test_an_address_without_secrets_stays_as_it_is(target: str) -> None:
    request = Request.parse("GET", target)
    assert (open_path(request.path), open_query(request.query)) == (request.path, request.query)


def test_what_holds_secrets_does_not_show_them(sandbox: Sandbox) -> None:
    secret = sandbox.portals[0].token
    request = Request.parse("GET", f"/oauth/v1/access-tokens/{secret}?client_secret={secret}")
    match = ROUTES.find(request.segments)
    visit = sandbox.desk.visit(request, match)
    challenge = Challenge(secret, "plain")
    reply = Reply(302, headers=(("Location", f"http://localhost/?code={secret}"),))
    assert match is not None
    assert visit is not None
    for thing in (request, match, visit, challenge, reply):
        assert secret not in repr(thing)
