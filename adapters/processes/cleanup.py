"""What a run leaves behind if it is cut short, and its end: processes, a container, a folder.

They stand in the marker of the bundle, where the next run of the cell finds them; and a small
process waits beside the run, in case nobody comes.

    python -m cab.adapters.processes.cleanup JSON
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from cab.adapters.errors import RunFailed
from cab.adapters.processes import watchdog
from cab.adapters.processes.tree import end_processes

SCRATCH_PREFIX = "cab-"
"""What the names of all scratch folders, containers and networks of runs begin with."""

ENGINES = ("docker", "podman")
"""Programs that run containers."""

_NOBODY = -1  # leads no process group
_GRACE_S = 1.0
_ENGINE_LIMIT_S = 60.0
_ENGINE_VARIABLES = frozenset(
    {"HOME", "PATH", "TMPDIR", "USER", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"}
)
_ENGINE_PREFIXES = ("CONTAINER", "DOCKER_", "PODMAN_")


class CleanupPlan(BaseModel):
    """What there is to end."""

    model_config = ConfigDict(frozen=True)

    leader: int | None = None
    """Process that was started; only for those who know that it is still the same."""
    mark: str | None = None
    """Value of the variable that all processes of the run inherit."""
    engine: str | None = None
    """Program that runs the container, one of `ENGINES`."""
    container: str | None = None
    """Name of the container."""
    holder: str | None = None
    """Name of the container that keeps its network up."""
    network: str | None = None
    """Name of the network that was made for it."""
    scratch: Path | None = None
    """Folder of the run."""

    @property
    def lasting(self) -> "CleanupPlan":
        """What still holds after a restart of the machine, when process ids mean others."""
        return self.model_copy(update={"leader": None})


async def clean_up(left: CleanupPlan) -> None:
    """End what is left of a run; what is gone already is no fault.

    A marker may have been written by anybody: nothing is touched that no run could have made.

    Raises:
        RunFailed: A process cannot be ended.
    """
    if left.engine in ENGINES:
        for words in _engine_words(left):
            await asyncio.to_thread(_ask_engine, left.engine, words)
    if left.mark:
        leader = left.leader if left.leader is not None else _NOBODY
        await end_processes(leader, left.mark, _GRACE_S)
    if left.scratch is not None and _is_ours(left.scratch):
        await asyncio.to_thread(shutil.rmtree, left.scratch, ignore_errors=True)


def engine_environment() -> dict[str, str]:
    """Return what a container engine's program needs of our environment: no key of ours."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _ENGINE_VARIABLES or name.startswith(_ENGINE_PREFIXES)
    }


@contextmanager
def watched_cleanup(left: CleanupPlan) -> Generator[None]:
    """Have what is left of a run ended although this process is killed inside the block.

    So it is where the block raises: who wanted to end the run may have been kept from it.
    """
    words = [sys.executable, "-I", "-S", watchdog.__file__, left.model_dump_json()]
    env = {**engine_environment(), "PYTHONPATH": _module_path()}
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, cwd="/", env=env, start_new_session=True
    ) as process:
        yield
        process.communicate(b"x")


def _module_path() -> str:
    """Return where we find modules: a user's own folder of packages, for one, is no child's."""
    return os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109 - what an empty part of sys.path means


def _engine_words(left: CleanupPlan) -> Sequence[Sequence[str]]:
    removals = (
        (("rm", "--force"), left.container),
        (("rm", "--force"), left.holder),
        (("network", "rm"), left.network),
    )
    return [(*words, name) for words, name in removals if name and name.startswith(SCRATCH_PREFIX)]


def _ask_engine(engine: str, words: Sequence[str]) -> None:
    try:
        subprocess.run(
            [engine, *words],
            env=engine_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ENGINE_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return  # an engine that is gone runs nothing


def _is_ours(folder: Path) -> bool:
    """Tell whether a folder is one that a run of this user may have made."""
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
