"""`cab tasks`: which tasks are bundled, what one of them asks, and whether a task holds."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from cab.adapters.commands.tasks.check import add_check
from cab.adapters.tasks.loader import Need, Task, list_tasks, load_task, missing_needs, need_met

if TYPE_CHECKING:
    # argparse has no public name for what add_subparsers returns
    from argparse import _SubParsersAction  # pyright: ignore[reportPrivateUsage]

_DESCRIPTION = """\
The bundled tasks. One of your own is the path of its folder: --task ./mine.
"""


def add(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser of `cab`."""
    parser = subparsers.add_parser(
        "tasks",
        help="list, show and check tasks",
        description=_DESCRIPTION,
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser(
        "list",
        help="all bundled tasks, and what they need",
        description="All bundled tasks: language, the programs they need and whether they are "
        "there, and how the result is checked.",
        allow_abbrev=False,
    )
    listing.add_argument("--json", action="store_true", help="print one JSON object per task")
    listing.set_defaults(run=run_list)
    showing = actions.add_parser(
        "show",
        help="what a task asks, and what it looks at",
        description="What a task asks word for word, what it needs, which files a right answer "
        "changes, and which must stay as they are.",
        allow_abbrev=False,
    )
    showing.add_argument("task", metavar="TASK", help="family/name, or the path of a folder")
    showing.add_argument("--json", action="store_true", help="print one JSON object")
    showing.set_defaults(run=run_show)
    add_check(actions)


def run_list(args: argparse.Namespace) -> int:
    """Print all bundled tasks; return the exit code."""
    tasks = list_tasks()
    if args.json:
        for task in tasks:
            _print_json(task)
        return 0
    table = Table(box=box.SIMPLE_HEAD)
    # An id is there to be copied, so that it stays in one piece; its family is its first part.
    table.add_column("family/task", no_wrap=True)
    for column in ("language", "needs", "checked by"):
        table.add_column(column, overflow="fold")
    for task in tasks:
        table.add_row(task.id, task.language or "-", _needs(task), _checks(task))
    console = Console()
    console.print(table)
    for line in dict.fromkeys(_mend(need) for task in tasks for need in _missing(task)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Print one task; return the exit code."""
    task = load_task(args.task)
    if args.json:
        _print_json(task)
        return 0
    for name, value in _lines(task).items():
        print(f"{name + ':':<18}{value}")
    return 0


def _lines(task: Task) -> dict[str, str]:
    missing = "; ".join(_mend(need) for need in _missing(task))
    return {
        "task": task.id,
        "family": task.family,
        "language": task.language or "not said",
        "prompt": task.prompt,
        "needs": _needs(task),
        **({"missing": missing} if missing else {}),
        "workspace": str(task.workspace),
        "right answer": "a document, and no changed source"
        if task.expected_refusal
        else "a change",
        "expected changes": ", ".join(task.expected_changes) or "not said",
        "protected files": ", ".join(task.protected_files) or "none",
        "forbidden files": ", ".join(task.forbidden_files) or "none",
        "checked by": _checks(task),
    }


def _needs(task: Task) -> str:
    """Return the programs that a task needs, each with whether it is there."""
    words = [f"{need.command} {'ok' if need_met(need) else 'MISSING'}" for need in task.needs]
    return ", ".join(words) or "Python only"


def _checks(task: Task) -> str:
    """Return the kinds of a task's checks in a few words."""
    check = task.check
    parts = [
        "the document" if check.refusal else None,
        "hidden tests" if check.command else None,
        f"{len(task.cases)} questions" if check.probe else None,
    ]
    return ", ".join(part for part in parts if part)


def _missing(task: Task) -> list[Need]:
    return [need for need in task.needs if not need_met(need)]


def _mend(need: Need) -> str:
    return f"{need.command} is not on PATH: {need.get}"


def _print_json(task: Task) -> None:
    data: dict[str, Any] = {
        **task.facts().model_dump(mode="json"),
        "family": task.family,
        "language": task.language,
        "forbidden_files": task.forbidden_files,
        "needs": [{"command": need.command, "met": need_met(need)} for need in task.needs],
        "missing": missing_needs(task),
        "checked_by": _checks(task),
    }
    sys.stdout.buffer.write(orjson.dumps(data, option=orjson.OPT_APPEND_NEWLINE))
