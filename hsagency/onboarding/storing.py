"""
The secrets of an onboarding: put, read back, taken back, dropped; never another workspace's.

A store outside the workspace may hold the secrets of a second workspace with the same id, if
one was made by copying the other. What is there and was not put there by this one is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import orjson

from hsagency.agency import Agency
from hsagency.auth import key_of
from hsagency.credentials import SecretName
from hsagency.durable import write_private
from hsagency.errors import Conflict, CredentialError, CredentialMissing, HsAgencyError
from hsagency.onboarding.judging import Decision, Judgement, bad, secret_name
from hsagency.onboarding.rows import BadRow
from hsagency.portals import ClientSlug
from hsagency.progress import Step
from hsagency.settings import Workspace

STORED: Final = (Decision.NEW, Decision.REPLACE)
"""The decisions that put a secret into the store."""
_NOTE: Final = "storing.json"


class Secrets:
    """What one onboarding does in the store; `known` is the fingerprint of each stored secret."""

    def __init__(self, agency: Agency, *, known: Mapping[ClientSlug, str]) -> None:
        self._agency, self._known = agency, known
        self._put: list[SecretName] = []  # where nothing was before
        self._note = agency.workspace.state / _NOTE
        self._begun: Mapping[str, str] = {}  # what runs that broke off may have put
        self._now: frozenset[str] = frozenset()  # what this one may have put

    def begin(self, judgements: Iterable[Judgement]) -> None:
        """Write down which secrets will be put, and read what earlier runs had written down."""
        self._begun = noted(self._agency.workspace)
        now = {
            str(secret_name(self._agency, one.connection)): one.connection.fingerprint
            for one in judgements
            if one.decision in STORED and one.connection is not None
        }
        self._now = frozenset(now)
        if now:
            self._write({**self._begun, **now})

    def settled(self) -> None:
        """Forget what this run wrote down: the index names what was put."""
        if self._now:
            self._write({name: one for name, one in self._begun.items() if name not in self._now})

    def _write(self, secrets: Mapping[str, str]) -> None:
        write_private(self._note, orjson.dumps({"schema": 1, "secrets": secrets}))

    def store(self, one: Judgement, step: Step) -> Judgement:
        """Put a row's secret, if it has one; a row whose secret cannot be kept is refused."""
        if one.decision not in STORED or one.connection is None or one.secret is None:
            return one
        name = secret_name(self._agency, one.connection)
        try:
            there = self._fingerprint(name)
            if there in (None, self._begun.get(str(name))):
                self._put.append(name)
            elif there != key_of(one.secret).fingerprint:
                raise _somebody_elses(name)
            self._agency.store.put(name, one.secret)
        except CredentialError as error:
            row = BadRow(line=one.line, slug=one.slug, cause="")
            return bad(row, error.message.rstrip("."), error.hint)
        finally:
            step(1)
        return one

    @contextmanager
    def taken_back(self) -> Iterator[None]:
        """Whatever ends this, delete what was put and no index names, and say so in the error."""
        try:
            yield
        except BaseException as error:
            became = self._take_back() if self._put else ""
            if isinstance(error, HsAgencyError):
                error.message = f"{error.message} {became}".rstrip()
            raise

    def _take_back(self) -> str:
        """Delete what this run has put and no index names; return what became of it."""
        try:
            connections = self._agency.index.read().connections
        except HsAgencyError:  # nobody can say who lives by them
            return f"The secrets that were stored stay: {', '.join(map(str, self._put))}."
        generations = {slug: one.generation for slug, one in connections.items()}
        left: list[str] = []
        ours = [one for one in self._put if generations.get(ClientSlug(one.slug)) != one.generation]
        for name in ours:
            try:
                self._agency.store.delete(name)
            except CredentialError:
                left.append(str(name))
        if left:
            return f"Of the secrets that were stored, these are still there: {', '.join(left)}."
        with suppress(OSError):  # the note may say too much: it allows nothing by itself
            self.settled()
        return f"The secrets that were stored for it ({len(ours)}) were deleted again."

    def drop_old(self, one: Judgement) -> Judgement:
        """Drop a secret that was replaced, by this run or by one that broke off before it could."""
        connection = one.connection
        replaced = one.decision in (Decision.REPLACE, Decision.CURRENT)
        if not replaced or connection is None or connection.generation == 1:
            return one
        name = secret_name(self._agency, connection, generation=connection.generation - 1)
        try:
            if one.decision is Decision.REPLACE:
                there = self._fingerprint(name)
                if there not in (None, self._known.get(connection.client_slug)):
                    raise _somebody_elses(name)
            self._agency.store.delete(name)
        except CredentialError as error:
            warning = f"the credential it replaces may still be in the store: {error}".rstrip(".")
            return replace(one, warnings=(*one.warnings, warning))
        return one

    def _fingerprint(self, name: SecretName) -> str | None:
        try:
            return key_of(self._agency.store.get(name)).fingerprint
        except CredentialMissing:
            return None


def noted(workspace: Workspace) -> Mapping[str, str]:
    """Return the fingerprints of the secrets that runs may have put and did not finish, by name."""
    try:
        said = orjson.loads((workspace.state / _NOTE).read_bytes())["secrets"]
        return {str(name): str(fingerprint) for name, fingerprint in said.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _somebody_elses(name: SecretName) -> CredentialError:
    return CredentialError(
        f"The store holds a secret under {name} that this workspace knows nothing of. It was left "
        "as it is.",
        hint="Does a copy of this workspace use the same store? Give each a store of its own. If "
        "an onboarding broke off here, run it again with the credential it had.",
    )


def refuse_a_copy(workspace: Workspace) -> None:
    """
    Raise `Conflict` if this workspace is a copy of one that is still there, with one store.

    Where a workspace is, it writes down when secrets are stored; a copy finds the other there.
    """
    note, root = workspace.state / "home.json", workspace.root.resolve()
    other = _home(note)
    if other != root:
        if (
            other is not None
            and not _is_inside(workspace.settings.store)
            and _same(workspace, other)
        ):
            raise Conflict(
                f"This workspace is a copy of {other} and uses the same store under the same id; "
                "nothing was stored.",
                hint="Work there, or make a workspace of its own: hsagency init DIR.",
            )
        write_private(note, orjson.dumps({"schema": 1, "root": str(root)}))


def _home(note: Path) -> Path | None:
    try:
        return Path(orjson.loads(note.read_bytes())["root"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _is_inside(store: str) -> bool:
    """Say whether the secrets are in the folder of the workspace, and are copied with it."""
    return store.startswith("age:") and not store.startswith(("age:/", "age:~"))


def _same(workspace: Workspace, other: Path) -> bool:
    """Whether another folder is a workspace with this one's id, and not this one renamed."""
    try:
        there = Workspace.find(other)
    except HsAgencyError:
        return False
    same = there.settings.workspace == workspace.settings.workspace
    return same and not there.root.samefile(workspace.root)
