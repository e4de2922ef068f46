"""Makes the tree manifest of a workspace: links are not followed, and nothing in it is trusted."""

import hashlib
import stat
from pathlib import Path
from threading import Event

from cab.adapters.workspaces import bounds as words
from cab.adapters.workspaces.bounds import BOUNDS, WorkspaceBounds
from cab.adapters.workspaces.folders import FolderId
from cab.adapters.workspaces.walk import Unread, WalkedEntry, WorkspaceWalk, readable_name, special
from cab.scoring.evidence.manifest import TreeEntry, TreeManifest

_GIT = ".git"


def walk_tree(
    root: Path,
    *,
    same: FolderId | None = None,
    bounds: WorkspaceBounds = BOUNDS,
    stop: Event | None = None,
) -> TreeManifest:
    r"""Return the manifest of a folder.

    Symbolic links are recorded, never followed. What is inside a `.git` is not listed. A file that
    cannot be read, and anything that is not a regular file, has no digest. Names that are not UTF-8
    are written with `\xNN` escapes.

    Args:
        root: The workspace.
        same: Which folder it must be; None takes what is there.
        bounds: What is looked at.
        stop: Ends the work when it is set.

    Raises:
        WalkStopped: It was set.
    """
    entries: dict[str, TreeEntry] = {}
    git_dir = False
    with WorkspaceWalk(root, same=same, bounds=bounds, stop=stop, left_out=is_git) as walk:
        for found in walk:
            if found.path == _GIT:
                git_dir = True
                continue
            entry = _entry(walk, found)
            path = readable_name(found.path)
            if path in entries:
                walk.skip(found.path, words.SAME_NAME)
            elif entry is not None:
                entries[path] = entry
        return TreeManifest(
            entries=dict(sorted(entries.items())),
            git_dir=git_dir,
            skipped=dict(sorted(walk.skipped.items())),
            incomplete=walk.incomplete,
        )


def is_git(path: str) -> bool:
    """Tell whether a path is a `.git`, at the top or further down."""
    return path == _GIT or path.endswith(f"/{_GIT}")


def _entry(walk: WorkspaceWalk, found: WalkedEntry) -> TreeEntry | None:
    """Return the entry of a path; None if it was removed meanwhile."""
    size, mode = found.facts.st_size, stat.S_IMODE(found.facts.st_mode)
    if found.is_link:
        try:
            target = readable_name(found.target())
        except OSError:
            return None
        return TreeEntry(type="symlink", size=size, mode=mode, target=target)
    if found.is_folder:
        return TreeEntry(type="dir", mode=mode)
    if found.is_file:
        return TreeEntry(type="file", size=size, sha256=_digest(walk, found), mode=mode)
    walk.skip(found.path, special(found.facts) or words.UNREADABLE)
    return TreeEntry(type="file", mode=mode)


def _digest(walk: WorkspaceWalk, found: WalkedEntry) -> str | None:
    digest = hashlib.sha256()
    try:
        for piece in walk.pieces(found):
            digest.update(piece)
    except Unread:
        return None
    return digest.hexdigest()
