"""Becomes a program under resource limits: run as a script, by file name.

    python -I -S launcher.py become|supervise STATUS-FD LIMITS-AS-JSON PROGRAM ARGUMENT...

`supervise` runs the program as a child instead, becomes the parent of whatever it leaves behind, kills
that when the program has ended, and ends as the program did: a process that changed its session, lost
its parent and cleared its environment is found too.

Setting limits between fork and exec would run Python in a process that threads were copied into.
Only the standard library is imported: this runs before every agent.
"""

import json
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType

BECOME = "become"
SUPERVISE = "supervise"

_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.005


def main(argv: list[str]) -> None:
    """Become the program, or its parent; if it cannot be started, write the reason to the status pipe."""
    how, status, limits, *program = argv[1:]
    if how == SUPERVISE:
        supervise(int(status))
    become(int(status), limits, program)


def become(status: int, limits: str, program: list[str]) -> None:
    """Become the program."""
    os.set_inheritable(status, False)
    try:
        set_limits(json.loads(limits))
        os.execvp(program[0], program)
    except (OSError, ValueError, OverflowError) as error:
        os.write(status, (getattr(error, "strerror", None) or str(error)).encode())
    sys.exit(127)


def supervise(status: int) -> None:
    """Return in a child of this process; the process itself ends as that child does."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - agents, which are not supervised, need not wait for it

        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, _end_at_once)
    program = os.fork()
    if not program:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()  # what it sends to its group must not end this process
        return
    # Whoever reads the output waits for the program and not for us.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (status, 0, 1, 2):
        os.dup2(nowhere, descriptor)
    while (ended := os.waitpid(-1, 0))[0] != program:
        pass
    if sys.platform != "linux":
        # Orphans do not become our children there: those that stayed in the program's group are found.
        with suppress(OSError):
            os.killpg(program, signal.SIGKILL)
    end_descendants()
    code = os.waitstatus_to_exitcode(ended[1])
    if code < 0:
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), -code)
    os._exit(code)


def _end_at_once(number: int, _: FrameType | None) -> None:
    end_descendants()
    os._exit(128 + number)


def end_descendants() -> None:
    """Kill all descendants, also those that are born meanwhile; return when there are none."""
    while True:
        for pid in _descendants():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(_POLL_S)


def _descendants() -> Iterator[int]:
    children = defaultdict[int, list[int]](list)
    for pid, parent in _parents():
        children[parent].append(pid)
    waiting = children[os.getpid()]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children[pid]


def _parents() -> Iterator[tuple[int, int]]:
    """Yield each process with its parent."""
    if sys.platform != "linux":
        import subprocess  # noqa: PLC0415 - agents need not wait for it

        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, check=True)
        for line in listing.stdout.splitlines():
            pid, parent = line.split()
            yield int(pid), int(parent)
        return
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended
                # The name is in brackets and may hold anything, brackets too.
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                yield int(entry.name), int(fields[1])


def set_limits(limits: Mapping[str, int]) -> None:
    """Set limits of this process, none above its hard limits."""
    for name, value in limits.items():
        which = getattr(resource, name)
        _, hard = resource.getrlimit(which)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (allowed, allowed))


if __name__ == "__main__":
    main(sys.argv)
