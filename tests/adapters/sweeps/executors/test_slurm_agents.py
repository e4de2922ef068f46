"""Real agents on two nodes of a real Slurm, one of which dies; the database then holds what was served."""

import os
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from cab.adapters.agents.registry import load_adapter
from cab.adapters.install.install import find_installed
from tests.adapters.sweeps.executors.heldsweep import parent, until, variables_of, workers
from tests.adapters.sweeps.processes import account_of, environment
from tests.tools.postgres import PASSWORD, running_postgres
from tests.tools.programs import CAB
from tests.tools.shipped import Database
from tests.tools.slurm import Cluster, running_cluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(3000)]

AGENTS = ("aider", "mini-swe-agent", "pi")
MODELS = ("demo", "acme/demo-2")
LIMIT_S = 1400


class Size(NamedTuple):
    """How much of the matrix is run."""

    models: int
    tasks: tuple[str, ...]
    runs: int

    @property
    def cells(self) -> int:
        return len(AGENTS) * self.models * len(self.tasks) * self.runs


_TASKS = (
    "polyglot/python-error-handling",
    "integrity/ambiguous-ticket",
    "mutations/python-shop-invoices",
    "polyglot/python-cron",
)
SIZES = {"small": Size(1, _TASKS[:2], 1), "whole": Size(2, _TASKS, 2)}
SIZE = SIZES[os.environ.get("TEST_FLEET", "small")]
"""`make test-fleet` runs the whole one."""

SWEEP = """\
name = "f"
upstream = "{url}"
models = {models}
agents = {agents}
tasks = {tasks}
runs = {runs}
jobs = 4
retries = 8
retry_wait_s = 1
[executor]
kind = "slurm"
lost_after_s = 10
[resources]
cpus = 2
memory = "10M"
"""


@pytest.fixture(autouse=True)
def installed() -> None:
    """Skip, and in CI fail, where an agent is not installed."""
    missing = [name for name in AGENTS if find_installed(load_adapter(name).facts) is None]
    if missing:
        reason = f"{missing[0]} is not installed; run: cab adapters install {' '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def cluster() -> Generator[Cluster]:
    with running_cluster() as found:
        yield found


@pytest.fixture
def database() -> Generator[Database]:
    with running_postgres() as server:
        yield Database(server, server.new_database())


def cab(*words: object) -> str:
    """Run a command; return what it printed."""
    done = subprocess.run(
        [CAB, *map(str, words)],
        env={**environment(), "PGPASSWORD": PASSWORD},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def site(where: object, into: Path) -> dict[str, bytes]:
    """Return the files of a report."""
    cab("report", where, "-o", into)
    files = (file for file in into.rglob("*") if file.is_file() and not file.name.startswith("."))
    return {str(file.relative_to(into)): file.read_bytes() for file in files}


@contextmanager
def running_sweep(folder: Path, url: str, cluster: Cluster) -> Generator["subprocess.Popen[str]"]:
    file = folder / "sweep.toml"
    lists = {"models": MODELS[: SIZE.models], "agents": AGENTS, "tasks": SIZE.tasks}
    texts = {name: orjson.dumps(words).decode() for name, words in lists.items()}
    file.write_text(SWEEP.format(url=url, runs=SIZE.runs, **texts))
    with subprocess.Popen(
        [CAB, "sweep", file, "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**environment(), **cluster.environment},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def on_node(folder: Path, node: str) -> list[int]:
    """Return the workers on a node."""
    return [pid for pid in workers(folder) if variables_of(pid).get("SLURMD_NODENAME") == node]


def kill_node(cluster: Cluster, folder: Path, node: str) -> None:
    """Kill the daemon of a node, and the worker and slurmstepd of each of its cells."""
    until(lambda: on_node(folder, node), f"no cell runs on {node}")
    cluster.kill(node)
    for worker in on_node(folder, node):
        with suppress(OSError):
            for pid in (parent(worker), worker):
                os.kill(pid, signal.SIGKILL)


def served(url: str) -> list[tuple[str, int, int]]:
    """Return id, prompt and completion tokens of each call, as the server has it."""
    calls: list[dict[str, Any]] = account_of(url)["by_call"]
    return sorted((each["id"], each["prompt_tokens"], each["completion_tokens"]) for each in calls)


def test_a_node_dies(tmp_path: Path, demo: str, cluster: Cluster, database: Database) -> None:
    """The sweep is complete; the calls in the database are those served; its report is the folder's."""
    folder = tmp_path / "sweeps" / "f"
    with running_sweep(tmp_path, demo, cluster) as process:
        done = SIZE.cells // 3
        until(lambda: len(list((folder / "runs").rglob("cell.json"))) >= done, "too slow", LIMIT_S)
        kill_node(cluster, folder, "n1")
        out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err
    report = orjson.loads(out)
    assert (report["whole"], len(report["cells"])) == (True, SIZE.cells)
    # The attempts on the dead node, at least, are not results.
    assert {each["verdict"] for each in report["apart"]} == {"infrastructure"}

    ledger, runs, url = folder / "ledger", folder / "runs", database.url
    cab("ledger", "ship", ledger, "--to", url, "--once", "--runs", runs)
    asked = "select doc->>'upstream_id', prompt_tokens, completion_tokens from cab.calls"
    assert sorted(database.rows(f"{asked} where doc->>'upstream_id' is not null")) == served(demo)
    account = account_of(demo)
    [sums] = database.rows("select sum(calls), sum(total_tokens) from cab.cells")
    assert sums == (account["calls"], account["total_tokens"])
    assert report["spend"]["calls"] == account["calls"]
    assert site(runs, tmp_path / "a") == site(url, tmp_path / "b")
    assert not workers(folder)
    assert all(" COMPLETING " in line for line in cluster.queue())
