"""The folders that lists lie in: a tree whose root, 0, has no name and never goes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hsagency.sandbox.contents.lists import ROOT, ListBook
from hsagency.sandbox.contents.state import PortalState
from hsagency.sandbox.wire import JsonObject, invalid, is_number, not_found

# How deep folders may lie: the sandbox's own choice, as an answer shows all that lies in one.
DEPTH_MAX = 50


@dataclass(slots=True)
class Folder:
    """One folder."""

    folder_id: int
    name: str | None
    parent: int
    created_at: str | None
    updated_at: str | None
    user_id: int | None


class Folders:
    """The folders of one portal; the caller holds the portal's lock."""

    def __init__(self, state: PortalState) -> None:
        self._book = state.part(ListBook)
        root = Folder(ROOT, None, ROOT, created_at=None, updated_at=None, user_id=None)
        self._folders = {ROOT: root}
        self._last = ROOT

    def get(self, folder_id: str) -> Folder:
        """Return a folder, or refuse with 404."""
        found = self._folders.get(int(folder_id)) if is_number(folder_id) else None
        if found is None:
            raise not_found(f"Folder does not exist with ID {folder_id}.")
        return found

    def create(self, name: str, *, parent: Folder, at: str, user: int) -> Folder:
        """Add a folder; ids are not used again."""
        _demand_shallow(self._depth(parent) + 1)
        self._last += 1
        made = Folder(
            self._last, name, parent.folder_id, created_at=at, updated_at=at, user_id=user
        )
        self._folders[made.folder_id] = made
        return made

    def rename(self, folder: Folder, name: str, *, at: str) -> None:
        """Give a folder another name."""
        self._demand_no_root(folder)
        folder.name, folder.updated_at = name, at

    def move(self, folder: Folder, parent: Folder, *, at: str) -> None:
        """Put a folder into another one, which must not lie inside it."""
        self._demand_no_root(folder)
        above = parent
        while above.folder_id != ROOT:
            if above is folder:
                raise invalid(f"Folder {folder.folder_id} cannot be moved into itself")
            above = self._folders[above.parent]
        _demand_shallow(self._depth(parent) + self._height(folder))
        folder.parent, folder.updated_at = parent.folder_id, at

    def delete(self, folder: Folder, now: datetime) -> None:
        """Remove a folder that nothing lies in."""
        self._demand_no_root(folder)
        if self._lists(folder, now) or self._folders_in(folder):
            raise invalid(f"Folder {folder.folder_id} is not empty")
        del self._folders[folder.folder_id]

    def shown(self, folder: Folder, now: datetime) -> JsonObject:
        """Return a folder with all that lies in it."""
        content: JsonObject = {
            "id": str(folder.folder_id),
            "parentFolderId": str(folder.parent),
            "childNodes": [self.shown(one, now) for one in self._folders_in(folder)],
            "childLists": self._lists(folder, now),
        }
        if folder.folder_id != ROOT:
            content |= {
                "name": folder.name,
                "createdAt": folder.created_at,
                "updatedAt": folder.updated_at,
                "userId": folder.user_id,
            }
        return content

    def _lists(self, folder: Folder, now: datetime) -> list[int]:
        lists = self._book.live(now)
        return [one.list_id for one in lists if one.folder == folder.folder_id]

    def _folders_in(self, folder: Folder) -> list[Folder]:
        inside = (one for one in self._folders.values() if one.folder_id != ROOT)
        return [one for one in inside if one.parent == folder.folder_id]

    def _depth(self, folder: Folder) -> int:
        """Count the folders from the root to this one; the root is 0."""
        depth = 0
        while folder.folder_id != ROOT:
            depth, folder = depth + 1, self._folders[folder.parent]
        return depth

    def _height(self, folder: Folder) -> int:
        """Count the folders from this one to the deepest in it, both among them."""
        return 1 + max((self._height(one) for one in self._folders_in(folder)), default=0)

    def _demand_no_root(self, folder: Folder) -> None:
        if folder.folder_id == ROOT:
            raise invalid("The root folder cannot be changed")


def _demand_shallow(depth: int) -> None:
    if depth > DEPTH_MAX:
        raise invalid(f"Folders cannot lie deeper than {DEPTH_MAX} levels")
