"""`cab sweep`: many cells, resumable, within a budget, with one ledger and one report."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from cab.adapters.agents.base import AgentFacts
from cab.adapters.errors import InstallFailed
from cab.adapters.install.install import install
from cab.adapters.runs.held_keys import hold_keys
from cab.adapters.sweeps.cancelling import ask_to_cancel
from cab.adapters.sweeps.executors.registry import check_kind, load_executor
from cab.adapters.sweeps.journal import read_journal
from cab.adapters.sweeps.lost import lost_results
from cab.adapters.sweeps.matrix import Matrix, choose, make_matrix, not_installed
from cab.adapters.sweeps.progress.counts import ProgressCounts
from cab.adapters.sweeps.progress.screen import show_progress
from cab.adapters.sweeps.report import make_report, print_report, save_report
from cab.adapters.sweeps.scheduler import ProgressListener, Scheduler
from cab.adapters.sweeps.session import SessionResult, SweepPlan, last_result, run_session
from cab.adapters.sweeps.state import SweepState, replay
from cab.adapters.sweeps.sweepfile import SweepFile, load_sweep
from cab.adapters.ui.command import OneOf, Option
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.key_options import KEY_FROM
from cab.adapters.ui.layout import Column
from cab.adapters.ui.options import CAPTURE, form
from cab.adapters.ui.progress import progress
from cab.adapters.ui.tables import ResultTable, write
from cab.proxy.logs import configure_logs
from cab.proxy.workers.stop_signals import on_stop_signal
from cab.scoring.printable import counted, printable

DESCRIPTION = """\
Run every agent with every model on every task, N cells at a time, through one
proxy into one ledger, and print a report. Run it again after a kill, a reboot
or Ctrl-C: complete cells are not run again; cells that were interrupted are
moved to failed/ and run again under a new number.

A failure of the infrastructure is retried and never counts against the agent.
When the budget is spent no further cell starts; the report lists those cells.
"""

EPILOG = """\
environment:
  CAB_ENDPOINT      base URL of the model endpoint; `upstream` in the file wins over it
  CAB_KEY           its key; --key-file and --key-fd win over it

examples:
  cab sweep sweep.toml --dry-run               list the cells, and which of them are done
  cab sweep sweep.toml --install
  cab sweep sweep.toml --only '*/aider/*' --exclude '*#run2'
  cab sweep sweep.toml --report --markdown     only print the report; nothing is run
  cab sweep sweep.toml --cancel '*/aider/*'    end those cells of a sweep that runs now

docs/sweeps.md shows a sweep file.

exit codes: 0 every cell that was asked for has a result; 1 some have none, or the
machine failed (a full disk); 2 wrong usage or configuration; 130, 143 stopped by
SIGINT, SIGTERM (a second signal stops at once)
"""

_CELLS = (Column("cell", "path", least=28), Column("state", "text"))

OPTIONS = (
    Option("file", type=Path, metavar="SWEEP.toml", help="the sweep file"),
    Option(
        "--only",
        action="append",
        default=[],
        metavar="GLOB",
        help="run only cells whose id matches this pattern; may be repeated",
    ),
    Option(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="leave out cells whose id matches this pattern; may be repeated",
    ),
    KEY_FROM,
    CAPTURE(help="keep the bodies of calls in the bundles; it wins over `capture` in the file"),
    Option("--install", action="store_true", help="install agents that are missing"),
    Option(
        "--accept-changes",
        action="store_true",
        help="continue although the endpoint, limits or versions have changed",
    ),
    Option("--no-progress", action="store_true", help="print lines, no screen that is drawn anew"),
    OneOf(
        Option("--dry-run", action="store_true", help="list the cells; nothing is run"),
        Option("--report", action="store_true", help="print the report; nothing is run"),
        Option(
            "--cancel",
            metavar="GLOB",
            help="end running cells whose id matches; a sweep that runs does it, nothing is run here",
        ),
    ),
    OneOf(form("json", "print one JSON object"), form("markdown", "print a page in Markdown")),
)


def run(args: argparse.Namespace) -> int:
    """Run the sweep that the arguments name; return the exit code."""
    configure_logs("error", "auto")  # a ledger that a killed sweep left open needs no warning here
    sweep, base = load_sweep(args.file), args.file.parent
    upstream = sweep.upstream or os.environ.get("CAB_ENDPOINT") or None
    matrix = make_matrix(sweep, base)
    problems = list(matrix.problems)
    wrong_kind = check_kind(sweep.executor.kind)
    if wrong_kind is not None:
        problems.append(f"executor.kind: {wrong_kind}")
    if upstream is None:
        problems.append("upstream: it is missing; add it, or set CAB_ENDPOINT")
    if not (args.install or args.dry_run or args.report or args.cancel):
        problems += not_installed(matrix.missing)
    if problems:
        return _refuse(args.file, problems)
    changes = {"upstream": upstream, "capture": args.capture or sweep.capture}
    plan = _plan(args, sweep.model_copy(update=changes), matrix)
    if args.dry_run:
        return _print_matrix(plan, args)
    if args.cancel is not None:
        for cell in ask_to_cancel(plan.folder, plan.journal, args.cancel):
            print(cell)
        return 0
    if args.report:
        return _report(plan, last_result(plan), args)
    if args.install and not _install(args.file, sweep, matrix):
        return 2
    return _run_to_end(plan, args)


def _plan(args: argparse.Namespace, sweep: SweepFile, matrix: Matrix) -> SweepPlan:
    base = args.file.parent
    folder = base / (sweep.folder or f"sweeps/{sweep.name}")
    ids = [*(slot.id for slot in matrix.slots), *matrix.left_out]
    keys = hold_keys(args.key_file, args.key_fd)
    return SweepPlan(
        sweep=sweep,
        matrix=matrix,
        chosen=frozenset(choose(ids, args.only, args.exclude)),
        folder=folder,
        ledger=base / sweep.ledger if sweep.ledger else folder / "ledger",
        seal_key_file=base / sweep.seal_key_file if sweep.seal_key_file else None,
        prices_file=base / sweep.prices_file if sweep.prices_file else None,
        upstream_key=keys.endpoint,
        exposed=keys.exposed,
        accept_changes=args.accept_changes,
    )


def _refuse(file: Path, problems: Sequence[str]) -> int:
    for problem in problems:
        print(f"cab: {file}: {printable(problem)}", file=sys.stderr)
    return 2


def _install(file: Path, sweep: SweepFile, matrix: Matrix) -> bool:
    """Install what is missing; return whether all is there. Each failure is reported."""
    problems = [_install_one(facts, sweep.retries) for facts in matrix.missing]
    failed = [problem for problem in problems if problem is not None]
    return not (failed and _refuse(file, failed))


def _install_one(facts: AgentFacts, retries: int) -> str | None:
    try:
        with progress(f"installing {facts.name} {facts.version}", sys.stderr):
            install(facts)
    except InstallFailed as error:
        return _install_one(facts, retries - 1) if retries else str(error)
    return None


def _print_matrix(plan: SweepPlan, args: argparse.Namespace) -> int:
    state = replay(read_journal(plan.journal))
    lost = lost_results(plan.folder, state)
    rows = [
        {"cell_id": slot.id, "state": _state_of(slot.id, state, lost)}
        for slot in plan.matrix.slots
        if slot.id in plan.chosen
    ]
    rows += [
        {"cell_id": slot, "state": f"cannot be run: {why}"}
        for slot, why in plan.matrix.left_out.items()
        if slot in plan.chosen
    ]
    if args.form == "json":
        print_json({"sweep": plan.sweep.name, "cells": rows})
        return 0
    sheet = ResultTable(_CELLS, [list(row.values()) for row in rows])
    write(args.form, sheet, [])
    done = sum(row["state"] == "done" for row in rows)
    cells = counted(len(rows), "cell")
    print(f"{cells}, {done} of them done; {plan.sweep.jobs} at a time", file=sys.stderr)
    for each in not_installed(plan.matrix.missing):
        print(f"cab: {each}", file=sys.stderr)
    return 0


def _state_of(slot: str, state: SweepState, lost: Mapping[str, str]) -> str:
    if slot in lost:
        return f"to run again: {lost[slot]}"
    if slot in state.complete:
        return "done"
    before = state.unfilled.get(slot)
    return "to run" if before is None else f"to run again: {before.verdict}"


def _report(plan: SweepPlan, result: SessionResult, args: argparse.Namespace) -> int:
    report = make_report(plan, result)
    print_report(report, args.form)
    if not args.report:
        save_report(report)
    return 0 if report.whole else 1


def _run_to_end(plan: SweepPlan, args: argparse.Namespace) -> int:
    counts = ProgressCounts(len(plan.chosen), 0, plan.sweep.jobs)
    interrupt = _Interrupt()
    as_lines = args.no_progress or args.form == "json"
    shown = show_progress(sys.stderr, plan.sweep.name, counts, plan.sweep.budget, as_lines=as_lines)
    with shown as listener:
        interrupt.at_once = listener.close  # the terminal is left as it was
        result = asyncio.run(_run_session(plan, listener, interrupt))
    if result is None:
        return interrupt.exit_code
    code = _report(plan, result, args)
    return interrupt.exit_code or code


class _Interrupt:
    """Handles SIGINT and SIGTERM: the first one ends the sweep in order, the second one at once."""

    def __init__(self) -> None:
        self.exit_code = 0
        self.came = asyncio.Event()
        self.at_once: Callable[[], None] | None = None
        """Is called before the second signal ends this process."""

    def __call__(self, number: signal.Signals) -> None:
        if self.exit_code:
            if self.at_once is not None:
                self.at_once()
            # The cells' processes notice that this process has ended, and end their agents themselves.
            os._exit(128 + number)
        self.exit_code = 128 + number
        self.came.set()


async def _run_session(
    plan: SweepPlan, listener: ProgressListener, interrupt: _Interrupt
) -> SessionResult | None:
    """Run the sweep; None if it was stopped before its first cell."""
    on_stop_signal(interrupt)
    engines: list[Scheduler] = []
    try:
        async with asyncio.TaskGroup() as group:
            session = group.create_task(
                run_session(plan, load_executor(plan.executor_context()), listener, engines.append)
            )
            stopper = group.create_task(_stop(interrupt, engines, session))
            await asyncio.wait({session})
            stopper.cancel()
    except BaseExceptionGroup as several:
        raise _first_error(several) from several
    return None if session.cancelled() else session.result()


async def _stop(
    interrupt: _Interrupt, engines: list[Scheduler], session: asyncio.Task[SessionResult]
) -> None:
    await interrupt.came.wait()
    name = signal.Signals(interrupt.exit_code - 128).name
    if engines:
        await engines[0].stop(f"stopped by {name}")
    else:
        session.cancel()


def _first_error(error: BaseException) -> BaseException:
    """Return the first error of a group: the one that a user can fix."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    return _first_error(cast("BaseExceptionGroup[BaseException]", error).exceptions[0])
