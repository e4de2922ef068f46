"""What a sandbox is: where an agent runs, how it is started there, and how it deviates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from cab.adapters.output.capture import OutputDescriptors
from cab.adapters.processes.agent_process import Exit
from cab.adapters.processes.cleanup import CleanupPlan
from cab.adapters.sandboxes.environment import Places
from cab.scoring.cells.cell import Deviation

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxFacts:
    """What is fixed about the sandbox of one run."""

    name: str
    """`local`, `docker` or `inside`."""
    listen_host: str
    """Address that a proxy must listen on for the agent to reach it."""
    image: str | None = None
    """Container image, without digest."""
    digest: str | None = None
    """Its digest, with a single `sha256:`; None if the image has none."""
    check_image: str | None = None
    """Image that the checks run in; None if they run on this machine, or run nothing."""
    check_digest: str | None = None
    """Its digest, the same way."""
    deviations: Sequence[Deviation] = ()
    """What was less confined than it could be."""
    attrs: Mapping[str, object] = field(default_factory=dict[str, object])
    """Attributes of the container span."""


class SandboxView(NamedTuple):
    """The run as the agent sees it."""

    home: Path
    executable: Path
    """What starts the agent."""
    env: Mapping[str, str]
    """What it gets besides what the adapter declares."""


class StartRequest(NamedTuple):
    """One start of an agent."""

    argv: Sequence[str]
    """Program and arguments, as the agent's side sees them."""
    declared: Mapping[str, str]
    """Environment that the adapter and the plugins declare; may hold the cell's key."""
    output: OutputDescriptors
    endpoint: str
    """Where model calls go, with `/v1`."""
    key: str
    limit_s: float | None = None
    """Limit of its run; None is not known to the sandbox."""


class Running(Protocol):
    """An agent that has been started."""

    @property
    def cleanup(self) -> CleanupPlan:
        """That of its sandbox, with what is known only since the start."""
        ...

    async def wait(self, limit_s: float) -> Exit:
        """Return how it ended; past the limit everything of it is ended."""
        ...

    async def end(self) -> int:
        """End whatever still runs; return how many processes that were."""
        ...


class Sandbox(Protocol):
    """A place where one agent can run."""

    @property
    def facts(self) -> SandboxFacts:
        """What is fixed about this sandbox."""
        ...

    @property
    def cleanup(self) -> CleanupPlan:
        """What to clean up if this process is killed before, while or after the agent is started."""
        ...

    def view(self, places: Places) -> SandboxView:
        """Return the run's folders and programs as the agent sees them."""
        ...

    async def start(self, places: Places, request: StartRequest) -> Running:
        """Start the agent; the caller must `end` it, whatever happens."""
        ...
