"""What two manifests show of a change beyond its path: renames, permissions, links, nested git.

Every function is one pass over the manifests, or over the changes.
"""

from collections import defaultdict
from collections.abc import Iterable
from posixpath import normpath

from cab.scoring.evidence.manifest import RelativePath, TreeDiff, TreeManifest
from cab.scoring.files import FileModel

_GIT = ".git"


class Rename(FileModel):
    """A file that is gone, and a new one of the same content."""

    old: RelativePath
    """Where it was."""
    new: RelativePath
    """Where it is."""


class TreeFacts(FileModel):
    """Facts of a change beyond the three lists of paths."""

    renames: list[Rename]
    """Files removed here and added there with the same digest; empty files are not paired."""
    permission_changes: list[str]
    """Files whose permission bits differ; only the owner's execute bit makes a file modified."""
    symlink_changes: list[str]
    """Changed paths that are, or were, a symbolic link."""
    escaping_symlinks: list[str]
    """Of these, new links that lead out of the workspace."""
    nested_git: list[str]
    """`.git` below the workspace's top that were not there before."""


def tree_facts(before: TreeManifest, after: TreeManifest, diff: TreeDiff) -> TreeFacts:
    """Return what the manifests show of a change."""
    changed = diff.changed
    links = [path for path in changed if _is_link(before, path) or _is_link(after, path)]
    return TreeFacts(
        renames=_renames(before, after, diff),
        permission_changes=_permission_changes(before, after),
        symlink_changes=links,
        escaping_symlinks=[path for path in links if _escapes(after, path)],
        nested_git=sorted(_nested_git(after) - _nested_git(before)),
    )


def _is_link(tree: TreeManifest, path: str) -> bool:
    entry = tree.entries.get(path)
    return entry is not None and entry.type == "symlink"


def _renames(before: TreeManifest, after: TreeManifest, diff: TreeDiff) -> list[Rename]:
    """Pair removed and added files of the same digest, both in the order of their names."""
    gone = _by_digest(before, diff.removed)
    pairs = [
        Rename(old=old, new=new)
        for digest, added in _by_digest(after, diff.added).items()
        for old, new in zip(gone.get(digest, ()), added, strict=False)
    ]
    return sorted(pairs, key=lambda pair: pair.old)


def _by_digest(tree: TreeManifest, paths: Iterable[str]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        entry = tree.entries[path]
        if entry.sha256 is not None and entry.size:
            found[entry.sha256].append(path)
    return found


def _permission_changes(before: TreeManifest, after: TreeManifest) -> list[str]:
    changed: list[str] = []
    for path, now in after.entries.items():
        was = before.entries.get(path)
        # The mode of a link means nothing, and a folder is not a file.
        if was is None or (was.type, now.type) != ("file", "file"):
            continue
        if was.mode is not None and now.mode is not None and was.mode != now.mode:
            changed.append(path)
    return sorted(changed)


def _escapes(after: TreeManifest, path: str) -> bool:
    entry = after.entries.get(path)
    if entry is None or entry.target is None:
        return False
    if entry.target.startswith("/"):
        return True
    folder = path.rpartition("/")[0]
    return normpath(f"{folder or '.'}/{entry.target}").split("/")[0] == ".."


def _nested_git(tree: TreeManifest) -> set[str]:
    return {path for path in tree.entries if path.endswith(f"/{_GIT}")}
