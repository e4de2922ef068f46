"""The tables `[executor]` and `[resources]` of a sweep file."""

from pathlib import Path

import pytest

from cab.adapters.runs.spec import KEY_MARGIN_S, TIMEOUT_S
from cab.adapters.sweeps.placement import ExecutorTable, NodeRecord, cell_times
from cab.adapters.sweeps.sweepfile import BadSweep, SweepFile, load_sweep

LEAST = 'name = "s"\nmodels = ["m"]\nagents = ["scripted", "aider"]\ntasks = ["polyglot/*"]\n'


def loaded(folder: Path, text: str) -> SweepFile:
    file = folder / "sweep.toml"
    file.write_text(LEAST + text)
    return load_sweep(file)


def test_resources(tmp_path: Path) -> None:
    """A task's table wins over an agent's, which wins over that of all; the last glob wins; unknown stays None."""
    plan = loaded(
        tmp_path,
        '[resources]\ncpus = 2\nmemory = "4G"\n[resources.agents.aider]\ncpus = 3\ngpus = 1\n'
        '[resources.tasks."polyglot/*"]\nmemory = "512m"\n[resources.tasks."*/rust-*"]\nmemory = 1000\n',
    ).resources

    assert plan.request("scripted", "x/y").model_dump() == {
        "cpus": 2, "memory_bytes": 4 << 30, "gpus": None, "time_s": None,
    }  # fmt: skip
    aider = plan.request("aider", "polyglot/rust-a")
    assert (aider.cpus, aider.gpus, aider.memory_bytes) == (3, 1, 1000)
    assert plan.request("aider", "polyglot/go").memory_bytes == 512 << 20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[resources]\nmemory = "4 GB"', "resources.memory: '4 GB' is not an amount of memory"),
        ("[resources]\nmemory = true", "resources.memory: must be an amount"),
        ("[resources]\ncpus = 0", "resources.cpus: "),
        ("[resources]\ntime_s = 10", "time_s 10 is less than timeout_s 600"),
        ("[resources.tasks.'*']\ntime_s = 10", "time_s 10 is less than timeout_s 600"),
        ("[resources.agents.pi]\ncpus = 1", "pi is not one of `agents`"),
        ("[executor]\nkind = 'command'", "kind = 'command' needs `start`"),
        ("[executor]\nkind = 'ssh'", "kind = 'ssh' needs `nodes`"),
        ("[executor]\nlisten = '0.0.0.0'", "name in `reach` the one that nodes use"),
        ("[executor]\nenvironment = ['CAB_KEY']", "CAB_KEY may hold a secret"),
        ("[executor]\nenvironment = ['OPENAI_API_KEY']", "OPENAI_API_KEY may hold a secret"),
        ("[executor]\nenvironment = ['A=B']", "must be the name of an environment variable"),
        ("seal_key_file = 'k'\n[executor]\nshared = false", "shared = false leaves the ledger"),
        ("[executor]\nnods = []", "executor.nods: is not a key of a sweep file"),
    ],
)
def test_faults(tmp_path: Path, text: str, said: str) -> None:
    """Each is one line that names the file, the key and the fix."""
    with pytest.raises(BadSweep) as caught:
        loaded(tmp_path, text)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_times() -> None:
    """The keys of a cell live exactly as long as it may wait and run."""
    times = cell_times(ExecutorTable(kind="slurm", queue_s=1000), TIMEOUT_S)

    assert times.limit_s == TIMEOUT_S + KEY_MARGIN_S
    assert times.key_ttl_s == 1000 + TIMEOUT_S + KEY_MARGIN_S
    # No node is waited for on this machine, nor on one that is reached at once.
    for table in (ExecutorTable(), ExecutorTable(kind="ssh", nodes=["n"])):
        assert cell_times(table, TIMEOUT_S).key_ttl_s == 300 + TIMEOUT_S + KEY_MARGIN_S


def test_nodes() -> None:
    """A node is avoided for good after two cells in a row failed there; a success in between takes that back."""
    nodes = NodeRecord(2)

    said = [nodes.note("a", f"s{n}", failed=n != 1) for n in range(5)]
    assert said == [False, False, False, True, False]
    assert not nodes.note(None, "s", failed=True)
    assert not nodes.note("b", "s", failed=True)
    assert nodes.avoided == ["a"]


def test_a_cell_that_fails_everywhere() -> None:
    """It is not the fault of a node, however often it is tried there."""
    nodes = NodeRecord(2)

    assert not any(nodes.note("a", "s", failed=True) for _ in range(5))
