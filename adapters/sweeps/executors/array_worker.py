"""One task of a Slurm array: its job is a file, and so is what it says.

    python -m cab.adapters.sweeps.executors.array_worker FOLDER

It ends its agent when the sweep asks for it, and when the sweep gives no sign of life: nobody holds a
pipe to it, so an array would go on running after its sweep was killed.
"""

import asyncio
import os
import sys
from pathlib import Path

from cab.adapters.sweeps.executors.messages import BEATS, WorkerEnded, WorkerStarted
from cab.adapters.sweeps.executors.protocol import CellJob
from cab.adapters.sweeps.executors.spool import ArraySpool
from cab.adapters.sweeps.executors.worker import WorkerVoice, node_name, run_until_end, set_up
from cab.adapters.sweeps.placement import LOST_AFTER_S
from cab.proxy.logs import configure_logs

INDEX = "SLURM_ARRAY_TASK_ID"
"""Variable that holds the number of the task."""
_LOOK_S = 1.0


def main() -> int:
    """Run one task; return the exit code."""
    configure_logs("warning", "json")
    spool, index = ArraySpool(Path(sys.argv[1])), int(os.environ[INDEX])
    job = set_up(spool.take_job(index))
    with spool.said(index).open("ab") as out:
        voice = WorkerVoice(out)
        voice.say(WorkerStarted(node=job.node or node_name(os.environ), pid=os.getpid()))
        asyncio.run(_run(spool, index, job, voice))
    return 0


async def _run(spool: ArraySpool, index: int, job: CellJob, voice: WorkerVoice) -> None:
    lost_after_s = LOST_AFTER_S if job.times is None else job.times.lost_after_s
    voice.beat(lost_after_s / BEATS)
    over = asyncio.StreamReader()
    async with asyncio.TaskGroup() as group:
        watcher = group.create_task(_feed_end(spool, index, lost_after_s, over))
        outcome = await run_until_end(job, over)
        watcher.cancel()
    voice.stop()
    voice.say(WorkerEnded(outcome=outcome))


async def _feed_end(
    spool: ArraySpool, index: int, lost_after_s: float, over: asyncio.StreamReader
) -> None:
    """Let the reader come to its end when the sweep wants that, or is gone.

    Looks without a change are counted, and not the time: a machine that slept must not end its cell.
    """
    look_s = min(_LOOK_S, lost_after_s / BEATS)
    last, unchanged = spool.lease(), 0
    while unchanged * look_s < lost_after_s and not spool.end(index).exists():
        await asyncio.sleep(look_s)
        now = spool.lease()
        unchanged = 0 if now != last else unchanged + 1
        last = now
    over.feed_eof()


if __name__ == "__main__":
    sys.exit(main())
