"""Starts a program as one of the users inside, and tells how it ended.

Only the standard library is imported: this runs as container root. The process of container root has
one thread, so Python may run between fork and exec.
"""

import os
import signal
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from cab.adapters.processes.launcher import set_limits
from cab.adapters.runs.inside.privileges import become_user

ROLE_NICENESS: Final = 19
"""Of agents and checks: a thousand processes of theirs must not take the processor from cab, which ends them."""


class Program(NamedTuple):
    """What is started."""

    argv: Sequence[str]
    env: Mapping[str, str]
    """Its whole environment."""
    cwd: str
    uid: int
    gid: int
    groups: Sequence[int] = ()
    limits: Mapping[str, int] = {}
    """Resource limits, such as `{"RLIMIT_CPU": 60}`."""
    niceness: int = 0
    keep: Sequence[int] = ()
    """Descriptors that it inherits beside the first three."""


class CannotStart(Exception):
    """A program that cannot be started; says why."""


def start(program: Program, streams: Sequence[int] = (0, 1, 2), *, drop: bool = True) -> int:
    """Start a program in a session of its own; return its process id.

    Args:
        program: The program.
        streams: Its input, output and messages.
        drop: Whether it becomes another user; only container root can do so.

    Raises:
        CannotStart: It cannot be started.
    """
    for number in streams[1:]:
        _let_reopen(number, program)
    status, write_status = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            _become(program, streams, drop=drop)
        except BaseException as error:  # noqa: BLE001 - nothing may return into the parent's code
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            os.write(write_status, reason.encode()[:1000])
        finally:
            os._exit(127)
    os.close(write_status)
    with os.fdopen(status, "rb") as pipe:
        reason = pipe.read().decode(errors="replace")
    if reason:
        os.waitpid(pid, 0)
        raise CannotStart(reason)
    return pid


def _become(program: Program, streams: Sequence[int], *, drop: bool) -> None:
    signal.set_wakeup_fd(-1)
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD):
        signal.signal(each, signal.SIG_DFL)
    os.setsid()
    held = [os.dup(number) for number in streams]  # dup2 could overwrite one that is still needed
    for target, number in enumerate(held):
        os.dup2(number, target)
    for number in program.keep:
        os.set_inheritable(number, True)
    if drop:
        become_user(program.uid, program.gid, program.groups)
    os.nice(program.niceness)
    os.umask(0o022)
    set_limits(program.limits)
    os.chdir(program.cwd)
    # All other descriptors close themselves, the status pipe too: its end says that the program runs.
    os.execvpe(program.argv[0], list(program.argv), dict(program.env))


def _let_reopen(stream: int, program: Program) -> None:
    """Let the program open its own output again by name, as `/dev/stderr` does."""
    facts = os.fstat(stream)
    if stat.S_ISFIFO(facts.st_mode) and facts.st_uid != program.uid:
        with suppress(OSError):  # then only opening it by name fails
            os.fchown(stream, program.uid, program.gid)


def living(uid: int) -> list[int]:
    """Return the ids of the processes of a user, with those that only wait for their parent to take them.

    By the owner of their folder in /proc, which is their effective user: to read the status of each of
    thousands that fork without end would take longer than to end them.
    """
    return [
        int(entry.name)
        for entry in os.scandir("/proc")
        if entry.name.isdigit() and _owner(entry) == uid
    ]


def _owner(entry: os.DirEntry[str]) -> int | None:
    try:
        return entry.stat().st_uid
    except OSError:  # it has ended
        return None


def signal_user(uid: int, number: int, sender: int) -> None:
    """Send a signal to all processes of a user at once, which no fork can outrun.

    For the moment the real user of this process is one that nobody has: those who get the signal can
    send none to this process, as they could if it were one of them altogether.

    Args:
        uid: The user.
        number: The signal.
        sender: The user that nobody has.

    Raises:
        OSError: Container root may not become another user.
    """
    os.setresuid(sender, uid, 0)
    try:
        with suppress(ProcessLookupError):
            os.kill(-1, number)
    finally:
        os.setresuid(0, 0, 0)


def exit_code(status: int) -> int:
    """Return the exit code of a wait status; 128 and the signal's number if a signal ended it."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
