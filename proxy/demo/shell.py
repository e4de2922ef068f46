"""The shell commands with which the demo shows and writes files, and their fences in a text."""

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath

from cab.proxy.demo.scenarios import FileEdit

SUBMIT_MARKER = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
"""mini-swe-agent ends when a command prints this; its prompt says so."""

# mini-swe-agent's own fence first: its prompt shows other fences too, in examples.
_FENCES = re.compile(r"```(mswea_bash_command|bash|shell|sh)\b")
# open-interpreter names no language, it leaves the choice.
_ANY_LANGUAGE = "Specify the language after the ```"


def show_command(paths: Sequence[str]) -> str:
    """Return a command that lists the folder and shows files."""
    return f"ls -a && cat {shlex.join(paths)}"


def write_command(edit: FileEdit) -> str:
    """Return a command that writes a file, relative to the current folder."""
    path = PurePosixPath(edit.path)
    folder = "" if path.parent == PurePosixPath() else f"mkdir -p {shlex.quote(str(path.parent))}\n"
    end = _delimiter(edit.after)
    return f"{folder}cat > {shlex.quote(edit.path)} <<'{end}'\n{edit.after}{end}"


def submit_command() -> str:
    """Return the command that ends a run of mini-swe-agent."""
    return f"echo {SUBMIT_MARKER}"


def requested_fence(texts: Sequence[str]) -> str | None:
    """Return the language of the code fence that a prompt asks for around commands, if it does."""
    if any(_ANY_LANGUAGE in text for text in texts):
        return "shell"
    found = [match for text in texts for match in _FENCES.findall(text)]
    return "mswea_bash_command" if "mswea_bash_command" in found else next(iter(found), None)


def fenced(language: str, command: str) -> str:
    """Return a command as an agent without tools takes it."""
    return f"```{language}\n{command}\n```"


def _delimiter(text: str) -> str:
    end = "END_OF_FILE"
    while end in text:
        end += "_"
    return end
