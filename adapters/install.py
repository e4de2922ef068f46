"""Puts an agent into an environment of its own, never into ours.

    $XDG_DATA_HOME/cab/agents/<name>-<version>/

The file `installed.json` is written last: a folder without it is a half install, and made anew.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import orjson

from cab.adapters.base import AgentFacts, PyPIInstall
from cab.adapters.errors import AgentNotInstalled, InstallFailed
from cab.adapters.interpreters import Interpreter, find_interpreter, versions_text

STAMP = "installed.json"
"""Name of the file that makes an install whole."""


class Installed(NamedTuple):
    """An agent that can be run."""

    executable: Path
    """Its console script; our own Python for an agent that comes with this package."""
    version: str
    """As the environment's own metadata says."""


def agents_folder() -> Path:
    """Return the folder that holds all agents' environments."""
    data_home = os.environ.get("XDG_DATA_HOME")
    base = Path(data_home) if data_home else Path.home() / ".local" / "share"
    return base / "cab" / "agents"


def find_installed(facts: AgentFacts) -> Installed | None:
    """Return an agent that is installed whole; None if it is not."""
    if facts.install is None:
        return Installed(Path(sys.executable), facts.version)
    folder = _folder(facts)
    try:
        version = str(orjson.loads((folder / STAMP).read_bytes())["version"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    executable = folder / "bin" / facts.install.executable
    return Installed(executable, version) if executable.is_file() else None


def require_installed(facts: AgentFacts) -> Installed:
    """Return an agent that is installed whole.

    Raises:
        AgentNotInstalled: It is not; names the command that installs it.
    """
    installed = find_installed(facts)
    if installed is None:
        raise AgentNotInstalled(facts.name, facts.version)
    return installed


def install(facts: AgentFacts, *, use_uv: bool = True) -> Installed:
    """Install an agent, unless it is there already, and return it.

    Args:
        facts: The agent.
        use_uv: Take uv where it is there: faster, and it can fetch a Python. Otherwise venv and pip.

    Raises:
        InstallFailed: No fitting Python, no room, or the package index refused; `.log` tells all.
    """
    need = facts.install
    if need is None:
        return Installed(Path(sys.executable), facts.version)
    with _locked(facts):
        present = find_installed(facts)
        if present is not None:
            return present
        folder = _folder(facts)
        shutil.rmtree(folder, ignore_errors=True)
        _build(facts, need, folder, find_uv() if use_uv else None)
        _stamp(facts, need, folder)
    return require_installed(facts)


def _folder(facts: AgentFacts) -> Path:
    return agents_folder() / f"{facts.name}-{facts.version}"


@contextmanager
def _locked(facts: AgentFacts) -> Generator[None]:
    """Hold the agent's lock: two installs at once would build into the same folder."""
    folder = _folder(facts)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_name(f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise InstallFailed(facts.name, f"{error.filename or folder}: {error.strerror}") from error


def _build(facts: AgentFacts, need: PyPIInstall, folder: Path, uv: str | None) -> None:
    python = find_interpreter(need)
    requirement = f"{need.package}=={facts.version}"
    log = folder.with_name(f"{folder.name}.log")
    log.write_bytes(b"")
    for command in _commands(facts.name, need, folder, requirement, uv, python):
        _run(facts.name, command, log)
    log.unlink()


def _commands(  # noqa: PLR0913 - all that decides between the two ways
    name: str,
    need: PyPIInstall,
    folder: Path,
    requirement: str,
    uv: str | None,
    python: Interpreter | None,
) -> Sequence[Sequence[str]]:
    own = str(folder / "bin" / "python")
    if uv is not None:
        (major, _), (_, below) = need.python_min, need.python_below
        # Without a fitting Python here, uv fetches one.
        wanted = str(python.path) if python else f"{major}.{below - 1}"
        return (
            (uv, "venv", "--quiet", "--python", wanted, str(folder)),
            (uv, "pip", "install", "--quiet", "--python", own, requirement),
        )
    if python is None:
        raise InstallFailed(
            name, f"it needs {versions_text(need)}, and none is on the PATH; install one, or uv"
        )
    return (
        (str(python.path), "-m", "venv", str(folder)),
        (own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement),
    )


def find_uv() -> str | None:
    """Return the path of uv: on the PATH, or beside our own Python; None if it is not there."""
    return shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def _run(name: str, command: Sequence[str], log: Path) -> None:
    # What is built may run code of its own: it sees no key of ours.
    env = {key: value for key, value in os.environ.items() if not key.startswith("CAB_")}
    for variable in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        env.pop(variable, None)
    with log.open("ab") as output:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, check=False
        )
    if done.returncode:
        lines = log.read_text(errors="replace").split("\n")
        said = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
        raise InstallFailed(name, f"{Path(command[0]).name} says: {said}", log)


def _stamp(facts: AgentFacts, need: PyPIInstall, folder: Path) -> None:
    version = _installed_version(folder, need.package)
    if version != facts.version:
        raise InstallFailed(facts.name, f"the index gave {version}, not {facts.version}")
    partial = folder / f"{STAMP}.part"
    partial.write_bytes(orjson.dumps({"name": facts.name, "version": version}))
    partial.replace(folder / STAMP)


def _installed_version(folder: Path, package: str) -> str:
    code = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    done = subprocess.run(
        [folder / "bin" / "python", "-I", "-c", code, package],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "nothing"
