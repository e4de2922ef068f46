"""Cells in a real image: an engine, the image, and one command that runs a cell in it."""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.tools.containers import agent_image, not_here, require_image

HERE = Path(__file__).parent
CANARY = "sk-canary-0123456789abcdef"
IMAGE = agent_image("aider")
LIMIT_S = 240


@pytest.fixture(scope="session", autouse=True)
def agent_image_is_here(engine: str) -> None:
    """Hold that the image of the agent is there, made from this tree."""
    require_image(engine, IMAGE)


class Done(NamedTuple):
    """How a container ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        """What `run-cell --json` printed."""
        found: dict[str, Any] = json.loads(self.stdout.splitlines()[-1])
        return found


class Container:
    """Runs the image with a folder of runs, and agents of these tests.

    Args:
        engine: What runs it.
        folder: A new folder.
    """

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine = engine
        self.runs = folder / "runs"
        self.runs.mkdir()
        self.tasks = folder / "tasks"
        self.tasks.mkdir()
        self.name = f"inside-{folder.name.replace('_', '-')}"[:60]

    def words(self, *arguments: str, options: Sequence[str] = (), image: str = IMAGE) -> list[str]:
        """Return the command line that runs the image."""
        mounts = {self.runs: "/runs", HERE: "/intruders:ro", self.tasks: "/tasks:ro"}
        volumes = [word for src, dst in mounts.items() for word in ("-v", f"{src}:{dst}")]
        network = () if "--network" in options else ("--network", "none")
        return [
            *(self.engine, "run", "--rm", "--pull", "never", "--name", self.name, *volumes),
            *("-e", "CAB_KEY", "-e", "CAB_ENDPOINT", "-e", "PYTHONPATH=/intruders"),
            *(*network, *options, image, *arguments),
        ]

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the engine's program: the key is in it, and not on a command line."""
        return {**os.environ, "CAB_KEY": CANARY, **more}

    def run(self, *arguments: str, options: Sequence[str] = (), **more: str) -> Done:
        """Run it to its end."""
        done = subprocess.run(
            self.words(*arguments, options=options),
            env=self.environment(more),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    async def run_async(
        self, *arguments: str, options: Sequence[str] = (), image: str = IMAGE, **more: str
    ) -> Done:
        """Do the same while the test serves an endpoint."""
        process = await asyncio.create_subprocess_exec(
            *self.words(*arguments, options=options, image=image),
            env=self.environment(more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), err.decode())

    def ask(self, *arguments: str) -> str:
        """Return what the engine answers."""
        done = subprocess.run(
            [self.engine, *arguments], capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    def must(self, *arguments: str) -> str:
        """Return the same; what fails is an error."""
        done = subprocess.run(
            [self.engine, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def container(engine: str, tmp_path: Path) -> Iterator[Container]:
    """Give a container to be run, which is removed whatever happened."""
    made = Container(engine, tmp_path)
    yield made
    subprocess.run([engine, "rm", "--force", made.name], capture_output=True, check=False)


@pytest.fixture
def bundle_of(container: Container) -> Callable[[str, str], Path]:
    """Return the folder of a cell, by its agent and task."""
    return lambda agent, task: container.runs / "local" / agent / "demo" / task


@pytest.fixture
def gateway(container: Container) -> Iterator[str]:
    """Give the address of this machine in a network of podman's; the network has the container's name."""
    if "podman" not in container.engine:
        not_here("docker brings networks up by itself, and this test only knows podman's")
    name, holder = container.name, f"{container.name}-holder"
    container.must("network", "create", "--internal", name)
    try:
        # The address exists while a container is in the network; one that was never started is enough.
        words = ("--network", name, "--pull", "never", "--entrypoint", "/bin/true", IMAGE)
        container.must("create", "--name", holder, *words)
        container.must("init", holder)
        yield container.must(
            "network", "inspect", "--format", "{{(index .Subnets 0).Gateway}}", name
        )
    finally:
        container.ask("rm", "--force", holder)
        container.ask("network", "rm", name)
