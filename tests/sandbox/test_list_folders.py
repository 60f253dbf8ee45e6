"""Folders of lists, from documents alone (facts 5.1)."""

from __future__ import annotations

import pytest

from hsagency.sandbox.contents.list_folders import DEPTH_MAX
from tests.sandbox.asking import Asking
from tests.sandbox.listing import (
    DATED,
    GUESTS,
    OLD,
    create,
    refused,
)


def test_folders_are_made_moved_and_renamed_and_hold_lists(ask: Asking) -> None:
    """From documents alone."""
    path = f"{DATED}/folders"
    outer = ask("POST", path, {"name": "2026"})[1]["folder"]
    inner = ask("POST", path, {"name": "May", "parentFolderId": outer["id"]})[1]["folder"]
    assert ask("PUT", f"{path}/{inner['id']}/rename?newFolderName=June")[0] == 200
    body = {"listId": GUESTS, "newFolderId": inner["id"]}
    assert ask("PUT", f"{path}/move-list", body) == (204, None)
    id_ = create(ask, "VIP", listFolderId=int(outer["id"]))
    root = ask("GET", path)[1]["folder"]
    assert (root["id"], root["childLists"]) == ("0", [1, 3])
    assert root["childNodes"][0]["childLists"] == [int(id_)]
    seen = ask("GET", f"{path}?folderId={inner['id']}")[1]["folder"]
    assert (seen["name"], seen["parentFolderId"], seen["childLists"]) == ("June", outer["id"], [2])
    moved = ask("PUT", f"{path}/{inner['id']}/move/0")
    assert (moved[0], moved[1]["folder"]["parentFolderId"]) == (200, "0")
    assert ask("GET", f"{path}?folderId={outer['id']}")[1]["folder"]["childNodes"] == []


def test_a_folder_goes_when_it_is_empty(ask: Asking) -> None:
    """An assumption: no document says what becomes of the lists in a deleted folder."""
    path = f"{OLD}/folders"
    folder = ask("POST", path, {"name": "2026"})[1]["folder"]["id"]
    ask("PUT", f"{path}/move-list", {"listId": GUESTS, "newFolderId": folder})
    refused(ask("DELETE", f"{path}/{folder}"), 400, "not empty")
    ask("PUT", f"{path}/move-list", {"listId": GUESTS, "newFolderId": "0"})
    assert ask("DELETE", f"{path}/{folder}") == (204, None)
    refused(ask("GET", f"{path}?folderId={folder}"), 404)


def test_a_folder_is_not_put_into_itself_and_the_root_stays(ask: Asking) -> None:
    path = f"{OLD}/folders"
    outer = ask("POST", path, {"name": "outer"})[1]["folder"]["id"]
    inner = ask("POST", path, {"name": "inner", "parentFolderId": outer})[1]["folder"]["id"]
    refused(ask("PUT", f"{path}/{outer}/move/{inner}"), 400, "into itself")
    for method, target in (
        ("DELETE", "0"),
        ("PUT", "0/rename?newFolderName=x"),
        ("PUT", f"0/move/{inner}"),
    ):
        refused(ask(method, f"{path}/{target}"), 400, "root folder")
    refused(ask("PUT", f"{path}/{outer}/rename"), 400, "newFolderName")
    refused(ask("POST", path, {"name": "x", "parentFolderId": "99"}), 404, "99")


def test_folders_lie_so_deep_and_no_deeper(ask: Asking) -> None:
    """An assumption: an answer shows a folder with all that is in it, however deep."""

    def made(parent: str) -> tuple[int, str]:
        status, said = ask("POST", f"{OLD}/folders", {"name": "x", "parentFolderId": parent})
        return status, said["folder"]["id"] if status == 200 else ""

    chain = ["0"]
    for _ in range(DEPTH_MAX):
        status, id_ = made(chain[-1])
        assert status == 200
        chain.append(id_)
    assert made(chain[-1])[0] == 400
    assert ask("PUT", f"{OLD}/folders/{chain[1]}/rename?newFolderName=y")[0] == 200
    _, lone = made("0")
    _, inner = made(lone)
    assert ask("PUT", f"{OLD}/folders/{lone}/move/{chain[-2]}")[0] == 400
    assert ask("PUT", f"{OLD}/folders/{inner}/move/{chain[-2]}")[0] == 200
    assert ask("PUT", f"{OLD}/folders/{lone}/move/{chain[-2]}")[0] == 200


@pytest.mark.parametrize("name", ["hs_folder_name", "hs_list_size"])
def test_a_list_outlives_its_folder(ask: Asking, name: str) -> None:
    """An assumption: a list comes back at the root."""
    _, folder = ask("POST", f"{OLD}/folders", {"name": "Old"})
    folder_id = folder["folder"]["id"]
    new = {"name": "Kept", "objectTypeId": "0-1", "processingType": "MANUAL"}
    _, made = ask("POST", OLD, new | {"listFolderId": folder_id})
    path = f"{OLD}/{made['list']['listId']}"
    assert ask("DELETE", path)[0] == 204
    assert ask("DELETE", f"{OLD}/folders/{folder_id}")[0] == 204
    assert ask("PUT", f"{path}/restore")[0] == 204
    status, found = ask("POST", f"{OLD}/search", {"query": "Kept", "additionalProperties": [name]})
    assert (status, found["total"]) == (200, 1)
    _, root = ask("GET", f"{OLD}/folders")
    assert int(made["list"]["listId"]) in root["folder"]["childLists"]
