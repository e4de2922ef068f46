"""Containers and networks whose owner has ended without removing them: found by their labels, and removed.

A watchdog removes what a killed run leaves, and the marker in its bundle says what that is. This is for
the rest: both were killed, or the run had no bundle yet.
"""

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from cab.adapters.processes.cleanup import RUN_LABEL, SCRATCH_PREFIX
from cab.adapters.processes.tree import started_at
from cab.adapters.sandboxes.engine import ContainerEngine

OWNER_LABEL: Final = "cab.owner"
"""Label with the process that answers for a container or a network."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")


def own_labels(run: str) -> dict[str, str]:
    """Return the labels of what this process makes.

    Args:
        run: Name of the run: that of the container which its agent is in.
    """
    pid = os.getpid()
    return {RUN_LABEL: run, OWNER_LABEL: f"{_machine()}.{pid}.{started_at(pid)}"}


async def remove_leftovers(engine: ContainerEngine) -> list[str]:
    """Remove the containers and networks of processes of this machine that have ended; return their names.

    An engine may serve several machines, and other containers: a process is only looked for where ids mean
    the same as here.
    """
    removed: list[str] = []
    listing = await engine.ask("ps", "--all", "--quiet", "--filter", f"label={OWNER_LABEL}")
    ids = listing.stdout.split()
    if ids:
        answer = await engine.ask("inspect", "--type", "container", *ids)
        for name in _abandoned(answer.stdout):
            await engine.ask("rm", "--force", "--volumes", name)
            removed.append(name)
    listing = await engine.ask("network", "ls", "--quiet", "--filter", f"label={OWNER_LABEL}")
    ids = listing.stdout.split()
    if ids:
        answer = await engine.ask("network", "inspect", *ids)
        for name in _abandoned(answer.stdout):
            await engine.ask("network", "rm", name)
            removed.append(name)
    return removed


def _abandoned(text: str) -> Iterator[str]:
    """Yield the names of what `inspect` shows whose owner has ended."""
    try:
        found: list[dict[str, Any]] = orjson.loads(text)
    except ValueError:
        return  # what was listed is gone by now, or the engine does not answer
    for each in found:
        name = str(each.get("Name") or each.get("name") or "").removeprefix("/")
        if name.startswith(SCRATCH_PREFIX) and _has_ended(_labels(each).get(OWNER_LABEL)):
            yield name


def _labels(found: Mapping[str, Any]) -> dict[str, str]:
    config: dict[str, Any] = found.get("Config") or {}
    return config.get("Labels") or found.get("Labels") or found.get("labels") or {}


def _has_ended(owner: str | None) -> bool:
    machine, _, process = (owner or "").partition(".")
    pid, _, started = process.partition(".")
    if machine != _machine() or not (pid.isdecimal() and started.isdecimal()):
        return False
    return started_at(int(pid)) != int(started)


def _machine() -> str:
    """Return where process ids mean the same as here: until the next start, in one namespace."""
    if sys.platform != "linux":
        import psutil  # noqa: PLC0415 - on Linux it need not be there

        return f"{platform.node()}-{psutil.boot_time():.0f}".replace(".", "-")
    namespace = str(_NAMESPACE.readlink()).strip("pid:[]")
    return f"{_BOOT_ID.read_text().strip()}-{namespace}"
