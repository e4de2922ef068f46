"""Finds and ends all processes of a run, also those that left its process group.

A run's processes are those in its group or session, their descendants, and those that carry the
run's mark in their environment: a daemon that detached itself still has it.
"""

import asyncio
import os
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from typing import NamedTuple

from cab.adapters.errors import RunFailed
from cab.proxy.system.processes import environment_of, facts_of, process_ids

KILL_S = 10.0
"""How long a process may take to die of SIGKILL; one that waits for a disk takes a while."""

RUN_MARK = "CAB_RUN_MARK"
"""Environment variable that every process of a run inherits."""

_POLL_S = 0.02


class Known(NamedTuple):
    """A process that was seen to belong to a run."""

    pid: int
    started: int


def run_processes(
    leader: int, mark: str, known: Collection[Known] = frozenset()
) -> frozenset[Known]:
    """Return all living processes of a run.

    Args:
        leader: Process that was started, leader of its group and session.
        mark: Value of `RUN_MARK` in its environment.
        known: Processes that were seen to belong to it before: one whose parent has died cannot be
            found by its descent any more.
    """
    listed = {pid: facts for pid in process_ids() if (facts := facts_of(pid)) is not None}
    found = {
        pid
        for pid, each in listed.items()
        if leader in (each.group, each.session)
        or _mark_of(pid) == mark
        or Known(pid, each.started) in known
    }
    while more := {pid for pid, each in listed.items() if each.parent in found} - found:
        found |= more
    return frozenset(Known(pid, listed[pid].started) for pid in found)


async def end_processes(leader: int, mark: str, grace_s: float, kill_s: float = KILL_S) -> int:
    """End all processes of a run: SIGTERM, then SIGKILL once the grace time is over.

    Args:
        leader: Process that was started, leader of its group and session.
        mark: Value of `RUN_MARK` in its environment.
        grace_s: Seconds between the two.
        kill_s: Seconds after which SIGKILL has failed.

    Returns:
        How many there were when it began.

    Raises:
        RunFailed: Some did not end.
    """
    first = known = alive = run_processes(leader, mark)
    _signal(alive, signal.SIGTERM)
    kill_from = time.monotonic() + grace_s
    while alive:
        if time.monotonic() > kill_from + kill_s:
            raise RunFailed(f"processes {sorted(each.pid for each in alive)} cannot be ended")
        if time.monotonic() > kill_from:
            _signal(alive, signal.SIGKILL)
        await asyncio.sleep(_POLL_S)
        alive = run_processes(leader, mark, known)
        known |= alive
    return len(first)


def _signal(processes: Collection[Known], number: signal.Signals) -> None:
    for each in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(each.pid, number)


def is_running(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    return facts_of(pid) is not None


def started_at(pid: int) -> int | None:
    """Return when a process was started, in a unit of the system; None if it does not run."""
    facts = facts_of(pid)
    return None if facts is None else facts.started


def _mark_of(pid: int) -> str | None:
    prefix = RUN_MARK.encode() + b"="
    for item in (environment_of(pid) or b"").split(b"\0"):
        if item.startswith(prefix):
            return os.fsdecode(item.removeprefix(prefix))
    return None
