"""Cleaning up after a run that was cut short."""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import pytest

from cab import adapters, proxy, scoring
from cab.adapters.processes.agent_process import AgentProcess, start_process
from cab.adapters.processes.cleanup import (
    CleanupPlan,
    clean_up,
    engine_environment,
    watched_cleanup,
)
from tests.adapters.sandboxes.stub import stub_engine
from tests.adapters.toyagents import alive, script

SLEEP = "import sys, time; open(sys.argv[1], 'w').close(); time.sleep(600)"
BARE_PYTHON = str(Path(sys.executable).resolve())
"""The interpreter outside any virtual environment, which knows of no cab by itself."""


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def sleeper(folder: Path) -> AgentProcess:
    """Return a process that would run for ever, once its program runs and its mark can be seen."""
    ready = folder / "ready"
    os.mkfifo(ready)
    process = await start_process(
        script(SLEEP, str(ready)), cwd=folder, env={}, stdout=folder / "out", stderr=folder / "err"
    )
    await asyncio.to_thread(ready.read_text)
    return process


async def test_processes_by_mark(tmp_path: Path) -> None:
    """Processes that carry the mark are ended; without one, nobody is."""
    process = await sleeper(tmp_path)

    await clean_up(CleanupPlan())
    assert alive(process.pid)
    await clean_up(process.cleanup.lasting)

    assert not alive(process.pid)
    await process.end()
    await process.wait(60)


async def test_scratch_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of the run is removed, and no other folder, whatever a marker says."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names = ("cab-agent-x", "other", "deeper/cab-agent")
    for name in names:
        (tmp_path / name / "home").mkdir(parents=True)
    (tmp_path / "cab-link").symlink_to(tmp_path / "other")

    for name in (*names, "cab-link", "cab-gone"):
        await clean_up(CleanupPlan(scratch=tmp_path / name))

    assert names_in(tmp_path) == ["cab-link", "deeper", "other"]
    assert (tmp_path / "deeper" / "cab-agent" / "home").is_dir()


async def test_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its container is removed, what holds the network, those of its checks, then the network."""
    stub = stub_engine(tmp_path, monkeypatch)
    of_run = ("ps", "--all", "--quiet", "--filter", "label=cab.run=cab-1")
    stub.answer(*of_run, out="0123abcd")

    await clean_up(
        CleanupPlan(engine="docker", container="cab-1", holder="cab-1-network", network="cab-1")
    )

    assert stub.calls == [
        list(of_run),
        *(["rm", "--force", "--volumes", name] for name in ("cab-1", "cab-1-network", "0123abcd")),
        ["network", "rm", "cab-1"],
    ]


async def test_nothing_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No container of somebody else, and no program but an engine, whatever a marker says."""
    stub = stub_engine(tmp_path, monkeypatch)
    touched = tmp_path / "touched"
    (tmp_path / "evil").write_text(f"#!/bin/sh\ntouch {touched}\n")
    (tmp_path / "evil").chmod(0o755)

    await clean_up(CleanupPlan(engine="docker", container="database", network="bridge"))
    await clean_up(CleanupPlan(engine=str(tmp_path / "evil"), container="cab-1"))

    assert stub.calls == []
    assert not touched.exists()


async def test_engine_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the engine nothing is running in it."""
    monkeypatch.setenv("PATH", "/nonexistent")

    await clean_up(CleanupPlan(engine="docker", container="cab-1"))


def test_engines_get_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine's program sees where its engine is, and no key of ours."""
    for name in ("CAB_KEY", "OPENAI_API_KEY", "DOCKER_HOST", "CONTAINER_HOST"):
        monkeypatch.setenv(name, "x")

    names = set(engine_environment())

    assert {"PATH", "DOCKER_HOST", "CONTAINER_HOST"} <= names
    assert not {"CAB_KEY", "OPENAI_API_KEY"} & names


async def test_watchdog_does_nothing_after_success(tmp_path: Path) -> None:
    """After a block that succeeds the watchdog ends nothing."""
    process = await sleeper(tmp_path)

    with watched_cleanup(process.cleanup):
        pass

    assert alive(process.pid)
    await process.end()
    await process.wait(60)


async def test_watchdog_acts_on_an_error(tmp_path: Path) -> None:
    """Where the block raises, nothing is left of the run once it is over."""
    process = await sleeper(tmp_path)

    with (
        pytest.raises(RuntimeError),
        watched_cleanup(process.cleanup),
    ):
        raise RuntimeError

    assert not alive(process.pid)
    await process.wait(60)


async def test_watchdog_imports_from_the_same_place(tmp_path: Path) -> None:
    """The watchdog imports cab from where this process does, wherever that is."""
    process = await sleeper(tmp_path)
    code = (
        "import sys; sys.path[:] = sys.argv[2:]\n"
        "from cab.adapters.processes.cleanup import *\n"
        "with watched_cleanup(CleanupPlan.model_validate_json(sys.argv[1])):\n"
        "    raise SystemExit(7)"
    )
    rooms = tmp_path / "site" / "cab"
    rooms.mkdir(parents=True)
    for room in (adapters, proxy, scoring):
        (rooms / room.__name__.rpartition(".")[2]).symlink_to(Path(room.__file__ or "").parent)
    bare = await asyncio.create_subprocess_exec(
        *(BARE_PYTHON, "-I", "-S", "-c", code),
        *(process.cleanup.lasting.model_dump_json(), str(rooms.parent), *sys.path),
    )

    assert await bare.wait() == 7
    assert not alive(process.pid)
    await process.wait(60)


async def test_watchdog_acts_on_a_kill(tmp_path: Path) -> None:
    """If the process inside the block is killed, what it started is ended."""
    process = await sleeper(tmp_path)
    code = (
        "import sys, time; from cab.adapters.processes.cleanup import *\n"
        "with watched_cleanup(CleanupPlan.model_validate_json(sys.argv[1])):\n"
        "    print('ready', flush=True); time.sleep(600)"
    )
    watched = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, process.cleanup.lasting.model_dump_json()),
        stdout=asyncio.subprocess.PIPE,
    )
    assert watched.stdout is not None
    await watched.stdout.readline()

    watched.kill()
    await watched.communicate()

    ended = await process.wait(60)
    assert (ended.code, ended.timed_out) == (143, False)
