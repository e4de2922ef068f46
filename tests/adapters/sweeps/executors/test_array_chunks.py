"""Arrays of more attempts than Slurm takes in one; programs of the test's stand where Slurm's are."""

import asyncio
from pathlib import Path

import pytest

from cab.adapters.sweeps.executors.protocol import CellJob
from cab.adapters.sweeps.executors.registry import BadExecutor, ExecutorContext, load_executor
from cab.adapters.sweeps.executors.slurm_array import MOST_TASKS
from cab.adapters.sweeps.placement import CellTimes, ExecutorTable

SBATCH = """#!/bin/sh
cat > /dev/null
for word in "$@"; do case "$word" in --array=*|--output=*) echo "$word" >> {notes};; esac; done
ls -l {spool}/*/0.job | cut -c1-10 >> {notes}
echo $$
"""
MORE = 5


def job(folder: Path, number: int) -> CellJob:
    return CellJob(
        cell_id=f"s/a/m/f/t#run{number}", tui="a", model="m", task="f/t", sweep="s", number=number,
        timeout_s=1, proxy="http://p", key="k", seal_key="sk", bundles=str(folder / "runs"),
        times=CellTimes(queue_s=60, limit_s=60, lost_after_s=1),
    )  # fmt: skip


def context(folder: Path, **table: object) -> ExecutorContext:
    programs = folder / "bin"
    programs.mkdir()
    scripts = {
        "sbatch": SBATCH.format(notes=folder / "notes", spool=folder / "spool"),
        "squeue": "#!/bin/sh\n",
        "scancel": "#!/bin/sh\n",
    }
    for name, text in scripts.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    made = ExecutorTable.model_validate({"kind": "slurm-array", **table})
    env = {"PATH": f"{programs}:/usr/bin:/bin"}
    return ExecutorContext(table=made, folder=folder, token="abc", jobs=10_000, environment=env)


async def test_chunks(tmp_path: Path) -> None:
    """No array has more tasks than Slurm takes; what Slurm drops fails, and no key stays behind."""
    executor = load_executor(context(tmp_path))

    outcomes = await asyncio.gather(
        *(executor.run(job(tmp_path, number)) for number in range(MOST_TASKS + MORE))
    )

    notes = (tmp_path / "notes").read_text().splitlines()
    arrays = sorted(line for line in notes if line.startswith("--array="))
    assert arrays == [f"--array=0-{MORE - 1}", f"--array=0-{MOST_TASKS - 1}"]
    assert {line for line in notes if not line.startswith("--")} == {"-rw-------"}
    assert {each.state for each in outcomes} == {"failed"}
    assert all("Slurm ended its job" in (each.reason or "") for each in outcomes)
    assert list((tmp_path / "spool").iterdir()) == []


async def test_refused(tmp_path: Path) -> None:
    """What sbatch says is the reason of each attempt."""
    made = context(tmp_path)
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/sh\necho no such account >&2\nexit 1\n")

    outcome = await load_executor(made).run(job(tmp_path, 1))

    assert outcome.reason == "sbatch did not take the array: no such account"
    assert list((tmp_path / "spool").iterdir()) == []


async def test_cancelled_before_it_is_submitted(tmp_path: Path) -> None:
    """An attempt that still waits for others of its array can be ended."""
    executor = load_executor(context(tmp_path))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(executor.run(job(tmp_path, 1)))
        await asyncio.sleep(0)
        await executor.cancel(job(tmp_path, 1).cell_id)

    assert running.result().state == "stopped"


@pytest.mark.parametrize("kind", ["slurm", "slurm-array"])
@pytest.mark.parametrize(
    "option", ["-Jmine", "--job-name=mine", "--job=mine", "--comment", "--comm=x"]
)
def test_options_that_hide_jobs(tmp_path: Path, kind: str, option: str) -> None:
    """Names and marks of jobs are ours: without them a job could neither be found nor cancelled."""
    with pytest.raises(BadExecutor, match=f"executor.options: {option} would hide"):
        load_executor(context(tmp_path, kind=kind, options=["--partition=cpu", option]))


def test_needs_a_shared_folder(tmp_path: Path) -> None:
    """Without one there is no spool that nodes could read."""
    with pytest.raises(BadExecutor, match="slurm-array needs shared = true"):
        load_executor(context(tmp_path, shared=False))
