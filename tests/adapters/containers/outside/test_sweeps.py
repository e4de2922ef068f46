"""Sweeps whose cells run in containers: several at a time, their limits recorded, and what a kill leaves."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.adapters.processes.tree import run_processes
from tests.adapters.containers.conftest import said, things
from tests.adapters.containers.outside import hostile
from tests.adapters.containers.outside.conftest import IMAGE

pytestmark = [
    pytest.mark.containers,
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.xdist_group("outside"),
]

SWEEP = """
name = "boxes"
upstream = "demo"
models = ["demo"]
agents = [{agents}]
tasks = ["{task}"]
runs = 2
jobs = 2
retries = 0
timeout_s = {timeout_s}
sandbox = "docker"

[container]
engine = "{engine}"
checks_image = "{image}"
images = {{ {images} }}
limits = {{ memory = "200m", cpus = 1.5, processes = 64 }}
"""
STUCK = f"{hostile.__name__}:Staying"


def write_sweep(folder: Path, engine: str, task: Path, agent: str, timeout_s: float) -> Path:
    file = folder / "sweep.toml"
    file.write_text(
        SWEEP.format(
            agents=f'"{agent}"',
            task=task,
            timeout_s=timeout_s,
            engine=engine,
            image=IMAGE,
            images=f'"{agent}" = "{IMAGE}"',
        )
    )
    return file


def command(file: Path) -> list[str]:
    return [str(Path(sys.executable).with_name("cab")), "sweep", str(file), "--json"]


def environment() -> dict[str, str]:
    # The agents of these tests are modules of them.
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}


def cells(folder: Path) -> list[dict[str, Any]]:
    return [
        orjson.loads(file.read_bytes())
        for file in sorted((folder / "sweeps/boxes/runs").rglob("cell.json"))
    ]


def test_a_sweep(engine: str, tmp_path: Path, quick: Path) -> None:
    """Each cell runs in containers of its own beside others, and records the limits that held it."""
    file = write_sweep(tmp_path, engine, quick, "scripted", 120)

    done = subprocess.run(
        command(file),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = cells(tmp_path)
    assert len(found) == 2
    for cell in found:
        identity = cell["identity"]
        assert (identity["sandbox"], identity["check_image"]) == ("docker", IMAGE)
        assert identity["deviations"] == []
        assert identity["conditions"]["cpus"] == 1.5
        assert identity["conditions"]["memory_limit_bytes"] == 200 << 20
        assert cell["scorers"]["tokens"]["model_calls"] >= 1


async def running(engine: str, before: set[str], most: int) -> None:
    """Wait until the agents of a sweep run in their containers."""
    while len(agents_of(engine) - before) < most:  # noqa: ASYNC110 - no event comes from an engine
        await asyncio.sleep(0.2)


def agents_of(engine: str) -> set[str]:
    words = ("ps", "--filter", "label=cab.run", "--format", "{{.Names}}")
    return set((said(engine, *words) or "").split())


async def start(file: Path, folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command(file),
        cwd=folder,
        env=environment(),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )


async def test_a_sweep_that_is_killed(engine: str, tmp_path: Path, quick: Path) -> None:
    """After SIGKILL of the sweep the processes of its cells remove their containers and networks."""
    before, file = things(engine), write_sweep(tmp_path, engine, quick, STUCK, 600)
    sweep = await start(file, tmp_path)
    await running(engine, before, 2)

    sweep.kill()
    await sweep.wait()

    while things(engine) - before:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.2)


async def test_all_of_a_sweep_is_killed(engine: str, tmp_path: Path, quick: Path) -> None:
    """If nobody was left to clean up, the next start does, before it runs anything."""
    before, file = things(engine), write_sweep(tmp_path, engine, quick, STUCK, 600)
    sweep = await start(file, tmp_path)
    await running(engine, before, 2)

    # The sweep, its workers and their watchdogs, all at once: stopped first, so that none sees another go.
    everybody = [each.pid for each in run_processes(sweep.pid, "no mark")]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in everybody:
            os.kill(pid, number)
    await sweep.wait()
    left = things(engine) - before
    assert len(left) >= 4

    again = await start(file, tmp_path)
    while left & things(engine):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.2)
    again.send_signal(signal.SIGTERM)
    assert await again.wait() == 143
