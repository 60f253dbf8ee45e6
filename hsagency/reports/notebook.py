"""
Running a notebook with parameters, and cutting away what a run leaves in it.

A parameter that the notebook does not have is an error; papermill alone would only warn.
Two engines: `kernel` starts a kernel as JupyterLab does; `warm` runs the cells in this very
process, which must be one made for that notebook alone (see `worker`). The warm engine has
no widgets, no `input()`, and no way to stop one cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from hsagency.errors import ReportError
from hsagency.reports.leaks import redacted

Engine: TypeAlias = Literal["kernel", "warm"]
Value: TypeAlias = str | int | float | bool

WARM: Final = "hsagency-warm"
_RAN: Final = ("papermill", "execution")


def run_notebook(
    path: Path,
    parameters: Mapping[str, Value],
    *,
    cwd: Path,
    engine: Engine = "kernel",
    timeout: float = 600,
) -> Any:
    """
    Run a notebook and return it with its outputs; nothing is saved.

    Raises `ReportError` for a parameter that the notebook does not have and for a cell that
    fails. `timeout` holds for one cell in a kernel; a warm run is stopped by its process.
    """
    import papermill

    notebook = _read(path)
    _refuse_unknown(notebook, parameters, name=path.name)
    options: dict[str, Any] = {"engine_name": None, "execution_timeout": round(timeout)}
    if engine == "warm":
        options = {"engine_name": _warm_engine()}
    else:
        options["config"] = _encrypted()
    try:
        return papermill.execute_notebook(
            notebook,
            None,
            parameters=dict(parameters),
            kernel_name="python3",
            cwd=str(cwd),
            progress_bar=False,
            **options,
        )
    except papermill.PapermillExecutionError as error:
        message = redacted(f"{error.ename}: {error.evalue}")
        raise ReportError(
            f"{path.name} failed in cell {error.cell_index + 1}: {message}",
            hint="Open the notebook in JupyterLab with the same parameters to see where.",
        ) from None


def cleaned(notebook: Any) -> Any:
    """Remove the parameters, paths and times that a run leaves, and what only operators need."""
    for key in _RAN:
        notebook.metadata.pop(key, None)
    notebook.cells = [
        cell
        for cell in notebook.cells
        if not {"injected-parameters", "parameters", "working"} & set(cell.metadata.get("tags", []))
    ]
    for cell in notebook.cells:
        for key in _RAN:
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            # Warnings name files of this machine.
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    return notebook


def _read(path: Path) -> Any:
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError) as error:
        raise ReportError(
            f"The notebook {path.name} cannot be read; nothing was run.",
            hint="Restore it, or remove it so that the one that came with hsagency is used.",
        ) from error


def _refuse_unknown(notebook: Any, parameters: Mapping[str, Value], *, name: str) -> None:
    from papermill.inspection import inspect_notebook

    known = set(inspect_notebook(notebook))
    unknown = sorted(set(parameters) - known)
    if unknown:
        raise ReportError(
            f"{name} has no parameter {', '.join(unknown)}; it was not run.",
            hint=f"It has: {', '.join(sorted(known)) or 'none'}.",
        )


def _encrypted() -> Any:
    """What passes between this process and the kernel is not for others on the machine."""
    from traitlets.config import Config

    return Config({"KernelManager": {"transport_encryption": "required"}})


def _warm_engine() -> str:
    """Register the warm engine with papermill and return its name."""
    from papermill.engines import Engine as PapermillEngine
    from papermill.engines import papermill_engines

    class Warm(PapermillEngine):  # type: ignore[misc]  # papermill ships no types
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **_: object) -> None:
            del kernel_name
            _run_here(nb_man)

    papermill_engines.register(WARM, Warm)
    return WARM


def _run_here(manager: Any) -> None:
    """Run the cells one after the other in an interactive shell of this process."""
    shell = _shell()
    for index, cell in enumerate(manager.nb.cells):
        if cell.cell_type != "code":
            continue
        manager.cell_start(cell, index)
        cell.outputs, error = _run_cell(shell, cell.source)
        if error is not None:
            manager.cell_exception(cell, index, exception=error)
            return
        manager.cell_complete(cell, index)


def _shell() -> Any:
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False
    hook = shell.displayhook
    hook.write_output_prompt = hook.finish_displayhook = lambda: None
    return shell


def _run_cell(shell: Any, source: str) -> tuple[list[Any], BaseException | None]:
    from IPython.utils.capture import capture_output
    from nbformat import v4

    shown: list[Any] = []
    # What a cell ends with is shown as it was formatted, not printed and not formatted again.
    shell.displayhook.write_format_data = lambda data, metadata=None: shown.append(
        v4.new_output("execute_result", data=data, metadata=metadata or {})
    )
    with capture_output() as captured:
        result = shell.run_cell(source, store_history=False)
    outputs = [
        v4.new_output("stream", name=name, text=text)
        for name, text in (("stdout", captured.stdout), ("stderr", captured.stderr))
        if text
    ]
    outputs += [
        v4.new_output("display_data", data=dict(one.data), metadata=one.metadata or {})
        for one in captured.outputs
    ]
    if not source.rstrip().endswith(";"):
        outputs += shown
    error = result.error_before_exec or result.error_in_exec
    if error is not None:
        outputs.append(
            v4.new_output("error", ename=type(error).__name__, evalue=str(error), traceback=[])
        )
    return outputs, error
