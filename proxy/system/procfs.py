"""Processes of Linux, read from /proc."""

from contextlib import suppress
from pathlib import Path

from cab.proxy.system.process_facts import ProcessFacts

_PROC = Path("/proc")
_PARENT, _GROUP, _SESSION, _STARTED = 1, 2, 3, 19  # counted from the state on


def process_ids() -> list[int]:
    """Return the ids of all processes, zombies too."""
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def facts_of(pid: int) -> ProcessFacts | None:
    """Return what is known of a process; None if it does not run."""
    fields = _status(pid)
    if fields is None or fields[0] in {b"Z", b"X"}:
        return None
    return ProcessFacts(*(int(fields[at]) for at in (_PARENT, _GROUP, _SESSION, _STARTED)))


def parent_of(pid: int) -> int | None:
    """Return the parent of a process, of a zombie too; None for one that has ended."""
    fields = _status(pid)
    return None if fields is None else int(fields[_PARENT])


def children_of(pid: int) -> list[int]:
    """Return the children of a process; of each thread of it, as the kernel lists them."""
    found: list[int] = []
    # Processes and threads may end at any time; then even the folder of threads is gone.
    with suppress(OSError):
        for listing in (_PROC / str(pid) / "task").glob("*/children"):
            with suppress(OSError):
                found += [int(child) for child in listing.read_text().split()]
    return found


def arguments_of(pid: int) -> bytes | None:
    """Return the arguments of a process, each ended by a NUL; None if they cannot be read."""
    return _read(pid, "cmdline")


def environment_of(pid: int) -> bytes | None:
    """Return the environment with which a process was started, each variable ended by a NUL; None as above."""
    return _read(pid, "environ")


def _status(pid: int) -> list[bytes] | None:
    """Return the fields of a process's status from its state on; None if it has ended."""
    # The name is in brackets and may hold anything, brackets too.
    text = _read(pid, "stat")
    return None if text is None else text.rpartition(b")")[2].split()


def _read(pid: int, name: str) -> bytes | None:
    try:
        return (_PROC / str(pid) / name).read_bytes()
    except OSError:
        return None  # it has ended, or is another user's
