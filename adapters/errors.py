"""Errors of the adapters and the runner; each names the thing and the fix in one line.

AdapterError
├── UnknownAdapter     no agent of that name; `.known`, `.near`
├── AgentNotInstalled  the agent's own environment is missing; `.command` installs it
├── InstallFailed      an agent's environment could not be built; `.reason`, `.log`
├── ImageNotBuilt      a container image could not be built; `.log`
├── BadSelfReport      an agent's token report cannot be read exactly
├── BundleExists       a bundle of that cell is complete, or being written
└── RunFailed          a cell could not be finished, for a reason outside the agent
    └── NotStarted     a program is not there, or cannot be started
"""

from collections.abc import Iterable
from pathlib import Path

from cab.proxy.errors import nearest as nearest  # noqa: PLC0414 - exported from here too


class AdapterError(Exception):
    """Base of the adapters' errors: exit code 2."""


class UnknownAdapter(AdapterError):
    """A name that no adapter has."""

    def __init__(self, name: str, known: Iterable[str], reason: str | None = None) -> None:
        self.name = name
        self.reason = reason
        self.known = tuple(sorted(known))
        self.near = nearest(name, self.known)
        super().__init__(f"no agent {name!r}{f' ({reason})' if reason else ''}; {self._fix()}")

    def _fix(self) -> str:
        if self.near is not None:
            return f"did you mean {self.near!r}? (cab adapters list shows all)"
        return f"known agents: {', '.join(self.known)}; or give a dotted path, package.module:Class"


class AgentNotInstalled(AdapterError):
    """An agent whose environment is not there."""

    def __init__(self, name: str, version: str) -> None:
        self.command = f"cab adapters install {name}"
        super().__init__(f"{name} {version} is not installed; run: {self.command}")


class InstallFailed(AdapterError):
    """An environment that could not be built."""

    def __init__(self, name: str, reason: str, log: Path | None = None) -> None:
        self.reason = reason
        self.log = log
        super().__init__(
            f"{name} was not installed: {reason}{f' (full log: {log})' if log else ''}"
        )


class ImageNotBuilt(AdapterError):
    """An image that could not be built."""

    def __init__(self, name: str, reason: str, log: Path | None = None) -> None:
        self.log = log
        super().__init__(f"{name} was not built: {reason}{f' (full log: {log})' if log else ''}")


class BadSelfReport(AdapterError):
    """A token report that cannot be read without guessing."""


class BundleExists(AdapterError):
    """A folder that already holds a cell."""


class RunFailed(AdapterError):
    """A cell that could not be finished."""


class NotStarted(RunFailed):
    """A program that cannot be started."""
