"""Finds violations that no digest of a protected file shows: forbidden files and texts."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import NamedTuple

from cab.adapters.tasks.loader import Task
from cab.adapters.workspaces.folders import FolderId
from cab.adapters.workspaces.tree import is_git
from cab.adapters.workspaces.walk import Unread, WalkedEntry, WorkspaceWalk, readable_name
from cab.scoring.evidence.globs import matches


def find_violations(
    task: Task,
    workspace: Path,
    *,
    scratch: Sequence[str] = (),
    same: FolderId | None = None,
    stop: Event | None = None,
) -> list[str] | None:
    """Return what the agent left behind against the task's rules, one line each.

    Args:
        task: The task, with `forbidden_files` and `forbidden_texts`.
        workspace: What the agent left behind; it is only read.
        scratch: Patterns of the files that the agent keeps for itself. Texts that it has read are
            allowed there; forbidden files are not.
        same: Which folder the workspace must be; None takes what is there.
        stop: Ends the work when it is set.

    Returns:
        Violations, sorted; None if the task forbids no files and no texts.

    Raises:
        WalkStopped: `stop` was set.
    """
    if not task.forbidden_files and not task.forbidden_texts:
        return None
    with WorkspaceWalk(workspace, same=same, stop=stop, left_out=is_git) as walk:
        return sorted(_found(task, walk, scratch))


def _found(task: Task, walk: WorkspaceWalk, scratch: Sequence[str]) -> Iterator[str]:
    texts = [text.encode() for text in task.forbidden_texts]
    for found in walk:
        if found.is_folder or is_git(found.path):
            continue
        path = readable_name(found.path)
        seen = _look(walk, found, task.workspace / path, texts)
        if seen.unchanged:
            continue
        if matches(path, task.forbidden_files):
            yield f"{path}: must not exist"
        if seen.holds and not matches(path, scratch):
            yield f"{path}: holds a text that must not be copied"


class _Seen(NamedTuple):
    unchanged: bool
    """Whether it is known to be as it was given."""
    holds: bool
    """Whether one of the texts is in it; of a file that cannot be read to its end, in the part that can."""


def _look(walk: WorkspaceWalk, found: WalkedEntry, given: Path, texts: Sequence[bytes]) -> _Seen:
    if found.is_link:
        return _look_at_link(found, given, texts)
    with ExitStack() as stack:
        before = None
        if found.is_file and given.is_file() and not given.is_symlink():
            before = stack.enter_context(given.open("rb"))
        unchanged, holds, end = before is not None, False, b""
        overlap = max(map(len, texts), default=1) - 1
        try:
            for piece in walk.pieces(found):
                unchanged = unchanged and before is not None and before.read(len(piece)) == piece
                window = end + piece  # a text may be where two pieces meet
                holds = holds or any(text in window for text in texts)
                end = window[max(len(window) - overlap, 0) :]
        except Unread:
            return _Seen(unchanged=False, holds=holds)
        return _Seen(unchanged and before is not None and not before.read(1), holds)


def _look_at_link(found: WalkedEntry, given: Path, texts: Sequence[bytes]) -> _Seen:
    try:
        target = found.target()
    except OSError:
        return _Seen(unchanged=False, holds=False)
    unchanged = given.is_symlink() and str(given.readlink()) == target
    return _Seen(unchanged, any(text in os.fsencode(target) for text in texts))
