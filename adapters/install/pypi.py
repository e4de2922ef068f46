"""Builds the folder of an agent from PyPI: a virtual environment of its own."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from cab.adapters.agents.base import PyPIInstall
from cab.adapters.install.build_steps import PROBE_LIMIT_S, BuildSteps, last_line
from cab.adapters.install.python import Interpreter, find_interpreter, versions_text

PYTHON = "bin/python"
"""Path of the agent's Python in its folder."""

_QUIET = ("--quiet", "--disable-pip-version-check")
_UV_ERROR = re.compile(r"^error: (.+)(?:\n +(?:cause|Caused by): (.+))?", re.MULTILINE)


def build_from_pypi(
    need: PyPIInstall, version: str, folder: Path, steps: BuildSteps, *, use_uv: bool
) -> str:
    """Build an agent's folder and return the version that its own metadata names.

    Args:
        need: What is installed.
        version: Of the agent.
        folder: Where to; must not exist.
        steps: Runs the commands.
        use_uv: Use uv if it is installed.

    Raises:
        InstallFailed: No supported Python, no space, or the package index refused.
    """
    python = find_interpreter(need)
    requirements = (f"{need.package}=={version}", *need.extra)
    uv = find_uv() if use_uv else None
    if uv is not None:
        commands = _with_uv(uv, need, folder, requirements, python)
    elif python is not None:
        commands = _with_pip(python, folder, requirements)
    else:
        raise steps.failed(
            f"it needs {versions_text(need)}, which is not on this machine; install it, or uv"
        )
    for command in commands:
        steps.run(command)
    return _installed_version(folder, need.package)


def pypi_failure(text: str) -> str:
    r"""Return the reason of a failure from uv's or pip's output, in one line; empty if it has none.

    >>> pypi_failure("error: Request failed\n  cause: Failed to download x\n  cause: dns error\n")
    'Request failed: Failed to download x'
    >>> pypi_failure("Collecting x\nERROR: no such version\n")
    'ERROR: no such version'
    """
    # uv also prints causes of causes, which are less and less useful.
    errors = _UV_ERROR.findall(text)
    return ": ".join(filter(None, errors[-1])) if errors else last_line(text)


def find_uv() -> str | None:
    """Return the path of uv: on the PATH, or beside our own Python; None if there is none."""
    return shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def _with_uv(
    uv: str,
    need: PyPIInstall,
    folder: Path,
    requirements: Sequence[str],
    python: Interpreter | None,
) -> Sequence[Sequence[str]]:
    (major, _), (_, below) = need.python_min, need.python_below
    # Without a supported Python on this machine, uv downloads one.
    wanted = str(python.path) if python else f"{major}.{below - 1}"
    own = str(folder / PYTHON)
    return (
        (uv, "venv", "--quiet", "--python", wanted, str(folder)),
        (uv, "pip", "install", "--quiet", "--python", own, *requirements),
    )


def _with_pip(
    python: Interpreter, folder: Path, requirements: Sequence[str]
) -> Sequence[Sequence[str]]:
    own = str(folder / PYTHON)
    return (
        (str(python.path), "-I", "-m", "venv", str(folder)),
        (own, "-I", "-m", "pip", "install", *_QUIET, *requirements),
    )


def _installed_version(folder: Path, package: str) -> str:
    code = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    try:
        done = subprocess.run(
            [folder / PYTHON, "-I", "-c", code, package],
            capture_output=True,
            text=True,
            timeout=PROBE_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "nothing in time"
    return done.stdout.strip() or "nothing"
