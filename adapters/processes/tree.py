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
from pathlib import Path
from typing import NamedTuple

from cab.adapters.errors import RunFailed

KILL_S = 10.0
"""How long a process may take to die of SIGKILL; one that waits for a disk takes a while."""

RUN_MARK = "CAB_RUN_MARK"
"""Environment variable that every process of a run inherits."""

_PROC = Path("/proc")
_POLL_S = 0.02


class Process(NamedTuple):
    """One process, as /proc shows it."""

    pid: int
    parent: int
    group: int
    session: int
    started: int
    """Clock ticks since boot: with `pid` it identifies a process, as ids are used again."""
    mark: str | None


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
    listed = _list_processes()
    found = {
        each.pid
        for each in listed
        if leader in (each.group, each.session)
        or each.mark == mark
        or Known(each.pid, each.started) in known
    }
    while more := {each.pid for each in listed if each.parent in found} - found:
        found |= more
    return frozenset(Known(each.pid, each.started) for each in listed if each.pid in found)


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


def _list_processes() -> list[Process]:
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    return [each for pid in pids if (each := _read_process(pid)) is not None]


def _read_process(pid: int) -> Process | None:
    fields = _stat(pid)
    if fields is None:
        return None
    parent, group, session, started = (int(fields[index]) for index in (1, 2, 3, 19))
    return Process(pid, parent, group, session, started, _mark_of(pid))


def is_running(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    return _stat(pid) is not None


def started_at(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since boot; None if it does not run."""
    fields = _stat(pid)
    return None if fields is None else int(fields[19])


def _stat(pid: int) -> list[bytes] | None:
    """Return the fields of a process's status from its state on; None if it does not run."""
    try:
        # The name is in brackets and may hold anything, brackets too.
        fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {b"Z", b"X"} else fields


def _mark_of(pid: int) -> str | None:
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return None  # another user's
    prefix = RUN_MARK.encode() + b"="
    for item in environment.split(b"\0"):
        if item.startswith(prefix):
            return os.fsdecode(item.removeprefix(prefix))
    return None
