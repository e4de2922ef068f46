"""Whose the folders of a container are: those of the user that its program runs as, never root."""

import os
from pathlib import Path

_IDS = (1000, 1000)
"""User and group inside, where the operator is root: unused on most machines, and never root."""


def give_folders(*folders: Path) -> str:
    """Make folders, with all that is in them, those of a container's user; return it as `uid:gid`."""
    ids = (os.getuid(), os.getgid())
    if ids[0] == 0:
        ids = _IDS
        for folder in folders:
            _give(folder, *ids)
    return f"{ids[0]}:{ids[1]}"


def _give(folder: Path, uid: int, gid: int) -> None:
    os.chown(folder, uid, gid)
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(root, name), uid, gid, follow_symlinks=False)
