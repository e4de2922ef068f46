"""Edits as text: in the formats of aider's prompts, and as patches for a tool that applies them."""

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from cab.proxy.demo.scenarios import FileEdit

FormatName = Literal["whole", "diff", "diff-fenced", "udiff"]

CONTEXT_LINES = 3
"""Unchanged lines around a change, so that it is found in one place only."""

# The examples in aider's prompts show the fence that it will look for.
_WHOLE_FENCE = re.compile(r"^path/to/filename\.js\n(?P<open>\S+)\n(?:.*\n)*?(?P<close>\S+)$", re.M)
_DIFF_FENCE = re.compile(r"opening fence and code language, eg: (?P<open>\S+?)python\n")
_CLOSING_FENCE = re.compile(r"closing fence: (?P<close>\S+)\n")


class EditFormat(NamedTuple):
    """A format that a prompt asks for, with the fence that it wants."""

    name: FormatName
    opening: str = "```"
    closing: str = "```"


class _Change(NamedTuple):
    """Lines that become other lines; the same ones where they are context."""

    old: list[str]
    new: list[str]


def requested_format(texts: Sequence[str]) -> EditFormat | None:
    """Return the edit format that the prompt asks for, None if it asks for none."""
    prompt = "\n".join(texts)
    if "*file listing*" in prompt:
        return EditFormat("whole", *_fence(prompt, _WHOLE_FENCE, _WHOLE_FENCE))
    if "*SEARCH/REPLACE block*" in prompt:
        fence = _fence(prompt, _DIFF_FENCE, _CLOSING_FENCE)
        path_inside = "1. The opening fence" in prompt
        return EditFormat("diff-fenced" if path_inside else "diff", *fence)
    if "unified diff" in prompt and "@@ ... @@" in prompt:
        return EditFormat("udiff")
    return None


def render_edit(edit: FileEdit, form: EditFormat) -> str:
    """Return one file's change as text in the given format."""
    return _RENDERERS[form.name](edit, form)


def render_patch(edit: FileEdit, path: str) -> str:
    """Return one file's change as a tool that applies patches takes it."""
    if edit.before is None:
        added = "".join(f"+{line}" for line in edit.after.splitlines(keepends=True))
        change = f"*** Add File: {path}\n{added}"
    else:
        hunks = "".join("@@\n" + "".join(_marked(hunk)) for hunk in _hunks(edit))
        change = f"*** Update File: {path}\n{hunks}"
    return f"*** Begin Patch\n{change}*** End Patch\n"


def _fence(prompt: str, opening: re.Pattern[str], closing: re.Pattern[str]) -> tuple[str, str]:
    head, tail = opening.search(prompt), closing.search(prompt)
    return (head["open"] if head else "```", tail["close"] if tail else "```")


def _whole(edit: FileEdit, form: EditFormat) -> str:
    return f"{edit.path}\n{form.opening}\n{edit.after}{form.closing}"


def _diff(edit: FileEdit, form: EditFormat) -> str:
    blocks = (f"{edit.path}\n{form.opening}\n{block}{form.closing}" for block in _blocks(edit))
    return "\n\n".join(blocks)


def _diff_fenced(edit: FileEdit, form: EditFormat) -> str:
    blocks = (f"{form.opening}\n{edit.path}\n{block}{form.closing}" for block in _blocks(edit))
    return "\n\n".join(blocks)


def _udiff(edit: FileEdit, form: EditFormat) -> str:
    source = "/dev/null" if edit.before is None else edit.path
    hunks = ("@@ ... @@\n" + "".join(_marked(hunk)) for hunk in _hunks(edit))
    return f"{form.opening}diff\n--- {source}\n+++ {edit.path}\n{''.join(hunks)}{form.closing}"


def _blocks(edit: FileEdit) -> Iterator[str]:
    for hunk in _hunks(edit):
        search = "".join(line for change in hunk for line in change.old)
        replace = "".join(line for change in hunk for line in change.new)
        yield f"<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE\n"


def _hunks(edit: FileEdit) -> Iterator[list[_Change]]:
    """Yield the changed places of a file, each with the lines around it."""
    old = (edit.before or "").splitlines(keepends=True)
    new = edit.after.splitlines(keepends=True)
    for group in difflib.SequenceMatcher(None, old, new).get_grouped_opcodes(CONTEXT_LINES):
        yield [_Change(old[i1:i2], new[j1:j2]) for _, i1, i2, j1, j2 in group]


def _marked(hunk: list[_Change]) -> Iterator[str]:
    """Yield the lines of a hunk with the mark of a unified diff in front."""
    for change in hunk:
        if change.old == change.new:
            yield from (f" {line}" for line in change.old)
        else:
            yield from (f"-{line}" for line in change.old)
            yield from (f"+{line}" for line in change.new)


_RENDERERS: dict[FormatName, Callable[[FileEdit, EditFormat], str]] = {
    "whole": _whole,
    "diff": _diff,
    "diff-fenced": _diff_fenced,
    "udiff": _udiff,
}
