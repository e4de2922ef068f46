"""The tables `[executor]` and `[resources]` of a sweep file: where cells run, and what each may use there."""

import math
import re
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from cab.adapters.runs.spec import KEY_MARGIN_S
from cab.scoring.cells.cell import RequestedResources

QUEUE_S = 86_400.0
"""A cell may wait this long for a node."""
START_S = 300.0
"""A worker for which there is no queue may take this long to start."""
NO_QUEUE = frozenset({"local", "ssh"})
"""Kinds of executors that start a worker at once."""
LOST_AFTER_S = 60.0
"""A worker of which nothing is heard for so long is lost."""

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_MEMORY = re.compile(r"([1-9][0-9]{0,8})([KMGT]?)", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _memory(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError('must be an amount such as "4G" or a number of bytes')
    found = _MEMORY.fullmatch(str(value)) if isinstance(value, str) else None
    if isinstance(value, str) and found is None:
        raise ValueError(f'{value!r} is not an amount of memory; write it as "4G" or "512M"')
    return value if found is None else int(found[1]) * _UNITS[found[2].upper()]


def _variable(value: object) -> object:
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
        raise ValueError("must be the name of an environment variable")
    if value.startswith("CAB_") or value.endswith(("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")):
        raise ValueError(f"{value} may hold a secret, which nodes must not get; remove it")
    return value


_Text = Annotated[str, Field(min_length=1)]
_Word = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]
_Seconds = Annotated[float, Field(gt=0, strict=False, allow_inf_nan=False)]
_Variable = Annotated[str, BeforeValidator(_variable)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ResourceTable(_Table):
    """What a cell asks for; None leaves it to a table above, and at last to the executor."""

    cpus: Annotated[int, Field(ge=1, le=1 << 20)] | None = None
    """Processors."""
    memory: Annotated[int, Field(ge=1), BeforeValidator(_memory)] | None = None
    """Memory in bytes; in the file as text, such as "4G"."""
    gpus: Annotated[int, Field(ge=0, le=1 << 20)] | None = None
    """Graphics processors."""
    time_s: _Seconds | None = None
    """Seconds of the whole cell on its node; None is the cell's own limit."""


class ResourcePlan(ResourceTable):
    """What cells ask for: all of them, those of an agent, those of a task."""

    agents: dict[str, ResourceTable] = Field(default_factory=dict[str, ResourceTable])
    """By the agent's name in `agents` of the sweep."""
    tasks: dict[str, ResourceTable] = Field(default_factory=dict[str, ResourceTable])
    """By globs over ids of tasks; of several that match the last one wins."""

    def request(self, tui: str, task: str) -> RequestedResources:
        """Return what the cells of an agent on a task ask for: a task's table wins over an agent's.

        Args:
            tui: The agent, as the sweep file names it.
            task: The task's id.
        """
        tables: list[ResourceTable] = [self]
        tables += [table for name, table in self.agents.items() if name == tui]
        tables += [table for glob, table in self.tasks.items() if fnmatchcase(task, glob)]
        found: dict[str, Any] = {}
        for table in tables:
            found |= {
                name: value
                for name in ResourceTable.model_fields
                if (value := getattr(table, name)) is not None
            }
        return RequestedResources(
            cpus=found.get("cpus"),
            memory_bytes=found.get("memory"),
            gpus=found.get("gpus"),
            time_s=found.get("time_s"),
        )

    @property
    def shortest_s(self) -> float | None:
        """The least time that any table asks for, in seconds; None if none does."""
        tables: list[ResourceTable] = [self, *self.agents.values(), *self.tasks.values()]
        return min((each.time_s for each in tables if each.time_s is not None), default=None)


class ExecutorTable(_Table):
    """Where cells run, and how long is waited for whom."""

    kind: _Text = "local"
    """`local`, `slurm`, `slurm-array`, `ray`, `ssh`, `command`, or the name of another package's executor."""
    start: list[_Word] = Field(default_factory=list[str])
    """For `command`: the words that start one cell's worker; `{worker}` stands for the worker's own words."""
    cancel: list[_Word] = Field(default_factory=list[str])
    """For `command`: the words that end one cell where it runs; none where the end of `start` is enough."""
    options: list[_Word] = Field(default_factory=list[str])
    """For `slurm`, `slurm-array` and `ssh`: further words for srun, sbatch or ssh."""
    nodes: list[_Word] = Field(default_factory=list[str])
    """For `ssh`: the machines, as ssh names them."""
    python: str = ""
    """Python of the nodes that has CAB; "" is the sweep's own."""
    environment: list[_Variable] = Field(
        default_factory=lambda: ["HOME", "LANG", "LOGNAME", "PATH", "USER", "XDG_DATA_HOME"]
    )
    """Variables of the sweep that workers get, where the nodes share its folders."""
    shared: bool = True
    """Whether the nodes see the sweep's folder, its tasks and the agents under the same paths."""
    node_folder: _Text = "~/.cache/cab-cells"
    """Where they are not shared: the folder on a node that holds a bundle until the sweep has it."""
    listen: str = ""
    """Address of this machine on which the sweep's proxy listens; "" is loopback."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Its port; 0 is any that is free."""
    reach: str = ""
    """Name or address by which nodes reach the proxy; "" is `listen`."""
    queue_s: _Seconds = QUEUE_S
    """Seconds that a cell may wait for a node."""
    slack_s: _Seconds = float(KEY_MARGIN_S)
    """Seconds that a cell may take beside its agent's run: set-up, seal, checks, cleanup."""
    lost_after_s: _Seconds = LOST_AFTER_S
    """Seconds without a sign of life after which a worker is lost."""
    node_failures: Annotated[int, Field(ge=1)] = 2
    """A node that failed this many different cells, with no success in between, is avoided."""
    settings: dict[str, Any] = Field(default_factory=dict[str, Any])
    """For `ray`: `address` of the cluster; for an executor of another package: whatever it reads."""

    @model_validator(mode="after")
    def _belongs_together(self) -> "ExecutorTable":
        if self.kind == "command" and not self.start:
            raise ValueError("kind = 'command' needs `start`; docs/executors.md shows some")
        if self.kind == "ssh" and not self.nodes:
            raise ValueError("kind = 'ssh' needs `nodes`: the machines, as ssh names them")
        if self.listen in ("0.0.0.0", "::") and not self.reach:
            raise ValueError("listen is every address; name in `reach` the one that nodes use")
        return self


class CellTimes(BaseModel):
    """How long a cell may take, in seconds: the one rule for executors, workers and keys."""

    model_config = ConfigDict(frozen=True)

    queue_s: float
    """From the order to the worker's first sign of life."""
    limit_s: float
    """From there to the outcome."""
    lost_after_s: float
    """Without a sign of life."""

    @property
    def key_ttl_s(self) -> int:
        """Seconds that the cell's keys live: as long as the cell may."""
        return math.ceil(self.queue_s + self.limit_s)


def cell_times(executor: ExecutorTable, timeout_s: float) -> CellTimes:
    """Return how long a cell may take.

    Args:
        executor: Where it runs.
        timeout_s: Limit of the agent's run.
    """
    # There nothing waits for a node; a key that lives longer than needed is worth more to a thief.
    queue_s = min(executor.queue_s, START_S) if executor.kind in NO_QUEUE else executor.queue_s
    return CellTimes(
        queue_s=queue_s,
        limit_s=timeout_s + executor.slack_s,
        lost_after_s=executor.lost_after_s,
    )


class NodeRecord:
    """Which nodes fail cells: one that failed several, with no success in between, is avoided for the rest.

    A cell that fails wherever it runs counts once for each node, however often it is tried there.

    Args:
        most: How many different cells.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._failed: dict[str, set[str]] = {}

    @property
    def avoided(self) -> list[str]:
        """The nodes that no further cell should run on."""
        return sorted(node for node, slots in self._failed.items() if len(slots) >= self.most)

    def note(self, node: str | None, slot: str, *, failed: bool) -> bool:
        """Take note of how an attempt ended on a node; return whether the node is avoided because of it.

        Args:
            node: The node; None where there is none.
            slot: The place of the matrix that the attempt was to fill.
            failed: Whether the infrastructure failed it.
        """
        if node is None or node in self.avoided:
            return False
        slots = self._failed.setdefault(node, set())
        if failed:
            slots.add(slot)
        else:
            slots.clear()
        return len(slots) >= self.most
