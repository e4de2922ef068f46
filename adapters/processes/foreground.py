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
_STOPPING = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
_WAITED_FOR = frozenset((*_PASSED_ON, *_STOPPING, signal.SIGCHLD))
_BY_TERMINAL = frozenset(
    (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGWINCH, *_STOPPING)
)
_BY_KERNEL = 0x80
"""`si_code` of what a terminal sends: the command has got it too."""
# Python ignores these for itself; the command starts with what a shell would give it.
_PYTHONS_OWN = (signal.SIGPIPE, signal.SIGXFSZ)


class CommandNotStarted(NotStarted):
    """A command that cannot be run; `code` is what a shell would exit with."""

    def __init__(self, command: str, reason: str, code: int) -> None:
        super().__init__(f"{command}: {reason}")
        self.code = code


def _do_nothing(_number: int, _frame: object) -> None:
    """Handle a signal that is waited for."""


@contextmanager
def signals_held() -> Generator[frozenset[signal.Signals]]:
    """Hold back the signals that `run_foreground` waits for, for all threads that start inside the block.

    Yields:
        The mask that was there before, which the command gets.
    """
    # Where the parent ignores ended children, nobody could ask how the command ended. Without a handler,
    # BSD systems drop these two even while somebody waits for them.
    for number in (signal.SIGCHLD, signal.SIGWINCH):
        signal.signal(number, _do_nothing)
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
    status = _next_status(pid)
    while os.WIFSTOPPED(status):
        since = _stop_too(pid, os.WSTOPSIG(status))
        status = _next_status(pid) if since is None else since
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _spawn(argv: Sequence[str], env: Mapping[str, str], mask: frozenset[signal.Signals]) -> int:
    command = argv[0]
    try:
        return _posix_spawn(argv, env, mask)
    except ValueError as error:  # the name is empty
        raise CommandNotStarted(repr(command), "command not found", NOT_FOUND) from error
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
        number, is_known_to_it = _next_signal(pid)
        if number == signal.SIGCHLD:
            changed, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
            if changed:
                return status
        elif not is_known_to_it:
            os.kill(pid, number)


def _next_signal(pid: int) -> tuple[int, bool]:
    """Wait for a signal; return its number, and whether the command has got it too."""
    if sys.platform != "darwin":
        received = signal.sigwaitinfo(_WAITED_FOR)
        return received.si_signo, received.si_code == _BY_KERNEL or received.si_pid == pid
    # Nothing there says who sent it: what a terminal before us can send, it is taken to have sent.
    number = signal.sigwait(_WAITED_FOR)
    return number, number in _BY_TERMINAL and _has_terminal()


def _stop_too(pid: int, number: int) -> int | None:
    """Stop as the command has, so that its shell takes the terminal; go on when the shell says so.

    What others stop with SIGSTOP, as to slow it down, they let go on themselves: we go on metering then.

    Returns:
        How the command has stopped again, or ended, before we went on; None if it has not.
    """
    if number not in _STOPPING and not _has_terminal():
        return None
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTSTP,))  # here we stop
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTSTP,))
    changed, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
    if not changed:
        os.kill(pid, signal.SIGCONT)
    # A shell lets the whole group go on. What the command has done since is its own: it may have stopped again.
    return status if changed and not os.WIFCONTINUED(status) else None


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
