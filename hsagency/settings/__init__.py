"""
The workspace: the folder an agency works in, and its `hsagency.toml`.

Folders are 0700 and files 0600. A settings file of a later schema is refused, an unknown
setting is named, and nothing is switched or repaired silently. What each section of the file
says is in `sections`.
"""

from __future__ import annotations

import os
import secrets
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from pydantic import ValidationError

from hsagency.durable import make_private_dir, write_private
from hsagency.errors import CorruptFile, NewerSchema, NoWorkspace, WorkspaceError
from hsagency.index import Index
from hsagency.misset import in_words
from hsagency.portals import redact
from hsagency.settings.sections import (
    SCHEMA,
    AgencySettings,
    Amount,
    AuditSettings,
    ClientQuotaSettings,
    CompletenessSettings,
    FleetSettings,
    ForwardSettings,
    NetworkSettings,
    Priority,
    ProofSettings,
    QuotaSettings,
    RetentionSettings,
    Settings,
)

__all__ = [
    "FILE",
    "HOME",
    "SCHEMA",
    "AgencySettings",
    "Amount",
    "AuditSettings",
    "ClientQuotaSettings",
    "CompletenessSettings",
    "FleetSettings",
    "ForwardSettings",
    "NetworkSettings",
    "Priority",
    "ProofSettings",
    "QuotaSettings",
    "RetentionSettings",
    "Settings",
    "Workspace",
    "shipped",
]

FILE: Final = "hsagency.toml"
HOME: Final = "HSAGENCY_HOME"


@dataclass(frozen=True, slots=True)
class Workspace:
    """One workspace on disk: where everything is."""

    root: Path
    settings: Settings

    @classmethod
    def find(cls, explicit: str | Path | None = None) -> Self:
        """
        Open the workspace named explicitly, by `HSAGENCY_HOME`, or nearest above.

        Raises `NoWorkspace`, `CorruptFile` or `NewerSchema`.
        """
        named = explicit or os.environ.get(HOME)
        if named:
            root = Path(named).expanduser().absolute()
            if not (root / FILE).is_file():
                raise NoWorkspace(f"{root} is not a workspace: it holds no {FILE}.")
            return cls.at(root)
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / FILE).is_file():
                return cls.at(folder)
        raise NoWorkspace(f"There is no workspace in {here} or above.")

    @classmethod
    def at(cls, root: Path) -> Self:
        """
        Open the workspace in this very folder.

        Raises `WorkspaceError` if it is another user's or others may write to it: they could
        have put in notebooks, settings or connections of their own.
        """
        for path in (root, root / FILE, root / "connections.json", root / "notebooks"):
            _refuse_foreign(path)
        return cls(root, _settings(root / FILE))

    @classmethod
    def create(cls, root: Path, *, store: str, name: str = "") -> Self:
        """
        Make a workspace in a folder that is new, empty, or holds no workspace yet.

        Its settings are written last, so that a workspace is whole or is not one.
        """
        if (root / FILE).exists():
            raise WorkspaceError(
                f"{root} is a workspace already; nothing was changed.",
                hint="Work in it with --workspace, or choose another folder.",
            )
        try:
            made = cls._lay_out(root)
            text = (shipped("templates") / FILE).read_text("utf-8")
            values = {"WORKSPACE": f"w-{secrets.token_hex(6)}", "STORE": store, "NAME": name}
            for key, value in values.items():
                text = text.replace(f"@{key}@", _toml_text(value))
            write_private(root / FILE, text.encode())
        except OSError as error:
            raise WorkspaceError(
                f"No workspace could be made in {root} ({error.strerror}).",
                hint="Choose a folder that this user may write to.",
            ) from error
        return cls(made, _settings(root / FILE))

    @staticmethod
    def _lay_out(root: Path) -> Path:
        make_private_dir(root)
        _refuse_foreign(root)
        for name in ("audit", "reports", "state"):
            make_private_dir(root / name)
        if not (root / "notebooks").exists():
            make_private_dir(root / "notebooks")
            for notebook in sorted(shipped("notebooks").glob("*.ipynb")):
                write_private(root / "notebooks" / notebook.name, notebook.read_bytes())
        example = (shipped("templates") / "clients.csv").read_bytes()
        write_private(root / "clients.example.csv", example)
        if not (root / "connections.json").exists():
            _index(root).create()
        return root

    @property
    def audit(self) -> Path:
        """Where the journals are."""
        return self.root / "audit"

    @property
    def heads(self) -> Path:
        """Where the second copy of the registers is: another disk, or a folder in here."""
        return self.root / Path(self.settings.audit.copy_).expanduser()

    @property
    def reports(self) -> Path:
        """Where reports go."""
        return self.root / "reports"

    @property
    def notebooks(self) -> Path:
        """Where the notebooks are that analysts open and reports run."""
        return self.root / "notebooks"

    @property
    def state(self) -> Path:
        """Where locks and the halt are."""
        return self.root / "state"

    @property
    def index(self) -> Index:
        """The index of connections."""
        return _index(self.root)


def shipped(kind: str) -> Path:
    """Return the folder of notebooks or templates that came with this hsagency."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / kind, package.parent / kind):  # a wheel; a checkout
        if folder.is_dir():
            return folder
    raise WorkspaceError(
        f"This installation of hsagency has no {kind}.", hint="Install hsagency again."
    )


def _refuse_foreign(path: Path) -> None:
    try:
        seen = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise WorkspaceError(
            f"{path} cannot be looked at ({error.strerror}). Nothing was done.",
            hint="Work as the user who made the workspace.",
        ) from error
    if seen.st_uid != os.geteuid():
        raise WorkspaceError(
            f"{path} belongs to another user ({seen.st_uid}), who could have put anything there. "
            "Nothing was done.",
            hint="Work in a workspace of your own: --workspace DIR, or hsagency init DIR.",
        )
    if seen.st_mode & 0o022:
        raise WorkspaceError(
            f"Other users may write to {path}. Nothing was done.",
            hint=f"Close it, and think of who could have used it: chmod go-w '{path}'",
        )


def _index(root: Path) -> Index:
    return Index(root / "connections.json", lock=root / "state" / "connections.lock")


def _settings(path: Path) -> Settings:
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptFile(
            f"The settings {path} cannot be read ({redact(str(error))}). Nothing was done.",
            hint="Correct the line it names.",
        ) from error
    schema = data.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise NewerSchema(
            f"The settings {path} have schema {schema}; this hsagency reads up to {SCHEMA}.",
            hint="Use the later hsagency that wrote them.",
        )
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise CorruptFile(
            f"The settings {path} are not valid ({redact(in_words(error, Settings))}). Nothing "
            "was done.",
            hint="Correct or remove that setting.",
        ) from None


def _toml_text(value: str) -> str:
    """Return a value as it may stand between double quotes in TOML."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in escaped)
