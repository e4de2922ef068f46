"""A kill -9 at any moment of a run, or of an install, leaves nothing behind."""

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.adapters.sandboxes.stub import stub_engine
from tests.adapters.toyagents import Lingering, gone

# The agent runs, but whoever started it has not been told yet.
HELD_START = """
import asyncio, sys
from pathlib import Path
from cab.adapters.runs.agent_run import AgentRunner, local_sandbox
from cab.adapters.runs.metering import Meter
from cab.adapters.runs.spec import CellSpec, plan_cell
from cab.adapters.runs.workspace import scratch_places
from cab.proxy.redaction import Redactor

class Held:
    def __init__(self, sandbox):
        self.facts, self.cleanup, self.view = sandbox.facts, sandbox.cleanup, sandbox.view
        self._begin = sandbox.start

    async def start(self, places, request):
        await self._begin(places, request)
        await asyncio.Event().wait()

spec = CellSpec(
    tui="tests.adapters.toyagents:Lingering", model="demo", task="polyglot/python-error-handling",
    upstream="demo", runs=Path("runs"),
)
plan, meter = plan_cell(spec), Meter("http://127.0.0.1:1", "http://127.0.0.1:1", "cell", "key", "seal")
with scratch_places("held", False) as places:
    asyncio.run(AgentRunner(plan, meter, places, Redactor(()), Held(local_sandbox(plan))).run())
"""
STEP = f"""
import sys
from pathlib import Path
from cab.adapters.install.build_steps import BuildSteps
step = [sys.executable, "-c", {Lingering.code!r}, sys.argv[1]]
BuildSteps("agent", Path("log").absolute(), str).run(step)
"""
CELL = """
import sys
from cab.adapters.cli import main
main(sys.argv[2:])
"""
ENGINE_STEP = """
if not (here / "killed").exists():
    (here / "killed").touch()
    import time
    with open(os.environ["TMPDIR"] + "/ready", "w") as ready:
        ready.write(f"{os.getpid()}\\n")
        ready.flush()
        time.sleep(600)
"""


def killed(code: str, folder: Path, *arguments: str) -> None:
    """Run a program, and kill it once something that it started writes its id; assert that all has ended."""
    ready, scratch = folder / "ready", folder / "scratch"
    os.mkfifo(ready)
    scratch.mkdir()
    (scratch / "ready").symlink_to(ready)
    variables = {"TEST_READY": str(ready), "TMPDIR": str(scratch)}
    env = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(ready), *arguments]
    with (
        os.fdopen(os.open(ready, os.O_RDONLY | os.O_NONBLOCK), "rb", 0) as pipe,
        subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE) as process,
        os.fdopen(os.pidfd_open(process.pid)) as ended,
    ):
        select.select([pipe, ended], [], [])
        started = int(pipe.read(100) or b"0")
        assert started, "it ended before"
        process.kill()
        process.communicate()  # watchdogs hold its output open, too
        assert gone(started)
        assert select.select([pipe], [], [], 60)[0], "somebody holds the other end"
        assert pipe.read(100) == b""
    assert [path.name for path in scratch.iterdir()] == ["ready"]


@pytest.mark.parametrize("code", [HELD_START, STEP], ids=["agent", "install"])
def test_killed_at_the_start(tmp_path: Path, code: str) -> None:
    """What has just been started ends with its children, though its starter knows nothing of it yet."""
    killed(code, tmp_path)


@pytest.mark.parametrize("held", [("network", "create"), ("create",)], ids=" ".join)
def test_killed_while_the_engine_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: tuple[str, ...]
) -> None:
    """A container and its network are removed, also if they were only being made."""
    stub = stub_engine(tmp_path, monkeypatch)
    stub.answer("image", "inspect", out="[]")
    gateway = '[{"Internal": true, "IPAM": {"Config": [{"Gateway": "127.0.0.1"}]}}]'
    stub.answer("network", "inspect", out=gateway)
    stub.answer(*held, run=ENGINE_STEP)
    words = "--task polyglot/python-error-handling --upstream demo --sandbox docker --image i"

    killed(
        CELL, tmp_path, "run-cell", "--tui", "tests.adapters.sandboxes.boxed:Boxed", *words.split()
    )

    (name,) = {call[-1] for call in stub.calls if call[:2] == ["network", "create"]}
    last = stub.calls[-1]
    assert last == ["network", "rm", name]
    assert ["rm", "--force", "--volumes", name] in stub.calls
