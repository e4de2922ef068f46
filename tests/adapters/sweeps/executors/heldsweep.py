"""A sweep of agents that wait until the test lets them go on, as a process of its own."""

import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Any

import orjson

from cab.adapters.sweeps.executors.registry import WORKER
from cab.adapters.sweeps.executors.slurm_array import ARRAY_WORKER
from cab.scoring.ledger.reading import iter_calls
from cab.scoring.ledger.totals import is_model_call
from cab.scoring.ledger.verify import verify_ledger
from tests.adapters.light_task import light_task
from tests.adapters.sweeps.executors.held import FOLDER
from tests.adapters.sweeps.processes import account_of, environment
from tests.adapters.toyagents import alive
from tests.tools.commands import StartedCommand, start_command

LIMIT_S = 240
_WORKERS = {WORKER.encode(), ARRAY_WORKER.encode()}
AGENT = "tests.adapters.sweeps.executors.held:Held"


def until(what: Callable[[], object], why: str, limit_s: float = LIMIT_S) -> None:
    """Return once something is true of other processes; they send no events."""
    end_s = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < end_s, why
        time.sleep(0.05)


def unshared(folder: Path) -> str:
    """Return lines of a table `[executor]` of workers that share no folder with the sweep, nor its environment."""
    path, held = os.environ.get("PYTHONPATH", ""), folder / "held"
    worker = folder / "python"
    worker.write_text(
        f"#!/bin/sh\nexport TEST_HELD={held} PYTHONPATH={Path(__file__).parents[4]}:{path}\n"
        f'exec {sys.executable} "$@"\n'
    )
    worker.chmod(0o755)
    return f'shared = false\npython = "{worker}"\nnode_folder = "{folder}/nodes"\n'


def left_on_nodes(folder: Path) -> list[Path]:
    """Return the files that such workers left."""
    return [file for file in (folder / "nodes").rglob("*") if file.is_file()]


class HeldSweep:
    """The sweep.

    Args:
        folder: Where its files lie.
        url: The model server.
        keys: Text of its file, without the table `[executor]`.
        executor: The lines of that table.
        variables: What the sweep's process gets beside the usual.
    """

    def __init__(
        self, folder: Path, url: str, executor: str, variables: dict[str, str], keys: str = ""
    ) -> None:
        self.url = url
        self.held = folder / "held"
        self.held.mkdir()
        self.file = folder / "sweep.toml"
        self.folder = folder / "sweeps" / "h"
        self.file.write_text(
            f'name = "h"\nupstream = "{url}"\nmodels = ["demo"]\nagents = ["{AGENT}"]\n'
            f'tasks = ["{light_task()}"]\nretry_wait_s = 0.5\n'
            + (keys or "runs = 2\njobs = 2\n")
            + f'[executor]\nenvironment = ["HOME", "PATH", "{FOLDER}"]\n{executor}'
        )
        self._env = {**environment(), **variables, FOLDER: str(self.held)}

    @contextmanager
    def running(self) -> Generator[StartedCommand]:
        """Run it until the block ends."""
        with start_command(
            "cab", "sweep", self.file, "--json", env=self._env, stdout=PIPE, stderr=PIPE
        ) as process:
            yield process

    def wait_for_agents(self, count: int) -> list[int]:
        """Return the process ids of so many agents once they wait."""
        until(lambda: len(list(self.held.glob("*.pid"))) >= count, f"{count} agents do not run")
        return [int(file.stem) for file in self.held.glob("*.pid")]

    def let_go(self) -> None:
        """Let all agents go on."""
        (self.held / "go").touch()

    def report(self, process: StartedCommand) -> dict[str, Any]:
        """Return the report of the sweep once it has ended; all that it was asked for is there, once."""
        out, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, err
        report: dict[str, Any] = orjson.loads(out)
        assert report["whole"], err
        self.check_calls(report)
        return report

    def check_calls(self, report: dict[str, Any]) -> None:
        """Make sure that each call is there once: as the server, the ledger and the report have it."""
        ledger = self.folder / "ledger"
        assert verify_ledger(ledger).holds
        ends = [end for end in iter_calls(ledger) if is_model_call(end)]
        served = {call["id"] for call in account_of(self.url)["by_call"]}
        assert sorted(end.upstream_id or "" for end in ends) == sorted(served)
        assert report["spend"]["calls"] == len(ends)
        bundles = {str(file.parent) for file in (self.folder / "runs").rglob("cell.json")}
        assert bundles == {str(self.folder / "runs" / cell) for cell in report["cells"].values()}

    def wait_until_gone(self, pids: list[int]) -> None:
        """Return once agents and workers have ended."""
        until(lambda: not any(map(alive, pids)), f"of {pids} some still run")
        until(lambda: not workers(self.folder), "workers still run")


def workers(folder: Path) -> list[int]:
    """Return the workers that run and write into a sweep's folder, or were sent there."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if not entry.name.isdigit():
                continue
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if not _WORKERS.intersection(words) or not alive(int(entry.name)):
                continue
            opened = [str(link.readlink()) for link in (entry / "fd").iterdir()]
            if any(name.startswith(str(folder)) for name in opened):
                found.append(int(entry.name))
    return found


def parent(pid: int) -> int:
    """Return the parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def variables_of(pid: int) -> dict[str, str]:
    """Return the environment that a process was started with."""
    parts = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    return dict(part.split("=", 1) for part in parts if "=" in part)
