"""Talks to Ray for a sweep, in a process of its own.

    python -m cab.adapters.sweeps.executors.ray.bridge

Ray ends its process when the cluster's head is gone, and takes its signals: it must not be in the process that has the
proxy and the journal. The first line on stdin is a `BridgeStart`, each later one a `BridgeOrder`; a line on stdout is a
`BridgeAnswer`. At the end of stdin all cells are ended.
"""

import asyncio
import sys
from typing import IO

from cab.adapters.sweeps.executors.protocol import CellJob
from cab.adapters.sweeps.executors.ray.cells import RayCells
from cab.adapters.sweeps.executors.ray.messages import BridgeAnswer, BridgeOrder, BridgeStart
from cab.adapters.sweeps.executors.worker import private_stdout
from cab.proxy.logs import configure_logs

_ORDER_BYTES = 1 << 24


async def _serve(out: IO[bytes]) -> None:
    reader = asyncio.StreamReader(limit=_ORDER_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    first = await reader.readline()
    if not first.endswith(b"\n"):
        return
    cells = RayCells(BridgeStart.model_validate_json(first).address)

    async def run(job: CellJob) -> None:
        outcome = await cells.run(job)
        out.write(
            BridgeAnswer(cell_id=job.cell_id, outcome=outcome).model_dump_json().encode() + b"\n"
        )
        out.flush()

    async with asyncio.TaskGroup() as group:
        while (line := await reader.readline()).endswith(b"\n"):
            order = BridgeOrder.model_validate_json(line)
            if order.job is not None:
                group.create_task(run(order.job))
            elif order.cancel is not None:
                group.create_task(cells.cancel(order.cancel))
        await cells.stop()


def main() -> int:
    """Serve a sweep; return the exit code."""
    configure_logs("warning", "json")
    asyncio.run(_serve(private_stdout()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
