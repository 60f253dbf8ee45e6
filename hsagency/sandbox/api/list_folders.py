"""Folders of lists over HTTP."""

from __future__ import annotations

from hsagency.sandbox.bodies import demand, text
from hsagency.sandbox.call import Call
from hsagency.sandbox.contents.list_folders import Folder, Folders
from hsagency.sandbox.contents.lists import ListBook
from hsagency.sandbox.routes import Endpoint, Outcome, Route, routes_at
from hsagency.sandbox.wire import invalid

READ, WRITE = ("crm.lists.read",), ("crm.lists.write",)


def read_folder(call: Call) -> Outcome:
    """Return a folder and all below it; the root unless `folderId` says otherwise."""
    return _answer(call, _folders(call).get(call.request.param("folderId") or "0"))


def create_folder(call: Call) -> Outcome:
    """Add a folder, at the root unless `parentFolderId` says otherwise."""
    content, folders = call.content, _folders(call)
    parent = folders.get(str(content.get("parentFolderId", 0)))
    user = call.credential.user_id
    return _answer(
        call, folders.create(text(content, "name"), parent=parent, at=call.at, user=user)
    )


def rename_folder(call: Call) -> Outcome:
    """Give a folder the name in the query."""
    folder, name = _folder(call), (call.request.param("newFolderName") or "").strip()
    if not name:
        raise invalid("newFolderName is required")
    _folders(call).rename(folder, name, at=call.at)
    return _answer(call, folder)


def move_folder(call: Call) -> Outcome:
    """Put a folder into another one."""
    folder, parent = _folder(call), _folders(call).get(call.values["newParentFolderId"])
    _folders(call).move(folder, parent, at=call.at)
    return _answer(call, folder)


def delete_folder(call: Call) -> Outcome:
    """Remove an empty folder."""
    _folders(call).delete(_folder(call), call.now)
    return 204, None


def move_list(call: Call) -> Outcome:
    """Put a list into a folder."""
    content = call.content
    demand(content, "listId", "newFolderId")
    one = call.state.part(ListBook).get(str(content["listId"]), call.now)
    one.folder = _folders(call).get(str(content["newFolderId"])).folder_id
    return 204, None


def folders_routes() -> list[Route]:
    """Return the routes of this module."""
    return routes_at(
        "/crm/v3/lists/folders",
        "/crm/lists/{dated}/folders",
        tails={
            "": {"GET": Endpoint(read_folder, READ), "POST": Endpoint(create_folder, WRITE)},
            "/move-list": {"PUT": Endpoint(move_list, WRITE)},
            "/{folderId}": {"DELETE": Endpoint(delete_folder, WRITE)},
            "/{folderId}/rename": {"PUT": Endpoint(rename_folder, WRITE)},
            "/{folderId}/move/{newParentFolderId}": {"PUT": Endpoint(move_folder, WRITE)},
        },
    )


def _folders(call: Call) -> Folders:
    return call.state.part(Folders)


def _folder(call: Call) -> Folder:
    return _folders(call).get(call.values["folderId"])


def _answer(call: Call, folder: Folder) -> Outcome:
    return 200, {"folder": _folders(call).shown(folder, call.now)}
