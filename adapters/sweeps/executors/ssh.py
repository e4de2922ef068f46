"""Machines that are reached with ssh: each attempt on the one that has the fewest.

The end of a connection closes the worker's stdin, and the worker ends its agent then; a worker that hangs is
killed through a connection of its own. Keys, ports and users are those of ~/.ssh/config.
"""

import asyncio
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from cab.adapters.sweeps.executors.collect import CollectRequest, collect_from
from cab.adapters.sweeps.executors.command import CommandExecutor
from cab.adapters.sweeps.executors.conversation import WorkerLost
from cab.adapters.sweeps.executors.protocol import CellJob
from cab.adapters.sweeps.executors.registry import WORKER, ExecutorContext
from cab.adapters.sweeps.state import BUNDLES

SSH = (
    *("ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30"),
    # A machine that is gone ends no connection: ssh asks after it, and ends after a minute without an answer.
    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"),
)
_COLLECT = "cab.adapters.sweeps.executors.collect"


class SshExecutor(CommandExecutor):
    """Runs each attempt with `ssh NODE`."""

    def __init__(self, context: ExecutorContext, start: Sequence[str]) -> None:
        super().__init__(context, (*start, "{node}", "--", "{worker_line}"), ())
        self._ssh = tuple(start)
        self._load = Counter[str]()
        self._bundles = context.folder / BUNDLES

    @classmethod
    def of(cls, context: ExecutorContext) -> "SshExecutor":
        """Return the executor of a sweep."""
        return cls(context, (*SSH, *context.table.options))

    def prepare(self, job: CellJob) -> CellJob:
        """Return the job with its node: of those that are not avoided the one with the fewest attempts.

        Raises:
            WorkerLost: All nodes are avoided.
        """
        nodes = [node for node in self.table.nodes if node not in job.avoid]
        if not nodes:
            raise WorkerLost(f"no node is left: {', '.join(job.avoid)} failed; look at them")
        node = min(nodes, key=lambda each: self._load[each])
        self._load[node] += 1
        return super().prepare(job).model_copy(update={"node": node})

    def release(self, job: CellJob) -> None:
        """Take note that an attempt has ended."""
        self._load[job.node or ""] -= 1

    async def withdraw(self, job: CellJob) -> None:
        """Kill the worker of an attempt, if it is still there; its watchdog then ends the agent."""
        pid = self.worker_pid(job.cell_id)
        if pid is not None and job.node is not None:
            # Only a worker: the number may be another process's by now.
            script = f"grep -qaF {WORKER} /proc/{pid}/cmdline && kill -KILL {pid}"
            await self.ask((*self._ssh, job.node, "--", f"sh -c {shlex.quote(script)}"))

    async def end_left(self, cell_ids: Sequence[str]) -> None:
        """Bring what workers completed on nodes that share no folder, and could not hand over any more."""
        if self.table.shared or not cell_ids:
            return
        # Two nodes may see one folder, as where homes are shared: of them one at a time brings a cell.
        turns, brought = {cell_id: asyncio.Lock() for cell_id in cell_ids}, set[str]()
        async with asyncio.TaskGroup() as group:
            for node in self.table.nodes:
                group.create_task(self._collect(node, turns, brought))

    async def _collect(
        self, node: str, turns: Mapping[str, asyncio.Lock], brought: set[str]
    ) -> None:
        folder = f"{self.table.node_folder}/{self.token}"
        line = shlex.join(self.worker_words(module=_COLLECT))
        for cell_id, turn in turns.items():
            request = CollectRequest(bundles=folder, cell_id=cell_id)
            words, target = (*self._ssh, node, "--", line), Path(self._bundles, cell_id)
            async with turn:
                if cell_id in brought:
                    continue
                if await collect_from(words, self.variables(), request, target):
                    brought.add(cell_id)
