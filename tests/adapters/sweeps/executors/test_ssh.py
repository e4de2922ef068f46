"""A sweep on machines that are reached with ssh and share no folder with it."""

import os
import signal
import socket
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import orjson
import pytest

from cab.adapters.runs.bundle import is_complete
from cab.adapters.sweeps.executors.protocol import CellJob
from cab.adapters.sweeps.executors.registry import ExecutorContext
from cab.adapters.sweeps.executors.ssh import SshExecutor
from cab.adapters.sweeps.placement import CellTimes, ExecutorTable
from tests.adapters.sweeps.executors.heldsweep import (
    HeldSweep,
    left_on_nodes,
    unshared,
    until,
    variables_of,
    workers,
)
from tests.tools.sshd import running_sshd

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]

TASK = "polyglot/python-error-handling"
CELL = f"h/held/demo/{TASK}#run{{}}"


@pytest.fixture(scope="module")
def client() -> Generator[Path]:
    """The configuration of ssh."""
    with running_sshd() as config:
        yield config


def ssh_sweep(folder: Path, demo: str, client: Path, lost_after_s: float = 6) -> HeldSweep:
    """Return a sweep; what its workers need of the test's environment is set on the way."""
    executor = (
        f'kind = "ssh"\nnodes = ["n1", "n2"]\noptions = ["-F", "{client}"]\n{unshared(folder)}'
        f'listen = "0.0.0.0"\nreach = "127.0.0.1"\nlost_after_s = {lost_after_s}\n'
    )
    return HeldSweep(folder, demo, executor, {})


@pytest.fixture
def sweep(tmp_path: Path, demo: str, client: Path) -> HeldSweep:
    return ssh_sweep(tmp_path, demo, client)


def ssh_of(sweep: HeldSweep) -> list[int]:
    """Return the processes of ssh that a sweep started."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            if words.startswith(b"ssh\0") and str(sweep.file.parent).encode() in words:
                found.append(int(entry.name))
    return found


def test_two_nodes(sweep: HeldSweep) -> None:
    """Bundles come back as a stream and leave nothing on the nodes; no key is in a word or a variable."""
    with sweep.running() as process:
        pids = sweep.wait_for_agents(2)
        seen = [
            (Path("/proc") / str(pid) / part).read_bytes()
            for pid in (*ssh_of(sweep), *workers(sweep.file.parent / "nodes"))
            for part in ("cmdline", "environ")
        ]
        key = variables_of(pids[0])["AGENT_KEY"].encode()
        sweep.let_go()
        report = sweep.report(process)

    assert len(seen) == 8
    assert not any(key in text for text in seen)
    assert report["apart"] == []
    cells = [orjson.loads(f.read_bytes()) for f in (sweep.folder / "runs").rglob("cell.json")]
    assert sorted(cell["identity"]["conditions"]["node"] for cell in cells) == ["n1", "n2"]
    assert left_on_nodes(sweep.file.parent) == []
    sweep.wait_until_gone(pids)


def test_hung_worker(sweep: HeldSweep) -> None:
    """A worker that says nothing is killed through a connection of its own, and its agent ends."""
    with sweep.running() as process:
        sweep.wait_for_agents(2)
        hung = workers(sweep.file.parent / "nodes")[0]
        os.kill(hung, signal.SIGSTOP)
        pids = sweep.wait_for_agents(3)
        sweep.let_go()
        report = sweep.report(process)

    [failed] = report["apart"]
    assert "the cell's worker is lost: no sign of life for 6 s" in failed["reason"]
    sweep.wait_until_gone([*pids, hung])


def test_connection_lost(sweep: HeldSweep) -> None:
    """The end of a connection ends the attempt at once, and the agent on its node."""
    with sweep.running() as process:
        sweep.wait_for_agents(2)
        os.kill(ssh_of(sweep)[0], signal.SIGKILL)
        pids = sweep.wait_for_agents(3)
        sweep.let_go()
        report = sweep.report(process)

    [failed] = report["apart"]
    assert "ended by itself with signal 9" in failed["reason"]
    sweep.wait_until_gone(pids)


@pytest.mark.parametrize(
    ("connect_s", "queue_s", "said"), [(1, 60, "timed out"), (60, 1, "no node took it within 1 s")]
)
async def test_a_node_that_accepts_and_never_answers(
    tmp_path: Path, connect_s: int, queue_s: float, said: str
) -> None:
    """The attempt ends, by the limit of ssh or by that of the sweep, and names the node."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        words = (
            "ssh",
            "-T",
            "-o",
            "BatchMode=yes",
            "-o",
            f"ConnectTimeout={connect_s}",
            "-p",
            port,
        )
        table = ExecutorTable.model_validate({"kind": "ssh", "nodes": ["127.0.0.1"]})
        executor = SshExecutor(
            ExecutorContext(
                table=table, folder=tmp_path, token="t", jobs=1, environment=os.environ
            ),
            words,
        )
        times = CellTimes(queue_s=queue_s, limit_s=60, lost_after_s=60)
        job = CellJob(
            cell_id="s/a/m/f/t#run1", tui="a", model="m", task="f/t", sweep="s", number=1, timeout_s=1,
            proxy="http://p", key="k", seal_key="sk", bundles=str(tmp_path), times=times,
        )  # fmt: skip

        outcome = await executor.run(job)

    assert outcome.state == "failed"
    assert (outcome.reason or "").startswith("node 127.0.0.1: ")
    assert said in (outcome.reason or "")


def test_bundles_survive_the_sweep(tmp_path: Path, demo: str, client: Path) -> None:
    """What was complete on a node when the sweep was killed is brought by the next session, and not run again."""
    sweep = ssh_sweep(tmp_path, demo, client, lost_after_s=120)
    with sweep.running() as process:
        pids = sweep.wait_for_agents(2)
        connections = ssh_of(sweep)
        for pid in connections:  # so that nothing of the outcome arrives
            os.kill(pid, signal.SIGSTOP)
        sweep.let_go()
        nodes = tmp_path / "nodes"
        until(
            lambda: sum(is_complete(file.parent) for file in nodes.rglob("cell.json")) == 2,
            "the bundles are not complete on the nodes",
        )
        process.send_signal(signal.SIGKILL)
        for pid in connections:
            os.kill(pid, signal.SIGKILL)
    sweep.wait_until_gone(pids)

    with sweep.running() as process:
        report = sweep.report(process)

    assert report["apart"] == []
    assert report["cells"] == {CELL.format(n): CELL.format(n) for n in (1, 2)}
    assert left_on_nodes(sweep.file.parent) == []


def test_any_command(tmp_path: Path, demo: str) -> None:
    """A template starts workers through whatever starts programs; its cancel words end one that hangs."""
    stop = tmp_path / "cancelled"
    executor = (
        'kind = "command"\nlost_after_s = 6\n'
        'start = ["sh", "-c", "exec {worker_line}", "{name}", "--only={gpus}"]\n'
        f'cancel = ["sh", "-c", "echo $0 >> {stop}", "{{cell}}"]\n'
    )
    sweep = HeldSweep(tmp_path, demo, executor, {})
    with sweep.running() as process:
        sweep.wait_for_agents(2)
        os.kill(workers(sweep.folder)[0], signal.SIGSTOP)
        pids = sweep.wait_for_agents(3)
        sweep.let_go()
        report = sweep.report(process)

    [failed] = report["apart"]
    assert "no sign of life for 6 s" in failed["reason"]
    assert set(stop.read_text().split()) == {failed["cell_id"]}
    sweep.wait_until_gone(pids)
