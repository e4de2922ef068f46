"""The executor of this machine: each attempt in a process of its own, beside the proxy's."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from cab.adapters.errors import RunFailed
from cab.adapters.processes.cleanup import clean_up, module_path
from cab.adapters.runs.bundle import read_marker
from cab.adapters.sweeps.executors.processes import ProcessExecutor
from cab.adapters.sweeps.executors.protocol import CellJob
from cab.adapters.sweeps.executors.registry import WORKER, ExecutorContext


class LocalExecutor(ProcessExecutor):
    """Runs each attempt as `python -m cab.adapters.sweeps.executors.worker`."""

    starts_at_once = True

    @classmethod
    def of(cls, context: ExecutorContext) -> "LocalExecutor":
        """Return the executor of a sweep."""
        del context  # there is nothing to choose
        return cls()

    def words(self, job: CellJob) -> Sequence[str]:
        """Return the worker's command."""
        del job
        return (sys.executable, "-P", "-m", WORKER)

    def variables(self) -> Mapping[str, str]:
        """Return our environment without our keys, with our module search path."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("CAB_")}
        return {**env, "PYTHONPATH": module_path()}

    def place(self, job: CellJob, told: str | None) -> None:
        """Return None: there is only one machine."""
        del job, told

    async def withdraw(self, job: CellJob) -> None:
        """End what is left of a cell whose process was killed."""
        marker = read_marker(Path(job.bundles) / job.cell_id)
        if marker is not None:
            with suppress(
                RunFailed
            ):  # what cannot be ended now is tried again when the sweep goes on
                await clean_up(marker.cleanup)
