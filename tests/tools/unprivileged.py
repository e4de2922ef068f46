"""Runs Python as a user who is not root: root reads everything, so that nothing could be shown."""

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65534
_MODULES = os.pathsep.join(path for path in sys.path if path)


def identity() -> dict[str, Any]:
    """Return the arguments of `subprocess` that make a child another user than root."""
    if os.geteuid():
        return {}
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []}


def environment(**variables: str) -> dict[str, str]:
    """Return an environment in which our modules are found, and nothing else is set."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": _MODULES, **variables}


@functools.cache
def python() -> str:
    """Return an interpreter that the other user may start; it must have our version of Python."""
    for candidate in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        words = [candidate, "-P", "-c", "import cab.adapters.runs.run_cell"]
        try:
            done = subprocess.run(
                words, env=environment(), cwd="/", capture_output=True, check=False, **identity()
            )
        except OSError:
            continue
        if done.returncode == 0:
            return candidate
    pytest.skip("no interpreter can be started by another user than root")


def cab(*arguments: str) -> list[str]:
    """Return the words that run the command `cab`."""
    code = "import sys; from cab.adapters.cli import main; sys.exit(main())"
    return [python(), "-P", "-c", code, *arguments]


@contextmanager
def open_folder() -> Generator[Path]:
    """Make a folder in which any user may work."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def run(words: Sequence[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run words to their end as another user than root; they must succeed."""
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment(HOME=str(folder), TMPDIR=str(folder), **variables),
        capture_output=True,
        text=True,
        check=False,
        **identity(),
    )
    assert done.returncode == 0, done.stderr
    return done
