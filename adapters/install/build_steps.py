"""Runs the commands that build an agent's folder, and keeps what they say."""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cab.adapters.errors import InstallFailed

_OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
# With these pip would install elsewhere, or less than the agent needs.
_ELSEWHERE = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_NO_DEPS", "PIP_DRY_RUN")


class BuildSteps:
    """The commands that build one agent's folder, one after the other, with one log.

    Args:
        name: The agent's.
        log: Takes what the commands say; made anew.
        gist: Returns what matters of that, in one line.
    """

    def __init__(self, name: str, log: Path, gist: Callable[[str], str]) -> None:
        self.name = name
        self._log = log
        self._gist = gist
        log.write_bytes(b"")

    def run(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Run a command to its end.

        Args:
            command: Program and arguments.
            env: Variables besides those of our own environment.

        Raises:
            InstallFailed: It failed; says what the command said.
        """
        with self._log.open("ab") as output:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # The folder that the user stands in may have settings, and modules, of its own.
                cwd=self._log.parent,
                env={**outer_environment(), **(env or {})},
                check=False,
            )
        if done.returncode:
            said = self._gist(self._log.read_text(errors="replace")) or "nothing"
            raise InstallFailed(self.name, f"{Path(command[0]).name} says: {said}", self._log)

    def failed(self, reason: str) -> InstallFailed:
        """Return the error of a build that ended without the agent."""
        return InstallFailed(self.name, reason, self._log if self._log.stat().st_size else None)

    def done(self) -> None:
        """Remove the log: all went well."""
        self._log.unlink()


def outer_environment() -> dict[str, str]:
    """Return our own environment for a command that builds.

    What is built may run code of its own: it sees no key of ours, and none of our Python.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("CAB_") and name not in (*_OURS, *_ELSEWHERE)
    }


def last_line(text: str) -> str:
    r"""Return the last line that says something; empty if none does.

    >>> last_line("Collecting x\nERROR: no such version\n\n")
    'ERROR: no such version'
    """
    return next((line.strip() for line in reversed(text.split("\n")) if line.strip()), "")
