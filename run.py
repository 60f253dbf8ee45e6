#!/usr/bin/env python3
r"""
Run hsagency or its tests, in an environment that is made on the way when it is missing.

    python3 run.py demo                 the whole main job, against a simulated HubSpot
    python3 run.py test [PYTEST ARGS]   the tests; --require-all refuses to leave any out
    python3 run.py COMMAND [ARGS]       any other hsagency command

It needs Python 3.11 or newer and nothing else, and uses uv where there is one. `.venv` holds
what requirements.lock lists and `.venv-test` what tests/requirements.lock lists; every file
is checked against its hash. An environment counts as ready only when its stamp says so: the
stamp is written last, and a changed lock, Python, platform or folder makes it stale. It
cannot see packages that somebody adds or removes by hand afterwards.

Both locks are made again, after a change of the dependencies in pyproject.toml, by

    uv pip compile --universal --generate-hashes --no-header --no-annotate \
        --no-emit-index-url --no-emit-find-links --python-version 3.11 \
        pyproject.toml -o requirements.lock
    uv pip compile --universal --generate-hashes --no-header --no-annotate \
        --no-emit-index-url --no-emit-find-links --python-version 3.11 \
        --group test pyproject.toml -c requirements.lock -o tests/requirements.lock

This file must parse on every Python since 3.6, so that an old one can say that it is too old.
"""

import contextlib
import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - python3 is whatever the machine calls so
    sys.exit(
        "hsagency needs Python 3.11 or newer; this is {}.{}. Nothing was done. "
        "Start run.py with a newer one, for example: python3.12 run.py demo".format(
            *sys.version_info[:2]
        )
    )

ROOT = Path(__file__).resolve().parent
RECIPE = b"1"  # raise it when environments made by an earlier run.py no longer do


class Failed(Exception):
    """The environment could not be made; the text is for the person who ran this."""


def main(arguments: list[str]) -> None:
    """Prepare the environment and become the command, so that signals and exit codes pass."""
    if arguments[:1] == ["test"]:
        folder, lock = ROOT / ".venv-test", ROOT / "tests" / "requirements.lock"
        command = ["-m", "pytest", *arguments[1:]]
    else:
        folder, lock = ROOT / ".venv", ROOT / "requirements.lock"
        # -P: a click.py in the folder one happens to be in is not click.
        command = ["-P", "-m", "hsagency.cli", *arguments]
    try:
        prepare(folder, lock=lock)
    except (Failed, OSError) as error:
        sys.exit(f"run.py: {error}\n{folder.name} is not ready; nothing was run.")
    except KeyboardInterrupt:
        say(f"interrupted: {folder.name} is not ready and will be made afresh next time")
        sys.exit(130)
    if arguments[:1] == ["test"]:
        os.chdir(ROOT)
    # Hints show commands as this one was typed.
    os.environ["HSAGENCY_PROG"] = "python3 " + shlex.quote(sys.argv[0])
    program = str(python_of(folder))
    os.execv(program, [program, *command])  # noqa: S606 - no shell is the point


def prepare(folder: Path, *, lock: Path) -> None:
    """Make the environment unless it is ready; of several runs at once, one makes it."""
    if is_ready(folder, lock=lock):
        return
    with alone(folder) as held:
        if is_ready(folder, lock=lock):  # another run made it while this one waited
            return
        say(f"preparing {folder.name} (once, about half a minute)")
        wanted = fingerprint(lock)  # before the install: the lock may change while it runs
        stamp_of(folder).unlink(missing_ok=True)  # first: from here on it is not ready
        fill(folder, lock=lock, held=held)
        make_importable(folder, root=ROOT)
        stamp_of(folder).write_text(wanted)


def is_ready(folder: Path, *, lock: Path) -> bool:
    """Tell whether the environment was finished, from this lock, for this Python, here."""
    try:
        stamp = stamp_of(folder).read_text()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stamp == fingerprint(lock) and python_of(folder).exists()


def fingerprint(lock: Path) -> str:
    """Digest everything that an environment depends on."""
    parts = [
        RECIPE,
        lock.read_bytes(),
        str(sys.implementation.cache_tag).encode(),
        sysconfig.get_platform().encode(),
        os.fsencode(ROOT),  # an environment does not survive being moved
    ]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[int]:
    """Hold the lock file beside the folder and yield its descriptor."""
    import fcntl  # not on every platform; whoever only runs what is ready does without

    with folder.with_name(folder.name + ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another run is preparing {folder.name}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def fill(folder: Path, *, lock: Path, held: int) -> None:
    """Make an empty environment and install what the lock lists, with uv or else with pip."""
    uv = shutil.which("uv")
    if uv:
        if fill_with_uv(uv, folder, lock=lock, held=held):
            return
        say("uv could not install the packages (see above); trying pip")
    if importlib.util.find_spec("ensurepip") is None:
        raise Failed(
            "this Python cannot make environments. On Debian and Ubuntu "
            "'sudo apt install python3-venv' mends that; so does having uv."
        )
    if not fill_with_pip(folder, lock=lock, held=held):
        raise Failed(f"could not install what {lock.name} lists; the lines above say why.")


def fill_with_uv(uv: str, folder: Path, *, lock: Path, held: int) -> bool:
    """Tell whether uv made the environment."""
    install = [uv, "pip", "install", "--quiet", "--python", str(python_of(folder))]
    install += ["--compile-bytecode", "--require-hashes", "--no-build"]
    install += ["--requirement", str(lock)]
    return done(
        [uv, "venv", "--quiet", "--clear", "--python", base_python(), str(folder)], held=held
    ) and done(install, held=held)


def fill_with_pip(folder: Path, *, lock: Path, held: int) -> bool:
    """Tell whether venv and pip made the environment."""
    # -I: nothing from PYTHONPATH counts as installed. The switches undo what a pip
    # configuration may ask for and an environment of its own cannot have.
    install = [str(python_of(folder)), "-I", "-m", "pip", "install", "-qq", "--no-input"]
    install += ["--disable-pip-version-check", "--no-user", "--compile"]
    # Wheels only: what builds a source distribution would be fetched without a hash.
    install += ["--require-hashes", "--only-binary", ":all:", "--requirement", str(lock)]
    return done([base_python(), "-I", "-m", "venv", "--clear", str(folder)], held=held) and done(
        install, held=held
    )


def done(command: list[str], *, held: int) -> bool:
    """
    Tell whether a command succeeded; what it has to say goes to standard error.

    It inherits the lock: should this process be killed, the next run waits for the orphan
    instead of installing into the same folder beside it.
    """
    return subprocess.run(command, stdout=2, pass_fds=[held], check=False).returncode == 0


def make_importable(folder: Path, *, root: Path) -> None:
    """Put the project itself on the environment's path, as it is: nothing to build or copy."""
    site = Path(sysconfig.get_path("purelib", "venv", vars={"base": str(folder)}))
    (site / "hsagency.pth").write_text(f"{root}\n")


def base_python() -> str:
    """Return the Python to make environments with: never that of one about to be cleared."""
    in_environment = sys.prefix != sys.base_prefix
    return os.path.realpath(sys.executable) if in_environment else sys.executable


def python_of(folder: Path) -> Path:
    """Return the environment's Python."""
    return folder / "bin" / "python"


def stamp_of(folder: Path) -> Path:
    """Return the file that says the environment is finished, and what it was made from."""
    return folder / ".ready"


def say(text: str) -> None:
    """Tell the person on standard error, so that standard output stays the command's own."""
    print(f"run.py: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
