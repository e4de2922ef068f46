"""`cab tasks check`: the reference solution of a task passes its checks, and nothing else does."""

import argparse
import asyncio
import secrets
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from cab.adapters.errors import AdapterError
from cab.adapters.processes.agent_process import new_mark
from cab.adapters.processes.termination import run_until_terminated
from cab.adapters.runs.conditions import usable_cpus
from cab.adapters.runs.spec import check_image_of
from cab.adapters.sandboxes import docker, local
from cab.adapters.sandboxes.check_container import open_checks
from cab.adapters.sandboxes.docker import Container
from cab.adapters.sandboxes.engine import ContainerEngine, find_engine
from cab.adapters.sandboxes.leftovers import remove_leftovers
from cab.adapters.sandboxes.limits import parse_limits
from cab.adapters.tasks.check_process import CheckSite, HostChecks
from cab.adapters.tasks.loader import Task, list_tasks, load_task
from cab.adapters.tasks.self_test import SelfTestFinding, check_task
from cab.adapters.ui.command import Option
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.options import CHECKS_IMAGE, ENGINE, JSON_LINES
from cab.adapters.ui.progress import progress
from cab.scoring.printable import printable

DESCRIPTION = """\
Check tasks as their author would: the reference solution must pass; the
unchanged workspace must fail, and so must known ways of cheating: sources that
report success and end their process, planted configuration of test runners and
compilers, emptied or removed protected files, a change where none is wanted, a
copied secret.
"""

EPILOG = """\
A task whose programs are missing is skipped, with the reason. With --sandbox
docker the checks run as those of agents in containers do: in containers without
network, from the image for checks.

exit codes: 0 all tasks that were checked are good; 1 one is not; 2 a task cannot
be read, or one that was named cannot be checked here
"""

OPTIONS = (
    Option("tasks", nargs="*", metavar="TASK", help="id or path; if none is given, all tasks"),
    Option(
        "--sandbox",
        choices=(local.NAME, docker.NAME),
        default=local.NAME,
        help="where the checks run",
    ),
    CHECKS_IMAGE,
    ENGINE,
    Option(
        "--limit",
        action="append",
        default=[],
        metavar="WHAT=N",
        help="resource limit of a container, such as memory=4g; may be repeated",
    ),
    Option(
        "--jobs",
        type=int,
        metavar="N",
        help="tasks that are checked at the same time; if unset, one for each processor",
    ),
    JSON_LINES,
)


class _Report(NamedTuple):
    task: Task
    missing: list[str]
    findings: list[SelfTestFinding]

    @property
    def holds(self) -> bool | None:
        """Whether all trials hold; None if there were none."""
        if self.missing:
            return None
        return all(finding.problem is None for finding in self.findings)


def run(args: argparse.Namespace) -> int:
    """Check tasks; return the exit code."""
    named: Sequence[str] = args.tasks
    tasks = [load_task(name) for name in named] or list_tasks()
    reports = run_until_terminated(_reports(tasks, args))
    holds = [report.holds for report in reports]
    if not args.json:
        print(f"{holds.count(True)} hold, {holds.count(False)} do not, {holds.count(None)} skipped")
    if False in holds:
        return 1
    return 2 if named and None in holds else 0


async def _reports(tasks: Sequence[Task], args: argparse.Namespace) -> list[_Report]:
    """Check tasks, some at a time, and print each one's report in their order."""
    jobs = usable_cpus() if args.jobs is None else args.jobs
    if jobs < 1:
        raise AdapterError(f"--jobs {jobs} is not a number of tasks; give 1 or more")
    engine, room = await _engine(args), asyncio.Semaphore(jobs)

    async def report(task: Task) -> _Report:
        async with room:
            return await _report(task, await _site(task, args, engine))

    reports: list[_Report] = []
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(report(task)) for task in tasks]
            for number, (task, each) in enumerate(zip(tasks, running, strict=True), start=1):
                with progress(f"{task.id} ({number} of {len(tasks)})", sys.stderr):
                    reports.append(await each)
                print_json(_as_dict(reports[-1])) if args.json else _print_lines(reports[-1])
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    return reports


async def _report(task: Task, site: CheckSite) -> _Report:
    missing = await site.missing(task)
    findings = [] if missing else [finding async for finding in check_task(task, site)]
    return _Report(task, missing, findings)


async def _engine(args: argparse.Namespace) -> ContainerEngine | None:
    """Return what runs the checks; None is this machine."""
    if args.sandbox == docker.NAME:
        engine = await find_engine(args.engine)
        await remove_leftovers(engine)
        return engine
    for option, given in (
        ("--checks-image", args.checks_image),
        ("--engine", args.engine),
        ("--limit", args.limit),
    ):
        if given:
            raise AdapterError(f"{option} is for containers; add --sandbox docker")
    return None


async def _site(task: Task, args: argparse.Namespace, engine: ContainerEngine | None) -> CheckSite:
    """Return where one task is checked; what is left of it is removed without touching the others."""
    limits = parse_limits(args.limit)
    image = check_image_of(task, Container(checks_image=args.checks_image))
    if engine is None or image is None:
        return HostChecks()
    marked = replace(engine, mark=new_mark())
    return await open_checks(marked, image, limits, f"cab-{secrets.token_hex(6)}")


def _print_lines(report: _Report) -> None:
    name = report.task.id
    if report.holds is None:
        print(printable(f"skipped  {name}: {'; '.join(report.missing)}"), flush=True)
    elif report.holds:
        print(f"ok       {name}, {len(report.findings)} trials", flush=True)
    for finding in report.findings:
        if finding.problem is not None:
            line = printable(f"FAILED   {name}: {finding.trial}: {finding.problem}")
            print(line, flush=True)


def _as_dict(report: _Report) -> dict[str, Any]:
    findings = [
        {"trial": each.trial, "holds": each.problem is None, "problem": each.problem}
        for each in report.findings
    ]
    return {
        "task_id": report.task.id,
        "holds": report.holds,
        "missing": report.missing,
        "findings": findings,
    }
