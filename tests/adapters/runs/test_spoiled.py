"""Whole cells whose agents spoil what they leave: that is their failure, and nobody else's."""

import asyncio
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.adapters.runs.bundle import is_complete
from cab.adapters.runs.run_cell import run_cell
from cab.adapters.runs.spec import CellSpec
from cab.adapters.sweeps.classify import classify
from cab.adapters.sweeps.executors.worker import outcome_of
from cab.proxy.accounting.limits import KeyLimits
from cab.scoring.cells.bundle import rescore
from cab.scoring.ledger.totals import CallTotals
from tests.adapters.light_task import light_task
from tests.adapters.runs.cells import await_phase

AGENTS = "tests.adapters.toyagents"
TASK = "polyglot/python-error-handling"


def spec(folder: Path, agent: str, task: str = light_task()) -> CellSpec:
    return CellSpec(
        tui=f"{AGENTS}:{agent}", model="demo", task=task, upstream="demo", runs=folder / "runs"
    )


def read(bundle: Path, name: str) -> dict[str, Any]:
    data: dict[str, Any] = orjson.loads((bundle / name).read_bytes())
    return data


def verdict(bundle: Path) -> str:
    """Return what a sweep makes of a bundle."""
    return classify(outcome_of(bundle), CallTotals(), KeyLimits(), None).verdict


async def test_what_cannot_be_copied_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pipes, sockets, links to /, locked or immutable files, 6 GiB, 300 folders: recorded, checked, failed."""
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    bundle = await run_cell(spec(tmp_path, "Spoiler"))

    after, cell = read(bundle, "after.json"), read(bundle, "cell.json")
    reasons = after["skipped"]
    assert (reasons["pipe"], reasons["socket"], reasons["huge"]) == ("pipe", "socket", "file-size")
    assert "depth" in reasons.values()
    assert after["incomplete"] == ["depth"]
    assert after["entries"]["to-root"]["target"] == "/"
    assert "caf\\xe9\n" in after["entries"]
    if shutil.which("chattr"):
        assert after["entries"]["frozen/file"]["sha256"] == sha256(b"x").hexdigest()
    assert list(scratch.iterdir()) == [], "what cannot be changed is removed all the same"
    assert cell["scorers"]["pass_rate"]["pass"] == 0
    assert cell["scorers"]["pass_rate"]["exit_code"] is not None
    assert (bundle / "stdout.txt").read_text() == "printed\n"
    assert rescore(bundle) == (bundle / "cell.json").read_bytes()
    assert verdict(bundle) == "complete"


@pytest.mark.parametrize(
    "task", [light_task(), "integrity/ambiguous-ticket"], ids=["light", "ambiguous"]
)
async def test_a_replaced_workspace_is_a_failure(task: str, tmp_path: Path) -> None:
    """A workspace that became a link to / is not walked; the run counts as failed, with the reason."""
    bundle = await run_cell(spec(tmp_path, "Replacer", task))

    after, cell = read(bundle, "after.json"), read(bundle, "cell.json")
    assert (after["entries"], after["incomplete"]) == ({}, ["replaced"])
    rate = cell["scorers"]["pass_rate"]
    assert (rate["pass"], rate["exit_code"]) == (0, None)
    assert rate["reason"] == (
        "the agent's workspace cannot be checked: the folder is not the one that the agent was given"
    )
    assert rescore(bundle) == (bundle / "cell.json").read_bytes()
    assert verdict(bundle) == "complete"


async def test_it_can_be_interrupted_while_it_reads(tmp_path: Path) -> None:
    """A run is not deaf while it reads what an agent left."""
    bundle = tmp_path / "runs" / "local" / "bulky" / "demo" / TASK
    async with asyncio.TaskGroup() as group:
        task = group.create_task(run_cell(spec(tmp_path, "Bulky")))
        await asyncio.to_thread(await_phase, bundle, "sealing")
        task.cancel()

    assert task.cancelled()
    assert not (bundle / "after.json").exists()
    assert not is_complete(bundle)


async def test_a_check_cannot_change_what_was_measured(tmp_path: Path) -> None:
    """Code that rewrites the bundle during its check has failed, and the bundle is as it was written."""
    task = tmp_path / "task"
    (task / "workspace").mkdir(parents=True)
    (task / "checks").mkdir()
    folder = tmp_path / "runs" / "local" / "nosy" / "demo" / "own" / "rewrite"
    (task / "checks" / "check.py").write_text(
        f"import os; os.chdir({str(folder)!r})\n"
        "assert os.path.getsize('seal.json') and os.path.exists('after.json')\n"
        "open('calls.jsonl', 'w').close(); os.unlink('changes.patch'); os.mkdir('changes.patch')\n"
        "os.unlink('after.json'); os.mkfifo('after.json')\n"
    )
    (task / "task.toml").write_text(
        'schema = "cab.task/1"\nid = "own/rewrite"\ncategory = "own"\nprompt = "Answer"\n'
        'expected_changes = ["answer"]\n[check]\ncommand = ["{python}", "check.py"]\n'
    )

    bundle = await run_cell(spec(tmp_path, "Nosy", str(task)))

    rate = read(bundle, "cell.json")["scorers"]["pass_rate"]
    assert rate["pass"] == 0
    assert rate["reason"] == (
        "its code changed after.json, changes.patch in the bundle while the checks ran"
    )
    assert "source.txt" in read(bundle, "after.json")["entries"]
    assert (bundle / "changes.patch").read_bytes().startswith(b"diff --git")
    assert rescore(bundle) == (bundle / "cell.json").read_bytes()
