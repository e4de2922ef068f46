"""`cab tasks list`: the tasks that come with CAB, and what this machine lacks for them."""

import argparse
from collections.abc import Iterator
from typing import Any

from cab.adapters.tasks.loader import Task, list_tasks
from cab.adapters.tasks.needs import missing_needs, need_problem, need_state
from cab.adapters.ui.cell_table import print_sentence
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.layout import Column
from cab.adapters.ui.options import JSON_LINES
from cab.adapters.ui.tables import print_rows

DESCRIPTION = """\
List all tasks: language, the programs they need and whether they work here, and
how the result is checked.
"""

OPTIONS = (JSON_LINES,)

_COLUMNS = (
    Column("family/task", "name"),
    Column("language", "name", rank=2),
    Column("needs", "text"),
    Column("checked by", "text", rank=1),
)


def run(args: argparse.Namespace) -> int:
    """Print all tasks; return the exit code."""
    tasks = list_tasks()
    if args.json:
        print_json(*map(task_row, tasks))
        return 0
    rows = [(task.id, task.language or "-", needs_text(task), checks_text(task)) for task in tasks]
    print_rows(_COLUMNS, rows)
    for line in dict.fromkeys(line for task in tasks for line in how_to_get(task)):
        print_sentence(line)
    return 0


def task_row(task: Task) -> dict[str, Any]:
    """Return a task for JSON."""
    return {
        **task.facts().model_dump(mode="json"),
        "family": task.family,
        "language": task.language,
        "forbidden_files": task.forbidden_files,
        "needs": [
            {"command": need.command, "met": problem is None, "problem": problem}
            for need in task.needs
            for problem in [need_problem(need)]
        ],
        "missing": missing_needs(task),
        "checked_by": checks_text(task),
    }


def needs_text(task: Task) -> str:
    """Return the programs that a task needs, each with whether it works here."""
    words = [f"{need.command} {need_state(need)}" for need in task.needs]
    return ", ".join(words) or "Python only"


def checks_text(task: Task) -> str:
    """Return the kinds of a task's checks in a few words."""
    check = task.check
    parts = [
        "the document" if check.refusal else None,
        "hidden tests" if check.command else None,
        f"{len(task.cases)} questions" if check.probe else None,
    ]
    return ", ".join(part for part in parts if part)


def how_to_get(task: Task) -> Iterator[str]:
    """Yield a line for each program that a task needs and that cannot be used here."""
    for need in task.needs:
        problem = need_problem(need)
        if problem is not None:
            yield f"{need.command} {problem}: {need.get}"
