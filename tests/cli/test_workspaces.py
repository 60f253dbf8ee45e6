"""Which workspace and which store a command works in, and how one is made."""

from __future__ import annotations

from pathlib import Path

from tests.commands import run_cli


def made(path: Path, *more: str) -> Path:
    done = run_cli(["init", path, "--store", "age:credentials", "--quiet", *more])
    assert done.returncode == 0, done.stderr
    return path


def test_init_makes_a_workspace_says_where_secrets_go_and_what_is_next(tmp_path: Path) -> None:
    done = run_cli(["init", "mine", "--store", "age:credentials", "--name", "Zoë's"], cwd=tmp_path)
    assert done.returncode == 0
    assert f"Workspace made: {tmp_path / 'mine'}" in done.stdout
    assert "Secrets are kept in: Encrypted files in" in done.stdout
    assert "That does not keep out" in done.stdout
    assert "onboard FILE --dry-run --workspace mine" in done.stderr
    assert "connect --setup --workspace mine" in done.stderr
    assert (tmp_path / "mine" / "clients.example.csv").is_file()
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o700
    before = (tmp_path / "mine" / "hsagency.toml").read_bytes()
    again = run_cli(["init", "mine"], cwd=tmp_path)
    assert again.returncode == 1
    assert "is a workspace already; nothing was changed" in again.stderr
    assert (tmp_path / "mine" / "hsagency.toml").read_bytes() == before


def test_the_workspace_is_the_one_named_else_the_environments_else_the_nearest(
    tmp_path: Path,
) -> None:
    one, two, three = (made(tmp_path / name) for name in ("one", "two", "three"))
    inside = three / "reports"
    env = {"HSAGENCY_HOME": str(two)}

    def asked(args: list[str | Path], env: dict[str, str]) -> str:
        """Import a record, and return the names of the workspaces that have it by then."""
        record = '{"ts":"2026-05-01T10:00:00Z","portalId":1,"clientSlug":"old","method":"GET",'
        record += '"path":"/crm/v3/objects/contacts","statusCode":200,"durationMs":1}\n'
        (tmp_path / "log.jsonl").write_text(record, "utf-8")
        done = run_cli(["audit", "import", tmp_path / "log.jsonl", *args], cwd=inside, env=env)
        assert done.returncode == 0, done.stderr
        return "".join(root.name for root in (one, two, three) if (root / "audit" / "old").is_dir())

    assert asked([], {}) == "three"
    assert asked([], env) == "twothree"
    assert asked(["--workspace", one], env) == "onetwothree"


def test_a_folder_that_is_no_workspace_is_told_as_that(tmp_path: Path) -> None:
    done = run_cli(["portals", "--workspace", tmp_path])
    assert done.returncode == 1
    assert f"{tmp_path} is not a workspace: it holds no hsagency.toml" in done.stderr
    assert "hsagency init DIR" in done.stderr


def test_the_store_is_never_switched(tmp_path: Path) -> None:
    root = made(tmp_path / "one")
    same = run_cli(["portals", "--store", "age:credentials", "--workspace", root])
    assert same.returncode == 0
    other = run_cli(["portals", "--store", "age:elsewhere", "--workspace", root])
    assert other.returncode == 2
    assert "keeps its secrets in age:credentials, not in age:elsewhere" in other.stderr
    assert not (root / "elsewhere").exists()


def test_without_connections_it_says_how_to_make_some(tmp_path: Path) -> None:
    root = made(tmp_path / "one")
    done = run_cli(["portals", "--workspace", root])
    assert (done.returncode, done.stdout) == (0, "")
    assert "hsagency onboard clients.csv" in done.stderr
    assert run_cli(["portals", "--quiet", "--workspace", root]).stderr == ""
