"""Agents as processes: limits, output, and nothing left behind."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cab.adapters.errors import RunFailed
from cab.adapters.processes import tree
from cab.adapters.processes.agent_process import AgentProcess, start_process
from cab.adapters.processes.tree import RUN_MARK, end_processes, run_processes
from tests.adapters.toyagents import DAEMON, STUBBORN, alive, script

ENV = {"PATH": os.environ["PATH"]}


@asynccontextmanager
async def started(
    folder: Path, code: str, *arguments: str, grace_s: float = 0.2
) -> AsyncGenerator[AgentProcess]:
    """Run a Python program, and end it however the test goes."""
    agent = await start_process(
        script(code, *arguments),
        cwd=folder,
        env=ENV,
        stdout=folder / "stdout",
        stderr=folder / "stderr",
        grace_s=grace_s,
    )
    try:
        yield agent
    finally:
        await agent.end()


async def test_exit_code_and_output(tmp_path: Path) -> None:
    """Exit code, output and messages are kept; the program reads nothing."""
    code = "import sys; print('out', sys.stdin.read()); print('err', file=sys.stderr); sys.exit(3)"

    async with started(tmp_path, code) as agent:
        ended = await agent.wait(60)

    assert (ended.code, ended.timed_out) == (3, False)
    assert ended.duration_ms > 0
    assert (tmp_path / "stdout").read_text() == "out \n"
    assert (tmp_path / "stderr").read_text() == "err\n"


async def test_killed_by_signal(tmp_path: Path) -> None:
    """A program that a signal ended has the exit code that a shell would say."""
    async with started(tmp_path, "import os; os.kill(os.getpid(), 9)") as agent:
        assert (await agent.wait(60)).code == 137


async def test_time_limit(tmp_path: Path) -> None:
    """Past the limit the program is ended, and its exit says so."""
    async with started(tmp_path, "import time; time.sleep(600)") as agent:
        ended = await agent.wait(0.2)

    assert (ended.code, ended.timed_out) == (143, True)


async def test_time_to_clean_up(tmp_path: Path) -> None:
    """SIGTERM comes first: a program that handles it can finish."""
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(0)))\n"
        "open(sys.argv[1], 'w').close()\n"
        "time.sleep(600)\n"
    )
    ready = tmp_path / "ready"
    os.mkfifo(ready)

    async with started(tmp_path, code, str(ready), grace_s=30) as agent:
        await asyncio.to_thread(ready.read_text)
        await agent.end()
        ended = await agent.wait(60)

    assert ended.code == 0
    assert (tmp_path / "stdout").read_text() == "bye\n"


async def test_stubborn_tree(tmp_path: Path) -> None:
    """Children that ignore SIGTERM, left the group, dropped the mark or are daemons all end."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)

    began_s = time.monotonic()
    async with started(tmp_path, STUBBORN, str(ready)) as agent:
        pids = [int(pid) for pid in (await asyncio.to_thread(ready.read_text)).split()]
        assert len(pids) == 4
        assert all(alive(pid) for pid in pids)
        ended = await agent.wait(0.1)
        took_ms = (time.monotonic() - began_s) * 1000

    assert ended.timed_out
    assert ended.code == 137
    assert ended.duration_ms + 200 <= took_ms  # the grace is not the agent's time
    assert not any(alive(pid) for pid in pids)


async def test_leader_dies_first(tmp_path: Path) -> None:
    """A child that hid itself is still known once its parent has obeyed and died."""
    code = (
        "import subprocess, sys, time\n"
        "child = 'import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);'\n"
        "child += 'print(flush=True); time.sleep(600)'\n"
        "hidden = subprocess.Popen([sys.executable, '-c', child], env={}, start_new_session=True,"
        " stdout=subprocess.PIPE)\n"
        "hidden.stdout.readline()\n"
        "open(sys.argv[1], 'w').write(str(hidden.pid))\n"
        "time.sleep(600)\n"
    )
    ready = tmp_path / "ready"
    os.mkfifo(ready)

    async with started(tmp_path, code, str(ready)) as agent:
        hidden = int(await asyncio.to_thread(ready.read_text))
        ended = await agent.wait(0.1)

    assert ended.code == 143
    assert not alive(hidden)


async def test_daemon_outlives_its_agent(tmp_path: Path) -> None:
    """What an agent leaves running is ended, and counted."""
    async with started(tmp_path, DAEMON) as agent:
        ended = await agent.wait(60)

        assert (ended.code, ended.timed_out) == (0, False)
        assert await agent.end() == 1
        assert await agent.end() == 0


async def test_cancelled(tmp_path: Path) -> None:
    """Cancelling the run leaves no process either."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    entered = asyncio.Event()
    pids: list[int] = []

    async def run() -> None:
        async with started(tmp_path, STUBBORN, str(ready)) as agent:
            pids.extend(int(pid) for pid in (await asyncio.to_thread(ready.read_text)).split())
            entered.set()
            await agent.wait(600)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        await entered.wait()
        task.cancel()

    assert pids
    assert not any(alive(pid) for pid in pids)


async def test_no_such_program(tmp_path: Path) -> None:
    """A program that is not there is named."""
    with pytest.raises(RunFailed, match="/nonexistent/agent cannot be started: No such file"):
        await start_process(
            ["/nonexistent/agent"],
            cwd=tmp_path,
            env=ENV,
            stdout=tmp_path / "stdout",
            stderr=tmp_path / "stderr",
        )


async def test_environment_is_whole(tmp_path: Path) -> None:
    """The program sees what it was given and the run's mark, nothing else."""
    code = "import os; print(*sorted(os.environ))"

    async with started(tmp_path, code) as agent:
        await agent.wait(60)

    names = set((tmp_path / "stdout").read_text().split())
    assert names - {"LC_CTYPE"} == {"PATH", RUN_MARK}  # Python sets LC_CTYPE itself


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
async def test_cannot_be_ended() -> None:
    """A process that cannot be ended is named; a run never waits for ever."""
    process = await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True)
    os.setresuid(65534, 65534, 0)  # the real one too: it decides who may send signals
    try:
        with pytest.raises(RunFailed, match=rf"processes \[{process.pid}\] cannot be ended"):
            await end_processes(process.pid, "mark", grace_s=0, kill_s=0.1)
    finally:
        os.setresuid(0, 0, 0)
        process.kill()
        await process.wait()


def test_gone_meanwhile() -> None:
    """A process that ends while it is looked at is not listed."""
    assert tree.started_at(2**22 + 1) is None
    assert tree._mark_of(2**22 + 1) is None


def test_strangers_are_left_alone() -> None:
    """No process of this machine belongs to a run that never was."""
    assert run_processes(2**22 + 1, "no such mark") == frozenset()
