"""Finds and ends all processes of a run, also those that left its process group.

A run's processes are those in its group or session, their descendants, and those that carry the
run's mark in their environment: a daemon that detached itself still has it.
"""

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cab.adapters.errors import RunFailed

RUN_MARK = "CAB_RUN_MARK"
"""Environment variable that every process of a run inherits."""

_PROC = Path("/proc")
_POLL_S = 0.02
_KILL_S = 10.0


class Process(NamedTuple):
    """One process, as /proc shows it."""

    pid: int
    parent: int
    group: int
    session: int
    mark: str | None


def run_processes(leader: int, mark: str) -> set[int]:
    """Return the ids of all living processes of a run.

    Args:
        leader: Process that was started, leader of its group and session.
        mark: Value of `RUN_MARK` in its environment.
    """
    listed = _list_processes()
    found = {
        each.pid for each in listed if leader in (each.group, each.session) or each.mark == mark
    }
    while True:
        more = {each.pid for each in listed if each.parent in found} - found
        if not more:
            return found
        found |= more


async def end_processes(leader: int, mark: str, grace_s: float) -> int:
    """End all processes of a run: SIGTERM, then SIGKILL once the grace time is over.

    Returns:
        How many there were when it began.

    Raises:
        RunFailed: Some did not end.
    """
    first = run_processes(leader, mark)
    _signal(first, signal.SIGTERM)
    if not await _gone(leader, mark, grace_s):
        deadline = time.monotonic() + _KILL_S
        # A process may fork while it is looked for, so this goes on until none is left.
        while alive := run_processes(leader, mark):
            if time.monotonic() > deadline:
                raise RunFailed(f"processes {sorted(alive)} of the agent cannot be ended")
            _signal(alive, signal.SIGKILL)
            await asyncio.sleep(_POLL_S)
    return len(first)


async def _gone(leader: int, mark: str, limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while run_processes(leader, mark):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _list_processes() -> list[Process]:
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    return [each for pid in pids if (each := _look(pid)) is not None]


def _look(pid: int) -> Process | None:
    """Return what /proc says of a process; None if it has gone, or is only waited for."""
    try:
        # The name is in brackets and may hold anything, brackets too.
        fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    if fields[0] in {b"Z", b"X"}:
        return None
    return Process(pid, int(fields[1]), int(fields[2]), int(fields[3]), _mark_of(pid))


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
