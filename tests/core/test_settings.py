"""The workspace on disk: found where it should be, made once, private whatever the umask."""

from __future__ import annotations

import os
import re
import traceback
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsagency.agency import Agency
from hsagency.errors import CorruptFile, NewerSchema, NoWorkspace, WorkspaceError
from hsagency.settings import (
    FILE,
    Amount,
    NetworkSettings,
    Priority,
    QuotaSettings,
    Settings,
    Workspace,
)
from tests.core.conftest import Child
from tests.support import TOKEN, Connected


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Workspace.create(tmp_path / "agency", store="age:credentials", name="Ours").root


def change(root: Path, old: str, new: str) -> None:
    text = (root / FILE).read_text()
    assert old in text
    (root / FILE).write_text(text.replace(old, new))


def test_a_workspace_opens_as_it_was_made(root: Path) -> None:
    opened = Workspace.at(root).settings
    assert (opened.schema_, opened.store, opened.agency.name) == (1, "age:credentials", "Ours")
    assert (opened.proof.read_hours, opened.proof.write_minutes) == (24, 15)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(st.text("a \"'\\\n\t#=@{}[]äß漢\U0001f600\x07\x7f\u2028", max_size=12))
def test_any_name_of_an_agency_survives(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    root = tmp_path_factory.mktemp("w") / "agency"
    assert Workspace.create(root, store="age:x", name=name).settings.agency.name == name


def test_two_workspaces_have_two_names_for_their_secrets(tmp_path: Path) -> None:
    made = [Workspace.create(tmp_path / name, store="age:x") for name in "ab"]
    assert made[0].settings.workspace != made[1].settings.workspace


def test_making_one_twice_is_refused_and_changes_nothing(root: Path) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with pytest.raises(WorkspaceError, match="is a workspace already; nothing was changed"):
        Workspace.create(root, store="age:other")
    with pytest.raises(WorkspaceError, match="already"):
        Agency.create(root, store="age:other")
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_making_one_where_nobody_can_write_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="No workspace could be made") as caught:
        Workspace.create(tmp_path / "file" / "agency", store="age:x")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("written", "slots"), [("3", 3), ("10", 10), ("100", 100), ('"unlimited"', None), ("", None)]
)
def test_the_fleet_has_the_size_that_the_plan_has(
    root: Path, written: str, slots: int | None
) -> None:
    if written:
        with (root / FILE).open("a") as file:
            file.write(f"\n[fleet]\nsize = {written}\n")
    assert Workspace.at(root).settings.fleet.slots == slots


@pytest.mark.parametrize("written", ["0", "-1", "10001", "1.5", "true", '"10"', '"many"', "[]"])
def test_a_size_that_is_none_is_named_with_what_may_be_written(root: Path, written: str) -> None:
    with (root / FILE).open("a") as file:
        file.write(f"\n[fleet]\nsize = {written}\n")
    with pytest.raises(CorruptFile, match=r'from 1 to 10000, or "unlimited"') as caught:
        Workspace.at(root)
    assert "size" in caught.value.message


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("colour = 1", "there is no setting 'colour' at the top level; there are schema, "),
        (
            "[proof]\nread_hour = 1",
            "there is no setting 'read_hour' in [proof]; there are read_hours and write_minutes",
        ),
        ("[agency]\nlogo = 'x'", "there is no setting 'logo' in [agency]; there is only name"),
        (
            "[quota.clients.beta-inc]\nreserv = 1",
            "'reserv' in [quota.clients.beta-inc]; there are warn_below and reserve",
        ),
        (
            "[[forward]]\nname = 'a'\nto = 'stdout'\nevent = true",
            "'event' in table 1 of [[forward]]; there are name, to, path, logger and events",
        ),
    ],
)
def test_an_unknown_setting_is_named(root: Path, line: str, named: str) -> None:
    text = (root / FILE).read_text().partition("[agency]")[0]
    (root / FILE).write_text(f"{text}\n{line}\n")
    with pytest.raises(CorruptFile) as caught:
        Workspace.at(root)
    assert named in caught.value.message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *(("read_hours = 24", "read_hours = 0"), ("read_hours = 24", "read_hours = 10000")),
        *(("write_minutes = 15", "write_minutes = -1"), ("read_hours = 24", "read_hours = 'x'")),
        *(("schema = 1", "schema = 0"), ("schema = 1", "schema = '2'"), ("schema = 1", "")),
        *(("schema = 1", "schema = true"), ("schema = 1", "schema = 1.5")),
        *(('workspace = "', 'workspace = "../'), ('store = "age:credentials"', "")),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(root: Path, old: str, new: str) -> None:
    change(root, old, new)
    with pytest.raises(CorruptFile) as caught:
        Workspace.at(root)
    assert str(root / FILE) in caught.value.message
    assert caught.value.hint


def test_a_later_schema_is_refused_with_the_sentence(root: Path) -> None:
    change(root, "schema = 1", "schema = 2\ncolour = 1")
    with pytest.raises(NewerSchema, match="have schema 2; this hsagency reads up to 1"):
        Workspace.at(root)


@pytest.mark.parametrize("content", [b"\xff", b"a = ", b"schema = 1\nschema = 1", b"["])
def test_settings_that_cannot_be_read_are_named_and_left(root: Path, content: bytes) -> None:
    (root / FILE).write_bytes(content)
    with pytest.raises(CorruptFile, match="cannot be read"):
        Workspace.at(root)
    assert (root / FILE).read_bytes() == content


def test_a_token_among_the_settings_is_not_repeated(root: Path) -> None:
    change(root, "schema = 1", f"schema = 1\n{TOKEN} = 1")
    with pytest.raises(CorruptFile) as caught:
        Workspace.at(root)
    assert TOKEN not in str(caught.value)


def test_the_nearest_workspace_above_is_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = Workspace.create(root / "deep" / "inner", store="age:x").root
    (inner / "reports" / "x").mkdir()
    monkeypatch.chdir(inner / "reports" / "x")
    assert Workspace.find().root == inner
    monkeypatch.chdir(root / "deep")
    assert Workspace.find().root == root


def test_the_environment_names_one_and_an_argument_wins(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Workspace.create(tmp_path / "other", store="age:x").root
    monkeypatch.chdir(other)
    monkeypatch.setenv("HSAGENCY_HOME", str(root))
    assert Workspace.find().root == root
    assert Workspace.find(other).root == other
    monkeypatch.setenv("HSAGENCY_HOME", "")
    assert Workspace.find().root == other


def test_no_workspace_is_said_with_the_command_that_makes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for where in (None, tmp_path, tmp_path / "missing"):
        with pytest.raises(NoWorkspace) as caught:
            Workspace.find(where)
        assert "hsagency init" in caught.value.hint


MAKE = """
import os, sys
os.umask(int(sys.argv[2]))
from hsagency import onboarding
from hsagency.agency import Agency
from hsagency.sandbox import Sandbox, serve
from tests.support import client_list
sandbox = Sandbox(portals=2, contacts=2)
with serve(sandbox) as server, Agency.create(sys.argv[1], store="age:credentials") as agency:
    plan = onboarding.plan_file(agency, client_list(sandbox), api=server.url)
    onboarding.write_record(agency, plan)
    onboarding.apply(agency, plan, digest=plan.digest)
    slug = sandbox.portals[0].client_slug
    agency.client(slug).get("/crm/v3/objects/contacts")
    agency.verify(slug)
    from datetime import UTC, datetime
    agency.halt.set("a test.", at=datetime.now(UTC))
"""


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_everything_is_this_users_alone_whatever_the_umask(
    tmp_path: Path, child: Child, umask: int
) -> None:
    done = child(MAKE, tmp_path / "agency", umask)
    assert done.returncode == 0, done.stderr
    made = [tmp_path / "agency", *(tmp_path / "agency").rglob("*")]
    assert len(made) > 15
    open_to_others = {
        str(path.relative_to(tmp_path)): oct(path.stat().st_mode & 0o777)
        for path in made
        if path.stat().st_mode & 0o777 != (0o700 if path.is_dir() else 0o600)
    }
    assert open_to_others == {}


def test_permissions_stay_after_every_operation(fleet: Connected) -> None:
    client = fleet.agency.client(fleet.slugs[0])
    client.get("/crm/v3/objects/contacts")
    fleet.agency.verify(fleet.slugs[0])
    fleet.agency.calls().collect()
    fleet.agency.close()
    for path in fleet.agency.workspace.root.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("part", [".", "hsagency.toml", "connections.json", "notebooks"])
def test_a_workspace_that_others_may_write_to_is_refused(tmp_path: Path, part: str) -> None:
    root = tmp_path / "agency"
    Workspace.create(root, store="age:credentials")
    (root / part).chmod(0o777)
    with pytest.raises(WorkspaceError, match="Other users may write") as caught:
        Workspace.find(root)
    assert "chmod go-w" in caught.value.hint


@pytest.mark.needs("root")
def test_another_users_workspace_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "agency"
    Workspace.create(root, store="age:credentials")
    os.chown(root / "notebooks", 65534, 65534)
    with pytest.raises(WorkspaceError, match="belongs to another user"):
        Workspace.find(root)


def test_no_workspace_is_made_where_others_may_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(WorkspaceError, match="Other users may write"):
        Workspace.create(tmp_path, store="age:credentials")
    assert not (tmp_path / "hsagency.toml").exists()


def configured(root: Path, lines: str) -> Settings:
    with (root / FILE).open("a", encoding="utf-8") as file:
        file.write(f"\n{lines}\n")
    return Workspace.at(root).settings


def test_what_is_not_said_of_network_quota_and_purposes_has_a_default(root: Path) -> None:
    said = Workspace.at(root).settings
    assert (said.network.ca_bundle, said.network.proxy, said.purposes) == ("", "", {})
    assert said.quota.of("acme-corp") == (Amount(share=0.1), Amount(share=0.01))


def test_the_settings_that_stand_there_as_comments_are_valid_and_say_the_defaults(
    root: Path,
) -> None:
    text = (root / FILE).read_text("utf-8")
    sections = re.findall(r"^# \[{1,2}[a-z_.-]+\]{1,2}\n(?:# *\S.*\n)+", text, re.MULTILINE)
    lines = "".join(re.sub(r"^# ?", "", one, flags=re.MULTILINE) for one in sections)
    said = configured(root, lines.replace("HOST:PORT", "proxy.example:3128"))
    assert said.network == NetworkSettings(ca_bundle="ca.pem", proxy="http://proxy.example:3128")
    assert said.quota.of("beta-inc") == QuotaSettings().of("beta-inc")
    assert said.quota.of("acme-corp") == (Amount(count=50_000), Amount(share=0.05))
    assert said.purposes == {"data fix": Priority.HIGH, "weekly review": Priority.LOW}


@pytest.mark.parametrize(
    ("line", "amount"),
    [
        *(("0", Amount(count=0)), ("50000", Amount(count=50_000)), ('"10%"', Amount(share=0.1))),
        *(('"2.5 %"', Amount(share=0.025)), ('"0%"', Amount(share=0)), ('"100%"', Amount(share=1))),
    ],
)
def test_a_threshold_is_a_number_of_calls_or_a_share(root: Path, line: str, amount: Amount) -> None:
    settings = configured(root, f"[quota]\nwarn_below = {line}\nreserve = {line}")
    assert settings.quota.of("acme-corp") == (amount, amount)


def test_a_client_has_thresholds_of_its_own_and_else_those_of_all(root: Path) -> None:
    said = configured(root, "[quota]\nreserve = 7\n[quota.clients.acme-corp]\nwarn_below = 0")
    assert said.quota.of("acme-corp") == (Amount(count=0), Amount(count=7))
    assert said.quota.of("beta-inc") == (Amount(share=0.1), Amount(count=7))


@pytest.mark.parametrize(
    "proxy",
    [
        *("http://proxy.example:3128", "http://10.0.0.1:1/", "http://PROXY:65535"),
        *("http://proxy_1.corp.example:80", ""),
    ],
)
def test_a_proxy_is_a_host_and_a_port(root: Path, proxy: str) -> None:
    assert configured(root, f'[network]\nproxy = "{proxy}"').network.proxy == proxy


@pytest.mark.parametrize(
    "line",
    [
        *('[quota]\nwarn_below = "101%"', "[quota]\nwarn_below = -1", "[quota]\nreserve = 0.1"),
        *('[quota]\nreserve = "10"', '[quota]\nreserve = "%"', "[quota]\nreserve = true"),
        *('[quota]\nreserve = "-5%"', "[quota]\nwarn = 1", '[quota]\nreserve = "\u0661%"'),
        *("[quota.clients.Acme]\nreserve = 1", "[quota.clients.acme-corp]\nreserved = 1"),
        *('[purposes]\nx = "urgent"', "[purposes]\nx = 1", '[purposes]\nx = "High"'),
        *('[network]\nproxies = "http://p:1"', "[network]\nca_bundle = true"),
        *('[network]\nca_bundle = ["a.pem"]', "[network]\nproxy = 3128"),
    ],
)
def test_what_makes_no_sense_of_quota_purposes_and_network_is_named(root: Path, line: str) -> None:
    section = line.partition("]")[0].removeprefix("[").partition(".")[0]
    with pytest.raises(CorruptFile, match="are not valid") as caught:
        configured(root, line)
    assert section in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "proxy",
    [
        *("https://p:443", "socks5://p:1080", "p:3128", "http://p", "http://p:0", "http://p:65536"),
        *("http://p:x", "http://p:1/path", "http://p:1?a=b", "http://p:1#a", "http://:3128"),
        *("http://p q:1", "http://-:1", "HTTPS://p:1", "http://p:1\\n", "http://[::1]:3128"),
        *("http://\u0440:1", "http://p:\u0661", "direct", "http://p:3128,q:3128"),
    ],
)
def test_another_kind_of_proxy_is_refused(root: Path, proxy: str) -> None:
    with pytest.raises(CorruptFile, match="write it as http://HOST:PORT"):
        configured(root, f'[network]\nproxy = "{proxy}"')


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('[quota]\nreserve = "150%"', "'reserve' in [quota]: a share of the limit is at most 100%"),
        ("[quota]\nreserve = 'x'", "'reserve' in [quota]: write a number of calls, or a share"),
        ("[proof]\nread_hours = 0", "'read_hours' in [proof]: it should be greater than 0"),
        ("[quota.clients]\nacme = 5", "'acme' in [quota.clients]: it should be a table"),
        ("[quota.clients.Acme]\nreserve = 5", "'Acme' in [quota.clients]: it has letters that"),
        ("[purposes]\nx = 'urgent'", "'x' in [purposes]: it should be 'critical', 'high', "),
        (
            "[[forward]]\nname = 'a'\nto = 'sqlite'",
            "in table 1 of [[forward]]: sqlite needs a path",
        ),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_the_file(root: Path, line: str, words: str) -> None:
    text = (root / FILE).read_text().partition("[agency]")[0]
    (root / FILE).write_text(f"{text}\n{line}\n")
    with pytest.raises(CorruptFile) as caught:
        Workspace.at(root)
    assert words in caught.value.message
    assert "Nothing was done." in caught.value.message
    assert "Value error" not in caught.value.message


@pytest.mark.parametrize("user", ["user:geheim@", "geheim@", ":geheim@", "a:geheim%40@"])
def test_a_password_for_a_proxy_is_refused_and_not_repeated(root: Path, user: str) -> None:
    with pytest.raises(CorruptFile, match="a user name or a password") as caught:
        configured(root, f'[network]\nproxy = "http://{user}proxy.example:3128"')
    assert "geheim" not in str(caught.value)
    assert "geheim" not in "".join(traceback.format_exception(caught.value))
