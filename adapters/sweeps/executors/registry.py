"""Which executor a sweep uses: one of ours, or one that another package brings by an entry point."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from cab.adapters.entry_points import find_extensions
from cab.adapters.errors import AdapterError, nearest
from cab.adapters.sweeps.executors.protocol import Executor
from cab.adapters.sweeps.placement import ExecutorTable

GROUP = "cab.executors"
"""Group of the entry points by which other packages bring executors: a name to `module:function`."""
WORKER = "cab.adapters.sweeps.executors.worker"
"""Module that runs one cell, wherever that is."""

EXECUTORS = {
    "command": "cab.adapters.sweeps.executors.command:CommandExecutor.of",
    "local": "cab.adapters.sweeps.executors.local:LocalExecutor.of",
    "ray": "cab.adapters.sweeps.executors.ray.cluster:RayExecutor.of",
    "slurm": "cab.adapters.sweeps.executors.slurm:SlurmExecutor.of",
    "slurm-array": "cab.adapters.sweeps.executors.slurm_array:SlurmArrayExecutor.of",
    "ssh": "cab.adapters.sweeps.executors.ssh:SshExecutor.of",
}
"""Name to `module:function`; imported only when it is used."""
_METHODS = ("run", "cancel", "stop", "end_left")


class BadExecutor(AdapterError):
    """An executor that cannot be used; the message names the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorContext:
    """What an executor is made from."""

    table: ExecutorTable
    """The table `[executor]` of the sweep file; `settings` is free for executors of others."""
    folder: Path
    """Folder of everything that the sweep writes; absolute."""
    token: str
    """A short text that no other sweep's folder has: it marks what the executor starts."""
    jobs: int
    """Cells that run at the same time, at most."""
    environment: Mapping[str, str]
    """The sweep's own environment."""


def load_executor(context: ExecutorContext) -> Executor:
    """Return the executor that a sweep file names.

    Raises:
        BadExecutor: There is none of that name, or it cannot be made.
    """
    kind = context.table.kind
    make = _factory(kind)
    try:
        executor = make(context)
    except AdapterError:
        raise
    # Somebody else's code may fail in any way.
    except Exception as error:
        if kind in EXECUTORS:
            raise
        raise BadExecutor(
            f"executor {kind!r} cannot be made: {type(error).__name__}: {error}"
        ) from error
    missing = [name for name in _METHODS if not callable(getattr(executor, name, None))]
    if missing:
        raise BadExecutor(f"executor {kind!r} lacks {', '.join(missing)}; its package must add it")
    return executor


def check_kind(kind: str) -> str | None:
    """Return what is wrong with the name of an executor; None if there is one of that name."""
    try:
        _path(kind)
    except BadExecutor as error:
        return str(error)
    return None


def _path(kind: str) -> str:
    if kind in EXECUTORS:
        return EXECUTORS[kind]
    found = find_extensions(GROUP, EXECUTORS)
    if kind in found.usable:
        return found.usable[kind].path
    for each in found.unusable:
        if each.name == kind:
            raise BadExecutor(f"executor {kind!r} of {each.origin}: {each.reason}")
    known = sorted([*EXECUTORS, *found.usable])
    near = nearest(kind, known)
    hint = f"did you mean {near!r}?" if near else f"known: {', '.join(known)}"
    raise BadExecutor(f"no executor {kind!r}; {hint}")


def _factory(kind: str) -> Callable[[ExecutorContext], Executor]:
    path = _path(kind)
    module, _, attribute = path.partition(":")
    try:
        found: object = import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
    except Exception as error:
        if kind in EXECUTORS:
            raise
        raise BadExecutor(
            f"executor {kind!r} ({path}) cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not callable(found):
        raise BadExecutor(f"executor {kind!r} ({path}) is not a function of an ExecutorContext")
    return cast("Callable[[ExecutorContext], Executor]", found)  # what it returns is checked
