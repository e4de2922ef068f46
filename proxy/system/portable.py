"""Processes of any system, through psutil; the functions are those of procfs.py."""

import os
from collections.abc import Callable, Iterable
from typing import TypeVar

import psutil

from cab.proxy.system.process_facts import ProcessFacts

_MICROSECONDS = 1_000_000
_Answer = TypeVar("_Answer")


def process_ids() -> list[int]:
    """Return the ids of all processes, zombies too."""
    return psutil.pids()


def facts_of(pid: int) -> ProcessFacts | None:
    """Return what is known of a process; None if it does not run."""
    return _ask(pid, _facts)


def parent_of(pid: int) -> int | None:
    """Return the parent of a process, of a zombie too; None for one that has ended."""
    return _ask(pid, psutil.Process.ppid)


def children_of(pid: int) -> list[int]:
    """Return the children of a process."""
    return [child.pid for child in _ask(pid, psutil.Process.children) or ()]


def arguments_of(pid: int) -> bytes | None:
    """Return the arguments of a process, each ended by a NUL; None if they cannot be read."""
    words = _ask(pid, psutil.Process.cmdline)
    return None if words is None else _joined(words)


def environment_of(pid: int) -> bytes | None:
    """Return the environment with which a process was started, each variable ended by a NUL; None as above.

    Of its own programs macOS shows none.
    """
    found = _ask(pid, psutil.Process.environ)
    return None if found is None else _joined(f"{name}={text}" for name, text in found.items())


def _facts(process: psutil.Process) -> ProcessFacts | None:
    if process.status() in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}:
        return None
    started = round(process.create_time() * _MICROSECONDS)
    group, session = os.getpgid(process.pid), os.getsid(process.pid)
    return ProcessFacts(process.ppid(), group, session, started)


def _ask(pid: int, question: Callable[[psutil.Process], _Answer]) -> _Answer | None:
    try:
        return question(psutil.Process(pid))
    except (psutil.Error, OSError):
        return None  # it has ended, or is another user's


def _joined(texts: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(text) + b"\0" for text in texts)
