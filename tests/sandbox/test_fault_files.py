"""Faults from a file: the same words, and where a mistake is; nothing here is HubSpot's."""

import re
from collections import Counter
from pathlib import Path

import pytest

from hsagency.errors import SandboxError
from hsagency.sandbox import Fault, Request, Sandbox
from hsagency.sandbox.control.fault_files import read_faults
from hsagency.sandbox.portals import make_portal

EXAMPLE = Path(__file__).resolve().parents[2] / "templates" / "faults.toml"


@pytest.fixture
def written(tmp_path: Path, sandbox: Sandbox):
    """Read faults from a text."""

    def read(text: str) -> tuple[Fault, ...]:
        path = tmp_path / "faults.toml"
        path.write_text(text, "utf-8")
        return read_faults(path, sandbox=sandbox)

    return read


def test_a_file_says_the_same_as_python(written, sandbox: Sandbox) -> None:
    slug = sandbox.portals[1].client_slug
    (one, other) = written(
        f"""
        [[fault]]
        kind = "status"
        status = 429
        policy = "DAILY"
        portal = "{slug}"
        route = "POST /crm/objects/{{type}}/search"
        from = 2026-10-14T12:00:00Z
        until = "2026-10-14T13:00:00+00:00"
        after = 9

        [[fault]]
        kind = "latency"
        seconds = 0.5
        """
    )
    now = sandbox.clock.now()
    assert one == Fault(
        kind="status",
        status=429,
        policy="DAILY",
        portal=slug,
        route="POST /crm/objects/{type}/search",
        since=now,
        until=now.replace(hour=13),
        after=9,
    )
    assert other == Fault(kind="latency", seconds=0.5)


@pytest.mark.parametrize(
    "rule",
    [
        'path = "/oauth/"',
        'path = "/crm/v3/schem"',
        'path = "/crm/v3/pipelines/deals/7/"',
        'path = "/oauth/v1/access-tokens/x"',
        'path = "/account-info/v3/details"',
        'route = "/crm/schemas/{anything}"',
        'method = "get"',
    ],
)
def test_a_rule_about_answers_that_name_a_portal_is_taken(written, rule: str) -> None:
    assert len(written(f'[[fault]]\nkind = "wrong_portal"\n{rule}\n')) == 1


def test_an_empty_file_has_no_faults(written) -> None:
    assert written("# nothing goes wrong\n") == ()


@pytest.mark.parametrize(
    ("mistake", "word", "why"),
    [
        ('kind = "flood"', "kind", "does not exist"),
        ("status = 503", "kind", "is missing"),
        ('kind = "status"\nstatus = 200', "status", "from 400 to 599"),
        ('kind = "status"\nstatus = "503"', "status", "must be a whole number"),
        ('kind = "burst"\ncolour = 1', "colour", "is unknown"),
        ('kind = "burst"\nseconds = 1', "seconds", "means nothing to kind burst"),
        ('kind = "burst"\nfrom = 2026-10-14T12:00:00', "from", "must name its zone"),
        ('kind = "burst"\nfrom = "noon"', "from", "cannot be read"),
        (
            'kind = "burst"\nretry_after = inf',
            "retry_after",
            "fault's retry_after must be a finite",
        ),
        ('kind = "burst"\nportal = "nobody"', "portal", "no portal 'nobody'"),
        ('kind = "burst"\nportal = "acme"', "portal", "Close to it: acme-corp"),
        ('kind = "burst"\nportalId = 7', "portal", "no portal 7"),
        ('kind = "burst"\nretry_aftr = 7', "retry_aftr", "retry_after"),
        ('kind = "burst"\nroute = "GET /crm/nothing"', "route", "no route 'GET /crm/nothing'"),
        ('kind = "burst"\nportalId = 20195990\nportal = "beta-inc"', "portal", "two portals"),
        ('kind = "burst"\npath = "crm/"', "path", "must begin with a slash"),
        (
            'kind = "burst"\nroute = "/crm/objects/{type}"\npath = "/crm/v3/lists"',
            "path",
            "no path of the route '/crm/objects/{type}' begins with '/crm/v3/lists'",
        ),
        ('kind = "burst"\nroute = "GET /crm/lists"\nmethod = "PUT"', "method", "the route's"),
        (
            'kind = "burst"\nfrom = 2026-10-14T12:00:00Z\nuntil = 2026-10-14T12:00:00Z',
            "until",
            "must be later than its beginning",
        ),
        ('kind = "status"\nstatus = 429\ncategory = "X"', "category", "nothing to status 429"),
        ('kind = "wrong_portal"\nroute = "/crm/objects/{type}"', "route", "names a portal"),
        ('kind = "wrong_portal"\npath = "/crm/v3/objects/"', "path", "names a portal"),
        ('kind = "wrong_portal"\nmethod = "DELETE"', "method", "names a portal"),
        ('kind = "wrong_portal"\nroute = "PUT /account-info/details"', "route", "names a portal"),
    ],
)
def test_a_mistake_is_named_by_file_entry_and_word(written, mistake, word, why) -> None:
    with pytest.raises(SandboxError) as raised:
        written(f'[[fault]]\nkind = "burst"\n\n[[fault]]\n{mistake}\n')
    said = str(raised.value)
    assert f"faults.toml, fault 2, {word}: " in said
    assert why in said
    assert "nothing was added" in said


@pytest.mark.parametrize(
    "text",
    ["[[fault]\n", "faults = 1\n", "fault = 1\n", "[fault]\nkind = 'burst'\n", "fault = [1]"],
)
def test_what_is_no_list_of_faults_is_refused(written, text: str) -> None:
    with pytest.raises(SandboxError, match="no fault was added"):
        written(text)


def test_a_file_that_is_not_there_or_is_not_text_is_refused(tmp_path: Path, sandbox) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("missing", "binary"):
        with pytest.raises(SandboxError, match="cannot be read"):
            read_faults(tmp_path / name, sandbox=sandbox)


def test_the_example_is_a_bad_day(sandbox: Sandbox) -> None:
    for fault in read_faults(EXAMPLE, sandbox=sandbox):
        sandbox.faults.add(fault)
    portal = sandbox.portals[0]
    headers = [("authorization", f"Bearer {portal.token}")]
    for number in range(300):
        sandbox.clock.advance(1)
        body = b'{"properties": {"email": "%d@example.com"}}' % number
        for method, path in (
            ("GET", "/crm/objects/2026-09/contacts"),
            ("POST", "/crm/v3/objects/contacts"),
            ("POST", "/crm/objects/2026-09/contacts/search"),
        ):
            sandbox.handle(Request.parse(method, path, headers=headers, body=body))
    struck = Counter((entry.fault, entry.sent) for entry in sandbox.ledger(portal.portal_id))
    kinds = {kind for kind, _ in struck}
    assert kinds == {"latency", "status", "drop_after", "reset_before", "truncated", "headers"}
    assert {429, 502, 524, None} <= {sent for _, sent in struck}
    assert struck["drop_after", None] == 1


def test_what_the_readme_shows_is_what_works(written, sandbox: Sandbox) -> None:
    readme = (EXAMPLE.parents[1] / "README.md").read_text("utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    slug = sandbox.portals[0].client_slug
    (fault,) = written(example.replace("acme-corp", slug))
    assert (fault.policy, fault.after, fault.times) == ("TEN_SECONDLY_ROLLING", 9, 1)
    assert make_portal(0, seed=0).client_slug == "acme-corp"  # so that it can be tried as it is
    (program,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
        if "from hsagency.sandbox import" in block
    )
    names: dict[str, object] = {}
    exec(program, names)
    assert len(names["server"].sandbox.faults) == 1


@pytest.mark.parametrize("bad", ["status = " + "9" * 5_000, "x = " + "[" * 5_000, "\udcff"])
def test_a_file_of_rules_that_breaks_its_reader_is_named(sandbox, tmp_path: Path, bad: str) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(f"[[fault]]\n{bad}\n", "utf-8", errors="surrogateescape")
    with pytest.raises(SandboxError, match=r"faults\.toml cannot be read .*no fault was added"):
        read_faults(path, sandbox=sandbox)
