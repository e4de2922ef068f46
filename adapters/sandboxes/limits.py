"""Resource limits of an agent: read from the command line, handed to a process or a container."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from cab.adapters.errors import AdapterError, nearest

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)([kmgt]?)", re.IGNORECASE)
_OFF = "off"
_TOO_LARGE = 1 << 63  # systems count limits in 63 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceLimits:
    """Limits of one run; None is no limit."""

    address_space: int | None = None
    """Bytes of addresses per process; off, as Node and others reserve far more than they use."""
    cpu_s: int | None = 7200
    """Seconds of processor time per process."""
    file: int | None = 8 << 30
    """Bytes of the largest file."""
    processes: int | None = 8192
    """Processes and threads: of the container, or of the user on this machine."""
    open_files: int | None = 16_384
    """Open files per process."""
    memory: int | None = 8 << 30
    """Bytes of memory of a container."""
    cpus: float | None = None
    """Processors of a container."""
    disk: int | None = 8 << 30
    """Bytes of disk that a container's folders may take together."""

    @property
    def rlimits(self) -> dict[str, int]:
        """Those that hold a process on this machine; it never leaves a core file behind."""
        named = {
            "RLIMIT_AS": self.address_space,
            "RLIMIT_CPU": self.cpu_s,
            "RLIMIT_FSIZE": self.file,
            "RLIMIT_NPROC": self.processes,
            "RLIMIT_NOFILE": self.open_files,
        }
        return {"RLIMIT_CORE": 0, **{name: n for name, n in named.items() if n is not None}}

    @property
    def ulimits(self) -> Mapping[str, int]:
        """Those that a container engine sets for each process."""
        named = {"cpu": self.cpu_s, "fsize": self.file, "nofile": self.open_files}
        return {"core": 0, **{name: n for name, n in named.items() if n is not None}}

    def among(self, names: Iterable[str]) -> dict[str, float]:
        """Return those of the limits named that are set."""
        found = {name: getattr(self, name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def holds(self, names: Iterable[str]) -> bool:
        """Tell whether any of the limits named is set."""
        return bool(self.among(names))


LOCAL_NAMES = ("address_space", "cpu_s", "file", "processes", "open_files")
"""Limits that the local sandbox knows."""

CONTAINER_NAMES = ("cpu_s", "file", "processes", "open_files", "memory", "cpus", "disk")
"""Limits that containers know."""


def parse_limits(words: Iterable[str], limits: ResourceLimits | None = None) -> ResourceLimits:
    """Return limits, some of them changed.

    Args:
        words: Such as `memory=4g`, `cpu-s=600`, `processes=off`.
        limits: What holds for the others; None takes the defaults.

    Raises:
        AdapterError: A limit is unknown, or its value is not an amount.
    """
    limits = limits or ResourceLimits()
    for word in words:
        name, _, value = word.partition("=")
        changed: dict[str, Any] = {_known(name): _amount(name, value)}
        limits = replace(limits, **changed)
    return limits


def limit_names() -> list[str]:
    """Return the names of all limits, as on the command line."""
    return [field.name.replace("_", "-") for field in fields(ResourceLimits)]


def _known(name: str) -> str:
    names = limit_names()
    if name not in names:
        near = nearest(name, names)
        raise AdapterError(
            f"no limit {name!r}; {f'did you mean {near!r}? ' if near else ''}"
            f"known: {', '.join(names)}"
        )
    return name.replace("-", "_")


def _amount(name: str, value: str) -> float | int | None:
    if value == _OFF:
        return None
    match = _AMOUNT.fullmatch(value)
    amount = float(match[1]) * _UNITS[match[2].lower()] if match else 0
    if not 0 < amount < _TOO_LARGE:
        raise AdapterError(
            f"--limit {name}={value} is not an amount; give a number, with k, m or g, or off"
        )
    return amount if name == "cpus" else max(1, round(amount))
