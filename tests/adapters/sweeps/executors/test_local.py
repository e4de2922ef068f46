"""The executor of this machine, with real processes and a real proxy."""

import asyncio
import os
import select
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import orjson
import pytest

from cab.adapters.runs.bundle import is_complete
from cab.adapters.sweeps.executors.local import LocalExecutor
from cab.adapters.sweeps.executors.protocol import CellJob, CellOutcome, Executor
from cab.adapters.sweeps.executors.worker import run_job
from cab.adapters.sweeps.placement import CellTimes
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.app import Proxy, running_proxy
from cab.proxy.config import ProxySettings
from tests.adapters.light_task import light_task
from tests.adapters.toyagents import alive, gone

TASK = "polyglot/python-error-handling"
CELL = f"s/{{}}/demo/{TASK}#run1"


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncGenerator[Proxy]:
    settings = ProxySettings(upstream="demo", port=0, ledger=tmp_path / "ledger", auth="keys")
    async with running_proxy(settings) as running:
        yield running


def job_of(
    proxy: Proxy, folder: Path, tui: str, name: str, limits: KeyLimits | None = None
) -> CellJob:
    """Return a job for an agent."""
    cell_id = CELL.format(name)
    keys = proxy.mint_keys(cell_id, 600, limits)
    return CellJob(
        cell_id=cell_id,
        tui=tui,
        model="demo",
        task=light_task(),
        sweep="s",
        number=1,
        timeout_s=60,
        proxy=proxy.url,
        key=keys.call,
        seal_key=keys.seal,
        bundles=str(folder / "runs"),
    )


def executor() -> Executor:
    """Return it as the interface that a sweep knows."""
    return LocalExecutor()


async def test_complete(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome holds what a sweep needs of the bundle; our keys are not passed on."""
    monkeypatch.setenv("CAB_KEY", "sk-real-canary-0123456789")
    job = job_of(proxy, tmp_path, "scripted", "scripted")

    outcome = await executor().run(job)

    assert proxy.demo is not None
    account = proxy.demo.account()
    assert outcome == CellOutcome(
        state="complete",
        bundle=str(tmp_path / "runs" / job.cell_id),
        passed=True,
        succeeded=3,
        calls=3,
        tokens=account["total_tokens"],
    )
    assert is_complete(Path(outcome.bundle or ""))


async def test_limits_of_the_key(proxy: Proxy, tmp_path: Path) -> None:
    """An agent that reaches its key's limit is refused, and the outcome says so."""
    job = job_of(proxy, tmp_path, "scripted", "scripted", KeyLimits(max_calls=1))

    outcome = await executor().run(job)

    assert (outcome.state, outcome.succeeded, outcome.rejected) == ("complete", 1, 1)
    assert outcome.passed is False


@pytest.mark.slow
async def test_side_by_side(proxy: Proxy, tmp_path: Path) -> None:
    """Several run at the same time, each with its own outcome."""
    local = executor()
    agents = {"scripted": "scripted", "silent": "tests.adapters.sweeps.agents:Silent"}
    jobs = [job_of(proxy, tmp_path, tui, name) for name, tui in agents.items()]

    outcomes = await asyncio.gather(*(local.run(job) for job in jobs))

    assert [each.bundle for each in outcomes] == [f"{tmp_path}/runs/{job.cell_id}" for job in jobs]
    assert {each.succeeded for each in outcomes} == {3}


@pytest.mark.parametrize(
    ("tui", "name", "said"),
    [
        ("tests.adapters.toyagents:Missing", "missing", "NotStarted: "),
        (
            "tests.adapters.sweeps.agents:Crashing",
            "x",
            "exit code 7; its last message: about to crash",
        ),
        ("nonsense", "nonsense", "UnknownAdapter: no agent 'nonsense'"),
    ],
)
async def test_failed(proxy: Proxy, tmp_path: Path, tui: str, name: str, said: str) -> None:
    """Whatever stops a cell is an outcome with a reason, never an error of the sweep."""
    outcome = await executor().run(job_of(proxy, tmp_path, tui, name))

    assert outcome.state == "failed"
    assert said in (outcome.reason or "")


async def test_no_process(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that cannot be started fails the attempt."""
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")

    outcome = await executor().run(job_of(proxy, tmp_path, "scripted", "scripted"))

    assert outcome == CellOutcome(
        state="failed", reason="/nonexistent/python cannot be started: No such file or directory"
    )


async def test_stopped(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is stopped it ends the agent, and leaves the bundle marked."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    monkeypatch.setenv("TEST_READY", str(ready))
    job, local = job_of(proxy, tmp_path, "tests.adapters.toyagents:Waiting", "waiting"), executor()

    async with asyncio.TaskGroup() as group:
        running = group.create_task(local.run(job))
        agent = int(await asyncio.to_thread(ready.read_text))
        assert alive(agent)
        await local.stop()
        assert not alive(agent)

    assert running.result().state == "stopped"
    assert (tmp_path / "runs" / job.cell_id / "INCOMPLETE").exists()


async def test_stopped_by_force(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that does not end in time is killed; its agent does not outlive it for long."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    monkeypatch.setenv("TEST_READY", str(ready))
    job = job_of(proxy, tmp_path, "tests.adapters.sweeps.agents:Stubborn", "stubborn")
    local = LocalExecutor(end_s=0.1)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(local.run(job))
        agent = os.pidfd_open(int((await asyncio.to_thread(ready.read_text)).split()[0]))
        await local.stop()
        ended, _, _ = await asyncio.to_thread(select.select, [agent], [], [], 60)
    os.close(agent)

    assert running.result() == CellOutcome(state="stopped", reason="ended by the sweep")
    assert ended


async def test_stopped_before(proxy: Proxy, tmp_path: Path) -> None:
    """A job that starts after the stop ends at once."""
    local = executor()
    await local.stop()

    outcome = await local.run(job_of(proxy, tmp_path, "scripted", "scripted"))

    assert outcome.state == "stopped"
    assert not list((tmp_path / "runs").rglob("cell.json"))


async def test_silent(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that hangs is lost after a while, on this machine too; its agent is ended."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    monkeypatch.setenv("TEST_READY", str(ready))
    job = job_of(proxy, tmp_path, "tests.adapters.toyagents:Waiting", "waiting")
    times = CellTimes(queue_s=60, limit_s=60, lost_after_s=1.2)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(executor().run(job.model_copy(update={"times": times})))
        agent = int(await asyncio.to_thread(ready.read_text))
        marker = (tmp_path / "runs" / job.cell_id / "INCOMPLETE").read_bytes()
        os.kill(orjson.loads(marker)["pid"], signal.SIGSTOP)

    assert running.result() == CellOutcome(
        state="failed", reason="the cell's worker is lost: no sign of life for 1.2 s"
    )
    assert gone(agent)


async def test_its_own_limit(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker keeps the cell's limit too: whoever sent the job may be gone."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    monkeypatch.setenv("TEST_READY", str(ready))
    job = job_of(proxy, tmp_path, "tests.adapters.toyagents:Waiting", "waiting")
    times = CellTimes(queue_s=60, limit_s=3, lost_after_s=60)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(run_job(job.model_copy(update={"times": times})))
        agent = int(await asyncio.to_thread(ready.read_text))

    assert running.result() == CellOutcome(state="failed", reason="the cell did not end within 3 s")
    assert gone(agent)
