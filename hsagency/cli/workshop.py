"""Commands that set things up: demo, init, lab, sandbox."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from hsagency.cli.common import Shared, as_json, program, shared
from hsagency.errors import UsageError

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(short_help="Run the whole main job against the sandbox.")
@click.option("--portals", default=12, show_default=True, help="How many clients.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("hsagency-demo"),
    show_default=True,
    help="Where; an earlier demo there is made anew, anything else is left alone.",
)
@shared
def demo(common: Shared, *, portals: int, folder: Path) -> None:
    """
    Run the whole main job against the sandbox: from a list of clients to reports.

    Nothing leaves this machine, and what it starts it stops.

    \b
    Example:
      hsagency demo --portals 12 --dir hsagency-demo
    """
    from hsagency.demo import run_demo, things_to_try

    if common.workspace or common.store:
        raise UsageError("The demo makes its own workspace: say where with --dir.")
    made = run_demo(folder, portals=portals, say=common.say, progress=common.progress)
    click.echo(f"Everything is linked from {made.index}")
    click.echo("Three things to try:")
    for thing in things_to_try(made):
        click.echo(f"  {program()} {thing}")
    click.echo("To call its clients as well, start their sandbox again:")
    click.echo(f"  {program()} sandbox {made.sandbox}")


@click.command(short_help="Make a workspace.")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", default="", help="The agency's name, for reports.")
@shared
def init(common: Shared, *, folder: Path, name: str) -> None:
    """
    Make a workspace: settings, an empty index, the notebooks, and a store for secrets.

    The store is chosen here, once: the system keyring if there is a safe one, else files
    encrypted with age. --store says which.

    \b
    Example:
      hsagency init my-agency --name "Example Agency"
    """
    from hsagency.agency import Agency

    if common.workspace:
        raise UsageError("The workspace to make is named by DIR. Nothing was made.")
    others = folder.is_dir() and any(folder.iterdir())
    with Agency.create(folder, store=common.store, name=name) as agency:
        click.echo(f"Workspace made: {agency.workspace.root}")
        click.echo(f"Secrets are kept in: {agency.store.describe()}")
        if others:
            common.say("The folder held other files; they were left alone.")
        common.say(
            f"Next: fill in a client list like {agency.workspace.root / 'clients.example.csv'}, "
            f"then {program()} onboard FILE --dry-run --workspace {folder}"
        )
        common.say(
            f"Or over OAuth: {program()} connect --setup --workspace {folder}, once, then "
            f"{program()} connect"
        )


@click.command(
    short_help="Open the workspace in JupyterLab.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@shared
def lab(common: Shared, *, options: tuple[str, ...]) -> None:
    """
    Open the workspace in JupyterLab, on this machine only and with kernel traffic encrypted.

    OPTIONS go to JupyterLab as they are.

    \b
    Examples:
      hsagency lab
      hsagency lab --no-browser --port 8890
    """
    with common.agency() as agency:
        root = agency.workspace.root
        settings = _lab_settings(agency.workspace.state / "lab")
    command = [
        sys.executable,
        "-P",  # a jupyterlab.py in the workspace is not JupyterLab
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={root}",
        "--ServerApp.ip=127.0.0.1",
        "--KernelManager.transport_encryption=required",
        # A client list that is deleted is to be gone.
        "--FileContentsManager.delete_to_trash=False",
        # Nothing is fetched from elsewhere.
        "--LabApp.news_url=None",
        f"--LabApp.app_settings_dir={settings}",
        "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        *(["--allow-root"] if os.geteuid() == 0 else []),
        *options,
    ]
    os.chdir(root)
    os.execve(sys.executable, command, {**os.environ, "HSAGENCY_HOME": str(root)})  # noqa: S606  (no shell is wanted)


def _lab_settings(folder: Path) -> Path:
    """Write the settings of a JupyterLab that asks nobody about news; return their folder."""
    import orjson

    from hsagency.durable import make_private_dir, write_private

    quiet = {"fetchNews": "false", "checkForUpdates": False}
    overrides = {"@jupyterlab/apputils-extension:notification": quiet}
    write_private(make_private_dir(folder) / "overrides.json", orjson.dumps(overrides))
    return folder


@click.command(short_help="Serve a simulated HubSpot on this machine.")
@click.option("--portals", default=25, show_default=True, help="How many portals to simulate.")
@click.option(
    "--contacts", default=40, show_default=True, help="How many contacts each portal starts with."
)
@click.option("--seed", default=0, show_default=True, help="The same seed makes the same portals.")
@click.option("--port", default=0, help="The port on 127.0.0.1; 0 takes a free one.")
@click.option("--csv", type=_FILE, help="Write the client list that onboards them into this file.")
@click.option("--faults", type=_FILE, help="What goes wrong, as a file of [[fault]] tables.")
@click.option("--ledger", type=_FILE, help="Write each call into this new file, as JSON lines.")
@click.option(
    "--tls",
    is_flag=False,
    flag_value="good",
    type=click.Choice(["good", "expired", "not-yet-valid", "wrong-name", "untrusted"]),
    help="Speak HTTPS, with this certificate; alone it means a good one. hsagency trusts it where "
    "[network] ca_bundle in hsagency.toml names the file that is printed.",
)
@click.option(
    "--at",
    metavar="TIME",
    help="Let its clock stand still at this time. What a limit counts never ends then: add "
    "--speed or --no-limits, or move the clock over the control API.",
)
@click.option(
    "--speed",
    type=float,
    metavar="N",
    help="Let its clock run N times as fast as time, from now or from --at.",
)
@click.option(
    "--no-limits",
    "limits",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Count every call, and refuse none for being one too many.",
)
@click.option("--routes", is_flag=True, help="List what is simulated, and stop.")
@as_json
@shared
def sandbox(common: Shared, *, routes: bool, as_json: bool, **options: Any) -> None:
    """
    Serve a simulated HubSpot on this machine until it is interrupted.

    It answers account information and activity, records, search, batches, associations,
    properties, pipelines, schemas, lists, owners, forms, workflows, exports, communication
    preferences and OAuth, in old and dated paths; --routes lists them all, and any other path is
    a 404 that says so.

    --faults FILE makes trouble from the start (templates/faults.toml is a bad day at HubSpot). The
    control API does so while it runs, with the key that it prints: for example
    POST /_sandbox/faults {"kind": "status", "status": 503, "times": 2}.
    GET /_sandbox/ lists its calls.

    \b
    Examples:
      hsagency sandbox --portals 25 --csv clients.csv
      hsagency sandbox --port 9000 --seed 1 --faults faults.toml --ledger calls.jsonl
      hsagency sandbox --at 2026-11-01T05:00:00+00:00 --speed 60
      hsagency sandbox --tls expired
      hsagency sandbox --routes --json
    """
    from hsagency.sandbox import run
    from hsagency.sandbox.serving.running import said
    from hsagency.sandbox.surface import surface_as_text

    if common.workspace or common.store:
        raise UsageError(
            "A sandbox has no workspace and no store: leave out --workspace and --store. Nothing "
            "was started."
        )
    if as_json and not routes:
        raise UsageError("--json goes with --routes. Nothing was started.")
    if routes:
        if beside := said(options):
            raise UsageError(
                f"--routes only lists, so leave out {', '.join(beside)}. Nothing was started."
            )
        click.echo(surface_as_text(as_json=as_json))
        return
    run(
        **options,
        announce=click.echo,
        quiet=common.quiet,
        program=program(),
        command=f"{program()} sandbox",
    )


COMMANDS = (demo, init, lab, sandbox)
