"""Templates of words."""

from pathlib import Path

import pytest

from cab.adapters.sweeps.executors.command import CommandExecutor, check_template, fill
from cab.adapters.sweeps.executors.protocol import CellJob
from cab.adapters.sweeps.executors.registry import BadExecutor, ExecutorContext
from cab.adapters.sweeps.placement import CellTimes, ExecutorTable
from cab.scoring.cells.cell import RequestedResources

JOB = CellJob(
    cell_id="s/a/m/f/t#run1", tui="a", model="m", task="f/t", sweep="s", number=1, timeout_s=1,
    proxy="http://p", key="secret-key", seal_key="secret-seal", bundles="/b",
    times=CellTimes(queue_s=1, limit_s=90, lost_after_s=1),
)  # fmt: skip


def executor(*start: str, **table: object) -> CommandExecutor:
    made = ExecutorTable.model_validate({"kind": "command", "start": list(start), **table})
    env = {"PATH": "/bin", "CAB_KEY": "sk-real", "HOME": "/h"}
    return CommandExecutor.of(
        ExecutorContext(table=made, folder=Path("/s"), token="abc", jobs=1, environment=env)
    )


def test_values() -> None:
    """Each name stands for its value; a word without one is left out; other braces stay."""
    words = ["--cpus={cpus}", "-m{memory_mib}M", "-t{time_min}", "-x={avoid}", "{cell}", '{"a": 1}']
    made = executor(*words, "-g{gpus}", "{worker}", python="/py")

    assert made.words(JOB) == [
        "--cpus=1", "-m2048M", "-t2", "s/a/m/f/t#run1", '{"a": 1}',
        "/py", "-P", "-m", "cab.adapters.sweeps.executors.worker",
    ]  # fmt: skip
    asked = RequestedResources(cpus=3, memory_bytes=1 << 30, gpus=2, time_s=61)
    job = JOB.model_copy(update={"resources": asked, "avoid": ["n1", "n2"]})
    assert made.words(job)[:7] == [
        "--cpus=3", "-m1024M", "-t2", "-x=n1,n2", "s/a/m/f/t#run1", '{"a": 1}', "-g2",
    ]  # fmt: skip


def test_values_are_not_read_as_templates() -> None:
    """Braces in a value stay as they are."""
    assert fill(["{cell}"], {"cell": "{token}", "token": "x"}, ()) == ["{token}"]


def test_names_of_containers_differ() -> None:
    """Each attempt has a name of its own, of letters and digits."""
    made = executor("{name}")
    other = JOB.model_copy(update={"cell_id": "s/a/m/f/t#run2"})

    [first], [second] = made.words(JOB), made.words(other)
    assert first != second
    assert first.removeprefix("cab-").isalnum()
    assert len(first) < 63


def test_no_secret_leaves() -> None:
    """Neither words nor variables hold a key; the job's environment is what was named."""
    made = executor("{worker}", "{cell}", "{name}", environment=["HOME", "MISSING"])
    job = made.prepare(JOB)

    shown = f"{made.words(job)} {made.variables()}"
    assert not any(secret in shown for secret in (JOB.key, JOB.seal_key, "sk-real"))
    assert job.environment == {"HOME": "/h"}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("{key}", "executor.start: {key} is not known; known: avoid, cell"),
        ("x{worker}", "use {worker_line} inside a word"),
    ],
)
def test_faults(word: str, said: str) -> None:
    """A template that names something else is refused before anything starts."""
    with pytest.raises(BadExecutor) as caught:
        check_template("start", [word])

    assert said in str(caught.value)
