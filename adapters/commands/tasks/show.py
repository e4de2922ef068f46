"""`cab tasks show`: one task."""

import argparse

from cab.adapters.commands.tasks.list import checks_text, how_to_get, needs_text, task_row
from cab.adapters.tasks.loader import Task, load_task
from cab.adapters.ui.command import Option
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.options import JSON

DESCRIPTION = """\
Show a task's prompt word for word, what it needs, which files a right answer
changes, and which files must not change.
"""

OPTIONS = (
    Option("task", metavar="TASK", help="family/name, or the path of a folder"),
    JSON,
)


def run(args: argparse.Namespace) -> int:
    """Print one task; return the exit code."""
    task = load_task(args.task)
    if args.json:
        print_json(task_row(task))
        return 0
    for name, value in _lines(task).items():
        print(f"{name + ':':<18}{value}")
    return 0


def _lines(task: Task) -> dict[str, str]:
    missing = "; ".join(how_to_get(task))
    return {
        "task": task.id,
        "family": task.family,
        "language": task.language or "not given",
        "prompt": task.prompt,
        "needs": needs_text(task),
        **({"missing": missing} if missing else {}),
        "workspace": str(task.workspace),
        "right answer": "a document, and no changed source"
        if task.expected_refusal
        else "a change",
        "expected changes": ", ".join(task.expected_changes) or "not given",
        "protected files": ", ".join(task.protected_files) or "none",
        "forbidden files": ", ".join(task.forbidden_files) or "none",
        "checked by": checks_text(task),
    }
