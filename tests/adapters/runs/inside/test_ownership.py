"""Folders that change their owner."""

import os
import stat
from pathlib import Path

import pytest

from cab.adapters.runs.inside.ownership import give, make_below, open_below
from cab.adapters.workspaces.removal import remove_tree

US = os.geteuid()
AGENT = 902
needs_root = pytest.mark.skipif(US != 0, reason="only root can give files to another user")


def owners(folder: Path) -> dict[str, int]:
    return {path.name: path.lstat().st_uid for path in folder.rglob("*")}


@needs_root
def test_all_of_it_is_given_and_links_are_not_followed(tmp_path: Path) -> None:
    """Files, folders and links change their owner; what a link leads to, and what is somebody else's, does not."""
    outside, folder = tmp_path / "outside", tmp_path / "given"
    outside.write_text("")
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_text("")
    (folder / "link").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "foreign").write_text("")
    os.chown(folder / "foreign", 4321, 4321)
    descriptor = open_below(tmp_path, "given")
    give(descriptor, AGENT, AGENT, {US})
    os.close(descriptor)
    assert owners(folder) == dict.fromkeys(("deep", "file", "link", "loop"), AGENT) | {
        "foreign": 4321
    }
    assert folder.stat().st_uid == AGENT
    assert outside.stat().st_uid == US


@needs_root
def test_a_tree_may_be_deeper_than_descriptors_and_paths(tmp_path: Path) -> None:
    """Five thousand folders in one another are given with one open folder at a time."""
    current = os.open(tmp_path, os.O_RDONLY)
    for _ in range(5000):
        os.mkdir("d", dir_fd=current)
        below = os.open("d", os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = below
    top = open_below(tmp_path, "d")
    give(top, AGENT, AGENT, {US})
    assert os.fstat(current).st_uid == AGENT
    give(top, US, US, {AGENT})
    assert os.fstat(current).st_uid == US
    os.close(current)
    os.close(top)
    assert remove_tree(tmp_path / "d")  # pytest could not


@pytest.mark.parametrize("path", ["", "/etc", "../x", "a/../../x"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    """What cab asks for stays below the folder, whatever it says."""
    for find in (open_below, make_below):
        with pytest.raises(ValueError, match="below"):
            find(tmp_path, path)


def test_a_link_on_the_way_is_refused(tmp_path: Path) -> None:
    """Neither the last part nor one before may be a link."""
    (tmp_path / "real" / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for path in ("link", "link/in"):
        for find in (open_below, make_below):
            with pytest.raises(OSError, match=r"link|directory"):
                find(tmp_path, path)


def test_missing_folders_are_the_owners_of_the_root(tmp_path: Path) -> None:
    """The way to a cell belongs to whoever has the folder of runs; a second time it is there."""
    if US == 0:
        os.chown(tmp_path, 1234, 1234)
    for _ in range(2):
        os.close(make_below(tmp_path, "sweep/agent/cell"))
    made = tmp_path / "sweep" / "agent" / "cell"
    assert {made.stat().st_uid, made.parent.stat().st_uid} == {tmp_path.stat().st_uid}
    assert stat.S_IMODE(made.stat().st_mode) & 0o002 == 0
