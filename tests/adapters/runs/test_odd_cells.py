"""Cells that do not go the usual way: plugins, floods, agents that cannot start, interrupts."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from cab.adapters.errors import AdapterError, RunFailed
from cab.adapters.runs.bundle import MARKER, is_complete, read_marker
from cab.adapters.runs.run_cell import run_cell
from cab.adapters.runs.spec import CellSpec
from cab.scoring.cells.bundle import rescore
from tests.adapters.runs.cells import (
    AGENTS,
    TASK,
    await_phase,
    cell_of,
    files_of,
    span_of,
)
from tests.adapters.toyagents import alive, gone


async def test_deviations(spec: CellSpec) -> None:
    """A local cell says that it had no boundary, in words that stay the same."""
    cell = cell_of(await run_cell(spec))

    words = [each["name"] for each in cell["identity"]["deviations"]]
    assert words[0] == "no-boundary"
    assert span_of(cell, "container", "scripted:launch")["attrs"]["deviation"] == "+".join(words)
    assert (cell["identity"]["sandbox"], cell["identity"]["container_image"]) == ("local", None)


async def test_plugins(spec: CellSpec, tmp_path: Path) -> None:
    """Plugins reach the agent and are recorded as published; their files are not counted as the agent's changes."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    start = 'schema = "cab.plugin/1"\n'
    (folder / "mine.toml").write_text(
        f'{start}name = "mine"\nenvironment = {{ COLOUR = "red" }}\n'
        '[home]\n".rules" = "be brief"\n[workspace]\n"AGENTS.md" = "ask"\n'
    )
    (folder / "other.toml").write_text(f'{start}name = "other"\ntui = ["codex"]\n')

    bundle = await run_cell(
        replace(
            spec,
            tui=f"{AGENTS}:Nosy",
            plugins=("mine", str(folder / "other.toml")),
            plugins_folder=folder,
        )
    )

    cell = cell_of(bundle)
    prepared = span_of(cell, "task_setup", f"prepare:{TASK}")["attrs"]
    assert (prepared["plugin_stack"], prepared["behavior_mode"]) == (["mine"], "plugins")
    assert span_of(cell, "adapter_run", f"nosy:{TASK}")["attrs"]["plugin_stack"] == ["mine"]
    assert span_of(cell, "tool_call", "applied_plugins")["attrs"] == {
        "tui": "nosy",
        "count": 2,
        "applied": ["mine"],
        "skipped": ["other"],
        "env_keys": ["COLOUR"],
        "extra_args": [],
        "applied_count": 1,
        "skipped_count": 1,
    }
    assert "AGENTS.md" in orjson.loads((bundle / "before.json").read_bytes())["entries"]
    assert "AGENTS.md" not in cell["scorers"]["blast_radius"]["added"]
    assert b'"COLOUR": "red"' in (bundle / "changes.patch").read_bytes()


@pytest.mark.parametrize("keep", [False, True])
async def test_a_bundle_names_no_folder_of_the_machine(spec: CellSpec, keep: bool) -> None:
    """Folders of a run have names everywhere; the agent's own files are named, and shown if asked for."""
    bundle = await run_cell(replace(spec, tui=f"{AGENTS}:Untidy", keep_scratch=keep))

    for content in files_of(bundle):
        assert b"/cab-untidy" not in content
        assert os.fsencode(spec.runs) not in content
    out = (bundle / "stdout.txt").read_text()
    assert out == (
        'working in <workspace>, at home in <home>\n{"text": "open\\n<workspace>/made.txt\\n"}\n'
    )
    patch = (bundle / "changes.patch").read_text()
    assert "+made in <workspace>\n+/root/stays\n" in patch
    assert ("+asked in <workspace>" in patch) is keep
    named = "Not in this patch: .untidy.history (scratch of the agent)\n"
    assert (named in patch) is not keep
    blast = cell_of(bundle)["scorers"]["blast_radius"]
    assert blast["scratch_changes"] == [".untidy.history"]
    assert (blast["lines_added"], blast["binary_changes"]) == (2, [])
    assert (bundle / "cell.json").read_bytes() == rescore(bundle)


@pytest.mark.slow
async def test_flood(spec: CellSpec) -> None:
    """Of an agent that prints without end the bundle keeps a bounded part, and the end."""
    bundle = await run_cell(replace(spec, tui=f"{AGENTS}:Flooding"))

    printed = (bundle / "stdout.txt").read_bytes()
    assert len(printed) < 20 << 20
    assert b"bytes are left out here" in printed
    assert printed.endswith(b"last words\n")
    assert (bundle / "recording.cast").stat().st_size < 20 << 20
    assert b"the recording is cut here" in (bundle / "recording.cast").read_bytes()


async def test_unreachable_endpoint(spec: CellSpec) -> None:
    """An endpoint that cannot be reached is an error before anything is written."""
    with pytest.raises(AdapterError, match="cannot be reached"):
        await run_cell(replace(spec, upstream="http://127.0.0.1:1"))

    assert not spec.runs.exists()


async def test_agent_cannot_start(spec: CellSpec) -> None:
    """An agent that cannot be started leaves a marked bundle, and no result."""
    with pytest.raises(RunFailed, match="/nonexistent/agent cannot be started"):
        await run_cell(replace(spec, tui=f"{AGENTS}:Missing"))

    bundle = spec.runs / "local" / "missing" / "demo" / TASK
    assert (bundle / MARKER).exists()
    assert not (bundle / "cell.json").exists()


async def test_interrupted(spec: CellSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is cancelled ends its agent and leaves a marked bundle; the next run is complete."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    monkeypatch.setenv("TEST_READY", str(ready))
    waiting = replace(spec, tui=f"{AGENTS}:Waiting")
    bundle = spec.runs / "local" / "waiting" / "demo" / TASK

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run_cell(waiting))
        pid = int(await asyncio.to_thread(ready.read_text))
        task.cancel()

    assert task.cancelled()
    assert not alive(pid)
    marker = read_marker(bundle)
    assert marker is not None
    assert marker.phase == "agent"
    assert not is_complete(bundle)
    monkeypatch.delenv("TEST_READY")
    assert is_complete(await run_cell(waiting))


async def test_interrupted_twice(
    spec: CellSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is kept from ending its agent leaves that to the watchdog: the agent is gone."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    monkeypatch.setenv("TEST_READY", str(ready))
    bundle = spec.runs / "local" / "unending" / "demo" / TASK

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run_cell(replace(spec, tui=f"{AGENTS}:Unending")))
        pid = int(await asyncio.to_thread(ready.read_text))
        await asyncio.to_thread(await_phase, bundle, "agent")
        task.cancel()
        await asyncio.sleep(0.1)
        assert not task.done()
        assert alive(pid)
        task.cancel()

    assert task.cancelled()
    assert gone(pid)


async def test_task_of_ones_own(spec: CellSpec, tmp_path: Path) -> None:
    """A task outside the package is run by the path of its folder."""
    task = tmp_path / "mine"
    (task / "workspace").mkdir(parents=True)
    (task / "checks").mkdir()
    (task / "checks" / "check.py").write_text("assert open('answer').read() == '42'\n")
    (task / "task.toml").write_text(
        'schema = "cab.task/1"\nid = "own/answer"\ncategory = "own"\nprompt = "Answer"\n'
        'expected_changes = ["answer"]\n[check]\ncommand = ["{python}", "check.py"]\n'
    )

    cell = cell_of(await run_cell(replace(spec, task=str(task))))

    assert cell["identity"]["cell_id"] == "local/scripted/demo/own/answer"
    assert cell["scorers"]["pass_rate"]["pass"] == 0
    assert cell["scorers"]["tokens"]["model_calls"] == 1
