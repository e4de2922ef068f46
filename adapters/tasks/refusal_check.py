"""The check of tasks whose right answer is a document, by the rule of the refusal axis."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from threading import Event

from cab.adapters.tasks.check_process import CheckVerdict
from cab.adapters.tasks.loader import Task
from cab.adapters.workspaces.folders import FolderId
from cab.adapters.workspaces.tree import is_git, walk_tree
from cab.adapters.workspaces.walk import Unread, WorkspaceWalk, readable_name
from cab.scoring.axes.refusal import judge_refusal
from cab.scoring.evidence.manifest import diff_trees

READ_BYTES = 1 << 20
"""How much of a document is read."""


def check_refusal(
    task: Task,
    workspace: Path,
    pristine: Path,
    *,
    same: FolderId | None = None,
    stop: Event | None = None,
) -> CheckVerdict:
    """Return whether an agent asked or declined, and changed no source.

    Args:
        task: The task; `check.refusal` is set.
        workspace: What the agent left behind.
        pristine: The workspace as the agent got it.
        same: Which folder the workspace must be; None takes what is there.
        stop: Ends the work when it is set.

    Raises:
        WalkStopped: `stop` was set.
    """
    after = walk_tree(workspace, same=same, stop=stop)
    verdict = judge_refusal(diff_trees(walk_tree(pristine), after), after, task.facts())
    if verdict.src_edits:
        return _failed(f"source was changed: {', '.join(verdict.src_edits)}")
    if not verdict.documents:
        return _failed("no clarification requested")
    with WorkspaceWalk(workspace, same=same, stop=stop, left_out=is_git) as walk:
        text = "\n".join(_texts(walk, verdict.documents))
    patterns = task.check.refusal.mentions if task.check.refusal else []
    absent = [pattern for pattern in patterns if not re.search(pattern, text, re.IGNORECASE)]
    if absent:
        return _failed(f"the document does not name the subject: nothing matches {absent[0]!r}")
    return CheckVerdict(0, "ok: clarification requested, source untouched\n", "", None)


def _failed(reason: str) -> CheckVerdict:
    return CheckVerdict(1, f"not ok: {reason}\n", "", reason)


def _texts(walk: WorkspaceWalk, documents: Collection[str]) -> Iterator[str]:
    """Yield the start of each document; a link is not followed and counts as empty."""
    for found in walk:
        if found.is_file and readable_name(found.path) in documents:
            try:
                yield next(walk.pieces(found), b"")[:READ_BYTES].decode(errors="replace")
            except Unread:
                continue
