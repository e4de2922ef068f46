"""A sweep on a real Slurm of two nodes, of which each part is killed in its middle."""

import os
import signal
from collections.abc import Callable, Generator
from pathlib import Path

import orjson
import pytest

from cab.adapters.sweeps.journal import End, read_journal
from cab.scoring.cells.result_record import verify_bundle
from tests.adapters.sweeps.executors.heldsweep import (
    HeldSweep,
    left_on_nodes,
    parent,
    unshared,
    until,
    variables_of,
    workers,
)
from tests.adapters.toyagents import alive
from tests.tools.slurm import Cluster, running_cluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]

EXECUTOR = 'kind = "slurm"\nlost_after_s = 6\n[resources]\ncpus = 4\nmemory = "10M"\n'
"""A cell takes a whole node, so that two of them are on two."""
CELL = "h/held/demo/polyglot/python-error-handling#run{}"

MakeSweep = Callable[[], HeldSweep]


@pytest.fixture(scope="module")
def started() -> Generator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(started: Cluster) -> Generator[Cluster]:
    """The cluster, with nothing in it before the test and after it."""
    yield started
    started.repair()


@pytest.fixture
def sweep(cluster: Cluster, tmp_path: Path, demo: str) -> HeldSweep:
    return HeldSweep(tmp_path, demo, EXECUTOR, cluster.environment)


def worker_on(sweep: HeldSweep, node: str) -> int:
    """Return the worker on a node."""
    [found] = [pid for pid in workers(sweep.folder) if variables_of(pid)["SLURMD_NODENAME"] == node]
    return found


def read_if_there(file: Path) -> bytes:
    """Return what a file holds; nothing where it has gone: of a process that has ended, a state that was renamed."""
    try:
        return file.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def conditions(sweep: HeldSweep, cell: str) -> dict[str, object]:
    facts = orjson.loads((sweep.folder / "runs" / cell / "cell.json").read_bytes())
    found: dict[str, object] = facts["identity"]["conditions"]
    return found


def test_two_nodes(cluster: Cluster, sweep: HeldSweep) -> None:
    """Each node runs a cell; no key is in a word, a variable or a file of Slurm; cells name node and request."""
    with sweep.running() as process:
        pids = sweep.wait_for_agents(2)
        jobs = cluster.ask("scontrol", "show", "job", "-d")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        sruns = [int(pid) for pid in children.read_text().split()]
        words = b"".join(
            read_if_there(entry / part)
            for pid in (*workers(sweep.folder), process.pid, *sruns)
            for entry in (Path(f"/proc/{pid}"),)
            for part in ("cmdline", "environ")
        )
        spooled = [
            read_if_there(file)
            for folder in ("state", "spool-n1", "spool-n2")
            for file in (cluster.folder / folder).rglob("*")
            if file.is_file()
        ]
        key = variables_of(pids[0])["AGENT_KEY"]
        names = sorted(line.split()[3] for line in cluster.queue())
        sweep.let_go()
        report = sweep.report(process)

    assert names == [CELL.format(1), CELL.format(2)]
    assert key.count(".") == 2
    assert len(sruns) >= 2
    assert key not in jobs
    assert all(key.encode() not in text for text in (words, *spooled))
    assert report["cells"] == {CELL.format(n): CELL.format(n) for n in (1, 2)}
    found = [conditions(sweep, CELL.format(n)) for n in (1, 2)]
    assert sorted(str(each["node"]) for each in found) == ["n1", "n2"]
    asked = {"cpus": 4, "memory_bytes": 10 << 20, "gpus": None, "time_s": None}
    assert [each["requested"] for each in found] == [asked, asked]
    assert cluster.queue() == []


def test_no_shared_folder(cluster: Cluster, tmp_path: Path, demo: str) -> None:
    """Bundles come through srun, byte for byte, and leave nothing on the nodes."""
    executor = EXECUTOR.replace("[resources]", f"{unshared(tmp_path)}[resources]")
    sweep = HeldSweep(tmp_path, demo, executor, cluster.environment)
    with sweep.running() as process:
        sweep.wait_for_agents(2)
        sweep.let_go()
        report = sweep.report(process)

    assert report["apart"] == []
    for cell in report["cells"].values():
        assert verify_bundle(sweep.folder / "runs" / cell).holds
    assert left_on_nodes(tmp_path) == []


def test_two_sweeps_of_one_name(cluster: Cluster, tmp_path: Path, demo: str) -> None:
    """One that starts again cancels its own jobs, and none of the other, whose jobs have the same names."""
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        folder.mkdir()
    one, other = (
        HeldSweep(folder, demo, EXECUTOR, cluster.environment, "runs = 1\njobs = 1\n")
        for folder in folders
    )
    with one.running() as process:
        [agent] = one.wait_for_agents(1)
        with other.running() as killed:
            other.wait_for_agents(1)
            for pid in workers(other.folder):
                os.kill(pid, signal.SIGSTOP)
            killed.send_signal(signal.SIGKILL)
        other.let_go()
        with other.running() as again:
            out, err = again.communicate(timeout=120)
        assert alive(agent)
        one.let_go()
        texts = [out, process.communicate(timeout=120)[0]]

    assert again.returncode == 0, err
    reports = [orjson.loads(text) for text in texts]
    assert [report["whole"] for report in reports] == [True, True]
    assert [len(report["apart"]) for report in reports] == [1, 0]


def test_worker_killed(cluster: Cluster, sweep: HeldSweep) -> None:
    """The attempt fails on its node, and the cell is run again under a new number."""
    with sweep.running() as process:
        pids = sweep.wait_for_agents(2)
        os.kill(worker_on(sweep, "n1"), signal.SIGKILL)
        pids = sweep.wait_for_agents(3)
        sweep.let_go()
        report = sweep.report(process)

    [failed] = report["apart"]
    assert failed["verdict"] == "infrastructure"
    assert failed["reason"].startswith("node n1: the cell's process ended by itself")
    assert sorted(report["cells"].values())[-1] == CELL.format(3)
    sweep.wait_until_gone(pids)
    cluster.wait_until_idle()


def test_step_killed(cluster: Cluster, sweep: HeldSweep) -> None:
    """srun never returns without its slurmstepd: the silence ends the attempt, and its job is cancelled."""
    with sweep.running() as process:
        sweep.wait_for_agents(2)
        worker = worker_on(sweep, "n2")
        for pid in (parent(worker), worker):
            os.kill(pid, signal.SIGKILL)
        pids = sweep.wait_for_agents(3)
        sweep.let_go()
        report = sweep.report(process)

    [failed] = report["apart"]
    assert failed["reason"].startswith("node n2: ")
    sweep.wait_until_gone(pids)
    cluster.wait_until_idle()


def test_node_daemon_killed(cluster: Cluster, sweep: HeldSweep) -> None:
    """Cells go on without slurmd, whose steps do."""
    with sweep.running() as process:
        pids = sweep.wait_for_agents(2)
        cluster.kill("n1")
        sweep.let_go()
        report = sweep.report(process)

    assert report["apart"] == []
    sweep.wait_until_gone(pids)


def ended_attempts(sweep: HeldSweep) -> int:
    """Return how many attempts the journal knows to have ended."""
    journal = read_journal(sweep.folder / "journal.jsonl")
    return sum(isinstance(entry, End) for entry in journal)


def test_controller_killed(cluster: Cluster, tmp_path: Path, demo: str) -> None:
    """Cells end well without slurmctld; later ones run once it is back, though it was not told of those ends."""
    keys = "runs = 4\njobs = 2\nretries = 20\n"
    sweep = HeldSweep(tmp_path, demo, EXECUTOR, cluster.environment, keys)
    with sweep.running() as process:
        pids = sweep.wait_for_agents(2)
        cluster.kill("slurmctld")
        sweep.let_go()
        until(lambda: ended_attempts(sweep) >= 2, "srun does not end")
        cluster.start("slurmctld")
        report = sweep.report(process)

    assert len(report["cells"]) == 4
    sweep.wait_until_gone(pids)
    cluster.wait_until_idle()


def test_controller_away_at_the_end(cluster: Cluster, sweep: HeldSweep) -> None:
    """The end of a sweep frees the nodes of cells whose end slurmctld was not told of."""
    with sweep.running() as process:
        sweep.wait_for_agents(2)
        cluster.kill("slurmctld")
        sweep.let_go()
        until(lambda: ended_attempts(sweep) == 2, "srun does not end")
        cluster.start("slurmctld")
        report = sweep.report(process)

    assert report["apart"] == []
    assert all(" COMPLETING " in line for line in cluster.queue())


def test_controller_stays_away(cluster: Cluster, sweep: HeldSweep) -> None:
    """A sweep that cannot free its nodes at its end says so in one line; its results count."""
    with sweep.running() as process:
        sweep.wait_for_agents(2)
        cluster.kill("slurmctld")
        sweep.let_go()
        out, err = process.communicate(timeout=200)

    assert process.returncode == 0, err
    assert orjson.loads(out)["whole"]
    [line] = [line for line in err.splitlines() if "may be left" in line]
    assert "Slurm's queue cannot be read" in line


def test_controller_forgets(cluster: Cluster, tmp_path: Path, demo: str) -> None:
    """A controller that has lost its jobs, one that waits among them, costs attempts and no cell."""
    keys = "runs = 3\njobs = 3\n"
    sweep = HeldSweep(tmp_path, demo, EXECUTOR, cluster.environment, keys)
    with sweep.running() as process:
        sweep.wait_for_agents(2)
        until(lambda: any(" PENDING " in line for line in cluster.queue()), "no job waits")
        cluster.kill("slurmctld")
        for file in (cluster.folder / "state").glob("job_state*"):
            file.unlink()
        cluster.start("slurmctld")
        sweep.let_go()
        report = sweep.report(process)

    assert len(report["cells"]) == 3
    cluster.wait_until_idle()


def test_sweep_killed(cluster: Cluster, sweep: HeldSweep) -> None:
    """With the sweep, and the proxy in it, all ends: no job, no agent; the same command then finishes."""
    with sweep.running() as process:
        pids = sweep.wait_for_agents(2)
        process.send_signal(signal.SIGKILL)
    sweep.wait_until_gone(pids)
    cluster.wait_until_idle()
    sweep.let_go()

    with sweep.running() as process:
        report = sweep.report(process)

    assert [each["verdict"] for each in report["apart"]] == ["killed", "killed"]


def test_sweep_and_srun_killed(cluster: Cluster, sweep: HeldSweep) -> None:
    """Jobs that nobody is left to end are cancelled by the next session, which does not wait for them."""
    with sweep.running() as process:
        pids = sweep.wait_for_agents(2)
        found = workers(sweep.folder)
        # Stopped, they cannot notice that their sweep has gone.
        for pid in found:
            os.kill(pid, signal.SIGSTOP)
        process.send_signal(signal.SIGKILL)
    sweep.let_go()

    with sweep.running() as process:
        report = sweep.report(process)

    assert [each["verdict"] for each in report["apart"]] == ["killed", "killed"]
    sweep.wait_until_gone([*pids, *found])
    cluster.wait_until_idle()


def test_stopped(cluster: Cluster, tmp_path: Path, demo: str) -> None:
    """SIGINT ends running cells in order, and one that waits for a node at once."""
    keys = "runs = 3\njobs = 3\n"
    sweep = HeldSweep(tmp_path, demo, EXECUTOR, cluster.environment, keys)
    with sweep.running() as process:
        pids = sweep.wait_for_agents(2)
        until(lambda: any(" PENDING " in line for line in cluster.queue()), "no job waits")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
    assert cluster.queue() == [] or all(" COMPLETING " in line for line in cluster.queue())
    sweep.wait_until_gone(pids)


def test_node_killed(cluster: Cluster, tmp_path: Path, demo: str) -> None:
    """A node of which nothing is left fails its cells, is avoided, and the other node runs them."""
    executor = EXECUTOR.replace("[resources]", "node_failures = 1\n[resources]")
    sweep = HeldSweep(tmp_path, demo, executor, cluster.environment)
    with sweep.running() as process:
        sweep.wait_for_agents(2)
        cluster.kill("n1")
        worker = worker_on(sweep, "n1")
        os.kill(parent(worker), signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
        sweep.let_go()
        report = sweep.report(process)

    [failed] = report["apart"]
    assert failed["reason"].startswith("node n1: ")
    [again] = [cell for cell in report["cells"].values() if cell.endswith("#run3")]
    assert conditions(sweep, again)["node"] == "n2"


def test_no_controller(tmp_path: Path, demo: str, cluster: Cluster) -> None:
    """Without a controller the sweep says so in one line and does not wait for ever."""
    cluster.kill("slurmctld")
    sweep = HeldSweep(tmp_path, demo, EXECUTOR, cluster.environment)
    with sweep.running() as process:
        _, err = process.communicate(timeout=200)
    assert process.returncode == 2
    assert "Slurm's queue cannot be read" in err
    assert "Traceback" not in err


ARRAY = EXECUTOR.replace('"slurm"', '"slurm-array"')


@pytest.fixture
def array(cluster: Cluster, tmp_path: Path, demo: str) -> HeldSweep:
    return HeldSweep(tmp_path, demo, ARRAY, cluster.environment)


def test_array(cluster: Cluster, array: HeldSweep) -> None:
    """Attempts are tasks of one array; its key files are private, and gone once they are read."""
    with array.running() as process:
        array.wait_for_agents(2)
        [spool] = (array.folder / "spool").iterdir()
        names = {file.name for file in spool.iterdir()}
        modes = [spool.stat().st_mode & 0o777, (array.folder / "spool").stat().st_mode & 0o777]
        queued = cluster.ask("squeue", "--noheader", "--array", "--format=%F %K %T").splitlines()
        array.let_go()
        report = array.report(process)

    assert modes == [0o700, 0o700]
    assert {"0.said", "1.said"} <= names
    assert not any(name.endswith(".job") for name in names)
    assert len({line.split()[0] for line in queued}) == 1
    assert sorted(line.split()[1:] for line in queued) == [["0", "RUNNING"], ["1", "RUNNING"]]
    assert report["apart"] == []
    found = [conditions(array, CELL.format(n)) for n in (1, 2)]
    assert sorted(str(each["node"]) for each in found) == ["n1", "n2"]
    assert list((array.folder / "spool").rglob("*")) == []


def test_worker_of_an_array_killed(cluster: Cluster, array: HeldSweep) -> None:
    """The attempt fails, and the cell is run again in another array."""
    with array.running() as process:
        pids = array.wait_for_agents(2)
        os.kill(worker_on(array, "n1"), signal.SIGKILL)
        pids = array.wait_for_agents(3)
        array.let_go()
        report = array.report(process)

    [failed] = report["apart"]
    assert failed["reason"].startswith("node n1: ")
    array.wait_until_gone(pids)
    cluster.wait_until_idle()


def test_sweep_of_an_array_killed(cluster: Cluster, array: HeldSweep) -> None:
    """Its tasks notice that their sweep has gone; the next session finds no job and removes the keys."""
    with array.running() as process:
        pids = array.wait_for_agents(2)
        process.send_signal(signal.SIGKILL)
    array.wait_until_gone(pids)
    cluster.wait_until_idle()
    array.let_go()

    with array.running() as process:
        report = array.report(process)

    assert [each["verdict"] for each in report["apart"]] == ["killed", "killed"]
    assert list((array.folder / "spool").rglob("*")) == []


def test_stopped_array(cluster: Cluster, tmp_path: Path, demo: str) -> None:
    """SIGINT ends its tasks in order, and those that wait at once."""
    keys = "runs = 3\njobs = 3\n"
    sweep = HeldSweep(tmp_path, demo, ARRAY, cluster.environment, keys)
    with sweep.running() as process:
        pids = sweep.wait_for_agents(2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=100)
        assert process.returncode == 130, err
    sweep.wait_until_gone(pids)
    cluster.wait_until_idle()
