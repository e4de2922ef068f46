"""Opens the folders of a workspace by descriptors, so that no link leads out of it."""

import os
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_KEPT = 32  # descriptors that stay open: the next folder is mostly in one of the last


class FolderId(NamedTuple):
    """Which folder it is, whatever its name: two folders at one time never have the same."""

    device: int
    inode: int


class FolderReplaced(Exception):
    """A folder is a link, a file or another folder than it was."""


def folder_id(folder: Path) -> FolderId:
    """Return which folder a path leads to; a link is not followed.

    Raises:
        OSError: There is none.
    """
    facts = folder.lstat()
    return FolderId(facts.st_dev, facts.st_ino)


class OpenFolders:
    """The folders below a root; each part of a path is opened in the one above it.

    Args:
        root: The topmost folder.
        same: Which one it must be; None takes what is there.

    Raises:
        OSError: It cannot be opened.
        FolderReplaced: It is not that one any more.
    """

    def __init__(self, root: Path, same: FolderId | None = None) -> None:
        try:
            self._root = os.open(root, _FLAGS)
        except NotADirectoryError as error:  # a link is none either
            raise FolderReplaced(str(root)) from error
        facts = os.fstat(self._root)
        self.device = facts.st_dev
        """The file system that it is on."""
        self._open: OrderedDict[str, int] = OrderedDict()
        if same is not None and same != (facts.st_dev, facts.st_ino):
            self.close()
            raise FolderReplaced(str(root))

    def open(self, path: str) -> int:
        """Return the descriptor of a folder below the root; it is valid until the next call.

        Raises:
            OSError: It cannot be opened, or a part of the path is a link.
        """
        above, rest = path, list[str]()
        while above and above not in self._open:
            above, _, name = above.rpartition("/")
            rest.append(name)
        folder = self._open[above] if above else self._root
        for name in reversed(rest):
            folder = os.open(name, _FLAGS, dir_fd=folder)
            above = f"{above}/{name}" if above else name
            self._open[above] = folder
            if len(self._open) > _KEPT:
                os.close(self._open.popitem(last=False)[1])
        return folder

    def close(self) -> None:
        """Close all of them."""
        for folder in (self._root, *self._open.values()):
            os.close(folder)
        self._open.clear()
