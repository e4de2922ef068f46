"""A whole sweep as a process of its own, killed in its middle, and the model server that outlives it."""

import fcntl
import os
import select
import shutil
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import orjson
import pytest

from cab.adapters.runs.bundle import is_complete
from cab.adapters.sweeps.journal import End, read_journal
from cab.adapters.sweeps.matrix import make_matrix
from cab.adapters.sweeps.sweepfile import load_sweep
from cab.adapters.tasks.loader import load_task
from cab.scoring.ledger.reading import iter_calls
from cab.scoring.ledger.records import CallEnd
from cab.scoring.ledger.totals import is_model_call
from cab.scoring.ledger.verify import verify_ledger
from cab.scoring.score import score_cells
from tests.adapters.light_task import light_task
from tests.adapters.sweeps.processes import account_of, environment
from tests.tools.commands import StartedCommand, run_command, start_command

NAMES = ("one", "two", "three", "four")
SWEEP = """
name = "accepted"
upstream = "{url}"
models = ["demo", "another/model"]
agents = ["scripted", "tests.adapters.sweeps.agents:Whole", "tests.adapters.sweeps.agents:Silent"]
tasks = ["./one", "./two", "./three", "./four"]
runs = 2
jobs = 3
"""
ALL = 3 * 2 * 4 * 2
KILL_AT = 14
"""Cells that are done when the sweep is killed."""


@pytest.fixture
def sweep(tmp_path: Path, demo: str) -> Path:
    """A sweep file beside four tasks."""
    task = load_task(light_task())
    for name in NAMES:
        shutil.copytree(task.root, tmp_path / name)
        file = tmp_path / name / "task.toml"
        file.write_text(file.read_text().replace(task.id, f"polyglot/{name}"))
    file = tmp_path / "sweep.toml"
    file.write_text(SWEEP.format(url=demo))
    return file


class Waiter:
    """A sweep whose one agent waits until it is ended.

    Args:
        folder: Where its files are.
        url: The model server.
        agent: The agent.
    """

    def __init__(self, folder: Path, url: str, agent: str) -> None:
        self.file = folder / "waiting.toml"
        self.file.write_text(
            f'name = "w"\nupstream = "{url}"\nmodels = ["demo"]\n'
            f'agents = ["{agent}"]\ntasks = ["{light_task()}"]\nruns = 2\n'
        )
        self.folder = folder / "sweeps" / "w"
        self._ready = folder / "ready"
        os.mkfifo(self._ready)

    @contextmanager
    def running(self) -> Generator[tuple[StartedCommand, int]]:
        """Run it until the block ends; yields its process, and the agent's once that runs."""
        env = {**environment(), "TEST_READY": str(self._ready)}
        with start_command(
            "cab", "sweep", self.file, env=env, stderr=PIPE, stdout=DEVNULL
        ) as sweep:
            yield sweep, int(self._ready.read_text().split()[0])

    def verdicts(self) -> list[str]:
        """Return how its attempts ended."""
        entries = read_journal(self.folder / "journal.jsonl")
        return [entry.verdict for entry in entries if isinstance(entry, End)]

    def go_on(self) -> dict[str, Any]:
        """Run it to its end, with an agent that waits no more; return the report."""
        done = run_command("cab", "sweep", self.file, "--json", env=environment())
        assert done.returncode == 0, done.stderr
        report: dict[str, Any] = orjson.loads(done.stdout)
        return report


def has_ended(pid: int) -> bool:
    """Wait until a process has ended; return whether it did so in time."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(handle, "rb", closefd=True) as ended:
        return bool(select.select([ended], [], [], 60)[0])


def kill_in_the_middle(sweep: Path) -> None:
    """Run a sweep until some cells are done, and kill it."""
    with start_command(
        "cab", "sweep", sweep, env=environment(), stderr=PIPE, stdout=DEVNULL
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith(f"{KILL_AT}/{ALL} "):
                running.send_signal(signal.SIGKILL)
                return
    pytest.fail("the sweep ended before it could be killed")


def ends_of(path: Path, prefix: str | None = None) -> list[CallEnd]:
    """Return the model calls of a ledger or a slice."""
    return [end for end in iter_calls(path, prefix=prefix) if is_model_call(end)]


def tokens_of(ends: list[CallEnd]) -> tuple[int, int]:
    """Return the sums of a list of calls, each of which has a count."""
    pairs = [(end.prompt_tokens, end.completion_tokens) for end in ends]
    return sum(p for p, _ in pairs if p is not None), sum(c for _, c in pairs if c is not None)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_in_the_middle(sweep: Path, demo: str) -> None:
    """A sweep of 3 agents x 2 models x 4 tasks x 2 runs survives kill -9: all 48 cells are there, once."""
    folder = sweep.parent / "sweeps" / "accepted"
    kill_in_the_middle(sweep)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("cell.json")}

    done = run_command("cab", "sweep", sweep, "--json", env=environment(), timeout_s=500)

    assert done.returncode == 0, done.stderr
    assert "it was running when the sweep was killed" in done.stderr
    report = orjson.loads(done.stdout)
    bundles = [folder / "runs" / cell for cell in report["cells"].values()]
    assert (report["wanted"], report["complete"], len(set(bundles))) == (ALL, ALL, ALL)
    assert all(is_complete(bundle) for bundle in bundles)
    assert {path.parent for path in (folder / "runs").rglob("cell.json")} == set(bundles)
    # What was complete before the kill was not touched by it, nor by what came after.
    assert len(before) >= KILL_AT
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert verify_ledger(folder / "ledger").holds
    assert all(cell.identical for cell in score_cells(folder / "runs"))

    results = [end for bundle in bundles for end in ends_of(bundle / "calls.jsonl")]
    served = {call["id"]: call for call in account_of(demo)["by_call"]}
    of_results = [served.pop(end.upstream_id or "") for end in results]
    assert len(results) == len(of_results) == ALL * 3
    assert tokens_of(results) == (
        sum(call["prompt_tokens"] for call in of_results),
        sum(call["completion_tokens"] for call in of_results),
    )

    killed = [each for each in report["apart"] if each["verdict"] == "killed"]
    assert killed == report["apart"]
    assert 1 <= len(killed) <= 3
    assert not {each["cell_id"] for each in killed} & set(report["cells"].values())
    without_result = [end for each in killed for end in ends_of(folder / "ledger", each["cell_id"])]
    # The server may have answered a call whose end nobody was left to write down.
    assert {end.upstream_id for end in without_result if end.upstream_id} <= served.keys()
    assert len(served) <= len(without_result)
    assert (
        report["spend"]["calls"]
        == len(results) + len(without_result)
        == len(ends_of(folder / "ledger"))
    )


def test_no_agent_is_left(tmp_path: Path, demo: str) -> None:
    """The agent of a sweep that is killed is ended; the sweep goes on at once, with both runs."""
    waiter = Waiter(tmp_path, demo, "tests.adapters.toyagents:Waiting")
    with waiter.running() as (sweep, agent):
        sweep.kill()
        assert has_ended(agent)

    report = waiter.go_on()

    assert waiter.verdicts() == ["killed", "complete", "complete"]
    slots = [f"w/waiting/demo/polyglot/python-error-handling#run{n}" for n in (1, 2, 3)]
    assert report["cells"] == {slots[0]: slots[2], slots[1]: slots[1]}
    assert (waiter.folder / "failed" / slots[0] / "INCOMPLETE").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped(tmp_path: Path, demo: str, number: int, code: int) -> None:
    """SIGINT and SIGTERM end the running cells in order, and mark them; the sweep can go on."""
    waiter = Waiter(tmp_path, demo, "tests.adapters.toyagents:Waiting")
    with waiter.running() as (sweep, agent):
        sweep.send_signal(number)
        _, said = sweep.communicate(timeout=60)
        assert has_ended(agent)

    assert sweep.returncode == code
    assert f"stopped by {signal.Signals(number).name}: the running cells are being ended" in said
    assert waiter.verdicts() == ["stopped"]
    assert waiter.go_on()["complete"] == 2


def test_stopped_twice(tmp_path: Path, demo: str) -> None:
    """The second signal ends the sweep at once; an agent that will not end is ended behind it."""
    waiter = Waiter(tmp_path, demo, "tests.adapters.sweeps.agents:Stubborn")
    with waiter.running() as (sweep, agent):
        sweep.send_signal(signal.SIGINT)
        assert sweep.stderr is not None
        assert "a second signal ends the sweep at once" in sweep.stderr.readline()
        sweep.send_signal(signal.SIGINT)
        assert sweep.wait(timeout=60) == 130
        assert waiter.verdicts() == []
        assert has_ended(agent)

    assert waiter.go_on()["complete"] == 2


def test_stopped_before_its_first_cell(tmp_path: Path, demo: str) -> None:
    """A sweep that waits for what a killed one left open can be stopped, too."""
    waiter = Waiter(tmp_path, demo, "tests.adapters.toyagents:Waiting")
    cell = "w/waiting/demo/polyglot/python-error-handling#run1"
    marker = waiter.folder / "runs" / cell / "INCOMPLETE"
    marker.parent.mkdir(parents=True)
    with marker.open("wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with start_command("cab", "sweep", waiter.file, env=environment(), stderr=PIPE) as sweep:
            # Written before the wait, when the signals are listened for.
            while not list(read_journal(waiter.folder / "journal.jsonl")):
                os.sched_yield()
            sweep.send_signal(signal.SIGTERM)
            _, said = sweep.communicate(timeout=60)

    assert sweep.returncode == 143
    assert "Traceback" not in said
    assert waiter.verdicts() == []


def test_sweep_of_an_earlier_version(tmp_path: Path) -> None:
    """A sweep whose journal says `sitting`, and whose failed attempts lie in `apart`, goes on."""
    file, folder = tmp_path / "sweep.toml", tmp_path / "sweeps" / "old"
    file.write_text(
        'name = "old"\nupstream = "demo"\nmodels = ["demo"]\nagents = ["scripted"]\n'
        f'tasks = ["{light_task()}"]\n'
    )
    sweep = load_sweep(file)
    first = "old/scripted/demo/polyglot/python-error-handling#run1"
    attempt = {"slot": first, "cell_id": first}
    entries: list[dict[str, Any]] = [
        {
            "kind": "sitting",
            "sweep": sweep.model_dump(mode="json"),
            "made_of": make_matrix(sweep, tmp_path).fingerprints,
            "cab_version": "0.1.0",
        },
        {"kind": "begin", **attempt},
        {"kind": "end", **attempt, "verdict": "stopped", "bundle": f"apart/{first}"},
        {"kind": "close", "reason": "stopped by SIGINT"},
    ]
    old = folder / "apart" / first / "INCOMPLETE"
    old.parent.mkdir(parents=True)
    old.write_text("")
    head = {"schema": "cab.sweep/1", "at": "2026-11-20T10:00:00.000000Z"}
    lines = [orjson.dumps(head | entry, option=orjson.OPT_APPEND_NEWLINE) for entry in entries]
    (folder / "journal.jsonl").write_bytes(b"".join(lines))

    done = run_command("cab", "sweep", file, "--json", env=environment())

    assert done.returncode == 0, done.stderr
    report = orjson.loads(done.stdout)
    assert report["cells"] == {first: f"{first[:-1]}2"}
    assert [each["bundle"] for each in report["apart"]] == [f"apart/{first}"]
    assert old.exists()
