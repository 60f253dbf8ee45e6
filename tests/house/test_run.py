"""
run.py as it is used: a copy of it in a small project of its own, a real pip, no network.

The one package of the project's lock is made here, so nothing is fetched.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

COMMAND_LINE = """
import os, sys, tiny
print(os.environ["HSAGENCY_PROG"], tiny.ANSWER, *sys.argv[1:])
sys.exit(7 if "seven" in sys.argv else 0)
"""
WHEEL = {
    "tiny.py": "ANSWER = 42\n",
    "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
    "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tiny-1.0.dist-info/RECORD": "",
}


class Project:
    """A folder with run.py, a lock and a command line that says how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = folder / ".venv"
        self.lock = folder / "requirements.lock"
        wheel = folder / "wheels" / "tiny-1.0-py3-none-any.whl"
        wheel.parent.mkdir(parents=True)
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, text in WHEEL.items():
                archive.writestr(name, text)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        self.lock.write_text(f"tiny==1.0 \\\n    --hash=sha256:{digest}\n")
        (folder / "hsagency").mkdir()
        (folder / "hsagency" / "cli.py").write_text(COMMAND_LINE)
        shutil.copy(ROOT / "run.py", folder)

    def start(self, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        environment = dict(
            os.environ, PIP_NO_INDEX="1", PIP_FIND_LINKS=(self.folder / "wheels").as_uri()
        )
        environment |= {"PATH": "/usr/bin:/bin", "PIP_USER": "1"}  # as some configurations have it
        return subprocess.Popen(
            [sys.executable, str(self.folder / "run.py"), *arguments],
            cwd=cwd or self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str, cwd: Path | None = None) -> tuple[int, str, str]:
        return finish(self.start(*arguments, cwd=cwd))


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate()
    return process.returncode, out, err


def load(path: Path) -> object:
    spec = spec_from_file_location("run", path)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def killed_then_started_twice(tmp_path_factory) -> tuple[Project, list[tuple[int, str, str]]]:
    project = Project(tmp_path_factory.mktemp("run") / "a folder")
    killed = project.start("portals")
    assert "preparing" in killed.stderr.readline()
    killed.kill()
    killed.communicate()
    pair = [project.start("portals", "seven"), project.start("quota")]
    return project, [finish(process) for process in pair]


def test_after_a_killed_run_one_of_two_prepares_and_both_work(killed_then_started_twice) -> None:
    project, ((code, out, err), (other_code, other_out, other_err)) = killed_then_started_twice
    typed = shlex.quote(str(project.folder / "run.py"))
    assert (code, out) == (7, f"python3 {typed} 42 portals seven\n")
    assert (other_code, other_out) == (0, f"python3 {typed} 42 quota\n")
    assert f"{err}{other_err}".count("preparing .venv (once") == 1


def test_what_is_ready_is_used_from_any_folder_without_a_word(
    killed_then_started_twice, tmp_path
) -> None:
    project, _ = killed_then_started_twice
    typed = shlex.quote(str(project.folder / "run.py"))
    (tmp_path / "tiny.py").write_text("ANSWER = 'somebody else\\'s'")
    assert project.run("call", cwd=tmp_path) == (0, f"python3 {typed} 42 call\n", "")


def test_what_is_installed_is_compiled(killed_then_started_twice) -> None:
    project, _ = killed_then_started_twice
    assert list(project.environment.glob("lib/*/site-packages/__pycache__/tiny.*.pyc"))


def test_a_changed_lock_makes_the_environment_stale(killed_then_started_twice) -> None:
    project, _ = killed_then_started_twice
    run = load(project.folder / "run.py")
    assert run.is_ready(project.environment, lock=project.lock)
    before = project.lock.read_bytes()
    project.lock.write_bytes(before + b"\n")
    stale = run.is_ready(project.environment, lock=project.lock)
    project.lock.write_bytes(before)
    assert not stale


def test_an_environment_without_its_stamp_or_its_python_is_not_ready(tmp_path) -> None:
    run = load(ROOT / "run.py")
    folder, lock = tmp_path / ".venv", tmp_path / "a.lock"
    lock.write_text("tiny==1.0\n")
    assert not run.is_ready(folder, lock=lock)
    run.python_of(folder).parent.mkdir(parents=True)
    run.python_of(folder).symlink_to(sys.executable)
    assert not run.is_ready(folder, lock=lock)
    run.stamp_of(folder).write_text(run.fingerprint(lock))
    assert run.is_ready(folder, lock=lock)
    run.python_of(folder).unlink()
    run.python_of(folder).symlink_to(tmp_path / "uninstalled")
    assert not run.is_ready(folder, lock=lock)


def test_a_copied_project_does_not_use_the_environment_of_the_first(tmp_path) -> None:
    lock = tmp_path / "a.lock"
    lock.touch()
    shutil.copy(ROOT / "run.py", tmp_path)
    assert load(ROOT / "run.py").fingerprint(lock) != load(tmp_path / "run.py").fingerprint(lock)


def test_a_package_that_is_not_what_the_lock_says_is_never_used(tmp_path) -> None:
    project = Project(tmp_path / "p")
    with (tmp_path / "p" / "wheels" / "tiny-1.0-py3-none-any.whl").open("ab") as wheel:
        wheel.write(b"\0")
    code, out, err = project.run("portals")
    assert (code, out) == (1, "")
    assert err.endswith(".venv is not ready; nothing was run.\n")
    assert "HASHES" in err
    assert not load(project.folder / "run.py").is_ready(project.environment, lock=project.lock)


def test_a_missing_lock_is_said_in_one_line(tmp_path) -> None:
    project = Project(tmp_path / "p")
    project.lock.unlink()
    code, _, err = project.run("portals")
    assert code == 1
    assert "Traceback" not in err
    assert "requirements.lock" in err


def test_an_old_python_can_read_far_enough_to_refuse() -> None:
    assert ast.parse((ROOT / "run.py").read_text("utf-8"), feature_version=(3, 6))


def test_an_old_python_is_refused_in_one_line() -> None:
    pretend = (
        "import runpy, sys; sys.version_info = (3, 8, 18, 'final', 0); "
        f"runpy.run_path({str(ROOT / 'run.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", pretend], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("hsagency needs Python 3.11 or newer; this is 3.8.")
    assert done.stderr.count("\n") == 1
