"""What a sweep makes of workers that do not do what they should, each a program of the test's."""

import asyncio
import io
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
import pytest

from cab.adapters.sweeps.executors.bundle_stream import pack_bundle
from cab.adapters.sweeps.executors.processes import ProcessExecutor
from cab.adapters.sweeps.executors.protocol import CellJob
from cab.adapters.sweeps.placement import CellTimes
from tests.scoring.results import stored_cell

STARTED = b'{"kind": "started", "node": "n7", "pid": 1}'
ALIVE = b'{"kind": "alive"}'
ENDED = b'{"kind": "ended", "outcome": {"state": "failed", "reason": "as planned"}}'
SAY = (
    "import sys, time\nsay = lambda b: (sys.stdout.buffer.write(b + b'\\n'), sys.stdout.flush())\n"
)


class Programs(ProcessExecutor):
    """Runs a program in place of a worker, and notes what is withdrawn."""

    def __init__(self, code: str) -> None:
        super().__init__(end_s=0.5, arrival_s=0.2)
        self._code = SAY + code
        self.withdrawn: list[str] = []

    def words(self, job: CellJob) -> Sequence[str]:
        del job
        return (sys.executable, "-S", "-c", self._code)

    def variables(self) -> Mapping[str, str]:
        return {"PATH": os.environ["PATH"]}

    async def withdraw(self, job: CellJob) -> None:
        self.withdrawn.append(job.cell_id)


def job(folder: Path, queue_s: float = 60, limit_s: float = 60, lost_s: float = 60) -> CellJob:
    return CellJob(
        cell_id="s/a/m/f/t#run1", tui="a", model="m", task="f/t", sweep="s", number=1, timeout_s=1,
        proxy="http://p", key="k", seal_key="sk", bundles=str(folder / "runs"),
        times=CellTimes(queue_s=queue_s, limit_s=limit_s, lost_after_s=lost_s),
    )  # fmt: skip


FOREVER = "while True: time.sleep(0.05); say({})\n"


@pytest.mark.parametrize(
    ("code", "limits", "said"),
    [
        ("time.sleep(600)", {"queue_s": 0.5}, "no node took it within 0.5 s"),
        # What is not the worker's is no sign of life.
        (f"say({STARTED!r})\n" + FOREVER.format(b"hello"), {"lost_s": 0.6}, "no sign of life"),
        (f"say({STARTED!r})\ntime.sleep(600)", {"lost_s": 0.6}, "no sign of life for 0.6 s"),
        (f"say({STARTED!r})\n" + FOREVER.format(ALIVE), {"limit_s": 1.5}, "did not end within 1.5"),
        # One that starts again and again has no more time for it.
        (FOREVER.format(STARTED), {"limit_s": 1.5}, "did not end within 1.5"),
        (f"say({STARTED!r})\nsys.exit('bye')", {}, "with exit code 1; its last message: bye"),
        (f"say({STARTED!r})\nsay(b'x' * 2_000_000)\nsay({ENDED!r})", {}, "node n7: as planned"),
        (
            f'say({STARTED!r})\nsay(b\'{{"kind": "nonsense"}}\')\nsay({ENDED!r})\ntime.sleep(600)',
            {},
            "node n7: as planned",
        ),
    ],
)
async def test_faulty(tmp_path: Path, code: str, limits: dict[str, float], said: str) -> None:
    """Every attempt ends, with a reason; the process is gone and the cell was withdrawn where it runs."""
    executor = Programs(code)

    outcome = await executor.run(job(tmp_path, **limits))

    assert outcome.state == "failed"
    assert said in (outcome.reason or "")
    assert outcome.node == ("n7" if "started" in code else None)
    orderly = "as planned" in said and "600" not in code
    assert executor.withdrawn == ([] if orderly else ["s/a/m/f/t#run1"])


async def test_a_sweep_that_slept(tmp_path: Path) -> None:
    """A sweep that does nothing for longer than that does not take its worker for lost."""
    code = f"say({STARTED!r})\nfor _ in range(40): time.sleep(0.05); say({ALIVE!r})\nsay({ENDED!r})"
    async with asyncio.TaskGroup() as group:
        running = group.create_task(Programs(code).run(job(tmp_path, lost_s=0.6)))
        await asyncio.sleep(0.5)
        time.sleep(1.2)  # noqa: ASYNC251 - the sweep is held up, that is the test

    assert running.result().reason == "node n7: as planned"


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ({"outcome": {"state": "complete", "bundle": "/etc"}}, "share that folder"),
        ({"outcome": {"state": "complete"}, "bundle_bytes": 5}, "its bundle cannot be taken"),
        ({"outcome": {"state": "complete"}, "bundle_bytes": 1 << 40}, "is larger than"),
    ],
)
async def test_false_bundles(tmp_path: Path, ending: dict[str, object], said: str) -> None:
    """A worker that says that there is a bundle is not believed."""
    line = orjson.dumps({"kind": "ended", **ending}).replace(b'{"kind":', b'{"kind":', 1)

    outcome = await Programs(f"say({line!r})\nsay(b'abcdef')").run(job(tmp_path))

    assert outcome.state == "failed"
    assert said in (outcome.reason or "")


async def test_cancelled(tmp_path: Path) -> None:
    """One attempt can be ended: in order if its worker reads on, by force if not; others go on."""
    executor, first = Programs(f"say({STARTED!r})\ntime.sleep(600)"), job(tmp_path)
    second = first.model_copy(update={"cell_id": "s/a/m/f/t#run2"})
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(executor.run(each)) for each in (first, second)]
        await asyncio.sleep(0)
        await executor.cancel("unknown")
        await executor.cancel(first.cell_id)
        assert tasks[0].done()
        assert not tasks[1].done()
        await executor.stop()

    assert [task.result().state for task in tasks] == ["stopped", "stopped"]
    assert set(executor.withdrawn) == {first.cell_id, second.cell_id}


@pytest.mark.parametrize(
    ("cell", "cut", "said"),
    [
        ("s/a/m/f/t#run1", 0, None),
        ("s/a/m/f/t#run2", 0, "it is the bundle of s/a/m/f/t#run2, and not of s/a/m/f/t#run1"),
        ("s/a/m/f/t#run1", 9, "its bundle cannot be taken"),
    ],
)
async def test_bundles_of_liars(tmp_path: Path, cell: str, cut: int, said: str | None) -> None:
    """A bundle that comes as a stream is read before it counts: it is whole, and of this very cell."""
    bundle, data = stored_cell(tmp_path / "node", cell), io.BytesIO()
    facts = bundle / "cell.json"
    facts.write_bytes(facts.read_bytes()[: facts.stat().st_size - cut])
    size = pack_bundle(bundle, data)
    (tmp_path / "stream").write_bytes(data.getvalue())
    told = {"state": "complete", "passed": True, "calls": 0, "tokens": 0}
    ended = orjson.dumps({"kind": "ended", "outcome": told, "bundle_bytes": size})
    send = f"sys.stdout.buffer.write(open({str(tmp_path / 'stream')!r}, 'rb').read())"

    outcome = await Programs(f"say({STARTED!r})\nsay({ended!r})\n{send}").run(job(tmp_path))

    if said is None:
        assert (outcome.state, outcome.calls, outcome.tokens) == ("complete", 1, 120)
        return
    assert outcome.state == "failed"
    assert said in (outcome.reason or "")
    assert list((tmp_path / "runs").rglob("cell.json")) == []
