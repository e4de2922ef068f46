"""Finds a Python that an agent supports: agents often do not support the newest one."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from shutil import which
from typing import NamedTuple

from cab.adapters.agents.base import PyPIInstall
from cab.adapters.install.build_steps import program_output

_PROBE = "import sys; print(*sys.version_info[:3])"
_ANSWER = re.compile(r"(\d+) (\d+) (\d+)\n")


class Interpreter(NamedTuple):
    """A Python on this machine."""

    path: Path
    version: tuple[int, int, int]


def find_interpreter(need: PyPIInstall) -> Interpreter | None:
    """Return the newest Python on the PATH or of pyenv that an agent supports; None if there is none."""
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
    newest = f" to {major}.{below - 1}" if below - 1 > first else ""
    return f"Python {major}.{first}{newest}"


def _candidates(need: PyPIInstall) -> Iterator[Path]:
    yield Path(sys.executable)
    (major, first), (_, below) = need.python_min, need.python_below
    for name in ["python3", *(f"python{major}.{minor}" for minor in range(first, below))]:
        path = which(name)
        if path is not None:
            yield Path(path)
    yield from _pyenv(f"{major}.{minor}" for minor in range(first, below))


def _pyenv(versions: Iterable[str]) -> Iterator[Path]:
    """Yield the Pythons of pyenv, also those that are not active and so not on the PATH."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for version in versions:
        yield from root.glob(f"versions/{version}.*/bin/python")


def _probe(path: Path) -> Interpreter | None:
    answer = _ANSWER.fullmatch(program_output([path, "-I", "-c", _PROBE], "PYTHON") or "")
    if answer is None:
        return None
    return Interpreter(path, (int(answer[1]), int(answer[2]), int(answer[3])))
