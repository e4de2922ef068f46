"""Cells on a Ray cluster of two nodes, both on this machine; one of them is killed in the middle."""

import asyncio
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from cab.adapters.sweeps.executors.protocol import CellJob
from cab.adapters.sweeps.executors.ray.cluster import BridgeProcess, RayExecutor
from cab.adapters.sweeps.executors.ray.messages import BridgeOrder
from cab.adapters.sweeps.executors.registry import BadExecutor, ExecutorContext
from cab.adapters.sweeps.journal import End, read_journal
from cab.adapters.sweeps.placement import ExecutorTable
from cab.adapters.sweeps.state import replay
from cab.scoring.ledger.reading import iter_calls
from cab.scoring.ledger.verify import verify_ledger

CAB = "import sys; from cab.adapters.cli import main; sys.exit(main())"
SWEEP = """
name = "r"
upstream = "demo"
models = ["demo"]
agents = ["scripted"]
tasks = ["polyglot/python-error-handling"]
runs = 4
jobs = 2
retries = 3
retry_wait_s = 0

[executor]
kind = "ray"
lost_after_s = 60

[executor.settings]
address = "{address}"

[resources]
memory = "256M"
"""
NEEDS_RAY = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None and not os.environ.get("CI"),
    reason="Ray is not installed: pip install ray",
)


def wait_until(holds: Callable[[], bool], limit_s: float) -> None:
    """Wait until something holds that no event tells of."""
    end_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.2)


class RayNodes:
    """Two nodes of a cluster, each with its own raylet and one processor.

    Args:
        folder: Where the cluster keeps its sessions.
    """

    def __init__(self, folder: Path) -> None:
        code = (
            "import sys\n"
            "from ray.cluster_utils import Cluster\n"
            "node = {'num_cpus': 1, 'memory': 1 << 30, 'object_store_memory': 80 << 20}\n"
            "cluster = Cluster(True, head_node_args={**node, 'include_dashboard': False})\n"
            "second = cluster.add_node(**node)\n"
            "print(cluster.address, second.node_id, flush=True)\n"
            "for line in sys.stdin:\n"
            "    cluster.remove_node(second, allow_graceful=False)\n"
            "    print('gone', flush=True)\n"
            "cluster.shutdown()\n"
        )
        with (folder / "cluster.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        self.address, self.second = self._process.stdout.readline().split()

    def kill_second(self) -> None:
        """Kill the second node, with all that runs on it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("kill\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "gone\n"

    def close(self) -> None:
        """End the cluster."""
        self._process.communicate()


@pytest.fixture
def nodes(tmp_path: Path) -> Generator[RayNodes]:
    made = RayNodes(tmp_path)
    yield made
    made.close()


def context(folder: Path = Path("/s"), **table: object) -> ExecutorContext:
    return ExecutorContext(
        table=ExecutorTable.model_validate({"kind": "ray", **table}),
        folder=folder,
        token="t",
        jobs=1,
        environment={},
    )


@NEEDS_RAY
@pytest.mark.ray
@pytest.mark.timeout(900)
def test_a_node_is_killed_in_the_middle(nodes: RayNodes, tmp_path: Path) -> None:
    """Both nodes work; the cells of the killed one run again, each result and each call is there once."""
    (tmp_path / "sweep.toml").write_text(SWEEP.format(address=nodes.address))
    journal = tmp_path / "sweeps/r/journal.jsonl"
    with (tmp_path / "sweep.log").open("wb") as log:
        sweep = subprocess.Popen(
            [sys.executable, "-c", CAB, "sweep", "sweep.toml"],
            cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def on_second() -> bool:
        assert sweep.poll() is None, (tmp_path / "sweep.log").read_text()
        ended = [entry for entry in read_journal(journal) if isinstance(entry, End)]
        return any(end.node and end.node.endswith(nodes.second[:8]) for end in ended)

    try:
        wait_until(on_second, 400)
        nodes.kill_second()
        assert sweep.wait(400) == 0, (tmp_path / "sweep.log").read_text()
    finally:
        if sweep.poll() is None:
            os.killpg(sweep.pid, signal.SIGKILL)
            sweep.wait()
    state = replay(read_journal(journal))
    assert len(state.complete) == 4
    assert state.open_attempts == []
    ledger = tmp_path / "sweeps/r/ledger"
    assert verify_ledger(ledger).holds
    calls = Counter(call.cell_id for call in iter_calls(ledger))
    assert [calls[cell] for cell in state.complete.values()] == [3] * 4
    used = {end.node for end in state.ended_attempts.values() if end.verdict == "complete"}
    assert len(used) == 2


def test_without_ray_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep that names Ray says what to install before anything starts."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadExecutor, match=r"pip install 'coding-agent-bench\[ray\]'"):
        RayExecutor.of(context())


def test_what_ray_does_not_take() -> None:
    """Nodes must share the sweep's folder, and the address is a text."""
    with pytest.raises(BadExecutor, match="needs a folder that all nodes share"):
        RayExecutor.of(context(shared=False))
    with pytest.raises(BadExecutor, match="address must be text"):
        RayExecutor.of(context(settings={"address": 6379}))


@NEEDS_RAY
@pytest.mark.ray
async def test_the_process_that_talks_to_ray_dies(tmp_path: Path) -> None:
    """Its attempts fail and say where to look, the sweep lives on, and the next attempt starts another one."""
    executor = RayExecutor.of(context(tmp_path, settings={"address": "127.0.0.1:1"}))
    killed: list[int] = []
    for run in (1, 2):
        job = CellJob(
            cell_id=f"s/a/m/f/t#run{run}", tui="a", model="m", task="f/t", sweep="s", number=run,
            timeout_s=60, proxy="http://127.0.0.1:1", key="key", seal_key="seal", bundles=str(tmp_path),
        )  # fmt: skip
        async with asyncio.TaskGroup() as group:
            attempt = group.create_task(executor.run(job))
            await asyncio.sleep(0)
            assert executor._bridge is not None
            killed.append(executor._bridge.pid)
            os.kill(killed[-1], signal.SIGKILL)
        outcome = attempt.result()
        assert outcome.state == "failed"
        assert str(outcome.reason).endswith(f"ended with code -9; {tmp_path / 'ray.log'} says why")
    assert len(set(killed)) == 2


async def test_the_process_that_talks_to_ray_stops_reading(tmp_path: Path) -> None:
    """It is killed once an order does not reach it, and its attempts fail."""
    bridge = BridgeProcess("127.0.0.1:1", tmp_path / "ray.log", read_s=0.5)
    answer = bridge.expect("c")
    os.kill(bridge.pid, signal.SIGSTOP)

    await bridge.tell(BridgeOrder(cancel="x" * 1_000_000))  # more than fits into a pipe

    assert "ended with code -9" in str((await answer).reason)
