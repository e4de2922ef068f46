"""Runs the commands that build an agent's folder, and logs their output."""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cab.adapters.errors import InstallFailed
from cab.adapters.processes.agent_process import new_mark
from cab.adapters.processes.cleanup import CleanupPlan, watched_cleanup
from cab.adapters.processes.tree import RUN_MARK

BUILD_LIMIT_S = 7200.0
"""Time for one command: a registry that goes silent in the middle of a download ends it."""
PROBE_LIMIT_S = 30.0
"""Time for a program to say its version."""
_OUR_PYTHON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
# With these pip would install into another folder, or less than the agent needs.
_PIP_TARGETS = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_NO_DEPS", "PIP_DRY_RUN")


class BuildSteps:
    """The commands that build one agent's folder, one after the other, with one log.

    Args:
        name: The agent's.
        log: File for the output of the commands; made anew.
        summarize: Returns the reason of a failure from the output, in one line.
    """

    def __init__(self, name: str, log: Path, summarize: Callable[[str], str]) -> None:
        self.name = name
        self._log = log
        self._summarize = summarize
        log.write_bytes(b"")

    def run(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Run a command to its end.

        Args:
            command: Program and arguments.
            env: Variables besides those of our own environment.

        Raises:
            InstallFailed: It failed; the reason is from the command's output.
        """
        mark = new_mark()
        # npm and pip have children, which would go on without us.
        with self._log.open("ab") as output, watched_cleanup(CleanupPlan(mark=mark)):
            try:
                done = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    # The current folder may hold settings and modules of the user.
                    cwd=self._log.parent,
                    env={**outer_environment(), **(env or {}), RUN_MARK: mark},
                    timeout=BUILD_LIMIT_S,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:  # the watchdog ends what it started
                reason = f"{Path(command[0]).name}: it did not end within {BUILD_LIMIT_S:g} s"
                raise InstallFailed(self.name, reason, self._log) from error
        if done.returncode:
            reason = self._summarize(self._log.read_text(errors="replace")) or "no reason given"
            raise InstallFailed(self.name, f"{Path(command[0]).name}: {reason}", self._log)

    def failed(self, reason: str) -> InstallFailed:
        """Return the error of a build that ended without the agent."""
        return InstallFailed(self.name, reason, self._log if self._log.stat().st_size else None)

    def done(self) -> None:
        """Remove the log: the build succeeded."""
        self._log.unlink()


def outer_environment() -> dict[str, str]:
    """Return our environment for build commands, without our keys and our Python's settings.

    What is built may run code of its own.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("CAB_") and name not in (*_OUR_PYTHON, *_PIP_TARGETS)
    }


def program_output(command: Sequence[str | Path], hidden_prefix: str) -> str | None:
    """Return what a program prints; None if it fails, as a broken wrapper does.

    Args:
        command: Program and arguments.
        hidden_prefix: Variables that start with it are taken out of its environment.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith(hidden_prefix)}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_LIMIT_S, check=True, env=env
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout


def last_line(text: str) -> str:
    r"""Return the last line that is not blank; empty if all are.

    >>> last_line("Collecting x\nERROR: no such version\n\n")
    'ERROR: no such version'
    """
    return next((line.strip() for line in reversed(text.split("\n")) if line.strip()), "")
