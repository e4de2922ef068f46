"""Runs a command in the foreground, as `time` does: on our terminal, in our process group, in our place.

The command has our standard streams, all other open descriptors that a shell gave us, and our signal
mask. A terminal sends Ctrl-C, Ctrl-Z and a new size to the whole process group, so the command has them
without us; we only must not react before it has. What was sent to our process alone is passed on.
"""

import errno
import os
import signal
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from cab.adapters.errors import NotStarted

NOT_FOUND: Final = 127
"""Exit code, as a shell has it, for a command that is not there."""
NOT_EXECUTABLE: Final = 126
"""The same for one that is there and cannot be run."""

_ENDING = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
_PASSED_ON = (*_ENDING, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
_OF_TERMINALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGWINCH)
_STOPPING = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_WAITED_FOR = frozenset((*_PASSED_ON, *_STOPPING, signal.SIGCHLD))
_BY_KERNEL = 0x80
"""`si_code` of what a terminal sends: the command has got it too."""
# Python ignores these for itself; the command starts with what a shell would give it.
_PYTHONS_OWN = (signal.SIGPIPE, signal.SIGXFSZ)


class CommandNotStarted(NotStarted):
    """A command that cannot be run; `code` is what a shell would exit with."""

    def __init__(self, command: str, reason: str, code: int) -> None:
        super().__init__(f"{command}: {reason}")
        self.code = code


@contextmanager
def signals_held() -> Generator[frozenset[signal.Signals]]:
    """Hold back the signals that `run_foreground` waits for, for all threads that start inside the block.

    Yields:
        The mask that was there before, which the command gets.
    """
    # Where the parent ignores ended children, nobody could ask how the command ended.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
    mask = frozenset(signal.Signals(number) for number in before)
    try:
        yield mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def run_foreground(
    argv: Sequence[str], env: Mapping[str, str], mask: frozenset[signal.Signals]
) -> int:
    """Run a command to its end and return its exit code: 128 and the number, if a signal ended it.

    Call it inside `signals_held`.

    Args:
        argv: Program, which is looked up in PATH, and arguments.
        env: Its whole environment.
        mask: Signals that it has blocked.

    Raises:
        CommandNotStarted: There is no such program, or it cannot be run.
        SystemExit: A signal came before it was started.
    """
    came = signal.sigpending() & set(_ENDING)
    if came:
        raise SystemExit(128 + min(came))
    pid = _spawn(argv, env, mask)
    while True:
        status = _next_status(pid)
        if os.WIFSTOPPED(status):
            _stop_too(pid, os.WSTOPSIG(status))
        else:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _spawn(argv: Sequence[str], env: Mapping[str, str], mask: frozenset[signal.Signals]) -> int:
    command = argv[0]
    try:
        return _posix_spawn(argv, env, mask)
    except OSError as error:
        if error.errno == errno.ENOEXEC:  # a script without a first line that names its shell
            return _posix_spawn(["/bin/sh", *argv], env, mask)
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            is_name = "/" not in command
            reason = "command not found" if is_name else "no such file"
            raise CommandNotStarted(command, reason, NOT_FOUND) from error
        reason = error.strerror or "cannot be run"
        raise CommandNotStarted(command, reason, NOT_EXECUTABLE) from error


def _posix_spawn(
    argv: Sequence[str], env: Mapping[str, str], mask: frozenset[signal.Signals]
) -> int:
    return os.posix_spawnp(argv[0], list(argv), env, setsigmask=mask, setsigdef=_PYTHONS_OWN)


def _next_status(pid: int) -> int:
    """Return how the command has stopped or ended; pass signals on until then."""
    while True:
        number, is_ours_alone = _next_signal(pid)
        if number == signal.SIGCHLD:
            changed, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
            if changed:
                return status
        elif is_ours_alone:
            os.kill(pid, number)


def _next_signal(pid: int) -> tuple[int, bool]:
    """Return the next signal, and whether the command has not got it already."""
    if sys.platform == "darwin":
        # Nobody says there who has sent it: with a terminal, what terminals send is taken for sent by ours.
        number = signal.sigwait(_WAITED_FOR)
        return number, number not in _OF_TERMINALS or not _has_terminal()
    received = signal.sigwaitinfo(_WAITED_FOR)
    return received.si_signo, received.si_code != _BY_KERNEL and received.si_pid != pid


def _stop_too(pid: int, number: int) -> None:
    """Stop as the command has, so that its shell takes the terminal; go on when the shell says so.

    What others stop with SIGSTOP, as to slow it down, they let go on themselves: we go on metering then.
    """
    if number not in _STOPPING and not _has_terminal():
        return
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTSTP,))  # here we stop
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTSTP,))
    os.kill(pid, signal.SIGCONT)


def _has_terminal() -> bool:
    """Return whether our process group is in the foreground of a terminal."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
