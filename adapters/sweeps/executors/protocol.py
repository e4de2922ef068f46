"""What runs cells for a sweep, wherever that is: plain data in, plain data out.

    executor = LocalExecutor()                    # processes of this machine
    outcome = await executor.run(job)

A job holds all that a cell needs, and an outcome all that a sweep needs of it; both are JSON, with no
keys in them but the cell's own. An executor that sends jobs to other machines therefore needs no
change on this side: the proxy's URL must be reachable from there, and the folder of bundles be shared
or fetched.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, TypedDict

from pydantic import BaseModel, ConfigDict, Field

from cab.adapters.runs.spec import CellSpec
from cab.adapters.sandboxes import docker
from cab.adapters.sandboxes.docker import Container
from cab.adapters.sandboxes.limits import ResourceLimits
from cab.adapters.sweeps.containers import JobContainer
from cab.adapters.sweeps.placement import CellTimes
from cab.proxy.auth.cell_keys import CellKeys
from cab.scoring.cells.cell import RequestedResources

State = Literal["complete", "failed", "stopped"]
"""There is a bundle; there is none, for a reason outside the agent; the sweep, or somebody, stopped it."""


class _SandboxOptions(TypedDict, total=False):
    sandbox: str
    container: Container
    limits: ResourceLimits


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CellJob(_Message):
    """One attempt at a cell."""

    cell_id: str
    """Names the attempt's bundle and its calls."""
    tui: str
    """Short name of an adapter, or its dotted path."""
    model: str
    """Model as the endpoint names it."""
    task: str
    """Id of a bundled task, or the absolute path of a task's folder."""
    sweep: str
    number: int
    timeout_s: float
    """Limit of the agent's run."""
    proxy: str
    key: str = Field(repr=False)
    """The agent's key; limits are in it."""
    seal_key: str = Field(repr=False)
    """Seals the cell once the agent has ended."""
    bundles: str
    plugins: list[str] = Field(default_factory=list[str])
    """Absolute paths of plugin files."""
    seal_key_file: str | None = None
    """Absolute path of the private key that signs the result."""
    capture_ledger: str | None = None
    """Absolute path of the proxy's ledger, if it keeps the bodies of calls."""
    exposed: list[str] = Field(default_factory=list[str])
    """Words of deviations: where agents can find the endpoint's key."""
    times: CellTimes | None = None
    """How long it may take; None is no limit but the agent's, as in jobs of earlier versions."""
    resources: RequestedResources = RequestedResources()
    """What it asks for where it runs."""
    avoid: list[str] = Field(default_factory=list[str])
    """Nodes that failed and that it must not run on."""
    node: str | None = None
    """The node that it was sent to, where the executor chooses one."""
    environment: dict[str, str] = Field(default_factory=dict[str, str])
    """Variables that the worker gets; it may have been started without any."""
    search_path: list[str] = Field(default_factory=list[str])
    """Folders in which the worker looks for modules last."""
    container: JobContainer | None = None
    """The container that its agent runs in; None runs it as a process."""
    stream: bool = False
    """Whether the bundle follows the outcome, as no folder is shared."""

    def spec(self) -> CellSpec:
        """Return what the runner is given."""
        return CellSpec(
            tui=self.tui,
            model=self.model,
            task=self.task,
            proxy=self.proxy,
            cell_keys=CellKeys(self.key, self.seal_key),
            runs=Path(self.bundles).expanduser(),
            sweep=self.sweep,
            run=self.number,
            timeout_s=self.timeout_s,
            plugins=tuple(self.plugins),
            seal_key_file=None if self.seal_key_file is None else Path(self.seal_key_file),
            capture_ledger=None if self.capture_ledger is None else Path(self.capture_ledger),
            exposed=tuple(self.exposed),
            node=self.node,
            requested=None if self.resources == RequestedResources() else self.resources,
            **self._sandbox(),
        )

    def _sandbox(self) -> "_SandboxOptions":
        if self.container is None:
            return {}
        wanted, limits = self.container.wanted(), self.container.resource_limits()
        return {"sandbox": docker.NAME, "container": wanted, "limits": limits}


class CellOutcome(_Message):
    """How an attempt ended."""

    state: State
    reason: str | None = None
    bundle: str | None = None
    passed: bool | None = None
    """The check's verdict; None if there is none."""
    succeeded: int | None = None
    """Model calls that were answered; None if nothing was metered."""
    failures: dict[str, int] = Field(default_factory=dict[str, int])
    """Class of failure -> model calls, as in the axis `calls`."""
    rejected: int = 0
    """Calls that the proxy refused: the limits of the cell's key were used up."""
    calls: int | None = None
    """Model calls; repetitions of one count once."""
    tokens: int | None = None
    """All tokens; None while one call was not counted."""
    node: str | None = None
    """The machine that it ran on, as the executor names it; None if it never ran, or ran on this one."""


class Executor(Protocol):
    """Runs cells. Whoever writes one of his own names it by an entry point `cab.executors`."""

    async def run(self, job: CellJob) -> CellOutcome:
        """Return how one attempt ended; several may run. A cell that fails never raises an error.

        It returns within the times of the job, whatever became of the worker: a deadline that only the
        worker keeps is none, as the worker may be gone.
        """
        ...

    async def cancel(self, cell_id: str) -> None:
        """End one attempt, its agent first: its `run` then returns `stopped`. Unknown ones are passed over."""
        ...

    async def stop(self) -> None:
        """End all that run, agents first: each `run` then returns `stopped`."""
        ...

    async def end_left(self, cell_ids: Sequence[str]) -> None:
        """End whatever of this sweep runs elsewhere: before its first cell, and after its last one.

        Args:
            cell_ids: Attempts that a killed sweep left open in the journal: what they completed is brought. None
                after the last cell.
        """
        ...
