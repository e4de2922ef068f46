"""Finds violations that no digest of a protected file shows: forbidden files and texts."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from cab.adapters.tasks.loader import Task
from cab.adapters.tasks.staging import workspace_files
from cab.scoring.globs import matches

PIECE_BYTES = 1 << 20
"""How much of a file is in memory at once; all of it is searched."""


def find_violations(
    task: Task, workspace: Path, *, scratch: Sequence[str] = ()
) -> list[str] | None:
    """Return what the agent left behind against the task's rules, one line each.

    Args:
        task: The task, with `forbidden_files` and `forbidden_texts`.
        workspace: What the agent left behind; it is only read.
        scratch: Patterns of the files that the agent keeps for itself. Texts that it has read are
            allowed there; forbidden files are not.

    Returns:
        Violations, sorted; None if the task forbids no files and no texts.
    """
    if not task.forbidden_files and not task.forbidden_texts:
        return None
    return sorted(_found(task, workspace, scratch))


def _found(task: Task, workspace: Path, scratch: Sequence[str]) -> Iterator[str]:
    texts = [text.encode() for text in task.forbidden_texts]
    for path in workspace_files(workspace):
        if _unchanged(workspace / path, task.workspace / path):
            continue
        if matches(path, task.forbidden_files):
            yield f"{path}: must not exist"
        if not matches(path, scratch) and _holds(workspace / path, texts):
            yield f"{path}: holds a text that must not be copied"


def _unchanged(path: Path, given: Path) -> bool:
    """Return whether a file is known to be as it was given."""
    try:
        if path.is_symlink() != given.is_symlink():
            return False
        return all(a == b for a, b in itertools.zip_longest(_pieces(path), _pieces(given)))
    except OSError:
        return False


def _holds(path: Path, texts: Sequence[bytes]) -> bool:
    """Return whether one of the texts is in a file, also where two pieces of it meet."""
    overlap = max(map(len, texts), default=1) - 1
    end = b""
    try:
        for piece in _pieces(path):
            window = end + piece
            if any(text in window for text in texts):
                return True
            end = window[max(len(window) - overlap, 0) :]
    except OSError:
        # It was removed, or we may not read it: its content is not known.
        return False
    return False


def _pieces(path: Path) -> Iterator[bytes]:
    """Yield a file piece by piece; of a link, its target."""
    if path.is_symlink():
        yield bytes(path.readlink())
        return
    with path.open("rb") as handle:
        while piece := handle.read(PIECE_BYTES):
            yield piece
