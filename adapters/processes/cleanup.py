"""What has to be cleaned up if a run is cut short: processes, a container, a folder.

The plan is in the marker of the bundle, where the next run of the cell finds it; and a watchdog
process waits beside the run, to carry it out if this process is killed.

    python -m cab.adapters.processes.cleanup JSON
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict

from cab.adapters.errors import RunFailed
from cab.adapters.processes import watchdog
from cab.adapters.processes.tree import end_processes
from cab.adapters.workspaces.removal import remove_soon

SCRATCH_PREFIX = "cab-"
"""First part of the names of all scratch folders, containers and networks of runs."""

ENGINES = ("docker", "podman")
"""Programs that run containers."""

RUN_LABEL = "cab.run"
"""Label of a run's containers and network: the name of the container that its agent is in."""

_NO_LEADER = -1  # the id of no process
_GRACE_S = 1.0
_ENGINE_LIMIT_S = 60.0
_ENGINE_VARIABLES = frozenset(
    {"HOME", "PATH", "TMPDIR", "USER", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"}
)
_ENGINE_PREFIXES = ("CONTAINER", "DOCKER_", "PODMAN_")


class CleanupPlan(BaseModel):
    """Everything that a run has started or made."""

    model_config = ConfigDict(frozen=True)

    leader: int | None = None
    """Process that was started; valid only while it is known to be still the same process."""
    mark: str | None = None
    """Value of the variable that all processes of the run inherit."""
    engine: str | None = None
    """Program that runs the container, one of `ENGINES`."""
    container: str | None = None
    holder: str | None = None
    """Name of the container that keeps its network up."""
    network: str | None = None
    """Name of the network that was made for it."""
    scratch: Path | None = None

    @property
    def lasting(self) -> "CleanupPlan":
        """The part that is valid after a restart of the machine, when process ids are used again."""
        return self.model_copy(update={"leader": None})


async def clean_up(plan: CleanupPlan) -> None:
    """End what is left of a run; what is gone already is not an error.

    Anybody may have written a marker: nothing is touched that a run could not have made.

    Raises:
        RunFailed: A process cannot be ended.
    """
    try:
        # First: an engine's program that still runs could make what is removed next.
        if plan.mark:
            leader = plan.leader if plan.leader is not None else _NO_LEADER
            await end_processes(leader, plan.mark, _GRACE_S)
    finally:
        if plan.engine in ENGINES:
            await asyncio.to_thread(_remove_from_engine, plan)
        if plan.scratch is not None and _is_ours(plan.scratch):
            await asyncio.to_thread(remove_soon, plan.scratch)


def engine_environment() -> dict[str, str]:
    """Return the part of our environment that a container engine's program needs: no keys."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _ENGINE_VARIABLES or name.startswith(_ENGINE_PREFIXES)
    }


class Watchdog:
    """A process that cleans up if this one is killed. Made by `watched_cleanup`."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe

    def replace(self, plan: CleanupPlan) -> None:
        """Clean up by this plan from now on."""
        self._write(plan.model_dump_json().encode() + b"\n")

    def dismiss(self) -> None:
        """Let it end without cleaning up."""
        self._write(watchdog.DONE)

    def _write(self, line: bytes) -> None:
        with suppress(BrokenPipeError):  # somebody ended it: a run does not fail for that
            self._pipe.write(line)
            self._pipe.flush()


@contextmanager
def watched_cleanup(plan: CleanupPlan) -> Generator[Watchdog]:
    """Run a watchdog that cleans up if this process is killed inside the block, or the block raises.

    Enter it before anything of the plan is made: once something runs, it is too late to ask for a
    watchdog. A block that raises may have been interrupted while it was ending the run itself.
    """
    words = [sys.executable, "-I", "-S", watchdog.__file__, plan.model_dump_json()]
    env = {**engine_environment(), "PYTHONPATH": module_path()}
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, cwd="/", env=env, start_new_session=True
    ) as process:
        assert process.stdin is not None
        dog = Watchdog(process.stdin)
        yield dog
        dog.dismiss()


def module_path() -> str:
    """Return our module search path for a child: it would not have the user's own packages itself."""
    return os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109 - what an empty part of sys.path means


def _remove_from_engine(plan: CleanupPlan) -> None:
    """Remove the containers of a run, those of its checks too, then its network, with their volumes."""
    assert plan.engine is not None  # the caller knows which one it is
    names = [each for each in (plan.container, plan.holder) if each and _has_our_prefix(each)]
    if plan.container in names:
        words = ("ps", "--all", "--quiet", "--filter", f"label={RUN_LABEL}={plan.container}")
        names += _run_engine(plan.engine, words).split()
    for name in names:
        _run_engine(plan.engine, ("rm", "--force", "--volumes", name))
    if plan.network and _has_our_prefix(plan.network):
        _run_engine(plan.engine, ("network", "rm", plan.network))


def _has_our_prefix(name: str) -> bool:
    return name.startswith(SCRATCH_PREFIX)


def _run_engine(engine: str, words: Sequence[str]) -> str:
    """Return what an engine prints; nothing if it does not answer."""
    try:
        done = subprocess.run(
            [engine, *words],
            env=engine_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ENGINE_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""  # an engine that is gone runs nothing
    return done.stdout


def _is_ours(folder: Path) -> bool:
    """Tell whether a run of this user may have made a folder."""
    return (
        folder.parent == Path(tempfile.gettempdir())
        and folder.name.startswith(SCRATCH_PREFIX)
        and folder.is_dir()
        and not folder.is_symlink()
        and folder.stat().st_uid == os.geteuid()
    )


if __name__ == "__main__":
    try:
        asyncio.run(clean_up(CleanupPlan.model_validate_json(sys.argv[1])))
    except RunFailed as error:
        sys.exit(str(error))
