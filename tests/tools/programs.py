"""Programs that tests run as processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

CAB = Path(sys.executable).with_name("cab")
"""The command `cab` as it is installed: what tests start themselves is quicker with `tests.tools.commands`."""


def run(
    *command: str | Path,
    cwd: Path | None = None,
    hidden: tuple[str, ...] = ("CAB_",),
    timeout_s: float | None = 200,
) -> str:
    """Run a program that must succeed and return what it printed.

    Args:
        *command: The program and its arguments.
        cwd: Folder to run it in.
        hidden: Beginnings of environment variables that it does not see: settings of whoever runs
            the tests.
        timeout_s: Longest time that it may take.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def run_python(*arguments: str | Path, cwd: Path | None = None) -> str:
    """Run this Python that must succeed and return what it printed."""
    return run(sys.executable, *arguments, cwd=cwd)
