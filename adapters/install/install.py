"""Puts an agent into an environment of its own, never into ours.

    $XDG_DATA_HOME/cab/agents/<name>-<version>/

The file `installed.json` is written last: a folder without it is incomplete, and built anew.
"""

import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import orjson

from cab.adapters.agents.base import AgentFacts, Install, NpmInstall
from cab.adapters.errors import AgentNotInstalled, InstallFailed
from cab.adapters.install.build_steps import BuildSteps
from cab.adapters.install.npm import NODE, build_from_npm, npm_failure
from cab.adapters.install.pypi import PYTHON, build_from_pypi, pypi_failure
from cab.proxy.ledger.file_lock import lock_file

STAMP = "installed.json"
"""Name of the file that marks an install as complete."""

AGENT_FOLDER = "CAB_AGENT_FOLDER"
"""Variable that images set: the folder of the one agent that they hold."""


class Installed(NamedTuple):
    """An agent that can be run."""

    executable: Path
    """What starts it; our own Python for an agent that comes with this package."""
    version: str
    """As the installed agent reports it."""


def agents_folder() -> Path:
    """Return the folder that holds all agents' environments."""
    data_home = os.environ.get("XDG_DATA_HOME")
    base = Path(data_home).absolute() if data_home else Path.home() / ".local" / "share"
    return base / "cab" / "agents"


def find_installed(facts: AgentFacts) -> Installed | None:
    """Return an agent that is completely installed; None if it is not."""
    in_image = _in_image(facts)
    if in_image is not None:
        return in_image
    if facts.install is None:
        return Installed(Path(sys.executable), facts.version)
    folder = _folder(facts)
    found = _stamped(folder)
    if found is None:
        return None
    executable = folder / "bin" / facts.install.executable
    # The interpreter of an agent is a link, and its target may have been removed since.
    runs_on = folder / (NODE if isinstance(facts.install, NpmInstall) else PYTHON)
    complete = executable.is_file() and runs_on.is_file()
    return Installed(executable, found["version"]) if complete else None


def require_installed(facts: AgentFacts) -> Installed:
    """Return an agent that is completely installed.

    Raises:
        AgentNotInstalled: It is not; names the command that installs it.
    """
    installed = find_installed(facts)
    if installed is None:
        raise AgentNotInstalled(facts.name, facts.version)
    return installed


def install(facts: AgentFacts, *, use_uv: bool = True) -> Installed:
    """Install an agent, unless it is installed already, and return it.

    Args:
        facts: The agent.
        use_uv: Use uv if it is installed: it is faster, and can download a Python. Otherwise venv and pip.

    Raises:
        InstallFailed: No supported Python, no npm, no space, or the package index refused; `.log`
            has the details.
    """
    need = facts.install
    if need is None:
        return require_installed(facts)
    with _locked(facts):
        present = find_installed(facts)
        if present is not None:
            return present
        folder = _folder(facts)
        shutil.rmtree(folder, ignore_errors=True)
        install_into(folder, facts.name, facts.version, need, use_uv=use_uv)
    return require_installed(facts)


def _in_image(facts: AgentFacts) -> Installed | None:
    """Return the agent of the image that we run in; None outside, or if the image has another one.

    Its version may be another than the adapter's, and it may be a file of the user's.
    """
    named = os.environ.get(AGENT_FOLDER)
    found = _stamped(Path(named)) if named else None
    if named is None or found is None or found["name"] != facts.name:
        return None
    program = facts.install.executable if facts.install else facts.name
    executable = Path(named, "bin", program)
    return Installed(executable, found["version"]) if executable.is_file() else None


def _stamped(folder: Path) -> dict[str, str] | None:
    """Return name and version of the agent in a folder; None if the folder is incomplete."""
    try:
        found = orjson.loads((folder / STAMP).read_bytes())
        return {name: str(found[name]) for name in ("name", "version")}
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _folder(facts: AgentFacts) -> Path:
    return agents_folder() / f"{facts.name}-{facts.version}"


@contextmanager
def _locked(facts: AgentFacts) -> Generator[None]:
    """Hold the agent's lock: two installs at once would build into the same folder."""
    folder = _folder(facts)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_name(f"{folder.name}.lock").open("w") as lock:
            lock_file(lock, blocking=True)
            yield
    except OSError as error:
        raise InstallFailed(facts.name, f"{error.filename or folder}: {error.strerror}") from error


def install_into(
    folder: Path, name: str, version: str, need: Install, *, use_uv: bool = True
) -> None:
    """Install an agent into a folder, and stamp it as complete.

    Args:
        folder: Where to; must not exist, or be empty.
        name: Of the agent.
        version: Of the agent.
        need: What is installed.
        use_uv: Use uv if it is installed. Otherwise venv and pip.

    Raises:
        InstallFailed: As with `install`.
    """
    log = folder.with_name(f"{folder.name}.log")
    if isinstance(need, NpmInstall):
        steps = BuildSteps(name, log, npm_failure)
        found = build_from_npm(need, version, folder, steps)
    else:
        steps = BuildSteps(name, log, pypi_failure)
        found = build_from_pypi(need, version, folder, steps, use_uv=use_uv)
    steps.done()
    if found != version:
        raise InstallFailed(name, f"the index gave {found}, not {version}")
    stamp(folder, name, version)


def stamp(folder: Path, name: str, version: str) -> None:
    """Mark an agent's folder as complete."""
    partial = folder / f"{STAMP}.part"
    partial.write_bytes(orjson.dumps({"name": name, "version": version}))
    partial.replace(folder / STAMP)
