"""Makes the tree manifest of a workspace: links are not followed, and nothing in it is trusted."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cab.scoring.evidence.manifest import TreeEntry, TreeManifest

_GIT = ".git"


def walk_tree(root: Path) -> TreeManifest:
    r"""Return the manifest of a folder.

    Symbolic links are recorded, never followed. What is inside a `.git` is not listed. A file that
    cannot be read, and anything that is not a regular file, has no digest. Names that are not UTF-8
    are written with `\xNN` escapes.

    Args:
        root: The workspace.
    """
    entries: dict[str, TreeEntry] = {}
    for path in sorted(walk_paths(root)):
        entry = _entry(root / path)
        if entry is not None:
            entries[readable_name(path)] = entry
    return TreeManifest(entries=entries, git_dir=os.path.lexists(root / _GIT))


def walk_paths(root: Path) -> Iterator[str]:
    """Yield all paths below a folder, except the workspace's `.git`.

    Links are not followed, nested `.git` folders are not entered, and a folder that cannot be read
    holds nothing. The order is not defined.

    Args:
        root: The folder.
    """
    folders = [""]  # a stack and not recursion: an agent may nest folders very deeply
    while folders:
        prefix = folders.pop()
        try:
            children = list(os.scandir(root / prefix))
        except OSError:
            continue
        for child in children:
            path = prefix + child.name
            if path == _GIT:
                continue
            yield path
            if child.name != _GIT and child.is_dir(follow_symlinks=False):
                folders.append(path + "/")


def readable_name(path: str) -> str:
    r"""Return a path as text that any JSON reader takes.

    >>> readable_name("caf\udce9.txt")
    'caf\\xe9.txt'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _entry(path: Path) -> TreeEntry | None:
    """Return the entry of a path; None if it was removed meanwhile."""
    try:
        facts = path.lstat()
        mode = stat.S_IMODE(facts.st_mode)
        if stat.S_ISLNK(facts.st_mode):
            target = readable_name(str(path.readlink()))
            return TreeEntry(type="symlink", size=facts.st_size, mode=mode, target=target)
    except OSError:
        return None
    if stat.S_ISDIR(facts.st_mode):
        return TreeEntry(type="dir", mode=mode)
    if stat.S_ISREG(facts.st_mode):
        return TreeEntry(type="file", size=facts.st_size, sha256=_digest(path), mode=mode)
    # Pipes, sockets and devices: opening one could block forever.
    return TreeEntry(type="file", mode=mode)


def _digest(path: Path) -> str | None:
    try:
        # A link that was put here since `lstat` must not lead out of the workspace.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError:
        return None
