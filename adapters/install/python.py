"""Finds a Python that an agent supports: agents are often behind the newest one."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from shutil import which
from typing import NamedTuple

from cab.adapters.agents.base import PyPIInstall

_PROBE = "import sys; print(*sys.version_info[:3])"
_PROBE_LIMIT_S = 10.0


class Interpreter(NamedTuple):
    """A Python on this machine."""

    path: Path
    version: tuple[int, int, int]


def find_interpreter(need: PyPIInstall) -> Interpreter | None:
    """Return the newest Python on the PATH, or of pyenv, that an agent supports; None if none is."""
    found = filter(None, map(_probe, _candidates(need)))
    fitting = [each for each in found if supports(need, each.version)]
    return max(fitting, key=lambda each: each.version, default=None)


def supports(need: PyPIInstall, version: tuple[int, ...]) -> bool:
    """Tell whether an agent supports a version of Python."""
    return need.python_min <= version[:2] < need.python_below


def versions_text(need: PyPIInstall) -> str:
    """Return the supported versions for a person.

    >>> versions_text(PyPIInstall("x", "x", (3, 10), (3, 13)))
    'Python 3.10 to 3.12'
    """
    (major, first), (_, below) = need.python_min, need.python_below
    return f"Python {major}.{first} to {major}.{below - 1}"


def _candidates(need: PyPIInstall) -> Iterator[Path]:
    yield Path(sys.executable)
    (major, first), (_, below) = need.python_min, need.python_below
    for name in ["python3", *(f"python{major}.{minor}" for minor in range(first, below))]:
        path = which(name)
        if path is not None:
            yield Path(path)
    yield from _pyenv(f"{major}.{minor}" for minor in range(first, below))


def _pyenv(versions: Iterable[str]) -> Iterator[Path]:
    """Yield the Pythons of pyenv: those that are not switched on are on no PATH."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for version in versions:
        yield from root.glob(f"versions/{version}.*/bin/python")


def _probe(path: Path) -> Interpreter | None:
    """Return an interpreter with its version; a wrapper that leads nowhere is none."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(
            [path, "-I", "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_LIMIT_S,
            check=True,
            env=env,
        )
        major, minor, micro = (int(part) for part in done.stdout.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return Interpreter(path, (major, minor, micro))
