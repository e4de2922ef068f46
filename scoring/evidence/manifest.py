"""Tree manifests: what a workspace held before and after a run, and what changed between them."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import orjson
from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer

from cab.scoring.files import FileModel, StrPath, read_object, validated
from cab.scoring.ledger.records import Count, Sha256Hex

TREE_SCHEMA: Final = "cab.tree/1"
"""Schema tag of a manifest."""

_GIT = ".git"
_OWNER_MAY_EXECUTE = 0o100


def _check_path(path: str) -> str:
    if path.startswith("/"):
        raise ValueError(f"path {path!r} is absolute")
    if any(part in {"", ".", ".."} for part in path.split("/")):
        raise ValueError(f"path {path!r} has an empty, '.' or '..' part")
    if "\0" in path:
        raise ValueError(f"path {path!r} holds a NUL")
    return path


RelativePath = Annotated[str, AfterValidator(_check_path)]
"""A path below the workspace, `/` between its parts; it cannot leave the workspace."""


class TreeEntry(FileModel):
    """One path of a workspace."""

    type: Literal["file", "symlink", "dir"]
    """What it is; symbolic links are never followed."""
    size: Count | None = None
    """Bytes of a file, or of a link's target text."""
    sha256: Sha256Hex | None = None
    """Digest of a file's content; None for what has no content, or could not be read."""
    mode: Count | None = None
    """Permission bits, as `st_mode & 0o7777`."""
    target: str | None = None
    """Where a link points, as it is written in the link."""


class TreeManifest(FileModel):
    """All paths of a workspace at one time. The content of `.git` folders is not listed."""

    tree_schema: Literal["cab.tree/1"] = Field(default=TREE_SCHEMA, alias="schema")
    """Always `cab.tree/1` today."""
    entries: dict[RelativePath, TreeEntry]
    """Path below the workspace -> what is there."""
    git_dir: bool = False
    """Whether the workspace has a `.git`."""
    skipped: dict[str, str] = Field(default_factory=dict[str, str])
    """Path -> word for why its content is not known, such as `pipe` or `unreadable`."""
    incomplete: list[str] = Field(default_factory=list[str])
    """Words for bounds that were hit, such as `entries`, and `replaced`: not all paths are listed."""

    @model_serializer(mode="wrap")
    def _without_the_unsaid(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = dump(self)
        for name in ("skipped", "incomplete"):
            if not data[name]:
                del data[name]
        return data


class TreeDiff(NamedTuple):
    """Files and links that changed, each list sorted. A rename is a removal and an addition."""

    added: list[str]
    removed: list[str]
    modified: list[str]

    @property
    def changed(self) -> list[str]:
        """All changed paths, sorted."""
        return sorted([*self.added, *self.removed, *self.modified])


def diff_trees(before: TreeManifest, after: TreeManifest) -> TreeDiff:
    """Return which files and symbolic links were added, removed or modified.

    Folders are left out, they change when their content does; so is all that is inside a `.git`.
    """
    old, new = _leaves(before), _leaves(after)
    return TreeDiff(
        added=sorted(new.keys() - old.keys()),
        removed=sorted(old.keys() - new.keys()),
        modified=sorted(
            path for path in old.keys() & new.keys() if _content(old[path]) != _content(new[path])
        ),
    )


def dump_manifest(manifest: TreeManifest) -> bytes:
    """Return a manifest as the bytes of its file, paths sorted, one line."""
    data = manifest.model_dump(mode="json", by_alias=True)
    data["entries"] = dict(sorted(data["entries"].items()))
    return orjson.dumps(data, option=orjson.OPT_APPEND_NEWLINE)


def load_manifest(path: StrPath) -> TreeManifest:
    """Return the manifest that a file holds.

    Raises:
        BadRecord: The file cannot be read, or a path in it is absolute or climbs.
    """
    path = Path(path)
    return validated(TreeManifest, read_object(path), path)


def _leaves(manifest: TreeManifest) -> dict[str, TreeEntry]:
    return {
        path: entry
        for path, entry in manifest.entries.items()
        if entry.type != "dir" and _GIT not in path.split("/")
    }


def _content(entry: TreeEntry) -> tuple[object, ...]:
    """Return what version control would see of an entry.

    Of the permissions only the owner's execute bit counts, as for git: the others follow the umask
    of whoever wrote the file.
    """
    executable = None if entry.mode is None else bool(entry.mode & _OWNER_MAY_EXECUTE)
    return entry.type, entry.size, entry.sha256, entry.target, entry.type == "file" and executable
